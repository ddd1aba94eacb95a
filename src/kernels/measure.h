/* Measures of the machine, one by one, for who sets his own speed beside them. */
#ifndef HG_KERNELS_MEASURE_H
#define HG_KERNELS_MEASURE_H

#include "kernels/runtime.h"

/* GB/s that all threads read from memory together; takes about `seconds` and 256 MiB. */
hg_status hg_measure_read(hg_runtime *rt, double seconds, double *gbs, hg_err *e);
/* GFLOP/s (2 a multiply-add) of matrix products from the caches, in the arithmetic that weights of
 * type t are multiplied with. */
hg_status hg_measure_product(hg_runtime *rt, hg_type t, double seconds, double *gflops, hg_err *e);

/* Bytes that this process could still take, by the system and its control groups; UINT64_MAX when
 * nobody says. */
uint64_t hg_memory_free(void);

#endif
