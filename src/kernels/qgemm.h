/* Matrix products over quantised weights, y = x W^T: how both operands lie, and what a set's kernel
 * does with them.
 *
 * Arithmetic. Activations are quantised row by row in blocks of 32 to int8 with a float32 scale, a
 * = da qa. A weight is w = s (u - o) + m with an unsigned code u of at most 8 bits, an offset o
 * that its type fixes, and a scale s (and for some types a minimum m) for each run of 16 or 32, its
 * `granule`. The sum over a granule is one integer, exact in any order, and takes the offset along:
 *
 *     y += (s da) (sum(u qa) - o sum(qa)) + m (da sum(qa))
 *
 * so that an output is a float32 sum over granules in their order, whatever the rows beside it.
 *
 * W lies in panels of HG_Q_NR columns (rows of W), a panel in steps of 32 or 256 of k, a step as
 * its columns' scales and behind them its codes at their own width: a panel has the bytes of the
 * file's blocks (iq4_xs: 2 of 136 more). Four codes that follow each other in k (a quad) share a
 * 32-bit lane, as the CPUs' dot products want them; a vector is the lanes of all columns. The codes
 * of a lane are those that a dword of the file's block holds, so that packing moves dwords.
 *
 * Scales of a step, [..] over the panel's columns (f16 unless said):
 *   q4_0 q5_0 q8_0 iq4_nl   d
 *   q4_1 q5_1               d, m
 *   mxfp4                   e (uint8)
 *   q4_k q5_k               d, dmin, then six bits sc and mn of 8 runs in three uint32: low halves
 *                           of sc, low halves of mn, upper two bits of sc (16) and of mn
 *   q3_k                    d, then 16 times six bits alike: even runs as sc, odd ones as mn
 *   q6_k                    d, then int8 [16]
 *   q2_k                    d, dmin, then uint8 [16] as the file has them
 *   iq4_xs                  d, then int8 [8] */
#ifndef HG_KERNELS_QGEMM_H
#define HG_KERNELS_QGEMM_H

#include "kernels/blocks.h"

enum {
    HG_Q_NR = 32,   /* columns of a panel */
    HG_Q_VEC = 128, /* bytes of a vector: a dword of each column */
    HG_Q_MAX_MR = 8
};

/* How a type's panels are made. */
typedef struct hg_qform {
    uint16_t step;         /* 32 or 256; 0: the type is not quantised */
    uint16_t scale_bytes;  /* of a step's columns */
    uint8_t low, high;     /* bits of a code in the low and in the high plane */
    uint8_t n_low, n_high; /* vectors of the planes in a step */
    uint8_t granule;       /* 16 or 32 */
    uint8_t has_min;
    uint8_t offset;
} hg_qform;

static const hg_qform hg_qforms[HG_N_TYPES] = {
    [HG_Q4_0] = {32, 64, 4, 0, 4, 0, 32, 0, 8},
    [HG_Q4_1] = {32, 128, 4, 0, 4, 0, 32, 1, 0},
    [HG_Q5_0] = {32, 64, 4, 1, 4, 1, 32, 0, 16},
    [HG_Q5_1] = {32, 128, 4, 1, 4, 1, 32, 1, 0},
    [HG_Q8_0] = {32, 64, 8, 0, 8, 0, 32, 0, 128},
    [HG_Q2_K] = {256, 640, 2, 0, 16, 0, 16, 1, 0},
    [HG_Q3_K] = {256, 448, 2, 1, 16, 8, 16, 0, 4},
    [HG_Q4_K] = {256, 512, 4, 0, 32, 0, 32, 1, 0},
    [HG_Q5_K] = {256, 512, 4, 1, 32, 8, 32, 1, 0},
    [HG_Q6_K] = {256, 576, 4, 2, 32, 16, 16, 0, 32},
    [HG_IQ4_NL] = {32, 64, 4, 0, 4, 0, 32, 0, 128},
    [HG_IQ4_XS] = {256, 320, 4, 0, 32, 0, 32, 0, 128},
    [HG_MXFP4] = {32, 32, 4, 0, 4, 0, 32, 0, 12},
};

/* Codes that stand for a table's values, here with the offset added. */
static inline const uint8_t *hg_q_table(hg_type t)
{
    static const uint8_t iq4[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                    129, 141, 153, 166, 181, 197, 217, 241};
    static const uint8_t fp4[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
    return t == HG_MXFP4 ? fp4 : t == HG_IQ4_NL || t == HG_IQ4_XS ? iq4 : NULL;
}

static inline size_t hg_q_step_bytes(hg_type t)
{
    const hg_qform *f = &hg_qforms[t];
    return f->scale_bytes + (size_t)(f->n_low + f->n_high) * HG_Q_VEC;
}

/* Where in a step quad q (0 to 7) of its block b of 32 lies: the vector of the plane, and the bit
 * of each byte that the code begins at. */
static inline size_t hg_q_low_vec(hg_type t, size_t b, size_t q)
{
    switch (t) {
    case HG_Q8_0:
        return q;
    case HG_IQ4_XS:
        return b * 4 + q % 4;
    case HG_Q4_K:
    case HG_Q5_K:
        return b / 2 * 8 + q;
    case HG_Q6_K:
        return b / 4 * 16 + b % 2 * 8 + q;
    case HG_Q2_K:
    case HG_Q3_K:
        return b / 4 * 8 + q;
    default:
        return q % 4;
    }
}

static inline unsigned hg_q_low_bit(hg_type t, size_t b, size_t q)
{
    switch (t) {
    case HG_Q8_0:
        return 0;
    case HG_Q4_K:
    case HG_Q5_K:
        return (unsigned)(b % 2 * 4);
    case HG_Q6_K:
        return (unsigned)(b / 2 % 2 * 4);
    case HG_Q2_K:
    case HG_Q3_K:
        return (unsigned)(b % 4 * 2);
    default:
        return (unsigned)(q / 4 * 4);
    }
}

static inline size_t hg_q_high_vec(hg_type t, size_t b, size_t q)
{
    if (t == HG_Q6_K) return b / 4 * 8 + q;
    return t == HG_Q5_K || t == HG_Q3_K ? q : 0;
}

static inline unsigned hg_q_high_bit(hg_type t, size_t b, size_t q)
{
    if (t == HG_Q6_K) return (unsigned)(b % 4 * 2);
    return (unsigned)(t == HG_Q5_K || t == HG_Q3_K ? b : q);
}

/* ---- packed rows of activations ----
 * A panel of 1 to mr rows, block after block of 32: first float32 or int32 fields, each [rows],
 * then the codes, int8 [8 quads][rows][4]. Fields: da; then for each granule of the block, -o
 * sum(qa) as int32, or da sum(qa) as float32 for a type with minima. */
static inline size_t hg_q_fields(const hg_qform *f)
{
    return 1u + HG_BLOCK / (unsigned)f->granule;
}

static inline size_t hg_q_a_size(hg_type t, size_t rows, size_t k)
{
    return k / HG_BLOCK * rows * (4 * hg_q_fields(&hg_qforms[t]) + HG_BLOCK);
}

/* ---- wide panels ----
 * A panel with its codes spread to bytes, for products of many rows: block after block, the codes
 * uint8 [8 quads][HG_Q_NR][4], then s as float32 [granules][HG_Q_NR], then m alike, if there are.
 */
static inline size_t hg_q_wide_block(const hg_qform *f)
{
    return (size_t)HG_BLOCK * HG_Q_NR +
           sizeof(float) * HG_Q_NR * (HG_BLOCK / (unsigned)f->granule) * (1u + f->has_min);
}

static inline size_t hg_q_wide_size(hg_type t, size_t k)
{
    return k / HG_BLOCK * hg_q_wide_block(&hg_qforms[t]);
}

/* ---- packing weights (qgemm_pack.c) ---- */
static inline size_t hg_q_panel_size(hg_type t, size_t k)
{
    return k / hg_qforms[t].step * hg_q_step_bytes(t);
}

/* Packs rows [row, row + cols) of W, cols <= HG_Q_NR, k a multiple of the type's block, as one
 * panel; columns that are not there become zero. `row_bytes` apart, aligned to 2 bytes. */
void hg_q_pack_panel(void *dst, hg_type t, const void *rows, size_t row_bytes, size_t cols,
                     size_t k);

#endif
