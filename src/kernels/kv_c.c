/* Attention's kernels in plain C: their definition, and what the vector files are tested against.
 * kv.h has the layouts. */
#include "kernels/kv.h"
#include "kernels/scalar.h"
#include "kernels/tables.h"

#include <math.h>
#include <string.h>

enum { ROWS = 4, W = HG_KV_PANEL };

static size_t panels_of(size_t n)
{
    return (n + W - 1) / W;
}

/* ---- scores ---- */

/* One step of d: sum[r][j] += q[r] k[j]. */
static void step(float sum[ROWS][W], const float *q, const float k[W], size_t rows)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < W; j++) sum[r][j] += q[r] * k[j];
}

static void put(float *s, float sum[ROWS][W], size_t rows)
{
    for (size_t r = 0; r < rows; r++) memcpy(s + r * HG_KV_PART, sum[r], sizeof sum[r]);
}

static void scores_f32(float *s, const void *q, const void *k, size_t d, size_t rows, size_t keys,
                       const void *next)
{
    const float *from = k;
    (void)next;
    for (size_t p = 0; p < panels_of(keys); p++) {
        float sum[ROWS][W] = {0};
        for (size_t i = 0; i < d; i++, from += W)
            step(sum, (const float *)q + i * rows, from, rows);
        put(s + p * W, sum, rows);
    }
}

static void scores_f16(float *s, const void *q, const void *k, size_t d, size_t rows, size_t keys,
                       const void *next)
{
    const hg_f16 *from = k;
    (void)next;
    for (size_t p = 0; p < panels_of(keys); p++) {
        float sum[ROWS][W] = {0}, wide[W];
        for (size_t i = 0; i < d; i++, from += W) {
            for (size_t j = 0; j < W; j++) wide[j] = f16_to_float(from[j]);
            step(sum, (const float *)q + i * rows, wide, rows);
        }
        put(s + p * W, sum, rows);
    }
}

/* The floats of the even or odd halves of pairs. */
static void half_of(float *wide, const hg_bf16 *pairs, size_t n, size_t odd)
{
    for (size_t j = 0; j < n; j++) wide[j] = bf16_to_float(pairs[2 * j + odd]);
}

static void scores_bf16(float *s, const void *q, const void *k, size_t d, size_t rows, size_t keys,
                        const void *next)
{
    const hg_bf16 *from = k;
    (void)next;
    for (size_t p = 0; p < panels_of(keys); p++) {
        const hg_bf16 *a = q;
        float sum[ROWS][W] = {0}, wide[W], row[ROWS];
        for (size_t i = 0; i < d; i += 2, from += (size_t)2 * W, a += 2 * rows)
            for (size_t odd = 0; odd < 2; odd++) {
                half_of(wide, from, W, odd);
                half_of(row, a, rows, odd);
                step(sum, row, wide, rows);
            }
        put(s + p * W, sum, rows);
    }
}

static void scores_q8_0(float *s, const void *q, const void *k, size_t d, size_t rows, size_t keys,
                        const void *next)
{
    const char *from = k;
    (void)next;
    for (size_t p = 0; p < panels_of(keys); p++) {
        float sum[ROWS][W] = {0}, wide[W], scale[W];
        for (size_t i = 0; i < d; i++) {
            if (i % W == 0) {
                const hg_f16 *at = (const hg_f16 *)(const void *)from;
                for (size_t j = 0; j < W; j++) scale[j] = f16_to_float(at[j]);
                from += W * sizeof *at;
            }
            const int8_t *x = (const int8_t *)from + i % W / 2 * 2 * W + i % 2;
            for (size_t j = 0; j < W; j++) wide[j] = (float)x[2 * j] * scale[j];
            step(sum, (const float *)q + i * rows, wide, rows);
            if (i % W == W - 1) from += (size_t)W * W;
        }
        put(s + p * W, sum, rows);
    }
}

/* ---- weights ---- */

static float largest(const float *s, size_t from, size_t to)
{
    float most = s[from];
    for (size_t i = from + 1; i < to; i++) most = s[i] > most ? s[i] : most;
    return most;
}

/* As exp_sum_f32: 0 where exp is below what a float holds with all its bits. */
static float weight(float s, float max)
{
    return s - max < -87.0f ? 0.0f : expf(s - max);
}

static float weigh_f32(void *p, const float *s, size_t n, size_t from, size_t to, float *max,
                       const void *next, size_t fetch)
{
    float *out = p, sum = 0;
    (void)next;
    (void)fetch;
    *max = largest(s, from, to);
    for (size_t i = 0; i < n; i++) {
        out[i] = i >= from && i < to ? weight(s[i], *max) : 0.0f;
        sum += out[i];
    }
    return sum;
}

static float weigh_bf16(void *p, const float *s, size_t n, size_t from, size_t to, float *max,
                        const void *next, size_t fetch)
{
    hg_bf16 *out = p;
    float sum = 0;
    (void)next;
    (void)fetch;
    *max = largest(s, from, to);
    for (size_t i = 0; i < n; i++) {
        const float w = i >= from && i < to ? weight(s[i], *max) : 0.0f;
        out[i] = bf16_of(w);
        sum += w;
    }
    return sum;
}

/* ---- values ---- */

/* o[r] += p[r] v over `w` columns of one position. */
static void add(float *o, size_t d, const float *p, const float *v, size_t w, size_t rows)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < w; c++) o[r * d + c] += p[r * HG_KV_PART] * v[c];
}

static void values_f32(float *o, const void *p, const void *v, size_t d, size_t rows, size_t keys,
                       const void *next)
{
    const float *from = v;
    (void)next;
    for (size_t c = 0; c < d; c += W) {
        const size_t w = d - c < W ? d - c : W;
        for (size_t j = 0; j < keys; j++)
            add(o + c, d, (const float *)p + j, from + j * w, w, rows);
        from += HG_KV_TILE * w;
    }
}

static void values_f16(float *o, const void *p, const void *v, size_t d, size_t rows, size_t keys,
                       const void *next)
{
    const hg_f16 *from = v;
    float wide[W];
    (void)next;
    for (size_t c = 0; c < d; c += W) {
        const size_t w = d - c < W ? d - c : W;
        for (size_t j = 0; j < keys; j++) {
            for (size_t i = 0; i < w; i++) wide[i] = f16_to_float(from[j * w + i]);
            add(o + c, d, (const float *)p + j, wide, w, rows);
        }
        from += HG_KV_TILE * w;
    }
}

static void values_bf16(float *o, const void *p, const void *v, size_t d, size_t rows, size_t keys,
                        const void *next)
{
    const hg_bf16 *from = v;
    float wide[W], row[ROWS * HG_KV_PART];
    (void)next;
    for (size_t r = 0; r < rows; r++)
        for (size_t j = r * HG_KV_PART; j < r * HG_KV_PART + keys; j++)
            row[j] = bf16_to_float(((const hg_bf16 *)p)[j]);
    for (size_t c = 0; c < d; c += W) {
        const size_t w = d - c < W ? d - c : W;
        for (size_t j = 0; j < keys; j++) {
            half_of(wide, from + j / 2 * 2 * w, w, j % 2);
            add(o + c, d, row + j, wide, w, rows);
        }
        from += HG_KV_TILE * w;
    }
}

static void values_q8_0(float *o, const void *p, const void *v, size_t d, size_t rows, size_t keys,
                        const void *next)
{
    const char *from = v;
    float wide[W];
    (void)next;
    for (size_t c = 0; c < d; c += W) {
        const hg_f16 *scale = (const hg_f16 *)(const void *)from;
        const int8_t *x = (const int8_t *)(scale + HG_KV_TILE);
        for (size_t j = 0; j < keys; j++) {
            const float s = f16_to_float(scale[j]);
            for (size_t i = 0; i < W; i++) wide[i] = (float)x[j / 2 * 2 * W + 2 * i + j % 2] * s;
            add(o + c, d, (const float *)p + j, wide, W, rows);
        }
        from += HG_KV_TILE * (W + sizeof *scale);
    }
}

void hg_kv_c(hg_kernels *k)
{
    k->kv[HG_KV_F32] = (hg_kv_kernel){ROWS, HG_KV_FLOATS, scores_f32, weigh_f32, values_f32};
    k->kv[HG_KV_F16] = (hg_kv_kernel){ROWS, HG_KV_FLOATS, scores_f16, weigh_f32, values_f16};
    k->kv[HG_KV_BF16] = (hg_kv_kernel){ROWS, HG_KV_PAIRS, scores_bf16, weigh_bf16, values_bf16};
    k->kv[HG_KV_Q8_0] = (hg_kv_kernel){ROWS, HG_KV_FLOATS, scores_q8_0, weigh_f32, values_q8_0};
}
