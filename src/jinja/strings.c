/* Text operations, each byte with its mark. */
#include "jinja/strings.h"
#include "text/utf8.h"
#include <string.h>
#include <utf8proc.h>

bool hg_js_is_space(uint32_t c)
{
    return c != HG_UTF8_BAD && (hg_utf8_is_space(c) || c == 0x85 || (c >= 0x1C && c <= 0x1F));
}

const jv_str *hg_js_text(jrun *r, jv v, const char *who)
{
    if (v.kind == JV_STRING) return v.as.s;
    (void)hg_jr_fail(r, "%s takes text, not %s", who, hg_jv_type(v));
    return NULL;
}

int64_t hg_js_whole(jrun *r, jv v, int64_t otherwise, const char *who)
{
    if (hg_jv_absent(v) || v.kind == JV_NONE) return otherwise;
    if (v.kind == JV_INT || v.kind == JV_BOOL) return hg_jv_whole(v);
    (void)hg_jr_fail(r, "%s takes a whole number, not %s", who, hg_jv_type(v));
    return otherwise;
}

/* ---- strip ---- */
static bool in_set(const jv_str *s, size_t at, size_t n, uint32_t c, const jv_str *chars)
{
    if (chars == NULL) return hg_js_is_space(c);
    return chars->n >= n && memmem(chars->p, chars->n, s->p + at, n) != NULL;
}

/* The place of the character that ends at `end`. */
static size_t char_before(const jv_str *s, size_t end)
{
    size_t at = end - 1;
    while (at > 0 && end - at < 4 && ((unsigned char)s->p[at] & 0xC0) == 0x80) at--;
    uint32_t c;
    return hg_utf8_step(s->p + at, s->p + end, &c) == end - at ? at : end - 1;
}

jv hg_js_strip(jrun *r, const jv_str *s, const jv_str *chars, bool left, bool right)
{
    size_t from = 0, to = s->n;
    uint32_t c;
    while (left && from < to) {
        size_t n = hg_utf8_step(s->p + from, s->p + s->n, &c);
        if (!in_set(s, from, n, c, chars)) break;
        from += n;
    }
    while (right && to > from) {
        size_t at = char_before(s, to);
        (void)hg_utf8_step(s->p + at, s->p + to, &c);
        if (!in_set(s, at, to - at, c, chars)) break;
        to = at;
    }
    return hg_jv_part(r, s, from, to);
}

/* ---- replace and find ---- */
size_t hg_js_find(const jv_str *s, const jv_str *what, size_t from, size_t to, bool last)
{
    if (from > to || what->n > to - from) return SIZE_MAX;
    if (what->n == 0) return last ? to : from;
    if (!last) {
        const char *at = memmem(s->p + from, to - from, what->p, what->n);
        return at != NULL ? (size_t)(at - s->p) : SIZE_MAX;
    }
    for (size_t i = to - what->n + 1; i-- > from;)
        if (memcmp(s->p + i, what->p, what->n) == 0) return i;
    return SIZE_MAX;
}

/* Nothing is replaced by something: it goes before each character and to the end. */
static jv fill_between(jrun *r, const jv_str *s, const jv_str *to, int64_t most)
{
    jbuf b = {0};
    for (size_t i = 0; i <= s->n && hg_jr_step(r, 1);) {
        if (most-- > 0) hg_jb_put_str(r, &b, to, 0, to->n);
        size_t next = i < s->n ? hg_jv_char_at(s, i, 1) : i + 1;
        if (i < s->n) hg_jb_put_str(r, &b, s, i, next);
        i = next;
    }
    return hg_jb_take(r, &b);
}

jv hg_js_replace(jrun *r, const jv_str *s, const jv_str *from, const jv_str *to, int64_t most)
{
    jbuf b = {0};
    size_t at = 0, found;
    if (most < 0) most = INT64_MAX;
    if (from->n == 0) return fill_between(r, s, to, most);
    while (most-- > 0 && hg_jr_step(r, 1) &&
           (found = hg_js_find(s, from, at, s->n, false)) != SIZE_MAX) {
        hg_jb_put_str(r, &b, s, at, found);
        hg_jb_put_str(r, &b, to, 0, to->n);
        at = found + from->n;
    }
    if (at == 0 && b.text.n == 0) {
        hg_jb_free(&b);
        return (jv){JV_STRING, {.s = s}};
    }
    hg_jb_put_str(r, &b, s, at, s->n);
    return hg_jb_take(r, &b);
}

/* ---- case ---- */
static uint32_t in_case(uint32_t c, js_case to)
{
    utf8proc_int32_t p = (utf8proc_int32_t)c;
    if (to == CASE_SWAP) to = utf8proc_toupper(p) != p ? CASE_UPPER : CASE_LOWER;
    return (uint32_t)(to == CASE_UPPER ? utf8proc_toupper(p) : utf8proc_tolower(p));
}

void hg_js_put_case(jrun *r, jbuf *b, const jv_str *s, size_t from, size_t to, js_case to_case)
{
    for (size_t i = from; i < to && hg_jr_step(r, 1);) {
        uint32_t c;
        char made[4];
        size_t n = hg_utf8_step(s->p + i, s->p + to, &c);
        uint8_t mark = s->mark != NULL ? s->mark[i] : s->all;
        uint32_t other = c == HG_UTF8_BAD ? c : in_case(c, to_case);
        if (c == 0xDF && to_case != CASE_LOWER)
            hg_jb_put(r, b, "SS", 2, mark);
        else if (other == c)
            hg_jb_put_str(r, b, s, i, i + n);
        else
            hg_jb_put(r, b, made, hg_utf8_encode(other, made), mark);
        i += n;
    }
}

jv hg_js_case(jrun *r, const jv_str *s, js_case to_case)
{
    jbuf b = {0};
    hg_js_put_case(r, &b, s, 0, s->n, to_case);
    return hg_jb_take(r, &b);
}

jv hg_js_capitalize(jrun *r, const jv_str *s)
{
    jbuf b = {0};
    size_t first = hg_jv_char_at(s, 0, 1);
    hg_js_put_case(r, &b, s, 0, first, CASE_UPPER);
    hg_js_put_case(r, &b, s, first, s->n, CASE_LOWER);
    return hg_jb_take(r, &b);
}

/* Whether the cased characters are all of one case, and there is one. */
static bool all_cased(const jv_str *s, bool upper)
{
    bool any = false;
    for (size_t i = 0; i < s->n;) {
        uint32_t c;
        i += hg_utf8_step(s->p + i, s->p + s->n, &c);
        if (c == HG_UTF8_BAD) continue;
        bool is_upper = in_case(c, CASE_LOWER) != c,
             is_lower = in_case(c, CASE_UPPER) != c || c == 0xDF;
        if (upper ? is_lower : is_upper) return false;
        any |= upper ? is_upper : is_lower;
    }
    return any;
}

bool hg_js_is_lower(const jv_str *s)
{
    return all_cased(s, false);
}

bool hg_js_is_upper(const jv_str *s)
{
    return all_cased(s, true);
}

/* ---- width ---- */
void hg_js_put_fill(jrun *r, jbuf *b, const jv_str *fill, int64_t n)
{
    for (int64_t i = 0; i < n && hg_jr_step(r, 1); i++) hg_jb_put_str(r, b, fill, 0, fill->n);
}

jv hg_js_align(jrun *r, const jv_str *s, int64_t width, const jv_str *fill, char align)
{
    jbuf b = {0};
    int64_t rest = width - (int64_t)hg_jv_chars(s);
    if (rest < 0) rest = 0;
    /* str.center puts the odd one to the left when the width is odd */
    int64_t left = align == '<' ? 0 : align == '>' ? rest : rest / 2 + (rest & width & 1);
    hg_js_put_fill(r, &b, fill, left);
    hg_jb_put_str(r, &b, s, 0, s->n);
    hg_js_put_fill(r, &b, fill, rest - left);
    return hg_jb_take(r, &b);
}
