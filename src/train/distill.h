/* The objective of distillation: the answers' tokens, and what a teacher says of each place. */
#ifndef HG_TRAIN_DISTILL_H
#define HG_TRAIN_DISTILL_H

#include "train/learner.h"

typedef struct hg_distilling {
    hg_objective objective; /* first */
    const hg_recipe *r;
    hg_model *teacher;
    float *losses, *kls; /* [tokens of a lot] */
    double ce, kl;       /* of the step so far, weighted */
} hg_distilling;

/* Opens the recipe's teacher for rt. HG_E_ARG: its tokenizer is not `vocab_hash`'s, or its context
 * is shorter than seq_len. */
hg_status hg_distilling_init(hg_distilling *d, const hg_recipe *r, uint64_t vocab_hash,
                             hg_runtime *rt, hg_arena *mem, hg_err *e);
void hg_distilling_free(hg_distilling *d);

#endif
