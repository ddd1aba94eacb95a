/* Random numbers that are the same everywhere: xoshiro256** (Blackman and Vigna 2018), seeded by
 * splitmix64. The state is plain data and goes into checkpoints as it is. */
#ifndef HG_BASE_RNG_H
#define HG_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

typedef struct hg_rng {
    uint64_t s[4];
} hg_rng;

/* `stream` separates independent uses of one seed (weights, data order, sampling ...). */
void hg_rng_init(hg_rng *r, uint64_t seed, uint64_t stream);
uint64_t hg_rng_u64(hg_rng *r);
uint64_t hg_rng_below(hg_rng *r, uint64_t n); /* 0 .. n-1, without bias; n > 0 */
double hg_rng_unit(hg_rng *r);                /* [0, 1), 53 bits */
double hg_rng_normal(hg_rng *r); /* mean 0, variance 1 (Box-Muller, one value a call) */

/* Item i of a pseudo-random permutation of 0 .. n-1 chosen by `key`, in constant memory (a Feistel
 * network with cycle walking): a shuffle that can be entered at any place. */
uint64_t hg_permute(uint64_t i, uint64_t n, uint64_t key);

#endif
