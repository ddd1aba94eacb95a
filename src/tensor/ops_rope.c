/* Rotary positions: each pair of a head's values is turned by an angle that grows with the row's
 * position, so that q k depends on the distance alone (Su et al. 2021).
 *
 * Queries and keys of most layers turn by the same angles, so the cosines and sines are computed
 * once a graph and kept: one row a distinct position when positions lie close together (spans that
 * all begin at 0), else one a row. Backward turns the other way, in place where it can. */
#include "tensor/ops_impl.h"

#include <math.h>
#include <string.h>

struct hg_rope_table {
    size_t n, d_half;
    const float *inv_freq;
    float scale;
    int32_t *pos;  /* [n] a copy: the same address may hold other positions next time */
    bool *is_long; /* [n] a copy, or NULL */
    uint32_t *at;  /* [n] which row of the table is row i's */
    float *cs;     /* [..][2][d_half] cosines, sines */
    struct hg_rope_table *next;
};
typedef struct hg_rope_table rope_table;

typedef struct rope_job {
    const rope_table *table;
    hg_rope r;
    size_t n, n_heads;
    const float *x;
    float *y;
    float sign; /* -1 turns back */
    bool add;
} rope_job;

static bool same_table(const rope_table *t, const int32_t *pos, size_t n, const hg_rope *r)
{
    bool has_long = t->is_long != NULL, wants_long = r->is_long != NULL;
    return t->n == n && t->d_half == r->d_rot / 2 && t->inv_freq == r->inv_freq &&
           !(t->scale < r->scale) && !(t->scale > r->scale) && has_long == wants_long &&
           (!has_long || memcmp(t->is_long, r->is_long, n * sizeof *r->is_long) == 0) &&
           memcmp(t->pos, pos, n * sizeof *pos) == 0;
}

static void fill_row(rope_table *t, size_t row, int32_t pos, const float *inv_freq)
{
    float *c = t->cs + row * 2 * t->d_half, *s = c + t->d_half;
    for (size_t i = 0; i < t->d_half; i++) {
        float angle = (float)pos * inv_freq[i];
        c[i] = cosf(angle) * t->scale;
        s[i] = sinf(angle) * t->scale;
    }
}

static rope_table *rope_table_new(hg_graph *g, const int32_t *pos, size_t n, const hg_rope *r)
{
    int32_t low = n > 0 ? pos[0] : 0, high = low;
    for (size_t i = 0; i < n; i++) {
        low = pos[i] < low ? pos[i] : low;
        high = pos[i] > high ? pos[i] : high;
    }
    size_t n_between = (size_t)((int64_t)high - low) + 1, d_half = r->d_rot / 2;
    bool is_dense = n_between <= n && r->is_long == NULL;
    size_t n_rows = is_dense ? n_between : n;
    rope_table *t = HG_NEW(g->mem, rope_table, 1);
    int32_t *pos_copy = HG_NEW_RAW(g->mem, int32_t, n);
    bool *is_long = r->is_long != NULL ? HG_NEW_RAW(g->mem, bool, n) : NULL;
    uint32_t *at = HG_NEW_RAW(g->mem, uint32_t, n);
    float *cs = HG_NEW_RAW(g->mem, float, n_rows * 2 * d_half);
    if (t == NULL || pos_copy == NULL || at == NULL || cs == NULL ||
        (r->is_long != NULL && is_long == NULL)) {
        (void)hg_graph_fail(g, HG_E_NOMEM, "no memory for the angles of %zu positions", n_rows);
        return NULL;
    }
    *t = (rope_table){n, d_half, r->inv_freq, r->scale, pos_copy, is_long, at, cs, g->rope};
    if (n > 0) memcpy(pos_copy, pos, n * sizeof *pos);
    if (n > 0 && is_long != NULL) memcpy(is_long, r->is_long, n * sizeof *is_long);
    for (size_t i = 0; i < n; i++) at[i] = (uint32_t)(is_dense ? (size_t)(pos[i] - low) : i);
    for (size_t i = 0; i < n_rows; i++) {
        const float *freq = is_long != NULL && is_long[i] ? r->long_freq : r->inv_freq;
        fill_row(t, i, is_dense ? (int32_t)(low + (int32_t)i) : pos[i], freq);
    }
    g->rope = t;
    return t;
}

static const rope_table *rope_table_for(hg_graph *g, const int32_t *pos, size_t n, const hg_rope *r)
{
    for (const rope_table *t = g->rope; t != NULL; t = t->next)
        if (same_table(t, pos, n, r)) return t;
    return rope_table_new(g, pos, n, r);
}

bool hg_rope_prepare(hg_graph *g, const int32_t *pos, size_t n, const hg_rope *r)
{
    return g->status == HG_OK && rope_table_for(g, pos, n, r) != NULL;
}

/* One head: (a, b) -> (a c - b s, a s + b c). y may be x. */
static void turn_half(const rope_job *j, float *y, const float *x, const float *c, const float *s)
{
    size_t m = j->r.d_rot / 2;
    float sign = j->sign;
    if (j->add) {
        for (size_t i = 0; i < m; i++) {
            float a = x[i], b = x[m + i], si = s[i] * sign;
            y[i] += a * c[i] - b * si;
            y[m + i] += a * si + b * c[i];
        }
        return;
    }
    for (size_t i = 0; i < m; i++) {
        float a = x[i], b = x[m + i], si = s[i] * sign;
        y[i] = a * c[i] - b * si;
        y[m + i] = a * si + b * c[i];
    }
}

static void turn_interleaved(const rope_job *j, float *y, const float *x, const float *c,
                             const float *s)
{
    for (size_t i = 0; i < j->r.d_rot / 2; i++) {
        float a = x[2 * i], b = x[2 * i + 1], si = s[i] * j->sign;
        float u = a * c[i] - b * si, v = a * si + b * c[i];
        y[2 * i] = j->add ? y[2 * i] + u : u;
        y[2 * i + 1] = j->add ? y[2 * i + 1] + v : v;
    }
}

/* What lies behind d_rot stays as it is. */
static void copy_rest(const rope_job *j, float *y, const float *x)
{
    size_t from = j->r.d_rot, d = j->r.d_head;
    if (j->add)
        for (size_t i = from; i < d; i++) y[i] += x[i];
    else if (y != x && from < d)
        memcpy(y + from, x + from, (d - from) * sizeof *y);
}

static void rope_chunk(void *ctx, size_t begin, size_t end, int thread)
{
    const rope_job *j = ctx;
    const rope_table *t = j->table;
    (void)thread;
    for (size_t row = begin; row < end; row++) {
        const float *c = t->cs + (size_t)t->at[row] * 2 * t->d_half, *s = c + t->d_half;
        for (size_t h = 0; h < j->n_heads; h++) {
            size_t at = (row * j->n_heads + h) * j->r.d_head;
            if (j->r.is_interleaved)
                turn_interleaved(j, j->y + at, j->x + at, c, s);
            else
                turn_half(j, j->y + at, j->x + at, c, s);
            copy_rest(j, j->y + at, j->x + at);
        }
    }
}

typedef struct rope_saved {
    const rope_table *table;
    hg_rope r;
} rope_saved;

static void rope_run(hg_graph *g, rope_job *j)
{
    size_t row = j->n_heads * j->r.d_head * 2 * sizeof(float);
    hg_pool_run(g->rt->pool, j->n, hg_op_grain(row), rope_chunk, j);
}

static void rope_back(hg_graph *g, hg_step *s)
{
    const rope_saved *v = s->saved;
    bool is_first = false;
    float *dx = hg_grad_take(g, s->out, s->in[0], &is_first);
    if (dx == NULL) return;
    rope_job j = {v->table,
                  v->r,
                  hg_tensor_rows(s->out),
                  hg_tensor_cols(s->out) / v->r.d_head,
                  s->out->grad,
                  dx,
                  -1.0f,
                  !is_first};
    rope_run(g, &j);
}

hg_tensor *hg_op_rope(hg_graph *g, hg_tensor *x, const int32_t *pos, const hg_rope *r)
{
    char sx[HG_SHAPE_TEXT];
    if (!hg_op_check(g, "rope", "x", x)) return NULL;
    if (r->d_head == 0 || hg_tensor_cols(x) % r->d_head != 0)
        return hg_graph_fail(g, HG_E_ARG, "rope: x is %s; its rows must be whole heads of %zu",
                             hg_shape_text(x, sx), r->d_head);
    if (r->d_rot > r->d_head || r->d_rot % 2 != 0)
        return hg_graph_fail(g, HG_E_ARG,
                             "rope: %zu values of each head turn; an even number up to %zu can",
                             r->d_rot, r->d_head);
    hg_tensor *y = hg_op_like(g, x);
    const rope_table *t = y != NULL ? rope_table_for(g, pos, hg_tensor_rows(x), r) : NULL;
    if (t == NULL) return NULL;
    rope_job j = {t,    *r,   hg_tensor_rows(x), hg_tensor_cols(x) / r->d_head, x->data, y->data,
                  1.0f, false};
    rope_run(g, &j);
    if (!hg_op_recorded(g, x, NULL, NULL)) return y;
    rope_saved *saved = HG_NEW(g->mem, rope_saved, 1);
    if (saved == NULL) return hg_graph_fail(g, HG_E_NOMEM, "no memory to record a rotation");
    *saved = (rope_saved){t, *r};
    return hg_op_record(g, rope_back, (hg_tensor *[3]){x}, y, saved) != NULL ? y : NULL;
}
