/* The unigram model (Kudo 2018): of all ways to write a text with tokens the one whose scores (log
 * probabilities) sum up highest, found from left to right: the best way to each place is the best
 * way to an earlier one and a token between. The tokens that begin at a place come from a trie,
 * kept as a hash from (node, byte) to node. A character that no token is made of costs more than
 * any token. */
#include "token/inner.h"
#include <float.h>
#include <string.h>

struct hg_trie {
    uint64_t *key;   /* [mask + 1] node << 8 | byte, + 1; 0: free */
    uint32_t *child; /* [mask + 1] */
    int32_t *id;     /* [n_nodes] of the token that ends here, or -1 */
    size_t mask;
    uint32_t n_nodes;
    double worst; /* the score of what is unknown */
    double best;  /* the highest score of a token */
};

static size_t place(uint64_t key)
{
    key *= 0x9E3779B97F4A7C15u;
    return (size_t)(key >> 24 ^ key >> 44);
}

/* The slot of a key, or the free one where it belongs. */
static size_t slot_of(const hg_trie *tr, uint32_t node, unsigned char byte)
{
    uint64_t key = ((uint64_t)node << 8 | byte) + 1;
    size_t i = place(key);
    while (tr->key[i & tr->mask] != 0 && tr->key[i & tr->mask] != key) i++;
    return i & tr->mask;
}

static void insert(hg_trie *tr, hg_bytes token, int32_t id)
{
    uint32_t node = 0;
    for (size_t i = 0; i < token.n; i++) {
        unsigned char c = (unsigned char)token.p[i];
        size_t at = slot_of(tr, node, c);
        if (tr->key[at] == 0) {
            tr->key[at] = ((uint64_t)node << 8 | c) + 1;
            tr->child[at] = tr->n_nodes++;
        }
        node = tr->child[at];
    }
    tr->id[node] = id;
}

/* Tokens that a text may be written with. */
static bool is_plain(const hg_tokenizer *t, size_t id)
{
    return (t->parts.flags[id] & HG_TOKEN_ADDED) == 0 && t->piece[id].n > 0 &&
           (int32_t)id != t->parts.unk && !hg_token_is_byte(t, (int32_t)id);
}

hg_status hg_trie_build(hg_tokenizer *t, hg_err *e)
{
    const hg_token_parts *p = &t->parts;
    size_t total = 1, size = 1024;
    for (size_t i = 0; i < p->n; i++) total += is_plain(t, i) ? t->piece[i].n : 0;
    if (total > HG_MAX_TRIE)
        return hg_fail(e, HG_E_LIMIT, "tokenizer: tokens of %zu bytes in all; at most %d allowed",
                       total, HG_MAX_TRIE);
    while (size < 2 * total) size *= 2;
    hg_trie *tr = HG_NEW(&t->mem, hg_trie, 1);
    if (tr == NULL) return hg_fail(e, HG_E_NOMEM, "no room for %zu tokens", p->n);
    *tr = (hg_trie){.key = HG_NEW(&t->mem, uint64_t, size),
                    .child = HG_NEW_RAW(&t->mem, uint32_t, size),
                    .id = HG_NEW_RAW(&t->mem, int32_t, total),
                    .mask = size - 1,
                    .n_nodes = 1,
                    .worst = FLT_MAX,
                    .best = -FLT_MAX};
    if (tr->key == NULL || tr->child == NULL || tr->id == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for %zu tokens", p->n);
    for (size_t i = 0; i < total; i++) tr->id[i] = -1;
    for (size_t i = 0; i < p->n; i++) {
        if (!is_plain(t, i)) continue;
        insert(tr, t->piece[i], (int32_t)i);
        if (p->score[i] < tr->worst) tr->worst = p->score[i];
        if (p->score[i] > tr->best) tr->best = p->score[i];
    }
    tr->worst = p->single_sums ? (double)((float)tr->worst - 10.0F) : tr->worst - 10.0;
    t->trie = tr;
    return HG_OK;
}

/* Offers a way to place `end` that ends with the token `id`. */
static void offer(const hg_tokenizer *t, uni_best *to, const uni_best *from, uint32_t begin,
                  int32_t id, double score)
{
    double sum = from->sum + score;
    if (to->begin != UINT32_MAX && sum <= to->sum) return;
    *to = (uni_best){t->parts.single_sums ? (double)(float)sum : sum, begin, id};
}

static size_t char_length(const char *p, size_t n)
{
    unsigned char c = (unsigned char)p[0];
    size_t len = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
    return len < n ? len : n;
}

/* All tokens that begin at `at`; true when one of them is exactly its first character. */
static bool offer_tokens(const hg_tokenizer *t, uni_best *best, const char *p, size_t n, size_t at,
                         size_t one)
{
    const hg_trie *tr = t->trie;
    bool has_one = false;
    uint32_t node = 0;
    for (size_t i = at; i < n; i++) {
        size_t slot = slot_of(tr, node, (unsigned char)p[i]);
        if (tr->key[slot] == 0) break;
        node = tr->child[slot];
        int32_t id = tr->id[node];
        if (id < 0) continue;
        offer(t, &best[i + 1], &best[at], (uint32_t)at, id, t->parts.score[id]);
        has_one = has_one || i + 1 - at == one;
    }
    return has_one;
}

hg_status hg_unigram_word(const hg_tokenizer *t, uni_scratch *u, const char *p, size_t n,
                          hg_ids *out, hg_err *e)
{
    size_t before = out->n, last = SIZE_MAX;
    HG_TRY(hg_grow(&u->best, &u->cap, n + 1, sizeof *u->best, e));
    for (size_t i = 0; i <= n; i++) u->best[i] = (uni_best){0.0, UINT32_MAX, -1};
    u->best[0].begin = 0;
    for (size_t at = 0, one; at < n; at += one) {
        one = char_length(p + at, n - at);
        if (u->best[at].begin == UINT32_MAX) continue; /* a character that is cut off */
        if (!offer_tokens(t, u->best, p, n, at, one))
            offer(t, &u->best[at + one], &u->best[at], (uint32_t)at, -1, t->trie->worst);
    }
    /* From the end back; then turned round. */
    for (size_t at = n; at > 0; at = u->best[at].begin) {
        if (u->best[at].id >= 0)
            HG_TRY(hg_ids_push(out, u->best[at].id, e));
        else
            HG_TRY(hg_token_unknown(t, p + u->best[at].begin, at - u->best[at].begin, true,
                                    last == at, out, e));
        last = u->best[at].id < 0 ? u->best[at].begin : SIZE_MAX;
    }
    for (size_t i = before, k = out->n; i + 1 < k; i++) {
        int32_t swap = out->id[--k];
        out->id[k] = out->id[i];
        out->id[i] = swap;
    }
    return HG_OK;
}
