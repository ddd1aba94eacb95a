/* Matrix products with AVX2 and FMA. A tile of 6 rows and 16 columns keeps 12 of the 16 registers
 * as sums. This set has no bf16 product: a pair of bf16 is split into its two floats by a shift and
 * a mask, which is exact. */
#include "kernels/pack_plain.h"
#include "kernels/tables.h"

#include <immintrin.h>

enum { MR = 6, NR = 16 };

#define INLINE static inline __attribute__((always_inline))

DEFINE_PACKING

typedef struct target {
    float *c;
    size_t ldc, cols;
    bool first;
} target;

INLINE void put(const target *t, size_t row, __m256 lo, __m256 hi)
{
    float *c = t->c + row * t->ldc;
    if (t->cols == NR) {
        _mm256_storeu_ps(c, t->first ? lo : _mm256_add_ps(_mm256_loadu_ps(c), lo));
        _mm256_storeu_ps(c + 8, t->first ? hi : _mm256_add_ps(_mm256_loadu_ps(c + 8), hi));
        return;
    }
    float s[NR];
    _mm256_storeu_ps(s, lo);
    _mm256_storeu_ps(s + 8, hi);
    for (size_t j = 0; j < t->cols; j++) c[j] = t->first ? s[j] : c[j] + s[j];
}

/* Eight values of a panel of B of either type. */
INLINE __m256 floats(const char *b, const hg_type type)
{
    return type == HG_F16 ? _mm256_cvtph_ps(_mm_loadu_si128((const void *)b))
                          : _mm256_loadu_ps((const void *)b);
}

INLINE void float_rows(const target *t, const float *a, const char *b, size_t kc,
                       const hg_type type, const size_t rows)
{
    const size_t step = NR * (type == HG_F16 ? sizeof(hg_f16) : sizeof(float));
    __m256 lo[MR], hi[MR];
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) lo[r] = hi[r] = _mm256_setzero_ps();
    for (size_t k = 0; k < kc; k++, a += rows, b += step) {
        __m256 b0 = floats(b, type), b1 = floats(b + step / 2, type);
#pragma GCC unroll 6
        for (size_t r = 0; r < rows; r++) {
            __m256 ar = _mm256_set1_ps(a[r]);
            lo[r] = _mm256_fmadd_ps(ar, b0, lo[r]);
            hi[r] = _mm256_fmadd_ps(ar, b1, hi[r]);
        }
    }
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) put(t, r, lo[r], hi[r]);
}

/* The floats of the lower (even k) and of the upper halves (odd k) of eight pairs. */
INLINE __m256 even(__m256i pairs)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
}

INLINE __m256 odd(__m256i pairs)
{
    return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32((int)0xffff0000)));
}

INLINE void bf16_rows(const target *t, const int *a, const int *b, size_t pairs, const size_t rows)
{
    __m256 lo[MR], hi[MR];
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) lo[r] = hi[r] = _mm256_setzero_ps();
    for (size_t p = 0; p < pairs; p++, a += rows, b += NR) {
        __m256i b0 = _mm256_loadu_si256((const __m256i *)b);
        __m256i b1 = _mm256_loadu_si256((const __m256i *)(b + 8));
#pragma GCC unroll 6
        for (size_t r = 0; r < rows; r++) {
            __m256 ar = even(_mm256_set1_epi32(a[r]));
            lo[r] = _mm256_fmadd_ps(ar, even(b0), lo[r]);
            hi[r] = _mm256_fmadd_ps(ar, even(b1), hi[r]);
        }
#pragma GCC unroll 6
        for (size_t r = 0; r < rows; r++) {
            __m256 ar = odd(_mm256_set1_epi32(a[r]));
            lo[r] = _mm256_fmadd_ps(ar, odd(b0), lo[r]);
            hi[r] = _mm256_fmadd_ps(ar, odd(b1), hi[r]);
        }
    }
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) put(t, r, lo[r], hi[r]);
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

void hg_gemm_avx2(hg_kernels *k)
{
    FILL_GEMM(k);
}
