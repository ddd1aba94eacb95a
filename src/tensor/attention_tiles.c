/* Attention's forward pass over tiles of keys and values (kernels/kv.h).
 *
 * The query rows of a span and of the heads that share a key head are one list of rows; a block of
 * them walks over its tiles, part by part: the scores of a part's tiles, each row's weights over
 * them, the weighted sum of their values. Of all parts so far it keeps for each row the largest
 * score, the sum of exponentials and the weighted sum, rescaled when a larger score comes (Milakov
 * and Gimelshein 2018, Dao et al. 2022). All rows of a block read a tile together, so that decoding
 * reads a cache once.
 *
 * Parts of HG_KV_PART positions lie on a fixed grid. So what a row's result is does not depend on
 * the other rows, nor on whether a thread walks over all parts (a prompt) or several threads take
 * one each (decoding a token of a long text) and the parts are added afterwards, in order. */
#include "tensor/attention.h"

#include <math.h>
#include <string.h>

enum {
    T = HG_KV_TILE,
    PART = HG_KV_PART / T, /* tiles */
    ROWS = 56,
    MANY = 8,  /* blocks a thread: enough to keep all busy */
    CHUNKS = 8 /* of parts a thread, likewise */
};

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
    size_t height;    /* rows of a panel, the last may have fewer */
    size_t cells;     /* floats of a packed query */
    const unit *held; /* whose queries are packed, or NULL */
    float *q;         /* panels of scaled queries */
    float *s;         /* [ROWS][HG_KV_PART] scores, then weights unless the kernel wants bf16 */
    hg_bf16 *p;       /* [ROWS][HG_KV_PART] weights in bf16 */
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

static size_t panel_rows(const unit *u, const block *b, size_t r)
{
    return u->m - r < b->height ? u->m - r : b->height;
}

/* Packs the scaled queries, unless the unit before had the same. */
static void pack(const forward *f, const unit *u, block *b)
{
    const hg_att *c = f->c;
    const size_t most = b->kernel->max_rows, panels = (u->m + most - 1) / most;
    const unit *o = b->held;
    b->held = u;
    if (o != NULL && o->span == u->span && o->kv_head == u->kv_head && o->first == u->first) return;
    b->height = (u->m + panels - 1) / panels;
    for (size_t r = 0; r < u->m; r++) {
        const size_t panel = r / b->height * b->height;
        float *x = b->s; /* not in use yet */
        c->k->scale_f32(x, c->a.scale, c->q + row_at(f, u, r), c->a.d_head);
        hg_kv_pack(b->kernel->form, b->q + panel * b->cells, x, c->a.d_head,
                   panel_rows(u, b, panel), r - panel);
    }
}

/* ---- one part ---- */

/* Of n keys those in tile t. */
static size_t keys_of(size_t n, size_t t)
{
    return n - t * T < T ? n - t * T : T;
}

/* The part's positions that row i sees, [*from, *to) from its first on. */
static void seen(const forward *f, const unit *u, size_t i, size_t begin, size_t *from, size_t *to)
{
    const size_t pos = pos_of(f, u, i), first = hg_att_first(f->c, pos);
    *from = first > begin ? first - begin : 0;
    *to = pos + 1 > begin ? pos + 1 - begin : 0;
    if (*to > HG_KV_PART) *to = HG_KV_PART;
}

/* Rows' weights over positions [skip, skip + n) of the part; v: the values that are read next. */
static void weigh(const forward *f, const unit *u, block *b, size_t begin, size_t skip, size_t n,
                  const char *v)
{
    const hg_att *c = f->c;
    const bool streams = u->m <= HG_KV_STREAM && f->shape.v_bytes > HG_KV_AHEAD;
    const size_t fetch = streams ? (f->shape.v_bytes - HG_KV_AHEAD) / u->m / 64 * 64 : 0;
    for (size_t i = 0; i < u->m; i++) {
        float *s = b->s + i * HG_KV_PART + skip;
        void *p = b->kernel->form == HG_KV_PAIRS ? (void *)(b->p + i * HG_KV_PART + skip) : s;
        size_t from, to;
        seen(f, u, i, begin + skip, &from, &to);
        b->part.max[i] = -INFINITY;
        b->part.sum[i] = 0;
        if (to > n) to = n;
        if (from >= to) {
            memset(p, 0, n * (b->kernel->form == HG_KV_PAIRS ? sizeof *b->p : sizeof *s));
            continue;
        }
        if (c->a.soft_cap > 0) hg_soft_cap(c->k, s + from, s + from, c->a.soft_cap, to - from);
        b->part.sum[i] = b->kernel->weigh(p, s, n, from, to, &b->part.max[i],
                                          v + HG_KV_AHEAD + i * fetch, fetch);
    }
}

/* Sums what the block's rows see of part p; `next` is what this thread reads after it. */
static void part(const forward *f, const unit *u, block *b, size_t p, const void *next)
{
    const size_t d = f->c->a.d_head, end = pos_of(f, u, u->m - 1) + 1;
    const size_t seen_from = hg_att_first(f->c, pos_of(f, u, 0)) / T;
    const size_t first = p * PART > seen_from ? p * PART : seen_from;
    const size_t last = (end - 1) / T < p * PART + PART - 1 ? (end - 1) / T : p * PART + PART - 1;
    const size_t n = (end < (last + 1) * T ? end : (last + 1) * T) - first * T;
    const char *v = hg_kv_values(&f->shape, u->kv, first, u->kv_head);
    float *s = b->s + (first - p * PART) * T;
    const void *weights = b->kernel->form == HG_KV_PAIRS
                              ? (const void *)(b->p + (first - p * PART) * T)
                              : (const void *)s;
    const size_t size = b->kernel->form == HG_KV_PAIRS ? sizeof *b->p : sizeof *s;

    for (size_t t = first; t <= last; t++)
        for (size_t r = 0; r < u->m; r += b->height)
            b->kernel->scores(s + r * HG_KV_PART + (t - first) * T, b->q + r * b->cells,
                              hg_kv_keys(&f->shape, u->kv, t, u->kv_head), d, panel_rows(u, b, r),
                              keys_of(n, t - first),
                              t < last ? hg_kv_keys(&f->shape, u->kv, t + 1, u->kv_head) : v);
    weigh(f, u, b, p * HG_KV_PART, (first - p * PART) * T, n + n % 2, v);
    memset(b->part.o, 0, u->m * d * sizeof *b->part.o);
    for (size_t t = first; t <= last; t++)
        for (size_t r = 0; r < u->m; r += b->height)
            b->kernel->values(b->part.o + r * d,
                              (const char *)weights + (r * HG_KV_PART + (t - first) * T) * size,
                              hg_kv_values(&f->shape, u->kv, t, u->kv_head), d, panel_rows(u, b, r),
                              keys_of(n, t - first),
                              t < last ? hg_kv_values(&f->shape, u->kv, t + 1, u->kv_head) : next);
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

/* Sets what all sums begin with. */
static void begin(sums *s, size_t m, size_t d)
{
    for (size_t i = 0; i < m; i++) {
        s->max[i] = -INFINITY;
        s->sum[i] = 0;
    }
    memset(s->o, 0, m * d * sizeof *s->o);
}

/* The keys that part p of the unit begins with. */
static const char *first_keys(const forward *f, const unit *u, size_t p)
{
    const size_t first = hg_att_first(f->c, pos_of(f, u, 0)) / T;
    return hg_kv_keys(&f->shape, u->kv, p * PART > first ? p * PART : first, u->kv_head);
}

/* `next`: the unit that this thread runs after it. */
static void run_unit(const forward *f, const unit *u, block *b, const unit *next)
{
    const hg_att *c = f->c;
    const size_t d = c->a.d_head;
    pack(f, u, b);
    if (u->found != NULL) {
        part(f, u, b, u->part, first_keys(f, next, next->part));
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
        part(f, u, b, p,
             p + 1 < u->end ? first_keys(f, u, p + 1) : first_keys(f, next, next->part));
        for (size_t i = 0; i < u->m; i++)
            add_part(c->k, b->all.o + i * d, &b->all.max[i], &b->all.sum[i], b->part.o + i * d,
                     b->part.max[i], b->part.sum[i], d);
    }
    for (size_t i = 0; i < u->m; i++)
        finish_row(f, u, i, b->all.o + i * d, b->all.max[i], b->all.sum[i]);
}

static size_t scratch_floats(size_t d)
{
    const size_t scores = ROWS * HG_KV_PART > d ? ROWS * HG_KV_PART : d;
    return ROWS * (d + 1) + scores + ROWS * HG_KV_PART / 2 + 2 * ROWS * d;
}

static void unit_chunk(void *ctx, size_t begin_at, size_t end, int thread)
{
    const forward *f = ctx;
    const size_t d = f->c->a.d_head;
    float *at = hg_att_scratch(f->c, thread);
    block b = {.kernel = &f->c->k->kv[f->shape.kind]};
    b.cells = hg_kv_query_cells(b.kernel->form, d);
    b.part.o = at;
    b.all.o = b.part.o + ROWS * d;
    b.q = b.all.o + ROWS * d;
    b.p = (hg_bf16 *)(void *)(b.q + ROWS * (d + 1));
    b.s = b.q + ROWS * (d + 1) + ROWS * HG_KV_PART / 2;
    for (size_t i = begin_at; i < end; i++)
        run_unit(f, &f->units[i], &b, &f->units[i + 1 < end ? i + 1 : i]);
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
    /* Parts of one block in a row read its cache in a row. */
    const size_t n_chunks = CHUNKS * (size_t)g->rt->n_threads;
    const size_t grain = split && f.n_units > n_chunks ? f.n_units / n_chunks : 1;
    hg_pool_run(g->rt->pool, f.n_units, grain, unit_chunk, &f);
    if (n_floats > 0) hg_pool_run(g->rt->pool, f.n_units, 16, join_chunk, &f);
}
