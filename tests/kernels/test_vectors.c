/* Vector kernels of every instruction set against double precision, at every tail length, and
 * conversions against every 16-bit number. Buffers end where the vectors end. */
#include "data.h"
#include "kernels/scalar.h"

#include <math.h>

enum { LONGEST = 260 };

static float *copy_of(const float *x, size_t n)
{
    return typed_copy(x, n, HG_F32);
}

/* What one case works on: six vectors of n numbers, of which a test takes what it needs. */
typedef struct vectors {
    float *v[6];
    float *out;
    size_t n;
} vectors;

static vectors vectors_of(size_t n, double range, hg_rng *r)
{
    vectors s = {.n = n};
    for (int i = 0; i < 6; i++) s.v[i] = random_floats(n, range, r);
    s.out = random_floats(n, range, r);
    return s;
}

static void vectors_free(vectors *s)
{
    for (int i = 0; i < 6; i++) hg_free(s->v[i]);
    hg_free(s->out);
}

#define EACH_LENGTH(s, range, r)                                                   \
    for (size_t n_ = 0; n_ <= LONGEST; n_++)                                       \
        for (vectors s = vectors_of(n_, (range), (r)), *once_ = &s; once_ != NULL; \
             vectors_free(&s), once_ = NULL)

/* ---- sums ---- */

static void check_dot(float got, const float *a, const void *b, hg_type type, size_t n)
{
    double sum = 0, magnitude = 0;
    for (size_t i = 0; i < n; i++) {
        double p = (double)a[i] * (double)typed_at(b, type, i);
        sum += p;
        magnitude += fabs(p);
    }
    CHECK_NEAR(got, sum, (double)(n + 1) * U32 * magnitude);
}

TEST(dot_products_are_within_n_half_ulps_of_the_magnitude)
{
    hg_rng r;
    hg_rng_init(&r, 10, 0);
    hg_kernels k;
    EACH_ISA(k)
    EACH_LENGTH(s, 2.0, &r)
    {
        void *b = typed_copy(s.v[1], s.n, HG_BF16), *h = typed_copy(s.v[1], s.n, HG_F16);
        check_dot(k.dot_f32(s.v[0], s.v[1], s.n), s.v[0], s.v[1], HG_F32, s.n);
        check_dot(k.dot_f32_bf16(s.v[0], b, s.n), s.v[0], b, HG_BF16, s.n);
        check_dot(k.dot_f32_f16(s.v[0], h, s.n), s.v[0], h, HG_F16, s.n);
        hg_free(b);
        hg_free(h);
    }
}

TEST(sum_and_maximum_hold_at_every_length)
{
    hg_rng r;
    hg_rng_init(&r, 11, 0);
    hg_kernels k;
    EACH_ISA(k)
    EACH_LENGTH(s, 100.0, &r)
    {
        double sum = 0, magnitude = 0;
        float most = -INFINITY;
        for (size_t i = 0; i < s.n; i++) {
            sum += (double)s.v[0][i];
            magnitude += fabs((double)s.v[0][i]);
            if (s.v[0][i] > most) most = s.v[0][i];
        }
        CHECK_NEAR(k.sum_f32(s.v[0], s.n), sum, (double)(s.n + 1) * U32 * magnitude);
        CHECK(k.max_f32(s.v[0], s.n) == most);
    }
}

TEST(block_maxima_are_those_of_each_block_and_numbers_that_are_none_are_told)
{
    hg_rng r;
    hg_rng_init(&r, 12, 0);
    hg_kernels k;
    EACH_ISA(k)
    EACH_LENGTH(s, 100.0, &r)
    for (size_t block = 16; block <= 64; block += 24) {
        float max[LONGEST / 16 + 1];
        if (s.n > 0) s.v[0][s.n / 2] = -INFINITY;
        CHECK(k.block_max_f32(max, s.v[0], block, s.n));
        for (size_t at = 0; at < s.n; at += block)
            CHECK(max[at / block] == k.max_f32(s.v[0] + at, s.n - at < block ? s.n - at : block));
        for (size_t bad = 0; bad < s.n; bad += 7) {
            const float was = s.v[0][bad];
            s.v[0][bad] = bad % 2 == 0 ? NAN : INFINITY;
            CHECK(!k.block_max_f32(max, s.v[0], block, s.n));
            s.v[0][bad] = was;
        }
    }
}

/* ---- element by element ---- */

static void check_axpy(const float *y, const float *old, float a, const void *x, hg_type type,
                       size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double p = (double)a * (double)typed_at(x, type, i);
        CHECK_NEAR(y[i], (double)old[i] + p, 2 * U32 * (fabs((double)old[i]) + 2 * fabs(p)));
    }
}

TEST(axpy_adds_a_multiple_of_each_type)
{
    hg_rng r;
    hg_rng_init(&r, 12, 0);
    hg_kernels k;
    EACH_ISA(k)
    EACH_LENGTH(s, 3.0, &r)
    {
        void *b = typed_copy(s.v[1], s.n, HG_BF16), *h = typed_copy(s.v[1], s.n, HG_F16);
        float *y[3] = {copy_of(s.v[0], s.n), copy_of(s.v[0], s.n), copy_of(s.v[0], s.n)};
        k.axpy_f32(y[0], -1.7f, s.v[1], s.n);
        k.axpy_f32_bf16(y[1], -1.7f, b, s.n);
        k.axpy_f32_f16(y[2], -1.7f, h, s.n);
        check_axpy(y[0], s.v[0], -1.7f, s.v[1], HG_F32, s.n);
        check_axpy(y[1], s.v[0], -1.7f, b, HG_BF16, s.n);
        check_axpy(y[2], s.v[0], -1.7f, h, HG_F16, s.n);
        for (int i = 0; i < 3; i++) hg_free(y[i]);
        hg_free(b);
        hg_free(h);
    }
}

TEST(add_and_scale_round_once)
{
    hg_rng r;
    hg_rng_init(&r, 13, 0);
    hg_kernels k;
    EACH_ISA(k)
    EACH_LENGTH(s, 3.0, &r)
    {
        k.add_f32(s.out, s.v[0], s.v[1], s.n);
        for (size_t i = 0; i < s.n; i++) CHECK(s.out[i] == s.v[0][i] + s.v[1][i]);
        k.scale_f32(s.out, 0.3f, s.v[0], s.n);
        for (size_t i = 0; i < s.n; i++) CHECK(s.out[i] == 0.3f * s.v[0][i]);
    }
}

TEST(exp_is_within_2_to_the_minus_21_and_zero_far_below)
{
    hg_rng r;
    hg_rng_init(&r, 14, 0);
    hg_kernels k;
    EACH_ISA(k)
    EACH_LENGTH(s, 60.0, &r)
    {
        double sum = 0;
        float max = 60.0f; /* differences from -120 to 0 */
        float got = k.exp_sum_f32(s.out, s.v[0], max, s.n);
        for (size_t i = 0; i < s.n; i++) {
            float d = s.v[0][i] - max;
            double e = exp((double)d);
            if (d < -87.0f)
                CHECK(s.out[i] == 0.0f);
            else
                CHECK_NEAR(s.out[i], e, 0x1p-21 * e);
            sum += (double)s.out[i];
        }
        CHECK_NEAR(got, sum, (double)(s.n + 1) * U32 * sum);
    }
}

TEST(exp_of_the_largest_is_one_and_a_nan_stays)
{
    hg_kernels k;
    EACH_ISA(k)
    {
        float x[3] = {5.0f, NAN, -INFINITY}, y[3] = {0};
        float sum = k.exp_sum_f32(y, x, 5.0f, 3);
        CHECK(y[0] == 1.0f);
        CHECK(isnan(y[1]) && isnan(sum));
        CHECK(y[2] == 0.0f);
    }
}

/* ---- conversions ---- */

TEST(every_16_bit_number_survives_the_way_through_float32)
{
    enum { ALL = 1 << 16 };
    uint16_t *all = hg_alloc(ALL, sizeof *all), *back = hg_alloc(ALL, sizeof *back);
    float *wide = hg_alloc(ALL, sizeof *wide);
    CHECK(all != NULL && back != NULL && wide != NULL);
    for (unsigned i = 0; i < ALL; i++) all[i] = (uint16_t)i;
    hg_kernels k;
    EACH_ISA(k)
    for (int is_f16 = 0; is_f16 < 2; is_f16++) {
        (is_f16 ? k.f16_to_f32 : k.bf16_to_f32)(wide, all, ALL);
        (is_f16 ? k.f32_to_f16 : k.f32_to_bf16)(back, wide, ALL);
        for (unsigned i = 0; i < ALL; i++) {
            int frac = is_f16 ? 10 : 7;
            unsigned exponent = (i & 0x7fff) >> frac, most = is_f16 ? 0x1f : 0xff;
            bool is_special = exponent == most;
            unsigned m = i & ((1u << frac) - 1);
            double value = is_special      ? (double)INFINITY
                           : exponent == 0 ? ldexp((double)m, (is_f16 ? -14 : -126) - frac)
                                           : ldexp((double)(m | 1u << frac),
                                                   (int)exponent - (is_f16 ? 15 : 127) - frac);
            if (i & 0x8000) value = -value;
            if (is_special && m != 0) {
                CHECK(isnan(wide[i]) && ((back[i] & 0x7fffu) >> frac) == most);
                CHECK((back[i] & ((1u << frac) - 1)) != 0);
                continue;
            }
            CHECK((double)wide[i] == value && (signbit(wide[i]) != 0) == (signbit(value) != 0));
            CHECK_EQ(back[i], i);
        }
    }
    hg_free(all);
    hg_free(back);
    hg_free(wide);
}

/* The 16-bit number nearest to x, by search over its two neighbours in double precision. */
static void check_nearest(float x, uint16_t got, bool is_f16)
{
    double g = is_f16 ? (double)f16_to_float(got) : (double)bf16_to_float(got);
    double off = fabs(g - (double)x);
    for (int step = -1; step <= 1; step += 2) {
        uint16_t other = (uint16_t)(got + step);
        double o = is_f16 ? (double)f16_to_float(other) : (double)bf16_to_float(other);
        if (!isfinite(o) || (signbit(o) != 0) != (signbit(g) != 0)) continue;
        double away = fabs(o - (double)x);
        if (away < off || (away == off && (got & 1) != 0))
            test_fail(__FILE__, __LINE__, "%.9g became %.9g, but %.9g is nearer or even", (double)x,
                      g, o);
    }
}

TEST(narrowing_rounds_to_the_nearest_and_ties_to_even)
{
    enum { N = 40000 };
    hg_rng r;
    hg_rng_init(&r, 15, 0);
    float *x = hg_alloc(N, sizeof *x);
    uint16_t *y = hg_alloc(N, sizeof *y);
    CHECK(x != NULL && y != NULL);
    for (int is_f16 = 0; is_f16 < 2; is_f16++) {
        /* Exponents over the format's range; half of the numbers are ties or next to one. */
        for (size_t i = 0; i < N; i++) {
            int exponent =
                is_f16 ? -26 + (int)hg_rng_below(&r, 41) : -140 + (int)hg_rng_below(&r, 266);
            float v = (float)ldexp(1 + hg_rng_unit(&r), exponent);
            uint32_t u = bits_of(v);
            unsigned cut = is_f16 ? 13 : 16;
            if (i & 1)
                u = (u >> cut << cut) + (1u << (cut - 1)) + (uint32_t)hg_rng_below(&r, 3) - 1;
            x[i] = float_of(u);
            if (i & 2) x[i] = -x[i];
        }
        hg_kernels k;
        EACH_ISA(k)
        {
            (is_f16 ? k.f32_to_f16 : k.f32_to_bf16)(y, x, N);
            for (size_t i = 0; i < N; i++) check_nearest(x[i], y[i], is_f16);
        }
    }
    hg_free(x);
    hg_free(y);
}

TEST(too_large_numbers_become_infinite_and_tails_convert_alike)
{
    hg_rng r;
    hg_rng_init(&r, 16, 0);
    hg_kernels k;
    EACH_ISA(k)
    {
        float big[2] = {65519.99f, 65520.0f};
        hg_f16 h[2];
        k.f32_to_f16(h, big, 2);
        CHECK_EQ(h[0], 0x7bff);
        CHECK_EQ(h[1], 0x7c00);
        float huge[2] = {3.4028235e38f, 3.38e38f};
        hg_bf16 b[2];
        k.f32_to_bf16(b, huge, 2);
        CHECK_EQ(b[0], 0x7f80);
        CHECK_EQ(b[1], 0x7f7e);
        EACH_LENGTH(s, 4.0, &r)
        {
            hg_bf16 *nb = hg_alloc(s.n, sizeof *nb);
            hg_f16 *nh = hg_alloc(s.n, sizeof *nh);
            CHECK(nb != NULL && nh != NULL);
            k.f32_to_bf16(nb, s.v[0], s.n);
            k.f32_to_f16(nh, s.v[0], s.n);
            for (size_t i = 0; i < s.n; i++) CHECK_EQ(nb[i], bf16_of(s.v[0][i]));
            for (size_t i = 0; i < s.n; i++) CHECK_EQ(nh[i], f16_of(s.v[0][i]));
            k.bf16_to_f32(s.out, nb, s.n);
            for (size_t i = 0; i < s.n; i++) CHECK(s.out[i] == bf16_to_float(nb[i]));
            k.f16_to_f32(s.out, nh, s.n);
            for (size_t i = 0; i < s.n; i++) CHECK(s.out[i] == f16_to_float(nh[i]));
            hg_free(nb);
            hg_free(nh);
        }
    }
}

/* ---- norms ---- */

/* The mean square is off by n + 2 half ulps, its root by half of that. */
static double rms_bound(size_t n)
{
    return (double)(n / 2 + 6) * U32;
}

static double rms_of(const float *x, size_t n, double eps)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return 1 / sqrt(sum / (double)n + eps);
}

TEST(rms_norm_holds_with_and_without_weights)
{
    hg_rng r;
    hg_rng_init(&r, 17, 0);
    hg_kernels k;
    EACH_ISA(k)
    EACH_LENGTH(s, 2.0, &r)
    for (int is_weighted = 0; is_weighted < 2 && s.n > 0; is_weighted++) {
        const float *w = is_weighted ? s.v[1] : NULL;
        double want = rms_of(s.v[0], s.n, 1e-5);
        float got = k.rms_norm_f32(s.out, s.v[0], w, 1e-5f, s.n);
        CHECK_NEAR(got, want, rms_bound(s.n) * want);
        for (size_t i = 0; i < s.n; i++) {
            double y = (double)s.v[0][i] * want * (w != NULL ? (double)w[i] : 1.0);
            CHECK_NEAR(s.out[i], y, rms_bound(s.n) * fabs(y));
        }
    }
}

TEST(rms_norms_backward_adds_both_gradients)
{
    hg_rng r;
    hg_rng_init(&r, 18, 0);
    hg_kernels k;
    EACH_ISA(k)
    EACH_LENGTH(s, 2.0, &r)
    for (int is_weighted = 0; is_weighted < 2 && s.n > 0; is_weighted++) {
        const float *x = s.v[0], *dy = s.v[2], *w = is_weighted ? s.v[1] : NULL;
        float *dx = copy_of(s.v[3], s.n), *dw = is_weighted ? copy_of(s.v[4], s.n) : NULL;
        double rms = (double)(float)rms_of(x, s.n, 1e-5), hx = 0, magnitude = 0;
        k.rms_norm_back_f32(dx, dw, dy, x, w, (float)rms, s.n);
        for (size_t i = 0; i < s.n; i++) {
            double p = (double)dy[i] * (w != NULL ? (double)w[i] : 1.0) * (double)x[i];
            hx += p;
            magnitude += fabs(p);
        }
        double c = rms * rms * rms / (double)s.n;
        for (size_t i = 0; i < s.n; i++) {
            double h = rms * (double)dy[i] * (w != NULL ? (double)w[i] : 1.0);
            double xi = (double)x[i], old = (double)s.v[3][i];
            double size = fabs(h) + fabs(old) + fabs(xi) * c * fabs(hx);
            double sum_off = (double)(s.n + 6) * U32 * c * magnitude * fabs(xi);
            CHECK_NEAR(dx[i], old + h - xi * c * hx, 6 * U32 * size + sum_off);
            if (dw == NULL) continue;
            double g = (double)dy[i] * xi * rms, old_w = (double)s.v[4][i];
            CHECK_NEAR(dw[i], old_w + g, 4 * U32 * (fabs(g) + fabs(old_w)));
        }
        hg_free(dx);
        hg_free(dw);
    }
}

/* ---- gates ---- */

/* exp's 2^-21 and a few roundings; where x s(x) (1 - s(x)) is large the argument's own rounding is
 * multiplied by it, which stays below 0.28 |x|. */
static const double GATE = 0x1p-20;

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

TEST(silu_gate_and_its_backward_are_within_2_to_the_minus_20)
{
    hg_rng r;
    hg_rng_init(&r, 19, 0);
    hg_kernels k;
    EACH_ISA(k)
    EACH_LENGTH(s, 20.0, &r)
    {
        const float *g = s.v[0], *u = s.v[1], *dy = s.v[2];
        float *dg = copy_of(s.v[3], s.n), *du = copy_of(s.v[4], s.n);
        k.silu_gate_f32(s.out, g, u, s.n);
        k.silu_gate_back_f32(dg, du, dy, g, u, s.n);
        for (size_t i = 0; i < s.n; i++) {
            double x = (double)g[i], up = (double)u[i], d = (double)dy[i], sg = sigmoid(x);
            CHECK_NEAR(s.out[i], x * sg * up, GATE * fabs(x * sg * up));
            double to_u = d * x * sg, to_g = d * up * sg * (1 + x * (1 - sg));
            double size = fabs(d * up) * sg * (1 + fabs(x));
            CHECK_NEAR(du[i], (double)s.v[4][i] + to_u,
                       GATE * (fabs(to_u) + fabs((double)s.v[4][i])));
            CHECK_NEAR(dg[i], (double)s.v[3][i] + to_g, GATE * (size + fabs((double)s.v[3][i])));
        }
        hg_free(dg);
        hg_free(du);
    }
}

TEST(gelu_and_its_backward_are_within_2_to_the_minus_20_of_x)
{
    hg_rng r;
    hg_rng_init(&r, 20, 0);
    hg_kernels k;
    const double root = sqrt(2 / acos(-1.0));
    EACH_ISA(k)
    EACH_LENGTH(s, 7.0, &r)
    {
        float *dx = copy_of(s.v[3], s.n);
        k.gelu_f32(s.out, s.v[0], s.n);
        k.gelu_back_f32(dx, s.v[1], s.v[0], s.n);
        for (size_t i = 0; i < s.n; i++) {
            double x = (double)s.v[0][i], d = (double)s.v[1][i], old = (double)s.v[3][i];
            double t = tanh(root * (x + 0.044715 * x * x * x));
            CHECK_NEAR(s.out[i], 0.5 * x * (1 + t), GATE * fabs(x));
            double slope = 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * root * (1 + 0.134145 * x * x);
            CHECK_NEAR(dx[i], old + d * slope, 2 * GATE * (fabs(d) * (1 + fabs(x)) + fabs(old)));
        }
        hg_free(dx);
    }
}

TEST(gates_saturate_and_hand_on_nan)
{
    hg_kernels k;
    EACH_ISA(k)
    {
        const float x[4] = {-200.0f, 200.0f, NAN, 0.0f}, one[4] = {1, 1, 1, 1};
        float y[4];
        k.silu_gate_f32(y, x, one, 4);
        CHECK(fabsf(y[0]) < 1e-30f && y[1] == 200.0f && isnan(y[2]) && y[3] == 0.0f);
        k.gelu_f32(y, x, 4);
        CHECK(fabsf(y[0]) < 1e-30f && y[1] == 200.0f && isnan(y[2]) && y[3] == 0.0f);
    }
}

/* ---- AdamW ---- */

TEST(a_step_of_adamw_follows_the_paper)
{
    hg_rng r;
    hg_rng_init(&r, 21, 0);
    hg_kernels k;
    const hg_adamw o = {.lr = 0.01f,
                        .beta1 = 0.9f,
                        .beta2 = 0.95f,
                        .eps = 1e-8f,
                        .weight_decay = 0.1f,
                        .correction1 = 0.271f,
                        .correction2 = 0.142625f,
                        .grad_scale = 0.5f};
    EACH_ISA(k)
    EACH_LENGTH(s, 1.0, &r)
    {
        for (size_t i = 0; i < s.n; i++) s.v[2][i] = fabsf(s.v[2][i]);
        float *w = copy_of(s.v[0], s.n), *m = copy_of(s.v[1], s.n), *v = copy_of(s.v[2], s.n);
        k.adamw_f32(w, m, v, s.v[3], &o, s.n);
        for (size_t i = 0; i < s.n; i++) {
            double g = (double)s.v[3][i] * (double)o.grad_scale, w0 = (double)s.v[0][i];
            double b1 = (double)o.beta1, b2 = (double)o.beta2;
            double m0 = (double)s.v[1][i], v0 = (double)s.v[2][i];
            double m1 = b1 * m0 + (1 - b1) * g, v1 = b2 * v0 + (1 - b2) * g * g;
            double m_size = b1 * fabs(m0) + (1 - b1) * fabs(g);
            CHECK_NEAR(m[i], m1, 4 * U32 * m_size);
            CHECK_NEAR(v[i], v1, 5 * U32 * v1);
            double root = sqrt(v1 / (double)o.correction2) + (double)o.eps;
            double step = m1 / (double)o.correction1 / root;
            double decay = (double)o.weight_decay * w0, lr = (double)o.lr;
            double off = lr * 16 * U32 * (m_size / (double)o.correction1 / root + fabs(decay));
            CHECK_NEAR(w[i], w0 - lr * (step + decay), off + 2 * U32 * fabs(w0));
        }
        hg_free(w);
        hg_free(m);
        hg_free(v);
    }
}

/* ---- the table ---- */

TEST(the_table_falls_back_to_what_the_machine_has)
{
    hg_kernels k;
    hg_kernels_init(&k, HG_N_ISA);
    CHECK_EQ(k.isa, hg_isa_detect());
    hg_kernels_init(&k, HG_ISA_C);
    CHECK_EQ(k.isa, HG_ISA_C);
}

TEST(names_of_instruction_sets_and_types_are_stable)
{
    hg_isa isa = HG_ISA_C;
    CHECK(hg_isa_parse("avx512", &isa) && isa == HG_ISA_AVX512);
    CHECK(hg_isa_parse("amx", &isa) && isa == HG_ISA_AMX);
    CHECK(!hg_isa_parse("sse9", &isa));
    CHECK_STR(hg_isa_name(HG_ISA_AVX2), "avx2");
    CHECK_STR(hg_type_name(HG_BF16), "bf16");
    CHECK_EQ(hg_type_size(HG_F16), 2);
}
