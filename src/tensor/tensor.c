/* Tensors, the graph, and its record run in reverse.
 *
 * Backward walks the steps from the last to the first; each reads its output's gradient and adds to
 * its inputs' (reverse accumulation, Linnainmaa 1970). An activation's gradient lives from its
 * first writer to the step that made the activation: after that its buffer goes to the next one
 * that asks, so that a few buffers, warm in the cache, serve the whole pass. */
#include "tensor/ops_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

size_t hg_tensor_count(const hg_tensor *t)
{
    return hg_tensor_rows(t) * hg_tensor_cols(t);
}

size_t hg_tensor_rows(const hg_tensor *t)
{
    size_t n = 1;
    for (int i = 0; i + 1 < t->n_dims; i++) n *= t->dim[i];
    return n;
}

size_t hg_tensor_cols(const hg_tensor *t)
{
    return t->n_dims > 0 ? t->dim[t->n_dims - 1] : 1;
}

/* ---- the graph ---- */

void hg_graph_init(hg_graph *g, hg_runtime *rt, hg_arena *mem, hg_compute compute, bool record)
{
    *g = (hg_graph){.rt = rt, .mem = mem, .compute = compute, .record = record};
}

hg_status hg_graph_status(const hg_graph *g, hg_err *e)
{
    if (g->status == HG_OK) return HG_OK;
    return hg_fail(e, g->status, "%s", g->err.msg);
}

hg_tensor *hg_graph_fail(hg_graph *g, hg_status status, const char *fmt, ...)
{
    if (g->status != HG_OK) return NULL; /* the first failure is the one to tell */
    char text[sizeof g->err.msg];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    g->status = hg_fail(&g->err, status, "%s", text);
    return NULL;
}

/* A spare buffer for n floats that is not much larger, or NULL. */
static hg_float_buf *take_spare(hg_graph *g, size_t n)
{
    for (hg_float_buf **at = &g->spare; *at != NULL; at = &(*at)->next) {
        hg_float_buf *b = *at;
        if (b->cap < n || b->cap / 2 > n) continue;
        *at = b->next;
        return b;
    }
    return NULL;
}

static float *new_values(hg_graph *g, size_t n)
{
    hg_float_buf *b = take_spare(g, n);
    return b != NULL ? b->p : HG_NEW_RAW(g->mem, float, n);
}

hg_tensor *hg_graph_tensor(hg_graph *g, size_t rows, size_t cols)
{
    if (g->status != HG_OK) return NULL;
    size_t n = 0;
    hg_tensor *t = HG_NEW(g->mem, hg_tensor, 1);
    float *data = hg_mul(rows, cols, &n) ? new_values(g, n) : NULL;
    if (t == NULL || data == NULL)
        return hg_graph_fail(g, HG_E_NOMEM, "no memory for an activation of %zu x %zu values", rows,
                             cols);
    *t = (hg_tensor){.type = HG_F32, .n_dims = 2, .dim = {rows, cols}, .data = data};
    return t;
}

void hg_graph_show(hg_graph *g, const char *name, int layer, hg_tensor *t)
{
    if (g->status == HG_OK && g->hooks != NULL && g->hooks->show != NULL && t != NULL)
        g->hooks->show(g->hooks->ctx, name, layer, t);
}

void hg_graph_stage(hg_graph *g, int stage)
{
    bool tell = false;
    if (g->status != HG_OK || g->stages == NULL) return;
    g->status = g->stages->begin(g->stages->ctx, stage, &tell, &g->err);
    if (tell && g->record && g->last != NULL) g->last->mark = stage + 1;
}

/* ---- keeping less ---- */

static void make_spare(hg_graph *g, hg_tensor *t)
{
    hg_float_buf *b = HG_NEW(g->mem, hg_float_buf, 1);
    if (b == NULL) {
        (void)hg_graph_fail(g, HG_E_NOMEM, "no memory to note a spare buffer");
        return;
    }
    *b = (hg_float_buf){.p = t->data, .cap = hg_tensor_count(t), .next = g->spare};
    g->spare = b;
    t->data = NULL;
}

void hg_graph_drop(hg_graph *g, hg_tensor *t)
{
    if (g->status != HG_OK || !g->record || g->hooks != NULL || t == NULL) return;
    if (t->type == HG_F32 && t->data != NULL) make_spare(g, t);
}

typedef struct round_job {
    const hg_kernels *k;
    hg_bf16 *to;
    const float *from;
} round_job;

static void round_chunk(void *ctx, size_t begin, size_t end, int thread)
{
    const round_job *j = ctx;
    (void)thread;
    j->k->f32_to_bf16(j->to + begin, j->from + begin, end - begin);
}

void hg_graph_round(hg_graph *g, hg_tensor *t)
{
    if (g->status != HG_OK || !g->record || g->hooks != NULL || t == NULL) return;
    if (g->compute != HG_COMPUTE_BF16 || t->type != HG_F32 || t->data == NULL) return;
    size_t n = hg_tensor_count(t);
    round_job j = {&g->rt->k, HG_NEW_RAW(g->mem, hg_bf16, n), t->data};
    if (j.to == NULL) {
        (void)hg_graph_fail(g, HG_E_NOMEM, "no memory to round %zu values", n);
        return;
    }
    hg_pool_run(g->rt->pool, n, hg_op_grain(sizeof(float) + sizeof(hg_bf16)), round_chunk, &j);
    make_spare(g, t);
    t->data = j.to;
    t->type = HG_BF16;
}

/* ---- gradients ---- */

bool hg_wants_grad(const hg_tensor *t)
{
    if (t == NULL) return false;
    return t->grad != NULL || (t->needs_grad && !t->is_param);
}

static hg_float_buf *new_buf(hg_graph *g, size_t n)
{
    hg_float_buf *b = take_spare(g, n);
    if (b == NULL) {
        b = HG_NEW(g->mem, hg_float_buf, 1);
        float *p = HG_NEW_RAW(g->mem, float, n);
        if (b == NULL || p == NULL) {
            (void)hg_graph_fail(g, HG_E_NOMEM, "no memory for a gradient of %zu values", n);
            return NULL;
        }
        b->p = p;
        b->cap = n;
    }
    b->n_holders = 1;
    b->next = NULL;
    return b;
}

static void hold(hg_tensor *t, hg_float_buf *b)
{
    t->grad_buf = b;
    t->grad = b->p;
}

static void let_go(hg_graph *g, hg_tensor *t)
{
    hg_float_buf *b = t->grad_buf;
    if (b == NULL) return;
    t->grad_buf = NULL;
    t->grad = NULL;
    if (--b->n_holders > 0) return;
    b->next = g->spare;
    g->spare = b;
}

float *hg_grad_open(hg_graph *g, hg_tensor *t, bool *is_first)
{
    *is_first = false;
    if (g->status != HG_OK || !hg_wants_grad(t)) return NULL;
    hg_float_buf *old = t->grad_buf;
    if (t->grad != NULL && (old == NULL || old->n_holders == 1)) return t->grad;
    hg_float_buf *b = new_buf(g, hg_tensor_count(t));
    if (b == NULL) return NULL;
    if (old == NULL) {
        *is_first = true;
    } else { /* held with another tensor that has not been used yet */
        memcpy(b->p, old->p, hg_tensor_count(t) * sizeof(float));
        old->n_holders--;
    }
    hold(t, b);
    return t->grad;
}

typedef struct add_job {
    const hg_kernels *k;
    float *dst;
    const float *src;
} add_job;

static void add_chunk(void *ctx, size_t begin, size_t end, int thread)
{
    const add_job *j = ctx;
    (void)thread;
    j->k->add_f32(j->dst + begin, j->dst + begin, j->src + begin, end - begin);
}

void hg_grad_pass(hg_graph *g, hg_tensor *out, hg_tensor *t)
{
    if (g->status != HG_OK || !hg_wants_grad(t)) return;
    if (t->grad == NULL && out->grad_buf != NULL) {
        out->grad_buf->n_holders++;
        hold(t, out->grad_buf);
        return;
    }
    bool is_first = false;
    size_t n = hg_tensor_count(t);
    float *d = hg_grad_open(g, t, &is_first);
    if (d == NULL) return;
    if (is_first) {
        memcpy(d, out->grad, n * sizeof *d);
        return;
    }
    add_job j = {&g->rt->k, d, out->grad};
    hg_pool_run(g->rt->pool, n, hg_op_grain(2 * sizeof(float)), add_chunk, &j);
}

float *hg_grad_take(hg_graph *g, hg_tensor *out, hg_tensor *t, bool *is_first)
{
    hg_float_buf *b = out->grad_buf;
    if (g->status == HG_OK && hg_wants_grad(t) && t->grad == NULL && b != NULL &&
        b->n_holders == 1) {
        hg_grad_pass(g, out, t);
        *is_first = true;
        return t->grad;
    }
    return hg_grad_open(g, t, is_first);
}

/* ---- the record ---- */

bool hg_op_recorded(const hg_graph *g, const hg_tensor *a, const hg_tensor *b, const hg_tensor *c)
{
    return g->record && (hg_wants_grad(a) || hg_wants_grad(b) || hg_wants_grad(c));
}

hg_step *hg_op_record(hg_graph *g, void (*back)(hg_graph *, hg_step *), hg_tensor *const in[3],
                      hg_tensor *out, void *saved)
{
    hg_step *s = HG_NEW(g->mem, hg_step, 1);
    if (s == NULL) {
        (void)hg_graph_fail(g, HG_E_NOMEM, "no memory to record a step");
        return NULL;
    }
    *s = (hg_step){.back = back, .before = g->last, .out = out, .saved = saved};
    for (int i = 0; i < 3; i++) s->in[i] = in[i];
    out->needs_grad = true;
    g->last = s;
    return s;
}

static void run_record(hg_graph *g)
{
    for (hg_step *s = g->last; s != NULL && g->status == HG_OK; s = s->before) {
        if (s->mark > 0) g->stages->end(g->stages->ctx, s->mark - 1);
        if (s->out->grad != NULL) s->back(g, s);
        let_go(g, s->out);
    }
    g->last = NULL;
}

void hg_graph_run_back(hg_graph *g, hg_tensor *out, float *grad)
{
    if (g->status != HG_OK || !out->needs_grad) return;
    out->grad = grad;
    run_record(g);
}

hg_status hg_graph_backward(hg_graph *g, hg_tensor *loss, float scale, hg_err *e)
{
    HG_TRY(hg_graph_status(g, e));
    if (loss == NULL || hg_tensor_count(loss) != 1)
        return hg_fail(e, HG_E_ARG, "backward starts at a single value; this loss has %zu",
                       loss == NULL ? (size_t)0 : hg_tensor_count(loss));
    if (!g->record)
        return hg_fail(e, HG_E_STATE, "this graph has no record; begin it with record on");
    if (!loss->needs_grad) return HG_OK; /* nothing below it wants a gradient */
    if (g->last == NULL)
        return hg_fail(e, HG_E_STATE, "the record is used up; run the forward pass again");
    bool is_first = false;
    float *d = hg_grad_open(g, loss, &is_first);
    if (d != NULL) *d = is_first ? scale : *d + scale;
    run_record(g);
    return hg_graph_status(g, e);
}
