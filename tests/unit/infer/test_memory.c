/* What a context takes is told before, and refused where memory does not hold it. */
#include "harness/test.h"
#include "infer/engine.h"
#include "kernels/measure.h"
#include "tiny.h"

#include <stdio.h>

static hg_err e;

/* Few weights, and 256 KiB of keys and values a position in float32: the longest context takes a
 * terabyte. */
static tiny open_wide(void)
{
    const hg_model_config c = {.arch = "llama",
                               .n_layers = 8,
                               .d_model = 32,
                               .n_heads = 16,
                               .n_kv_heads = 16,
                               .d_head = 256,
                               .d_ff = 32,
                               .n_vocab = TINY_VOCAB,
                               .n_ctx = HG_MAX_CTX,
                               .norm_eps = 1e-5f,
                               .rope_theta = 10000.0f,
                               .tie_embeddings = true,
                               .bos_id = -1,
                               .eos_id = TINY_END,
                               .pad_id = -1};
    tiny t = {0};
    CHECK_OK(hg_runtime_new(&t.rt, 1, HG_N_ISA, &e), e);
    CHECK_OK(hg_model_new(&t.m, &c, 7, &e), e);
    hg_model_set_tokenizer(t.m, tiny_tokenizer());
    return t;
}

/* What a refusal says would fit. */
static size_t fitting(const tiny *t, double *need, double *free_gb)
{
    size_t asked = 0, fits = 0;
    CHECK_EQ(sscanf(e.msg,
                    "a context of %zu tokens takes %lf GB of memory and %lf GB are free; ask for "
                    "%zu tokens at the most",
                    &asked, need, free_gb, &fits),
             4);
    CHECK_EQ(asked, HG_MAX_CTX);
    CHECK_EQ(t->m->c.n_ctx, HG_MAX_CTX);
    CHECK(fits > 0 && fits < asked);
    return fits;
}

TEST(a_session_that_memory_does_not_hold_is_refused_with_what_would_fit)
{
    tiny t = open_wide();
    double need = 0, free_gb = 0;
    hg_session_options o = {.cache = HG_CACHE_F32};
    hg_session *s = NULL;
    CHECK_EQ(hg_session_new(&s, t.m, t.rt, &o, &e), HG_E_NOMEM);
    CHECK(s == NULL);
    const size_t fits = fitting(&t, &need, &free_gb);
    CHECK_NEAR(need, (double)hg_session_bytes(t.m, &o) / 1e9, 0.01);
    CHECK_NEAR(free_gb, (double)hg_memory_free() / 1e9, free_gb / 2); /* others take and give */
    /* The most that fits does, a tile more does not. */
    o.n_ctx = (uint32_t)fits;
    CHECK((double)hg_session_bytes(t.m, &o) / 1e9 < free_gb + 0.01);
    o.n_ctx = (uint32_t)fits + HG_KV_TILE;
    CHECK((double)hg_session_bytes(t.m, &o) / 1e9 > free_gb - 0.01);
    o.n_ctx = (uint32_t)fits / 64;
    CHECK_OK(hg_session_new(&s, t.m, t.rt, &o, &e), e);
    hg_session_free(s);
    tiny_end(&t);
}

TEST(an_engine_refuses_one_session_that_memory_does_not_hold)
{
    tiny t = open_wide();
    double need = 0, free_gb = 0;
    hg_engine_options o;
    hg_engine *en = NULL;
    hg_engine_options_init(&o);
    o.cache = HG_CACHE_F32;
    CHECK_EQ(hg_engine_new(&en, t.m, t.rt, &o, &e), HG_E_NOMEM);
    CHECK(en == NULL);
    const size_t fits = fitting(&t, &need, &free_gb);
    CHECK(need > 1000);
    o.n_ctx = (uint32_t)fits / 64;
    CHECK_OK(hg_engine_new(&en, t.m, t.rt, &o, &e), e);
    hg_engine_free(en);
    tiny_end(&t);
}

/* A slot whose timeline is short holds little yet, but may grow: the next one must not be promised
 * the same memory. */
TEST(sessions_of_an_engine_are_not_promised_the_same_memory)
{
    tiny t = open_wide();
    hg_engine_options o;
    hg_engine *en = NULL;
    const uint64_t free_bytes = hg_memory_free();
    hg_engine_options_init(&o);
    o.cache = HG_CACHE_F32;
    o.n_ctx = (uint32_t)(free_bytes / 10 * 6 / (256 * 1024));
    CHECK_OK(hg_engine_new(&en, t.m, t.rt, &o, &e), e);
    CHECK_OK(hg_engine_make_slot(en, &en->slots[0], false, &e), e);
    CHECK_EQ(hg_engine_make_slot(en, &en->slots[1], false, &e), HG_E_NOMEM);
    CHECK_HAS(e.msg, "GB are free; ");
    CHECK_EQ(en->slots[1].cache.n_ctx, 0);
    CHECK_OK(hg_engine_make_slot(en, &en->slots[0], false, &e), e); /* it is there */
    hg_engine_free(en);
    tiny_end(&t);
}

TEST(the_context_that_fits_leaves_room_and_is_shared_by_sessions)
{
    tiny t = open_wide();
    const double memory = (double)hg_memory_free();
    const uint32_t one = hg_context_fit(t.m, HG_CACHE_F32, 1);
    const uint32_t two = hg_context_fit(t.m, HG_CACHE_F32, 2);
    const hg_session_options o = {.cache = HG_CACHE_F32, .n_ctx = one};
    CHECK(one > 0 && one < t.m->c.n_ctx);
    CHECK(one % HG_KV_TILE == 0);
    CHECK_NEAR((double)hg_session_bytes(t.m, &o), 0.75 * memory, memory / 8); /* others take too */
    CHECK_NEAR((double)two, (double)one / 2, (double)one / 8);
    /* So many that each would be short: fewer are counted on. */
    CHECK(hg_context_fit(t.m, HG_CACHE_F32, HG_MAX_SESSIONS) >= 8192);
    t.m->c.n_ctx = 512;
    CHECK_EQ(hg_context_fit(t.m, HG_CACHE_F32, 2), 512);
    tiny_end(&t);
}
