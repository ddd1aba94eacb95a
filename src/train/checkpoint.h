/* Checkpoints: everything a run needs to go on as if it had never stopped. */
#ifndef HG_TRAIN_CHECKPOINT_H
#define HG_TRAIN_CHECKPOINT_H

#include "base/file.h"
#include "train/optim.h"

/* Where the run is. All of it goes into the file as it is. */
typedef struct hg_run_state {
    uint64_t step, total_steps, position; /* position: rows seen */
    uint64_t updates, skipped, skipped_in_a_row, tokens;
    uint64_t data_hash, vocab_hash, base_hash;
    double seconds, joules;                                     /* of all parts of the run */
    double smooth_loss, smooth_square, smooth_weight, val_loss; /* square: of the loss */
    uint64_t spikes, spikes_in_a_row, rewinds;
} hg_run_state;

/* A checkpoint's parts, as read. Texts and arrays lie in the mapped file. */
typedef struct hg_checkpoint {
    hg_run_state state;
    hg_bytes recipe; /* the keys that must not change, as hg_recipe_text gives them */
    uint64_t n_moments, n_seconds, n_average;
    /* float32; weights and m [n_moments], v [n_seconds], average [n_average], which is n_moments or
     * 0 */
    const unsigned char *weights, *m, *v, *average;
    hg_map map;
} hg_checkpoint;

enum { HG_CHECKPOINT_VERSION = 3, HG_CHECKPOINT_HEADER = 256, HG_CHECKPOINT_MAX_RECIPE = 1 << 20 };

/* Which stay: the newest `newest`, and those of steps that `every` divides (0: none). */
typedef struct hg_retention {
    uint64_t newest, every;
} hg_retention;

/* Called by every rank; rank 0 writes, and the file is the same for any number of ranks, so that
 * another number may go on from it. Writes `folder`/step-<step>.hgc whole or not at all, then
 * removes those that are not kept. Takes no memory that grows with the model. */
hg_status hg_checkpoint_write(const char *folder, const hg_run_state *state, hg_bytes recipe,
                              const hg_optim *o, hg_retention keep, hg_err *e);
/* The newest step in `folder`, or false when there is none. */
bool hg_checkpoint_newest(const char *folder, char path[1100]);
hg_status hg_checkpoint_open(hg_checkpoint *out, const char *path, hg_err *e);
hg_status hg_checkpoint_parse(hg_checkpoint *out, const unsigned char *p, size_t n,
                              const char *name, hg_err *e);
/* Puts weights, moments and average in place, of the latter those that this rank owns. HG_E_FORMAT
 * when the model has another size. */
hg_status hg_checkpoint_restore(const hg_checkpoint *c, hg_optim *o, const char *name, hg_err *e);
void hg_checkpoint_close(hg_checkpoint *c);

#endif
