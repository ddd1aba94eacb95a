/* The guard against jumps of the loss: what is one, and what becomes of its step. */
#include "fixture.h"
#include <math.h>
#include <string.h>

enum { ROWS = 60, JUMP = 50 /* the step */ };

/* Rows that are all alike but one, which says the opposite. */
typedef struct jumps {
    hg_source source;
    uint64_t odd;
} jumps;

static void jumps_row(const hg_source *s, bool held_out, uint64_t i, int32_t *ids, int32_t *targets,
                      uint8_t *begins)
{
    const jumps *j = (const jumps *)(const void *)s;
    bool odd = !held_out && i == j->odd;
    for (size_t t = 0; t < s->seq_len; t++) {
        ids[t] = (int32_t)(t % 7);
        targets[t] = (int32_t)((t + (odd ? 4 : 1)) % 7);
        begins[t] = t == 0;
    }
}

typedef struct guarded {
    jumps data;
    hg_recipe r;
    hg_model *m;
    hg_runtime *rt;
    hg_buf lines;
    hg_memory_plan plan;
} guarded;

static void guarded_open(guarded *g, const char *const *set)
{
    hg_err e = {0};
    memset(g, 0, sizeof *g);
    const hg_model_config c = {.arch = "llama",
                               .n_layers = 1,
                               .d_model = 32,
                               .n_heads = 2,
                               .n_kv_heads = 2,
                               .d_head = 16,
                               .d_ff = 64,
                               .n_vocab = 16,
                               .n_ctx = 16,
                               .norm_eps = 1e-5f,
                               .rope_theta = 1e4f,
                               .bos_id = -1,
                               .eos_id = -1,
                               .pad_id = -1};
    CHECK_OK(hg_recipe_init(&g->r, HG_STAGE_TRAIN, &e), e);
    CHECK_OK(hg_recipe_set(&g->r, "batch_size=1", &e), e);
    CHECK_OK(hg_recipe_set(&g->r, "steps=60", &e), e);
    CHECK_OK(hg_recipe_set(&g->r, "sample_tokens=0", &e), e);
    for (; *set != NULL; set++) CHECK_OK(hg_recipe_set(&g->r, *set, &e), e);
    g->r.out = test_path("run");
    g->rt = fixture_runtime(1);
    CHECK_OK(hg_model_new(&g->m, &c, 3, &e), e);
    g->data = (jumps){{.seq_len = 16, .n_rows = ROWS, .row = jumps_row},
                      hg_source_order(ROWS, 0, JUMP - 1)};
}

static hg_status guarded_run_by(guarded *g, const hg_watch *w, hg_train_result *r, hg_err *e)
{
    const hg_run_job job = {.recipe = &g->r,
                            .model = g->m,
                            .source = &g->data.source,
                            .rt = g->rt,
                            .plan = &g->plan,
                            .watch = w,
                            .started = hg_seconds()};
    memset(r, 0, sizeof *r);
    return hg_trainer_run(&job, r, e);
}

static hg_status guarded_run(guarded *g, hg_train_result *r, hg_err *e)
{
    return guarded_run_by(g, fixture_listen(&g->lines), r, e);
}

static void guarded_close(guarded *g)
{
    hg_buf_free(&g->lines);
    hg_model_free(g->m);
    hg_recipe_free(&g->r);
    hg_runtime_free(g->rt);
}

static const char *const base[] = {"lr=1e-2", "checkpoint_every=20", NULL},
                         *const rewinding[] = {"lr=1e-2", "checkpoint_every=20", "on_spike=rewind",
                                               NULL},
                         *const unguarded[] = {"lr=1e-2", "on_spike=none", NULL};

TEST(a_step_whose_loss_jumps_is_skipped_and_said)
{
    guarded g;
    hg_err e = {0};
    hg_train_result r;
    guarded_open(&g, base);
    CHECK_OK(guarded_run(&g, &r, &e), e);
    CHECK_EQ(r.skipped_steps, 1);
    CHECK_HAS(g.lines.p, "step 50: loss ");
    CHECK_HAS(g.lines.p, " is usual; the step is skipped");
    guarded_close(&g);
}

TEST(a_jump_goes_back_to_the_last_checkpoint_when_asked)
{
    guarded g;
    hg_err e = {0};
    hg_train_result r;
    guarded_open(&g, rewinding);
    CHECK_OK(guarded_run(&g, &r, &e), e);
    CHECK_EQ(r.skipped_steps, 1);
    CHECK_EQ(r.steps, 60);
    CHECK_HAS(g.lines.p, "is usual; back to the weights of step 40, and on behind these rows");
    guarded_close(&g);
}

/* Damages a weight behind step JUMP. */
static void damage(void *ctx, const hg_progress *p)
{
    const guarded *g = ctx;
    if ((int)p->done == JUMP) ((float *)g->m->final_norm->data)[3] = NAN;
}

static void keep_line(void *ctx, hg_level level, const char *text)
{
    guarded *g = ctx;
    (void)level;
    hg_buf_printf(&g->lines, "%s\n", text);
}

TEST(weights_that_give_no_finite_loss_go_back_to_the_last_checkpoint_when_asked)
{
    for (int rewinds = 0; rewinds < 2; rewinds++) {
        guarded g;
        hg_err e = {0};
        hg_train_result r;
        guarded_open(&g, rewinds ? rewinding : base);
        g.data.odd = UINT64_MAX;
        g.r.out = test_path(rewinds ? "rewound" : "skipped");
        const hg_watch w = {.progress = damage, .log = keep_line, .ctx = &g};
        const hg_status s = guarded_run_by(&g, &w, &r, &e);
        CHECK_HAS(g.lines.p, "step 51: loss ");
        if (rewinds) {
            CHECK_OK(s, e);
            CHECK(r.steps == 60 && r.skipped_steps == 1 && r.loss < 2);
            CHECK_HAS(g.lines.p, "; back to the weights of step 40, and on behind these rows");
        } else {
            CHECK_EQ(s, HG_E_STATE);
            CHECK_HAS(e.msg, "steps in a row gave no finite loss or gradient");
        }
        guarded_close(&g);
    }
}

TEST(a_run_without_the_guard_learns_from_jumps_too)
{
    guarded g;
    hg_err e = {0};
    hg_train_result r;
    guarded_open(&g, unguarded);
    CHECK_OK(guarded_run(&g, &r, &e), e);
    CHECK_EQ(r.skipped_steps, 0);
    guarded_close(&g);
}

TEST(jumps_that_do_not_end_are_learnt_from)
{
    hg_recipe r;
    hg_err e = {0};
    CHECK_OK(hg_recipe_init(&r, HG_STAGE_TRAIN, &e), e);
    const hg_run_job job = {.recipe = &r};
    hg_trainer t;
    memset(&t, 0, sizeof t);
    t.job = &job;
    CHECK(isinf(hg_trainer_loss_limit(&t)));
    for (int i = 0; i < 40; i++) hg_trainer_note_loss(&t, 2.0 + 0.1 * (i % 2));
    CHECK(isinf(hg_trainer_loss_limit(&t))); /* no updates yet */
    t.learner.optim.updates = 40;
    /* 2.05 with a spread of 0.05 */
    CHECK_NEAR(hg_trainer_loss_limit(&t), 2.05 + 8 * 0.05, 0.03);
    t.state.spikes_in_a_row = 3;
    CHECK(isinf(hg_trainer_loss_limit(&t)));
    hg_trainer_note_loss(&t, 5);
    CHECK(isfinite(hg_trainer_loss_limit(&t)));
    hg_recipe_free(&r);
}
