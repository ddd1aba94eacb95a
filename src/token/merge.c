/* The heart of BPE training (Sennrich et al. 2016), incrementally: each distinct word is a list of
 * tokens; every pair of neighbours knows how often it occurs and in which words. The most frequent
 * pair comes from a heap; merging it touches only its own words and the counts of the pairs beside
 * it. Counts in the heap may be out of date: an entry that is too high goes back with its true
 * count, and a pair that gained is entered anew, so that the top is right whenever it is current.
 */
#include "token/train.h"
#include <string.h>

#define NONE UINT32_MAX
enum { BYTES = 256, REPORT_EVERY = 64 };

typedef struct span {
    uint64_t at; /* of the first symbol */
    uint32_t n;
} span;

/* A pair of tokens, its count over the corpus, and a chain of the words it was seen in. */
typedef struct pair {
    uint64_t key;
    uint64_t count;
    uint32_t chain; /* of places, or NONE */
    uint32_t round; /* the last merge that raised it */
    bool is_done;   /* merged once already */
} pair;

typedef struct place {
    uint32_t word, next;
} place;

typedef struct entry {
    uint64_t count;
    uint32_t pair;
} entry;

typedef struct merger {
    const hg_word_counts *in;
    hg_merged *out;
    uint32_t *symbol;
    span *word;
    pair *pairs;
    size_t n_pairs, pairs_cap;
    uint32_t *slot;
    size_t mask;
    place *places;
    size_t n_places, places_cap;
    uint32_t free_place;
    entry *heap;
    size_t n_heap, heap_cap;
    uint32_t *raised;
    size_t n_raised, raised_cap;
    uint32_t round;
} merger;

/* ---- pairs by their tokens ---- */

static uint64_t key_of(uint32_t left, uint32_t right)
{
    return (uint64_t)left << 32 | right;
}

static size_t slot_of(uint64_t key)
{
    key *= 0x9E3779B97F4A7C15u;
    return (size_t)(key >> 32 ^ key >> 15);
}

static hg_status rehash(merger *m, hg_err *e)
{
    size_t size = m->mask == 0 ? 4096 : 2 * (m->mask + 1);
    uint32_t *slot = hg_alloc(size, sizeof *slot);
    if (slot == NULL) return hg_fail(e, HG_E_NOMEM, "no room for %zu pairs of tokens", size);
    for (size_t i = 0; i < m->n_pairs; i++) {
        size_t at = slot_of(m->pairs[i].key);
        while (slot[at & (size - 1)] != 0) at++;
        slot[at & (size - 1)] = (uint32_t)i + 1;
    }
    hg_free(m->slot);
    m->slot = slot;
    m->mask = size - 1;
    return HG_OK;
}

static hg_status find_pair(merger *m, uint64_t key, uint32_t *out, hg_err *e)
{
    if (2 * m->n_pairs >= m->mask) HG_TRY(rehash(m, e));
    size_t at = slot_of(key);
    for (; m->slot[at & m->mask] != 0; at++) {
        *out = m->slot[at & m->mask] - 1;
        if (m->pairs[*out].key == key) return HG_OK;
    }
    HG_TRY(hg_grow(&m->pairs, &m->pairs_cap, m->n_pairs, sizeof *m->pairs, e));
    *out = (uint32_t)m->n_pairs;
    m->pairs[m->n_pairs++] = (pair){.key = key, .chain = NONE};
    m->slot[at & m->mask] = *out + 1;
    return HG_OK;
}

/* ---- counts ---- */

static hg_status add_place(merger *m, pair *p, uint32_t word, hg_err *e)
{
    if (p->chain != NONE && m->places[p->chain].word == word) return HG_OK;
    uint32_t at = m->free_place;
    if (at != NONE) {
        m->free_place = m->places[at].next;
    } else {
        if (m->n_places >= NONE) return hg_fail(e, HG_E_LIMIT, "too many pairs of tokens");
        HG_TRY(hg_grow(&m->places, &m->places_cap, m->n_places, sizeof *m->places, e));
        at = (uint32_t)m->n_places++;
    }
    m->places[at] = (place){word, p->chain};
    p->chain = at;
    return HG_OK;
}

static hg_status raise(merger *m, uint32_t left, uint32_t right, uint32_t word, hg_err *e)
{
    uint32_t i;
    HG_TRY(find_pair(m, key_of(left, right), &i, e));
    pair *p = &m->pairs[i];
    p->count += m->in->count[word];
    if (p->round != m->round) {
        p->round = m->round;
        HG_TRY(hg_grow(&m->raised, &m->raised_cap, m->n_raised, sizeof *m->raised, e));
        m->raised[m->n_raised++] = i;
    }
    return add_place(m, p, word, e);
}

static hg_status lower(merger *m, uint32_t left, uint32_t right, uint32_t word, hg_err *e)
{
    uint32_t i;
    HG_TRY(find_pair(m, key_of(left, right), &i, e));
    m->pairs[i].count -= m->in->count[word];
    return HG_OK;
}

/* ---- the heap ---- */

static int compare_bytes(hg_bytes a, hg_bytes b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int d = memcmp(a.p, b.p, n);
    return d != 0 ? d : (a.n > b.n) - (a.n < b.n);
}

static bool goes_first(const merger *m, entry a, entry b)
{
    if (a.count != b.count) return a.count > b.count;
    const hg_strings *t = &m->out->tokens;
    uint64_t x = m->pairs[a.pair].key, y = m->pairs[b.pair].key;
    int d = compare_bytes(hg_strings_get(t, (uint32_t)(x >> 32)),
                          hg_strings_get(t, (uint32_t)(y >> 32)));
    if (d == 0) d = compare_bytes(hg_strings_get(t, (uint32_t)x), hg_strings_get(t, (uint32_t)y));
    return d > 0;
}

static hg_status push(merger *m, entry x, hg_err *e)
{
    HG_TRY(hg_grow(&m->heap, &m->heap_cap, m->n_heap, sizeof *m->heap, e));
    size_t i = m->n_heap++;
    while (i > 0 && goes_first(m, x, m->heap[(i - 1) / 2])) {
        m->heap[i] = m->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    m->heap[i] = x;
    return HG_OK;
}

static entry pop(merger *m)
{
    entry top = m->heap[0], last = m->heap[--m->n_heap];
    size_t i = 0;
    for (;;) {
        size_t kid = 2 * i + 1;
        if (kid >= m->n_heap) break;
        if (kid + 1 < m->n_heap && goes_first(m, m->heap[kid + 1], m->heap[kid])) kid++;
        if (!goes_first(m, m->heap[kid], last)) break;
        m->heap[i] = m->heap[kid];
        i = kid;
    }
    m->heap[i] = last;
    return top;
}

/* Pairs that the last round raised; those that occur once are never worth a token. */
static hg_status enter_raised(merger *m, hg_err *e)
{
    for (size_t i = 0; i < m->n_raised; i++) {
        const pair *p = &m->pairs[m->raised[i]];
        if (p->count >= 2) HG_TRY(push(m, (entry){p->count, m->raised[i]}, e));
    }
    m->n_raised = 0;
    return HG_OK;
}

/* The pair to merge next, or NONE. */
static hg_status best_pair(merger *m, uint32_t *out, hg_err *e)
{
    *out = NONE;
    while (m->n_heap > 0) {
        entry top = pop(m);
        uint64_t count = m->pairs[top.pair].count;
        if (count == top.count) {
            *out = top.pair;
            return HG_OK;
        }
        if (count >= 2 && count < top.count) HG_TRY(push(m, (entry){count, top.pair}, e));
    }
    return HG_OK;
}

/* ---- merging ---- */

static hg_status merge_in_word(merger *m, uint32_t word, hg_pair p, uint32_t made, hg_err *e)
{
    uint32_t *s = m->symbol + m->word[word].at;
    size_t n = m->word[word].n, k = 0;
    for (size_t i = 0; i < n; k++) {
        if (i + 1 >= n || s[i] != p.left || s[i + 1] != p.right) {
            s[k] = s[i++];
            continue;
        }
        if (k > 0) {
            HG_TRY(lower(m, s[k - 1], p.left, word, e));
            HG_TRY(raise(m, s[k - 1], made, word, e));
        }
        if (i + 2 < n) {
            HG_TRY(lower(m, p.right, s[i + 2], word, e));
            HG_TRY(raise(m, made, s[i + 2], word, e));
        }
        s[k] = made;
        i += 2;
    }
    m->word[word].n = (uint32_t)k;
    return HG_OK;
}

/* The token that a pair makes. Two pairs can make the same text ("ab"+"c", "a"+"bc"): one token. */
static hg_status make_token(merger *m, hg_pair p, uint32_t *made, hg_err *e)
{
    hg_strings *t = &m->out->tokens;
    hg_bytes left = hg_strings_get(t, p.left), right = hg_strings_get(t, p.right);
    hg_buf both = {0};
    hg_buf_put(&both, left.p, left.n);
    hg_buf_put(&both, right.p, right.n);
    hg_status s = hg_buf_status(&both, e);
    if (s == HG_OK) s = hg_strings_put(t, both.p, both.n, made, e);
    hg_buf_free(&both);
    return s;
}

static hg_status merge_pair(merger *m, uint32_t i, hg_err *e)
{
    uint64_t key = m->pairs[i].key;
    hg_pair p = {(uint32_t)(key >> 32), (uint32_t)key};
    uint32_t made;
    HG_TRY(make_token(m, p, &made, e));
    /* A pair can come back when a later merge makes one of its sides anew; encoding would apply the
     * first merge again, and so it is said only once. */
    if (!m->pairs[i].is_done) {
        hg_merged *out = m->out;
        HG_TRY(hg_grow(&out->merge, &out->merge_cap, out->n_merges, sizeof *out->merge, e));
        out->merge[out->n_merges++] = p;
    }
    uint32_t chain = m->pairs[i].chain;
    m->pairs[i].is_done = true;
    m->pairs[i].chain = NONE;
    m->round++;
    while (chain != NONE) {
        place at = m->places[chain];
        m->places[chain].next = m->free_place;
        m->free_place = chain;
        HG_TRY(merge_in_word(m, at.word, p, made, e));
        chain = at.next;
    }
    m->pairs[i].count = 0;
    return enter_raised(m, e);
}

static hg_status begin(merger *m, hg_err *e)
{
    const hg_strings *w = &m->in->words;
    m->free_place = NONE;
    m->round = 1;
    m->symbol = hg_alloc(w->n_bytes, sizeof *m->symbol);
    m->word = hg_alloc(w->n, sizeof *m->word);
    if (m->symbol == NULL || m->word == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for %zu distinct words", w->n);
    for (unsigned b = 0; b < BYTES; b++) {
        uint32_t id;
        char c = (char)hg_token_byte(b);
        HG_TRY(hg_strings_put(&m->out->tokens, &c, 1, &id, e));
    }
    for (size_t i = 0; i < w->n; i++) {
        hg_bytes s = hg_strings_get(w, (uint32_t)i);
        uint32_t *to = m->symbol + w->item[i].at;
        m->word[i] = (span){w->item[i].at, (uint32_t)s.n};
        for (size_t k = 0; k < s.n; k++) to[k] = hg_token_rank((unsigned char)s.p[k]);
        for (size_t k = 1; k < s.n; k++) HG_TRY(raise(m, to[k - 1], to[k], (uint32_t)i, e));
    }
    return enter_raised(m, e);
}

static hg_status run(merger *m, size_t n_tokens, const hg_watch *w, hg_err *e)
{
    hg_progress p = {.stage = "merging", .unit = "tokens", .total = (double)n_tokens};
    HG_TRY(begin(m, e));
    while (m->out->tokens.n < n_tokens) {
        uint32_t best;
        HG_TRY(best_pair(m, &best, e));
        if (best == NONE) break;
        HG_TRY(merge_pair(m, best, e));
        if (m->out->n_merges % REPORT_EVERY != 0) continue;
        p.done = (double)m->out->tokens.n;
        hg_watch_progress(w, &p);
        if (hg_watch_stopped(w)) return hg_fail(e, HG_E_CANCELED, "stopped while merging");
    }
    for (size_t i = 0; i < m->in->words.n; i++) m->out->n_tokens += m->in->count[i] * m->word[i].n;
    return HG_OK;
}

hg_status hg_merge_words(hg_merged *out, const hg_word_counts *words, size_t n_tokens,
                         const hg_watch *w, hg_err *e)
{
    merger m = {.in = words, .out = out};
    *out = (hg_merged){0};
    hg_status s = run(&m, n_tokens, w, e);
    hg_free(m.symbol);
    hg_free(m.word);
    hg_free(m.pairs);
    hg_free(m.slot);
    hg_free(m.places);
    hg_free(m.heap);
    hg_free(m.raised);
    if (s != HG_OK) hg_merged_free(out);
    return s;
}

void hg_merged_free(hg_merged *m)
{
    hg_strings_free(&m->tokens);
    hg_free(m->merge);
    *m = (hg_merged){0};
}
