/* See multipart.h. The boundary is looked for with memmem, so that a file of any size is passed
 * over once; nothing is copied but names. */
#include "http/multipart.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { MAX_BOUNDARY = 70 }; /* RFC 2046 */

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_token(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* ---- parameters: ; name=token or "quoted" ---- */
typedef struct cursor {
    const char *p, *end;
} cursor;

static void skip_space(cursor *c)
{
    while (c->p < c->end && is_space(*c->p)) c->p++;
}

/* A quoted text or a token, with its escapes as they are, but for \" and \\. */
static bool take_value(cursor *c, char *out, size_t size)
{
    const bool is_quoted = c->p < c->end && *c->p == '"';
    size_t n = 0;

    if (is_quoted) c->p++;
    for (;; c->p++) {
        if (c->p == c->end) break;
        if (is_quoted ? *c->p == '"' : !is_token(*c->p)) break;
        if (is_quoted && *c->p == '\\' && c->p + 1 < c->end && strchr("\"\\", c->p[1]) != NULL)
            c->p++;
        if (n + 1 >= size) return false;
        out[n++] = *c->p;
    }
    out[n] = '\0';
    if (!is_quoted) return n > 0;
    if (c->p == c->end) return false;
    c->p++;
    return true;
}

/* The next parameter. False at the end, with *ok false where what stands there is none. */
static bool next_parameter(cursor *c, char *name, size_t name_size, char *value, size_t size,
                           bool *ok)
{
    size_t n = 0;

    skip_space(c);
    if (c->p == c->end) return false;
    *ok = *c->p == ';';
    if (!*ok) return false;
    c->p++;
    skip_space(c);
    if (c->p == c->end) return false; /* a lone semicolon at the end is common */
    while (c->p < c->end && is_token(*c->p) && n + 1 < name_size) name[n++] = *c->p++;
    name[n] = '\0';
    *ok = n > 0 && c->p < c->end && *c->p == '=';
    if (!*ok) return false;
    c->p++;
    *ok = take_value(c, value, size);
    return *ok;
}

static hg_status read_boundary(const char *type, char out[MAX_BOUNDARY + 1], hg_err *e)
{
    static const char wanted[] = "multipart/form-data";
    char name[32], value[256];
    bool ok = true, found = false;

    if (type == NULL || strncasecmp(type, wanted, sizeof wanted - 1) != 0)
        return hg_fail(e, HG_E_FORMAT, "the body must be multipart/form-data; its type is %.80s",
                       type != NULL ? type : "not told");
    cursor c = {type + sizeof wanted - 1, type + strlen(type)};
    while (next_parameter(&c, name, sizeof name, value, sizeof value, &ok)) {
        if (strcasecmp(name, "boundary") != 0) continue;
        if (found || value[0] == '\0' || strlen(value) > MAX_BOUNDARY) ok = false;
        found = true;
        if (!ok) break;
        memcpy(out, value, strlen(value) + 1);
    }
    if (ok && found) return HG_OK;
    return hg_fail(e, HG_E_FORMAT,
                   "the type of the body must name one boundary of 1 to %d characters",
                   (int)MAX_BOUNDARY);
}

/* ---- parts ---- */
static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* What browsers escape in names, and nothing else: %22, %0D, %0A. */
static void unescape(char *s)
{
    char *to = s;

    for (const char *p = s; *p != '\0'; p++) {
        const int hi = p[0] == '%' && p[1] != '\0' ? hex_digit(p[1]) : -1;
        const int c = hi >= 0 && hex_digit(p[2]) >= 0 ? hi * 16 + hex_digit(p[2]) : -1;
        if (c == '"' || c == '\r' || c == '\n') {
            *to++ = (char)c;
            p += 2;
        } else {
            *to++ = *p;
        }
    }
    *to = '\0';
}

static bool is_printable(const char *s)
{
    for (; *s != '\0'; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f) return false;
    return true;
}

static hg_status bad(hg_err *e, size_t number, const char *what)
{
    return hg_fail(e, HG_E_FORMAT, "part %zu of the form: %s", number, what);
}

static hg_status read_disposition(hg_part *p, cursor c, size_t number, hg_err *e)
{
    static const char wanted[] = "form-data";
    char name[32], value[HG_MULTIPART_FILE_ROOM];
    bool ok = true, has_name = false;

    skip_space(&c);
    if ((size_t)(c.end - c.p) < sizeof wanted - 1 ||
        strncasecmp(c.p, wanted, sizeof wanted - 1) != 0)
        return bad(e, number, "its Content-Disposition is not form-data");
    c.p += sizeof wanted - 1;
    while (next_parameter(&c, name, sizeof name, value, sizeof value, &ok)) {
        unescape(value);
        if (strcasecmp(name, "name") == 0 && !has_name && strlen(value) < sizeof p->name) {
            memcpy(p->name, value, strlen(value) + 1);
            has_name = true;
        } else if (strcasecmp(name, "filename") == 0 && !p->has_filename) {
            memcpy(p->filename, value, strlen(value) + 1);
            p->has_filename = true;
        } else if (strcasecmp(name, "filename*") != 0) {
            return bad(e, number, "its name or file name is there twice, too long, or unknown");
        }
    }
    if (!ok) return bad(e, number, "its Content-Disposition is malformed or too long");
    if (!has_name || p->name[0] == '\0') return bad(e, number, "it has no name");
    if (!is_printable(p->name) || !is_printable(p->filename))
        return bad(e, number, "its name holds a control character");
    return HG_OK;
}

static hg_status read_type(hg_part *p, cursor c, size_t number, hg_err *e)
{
    skip_space(&c);
    const size_t n = (size_t)(c.end - c.p);
    if (n >= sizeof p->type) return bad(e, number, "its Content-Type is too long");
    memcpy(p->type, c.p, n);
    p->type[n] = '\0';
    return is_printable(p->type) && strlen(p->type) == n
               ? HG_OK
               : bad(e, number, "its Content-Type holds a control character");
}

static bool is_named(hg_bytes line, const char *name, cursor *value)
{
    const size_t n = strlen(name);

    if (line.n <= n || line.p[n] != ':' || strncasecmp(line.p, name, n) != 0) return false;
    *value = (cursor){line.p + n + 1, line.p + line.n};
    return true;
}

/* The header lines at `at`, up to the empty one; *at moves behind it. */
static hg_status read_head(hg_part *p, hg_bytes body, size_t *at, size_t number, hg_err *e)
{
    const size_t begin = *at;
    bool is_form = false;
    cursor value;

    for (;;) {
        const size_t left = body.n - *at;
        const char *eol = memmem(
            body.p + *at, left < HG_MULTIPART_MAX_HEAD ? left : HG_MULTIPART_MAX_HEAD, "\r\n", 2);
        if (eol == NULL || (size_t)(eol - body.p) - begin > HG_MULTIPART_MAX_HEAD)
            return hg_fail(e, left < HG_MULTIPART_MAX_HEAD ? HG_E_FORMAT : HG_E_LIMIT,
                           "part %zu of the form: its header lines do not end within %d bytes",
                           number, (int)HG_MULTIPART_MAX_HEAD);
        const hg_bytes line = {body.p + *at, (size_t)(eol - (body.p + *at))};
        *at += line.n + 2;
        if (line.n == 0) break;
        if (is_space(line.p[0]) || memchr(line.p, ':', line.n) == NULL ||
            memchr(line.p, '\0', line.n) != NULL || memchr(line.p, '\n', line.n) != NULL)
            return bad(e, number, "a header line is malformed");
        if (is_named(line, "Content-Disposition", &value)) {
            if (is_form) return bad(e, number, "Content-Disposition is there twice");
            HG_TRY(read_disposition(p, value, number, e));
            is_form = true;
        } else if (is_named(line, "Content-Type", &value)) {
            HG_TRY(read_type(p, value, number, e));
        } else if (is_named(line, "Content-Transfer-Encoding", &value)) {
            return bad(e, number, "Content-Transfer-Encoding is not used with forms (RFC 7578)");
        }
    }
    return is_form ? HG_OK : bad(e, number, "it has no Content-Disposition");
}

/* Behind a boundary: "--" ends the form, CR LF begins a part; white space may stand between. */
static hg_status behind_boundary(hg_bytes body, size_t *at, bool *is_last, size_t number, hg_err *e)
{
    *is_last = body.n - *at >= 2 && memcmp(body.p + *at, "--", 2) == 0;
    if (*is_last) return HG_OK;
    while (*at < body.n && is_space(body.p[*at])) ++*at;
    if (body.n - *at < 2 || memcmp(body.p + *at, "\r\n", 2) != 0)
        return bad(e, number, "its boundary does not end in CR LF");
    *at += 2;
    return HG_OK;
}

/* Where the first boundary is; a body begins with it, or has lines before it. */
static const char *find_first(hg_bytes body, hg_bytes delimiter)
{
    const hg_bytes dashes = {delimiter.p + 2, delimiter.n - 2};

    if (body.n >= dashes.n && memcmp(body.p, dashes.p, dashes.n) == 0) return body.p;
    const char *p = memmem(body.p, body.n, delimiter.p, delimiter.n);
    return p != NULL ? p + 2 : NULL;
}

hg_status hg_multipart_parse(hg_bytes body, const char *content_type,
                             hg_part part[HG_MULTIPART_MAX_PARTS], size_t *n, hg_err *e)
{
    char boundary[MAX_BOUNDARY + 1], line[MAX_BOUNDARY + 8];
    bool is_last = false;

    *n = 0;
    HG_TRY(read_boundary(content_type, boundary, e));
    (void)snprintf(line, sizeof line, "\r\n--%s", boundary);
    const hg_bytes delimiter = {line, strlen(line)};
    const char *first = find_first(body, delimiter);
    if (first == NULL) return hg_fail(e, HG_E_FORMAT, "the form has no boundary in it");
    size_t at = (size_t)(first - body.p) + delimiter.n - 2;
    for (;;) {
        HG_TRY(behind_boundary(body, &at, &is_last, *n + 1, e));
        if (is_last) return HG_OK;
        if (*n == HG_MULTIPART_MAX_PARTS)
            return hg_fail(e, HG_E_LIMIT, "the form has more than %d parts",
                           (int)HG_MULTIPART_MAX_PARTS);
        hg_part *p = &part[*n];
        memset(p, 0, sizeof *p);
        HG_TRY(read_head(p, body, &at, *n + 1, e));
        /* An empty part's delimiter begins with the CR LF that ended its head. */
        const size_t from = at - 2;
        const char *end = memmem(body.p + from, body.n - from, delimiter.p, delimiter.n);
        if (end == NULL) return bad(e, *n + 1, "no boundary ends it");
        p->body = (hg_bytes){body.p + at, end > body.p + at ? (size_t)(end - (body.p + at)) : 0};
        at = (size_t)(end - body.p) + delimiter.n;
        ++*n;
    }
}
