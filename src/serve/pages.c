/* The page, as files: bundled by web/build.sh, compressed, in the binary. Each of its rooms has a
 * path of its own, at which the same page is sent; it finds its way by itself. The content policy
 * allows our own files and nothing else: no inline script, no other site, no frame around it. */
#include "serve/page/files.h"
#include "serve/server.h"

#include <string.h>
#include <zlib.h>

/* Pictures may be data: for what a person attaches. Everything else is 'self' by default. */
static const char policy[] = "default-src 'self'; img-src 'self' data:; object-src 'none'; "
                             "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static const hg_page_file *find_file(const char *path)
{
    for (size_t i = 0; i < hg_n_page_files; i++)
        if (strcmp(hg_page_files[i].path, path) == 0) return &hg_page_files[i];
    return NULL;
}

static bool has_word(const char *header, const char *word)
{
    return header != NULL && strstr(header, word) != NULL;
}

/* For the few that cannot read gzip. */
static void send_plain(hg_exchange *x, const hg_page_file *f)
{
    hg_buf b = {0};
    z_stream z = {.next_in = (Bytef *)(uintptr_t)f->bytes, .avail_in = (uInt)f->n};
    char *out = hg_buf_room(&b, f->n_plain);
    bool ok = false;

    if (out != NULL && inflateInit2(&z, 15 + 16) == Z_OK) {
        z.next_out = (Bytef *)out;
        z.avail_out = (uInt)f->n_plain;
        ok = inflate(&z, Z_FINISH) == Z_STREAM_END;
        (void)inflateEnd(&z);
    }
    if (ok)
        hg_exchange_reply(x, 200, f->type, (hg_bytes){out, f->n_plain});
    else
        hg_exchange_reply(x, 500, NULL, (hg_bytes){"", 0});
    hg_buf_free(&b);
}

static void send_file(hg_exchange *x, const hg_page_file *f)
{
    hg_exchange_add_header(x, "Content-Security-Policy", policy);
    hg_exchange_add_header(x, "Referrer-Policy", "no-referrer");
    hg_exchange_add_header(x, "ETag", f->tag);
    hg_exchange_add_header(x, "Vary", "Accept-Encoding");
    hg_exchange_add_header(x, "Cache-Control",
                           strcmp(f->path, "/") == 0 ? "no-cache"
                                                     : "public, max-age=31536000, immutable");
    if (has_word(hg_exchange_header(x, "If-None-Match"), f->tag)) {
        hg_exchange_reply(x, 304, NULL, (hg_bytes){"", 0});
        return;
    }
    if (f->n_plain != 0 && !has_word(hg_exchange_header(x, "Accept-Encoding"), "gzip")) {
        send_plain(x, f);
        return;
    }
    if (f->n_plain != 0) hg_exchange_add_header(x, "Content-Encoding", "gzip");
    hg_exchange_reply_static(x, 200, f->type, (hg_bytes){(const char *)f->bytes, f->n});
}

static void send_page(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    static const char none[] = "This server was built without its page, because npm was missing; "
                               "the API begins at /v1.\n";
    const hg_page_file *f = find_file("/");

    (void)s;
    (void)rest;
    if (f != NULL)
        send_file(x, f);
    else
        hg_exchange_reply_static(x, 200, "text/plain; charset=utf-8",
                                 (hg_bytes){none, sizeof none - 1});
}

static void explain(hg_buf *out, const hg_problem *p)
{
    hg_openai.explain(out, p);
}

static void send_asset(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    const hg_page_file *f = find_file(hg_exchange_path(x));
    hg_problem p;

    (void)s;
    (void)rest;
    if (f != NULL) {
        send_file(x, f);
        return;
    }
    (void)hg_refuse(&p, 404, "not_found", NULL, "the page has no such file; it is at /");
    hg_answer_problem(x, &hg_pages, &p);
}

/* What is shown at each path, web/src/lib/router.js says. */
static const hg_route routes[] = {{"GET", "/", send_page, HG_ANYBODY},
                                  {"GET", "/chat", send_page, HG_ANYBODY},
                                  {"GET", "/chat/", send_page, HG_ANYBODY},
                                  {"GET", "/models", send_page, HG_ANYBODY},
                                  {"GET", "/models/", send_page, HG_ANYBODY},
                                  {"GET", "/p/", send_page, HG_ANYBODY},
                                  {"GET", "/train", send_page, HG_ANYBODY},
                                  {"GET", "/train/", send_page, HG_ANYBODY},
                                  {"GET", "/dashboard", send_page, HG_ANYBODY},
                                  {"GET", "/assets/", send_asset, HG_ANYBODY},
                                  {NULL, NULL, NULL, HG_NEEDS_RUN}};
const hg_protocol hg_pages = {.routes = routes, .explain = explain};
