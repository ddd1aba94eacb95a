/* How much memory a run will take, said before it is taken. */
#ifndef HG_TRAIN_MEMORY_H
#define HG_TRAIN_MEMORY_H

#include "model/model.h"
#include "train/recipe.h"
#include "train/source.h"

typedef struct hg_memory_plan {
    uint64_t weights, gradients, moments, activations, scratch, data, samples;
    uint64_t total;
    uint64_t n_params;
} hg_memory_plan;

/* `adapter`: parameters that are trained beside the model's own, which stay then; 0: none. */
hg_status hg_memory_plan_make(hg_memory_plan *p, const hg_model_config *c, uint64_t adapter,
                              const hg_source *source, const hg_recipe *r, hg_runtime *rt,
                              hg_compute compute, hg_err *e);
/* One line for people. */
void hg_memory_plan_say(const hg_memory_plan *p, const hg_watch *w);
/* HG_E_LIMIT and what would help when the machine has less. */
hg_status hg_memory_plan_check(const hg_memory_plan *p, hg_err *e);

#endif
