/* What the ops share among themselves: checks of their inputs, the record, gradients, and how work
 * is cut. Not for callers of ops. */
#ifndef HG_TENSOR_OPS_IMPL_H
#define HG_TENSOR_OPS_IMPL_H

#include "tensor/ops.h"

/* "[3][4]"; returns out. */
enum { HG_SHAPE_TEXT = 96 };
const char *hg_shape_text(const hg_tensor *t, char out[HG_SHAPE_TEXT]);

/* False (and a failed graph, naming op and input) unless t is there, is float32 and has data. False
 * at once in a graph that has failed. */
bool hg_op_check(hg_graph *g, const char *op, const char *input, const hg_tensor *t);
/* The same for a weight, which may be of any float type, or of any at all when it is held packed.
 */
bool hg_op_check_weight(hg_graph *g, const char *op, const char *input, const hg_tensor *t);
/* As hg_op_check, and must be a vector [n]. */
bool hg_op_check_vector(hg_graph *g, const char *op, const char *input, const hg_tensor *t,
                        size_t n);
/* An activation of the shape of x. */
hg_tensor *hg_op_like(hg_graph *g, const hg_tensor *x);

/* True when a gradient with respect to t is to be computed. t may be NULL. */
bool hg_wants_grad(const hg_tensor *t);
/* True when the graph records and one of the inputs wants a gradient: the op must save what its
 * backward needs. */
bool hg_op_recorded(const hg_graph *g, const hg_tensor *a, const hg_tensor *b, const hg_tensor *c);
/* Adds a step (hg_op_recorded said so) and returns it, or NULL with a failed graph. Inputs may be
 * NULL. `saved` may be NULL. */
hg_step *hg_op_record(hg_graph *g, void (*back)(hg_graph *, hg_step *), hg_tensor *const in[3],
                      hg_tensor *out, void *saved);

/* The gradient of t to be written: NULL when none is wanted or there is no room (failed graph).
 * *is_first: it has no value yet, all of it must be stored; else it must be added to. */
float *hg_grad_open(hg_graph *g, hg_tensor *t, bool *is_first);
/* Adds the gradient of `out` to that of t as it is; costs nothing where t had none. */
void hg_grad_pass(hg_graph *g, hg_tensor *out, hg_tensor *t);
/* As hg_grad_open, but where t has no gradient and that of `out` is out's alone, t takes it over:
 * then the result equals out->grad, and *is_first is true. For element-wise ops. */
float *hg_grad_take(hg_graph *g, hg_tensor *out, hg_tensor *t, bool *is_first);

/* Runs g's record back from `out`, whose gradient is `grad`. */
void hg_graph_run_back(hg_graph *g, hg_tensor *out, float *grad);

/* Rows (or other items) of `bytes` bytes to a chunk, so that what a thread touches at a time stays
 * in its L2 cache. */
size_t hg_op_grain(size_t bytes);

/* Sums over rows are cut into this many parts whatever the number of threads is, so that the result
 * does not depend on it. */
enum { HG_SUM_PARTS = 16 };
/* dst[d] += the HG_SUM_PARTS rows of part [HG_SUM_PARTS][d], in order; = when `is_first`. */
void hg_op_add_parts(hg_graph *g, float *dst, const float *part, size_t d, bool is_first);
/* dst[d] += the sum of the n rows of x; = when `is_first`. */
void hg_op_add_column_sums(hg_graph *g, float *dst, const float *x, size_t n, size_t d,
                           bool is_first);

#endif
