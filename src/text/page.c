/* Reports that people read: one HTML file with its style inside. It stands at the end of every
 * stage of a model's life (data card, training and evaluation reports), so the look is made once,
 * here. The idea: a page is plain text appended to a buffer, part after part; every string passes
 * one escaper, so that a document's title can never become markup. Charts are in page_chart.c,
 * parts of one page only in page_parts.c. */
#include "text/page.h"
#include "text/utf8.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char style[] =
    ":root{color-scheme:light dark;--bg:#fbfbfa;--card:#fff;--ink:#1d2329;--soft:#5c6773;"
    "--line:#e2e5e9;--accent:#0b63c5;--note:#fff6dd;--noteline:#e0b63a;"
    "--c0:#0b63c5;--c1:#d1570b;--c2:#17804a;--c3:#a8338f;--c4:#8a6d00;--c5:#0f8a99;--c6:#b3262e;"
    "--c7:#5f6b7a}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#14181c;--card:#1b2026;--ink:#e4e8ec;"
    "--soft:#9aa6b2;--line:#2e353d;--accent:#6cb0ff;--note:#2f2a17;--noteline:#a5852a;"
    "--c0:#6cb0ff;--c1:#ff9d5c;--c2:#5fcf95;--c3:#e58ad0;--c4:#dfc04a;--c5:#55cfdd;--c6:#ff8087;"
    "--c7:#a9b5c2}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"
    "'Segoe UI',Roboto,'Liberation Sans',sans-serif;-webkit-text-size-adjust:100%}\n"
    "main{max-width:62rem;margin:0 auto;padding:1.5rem 1rem 3rem}\n"
    "h1{font-size:1.75rem;line-height:1.2;margin:.5rem 0 .25rem;overflow-wrap:anywhere}\n"
    "h2{font-size:1.25rem;margin:2.4rem 0 .7rem;padding-bottom:.3rem;border-bottom:1px solid "
    "var(--line)}\n"
    "h3{font-size:1.02rem;margin:1.4rem 0 .5rem}\n"
    ".sub,.foot,caption,figcaption,.note2{color:var(--soft)}\n"
    ".sub{margin:0 0 1.2rem}.foot{margin-top:3rem;font-size:.85rem}\n"
    "p{margin:.6rem 0;max-width:46rem}\n"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.4rem,1fr));gap:.75rem;"
    "margin:1rem 0}\n"
    ".tile,figure,.scroll,details{background:var(--card);border:1px solid var(--line);"
    "border-radius:.6rem}\n"
    ".tile{padding:.8rem 1rem}.tile b{display:block;font-size:1.4rem;line-height:1.25;"
    "font-variant-numeric:tabular-nums}.tile span{color:var(--soft);font-size:.9rem}"
    ".tile small{display:block;color:var(--soft);font-size:.8rem}\n"
    ".scroll{overflow-x:auto;margin:.8rem 0}\n"
    "table{border-collapse:collapse;width:100%;font-size:.92rem}\n"
    "caption{text-align:left;padding:.6rem .8rem .2rem;font-size:.9rem}\n"
    "th,td{text-align:left;padding:.42rem .8rem;border-bottom:1px solid var(--line);"
    "vertical-align:top;overflow-wrap:anywhere}\n"
    "tr:last-child>td,tr:last-child>th[scope=row]{border-bottom:0}\n"
    "th{font-weight:600;color:var(--soft)}th[scope=row]{width:16rem}\n"
    "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}\n"
    "pre{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.8rem "
    "1rem;white-space:pre-wrap;overflow-wrap:anywhere;font:.86rem/1.5 ui-monospace,"
    "'Liberation Mono',Menlo,monospace;margin:.8rem 0}\n"
    ".note{background:var(--note);border-left:4px solid var(--noteline);padding:.6rem 1rem;"
    "border-radius:.3rem;max-width:none}\n"
    "details{padding:.2rem 1rem;margin:.8rem 0}summary{cursor:pointer;padding:.4rem "
    "0;font-weight:600}\n"
    "figure{margin:.8rem 0;padding:.8rem 1rem}figcaption{font-weight:600;font-size:.95rem;"
    "margin-bottom:.3rem;color:var(--ink)}.plot{overflow-x:auto}\n"
    "svg{display:block;width:100%;min-width:27rem;height:auto}\n"
    "svg text{fill:var(--soft);font-size:12.5px}svg .grid{stroke:var(--line);stroke-width:1}"
    "svg .axis{stroke:var(--soft);stroke-width:1}svg .bar{fill:var(--c0)}\n"
    "svg polyline{fill:none;stroke-width:1.8;stroke-linejoin:round}\n"
    ".s0{stroke:var(--c0)}.s1{stroke:var(--c1)}.s2{stroke:var(--c2)}.s3{stroke:var(--c3)}"
    ".s4{stroke:var(--c4)}.s5{stroke:var(--c5)}.s6{stroke:var(--c6)}.s7{stroke:var(--c7)}\n"
    ".d0{fill:var(--c0)}.d1{fill:var(--c1)}.d2{fill:var(--c2)}.d3{fill:var(--c3)}"
    ".d4{fill:var(--c4)}.d5{fill:var(--c5)}.d6{fill:var(--c6)}.d7{fill:var(--c7)}\n"
    ".legend{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;font-size:.88rem;color:var(--soft);"
    "margin-bottom:.3rem}.legend svg{display:inline-block;width:1.4rem;min-width:0;height:.7rem;"
    "margin-right:.4rem}\n"
    ".ranks{display:grid;grid-template-columns:minmax(6rem,max-content) 1fr max-content;gap:.3rem "
    ".8rem;align-items:center;font-size:.92rem}.ranks>div{overflow-wrap:anywhere}"
    ".ranks i{display:block;height:.8rem;border-radius:.2rem;background:var(--c0);min-width:2px}"
    ".ranks em{font-style:normal;color:var(--soft);font-variant-numeric:tabular-nums;"
    "text-align:right}\n"
    "@media(max-width:34rem){th[scope=row]{width:auto}th,td{padding:.4rem .5rem}"
    ".ranks{grid-template-columns:minmax(4rem,9rem) 1fr max-content}}\n"
    "@media print{body{background:#fff}.tile,figure,.scroll{break-inside:avoid}}\n";

/* Of the parts in page_parts.c. */
static const char style_parts[] =
    /* unlike `anywhere`, `break-word` leaves a column its width */
    "td:last-child:not(.n){min-width:11rem}td:first-child{overflow-wrap:break-word}\n"
    ".chips{display:flex;flex-wrap:wrap;gap:.35rem;margin:.5rem 0 1rem}.chips span{background:"
    "var(--card);border:1px solid var(--line);border-radius:.4rem;padding:.1rem .45rem;"
    "unicode-bidi:isolate;overflow-wrap:anywhere}.chips code{font:.86rem/1.5 ui-monospace,"
    "'Liberation Mono',Menlo,monospace;white-space:pre-wrap}.chips small{color:var(--soft);"
    "margin-left:.4rem;font-size:.72rem}\n"
    ".jk{color:var(--c0);font-weight:600}.jv{color:var(--c3)}.js{color:var(--c2);font-weight:"
    "400}.jc{color:var(--soft);font-style:italic}\n";

void hg_page_escape(hg_buf *b, hg_bytes text)
{
    const char *p = text.p, *end = text.n > 0 ? text.p + text.n : text.p;
    while (p < end) {
        uint32_t c;
        size_t n = hg_utf8_step(p, end, &c);
        if (c == '&')
            hg_buf_puts(b, "&amp;");
        else if (c == '<')
            hg_buf_puts(b, "&lt;");
        else if (c == '>')
            hg_buf_puts(b, "&gt;");
        else if (c == '"')
            hg_buf_puts(b, "&quot;");
        else if (c == '\'')
            hg_buf_puts(b, "&#39;");
        else if (c == HG_UTF8_BAD || (c < 0x20 && c != '\n' && c != '\t'))
            hg_buf_puts(b, "\xef\xbf\xbd");
        else
            hg_buf_put(b, p, n);
        p += n;
    }
}

static void put_text(hg_buf *b, const char *s)
{
    if (s != NULL) hg_page_escape(b, (hg_bytes){s, strlen(s)});
}

static void element(hg_buf *b, const char *open, const char *text, const char *close)
{
    if (text == NULL) return;
    hg_buf_puts(b, open);
    put_text(b, text);
    hg_buf_puts(b, close);
}

void hg_page_begin(hg_buf *b, const char *title, const char *subtitle)
{
    hg_buf_puts(b, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                   "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n");
    element(b, "<title>", title, "</title>\n");
    hg_buf_puts(b, "<style>\n");
    hg_buf_puts(b, style);
    hg_buf_puts(b, style_parts);
    hg_buf_puts(b, "</style>\n</head>\n<body>\n<main>\n");
    element(b, "<h1>", title, "</h1>\n");
    element(b, "<p class=\"sub\">", subtitle, "</p>\n");
}

void hg_page_end(hg_buf *b, const char *foot)
{
    element(b, "<p class=\"foot\">", foot, "</p>\n");
    hg_buf_puts(b, "</main>\n</body>\n</html>\n");
}

static char *find(const char *p, size_t n, const char *what)
{
    return n > 0 ? memmem(p, n, what, strlen(what)) : NULL;
}

hg_status hg_page_insert(hg_buf *page, const char *name, hg_bytes section, hg_err *e)
{
    static const char end[] = "</main>\n</body>\n</html>\n", foot[] = "<p class=\"foot\">";
    hg_buf first = {0}, last = {0}, out = {0};
    hg_buf_printf(&first, "<!-- %s -->\n", name);
    hg_buf_printf(&last, "<!-- /%s -->\n", name);
    hg_status s = hg_buf_status(&first, e);
    if (s == HG_OK) s = hg_buf_status(&last, e);
    char *from = s == HG_OK ? find(page->p, page->n, first.p) : NULL, *to = from;
    if (from != NULL && (to = find(from, page->n - (size_t)(from - page->p), last.p)) != NULL)
        to += last.n;
    if (from == NULL || to == NULL) {
        from = find(page->p, page->n, end);
        for (char *p = from; p != NULL && p > page->p && p - 1 > page->p; p--)
            if (memcmp(p, foot, sizeof foot - 1) == 0) {
                from = p;
                break;
            }
        to = from;
    }
    if (s == HG_OK && from == NULL)
        s = hg_fail(e, HG_E_FORMAT, "no page of Higgins to put a section into");
    if (s == HG_OK) {
        hg_buf_put(&out, page->p, (size_t)(from - page->p));
        hg_buf_puts(&out, first.p);
        hg_buf_put(&out, section.p, section.n);
        hg_buf_puts(&out, last.p);
        hg_buf_put(&out, to, page->n - (size_t)(to - page->p));
        s = hg_buf_status(&out, e);
    }
    hg_buf_free(&first);
    hg_buf_free(&last);
    hg_buf_free(s == HG_OK ? page : &out);
    if (s == HG_OK) *page = out;
    return s;
}

void hg_page_heading(hg_buf *b, const char *text)
{
    element(b, "<h2>", text, "</h2>\n");
}

void hg_page_subheading(hg_buf *b, const char *text)
{
    element(b, "<h3>", text, "</h3>\n");
}

/* A formatted paragraph: the sentence is made first and escaped as a whole. */
static void paragraph(hg_buf *b, const char *open, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    hg_buf text = {0};
    char *room = n < 0 ? NULL : hg_buf_room(&text, (size_t)n + 1);
    if (room != NULL) {
        (void)vsnprintf(room, (size_t)n + 1, fmt, again);
        element(b, open, room, "</p>\n");
    } else {
        b->failed = true;
    }
    va_end(again);
    hg_buf_free(&text);
}

void hg_page_text(hg_buf *b, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    paragraph(b, "<p>", fmt, args);
    va_end(args);
}

void hg_page_note(hg_buf *b, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    paragraph(b, "<p class=\"note\">", fmt, args);
    va_end(args);
}

void hg_page_pre(hg_buf *b, hg_bytes text)
{
    hg_buf_puts(b, "<pre>");
    hg_page_escape(b, text);
    hg_buf_puts(b, "</pre>\n");
}

void hg_page_fold_begin(hg_buf *b, const char *summary, bool open)
{
    hg_buf_puts(b, open ? "<details open>" : "<details>");
    element(b, "<summary>", summary, "</summary>\n");
}

void hg_page_fold_end(hg_buf *b)
{
    hg_buf_puts(b, "</details>\n");
}

void hg_page_tiles(hg_buf *b, const hg_page_tile *tile, size_t n)
{
    hg_buf_puts(b, "<div class=\"tiles\">\n");
    for (size_t i = 0; i < n; i++) {
        hg_buf_puts(b, "<div class=\"tile\">");
        element(b, "<b>", tile[i].value, "</b>");
        element(b, "<span>", tile[i].label, "</span>");
        element(b, "<small>", tile[i].note, "</small>");
        hg_buf_puts(b, "</div>\n");
    }
    hg_buf_puts(b, "</div>\n");
}

void hg_page_pairs(hg_buf *b, const hg_page_pair *pair, size_t n)
{
    hg_buf_puts(b, "<div class=\"scroll\"><table>\n");
    for (size_t i = 0; i < n; i++) {
        element(b, "<tr><th scope=\"row\">", pair[i].key == NULL ? "" : pair[i].key, "</th>");
        element(b, "<td>", pair[i].value == NULL ? "" : pair[i].value, "</td></tr>\n");
    }
    hg_buf_puts(b, "</table></div>\n");
}

void hg_page_table_begin(hg_buf *b, const char *caption, const hg_page_column *column, size_t n)
{
    hg_buf_puts(b, "<div class=\"scroll\"><table>\n");
    element(b, "<caption>", caption, "</caption>\n");
    hg_buf_puts(b, "<tr>");
    for (size_t i = 0; i < n; i++)
        element(b, column[i].numeric ? "<th class=\"n\">" : "<th>",
                column[i].name == NULL ? "" : column[i].name, "</th>");
    hg_buf_puts(b, "</tr>\n");
}

void hg_page_row(hg_buf *b, const hg_page_column *column, const char *const *cell, size_t n)
{
    hg_buf_puts(b, "<tr>");
    for (size_t i = 0; i < n; i++)
        element(b, column[i].numeric ? "<td class=\"n\">" : "<td>", cell[i] == NULL ? "" : cell[i],
                "</td>");
    hg_buf_puts(b, "</tr>\n");
}

void hg_page_table_end(hg_buf *b)
{
    hg_buf_puts(b, "</table></div>\n");
}

void hg_page_ranks(hg_buf *b, const char *title, const char *const *label, const double *value,
                   const char *const *shown, size_t n)
{
    double top = 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(value[i]) && value[i] > top) top = value[i];
    hg_buf_puts(b, "<figure>");
    element(b, "<figcaption>", title, "</figcaption>");
    hg_buf_puts(b, "<div class=\"ranks\">\n");
    for (size_t i = 0; i < n; i++) {
        double v = isfinite(value[i]) && value[i] > 0 ? value[i] : 0;
        char number[32];
        element(b, "<div>", label[i] == NULL ? "" : label[i], "</div>");
        hg_buf_printf(b, "<div><i style=\"width:%.1f%%\"></i></div>", top > 0 ? 100 * v / top : 0);
        element(b, "<em>",
                shown != NULL && shown[i] != NULL ? shown[i] : hg_page_count(number, value[i]),
                "</em>\n");
    }
    hg_buf_puts(b, "</div></figure>\n");
}

static const char *scaled(char buf[32], double v, double base, const char *const *unit, int n_units)
{
    int i = 0;
    while (i + 1 < n_units && fabs(v) >= base * 0.9995) {
        v /= base;
        i++;
    }
    int decimals = i == 0 && v == floor(v) ? 0 : fabs(v) < 9.995 ? 2 : fabs(v) < 99.95 ? 1 : 0;
    (void)snprintf(buf, 32, "%.*f%s", decimals, v, unit[i]);
    return buf;
}

const char *hg_page_bytes(char buf[32], double bytes)
{
    static const char *const unit[] = {" B", " kB", " MB", " GB", " TB", " PB"};
    return scaled(buf, bytes, 1000, unit, 6);
}

const char *hg_page_count(char buf[32], double n)
{
    static const char *const unit[] = {"", " k", " M", " B", " T"};
    bool is_small = fabs(n) < 10000 && n == floor(n);
    if (!is_small && fabs(n) < 1e16) return scaled(buf, n, 1000, unit, 5);
    (void)snprintf(buf, 32, is_small ? "%.0f" : "%.3g", n);
    return buf;
}

const char *hg_page_duration(char buf[32], double seconds)
{
    if (!(seconds >= 0)) seconds = 0;
    if (seconds < 60) {
        (void)snprintf(buf, 32, seconds < 10 ? "%.2f s" : "%.0f s", seconds);
    } else if (seconds < 3600) {
        (void)snprintf(buf, 32, "%d min %d s", (int)(seconds / 60), (int)fmod(seconds, 60));
    } else {
        (void)snprintf(buf, 32, "%.0f h %d min", floor(seconds / 3600),
                       (int)(fmod(seconds, 3600) / 60));
    }
    return buf;
}
