/* The key/value cache: what attention has already seen of a timeline, so that a new token costs one
 * row and not the whole text again. Each layer keeps its keys and values in tiles of consecutive
 * positions, so a prefix of a timeline is a run of tiles: rewinding is forgetting a count, and
 * sharing a prompt's beginning is one copy a layer. (Pope et al. 2022, "Efficiently Scaling
 * Transformer Inference", section 3.) Layers that look back through a window keep the last tiles
 * only, in a ring (Beltagy et al. 2020; Jiang et al. 2023, "rolling buffer cache"). */
#include "infer/cache.h"
#include "kernels/measure.h"

#include <stdio.h>
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

/* Tiles of a layer: all of the context, or, with a window, as many as a run of positions touches at
 * the most that a step's rows, the window before them and the spare ones make. */
static size_t layer_tiles(const hg_model *m, size_t layer, size_t n_ctx, size_t rows)
{
    const size_t all = hg_cache_tiles(n_ctx), window = m->layer[layer].window;
    if (window == 0) return all;
    const size_t ring = (window + rows + HG_CACHE_SPARE - 2) / HG_KV_TILE + 2;
    return ring < all ? ring : all;
}

uint64_t hg_cache_bytes(const hg_model *m, size_t n_ctx, size_t rows, hg_type type)
{
    hg_kv_shape shape;
    size_t n_tiles = 0, all, ids;
    if (!hg_kv_shape_of(&shape, type, m->c.n_kv_heads, m->c.d_head)) return UINT64_MAX;
    for (size_t l = 0; l < m->c.n_layers; l++) n_tiles += layer_tiles(m, l, n_ctx, rows);
    if (!hg_mul(shape.tile_bytes, n_tiles, &all)) return UINT64_MAX;
    if (!hg_mul(n_ctx, sizeof(int32_t), &ids) || !hg_add(all, ids, &all)) return UINT64_MAX;
    return all;
}

static uint64_t sum_of(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static bool is_room(const hg_model *m, size_t n_ctx, uint64_t memory, size_t sessions, size_t rows,
                    hg_type type, uint64_t beside)
{
    uint64_t each = hg_cache_bytes(m, n_ctx, rows, type);
    if (each > UINT64_MAX / sessions) return false;
    return sum_of(each * sessions, beside) <= memory;
}

size_t hg_cache_room(const hg_model *m, uint64_t memory, size_t sessions, size_t rows, hg_type type,
                     uint64_t beside)
{
    size_t fits = 0, too_long = hg_cache_tiles(m->c.n_ctx); /* tiles */
    if (is_room(m, m->c.n_ctx, memory, sessions, rows, type, beside)) return m->c.n_ctx;
    while (fits + 1 < too_long) {
        const size_t half = fits + (too_long - fits) / 2;
        if (is_room(m, half * HG_KV_TILE, memory, sessions, rows, type, beside))
            fits = half;
        else
            too_long = half;
    }
    return fits * HG_KV_TILE;
}

hg_status hg_cache_fits(const hg_model *m, size_t n_ctx, size_t rows, hg_type type, uint64_t beside,
                        hg_err *e)
{
    const uint64_t need = sum_of(hg_cache_bytes(m, n_ctx, rows, type), beside);
    const uint64_t free = hg_memory_free();
    char remedy[96] = "end other programs or take a smaller model";
    if (need <= free) return HG_OK;
    const size_t room = hg_cache_room(m, free, 1, rows, type, beside);
    if (room > 0 && room < n_ctx)
        (void)snprintf(remedy, sizeof remedy, "ask for %zu tokens at the most", room);
    return hg_fail(e, HG_E_NOMEM,
                   "a context of %zu tokens takes %.2f GB of memory and %.2f GB are free; %s",
                   n_ctx, (double)need / 1e9, (double)free / 1e9, remedy);
}

uint64_t hg_cache_untouched(const hg_cache *c)
{
    uint64_t tiles = 0;
    for (size_t l = 0; l < c->n_layers; l++)
        tiles +=
            c->layer[l].n_tiles - (c->peak < c->layer[l].n_tiles ? c->peak : c->layer[l].n_tiles);
    return tiles * c->shape.tile_bytes;
}

hg_status hg_cache_new(hg_cache *c, const hg_model *m, size_t n_ctx, size_t rows, hg_type type,
                       hg_err *e)
{
    *c = (hg_cache){.type = type, .n_layers = m->c.n_layers, .n_ctx = n_ctx, .m = m};
    hg_arena_init(&c->mem, 64 * 1024);
    if (!hg_kv_shape_of(&c->shape, type, m->c.n_kv_heads, m->c.d_head))
        return hg_fail(e, HG_E_ARG, "a cache of %s", hg_type_name(type));
    c->layer = HG_NEW(&c->mem, hg_kv_layer, c->n_layers);
    c->ids = HG_NEW_RAW(&c->mem, int32_t, n_ctx);
    if (c->layer == NULL || c->ids == NULL) goto full;
    for (size_t l = 0; l < c->n_layers; l++) {
        hg_kv_layer *kv = &c->layer[l];
        *kv = (hg_kv_layer){.type = type, .n_tiles = layer_tiles(m, l, n_ctx, rows)};
        kv->tiles = hg_arena_raw(&c->mem, kv->n_tiles, c->shape.tile_bytes);
        if (kv->tiles == NULL) goto full;
    }
    return HG_OK;
full:
    hg_cache_free(c);
    return hg_fail(e, HG_E_NOMEM,
                   "no room for a context of %zu tokens (%.1f MB of keys and values); ask for a "
                   "shorter one",
                   n_ctx, (double)hg_cache_bytes(m, n_ctx, rows, type) / 1e6);
}

void hg_cache_free(hg_cache *c)
{
    hg_arena_free(&c->mem);
    *c = (hg_cache){0};
}

void hg_cache_enter(hg_cache *c, size_t n)
{
    const size_t tiles = hg_cache_tiles(c->n + n);
    if (tiles > c->peak) c->peak = tiles;
    for (size_t l = 0; l < c->n_layers; l++) {
        const size_t kept = c->layer[l].n_tiles;
        if (tiles > kept && tiles - kept > c->first_tile) c->first_tile = tiles - kept;
    }
}

void hg_cache_append(hg_cache *c, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) c->ids[c->n++] = ids[i];
}

size_t hg_cache_needs(const hg_cache *c, size_t layer, size_t n)
{
    const size_t window = c->m->layer[layer].window;
    return window > 0 && n + 1 > window ? (n + 1 - window) / HG_KV_TILE : 0;
}

size_t hg_cache_reach(const hg_cache *c, size_t n)
{
    if (n > c->n) n = c->n;
    for (size_t l = 0; l < c->n_layers && c->first_tile > 0; l++)
        if (c->m->layer[l].window > 0 && hg_cache_needs(c, l, n) < c->first_tile) return 0;
    return n;
}

size_t hg_cache_rewind(hg_cache *c, size_t n)
{
    c->n = hg_cache_reach(c, n);
    if (c->n == 0) c->first_tile = 0;
    return c->n;
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
        size_t t = src->m->layer[l].window > 0 ? src->first_tile : 0;
        for (; t < hg_cache_tiles(n); t++)
            memcpy(hg_cache_tile(dst, l, t), hg_cache_tile(src, l, t), src->shape.tile_bytes);
    }
    memcpy(dst->ids, src->ids, n * sizeof *dst->ids);
    dst->n = n;
    if (dst->peak < hg_cache_tiles(n)) dst->peak = hg_cache_tiles(n);
    dst->first_tile = src->first_tile;
    dst->adapters = src->adapters;
}
