/* The k-th guess of a step is worth its row only if the k - 1 before it come true as well. With a
 * share a of guesses coming true that is a^k; a row that is checked beside others costs a small
 * part of a step of its own. So guesses go on while a^k is above that part, and a is learnt from
 * what came true lately, with the past fading. (Leviathan et al. 2023, section 3.5, for the best
 * length under a known a.) */
#include "infer/guess.h"

#include <math.h>

static const double FADE = 0.9;         /* of what was learnt before, a step */
static const double WORTH = 0.25;       /* a guess less likely than this is not made */
static const double FIRST_HITS = 3.0;   /* what a text is believed to be like before it is known: */
static const double FIRST_MISSES = 1.0; /* three of four guesses come true */

void hg_guess_begin(hg_guess_rate *r)
{
    *r = (hg_guess_rate){FIRST_HITS, FIRST_MISSES};
}

void hg_guess_learn(hg_guess_rate *r, size_t n, size_t hits)
{
    r->hits *= FADE;
    r->misses *= FADE;
    if (n == 0) {
        /* Nothing was tried: belief goes back towards the first, so that it will be again. */
        r->hits += 0.02 * FIRST_HITS;
        r->misses += 0.02 * FIRST_MISSES;
        return;
    }
    r->hits += (double)hits;
    r->misses += hits < n ? 1.0 : 0.0;
}

double hg_guess_share(const hg_guess_rate *r)
{
    return (r->hits + 0.1) / (r->hits + r->misses + 0.2);
}

size_t hg_guess_length(const hg_guess_rate *r)
{
    const double a = hg_guess_share(r);
    const double length = log(WORTH) / log(a);
    if (!(length < HG_MAX_GUESS)) return HG_MAX_GUESS;
    return (size_t)length;
}
