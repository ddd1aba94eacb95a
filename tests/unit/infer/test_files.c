/* Timelines as files and texts as vectors. */
#include "base/file.h"
#include "harness/test.h"
#include "tiny.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static hg_err e;

static hg_session *open_with(const tiny *t, hg_cache_type cache, uint32_t n_ctx)
{
    const hg_session_options o = {.n_ctx = n_ctx, .cache = cache};
    hg_session *s = NULL;
    CHECK_OK(hg_session_new(&s, t->m, t->rt, &o, &e), e);
    return s;
}

TEST(a_session_goes_on_from_its_file_with_the_same_bits)
{
    static const hg_cache_type types[] = {HG_CACHE_F32, HG_CACHE_F16, HG_CACHE_BF16, HG_CACHE_Q8_0};
    tiny t = tiny_open(HG_WEIGHTS_F32, 2);
    int32_t ids[200];
    const float *x, *y;
    tiny_prompt(ids, 200, 7);
    for (size_t i = 0; i < 4; i++) {
        hg_session *a = open_with(&t, types[i], 0), *b = open_with(&t, types[i], 256);
        CHECK_OK(hg_session_feed(a, ids, 150, NULL, &e), e);
        CHECK_OK(hg_session_save(a, test_path("s.hgs"), &e), e);
        CHECK_OK(hg_session_load(b, test_path("s.hgs"), &e), e);
        CHECK_EQ(hg_session_length(b), 150);
        CHECK(memcmp(hg_session_ids(b), ids, 150 * sizeof *ids) == 0);
        CHECK_OK(hg_session_feed(a, ids + 150, 50, &x, &e), e);
        CHECK_OK(hg_session_feed(b, ids + 150, 50, &y, &e), e);
        CHECK(memcmp(x, y, TINY_VOCAB * sizeof *x) == 0);
        hg_session_free(a);
        hg_session_free(b);
    }
    tiny_end(&t);
}

/* Writes the saved session with one byte changed, or cut to `n` bytes. */
static void spoil(const char *from, const char *to, size_t at, size_t n)
{
    hg_buf b = {0};
    CHECK_OK(hg_file_read(&b, from, 1 << 24, &e), e);
    if (at < b.n) b.p[at] = (char)(b.p[at] ^ 1);
    CHECK_OK(hg_file_write(to, b.p, n < b.n ? n : b.n, &e), e);
    hg_buf_free(&b);
}

static void check_refused(hg_session *s, const char *path, hg_status status, const char *words)
{
    CHECK_EQ(hg_session_load(s, path, &e), status);
    CHECK(strstr(e.msg, words) != NULL);
    CHECK_EQ(hg_session_length(s), 0);
}

TEST(a_damaged_or_foreign_session_is_refused_in_a_sentence)
{
    tiny t = tiny_open(HG_WEIGHTS_F32, 1), other = tiny_open(HG_WEIGHTS_BF16, 1);
    int32_t ids[100];
    char good[512], bad[512];
    (void)snprintf(good, sizeof good, "%s", test_path("good.hgs"));
    (void)snprintf(bad, sizeof bad, "%s", test_path("bad.hgs"));
    tiny_prompt(ids, 100, 7);
    hg_session *s = open_with(&t, HG_CACHE_F32, 0), *small = open_with(&t, HG_CACHE_F32, 64);
    hg_session *half = open_with(&t, HG_CACHE_F16, 0), *to = open_with(&other, HG_CACHE_F32, 0);
    CHECK_OK(hg_session_feed(s, ids, 100, NULL, &e), e);
    CHECK_OK(hg_session_save(s, good, &e), e);

    check_refused(small, good, HG_E_LIMIT, "holds 100 tokens; there is room for 64");
    check_refused(half, good, HG_E_FORMAT, "saved with another type of cache");
    check_refused(to, good, HG_E_FORMAT, "saved from another model");
    check_refused(s, test_path("none.hgs"), HG_E_MISSING, "no such file");
    for (size_t at = 8; at < 4000; at += 37) {
        spoil(good, bad, at, SIZE_MAX);
        CHECK(hg_session_load(s, bad, &e) != HG_OK);
        CHECK_EQ(hg_session_length(s), 0);
    }
    spoil(good, bad, 9000, SIZE_MAX);
    check_refused(s, bad, HG_E_FORMAT, "damaged: its hash differs");
    for (size_t n = 0; n < 2000; n += 111) {
        spoil(good, bad, SIZE_MAX, n);
        CHECK_EQ(hg_session_load(s, bad, &e), HG_E_FORMAT);
    }
    spoil(good, bad, 7, SIZE_MAX);
    check_refused(s, bad, HG_E_FORMAT, "a session of version 3; this program reads 2");
    hg_session_free(s);
    hg_session_free(small);
    hg_session_free(half);
    hg_session_free(to);
    tiny_end(&t);
    tiny_end(&other);
}

/* ---- the engine's ---- */

typedef struct said {
    char text[256];
    size_t n;
} said;

static void on_text(void *ctx, hg_bytes text, hg_finish finish, const hg_usage *usage,
                    const char *error)
{
    said *s = ctx;
    (void)finish;
    (void)usage;
    (void)error;
    if (s->n + text.n >= sizeof s->text) return;
    memcpy(s->text + s->n, text.p, text.n);
    s->n += text.n;
}

static hg_usage ask(hg_engine *en, const int32_t *ids, size_t n, uint32_t max, said *out)
{
    hg_request r = {.prompt = ids, .n_prompt = n, .max_tokens = max, .on_text = on_text};
    hg_usage usage = {0};
    hg_finish finish;
    hg_sampling_init(&r.sampling);
    r.sampling.temperature = 0;
    r.ctx = out;
    CHECK_OK(hg_engine_run(en, &r, NULL, &finish, &usage, &e), e);
    return usage;
}

TEST(an_answer_goes_on_from_a_saved_timeline_as_if_it_had_not_ended)
{
    tiny t = tiny_open(HG_WEIGHTS_BF16, 2);
    const char *path = test_path("engine.hgs");
    int32_t prompt[40];
    said whole = {0}, parts = {0};
    hg_engine *en = NULL;
    hg_ids ids = {0};
    tiny_prompt(prompt, 40, 3);
    CHECK_OK(hg_engine_new(&en, t.m, t.rt, NULL, &e), e);
    CHECK_EQ(hg_engine_save(en, path, &e), HG_E_STATE);
    CHECK_STR(e.msg, "there is no timeline to save yet");
    const hg_usage once = ask(en, prompt, 40, 20, &whole);
    hg_engine_free(en);
    CHECK_EQ(once.completion_tokens, 20);

    CHECK_OK(hg_engine_new(&en, t.m, t.rt, NULL, &e), e);
    (void)ask(en, prompt, 40, 8, &parts);
    CHECK_OK(hg_engine_save(en, path, &e), e);
    hg_engine_free(en);
    CHECK_OK(hg_engine_new(&en, t.m, t.rt, NULL, &e), e);
    CHECK_OK(hg_engine_load(en, path, NULL, 0, &ids, &e), e);
    CHECK_EQ(ids.n, 48);
    const hg_usage rest = ask(en, ids.id, ids.n, 12, &parts);
    CHECK_EQ(rest.cached_tokens, 47);
    CHECK_EQ(parts.n, whole.n);
    CHECK(memcmp(parts.text, whole.text, whole.n) == 0);
    hg_ids_free(&ids);
    hg_engine_free(en);
    tiny_end(&t);
}

/* ---- vectors ---- */

TEST(a_vector_is_the_mean_the_last_or_the_first_of_the_states)
{
    enum { N = 70 };
    tiny t = tiny_open(HG_WEIGHTS_F32, 2);
    const size_t d = hg_model_get_config(t.m)->d_model;
    hg_session *s = open_with(&t, HG_CACHE_F32, 0);
    int32_t ids[N];
    float each[512], mean[512], last[512], first[512], one[512];
    double sum[512] = {0};
    CHECK(d <= 512);
    tiny_prompt(ids, N, 11);
    /* The last state of every beginning is the state of each token. */
    for (size_t n = 1; n <= N; n++) {
        CHECK_OK(hg_session_embed(s, ids, n, HG_POOL_LAST, false, each, &e), e);
        for (size_t i = 0; i < d; i++) sum[i] += (double)each[i];
        if (n == 1) memcpy(one, each, d * sizeof *one);
    }
    CHECK_OK(hg_session_embed(s, ids, N, HG_POOL_LAST, false, last, &e), e);
    CHECK_OK(hg_session_embed(s, ids, N, HG_POOL_CLS, false, first, &e), e);
    CHECK_OK(hg_session_embed(s, ids, N, HG_POOL_MEAN, false, mean, &e), e);
    CHECK(memcmp(last, each, d * sizeof *last) == 0);
    CHECK(memcmp(first, one, d * sizeof *first) == 0);
    for (size_t i = 0; i < d; i++) CHECK_NEAR(mean[i], sum[i] / N, 1e-5);
    CHECK_OK(hg_session_embed(s, ids, N, HG_POOL_MEAN, true, each, &e), e);
    double length = 0;
    for (size_t i = 0; i < d; i++) length += (double)each[i] * (double)each[i];
    CHECK_NEAR(length, 1, 1e-6);
    CHECK_EQ(hg_session_embed(s, ids, 0, HG_POOL_MEAN, true, each, &e), HG_E_ARG);
    hg_session_free(s);
    tiny_end(&t);
}
