/* The key/value cache: what attention has already seen of a timeline, so that a new token costs one
 * row and not the whole text again. Each layer keeps its keys and values in tiles of consecutive
 * positions, so a prefix of a timeline is a run of tiles: rewinding is forgetting a count, and
 * sharing a prompt's beginning is one copy a layer. (Pope et al. 2022, "Efficiently Scaling
 * Transformer Inference", section 3.) */
#include "infer/cache.h"

#include <string.h>

static const struct {
    const char *name;
    hg_cache_type asked;
    hg_type type;
} TYPES[] = {{"auto", HG_CACHE_AUTO, HG_F16},
             {"f32", HG_CACHE_F32, HG_F32},
             {"f16", HG_CACHE_F16, HG_F16},
             {"bf16", HG_CACHE_BF16, HG_BF16},
             {"q8_0", HG_CACHE_Q8_0, HG_Q8_0}};
enum { N_TYPES = sizeof TYPES / sizeof *TYPES };

bool hg_cache_type_parse(const char *name, hg_cache_type *out)
{
    for (size_t i = 0; i < N_TYPES; i++)
        if (strcmp(name, TYPES[i].name) == 0) {
            *out = TYPES[i].asked;
            return true;
        }
    return false;
}

hg_status hg_cache_choose(const hg_model *m, hg_cache_type asked, hg_type *out, hg_err *e)
{
    hg_kv_shape shape;
    *out = HG_N_TYPES;
    for (size_t i = 0; i < N_TYPES; i++)
        if (asked == TYPES[i].asked) *out = TYPES[i].type;
    if (asked == HG_CACHE_AUTO && m->embed->type == HG_BF16) *out = HG_BF16;
    if (*out == HG_N_TYPES)
        return hg_fail(e, HG_E_ARG, "cache type %d is none; HG_CACHE_AUTO to HG_CACHE_Q8_0 are",
                       (int)asked);
    if (hg_kv_shape_of(&shape, *out, m->c.n_kv_heads, m->c.d_head)) return HG_OK;
    return hg_fail(e, HG_E_ARG,
                   "a cache of %s needs heads of a multiple of %d values, the model's have %u; "
                   "f16 or bf16 takes any",
                   hg_type_name(*out), HG_KV_PANEL, m->c.d_head);
}

hg_status hg_cache_context(const hg_model *m, uint32_t asked, size_t *n_ctx, hg_err *e)
{
    if (asked > m->c.n_ctx)
        return hg_fail(e, HG_E_LIMIT, "a context of %u tokens was asked for; the model has %u",
                       asked, m->c.n_ctx);
    *n_ctx = asked == 0 ? m->c.n_ctx : asked;
    return HG_OK;
}

static size_t tiles_for(size_t n)
{
    return (n + HG_KV_TILE - 1) / HG_KV_TILE;
}

uint64_t hg_cache_bytes(const hg_model *m, size_t n_ctx, hg_type type)
{
    hg_kv_shape shape;
    size_t all, ids;
    if (!hg_kv_shape_of(&shape, type, m->c.n_kv_heads, m->c.d_head)) return UINT64_MAX;
    if (!hg_mul(shape.tile_bytes, tiles_for(n_ctx), &all)) return UINT64_MAX;
    if (!hg_mul(all, m->c.n_layers, &all)) return UINT64_MAX;
    if (!hg_mul(n_ctx, sizeof(int32_t), &ids) || !hg_add(all, ids, &all)) return UINT64_MAX;
    return all;
}

hg_status hg_cache_new(hg_cache *c, const hg_model *m, size_t n_ctx, hg_type type, hg_err *e)
{
    *c = (hg_cache){.type = type, .n_layers = m->c.n_layers, .n_ctx = n_ctx};
    hg_arena_init(&c->mem, 64 * 1024);
    if (!hg_kv_shape_of(&c->shape, type, m->c.n_kv_heads, m->c.d_head))
        return hg_fail(e, HG_E_ARG, "a cache of %s", hg_type_name(type));
    c->layer = HG_NEW(&c->mem, hg_kv_layer, c->n_layers);
    c->ids = HG_NEW_RAW(&c->mem, int32_t, n_ctx);
    if (c->layer == NULL || c->ids == NULL) goto full;
    for (size_t l = 0; l < c->n_layers; l++) {
        hg_kv_layer *kv = &c->layer[l];
        *kv = (hg_kv_layer){.type = type, .n_tiles = tiles_for(n_ctx)};
        kv->tiles = hg_arena_raw(&c->mem, kv->n_tiles, c->shape.tile_bytes);
        if (kv->tiles == NULL) goto full;
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
}

size_t hg_cache_shared(const hg_cache *c, const int32_t *ids, size_t n)
{
    size_t i = 0;
    while (i < n && i < c->n && c->ids[i] == ids[i]) i++;
    return i;
}

void hg_cache_copy(hg_cache *dst, const hg_cache *src, size_t n)
{
    for (size_t l = 0; l < dst->n_layers; l++)
        memcpy(dst->layer[l].tiles, src->layer[l].tiles, tiles_for(n) * src->shape.tile_bytes);
    memcpy(dst->ids, src->ids, n * sizeof *dst->ids);
    dst->n = n;
    dst->adapters = src->adapters;
}
