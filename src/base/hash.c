/* Fingerprints through xxHash and libsodium. */
#include "base/hash.h"

#include <sodium.h>
#include <xxhash.h>

uint64_t hg_hash64(const void *p, size_t n, uint64_t seed)
{
    return XXH3_64bits_withSeed(p, n, seed);
}

hg_hash128 hg_hash(const void *p, size_t n)
{
    XXH128_hash_t h = XXH3_128bits(p, n);
    return (hg_hash128){h.low64, h.high64};
}

static void hex(const unsigned char *digest, char out[65])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < 32; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[64] = '\0';
}

void hg_sha256_hex(const void *p, size_t n, char out[65])
{
    unsigned char digest[crypto_hash_sha256_BYTES];
    (void)crypto_hash_sha256(digest, p, n);
    hex(digest, out);
}

_Static_assert(sizeof(crypto_hash_sha256_state) <= sizeof(hg_sha256), "room for libsodium's state");

void hg_sha256_init(hg_sha256 *h)
{
    (void)crypto_hash_sha256_init((crypto_hash_sha256_state *)(void *)h->state);
}

void hg_sha256_put(hg_sha256 *h, const void *p, size_t n)
{
    (void)crypto_hash_sha256_update((crypto_hash_sha256_state *)(void *)h->state, p, n);
}

void hg_sha256_end(hg_sha256 *h, char out[65])
{
    unsigned char digest[crypto_hash_sha256_BYTES];
    (void)crypto_hash_sha256_final((crypto_hash_sha256_state *)(void *)h->state, digest);
    hex(digest, out);
}
