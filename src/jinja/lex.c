/* A template's source as tokens, by the rules of Jinja2's lexer under trim_blocks and
 * lstrip_blocks: a line that holds nothing but a block leaves nothing behind, "-" takes all white
 * space on its side, "+" none. */
#include "jinja/inner.h"
#include "text/utf8.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

enum { MAX_BRACKETS = HG_JINJA_MAX_NESTING * 2 };

typedef struct lexer {
    hg_bytes src;
    size_t i;
    jtokens *out;
    bool at_line;   /* what was read last ended with a line break, or nothing was read */
    uint32_t begin; /* of the tag under way */
    char open[MAX_BRACKETS];
    size_t n_open;
    hg_err *e;
} lexer;

hg_status hg_jinja_fail_at(hg_bytes source, size_t at, hg_status status, hg_err *e, const char *fmt,
                           ...)
{
    char what[400];
    size_t line = 1, column = 1;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    for (size_t i = 0; i < at && i < source.n; i++) {
        column++;
        if (source.p[i] == '\n') line++, column = 1;
    }
    return hg_fail(e, status, "line %zu, column %zu: %s", line, column, what);
}

hg_status hg_jinja_normalise(hg_bytes in, char *out, size_t *n_out)
{
    size_t n = 0;
    for (size_t i = 0; i < in.n; i++) {
        if (in.p[i] == '\r') {
            if (i + 1 < in.n && in.p[i + 1] == '\n') i++;
            out[n++] = '\n';
        } else {
            out[n++] = in.p[i];
        }
    }
    if (n > 0 && out[n - 1] == '\n') n--;
    *n_out = n;
    return HG_OK;
}

static hg_status push(lexer *x, jtoken_kind kind, uint16_t op, size_t at, size_t n)
{
    jtokens *o = x->out;
    HG_TRY(hg_grow(&o->t, &o->cap, o->n, sizeof *o->t, x->e));
    o->t[o->n++] = (jtoken){kind, op, (uint32_t)at, (uint32_t)n};
    if (n > 0) x->at_line = x->src.p[at + n - 1] == '\n';
    return HG_OK;
}

static bool starts(const lexer *x, size_t at, const char *text)
{
    size_t n = strlen(text);
    return at <= x->src.n && n <= x->src.n - at && memcmp(x->src.p + at, text, n) == 0;
}

/* Bytes of white space at `at`, as Python's \s sees it. */
static size_t space_at(const lexer *x, size_t at)
{
    uint32_t c;
    if (at >= x->src.n) return 0;
    size_t n = hg_utf8_step(x->src.p + at, x->src.p + x->src.n, &c);
    return c != HG_UTF8_BAD && (hg_utf8_is_space(c) || c == 0x85 || (c >= 0x1C && c <= 0x1F)) ? n
                                                                                              : 0;
}

static void skip_space(lexer *x)
{
    for (size_t n; (n = space_at(x, x->i)) > 0; x->i += n) x->at_line = x->src.p[x->i] == '\n';
}

/* The end of src[from, to) without white space. */
static size_t strip_right(const lexer *x, size_t from, size_t to)
{
    size_t end = from;
    for (size_t i = from; i < to;) {
        size_t n = space_at(x, i);
        i += n > 0 ? n : 1;
        if (n == 0) end = i;
    }
    return end;
}

/* The end of the text [from, to) before a tag with this sign. */
static size_t text_end(const lexer *x, size_t from, size_t to, char sign, bool is_print)
{
    if (sign == '-') return strip_right(x, from, to);
    if (sign == '+' || is_print) return to;
    size_t line = to;
    while (line > from && x->src.p[line - 1] != '\n') line--;
    if (line == from && !x->at_line) return to;
    return strip_right(x, line, to) == line ? line : to;
}

static char sign_at(const lexer *x, size_t at)
{
    char c = at < x->src.n ? x->src.p[at] : '\0';
    return c == '-' || c == '+' ? c : '\0';
}

/* Ends a tag whose closing mark of `n` bytes stands at x->i, behind `sign`. */
static void close_tag(lexer *x, char sign, size_t n, bool trims)
{
    x->i += n;
    x->at_line = false;
    if (sign == '-') {
        skip_space(x);
    } else if (trims && sign != '+' && x->i < x->src.n && x->src.p[x->i] == '\n') {
        x->i++;
        x->at_line = true;
    }
}

static hg_status skip_comment(lexer *x)
{
    size_t begin = x->i, from = begin + (sign_at(x, begin + 2) != '\0' ? 3 : 2);
    for (x->i = from; x->i < x->src.n; x->i++) {
        if (!starts(x, x->i, "#}")) continue;
        char sign = x->i > from ? sign_at(x, x->i - 1) : '\0';
        close_tag(x, sign, 2, true);
        return HG_OK;
    }
    return hg_jinja_fail_at(x->src, begin, HG_E_FORMAT, x->e, "a comment without its end, #}");
}

/* The length of `{% word %}` at `at`, 0 when something else stands there. */
static size_t whole_tag(const lexer *x, size_t at, const char *word, char *sign_before,
                        char *sign_behind)
{
    size_t i = at, n;
    if (!starts(x, i, "{%")) return 0;
    i += 2;
    *sign_before = sign_at(x, i);
    if (*sign_before != '\0') i++;
    while ((n = space_at(x, i)) > 0) i += n;
    if (!starts(x, i, word)) return 0;
    i += strlen(word);
    while ((n = space_at(x, i)) > 0) i += n;
    *sign_behind = sign_at(x, i);
    if (*sign_behind != '\0') i++;
    return starts(x, i, "%}") ? i + 2 - at : 0;
}

static hg_status lex_raw(lexer *x, size_t tag, char sign)
{
    size_t begin = x->i, from;
    char before, behind;
    x->i += tag;
    x->at_line = false;
    if (sign == '-') skip_space(x);
    from = x->i;
    for (; x->i < x->src.n; x->i++) {
        size_t n = whole_tag(x, x->i, "endraw", &before, &behind);
        if (n == 0) continue;
        size_t end = text_end(x, from, x->i, before, false);
        if (end > from) HG_TRY(push(x, T_TEXT, 0, from, end - from));
        close_tag(x, behind, n, true);
        return HG_OK;
    }
    return hg_jinja_fail_at(x->src, begin, HG_E_FORMAT, x->e, "raw without endraw");
}

/* ---- inside of a tag ---- */
static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static size_t digits(const lexer *x, size_t at)
{
    size_t i = at;
    while (i < x->src.n &&
           (is_digit(x->src.p[i]) ||
            (x->src.p[i] == '_' && i > at && i + 1 < x->src.n && is_digit(x->src.p[i + 1]))))
        i++;
    return i - at;
}

static size_t radix_digits(const lexer *x, size_t at)
{
    static const char *const allowed[] = {"01_", "01234567_", "0123456789abcdefABCDEF_"};
    char c = at + 1 < x->src.n ? (char)(x->src.p[at + 1] | 32) : '\0';
    const char *set = x->src.p[at] != '0' ? NULL
                      : c == 'b'          ? allowed[0]
                      : c == 'o'          ? allowed[1]
                      : c == 'x'          ? allowed[2]
                                          : NULL;
    if (set == NULL) return 0;
    size_t i = at + 2;
    while (i < x->src.n && x->src.p[i] != '\0' && strchr(set, x->src.p[i]) != NULL) i++;
    return i > at + 2 ? i - at : 0;
}

static hg_status lex_number(lexer *x)
{
    size_t at = x->i, n = radix_digits(x, at);
    bool is_float = false, behind_dot = at > 0 && x->src.p[at - 1] == '.';
    if (n == 0) {
        n = digits(x, at);
        size_t more = at + n < x->src.n && x->src.p[at + n] == '.' ? digits(x, at + n + 1) : 0;
        if (more > 0 && !behind_dot) n += 1 + more, is_float = true;
        size_t k = at + n;
        if (!behind_dot && k < x->src.n && (x->src.p[k] | 32) == 'e') {
            k++;
            if (k < x->src.n && (x->src.p[k] == '-' || x->src.p[k] == '+')) k++;
            more = digits(x, k);
            if (more > 0) n = k + more - at, is_float = true;
        }
    }
    x->i += n;
    return push(x, is_float ? T_FLOAT : T_INT, 0, at, n);
}

static hg_status lex_string(lexer *x)
{
    size_t at = x->i;
    char quote = x->src.p[x->i++];
    while (x->i < x->src.n && x->src.p[x->i] != quote) x->i += x->src.p[x->i] == '\\' ? 2 : 1;
    if (x->i >= x->src.n)
        return hg_jinja_fail_at(x->src, at, HG_E_FORMAT, x->e, "a string without its end, %c",
                                quote);
    x->i++;
    return push(x, T_STRING, 0, at, x->i - at);
}

/* Bytes of the character of a name at `at`. */
static size_t name_char(const lexer *x, size_t at)
{
    uint32_t c;
    if (at >= x->src.n) return 0;
    unsigned char b = (unsigned char)x->src.p[at];
    if (b < 0x80)
        return (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || b == '_' || is_digit(b) ? 1 : 0;
    size_t n = hg_utf8_step(x->src.p + at, x->src.p + x->src.n, &c);
    if (c == HG_UTF8_BAD) return 0;
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_NL ? n : 0;
}

static hg_status bracket(lexer *x, char c)
{
    static const char pairs[] = "()[]{}";
    const char *at = strchr(pairs, c);
    if (at == NULL || c == '\0') return HG_OK;
    if ((at - pairs) % 2 == 0) {
        if (x->n_open == MAX_BRACKETS)
            return hg_jinja_fail_at(x->src, x->i, HG_E_LIMIT, x->e,
                                    "over %d brackets in one another", MAX_BRACKETS);
        x->open[x->n_open++] = at[1];
        return HG_OK;
    }
    if (x->n_open == 0 || x->open[x->n_open - 1] != c)
        return hg_jinja_fail_at(x->src, x->i, HG_E_FORMAT, x->e, "%c closes nothing here%s%.1s", c,
                                x->n_open > 0 ? "; what is open ends with " : "",
                                x->n_open > 0 ? &x->open[x->n_open - 1] : "");
    x->n_open--;
    return HG_OK;
}

static hg_status lex_operator(lexer *x)
{
    static const char *const two[] = {"**", "//", "==", "!=", ">=", "<="};
    char c = x->src.p[x->i];
    for (size_t k = 0; k < sizeof two / sizeof *two; k++)
        if (starts(x, x->i, two[k])) {
            x->i += 2;
            return push(x, T_OP, OP2(two[k][0], two[k][1]), x->i - 2, 2);
        }
    if (c == '\0' || strchr("+-/*%~[](){}><=.:|,", c) == NULL)
        return hg_jinja_fail_at(x->src, x->i, HG_E_FORMAT, x->e,
                                "the byte 0x%02x has no meaning in an expression",
                                (unsigned)(unsigned char)c);
    HG_TRY(bracket(x, c));
    x->i++;
    return push(x, T_OP, (uint16_t)c, x->i - 1, 1);
}

static hg_status lex_inside(lexer *x)
{
    unsigned char c = (unsigned char)x->src.p[x->i];
    if (is_digit(c)) return lex_number(x);
    if (c == '"' || c == '\'') return lex_string(x);
    size_t n = 0, more;
    while ((more = name_char(x, x->i + n)) > 0) n += more;
    if (n == 0) return lex_operator(x);
    x->i += n;
    return push(x, T_NAME, 0, x->i - n, n);
}

/* True at the end of the tag: the closing mark, perhaps behind a sign. */
static bool at_close(const lexer *x, const char *close, char *sign)
{
    if (x->n_open > 0) return false;
    *sign = sign_at(x, x->i);
    if (*sign == '+' && close[0] == '}') return false;
    if (*sign != '\0' && starts(x, x->i + 1, close)) return true;
    *sign = '\0';
    return starts(x, x->i, close);
}

static hg_status lex_tag(lexer *x, bool is_print)
{
    const char *close = is_print ? "}}" : "%}";
    size_t begin = x->i;
    char sign;
    x->i += 2;
    if (sign_at(x, x->i) != '\0') x->i++;
    HG_TRY(push(x, is_print ? T_PRINT : T_BLOCK, 0, begin, 2));
    x->n_open = 0;
    for (;;) {
        skip_space(x);
        if (x->i >= x->src.n)
            return hg_jinja_fail_at(x->src, begin, HG_E_FORMAT, x->e, "%s without its end, %s",
                                    is_print ? "{{" : "{%", close);
        if (at_close(x, close, &sign)) break;
        HG_TRY(lex_inside(x));
    }
    HG_TRY(push(x, is_print ? T_PRINT_END : T_BLOCK_END, 0, x->i, 2));
    close_tag(x, sign, sign != '\0' ? 3 : 2, !is_print);
    return HG_OK;
}

hg_status hg_jinja_lex(hg_bytes source, jtokens *out, hg_err *e)
{
    lexer x = {.src = source, .out = out, .at_line = true, .e = e};
    while (x.i < source.n) {
        size_t from = x.i, tag;
        while (x.i < source.n && !starts(&x, x.i, "{{") && !starts(&x, x.i, "{%") &&
               !starts(&x, x.i, "{#"))
            x.i++;
        if (x.i == source.n)
            return push(&x, T_TEXT, 0, from, x.i - from) == HG_OK ? push(&x, T_END, 0, x.i, 0)
                                                                  : HG_E_NOMEM;
        bool is_print = source.p[x.i + 1] == '{';
        size_t end = text_end(&x, from, x.i, sign_at(&x, x.i + 2), is_print);
        if (end > from) HG_TRY(push(&x, T_TEXT, 0, from, end - from));
        char before, behind;
        if (source.p[x.i + 1] == '#')
            HG_TRY(skip_comment(&x));
        else if (!is_print && (tag = whole_tag(&x, x.i, "raw", &before, &behind)) > 0)
            HG_TRY(lex_raw(&x, tag, behind));
        else
            HG_TRY(lex_tag(&x, is_print));
    }
    return push(&x, T_END, 0, x.i, 0);
}
