/* Mail in: the text of a message. A message is a header and a body; a multipart body is a row of
 * parts that are each like a message again. The tree is walked with a small stack of boundaries,
 * not by recursion, and bounded in depth and number. Of alternatives the plain text is taken: both
 * are gathered on the way, and at the end HTML counts only if there was no plain part. */
#include "data/mail.h"
#include "data/mime.h"
#include "text/charset.h"
#include "text/utf8.h"
#include <string.h>
#include <strings.h>

typedef struct part {
    hg_mime_header head;
    hg_bytes body;
} part;

typedef struct walk {
    hg_mail *m;
    hg_buf html, raw, wide;
    size_t n_parts;
} walk;

void hg_mail_init(hg_mail *m)
{
    *m = (hg_mail){.date = -1};
    hg_html_init(&m->html);
}

void hg_mail_free(hg_mail *m)
{
    hg_buf_free(&m->text);
    hg_buf_free(&m->subject);
    hg_buf_free(&m->id);
    hg_html_free(&m->html);
}

static hg_status add_text(walk *w, const part *p, hg_err *e)
{
    size_t skip;
    hg_mail *m = w->m;
    hg_buf_clear(&w->raw);
    hg_buf_clear(&w->wide);
    hg_mime_decode(&w->raw, p->body, p->head.encoding);
    HG_TRY(hg_buf_status(&w->raw, e));
    hg_bytes raw = {w->raw.p, w->raw.n};
    const char *from = hg_charset_find(p->head.charset);
    if (from == NULL) from = hg_charset_guess(raw, p->head.is_html, &skip);
    if (hg_charset_convert(from, raw, &w->wide, NULL) != HG_OK && w->wide.n == 0)
        hg_buf_put(&w->wide, w->raw.p, w->raw.n);
    HG_TRY(hg_buf_status(&w->wide, e));
    hg_buf *out = &m->text;
    if (p->head.is_html) {
        HG_TRY(hg_html_read(&m->html, (hg_bytes){w->wide.p, w->wide.n}, e));
        out = &w->html;
    }
    const hg_buf *got = p->head.is_html ? &m->html.text : &w->wide;
    if (got->n == 0) return HG_OK;
    if (out->n > 0) hg_buf_puts(out, "\n\n");
    hg_buf_put(out, got->p, got->n);
    return hg_buf_status(out, e);
}

/* The next line of `s` that is "--boundary" or "--boundary--"; false: none. [*begin, *end) is that
 * line with its end. */
static bool find_boundary(hg_bytes s, size_t from, hg_bytes mark, size_t *begin, size_t *end,
                          bool *is_last)
{
    for (size_t i = from; i < s.n;) {
        const char *line = s.p + i, *nl = memchr(line, '\n', s.n - i);
        size_t n = nl != NULL ? (size_t)(nl - line) + 1 : s.n - i;
        if (n >= mark.n + 2 && line[0] == '-' && line[1] == '-' &&
            memcmp(line + 2, mark.p, mark.n) == 0) {
            *begin = i;
            *end = i + n;
            *is_last = n >= mark.n + 4 && line[mark.n + 2] == '-' && line[mark.n + 3] == '-';
            return true;
        }
        i += n;
    }
    return false;
}

static hg_status read_part(walk *w, hg_bytes entity, int depth, hg_err *e);

static hg_status read_parts(walk *w, const part *p, int depth, hg_err *e)
{
    size_t begin, end, next;
    bool is_last;
    if (!find_boundary(p->body, 0, p->head.boundary, &begin, &end, &is_last)) return HG_OK;
    while (!is_last && w->n_parts < HG_MAIL_MAX_PARTS) {
        size_t at = end;
        bool found = find_boundary(p->body, at, p->head.boundary, &next, &end, &is_last);
        size_t stop = found ? next : p->body.n;
        HG_TRY(read_part(w, (hg_bytes){p->body.p + at, stop - at}, depth + 1, e));
        if (!found) break;
    }
    return HG_OK;
}

/* A part, and for a multipart its parts: recursion bounded by HG_MAIL_MAX_DEPTH. */
static hg_status read_part(walk *w, hg_bytes entity, int depth, hg_err *e)
{
    part p = {0};
    size_t body = hg_mime_read_header(&p.head, entity);
    p.body = (hg_bytes){entity.p + body, entity.n - body};
    w->n_parts++;
    if (p.head.boundary.n > 0)
        return depth < HG_MAIL_MAX_DEPTH ? read_parts(w, &p, depth, e) : HG_OK;
    if (p.head.is_attachment || !p.head.is_text) return HG_OK;
    return add_text(w, &p, e);
}

static void read_envelope(hg_mail *m, hg_bytes message)
{
    hg_bytes v = hg_mime_field(message, "subject");
    hg_mime_decode_words(&m->subject, v);
    v = hg_mime_field(message, "message-id");
    while (v.n > 0 && (*v.p == '<' || *v.p == ' ')) v = (hg_bytes){v.p + 1, v.n - 1};
    const char *close = v.n > 0 ? memchr(v.p, '>', v.n) : NULL;
    if (close != NULL) v.n = (size_t)(close - v.p);
    hg_buf_put(&m->id, v.n > 0 ? v.p : "", v.n < 250 ? v.n : 250);
    m->date = hg_mail_date(hg_mime_field(message, "date"));
}

hg_status hg_mail_read(hg_mail *m, hg_bytes message, hg_err *e)
{
    walk w = {.m = m};
    hg_buf_clear(&m->text);
    hg_buf_clear(&m->subject);
    hg_buf_clear(&m->id);
    if (message.n == 0) message.p = "";
    read_envelope(m, message);
    hg_status s = read_part(&w, message, 0, e);
    if (s == HG_OK && m->text.n == 0) hg_buf_put(&m->text, w.html.n > 0 ? w.html.p : "", w.html.n);
    if (s == HG_OK) s = hg_buf_status(&m->text, e);
    if (s == HG_OK) s = hg_buf_status(&m->subject, e);
    hg_buf_free(&w.html);
    hg_buf_free(&w.raw);
    hg_buf_free(&w.wide);
    return s;
}

/* ---- dates ---- */

static int64_t number(hg_bytes *s)
{
    int64_t v = 0;
    size_t n = 0;
    while (s->n > 0 && (*s->p == ' ' || *s->p == ':' || *s->p == '-'))
        *s = (hg_bytes){s->p + 1, s->n - 1};
    while (s->n > 0 && *s->p >= '0' && *s->p <= '9' && n < 6) {
        v = v * 10 + (*s->p - '0');
        *s = (hg_bytes){s->p + 1, s->n - 1};
        n++;
    }
    return n > 0 ? v : -1;
}

/* Days since 1970-01-01 of a date in the Gregorian calendar (Hinnant, "chrono-compatible low-level
 * date algorithms"). */
static int64_t days(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    int64_t era = y / 400, yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static int64_t month(hg_bytes *s)
{
    static const char names[] = "janfebmaraprmayjunjulaugsepoctnovdec";
    while (s->n > 0 && (*s->p == ' ' || *s->p == '-')) *s = (hg_bytes){s->p + 1, s->n - 1};
    for (int i = 0; i < 12 && s->n >= 3; i++) {
        if (strncasecmp(s->p, names + (ptrdiff_t)3 * i, 3) != 0) continue;
        *s = (hg_bytes){s->p + 3, s->n - 3};
        return i + 1;
    }
    return -1;
}

int64_t hg_mail_date(hg_bytes s)
{
    const char *comma = s.n > 0 ? memchr(s.p, ',', s.n) : NULL;
    if (comma != NULL) s = (hg_bytes){comma + 1, s.n - (size_t)(comma + 1 - s.p)};
    int64_t day = number(&s), mon = month(&s), year = number(&s);
    int64_t h = number(&s), min = number(&s), sec = s.n > 0 && *s.p == ':' ? number(&s) : 0;
    if (day < 1 || day > 31 || mon < 1 || year < 0 || year > 9999 || h < 0 || h > 23 || min < 0 ||
        min > 59 || sec < 0 || sec > 60)
        return -1;
    if (year < 100) year += year < 50 ? 2000 : 1900;
    int64_t t = days(year, mon, day) * 86400 + h * 3600 + min * 60 + sec;
    while (s.n > 0 && *s.p == ' ') s = (hg_bytes){s.p + 1, s.n - 1};
    if (s.n >= 5 && (*s.p == '+' || *s.p == '-')) {
        int64_t sign = *s.p == '+' ? 1 : -1;
        s = (hg_bytes){s.p + 1, 4};
        int64_t zone = number(&s);
        if (zone >= 0) t -= sign * (zone / 100 * 3600 + zone % 100 * 60);
    }
    return t >= 0 ? t : -1;
}
