/* The one dial: what follows from depth, and what may be given instead. */
#include "fixture.h"
#include "train/scale.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static void scaled(hg_recipe *r, const char *const *set, uint64_t n_params, uint64_t tokens,
                   hg_scale *s)
{
    hg_err e = {0};
    CHECK_OK(hg_recipe_init(r, HG_STAGE_TRAIN, &e), e);
    for (; *set != NULL; set++) CHECK_OK(hg_recipe_set(r, *set, &e), e);
    hg_scale_recipe(r, n_params, tokens, s);
    hg_recipe_free(r);
}

TEST(a_run_reads_twenty_tokens_a_parameter_where_the_corpus_has_them)
{
    static const char *const none[] = {NULL};
    hg_recipe r;
    hg_scale s;
    scaled(&r, none, 10000000, 1000000000, &s);
    CHECK_NEAR(s.wanted_tokens, 200e6, 1);
    CHECK(s.limit == NULL);
    CHECK_NEAR(s.tokens / 200e6, 1, 0.01); /* whole steps */
    CHECK_NEAR(s.flops, 6.0 * 10e6 * 200e6, 1);
    /* 0.292 C^0.3271 and 0.3118 C^-0.125 at C = 1.2e16, by hand: 53.0 thousand and 3.05e-3 */
    CHECK_NEAR(s.batch_tokens / 53.0e3, 1, 0.01);
    CHECK_NEAR(r.lr, 3.05e-3, 0.06e-3);
    CHECK_EQ((uint64_t)r.steps, s.steps);
}

TEST(a_small_corpus_limits_a_run_to_four_passes_and_200_steps)
{
    static const char *const none[] = {NULL};
    hg_recipe r;
    hg_scale s;
    scaled(&r, none, 10000000, 1000000, &s);
    CHECK_STR(s.limit, "the corpus");
    CHECK_NEAR(s.tokens / 4e6, 1, 0.05);
    CHECK(s.steps >= 190);
}

TEST(what_the_recipe_gives_stays)
{
    static const char *const set[] = {"lr=0.5", "batch_size=3", "accumulation=2", "steps=17", NULL},
                             *const epochs[] = {"epochs=2", NULL},
                             *const minutes[] = {"max_minutes=5", NULL};
    hg_recipe r;
    hg_scale s;
    scaled(&r, set, 10000000, 1000000, &s);
    CHECK_NEAR(r.lr, 0.5, 0);
    CHECK_EQ(r.batch_size, 3);
    CHECK_EQ(r.steps, 17);
    CHECK_NEAR(s.tokens, 17 * 6 * 256, 0);
    scaled(&r, epochs, 10000000, 1000000, &s);
    CHECK_NEAR(s.tokens / 2e6, 1, 0.05);
    scaled(&r, minutes, 10000000, 1000000, &s);
    CHECK_EQ(r.steps, 0); /* the clock decides */
}

TEST(one_dial_trains_a_model_and_says_what_it_chose)
{
    static const char *const set[] = {"auto=true", "depth=1", "epochs=0.5", "sample_tokens=0",
                                      NULL};
    hg_err e = {0};
    hg_train_result r;
    hg_train_options o;
    hg_buf lines = {0};
    hg_runtime *rt = fixture_runtime(2);
    char corpus[1200], out[1200];
    const char *all[8];
    size_t n = 0;
    (void)snprintf(corpus, sizeof corpus, "corpus=%s", fixture_corpus());
    (void)snprintf(out, sizeof out, "out=%s", test_path("run"));
    all[n++] = corpus;
    all[n++] = out;
    for (size_t i = 0; set[i] != NULL; i++) all[n++] = set[i];
    hg_train_options_init(&o);
    o.set = all;
    o.n_set = n;
    o.plan_only = true;
    CHECK_OK(hg_train_run(&o, rt, fixture_listen(&lines), &r, &e), e);
    CHECK(r.plan_seconds > 0 && r.total_steps > 0 && r.batch_tokens > 0);
    CHECK_HAS(lines.p, "no tokenizer: making one of 2048 pieces from the corpus");
    CHECK_HAS(lines.p, "compute-optimal: ");
    CHECK_HAS(lines.p, "which limits the run; more text or a smaller depth would fit");
    CHECK_HAS(lines.p, "learning rate ");
    CHECK_HAS(lines.p, " minutes");
    uint64_t steps = r.total_steps;
    o.plan_only = false;
    CHECK_OK(hg_train_run(&o, rt, NULL, &r, &e), e);
    CHECK_EQ(r.steps, steps);
    CHECK(r.is_finished);
    hg_buf_free(&lines);
    hg_runtime_free(rt);
}
