/* float32 to super-blocks of 256 ("K-quants"). Each run of 16 or 32 is fitted alone; the scales
 * found so are themselves made small integers times one float16 number (two, where a run also has a
 * min); then, by turns, that number is solved for by least squares over the whole super-block and
 * each run looks for better integers beside its own. */
#include "kernels/quant_fit.h"

enum { MAX_RUNS = 16 };

/* A super-block whose runs have a scale and a min: x = d sc q - dmin mn. */
typedef struct offset_block {
    run run[MAX_RUNS];
    size_t n_runs, n; /* values of a run */
    float hi, steps;  /* largest q; largest sc and mn */
    float under, over, step;
    hg_f16 d, dmin;
    float sc[MAX_RUNS], mn[MAX_RUNS];
    float error;
} offset_block;

static inline float offset_error(const offset_block *b, size_t r, float sc, float mn)
{
    float d = f16_to_float(b->d), dmin = f16_to_float(b->dmin);
    return b->n == 16 ? run_error(&b->run[r], d * sc, dmin * mn, 0, b->hi, 16)
                      : run_error(&b->run[r], d * sc, dmin * mn, 0, b->hi, 32);
}

static float offset_error_all(const offset_block *b)
{
    float sum = 0;
    for (size_t r = 0; r < b->n_runs; r++) sum += offset_error(b, r, b->sc[r], b->mn[r]);
    return sum;
}

static void offset_first(offset_block *b, const float *x, const float *w)
{
    affine fit[MAX_RUNS];
    float most = 0, most_min = 0;
    for (size_t r = 0; r < b->n_runs; r++) {
        const float *rx = x + r * b->n, *rw = w + r * b->n;
        if (b->n == 16) {
            run_of(&b->run[r], rx, rw, 16);
            fit[r] = fit_affine(&b->run[r], b->hi, b->under, b->over, b->step, true, 16);
        } else {
            run_of(&b->run[r], rx, rw, 32);
            fit[r] = fit_affine(&b->run[r], b->hi, b->under, b->over, b->step, true, 32);
        }
        if (fit[r].min < 0) fit[r].min = 0; /* a run of one positive value */
        most = fit[r].scale > most ? fit[r].scale : most;
        most_min = fit[r].min > most_min ? fit[r].min : most_min;
    }
    b->d = scale_of(most / b->steps);
    b->dmin = scale_of(most_min / b->steps);
    float d = f16_to_float(b->d), dmin = f16_to_float(b->dmin);
    for (size_t r = 0; r < b->n_runs; r++) {
        b->sc[r] = d > 0 ? nearest(fit[r].scale / d, 0, b->steps) : 0;
        b->mn[r] = dmin > 0 ? nearest(fit[r].min / dmin, 0, b->steps) : 0;
    }
    b->error = offset_error_all(b);
}

/* Integers of each run among the neighbours of those it has. */
static void offset_neighbours(offset_block *b)
{
    b->error = 0;
    for (size_t r = 0; r < b->n_runs; r++) {
        float sc = b->sc[r], mn = b->mn[r], best = offset_error(b, r, sc, mn);
        for (int i = 0; i < 9; i++) {
            float try_sc = sc + (float)(i / 3 - 1), try_mn = mn + (float)(i % 3 - 1);
            if (i == 4 || try_sc < 0 || try_sc > b->steps || try_mn < 0 || try_mn > b->steps)
                continue;
            float error = offset_error(b, r, try_sc, try_mn);
            if (!(error < best)) continue;
            best = error;
            b->sc[r] = try_sc;
            b->mn[r] = try_mn;
        }
        b->error += best;
    }
}

/* Sums of one run for the two normal equations of d and dmin. */
static void offset_sums(const offset_block *b, size_t r, double s[5])
{
    const run *u = &b->run[r];
    float d = f16_to_float(b->d) * b->sc[r], min = f16_to_float(b->dmin) * b->mn[r];
    float inverse = d > 0 ? 1.0f / d : 0.0f, sq[FIT_LANES] = {0}, sqq[FIT_LANES] = {0};
    float sxq[FIT_LANES] = {0};
    for (size_t i = 0; i < b->n; i += FIT_LANES)
        for (size_t j = 0; j < FIT_LANES; j++) {
            float q = nearest((u->x[i + j] + min) * inverse, 0, b->hi), w = u->w[i + j];
            sq[j] += w * q;
            sqq[j] += w * q * q;
            sxq[j] += u->wx[i + j] * q;
        }
    double sc = (double)b->sc[r], mn = (double)b->mn[r];
    s[0] += sc * sc * (double)fit_sum(sqq);
    s[1] += sc * mn * (double)fit_sum(sq);
    s[2] += mn * mn * (double)u->sum_w;
    s[3] += sc * (double)fit_sum(sxq);
    s[4] += mn * (double)u->sum_wx;
}

/* d and dmin by least squares, kept when they make the error smaller. */
static bool offset_solve(offset_block *b)
{
    double s[5] = {0};
    for (size_t r = 0; r < b->n_runs; r++) offset_sums(b, r, s);
    double det = s[0] * s[2] - s[1] * s[1];
    hg_f16 d = b->d, dmin = b->dmin;
    if (det > 1e-9 * s[0] * s[2]) {
        b->d = scale_of((float)((s[3] * s[2] - s[1] * s[4]) / det));
        b->dmin = scale_of((float)((s[1] * s[3] - s[0] * s[4]) / det));
    } else if (s[0] > 0) {
        b->d = scale_of((float)(s[3] / s[0]));
    }
    bool is_sound = f16_to_float(b->d) >= 0 && f16_to_float(b->dmin) >= 0;
    float error = is_sound ? offset_error_all(b) : INFINITY;
    if (error < b->error) {
        b->error = error;
        return true;
    }
    b->d = d;
    b->dmin = dmin;
    return false;
}

static void offset_fit(offset_block *b, const float *x, const float *w, int rounds)
{
    offset_first(b, x, w);
    for (int i = 0; i < rounds; i++) {
        offset_neighbours(b);
        if (!offset_solve(b)) break;
    }
}

static void offset_integers(const offset_block *b, uint8_t q[HG_SUPER])
{
    for (size_t r = 0; r < b->n_runs; r++) {
        float d = f16_to_float(b->d) * b->sc[r], min = f16_to_float(b->dmin) * b->mn[r];
        float inverse = d > 0 ? 1.0f / d : 0.0f;
        for (size_t i = 0; i < b->n; i++)
            q[r * b->n + i] = (uint8_t)(int)nearest((b->run[r].x[i] + min) * inverse, 0, b->hi);
    }
}

/* Two bits of 256 elements, in q2_k's and q3_k's order. */
static void put_pairs(uint8_t out[64], const uint8_t q[HG_SUPER])
{
    for (int half = 0; half < 2; half++)
        for (int i = 0; i < 32; i++) {
            const uint8_t *at = q + 128 * half + i;
            out[32 * half + i] =
                (uint8_t)((at[0] & 3) | (at[32] & 3) << 2 | (at[64] & 3) << 4 | (at[96] & 3) << 6);
        }
}

void hg_fit_q2_k(hg_block_q2_k *y, const float *x, const float *w)
{
    offset_block b = {
        .n_runs = 16, .n = 16, .hi = 3, .steps = 15, .under = 0.5f, .over = 1.0f, .step = 0.1f};
    uint8_t q[HG_SUPER];
    offset_fit(&b, x, w, 4);
    offset_integers(&b, q);
    y->d = b.d;
    y->dmin = b.dmin;
    for (int r = 0; r < 16; r++) y->scales[r] = (uint8_t)((int)b.sc[r] | (int)b.mn[r] << 4);
    put_pairs(y->q, q);
}

/* The 6-bit scales and mins of eight runs. */
static void put_k4_scales(uint8_t out[12], const float sc[8], const float mn[8])
{
    for (int r = 0; r < 4; r++) {
        int s0 = (int)sc[r], m0 = (int)mn[r], s4 = (int)sc[r + 4], m4 = (int)mn[r + 4];
        out[r] = (uint8_t)(s0 | s4 >> 4 << 6);
        out[r + 4] = (uint8_t)(m0 | m4 >> 4 << 6);
        out[r + 8] = (uint8_t)((s4 & 15) | (m4 & 15) << 4);
    }
}

/* Low four bits: a quarter of 64 elements in 32 bytes. */
static void put_quarters(uint8_t out[128], const uint8_t q[HG_SUPER])
{
    for (int c = 0; c < 4; c++)
        for (int i = 0; i < 32; i++)
            out[32 * c + i] = (uint8_t)((q[64 * c + i] & 15) | (q[64 * c + 32 + i] & 15) << 4);
}

void hg_fit_q4_k(hg_block_q4_k *y, const float *x, const float *w)
{
    offset_block b = {
        .n_runs = 8, .n = 32, .hi = 15, .steps = 63, .under = 1.0f, .over = 1.0f, .step = 0.1f};
    uint8_t q[HG_SUPER];
    offset_fit(&b, x, w, 2);
    offset_integers(&b, q);
    y->d = b.d;
    y->dmin = b.dmin;
    put_k4_scales(y->scales, b.sc, b.mn);
    put_quarters(y->q, q);
}

void hg_fit_q5_k(hg_block_q5_k *y, const float *x, const float *w)
{
    offset_block b = {
        .n_runs = 8, .n = 32, .hi = 31, .steps = 63, .under = 0.5f, .over = 1.0f, .step = 0.1f};
    uint8_t q[HG_SUPER];
    offset_fit(&b, x, w, 2);
    offset_integers(&b, q);
    y->d = b.d;
    y->dmin = b.dmin;
    put_k4_scales(y->scales, b.sc, b.mn);
    put_quarters(y->q, q);
    memset(y->high, 0, sizeof y->high);
    for (int i = 0; i < HG_SUPER; i++) y->high[i % 32] |= (uint8_t)((q[i] >> 4) << (i / 32));
}

/* ---- runs with a scale alone: x = d sc q ---- */

typedef struct scaled_block {
    run run[MAX_RUNS];
    float lo, hi;       /* of q */
    float sc_lo, sc_hi; /* of sc */
    float under, over, step;
    hg_f16 d;
    float sc[MAX_RUNS];
    float error;
} scaled_block;

static float scaled_error(const scaled_block *b, size_t r, float sc)
{
    return run_error(&b->run[r], f16_to_float(b->d) * sc, 0, b->lo, b->hi, 16);
}

static float scaled_error_all(const scaled_block *b)
{
    float sum = 0;
    for (size_t r = 0; r < MAX_RUNS; r++) sum += scaled_error(b, r, b->sc[r]);
    return sum;
}

/* The scale of the largest size becomes sc_lo, which reaches one further than sc_hi. */
static void scaled_first(scaled_block *b, const float *x, const float *w)
{
    float scale[MAX_RUNS], largest = 0;
    for (size_t r = 0; r < MAX_RUNS; r++) {
        run_of(&b->run[r], x + 16 * r, w + 16 * r, 16);
        scale[r] = fit_scale(&b->run[r], b->lo, b->hi, b->under, b->over, b->step, 16);
        if (fabsf(scale[r]) > fabsf(largest)) largest = scale[r];
    }
    b->d = scale_of(largest / b->sc_lo);
    float d = f16_to_float(b->d);
    bool is_zero = !(d < 0 || d > 0);
    for (size_t r = 0; r < MAX_RUNS; r++)
        b->sc[r] = is_zero ? 0 : nearest(scale[r] / d, b->sc_lo, b->sc_hi);
    b->error = scaled_error_all(b);
}

static void scaled_neighbours(scaled_block *b)
{
    b->error = 0;
    for (size_t r = 0; r < MAX_RUNS; r++) {
        float sc = b->sc[r], best = scaled_error(b, r, sc);
        for (float by = -1; by <= 1; by += 2) {
            if (sc + by < b->sc_lo || sc + by > b->sc_hi) continue;
            float error = scaled_error(b, r, sc + by);
            if (!(error < best)) continue;
            best = error;
            b->sc[r] = sc + by;
        }
        b->error += best;
    }
}

static bool scaled_solve(scaled_block *b)
{
    double num = 0, den = 0;
    for (size_t r = 0; r < MAX_RUNS; r++) {
        const run *u = &b->run[r];
        float d = f16_to_float(b->d) * b->sc[r];
        float inverse = d < 0 || d > 0 ? 1.0f / d : 0.0f;
        float sxq[FIT_LANES] = {0}, sqq[FIT_LANES] = {0};
        for (size_t i = 0; i < 16; i += FIT_LANES)
            for (size_t j = 0; j < FIT_LANES; j++) {
                float q = nearest(u->x[i + j] * inverse, b->lo, b->hi);
                sxq[j] += u->wx[i + j] * q;
                sqq[j] += u->w[i + j] * q * q;
            }
        num += (double)(b->sc[r] * fit_sum(sxq));
        den += (double)(b->sc[r] * b->sc[r] * fit_sum(sqq));
    }
    hg_f16 d = b->d;
    if (den > 0) b->d = scale_of((float)(num / den));
    float error = scaled_error_all(b);
    if (error < b->error) {
        b->error = error;
        return true;
    }
    b->d = d;
    return false;
}

/* Fits all and leaves q, counted from lo, in q. */
static void scaled_fit(scaled_block *b, const float *x, const float *w, int rounds,
                       uint8_t q[HG_SUPER])
{
    scaled_first(b, x, w);
    for (int i = 0; i < rounds; i++) {
        scaled_neighbours(b);
        if (!scaled_solve(b)) break;
    }
    for (size_t r = 0; r < MAX_RUNS; r++) {
        float d = f16_to_float(b->d) * b->sc[r];
        float inverse = d < 0 || d > 0 ? 1.0f / d : 0.0f;
        for (size_t i = 0; i < 16; i++)
            q[16 * r + i] = (uint8_t)(int)(nearest(b->run[r].x[i] * inverse, b->lo, b->hi) - b->lo);
    }
}

void hg_fit_q3_k(hg_block_q3_k *y, const float *x, const float *w)
{
    scaled_block b = {
        .lo = -4, .hi = 3, .sc_lo = -32, .sc_hi = 31, .under = 0.8f, .over = 0.9f, .step = 0.1f};
    uint8_t q[HG_SUPER];
    scaled_fit(&b, x, w, 3, q);
    y->d = b.d;
    memset(y->scales, 0, sizeof y->scales);
    for (int r = 0; r < 16; r++) {
        int sc = (int)b.sc[r] + 32;
        y->scales[r % 8] |= (uint8_t)((sc & 15) << (r / 8 * 4));
        y->scales[8 + r % 4] |= (uint8_t)((sc >> 4) << (r / 4 * 2));
    }
    put_pairs(y->q, q);
    memset(y->high, 0, sizeof y->high);
    for (int i = 0; i < HG_SUPER; i++) y->high[i % 32] |= (uint8_t)((q[i] >> 2) << (i / 32));
}

void hg_fit_q6_k(hg_block_q6_k *y, const float *x, const float *w)
{
    scaled_block b = {.lo = -32,
                      .hi = 31,
                      .sc_lo = -128,
                      .sc_hi = 127,
                      .under = 0.9f,
                      .over = 0.9f,
                      .step = 0.2f};
    uint8_t q[HG_SUPER];
    scaled_fit(&b, x, w, 1, q);
    y->d = b.d;
    for (int r = 0; r < 16; r++) y->scales[r] = (int8_t)b.sc[r];
    for (int half = 0; half < 2; half++) {
        const uint8_t *at = q + 128 * half;
        for (int i = 0; i < 64; i++)
            y->low[64 * half + i] = (uint8_t)((at[i] & 15) | (at[i + 64] & 15) << 4);
        for (int i = 0; i < 32; i++)
            y->high[32 * half + i] = (uint8_t)(at[i] >> 4 | at[i + 32] >> 4 << 2 |
                                               at[i + 64] >> 4 << 4 | at[i + 96] >> 4 << 6);
    }
}
