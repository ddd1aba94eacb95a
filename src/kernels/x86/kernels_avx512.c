/* Vector kernels with AVX-512: sixteen floats, and a mask for the last step. */
#include "kernels/tables.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

typedef __m512 vec;
enum { WIDTH = 16 };

INLINE __mmask16 first_lanes(size_t n)
{
    return (__mmask16)(n >= WIDTH ? 0xffffu : (1u << n) - 1u);
}

INLINE vec v_set(float x)
{
    return _mm512_set1_ps(x);
}

INLINE vec v_add(vec a, vec b)
{
    return _mm512_add_ps(a, b);
}

INLINE vec v_sub(vec a, vec b)
{
    return _mm512_sub_ps(a, b);
}

INLINE vec v_mul(vec a, vec b)
{
    return _mm512_mul_ps(a, b);
}

INLINE vec v_div(vec a, vec b)
{
    return _mm512_div_ps(a, b);
}

INLINE vec v_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}

INLINE vec v_sqrt(vec a)
{
    return _mm512_sqrt_ps(a);
}

INLINE vec v_min(vec a, vec b)
{
    return _mm512_min_ps(a, b);
}

INLINE vec v_max(vec a, vec b)
{
    return _mm512_max_ps(a, b);
}

INLINE vec v_round(vec a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

INLINE vec v_pow2(vec n)
{
    return _mm512_scalef_ps(_mm512_set1_ps(1.0f), n);
}

/* y where x >= limit or x is NaN, else 0. */
INLINE vec v_zero_below(vec y, vec x, vec limit)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, limit, _CMP_NLT_UQ), y);
}

INLINE vec v_first(vec a, size_t n)
{
    return _mm512_maskz_mov_ps(first_lanes(n), a);
}

INLINE float v_sum(vec a)
{
    return _mm512_reduce_add_ps(a);
}

INLINE float v_largest(vec a)
{
    return _mm512_reduce_max_ps(a);
}

INLINE vec v_load(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps(first_lanes(n), p);
}

INLINE void v_store(float *p, vec a, size_t n)
{
    _mm512_mask_storeu_ps(p, first_lanes(n), a);
}

INLINE vec v_load_bf16(const hg_bf16 *p, size_t n)
{
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first_lanes(n), p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

INLINE vec v_load_f16(const hg_f16 *p, size_t n)
{
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(n), p));
}

/* By integers, as bf16_of does it: the CPU's own conversion takes subnormals for zero, and a stored
 * number must be the same on every machine. */
INLINE void v_store_bf16(hg_bf16 *p, vec a, size_t n)
{
    __m512i u = _mm512_castps_si512(a), upper = _mm512_srli_epi32(u, 16);
    __m512i odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
    __m512i sum = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd);
    __m512i quiet = _mm512_or_si512(upper, _mm512_set1_epi32(0x40));
    __mmask16 is_nan = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
    __m512i r = _mm512_mask_mov_epi32(_mm512_srli_epi32(sum, 16), is_nan, quiet);
    _mm256_mask_storeu_epi16(p, first_lanes(n), _mm512_cvtepi32_epi16(r));
}

INLINE void v_store_f16(hg_f16 *p, vec a, size_t n)
{
    __m256i h = _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    _mm256_mask_storeu_epi16(p, first_lanes(n), h);
}

#include "kernels/vector_kernels.h"

/* Sixteen sums, so that none waits for itself. The empty assembly keeps the compiler from folding
 * the rounds. */
static int32_t peak_i8(size_t rounds)
{
    enum { SUMS = HG_PEAK_I8 / 64 };
    __m512i sum[SUMS], a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(5);
    for (size_t i = 0; i < SUMS; i++) sum[i] = _mm512_setzero_si512();
    for (size_t r = 0; r < rounds; r++) {
        __asm__ volatile("" : "+v"(a), "+v"(b));
#pragma GCC unroll 16
        for (size_t i = 0; i < SUMS; i++) sum[i] = _mm512_dpbusd_epi32(sum[i], a, b);
    }
    for (size_t i = 1; i < SUMS; i++) sum[0] = _mm512_add_epi32(sum[0], sum[i]);
    return _mm512_reduce_add_epi32(sum[0]);
}

/* ---- attention ---- */

typedef __m512i pairs;
typedef __m512i words;
typedef __m512i ints;
enum { KV_ROWS = 14 };
#define KV_HEIGHTS(X, k) \
    X(1, k)              \
    X(2, k)              \
    X(3, k)              \
    X(4, k) X(5, k) X(6, k) X(7, k) X(8, k) X(9, k) X(10, k) X(11, k) X(12, k) X(13, k) X(14, k)
#define KV_EACH(r, rows) _Pragma("GCC unroll 14") for (size_t r = 0; r < (rows); r++)

INLINE void v_fetch(const char *p)
{
    _mm_prefetch(p, _MM_HINT_T0);
}

INLINE pairs v_load_pairs(const void *p, size_t n)
{
    return _mm512_maskz_loadu_epi32(first_lanes(n), p);
}

INLINE pairs v_set_pair(const int *p)
{
    return _mm512_set1_epi32(*p);
}

INLINE vec v_dot_pairs(vec sum, pairs a, pairs b)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}

INLINE ints i_zero(void)
{
    return _mm512_setzero_si512();
}

INLINE vec i_float(ints a)
{
    return _mm512_cvtepi32_ps(a);
}

INLINE words w_load(const char *p)
{
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

INLINE words w_set(const void *pair)
{
    int32_t both;
    memcpy(&both, pair, sizeof both);
    return _mm512_set1_epi32(both);
}

INLINE ints w_dot(ints sum, words a, words b)
{
    return _mm512_dpwssd_epi32(sum, a, b);
}

INLINE void w_store(int16_t *p, vec a, size_t n)
{
    _mm256_mask_storeu_epi16(p, first_lanes(n), _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(a)));
}

#include "kernels/kv_kernels.h"

void hg_kernels_avx512(hg_kernels *k)
{
    k->peak_i8 = peak_i8;
    fill_vector_kernels(k);
    fill_kv_kernels(k);
    hg_gemm_avx512(k);
    hg_qgemm_avx512(k);
}
