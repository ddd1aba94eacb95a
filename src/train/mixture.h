/* Several sources of rows in given shares. */
#ifndef HG_TRAIN_MIXTURE_H
#define HG_TRAIN_MIXTURE_H

#include "train/source.h"
#include "base/mem.h"

typedef struct hg_mixture {
    hg_source source; /* first: a hg_source * is one of these */
    const hg_source *const *part;
    uint64_t *first; /* [n_parts + 1] an epoch's rows of part i are [first[i], first[i + 1]) */
    size_t n_parts;
} hg_mixture;

/* An epoch has as many rows as all parts together, weight[i] / sum of them from part i: where that
 * is more than the part has it is repeated, where it is less the next epoch goes on with the rest.
 * Borrows the parts. HG_E_ARG: a part without rows, no weight above 0, or rows of other lengths. */
hg_status hg_mixture_init(hg_mixture *m, const hg_source *const *part, const double *weight,
                          size_t n_parts, hg_arena *mem, hg_err *e);

#endif
