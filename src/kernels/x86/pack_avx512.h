/* Packing panels with AVX-512. In a panel one 32-bit cell is a float or a pair of bf16 that follow
 * each other in k; cells of all lanes lie side by side, step after step. Cells of float16 are
 * floats until they are stored, as are single ones of bf16, which may stay floats, rounded. Two
 * cases: k is the near stride (sixteen lanes are read along k and transposed in registers) or the
 * lanes are (rows are copied, in the bf16 family two at a time, interleaved). */
#ifndef HG_KERNELS_PACK_AVX512_H
#define HG_KERNELS_PACK_AVX512_H

#include "kernels/lanes.h"

#include <immintrin.h>

typedef enum cell {
    CELL_F32,
    CELL_BF16_PAIR,
    CELL_F16,
    CELL_BF16, /* one alone, of 16 bits */
    CELL_ROUND /* a float that is rounded to bf16 */
} cell;

static inline __mmask16 lanes_mask(size_t n)
{
    return (__mmask16)(n >= 16 ? 0xffffu : (1u << n) - 1u);
}

static inline __mmask32 pairs_mask(size_t n)
{
    return n >= 32 ? 0xffffffffu : (1u << n) - 1u;
}

/* Up to sixteen neighbours as floats; those that the mask leaves out are zero and are not read. */
static inline __attribute__((always_inline)) __m512 load16(const void *base, hg_type type,
                                                           size_t at, __mmask16 mask)
{
    if (type == HG_F32) return _mm512_maskz_loadu_ps(mask, (const float *)base + at);
    __m256i half = _mm256_maskz_loadu_epi16(mask, (const uint16_t *)base + at);
    if (type == HG_F16) return _mm512_cvtph_ps(half);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

/* Sixteen cells of one lane, from element `at` on; `left` elements remain. */
static inline __attribute__((always_inline)) __m512i run16(const void *base, hg_type type,
                                                           size_t at, size_t left, cell how)
{
    if (how == CELL_BF16_PAIR && type == HG_BF16)
        return _mm512_maskz_loadu_epi16(pairs_mask(left), (const hg_bf16 *)base + at);
    __m512 lo = load16(base, type, at, lanes_mask(left));
    if (how != CELL_BF16_PAIR) return _mm512_castps_si512(lo);
    __m512 hi =
        left > 16 ? load16(base, type, at + 16, lanes_mask(left - 16)) : _mm512_setzero_ps();
    return (__m512i)_mm512_cvtne2ps_pbh(hi, lo);
}

/* One step of k of sixteen lanes: floats, or the pairs of this k and the next. */
static inline __attribute__((always_inline)) __m512i step16(const void *base, hg_type type,
                                                            size_t at, size_t k_stride, size_t left,
                                                            __mmask16 mask, cell how)
{
    if (how == CELL_BF16_PAIR && type == HG_BF16) {
        const hg_bf16 *p = (const hg_bf16 *)base + at;
        __m512i lo = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, p));
        if (left <= 1) return lo;
        __m512i hi = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, p + k_stride));
        return _mm512_or_si512(lo, _mm512_slli_epi32(hi, 16));
    }
    __m512 even = load16(base, type, at, mask);
    if (how != CELL_BF16_PAIR) return _mm512_castps_si512(even);
    __m512 odd = left > 1 ? load16(base, type, at + k_stride, mask) : _mm512_setzero_ps();
    __m512i both = (__m512i)_mm512_cvtne2ps_pbh(odd, even);
    const __m512i order =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order, both);
}

/* Transposes 16 x 16 cells in place: pairs of rows, pairs of pairs, then quarters. */
static inline __attribute__((always_inline)) void transpose16(__m512i r[16])
{
    __m512i t[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
        r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

static inline __attribute__((always_inline)) __m512i rounded_to_bf16(__m512 x)
{
    return _mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(x)), 16);
}

/* Cells `at` and on of a panel. */
static inline __attribute__((always_inline)) void put_cells(void *dst, size_t at, __mmask16 mask,
                                                            __m512i v, cell how)
{
    const __m512 x = _mm512_castsi512_ps(v);
    if (how == CELL_F16)
        _mm256_mask_storeu_epi16((hg_f16 *)dst + at, mask,
                                 _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
    else if (how == CELL_BF16)
        _mm256_mask_storeu_epi16((hg_bf16 *)dst + at, mask, (__m256i)_mm512_cvtneps_pbh(x));
    else
        _mm512_mask_storeu_epi32((uint32_t *)dst + at, mask,
                                 how == CELL_ROUND ? rounded_to_bf16(x) : v);
}

/* k is near: sixteen lanes at a time, sixteen cells of each. */
static inline __attribute__((always_inline)) void
pack_along_k(void *dst, const void *base, hg_type type, lanes l, size_t kc, cell how)
{
    size_t per_cell = how == CELL_BF16_PAIR ? 2 : 1, cells = (kc + per_cell - 1) / per_cell;
    for (size_t g = 0; g < l.width; g += 16) {
        size_t n = l.n > g ? l.n - g : 0;
        __mmask16 mask = lanes_mask(l.width - g);
        for (size_t s = 0; s < cells; s += 16) {
            __m512i r[16];
#pragma GCC unroll 16
            for (size_t i = 0; i < 16; i++)
                r[i] = i < n ? run16(base, type, l.at + (g + i) * l.lane_stride + s * per_cell,
                                     kc - s * per_cell, how)
                             : _mm512_setzero_si512();
            transpose16(r);
#pragma GCC unroll 16
            for (size_t i = 0; i < 16; i++)
                if (s + i < cells) put_cells(dst, (s + i) * l.width + g, mask, r[i], how);
        }
    }
}

/* Lanes are near. */
static inline __attribute__((always_inline)) void
pack_across_k(void *dst, const void *base, hg_type type, lanes l, size_t kc, cell how)
{
    size_t per_cell = how == CELL_BF16_PAIR ? 2 : 1;
    for (size_t k = 0, at = 0; k < kc; k += per_cell, at += l.width)
        for (size_t g = 0; g < l.width; g += 16) {
            __mmask16 there = lanes_mask(l.n > g ? l.n - g : 0);
            __m512i s =
                step16(base, type, l.at + g + k * l.k_stride, l.k_stride, kc - k, there, how);
            put_cells(dst, at + g, lanes_mask(l.width - g), s, how);
        }
}

static inline __attribute__((always_inline)) void
pack_type(void *dst, const hg_matrix *m, hg_type type, lanes l, size_t kc, cell how)
{
    if (l.k_stride == 1)
        pack_along_k(dst, m->base, type, l, kc, how);
    else
        pack_across_k(dst, m->base, type, l, kc, how);
}

static inline __attribute__((always_inline)) void pack_lanes(void *dst, const hg_matrix *m, lanes l,
                                                             size_t kc, cell how)
{
    if (m->type == HG_F32)
        pack_type(dst, m, HG_F32, l, kc, how);
    else if (m->type == HG_F16)
        pack_type(dst, m, HG_F16, l, kc, how);
    else /* rounded already */
        pack_type(dst, m, HG_BF16, l, kc, how == CELL_ROUND ? CELL_F32 : how);
}

#endif
