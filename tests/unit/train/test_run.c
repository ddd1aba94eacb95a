/* Whole runs on a tiny model: learning, stopping, going on bit for bit, memory, packing. */
#include "fixture.h"
#include "harness/hub.h"
#include "kernels/measure.h"
#include "train/optim_shards.h"
#include "train/packed.h"
#include "train/windows.h"
#include <higgins/quantize.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static void prepare(void)
{
    (void)fixture_tokenizer(fixture_corpus());
    (void)fixture_chats();
}

static const char *join(const char *dir, const char *name)
{
    static char path[4][1200];
    static int at;
    at = (at + 1) % 4;
    (void)snprintf(path[at], sizeof path[at], "%s/%s", dir, name);
    return path[at];
}

static void check_same_run(const char *a, const char *b, const char *checkpoint)
{
    CHECK(
        fixture_same_file(join(a, "model/model.safetensors"), join(b, "model/model.safetensors")));
    /* Times and joules differ: all behind the header is compared. */
    hg_checkpoint ca, cb;
    hg_err e = {0};
    CHECK_OK(hg_checkpoint_open(&ca, join(a, checkpoint), &e), e);
    CHECK_OK(hg_checkpoint_open(&cb, join(b, checkpoint), &e), e);
    CHECK_EQ(ca.n_moments, cb.n_moments);
    CHECK_EQ(ca.n_seconds, cb.n_seconds);
    CHECK_EQ(ca.n_average, cb.n_average);
    CHECK_EQ(memcmp(ca.weights, cb.weights,
                    (2 * ca.n_moments + ca.n_seconds + ca.n_average) * sizeof(float)),
             0);
    CHECK_EQ(ca.state.position, cb.state.position);
    CHECK_NEAR(ca.state.smooth_loss, cb.state.smooth_loss, 0);
    hg_checkpoint_close(&ca);
    hg_checkpoint_close(&cb);
}

static void resume_is_exact_at(const char *const *set, bool tune, int threads_before,
                               int threads_after, int step)
{
    char words[128];
    hg_err e = {0};
    hg_train_result r;
    const char *base = NULL;
    hg_runtime *one = fixture_runtime(threads_before), *two = fixture_runtime(threads_after);
    char whole[1100], parts[1100];
    (void)snprintf(whole, sizeof whole, "%s", test_path("whole"));
    (void)snprintf(parts, sizeof parts, "%s", test_path("parts"));
    prepare();
    static const char *const short_run[] = {"steps=3", NULL};
    if (tune) {
        CHECK_OK(fixture_train(one, NULL, false, test_path("base"), short_run, &r, &e), e);
        base = test_path("base/model");
    }
#define RUN(rt, w, resume, out)                                 \
    (tune ? fixture_tune(rt, w, resume, base, out, set, &r, &e) \
          : fixture_train(rt, w, resume, out, set, &r, &e))
    CHECK_OK(RUN(one, NULL, false, whole), e);
    CHECK_EQ(r.steps, 20);
    CHECK(r.is_finished);
    CHECK_EQ(RUN(one, fixture_stop_after(step), false, parts), HG_E_CANCELED);
    (void)snprintf(words, sizeof words,
                   "stopped after step %d of 20, with a checkpoint; go on with --resume", step);
    CHECK_STR(e.msg, words);
    CHECK(!hg_path_exists(join(parts, "model")));
    CHECK_OK(RUN(two, NULL, true, parts), e);
    CHECK_EQ(r.steps, 20);
    check_same_run(whole, parts, "checkpoints/step-000000020.hgc");
    hg_runtime_free(one);
    hg_runtime_free(two);
#undef RUN
}

static void resume_is_exact(const char *const *set, bool tune, int threads_before,
                            int threads_after)
{
    resume_is_exact_at(set, tune, threads_before, threads_after, 10);
}

TEST(a_resumed_run_is_the_same_bit_for_bit)
{
    static const char *const set[] = {"steps=20", NULL};
    resume_is_exact(set, false, 2, 2);
}

TEST(a_resumed_run_with_accumulation_and_another_thread_count_is_the_same)
{
    static const char *const set[] = {"steps=20", "accumulation=3", "schedule=wsd", "precision=f32",
                                      NULL};
    resume_is_exact(set, false, 2, 1);
}

/* Muon, average and accumulation, stopped early, before and behind validations and late. */
static const char *const everything[] = {
    "steps=20",       "accumulation=2",  "optimizer=muon",     "ema=0.9",
    "recompute=true", "schedule=linear", "checkpoint_every=4", NULL};

TEST(a_run_with_muon_average_and_accumulation_stopped_at_step_1_is_the_same)
{
    resume_is_exact_at(everything, false, 2, 1, 1);
}

TEST(a_run_with_muon_average_and_accumulation_stopped_at_step_7_is_the_same)
{
    resume_is_exact_at(everything, false, 1, 2, 7);
}

TEST(a_run_with_muon_average_and_accumulation_stopped_at_step_19_is_the_same)
{
    resume_is_exact_at(everything, false, 2, 2, 19);
}

TEST(a_resumed_mixture_of_corpora_is_the_same_bit_for_bit)
{
    char corpora[2600];
    (void)snprintf(corpora, sizeof corpora, "corpus=%s,", test_path("corpus.jsonl"));
    (void)snprintf(corpora + strlen(corpora), 1200, "%s", test_path("small.jsonl"));
    const char *const set[] = {"steps=20", corpora, "weights=1,2", NULL};
    (void)fixture_file("small.jsonl",
                       "{\"text\": \"Quite another corpus, and a short one. The fox runs to the "
                       "hill, and the hen sleeps in the barn until the moon is up.\"}\n");
    resume_is_exact_at(set, false, 2, 1, 9);
}

TEST(a_resumed_tuning_is_the_same_bit_for_bit)
{
    static const char *const set[] = {"steps=20", "accumulation=2", "lr=1e-3", NULL};
    resume_is_exact(set, true, 2, 2);
}

TEST(resume_refuses_another_recipe_corpus_or_tokenizer_and_says_which)
{
    static const char *const set[] = {"steps=8", NULL},
                             *const other[] = {"steps=8", "lr=5e-4", NULL},
                             *const free_key[] = {"steps=8", "keep=5", NULL};
    hg_err e = {0};
    hg_train_result r;
    hg_runtime *rt = fixture_runtime(2);
    const char *out = test_path("run");
    prepare();
    CHECK_EQ(fixture_train(rt, fixture_stop_after(4), false, out, set, &r, &e), HG_E_CANCELED);
    CHECK_EQ(fixture_train(rt, NULL, false, out, set, &r, &e), HG_E_STATE);
    CHECK_HAS(e.msg, "already holds a run (step-000000004.hgc); go on with it by --resume, or "
                     "choose another out");
    CHECK_EQ(fixture_train(rt, NULL, true, out, other, &r, &e), HG_E_STATE);
    CHECK_HAS(e.msg, "the recipe now says \"lr: 0.0005");
    (void)fixture_file(
        "corpus.jsonl",
        "{\"text\": \"Quite another corpus, and a short one. The fox runs to the hill.\"}\n");
    CHECK_EQ(fixture_train(rt, NULL, true, out, set, &r, &e), HG_E_STATE);
    CHECK_HAS(e.msg, "was made with other data");
    (void)fixture_corpus();
    CHECK_OK(fixture_train(rt, NULL, true, out, free_key, &r, &e), e);
    CHECK_EQ(r.steps, 8);
    hg_runtime_free(rt);
}

TEST(a_tiny_corpus_is_learnt_by_heart)
{
    static const char *const set[] = {"steps=150", "lr=1e-2", "val_share=0", "weight_decay=0",
                                      NULL};
    hg_err e = {0};
    hg_train_result r;
    hg_runtime *rt = fixture_runtime(2);
    prepare();
    (void)fixture_file(
        "corpus.jsonl",
        "{\"text\": \"The old fox sleeps under the hill while the hen sings to the moon.\"}\n");
    CHECK_OK(fixture_train(rt, NULL, false, test_path("run"), set, &r, &e), e);
    CHECK(r.loss < 0.1);
    CHECK(isnan(r.val_loss));
    hg_runtime_free(rt);
}

TEST(the_finished_model_opens_and_the_run_leaves_its_papers)
{
    static const char *const set[] = {"steps=10", "keep=1", "checkpoint_every=2", NULL};
    hg_err e = {0};
    hg_train_result r;
    hg_model *m = NULL;
    hg_runtime *rt = fixture_runtime(2);
    hg_buf log = {0}, page = {0};
    prepare();
    CHECK_OK(fixture_train(rt, NULL, false, test_path("run"), set, &r, &e), e);
    CHECK_OK(hg_model_open(&m, r.model, HG_WEIGHTS_AS_STORED, rt, &e), e);
    CHECK(hg_model_tokenizer(m) != NULL && hg_model_chat_template(m) != NULL);
    CHECK_EQ(hg_model_count(m), r.params);
    CHECK_OK(hg_file_read(&log, test_path("run/log.jsonl"), 1 << 20, &e), e);
    CHECK_HAS(log.p, "{\"step\":10,\"loss\":");
    CHECK_HAS(log.p, "\"val_loss\":");
    CHECK_HAS(log.p, "\"sample\":");
    CHECK_OK(hg_file_read(&page, test_path("run/report.html"), 1 << 22, &e), e);
    CHECK_HAS(page.p, "<svg");
    CHECK(hg_path_exists(test_path("run/run.json")));
    CHECK(hg_path_exists(test_path("run/checkpoints/step-000000010.hgc")));
    CHECK(!hg_path_exists(test_path("run/checkpoints/step-000000008.hgc")));
    /* Once more with --resume: nothing to do. */
    CHECK_OK(fixture_train(rt, NULL, true, test_path("run"), set, &r, &e), e);
    CHECK(r.is_finished);
    hg_model_free(m);
    hg_buf_free(&log);
    hg_buf_free(&page);
    hg_runtime_free(rt);
}

static const char *const some_mb[] = {
    "steps=3",       "depth=4",        "d_model=192",   "n_heads=3",          "seq_len=256",
    "batch_size=16", "sample_every=2", "precision=f32", "checkpoint_every=1", NULL};

static void train_within_plan(hg_runtime *rt, const hg_watch *w, bool resume)
{
    hg_err e = {0};
    hg_train_result r;
    CHECK_OK(fixture_train(rt, w, resume, test_path("run"), some_mb, &r, &e), e);
    CHECK((double)r.need_bytes > 100e6);
    fixture_check_plan(&r);
}

TEST_SECONDS(the_memory_said_before_covers_what_is_used_and_little_more, 120)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    test_skip("a sanitizer's own memory is counted too");
#endif
    hg_runtime *rt = fixture_runtime(2);
    prepare();
    train_within_plan(rt, NULL, false);
    hg_runtime_free(rt);
}

/* Several times what the run takes, given back before it begins. */
static void touch_much(void *ctx, hg_level level, const char *text)
{
    enum { SIZE = 512 << 20 };
    (void)ctx, (void)level;
    if (strstr(text, " documents, ") == NULL) return;
    void *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    memset(p, 1, SIZE);
    CHECK_EQ(munmap(p, SIZE), 0);
}

TEST_SECONDS(the_memory_told_of_a_run_is_its_own_and_not_that_of_reading_before_it, 120)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    test_skip("a sanitizer's own memory is counted too");
#endif
    const hg_watch w = {.log = touch_much};
    hg_err e = {0};
    hg_train_result r;
    hg_runtime *rt = fixture_runtime(2);
    if (!hg_peak_rss_reset()) test_skip("a peak never falls here");
    prepare();
    train_within_plan(rt, &w, false);
    /* A checkpoint that is gone on from is mapped whole for a while. */
    CHECK_EQ(fixture_train(rt, fixture_stop_after(1), false, test_path("parts"), some_mb, &r, &e),
             HG_E_CANCELED);
    CHECK_OK(fixture_train(rt, NULL, true, test_path("parts"), some_mb, &r, &e), e);
    fixture_check_plan(&r);
    hg_runtime_free(rt);
}

/* Each kind of tuning. */
static void tune_within_plan(const char *lora, const char *recompute, bool in_blocks)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    test_skip("a sanitizer's own memory is counted too");
#endif
    char base[1200];
    const char *const set[] = {lora,           recompute,        "steps=2",       "seq_len=128",
                               "batch_size=8", "sample_every=1", "precision=f32", NULL};
    hg_err e = {0};
    hg_train_result r;
    prepare();
    (void)snprintf(base, sizeof base, "%s", test_path("base"));
    fixture_model(base, 320, 8);
    hg_runtime *rt = fixture_runtime(2);
    if (in_blocks) {
        hg_quantize_options o;
        hg_quantize_options_init(&o);
        o.type = "q8_0";
        CHECK_OK(hg_model_quantize(base, test_path("base.gguf"), &o, NULL, rt, NULL, &e), e);
        (void)snprintf(base, sizeof base, "%s", test_path("base.gguf"));
    }
    CHECK_OK(fixture_tune(rt, NULL, false, base, test_path("run"), set, &r, &e), e);
    CHECK((double)r.need_bytes > 40e6);
    fixture_check_plan(&r);
    /* The largest weight is small: no slice of 16 MiB is made of it. */
    if (in_blocks) CHECK((double)r.need_bytes < 1.08 * (double)r.peak_bytes);
    hg_runtime_free(rt);
}

TEST_SECONDS(the_memory_said_before_a_tuning_covers_what_is_used, 120)
{
    tune_within_plan("lora_rank=0", "recompute=false", false);
}
TEST_SECONDS(the_memory_said_before_covers_blocks_that_are_run_again, 120)
{
    tune_within_plan("lora_rank=0", "recompute=true", false);
}
TEST_SECONDS(the_memory_said_before_covers_an_adapter, 120)
{
    tune_within_plan("lora_rank=16", "recompute=false", false);
}
TEST_SECONDS(the_memory_said_before_covers_an_adapter_on_blocks_that_are_run_again, 120)
{
    tune_within_plan("lora_rank=16", "recompute=true", false);
}
TEST_SECONDS(the_memory_said_before_covers_an_adapter_on_a_base_in_blocks, 120)
{
    tune_within_plan("lora_rank=16", "recompute=false", true);
}

TEST(a_run_that_exceeds_the_machine_is_refused_before_it_begins)
{
    static const char *const set[] = {"steps=3", "depth=128", "d_model=8192", NULL};
    hg_err e = {0};
    hg_train_result r;
    hg_runtime *rt = fixture_runtime(2);
    prepare();
    CHECK_EQ(fixture_train(rt, NULL, false, test_path("run"), set, &r, &e), HG_E_LIMIT);
    CHECK_HAS(e.msg, "GB of memory and");
    hg_runtime_free(rt);
}

TEST(memory_that_a_run_holds_already_is_not_asked_for_again)
{
    enum { GIB = 1 << 30 };
    hg_err e = {0};
    const size_t held = (size_t)2 * GIB;
    hg_memory_plan p = {.before = hg_memory_before()};
    if (hg_memory_free() < held + GIB || hg_memory_free() == UINT64_MAX)
        test_skip("too little is free");
    p.total = hg_memory_free() - GIB;
    void *base = mmap(NULL, held, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(base != MAP_FAILED);
    memset(base, 1, held);
    CHECK_OK(hg_memory_plan_check(&p, &e), e);
    p.before += held; /* what another has */
    CHECK_EQ(hg_memory_plan_check(&p, &e), HG_E_LIMIT);
    CHECK_EQ(munmap(base, held), 0);
}

TEST(a_time_budget_ends_the_run_in_time)
{
    static const char *const set[] = {"max_minutes=0.1", "sample_tokens=0", NULL};
    hg_err e = {0};
    hg_train_result r;
    hg_runtime *rt = fixture_runtime(2);
    prepare();
    double start = hg_seconds();
    CHECK_OK(fixture_train(rt, NULL, false, test_path("run"), set, &r, &e), e);
    CHECK(hg_seconds() - start < 10);
    CHECK(r.steps == r.total_steps && r.steps > 5);
    hg_runtime_free(rt);
}

/* ---- below the loop ---- */

typedef struct little {
    hg_recipe r;
    hg_tokenizer *t;
    hg_chats chats;
    hg_packed packed;
    hg_model *m;
    hg_runtime *rt;
    hg_arena mem;
} little;

static void little_open(little *l, size_t seq_len)
{
    hg_err e = {0};
    memset(l, 0, sizeof *l);
    hg_arena_init(&l->mem, 0);
    prepare();
    l->rt = fixture_runtime(2);
    CHECK_OK(hg_tokenizer_open(&l->t, test_path("tokenizer.json"), &e), e);
    CHECK_OK(hg_chats_load(&l->chats, test_path("chats.jsonl"), &e), e);
    CHECK_OK(hg_packed_init(&l->packed, &l->chats, l->t, NULL, seq_len, 0, 1, &l->mem, NULL, &e),
             e);
    CHECK_OK(hg_recipe_init(&l->r, HG_STAGE_TUNE, &e), e);
    const hg_model_config c = {.arch = "llama",
                               .n_layers = 2,
                               .d_model = 32,
                               .n_heads = 2,
                               .n_kv_heads = 2,
                               .d_head = 16,
                               .d_ff = 64,
                               .n_vocab = hg_tokenizer_count(l->t),
                               .n_ctx = 256,
                               .norm_eps = 1e-5f,
                               .rope_theta = 1e4f,
                               .tie_embeddings = true,
                               .bos_id = -1,
                               .eos_id = -1,
                               .pad_id = -1};
    CHECK_OK(hg_model_new(&l->m, &c, 3, &e), e);
}

static void little_close(little *l)
{
    hg_packed_free(&l->packed);
    hg_chats_free(&l->chats);
    hg_model_free(l->m);
    hg_tokenizer_free(l->t);
    hg_recipe_free(&l->r);
    hg_arena_free(&l->mem);
    hg_runtime_free(l->rt);
}

/* Loss and gradient of one whole epoch of l->packed, in one step of `accumulation` batches. */
static double epoch_loss(little *l, int64_t batch, int64_t accumulation, float *grad, size_t n_grad)
{
    hg_err e = {0};
    hg_learner s;
    hg_step_result r;
    l->r.batch_size = batch;
    l->r.accumulation = accumulation;
    CHECK_OK(
        hg_learner_init(&s, l->m, l->rt, HG_COMPUTE_F32, &l->packed.source, &l->r, 0, &l->mem, &e),
        e);
    CHECK_OK(hg_learner_gradients(&s, 0, &r, &e), e);
    memcpy(grad, l->m->layer[0].q->grad, n_grad * sizeof *grad);
    hg_optim_zero_grad(&s.optim);
    hg_learner_free(&s);
    return r.loss;
}

TEST(an_objective_of_whole_sequences_is_refused_to_several_ranks)
{
    hg_err e = {0};
    hg_learner s = {.accumulation = 1, .batch_size = 1};
    hg_step_result r;
    hg_source source = {.seq_len = 8};
    int some = 0;
    s.text = hg_objective_text();
    s.text.name = "preferences";
    s.text.is_shared = false;
    s.objective = &s.text;
    s.source = &source;
    s.ranks = (hg_ranks *)(void *)&some; /* refused before it is looked into */
    CHECK_EQ(hg_learner_gradients(&s, 0, &r, &e), HG_E_UNSUPPORTED);
    CHECK_STR(e.msg, "preferences is learnt by one process; launch it without mpirun or srun");
}

/* One rank, so that its rings are done at once; what is looked at is when they began. */
static void sums_begin_early(bool recompute)
{
    hg_err e = {0};
    hg_learner s;
    hg_step_result r;
    hg_hub *hub;
    hg_ranks_options o;
    little l;
    little_open(&l, 64);
    hg_ranks_options_init(&o);
    CHECK_OK(hg_hub_new(&hub, 1, &e), e);
    const hg_transport t = hg_hub_transport(hub, 0);
    CHECK_OK(hg_ranks_new(&l.r.ranks, &t, &o, &e), e);
    l.r.recompute = recompute;
    CHECK_OK(hg_learner_init(&s, l.m, l.rt, HG_COMPUTE_F32, &l.packed.source, &l.r, 0, &l.mem, &e),
             e);
    const hg_shards *shards = s.optim.shards;
    CHECK_EQ(shards->n_buckets, 4); /* embeddings, two blocks, the final norm */
    for (uint64_t step = 0; step < 3; step++) {
        double norm;
        CHECK_OK(hg_learner_gradients(&s, step * s.batch_size, &r, &e), e);
        CHECK_EQ(shards->n_left, 1); /* all but the embeddings' */
        CHECK_OK(hg_optim_reduce(&s.optim, &norm, &e), e);
        CHECK_EQ(shards->n_left, shards->n_buckets);
        CHECK_OK(hg_optim_step(&s.optim, 1e-3, norm, &e), e);
        for (size_t b = 1; b < shards->n_buckets; b++)
            CHECK_EQ(shards->bucket[b].ticket, shards->bucket[0].ticket + b);
    }
    hg_learner_free(&s);
    hg_ranks_close(l.r.ranks);
    hg_hub_free(hub);
    little_close(&l);
}

TEST(sums_between_ranks_begin_within_the_backward_pass)
{
    sums_begin_early(false);
}

TEST(sums_begin_within_the_backward_pass_of_blocks_that_are_run_again)
{
    sums_begin_early(true);
}

TEST(packed_and_lone_conversations_give_the_same_loss_and_gradient)
{
    enum { N = 32 * 32 };
    little l;
    float packed[N], lone[N];
    little_open(&l, 128);
    CHECK(l.packed.source.n_rows < 30);
    double a = epoch_loss(&l, (int64_t)l.packed.source.n_rows, 1, packed, N);
    /* A row for each: rows too short for two of them. */
    hg_err e = {0};
    size_t longest = 0;
    for (size_t i = 0; i < l.packed.n_chats; i++)
        if (l.packed.chat[i].n > longest) longest = l.packed.chat[i].n;
    hg_packed_free(&l.packed);
    CHECK_OK(hg_packed_init(&l.packed, &l.chats, l.t, NULL, longest, 0, 1, &l.mem, NULL, &e), e);
    CHECK_EQ(l.packed.source.n_rows, 30);
    double b = epoch_loss(&l, 30, 1, lone, N);
    CHECK_NEAR(a, b, 1e-5);
    for (size_t i = 0; i < N; i++) CHECK_NEAR(packed[i], lone[i], 1e-6);
    little_close(&l);
}

TEST(accumulation_gives_the_gradient_of_the_whole_batch)
{
    enum { N = 32 * 32 };
    little l;
    float whole[N], parts[N];
    little_open(&l, 64);
    int64_t rows = (int64_t)l.packed.source.n_rows / 2 * 2;
    double a = epoch_loss(&l, rows, 1, whole, N);
    double b = epoch_loss(&l, rows / 2, 2, parts, N);
    CHECK_NEAR(a, b, 1e-5);
    for (size_t i = 0; i < N; i++) CHECK_NEAR(whole[i], parts[i], 1e-6);
    little_close(&l);
}

TEST(a_step_takes_no_memory_after_the_first)
{
    little l;
    hg_err e = {0};
    hg_learner s;
    hg_step_result r;
    little_open(&l, 64);
    CHECK_OK(hg_learner_init(&s, l.m, l.rt, HG_COMPUTE_F32, &l.packed.source, &l.r, 0, &l.mem, &e),
             e);
    CHECK_OK(hg_learner_step(&s, 0, 1e-3, &r, &e), e);
    size_t step = s.step.peak, mem = l.mem.used;
    for (uint64_t i = 1; i < 5; i++)
        CHECK_OK(hg_learner_step(&s, i * s.batch_size, 1e-3, &r, &e), e);
    /* Rows differ in their number of spans: some bytes, not activations. */
    CHECK(s.step.peak <= step + 65536);
    CHECK_EQ(l.mem.used, mem);
    hg_learner_free(&s);
    little_close(&l);
}

TEST(steps_without_a_finite_loss_are_skipped_and_ten_in_a_row_end_the_run)
{
    little l;
    hg_err e = {0};
    hg_train_result r;
    hg_memory_plan plan = {0};
    hg_buf lines = {0};
    little_open(&l, 64);
    CHECK_OK(hg_recipe_set(&l.r, "steps=30", &e), e);
    l.r.out = test_path("run");
    ((float *)l.m->final_norm->data)[3] = NAN;
    float before = ((float *)l.m->layer[0].q->data)[0];
    const hg_run_job job = {.recipe = &l.r,
                            .model = l.m,
                            .source = &l.packed.source,
                            .rt = l.rt,
                            .plan = &plan,
                            .watch = fixture_listen(&lines),
                            .started = hg_seconds()};
    memset(&r, 0, sizeof r);
    CHECK_EQ(hg_trainer_run(&job, &r, &e), HG_E_STATE);
    CHECK_STR(e.msg, "10 steps in a row gave no finite loss or gradient (last: step 10); begin "
                     "anew from an older "
                     "checkpoint with a lower lr");
    CHECK_HAS(lines.p, "step 1: loss ");
    CHECK_HAS(lines.p, "the step is skipped");
    CHECK_NEAR(((float *)l.m->layer[0].q->data)[0], before, 0);
    hg_buf_free(&lines);
    little_close(&l);
}

static size_t count(const char *path, const char *what)
{
    hg_buf log = {0};
    hg_err e = {0};
    size_t n = 0;
    CHECK_OK(hg_file_read(&log, path, 1 << 24, &e), e);
    for (const char *at = log.p; (at = strstr(at, what)) != NULL; at++) n++;
    hg_buf_free(&log);
    return n;
}

TEST(an_interrupt_skips_neither_the_validation_nor_the_sample_of_its_step)
{
    static const char *const set[] = {"steps=20", "checkpoint_every=10", NULL};
    hg_train_result r;
    hg_err e = {0};
    char path[1100];
    hg_runtime *rt = fixture_runtime(2);
    prepare();
    (void)snprintf(path, sizeof path, "%s", test_path("parts"));
    CHECK_EQ(fixture_train(rt, fixture_stop_after(10), false, path, set, &r, &e), HG_E_CANCELED);
    CHECK_EQ(count(join(path, "log.jsonl"), "{\"step\":10,\"val_loss\":"), 1);
    CHECK_EQ(count(join(path, "log.jsonl"), "{\"step\":10,\"prompt\":"), 1);
    CHECK_OK(fixture_train(rt, NULL, true, path, set, &r, &e), e);
    CHECK_EQ(count(join(path, "log.jsonl"), "\"val_loss\":"), 4);
    CHECK_EQ(count(join(path, "log.jsonl"), "\"sample\":"), 2);
    hg_runtime_free(rt);
}
