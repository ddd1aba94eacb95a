/* Prompt lookup: guessing that a text goes on as it did where its last tokens stood before. */
#ifndef HG_INFER_LOOKUP_H
#define HG_INFER_LOOKUP_H

#include "base/mem.h"

/* The timeline so far, and where each pair of tokens stood last. Starts as zeros. */
typedef struct hg_lookup {
    int32_t *ids;  /* [n_ctx] */
    int32_t *last; /* [1 << bits] the end of the last pair with that hash, or -1 */
    int32_t *prev; /* [n_ctx] the end of the pair before with the same hash, or -1 */
    size_t n, n_ctx;
    size_t behind; /* how far before the text's end the last guess was read; 0: none yet */
    unsigned bits;
} hg_lookup;

/* Makes the room for n_ctx tokens unless it is there, and forgets what was put. */
hg_status hg_lookup_begin(hg_lookup *l, size_t n_ctx, hg_err *e);
void hg_lookup_free(hg_lookup *l);
void hg_lookup_put(hg_lookup *l, int32_t id);
/* Guesses up to `most` tokens behind those put; returns how many, 0 when the last two never stood
 * together before and nothing was guessed near. */
size_t hg_lookup_guess(hg_lookup *l, size_t most, int32_t *guess);

#endif
