/* Files as Replicate's clients know them. */
#include "serve/files/files_call.h"
#include "base/clock.h"
#include "http/multipart.h"

#include <stdio.h>
#include <string.h>

enum { PAGE = 100, DAY_S = 86400 };

void hg_files_replicate_explain(hg_buf *out, const hg_problem *p)
{
    hg_json_out o;

    hg_json_out_init(&o, out, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_text(&o, "title", hg_http_reason(p->status));
    hg_json_text(&o, "detail", p->msg);
    hg_json_int(&o, "status", p->status);
    hg_json_end(&o);
    hg_buf_putc(out, '\n');
}

static const hg_protocol replicate_like = {.explain = hg_files_replicate_explain};

static void refuse(hg_exchange *x, const hg_err *e)
{
    hg_problem p;

    (void)hg_files_refuse(&p, e, NULL);
    hg_answer_problem(x, &replicate_like, &p);
}

/* ---- a file ---- */
/* The address under which the client has reached us. */
static void put_address(hg_buf *b, const hg_exchange *x, const char *id)
{
    const char *host = hg_exchange_header(x, "Host"),
               *proto = hg_exchange_header(x, "X-Forwarded-Proto");
    const bool is_tls = proto != NULL && strcmp(proto, "https") == 0;

    hg_buf_printf(b, "%s://%s/v1/files%s%s", is_tls ? "https" : "http",
                  host != NULL ? host : "localhost", id[0] != '\0' ? "/" : "", id);
}

static void put_owner(hg_buf *b, const char *owner)
{
    for (const char *c = owner; *c != '\0'; c++)
        hg_buf_printf(b,
                      strchr("-._~", *c) != NULL || (*c >= '0' && *c <= '9') ||
                              (*c >= 'A' && *c <= 'Z') || (*c >= 'a' && *c <= 'z')
                          ? "%c"
                          : "%%%02X",
                      (unsigned char)*c);
}

static void put_urls(hg_json_out *o, hg_server *s, const hg_exchange *x, const hg_file *f)
{
    const int64_t expiry = f->expires > 0 ? f->expires : hg_unix_time() + DAY_S;
    char signature[HG_FILE_SIGNATURE_ROOM];
    hg_buf get = {0}, download = {0};

    put_address(&get, x, f->id);
    put_address(&download, x, f->id);
    hg_files_sign(hg_server_files(s), f->owner, f->id, expiry, signature);
    hg_buf_puts(&download, "/download?owner=");
    put_owner(&download, f->owner);
    hg_buf_printf(&download, "&expiry=%lld&signature=%s", (long long)expiry, signature);
    hg_json_begin(o, "urls", '{');
    hg_json_bytes(o, "get", (hg_bytes){get.p, get.n});
    hg_json_bytes(o, "download", (hg_bytes){download.p, download.n});
    hg_json_end(o);
    if (get.failed || download.failed) o->b->failed = true;
    hg_buf_free(&get);
    hg_buf_free(&download);
}

static void put_file(hg_json_out *o, hg_server *s, const hg_exchange *x, const hg_file *f)
{
    char created[32], expires[32];

    hg_iso_time(f->created, created);
    hg_iso_time(f->expires, expires);
    hg_json_begin(o, NULL, '{');
    hg_json_text(o, "id", f->id);
    hg_json_text(o, "name", f->name);
    hg_json_text(o, "content_type", f->type);
    hg_json_int(o, "size", (int64_t)f->n_bytes);
    hg_json_text(o, "etag", f->sha256);
    hg_json_begin(o, "checksums", '{');
    hg_json_text(o, "sha256", f->sha256);
    hg_json_end(o);
    hg_json_raw(o, "metadata", (hg_bytes){f->metadata, strlen(f->metadata)});
    hg_json_text(o, "created_at", created);
    hg_json_text(o, "expires_at", f->expires > 0 ? expires : NULL);
    put_urls(o, s, x, f);
    hg_json_end(o);
}

static void reply_file(hg_server *s, hg_exchange *x, const char *id, int status)
{
    hg_file file;
    hg_err e = {0};
    hg_buf b = {0};
    hg_json_out o;

    if (hg_files_get(hg_server_files(s), hg_exchange_owner(x), id, hg_exchange_memory(x), &file,
                     &e) != HG_OK) {
        refuse(x, &e);
        return;
    }
    hg_json_out_init(&o, &b, 0);
    put_file(&o, s, x, &file);
    if (b.failed) {
        hg_reply_json(x, &replicate_like, &b);
        return;
    }
    hg_exchange_reply(x, status, "application/json", (hg_bytes){b.p, b.n});
    hg_buf_free(&b);
}

void hg_files_replicate_get(hg_server *s, hg_exchange *x, const char *id)
{
    reply_file(s, x, id, 200);
}

/* ---- creating ---- */
/* An object, written anew, in the exchange's memory. */
static hg_status read_metadata(hg_exchange *x, const hg_part *part, const char **out, hg_err *e)
{
    json_t *v = NULL;
    hg_buf b = {0};

    if (part == NULL || part->body.n == 0) return HG_OK;
    hg_status s = hg_json_parse(&v, part->body, HG_FILES_MAX_METADATA, e);
    if (s == HG_OK && !json_is_object(v))
        s = hg_fail(e, HG_E_ARG, "metadata must be a JSON object, not %s", hg_json_type_name(v));
    if (s == HG_OK) s = hg_json_put_tree(&b, v, e);
    if (s == HG_OK) *out = hg_arena_strndup(hg_exchange_memory(x), b.p, b.n);
    json_decref(v);
    hg_buf_free(&b);
    return s;
}

static const char *text_of(hg_exchange *x, const hg_form_parts *form, const char *name)
{
    const hg_part *p = hg_form_part(form, name);

    if (p == NULL || p->body.n == 0 || p->body.n > 255) return NULL;
    return hg_arena_strndup(hg_exchange_memory(x), p->body.p, p->body.n);
}

void hg_files_replicate_create(hg_server *s, hg_exchange *x, const hg_form_parts *form)
{
    const hg_part *content = hg_form_part(form, "content");
    const char *name = text_of(x, form, "filename"), *type = text_of(x, form, "type");
    char id[HG_FILE_ID_ROOM];
    hg_file_ask ask = {.owner = hg_exchange_owner(x),
                       .id_prefix = "r8",
                       .name = name != NULL ? name : content->filename,
                       .type = type != NULL ? type : content->type,
                       .purpose = "user_data",
                       .expires = hg_unix_time() + DAY_S};
    hg_err e = {0};
    hg_status r = read_metadata(x, hg_form_part(form, "metadata"), &ask.metadata, &e);

    if (r == HG_E_LIMIT)
        r = hg_fail(&e, HG_E_ARG, "metadata may have at most %d bytes", (int)HG_FILES_MAX_METADATA);
    if (r == HG_OK) r = hg_files_put(hg_server_files(s), &ask, content->body, id, &e);
    if (r == HG_OK)
        reply_file(s, x, id, 201);
    else
        refuse(x, &e);
}

/* ---- lists ---- */
typedef struct listing {
    hg_json_out o;
    hg_server *s;
    const hg_exchange *x;
    size_t n;
    bool has_more;
    char last[HG_FILE_ID_ROOM];
} listing;

static bool put_next(void *ctx, const hg_file *file)
{
    listing *l = ctx;

    l->has_more = l->n++ == PAGE;
    if (l->has_more) return false;
    memcpy(l->last, file->id, sizeof l->last);
    put_file(&l->o, l->s, l->x, file);
    return true;
}

void hg_files_replicate_list(hg_server *s, hg_exchange *x)
{
    const hg_files_query q = {.owner = hg_exchange_owner(x),
                              .after = hg_exchange_query(x, "cursor")};
    hg_buf b = {0}, next = {0};
    listing l = {.s = s, .x = x};
    hg_err e = {0};

    hg_json_out_init(&l.o, &b, 0);
    hg_json_begin(&l.o, NULL, '{');
    hg_json_null(&l.o, "previous");
    hg_json_begin(&l.o, "results", '[');
    const hg_status r =
        hg_files_list(hg_server_files(s), &q, hg_exchange_memory(x), put_next, &l, &e);
    hg_json_end(&l.o);
    put_address(&next, x, "");
    hg_buf_printf(&next, "?cursor=%s", l.last);
    if (l.has_more)
        hg_json_bytes(&l.o, "next", (hg_bytes){next.p, next.n});
    else
        hg_json_null(&l.o, "next");
    hg_json_end(&l.o);
    hg_buf_free(&next);
    if (r == HG_OK) {
        hg_reply_json(x, &replicate_like, &b);
        return;
    }
    hg_buf_free(&b);
    refuse(x, &e);
}

void hg_files_replicate_delete(hg_server *s, hg_exchange *x, const char *id)
{
    hg_err e = {0};

    if (hg_files_delete(hg_server_files(s), hg_exchange_owner(x), id, &e) == HG_OK)
        hg_exchange_reply(x, 204, NULL, (hg_bytes){"", 0});
    else
        refuse(x, &e);
}
