/* The keys and values of one timeline, and the tokens that they stand for.
 *
 * A layer with a window keeps a ring of tiles, as many as the window, a step's rows and
 * HG_CACHE_SPARE positions reach over. What a timeline has left behind in them is gone, so it can
 * be taken back by a few tokens and not to every length: hg_cache_reach says how far. */
#ifndef HG_INFER_CACHE_H
#define HG_INFER_CACHE_H

#include <higgins/infer.h>
#include "model/model.h"

/* Positions that can always be taken back. */
enum { HG_CACHE_SPARE = 64 };

typedef struct hg_cache {
    hg_type type;
    hg_kv_shape shape;
    size_t n_layers, n_ctx;
    const hg_model *m;
    hg_kv_layer *layer; /* [n_layers] */
    int32_t *ids;       /* [n_ctx] tokens held */
    size_t n;           /* positions held */
    size_t first_tile;  /* that layers with a window hold; they hold all behind it */
    size_t peak;        /* tiles entered at the most */
    uint64_t adapters;  /* hg_adapters_key of what they were computed with */
    hg_arena mem;
} hg_cache;

/* The type that an option asks for; automatic: bfloat16 where the weights are, else float16.
 * HG_E_ARG where the model's heads do not come in whole blocks of it. */
hg_status hg_cache_choose(const hg_model *m, hg_cache_type asked, hg_type *out, hg_err *e);
/* n_ctx as asked for, the model's when 0; HG_E_LIMIT when the model's positions end before. */
hg_status hg_cache_context(const hg_model *m, uint32_t asked, size_t *n_ctx, hg_err *e);
/* Bytes that hg_cache_new takes; UINT64_MAX when they cannot be counted. */
uint64_t hg_cache_bytes(const hg_model *m, size_t n_ctx, size_t rows, hg_type type);

/* HG_E_NOMEM, with what would fit, unless the memory that is free takes such a cache and `beside`
 * bytes more. The system gives room before it has it, so nothing else would tell in time. */
hg_status hg_cache_fits(const hg_model *m, size_t n_ctx, size_t rows, hg_type type, uint64_t beside,
                        hg_err *e);
/* The most tokens, the model's at the most, for which `sessions` such caches and `beside` bytes fit
 * into `memory` bytes: whole tiles, 0 when not one is. */
size_t hg_cache_room(const hg_model *m, uint64_t memory, size_t sessions, size_t rows, hg_type type,
                     uint64_t beside);
/* Bytes of the cache that no timeline has entered yet. */
uint64_t hg_cache_untouched(const hg_cache *c);

/* `c` starts as zeros; no step appends more than `rows`. The room is reserved at once and touched
 * as the timeline grows. */
hg_status hg_cache_new(hg_cache *c, const hg_model *m, size_t n_ctx, size_t rows, hg_type type,
                       hg_err *e);
void hg_cache_free(hg_cache *c);

/* A step is about to store n rows behind the timeline; and it has: they are those of ids. */
void hg_cache_enter(hg_cache *c, size_t n);
void hg_cache_append(hg_cache *c, const int32_t *ids, size_t n);
/* The first tile of a layer that the position behind the first n looks at. */
size_t hg_cache_needs(const hg_cache *c, size_t layer, size_t n);
/* What attention has of a layer's tile; it must be held. */
static inline void *hg_cache_tile(const hg_cache *c, size_t layer, size_t tile)
{
    return hg_kv_keys(&c->shape, &c->layer[layer], tile, 0);
}
/* Tiles that the first n positions have entered. */
static inline size_t hg_cache_tiles(size_t n)
{
    return (n + HG_KV_TILE - 1) / HG_KV_TILE;
}
/* n, at most the positions held, where the timeline can go on behind them; else 0. */
size_t hg_cache_reach(const hg_cache *c, size_t n);
/* Forgets all behind the first n positions, or everything where they are out of reach. Returns what
 * is left: n, or 0. */
size_t hg_cache_rewind(hg_cache *c, size_t n);
/* How many of ids[0..n) the timeline begins with. */
size_t hg_cache_shared(const hg_cache *c, const int32_t *ids, size_t n);
/* Makes dst's timeline the first n positions of src's, which are within reach; both are of one
 * model, type and number of rows. */
void hg_cache_copy(hg_cache *dst, const hg_cache *src, size_t n);

/* The timeline as a file (cache_file.c), with n_ahead ids that were chosen behind it and not yet
 * run; and back into a cache of the same model and type, which is empty on failure: the errors are
 * hg_session_load's. All ids are appended to `ids` (may be NULL). */
hg_status hg_cache_save(const hg_cache *c, const hg_model *m, const int32_t *ahead, size_t n_ahead,
                        const char *path, hg_err *e);
hg_status hg_cache_load(hg_cache *c, const hg_model *m, const char *path, hg_ids *ids, hg_err *e);
/* The same from a file's bytes; without `is_hashed` its hash is not looked at, as a fuzzer wants.
 */
hg_status hg_cache_parse(hg_cache *c, const hg_model *m, hg_bytes f, bool is_hashed, hg_ids *ids,
                         hg_err *e);

#endif
