/* Matrix products with AVX-512. A tile of 14 rows and 32 columns keeps its 28 sums in registers,
 * beside two of B and one of A; A's elements are broadcast. In the bf16 family one 32-bit lane is a
 * pair of k, which vdpbf16ps multiplies and adds, or where that is slow a float.
 *
 * Each height 1 to 14 is the same code with another constant, so that a row is summed alike in
 * every tile. Up to four rows the tile is bound by memory (decoding one token reads every weight
 * once): it asks for B some way ahead, across the page borders where the CPU's own prefetch stops.
 */
#include "kernels/tables.h"
#include "kernels/x86/pack_avx512.h"

enum { MR = 14, NR = 32, STREAM_ROWS = 4, AHEAD = 4096 /* bytes */ };

#define INLINE static inline __attribute__((always_inline))

typedef struct target {
    float *c;
    size_t ldc, cols;
    bool first;
} target;

INLINE void put16(float *c, __m512 s, __mmask16 mask, bool first)
{
    if (!first) s = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, c), s);
    _mm512_mask_storeu_ps(c, mask, s);
}

INLINE void put(const target *t, size_t row, __m512 lo, __m512 hi)
{
    float *c = t->c + row * t->ldc;
    put16(c, lo, lanes_mask(t->cols), t->first);
    if (t->cols > 16) put16(c + 16, hi, lanes_mask(t->cols - 16), t->first);
}

INLINE void ahead(const void *b, size_t rows)
{
    if (rows > STREAM_ROWS) return;
    _mm_prefetch((const char *)b + AHEAD, _MM_HINT_T0);
    _mm_prefetch((const char *)b + AHEAD + 64, _MM_HINT_T0);
}

INLINE void bf16_rows(const target *t, const int *a, const int *b, size_t pairs, const size_t rows)
{
    __m512 lo[MR], hi[MR];
#pragma GCC unroll 14
    for (size_t r = 0; r < rows; r++) lo[r] = hi[r] = _mm512_setzero_ps();
    for (size_t p = 0; p < pairs; p++, a += rows, b += NR) {
        __m512bh b0 = (__m512bh)_mm512_loadu_si512(b), b1 = (__m512bh)_mm512_loadu_si512(b + 16);
        ahead(b, rows);
#pragma GCC unroll 14
        for (size_t r = 0; r < rows; r++) {
            __m512bh ar = (__m512bh)_mm512_set1_epi32(a[r]);
            lo[r] = _mm512_dpbf16_ps(lo[r], ar, b0);
            hi[r] = _mm512_dpbf16_ps(hi[r], ar, b1);
        }
    }
#pragma GCC unroll 14
    for (size_t r = 0; r < rows; r++) put(t, r, lo[r], hi[r]);
}

/* Sixteen values of a panel of B of either type. */
INLINE __m512 floats(const char *b, const hg_type type)
{
    if (type == HG_F32) return _mm512_loadu_ps(b);
    const __m256i half = _mm256_loadu_si256((const void *)b);
    if (type == HG_F16) return _mm512_cvtph_ps(half);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

INLINE void float_rows(const target *t, const float *a, const char *b, size_t kc,
                       const hg_type type, const size_t rows)
{
    const size_t step = NR * (type == HG_F32 ? sizeof(float) : sizeof(hg_f16));
    __m512 lo[MR], hi[MR];
#pragma GCC unroll 14
    for (size_t r = 0; r < rows; r++) lo[r] = hi[r] = _mm512_setzero_ps();
    for (size_t k = 0; k < kc; k++, a += rows, b += step) {
        __m512 b0 = floats(b, type), b1 = floats(b + step / 2, type);
        if (type == HG_F32 || k % 2 == 0) ahead(b, rows); /* two lines hold two k of 16 bits */
#pragma GCC unroll 14
        for (size_t r = 0; r < rows; r++) {
            __m512 ar = _mm512_set1_ps(a[r]);
            lo[r] = _mm512_fmadd_ps(ar, b0, lo[r]);
            hi[r] = _mm512_fmadd_ps(ar, b1, hi[r]);
        }
    }
#pragma GCC unroll 14
    for (size_t r = 0; r < rows; r++) put(t, r, lo[r], hi[r]);
}

#define EACH_HEIGHT(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)

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

static void tile_bf16_floats(float *c, size_t ldc, const void *a, const void *b, size_t kc,
                             size_t rows, size_t cols, bool first)
{
    const target t = {c, ldc, cols, first};
    switch (rows) {
#define HEIGHT(n)                             \
    case n:                                   \
        float_rows(&t, a, b, kc, HG_BF16, n); \
        break;
        EACH_HEIGHT(HEIGHT)
#undef HEIGHT
    default:
        break;
    }
}

static void pack_f32(void *dst, const hg_matrix *m, lanes l, size_t kc)
{
    pack_lanes(dst, m, l, kc, CELL_F32);
}

static void pack_bf16(void *dst, const hg_matrix *m, lanes l, size_t kc)
{
    pack_lanes(dst, m, l, kc, CELL_BF16_PAIR);
}

static void pack_bf16_alone(void *dst, const hg_matrix *m, lanes l, size_t kc)
{
    pack_lanes(dst, m, l, kc, CELL_BF16);
}

static void pack_rounded(void *dst, const hg_matrix *m, lanes l, size_t kc)
{
    pack_lanes(dst, m, l, kc, CELL_ROUND);
}

static void pack_f16(void *dst, const hg_matrix *m, lanes l, size_t kc)
{
    pack_lanes(dst, m, l, kc, CELL_F16);
}

DEFINE_PACKING

static void pack_a_rounded(void *dst, const hg_matrix *a, size_t row, size_t rows, size_t k0,
                           size_t kc)
{
    pack_rounded(dst, a, rows_of(a, row, rows, k0), kc);
}

static void pack_b_rounded(void *dst, const hg_matrix *b, size_t col, size_t cols, size_t k0,
                           size_t kc)
{
    pack_rounded(dst, b, cols_of(b, col, cols, k0, NR), kc);
}

static void pack_b_bf16_alone(void *dst, const hg_matrix *b, size_t col, size_t cols, size_t k0,
                              size_t kc)
{
    pack_bf16_alone(dst, b, cols_of(b, col, cols, k0, NR), kc);
}

void hg_gemm_avx512(hg_kernels *k)
{
    FILL_GEMM(k);
}

void hg_gemm_avx512_floats(hg_kernels *k)
{
    k->gemm[HG_COMPUTE_BF16] = (hg_gemm_kernel){
        MR, NR, 1, 1, 4, 4, pack_a_rounded, pack_b_rounded, tile_f32, NULL, NULL, NULL};
    k->gemm_bf16 = (hg_gemm_kernel){
        MR, NR, 1, 1, 4, 2, pack_a_rounded, pack_b_bf16_alone, tile_bf16_floats, NULL, NULL, NULL};
}
