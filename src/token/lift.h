/* The long parts of a tokenizer.json, read without a tree: a hundred thousand tokens and as many
 * merges would be as many small objects, of which each is needed once. */
#ifndef HG_TOKEN_LIFT_H
#define HG_TOKEN_LIFT_H

#include "token/token.h"

typedef struct hg_lifted_token {
    hg_bytes text;
    int64_t id; /* as written; of a list, the place */
    double score;
} hg_lifted_token;

/* model.vocab and model.merges, and the rest of the file with {} and [] in their place. Texts point
 * into the JSON or into `mem`. */
typedef struct hg_lifted {
    hg_lifted_token *token;
    size_t n_tokens, token_cap;
    hg_bytes *merge; /* "left right" */
    size_t n_merges, merge_cap;
    bool has_vocab, has_merges;
    bool is_list; /* the vocabulary is a list of [text, score] */
    hg_buf rest;
} hg_lifted;
/* HG_E_FORMAT with *is_syntax set when it is no JSON (whose parser says it better) and without when
 * it is, but not the right kind. Free with hg_lifted_free in any case. */
hg_status hg_lift(hg_lifted *out, hg_bytes json, hg_arena *mem, bool *is_syntax, hg_err *e);
void hg_lifted_free(hg_lifted *l);

#endif
