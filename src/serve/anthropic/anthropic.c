/* Anthropic's protocol: messages, whole or as the events that its official client puts together
 * again (@anthropic-ai/sdk, of both versions of the API), counts of tokens, models. */
#include "serve/anthropic/anthropic.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

static const char version_header[] = "anthropic-version";
static const char new_version[] = "2026-10-21";

/* What the teller remembers of its call. */
typedef struct note {
    uint32_t max_tokens;
    const char *const *stop; /* in the exchange's memory */
    size_t n_stop;
    bool is_open; /* a block of text is */
    size_t n_blocks;
} note;

/* ---- errors ---- */
static const char *type_of(int status)
{
    switch (status) {
    case 401:
        return "authentication_error";
    case 403:
        return "permission_error";
    case 404:
        return "not_found_error";
    case 413:
        return "request_too_large";
    case 429:
        return "rate_limit_error";
    case 503:
    case 529:
        return "overloaded_error";
    case 504:
        return "timeout_error";
    default:
        return status >= 500 ? "api_error" : "invalid_request_error";
    }
}

static void put_problem(hg_buf *out, const hg_problem *p)
{
    hg_json_out o;

    hg_json_out_init(&o, out, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_text(&o, "type", "error");
    hg_json_begin(&o, "error", '{');
    hg_json_text(&o, "type", type_of(p->status));
    hg_json_text(&o, "message", p->msg);
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
    return hg_exchange_header(x, version_header) != NULL;
}

/* ---- models ---- */
static void put_model(hg_json_out *o, const hg_card *m)
{
    char created[32];

    hg_iso_time(m->created, created);
    hg_json_begin(o, NULL, '{');
    hg_json_text(o, "type", "model");
    hg_json_text(o, "id", m->id);
    hg_json_text(o, "display_name", m->id);
    hg_json_text(o, "created_at", created);
    hg_json_text(o, "lifecycle", "active");
    hg_json_null(o, "capabilities");
    hg_json_null(o, "line");
    hg_json_int(o, "max_input_tokens", m->n_ctx);
    hg_json_int(o, "max_tokens", m->n_ctx);
    hg_json_null(o, "deprecated_at");
    hg_json_null(o, "retires_at");
    hg_json_end(o);
}

/* ---- pages ---- */
bool hg_anthropic_page_read(hg_anthropic_page *out, const hg_exchange *x, hg_problem *p)
{
    const char *limit = hg_exchange_query(x, "limit"), *after = hg_exchange_query(x, "after_id");
    const char *before = hg_exchange_query(x, "before_id"), *id = before != NULL ? before : after;
    char *end = NULL;

    *out = (hg_anthropic_page){.limit = 20, .is_back = before != NULL};
    if (limit != NULL) out->limit = strtoul(limit, &end, 10);
    if (limit != NULL &&
        (end == limit || *end != '\0' || out->limit < 1 || out->limit > HG_ANTHROPIC_MOST))
        return hg_refuse(p, 400, NULL, NULL, "limit: must be a whole number from 1 to %d",
                         HG_ANTHROPIC_MOST);
    if (before != NULL && after != NULL)
        return hg_refuse(p, 400, NULL, NULL, "before_id: not beside after_id");
    if (id != NULL)
        out->id[hg_path_decode((hg_bytes){id, strlen(id)}, out->id, sizeof out->id - 1).n] = '\0';
    return true;
}

void hg_anthropic_page_end(hg_json_out *o, bool has_more, const char *first, const char *last)
{
    hg_json_bool(o, "has_more", has_more);
    hg_json_text(o, "first_id", first);
    hg_json_text(o, "last_id", last);
}

/* ---- the list of models ---- */
typedef struct listing {
    const hg_card *all[HG_SERVE_MAX_MODELS]; /* [n] */
    size_t n, from, to;                      /* [from, to) are the page */
} listing;

static void list_all(listing *l, const hg_server *s)
{
    const size_t n = hg_server_count(s);

    l->n = l->from = l->to = 0;
    for (size_t i = 0; i < n && l->n < HG_SERVE_MAX_MODELS; i++) {
        const hg_card *m = hg_server_model(s, i);
        if (!m->is_unlisted) l->all[l->n++] = m;
    }
}

static bool find_page(listing *l, const hg_anthropic_page *page, hg_problem *p)
{
    size_t at = 0;

    while (page->id[0] != '\0' && at < l->n && strcmp(l->all[at]->id, page->id) != 0) at++;
    if (page->id[0] != '\0' && at == l->n)
        return hg_refuse(p, 404, NULL, NULL, "there is no model \"%.100s\" in the list", page->id);
    if (page->is_back) {
        l->to = at;
        l->from = at > page->limit ? at - page->limit : 0;
    } else {
        l->from = page->id[0] != '\0' ? at + 1 : 0;
        l->to = l->n - l->from > page->limit ? l->from + page->limit : l->n;
    }
    return true;
}

static void reply_page(hg_exchange *x, const listing *l, bool is_back)
{
    const bool is_empty = l->from == l->to;
    hg_buf b = {0};
    hg_json_out o;

    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_begin(&o, "data", '[');
    for (size_t i = l->from; i < l->to; i++) put_model(&o, l->all[i]);
    hg_json_end(&o);
    hg_anthropic_page_end(&o, is_back ? l->from > 0 : l->to < l->n,
                          is_empty ? NULL : l->all[l->from]->id,
                          is_empty ? NULL : l->all[l->to - 1]->id);
    hg_json_end(&o);
    hg_reply_json(x, &hg_anthropic, &b);
}

static void list_models(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_anthropic_page page;
    listing l;
    hg_problem p;

    (void)rest;
    list_all(&l, s);
    if (hg_anthropic_page_read(&page, x, &p) && find_page(&l, &page, &p))
        reply_page(x, &l, page.is_back);
    else
        hg_answer_problem(x, &hg_anthropic, &p);
}

static void get_model(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_reply_model(s, x, rest, &hg_anthropic, put_model);
}

/* ---- answers ---- */
/* Tokens are told where stop strings were given: their text shows which of them was met. */
static void tell_token(hg_answer *a, hg_choice *c, const hg_token_report *t)
{
    (void)a;
    hg_buf_put(&c->room[0], t->text.p, t->text.n);
}

static const char *met_stop(const note *n, const hg_choice *c)
{
    const hg_bytes said = {c->room[0].p, c->room[0].n};
    const char *met = NULL;
    size_t first = said.n;

    for (size_t i = 0; i < n->n_stop && c->finish == HG_FINISH_STOP; i++) {
        const size_t len = strlen(n->stop[i]);
        for (size_t at = 0; at < first && at + len <= said.n; at++) {
            if (memcmp(said.p + at, n->stop[i], len) != 0) continue;
            first = at;
            met = n->stop[i];
        }
    }
    return met;
}

static const char *stop_reason(const note *n, const hg_choice *c)
{
    if (json_array_size(c->calls) > 0) return "tool_use";
    if (c->finish == HG_FINISH_LENGTH)
        return c->usage.completion_tokens < n->max_tokens ? "model_context_window_exceeded"
                                                          : "max_tokens";
    return met_stop(n, c) != NULL ? "stop_sequence" : "end_turn";
}

static void put_end(hg_json_out *o, const note *n, const hg_choice *c)
{
    hg_json_text(o, "stop_reason", c != NULL ? stop_reason(n, c) : NULL);
    hg_json_text(o, "stop_sequence", c != NULL ? met_stop(n, c) : NULL);
    hg_json_null(o, "stop_details");
    hg_json_null(o, "container");
}

static void put_usage(hg_json_out *o, size_t n_in, size_t n_out)
{
    hg_json_begin(o, "usage", '{');
    hg_json_int(o, "input_tokens", (int64_t)n_in);
    hg_json_int(o, "output_tokens", (int64_t)n_out);
    hg_json_int(o, "cache_creation_input_tokens", 0);
    hg_json_int(o, "cache_read_input_tokens", 0);
    hg_json_null(o, "cache_creation");
    hg_json_null(o, "inference_geo");
    hg_json_null(o, "output_tokens_details");
    hg_json_null(o, "server_tool_use");
    hg_json_text(o, "service_tier", "standard");
    hg_json_null(o, "speed");
    hg_json_end(o);
}

static void put_head(hg_json_out *o, const hg_answer *a)
{
    hg_json_text(o, "id", a->id);
    hg_json_text(o, "type", "message");
    hg_json_text(o, "role", "assistant");
    hg_json_text(o, "model", a->model->id);
    hg_json_begin(o, "content", '[');
}

static void put_text_block(hg_json_out *o, const char *key, hg_bytes text)
{
    hg_json_begin(o, key, '{');
    hg_json_text(o, "type", "text");
    hg_json_bytes(o, "text", text);
    hg_json_null(o, "citations");
    hg_json_end(o);
}

/* `is_begun`: its input follows. */
static void put_call_block(hg_json_out *o, const char *key, const hg_answer *a, size_t i,
                           bool is_begun)
{
    const json_t *call = json_array_get(a->choices[0].calls, i);
    hg_buf input = {0};
    hg_err e;

    hg_json_begin(o, key, '{');
    hg_json_text(o, "type", "tool_use");
    hg_put_call_id(o, "id", "toolu_");
    hg_json_text(o, "name", json_string_value(json_object_get(call, "name")));
    if (!is_begun) (void)hg_json_put_tree(&input, json_object_get(call, "arguments"), &e);
    hg_json_raw(o, "input", input.n > 0 ? (hg_bytes){input.p, input.n} : (hg_bytes){"{}", 2});
    hg_buf_free(&input);
    hg_json_begin(o, "caller", '{');
    hg_json_text(o, "type", "direct");
    hg_json_end(o);
    hg_json_end(o);
}

/* ---- events ---- */
static void open_event(hg_json_out *o, hg_buf *out, const char *type)
{
    hg_buf_puts(out, "event: ");
    hg_buf_puts(out, type);
    hg_buf_puts(out, "\ndata: ");
    hg_json_out_init(o, out, 0);
    hg_json_begin(o, NULL, '{');
    hg_json_text(o, "type", type);
}

static void close_event(hg_json_out *o)
{
    hg_json_end(o);
    hg_buf_puts(o->b, "\n\n");
}

static void tell_begin(hg_answer *a, hg_choice *c, hg_buf *out)
{
    hg_json_out o;

    (void)c;
    open_event(&o, out, "message_start");
    hg_json_begin(&o, "message", '{');
    put_head(&o, a);
    hg_json_end(&o);
    put_end(&o, a->note, NULL);
    hg_json_null(&o, "diagnostics");
    put_usage(&o, a->n_prompt_tokens, 1);
    hg_json_end(&o);
    close_event(&o);
}

static void open_block(hg_json_out *o, hg_buf *out, const note *n, const char *type)
{
    open_event(o, out, type);
    hg_json_int(o, "index", (int64_t)n->n_blocks);
}

static void put_delta(hg_buf *out, const note *n, const char *type, const char *key, hg_bytes text)
{
    hg_json_out o;

    open_block(&o, out, n, "content_block_delta");
    hg_json_begin(&o, "delta", '{');
    hg_json_text(&o, "type", type);
    hg_json_bytes(&o, key, text);
    hg_json_end(&o);
    close_event(&o);
}

static void end_block(hg_buf *out, note *n)
{
    hg_json_out o;

    open_block(&o, out, n, "content_block_stop");
    close_event(&o);
    n->n_blocks++;
}

static void tell_piece(hg_answer *a, hg_choice *c, hg_bytes text, hg_buf *out)
{
    note *n = a->note;
    hg_json_out o;

    (void)c;
    if (!n->is_open) {
        open_block(&o, out, n, "content_block_start");
        put_text_block(&o, "content_block", (hg_bytes){"", 0});
        close_event(&o);
        n->is_open = true;
    }
    put_delta(out, n, "text_delta", "text", text);
}

static void tell_call(hg_answer *a, size_t i, hg_buf *out)
{
    const json_t *call = json_array_get(a->choices[0].calls, i);
    note *n = a->note;
    hg_buf input = {0};
    hg_json_out o;
    hg_err e;

    open_block(&o, out, n, "content_block_start");
    put_call_block(&o, "content_block", a, i, true);
    close_event(&o);
    (void)hg_json_put_tree(&input, json_object_get(call, "arguments"), &e);
    put_delta(out, n, "input_json_delta", "partial_json",
              (hg_bytes){input.n > 0 ? input.p : "", input.n});
    hg_buf_free(&input);
    end_block(out, n);
}

static void tell_finish(hg_answer *a, hg_choice *c, hg_buf *out)
{
    note *n = a->note;
    hg_json_out o;

    if (n->is_open) end_block(out, n);
    for (size_t i = 0; i < json_array_size(c->calls); i++) tell_call(a, i, out);
    open_event(&o, out, "message_delta");
    hg_json_begin(&o, "delta", '{');
    put_end(&o, n, c);
    hg_json_end(&o);
    put_usage(&o, a->n_prompt_tokens, c->usage.completion_tokens);
    close_event(&o);
}

static void tell_end(hg_answer *a, hg_buf *out)
{
    hg_json_out o;

    (void)a;
    open_event(&o, out, "message_stop");
    close_event(&o);
}

static void tell_failure(hg_answer *a, const hg_problem *p, hg_buf *out)
{
    (void)a;
    hg_buf_puts(out, "event: error\ndata: ");
    put_problem(out, p);
    hg_buf_puts(out, "\n\n");
}

static void tell_whole(hg_answer *a, hg_buf *out)
{
    const hg_choice *c = &a->choices[0];
    const size_t n_calls = json_array_size(c->calls);
    const hg_bytes text = {c->text.n > 0 ? c->text.p : "", n_calls > 0 ? c->n_words : c->text.n};
    hg_json_out o;

    hg_json_out_init(&o, out, 0);
    hg_json_begin(&o, NULL, '{');
    put_head(&o, a);
    if (text.n > 0) put_text_block(&o, NULL, text);
    for (size_t i = 0; i < n_calls; i++) put_call_block(&o, NULL, a, i, false);
    hg_json_end(&o);
    put_end(&o, a->note, c);
    hg_json_null(&o, "diagnostics");
    put_usage(&o, a->n_prompt_tokens, c->usage.completion_tokens);
    hg_json_end(&o);
}

static const hg_teller teller = {.protocol = &hg_anthropic,
                                 .kind = HG_STREAM_EVENTS,
                                 .begin = tell_begin,
                                 .piece = tell_piece,
                                 .token = tell_token,
                                 .finish = tell_finish,
                                 .end = tell_end,
                                 .failure = tell_failure,
                                 .whole = tell_whole};

/* ---- questions ---- */
static bool check_version(const hg_exchange *x, bool *is_new, hg_problem *p)
{
    const char *v = hg_exchange_header(x, version_header);

    *is_new = v != NULL && strcmp(v, new_version) == 0;
    if (v == NULL) return hg_refuse(p, 400, NULL, NULL, "anthropic-version: header is required");
    return *is_new || strcmp(v, "2023-06-01") == 0 ||
           hg_refuse(p, 400, NULL, NULL,
                     "anthropic-version: this server speaks 2023-06-01 and 2026-10-21");
}

static bool copy_stops(note *n, const hg_openai_call *c, hg_arena *mem)
{
    const char **stop = HG_NEW(mem, const char *, HG_MAX_STOP);

    n->stop = stop;
    n->n_stop = c->n_stop;
    for (size_t i = 0; stop != NULL && i < c->n_stop; i++) {
        stop[i] = hg_arena_strndup(mem, c->stop[i], strlen(c->stop[i]));
        if (stop[i] == NULL) return false;
    }
    return stop != NULL;
}

static bool ask(hg_server *s, hg_exchange *x, hg_openai_call *c, hg_problem *p)
{
    hg_arena *mem = hg_exchange_memory(x);
    note *n = HG_NEW(mem, note, 1);
    const hg_card *m = hg_server_find(s, c->model);

    if (n == NULL || !copy_stops(n, c, mem))
        return hg_refuse(p, 500, NULL, NULL, "no room for the request");
    n->max_tokens = c->max_tokens;
    c->tells_tokens = c->n_stop > 0 && m != NULL && m->tells_tokens;
    const hg_asker by = {&teller, "msg_", n};
    return hg_openai_ask(s, x, c, &by, p);
}

static void create(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_openai_call c = {0};
    hg_problem p;
    bool is_new;

    (void)rest;
    if (!check_version(x, &is_new, &p) ||
        !hg_anthropic_parse(&c, hg_exchange_body(x), false, is_new, hg_exchange_memory(x), &p) ||
        !ask(s, x, &c, &p))
        hg_answer_problem(x, &hg_anthropic, &p);
    hg_openai_call_free(&c);
}

static void count(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_openai_call c = {0};
    hg_buf b = {0};
    hg_json_out o;
    hg_problem p;
    bool is_new;
    size_t n;

    (void)rest;
    if (!check_version(x, &is_new, &p) ||
        !hg_anthropic_parse(&c, hg_exchange_body(x), true, is_new, hg_exchange_memory(x), &p) ||
        !hg_openai_count(s, x, &c, &n, &p)) {
        hg_answer_problem(x, &hg_anthropic, &p);
    } else {
        hg_json_out_init(&o, &b, 0);
        hg_json_begin(&o, NULL, '{');
        hg_json_int(&o, "input_tokens", (int64_t)n);
        hg_json_end(&o);
        hg_reply_json(x, &hg_anthropic, &b);
    }
    hg_openai_call_free(&c);
}

static const hg_route routes[] = {{"GET", "/v1/models", list_models, false},
                                  {"GET", "/v1/models/", get_model, false},
                                  {"POST", "/v1/messages", create, false},
                                  {"POST", "/v1/messages/count_tokens", count, false},
                                  {NULL, NULL, NULL, false}};
const hg_protocol hg_anthropic = {.mounts = "anthropic",
                                  .routes = routes,
                                  .explain = explain,
                                  .claims = claims,
                                  .id_header = "request-id"};
