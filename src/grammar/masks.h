/* Masks: which tokens may follow a place in the grammar, worked out once and kept. The mask of a
 * state holds what can be told without knowing where its rule returns to, and the places in the
 * tree of tokens where the rule may have ended within a token. What follows there depends on the
 * state returned to, so a mask has one further mask for each of those, and so on down: in practice
 * one or two deep (the idea of context-independent tokens is of Dong et al. 2024, XGrammar). */
#ifndef HG_GRAMMAR_MASKS_H
#define HG_GRAMMAR_MASKS_H

#include <pthread.h>
#include <stdatomic.h>
#include "grammar/stacks.h"
#include "grammar/vocab.h"

/* Of its tokens each is so many tokens further from the end than the place itself; most are
 * `gain`, the others are listed. */
typedef struct hg_gain {
    int32_t id;
    int32_t gain;
} hg_gain;

typedef struct hg_mask_node hg_mask_node;
struct hg_mask_node {
    hg_mask_node *_Atomic next;  /* for another state returned to */
    hg_mask_node *_Atomic child; /* the first one for a state that this one returns to */
    uint32_t state;              /* that this mask begins in */
    bool kept;                   /* in the tree; otherwise the asker's */
    uint32_t *bits;              /* [words], or NULL: few tokens */
    int32_t *ids;                /* [n_ids] in that case */
    uint32_t n_ids;
    uint32_t *pops; /* [n_pops] nodes of the token tree behind which the rule has ended */
    uint32_t n_pops;
    int32_t gain, least, most; /* of the tokens; least > most when there are none */
    hg_gain *others;           /* [n_others] */
    uint32_t n_others;
    size_t bytes;
};

struct hg_masks {
    hg_grammar *g;
    const hg_vocab *v;
    uint32_t *distance; /* [n_states] tokens to the rule's end at the most */
    size_t words;
    hg_mask_node *_Atomic *roots; /* [n_states] */
    atomic_size_t bytes;
    size_t max_bytes;
    atomic_uint n_tangled; /* times that a mask had too many parts */
    pthread_t warmer;      /* while is_warming; it stops when the masks are closing */
    bool is_warming;
    atomic_bool closing;
    double warm_s;
};

/* What making a mask needs; made once by whoever asks. */
typedef struct hg_mask_scratch {
    hg_stacks stacks;
    hg_items items;
    uint32_t *hit;  /* [(n_tokens + 31) / 32] of the tree's order */
    int32_t *gains; /* [n_tokens] */
    uint32_t *rows; /* [ROWS][256] steps of states that were used lately */
    uint32_t *row_of;
    uint32_t *pops;
    size_t n_pops, pops_cap;
    bool ready;
} hg_mask_scratch;
void hg_mask_scratch_free(hg_mask_scratch *w);
/* Ends hg_masks_warm_begin's thread, if there is one. */
void hg_masks_warm_end(hg_masks *m);

/* The mask of `state` (parent NULL), or of what follows when a rule that parent's mask begins in
 * returns to it. One that is not `kept` is the caller's: hg_mask_drop. */
hg_status hg_masks_get(hg_masks *m, hg_mask_scratch *w, hg_mask_node *parent, uint32_t state,
                       hg_mask_node **out, hg_err *e);
void hg_mask_drop(hg_mask_node *n);
/* The same from a whole configuration, without parts: slow and always right. *out is the caller's;
 * its gains are distances. `stacks` is left as it was. */
hg_status hg_masks_direct(hg_masks *m, hg_mask_scratch *w, hg_stacks *stacks, const hg_item *in,
                          size_t n, hg_mask_node **out, hg_err *e);

/* Tokens to each rule's end, along its shortest way in bytes. */
void hg_masks_measure(hg_masks *m);

#endif
