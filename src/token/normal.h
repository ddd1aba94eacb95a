/* Normalisation: what a text goes through before it is cut into words. */
#ifndef HG_TOKEN_NORMAL_H
#define HG_TOKEN_NORMAL_H

#include "token/token.h"

typedef struct hg_normaliser hg_normaliser; /* compiled; may be shared by threads */
/* Keeps `step` and what it points to. HG_E_UNSUPPORTED (a pattern that PCRE2 refuses), HG_E_FORMAT
 * (a broken charsmap), HG_E_LIMIT. */
hg_status hg_normaliser_new(hg_normaliser **out, const hg_normal *step, size_t n, hg_err *e);
void hg_normaliser_free(hg_normaliser *nm);

typedef struct hg_normal_scratch {
    hg_buf a, b;
    int32_t *cp;
    size_t cp_cap;
} hg_normal_scratch;
void hg_normal_scratch_free(hg_normal_scratch *sc);
/* `text` must be UTF-8 unless the first step is a charsmap, which mends it. *out lives until the
 * next call with this scratch, or is `text` itself. */
hg_status hg_normaliser_run(const hg_normaliser *nm, hg_normal_scratch *sc, hg_split_scratch *split,
                            hg_bytes text, hg_bytes *out, hg_err *e);

/* ---- charsmap.c ---- */
bool hg_charsmap_is_good(hg_bytes map);
/* The longest beginning of p that the map replaces (its length, 0: none) and by what. */
size_t hg_charsmap_find(hg_bytes map, const char *p, size_t n, hg_bytes *by);

#endif
