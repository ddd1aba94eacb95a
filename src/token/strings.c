/* Strings, each kept once and known by a number: the words of a corpus, the tokens made of them. */
#include "token/train.h"
#include "base/hash.h"
#include <string.h>

hg_bytes hg_strings_get(const hg_strings *s, uint32_t i)
{
    return (hg_bytes){s->bytes + s->item[i].at, s->item[i].n};
}

void hg_strings_free(hg_strings *s)
{
    hg_free(s->bytes);
    hg_free(s->item);
    hg_free(s->slot);
    *s = (hg_strings){0};
}

/* Half of the hash is kept beside the string; the slot comes from the same half, so that growing
 * need not read the strings again. */
static size_t place(uint32_t hash)
{
    return (size_t)(hash * 0x9E3779B1u) ^ hash >> 16;
}

static hg_status rehash(hg_strings *s, hg_err *e)
{
    size_t size = s->mask == 0 ? 1024 : 2 * (s->mask + 1);
    uint32_t *slot = hg_alloc(size, sizeof *slot);
    if (slot == NULL) return hg_fail(e, HG_E_NOMEM, "no room for %zu words", size);
    for (size_t i = 0; i < s->n; i++) {
        size_t at = place(s->item[i].hash);
        while (slot[at & (size - 1)] != 0) at++;
        slot[at & (size - 1)] = (uint32_t)i + 1;
    }
    hg_free(s->slot);
    s->slot = slot;
    s->mask = size - 1;
    return HG_OK;
}

static hg_status append(hg_strings *s, const char *p, size_t n, uint32_t hash, hg_err *e)
{
    if (s->n >= UINT32_MAX - 1) return hg_fail(e, HG_E_LIMIT, "more than four billion words");
    HG_TRY(hg_grow(&s->bytes, &s->bytes_cap, s->n_bytes + n, 1, e));
    HG_TRY(hg_grow(&s->item, &s->cap, s->n, sizeof *s->item, e));
    if (n > 0) memcpy(s->bytes + s->n_bytes, p, n);
    s->item[s->n++] = (hg_string){s->n_bytes, (uint32_t)n, hash};
    s->n_bytes += n;
    return HG_OK;
}

hg_status hg_strings_put(hg_strings *s, const char *p, size_t n, uint32_t *out, hg_err *e)
{
    if (2 * s->n >= s->mask) HG_TRY(rehash(s, e));
    uint32_t hash = (uint32_t)(hg_hash64(p, n, 0) >> 32);
    size_t at = place(hash);
    for (; s->slot[at & s->mask] != 0; at++) {
        uint32_t i = s->slot[at & s->mask] - 1;
        const hg_string *have = &s->item[i];
        if (have->hash == hash && have->n == n && memcmp(s->bytes + have->at, p, n) == 0) {
            *out = i;
            return HG_OK;
        }
    }
    HG_TRY(append(s, p, n, hash, e));
    *out = (uint32_t)s->n - 1;
    s->slot[at & s->mask] = *out + 1;
    return HG_OK;
}
