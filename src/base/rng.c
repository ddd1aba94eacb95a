/* xoshiro256** (Blackman and Vigna 2018), seeded through splitmix64 as its authors advise; and a
 * permutation of any range in constant memory. */
#include "base/rng.h"

#include <math.h>

static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = *x += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

void hg_rng_init(hg_rng *r, uint64_t seed, uint64_t stream)
{
    uint64_t x = stream;
    x = seed ^ splitmix(&x);
    for (int i = 0; i < 4; i++) r->s[i] = splitmix(&x);
}

uint64_t hg_rng_u64(hg_rng *r)
{
    uint64_t *s = r->s, out = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return out;
}

uint64_t hg_rng_below(hg_rng *r, uint64_t n)
{
    uint64_t reject = (0 - n) % n; /* 2^64 mod n: values below it would favour small results */
    uint64_t x;
    do x = hg_rng_u64(r);
    while (x < reject);
    return x % n;
}

double hg_rng_unit(hg_rng *r)
{
    return (double)(hg_rng_u64(r) >> 11) * 0x1p-53;
}

double hg_rng_normal(hg_rng *r)
{
    double u = 1.0 - hg_rng_unit(r); /* (0, 1]: the logarithm stays finite */
    double v = hg_rng_unit(r);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

/* A balanced Feistel network over the smallest even number of bits that holds n; values outside the
 * range are walked on until one falls inside, which keeps it a permutation of 0 .. n-1 (Black and
 * Rogaway 2002). */
uint64_t hg_permute(uint64_t i, uint64_t n, uint64_t key)
{
    int half = 1;
    while (half < 32 && (UINT64_C(1) << (2 * half)) < n) half++;
    uint64_t mask = (UINT64_C(1) << half) - 1;
    do {
        uint64_t l = i >> half, r = i & mask;
        for (uint64_t round = 0; round < 6; round++) {
            uint64_t x = key ^ (round << 56) ^ r;
            uint64_t t = l ^ (splitmix(&x) & mask);
            l = r;
            r = t;
        }
        i = (l << half) | r;
    } while (i >= n);
    return i;
}
