/* Added tokens: pieces of text such as <|im_start|> that are looked for before anything else and
 * are never cut. The rules (the longest one wins, white space that a token takes with it, tokens
 * that must stand alone as a word) are those of Hugging Face's tokenizers. */
#include "token/inner.h"
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static int by_text(const void *a, const void *b)
{
    const hg_bytes *x = *(const hg_bytes *const *)a, *y = *(const hg_bytes *const *)b;
    size_t n = x->n < y->n ? x->n : y->n;
    int d = memcmp(x->p, y->p, n);
    return d != 0 ? d : (x->n > y->n) - (x->n < y->n);
}

static bool belongs(uint8_t flags, bool normalized, bool special)
{
    return (flags & HG_TOKEN_ADDED) != 0 && ((flags & HG_TOKEN_NORMALIZED) != 0) == normalized &&
           (special || (flags & HG_TOKEN_SPECIAL) == 0);
}

static hg_status build(hg_tokenizer *t, added_set *set, bool normalized, bool special, hg_err *e)
{
    const hg_token_parts *parts = &t->parts;
    size_t n = 0;
    for (size_t i = 0; i < parts->n; i++) n += belongs(parts->flags[i], normalized, special);
    if (n == 0) return HG_OK;
    const hg_bytes **sorted = HG_NEW(&t->mem, const hg_bytes *, n);
    int32_t *id = HG_NEW(&t->mem, int32_t, n);
    if (sorted == NULL || id == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for %zu added tokens", n);
    n = 0;
    for (size_t i = 0; i < parts->n; i++)
        if (belongs(parts->flags[i], normalized, special)) sorted[n++] = &t->piece[i];
    qsort(sorted, n, sizeof(sorted[0]), by_text);
    uint32_t count[256] = {0};
    for (size_t i = 0; i < n; i++) {
        id[i] = (int32_t)(sorted[i] - t->piece);
        count[(unsigned char)sorted[i]->p[0]]++;
    }
    for (size_t b = 0; b < 256; b++) set->first[b + 1] = set->first[b] + count[b];
    unsigned char lead = (unsigned char)sorted[0]->p[0];
    set->only = count[lead] == n ? lead : 0;
    set->id = id;
    set->n = n;
    return HG_OK;
}

hg_status hg_added_build(hg_tokenizer *t, hg_err *e)
{
    for (int normalized = 0; normalized < 2; normalized++)
        for (int special = 0; special < 2; special++)
            HG_TRY(build(t, &t->added[normalized][special], normalized == 1, special == 1, e));
    return HG_OK;
}

/* The first in [lo, hi) whose byte at `depth` is not below `c`. All are longer than depth. */
static size_t lower(const hg_tokenizer *t, const added_set *set, size_t lo, size_t hi, size_t depth,
                    unsigned c)
{
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if ((unsigned char)t->piece[set->id[mid]].p[depth] < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The longest token that stands at p, or -1. */
static int32_t longest_at(const hg_tokenizer *t, const added_set *set, const char *p, size_t n)
{
    size_t lo = set->first[(unsigned char)p[0]], hi = set->first[(unsigned char)p[0] + 1];
    int32_t best = -1;
    for (size_t depth = 1; lo < hi; depth++) {
        /* A text that ends here comes before all that go on. */
        if (t->piece[set->id[lo]].n == depth) best = set->id[lo++];
        if (depth == n) break;
        unsigned c = (unsigned char)p[depth];
        lo = lower(t, set, lo, hi, depth, c);
        hi = lower(t, set, lo, hi, depth, c + 1);
    }
    return best;
}

/* The character that ends before `at`; 0 when there is none. */
static uint32_t char_before(hg_bytes s, size_t at, size_t *len)
{
    size_t i = at;
    uint32_t cp;
    while (i > 0 && at - i < 4) {
        i--;
        if (((unsigned char)s.p[i] & 0xC0) != 0x80) break;
    }
    *len = at - i;
    return *len > 0 && hg_token_utf8(s.p + i, *len, &cp) == *len ? cp : 0;
}

static bool is_word_char(uint32_t cp)
{
    if (cp == '_') return true;
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);
    return (c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_NL) || c == UTF8PROC_CATEGORY_PC;
}

static bool stands_alone(hg_bytes s, size_t begin, size_t end)
{
    size_t len;
    uint32_t before = char_before(s, begin, &len), after = 0;
    if (end < s.n && hg_token_utf8(s.p + end, s.n - end, &after) == 0) after = 0;
    return !(before != 0 && is_word_char(before)) && !(after != 0 && is_word_char(after));
}

static void take_space(hg_bytes s, size_t from, uint8_t flags, added_match *m)
{
    size_t len;
    uint32_t cp;
    if ((flags & HG_TOKEN_LSTRIP) != 0)
        while (m->begin > from && (cp = char_before(s, m->begin, &len)) != 0 &&
               hg_token_is_space(cp) && m->begin - len >= from)
            m->begin -= len;
    if ((flags & HG_TOKEN_RSTRIP) != 0)
        while (m->end < s.n && (len = hg_token_utf8(s.p + m->end, s.n - m->end, &cp)) > 0 &&
               hg_token_is_space(cp))
            m->end += len;
}

bool hg_added_next(const hg_tokenizer *t, const added_set *set, hg_bytes text, size_t from,
                   added_match *out)
{
    if (set->n == 0) return false;
    for (size_t i = from; i < text.n; i++) {
        if (set->only != 0) { /* nearly always '<': the C library looks at many bytes at a time */
            const char *at = memchr(text.p + i, set->only, text.n - i);
            if (at == NULL) return false;
            i = (size_t)(at - text.p);
        }
        unsigned c = (unsigned char)text.p[i];
        if (set->first[c] == set->first[c + 1]) continue;
        int32_t id = longest_at(t, set, text.p + i, text.n - i);
        if (id < 0) continue;
        *out = (added_match){i, i + t->piece[id].n, id};
        uint8_t flags = t->parts.flags[id];
        if ((flags & HG_TOKEN_WORD) != 0 && !stands_alone(text, out->begin, out->end)) continue;
        take_space(text, from, flags, out);
        return true;
    }
    return false;
}
