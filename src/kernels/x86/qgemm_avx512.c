/* Quantised products with AVX-512 VNNI. A tile of 6 rows and 32 columns keeps 12 integer and 12
 * float sums in registers; vpdpbusd multiplies unsigned codes by signed activations four by four.
 * Thirty-two columns and not sixteen: each broadcast activation then serves two products, and loads
 * do not become the limit.
 *
 * Every function here is made for a type and a height by constants that its caller gives, so that
 * the sums of an output are the same instructions whatever the tile's height. */
#include "kernels/qgemm.h"
#include "kernels/tables.h"

#include <float.h>
#include <immintrin.h>

enum { MR = 7, FEW = 4, SLICE = 512, AHEAD = 8192 /* bytes */ };

#define INLINE static inline __attribute__((always_inline))

/* ---- activations ---- */

static const float TINY = 1e-30f;

typedef struct quantised {
    float d;
    __m128i q[2];
    int32_t sum[2];
} quantised;

INLINE quantised quantise(const float *x)
{
    quantised o;
    __m512 lo = _mm512_loadu_ps(x), hi = _mm512_loadu_ps(x + 16);
    __m512 a = _mm512_abs_ps(lo), b = _mm512_abs_ps(hi), top = _mm512_set1_ps(FLT_MAX);
    /* not (a <= FLT_MAX): a NaN or an infinity */
    __mmask16 bad = (__mmask16)(_mm512_cmp_ps_mask(a, top, _CMP_NLE_UQ) |
                                _mm512_cmp_ps_mask(b, top, _CMP_NLE_UQ));
    float max = _mm512_reduce_max_ps(_mm512_max_ps(a, b));
    bool is_seen = bad == 0 && max >= TINY;
    __m512 inverse = _mm512_set1_ps(is_seen ? 127 / max : 0);
    __m512i p = _mm512_cvtps_epi32(_mm512_mul_ps(lo, inverse));
    __m512i q = _mm512_cvtps_epi32(_mm512_mul_ps(hi, inverse));
    if (bad != 0) p = q = _mm512_setzero_si512();
    o.d = bad != 0 ? __builtin_nanf("") : is_seen ? max / 127 : 0;
    o.q[0] = _mm512_cvtepi32_epi8(p);
    o.q[1] = _mm512_cvtepi32_epi8(q);
    o.sum[0] = _mm512_reduce_add_epi32(p);
    o.sum[1] = _mm512_reduce_add_epi32(q);
    return o;
}

/* The dwords of a block's codes go to lane r of the eight quads. */
INLINE void put_codes(int32_t *to, size_t rows, const __m128i q[2])
{
    for (size_t half = 0; half < 2; half++, to += 4 * rows) {
        to[0] = _mm_extract_epi32(q[half], 0);
        to[rows] = _mm_extract_epi32(q[half], 1);
        to[2 * rows] = _mm_extract_epi32(q[half], 2);
        to[3 * rows] = _mm_extract_epi32(q[half], 3);
    }
}

static void pack_a(void *dst, const float *x, size_t ldx, size_t rows, size_t k, hg_type t)
{
    const hg_qform *f = &hg_qforms[t];
    size_t n_fields = hg_q_fields(f);
    int32_t offset = f->offset;
    for (size_t r = 0; r < rows; r++) {
        int32_t *block = (int32_t *)dst + r;
        for (size_t b = 0; b < k; b += HG_BLOCK, block += rows * (n_fields + HG_BLOCK / 4)) {
            quantised o = quantise(x + r * ldx + b);
            if (n_fields == 2) o.sum[0] += o.sum[1];
            ((float *)block)[0] = o.d;
            for (size_t g = 0; g + 1 < n_fields; g++)
                if (f->has_min)
                    ((float *)block)[(1 + g) * rows] = o.d * (float)o.sum[g];
                else
                    block[(1 + g) * rows] = -offset * o.sum[g];
            put_codes(block + rows * n_fields, rows, o.q);
        }
    }
}

/* ---- weights; `half` is 0 for the first sixteen columns of a panel and 1 for the others ---- */

INLINE __m512i codes(const hg_type t, const char *planes, size_t b, size_t q, size_t half)
{
    const hg_qform f = hg_qforms[t];
    const char *low = planes + hg_q_low_vec(t, b, q) * HG_Q_VEC + half * 64;
    __m512i u = _mm512_loadu_si512(low);
    if (f.low == 8) return u;
    u = _mm512_and_si512(_mm512_srli_epi32(u, hg_q_low_bit(t, b, q)),
                         _mm512_set1_epi8((char)((1 << f.low) - 1)));
    if (f.high > 0) {
        const char *high = planes + (f.n_low + hg_q_high_vec(t, b, q)) * HG_Q_VEC + half * 64;
        __m512i v = _mm512_srli_epi32(_mm512_loadu_si512(high), hg_q_high_bit(t, b, q));
        v = _mm512_and_si512(v, _mm512_set1_epi8((char)((1 << f.high) - 1)));
        u = _mm512_or_si512(u, _mm512_slli_epi32(v, f.low));
    }
    if (hg_q_table(t) != NULL) {
        __m128i table = _mm_loadu_si128((const __m128i *)(const void *)hg_q_table(t));
        u = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), u);
    }
    return u;
}

INLINE __m512 halves(const char *scales, size_t row, size_t half)
{
    const void *at = scales + row * 2 * HG_Q_NR + half * 32;
    return _mm512_cvtph_ps(_mm256_loadu_si256(at));
}

INLINE __m512i bytes(const char *scales, size_t n_halves, size_t row, size_t half, bool is_signed)
{
    const void *at = scales + n_halves * 2 * HG_Q_NR + row * HG_Q_NR + half * 16;
    __m128i v = _mm_loadu_si128(at);
    return is_signed ? _mm512_cvtepi8_epi32(v) : _mm512_cvtepu8_epi32(v);
}

/* Of the two 6-bit numbers of block b the first or second. */
INLINE __m512i six_bits(const char *scales, size_t n_halves, size_t b, size_t which, size_t half)
{
    const char *w = scales + n_halves * 2 * HG_Q_NR + half * 64;
    __m512i low = _mm512_loadu_si512(w + which * HG_Q_VEC), high = _mm512_loadu_si512(w + 256);
    low = _mm512_srli_epi32(low, (unsigned)(4 * b));
    high = _mm512_srli_epi32(high, (unsigned)(2 * b + 16 * which));
    return _mm512_or_si512(_mm512_and_si512(low, _mm512_set1_epi32(15)),
                           _mm512_slli_epi32(_mm512_and_si512(high, _mm512_set1_epi32(3)), 4));
}

/* 2^(e - 128), a subnormal for e below 2. */
INLINE __m512 power(__m512i e)
{
    __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
    __m512i small = _mm512_sllv_epi32(_mm512_set1_epi32(0x00200000), e);
    __mmask16 is_small = _mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2));
    return _mm512_castsi512_ps(_mm512_mask_mov_epi32(normal, is_small, small));
}

INLINE __m512 scale(const hg_type t, const char *s, size_t b, size_t g, size_t half)
{
    if (t == HG_MXFP4) return power(bytes(s, 0, 0, half, false));
    __m512 d = halves(s, 0, half);
    __m512i n;
    switch (t) {
    case HG_Q4_K:
    case HG_Q5_K:
        n = six_bits(s, 2, b, 0, half);
        break;
    case HG_Q3_K:
        n = _mm512_sub_epi32(six_bits(s, 1, b, g, half), _mm512_set1_epi32(32));
        break;
    case HG_Q2_K:
        n = _mm512_and_si512(bytes(s, 2, 2 * b + g, half, false), _mm512_set1_epi32(15));
        break;
    case HG_Q6_K:
        n = bytes(s, 1, 2 * b + g, half, true);
        break;
    case HG_IQ4_XS:
        n = bytes(s, 1, b, half, true);
        break;
    default:
        return d;
    }
    return _mm512_mul_ps(d, _mm512_cvtepi32_ps(n));
}

INLINE __m512 minimum(const hg_type t, const char *s, size_t b, size_t g, size_t half)
{
    __m512 d = halves(s, 1, half);
    __m512i n;
    if (t == HG_Q2_K)
        n = _mm512_srli_epi32(bytes(s, 2, 2 * b + g, half, false), 4);
    else if (t == HG_Q4_K || t == HG_Q5_K)
        n = six_bits(s, 2, b, 1, half);
    else
        return d;
    return _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_setzero_si512(), n)));
}

INLINE void widen_type(char *out, const char *step, size_t k, const hg_type t)
{
    const hg_qform f = hg_qforms[t];
    const size_t granules = HG_BLOCK / f.granule;
    for (; k > 0; k -= f.step, step += hg_q_step_bytes(t))
        for (size_t b = 0; b < f.step / HG_BLOCK; b++, out += hg_q_wide_block(&f)) {
#pragma GCC unroll 8
            for (size_t q = 0; q < 8; q++)
#pragma GCC unroll 8
                for (size_t h = 0; h < 2; h++)
                    _mm512_store_si512(out + q * HG_Q_VEC + h * 64,
                                       codes(t, step + f.scale_bytes, b, q, h));
            float *s = (float *)(void *)(out + HG_BLOCK * HG_Q_NR);
#pragma GCC unroll 8
            for (size_t g = 0; g < granules; g++)
#pragma GCC unroll 8
                for (size_t h = 0; h < 2; h++) {
                    _mm512_store_ps(s + g * HG_Q_NR + h * 16, scale(t, step, b, g, h));
                    if (f.has_min)
                        _mm512_store_ps(s + (granules + g) * HG_Q_NR + h * 16,
                                        minimum(t, step, b, g, h));
                }
        }
}

/* ---- tiles ---- */

typedef struct sums {
    __m512 y[MR][2];
} sums;

INLINE __m512 broadcast(const void *a, size_t i)
{
    return _mm512_set1_ps(((const float *)a)[i]);
}

/* The fields of an A block, and where its codes begin. */
INLINE const int32_t *codes_of(const char *a, const size_t rows, const hg_qform f)
{
    return (const int32_t *)(const void *)(a + rows * 4 * hg_q_fields(&f));
}

/* Where a wide tile's sums go, and what it is to ask for: `part` bytes a block. */
typedef struct target {
    float *c;
    size_t ldc, cols, part;
    const char *next;
    bool first;
} target;

INLINE void start_sums(__m512i i[MR][2], const char *a, size_t g, const size_t rows,
                       const hg_qform f)
{
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++)
        i[r][0] = i[r][1] = f.has_min ? _mm512_setzero_si512()
                                      : _mm512_castps_si512(broadcast(a, (1 + g) * rows + r));
}

INLINE void add_quad(__m512i i[MR][2], const int32_t *q, __m512i lo, __m512i hi, const size_t rows)
{
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
        __m512i qa = _mm512_set1_epi32(q[r]);
        i[r][0] = _mm512_dpbusd_epi32(i[r][0], lo, qa);
        i[r][1] = _mm512_dpbusd_epi32(i[r][1], hi, qa);
    }
}

/* y += (s da) sum, and y += m (da sum(qa)) */
INLINE void add_granule(sums *o, __m512i i[MR][2], const char *a, size_t g, const __m512 s[2],
                        const __m512 m[2], const size_t rows, const hg_qform f)
{
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
        __m512 da = broadcast(a, r);
#pragma GCC unroll 8
        for (size_t h = 0; h < 2; h++)
            o->y[r][h] =
                _mm512_fmadd_ps(_mm512_cvtepi32_ps(i[r][h]), _mm512_mul_ps(s[h], da), o->y[r][h]);
        if (!f.has_min) continue;
        __m512 of_min = broadcast(a, (1 + g) * rows + r);
#pragma GCC unroll 8
        for (size_t h = 0; h < 2; h++) o->y[r][h] = _mm512_fmadd_ps(m[h], of_min, o->y[r][h]);
    }
}

INLINE __mmask16 first_lanes(size_t n)
{
    return (__mmask16)(n >= 16 ? 0xffffu : (1u << n) - 1u);
}

INLINE void put(float *c, size_t ldc, size_t cols, const sums *o, const size_t rows)
{
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
        _mm512_mask_storeu_ps(c + r * ldc, first_lanes(cols), o->y[r][0]);
        if (cols > 16) _mm512_mask_storeu_ps(c + r * ldc + 16, first_lanes(cols - 16), o->y[r][1]);
    }
}

INLINE void take(sums *o, const target *t, const size_t rows)
{
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
        const float *c = t->c + r * t->ldc;
        o->y[r][0] = o->y[r][1] = _mm512_setzero_ps();
        if (t->first) continue;
        o->y[r][0] = _mm512_maskz_loadu_ps(first_lanes(t->cols), c);
        if (t->cols > 16) o->y[r][1] = _mm512_maskz_loadu_ps(first_lanes(t->cols - 16), c + 16);
    }
}

/* The types that share granule and minima share their wide tile; `f` is one of theirs. The panel
 * that comes next is asked for meanwhile, so that the memory works while the sums are made. */
INLINE void wide_rows(const target *to, const char *a, const char *b, size_t k, const hg_qform f,
                      const size_t rows)
{
    const size_t granules = HG_BLOCK / f.granule, quads = f.granule / 4u;
    const char *next = to->next;
    sums o;
    take(&o, to, rows);
    for (; k > 0; k -= HG_BLOCK) {
        if (next != NULL) {
            for (size_t i = 0; i < to->part; i += 64) _mm_prefetch(next + i, _MM_HINT_T1);
            next += to->part;
        }
        const int32_t *q = codes_of(a, rows, f);
        const float *s = (const float *)(const void *)(b + HG_BLOCK * HG_Q_NR);
#pragma GCC unroll 8
        for (size_t g = 0; g < granules; g++) {
            __m512i i[MR][2];
            start_sums(i, a, g, rows, f);
#pragma GCC unroll 8
            for (size_t j = g * quads; j < (g + 1) * quads; j++)
                add_quad(i, q + j * rows, _mm512_load_si512(b + j * HG_Q_VEC),
                         _mm512_load_si512(b + j * HG_Q_VEC + 64), rows);
            const float *sg = s + g * HG_Q_NR, *mg = s + (granules + g) * HG_Q_NR;
            __m512 scales[2] = {_mm512_load_ps(sg), _mm512_load_ps(sg + 16)};
            __m512 mins[2] = {scales[0], scales[1]};
            if (f.has_min) {
                mins[0] = _mm512_load_ps(mg);
                mins[1] = _mm512_load_ps(mg + 16);
            }
            add_granule(&o, i, a, g, scales, mins, rows, f);
        }
        a += hg_q_fields(&f) * rows * 4 + HG_BLOCK * rows;
        b += hg_q_wide_block(&f);
    }
    put(to->c, to->ldc, to->cols, &o, rows);
}

INLINE void ahead(const char *p, size_t n)
{
#pragma GCC unroll 8
    for (size_t i = 0; i < n; i += 64) _mm_prefetch(p + AHEAD + i, _MM_HINT_T0);
}

INLINE void few_rows(float *c, size_t ldc, const char *a, const char *step, size_t k, size_t cols,
                     const hg_type t, const size_t rows)
{
    const hg_qform f = hg_qforms[t];
    const size_t granules = HG_BLOCK / f.granule, quads = f.granule / 4u;
    const size_t blocks = f.step / HG_BLOCK, part = hg_q_step_bytes(t) / blocks;
    sums o;
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) o.y[r][0] = o.y[r][1] = _mm512_setzero_ps();
    for (; k > 0; k -= f.step, step += hg_q_step_bytes(t))
        for (size_t b = 0; b < blocks; b++) {
            const int32_t *q = codes_of(a, rows, f);
            /* The CPU sees for itself that blocks of 32 lie behind each other, and is disturbed
             * by being told; within a block of 256 the way is not straight. */
            if (blocks > 1) ahead(step + b * part, part);
#pragma GCC unroll 8
            for (size_t g = 0; g < granules; g++) {
                __m512i i[MR][2];
                start_sums(i, a, g, rows, f);
#pragma GCC unroll 8
                for (size_t j = g * quads; j < (g + 1) * quads; j++)
                    add_quad(i, q + j * rows, codes(t, step + f.scale_bytes, b, j, 0),
                             codes(t, step + f.scale_bytes, b, j, 1), rows);
                __m512 s[2] = {scale(t, step, b, g, 0), scale(t, step, b, g, 1)};
                __m512 m[2] = {s[0], s[1]};
                if (f.has_min) {
                    m[0] = minimum(t, step, b, g, 0);
                    m[1] = minimum(t, step, b, g, 1);
                }
                add_granule(&o, i, a, g, s, m, rows, f);
            }
            a += hg_q_fields(&f) * rows * 4 + HG_BLOCK * rows;
        }
    put(c, ldc, cols, &o, rows);
}

/* clang-format off */
#define EACH_TYPE(X)                                                                \
    X(HG_Q4_0) X(HG_Q4_1) X(HG_Q5_0) X(HG_Q5_1) X(HG_Q8_0) X(HG_IQ4_NL) X(HG_MXFP4) \
    X(HG_Q2_K) X(HG_Q3_K) X(HG_Q4_K) X(HG_Q5_K) X(HG_Q6_K) X(HG_IQ4_XS)
#define EACH_FEW(X, t) X(1, t) X(2, t) X(3, t) X(4, t)
#define EACH_HEIGHT(X, t) EACH_FEW(X, t) X(5, t) X(6, t) X(7, t)
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

/* One function for each kind, so that the compiler sees one tile at a time. */
#define WIDE(name, type)                                                                    \
    static void name(const target *to, const char *a, const char *b, size_t k, size_t rows) \
    {                                                                                       \
        switch (rows) {                                                                     \
            EACH_HEIGHT(HEIGHT, type)                                                       \
        default:                                                                            \
            break;                                                                          \
        }                                                                                   \
    }
#define HEIGHT(n, type)                             \
    case n:                                         \
        wide_rows(to, a, b, k, hg_qforms[type], n); \
        break;
WIDE(wide_plain, HG_Q8_0)
WIDE(wide_min, HG_Q4_1)
WIDE(wide_fine, HG_Q6_K)
WIDE(wide_fine_min, HG_Q2_K)
#undef HEIGHT

static void tile(float *c, size_t ldc, const void *a, const void *wide, size_t k, size_t rows,
                 size_t cols, hg_type t, bool first, const void *next)
{
    const hg_qform *f = &hg_qforms[t];
    const target to = {c, ldc, cols, hg_q_step_bytes(t) * HG_BLOCK / f->step, next, first};
    if (f->granule == HG_BLOCK)
        (f->has_min ? wide_min : wide_plain)(&to, a, wide, k, rows);
    else
        (f->has_min ? wide_fine_min : wide_fine)(&to, a, wide, k, rows);
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

void hg_qgemm_avx512(hg_kernels *k)
{
    k->qgemm = (hg_qgemm_kernel){MR, FEW, pack_a, widen, SLICE, tile, few_tile};
}
