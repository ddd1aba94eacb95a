/* Matrix products in plain C: packing from every type and stride, and a 4 x 8 tile that a compiler
 * keeps in registers. Where it is slow it is still the definition that the vector files are
 * tested against. */
#include "kernels/scalar.h"
#include "kernels/tables.h"

enum { MR = 4, NR = 8 };

/* out[i] = element i * stride behind `at`, as float. */
static void load(float *out, const hg_matrix *m, size_t at, size_t stride, size_t n)
{
    switch (m->type) {
    case HG_F32: {
        const float *p = (const float *)m->base + at;
        for (size_t i = 0; i < n; i++) out[i] = p[i * stride];
        break;
    }
    case HG_F16: {
        const hg_f16 *p = (const hg_f16 *)m->base + at;
        for (size_t i = 0; i < n; i++) out[i] = f16_to_float(p[i * stride]);
        break;
    }
    default: {
        const hg_bf16 *p = (const hg_bf16 *)m->base + at;
        for (size_t i = 0; i < n; i++) out[i] = bf16_to_float(p[i * stride]);
        break;
    }
    }
}

/* The lanes of a panel are rows of A or columns of B; both are packed alike, only the strides
 * differ. */
typedef struct lanes {
    size_t at, lane_stride, k_stride; /* of the first element, in the source */
    size_t n, width;                  /* lanes that exist, lanes in the panel */
} lanes;

static lanes rows_of(const hg_matrix *a, size_t row, size_t rows, size_t k0)
{
    size_t at = row * a->row_stride + k0 * a->col_stride;
    return (lanes){at, a->row_stride, a->col_stride, rows, rows};
}

static lanes cols_of(const hg_matrix *b, size_t col, size_t cols, size_t k0)
{
    size_t at = col * b->col_stride + k0 * b->row_stride;
    return (lanes){at, b->col_stride, b->row_stride, cols, NR};
}

static void pack_f32(float *dst, const hg_matrix *m, lanes l, size_t kc)
{
    float run[HG_GEMM_KC];
    for (size_t i = 0; i < l.width; i++) {
        if (i < l.n)
            load(run, m, l.at + i * l.lane_stride, l.k_stride, kc);
        else
            memset(run, 0, sizeof run);
        for (size_t k = 0; k < kc; k++) dst[k * l.width + i] = run[k];
    }
}

static void pack_bf16(hg_bf16 *dst, const hg_matrix *m, lanes l, size_t kc)
{
    float run[HG_GEMM_KC + 1];
    size_t even = (kc + 1) & ~(size_t)1;
    for (size_t i = 0; i < l.width; i++) {
        memset(run, 0, sizeof run);
        if (i < l.n) load(run, m, l.at + i * l.lane_stride, l.k_stride, kc);
        for (size_t k = 0; k < even; k++)
            dst[(k & ~(size_t)1) * l.width + 2 * i + (k & 1)] = bf16_of(run[k]);
    }
}

static void pack_a_f32(void *dst, const hg_matrix *a, size_t row, size_t rows, size_t k0, size_t kc)
{
    pack_f32(dst, a, rows_of(a, row, rows, k0), kc);
}

static void pack_b_f32(void *dst, const hg_matrix *b, size_t col, size_t cols, size_t k0, size_t kc)
{
    pack_f32(dst, b, cols_of(b, col, cols, k0), kc);
}

static void pack_a_bf16(void *dst, const hg_matrix *a, size_t row, size_t rows, size_t k0,
                        size_t kc)
{
    pack_bf16(dst, a, rows_of(a, row, rows, k0), kc);
}

static void pack_b_bf16(void *dst, const hg_matrix *b, size_t col, size_t cols, size_t k0,
                        size_t kc)
{
    pack_bf16(dst, b, cols_of(b, col, cols, k0), kc);
}

static void put(float *c, size_t ldc, float sum[MR][NR], size_t rows, size_t cols, bool first)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            c[i * ldc + j] = first ? sum[i][j] : c[i * ldc + j] + sum[i][j];
}

static void tile_f32(float *c, size_t ldc, const void *a, const void *b, size_t kc, size_t rows,
                     size_t cols, bool first)
{
    const float *pa = a, *pb = b; /* [kc][rows], [kc][NR] */
    float sum[MR][NR] = {0};
    for (size_t k = 0; k < kc; k++, pa += rows, pb += NR)
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < NR; j++) sum[i][j] += pa[i] * pb[j];
    put(c, ldc, sum, rows, cols, first);
}

static void tile_bf16(float *c, size_t ldc, const void *a, const void *b, size_t kc, size_t rows,
                      size_t cols, bool first)
{
    const hg_bf16 *pa = a, *pb = b; /* [kc/2][rows][2], [kc/2][NR][2] */
    float sum[MR][NR] = {0};
    for (size_t k = 0; k < kc; k += 2, pa += 2 * rows, pb += 2 * NR)
        for (size_t i = 0; i < rows; i++) {
            float a0 = bf16_to_float(pa[2 * i]), a1 = bf16_to_float(pa[2 * i + 1]);
            for (size_t j = 0; j < NR; j++) {
                sum[i][j] += a0 * bf16_to_float(pb[2 * j]);
                sum[i][j] += a1 * bf16_to_float(pb[2 * j + 1]);
            }
        }
    put(c, ldc, sum, rows, cols, first);
}

void hg_gemm_c(hg_kernels *k)
{
    k->gemm[HG_COMPUTE_F32] = (hg_gemm_kernel){
        .mr = MR,
        .nr = NR,
        .k_step = 1,
        .elem_size = 4,
        .pack_a = pack_a_f32,
        .pack_b = pack_b_f32,
        .tile = tile_f32,
    };
    k->gemm[HG_COMPUTE_BF16] = (hg_gemm_kernel){
        .mr = MR,
        .nr = NR,
        .k_step = 2,
        .elem_size = 2,
        .pack_a = pack_a_bf16,
        .pack_b = pack_b_bf16,
        .tile = tile_bf16,
    };
}
