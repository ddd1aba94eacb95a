/* Gemini's protocol: generateContent, whole, as events, or as one array; counts of tokens; models.
 * The forms are those that the official client reads (@google/genai on npm). A verb stands behind
 * the last colon of the path, for names hold slashes and colons. */
#include "serve/gemini/gemini.h"
#include "serve/embed.h"

#include <stdio.h>
#include <string.h>

/* ---- errors ---- */
static const char *status_word(int status)
{
    switch (status) {
    case 401:
        return "UNAUTHENTICATED";
    case 403:
        return "PERMISSION_DENIED";
    case 404:
        return "NOT_FOUND";
    case 429:
        return "RESOURCE_EXHAUSTED";
    case 501:
        return "UNIMPLEMENTED";
    case 503:
        return "UNAVAILABLE";
    case 504:
        return "DEADLINE_EXCEEDED";
    default:
        return status >= 500 ? "INTERNAL" : "INVALID_ARGUMENT";
    }
}

static void put_problem(hg_buf *out, const hg_problem *p)
{
    hg_json_out o;

    hg_json_out_init(&o, out, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_begin(&o, "error", '{');
    hg_json_int(&o, "code", p->status);
    hg_json_text(&o, "message", p->msg);
    hg_json_text(&o, "status", status_word(p->status));
    hg_json_end(&o);
    hg_json_end(&o);
}

static void explain(hg_buf *out, const hg_problem *p)
{
    put_problem(out, p);
    hg_buf_putc(out, '\n');
}

static bool claims(const hg_exchange *x)
{
    return hg_exchange_header(x, "x-goog-api-key") != NULL || hg_exchange_query(x, "key") != NULL;
}

/* ---- models ---- */
static void put_model(hg_json_out *o, const hg_card *m)
{
    char name[sizeof m->id + 8];

    (void)snprintf(name, sizeof name, "models/%s", m->id);
    hg_json_begin(o, NULL, '{');
    hg_json_text(o, "name", name);
    hg_json_text(o, "baseModelId", m->id);
    hg_json_text(o, "version", "001");
    hg_json_text(o, "displayName", m->id);
    hg_json_text(o, "description", "");
    hg_json_int(o, "inputTokenLimit", m->n_ctx);
    hg_json_int(o, "outputTokenLimit", m->n_ctx);
    hg_json_begin(o, "supportedGenerationMethods", '[');
    hg_json_text(o, NULL, "generateContent");
    hg_json_text(o, NULL, "streamGenerateContent");
    hg_json_text(o, NULL, "countTokens");
    if (m->can_embed) hg_json_text(o, NULL, "embedContent");
    hg_json_end(o);
    hg_json_end(o);
}

static void list_models(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_buf b = {0};
    hg_json_out o;

    (void)rest;
    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '{');
    hg_put_models(&o, "models", s, put_model);
    hg_json_end(&o);
    hg_reply_json(x, &hg_gemini, &b);
}

static void get_model(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_reply_model(s, x, rest, &hg_gemini, put_model);
}

/* ---- answers ---- */
static void put_usage(hg_json_out *o, size_t n_in, size_t n_out)
{
    hg_json_begin(o, "usageMetadata", '{');
    hg_json_int(o, "promptTokenCount", (int64_t)n_in);
    hg_json_int(o, "candidatesTokenCount", (int64_t)n_out);
    hg_json_int(o, "totalTokenCount", (int64_t)(n_in + n_out));
    hg_json_end(o);
}

static void put_candidate(hg_json_out *o, const hg_choice *c, hg_bytes text, bool ended)
{
    hg_json_begin(o, NULL, '{');
    hg_json_begin(o, "content", '{');
    hg_json_text(o, "role", "model");
    hg_json_begin(o, "parts", '[');
    if (text.n > 0 || (ended && json_array_size(c->calls) == 0)) {
        hg_json_begin(o, NULL, '{');
        hg_json_bytes(o, "text", text);
        hg_json_end(o);
    }
    for (size_t i = 0; ended && i < json_array_size(c->calls); i++) {
        const json_t *call = json_array_get(c->calls, i);
        hg_buf args = {0};
        hg_err e;
        (void)hg_json_put_tree(&args, json_object_get(call, "arguments"), &e);
        hg_json_begin(o, NULL, '{');
        hg_json_begin(o, "functionCall", '{');
        hg_json_text(o, "name", json_string_value(json_object_get(call, "name")));
        hg_json_raw(o, "args", args.n > 0 ? (hg_bytes){args.p, args.n} : (hg_bytes){"{}", 2});
        hg_json_end(o);
        hg_json_end(o);
        hg_buf_free(&args);
    }
    hg_json_end(o);
    hg_json_end(o);
    if (ended)
        hg_json_text(o, "finishReason", c->finish == HG_FINISH_LENGTH ? "MAX_TOKENS" : "STOP");
    hg_json_int(o, "index", c->index);
    hg_json_end(o);
}

static void open_response(hg_json_out *o, hg_buf *out)
{
    hg_json_out_init(o, out, 0);
    hg_json_begin(o, NULL, '{');
    hg_json_begin(o, "candidates", '[');
}

static void close_response(hg_json_out *o, const hg_answer *a, size_t n_out)
{
    hg_json_end(o);
    put_usage(o, a->n_prompt_tokens, n_out);
    hg_json_text(o, "modelVersion", a->model->id);
    hg_json_text(o, "responseId", a->id);
    hg_json_end(o);
}

static void tell_whole(hg_answer *a, hg_buf *out)
{
    hg_json_out o;

    open_response(&o, out);
    for (uint32_t i = 0; i < a->n_choices; i++) {
        const hg_choice *c = &a->choices[i];
        const size_t n = json_array_size(c->calls) > 0 ? c->n_words : c->text.n;
        put_candidate(&o, c, (hg_bytes){c->text.n > 0 ? c->text.p : "", n}, true);
    }
    close_response(&o, a, hg_answer_usage(a).completion_tokens);
}

/* Between the members of an array, or before an event. */
typedef struct note {
    bool is_array, has_members;
} note;

static void lead(hg_answer *a, hg_buf *out)
{
    note *n = a->note;

    hg_buf_puts(out, !n->is_array ? "data: " : n->has_members ? ",\n" : "[");
    n->has_members = true;
}

static void trail(const hg_answer *a, hg_buf *out)
{
    const note *n = a->note;

    if (!n->is_array) hg_buf_puts(out, "\n\n");
}

static void tell_begin(hg_answer *a, hg_choice *c, hg_buf *out)
{
    (void)a;
    (void)c;
    (void)out;
}

static void put_chunk(hg_answer *a, hg_choice *c, hg_bytes text, bool ended, hg_buf *out)
{
    hg_json_out o;

    lead(a, out);
    open_response(&o, out);
    put_candidate(&o, c, text, ended);
    close_response(&o, a, hg_answer_usage(a).completion_tokens);
    trail(a, out);
}

static void tell_piece(hg_answer *a, hg_choice *c, hg_bytes text, hg_buf *out)
{
    put_chunk(a, c, text, false, out);
}

static void tell_finish(hg_answer *a, hg_choice *c, hg_buf *out)
{
    put_chunk(a, c, (hg_bytes){"", 0}, true, out);
}

static void tell_end(hg_answer *a, hg_buf *out)
{
    const note *n = a->note;

    if (n->is_array) hg_buf_puts(out, n->has_members ? "]" : "[]");
}

static void tell_failure(hg_answer *a, const hg_problem *p, hg_buf *out)
{
    lead(a, out);
    put_problem(out, p);
    trail(a, out);
    tell_end(a, out);
}

#define TELLER(how)                                                                          \
    {                                                                                        \
        .protocol = &hg_gemini, .kind = (how), .begin = tell_begin, .piece = tell_piece,     \
        .finish = tell_finish, .end = tell_end, .failure = tell_failure, .whole = tell_whole \
    }
static const hg_teller events = TELLER(HG_STREAM_EVENTS);
static const hg_teller array = TELLER(HG_STREAM_JSON);

/* ---- questions ---- */
static bool generate(hg_server *s, hg_exchange *x, hg_bytes model, bool is_stream, hg_problem *p)
{
    const char *alt = hg_exchange_query(x, "alt");
    hg_arena *mem = hg_exchange_memory(x);
    note *n = HG_NEW(mem, note, 1);
    hg_openai_call c = {0};
    bool ok;

    if (n == NULL) return hg_refuse(p, 500, NULL, NULL, "no room for the request");
    n->is_array = alt == NULL || strcmp(alt, "sse") != 0;
    const hg_asker by = {n->is_array ? &array : &events, "resp_", n};
    ok = hg_gemini_parse(&c, hg_exchange_body(x), model, false, is_stream, mem, p) &&
         hg_openai_ask(s, x, &c, &by, p);
    hg_openai_call_free(&c);
    return ok;
}

static bool count(hg_server *s, hg_exchange *x, hg_bytes model, hg_problem *p)
{
    hg_arena *mem = hg_exchange_memory(x);
    hg_openai_call c = {0};
    hg_buf b = {0};
    hg_json_out o;
    size_t n;
    bool ok = hg_gemini_parse(&c, hg_exchange_body(x), model, true, false, mem, p) &&
              hg_openai_count(s, x, &c, &n, p);

    hg_openai_call_free(&c);
    if (!ok) return false;
    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_int(&o, "totalTokens", (int64_t)n);
    hg_json_end(&o);
    hg_reply_json(x, &hg_gemini, &b);
    return true;
}

static bool run_verb(hg_server *s, hg_exchange *x, hg_bytes model, const char *verb, hg_problem *p)
{
    if (strcmp(verb, "generateContent") == 0) return generate(s, x, model, false, p);
    if (strcmp(verb, "streamGenerateContent") == 0) return generate(s, x, model, true, p);
    if (strcmp(verb, "countTokens") == 0) return count(s, x, model, p);
    if (strcmp(verb, "embedContent") == 0) return hg_gemini_embed(s, x, model, false, p);
    if (strcmp(verb, "batchEmbedContents") == 0) return hg_gemini_embed(s, x, model, true, p);
    return hg_refuse(p, 404, NULL, NULL,
                     "a model's verbs are generateContent, streamGenerateContent, countTokens, "
                     "embedContent and batchEmbedContents");
}

static void run(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    char name[256];
    const hg_bytes whole = hg_path_decode(rest, name, sizeof name - 1);
    hg_problem p;
    char *colon;

    name[whole.n] = '\0';
    colon = strrchr(name, ':');
    bool ok = colon != NULL || hg_refuse(&p, 404, NULL, NULL,
                                         "a verb follows the model: models/NAME:generateContent");
    if (!ok || !run_verb(s, x, (hg_bytes){name, (size_t)(colon - name)}, colon + 1, &p))
        hg_answer_problem(x, &hg_gemini, &p);
}

static const hg_route routes[] = {{"GET", "/v1/models", list_models, false},
                                  {"GET", "/v1/models/", get_model, false},
                                  {"POST", "/v1/models/", run, false},
                                  {"GET", "/v1beta/models", list_models, false},
                                  {"GET", "/v1beta/models/", get_model, false},
                                  {"POST", "/v1beta/models/", run, false},
                                  {"GET", "/v1alpha/models", list_models, false},
                                  {"GET", "/v1alpha/models/", get_model, false},
                                  {"POST", "/v1alpha/models/", run, false},
                                  {NULL, NULL, NULL, false}};
const hg_protocol hg_gemini = {
    .mounts = "gemini", .routes = routes, .explain = explain, .claims = claims};
