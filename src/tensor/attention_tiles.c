/* Attention's forward pass over tiles of keys and values (kernels/kv.h).
 *
 * The query rows of a span and of the heads that share a key head are one list of rows; a block of
 * them walks over its tiles and keeps for each row the largest score so far, the sum of
 * exponentials and the weighted sum of values, rescaled when a larger score comes (Milakov and
 * Gimelshein 2018, Dao et al. 2022). All rows of a block read a tile together, so that decoding
 * reads a cache once.
 *
 * Tiles and parts of PART tiles lie on a fixed grid of positions. A part is summed from nothing and
 * then added to what came before. So what a row's result is does not depend on the other rows, nor
 * on whether a thread walks over all parts (a prompt) or several threads take one each (decoding a
 * token of a long text) and the parts are added afterwards, in order. */
#include "tensor/attention.h"

#include <math.h>
#include <string.h>

enum { PART = 4, ROWS = 56, MANY = 8 /* blocks a thread: enough to keep all busy */ };
#define T HG_KV_TILE

/* What rows have summed. */
typedef struct sums {
    float *o; /* [ROWS][d] */
    float max[ROWS], sum[ROWS];
} sums;

/* A block's work on a range of parts. */
typedef struct unit {
    const hg_span *span;
    const hg_kv_layer *kv;
    size_t kv_head, first, m; /* rows [first, first + m) of the list */
    size_t part, end;         /* parts */
    float *found;             /* of one part [m][d + 2]: o, max, sum; NULL: y is finished at once */
    size_t n_parts;           /* units from here on that are this block's; 0: not the first */
} unit;

typedef struct forward {
    const hg_att *c;
    hg_kv_shape shape;
    size_t first; /* span */
    size_t n;     /* spans */
    const hg_kv_layer *layers;
    unit *units;
    size_t n_units;
} forward;

/* What a thread works with. */
typedef struct block {
    const hg_kv_kernel *kernel;
    bool pairs;    /* q and p are bf16 */
    size_t height; /* rows of a panel, the last may have fewer */
    float *q;      /* panels of scaled queries */
    float *s;      /* [ROWS][T] scores, then exp(score - max) */
    hg_bf16 *p;    /* [ROWS][T] the same in bf16 */
    sums part, all;
} block;

static size_t span_pos(const hg_span *s)
{
    return s->kv != NULL ? s->pos0 : 0;
}

/* Position of row i of the list. */
static size_t pos_of(const forward *f, const unit *u, size_t i)
{
    return span_pos(u->span) + (u->first + i) / f->c->group;
}

/* The query of row i (or its result) in a matrix of the op's rows. */
static size_t row_at(const forward *f, const unit *u, size_t i)
{
    const hg_att *c = f->c;
    const size_t row = (u->first + i) / c->group, head = (u->first + i) % c->group;
    return (u->span->row + row) * c->d_q + (u->kv_head * c->group + head) * c->a.d_head;
}

/* ---- one block ---- */

/* [d][rows] floats, or [d / 2][rows][2] bf16: in both cells of four bytes. */
static void pack_panel(const forward *f, const unit *u, block *b, size_t from, size_t rows,
                       float *to)
{
    const hg_att *c = f->c;
    const size_t d = c->a.d_head;
    for (size_t r = 0; r < rows; r++) {
        float *x = b->s; /* not in use yet */
        c->k->scale_f32(x, c->a.scale, c->q + row_at(f, u, from + r), d);
        if (b->pairs) {
            x[d] = 0;
            c->k->f32_to_bf16((hg_bf16 *)(void *)(x + d + 1), x, d + 1);
            for (size_t i = 0; i < (d + 1) / 2; i++)
                memcpy(&to[i * rows + r], (hg_bf16 *)(void *)(x + d + 1) + 2 * i, sizeof *to);
        } else {
            for (size_t i = 0; i < d; i++) to[i * rows + r] = x[i];
        }
    }
}

/* Cells of a panel a row. */
static size_t row_cells(const forward *f, const block *b)
{
    return b->pairs ? (f->c->a.d_head + 1) / 2 : f->c->a.d_head;
}

static void begin(sums *s, size_t m, size_t d)
{
    for (size_t i = 0; i < m; i++) {
        s->max[i] = -INFINITY;
        s->sum[i] = 0;
    }
    memset(s->o, 0, m * d * sizeof *s->o);
}

/* Row i's scores s[0..n) of which [from, to) are seen: exponentials in place, zero elsewhere, and
 * what the row has summed so far rescaled to the new maximum. */
static void softmax_row(const hg_att *c, block *b, size_t i, size_t n, size_t from, size_t to)
{
    float *s = b->s + i * T, *o = b->part.o + i * c->a.d_head;
    if (from >= to) {
        memset(s, 0, n * sizeof *s);
        return;
    }
    if (c->a.soft_cap > 0) hg_soft_cap(c->k, s + from, s + from, c->a.soft_cap, to - from);
    float max = c->k->max_f32(s + from, to - from);
    if (max < b->part.max[i]) max = b->part.max[i];
    memset(s, 0, from * sizeof *s);
    float sum = c->k->exp_sum_f32(s + from, s + from, max, to - from);
    memset(s + to, 0, (n - to) * sizeof *s);
    if (max > b->part.max[i]) {
        float shrink = expf(b->part.max[i] - max); /* 0 at a part's first keys */
        b->part.sum[i] *= shrink;
        c->k->scale_f32(o, shrink, o, c->a.d_head);
    }
    b->part.max[i] = max;
    b->part.sum[i] += sum;
}

/* `next`: the tile that is read after this one. */
static void tile(const forward *f, const unit *u, block *b, size_t t, size_t keys, size_t next)
{
    const hg_att *c = f->c;
    const size_t d = c->a.d_head, even = keys + keys % 2;
    const char *k = hg_kv_keys(&f->shape, u->kv, t, u->kv_head);
    const char *v = hg_kv_values(&f->shape, u->kv, t, u->kv_head);
    const char *k_next = hg_kv_keys(&f->shape, u->kv, next, u->kv_head);
    for (size_t r = 0; r < u->m; r += b->height)
        b->kernel->scores(b->s + r * T, b->q + r * row_cells(f, b), k, d,
                          u->m - r < b->height ? u->m - r : b->height, keys, v);
    for (size_t i = 0; i < u->m; i++) {
        size_t pos = pos_of(f, u, i), from = hg_att_first(c, pos), to = pos + 1;
        from = from > t * T ? from - t * T : 0;
        to = to > t * T ? to - t * T : 0;
        softmax_row(c, b, i, even, from, to < keys ? to : keys);
        if (b->pairs) c->k->f32_to_bf16(b->p + i * T, b->s + i * T, even);
    }
    for (size_t r = 0; r < u->m; r += b->height)
        b->kernel->values(b->part.o + r * d,
                          b->pairs ? (const void *)(b->p + r * T) : (const void *)(b->s + r * T), v,
                          d, u->m - r < b->height ? u->m - r : b->height, keys, k_next);
}

/* Sums what the block's rows see of a part. */
static void part(const forward *f, const unit *u, block *b, size_t p)
{
    const size_t end = pos_of(f, u, u->m - 1) + 1, last = (end - 1) / T;
    const size_t first = hg_att_first(f->c, pos_of(f, u, 0)) / T;
    size_t t = p * PART > first ? p * PART : first;
    begin(&b->part, u->m, f->c->a.d_head);
    for (; t <= last && t < (p + 1) * PART; t++)
        tile(f, u, b, t, end - t * T < T ? end - t * T : T, t < last ? t + 1 : t);
}

/* One row: what part p found behind what was found before. */
static void add_part(const hg_kernels *k, float *o, float *max, float *sum, const float *part_o,
                     float part_max, float part_sum, size_t d)
{
    if (!(part_sum > 0) && !isnan(part_sum)) return; /* saw nothing */
    const float most = *max > part_max ? *max : part_max;
    const float before = expf(*max - most), now = expf(part_max - most);
    k->scale_f32(o, before, o, d);
    k->axpy_f32(o, now, part_o, d);
    *sum = *sum * before + part_sum * now;
    *max = most;
}

/* The row's result from all it has summed. */
static void finish_row(const forward *f, const unit *u, size_t i, const float *o, float max,
                       float sum)
{
    const hg_att *c = f->c;
    const size_t at = row_at(f, u, i), d = c->a.d_head;
    float scale = 1;
    if (c->a.sinks != NULL) {
        const float sink = c->a.sinks[at / d % c->a.n_heads], most = max > sink ? max : sink;
        scale = expf(max - most);
        sum = sum * scale + expf(sink - most);
        max = most;
    }
    c->k->scale_f32(c->y + at, scale / sum, o, d);
    if (c->lse != NULL) c->lse[at / d] = max + logf(sum);
}

static void run_unit(const forward *f, const unit *u, block *b)
{
    const hg_att *c = f->c;
    const size_t d = c->a.d_head, most = b->kernel->max_rows, panels = (u->m + most - 1) / most;
    b->height = (u->m + panels - 1) / panels;
    for (size_t r = 0; r < u->m; r += b->height)
        pack_panel(f, u, b, r, u->m - r < b->height ? u->m - r : b->height,
                   b->q + r * row_cells(f, b));
    if (u->found != NULL) {
        part(f, u, b, u->part);
        for (size_t i = 0; i < u->m; i++) {
            float *to = u->found + i * (d + 2);
            memcpy(to, b->part.o + i * d, d * sizeof *to);
            to[d] = b->part.max[i];
            to[d + 1] = b->part.sum[i];
        }
        return;
    }
    begin(&b->all, u->m, d);
    for (size_t p = u->part; p < u->end; p++) {
        part(f, u, b, p);
        for (size_t i = 0; i < u->m; i++)
            add_part(c->k, b->all.o + i * d, &b->all.max[i], &b->all.sum[i], b->part.o + i * d,
                     b->part.max[i], b->part.sum[i], d);
    }
    for (size_t i = 0; i < u->m; i++)
        finish_row(f, u, i, b->all.o + i * d, b->all.max[i], b->all.sum[i]);
}

static size_t scratch_floats(size_t d)
{
    const size_t room = d + 1 + d / 2 + 1; /* pack_panel's use of s */
    return ROWS * (d + 1) + (ROWS * T > room ? ROWS * T : room) + ROWS * T / 2 + 2 * ROWS * d;
}

static void unit_chunk(void *ctx, size_t begin_at, size_t end, int thread)
{
    const forward *f = ctx;
    const size_t d = f->c->a.d_head;
    float *at = hg_att_scratch(f->c, thread);
    block b = {.kernel = &f->c->k->kv[f->shape.kind], .pairs = f->shape.kind == HG_KV_BF16};
    b.part.o = at;
    b.all.o = b.part.o + ROWS * d;
    b.q = b.all.o + ROWS * d;
    b.p = (hg_bf16 *)(void *)(b.q + ROWS * (d + 1));
    b.s = b.q + ROWS * (d + 1) + ROWS * T / 2;
    for (size_t i = begin_at; i < end; i++) run_unit(f, &f->units[i], &b);
}

/* ---- parts that several threads have summed ---- */

static void join_chunk(void *ctx, size_t begin_at, size_t end, int thread)
{
    const forward *f = ctx;
    const hg_att *c = f->c;
    const size_t d = c->a.d_head;
    float *o = hg_att_scratch(c, thread);
    for (size_t n = begin_at; n < end; n++) {
        const unit *u = &f->units[n];
        if (u->found == NULL || u->n_parts == 0) continue;
        for (size_t i = 0; i < u->m; i++) {
            float max = -INFINITY, sum = 0;
            memset(o, 0, d * sizeof *o);
            for (size_t p = 0; p < u->n_parts; p++) {
                const float *found = u[p].found + i * (d + 2);
                add_part(c->k, o, &max, &sum, found, found[d], found[d + 1], d);
            }
            finish_row(f, u, i, o, max, sum);
        }
    }
}

/* ---- units ---- */

/* Parts [*first, *end) of what the rows [row, row + m) of the list see. */
static void parts_of(const forward *f, const hg_span *s, size_t row, size_t m, size_t *first,
                     size_t *end)
{
    const size_t pos = span_pos(s), group = f->c->group;
    *first = hg_att_first(f->c, pos + row / group) / (PART * T);
    *end = (pos + (row + m - 1) / group) / (PART * T) + 1;
}

/* Lists all units (or, with `to` NULL, counts them and the floats that they leave). The last blocks
 * of a span have the most keys: they come first, so that no thread is left with a long one at the
 * end. */
static size_t list_units(const forward *f, bool split, unit *to, float *found, size_t *n_floats)
{
    const hg_att *c = f->c;
    size_t n = 0, at = 0;
    for (size_t i = 0; i < f->n; i++) {
        const hg_span *s = &c->a.spans[f->first + i];
        const size_t rows = s->n * c->group;
        for (size_t b = (rows + ROWS - 1) / ROWS; b-- > 0;)
            for (size_t h = 0; h < c->a.n_kv_heads; h++) {
                size_t row = b * ROWS, m = rows - row < ROWS ? rows - row : ROWS, first, end;
                parts_of(f, s, row, m, &first, &end);
                const bool alone = !split || end - first == 1;
                for (size_t p = first; p < end; p = alone ? end : p + 1, n++) {
                    if (to != NULL)
                        to[n] = (unit){.span = s,
                                       .kv = &f->layers[i],
                                       .kv_head = h,
                                       .first = row,
                                       .m = m,
                                       .part = p,
                                       .end = end,
                                       .found = alone ? NULL : found + at,
                                       .n_parts = p == first ? end - first : 0};
                    if (!alone) at += m * (c->a.d_head + 2);
                }
            }
    }
    *n_floats = at;
    return n;
}

void hg_att_forward(hg_graph *g, hg_att *c, size_t first, size_t n, const hg_kv_layer *layers)
{
    forward f = {.c = c, .first = first, .n = n, .layers = layers};
    size_t n_floats = 0;
    (void)hg_kv_shape_of(&f.shape, layers[0].type, c->a.n_kv_heads, c->a.d_head);
    const size_t n_blocks = list_units(&f, false, NULL, NULL, &n_floats);
    const bool split = n_blocks < MANY * (size_t)g->rt->n_threads;
    f.n_units = list_units(&f, split, NULL, NULL, &n_floats);
    f.units = HG_NEW_RAW(g->mem, unit, f.n_units);
    float *found = HG_NEW_RAW(g->mem, float, n_floats);
    c->scratch_floats = scratch_floats(c->a.d_head);
    c->scratch = HG_NEW_RAW(g->mem, float, (size_t)g->rt->n_threads * c->scratch_floats);
    if (f.units == NULL || found == NULL || c->scratch == NULL) {
        (void)hg_graph_fail(g, HG_E_NOMEM, "attention: no memory for %zu blocks", f.n_units);
        return;
    }
    (void)list_units(&f, split, f.units, found, &n_floats);
    hg_pool_run(g->rt->pool, f.n_units, 1, unit_chunk, &f);
    if (n_floats > 0) hg_pool_run(g->rt->pool, f.n_units, 16, join_chunk, &f);
}
