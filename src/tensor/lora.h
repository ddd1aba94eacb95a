/* Low-rank additions to weights (Hu et al. 2021, LoRA): y = x W^T + s (x A^T) B^T. W stays as it
 * is, so that one copy of a model serves many adapters, and each row of a batch its own. */
#ifndef HG_TENSOR_LORA_H
#define HG_TENSOR_LORA_H

#include "tensor/matmul.h"

/* What an adapter adds to one weight; both in the kernels' own layout, float32. */
typedef struct hg_lora_pair {
    const void *a, *b; /* packed [rank][n_in], [n_out][rank]; NULL: this weight is left as it is */
    size_t rank;
    float scale; /* alpha / rank, or as the adapter says */
} hg_lora_pair;

/* An adapter of a model whose parameters are w[0 .. n). */
typedef struct hg_lora {
    const hg_tensor *w;
    hg_lora_pair *pair; /* [n] */
    size_t n;
    uint64_t key; /* hash of its content: what was computed with it can be told by this */
} hg_lora;

typedef struct hg_lora_use {
    const hg_lora *lora;
    float scale;
} hg_lora_use;

/* Rows [row, row + n) of every product's input, and what is added to theirs. */
typedef struct hg_lora_rows {
    size_t row, n;
    const hg_lora_use *use;
    size_t n_use;
} hg_lora_rows;

typedef struct hg_lora_set {
    const hg_lora_rows *rows;
    size_t n;
} hg_lora_set;

/* Adds to y = x W^T what g->lora says for w. The rows of a range have the same bits whatever the
 * others are. A failed graph when there is no room or a range goes over the rows of x. */
void hg_lora_add(hg_graph *g, hg_tensor *y, const hg_tensor *x, const hg_tensor *w);

/* An adapter that is being trained, over the weights w[0 .. n) of its model. What it adds is part
 * of the step of hg_op_linear, forward and back; where the graph drops, what comes in passes a
 * dropout. */
typedef struct hg_lora_tuning {
    const hg_tensor *w;
    hg_tensor **a,
        **b; /* [n]: [rank][n_in] and [n_out][rank]; NULL: this weight is left as it is */
    size_t n;
    float scale;              /* alpha / rank */
    float dropout;            /* 0: none */
    uint64_t seed, first_row; /* of the dropout; the number in the run of this lot's first token */
} hg_lora_tuning;

/* What such an adapter keeps of one product for its backward pass. */
typedef struct hg_tuned {
    hg_tensor *in; /* x, or what a dropout left of it */
    hg_tensor *a, *b;
    float *thin; /* [n][hg_thin_width(rank)]: scale in A^T */
    float scale;
    hg_matrix low;
    hg_more more;
    float *d_in; /* gradient of `in` where that is not x */
    bool is_first;
} hg_tuned;
/* Of the product of x and w; NULL: w is not tuned, or the graph failed. */
hg_tuned *hg_lora_tuned(hg_graph *g, hg_tensor *x, const hg_tensor *w);
/* What is added to x W^T; in memory that may be taken back behind that product. NULL: nothing. */
const hg_more *hg_tuned_forward(hg_graph *g, hg_tuned *u);
/* Before hg_tuned_back, whose memory may be taken back: room for the gradient of `in`. NULL:
 * nothing. */
void hg_tuned_open(hg_graph *g, hg_tuned *u, const hg_tensor *x);
/* Adds to the gradients of A, B and the dropped-out x; what is added to dx = dy W, as above. dy is
 * [n][n_out]. */
const hg_more *hg_tuned_back(hg_graph *g, hg_tuned *u, const hg_tensor *x, const float *dy);

#endif
