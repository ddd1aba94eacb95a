/* The types a tensor's elements can have: plain ones, and blocks of quantised weights as GGUF
 * stores them (blocks.h has their layouts). */
#ifndef HG_KERNELS_TYPES_H
#define HG_KERNELS_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint16_t hg_bf16;
typedef uint16_t hg_f16;

typedef enum hg_type {
    HG_F32,
    HG_F16,
    HG_BF16,
    HG_I32,
    HG_Q4_0, /* the first that comes in blocks */
    HG_Q4_1,
    HG_Q5_0,
    HG_Q5_1,
    HG_Q8_0,
    HG_Q2_K,
    HG_Q3_K,
    HG_Q4_K,
    HG_Q5_K,
    HG_Q6_K,
    HG_IQ4_NL,
    HG_IQ4_XS,
    HG_MXFP4,
    HG_N_TYPES
} hg_type;

const char *hg_type_name(hg_type t); /* "f32", "q4_k" ...; "unknown" */
bool hg_type_is_block(hg_type t);
size_t hg_type_size(hg_type t);       /* bytes of an element; 0 for a type that comes in blocks */
size_t hg_type_block(hg_type t);      /* elements of a block: 1, 32 or 256 */
size_t hg_type_block_size(hg_type t); /* bytes of a block (of an element, where that is one) */
/* Bytes of n elements, a multiple of the block; 0 when it is none. The caller bounds n. */
size_t hg_type_bytes(hg_type t, size_t n);

#endif
