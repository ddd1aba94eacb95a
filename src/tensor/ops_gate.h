/* The soft cap as attention's scores and the loss's logits use it. */
#ifndef HG_TENSOR_OPS_GATE_H
#define HG_TENSOR_OPS_GATE_H

#include "tensor/ops_impl.h"

/* y = cap tanh(x / cap); y may be x. Its derivative is 1 - (y / cap)^2. */
void hg_soft_cap(const hg_kernels *k, float *y, const float *x, float cap, size_t n);

#endif
