/* Licences as documents and packages state them: SPDX marks in texts, and Debian's copyright files
 * (https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/). A corpus whose documents
 * carry their licences can be filtered, published and defended. */
#include "data/licence.h"
#include "base/file.h"
#include <string.h>
#include <strings.h>

enum { MAX_COPYRIGHT = 1 << 20, LOOK = 4096, NAME = 120 };

static hg_bytes trimmed(hg_bytes s)
{
    while (s.n > 0 && (unsigned char)*s.p <= ' ') s = (hg_bytes){s.p + 1, s.n - 1};
    while (s.n > 0 && (unsigned char)s.p[s.n - 1] <= ' ') s.n--;
    return s;
}

static hg_bytes line_at(hg_bytes s, size_t at)
{
    const char *nl = memchr(s.p + at, '\n', s.n - at);
    return (hg_bytes){s.p + at, nl != NULL ? (size_t)(nl - s.p) - at : s.n - at};
}

hg_bytes hg_licence_spdx(hg_bytes text)
{
    static const char mark[] = "SPDX-License-Identifier:";
    const size_t n = sizeof mark - 1;
    if (text.n > LOOK) text.n = LOOK;
    const char *at = text.n > 0 ? memmem(text.p, text.n, mark, n) : NULL;
    if (at == NULL) return (hg_bytes){"", 0};
    hg_bytes v = line_at(text, (size_t)(at - text.p) + n);
    /* The mark stands in comments: their ends are not part of the expression. */
    static const char *const ends[] = {"*/", "-->", "#}"};
    for (size_t i = 0; i < 3; i++) {
        const char *cut = v.n > 0 ? memmem(v.p, v.n, ends[i], strlen(ends[i])) : NULL;
        if (cut != NULL) v.n = (size_t)(cut - v.p);
    }
    v = trimmed(v);
    return v.n <= NAME ? v : (hg_bytes){"", 0};
}

/* ---- Debian's copyright files ---- */

static bool has_name(hg_bytes line, const char *name, hg_bytes *value)
{
    size_t n = strlen(name);
    if (line.n <= n || line.p[n] != ':' || strncasecmp(line.p, name, n) != 0) return false;
    *value = trimmed((hg_bytes){line.p + n + 1, line.n - n - 1});
    return true;
}

/* Stanzas are separated by empty lines. The licence of the files "*" wins; before it is seen the
 * first one stated stands in. */
static void read_stanzas(hg_buf *out, hg_bytes s)
{
    hg_bytes files = {"", 0}, licence = {"", 0}, first = {"", 0}, value;
    for (size_t i = 0; i <= s.n;) {
        hg_bytes line = i < s.n ? line_at(s, i) : (hg_bytes){"", 0};
        i += line.n + 1;
        if (has_name(line, "Files", &value)) files = value;
        if (has_name(line, "License", &value)) licence = value;
        if (trimmed(line).n > 0) continue;
        if (licence.n > 0 && first.n == 0) first = licence;
        if (licence.n > 0 && files.n == 1 && *files.p == '*') {
            first = licence;
            break;
        }
        files = licence = (hg_bytes){"", 0};
    }
    if (first.n > 0 && first.n <= NAME) hg_buf_put(out, first.p, first.n);
}

/* A free-form file points at /usr/share/common-licenses/NAME. */
static void read_references(hg_buf *out, hg_bytes s)
{
    static const char mark[] = "/usr/share/common-licenses/";
    const size_t n = sizeof mark - 1;
    for (const char *p = s.p, *end = s.p + s.n;
         (p = memmem(p, (size_t)(end - p), mark, n)) != NULL;) {
        p += n;
        size_t len = 0;
        while (p + len < end && len < 24 && strchr(" \t\r\n'\"`,;:)>\\", p[len]) == NULL) len++;
        while (len > 0 && p[len - 1] == '.') len--;
        bool known = len == 0 || (out->n > 0 && memmem(out->p, out->n, p, len) != NULL);
        if (known || out->n + len > NAME) continue;
        if (out->n > 0) hg_buf_puts(out, " and ");
        hg_buf_put(out, p, len);
    }
}

void hg_licence_parse_debian(hg_buf *out, hg_bytes s)
{
    if (s.n == 0) return;
    hg_bytes value, head = line_at(s, 0);
    if (has_name(head, "Format", &value) || has_name(head, "Format-Specification", &value))
        read_stanzas(out, s);
    else
        read_references(out, s);
}

void hg_licence_cache_free(hg_licence_cache *c)
{
    hg_buf_free(&c->folder);
    hg_buf_free(&c->licence);
}

hg_bytes hg_licence_debian(hg_licence_cache *c, const char *path)
{
    static const char root[] = "/usr/share/doc/";
    const char *at = strstr(path, root);
    const char *slash = at != NULL ? strchr(at + sizeof root - 1, '/') : NULL;
    if (slash == NULL) return (hg_bytes){"", 0};
    size_t n = (size_t)(slash - path);
    if (c->folder.n != n || memcmp(c->folder.p, path, n) != 0) {
        hg_buf bytes = {0};
        hg_buf_clear(&c->folder);
        hg_buf_clear(&c->licence);
        hg_buf_put(&c->folder, path, n);
        hg_buf_puts(&c->folder, "/copyright");
        if (!c->folder.failed && hg_file_read(&bytes, c->folder.p, MAX_COPYRIGHT, NULL) == HG_OK)
            hg_licence_parse_debian(&c->licence, (hg_bytes){bytes.p, bytes.n});
        hg_buf_free(&bytes);
        c->folder.n = c->folder.failed ? 0 : n;
    }
    return (hg_bytes){c->licence.n > 0 ? c->licence.p : "", c->licence.n};
}
