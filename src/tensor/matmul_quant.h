/* The part of matmul.h that is about weights in blocks. */
#ifndef HG_TENSOR_MATMUL_QUANT_H
#define HG_TENSOR_MATMUL_QUANT_H

#include "tensor/matmul.h"

/* hg_matmul_packed_all of them alone; m, n_in and all n_out are not 0. */
hg_status hg_quant_matmul(hg_runtime *rt, const hg_product *of, size_t n, const float *x, size_t m,
                          size_t n_in, hg_err *e);

#endif
