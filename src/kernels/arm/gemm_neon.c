/* Matrix products with NEON. A tile of 6 rows and 16 columns keeps its 24 sums in registers, beside
 * four of B; A's elements are taken as lanes. In the bf16 family a 32-bit lane holds a pair of k:
 * its halves are widened by a shift and a mask, which every NEON has, and multiplied one after the
 * other.
 *
 * Each height 1 to 6 is the same code with another constant, so that a row is summed alike in every
 * tile. */
#include "kernels/pack_plain.h"
#include "kernels/tables.h"

#include <arm_neon.h>

enum { MR = 6, NR = 16, VECS = NR / 4 };

#define INLINE static inline __attribute__((always_inline))

typedef struct target {
    float *c;
    size_t ldc, cols;
    bool first;
} target;

INLINE void put(const target *t, size_t row, const float32x4_t *sum)
{
    float out[NR], *c = t->c + row * t->ldc;
    for (size_t v = 0; v < VECS; v++) vst1q_f32(out + 4 * v, sum[v]);
    for (size_t j = 0; j < t->cols; j++) c[j] = t->first ? out[j] : c[j] + out[j];
}

/* The v-th four values of a step of B's panel of either type. */
INLINE float32x4_t floats(const void *b, size_t v, const hg_type type)
{
    if (type == HG_F32) return vld1q_f32((const float *)b + 4 * v);
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16((const hg_f16 *)b + 4 * v)));
}

INLINE void float_rows(const target *t, const float *a, const char *b, size_t kc,
                       const hg_type type, const size_t rows)
{
    const size_t step = NR * (type == HG_F16 ? sizeof(hg_f16) : sizeof(float));
    float32x4_t sum[MR][VECS];
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < VECS; v++) sum[r][v] = vdupq_n_f32(0);
    for (size_t k = 0; k < kc; k++, a += rows, b += step) {
        float32x4_t col[VECS];
        for (size_t v = 0; v < VECS; v++) col[v] = floats(b, v, type);
        for (size_t r = 0; r < rows; r++)
            for (size_t v = 0; v < VECS; v++) sum[r][v] = vfmaq_n_f32(sum[r][v], col[v], a[r]);
    }
    for (size_t r = 0; r < rows; r++) put(t, r, sum[r]);
}

/* The first and the second of each pair, as float32. */
INLINE float32x4_t evens(uint32x4_t pairs)
{
    return vreinterpretq_f32_u32(vshlq_n_u32(pairs, 16));
}

INLINE float32x4_t odds(uint32x4_t pairs)
{
    return vreinterpretq_f32_u32(vandq_u32(pairs, vdupq_n_u32(0xffff0000u)));
}

INLINE void bf16_rows(const target *t, const hg_bf16 *a, const hg_bf16 *b, size_t pairs,
                      const size_t rows)
{
    float32x4_t sum[MR][VECS];
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < VECS; v++) sum[r][v] = vdupq_n_f32(0);
    for (size_t p = 0; p < pairs; p++, a += 2 * rows, b += 2 * NR) {
        uint32x4_t col[VECS];
        for (size_t v = 0; v < VECS; v++) col[v] = vreinterpretq_u32_u16(vld1q_u16(b + 8 * v));
        for (size_t r = 0; r < rows; r++) {
            const float a0 = bf16_to_float(a[2 * r]), a1 = bf16_to_float(a[2 * r + 1]);
            for (size_t v = 0; v < VECS; v++) {
                sum[r][v] = vfmaq_n_f32(sum[r][v], evens(col[v]), a0);
                sum[r][v] = vfmaq_n_f32(sum[r][v], odds(col[v]), a1);
            }
        }
    }
    for (size_t r = 0; r < rows; r++) put(t, r, sum[r]);
}

#define EACH_HEIGHT(X) X(1) X(2) X(3) X(4) X(5) X(6)

static void tile_f32(float *c, size_t ldc, const void *a, const void *b, size_t kc, size_t rows,
                     size_t cols, bool first)
{
    const target t = {c, ldc, cols, first};
    switch (rows) {
#define HEIGHT(n)                            \
    case n:                                  \
        float_rows(&t, a, b, kc, HG_F32, n); \
        break;
        EACH_HEIGHT(HEIGHT)
#undef HEIGHT
    default:
        break;
    }
}

static void tile_bf16(float *c, size_t ldc, const void *a, const void *b, size_t kc, size_t rows,
                      size_t cols, bool first)
{
    const target t = {c, ldc, cols, first};
    switch (rows) {
#define HEIGHT(n)                             \
    case n:                                   \
        bf16_rows(&t, a, b, (kc + 1) / 2, n); \
        break;
        EACH_HEIGHT(HEIGHT)
#undef HEIGHT
    default:
        break;
    }
}

static void tile_f16(float *c, size_t ldc, const void *a, const void *b, size_t kc, size_t rows,
                     size_t cols, bool first)
{
    const target t = {c, ldc, cols, first};
    switch (rows) {
#define HEIGHT(n)                            \
    case n:                                  \
        float_rows(&t, a, b, kc, HG_F16, n); \
        break;
        EACH_HEIGHT(HEIGHT)
#undef HEIGHT
    default:
        break;
    }
}

DEFINE_PACKING

void hg_gemm_neon(hg_kernels *k)
{
    FILL_GEMM(k);
}
