/* How far to guess ahead. */
#ifndef HG_INFER_GUESS_H
#define HG_INFER_GUESS_H

#include <stddef.h>

enum { HG_MAX_GUESS = 24 }; /* tokens guessed ahead in one step at the most */

/* How often guesses of one kind have come true lately. */
typedef struct hg_guess_rate {
    double hits, misses;
} hg_guess_rate;

void hg_guess_begin(hg_guess_rate *r);
/* After a step in which `hits` of `n` guesses came true, one after the other. */
void hg_guess_learn(hg_guess_rate *r, size_t n, size_t hits);
/* The share of guesses that come true, as far as it is known: between 0 and 1. */
double hg_guess_share(const hg_guess_rate *r);
/* How many guesses are worth checking now: 0 to HG_MAX_GUESS. */
size_t hg_guess_length(const hg_guess_rate *r);

#endif
