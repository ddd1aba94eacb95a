/* The framing check of the server. Where two HTTP programs in a row read one request differently,
 * the second can be made to see a request that the first never checked (request smuggling), so
 * every form that RFC 9112 leaves to taste is refused here, before the HTTP library sees a byte of
 * it. Lines are judged as they arrive: a wrong byte ends the connection without waiting for the
 * rest. Reference: RFC 9110 section 5 and RFC 9112 sections 2 to 6. */
#include "http/head.h"

#include <string.h>
#include <strings.h>

static bool is_token_char(unsigned char c)
{
    if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')) return true;
    return c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool is_token(hg_bytes s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!is_token_char((unsigned char)s.p[i])) return false;
    }
    return s.n > 0;
}

static bool same_word(hg_bytes s, const char *word)
{
    return s.n == strlen(word) && strncasecmp(s.p, word, s.n) == 0;
}

static int refuse(hg_err *e, int status, const char *what)
{
    (void)hg_fail(e, status == 431 || status == 414 ? HG_E_LIMIT : HG_E_FORMAT, "%s", what);
    return status;
}

/* Controls are never part of a head, CR and LF at a line's end apart; a tab may stand in a value.
 */
static bool has_control(hg_bytes s, bool tab_ok)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x20 && !(c == '\t' && tab_ok)) || c == 0x7f) return true;
    }
    return false;
}

static int check_version(hg_bytes version, bool *is_1_0, hg_err *e)
{
    *is_1_0 = version.n == 8 && memcmp(version.p, "HTTP/1.0", 8) == 0;
    if (*is_1_0 || (version.n == 8 && memcmp(version.p, "HTTP/1.1", 8) == 0)) return 0;
    if (version.n == 8 && memcmp(version.p, "HTTP/", 5) == 0)
        return refuse(e, 505, "this server speaks HTTP/1.1 and HTTP/1.0");
    return refuse(e, 400, "the request line must be: METHOD /path HTTP/1.1");
}

static int check_target(const hg_head *h, hg_err *e)
{
    if (h->target.n > HG_HEAD_MAX_TARGET)
        return refuse(e, 414, "the address of the request is longer than 8192 bytes");
    if (h->target.n == 1 && h->target.p[0] == '*' && h->method.n == 7 &&
        memcmp(h->method.p, "OPTIONS", 7) == 0)
        return 0;
    if (h->target.n == 0 || h->target.p[0] != '/')
        return refuse(e, 400, "the address of a request must begin with a slash");
    for (size_t i = 0; i < h->target.n; i++) {
        unsigned char c = (unsigned char)h->target.p[i];
        if (c >= 0x7f || c == '"' || c == '<' || c == '>' || c == '\\' || c == '#')
            return refuse(e, 400,
                          "the address of the request holds a character that must be "
                          "percent-encoded");
    }
    return 0;
}

static int check_request_line(hg_bytes line, hg_head *h, bool *is_1_0, hg_err *e)
{
    const char *end = line.p + line.n;
    const char *sp1 = memchr(line.p, ' ', line.n);

    if (has_control(line, false))
        return refuse(e, 400, "the request line holds control characters");
    if (sp1 == NULL) return refuse(e, 400, "the request line must be: METHOD /path HTTP/1.1");
    h->method = (hg_bytes){line.p, (size_t)(sp1 - line.p)};
    if (!is_token(h->method) || h->method.n > HG_HEAD_MAX_METHOD)
        return refuse(e, 400, "the request line does not begin with an HTTP method");
    const char *sp2 = memchr(sp1 + 1, ' ', (size_t)(end - sp1 - 1));
    if (sp2 == NULL) return refuse(e, 400, "the request line must be: METHOD /path HTTP/1.1");
    h->target = (hg_bytes){sp1 + 1, (size_t)(sp2 - sp1 - 1)};

    int status = check_version((hg_bytes){sp2 + 1, (size_t)(end - sp2 - 1)}, is_1_0, e);
    return status != 0 ? status : check_target(h, e);
}

static int check_length(hg_bytes v, hg_head *h, hg_err *e)
{
    if (h->has_length) return refuse(e, 400, "Content-Length is given twice");
    if (v.n == 0 || v.n > 18)
        return refuse(e, 400, "Content-Length must be a decimal number of at most 18 digits");
    h->length = 0;
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] < '0' || v.p[i] > '9')
            return refuse(e, 400, "Content-Length must be a decimal number");
        h->length = h->length * 10 + (uint64_t)(v.p[i] - '0');
    }
    h->has_length = true;
    return 0;
}

static int check_coding(hg_bytes v, hg_head *h, hg_err *e)
{
    if (h->chunked) return refuse(e, 400, "Transfer-Encoding is given twice");
    if (!same_word(v, "chunked"))
        return refuse(e, 501, "the only Transfer-Encoding this server reads is chunked");
    h->chunked = true;
    return 0;
}

static int check_host(hg_bytes v, hg_head *h, bool *has_host, hg_err *e)
{
    if (*has_host) return refuse(e, 400, "Host is given twice");
    *has_host = true;
    for (size_t i = 0; i < v.n; i++) {
        unsigned char c = (unsigned char)v.p[i];
        bool ok = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                  strchr("-._:[]%~", c) != NULL;
        if (!ok || c == 0) return refuse(e, 400, "Host is not a host name");
    }
    if (v.n == 0) return refuse(e, 400, "Host is empty");
    h->host = v;
    return 0;
}

static int check_field(hg_bytes line, hg_head *h, bool *has_host, hg_err *e)
{
    const char *colon = memchr(line.p, ':', line.n);

    if (line.p[0] == ' ' || line.p[0] == '\t')
        return refuse(e, 400, "a header line is folded; each must stand on one line");
    if (colon == NULL) return refuse(e, 400, "a header line has no colon");
    hg_bytes name = {line.p, (size_t)(colon - line.p)};
    hg_bytes v = {colon + 1, line.n - name.n - 1};
    if (!is_token(name)) return refuse(e, 400, "a header's name is not a token");
    if (has_control(v, true)) return refuse(e, 400, "a header's value holds control characters");
    while (v.n > 0 && (v.p[0] == ' ' || v.p[0] == '\t')) v.p++, v.n--;
    while (v.n > 0 && (v.p[v.n - 1] == ' ' || v.p[v.n - 1] == '\t')) v.n--;

    if (++h->n_fields > HG_HEAD_MAX_FIELDS)
        return refuse(e, 431, "the request has more than 100 header lines");
    if (same_word(name, "content-length")) return check_length(v, h, e);
    if (same_word(name, "transfer-encoding")) return check_coding(v, h, e);
    if (same_word(name, "host")) return check_host(v, h, has_host, e);
    return 0;
}

/* What can only be said once all lines are known. */
static int check_whole(const hg_head *h, bool is_1_0, bool has_host, hg_err *e)
{
    if (h->has_length && h->chunked)
        return refuse(e, 400, "Transfer-Encoding and Content-Length exclude each other");
    if (h->chunked && is_1_0) return refuse(e, 400, "HTTP/1.0 knows no Transfer-Encoding");
    if (!has_host && !is_1_0) return refuse(e, 400, "an HTTP/1.1 request must name its Host");
    return 200;
}

/* The beginning of a line whose end has not come: a byte that can never be right is refused now. */
static int check_rest(hg_bytes rest, bool is_first, hg_err *e)
{
    if (rest.n > 0 && rest.p[rest.n - 1] == '\r') rest.n--;
    if (has_control(rest, !is_first))
        return refuse(e, 400, "the head of the request holds control characters");
    return 0;
}

int hg_head_check(hg_bytes in, hg_head *out, hg_err *e)
{
    bool is_first = true, is_1_0 = false, has_host = false;
    size_t at = 0;

    memset(out, 0, sizeof *out);
    while (at < in.n) {
        const char *start = in.p + at;
        const char *lf = memchr(start, '\n', in.n - at);
        hg_bytes line = {start, lf != NULL ? (size_t)(lf - start) : in.n - at};
        if (is_first && line.n > HG_HEAD_MAX_TARGET + HG_HEAD_MAX_METHOD + 16)
            return refuse(e, 414, "the address of the request is longer than 8192 bytes");
        if (at + line.n >= HG_HEAD_MAX)
            return refuse(e, 431, "the head of the request is longer than 16384 bytes");
        if (lf == NULL) return check_rest(line, is_first, e);
        if (line.n == 0 || line.p[line.n - 1] != '\r')
            return refuse(e, 400, "a line of the head does not end in CR LF");
        line.n--;
        at += line.n + 2;

        if (line.n == 0 && !is_first) {
            out->n = at;
            return check_whole(out, is_1_0, has_host, e);
        }
        int status = is_first ? check_request_line(line, out, &is_1_0, e)
                              : check_field(line, out, &has_host, e);
        if (status != 0) return status;
        is_first = false;
    }
    return 0;
}
