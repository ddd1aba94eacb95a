/* Cross-entropy of the next token, fused with the head: where training begins and evaluation ends.
 *
 * Logits of all rows would be the largest array of the whole step (rows x vocabulary), so rows are
 * worked off in chunks: product with the head, log-sum-exp, and, when gradients are wanted, softmax
 * minus target and its products into dx and dW while the chunk's logits are in the cache (Wijmans
 * et al. 2024). The gradients need the scale that backward will start from. When the caller has
 * promised it (hg_graph.loss_scale) they are made in the forward pass; else backward runs over the
 * chunks again. Rows without a target cost nothing: the others are gathered first. */
#include "tensor/matmul.h"
#include "tensor/ops_gate.h"
#include "tensor/panels.h"

#include <math.h>
#include <string.h>

enum { CHUNK_BYTES = 16 << 20, CHUNK_MIN = 256, CHUNK_MAX = 1024 };

typedef struct loss {
    hg_tensor *x, *w;
    const int32_t *targets;
    const float *weights;
    float soft_cap;
    int32_t *rows; /* [n] the counted rows */
    size_t n, n_vocab, d;
    bool is_sum;   /* weights of any sign, and not divided by their sum */
    double weight; /* what the weighted sum is divided by */
    float *losses; /* [rows of x] */
    bool is_done;  /* gradients were added in the forward pass, for the scale `promised` */
    float promised;
} loss;

/* One chunk: rows [begin, begin + m) of the counted ones. */
typedef struct chunk {
    const hg_kernels *k;
    const loss *l;
    size_t begin, m;
    float *logits; /* [m][n_vocab]; then softmax - target, of type `type`, each row at its place */
    hg_type type;
    float *tmp;  /* [n_threads][n_vocab] */
    float scale; /* of the gradient; 0: only the losses are wanted */
} chunk;

static float row_weight(const loss *l, size_t row)
{
    return l->weights != NULL ? l->weights[row] : 1.0f;
}

/* logits -> scale weight / l->weight (softmax - target) cap', as float32 or rounded to the
 * type that the products take them in. */
static void row_gradient(const chunk *c, float *logits, float *p, float sum, size_t row)
{
    const loss *l = c->l;
    size_t n = l->n_vocab;
    float s = (float)((double)(c->scale * row_weight(l, row)) / l->weight);
    c->k->scale_f32(p, s / sum, p, n);
    p[l->targets[row]] -= s;
    if (l->soft_cap > 0)
        for (size_t v = 0; v < n; v++) {
            float t = logits[v] / l->soft_cap;
            p[v] *= 1.0f - t * t;
        }
    if (c->type == HG_BF16)
        c->k->f32_to_bf16((hg_bf16 *)(void *)logits, p, n);
    else
        memcpy(logits, p, n * sizeof *p);
}

static void rows_chunk(void *ctx, size_t begin, size_t end, int thread)
{
    const chunk *c = ctx;
    const loss *l = c->l;
    size_t n = l->n_vocab;
    float *p = c->tmp + (size_t)thread * n;
    for (size_t i = begin; i < end; i++) {
        size_t row = (size_t)l->rows[c->begin + i];
        float *logits = c->logits + i * n;
        if (l->soft_cap > 0) hg_soft_cap(c->k, logits, logits, l->soft_cap, n);
        float max = c->k->max_f32(logits, n), target = logits[l->targets[row]];
        float sum = c->k->exp_sum_f32(p, logits, max, n);
        l->losses[row] = logf(sum) - (target - max);
        if (c->scale > 0 || c->scale < 0) row_gradient(c, logits, p, sum, row);
    }
}

/* ---- a pass over the chunks ---- */

typedef struct pass {
    hg_graph *g;
    const loss *l;
    float *dx, *dw;
    bool x_is_gathered;
    float *x_rows, *dx_rows; /* [chunk][d], where rows are gathered */
    chunk c;
} pass;

static void gather_rows(pass *p)
{
    const loss *l = p->l;
    const float *x = l->x->data;
    for (size_t i = 0; i < p->c.m; i++)
        memcpy(p->x_rows + i * l->d, x + (size_t)l->rows[p->c.begin + i] * l->d, l->d * sizeof *x);
}

static void scatter_rows(pass *p)
{
    const loss *l = p->l;
    for (size_t i = 0; i < p->c.m; i++) {
        float *to = p->dx + (size_t)l->rows[p->c.begin + i] * l->d;
        p->c.k->add_f32(to, to, p->dx_rows + i * l->d, l->d);
    }
}

static hg_status chunk_logits(pass *p, const float *x)
{
    const loss *l = p->l;
    hg_graph *g = p->g;
    if (l->w->packed != NULL)
        return hg_matmul_packed(g->rt, l->w->type, p->c.logits, x, l->w->packed, p->c.m, l->n_vocab,
                                l->d, &g->err);
    hg_matrix a = {x, HG_F32, l->d, 1};
    return hg_matmul_weight(g, p->c.logits, &a, l->w, false, NULL, p->c.m, false);
}

static hg_status chunk_gradients(pass *p, const float *x)
{
    const loss *l = p->l;
    hg_graph *g = p->g;
    size_t m = p->c.m, d = l->d, v = l->n_vocab, ld = p->c.type == HG_BF16 ? 2 * v : v;
    hg_matrix dl = {p->c.logits, p->c.type, ld, 1}, dl_t = {p->c.logits, p->c.type, 1, ld};
    hg_matrix xm = {x, HG_F32, d, 1};
    if (p->dx != NULL) {
        /* gathered: to a place of its own, then added to the rows it belongs to */
        float *to = p->x_is_gathered ? p->dx_rows : p->dx + p->c.begin * d;
        HG_TRY(hg_matmul_weight(g, to, &dl, l->w, true, NULL, m, !p->x_is_gathered));
        if (p->x_is_gathered) scatter_rows(p);
    }
    if (p->dw != NULL)
        HG_TRY(hg_matmul(g->rt, g->compute, p->dw, d, &dl_t, &xm, v, d, m, true, &g->err));
    return HG_OK;
}

static hg_status one_chunk(pass *p)
{
    const loss *l = p->l;
    const float *x = (const float *)l->x->data + p->c.begin * l->d;
    if (p->x_is_gathered) {
        gather_rows(p);
        x = p->x_rows;
    }
    HG_TRY(chunk_logits(p, x));
    size_t grain = hg_op_grain(2 * l->n_vocab * sizeof(float));
    hg_pool_run(p->g->rt->pool, p->c.m, grain, rows_chunk, &p->c);
    return p->dx != NULL || p->dw != NULL ? chunk_gradients(p, x) : HG_OK;
}

static size_t chunk_rows(const loss *l)
{
    size_t n = CHUNK_BYTES / sizeof(float) / l->n_vocab;
    n = n < CHUNK_MIN ? CHUNK_MIN : n > CHUNK_MAX ? CHUNK_MAX : n;
    return n < l->n ? n : l->n;
}

/* All chunks: losses, and with a scale other than 0 the gradients too. */
static void run_pass(hg_graph *g, const loss *l, float scale)
{
    pass p = {.g = g, .l = l, .x_is_gathered = l->n < hg_tensor_rows(l->x)};
    bool x_is_first = false, w_is_first = false;
    size_t rows = chunk_rows(l);
    p.c = (chunk){.k = &g->rt->k,
                  .l = l,
                  .scale = scale,
                  .type = g->compute == HG_COMPUTE_BF16 ? HG_BF16 : HG_F32};
    if (scale > 0 || scale < 0) {
        p.dx = hg_grad_open(g, l->x, &x_is_first);
        p.dw = hg_grad_open(g, l->w, &w_is_first);
        if (g->status != HG_OK) return;
        if (x_is_first) memset(p.dx, 0, hg_tensor_count(l->x) * sizeof *p.dx);
        if (w_is_first) memset(p.dw, 0, hg_tensor_count(l->w) * sizeof *p.dw);
    }
    hg_arena_mark here = hg_arena_here(g->mem);
    p.c.logits = HG_NEW_RAW(g->mem, float, rows * l->n_vocab);
    p.c.tmp = HG_NEW_RAW(g->mem, float, (size_t)g->rt->n_threads * l->n_vocab);
    p.x_rows = HG_NEW_RAW(g->mem, float, rows * l->d);
    p.dx_rows = HG_NEW_RAW(g->mem, float, rows * l->d);
    if (p.c.logits == NULL || p.c.tmp == NULL || p.x_rows == NULL || p.dx_rows == NULL) {
        (void)hg_graph_fail(g, HG_E_NOMEM, "cross_entropy: no memory for the logits of %zu rows",
                            rows);
        return;
    }
    for (; p.c.begin < l->n && g->status == HG_OK; p.c.begin += p.c.m) {
        p.c.m = l->n - p.c.begin < rows ? l->n - p.c.begin : rows;
        g->status = one_chunk(&p);
    }
    hg_arena_rewind(g->mem, here);
}

static void loss_back(hg_graph *g, hg_step *s)
{
    loss *l = s->saved;
    float scale = s->out->grad[0];
    if (l->n == 0 || !(l->weight > 0)) return;
    if (!l->is_done) {
        run_pass(g, l, scale);
        return;
    }
    if (scale > l->promised || scale < l->promised)
        (void)hg_graph_fail(g, HG_E_STATE,
                            "cross_entropy: backward comes with a scale of %g, but loss_scale "
                            "promised %g",
                            (double)scale, (double)l->promised);
}

/* ---- the op ---- */

static bool loss_check(hg_graph *g, const hg_tensor *x, const hg_tensor *w)
{
    char sx[HG_SHAPE_TEXT], sw[HG_SHAPE_TEXT];
    if (!hg_op_check(g, "cross_entropy", "x", x) || !hg_op_check_weight(g, "cross_entropy", "w", w))
        return false;
    if (w->n_dims != 2 || w->dim[1] != hg_tensor_cols(x)) {
        (void)hg_graph_fail(g, HG_E_ARG,
                            "cross_entropy: x is %s and w is %s; w must be [n_vocab][%zu]",
                            hg_shape_text(x, sx), hg_shape_text(w, sw), hg_tensor_cols(x));
        return false;
    }
    if (w->data != NULL || !hg_op_recorded(g, x, w, NULL)) return true;
    (void)hg_graph_fail(g, HG_E_STATE,
                        "cross_entropy: w is held only packed; a backward pass needs its rows");
    return false;
}

/* Finds the counted rows and their weight. */
static bool count_rows(hg_graph *g, loss *l)
{
    size_t n = hg_tensor_rows(l->x);
    for (size_t i = 0; i < n; i++) {
        int32_t t = l->targets[i];
        l->losses[i] = 0;
        if (t < 0) continue;
        if ((size_t)t >= l->n_vocab) {
            (void)hg_graph_fail(g, HG_E_ARG, "cross_entropy: target %zu is %d; below %zu allowed",
                                i, (int)t, l->n_vocab);
            return false;
        }
        float weight = row_weight(l, i);
        if (!isfinite(weight) || (weight < 0 && !l->is_sum)) {
            (void)hg_graph_fail(g, HG_E_ARG, "cross_entropy: weight %zu is %g; %s is needed", i,
                                (double)weight, l->is_sum ? "a finite one" : "0 or more");
            return false;
        }
        l->rows[l->n++] = (int32_t)i;
        l->weight += (double)weight;
    }
    if (l->is_sum) l->weight = 1;
    return true;
}

static float weighted_loss(const loss *l)
{
    double sum = 0;
    if (!(l->weight > 0)) return 0;
    for (size_t i = 0; i < l->n; i++) {
        size_t row = (size_t)l->rows[i];
        sum += (double)row_weight(l, row) * (double)l->losses[row];
    }
    return (float)(sum / l->weight);
}

static hg_tensor *cross_entropy(hg_graph *g, loss from, size_t *n_counted)
{
    hg_tensor *x = from.x, *w = from.w;
    float *losses = from.losses;
    if (n_counted != NULL) *n_counted = 0;
    if (!loss_check(g, x, w)) return NULL;
    size_t n = hg_tensor_rows(x);
    hg_tensor *out = hg_graph_tensor(g, 1, 1);
    loss *l = HG_NEW(g->mem, loss, 1);
    int32_t *rows = HG_NEW_RAW(g->mem, int32_t, n);
    if (losses == NULL) losses = HG_NEW_RAW(g->mem, float, n);
    if (out == NULL || l == NULL || rows == NULL || losses == NULL)
        return hg_graph_fail(g, HG_E_NOMEM, "cross_entropy: no memory for %zu rows", n);
    *l = from;
    l->rows = rows;
    l->n_vocab = w->dim[0];
    l->d = w->dim[1];
    l->losses = losses;
    if (!count_rows(g, l)) return NULL;
    if (n_counted != NULL) *n_counted = l->n;
    bool recorded = hg_op_recorded(g, x, w, NULL);
    l->is_done = recorded && l->weight > 0 && (g->loss_scale > 0 || g->loss_scale < 0);
    l->promised = g->loss_scale;
    if (l->n > 0) run_pass(g, l, l->is_done ? g->loss_scale : 0.0f);
    *(float *)out->data = weighted_loss(l);
    if (g->status == HG_OK && recorded)
        (void)hg_op_record(g, loss_back, (hg_tensor *[3]){x, w}, out, l);
    return g->status == HG_OK ? out : NULL;
}

hg_tensor *hg_op_linear_cross_entropy(hg_graph *g, hg_tensor *x, hg_tensor *w,
                                      const int32_t *targets, const float *weights, float soft_cap,
                                      float *losses, size_t *n_counted)
{
    const loss l = {.x = x,
                    .w = w,
                    .targets = targets,
                    .weights = weights,
                    .soft_cap = soft_cap,
                    .losses = losses};
    return cross_entropy(g, l, n_counted);
}

hg_tensor *hg_op_linear_surprise(hg_graph *g, hg_tensor *x, hg_tensor *w, const int32_t *targets,
                                 const float *weights, float soft_cap, float *losses)
{
    const loss l = {.x = x,
                    .w = w,
                    .targets = targets,
                    .weights = weights,
                    .soft_cap = soft_cap,
                    .losses = losses,
                    .is_sum = true};
    return cross_entropy(g, l, NULL);
}
