/* The optimiser's state shared out over the ranks; optim.c's other half. */
#ifndef HG_TRAIN_OPTIM_SHARDS_H
#define HG_TRAIN_OPTIM_SHARDS_H

#include "ranks/lane.h"
#include "train/optim.h"

/* Stages are dealt to buckets of at least a BUCKETS-th of all parameters: a ring of a bucket is one
 * errand. */
enum { HG_MAX_BUCKETS = 16 };

typedef struct hg_bucket {
    size_t *border;  /* [ranks + 1 (and 1 to lay out with)] into the pieces */
    size_t n_open;   /* stages of the step's last lot whose gradients are not there yet */
    uint64_t ticket; /* of the errand that brings its weights */
} hg_bucket;

typedef struct hg_shards {
    hg_lane *lane;
    hg_piece *weight, *grad; /* [n_chunks] bucket by bucket, within it owner by owner */
    hg_bucket bucket[HG_MAX_BUCKETS];
    size_t n_buckets; /* in the order of the forward pass */
    int *bucket_of;   /* [n_stages + 1], at stage + 1 */
    int last_stage;
    size_t n_left; /* buckets whose sums have not begun: those before it; the last ones go first */
    bool is_last_lot;
    hg_wire gather_wire;
    hg_stages stages;
    /* What rings took and what was waited for them, up to now, and from the sums of the step before
     * to those of the last one. */
    double ring_seconds, wait_seconds, last_ring_seconds, last_wait_seconds;
} hg_shards;

/* After the chunks are cut: who owns which. HG_E_NOMEM. */
hg_status hg_optim_share_out(hg_optim *o, hg_arena *mem, hg_err *e);
/* Sends all ranks the weights that their owners hold, rounded as the wire says. */
void hg_optim_spread(hg_optim *o);
/* Until nothing goes on between the ranks. */
hg_status hg_optim_wait(hg_optim *o, hg_err *e);

#endif
