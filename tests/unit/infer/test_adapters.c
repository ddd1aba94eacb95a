/* LoRA adapters: what they add, to whom, and what their files may not say. */
#include "harness/adapters.h"
#include "base/file.h"
#include "harness/test.h"
#include "tiny.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { N_IDS = 40 };

static hg_err e;

/* The tests' model with adapters merged into its weights by hand, run from a folder. */
static tiny open_merged(double first, double second)
{
    tiny t = {0};
    hg_model *m = tiny_model(true);
    adapter_merge(m, 1, first);
    adapter_merge(m, 2, second);
    CHECK_OK(hg_model_save(m, test_path("merged"), HG_WEIGHTS_F32, NULL, &e), e);
    hg_model_free(m);
    CHECK_OK(hg_runtime_new(&t.rt, 2, HG_N_ISA, &e), e);
    CHECK_OK(hg_model_open(&t.m, test_path("merged"), HG_WEIGHTS_F32, t.rt, &e), e);
    return t;
}

static hg_session *open_f32(const tiny *t)
{
    const hg_session_options o = {.cache = HG_CACHE_F32};
    hg_session *s = NULL;
    CHECK_OK(hg_session_new(&s, t->m, t->rt, &o, &e), e);
    return s;
}

static hg_adapter *open_adapter(const tiny *t, const char *name)
{
    hg_adapter *a = NULL;
    CHECK_OK(hg_adapter_open(&a, test_path(name), t->m, t->rt, &e), e);
    return a;
}

static void run(hg_session *s, float out[TINY_VOCAB])
{
    int32_t ids[N_IDS];
    const float *x = NULL;
    tiny_prompt(ids, N_IDS, 3);
    hg_session_rewind(s, 0);
    CHECK_OK(hg_session_feed(s, ids, N_IDS, &x, &e), e);
    memcpy(out, x, TINY_VOCAB * sizeof *x);
}

static double distance(const float *x, const float *y)
{
    double worst = 0, largest = 0;
    for (size_t i = 0; i < TINY_VOCAB; i++) {
        worst = fmax(worst, fabs((double)x[i] - (double)y[i]));
        largest = fmax(largest, fabs((double)y[i]));
    }
    return worst / largest;
}

/* Logits with the adapters in use against those of the merged weights. */
static void check_merged(hg_session *s, double first, double second)
{
    float x[TINY_VOCAB], y[TINY_VOCAB];
    tiny t = open_merged(first, second);
    hg_session *merged = open_f32(&t);
    run(s, x);
    run(merged, y);
    CHECK(distance(x, y) < 1e-4);
    hg_session_free(merged);
    tiny_end(&t);
}

TEST(an_adapter_does_what_merged_weights_do)
{
    const double one = ADAPTER_ALPHA / ADAPTER_RANK, rs = ADAPTER_ALPHA / sqrt(ADAPTER_RANK);
    tiny t = tiny_open(HG_WEIGHTS_F32, 2);
    float bare[TINY_VOCAB], x[TINY_VOCAB];
    adapter_write_peft(test_path("peft"), t.m, 1, "");
    adapter_write_peft(test_path("rs"), t.m, 1, ", \"use_rslora\": true");
    adapter_write_gguf(test_path("second.gguf"), t.m, 2);
    hg_adapter *a = open_adapter(&t, "peft"), *b = open_adapter(&t, "second.gguf"),
               *r = open_adapter(&t, "rs");
    hg_session *s = open_f32(&t);
    CHECK_EQ(hg_adapter_matrices(a), 3 * TINY_LAYERS);
    run(s, bare);

    CHECK_OK(hg_session_set_adapters(s, &(hg_adapter_use){a, 1.0f}, 1, &e), e);
    check_merged(s, one, 0);
    run(s, x);
    CHECK(distance(x, bare) > 0.05);
    CHECK_OK(hg_session_set_adapters(s, &(hg_adapter_use){b, 0.5f}, 1, &e), e);
    check_merged(s, 0, 0.5 * one);
    const hg_adapter_use both[2] = {{a, -0.3f}, {b, 0.7f}};
    CHECK_OK(hg_session_set_adapters(s, both, 2, &e), e);
    check_merged(s, -0.3 * one, 0.7 * one);
    CHECK_OK(hg_session_set_adapters(s, &(hg_adapter_use){r, 1.0f}, 1, &e), e);
    check_merged(s, rs, 0);

    CHECK_OK(hg_session_set_adapters(s, NULL, 0, &e), e);
    CHECK_EQ(hg_session_length(s), 0);
    run(s, x);
    CHECK(memcmp(x, bare, sizeof x) == 0);
    hg_session_free(s);
    hg_adapter_free(a);
    hg_adapter_free(b);
    hg_adapter_free(r);
    tiny_end(&t);
}

TEST(both_formats_of_an_adapter_are_the_same_bits)
{
    tiny t = tiny_open(HG_WEIGHTS_F32, 1);
    float x[TINY_VOCAB], y[TINY_VOCAB];
    adapter_write_peft(test_path("peft"), t.m, 4, "");
    adapter_write_gguf(test_path("a.gguf"), t.m, 4);
    hg_adapter *a = open_adapter(&t, "peft"), *b = open_adapter(&t, "a.gguf");
    hg_session *s = open_f32(&t);
    CHECK_OK(hg_session_set_adapters(s, &(hg_adapter_use){a, 1.0f}, 1, &e), e);
    run(s, x);
    CHECK_OK(hg_session_set_adapters(s, &(hg_adapter_use){b, 1.0f}, 1, &e), e);
    run(s, y);
    CHECK(memcmp(x, y, sizeof x) == 0);
    hg_session_free(s);
    hg_adapter_free(a);
    hg_adapter_free(b);
    tiny_end(&t);
}

TEST(a_saved_session_knows_its_adapters)
{
    tiny t = tiny_open(HG_WEIGHTS_F32, 1);
    float x[TINY_VOCAB];
    adapter_write_peft(test_path("peft"), t.m, 1, "");
    hg_adapter *a = open_adapter(&t, "peft");
    hg_session *s = open_f32(&t);
    const hg_adapter_use use = {a, 1.0f}, less = {a, 0.5f};
    CHECK_OK(hg_session_set_adapters(s, &use, 1, &e), e);
    run(s, x);
    CHECK_OK(hg_session_save(s, test_path("s.hgs"), &e), e);
    CHECK_OK(hg_session_set_adapters(s, &use, 1, &e), e);
    CHECK_EQ(hg_session_length(s), N_IDS); /* the same list: nothing is forgotten */
    CHECK_OK(hg_session_set_adapters(s, &less, 1, &e), e);
    CHECK_EQ(hg_session_load(s, test_path("s.hgs"), &e), HG_E_FORMAT);
    CHECK_HAS(e.msg, "saved from another model or with other adapters");
    CHECK_OK(hg_session_set_adapters(s, &use, 1, &e), e);
    CHECK_OK(hg_session_load(s, test_path("s.hgs"), &e), e);
    hg_session_free(s);
    hg_adapter_free(a);
    tiny_end(&t);
}

/* ---- in one batch ---- */

enum { N_ASKED = 6, N_TOLD = 12 };

typedef struct answer {
    char text[256];
    size_t n;
    atomic_bool done;
} answer;

static void on_text(void *ctx, hg_bytes text, hg_finish finish, const hg_usage *usage,
                    const char *error)
{
    answer *a = ctx;
    (void)usage;
    (void)error;
    if (a->n + text.n < sizeof a->text) memcpy(a->text + a->n, text.p, text.n);
    a->n += text.n;
    if (finish != HG_FINISH_NONE) atomic_store(&a->done, true);
}

/* Greedy answers to one prompt, each with its own adapters: none, one, another scale, both ... */
static void ask_all(hg_engine *en, hg_adapter *const two[2], bool together, answer out[N_ASKED])
{
    static const float scales[N_ASKED][2] = {{0, 0}, {1, 0}, {0, 1}, {2, 0}, {1, 1}, {0, 0}};
    hg_adapter_use use[N_ASKED][2];
    int32_t ids[20];
    hg_job job;
    tiny_prompt(ids, 20, 5);
    for (size_t i = 0; i < N_ASKED; i++) {
        hg_request r = {.prompt = ids,
                        .n_prompt = 20,
                        .max_tokens = N_TOLD,
                        .adapters = use[i],
                        .on_text = on_text,
                        .ctx = &out[i]};
        hg_sampling_init(&r.sampling);
        r.sampling.temperature = 0;
        for (size_t k = 0; k < 2; k++)
            if (scales[i][k] != 0.0f)
                use[i][r.n_adapters++] = (hg_adapter_use){two[k], scales[i][k]};
        if (together)
            CHECK_OK(hg_engine_submit(en, &r, &job, &e), e);
        else
            CHECK_OK(hg_engine_run(en, &r, NULL, NULL, NULL, &e), e);
    }
    for (size_t i = 0; i < N_ASKED; i++)
        while (!atomic_load(&out[i].done)) (void)usleep(1000);
}

TEST(requests_with_different_adapters_share_a_batch_and_nothing_else)
{
    static answer alone[N_ASKED], together[N_ASKED];
    tiny t = tiny_open(HG_WEIGHTS_F32, 2);
    hg_engine *en = NULL;
    hg_engine_options o;
    adapter_write_peft(test_path("peft"), t.m, 1, "");
    adapter_write_gguf(test_path("b.gguf"), t.m, 2);
    hg_adapter *two[2] = {open_adapter(&t, "peft"), open_adapter(&t, "b.gguf")};
    hg_engine_options_init(&o);
    for (int round = 0; round < 2; round++) {
        CHECK_OK(hg_engine_new(&en, t.m, t.rt, &o, &e), e);
        ask_all(en, two, round == 1, round == 1 ? together : alone);
        hg_engine_free(en);
    }
    for (size_t i = 0; i < N_ASKED; i++) {
        CHECK_EQ(alone[i].n, together[i].n);
        CHECK(memcmp(alone[i].text, together[i].text, alone[i].n) == 0);
        for (size_t j = 0; j < i; j++)
            CHECK((alone[i].n == alone[j].n &&
                   memcmp(alone[i].text, alone[j].text, alone[i].n) == 0) == (i == 5 && j == 0));
    }
    hg_adapter_free(two[0]);
    hg_adapter_free(two[1]);
    tiny_end(&t);
}

/* ---- refused ---- */

static void refused(const tiny *t, const char *name, hg_status status, const char *words)
{
    hg_adapter *a = NULL;
    CHECK_EQ(hg_adapter_open(&a, test_path(name), t->m, t->rt, &e), status);
    CHECK(a == NULL);
    CHECK_HAS(e.msg, name);
    CHECK_HAS(e.msg, words);
}

/* The file `from` with the bytes `a` made `b`, of the same length, as `to`. */
static void replace(const char *from, const char *to, const char *a, const char *b)
{
    hg_buf f = {0};
    char path[512];
    (void)snprintf(path, sizeof path, "%s", test_path(from));
    CHECK_OK(hg_file_read(&f, path, 1 << 24, &e), e);
    char *at = memmem(f.p, f.n, a, strlen(a));
    CHECK(at != NULL && strlen(a) == strlen(b));
    memcpy(at, b, strlen(b));
    CHECK_OK(hg_file_write(test_path(to), f.p, f.n, &e), e);
    hg_buf_free(&f);
}

TEST(what_is_no_adapter_of_this_model_is_refused_in_a_sentence)
{
    tiny t = tiny_open(HG_WEIGHTS_F32, 1);
    refused(&t, "none", HG_E_MISSING, "a folder with adapter_config.json");
    adapter_write_peft(test_path("dora"), t.m, 1, ", \"use_dora\": true");
    refused(&t, "dora", HG_E_UNSUPPORTED, "adapter_config.json: use_dora is set");
    adapter_write_peft(test_path("bias"), t.m, 1, ", \"bias\": \"all\"");
    refused(&t, "bias", HG_E_UNSUPPORTED, "bias is \"all\"; none is known");
    adapter_write_peft(test_path("whole"), t.m, 1, ", \"modules_to_save\": [\"lm_head\"]");
    refused(&t, "whole", HG_E_UNSUPPORTED, "modules_to_save is not empty");
    adapter_write_peft(test_path("r"), t.m, 1, ", \"r\": 0");
    refused(&t, "r", HG_E_FORMAT, "r");

    adapter_write_gguf(test_path("good.gguf"), t.m, 1);
    replace("good.gguf", "model.gguf", "adapter", "badaptr");
    refused(&t, "model.gguf", HG_E_FORMAT, "general.type does not say that this is an adapter");
    replace("good.gguf", "arch.gguf", "llama", "gemma");
    refused(&t, "arch.gguf", HG_E_FORMAT, "it was made for \"gemma\"; the model is \"llama\"");
    replace("good.gguf", "kind.gguf", "lora", "ia3 ");
    refused(&t, "kind.gguf", HG_E_UNSUPPORTED, "adapter.type is \"ia3 \"; lora is known");
    replace("good.gguf", "half.gguf", "attn_q.weight.lora_a", "attn_q.weight.lora_c");
    refused(&t, "half.gguf", HG_E_FORMAT, "has one of A and B without the other");
    replace("good.gguf", "layer.gguf", "blk.2.attn_q.weight.lora_a", "blk.7.attn_q.weight.lora_a");
    replace("layer.gguf", "layer.gguf", "blk.2.attn_q.weight.lora_b", "blk.7.attn_q.weight.lora_b");
    refused(&t, "layer.gguf", HG_E_FORMAT, "blk.7.attn_q.weight.lora_a belongs to no matrix");
    replace("good.gguf", "norm.gguf", "blk.2.ffn_down.weight.lora_b",
            "blk.2.ffn_gate.weight.lora_b");
    replace("norm.gguf", "norm.gguf", "blk.2.ffn_down.weight.lora_a",
            "blk.2.ffn_gate.weight.lora_a");
    refused(&t, "norm.gguf", HG_E_FORMAT, "A and B of blk.2.ffn_gate.weight do not fit");
    tiny_end(&t);
}

TEST(a_session_takes_adapters_of_its_own_model_only)
{
    tiny t = tiny_open(HG_WEIGHTS_F32, 1), other = tiny_open(HG_WEIGHTS_F32, 1);
    adapter_write_peft(test_path("peft"), t.m, 1, "");
    hg_adapter *a = open_adapter(&other, "peft");
    hg_session *s = open_f32(&t);
    hg_adapter_use many[HG_MAX_ADAPTERS + 1] = {{a, 1.0f}};
    CHECK_EQ(hg_session_set_adapters(s, many, 1, &e), HG_E_ARG);
    CHECK_STR(e.msg, "adapter 0 was opened for another model");
    CHECK_EQ(hg_session_set_adapters(s, many, HG_MAX_ADAPTERS + 1, &e), HG_E_ARG);
    CHECK_STR(e.msg, "9 adapters; 8 are the most");
    hg_session_free(s);
    s = open_f32(&other);
    many[0].scale = NAN;
    CHECK_EQ(hg_session_set_adapters(s, many, 1, &e), HG_E_ARG);
    CHECK_STR(e.msg, "the scale of adapter 0 is no finite number");
    hg_session_free(s);
    hg_adapter_free(a);
    tiny_end(&t);
    tiny_end(&other);
}
