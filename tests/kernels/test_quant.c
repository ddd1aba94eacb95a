/* Products with weights in blocks, on every instruction set: against double precision, with a bound
 * for their float sums alone and one for the rounding of activations; and bit for bit the same
 * whatever the rows beside and the threads. */
#include "data.h"
#include "kernels/qgemm.h"
#include "kernels/quant.h"
#include "kernels/scalar.h"
#include "tensor/matmul.h"

#include <math.h>
#include <string.h>

enum { K = 512, N = 75, MAX_M = 19 };

static const hg_type types[] = {HG_Q4_0, HG_Q4_1, HG_Q5_0, HG_Q5_1,   HG_Q8_0,   HG_Q2_K, HG_Q3_K,
                                HG_Q4_K, HG_Q5_K, HG_Q6_K, HG_IQ4_NL, HG_IQ4_XS, HG_MXFP4};
enum { N_TYPES = sizeof types / sizeof types[0] };

/* ---- weights ---- */

typedef struct weights {
    hg_matrix m;
    void *data;
    float *w, *min; /* [N][K] what the blocks stand for, and that with all codes zero */
} weights;

static void set_half(void *at, double range, hg_rng *r)
{
    hg_f16 h = f16_of((float)((hg_rng_unit(r) - 0.3) * range));
    memcpy(at, &h, sizeof h);
}

/* Sets the float16 members of a random block to sane values. */
static void tame(unsigned char *b, hg_type t, hg_rng *r)
{
    switch (t) {
    case HG_Q4_1:
    case HG_Q5_1:
        set_half(b, 0.1, r);
        set_half(b + 2, 1.0, r);
        break;
    case HG_Q2_K:
        set_half(b + 80, 0.02, r);
        set_half(b + 82, 0.02, r);
        break;
    case HG_Q4_K:
    case HG_Q5_K:
        set_half(b, 0.01, r);
        set_half(b + 2, 0.01, r);
        break;
    case HG_Q3_K:
        set_half(b + 108, 0.01, r);
        break;
    case HG_Q6_K:
        set_half(b + 208, 0.001, r);
        break;
    case HG_MXFP4:
        b[0] = (unsigned char)(118 + hg_rng_below(r, 8));
        break;
    default:
        set_half(b, 0.05, r);
        break;
    }
}

/* Where a type with minima has its codes. */
static void clear_codes(unsigned char *b, hg_type t)
{
    size_t from = t == HG_Q2_K || t == HG_Q4_K || t == HG_Q5_K ? 16 : 4;
    memset(b + from, 0, t == HG_Q2_K ? 64 : hg_type_block_size(t) - from);
}

static weights random_weights(hg_type t, hg_rng *r)
{
    size_t block = hg_type_block(t), size = hg_type_block_size(t), n = N * K / block;
    weights o = {.data = hg_alloc(n, size), .w = hg_alloc(N * K, 4), .min = hg_alloc(N * K, 4)};
    CHECK(o.data != NULL && o.w != NULL && o.min != NULL);
    unsigned char *b = o.data;
    for (size_t i = 0; i < n * size; i++) b[i] = (unsigned char)hg_rng_below(r, 256);
    for (size_t i = 0; i < n; i++) tame(b + i * size, t, r);
    hg_blocks_to_f32(o.w, o.data, t, N * K);
    bool has_min = t == HG_Q4_1 || t == HG_Q5_1 || t == HG_Q2_K || t == HG_Q4_K || t == HG_Q5_K;
    if (has_min) {
        unsigned char *copy = hg_alloc(n, size);
        CHECK(copy != NULL);
        memcpy(copy, o.data, n * size);
        for (size_t i = 0; i < n; i++) clear_codes(copy + i * size, t);
        hg_blocks_to_f32(o.min, copy, t, N * K);
        hg_free(copy);
    }
    o.m = (hg_matrix){o.data, t, K, 1};
    return o;
}

static weights plain_weights(hg_type t, hg_rng *r)
{
    float *x = random_floats(N * K, 1.0, r);
    weights o = {.data = typed_copy(x, N * K, t)};
    o.m = (hg_matrix){o.data, t, K, 1};
    hg_free(x);
    return o;
}

static void free_weights(weights *w)
{
    hg_free(w->data);
    hg_free(w->w);
    hg_free(w->min);
}

static void product(hg_runtime *rt, const weights *w, const float *x, size_t m, float *y)
{
    hg_err e = {0};
    hg_arena mem;
    hg_arena_init(&mem, 0);
    void *packed = hg_arena_raw(&mem, hg_packed_size(rt, w->m.type, N, K), 1);
    CHECK(packed != NULL);
    hg_pack_weight(rt, w->m.type, packed, &w->m, N, K);
    CHECK_OK(hg_matmul_packed(rt, w->m.type, y, x, packed, m, N, K, &e), e);
    hg_arena_free(&mem);
}

static hg_runtime *runtime(int threads, int isa)
{
    hg_err e = {0};
    hg_runtime *rt = NULL;
    CHECK_OK(hg_runtime_new(&rt, threads, (hg_isa)isa, &e), e);
    return rt;
}

/* ---- against double precision ---- */

/* Checks y = x W^T. The integers of a granule are exact, so the float32 sum has one or two steps a
 * granule, of at least 16 weights, and each term three roundings; `step` [rows][K] is how far an
 * activation may have been rounded. */
static void check_values(const weights *w, const float *x, const float *step, size_t m,
                         const float *y)
{
    const double steps = 2.0 * K / 16 + 6;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < N; j++) {
            double sum = 0, magnitude = 0, rounding = 0;
            for (size_t k = 0; k < K; k++) {
                double a = (double)x[i * K + k], v = (double)w->w[j * K + k];
                double min = (double)w->min[j * K + k], s = (double)step[i * K + k];
                sum += a * v;
                magnitude += (fabs(a) + s) * (fabs(v - min) + fabs(min));
                rounding += fabs(v) * s;
            }
            CHECK_NEAR(y[i * N + j], sum, 1.01 * steps * U32 * magnitude + rounding);
        }
}

/* Activations that int8 holds exactly with a scale of 2^-3. */
static void exact_activations(float *x, size_t n, hg_rng *r)
{
    for (size_t i = 0; i < n; i++) {
        int q = i % HG_BLOCK == 5 ? 127 : (int)hg_rng_below(r, 255) - 127;
        x[i] = (float)q * 0.125f;
    }
}

TEST(a_product_with_every_type_is_within_its_bound_on_every_instruction_set)
{
    static float x[MAX_M * K], step[MAX_M * K], y[MAX_M * N];
    hg_rng r;
    hg_rng_init(&r, 1, 0);
    for (int isa = HG_ISA_C; isa <= (int)hg_isa_detect(); isa++) {
        hg_runtime *rt = runtime(2, isa);
        for (size_t t = 0; t < N_TYPES; t++) {
            weights w = random_weights(types[t], &r);
            exact_activations(x, MAX_M * K, &r);
            for (size_t m = 1; m <= MAX_M; m += m < 9 ? 1 : 5) {
                product(rt, &w, x, m, y);
                check_values(&w, x, step, m, y);
            }
            free_weights(&w);
        }
        hg_runtime_free(rt);
    }
}

TEST(activations_are_rounded_by_half_a_step_of_their_block)
{
    enum { M = 3 };
    static float x[M * K], step[M * K], y[M * N];
    hg_rng r;
    hg_rng_init(&r, 2, 0);
    for (int isa = HG_ISA_C; isa <= (int)hg_isa_detect(); isa++) {
        hg_runtime *rt = runtime(1, isa);
        for (size_t t = 0; t < N_TYPES; t++) {
            weights w = random_weights(types[t], &r);
            fill_random(x, M * K, 1.0, &r);
            for (size_t i = 0; i < M * K; i++)
                x[i] *= i / HG_BLOCK % 5 == 3 ? 0.0f : expf((float)(i / HG_BLOCK % 7) - 3.0f);
            for (size_t b = 0; b < M * K; b += HG_BLOCK) {
                float max = 0;
                for (size_t i = b; i < b + HG_BLOCK; i++) max = fmaxf(max, fabsf(x[i]));
                for (size_t i = b; i < b + HG_BLOCK; i++) step[i] = max / 254 * 1.0001f;
            }
            product(rt, &w, x, M, y);
            check_values(&w, x, step, M, y);
            free_weights(&w);
        }
        hg_runtime_free(rt);
    }
}

TEST(activations_that_are_no_numbers_spoil_their_own_row_alone)
{
    enum { M = 9 };
    static float x[M * K], y[M * N], clean[M * N];
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    hg_rng r;
    hg_rng_init(&r, 3, 0);
    for (int isa = HG_ISA_C; isa <= (int)hg_isa_detect(); isa++) {
        hg_runtime *rt = runtime(1, isa);
        weights w = random_weights(isa % 2 ? HG_Q8_0 : HG_Q4_K, &r);
        fill_random(x, M * K, 1.0, &r);
        product(rt, &w, x, M, clean);
        for (size_t row = 1; row < M; row += 3) x[row * K + 37 * row] = bad[row / 3];
        product(rt, &w, x, M, y);
        for (size_t i = 0; i < M; i++)
            for (size_t j = 0; j < N; j++) {
                if (i % 3 == 1)
                    CHECK(isnan(y[i * N + j]));
                else
                    CHECK(y[i * N + j] == clean[i * N + j]);
            }
        free_weights(&w);
        hg_runtime_free(rt);
    }
}

TEST(tiny_activations_count_as_zero_and_large_ones_stay_finite)
{
    static float x[2 * K], y[2 * N];
    hg_rng r;
    hg_rng_init(&r, 4, 0);
    for (int isa = HG_ISA_C; isa <= (int)hg_isa_detect(); isa++) {
        hg_runtime *rt = runtime(1, isa);
        weights w = random_weights(HG_Q4_0, &r);
        for (size_t i = 0; i < K; i++) {
            x[i] = 1e-39f;
            x[K + i] = i % 2 ? 1e30f : -1e30f;
        }
        product(rt, &w, x, 2, y);
        for (size_t j = 0; j < N; j++) CHECK(y[j] == 0.0f && isfinite(y[N + j]));
        free_weights(&w);
        hg_runtime_free(rt);
    }
}

/* ---- bit for bit ---- */

TEST(a_row_of_a_quantised_product_is_the_same_bits_in_every_batch_and_on_any_threads)
{
    enum { M = 37 };
    static const size_t batch[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15, 29, 36};
    static float x[M * K], y[M * N], part[M * N];
    hg_rng r;
    hg_rng_init(&r, 5, 0);
    fill_random(x, M * K, 2.0, &r);
    for (int isa = HG_ISA_C; isa <= (int)hg_isa_detect(); isa++) {
        hg_runtime *one = runtime(1, isa), *three = runtime(3, isa);
        for (size_t t = 0; t < N_TYPES; t++) {
            weights w = random_weights(types[t], &r);
            product(one, &w, x, M, y);
            for (size_t b = 0; b < sizeof batch / sizeof batch[0]; b++) {
                size_t m = batch[b], from = b % 2 ? M - m : 0;
                product(b % 3 ? three : one, &w, x + from * K, m, part);
                CHECK(memcmp(part, y + from * N, m * N * sizeof *y) == 0);
            }
            free_weights(&w);
        }
        hg_runtime_free(one);
        hg_runtime_free(three);
    }
}

/* ---- no step too far ---- */

/* One panel of `cols` columns through each of the set's functions; all they read and write ends at
 * a fence. */
static void run_fenced(const hg_qgemm_kernel *g, const weights *w, size_t m, size_t cols, hg_rng *r)
{
    hg_type t = w->m.type;
    fenced x = fence(m * K * sizeof(float)), a = fence(hg_q_a_size(t, m, K));
    fenced panel = fence(hg_q_panel_size(t, K)), wide = fence(hg_q_wide_size(t, K));
    size_t n_out = ((m - 1) * N + cols) * sizeof(float);
    fenced y = fence(n_out), few = fence(n_out);
    fill_random(x.p, m * K, 1.0, r);
    g->pack_a(a.p, x.p, K, m, K, t);
    hg_q_pack_panel(panel.p, t, w->data, hg_type_bytes(t, K), cols, K);
    g->widen(wide.p, panel.p, K, t);
    g->tile(y.p, N, a.p, wide.p, K, m, cols, t, true, panel.p);
    if (m <= g->few) {
        g->few_tile(few.p, N, a.p, panel.p, K, m, cols, t);
        CHECK(memcmp(few.p, y.p, n_out) == 0); /* between the rows both are still zero */
    }
    fenced *const all[] = {&x, &a, &panel, &wide, &y, &few};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) unfence(all[i]);
}

TEST(quantised_kernels_touch_nothing_behind_their_operands)
{
    static const size_t widths[] = {1, 8, 15, 16, 17, 31, 32};
    hg_kernels k;
    hg_rng r;
    hg_rng_init(&r, 6, 0);
    for (size_t t = 0; t < N_TYPES; t++) {
        weights w = random_weights(types[t], &r);
        EACH_ISA(k)
        for (size_t m = 1; m <= k.qgemm.mr; m++)
            for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++)
                run_fenced(&k.qgemm, &w, m, widths[i], &r);
        free_weights(&w);
    }
}

/* ---- several weights at once ---- */

enum { N_TOGETHER = 4 };

/* The products of four weights with x, each alone and all together, must be the same bits. */
static void check_together(hg_runtime *rt, weights *w, const float *x, size_t m)
{
    hg_err e = {0};
    hg_arena mem;
    hg_product p[N_TOGETHER];
    hg_arena_init(&mem, 0);
    float *alone = HG_NEW(&mem, float, m *N);
    CHECK(alone != NULL);
    for (size_t i = 0; i < N_TOGETHER; i++) {
        hg_type t = w[i].m.type;
        void *packed = hg_arena_raw(&mem, hg_packed_size(rt, t, N, K), 1);
        p[i] = (hg_product){t, packed, HG_NEW(&mem, float, m *N), N - 5 * i};
        CHECK(packed != NULL && p[i].y != NULL);
        hg_pack_weight(rt, t, packed, &w[i].m, N - 5 * i, K);
    }
    CHECK_OK(hg_matmul_packed_all(rt, p, N_TOGETHER, x, m, K, &e), e);
    for (size_t i = 0; i < N_TOGETHER; i++) {
        size_t n = p[i].n_out;
        CHECK_OK(hg_matmul_packed(rt, p[i].type, alone, x, p[i].packed, m, n, K, &e), e);
        CHECK(memcmp(alone, p[i].y, m * n * sizeof *alone) == 0);
    }
    hg_arena_free(&mem);
}

TEST(weights_that_meet_the_same_rows_give_the_same_bits_together)
{
    static const hg_type mixes[][N_TOGETHER] = {{HG_Q4_K, HG_Q6_K, HG_Q4_K, HG_Q5_K},
                                                {HG_Q8_0, HG_Q4_0, HG_IQ4_NL, HG_Q8_0},
                                                {HG_BF16, HG_Q8_0, HG_F32, HG_F16},
                                                {HG_F16, HG_F32, HG_BF16, HG_BF16}};
    static const size_t rows[] = {1, 4, 5, MAX_M, 600};
    hg_rng r;
    hg_rng_init(&r, 9, 0);
    float *x = random_floats(600 * K, 1.0, &r);
    for (size_t i = 0; i < sizeof mixes / sizeof mixes[0]; i++) {
        weights w[N_TOGETHER];
        for (size_t j = 0; j < N_TOGETHER; j++) {
            hg_type t = mixes[i][j];
            w[j] = hg_type_is_block(t) ? random_weights(t, &r) : plain_weights(t, &r);
        }
        for (int isa = HG_ISA_C; isa <= (int)hg_isa_detect(); isa++)
            for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
                hg_runtime *rt = runtime(1 + (int)(k & 1), isa);
                if (rows[k] < 600 || isa == (int)hg_isa_detect()) check_together(rt, w, x, rows[k]);
                hg_runtime_free(rt);
            }
        for (size_t j = 0; j < N_TOGETHER; j++) free_weights(&w[j]);
    }
    hg_free(x);
}

/* ---- rows in another order ---- */

static void reversed_rows(const void *ctx, size_t row, size_t n, void *to)
{
    const weights *w = ctx;
    size_t bytes = hg_type_bytes(w->m.type, K);
    for (size_t i = 0; i < n; i++)
        memcpy((char *)to + i * bytes, (const char *)w->data + (N - 1 - row - i) * bytes, bytes);
}

TEST(rows_that_are_handed_over_are_packed_as_if_they_lay_so)
{
    static const hg_type some[] = {HG_Q4_0, HG_Q6_K, HG_F32, HG_F16, HG_BF16};
    hg_rng r;
    hg_err e = {0};
    hg_rng_init(&r, 10, 0);
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++)
        for (int isa = HG_ISA_C; isa <= (int)hg_isa_detect(); isa++) {
            hg_type t = some[i];
            weights w = hg_type_is_block(t) ? random_weights(t, &r) : plain_weights(t, &r);
            hg_runtime *rt = runtime(2, isa);
            size_t bytes = hg_packed_size(rt, t, N, K);
            char *lies = hg_alloc(N, hg_type_bytes(t, K)), *a = hg_alloc(bytes, 1);
            char *b = hg_alloc(bytes, 1);
            CHECK(lies != NULL && a != NULL && b != NULL);
            reversed_rows(&w, 0, N, lies);
            hg_pack_weight(rt, t, a, &(hg_matrix){lies, t, K, 1}, N, K);
            CHECK_OK(hg_pack_rows(rt, t, b, reversed_rows, &w, N, K, &e), e);
            CHECK(memcmp(a, b, bytes) == 0);
            hg_free(lies);
            hg_free(a);
            hg_free(b);
            hg_runtime_free(rt);
            free_weights(&w);
        }
}
