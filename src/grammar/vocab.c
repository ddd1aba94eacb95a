#include "grammar/vocab.h"

#include <stdlib.h>
#include <string.h>

typedef struct entry {
    hg_bytes piece;
    int32_t id;
} entry;

static int by_bytes(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    const size_t n = x->piece.n < y->piece.n ? x->piece.n : y->piece.n;
    const int c = memcmp(x->piece.p, y->piece.p, n);
    if (c != 0) return c;
    if (x->piece.n != y->piece.n) return x->piece.n < y->piece.n ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static size_t shared(hg_bytes a, hg_bytes b)
{
    size_t n = 0;
    while (n < a.n && n < b.n && a.p[n] == b.p[n]) n++;
    return n;
}

/* Lays out the sorted tokens; open[d] is the last node of depth d. */
static void lay_out(hg_vocab *v, const entry *sorted)
{
    uint32_t open[HG_MAX_PIECE + 1] = {0};
    uint32_t n = 1;
    size_t depth = 0;
    v->nodes[0] = (hg_trie_node){0};
    for (uint32_t i = 0; i < v->n_tokens; i++) {
        const hg_bytes p = sorted[i].piece;
        const size_t same = i == 0 ? 0 : shared(sorted[i - 1].piece, p);
        for (; depth > same; depth--) v->nodes[open[depth]].skip = n;
        for (; depth < p.n; n++) {
            const uint8_t c = (uint8_t)p.p[depth];
            v->nodes[n] = (hg_trie_node){0, i, c, (uint8_t)++depth};
            open[depth] = n;
            if (depth == 1) v->child[c] = n;
        }
        v->tokens[i] = sorted[i].id;
        if (p.n > v->longest) v->longest = (uint32_t)p.n;
    }
    for (; depth > 0; depth--) v->nodes[open[depth]].skip = n;
    v->nodes[0].skip = n;
    v->nodes[n] = (hg_trie_node){n, v->n_tokens, 0, 0};
    v->n_nodes = n;
}

static hg_status no_room(uint32_t n, hg_err *e)
{
    return hg_fail(e, HG_E_NOMEM, "no room for the tree of %u tokens", n);
}

static bool is_text(const hg_vocab *v, const hg_bytes *pieces, uint32_t i)
{
    return pieces[i].n > 0 && pieces[i].n <= HG_MAX_PIECE && !hg_vocab_is_end(v, (int32_t)i);
}

static hg_status fill(hg_vocab *v, const hg_bytes *pieces, entry *sorted, hg_err *e)
{
    size_t n_bytes = 0, at = 0;
    for (uint32_t i = 0; i < v->n_vocab; i++) n_bytes += is_text(v, pieces, i) ? pieces[i].n : 0;
    char *copy = hg_arena_raw(&v->mem, n_bytes + 1, 1);
    if (copy == NULL) return no_room(v->n_vocab, e);
    for (uint32_t i = 0; i < v->n_vocab; i++) {
        if (!is_text(v, pieces, i)) continue;
        memcpy(copy + at, pieces[i].p, pieces[i].n);
        v->pieces[i] = (hg_bytes){copy + at, pieces[i].n};
        sorted[v->n_tokens++] = (entry){v->pieces[i], (int32_t)i};
        at += pieces[i].n;
    }
    if (v->n_tokens > 1) qsort(sorted, v->n_tokens, sizeof *sorted, by_bytes);
    size_t n_nodes = n_bytes + 2;
    for (uint32_t i = 1; i < v->n_tokens; i++)
        n_nodes -= shared(sorted[i - 1].piece, sorted[i].piece);
    v->tokens = hg_alloc(v->n_tokens, sizeof *v->tokens);
    v->nodes = hg_alloc(n_nodes, sizeof *v->nodes);
    if (v->tokens == NULL || v->nodes == NULL) return no_room(v->n_vocab, e);
    lay_out(v, sorted);
    return HG_OK;
}

hg_status hg_vocab_from_pieces(hg_vocab **out, const hg_bytes *pieces, uint32_t n_vocab,
                               const int32_t *ends, size_t n_ends, hg_err *e)
{
    *out = NULL;
    if (n_ends > HG_MAX_ENDS || n_vocab == 0 || n_vocab > 1u << 24)
        return hg_fail(e, HG_E_ARG, "%u tokens with %zu ends; up to %u and %d allowed", n_vocab,
                       n_ends, 1u << 24, HG_MAX_ENDS);
    hg_vocab *v = hg_alloc(1, sizeof *v);
    if (v == NULL) return no_room(n_vocab, e);
    hg_arena_init(&v->mem, 1 << 18);
    v->n_vocab = n_vocab;
    for (size_t i = 0; i < n_ends; i++)
        if (ends[i] >= 0 && (uint32_t)ends[i] < n_vocab) v->ends[v->n_ends++] = ends[i];
    v->pieces = hg_alloc(n_vocab, sizeof *v->pieces);
    entry *sorted = hg_alloc(n_vocab, sizeof *sorted);
    hg_status s =
        v->pieces == NULL || sorted == NULL ? no_room(n_vocab, e) : fill(v, pieces, sorted, e);
    hg_free(sorted);
    if (s != HG_OK) {
        hg_vocab_free(v);
        return s;
    }
    *out = v;
    return HG_OK;
}

hg_status hg_vocab_new(hg_vocab **out, const hg_tokenizer *t, uint32_t n_vocab, const int32_t *ends,
                       size_t n_ends, hg_err *e)
{
    *out = NULL;
    hg_bytes *pieces = hg_alloc(n_vocab, sizeof *pieces);
    if (pieces == NULL) return no_room(n_vocab, e);
    for (uint32_t i = 0; i < n_vocab && i < hg_tokenizer_count(t); i++)
        pieces[i] = hg_tokenizer_piece(t, (int32_t)i, false);
    const hg_status s = hg_vocab_from_pieces(out, pieces, n_vocab, ends, n_ends, e);
    hg_free(pieces);
    return s;
}

void hg_vocab_free(hg_vocab *v)
{
    if (v == NULL) return;
    hg_free(v->nodes);
    hg_free(v->tokens);
    hg_free(v->pieces);
    hg_arena_free(&v->mem);
    hg_free(v);
}

uint32_t hg_vocab_child(const hg_vocab *v, uint32_t node, uint8_t byte)
{
    if (node == 0) return v->child[byte];
    for (uint32_t i = node + 1; i < v->nodes[node].skip; i = v->nodes[i].skip)
        if (v->nodes[i].byte == byte) return i;
    return 0;
}

bool hg_vocab_is_end(const hg_vocab *v, int32_t id)
{
    for (size_t i = 0; i < v->n_ends; i++)
        if (v->ends[i] == id) return true;
    return false;
}
