/* Weights in blocks behind a record: the products and gradients of the floats that they mean, also
 * where the weight is worked off in several slices. */
#include "harness/lab.h"
#include "harness/test.h"
#include "kernels/quant.h"
#include "tensor/panels.h"

#include <math.h>
#include <string.h>

enum { N = 5, IN = 64, OUT = HG_SLICE_BYTES / 4 / IN * 2 + 77, LAST = OUT - 1 };

/* Deterministic small bytes: Q8_0 blocks are a half and 32 signed bytes. */
static void fill_blocks(unsigned char *p, size_t n_blocks)
{
    for (size_t b = 0; b < n_blocks; b++, p += 34) {
        const uint16_t half = (uint16_t)(0x2000 + b % 512); /* about 0.008 */
        memcpy(p, &half, 2);
        for (size_t i = 0; i < 32; i++) p[2 + i] = (unsigned char)((b * 37 + i * 11) % 255);
    }
}

/* y = x W^T, the sum of squares back to dx. */
static void run(lab *l, hg_compute c, hg_tensor *x, hg_tensor *w, float *y, float *dx)
{
    hg_err e = {0};
    lab_begin(l, c, true);
    x->grad = NULL;
    x->grad_buf = NULL;
    hg_tensor *out = hg_op_linear(&l->g, x, w, NULL);
    CHECK_OK(hg_graph_status(&l->g, &e), e);
    memcpy(y, out->data, (size_t)N * OUT * sizeof *y);
    hg_tensor *loss = lab_sum(&l->g, out, NULL);
    CHECK_OK(hg_graph_backward(&l->g, loss, 1.0f, &e), e);
    memcpy(dx, x->grad, (size_t)N * IN * sizeof *dx);
}

TEST_SECONDS(a_weight_in_blocks_multiplies_as_its_values_in_any_number_of_slices, 60)
{
    lab l;
    lab_open(&l, 2);
    const size_t n = (size_t)OUT * IN;
    hg_tensor *x = lab_tensor(&l, N, IN, false), blocks, floats;
    x->needs_grad = true;
    blocks = floats = (hg_tensor){.n_dims = 2, .dim = {OUT, IN}, .is_param = true};
    blocks.type = HG_Q8_0;
    blocks.data = HG_NEW_RAW(&l.keep, unsigned char, hg_type_bytes(HG_Q8_0, n));
    floats.type = HG_F32;
    floats.data = HG_NEW_RAW(&l.keep, float, n);
    float *y[2], *dx[2];
    for (int i = 0; i < 2; i++) {
        y[i] = HG_NEW_RAW(&l.keep, float, (size_t)N *OUT);
        dx[i] = HG_NEW_RAW(&l.keep, float, (size_t)N *IN);
        CHECK(y[i] != NULL && dx[i] != NULL);
    }
    CHECK(blocks.data != NULL && floats.data != NULL);
    fill_blocks(blocks.data, n / 32);
    hg_blocks_to_f32(floats.data, blocks.data, HG_Q8_0, n);
    for (int c = 0; c < HG_N_COMPUTE; c++) {
        run(&l, (hg_compute)c, x, &blocks, y[0], dx[0]);
        run(&l, (hg_compute)c, x, &floats, y[1], dx[1]);
        CHECK_EQ(memcmp(y[0], y[1], (size_t)N * OUT * sizeof **y), 0);
        CHECK(fabsf(y[0][LAST]) > 0);
        double off = 0, size = 0;
        for (size_t i = 0; i < (size_t)N * IN; i++) {
            off += pow((double)(dx[0][i] - dx[1][i]), 2);
            size += pow((double)dx[1][i], 2);
        }
        CHECK(sqrt(off) <= 1e-5 * sqrt(size)); /* the order of the sums differs */
    }
    lab_close(&l);
}
