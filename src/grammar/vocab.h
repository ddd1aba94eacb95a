/* The tokens of a vocabulary as a tree of bytes, laid out in the order of a walk: a node's subtree
 * is what lies up to its `skip`, and so are the tokens in it. */
#ifndef HG_GRAMMAR_VOCAB_H
#define HG_GRAMMAR_VOCAB_H

#include <higgins/grammar.h>
#include "base/mem.h"

typedef struct hg_trie_node {
    uint32_t skip;  /* the first node behind the subtree */
    uint32_t token; /* the first of tokens[] at or behind this node; the next node's is the end */
    uint8_t byte, depth;
} hg_trie_node;

struct hg_vocab {
    hg_arena mem;
    uint32_t n_vocab;
    hg_trie_node *nodes; /* [n_nodes + 1], the root first and an end mark last */
    uint32_t n_nodes;
    int32_t *tokens; /* [n_tokens] sorted by their bytes */
    uint32_t n_tokens;
    hg_bytes *pieces;    /* [n_vocab] */
    uint32_t child[256]; /* of the root, 0: none */
    int32_t ends[HG_MAX_ENDS];
    size_t n_ends;
    uint32_t longest;
};

/* The child of a node by byte, or 0. */
uint32_t hg_vocab_child(const hg_vocab *v, uint32_t node, uint8_t byte);
bool hg_vocab_is_end(const hg_vocab *v, int32_t id);

#endif
