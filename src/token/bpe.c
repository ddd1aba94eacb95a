/* Byte pair encoding of one word (Sennrich et al. 2016; on bytes: Radford et al. 2019): of all
 * neighbours that a merge is known for, the pair learned first becomes one token, until none is
 * left (SentencePiece's kind: of all neighbours that together are a token, those whose token has
 * the highest score). Words are short, so a scan for the best pair is fastest; a long run (base64,
 * a megabyte of one letter) goes through a linked list and a heap of pairs, in n log n. */
#include "token/inner.h"
#include <string.h>

enum { SHORT = 48 };
#define NONE UINT32_MAX

/* The rank of two neighbours and what they make, or NONE. Either a merge says it, or their text
 * does: when it is a token, by that token's score. */
static uint32_t rank_of(const hg_tokenizer *t, int32_t left, int32_t right, const char *text,
                        size_t n, int32_t *made)
{
    if (t->rank != NULL) {
        *made = hg_token_find(t, text, n);
        return *made >= 0 ? t->rank[*made] : NONE;
    }
    const merge_slot *m = left >= 0 && right >= 0 ? hg_token_merge(t, left, right) : NULL;
    if (m == NULL) return NONE;
    *made = m->id;
    return m->rank;
}

/* The symbol that begins at p: a byte, or a character whose length the first byte tells. */
static size_t first_symbol(const hg_tokenizer *t, const char *p, size_t n, int32_t *id)
{
    unsigned char c = (unsigned char)p[0];
    *id = t->byte_id[c];
    if (!t->parts.is_text || c < 0x80) return 1;
    size_t len = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
    if (len > n) len = n;
    *id = hg_token_find(t, p, len);
    if (*id >= 0 && hg_tokenizer_is_special(t, *id)) *id = NO_TOKEN;
    return len;
}

/* Symbols of a short word while they are merged: symbol i is p[begin[i]] to p[begin[i + 1]]. */
typedef struct short_word {
    int32_t id[SHORT], made[SHORT];
    uint32_t rank[SHORT]; /* of the pair that begins here */
    uint8_t begin[SHORT + 1];
} short_word;

static void rank_pair(const hg_tokenizer *t, short_word *w, const char *p, size_t i)
{
    w->rank[i] = rank_of(t, w->id[i], w->id[i + 1], p + w->begin[i],
                         (size_t)(w->begin[i + 2] - w->begin[i]), &w->made[i]);
}

static size_t merge_short(const hg_tokenizer *t, short_word *w, const char *p, size_t n_bytes)
{
    size_t n = 0;
    for (size_t i = 0; i < n_bytes; n++) {
        w->begin[n] = (uint8_t)i;
        i += first_symbol(t, p + i, n_bytes - i, &w->id[n]);
    }
    w->begin[n] = (uint8_t)n_bytes;
    w->rank[n - 1] = NONE; /* no pair begins with the last one */
    w->made[n - 1] = NO_TOKEN;
    for (size_t i = 0; i + 1 < n; i++) rank_pair(t, w, p, i);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (w->rank[i] < w->rank[best]) best = i;
        if (w->rank[best] == NONE) break;
        w->id[best] = w->made[best];
        n--;
        for (size_t i = best + 1; i < n; i++) {
            w->id[i] = w->id[i + 1];
            w->begin[i] = w->begin[i + 1];
            w->rank[i] = w->rank[i + 1];
            w->made[i] = w->made[i + 1];
        }
        w->begin[n] = (uint8_t)n_bytes;
        if (best + 1 < n) rank_pair(t, w, p, best);
        if (best > 0) rank_pair(t, w, p, best - 1);
    }
    return n;
}

/* ---- long words ---- */

static bool goes_before(const bpe_candidate *a, const bpe_candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void heap_push(bpe_scratch *b, bpe_candidate c)
{
    size_t i = b->n_heap++;
    while (i > 0 && goes_before(&c, &b->heap[(i - 1) / 2])) {
        b->heap[i] = b->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    b->heap[i] = c;
}

static bpe_candidate heap_pop(bpe_scratch *b)
{
    bpe_candidate top = b->heap[0], last = b->heap[--b->n_heap];
    size_t i = 0;
    for (;;) {
        size_t kid = 2 * i + 1;
        if (kid >= b->n_heap) break;
        if (kid + 1 < b->n_heap && goes_before(&b->heap[kid + 1], &b->heap[kid])) kid++;
        if (!goes_before(&b->heap[kid], &last)) break;
        b->heap[i] = b->heap[kid];
        i = kid;
    }
    b->heap[i] = last;
    return top;
}

/* Offers the pair that begins at node `at`, when it makes a token. */
static void offer(const hg_tokenizer *t, bpe_scratch *b, const char *p, uint32_t at)
{
    uint32_t next = at != NONE ? b->node[at].next : NONE;
    if (next == NONE) return;
    const bpe_node *left = &b->node[at], *right = &b->node[next];
    bpe_candidate c = {.at = at, .n_left = left->length, .n_right = right->length};
    c.rank =
        rank_of(t, left->id, right->id, p + left->begin, left->length + right->length, &c.made);
    if (c.rank != NONE) heap_push(b, c);
}

static hg_status long_room(bpe_scratch *b, size_t n, hg_err *e)
{
    HG_TRY(hg_grow(&b->node, &b->node_cap, n, sizeof *b->node, e));
    /* n - 1 pairs at first and at most two new ones for each of n - 1 merges */
    return hg_grow(&b->heap, &b->heap_cap, 3 * n, sizeof *b->heap, e);
}

static void merge_long(const hg_tokenizer *t, bpe_scratch *b, const char *p, size_t n_bytes)
{
    uint32_t n = 0;
    b->n_heap = 0;
    for (size_t i = 0, len; i < n_bytes; i += len, n++) {
        bpe_node *node = &b->node[n];
        len = first_symbol(t, p + i, n_bytes - i, &node->id);
        node->prev = n > 0 ? n - 1 : NONE;
        node->next = i + len < n_bytes ? n + 1 : NONE;
        node->begin = (uint32_t)i;
        node->length = (uint32_t)len;
    }
    for (uint32_t i = 0; i < n; i++) offer(t, b, p, i);
    while (b->n_heap > 0) {
        bpe_candidate c = heap_pop(b);
        bpe_node *left = &b->node[c.at];
        /* Stale when either side has been merged since: it is longer, or gone. */
        if (left->length != c.n_left || left->next == NONE ||
            b->node[left->next].length != c.n_right)
            continue;
        bpe_node *right = &b->node[left->next];
        left->id = c.made;
        left->next = right->next;
        left->length += right->length;
        right->length = 0;
        if (left->next != NONE) b->node[left->next].prev = c.at;
        offer(t, b, p, left->prev);
        offer(t, b, p, c.at);
    }
}

void hg_bpe_scratch_free(bpe_scratch *b)
{
    hg_free(b->node);
    hg_free(b->heap);
    *b = (bpe_scratch){0};
}

/* One token of the result, or what stands for characters that have none. */
static hg_status put(const hg_tokenizer *t, int32_t id, const char *p, size_t n, bool *was_unknown,
                     hg_ids *out, hg_err *e)
{
    bool follows = *was_unknown;
    *was_unknown = id == NO_TOKEN;
    if (id != NO_TOKEN) return hg_ids_push(out, id, e);
    return hg_token_unknown(t, p, n, false, follows, out, e);
}

hg_status hg_bpe_word(const hg_tokenizer *t, bpe_scratch *b, const char *p, size_t n, hg_ids *out,
                      hg_err *e)
{
    bool unknown = false;
    if (n == 0) return HG_OK;
    if (n <= SHORT) {
        short_word w;
        size_t k = merge_short(t, &w, p, n);
        for (size_t i = 0; i < k; i++)
            HG_TRY(put(t, w.id[i], p + w.begin[i], (size_t)(w.begin[i + 1] - w.begin[i]), &unknown,
                       out, e));
        return HG_OK;
    }
    HG_TRY(long_room(b, n, e));
    merge_long(t, b, p, n);
    for (uint32_t i = 0; i != NONE; i = b->node[i].next)
        HG_TRY(put(t, b->node[i].id, p + b->node[i].begin, b->node[i].length, &unknown, out, e));
    return HG_OK;
}
