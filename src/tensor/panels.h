/* Weights as the products of a training step want them. Packing a weight costs as much as reading
 * it and more, and every lot of a step multiplies with the same ones, twice: by W^T forward, by W
 * back. A set keeps both forms of some weights, packed when a product first asks. */
#ifndef HG_TENSOR_PANELS_H
#define HG_TENSOR_PANELS_H

#include "tensor/matmul.h"

typedef struct hg_kept_panels {
    const hg_tensor *w;   /* [n_out][n_in] */
    void *forward, *back; /* W^T and W, as B of a product */
    bool has_forward, has_back;
} hg_kept_panels;

typedef struct hg_panel_set {
    hg_kept_panels *of;
    size_t n;
    bool are_frozen; /* the weights never change */
} hg_panel_set;

/* Bytes that a weight's two forms take. */
size_t hg_panels_size(const hg_runtime *rt, hg_compute compute, const hg_tensor *w);
/* Room for both forms of n weights, in `mem`; they change until `are_frozen` is set. HG_E_NOMEM. */
hg_status hg_panels_init(hg_panel_set *s, const hg_runtime *rt, hg_compute compute,
                         hg_tensor *const *w, size_t n, hg_arena *mem, hg_err *e);
/* The weights have changed, or may have. */
void hg_panels_forget(hg_panel_set *s);

enum { HG_SLICE_BYTES = 16 << 20 };

/* c [m][n_out] = A W^T, or with `is_back` c [m][n_in] = A W; += when `add`. `more` (NULL: nothing)
 * is added to it. With the panels of g->panels where it has them, else w is packed for this
 * product. A weight in blocks is made floats meanwhile, some rows at a time: what is learnt behind
 * it is learnt from its values, and not from what inference rounds of the activations. */
hg_status hg_matmul_weight(hg_graph *g, float *c, const hg_matrix *a, const hg_tensor *w,
                           bool is_back, const hg_more *more, size_t m, bool add);

#endif
