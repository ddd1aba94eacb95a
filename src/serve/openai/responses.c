/* OpenAI's Responses API: requests. They are chat's (responses_call.c), and so is all that answers
 * them; how they are told is in responses_tell.c, what becomes of those that are kept in
 * kept_calls.c, and who makes those in the background in background.c. */
#include "serve/openai/responses.h"
#include "serve/openai/responses_tell.h"
#include "base/clock.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

/* ---- what is kept of a request ---- */
static bool no_room(hg_problem *p)
{
    return hg_refuse(p, 500, NULL, NULL, "no room for the request");
}

/* The input as items, each with an id. */
static json_t *items_of(const json_t *input, const char *id)
{
    json_t *list = json_is_array(input) ? json_deep_copy(input) : json_array(), *item;
    char name[96];
    size_t i;

    if (json_is_string(input))
        (void)json_array_append_new(list, json_pack("{s:s, s:s, s:[{s:s, s:O}]}", "type", "message",
                                                    "role", "user", "content", "type", "input_text",
                                                    "text", input));
    json_array_foreach(list, i, item)
    {
        (void)snprintf(name, sizeof name, "msg_%.40si%02zu", id + strlen(HG_RESPONSES_PREFIX), i);
        if (!json_is_string(json_object_get(item, "id")))
            (void)json_object_set_new(item, "id", json_string(name));
        if (json_object_get(item, "type") == NULL)
            (void)json_object_set_new(item, "type", json_string("message"));
    }
    return list;
}

static hg_bytes text_of(const json_t *v, hg_arena *mem)
{
    hg_bytes out = {NULL, 0};
    hg_buf b = {0};
    hg_err e;

    if (v != NULL && hg_json_put_tree(&b, v, &e) == HG_OK)
        out = (hg_bytes){hg_arena_strndup(mem, b.p, b.n), b.n};
    hg_buf_free(&b);
    return out;
}

static void make_id(char out[HG_KEPT_ID_ROOM])
{
    unsigned char r[16];
    const size_t n = strlen(HG_RESPONSES_PREFIX);

    randombytes_buf(r, sizeof r);
    memcpy(out, HG_RESPONSES_PREFIX, n);
    (void)sodium_bin2hex(out + n, HG_KEPT_ID_ROOM - n, r, sizeof r);
}

/* The id of the response that a request from within is to make; NULL: it is a client's. */
static const char *asked_from_within(const hg_exchange *x)
{
    return hg_exchange_is_inside(x) ? hg_exchange_header(x, HG_BACKGROUND_FIELD) : NULL;
}

static hg_responses_note *make_note(hg_server *s, hg_exchange *x, const hg_responses_call *c,
                                    hg_problem *p)
{
    hg_arena *mem = hg_exchange_memory(x);
    hg_responses_note *n = HG_NEW(mem, hg_responses_note, 1);
    const char *within = asked_from_within(x);
    hg_kept_card queued;

    if (n == NULL || !hg_responses_note_echo(n, c->body, mem)) return (void)no_room(p), NULL;
    n->keeper = hg_server_keeper(s);
    n->created = hg_unix_time();
    n->temperature = (double)c->chat.sampling.temperature;
    n->top_p = (double)c->chat.sampling.top_p;
    n->keeps = c->store;
    n->is_background = c->is_background;
    make_id(n->id);
    if (within != NULL) {
        if (!hg_keeper_get(n->keeper, hg_exchange_owner(x), HG_KEPT_RESPONSE, within, mem, &queued,
                           p))
            return NULL;
        (void)snprintf(n->id, sizeof n->id, "%s", within);
        n->created = queued.created;
        n->n_events = 2;
    }
    if (!n->keeps) return n;
    json_t *items = items_of(json_object_get(c->body, "input"), n->id);
    n->input = text_of(items, mem);
    n->talk = text_of(c->messages, mem);
    json_decref(items);
    return n->input.p != NULL && n->talk.p != NULL ? n : ((void)no_room(p), NULL);
}

/* ---- questions ---- */
static bool ask(hg_server *s, hg_exchange *x, const hg_responses_call *c, hg_problem *p)
{
    hg_responses_note *n = make_note(s, x, c, p);
    const hg_asker by = {&hg_responses_teller, HG_RESPONSES_PREFIX, n};

    return n != NULL && hg_openai_ask(s, x, &c->chat, &by, p);
}

static void put_first_events(hg_buf *out, const hg_responses_note *n)
{
    static const char *const types[] = {"response.created", "response.queued"};
    hg_json_out o;

    for (int i = 0; i < 2; i++) {
        hg_buf_printf(out, "event: %s\ndata: ", types[i]);
        hg_json_out_init(&o, out, 0);
        hg_json_begin(&o, NULL, '{');
        hg_json_text(&o, "type", types[i]);
        hg_json_int(&o, "sequence_number", i);
        hg_responses_put_queued(&o, "response", n);
        hg_json_end(&o);
        hg_buf_puts(out, "\n\n");
    }
}

/* Keeps it as queued and lets a request from within, which streams, do the work. What could never
 * be answered is refused now: nobody wants to fetch later what he could have been told at once. */
static bool start_later(hg_server *s, hg_exchange *x, const hg_responses_call *c, hg_problem *p)
{
    if (!hg_openai_check(s, x, &c->chat, p)) return false;
    const hg_card *m = hg_server_find(s, c->chat.model);
    hg_responses_note *n = m != NULL ? make_note(s, x, c, p) : NULL;
    hg_buf events = {0}, body = {0};
    hg_json_out o;

    if (m == NULL) return hg_no_model(p, s, c->chat.model);
    if (n == NULL) return false;
    n->model = m->id;
    put_first_events(&events, n);
    hg_json_out_init(&o, &body, 0);
    hg_responses_put_queued(&o, NULL, n);
    json_t *request = json_copy(c->body);
    (void)json_object_set_new(request, "stream", json_true());
    const hg_bytes text = text_of(request, hg_exchange_memory(x));
    json_decref(request);
    const hg_kept_card queued = {.id = n->id,
                                 .owner = hg_exchange_owner(x),
                                 .kind = HG_KEPT_RESPONSE,
                                 .model = m->id,
                                 .status = "queued",
                                 .created = n->created,
                                 .is_background = true,
                                 .body = {body.p, body.n},
                                 .input = n->input,
                                 .talk = n->talk,
                                 .events = {events.p, events.n}};
    const bool has_room = text.p != NULL && !body.failed && !events.failed;
    const bool ok =
        has_room ? hg_background_start(n->keeper, &queued, text, c->chat.stream ? x : NULL, p)
                 : no_room(p);
    if (ok && !c->chat.stream)
        hg_exchange_reply(x, 200, "application/json", (hg_bytes){body.p, body.n});
    hg_buf_free(&body);
    hg_buf_free(&events);
    return ok;
}

/* The conversation that the request goes on with. */
static bool read_before(hg_server *s, hg_exchange *x, hg_bytes id, json_t **out, hg_problem *p)
{
    hg_arena *mem = hg_exchange_memory(x);
    const char *name = hg_arena_strndup(mem, id.p, id.n);
    hg_kept_card c;
    hg_err e;

    if (name == NULL) return no_room(p);
    if (!hg_keeper_get(hg_server_keeper(s), hg_exchange_owner(x), HG_KEPT_RESPONSE, name, mem, &c,
                       p)) {
        if (p->status != 404) return false;
        return hg_refuse(p, 400, "previous_response_not_found", "previous_response_id",
                         "no response \"%.60s\" is kept to go on with", name);
    }
    if (strcmp(c.status, "completed") != 0 && strcmp(c.status, "incomplete") != 0)
        return hg_refuse(p, 400, "previous_response_not_finished", "previous_response_id",
                         "the response %s has no answer to go on with: it is %s", c.id, c.status);
    return hg_json_parse(out, c.talk, c.talk.n, &e) == HG_OK ||
           hg_refuse(p, 500, "store", NULL, "%s", e.msg);
}

static bool read_call(hg_server *s, hg_exchange *x, hg_responses_call *c, hg_problem *p)
{
    json_t *before = NULL;

    if (!hg_responses_read(c, hg_exchange_body(x), p)) return false;
    if (c->previous.n > 0 && !read_before(s, x, c->previous, &before, p)) return false;
    const bool ok = hg_responses_parse(c, before, hg_exchange_memory(x), p);
    json_decref(before);
    return ok;
}

static void refuse(hg_exchange *x, hg_problem *p)
{
    hg_responses_rename(p);
    hg_answer_problem(x, &hg_responses, p);
}

static void create(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_responses_call c;
    hg_problem p;

    (void)rest;
    const bool is_read = read_call(s, x, &c, &p);
    const bool is_later = is_read && c.is_background && asked_from_within(x) == NULL;
    if (!is_read || !(is_later ? start_later(s, x, &c, &p) : ask(s, x, &c, &p))) refuse(x, &p);
    hg_responses_call_free(&c);
}

static void count(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_responses_call c;
    hg_buf b = {0};
    hg_json_out o;
    hg_problem p;
    size_t n;

    (void)rest;
    if (!read_call(s, x, &c, &p) || !hg_openai_count(s, x, &c.chat, &n, &p)) {
        refuse(x, &p);
    } else {
        hg_json_out_init(&o, &b, 0);
        hg_json_begin(&o, NULL, '{');
        hg_json_text(&o, "object", "response.input_tokens");
        hg_json_int(&o, "input_tokens", (int64_t)n);
        hg_json_end(&o);
        hg_reply_json(x, &hg_responses, &b);
    }
    hg_responses_call_free(&c);
}

static void explain(hg_buf *out, const hg_problem *p)
{
    hg_openai.explain(out, p);
}

static const hg_route routes[] = {{"POST", "/v1/responses", create, false},
                                  {"POST", "/v1/responses/input_tokens", count, false},
                                  {NULL, NULL, NULL, false}};
const hg_protocol hg_responses = {.mounts = "openai", .routes = routes, .explain = explain};
