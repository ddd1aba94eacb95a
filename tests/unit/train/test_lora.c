/* Tuning an adapter: the weights stay, resuming is exact, and what is written adds the same. */
#include "base/file.h"
#include "fixture.h"
#include "model/adapter.h"
#include "model/tuning.h"
#include "train/first_model.h"
#include "train/learner.h"
#include <higgins/infer.h>
#include <higgins/quantize.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *at(const char *name)
{
    static char path[64][1200];
    static int k;
    k = (k + 1) % 64;
    (void)snprintf(path[k], sizeof path[k], "%s", test_path(name));
    return path[k];
}

/* A base of that architecture, a little trained. */
static const char *base_of(const char *arch)
{
    char assign[64], name[64];
    hg_err e = {0};
    hg_train_result r;
    hg_runtime *rt = fixture_runtime(2);
    (void)snprintf(assign, sizeof assign, "arch=%s", arch);
    (void)snprintf(name, sizeof name, "base-%s", arch);
    const char *const set[] = {assign, "steps=3", "save_type=f32", NULL};
    (void)fixture_tokenizer(fixture_corpus());
    (void)fixture_chats();
    CHECK_OK(fixture_train(rt, NULL, false, at(name), set, &r, &e), e);
    hg_runtime_free(rt);
    (void)snprintf(name, sizeof name, "base-%s/model", arch);
    return at(name);
}

static const char *const lora[] = {
    "steps=12",       "lora_rank=4", "lora_alpha=8",  "lora_dropout=0.2",
    "accumulation=2", "lr=1e-2",     "precision=f32", NULL};

static void tune(const char *base, const char *out, const char *const *set, bool resume,
                 const hg_watch *w, int threads, hg_status want, hg_err *e)
{
    hg_train_result r;
    hg_runtime *rt = fixture_runtime(threads);
    const hg_status s = fixture_tune(rt, w, resume, base, out, set, &r, e);
    if (want == HG_OK) CHECK_OK(s, *e);
    CHECK_EQ(s, want);
    hg_runtime_free(rt);
    if (want != HG_OK) return;
    CHECK(r.is_finished);
    CHECK(strstr(r.model, "/adapter") != NULL);
}

TEST(a_resumed_adapter_with_dropout_and_accumulation_is_the_same_bit_for_bit)
{
    hg_err e = {0};
    const char *base = base_of("llama");
    tune(base, at("whole"), lora, false, NULL, 2, HG_OK, &e);
    for (int step = 1; step < 12; step += 5) {
        char out[80];
        (void)snprintf(out, sizeof out, "parts%d", step);
        tune(base, at(out), lora, false, fixture_stop_after(step), 2, HG_E_CANCELED, &e);
        tune(base, at(out), lora, true, NULL, 1, HG_OK, &e);
        (void)snprintf(out, sizeof out, "parts%d/adapter/adapter_model.safetensors", step);
        CHECK(fixture_same_file(at("whole/adapter/adapter_model.safetensors"), at(out)));
    }
}

TEST(blocks_that_are_run_again_give_an_adapter_the_same_gradients)
{
    static const char *const kept[] = {"steps=4", "lora_rank=4",     "lora_dropout=0.2",
                                       "lr=1e-2", "recompute=false", NULL};
    static const char *const again[] = {"steps=4", "lora_rank=4",    "lora_dropout=0.2",
                                        "lr=1e-2", "recompute=true", NULL};
    hg_err e = {0};
    const char *base = base_of("llama");
    tune(base, at("kept"), kept, false, NULL, 2, HG_OK, &e);
    tune(base, at("again"), again, false, NULL, 2, HG_OK, &e);
    CHECK(fixture_same_file(at("kept/adapter/adapter_model.safetensors"),
                            at("again/adapter/adapter_model.safetensors")));
}

/* Logits behind a few tokens, with an adapter's file, or none. */
static void logits_of(const char *model, const char *adapter, float *out, size_t n_vocab)
{
    static const int32_t ids[] = {40, 41, 42, 50, 60, 70};
    hg_err e = {0};
    hg_model *m = NULL;
    hg_adapter *a = NULL;
    hg_session *s = NULL;
    const float *logits = NULL;
    hg_runtime *rt = fixture_runtime(1);
    const hg_session_options o = {.n_ctx = 32, .cache = HG_CACHE_F32};
    CHECK_OK(hg_model_open(&m, model, HG_WEIGHTS_F32, rt, &e), e);
    CHECK_OK(hg_session_new(&s, m, rt, &o, &e), e);
    if (adapter != NULL) {
        CHECK_OK(hg_adapter_open(&a, adapter, m, rt, &e), e);
        const hg_adapter_use use = {a, 1};
        CHECK_OK(hg_session_set_adapters(s, &use, 1, &e), e);
    }
    CHECK_OK(hg_session_feed(s, ids, 6, &logits, &e), e);
    memcpy(out, logits, n_vocab * sizeof *out);
    hg_session_free(s);
    hg_adapter_free(a);
    hg_model_free(m);
    hg_runtime_free(rt);
}

static double apart(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)a[i] - (double)b[i];
        sum += d * d;
    }
    return sqrt(sum);
}

TEST(what_is_written_adds_what_was_trained_in_every_form)
{
    static const char *const archs[] = {"llama", "gpt2", "phi3", "gpt_neox", "gemma2", "qwen2"};
    enum { N_VOCAB = 320 };
    float bare[N_VOCAB], peft[N_VOCAB], gguf[N_VOCAB], merged[N_VOCAB];
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++) {
        hg_err e = {0};
        uint64_t step = 0;
        char out[32], path[64], whole[64];
        const char *base = base_of(archs[i]);
        (void)snprintf(out, sizeof out, "tuned-%s", archs[i]);
        tune(base, at(out), lora, false, NULL, 2, HG_OK, &e);
        (void)snprintf(path, sizeof path, "%s.gguf", out);
        (void)snprintf(whole, sizeof whole, "%s-merged", out);
        CHECK_OK(hg_train_export(at(out), 0, at(path), HG_WEIGHTS_F32, false, NULL, &step, &e), e);
        CHECK_EQ(step, 12);
        CHECK_OK(hg_train_export(at(out), 0, at(whole), HG_WEIGHTS_F32, true, NULL, &step, &e), e);
        logits_of(base, NULL, bare, N_VOCAB);
        logits_of(base, at(path), gguf, N_VOCAB);
        (void)snprintf(path, sizeof path, "%s/adapter", out);
        logits_of(base, at(path), peft, N_VOCAB);
        logits_of(at(whole), NULL, merged, N_VOCAB);
        CHECK(apart(bare, peft, N_VOCAB) > 0.05);
        CHECK(apart(peft, gguf, N_VOCAB) < 1e-5);
        CHECK(apart(peft, merged, N_VOCAB) < 2e-3);
    }
}

TEST(an_adapter_learns_and_the_held_out_loss_falls)
{
    static const char *const few[] = {"steps=1", "lora_rank=4", "lr=1e-9", "val_share=0.3", NULL};
    static const char *const many[] = {"steps=60", "lora_rank=4", "lr=1e-2", "val_share=0.3", NULL};
    hg_err e = {0};
    hg_train_result before, after;
    const char *base = base_of("llama");
    hg_runtime *rt = fixture_runtime(2);
    CHECK_OK(fixture_tune(rt, NULL, false, base, at("few"), few, &before, &e), e);
    CHECK_OK(fixture_tune(rt, NULL, false, base, at("many"), many, &after, &e), e);
    CHECK(after.val_loss < before.val_loss - 0.3);
    CHECK(after.params > 0);
    hg_runtime_free(rt);
}

TEST(targets_are_chosen_by_name)
{
    static const char *const some[] = {"steps=1", "lora_rank=2", "lora_targets=q,v", NULL};
    static const char *const bad[] = {"steps=1", "lora_rank=2", "lora_targets=q,w", NULL};
    static const char *const none[] = {"steps=1", "lora_rank=2", "lora_targets=gate", NULL};
    hg_err e = {0};
    hg_model *m = NULL;
    hg_adapter *a = NULL;
    hg_runtime *rt = fixture_runtime(1);
    const char *base = base_of("llama");
    tune(base, at("some"), some, false, NULL, 1, HG_OK, &e);
    CHECK_OK(hg_model_open(&m, base, HG_WEIGHTS_F32, rt, &e), e);
    CHECK_OK(hg_adapter_open(&a, at("some/adapter"), m, rt, &e), e);
    CHECK_EQ(hg_adapter_matrices(a), 4); /* of two layers */
    hg_adapter_free(a);
    hg_model_free(m);
    hg_runtime_free(rt);
    tune(base, at("bad"), bad, false, NULL, 1, HG_E_ARG, &e);
    CHECK_STR(e.msg,
              "lora_targets: \"w\" is none; all, or some of q, k, v, o, gate, up and down are");
    tune(base_of("gpt2"), at("none"), none, false, NULL, 1, HG_E_ARG, &e);
    CHECK_STR(e.msg, "lora_targets: a model of gpt2 has no matrix gate");
}

TEST(keys_of_adapters_are_refused_where_none_is_trained)
{
    static const char *const keys[] = {"lora_alpha", "lora_dropout", "lora_targets"};
    static const char *const values[] = {"8", "0.1", "q"};
    const char *base = base_of("llama");
    for (size_t i = 0; i < 3; i++) {
        hg_err e = {0};
        char assign[64], want[128];
        (void)snprintf(assign, sizeof assign, "%s=%s", keys[i], values[i]);
        const char *const set[] = {"steps=1", assign, NULL};
        tune(base, at("run"), set, false, NULL, 1, HG_E_ARG, &e);
        (void)snprintf(want, sizeof want,
                       "%s is for adapters; give lora_rank (or --lora) too, or leave it out",
                       keys[i]);
        CHECK_STR(e.msg, want);
    }
    static const char *const nothing[] = {"steps=1", "lora_rank=2", "lora_targets=", NULL};
    hg_err e = {0};
    tune(base, at("run"), nothing, false, NULL, 1, HG_E_ARG, &e);
    CHECK_STR(e.msg, "lora_targets: an empty list trains nothing; all, or some of q, k, v, o, "
                     "gate, up and down are meant");
}

TEST(targets_that_a_file_holds_together_with_the_chosen_ones_are_told)
{
    static const char *const q[] = {"steps=1", "lora_rank=2", "lora_targets=q", NULL};
    hg_err e = {0};
    hg_buf said = {0};
    tune(base_of("gpt2"), at("gpt2"), q, false, fixture_listen(&said), 1, HG_OK, &e);
    CHECK_HAS(said.p, "lora_targets: gpt2's files hold k, v in one matrix with what is chosen: "
                      "they are trained too\n");
    hg_buf_free(&said);
    tune(base_of("llama"), at("llama"), q, false, fixture_listen(&said), 1, HG_OK, &e);
    CHECK(strstr(said.p, "lora_targets") == NULL);
    hg_buf_free(&said);
}

TEST(an_adapter_that_is_asked_for_has_the_recipes_rank_or_sixteen)
{
    static const char *const set[] = {"lora_rank=4"};
    for (size_t n = 0; n < 2; n++) {
        hg_recipe r;
        hg_err e = {0};
        hg_train_options o;
        hg_train_options_init(&o);
        o.lora = true;
        o.set = set;
        o.n_set = n;
        CHECK_OK(hg_recipe_make(&r, HG_STAGE_TUNE, &o, &e), e);
        CHECK_EQ(r.lora_rank, n == 0 ? 16 : 4);
        hg_recipe_free(&r);
    }
}

TEST(an_exported_adapter_names_its_base_and_is_merged_into_no_other)
{
    static const char *const other[] = {"steps=3", "save_type=f32", "seed=5", NULL};
    static const char weights[] = "model.safetensors";
    hg_err e = {0};
    uint64_t step = 0;
    hg_buf config = {0};
    hg_train_result r;
    char from[1300], to[1300], want[1300];
    const char *base = base_of("llama");
    tune(base, at("run"), lora, false, NULL, 2, HG_OK, &e);
    CHECK_OK(hg_train_export(at("run"), 0, at("out"), HG_WEIGHTS_F32, false, NULL, &step, &e), e);
    CHECK_OK(hg_file_read(&config, at("out/adapter_config.json"), 1 << 16, &e), e);
    (void)snprintf(want, sizeof want, "\"base_model_name_or_path\": \"%s\"", base);
    CHECK_HAS(config.p, want);
    hg_buf_free(&config);
    hg_runtime *rt = fixture_runtime(2);
    CHECK_OK(fixture_train(rt, NULL, false, at("other"), other, &r, &e), e);
    hg_runtime_free(rt);
    (void)snprintf(from, sizeof from, "%s/model/%s", at("other"), weights);
    (void)snprintf(to, sizeof to, "%s/%s", base, weights);
    CHECK_EQ(rename(from, to), 0);
    CHECK_EQ(hg_train_export(at("run"), 0, at("whole"), HG_WEIGHTS_F32, true, NULL, &step, &e),
             HG_E_STATE);
    CHECK_HAS(e.msg, "was made with another base model; put it back where the recipe has it");
    CHECK(!hg_path_exists(at("whole")));
}

/* ---- bases that are quantised ---- */

/* The base as a GGUF of that type, and the values of that file as floats in a folder. */
static void quantise(const char *base, const char *type, const char *gguf, const char *floats)
{
    hg_err e = {0};
    hg_quantize_options o;
    hg_quantize_report r;
    hg_quantize_options_init(&o);
    o.type = type;
    hg_runtime *rt = fixture_runtime(1);
    if (strcmp(type, "f16") == 0)
        CHECK_OK(hg_model_export_gguf(base, gguf, HG_WEIGHTS_F16, NULL, &e), e);
    else if (strcmp(type, "bf16") == 0)
        CHECK_OK(hg_model_export_gguf(base, gguf, HG_WEIGHTS_BF16, NULL, &e), e);
    else
        CHECK_OK(hg_model_quantize(base, gguf, &o, &r, rt, NULL, &e), e);
    hg_runtime_free(rt);
    CHECK_OK(hg_model_import(gguf, floats, HG_WEIGHTS_F32, &e), e);
}

TEST_SECONDS(an_adapter_on_a_quantised_base_learns_what_it_learns_on_its_values, 120)
{
    static const char *const types[] = {"q8_0", "q4_0", "f16", "bf16"};
    static const char *const set[] = {"steps=12",      "lora_rank=4",   "lr=1e-2", "accumulation=2",
                                      "val_share=0.3", "precision=f32", NULL};
    enum { N_VOCAB = 320 };
    float on_blocks[N_VOCAB], on_floats[N_VOCAB];
    hg_err e = {0};
    const char *base = base_of("llama");
    hg_runtime *rt = fixture_runtime(2);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        hg_train_result a, b;
        char gguf[64], floats[64], ran[2][64], adapter[2][160];
        (void)snprintf(gguf, sizeof gguf, "%s.gguf", types[i]);
        (void)snprintf(floats, sizeof floats, "%s-floats", types[i]);
        (void)snprintf(ran[0], 64, "on-%s", types[i]);
        (void)snprintf(ran[1], 64, "on-%s-floats", types[i]);
        quantise(base, types[i], at(gguf), at(floats));
        CHECK_OK(fixture_tune(rt, NULL, false, at(gguf), at(ran[0]), set, &a, &e), e);
        CHECK_OK(fixture_tune(rt, NULL, false, at(floats), at(ran[1]), set, &b, &e), e);
        CHECK_NEAR(a.val_loss, b.val_loss, 1e-5 * b.val_loss);
        CHECK_NEAR(a.loss, b.loss, 1e-5 * b.loss);
        for (int k = 0; k < 2; k++) (void)snprintf(adapter[k], 160, "%s/adapter", ran[k]);
        logits_of(at(floats), at(adapter[0]), on_blocks, N_VOCAB);
        logits_of(at(floats), at(adapter[1]), on_floats, N_VOCAB);
        CHECK(apart(on_blocks, on_floats, N_VOCAB) < 1e-3);
    }
    hg_runtime_free(rt);
}

TEST(an_adapter_on_a_quantised_base_is_gone_on_with_bit_for_bit_and_merged)
{
    hg_err e = {0};
    uint64_t step = 0;
    enum { N_VOCAB = 320 };
    float tuned[N_VOCAB], merged[N_VOCAB];
    quantise(base_of("llama"), "q8_0", at("base.gguf"), at("floats"));
    tune(at("base.gguf"), at("whole"), lora, false, NULL, 2, HG_OK, &e);
    tune(at("base.gguf"), at("parts"), lora, false, fixture_stop_after(5), 2, HG_E_CANCELED, &e);
    tune(at("base.gguf"), at("parts"), lora, true, NULL, 1, HG_OK, &e);
    CHECK(fixture_same_file(at("whole/adapter/adapter_model.safetensors"),
                            at("parts/adapter/adapter_model.safetensors")));
    CHECK_OK(hg_train_export(at("whole"), 0, at("merged"), HG_WEIGHTS_F32, true, NULL, &step, &e),
             e);
    logits_of(at("floats"), at("whole/adapter"), tuned, N_VOCAB);
    logits_of(at("merged"), NULL, merged, N_VOCAB);
    CHECK(apart(tuned, merged, N_VOCAB) < 2e-3);
}

/* ---- lots ---- */

typedef struct numbers {
    hg_source source;
    hg_runtime *rt;
    hg_recipe r;
    hg_model *m;
    hg_learner s;
    hg_arena mem;
} numbers;

static void number_row(const hg_source *s, bool held_out, uint64_t i, int32_t *ids,
                       int32_t *targets, uint8_t *begins)
{
    (void)held_out;
    for (size_t t = 0; t < s->seq_len; t++) {
        ids[t] = (int32_t)((7 * i + 3 * t) % 300);
        targets[t] = (int32_t)((5 * i + t) % 300);
        begins[t] = t == 0;
    }
}

/* A learner of an adapter with dropout, whose B is not zero any more. */
static void numbers_open(numbers *n, const char *base, int64_t micro, hg_compute compute)
{
    hg_err e = {0};
    memset(n, 0, sizeof *n);
    n->rt = fixture_runtime(2);
    n->source = (hg_source){.seq_len = 16, .n_rows = 8, .row = number_row};
    CHECK_OK(hg_recipe_init(&n->r, HG_STAGE_TUNE, &e), e);
    n->r.base = base;
    n->r.lora_rank = 4;
    n->r.lora_dropout = 0.3;
    n->r.batch_size = 8;
    n->r.micro_batch = micro;
    CHECK_OK(hg_first_tuned(&n->m, &n->r, false, &e), e);
    for (size_t i = 0; i < n->m->tuning->n_params; i++) {
        hg_tensor *p = n->m->tuning->param[i];
        for (size_t k = 0; k < hg_tensor_count(p); k++)
            ((float *)p->data)[k] += 0.02f * (float)((int)(k % 7) - 3);
    }
    CHECK_OK(hg_learner_init(&n->s, n->m, n->rt, compute, &n->source, &n->r, 0, &n->mem, &e), e);
}

static void numbers_close(numbers *n)
{
    hg_learner_free(&n->s);
    hg_model_free(n->m);
    hg_recipe_free(&n->r);
    hg_arena_free(&n->mem);
    hg_runtime_free(n->rt);
}

TEST(what_a_dropout_leaves_out_does_not_depend_on_how_a_step_is_cut_into_lots)
{
    const char *base = base_of("llama");
    double loss[4], norm[4];
    for (int i = 0; i < 4; i++) {
        numbers n;
        hg_err e = {0};
        hg_step_result r;
        numbers_open(&n, base, 1 << i, HG_COMPUTE_F32);
        CHECK_OK(hg_learner_gradients(&n.s, 24, &r, &e), e);
        loss[i] = r.loss;
        norm[i] = hg_optim_grad_norm(&n.s.optim);
        numbers_close(&n);
    }
    for (int i = 1; i < 4; i++) {
        CHECK_NEAR(loss[i], loss[0], 1e-6 * loss[0]);
        CHECK_NEAR(norm[i], norm[0], 1e-4 * norm[0]);
    }
}

TEST(weights_under_an_adapter_are_packed_once_in_a_run)
{
    numbers n;
    hg_err e = {0};
    hg_step_result r;
    numbers_open(&n, base_of("llama"), 2, HG_COMPUTE_BF16);
    if (n.s.panels.n == 0) test_skip("this processor's products pack no 16-bit panels");
    CHECK_OK(hg_learner_gradients(&n.s, 0, &r, &e), e);
    hg_panels_forget(&n.s.panels);
    size_t n_kept = 0;
    for (size_t i = 0; i < n.s.panels.n; i++) n_kept += n.s.panels.of[i].has_forward;
    CHECK_EQ(n_kept, n.s.panels.n);
    numbers_close(&n);
}
