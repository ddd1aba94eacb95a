/* Answers in company: whatever else is in the batch, however each is sampled and guessed, each is
 * the one that it would be alone; prompts that begin alike are read once. */
#include "base/mem.h"
#include "harness/test.h"
#include "model/model.h"
#include "tiny.h"

#include <math.h>
#include <semaphore.h>
#include <string.h>

enum { ANSWER = 40, MANY = 9, PROMPT = 160 };
static hg_err e;

typedef struct told {
    int32_t id[ANSWER];
    float logprob[ANSWER];
    size_t n;
    hg_finish finish;
    hg_usage usage;
    size_t cancel_at; /* tokens; 0: never */
    atomic_bool cancel;
    sem_t *held, *go_on; /* posted at the first token; waited for behind it */
    const struct told *beside;
    size_t n_beside; /* its tokens, a step each, when the first of this one came */
    sem_t ended;
} told;

static void on_token(void *ctx, const hg_token_report *t)
{
    told *a = ctx;
    CHECK(a->n < ANSWER);
    a->id[a->n] = t->id;
    a->logprob[a->n++] = t->logprob;
    if (a->n == a->cancel_at) atomic_store(&a->cancel, true);
    if (a->n == 1 && a->beside != NULL) a->n_beside = a->beside->n;
    if (a->n != 1 || a->held == NULL) return;
    (void)sem_post(a->held);
    (void)sem_wait(a->go_on);
}

static void on_text(void *ctx, hg_bytes text, hg_finish finish, const hg_usage *usage,
                    const char *error)
{
    told *a = ctx;
    (void)text;
    (void)error;
    if (finish == HG_FINISH_NONE) return;
    a->finish = finish;
    a->usage = *usage;
    (void)sem_post(&a->ended);
}

static hg_request request(const int32_t *ids, size_t n, told *a)
{
    hg_request r = {.prompt = ids,
                    .n_prompt = n,
                    .max_tokens = ANSWER,
                    .on_token = on_token,
                    .on_text = on_text,
                    .cancel = &a->cancel,
                    .ctx = a};
    *a = (told){.cancel_at = a->cancel_at, .held = a->held, .go_on = a->go_on, .beside = a->beside};
    (void)sem_init(&a->ended, 0, 0);
    hg_sampling_init(&r.sampling);
    return r;
}

static hg_engine *open_engine(const tiny *t, const hg_model *draft, uint32_t sessions,
                              uint32_t chunk)
{
    hg_engine_options o;
    hg_engine *en = NULL;
    hg_engine_options_init(&o);
    o.draft = draft;
    o.max_sessions = sessions;
    o.prefill_chunk = chunk;
    CHECK_OK(hg_engine_new(&en, t->m, t->rt, &o, &e), e);
    return en;
}

/* Each another sampler, and another way to guess. */
static void sample(hg_request *r, size_t i)
{
    static const unsigned how[] = {0, HG_SPECULATE_LOOKUP, HG_SPECULATE_DRAFT,
                                   HG_SPECULATE_LOOKUP | HG_SPECULATE_DRAFT};
    hg_sampling *o = &r->sampling;
    o->seed = i;
    r->speculate = how[i % 4];
    if (i == 1 || i == 2) o->temperature = 0.0f;
    if (i == 2) o->repetition_penalty = 1.0f;
    if (i == 3) o->mirostat_tau = 4.0f;
    if (i == 4) o->typical_p = 0.6f;
    if (i == 5) {
        o->dry_multiplier = 0.8f;
        o->xtc_chance = 0.5f;
        o->xtc_share = 0.01f;
    }
    if (i == 6) {
        o->presence_penalty = 0.5f;
        o->frequency_penalty = 0.3f;
    }
    if (i == 7) CHECK_OK(hg_sampling_set_order(o, "temperature,min-p,top-p", &e), e);
    if (i == 8) o->temperature = 1.6f;
}

static size_t prompt_of(int32_t *ids, size_t i)
{
    const size_t n = 20 + 15 * i;
    tiny_prompt(ids, n, 50 + i);
    for (size_t k = 0; k < n; k++) ids[k] = ids[k % 12]; /* something to look up */
    return n;
}

static void check_company(hg_weights as)
{
    static told alone[MANY], together[MANY];
    int32_t ids[PROMPT];
    hg_job job;
    uint32_t n_drafted = 0;
    tiny t = tiny_open(as, 2);
    for (size_t i = 0; i < MANY; i++) {
        hg_engine *en = open_engine(&t, NULL, 1, 256);
        const size_t n = prompt_of(ids, i);
        hg_request r = request(ids, n, &alone[i]);
        sample(&r, i);
        r.speculate = 0;
        CHECK_OK(hg_engine_run(en, &r, NULL, NULL, NULL, &e), e);
        hg_engine_free(en);
    }
    hg_engine *en = open_engine(&t, t.m, MANY, 16);
    for (size_t i = 0; i < MANY; i++) {
        const size_t n = prompt_of(ids, i);
        hg_request r = request(ids, n, &together[i]);
        sample(&r, i);
        CHECK_OK(hg_engine_submit(en, &r, &job, &e), e);
    }
    for (size_t i = 0; i < MANY; i++) (void)sem_wait(&together[i].ended);
    hg_engine_free(en);
    for (size_t i = 0; i < MANY; i++) {
        CHECK(alone[i].n > 0);
        CHECK_EQ(together[i].n, alone[i].n);
        CHECK_EQ(together[i].finish, alone[i].finish);
        CHECK(memcmp(together[i].id, alone[i].id, alone[i].n * sizeof(int32_t)) == 0);
        CHECK(memcmp(together[i].logprob, alone[i].logprob, alone[i].n * sizeof(float)) == 0);
        n_drafted += together[i].usage.drafted_tokens;
    }
    CHECK(n_drafted > 0);
    tiny_end(&t);
}

TEST(every_sampler_answers_in_company_with_guesses_as_alone_without_in_float32)
{
    check_company(HG_WEIGHTS_F32);
}

TEST(every_sampler_answers_in_company_with_guesses_as_alone_without_in_bfloat16)
{
    check_company(HG_WEIGHTS_BF16);
}

/* While one request holds the engine, several with one prompt come in: one reads it, chunk by
 * chunk, and the others take what it has read. */
TEST(a_prompt_that_is_being_read_is_read_once)
{
    static told first, same[3], alone;
    sem_t held, go_on;
    int32_t ids[300];
    size_t n_read = 0;
    hg_job job;
    tiny t = tiny_open(HG_WEIGHTS_BF16, 2);
    tiny_prompt(ids, 300, 9);
    hg_engine *en = open_engine(&t, NULL, 4, 16);
    hg_request r = request(ids, 300, &alone);
    CHECK_OK(hg_engine_run(en, &r, NULL, NULL, NULL, &e), e);
    hg_engine_free(en);

    (void)sem_init(&held, 0, 0);
    (void)sem_init(&go_on, 0, 0);
    en = open_engine(&t, NULL, 4, 16);
    first.held = &held;
    first.go_on = &go_on;
    r = request(ids + 290, 5, &first);
    CHECK_OK(hg_engine_submit(en, &r, &job, &e), e);
    (void)sem_wait(&held);
    for (int i = 0; i < 3; i++) {
        r = request(ids, 300, &same[i]);
        CHECK_OK(hg_engine_submit(en, &r, &job, &e), e);
    }
    (void)sem_post(&go_on);
    for (int i = 0; i < 3; i++) {
        (void)sem_wait(&same[i].ended);
        CHECK_EQ(same[i].n, alone.n);
        CHECK(memcmp(same[i].id, alone.id, alone.n * sizeof(int32_t)) == 0);
        n_read += same[i].usage.prompt_tokens - same[i].usage.cached_tokens;
    }
    CHECK(n_read < 300 + 2 * 32); /* the others wait while a little is left */
    hg_engine_free(en);
    tiny_end(&t);
}

/* Two long prompts and then a short one, of 48 tokens, which gets 12 of each step's 16; an answer
 * that is being written counts the steps. */
TEST(a_short_prompt_is_read_in_most_of_each_step)
{
    static told counts, is_long[2], is_short;
    sem_t held, go_on;
    int32_t ids[4][300];
    hg_job job;
    tiny t = tiny_open(HG_WEIGHTS_BF16, 2);
    for (size_t i = 0; i < 4; i++) tiny_prompt(ids[i], 300, 20 + i);
    (void)sem_init(&held, 0, 0);
    (void)sem_init(&go_on, 0, 0);
    hg_engine *en = open_engine(&t, NULL, 4, 16);
    counts.held = &held;
    counts.go_on = &go_on;
    is_short.beside = &counts;
    hg_request r = request(ids[3], 5, &counts);
    CHECK_OK(hg_engine_submit(en, &r, &job, &e), e);
    (void)sem_wait(&held);
    for (int i = 0; i < 2; i++) {
        r = request(ids[i], 300, &is_long[i]);
        r.max_tokens = 2;
        CHECK_OK(hg_engine_submit(en, &r, &job, &e), e);
    }
    r = request(ids[2], 48, &is_short);
    CHECK_OK(hg_engine_submit(en, &r, &job, &e), e);
    (void)sem_post(&go_on);
    (void)sem_wait(&is_short.ended);
    CHECK(is_short.n_beside >= 5 && is_short.n_beside <= 6);
    for (int i = 0; i < 2; i++) (void)sem_wait(&is_long[i].ended);
    CHECK(is_long[0].n == 2 && is_long[1].n == 2);
    (void)sem_wait(&counts.ended);
    hg_engine_free(en);
    tiny_end(&t);
}

TEST(a_cancelled_answer_ends_with_its_token_among_guesses_too)
{
    static told a;
    int32_t ids[90];
    tiny t = tiny_open(HG_WEIGHTS_F32, 1);
    hg_engine *en = open_engine(&t, t.m, 1, 64);
    (void)prompt_of(ids, 4);
    for (size_t at = 1; at < 12; at++) {
        a.cancel_at = at;
        hg_request r = request(ids, 60, &a);
        r.sampling.temperature = 0.0f;
        r.speculate = HG_SPECULATE_DRAFT;
        CHECK_OK(hg_engine_run(en, &r, NULL, NULL, NULL, &e), e);
        CHECK_EQ(a.finish, HG_FINISH_CANCELED);
        CHECK_EQ(a.n, at);
        CHECK_EQ(a.usage.completion_tokens, at);
    }
    hg_engine_free(en);
    tiny_end(&t);
}

/* ---- the distribution ---- */
enum { CHOICES = 4, PAIRS = CHOICES * CHOICES, DRAWS = 2000 };

/* The probabilities of a, b, c, d behind the ids. */
static void four(hg_session *s, const int32_t *ids, size_t n, double *p)
{
    const float *logits;
    double sum = 0.0;
    hg_session_rewind(s, 0);
    CHECK_OK(hg_session_feed(s, ids, n, &logits, &e), e);
    for (int i = 0; i < CHOICES; i++) sum += p[i] = exp((double)logits['a' + i]);
    for (int i = 0; i < CHOICES; i++) p[i] /= sum;
}

/* Pairs of letters whose second one was guessed by another model: as often as the model says.
 * Pearson's chi-squared of 15 degrees of freedom is over 37.7 once in a thousand times. */
TEST_SECONDS(draws_with_guesses_follow_the_models_distribution, 120)
{
    static told a;
    int32_t ids[9];
    double first[CHOICES], second[CHOICES], chi = 0.0;
    uint32_t seen[PAIRS] = {0}, n_drafted = 0;
    hg_session *s = NULL;
    hg_model *other = NULL;
    hg_vocab *v = NULL;
    hg_grammar *g = NULL;
    hg_masks *masks = NULL;
    hg_constraint *c = NULL;
    tiny t = tiny_open(HG_WEIGHTS_F32, 1);
    CHECK_OK(hg_model_open(&other, test_path("tiny"), HG_WEIGHTS_BF16, t.rt, &e), e);
    CHECK_OK(hg_model_vocab(&v, t.m, &e), e);
    CHECK_OK(hg_grammar_from_regex(&g, (hg_bytes){"[a-d]{4}", 8}, &e), e);
    CHECK_OK(hg_masks_new(&masks, g, v, 1 << 20, &e), e);
    CHECK_OK(hg_constraint_new(&c, masks, &e), e);
    CHECK_OK(hg_session_new(&s, t.m, t.rt, NULL, &e), e);
    tiny_prompt(ids, 8, 3);
    hg_engine *en = open_engine(&t, other, 1, 64);
    for (uint64_t seed = 0; seed < DRAWS; seed++) {
        hg_request r = request(ids, 8, &a);
        CHECK_OK(hg_sampling_set_order(&r.sampling, "temperature", &e), e);
        r.sampling.temperature = 1.0f;
        r.sampling.seed = seed;
        r.max_tokens = 4;
        r.constraint = c;
        r.speculate = HG_SPECULATE_DRAFT;
        CHECK_OK(hg_engine_run(en, &r, NULL, NULL, NULL, &e), e);
        n_drafted += a.usage.drafted_tokens;
        if (a.n >= 2) seen[(a.id[0] - 'a') * CHOICES + a.id[1] - 'a']++;
    }
    hg_engine_free(en);
    uint32_t n = 0;
    for (int i = 0; i < PAIRS; i++) n += seen[i];
    four(s, ids, 8, first);
    for (int i = 0; i < CHOICES; i++) {
        ids[8] = 'a' + i;
        four(s, ids, 9, second);
        for (int k = 0; k < CHOICES; k++) {
            const double expected = n * first[i] * second[k];
            chi += pow(seen[i * CHOICES + k] - expected, 2.0) / expected;
        }
    }
    CHECK(n_drafted > DRAWS);
    CHECK_EQ(n, DRAWS);
    CHECK_NEAR(chi, 0.0, 37.7);
    hg_session_free(s);
    hg_constraint_free(c);
    hg_masks_free(masks);
    hg_grammar_free(g);
    hg_vocab_free(v);
    hg_model_free(other);
    tiny_end(&t);
}
