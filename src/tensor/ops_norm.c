/* RMS norm and layer norm of runs of d values: whole rows before each half of a block, or each head
 * of a row (query/key norm).
 *
 * The forward pass saves one or two numbers a run. The gradients of w and b are sums over all runs:
 * these are cut into HG_SUM_PARTS parts, each with sums of its own, which are then added in order.
 * References: Ba, Kiros and Hinton 2016; Zhang and Sennrich 2019. */
#include "tensor/ops_impl.h"

#include <math.h>
#include <string.h>

typedef struct norm_job {
    const hg_kernels *k;
    size_t n, d; /* runs, and their length */
    float eps;
    const float *x, *w, *b;
    float *y;
    float *r, *mean; /* [n] of each run, or NULL */
    const float *dy; /* backward */
    float *dx;       /* NULL: not wanted */
    float *dw, *db;  /* [HG_SUM_PARTS][d], or NULL */
    float *tmp;      /* [HG_SUM_PARTS][2][d] */
    bool is_first;   /* dx is stored, not added to */
} norm_job;

static bool norm_check(hg_graph *g, const char *op, const hg_tensor *x, const hg_tensor *w,
                       const hg_tensor *b)
{
    char sx[HG_SHAPE_TEXT];
    if (!hg_op_check(g, op, "x", x) || !hg_op_check(g, op, "w", w)) return false;
    if (!hg_op_check_vector(g, op, "w", w, w->dim[0])) return false;
    if (b != NULL && !hg_op_check_vector(g, op, "b", b, w->dim[0])) return false;
    if (w->dim[0] > 0 && hg_tensor_cols(x) % w->dim[0] == 0) return true;
    (void)hg_graph_fail(g, HG_E_ARG, "%s: x is %s; its rows must be whole runs of w's %zu values",
                        op, hg_shape_text(x, sx), w->dim[0]);
    return false;
}

/* Runs `part_fn` over the parts with scratch for the sums of dw and db, then adds them up. */
static void norm_back(hg_graph *g, hg_step *s, norm_job *j, hg_pool_fn *part_fn)
{
    hg_tensor *x = s->in[0], *w = s->in[1], *b = s->in[2];
    j->k = &g->rt->k;
    j->d = w->dim[0];
    j->n = hg_tensor_count(x) / j->d;
    j->x = x->data;
    j->w = w->data;
    j->dy = s->out->grad;
    bool w_is_first = false, b_is_first = false;
    j->dx = hg_grad_open(g, x, &j->is_first);
    float *dw = hg_grad_open(g, w, &w_is_first), *db = hg_grad_open(g, b, &b_is_first);
    if (g->status != HG_OK) return;
    hg_arena_mark here = hg_arena_here(g->mem);
    size_t n_sums = HG_SUM_PARTS * j->d;
    j->dw = dw != NULL ? HG_NEW(g->mem, float, n_sums) : NULL;
    j->db = db != NULL ? HG_NEW(g->mem, float, n_sums) : NULL;
    j->tmp = HG_NEW(g->mem, float, 2 * n_sums);
    if ((dw != NULL && j->dw == NULL) || (db != NULL && j->db == NULL) || j->tmp == NULL) {
        (void)hg_graph_fail(g, HG_E_NOMEM, "no memory for a norm's gradient");
        return;
    }
    hg_pool_run(g->rt->pool, HG_SUM_PARTS, 1, part_fn, j);
    if (dw != NULL) hg_op_add_parts(g, dw, j->dw, j->d, w_is_first);
    if (db != NULL) hg_op_add_parts(g, db, j->db, j->d, b_is_first);
    hg_arena_rewind(g->mem, here);
}

/* What the forward pass saves. */
typedef struct norm_saved {
    float *r, *mean; /* [n] */
} norm_saved;

/* Room for what backward needs, in job and in *saved; false when there is none. */
static bool norm_save(hg_graph *g, norm_job *j, norm_saved **saved, bool with_mean)
{
    norm_saved *v = HG_NEW(g->mem, norm_saved, 1);
    j->r = HG_NEW_RAW(g->mem, float, j->n);
    if (with_mean) j->mean = HG_NEW_RAW(g->mem, float, j->n);
    if (v == NULL || j->r == NULL || (with_mean && j->mean == NULL)) {
        (void)hg_graph_fail(g, HG_E_NOMEM, "no memory to record a norm");
        return false;
    }
    *v = (norm_saved){j->r, j->mean};
    *saved = v;
    return true;
}

/* ---- y = x / rms(x) * w ---- */

static void rms_chunk(void *ctx, size_t begin, size_t end, int thread)
{
    const norm_job *j = ctx;
    (void)thread;
    for (size_t t = begin; t < end; t++) {
        float r = j->k->rms_norm_f32(j->y + t * j->d, j->x + t * j->d, j->w, j->eps, j->d);
        if (j->r != NULL) j->r[t] = r;
    }
}

typedef struct part_range {
    size_t begin, end;
} part_range;

static part_range runs_of_part(const norm_job *j, size_t p)
{
    size_t per = (j->n + HG_SUM_PARTS - 1) / HG_SUM_PARTS;
    size_t begin = p * per < j->n ? p * per : j->n;
    return (part_range){begin, j->n - begin < per ? j->n : begin + per};
}

static void rms_back_part(void *ctx, size_t begin, size_t end, int thread)
{
    const norm_job *j = ctx;
    (void)thread;
    for (size_t p = begin; p < end; p++) {
        part_range in = runs_of_part(j, p);
        float *dw = j->dw != NULL ? j->dw + p * j->d : NULL;
        for (size_t t = in.begin; t < in.end; t++) {
            /* the kernel always gives dx: where nobody wants it, it goes to scratch */
            float *dx = j->dx != NULL ? j->dx + t * j->d : j->tmp + p * 2 * j->d;
            if (j->is_first) memset(dx, 0, j->d * sizeof *dx);
            j->k->rms_norm_back_f32(dx, dw, j->dy + t * j->d, j->x + t * j->d, j->w, j->r[t], j->d);
        }
    }
}

static void rms_back(hg_graph *g, hg_step *s)
{
    const norm_saved *v = s->saved;
    norm_job j = {.r = v->r};
    norm_back(g, s, &j, rms_back_part);
}

hg_tensor *hg_op_rms_norm(hg_graph *g, hg_tensor *x, hg_tensor *w, float eps)
{
    if (!norm_check(g, "rms_norm", x, w, NULL)) return NULL;
    hg_tensor *y = hg_op_like(g, x);
    if (y == NULL) return NULL;
    size_t d = w->dim[0];
    norm_job j = {.k = &g->rt->k,
                  .n = hg_tensor_count(x) / d,
                  .d = d,
                  .eps = eps,
                  .x = x->data,
                  .w = w->data,
                  .y = y->data};
    bool recorded = hg_op_recorded(g, x, w, NULL);
    norm_saved *saved = NULL;
    if (recorded && !norm_save(g, &j, &saved, false)) return NULL;
    hg_pool_run(g->rt->pool, j.n, hg_op_grain(2 * d * sizeof(float)), rms_chunk, &j);
    if (recorded && hg_op_record(g, rms_back, (hg_tensor *[3]){x, w}, y, saved) == NULL)
        return NULL;
    return y;
}

/* ---- y = (x - mean(x)) / sqrt(var(x) + eps) * w + b ---- */

static void layer_chunk(void *ctx, size_t begin, size_t end, int thread)
{
    const norm_job *j = ctx;
    size_t d = j->d;
    (void)thread;
    for (size_t t = begin; t < end; t++) {
        const float *x = j->x + t * d;
        float *y = j->y + t * d;
        float mean = j->k->sum_f32(x, d) / (float)d;
        for (size_t i = 0; i < d; i++) y[i] = x[i] - mean;
        float r = 1.0f / sqrtf(j->k->dot_f32(y, y, d) / (float)d + j->eps);
        for (size_t i = 0; i < d; i++) y[i] = y[i] * r * j->w[i];
        if (j->b != NULL) j->k->add_f32(y, y, j->b, d);
        if (j->r == NULL) continue;
        j->r[t] = r;
        j->mean[t] = mean;
    }
}

/* With h = (x - mean) r the normalised run and q = dy w:
 * dx = r (q - mean(q) - h mean(q h)),  dw = sum dy h,  db = sum dy. */
static void layer_back_run(const norm_job *j, size_t t, float *dx, float *dw, float *q, float *h)
{
    size_t d = j->d;
    const float *x = j->x + t * d, *dy = j->dy + t * d;
    float r = j->r[t], mean = j->mean[t];
    for (size_t i = 0; i < d; i++) {
        h[i] = (x[i] - mean) * r;
        q[i] = dy[i] * j->w[i];
    }
    if (dw != NULL)
        for (size_t i = 0; i < d; i++) dw[i] += dy[i] * h[i];
    if (dx == NULL) return;
    float mq = j->k->sum_f32(q, d) / (float)d, mqh = j->k->dot_f32(q, h, d) / (float)d;
    if (j->is_first)
        for (size_t i = 0; i < d; i++) dx[i] = r * (q[i] - mq - h[i] * mqh);
    else
        for (size_t i = 0; i < d; i++) dx[i] += r * (q[i] - mq - h[i] * mqh);
}

static void layer_back_part(void *ctx, size_t begin, size_t end, int thread)
{
    const norm_job *j = ctx;
    size_t d = j->d;
    (void)thread;
    for (size_t p = begin; p < end; p++) {
        part_range in = runs_of_part(j, p);
        float *q = j->tmp + p * 2 * d, *h = q + d;
        for (size_t t = in.begin; t < in.end; t++) {
            layer_back_run(j, t, j->dx != NULL ? j->dx + t * d : NULL,
                           j->dw != NULL ? j->dw + p * d : NULL, q, h);
            if (j->db != NULL) j->k->add_f32(j->db + p * d, j->db + p * d, j->dy + t * d, d);
        }
    }
}

static void layer_back(hg_graph *g, hg_step *s)
{
    const norm_saved *v = s->saved;
    norm_job j = {.r = v->r, .mean = v->mean};
    norm_back(g, s, &j, layer_back_part);
}

hg_tensor *hg_op_layer_norm(hg_graph *g, hg_tensor *x, hg_tensor *w, hg_tensor *b, float eps)
{
    if (!norm_check(g, "layer_norm", x, w, b)) return NULL;
    hg_tensor *y = hg_op_like(g, x);
    if (y == NULL) return NULL;
    size_t d = w->dim[0];
    norm_job j = {.k = &g->rt->k,
                  .n = hg_tensor_count(x) / d,
                  .d = d,
                  .eps = eps,
                  .x = x->data,
                  .w = w->data,
                  .y = y->data,
                  .b = b != NULL ? b->data : NULL};
    bool recorded = hg_op_recorded(g, x, w, b);
    norm_saved *saved = NULL;
    if (recorded && !norm_save(g, &j, &saved, true)) return NULL;
    hg_pool_run(g->rt->pool, j.n, hg_op_grain(2 * d * sizeof(float)), layer_chunk, &j);
    if (recorded && hg_op_record(g, layer_back, (hg_tensor *[3]){x, w, b}, y, saved) == NULL)
        return NULL;
    return y;
}
