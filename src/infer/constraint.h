/* A constraint on what a model may say: the place where a grammar or a schema meets the sampler.
 * Before a token is drawn, the constraint marks the ids that may come; after it, the constraint is
 * told which one came. Guesses ahead (speculative decoding with a draft model) accept tokens that
 * may be taken back. One answer has one constraint, one thread at a time. */
#ifndef HG_INFER_CONSTRAINT_H
#define HG_INFER_CONSTRAINT_H

#include <higgins/infer.h>

enum {
    HG_CONSTRAINT_BACK = 64
}; /* accepted tokens that rollback must be able to take back, at the least */

typedef struct hg_constraint_kind {
    /* A second one in the same state, of its own; NULL and a sentence when there is no room. */
    hg_constraint *(*clone)(const hg_constraint *c, hg_err *e);
    void (*free)(hg_constraint *c);
    /* Sets bit id % 32 of bits[id / 32] for every id that may come next and clears all others up to
     * the vocabulary's end, rounded up to whole words. Ids that end the answer (the model's end of
     * text and end of turn) are marked where it may end. n_left tokens are left of the answer, this
     * one included: what can no longer be brought to an end within them should not be begun.
     * HG_E_STATE when nothing may come. */
    hg_status (*mask)(hg_constraint *c, size_t n_left, uint32_t *bits, hg_err *e);
    /* The token that came: one of those that mask marked, else HG_E_STATE and nothing changes. */
    hg_status (*accept)(hg_constraint *c, int32_t id, hg_err *e);
    /* Takes the last n accepted tokens back, n <= HG_CONSTRAINT_BACK and no more than came. */
    void (*rollback)(hg_constraint *c, size_t n);
    /* Whether the text is whole and nothing may follow: the answer ends here. */
    bool (*is_done)(const hg_constraint *c);
} hg_constraint_kind;

/* Begins every constraint; what follows is its kind's own. */
struct hg_constraint {
    const hg_constraint_kind *kind;
};

static inline size_t hg_mask_words(size_t n_vocab)
{
    return (n_vocab + 31) / 32;
}

static inline bool hg_mask_has(const uint32_t *bits, int32_t id)
{
    return (bits[id / 32] >> (id % 32) & 1) != 0;
}

#endif
