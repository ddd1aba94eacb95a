/* Batches and their lines in SQLite. A line and the counts of its batch change in one transaction,
 * so that the counts are what the lines say after any kill. */
#include "serve/batches/batches_impl.h"
#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* What is read or deleted at once: everybody waits for the store meanwhile. */
enum { LOT_LINES = 256, LOT_BYTES = 1 << 20 };

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

#define COLUMNS                                                                                   \
    "n, id, owner, vendor, endpoint, version, status, outcome, input_file, output_file, "         \
    "error_file, "                                                                                \
    "metadata, errors, created, began, expires, finalizing, ended, cancelling, n_lines, n_done, " \
    "n_failed"

bool batch_store_failed(hg_problem *p, const hg_err *e)
{
    return hg_refuse(p, 500, "store", NULL, "%s", e->msg);
}

static bool not_there(hg_problem *p, const char *id)
{
    return hg_refuse(p, 404, "not_found", NULL, "there is no batch \"%.60s\"", id);
}

/* ---- batches ---- */
static hg_status remove_batch(hg_store *s, int64_t batch, hg_err *e);

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

static hg_status write_row(hg_store *s, const hg_batch *b, int64_t *n, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, s,
                  "INSERT INTO batches (id, owner, vendor, endpoint, version, status, outcome, "
                  "input_file, output_file, error_file, metadata, errors, created, began, expires, "
                  "finalizing, ended, cancelling, n_lines, n_done, n_failed) VALUES (?, ?, ?, ?, "
                  "?, ?, '', ?, '', '', ?, x'', ?, ?, ?, 0, 0, 0, ?, 0, 0) RETURNING n");
    hg_query_text(&q, 1, b->id);
    hg_query_text(&q, 2, b->owner);
    hg_query_int(&q, 3, b->vendor);
    hg_query_text(&q, 4, b->endpoint);
    hg_query_text(&q, 5, b->version);
    hg_query_text(&q, 6, b->status);
    hg_query_text(&q, 7, b->input_file);
    hg_query_blob(&q, 8, b->metadata);
    hg_query_int(&q, 9, b->created);
    hg_query_int(&q, 10, b->began);
    hg_query_int(&q, 11, b->expires);
    hg_query_int(&q, 12, b->n_lines);
    *n = hg_query_row(&q) ? hg_column_int(&q, 0) : 0;
    return hg_query_close(&q, e);
}

static hg_status write_all(hg_store *s, const hg_batch *b, const hg_batch_line *lines, size_t n,
                           hg_err *e)
{
    int64_t row;

    HG_TRY(write_row(s, b, &row, e));
    for (size_t i = 0; i < n; i++) HG_TRY(rows_add_line(s, row, (int64_t)i + 1, &lines[i], e));
    return HG_OK;
}

static bool has_room(hg_store *s, const char *owner, hg_problem *p)
{
    hg_query q;
    hg_err e;

    hg_query_open(&q, s, "SELECT count(*) FROM batches WHERE owner = ? AND ended = 0");
    hg_query_text(&q, 1, owner);
    const bool is_full = hg_query_row(&q) && hg_column_int(&q, 0) >= HG_BATCH_MAX_OPEN;
    if (hg_query_close(&q, &e) != HG_OK) return batch_store_failed(p, &e);
    return !is_full || hg_refuse(p, 429, "rate_limit_exceeded", NULL,
                                 "%d batches are not finished yet; wait for one, or cancel it",
                                 HG_BATCH_MAX_OPEN);
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
    hg_err e;

    if (!has_room(b->store, what->owner, p)) return false;
    if (hg_store_begin(b->store, &e) != HG_OK) return batch_store_failed(p, &e);
    const hg_status r = write_all(b->store, what, lines, n, &e);
    if (hg_store_end(b->store, r, &e) != HG_OK) return batch_store_failed(p, &e);
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
                  "SELECT " COLUMNS " FROM batches WHERE id = ? AND owner = ? AND vendor = ?");
    hg_query_text(&q, 1, id);
    hg_query_text(&q, 2, owner);
    hg_query_int(&q, 3, vendor);
    const bool is_there = hg_query_row(&q);
    if (is_there) read_row(&q, out, mem);
    if (hg_query_close(&q, &e) != HG_OK) return batch_store_failed(p, &e);
    return is_there || not_there(p, id);
}

bool hg_batches_list(hg_batches *b, const char *owner, hg_batch_vendor vendor, const char *after,
                     hg_arena *mem, hg_batch_fn *fn, void *ctx, hg_problem *p)
{
    hg_batch one = {.n = INT64_MAX};
    bool goes_on = true;
    hg_query q;
    hg_err e;

    if (after != NULL && !hg_batches_get(b, owner, vendor, after, mem, &one, p)) return false;
    hg_query_open(&q, b->store,
                  "SELECT " COLUMNS " FROM batches WHERE owner = ? AND vendor = ? AND n < ? ORDER "
                  "BY n DESC");
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
                  "UPDATE batches SET status = 'cancelling', cancelling = max(?, created) WHERE n "
                  "= ? AND status "
                  "IN ('validating', 'in_progress')");
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
    return remove_batch(b->store, one.n, &e) == HG_OK || batch_store_failed(p, &e);
}

hg_status rows_open(hg_store *s, hg_batch *out, size_t n, size_t *n_out, hg_arena *mem, hg_err *e)
{
    hg_query q;

    *n_out = 0;
    hg_query_open(&q, s, "SELECT " COLUMNS " FROM batches WHERE ended = 0 ORDER BY n LIMIT ?");
    hg_query_int(&q, 1, (int64_t)n);
    while (*n_out < n && hg_query_row(&q)) read_row(&q, &out[(*n_out)++], mem);
    return hg_query_close(&q, e);
}

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

    hg_query_open(
        &q, s,
        "UPDATE batches SET status = 'failed', ended = max(?, created), errors = ? WHERE n = ?");
    hg_query_int(&q, 1, hg_unix_time());
    hg_query_blob(&q, 2, errors);
    hg_query_int(&q, 3, batch);
    return hg_query_close(&q, e);
}

hg_status rows_finalize(hg_store *s, int64_t batch, const char *outcome, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, s,
                  "UPDATE batches SET status = 'finalizing', outcome = ?, finalizing = max(?, "
                  "began, cancelling) WHERE n = "
                  "?");
    hg_query_text(&q, 1, outcome);
    hg_query_int(&q, 2, hg_unix_time());
    hg_query_int(&q, 3, batch);
    return hg_query_close(&q, e);
}

static hg_status end_row(hg_store *s, const hg_batch *b, const char *output, const char *errors,
                         hg_err *e)
{
    hg_query q;

    hg_query_open(&q, s,
                  "UPDATE batches SET status = outcome, ended = max(?, finalizing), output_file = "
                  "?, error_file = ? "
                  "WHERE n = ?");
    hg_query_int(&q, 1, hg_unix_time());
    hg_query_text(&q, 2, output);
    hg_query_text(&q, 3, errors);
    hg_query_int(&q, 4, b->n);
    return hg_query_close(&q, e);
}

hg_status rows_end(hg_store *s, const hg_batch *b, const char *output, const char *errors,
                   hg_err *e)
{
    return end_row(s, b, output, errors, e);
}

/* The first batch that a statement finds; 0: none. */
static hg_status first_batch(hg_query *q, int64_t *n, hg_err *e)
{
    *n = hg_query_row(q) ? hg_column_int(q, 0) : 0;
    return hg_query_close(q, e);
}

static hg_status remove_batch(hg_store *s, int64_t batch, hg_err *e)
{
    hg_query q;

    HG_TRY(rows_drop_lines(s, batch, e));
    hg_query_open(&q, s, "DELETE FROM batches WHERE n = ?");
    hg_query_int(&q, 1, batch);
    return hg_query_close(&q, e);
}

hg_status rows_expire(hg_store *s, int64_t now, hg_err *e)
{
    hg_query q;
    int64_t n;

    do {
        hg_query_open(&q, s, "SELECT n FROM batches WHERE ended > 0 AND ended < ? LIMIT 1");
        hg_query_int(&q, 1, now - (int64_t)HG_BATCH_DAYS * 24 * 60 * 60);
        HG_TRY(first_batch(&q, &n, e));
        if (n != 0) HG_TRY(remove_batch(s, n, e));
    } while (n != 0);
    do { /* results of OpenAI's batches lie in files; a kill may have left their lines, too */
        hg_query_open(&q, s,
                      "SELECT n FROM batches WHERE ended > 0 AND vendor = ? AND EXISTS (SELECT 1 "
                      "FROM batch_lines WHERE batch = n) LIMIT 1");
        hg_query_int(&q, 1, HG_BATCH_OPENAI);
        HG_TRY(first_batch(&q, &n, e));
        if (n != 0) HG_TRY(rows_drop_lines(s, n, e));
    } while (n != 0);
    return HG_OK;
}

/* ---- lines ---- */
hg_status rows_recover(hg_store *s, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, s, "UPDATE batch_lines SET state = ? WHERE state = ?");
    hg_query_int(&q, 1, HG_LINE_WAITING);
    hg_query_int(&q, 2, HG_LINE_RUNNING);
    return hg_query_close(&q, e);
}

hg_status rows_add_line(hg_store *s, int64_t batch, int64_t line, const hg_batch_line *l, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, s,
                  "INSERT INTO batch_lines (batch, line, custom_id, body, state, status, "
                  "request_id, result) VALUES (?, ?, ?, ?, 0, 0, '', x'')");
    hg_query_int(&q, 1, batch);
    hg_query_int(&q, 2, line);
    hg_query_blob(&q, 3, l->custom_id);
    hg_query_blob(&q, 4, l->body);
    return hg_query_close(&q, e);
}

/* Line numbers [*from, *to) whose bytes are some LOT_BYTES, from *from on; *to 0: there is no more.
 */
static hg_status next_lot(hg_store *s, int64_t batch, int64_t from, int64_t *to, hg_err *e)
{
    int64_t bytes = 0;
    hg_query q;

    *to = 0;
    hg_query_open(&q, s,
                  "SELECT line, length(body) + length(result) FROM batch_lines WHERE batch = ? AND "
                  "line >= ? ORDER BY line LIMIT ?");
    hg_query_int(&q, 1, batch);
    hg_query_int(&q, 2, from);
    hg_query_int(&q, 3, LOT_LINES);
    while (bytes < LOT_BYTES && hg_query_row(&q)) {
        *to = hg_column_int(&q, 0) + 1;
        bytes += hg_column_int(&q, 1);
    }
    return hg_query_close(&q, e);
}

/* Others wait for the store meanwhile, and a lock is not fair. */
static void let_others(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 200 * 1000}, NULL);
}

hg_status rows_drop_lines(hg_store *s, int64_t batch, hg_err *e)
{
    int64_t to;
    hg_query q;

    for (;;) {
        HG_TRY(next_lot(s, batch, 0, &to, e));
        if (to == 0) return HG_OK;
        hg_query_open(&q, s, "DELETE FROM batch_lines WHERE batch = ? AND line < ?");
        hg_query_int(&q, 1, batch);
        hg_query_int(&q, 2, to);
        HG_TRY(hg_query_close(&q, e));
        let_others();
    }
}

hg_status rows_take(hg_store *s, int64_t batch, int64_t *line, hg_buf *body, hg_err *e)
{
    hg_query q;

    *line = 0;
    hg_query_open(
        &q, s,
        "UPDATE batch_lines SET state = ? WHERE batch = ? AND line = (SELECT line FROM "
        "batch_lines WHERE batch = ? AND state = ? ORDER BY line LIMIT 1) RETURNING line, "
        "body");
    hg_query_int(&q, 1, HG_LINE_RUNNING);
    hg_query_int(&q, 2, batch);
    hg_query_int(&q, 3, batch);
    hg_query_int(&q, 4, HG_LINE_WAITING);
    if (hg_query_row(&q)) {
        const hg_bytes b = hg_column_bytes(&q, 1);
        *line = hg_column_int(&q, 0);
        hg_buf_put(body, b.p, b.n);
    }
    return hg_query_close(&q, e);
}

hg_status rows_put_back(hg_store *s, int64_t batch, int64_t line, hg_line_state state, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, s, "UPDATE batch_lines SET state = ? WHERE batch = ? AND line = ?");
    hg_query_int(&q, 1, state);
    hg_query_int(&q, 2, batch);
    hg_query_int(&q, 3, line);
    return hg_query_close(&q, e);
}

static hg_status write_result(hg_store *s, int64_t batch, int64_t line, int status,
                              const char *request_id, hg_bytes body, hg_err *e)
{
    const bool is_good = status >= 200 && status < 300;
    hg_query q;

    hg_query_open(&q, s,
                  "UPDATE batch_lines SET state = ?, status = ?, request_id = ?, result = ? WHERE "
                  "batch = ? AND line = ?");
    hg_query_int(&q, 1, is_good ? HG_LINE_DONE : HG_LINE_FAILED);
    hg_query_int(&q, 2, status);
    hg_query_text(&q, 3, request_id);
    hg_query_blob(&q, 4, body);
    hg_query_int(&q, 5, batch);
    hg_query_int(&q, 6, line);
    HG_TRY(hg_query_close(&q, e));
    hg_query_open(&q, s,
                  "UPDATE batches SET n_done = n_done + ?, n_failed = n_failed + ? WHERE n = ?");
    hg_query_int(&q, 1, is_good);
    hg_query_int(&q, 2, !is_good);
    hg_query_int(&q, 3, batch);
    return hg_query_close(&q, e);
}

hg_status rows_finish_line(hg_store *s, int64_t batch, int64_t line, int status,
                           const char *request_id, hg_bytes body, hg_err *e)
{
    HG_TRY(hg_store_begin(s, e));
    return hg_store_end(s, write_result(s, batch, line, status, request_id, body, e), e);
}

hg_status rows_give_up(hg_store *s, int64_t batch, hg_line_state state, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, s, "UPDATE batch_lines SET state = ? WHERE batch = ? AND state = ?");
    hg_query_int(&q, 1, state);
    hg_query_int(&q, 2, batch);
    hg_query_int(&q, 3, HG_LINE_WAITING);
    return hg_query_close(&q, e);
}

hg_status rows_count(hg_store *s, int64_t batch, hg_line_state state, int64_t *n, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, s, "SELECT count(*) FROM batch_lines WHERE batch = ? AND state = ?");
    hg_query_int(&q, 1, batch);
    hg_query_int(&q, 2, state);
    *n = hg_query_row(&q) ? hg_column_int(&q, 0) : 0;
    return hg_query_close(&q, e);
}

static hg_status each_of_lot(hg_store *s, int64_t batch, int64_t from, int64_t to, hg_line_fn *fn,
                             void *ctx, hg_err *e)
{
    hg_query q;

    hg_query_open(
        &q, s,
        "SELECT line, custom_id, state, status, request_id, result FROM batch_lines WHERE "
        "batch = ? AND line >= ? AND line < ? ORDER BY line");
    hg_query_int(&q, 1, batch);
    hg_query_int(&q, 2, from);
    hg_query_int(&q, 3, to);
    while (hg_query_row(&q)) {
        const hg_line_result r = {.line = hg_column_int(&q, 0),
                                  .custom_id = hg_column_bytes(&q, 1),
                                  .state = (hg_line_state)hg_column_int(&q, 2),
                                  .status = (int)hg_column_int(&q, 3),
                                  .request_id = hg_column_text(&q, 4),
                                  .body = hg_column_bytes(&q, 5)};
        fn(ctx, &r);
    }
    return hg_query_close(&q, e);
}

hg_status rows_each(hg_store *s, int64_t batch, hg_line_fn *fn, void *ctx, hg_err *e)
{
    for (int64_t from = 0, to;; from = to) {
        HG_TRY(next_lot(s, batch, from, &to, e));
        if (to == 0) return HG_OK;
        HG_TRY(each_of_lot(s, batch, from, to, fn, ctx, e));
        let_others();
    }
}

bool hg_batches_results(hg_batches *b, int64_t batch, hg_line_fn *fn, void *ctx, hg_problem *p)
{
    hg_err e;

    return rows_each(b->store, batch, fn, ctx, &e) == HG_OK || batch_store_failed(p, &e);
}

bool hg_batches_count(hg_batches *b, int64_t batch, hg_line_state state, int64_t *n, hg_problem *p)
{
    hg_err e;

    return rows_count(b->store, batch, state, n, &e) == HG_OK || batch_store_failed(p, &e);
}
