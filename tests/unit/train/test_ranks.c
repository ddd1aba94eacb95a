/* Training over several ranks, which are threads of this process with a runtime each: nearly what
 * one rank learns, the same bits for the same number of ranks, and checkpoints for any number. */
#include "fixture.h"
#include "harness/hub.h"
#include "kernels/measure.h"
#include "train/method.h"
#include "train/shape.h"
#include "base/file.h"
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_N = 4 };

typedef struct party {
    int n, stop_after; /* 0: to the end */
    bool resume;
    const char *out;
    const char *const *set;
    hg_hub *hub;
    const hg_watch *watch;
    hg_status status[MAX_N];
    hg_err err[MAX_N];
    hg_train_result result[MAX_N];
} party;

typedef struct seat {
    party *p;
    int rank;
} seat;

static void *rank_main(void *ctx)
{
    const seat *s = ctx;
    party *p = s->p;
    int me = s->rank;
    hg_ranks_options o;
    hg_ranks *r = NULL;
    hg_runtime *rt = NULL;
    hg_ranks_options_init(&o);
    o.patience_s = 40;
    const hg_transport t = hg_hub_transport(p->hub, me);
    p->status[me] = hg_ranks_new(&r, &t, &o, &p->err[me]);
    if (p->status[me] == HG_OK) p->status[me] = hg_runtime_new(&rt, 1, HG_N_ISA, &p->err[me]);
    if (p->status[me] == HG_OK)
        p->status[me] = fixture_train_ranks(rt, r, p->watch, p->resume, p->out, p->set,
                                            &p->result[me], &p->err[me]);
    if (p->status[me] != HG_OK && p->status[me] != HG_E_CANCELED) hg_ranks_abort(r);
    hg_runtime_free(rt);
    hg_ranks_close(r);
    return NULL;
}

static void train(party *p)
{
    hg_err e = {0};
    pthread_t thread[MAX_N];
    seat seats[MAX_N];
    p->watch = p->stop_after > 0 ? fixture_stop_after(p->stop_after) : NULL;
    CHECK_OK(hg_hub_new(&p->hub, p->n, &e), e);
    for (int i = 0; i < p->n; i++) {
        seats[i] = (seat){p, i};
        CHECK_EQ(pthread_create(&thread[i], NULL, rank_main, &seats[i]), 0);
    }
    for (int i = 0; i < p->n; i++) (void)pthread_join(thread[i], NULL);
    hg_hub_free(p->hub);
}

static void train_whole(int n, const char *const *set, const char *out)
{
    party p = {.n = n, .out = out, .set = set};
    train(&p);
    for (int i = 0; i < n; i++) {
        CHECK_OK(p.status[i], p.err[i]);
        CHECK(p.result[i].is_finished);
    }
}

/* n ranks until the stop, then m ranks to the end. */
static void train_in_parts(int n, int m, int step, const char *const *set, const char *out)
{
    party first = {.n = n, .out = out, .set = set, .stop_after = step};
    party rest = {.n = m, .out = out, .set = set, .resume = true};
    train(&first);
    for (int i = 0; i < n; i++) {
        CHECK_EQ(first.status[i], HG_E_CANCELED);
        CHECK_HAS(first.err[i].msg, "with a checkpoint; go on with --resume");
    }
    train(&rest);
    for (int i = 0; i < m; i++) CHECK_OK(rest.status[i], rest.err[i]);
}

static const char *out_folder(const char *name)
{
    static char path[6][1100];
    static int at;
    at = (at + 1) % 6;
    (void)snprintf(path[at], sizeof path[at], "%s", test_path(name));
    return path[at];
}

static void open_last(hg_checkpoint *c, const char *out)
{
    hg_err e = {0};
    char path[1200];
    (void)snprintf(path, sizeof path, "%s/checkpoints/step-000000012.hgc", out);
    CHECK_OK(hg_checkpoint_open(c, path, &e), e);
}

/* Weights of both runs' last checkpoints, moments too when `exact`. */
static void compare(const char *a, const char *b, double relative)
{
    hg_checkpoint ca, cb;
    open_last(&ca, a);
    open_last(&cb, b);
    CHECK_EQ(ca.n_moments, cb.n_moments);
    CHECK_EQ(ca.n_average, cb.n_average);
    CHECK_EQ(ca.state.position, cb.state.position);
    CHECK_EQ(ca.state.tokens, cb.state.tokens);
    if (relative == 0) {
        size_t n = (size_t)(2 * ca.n_moments + ca.n_seconds + ca.n_average) * sizeof(float);
        CHECK_EQ(memcmp(ca.weights, cb.weights, n), 0);
        CHECK_NEAR(ca.state.smooth_loss, cb.state.smooth_loss, 0);
    }
    double off = 0, size = 0;
    for (uint64_t i = 0; i < ca.n_moments; i++) {
        float x, y;
        memcpy(&x, ca.weights + i * 4, 4);
        memcpy(&y, cb.weights + i * 4, 4);
        off += (double)(x - y) * (double)(x - y);
        size += (double)x * (double)x;
    }
    CHECK(sqrt(off) <= relative * sqrt(size));
    CHECK_NEAR(ca.state.val_loss, cb.state.val_loss, relative * ca.state.val_loss);
    hg_checkpoint_close(&ca);
    hg_checkpoint_close(&cb);
}

static const char *const plain[] = {"steps=12", "precision=f32", "batch_size=6", NULL};
static const char *const muon[] = {"steps=12",       "precision=f32", "batch_size=6",
                                   "optimizer=muon", "ema=0.9",       NULL};
static const char *const half[] = {"steps=12", "precision=f32", "batch_size=6",
                                   "ema=0.9",  "wire=bf16",     NULL};

static void prepare(void)
{
    (void)fixture_tokenizer(fixture_corpus());
}

/* Adam divides by the root of a moving square: where a gradient is all but zero, the order of its
 * sum shows in the update, so the bound is on the whole. */
static void learns_alike(const char *const *set, double relative)
{
    const char *one = out_folder("one");
    prepare();
    train_whole(1, set, one);
    for (int n = 2; n <= MAX_N; n++) {
        char name[32];
        (void)snprintf(name, sizeof name, "of-%d", n);
        const char *out = out_folder(name);
        train_whole(n, set, out);
        compare(one, out, relative);
    }
}

TEST_SECONDS(ranks_learn_what_one_rank_learns, 120)
{
    learns_alike(plain, 1e-5);
}

TEST_SECONDS(ranks_learn_alike_with_muon_and_an_average, 120)
{
    learns_alike(muon, 1e-4);
}

TEST_SECONDS(ranks_learn_nearly_alike_with_bfloat16_on_the_wire, 120)
{
    const char *one = out_folder("one"), *two = out_folder("two");
    prepare();
    train_whole(1, plain, one);
    train_whole(2, half, two);
    hg_checkpoint a, b;
    open_last(&a, one);
    open_last(&b, two);
    CHECK_NEAR(a.state.smooth_loss, b.state.smooth_loss, 0.01 * a.state.smooth_loss);
    CHECK(memcmp(a.weights, b.weights, a.n_moments * 4) != 0);
    /* What is kept has not been rounded. */
    size_t n_fine = 0;
    for (uint64_t i = 0; i < b.n_moments; i++) n_fine += b.weights[4 * i] != 0;
    CHECK(n_fine > b.n_moments / 2);
    hg_checkpoint_close(&a);
    hg_checkpoint_close(&b);
}

static void resumes_exactly(const char *const *set, int n)
{
    const char *whole = out_folder("whole"), *parts = out_folder("parts");
    prepare();
    train_whole(n, set, whole);
    train_in_parts(n, n, 5, set, parts);
    compare(whole, parts, 0);
}

TEST_SECONDS(two_ranks_go_on_bit_for_bit, 120)
{
    resumes_exactly(plain, 2);
}

TEST_SECONDS(three_ranks_go_on_bit_for_bit_with_muon_and_an_average, 120)
{
    resumes_exactly(muon, 3);
}

TEST_SECONDS(two_ranks_go_on_bit_for_bit_with_bfloat16_on_the_wire, 120)
{
    resumes_exactly(half, 2);
}

TEST_SECONDS(a_checkpoint_of_three_ranks_is_gone_on_from_by_two_and_by_one, 120)
{
    const char *one = out_folder("one"), *two = out_folder("two"), *alone = out_folder("alone");
    prepare();
    train_whole(1, muon, one);
    train_in_parts(3, 2, 5, muon, two);
    compare(one, two, 1e-4);
    train_in_parts(3, 1, 5, muon, alone);
    compare(one, alone, 1e-4);
}

TEST_SECONDS(the_fault_of_one_rank_ends_all, 60)
{
    static const char *const none[] = {"steps=12", "weights=1,2", NULL};
    prepare();
    party p = {.n = 3, .out = out_folder("run"), .set = none};
    train(&p);
    CHECK_HAS(p.err[0].msg, "weights: 2 of them for 1 corpora");
    for (int i = 1; i < 3; i++) {
        CHECK_EQ(p.status[i], HG_E_IO);
        CHECK_HAS(p.err[i].msg, "rank 0 is lost (it has ended)");
    }
}

/* Each rank with a run folder of its own: they would not learn the same. */
static void *elsewhere(void *ctx)
{
    seat *s = ctx;
    party own = *s->p;
    own.out = s->rank == 0 ? s->p->out : s->p->set[0];
    own.set = plain;
    own.resume = true;
    seat mine = {&own, s->rank};
    (void)rank_main(&mine);
    s->p->status[s->rank] = own.status[s->rank];
    s->p->err[s->rank] = own.err[s->rank];
    return NULL;
}

TEST_SECONDS(ranks_that_see_different_folders_refuse, 60)
{
    hg_err e = {0};
    const char *made = out_folder("made"), *empty[] = {out_folder("empty"), NULL};
    prepare();
    party first = {.n = 1, .out = made, .set = plain, .stop_after = 3};
    train(&first);
    party p = {.n = 2, .out = made, .set = empty};
    seat seats[2] = {{&p, 0}, {&p, 1}};
    pthread_t thread[2];
    CHECK_OK(hg_hub_new(&p.hub, 2, &e), e);
    for (int i = 0; i < 2; i++) CHECK_EQ(pthread_create(&thread[i], NULL, elsewhere, &seats[i]), 0);
    for (int i = 0; i < 2; i++) (void)pthread_join(thread[i], NULL);
    CHECK_EQ(p.status[1], HG_E_STATE);
    CHECK_HAS(p.err[1].msg, "rank 1 begins at step 0");
    CHECK_HAS(p.err[1].msg, "out and data must lie where all ranks see the same files");
    CHECK_EQ(p.status[0], HG_E_IO);
    hg_hub_free(p.hub);
}

static double first_norm(const char *out)
{
    hg_err e = {0};
    hg_buf log = {0};
    char path[1200];
    static const char key[] = "\"grad_norm\":";
    (void)snprintf(path, sizeof path, "%s/log.jsonl", out);
    CHECK_OK(hg_file_read(&log, path, 1 << 24, &e), e);
    const char *at = strstr(log.p, key);
    CHECK(at != NULL);
    const double norm = strtod(at + strlen(key), NULL);
    hg_buf_free(&log);
    return norm;
}

/* What is timed before the first step must leave nothing behind in the rings. */
TEST_SECONDS(a_time_budget_does_not_change_the_first_step_of_several_ranks, 60)
{
    static const char *const set[] = {"max_minutes=0.03", "precision=f32",   "batch_size=6",
                                      "sample_tokens=0",  "val_every=10000", NULL};
    prepare();
    const char *one = out_folder("one"), *two = out_folder("two");
    train_whole(1, set, one);
    train_whole(2, set, two);
    CHECK_NEAR(first_norm(two), first_norm(one), 1e-4 * first_norm(one));
}

static bool has_samples(const char *out)
{
    hg_err e = {0};
    hg_buf log = {0};
    char path[1200];
    (void)snprintf(path, sizeof path, "%s/log.jsonl", out);
    CHECK_OK(hg_file_read(&log, path, 1 << 24, &e), e);
    const bool has = strstr(log.p, "\"sample\"") != NULL;
    hg_buf_free(&log);
    return has;
}

/* Rank 0 samples while the others wait, and they have little patience when they were asked to end.
 */
TEST_SECONDS(ranks_that_are_asked_to_end_write_their_checkpoint_and_do_not_sample, 60)
{
    static const char *const set[] = {"steps=12",       "precision=f32",   "batch_size=6",
                                      "sample_every=5", "sample_tokens=8", NULL};
    prepare();
    for (int n = 1; n <= 2; n++) {
        const char *out = out_folder(n == 1 ? "one" : "two");
        party p = {.n = n, .out = out, .set = set, .stop_after = 5};
        train(&p);
        for (int i = 0; i < n; i++) CHECK_EQ(p.status[i], HG_E_CANCELED);
        char path[1200];
        (void)snprintf(path, sizeof path, "%s/checkpoints/step-000000005.hgc", out);
        CHECK(hg_path_exists(path));
        CHECK_EQ(has_samples(out), n == 1);
    }
}

/* Before anything is measured or written. */
TEST_SECONDS(methods_that_one_process_learns_refuse_several_at_once, 60)
{
    static const char *const methods[] = {"dpo", "ipo", "hinge", "orpo", "kto", "grpo"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        hg_recipe r;
        hg_err e = {0};
        char assign[64], want[200];
        hg_ranks *two = (hg_ranks *)&r; /* looked at by nobody */
        CHECK_OK(hg_recipe_init(&r, HG_STAGE_TUNE, &e), e);
        (void)snprintf(assign, sizeof assign, "method=%s", methods[i]);
        CHECK_OK(hg_recipe_set(&r, assign, &e), e);
        CHECK_OK(hg_method_defaults(&r, &e), e);
        r.ranks = two;
        CHECK_EQ(hg_method_defaults(&r, &e), HG_E_UNSUPPORTED);
        (void)snprintf(want, sizeof want,
                       "method \"%s\" is learnt by one process; launch it without mpirun or srun",
                       methods[i]);
        CHECK_STR(e.msg, want);
        hg_recipe_free(&r);
    }
}

TEST(exact_weights_beside_a_bfloat16_wire_are_counted_of_what_is_trained)
{
    const hg_source source = {.seq_len = 32};
    hg_recipe r;
    hg_model_config c;
    hg_memory_plan p = {0};
    hg_hub *hub = NULL;
    hg_ranks_options o;
    hg_err e = {0};
    hg_runtime *rt = fixture_runtime(1);
    hg_ranks_options_init(&o);
    o.hasty_s = 0.1; /* the other rank is not there */
    CHECK_OK(hg_hub_new(&hub, 2, &e), e);
    const hg_transport t = hg_hub_transport(hub, 0);
    CHECK_OK(hg_recipe_init(&r, HG_STAGE_TRAIN, &e), e);
    CHECK_OK(hg_recipe_set(&r, "depth=2", &e), e);
    CHECK_OK(hg_recipe_set(&r, "d_model=32", &e), e);
    CHECK_OK(hg_recipe_set(&r, "wire=bf16", &e), e);
    CHECK_OK(hg_recipe_shape(&r, 320, &c, &e), e);
    CHECK_OK(hg_ranks_new(&r.ranks, &t, &o, &e), e);
    CHECK_OK(
        hg_memory_plan_make(&p, &c, 1000, 100000, NULL, 0, &source, &r, rt, HG_COMPUTE_F32, &e), e);
    CHECK_EQ(p.moments, (8 + 4) * 1000 / 2);
    hg_ranks_close(r.ranks);
    hg_hub_free(hub);
    hg_recipe_free(&r);
    hg_runtime_free(rt);
}

/* What each of two ranks is to take is six tenths of what is free. */
static hg_status plan_of_two(int n_local, hg_err *e)
{
    const hg_source source = {.seq_len = 32};
    const uint64_t adapter = hg_memory_free() / 10 * 6 / 12; /* 4 + 4 bytes, half of 8 of moments */
    hg_recipe r;
    hg_model_config c;
    hg_memory_plan p = {0};
    hg_hub *hub = NULL;
    hg_ranks_options o;
    hg_runtime *rt = fixture_runtime(1);
    hg_ranks_options_init(&o);
    o.hasty_s = 0.1; /* the other rank is not there */
    CHECK_OK(hg_hub_new(&hub, 2, e), *e);
    hg_transport t = hg_hub_transport(hub, 0);
    t.n_local = n_local;
    CHECK_OK(hg_recipe_init(&r, HG_STAGE_TRAIN, e), *e);
    CHECK_OK(hg_recipe_set(&r, "depth=2", e), *e);
    CHECK_OK(hg_recipe_set(&r, "d_model=32", e), *e);
    CHECK_OK(hg_recipe_shape(&r, 320, &c, e), *e);
    CHECK_OK(hg_ranks_new(&r.ranks, &t, &o, e), *e);
    const hg_status s =
        hg_memory_plan_make(&p, &c, adapter, 100000, NULL, 0, &source, &r, rt, HG_COMPUTE_F32, e);
    hg_ranks_close(r.ranks);
    hg_hub_free(hub);
    hg_recipe_free(&r);
    hg_runtime_free(rt);
    return s;
}

TEST(ranks_of_one_machine_must_fit_it_together)
{
    hg_err e = {0};
    CHECK_OK(plan_of_two(1, &e), e);
    CHECK_EQ(plan_of_two(2, &e), HG_E_LIMIT);
    CHECK_HAS(e.msg, "2 ranks on this machine need ");
    CHECK_HAS(e.msg, " GB are free; a smaller micro_batch, seq_len or depth needs less");
}
