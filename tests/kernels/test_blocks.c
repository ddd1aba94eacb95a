/* What the bytes of quantised blocks mean, against ggml's answers. */
#include "data.h"
#include "base/hash.h"
#include "kernels/quant.h"

#include <math.h>
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

/* ---- quantising ---- */

static double lost(hg_type t, const float *x, const float *weight, size_t n, float *y)
{
    void *blocks = hg_alloc(1, hg_type_bytes(t, n));
    double off = 0, all = 0;
    CHECK(blocks != NULL);
    hg_f32_to_blocks(blocks, x, weight, t, n);
    hg_blocks_to_f32(y, blocks, t, n);
    for (size_t i = 0; i < n; i++) {
        double w = weight == NULL ? 1.0 : (double)weight[i], d = (double)y[i] - (double)x[i];
        CHECK(isfinite(y[i]));
        off += w * d * d;
        all += w * (double)x[i] * (double)x[i];
    }
    hg_free(blocks);
    return all > 0 ? sqrt(off / all) : sqrt(off);
}

/* Uniform values: the error of n_levels equal steps is 1 / n_levels of the range's deviation;
 * scales that are themselves rounded cost a little. */
TEST(more_bits_lose_less_and_each_type_no_more_than_its_steps)
{
    static const struct {
        hg_type type;
        double most;
    } want[] = {{HG_Q2_K, 0.25},     {HG_Q3_K, 0.125},    {HG_Q4_0, 1.0 / 15}, {HG_Q4_1, 1.0 / 16},
                {HG_Q4_K, 1.0 / 16}, {HG_MXFP4, 0.125},   {HG_Q5_0, 1.0 / 30}, {HG_Q5_1, 1.0 / 31},
                {HG_Q5_K, 1.0 / 31}, {HG_Q6_K, 1.0 / 62}, {HG_Q8_0, 1.0 / 250}};
    enum { N = 16 * HG_SUPER };
    hg_rng r;
    float *y = hg_alloc(N, sizeof *y);
    hg_rng_init(&r, 5, 1);
    float *x = random_floats(N, 1.0, &r);
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        CHECK(hg_can_quantize(want[i].type));
        double l = lost(want[i].type, x, NULL, N, y);
        CHECK(l > want[i].most / 3 && l < want[i].most);
    }
    CHECK(!hg_can_quantize(HG_F16) && !hg_can_quantize(HG_IQ4_NL) && !hg_can_quantize(HG_IQ4_XS));
    hg_free(x);
    hg_free(y);
}

TEST(weights_move_the_error_to_where_it_matters_less)
{
    enum { N = 8 * HG_SUPER };
    hg_rng r;
    float *y = hg_alloc(N, sizeof *y), *w = hg_alloc(N, sizeof *w);
    hg_rng_init(&r, 6, 1);
    float *x = random_floats(N, 1.0, &r);
    for (size_t i = 0; i < N; i++) w[i] = i % 4 == 0 ? 100.0f : 1.0f;
    for (int t = HG_Q4_0; t < HG_N_TYPES; t++) {
        if (!hg_can_quantize((hg_type)t) || t == HG_Q8_0) continue;
        double with = lost((hg_type)t, x, w, N, y), off = 0, all = 0;
        (void)lost((hg_type)t, x, NULL, N, y);
        for (size_t i = 0; i < N; i++) {
            off += (double)w[i] * pow((double)y[i] - (double)x[i], 2);
            all += (double)w[i] * pow((double)x[i], 2);
        }
        CHECK(with < sqrt(off / all));
    }
    hg_free(x);
    hg_free(y);
    hg_free(w);
}

/* Rows that no fit likes: zeros, one value everywhere, one value alone, the ends of float32, no
 * weight at all. */
TEST(odd_rows_stay_finite_and_near)
{
    float x[HG_SUPER], y[HG_SUPER], none[HG_SUPER] = {0};
    for (int t = HG_Q4_0; t < HG_N_TYPES; t++) {
        if (!hg_can_quantize((hg_type)t)) continue;
        hg_type type = (hg_type)t;
        double most = type == HG_Q2_K || type == HG_MXFP4 ? 0.5 : type == HG_Q3_K ? 0.2 : 0.1;
        memset(x, 0, sizeof x);
        CHECK(lost(type, x, NULL, HG_SUPER, y) == 0);
        for (int v = -1; v <= 1; v += 2) {
            for (int i = 0; i < HG_SUPER; i++) x[i] = 0.37f * (float)v;
            CHECK(lost(type, x, NULL, HG_SUPER, y) < most);
            CHECK(lost(type, x, none, HG_SUPER, y) < most);
            memset(x, 0, sizeof x);
            x[77] = 3.0f * (float)v;
            CHECK(lost(type, x, NULL, HG_SUPER, y) < most);
            for (int i = 0; i < HG_SUPER; i++) x[i] = (float)v * (i % 2 == 0 ? 3e38f : 1e-44f);
            (void)lost(type, x, NULL, HG_SUPER, y);
            for (int i = 0; i < HG_SUPER; i++) x[i] = (float)v * 1e-40f;
            (void)lost(type, x, NULL, HG_SUPER, y);
        }
    }
}
