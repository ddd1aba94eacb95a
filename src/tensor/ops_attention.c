/* Causal attention with grouped queries: where the rows of one timeline look at each other.
 *
 * The work is cut into tasks of (span, head, block of query rows). A task walks over its keys in
 * blocks and keeps for each row the largest score so far, the sum of exponentials and the weighted
 * sum of values, rescaled when a larger score comes (Milakov and Gimelshein 2018, Dao et al. 2022):
 * scores of the whole span never exist at once. Scores and sums of values are matrix products;
 * spans of a few rows are in attention_rows.c. */
#include "tensor/attention.h"

#include <math.h>
#include <string.h>

hg_att_keys hg_att_keys_of(const hg_att *c, const hg_span *s, size_t kv_head)
{
    size_t at = kv_head * c->a.d_head;
    if (s->kv == NULL)
        return (hg_att_keys){c->key + s->row * c->d_kv + at, c->value + s->row * c->d_kv + at,
                             HG_F32, c->d_kv, 0};
    at *= hg_type_size(s->kv->type);
    return (hg_att_keys){(const char *)s->kv->k + at, (const char *)s->kv->v + at, s->kv->type,
                         c->d_kv, s->pos0};
}

void hg_att_product(hg_att *c, int thread, float *to, size_t ldc, hg_matrix a, hg_matrix b,
                    size_t m, size_t n, size_t k, bool add)
{
    if (hg_matmul_here(c->rt, thread, c->compute, to, ldc, &a, &b, m, n, k, add) != HG_OK)
        atomic_store(&c->no_room, true);
}

void hg_att_scale_rows(const hg_att *c, float *to, const float *from, size_t ld, size_t m)
{
    for (size_t i = 0; i < m; i++)
        c->k->scale_f32(to + i * c->a.d_head, c->a.scale, from + i * ld, c->a.d_head);
}

/* ---- one block of query rows ---- */

typedef struct task {
    const hg_span *span;
    size_t head, row; /* row: first of the block, within the span */
} task;

typedef struct block {
    float *q; /* [HG_ATT_Q][d_head] scaled */
    float *s; /* [HG_ATT_Q][HG_ATT_K] scores, then exp(score - max) */
    float *o; /* [HG_ATT_Q][d_head] */
    float max[HG_ATT_Q], sum[HG_ATT_Q];
} block;

/* Row i's scores s[0..n) of which [from, to) are seen: exponentials in place, zero elsewhere, and
 * what the row has summed so far rescaled to the new maximum. */
static void softmax_row(const hg_att *c, block *b, size_t i, size_t n, size_t from, size_t to)
{
    float *s = b->s + i * HG_ATT_K, *o = b->o + i * c->a.d_head;
    if (from >= to) {
        memset(s, 0, n * sizeof *s);
        return;
    }
    if (c->a.soft_cap > 0) hg_soft_cap(c->k, s + from, s + from, c->a.soft_cap, to - from);
    float max = c->k->max_f32(s + from, to - from);
    if (max < b->max[i]) max = b->max[i];
    memset(s, 0, from * sizeof *s);
    float sum = c->k->exp_sum_f32(s + from, s + from, max, to - from);
    memset(s + to, 0, (n - to) * sizeof *s);
    if (max > b->max[i]) {
        float shrink = expf(b->max[i] - max); /* 0 at the first block */
        b->sum[i] *= shrink;
        c->k->scale_f32(o, shrink, o, c->a.d_head);
    }
    b->max[i] = max;
    b->sum[i] += sum;
}

static void keys_block(hg_att *c, block *b, const hg_att_keys *ks, int thread, size_t pos, size_t m,
                       size_t from, size_t to)
{
    size_t d = c->a.d_head, size = hg_type_size(ks->type);
    hg_matrix kt = {(const char *)ks->k + from * ks->stride * size, ks->type, 1, ks->stride};
    hg_matrix v = {(const char *)ks->v + from * ks->stride * size, ks->type, ks->stride, 1};
    hg_att_product(c, thread, b->s, HG_ATT_K, (hg_matrix){b->q, HG_F32, d, 1}, kt, m, to - from, d,
                   false);
    for (size_t i = 0; i < m; i++) {
        size_t first = hg_att_first(c, pos + i), end = pos + i + 1;
        first = first > from ? first - from : 0;
        end = end < to ? (end > from ? end - from : 0) : to - from;
        softmax_row(c, b, i, to - from, first, end);
    }
    hg_att_product(c, thread, b->o, d, (hg_matrix){b->s, HG_F32, HG_ATT_K, 1}, v, m, d, to - from,
                   true);
}

static void finish_block(const hg_att *c, const block *b, const task *t, size_t m)
{
    size_t d = c->a.d_head;
    for (size_t i = 0; i < m; i++) {
        size_t row = t->span->row + t->row + i;
        float sum = b->sum[i] + hg_att_sink(c, t->head, b->max[i]);
        c->k->scale_f32(c->y + row * c->d_q + t->head * d, 1.0f / sum, b->o + i * d, d);
        if (c->lse != NULL) c->lse[row * c->a.n_heads + t->head] = b->max[i] + logf(b->sum[i]);
    }
}

static void query_block(hg_att *c, const task *t, int thread)
{
    size_t d = c->a.d_head, left = t->span->n - t->row, m = left < HG_ATT_Q ? left : HG_ATT_Q;
    hg_att_keys ks = hg_att_keys_of(c, t->span, t->head / c->group);
    size_t pos = ks.offset + t->row, end = pos + m;
    float *scratch = hg_att_scratch(c, thread);
    block b = {.q = scratch, .o = scratch + HG_ATT_Q * d, .s = scratch + 2 * HG_ATT_Q * d};
    for (size_t i = 0; i < m; i++) {
        b.max[i] = -INFINITY;
        b.sum[i] = 0;
    }
    memset(b.o, 0, m * d * sizeof *b.o);
    hg_att_scale_rows(c, b.q, c->q + (t->span->row + t->row) * c->d_q + t->head * d, c->d_q, m);
    for (size_t from = hg_att_first(c, pos) / HG_ATT_K * HG_ATT_K; from < end; from += HG_ATT_K)
        keys_block(c, &b, &ks, thread, pos, m, from, end < from + HG_ATT_K ? end : from + HG_ATT_K);
    finish_block(c, &b, t, m);
}

typedef struct block_job {
    hg_att *c;
    const task *tasks;
} block_job;

static void block_chunk(void *ctx, size_t begin, size_t end, int thread)
{
    const block_job *j = ctx;
    for (size_t i = begin; i < end; i++) query_block(j->c, &j->tasks[i], thread);
}

static bool goes_by_rows(const hg_att *c, const hg_span *s)
{
    return s->n <= HG_ATT_FEW && c->lse == NULL;
}

/* The last blocks of a span have the most keys: they come first, so that no thread is left with a
 * long one at the end. */
static size_t list_tasks(const hg_att *c, task *to)
{
    size_t n = 0;
    for (size_t i = 0; i < c->a.n_spans; i++) {
        const hg_span *s = &c->a.spans[i];
        if (goes_by_rows(c, s)) continue;
        for (size_t b = (s->n + HG_ATT_Q - 1) / HG_ATT_Q; b-- > 0;)
            for (size_t h = 0; h < c->a.n_heads; h++, n++)
                if (to != NULL) to[n] = (task){s, h, b * HG_ATT_Q};
    }
    return n;
}

static void blocks(hg_graph *g, hg_att *c)
{
    size_t n = list_tasks(c, NULL);
    if (n == 0) return;
    task *tasks = HG_NEW_RAW(g->mem, task, n);
    c->scratch_floats = 2 * HG_ATT_Q * c->a.d_head + (size_t)HG_ATT_Q * HG_ATT_K;
    c->scratch = HG_NEW_RAW(g->mem, float, (size_t)g->rt->n_threads * c->scratch_floats);
    if (tasks == NULL || c->scratch == NULL) {
        (void)hg_graph_fail(g, HG_E_NOMEM, "attention: no memory for %zu blocks", n);
        return;
    }
    (void)list_tasks(c, tasks);
    block_job j = {c, tasks};
    hg_pool_run(g->rt->pool, n, 1, block_chunk, &j);
}

/* ---- the cache ---- */

static void store_row(const hg_kernels *k, const hg_kv_layer *kv, void *cache, size_t pos,
                      const float *row, size_t n)
{
    char *to = (char *)cache + pos * n * hg_type_size(kv->type);
    if (kv->type == HG_BF16)
        k->f32_to_bf16((hg_bf16 *)(void *)to, row, n);
    else if (kv->type == HG_F16)
        k->f32_to_f16((hg_f16 *)(void *)to, row, n);
    else
        memcpy(to, row, n * sizeof *row);
}

static void store_chunk(void *ctx, size_t begin, size_t end, int thread)
{
    const hg_att *c = ctx;
    (void)thread;
    for (size_t i = 0; i < c->a.n_spans; i++) {
        const hg_span *s = &c->a.spans[i];
        if (s->kv == NULL) continue;
        for (size_t r = begin > s->row ? begin : s->row; r < end && r < s->row + s->n; r++) {
            size_t pos = s->pos0 + (r - s->row);
            store_row(c->k, s->kv, s->kv->k, pos, c->key + r * c->d_kv, c->d_kv);
            store_row(c->k, s->kv, s->kv->v, pos, c->value + r * c->d_kv, c->d_kv);
        }
    }
}

/* ---- the op ---- */

static bool spans_check(hg_graph *g, const hg_attention *a, size_t n, bool recorded)
{
    size_t at = 0;
    for (size_t i = 0; i < a->n_spans; i++) {
        const hg_span *s = &a->spans[i];
        if (s->row != at || s->n == 0 || s->n > n - at) {
            (void)hg_graph_fail(g, HG_E_ARG,
                                "attention: span %zu holds %zu rows from %zu; the spans must "
                                "follow each other from row 0 to %zu and none be empty",
                                i, s->n, s->row, n);
            return false;
        }
        at += s->n;
        if (s->kv == NULL) continue;
        if (recorded) {
            (void)hg_graph_fail(g, HG_E_ARG,
                                "attention: span %zu has a cache, which cannot be recorded", i);
            return false;
        }
        if (s->kv->type != HG_F32 && s->kv->type != HG_F16 && s->kv->type != HG_BF16) {
            (void)hg_graph_fail(g, HG_E_ARG,
                                "attention: the cache is %s; f32, f16 or bf16 is needed",
                                hg_type_name(s->kv->type));
            return false;
        }
    }
    if (at == n) return true;
    (void)hg_graph_fail(g, HG_E_ARG, "attention: the spans end at row %zu of %zu", at, n);
    return false;
}

static bool attention_check(hg_graph *g, const hg_tensor *q, const hg_tensor *k, const hg_tensor *v,
                            const hg_attention *a)
{
    char sq[HG_SHAPE_TEXT], sk[HG_SHAPE_TEXT], sv[HG_SHAPE_TEXT];
    if (!hg_op_check(g, "attention", "q", q) || !hg_op_check(g, "attention", "k", k) ||
        !hg_op_check(g, "attention", "v", v))
        return false;
    if (a->n_heads == 0 || a->n_kv_heads == 0 || a->d_head == 0 ||
        a->n_heads % a->n_kv_heads != 0) {
        (void)hg_graph_fail(g, HG_E_ARG,
                            "attention: %zu heads of %zu values on %zu key heads; the heads must "
                            "be a multiple of the key heads",
                            a->n_heads, a->d_head, a->n_kv_heads);
        return false;
    }
    size_t n = hg_tensor_rows(q);
    bool fits = hg_tensor_cols(q) == a->n_heads * a->d_head &&
                hg_tensor_cols(k) == a->n_kv_heads * a->d_head &&
                hg_tensor_cols(v) == a->n_kv_heads * a->d_head && hg_tensor_rows(k) == n &&
                hg_tensor_rows(v) == n;
    if (!fits) {
        (void)hg_graph_fail(g, HG_E_ARG,
                            "attention: q is %s, k %s, v %s; [%zu][%zu], [%zu][%zu] and the same "
                            "are needed",
                            hg_shape_text(q, sq), hg_shape_text(k, sk), hg_shape_text(v, sv), n,
                            a->n_heads * a->d_head, n, a->n_kv_heads * a->d_head);
        return false;
    }
    bool recorded = hg_op_recorded(g, q, k, v);
    if (recorded && a->sinks != NULL) {
        (void)hg_graph_fail(g, HG_E_UNSUPPORTED, "attention: sinks cannot be trained");
        return false;
    }
    if (recorded && (q == k || q == v || k == v)) {
        (void)hg_graph_fail(g, HG_E_ARG, "attention: q, k and v must be different tensors");
        return false;
    }
    return spans_check(g, a, n, recorded);
}

static hg_att_saved *attention_save(hg_graph *g, const hg_attention *a, size_t n)
{
    hg_att_saved *s = HG_NEW(g->mem, hg_att_saved, 1);
    float *lse = HG_NEW_RAW(g->mem, float, n * a->n_heads);
    if (s == NULL || lse == NULL) {
        (void)hg_graph_fail(g, HG_E_NOMEM, "no memory to record attention");
        return NULL;
    }
    *s = (hg_att_saved){*a, lse};
    return s;
}

hg_tensor *hg_op_attention(hg_graph *g, hg_tensor *q, hg_tensor *k, hg_tensor *v,
                           const hg_attention *a)
{
    if (!attention_check(g, q, k, v, a)) return NULL;
    hg_tensor *y = hg_op_like(g, q);
    if (y == NULL) return NULL;
    bool recorded = hg_op_recorded(g, q, k, v);
    hg_att_saved *saved = recorded ? attention_save(g, a, hg_tensor_rows(q)) : NULL;
    if (g->status != HG_OK) return NULL;
    hg_att c = {.rt = g->rt,
                .k = &g->rt->k,
                .compute = g->compute,
                .a = *a,
                .group = a->n_heads / a->n_kv_heads,
                .d_q = hg_tensor_cols(q),
                .d_kv = hg_tensor_cols(k),
                .q = q->data,
                .key = k->data,
                .value = v->data,
                .y = y->data,
                .lse = saved != NULL ? saved->lse : NULL};
    hg_arena_mark here = hg_arena_here(g->mem);
    hg_pool_run(g->rt->pool, hg_tensor_rows(k), hg_op_grain(4 * c.d_kv * sizeof(float)),
                store_chunk, &c);
    blocks(g, &c);
    if (!recorded) hg_att_few_rows(g, &c);
    hg_arena_rewind(g->mem, here);
    if (atomic_load(&c.no_room))
        return hg_graph_fail(g, HG_E_NOMEM, "attention: no memory for the products' scratch");
    if (recorded && hg_op_record(g, hg_att_back, (hg_tensor *[3]){q, k, v}, y, saved) == NULL)
        return NULL;
    return g->status == HG_OK ? y : NULL;
}
