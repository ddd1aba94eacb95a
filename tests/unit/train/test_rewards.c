/* Rewards, a checker's limits, and runs of GRPO that raise the reward, stop and go on. */
#include "base/clock.h"
#include "base/file.h"
#include "fixture.h"
#include "train/grpo.h"
#include "train/reward.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static hg_bytes bytes(const char *text)
{
    return (hg_bytes){text, strlen(text)};
}

static hg_status value_of(hg_reward_kind kind, const char *text, const char *expected, double *v,
                          hg_err *e)
{
    hg_recipe r;
    hg_reward got;
    memset(&r, 0, sizeof r);
    r.reward = kind;
    const hg_answer a = {bytes("q"), bytes(text), bytes(expected)};
    hg_status s = hg_reward_of(&r, &a, &got, e);
    *v = got.value;
    return s;
}

TEST(rewards_say_what_is_right)
{
    static const struct {
        hg_reward_kind kind;
        const char *text, *expected;
        double value;
    } all[] = {
        {HG_REWARD_EXACT, " yes\n", "yes", 1},
        {HG_REWARD_EXACT, "yes.", "yes", 0},
        {HG_REWARD_NUMBER, "3 and 4 make 7.", "7", 1},
        {HG_REWARD_NUMBER, "7 is 3 and 4", "7", 0},
        {HG_REWARD_NUMBER, "it is 1,234.50", "1234.5", 1},
        {HG_REWARD_NUMBER, "1,234,567", "1234567", 1},
        {HG_REWARD_NUMBER, "1,2,3", "3", 1},
        {HG_REWARD_NUMBER, "1,2,3", "123", 0},
        {HG_REWARD_NUMBER, "2,0000", "20000", 0},
        {HG_REWARD_NUMBER, "(12,345)", "12345", 1},
        {HG_REWARD_NUMBER, "10-3", "3", 1},
        {HG_REWARD_NUMBER, "x = -3", "-3", 1},
        {HG_REWARD_NUMBER, "none", "3", 0},
        {HG_REWARD_JSON, "{\"a\": 1}", "", 1},
        {HG_REWARD_JSON, "{\"a\": 1", "", 0},
        {HG_REWARD_JSON, "{\"a\": 1}", "{\"a\":1}", 1},
        {HG_REWARD_JSON, "{\"a\": 2}", "{\"a\":1}", 0},
        {HG_REWARD_REGEX, "abab", "(ab)+", 1},
        {HG_REWARD_REGEX, "aba", "(ab)+", 0},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        hg_err e = {0};
        double v = -1;
        CHECK_OK(value_of(all[i].kind, all[i].text, all[i].expected, &v, &e), e);
        CHECK_NEAR(v, all[i].value, 0);
    }
}

TEST(a_task_whose_answer_makes_no_sense_is_a_mistake)
{
    hg_err e = {0};
    double v = 0;
    CHECK_EQ(value_of(HG_REWARD_NUMBER, "7", "seven", &v, &e), HG_E_FORMAT);
    CHECK_STR(e.msg, "reward: the answer \"seven\" of a task holds no number");
    CHECK_EQ(value_of(HG_REWARD_JSON, "7", "{", &v, &e), HG_E_FORMAT);
    CHECK(strstr(e.msg, "reward: the answer of a task is not JSON: ") != NULL);
    CHECK(value_of(HG_REWARD_REGEX, "7", "(", &v, &e) != HG_OK);
}

/* ---- checkers ---- */

static bool check(const char *script, double seconds, double megabytes, double *v, hg_err *e)
{
    char path[1200], text[1600];
    (void)snprintf(text, sizeof text, "#!/usr/bin/python3\n%s\n", script);
    (void)snprintf(path, sizeof path, "%s", fixture_file("check.py", text));
    CHECK_EQ(chmod(path, 0700), 0);
    const char *const argv[] = {path, "twice"};
    const hg_answer a = {bytes("q"), bytes("say \"4\""), bytes("4")};
    return hg_checker_run(argv, 2, &a, seconds, megabytes, v, e);
}

TEST(a_checker_sees_the_answer_and_its_number_counts)
{
    hg_err e = {0};
    double v = 0;
    CHECK(check("import json, sys\n"
                "o = json.load(sys.stdin)\n"
                "assert o == {'prompt': 'q', 'answer': 'say \"4\"', 'expected': '4'}\n"
                "print(0.25 * 2 if sys.argv[1] == 'twice' else 0)",
                20, 512, &v, &e));
    CHECK_NEAR(v, 0.5, 0);
}

static void fails(const char *script, double seconds, double megabytes, const char *words)
{
    hg_err e = {0};
    double v = 1;
    CHECK(!check(script, seconds, megabytes, &v, &e));
    CHECK_NEAR(v, 0, 0);
    if (strstr(e.msg, words) == NULL) CHECK_STR(e.msg, words);
}

TEST(a_checker_that_hangs_is_ended)
{
    double start = hg_seconds();
    fails("import time\ntime.sleep(60)", 0.5, 512, "took longer than 0.5 s");
    fails("import os, time\nprint(1)\nos.close(1)\ntime.sleep(60)", 0.5, 512, "took longer");
    CHECK(hg_seconds() - start < 10);
}

TEST(what_a_checker_leaves_behind_is_ended_too)
{
    char path[1200], script[1500];
    (void)snprintf(path, sizeof path, "%s", test_path("alive"));
    (void)snprintf(script, sizeof script,
                   "import os, time\nif os.fork() == 0:\n  os.close(1)\n  time.sleep(1)\n  "
                   "open('%s', 'w').close()\nelse:\n  print(1)",
                   path);
    hg_err e = {0};
    double v = 0;
    CHECK(check(script, 20, 512, &v, &e));
    CHECK_NEAR(v, 1, 0);
    double start = hg_seconds();
    while (hg_seconds() - start < 1.5) {
    }
    CHECK(!hg_path_exists(path));
}

TEST(a_checker_that_eats_memory_fails)
{
    fails("x = bytearray(1 << 30)\nprint(1)", 20, 200, "ended with exit code 1");
}

TEST(a_checker_that_prints_rubbish_or_fails_counts_nothing)
{
    fails("print('fine')", 20, 512, "printed \"fine\", not a number");
    fails("print('nan')", 20, 512, "not a number");
    fails("print(1)\nprint(2)", 20, 512, "not a number");
    fails("print('1' * 100000)", 20, 512, "not a number");
    fails("print(1)\nraise SystemExit(3)", 20, 512, "ended with exit code 3");
    fails("import os\nos.kill(os.getpid(), 9)", 20, 512, "ended with signal 9");
    hg_err e = {0};
    double v = 1;
    const char *const argv[] = {"/nowhere/at/all"};
    const hg_answer a = {bytes("q"), bytes("x"), bytes("")};
    CHECK(!hg_checker_run(argv, 1, &a, 5, 512, &v, &e));
    CHECK_STR(e.msg, "the checker /nowhere/at/all cannot be run");
    CHECK(!hg_checker_run(argv, 0, &a, 5, 512, &v, &e));
    CHECK_STR(e.msg, "the checker needs 1 to 64 words");
}

/* ---- runs ---- */

static void make_base(void)
{
    static const char *const set[] = {"steps=60", "seq_len=64", NULL};
    hg_train_result r;
    hg_err e = {0};
    hg_buf b = {0};
    hg_runtime *rt = fixture_runtime(2);
    (void)fixture_tokenizer(fixture_corpus());
    CHECK_OK(fixture_train(rt, NULL, false, test_path("base"), set, &r, &e), e);
    hg_runtime_free(rt);
    for (int i = 0; i < 8; i++)
        hg_buf_printf(&b, "{\"prompt\": \"fox %d?\", \"answer\": \"[^e]*\"}\n", i);
    (void)fixture_file("tasks.jsonl", b.p);
    hg_buf_free(&b);
}

static hg_status grpo(const char *out, bool resume, const hg_watch *w, const char *const *more,
                      hg_err *e)
{
    char data[1200];
    const char *set[24] = {"method=grpo",     "reward=regex",      "steps=30",        "lr=3e-3",
                           "batch_size=2",    "group_size=8",      "seq_len=48",      "kl=0.01",
                           "answer_tokens=6", "schedule=constant", "sample_tokens=0", data};
    size_t n = 12;
    hg_train_result r;
    (void)snprintf(data, sizeof data, "data=%s", test_path("tasks.jsonl"));
    for (; more != NULL && *more != NULL; more++) set[n++] = *more;
    hg_runtime *rt = fixture_runtime(resume ? 1 : 2);
    hg_status s = fixture_tune(rt, w, resume, test_path("base/model"), test_path(out), set, &r, e);
    hg_runtime_free(rt);
    return s;
}

/* The mean of the log's values of `key` with numbers [from, to). */
static double mean_of(const char *log_path, const char *key, int from, int to)
{
    hg_buf log = {0};
    hg_err e = {0};
    char name[64];
    double sum = 0;
    int i = 0;
    CHECK_OK(hg_file_read(&log, test_path(log_path), 1 << 24, &e), e);
    (void)snprintf(name, sizeof name, "\"%s\":", key);
    for (const char *at = log.p; (at = strstr(at, name)) != NULL; i++) {
        at += strlen(name);
        if (i >= from && i < to) sum += strtod(at, NULL);
    }
    CHECK(i >= to);
    hg_buf_free(&log);
    return sum / (to - from);
}

TEST(a_run_of_grpo_raises_the_reward)
{
    hg_err e = {0};
    make_base();
    CHECK_OK(grpo("run", false, NULL, NULL, &e), e);
    double first = mean_of("run/log.jsonl", "reward", 0, 5);
    double last = mean_of("run/log.jsonl", "reward", 25, 30);
    CHECK(first < 0.75);
    CHECK(last > first + 0.2);
    CHECK(mean_of("run/log.jsonl", "kl", 25, 30) > 0);
    CHECK_NEAR(mean_of("run/log.jsonl", "clip_share", 0, 30), 0, 0); /* one round: p is p_old */
    double tokens = mean_of("run/log.jsonl", "answer_tokens", 0, 30);
    CHECK(tokens >= 1 && tokens <= 7);
}

TEST(an_adapter_raises_the_reward_and_answers_are_its_own)
{
    static const char *const more[] = {"lora_rank=8", "lr=5e-2", NULL};
    hg_err e = {0};
    make_base();
    CHECK_OK(grpo("run", false, NULL, more, &e), e);
    double first = mean_of("run/log.jsonl", "reward", 0, 5);
    CHECK(mean_of("run/log.jsonl", "reward", 25, 30) > first + 0.1);
    /* The base is the model without the adapter, which adds nothing in the first step. */
    CHECK_NEAR(mean_of("run/log.jsonl", "kl", 0, 1), 0, 0);
    CHECK(mean_of("run/log.jsonl", "kl", 25, 30) > 0);
    /* The engine's probabilities are those of the step: without the adapter they would be apart. */
    CHECK_NEAR(mean_of("run/log.jsonl", "clip_share", 0, 30), 0, 0);
}

TEST(methods_that_look_twice_refuse_a_dropout)
{
    static const char *const more[] = {"lora_rank=8", "lora_dropout=0.1", NULL};
    hg_err e = {0};
    make_base();
    CHECK_EQ(grpo("run", false, NULL, more, &e), HG_E_ARG);
    CHECK_STR(e.msg, "lora_dropout is for method \"sft\" and \"distill\"; the others look at each "
                     "answer twice and must see the same");
}

TEST(further_rounds_of_grpo_clip)
{
    static const char *const more[] = {"rounds=3", "steps=6", "clip_ratio=0.01", "kl=0", NULL};
    hg_err e = {0};
    make_base();
    CHECK_OK(grpo("run", false, NULL, more, &e), e);
    CHECK(mean_of("run/log.jsonl", "clip_share", 0, 6) > 0.01);
}

TEST(a_resumed_run_of_grpo_is_the_same_bit_for_bit)
{
    static const char *const more[] = {"rounds=2", "steps=8", NULL};
    hg_err e = {0};
    char whole[1200];
    make_base();
    CHECK_OK(grpo("whole", false, NULL, more, &e), e);
    CHECK_EQ(grpo("parts", false, fixture_stop_after(3), more, &e), HG_E_CANCELED);
    CHECK_OK(grpo("parts", true, NULL, more, &e), e);
    (void)snprintf(whole, sizeof whole, "%s", test_path("whole/model/model.safetensors"));
    CHECK(fixture_same_file(whole, test_path("parts/model/model.safetensors")));
}

TEST(a_checkers_failures_are_counted_in_the_log)
{
    char checker[1300];
    hg_err e = {0};
    make_base();
    (void)snprintf(checker, sizeof checker, "checker=%s",
                   fixture_file("bad.sh", "#!/bin/sh\necho rubbish\n"));
    CHECK_EQ(chmod(strchr(checker, '=') + 1, 0700), 0);
    const char *const more[] = {"reward=program", checker, "steps=1", "kl=0", NULL};
    CHECK_OK(grpo("run", false, NULL, more, &e), e);
    CHECK_NEAR(mean_of("run/log.jsonl", "checker_failures", 0, 1), 16, 0);
    CHECK_NEAR(mean_of("run/log.jsonl", "reward", 0, 1), 0, 0);
}

TEST(reward_and_checker_go_together)
{
    static const char *const more[] = {"reward=program", NULL};
    hg_err e = {0};
    CHECK_EQ(grpo("run", false, NULL, more, &e), HG_E_ARG);
    CHECK_STR(e.msg, "reward \"program\" and the key checker go together");
}

TEST(expected_answers_that_make_no_sense_are_told_with_their_line_before_the_start)
{
    static const char *const rewards[] = {"reward=number", "reward=json", "reward=regex"};
    static const char *const words[] = {"the answer \"(\" of a task holds no number",
                                        "the answer of a task is not JSON", ""};
    make_base();
    (void)fixture_file("tasks.jsonl", "{\"prompt\": \"fox?\", \"answer\": \"1\"}\n"
                                      "{\"prompt\": \"hen?\", \"answer\": \"(\"}\n");
    for (size_t i = 0; i < 3; i++) {
        const char *const more[] = {rewards[i], NULL};
        char where[1300];
        hg_err e = {0};
        CHECK(grpo("run", false, NULL, more, &e) != HG_OK);
        (void)snprintf(where, sizeof where, "%s, line 2: ", test_path("tasks.jsonl"));
        CHECK_HAS(e.msg, where);
        CHECK_HAS(e.msg, words[i]);
        CHECK(!hg_path_exists(test_path("run/log.jsonl")));
    }
}

/* A model that says one token whatever it is asked: no block adds anything to a stream of ones. */
static void say_always(const char *from, const char *to, int32_t *end)
{
    hg_err e = {0};
    hg_model *m = NULL;
    CHECK_OK(hg_model_open_trainable(&m, from, &e), e);
    *end = hg_tokenizer_special(m->tokenizer, "<|endoftext|>");
    CHECK(*end >= 0 && *end != hg_chat_end_id(m->tokenizer));
    for (size_t i = 0; i < m->n_params; i++) {
        hg_tensor *p = m->param[i];
        for (size_t k = 0; k < hg_tensor_count(p); k++)
            ((float *)p->data)[k] = p->n_dims == 1 || p == m->embed ? 1.0f : 0.0f;
    }
    for (size_t k = 0; k < m->c.d_model; k++)
        ((float *)m->head->data)[(size_t)*end * m->c.d_model + k] = 4.0f;
    CHECK_OK(hg_model_save(m, to, HG_WEIGHTS_F32, NULL, &e), e);
    hg_model_free(m);
}

TEST(grpo_learns_the_end_token_that_was_drawn)
{
    static const char *const untied[] = {"steps=1", "seq_len=64", "tie_embeddings=false", NULL};
    hg_train_result result;
    hg_err e = {0};
    int32_t end = -1;
    char from[1200], to[1200];
    hg_recipe r;
    hg_model *m = NULL;
    hg_chats tasks = {.form = HG_FORM_TASK};
    hg_grpo g;
    hg_arena mem;
    hg_runtime *rt = fixture_runtime(2);
    hg_arena_init(&mem, 0);
    (void)fixture_tokenizer(fixture_corpus());
    CHECK_OK(fixture_train(rt, NULL, false, test_path("base"), untied, &result, &e), e);
    (void)snprintf(from, sizeof from, "%s", test_path("base/model"));
    (void)snprintf(to, sizeof to, "%s", test_path("ends"));
    say_always(from, to, &end);
    CHECK_OK(hg_recipe_init(&r, HG_STAGE_TUNE, &e), e);
    CHECK_OK(hg_recipe_set(&r, "seq_len=48", &e), e);
    CHECK_OK(hg_recipe_set(&r, "answer_tokens=4", &e), e);
    CHECK_OK(hg_model_open_trainable(&m, to, &e), e);
    CHECK_OK(hg_chats_parse(&tasks, bytes("{\"prompt\":\"fox?\",\"answer\":\"\"}"), "t", &e), e);
    CHECK_OK(hg_grpo_init(&g, &tasks, m, &r, rt, &mem, NULL, &e), e);
    CHECK_OK(hg_grpo_answer(&g, 0, 1, &e), e);
    for (size_t i = 0; i < g.n; i++) {
        const hg_rollout *o = &g.rollout[i];
        CHECK_EQ(o->n, o->n_prompt + 1);
        CHECK_EQ(g.ids[o->at + o->n_prompt], end);
        CHECK_EQ(g.targets[o->at + o->n_prompt - 1], end);
    }
    hg_grpo_free(&g);
    hg_chats_free(&tasks);
    hg_model_free(m);
    hg_recipe_free(&r);
    hg_arena_free(&mem);
    hg_runtime_free(rt);
}

TEST_SECONDS(the_memory_said_before_grpo_counts_the_answers_caches, 120)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    test_skip("a sanitizer's own memory is counted too");
#endif
    char base[1200], data[1300];
    hg_train_result r;
    hg_err e = {0};
    (void)fixture_tokenizer(fixture_corpus());
    (void)snprintf(base, sizeof base, "%s", test_path("small"));
    (void)snprintf(data, sizeof data, "data=%s",
                   fixture_file("one.jsonl", "{\"prompt\": \"fox?\", \"answer\": \"hen\"}\n"));
    fixture_model(base, 256, 6);
    const char *const set[] = {"method=grpo",   data,          "steps=2",          "batch_size=4",
                               "group_size=16", "seq_len=128", "answer_tokens=40", "kl=0",
                               "precision=f32", NULL};
    hg_runtime *rt = fixture_runtime(2);
    CHECK_OK(fixture_tune(rt, NULL, false, base, test_path("run"), set, &r, &e), e);
    /* 64 answers of 6 layers with a tile of 128 keys and values of 256 floats */
    CHECK((double)r.need_bytes > 64.0 * 6 * 2 * 128 * 256 * 4);
    fixture_check_plan(&r);
    hg_runtime_free(rt);
}

TEST(prompts_without_room_for_an_answer_are_told_and_left_out)
{
    hg_err e = {0};
    hg_buf b = {0};
    make_base();
    hg_buf_puts(&b, "{\"prompt\": \"");
    for (int i = 0; i < 100; i++) hg_buf_puts(&b, "fox hen ");
    hg_buf_puts(&b, "\"}\n");
    (void)fixture_file("tasks.jsonl", b.p);
    hg_buf_free(&b);
    CHECK_EQ(grpo("run", false, fixture_listen(&b), NULL, &e), HG_E_ARG);
    CHECK_STR(e.msg, "1 tasks, and none leaves room for an answer");
    CHECK(strstr(b.p, "line 1: the prompt leaves no room for an answer; left out") != NULL);
    hg_buf_free(&b);
}
