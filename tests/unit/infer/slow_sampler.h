/* Every stage of sampling once more, in double precision and as slow as its formula reads. */
#ifndef TESTS_INFER_SLOW_SAMPLER_H
#define TESTS_INFER_SLOW_SAMPLER_H

#include <higgins/infer.h>

typedef struct slow_choice {
    int32_t id;
    double x, p;
} slow_choice;

typedef struct slow_set {
    size_t n;
    slow_choice *c; /* by falling logit */
} slow_set;

/* What is left of logits[n] behind the stages of o; p sums to 1. XTC always strikes. `breaks` says
 * of every token of `past` whether a DRY breaker ends in it (NULL: none does). */
slow_set slow_sample(const hg_sampling *o, const float *logits, size_t n, const int32_t *past,
                     size_t n_past, size_t n_prompt, const bool *breaks, double mu);
void slow_free(slow_set *s);

#endif
