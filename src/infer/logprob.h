/* How likely tokens are: what reports tell beside an answer. */
#ifndef HG_INFER_LOGPROB_H
#define HG_INFER_LOGPROB_H

#include <higgins/infer.h>
#include "infer/choices.h"

typedef struct hg_logprobs {
    float logprob; /* of the token that came */
    size_t n_top;
    hg_likely top[HG_MAX_TOP];
} hg_logprobs;

/* From freshly loaded choices: the n_top likeliest into *out; returns log Z, so that a logit less
 * that is its token's log-probability. */
double hg_logprobs_top(hg_choices *c, size_t n_top, hg_logprobs *out);

#endif
