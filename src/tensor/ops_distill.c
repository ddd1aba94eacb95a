/* Distillation, fused with both heads (Hinton et al. 2015): the student's loss against the target
 * and against what a teacher says of the whole vocabulary. As with cross-entropy, rows with a
 * target are gathered and worked off in chunks, so that neither model's logits are ever kept; the
 * gradients are made where the logits are, so the scale of backward must be promised. */
#include "tensor/matmul.h"
#include "tensor/panels.h"
#include "tensor/ops_gate.h"

#include <math.h>
#include <string.h>

enum { CHUNK_BYTES = 16 << 20, CHUNK_MIN = 64, CHUNK_MAX = 1024 };

typedef struct distill {
    hg_graph *g;
    const hg_distill *o;
    hg_tensor *x, *w;
    const hg_tensor *teacher_x, *teacher_w;
    int32_t *rows; /* [n] the counted rows */
    size_t n, n_vocab, d, begin, m;
    double weight;        /* of the counted rows */
    float scale;          /* of the gradient; 0: only the losses are wanted */
    float *logits, *said; /* [chunk][n_vocab] student's (then its gradient), teacher's */
    float *tmp;           /* [n_threads][n_vocab] */
    float *dx_rows, *x_rows, *teacher_rows;
    float promised;
} distill;

/* log-sum-exp of z / t. */
static double log_sum(const float *z, size_t n, double t, double max)
{
    double sum = 0;
    for (size_t v = 0; v < n; v++) sum += exp(((double)z[v] - max) / t);
    return log(sum) + max / t;
}

static void cap_row(const distill *d, float *z, float cap)
{
    if (cap > 0) hg_soft_cap(&d->g->rt->k, z, z, cap, d->n_vocab);
}

static double row_weight(const hg_distill *o, size_t row)
{
    return o->weights != NULL ? (double)o->weights[row] : 1;
}

/* z becomes scale w / sum w (a t (q - p) + (1 - a) (softmax - target)) cap', q and p softened by t.
 */
static void rows_distill(void *ctx, size_t begin, size_t end, int thread)
{
    const distill *d = ctx;
    const hg_distill *o = d->o;
    double t = (double)o->temperature, a = (double)o->share;
    (void)thread;
    for (size_t i = begin; i < end; i++) {
        size_t row = (size_t)d->rows[d->begin + i];
        float *z = d->logits + i * d->n_vocab, *u = d->said + i * d->n_vocab;
        cap_row(d, z, o->soft_cap);
        cap_row(d, u, o->teacher_cap);
        double max = (double)d->g->rt->k.max_f32(z, d->n_vocab);
        double max_u = (double)d->g->rt->k.max_f32(u, d->n_vocab);
        double plain = log_sum(z, d->n_vocab, 1, max), soft = log_sum(z, d->n_vocab, t, max);
        double said = log_sum(u, d->n_vocab, t, max_u), kl = 0;
        size_t target = (size_t)o->targets[row];
        const double weight = row_weight(o, row);
        o->losses[row] = (float)(plain - (double)z[target]);
        for (size_t v = 0; v < d->n_vocab; v++) {
            double log_p = (double)u[v] / t - said, log_q = (double)z[v] / t - soft;
            double p = exp(log_p);
            double by = a * t * (exp(log_q) - p);
            by += (1 - a) * (exp((double)z[v] - plain) - (v == target ? 1.0 : 0.0));
            if (o->soft_cap > 0) {
                double r = (double)(z[v] / o->soft_cap);
                by *= 1 - r * r;
            }
            kl += p * (log_p - log_q);
            z[v] = (float)((double)d->scale * weight / d->weight * by);
        }
        o->kls[row] = (float)kl;
    }
}

static void gather(const distill *d, const hg_tensor *x, float *to)
{
    size_t n = hg_tensor_cols(x);
    for (size_t i = 0; i < d->m; i++)
        memcpy(to + i * n, (const float *)x->data + (size_t)d->rows[d->begin + i] * n,
               n * sizeof *to);
}

static hg_status head(distill *d, hg_compute compute, const hg_tensor *w, const float *x, float *to)
{
    size_t n = w->dim[1];
    if (w->packed != NULL)
        return hg_matmul_packed(d->g->rt, w->type, to, x, w->packed, d->m, d->n_vocab, n,
                                &d->g->err);
    hg_matrix a = {x, HG_F32, n, 1}, b = {w->data, w->type, 1, n};
    if (w == d->w) return hg_matmul_weight(d->g, to, &a, w, false, NULL, d->m, false);
    return hg_matmul(d->g->rt, compute, to, d->n_vocab, &a, &b, d->m, d->n_vocab, n, false,
                     &d->g->err);
}

static hg_status gradients(distill *d, float *dx, float *dw)
{
    hg_graph *g = d->g;
    size_t m = d->m, n = d->d, v = d->n_vocab;
    hg_matrix dl = {d->logits, HG_F32, v, 1}, dl_t = {d->logits, HG_F32, 1, v};
    hg_matrix x = {d->x_rows, HG_F32, n, 1};
    if (dx != NULL) {
        HG_TRY(hg_matmul_weight(g, d->dx_rows, &dl, d->w, true, NULL, m, false));
        for (size_t i = 0; i < m; i++) {
            float *to = dx + (size_t)d->rows[d->begin + i] * n;
            g->rt->k.add_f32(to, to, d->dx_rows + i * n, n);
        }
    }
    if (dw == NULL) return HG_OK;
    return hg_matmul(g->rt, g->compute, dw, n, &dl_t, &x, v, n, m, true, &g->err);
}

static hg_status one_chunk(distill *d, float *dx, float *dw)
{
    gather(d, d->x, d->x_rows);
    gather(d, d->teacher_x, d->teacher_rows);
    HG_TRY(head(d, d->g->compute, d->w, d->x_rows, d->logits));
    HG_TRY(head(d, d->o->teacher_compute, d->teacher_w, d->teacher_rows, d->said));
    hg_pool_run(d->g->rt->pool, d->m, 1, rows_distill, d);
    return dx != NULL || dw != NULL ? gradients(d, dx, dw) : HG_OK;
}

static size_t chunk_rows(size_t n_rows, size_t n_vocab)
{
    size_t rows = CHUNK_BYTES / sizeof(float) / n_vocab;
    rows = rows < CHUNK_MIN ? CHUNK_MIN : rows > CHUNK_MAX ? CHUNK_MAX : rows;
    return rows > n_rows ? n_rows : rows;
}

size_t hg_distill_room(size_t n_rows, size_t n_vocab, size_t teacher_d)
{
    return chunk_rows(n_rows, n_vocab) * (n_vocab + teacher_d) * sizeof(float);
}

static bool make_room(distill *d, size_t rows)
{
    hg_arena *mem = d->g->mem;
    d->logits = HG_NEW_RAW(mem, float, rows * d->n_vocab);
    d->said = HG_NEW_RAW(mem, float, rows * d->n_vocab);
    d->x_rows = HG_NEW_RAW(mem, float, rows * d->d);
    d->dx_rows = HG_NEW_RAW(mem, float, rows * d->d);
    d->teacher_rows = HG_NEW_RAW(mem, float, rows * d->teacher_w->dim[1]);
    return d->logits != NULL && d->said != NULL && d->x_rows != NULL && d->dx_rows != NULL &&
           d->teacher_rows != NULL;
}

static void run_chunks(distill *d)
{
    hg_graph *g = d->g;
    bool x_is_first = false, w_is_first = false;
    float *dx = NULL, *dw = NULL;
    const size_t rows = chunk_rows(d->n, d->n_vocab);
    if (d->scale > 0) {
        dx = hg_grad_open(g, d->x, &x_is_first);
        dw = hg_grad_open(g, d->w, &w_is_first);
        if (g->status != HG_OK) return;
        if (x_is_first) memset(dx, 0, hg_tensor_count(d->x) * sizeof *dx);
        if (w_is_first) memset(dw, 0, hg_tensor_count(d->w) * sizeof *dw);
    }
    hg_arena_mark here = hg_arena_here(g->mem);
    if (!make_room(d, rows)) {
        (void)hg_graph_fail(g, HG_E_NOMEM, "distill: no memory for the logits of %zu rows", rows);
        return;
    }
    for (; d->begin < d->n && g->status == HG_OK; d->begin += d->m) {
        d->m = d->n - d->begin < rows ? d->n - d->begin : rows;
        g->status = one_chunk(d, dx, dw);
    }
    hg_arena_rewind(g->mem, here);
}

static void distill_back(hg_graph *g, hg_step *s)
{
    const distill *d = s->saved;
    float scale = s->out->grad[0];
    if (scale > d->promised || scale < d->promised)
        (void)hg_graph_fail(
            g, HG_E_STATE, "distill: backward comes with a scale of %g, but loss_scale promised %g",
            (double)scale, (double)d->promised);
}

static bool check(hg_graph *g, const hg_tensor *x, const hg_tensor *w, const hg_tensor *tx,
                  const hg_tensor *tw)
{
    if (!hg_op_check(g, "distill", "x", x) || !hg_op_check_weight(g, "distill", "w", w) ||
        !hg_op_check(g, "distill", "teacher_x", tx) ||
        !hg_op_check_weight(g, "distill", "teacher_w", tw))
        return false;
    if (w->dim[1] == hg_tensor_cols(x) && tw->dim[1] == hg_tensor_cols(tx) &&
        hg_tensor_rows(x) == hg_tensor_rows(tx) && w->dim[0] <= tw->dim[0])
        return true;
    (void)hg_graph_fail(g, HG_E_ARG,
                        "distill: states and heads of student and teacher do not fit each other");
    return false;
}

hg_tensor *hg_op_distill(hg_graph *g, hg_tensor *x, hg_tensor *w, const hg_tensor *teacher_x,
                         const hg_tensor *teacher_w, const hg_distill *o)
{
    if (!check(g, x, w, teacher_x, teacher_w)) return NULL;
    size_t n = hg_tensor_rows(x);
    double ce = 0, kl = 0, t = (double)o->temperature, a = (double)o->share;
    hg_tensor *out = hg_graph_tensor(g, 1, 1);
    distill *d = HG_NEW(g->mem, distill, 1);
    int32_t *rows = HG_NEW_RAW(g->mem, int32_t, n);
    if (out == NULL || d == NULL || rows == NULL)
        return hg_graph_fail(g, HG_E_NOMEM, "distill: no memory for %zu rows", n);
    bool recorded = hg_op_recorded(g, x, w, NULL);
    *d = (distill){.g = g, .o = o, .x = x, .w = w, .teacher_x = teacher_x, .teacher_w = teacher_w};
    d->rows = rows;
    d->n_vocab = w->dim[0];
    d->d = w->dim[1];
    d->promised = g->loss_scale;
    d->scale = recorded ? g->loss_scale : 0;
    for (size_t i = 0; i < n; i++) {
        o->losses[i] = o->kls[i] = 0;
        if (o->targets[i] < 0 || (size_t)o->targets[i] >= d->n_vocab) continue;
        if (!(row_weight(o, i) > 0)) continue;
        rows[d->n++] = (int32_t)i;
        d->weight += row_weight(o, i);
    }
    if (d->n > 0) run_chunks(d);
    for (size_t i = 0; i < n; i++) {
        ce += row_weight(o, i) * (double)o->losses[i];
        kl += row_weight(o, i) * (double)o->kls[i];
    }
    if (d->n > 0)
        *(float *)out->data = (float)(((1 - a) * ce + a * t * t * kl) / d->weight);
    else
        *(float *)out->data = 0;
    if (g->status == HG_OK && recorded)
        (void)hg_op_record(g, distill_back, (hg_tensor *[3]){x, w}, out, d);
    return g->status == HG_OK ? out : NULL;
}
