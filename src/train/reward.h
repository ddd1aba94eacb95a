/* What an answer is worth when it can be checked. */
#ifndef HG_TRAIN_REWARD_H
#define HG_TRAIN_REWARD_H

#include "train/recipe.h"

typedef struct hg_answer {
    hg_bytes prompt, text, expected;
} hg_answer;

typedef struct hg_reward {
    double value;
    bool failed; /* of a program: no number came within its limits; the value is 0 */
    hg_err why;  /* then */
} hg_reward;

/* As r->reward says, each 1 or 0 but the program's:
 *   exact    the text is the expected one, but for white space around both
 *   number   the last number in the text is the expected one
 *   json     the text is JSON; where something is expected, that value
 *   regex    the whole text, but for white space around it, matches the expected pattern
 *   program  r->checker is run (hg_checker_run); what it prints
 * HG_E_FORMAT for an expected number, JSON or pattern that is none: a mistake of the task. */
hg_status hg_reward_of(const hg_recipe *r, const hg_answer *a, hg_reward *out, hg_err *e);

/* That mistake alone, before there are answers. */
hg_status hg_reward_check(const hg_recipe *r, hg_bytes expected, hg_err *e);

/* Runs argv[0..n) (found by PATH, no shell) with {"prompt", "answer", "expected"} as JSON on its
 * stdin, and reads the number that it prints. It gets `seconds`, `megabytes` of address space, no
 * core file, and a process group of its own that is killed at the end, whatever is left of it.
 * False, with a sentence, when it ends with an error, hangs, or prints anything else. */
bool hg_checker_run(const char *const *argv, size_t n, const hg_answer *a, double seconds,
                    double megabytes, double *value, hg_err *e);

#endif
