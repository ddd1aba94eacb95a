/* The key/value cache: what attention has already seen of a timeline, so that a new token costs one
 * row and not the whole text again. Each layer keeps its keys and values position by position, so a
 * prefix of a timeline is a prefix of every array: rewinding is forgetting a count, and sharing a
 * prompt's beginning is one copy a layer. (Pope et al. 2022, "Efficiently Scaling Transformer
 * Inference", section 3.) */
#include "infer/cache.h"

#include <string.h>

hg_type hg_cache_type(const hg_model *m, bool f32)
{
    if (f32) return HG_F32;
    return m->embed->type == HG_BF16 ? HG_BF16 : HG_F16;
}

hg_status hg_cache_context(const hg_model *m, uint32_t asked, size_t *n_ctx, hg_err *e)
{
    if (asked > m->c.n_ctx)
        return hg_fail(e, HG_E_LIMIT, "a context of %u tokens was asked for; the model has %u",
                       asked, m->c.n_ctx);
    *n_ctx = asked == 0 ? m->c.n_ctx : asked;
    return HG_OK;
}

/* Bytes of one layer's keys, rounded up so that the next array begins on a cache line. */
static bool layer_bytes(const hg_model *m, size_t n_ctx, hg_type type, size_t *row, size_t *all)
{
    size_t n;
    if (!hg_mul(m->c.n_kv_heads, m->c.d_head, &n)) return false;
    if (!hg_mul(n, hg_type_size(type), row)) return false;
    return hg_mul(*row, n_ctx, all) && hg_add(*all, 63, all);
}

uint64_t hg_cache_bytes(const hg_model *m, size_t n_ctx, hg_type type)
{
    size_t row, all, ids;
    if (!layer_bytes(m, n_ctx, type, &row, &all)) return UINT64_MAX;
    all &= ~(size_t)63;
    if (!hg_mul(all, 2 * (size_t)m->c.n_layers, &all)) return UINT64_MAX;
    if (!hg_mul(n_ctx, sizeof(int32_t), &ids) || !hg_add(all, ids, &all)) return UINT64_MAX;
    return all;
}

hg_status hg_cache_new(hg_cache *c, const hg_model *m, size_t n_ctx, hg_type type, hg_err *e)
{
    size_t all = 0;
    *c = (hg_cache){.type = type, .n_layers = m->c.n_layers, .n_ctx = n_ctx};
    hg_arena_init(&c->mem, 64 * 1024);
    if (!layer_bytes(m, n_ctx, type, &c->row_bytes, &all)) goto full;
    c->layer = HG_NEW(&c->mem, hg_kv_layer, c->n_layers);
    c->ids = HG_NEW_RAW(&c->mem, int32_t, n_ctx);
    if (c->layer == NULL || c->ids == NULL) goto full;
    for (size_t l = 0; l < c->n_layers; l++) {
        hg_kv_layer *kv = &c->layer[l];
        kv->type = type;
        kv->k = hg_arena_raw(&c->mem, c->row_bytes, n_ctx);
        kv->v = hg_arena_raw(&c->mem, c->row_bytes, n_ctx);
        if (kv->k == NULL || kv->v == NULL) goto full;
    }
    return HG_OK;
full:
    hg_cache_free(c);
    return hg_fail(e, HG_E_NOMEM,
                   "no room for a context of %zu tokens (%.1f MB of keys and values); ask for a "
                   "shorter one",
                   n_ctx, (double)hg_cache_bytes(m, n_ctx, type) / 1e6);
}

void hg_cache_free(hg_cache *c)
{
    hg_arena_free(&c->mem);
    *c = (hg_cache){0};
}

void hg_cache_rewind(hg_cache *c, size_t n)
{
    if (n < c->n) c->n = n;
    if (n < c->n_wide) c->n_wide = n;
}

size_t hg_cache_shared(const hg_cache *c, const int32_t *ids, size_t n)
{
    size_t i = 0;
    while (i < n && i < c->n && c->ids[i] == ids[i]) i++;
    return i;
}

void hg_cache_copy(hg_cache *dst, const hg_cache *src, size_t n)
{
    for (size_t l = 0; l < dst->n_layers; l++) {
        memcpy(dst->layer[l].k, src->layer[l].k, n * src->row_bytes);
        memcpy(dst->layer[l].v, src->layer[l].v, n * src->row_bytes);
    }
    memcpy(dst->ids, src->ids, n * sizeof *dst->ids);
    dst->n = n;
    dst->n_wide = n < src->n_wide ? n : src->n_wide;
}
