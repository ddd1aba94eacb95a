/* Vector kernels with NEON: four floats; the last step of fewer goes through a small buffer. */
#include "kernels/scalar.h"
#include "kernels/tables.h"

#include <arm_neon.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

typedef float32x4_t vec;
enum { WIDTH = 4 };

INLINE vec v_set(float x)
{
    return vdupq_n_f32(x);
}

INLINE vec v_add(vec a, vec b)
{
    return vaddq_f32(a, b);
}

INLINE vec v_sub(vec a, vec b)
{
    return vsubq_f32(a, b);
}

INLINE vec v_mul(vec a, vec b)
{
    return vmulq_f32(a, b);
}

INLINE vec v_div(vec a, vec b)
{
    return vdivq_f32(a, b);
}

INLINE vec v_fma(vec a, vec b, vec c)
{
    return vfmaq_f32(c, a, b);
}

INLINE vec v_sqrt(vec a)
{
    return vsqrtq_f32(a);
}

/* FMIN and FMAX hand on a NaN of either operand; here the second one counts, as on x86. */
INLINE vec v_min(vec a, vec b)
{
    return vbslq_f32(vcltq_f32(a, b), a, b);
}

INLINE vec v_max(vec a, vec b)
{
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}

INLINE vec v_round(vec a)
{
    return vrndnq_f32(a);
}

/* n + 127 in the exponent's place. */
INLINE vec v_pow2(vec n)
{
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127)), 23));
}

/* y where x >= limit or x is NaN, else 0. */
INLINE vec v_zero_below(vec y, vec x, vec limit)
{
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(y), vcltq_f32(x, limit)));
}

INLINE vec v_first(vec a, size_t n)
{
    static const uint32_t lane[WIDTH] = {0, 1, 2, 3};
    if (n >= WIDTH) return a;
    uint32x4_t in = vcltq_u32(vld1q_u32(lane), vdupq_n_u32((uint32_t)n));
    return vreinterpretq_f32_u32(vandq_u32(in, vreinterpretq_u32_f32(a)));
}

/* In the order of the pairs (0, 2) and (1, 3), as the x86 sets do it. */
INLINE float v_sum(vec a)
{
    float32x2_t s = vadd_f32(vget_low_f32(a), vget_high_f32(a));
    return vget_lane_f32(s, 0) + vget_lane_f32(s, 1);
}

INLINE float v_largest(vec a)
{
    return vmaxvq_f32(a);
}

INLINE vec v_load(const float *p, size_t n)
{
    if (n >= WIDTH) return vld1q_f32(p);
    float x[WIDTH] = {0};
    memcpy(x, p, n * sizeof *x);
    return vld1q_f32(x);
}

INLINE void v_store(float *p, vec a, size_t n)
{
    if (n >= WIDTH) {
        vst1q_f32(p, a);
        return;
    }
    float x[WIDTH];
    vst1q_f32(x, a);
    memcpy(p, x, n * sizeof *x);
}

INLINE uint16x4_t load_halves(const uint16_t *p, size_t n)
{
    if (n >= WIDTH) return vld1_u16(p);
    uint16_t h[WIDTH] = {0};
    memcpy(h, p, n * sizeof *h);
    return vld1_u16(h);
}

INLINE void store_halves(uint16_t *p, uint16x4_t a, size_t n)
{
    if (n >= WIDTH) {
        vst1_u16(p, a);
        return;
    }
    uint16_t h[WIDTH];
    vst1_u16(h, a);
    memcpy(p, h, n * sizeof *h);
}

INLINE vec v_load_bf16(const hg_bf16 *p, size_t n)
{
    return vreinterpretq_f32_u32(vshll_n_u16(load_halves(p, n), 16));
}

INLINE vec v_load_f16(const hg_f16 *p, size_t n)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(load_halves(p, n)));
}

/* As bf16_of does it. */
INLINE void v_store_bf16(hg_bf16 *p, vec a, size_t n)
{
    uint32x4_t u = vreinterpretq_u32_f32(a), upper = vshrq_n_u32(u, 16);
    uint32x4_t odd = vandq_u32(upper, vdupq_n_u32(1));
    uint32x4_t sum = vaddq_u32(vaddq_u32(u, vdupq_n_u32(0x7fff)), odd);
    uint32x4_t quiet = vorrq_u32(upper, vdupq_n_u32(0x40));
    uint32x4_t is_number = vceqq_f32(a, a);
    store_halves(p, vmovn_u32(vbslq_u32(is_number, vshrq_n_u32(sum, 16), quiet)), n);
}

INLINE void v_store_f16(hg_f16 *p, vec a, size_t n)
{
    store_halves(p, vreinterpret_u16_f16(vcvt_f16_f32(a)), n);
}

#include "kernels/vector_kernels.h"

/* Sixteen sums, so that none waits for itself. The empty assembly keeps the compiler from folding
 * the rounds. */
static int32_t peak_i8(size_t rounds)
{
    enum { SUMS = 16, STEPS = HG_PEAK_I8 / (16 * SUMS) };
    int32x4_t sum[SUMS];
    int8x16_t a = vdupq_n_s8(3), b = vdupq_n_s8(5);
    for (size_t i = 0; i < SUMS; i++) sum[i] = vdupq_n_s32(0);
    for (size_t r = 0; r < rounds * STEPS; r++) {
        __asm__ volatile("" : "+w"(a), "+w"(b));
        for (size_t i = 0; i < SUMS; i++) sum[i] = vdotq_s32(sum[i], a, b);
    }
    for (size_t i = 1; i < SUMS; i++) sum[0] = vaddq_s32(sum[0], sum[i]);
    return vaddvq_s32(sum[0]);
}

void hg_kernels_neon(hg_kernels *k)
{
    k->peak_i8 = peak_i8;
    fill_vector_kernels(k);
    hg_gemm_neon(k);
    hg_qgemm_neon(k);
}
