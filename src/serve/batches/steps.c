/* The two ends of a batch: from a file to its lines, and from the lines to files. */
#include "serve/batches/batches_impl.h"
#include "base/clock.h"
#include "serve/files/files.h"

#include <stdio.h>
#include <string.h>

enum { MAX_CUSTOM_ID = 512, DAY_S = 24 * 60 * 60 };

/* ---- a line of the input ---- */
static bool bad(hg_problem *p, const char *param, const char *what)
{
    return hg_refuse(p, 400, "invalid_value", param, "%s %s", param, what);
}

static bool check_body(const json_t *body, hg_problem *p)
{
    if (!json_is_object(body)) return bad(p, "body", "must be an object: the request");
    if (json_is_true(json_object_get(body, "stream")))
        return bad(p, "body.stream", "must be false: nobody reads along");
    if (json_is_true(json_object_get(body, "background")))
        return bad(p, "body.background", "must be false: a batch is in the background already");
    return true;
}

bool hg_batch_line_read(hg_batch_line *out, json_t **tree, hg_buf *text, hg_bytes line,
                        const char *endpoint, hg_problem *p)
{
    hg_err e = {0};

    *tree = NULL;
    if (hg_json_parse(tree, line, HG_SERVE_MAX_BODY, &e) != HG_OK)
        return hg_refuse(p, 400, "invalid_json_line", NULL, "the line is no JSON: %s", e.msg);
    const json_t *id = json_object_get(*tree, "custom_id");
    const char *method = json_string_value(json_object_get(*tree, "method"));
    const char *url = json_string_value(json_object_get(*tree, "url"));
    const json_t *body = json_object_get(*tree, "body");
    if (!json_is_object(*tree))
        return hg_refuse(p, 400, "invalid_json_line", NULL, "the line must be an object");
    if (!json_is_string(id) || json_string_length(id) == 0 ||
        json_string_length(id) > MAX_CUSTOM_ID)
        return bad(p, "custom_id", "must be a string of 1 to 512 bytes");
    if (method == NULL || strcmp(method, "POST") != 0) return bad(p, "method", "must be POST");
    if (url == NULL || strcmp(url, endpoint) != 0)
        return bad(p, "url", "must be the endpoint of the batch");
    if (!check_body(body, p)) return false;
    if (hg_json_put_tree(text, body, &e) != HG_OK)
        return hg_refuse(p, 500, NULL, NULL, "no room for the line");
    out->custom_id = (hg_bytes){json_string_value(id), json_string_length(id)};
    out->body = (hg_bytes){text->p, text->n};
    return true;
}

/* ---- the whole input ---- */
typedef struct reading {
    hg_batches *b;
    const hg_batch *batch;
    int64_t n_lines, line; /* that are good; that were read */
    hg_json_out o;
    hg_buf errors;
    int n_errors;
} reading;

static void add_error(reading *r, const hg_problem *p)
{
    if (r->n_errors++ >= HG_BATCH_MAX_ERRORS) return;
    hg_json_begin(&r->o, NULL, '{');
    hg_json_text(&r->o, "code", p->code != NULL ? p->code : "invalid_value");
    hg_json_text(&r->o, "message", p->msg);
    hg_json_text(&r->o, "param", p->param[0] != 0 ? p->param : NULL);
    if (r->line > 0)
        hg_json_int(&r->o, "line", r->line);
    else
        hg_json_null(&r->o, "line");
    hg_json_end(&r->o);
}

static hg_status take_line(reading *r, hg_bytes line, hg_err *e)
{
    hg_batch_line l;
    json_t *tree = NULL;
    hg_buf text = {0};
    hg_problem p;
    hg_status s = HG_OK;

    if (!hg_batch_line_read(&l, &tree, &text, line, r->batch->endpoint, &p)) {
        add_error(r, &p);
    } else if (r->n_errors == 0) {
        s = rows_add_line(r->b->store, r->batch->n, r->line, &l, e);
        if (s == HG_OK) r->n_lines++;
        if (s == HG_E_STATE) {
            (void)hg_refuse(&p, 400, "duplicate_custom_id", "custom_id",
                            "custom_id: another line has the same");
            add_error(r, &p);
            s = HG_OK;
        }
    }
    json_decref(tree);
    hg_buf_free(&text);
    return s;
}

static bool is_blank(hg_bytes line)
{
    for (size_t i = 0; i < line.n; i++)
        if (line.p[i] != ' ' && line.p[i] != '\t' && line.p[i] != '\r') return false;
    return true;
}

/* The next lines, at most so many, of `rest`. */
static hg_status take_some(reading *r, hg_bytes *rest, hg_err *e)
{
    hg_status s = HG_OK;
    size_t bytes = 0;

    for (int i = 0; i < LOT_LINES && bytes < LOT_BYTES && rest->n > 0 && s == HG_OK; i++) {
        const char *end = memchr(rest->p, '\n', rest->n);
        const size_t n = end != NULL ? (size_t)(end - rest->p) : rest->n;
        const hg_bytes line = {rest->p, n};
        rest->p += end != NULL ? n + 1 : n;
        rest->n -= end != NULL ? n + 1 : n;
        r->line++;
        bytes += n;
        if (!is_blank(line)) s = take_line(r, line, e);
    }
    return s;
}

static hg_status take_all(reading *r, hg_bytes all, hg_err *e)
{
    hg_problem p;

    HG_TRY(batch_drop_lines(r->b, r->batch->n, e)); /* of a reading that a kill has cut off */
    while (all.n > 0 && r->n_lines <= HG_BATCH_MAX_LINES && r->n_errors < HG_BATCH_MAX_ERRORS) {
        HG_TRY(hg_store_begin(r->b->store, e));
        HG_TRY(hg_store_end(r->b->store, take_some(r, &all, e), e));
        HG_TRY(batch_go_on(r->b, e));
    }
    const bool is_long = r->n_lines > HG_BATCH_MAX_LINES;
    if (!is_long && (r->n_lines > 0 || r->n_errors > 0)) return HG_OK;
    r->line = 0;
    (void)hg_refuse(&p, 400, is_long ? "too_many_lines" : "empty_file", NULL,
                    is_long ? "the file has more than %d lines" : "the file has no line",
                    HG_BATCH_MAX_LINES);
    add_error(r, &p);
    return HG_OK;
}

static hg_status conclude(reading *r, hg_err *e)
{
    if (r->n_errors == 0) return rows_begin(r->b->store, r->batch->n, r->n_lines, e);
    hg_json_end(&r->o);
    hg_json_end(&r->o);
    HG_TRY(hg_buf_status(&r->errors, e));
    /* In this order: a kill in between leaves lines, which are dropped later, and not a batch that
     * seems to have had none. */
    HG_TRY(rows_fail(r->b->store, r->batch->n, (hg_bytes){r->errors.p, r->errors.n}, e));
    return batch_drop_lines(r->b, r->batch->n, e);
}

hg_status batch_validate(hg_batches *b, const hg_batch *batch, hg_err *e)
{
    reading r = {.b = b, .batch = batch};
    hg_map map = {0};
    hg_problem p;
    hg_err why = {0};

    hg_json_out_init(&r.o, &r.errors, 0);
    hg_json_begin(&r.o, NULL, '{');
    hg_json_text(&r.o, "object", "list");
    hg_json_begin(&r.o, "data", '[');
    hg_status s =
        hg_files_map(hg_server_files(b->server), batch->owner, batch->input_file, &map, &why);
    if (s != HG_OK) {
        (void)hg_refuse(&p, 400, "invalid_file", "input_file_id", "the input: %.400s", why.msg);
        add_error(&r, &p);
        s = HG_OK;
    } else {
        s = take_all(&r, (hg_bytes){(const char *)map.p, map.n}, e);
        hg_map_close(&map);
    }
    if (s == HG_OK) s = conclude(&r, e);
    hg_buf_free(&r.errors);
    return s;
}

/* ---- results ---- */
/* One of the two files; of no line, no file. */
typedef struct output {
    const char *what;
    hg_buf text; /* of the lot that is being read */
    hg_file_draft *draft;
    char id[HG_FILE_ID_ROOM];
} output;

typedef struct results {
    hg_batches *b;
    const hg_batch *batch;
    output good, bad;
} results;

static void put_line(void *ctx, const hg_line_result *l)
{
    results *r = ctx;
    hg_buf *to = l->state == HG_LINE_DONE ? &r->good.text : &r->bad.text;
    const bool has_answer = l->state == HG_LINE_DONE || l->state == HG_LINE_FAILED;
    char id[80];
    hg_json_out o;

    if (!has_answer && l->state != HG_LINE_EXPIRED) return;
    (void)snprintf(id, sizeof id, "batch_req_%.40s_%lld", r->batch->id + strlen("batch_"),
                   (long long)l->line);
    hg_json_out_init(&o, to, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_text(&o, "id", id);
    hg_json_bytes(&o, "custom_id", l->custom_id);
    if (has_answer) {
        hg_json_begin(&o, "response", '{');
        hg_json_int(&o, "status_code", l->status);
        hg_json_text(&o, "request_id", l->request_id);
        hg_json_raw(&o, "body", l->body.n > 0 ? l->body : (hg_bytes){"null", 4});
        hg_json_end(&o);
        hg_json_null(&o, "error");
    } else {
        hg_json_null(&o, "response");
        hg_json_begin(&o, "error", '{');
        hg_json_text(&o, "code", "batch_expired");
        hg_json_text(&o, "message",
                     "This request could not be executed before the completion window expired.");
        hg_json_end(&o);
    }
    hg_json_end(&o);
    hg_buf_putc(to, '\n');
}

static hg_status write_lot(results *r, output *out, hg_err *e)
{
    hg_status s = hg_buf_status(&out->text, e);

    if (s == HG_OK && out->text.n > 0 && out->draft == NULL)
        s = hg_files_begin(&out->draft, hg_server_files(r->b->server), r->batch->owner, e);
    if (s == HG_OK && out->text.n > 0)
        s = hg_files_add(out->draft, (hg_bytes){out->text.p, out->text.n}, e);
    hg_buf_free(&out->text);
    return s;
}

static hg_status end_lot(void *ctx, hg_err *e)
{
    results *r = ctx;

    HG_TRY(write_lot(r, &r->good, e));
    HG_TRY(write_lot(r, &r->bad, e));
    return batch_go_on(r->b, e);
}

static hg_status keep_file(const results *r, hg_file_ask *ask, output *out, hg_err *e)
{
    hg_file_draft *d = out->draft;
    char name[96];

    if (d == NULL) return HG_OK;
    (void)snprintf(name, sizeof name, "%s_%s.jsonl", r->batch->id, out->what);
    ask->name = name;
    out->draft = NULL;
    return hg_files_keep(d, ask, out->id, e);
}

static hg_status write_files(results *r, hg_err *e)
{
    char note[96];
    hg_file_ask ask = {.owner = r->batch->owner,
                       .id_prefix = "file-",
                       .type = "application/jsonl",
                       .purpose = "batch_output",
                       .metadata = note,
                       .expires = hg_unix_time() + (int64_t)HG_BATCH_DAYS * DAY_S};

    (void)snprintf(note, sizeof note, "{\"batch\":\"%s\"}", r->batch->id);
    /* Of an earlier end that a kill has cut off. */
    HG_TRY(hg_files_delete_made(hg_server_files(r->b->server), &ask, e));
    HG_TRY(rows_each(r->b->store, r->batch->n, put_line, end_lot, r, e));
    HG_TRY(keep_file(r, &ask, &r->good, e));
    return keep_file(r, &ask, &r->bad, e);
}

static void drop_output(const results *r, output *out, bool is_told)
{
    hg_files_drop(out->draft);
    hg_buf_free(&out->text);
    if (!is_told && out->id[0] != '\0')
        (void)hg_files_delete(hg_server_files(r->b->server), r->batch->owner, out->id,
                              &(hg_err){0});
}

/* Writes both files and that they are there. */
static hg_status end_with_files(hg_batches *b, const hg_batch *batch, hg_err *e)
{
    results r = {.b = b, .batch = batch, .good = {.what = "output"}, .bad = {.what = "error"}};
    hg_status s = write_files(&r, e);

    if (s == HG_OK) s = rows_end(b->store, batch, r.good.id, r.bad.id, e);
    drop_output(&r, &r.good, s == HG_OK);
    drop_output(&r, &r.bad, s == HG_OK);
    return s;
}

/* What will not be kept ends the batch. */
static hg_status end_without(hg_batches *b, const hg_batch *batch, const hg_err *why, hg_err *e)
{
    reading r = {.b = b, .batch = batch};
    hg_problem p;

    hg_json_out_init(&r.o, &r.errors, 0);
    hg_json_begin(&r.o, NULL, '{');
    hg_json_text(&r.o, "object", "list");
    hg_json_begin(&r.o, "data", '[');
    (void)hg_refuse(&p, 400, "output_not_kept", NULL, "the results cannot be kept: %.400s",
                    why->msg);
    add_error(&r, &p);
    const hg_status s = conclude(&r, e);
    hg_buf_free(&r.errors);
    return s;
}

/* A limit (the owner has no room, a file would be too large) is no better tomorrow; the disk may
 * be. */
hg_status batch_finalize(hg_batches *b, const hg_batch *batch, bool is_last, hg_err *e)
{
    hg_err why = {0};

    if (batch->vendor != HG_BATCH_OPENAI) return rows_end(b->store, batch, "", "", e);
    const hg_status s = end_with_files(b, batch, &why);
    if (s == HG_OK) return batch_drop_lines(b, batch->n, e);
    if (s != HG_E_CANCELED && (is_last || s == HG_E_LIMIT)) return end_without(b, batch, &why, e);
    return hg_fail(e, s, "%s", why.msg);
}
