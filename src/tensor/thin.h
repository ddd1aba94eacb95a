/* Products whose other matrix has a few columns, as those of a low-rank adapter: their arithmetic
 * is small, and what they cost is reading the wide matrix. They run over it as it lies, in float32.
 * The results do not depend on the number of threads. */
#ifndef HG_TENSOR_THIN_H
#define HG_TENSOR_THIN_H

#include "kernels/runtime.h"

/* Columns as the thin matrices have them: `rank` and up to a multiple of HG_THIN. */
static inline size_t hg_thin_width(size_t rank)
{
    return (rank + HG_THIN - 1) / HG_THIN * HG_THIN;
}

/* y[n][width] = x[n][k] b[k][width]. */
void hg_thin_rows(hg_runtime *rt, float *y, const float *x, const float *b, size_t n, size_t k,
                  size_t width);

/* to[m][rank] += x^T b, or to[rank][m] += b^T x when `across`: x is [n][m], float32 or bfloat16, b
 * is [n][width], of which `rank` columns count. */
typedef struct hg_thin_sum {
    float *to;
    bool across;
    const void *x;
    hg_type type;
    const float *b;
    size_t n, m, rank;
} hg_thin_sum;
void hg_thin_add(hg_runtime *rt, const hg_thin_sum *s);

#endif
