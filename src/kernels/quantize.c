/* float32 to blocks of quantised weights: the blocks of 32, and the loop over all of them. The
 * super-blocks are in quantize_k.c, how a run is fitted in quant_fit.h. */
#include "kernels/quant_fit.h"

/* Two integers of four bits a byte: element i in the low, i + 16 in the high half. */
static void put_halves(uint8_t out[16], const uint8_t q[32])
{
    for (int i = 0; i < 16; i++) out[i] = (uint8_t)((q[i] & 15) | (q[i + 16] & 15) << 4);
}

static void put_high(uint8_t out[4], const uint8_t q[32])
{
    uint32_t bits = 0;
    for (int i = 0; i < 32; i++) bits |= (uint32_t)(q[i] >> 4) << i;
    memcpy(out, &bits, 4);
}

/* q = nearest to (x + min) / scale, as an unsigned number counted from lo. */
static void integers(uint8_t q[32], const float *x, float scale, float min, float lo, float hi)
{
    float inverse = scale < 0 || scale > 0 ? 1.0f / scale : 0.0f;
    for (int i = 0; i < 32; i++)
        q[i] = (uint8_t)(int)(nearest((x[i] + min) * inverse, lo, hi) - lo);
}

static hg_f16 fit_symmetric(uint8_t q[32], const float *x, const float *w, float size)
{
    run r;
    run_of(&r, x, w, 32);
    hg_f16 d = scale_of(fit_scale(&r, -size, size - 1, 0.8f, 0.9f, 0.1f, 32));
    integers(q, x, f16_to_float(d), 0, -size, size - 1);
    return d;
}

static void fit_q4_0(hg_block_q4_0 *y, const float *x, const float *w)
{
    uint8_t q[32];
    y->d = fit_symmetric(q, x, w, 8);
    put_halves(y->q, q);
}

static void fit_q5_0(hg_block_q5_0 *y, const float *x, const float *w)
{
    uint8_t q[32];
    y->d = fit_symmetric(q, x, w, 16);
    put_halves(y->q, q);
    put_high(y->high, q);
}

static void fit_offset(uint8_t q[32], const float *x, const float *w, float hi, hg_f16 *d,
                       hg_f16 *m)
{
    run r;
    run_of(&r, x, w, 32);
    affine a = fit_affine(&r, hi, 1.0f, 1.0f, 0.1f, false, 32);
    *d = scale_of(a.scale);
    *m = scale_of(-a.min);
    integers(q, x, f16_to_float(*d), -f16_to_float(*m), 0, hi);
}

static void fit_q4_1(hg_block_q4_1 *y, const float *x, const float *w)
{
    uint8_t q[32];
    fit_offset(q, x, w, 15, &y->d, &y->m);
    put_halves(y->q, q);
}

static void fit_q5_1(hg_block_q5_1 *y, const float *x, const float *w)
{
    uint8_t q[32];
    fit_offset(q, x, w, 31, &y->d, &y->m);
    put_halves(y->q, q);
    put_high(y->high, q);
}

/* Eight bits are so many that the widest range is the best one. */
static void fit_q8_0(hg_block_q8_0 *y, const float *x, const float *w)
{
    float most = 0;
    (void)w;
    for (int i = 0; i < 32; i++) most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    y->d = scale_of(most / 127.0f);
    float d = f16_to_float(y->d), inverse = d > 0 ? 1.0f / d : 0.0f;
    for (int i = 0; i < 32; i++) y->q[i] = (int8_t)nearest(x[i] * inverse, -127, 127);
}

/* The nearest of 0, .5, 1, 1.5, 2, 3, 4, 6 with the value's sign; of two as near the even one. */
static uint8_t fp4_of(float v)
{
    float a = fabsf(v);
    unsigned q = 0;
    q += a > 0.25f ? 1u : 0u;
    q += a >= 0.75f ? 1u : 0u;
    q += a > 1.25f ? 1u : 0u;
    q += a >= 1.75f ? 1u : 0u;
    q += a > 2.5f ? 1u : 0u;
    q += a >= 3.5f ? 1u : 0u;
    q += a > 5.0f ? 1u : 0u;
    return (uint8_t)(v < 0 && q > 0 ? q | 8u : q);
}

static float fp4_error(const float *x, const float *w, float d, uint8_t q[32])
{
    float error = 0, inverse = 1.0f / d;
    for (int i = 0; i < 32; i++) {
        q[i] = fp4_of(x[i] * inverse);
        float by = 0.5f * d * (float)hg_fp4_values[q[i]] - x[i];
        error += w[i] * by * by;
    }
    return error;
}

/* The scale is a power of two: those about the one that brings the largest value to 6. */
static void fit_mxfp4(hg_block_mxfp4 *y, const float *x, const float *w)
{
    float most = 0, best = INFINITY;
    uint8_t q[32];
    memset(y, 0, sizeof *y);
    for (int i = 0; i < 32; i++) most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    if (!(most > 0x1p-124f)) return;
    int middle = 127 + ilogbf(most) - 2;
    for (int e = middle - 2; e <= middle + 1; e++) {
        if (e < 1 || e > 253) continue;
        float error = fp4_error(x, w, float_of((uint32_t)e << 23), q);
        if (!(error < best)) continue;
        best = error;
        y->e = (uint8_t)e;
        put_halves(y->q, q);
    }
}

bool hg_can_quantize(hg_type t)
{
    return hg_type_is_block(t) && t != HG_IQ4_NL && t != HG_IQ4_XS;
}

/* Weights of a block: a small part of their mean is added, so that a value that never mattered is
 * not thrown away; all 1 where none does. */
static void weigh(float *w, const float *weight, size_t n)
{
    float sum = 0;
    for (size_t i = 0; i < n && weight != NULL; i++) sum += weight[i];
    bool is_flat = !(sum > 0) || !(sum < INFINITY);
    float scale = is_flat ? 0.0f : (float)n / sum;
    for (size_t i = 0; i < n; i++) w[i] = is_flat ? 1.0f : weight[i] * scale + 1e-4f;
}

static void fit(void *y, const float *x, const float *w, hg_type t, size_t i)
{
    switch (t) {
    case HG_Q4_0:
        fit_q4_0((hg_block_q4_0 *)y + i, x, w);
        break;
    case HG_Q4_1:
        fit_q4_1((hg_block_q4_1 *)y + i, x, w);
        break;
    case HG_Q5_0:
        fit_q5_0((hg_block_q5_0 *)y + i, x, w);
        break;
    case HG_Q5_1:
        fit_q5_1((hg_block_q5_1 *)y + i, x, w);
        break;
    case HG_Q8_0:
        fit_q8_0((hg_block_q8_0 *)y + i, x, w);
        break;
    case HG_Q2_K:
        hg_fit_q2_k((hg_block_q2_k *)y + i, x, w);
        break;
    case HG_Q3_K:
        hg_fit_q3_k((hg_block_q3_k *)y + i, x, w);
        break;
    case HG_Q4_K:
        hg_fit_q4_k((hg_block_q4_k *)y + i, x, w);
        break;
    case HG_Q5_K:
        hg_fit_q5_k((hg_block_q5_k *)y + i, x, w);
        break;
    case HG_Q6_K:
        hg_fit_q6_k((hg_block_q6_k *)y + i, x, w);
        break;
    case HG_MXFP4:
        fit_mxfp4((hg_block_mxfp4 *)y + i, x, w);
        break;
    default:
        break;
    }
}

void hg_f32_to_blocks(void *y, const float *x, const float *weight, hg_type t, size_t n)
{
    float w[HG_SUPER];
    size_t block = hg_type_block(t);
    for (size_t i = 0; i < n / block; i++) {
        weigh(w, weight == NULL ? NULL : weight + i * block, block);
        fit(y, x + i * block, w, t, i);
    }
}
