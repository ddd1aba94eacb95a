/* What the tests of ops share: a runtime and arenas, tensors of random values, a scalar made of any
 * result, and the comparison of a backward pass with finite differences. */
#ifndef HG_TESTS_LAB_H
#define HG_TESTS_LAB_H

#include "tensor/ops_impl.h"

enum { LAB_MAX_INPUTS = 8 };

typedef struct lab {
    hg_runtime *rt;
    hg_arena keep, step; /* tensors of the test; activations of one pass */
    hg_graph g;
    uint64_t seed;
    hg_tensor *input[LAB_MAX_INPUTS]; /* those whose gradients are compared */
    size_t n_inputs;
} lab;

void lab_open(lab *l, int n_threads);
void lab_close(lab *l);
/* Uniform in [-1, 1), the same for the same seed. */
void lab_fill(lab *l, float *x, size_t n);
/* [rows][cols] (rows 0: a vector) of random values, wanting a gradient; is_param: with a grad of
 * its own, zero. */
hg_tensor *lab_tensor(lab *l, size_t rows, size_t cols, bool is_param);
/* The same, and its gradient will be compared by lab_compare. */
hg_tensor *lab_input(lab *l, size_t rows, size_t cols, bool is_param);
/* A new pass: the arena and the graph anew. */
void lab_begin(lab *l, hg_compute compute, bool record);

/* sum of c_i y_i, with c the same for the same size; *value (may be NULL) gets it in double. */
hg_tensor *lab_sum(hg_graph *g, hg_tensor *y, double *value);
/* What is differentiated. */
typedef hg_tensor *lab_build(lab *l, void *ctx);
/* Runs build with a record and backward with `scale`, then compares the gradient of every input
 * with fourth-order central differences of step h: |difference| <= bound (1 + |gradient|). */
void lab_compare(lab *l, lab_build *build, void *ctx, float h, double bound);

#endif
