/* MXFP4 as safetensors have it: joined from blocks and scales, it means what the format's formula
 * says, wherever the two lie; pairs that do not fit are refused. */
#include "harness/test.h"
#include "kernels/quant.h"
#include "model/inner.h"

#include <math.h>
#include <string.h>

enum { EXPERTS = 2, ROWS = 3, BLOCKS = 2, N_BLOCKS = EXPERTS * ROWS * BLOCKS };

/* A safetensors file of byte tensors: a header and all their bytes. */
static void put_file(hg_buf *out, const char *header, const void *bytes, size_t n)
{
    for (int i = 0; i < 8; i++) hg_buf_putc(out, (char)(strlen(header) >> (8 * i) & 255));
    hg_buf_puts(out, header);
    hg_buf_put(out, bytes, n);
}

static hg_status parse(hg_store *s, const hg_buf *file, hg_err *e)
{
    return hg_safetensors_parse(s, (const unsigned char *)file->p, file->n, "x", e);
}

/* Elements of the OCP's E2M1, by their four bits. */
static double value(unsigned bits)
{
    static const double e2m1[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
    return (bits & 8) != 0 ? -e2m1[bits & 7] : e2m1[bits & 7];
}

TEST(joined_blocks_mean_what_the_format_says)
{
    unsigned char blocks[N_BLOCKS * 16], scales[N_BLOCKS];
    for (size_t i = 0; i < sizeof blocks; i++) blocks[i] = (unsigned char)(i * 37 + i / 7);
    for (size_t i = 0; i < N_BLOCKS; i++) scales[i] = (unsigned char)(120 + i);
    hg_err e = {0};
    hg_store s;
    hg_buf first = {0}, second = {0}; /* the two lie in different files */
    put_file(&first,
             "{\"w_blocks\": {\"dtype\": \"U8\", \"shape\": [2, 3, 2, 16], \"data_offsets\": [0, "
             "192]}}",
             blocks, sizeof blocks);
    put_file(&second,
             "{\"w_scales\": {\"dtype\": \"U8\", \"shape\": [2, 3, 2], \"data_offsets\": [0, 12]}}",
             scales, sizeof scales);
    hg_store_init(&s);
    CHECK_OK(parse(&s, &first, &e), e);
    CHECK_OK(parse(&s, &second, &e), e);
    CHECK_OK(hg_store_sort(&s, "x", &e), e);
    CHECK_OK(hg_mxfp4_join(&s, "x", &e), e);
    const hg_entry *w = hg_store_find(&s, "w");
    CHECK(w != NULL && w->type == HG_MXFP4 && w->n_dims == 3);
    CHECK(w->dim[0] == 2 && w->dim[1] == 3 && w->dim[2] == 64);
    CHECK(hg_store_find(&s, "w_blocks")->is_used && hg_store_find(&s, "w_scales")->is_used);
    /* every other row, as gate and up share a tensor: rows 1, 3, 5 of the six */
    const hg_source src = {
        .entry = w, .row0 = 1, .group = 1, .stride = 2, .file_rows = 3, .rows = 3, .cols = 64};
    unsigned char raw[3 * BLOCKS * 17];
    float y[3 * 64];
    CHECK(hg_source_direct(&src) == NULL);
    hg_source_copy(&src, 0, 3 * 64, raw);
    hg_blocks_to_f32(y, raw, HG_MXFP4, 3 * 64);
    for (size_t r = 0; r < 3; r++)
        for (size_t c = 0; c < 64; c++) {
            size_t block = (1 + 2 * r) * BLOCKS + c / 32;
            unsigned byte = blocks[16 * block + c % 32 / 2];
            double want = ldexp(value(c % 2 == 0 ? byte & 15 : byte >> 4), scales[block] - 127);
            CHECK_NEAR(y[64 * r + c], want, 0);
        }
    hg_store_free(&s);
    hg_buf_free(&first);
    hg_buf_free(&second);
}

static void check_refused(const char *header, const char *part)
{
    static const char bytes[256];
    hg_err e = {0};
    hg_store s;
    hg_buf file = {0};
    put_file(&file, header, bytes, sizeof bytes);
    hg_store_init(&s);
    CHECK_OK(parse(&s, &file, &e), e);
    CHECK_OK(hg_store_sort(&s, "x", &e), e);
    CHECK_EQ(hg_mxfp4_join(&s, "dir", &e), HG_E_FORMAT);
    CHECK_HAS(e.msg, "dir: ");
    CHECK_HAS(e.msg, part);
    hg_store_free(&s);
    hg_buf_free(&file);
}

TEST(blocks_without_their_scales_are_refused)
{
    check_refused("{\"w_blocks\": {\"dtype\": \"U8\", \"shape\": [3, 2, 16], \"data_offsets\": [0, "
                  "96]}}",
                  "tensor w_blocks has no tensor w_scales beside it");
}

TEST(blocks_and_scales_of_other_shapes_are_refused)
{
    static const char *const want =
        "tensors w_blocks and w_scales do not belong together; a scale for each 16 bytes is needed";
    check_refused("{\"w_blocks\": {\"dtype\": \"U8\", \"shape\": [3, 2, 16], \"data_offsets\": [0, "
                  "96]}, \"w_scales\": {\"dtype\": \"U8\", \"shape\": [2, 3], \"data_offsets\": "
                  "[96, 102]}}",
                  want);
    check_refused("{\"w_blocks\": {\"dtype\": \"U8\", \"shape\": [3, 2, 15], \"data_offsets\": [0, "
                  "90]}, \"w_scales\": {\"dtype\": \"U8\", \"shape\": [3, 2], \"data_offsets\": "
                  "[90, 96]}}",
                  want);
    check_refused("{\"w_blocks\": {\"dtype\": \"U8\", \"shape\": [3, 2, 16], \"data_offsets\": [0, "
                  "96]}, \"w_scales\": {\"dtype\": \"F32\", \"shape\": [3, 2], \"data_offsets\": "
                  "[96, 120]}}",
                  want);
}
