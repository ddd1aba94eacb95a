/* The chat page. The page's three files lie in the binary; the content policy allows
 * those and nothing else: no inline script, no other site, no frame around it. */
#include "serve/server.h"

#include <string.h>

extern const unsigned char hg_web_index_html[], hg_web_app_js[], hg_web_app_css[];
extern const size_t hg_web_index_html_size, hg_web_app_js_size, hg_web_app_css_size;

static const char policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static void send_file(hg_exchange *x, const char *type, const unsigned char *p, size_t n)
{
    hg_exchange_add_header(x, "Content-Security-Policy", policy);
    hg_exchange_add_header(x, "Referrer-Policy", "no-referrer");
    hg_exchange_add_header(x, "Cache-Control", "no-cache");
    hg_exchange_reply_static(x, 200, type, (hg_bytes){(const char *)p, n});
}

static void send_page(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    (void)s;
    (void)rest;
    send_file(x, "text/html; charset=utf-8", hg_web_index_html, hg_web_index_html_size);
}

static void send_script(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    (void)s;
    (void)rest;
    send_file(x, "text/javascript; charset=utf-8", hg_web_app_js, hg_web_app_js_size);
}

static void send_style(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    (void)s;
    (void)rest;
    send_file(x, "text/css; charset=utf-8", hg_web_app_css, hg_web_app_css_size);
}

static void explain(hg_buf *out, const hg_problem *p)
{
    hg_openai.explain(out, p);
}

static const hg_route routes[] = {{"GET", "/", send_page, true},
                                  {"GET", "/app.js", send_script, true},
                                  {"GET", "/app.css", send_style, true},
                                  {NULL, NULL, NULL, false}};
const hg_protocol hg_pages = {.routes = routes, .explain = explain};
