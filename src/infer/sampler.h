/* From logits to the next token. */
#ifndef HG_INFER_SAMPLER_H
#define HG_INFER_SAMPLER_H

#include <higgins/infer.h>
#include "base/mem.h"
#include "base/rng.h"
#include "kernels/kernels.h"

typedef struct hg_candidate {
    float x; /* its logit, later its weight: exp of the scaled logit below the best one's */
    int32_t id;
} hg_candidate;

/* The room is made once for a vocabulary; begin starts a new answer in it. */
typedef struct hg_sampler {
    hg_sampling o;
    hg_rng rng;
    const hg_kernels *k;
    size_t n_vocab;
    float *x;           /* [n_vocab] penalised logits, then weights */
    hg_candidate *cand; /* [n_vocab] */
    uint32_t *count;    /* [n_vocab], zeros between calls */
} hg_sampler;

hg_status hg_sampler_init(hg_sampler *s, size_t n_vocab, const hg_kernels *k, hg_err *e);
void hg_sampler_free(hg_sampler *s);
void hg_sampler_begin(hg_sampler *s, const hg_sampling *o);

/* Chooses *id from logits [n_vocab]. past[0..n_past) is the timeline, whose answer begins at
 * n_prompt: repetition looks at its end, presence and frequency at the answer. HG_E_FORMAT when a
 * logit is NaN or +infinity or all are -infinity. */
hg_status hg_sampler_next(hg_sampler *s, const float *logits, const int32_t *past, size_t n_past,
                          size_t n_prompt, int32_t *id, hg_err *e);

#endif
