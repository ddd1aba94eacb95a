/* Expressions, with the precedence of Jinja2's parser: or, and, not, comparisons, + -, ~, * / // %,
 * **, signs, then what stands behind a value: .name [item] (call) |filter and `is` tests. */
#include "jinja/inner.h"
#include "text/utf8.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static jnode *parse_unary(jparser *p, bool with_filter);

/* A node over one operand or two. */
static jnode *over(jparser *p, jnode_kind kind, size_t at, jnode *a, jnode *b)
{
    jnode *n = hg_jp_node(p, kind, at);
    n->a = a;
    n->b = b;
    return n;
}

/* ---- constants ---- */
static jnode *constant(jparser *p, size_t at, jv value)
{
    jnode *n = hg_jp_node(p, N_CONST, at);
    n->value = value;
    return n;
}

static unsigned hex_value(char c)
{
    return c >= '0' && c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 32) - 'a' + 10);
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

/* \xhh \uhhhh \Uhhhhhhhh: the character, or false when the digits are not there. */
static bool hex_escape(const char *s, size_t n, size_t n_digits, uint32_t *c)
{
    *c = 0;
    if (n < n_digits) return false;
    for (size_t i = 0; i < n_digits; i++) {
        if (!is_hex(s[i])) return false;
        *c = *c << 4 | hex_value(s[i]);
    }
    return *c <= 0x10FFFF && !(*c >= 0xD800 && *c <= 0xDFFF);
}

static size_t octal_escape(const char *s, size_t n, uint32_t *c)
{
    size_t i = 0;
    for (*c = 0; i < 3 && i < n && s[i] >= '0' && s[i] <= '7'; i++)
        *c = *c << 3 | (uint32_t)(s[i] - '0');
    return i;
}

/* Python's escapes; the bytes taken behind the backslash. 0: an escape without its digits. */
static size_t unescape(const char *s, size_t n, char out[4], size_t *n_out)
{
    static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
    const char *at = s[0] != '\0' ? strchr(from, s[0]) : NULL;
    size_t digits = s[0] == 'x' ? 2 : s[0] == 'u' ? 4 : s[0] == 'U' ? 8 : 0;
    uint32_t c;
    *n_out = 1;
    if (at != NULL) {
        out[0] = to[at - from];
        return 1;
    }
    if (s[0] == '\n') {
        *n_out = 0;
        return 1;
    }
    if (digits > 0) {
        if (!hex_escape(s + 1, n - 1, digits, &c)) return 0;
        *n_out = hg_utf8_encode(c, out);
        return 1 + digits;
    }
    size_t octal = octal_escape(s, n, &c);
    if (octal > 0) {
        *n_out = hg_utf8_encode(c, out);
        return octal;
    }
    out[0] = '\\'; /* a backslash that escapes nothing stays, and so does what follows it */
    return SIZE_MAX;
}

static void put_string(jparser *p, const jtoken *t, char *out, size_t *n_out)
{
    const char *s = p->t->source.p + t->at + 1;
    size_t n = t->n - 2, w = *n_out;
    for (size_t i = 0; i < n;) {
        char made[4];
        size_t n_made, took;
        if (s[i] != '\\' || i + 1 == n) {
            out[w++] = s[i++];
            continue;
        }
        took = unescape(s + i + 1, n - i - 1, made, &n_made);
        if (took == 0) {
            hg_jp_fail(p, t->at + 1 + i, "an escape \\%c without its hexadecimal digits", s[i + 1]);
            return;
        }
        memcpy(out + w, made, n_made);
        w += n_made;
        i += took == SIZE_MAX ? 1 : 1 + took;
    }
    *n_out = w;
}

/* One string, or several side by side. */
static jnode *parse_string(jparser *p)
{
    const jtoken *t = hg_jp_peek(p);
    size_t at = t->at, room = 0, n = 0;
    for (size_t k = p->i; p->tokens.t[k].kind == T_STRING; k++) room += p->tokens.t[k].n;
    char *text = hg_jp_room(p, room + 1, 1);
    jv_str *s = hg_jp_room(p, 1, sizeof *s);
    if (text == NULL || s == NULL) return constant(p, at, hg_jv_none());
    while (hg_jp_peek(p)->kind == T_STRING && p->fail == HG_OK)
        put_string(p, hg_jp_next(p), text, &n);
    *s = (jv_str){.p = text, .n = n};
    return constant(p, at, (jv){JV_STRING, {.s = s}});
}

static jnode *parse_number(jparser *p)
{
    const jtoken *t = hg_jp_next(p);
    char digits[64];
    size_t n = 0;
    for (size_t i = 0; i < t->n && n + 1 < sizeof digits; i++)
        if (p->t->source.p[t->at + i] != '_') digits[n++] = p->t->source.p[t->at + i];
    digits[n] = '\0';
    if (t->kind == T_FLOAT) return constant(p, t->at, hg_jv_float(strtod(digits, NULL)));
    int base = n > 1 && digits[0] == '0' ? (digits[1] | 32) == 'x'   ? 16
                                           : (digits[1] | 32) == 'o' ? 8
                                           : (digits[1] | 32) == 'b' ? 2
                                                                     : 10
                                         : 10;
    errno = 0;
    long long v = strtoll(digits + (base == 10 ? 0 : 2), NULL, base);
    if (errno != 0) hg_jp_fail(p, t->at, "the number %.30s... is over 63 bits", digits);
    return constant(p, t->at, hg_jv_int(v));
}

/* ---- lists, dicts, names ---- */
static jnode *from_list(jparser *p, jnode_kind kind, size_t at, const jlist *l)
{
    jnode *n = hg_jp_node(p, kind, at);
    n->list = l->v;
    n->n = l->n;
    return n;
}

static jnode *parse_list(jparser *p)
{
    size_t at = hg_jp_next(p)->at;
    jlist l = {0};
    while (!hg_jp_is_op(p, ']') && p->fail == HG_OK) {
        hg_jp_append(p, &l, hg_jp_expression(p, true));
        if (!hg_jp_take_op(p, ',')) break;
    }
    hg_jp_expect_op(p, ']', "] at the end of the list");
    return from_list(p, N_LIST, at, &l);
}

static jnode *parse_dict(jparser *p)
{
    size_t at = hg_jp_next(p)->at;
    jlist l = {0};
    while (!hg_jp_is_op(p, '}') && p->fail == HG_OK) {
        hg_jp_append(p, &l, hg_jp_expression(p, true));
        hg_jp_expect_op(p, ':', ": between a key and its value");
        hg_jp_append(p, &l, hg_jp_expression(p, true));
        if (!hg_jp_take_op(p, ',')) break;
    }
    hg_jp_expect_op(p, '}', "} at the end of the dict");
    return from_list(p, N_DICT, at, &l);
}

static jnode *parse_parentheses(jparser *p)
{
    size_t at = hg_jp_next(p)->at;
    if (hg_jp_take_op(p, ')')) return from_list(p, N_TUPLE, at, &(jlist){0});
    jnode *n = hg_jp_tuple(p, true);
    hg_jp_expect_op(p, ')', ") at the end of the parentheses");
    return n;
}

static jnode *parse_name(jparser *p)
{
    static const struct {
        const char *name;
        jv value;
    } fixed[] = {{"true", {JV_BOOL, {.b = true}}},   {"True", {JV_BOOL, {.b = true}}},
                 {"false", {JV_BOOL, {.b = false}}}, {"False", {JV_BOOL, {.b = false}}},
                 {"none", {JV_NONE, {.i = 0}}},      {"None", {JV_NONE, {.i = 0}}}};
    size_t at = hg_jp_peek(p)->at;
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (hg_jp_take_name(p, fixed[i].name)) return constant(p, at, fixed[i].value);
    jnode *n = hg_jp_node(p, N_NAME, at);
    n->name = hg_jp_name(p, "a name");
    p->uses_varargs |= n->name == p->t->varargs;
    p->uses_kwargs |= n->name == p->t->kwargs;
    return n;
}

jnode *hg_jp_primary(jparser *p)
{
    const jtoken *t = hg_jp_peek(p);
    jnode *n = NULL;
    if (!hg_jp_enter(p))
        n = hg_jp_node(p, N_TUPLE, t->at);
    else if (t->kind == T_NAME)
        n = parse_name(p);
    else if (t->kind == T_STRING)
        n = parse_string(p);
    else if (t->kind == T_INT || t->kind == T_FLOAT)
        n = parse_number(p);
    else if (t->op == '(')
        n = parse_parentheses(p);
    else if (t->op == '[')
        n = parse_list(p);
    else if (t->op == '{')
        n = parse_dict(p);
    else {
        hg_jp_unexpected(p, "a value");
        n = hg_jp_node(p, N_TUPLE, t->at);
    }
    p->depth--;
    return n;
}

/* ---- what stands behind a value ---- */
static void one_argument(jparser *p, jargs *a, jlist *pos, jlist *named, const jsym ***key,
                         uint32_t *cap)
{
    if (hg_jp_take_op(p, OP2('*', '*'))) {
        a->star_star = hg_jp_expression(p, true);
        return;
    }
    if (hg_jp_take_op(p, '*')) {
        a->star = hg_jp_expression(p, true);
        return;
    }
    const jtoken *next = &p->tokens.t[p->i + (hg_jp_peek(p)->kind == T_NAME)];
    if (hg_jp_peek(p)->kind != T_NAME || next->op != '=') {
        if (named->n > 0)
            hg_jp_fail(p, hg_jp_peek(p)->at, "an argument without a name behind one with a name");
        hg_jp_append(p, pos, hg_jp_expression(p, true));
        return;
    }
    const jsym *name = hg_jp_name(p, "an argument's name");
    (void)hg_jp_next(p);
    if (named->n >= *cap) {
        uint32_t cap_now = *cap > 0 ? *cap * 2 : 4;
        const jsym **grown = hg_jp_room(p, cap_now, sizeof *grown);
        if (grown == NULL) return;
        if (named->n > 0) memcpy(grown, *key, named->n * sizeof *grown);
        *key = grown;
        *cap = cap_now;
    }
    (*key)[named->n] = name;
    hg_jp_append(p, named, hg_jp_expression(p, true));
}

jargs *hg_jp_args(jparser *p)
{
    jargs *a = hg_jp_room(p, 1, sizeof *a);
    jlist pos = {0}, named = {0};
    const jsym **key = NULL;
    uint32_t cap = 0;
    hg_jp_expect_op(p, '(', "( before the arguments");
    if (a == NULL) return &p->no_args;
    while (!hg_jp_is_op(p, ')') && p->fail == HG_OK) {
        one_argument(p, a, &pos, &named, &key, &cap);
        if (!hg_jp_take_op(p, ',')) break;
    }
    hg_jp_expect_op(p, ')', ") behind the arguments");
    a->pos = pos.v;
    a->n_pos = pos.n;
    a->named = named.v;
    a->n_named = named.n;
    a->key = key;
    return a;
}

static jnode *parse_slice_part(jparser *p)
{
    return hg_jp_is_op(p, ':') || hg_jp_is_op(p, ']') || hg_jp_is_op(p, ',')
               ? NULL
               : hg_jp_expression(p, true);
}

/* [item], [start:stop:step], or a tuple of items. */
static jnode *parse_item(jparser *p, jnode *of)
{
    size_t at = hg_jp_next(p)->at;
    jnode *first = parse_slice_part(p);
    jnode *n;
    if (hg_jp_take_op(p, ':')) {
        jlist l = {0};
        hg_jp_append(p, &l, first);
        hg_jp_append(p, &l, parse_slice_part(p));
        hg_jp_append(p, &l, hg_jp_take_op(p, ':') ? parse_slice_part(p) : NULL);
        n = from_list(p, N_SLICE, at, &l);
        n->a = of;
    } else {
        if (first == NULL) hg_jp_unexpected(p, "an index");
        if (hg_jp_is_op(p, ',')) {
            jlist l = {0};
            hg_jp_append(p, &l, first);
            while (hg_jp_take_op(p, ',')) hg_jp_append(p, &l, hg_jp_expression(p, true));
            first = from_list(p, N_TUPLE, at, &l);
        }
        n = over(p, N_ITEM, at, of, first);
    }
    hg_jp_expect_op(p, ']', "] behind the index");
    return n;
}

static jnode *parse_attribute(jparser *p, jnode *of)
{
    size_t at = hg_jp_next(p)->at;
    if (hg_jp_peek(p)->kind == T_INT) {
        jnode *index = parse_number(p);
        return over(p, N_ITEM, at, of, index);
    }
    jnode *n = over(p, N_ATTR, at, of, NULL);
    n->name = hg_jp_name(p, "a name behind the dot");
    return n;
}

jnode *hg_jp_postfix(jparser *p, jnode *n)
{
    int levels = 0;
    while (p->fail == HG_OK) {
        if (hg_jp_is_op(p, '.'))
            n = parse_attribute(p, n);
        else if (hg_jp_is_op(p, '['))
            n = parse_item(p, n);
        else if (hg_jp_is_op(p, '(')) {
            n = over(p, N_CALL, hg_jp_peek(p)->at, n, NULL);
            n->args = hg_jp_args(p);
        } else
            break;
        if (++levels > HG_JINJA_MAX_NESTING) hg_jp_unexpected(p, "fewer steps in one path");
    }
    return n;
}

/* Names of filters and tests may have dots; none that Higgins has does. */
static jnode *parse_filter(jparser *p, jnode *n)
{
    jnode *f = over(p, N_FILTER, hg_jp_peek(p)->at, n, NULL);
    f->name = hg_jp_name(p, "a filter's name");
    f->index = hg_jinja_filter_index(f->name->text);
    if (hg_jp_is_op(p, '(')) f->args = hg_jp_args(p);
    return f;
}

/* A test's argument may stand without parentheses: `x is divisibleby 3`. */
static bool bare_argument_follows(const jparser *p)
{
    static const char *const words[] = {"else", "or", "and", "if", "is", "in", "not"};
    const jtoken *t = hg_jp_peek(p);
    if (t->kind == T_NAME) {
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            if (hg_jp_is_name(p, words[i])) return false;
        return true;
    }
    return t->kind == T_STRING || t->kind == T_INT || t->kind == T_FLOAT || t->op == '[' ||
           t->op == '{';
}

static jnode *parse_test(jparser *p, jnode *n)
{
    size_t at = hg_jp_next(p)->at;
    bool is_negated = hg_jp_take_name(p, "not");
    jnode *t = over(p, N_TEST, at, n, NULL);
    t->op = is_negated;
    if (hg_jp_take_op(p, '=')) hg_jp_unexpected(p, "a test's name");
    t->name = hg_jp_name(p, "a test's name");
    t->index = hg_jinja_test_index(t->name->text);
    if (hg_jp_is_op(p, '(')) {
        t->args = hg_jp_args(p);
    } else if (bare_argument_follows(p)) {
        jlist l = {0};
        hg_jp_append(p, &l, hg_jp_postfix(p, hg_jp_primary(p)));
        jargs *a = hg_jp_room(p, 1, sizeof *a);
        if (a == NULL) return t;
        *a = (jargs){.pos = l.v, .n_pos = l.n};
        t->args = a;
    }
    return t;
}

jnode *hg_jp_filters(jparser *p, jnode *n, bool first_is_bare)
{
    int levels = 0;
    if (first_is_bare) n = parse_filter(p, n);
    while (p->fail == HG_OK) {
        if (hg_jp_take_op(p, '|'))
            n = parse_filter(p, n);
        else if (!first_is_bare && hg_jp_is_name(p, "is"))
            n = parse_test(p, n);
        else if (!first_is_bare && hg_jp_is_op(p, '(')) {
            n = over(p, N_CALL, hg_jp_peek(p)->at, n, NULL);
            n->args = hg_jp_args(p);
        } else
            break;
        if (++levels > HG_JINJA_MAX_NESTING) hg_jp_unexpected(p, "fewer filters in a row");
    }
    return n;
}

/* ---- operators ---- */
static jnode *parse_unary(jparser *p, bool with_filter)
{
    const jtoken *t = hg_jp_peek(p);
    jnode *n;
    if (!hg_jp_enter(p)) {
        n = hg_jp_node(p, N_TUPLE, t->at);
    } else if (t->op == '-' || t->op == '+') {
        (void)hg_jp_next(p);
        n = over(p, t->op == '-' ? N_NEGATE : N_PLUS, t->at, parse_unary(p, false), NULL);
    } else {
        n = hg_jp_primary(p);
    }
    p->depth--;
    n = hg_jp_postfix(p, n);
    return with_filter ? hg_jp_filters(p, n, false) : n;
}

/* Operators of one level, grouped from the left. */
static jnode *parse_chain(jparser *p, jnode *(*below)(jparser *), const uint16_t *ops)
{
    jnode *left = below(p);
    int levels = 0;
    while (p->fail == HG_OK) {
        const jtoken *t = hg_jp_peek(p);
        size_t k = 0;
        while (ops[k] != 0 && ops[k] != t->op) k++;
        if (ops[k] == 0) break;
        (void)hg_jp_next(p);
        left = over(p, N_BINARY, t->at, left, below(p));
        left->op = t->op;
        if (++levels > HG_JINJA_MAX_NESTING) hg_jp_unexpected(p, "fewer operators in a row");
    }
    return left;
}

static jnode *unary(jparser *p)
{
    return parse_unary(p, true);
}

static jnode *power(jparser *p)
{
    static const uint16_t ops[] = {OP2('*', '*'), 0};
    return parse_chain(p, unary, ops);
}

static jnode *product(jparser *p)
{
    static const uint16_t ops[] = {'*', '/', OP2('/', '/'), '%', 0};
    return parse_chain(p, power, ops);
}

static jnode *concat(jparser *p)
{
    jnode *first = product(p);
    if (!hg_jp_is_op(p, '~')) return first;
    size_t at = hg_jp_peek(p)->at;
    jlist l = {0};
    hg_jp_append(p, &l, first);
    while (p->fail == HG_OK && hg_jp_take_op(p, '~')) hg_jp_append(p, &l, product(p));
    return from_list(p, N_CONCAT, at, &l);
}

static jnode *sum(jparser *p)
{
    static const uint16_t ops[] = {'+', '-', 0};
    return parse_chain(p, concat, ops);
}

/* The comparison that stands here: its characters, 'i' for in, 'n' for not in, 0 for none. */
static uint16_t take_comparison(jparser *p)
{
    static const uint16_t ops[] = {OP2('=', '='), OP2('!', '='), OP2('<', '='),
                                   OP2('>', '='), '<',           '>'};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (hg_jp_take_op(p, ops[i])) return ops[i];
    if (hg_jp_take_name(p, "in")) return 'i';
    if (!hg_jp_is_name(p, "not")) return 0;
    (void)hg_jp_next(p);
    if (hg_jp_take_name(p, "in")) return 'n';
    p->i--;
    return 0;
}

static jnode *comparison(jparser *p)
{
    enum { MOST = 16 };
    uint16_t ops[MOST], op;
    jnode *first = sum(p);
    size_t at = hg_jp_peek(p)->at;
    jlist l = {0};
    while (p->fail == HG_OK && (op = take_comparison(p)) != 0) {
        if (l.n == MOST) hg_jp_unexpected(p, "at most 16 comparisons in a row");
        ops[l.n % MOST] = op;
        hg_jp_append(p, &l, sum(p));
    }
    if (l.n == 0 || p->fail != HG_OK) return first;
    jnode *n = from_list(p, N_COMPARE, at, &l);
    n->a = first;
    n->ops = hg_jp_room(p, l.n, sizeof *n->ops);
    if (n->ops != NULL) memcpy(n->ops, ops, l.n * sizeof *ops);
    return n;
}

static jnode *negation(jparser *p)
{
    if (!hg_jp_is_name(p, "not")) return comparison(p);
    size_t at = hg_jp_next(p)->at;
    jnode *n = NULL;
    if (!hg_jp_enter(p))
        n = hg_jp_node(p, N_TUPLE, at);
    else
        n = over(p, N_NOT, at, negation(p), NULL);
    p->depth--;
    return n;
}

static jnode *parse_words(jparser *p, const char *word, jnode_kind kind, jnode *(*below)(jparser *))
{
    jnode *left = below(p);
    int levels = 0;
    while (p->fail == HG_OK && hg_jp_is_name(p, word)) {
        size_t at = hg_jp_next(p)->at;
        left = over(p, kind, at, left, below(p));
        if (++levels > HG_JINJA_MAX_NESTING) hg_jp_unexpected(p, "fewer conditions in a row");
    }
    return left;
}

static jnode *conjunction(jparser *p)
{
    return parse_words(p, "and", N_AND, negation);
}

static jnode *disjunction(jparser *p)
{
    return parse_words(p, "or", N_OR, conjunction);
}

jnode *hg_jp_expression(jparser *p, bool with_condition)
{
    size_t at = hg_jp_peek(p)->at;
    jnode *n;
    if (!hg_jp_enter(p)) {
        p->depth--;
        return hg_jp_node(p, N_TUPLE, at);
    }
    n = disjunction(p);
    while (with_condition && p->fail == HG_OK && hg_jp_is_name(p, "if")) {
        at = hg_jp_next(p)->at;
        jnode *condition = disjunction(p);
        n = over(p, N_IF_ELSE, at, condition, n);
        if (!hg_jp_take_name(p, "else")) continue;
        n->c = hg_jp_expression(p, true);
    }
    p->depth--;
    return n;
}

static bool tuple_ends(const jparser *p)
{
    jtoken_kind k = hg_jp_peek(p)->kind;
    return k == T_PRINT_END || k == T_BLOCK_END || k == T_END || hg_jp_is_op(p, ')') ||
           hg_jp_is_name(p, "in");
}

jnode *hg_jp_tuple(jparser *p, bool with_condition)
{
    size_t at = hg_jp_peek(p)->at;
    jnode *first = hg_jp_expression(p, with_condition);
    if (!hg_jp_is_op(p, ',')) return first;
    jlist l = {0};
    hg_jp_append(p, &l, first);
    while (p->fail == HG_OK && hg_jp_take_op(p, ',')) {
        if (tuple_ends(p)) break;
        hg_jp_append(p, &l, hg_jp_expression(p, with_condition));
    }
    return from_list(p, N_TUPLE, at, &l);
}

/* ---- targets of set, with and for ---- */
static jnode *one_target(jparser *p)
{
    if (hg_jp_is_op(p, '(')) {
        (void)hg_jp_next(p);
        jnode *n = hg_jp_target(p, true);
        hg_jp_expect_op(p, ')', ") at the end of the names");
        return n;
    }
    jnode *n = hg_jp_node(p, N_NAME, hg_jp_peek(p)->at);
    n->name = hg_jp_name(p, "a name to assign to");
    return n;
}

jnode *hg_jp_target(jparser *p, bool for_loop)
{
    size_t at = hg_jp_peek(p)->at;
    jnode *first = hg_jp_node(p, N_TUPLE, at);
    if (!hg_jp_enter(p)) {
        p->depth--;
        return first;
    }
    first = one_target(p);
    if (!for_loop && first->kind == N_NAME && hg_jp_take_op(p, '.')) {
        first = over(p, N_ATTR, at, first, NULL);
        first->name = hg_jp_name(p, "a name behind the dot");
    } else if (hg_jp_is_op(p, ',')) {
        jlist l = {0};
        hg_jp_append(p, &l, first);
        while (p->fail == HG_OK && hg_jp_take_op(p, ',')) {
            if (hg_jp_peek(p)->kind != T_NAME && !hg_jp_is_op(p, '(')) break;
            if (hg_jp_is_name(p, "in")) break;
            hg_jp_append(p, &l, one_target(p));
        }
        first = from_list(p, N_TUPLE, at, &l);
    }
    p->depth--;
    return first;
}
