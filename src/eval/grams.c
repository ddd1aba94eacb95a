/* See grams.h. A hash of 64 bits stands for an n-gram: among the millions of n-grams of a large set
 * two that collide would be met once in a million sets. */
#include "eval/grams.h"
#include "base/hash.h"
#include "text/utf8.h"
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* ---- words ---- */
void hg_words_free(hg_words *w)
{
    hg_buf_free(&w->text);
    hg_free(w->v);
    *w = (hg_words){0};
}

static hg_status add_word(hg_words *w, const char *from, const char *to, hg_err *e)
{
    if (to == from) return HG_OK;
    HG_TRY(hg_grow(&w->v, &w->cap, w->n, sizeof *w->v, e));
    w->v[w->n++] = (hg_bytes){from, (size_t)(to - from)};
    return HG_OK;
}

hg_status hg_words_split(hg_words *w, hg_err *e)
{
    HG_TRY(hg_buf_status(&w->text, e));
    w->n = 0;
    if (w->text.n == 0) return HG_OK;
    const char *p = w->text.p, *end = p + w->text.n, *from = p;
    while (p < end) {
        uint32_t c;
        const size_t n = hg_utf8_step(p, end, &c);
        if (hg_utf8_is_space(c)) {
            HG_TRY(add_word(w, from, p, e));
            from = p + n;
        }
        p += n;
    }
    return add_word(w, from, end, e);
}

void hg_words_plain(hg_buf *out, hg_bytes text)
{
    const char *p = text.p, *end = text.n > 0 ? p + text.n : p;
    while (p < end) {
        uint32_t c;
        char bytes[4];
        p += hg_utf8_step(p, end, &c);
        if (c == HG_UTF8_BAD) c = 0xFFFD;
        const utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
        if (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_NO)
            hg_buf_put(out, bytes, hg_utf8_encode((uint32_t)utf8proc_tolower((int32_t)c), bytes));
        else
            hg_buf_putc(out, ' ');
    }
}

/* ---- n-grams ---- */
static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

void hg_grams_free(hg_grams *g)
{
    hg_free(g->v);
    *g = (hg_grams){0};
}

static hg_status make(hg_grams *out, size_t n, hg_err *e)
{
    *out = (hg_grams){.v = hg_alloc(n, sizeof *out->v), .n = n};
    return out->v != NULL ? HG_OK : hg_fail(e, HG_E_NOMEM, "no room for %zu n-grams", n);
}

hg_status hg_grams_words(hg_grams *out, const hg_words *w, size_t order, hg_err *e)
{
    HG_TRY(make(out, w->n >= order ? w->n - order + 1 : 0, e));
    for (size_t i = 0; i < out->n; i++) {
        uint64_t h = 0;
        for (size_t k = 0; k < order; k++) h = hg_hash64(w->v[i + k].p, w->v[i + k].n, h + 1);
        out->v[i] = h;
    }
    qsort(out->v, out->n, sizeof *out->v, by_value);
    return HG_OK;
}

hg_status hg_grams_chars(hg_grams *out, hg_bytes text, size_t order, hg_err *e)
{
    const size_t n = hg_utf8_count(text);
    HG_TRY(make(out, n >= order ? n - order + 1 : 0, e));
    if (out->n == 0) return HG_OK;
    const char *from = text.p, *to = text.p, *end = text.p + text.n;
    uint32_t c;
    for (size_t k = 1; k < order && to < end; k++) to += hg_utf8_step(to, end, &c);
    for (size_t i = 0; i < out->n; i++) {
        to += hg_utf8_step(to, end, &c);
        out->v[i] = hg_hash64(from, (size_t)(to - from), 0);
        from += hg_utf8_step(from, end, &c);
    }
    qsort(out->v, out->n, sizeof *out->v, by_value);
    return HG_OK;
}

static size_t count(const hg_grams *g, uint64_t v)
{
    size_t low = 0, high = g->n;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (g->v[mid] < v)
            low = mid + 1;
        else
            high = mid;
    }
    size_t n = 0;
    while (low + n < g->n && g->v[low + n] == v) n++;
    return n;
}

size_t hg_grams_match(const hg_grams *said, const hg_grams *refs, size_t n_refs)
{
    size_t sum = 0;
    for (size_t i = 0, next; i < said->n; i = next) {
        size_t most = 0;
        for (next = i + 1; next < said->n && said->v[next] == said->v[i];) next++;
        for (size_t r = 0; r < n_refs; r++) {
            const size_t n = count(&refs[r], said->v[i]);
            if (n > most) most = n;
        }
        sum += most < next - i ? most : next - i;
    }
    return sum;
}
