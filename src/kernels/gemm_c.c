/* Matrix products in plain C: packing from every type and stride, and a 4 x 8 tile that a compiler
 * keeps in registers. Where it is slow it is still the definition that the vector files are
 * tested against. */
#include "kernels/pack_plain.h"
#include "kernels/tables.h"

enum { MR = 4, NR = 8 };

DEFINE_PACKING

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

/* As tile_f32, from float16. */
static void tile_f16(float *c, size_t ldc, const void *a, const void *b, size_t kc, size_t rows,
                     size_t cols, bool first)
{
    const float *pa = a;
    const hg_f16 *pb = b; /* [kc][rows], [kc][NR] */
    float sum[MR][NR] = {0};
    for (size_t k = 0; k < kc; k++, pa += rows, pb += NR) {
        float wide[NR];
        for (size_t j = 0; j < NR; j++) wide[j] = f16_to_float(pb[j]);
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < NR; j++) sum[i][j] += pa[i] * wide[j];
    }
    put(c, ldc, sum, rows, cols, first);
}

void hg_gemm_c(hg_kernels *k)
{
    FILL_GEMM(k);
}
