/* OpenAI's face of batches. */
#include "serve/batches/batches.h"
#include "base/clock.h"
#include "serve/files/files_call.h"
#include "serve/openai/openai.h"
#include "serve/openai/page.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

static const char *const endpoints[] = {"/v1/chat/completions", "/v1/completions", "/v1/embeddings",
                                        "/v1/responses", "/v1/moderations"};

static void refuse(hg_exchange *x, const hg_problem *p)
{
    hg_answer_problem(x, &hg_openai_batches, p);
}

/* ---- how one is told ---- */
static void put_time(hg_json_out *o, const char *key, int64_t t)
{
    if (t > 0)
        hg_json_int(o, key, t);
    else
        hg_json_null(o, key);
}

/* When it ended in that way. */
static void put_end(hg_json_out *o, const char *key, const hg_batch *b, const char *status)
{
    put_time(o, key, strcmp(b->status, status) == 0 ? b->ended : 0);
}

static void put_name(hg_json_out *o, const char *key, const char *v)
{
    hg_json_text(o, key, v[0] != '\0' ? v : NULL);
}

static void put_batch(hg_json_out *o, const hg_batch *b)
{
    hg_json_begin(o, NULL, '{');
    hg_json_text(o, "id", b->id);
    hg_json_text(o, "object", "batch");
    hg_json_text(o, "endpoint", b->endpoint);
    if (b->errors.n > 0)
        hg_json_raw(o, "errors", b->errors);
    else
        hg_json_null(o, "errors");
    put_name(o, "input_file_id", b->input_file);
    hg_json_text(o, "completion_window", "24h");
    hg_json_text(o, "status", b->status);
    put_name(o, "output_file_id", b->output_file);
    put_name(o, "error_file_id", b->error_file);
    hg_json_int(o, "created_at", b->created);
    put_time(o, "in_progress_at", b->began);
    put_time(o, "expires_at", b->expires);
    put_time(o, "finalizing_at", b->finalizing);
    put_end(o, "completed_at", b, "completed");
    put_end(o, "failed_at", b, "failed");
    put_end(o, "expired_at", b, "expired");
    put_time(o, "cancelling_at", b->cancelling);
    put_end(o, "cancelled_at", b, "cancelled");
    hg_json_begin(o, "request_counts", '{');
    hg_json_int(o, "total", b->n_lines);
    hg_json_int(o, "completed", b->n_done);
    hg_json_int(o, "failed", b->n_failed);
    hg_json_end(o);
    hg_json_raw(o, "metadata", b->metadata);
    hg_json_end(o);
}

static void reply_batch(hg_server *s, hg_exchange *x, const char *id)
{
    hg_batch b;
    hg_buf buf = {0};
    hg_json_out o;
    hg_problem p;

    if (!hg_batches_get(hg_server_batches(s), hg_exchange_owner(x), HG_BATCH_OPENAI, id,
                        hg_exchange_memory(x), &b, &p)) {
        refuse(x, &p);
        return;
    }
    hg_json_out_init(&o, &buf, 0);
    put_batch(&o, &b);
    hg_reply_json(x, &hg_openai_batches, &buf);
}

/* ---- making one ---- */
static bool read_file(hg_server *s, hg_exchange *x, const json_t *body, hg_batch *b, hg_problem *p)
{
    const char *id = json_string_value(json_object_get(body, "input_file_id"));
    hg_file file;
    hg_err e = {0};

    if (id == NULL)
        return hg_refuse(p, 400, "missing_required_parameter", "input_file_id",
                         "input_file_id must be the id of a file with the purpose batch");
    if (hg_files_get(hg_server_files(s), b->owner, id, hg_exchange_memory(x), &file, &e) != HG_OK)
        return hg_files_refuse(p, &e, "input_file_id");
    if (strcmp(file.purpose, "batch") != 0)
        return hg_refuse(p, 400, "invalid_value", "input_file_id",
                         "input_file_id: the file has the purpose %s; batch is what is needed",
                         file.purpose);
    (void)snprintf(b->input_file, sizeof b->input_file, "%s", file.id);
    return true;
}

static bool read_endpoint(const json_t *body, hg_batch *b, hg_problem *p)
{
    const char *v = json_string_value(json_object_get(body, "endpoint"));

    for (size_t i = 0; v != NULL && i < sizeof endpoints / sizeof *endpoints; i++)
        if (strcmp(v, endpoints[i]) == 0) (void)snprintf(b->endpoint, sizeof b->endpoint, "%s", v);
    return b->endpoint[0] != '\0' ||
           hg_refuse(p, 400, v == NULL ? "missing_required_parameter" : "invalid_value", "endpoint",
                     "endpoint must be /v1/chat/completions, /v1/completions, /v1/embeddings, "
                     "/v1/responses or /v1/moderations");
}

static bool read_metadata(hg_exchange *x, const json_t *body, hg_batch *b, hg_problem *p)
{
    const json_t *metadata;
    hg_buf text = {0};
    hg_err e;

    b->metadata = (hg_bytes){"null", 4};
    if (!hg_openai_metadata(body, &metadata, p)) return false;
    if (metadata == NULL) return true;
    const bool ok = hg_json_put_tree(&text, metadata, &e) == HG_OK;
    if (ok)
        b->metadata = (hg_bytes){hg_arena_strndup(hg_exchange_memory(x), text.p, text.n), text.n};
    hg_buf_free(&text);
    return (ok && b->metadata.p != NULL) ||
           hg_refuse(p, 500, NULL, NULL, "no room for the request");
}

static bool read_request(hg_server *s, hg_exchange *x, const json_t *body, hg_batch *b,
                         hg_problem *p)
{
    const char *window = json_string_value(json_object_get(body, "completion_window"));
    unsigned char r[16];

    *b = (hg_batch){.id = "batch_", .status = "validating", .created = hg_unix_time()};
    b->expires = b->created + HG_BATCH_WINDOW_S;
    randombytes_buf(r, sizeof r);
    (void)sodium_bin2hex(b->id + 6, sizeof b->id - 6, r, sizeof r);
    (void)snprintf(b->owner, sizeof b->owner, "%s", hg_exchange_owner(x));
    if (!json_is_object(body))
        return hg_refuse(p, 400, "invalid_json", NULL, "the body must be a JSON object");
    if (window == NULL || strcmp(window, "24h") != 0)
        return hg_refuse(p, 400, "invalid_value", "completion_window",
                         "completion_window must be 24h");
    return read_endpoint(body, b, p) && read_metadata(x, body, b, p) && read_file(s, x, body, b, p);
}

static void create(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    char id[HG_BATCH_ID_ROOM];
    json_t *body = NULL;
    hg_batch b;
    hg_problem p;

    (void)rest;
    if (hg_body_parse(&body, hg_exchange_body(x), &p) && read_request(s, x, body, &b, &p) &&
        hg_batches_create(hg_server_batches(s), &b, NULL, 0, id, &p))
        reply_batch(s, x, id);
    else
        refuse(x, &p);
    json_decref(body);
}

/* ---- what is there ---- */
static bool put_next(void *ctx, const hg_batch *b)
{
    hg_page *page = ctx;
    hg_buf buf = {0};
    hg_json_out o;

    hg_json_out_init(&o, &buf, 0);
    put_batch(&o, b);
    const bool goes_on = hg_page_put(page, b->id, (hg_bytes){buf.p, buf.n});
    hg_buf_free(&buf);
    return goes_on;
}

static void list(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_page page;
    hg_problem p;

    (void)rest;
    if (!hg_page_read(&page, x, 20, true, &p)) {
        refuse(x, &p);
    } else if (hg_batches_list(hg_server_batches(s), hg_exchange_owner(x), HG_BATCH_OPENAI,
                               page.after, false, hg_exchange_memory(x), put_next, &page, &p)) {
        hg_page_reply(&page, x, &hg_openai_batches);
    } else {
        hg_page_free(&page);
        refuse(x, &p);
    }
}

static bool read_id(hg_bytes rest, const char *tail, char id[HG_BATCH_ID_ROOM], hg_problem *p)
{
    const size_t n_tail = strlen(tail);
    const size_t n = rest.n > n_tail ? rest.n - n_tail : 0;

    if (n > 0 && n < HG_BATCH_ID_ROOM && memcmp(rest.p + n, tail, n_tail) == 0 &&
        memchr(rest.p, '/', n) == NULL) {
        memcpy(id, rest.p, n);
        id[n] = '\0';
        return true;
    }
    return hg_refuse(p, 404, "not_found", NULL, "there is no batch \"%.*s\"",
                     (int)(rest.n < 100 ? rest.n : 100), rest.p);
}

static void get(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    char id[HG_BATCH_ID_ROOM];
    hg_problem p;

    if (read_id(rest, "", id, &p))
        reply_batch(s, x, id);
    else
        refuse(x, &p);
}

static void cancel(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    char id[HG_BATCH_ID_ROOM];
    hg_problem p;

    if (read_id(rest, "/cancel", id, &p) &&
        hg_batches_cancel(hg_server_batches(s), hg_exchange_owner(x), HG_BATCH_OPENAI, id, &p))
        reply_batch(s, x, id);
    else
        refuse(x, &p);
}

static void explain(hg_buf *out, const hg_problem *p)
{
    hg_openai.explain(out, p);
}

static const hg_route routes[] = {{"POST", "/v1/batches", create, HG_NEEDS_RUN},
                                  {"GET", "/v1/batches", list, HG_NEEDS_RUN},
                                  {"GET", "/v1/batches/", get, HG_NEEDS_RUN},
                                  {"POST", "/v1/batches/", cancel, HG_NEEDS_RUN},
                                  {NULL, NULL, NULL, HG_NEEDS_RUN}};
const hg_protocol hg_openai_batches = {.mounts = "openai", .routes = routes, .explain = explain};
