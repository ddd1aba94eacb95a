/* See table.h. */
#include "data/table.h"
#include <string.h>

void hg_table_init(hg_table *t, hg_bytes text, bool is_tabs)
{
    *t = (hg_table){.rest = text, .next_line = 1, .separator = ','};
    if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0) t->rest.p += 3, t->rest.n -= 3;
    const char *eol = t->rest.n > 0 ? memchr(t->rest.p, '\n', t->rest.n) : NULL;
    const size_t n = eol != NULL ? (size_t)(eol - t->rest.p) : t->rest.n;
    if (is_tabs || (n > 0 && memchr(t->rest.p, '\t', n) != NULL))
        t->separator = '\t';
    else if (n > 0 && memchr(t->rest.p, ',', n) == NULL && memchr(t->rest.p, ';', n) != NULL)
        t->separator = ';';
}

void hg_table_free(hg_table *t)
{
    hg_buf_free(&t->text);
    *t = (hg_table){.n = 0};
}

static char peek(const hg_table *t)
{
    return t->rest.n > 0 ? t->rest.p[0] : '\n';
}

static void step(hg_table *t)
{
    if (t->rest.p[0] == '\n') t->next_line++;
    t->rest.p++;
    t->rest.n--;
}

/* At a line's end, which may be written \r\n. */
static bool at_end(const hg_table *t)
{
    return peek(t) == '\n' || (peek(t) == '\r' && (t->rest.n == 1 || t->rest.p[1] == '\n'));
}

static hg_status quoted(hg_table *t, hg_err *e)
{
    const size_t from = t->next_line;
    for (step(t); t->rest.n > 0;) {
        const char c = peek(t);
        step(t);
        if (c != '"') {
            hg_buf_putc(&t->text, c);
        } else if (t->rest.n > 0 && peek(t) == '"') {
            hg_buf_putc(&t->text, '"');
            step(t);
        } else {
            if (at_end(t) || peek(t) == t->separator) return HG_OK;
            return hg_fail(
                e, HG_E_FORMAT,
                "line %zu: text behind a closing quote; a quote within a cell is written "
                "twice",
                t->next_line);
        }
    }
    return hg_fail(e, HG_E_FORMAT, "line %zu: a quoted cell that never ends", from);
}

static hg_status read_cell(hg_table *t, hg_err *e)
{
    if (t->n == HG_MAX_COLUMNS)
        return hg_fail(e, HG_E_LIMIT, "line %zu: more than %d columns", t->line, HG_MAX_COLUMNS);
    if (t->separator != '\t' && t->rest.n > 0 && peek(t) == '"') {
        HG_TRY(quoted(t, e));
    } else {
        while (!at_end(t) && peek(t) != t->separator) {
            hg_buf_putc(&t->text, peek(t));
            step(t);
        }
    }
    t->end[t->n++] = t->text.n;
    return HG_OK;
}

static hg_status read_row(hg_table *t, hg_err *e)
{
    t->n = 0;
    t->line = t->next_line;
    hg_buf_clear(&t->text);
    HG_TRY(read_cell(t, e));
    while (t->rest.n > 0 && peek(t) == t->separator) {
        step(t);
        HG_TRY(read_cell(t, e));
    }
    if (t->rest.n > 0 && peek(t) == '\r') step(t);
    if (t->rest.n > 0) step(t);
    HG_TRY(hg_buf_status(&t->text, e));
    for (size_t i = 0, at = 0; i < t->n; at = t->end[i++])
        t->cell[i] = (hg_bytes){t->text.p != NULL ? t->text.p + at : "", t->end[i] - at};
    return HG_OK;
}

hg_status hg_table_next(hg_table *t, bool *has, hg_err *e)
{
    for (*has = false; t->rest.n > 0;) {
        HG_TRY(read_row(t, e));
        *has = t->n > 1 || t->cell[0].n > 0;
        if (*has) break;
    }
    return HG_OK;
}
