/* A full context that goes on without its older half, where that was asked for. */
#include "harness/test.h"
#include "tiny.h"

#include <string.h>

static hg_err e;

static hg_session *open_session(const tiny *t, uint32_t n_ctx)
{
    const hg_session_options o = {.n_ctx = n_ctx};
    hg_session *s = NULL;
    CHECK_OK(hg_session_new(&s, t->m, t->rt, &o, &e), e);
    return s;
}

static void feed(hg_session *s, const int32_t *ids, size_t n, float *logits)
{
    const float *got = NULL;
    CHECK_OK(hg_session_feed(s, ids, n, &got, &e), e);
    memcpy(logits, got, TINY_VOCAB * sizeof *logits);
}

/* The text that a shift leaves. */
static size_t shifted(int32_t *out, const int32_t *ids, size_t n, size_t n_keep)
{
    const size_t drop = (n - n_keep + 1) / 2;
    memcpy(out, ids, n_keep * sizeof *ids);
    memcpy(out + n_keep, ids + n_keep + drop, (n - n_keep - drop) * sizeof *ids);
    return n - drop;
}

static void check_shift(const tiny *t, size_t n_ctx, size_t n_keep)
{
    int32_t ids[TINY_LONG_CTX], left[TINY_LONG_CTX];
    float x[TINY_VOCAB], y[TINY_VOCAB];
    hg_session *s = open_session(t, (uint32_t)n_ctx), *fresh = open_session(t, (uint32_t)n_ctx);
    tiny_prompt(ids, n_ctx, 1);
    feed(s, ids, n_ctx, x);
    CHECK_EQ(hg_session_feed(s, ids, 1, NULL, &e), HG_E_LIMIT); /* never without being asked */
    CHECK_EQ(hg_session_length(s), n_ctx);
    CHECK_OK(hg_session_shift(s, n_keep, &e), e);
    const size_t n = shifted(left, ids, n_ctx, n_keep);
    CHECK_EQ(hg_session_length(s), n);
    CHECK(memcmp(hg_session_ids(s), left, n * sizeof *left) == 0);
    feed(fresh, left, n, x);
    feed(s, NULL, 0, y);
    CHECK(memcmp(x, y, sizeof x) == 0);
    feed(fresh, ids, 20, x);
    feed(s, ids, 20, y);
    CHECK(memcmp(x, y, sizeof x) == 0);
    /* Twice in a row, and with what the first one left unread. */
    CHECK_OK(hg_session_shift(s, n_keep, &e), e);
    CHECK_OK(hg_session_shift(s, n_keep, &e), e);
    memcpy(left + n, ids, 20 * sizeof *ids);
    const size_t once = shifted(ids, left, n + 20, n_keep);
    const size_t twice = shifted(left, ids, once, n_keep);
    CHECK_EQ(hg_session_length(s), twice);
    hg_session_rewind(fresh, 0);
    feed(fresh, left, twice, x);
    feed(s, NULL, 0, y);
    CHECK(memcmp(x, y, sizeof x) == 0);
    CHECK_EQ(hg_session_shift(s, twice, &e), HG_E_ARG);
    CHECK_HAS(e.msg, "nothing is left to drop");
    hg_session_free(s);
    hg_session_free(fresh);
}

TEST(a_shifted_session_is_as_good_as_a_fresh_one_fed_with_what_is_left)
{
    tiny t = tiny_open(HG_WEIGHTS_BF16, 2);
    check_shift(&t, TINY_CTX, 0);
    check_shift(&t, 301, 17);
    tiny_end(&t);
    t = tiny_open_windows(HG_WEIGHTS_F32, 2);
    check_shift(&t, TINY_LONG_CTX, 300);
    tiny_end(&t);
}

/* ---- the engine ---- */

enum { CTX = 128, PROMPT = 50, ANSWER = 400, KEEP = 5 };

typedef struct said {
    int32_t id[ANSWER];
    size_t n;
    hg_finish finish;
} said;

static void on_token(void *ctx, const hg_token_report *r)
{
    said *s = ctx;
    CHECK(s->n < ANSWER);
    s->id[s->n++] = r->id;
}

static hg_engine *open_engine(const tiny *t, const hg_model *draft)
{
    hg_engine_options o;
    hg_engine *en = NULL;
    hg_engine_options_init(&o);
    o.n_ctx = CTX;
    o.draft = draft;
    o.prefill_chunk = 24;
    CHECK_OK(hg_engine_new(&en, t->m, t->rt, &o, &e), e);
    return en;
}

static const hg_logit_bias no_end = {TINY_END, -100};

static hg_request greedy(const int32_t *prompt, said *out)
{
    hg_request r = {.prompt = prompt,
                    .n_prompt = PROMPT,
                    .max_tokens = ANSWER,
                    .shifts = true,
                    .n_keep = KEEP,
                    .on_token = on_token,
                    .ctx = out};
    hg_sampling_init(&r.sampling);
    r.sampling.temperature = 0;
    r.sampling.repetition_penalty = 1;
    r.sampling.presence_penalty = 0.5f; /* it must know where the answer begins */
    r.sampling.bias = &no_end;
    r.sampling.n_bias = 1;
    return r;
}

/* The likeliest token, with what answer[0..n) costs those in it. */
static int32_t likeliest(const float *x, const int32_t *answer, size_t n)
{
    float y[TINY_VOCAB];
    int32_t best = 0;
    bool seen[TINY_VOCAB] = {false};
    memcpy(y, x, sizeof y);
    y[TINY_END] -= 100;
    for (size_t i = 0; i < n; i++) {
        if (!seen[answer[i]]) y[answer[i]] -= 0.5f;
        seen[answer[i]] = true;
    }
    for (int32_t i = 1; i < TINY_VOCAB; i++)
        if (y[i] > y[best]) best = i;
    return best;
}

/* The answer of a fresh session after every shift. */
static void expected(const tiny *t, const int32_t *prompt, said *out)
{
    int32_t text[CTX], left[CTX];
    float x[TINY_VOCAB];
    size_t n = PROMPT, begin = PROMPT;
    hg_session *s = open_session(t, CTX);
    memcpy(text, prompt, sizeof(int32_t) * PROMPT);
    feed(s, text, n, x);
    *out = (said){0};
    while (out->n < ANSWER) {
        const int32_t id = likeliest(x, text + begin, n - begin);
        out->id[out->n++] = id;
        if (n == CTX) {
            const size_t drop = n - shifted(left, text, n, KEEP);
            begin = begin > KEEP + drop ? begin - drop : begin > KEEP ? KEEP : begin;
            n -= drop;
            memcpy(text, left, n * sizeof *left);
            hg_session_rewind(s, 0);
            feed(s, text, n, x);
        }
        text[n++] = id;
        feed(s, &id, 1, x);
    }
    hg_session_free(s);
}

TEST(an_answer_longer_than_its_context_goes_on_as_from_the_text_that_is_left)
{
    tiny t = tiny_open(HG_WEIGHTS_BF16, 2);
    hg_engine *en = open_engine(&t, t.m);
    int32_t prompt[PROMPT];
    said want, got;
    tiny_prompt(prompt, PROMPT, 4);
    expected(&t, prompt, &want);
    for (unsigned how = 0; how < 4; how++) {
        hg_usage usage;
        hg_request r = greedy(prompt, &got);
        r.speculate = how;
        got = (said){0};
        CHECK_OK(hg_engine_run(en, &r, NULL, &got.finish, &usage, &e), e);
        CHECK_EQ(got.finish, HG_FINISH_LENGTH);
        CHECK_EQ(got.n, ANSWER);
        CHECK_EQ(usage.completion_tokens, ANSWER);
        CHECK_EQ(usage.prompt_tokens, PROMPT);
        CHECK(memcmp(got.id, want.id, sizeof want.id) == 0);
    }
    hg_engine_free(en);
    tiny_end(&t);
}

TEST(an_answer_that_was_not_asked_to_shift_ends_with_the_context)
{
    tiny t = tiny_open(HG_WEIGHTS_BF16, 1);
    hg_engine *en = open_engine(&t, NULL);
    int32_t prompt[PROMPT];
    said got = {0};
    hg_job job;
    tiny_prompt(prompt, PROMPT, 4);
    hg_request r = greedy(prompt, &got);
    r.n_keep = CTX / 2 + 1;
    CHECK_EQ(hg_engine_submit(en, &r, &job, &e), HG_E_ARG);
    CHECK_STR(e.msg, "65 tokens are to be kept of a context of 128; at most half of it can be");
    r.shifts = false;
    CHECK_OK(hg_engine_run(en, &r, NULL, &got.finish, NULL, &e), e);
    CHECK_EQ(got.finish, HG_FINISH_LENGTH);
    CHECK_EQ(got.n, CTX - PROMPT);
    hg_engine_free(en);
    tiny_end(&t);
}
