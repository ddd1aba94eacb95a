/* What OpenAI's clients ask of answers that are kept: responses (fetched, read along, ended,
 * deleted, their input listed) and chat completions (listed, fetched, their messages, their
 * metadata, deleted). */
#include "serve/openai/kept.h"
#include "serve/openai/openai.h"
#include "serve/openai/page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void refuse(hg_exchange *x, const hg_problem *p)
{
    hg_answer_problem(x, &hg_kept, p);
}

static void reply(hg_exchange *x, hg_bytes json)
{
    hg_exchange_reply(x, 200, "application/json", json);
}

/* "ID" or "ID/verb"; false and *p: something else is behind it. */
typedef struct target {
    char id[HG_KEPT_ID_ROOM];
    bool has_verb;
} target;

static bool read_target(target *t, hg_bytes rest, const char *verb, hg_problem *p)
{
    const char *slash = memchr(rest.p, '/', rest.n);
    const size_t n = slash != NULL ? (size_t)(slash - rest.p) : rest.n;
    const hg_bytes tail = {slash != NULL ? slash + 1 : "", slash != NULL ? rest.n - n - 1 : 0};

    t->has_verb = slash != NULL;
    if (n < sizeof t->id && (slash == NULL || (verb != NULL && tail.n == strlen(verb) &&
                                               memcmp(tail.p, verb, tail.n) == 0))) {
        memcpy(t->id, rest.p, n);
        t->id[n] = 0;
        return true;
    }
    return hg_refuse(p, 404, "not_found", NULL, "nothing is at \"%.*s\"",
                     (int)(rest.n < 100 ? rest.n : 100), rest.p);
}

static void reply_deleted(hg_exchange *x, const char *id, const char *object)
{
    hg_buf b = {0};
    hg_json_out o;

    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_text(&o, "id", id);
    hg_json_text(&o, "object", object);
    hg_json_bool(&o, "deleted", true);
    hg_json_end(&o);
    hg_reply_json(x, &hg_kept, &b);
}

/* ---- responses ---- */
static bool get_response(hg_server *s, hg_exchange *x, const char *id, hg_kept_card *c,
                         hg_problem *p)
{
    return hg_keeper_get(hg_server_keeper(s), hg_exchange_owner(x), HG_KEPT_RESPONSE, id,
                         hg_exchange_memory(x), c, p);
}

/* Its body; of one that is being made, how far it is. */
static bool reply_response(hg_server *s, hg_exchange *x, const hg_kept_card *c, hg_problem *p)
{
    bool is_begun = false;
    hg_kept_card now = *c;
    hg_buf b = {0};
    hg_err e;

    /* One that is queued and not being made has ended since it was read. */
    if (strcmp(c->status, "queued") == 0 &&
        !hg_background_runs(hg_server_keeper(s), c->owner, c->id, &is_begun) &&
        !get_response(s, x, c->id, &now, p))
        return false;
    if (is_begun && hg_kept_restate(&b, c->body, "in_progress", NULL, NULL, &e) == HG_OK)
        reply(x, (hg_bytes){b.p, b.n});
    else
        reply(x, now.body);
    hg_buf_free(&b);
    return true;
}

static bool read_after(const hg_exchange *x, int64_t *after, hg_problem *p)
{
    const char *v = hg_exchange_query(x, "starting_after");
    char *end = NULL;

    *after = -1;
    if (v == NULL) return true;
    const long long n = strtoll(v, &end, 10);
    if (end == v || *end != 0 || n < 0 || n > INT32_MAX)
        return hg_refuse(p, 400, "invalid_value", "starting_after",
                         "starting_after must be the sequence_number of an event");
    *after = n;
    return true;
}

static bool replay(hg_server *s, hg_exchange *x, const hg_kept_card *c, hg_problem *p)
{
    int64_t after;
    hg_kept_card now;

    if (!read_after(x, &after, p)) return false;
    if (!c->is_background)
        return hg_refuse(p, 400, "invalid_value", "stream",
                         "stream: only responses that were made in the background are told as "
                         "events again");
    if (hg_background_follow(hg_server_keeper(s), c->owner, c->id, after, x)) return true;
    /* It may have ended since it was read. */
    if (!get_response(s, x, c->id, &now, p)) return false;
    hg_buf b = {0};
    hg_events_replay(&b, &now, after);
    const bool ok = !b.failed || hg_refuse(p, 500, NULL, NULL, "no room for the events");
    if (ok) {
        hg_exchange_add_header(x, "Cache-Control", "no-store");
        hg_exchange_reply(x, 200, "text/event-stream; charset=utf-8",
                          (hg_bytes){b.n > 0 ? b.p : "", b.n});
    }
    hg_buf_free(&b);
    return ok;
}

static bool list_items(hg_exchange *x, const hg_kept_card *c, hg_problem *p)
{
    json_t *items = NULL;
    hg_page page;
    hg_err e;
    bool is_behind, goes_on = true;

    if (!hg_page_read(&page, x, 20, true, p)) return false;
    is_behind = page.after == NULL;
    if (hg_json_parse(&items, c->input, c->input.n, &e) != HG_OK) items = json_array();
    const size_t n = json_array_size(items);
    for (size_t i = 0; i < n && goes_on; i++) {
        const json_t *item = json_array_get(items, page.is_newest_first ? n - 1 - i : i);
        const char *id = json_string_value(json_object_get(item, "id"));
        hg_buf b = {0};
        if (is_behind && hg_json_put_tree(&b, item, &e) == HG_OK)
            goes_on = hg_page_put(&page, id, (hg_bytes){b.p, b.n});
        hg_buf_free(&b);
        is_behind = is_behind || strcmp(id, page.after) == 0;
    }
    json_decref(items);
    if (is_behind) {
        hg_page_reply(&page, x, &hg_kept);
        return true;
    }
    hg_page_free(&page);
    return hg_refuse(p, 404, "not_found", "after", "the input has no item \"%.60s\"", page.after);
}

static void send_response(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    const char *stream = hg_exchange_query(x, "stream");
    const bool streams = stream != NULL && strcmp(stream, "true") == 0;
    hg_kept_card c;
    hg_problem p;
    target t;

    bool ok = read_target(&t, rest, "input_items", &p) && get_response(s, x, t.id, &c, &p);
    if (ok && t.has_verb)
        ok = list_items(x, &c, &p);
    else if (ok && streams)
        ok = replay(s, x, &c, &p);
    else if (ok)
        ok = reply_response(s, x, &c, &p);
    if (!ok) refuse(x, &p);
}

static void delete_response(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_keeper *k = hg_server_keeper(s);
    const char *owner = hg_exchange_owner(x);
    hg_problem p;
    target t;

    if (!read_target(&t, rest, NULL, &p) ||
        !hg_keeper_delete(k, owner, HG_KEPT_RESPONSE, t.id, &p)) {
        refuse(x, &p);
        return;
    }
    (void)hg_background_cancel(k, owner, t.id);
    reply_deleted(x, t.id, "response");
}

/* One that has ended is told as it is, as often as it is asked. */
static void cancel_response(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_kept_card c;
    hg_problem p;
    target t;

    bool ok = read_target(&t, rest, "cancel", &p);
    if (ok && !t.has_verb)
        ok = hg_refuse(&p, 404, "not_found", NULL, "a response is ended at its /cancel");
    if (ok) ok = get_response(s, x, t.id, &c, &p);
    if (ok && !c.is_background)
        ok = hg_refuse(&p, 400, "invalid_value", NULL,
                       "the response %s was not made in the background; only those are canceled",
                       t.id);
    if (ok && strcmp(c.status, "queued") == 0) {
        /* By this, or by itself since it was read: it has ended. */
        (void)hg_background_cancel(hg_server_keeper(s), c.owner, t.id);
        ok = get_response(s, x, t.id, &c, &p);
    }
    if (ok)
        reply(x, c.body);
    else
        refuse(x, &p);
}

/* ---- chat completions ---- */
typedef struct filter {
    hg_page page;
    const char *model; /* decoded; NULL: any */
    const hg_exchange *x;
} filter;

/* Every argument metadata[key]=value must be met. */
static bool has_metadata(const json_t *body, const hg_exchange *x)
{
    const json_t *metadata = json_object_get(body, "metadata");
    const char *raw_name, *raw_value;
    char name[128], value[1600];

    for (size_t i = 0; hg_exchange_argument(x, i, &raw_name, &raw_value); i++) {
        const size_t n =
            hg_path_decode((hg_bytes){raw_name, strlen(raw_name)}, name, sizeof name - 1).n;
        name[n] = 0;
        if (n < 11 || strncmp(name, "metadata[", 9) != 0 || name[n - 1] != ']') continue;
        name[n - 1] = 0;
        value[hg_path_decode((hg_bytes){raw_value, strlen(raw_value)}, value, sizeof value - 1).n] =
            0;
        const char *has = json_string_value(json_object_get(metadata, name + 9));
        if (has == NULL || strcmp(has, value) != 0) return false;
    }
    return true;
}

static bool put_chat(void *ctx, hg_bytes body)
{
    filter *f = ctx;
    json_t *v = NULL;
    bool goes_on = true;
    hg_err e;

    if (hg_json_parse(&v, body, body.n, &e) != HG_OK) return true;
    const char *model = json_string_value(json_object_get(v, "model"));
    const char *id = json_string_value(json_object_get(v, "id"));
    if (id != NULL && (f->model == NULL || (model != NULL && strcmp(model, f->model) == 0)) &&
        has_metadata(v, f->x))
        goes_on = hg_page_put(&f->page, id, body);
    json_decref(v);
    return goes_on;
}

static void list_chats(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    const char *model = hg_exchange_query(x, "model");
    char name[256];
    filter f = {.x = x};
    hg_problem p;

    (void)rest;
    if (!hg_page_read(&f.page, x, 20, false, &p)) {
        refuse(x, &p);
        return;
    }
    if (model != NULL) {
        name[hg_path_decode((hg_bytes){model, strlen(model)}, name, sizeof name - 1).n] = 0;
        f.model = name;
    }
    if (hg_keeper_list(hg_server_keeper(s), hg_exchange_owner(x), HG_KEPT_CHAT, f.page.after,
                       f.page.is_newest_first, put_chat, &f, &p)) {
        hg_page_reply(&f.page, x, &hg_kept);
        return;
    }
    hg_page_free(&f.page);
    refuse(x, &p);
}

static bool get_chat(hg_server *s, hg_exchange *x, const char *id, hg_kept_card *c, hg_problem *p)
{
    return hg_keeper_get(hg_server_keeper(s), hg_exchange_owner(x), HG_KEPT_CHAT, id,
                         hg_exchange_memory(x), c, p);
}

static bool list_messages(hg_exchange *x, const hg_kept_card *c, hg_problem *p)
{
    json_t *list = NULL;
    hg_page page;
    hg_err e;
    char id[64];
    bool is_behind, goes_on = true;

    if (!hg_page_read(&page, x, 20, false, p)) return false;
    is_behind = page.after == NULL;
    if (hg_json_parse(&list, c->input, c->input.n, &e) != HG_OK) list = json_array();
    const size_t n = json_array_size(list);
    for (size_t i = 0; i < n && goes_on; i++) {
        const size_t at = page.is_newest_first ? n - 1 - i : i;
        json_t *m = json_array_get(list, at);
        hg_buf b = {0};
        (void)snprintf(id, sizeof id, "%s-%zu", c->id, at);
        (void)json_object_set_new(m, "id", json_string(id));
        if (is_behind && hg_json_put_tree(&b, m, &e) == HG_OK)
            goes_on = hg_page_put(&page, id, (hg_bytes){b.p, b.n});
        hg_buf_free(&b);
        is_behind = is_behind || strcmp(id, page.after) == 0;
    }
    json_decref(list);
    if (is_behind) {
        hg_page_reply(&page, x, &hg_kept);
        return true;
    }
    hg_page_free(&page);
    return hg_refuse(p, 404, "not_found", "after", "there is no message \"%.60s\"", page.after);
}

static void send_chat(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_kept_card c;
    hg_problem p;
    target t;

    bool ok = read_target(&t, rest, "messages", &p) && get_chat(s, x, t.id, &c, &p);
    if (ok && t.has_verb)
        ok = list_messages(x, &c, &p);
    else if (ok)
        reply(x, c.body);
    if (!ok) refuse(x, &p);
}

static bool set_metadata(hg_server *s, hg_exchange *x, const json_t *request, const char *id,
                         hg_problem *p)
{
    const json_t *metadata;
    json_t *body = NULL;
    hg_kept_card c;
    hg_buf b = {0};
    hg_err e;

    if (!hg_openai_metadata(request, &metadata, p)) return false;
    if (metadata == NULL)
        return hg_refuse(p, 400, "missing_required_parameter", "metadata",
                         "metadata must be an object of strings");
    if (!get_chat(s, x, id, &c, p)) return false;
    bool ok = hg_json_parse(&body, c.body, c.body.n, &e) == HG_OK;
    if (ok) (void)json_object_set_new(body, "metadata", json_deep_copy(metadata));
    if (ok) ok = hg_json_put_tree(&b, body, &e) == HG_OK;
    json_decref(body);
    if (!ok) (void)hg_refuse(p, 500, "store", NULL, "%s", e.msg);
    if (ok) ok = hg_keeper_set_body(hg_server_keeper(s), c.owner, id, (hg_bytes){b.p, b.n}, p);
    if (ok) reply(x, (hg_bytes){b.p, b.n});
    hg_buf_free(&b);
    return ok;
}

static void change_chat(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    json_t *request = NULL;
    hg_problem p;
    target t;

    if (!read_target(&t, rest, NULL, &p) || !hg_body_parse(&request, hg_exchange_body(x), &p) ||
        !set_metadata(s, x, request, t.id, &p))
        refuse(x, &p);
    json_decref(request);
}

static void delete_chat(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_problem p;
    target t;

    if (read_target(&t, rest, NULL, &p) &&
        hg_keeper_delete(hg_server_keeper(s), hg_exchange_owner(x), HG_KEPT_CHAT, t.id, &p))
        reply_deleted(x, t.id, "chat.completion.deleted");
    else
        refuse(x, &p);
}

static void explain(hg_buf *out, const hg_problem *p)
{
    hg_openai.explain(out, p);
}

static const hg_route routes[] = {{"GET", "/v1/responses/", send_response, HG_NEEDS_RUN},
                                  {"DELETE", "/v1/responses/", delete_response, HG_NEEDS_RUN},
                                  {"POST", "/v1/responses/", cancel_response, HG_NEEDS_RUN},
                                  {"GET", "/v1/chat/completions", list_chats, HG_NEEDS_RUN},
                                  {"GET", "/v1/chat/completions/", send_chat, HG_NEEDS_RUN},
                                  {"POST", "/v1/chat/completions/", change_chat, HG_NEEDS_RUN},
                                  {"DELETE", "/v1/chat/completions/", delete_chat, HG_NEEDS_RUN},
                                  {NULL, NULL, NULL, HG_NEEDS_RUN}};
const hg_protocol hg_kept = {.mounts = "openai", .routes = routes, .explain = explain};
