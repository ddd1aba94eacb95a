/* The backward pass of attention, from the log-sum-exp that the forward pass saved.
 *
 *   P = exp(s - lse)             s = cap(scale q k)
 *   dV += P^T dO
 *   dP = dO V^T                  D = sum over the head of dO O   (Dao et al. 2022)
 *   dS = P (dP - D) cap'(s) scale
 *   dQ += dS K,   dK += dS^T Q
 *
 * A task is (span, key head, part of the keys) and owns dK and dV of its keys. The first part of a
 * span also owns dQ; further parts (long spans only) have a dQ of their own, added in order
 * afterwards. Parts depend on the span's length alone, so the result does not depend on threads. */
#include "tensor/attention.h"

#include <math.h>
#include <string.h>

enum { MAX_PARTS = 4, PART_MIN = 512 };

typedef struct back_task {
    const hg_span *span;
    size_t kv_head, from, to; /* keys, counted in the span */
    float *dq;                /* of the span's row `dq_row`, head 0; row stride d_q */
    size_t dq_row;
} back_task;

typedef struct back_job {
    hg_att c;
    hg_matrix q, k, v, o; /* as they were kept: in float32 or bf16 */
    const float *dy;
    float *row_dot; /* [n][n_heads]: D */
    float *dq, *dk, *dv;
    bool q_is_first, k_is_first, v_is_first;
    back_task *tasks;
    float **part_dq; /* [n_spans][MAX_PARTS]; [0] is not used */
} back_job;

/* c (+)= a b in a task; notes a lack of memory. */
static void product(hg_att *c, int thread, float *to, size_t ldc, hg_matrix a, hg_matrix b,
                    size_t m, size_t n, size_t k, bool add)
{
    if (hg_matmul_here(c->rt, thread, c->compute, to, ldc, &a, &b, m, n, k, add) != HG_OK)
        atomic_store(&c->no_room, true);
}

/* The same matrix from element `at` on. */
static hg_matrix from(hg_matrix x, size_t at)
{
    x.base = (const char *)x.base + at * hg_type_size(x.type);
    return x;
}

static void scale_rows(const hg_att *c, float *to, hg_matrix q, size_t m)
{
    size_t d = c->a.d_head;
    for (size_t i = 0; i < m; i++, to += d) {
        hg_matrix row = from(q, i * q.row_stride);
        const float *x = row.base;
        if (q.type == HG_BF16) {
            c->k->bf16_to_f32(to, row.base, d);
            x = to;
        }
        c->k->scale_f32(to, c->a.scale, x, d);
    }
}

static size_t n_parts_of(const hg_span *s)
{
    size_t n = s->n / PART_MIN;
    return n < 1 ? 1 : n > MAX_PARTS ? MAX_PARTS : n;
}

static size_t part_begin(const hg_span *s, size_t p)
{
    size_t n = n_parts_of(s), len = (s->n + n - 1) / n;
    len = (len + HG_ATT_K - 1) / HG_ATT_K * HG_ATT_K;
    return p * len < s->n ? p * len : s->n;
}

static void dots_chunk(void *ctx, size_t begin, size_t end, int thread)
{
    const back_job *j = ctx;
    size_t d = j->c.a.d_head, nh = j->c.a.n_heads;
    (void)thread;
    for (size_t i = begin * nh; i < end * nh; i++) {
        const void *o = from(j->o, i * d).base;
        j->row_dot[i] = j->o.type == HG_BF16 ? j->c.k->dot_f32_bf16(j->dy + i * d, o, d)
                                             : j->c.k->dot_f32(o, j->dy + i * d, d);
    }
}

/* ---- one block of queries against one block of keys ---- */

typedef struct pair {
    size_t head;
    size_t row, m;     /* queries [row, row + m) of the span */
    size_t key, nk;    /* keys [key, key + nk) */
    float *q, *s, *ds; /* [HG_ATT_Q][d_head] scaled; [HG_ATT_Q][HG_ATT_K] twice */
} pair;

/* Row i: scores and dP become P and dS. */
static void back_row(const back_job *j, const pair *p, const hg_span *span, size_t i)
{
    const hg_att *c = &j->c;
    size_t row = p->row + i, first = hg_att_first(c, row), end = row + 1 - p->key;
    size_t at = (span->row + row) * c->a.n_heads + p->head;
    float *s = p->s + i * HG_ATT_K, *ds = p->ds + i * HG_ATT_K;
    if (row < p->key) end = 0;
    first = first > p->key ? first - p->key : 0;
    if (end > p->nk) end = p->nk;
    if (first >= end) first = end = 0;
    float dot = j->row_dot[at], cap = c->a.soft_cap, scale = c->a.scale;
    if (cap > 0) {
        hg_soft_cap(c->k, s + first, s + first, cap, end - first);
        for (size_t k = first; k < end; k++) {
            float t = s[k] / cap;
            ds[k] = (ds[k] - dot) * (1.0f - t * t);
        }
        dot = 0;
    }
    (void)c->k->exp_sum_f32(s + first, s + first, c->lse[at], end - first);
    for (size_t k = first; k < end; k++) ds[k] = (ds[k] - dot) * s[k] * scale;
    memset(s, 0, first * sizeof *s);
    memset(ds, 0, first * sizeof *ds);
    memset(s + end, 0, (p->nk - end) * sizeof *s);
    memset(ds + end, 0, (p->nk - end) * sizeof *ds);
}

static void back_pair(back_job *j, const back_task *t, const pair *p, int thread)
{
    hg_att *c = &j->c;
    size_t d = c->a.d_head, kv_at = (t->span->row + p->key) * c->d_kv + t->kv_head * d;
    size_t q_at = (t->span->row + p->row) * c->d_q + p->head * d;
    hg_matrix q = from(j->q, q_at), k = from(j->k, kv_at), v = from(j->v, kv_at);
    hg_matrix k_t = {k.base, k.type, 1, c->d_kv}, v_t = {v.base, v.type, 1, c->d_kv};
    hg_matrix dy = {j->dy + q_at, HG_F32, c->d_q, 1};
    hg_matrix s_t = {p->s, HG_F32, 1, HG_ATT_K}, ds_t = {p->ds, HG_F32, 1, HG_ATT_K};
    scale_rows(c, p->q, q, p->m);
    product(c, thread, p->s, HG_ATT_K, (hg_matrix){p->q, HG_F32, d, 1}, k_t, p->m, p->nk, d, false);
    product(c, thread, p->ds, HG_ATT_K, dy, v_t, p->m, p->nk, d, false);
    for (size_t i = 0; i < p->m; i++) back_row(j, p, t->span, i);
    if (j->dv != NULL) product(c, thread, j->dv + kv_at, c->d_kv, s_t, dy, p->nk, d, p->m, true);
    if (j->dk != NULL) product(c, thread, j->dk + kv_at, c->d_kv, ds_t, q, p->nk, d, p->m, true);
    if (t->dq != NULL)
        product(c, thread, t->dq + (p->row - t->dq_row) * c->d_q + p->head * d, c->d_q,
                (hg_matrix){p->ds, HG_F32, HG_ATT_K, 1}, k, p->m, d, p->nk, true);
}

static void clear_rows(float *x, size_t ld, size_t rows, size_t n)
{
    for (size_t i = 0; i < rows; i++) memset(x + i * ld, 0, n * sizeof *x);
}

/* What the task alone writes starts at zero while it is about to be in the cache anyway. */
static void clear_own(const back_job *j, const back_task *t)
{
    const hg_att *c = &j->c;
    size_t d = c->a.d_head, n = t->to - t->from;
    size_t kv_at = (t->span->row + t->from) * c->d_kv + t->kv_head * d;
    if (j->dk != NULL && j->k_is_first) clear_rows(j->dk + kv_at, c->d_kv, n, d);
    if (j->dv != NULL && j->v_is_first) clear_rows(j->dv + kv_at, c->d_kv, n, d);
    if (t->dq != NULL && (j->q_is_first || t->dq_row > 0))
        clear_rows(t->dq + t->kv_head * c->group * d, c->d_q, t->span->n - t->dq_row, c->group * d);
}

static void back_one(back_job *j, const back_task *t, int thread)
{
    const hg_att *c = &j->c;
    size_t d = c->a.d_head;
    float *scratch = hg_att_scratch(c, thread);
    pair p = {.q = scratch, .s = scratch + HG_ATT_Q * d};
    p.ds = p.s + (size_t)HG_ATT_Q * HG_ATT_K;
    clear_own(j, t);
    for (size_t h = 0; h < c->group; h++)
        for (p.key = t->from; p.key < t->to; p.key += HG_ATT_K) {
            size_t keys = t->to - p.key < HG_ATT_K ? t->to - p.key : HG_ATT_K, end = t->span->n;
            /* the last key of the block is seen by window - 1 rows behind it */
            if (c->a.window > 0 && c->a.window < end - (p.key + keys - 1))
                end = p.key + keys - 1 + c->a.window;
            p.head = t->kv_head * c->group + h;
            for (p.row = p.key; p.row < end; p.row += HG_ATT_Q) {
                p.m = t->span->n - p.row < HG_ATT_Q ? t->span->n - p.row : HG_ATT_Q;
                p.nk = p.row + p.m - p.key < keys ? p.row + p.m - p.key : keys;
                back_pair(j, t, &p, thread);
            }
        }
}

static void back_chunk(void *ctx, size_t begin, size_t end, int thread)
{
    back_job *j = ctx;
    for (size_t i = begin; i < end; i++) back_one(j, &j->tasks[i], thread);
}

/* ---- tasks ---- */

/* All tasks, and the room for the dQ of further parts; returns how many, or 0 with a failed graph.
 */
static size_t list_back_tasks(hg_graph *g, back_job *j)
{
    const hg_attention *a = &j->c.a;
    size_t n_max = 0, n = 0;
    for (size_t i = 0; i < a->n_spans; i++) n_max += n_parts_of(&a->spans[i]) * a->n_kv_heads;
    j->tasks = HG_NEW_RAW(g->mem, back_task, n_max);
    j->part_dq = HG_NEW(g->mem, float *, a->n_spans *MAX_PARTS);
    if (j->tasks == NULL || j->part_dq == NULL) goto no_room;
    for (size_t i = 0; i < a->n_spans; i++) {
        const hg_span *s = &a->spans[i];
        for (size_t p = 0; p < n_parts_of(s); p++) {
            size_t from = part_begin(s, p), to = part_begin(s, p + 1);
            float *dq = j->dq != NULL ? j->dq + s->row * j->c.d_q : NULL;
            if (from >= to) continue;
            if (p > 0 && dq != NULL) {
                dq = HG_NEW_RAW(g->mem, float, (s->n - from) * j->c.d_q);
                if (dq == NULL) goto no_room;
                j->part_dq[i * MAX_PARTS + p] = dq;
            }
            for (size_t h = 0; h < a->n_kv_heads; h++)
                j->tasks[n++] = (back_task){s, h, from, to, dq, from};
        }
    }
    return n;
no_room:
    (void)hg_graph_fail(g, HG_E_NOMEM, "attention: no memory for the backward pass");
    return 0;
}

static void join_chunk(void *ctx, size_t begin, size_t end, int thread)
{
    const back_job *j = ctx;
    const hg_att *c = &j->c;
    (void)thread;
    for (size_t i = 0; i < c->a.n_spans; i++) {
        const hg_span *s = &c->a.spans[i];
        for (size_t p = 1; p < MAX_PARTS; p++) {
            const float *part = j->part_dq[i * MAX_PARTS + p];
            size_t from = s->row + part_begin(s, p), until = s->row + s->n;
            if (part == NULL) continue;
            for (size_t r = begin > from ? begin : from; r < end && r < until; r++)
                c->k->add_f32(j->dq + r * c->d_q, j->dq + r * c->d_q, part + (r - from) * c->d_q,
                              c->d_q);
        }
    }
}

static void back_run(hg_graph *g, back_job *j, size_t n)
{
    hg_att *c = &j->c;
    c->scratch_floats = HG_ATT_Q * c->a.d_head + 2 * (size_t)HG_ATT_Q * HG_ATT_K;
    c->scratch = HG_NEW_RAW(g->mem, float, (size_t)g->rt->n_threads * c->scratch_floats);
    j->row_dot = HG_NEW_RAW(g->mem, float, n * c->a.n_heads);
    size_t n_tasks = list_back_tasks(g, j);
    if (c->scratch == NULL || j->row_dot == NULL)
        (void)hg_graph_fail(g, HG_E_NOMEM, "attention: no memory for the backward pass");
    if (g->status != HG_OK) return;
    hg_pool_run(g->rt->pool, n, hg_op_grain(2 * c->d_q * sizeof(float)), dots_chunk, j);
    hg_pool_run(g->rt->pool, n_tasks, 1, back_chunk, j);
    if (j->dq != NULL)
        hg_pool_run(g->rt->pool, n, hg_op_grain(2 * c->d_q * sizeof(float)), join_chunk, j);
    if (atomic_load(&c->no_room))
        (void)hg_graph_fail(g, HG_E_NOMEM, "attention: no memory for the products' scratch");
}

void hg_att_back(hg_graph *g, hg_step *s)
{
    const hg_att_saved *v = s->saved;
    hg_tensor *q = s->in[0], *k = s->in[1], *val = s->in[2];
    back_job j = {.c = {.rt = g->rt,
                        .k = &g->rt->k,
                        .compute = g->compute,
                        .a = v->a,
                        .group = v->a.n_heads / v->a.n_kv_heads,
                        .d_q = hg_tensor_cols(q),
                        .d_kv = hg_tensor_cols(k),
                        .lse = v->lse},
                  .q = {q->data, q->type, hg_tensor_cols(q), 1},
                  .k = {k->data, k->type, hg_tensor_cols(k), 1},
                  .v = {val->data, val->type, hg_tensor_cols(k), 1},
                  .o = {s->out->data, s->out->type, hg_tensor_cols(q), 1},
                  .dy = s->out->grad};
    j.dq = hg_grad_open(g, q, &j.q_is_first);
    j.dk = hg_grad_open(g, k, &j.k_is_first);
    j.dv = hg_grad_open(g, val, &j.v_is_first);
    if (g->status != HG_OK) return;
    hg_arena_mark here = hg_arena_here(g->mem);
    back_run(g, &j, hg_tensor_rows(q));
    hg_arena_rewind(g->mem, here);
}
