/* Guessing ahead on an answer that says again what stands in its prompt. The model's weights decide
 * what a step costs, and the text what guesses come true; so the text is fixed: a passage, and the
 * answer is the passage in another spelling, to which a constraint holds the model whatever its
 * weights are. Decoding with and without lookup takes turns; the median of the ratios counts.
 *
 * make bench NAME=speculative ARGS="MODEL [THREADS]" */
#include <higgins/infer.h>

#include "base/mem.h"
#include "infer/constraint.h"
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 5 };
static const double GOAL = 1.8;

static const char PASSAGE[] =
    "The harbour lies grey in the morning. A neighbour of ours, whose favourite colour is grey, "
    "likes to stand at the centre of the old pier and to watch the boats come in. He has travelled "
    "far in his life and he judges the boats by their colour, their crew and the way they are "
    "moored. When the catch is labelled and weighed, he walks to the theatre behind the harbour, "
    "where a travelled company of actors is at work on a play about his neighbour. The play is a "
    "humorous one, and its centre is a dialogue about honour. Nobody in the harbour has seen it "
    "yet, but everybody has an opinion of it. The grey boats are unloaded, the labelled boxes are "
    "carried to the market hall, and at noon the theatre opens its doors for whoever has the time "
    "to watch. In the evening the neighbour returns to the pier. The colour of the water has "
    "changed, and the harbour is as quiet as the theatre behind it.";

static const char *const SPELT[][2] = {
    {"harbour", "harbor"},  {"neighbour", "neighbor"}, {"colour", "color"},
    {"centre", "center"},   {"travelled", "traveled"}, {"labelled", "labeled"},
    {"theatre", "theater"}, {"favourite", "favorite"}, {"dialogue", "dialog"},
    {"honour", "honor"},    {"grey", "gray"}};
enum { N_SPELT = sizeof SPELT / sizeof SPELT[0] };

static void respell(hg_buf *out)
{
    for (const char *p = PASSAGE; *p != '\0';) {
        size_t i = 0;
        while (i < N_SPELT && strncmp(p, SPELT[i][0], strlen(SPELT[i][0])) != 0) i++;
        if (i < N_SPELT) {
            hg_buf_puts(out, SPELT[i][1]);
            p += strlen(SPELT[i][0]);
        } else {
            hg_buf_put(out, p++, 1);
        }
    }
}

/* ---- an answer that is known beforehand ---- */
typedef struct script {
    hg_constraint base;
    const hg_ids *ids;
    size_t at;
    size_t n_vocab;
} script;

static hg_constraint *script_clone(const hg_constraint *c, hg_err *e)
{
    script *s = hg_alloc(1, sizeof *s);
    if (s == NULL) {
        (void)hg_fail(e, HG_E_NOMEM, "no room for a script");
        return NULL;
    }
    memcpy(s, c, sizeof *s);
    return &s->base;
}

static hg_status script_mask(hg_constraint *c, size_t n_left, uint32_t *bits, hg_err *e)
{
    const script *s = (const script *)c;
    (void)n_left;
    if (s->at == s->ids->n) return hg_fail(e, HG_E_STATE, "the script is at its end");
    const int32_t id = s->ids->id[s->at];
    memset(bits, 0, hg_mask_words(s->n_vocab) * sizeof *bits);
    bits[id / 32] |= 1u << (id % 32);
    return HG_OK;
}

static hg_status script_accept(hg_constraint *c, int32_t id, hg_err *e)
{
    script *s = (script *)c;
    if (s->at == s->ids->n || s->ids->id[s->at] != id)
        return hg_fail(e, HG_E_STATE, "token %d is not in the script", id);
    s->at++;
    return HG_OK;
}

static void script_rollback(hg_constraint *c, size_t n)
{
    ((script *)c)->at -= n;
}

static bool script_is_done(const hg_constraint *c)
{
    return ((const script *)c)->at == ((const script *)c)->ids->n;
}

static void script_free(hg_constraint *c)
{
    hg_free(c);
}

static const hg_constraint_kind SCRIPT = {.clone = script_clone,
                                          .free = script_free,
                                          .mask = script_mask,
                                          .accept = script_accept,
                                          .rollback = script_rollback,
                                          .is_done = script_is_done};

/* ---- the measure ---- */
typedef struct bench {
    hg_model *m;
    hg_runtime *rt;
    hg_engine *en;
    hg_ids prompt, answer;
} bench;

/* Models of random weights may come without. */
static hg_status give_tokenizer(hg_model *m, hg_err *e)
{
    const char *path = getenv("HG_BENCH_TOKENIZER");
    hg_tokenizer *t;
    if (hg_model_tokenizer(m) != NULL || path == NULL) return HG_OK;
    HG_TRY(hg_tokenizer_open(&t, path, e));
    hg_model_set_tokenizer(m, t);
    return HG_OK;
}

static hg_status open_all(bench *b, const char *path, int n_threads, hg_err *e)
{
    hg_engine_options o;
    hg_buf text = {0};
    hg_engine_options_init(&o);
    o.max_sessions = 1;
    o.n_ctx = 1024;
    HG_TRY(hg_runtime_new(&b->rt, n_threads, HG_N_ISA, e));
    HG_TRY(hg_model_open(&b->m, path, HG_WEIGHTS_AS_STORED, b->rt, e));
    HG_TRY(give_tokenizer(b->m, e));
    HG_TRY(hg_engine_new(&b->en, b->m, b->rt, &o, e));
    const hg_tokenizer *t = hg_model_tokenizer(b->m);
    hg_buf_puts(&text, "Write this as it is spelt in America: ");
    hg_buf_puts(&text, PASSAGE);
    hg_status s = hg_tokenizer_encode(t, (hg_bytes){text.p, text.n}, false, &b->prompt, e);
    hg_buf_clear(&text);
    respell(&text);
    if (s == HG_OK) s = hg_tokenizer_encode(t, (hg_bytes){text.p, text.n}, false, &b->answer, e);
    hg_buf_free(&text);
    return s;
}

/* Tokens a second of the answer. */
static hg_status measure(bench *b, unsigned how, double *rate, hg_usage *usage, hg_err *e)
{
    const script s = {{&SCRIPT}, &b->answer, 0, b->m->c.n_vocab};
    hg_request r = {
        .prompt = b->prompt.id, .n_prompt = b->prompt.n, .speculate = how, .constraint = &s.base};
    hg_sampling_init(&r.sampling);
    r.sampling.temperature = 0.0f;
    HG_TRY(hg_engine_run(b->en, &r, NULL, NULL, usage, e));
    *rate = (double)(usage->completion_tokens - 1) / usage->decode_s;
    return HG_OK;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static hg_status run(bench *b, const char *path, int n_threads, hg_err *e)
{
    double plain[ROUNDS], guessed[ROUNDS], ratio[ROUNDS];
    hg_usage u = {0};
    HG_TRY(open_all(b, path, n_threads, e));
    for (int i = 0; i < ROUNDS; i++) {
        HG_TRY(measure(b, 0, &plain[i], &u, e));
        HG_TRY(measure(b, HG_SPECULATE_LOOKUP, &guessed[i], &u, e));
        ratio[i] = guessed[i] / plain[i];
        fprintf(stderr, "%5.1f tokens/s plain, %5.1f guessed, %.2fx\n", plain[i], guessed[i],
                ratio[i]);
    }
    qsort(plain, ROUNDS, sizeof *plain, ascending);
    qsort(guessed, ROUNDS, sizeof *guessed, ascending);
    qsort(ratio, ROUNDS, sizeof *ratio, ascending);
    fprintf(stderr, "%u of %u guesses came true over %u tokens; goal %.1fx\n", u.accepted_tokens,
            u.drafted_tokens, u.completion_tokens, GOAL);
    printf("{\"bench\": \"speculative\", \"plain\": %.1f, \"lookup\": %.1f, \"ratio\": %.2f, "
           "\"goal\": %.1f, \"drafted\": %u, \"accepted\": %u, \"tokens\": %u}\n",
           plain[ROUNDS / 2], guessed[ROUNDS / 2], ratio[ROUNDS / 2], GOAL, u.drafted_tokens,
           u.accepted_tokens, u.completion_tokens);
    return HG_OK;
}

int main(int argc, char **argv)
{
    bench b = {0};
    hg_err e = {0};
    if (argc < 2) {
        fprintf(stderr, "bench: speculative needs a model: ARGS=\"MODEL [THREADS]\"\n");
        return 2;
    }
    const hg_status s = run(&b, argv[1], argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0, &e);
    if (s != HG_OK) fprintf(stderr, "bench: %s\n", e.msg);
    hg_ids_free(&b.prompt);
    hg_ids_free(&b.answer);
    hg_engine_free(b.en);
    hg_model_free(b.m);
    hg_runtime_free(b.rt);
    return s == HG_OK ? 0 : 1;
}
