/* Gradients of what an adapter in training adds, and of dropout, against finite differences. */
#include "harness/lab.h"
#include "harness/test.h"
#include "tensor/lora.h"

#include <math.h>
#include <string.h>

typedef struct args {
    hg_tensor *x, *w, *b;
    hg_lora_tuning tuning;
    float p;
} args;

static hg_tensor *build_dropout(lab *l, void *ctx)
{
    args *a = ctx;
    return hg_op_dropout(&l->g, a->x, a->p, 7, 0);
}

TEST(dropout_gradient_makes_the_choice_of_the_forward_pass)
{
    lab l;
    lab_open(&l, 2);
    args a = {.x = lab_input(&l, 9, 13, false), .p = 0.3f};
    lab_compare(&l, build_dropout, &a, 0.03f, 2e-4);
    lab_close(&l);
}

TEST(dropout_leaves_the_mean_and_drops_its_share_by_seed_and_row_alone)
{
    lab l;
    lab_open(&l, 2);
    const size_t n = 64, d = 501;
    hg_tensor *x = lab_tensor(&l, n, d, false);
    float *v = x->data;
    double sum = 0;
    size_t zeros = 0;
    for (size_t i = 0; i < n * d; i++) v[i] = 1;
    lab_begin(&l, HG_COMPUTE_F32, false);
    const hg_tensor *y = hg_op_dropout(&l.g, x, 0.25f, 3, 0),
                    *z = hg_op_dropout(&l.g, x, 0.25f, 3, 0);
    const hg_tensor *other = hg_op_dropout(&l.g, x, 0.25f, 4, 0);
    for (size_t i = 0; i < n * d; i++) {
        sum += (double)((const float *)y->data)[i];
        zeros += ((const float *)y->data)[i] == 0;
    }
    CHECK_NEAR(sum / (double)(n * d), 1.0, 0.02);
    CHECK_NEAR((double)zeros / (double)(n * d), 0.25, 0.01);
    CHECK_EQ(memcmp(y->data, z->data, n * d * sizeof(float)), 0);
    CHECK(memcmp(y->data, other->data, n * d * sizeof(float)) != 0);
    /* Rows [20, 64) alone. */
    hg_tensor rest = *x;
    rest.dim[0] = n - 20;
    rest.data = v + 20 * d;
    z = hg_op_dropout(&l.g, &rest, 0.25f, 3, 20);
    CHECK_EQ(memcmp((const float *)y->data + 20 * d, z->data, (n - 20) * d * sizeof(float)), 0);
    /* What was kept in bfloat16 gives the bits of a pass that kept floats. */
    hg_tensor half = *x;
    for (size_t i = 0; i < n * d; i++) v[i] = 1 + (float)i / (float)(n * d);
    half.type = HG_BF16;
    half.data = HG_NEW(&l.keep, hg_bf16, n * d);
    l.rt->k.f32_to_bf16(half.data, v, n * d);
    lab_begin(&l, HG_COMPUTE_BF16, false);
    y = hg_op_dropout(&l.g, x, 0.25f, 3, 0);
    z = hg_op_dropout(&l.g, &half, 0.25f, 3, 0);
    CHECK_EQ(memcmp(y->data, z->data, n * d * sizeof(float)), 0);
    CHECK(hg_op_dropout(&l.g, x, 1.0f, 3, 0) == NULL);
    CHECK_STR(l.g.err.msg, "dropout: a probability of 1; 0 to below 1 allowed");
    lab_close(&l);
}

/* The frozen weight has no gradient; x, A and B have. */
static hg_tensor *build_tuned(lab *l, void *ctx)
{
    args *a = ctx;
    l->g.tuning = &a->tuning;
    return hg_op_linear(&l->g, a->x, a->w, a->b);
}

static void open_tuned(lab *l, args *a, hg_tensor *pair[2], float dropout)
{
    lab_open(l, 2);
    memset(a, 0, sizeof *a);
    a->x = lab_input(l, 6, 11, false);
    a->w = lab_tensor(l, 5, 11, false);
    a->w->needs_grad = false;
    a->b = lab_tensor(l, 0, 5, false);
    a->b->needs_grad = false;
    pair[0] = lab_input(l, 3, 11, true);
    pair[1] = lab_input(l, 5, 3, true);
    a->tuning = (hg_lora_tuning){.w = a->w, .n = 1, .scale = 1.5f, .dropout = dropout, .seed = 9};
}

TEST(an_adapters_gradient)
{
    lab l;
    args a;
    hg_tensor *pair[2];
    open_tuned(&l, &a, pair, 0);
    a.tuning.a = &pair[0];
    a.tuning.b = &pair[1];
    lab_compare(&l, build_tuned, &a, 0.03f, 3e-4);
    lab_close(&l);
}

/* dA = s B^T dW and dB = s dW A^T, where dW is the gradient that the weight itself would have. */
TEST(an_adapters_gradient_is_the_weights_own_projected)
{
    lab l;
    args a;
    hg_tensor *pair[2];
    hg_err e = {0};
    double v;
    open_tuned(&l, &a, pair, 0);
    a.tuning.a = &pair[0];
    a.tuning.b = &pair[1];
    lab_begin(&l, HG_COMPUTE_F32, true);
    hg_tensor *loss = lab_sum(&l.g, build_tuned(&l, &a), &v);
    CHECK_OK(hg_graph_backward(&l.g, loss, 1.0f, &e), e);
    /* the same weight, whole: W + s B A, trained itself */
    hg_tensor *w = lab_tensor(&l, 5, 11, true);
    const float *wa = pair[0]->data, *wb = pair[1]->data;
    for (size_t i = 0; i < 5; i++)
        for (size_t j = 0; j < 11; j++) {
            float sum = ((const float *)a.w->data)[i * 11 + j];
            for (size_t r = 0; r < 3; r++) sum += 1.5f * wb[i * 3 + r] * wa[r * 11 + j];
            ((float *)w->data)[i * 11 + j] = sum;
        }
    lab_begin(&l, HG_COMPUTE_F32, true);
    loss = lab_sum(&l.g, hg_op_linear(&l.g, a.x, w, a.b), &v);
    CHECK_OK(hg_graph_backward(&l.g, loss, 1.0f, &e), e);
    for (size_t r = 0; r < 3; r++)
        for (size_t j = 0; j < 11; j++) {
            double sum = 0;
            for (size_t i = 0; i < 5; i++)
                sum += 1.5 * (double)wb[i * 3 + r] * (double)w->grad[i * 11 + j];
            CHECK_NEAR(pair[0]->grad[r * 11 + j], sum, 1e-4 * (1 + fabs(sum)));
        }
    for (size_t i = 0; i < 5; i++)
        for (size_t r = 0; r < 3; r++) {
            double sum = 0;
            for (size_t j = 0; j < 11; j++)
                sum += 1.5 * (double)w->grad[i * 11 + j] * (double)wa[r * 11 + j];
            CHECK_NEAR(pair[1]->grad[i * 3 + r], sum, 1e-4 * (1 + fabs(sum)));
        }
    lab_close(&l);
}
