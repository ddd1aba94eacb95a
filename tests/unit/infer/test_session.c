/* Sessions: one timeline that gives the same bits however it was fed. */
#include "base/mem.h"
#include "harness/test.h"
#include "infer/step.h"
#include "tiny.h"

#include <malloc.h>
#include <math.h>
#include <string.h>

static hg_session *open_session(const tiny *t, uint32_t n_ctx)
{
    const hg_session_options o = {.n_ctx = n_ctx};
    hg_session *s = NULL;
    hg_err e;
    CHECK_OK(hg_session_new(&s, t->m, t->rt, &o, &e), e);
    return s;
}

static void feed(hg_session *s, const int32_t *ids, size_t n, float *logits)
{
    const float *got = NULL;
    hg_err e;
    CHECK_OK(hg_session_feed(s, ids, n, logits != NULL ? &got : NULL, &e), e);
    if (logits != NULL) memcpy(logits, got, TINY_VOCAB * sizeof *logits);
}

static void check_same(const float *a, const float *b)
{
    CHECK(memcmp(a, b, TINY_VOCAB * sizeof *a) == 0);
}

static const hg_weights KINDS[2] = {HG_WEIGHTS_F32, HG_WEIGHTS_BF16};

static const hg_cache_type CACHES[] = {HG_CACHE_F32, HG_CACHE_F16, HG_CACHE_BF16, HG_CACHE_Q8_0};

static hg_session *open_with(const tiny *t, hg_cache_type cache)
{
    const hg_session_options o = {.cache = cache};
    hg_session *s = NULL;
    hg_err e;
    CHECK_OK(hg_session_new(&s, t->m, t->rt, &o, &e), e);
    return s;
}

TEST(a_prompt_fed_in_any_pieces_gives_the_same_bits)
{
    int32_t ids[300];
    float whole[TINY_VOCAB], pieces[TINY_VOCAB], single[TINY_VOCAB];
    tiny_prompt(ids, 300, 1);
    for (int k = 0; k < 2; k++)
        for (int c = 0; c < 4; c++) {
            tiny t = tiny_open(KINDS[k], 2);
            hg_session *s = open_with(&t, CACHES[c]);
            feed(s, ids, 300, whole);
            hg_session_rewind(s, 0);
            for (size_t i = 0, n = 1; i < 300; i += n, n = n * 2 + 1) {
                if (n > 300 - i) n = 300 - i;
                feed(s, ids + i, n, i + n == 300 ? pieces : NULL);
            }
            check_same(whole, pieces);
            hg_session_rewind(s, 120);
            for (size_t i = 120; i < 300; i++) feed(s, ids + i, 1, single);
            check_same(whole, single);
            hg_session_free(s);
            tiny_end(&t);
        }
}

TEST(a_rewound_session_is_as_good_as_a_fresh_one)
{
    int32_t ids[80], other[40];
    float fresh[TINY_VOCAB], again[TINY_VOCAB];
    tiny t = tiny_open(HG_WEIGHTS_BF16, 2);
    hg_session *a = open_session(&t, 0), *b = open_session(&t, 0);
    tiny_prompt(ids, 80, 2);
    tiny_prompt(other, 40, 3);
    feed(a, ids, 80, fresh);
    feed(b, ids, 50, NULL);
    feed(b, other, 40, NULL);
    CHECK_EQ(hg_session_length(b), 90);
    hg_session_rewind(b, 48);
    CHECK_EQ(hg_session_length(b), 48);
    hg_session_rewind(b, 70); /* forwards is nowhere */
    CHECK_EQ(hg_session_length(b), 48);
    feed(b, ids + 48, 32, again);
    check_same(fresh, again);
    hg_session_free(a);
    hg_session_free(b);
    tiny_end(&t);
}

TEST(feeding_nothing_tells_the_last_logits_again)
{
    int32_t ids[20];
    float first[TINY_VOCAB], again[TINY_VOCAB];
    tiny t = tiny_open(HG_WEIGHTS_F32, 1);
    hg_session *s = open_session(&t, 0);
    const float *none;
    hg_err e;
    CHECK_OK(hg_session_feed(s, ids, 0, &none, &e), e);
    CHECK(none == NULL);
    tiny_prompt(ids, 20, 4);
    feed(s, ids, 10, first);
    feed(s, ids + 10, 10, NULL);
    hg_session_rewind(s, 10);
    feed(s, ids, 0, again);
    check_same(first, again);
    CHECK_EQ(hg_session_length(s), 10);
    hg_session_free(s);
    tiny_end(&t);
}

static void check_scores(hg_weights as, double bound)
{
    enum { N = 120 };
    int32_t ids[N];
    double score[N], again;
    float logits[TINY_VOCAB];
    hg_err e;
    tiny t = tiny_open(as, 2);
    hg_session *a = open_session(&t, 0), *b = open_session(&t, 0);
    tiny_prompt(ids, N, 5);
    CHECK_OK(hg_session_score(a, ids, 50, score, &e), e);
    CHECK_OK(hg_session_score(a, ids + 50, N - 50, score + 50, &e), e);
    CHECK_EQ(hg_session_length(a), N);
    CHECK_NEAR(score[0], 0, 0); /* nothing came before */
    for (size_t i = 1; i < N; i++) {
        double sum = 0.0;
        feed(b, ids + i - 1, 1, logits);
        for (size_t v = 0; v < TINY_VOCAB; v++)
            sum += exp((double)logits[v] - (double)logits[ids[i]]);
        CHECK_NEAR(score[i], -log(sum), bound);
    }
    /* After a rewind the first id is judged by what is left. */
    hg_session_rewind(a, 70);
    CHECK_OK(hg_session_score(a, ids + 70, 1, &again, &e), e);
    CHECK_NEAR(again, score[70], bound);
    hg_session_free(a);
    hg_session_free(b);
    tiny_end(&t);
}

TEST(scores_are_the_log_probabilities_of_fed_logits)
{
    check_scores(HG_WEIGHTS_F32, 2e-3);
    check_scores(HG_WEIGHTS_BF16, 0.3);
}

TEST(a_full_context_is_told_and_nothing_is_appended)
{
    int32_t ids[40];
    double score[40];
    float before[TINY_VOCAB], after[TINY_VOCAB];
    hg_err e;
    tiny t = tiny_open(HG_WEIGHTS_F32, 1);
    hg_session *s = open_session(&t, 32);
    tiny_prompt(ids, 40, 6);
    feed(s, ids, 30, before);
    CHECK_EQ(hg_session_feed(s, ids, 3, NULL, &e), HG_E_LIMIT);
    CHECK_STR(e.msg, "the context is full: it holds 30 of 32 tokens and 3 more were fed; rewind it "
                     "or start a new session");
    CHECK_EQ(hg_session_score(s, ids, 3, score, &e), HG_E_LIMIT);
    CHECK_EQ(hg_session_length(s), 30);
    feed(s, ids, 0, after);
    check_same(before, after);
    feed(s, ids, 2, NULL); /* the last two places */
    CHECK_EQ(hg_session_length(s), 32);
    hg_session_free(s);
    tiny_end(&t);
}

TEST(a_context_beyond_the_models_is_refused)
{
    const hg_session_options o = {.n_ctx = TINY_CTX + 1};
    hg_session *s;
    hg_err e;
    tiny t = tiny_open(HG_WEIGHTS_F32, 1);
    CHECK_EQ(hg_session_new(&s, t.m, t.rt, &o, &e), HG_E_LIMIT);
    CHECK(s == NULL);
    CHECK_STR(e.msg, "a context of 513 tokens was asked for; the model has 512");
    tiny_end(&t);
}

TEST(ids_outside_the_vocabulary_are_refused)
{
    const int32_t high[3] = {1, 2, TINY_VOCAB}, low[1] = {-1};
    hg_err e;
    tiny t = tiny_open(HG_WEIGHTS_F32, 1);
    hg_session *s = open_session(&t, 0);
    CHECK_EQ(hg_session_feed(s, high, 3, NULL, &e), HG_E_ARG);
    CHECK_STR(e.msg, "token 259 at place 2 is outside the vocabulary of 259");
    CHECK_EQ(hg_session_feed(s, low, 1, NULL, &e), HG_E_ARG);
    CHECK_EQ(hg_session_length(s), 0);
    hg_session_free(s);
    tiny_end(&t);
}

TEST(a_session_takes_the_bytes_it_told)
{
    tiny t = tiny_open(HG_WEIGHTS_BF16, 1);
    const hg_session_options half = {.n_ctx = 256}, whole = {.n_ctx = 512},
                             wide = {.n_ctx = 512, .cache = HG_CACHE_F32};
    /* keys and values of 2 heads of 32 in 3 layers, two bytes each, and an id a position */
    const uint64_t a_position = 2 * 2 * 32 * 3 * 2 + 4;
    CHECK_EQ(hg_session_bytes(t.m, &whole) - hg_session_bytes(t.m, &half), 256 * a_position);
    CHECK_EQ(hg_session_bytes(t.m, &wide) - hg_session_bytes(t.m, &whole), 512 * (a_position - 4));
    hg_cache c;
    hg_err e;
    CHECK_OK(hg_cache_new(&c, t.m, 512, 64, HG_BF16, &e), e);
    CHECK_NEAR(c.mem.used, hg_cache_bytes(t.m, 512, 64, HG_BF16), 512);
    hg_cache_free(&c);
    tiny_end(&t);
}

TEST(decoding_takes_no_memory_after_its_first_step)
{
    int32_t ids[64];
    float logits[TINY_VOCAB];
    tiny t = tiny_open(HG_WEIGHTS_BF16, 2);
    hg_session *s = open_session(&t, 0);
    tiny_prompt(ids, 64, 8);
    feed(s, ids, 10, logits);
    feed(s, ids, 1, logits);
    const size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    for (size_t i = 0; i < 400; i++) feed(s, ids + i % 64, 1, logits);
    CHECK_EQ(mallinfo2().uordblks + mallinfo2().hblkhd, before);
    hg_session_free(s);
    tiny_end(&t);
}

/* The engine's promise at its root: a lane's logits are the same alone and among others. */
TEST(a_lane_gives_the_same_bits_alone_and_in_company)
{
    enum { LANES = 8 };
    static float alone[LANES][TINY_VOCAB];
    int32_t ids[LANES][64];
    hg_cache cache[LANES] = {0};
    hg_lane lane[LANES];
    hg_stepper st;
    hg_err e;
    for (int k = 0; k < 2; k++) {
        tiny t = tiny_open(KINDS[k], 2);
        CHECK_OK(hg_stepper_init(&st, t.m, t.rt, LANES * 64, LANES, &e), e);
        for (size_t i = 0; i < LANES; i++) {
            CHECK_OK(hg_cache_new(&cache[i], t.m, 128, 64, HG_BF16, &e), e);
            tiny_prompt(ids[i], 64, 20 + i);
            lane[i] =
                (hg_lane){.cache = &cache[i], .ids = ids[i], .n = 7 * i + 1, .want = HG_WANT_LAST};
            CHECK_OK(hg_stepper_run(&st, &lane[i], 1, &e), e);
            memcpy(alone[i], lane[i].logits, sizeof alone[i]);
            (void)hg_cache_rewind(&cache[i], 0);
        }
        CHECK_OK(hg_stepper_run(&st, lane, LANES, &e), e);
        for (size_t i = 0; i < LANES; i++) check_same(lane[i].logits, alone[i]);
        for (size_t i = 0; i < LANES; i++) hg_cache_free(&cache[i]);
        hg_stepper_free(&st);
        tiny_end(&t);
    }
}

TEST(a_copied_prefix_is_as_good_as_a_read_one)
{
    int32_t ids[50];
    float want[TINY_VOCAB];
    hg_cache a = {0}, b = {0};
    hg_stepper st;
    hg_err e;
    tiny t = tiny_open(HG_WEIGHTS_BF16, 1);
    tiny_prompt(ids, 50, 9);
    CHECK_OK(hg_stepper_init(&st, t.m, t.rt, 50, 1, &e), e);
    CHECK_OK(hg_cache_new(&a, t.m, 64, 64, HG_BF16, &e), e);
    CHECK_OK(hg_cache_new(&b, t.m, 64, 64, HG_BF16, &e), e);
    hg_lane lane = {.cache = &a, .ids = ids, .n = 50, .want = HG_WANT_LAST};
    CHECK_OK(hg_stepper_run(&st, &lane, 1, &e), e);
    memcpy(want, lane.logits, sizeof want);
    hg_cache_copy(&b, &a, 32);
    CHECK_EQ(hg_cache_shared(&b, ids, 50), 32);
    lane = (hg_lane){.cache = &b, .ids = ids + 32, .n = 18, .want = HG_WANT_LAST};
    CHECK_OK(hg_stepper_run(&st, &lane, 1, &e), e);
    check_same(lane.logits, want);
    hg_cache_free(&a);
    hg_cache_free(&b);
    hg_stepper_free(&st);
    tiny_end(&t);
}
