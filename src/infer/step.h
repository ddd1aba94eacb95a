/* One pass of the model over several timelines at once: the only way in which sessions and the
 * engine run it. */
#ifndef HG_INFER_STEP_H
#define HG_INFER_STEP_H

#include "infer/cache.h"
#include "model/adapter.h"

/* STATES: the final norm's output of every row instead of logits; for a lane that is alone. */
typedef enum hg_want { HG_WANT_NONE, HG_WANT_LAST, HG_WANT_ALL, HG_WANT_STATES } hg_want;

/* What a step adds to one timeline. */
typedef struct hg_lane {
    hg_cache *cache;
    const int32_t *ids; /* [n], n > 0, checked against the vocabulary by the caller */
    size_t n;
    hg_want want;
    const hg_adapter_use *adapters; /* [n_adapters] */
    size_t n_adapters;
    float *logits; /* out: [1 or n][n_vocab] as wanted, or NULL; valid until the next step */
    float *states; /* out: [n][d_model] when wanted, likewise */
} hg_lane;

/* Its index arrays are made once; activations lie in an arena that each step reuses. */
typedef struct hg_stepper {
    const hg_model *m;
    hg_runtime *rt;
    hg_compute compute;
    size_t max_rows, max_lanes;
    int32_t *ids, *pos, *out;  /* [max_rows] */
    hg_span *spans;            /* [max_lanes] */
    const hg_cache **cache_of; /* [max_lanes] whose it is */
    bool *is_long;         /* [max_lanes] may grow beyond the context that scaling begins from */
    hg_kv_layer *kv;       /* [n_layers][n_lanes] */
    hg_lora_use *use;      /* [max_lanes][HG_MAX_ADAPTERS] */
    hg_lora_rows *lora[2]; /* [max_lanes] by the batch's rows, and by those asked for */
    bool adapted;          /* a lane of this step has adapters */
    hg_arena own, step;
} hg_stepper;

hg_status hg_stepper_init(hg_stepper *s, const hg_model *m, hg_runtime *rt, size_t max_rows,
                          size_t max_lanes, hg_err *e);
void hg_stepper_free(hg_stepper *s);
/* Bytes of the index arrays and, roughly, of the activations of a step of max_rows rows. */
uint64_t hg_stepper_bytes(const hg_model *m, size_t max_rows, size_t max_lanes);
/* Rows that keep a prompt's activations at a few dozen MB, 16 to 512. */
size_t hg_stepper_rows(const hg_model *m);

/* Appends every lane's ids to its timeline, or, on failure, none. */
hg_status hg_stepper_run(hg_stepper *s, hg_lane *lanes, size_t n_lanes, hg_err *e);
/* HG_E_ARG, naming the place, unless all ids are of the model's vocabulary. */
hg_status hg_check_ids(const hg_model *m, const int32_t *ids, size_t n, hg_err *e);

#endif
