/* OpenAI's protocol: models, chat completions, completions; whole or as a stream of chunks. The
 * forms are those that the official clients (openai on npm, 6 and 7) read and check. */
#include "serve/openai/openai.h"
#include "serve/embed.h"
#include "serve/openai/kept.h"

#include <stdio.h>
#include <string.h>

static const char fingerprint[] = "higgins-" HG_VERSION;

/* What a teller remembers of its call. */
typedef struct note {
    bool is_chat, include_usage, tells_tokens;
    hg_keeper *keeper;        /* of answers that are kept; NULL: this one is not */
    hg_bytes metadata, input; /* JSON, in the exchange's memory */
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
static void put_model(hg_json_out *o, const hg_card *m)
{
    hg_json_begin(o, NULL, '{');
    hg_json_text(o, "id", m->id);
    hg_json_text(o, "object", "model");
    hg_json_int(o, "created", m->created);
    hg_json_text(o, "owned_by", "higgins");
    hg_json_int(o, "context_length", m->n_ctx);
    hg_json_end(o);
}

static void list_models(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_buf b = {0};
    hg_json_out o;

    (void)rest;
    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_text(&o, "object", "list");
    hg_put_models(&o, "data", s, put_model);
    hg_json_end(&o);
    hg_reply_json(x, &hg_openai, &b);
}

static void get_model(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_reply_model(s, x, rest, &hg_openai, put_model);
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

/* The answer as one object; with `n` saying what is told of it. */
static void put_whole(hg_answer *a, const note *n, hg_buf *out)
{
    hg_json_out o;

    hg_json_out_init(&o, out, 0);
    put_head(&o, a, "chat.completion");
    for (uint32_t i = 0; i < a->n_choices; i++) put_choice(&o, n, &a->choices[i]);
    hg_json_end(&o);
    put_usage(&o, a);
    if (n->keeper != NULL) hg_json_raw(&o, "metadata", n->metadata);
    hg_json_end(&o);
}

/* Before the end is told. A store that fails (its disk is full) takes the answer from nobody. */
static bool keep(const hg_answer *a, hg_bytes body)
{
    const note *n = a->note;
    const hg_kept_card card = {.id = a->id,
                               .owner = hg_exchange_owner(a->x),
                               .kind = HG_KEPT_CHAT,
                               .model = a->model->id,
                               .status = "completed",
                               .created = a->created,
                               .body = body,
                               .input = n->input};
    hg_err e;

    return hg_keeper_put(n->keeper, &card, &e) == HG_OK;
}

/* Of a stream; its log-probabilities are told already and not there any more. */
static void keep_stream(hg_answer *a)
{
    note n = *(const note *)a->note;
    hg_buf body = {0};

    n.tells_tokens = false;
    put_whole(a, &n, &body);
    if (!body.failed) (void)keep(a, (hg_bytes){body.p, body.n});
    hg_buf_free(&body);
}

static void tell_end(hg_answer *a, hg_buf *out)
{
    const note *n = a->note;
    hg_json_out o;

    if (n->keeper != NULL) keep_stream(a);
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

/* What could not be kept has no metadata. */
static void tell_whole(hg_answer *a, hg_buf *out)
{
    note *n = a->note;

    put_whole(a, n, out);
    if (n->keeper == NULL || out->failed || keep(a, (hg_bytes){out->p, out->n})) return;
    n->keeper = NULL;
    hg_buf_clear(out);
    put_whole(a, n, out);
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
/* JSON that stays as long as the exchange; p NULL: no room. */
static hg_bytes copy_tree(const json_t *v, const char *otherwise, hg_arena *mem)
{
    hg_buf b = {0};
    hg_bytes out = {NULL, 0};
    hg_err e;

    if (v == NULL) return (hg_bytes){otherwise, strlen(otherwise)};
    if (hg_json_put_tree(&b, v, &e) == HG_OK)
        out = (hg_bytes){hg_arena_strndup(mem, b.p, b.n), b.n};
    hg_buf_free(&b);
    return out;
}

static bool ask(hg_server *s, hg_exchange *x, const hg_openai_call *c, hg_problem *p)
{
    note *n = HG_NEW(hg_exchange_memory(x), note, 1);

    if (n == NULL) return hg_refuse(p, 500, NULL, NULL, "no room for the request");
    *n = (note){
        .is_chat = c->is_chat, .include_usage = c->include_usage, .tells_tokens = c->tells_tokens};
    if (c->store) {
        const json_t *metadata = json_object_get(c->body, "metadata");
        n->keeper = hg_server_keeper(s);
        n->metadata =
            copy_tree(json_is_null(metadata) ? NULL : metadata, "{}", hg_exchange_memory(x));
        n->input = copy_tree(json_object_get(c->body, "messages"), "[]", hg_exchange_memory(x));
        if (n->metadata.p == NULL || n->input.p == NULL)
            return hg_refuse(p, 500, NULL, NULL, "no room for the request");
    }
    const hg_asker by = {&teller, c->is_chat ? "chatcmpl-" : "cmpl-", n};
    return hg_openai_ask(s, x, c, &by, p);
}

static void complete(hg_server *s, hg_exchange *x, bool is_chat)
{
    hg_openai_call c;
    hg_problem p;

    if (!hg_openai_parse(&c, is_chat, hg_exchange_body(x), hg_exchange_memory(x), &p) ||
        !ask(s, x, &c, &p))
        hg_answer_problem(x, &hg_openai, &p);
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
                                  {"POST", "/v1/embeddings", hg_openai_embeddings, false},
                                  {NULL, NULL, NULL, false}};
const hg_protocol hg_openai = {.mounts = "openai", .routes = routes, .explain = explain};
