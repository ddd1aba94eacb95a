/* Exact deduplication: documents with the same cleaned text are one document. With 128 bits the
 * odds that two different texts among 10^9 share a hash are 10^-21, so the texts themselves need
 * not be kept. Open addressing; the hash is its own address. */
#include "data/dedup.h"

static size_t find(const hg_dedup *d, hg_hash128 h)
{
    size_t mask = d->n_slots - 1, i = (size_t)h.lo & mask;
    while ((d->slot[i].lo | d->slot[i].hi) != 0 && (d->slot[i].lo != h.lo || d->slot[i].hi != h.hi))
        i = (i + 1) & mask;
    return i;
}

static hg_status grow(hg_dedup *d, hg_err *e)
{
    hg_dedup wider = {.n_slots = d->n_slots > 0 ? d->n_slots * 2 : 4096, .n = d->n};
    wider.slot = hg_alloc(wider.n_slots, sizeof *wider.slot);
    if (wider.slot == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for the index of %zu documents", d->n);
    for (size_t i = 0; i < d->n_slots; i++)
        if ((d->slot[i].lo | d->slot[i].hi) != 0) wider.slot[find(&wider, d->slot[i])] = d->slot[i];
    hg_free(d->slot);
    *d = wider;
    return HG_OK;
}

hg_status hg_dedup_add(hg_dedup *d, hg_hash128 hash, bool *is_new, hg_err *e)
{
    if ((hash.lo | hash.hi) == 0) hash.lo = 1; /* zeros mark a free slot */
    if (d->n * 3 >= d->n_slots * 2) HG_TRY(grow(d, e));
    size_t i = find(d, hash);
    *is_new = (d->slot[i].lo | d->slot[i].hi) == 0;
    if (*is_new) {
        d->slot[i] = hash;
        d->n++;
    }
    return HG_OK;
}

void hg_dedup_free(hg_dedup *d)
{
    hg_free(d->slot);
    *d = (hg_dedup){0};
}
