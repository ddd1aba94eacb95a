/* What a run keeps of a step: lots of rows, blocks run again, rounded activations. None of it may
 * change what is learnt, but by rounding. */
#include "base/file.h"
#include "fixture.h"
#include "train/shape.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_STEPS = 200 };

/* The losses of a run with `set`, in `loss`; returns how many. */
static size_t run(hg_runtime *rt, const char *name, const char *const *set, double *loss)
{
    hg_err e = {0};
    hg_train_result r;
    hg_buf log = {0};
    char path[1200];
    size_t n = 0;
    (void)fixture_tokenizer(fixture_corpus());
    (void)snprintf(path, sizeof path, "%s", test_path(name));
    CHECK_OK(fixture_train(rt, NULL, false, path, set, &r, &e), e);
    (void)snprintf(path + strlen(path), 20, "/log.jsonl");
    CHECK_OK(hg_file_read(&log, path, 1 << 24, &e), e);
    for (const char *at = log.p; n < MAX_STEPS && (at = strstr(at, ",\"loss\":")) != NULL; at += 8)
        loss[n++] = strtod(at + 8, NULL);
    hg_buf_free(&log);
    return n;
}

TEST(a_batch_in_lots_gives_the_loss_of_the_whole_batch)
{
    static const char *const whole[] = {"steps=10", "precision=f32", NULL}, *const lots[] = {
                                                                                "steps=10",
                                                                                "precision=f32",
                                                                                "micro_batch=3",
                                                                                NULL};
    double a[MAX_STEPS], b[MAX_STEPS];
    hg_runtime *rt = fixture_runtime(2);
    CHECK_EQ(run(rt, "whole", whole, a), 10);
    CHECK_EQ(run(rt, "lots", lots, b), 10);
    for (size_t i = 0; i < 10; i++) CHECK_NEAR(a[i], b[i], 1e-4);
    hg_runtime_free(rt);
}

TEST(a_batch_is_cut_into_lots_that_are_alike_large)
{
    hg_recipe r;
    hg_err e = {0};
    hg_runtime *rt = fixture_runtime(1);
    CHECK_OK(hg_recipe_init(&r, HG_STAGE_TRAIN, &e), e);
    r.batch_size = 10;
    CHECK_EQ(hg_micro_rows(&r, 256, 384, rt, HG_COMPUTE_F32),
             5); /* 8 would fit, 8 + 2 is worse than 5 + 5 */
    CHECK_EQ(hg_micro_rows(&r, 4096, 384, rt, HG_COMPUTE_F32), 1);
    CHECK_EQ(hg_micro_rows(&r, 16, 384, rt, HG_COMPUTE_F32), 10);
    CHECK_EQ(hg_micro_rows(&r, 256, 768, rt, HG_COMPUTE_F32), 2);
    if (hg_runtime_isa(rt) == HG_ISA_AMX) /* 4 would fit, 4 + 4 + 2 */
        CHECK_EQ(hg_micro_rows(&r, 256, 384, rt, HG_COMPUTE_BF16), 4);
    r.micro_batch = 4;
    CHECK_EQ(hg_micro_rows(&r, 4096, 384, rt, HG_COMPUTE_F32), 4);
    r.micro_batch = 40;
    CHECK_EQ(hg_micro_rows(&r, 4096, 384, rt, HG_COMPUTE_F32), 10);
    hg_runtime_free(rt);
    hg_recipe_free(&r);
}

TEST(blocks_that_are_run_again_give_the_same_model_bit_for_bit)
{
    static const char *const kept[] = {"steps=10", "precision=f32", NULL}, *const again[] = {
                                                                               "steps=10",
                                                                               "precision=f32",
                                                                               "recompute=true",
                                                                               NULL};
    double a[MAX_STEPS], b[MAX_STEPS];
    hg_runtime *rt = fixture_runtime(2);
    CHECK_EQ(run(rt, "kept", kept, a), 10);
    CHECK_EQ(run(rt, "again", again, b), 10);
    char x[1200];
    (void)snprintf(x, sizeof x, "%s", test_path("kept/model/model.safetensors"));
    CHECK(fixture_same_file(x, test_path("again/model/model.safetensors")));
    hg_runtime_free(rt);
}

static uint64_t activations(hg_runtime *rt, const char *set, hg_compute compute)
{
    hg_recipe r;
    hg_model_config c;
    hg_memory_plan p = {0};
    hg_err e = {0};
    const hg_source source = {.seq_len = 64};
    CHECK_OK(hg_recipe_init(&r, HG_STAGE_TRAIN, &e), e);
    CHECK_OK(hg_recipe_set(&r, "batch_size=4", &e), e);
    CHECK_OK(hg_recipe_set(&r, "depth=8", &e), e);
    CHECK_OK(hg_recipe_set(&r, "d_model=64", &e), e);
    CHECK_OK(hg_recipe_set(&r, set, &e), e);
    CHECK_OK(hg_recipe_shape(&r, 320, &c, &e), e);
    CHECK_OK(hg_memory_plan_make(&p, &c, 0, 0, NULL, 0, &source, &r, rt, compute, &e), e);
    hg_recipe_free(&r);
    return p.activations;
}

TEST_SECONDS(bf16_and_blocks_run_again_need_less_memory, 120)
{
    hg_runtime *rt = fixture_runtime(2);
    double f32 = (double)activations(rt, "recompute=false", HG_COMPUTE_F32);
    double bf16 = (double)activations(rt, "recompute=false", HG_COMPUTE_BF16);
    double again = (double)activations(rt, "recompute=true", HG_COMPUTE_BF16);
    CHECK(bf16 < 0.75 * f32);
    CHECK(again < 0.5 * bf16);
    hg_runtime_free(rt);
}

TEST_SECONDS(the_loss_in_bf16_stays_within_half_a_percent_of_float32, 300)
{
    static const char *const f32[] = {"steps=200", "precision=f32", "sample_tokens=0", NULL},
                             *const bf16[] = {"steps=200", "precision=bf16", "sample_tokens=0",
                                              NULL};
    double a[MAX_STEPS], b[MAX_STEPS];
    hg_runtime *rt = fixture_runtime(2);
    CHECK_EQ(run(rt, "f32", f32, a), 200);
    CHECK_EQ(run(rt, "bf16", bf16, b), 200);
    for (size_t i = 0; i < 200; i += 20) {
        double x = 0, y = 0;
        for (size_t j = i; j < i + 20; j++) x += a[j], y += b[j];
        CHECK_NEAR(y / x, 1, 0.005);
    }
    hg_runtime_free(rt);
}
