/* How answers of the Responses API are told: as items, whole or as the events from which the
 * official client puts them together again. Ids of items follow from the response's own, so that
 * each event calls an item by the same name. */
#include "serve/openai/responses_tell.h"
#include "base/clock.h"

#include <stdio.h>
#include <string.h>

typedef hg_responses_note note;

/* Members that are told back as they were asked, and what counts when they were not given. */
static const struct {
    const char *key, *otherwise; /* JSON */
} echoed[HG_RESPONSES_ECHO] = {{"instructions", "null"},
                               {"max_output_tokens", "null"},
                               {"metadata", "{}"},
                               {"parallel_tool_calls", "true"},
                               {"previous_response_id", "null"},
                               {"reasoning", "{\"effort\":null,\"summary\":null}"},
                               {"text", "{\"format\":{\"type\":\"text\"}}"},
                               {"tool_choice", "\"auto\""},
                               {"tools", "[]"}};

enum { ID_SIZE = 96 };

/* Item i of an answer: "msg_" or "fc_" and what follows "resp_" in the answer's id. */
static const char *item_id(char out[ID_SIZE], const hg_answer *a, const char *prefix, size_t i)
{
    const note *n = a->note;

    (void)snprintf(out, ID_SIZE, "%s%.40s%02zu", prefix, n->id + strlen(HG_RESPONSES_PREFIX), i);
    return out;
}

/* What is said, without calls. */
static hg_bytes words_of(const hg_choice *c)
{
    const hg_buf *b = c->room[0].n > 0 ? &c->room[0] : &c->text;
    const size_t n = json_array_size(c->calls) > 0 && b == &c->text ? c->n_words : b->n;

    return (hg_bytes){n > 0 ? b->p : "", n};
}

/* ---- parts of a response ---- */
static void put_part(hg_json_out *o, const char *key, hg_bytes text)
{
    hg_json_begin(o, key, '{');
    hg_json_text(o, "type", "output_text");
    hg_json_bytes(o, "text", text);
    hg_json_begin(o, "annotations", '[');
    hg_json_end(o);
    hg_json_begin(o, "logprobs", '[');
    hg_json_end(o);
    hg_json_end(o);
}

/* The item of text; `text` NULL: it has only begun. */
static void put_message(hg_json_out *o, const char *key, const hg_answer *a, const char *status,
                        const hg_bytes *text)
{
    char id[ID_SIZE];

    hg_json_begin(o, key, '{');
    hg_json_text(o, "id", item_id(id, a, "msg_", 0));
    hg_json_text(o, "type", "message");
    hg_json_text(o, "status", status);
    hg_json_text(o, "role", "assistant");
    hg_json_begin(o, "content", '[');
    if (text != NULL) put_part(o, NULL, *text);
    hg_json_end(o);
    hg_json_end(o);
}

static const json_t *call_at(const hg_answer *a, size_t i)
{
    return json_array_get(a->choices[0].calls, i);
}

static const char *call_name(const hg_answer *a, size_t i)
{
    return json_string_value(json_object_get(call_at(a, i), "name"));
}

static void put_arguments(hg_json_out *o, const char *key, const hg_answer *a, size_t i)
{
    hg_buf text = {0};
    hg_err e;

    (void)hg_json_put_tree(&text, json_object_get(call_at(a, i), "arguments"), &e);
    hg_json_bytes(o, key, (hg_bytes){text.n > 0 ? text.p : "", text.n});
    hg_buf_free(&text);
}

static void put_call(hg_json_out *o, const char *key, const hg_answer *a, size_t i, bool is_begun)
{
    char id[ID_SIZE];

    hg_json_begin(o, key, '{');
    hg_json_text(o, "id", item_id(id, a, "fc_", i));
    hg_json_text(o, "type", "function_call");
    hg_json_text(o, "status", is_begun ? "in_progress" : "completed");
    hg_json_text(o, "call_id", item_id(id, a, "call_", i));
    hg_json_text(o, "name", call_name(a, i));
    if (is_begun)
        hg_json_text(o, "arguments", "");
    else
        put_arguments(o, "arguments", a, i);
    hg_json_end(o);
}

static void put_usage(hg_json_out *o, const hg_answer *a)
{
    const hg_usage u = hg_answer_usage(a);

    hg_json_begin(o, "usage", '{');
    hg_json_int(o, "input_tokens", u.prompt_tokens);
    hg_json_begin(o, "input_tokens_details", '{');
    hg_json_int(o, "cached_tokens", u.cached_tokens);
    hg_json_int(o, "cache_write_tokens", 0);
    hg_json_end(o);
    hg_json_int(o, "output_tokens", u.completion_tokens);
    hg_json_begin(o, "output_tokens_details", '{');
    hg_json_int(o, "reasoning_tokens", 0);
    hg_json_end(o);
    hg_json_int(o, "total_tokens", (int64_t)u.prompt_tokens + u.completion_tokens);
    hg_json_end(o);
}

static const char *status_of(const hg_choice *c)
{
    return c->finish == HG_FINISH_LENGTH ? "incomplete" : "completed";
}

/* Text comes first, even when there is none of it, unless there are calls. */
static void put_output(hg_json_out *o, const hg_answer *a)
{
    const hg_choice *c = &a->choices[0];
    const hg_bytes text = words_of(c);
    const size_t n_calls = json_array_size(c->calls);

    if (text.n > 0 || n_calls == 0) put_message(o, NULL, a, status_of(c), &text);
    for (size_t i = 0; i < n_calls; i++) put_call(o, NULL, a, i, false);
}

static void put_reasons(hg_json_out *o, const hg_choice *c, const hg_problem *why)
{
    if (why != NULL) {
        hg_json_begin(o, "error", '{');
        hg_json_text(o, "code", why->code != NULL ? why->code : "server_error");
        hg_json_text(o, "message", why->msg);
        hg_json_end(o);
    } else {
        hg_json_null(o, "error");
    }
    if (c != NULL && why == NULL && c->finish == HG_FINISH_LENGTH) {
        hg_json_begin(o, "incomplete_details", '{');
        hg_json_text(o, "reason", "max_output_tokens");
        hg_json_end(o);
    } else {
        hg_json_null(o, "incomplete_details");
    }
}

/* The response as it stands: of `status` while it has not ended (`a` may be NULL then), at its end
 * (`status` NULL), or failed (`why`). */
static void put_response(hg_json_out *o, const char *key, const note *n, const hg_answer *a,
                         const char *status, const hg_problem *why)
{
    const bool is_whole = status == NULL && why == NULL;
    const hg_choice *c = is_whole ? &a->choices[0] : NULL;

    hg_json_begin(o, key, '{');
    hg_json_text(o, "id", n->id);
    hg_json_text(o, "object", "response");
    hg_json_int(o, "created_at", n->created);
    if (is_whole)
        hg_json_int(o, "completed_at", hg_unix_time() > n->created ? hg_unix_time() : n->created);
    else
        hg_json_null(o, "completed_at");
    hg_json_text(o, "status", is_whole ? status_of(c) : why != NULL ? "failed" : status);
    hg_json_bool(o, "background", n->is_background);
    put_reasons(o, c, why);
    hg_json_text(o, "model", a != NULL ? a->model->id : n->model);
    for (size_t i = 0; i < HG_RESPONSES_ECHO; i++) hg_json_raw(o, echoed[i].key, n->echo[i]);
    hg_json_bool(o, "store", n->keeps);
    hg_json_number(o, "temperature", n->temperature);
    hg_json_number(o, "top_p", n->top_p);
    hg_json_text(o, "truncation", "disabled");
    hg_json_begin(o, "output", '[');
    if (is_whole) put_output(o, a);
    hg_json_end(o);
    if (is_whole)
        put_usage(o, a);
    else
        hg_json_null(o, "usage");
    hg_json_end(o);
}

void hg_responses_put_queued(hg_json_out *o, const char *key, const hg_responses_note *n)
{
    put_response(o, key, n, NULL, "queued", NULL);
}

/* ---- keeping ---- */
/* What the answer adds to the conversation, in chat's form. */
static json_t *turn_of(const hg_answer *a)
{
    const hg_bytes text = words_of(&a->choices[0]);
    const size_t n_calls = json_array_size(a->choices[0].calls);
    json_t *turn = json_pack("{s:s}", "role", "assistant"), *calls = json_array();
    char id[ID_SIZE];

    for (size_t i = 0; i < n_calls; i++) {
        hg_buf b = {0};
        hg_err e;
        (void)hg_json_put_tree(&b, json_object_get(call_at(a, i), "arguments"), &e);
        (void)json_array_append_new(calls, json_pack("{s:s, s:s, s:{s:s, s:s%}}", "id",
                                                     item_id(id, a, "call_", i), "type", "function",
                                                     "function", "name", call_name(a, i),
                                                     "arguments", b.n > 0 ? b.p : "", b.n));
        hg_buf_free(&b);
    }
    (void)json_object_set_new(
        turn, "content", n_calls > 0 && text.n == 0 ? json_null() : json_stringn(text.p, text.n));
    if (n_calls > 0) (void)json_object_set(turn, "tool_calls", calls);
    json_decref(calls);
    return turn;
}

/* The conversation and, where there is one, the answer behind it. */
static void put_talk(hg_buf *out, const hg_answer *a, bool has_answer)
{
    const note *n = a->note;
    hg_err e;

    hg_buf_put(out, n->talk.p, n->talk.n);
    if (!has_answer || out->failed) return;
    json_t *turn = turn_of(a);
    out->n--; /* the bracket: a conversation has a turn at the least */
    hg_buf_putc(out, ',');
    if (hg_json_put_tree(out, turn, &e) != HG_OK) out->failed = true;
    hg_buf_putc(out, ']');
    json_decref(turn);
}

/* Keeps the response `body`, before anybody hears that it has ended: whoever has read it may go on
 * with it. */
static bool keep(const hg_answer *a, hg_bytes body, const char *status)
{
    const note *n = a->note;
    hg_buf talk = {0};
    hg_err e;

    put_talk(&talk, a, strcmp(status, "failed") != 0);
    const hg_kept_card card = {.id = n->id,
                               .owner = hg_exchange_owner(a->x),
                               .kind = HG_KEPT_RESPONSE,
                               .model = a->model->id,
                               .status = status,
                               .created = n->created,
                               .is_background = n->is_background,
                               .body = body,
                               .input = n->input,
                               .talk = {talk.p, talk.n}};
    const bool ok =
        hg_buf_status(&talk, &e) == HG_OK && hg_keeper_put(n->keeper, &card, &e) == HG_OK;
    hg_buf_free(&talk);
    return ok;
}

/* The response at its end into `out`. When it cannot be kept it says so. */
static void put_final(hg_buf *out, hg_answer *a, const hg_problem *why)
{
    note *n = a->note;
    hg_json_out o;

    hg_json_out_init(&o, out, 0);
    put_response(&o, NULL, n, a, NULL, why);
    if (!n->keeps || out->failed) return;
    const char *status = why != NULL ? "failed" : status_of(&a->choices[0]);
    if (keep(a, (hg_bytes){out->p, out->n}, status)) return;
    n->keeps = false;
    hg_buf_clear(out);
    hg_json_out_init(&o, out, 0);
    put_response(&o, NULL, n, a, NULL, why);
}

/* ---- events ---- */
static void open_event(hg_json_out *o, hg_buf *out, const hg_answer *a, const char *type)
{
    note *n = a->note;

    hg_buf_puts(out, "event: ");
    hg_buf_puts(out, type);
    hg_buf_puts(out, "\ndata: ");
    hg_json_out_init(o, out, 0);
    hg_json_begin(o, NULL, '{');
    hg_json_text(o, "type", type);
    hg_json_int(o, "sequence_number", n->n_events++);
}

static void close_event(hg_json_out *o)
{
    hg_json_end(o);
    hg_buf_puts(o->b, "\n\n");
}

static void tell_state(hg_answer *a, hg_buf *out, const char *type)
{
    hg_json_out o;

    open_event(&o, out, a, type);
    put_response(&o, "response", a->note, a, "in_progress", NULL);
    close_event(&o);
}

static void tell_final(hg_answer *a, hg_buf *out, const char *type, const hg_problem *why)
{
    hg_buf body = {0};
    hg_json_out o;

    put_final(&body, a, why);
    open_event(&o, out, a, type);
    hg_json_raw(&o, "response", (hg_bytes){body.p, body.n});
    close_event(&o);
    hg_buf_free(&body);
}

/* An event of the item that is being told. */
static void open_item(hg_json_out *o, hg_buf *out, const hg_answer *a, const char *type,
                      const char *prefix, size_t i)
{
    const note *n = a->note;
    char id[ID_SIZE];

    open_event(o, out, a, type);
    hg_json_text(o, "item_id", item_id(id, a, prefix, i));
    hg_json_int(o, "output_index", (int64_t)n->n_items);
}

static void put_no_logprobs(hg_json_out *o)
{
    hg_json_begin(o, "logprobs", '[');
    hg_json_end(o);
}

static void begin_message(hg_answer *a, hg_buf *out)
{
    note *n = a->note;
    hg_json_out o;

    n->is_open = true;
    open_event(&o, out, a, "response.output_item.added");
    hg_json_int(&o, "output_index", (int64_t)n->n_items);
    put_message(&o, "item", a, "in_progress", NULL);
    close_event(&o);
    open_item(&o, out, a, "response.content_part.added", "msg_", 0);
    hg_json_int(&o, "content_index", 0);
    put_part(&o, "part", (hg_bytes){"", 0});
    close_event(&o);
}

static void end_message(hg_answer *a, const hg_choice *c, hg_buf *out)
{
    note *n = a->note;
    const hg_bytes text = words_of(c);
    hg_json_out o;

    open_item(&o, out, a, "response.output_text.done", "msg_", 0);
    hg_json_int(&o, "content_index", 0);
    hg_json_bytes(&o, "text", text);
    put_no_logprobs(&o);
    close_event(&o);
    open_item(&o, out, a, "response.content_part.done", "msg_", 0);
    hg_json_int(&o, "content_index", 0);
    put_part(&o, "part", text);
    close_event(&o);
    open_event(&o, out, a, "response.output_item.done");
    hg_json_int(&o, "output_index", (int64_t)n->n_items);
    put_message(&o, "item", a, status_of(c), &text);
    close_event(&o);
    n->n_items++;
}

static void tell_call(hg_answer *a, size_t i, hg_buf *out)
{
    note *n = a->note;
    hg_json_out o;

    open_event(&o, out, a, "response.output_item.added");
    hg_json_int(&o, "output_index", (int64_t)n->n_items);
    put_call(&o, "item", a, i, true);
    close_event(&o);
    open_item(&o, out, a, "response.function_call_arguments.delta", "fc_", i);
    put_arguments(&o, "delta", a, i);
    close_event(&o);
    open_item(&o, out, a, "response.function_call_arguments.done", "fc_", i);
    hg_json_text(&o, "name", call_name(a, i));
    put_arguments(&o, "arguments", a, i);
    close_event(&o);
    open_event(&o, out, a, "response.output_item.done");
    hg_json_int(&o, "output_index", (int64_t)n->n_items);
    put_call(&o, "item", a, i, false);
    close_event(&o);
    n->n_items++;
}

static void tell_begin(hg_answer *a, hg_choice *c, hg_buf *out)
{
    const note *n = a->note;

    (void)c;
    if (!n->is_background) tell_state(a, out, "response.created");
    tell_state(a, out, "response.in_progress");
}

static void tell_piece(hg_answer *a, hg_choice *c, hg_bytes text, hg_buf *out)
{
    const note *n = a->note;
    hg_json_out o;

    if (!n->is_open) begin_message(a, out);
    hg_buf_put(&c->room[0], text.p, text.n);
    open_item(&o, out, a, "response.output_text.delta", "msg_", 0);
    hg_json_int(&o, "content_index", 0);
    hg_json_bytes(&o, "delta", text);
    put_no_logprobs(&o);
    close_event(&o);
}

static void tell_finish(hg_answer *a, hg_choice *c, hg_buf *out)
{
    const note *n = a->note;
    const size_t n_calls = json_array_size(c->calls);

    if (!n->is_open && n_calls == 0) begin_message(a, out);
    if (n->is_open) end_message(a, c, out);
    for (size_t i = 0; i < n_calls; i++) tell_call(a, i, out);
}

static void tell_end(hg_answer *a, hg_buf *out)
{
    const bool is_cut = a->choices[0].finish == HG_FINISH_LENGTH;

    tell_final(a, out, is_cut ? "response.incomplete" : "response.completed", NULL);
}

/* Who asked in the background learns of a failure from the response. */
static void tell_failure(hg_answer *a, const hg_problem *p, hg_buf *out)
{
    const note *n = a->note;
    hg_json_out o;

    if (n->is_background) {
        tell_final(a, out, "response.failed", p);
        return;
    }
    open_event(&o, out, a, "error");
    hg_json_text(&o, "code", p->code != NULL ? p->code : "server_error");
    hg_json_text(&o, "message", p->msg);
    hg_json_text(&o, "param", p->param[0] != 0 ? p->param : NULL);
    close_event(&o);
}

static void tell_whole(hg_answer *a, hg_buf *out)
{
    put_final(out, a, NULL);
}

const hg_teller hg_responses_teller = {.protocol = &hg_responses,
                                       .kind = HG_STREAM_EVENTS,
                                       .begin = tell_begin,
                                       .piece = tell_piece,
                                       .finish = tell_finish,
                                       .end = tell_end,
                                       .failure = tell_failure,
                                       .whole = tell_whole};

bool hg_responses_note_echo(hg_responses_note *n, const json_t *body, hg_arena *mem)
{
    for (size_t i = 0; i < HG_RESPONSES_ECHO; i++) {
        const json_t *v = json_object_get(body, echoed[i].key);
        hg_buf b = {0};
        hg_err e;
        n->echo[i] = (hg_bytes){echoed[i].otherwise, strlen(echoed[i].otherwise)};
        if (v == NULL || json_is_null(v)) continue;
        const char *text = NULL;
        if (hg_json_put_tree(&b, v, &e) == HG_OK) text = hg_arena_strndup(mem, b.p, b.n);
        n->echo[i] = (hg_bytes){text, b.n};
        hg_buf_free(&b);
        if (text == NULL) return false;
    }
    return true;
}
