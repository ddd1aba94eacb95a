/* Mail's grammar, as it is found in archives: lenient in what is read, and every step bounded by
 * the bytes that are there. */
#include "data/mime.h"
#include "text/charset.h"
#include "text/utf8.h"
#include <string.h>
#include <strings.h>

enum { VALUE = 1000 };

static size_t line_end(hg_bytes s, size_t i)
{
    const char *nl = memchr(s.p + i, '\n', s.n - i);
    return nl != NULL ? (size_t)(nl - s.p) + 1 : s.n;
}

static bool is_empty_line(hg_bytes s, size_t i)
{
    return s.p[i] == '\n' || (s.p[i] == '\r' && i + 1 < s.n && s.p[i + 1] == '\n');
}

hg_bytes hg_mime_field(hg_bytes s, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < s.n && !is_empty_line(s, i);) {
        size_t next = line_end(s, i);
        while (next < s.n && (s.p[next] == ' ' || s.p[next] == '\t')) next = line_end(s, next);
        if (next - i > n && s.p[i + n] == ':' && strncasecmp(s.p + i, name, n) == 0) {
            size_t at = i + n + 1;
            while (at < next && (unsigned char)s.p[at] <= ' ') at++;
            while (next > at && (unsigned char)s.p[next - 1] <= ' ') next--;
            return (hg_bytes){s.p + at, next - at};
        }
        i = next;
    }
    return (hg_bytes){"", 0};
}

static bool has_prefix(hg_bytes s, const char *with)
{
    size_t n = strlen(with);
    return s.n >= n && strncasecmp(s.p, with, n) == 0;
}

/* The value of `; name=value` or `; name="value"` in a field. */
static hg_bytes parameter(hg_bytes s, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i + n + 1 < s.n; i++) {
        bool starts = i > 0 && (s.p[i - 1] == ';' || (unsigned char)s.p[i - 1] <= ' ');
        if (!starts || s.p[i + n] != '=' || strncasecmp(s.p + i, name, n) != 0) continue;
        size_t at = i + n + 1, end;
        bool quoted = s.p[at] == '"';
        at += quoted;
        for (end = at; end < s.n; end++)
            if (quoted ? s.p[end] == '"' : s.p[end] == ';' || (unsigned char)s.p[end] <= ' ') break;
        return (hg_bytes){s.p + at, end - at};
    }
    return (hg_bytes){"", 0};
}

size_t hg_mime_read_header(hg_mime_header *h, hg_bytes s)
{
    hg_bytes type = hg_mime_field(s, "content-type");
    hg_bytes encoding = hg_mime_field(s, "content-transfer-encoding");
    *h = (hg_mime_header){.is_text = type.n == 0 || has_prefix(type, "text/plain")};
    if (has_prefix(type, "text/html")) h->is_text = h->is_html = true;
    if (has_prefix(type, "multipart/")) h->boundary = parameter(type, "boundary");
    h->charset = parameter(type, "charset");
    h->is_attachment = has_prefix(hg_mime_field(s, "content-disposition"), "attachment");
    if (has_prefix(encoding, "base64")) h->encoding = HG_MIME_BASE64;
    if (has_prefix(encoding, "quoted-printable")) h->encoding = HG_MIME_QUOTED_PRINTABLE;
    size_t i = 0;
    while (i < s.n && !is_empty_line(s, i)) i = line_end(s, i);
    return i < s.n ? line_end(s, i) : s.n;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void decode_quoted(hg_buf *out, hg_bytes s, bool is_word)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (is_word && c == '_') c = ' ';
        if (c == '=' && i + 2 < s.n && hex(s.p[i + 1]) >= 0 && hex(s.p[i + 2]) >= 0) {
            c = (char)(hex(s.p[i + 1]) << 4 | hex(s.p[i + 2]));
            i += 2;
        } else if (c == '=' && !is_word) { /* a soft line break */
            size_t k = i + 1;
            while (k < s.n && (s.p[k] == ' ' || s.p[k] == '\r')) k++;
            if (k < s.n && s.p[k] == '\n') {
                i = k;
                continue;
            }
        }
        hg_buf_putc(out, c);
    }
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static void decode_base64(hg_buf *out, hg_bytes s)
{
    uint32_t bits = 0;
    int n = 0;
    for (size_t i = 0; i < s.n && s.p[i] != '='; i++) {
        int v = base64_value(s.p[i]);
        if (v < 0) continue;
        bits = (bits << 6 | (uint32_t)v) & 0xFFFFFF;
        if (++n == 4) {
            hg_buf_put(out, (char[]){(char)(bits >> 16), (char)(bits >> 8), (char)bits}, 3);
            n = 0;
        }
    }
    if (n >= 2) hg_buf_putc(out, (char)(n == 2 ? bits >> 4 : bits >> 10));
    if (n == 3) hg_buf_putc(out, (char)(bits >> 2));
}

void hg_mime_decode(hg_buf *out, hg_bytes body, hg_mime_encoding how)
{
    if (how == HG_MIME_QUOTED_PRINTABLE)
        decode_quoted(out, body, false);
    else if (how == HG_MIME_BASE64)
        decode_base64(out, body);
    else
        hg_buf_put(out, body.p, body.n);
}

/* =?charset?Q?text?= at the beginning of s: decodes it and returns its length, 0 when it is none.
 */
static size_t decode_word(hg_buf *out, hg_bytes s)
{
    if (!has_prefix(s, "=?")) return 0;
    const char *end = s.p + s.n, *charset = s.p + 2;
    const char *q1 = memchr(charset, '?', (size_t)(end - charset));
    if (q1 == NULL || end - q1 < 4 || q1[2] != '?') return 0;
    const char *text = q1 + 3, *q3 = text;
    while ((q3 = memchr(q3, '?', (size_t)(end - q3))) != NULL && (q3 + 1 >= end || q3[1] != '='))
        q3++;
    const char *from = hg_charset_find((hg_bytes){charset, (size_t)(q1 - charset)});
    if (q3 == NULL || from == NULL) return 0;
    hg_buf raw = {0};
    hg_bytes body = {text, (size_t)(q3 - text)};
    if ((q1[1] | 0x20) == 'b')
        decode_base64(&raw, body);
    else
        decode_quoted(&raw, body, true);
    (void)hg_charset_convert(from, (hg_bytes){raw.p, raw.n}, out, NULL);
    hg_buf_free(&raw);
    return (size_t)(q3 + 2 - s.p);
}

void hg_mime_decode_words(hg_buf *out, hg_bytes s)
{
    size_t word_end = 0; /* white space between two encoded words is not text */
    if (s.n > VALUE) s.n = VALUE;
    for (size_t i = 0; i < s.n;) {
        size_t space = i;
        while (space < s.n && (unsigned char)s.p[space] <= ' ') space++;
        if (space > i) {
            bool between =
                word_end == i && i > 0 && has_prefix((hg_bytes){s.p + space, s.n - space}, "=?");
            if (!between) hg_buf_putc(out, ' ');
            i = space;
            continue;
        }
        size_t n = decode_word(out, (hg_bytes){s.p + i, s.n - i});
        if (n > 0) {
            i += n;
            word_end = i;
        } else {
            hg_buf_putc(out, s.p[i++]);
        }
    }
}
