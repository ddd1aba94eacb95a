/* The one dial: what a run chooses for itself from the depth of the model. */
#ifndef HG_TRAIN_SCALE_H
#define HG_TRAIN_SCALE_H

#include "train/recipe.h"

/* What was chosen, and from what. */
typedef struct hg_scale {
    uint64_t n_params, corpus_tokens; /* corpus_tokens: to learn from, once */
    double wanted_tokens, tokens;     /* compute-optimal, and what will be read */
    double flops;                     /* 6 N D */
    double batch_tokens, lr;
    uint64_t steps;
    const char *limit; /* what kept tokens below what was wanted, or NULL */
} hg_scale;

enum {
    HG_SCALE_TOKENS_A_PARAM = 20, /* Hoffmann et al. 2022 */
    HG_SCALE_MAX_EPOCHS = 4,      /* more passes teach little (Muennighoff et al. 2023) */
};

/* Row length and vocabulary of a depth. */
int64_t hg_scale_seq_len(int64_t depth);
uint32_t hg_scale_vocab(int64_t depth);
/* Fills in batch_size, lr and steps where the recipe does not give them. `corpus_tokens`: of the
 * rows to learn from. */
void hg_scale_recipe(hg_recipe *r, uint64_t n_params, uint64_t corpus_tokens, hg_scale *out);
/* Says what was chosen, and that it will take about `seconds`. */
void hg_scale_say(const hg_scale *s, const hg_recipe *r, double seconds, const hg_watch *w);

#endif
