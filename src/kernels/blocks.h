/* Blocks of quantised weights, byte for byte as GGUF stores them (the GGUF specification and ggml's
 * quantisation types; MXFP4: OCP Microscaling Formats 1.0). All are little-endian and made of
 * members that need no padding. A weight is x; q is its small integer.
 *
 * Blocks of 32 carry one scale. Super-blocks of 256 carry small scales for runs of 16 or 32 and one
 * float16 scale for those ("K-quants"). */
#ifndef HG_KERNELS_BLOCKS_H
#define HG_KERNELS_BLOCKS_H

#include "kernels/types.h"

enum { HG_BLOCK = 32, HG_SUPER = 256 };

/* x = d (q - 8); byte i holds q of element i in its low and of i + 16 in its high half. */
typedef struct hg_block_q4_0 {
    hg_f16 d;
    uint8_t q[16];
} hg_block_q4_0;

/* x = d q + m; q as in q4_0. */
typedef struct hg_block_q4_1 {
    hg_f16 d, m;
    uint8_t q[16];
} hg_block_q4_1;

/* x = d (q - 16); q's fifth bit is bit i of `high`, the rest as in q4_0. */
typedef struct hg_block_q5_0 {
    hg_f16 d;
    uint8_t high[4];
    uint8_t q[16];
} hg_block_q5_0;

/* x = d q + m; q as in q5_0. */
typedef struct hg_block_q5_1 {
    hg_f16 d, m;
    uint8_t high[4];
    uint8_t q[16];
} hg_block_q5_1;

/* x = d q */
typedef struct hg_block_q8_0 {
    hg_f16 d;
    int8_t q[32];
} hg_block_q8_0;

/* Runs of 16: x = d sc q - dmin mn, sc and mn the low and high half of the run's byte of `scales`.
 * q is 2 bits: byte i of half h (32 bytes for 128 elements) holds those of i, i + 32, i + 64 and
 * i + 96, lowest first. */
typedef struct hg_block_q2_k {
    uint8_t scales[16];
    uint8_t q[64];
    hg_f16 d, dmin;
} hg_block_q2_k;

/* Runs of 16: x = d (sc - 32) (q - 4). q's low 2 bits lie as in q2_k, its third is bit e / 32 of
 * high[e % 32] for element e. The sixteen 6-bit sc: low halves in bytes 0 to 7 (run i and i + 8),
 * upper two bits in bytes 8 to 11 (runs i, i + 4, i + 8, i + 12, lowest first). */
typedef struct hg_block_q3_k {
    uint8_t high[32];
    uint8_t q[64];
    uint8_t scales[12];
    hg_f16 d;
} hg_block_q3_k;

/* Runs of 32: x = d sc q - dmin mn. Byte i of quarter c (32 bytes for 64 elements) holds q of
 * element 64 c + i in its low and of 64 c + 32 + i in its high half. Of the 6-bit sc and mn, runs 0
 * to 3 have theirs in the low six bits of bytes 0 to 3 and 4 to 7; runs 4 to 7 have their low four
 * bits in bytes 8 to 11 (sc low, mn high half) and the upper two in the top bits of bytes 0 to 3
 * and 4 to 7. */
typedef struct hg_block_q4_k {
    hg_f16 d, dmin;
    uint8_t scales[12];
    uint8_t q[128];
} hg_block_q4_k;

/* As q4_k; the fifth bit of element e is bit e / 32 of high[e % 32]. */
typedef struct hg_block_q5_k {
    hg_f16 d, dmin;
    uint8_t scales[12];
    uint8_t high[32];
    uint8_t q[128];
} hg_block_q5_k;

/* Runs of 16: x = d sc (q - 32). Of half h (128 elements): low four bits of elements i and i + 64
 * in byte i (0 to 63) of its 64 bytes of `low`; upper two bits of i, i + 32, i + 64, i + 96 in byte
 * i (0 to 31) of its 32 bytes of `high`, lowest first. */
typedef struct hg_block_q6_k {
    uint8_t low[128];
    uint8_t high[64];
    int8_t scales[16];
    hg_f16 d;
} hg_block_q6_k;

/* x = d iq4[q], a table of 16 values; q as in q4_0. */
typedef struct hg_block_iq4_nl {
    hg_f16 d;
    uint8_t q[16];
} hg_block_iq4_nl;

/* Runs of 32: x = d (sc - 32) iq4[q]; a run's 16 bytes hold q as in q4_0. sc's low four bits are
 * the half of byte run / 2 of `low` (even runs the low half), its upper two are bits 2 run and
 * 2 run + 1 of `high`. */
typedef struct hg_block_iq4_xs {
    hg_f16 d;
    uint16_t high;
    uint8_t low[4];
    uint8_t q[128];
} hg_block_iq4_xs;

/* x = 2^(e - 127) fp4[q], fp4 being E2M1's 0, .5, 1, 1.5, 2, 3, 4, 6 and their negatives; q as in
 * q4_0. */
typedef struct hg_block_mxfp4 {
    uint8_t e;
    uint8_t q[16];
} hg_block_mxfp4;

#endif
