/* Tensors, and the graph that ops run in.
 *
 * A tensor is a row-major array with a type; the last dimension is contiguous. Ops run at once.
 * With a tape attached to the graph each op also records how its gradient is computed, and
 * hg_graph_backward runs the record in reverse. Without a tape the same code is inference.
 *
 * Errors are sticky so that the model reads like the paper: an op that fails marks the graph and
 * returns NULL, every later op of a failed graph returns NULL at once, and the caller looks at
 * hg_graph_status once, at the end. */
#ifndef HG_TENSOR_H
#define HG_TENSOR_H

#include "base/mem.h"
#include "kernels/runtime.h"

enum { HG_MAX_DIMS = 4 };

/* A buffer of floats that is used again: of an activation's gradient, or of values that nobody
 * needs any more. Tensors whose gradients are equal (both inputs of an add) hold one together until
 * one of them is written. */
typedef struct hg_float_buf {
    float *p;
    size_t cap; /* floats */
    int n_holders;
    struct hg_float_buf *next; /* in the list of spare ones */
} hg_float_buf;

typedef struct hg_tensor {
    const char *name; /* of a parameter or a shown activation; NULL otherwise */
    hg_type type;
    int n_dims;
    size_t dim[HG_MAX_DIMS];
    void *data;   /* NULL for a weight that is held only packed */
    float *grad;  /* same shape, float32; NULL when no gradient is wanted (or not yet made) */
    void *packed; /* a weight matrix [n_out][n_in] in the kernels' own layout (see hg_pack_weight),
                     or NULL */
    hg_float_buf *grad_buf; /* what holds grad, when the graph made it */
    bool needs_grad; /* of an activation or an input; a parameter wants one iff grad is there */
    bool is_param;
} hg_tensor;

size_t hg_tensor_count(const hg_tensor *t); /* elements */
size_t
hg_tensor_rows(const hg_tensor *t); /* product of all dimensions but the last; 1 for a vector */
size_t hg_tensor_cols(const hg_tensor *t); /* the last dimension */

/* One recorded step. `back` adds to the gradients of its inputs from the gradient of its output. */
typedef struct hg_graph hg_graph;
typedef struct hg_step hg_step;
struct hg_step {
    void (*back)(hg_graph *g, hg_step *s);
    hg_step *before;
    hg_tensor *in[4], *out;
    void *saved; /* the op's own, in the graph's arena */
    int mark;    /* 1 + the stage that begins behind it, or 0 */
};

/* Shows (and may change in place) a named activation: "blk.3.attn_out" is layer 3's. */
typedef struct hg_hooks {
    void (*show)(void *ctx, const char *name, int layer, hg_tensor *t);
    /* What comes into each linear map, with its weight; NULL: nobody asks. */
    void (*input)(void *ctx, const hg_tensor *w, const hg_tensor *x);
    void *ctx;
} hg_hooks;

/* Told how far the passes of a model are. A stage is a part whose parameters nothing else reads in
 * a pass: -1 embeddings (a tied head with them), then each block, then what follows. */
typedef struct hg_stages {
    /* Before the forward pass reads the stage's parameters. *tell: whether `end` is wanted. */
    hg_status (*begin)(void *ctx, int stage, bool *tell, hg_err *e);
    /* In the backward pass, when it has added all it will to the gradients of the stage; stages
     * whose inputs want no gradient are left out. */
    void (*end)(void *ctx, int stage);
    void *ctx;
} hg_stages;

struct hg_graph {
    hg_runtime *rt;
    hg_arena *mem;      /* activations and records: reset it between steps, and the graph with it */
    hg_compute compute; /* family of the matrix products */
    bool record;        /* tape on */
    const hg_hooks *hooks;   /* NULL: none */
    const hg_stages *stages; /* NULL: nobody asks */
    /* What adapters add to weights (lora.h), or NULL; cannot be recorded. */
    const struct hg_lora_set *lora;
    /* An adapter that is being trained (lora.h), or NULL; and whether its dropout drops: in a
     * step's passes, those of blocks that are to be run again among them. */
    const struct hg_lora_tuning *tuning;
    bool drops;
    /* 0, or the scale that hg_graph_backward will be called with, promised before the forward pass
     * and for a loss that is not computed with further: the fused cross-entropy then adds its
     * gradients while the logits are at hand, which saves computing them twice. A forward pass
     * that failed or whose backward is never run has then already added to parameters' gradients.
     */
    float loss_scale;
    struct hg_panel_set *panels; /* of weights, that lots share (panels.h), or NULL */
    bool again; /* each block of a model is run again in the backward pass instead of being kept */
    hg_step *last;
    hg_float_buf *spare;        /* buffers that nobody holds */
    struct hg_rope_table *rope; /* cosines and sines by now (ops_rope.c); in the arena, so that who
                                   rewinds it goes back to those of before */
    hg_status status;
    hg_err err;
};

/* A graph over an arena that the caller owns and resets. */
void hg_graph_init(hg_graph *g, hg_runtime *rt, hg_arena *mem, hg_compute compute, bool record);
hg_status hg_graph_status(const hg_graph *g, hg_err *e);
hg_tensor *hg_graph_fail(hg_graph *g, hg_status status, const char *fmt, ...)
    HG_PRINTF(3, 4); /* NULL */
/* A new activation of float32, not zeroed. NULL (and a failed graph) when there is no room. */
hg_tensor *hg_graph_tensor(hg_graph *g, size_t rows, size_t cols);
/* Two ways to keep less for the backward pass; they do nothing in a graph that does not record, or
 * that has hooks. t is an op's result whose other readers have run.
 * drop: nobody will read t's values again; their place is used again.
 * round: products alone will read them (and the backward of the op that made or read t, where
 * ops.h says so): in the bf16 family they are kept in bf16. */
void hg_graph_drop(hg_graph *g, hg_tensor *t);
void hg_graph_round(hg_graph *g, hg_tensor *t);
void hg_graph_show(hg_graph *g, const char *name, int layer, hg_tensor *t);
/* A stage of the forward pass begins. */
void hg_graph_stage(hg_graph *g, int stage);
/* Runs the record from `loss` (a scalar) back to the parameters, adding `scale` times the gradient
 * to each grad of a parameter that wants one (grad != NULL). An input that is no op's result and
 * has needs_grad set keeps its gradient in the arena; gradients of ops' results end when they have
 * been used. The record is used up: a second call needs a new forward pass (HG_E_STATE). */
hg_status hg_graph_backward(hg_graph *g, hg_tensor *loss, float scale, hg_err *e);

#endif
