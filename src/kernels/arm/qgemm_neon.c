/* Quantised products with NEON's dot products of bytes (Armv8.2). A pass takes 4 rows and 16 of a
 * panel's 32 columns: 16 integer sums in registers beside four of codes, and the float sums in
 * memory, touched once a granule.
 *
 * SDOT multiplies signed by signed. Codes below 128 are that already; of the types whose offset is
 * 128 the upper bit is turned, which takes the offset off, so that their sums begin at 0.
 *
 * Every function here is made for a type by constants that its caller gives. The heights of a tile
 * differ only in how many rows are worked off, so that an output's sum is the same in all. */
#include "kernels/qgemm.h"
#include "kernels/tables.h"

#include <arm_neon.h>
#include <string.h>

enum { MR = 4, FEW = 4, PARTS = 4 /* of 4 columns in a pass */, PASS = 4 * PARTS };

#define INLINE static inline __attribute__((always_inline))

/* ---- weights; `part` is 0 to 7, four columns each ---- */

INLINE uint8x16_t low_bits(size_t n)
{
    return vdupq_n_u8((uint8_t)((1u << n) - 1));
}

INLINE uint8x16_t plane(const char *at, unsigned bit, size_t n_bits)
{
    uint32x4_t v = vld1q_u32((const uint32_t *)(const void *)at);
    v = vshlq_u32(v, vdupq_n_s32(-(int)bit));
    return vandq_u8(vreinterpretq_u8_u32(v), low_bits(n_bits));
}

/* The codes as SDOT wants them. */
INLINE int8x16_t codes(const hg_type t, const char *planes, size_t b, size_t q, size_t part)
{
    const hg_qform f = hg_qforms[t];
    const char *low = planes + hg_q_low_vec(t, b, q) * HG_Q_VEC + part * 16;
    uint8x16_t u;
    if (f.low == 8)
        u = vld1q_u8((const uint8_t *)low);
    else
        u = plane(low, hg_q_low_bit(t, b, q), f.low);
    if (f.high > 0) {
        const char *high = planes + (f.n_low + hg_q_high_vec(t, b, q)) * HG_Q_VEC + part * 16;
        uint8x16_t v = plane(high, hg_q_high_bit(t, b, q), f.high);
        u = vorrq_u8(u, vshlq_u8(v, vdupq_n_s8((int8_t)f.low)));
    }
    if (hg_q_table(t) != NULL) u = vqtbl1q_u8(vld1q_u8(hg_q_table(t)), u);
    if (f.offset == 128) u = veorq_u8(u, vdupq_n_u8(128));
    return vreinterpretq_s8_u8(u);
}

INLINE float32x4_t halves(const char *scales, size_t row, size_t part)
{
    const void *at = scales + row * 2 * HG_Q_NR + part * 8;
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(at)));
}

INLINE uint32x4_t bytes(const char *scales, size_t n_halves, size_t row, size_t part)
{
    uint32_t four;
    memcpy(&four, scales + n_halves * 2 * HG_Q_NR + row * HG_Q_NR + part * 4, sizeof four);
    return vmovl_u16(vget_low_u16(vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(four)))));
}

INLINE int32x4_t signed_bytes(const char *scales, size_t n_halves, size_t row, size_t part)
{
    int32x4_t v = vreinterpretq_s32_u32(bytes(scales, n_halves, row, part));
    return vshrq_n_s32(vshlq_n_s32(v, 24), 24);
}

/* Of the two 6-bit numbers of block b the first or second. */
INLINE uint32x4_t six_bits(const char *scales, size_t n_halves, size_t b, size_t which, size_t part)
{
    const char *w = scales + n_halves * 2 * HG_Q_NR + part * 16;
    uint32x4_t low = vld1q_u32((const uint32_t *)(const void *)(w + which * HG_Q_VEC));
    uint32x4_t high = vld1q_u32((const uint32_t *)(const void *)(w + 2 * HG_Q_VEC));
    low = vshlq_u32(low, vdupq_n_s32(-(int)(4 * b)));
    high = vshlq_u32(high, vdupq_n_s32(-(int)(2 * b + 16 * which)));
    return vorrq_u32(vandq_u32(low, vdupq_n_u32(15)),
                     vshlq_n_u32(vandq_u32(high, vdupq_n_u32(3)), 4));
}

/* 2^(e - 128), a subnormal for e below 2. */
INLINE float32x4_t power(uint32x4_t e)
{
    uint32x4_t normal = vshlq_n_u32(vsubq_u32(e, vdupq_n_u32(1)), 23);
    uint32x4_t small = vshlq_u32(vdupq_n_u32(0x00200000), vreinterpretq_s32_u32(e));
    return vreinterpretq_f32_u32(vbslq_u32(vcltq_u32(e, vdupq_n_u32(2)), small, normal));
}

INLINE float32x4_t scale(const hg_type t, const char *s, size_t b, size_t g, size_t part)
{
    if (t == HG_MXFP4) return power(bytes(s, 0, 0, part));
    float32x4_t d = halves(s, 0, part);
    switch (t) {
    case HG_Q4_K:
    case HG_Q5_K:
        return vmulq_f32(d, vcvtq_f32_u32(six_bits(s, 2, b, 0, part)));
    case HG_Q3_K: {
        int32x4_t n = vreinterpretq_s32_u32(six_bits(s, 1, b, g, part));
        return vmulq_f32(d, vcvtq_f32_s32(vsubq_s32(n, vdupq_n_s32(32))));
    }
    case HG_Q2_K: {
        uint32x4_t n = vandq_u32(bytes(s, 2, 2 * b + g, part), vdupq_n_u32(15));
        return vmulq_f32(d, vcvtq_f32_u32(n));
    }
    case HG_Q6_K:
        return vmulq_f32(d, vcvtq_f32_s32(signed_bytes(s, 1, 2 * b + g, part)));
    case HG_IQ4_XS:
        return vmulq_f32(d, vcvtq_f32_s32(signed_bytes(s, 1, b, part)));
    default:
        return d;
    }
}

INLINE float32x4_t minimum(const hg_type t, const char *s, size_t b, size_t g, size_t part)
{
    float32x4_t d = halves(s, 1, part);
    if (t == HG_Q2_K)
        return vnegq_f32(vmulq_f32(d, vcvtq_f32_u32(vshrq_n_u32(bytes(s, 2, 2 * b + g, part), 4))));
    if (t == HG_Q4_K || t == HG_Q5_K)
        return vnegq_f32(vmulq_f32(d, vcvtq_f32_u32(six_bits(s, 2, b, 1, part))));
    return d;
}

/* ---- a granule of a pass ---- */

typedef struct pass {
    float y[MR][PASS];
} pass;

INLINE void start_sums(int32x4_t i[MR][PARTS], const int32_t *second, const size_t rows,
                       const hg_qform f)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t p = 0; p < PARTS; p++)
            i[r][p] = vdupq_n_s32(f.has_min || f.offset == 128 ? 0 : second[r]);
}

INLINE void add_quad(int32x4_t i[MR][PARTS], const int32_t *q, const int8x16_t u[PARTS],
                     const size_t rows)
{
    for (size_t r = 0; r < rows; r++) {
        int8x16_t qa = vreinterpretq_s8_s32(vdupq_n_s32(q[r]));
        for (size_t p = 0; p < PARTS; p++) i[r][p] = vdotq_s32(i[r][p], u[p], qa);
    }
}

/* y += (s da) sum, and y += m (da sum(qa)) */
INLINE void add_granule(pass *o, int32x4_t i[MR][PARTS], const float *da, const float *second,
                        const float32x4_t s[PARTS], const float32x4_t m[PARTS], const size_t rows,
                        const bool has_min)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t p = 0; p < PARTS; p++) {
            float32x4_t y = vld1q_f32(&o->y[r][4 * p]);
            y = vfmaq_f32(y, vcvtq_f32_s32(i[r][p]), vmulq_n_f32(s[p], da[r]));
            if (has_min) y = vfmaq_n_f32(y, m[p], second[r]);
            vst1q_f32(&o->y[r][4 * p], y);
        }
}

INLINE void put(float *c, size_t ldc, size_t cols, const pass *o, size_t rows)
{
    for (size_t r = 0; r < rows; r++)
        memcpy(c + r * ldc, o->y[r], (cols < PASS ? cols : PASS) * sizeof *c);
}

/* ---- tiles ---- */

typedef struct block {
    const float *da;
    const int32_t *q;
} block;

INLINE block block_of(const char *a, const hg_qform f, const size_t rows)
{
    const void *fields = a, *q = a + rows * 4 * hg_q_fields(&f);
    return (block){fields, q};
}

/* Columns [16 half, 16 half + cols) of a panel. The types that share granule, minima and offset
 * share their wide tile; `f` is one of theirs. */
INLINE void wide_pass(float *c, size_t ldc, const char *a, const char *wide, size_t k, size_t cols,
                      size_t half, const hg_qform f, const size_t rows)
{
    const size_t granules = HG_BLOCK / f.granule, quads = f.granule / 4u;
    pass o = {0};
    for (; k > 0; k -= HG_BLOCK) {
        const block x = block_of(a, f, rows);
        const float *s = (const float *)(const void *)(wide + HG_BLOCK * HG_Q_NR) + half * PASS;
        for (size_t g = 0; g < granules; g++) {
            const float *second = x.da + (1 + g) * rows;
            int32x4_t i[MR][PARTS];
            float32x4_t scales[PARTS], mins[PARTS];
            start_sums(i, (const int32_t *)(const void *)second, rows, f);
            for (size_t j = g * quads; j < (g + 1) * quads; j++) {
                const uint8_t *at = (const uint8_t *)wide + j * HG_Q_VEC + half * 4 * PASS;
                int8x16_t u[PARTS];
                for (size_t p = 0; p < PARTS; p++) {
                    uint8x16_t v = vld1q_u8(at + 16 * p);
                    if (f.offset == 128) v = veorq_u8(v, vdupq_n_u8(128));
                    u[p] = vreinterpretq_s8_u8(v);
                }
                add_quad(i, x.q + j * rows, u, rows);
            }
            for (size_t p = 0; p < PARTS; p++) {
                scales[p] = vld1q_f32(s + g * HG_Q_NR + 4 * p);
                mins[p] = f.has_min ? vld1q_f32(s + (granules + g) * HG_Q_NR + 4 * p) : scales[p];
            }
            add_granule(&o, i, x.da, second, scales, mins, rows, f.has_min);
        }
        a += hg_q_fields(&f) * rows * 4 + HG_BLOCK * rows;
        wide += hg_q_wide_block(&f);
    }
    put(c, ldc, cols, &o, rows);
}

INLINE void few_pass(float *c, size_t ldc, const char *a, const char *step, size_t k, size_t cols,
                     size_t half, const hg_type t, const size_t rows)
{
    const hg_qform f = hg_qforms[t];
    const size_t granules = HG_BLOCK / f.granule, quads = f.granule / 4u, first = half * PARTS;
    pass o = {0};
    for (; k > 0; k -= f.step, step += hg_q_step_bytes(t))
        for (size_t b = 0; b < f.step / HG_BLOCK; b++) {
            const block x = block_of(a, f, rows);
            for (size_t g = 0; g < granules; g++) {
                const float *second = x.da + (1 + g) * rows;
                int32x4_t i[MR][PARTS];
                float32x4_t s[PARTS], m[PARTS];
                start_sums(i, (const int32_t *)(const void *)second, rows, f);
                for (size_t j = g * quads; j < (g + 1) * quads; j++) {
                    int8x16_t u[PARTS];
                    for (size_t p = 0; p < PARTS; p++)
                        u[p] = codes(t, step + f.scale_bytes, b, j, first + p);
                    add_quad(i, x.q + j * rows, u, rows);
                }
                for (size_t p = 0; p < PARTS; p++) {
                    s[p] = scale(t, step, b, g, first + p);
                    m[p] = f.has_min ? minimum(t, step, b, g, first + p) : s[p];
                }
                add_granule(&o, i, x.da, second, s, m, rows, f.has_min);
            }
            a += hg_q_fields(&f) * rows * 4 + HG_BLOCK * rows;
        }
    put(c, ldc, cols, &o, rows);
}

/* clang-format off */
#define EACH_TYPE(X)                                                                \
    X(HG_Q4_0) X(HG_Q4_1) X(HG_Q5_0) X(HG_Q5_1) X(HG_Q8_0) X(HG_IQ4_NL) X(HG_MXFP4) \
    X(HG_Q2_K) X(HG_Q3_K) X(HG_Q4_K) X(HG_Q5_K) X(HG_Q6_K) X(HG_IQ4_XS)
#define EACH_HEIGHT(X, t) X(1, t) X(2, t) X(3, t) X(4, t)
/* clang-format on */

/* One function for each kind, so that the compiler sees one tile at a time. */
#define TILE(name, PASS_OF, type)                                                               \
    static void name(float *c, size_t ldc, const char *a, const char *b, size_t k, size_t rows, \
                     size_t cols)                                                               \
    {                                                                                           \
        for (size_t half = 0; half * PASS < cols; half++) switch (rows) {                       \
                EACH_HEIGHT(PASS_OF, type)                                                      \
            default:                                                                            \
                break;                                                                          \
            }                                                                                   \
    }
#define WIDE_PASS(n, type)                                                                      \
    case n:                                                                                     \
        wide_pass(c + half * PASS, ldc, a, b, k, cols - half * PASS, half, hg_qforms[type], n); \
        break;
#define FEW_PASS(n, type)                                                           \
    case n:                                                                         \
        few_pass(c + half * PASS, ldc, a, b, k, cols - half * PASS, half, type, n); \
        break;
#define FEW_TILE(type) TILE(few_##type, FEW_PASS, type)

TILE(wide_turned, WIDE_PASS, HG_Q8_0)
TILE(wide_plain, WIDE_PASS, HG_Q4_0)
TILE(wide_min, WIDE_PASS, HG_Q4_1)
TILE(wide_fine, WIDE_PASS, HG_Q6_K)
TILE(wide_fine_min, WIDE_PASS, HG_Q2_K)
EACH_TYPE(FEW_TILE)

/* All of k at once. */
static void tile(float *c, size_t ldc, const void *a, const void *wide, size_t k, size_t rows,
                 size_t cols, hg_type t, bool first, const void *next)
{
    (void)first;
    (void)next;
    const hg_qform *f = &hg_qforms[t];
    if (f->granule < HG_BLOCK)
        (f->has_min ? wide_fine_min : wide_fine)(c, ldc, a, wide, k, rows, cols);
    else if (f->offset == 128)
        wide_turned(c, ldc, a, wide, k, rows, cols);
    else
        (f->has_min ? wide_min : wide_plain)(c, ldc, a, wide, k, rows, cols);
}

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

void hg_qgemm_neon(hg_kernels *k)
{
    k->qgemm.mr = MR;
    k->qgemm.few = FEW;
    k->qgemm.slice = 0;
    k->qgemm.tile = tile;
    k->qgemm.few_tile = few_tile;
}
