/* What the files of this folder share about a tokenizer's inside. */
#ifndef HG_TOKEN_INNER_H
#define HG_TOKEN_INNER_H

#include "token/token.h"

/* A pair of tokens that makes a third; rank says which pair of a word goes first. */
typedef struct merge_slot {
    uint64_t key; /* left << 32 | right; NO_PAIR: free */
    uint32_t rank;
    int32_t id;
} merge_slot;
#define NO_PAIR UINT64_MAX

/* Added tokens in the byte order of their text, so that the longest one at a place is found by
 * narrowing a range, whatever their number. */
typedef struct added_set {
    const int32_t *id; /* [n] */
    size_t n;
    unsigned char only;  /* the byte that all begin with, or 0 */
    uint32_t first[257]; /* those that begin with byte b: id[first[b]] to id[first[b + 1]] */
} added_set;

struct hg_tokenizer {
    hg_arena mem;
    hg_token_parts parts;
    hg_bytes *piece;      /* [n] bytes of each token */
    size_t longest;       /* bytes of the longest piece */
    int32_t byte_id[256]; /* the question mark's where a byte has none */
    int32_t *word;        /* open addressing by the hash of the piece: id, or -1 */
    size_t word_mask;
    merge_slot *merge;
    size_t merge_mask;
    /* Whether the merges alone make each token of its own bytes, found when first asked: 0 not yet,
     * 1 yes, 2 no. Every thread finds the same, so that relaxed stores do. */
    _Atomic uint8_t *whole; /* [n] */
    added_set added[2][2];  /* [normalised][special ones too] */
    hg_splitter *splitter;
};

/* The token with these bytes, or -1. */
int32_t hg_token_find(const hg_tokenizer *t, const char *p, size_t n);
const merge_slot *hg_token_merge(const hg_tokenizer *t, int32_t left, int32_t right);

/* ---- added.c ---- */
hg_status hg_added_build(hg_tokenizer *t, hg_err *e);
typedef struct added_match {
    size_t begin, end; /* with the white space that the token takes */
    int32_t id;
} added_match;
/* The first added token of the set at or behind `from`, the longest where several begin; nothing
 * before `from` is taken. */
bool hg_added_next(const hg_tokenizer *t, const added_set *set, hg_bytes text, size_t from,
                   added_match *out);

/* ---- bpe.c ---- */
typedef struct bpe_node {
    int32_t id;          /* -1: merged into the one before */
    uint32_t prev, next; /* UINT32_MAX: none */
} bpe_node;
typedef struct bpe_candidate {
    uint32_t rank, at; /* of the left token */
    int32_t left, right;
} bpe_candidate;
typedef struct bpe_scratch {
    bpe_node *node;
    size_t node_cap;
    bpe_candidate *heap;
    size_t n_heap, heap_cap;
} bpe_scratch;
void hg_bpe_scratch_free(bpe_scratch *b);
/* Appends the ids of one word. */
hg_status hg_bpe_word(const hg_tokenizer *t, bpe_scratch *b, const char *p, size_t n, hg_ids *out,
                      hg_err *e);

#endif
