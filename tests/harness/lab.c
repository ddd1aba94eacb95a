#include "harness/lab.h"
#include "base/rng.h"
#include "harness/test.h"

#include <math.h>
#include <string.h>

void lab_open(lab *l, int n_threads)
{
    hg_err e;
    *l = (lab){.seed = 1};
    CHECK_OK(hg_runtime_new(&l->rt, n_threads, HG_N_ISA, &e), e);
    hg_arena_init(&l->keep, 0);
    hg_arena_init(&l->step, 0);
    lab_begin(l, HG_COMPUTE_F32, true);
}

void lab_close(lab *l)
{
    hg_arena_free(&l->keep);
    hg_arena_free(&l->step);
    hg_runtime_free(l->rt);
}

void lab_fill(lab *l, float *x, size_t n)
{
    hg_rng r;
    hg_rng_init(&r, l->seed++, 0);
    for (size_t i = 0; i < n; i++) x[i] = (float)(2 * hg_rng_unit(&r) - 1);
}

hg_tensor *lab_tensor(lab *l, size_t rows, size_t cols, bool is_param)
{
    hg_tensor *t = HG_NEW(&l->keep, hg_tensor, 1);
    size_t n = (rows > 0 ? rows : 1) * cols;
    *t = (hg_tensor){.type = HG_F32, .n_dims = rows > 0 ? 2 : 1, .dim = {rows, cols}};
    if (rows == 0) t->dim[0] = cols;
    t->data = HG_NEW(&l->keep, float, n);
    t->needs_grad = true;
    t->is_param = is_param;
    if (is_param) t->grad = HG_NEW(&l->keep, float, n);
    lab_fill(l, t->data, n);
    return t;
}

hg_tensor *lab_input(lab *l, size_t rows, size_t cols, bool is_param)
{
    CHECK(l->n_inputs < LAB_MAX_INPUTS);
    return l->input[l->n_inputs++] = lab_tensor(l, rows, cols, is_param);
}

void lab_begin(lab *l, hg_compute compute, bool record)
{
    hg_arena_reset(&l->step);
    hg_graph_init(&l->g, l->rt, &l->step, compute, record);
}

/* ---- a scalar of anything ---- */

static float coefficient(size_t i)
{
    return 0.3f + 0.7f * sinf(1.7f * (float)i);
}

static void sum_back(hg_graph *g, hg_step *s)
{
    bool is_first = false;
    float *d = hg_grad_open(g, s->in[0], &is_first);
    if (d == NULL) return;
    for (size_t i = 0; i < hg_tensor_count(s->in[0]); i++)
        d[i] = (is_first ? 0 : d[i]) + coefficient(i) * s->out->grad[0];
}

hg_tensor *lab_sum(hg_graph *g, hg_tensor *y, double *value)
{
    hg_tensor *out = hg_graph_tensor(g, 1, 1);
    if (out == NULL || y == NULL) return NULL;
    double sum = 0;
    for (size_t i = 0; i < hg_tensor_count(y); i++)
        sum += (double)coefficient(i) * (double)((const float *)y->data)[i];
    *(float *)out->data = (float)sum;
    if (value != NULL) *value = sum;
    if (hg_op_recorded(g, y, NULL, NULL))
        (void)hg_op_record(g, sum_back, (hg_tensor *[3]){y}, out, NULL);
    return out;
}

/* ---- finite differences ---- */

static double evaluate(lab *l, lab_build *build, void *ctx)
{
    hg_err e = {0};
    double value = 0;
    lab_begin(l, HG_COMPUTE_F32, false);
    (void)lab_sum(&l->g, build(l, ctx), &value);
    CHECK_OK(hg_graph_status(&l->g, &e), e);
    return value;
}

static double difference(lab *l, lab_build *build, void *ctx, float *x, float h)
{
    float at = *x;
    double d[2];
    for (int i = 0; i < 2; i++) {
        float step = i == 0 ? h : 2 * h;
        *x = at + step;
        double up = evaluate(l, build, ctx), high = (double)*x;
        *x = at - step;
        d[i] = (up - evaluate(l, build, ctx)) / (high - (double)*x);
    }
    *x = at;
    return (4 * d[0] - d[1]) / 3;
}

void lab_compare(lab *l, lab_build *build, void *ctx, float h, double bound)
{
    hg_err e = {0};
    float *grad[LAB_MAX_INPUTS];
    for (size_t i = 0; i < l->n_inputs; i++)
        if (l->input[i]->is_param)
            memset(l->input[i]->grad, 0, hg_tensor_count(l->input[i]) * sizeof(float));
    lab_begin(l, HG_COMPUTE_F32, true);
    hg_tensor *loss = lab_sum(&l->g, build(l, ctx), NULL);
    CHECK_OK(hg_graph_backward(&l->g, loss, 1, &e), e);
    for (size_t i = 0; i < l->n_inputs; i++) { /* the arena is reset by each evaluation */
        hg_tensor *t = l->input[i];
        CHECK(t->grad != NULL);
        grad[i] = HG_NEW(&l->keep, float, hg_tensor_count(t));
        memcpy(grad[i], t->grad, hg_tensor_count(t) * sizeof(float));
        if (!t->is_param) t->grad = NULL, t->grad_buf = NULL;
    }
    for (size_t i = 0; i < l->n_inputs; i++)
        for (size_t j = 0; j < hg_tensor_count(l->input[i]); j++) {
            double want = difference(l, build, ctx, (float *)l->input[i]->data + j, h);
            double got = (double)grad[i][j];
            if (!(fabs(got - want) <= bound * (1 + fabs(want))))
                test_fail(__FILE__, __LINE__,
                          "input %zu, value %zu: gradient %.7g, by differences %.7g", i, j, got,
                          want);
        }
}
