/* Keys and values as attention's kernels read them, and those kernels.
 *
 * A timeline is cut into tiles of HG_KV_TILE positions. For one key head a tile holds
 *   keys    in panels of HG_KV_PANEL positions, positions side by side, so that a register holds
 *           the same element of many keys and a dot product needs no sum across lanes:
 *             f32, f16  [panel][d][32]
 *             bf16      [panel][d / 2, rounded up][32][2]     pairs, as the dot product wants them
 *             q8_0      [panel][d / 32]{ f16 scale [32]; int8 [16][32][2] of d's pairs }
 *   values  in panels of HG_KV_PANEL columns (the last one of w, what is left of d):
 *             f32, f16  [panel][128][w]
 *             bf16      [panel][64][w][2]                     pairs of positions
 *             q8_0      [panel]{ f16 scale [128]; int8 [64][32][2] of pairs of positions }
 * The layout is the same for every instruction set. A tile is zero where nothing was stored yet.
 *
 * The rows of a call are queries. Kernels work on HG_KV_PART positions at a time: scores of their
 * tiles one by one, weights of each row over all of them, values of their tiles one by one.
 *
 * A row of a result is computed alike whatever the number of rows is and whatever lies behind its
 * last key, so that reading a prompt and decoding it token by token give the same bits. */
#ifndef HG_KERNELS_KV_H
#define HG_KERNELS_KV_H

#include "kernels/types.h"

enum {
    HG_KV_TILE = 128,
    HG_KV_PANEL = 32,
    HG_KV_PART = 4 * HG_KV_TILE, /* positions whose scores lie side by side */
    /* Up to so many rows memory is the limit: then what lies HG_KV_AHEAD bytes further on is
     * fetched into the cache meanwhile. */
    HG_KV_STREAM = 8,
    HG_KV_AHEAD = 8192
};

/* The types that a cache can have. */
typedef enum hg_kv_kind { HG_KV_F32, HG_KV_F16, HG_KV_BF16, HG_KV_Q8_0, HG_N_KV } hg_kv_kind;

/* How a kernel wants its rows; hg_kv_pack makes queries so. */
typedef enum hg_kv_form {
    HG_KV_FLOATS, /* queries [d][rows]; weights floats */
    HG_KV_PAIRS,  /* queries [d / 2, rounded up][rows][2] bf16; weights bf16 */
    HG_KV_WORDS   /* queries [d / 32]{ float scale [rows]; int16 [16][rows][2] }; weights floats */
} hg_kv_form;

typedef struct hg_kv_kernel {
    size_t max_rows; /* of a call */
    hg_kv_form form;
    /* s[rows][HG_KV_PART] = q k^T for the first `keys` of a tile, rounded up to whole panels. What
     * lies at `next` will be read after this tile's keys. */
    void (*scores)(float *s, const void *q, const void *k, size_t d, size_t rows, size_t keys,
                   const void *next);
    /* A row's weights p[0 .. n), n a multiple of 2: exp(s - *max) for [from, to), from < to, *max
     * being the largest score there; else 0. Returns their sum. p may be s. `fetch` bytes at `next`
     * are fetched meanwhile. */
    float (*weigh)(void *p, const float *s, size_t n, size_t from, size_t to, float *max,
                   const void *next, size_t fetch);
    /* o[rows][d] += p v over the first `keys` of a tile. p is [rows][HG_KV_PART], not negative,
     * with a zero behind an odd number of keys. */
    void (*values)(float *o, const void *p, const void *v, size_t d, size_t rows, size_t keys,
                   const void *next);
} hg_kv_kernel;

/* Floats that a packed query takes. */
static inline size_t hg_kv_query_cells(hg_kv_form form, size_t d)
{
    return form == HG_KV_FLOATS  ? d
           : form == HG_KV_PAIRS ? (d + 1) / 2
                                 : d / HG_KV_PANEL * (1 + HG_KV_PANEL / 2);
}

#endif
