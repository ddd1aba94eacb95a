/* Attention of one or a few rows against a long cache: decoding a token.
 *
 * Here reading the cache is all the work. It is cut into tasks of (span, key head, HG_ATT_PART
 * keys) so that one long timeline keeps every thread busy; the query heads of a group read the same
 * keys while they are in the cache. Each task leaves, for each of its rows, the largest score, the
 * sum of exponentials and the weighted sum of values; a second pass puts the parts together in
 * order. */
#include "tensor/attention.h"

#include <math.h>
#include <string.h>

/* One task's keys, and where its results go: of each of the group's heads and the span's rows
 * [d_head] sums, then the maximum and the sum of exponentials. */
typedef struct part {
    const hg_span *span;
    size_t kv_head, from, to; /* keys */
    float *result;            /* [group][span->n][d_head + 2] */
} part;

typedef struct rows_job {
    hg_att *c;
    part *parts;
    size_t n_parts;
} rows_job;

static float dot(const hg_kernels *k, const float *q, const void *x, hg_type type, size_t n)
{
    if (type == HG_BF16) return k->dot_f32_bf16(q, x, n);
    if (type == HG_F16) return k->dot_f32_f16(q, x, n);
    return k->dot_f32(q, x, n);
}

static void axpy(const hg_kernels *k, float *y, float a, const void *x, hg_type type, size_t n)
{
    if (type == HG_BF16)
        k->axpy_f32_bf16(y, a, x, n);
    else if (type == HG_F16)
        k->axpy_f32_f16(y, a, x, n);
    else
        k->axpy_f32(y, a, x, n);
}

static void one_row(const hg_att *c, const part *p, const hg_att_keys *ks, size_t row, size_t head,
                    float *result)
{
    size_t d = c->a.d_head, pos = ks->offset + row, step = ks->stride * hg_type_size(ks->type);
    size_t first = hg_att_first(c, pos), end = pos + 1 < p->to ? pos + 1 : p->to;
    float s[HG_ATT_PART];
    if (first < p->from) first = p->from;
    memset(result, 0, d * sizeof *result);
    result[d] = -INFINITY;
    result[d + 1] = 0;
    if (first >= end) return;
    const float *query = c->q + (p->span->row + row) * c->d_q + head * d;
    for (size_t i = first; i < end; i++)
        s[i - first] = dot(c->k, query, (const char *)ks->k + i * step, ks->type, d);
    size_t n = end - first;
    c->k->scale_f32(s, c->a.scale, s, n);
    if (c->a.soft_cap > 0) hg_soft_cap(c->k, s, s, c->a.soft_cap, n);
    result[d] = c->k->max_f32(s, n);
    result[d + 1] = c->k->exp_sum_f32(s, s, result[d], n);
    for (size_t i = 0; i < n; i++)
        axpy(c->k, result, s[i], (const char *)ks->v + (first + i) * step, ks->type, d);
}

static void part_chunk(void *ctx, size_t begin, size_t end, int thread)
{
    const rows_job *j = ctx;
    const hg_att *c = j->c;
    (void)thread;
    for (size_t t = begin; t < end; t++) {
        const part *p = &j->parts[t];
        hg_att_keys ks = hg_att_keys_of(c, p->span, p->kv_head);
        for (size_t h = 0; h < c->group; h++)
            for (size_t r = 0; r < p->span->n; r++)
                one_row(c, p, &ks, r, p->kv_head * c->group + h,
                        p->result + (h * p->span->n + r) * (c->a.d_head + 2));
    }
}

/* y = sum of the parts' values, each weighted with exp(its max - the largest), over the same sum of
 * their exponentials. Parts [first, end) are of one span and key head. */
static void join_row(const rows_job *j, size_t first, size_t end, size_t h, size_t r)
{
    const hg_att *c = j->c;
    const hg_span *s = j->parts[first].span;
    size_t d = c->a.d_head, at = (h * s->n + r) * (d + 2);
    size_t head = j->parts[first].kv_head * c->group + h;
    float *y = c->y + (s->row + r) * c->d_q + head * d;
    float max = -INFINITY;
    for (size_t p = first; p < end; p++) max = fmaxf(max, j->parts[p].result[at + d]);
    float sum = hg_att_sink(c, head, max);
    memset(y, 0, d * sizeof *y);
    for (size_t p = first; p < end; p++) {
        const float *found = j->parts[p].result + at;
        float w = expf(found[d] - max); /* a part that saw nothing has -inf: weight 0 */
        c->k->axpy_f32(y, w, found, d);
        sum += w * found[d + 1];
    }
    c->k->scale_f32(y, 1.0f / sum, y, d);
}

static void join_all(const rows_job *j)
{
    for (size_t first = 0, end; first < j->n_parts; first = end) {
        const part *p = &j->parts[first];
        for (end = first + 1; end < j->n_parts && j->parts[end].span == p->span &&
                              j->parts[end].kv_head == p->kv_head;)
            end++;
        for (size_t h = 0; h < j->c->group; h++)
            for (size_t r = 0; r < p->span->n; r++) join_row(j, first, end, h, r);
    }
}

/* The parts of all spans of few rows, and how many floats their results take. */
static size_t list_parts(const hg_att *c, part *to, float *results, size_t *n_floats)
{
    size_t n = 0, at = 0;
    for (size_t i = 0; i < c->a.n_spans; i++) {
        const hg_span *s = &c->a.spans[i];
        if (s->n > HG_ATT_FEW) continue;
        size_t pos0 = s->kv != NULL ? s->pos0 : 0, end = pos0 + s->n;
        size_t first = hg_att_first(c, pos0) / HG_ATT_PART * HG_ATT_PART;
        for (size_t h = 0; h < c->a.n_kv_heads; h++)
            for (size_t from = first; from < end; from += HG_ATT_PART, n++) {
                size_t until = end < from + HG_ATT_PART ? end : from + HG_ATT_PART;
                if (to != NULL) to[n] = (part){s, h, from, until, results + at};
                at += c->group * s->n * (c->a.d_head + 2);
            }
    }
    *n_floats = at;
    return n;
}

void hg_att_few_rows(hg_graph *g, hg_att *c)
{
    size_t n_floats = 0;
    size_t n = list_parts(c, NULL, NULL, &n_floats);
    if (n == 0) return;
    rows_job j = {c, HG_NEW_RAW(g->mem, part, n), n};
    float *results = HG_NEW_RAW(g->mem, float, n_floats);
    if (j.parts == NULL || results == NULL) {
        (void)hg_graph_fail(g, HG_E_NOMEM, "attention: no memory for %zu parts", n);
        return;
    }
    (void)list_parts(c, j.parts, results, &n_floats);
    hg_pool_run(g->rt->pool, n, 1, part_chunk, &j);
    join_all(&j);
}
