/* Muon: momentum whose matrix is made orthogonal before it is applied. */
#ifndef HG_TRAIN_MUON_H
#define HG_TRAIN_MUON_H

#include "kernels/runtime.h"

typedef struct hg_muon {
    double lr, weight_decay, momentum;
    float grad_scale; /* of clipping; the gradient is multiplied by it first */
    hg_compute compute;
} hg_muon;

/* Floats of scratch that a matrix takes. */
size_t hg_muon_room(size_t rows, size_t cols);
/* x [rows][cols] becomes about U V^T of its singular value decomposition: five steps of Newton and
 * Schulz bring every singular value to between 0.7 and 1.2. HG_E_NOMEM. */
hg_status hg_muon_orthogonalise(hg_runtime *rt, hg_compute compute, float *x, size_t rows,
                                size_t cols, float *room, hg_err *e);
/* One update of w [rows][cols] with momentum m from gradient g, which is zero afterwards. The same
 * bits on any number of threads. */
hg_status hg_muon_update(hg_runtime *rt, const hg_muon *o, float *w, float *m, float *g,
                         size_t rows, size_t cols, float *room, hg_err *e);

#endif
