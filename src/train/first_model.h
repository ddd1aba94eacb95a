/* The model that a pre-training recipe begins with. */
#ifndef HG_TRAIN_FIRST_MODEL_H
#define HG_TRAIN_FIRST_MODEL_H

#include "model/model.h"
#include "train/recipe.h"

/* The recipe's tokenizer: the file it names, the one beside a corpus, or with `auto` the run
 * folder's own, made from the corpus when it is not there (`may_make`). The caller's to free. */
hg_status hg_first_tokenizer(hg_tokenizer **out, const hg_recipe *r, bool may_make,
                             const hg_watch *w, hg_err *e);
/* Shape and special tokens. */
hg_status hg_first_config(hg_model_config *out, const hg_recipe *r, const hg_tokenizer *t,
                          hg_err *e);
/* A model of that shape with the recipe's first weights and a chat template where the vocabulary
 * has its marks. Takes `t` in any case. */
hg_status hg_first_model(hg_model **out, const hg_recipe *r, const hg_model_config *c,
                         hg_tokenizer *t, hg_err *e);

/* The recipe's base with float32 parameters that can be trained: shape and tokenizer are its own.
 * Rows are cut to its context where the recipe does not say how long they are. HG_E_ARG: the recipe
 * gives a shape or a tokenizer too, or longer rows than the base can read. */
hg_status hg_first_base(hg_model **out, hg_recipe *r, hg_err *e);
/* The base that is tuned: with float32 parameters that can be trained, or with lora_rank frozen, as
 * its files store it, and with an adapter on it. `to_merge`: in float32 in any case. */
hg_status hg_first_tuned(hg_model **out, const hg_recipe *r, bool to_merge, hg_err *e);
/* Of all float32 weights, in order: by this a run knows the model that it began with. */
uint64_t hg_weights_hash(const hg_model *m);

#endif
