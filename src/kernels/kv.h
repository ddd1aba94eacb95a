/* Keys and values as attention's kernels read them, and those kernels.
 *
 * A timeline is cut into tiles of HG_KV_TILE positions. For one key head a tile holds
 *   keys    in panels of HG_KV_PANEL positions, positions side by side, so that a register holds
 *           the same element of many keys and a dot product needs no sum across lanes:
 *             f32, f16  [panel][d][32]
 *             bf16      [panel][d / 2, rounded up][32][2]     pairs, as the dot product wants them
 *             q8_0      [panel][d / 32]{ f16 scale [32]; int8 [32 of d][32] }
 *   values  in panels of HG_KV_PANEL columns (the last one of w, what is left of d):
 *             f32, f16  [panel][128][w]
 *             bf16      [panel][64][w][2]                     pairs of positions
 *             q8_0      [panel]{ f16 scale [128]; int8 [128][32] }
 * The layout is the same for every instruction set. A tile is zero where nothing was stored yet.
 *
 * A row of a result is computed alike whatever the number of rows is and whatever lies behind its
 * last key, so that reading a prompt and decoding it token by token give the same bits. */
#ifndef HG_KERNELS_KV_H
#define HG_KERNELS_KV_H

#include "kernels/types.h"

enum { HG_KV_TILE = 128, HG_KV_PANEL = 32 };

/* The types that a cache can have. */
typedef enum hg_kv_kind { HG_KV_F32, HG_KV_F16, HG_KV_BF16, HG_KV_Q8_0, HG_N_KV } hg_kv_kind;

typedef struct hg_kv_kernel {
    size_t max_rows; /* of a call */
    /* s[rows][HG_KV_TILE] = q k^T for the first `keys` of a tile, rounded up to whole panels. q is
     * [d][rows] floats; bf16: [d / 2, rounded up][rows][2]. What lies at `next` is fetched into the
     * cache meanwhile: it will be read after this. */
    void (*scores)(float *s, const void *q, const void *k, size_t d, size_t rows, size_t keys,
                   const void *next);
    /* o[rows][d] += p v over the first `keys` of a tile. p is [rows][HG_KV_TILE] floats; bf16: of
     * that type, with a zero behind an odd number of keys. */
    void (*values)(float *o, const void *p, const void *v, size_t d, size_t rows, size_t keys,
                   const void *next);
} hg_kv_kernel;

#endif
