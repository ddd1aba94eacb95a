/* The arithmetic of one step: loss and gradients of a batch, the update, the loss of held-out rows.
 */
#ifndef HG_TRAIN_LEARNER_H
#define HG_TRAIN_LEARNER_H

#include "model/model.h"
#include "tensor/panels.h"
#include "train/objective.h"
#include "train/optim.h"
#include "train/source.h"

typedef struct hg_learner {
    hg_runtime *rt;
    hg_model *model;
    hg_compute compute;
    const hg_source *source;
    hg_objective text;       /* what is minimised unless `objective` is set to another... */
    hg_objective *objective; /* ...behind hg_learner_init; borrowed then */
    uint64_t seed;
    bool again;                      /* blocks are run again in the backward pass */
    bool is_last_lot;                /* of the step's, on this rank */
    hg_ranks *ranks;                 /* NULL: alone */
    size_t batch_size, accumulation; /* rows of a batch, batches of a step */
    size_t first, end;               /* of the step's rows, those of this rank */
    size_t micro;                    /* rows worked on at a time */
    hg_rows rows;
    hg_optim optim;
    double loss_limit;   /* a step with a larger loss changes nothing; INFINITY: none */
    hg_panel_set panels; /* of the weights, for all lots of a step; none where they do not pay */
    hg_arena step;       /* activations of `micro` rows; reset for each */
} hg_learner;

typedef struct hg_step_result {
    double loss;   /* the objective's: of text nats, mean over the step's counted tokens */
    double weight; /* of the step's counted tokens, of text: their number where all weigh alike */
    double grad_norm, lr;
    uint64_t n_targets, n_tokens;
    bool is_skipped; /* loss or norm was not finite, or it is a spike: no update */
    bool is_spike;   /* the loss was over the limit */
    hg_figure figure[HG_MAX_FIGURES];
    size_t n_figures;
} hg_step_result;

/* `step_bytes`: what hg_memory_plan says the activations take; the arena's one block. Everything
 * that a step touches is made here, in `mem`. */
hg_status hg_learner_init(hg_learner *s, hg_model *model, hg_runtime *rt, hg_compute compute,
                          const hg_source *source, const hg_recipe *r, size_t step_bytes,
                          hg_arena *mem, hg_err *e);
void hg_learner_free(hg_learner *s);
/* Adds the gradients of this rank's part of the rows at `position` of the run's order. The loss of
 * all ranks is in *out. */
hg_status hg_learner_gradients(hg_learner *s, uint64_t position, hg_step_result *out, hg_err *e);
/* A whole step. Gradients are zero before and after. */
hg_status hg_learner_step(hg_learner *s, uint64_t position, double lr, hg_step_result *out,
                          hg_err *e);
/* Loss, targets and figures of the first `n_rows` held-out rows; the loss is NaN when there is
 * nothing to count. */
hg_status hg_learner_validate(hg_learner *s, uint64_t n_rows, hg_step_result *out, hg_err *e);

/* ---- for objectives ---- */
size_t hg_learner_rows(const hg_learner *s); /* of a step */
/* Fills s->rows with the next lot: of the step at `position` from its row `at` on, or of the first
 * n_rows held-out ones. Returns how many rows. */
size_t hg_learner_fill(hg_learner *s, uint64_t position, size_t at);
size_t hg_learner_fill_held_out(hg_learner *s, uint64_t at, uint64_t n_rows);
/* A fresh graph over the step's arena: recording, with its loss promised to be scaled by `weight`,
 * when that is above 0. */
void hg_learner_graph(hg_learner *s, hg_graph *g, double weight);
/* The model's states [rows][d_model] of s->rows, from which the head makes logits. */
hg_tensor *hg_learner_states(hg_learner *s, hg_graph *g);
/* The same by another model, of the same tokens. */
hg_tensor *hg_learner_states_of(hg_learner *s, hg_graph *g, const hg_model *m);
/* Surprises [rows] of s->rows' targets by m, without a record. */
hg_status hg_learner_look(hg_learner *s, const hg_model *m, float *surprises, hg_err *e);
/* By the base: `reference`, or where that is NULL the learner's model without its adapter. */
hg_status hg_learner_look_at_base(hg_learner *s, const hg_model *reference, float *surprises,
                                  hg_err *e);

/* Rows worked on at a time: as the recipe says, or a part of a batch of some HG_MICRO_TOKENS; of a
 * model wider than HG_MICRO_WIDTH, whose products are large enough with fewer, HG_MICRO_WIDE. Where
 * products are of tiles and wait for nothing but memory, so many tokens that activations stay near:
 * HG_MICRO_TILED. */
enum { HG_MICRO_TOKENS = 2048, HG_MICRO_TILED = 1024, HG_MICRO_WIDE = 512, HG_MICRO_WIDTH = 512 };
size_t hg_micro_rows(const hg_recipe *r, size_t seq_len, size_t d_model, const hg_runtime *rt,
                     hg_compute compute);
/* Bytes of the panels that a step keeps for so many lots of rows, of a model of so many parameters:
 * 0 where packing anew costs less than the memory. */
uint64_t hg_panel_bytes(const hg_runtime *rt, hg_compute compute, uint64_t n_params, size_t n_lots);

/* auto is bf16 where the processor has BF16 products. HG_E_UNSUPPORTED is never given: every table
 * has both. */
hg_compute hg_precision_compute(int64_t precision, const hg_runtime *rt);
/* FLOP of a trained token: 6 N + 12 L C T, with N all parameters but tables that are only looked
 * up, L layers, C the width of all query heads, T the row's length. */
double hg_flops_a_token(const hg_model *m, size_t seq_len);
/* This machine's rate of the same family of products, in FLOP/s: the best of some large ones in
 * about 0.2 s. */
double hg_product_rate(hg_runtime *rt, hg_compute compute, hg_arena *mem);

#endif
