/* Files as OpenAI's clients know them. */
#include "serve/files/files_call.h"
#include "base/clock.h"
#include "http/multipart.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIST_MAX = 10000, LEAST_SECONDS = 3600, DAY_S = 86400 };

static void put_file(hg_json_out *o, const hg_file *f)
{
    hg_json_begin(o, NULL, '{');
    hg_json_text(o, "id", f->id);
    hg_json_text(o, "object", "file");
    hg_json_int(o, "bytes", (int64_t)f->n_bytes);
    hg_json_int(o, "created_at", f->created);
    if (f->expires > 0) hg_json_int(o, "expires_at", f->expires);
    hg_json_text(o, "filename", f->name);
    hg_json_text(o, "purpose", f->purpose);
    hg_json_text(o, "status", "processed");
    hg_json_null(o, "status_details");
    hg_json_end(o);
}

static void reply_file(hg_server *s, hg_exchange *x, const char *id)
{
    hg_file file;
    hg_problem p;
    hg_err e = {0};
    hg_buf b = {0};
    hg_json_out o;

    if (hg_files_get(hg_server_files(s), hg_exchange_owner(x), id, hg_exchange_memory(x), &file,
                     &e) != HG_OK) {
        (void)hg_files_refuse(&p, &e, "file_id");
        hg_answer_problem(x, &hg_openai, &p);
        return;
    }
    hg_json_out_init(&o, &b, 0);
    put_file(&o, &file);
    hg_reply_json(x, &hg_openai, &b);
}

void hg_files_openai_get(hg_server *s, hg_exchange *x, const char *id)
{
    reply_file(s, x, id);
}

/* ---- creating ---- */
/* A short text of a part, in the exchange's memory; NULL when there is none. */
static const char *text_of(hg_exchange *x, const hg_form_parts *form, const char *name)
{
    const hg_part *p = hg_form_part(form, name);

    if (p == NULL || p->body.n > 256) return NULL;
    return hg_arena_strndup(hg_exchange_memory(x), p->body.p, p->body.n);
}

static bool read_purpose(hg_exchange *x, const hg_form_parts *form, const char **out, hg_problem *p)
{
    static const char *const known[] = {"fine-tune", "batch",     "assistants",
                                        "vision",    "user_data", "evals"};
    const char *given = text_of(x, form, "purpose");

    for (size_t i = 0; given != NULL && i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i], given) != 0) continue;
        *out = known[i];
        return true;
    }
    return hg_refuse(
        p, 400, given != NULL ? "invalid_value" : "missing_required_parameter", "purpose",
        "purpose must be one of fine-tune, batch, assistants, vision, user_data, evals");
}

static bool read_expiry(hg_exchange *x, const hg_form_parts *form, int64_t *out, hg_problem *p)
{
    const char *anchor = text_of(x, form, "expires_after[anchor]"),
               *seconds = text_of(x, form, "expires_after[seconds]");
    const long long most = (long long)HG_FILES_MAX_DAYS * DAY_S;
    char *end = NULL;

    if (anchor == NULL && seconds == NULL) return true;
    if (anchor == NULL || strcmp(anchor, "created_at") != 0)
        return hg_refuse(p, 400, "invalid_value", "expires_after.anchor",
                         "expires_after.anchor must be created_at");
    const long long v = seconds != NULL ? strtoll(seconds, &end, 10) : 0;
    if (seconds == NULL || end == seconds || *end != '\0' || v < LEAST_SECONDS || v > most)
        return hg_refuse(p, 400, "invalid_value", "expires_after.seconds",
                         "expires_after.seconds must be a whole number from %d to %lld",
                         (int)LEAST_SECONDS, most);
    *out = hg_unix_time() + v;
    return true;
}

static bool read_ask(hg_exchange *x, const hg_form_parts *form, hg_file_ask *ask, hg_problem *p)
{
    const hg_part *file = hg_form_part(form, "file");

    *ask = (hg_file_ask){.owner = hg_exchange_owner(x), .id_prefix = "file-"};
    if (file == NULL || !file->has_filename)
        return hg_refuse(p, 400, "missing_required_parameter", "file",
                         "the form has no file: a part \"file\" with a file name is needed (or "
                         "\"content\", as Replicate's clients send it)");
    if (file->body.n == 0) return hg_refuse(p, 400, "invalid_value", "file", "the file is empty");
    ask->name = file->filename;
    ask->type = file->type;
    return read_purpose(x, form, &ask->purpose, p) && read_expiry(x, form, &ask->expires, p);
}

void hg_files_openai_create(hg_server *s, hg_exchange *x, const hg_form_parts *form)
{
    char id[HG_FILE_ID_ROOM];
    hg_file_ask ask;
    hg_problem p;
    hg_err e = {0};
    bool ok = read_ask(x, form, &ask, &p);

    if (ok &&
        hg_files_put(hg_server_files(s), &ask, hg_form_part(form, "file")->body, id, &e) != HG_OK)
        ok = hg_files_refuse(&p, &e, "file");
    if (ok)
        reply_file(s, x, id);
    else
        hg_answer_problem(x, &hg_openai, &p);
}

/* ---- lists ---- */
typedef struct listing {
    hg_json_out o;
    int64_t left;
    bool has_more;
    char first[HG_FILE_ID_ROOM], last[HG_FILE_ID_ROOM];
} listing;

static bool put_next(void *ctx, const hg_file *file)
{
    listing *l = ctx;

    l->has_more = l->left-- == 0;
    if (l->has_more) return false;
    if (l->first[0] == '\0') memcpy(l->first, file->id, sizeof l->first);
    memcpy(l->last, file->id, sizeof l->last);
    put_file(&l->o, file);
    return true;
}

static bool read_query(hg_exchange *x, hg_files_query *q, int64_t *limit, hg_problem *p)
{
    const char *order = hg_exchange_query(x, "order");

    *limit = LIST_MAX;
    *q = (hg_files_query){.owner = hg_exchange_owner(x),
                          .after = hg_exchange_query(x, "after"),
                          .purpose = hg_exchange_query(x, "purpose")};
    if (order != NULL && strcmp(order, "asc") != 0 && strcmp(order, "desc") != 0)
        return hg_refuse(p, 400, "invalid_value", "order", "order must be asc or desc");
    q->is_oldest_first = order != NULL && strcmp(order, "asc") == 0;
    return hg_query_number(x, "limit", 1, LIST_MAX, limit, p);
}

void hg_files_openai_list(hg_server *s, hg_exchange *x)
{
    hg_buf b = {0};
    listing l = {.has_more = false};
    hg_files_query q;
    hg_problem p;
    hg_err e = {0};
    bool ok = read_query(x, &q, &l.left, &p);

    hg_json_out_init(&l.o, &b, 0);
    hg_json_begin(&l.o, NULL, '{');
    hg_json_text(&l.o, "object", "list");
    hg_json_begin(&l.o, "data", '[');
    if (ok &&
        hg_files_list(hg_server_files(s), &q, hg_exchange_memory(x), put_next, &l, &e) != HG_OK)
        ok = hg_files_refuse(&p, &e, "after");
    hg_json_end(&l.o);
    hg_json_text(&l.o, "first_id", l.first[0] != '\0' ? l.first : NULL);
    hg_json_text(&l.o, "last_id", l.last[0] != '\0' ? l.last : NULL);
    hg_json_bool(&l.o, "has_more", l.has_more);
    hg_json_end(&l.o);
    if (ok) {
        hg_reply_json(x, &hg_openai, &b);
        return;
    }
    hg_buf_free(&b);
    hg_answer_problem(x, &hg_openai, &p);
}

void hg_files_openai_delete(hg_server *s, hg_exchange *x, const char *id)
{
    hg_buf b = {0};
    hg_json_out o;
    hg_problem p;
    hg_err e = {0};

    if (hg_files_delete(hg_server_files(s), hg_exchange_owner(x), id, &e) != HG_OK) {
        (void)hg_files_refuse(&p, &e, "file_id");
        hg_answer_problem(x, &hg_openai, &p);
        return;
    }
    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_text(&o, "id", id);
    hg_json_text(&o, "object", "file");
    hg_json_bool(&o, "deleted", true);
    hg_json_end(&o);
    hg_reply_json(x, &hg_openai, &b);
}
