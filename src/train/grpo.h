/* Reinforcement on tasks whose answers can be checked (GRPO, Shao et al. 2024): a step lets the
 * model answer each of its prompts several times, checks the answers, and makes those likelier that
 * did better than the others to the same prompt. */
#ifndef HG_TRAIN_GRPO_H
#define HG_TRAIN_GRPO_H

#include "train/chats.h"
#include "train/learner.h"
#include "train/pair_loss.h"
#include "train/reward.h"

typedef struct hg_task {
    size_t at, n;  /* of its rendered prompt in `prompts` */
    hg_answer ask; /* text is "" */
} hg_task;

/* One answer of a step, within its rows. */
typedef struct hg_rollout {
    size_t task, at, n_prompt, n; /* at: token of the step's rows; n: prompt and answer */
    double reward, advantage;
} hg_rollout;

typedef struct hg_grpo {
    hg_objective objective;
    hg_source source; /* the rows of the step that was generated last */
    const hg_recipe *r;
    const hg_model *model;
    hg_runtime *rt;
    const hg_watch *watch;
    /* The caller's, who sets it after init; NULL without kl, and where the model without its
     * adapter is it. */
    const hg_model *reference;
    hg_task *task;
    size_t n_tasks, n_dropped;
    hg_ids prompts;
    size_t n; /* answers, and rows at the most, of a step */
    hg_rollout *rollout;
    int32_t *ids, *targets;
    uint8_t *begins;
    float *losses, *old, *ref, *weights; /* a token of the rows each: surprises, weights */
    uint64_t position;                   /* of the rows that are there; UINT64_MAX: none */
    size_t n_failed;                     /* checks of this step without a number */
    hg_step_result result;
} hg_grpo;

/* Renders the tasks' prompts; those that leave no room for an answer are left out and told. Borrows
 * tasks, recipe and model. */
hg_status hg_grpo_init(hg_grpo *g, const hg_chats *tasks, const hg_model *m, const hg_recipe *r,
                       hg_runtime *rt, hg_arena *mem, const hg_watch *w, hg_err *e);
void hg_grpo_free(hg_grpo *g);

/* ---- grpo_answers.c ---- */
/* How many answers are made at a time. */
size_t hg_grpo_at_once(const hg_grpo *g);
/* Fills rollouts and rows with answers of the model as it is, to the prompts at `position`, and
 * their rewards. Follows from weights, seed and position alone. */
hg_status hg_grpo_answer(hg_grpo *g, uint64_t position, uint64_t seed, hg_err *e);

#endif
