/* What a token costs beside the model: choosing it out of a vocabulary of 128,256, and all that the
 * engine does around a step. The logits are those of a language model in kind: a bell curve and a
 * few that stand out. The engine is timed on random models so small that little else is left, in
 * turns with a session that decodes the same number of tokens; the medians count.
 *
 * make bench NAME=sampling */
#include <higgins/infer.h>

#include "bench.h"
#include "base/mem.h"
#include "base/rng.h"
#include "infer/sampler.h"
#include "kernels/runtime.h"
#include "model/model.h"
#include "token/token.h"

#include <string.h>

enum { N_VOCAB = 128256, N_ROWS = 16, PAST = 600, DRAWS = 64, ROUNDS = 9, TOKENS = 200 };
static const double GOAL_DRAW = 150.0, GOAL_ENGINE = 20.0; /* microseconds */

/* ---- choosing ---- */
typedef struct choosing {
    float *rows, *row; /* [N_ROWS][N_VOCAB]; one to spoil */
    int32_t past[PAST];
    hg_choices room;
    hg_sampler sampler;
} choosing;

static double bell(hg_rng *r)
{
    return sqrt(-2.0 * log(hg_rng_unit(r) + 1e-12)) * cos(6.283185307179586 * hg_rng_unit(r));
}

static hg_status make_rows(choosing *c, const hg_kernels *k, hg_err *e)
{
    hg_rng r;
    hg_rng_init(&r, 3, 1);
    c->rows = hg_alloc((size_t)N_ROWS * N_VOCAB, sizeof *c->rows);
    c->row = hg_alloc(N_VOCAB, sizeof *c->row);
    if (c->rows == NULL || c->row == NULL) return hg_fail(e, HG_E_NOMEM, "no room for logits");
    for (size_t i = 0; i < (size_t)N_ROWS * N_VOCAB; i++) c->rows[i] = (float)(2.0 * bell(&r));
    for (size_t row = 0; row < N_ROWS; row++)
        for (int i = 0; i < 30; i++)
            c->rows[row * N_VOCAB + hg_rng_below(&r, N_VOCAB)] = (float)(15.0 + 2.5 * bell(&r));
    for (size_t i = 0; i < PAST; i++) c->past[i] = (int32_t)hg_rng_below(&r, N_VOCAB);
    return hg_choices_init(&c->room, N_VOCAB, k, e);
}

/* Microseconds of a draw; laying the logits out, which the model does, is not counted. */
static double time_draws(choosing *c, const hg_sampling *o)
{
    double round[ROUNDS];
    const hg_past past = {c->past, PAST, PAST / 2, NULL};
    hg_err e;
    for (int n = 0; n < ROUNDS; n++) {
        double took = 0.0;
        hg_sampler_begin(&c->sampler, o, NULL);
        for (size_t i = 0; i < DRAWS; i++) {
            memcpy(c->row, c->rows + i % N_ROWS * N_VOCAB, N_VOCAB * sizeof *c->row);
            const double start = hg_seconds();
            (void)hg_choices_take(&c->room, c->row, &e);
            (void)hg_sampler_cut(&c->sampler, &c->room, &past, SIZE_MAX, &e);
            (void)hg_sampler_draw(&c->sampler, &c->room);
            took += hg_seconds() - start;
        }
        round[n] = took / DRAWS * 1e6;
    }
    return bench_median(round, ROUNDS);
}

typedef struct setting {
    const char *name;
    float temperature, top_p, typical_p, penalty, dry;
    uint32_t top_k;
} setting;

static const setting settings[] = {
    {"the default chain", 0.8f, 0.95f, 1.0f, 1.1f, 0.0f, 40},
    {"the default chain and DRY", 0.8f, 0.95f, 1.0f, 1.1f, 0.8f, 40},
    {"greedy", 0.0f, 1.0f, 1.0f, 1.0f, 0.0f, 0},
    {"top-p alone", 1.0f, 0.95f, 1.0f, 1.0f, 0.0f, 0},
    {"temperature alone", 0.8f, 1.0f, 1.0f, 1.0f, 0.0f, 0},
    {"typical", 1.0f, 1.0f, 0.9f, 1.0f, 0.0f, 0},
};
enum { N_SETTINGS = sizeof settings / sizeof *settings };

static hg_status bench_draws(const hg_kernels *k, hg_err *e)
{
    choosing *c = hg_alloc(1, sizeof *c);
    if (c == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a bench");
    hg_status s = make_rows(c, k, e);
    for (size_t i = 0; s == HG_OK && i < N_SETTINGS; i++) {
        const setting *w = &settings[i];
        hg_sampling o;
        hg_sampling_init(&o);
        o.temperature = w->temperature;
        o.top_p = w->top_p;
        o.typical_p = w->typical_p;
        o.repetition_penalty = w->penalty;
        o.dry_multiplier = w->dry;
        o.top_k = w->top_k;
        if (w->top_k == 0) o.min_p = 0.0f;
        const double us = time_draws(c, &o);
        fprintf(stderr, "%-28s %8.1f us a token%s\n", w->name, us, i == 0 ? ", goal 150" : "");
        printf("%s{\"name\": \"%s\", \"us\": %.1f, \"goal\": %.0f}", i > 0 ? ", " : "", w->name, us,
               GOAL_DRAW);
    }
    hg_choices_free(&c->room);
    hg_free(c->rows);
    hg_free(c->row);
    hg_free(c);
    return s;
}

/* ---- the engine around a step ---- */
static const hg_model_config shapes[] = {{.arch = "llama",
                                          .n_layers = 5,
                                          .d_model = 64,
                                          .n_heads = 8,
                                          .n_kv_heads = 4,
                                          .d_head = 8,
                                          .d_ff = 172,
                                          .n_vocab = 512,
                                          .n_ctx = 512,
                                          .norm_eps = 1e-5f,
                                          .rope_theta = 10000.0f,
                                          .tie_embeddings = true,
                                          .bos_id = -1,
                                          .eos_id = -1,
                                          .pad_id = -1},
                                         {.arch = "llama",
                                          .n_layers = 6,
                                          .d_model = 288,
                                          .n_heads = 6,
                                          .n_kv_heads = 6,
                                          .d_head = 48,
                                          .d_ff = 768,
                                          .n_vocab = 32000,
                                          .n_ctx = 512,
                                          .norm_eps = 1e-5f,
                                          .rope_theta = 10000.0f,
                                          .tie_embeddings = true,
                                          .bos_id = -1,
                                          .eos_id = -1,
                                          .pad_id = -1}};
static const char *const shape_names[] = {"260K, vocabulary 512", "15M, vocabulary 32000"};

/* A tokenizer of the 256 bytes: tokens beyond them have no text. */
static hg_status byte_tokenizer(hg_tokenizer **out, hg_err *e)
{
    hg_buf b = {0};
    hg_buf_puts(&b, "{\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false}, "
                    "\"model\": {\"type\": \"BPE\", \"merges\": [], \"vocab\": {");
    for (unsigned i = 0; i < 256; i++) {
        const char c = (char)hg_token_byte(i);
        hg_buf_puts(&b, i > 0 ? ", \"" : "\"");
        if (c == '"' || c == '\\') hg_buf_putc(&b, '\\');
        hg_token_show(&b, &c, 1);
        hg_buf_printf(&b, "\": %u", i);
    }
    hg_buf_puts(&b, "}}}");
    hg_status s = hg_buf_status(&b, e);
    if (s == HG_OK) s = hg_tokenizer_parse(out, (hg_bytes){b.p, b.n}, e);
    hg_buf_free(&b);
    return s;
}

static hg_status open_model(hg_model **out, hg_runtime *rt, size_t which, hg_err *e)
{
    char path[4096];
    const char *tmp = getenv("TMPDIR");
    hg_model *m = NULL;
    hg_tokenizer *t = NULL;
    (void)snprintf(path, sizeof path, "%s/higgins-bench-sampling-%zu", tmp != NULL ? tmp : "/tmp",
                   which);
    HG_TRY(hg_model_new(&m, &shapes[which], 1, e));
    hg_status s = byte_tokenizer(&t, e);
    if (s == HG_OK) hg_model_set_tokenizer(m, t);
    if (s == HG_OK) s = hg_model_save(m, path, HG_WEIGHTS_BF16, NULL, e);
    hg_model_free(m);
    return s == HG_OK ? hg_model_open(out, path, HG_WEIGHTS_AS_STORED, rt, e) : s;
}

static const int32_t prompt[] = {'O', 'n', 'c', 'e'};

/* Microseconds a token of a session that is fed token by token, and of an engine's answer. */
static hg_status time_session(hg_session *session, double *us, hg_err *e)
{
    const float *logits;
    hg_session_rewind(session, 0);
    HG_TRY(hg_session_feed(session, prompt, 4, &logits, e));
    const double start = hg_seconds();
    for (int32_t i = 0; i < TOKENS; i++) {
        const int32_t id = i % 256;
        HG_TRY(hg_session_feed(session, &id, 1, &logits, e));
    }
    *us = (hg_seconds() - start) / TOKENS * 1e6;
    return HG_OK;
}

static hg_status time_engine(hg_engine *en, double *us, hg_err *e)
{
    hg_usage u = {0};
    hg_request r = {.prompt = prompt, .n_prompt = 4, .max_tokens = TOKENS + 1};
    hg_sampling_init(&r.sampling);
    HG_TRY(hg_engine_run(en, &r, NULL, NULL, &u, e));
    *us = u.decode_s / (u.completion_tokens - 1) * 1e6;
    return HG_OK;
}

static hg_status bench_engine(hg_runtime *rt, size_t which, hg_err *e)
{
    double alone[ROUNDS], served[ROUNDS], more[ROUNDS];
    hg_model *m = NULL;
    hg_session *session = NULL;
    hg_engine *en = NULL;
    hg_status s = open_model(&m, rt, which, e);
    if (s == HG_OK) s = hg_session_new(&session, m, rt, NULL, e);
    if (s == HG_OK) s = hg_engine_new(&en, m, rt, NULL, e);
    for (int i = -1; s == HG_OK && i < ROUNDS; i++) {
        const int at = i < 0 ? 0 : i; /* the first turn does not count */
        s = time_session(session, &alone[at], e);
        if (s == HG_OK) s = time_engine(en, &served[at], e);
        more[at] = served[at] - alone[at];
    }
    if (s == HG_OK) {
        const double own = bench_median(alone, ROUNDS), all = bench_median(served, ROUNDS);
        const double over = bench_median(more, ROUNDS);
        fprintf(stderr,
                "%-28s %8.1f us a token of the model, %.1f with engine and draw: %.1f more, "
                "goal 20\n",
                shape_names[which], own, all, over);
        printf(", {\"name\": \"engine, %s\", \"model_us\": %.1f, \"us\": %.1f, \"goal\": %.0f}",
               shape_names[which], own, over, GOAL_ENGINE);
    }
    hg_engine_free(en);
    hg_session_free(session);
    hg_model_free(m);
    return s;
}

int main(void)
{
    hg_err e = {0};
    hg_runtime *rt = NULL;
    hg_status s = hg_runtime_new(&rt, 0, HG_N_ISA, &e);
    printf("{\"bench\": \"sampling\", \"results\": [");
    if (s == HG_OK) s = bench_draws(&rt->k, &e);
    for (size_t i = 0; s == HG_OK && i < 2; i++) s = bench_engine(rt, i, &e);
    printf("]}\n");
    if (s != HG_OK) fprintf(stderr, "bench: %s\n", e.msg);
    hg_runtime_free(rt);
    return s == HG_OK ? 0 : 1;
}
