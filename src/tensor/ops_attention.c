/* Causal attention with grouped queries: where the rows of one timeline look at each other.
 *
 * Keys and values are read from tiles. A span with a cache first stores its rows there; one without
 * (training, scoring in one go) gets tiles for the time of the op, so that both are one forward
 * pass (attention_tiles.c). Spans without a cache are worked off some MB of tiles at a time. */
#include "tensor/attention.h"

#include <string.h>

static const size_t TILE_BYTES = 16u << 20; /* of spans without a cache at a time */

typedef struct store_job {
    const hg_att *c;
    const hg_kv_shape *shape;
    size_t first, n; /* spans */
    const hg_kv_layer *layers;
} store_job;

static size_t span_pos(const hg_span *s)
{
    return s->kv != NULL ? s->pos0 : 0;
}

/* Rows [begin, end), counted from the first span's first. */
static void store_chunk(void *ctx, size_t begin, size_t end, int thread)
{
    const store_job *j = ctx;
    const hg_att *c = j->c;
    const size_t row0 = c->a.spans[j->first].row;
    (void)thread;
    for (size_t i = 0; i < j->n; i++) {
        const hg_span *s = &c->a.spans[j->first + i];
        const size_t from = s->row - row0, to = from + s->n;
        for (size_t r = begin > from ? begin : from; r < end && r < to; r++)
            hg_kv_put(c->k, j->shape, &j->layers[i], span_pos(s) + (r - from),
                      c->key + (row0 + r) * c->d_kv, c->value + (row0 + r) * c->d_kv);
    }
}

/* Stores the rows of spans [first, first + n) in their tiles, then attends. */
static void run_spans(hg_graph *g, hg_att *c, size_t first, size_t n, const hg_kv_layer *layers)
{
    hg_kv_shape shape;
    const hg_span *spans = c->a.spans + first;
    (void)hg_kv_shape_of(&shape, layers[0].type, c->a.n_kv_heads, c->a.d_head);
    for (size_t i = 0; i < n; i++) hg_kv_enter(&shape, &layers[i], span_pos(&spans[i]), spans[i].n);
    store_job j = {c, &shape, first, n, layers};
    hg_pool_run(g->rt->pool, spans[n - 1].row + spans[n - 1].n - spans[0].row,
                hg_op_grain(4 * c->d_kv * sizeof(float)), store_chunk, &j);
    hg_att_forward(g, c, first, n, layers);
}

/* Layers for spans from `first` on: as many as are cached in the same type, or as share one lot of
 * tiles for now. Returns how many, 0 with a failed graph. */
static size_t layers_of(hg_graph *g, const hg_att *c, size_t first, hg_kv_layer *layers)
{
    const hg_span *s = c->a.spans + first;
    const hg_type type = c->compute == HG_COMPUTE_BF16 ? HG_BF16 : HG_F32;
    const size_t left = c->a.n_spans - first;
    hg_kv_shape shape;
    size_t n = 0, n_tiles = 0;
    if (s->kv != NULL) {
        for (; n < left && s[n].kv != NULL && s[n].kv->type == s->kv->type; n++)
            layers[n] = *s[n].kv;
        return n;
    }
    (void)hg_kv_shape_of(&shape, type, c->a.n_kv_heads, c->a.d_head);
    for (; n < left && s[n].kv == NULL; n++) {
        const size_t tiles = (s[n].n + HG_KV_TILE - 1) / HG_KV_TILE;
        if (n > 0 && (n_tiles + tiles) * shape.tile_bytes > TILE_BYTES) break;
        layers[n] = (hg_kv_layer){.type = type, .n_tiles = tiles};
        n_tiles += tiles;
    }
    char *tiles = hg_arena_raw(g->mem, n_tiles, shape.tile_bytes);
    if (tiles == NULL) {
        (void)hg_graph_fail(g, HG_E_NOMEM, "attention: no memory for the keys of %zu rows",
                            n_tiles * HG_KV_TILE);
        return 0;
    }
    for (size_t i = 0; i < n; tiles += layers[i++].n_tiles * shape.tile_bytes)
        layers[i].tiles = tiles;
    return n;
}

static void run_all(hg_graph *g, hg_att *c)
{
    hg_kv_layer *layers = HG_NEW_RAW(g->mem, hg_kv_layer, c->a.n_spans);
    if (layers == NULL) {
        (void)hg_graph_fail(g, HG_E_NOMEM, "attention: no memory for %zu spans", c->a.n_spans);
        return;
    }
    for (size_t first = 0, n; first < c->a.n_spans && g->status == HG_OK; first += n) {
        const hg_arena_mark here = hg_arena_here(g->mem);
        n = layers_of(g, c, first, layers);
        if (n == 0) return;
        run_spans(g, c, first, n, layers);
        hg_arena_rewind(g->mem, here);
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
        hg_kv_shape shape;
        if (!hg_kv_shape_of(&shape, s->kv->type, a->n_kv_heads, a->d_head)) {
            (void)hg_graph_fail(g, HG_E_ARG,
                                "attention: the cache is %s; f32, f16, bf16, or q8_0 with heads of "
                                "a multiple of %d values is needed",
                                hg_type_name(s->kv->type), HG_KV_PANEL);
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
    run_all(g, &c);
    hg_arena_rewind(g->mem, here);
    if (recorded && hg_op_record(g, hg_att_back, (hg_tensor *[3]){q, k, v}, y, saved) == NULL)
        return NULL;
    return g->status == HG_OK ? y : NULL;
}
