/* What a job must read and compute at the least, against counts made by hand. */
#include <higgins/speed.h>
#include "harness/test.h"
#include "model/model.h"

static hg_err e;

enum { LAYERS = 2, D = 64, HEADS = 4, KV = 2, FF = 96, VOCAB = 300 };

typedef struct setting {
    hg_runtime *rt;
    hg_model *m;
    hg_speed *s;
} setting;

static setting begin(void)
{
    const hg_model_config c = {.arch = "llama",
                               .n_layers = LAYERS,
                               .d_model = D,
                               .n_heads = HEADS,
                               .n_kv_heads = KV,
                               .d_ff = FF,
                               .n_vocab = VOCAB,
                               .n_ctx = 64,
                               .bos_id = -1,
                               .eos_id = -1,
                               .pad_id = -1};
    const hg_session_options o = {.n_ctx = 64};
    hg_model *made = NULL;
    setting t = {0};
    CHECK_OK(hg_runtime_new(&t.rt, 2, HG_N_ISA, &e), e);
    CHECK_OK(hg_model_new(&made, &c, 5, &e), e);
    CHECK_OK(hg_model_save(made, test_path("speed"), HG_WEIGHTS_BF16, NULL, &e), e);
    hg_model_free(made);
    CHECK_OK(hg_model_open(&t.m, test_path("speed"), HG_WEIGHTS_AS_STORED, t.rt, &e), e);
    CHECK_OK(hg_speed_new(&t.s, t.m, t.rt, &o, &e), e);
    return t;
}

static void end(setting *t)
{
    hg_speed_free(t->s);
    hg_model_free(t->m);
    hg_runtime_free(t->rt);
}

/* q, o; k, v; gate, up, down; the head, which is not tied here. The embedding is only looked up. */
static double matrices(void)
{
    return LAYERS * (2.0 * D * D + 2.0 * D * D * KV / HEADS + 3.0 * D * FF);
}

TEST(decoding_reads_each_weight_once_a_token)
{
    setting t = begin();
    const hg_speed_job j = {HG_SPEED_DECODE, 8, 0, 1};
    const double weights = 2 * (matrices() + (double)D * VOCAB);
    const double cache = hg_speed_bytes(t.s, &j) - 8 * weights;
    /* About 8 tokens x 4 positions x 2 layers x keys and values x 32 values x 2 bytes. */
    CHECK(cache > 0 && cache < 0.05 * 8 * weights);
    end(&t);
}

TEST(sessions_that_decode_together_share_the_weights)
{
    setting t = begin();
    const hg_speed_job one = {HG_SPEED_BATCH, 8, 0, 1}, four = {HG_SPEED_BATCH, 8, 0, 4};
    const double weights = 8 * 2 * (matrices() + (double)D * VOCAB);
    const double cache = hg_speed_bytes(t.s, &one) - weights;
    CHECK_NEAR(hg_speed_bytes(t.s, &four), weights + 4 * cache, 1);
    CHECK_NEAR(hg_speed_flop(t.s, &four), 4 * hg_speed_flop(t.s, &one), 1);
    end(&t);
}

TEST(a_prompt_multiplies_every_matrix_with_each_token_and_the_head_with_the_last)
{
    setting t = begin();
    const hg_speed_job j = {HG_SPEED_PREFILL, 31, 0, 1};
    const double attention = 2.0 * LAYERS * D * 16; /* 16 positions on average */
    CHECK_NEAR(hg_speed_flop(t.s, &j), 2 * (31 * (matrices() + attention) + (double)D * VOCAB), 1);
    end(&t);
}

TEST(every_kind_of_job_takes_time_but_none_without_tokens_or_room)
{
    setting t = begin();
    double seconds = 0;
    CHECK_OK(hg_speed_time(t.s, &(hg_speed_job){HG_SPEED_PREFILL, 20, 0, 1}, &seconds, &e), e);
    CHECK(seconds > 0);
    CHECK_OK(hg_speed_time(t.s, &(hg_speed_job){HG_SPEED_DECODE, 4, 20, 1}, &seconds, &e), e);
    CHECK(seconds > 0);
    CHECK_EQ(hg_speed_time(t.s, &(hg_speed_job){HG_SPEED_DECODE, 0, 20, 1}, &seconds, &e),
             HG_E_ARG);
    CHECK_EQ(hg_speed_time(t.s, &(hg_speed_job){HG_SPEED_PREFILL, 65, 0, 1}, &seconds, &e),
             HG_E_LIMIT);
    CHECK_STR(e.msg, "the job needs 65 tokens of context; there are 64");
    CHECK_EQ(hg_speed_time(t.s, &(hg_speed_job){HG_SPEED_BATCH, 4, 0, 2}, &seconds, &e),
             HG_E_MISSING);
    end(&t);
}
