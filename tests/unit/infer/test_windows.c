/* Rings of tiles: layers with a window keep what they still look at, and nobody can tell. */
#include "harness/test.h"
#include "infer/step.h"
#include "tiny.h"

#include <string.h>

static hg_err e;

enum { STEP = 40, LONG = 1600 };

static void step(hg_stepper *st, hg_cache *c, const int32_t *ids, size_t n, float *logits)
{
    hg_lane lane = {.cache = c, .ids = ids, .n = n, .want = HG_WANT_LAST};
    CHECK_OK(hg_stepper_run(st, &lane, 1, &e), e);
    memcpy(logits, lane.logits, TINY_VOCAB * sizeof *logits);
}

/* A cache whose windows are rings, and one that keeps every tile. */
static void two_caches(const tiny *t, hg_type type, hg_cache *ring, hg_cache *line)
{
    CHECK_OK(hg_cache_new(ring, t->m, TINY_LONG_CTX, STEP, type, &e), e);
    CHECK_OK(hg_cache_new(line, t->m, TINY_LONG_CTX, TINY_LONG_CTX, type, &e), e);
    /* A step of 40, 99 positions before it and 64 to spare touch three tiles at the most. */
    CHECK_EQ(ring->layer[0].n_tiles, 3);
    CHECK_EQ(ring->layer[1].n_tiles, TINY_LONG_CTX / HG_KV_TILE);
    CHECK_EQ(ring->layer[2].n_tiles, 3);
    CHECK_EQ(line->layer[0].n_tiles, TINY_LONG_CTX / HG_KV_TILE);
}

TEST(a_ring_gives_the_same_bits_as_all_tiles)
{
    static const hg_type types[] = {HG_F32, HG_F16, HG_BF16, HG_Q8_0};
    tiny t = tiny_open_windows(HG_WEIGHTS_F32, 2);
    int32_t ids[LONG];
    float x[TINY_VOCAB], y[TINY_VOCAB];
    hg_stepper st;
    tiny_prompt(ids, LONG, 1);
    CHECK_OK(hg_stepper_init(&st, t.m, t.rt, STEP, 1, &e), e);
    for (size_t i = 0; i < 4; i++) {
        hg_cache ring, line;
        two_caches(&t, types[i], &ring, &line);
        for (size_t at = 0, n; at < LONG; at += n) {
            n = at < 1200 ? 1 + at * 7 % STEP : 1;
            if (n > LONG - at) n = LONG - at;
            step(&st, &ring, ids + at, n, x);
            step(&st, &line, ids + at, n, y);
            CHECK(memcmp(x, y, sizeof x) == 0);
        }
        hg_cache_free(&ring);
        hg_cache_free(&line);
    }
    hg_stepper_free(&st);
    tiny_end(&t);
}

/* Every length that is within reach goes on with the bits of a cache that never forgets; the last
 * HG_CACHE_SPARE are, whatever the steps were. */
TEST(a_ring_can_be_taken_back_as_far_as_it_says)
{
    tiny t = tiny_open_windows(HG_WEIGHTS_F32, 1);
    int32_t ids[LONG], other[STEP];
    float x[TINY_VOCAB], y[TINY_VOCAB];
    hg_cache ring, line;
    hg_stepper st;
    size_t n_within = 0;
    tiny_prompt(ids, LONG, 2);
    tiny_prompt(other, STEP, 3);
    CHECK_OK(hg_stepper_init(&st, t.m, t.rt, STEP, 1, &e), e);
    two_caches(&t, HG_F32, &ring, &line);
    for (size_t back = 0; back < 300; back += 25) {
        CHECK_EQ(hg_cache_rewind(&ring, 0) + hg_cache_rewind(&line, 0), 0);
        const size_t length = 700 + back * 3; /* ends in every part of a tile */
        for (size_t at = 0, n; at < length; at += n) {
            n = length - at < STEP ? length - at : STEP;
            step(&st, &ring, ids + at, n, x);
            step(&st, &line, ids + at, n, y);
        }
        const size_t to = length - back, left = hg_cache_rewind(&ring, to);
        CHECK(left == to || left == 0);
        CHECK(left == to || back > HG_CACHE_SPARE);
        if (left == 0) continue;
        n_within++;
        CHECK_EQ(hg_cache_rewind(&line, to), to);
        step(&st, &ring, other, STEP, x);
        step(&st, &line, other, STEP, y);
        CHECK(memcmp(x, y, sizeof x) == 0);
    }
    CHECK(n_within > 2 && n_within < 12);
    hg_cache_free(&ring);
    hg_cache_free(&line);
    hg_stepper_free(&st);
    tiny_end(&t);
}

TEST(a_copy_of_a_ring_goes_on_with_the_same_bits)
{
    tiny t = tiny_open_windows(HG_WEIGHTS_BF16, 1);
    int32_t ids[LONG];
    float x[TINY_VOCAB], y[TINY_VOCAB];
    hg_cache ring, line, copy = {0};
    hg_stepper st;
    tiny_prompt(ids, LONG, 4);
    CHECK_OK(hg_stepper_init(&st, t.m, t.rt, STEP, 1, &e), e);
    two_caches(&t, HG_BF16, &ring, &line);
    CHECK_OK(hg_cache_new(&copy, t.m, TINY_LONG_CTX, STEP, HG_BF16, &e), e);
    for (size_t at = 0; at < 800; at += STEP) {
        step(&st, &ring, ids + at, STEP, x);
        step(&st, &line, ids + at, STEP, y);
    }
    CHECK_EQ(hg_cache_reach(&ring, 770), 770);
    CHECK_EQ(hg_cache_reach(&ring, 300), 0);
    hg_cache_copy(&copy, &ring, 770);
    CHECK_EQ(hg_cache_rewind(&line, 770), 770);
    for (size_t at = 770; at < LONG; at += 10) {
        step(&st, &copy, ids + at, 10, x);
        step(&st, &line, ids + at, 10, y);
        CHECK(memcmp(x, y, sizeof x) == 0);
    }
    hg_cache_free(&ring);
    hg_cache_free(&line);
    hg_cache_free(&copy);
    hg_stepper_free(&st);
    tiny_end(&t);
}

/* ---- sessions ---- */

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
    CHECK_OK(hg_session_feed(s, ids, n, logits != NULL ? &got : NULL, &e), e);
    if (logits != NULL) memcpy(logits, got, TINY_VOCAB * sizeof *logits);
}

TEST(windows_take_the_memory_that_was_told_and_no_more_with_a_longer_context)
{
    tiny t = tiny_open_windows(HG_WEIGHTS_BF16, 1);
    const hg_session_options half = {.n_ctx = 1024}, whole = {.n_ctx = 2048};
    /* One of three layers grows: keys and values of 2 heads of 32, two bytes each; and the ids. */
    CHECK_EQ(hg_session_bytes(t.m, &whole) - hg_session_bytes(t.m, &half),
             1024 * (2 * 2 * 32 * 2 + 4));
    hg_cache c;
    CHECK_OK(hg_cache_new(&c, t.m, 2048, STEP, HG_BF16, &e), e);
    CHECK_NEAR(c.mem.used, hg_cache_bytes(t.m, 2048, STEP, HG_BF16), 512);
    hg_cache_free(&c);
    tiny_end(&t);
}

TEST(a_session_rewound_out_of_reach_reads_again_with_the_same_bits)
{
    static const size_t lengths[] = {1790, 1500, 1000, 300, 64, 1};
    tiny t = tiny_open_windows(HG_WEIGHTS_F32, 2);
    int32_t ids[1800], other[70];
    float x[TINY_VOCAB], y[TINY_VOCAB];
    double score[70], want[70];
    hg_session *s = open_session(&t, 0), *fresh = open_session(&t, 0);
    tiny_prompt(ids, 1800, 5);
    tiny_prompt(other, 70, 6);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        const size_t n = lengths[i];
        hg_session_rewind(s, 0);
        feed(s, ids, 1800, NULL);
        hg_session_rewind(s, n + 3);
        hg_session_rewind(s, n); /* the second time too */
        CHECK_EQ(hg_session_length(s), n);
        CHECK(memcmp(hg_session_ids(s), ids, n * sizeof *ids) == 0);
        hg_session_rewind(fresh, 0);
        feed(fresh, ids, n, x);
        feed(s, NULL, 0, y);
        CHECK(memcmp(x, y, sizeof x) == 0);
        hg_session_rewind(s, n - 1);
        feed(s, ids + n - 1, 1, y);
        CHECK(memcmp(x, y, sizeof x) == 0);
        CHECK_OK(hg_session_score(s, other, 70, score, &e), e);
        CHECK_OK(hg_session_score(fresh, other, 70, want, &e), e);
        CHECK(memcmp(score, want, sizeof want) == 0);
        CHECK_EQ(hg_session_length(s), n + 70);
    }
    hg_session_free(s);
    hg_session_free(fresh);
    tiny_end(&t);
}

TEST(a_session_with_windows_goes_on_from_its_file_in_a_context_of_any_length)
{
    tiny t = tiny_open_windows(HG_WEIGHTS_F32, 2);
    int32_t ids[1700];
    float x[TINY_VOCAB], y[TINY_VOCAB];
    static const size_t rewound[] = {1600, 1590, 1530, 900};
    hg_session *a = open_session(&t, 0), *b = open_session(&t, 1700);
    tiny_prompt(ids, 1700, 7);
    for (size_t i = 0; i < 4; i++) {
        const size_t n = rewound[i];
        hg_session_rewind(a, 0);
        feed(a, ids, 1600, NULL);
        hg_session_rewind(a, n); /* a file holds what a session holds; what is lost is read first */
        CHECK_OK(hg_session_save(a, test_path("w.hgs"), &e), e);
        CHECK_OK(hg_session_load(b, test_path("w.hgs"), &e), e);
        CHECK_EQ(hg_session_length(b), n);
        feed(a, NULL, 0, x);
        feed(b, NULL, 0, y); /* one token back */
        CHECK(memcmp(x, y, sizeof x) == 0);
        feed(a, ids + n, 100, x);
        feed(b, ids + n, 100, y);
        CHECK(memcmp(x, y, sizeof x) == 0);
        hg_session_rewind(b, 20);
        hg_session_rewind(a, 20);
        feed(a, NULL, 0, x);
        feed(b, NULL, 0, y);
        CHECK(memcmp(x, y, sizeof x) == 0);
    }
    hg_session_free(a);
    hg_session_free(b);
    tiny_end(&t);
}

/* ---- the engine ---- */

typedef struct said {
    int32_t id[64];
    size_t n;
} said;

static void on_token(void *ctx, const hg_token_report *r)
{
    said *s = ctx;
    CHECK(s->n < 64);
    s->id[s->n++] = r->id;
}

static hg_engine *open_engine(const tiny *t, uint32_t chunk, const hg_model *draft)
{
    hg_engine_options o;
    hg_engine *en = NULL;
    hg_engine_options_init(&o);
    o.max_sessions = 3;
    o.prefill_chunk = chunk;
    o.draft = draft;
    CHECK_OK(hg_engine_new(&en, t->m, t->rt, &o, &e), e);
    return en;
}

/* 40 tokens behind the prompt; returns how many of it a cache knew. */
static size_t ask(hg_engine *en, const int32_t *ids, size_t n, unsigned speculate, said *out)
{
    hg_usage usage;
    hg_request r = {.prompt = ids,
                    .n_prompt = n,
                    .max_tokens = 40,
                    .on_token = on_token,
                    .speculate = speculate,
                    .ctx = out};
    hg_sampling_init(&r.sampling);
    *out = (said){0};
    CHECK_OK(hg_engine_run(en, &r, NULL, NULL, &usage, &e), e);
    return usage.cached_tokens;
}

static void check_same(const said *a, const said *b)
{
    CHECK(a->n > 0);
    CHECK_EQ(a->n, b->n);
    CHECK(memcmp(a->id, b->id, a->n * sizeof *a->id) == 0);
}

TEST(an_engine_with_rings_answers_as_one_that_keeps_every_tile)
{
    tiny t = tiny_open_windows(HG_WEIGHTS_BF16, 2);
    int32_t ids[1200], other[1200];
    said x, y;
    hg_engine *ring = open_engine(&t, 16, t.m), *line = open_engine(&t, TINY_LONG_CTX, NULL);
    tiny_prompt(ids, 1200, 8);
    tiny_prompt(other, 1200, 9);
    memcpy(other, ids, 700 * sizeof *ids);
    for (unsigned how = 0; how < 4; how++) {
        (void)ask(line, ids, 1000, 0, &y);
        (void)ask(ring, ids, 1000, how, &x);
        check_same(&x, &y);
    }
    /* The conversation goes on, with its last tokens spelt otherwise. */
    (void)ask(line, ids, 1200, 0, &y);
    CHECK_EQ(ask(ring, ids, 1200, 0, &x), 1000);
    check_same(&x, &y);
    /* A beginning that lies too far behind is read again, and so is right. */
    CHECK_EQ(ask(line, other, 1200, 0, &y), 700);
    CHECK_EQ(ask(ring, other, 1200, 0, &x), 0);
    check_same(&x, &y);
    hg_engine_free(ring);
    hg_engine_free(line);
    tiny_end(&t);
}
