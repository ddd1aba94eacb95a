/* What the files of this folder share about a tokenizer's inside. */
#ifndef HG_TOKEN_INNER_H
#define HG_TOKEN_INNER_H

#include "token/normal.h"

/* A pair of tokens that makes a third; rank says which pair of a word goes first. */
typedef struct merge_slot {
    uint64_t key; /* left << 32 | right; NO_PAIR: free */
    uint32_t rank;
    int32_t id;
} merge_slot;
#define NO_PAIR UINT64_MAX
typedef struct hg_token_pair {
    int32_t left, right;
} hg_token_pair;
typedef struct word_slot {
    uint32_t tag; /* the high half of the hash */
    int32_t id;   /* -1: free */
} word_slot;

/* Added tokens in the byte order of their text, so that the longest one at a place is found by
 * narrowing a range, whatever their number. */
typedef struct hg_trie hg_trie;
typedef struct added_set {
    const int32_t *id; /* [n] */
    size_t n;
    unsigned char only;  /* the byte that all begin with, or 0 */
    uint32_t first[257]; /* those that begin with byte b: id[first[b]] to id[first[b + 1]] */
} added_set;

struct hg_tokenizer {
    hg_arena mem;
    hg_token_parts parts;
    hg_bytes *piece; /* [n] what each token stands for in a (normalised) text */
    hg_bytes *shown; /* [n] its bytes in what people read */
    size_t longest;  /* bytes of the longest piece */
    /* Of a byte level: the token of each byte, the question mark's where there is none. Of text: of
     * each ASCII character, or -1. */
    int32_t byte_id[256];
    int32_t fallback[256]; /* <0x00> to <0xFF>; -1: there is none */
    bool has_fallback;     /* all of them, and they are to be used */
    bool cut_spaces;       /* and words do end there */
    bool can_cut;          /* of text: no token goes on behind a space sign that is not its first */
    uint32_t *rank;        /* [n] of SCORES: the lower, the earlier; UINT32_MAX: never made */
    hg_trie *trie;         /* of UNIGRAM */
    word_slot *word;       /* open addressing by the hash of the piece */
    size_t word_mask;
    hg_token_pair *pair; /* [parts.n_merges] */
    merge_slot *merge;
    size_t merge_mask;
    /* Whether the merges alone make each token of its own bytes, found when first asked: 0 not yet,
     * 1 yes, 2 no. Every thread finds the same, so that relaxed stores do. */
    _Atomic uint8_t *whole; /* [n] */
    added_set added[2][2];  /* [normalised][special ones too] */
    bool takes_broken;      /* text that is no UTF-8 need not be mended */
    hg_splitter *splitter;
    hg_normaliser *normaliser;
};

/* The token with these bytes, or -1. */
int32_t hg_token_find(const hg_tokenizer *t, const char *p, size_t n);
const merge_slot *hg_token_merge(const hg_tokenizer *t, int32_t left, int32_t right);

/* True for the tokens <0x00> to <0xFF> of a tokenizer that falls back to them. */
bool hg_token_is_byte(const hg_tokenizer *t, int32_t id);
/* Appends what stands for characters that have no token: bytes or the unknown token, which is left
 * out when `follows` one and they are to be fused. `backwards`: bytes are appended last one first.
 */
hg_status hg_token_unknown(const hg_tokenizer *t, const char *p, size_t n, bool backwards,
                           bool follows, hg_ids *out, hg_err *e);

/* ---- tables.c: what is looked up while encoding ---- */
/* `merge` is read, not kept. */
hg_status hg_tables_build(hg_tokenizer *t, const hg_bytes *merge, hg_err *e);

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
    int32_t id;             /* NO_TOKEN: its text is none */
    uint32_t prev, next;    /* UINT32_MAX: none */
    uint32_t begin, length; /* in bytes; length 0: merged into the one before */
} bpe_node;
#define NO_TOKEN (-1)
typedef struct bpe_candidate {
    uint32_t rank, at;        /* of the left token */
    uint32_t n_left, n_right; /* bytes of each, by which a stale one is known */
    int32_t made;
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

/* ---- unigram.c ---- */
hg_status hg_trie_build(hg_tokenizer *t, hg_err *e);
typedef struct uni_best {
    double sum;
    uint32_t begin; /* of the last token; UINT32_MAX: nothing leads here */
    int32_t id;     /* -1: a character without a token */
} uni_best;
typedef struct uni_scratch {
    uni_best *best;
    size_t cap;
} uni_scratch;
hg_status hg_unigram_word(const hg_tokenizer *t, uni_scratch *u, const char *p, size_t n,
                          hg_ids *out, hg_err *e);

#endif
