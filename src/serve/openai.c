/* OpenAI's protocol: models, chat completions, completions; whole or as a stream of chunks. The
 * forms are those that the official clients (openai on npm, 6 and 7) read and check. */
#include "serve/openai.h"
#include "serve/tools.h"

#include <stdio.h>
#include <string.h>

static const char fingerprint[] = "higgins-" HG_VERSION;

/* What a teller remembers of its call. */
typedef struct note {
    bool is_chat, include_usage, tells_tokens;
} note;

/* ---- errors ---- */
static void put_problem(hg_json_out *o, const hg_problem *p)
{
    const char *type = p->status >= 500   ? "server_error"
                       : p->status == 401 ? "authentication_error"
                       : p->status == 403 ? "permission_error"
                       : p->status == 429 ? "rate_limit_error"
                                          : "invalid_request_error";

    hg_json_begin(o, NULL, '{');
    hg_json_begin(o, "error", '{');
    hg_json_text(o, "message", p->msg);
    hg_json_text(o, "type", type);
    hg_json_text(o, "param", p->param[0] != 0 ? p->param : NULL);
    hg_json_text(o, "code", p->code);
    hg_json_end(o);
    hg_json_end(o);
}

static void explain(hg_buf *out, const hg_problem *p)
{
    hg_json_out o;

    hg_json_out_init(&o, out, 0);
    put_problem(&o, p);
    hg_buf_putc(out, '\n');
}

/* ---- models ---- */
static void put_model(hg_json_out *o, const hg_backend *m)
{
    hg_json_begin(o, NULL, '{');
    hg_json_text(o, "id", m->id);
    hg_json_text(o, "object", "model");
    hg_json_int(o, "created", m->created);
    hg_json_text(o, "owned_by", "higgins");
    hg_json_int(o, "context_length", m->n_ctx);
    hg_json_end(o);
}

static void reply_json(hg_exchange *x, hg_buf *b)
{
    hg_problem p;

    if (b->failed) {
        (void)hg_refuse(&p, 500, NULL, NULL, "no room for the answer");
        hg_answer_problem(x, &hg_openai, &p);
    } else {
        hg_exchange_reply(x, 200, "application/json", (hg_bytes){b->p, b->n});
    }
    hg_buf_free(b);
}

static void list_models(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_buf b = {0};
    hg_json_out o;

    (void)rest;
    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_text(&o, "object", "list");
    hg_json_begin(&o, "data", '[');
    for (size_t i = 0; i < hg_server_count(s); i++) {
        const hg_backend *m = hg_server_model(s, i);
        if (!m->is_unlisted) put_model(&o, m);
    }
    hg_json_end(&o);
    hg_json_end(&o);
    reply_json(x, &b);
}

static bool no_model(hg_problem *p, const hg_server *s, hg_bytes id)
{
    return hg_refuse(p, 404, "model_not_found", "model",
                     "there is no model \"%.*s\"; this server has %s%s",
                     (int)(id.n < 128 ? id.n : 128), id.p, hg_server_model(s, 0)->id,
                     hg_server_count(s) > 1 ? " and others: GET /v1/models" : "");
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Percent-decodes in place of the caller's buffer; clients send a/b as a%2Fb. */
static hg_bytes decode(hg_bytes raw, char *out, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < raw.n && n < size; i++) {
        int hi = raw.p[i] == '%' && i + 2 < raw.n ? hex_digit(raw.p[i + 1]) : -1;
        int lo = hi >= 0 ? hex_digit(raw.p[i + 2]) : -1;
        if (lo >= 0) i += 2;
        out[n++] = lo >= 0 ? (char)(hi * 16 + lo) : raw.p[i];
    }
    return (hg_bytes){out, n};
}

static void get_model(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    char name[256];
    hg_bytes id = decode(rest, name, sizeof name);
    const hg_backend *m = hg_server_find(s, id);
    hg_buf b = {0};
    hg_json_out o;
    hg_problem p;

    if (m == NULL) {
        (void)no_model(&p, s, id);
        hg_answer_problem(x, &hg_openai, &p);
        return;
    }
    hg_json_out_init(&o, &b, 0);
    put_model(&o, m);
    reply_json(x, &b);
}

/* ---- answers ---- */
static const char *finish_word(const hg_choice *c)
{
    if (json_array_size(c->calls) > 0) return "tool_calls";
    return c->finish == HG_FINISH_LENGTH ? "length" : "stop";
}

static void put_usage(hg_json_out *o, const hg_answer *a)
{
    hg_usage u = hg_answer_usage(a);

    hg_json_begin(o, "usage", '{');
    hg_json_int(o, "prompt_tokens", u.prompt_tokens);
    hg_json_int(o, "completion_tokens", u.completion_tokens);
    hg_json_int(o, "total_tokens", (int64_t)u.prompt_tokens + u.completion_tokens);
    hg_json_begin(o, "prompt_tokens_details", '{');
    hg_json_int(o, "cached_tokens", u.cached_tokens);
    hg_json_int(o, "audio_tokens", 0);
    hg_json_end(o);
    hg_json_begin(o, "completion_tokens_details", '{');
    hg_json_int(o, "reasoning_tokens", 0);
    hg_json_int(o, "audio_tokens", 0);
    hg_json_int(o, "accepted_prediction_tokens", 0);
    hg_json_int(o, "rejected_prediction_tokens", 0);
    hg_json_end(o);
    hg_json_end(o);
}

static void put_head(hg_json_out *o, const hg_answer *a, const char *chat_object)
{
    const note *n = a->note;

    hg_json_begin(o, NULL, '{');
    hg_json_text(o, "id", a->id);
    hg_json_text(o, "object", n->is_chat ? chat_object : "text_completion");
    hg_json_int(o, "created", a->created);
    hg_json_text(o, "model", a->model->id);
    hg_json_text(o, "system_fingerprint", fingerprint);
    hg_json_begin(o, "choices", '[');
}

static void tell_token(hg_answer *a, hg_choice *c, const hg_token_report *t)
{
    const note *n = a->note;

    hg_openai_take_token(a, c, n->is_chat, t);
}

static void put_logprobs(hg_json_out *o, const note *n, hg_choice *c)
{
    if (n->tells_tokens)
        hg_openai_put_logprobs(o, n->is_chat, c);
    else
        hg_json_null(o, "logprobs");
}

/* One chunk with one choice. `text` NULL: none; `finish` NULL: not yet. */
static void put_chunk(hg_answer *a, hg_choice *c, const hg_bytes *text, bool is_first,
                      const char *finish, hg_buf *out)
{
    const note *n = a->note;
    hg_json_out o;

    hg_buf_puts(out, "data: ");
    hg_json_out_init(&o, out, 0);
    put_head(&o, a, "chat.completion.chunk");
    hg_json_begin(&o, NULL, '{');
    hg_json_int(&o, "index", c->index);
    if (n->is_chat) {
        hg_json_begin(&o, "delta", '{');
        if (is_first) hg_json_text(&o, "role", "assistant");
        if (text != NULL) hg_json_bytes(&o, "content", *text);
        if (is_first) hg_json_null(&o, "refusal");
        hg_json_end(&o);
    } else {
        hg_json_bytes(&o, "text", text != NULL ? *text : (hg_bytes){"", 0});
    }
    put_logprobs(&o, n, c);
    hg_json_text(&o, "finish_reason", finish);
    hg_json_end(&o);
    hg_json_end(&o);
    if (n->include_usage) hg_json_null(&o, "usage");
    hg_json_end(&o);
    hg_buf_puts(out, "\n\n");
}

static void tell_begin(hg_answer *a, hg_choice *c, hg_buf *out)
{
    const note *n = a->note;

    if (n->is_chat) put_chunk(a, c, &(hg_bytes){"", 0}, true, NULL, out);
}

static void tell_piece(hg_answer *a, hg_choice *c, hg_bytes text, hg_buf *out)
{
    put_chunk(a, c, &text, false, NULL, out);
}

/* The i-th call of a chat's answer, in two chunks: who is called, and with what. */
static void put_call_chunk(hg_answer *a, hg_choice *c, size_t i, bool rest, hg_buf *out)
{
    const note *n = a->note;
    hg_json_out o;

    hg_buf_puts(out, "data: ");
    hg_json_out_init(&o, out, 0);
    put_head(&o, a, "chat.completion.chunk");
    hg_json_begin(&o, NULL, '{');
    hg_json_int(&o, "index", c->index);
    hg_json_begin(&o, "delta", '{');
    hg_openai_put_call_delta(&o, c->calls, i, rest);
    hg_json_end(&o);
    put_logprobs(&o, n, c);
    hg_json_null(&o, "finish_reason");
    hg_json_end(&o);
    hg_json_end(&o);
    if (n->include_usage) hg_json_null(&o, "usage");
    hg_json_end(&o);
    hg_buf_puts(out, "\n\n");
}

static void tell_finish(hg_answer *a, hg_choice *c, hg_buf *out)
{
    for (size_t i = 0; i < json_array_size(c->calls); i++) {
        put_call_chunk(a, c, i, false, out);
        put_call_chunk(a, c, i, true, out);
    }
    put_chunk(a, c, NULL, false, finish_word(c), out);
}

static void tell_end(hg_answer *a, hg_buf *out)
{
    const note *n = a->note;
    hg_json_out o;

    if (n->include_usage) {
        hg_buf_puts(out, "data: ");
        hg_json_out_init(&o, out, 0);
        put_head(&o, a, "chat.completion.chunk");
        hg_json_end(&o);
        put_usage(&o, a);
        hg_json_end(&o);
        hg_buf_puts(out, "\n\n");
    }
    hg_buf_puts(out, "data: [DONE]\n\n");
}

static void tell_failure(hg_answer *a, const hg_problem *p, hg_buf *out)
{
    hg_json_out o;

    (void)a;
    hg_buf_puts(out, "data: ");
    hg_json_out_init(&o, out, 0);
    put_problem(&o, p);
    hg_buf_puts(out, "\n\n");
}

static void put_choice(hg_json_out *o, const note *n, hg_choice *c)
{
    const bool calls = json_array_size(c->calls) > 0;
    hg_bytes text = {c->text.n > 0 ? c->text.p : "", calls ? c->n_words : c->text.n};

    hg_json_begin(o, NULL, '{');
    hg_json_int(o, "index", c->index);
    if (n->is_chat) {
        hg_json_begin(o, "message", '{');
        hg_json_text(o, "role", "assistant");
        if (calls && text.n == 0)
            hg_json_null(o, "content");
        else
            hg_json_bytes(o, "content", text);
        if (calls) hg_openai_put_calls(o, c->calls);
        hg_json_null(o, "refusal");
        hg_json_begin(o, "annotations", '[');
        hg_json_end(o);
        hg_json_end(o);
    } else {
        hg_json_bytes(o, "text", text);
    }
    put_logprobs(o, n, c);
    hg_json_text(o, "finish_reason", finish_word(c));
    hg_json_end(o);
}

static void tell_whole(hg_answer *a, hg_buf *out)
{
    hg_json_out o;

    hg_json_out_init(&o, out, 0);
    put_head(&o, a, "chat.completion");
    for (uint32_t i = 0; i < a->n_choices; i++) put_choice(&o, a->note, &a->choices[i]);
    hg_json_end(&o);
    put_usage(&o, a);
    hg_json_end(&o);
}

static const hg_teller teller = {.protocol = &hg_openai,
                                 .begin = tell_begin,
                                 .piece = tell_piece,
                                 .token = tell_token,
                                 .finish = tell_finish,
                                 .end = tell_end,
                                 .failure = tell_failure,
                                 .whole = tell_whole};

/* ---- questions ---- */
typedef struct prompts {
    hg_ids *list; /* [HG_SERVE_MAX_CHOICES] */
    size_t n;
} prompts;

static void free_prompts(prompts *ps)
{
    for (size_t i = 0; i < ps->n; i++) hg_ids_free(&ps->list[i]);
    ps->n = 0;
}

static bool of_status(hg_problem *p, hg_status s, const char *param, const hg_err *e)
{
    return hg_refuse(p, s == HG_E_NOMEM || s == HG_E_IO ? 500 : 400,
                     s == HG_E_LIMIT ? "context_length_exceeded" : NULL, param, "%s", e->msg);
}

static bool add_ids(hg_ids *ids, const json_t *v, const hg_backend *m, hg_problem *p)
{
    hg_err e = {0};

    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *id = json_array_get(v, i);
        json_int_t x = json_integer_value(id);
        if (!json_is_integer(id) || x < 0 || x >= (json_int_t)m->n_vocab)
            return hg_refuse(p, 400, "invalid_value", "prompt",
                             "prompt: token ids are whole numbers from 0 to %u", m->n_vocab - 1);
        hg_status s = hg_ids_push(ids, (int32_t)x, &e);
        if (s != HG_OK) return of_status(p, s, "prompt", &e);
    }
    return true;
}

/* One prompt: a string or an array of ids. */
static bool add_prompt(prompts *ps, const json_t *v, const hg_backend *m, hg_problem *p)
{
    hg_err e = {0};
    hg_ids *ids = &ps->list[ps->n++];

    if (json_is_array(v)) return add_ids(ids, v, m, p);
    if (!json_is_string(v))
        return hg_refuse(p, 400, "invalid_value", "prompt",
                         "prompt must be a string, or an array of strings or ids");
    hg_bytes text = {json_string_value(v), json_string_length(v)};
    hg_status s = m->encode(m->ctx, text, ids, &e);
    return s == HG_OK || of_status(p, s, "prompt", &e);
}

static bool read_prompts(prompts *ps, const hg_openai_call *c, const hg_backend *m, hg_problem *p)
{
    const json_t *first = json_array_get(c->prompt, 0);
    size_t n = json_array_size(c->prompt);

    if (!json_is_array(c->prompt) || json_is_integer(first)) return add_prompt(ps, c->prompt, m, p);
    if (n == 0 || n > HG_SERVE_MAX_CHOICES)
        return hg_refuse(p, 400, "invalid_value", "prompt", "prompt takes 1 to %d texts",
                         HG_SERVE_MAX_CHOICES);
    for (size_t i = 0; i < n; i++) {
        if (!add_prompt(ps, json_array_get(c->prompt, i), m, p)) return false;
    }
    return true;
}

static bool read_messages(prompts *ps, const hg_openai_call *c, const hg_backend *m, hg_problem *p)
{
    hg_err e = {0};
    hg_ids *ids = &ps->list[ps->n++];
    hg_status s;

    if (c->talk != NULL && m->converse == NULL)
        return hg_refuse(p, 400, "unsupported_parameter", "tools", "tools: %s cannot call any",
                         m->id);
    s = c->talk != NULL ? m->converse(m->ctx, c->talk, c->tools, c->must_call, ids, &e)
                        : m->render(m->ctx, c->messages, c->n_messages, ids, &e);
    return s == HG_OK || of_status(p, s, "messages", &e);
}

/* An answer needs room for one token at the least. */
static bool check_room(const prompts *ps, const hg_openai_call *c, const hg_backend *m,
                       hg_problem *p)
{
    const char *param = c->is_chat ? "messages" : "prompt";

    for (size_t i = 0; i < ps->n; i++) {
        if (ps->list[i].n >= m->n_ctx)
            return hg_refuse(p, 400, "context_length_exceeded", param,
                             "the %s have %zu tokens; the model's context is %u tokens, and the "
                             "answer needs some of them",
                             param, ps->list[i].n, m->n_ctx);
        if (ps->list[i].n == 0)
            return hg_refuse(p, 400, "invalid_value", param, "%s is empty; give at least one token",
                             param);
    }
    if (ps->n * c->n > HG_SERVE_MAX_CHOICES)
        return hg_refuse(p, 400, "invalid_value", "n", "n times the prompts is at most %d",
                         HG_SERVE_MAX_CHOICES);
    return true;
}

/* What the answer is held to, if to anything. */
static bool read_form(hg_form **form, const hg_openai_call *c, const hg_backend *m, hg_problem *p)
{
    hg_err e = {0};

    *form = NULL;
    if (c->tells_tokens && m->piece == NULL)
        return hg_refuse(p, 400, "unsupported_parameter", "logprobs",
                         "logprobs: %s tells no probabilities", m->id);
    if (c->tools != NULL) return hg_tools_form(m, c->tools, c->only, c->must_call, form, p);
    if (!c->has_form) return true;
    if (m->form == NULL)
        return hg_refuse(p, 400, "unsupported_parameter", "response_format",
                         "response_format: answers of %s cannot be held to a form", m->id);
    const hg_status s = m->form(m->ctx, c->form, c->schema, form, &e);
    return s == HG_OK || hg_refuse(p, s == HG_E_NOMEM ? 500 : 400, "invalid_value",
                                   "response_format", "response_format: %s", e.msg);
}

static bool ask(hg_server *s, hg_exchange *x, const hg_openai_call *c, prompts *ps, hg_problem *p)
{
    const hg_backend *m = hg_server_find(s, c->model);
    note *n = HG_NEW(hg_exchange_memory(x), note, 1);

    ps->list = HG_NEW(hg_exchange_memory(x), hg_ids, HG_SERVE_MAX_CHOICES);
    if (n == NULL || ps->list == NULL)
        return hg_refuse(p, 500, NULL, NULL, "no room for the request");
    if (m == NULL) return no_model(p, s, c->model);
    if (!(c->is_chat ? read_messages(ps, c, m, p) : read_prompts(ps, c, m, p))) return false;
    if (!check_room(ps, c, m, p)) return false;
    hg_form *form;
    if (!read_form(&form, c, m, p)) return false;
    *n = (note){c->is_chat, c->include_usage, c->tells_tokens};
    hg_question q = {.model = m,
                     .prompts = ps->list,
                     .n_prompts = ps->n,
                     .n = c->n,
                     .max_tokens = c->max_tokens,
                     .sampling = c->sampling,
                     .stop = c->stop,
                     .n_stop = c->n_stop,
                     .tools = c->tools,
                     .must_call = c->must_call,
                     .form = form,
                     .tells_tokens = c->tells_tokens,
                     .n_top = c->n_top,
                     .stream = c->stream};
    hg_answer_start(x, &q, &teller, c->is_chat ? "chatcmpl-" : "cmpl-", n);
    return true;
}

static void complete(hg_server *s, hg_exchange *x, bool is_chat)
{
    hg_openai_call c;
    hg_problem p;
    prompts ps = {0};

    if (!hg_openai_parse(&c, is_chat, hg_exchange_body(x), hg_exchange_memory(x), &p) ||
        !ask(s, x, &c, &ps, &p))
        hg_answer_problem(x, &hg_openai, &p);
    free_prompts(&ps);
    hg_openai_call_free(&c);
}

static void chat_completions(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    (void)rest;
    complete(s, x, true);
}

static void completions(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    (void)rest;
    complete(s, x, false);
}

static const hg_route routes[] = {{"GET", "/v1/models", list_models, false},
                                  {"GET", "/v1/models/", get_model, false},
                                  {"POST", "/v1/chat/completions", chat_completions, false},
                                  {"POST", "/v1/completions", completions, false},
                                  {NULL, NULL, NULL, false}};
const hg_protocol hg_openai = {routes, explain};
