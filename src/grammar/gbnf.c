/* llama.cpp's GBNF: rules over characters, with groups, repetition, classes and comments. The
 * reader makes expressions; rules may be used before they are written. */
#include "grammar/scan.h"
#include "text/utf8.h"

#include <string.h>

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static char peek(const hg_scan *s)
{
    return s->p < s->end ? *s->p : '\0';
}

static void skip(hg_scan *s, bool lines)
{
    for (; s->p < s->end; s->p++) {
        const char c = *s->p;
        if (c == '#')
            while (s->p + 1 < s->end && s->p[1] != '\n' && s->p[1] != '\r') s->p++;
        else if (c != ' ' && c != '\t' && !(lines && (c == '\n' || c == '\r')))
            return;
    }
}

static hg_status character(hg_scan *s, uint32_t *out, hg_err *e)
{
    static const char from[] = "trn\\\"[]-", to[] = "\t\r\n\\\"[]-";
    if (peek(s) != '\\') return hg_scan_char(s, out, e);
    s->p++;
    const char c = peek(s);
    const char *at = c == '\0' ? NULL : strchr(from, c);
    if (at != NULL) {
        s->p++;
        *out = (uint8_t)to[at - from];
        return HG_OK;
    }
    const size_t n = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (n == 0)
        return hg_scan_fail(s, e, HG_E_FORMAT,
                            "an unknown escape; \\t \\r \\n \\\\ \\\" \\[ \\] \\- \\xHH \\uHHHH "
                            "\\UHHHHHHHH are known");
    s->p++;
    if (!hg_scan_hex(s, n, out))
        return hg_scan_fail(s, e, HG_E_FORMAT, "an escape lacks hexadecimal digits");
    if (*out > HG_MAX_CHAR || (*out >= 0xD800 && *out <= 0xDFFF))
        return hg_scan_fail(s, e, HG_E_FORMAT, "an escape that is no character");
    return HG_OK;
}

static hg_x *literal(hg_scan *s, hg_err *e)
{
    hg_x *x = hg_x_empty(s->b);
    hg_buf text = {0};
    uint32_t c;
    hg_status st = HG_OK;
    s->p++;
    while (peek(s) != '"' && st == HG_OK) {
        st = character(s, &c, e);
        if (st != HG_OK) break;
        char out[4];
        hg_buf_put(&text, out, hg_utf8_encode(c, out));
    }
    if (st == HG_OK) {
        s->p++;
        x = text.failed ? NULL : hg_x_bytes(s->b, text.p == NULL ? "" : text.p, text.n);
        if (x == NULL) s->b->failed = true;
    }
    hg_buf_free(&text);
    return st == HG_OK ? x : NULL;
}

static hg_x *class_of(hg_scan *s, hg_err *e)
{
    hg_range *r = NULL, *set;
    size_t n = 0, cap = 0;
    hg_status st = HG_OK;
    s->p++;
    const bool inverted = peek(s) == '^';
    s->p += inverted;
    while (st == HG_OK && peek(s) != ']') {
        st = hg_grow(&r, &cap, n + 1, sizeof *r, e);
        if (st == HG_OK) st = character(s, &r[n].lo, e);
        if (st != HG_OK) break;
        r[n].hi = r[n].lo;
        if (peek(s) == '-' && s->p + 1 < s->end && s->p[1] != ']') {
            s->p++;
            st = character(s, &r[n].hi, e);
            if (st == HG_OK && r[n].hi < r[n].lo)
                st = hg_scan_fail(s, e, HG_E_FORMAT, "a range that ends before it begins");
        }
        n++;
    }
    hg_x *x = NULL;
    if (st == HG_OK) {
        s->p++;
        n = hg_ranges_join(r, n);
        set = HG_NEW_RAW(&s->b->mem, hg_range, n + 1);
        if (set == NULL)
            s->b->failed = true;
        else if (inverted)
            x = hg_x_set(s->b, set, hg_ranges_invert(r, n, set));
        else /* llama.cpp reads [] as the empty text */
            x = n == 0 ? hg_x_empty(s->b) : hg_x_set(s->b, r, n);
    }
    hg_free(r);
    return x;
}

static hg_x *alternatives(hg_scan *s, bool nested, hg_err *e);

static hg_x *group(hg_scan *s, hg_err *e)
{
    if (++s->depth > HG_GRAMMAR_DEPTH) {
        (void)hg_scan_fail(s, e, HG_E_LIMIT, "over 128 groups in each other");
        return NULL;
    }
    s->p++;
    skip(s, true);
    hg_x *x = alternatives(s, true, e);
    s->depth--;
    if (x == NULL) return NULL;
    if (peek(s) != ')') {
        (void)hg_scan_fail(s, e, HG_E_FORMAT, "a group is not closed; ) expected");
        return NULL;
    }
    s->p++;
    return x;
}

/* The rule of a name, made when it is first seen. */
static hg_x *reference(hg_scan *s, uint32_t *rule)
{
    const char *from = s->p;
    hg_build *b = s->b;
    while (is_word(peek(s))) s->p++;
    const size_t n = (size_t)(s->p - from);
    for (*rule = 0; *rule < b->n_rules; (*rule)++)
        if (strlen(b->rules[*rule].name) == n && memcmp(b->rules[*rule].name, from, n) == 0) break;
    if (*rule == b->n_rules) {
        *rule = hg_rule_new(b, from, n);
        if (*rule < b->n_rules) b->rules[*rule].line = (size_t)(from - s->begin);
    }
    return b->failed ? NULL : hg_x_rule(b, *rule);
}

/* One symbol without its repetitions; *out NULL with HG_OK where a sequence ends. */
static hg_status symbol(hg_scan *s, hg_x **out, hg_err *e)
{
    static const hg_range any = {0, HG_MAX_CHAR};
    uint32_t rule;
    const char c = peek(s);
    *out = NULL;
    if (c == '"')
        *out = literal(s, e);
    else if (c == '[')
        *out = class_of(s, e);
    else if (c == '(')
        *out = group(s, e);
    else if (is_word(c))
        *out = reference(s, &rule);
    else if (c == '.') {
        s->p++;
        *out = hg_x_set(s->b, &any, 1);
    } else if (c == '<' || c == '!')
        return hg_scan_fail(s, e, HG_E_UNSUPPORTED,
                            "single tokens (<...>) cannot be asked for; write their text");
    else
        return HG_OK;
    if (*out == NULL && s->b->failed) return hg_build_check(s->b, e);
    return *out == NULL ? HG_E_FORMAT : HG_OK; /* the sentence is written */
}

static hg_status repetitions(hg_scan *s, bool nested, hg_x **x, hg_err *e)
{
    for (;;) {
        uint32_t min = 0, max = HG_X_FOREVER;
        const char c = peek(s);
        if (c != '*' && c != '+' && c != '?' && c != '{') return HG_OK;
        s->p++;
        if (c == '+') min = 1;
        if (c == '?') max = 1;
        if (c == '{') HG_TRY(hg_scan_bounds(s, true, &min, &max, e));
        *x = hg_x_repeat(s->b, *x, min, max);
        if (*x == NULL) return hg_build_check(s->b, e);
        skip(s, nested);
    }
}

/* The parts of a sequence or of alternatives, gathered flat. */
typedef struct parts {
    hg_x **x;
    size_t n, cap;
} parts;

static bool add(hg_scan *s, parts *p, hg_x *x)
{
    if (x == NULL) return false;
    if (hg_grow(&p->x, &p->cap, p->n, sizeof *p->x, NULL) != HG_OK) {
        s->b->failed = true;
        return false;
    }
    p->x[p->n++] = x;
    return true;
}

static hg_x *sequence(hg_scan *s, bool nested, hg_err *e)
{
    parts p = {0};
    hg_x *one = NULL;
    bool good = true;
    while (good && s->p < s->end) {
        good = symbol(s, &one, e) == HG_OK;
        if (good && one == NULL) {
            const char c = peek(s);
            if (c != '*' && c != '+' && c != '?' && c != '{') break;
            (void)hg_scan_fail(s, e, HG_E_FORMAT, "a repetition of nothing");
            good = false;
        }
        if (!good) break;
        skip(s, nested);
        good = repetitions(s, nested, &one, e) == HG_OK && add(s, &p, one);
    }
    hg_x *x = good ? hg_x_seq(s->b, p.x, p.n) : NULL;
    hg_free(p.x);
    return x;
}

static hg_x *alternatives(hg_scan *s, bool nested, hg_err *e)
{
    parts p = {0};
    bool good = add(s, &p, sequence(s, nested, e));
    while (good && peek(s) == '|') {
        s->p++;
        skip(s, true);
        good = add(s, &p, sequence(s, nested, e));
    }
    hg_x *x = good ? hg_x_alt(s->b, p.x, p.n) : NULL;
    hg_free(p.x);
    return x;
}

static hg_status read_rule(hg_scan *s, hg_err *e)
{
    uint32_t rule;
    if (!is_word(peek(s)))
        return hg_scan_fail(s, e, HG_E_FORMAT, "a rule's name expected, as in root ::= \"yes\"");
    if (reference(s, &rule) == NULL) return hg_build_check(s->b, e);
    skip(s, false);
    if (s->end - s->p < 3 || memcmp(s->p, "::=", 3) != 0)
        return hg_scan_fail(s, e, HG_E_FORMAT, "::= expected behind a rule's name");
    s->p += 3;
    skip(s, true);
    hg_x *x = alternatives(s, false, e);
    if (x == NULL) return s->b->failed ? hg_build_check(s->b, e) : HG_E_FORMAT;
    hg_rule_set(s->b, rule, x);
    if (s->p < s->end && *s->p != '\r' && *s->p != '\n')
        return hg_scan_fail(s, e, HG_E_FORMAT, "the end of the line or a symbol expected");
    skip(s, true);
    return HG_OK;
}

static hg_status check_rules(const hg_scan *s, uint32_t *root, hg_err *e)
{
    *root = HG_MAX_RULES;
    for (size_t i = 0; i < s->b->n_rules; i++) {
        const hg_rule *r = &s->b->rules[i];
        if (strcmp(r->name, "root") == 0) *root = (uint32_t)i;
        if (r->x != NULL) continue;
        hg_scan at = *s;
        char what[128];
        at.p = s->begin + r->line;
        hg_buf text = {0};
        hg_buf_printf(&text, "the rule \"%.60s\" is used and never defined", r->name);
        (void)memset(what, 0, sizeof what);
        if (text.p != NULL) memcpy(what, text.p, text.n < sizeof what ? text.n : sizeof what - 1);
        hg_buf_free(&text);
        return hg_scan_fail(&at, e, HG_E_FORMAT, what);
    }
    if (*root == HG_MAX_RULES)
        return hg_fail(e, HG_E_FORMAT, "no rule \"root\"; a grammar begins with it");
    return HG_OK;
}

hg_status hg_grammar_from_gbnf(hg_grammar **out, hg_bytes text, hg_err *e)
{
    hg_build b;
    uint32_t root = 0;
    hg_status st = HG_OK;
    *out = NULL;
    if (text.n > HG_MAX_GRAMMAR_BYTES)
        return hg_fail(e, HG_E_LIMIT, "a grammar of %zu bytes; %d allowed", text.n,
                       HG_MAX_GRAMMAR_BYTES);
    hg_build_init(&b);
    hg_scan s = {&b, text.p, text.p, text.p + text.n, 0};
    skip(&s, true);
    while (st == HG_OK && s.p < s.end) st = read_rule(&s, e);
    if (st != HG_OK && e != NULL) st = e->status == HG_OK ? st : e->status;
    if (st == HG_OK) st = check_rules(&s, &root, e);
    if (st == HG_OK) st = hg_grammar_build(out, &b, root, hg_grammar_id("gbnf", text), e);
    hg_build_free(&b);
    return st;
}
