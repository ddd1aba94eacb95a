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
    CHECK_OK(hg_optim_init(&o, rt, params, 2, NULL, HG_COMPUTE_F32, &r, &mem, &e), e);
    for (int t = 1; t <= 3; t++) {
        g[0] = 0.1f;
        norm_g[0] = 0.5f;
        CHECK_OK(hg_optim_step(&o, lr, 0.5, &e), e); /* a norm below clip: not scaled */
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
    CHECK_OK(hg_optim_init(&o, rt, params, 1, NULL, HG_COMPUTE_F32, &r, &mem, &e), e);
    double sum = 0, norm = hg_optim_grad_norm(&o);
    for (size_t i = 0; i < N; i++) sum += (double)g[i] * (double)g[i];
    CHECK_NEAR(norm, sqrt(sum), 1e-5 * sqrt(sum));
    CHECK_OK(hg_optim_step(&o, 0.01, norm, &e), e);
    CHECK_NEAR(o.m[0], 0.1 * -3.0 / norm, 1e-6 / norm);
    hg_recipe_free(&r);
    hg_arena_free(&mem);
    hg_runtime_free(rt);
}

/* ---- groups and the average ---- */

typedef struct three {
    hg_arena mem;
    hg_recipe r;
    hg_runtime *rt;
    hg_tensor matrix, table, vector;
    hg_optim o;
    float w[3][4], g[3][4];
} three;

/* A matrix, a table and a vector of weights 1 with gradients 0, so that decay alone moves them. */
static void three_open(three *t, const char *const *set)
{
    static const hg_optim_kind groups[] = {
        {HG_GROUP_MATRIX, 0}, {HG_GROUP_TABLE, 0}, {HG_GROUP_VECTOR, 0}};
    hg_err e = {0};
    memset(t, 0, sizeof *t);
    for (size_t i = 0; i < 12; i++) t->w[i / 4][i % 4] = 1;
    hg_arena_init(&t->mem, 0);
    t->rt = fixture_runtime(1);
    t->matrix = (hg_tensor){.n_dims = 2, .dim = {2, 2}, .data = t->w[0], .grad = t->g[0]};
    t->table = (hg_tensor){.n_dims = 2, .dim = {2, 2}, .data = t->w[1], .grad = t->g[1]};
    t->vector = (hg_tensor){.n_dims = 1, .dim = {4}, .data = t->w[2], .grad = t->g[2]};
    hg_tensor *const params[] = {&t->matrix, &t->table, &t->vector};
    CHECK_OK(hg_recipe_init(&t->r, HG_STAGE_TRAIN, &e), e);
    for (; *set != NULL; set++) CHECK_OK(hg_recipe_set(&t->r, *set, &e), e);
    CHECK_OK(hg_optim_init(&t->o, t->rt, params, 3, groups, HG_COMPUTE_F32, &t->r, &t->mem, &e), e);
}

static void three_close(three *t)
{
    hg_recipe_free(&t->r);
    hg_arena_free(&t->mem);
    hg_runtime_free(t->rt);
}

TEST(each_group_of_parameters_has_its_own_decay)
{
    static const char *const set[] = {"weight_decay=0.5", "table_decay=0.25", "vector_decay=0.125",
                                      NULL};
    hg_err e = {0};
    three t;
    three_open(&t, set);
    CHECK_OK(hg_optim_step(&t.o, 0.1, 0, &e), e);
    CHECK_NEAR(t.w[0][0], 1 - 0.1 * 0.5, 1e-6);
    CHECK_NEAR(t.w[1][0], 1 - 0.1 * 0.25, 1e-6);
    CHECK_NEAR(t.w[2][0], 1 - 0.1 * 0.125, 1e-6);
    three_close(&t);
}

TEST(muon_takes_the_matrices_within_blocks_alone)
{
    static const char *const set[] = {"optimizer=muon", "ema=0.9", NULL};
    three t;
    three_open(&t, set);
    CHECK_EQ(t.o.n_moments, 12);
    CHECK_EQ(t.o.n_seconds, 8); /* table and vector */
    CHECK_EQ(t.o.chunks[0].second, SIZE_MAX);
    CHECK_EQ(t.o.chunks[1].second, 0);
    CHECK_EQ(t.o.chunks[2].second, 4);
    three_close(&t);
}

TEST(the_average_follows_the_weights_and_changes_places_with_them)
{
    static const char *const set[] = {"ema=0.5", "weight_decay=0.5", NULL};
    hg_err e = {0};
    three t;
    three_open(&t, set);
    double w = 1, average = 1;
    for (int i = 1; i <= 5; i++) {
        double stays = fmin(0.5, (1.0 + i) / (10.0 + i));
        CHECK_OK(hg_optim_step(&t.o, 0.1, 0, &e), e);
        w *= 1 - 0.1 * 0.5;
        average = stays * average + (1 - stays) * w;
    }
    CHECK_NEAR(t.w[0][3], w, 1e-6);
    CHECK_NEAR(t.o.average[3], average, 1e-6);
    CHECK_OK(hg_optim_swap(&t.o, &e), e);
    CHECK_NEAR(t.w[0][3], average, 1e-6);
    CHECK_NEAR(t.o.average[3], w, 1e-6);
    three_close(&t);
}

/* ---- Muon ---- */

/* The singular values of x through those of x x^T: their sum and the sum of their squares. */
static void traces(const float *x, size_t rows, size_t cols, double *two, double *four)
{
    *two = *four = 0;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < rows; j++) {
            double dot = 0;
            for (size_t k = 0; k < cols; k++)
                dot += (double)x[i * cols + k] * (double)x[j * cols + k];
            if (i == j) *two += dot;
            *four += dot * dot;
        }
}

TEST(muon_brings_all_singular_values_near_one)
{
    enum { ROWS = 24, COLS = 40 };
    static float x[ROWS * COLS], y[ROWS * COLS], room[8 * ROWS * COLS];
    hg_runtime *rt = fixture_runtime(2);
    hg_err e = {0};
    for (int shape = 0; shape < 2; shape++) {
        size_t rows = shape == 0 ? ROWS : COLS, cols = shape == 0 ? COLS : ROWS;
        for (size_t i = 0; i < rows * cols; i++)
            x[i] = (float)((i * 7919 + i * i % 101) % 997) / 997 - 0.5f;
        CHECK(hg_muon_room(rows, cols) <= sizeof room / sizeof *room);
        CHECK_OK(hg_muon_orthogonalise(rt, HG_COMPUTE_F32, x, rows, cols, room, &e), e);
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < cols; j++) y[j * rows + i] = x[i * cols + j];
        double two, four;
        traces(shape == 0 ? x : y, ROWS, COLS, &two, &four);
        /* All lie between 0.68 and 1.13 (Jordan et al. 2024): so do their squares' mean and spread.
         */
        CHECK(two / ROWS > 0.46 && two / ROWS < 1.28);
        CHECK(four / ROWS - two / ROWS * (two / ROWS) < 0.17);
    }
    hg_runtime_free(rt);
}
