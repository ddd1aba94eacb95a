/* AdamW and Muon over a model's parameters, their running average, and the course of the learning
 * rate. */
#ifndef HG_TRAIN_OPTIM_H
#define HG_TRAIN_OPTIM_H

#include "ranks/ranks.h"
#include "tensor/tensor.h"
#include "train/muon.h"
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

/* What a parameter is: each group has its own decay. */
typedef enum hg_optim_group {
    HG_GROUP_VECTOR, /* norms, biases */
    HG_GROUP_TABLE,  /* embedding, head, learned positions */
    HG_GROUP_MATRIX, /* within a block: what Muon is for */
    HG_N_GROUPS
} hg_optim_group;

typedef struct hg_optim_chunk {
    hg_tensor *param;
    size_t at, n;        /* elements [at, at + n) of the parameter */
    size_t moment;       /* where they lie among all first moments and averages */
    size_t second;       /* and among all second moments; SIZE_MAX: Muon's, which has none */
    size_t own_m, own_v; /* of a chunk of our own: where they lie in m and average, and in v */
    int owner;           /* the rank that has its moments and updates it */
    int stage;           /* of the parameter, as hg_stages counts them */
    hg_optim_group group;
} hg_optim_chunk;

struct hg_shards; /* optim_shards.h */

/* Borrows the parameters, the runtime and the ranks. m, v and average are in the order of the
 * parameters. Of several ranks each has the state of its own chunks only, and updates those
 * (ZeRO-1, Rajbhandari et al. 2020); chunks of a matrix that Muon takes have one owner. Alone, all
 * chunks are its own. */
typedef struct hg_optim {
    hg_runtime *rt;
    hg_optim_chunk *chunks;
    size_t n_chunks, n_moments, n_seconds;
    hg_ranks *ranks; /* NULL: alone */
    hg_wire wire;
    size_t *own, n_own; /* our own chunks, ascending */
    size_t n_own_moments, n_own_seconds;
    struct hg_shards *shards; /* what goes on between the ranks; NULL alone */
    float *master;  /* [n_own_moments] weights before they were rounded for the wire, or NULL */
    float *m, *v;   /* [n_own_moments], [n_own_seconds] */
    float *average; /* [n_own_moments] of the weights, or NULL */
    float *room;    /* Muon's */
    double *part;   /* [n_chunks] sums of squares */
    hg_adamw base;
    hg_muon muon;
    double decay[HG_N_GROUPS], clip;
    double ema;       /* share of the average that stays; 0: no average */
    uint64_t updates; /* steps taken, without skipped ones */
} hg_optim;

/* What the optimiser must know of a parameter. */
typedef struct hg_optim_kind {
    hg_optim_group group;
    int stage; /* as hg_stages counts them */
} hg_optim_kind;
/* `kinds` [n_params], or NULL: matrices and vectors by their dimensions, all of one stage. The
 * average begins with the weights as they are. */
hg_status hg_optim_init(hg_optim *o, hg_runtime *rt, hg_tensor *const *param, size_t n_params,
                        const hg_optim_kind *kinds, hg_compute compute, const hg_recipe *r,
                        hg_arena *mem, hg_err *e);
/* Ends what goes on between the ranks; the rest is the arena's. Zeros are fine. */
void hg_optim_free(hg_optim *o);
/* Where a chunk of our own has its weights (exact ones), moments and average. */
float *hg_optim_weights(const hg_optim *o, const hg_optim_chunk *k);
float *hg_optim_m(const hg_optim *o, const hg_optim_chunk *k);
float *hg_optim_v(const hg_optim *o, const hg_optim_chunk *k);
float *hg_optim_average(const hg_optim *o, const hg_optim_chunk *k);
/* Euclidean norm of the gradient of our own chunks; the same on any number of threads. */
double hg_optim_grad_norm(hg_optim *o);
/* Several ranks: before the graph of a pass is run. The pass then waits, stage by stage, for the
 * weights of the last update; in the backward pass of the last lot of a step the sums of a stage
 * begin as soon as its gradients are there. Alone it does nothing. */
void hg_optim_attend(hg_optim *o, hg_graph *g, bool is_last_lot);
/* After the last lot: sums gradients over the ranks, each rank's own chunks to itself; *norm is
 * that of the whole gradient. */
hg_status hg_optim_reduce(hg_optim *o, double *norm, hg_err *e);
/* After weights were put in place on every rank: the exact ones are kept, the others rounded. */
void hg_optim_settle(hg_optim *o);
/* Gives all ranks the exact weights, whatever the wire is: before a model is saved. */
hg_status hg_optim_complete(hg_optim *o, hg_err *e);
/* One update with the gradient clipped to `clip`, given its norm; then the gradients are zero and
 * the weights are on their way to all ranks: what reads them without hg_optim_attend calls
 * hg_optim_swap or hg_optim_complete first.
 * HG_E_NOMEM: Muon's products found no room. */
hg_status hg_optim_step(hg_optim *o, double lr, double grad_norm, hg_err *e);
/* Exchanges weights and average (without one they stay) and waits until all ranks have all weights:
 * call it again before the next step. */
hg_status hg_optim_swap(hg_optim *o, hg_err *e);
void hg_optim_zero_grad(hg_optim *o);

#endif
