/* How a run of values is fitted by small integers, for the quantisers.
 *
 * With the integers q given, the best scale (and offset) is a weighted least-squares fit; with the
 * scale given, the best integers are the nearest ones. A fit tries a fan of first scales around
 * "largest value to largest integer", solves for the best scale of the integers that each gives,
 * and keeps the one with the least error. Sums run in lanes so that a compiler may vectorise them.
 */
#ifndef HG_KERNELS_QUANT_FIT_H
#define HG_KERNELS_QUANT_FIT_H

#include "kernels/quant.h"
#include "kernels/scalar.h"

#include <math.h>

enum { FIT_LANES = 8, MAX_RUN = 32 };

/* A run of n values, 16 or 32, and how much each matters. */
typedef struct run {
    const float *x, *w;
    float wx[MAX_RUN];
    float sum_w, sum_wx, sum_wxx, min, max;
} run;

/* An affine fit: x is nearly scale q - min. */
typedef struct affine {
    float scale, min, error;
} affine;

/* q of a value is whole and in [lo, hi]; rounding half to even. The constant's last bit is 1. */
static inline float nearest(float v, float lo, float hi)
{
    v = v < lo ? lo : v;
    v = v > hi ? hi : v;
    return (v + 12582912.0f) - 12582912.0f;
}

static inline float fit_sum(const float s[FIT_LANES])
{
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

static inline void run_of(run *r, const float *x, const float *w, size_t n)
{
    float sw[FIT_LANES] = {0}, swx[FIT_LANES] = {0}, swxx[FIT_LANES] = {0};
    r->x = x;
    r->w = w;
    r->min = r->max = x[0];
    for (size_t i = 0; i < n; i += FIT_LANES)
        for (size_t j = 0; j < FIT_LANES; j++) {
            float wx = w[i + j] * x[i + j];
            r->wx[i + j] = wx;
            sw[j] += w[i + j];
            swx[j] += wx;
            swxx[j] += wx * x[i + j];
        }
    for (size_t i = 0; i < n; i++) {
        r->min = x[i] < r->min ? x[i] : r->min;
        r->max = x[i] > r->max ? x[i] : r->max;
    }
    r->sum_w = fit_sum(sw);
    r->sum_wx = fit_sum(swx);
    r->sum_wxx = fit_sum(swxx);
}

/* The error of a run when it is stored with this scale and min. */
static inline float run_error(const run *r, float scale, float min, float lo, float hi, size_t n)
{
    float s[FIT_LANES] = {0};
    float inverse = scale < 0 || scale > 0 ? 1.0f / scale : 0.0f;
    for (size_t i = 0; i < n; i += FIT_LANES)
        for (size_t j = 0; j < FIT_LANES; j++) {
            float x = r->x[i + j];
            float d = scale * nearest((x + min) * inverse, lo, hi) - min - x;
            s[j] += r->w[i + j] * d * d;
        }
    return fit_sum(s);
}

/* ---- x = scale q ---- */

/* What the error falls by, from that of all zeros, when q is nearest to `inverse` x and the scale
 * is the best for those q. */
static inline float try_scale(const run *r, float inverse, float lo, float hi, size_t n,
                              float *scale)
{
    float sxq[FIT_LANES] = {0}, sqq[FIT_LANES] = {0};
    for (size_t i = 0; i < n; i += FIT_LANES)
        for (size_t j = 0; j < FIT_LANES; j++) {
            float q = nearest(r->x[i + j] * inverse, lo, hi);
            sxq[j] += r->wx[i + j] * q;
            sqq[j] += r->w[i + j] * q * q;
        }
    float xq = fit_sum(sxq), qq = fit_sum(sqq);
    if (!(qq > 0)) return 0;
    *scale = xq / qq;
    return xq * *scale;
}

/* The best scale found: the value of the largest size goes to lo, or to hi, or up to `over` beyond,
 * or `under` before. 0 for a run of zeros. */
static inline float fit_scale(const run *r, float lo, float hi, float under, float over, float step,
                              size_t n)
{
    float largest = -r->min > r->max ? r->min : r->max, best = 0, best_scale = 0;
    if (!(fabsf(largest) > 0x1p-120f)) return 0;
    for (int side = 0; side < 2; side++) {
        float end = side == 0 ? lo : hi, sign = side == 0 ? -1.0f : 1.0f;
        for (float by = -under; by <= over; by += step) {
            float scale = 0, gain = try_scale(r, (end + sign * by) / largest, lo, hi, n, &scale);
            if (gain > best) {
                best = gain;
                best_scale = scale;
            }
        }
    }
    for (int again = 0; again < 2 && (best_scale < 0 || best_scale > 0); again++) {
        float scale = 0, gain = try_scale(r, 1.0f / best_scale, lo, hi, n, &scale);
        if (!(gain > best)) break;
        best = gain;
        best_scale = scale;
    }
    return best_scale;
}

/* ---- x = scale q - min ---- */

/* The best scale and min for the q in [0, hi] that are nearest to (x + min) inverse. With
 * `positive` min is not below 0. */
static inline affine try_affine(const run *r, float inverse, float min, float hi, bool positive,
                                size_t n)
{
    float sq_[FIT_LANES] = {0}, sqq_[FIT_LANES] = {0}, sxq_[FIT_LANES] = {0};
    for (size_t i = 0; i < n; i += FIT_LANES)
        for (size_t j = 0; j < FIT_LANES; j++) {
            float q = nearest((r->x[i + j] + min) * inverse, 0, hi), w = r->w[i + j];
            sq_[j] += w * q;
            sqq_[j] += w * q * q;
            sxq_[j] += r->wx[i + j] * q;
        }
    float sq = fit_sum(sq_), sqq = fit_sum(sqq_), sxq = fit_sum(sxq_);
    float det = r->sum_w * sqq - sq * sq;
    affine a = {.error = INFINITY};
    if (!(det > 0)) return a;
    a.scale = (r->sum_w * sxq - r->sum_wx * sq) / det;
    a.min = (sq * sxq - sqq * r->sum_wx) / det;
    if (positive && a.min < 0) {
        a.min = 0;
        a.scale = sxq / sqq;
    }
    a.error = r->sum_wxx - 2 * a.scale * sxq + 2 * a.min * r->sum_wx + a.scale * a.scale * sqq -
              2 * a.scale * a.min * sq + a.min * a.min * r->sum_w;
    if (!(a.scale > 0)) a.error = INFINITY;
    return a;
}

static inline affine fit_affine(const run *r, float hi, float under, float over, float step,
                                bool positive, size_t n)
{
    float low = positive && r->min > 0 ? 0 : r->min;
    affine best = {.min = -low, .error = INFINITY};
    if (!(r->max - low > 0x1p-120f)) return best;
    best.scale = (r->max - low) / hi;
    best.error = run_error(r, best.scale, best.min, 0, hi, n);
    for (float by = -under; by <= over; by += step) {
        affine a = try_affine(r, (hi + by) / (r->max - low), -low, hi, positive, n);
        if (a.error < best.error) best = a;
    }
    for (int again = 0; again < 3; again++) {
        affine a = try_affine(r, 1.0f / best.scale, best.min, hi, positive, n);
        if (!(a.error < best.error)) break;
        best = a;
    }
    return best;
}

/* A scale as blocks hold it: float16 never becomes infinite. */
static inline hg_f16 scale_of(float d)
{
    d = d > 65504.0f ? 65504.0f : d;
    return f16_of(d < -65504.0f ? -65504.0f : d);
}

#endif
