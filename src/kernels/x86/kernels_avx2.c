/* Vector kernels with AVX2, FMA and F16C: eight floats; the last step goes through a small buffer
 * or a masked load. */
#include "kernels/tables.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

typedef __m256 vec;
enum { WIDTH = 8 };

INLINE __m256i first_lanes(size_t n)
{
    const __m256i lane = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n >= WIDTH ? WIDTH : (int)n), lane);
}

INLINE vec v_set(float x)
{
    return _mm256_set1_ps(x);
}

INLINE vec v_add(vec a, vec b)
{
    return _mm256_add_ps(a, b);
}

INLINE vec v_sub(vec a, vec b)
{
    return _mm256_sub_ps(a, b);
}

INLINE vec v_mul(vec a, vec b)
{
    return _mm256_mul_ps(a, b);
}

INLINE vec v_div(vec a, vec b)
{
    return _mm256_div_ps(a, b);
}

INLINE vec v_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}

INLINE vec v_sqrt(vec a)
{
    return _mm256_sqrt_ps(a);
}

INLINE vec v_min(vec a, vec b)
{
    return _mm256_min_ps(a, b);
}

INLINE vec v_max(vec a, vec b)
{
    return _mm256_max_ps(a, b);
}

INLINE vec v_round(vec a)
{
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* n + 127 in the exponent's place. */
INLINE vec v_pow2(vec n)
{
    __m256i e = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(e, 23));
}

/* y where x >= limit or x is NaN, else 0. */
INLINE vec v_zero_below(vec y, vec x, vec limit)
{
    return _mm256_and_ps(_mm256_cmp_ps(x, limit, _CMP_NLT_UQ), y);
}

INLINE vec v_first(vec a, size_t n)
{
    return n >= WIDTH ? a : _mm256_and_ps(_mm256_castsi256_ps(first_lanes(n)), a);
}

INLINE float v_sum(vec a)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

INLINE float v_largest(vec a)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

INLINE vec v_load(const float *p, size_t n)
{
    return n >= WIDTH ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, first_lanes(n));
}

INLINE void v_store(float *p, vec a, size_t n)
{
    if (n >= WIDTH)
        _mm256_storeu_ps(p, a);
    else
        _mm256_maskstore_ps(p, first_lanes(n), a);
}

INLINE __m128i load_halves(const uint16_t *p, size_t n)
{
    if (n >= WIDTH) return _mm_loadu_si128((const __m128i *)p);
    uint16_t h[WIDTH] = {0};
    memcpy(h, p, n * sizeof *h);
    return _mm_loadu_si128((const __m128i *)h);
}

INLINE void store_halves(uint16_t *p, __m128i a, size_t n)
{
    if (n >= WIDTH) {
        _mm_storeu_si128((__m128i *)p, a);
        return;
    }
    uint16_t h[WIDTH];
    _mm_storeu_si128((__m128i *)h, a);
    memcpy(p, h, n * sizeof *h);
}

INLINE vec v_load_bf16(const hg_bf16 *p, size_t n)
{
    __m256i wide = _mm256_cvtepu16_epi32(load_halves(p, n));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

INLINE vec v_load_f16(const hg_f16 *p, size_t n)
{
    return _mm256_cvtph_ps(load_halves(p, n));
}

/* As bf16_of does it. */
INLINE void v_store_bf16(hg_bf16 *p, vec a, size_t n)
{
    __m256i u = _mm256_castps_si256(a), upper = _mm256_srli_epi32(u, 16);
    __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
    __m256i sum = _mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), odd);
    __m256i quiet = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
    __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
    __m256i r = _mm256_blendv_epi8(_mm256_srli_epi32(sum, 16), quiet, is_nan);
    store_halves(p, _mm_packus_epi32(_mm256_castsi256_si128(r), _mm256_extracti128_si256(r, 1)), n);
}

INLINE void v_store_f16(hg_f16 *p, vec a, size_t n)
{
    store_halves(p, _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), n);
}

#include "kernels/vector_kernels.h"

/* Eight sums of what two instructions multiply and a third adds. The empty assembly keeps the
 * compiler from folding the rounds. */
static int32_t peak_i8(size_t rounds)
{
    enum { SUMS = 8, STEPS = HG_PEAK_I8 / (32 * SUMS) };
    const __m256i one = _mm256_set1_epi16(1);
    __m256i sum[SUMS], a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(5);
    for (size_t i = 0; i < SUMS; i++) sum[i] = _mm256_setzero_si256();
    for (size_t r = 0; r < rounds * STEPS; r++) {
#pragma GCC unroll 8
        for (size_t i = 0; i < SUMS; i++) {
            __asm__ volatile("" : "+x"(a), "+x"(b));
            sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), one));
        }
    }
    int32_t out[8], all = 0;
    for (size_t i = 1; i < SUMS; i++) sum[0] = _mm256_add_epi32(sum[0], sum[i]);
    _mm256_storeu_si256((__m256i *)out, sum[0]);
    for (size_t i = 0; i < 8; i++) all += out[i];
    return all;
}

/* ---- attention ---- */

typedef __m256i pairs;
typedef __m256i words;
typedef __m256i ints;
enum { KV_ROWS = 6 };
#define KV_HEIGHTS(X, k) X(1, k) X(2, k) X(3, k) X(4, k) X(5, k) X(6, k)
#define KV_EACH(r, rows) _Pragma("GCC unroll 6") for (size_t r = 0; r < (rows); r++)

INLINE void v_fetch(const char *p)
{
    _mm_prefetch(p, _MM_HINT_T0);
}

INLINE pairs v_load_pairs(const void *p, size_t n)
{
    return n >= WIDTH ? _mm256_loadu_si256(p) : _mm256_maskload_epi32(p, first_lanes(n));
}

INLINE pairs v_set_pair(const int *p)
{
    return _mm256_set1_epi32(*p);
}

/* This set has no product of pairs: a shift and a mask give their floats, exactly. */
INLINE vec v_dot_pairs(vec sum, pairs a, pairs b)
{
    const __m256i upper = _mm256_set1_epi32((int)0xffff0000);
    vec even_a = _mm256_castsi256_ps(_mm256_slli_epi32(a, 16));
    vec even_b = _mm256_castsi256_ps(_mm256_slli_epi32(b, 16));
    vec odd_a = _mm256_castsi256_ps(_mm256_and_si256(a, upper));
    vec odd_b = _mm256_castsi256_ps(_mm256_and_si256(b, upper));
    return v_fma(odd_a, odd_b, v_fma(even_a, even_b, sum));
}

INLINE ints i_zero(void)
{
    return _mm256_setzero_si256();
}

INLINE vec i_float(ints a)
{
    return _mm256_cvtepi32_ps(a);
}

INLINE words w_load(const char *p)
{
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)p));
}

INLINE words w_set(const void *pair)
{
    int32_t both;
    memcpy(&both, pair, sizeof both);
    return _mm256_set1_epi32(both);
}

INLINE ints w_dot(ints sum, words a, words b)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
}

INLINE void w_store(int16_t *p, vec a, size_t n)
{
    const __m256i i = _mm256_cvtps_epi32(a);
    const __m128i w = _mm_packs_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1));
    store_halves((uint16_t *)p, w, n);
}

#include "kernels/kv_kernels.h"

void hg_kernels_avx2(hg_kernels *k)
{
    k->peak_i8 = peak_i8;
    fill_vector_kernels(k);
    fill_kv_kernels(k);
    hg_gemm_avx2(k);
    hg_qgemm_avx2(k);
}
