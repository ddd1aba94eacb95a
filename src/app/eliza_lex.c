/* The tokens of a script: brackets, equals signs, numbers and words. A word that begins with a
 * digit ends with its last digit ("2ND" is a number and a word); anything else goes on to the next
 * space, bracket, equals sign or comment, so that commas stay with the word before them. */
#include "app/eliza_read.h"

#include <stdarg.h>
#include <stdio.h>

hg_status eliza_flawed(eliza_reader *r, size_t line, const char *remedy, hg_err *e, const char *fmt,
                       ...)
{
    char what[384];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    if (r->flaw != NULL) {
        hg_eliza_flaw *f = r->flaw;
        const hg_bytes rule =
            r->keyword >= 0 ? eliza_symbol_text(r->s, (uint32_t)r->keyword) : (hg_bytes){"", 0};
        const int n = (int)(rule.n < sizeof f->rule ? rule.n : sizeof f->rule - 1);
        f->line = line;
        (void)snprintf(f->rule, sizeof f->rule, "%.*s", n, rule.p);
        (void)snprintf(f->remedy, sizeof f->remedy, "%s", remedy);
    }
    if (line == 0) return hg_fail(e, HG_E_FORMAT, "Script error: %s", what);
    return hg_fail(e, HG_E_FORMAT, "Script error on line %zu: %s", line, what);
}

static bool is_newline(unsigned char c)
{
    return c >= 0x0A && c <= 0x0D;
}

static bool is_white(unsigned char c)
{
    return c <= 0x20 || c == 0x7F;
}

static bool ends_symbol(unsigned char c)
{
    return c == '(' || c == ')' || c == ';' || c == '=' || is_white(c);
}

static bool is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

/* Takes one byte; CR and LF together end one line. */
static void skip_byte(eliza_reader *r)
{
    const char *p = r->s->source.p;
    const unsigned char c = (unsigned char)p[r->at++];
    if (!is_newline(c)) return;
    if (c == '\r' && r->at < r->s->source.n && p[r->at] == '\n') r->at++;
    r->line++;
}

static void skip_space(eliza_reader *r)
{
    const hg_buf *b = &r->s->source;
    bool in_comment = false;
    for (; r->at < b->n; skip_byte(r)) {
        const unsigned char c = (unsigned char)b->p[r->at];
        if (is_newline(c))
            in_comment = false;
        else if (c == ';')
            in_comment = true;
        else if (!in_comment && !is_white(c))
            return;
    }
}

/* Numbers stop growing at a billion: no sentence has so many words. */
static uint32_t read_number(eliza_reader *r)
{
    const hg_buf *b = &r->s->source;
    uint32_t n = 0;
    for (; r->at < b->n && is_digit((unsigned char)b->p[r->at]); r->at++)
        n = n < 100000000 ? 10 * n + (uint32_t)(b->p[r->at] - '0') : 999999999;
    return n;
}

static hg_status read_symbol(eliza_reader *r, uint32_t *out, hg_err *e)
{
    const hg_buf *b = &r->s->source;
    const size_t begin = r->at++;
    if (b->p[begin] != '=')
        while (r->at < b->n && !ends_symbol((unsigned char)b->p[r->at])) r->at++;
    hg_buf_clear(&r->letters);
    eliza_upper(&r->letters, (hg_bytes){b->p + begin, r->at - begin}, false);
    HG_TRY(hg_buf_status(&r->letters, e));
    return eliza_add_symbol(r->s, r->letters.p, r->letters.n, out, e);
}

static hg_status read_token(eliza_reader *r, eliza_token *t, hg_err *e)
{
    const hg_buf *b = &r->s->source;
    hg_status s = HG_OK;
    skip_space(r);
    *t = (eliza_token){.kind = TOKEN_END, .begin = r->at, .end = r->at};
    if (r->at == b->n) return HG_OK;
    const unsigned char c = (unsigned char)b->p[r->at];
    if (c == '(' || c == ')') {
        t->kind = c == '(' ? TOKEN_OPEN : TOKEN_CLOSE;
        r->at++;
    } else if (is_digit(c)) {
        t->kind = TOKEN_NUMBER;
        t->n = read_number(r);
    } else {
        t->kind = TOKEN_SYMBOL;
        s = read_symbol(r, &t->n, e);
    }
    t->end = r->at;
    return s;
}

hg_status eliza_peek(eliza_reader *r, eliza_token *out, hg_err *e)
{
    if (!r->has_ahead) HG_TRY(read_token(r, &r->ahead, e));
    r->has_ahead = true;
    *out = r->ahead;
    return HG_OK;
}

hg_status eliza_next(eliza_reader *r, eliza_token *out, hg_err *e)
{
    HG_TRY(eliza_peek(r, out, e));
    r->has_ahead = false;
    return HG_OK;
}
