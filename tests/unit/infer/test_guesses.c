/* Guesses ahead and log-probabilities: what the engine tells beside an answer, and that guesses
 * never show in one. */
#include "base/mem.h"
#include "harness/test.h"
#include "infer/lookup.h"
#include "model/model.h"
#include "tiny.h"

#include <math.h>
#include <string.h>

enum { ANSWER = 60, MOST = 400 };
static hg_err e;

/* The tokens of one answer, with what was told about them. */
typedef struct told {
    int32_t id[MOST];
    float logprob[MOST];
    hg_likely top[MOST][HG_MAX_TOP];
    size_t n_top, n, n_of_prompt;
    bool first_has_past;
    hg_usage usage;
} told;

static void on_token(void *ctx, const hg_token_report *t)
{
    told *a = ctx;
    CHECK(a->n < MOST);
    if (a->n == 0) a->first_has_past = t->has_past;
    a->id[a->n] = t->id;
    a->logprob[a->n] = t->logprob;
    for (size_t i = 0; i < t->n_top; i++) a->top[a->n][i] = t->top[i];
    a->n_top = t->n_top;
    a->n_of_prompt += t->of_prompt;
    a->n++;
}

/* Random but for a beginning that comes twice, so that lookup has something to find. */
static void repeating_prompt(int32_t *ids, size_t n)
{
    tiny_prompt(ids, n, 11);
    for (size_t i = 0; i < n; i++) ids[i] = ids[i % 20];
}

static hg_engine *open_engine(const tiny *t, const hg_model *draft)
{
    hg_engine_options o;
    hg_engine *en = NULL;
    hg_engine_options_init(&o);
    o.draft = draft;
    CHECK_OK(hg_engine_new(&en, t->m, t->rt, &o, &e), e);
    return en;
}

static hg_request request(const int32_t *ids, size_t n, told *a)
{
    hg_request r = {
        .prompt = ids, .n_prompt = n, .max_tokens = ANSWER, .on_token = on_token, .ctx = a};
    hg_sampling_init(&r.sampling);
    return r;
}

static void run(hg_engine *en, const hg_request *r)
{
    told *a = r->ctx;
    *a = (told){0};
    CHECK_OK(hg_engine_run(en, r, NULL, NULL, &a->usage, &e), e);
}

/* ---- log-probabilities ---- */
TEST(log_probabilities_are_those_of_the_unmodified_logits)
{
    static told a;
    int32_t ids[30];
    const float *x;
    tiny t = tiny_open(HG_WEIGHTS_F32, 2);
    hg_engine *en = open_engine(&t, NULL);
    hg_session *s = NULL;
    tiny_prompt(ids, 30, 3);
    hg_request r = request(ids, 30, &a);
    const hg_logit_bias bias = {65, 5.0f};
    r.n_top = 5;
    r.sampling.bias = &bias;
    r.sampling.n_bias = 1;
    r.sampling.seed = 2;
    run(en, &r);
    CHECK_EQ(a.n, a.usage.completion_tokens);
    CHECK_EQ(a.n_top, 5);
    CHECK_OK(hg_session_new(&s, t.m, t.rt, NULL, &e), e);
    CHECK_OK(hg_session_feed(s, ids, 30, &x, &e), e);
    for (size_t i = 0; i < a.n; i++) {
        double sum = 0.0;
        size_t best = 0;
        for (size_t j = 0; j < TINY_VOCAB; j++) {
            sum += exp((double)x[j]);
            if (x[j] > x[best]) best = j;
        }
        CHECK_EQ(a.top[i][0].id, best);
        CHECK_NEAR(a.logprob[i], (double)x[a.id[i]] - log(sum), 1e-5);
        for (size_t j = 0; j < 5; j++) {
            CHECK_NEAR(a.top[i][j].logprob, (double)x[a.top[i][j].id] - log(sum), 1e-5);
            CHECK(j == 0 || a.top[i][j].logprob <= a.top[i][j - 1].logprob);
        }
        CHECK_OK(hg_session_feed(s, &a.id[i], 1, &x, &e), e);
    }
    hg_session_free(s);
    hg_engine_free(en);
    tiny_end(&t);
}

TEST(a_prompt_is_echoed_with_what_score_says_of_it)
{
    static told a;
    int32_t ids[100];
    double expected[100];
    tiny t = tiny_open(HG_WEIGHTS_F32, 2);
    hg_engine *en = open_engine(&t, NULL);
    hg_session *s = NULL;
    tiny_prompt(ids, 100, 4);
    CHECK_OK(hg_session_new(&s, t.m, t.rt, NULL, &e), e);
    CHECK_OK(hg_session_score(s, ids, 100, expected, &e), e);
    hg_request r = request(ids, 100, &a);
    r.max_tokens = 2;
    for (int again = 0; again < 2; again++) { /* a cache that knows the prompt changes nothing */
        r.echo = true;
        run(en, &r);
        CHECK_EQ(a.n_of_prompt, 100);
        CHECK(!a.first_has_past);
        CHECK(memcmp(a.id, ids, sizeof ids) == 0);
        for (size_t i = 1; i < 100; i++) CHECK_NEAR(a.logprob[i], expected[i], 1e-4);
    }
    r.n_top = HG_MAX_TOP + 1;
    CHECK_EQ(hg_engine_run(en, &r, NULL, NULL, NULL, &e), HG_E_ARG);
    CHECK_STR(e.msg, "the 21 likeliest tokens were asked for; at most 20 are told");
    hg_session_free(s);
    hg_engine_free(en);
    tiny_end(&t);
}

/* ---- guesses ---- */
enum { WAYS = 5 };
static hg_sampling way_of_sampling(int way)
{
    hg_sampling o;
    hg_sampling_init(&o);
    o.seed = (uint64_t)way;
    if (way < 2) o.temperature = 0.0f;
    if (way == 1) o.repetition_penalty = 1.0f; /* ends in a loop, which lookup finds */
    if (way == 3) {
        o.dry_multiplier = 0.8f;
        o.frequency_penalty = 0.3f;
        o.xtc_chance = 0.5f;
    }
    if (way == 4) {
        o.mirostat_tau = 4.0f;
        o.temperature = 1.0f;
    }
    return o;
}

static void check_same(const told *a, const told *b)
{
    CHECK_EQ(a->n, b->n);
    CHECK(memcmp(a->id, b->id, a->n * sizeof *a->id) == 0);
    CHECK(memcmp(a->logprob, b->logprob, a->n * sizeof *a->logprob) == 0); /* to the last bit */
}

/* Every way to sample, guessed and not: the same tokens and logits. */
static void check_guesses(const tiny *t, const hg_model *draft, unsigned how, double least_share)
{
    static told plain, guessed;
    int32_t ids[90];
    uint32_t n_drafted = 0, n_accepted = 0;
    hg_engine *a = open_engine(t, NULL), *b = open_engine(t, draft);
    repeating_prompt(ids, 90);
    for (int way = 0; way < WAYS; way++) {
        hg_request r = request(ids, 90, &plain);
        r.sampling = way_of_sampling(way);
        run(a, &r);
        CHECK_EQ(plain.usage.drafted_tokens, 0);
        r.speculate = how;
        r.ctx = &guessed;
        run(b, &r);
        check_same(&plain, &guessed);
        n_drafted += guessed.usage.drafted_tokens;
        n_accepted += guessed.usage.accepted_tokens;
    }
    CHECK(n_drafted > 0);
    CHECK(n_accepted <= n_drafted);
    CHECK((double)n_accepted >= least_share * (double)n_drafted);
    hg_engine_state state;
    hg_engine_look(b, &state);
    CHECK_EQ(state.n_drafted, n_drafted);
    CHECK_EQ(state.n_accepted, n_accepted);
    hg_engine_free(a);
    hg_engine_free(b);
}

TEST(guesses_looked_up_never_show_in_float32)
{
    tiny t = tiny_open(HG_WEIGHTS_F32, 2);
    check_guesses(&t, NULL, HG_SPECULATE_LOOKUP, 0.05);
    tiny_end(&t);
}

TEST(guesses_looked_up_never_show_in_bfloat16)
{
    tiny t = tiny_open(HG_WEIGHTS_BF16, 2);
    check_guesses(&t, NULL, HG_SPECULATE_LOOKUP, 0.05);
    tiny_end(&t);
}

/* Its draws race with the answer's own numbers, so whatever the temperature they agree. */
TEST(a_draft_of_the_same_model_is_nearly_always_right)
{
    tiny t = tiny_open(HG_WEIGHTS_F32, 2);
    check_guesses(&t, t.m, HG_SPECULATE_DRAFT, 0.95);
    tiny_end(&t);
}

TEST(a_draft_of_another_model_never_shows)
{
    tiny t = tiny_open(HG_WEIGHTS_F32, 2);
    hg_model *other = NULL;
    CHECK_OK(hg_model_open(&other, test_path("tiny"), HG_WEIGHTS_BF16, t.rt, &e), e);
    check_guesses(&t, other, HG_SPECULATE_DRAFT | HG_SPECULATE_LOOKUP, 0.2);
    hg_model_free(other);
    tiny_end(&t);
}

TEST(an_answer_that_loops_takes_few_passes)
{
    static told a;
    int32_t ids[90];
    hg_engine_state before, after;
    tiny t = tiny_open(HG_WEIGHTS_F32, 1);
    hg_engine *en = open_engine(&t, t.m);
    repeating_prompt(ids, 90);
    hg_request r = request(ids, 90, &a);
    r.sampling.temperature = 0.0f;
    r.speculate = HG_SPECULATE_DRAFT;
    hg_engine_look(en, &before);
    run(en, &r);
    hg_engine_look(en, &after);
    CHECK(a.n > 1 && 2 * (after.n_steps - before.n_steps) < a.n);
    hg_engine_free(en);
    tiny_end(&t);
}

/* What is kept behind a guessed answer is its timeline and no wrong guess. */
TEST(a_timeline_behind_guesses_is_saved_as_without)
{
    static told a;
    int32_t ids[90];
    hg_ids plain = {0}, guessed = {0};
    tiny t = tiny_open(HG_WEIGHTS_F32, 2);
    repeating_prompt(ids, 90);
    for (int i = 0; i < 2; i++) {
        hg_engine *en = open_engine(&t, NULL);
        hg_request r = request(ids, 90, &a);
        r.speculate = i == 0 ? 0 : HG_SPECULATE_LOOKUP;
        run(en, &r);
        CHECK_OK(hg_engine_save(en, test_path("line.hgs"), &e), e);
        CHECK_OK(hg_engine_load(en, test_path("line.hgs"), NULL, 0, i == 0 ? &plain : &guessed, &e),
                 e);
        hg_engine_free(en);
    }
    CHECK_EQ(plain.n, 90 + a.n);
    CHECK_EQ(guessed.n, plain.n);
    CHECK(memcmp(guessed.id, plain.id, plain.n * sizeof *plain.id) == 0);
    hg_ids_free(&plain);
    hg_ids_free(&guessed);
    tiny_end(&t);
}

TEST(drafts_without_a_fitting_draft_model_are_refused)
{
    static told a;
    int32_t ids[4] = {1, 2, 3, 4};
    hg_engine_options o;
    hg_engine *en = NULL;
    tiny t = tiny_open(HG_WEIGHTS_F32, 1);
    hg_model *mute = tiny_model(false);
    hg_engine_options_init(&o);
    o.draft = mute;
    CHECK_EQ(hg_engine_new(&en, t.m, t.rt, &o, &e), HG_E_ARG);
    CHECK_STR(e.msg, "the draft model has no tokenizer; take one that shares the model's");
    en = open_engine(&t, NULL);
    hg_request r = request(ids, 4, &a);
    r.speculate = HG_SPECULATE_DRAFT;
    CHECK_EQ(hg_engine_run(en, &r, NULL, NULL, NULL, &e), HG_E_MISSING);
    CHECK_STR(e.msg, "drafts are asked for and there is no draft model");
    hg_engine_free(en);
    hg_model_free(mute);
    tiny_end(&t);
}

/* ---- lookup ---- */
TEST(lookup_goes_on_where_the_last_tokens_stood_and_behind_a_changed_word)
{
    hg_lookup l = {0};
    int32_t guess[8];
    CHECK_OK(hg_lookup_begin(&l, 64, &e), e);
    for (int32_t id = 1; id <= 20; id++) hg_lookup_put(&l, id);
    hg_lookup_put(&l, 3);
    CHECK_EQ(hg_lookup_guess(&l, 8, guess), 0); /* one token alone says nothing yet */
    hg_lookup_put(&l, 4);
    CHECK_EQ(hg_lookup_guess(&l, 8, guess), 8);
    for (int32_t i = 0; i < 8; i++) CHECK_EQ(guess[i], 5 + i);
    hg_lookup_put(&l, 90);
    CHECK_EQ(hg_lookup_guess(&l, 8, guess), 0);
    hg_lookup_put(&l, 6); /* 5 was changed to 90 */
    CHECK_EQ(hg_lookup_guess(&l, 2, guess), 2);
    CHECK_EQ(guess[0], 7);
    CHECK_EQ(guess[1], 8);
    hg_lookup_put(&l, 19); /* too far off to be the same place */
    CHECK_EQ(hg_lookup_guess(&l, 8, guess), 0);
    hg_lookup_free(&l);
}
