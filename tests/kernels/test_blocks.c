/* What the bytes of quantised blocks mean, against ggml's answers. */
#include "data.h"
#include "base/hash.h"
#include "kernels/quant.h"

#include <string.h>

enum { N_BLOCKS = 300, LARGEST = 210 };

/* The same bytes as the ones that were shown to ggml: a linear congruential sequence, the exponents
 * of float16 numbers below infinity. `halves`: where a block has them. */
static void fill_blocks(unsigned char *p, size_t size, const int halves[2])
{
    uint32_t x = 1;
    for (size_t i = 0; i < N_BLOCKS * size; i++) {
        x = x * 1664525u + 1013904223u;
        p[i] = (unsigned char)(x >> 24);
    }
    for (size_t b = 0; b < N_BLOCKS; b++)
        for (int h = 0; h < 2; h++)
            if (halves[h] >= 0) p[b * size + (size_t)halves[h] + 1] &= 0xbf;
}

TEST(blocks_mean_the_bits_that_ggml_reads)
{
    static const struct {
        hg_type type;
        int halves[2];
        const char *sha256; /* of the float32 values */
    } want[] = {
        {HG_Q4_0, {0, -1}, "e08a91b6e53843eb8de2439471797f44d6937d756850f7c62c3baa613c96f285"},
        {HG_Q4_1, {0, 2}, "8af32e286ddb480e7a996d63404f39b7413691610e5b1f14648404d523f870b1"},
        {HG_Q5_0, {0, -1}, "e20fcc3a3afdfe7b8404b5762d94a98fb5f3a4b50a43fe9ea06583e5c64fc5ae"},
        {HG_Q5_1, {0, 2}, "d0f409adec8d3e38cb2f13255ca19fa7cc00ac50f1226eaa13b1cd5942fdacf2"},
        {HG_Q8_0, {0, -1}, "1e8dc80a54f7cdd31d74f85167a8acd53d8f0d3298d2ccedae57b143ace34e52"},
        {HG_Q2_K, {80, 82}, "d5f718ca7858cb5f94dbdc66b60232212d4b64d07dbb9e5e1380aaf700e82268"},
        {HG_Q3_K, {108, -1}, "182943f7017500f737cb64c464bd3ebcd2bb16a1402764707c8bbc07421a7a50"},
        {HG_Q4_K, {0, 2}, "3b4e8b4ff41b435f60fbfaa56f97ddcce29e1ebed37a691f560588d498dc0448"},
        {HG_Q5_K, {0, 2}, "c50e7861f0dfe27aad404817e55951ea91d143b5488573e3efd8463c4f4c4c94"},
        {HG_Q6_K, {208, -1}, "6bd669db18b7e53b42a5fc3d4e7f1b504fbe1b39fc57ac5a2c56df7c4ceb651c"},
        {HG_IQ4_NL, {0, -1}, "e4438cffe034b3d388c5a4e407e1836707088f7e1189d0462c55db657db5f61d"},
        {HG_IQ4_XS, {0, -1}, "6db5e7465966a4321a63f43aad708f3a4502a84b09e22c9d5d233d2440343a8b"},
        {HG_MXFP4, {-1, -1}, "2d5ae09a7490a4f5184ce09f3bb2e7bb77a0fc2b9aa2baf12d97e86b1ff2ce1e"},
    };
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        size_t n = N_BLOCKS * hg_type_block(want[i].type);
        size_t size = hg_type_block_size(want[i].type);
        unsigned char *blocks = hg_alloc(N_BLOCKS, size);
        float *y = hg_alloc(n, sizeof *y);
        char sha[65];
        CHECK(blocks != NULL && y != NULL && size <= LARGEST);
        fill_blocks(blocks, size, want[i].halves);
        hg_blocks_to_f32(y, blocks, want[i].type, n);
        hg_sha256_hex(y, n * sizeof *y, sha);
        CHECK_STR(sha, want[i].sha256);
        hg_free(blocks);
        hg_free(y);
    }
}

/* d of 2, q of -3 and 5 in the first and last place: every sum by hand. */
TEST(a_q8_0_block_is_its_scale_times_its_integers)
{
    hg_block_q8_0 b = {.d = 0x4000, .q = {-3}};
    float y[32];
    b.q[31] = 5;
    hg_blocks_to_f32(y, &b, HG_Q8_0, 32);
    CHECK(y[0] == -6.0f && y[31] == 10.0f);
    for (int i = 1; i < 31; i++) CHECK(y[i] == 0.0f);
}
