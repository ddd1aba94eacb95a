#include "grammar/scan.h"
#include "text/utf8.h"

#include <string.h>

hg_status hg_scan_fail(const hg_scan *s, hg_err *e, hg_status status, const char *what)
{
    size_t line = 1, column = 1;
    for (const char *p = s->begin; p < s->p; p++) {
        column = *p == '\n' ? 1 : column + ((*p & 0xC0) != 0x80);
        line += *p == '\n';
    }
    return hg_fail(e, status, "line %zu, column %zu: %s", line, column, what);
}

bool hg_scan_hex(hg_scan *s, size_t n, uint32_t *out)
{
    uint32_t v = 0;
    if ((size_t)(s->end - s->p) < n) return false;
    for (size_t i = 0; i < n; i++) {
        const char c = s->p[i];
        uint32_t d = 16;
        if (c >= '0' && c <= '9') d = (uint32_t)(c - '0');
        if (c >= 'a' && c <= 'f') d = (uint32_t)(c - 'a') + 10;
        if (c >= 'A' && c <= 'F') d = (uint32_t)(c - 'A') + 10;
        if (d == 16) return false;
        v = v << 4 | d;
    }
    s->p += n;
    *out = v;
    return true;
}

hg_status hg_scan_char(hg_scan *s, uint32_t *out, hg_err *e)
{
    if (s->p >= s->end) return hg_scan_fail(s, e, HG_E_FORMAT, "the text ends too early");
    const size_t n = hg_utf8_step(s->p, s->end, out);
    if (*out == HG_UTF8_BAD) return hg_scan_fail(s, e, HG_E_FORMAT, "a byte that is not UTF-8");
    s->p += n;
    return HG_OK;
}

static void skip_spaces(hg_scan *s, bool spaces)
{
    while (spaces && s->p < s->end && (*s->p == ' ' || *s->p == '\t')) s->p++;
}

static bool number(hg_scan *s, uint64_t *out)
{
    const char *from = s->p;
    for (*out = 0; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++)
        if (*out < 1u << 30) *out = *out * 10 + (uint64_t)(*s->p - '0');
    return s->p > from;
}

hg_status hg_scan_bounds(hg_scan *s, bool spaces, uint32_t *min, uint32_t *max, hg_err *e)
{
    uint64_t lo, hi = 0;
    bool open = false;
    skip_spaces(s, spaces);
    if (!number(s, &lo))
        return hg_scan_fail(s, e, HG_E_FORMAT, "a repetition needs a number, as in {2,5}");
    skip_spaces(s, spaces);
    if (s->p < s->end && *s->p == ',') {
        s->p++;
        skip_spaces(s, spaces);
        open = !number(s, &hi);
        skip_spaces(s, spaces);
    } else {
        hi = lo;
    }
    if (s->p >= s->end || *s->p != '}')
        return hg_scan_fail(s, e, HG_E_FORMAT, "a repetition needs a closing brace, as in {2,5}");
    if (lo > HG_MAX_REPEAT || hi > HG_MAX_REPEAT)
        return hg_scan_fail(s, e, HG_E_LIMIT, "over 100000 repetitions");
    if (!open && hi < lo)
        return hg_scan_fail(s, e, HG_E_FORMAT, "a repetition whose most is below its least");
    s->p++;
    *min = (uint32_t)lo;
    *max = open ? HG_X_FOREVER : (uint32_t)hi;
    return HG_OK;
}

hg_hash128 hg_grammar_id(const char *kind, hg_bytes text)
{
    const uint64_t which = hg_hash64(kind, strlen(kind), 0);
    return (hg_hash128){hg_hash64(text.p, text.n, which), hg_hash64(text.p, text.n, ~which)};
}
