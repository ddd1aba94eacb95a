/* The shape of a new model, from a few wishes. */
#ifndef HG_TRAIN_SHAPE_H
#define HG_TRAIN_SHAPE_H

#include "model/model.h"
#include "train/recipe.h"

/* Fills in the configuration: sizes that the recipe leaves open follow from depth, and depth from
 * params where that is given. HG_E_ARG with a sentence when sizes do not go together. */
hg_status hg_recipe_shape(const hg_recipe *r, uint32_t n_vocab, hg_model_config *out, hg_err *e);

#endif
