/* The part of matmul.h that is about weights in blocks. */
#ifndef HG_TENSOR_MATMUL_QUANT_H
#define HG_TENSOR_MATMUL_QUANT_H

#include "tensor/tensor.h"

size_t hg_quant_packed_size(hg_type type, size_t n_out, size_t n_in);
void hg_quant_pack(hg_runtime *rt, void *dst, const hg_matrix *w, size_t n_out, size_t n_in);
/* m, n_out and n_in are not 0. */
hg_status hg_quant_matmul(hg_runtime *rt, hg_type type, float *y, const float *x,
                          const void *packed, size_t m, size_t n_out, size_t n_in, hg_err *e);

#endif
