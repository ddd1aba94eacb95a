/* ROUGE: how many of the reference's words, pairs of words and longest common subsequence a summary
 * has, as F1. */
#include "eval/grams.h"
#include "eval/metrics.h"
#include <string.h>

static double f1(double match, double said, double right)
{
    return said + right > 0 ? 2 * match / (said + right) : 0;
}

static hg_status overlap(const hg_words *a, const hg_words *b, size_t order, double *out, hg_err *e)
{
    hg_grams x = {0}, y = {0};
    hg_status s = hg_grams_words(&x, a, order, e);
    if (s == HG_OK) s = hg_grams_words(&y, b, order, e);
    if (s == HG_OK) *out = f1((double)hg_grams_match(&x, &y, 1), (double)x.n, (double)y.n);
    hg_grams_free(&x);
    hg_grams_free(&y);
    return s;
}

static bool is_same(hg_bytes a, hg_bytes b)
{
    return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

/* The length of the longest common subsequence, by rows (Wagner and Fischer 1974). */
static hg_status common(const hg_words *a, const hg_words *b, double *out, hg_err *e)
{
    size_t *row = hg_alloc(b->n + 1, sizeof *row);
    if (row == NULL) return hg_fail(e, HG_E_NOMEM, "no room for %zu words", b->n);
    for (size_t i = 0; i < a->n; i++)
        for (size_t j = 0, corner = 0; j < b->n; j++) {
            const size_t above = row[j + 1];
            if (is_same(a->v[i], b->v[j]))
                row[j + 1] = corner + 1;
            else if (row[j] > above)
                row[j + 1] = row[j];
            corner = above;
        }
    *out = f1((double)row[b->n], (double)a->n, (double)b->n);
    hg_free(row);
    return HG_OK;
}

static hg_status words_of(hg_words *w, hg_bytes text, hg_err *e)
{
    hg_words_plain(&w->text, text);
    return hg_words_split(w, e);
}

static double more(double a, double b)
{
    return a > b ? a : b;
}

hg_status hg_rouge_score(hg_rouge *out, hg_bytes said, const hg_bytes *right, size_t n, hg_err *e)
{
    hg_words a = {0}, b = {0};
    *out = (hg_rouge){.one = 0};
    hg_status s = words_of(&a, said, e);
    for (size_t i = 0; s == HG_OK && i < n; i++) {
        hg_rouge r = {.one = 0};
        hg_buf_clear(&b.text);
        s = words_of(&b, right[i], e);
        if (s == HG_OK) s = overlap(&a, &b, 1, &r.one, e);
        if (s == HG_OK) s = overlap(&a, &b, 2, &r.two, e);
        if (s == HG_OK) s = common(&a, &b, &r.l, e);
        *out = (hg_rouge){more(out->one, r.one), more(out->two, r.two), more(out->l, r.l)};
    }
    hg_words_free(&a);
    hg_words_free(&b);
    return s;
}
