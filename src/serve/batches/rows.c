/* Batches in SQLite. What is made or deleted in lots is not there for anybody meanwhile: one is
 * "making" until it has its lines, and "gone" from its deletion on, and what a kill has left of
 * either is removed by the worker. */
#include "serve/batches/batches_impl.h"
#include "base/clock.h"

#include <stdio.h>

#define GONE "1" /* the end of one that is to be removed: before all others' */

const char hg_batch_tables[] =
    "CREATE TABLE batches (n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner "
    "TEXT NOT NULL, vendor INTEGER NOT NULL, endpoint TEXT NOT NULL, version TEXT NOT NULL, status "
    "TEXT NOT NULL, outcome TEXT NOT NULL, input_file TEXT NOT NULL, output_file TEXT NOT NULL, "
    "error_file TEXT NOT NULL, metadata BLOB NOT NULL, errors BLOB NOT NULL, created INTEGER NOT "
    "NULL, began INTEGER NOT NULL, expires INTEGER NOT NULL, finalizing INTEGER NOT NULL, ended "
    "INTEGER NOT NULL, cancelling INTEGER NOT NULL, n_lines INTEGER NOT NULL, n_done INTEGER NOT "
    "NULL, n_failed INTEGER NOT NULL) STRICT;"
    "CREATE INDEX batches_by_owner ON batches (owner, vendor, n);"
    "CREATE INDEX batches_by_end ON batches (ended);"
    "CREATE TABLE batch_lines (batch INTEGER NOT NULL REFERENCES batches ON DELETE CASCADE, line "
    "INTEGER NOT NULL, custom_id BLOB NOT NULL, body BLOB NOT NULL, state INTEGER NOT NULL, status "
    "INTEGER NOT NULL, request_id TEXT NOT NULL, result BLOB NOT NULL, PRIMARY KEY (batch, line), "
    "UNIQUE (batch, custom_id)) STRICT;"
    "CREATE INDEX batch_lines_by_state ON batch_lines (batch, state, line);";

#define COLUMNS_WITH(texts)                                                                    \
    "n, id, owner, vendor, endpoint, version, status, outcome, input_file, output_file, "      \
    "error_file, " texts ", created, began, expires, finalizing, ended, cancelling, n_lines, " \
    "n_done, n_failed"
#define COLUMNS COLUMNS_WITH("metadata, errors")
#define IS_THERE "status NOT IN ('making', 'gone')"

bool batch_store_failed(hg_problem *p, const hg_err *e)
{
    return hg_refuse(p, 500, "store", NULL, "%s", e->msg);
}

static bool not_there(hg_problem *p, const char *id)
{
    return hg_refuse(p, 404, "not_found", NULL, "there is no batch \"%.60s\"", id);
}

static void copy_text(char *out, size_t size, const hg_query *q, int i)
{
    const char *v = hg_column_text(q, i);

    (void)snprintf(out, size, "%s", v != NULL ? v : "");
}

static hg_bytes copy_bytes(const hg_query *q, int i, hg_arena *mem)
{
    const hg_bytes v = hg_column_bytes(q, i);
    const char *p = hg_arena_strndup(mem, v.p, v.n);

    return p != NULL ? (hg_bytes){p, v.n} : (hg_bytes){"{}", 2};
}

static void read_row(const hg_query *q, hg_batch *b, hg_arena *mem)
{
    int64_t *const times[] = {&b->created,    &b->began,   &b->expires, &b->finalizing, &b->ended,
                              &b->cancelling, &b->n_lines, &b->n_done,  &b->n_failed};

    b->n = hg_column_int(q, 0);
    copy_text(b->id, sizeof b->id, q, 1);
    copy_text(b->owner, sizeof b->owner, q, 2);
    b->vendor = hg_column_int(q, 3) == HG_BATCH_ANTHROPIC ? HG_BATCH_ANTHROPIC : HG_BATCH_OPENAI;
    copy_text(b->endpoint, sizeof b->endpoint, q, 4);
    copy_text(b->version, sizeof b->version, q, 5);
    copy_text(b->status, sizeof b->status, q, 6);
    copy_text(b->outcome, sizeof b->outcome, q, 7);
    copy_text(b->input_file, sizeof b->input_file, q, 8);
    copy_text(b->output_file, sizeof b->output_file, q, 9);
    copy_text(b->error_file, sizeof b->error_file, q, 10);
    b->metadata = copy_bytes(q, 11, mem);
    b->errors = copy_bytes(q, 12, mem);
    for (int i = 0; i < 9; i++) *times[i] = hg_column_int(q, 13 + i);
}

/* Counted and written in one statement, so that none comes in between. *n 0: the owner has as many
 * as he may. */
static hg_status write_row(hg_store *s, const hg_batch *b, const char *status, int64_t *n,
                           hg_err *e)
{
    hg_query q;

    hg_query_open(&q, s,
                  "INSERT INTO batches (id, owner, vendor, endpoint, version, status, outcome, "
                  "input_file, output_file, error_file, metadata, errors, created, began, expires, "
                  "finalizing, ended, cancelling, n_lines, n_done, n_failed) SELECT ?1, ?2, ?3, "
                  "?4, ?5, ?6, '', ?7, '', '', ?8, x'', ?9, ?10, ?11, 0, 0, 0, ?12, 0, 0 WHERE "
                  "(SELECT count(*) FROM batches WHERE owner = ?2 AND ended = 0) < ?13 RETURNING "
                  "n");
    hg_query_text(&q, 1, b->id);
    hg_query_text(&q, 2, b->owner);
    hg_query_int(&q, 3, b->vendor);
    hg_query_text(&q, 4, b->endpoint);
    hg_query_text(&q, 5, b->version);
    hg_query_text(&q, 6, status);
    hg_query_text(&q, 7, b->input_file);
    hg_query_blob(&q, 8, b->metadata);
    hg_query_int(&q, 9, b->created);
    hg_query_int(&q, 10, b->began);
    hg_query_int(&q, 11, b->expires);
    hg_query_int(&q, 12, b->n_lines);
    hg_query_int(&q, 13, HG_BATCH_MAX_OPEN);
    *n = hg_query_row(&q) ? hg_column_int(&q, 0) : 0;
    return hg_query_close(&q, e);
}

static hg_status set_status(hg_store *s, int64_t batch, const char *status, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, s, "UPDATE batches SET status = ? WHERE n = ?");
    hg_query_text(&q, 1, status);
    hg_query_int(&q, 2, batch);
    return hg_query_close(&q, e);
}

static hg_status make_gone(hg_store *s, int64_t batch, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, s, "UPDATE batches SET status = 'gone', ended = " GONE " WHERE n = ?");
    hg_query_int(&q, 1, batch);
    return hg_query_close(&q, e);
}

static hg_status write_lines(hg_store *s, int64_t batch, const hg_batch_line *lines, size_t n,
                             hg_err *e)
{
    for (size_t i = 0; i < n;) {
        size_t bytes = 0;
        hg_status r = HG_OK;
        HG_TRY(hg_store_begin(s, e));
        for (size_t k = 0; r == HG_OK && i < n && k < LOT_LINES && bytes < LOT_BYTES; k++, i++) {
            bytes += lines[i].body.n;
            r = rows_add_line(s, batch, (int64_t)i + 1, &lines[i], e);
        }
        HG_TRY(hg_store_end(s, r, e));
        hg_store_let_others();
    }
    return HG_OK;
}

static void wake(hg_batches *b)
{
    (void)pthread_mutex_lock(&b->lock);
    b->has_news = true;
    (void)pthread_cond_signal(&b->news);
    (void)pthread_mutex_unlock(&b->lock);
}

bool hg_batches_create(hg_batches *b, const hg_batch *what, const hg_batch_line *lines, size_t n,
                       char id[HG_BATCH_ID_ROOM], hg_problem *p)
{
    int64_t row = 0;
    hg_err e;

    if (write_row(b->store, what, n > 0 ? "making" : what->status, &row, &e) != HG_OK)
        return batch_store_failed(p, &e);
    if (row == 0)
        return hg_refuse(p, 429, "rate_limit_exceeded", NULL,
                         "%d batches are not finished yet; wait for one, or cancel it",
                         HG_BATCH_MAX_OPEN);
    hg_status s = write_lines(b->store, row, lines, n, &e);
    if (s == HG_OK && n > 0) s = set_status(b->store, row, what->status, &e);
    if (s != HG_OK) {
        (void)make_gone(b->store, row, &(hg_err){0});
        return batch_store_failed(p, &e);
    }
    (void)snprintf(id, HG_BATCH_ID_ROOM, "%s", what->id);
    wake(b);
    return true;
}

bool hg_batches_get(hg_batches *b, const char *owner, hg_batch_vendor vendor, const char *id,
                    hg_arena *mem, hg_batch *out, hg_problem *p)
{
    hg_query q;
    hg_err e;

    hg_query_open(&q, b->store,
                  "SELECT " COLUMNS
                  " FROM batches WHERE id = ? AND owner = ? AND vendor = ? AND " IS_THERE);
    hg_query_text(&q, 1, id);
    hg_query_text(&q, 2, owner);
    hg_query_int(&q, 3, vendor);
    const bool is_there = hg_query_row(&q);
    if (is_there) read_row(&q, out, mem);
    if (hg_query_close(&q, &e) != HG_OK) return batch_store_failed(p, &e);
    return is_there || not_there(p, id);
}

#define OF_OWNER \
    "SELECT " COLUMNS " FROM batches WHERE owner = ? AND vendor = ? AND " IS_THERE " AND "
bool hg_batches_list(hg_batches *b, const char *owner, hg_batch_vendor vendor, const char *from,
                     bool is_back, hg_arena *mem, hg_batch_fn *fn, void *ctx, hg_problem *p)
{
    hg_batch one = {.n = INT64_MAX};
    bool goes_on = true;
    hg_query q;
    hg_err e;

    if (from != NULL && !hg_batches_get(b, owner, vendor, from, mem, &one, p)) return false;
    hg_query_open(&q, b->store,
                  is_back ? OF_OWNER "n > ? ORDER BY n" : OF_OWNER "n < ? ORDER BY n DESC");
    hg_query_text(&q, 1, owner);
    hg_query_int(&q, 2, vendor);
    hg_query_int(&q, 3, one.n);
    while (goes_on && hg_query_row(&q)) {
        read_row(&q, &one, mem);
        goes_on = fn(ctx, &one);
    }
    return hg_query_close(&q, &e) == HG_OK || batch_store_failed(p, &e);
}

bool hg_batches_cancel(hg_batches *b, const char *owner, hg_batch_vendor vendor, const char *id,
                       hg_problem *p)
{
    hg_arena mem;
    hg_batch one;
    hg_query q;
    hg_err e;

    hg_arena_init(&mem, 4096);
    const bool is_there = hg_batches_get(b, owner, vendor, id, &mem, &one, p);
    hg_arena_free(&mem);
    if (!is_there) return false;
    hg_query_open(&q, b->store,
                  "UPDATE batches SET status = 'cancelling', cancelling = CASE WHEN "
                  "cancelling > 0 THEN cancelling ELSE max(?, created, finalizing) END WHERE n = ? "
                  "AND status IN ('validating', 'in_progress', 'finalizing')");
    hg_query_int(&q, 1, hg_unix_time());
    hg_query_int(&q, 2, one.n);
    if (hg_query_close(&q, &e) != HG_OK) return batch_store_failed(p, &e);
    wake(b);
    return true;
}

bool hg_batches_delete(hg_batches *b, const char *owner, hg_batch_vendor vendor, const char *id,
                       hg_problem *p)
{
    hg_arena mem;
    hg_batch one;
    hg_err e;

    hg_arena_init(&mem, 4096);
    const bool is_there = hg_batches_get(b, owner, vendor, id, &mem, &one, p);
    hg_arena_free(&mem);
    if (!is_there) return false;
    if (one.ended == 0)
        return hg_refuse(p, 409, "not_ended", NULL,
                         "the batch %s has not ended; cancel it before it is deleted", id);
    if (make_gone(b->store, one.n, &e) != HG_OK) return batch_store_failed(p, &e);
    wake(b);
    return true;
}

hg_status rows_open(hg_store *s, int64_t after, hg_batch *out, size_t n, size_t *n_out,
                    hg_arena *mem, hg_err *e)
{
    hg_query q;

    *n_out = 0;
    hg_query_open(&q, s,
                  "SELECT " COLUMNS_WITH("NULL, NULL") " FROM batches WHERE ended = 0 AND n > ? "
                                                       "AND " IS_THERE " ORDER BY n LIMIT ?");
    hg_query_int(&q, 1, after);
    hg_query_int(&q, 2, (int64_t)n);
    while (*n_out < n && hg_query_row(&q)) read_row(&q, &out[(*n_out)++], mem);
    return hg_query_close(&q, e);
}

/* One that is being cancelled ends as such, whatever it was about to become. */
#define CANCELLED_OR "CASE status WHEN 'cancelling' THEN 'cancelled' ELSE "

hg_status rows_begin(hg_store *s, int64_t batch, int64_t n_lines, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, s,
                  "UPDATE batches SET status = 'in_progress', began = max(?, created), n_lines = ? "
                  "WHERE n = ? "
                  "AND status = 'validating'");
    hg_query_int(&q, 1, hg_unix_time());
    hg_query_int(&q, 2, n_lines);
    hg_query_int(&q, 3, batch);
    return hg_query_close(&q, e);
}

hg_status rows_fail(hg_store *s, int64_t batch, hg_bytes errors, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, s,
                  "UPDATE batches SET status = " CANCELLED_OR
                  "'failed' END, ended = max(?, created, "
                  "finalizing, cancelling), errors = ? WHERE n = ?");
    hg_query_int(&q, 1, hg_unix_time());
    hg_query_blob(&q, 2, errors);
    hg_query_int(&q, 3, batch);
    return hg_query_close(&q, e);
}

hg_status rows_finalize(hg_store *s, int64_t batch, const char *outcome, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, s,
                  "UPDATE batches SET status = 'finalizing', outcome = " CANCELLED_OR
                  "? END, finalizing = max(?, began, cancelling) WHERE n = ?");
    hg_query_text(&q, 1, outcome);
    hg_query_int(&q, 2, hg_unix_time());
    hg_query_int(&q, 3, batch);
    return hg_query_close(&q, e);
}

hg_status rows_end(hg_store *s, const hg_batch *b, const char *output, const char *errors,
                   hg_err *e)
{
    hg_query q;

    hg_query_open(&q, s,
                  "UPDATE batches SET status = " CANCELLED_OR
                  "outcome END, ended = max(?, finalizing, "
                  "cancelling), output_file = ?, error_file = ? WHERE n = ?");
    hg_query_int(&q, 1, hg_unix_time());
    hg_query_text(&q, 2, output);
    hg_query_text(&q, 3, errors);
    hg_query_int(&q, 4, b->n);
    return hg_query_close(&q, e);
}

hg_status rows_recover(hg_store *s, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, s,
                  "UPDATE batches SET status = 'gone', ended = " GONE
                  " WHERE ended = 0 AND status = 'making'");
    HG_TRY(hg_query_close(&q, e));
    hg_query_open(&q, s,
                  "UPDATE batch_lines SET state = ? WHERE state = ? AND batch IN (SELECT n FROM "
                  "batches WHERE ended = 0)");
    hg_query_int(&q, 1, HG_LINE_WAITING);
    hg_query_int(&q, 2, HG_LINE_RUNNING);
    return hg_query_close(&q, e);
}

/* ---- what goes ---- */
hg_status rows_expire(hg_store *s, int64_t now, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, s,
                  "UPDATE batches SET status = 'gone', ended = " GONE " WHERE ended > " GONE
                  " AND ended < ?");
    hg_query_int(&q, 1, now - (int64_t)HG_BATCH_DAYS * 24 * 60 * 60);
    return hg_query_close(&q, e);
}

static hg_status first_batch(hg_query *q, int64_t *n, hg_err *e)
{
    *n = hg_query_row(q) ? hg_column_int(q, 0) : 0;
    return hg_query_close(q, e);
}

hg_status rows_gone(hg_store *s, int64_t *n, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, s, "SELECT n FROM batches WHERE ended = " GONE " LIMIT 1");
    return first_batch(&q, n, e);
}

hg_status rows_with_left_lines(hg_store *s, int64_t *n, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, s,
                  "SELECT n FROM batches WHERE ended > " GONE " AND vendor = ? AND EXISTS (SELECT "
                  "1 FROM batch_lines WHERE batch = n) LIMIT 1");
    hg_query_int(&q, 1, HG_BATCH_OPENAI);
    return first_batch(&q, n, e);
}

hg_status rows_remove(hg_store *s, int64_t batch, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, s, "DELETE FROM batches WHERE n = ?");
    hg_query_int(&q, 1, batch);
    return hg_query_close(&q, e);
}

bool hg_batches_results(hg_batches *b, int64_t batch, hg_line_fn *fn, hg_lot_fn *lot, void *ctx,
                        hg_problem *p)
{
    hg_err e;

    return rows_each(b->store, batch, fn, lot, ctx, &e) == HG_OK || batch_store_failed(p, &e);
}

bool hg_batches_count(hg_batches *b, int64_t batch, hg_line_state state, int64_t *n, hg_problem *p)
{
    hg_err e;

    return rows_count(b->store, batch, state, n, &e) == HG_OK || batch_store_failed(p, &e);
}
