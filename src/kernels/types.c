/* Names and sizes of element types. */
#include "kernels/blocks.h"

typedef struct type_row {
    const char *name;
    size_t block, size; /* elements and bytes of a block */
} type_row;

static const type_row rows[HG_N_TYPES] = {
    [HG_F32] = {"f32", 1, 4},
    [HG_F16] = {"f16", 1, 2},
    [HG_BF16] = {"bf16", 1, 2},
    [HG_I32] = {"i32", 1, 4},
    [HG_Q4_0] = {"q4_0", HG_BLOCK, sizeof(hg_block_q4_0)},
    [HG_Q4_1] = {"q4_1", HG_BLOCK, sizeof(hg_block_q4_1)},
    [HG_Q5_0] = {"q5_0", HG_BLOCK, sizeof(hg_block_q5_0)},
    [HG_Q5_1] = {"q5_1", HG_BLOCK, sizeof(hg_block_q5_1)},
    [HG_Q8_0] = {"q8_0", HG_BLOCK, sizeof(hg_block_q8_0)},
    [HG_Q2_K] = {"q2_k", HG_SUPER, sizeof(hg_block_q2_k)},
    [HG_Q3_K] = {"q3_k", HG_SUPER, sizeof(hg_block_q3_k)},
    [HG_Q4_K] = {"q4_k", HG_SUPER, sizeof(hg_block_q4_k)},
    [HG_Q5_K] = {"q5_k", HG_SUPER, sizeof(hg_block_q5_k)},
    [HG_Q6_K] = {"q6_k", HG_SUPER, sizeof(hg_block_q6_k)},
    [HG_IQ4_NL] = {"iq4_nl", HG_BLOCK, sizeof(hg_block_iq4_nl)},
    [HG_IQ4_XS] = {"iq4_xs", HG_SUPER, sizeof(hg_block_iq4_xs)},
    [HG_MXFP4] = {"mxfp4", HG_BLOCK, sizeof(hg_block_mxfp4)},
};

static const type_row *row_of(hg_type t)
{
    static const type_row none = {"unknown", 1, 0};
    return (unsigned)t < HG_N_TYPES ? &rows[t] : &none;
}

const char *hg_type_name(hg_type t)
{
    return row_of(t)->name;
}

bool hg_type_is_block(hg_type t)
{
    return row_of(t)->block > 1;
}

size_t hg_type_size(hg_type t)
{
    return hg_type_is_block(t) ? 0 : row_of(t)->size;
}

size_t hg_type_block(hg_type t)
{
    return row_of(t)->block;
}

size_t hg_type_block_size(hg_type t)
{
    return row_of(t)->size;
}

size_t hg_type_bytes(hg_type t, size_t n)
{
    const type_row *r = row_of(t);
    return n % r->block == 0 ? n / r->block * r->size : 0;
}
