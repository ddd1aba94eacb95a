/* The draft model: a smaller one that guesses what the model will say. */
#ifndef HG_INFER_DRAFT_H
#define HG_INFER_DRAFT_H

#include "infer/slot.h"

typedef struct hg_drafter {
    const hg_model *m; /* NULL: there is none */
    hg_runtime *rt;
    hg_stepper step;
    hg_type cache_type;
    size_t n_ctx, max_rows, n_vocab; /* ids both models know are below n_vocab */
    hg_choices *rooms;               /* [n_threads] */
    int n_threads;
    /* Of the slots that guess in this step. */
    hg_slot **slots, **all; /* that still do, and all */
    hg_lane *lanes;
    hg_sampler *samplers;
    size_t *most;
    double *hope; /* that all guesses so far come true, as the draft model sees it */
    int32_t *ids; /* [max_rows] what the lanes feed */
    size_t n;
} hg_drafter;

/* HG_E_ARG when the two tokenizers give other texts to the same ids. `d` starts as zeros. */
hg_status hg_drafter_init(hg_drafter *d, const hg_model *draft, const hg_model *m, hg_runtime *rt,
                          size_t n_slots, size_t n_ctx, size_t max_rows, hg_err *e);
void hg_drafter_free(hg_drafter *d);
/* Bytes of a slot's cache for the draft model; and of that and all that `n_slots` sessions take. */
uint64_t hg_drafter_slot_bytes(const hg_drafter *d);
uint64_t hg_drafter_bytes(const hg_drafter *d, size_t n_slots);
/* The slot's cache for the draft model, unless it is there. */
hg_status hg_drafter_slot(const hg_drafter *d, hg_slot *s, hg_err *e);

/* A step of guessing: begin, then each slot with the number of guesses it may take (0: the draft
 * model only reads what it missed), then run. Failures leave a slot without guesses. */
void hg_drafter_begin(hg_drafter *d);
void hg_drafter_add(hg_drafter *d, hg_slot *s, size_t most);
void hg_drafter_run(hg_drafter *d);

#endif
