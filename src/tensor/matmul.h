/* Matrix products over the thread pool, and weights in the kernels' own layout. */
#ifndef HG_TENSOR_MATMUL_H
#define HG_TENSOR_MATMUL_H

#include "tensor/tensor.h"

/* c[m][n] (row stride ldc) = A B, or += when `add`. A is m x k, B is k x n, as described by their
 * hg_matrix; float32, float16 or bfloat16. The result does not depend on the number of threads, and
 * a row of it not on m. */
hg_status hg_matmul(hg_runtime *rt, hg_compute compute, float *c, size_t ldc, const hg_matrix *a,
                    const hg_matrix *b, size_t m, size_t n, size_t k, bool add, hg_err *e);
/* The same inside a pool task: this thread only, thread t's scratch. */
hg_status hg_matmul_here(hg_runtime *rt, int t, hg_compute compute, float *c, size_t ldc,
                         const hg_matrix *a, const hg_matrix *b, size_t m, size_t n, size_t k,
                         bool add);

/* Bytes of B [k][n] packed; packing it beforehand, for several products; and those, with the same
 * bits. `dst` is 64-byte aligned. */
size_t hg_matmul_b_size(const hg_runtime *rt, hg_compute compute, size_t n, size_t k);
/* The bytes that hg_matmul holds for it: of a large B no more than a slice is packed at a time. */
size_t hg_matmul_b_room(const hg_runtime *rt, hg_compute compute, size_t n, size_t k);
void hg_matmul_pack_b(hg_runtime *rt, hg_compute compute, void *dst, const hg_matrix *b, size_t n,
                      size_t k);
hg_status hg_matmul_by(hg_runtime *rt, hg_compute compute, float *c, size_t ldc, const hg_matrix *a,
                       const void *packed_b, size_t m, size_t n, size_t k, bool add, hg_err *e);
/* The product with B, packed (`b` is not looked at then) or not, and another of the same m and n
 * that is added to it while it is in the cache: with the bits of one after the other. */
typedef struct hg_more {
    const hg_matrix *a;   /* m x k */
    const void *packed_b; /* k x n */
    size_t k;
} hg_more;
hg_status hg_matmul_and(hg_runtime *rt, hg_compute compute, float *c, size_t ldc,
                        const hg_matrix *a, const hg_matrix *b, const void *packed_b,
                        const hg_more *more, size_t m, size_t n, size_t k, bool add, hg_err *e);

/* A weight [n_out][n_in] in the kernels' own layout. How it lies and how it is multiplied follows
 * from its type alone: f32 and f16 in their own bytes with sums of float32 products, bf16 with
 * activations rounded to bf16, types that come in blocks with activations quantised
 * (kernels/qgemm.h); n_in is a multiple of their block. Experts of one tensor are packed behind
 * each other, each hg_packed_size bytes.
 *
 * Packs `w`, which has the packed type or, if that is a plain one, any plain type. `dst` is 64-byte
 * aligned. */
size_t hg_packed_size(const hg_runtime *rt, hg_type type, size_t n_out, size_t n_in);
void hg_pack_weight(hg_runtime *rt, hg_type type, void *dst, const hg_matrix *w, size_t n_out,
                    size_t n_in);
/* The same of a weight that does not lie as the model wants it: `rows` puts its rows [row, row + n)
 * at `to`, in the packed type and behind each other. Several threads call it at once. HG_E_NOMEM.
 */
typedef void hg_rows_fn(const void *ctx, size_t row, size_t n, void *to);
hg_status hg_pack_rows(hg_runtime *rt, hg_type type, void *dst, hg_rows_fn *rows, const void *ctx,
                       size_t n_out, size_t n_in, hg_err *e);
/* What multiplies a packed weight of a plain type. */
const hg_gemm_kernel *hg_weight_kernel(const hg_runtime *rt, hg_type type);
/* y[m][n_out] = x[m][n_in] W^T: the product of prefill and of decoding (m = 1 reads W once, at the
 * speed of memory). A row's bits do not depend on m. */
hg_status hg_matmul_packed(hg_runtime *rt, hg_type type, float *y, const float *x,
                           const void *packed, size_t m, size_t n_out, size_t n_in, hg_err *e);

/* Several weights that meet the same rows: y[m][n_out] = x[m][n_in] W^T each, with the bits of
 * hg_matmul_packed. Activations are packed once for all weights that take them alike, and threads
 * share the panels of all. n is at most HG_MAX_PRODUCTS. */
enum { HG_MAX_PRODUCTS = 4 };
typedef struct hg_product {
    hg_type type;
    const void *packed;
    float *y; /* [m][n_out] */
    size_t n_out;
} hg_product;
hg_status hg_matmul_packed_all(hg_runtime *rt, const hg_product *of, size_t n, const float *x,
                               size_t m, size_t n_in, hg_err *e);

#endif
