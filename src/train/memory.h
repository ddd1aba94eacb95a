/* How much memory a run will take, said before it is taken. */
#ifndef HG_TRAIN_MEMORY_H
#define HG_TRAIN_MEMORY_H

#include "model/model.h"
#include "train/recipe.h"
#include "train/source.h"

typedef struct hg_memory_plan {
    uint64_t weights, gradients, moments, activations, scratch, data, teacher, reference, answers;
    uint64_t total;
    uint64_t n_params;
    uint64_t shared; /* of the total: mapped files, which the ranks of a machine have once */
    int n_local;     /* ranks of this machine, each of which takes as much */
    uint64_t before; /* hg_memory_before; what came since is the run's and in the total */
} hg_memory_plan;

/* Everything of *p but `before`, which is the caller's: 0 in a process that does nothing else.
 * `adapter`: parameters that are trained beside the model's own, which stay then, in the `stored`
 * bytes that they take as the files store them; 0: none. `tuned`: the model with the adapter, whose
 * first layers are run (its gradients are zero afterwards), or NULL. `taken`: bytes that the
 * data have taken already. */
hg_status hg_memory_plan_make(hg_memory_plan *p, const hg_model_config *c, uint64_t adapter,
                              uint64_t stored, hg_model *tuned, uint64_t taken,
                              const hg_source *source, const hg_recipe *r, hg_runtime *rt,
                              hg_compute compute, hg_err *e);
/* Adds a teacher, which is in memory already, for the student `c` that *p was made for: its
 * weights, what it keeps of a lot, and the second model's logits. */
void hg_memory_plan_teach(hg_memory_plan *p, const hg_model *teacher, const hg_model_config *c,
                          const hg_source *source, const hg_recipe *r, hg_runtime *rt,
                          hg_compute compute);
/* Adds the base a second time, which is in memory already. */
void hg_memory_plan_refer(hg_memory_plan *p, const hg_model *reference);
/* Adds what the engine holds for so many answers that are made at once: a cache of a row's length
 * for each, and its step. */
void hg_memory_plan_answer(hg_memory_plan *p, const hg_model *m, uint64_t n_at_once,
                           const hg_source *source);
/* Bytes that the process has in memory before a run takes any. What was freed is given back first,
 * else the run would take it unseen. */
uint64_t hg_memory_before(void);
/* One line for people. */
void hg_memory_plan_say(const hg_memory_plan *p, const hg_watch *w);
/* HG_E_LIMIT and what would help when the machine has less than its ranks take together, beside
 * what they hold already. None of them may take what was planned before all have looked. */
hg_status hg_memory_plan_check(const hg_memory_plan *p, hg_err *e);

#endif
