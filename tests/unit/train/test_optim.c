/* Schedules and AdamW. */
#include "fixture.h"
#include <math.h>
#include <string.h>

static hg_schedule schedule(hg_decay kind)
{
    return (hg_schedule){
        .kind = kind, .lr = 1.0, .min_lr = 0.1, .total = 100, .warmup = 10, .decay = 20};
}

TEST(warm_up_rises_linearly_to_lr)
{
    for (int kind = HG_DECAY_COSINE; kind <= HG_DECAY_CONSTANT; kind++) {
        hg_schedule s = schedule((hg_decay)kind);
        CHECK_NEAR(hg_schedule_at(&s, 0), 0.1, 1e-12);
        CHECK_NEAR(hg_schedule_at(&s, 4), 0.5, 1e-12);
        CHECK_NEAR(hg_schedule_at(&s, 9), 1.0, 1e-12);
        CHECK_NEAR(hg_schedule_at(&s, 10), 1.0, 1e-12);
    }
}

TEST(schedules_end_at_min_lr_as_their_kind_says)
{
    hg_schedule c = schedule(HG_DECAY_COSINE), l = schedule(HG_DECAY_LINEAR),
                w = schedule(HG_DECAY_WSD), k = schedule(HG_DECAY_CONSTANT);
    CHECK_NEAR(hg_schedule_at(&c, 99), 0.1, 1e-12);
    CHECK_NEAR(hg_schedule_at(&l, 99), 0.1, 1e-12);
    CHECK_NEAR(hg_schedule_at(&w, 99), 0.1, 1e-12);
    CHECK_NEAR(hg_schedule_at(&k, 99), 1.0, 1e-12);
    /* steps 10 .. 99: the middle of 89 intervals is step 54.5 */
    CHECK_NEAR(hg_schedule_at(&l, 54), 0.1 + 0.9 * 45.0 / 89.0, 1e-12);
    CHECK_NEAR(hg_schedule_at(&c, 54), 0.1 + 0.9 * 0.5 * (1 - cos(3.14159265358979 * 45.0 / 89.0)),
               1e-9);
    CHECK_NEAR(hg_schedule_at(&w, 79), 1.0, 1e-12);
    CHECK_NEAR(hg_schedule_at(&w, 80), 1.0, 1e-12);
    CHECK_NEAR(hg_schedule_at(&w, 90), 0.1 + 0.9 * 9.0 / 19.0, 1e-12);
}

TEST(adamw_matches_a_computation_by_hand)
{
    hg_recipe r;
    hg_err e = {0};
    hg_arena mem;
    hg_optim o;
    hg_runtime *rt = fixture_runtime(1);
    float w[4] = {1, -2, 3, 0.5f}, g[4] = {0.1f, -0.2f, 0.3f, 0}, norm[2] = {1, 1},
          norm_g[2] = {0.5f, 0};
    hg_tensor matrix = {.n_dims = 2, .dim = {2, 2}, .data = w, .grad = g};
    hg_tensor vector = {.n_dims = 1, .dim = {2}, .data = norm, .grad = norm_g};
    hg_tensor *const params[] = {&matrix, &vector};
    double lr = 0.01, wd = 0.1, b1 = 0.9, b2 = 0.95, wx = 1, mx = 0, vx = 0;
    hg_arena_init(&mem, 0);
    CHECK_OK(hg_recipe_init(&r, HG_STAGE_TRAIN, &e), e);
    CHECK_OK(hg_optim_init(&o, rt, params, 2, &r, &mem, &e), e);
    for (int t = 1; t <= 3; t++) {
        g[0] = 0.1f;
        norm_g[0] = 0.5f;
        hg_optim_step(&o, lr, 0.5); /* a norm below clip: not scaled */
        mx = b1 * mx + (1 - b1) * 0.1;
        vx = b2 * vx + (1 - b2) * 0.1 * 0.1;
        wx -= lr * (mx / (1 - pow(b1, t)) / (sqrt(vx / (1 - pow(b2, t))) + 1e-8) + wd * wx);
        CHECK_NEAR(w[0], wx, 2e-6);
        CHECK_EQ(g[0] == 0 && g[1] == 0, 1);
    }
    CHECK_NEAR(norm[0], 1 - 3 * lr, 2e-6); /* no decay: three steps of lr */
    CHECK_NEAR(norm[1], 1, 0);
    CHECK_EQ(o.updates, 3);
    hg_recipe_free(&r);
    hg_arena_free(&mem);
    hg_runtime_free(rt);
}

TEST(clipping_scales_the_whole_gradient)
{
    hg_recipe r;
    hg_err e = {0};
    hg_arena mem;
    hg_optim o;
    hg_runtime *rt = fixture_runtime(2);
    enum { N = 200000 };
    hg_arena_init(&mem, 0);
    float *w = HG_NEW(&mem, float, N), *g = HG_NEW(&mem, float, N);
    hg_tensor matrix = {.n_dims = 2, .dim = {N / 2, 2}, .data = w, .grad = g};
    hg_tensor *const params[] = {&matrix};
    for (size_t i = 0; i < N; i++) g[i] = (float)(i % 7) - 3;
    CHECK_OK(hg_recipe_init(&r, HG_STAGE_TRAIN, &e), e);
    CHECK_OK(hg_optim_init(&o, rt, params, 1, &r, &mem, &e), e);
    double sum = 0, norm = hg_optim_grad_norm(&o);
    for (size_t i = 0; i < N; i++) sum += (double)g[i] * (double)g[i];
    CHECK_NEAR(norm, sqrt(sum), 1e-5 * sqrt(sum));
    hg_optim_step(&o, 0.01, norm);
    CHECK_NEAR(o.m[0], 0.1 * -3.0 / norm, 1e-6 / norm);
    hg_recipe_free(&r);
    hg_arena_free(&mem);
    hg_runtime_free(rt);
}
