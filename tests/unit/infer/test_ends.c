/* Answers end with any of the tokens that a model's files name. */
#include "harness/test.h"
#include "infer/constraint.h"
#include "model/model.h"
#include "tiny.h"

#include <stdio.h>
#include <string.h>

enum { IM_END = 258, CALL = 65, TURN = 66, PLAIN = 67 };
static hg_err e;

/* What the answer is when the model wants to say nothing but this token. */
static hg_finish answer_of_least(hg_engine *en, int32_t id, uint32_t least, hg_usage *usage)
{
    static const int32_t prompt[] = {'a', 'b', 'c'};
    const hg_logit_bias bias = {id, 100.0f};
    hg_finish finish;
    hg_request r = {.prompt = prompt, .n_prompt = 3, .max_tokens = 4, .min_tokens = least};
    hg_sampling_init(&r.sampling);
    r.sampling.temperature = 0.0f;
    r.sampling.repetition_penalty = 1.0f;
    r.sampling.bias = &bias;
    r.sampling.n_bias = 1;
    CHECK_OK(hg_engine_run(en, &r, NULL, &finish, usage, &e), e);
    return finish;
}

static hg_finish answer_of(hg_engine *en, int32_t id, hg_usage *usage)
{
    return answer_of_least(en, id, 0, usage);
}

/* Ends with each of the ids, and with nothing else. */
static void check_ends(const char *path, const int32_t *ids, size_t n)
{
    tiny t = {0};
    hg_engine *en = NULL;
    hg_usage usage;
    CHECK_OK(hg_runtime_new(&t.rt, 1, HG_N_ISA, &e), e);
    CHECK_OK(hg_model_open(&t.m, path, HG_WEIGHTS_AS_STORED, t.rt, &e), e);
    CHECK_OK(hg_engine_new(&en, t.m, t.rt, NULL, &e), e);
    for (size_t i = 0; i < n; i++) {
        CHECK_EQ(answer_of(en, ids[i], &usage), HG_FINISH_STOP);
        CHECK_EQ(usage.completion_tokens, 0);
        CHECK_EQ(answer_of_least(en, ids[i], 3, &usage), HG_FINISH_STOP);
        CHECK_EQ(usage.completion_tokens, 3);
        CHECK_EQ(answer_of_least(en, ids[i], 9, &usage), HG_FINISH_LENGTH);
    }
    CHECK_EQ(answer_of(en, PLAIN, &usage), HG_FINISH_LENGTH);
    CHECK_EQ(usage.completion_tokens, 4);
    hg_engine_free(en);
    tiny_end(&t);
}

TEST(an_answer_ends_with_any_end_that_the_files_name)
{
    static const int32_t ends[] = {TINY_END, IM_END, CALL};
    hg_model *m = tiny_model(true);
    m->c.end_id[0] = CALL;
    m->c.n_ends = 1;
    CHECK_OK(hg_model_save(m, test_path("m"), HG_WEIGHTS_F32, NULL, &e), e);
    check_ends(test_path("m"), ends, 3);
    char gguf[512];
    (void)snprintf(gguf, sizeof gguf, "%s", test_path("m.gguf"));
    CHECK_OK(hg_model_export_gguf(test_path("m"), gguf, HG_WEIGHTS_AS_STORED, NULL, &e), e);
    check_ends(gguf, ends, 3);
    hg_model_free(m);
}

static void write_generation_config(const char *text)
{
    FILE *f = fopen(test_path("m/generation_config.json"), "w");
    CHECK(f != NULL);
    CHECK(fputs(text, f) >= 0 && fclose(f) == 0);
}

TEST(a_list_in_generation_config_adds_its_ends)
{
    static const int32_t ends[] = {TINY_END, IM_END, CALL, TURN};
    hg_model *m = tiny_model(true);
    CHECK_OK(hg_model_save(m, test_path("m"), HG_WEIGHTS_F32, NULL, &e), e);
    hg_model_free(m);
    write_generation_config("{\"eos_token_id\": [256, 65, 66, 66, 9999, -1, \"x\"]}");
    check_ends(test_path("m"), ends, 4);
    write_generation_config("{\"eos_token_id\": 65}");
    check_ends(test_path("m"), ends, 3);
    write_generation_config("[1]");
    check_ends(test_path("m"), ends, 2);
}

TEST(a_constraint_may_end_with_any_of_them)
{
    static const int32_t ends[] = {TINY_END, IM_END, CALL};
    uint32_t bits[(TINY_VOCAB + 31) / 32];
    hg_model *m = tiny_model(true);
    hg_vocab *v = NULL;
    hg_grammar *g = NULL;
    hg_masks *masks = NULL;
    hg_constraint *c = NULL;
    m->c.end_id[0] = CALL;
    m->c.n_ends = 1;
    CHECK_OK(hg_model_vocab(&v, m, &e), e);
    CHECK_OK(hg_grammar_from_regex(&g, (hg_bytes){"ab?", 3}, &e), e);
    CHECK_OK(hg_masks_new(&masks, g, v, 1 << 20, &e), e);
    CHECK_OK(hg_constraint_new(&c, masks, &e), e);
    CHECK_OK(c->kind->accept(c, 'a', &e), e);
    CHECK_OK(c->kind->mask(c, 9, bits, &e), e);
    for (int32_t id = 0; id < TINY_VOCAB; id++) {
        const bool is_end = id == ends[0] || id == ends[1] || id == ends[2];
        CHECK_EQ(hg_mask_has(bits, id), is_end || id == 'b');
    }
    hg_constraint_free(c);
    hg_masks_free(masks);
    hg_grammar_free(g);
    hg_vocab_free(v);
    hg_model_free(m);
}
