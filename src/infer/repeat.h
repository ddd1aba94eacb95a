/* What was said already becomes less likely: penalties of repetition, presence and frequency, and
 * DRY. */
#ifndef HG_INFER_REPEAT_H
#define HG_INFER_REPEAT_H

#include <higgins/infer.h>
#include "infer/choices.h"

/* What the stages look back on: the whole timeline, whose answer begins at n_prompt. */
typedef struct hg_past {
    const int32_t *ids;
    size_t n, n_prompt;
    const hg_tokenizer *tok; /* what DRY's breakers are looked for in; NULL: none break */
} hg_past;

void hg_penalise(hg_choices *c, const hg_sampling *o, const hg_past *past);
hg_status hg_penalise_dry(hg_choices *c, const hg_sampling *o, const hg_past *past, hg_err *e);

#endif
