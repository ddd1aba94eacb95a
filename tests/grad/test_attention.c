/* Gradients of attention against finite differences. */
#include "harness/lab.h"
#include "harness/test.h"

#include <math.h>
#include <string.h>

typedef struct args {
    hg_tensor *q, *k, *v;
    hg_attention a;
    bool residual; /* q, k and v have a second user */
} args;

static hg_tensor *build(lab *l, void *ctx)
{
    args *a = ctx;
    hg_graph *g = &l->g;
    hg_tensor *y = hg_op_attention(g, a->q, a->k, a->v, &a->a);
    if (!a->residual) return y;
    y = hg_op_add(g, y, hg_op_scale(g, a->q, 0.5f));
    return hg_op_add(g, y, hg_op_add(g, a->k, a->v));
}

static void compare(size_t n_heads, size_t n_kv, size_t d, size_t window, float cap,
                    const hg_span *spans, size_t n_spans, bool residual)
{
    lab l;
    const hg_span *last = &spans[n_spans - 1];
    size_t n = last->row + last->n;
    lab_open(&l, 2);
    args a = {.q = lab_input(&l, n, n_heads * d, false),
              .k = lab_input(&l, n, n_kv * d, false),
              .v = lab_input(&l, n, n_kv * d, false),
              .residual = residual};
    a.a = (hg_attention){n_heads, n_kv, d, 0.9f, cap, window, NULL, spans, n_spans};
    lab_compare(&l, build, &a, 0.02f, 2e-4);
    lab_close(&l);
}

static const hg_span DOCUMENTS[] = {{.row = 0, .n = 5}, {.row = 5, .n = 1}, {.row = 6, .n = 7}};

TEST(attention_gradient_over_packed_documents)
{
    compare(2, 2, 3, 0, 0, DOCUMENTS, 3, false);
}

TEST(attention_gradient_with_grouped_queries)
{
    compare(6, 2, 3, 0, 0, DOCUMENTS, 3, false);
}

TEST(attention_gradient_with_a_window)
{
    compare(2, 1, 4, 3, 0, DOCUMENTS, 3, false);
}

TEST(attention_gradient_with_a_soft_cap)
{
    compare(2, 1, 3, 0, 0.8f, DOCUMENTS, 3, false);
}

TEST(attention_gradient_is_added_where_there_is_one)
{
    compare(2, 2, 3, 4, 1.5f, DOCUMENTS, 3, true);
}

/* ---- spans longer than a block, and than a part: sampled, against double precision ---- */

typedef struct exact {
    double *dq, *dk, *dv, *p, *dp;
} exact;

static double coefficient_of(const hg_tensor *dy, size_t i)
{
    return (double)((const float *)dy->data)[i];
}

/* One span of n rows, straight from the formulas. */
static void exact_backward(lab *l, exact *x, const args *a, const hg_tensor *dy, size_t n)
{
    size_t h_n = a->a.n_heads, kv_n = a->a.n_kv_heads, d = a->a.d_head;
    const float *q = a->q->data, *k = a->k->data, *v = a->v->data;
    x->dq = HG_NEW(&l->keep, double, n *h_n *d);
    x->dk = HG_NEW(&l->keep, double, n *kv_n *d);
    x->dv = HG_NEW(&l->keep, double, n *kv_n *d);
    x->p = HG_NEW(&l->keep, double, n);
    x->dp = HG_NEW(&l->keep, double, n);
    for (size_t h = 0; h < h_n; h++)
        for (size_t i = 0; i < n; i++) {
            size_t kv = h / (h_n / kv_n), qi = (i * h_n + h) * d;
            size_t w = a->a.window, first = w > 0 && i + 1 > w ? i + 1 - w : 0;
            double sum = 0, dot = 0;
            for (size_t j = first; j <= i; j++) {
                double s = 0, dp = 0;
                for (size_t c = 0; c < d; c++) {
                    s += (double)q[qi + c] * (double)k[(j * kv_n + kv) * d + c];
                    dp += coefficient_of(dy, qi + c) * (double)v[(j * kv_n + kv) * d + c];
                }
                x->p[j] = exp(s * (double)a->a.scale);
                x->dp[j] = dp;
                sum += x->p[j];
            }
            for (size_t j = first; j <= i; j++) {
                x->p[j] /= sum;
                dot += x->p[j] * x->dp[j];
            }
            for (size_t j = first; j <= i; j++) {
                double ds = x->p[j] * (x->dp[j] - dot) * (double)a->a.scale;
                for (size_t c = 0; c < d; c++) {
                    size_t kj = (j * kv_n + kv) * d + c;
                    x->dq[qi + c] += ds * (double)k[kj];
                    x->dk[kj] += ds * (double)q[qi + c];
                    x->dv[kj] += x->p[j] * coefficient_of(dy, qi + c);
                }
            }
        }
}

static void check_near(const char *what, const float *got, const double *want, size_t n,
                       double bound)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - want[i]) <= bound * (1 + fabs(want[i]))))
            test_fail(__FILE__, __LINE__, "%s, value %zu: %.7g, not %.7g", what, i, (double)got[i],
                      want[i]);
}

static void seed_back(hg_graph *g, hg_step *s)
{
    bool is_first = false;
    float *d = hg_grad_open(g, s->in[0], &is_first);
    if (d != NULL) memcpy(d, s->saved, hg_tensor_count(s->in[0]) * sizeof *d);
}

static void compare_long(size_t n, size_t window)
{
    lab l;
    hg_err e = {0};
    exact x;
    hg_span span = {.row = 0, .n = n};
    lab_open(&l, 2);
    args a = {.q = lab_tensor(&l, n, 4 * 8, false),
              .k = lab_tensor(&l, n, 2 * 8, false),
              .v = lab_tensor(&l, n, 2 * 8, false)};
    a.a = (hg_attention){4, 2, 8, 0.5f, 0, window, NULL, &span, 1};
    hg_tensor *dy = lab_tensor(&l, n, 4 * 8, false);
    exact_backward(&l, &x, &a, dy, n);
    lab_begin(&l, HG_COMPUTE_F32, true);
    hg_tensor *y = build(&l, &a), *loss = hg_graph_tensor(&l.g, 1, 1);
    CHECK(hg_op_record(&l.g, seed_back, (hg_tensor *[3]){y}, loss, dy->data) != NULL);
    CHECK_OK(hg_graph_backward(&l.g, loss, 1, &e), e);
    check_near("dq", a.q->grad, x.dq, n * 32, 1e-5);
    check_near("dk", a.k->grad, x.dk, n * 16, 1e-4);
    check_near("dv", a.v->grad, x.dv, n * 16, 1e-4);
    lab_close(&l);
}

TEST(attention_gradient_over_several_blocks)
{
    compare_long(300, 0);
    compare_long(333, 70);
}

TEST(attention_gradient_of_a_long_span_in_parts)
{
    compare_long(1100, 0);
    compare_long(1601, 0);
    compare_long(1601, 300);
}
