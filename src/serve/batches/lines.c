/* Lines of batches in SQLite. A line and the counts of its batch change in one transaction, so that
 * the counts are what the lines say after any kill. */
#include "serve/batches/batches_impl.h"

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

hg_status rows_drop_lot(hg_store *s, int64_t batch, bool *has_more, hg_err *e)
{
    int64_t to;
    hg_query q;

    HG_TRY(next_lot(s, batch, 0, &to, e));
    *has_more = to != 0;
    if (to == 0) return HG_OK;
    hg_query_open(&q, s, "DELETE FROM batch_lines WHERE batch = ? AND line < ?");
    hg_query_int(&q, 1, batch);
    hg_query_int(&q, 2, to);
    return hg_query_close(&q, e);
}

hg_status rows_take(hg_store *s, int64_t batch, int64_t *line, hg_buf *body, hg_err *e)
{
    hg_query q;

    *line = 0;
    hg_query_open(
        &q, s,
        "UPDATE batch_lines SET state = ?1 WHERE batch = ?2 AND line = (SELECT line FROM "
        "batch_lines WHERE batch = ?2 AND state = ?3 ORDER BY line LIMIT 1) AND EXISTS (SELECT 1 "
        "FROM batches WHERE n = ?2 AND status = 'in_progress') RETURNING line, body");
    hg_query_int(&q, 1, HG_LINE_RUNNING);
    hg_query_int(&q, 2, batch);
    hg_query_int(&q, 3, HG_LINE_WAITING);
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

hg_status rows_give_up_lot(hg_store *s, int64_t batch, int64_t *from, hg_line_state state,
                           hg_err *e)
{
    int64_t to;
    hg_query q;

    HG_TRY(next_lot(s, batch, *from, &to, e));
    if (to != 0) {
        hg_query_open(&q, s,
                      "UPDATE batch_lines SET state = ? WHERE batch = ? AND state = ? AND line >= "
                      "? AND line < ?");
        hg_query_int(&q, 1, state);
        hg_query_int(&q, 2, batch);
        hg_query_int(&q, 3, HG_LINE_WAITING);
        hg_query_int(&q, 4, *from);
        hg_query_int(&q, 5, to);
        HG_TRY(hg_query_close(&q, e));
    }
    *from = to;
    return HG_OK;
}

hg_status rows_has_waiting(hg_store *s, int64_t batch, bool *out, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, s, "SELECT 1 FROM batch_lines WHERE batch = ? AND state = ? LIMIT 1");
    hg_query_int(&q, 1, batch);
    hg_query_int(&q, 2, HG_LINE_WAITING);
    *out = hg_query_row(&q);
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

hg_status rows_each(hg_store *s, int64_t batch, hg_line_fn *fn, hg_lot_fn *lot, void *ctx,
                    hg_err *e)
{
    for (int64_t from = 0, to;; from = to) {
        HG_TRY(next_lot(s, batch, from, &to, e));
        if (to == 0) return HG_OK;
        HG_TRY(each_of_lot(s, batch, from, to, fn, ctx, e));
        if (lot != NULL) HG_TRY(lot(ctx, e));
        hg_store_let_others();
    }
}
