/* SQuAD's exact match and F1, as its evaluation script has them. */
#include "eval/grams.h"
#include "eval/metrics.h"
#include "text/utf8.h"
#include <string.h>
#include <utf8proc.h>

static bool is_word(uint32_t c)
{
    const utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_NO;
}

/* Python's string.punctuation. */
static bool is_punctuation(uint32_t c)
{
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
}

/* Small letters, and without punctuation. */
static void lower(hg_buf *out, hg_bytes text)
{
    const char *p = text.p, *end = text.n > 0 ? p + text.n : p;
    while (p < end) {
        uint32_t c;
        char bytes[4];
        p += hg_utf8_step(p, end, &c);
        if (c == HG_UTF8_BAD) c = 0xFFFD;
        if (is_punctuation(c)) continue;
        hg_buf_put(out, bytes, hg_utf8_encode((uint32_t)utf8proc_tolower((int32_t)c), bytes));
    }
}

static bool is_article(const char *p, size_t n)
{
    return (n == 1 && p[0] == 'a') || (n == 2 && memcmp(p, "an", 2) == 0) ||
           (n == 3 && memcmp(p, "the", 3) == 0);
}

/* \b(a|an|the)\b becomes a space. */
static void drop_articles(hg_buf *out, const hg_buf *in)
{
    const char *p = in->p, *end = in->n > 0 ? p + in->n : p;
    while (p < end) {
        uint32_t c;
        const char *from = p;
        while (p < end) {
            const size_t n = hg_utf8_step(p, end, &c);
            if (!is_word(c)) break;
            p += n;
        }
        if (is_article(from, (size_t)(p - from)))
            hg_buf_putc(out, ' ');
        else
            hg_buf_put(out, from, (size_t)(p - from));
        if (p < end) {
            const size_t n = hg_utf8_step(p, end, &c);
            hg_buf_put(out, p, n);
            p += n;
        }
    }
}

static hg_status words_of(hg_words *w, hg_bytes text, hg_err *e)
{
    hg_buf b = {0};
    lower(&b, text);
    drop_articles(&w->text, &b);
    w->text.failed = w->text.failed || b.failed;
    hg_buf_free(&b);
    return hg_words_split(w, e);
}

void hg_squad_normal(hg_buf *out, hg_bytes text)
{
    hg_words w = {0};
    hg_err e;
    if (words_of(&w, text, &e) != HG_OK) out->failed = true;
    for (size_t i = 0; i < w.n; i++) {
        if (i > 0) hg_buf_putc(out, ' ');
        hg_buf_put(out, w.v[i].p, w.v[i].n);
    }
    hg_words_free(&w);
}

static bool is_same(const hg_words *a, const hg_words *b)
{
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++)
        if (a->v[i].n != b->v[i].n || memcmp(a->v[i].p, b->v[i].p, a->v[i].n) != 0) return false;
    return true;
}

static hg_status f1(const hg_words *a, const hg_words *b, double *out, hg_err *e)
{
    hg_grams x = {0}, y = {0};
    hg_status s = hg_grams_words(&x, a, 1, e);
    if (s == HG_OK) s = hg_grams_words(&y, b, 1, e);
    const double n = (double)(a->n + b->n);
    if (s == HG_OK && (a->n == 0 || b->n == 0))
        *out = a->n == b->n; /* nothing is right where nothing is said, and nowhere else */
    else if (s == HG_OK)
        *out = 2 * (double)hg_grams_match(&x, &y, 1) / n;
    hg_grams_free(&x);
    hg_grams_free(&y);
    return s;
}

hg_status hg_squad_score(hg_squad *out, hg_bytes said, const hg_bytes *right, size_t n, hg_err *e)
{
    hg_words a = {0}, b = {0};
    *out = (hg_squad){.f1 = 0};
    hg_status s = words_of(&a, said, e);
    for (size_t i = 0; s == HG_OK && i < n; i++) {
        double f = 0;
        hg_buf_clear(&b.text);
        s = words_of(&b, right[i], e);
        if (s == HG_OK) s = f1(&a, &b, &f, e);
        if (f > out->f1) out->f1 = f;
        out->is_exact = out->is_exact || (s == HG_OK && is_same(&a, &b));
    }
    hg_words_free(&a);
    hg_words_free(&b);
    return s;
}
