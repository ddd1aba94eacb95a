/* The vector kernels, once for every set of vector instructions. The file that includes this
 * defines a vector of floats and its few operations: vec, WIDTH, v_set, v_add, v_sub, v_mul, v_div,
 * v_fma (a * b + c), v_sqrt, v_min, v_max (the second operand where one is NaN), v_round, v_pow2
 * (2^n of whole n in
 * [-126, 127]), v_zero_below, v_sum, v_largest; and loads and stores of the first `n` lanes of each
 * type, where n may be WIDTH or more and lanes beyond it are zero and not touched in memory.
 *
 * Loops take WIDTH elements at a time, the last step fewer; the order of a sum depends on n alone.
 */
#ifndef HG_KERNELS_VECTOR_KERNELS_H
#define HG_KERNELS_VECTOR_KERNELS_H

#include <float.h>
#include <math.h>

#define EACH_STEP(i, n) for (size_t i = 0; i < (n); i += WIDTH)

/* ---- functions of one vector ---- */

/* exp(x) = 2^k exp(r), x = k ln 2 + r, |r| <= ln 2 / 2. exp(r) is 1 + r + r^2 q(r) with q fitted by
 * least squares of the relative error (2^-28); rounding brings it to 2^-22. ln 2 is taken off in
 * two parts, the first short enough that k times it is exact. x is held within [-87, 88]; NaN
 * stays. */
INLINE vec v_exp(vec x)
{
    x = v_min(v_set(88.0f), v_max(v_set(-87.0f), x));
    vec k = v_round(v_mul(x, v_set(0x1.715476p0f)));
    vec r = v_fma(k, v_set(-0x1.62e4p-1f), x);
    r = v_fma(k, v_set(-0x1.7f7d1cp-20f), r);
    vec q = v_set(0x1.687bf6p-10f);
    q = v_fma(q, r, v_set(0x1.123b9ep-7f));
    q = v_fma(q, r, v_set(0x1.555b58p-5f));
    q = v_fma(q, r, v_set(0x1.55548ep-3f));
    q = v_fma(q, r, v_set(0x1.fffff8p-2f));
    vec e = v_fma(v_mul(r, r), q, v_add(r, v_set(1.0f)));
    return v_mul(e, v_pow2(k));
}

INLINE vec v_sigmoid(vec x)
{
    return v_div(v_set(1.0f), v_add(v_set(1.0f), v_exp(v_sub(v_set(0.0f), x))));
}

/* ---- sums of products ---- */

/* Four sums run side by side, so that an addition need not wait for the one before. */
#define DOT(name, type_b, load_b)                                                                 \
    static float name(const float *a, const type_b *b, size_t n)                                  \
    {                                                                                             \
        vec s[4] = {v_set(0), v_set(0), v_set(0), v_set(0)};                                      \
        size_t i = 0;                                                                             \
        for (; i + 4 * WIDTH <= n; i += 4 * WIDTH)                                                \
            for (size_t j = 0; j < 4; j++)                                                        \
                s[j] = v_fma(v_load(a + i + j * WIDTH, WIDTH), load_b(b + i + j * WIDTH, WIDTH),  \
                             s[j]);                                                               \
        for (; i < n; i += WIDTH) s[0] = v_fma(v_load(a + i, n - i), load_b(b + i, n - i), s[0]); \
        return v_sum(v_add(v_add(s[0], s[1]), v_add(s[2], s[3])));                                \
    }

#define AXPY(name, type_x, load_x)                                                          \
    static void name(float *y, float a, const type_x *x, size_t n)                          \
    {                                                                                       \
        EACH_STEP(i, n)                                                                     \
        v_store(y + i, v_fma(v_set(a), load_x(x + i, n - i), v_load(y + i, n - i)), n - i); \
    }

DOT(dot_f32, float, v_load)
DOT(dot_f32_bf16, hg_bf16, v_load_bf16)
DOT(dot_f32_f16, hg_f16, v_load_f16)
AXPY(axpy_f32, float, v_load)
AXPY(axpy_f32_bf16, hg_bf16, v_load_bf16)
AXPY(axpy_f32_f16, hg_f16, v_load_f16)

#undef DOT
#undef AXPY

static float sum_f32(const float *x, size_t n)
{
    vec s[4] = {v_set(0), v_set(0), v_set(0), v_set(0)};
    size_t i = 0;
    for (; i + 4 * WIDTH <= n; i += 4 * WIDTH)
        for (size_t j = 0; j < 4; j++) s[j] = v_add(s[j], v_load(x + i + j * WIDTH, WIDTH));
    for (; i < n; i += WIDTH) s[0] = v_add(s[0], v_load(x + i, n - i));
    return v_sum(v_add(v_add(s[0], s[1]), v_add(s[2], s[3])));
}

/* ---- thin matrices ---- */

/* Rows of y whose sums stay in registers. Where rows of x are columns of a matrix, so many that a
 * line of it is used up at once; else few, because lines a page apart share their places in the L1
 * cache. */
enum { THIN_VECS = HG_THIN / WIDTH, THIN_DOWN = WIDTH >= 16 ? 16 : 4, THIN_ALONG = WIDTH / 2 };
enum { THIN_AHEAD = 16 }; /* rows of a matrix, which no processor guesses a page away */

INLINE void thin_block(float *restrict y, const float *restrict x, const hg_thin *t,
                       const size_t rows, const bool is_down)
{
    const size_t row_stride = is_down ? 1 : t->row_stride, k_stride = is_down ? t->k_stride : 1;
    const size_t depth = t->k, ldb = t->ldb, ldy = t->ldy;
    const float *restrict b = t->b;
    vec s[THIN_DOWN][THIN_VECS];
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (size_t v = 0; v < THIN_VECS; v++) s[i][v] = v_load(y + i * ldy + v * WIDTH, WIDTH);
    for (size_t k = 0; k < depth; k++) {
        if (is_down) __builtin_prefetch(x + (k + THIN_AHEAD) * k_stride);
#pragma GCC unroll 4
        for (size_t v = 0; v < THIN_VECS; v++) {
            const vec bv = v_load(b + k * ldb + v * WIDTH, WIDTH);
#pragma GCC unroll 16
            for (size_t i = 0; i < rows; i++)
                s[i][v] = v_fma(v_set(x[i * row_stride + k * k_stride]), bv, s[i][v]);
        }
    }
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (size_t v = 0; v < THIN_VECS; v++) v_store(y + i * ldy + v * WIDTH, s[i][v], WIDTH);
}

static void thin_f32(float *y, const float *x, const hg_thin *t, size_t n)
{
    const size_t step = t->row_stride;
    size_t i = 0;
    if (step == 1)
        for (; i + THIN_DOWN <= n; i += THIN_DOWN)
            thin_block(y + i * t->ldy, x + i, t, THIN_DOWN, true);
    else
        for (; i + THIN_ALONG <= n; i += THIN_ALONG)
            thin_block(y + i * t->ldy, x + i * step, t, THIN_ALONG, false);
    for (; i < n; i++)
        if (step == 1)
            thin_block(y + i * t->ldy, x + i, t, 1, true);
        else
            thin_block(y + i * t->ldy, x + i * step, t, 1, false);
}

/* ---- element by element ---- */

static void add_f32(float *y, const float *a, const float *b, size_t n)
{
    EACH_STEP(i, n) v_store(y + i, v_add(v_load(a + i, n - i), v_load(b + i, n - i)), n - i);
}

static void scale_f32(float *y, float a, const float *x, size_t n)
{
    EACH_STEP(i, n) v_store(y + i, v_mul(v_set(a), v_load(x + i, n - i)), n - i);
}

static float max_f32(const float *x, size_t n)
{
    vec m = v_set(-INFINITY);
    size_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH) m = v_max(v_load(x + i, WIDTH), m);
    float most = v_largest(m);
    for (; i < n; i++) most = x[i] > most ? x[i] : most;
    return most;
}

/* NaN and +infinity turn a sum of zeros into NaN; -infinity is first brought to -FLT_MAX. */
static bool block_max_f32(float *max, const float *x, size_t block, size_t n)
{
    vec bad = v_set(0);
    for (size_t at = 0; at < n; at += block) {
        const size_t end = n - at < block ? n : at + block;
        vec m = v_set(-INFINITY);
        size_t i = at;
        for (; i + WIDTH <= end; i += WIDTH) {
            const vec v = v_load(x + i, WIDTH);
            m = v_max(v, m);
            bad = v_fma(v_max(v_set(-FLT_MAX), v), v_set(0), bad);
        }
        float most = v_largest(m);
        for (; i < end; i++) {
            most = x[i] > most ? x[i] : most;
            bad = v_add(bad, v_set(x[i] <= FLT_MAX ? 0.0f : NAN));
        }
        *max++ = most;
    }
    return v_sum(bad) == 0.0f;
}

static float exp_sum_f32(float *y, const float *x, float max, size_t n)
{
    vec s = v_set(0);
    EACH_STEP(i, n)
    {
        vec d = v_sub(v_load(x + i, n - i), v_set(max));
        vec e = v_first(v_zero_below(v_exp(d), d, v_set(-87.0f)), n - i);
        v_store(y + i, e, n - i);
        s = v_add(s, e);
    }
    return v_sum(s);
}

/* ---- conversions ---- */

static void f32_to_bf16(hg_bf16 *y, const float *x, size_t n)
{
    EACH_STEP(i, n) v_store_bf16(y + i, v_load(x + i, n - i), n - i);
}

static void bf16_to_f32(float *y, const hg_bf16 *x, size_t n)
{
    EACH_STEP(i, n) v_store(y + i, v_load_bf16(x + i, n - i), n - i);
}

static void f32_to_f16(hg_f16 *y, const float *x, size_t n)
{
    EACH_STEP(i, n) v_store_f16(y + i, v_load(x + i, n - i), n - i);
}

static void f16_to_f32(float *y, const hg_f16 *x, size_t n)
{
    EACH_STEP(i, n) v_store(y + i, v_load_f16(x + i, n - i), n - i);
}

/* ---- norms ---- */

INLINE vec weight_at(const float *w, size_t i, size_t left)
{
    return w != NULL ? v_load(w + i, left) : v_set(1.0f);
}

/* y = x / rms(x) * w   (Zhang and Sennrich 2019) */
static float rms_norm_f32(float *y, const float *x, const float *w, float eps, size_t n)
{
    float r = 1.0f / sqrtf(dot_f32(x, x, n) / (float)n + eps);
    EACH_STEP(i, n)
    {
        vec xr = v_mul(v_load(x + i, n - i), v_set(r));
        v_store(y + i, w != NULL ? v_mul(xr, v_load(w + i, n - i)) : xr, n - i);
    }
    return r;
}

/* With h = dy w:  dx = r h - x r^3 <h, x> / n,  dw = dy x r. */
static void rms_norm_back_f32(float *dx, float *dw, const float *dy, const float *x, const float *w,
                              float r, size_t n)
{
    vec s = v_set(0);
    EACH_STEP(i, n)
    {
        vec h = v_mul(v_load(dy + i, n - i), weight_at(w, i, n - i));
        s = v_fma(h, v_load(x + i, n - i), s);
    }
    vec c = v_set(-(r * r * r * v_sum(s) / (float)n)), vr = v_set(r);
    EACH_STEP(i, n)
    {
        vec d = v_load(dy + i, n - i), xi = v_load(x + i, n - i);
        vec sum = v_fma(v_mul(vr, d), weight_at(w, i, n - i), v_load(dx + i, n - i));
        v_store(dx + i, v_fma(c, xi, sum), n - i);
        if (dw != NULL) v_store(dw + i, v_fma(v_mul(d, xi), vr, v_load(dw + i, n - i)), n - i);
    }
}

/* ---- gates ---- */

static void silu_gate_f32(float *y, const float *g, const float *u, size_t n)
{
    EACH_STEP(i, n)
    {
        vec gi = v_load(g + i, n - i);
        v_store(y + i, v_mul(v_mul(gi, v_sigmoid(gi)), v_load(u + i, n - i)), n - i);
    }
}

static void silu_gate_back_f32(float *dg, float *du, const float *dy, const float *g,
                               const float *u, size_t n)
{
    const vec one = v_set(1.0f);
    EACH_STEP(i, n)
    {
        vec gi = v_load(g + i, n - i), d = v_load(dy + i, n - i), s = v_sigmoid(gi);
        vec slope = v_mul(s, v_fma(gi, v_sub(one, s), one));
        vec du_i = v_fma(v_mul(d, gi), s, v_load(du + i, n - i));
        vec dg_i = v_fma(v_mul(d, v_load(u + i, n - i)), slope, v_load(dg + i, n - i));
        v_store(du + i, du_i, n - i);
        v_store(dg + i, dg_i, n - i);
    }
}

/* gelu(x) = x/2 (1 + tanh z) = x sigmoid(2 z),  z = sqrt(2/pi) (x + 0.044715 x^3). */
#define GELU_A 1.5957691216f /* 2 sqrt(2/pi) */
#define GELU_B (1.5957691216f * 0.044715f)

static void gelu_f32(float *y, const float *x, size_t n)
{
    EACH_STEP(i, n)
    {
        vec xi = v_load(x + i, n - i);
        vec z2 = v_mul(xi, v_fma(v_mul(xi, xi), v_set(GELU_B), v_set(GELU_A)));
        v_store(y + i, v_mul(xi, v_sigmoid(z2)), n - i);
    }
}

static void gelu_back_f32(float *dx, const float *dy, const float *x, size_t n)
{
    const vec one = v_set(1.0f), a = v_set(GELU_A), b = v_set(GELU_B);
    EACH_STEP(i, n)
    {
        vec xi = v_load(x + i, n - i), x2 = v_mul(xi, xi);
        vec s = v_sigmoid(v_mul(xi, v_fma(x2, b, a)));
        vec dz2 = v_fma(v_mul(x2, v_set(3.0f)), b, a);
        vec slope = v_mul(s, v_fma(v_mul(xi, v_sub(one, s)), dz2, one));
        v_store(dx + i, v_fma(v_load(dy + i, n - i), slope, v_load(dx + i, n - i)), n - i);
    }
}

/* ---- AdamW ---- */

static void adamw_f32(float *w, float *m, float *v, const float *g, const hg_adamw *o, size_t n)
{
    const vec scale = v_set(o->grad_scale), b1 = v_set(o->beta1), b2 = v_set(o->beta2);
    const vec c1 = v_set(1.0f - o->beta1), c2 = v_set(1.0f - o->beta2), eps = v_set(o->eps);
    const vec inv1 = v_set(1.0f / o->correction1), inv2 = v_set(1.0f / o->correction2);
    const vec decay = v_set(o->weight_decay), rate = v_set(-o->lr);
    EACH_STEP(i, n)
    {
        vec gi = v_mul(v_load(g + i, n - i), scale), wi = v_load(w + i, n - i);
        vec mi = v_fma(b1, v_load(m + i, n - i), v_mul(c1, gi));
        vec vi = v_fma(b2, v_load(v + i, n - i), v_mul(c2, v_mul(gi, gi)));
        vec step = v_div(v_mul(mi, inv1), v_add(v_sqrt(v_mul(vi, inv2)), eps));
        v_store(m + i, mi, n - i);
        v_store(v + i, vi, n - i);
        v_store(w + i, v_fma(rate, v_fma(decay, wi, step), wi), n - i);
    }
}

static void fill_vector_kernels(hg_kernels *k)
{
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

#endif
