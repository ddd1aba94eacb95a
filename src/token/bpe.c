/* Byte pair encoding of one word (Sennrich et al. 2016; on bytes: Radford et al. 2019): of all
 * neighbours that a merge is known for, the pair learned first becomes one token, until none is
 * left. Words are short, so a scan for the best pair is fastest; a long run (base64, a megabyte of
 * one letter) goes through a linked list and a heap of pairs, in n log n. */
#include "token/inner.h"
#include <string.h>

enum { SHORT = 48 };
#define NONE UINT32_MAX

static uint32_t rank_of(const hg_tokenizer *t, int32_t left, int32_t right, int32_t *id)
{
    const merge_slot *m = hg_token_merge(t, left, right);
    if (m == NULL) return NONE;
    *id = m->id;
    return m->rank;
}

static size_t merge_short(const hg_tokenizer *t, const char *p, size_t n, int32_t *id)
{
    uint32_t rank[SHORT]; /* of the pair that begins here */
    int32_t made[SHORT] = {0};
    for (size_t i = 0; i < n; i++) id[i] = t->byte_id[(unsigned char)p[i]];
    for (size_t i = 0; i + 1 < n; i++) rank[i] = rank_of(t, id[i], id[i + 1], &made[i]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best]) best = i;
        if (rank[best] == NONE) break;
        id[best] = made[best];
        n--;
        for (size_t i = best + 1; i < n; i++) id[i] = id[i + 1];
        for (size_t i = best + 1; i + 1 < n; i++) {
            rank[i] = rank[i + 1];
            made[i] = made[i + 1];
        }
        if (best + 1 < n) rank[best] = rank_of(t, id[best], id[best + 1], &made[best]);
        if (best > 0) rank[best - 1] = rank_of(t, id[best - 1], id[best], &made[best - 1]);
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

/* Offers the pair that begins at node `at`, when a merge is known for it. */
static void offer(const hg_tokenizer *t, bpe_scratch *b, uint32_t at)
{
    uint32_t next = at != NONE ? b->node[at].next : NONE;
    if (next == NONE) return;
    int32_t left = b->node[at].id, right = b->node[next].id;
    const merge_slot *m = hg_token_merge(t, left, right);
    if (m != NULL) heap_push(b, (bpe_candidate){m->rank, at, left, right});
}

static hg_status long_room(bpe_scratch *b, size_t n, hg_err *e)
{
    HG_TRY(hg_grow(&b->node, &b->node_cap, n, sizeof *b->node, e));
    /* n - 1 pairs at first and at most two new ones for each of n - 1 merges */
    return hg_grow(&b->heap, &b->heap_cap, 3 * n, sizeof *b->heap, e);
}

static void merge_long(const hg_tokenizer *t, bpe_scratch *b, const char *p, size_t n)
{
    b->n_heap = 0;
    for (size_t i = 0; i < n; i++)
        b->node[i] = (bpe_node){t->byte_id[(unsigned char)p[i]], i > 0 ? (uint32_t)i - 1 : NONE,
                                i + 1 < n ? (uint32_t)i + 1 : NONE};
    for (size_t i = 0; i < n; i++) offer(t, b, (uint32_t)i);
    while (b->n_heap > 0) {
        bpe_candidate c = heap_pop(b);
        bpe_node *left = &b->node[c.at];
        /* Stale when either side has been merged since. */
        if (left->id != c.left || left->next == NONE || b->node[left->next].id != c.right) continue;
        bpe_node *right = &b->node[left->next];
        left->id = hg_token_merge(t, c.left, c.right)->id;
        left->next = right->next;
        right->id = -1;
        if (left->next != NONE) b->node[left->next].prev = c.at;
        offer(t, b, left->prev);
        offer(t, b, c.at);
    }
}

void hg_bpe_scratch_free(bpe_scratch *b)
{
    hg_free(b->node);
    hg_free(b->heap);
    *b = (bpe_scratch){0};
}

hg_status hg_bpe_word(const hg_tokenizer *t, bpe_scratch *b, const char *p, size_t n, hg_ids *out,
                      hg_err *e)
{
    if (n <= SHORT) {
        int32_t id[SHORT];
        size_t k = merge_short(t, p, n, id);
        for (size_t i = 0; i < k; i++) HG_TRY(hg_ids_push(out, id[i], e));
        return HG_OK;
    }
    HG_TRY(long_room(b, n, e));
    merge_long(t, b, p, n);
    for (uint32_t i = 0; i != NONE; i = b->node[i].next) HG_TRY(hg_ids_push(out, b->node[i].id, e));
    return HG_OK;
}
