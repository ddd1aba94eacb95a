/* Quantised products with AVX2. This set multiplies unsigned by signed bytes in pairs whose sums
 * must fit 16 bits (vpmaddubsw): codes of up to six bits do, and several products are added before
 * they are widened to 32 bits. Codes of eight bits (offset 128) do not; they become signed, their
 * sign goes over to the activation, and the offset is gone with it.
 *
 * A wide tile takes three rows and sixteen columns a pass; decoding takes all thirty-two columns,
 * so that a panel is read once from its first byte to its last. */
#include "kernels/qgemm.h"
#include "kernels/tables.h"

#include <float.h>
#include <immintrin.h>
#include <string.h>

enum { MR = 3, FEW = 2, SLICE = 512, AHEAD = 4096 /* bytes */, LANES = 8, MAX_PARTS = 4 };

#define INLINE static inline __attribute__((always_inline))

/* ---- activations ---- */

static const float TINY = 1e-30f;

INLINE __m256 abs8(__m256 x)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
}

INLINE float max_of(__m256 v)
{
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

INLINE int32_t sum_of(__m256i v)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_unpackhi_epi64(s, s));
    return _mm_cvtsi128_si32(s) + _mm_extract_epi32(s, 1);
}

/* Sixteen integers below 128 as bytes. */
INLINE __m128i narrow(__m256i a, __m256i b)
{
    __m256i w = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
    return _mm_packs_epi16(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1));
}

/* The block's scale; its codes go to `q`, quad after quad, and their sums by halves to `sum`. */
INLINE float quantise(const float *x, int8_t q[HG_BLOCK], int32_t sum[2])
{
    __m256 v[4], max = _mm256_setzero_ps(), good = _mm256_castsi256_ps(_mm256_set1_epi32(-1));
    __m256i n[4];
    for (size_t i = 0; i < 4; i++) {
        v[i] = _mm256_loadu_ps(x + 8 * i);
        __m256 a = abs8(v[i]);
        good = _mm256_and_ps(good, _mm256_cmp_ps(a, _mm256_set1_ps(FLT_MAX), _CMP_LE_OQ));
        max = _mm256_max_ps(a, max);
    }
    bool is_good = _mm256_movemask_ps(good) == 255;
    float top = max_of(max);
    bool is_seen = is_good && top >= TINY;
    __m256 inverse = _mm256_set1_ps(is_seen ? 127 / top : 0);
    for (size_t i = 0; i < 4; i++)
        n[i] = is_seen ? _mm256_cvtps_epi32(_mm256_mul_ps(v[i], inverse)) : _mm256_setzero_si256();
    for (size_t i = 0; i < 2; i++) {
        sum[i] = sum_of(_mm256_add_epi32(n[2 * i], n[2 * i + 1]));
        _mm_storeu_si128((__m128i *)(void *)(q + 16 * i), narrow(n[2 * i], n[2 * i + 1]));
    }
    return !is_good ? __builtin_nanf("") : is_seen ? top / 127 : 0;
}

static void pack_a(void *dst, const float *x, size_t ldx, size_t rows, size_t k, hg_type t)
{
    const hg_qform *f = &hg_qforms[t];
    size_t n_fields = hg_q_fields(f);
    for (size_t r = 0; r < rows; r++) {
        char *block = (char *)dst + 4 * r;
        for (size_t b = 0; b < k; b += HG_BLOCK, block += rows * (4 * n_fields + HG_BLOCK)) {
            int8_t q[HG_BLOCK];
            int32_t sum[2];
            float d = quantise(x + r * ldx + b, q, sum);
            if (n_fields == 2) sum[0] += sum[1];
            memcpy(block, &d, 4);
            for (size_t g = 0; g + 1 < n_fields; g++) {
                float of_min = d * (float)sum[g];
                int32_t start = -(int32_t)f->offset * sum[g];
                memcpy(block + (1 + g) * rows * 4, f->has_min ? (void *)&of_min : (void *)&start,
                       4);
            }
            for (size_t j = 0; j < 8; j++) memcpy(block + (n_fields + j) * rows * 4, q + 4 * j, 4);
        }
    }
}

/* ---- weights; part p is columns 8 p to 8 p + 7 of a panel ---- */

INLINE __m256i load(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

INLINE __m256i codes(const hg_type t, const char *planes, size_t b, size_t q, size_t p)
{
    const hg_qform f = hg_qforms[t];
    __m256i u = load(planes + hg_q_low_vec(t, b, q) * HG_Q_VEC + p * 32);
    if (f.low == 8) return u;
    __m128i shift = _mm_cvtsi32_si128((int)hg_q_low_bit(t, b, q));
    u = _mm256_and_si256(_mm256_srl_epi32(u, shift), _mm256_set1_epi8((char)((1 << f.low) - 1)));
    if (f.high > 0) {
        __m256i v = load(planes + (f.n_low + hg_q_high_vec(t, b, q)) * HG_Q_VEC + p * 32);
        v = _mm256_srl_epi32(v, _mm_cvtsi32_si128((int)hg_q_high_bit(t, b, q)));
        v = _mm256_and_si256(v, _mm256_set1_epi8((char)((1 << f.high) - 1)));
        u = _mm256_or_si256(u, _mm256_slli_epi32(v, f.low));
    }
    if (hg_q_table(t) != NULL) {
        __m128i table = _mm_loadu_si128((const __m128i *)(const void *)hg_q_table(t));
        u = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), u);
    }
    return u;
}

INLINE __m256 halves(const char *scales, size_t row, size_t p)
{
    const void *at = scales + row * 2 * HG_Q_NR + p * 16;
    return _mm256_cvtph_ps(_mm_loadu_si128(at));
}

INLINE __m256i bytes(const char *scales, size_t n_halves, size_t row, size_t p, bool is_signed)
{
    const void *at = scales + n_halves * 2 * HG_Q_NR + row * HG_Q_NR + p * 8;
    __m128i v = _mm_loadl_epi64(at);
    return is_signed ? _mm256_cvtepi8_epi32(v) : _mm256_cvtepu8_epi32(v);
}

/* Of the two 6-bit numbers of block b the first or second. */
INLINE __m256i six_bits(const char *scales, size_t n_halves, size_t b, size_t which, size_t p)
{
    const char *w = scales + n_halves * 2 * HG_Q_NR + p * 32;
    __m128i low_bit = _mm_cvtsi32_si128((int)(4 * b));
    __m128i high_bit = _mm_cvtsi32_si128((int)(2 * b + 16 * which));
    __m256i low = _mm256_srl_epi32(load(w + which * HG_Q_VEC), low_bit);
    __m256i high = _mm256_srl_epi32(load(w + 2 * HG_Q_VEC), high_bit);
    return _mm256_or_si256(_mm256_and_si256(low, _mm256_set1_epi32(15)),
                           _mm256_slli_epi32(_mm256_and_si256(high, _mm256_set1_epi32(3)), 4));
}

/* 2^(e - 128), a subnormal for e below 2. */
INLINE __m256 power(__m256i e)
{
    __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    __m256i small = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);
    __m256i is_small = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e);
    return _mm256_castsi256_ps(_mm256_blendv_epi8(normal, small, is_small));
}

INLINE __m256 scale(const hg_type t, const char *s, size_t b, size_t g, size_t p)
{
    if (t == HG_MXFP4) return power(bytes(s, 0, 0, p, false));
    __m256 d = halves(s, 0, p);
    __m256i n;
    switch (t) {
    case HG_Q4_K:
    case HG_Q5_K:
        n = six_bits(s, 2, b, 0, p);
        break;
    case HG_Q3_K:
        n = _mm256_sub_epi32(six_bits(s, 1, b, g, p), _mm256_set1_epi32(32));
        break;
    case HG_Q2_K:
        n = _mm256_and_si256(bytes(s, 2, 2 * b + g, p, false), _mm256_set1_epi32(15));
        break;
    case HG_Q6_K:
        n = bytes(s, 1, 2 * b + g, p, true);
        break;
    case HG_IQ4_XS:
        n = bytes(s, 1, b, p, true);
        break;
    default:
        return d;
    }
    return _mm256_mul_ps(d, _mm256_cvtepi32_ps(n));
}

INLINE __m256 minimum(const hg_type t, const char *s, size_t b, size_t g, size_t p)
{
    __m256 d = halves(s, 1, p);
    __m256i n;
    if (t == HG_Q2_K)
        n = _mm256_srli_epi32(bytes(s, 2, 2 * b + g, p, false), 4);
    else if (t == HG_Q4_K || t == HG_Q5_K)
        n = six_bits(s, 2, b, 1, p);
    else
        return d;
    return _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_setzero_si256(), n)));
}

INLINE void widen_type(char *out, const char *step, size_t k, const hg_type t)
{
    const hg_qform f = hg_qforms[t];
    const size_t granules = HG_BLOCK / f.granule;
    for (; k > 0; k -= f.step, step += hg_q_step_bytes(t))
        for (size_t b = 0; b < f.step / HG_BLOCK; b++, out += hg_q_wide_block(&f)) {
#pragma GCC unroll 8
            for (size_t q = 0; q < 8; q++)
                for (size_t p = 0; p < MAX_PARTS; p++)
                    _mm256_storeu_si256((__m256i *)(void *)(out + q * HG_Q_VEC + p * 32),
                                        codes(t, step + f.scale_bytes, b, q, p));
            float *s = (float *)(void *)(out + HG_BLOCK * HG_Q_NR);
            for (size_t g = 0; g < granules; g++)
                for (size_t p = 0; p < MAX_PARTS; p++) {
                    float *at = s + g * HG_Q_NR + p * LANES;
                    _mm256_storeu_ps(at, scale(t, step, b, g, p));
                    if (f.has_min)
                        _mm256_storeu_ps(at + granules * HG_Q_NR, minimum(t, step, b, g, p));
                }
        }
}

/* ---- tiles ---- */

typedef struct sums {
    __m256 y[MR][MAX_PARTS];
} sums;

/* How many products of pairs fit 16 bits: 2 * 127 times the largest code each. 0: the codes are
 * made signed. */
INLINE size_t fitting(const hg_type t)
{
    const hg_qform f = hg_qforms[t];
    size_t bits = f.low + f.high;
    if (f.offset == 128) return 0;
    return bits == 6 ? 2 : bits == 5 || t == HG_MXFP4 ? 4 : 8;
}

INLINE void start_sums(__m256i i[MR][MAX_PARTS], const char *second, const size_t rows,
                       const size_t parts, const hg_type t)
{
    bool is_zero = hg_qforms[t].has_min || fitting(t) == 0;
#pragma GCC unroll 4
    for (size_t r = 0; r < rows; r++) {
        int32_t start = 0;
        if (!is_zero) memcpy(&start, second + 4 * r, 4);
#pragma GCC unroll 4
        for (size_t p = 0; p < parts; p++) i[r][p] = _mm256_set1_epi32(start);
    }
}

/* Left to itself the compiler adds integers in another order, for which all products of a block
 * must be alive at once: sixteen registers do not hold them, and half the time goes into storing
 * and loading them. After this the sum is in a register. */
INLINE void hold(__m256i *sum)
{
    __asm__("" : "+x"(*sum));
}

INLINE __m256i broadcast4(const char *q)
{
    int32_t four;
    memcpy(&four, q, 4);
    return _mm256_set1_epi32(four);
}

/* Adds the products of one quad to the 16-bit sums. */
INLINE void add_quad(__m256i w[MR][MAX_PARTS], const char *q, const __m256i u[MAX_PARTS],
                     const size_t rows, const size_t parts)
{
#pragma GCC unroll 4
    for (size_t r = 0; r < rows; r++) {
        __m256i qa = broadcast4(q + 4 * r);
#pragma GCC unroll 4
        for (size_t p = 0; p < parts; p++) {
            w[r][p] = _mm256_add_epi16(w[r][p], _mm256_maddubs_epi16(u[p], qa));
            hold(&w[r][p]);
        }
    }
}

/* The same for codes of eight bits, which are made signed, and straight to the 32-bit sums. */
INLINE void add_signed_quad(__m256i i[MR][MAX_PARTS], const char *q, const __m256i u[MAX_PARTS],
                            const size_t rows, const size_t parts)
{
#pragma GCC unroll 4
    for (size_t p = 0; p < parts; p++) {
        __m256i v = _mm256_xor_si256(u[p], _mm256_set1_epi8((char)0x80));
        __m256i size = _mm256_abs_epi8(v);
#pragma GCC unroll 4
        for (size_t r = 0; r < rows; r++) {
            __m256i signs = _mm256_sign_epi8(broadcast4(q + 4 * r), v);
            __m256i pairs = _mm256_maddubs_epi16(size, signs);
            i[r][p] = _mm256_add_epi32(i[r][p], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
            hold(&i[r][p]);
        }
    }
}

INLINE void clear_sums(__m256i w[MR][MAX_PARTS], const size_t rows, const size_t parts)
{
#pragma GCC unroll 4
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (size_t p = 0; p < parts; p++) w[r][p] = _mm256_setzero_si256();
}

INLINE void widen_sums(__m256i i[MR][MAX_PARTS], __m256i w[MR][MAX_PARTS], const size_t rows,
                       const size_t parts)
{
#pragma GCC unroll 4
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (size_t p = 0; p < parts; p++) {
            __m256i pairs = _mm256_madd_epi16(w[r][p], _mm256_set1_epi16(1));
            i[r][p] = _mm256_add_epi32(i[r][p], pairs);
            hold(&i[r][p]);
            w[r][p] = _mm256_setzero_si256();
        }
}

/* y += (s da) sum, and y += m (da sum(qa)) */
INLINE void add_granule(sums *o, __m256i i[MR][MAX_PARTS], const float *da, const char *second,
                        const __m256 s[MAX_PARTS], const __m256 m[MAX_PARTS], const size_t rows,
                        const size_t parts, const bool has_min)
{
#pragma GCC unroll 4
    for (size_t r = 0; r < rows; r++) {
        __m256 d = _mm256_set1_ps(da[r]);
#pragma GCC unroll 4
        for (size_t p = 0; p < parts; p++)
            o->y[r][p] =
                _mm256_fmadd_ps(_mm256_cvtepi32_ps(i[r][p]), _mm256_mul_ps(s[p], d), o->y[r][p]);
        if (!has_min) continue;
        float of_min;
        memcpy(&of_min, second + 4 * r, 4);
#pragma GCC unroll 4
        for (size_t p = 0; p < parts; p++)
            o->y[r][p] = _mm256_fmadd_ps(m[p], _mm256_set1_ps(of_min), o->y[r][p]);
    }
}

INLINE void put(float *c, size_t ldc, size_t cols, const sums *o, const size_t rows,
                const size_t parts)
{
#pragma GCC unroll 4
    for (size_t r = 0; r < rows; r++) {
        float y[LANES * MAX_PARTS];
        bool is_whole = cols >= LANES * parts;
        float *to = is_whole ? c + r * ldc : y;
#pragma GCC unroll 4
        for (size_t p = 0; p < parts; p++) _mm256_storeu_ps(to + p * LANES, o->y[r][p]);
        if (!is_whole) memcpy(c + r * ldc, y, cols * sizeof y[0]);
    }
}

INLINE void take(sums *o, const float *c, size_t ldc, size_t cols, bool first, const size_t rows,
                 const size_t parts)
{
    const bool is_whole = cols >= LANES * parts;
#pragma GCC unroll 4
    for (size_t r = 0; r < rows; r++) {
        float y[LANES * MAX_PARTS];
        const float *from = c + r * ldc;
        if (!first && !is_whole) from = memcpy(y, from, cols * sizeof y[0]);
#pragma GCC unroll 4
        for (size_t p = 0; p < parts; p++)
            o->y[r][p] = first ? _mm256_setzero_ps() : _mm256_loadu_ps(from + p * LANES);
    }
}

/* Where a wide tile's sums go, and what it is to ask for meanwhile: `part` bytes a block. */
typedef struct target {
    float *c;
    size_t ldc, cols, half;
    bool first;
    size_t part;
    const char *next; /* or NULL */
} target;

/* Sixteen columns of a wide panel; `t` stands for the types of its kind. */
INLINE void wide_rows(const target *to, const char *a, const char *b, size_t k, const hg_type t,
                      const size_t rows)
{
    const hg_qform f = hg_qforms[t];
    const size_t granules = HG_BLOCK / f.granule, quads = f.granule / 4u, parts = 2;
    const size_t fits = fitting(t) > 1 ? fitting(t) : 1;
    const char *next = to->next;
    sums o;
    b += to->half * parts * 4 * LANES; /* of a vector, and of a row of scales */
    take(&o, to->c, to->ldc, to->cols, to->first, rows, parts);
    for (; k > 0; k -= HG_BLOCK) {
        if (next != NULL) {
            for (size_t i = 0; i < to->part; i += 64) _mm_prefetch(next + i, _MM_HINT_T1);
            next += to->part;
        }
        const char *q = a + rows * 4 * hg_q_fields(&f);
        const float *s = (const float *)(const void *)(b + HG_BLOCK * HG_Q_NR);
#pragma GCC unroll 2
        for (size_t g = 0; g < granules; g++) {
            const char *second = a + (1 + g) * rows * 4;
            __m256i i[MR][MAX_PARTS], w[MR][MAX_PARTS];
            __m256 scales[MAX_PARTS], mins[MAX_PARTS];
            start_sums(i, second, rows, parts, t);
            clear_sums(w, rows, parts);
#pragma GCC unroll 8
            for (size_t j = g * quads; j < (g + 1) * quads; j++) {
                __m256i u[MAX_PARTS];
#pragma GCC unroll 4
                for (size_t p = 0; p < parts; p++) u[p] = load(b + j * HG_Q_VEC + p * 32);
                if (fitting(t) == 0) {
                    add_signed_quad(i, q + j * rows * 4, u, rows, parts);
                    continue;
                }
                add_quad(w, q + j * rows * 4, u, rows, parts);
                if ((j + 1) % fits == 0 || j + 1 == (g + 1) * quads) widen_sums(i, w, rows, parts);
            }
#pragma GCC unroll 4
            for (size_t p = 0; p < parts; p++) {
                scales[p] = _mm256_loadu_ps(s + g * HG_Q_NR + p * LANES);
                mins[p] = f.has_min ? _mm256_loadu_ps(s + (granules + g) * HG_Q_NR + p * LANES)
                                    : scales[p];
            }
            add_granule(&o, i, (const float *)(const void *)a, second, scales, mins, rows, parts,
                        f.has_min);
        }
        a += hg_q_fields(&f) * rows * 4 + HG_BLOCK * rows;
        b += hg_q_wide_block(&f);
    }
    put(to->c, to->ldc, to->cols, &o, rows, parts);
}

INLINE void few_rows(float *c, size_t ldc, const char *a, const char *step, size_t k, size_t cols,
                     const hg_type t, const size_t rows)
{
    const hg_qform f = hg_qforms[t];
    const size_t granules = HG_BLOCK / f.granule, quads = f.granule / 4u, parts = MAX_PARTS;
    const size_t fits = fitting(t) > 1 ? fitting(t) : 1, blocks = f.step / HG_BLOCK;
    const size_t part = hg_q_step_bytes(t) / blocks;
    sums o;
    take(&o, c, ldc, cols, true, rows, parts);
    for (; k > 0; k -= f.step, step += hg_q_step_bytes(t))
        for (size_t b = 0; b < blocks; b++) {
            const char *q = a + rows * 4 * hg_q_fields(&f);
            for (size_t i = 0; i < part; i += 64)
                _mm_prefetch(step + b * part + AHEAD + i, _MM_HINT_T0);
#pragma GCC unroll 2
            for (size_t g = 0; g < granules; g++) {
                const char *second = a + (1 + g) * rows * 4;
                __m256i i[MR][MAX_PARTS], w[MR][MAX_PARTS];
                __m256 s[MAX_PARTS], m[MAX_PARTS];
                start_sums(i, second, rows, parts, t);
                clear_sums(w, rows, parts);
#pragma GCC unroll 8
                for (size_t j = g * quads; j < (g + 1) * quads; j++) {
                    __m256i u[MAX_PARTS];
#pragma GCC unroll 4
                    for (size_t p = 0; p < parts; p++)
                        u[p] = codes(t, step + f.scale_bytes, b, j, p);
                    if (fitting(t) == 0) {
                        add_signed_quad(i, q + j * rows * 4, u, rows, parts);
                        continue;
                    }
                    add_quad(w, q + j * rows * 4, u, rows, parts);
                    if ((j + 1) % fits == 0 || j + 1 == (g + 1) * quads)
                        widen_sums(i, w, rows, parts);
                }
#pragma GCC unroll 4
                for (size_t p = 0; p < parts; p++) {
                    s[p] = scale(t, step, b, g, p);
                    m[p] = f.has_min ? minimum(t, step, b, g, p) : s[p];
                }
                add_granule(&o, i, (const float *)(const void *)a, second, s, m, rows, parts,
                            f.has_min);
            }
            a += hg_q_fields(&f) * rows * 4 + HG_BLOCK * rows;
        }
    put(c, ldc, cols, &o, rows, parts);
}

/* clang-format off */
#define EACH_TYPE(X)                                                                \
    X(HG_Q4_0) X(HG_Q4_1) X(HG_Q5_0) X(HG_Q5_1) X(HG_Q8_0) X(HG_IQ4_NL) X(HG_MXFP4) \
    X(HG_Q2_K) X(HG_Q3_K) X(HG_Q4_K) X(HG_Q5_K) X(HG_Q6_K) X(HG_IQ4_XS)
#define EACH_FEW(X, t) X(1, t) X(2, t)
#define EACH_HEIGHT(X, t) EACH_FEW(X, t) X(3, t)
/* clang-format on */

static void widen(void *dst, const void *panel, size_t k, hg_type t)
{
    switch (t) {
#define CASE(type)                       \
    case type:                           \
        widen_type(dst, panel, k, type); \
        break;
        EACH_TYPE(CASE)
#undef CASE
    default:
        break;
    }
}

/* One function for each kind, so that the compiler sees one tile at a time; the type has the widest
 * codes of its kind. */
#define WIDE(name, type)                                                                    \
    static void name(const target *to, const char *a, const char *b, size_t k, size_t rows) \
    {                                                                                       \
        switch (rows) {                                                                     \
            EACH_HEIGHT(HEIGHT, type)                                                       \
        default:                                                                            \
            break;                                                                          \
        }                                                                                   \
    }
#define HEIGHT(n, type)                  \
    case n:                              \
        wide_rows(to, a, b, k, type, n); \
        break;
WIDE(wide_signed, HG_Q8_0)
WIDE(wide_four_bits, HG_Q4_0)
WIDE(wide_plain, HG_Q5_0)
WIDE(wide_four_bits_min, HG_Q4_1)
WIDE(wide_min, HG_Q5_1)
WIDE(wide_fine, HG_Q6_K)
WIDE(wide_fine_min, HG_Q2_K)
#undef HEIGHT

static void tile(float *c, size_t ldc, const void *a, const void *wide, size_t k, size_t rows,
                 size_t cols, hg_type t, bool first, const void *next)
{
    const hg_qform *f = &hg_qforms[t];
    const size_t part = hg_q_step_bytes(t) * HG_BLOCK / f->step;
    for (size_t half = 0; half * 2 * LANES < cols; half++) {
        size_t col = half * 2 * LANES;
        const target to = {c + col, ldc, cols - col, half, first, part, half == 0 ? next : NULL};
        if (f->granule < HG_BLOCK)
            (f->has_min ? wide_fine_min : wide_fine)(&to, a, wide, k, rows);
        else if (f->offset == 128)
            wide_signed(&to, a, wide, k, rows);
        else if (fitting(t) == 8)
            (f->has_min ? wide_four_bits_min : wide_four_bits)(&to, a, wide, k, rows);
        else
            (f->has_min ? wide_min : wide_plain)(&to, a, wide, k, rows);
    }
}

#define HEIGHT(n, type)                           \
    case n:                                       \
        few_rows(c, ldc, a, b, k, cols, type, n); \
        break;
#define FEW_TILE(type)                                                                   \
    static void few_##type(float *c, size_t ldc, const char *a, const char *b, size_t k, \
                           size_t rows, size_t cols)                                     \
    {                                                                                    \
        switch (rows) {                                                                  \
            EACH_FEW(HEIGHT, type)                                                       \
        default:                                                                         \
            break;                                                                       \
        }                                                                                \
    }
EACH_TYPE(FEW_TILE)

static void few_tile(float *c, size_t ldc, const void *a, const void *panel, size_t k, size_t rows,
                     size_t cols, hg_type t)
{
    switch (t) {
#define CASE(type)                                   \
    case type:                                       \
        few_##type(c, ldc, a, panel, k, rows, cols); \
        break;
        EACH_TYPE(CASE)
#undef CASE
    default:
        break;
    }
}

void hg_qgemm_avx2(hg_kernels *k)
{
    k->qgemm = (hg_qgemm_kernel){MR, FEW, pack_a, widen, SLICE, tile, few_tile};
}
