/* Every kernel in plain C: the definition, the fallback, and what the vector files are tested
 * against. Sums run in eight lanes, so that a compiler may use the vectors that every x86-64 and
 * aarch64 machine has without changing the order of a sum. */
#include "kernels/scalar.h"
#include "kernels/tables.h"

#include <float.h>
#include <math.h>

enum { LANES = 8 };

static float sum_lanes(const float s[LANES])
{
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

static float dot_f32(const float *a, const float *b, size_t n)
{
    float s[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++) s[j] += a[i + j] * b[i + j];
    for (size_t j = 0; i < n; i++, j++) s[j] += a[i] * b[i];
    return sum_lanes(s);
}

static void axpy_f32(float *y, float a, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] += a * x[i];
}

static void add_f32(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = a[i] + b[i];
}

static void scale_f32(float *y, float a, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = a * x[i];
}

static float max_f32(const float *x, size_t n)
{
    float m = -INFINITY;
    for (size_t i = 0; i < n; i++) m = x[i] > m ? x[i] : m;
    return m;
}

static bool block_max_f32(float *max, const float *x, size_t block, size_t n)
{
    size_t n_bad = 0;
    for (size_t at = 0; at < n; at += block) {
        const size_t left = n - at < block ? n - at : block;
        *max++ = max_f32(x + at, left);
        for (size_t i = at; i < at + left; i++) n_bad += !(x[i] <= FLT_MAX);
    }
    return n_bad == 0;
}

static float sum_f32(const float *x, size_t n)
{
    float s[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++) s[j] += x[i + j];
    for (size_t j = 0; i < n; i++, j++) s[j] += x[i];
    return sum_lanes(s);
}

static float exp_sum_f32(float *y, const float *x, float max, size_t n)
{
    float s[LANES] = {0};
    for (size_t i = 0; i < n; i++) {
        float d = x[i] - max;
        y[i] = d < -87.0f ? 0.0f : expf(d);
        s[i % LANES] += y[i];
    }
    return sum_lanes(s);
}

static void thin_f32(float *y, const float *x, const hg_thin *t, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < t->k; k++)
            axpy_f32(y + i * t->ldy, x[i * t->row_stride + k * t->k_stride], t->b + k * t->ldb,
                     HG_THIN);
}

static float dot_f32_bf16(const float *a, const hg_bf16 *b, size_t n)
{
    float s[LANES] = {0};
    for (size_t i = 0; i < n; i++) s[i % LANES] += a[i] * bf16_to_float(b[i]);
    return sum_lanes(s);
}

static void axpy_f32_bf16(float *y, float a, const hg_bf16 *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] += a * bf16_to_float(x[i]);
}

static float dot_f32_f16(const float *a, const hg_f16 *b, size_t n)
{
    float s[LANES] = {0};
    for (size_t i = 0; i < n; i++) s[i % LANES] += a[i] * f16_to_float(b[i]);
    return sum_lanes(s);
}

static void axpy_f32_f16(float *y, float a, const hg_f16 *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] += a * f16_to_float(x[i]);
}

static void f32_to_bf16(hg_bf16 *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = bf16_of(x[i]);
}

static void bf16_to_f32(float *y, const hg_bf16 *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = bf16_to_float(x[i]);
}

static void f32_to_f16(hg_f16 *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = f16_of(x[i]);
}

static void f16_to_f32(float *y, const hg_f16 *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = f16_to_float(x[i]);
}

/* y = x / rms(x) * w   (Zhang and Sennrich 2019) */
static float rms_norm_f32(float *y, const float *x, const float *w, float eps, size_t n)
{
    float r = 1.0f / sqrtf(dot_f32(x, x, n) / (float)n + eps);
    for (size_t i = 0; i < n; i++) y[i] = x[i] * r * (w != NULL ? w[i] : 1.0f);
    return r;
}

/* With h = dy w:  dx = r h - x r^3 <h, x> / n,  dw = dy x r. */
static void rms_norm_back_f32(float *dx, float *dw, const float *dy, const float *x, const float *w,
                              float r, size_t n)
{
    float s[LANES] = {0};
    for (size_t i = 0; i < n; i++) s[i % LANES] += dy[i] * (w != NULL ? w[i] : 1.0f) * x[i];
    float c = r * r * r * sum_lanes(s) / (float)n;
    for (size_t i = 0; i < n; i++) dx[i] += r * dy[i] * (w != NULL ? w[i] : 1.0f) - c * x[i];
    if (dw != NULL)
        for (size_t i = 0; i < n; i++) dw[i] += dy[i] * x[i] * r;
}

static float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

static void silu_gate_f32(float *y, const float *g, const float *u, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = g[i] * sigmoid(g[i]) * u[i];
}

static void silu_gate_back_f32(float *dg, float *du, const float *dy, const float *g,
                               const float *u, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float s = sigmoid(g[i]);
        dg[i] += dy[i] * u[i] * s * (1.0f + g[i] * (1.0f - s));
        du[i] += dy[i] * g[i] * s;
    }
}

/* gelu(x) = x/2 (1 + tanh z) = x sigmoid(2 z),  z = sqrt(2/pi) (x + 0.044715 x^3). */
static const float GELU_A = 1.5957691216f; /* 2 sqrt(2/pi) */
static const float GELU_B = 1.5957691216f * 0.044715f;

static void gelu_f32(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = x[i] * sigmoid(x[i] * (GELU_A + GELU_B * x[i] * x[i]));
}

static void gelu_back_f32(float *dx, const float *dy, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float x2 = x[i] * x[i];
        float s = sigmoid(x[i] * (GELU_A + GELU_B * x2));
        dx[i] += dy[i] * s * (1.0f + x[i] * (1.0f - s) * (GELU_A + 3.0f * GELU_B * x2));
    }
}

static void adamw_f32(float *w, float *m, float *v, const float *g, const hg_adamw *o, size_t n)
{
    float inv1 = 1.0f / o->correction1, inv2 = 1.0f / o->correction2;
    for (size_t i = 0; i < n; i++) {
        float gi = g[i] * o->grad_scale;
        m[i] = o->beta1 * m[i] + (1.0f - o->beta1) * gi;
        v[i] = o->beta2 * v[i] + (1.0f - o->beta2) * (gi * gi);
        float step = m[i] * inv1 / (sqrtf(v[i] * inv2) + o->eps);
        w[i] -= o->lr * (step + o->weight_decay * w[i]);
    }
}

static int32_t peak_i8(size_t rounds)
{
    int8_t a[HG_PEAK_I8], b[HG_PEAK_I8];
    int32_t sum = 0;
    memset(a, 3, sizeof a);
    memset(b, 5, sizeof b);
    for (size_t r = 0; r < rounds; r++) {
        a[r % HG_PEAK_I8] = (int8_t)(r & 7); /* or all rounds could be taken for one */
        for (size_t i = 0; i < HG_PEAK_I8; i++) sum += a[i] * b[i];
    }
    return sum;
}

void hg_kernels_c(hg_kernels *k)
{
    k->peak_i8 = peak_i8;
    hg_gemm_c(k);
    hg_qgemm_c(k);
    hg_kv_c(k);
    k->dot_f32 = dot_f32;
    k->axpy_f32 = axpy_f32;
    k->thin_f32 = thin_f32;
    k->add_f32 = add_f32;
    k->scale_f32 = scale_f32;
    k->max_f32 = max_f32;
    k->block_max_f32 = block_max_f32;
    k->sum_f32 = sum_f32;
    k->exp_sum_f32 = exp_sum_f32;
    k->dot_f32_bf16 = dot_f32_bf16;
    k->axpy_f32_bf16 = axpy_f32_bf16;
    k->dot_f32_f16 = dot_f32_f16;
    k->axpy_f32_f16 = axpy_f32_f16;
    k->f32_to_bf16 = f32_to_bf16;
    k->bf16_to_f32 = bf16_to_f32;
    k->f32_to_f16 = f32_to_f16;
    k->f16_to_f32 = f16_to_f32;
    k->rms_norm_f32 = rms_norm_f32;
    k->rms_norm_back_f32 = rms_norm_back_f32;
    k->silu_gate_f32 = silu_gate_f32;
    k->silu_gate_back_f32 = silu_gate_back_f32;
    k->gelu_f32 = gelu_f32;
    k->gelu_back_f32 = gelu_back_f32;
    k->adamw_f32 = adamw_f32;
}
