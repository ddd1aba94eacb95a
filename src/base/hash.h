/* Fingerprints: xxh3 where speed counts and nobody attacks, SHA-256 where a name is made of
 * content. */
#ifndef HG_BASE_HASH_H
#define HG_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct hg_hash128 {
    uint64_t lo, hi;
} hg_hash128;

uint64_t hg_hash64(const void *p, size_t n, uint64_t seed);
hg_hash128 hg_hash(const void *p, size_t n);
void hg_sha256_hex(const void *p, size_t n, char out[65]);

/* The same over bytes that come in pieces. */
typedef struct hg_sha256 {
    uint64_t state[16];
} hg_sha256;
void hg_sha256_init(hg_sha256 *h);
void hg_sha256_put(hg_sha256 *h, const void *p, size_t n);
void hg_sha256_end(hg_sha256 *h, char out[65]);

#endif
