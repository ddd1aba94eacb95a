/* What KTO measures its distance from the reference on (Ethayarajh et al. 2024): the prompts of the
 * batch at hand, each with the answer that another of its lines has. They are paired anew for each
 * batch, by the seed and the batch's place in the run alone, so that a resumed run sees the same.
 */
#ifndef HG_TRAIN_MISMATCH_H
#define HG_TRAIN_MISMATCH_H

#include "train/packed.h"

typedef struct hg_mismatch {
    hg_source source;       /* first: held-out row i is the i-th of the mismatched rows */
    int32_t *ids, *targets; /* [cap][source.seq_len] */
    uint8_t *begins;
    size_t cap;   /* rows */
    size_t n;     /* pairs, at most one for each line */
    size_t *from; /* [n_lines] whose answer each line's prompt has got; n_lines: nobody's */
    size_t *order, cap_lines;
} hg_mismatch;

/* Pairs lines[n_lines], indices of data->chat with repetitions. A line gets the answer of another
 * line with another prompt, where there is none of another line with another answer, and is left
 * out where there is none of those either. A timeline is at most data->max_tokens long and holds
 * one token of the answer at the least. */
hg_status hg_mismatch_make(hg_mismatch *x, const hg_packed *data, const size_t *lines,
                           size_t n_lines, uint64_t seed, uint64_t position, hg_err *e);
void hg_mismatch_free(hg_mismatch *x);

#endif
