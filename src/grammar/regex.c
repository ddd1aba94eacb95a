/* Regular expressions in ECMAScript's syntax, as JSON Schema's "pattern" has them, to expressions.
 * What is greedy and what captures makes no difference to what matches. Anchors are understood
 * where a pattern begins or ends (in alternatives and groups too). */
#include "grammar/scan.h"
#include "text/utf8.h"

#include <string.h>

typedef struct regex {
    hg_scan s;
    bool json;
    bool failed; /* the sentence is written */
    hg_err *e;
} regex;

typedef struct parts {
    hg_x **x;
    size_t n, cap;
} parts;

static hg_x *fail(regex *r, hg_status status, const char *what)
{
    if (!r->failed) (void)hg_scan_fail(&r->s, r->e, status, what);
    r->failed = true;
    return NULL;
}

static bool at_end(const regex *r)
{
    return r->s.p >= r->s.end;
}

static char peek(const regex *r)
{
    return at_end(r) ? '\0' : *r->s.p;
}

static bool take(regex *r, const char *what)
{
    const size_t n = strlen(what);
    if ((size_t)(r->s.end - r->s.p) < n || memcmp(r->s.p, what, n) != 0) return false;
    r->s.p += n;
    return true;
}

static bool add(regex *r, parts *p, hg_x *x)
{
    if (x == NULL) return false;
    if (hg_grow(&p->x, &p->cap, p->n, sizeof *p->x, NULL) != HG_OK) {
        r->s.b->failed = true;
        return false;
    }
    p->x[p->n++] = x;
    return true;
}

/* ---- characters ---- */
hg_x *hg_json_chars(hg_build *b, const hg_range *r, size_t n)
{
    static const struct {
        uint32_t c;
        const char *text;
    } escapes[] = {{'"', "\\\""}, {'\\', "\\\\"}, {'\b', "\\b"}, {'\f', "\\f"},
                   {'\n', "\\n"}, {'\r', "\\r"},  {'\t', "\\t"}};
    hg_range *plain = HG_NEW_RAW(&b->mem, hg_range, 3 * n + 1);
    hg_x *all = hg_x_never(b);
    size_t kept = 0;
    if (plain == NULL) {
        b->failed = true;
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        const hg_range cut[] = {{0x20, '"' - 1}, {'"' + 1, '\\' - 1}, {'\\' + 1, HG_MAX_CHAR}};
        for (size_t k = 0; k < 3; k++) {
            const hg_range part = {r[i].lo > cut[k].lo ? r[i].lo : cut[k].lo,
                                   r[i].hi < cut[k].hi ? r[i].hi : cut[k].hi};
            if (part.lo <= part.hi) plain[kept++] = part;
        }
        for (size_t k = 0; k < sizeof escapes / sizeof escapes[0]; k++)
            if (r[i].lo <= escapes[k].c && escapes[k].c <= r[i].hi)
                all = hg_x_alt2(b, all, hg_x_text(b, escapes[k].text));
        for (uint32_t c = r[i].lo; c < 0x20 && c <= r[i].hi; c++) {
            const char text[] = {
                '\\', 'u', '0', '0', (char)('0' + (c >> 4)), "0123456789abcdef"[c & 15]};
            if (c == 8 || c == 9 || c == 10 || c == 12 || c == 13) continue;
            all = hg_x_alt2(b, all, hg_x_bytes(b, text, sizeof text));
        }
    }
    return kept == 0 ? all : hg_x_alt2(b, hg_x_set(b, plain, kept), all);
}

static hg_x *chars(regex *r, const hg_range *set, size_t n)
{
    return r->json ? hg_json_chars(r->s.b, set, n) : hg_x_set(r->s.b, set, n);
}

typedef struct ranges {
    hg_range at[64];
    size_t n;
} ranges;

static const hg_range digits[] = {{'0', '9'}};
static const hg_range words[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
static const hg_range spaces[] = {
    {9, 13},          {0x20, 0x20},     {0xA0, 0xA0},     {0x1680, 0x1680}, {0x2000, 0x200A},
    {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};

/* \d \w \s and their opposites. */
static bool named(char c, ranges *out)
{
    const hg_range *from = NULL;
    switch (c | 0x20) {
    case 'd':
        from = digits;
        out->n = sizeof digits / sizeof digits[0];
        break;
    case 'w':
        from = words;
        out->n = sizeof words / sizeof words[0];
        break;
    case 's':
        from = spaces;
        out->n = sizeof spaces / sizeof spaces[0];
        break;
    default:
        return false;
    }
    if ((c & 0x20) != 0)
        memcpy(out->at, from, out->n * sizeof *from);
    else
        out->n = hg_ranges_invert(from, out->n, out->at);
    return true;
}

/* A surrogate written as \uD8xx, with its other half behind it. */
static bool pair(regex *r, uint32_t *c)
{
    uint32_t low;
    if (*c < 0xD800 || *c > 0xDFFF) return true;
    if (*c >= 0xDC00 || !take(r, "\\u") || !hg_scan_hex(&r->s, 4, &low) || low < 0xDC00 ||
        low > 0xDFFF)
        return false;
    *c = 0x10000 + ((*c - 0xD800) << 10) + (low - 0xDC00);
    return true;
}

static bool braced(regex *r, uint32_t *c)
{
    uint32_t d;
    for (*c = 0; !at_end(r) && *r->s.p != '}';) {
        if (!hg_scan_hex(&r->s, 1, &d) || *c > HG_MAX_CHAR) return false;
        *c = *c << 4 | d;
    }
    return take(r, "}") && *c <= HG_MAX_CHAR;
}

/* Behind a backslash: one character. */
static bool escape(regex *r, uint32_t *c)
{
    static const char from[] = "tnrvf0", to[] = "\t\n\r\v\f";
    const char k = peek(r);
    const char *at = k == '\0' ? NULL : strchr(from, k);
    bool good = true;
    if (at != NULL) {
        r->s.p++;
        *c = (uint8_t)to[at - from];
        return true;
    }
    if (take(r, "u{")) {
        good = braced(r, c);
    } else if (take(r, "u")) {
        good = hg_scan_hex(&r->s, 4, c) && pair(r, c);
    } else if (take(r, "x")) {
        good = hg_scan_hex(&r->s, 2, c);
    } else if (take(r, "c")) {
        good = (peek(r) | 0x20) >= 'a' && (peek(r) | 0x20) <= 'z';
        *c = (uint32_t)peek(r) & 31;
        if (good) r->s.p++;
    } else if ((k >= 'a' && k <= 'z') || (k >= 'A' && k <= 'Z') || (k >= '1' && k <= '9') ||
               k == '\0') {
        (void)fail(r, HG_E_UNSUPPORTED,
                   "this escape (word boundary, back reference, Unicode property ...) cannot be "
                   "held");
        return false;
    } else {
        return hg_scan_char(&r->s, c, r->e) == HG_OK || ((r->failed = true), false);
    }
    if (!good) (void)fail(r, HG_E_FORMAT, "an escape that is no character");
    return good;
}

static bool class_member(regex *r, ranges *m, bool *single)
{
    *single = false;
    if (take(r, "\\")) {
        if (named(peek(r), m)) {
            r->s.p++;
            return true;
        }
        if (take(r, "b")) {
            m->at[0].lo = 8;
        } else if (!escape(r, &m->at[0].lo)) {
            return false;
        }
    } else if (hg_scan_char(&r->s, &m->at[0].lo, r->e) != HG_OK) {
        r->failed = true;
        return false;
    }
    m->at[0].hi = m->at[0].lo;
    m->n = 1;
    *single = true;
    return true;
}

static hg_x *class_of(regex *r)
{
    hg_range *set = NULL;
    size_t n = 0, cap = 0;
    const bool inverted = take(r, "^");
    bool good = true;
    while (good && !take(r, "]")) {
        ranges m, to;
        bool single, other;
        good = class_member(r, &m, &single);
        if (good && single && peek(r) == '-' && r->s.p + 1 < r->s.end && r->s.p[1] != ']') {
            const char *dash = r->s.p++;
            good = class_member(r, &to, &other);
            if (good && !other) {
                r->s.p = dash; /* [a-\d]: the dash is itself, as browsers have it */
            } else if (good) {
                m.at[0].hi = to.at[0].hi;
                if (m.at[0].hi < m.at[0].lo)
                    good = fail(r, HG_E_FORMAT, "a range that ends before it begins") != NULL;
            }
        }
        for (size_t i = 0; good && i < m.n; i++) {
            good = hg_grow(&set, &cap, n, sizeof *set, r->e) == HG_OK;
            if (good) set[n++] = m.at[i];
        }
    }
    hg_x *x = NULL;
    if (good) {
        n = hg_ranges_join(set, n);
        hg_range *out = HG_NEW_RAW(&r->s.b->mem, hg_range, n + 1);
        if (out != NULL && inverted)
            x = chars(r, out, hg_ranges_invert(set, n, out));
        else if (out != NULL)
            x = chars(r, set, n);
    } else {
        r->failed = true;
    }
    hg_free(set);
    return x;
}

/* ---- structure ---- */

/* `left`: the pattern may begin here, so that what is not anchored may have anything before it. */
static hg_x *alternatives(regex *r, bool left, bool right);

static hg_x *anything(regex *r)
{
    static const hg_range all = {0, HG_MAX_CHAR};
    return hg_x_repeat(r->s.b, chars(r, &all, 1), 0, HG_X_FOREVER);
}

static hg_x *atom(regex *r)
{
    static const hg_range dot[] = {
        {0, 9}, {11, 12}, {14, 0x2027}, {0x202A, HG_MAX_CHAR}}; /* no line ends */
    ranges m;
    hg_range one;
    if (take(r, ".")) return chars(r, dot, sizeof dot / sizeof dot[0]);
    if (take(r, "[")) return class_of(r);
    if (take(r, "\\")) {
        if (named(peek(r), &m)) {
            r->s.p++;
            return chars(r, m.at, m.n);
        }
        if (!escape(r, &one.lo)) return NULL;
    } else if (memchr("*+?{", peek(r), 4) != NULL && peek(r) != '\0') {
        return fail(r, HG_E_FORMAT, "a repetition of nothing");
    } else if (hg_scan_char(&r->s, &one.lo, r->e) != HG_OK) {
        r->failed = true;
        return NULL;
    }
    one.hi = one.lo;
    return chars(r, &one, 1);
}

static bool group_opens(regex *r)
{
    if (take(r, "(?:")) return true;
    if (take(r, "(?=") || take(r, "(?!") || take(r, "(?<=") || take(r, "(?<!")) {
        (void)fail(r, HG_E_UNSUPPORTED, "looking ahead or behind cannot be held");
        return false;
    }
    if (take(r, "(?<")) {
        while (!at_end(r) && *r->s.p != '>') r->s.p++;
        if (take(r, ">")) return true;
        (void)fail(r, HG_E_FORMAT, "a group's name is not closed");
        return false;
    }
    if (take(r, "(?")) {
        (void)fail(r, HG_E_UNSUPPORTED, "an unknown kind of group");
        return false;
    }
    return take(r, "(");
}

static hg_x *group(regex *r, bool left, bool right)
{
    if (++r->s.depth > HG_GRAMMAR_DEPTH)
        return fail(r, HG_E_LIMIT, "over 128 groups in each other");
    if (!group_opens(r)) return NULL;
    hg_x *x = alternatives(r, left, right);
    r->s.depth--;
    if (x != NULL && !take(r, ")")) return fail(r, HG_E_FORMAT, "a group is not closed");
    return x;
}

static hg_x *quantified(regex *r, hg_x *x)
{
    uint32_t min = 0, max = HG_X_FOREVER;
    if (x == NULL) return NULL;
    if (take(r, "+")) {
        min = 1;
    } else if (take(r, "?")) {
        max = 1;
    } else if (take(r, "{")) {
        if (hg_scan_bounds(&r->s, false, &min, &max, r->e) != HG_OK) {
            r->failed = true;
            return NULL;
        }
    } else if (!take(r, "*")) {
        return x;
    }
    (void)take(r, "?");
    if (peek(r) == '*' || peek(r) == '+' || peek(r) == '?')
        return fail(r, HG_E_FORMAT, "a repetition of a repetition; use a group");
    return hg_x_repeat(r->s.b, x, min, max);
}

/* Whether the group that opens here holds an anchor, outside of classes. */
static bool group_has(const regex *r, char anchor)
{
    unsigned depth = 0;
    bool in_class = false;
    for (const char *p = r->s.p; p < r->s.end; p++) {
        if (*p == '\\')
            p++;
        else if (in_class)
            in_class = *p != ']';
        else if (*p == '[')
            in_class = true;
        else if (*p == '(')
            depth++;
        else if (*p == ')' && --depth == 0)
            return false;
        else if (*p == anchor)
            return true;
    }
    return false;
}

static hg_x *sequence(regex *r, bool left, bool right)
{
    parts p = {0};
    bool good = true, first = true, open_left = left, open_right = right;
    while (good && !at_end(r) && *r->s.p != '|' && *r->s.p != ')') {
        if (!open_right && right) {
            good = fail(r, HG_E_UNSUPPORTED, "$ where the text cannot end") != NULL;
            break;
        }
        if (peek(r) == '^') {
            if (!left || !first) {
                good = fail(r, HG_E_UNSUPPORTED, "^ where the text cannot begin") != NULL;
                break;
            }
            r->s.p++;
            open_left = false;
            continue;
        }
        if (take(r, "$")) {
            if (!right || !(at_end(r) || peek(r) == '|' || peek(r) == ')'))
                good = fail(r, HG_E_UNSUPPORTED, "$ where the text cannot end") != NULL;
            open_right = false;
            break;
        }
        hg_x *x;
        if (peek(r) == '(') {
            const bool l = first && open_left && group_has(r, '^');
            const bool last = open_right && group_has(r, '$');
            if (first && open_left && !l) good = add(r, &p, anything(r));
            open_left = false;
            x = good ? group(r, l, last) : NULL;
            if (last) open_right = false;
            if ((l || last) && x != NULL && strchr("*+?{", peek(r)) != NULL && peek(r) != '\0')
                x = fail(r, HG_E_UNSUPPORTED, "an anchor in a group that is repeated");
        } else {
            if (first && open_left) good = add(r, &p, anything(r));
            open_left = false;
            x = good ? atom(r) : NULL;
        }
        first = false;
        good = good && add(r, &p, quantified(r, x));
    }
    if (good && open_left) good = add(r, &p, anything(r));
    if (good && open_right) good = add(r, &p, anything(r));
    hg_x *x = good ? hg_x_seq(r->s.b, p.x, p.n) : NULL;
    hg_free(p.x);
    return x;
}

static hg_x *alternatives(regex *r, bool left, bool right)
{
    parts p = {0};
    bool good = true;
    do good = add(r, &p, sequence(r, left, right));
    while (good && take(r, "|"));
    hg_x *x = good ? hg_x_alt(r->s.b, p.x, p.n) : NULL;
    hg_free(p.x);
    return x;
}

hg_x *hg_regex_read(hg_build *b, hg_bytes pattern, bool json, bool whole, hg_err *e)
{
    regex r = {.s = {b, pattern.p, pattern.p, pattern.p + pattern.n, 0}, .json = json, .e = e};
    const char *end = r.s.end;
    hg_x *x;
    if (whole) { /* anchors at the borders say nothing more */
        (void)take(&r, "^");
        if (pattern.n > 1 && end[-1] == '$' && (pattern.n < 2 || end[-2] != '\\')) r.s.end--;
    }
    x = alternatives(&r, !whole, !whole);
    if (x != NULL && !at_end(&r)) x = fail(&r, HG_E_FORMAT, "a bracket that closes no group");
    if (x == NULL && !r.failed) (void)hg_build_check(b, e);
    return x;
}

hg_status hg_grammar_from_regex(hg_grammar **out, hg_bytes pattern, hg_err *e)
{
    hg_build b;
    hg_err why = {.status = HG_E_NOMEM, .msg = "no room for the pattern"};
    hg_status s = HG_OK;
    *out = NULL;
    if (pattern.n > HG_MAX_GRAMMAR_BYTES)
        return hg_fail(e, HG_E_LIMIT, "a pattern of %zu bytes; %d allowed", pattern.n,
                       HG_MAX_GRAMMAR_BYTES);
    hg_build_init(&b);
    hg_x *x = hg_regex_read(&b, pattern, false, true, &why);
    if (x == NULL) {
        s = hg_fail(e, why.status, "%s", why.msg);
    } else {
        const uint32_t root = hg_rule_new(&b, "pattern", 7);
        hg_rule_set(&b, root, x);
        s = hg_grammar_build(out, &b, root, hg_grammar_id("regex", pattern), e);
    }
    hg_build_free(&b);
    return s;
}
