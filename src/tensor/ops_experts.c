/* A mixture of experts: each row is worked on by the few of many experts that a router gives the
 * best scores (Shazeer et al. 2017, Fedus et al. 2021). Rows are sorted by expert, so that each
 * expert's matrices are read once whatever the batch holds. */
#include "tensor/ops_experts.h"
#include "tensor/ops_impl.h"

#include <math.h>
#include <string.h>

typedef struct choose_job {
    const float *scores; /* [n][n_experts] */
    size_t n_experts, n_used;
    bool among_chosen;
    int32_t *expert; /* [n][n_used] */
    float *weight;   /* [n][n_used] */
} choose_job;

/* The best experts of one row, best first. */
static void best_of(const float *s, size_t n, size_t n_used, int32_t *out)
{
    for (size_t j = 0; j < n_used; j++) {
        int32_t best = -1;
        for (int32_t i = 0; (size_t)i < n; i++) {
            bool is_taken = false;
            for (size_t k = 0; k < j; k++) is_taken = is_taken || out[k] == i;
            if (!is_taken && (best < 0 || s[i] > s[best])) best = i;
        }
        out[j] = best;
    }
}

static void choose_rows(void *ctx, size_t begin, size_t end, int thread)
{
    const choose_job *j = ctx;
    (void)thread;
    for (size_t r = begin; r < end; r++) {
        const float *s = j->scores + r * j->n_experts;
        int32_t *expert = j->expert + r * j->n_used;
        float *weight = j->weight + r * j->n_used, sum = 0;
        best_of(s, j->n_experts, j->n_used, expert);
        float max = s[expert[0]];
        for (size_t i = 0; i < j->n_used; i++) sum += weight[i] = expf(s[expert[i]] - max);
        if (!j->among_chosen) {
            sum = 0;
            for (size_t i = 0; i < j->n_experts; i++) sum += expf(s[i] - max);
        }
        for (size_t i = 0; i < j->n_used; i++) weight[i] /= sum;
    }
}

/* Sorts the rows by expert, by counting. */
static void sort_rows(hg_choice *c, const choose_job *j, size_t n)
{
    size_t n_all = n * c->n_used;
    for (size_t i = 0; i < n_all; i++) c->first[j->expert[i] + 1]++;
    for (size_t e = 0; e < c->n_experts; e++) c->first[e + 1] += c->first[e];
    for (size_t i = 0; i < n_all; i++) {
        size_t at = c->first[j->expert[i]]++;
        c->rows[at] = (int32_t)(i / c->n_used);
        c->weights[at] = j->weight[i];
    }
    memmove(c->first + 1, c->first, c->n_experts * sizeof *c->first);
    c->first[0] = 0;
}

static bool choose_check(hg_graph *g, const hg_tensor *scores, size_t n_used)
{
    char shape[HG_SHAPE_TEXT];
    if (!hg_op_check(g, "choose", "scores", scores)) return false;
    if (hg_op_recorded(g, scores, NULL, NULL)) {
        (void)hg_graph_fail(g, HG_E_UNSUPPORTED, "a model with experts cannot be trained");
        return false;
    }
    if (n_used > 0 && n_used <= hg_tensor_cols(scores)) return true;
    (void)hg_graph_fail(g, HG_E_ARG, "choose: scores are %s and %zu experts are to be chosen",
                        hg_shape_text(scores, shape), n_used);
    return false;
}

const hg_choice *hg_op_choose(hg_graph *g, hg_tensor *scores, size_t n_used, bool among_chosen)
{
    if (!choose_check(g, scores, n_used)) return NULL;
    size_t n = hg_tensor_rows(scores), n_experts = hg_tensor_cols(scores);
    hg_choice *c = HG_NEW(g->mem, hg_choice, 1);
    choose_job j = {scores->data,
                    n_experts,
                    n_used,
                    among_chosen,
                    HG_NEW_RAW(g->mem, int32_t, n * n_used),
                    HG_NEW_RAW(g->mem, float, n *n_used)};
    size_t *first = HG_NEW(g->mem, size_t, n_experts + 1);
    int32_t *rows = HG_NEW_RAW(g->mem, int32_t, n * n_used);
    float *weights = HG_NEW_RAW(g->mem, float, n *n_used);
    if (c == NULL || j.expert == NULL || j.weight == NULL || first == NULL || rows == NULL ||
        weights == NULL) {
        (void)hg_graph_fail(g, HG_E_NOMEM, "no memory for the experts of %zu rows", n);
        return NULL;
    }
    hg_pool_run(g->rt->pool, n, hg_op_grain(n_experts * n_used * sizeof(float)), choose_rows, &j);
    *c = (hg_choice){n_experts, n_used, first, rows, weights};
    sort_rows(c, &j, n);
    return c;
}

hg_tensor *hg_op_zeros(hg_graph *g, const hg_tensor *x)
{
    if (!hg_op_check(g, "zeros", "x", x)) return NULL;
    hg_tensor *y = hg_op_like(g, x);
    if (y != NULL) memset(y->data, 0, hg_tensor_count(y) * sizeof(float));
    return y;
}

typedef struct add_job {
    const hg_kernels *k;
    float *y;
    const float *x;
    const int32_t *rows;
    const float *weights;
    size_t d;
} add_job;

static void add_chunk(void *ctx, size_t begin, size_t end, int thread)
{
    const add_job *j = ctx;
    (void)thread;
    for (size_t i = begin; i < end; i++)
        j->k->axpy_f32(j->y + (size_t)j->rows[i] * j->d, j->weights[i], j->x + i * j->d, j->d);
}

void hg_op_add_weighted(hg_graph *g, hg_tensor *y, hg_tensor *x, const hg_choice *c, size_t expert)
{
    if (!hg_op_check(g, "add_weighted", "x", x)) return;
    size_t from = c->first[expert], n = c->first[expert + 1] - from, d = hg_tensor_cols(y);
    if (hg_tensor_rows(x) != n || hg_tensor_cols(x) != d) {
        char shape[HG_SHAPE_TEXT];
        (void)hg_graph_fail(g, HG_E_ARG, "add_weighted: x is %s; [%zu][%zu] is needed",
                            hg_shape_text(x, shape), n, d);
        return;
    }
    add_job j = {&g->rt->k, y->data, x->data, c->rows + from, c->weights + from, d};
    hg_pool_run(g->rt->pool, n, hg_op_grain(2 * d * sizeof(float)), add_chunk, &j);
}
