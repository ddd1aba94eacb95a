/* AdamW over a model's parameters, and the course of the learning rate. */
#ifndef HG_TRAIN_OPTIM_H
#define HG_TRAIN_OPTIM_H

#include "tensor/tensor.h"
#include "train/recipe.h"

/* Learning rate of steps 0 .. total-1: a linear rise to `lr` over `warmup` steps, then as `kind`
 * says down to `min_lr`. wsd stays at lr and falls linearly in the last `decay` steps (Hu et al.
 * 2024). */
typedef struct hg_schedule {
    hg_decay kind;
    double lr, min_lr;
    uint64_t total, warmup, decay;
} hg_schedule;
void hg_schedule_init(hg_schedule *s, const hg_recipe *r, uint64_t total);
double hg_schedule_at(const hg_schedule *s, uint64_t step);

typedef struct hg_optim_chunk {
    hg_tensor *param;
    size_t at, n;   /* elements [at, at + n) of the parameter */
    size_t moment;  /* where they lie in m and v */
    bool is_matrix; /* decays */
} hg_optim_chunk;

/* Borrows the parameters and the runtime. m and v are [n_moments], in the order of the parameters.
 */
typedef struct hg_optim {
    hg_runtime *rt;
    hg_optim_chunk *chunks;
    size_t n_chunks, n_moments;
    float *m, *v;
    double *part; /* [n_chunks] sums of squares */
    hg_adamw base;
    double weight_decay, clip;
    uint64_t updates; /* steps taken, without skipped ones */
} hg_optim;

hg_status hg_optim_init(hg_optim *o, hg_runtime *rt, hg_tensor *const *param, size_t n_params,
                        const hg_recipe *r, hg_arena *mem, hg_err *e);
/* Euclidean norm of the whole gradient; the same on any number of threads. */
double hg_optim_grad_norm(hg_optim *o);
/* One update with the gradient clipped to `clip`, given its norm; then the gradients are zero. */
void hg_optim_step(hg_optim *o, double lr, double grad_norm);
void hg_optim_zero_grad(hg_optim *o);

#endif
