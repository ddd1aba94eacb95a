/* log p(i) = x[i] - log Z with log Z = max + log(sum of exp(x - max)), over the whole vocabulary
 * and before anything was done to the logits: what OpenAI's API calls logprobs. */
#include "infer/logprob.h"

#include <math.h>

double hg_logprobs_top(hg_choices *c, size_t n_top, hg_logprobs *out)
{
    int32_t at[HG_MAX_TOP];
    const size_t n = n_top < c->n ? n_top : c->n;
    const double max = (double)hg_choices_max(c);
    hg_choices_weigh(c);
    const double log_z = max + log(c->sum);
    if (n > 0) hg_choices_rank(c, n, at);
    out->n_top = n;
    for (size_t i = 0; i < n; i++) {
        const float logit = c->logit[at[i]];
        out->top[i] = (hg_likely){hg_choice_id(c, (size_t)at[i]), (float)((double)logit - log_z)};
    }
    return log_z;
}
