/* The activations of a block's second half: act(x), act(gate) * up, and the soft cap of scores.
 *
 * All are element-wise, so they are cut into short pieces that stay in the first cache while two or
 * three kernels pass over them. SiLU and the tanh form of GELU have kernels; the others are rare
 * and are plain loops. References: Hendrycks and Gimpel 2016 (GELU), Shazeer 2020 (gated units), So
 * et al. 2021 (squared ReLU), Gemma 2 2024 (soft caps). */
#include "tensor/ops_gate.h"

#include <math.h>
#include <string.h>

enum { PIECE = 1024 };

typedef struct gate_job {
    const hg_kernels *k;
    hg_act act;
    float cap;
    const float *x, *u;       /* u NULL: no gate */
    const hg_bf16 *x16, *u16; /* backward: the same where they were rounded, else NULL */
    float *y;
    const float *dy; /* backward */
    float *dx, *du;
    bool x_is_first, u_is_first;
} gate_job;

/* ---- pieces of at most PIECE values ---- */

static void act_piece(const hg_kernels *k, hg_act act, float *y, const float *x, size_t n)
{
    float one[PIECE];
    switch (act) {
    case HG_ACT_SILU:
        for (size_t i = 0; i < n; i++) one[i] = 1.0f;
        k->silu_gate_f32(y, x, one, n);
        break;
    case HG_ACT_GELU_TANH:
        k->gelu_f32(y, x, n);
        break;
    case HG_ACT_GELU_ERF:
        for (size_t i = 0; i < n; i++) y[i] = 0.5f * x[i] * (1.0f + erff(x[i] * 0.70710678f));
        break;
    case HG_ACT_RELU2:
        for (size_t i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] * x[i] : 0 * x[i];
        break;
    case HG_ACT_SWIGLU_CLAMPED: /* refused: it needs both its inputs */
        break;
    }
}

/* NaN passes through: it is on no side of a bound. */
static void clamped_piece(float *y, const float *x, const float *u, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float g = x[i] > 7.0f ? 7.0f : x[i];
        float v = u[i] > 7.0f ? 7.0f : u[i] < -7.0f ? -7.0f : u[i];
        y[i] = g / (1.0f + expf(-1.702f * g)) * (v + 1.0f);
    }
}

/* dx += dy act'(x) */
static void act_back_piece(const hg_kernels *k, hg_act act, float *dx, const float *dy,
                           const float *x, size_t n)
{
    float one[PIECE], ignored[PIECE];
    switch (act) {
    case HG_ACT_SILU:
        for (size_t i = 0; i < n; i++) one[i] = 1.0f;
        memset(ignored, 0, n * sizeof *ignored);
        k->silu_gate_back_f32(dx, ignored, dy, x, one, n);
        break;
    case HG_ACT_GELU_TANH:
        k->gelu_back_f32(dx, dy, x, n);
        break;
    case HG_ACT_GELU_ERF:
        for (size_t i = 0; i < n; i++) {
            float cdf = 0.5f * (1.0f + erff(x[i] * 0.70710678f));
            float pdf = 0.39894228f * expf(-0.5f * x[i] * x[i]);
            dx[i] += dy[i] * (cdf + x[i] * pdf);
        }
        break;
    case HG_ACT_RELU2:
        for (size_t i = 0; i < n; i++) dx[i] += x[i] > 0 ? 2.0f * dy[i] * x[i] : 0.0f;
        break;
    case HG_ACT_SWIGLU_CLAMPED: /* never recorded */
        break;
    }
}

/* cap tanh(x / cap) as cap (e - 1) / (e + 1) with e = exp(2 x / cap): the exponential has a kernel.
 * Beyond +-20 the quotient is 1 to float precision, so e may be bounded. */
void hg_soft_cap(const hg_kernels *k, float *y, const float *x, float cap, size_t n)
{
    float e[PIECE];
    for (size_t at = 0; at < n; at += PIECE) {
        size_t m = n - at < PIECE ? n - at : PIECE;
        for (size_t i = 0; i < m; i++) {
            float z = x[at + i] / cap * 2.0f;
            z = z > 40.0f ? 40.0f : z;
            e[i] = z < -40.0f ? -40.0f : z;
        }
        (void)k->exp_sum_f32(e, e, 0.0f, m);
        for (size_t i = 0; i < m; i++) y[at + i] = cap * ((e[i] - 1.0f) / (e[i] + 1.0f));
    }
}

/* ---- the ops ---- */

static void gate_chunk(void *ctx, size_t begin, size_t end, int thread)
{
    const gate_job *j = ctx;
    (void)thread;
    for (size_t at = begin; at < end; at += PIECE) {
        size_t n = end - at < PIECE ? end - at : PIECE;
        float *y = j->y + at;
        if (j->u != NULL && j->act == HG_ACT_SILU) {
            j->k->silu_gate_f32(y, j->x + at, j->u + at, n);
            continue;
        }
        if (j->u != NULL && j->act == HG_ACT_SWIGLU_CLAMPED) {
            clamped_piece(y, j->x + at, j->u + at, n);
            continue;
        }
        act_piece(j->k, j->act, y, j->x + at, n);
        if (j->u != NULL)
            for (size_t i = 0; i < n; i++) y[i] *= j->u[at + i];
    }
}

/* One piece of du += act(x) dy and dx += act'(x) (dy u), for the acts without a kernel that does
 * both. */
static void gate_back_piece(const gate_job *j, float *dx, float *du, const float *dy,
                            const float *x, const float *u, size_t n)
{
    float a[PIECE];
    act_piece(j->k, j->act, a, x, n);
    for (size_t i = 0; i < n; i++) du[i] += a[i] * dy[i];
    for (size_t i = 0; i < n; i++) a[i] = dy[i] * u[i];
    act_back_piece(j->k, j->act, dx, a, x, n);
}

/* Piece `at` of an input, as it lies there or widened into `room`. */
static const float *input_piece(const hg_kernels *k, float room[PIECE], const float *x,
                                const hg_bf16 *x16, size_t at, size_t n)
{
    if (x16 == NULL) return x != NULL ? x + at : NULL;
    k->bf16_to_f32(room, x16 + at, n);
    return room;
}

static void gate_back_chunk(void *ctx, size_t begin, size_t end, int thread)
{
    const gate_job *j = ctx;
    float ignored[PIECE], x_room[PIECE], u_room[PIECE];
    (void)thread;
    memset(ignored, 0, sizeof ignored);
    for (size_t at = begin; at < end; at += PIECE) {
        size_t n = end - at < PIECE ? end - at : PIECE;
        float *dx = j->dx != NULL ? j->dx + at : ignored;
        float *du = j->du != NULL ? j->du + at : ignored;
        if (j->x_is_first) memset(dx, 0, n * sizeof *dx);
        if (j->u_is_first) memset(du, 0, n * sizeof *du);
        const float *x = input_piece(j->k, x_room, j->x, j->x16, at, n);
        const float *u = input_piece(j->k, u_room, j->u, j->u16, at, n);
        if (u == NULL)
            act_back_piece(j->k, j->act, dx, j->dy + at, x, n);
        else if (j->act == HG_ACT_SILU)
            j->k->silu_gate_back_f32(dx, du, j->dy + at, x, u, n);
        else
            gate_back_piece(j, dx, du, j->dy + at, x, u, n);
    }
}

static void gate_back(hg_graph *g, hg_step *s)
{
    hg_tensor *x = s->in[0], *u = s->in[1];
    gate_job j = {.k = &g->rt->k,
                  .act = *(const hg_act *)s->saved,
                  .x = x->type == HG_F32 ? x->data : NULL,
                  .x16 = x->type == HG_BF16 ? x->data : NULL,
                  .u = u != NULL && u->type == HG_F32 ? u->data : NULL,
                  .u16 = u != NULL && u->type == HG_BF16 ? u->data : NULL,
                  .dy = s->out->grad};
    j.dx = hg_grad_open(g, x, &j.x_is_first);
    j.du = hg_grad_open(g, u, &j.u_is_first);
    if (g->status != HG_OK) return;
    hg_pool_run(g->rt->pool, hg_tensor_count(x), 16 * PIECE, gate_back_chunk, &j);
}

static hg_tensor *gate(hg_graph *g, hg_tensor *x, hg_tensor *u, hg_act act)
{
    if (act == HG_ACT_SWIGLU_CLAMPED && (u == NULL || hg_op_recorded(g, x, u, NULL)))
        return hg_graph_fail(g, HG_E_UNSUPPORTED,
                             "the clamped gate needs two inputs and cannot be trained");
    hg_tensor *y = hg_op_like(g, x);
    if (y == NULL) return NULL;
    gate_job j = {
        .k = &g->rt->k, .act = act, .x = x->data, .u = u != NULL ? u->data : NULL, .y = y->data};
    hg_pool_run(g->rt->pool, hg_tensor_count(x), 16 * PIECE, gate_chunk, &j);
    if (!hg_op_recorded(g, x, u, NULL)) return y;
    hg_act *saved = HG_NEW(g->mem, hg_act, 1);
    if (saved == NULL) return hg_graph_fail(g, HG_E_NOMEM, "no memory to record a gate");
    *saved = act;
    return hg_op_record(g, gate_back, (hg_tensor *[3]){x, u}, y, saved) != NULL ? y : NULL;
}

hg_tensor *hg_op_act(hg_graph *g, hg_tensor *x, hg_act act)
{
    return hg_op_check(g, "act", "x", x) ? gate(g, x, NULL, act) : NULL;
}

hg_tensor *hg_op_gate(hg_graph *g, hg_tensor *gate_in, hg_tensor *up, hg_act act)
{
    char sg[HG_SHAPE_TEXT], su[HG_SHAPE_TEXT];
    if (!hg_op_check(g, "gate", "gate", gate_in) || !hg_op_check(g, "gate", "up", up)) return NULL;
    if (hg_tensor_rows(gate_in) != hg_tensor_rows(up) ||
        hg_tensor_cols(gate_in) != hg_tensor_cols(up))
        return hg_graph_fail(g, HG_E_ARG, "gate: gate is %s and up is %s; the same shape is needed",
                             hg_shape_text(gate_in, sg), hg_shape_text(up, su));
    return gate(g, gate_in, up, act);
}

static void cap_chunk(void *ctx, size_t begin, size_t end, int thread)
{
    const gate_job *j = ctx;
    (void)thread;
    hg_soft_cap(j->k, j->y + begin, j->x + begin, j->cap, end - begin);
}

/* dx (+)= dy (1 - (y / cap)^2) */
static void cap_back_chunk(void *ctx, size_t begin, size_t end, int thread)
{
    const gate_job *j = ctx;
    (void)thread;
    for (size_t i = begin; i < end; i++) {
        float q = j->y[i] / j->cap, d = j->dy[i] * (1.0f - q * q);
        j->dx[i] = j->x_is_first ? d : j->dx[i] + d;
    }
}

static void cap_back(hg_graph *g, hg_step *s)
{
    gate_job j = {.cap = *(const float *)s->saved, .y = s->out->data, .dy = s->out->grad};
    j.dx = hg_grad_take(g, s->out, s->in[0], &j.x_is_first);
    if (j.dx == NULL) return;
    hg_pool_run(g->rt->pool, hg_tensor_count(s->out), 16 * PIECE, cap_back_chunk, &j);
}

hg_tensor *hg_op_soft_cap(hg_graph *g, hg_tensor *x, float cap)
{
    if (!hg_op_check(g, "soft_cap", "x", x)) return NULL;
    if (!(cap > 0))
        return hg_graph_fail(g, HG_E_ARG, "soft_cap: the cap is %g; it must be above 0",
                             (double)cap);
    hg_tensor *y = hg_op_like(g, x);
    if (y == NULL) return NULL;
    gate_job j = {.k = &g->rt->k, .cap = cap, .x = x->data, .y = y->data};
    hg_pool_run(g->rt->pool, hg_tensor_count(x), 16 * PIECE, cap_chunk, &j);
    if (!hg_op_recorded(g, x, NULL, NULL)) return y;
    float *saved = HG_NEW(g->mem, float, 1);
    if (saved == NULL) return hg_graph_fail(g, HG_E_NOMEM, "no memory to record a soft cap");
    *saved = cap;
    return hg_op_record(g, cap_back, (hg_tensor *[3]){x}, y, saved) != NULL ? y : NULL;
}
