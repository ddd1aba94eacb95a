/* Parts of pages about a model's files: a chat template in colours, and tokens as chips. The
 * template is not parsed, only looked through for its brackets and strings, so that a broken one is
 * shown like any other. */
#include "text/page.h"
#include <string.h>

void hg_page_chips(hg_buf *b, const hg_page_chip *chip, size_t n)
{
    hg_buf_puts(b, "<div class=\"chips\">\n");
    for (size_t i = 0; i < n; i++) {
        const char *text = chip[i].text == NULL ? "" : chip[i].text;
        hg_buf_puts(b, "<span><code>");
        hg_page_escape(b, (hg_bytes){text, strlen(text)});
        hg_buf_puts(b, "</code>");
        if (chip[i].note != NULL) {
            hg_buf_puts(b, "<small>");
            hg_page_escape(b, (hg_bytes){chip[i].note, strlen(chip[i].note)});
            hg_buf_puts(b, "</small>");
        }
        hg_buf_puts(b, "</span>\n");
    }
    hg_buf_puts(b, "</div>\n");
}

static void span(hg_buf *b, const char *kind, const char *p, const char *end)
{
    hg_buf_printf(b, "<span class=\"%s\">", kind);
    hg_page_escape(b, (hg_bytes){p, (size_t)(end - p)});
    hg_buf_puts(b, "</span>");
}

/* Behind the string that begins at p. */
static const char *string_end(const char *p, const char *end)
{
    const char quote = *p++;
    while (p < end && *p != quote) p += *p == '\\' && end - p > 1 ? 2 : 1;
    return p < end ? p + 1 : end;
}

/* A block from its opening to its closing bracket, strings apart; returns where it ends. */
static const char *block(hg_buf *b, const char *p, const char *end)
{
    const char close = p[1] == '{' ? '}' : p[1];
    const char *kind = p[1] == '{' ? "jv" : p[1] == '%' ? "jk" : "jc";
    const char *from = p;
    p += 2;
    while (p < end && !(p[0] == close && end - p > 1 && p[1] == '}')) {
        if (close != '#' && (*p == '\'' || *p == '"')) {
            const char *q = string_end(p, end);
            span(b, kind, from, p);
            span(b, "js", p, q);
            from = p = q;
        } else {
            p++;
        }
    }
    p = end - p > 2 ? p + 2 : end;
    span(b, kind, from, p);
    return p;
}

void hg_page_jinja(hg_buf *b, hg_bytes text)
{
    const char *p = text.p, *end = text.n > 0 ? text.p + text.n : text.p, *from = p;
    hg_buf_puts(b, "<pre>");
    while (p < end) {
        bool opens = end - p > 2 && p[0] == '{' && (p[1] == '{' || p[1] == '%' || p[1] == '#');
        if (!opens) {
            p++;
            continue;
        }
        hg_page_escape(b, (hg_bytes){from, (size_t)(p - from)});
        from = p = block(b, p, end);
    }
    hg_page_escape(b, (hg_bytes){from, (size_t)(end - from)});
    hg_buf_puts(b, "</pre>\n");
}
