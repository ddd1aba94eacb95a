/* Anthropic's face of batches: the requests come with the request, the results are fetched line by
 * line from the address that the batch tells. */
#include "serve/batches/batches.h"
#include "base/clock.h"
#include "serve/anthropic/anthropic.h"
#include "serve/files/files.h"
#include "serve/openai/openai.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum { MAX_REQUESTS = 10000, MAX_CUSTOM_ID = 64 };
static const char version_header[] = "anthropic-version", prefix[] = "msgbatch_";

static void refuse(hg_exchange *x, const hg_problem *p)
{
    hg_answer_problem(x, &hg_anthropic_batches, p);
}

/* ---- how one is told ---- */
static void put_time(hg_json_out *o, const char *key, int64_t t)
{
    char text[32];

    if (t > 0) hg_iso_time(t, text);
    hg_json_text(o, key, t > 0 ? text : NULL);
}

/* On the host that the client asked. */
static void put_address(hg_json_out *o, const hg_server *s, const hg_exchange *x, const hg_batch *b)
{
    const char *host = hg_exchange_header(x, "Host"),
               *scheme = hg_exchange_header(x, "X-Forwarded-Proto");
    const bool is_safe = scheme != NULL && strcmp(scheme, "https") == 0;
    char url[512];

    if (host != NULL)
        (void)snprintf(url, sizeof url, "http%s://%.300s/v1/messages/batches/%s/results",
                       is_safe ? "s" : "", host, b->id);
    else
        (void)snprintf(url, sizeof url, "%s/v1/messages/batches/%s/results", hg_server_url(s),
                       b->id);
    hg_json_text(o, "results_url", b->ended > 0 ? url : NULL);
}

static bool put_counts(hg_json_out *o, hg_server *s, const hg_batch *b, hg_problem *p)
{
    int64_t canceled, expired;

    if (!hg_batches_count(hg_server_batches(s), b->n, HG_LINE_CANCELED, &canceled, p) ||
        !hg_batches_count(hg_server_batches(s), b->n, HG_LINE_EXPIRED, &expired, p))
        return false;
    hg_json_begin(o, "request_counts", '{');
    hg_json_int(o, "processing", b->n_lines - b->n_done - b->n_failed - canceled - expired);
    hg_json_int(o, "succeeded", b->n_done);
    hg_json_int(o, "errored", b->n_failed);
    hg_json_int(o, "canceled", canceled);
    hg_json_int(o, "expired", expired);
    hg_json_end(o);
    return true;
}

static bool put_batch(hg_json_out *o, hg_server *s, const hg_exchange *x, const hg_batch *b,
                      hg_problem *p)
{
    hg_json_begin(o, NULL, '{');
    hg_json_text(o, "id", b->id);
    hg_json_text(o, "type", "message_batch");
    hg_json_text(o, "processing_status",
                 b->ended > 0        ? "ended"
                 : b->cancelling > 0 ? "canceling"
                                     : "in_progress");
    if (!put_counts(o, s, b, p)) return false;
    put_time(o, "created_at", b->created);
    put_time(o, "expires_at", b->expires);
    put_time(o, "ended_at", b->ended);
    put_time(o, "archived_at", 0);
    put_time(o, "cancel_initiated_at", b->cancelling);
    put_address(o, s, x, b);
    hg_json_end(o);
    return true;
}

static bool get_batch(hg_server *s, hg_exchange *x, const char *id, hg_batch *b, hg_problem *p)
{
    return hg_batches_get(hg_server_batches(s), hg_exchange_owner(x), HG_BATCH_ANTHROPIC, id,
                          hg_exchange_memory(x), b, p);
}

static bool reply_batch(hg_server *s, hg_exchange *x, const char *id, hg_problem *p)
{
    hg_batch b;
    hg_buf buf = {0};
    hg_json_out o;

    hg_json_out_init(&o, &buf, 0);
    if (get_batch(s, x, id, &b, p) && put_batch(&o, s, x, &b, p)) {
        hg_reply_json(x, &hg_anthropic_batches, &buf);
        return true;
    }
    hg_buf_free(&buf);
    return false;
}

/* ---- making one ---- */
typedef struct request {
    json_t *body;
    hg_batch_line *lines; /* [n], in the exchange's memory */
    size_t n;
} request;

static bool bad_line(hg_problem *p, size_t i, const char *what)
{
    return hg_refuse(p, 400, NULL, NULL, "requests.%zu.%s", i, what);
}

static int by_id(const void *a, const void *b)
{
    const hg_bytes *x = a, *y = b;
    const int c = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);

    return c != 0 ? c : x->n < y->n ? -1 : x->n > y->n;
}

static bool check_unique(const request *r, hg_arena *mem, hg_problem *p)
{
    hg_bytes *ids = HG_NEW(mem, hg_bytes, r->n);

    if (ids == NULL) return hg_refuse(p, 500, NULL, NULL, "no room for the request");
    for (size_t i = 0; i < r->n; i++) ids[i] = r->lines[i].custom_id;
    qsort(ids, r->n, sizeof *ids, by_id);
    for (size_t i = 1; i < r->n; i++)
        if (by_id(&ids[i - 1], &ids[i]) == 0)
            return hg_refuse(p, 400, NULL, NULL, "requests: the custom_id %.*s is there twice",
                             (int)ids[i].n, ids[i].p);
    return true;
}

static bool read_line(const json_t *v, size_t i, hg_arena *mem, hg_batch_line *out, hg_problem *p)
{
    const json_t *id = json_object_get(v, "custom_id"), *params = json_object_get(v, "params");
    hg_buf text = {0};
    hg_err e;

    if (!json_is_string(id) || json_string_length(id) == 0 ||
        json_string_length(id) > MAX_CUSTOM_ID)
        return bad_line(p, i, "custom_id: must be a string of 1 to 64 bytes");
    if (!json_is_object(params)) return bad_line(p, i, "params: must be an object");
    if (json_is_true(json_object_get(params, "stream")))
        return bad_line(p, i, "params.stream: must be false: nobody reads along");
    const bool ok = hg_json_put_tree(&text, params, &e) == HG_OK;
    out->custom_id = (hg_bytes){json_string_value(id), json_string_length(id)};
    out->body = (hg_bytes){ok ? hg_arena_strndup(mem, text.p, text.n) : NULL, text.n};
    hg_buf_free(&text);
    return out->body.p != NULL || hg_refuse(p, 500, NULL, NULL, "no room for the request");
}

static bool read_request(request *r, hg_exchange *x, hg_problem *p)
{
    hg_arena *mem = hg_exchange_memory(x);

    if (!hg_body_parse(&r->body, hg_exchange_body(x), p)) return false;
    const json_t *list = json_object_get(r->body, "requests");
    r->n = json_array_size(list);
    if (!json_is_array(list) || r->n == 0 || r->n > MAX_REQUESTS)
        return hg_refuse(p, 400, NULL, NULL, "requests: an array of 1 to %d requests is needed",
                         MAX_REQUESTS);
    r->lines = HG_NEW(mem, hg_batch_line, r->n);
    if (r->lines == NULL) return hg_refuse(p, 500, NULL, NULL, "no room for the request");
    for (size_t i = 0; i < r->n; i++)
        if (!read_line(json_array_get(list, i), i, mem, &r->lines[i], p)) return false;
    return check_unique(r, mem, p);
}

/* Each line is judged by the version that the batch was given with. */
static bool read_version(const hg_exchange *x, hg_batch *b, hg_problem *p)
{
    const char *v = hg_exchange_header(x, version_header);

    if (v != NULL && (strcmp(v, "2023-06-01") == 0 || strcmp(v, "2026-10-21") == 0)) {
        (void)snprintf(b->version, sizeof b->version, "%s", v);
        return true;
    }
    return hg_refuse(p, 400, NULL, NULL,
                     v == NULL ? "anthropic-version: header is required"
                               : "anthropic-version: this server speaks 2023-06-01 and 2026-10-21");
}

static void create(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    const int64_t now = hg_unix_time();
    hg_batch b = {.vendor = HG_BATCH_ANTHROPIC,
                  .endpoint = "/v1/messages",
                  .status = "in_progress",
                  .metadata = {"null", 4},
                  .created = now,
                  .began = now,
                  .expires = now + HG_BATCH_WINDOW_S};
    char id[HG_BATCH_ID_ROOM];
    unsigned char noise[12];
    request r = {0};
    hg_problem p;

    (void)rest;
    randombytes_buf(noise, sizeof noise);
    memcpy(b.id, prefix, sizeof prefix);
    (void)sodium_bin2hex(b.id + sizeof prefix - 1, sizeof b.id - sizeof prefix + 1, noise,
                         sizeof noise);
    (void)snprintf(b.owner, sizeof b.owner, "%s", hg_exchange_owner(x));
    bool ok = read_version(x, &b, &p) && read_request(&r, x, &p);
    b.n_lines = (int64_t)r.n;
    if (!ok || !hg_batches_create(hg_server_batches(s), &b, r.lines, r.n, id, &p) ||
        !reply_batch(s, x, id, &p))
        refuse(x, &p);
    json_decref(r.body);
}

/* ---- results ---- */
/* They may be more than memory has, and a client reads them as slowly as it likes: they are written
 * into a file without a name, which is sent. */
typedef struct results {
    hg_buf text; /* of the lot that is being read */
    hg_file_draft *draft;
} results;

static void put_result(void *ctx, const hg_line_result *l)
{
    static const char *const words[] = {"canceled", "canceled", "succeeded",
                                        "errored",  "canceled", "expired"};
    results *r = ctx;
    hg_json_out o;

    hg_json_out_init(&o, &r->text, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_bytes(&o, "custom_id", l->custom_id);
    hg_json_begin(&o, "result", '{');
    hg_json_text(&o, "type", words[l->state]);
    if (l->state == HG_LINE_DONE) hg_json_raw(&o, "message", l->body);
    if (l->state == HG_LINE_FAILED) hg_json_raw(&o, "error", l->body);
    hg_json_end(&o);
    hg_json_end(&o);
    hg_buf_putc(&r->text, '\n');
}

static hg_status end_lot(void *ctx, hg_err *e)
{
    results *r = ctx;
    hg_status s = hg_buf_status(&r->text, e);

    if (s == HG_OK) s = hg_files_add(r->draft, (hg_bytes){r->text.p, r->text.n}, e);
    hg_buf_free(&r->text);
    return s;
}

static bool reply_results(hg_server *s, hg_exchange *x, const char *id, hg_problem *p)
{
    results r = {0};
    hg_batch b;
    hg_err e = {0};
    uint64_t n = 0;
    int fd = -1;

    if (!get_batch(s, x, id, &b, p)) return false;
    if (b.ended == 0)
        return hg_refuse(p, 404, NULL, NULL, "the batch %s has not ended; its results come then",
                         id);
    if (hg_files_begin(&r.draft, hg_server_files(s), NULL, &e) != HG_OK)
        return hg_refuse(p, 500, "store", NULL, "%s", e.msg);
    /* Deleted meanwhile, it would have lost lines on the way: a part is not told as the whole. */
    if (!hg_batches_results(hg_server_batches(s), b.n, put_result, end_lot, &r, p) ||
        !get_batch(s, x, id, &b, p)) {
        hg_files_drop(r.draft);
        hg_buf_free(&r.text);
        return false;
    }
    if (hg_files_take(r.draft, &fd, &n, &e) != HG_OK)
        return hg_refuse(p, 500, "store", NULL, "%s", e.msg);
    hg_exchange_reply_file(x, 200, "application/x-jsonl", fd, 0, n);
    return true;
}

/* ---- what is there ---- */
typedef struct listing {
    hg_server *s;
    hg_exchange *x;
    hg_buf buf;
    hg_anthropic_page page;
    size_t n;
    bool has_more;
    const hg_batch *all[HG_ANTHROPIC_MOST]; /* [n] */
} listing;

static bool take_next(void *ctx, const hg_batch *b)
{
    listing *l = ctx;

    hg_batch *copy = l->n < l->page.limit ? HG_NEW(hg_exchange_memory(l->x), hg_batch, 1) : NULL;
    l->has_more = copy == NULL;
    if (l->has_more) return false;
    *copy = *b;
    l->all[l->n++] = copy;
    return true;
}

/* The page's i-th: what comes before an id was read from there backwards. */
static const hg_batch *batch_at(const listing *l, size_t i)
{
    return l->all[l->page.is_back ? l->n - 1 - i : i];
}

static bool reply_list(listing *l, hg_problem *p)
{
    hg_json_out o;

    hg_json_out_init(&o, &l->buf, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_begin(&o, "data", '[');
    for (size_t i = 0; i < l->n; i++)
        if (!put_batch(&o, l->s, l->x, batch_at(l, i), p)) return false;
    hg_json_end(&o);
    hg_anthropic_page_end(&o, l->has_more, l->n > 0 ? batch_at(l, 0)->id : NULL,
                          l->n > 0 ? batch_at(l, l->n - 1)->id : NULL);
    hg_json_end(&o);
    hg_reply_json(l->x, &hg_anthropic_batches, &l->buf);
    return true;
}

static void list(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    listing l = {.s = s, .x = x};
    hg_problem p;

    (void)rest;
    if (hg_anthropic_page_read(&l.page, x, &p) &&
        hg_batches_list(hg_server_batches(s), hg_exchange_owner(x), HG_BATCH_ANTHROPIC,
                        l.page.id[0] != '\0' ? l.page.id : NULL, l.page.is_back,
                        hg_exchange_memory(x), take_next, &l, &p) &&
        reply_list(&l, &p))
        return;
    hg_buf_free(&l.buf);
    refuse(x, &p);
}

/* "ID" and what may stand behind it. */
static bool read_id(hg_bytes rest, const char *tail, char id[HG_BATCH_ID_ROOM])
{
    const size_t n_tail = strlen(tail);
    const size_t n = rest.n > n_tail ? rest.n - n_tail : 0;

    if (n == 0 || n >= HG_BATCH_ID_ROOM || memcmp(rest.p + n, tail, n_tail) != 0 ||
        memchr(rest.p, '/', n) != NULL)
        return false;
    memcpy(id, rest.p, n);
    id[n] = '\0';
    return true;
}

static bool nothing_there(hg_problem *p, hg_bytes rest)
{
    return hg_refuse(p, 404, NULL, NULL, "there is no batch \"%.*s\"",
                     (int)(rest.n < 100 ? rest.n : 100), rest.p);
}

static void get(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    char id[HG_BATCH_ID_ROOM];
    hg_problem p;
    bool ok;

    if (read_id(rest, "/results", id))
        ok = reply_results(s, x, id, &p);
    else
        ok = read_id(rest, "", id) ? reply_batch(s, x, id, &p) : nothing_there(&p, rest);
    if (!ok) refuse(x, &p);
}

static void cancel(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    char id[HG_BATCH_ID_ROOM];
    hg_problem p;

    bool ok = read_id(rest, "/cancel", id) || nothing_there(&p, rest);
    if (ok)
        ok = hg_batches_cancel(hg_server_batches(s), hg_exchange_owner(x), HG_BATCH_ANTHROPIC, id,
                               &p) &&
             reply_batch(s, x, id, &p);
    if (!ok) refuse(x, &p);
}

static void delete (hg_server *s, hg_exchange *x, hg_bytes rest)
{
    char id[HG_BATCH_ID_ROOM];
    hg_buf b = {0};
    hg_json_out o;
    hg_problem p;

    if (!(read_id(rest, "", id) || nothing_there(&p, rest)) ||
        !hg_batches_delete(hg_server_batches(s), hg_exchange_owner(x), HG_BATCH_ANTHROPIC, id,
                           &p)) {
        refuse(x, &p);
        return;
    }
    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_text(&o, "id", id);
    hg_json_text(&o, "type", "message_batch_deleted");
    hg_json_end(&o);
    hg_reply_json(x, &hg_anthropic_batches, &b);
}

static void explain(hg_buf *out, const hg_problem *p)
{
    hg_anthropic.explain(out, p);
}

static const hg_route routes[] = {{"POST", "/v1/messages/batches", create, HG_NEEDS_RUN},
                                  {"GET", "/v1/messages/batches", list, HG_NEEDS_RUN},
                                  {"GET", "/v1/messages/batches/", get, HG_NEEDS_RUN},
                                  {"POST", "/v1/messages/batches/", cancel, HG_NEEDS_RUN},
                                  {"DELETE", "/v1/messages/batches/", delete, HG_NEEDS_RUN},
                                  {NULL, NULL, NULL, HG_NEEDS_RUN}};
const hg_protocol hg_anthropic_batches = {
    .mounts = "anthropic", .routes = routes, .explain = explain, .id_header = "request-id"};
