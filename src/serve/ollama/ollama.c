/* What editors and tools know of Ollama's protocol: chat and generate, as lines of JSON unless they
 * ask for one answer, and what there is. */
#include "serve/ollama/ollama.h"
#include "base/clock.h"
#include "serve/embed.h"
#include "serve/models.h"

#include <string.h>

typedef struct note {
    bool is_generate;
    double began;
} note;

/* ---- errors ---- */
static void explain(hg_buf *out, const hg_problem *p)
{
    hg_json_out o;

    hg_json_out_init(&o, out, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_text(&o, "error", p->msg);
    hg_json_end(&o);
    hg_buf_putc(out, '\n');
}

/* ---- what there is ---- */
static void put_details(hg_json_out *o)
{
    hg_json_begin(o, "details", '{');
    hg_json_text(o, "parent_model", "");
    hg_json_text(o, "format", "");
    hg_json_text(o, "family", "");
    hg_json_null(o, "families");
    hg_json_text(o, "parameter_size", "");
    hg_json_text(o, "quantization_level", "");
    hg_json_end(o);
}

static void put_model(hg_json_out *o, const hg_card *m)
{
    char created[32];

    hg_iso_time(m->created, created);
    hg_json_begin(o, NULL, '{');
    hg_json_text(o, "name", m->id);
    hg_json_text(o, "model", m->id);
    hg_json_text(o, "modified_at", created);
    put_details(o);
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
    hg_reply_json(x, &hg_ollama, &b);
}

/* What is in memory. */
static void list_loaded(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_models *all = hg_server_models(s);
    hg_buf b = {0};
    hg_json_out o;

    (void)rest;
    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_begin(&o, "models", '[');
    for (size_t i = 0; i < hg_models_count(all); i++) {
        hg_offer *offer = hg_models_get(all, i);
        if (!offer->card.is_unlisted && hg_models_is_loaded(all, offer))
            put_model(&o, &offer->card);
    }
    hg_json_end(&o);
    hg_json_end(&o);
    hg_reply_json(x, &hg_ollama, &b);
}

static void tell_version(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    static const char version[] = "{\"version\":\"" HG_VERSION "\"}";

    (void)s;
    (void)rest;
    hg_exchange_reply_static(x, 200, "application/json", (hg_bytes){version, sizeof version - 1});
}

static void put_show(hg_json_out *o, const hg_card *m)
{
    hg_json_begin(o, NULL, '{');
    hg_json_text(o, "modelfile", "");
    hg_json_text(o, "parameters", "");
    hg_json_text(o, "template", "");
    put_details(o);
    hg_json_begin(o, "model_info", '{');
    hg_json_text(o, "general.architecture", "higgins");
    hg_json_int(o, "higgins.context_length", m->n_ctx);
    hg_json_int(o, "higgins.vocab_size", m->n_vocab);
    hg_json_end(o);
    hg_json_begin(o, "capabilities", '[');
    hg_json_text(o, NULL, "completion");
    if (m->can_embed) hg_json_text(o, NULL, "embedding");
    if (m->can_call) hg_json_text(o, NULL, "tools");
    hg_json_end(o);
    hg_json_end(o);
}

static void show(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_openai_call c;
    hg_problem p;
    hg_buf b = {0};
    hg_json_out o;
    bool only_load;
    bool ok =
        hg_ollama_parse(&c, hg_exchange_body(x), false, &only_load, hg_exchange_memory(x), &p);
    const hg_card *m = ok ? hg_server_find(s, c.model) : NULL;

    (void)rest;
    if (ok && m == NULL) (void)hg_no_model(&p, s, c.model);
    if (m != NULL) {
        hg_json_out_init(&o, &b, 0);
        put_show(&o, m);
        hg_reply_json(x, &hg_ollama, &b);
    } else {
        hg_answer_problem(x, &hg_ollama, &p);
    }
    hg_openai_call_free(&c);
}

/* ---- answers ---- */
static void put_calls(hg_json_out *o, const json_t *calls)
{
    hg_json_begin(o, "tool_calls", '[');
    for (size_t i = 0; i < json_array_size(calls); i++) {
        const json_t *call = json_array_get(calls, i);
        hg_buf args = {0};
        hg_err e;
        (void)hg_json_put_tree(&args, json_object_get(call, "arguments"), &e);
        hg_json_begin(o, NULL, '{');
        hg_json_begin(o, "function", '{');
        hg_json_text(o, "name", json_string_value(json_object_get(call, "name")));
        hg_json_raw(o, "arguments", args.n > 0 ? (hg_bytes){args.p, args.n} : (hg_bytes){"{}", 2});
        hg_json_end(o);
        hg_json_end(o);
        hg_buf_free(&args);
    }
    hg_json_end(o);
}

static void put_head(hg_json_out *o, const char *model, bool is_generate, hg_bytes text,
                     const json_t *calls)
{
    char now[32];

    hg_iso_time(hg_unix_time(), now);
    hg_json_begin(o, NULL, '{');
    hg_json_text(o, "model", model);
    hg_json_text(o, "created_at", now);
    if (is_generate) {
        hg_json_bytes(o, "response", text);
        return;
    }
    hg_json_begin(o, "message", '{');
    hg_json_text(o, "role", "assistant");
    hg_json_bytes(o, "content", text);
    if (json_array_size(calls) > 0) put_calls(o, calls);
    hg_json_end(o);
}

/* Durations in nanoseconds. */
static int64_t ns(double seconds)
{
    return (int64_t)(seconds * 1e9);
}

static void put_end(hg_json_out *o, const hg_answer *a, const hg_choice *c)
{
    const note *n = a->note;

    hg_json_bool(o, "done", true);
    hg_json_text(o, "done_reason", c->finish == HG_FINISH_LENGTH ? "length" : "stop");
    hg_json_int(o, "total_duration", ns(hg_seconds() - n->began));
    hg_json_int(o, "load_duration", 0);
    hg_json_int(o, "prompt_eval_count", (int64_t)a->n_prompt_tokens);
    hg_json_int(o, "prompt_eval_duration", ns(c->usage.prefill_s));
    hg_json_int(o, "eval_count", c->usage.completion_tokens);
    hg_json_int(o, "eval_duration", ns(c->usage.decode_s));
    hg_json_end(o);
}

static void tell_begin(hg_answer *a, hg_choice *c, hg_buf *out)
{
    (void)a;
    (void)c;
    (void)out;
}

static void tell_token(hg_answer *a, hg_choice *c, const hg_token_report *t)
{
    hg_openai_take_token(a, c, true, t);
}

/* What was taken of tokens since the last line, where the request asks for it. */
static void put_tokens(hg_json_out *o, hg_choice *c)
{
    if (c->room[0].n > 0) hg_openai_put_tokens(o, "logprobs", c);
}

static void tell_piece(hg_answer *a, hg_choice *c, hg_bytes text, hg_buf *out)
{
    const note *n = a->note;
    hg_json_out o;

    hg_json_out_init(&o, out, 0);
    put_head(&o, a->model->id, n->is_generate, text, NULL);
    put_tokens(&o, c);
    hg_json_bool(&o, "done", false);
    hg_json_end(&o);
    hg_buf_putc(out, '\n');
}

static void put_last(hg_answer *a, hg_choice *c, hg_bytes text, hg_buf *out)
{
    const note *n = a->note;
    hg_json_out o;

    hg_json_out_init(&o, out, 0);
    put_head(&o, a->model->id, n->is_generate, text, c->calls);
    put_tokens(&o, c);
    put_end(&o, a, c);
    hg_buf_putc(out, '\n');
}

static void tell_finish(hg_answer *a, hg_choice *c, hg_buf *out)
{
    put_last(a, c, (hg_bytes){"", 0}, out);
}

static void tell_end(hg_answer *a, hg_buf *out)
{
    (void)a;
    (void)out;
}

static void tell_failure(hg_answer *a, const hg_problem *p, hg_buf *out)
{
    (void)a;
    explain(out, p);
}

static void tell_whole(hg_answer *a, hg_buf *out)
{
    hg_choice *c = &a->choices[0];
    const size_t n = json_array_size(c->calls) > 0 ? c->n_words : c->text.n;

    put_last(a, c, (hg_bytes){c->text.n > 0 ? c->text.p : "", n}, out);
}

static const hg_teller teller = {.protocol = &hg_ollama,
                                 .kind = HG_STREAM_LINES,
                                 .begin = tell_begin,
                                 .token = tell_token,
                                 .piece = tell_piece,
                                 .finish = tell_finish,
                                 .end = tell_end,
                                 .failure = tell_failure,
                                 .whole = tell_whole};

/* ---- questions ---- */
static bool answer_loaded(hg_server *s, hg_exchange *x, const hg_openai_call *c, bool is_generate,
                          hg_problem *p)
{
    const hg_backend *m = hg_server_take_for(s, hg_exchange_owner(x), c->model, p);
    hg_buf b = {0};
    hg_json_out o;

    if (m == NULL) return false;
    hg_json_out_init(&o, &b, 0);
    put_head(&o, m->id, is_generate, (hg_bytes){"", 0}, NULL);
    hg_json_bool(&o, "done", true);
    hg_json_text(&o, "done_reason", "load");
    hg_json_end(&o);
    hg_buf_putc(&b, '\n');
    hg_backend_release(m);
    hg_reply_json(x, &hg_ollama, &b);
    return true;
}

static void answer(hg_server *s, hg_exchange *x, bool is_generate)
{
    hg_arena *mem = hg_exchange_memory(x);
    note *n = HG_NEW(mem, note, 1);
    hg_openai_call c = {0};
    hg_problem p;
    bool only_load, ok;

    if (n == NULL) {
        (void)hg_refuse(&p, 500, NULL, NULL, "no room for the request");
        hg_answer_problem(x, &hg_ollama, &p);
        return;
    }
    *n = (note){is_generate, hg_seconds()};
    const hg_asker by = {&teller, "", n};
    ok = hg_ollama_parse(&c, hg_exchange_body(x), is_generate, &only_load, mem, &p) &&
         (only_load ? answer_loaded(s, x, &c, is_generate, &p) : hg_openai_ask(s, x, &c, &by, &p));
    if (!ok) hg_answer_problem(x, &hg_ollama, &p);
    hg_openai_call_free(&c);
}

static void chat(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    (void)rest;
    answer(s, x, false);
}

static void generate(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    (void)rest;
    answer(s, x, true);
}

static const hg_route routes[] = {{"POST", "/api/chat", chat, false},
                                  {"POST", "/api/generate", generate, false},
                                  {"POST", "/api/show", show, false},
                                  {"POST", "/api/embed", hg_ollama_embed, false},
                                  {"GET", "/api/tags", list_models, false},
                                  {"GET", "/api/ps", list_loaded, false},
                                  {"GET", "/api/version", tell_version, false},
                                  {"POST", "/api/embeddings", hg_ollama_embed_one, false},
                                  {NULL, NULL, NULL, false}};

/* All that is below /api is its clients' alone, also what is not there. */
static bool is_ours(const hg_exchange *x)
{
    return strncmp(hg_exchange_path(x), "/api/", 5) == 0;
}

const hg_protocol hg_ollama = {.routes = routes, .explain = explain, .claims = is_ours};
