/* The objective of preferences: DPO and its kin over packed pairs. */
#ifndef HG_TRAIN_PREFERENCES_H
#define HG_TRAIN_PREFERENCES_H

#include "train/learner.h"
#include "train/mismatch.h"
#include "train/packed.h"
#include "train/pair_loss.h"

typedef struct hg_preferences {
    hg_objective objective; /* first */
    const hg_packed *data;
    hg_pair_options o;
    uint64_t key;    /* of what the reference is made from: data, base, arithmetic */
    hg_pair *pair;   /* [n_chats] as known by the last look */
    double (*by)[2]; /* [n_chats] the loss's derivative by logp, in this step */
    size_t *seen;    /* the step's pairs in order, with repetitions */
    size_t n_seen, cap;
    float *losses, *weights; /* [tokens of a lot] */
    /* Of KTO: what its distance from the reference is measured on, and by whom. The reference is
     * the caller's, who sets it after init; NULL where the model without its adapter is it. */
    hg_mismatch others;
    const hg_model *reference;
    double z;
    hg_step_result result; /* loss and figures of the step */
} hg_preferences;

/* Borrows the data; `mem` must outlive it. `key`: see above. */
hg_status hg_preferences_init(hg_preferences *p, const hg_packed *data, const hg_recipe *r,
                              uint64_t key, hg_arena *mem, hg_err *e);
void hg_preferences_free(hg_preferences *p);

#endif
