/* POST /v1/files is two vendors' route: OpenAI's form has a part "file", Replicate's one "content".
 * What was made by one face is read, listed and deleted through the same ids; ids that begin with
 * "file-" are answered in OpenAI's form, others in Replicate's, lists by who asks. */
#include "serve/files/files_call.h"
#include "serve/ids.h"
#include "http/multipart.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FORM_ROOM = 64 * 1024 }; /* of a form around a file */

static const hg_protocol hg_replicate_like = {.explain = hg_files_replicate_explain};

size_t hg_files_max_body(hg_bytes method, hg_bytes path)
{
    static const char end[] = "/v1/files";
    const size_t n = sizeof end - 1;
    const bool is_upload = method.n == 4 && memcmp(method.p, "POST", 4) == 0 && path.n >= n &&
                           memcmp(path.p + path.n - n, end, n) == 0;

    return is_upload ? (size_t)HG_FILES_MAX_BYTES + FORM_ROOM : 0;
}

bool hg_files_refuse(hg_problem *p, const hg_err *e, const char *param)
{
    switch (e->status) {
    case HG_E_MISSING:
        return hg_refuse(p, 404, "not_found", param, "%s", e->msg);
    case HG_E_LIMIT:
        return hg_refuse(p, 413, "limit_exceeded", param, "%s", e->msg);
    case HG_E_IO:
    case HG_E_FULL:
        return hg_refuse(p, 507, "storage_full", param, "%s", e->msg);
    case HG_E_FORMAT:
    case HG_E_ARG:
        return hg_refuse(p, 400, "invalid_form", param, "%s", e->msg);
    default:
        return hg_refuse(p, 500, NULL, param, "%s", e->msg);
    }
}

bool hg_query_number(const hg_exchange *x, const char *name, int64_t min, int64_t max, int64_t *out,
                     hg_problem *p)
{
    const char *text = hg_exchange_query(x, name);
    char *end = NULL;

    if (text == NULL) return true;
    const long long v = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || v < min || v > max)
        return hg_refuse(p, 400, "invalid_value", name,
                         "%s must be a whole number from %lld to %lld", name, (long long)min,
                         (long long)max);
    *out = v;
    return true;
}

const hg_part *hg_form_part(const hg_form_parts *f, const char *name)
{
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->part[i].name, name) == 0) return &f->part[i];
    return NULL;
}

/* ---- routes ---- */
static bool is_replicate_client(const hg_exchange *x)
{
    const char *agent = hg_exchange_header(x, "User-Agent");

    return agent != NULL && strstr(agent, "replicate") != NULL;
}

static bool is_openai_id(const char *id)
{
    return strstr(id, "file-") == id;
}

static bool read_form(hg_exchange *x, hg_form_parts *form, hg_problem *p)
{
    hg_err e = {0};

    form->part = HG_NEW(hg_exchange_memory(x), hg_part, HG_MULTIPART_MAX_PARTS);
    if (form->part == NULL) return hg_refuse(p, 500, NULL, NULL, "no room for the form");
    if (hg_multipart_parse(hg_exchange_body(x), hg_exchange_header(x, "Content-Type"), form->part,
                           &form->n, &e) != HG_OK)
        return hg_refuse(p, 400, "invalid_form", NULL, "%s", e.msg);
    return true;
}

static void create(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_form_parts form = {0};
    hg_problem p;

    (void)rest;
    if (!read_form(x, &form, &p))
        hg_answer_problem(x, is_replicate_client(x) ? &hg_replicate_like : &hg_openai, &p);
    else if (hg_form_part(&form, "content") != NULL && hg_form_part(&form, "file") == NULL)
        hg_files_replicate_create(s, x, &form);
    else
        hg_files_openai_create(s, x, &form);
}

static void list(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    (void)rest;
    if (is_replicate_client(x))
        hg_files_replicate_list(s, x);
    else
        hg_files_openai_list(s, x);
}

static void send_bytes(hg_exchange *x, const hg_file *file, int fd)
{
    char disposition[600] = "attachment; filename=\"";
    size_t n = strlen(disposition);

    for (const char *c = file->name; *c != '\0' && n + 4 < sizeof disposition; c++)
        disposition[n++] = strchr("\"\\", *c) != NULL || (unsigned char)*c < 0x20 ? '_' : *c;
    (void)snprintf(disposition + n, sizeof disposition - n, "\"");
    hg_exchange_add_header(x, "Content-Disposition", disposition);
    hg_exchange_add_header(x, "Content-Security-Policy", "sandbox");
    hg_exchange_add_header(x, "Cache-Control", "private, no-store");
    /* Whatever a file says it is, a browser shows none as a page of ours. */
    hg_exchange_reply_file(x, 200, "application/octet-stream", fd, 0, file->n_bytes);
}

static bool download(hg_server *s, hg_exchange *x, const char *owner, const char *id, hg_problem *p)
{
    hg_files *f = hg_server_files(s);
    hg_file file;
    hg_err e = {0};
    uint64_t n = 0;
    int fd = -1;

    if (hg_files_get(f, owner, id, hg_exchange_memory(x), &file, &e) != HG_OK ||
        hg_files_open(f, owner, id, &fd, &n, &e) != HG_OK)
        return hg_files_refuse(p, &e, "file_id");
    send_bytes(x, &file, fd);
    return true;
}

/* Who has the signature needs no token. */
static bool download_signed(hg_server *s, hg_exchange *x, const char *id, hg_problem *p)
{
    const char *raw = hg_exchange_query(x, "owner"), *signature = hg_exchange_query(x, "signature");
    char owner[64];
    int64_t expiry = 0;

    if (raw == NULL || signature == NULL || strlen(raw) > 180 ||
        !hg_query_number(x, "expiry", 1, INT64_MAX, &expiry, p))
        return hg_refuse(p, 404, "not_found", NULL, "there is no file at this address");
    const hg_bytes who = hg_path_decode((hg_bytes){raw, strlen(raw)}, owner, sizeof owner - 1);
    owner[who.n] = '\0';
    if (!hg_files_is_signed(hg_server_files(s), owner, id, expiry,
                            (hg_bytes){signature, strlen(signature)}))
        return hg_refuse(p, 404, "not_found", NULL, "there is no file at this address");
    return download(s, x, owner, id, p);
}

/* Downloads by a signature ask for no token, so the route is open and asks by itself. */
static void get(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    char id[HG_FILE_ID_ROOM];
    const char *what = hg_id_split(rest, id, sizeof id);
    const hg_protocol *face = is_openai_id(id) ? &hg_openai : &hg_replicate_like;
    const bool is_signed =
        strcmp(what, "download") == 0 && hg_exchange_query(x, "signature") != NULL;
    hg_problem p;
    bool ok = is_signed ? download_signed(s, x, id, &p) : hg_server_admit(s, x, HG_NEEDS_RUN, &p);

    if (ok && !is_signed) {
        const bool wants_bytes = strcmp(what, "content") == 0 || strcmp(what, "download") == 0;
        if (wants_bytes)
            ok = download(s, x, hg_exchange_owner(x), id, &p);
        else if (what[0] != '\0')
            ok = hg_refuse(&p, 404, "not_found", NULL, "a file has /content and nothing else");
        else if (is_openai_id(id))
            hg_files_openai_get(s, x, id);
        else
            hg_files_replicate_get(s, x, id);
    }
    if (!ok) hg_answer_problem(x, face, &p);
}

static void delete (hg_server *s, hg_exchange *x, hg_bytes rest)
{
    char id[HG_FILE_ID_ROOM];

    if (hg_id_split(rest, id, sizeof id)[0] != '\0') id[0] = '\0';
    if (is_openai_id(id))
        hg_files_openai_delete(s, x, id);
    else
        hg_files_replicate_delete(s, x, id);
}

static void explain(hg_buf *out, const hg_problem *p)
{
    hg_openai.explain(out, p);
}

static const hg_route routes[] = {{"POST", "/v1/files", create, HG_NEEDS_RUN},
                                  {"GET", "/v1/files", list, HG_NEEDS_RUN},
                                  {"GET", "/v1/files/", get, HG_ANYBODY},
                                  {"DELETE", "/v1/files/", delete, HG_NEEDS_RUN},
                                  {NULL, NULL, NULL, HG_NEEDS_RUN}};
const hg_protocol hg_file_routes = {
    .mounts = "openai replicate", .routes = routes, .explain = explain};
