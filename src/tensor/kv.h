/* A layer's keys and values in tiles (kernels/kv.h has their layout): where they lie, and how rows
 * are put in and taken out. */
#ifndef HG_TENSOR_KV_H
#define HG_TENSOR_KV_H

#include "kernels/kernels.h"

typedef struct hg_kv_layer {
    hg_type type;   /* F32, F16, BF16 or Q8_0 */
    size_t n_tiles; /* position p is in tile p / HG_KV_TILE % n_tiles: fewer than a timeline has
                       make a ring */
    void *tiles;    /* [n_tiles][n_kv_heads]{ keys; values }, 64-byte aligned */
} hg_kv_layer;

/* The shape of a tile. */
typedef struct hg_kv_shape {
    hg_kv_kind kind;
    size_t n_heads, d;       /* key heads, values of a head */
    size_t k_bytes, v_bytes; /* of one head */
    size_t tile_bytes;       /* of all heads */
} hg_kv_shape;

/* False for a type that a cache cannot have, or (Q8_0) a head that is not made of whole blocks. */
bool hg_kv_shape_of(hg_kv_shape *s, hg_type type, size_t n_heads, size_t d);

static inline char *hg_kv_keys(const hg_kv_shape *s, const hg_kv_layer *kv, size_t tile,
                               size_t head)
{
    return (char *)kv->tiles + tile % kv->n_tiles * s->tile_bytes +
           head * (s->k_bytes + s->v_bytes);
}

static inline char *hg_kv_values(const hg_kv_shape *s, const hg_kv_layer *kv, size_t tile,
                                 size_t head)
{
    return hg_kv_keys(s, kv, tile, head) + s->k_bytes;
}

/* Clears the tiles that a timeline enters with positions [pos, pos + n): call it before they are
 * put. */
void hg_kv_enter(const hg_kv_shape *s, const hg_kv_layer *kv, size_t pos, size_t n);
/* Stores a position's row, key and value [n_heads][d]; one at a time for each position. */
void hg_kv_put(const hg_kernels *k, const hg_kv_shape *s, const hg_kv_layer *kv, size_t pos,
               const float *key, const float *value);
/* The row as it was rounded when it was put. */
void hg_kv_get(const hg_kernels *k, const hg_kv_shape *s, const hg_kv_layer *kv, size_t pos,
               float *key, float *value);

/* Puts query x [d] as row r of `rows` that a kernel is given together (kernels/kv.h); `to` has
 * hg_kv_query_cells floats a row. */
void hg_kv_pack(hg_kv_form form, float *to, const float *x, size_t d, size_t rows, size_t r);

#endif
