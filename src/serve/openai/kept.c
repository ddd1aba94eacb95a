/* Kept answers in SQLite. What is kept has an end, so that a server that keeps by default does not
 * fill the disk: its days, and for each owner a number and bytes. Triggers count the bytes, so that
 * whoever deletes a row, for whatever reason, cannot forget it. */
#include "serve/openai/kept.h"
#include "base/clock.h"

#include <stdio.h>
#include <string.h>

enum { DAY_S = 24 * 60 * 60, DROPS_A_PUT = 16 /* at the least, where too much is kept */ };

const char hg_kept_tables[] =
    "CREATE TABLE kept (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, kind "
    "INTEGER NOT NULL, model TEXT NOT NULL, status TEXT NOT NULL, is_background INTEGER NOT NULL, "
    "created INTEGER NOT NULL, expires INTEGER NOT NULL, body BLOB NOT NULL, input BLOB NOT NULL, "
    "talk BLOB NOT NULL, events BLOB NOT NULL) STRICT;"
    "CREATE INDEX kept_by_owner ON kept (owner, kind, n);"
    "CREATE INDEX kept_by_end ON kept (expires);";

#define BYTES_OF(row) \
    "length(" row "body) + length(" row "input) + length(" row "talk) + length(" row "events)"
const char hg_kept_sizes[] =
    "CREATE INDEX kept_in_order ON kept (owner);"
    "CREATE TABLE kept_sizes (owner TEXT PRIMARY KEY, n_bytes INTEGER NOT NULL) STRICT;"
    "INSERT INTO kept_sizes SELECT owner, sum(" BYTES_OF(
        "") ") FROM kept GROUP BY owner;"
            "CREATE TRIGGER kept_made AFTER INSERT ON kept BEGIN "
            "INSERT INTO kept_sizes VALUES (NEW.owner, " BYTES_OF(
                "NEW.") ") "
                        "ON CONFLICT (owner) DO UPDATE SET n_bytes = n_bytes + excluded.n_bytes; "
                        "END;"
                        "CREATE TRIGGER kept_changed AFTER UPDATE ON kept BEGIN "
                        "UPDATE kept_sizes SET n_bytes = n_bytes + (" BYTES_OF(
                            "NEW.") ") - (" BYTES_OF("OLD.") ") "
                                                             "WHERE owner = OLD.owner; END;"
                                                             "CREATE TRIGGER kept_gone AFTER "
                                                             "DELETE ON kept BEGIN "
                                                             "UPDATE kept_sizes SET n_bytes = "
                                                             "n_bytes - (" BYTES_OF(
                                                                 "OLD.") ") WHERE owner = "
                                                                         "OLD.owner; END;";

struct hg_keeper {
    hg_store *store;
    struct hg_backlog *runs;
    atomic_uint days;
    atomic_uint_least64_t max_bytes; /* of an owner */
    hg_patient_clock clock;          /* for what is deleted */
};

static bool store_failed(hg_problem *p, const hg_err *e)
{
    return hg_refuse(p, 500, "store", NULL, "%s", e->msg);
}

static bool not_there(hg_problem *p, hg_kept_kind kind, const char *id)
{
    return hg_refuse(p, 404, "not_found", NULL,
                     kind == HG_KEPT_CHAT ? "no chat completion \"%.60s\" is kept"
                                          : "no response \"%.60s\" is kept",
                     id);
}

static bool closed(hg_query *q, hg_problem *p)
{
    hg_err e;

    return hg_query_close(q, &e) == HG_OK || store_failed(p, &e);
}

/* ---- one ---- */
static hg_status write_card(hg_keeper *k, const hg_kept_card *c, hg_err *e)
{
    const int64_t now = hg_unix_time();
    hg_query q;

    hg_query_open(
        &q, k->store,
        "INSERT INTO kept (id, owner, kind, model, status, is_background, created, "
        "expires, body, input, talk, events) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    hg_query_text(&q, 1, c->id);
    hg_query_text(&q, 2, c->owner);
    hg_query_int(&q, 3, c->kind);
    hg_query_text(&q, 4, c->model);
    hg_query_text(&q, 5, c->status);
    hg_query_int(&q, 6, c->is_background);
    hg_query_int(&q, 7, c->created);
    hg_query_int(&q, 8, now + (int64_t)atomic_load(&k->days) * DAY_S);
    hg_query_blob(&q, 9, c->body);
    hg_query_blob(&q, 10, c->input);
    hg_query_blob(&q, 11, c->talk);
    hg_query_blob(&q, 12, c->events);
    return hg_query_close(&q, e);
}

/* What is being made is no answer yet, and stays. */
#define HAS_ENDED "status NOT IN ('queued', 'in_progress')"

/* The row behind the newest that may stay goes, with all older ones. */
static hg_status keep_number(hg_keeper *k, const hg_kept_card *c, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, k->store,
                  "DELETE FROM kept WHERE owner = ? AND kind = ? AND n <= (SELECT n FROM kept "
                  "WHERE owner = ? AND kind = ? ORDER BY n DESC LIMIT 1 OFFSET ?) AND " HAS_ENDED);
    hg_query_text(&q, 1, c->owner);
    hg_query_int(&q, 2, c->kind);
    hg_query_text(&q, 3, c->owner);
    hg_query_int(&q, 4, c->kind);
    hg_query_int(&q, 5, HG_KEPT_MAX);
    return hg_query_close(&q, e);
}

static hg_status bytes_of(hg_keeper *k, const char *owner, int64_t *out, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, k->store, "SELECT n_bytes FROM kept_sizes WHERE owner = ?");
    hg_query_text(&q, 1, owner);
    *out = hg_query_row(&q) ? hg_column_int(&q, 0) : 0;
    return hg_query_close(&q, e);
}

/* The oldest that has ended, but for `c`; false: there is none. */
static hg_status drop_one(hg_keeper *k, const hg_kept_card *c, bool *is_gone, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, k->store,
                  "DELETE FROM kept WHERE n = (SELECT n FROM kept WHERE owner = ? AND id <> ? "
                  "AND " HAS_ENDED " ORDER BY n LIMIT 1) RETURNING n");
    hg_query_text(&q, 1, c->owner);
    hg_query_text(&q, 2, c->id);
    *is_gone = hg_query_row(&q);
    return hg_query_close(&q, e);
}

/* Whether `c` finds room once others that have ended are gone. Of an owner who has far too much
 * (the limit was lowered) not all goes at once, which would hold the store for seconds, but more
 * than has come, so that the next ones come to the limit. */
static hg_status keep_bytes(hg_keeper *k, const hg_kept_card *c, bool *fits, hg_err *e)
{
    const int64_t most = (int64_t)atomic_load(&k->max_bytes);
    const int64_t own = (int64_t)(c->body.n + c->input.n + c->talk.n + c->events.n);
    int64_t before, now;
    bool is_gone = true;

    HG_TRY(bytes_of(k, c->owner, &before, e));
    now = before;
    for (int n = 0; now > most && (n < DROPS_A_PUT || before - now < 2 * own); n++) {
        HG_TRY(drop_one(k, c, &is_gone, e));
        if (!is_gone) break;
        HG_TRY(bytes_of(k, c->owner, &now, e));
    }
    *fits = now <= most || is_gone;
    return HG_OK;
}

static hg_status make_room(hg_keeper *k, const hg_kept_card *c, hg_err *e)
{
    bool fits;

    HG_TRY(keep_number(k, c, e));
    HG_TRY(keep_bytes(k, c, &fits, e));
    if (fits) return HG_OK;
    return hg_fail(e, HG_E_LIMIT,
                   "it does not fit into the %llu MiB that are kept for one owner, beside what is "
                   "being made for him",
                   (unsigned long long)(atomic_load(&k->max_bytes) >> 20));
}

/* What was deleted while it was made stays deleted. */
static hg_status finish_card(hg_keeper *k, const hg_kept_card *c, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, k->store,
                  "UPDATE kept SET status = ?, model = ?, body = ?, talk = ?, events = CASE WHEN "
                  "length(?5) > 0 THEN ?5 ELSE events END WHERE id = ?6 AND owner = ?7");
    hg_query_text(&q, 1, c->status);
    hg_query_text(&q, 2, c->model);
    hg_query_blob(&q, 3, c->body);
    hg_query_blob(&q, 4, c->talk);
    hg_query_blob(&q, 5, c->events);
    hg_query_text(&q, 6, c->id);
    hg_query_text(&q, 7, c->owner);
    return hg_query_close(&q, e);
}

/* An answer that was promised is kept, even if others are being made that take all the room. */
static hg_status finish(hg_keeper *k, const hg_kept_card *c, hg_err *e)
{
    bool fits;

    HG_TRY(finish_card(k, c, e));
    return keep_bytes(k, c, &fits, e);
}

static hg_status begin(hg_keeper *k, const hg_kept_card *c, hg_err *e)
{
    HG_TRY(write_card(k, c, e));
    return make_room(k, c, e);
}

hg_status hg_keeper_put(hg_keeper *k, const hg_kept_card *c, hg_err *e)
{
    const bool is_there = c->is_background && strcmp(c->status, "queued") != 0;

    HG_TRY(hg_store_begin(k->store, e));
    return hg_store_end(k->store, is_there ? finish(k, c, e) : begin(k, c, e), e);
}

static hg_bytes copy_of(hg_arena *mem, hg_bytes b)
{
    return (hg_bytes){hg_arena_strndup(mem, b.p, b.n), b.n};
}

static bool read_card(hg_query *q, hg_arena *mem, hg_kept_card *c)
{
    const hg_bytes model = hg_column_bytes(q, 1), status = hg_column_bytes(q, 2);

    c->number = hg_column_int(q, 0);
    c->model = copy_of(mem, model).p;
    c->status = copy_of(mem, status).p;
    c->is_background = hg_column_int(q, 3) != 0;
    c->created = hg_column_int(q, 4);
    c->body = copy_of(mem, hg_column_bytes(q, 5));
    c->input = copy_of(mem, hg_column_bytes(q, 6));
    c->talk = copy_of(mem, hg_column_bytes(q, 7));
    c->events = copy_of(mem, hg_column_bytes(q, 8));
    return c->model != NULL && c->status != NULL && c->body.p != NULL && c->input.p != NULL &&
           c->talk.p != NULL && c->events.p != NULL;
}

bool hg_keeper_get(hg_keeper *k, const char *owner, hg_kept_kind kind, const char *id,
                   hg_arena *mem, hg_kept_card *out, hg_problem *p)
{
    hg_query q;

    memset(out, 0, sizeof *out);
    hg_query_open(&q, k->store,
                  "SELECT n, model, status, is_background, created, body, input, talk, events FROM "
                  "kept WHERE id = ? AND owner = ? AND kind = ? AND expires > ?");
    hg_query_text(&q, 1, id);
    hg_query_text(&q, 2, owner);
    hg_query_int(&q, 3, kind);
    hg_query_int(&q, 4, hg_unix_time());
    const bool is_there = hg_query_row(&q), is_read = is_there && read_card(&q, mem, out);
    if (!closed(&q, p)) return false;
    if (!is_there) return not_there(p, kind, id);
    out->id = hg_arena_strndup(mem, id, strlen(id));
    out->owner = owner;
    out->kind = kind;
    return (is_read && out->id != NULL) || hg_refuse(p, 500, NULL, NULL, "no room for the answer");
}

bool hg_keeper_delete(hg_keeper *k, const char *owner, hg_kept_kind kind, const char *id,
                      hg_problem *p)
{
    hg_query q;

    hg_query_open(&q, k->store,
                  "DELETE FROM kept WHERE id = ? AND owner = ? AND kind = ? RETURNING n");
    hg_query_text(&q, 1, id);
    hg_query_text(&q, 2, owner);
    hg_query_int(&q, 3, kind);
    const bool is_there = hg_query_row(&q);
    return closed(&q, p) && (is_there || not_there(p, kind, id));
}

bool hg_keeper_set_body(hg_keeper *k, const char *owner, const char *id, hg_bytes body,
                        hg_problem *p)
{
    hg_query q;

    hg_query_open(&q, k->store, "UPDATE kept SET body = ? WHERE id = ? AND owner = ? RETURNING n");
    hg_query_blob(&q, 1, body);
    hg_query_text(&q, 2, id);
    hg_query_text(&q, 3, owner);
    const bool is_there = hg_query_row(&q);
    return closed(&q, p) && (is_there || not_there(p, HG_KEPT_CHAT, id));
}

/* ---- many ---- */
static bool find_after(hg_keeper *k, const char *owner, hg_kept_kind kind, const char *after,
                       int64_t *n, hg_problem *p)
{
    hg_query q;

    hg_query_open(&q, k->store, "SELECT n FROM kept WHERE id = ? AND owner = ? AND kind = ?");
    hg_query_text(&q, 1, after);
    hg_query_text(&q, 2, owner);
    hg_query_int(&q, 3, kind);
    const bool is_there = hg_query_row(&q);
    if (is_there) *n = hg_column_int(&q, 0);
    return closed(&q, p) && (is_there || not_there(p, kind, after));
}

/* The row behind number *n, which becomes its own. */
static bool read_next(hg_keeper *k, const char *owner, hg_kept_kind kind, bool is_newest_first,
                      int64_t *n, hg_buf *body, bool *is_there, hg_problem *p)
{
    hg_query q;

    hg_query_open(&q, k->store,
                  is_newest_first
                      ? "SELECT n, body FROM kept WHERE owner = ? AND kind = ? AND n < ? AND "
                        "expires > ? ORDER BY n DESC LIMIT 1"
                      : "SELECT n, body FROM kept WHERE owner = ? AND kind = ? AND n > ? AND "
                        "expires > ? ORDER BY n LIMIT 1");
    hg_query_text(&q, 1, owner);
    hg_query_int(&q, 2, kind);
    hg_query_int(&q, 3, *n);
    hg_query_int(&q, 4, hg_unix_time());
    *is_there = hg_query_row(&q);
    if (*is_there) {
        const hg_bytes b = hg_column_bytes(&q, 1);
        *n = hg_column_int(&q, 0);
        hg_buf_clear(body);
        hg_buf_put(body, b.p, b.n);
    }
    return closed(&q, p);
}

/* A row at a time: whoever looks at thousands for a few that fit keeps the store from nobody. */
bool hg_keeper_list(hg_keeper *k, const char *owner, hg_kept_kind kind, const char *after,
                    bool is_newest_first, hg_kept_fn *fn, void *ctx, hg_problem *p)
{
    int64_t n = is_newest_first ? INT64_MAX : 0;
    bool is_there = true, ok = true;
    hg_buf body = {0};

    if (after != NULL && !find_after(k, owner, kind, after, &n, p)) return false;
    while (ok && is_there) {
        ok = read_next(k, owner, kind, is_newest_first, &n, &body, &is_there, p);
        if (ok && body.failed) ok = hg_refuse(p, 500, NULL, NULL, "no room for the list");
        if (ok && is_there) is_there = fn(ctx, (hg_bytes){body.n > 0 ? body.p : "", body.n});
    }
    hg_buf_free(&body);
    return ok;
}

void hg_keeper_expire(hg_keeper *k)
{
    hg_query q;
    hg_err e;

    hg_query_open(&q, k->store, "DELETE FROM kept WHERE expires <= ?");
    hg_query_int(&q, 1, hg_patient_ms(&k->clock) / 1000);
    (void)hg_query_close(&q, &e); /* what stays is told to nobody, and goes the next time */
}

/* ---- life ---- */
hg_status hg_kept_restate(hg_buf *out, hg_bytes body, const char *status, const char *code,
                          const char *message, hg_err *e)
{
    json_t *v = NULL;

    HG_TRY(hg_json_parse(&v, body, body.n, e));
    (void)json_object_set_new(v, "status", json_string(status));
    if (message != NULL)
        (void)json_object_set_new(v, "error",
                                  json_pack("{s:s, s:s}", "code", code, "message", message));
    const hg_status s = hg_json_put_tree(out, v, e);
    json_decref(v);
    return s;
}

/* One that nobody finishes any more. False: there is none. */
static bool fail_one(hg_keeper *k, hg_status *r, hg_err *e)
{
    hg_buf was = {0}, body = {0};
    int64_t n = 0;
    hg_query q;

    hg_query_open(&q, k->store,
                  "SELECT n, body FROM kept WHERE status IN ('queued', 'in_progress') LIMIT 1");
    if (hg_query_row(&q)) {
        n = hg_column_int(&q, 0);
        const hg_bytes b = hg_column_bytes(&q, 1);
        hg_buf_put(&was, b.p, b.n);
    }
    *r = hg_query_close(&q, e);
    if (*r == HG_OK && n != 0) {
        if (hg_kept_restate(&body, (hg_bytes){was.p, was.n}, "failed", "server_error",
                            "the server was restarted before the answer was finished", e) != HG_OK)
            hg_buf_clear(&body);
        hg_query_open(&q, k->store, "UPDATE kept SET status = 'failed', body = ? WHERE n = ?");
        hg_query_blob(&q, 1, (hg_bytes){body.n > 0 ? body.p : "{}", body.n > 0 ? body.n : 2});
        hg_query_int(&q, 2, n);
        *r = hg_query_close(&q, e);
    }
    hg_buf_free(&was);
    hg_buf_free(&body);
    return *r == HG_OK && n != 0;
}

hg_status hg_keeper_new(hg_keeper **out, hg_server *s, hg_err *e)
{
    hg_keeper *k = hg_alloc(1, sizeof *k);
    hg_status r = HG_OK;

    *out = NULL;
    if (k == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the server");
    k->store = hg_server_store(s);
    atomic_init(&k->days, HG_KEPT_DAYS);
    atomic_init(&k->max_bytes, (uint64_t)HG_KEPT_MIB << 20);
    *out = k;
    hg_keeper_expire(k);
    while (fail_one(k, &r, e)) continue;
    return r == HG_OK ? hg_backlog_new(&k->runs, k, s, e) : r;
}

void hg_keeper_free(hg_keeper *k)
{
    if (k == NULL) return;
    hg_backlog_free(k->runs);
    hg_free(k);
}

void hg_keeper_set_days(hg_keeper *k, uint32_t days)
{
    atomic_store(&k->days, days);
}

void hg_keeper_set_bytes(hg_keeper *k, uint64_t max_bytes)
{
    atomic_store(&k->max_bytes, max_bytes);
}

struct hg_backlog *hg_keeper_backlog(const hg_keeper *k)
{
    return k->runs;
}
