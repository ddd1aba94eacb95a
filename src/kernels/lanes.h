/* A panel to be packed: its lanes are rows of A or columns of B. Both are packed alike, only the
 * strides differ. */
#ifndef HG_KERNELS_LANES_H
#define HG_KERNELS_LANES_H

#include "kernels/kernels.h"

typedef struct lanes {
    size_t at, lane_stride, k_stride; /* of the first element, in the source */
    size_t n, width;                  /* lanes that exist, lanes in the panel */
} lanes;

static inline lanes rows_of(const hg_matrix *a, size_t row, size_t rows, size_t k0)
{
    size_t at = row * a->row_stride + k0 * a->col_stride;
    return (lanes){at, a->row_stride, a->col_stride, rows, rows};
}

static inline lanes cols_of(const hg_matrix *b, size_t col, size_t cols, size_t k0, size_t nr)
{
    size_t at = col * b->col_stride + k0 * b->row_stride;
    return (lanes){at, b->col_stride, b->row_stride, cols, nr};
}

/* The packing functions of a set, from its pack_f32, pack_bf16 and pack_f16 and its panel's width
 * NR. */
#define DEFINE_PACKING                                                                         \
    static void pack_a_f32(void *dst, const hg_matrix *a, size_t row, size_t rows, size_t k0,  \
                           size_t kc)                                                          \
    {                                                                                          \
        pack_f32(dst, a, rows_of(a, row, rows, k0), kc);                                       \
    }                                                                                          \
    static void pack_b_f32(void *dst, const hg_matrix *b, size_t col, size_t cols, size_t k0,  \
                           size_t kc)                                                          \
    {                                                                                          \
        pack_f32(dst, b, cols_of(b, col, cols, k0, NR), kc);                                   \
    }                                                                                          \
    static void pack_a_bf16(void *dst, const hg_matrix *a, size_t row, size_t rows, size_t k0, \
                            size_t kc)                                                         \
    {                                                                                          \
        pack_bf16(dst, a, rows_of(a, row, rows, k0), kc);                                      \
    }                                                                                          \
    static void pack_b_bf16(void *dst, const hg_matrix *b, size_t col, size_t cols, size_t k0, \
                            size_t kc)                                                         \
    {                                                                                          \
        pack_bf16(dst, b, cols_of(b, col, cols, k0, NR), kc);                                  \
    }                                                                                          \
    static void pack_b_f16(void *dst, const hg_matrix *b, size_t col, size_t cols, size_t k0,  \
                           size_t kc)                                                          \
    {                                                                                          \
        pack_f16(dst, b, cols_of(b, col, cols, k0, NR), kc);                                   \
    }

/* ... and its table entries, with its tile_f32, tile_bf16 and tile_f16. */
#define FILL_GEMM(k)                                                                          \
    do {                                                                                      \
        (k)->gemm[HG_COMPUTE_F32] = (hg_gemm_kernel){                                         \
            MR, NR, 1, 1, 4, 4, pack_a_f32, pack_b_f32, tile_f32, NULL, NULL, NULL};          \
        (k)->gemm[HG_COMPUTE_BF16] = (hg_gemm_kernel){                                        \
            MR, NR, 1, 2, 2, 2, pack_a_bf16, pack_b_bf16, tile_bf16, NULL, NULL, NULL};       \
        (k)->gemm_f16 = (hg_gemm_kernel){MR,         NR,         1,        1,    4,    2,     \
                                         pack_a_f32, pack_b_f16, tile_f16, NULL, NULL, NULL}; \
        (k)->gemm_bf16 = (k)->gemm[HG_COMPUTE_BF16];                                          \
    } while (0)

#endif
