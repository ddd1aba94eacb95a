/* The kernel table: every hot loop of Higgins, once for each instruction set.
 *
 * kernels_c.c and gemm_c.c define each entry in plain C; the files of x86/ are
 * compiled with their set's flags and overwrite the entries they do better (tables.h). The table is
 * filled once; a machine of another kind runs plain C. Kernels use one thread, allocate nothing and
 * know no tensor: dividing work is tensor/'s business.
 *
 * Matrix products. C[m][n] += A[m][k] B[k][n] runs over packed panels so that every caller
 * (training, prefill, decoding one token) goes through one micro-kernel and an output element is
 * always summed in the same order: over k, in blocks of HG_GEMM_KC, whatever m is. That makes
 * results independent of batch and of thread count.
 *   A panel: 1 to mr rows, exactly as high as its rows: bf16 [k/2][rows][2], f32 [k][rows];
 *   B panel: nr columns, the last one padded with zeros: bf16 [k/2][nr][2], f32 [k][nr];
 *   k is padded with zeros to a multiple of k_step.
 * AMX multiplies tiles of 16 rows and 32 k with the same panels of B, so that its panels of A are
 * bf16 [k/32][rows][32], their rows padded with zeros to 16 or 32 (m_step). A processor that
 * multiplies pairs of bf16 slower than two floats has float32 panels in the bf16 family too. In the
 * bf16 family both operands are rounded to bf16 (nearest even) when packed; products are exact and
 * are summed in float32. Quantised weights have panels and tiles of their own. */
#ifndef HG_KERNELS_H
#define HG_KERNELS_H

#include <higgins/machine.h>
#include "kernels/kv.h"
#include "kernels/types.h"

/* The two families of matrix product. */
typedef enum hg_compute { HG_COMPUTE_F32, HG_COMPUTE_BF16, HG_N_COMPUTE } hg_compute;

enum { HG_GEMM_KC = 512, HG_GEMM_MAX_MR = 32, HG_GEMM_MAX_NR = 64, HG_PEAK_I8 = 1024 };

/* Where a matrix lies before it is packed: element (row, col) is at base + row * row_stride + col *
 * col_stride, in elements; one of the two strides is 1. A weight in blocks has a col_stride of 1
 * and whole blocks in its rows. */
typedef struct hg_matrix {
    const void *base;
    hg_type type; /* F32, F16 or BF16; a weight to be packed may come in blocks */
    size_t row_stride, col_stride;
} hg_matrix;

typedef struct hg_gemm_kernel {
    size_t mr, nr;         /* panel height and width */
    size_t m_step, k_step; /* what a panel's rows and its k are padded to a multiple of */
    size_t a_size, b_size; /* of a packed element: 4 or 2 */
    /* Packs rows [row, row + rows) (rows <= mr) and k in [k0, k0 + kc) of A into one panel. Here
     * and below kc is at most HG_GEMM_KC. */
    void (*pack_a)(void *dst, const hg_matrix *a, size_t row, size_t rows, size_t k0, size_t kc);
    /* Packs columns [col, col + cols) (cols <= nr) and k in [k0, k0 + kc) of B (rows are k) into
     * one panel. */
    void (*pack_b)(void *dst, const hg_matrix *b, size_t col, size_t cols, size_t k0, size_t kc);
    /* c[rows][cols] (+)= A panel times B panel over kc (rounded up to k_step in the panels).
     * Overwrites when `first`. `b` is read to its end only, and prefetched beyond. */
    void (*tile)(float *c, size_t ldc, const void *a, const void *b, size_t kc, size_t rows,
                 size_t cols, bool first);
    /* What a thread calls before its first tile of a job and behind its last: a state of the
     * processor that tiles need. NULL: none. */
    void (*enter)(void);
    void (*leave)(void);
    /* As tile, with rows of bf16 as they lie, lda elements apart, instead of a panel: NULL, or for
     * rows and kc that are multiples of m_step and k_step. */
    void (*tile_rows)(float *c, size_t ldc, const hg_bf16 *a, size_t lda, const void *b, size_t kc,
                      size_t rows, size_t cols, bool first);
} hg_gemm_kernel;

static inline void hg_gemm_enter(const hg_gemm_kernel *g)
{
    if (g->enter != NULL) g->enter();
}

static inline void hg_gemm_leave(const hg_gemm_kernel *g)
{
    if (g->leave != NULL) g->leave();
}

/* The same over weights that are quantised, panel by panel: qgemm.h has the layouts and the
 * arithmetic. One panel of A takes all of k. */
typedef struct hg_qgemm_kernel {
    size_t mr;  /* rows of a panel of A, at most HG_Q_MAX_MR */
    size_t few; /* a product of so many rows runs over the packed panels; of more, over wide ones */
    /* Quantises rows of x (ldx apart) into one panel of A. A block with a NaN or an infinity makes
     * its rows' results NaN. */
    void (*pack_a)(void *dst, const float *x, size_t ldx, size_t rows, size_t k, hg_type t);
    void (*widen)(void *dst, const void *panel, size_t k, hg_type t);
    /* Over wide panels, k of so many that they stay in the L1 cache at a time, a multiple of 256;
     * 0: all of it. */
    size_t slice;
    /* c[rows][cols] = A panel times wide B panel; += over a slice that is not the first. May ask
     * for the packed panel at `next`, of as many k, unless it is NULL. */
    void (*tile)(float *c, size_t ldc, const void *a, const void *wide, size_t k, size_t rows,
                 size_t cols, hg_type t, bool first, const void *next);
    /* The same bits from a packed panel; rows <= few. Prefetches beyond the panel. */
    void (*few_tile)(float *c, size_t ldc, const void *a, const void *panel, size_t k, size_t rows,
                     size_t cols, hg_type t);
} hg_qgemm_kernel;

/* Products with a matrix of HG_THIN columns, whose cost is reading the other one. */
enum { HG_THIN = 16 };
typedef struct hg_thin {
    const float *b; /* [k][ldb], of which HG_THIN columns are taken */
    size_t ldb, k;
    size_t row_stride, k_stride; /* of x: one of them is 1 */
    size_t ldy;
} hg_thin;

typedef struct hg_adamw {
    float lr, beta1, beta2, eps, weight_decay; /* weight_decay is multiplied by lr */
    float correction1, correction2;            /* 1 - beta1^t, 1 - beta2^t */
    float grad_scale; /* clipping and averaging; g is multiplied by it first */
} hg_adamw;

typedef struct hg_kernels {
    hg_isa isa;
    hg_gemm_kernel gemm[HG_N_COMPUTE];
    /* The float32 family with B's panels in float16, f16 [k][nr]: a weight in float16 takes the
     * file's bytes and gives the bits of its float32 values. */
    hg_gemm_kernel gemm_f16;
    /* The bf16 family with B's panels in 16 bits, which a weight in bfloat16 lies in: gemm's own,
     * or where that has float32 panels, bf16 [k][nr]. */
    hg_gemm_kernel gemm_bf16;
    hg_qgemm_kernel qgemm;

    /* Multiplies and adds HG_PEAK_I8 pairs of bytes, `rounds` times, in registers alone: what the
     * set can do with quantised weights at the most. The result means nothing. */
    int32_t (*peak_i8)(size_t rounds);
    hg_kv_kernel kv[HG_N_KV]; /* attention */

    /* Vectors. n may be anything; pointers need the alignment of their type only. */
    float (*dot_f32)(const float *a, const float *b, size_t n);
    void (*axpy_f32)(float *y, float a, const float *x, size_t n);       /* y += a x */
    void (*add_f32)(float *y, const float *a, const float *b, size_t n); /* y = a + b */
    /* y[n][HG_THIN] += x b, x n x k, summed from the first k to the last. */
    void (*thin_f32)(float *y, const float *x, const hg_thin *t, size_t n);
    void (*scale_f32)(float *y, float a, const float *x, size_t n); /* y = a x */
    float (*max_f32)(const float *x, size_t n);                     /* -INFINITY when n is 0 */
    /* max[i] is that of the i-th `block` of x; false when some x is NaN or +infinity, and then the
     * maxima mean nothing. */
    bool (*block_max_f32)(float *max, const float *x, size_t block, size_t n);
    float (*sum_f32)(const float *x, size_t n);
    /* y = exp(x - max), returns the sum of y; relative error of each below 2^-21; exp of less than
     * -87 is 0. */
    float (*exp_sum_f32)(float *y, const float *x, float max, size_t n);
    float (*dot_f32_bf16)(const float *a, const hg_bf16 *b, size_t n);
    void (*axpy_f32_bf16)(float *y, float a, const hg_bf16 *x, size_t n);
    float (*dot_f32_f16)(const float *a, const hg_f16 *b, size_t n);
    void (*axpy_f32_f16)(float *y, float a, const hg_f16 *x, size_t n);

    /* Conversions, nearest even; NaN stays NaN. */
    void (*f32_to_bf16)(hg_bf16 *y, const float *x, size_t n);
    void (*bf16_to_f32)(float *y, const hg_bf16 *x, size_t n);
    void (*f32_to_f16)(hg_f16 *y, const float *x, size_t n);
    void (*f16_to_f32)(float *y, const hg_f16 *x, size_t n);

    /* Norms of one row: y = x * r * w with r = 1 / sqrt(mean(x^2) + eps), which is returned. w may
     * be NULL (all ones). */
    float (*rms_norm_f32)(float *y, const float *x, const float *w, float eps, size_t n);
    /* dx += ..., dw += ... of the same row; dw may be NULL. */
    void (*rms_norm_back_f32)(float *dx, float *dw, const float *dy, const float *x, const float *w,
                              float r, size_t n);

    /* Gates: y = act(g) * u, and dg += , du += . */
    void (*silu_gate_f32)(float *y, const float *g, const float *u, size_t n);
    void (*silu_gate_back_f32)(float *dg, float *du, const float *dy, const float *g,
                               const float *u, size_t n);
    /* GELU, tanh form (Hendrycks and Gimpel 2016): y = gelu(x), dx += dy gelu'(x). */
    void (*gelu_f32)(float *y, const float *x, size_t n);
    void (*gelu_back_f32)(float *dx, const float *dy, const float *x, size_t n);

    /* One AdamW step (Loshchilov and Hutter 2019) over n parameters; the corrections 1 - beta^t are
     * the caller's. */
    void (*adamw_f32)(float *w, float *m, float *v, const float *g, const hg_adamw *o, size_t n);
} hg_kernels;

/* Fills the table for `isa`; falls back to what this build and machine have below it. */
void hg_kernels_init(hg_kernels *k, hg_isa isa);

#endif
