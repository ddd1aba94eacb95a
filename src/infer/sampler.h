/* From logits to the next token. */
#ifndef HG_INFER_SAMPLER_H
#define HG_INFER_SAMPLER_H

#include "infer/choices.h"
#include "infer/constraint.h"
#include "infer/repeat.h"

/* One answer's sampler. What it draws depends on the seed, on how many tokens were drawn before,
 * and on the distribution: there is no other state, so a draft's sampler can be put to any place
 * of an answer. */
typedef struct hg_sampler {
    hg_sampling o;             /* its arrays are the caller's */
    const hg_tokenizer *tok;   /* for DRY's breakers; may be NULL */
    hg_constraint *constraint; /* the caller's; NULL: none */
    const int32_t *ends;       /* [n_ends] that may not come among the first n_least draws */
    size_t n_ends;
    uint64_t n_least;
    uint64_t n_drawn;
    double mu; /* Mirostat's bound on surprise, in bits */
} hg_sampler;

void hg_sampler_begin(hg_sampler *s, const hg_sampling *o, const hg_tokenizer *tok);

/* The distribution that is drawn from: leaves in c what may come, weighed. past[0..n_past) is the
 * timeline, whose answer begins at n_prompt; n_left tokens are left of the answer, for the
 * constraint. HG_E_FORMAT when a logit is NaN or +infinity or all are -infinity. */
hg_status hg_sampler_cut(const hg_sampler *s, hg_choices *c, const hg_past *past, size_t n_left,
                         hg_err *e);
/* Draws from c and counts it. */
int32_t hg_sampler_draw(hg_sampler *s, hg_choices *c);
/* Both, from logits [n_vocab]; the constraint is not told. */
hg_status hg_sampler_next(hg_sampler *s, hg_choices *c, const float *logits, const int32_t *past,
                          size_t n_past, size_t n_prompt, int32_t *id, hg_err *e);

#endif
