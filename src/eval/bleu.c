/* BLEU as sacrebleu 2 counts it, so that figures can be held against published ones. */
#include "eval/grams.h"
#include "eval/metrics.h"
#include "text/utf8.h"
#include <math.h>
#include <string.h>

enum { ORDER = 4 };

/* ---- tokenizer 13a ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_point(char c)
{
    return c == '.' || c == ',';
}

/* Punctuation and symbols of ASCII but for ' , - . */
static bool is_symbol(char c)
{
    return (c >= '{' && c <= '~') || (c >= '[' && c <= '`') || (c >= ' ' && c <= '&') ||
           (c >= '(' && c <= '+') || (c >= ':' && c <= '@') || c == '/';
}

static void put_around(hg_buf *out, const char *before, const char *at, size_t n,
                       const char *behind)
{
    hg_buf_puts(out, before);
    hg_buf_put(out, at, n);
    hg_buf_puts(out, behind);
}

/* The four substitutions, one after the other as sed would make them: none looks at a character
 * twice. Their classes are of ASCII, so that bytes stand for characters. */
static void pass(hg_buf *out, const hg_buf *in, int rule)
{
    const char *p = in->p;
    for (size_t i = 0; i < in->n;) {
        const char c = p[i];
        const bool has_next = i + 1 < in->n;
        if (rule == 0 && is_symbol(c)) {
            put_around(out, " ", &p[i++], 1, " ");
        } else if (rule == 1 && has_next && !is_digit(c) && is_point(p[i + 1])) {
            hg_buf_putc(out, c);
            put_around(out, " ", &p[i + 1], 1, " ");
            i += 2;
        } else if (rule == 2 && has_next && is_point(c) && !is_digit(p[i + 1])) {
            put_around(out, " ", &c, 1, " ");
            hg_buf_putc(out, p[i + 1]);
            i += 2;
        } else if (rule == 3 && has_next && is_digit(c) && p[i + 1] == '-') {
            hg_buf_putc(out, c);
            hg_buf_puts(out, " - ");
            i += 2;
        } else {
            hg_buf_putc(out, c);
            i++;
        }
    }
}

/* One after the other: "&amp;lt;" ends as "<". */
static void replace_all(hg_buf *b, const char *what, const char *by)
{
    hg_buf out = {0};
    const size_t n = strlen(what);
    for (size_t i = 0; i < b->n;) {
        const bool is_here = i + n <= b->n && memcmp(b->p + i, what, n) == 0;
        if (is_here)
            hg_buf_puts(&out, by);
        else
            hg_buf_putc(&out, b->p[i]);
        i += is_here ? n : 1;
    }
    out.failed = out.failed || b->failed;
    hg_buf_free(b);
    *b = out;
}

static hg_bytes without_end(hg_bytes text)
{
    for (size_t n = text.n; n > 0;) {
        uint32_t c;
        size_t at = n - 1;
        while (at > 0 && ((unsigned char)text.p[at] & 0xC0) == 0x80) at--;
        (void)hg_utf8_step(text.p + at, text.p + n, &c);
        if (!hg_utf8_is_space(c)) break;
        text.n = n = at;
    }
    return text;
}

static void cut_words(hg_buf *b, hg_bytes text)
{
    static const char *const entities[][2] = {
        {"&quot;", "\""}, {"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}};
    hg_buf_putc(b, ' ');
    hg_buf_put(b, text.p, text.n);
    replace_all(b, "<skipped>", "");
    replace_all(b, "-\n", "");
    replace_all(b, "\n", " ");
    for (size_t i = 0; i < 4; i++) replace_all(b, entities[i][0], entities[i][1]);
    hg_buf_putc(b, ' ');
    for (int rule = 0; rule < 4; rule++) {
        hg_buf next = {0};
        pass(&next, b, rule);
        next.failed = next.failed || b->failed;
        hg_buf_free(b);
        *b = next;
    }
}

static hg_status words_of(hg_words *w, hg_bytes text, hg_err *e)
{
    cut_words(&w->text, without_end(text));
    return hg_words_split(w, e);
}

void hg_bleu_words(hg_buf *out, hg_bytes text)
{
    hg_words w = {0};
    hg_err e;
    if (words_of(&w, text, &e) != HG_OK) out->failed = true;
    for (size_t i = 0; i < w.n; i++) put_around(out, i > 0 ? " " : "", w.v[i].p, w.v[i].n, "");
    hg_words_free(&w);
}

/* ---- counts ---- */

/* Of the reference whose length is closest, the shorter of two. */
static double closest(double said, const hg_words *right, size_t n)
{
    double best = (double)right[0].n;
    for (size_t i = 1; i < n; i++) {
        const double len = (double)right[i].n, d = fabs(len - said), was = fabs(best - said);
        if (d < was || (!(d > was) && len < best)) best = len;
    }
    return best;
}

static hg_status count_order(hg_bleu *out, size_t order, const hg_words *said,
                             const hg_words *right, size_t n, hg_err *e)
{
    hg_grams a = {0}, *refs = hg_alloc(n, sizeof *refs);
    hg_status s = refs != NULL ? HG_OK : hg_fail(e, HG_E_NOMEM, "no room for n-grams");
    if (s == HG_OK) s = hg_grams_words(&a, said, order, e);
    for (size_t i = 0; s == HG_OK && i < n; i++) s = hg_grams_words(&refs[i], &right[i], order, e);
    if (s == HG_OK) {
        out->total[order - 1] = (double)a.n;
        out->match[order - 1] = (double)hg_grams_match(&a, refs, n);
    }
    for (size_t i = 0; refs != NULL && i < n; i++) hg_grams_free(&refs[i]);
    hg_free(refs);
    hg_grams_free(&a);
    return s;
}

hg_status hg_bleu_count(hg_bleu *out, hg_bytes said, const hg_bytes *right, size_t n, hg_err *e)
{
    hg_words a = {0}, *refs = hg_alloc(n, sizeof *refs);
    *out = (hg_bleu){.said = 0};
    hg_status s = refs != NULL ? HG_OK : hg_fail(e, HG_E_NOMEM, "no room for references");
    if (s == HG_OK) s = words_of(&a, said, e);
    for (size_t i = 0; s == HG_OK && i < n; i++) s = words_of(&refs[i], right[i], e);
    for (size_t k = 1; s == HG_OK && k <= ORDER; k++) s = count_order(out, k, &a, refs, n, e);
    if (s == HG_OK) {
        out->said = (double)a.n;
        out->right = closest(out->said, refs, n);
    }
    for (size_t i = 0; refs != NULL && i < n; i++) hg_words_free(&refs[i]);
    hg_free(refs);
    hg_words_free(&a);
    return s;
}

/* exp(sum log p_n / 4) times the penalty for brevity; the k-th order without a match counts
 * 1 / (2^k total) instead of 0, unless no word at all is right. */
double hg_bleu_score(const hg_bleu *sum)
{
    double logs = 0, smooth = 1;
    bool any = false;
    for (size_t n = 0; n < ORDER; n++) any = any || sum->match[n] > 0;
    if (!any) return 0;
    for (size_t n = 0; n < ORDER; n++) {
        if (!(sum->total[n] > 0)) return 0;
        double match = sum->match[n];
        if (!(match > 0)) {
            smooth *= 2;
            match = 1 / smooth;
        }
        logs += log(100 * match / sum->total[n]);
    }
    const double brevity = sum->said < sum->right ? exp(1 - sum->right / sum->said) : 1;
    return brevity * exp(logs / ORDER);
}
