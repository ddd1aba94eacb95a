/* The index of texts already seen: exact duplicates by a 128-bit hash. The one thing in `collect`
 * that grows with the input: 16 bytes an entry, at most 48 bytes a text while it grows. */
#ifndef HG_DATA_DEDUP_H
#define HG_DATA_DEDUP_H

#include "base/hash.h"
#include "base/mem.h"

typedef struct hg_dedup {
    hg_hash128 *slot; /* a power of two of them; {0, 0}: free */
    size_t n_slots, n;
} hg_dedup; /* starts as {0} */

/* *is_new: the hash was not there and is now. */
hg_status hg_dedup_add(hg_dedup *d, hg_hash128 hash, bool *is_new, hg_err *e);
void hg_dedup_free(hg_dedup *d);

#endif
