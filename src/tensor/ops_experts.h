/* Ops of a mixture of experts: the router's choice, and adding up what the chosen ones answer. The
 * experts themselves are linear maps and gates over the rows that chose them (hg_op_rows). Rows do
 * not depend on each other, and a row's answers are added in the order of the experts. None of it
 * can be recorded. */
#ifndef HG_TENSOR_OPS_EXPERTS_H
#define HG_TENSOR_OPS_EXPERTS_H

#include "tensor/tensor.h"

/* Which rows go to which expert. */
typedef struct hg_choice {
    size_t n_experts, n_used;
    size_t *first;  /* [n_experts + 1] where each expert's rows begin in the next two */
    int32_t *rows;  /* [n * n_used] of an expert in their order */
    float *weights; /* [n * n_used] */
} hg_choice;

/* Gives each row of scores [n][n_experts] to its n_used best experts, the first of equals. Weights
 * are the softmax over all experts, or over those chosen when `among_chosen`. */
const hg_choice *hg_op_choose(hg_graph *g, hg_tensor *scores, size_t n_used, bool among_chosen);
/* Zeros of the shape of x. */
hg_tensor *hg_op_zeros(hg_graph *g, const hg_tensor *x);
/* y[row] += weight * x[i] for the i-th row of an expert. */
void hg_op_add_weighted(hg_graph *g, hg_tensor *y, hg_tensor *x, const hg_choice *c, size_t expert);

#endif
