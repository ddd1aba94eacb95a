/* higgins generate: a model goes on with a text. */
#include "form_options.h"
#include "talk.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct generate_values {
    cli_sampling sampling;
    cli_form form;
    const char *session;
    int64_t n_top;
    cli_list lora;
} generate_values;

static void init(void *values)
{
    generate_values *v = values;
    cli_sampling_init(&v->sampling);
}

/* What on_text writes to; it runs on the engine's thread while the main thread waits. */
typedef struct listener {
    FILE *out;
    const hg_model *model;
    bool is_terminal;
    bool lines;         /* the tokens are shown instead, a line each */
    json_t *tokens;     /* with --json and --logprobs */
    atomic_bool broken; /* nobody reads any more: `higgins generate ... | head -1` */
} listener;

static void on_text(void *ctx, hg_bytes text, hg_finish finish, const hg_usage *usage,
                    const char *error)
{
    listener *l = ctx;
    (void)finish;
    (void)usage;
    (void)error;
    if (l->lines) return;
    cli_talk_write(l->out, text, l->is_terminal);
    if (fflush(l->out) != 0) atomic_store(&l->broken, true);
}

/* ---- log-probabilities ---- */

/* A token's bytes may be a part of a character: then its text is null and its bytes tell. */
static json_t *token_json(const hg_model *m, int32_t id, float logprob)
{
    const hg_bytes piece = hg_tokenizer_piece(hg_model_tokenizer(m), id, true);
    json_t *bytes = json_array(), *text = json_stringn(piece.p, piece.n);
    for (size_t i = 0; i < piece.n; i++)
        (void)json_array_append_new(bytes, json_integer((unsigned char)piece.p[i]));
    return json_pack("{s:i, s:o, s:o, s:f}", "id", (int)id, "token",
                     text != NULL ? text : json_null(), "bytes", bytes, "logprob", (double)logprob);
}

static void print_token(const listener *l, int32_t id, float logprob)
{
    const hg_bytes p = hg_tokenizer_piece(hg_model_tokenizer(l->model), id, true);
    fprintf(l->out, "%9.4f  ", (double)logprob);
    for (size_t i = 0; i < p.n; i++) {
        const unsigned char c = (unsigned char)p.p[i];
        const size_t n = cli_utf8_length(p.p + i, p.n - i);
        if (c < 0x20 || c == 0x7f || n == 0 || (n == 2 && c == 0xc2))
            fprintf(l->out, "\\x%02x", c);
        else
            (void)fwrite(p.p + i, 1, n, l->out);
        if (n > 1 && c != 0xc2) i += n - 1;
    }
}

static void on_token(void *ctx, const hg_token_report *t)
{
    listener *l = ctx;
    if (l->tokens == NULL) {
        print_token(l, t->id, t->logprob);
        for (size_t i = 0; i < t->n_top; i++) {
            (void)fputc('\t', l->out);
            print_token(l, t->top[i].id, t->top[i].logprob);
        }
        (void)fputc('\n', l->out);
        if (fflush(l->out) != 0) atomic_store(&l->broken, true);
        return;
    }
    json_t *top = json_array(), *told = token_json(l->model, t->id, t->logprob);
    for (size_t i = 0; i < t->n_top; i++)
        (void)json_array_append_new(top, token_json(l->model, t->top[i].id, t->top[i].logprob));
    (void)json_object_set_new(told, "top", top);
    (void)json_array_append_new(l->tokens, told);
}

/* The prompt's text: the argument, or what stdin holds for "-". The caller frees it. */
static hg_status read_prompt(const char *arg, char **text, size_t *n, hg_err *e)
{
    char part[65536];
    size_t got;
    *text = NULL;
    *n = 0;
    FILE *f = open_memstream(text, n);
    if (f == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the prompt");
    if (strcmp(arg, "-") != 0)
        (void)fwrite(arg, 1, strlen(arg), f);
    else
        while ((got = fread(part, 1, sizeof part, stdin)) > 0) (void)fwrite(part, 1, got, f);
    if (fclose(f) != 0) return hg_fail(e, HG_E_NOMEM, "no room for the prompt");
    return HG_OK;
}

/* With the token that the tokenizer puts before every text, if it does; an empty prompt begins with
 * whatever the model knows as a beginning or, as documents follow each other in training, an end.
 */
static hg_status encode_prompt(const hg_model *m, hg_bytes text, hg_ids *ids, hg_err *e)
{
    const hg_tokenizer *t = hg_model_tokenizer(m);
    const hg_model_config *c = hg_model_get_config(m);
    int32_t first = hg_tokenizer_bos(t);
    if (text.n == 0 && first < 0) first = c->bos_id >= 0 ? c->bos_id : c->eos_id;
    if (first >= 0) HG_TRY(hg_ids_push(ids, first, e));
    HG_TRY(hg_tokenizer_encode(t, text, true, ids, e));
    if (ids->n > 1 && ids->id[0] == first && ids->id[1] == first) {
        memmove(ids->id, ids->id + 1, --ids->n * sizeof *ids->id); /* the prompt had it already */
    }
    return HG_OK;
}

/* The session's text so far, if the file is there, and behind it the prompt: *reads is set when the
 * file was read. */
static hg_status continue_session(cli_talk *t, const char *path, hg_bytes text, hg_ids *ids,
                                  bool *reads, hg_err *e)
{
    *reads = access(path, F_OK) == 0;
    if (!*reads) return encode_prompt(t->model, text, ids, e);
    HG_TRY(hg_engine_load(t->engine, path, t->adapters, t->n_adapters, ids, e));
    return hg_tokenizer_encode(hg_model_tokenizer(t->model), text, true, ids, e);
}

/* What the request begins with: nothing for ELIZA, which reads the text itself. */
static hg_status read_ids(cli_talk *t, const char *session, hg_bytes text, hg_ids *ids,
                          bool *goes_on, hg_err *e)
{
    if (t->eliza != NULL && session != NULL)
        return hg_fail(e, HG_E_ARG,
                       "--session: ELIZA has no timeline to keep; higgins eliza holds "
                       "a conversation");
    if (t->eliza != NULL) return HG_OK;
    if (session == NULL) return encode_prompt(t->model, text, ids, e);
    return continue_session(t, session, text, ids, goes_on, e);
}

static void print_json(const char *model, const char *text, size_t n, hg_finish finish,
                       const hg_usage *u, json_t *tokens)
{
    json_t *doc = json_pack("{s:s, s:s%, s:s, s:{s:i, s:i, s:i, s:i, s:i}, s:f, s:f, s:f}", "model",
                            model, "text", text, n, "finish", cli_finish_name(finish), "usage",
                            "prompt_tokens", (int)u->prompt_tokens, "completion_tokens",
                            (int)u->completion_tokens, "cached_tokens", (int)u->cached_tokens,
                            "drafted_tokens", (int)u->drafted_tokens, "accepted_tokens",
                            (int)u->accepted_tokens, "tokens_per_second", cli_answer_rate(u),
                            "prefill_seconds", u->prefill_s, "decode_seconds", u->decode_s);
    if (tokens != NULL) (void)json_object_set(doc, "logprobs", tokens);
    if (doc != NULL) (void)json_dumpf(doc, stdout, JSON_INDENT(2));
    (void)fputc('\n', stdout);
    json_decref(doc);
}

static void report(const cli *c, const hg_usage *u)
{
    if (!c->verbose) return;
    fprintf(stderr, "%u tokens read in %.2f s, %u written in %.2f s (%.1f tokens/s)\n",
            u->prompt_tokens, u->prefill_s, u->completion_tokens, u->decode_s, cli_answer_rate(u));
    if (u->drafted_tokens > 0)
        fprintf(stderr, "%u of %u guesses came true\n", u->accepted_tokens, u->drafted_tokens);
}

/* The model goes on with the prompt's ids; ELIZA answers its text as one sentence. */
static hg_status speak(const cli *c, cli_talk *t, hg_bytes prompt, const hg_request *r,
                       hg_finish *finish, hg_usage *usage, hg_err *e)
{
    const hg_message said = {"user", prompt};
    if (t->eliza != NULL) return hg_eliza_answer(t->eliza, &said, 1, r, finish, usage, e);
    return hg_engine_run(t->engine, r, c->watch.stop, finish, usage, e);
}

/* Runs the request with its text on stdout, or gathered for --json. */
static int generate(cli *c, cli_talk *t, const char *path, hg_bytes prompt, hg_request *r)
{
    hg_err e = {0};
    hg_usage usage;
    hg_finish finish;
    char *text = NULL;
    size_t n = 0;
    listener l = {.out = stdout,
                  .model = t->model,
                  .is_terminal = !c->json && cli_stdout_is_terminal(),
                  .lines = !c->json && r->n_top > 0};
    int code = 0;

    if (c->json) l.out = open_memstream(&text, &n);
    if (l.out == NULL) {
        (void)hg_fail(&e, HG_E_NOMEM, "no room for the answer");
        return cli_fail(c, &e);
    }
    if (c->json && r->n_top > 0) l.tokens = json_array();
    if (r->n_top > 0) r->on_token = on_token;
    r->on_text = on_text;
    r->ctx = &l;
    r->cancel = &l.broken;
    const hg_status s = speak(c, t, prompt, r, &finish, &usage, &e);
    if (c->json)
        (void)fclose(l.out);
    else if (!l.lines && !atomic_load(&l.broken))
        (void)fputc('\n', stdout);
    if (s != HG_OK)
        code = cli_fail(c, &e);
    else if (c->json)
        print_json(path, text, n, finish, &usage, l.tokens);
    if (s == HG_OK) report(c, &usage);
    json_decref(l.tokens);
    free(text);
    return code != 0 || finish == HG_FINISH_CANCELED ? 1 : 0;
}

static int run(cli *c, void *values, int n_args, char **args)
{
    generate_values *v = values;
    cli_talk t = {0};
    hg_err e = {0};
    hg_ids ids = {0};
    char *text = NULL;
    size_t n = 0;
    bool goes_on = false;
    int code;
    (void)n_args;

    if (!cli_sampling_check(&v->sampling, &e)) return cli_misuse(c, "%s", e.msg);
    hg_request r = cli_sampling_request(&v->sampling);
    r.n_top = (uint32_t)v->n_top;
    hg_status s = read_prompt(args[1], &text, &n, &e);
    if (s == HG_OK) s = cli_talk_open(&t, c, args[0], &v->sampling, NULL, &e);
    if (s == HG_OK) s = cli_form_open(&v->form, t.model, &e);
    if (s == HG_OK) s = cli_talk_adapters(&t, &v->lora, &e);
    if (s == HG_OK) s = read_ids(&t, v->session, (hg_bytes){text, n}, &ids, &goes_on, &e);
    if (s == HG_OK && c->verbose && goes_on)
        fprintf(stderr, "%s: %zu tokens, not read again\n", v->session, ids.n);
    if (s == HG_OK) {
        r.prompt = ids.id;
        r.n_prompt = ids.n;
        r.constraint = v->form.constraint;
        r.adapters = t.adapters;
        r.n_adapters = t.n_adapters;
        code = generate(c, &t, args[0], (hg_bytes){text, n}, &r);
        if (v->session != NULL && hg_engine_save(t.engine, v->session, &e) != HG_OK)
            code = cli_fail(c, &e);
    } else {
        code = cli_fail(c, &e);
    }
    hg_ids_free(&ids);
    cli_form_close(&v->form);
    cli_talk_close(&t);
    free(text);
    return code;
}

static const char *const examples[] = {
    "higgins generate my-model \"Once upon a time\"",
    "goes on with the story on stdout as it comes",
    "higgins generate model.gguf - --temperature 0 --max-tokens 64 <prompt.txt",
    "reads the prompt from a file and always takes the likeliest token",
    "higgins generate my-model \"Q: Why? A:\" --stop \"Q:\" --json",
    "prints the text, why it ended, token counts and speed for a program",
    "higgins generate my-model \"Once upon a time\" --lora pirate:0.8",
    "with the adapter in the folder pirate added at 0.8 of its strength",
    "higgins generate my-model \"Once upon a time\" --session story.hgs",
    "keeps what the model holds of the text; the same line with \"\" for the prompt goes on with "
    "it",
    "higgins generate my-model - --lookup <rewrite.txt",
    "guesses from the prompt what comes next and checks several tokens in one pass: the same text, "
    "sooner where it repeats",
    "higgins generate big-model \"Why?\" --draft small-model --verbose",
    "lets a small model of the same family guess, and tells how many guesses came true",
    "higgins generate my-model \"The capital of France is\" -n 1 --logprobs 5",
    "shows how likely the token was and which five were likeliest",
    "higgins generate my-model \"A user as JSON: \" --json-schema user.json --max-tokens 200",
    "whatever the model would rather say, the answer is whole JSON that fits the schema",
    NULL,
};

static const cli_option options[] = {
    CLI_SAMPLING_OPTIONS(generate_values, sampling),
    CLI_FORM_OPTIONS(generate_values, form),
    {"session", 0, CLI_TEXT, "FILE",
     "go on with the text of this file, which is not read again, and keep the longer one there",
     offsetof(generate_values, session), 0, 0},
    {"logprobs", 0, CLI_INT, "N",
     "show each token with its log-probability and the N likeliest at its place; 0 is not",
     offsetof(generate_values, n_top), 0, HG_MAX_TOP},
    CLI_LORA_OPTION(generate_values, lora),
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, 0},
};

const cli_command cli_generate = {
    .name = "generate",
    .args = "MODEL PROMPT",
    .summary = "let a model go on with a text",
    .text = "MODEL is a model's folder or a .gguf file; eliza answers the prompt. PROMPT is the "
            "text to go on with, or - to "
            "read it from stdin.\nSpecial tokens in it count as such. The answer goes to stdout as "
            "it comes; Ctrl-C ends it (exit code 1).\nWith --verbose the speed is told on stderr.",
    .examples = examples,
    .options = options,
    .values_size = sizeof(generate_values),
    .init = init,
    .min_args = 2,
    .max_args = 2,
    .run = run,
};
