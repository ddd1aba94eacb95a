/* The coarse ops of a transformer, each with forward and backward, each tested against finite
 * differences. Activations are float32 [n][d], n rows of tokens. All return a new tensor in the
 * graph's arena, or NULL (see tensor.h). Once they have run, what the backward passes of linear,
 * attention, act and gate will read may be rounded (hg_graph_round): linear's x, attention's q, k,
 * v and result, the inputs of act and gate. */
#ifndef HG_TENSOR_OPS_H
#define HG_TENSOR_OPS_H

#include "tensor/kv.h"
#include "tensor/tensor.h"

/* Rows ids[i] of table [n_vocab][d] -> [n][d]. ids must be below n_vocab (checked: HG_E_ARG). Kept
 * by the caller until backward is done, as are all index arrays below. Serves learned positions
 * too. */
hg_tensor *hg_op_embed(hg_graph *g, hg_tensor *table, const int32_t *ids, size_t n);

hg_tensor *hg_op_add(hg_graph *g, hg_tensor *a, hg_tensor *b); /* same shapes */
hg_tensor *hg_op_scale(hg_graph *g, hg_tensor *x, float s);
hg_tensor *hg_op_rows(hg_graph *g, hg_tensor *x, const int32_t *rows, size_t n); /* gathers rows */

/* Normalise runs of w->dim[0] values (a row, or each head of a row for query/key norm). w, b: [d];
 * layer norm's b may be NULL. RMSNorm: Zhang and Sennrich 2019. LayerNorm: Ba et al. 2016. */
hg_tensor *hg_op_rms_norm(hg_graph *g, hg_tensor *x, hg_tensor *w, float eps);
hg_tensor *hg_op_layer_norm(hg_graph *g, hg_tensor *x, hg_tensor *w, hg_tensor *b, float eps);

/* x [n][n_in], w [n_out][n_in], b [n_out] or NULL -> [n][n_out] */
hg_tensor *hg_op_linear(hg_graph *g, hg_tensor *x, hg_tensor *w, hg_tensor *b);
/* y[i] = hg_op_linear(g, x, of[i].w, of[i].b), n of them; packed weights are multiplied in one go.
 * False, and nothing to be used in y, when the graph has failed. */
typedef struct hg_linear {
    hg_tensor *w, *b;
} hg_linear;
bool hg_op_linears(hg_graph *g, hg_tensor *x, const hg_linear *of, hg_tensor **y, size_t n);

/* Each value is 0 with probability p in [0, 1), the others are divided by 1 - p; which, follows
 * from the seed and the row's number, which is first_row for the first one. In the bf16 family x is
 * rounded first, unless it is already. */
hg_tensor *hg_op_dropout(hg_graph *g, hg_tensor *x, float p, uint64_t seed, uint64_t first_row);

/* Rotary positions (Su et al. 2021). Pairs (i, i + d_rot/2) as in Hugging Face's Llama weights
 * ("half"), or (2i, 2i+1) as in Meta's and GGUF's
 * ("interleaved"). Only the first d_rot of each head turn. */
typedef struct hg_rope {
    size_t d_head, d_rot;
    bool is_interleaved;
    const float *inv_freq; /* [d_rot / 2], radians a position; scaling is already in it */
    float scale;           /* of cos and sin (YaRN); 1 otherwise */
    /* Rows that are set in is_long [n] turn by long_freq instead. NULL: none is. */
    const float *long_freq;
    const bool *is_long;
} hg_rope;
hg_tensor *hg_op_rope(hg_graph *g, hg_tensor *x, const int32_t *pos, const hg_rope *r);
/* Makes the cosines and sines that hg_op_rope will find: for callers who rewind the arena between
 * ops and want them made once. */
bool hg_rope_prepare(hg_graph *g, const int32_t *pos, size_t n, const hg_rope *r);

/* A run of consecutive rows that belong to one timeline. Without a cache the keys are the span's
 * own rows (training: one span a document, so that packed documents never see each other). With a
 * cache the rows' keys and values are first stored at pos0 .. pos0 + n - 1 and attention reads 0 ..
 * pos0 + n - 1, from a ring what the window sees. */
typedef struct hg_span {
    size_t row, n;         /* rows [row, row + n) of q, k, v */
    size_t pos0;           /* position of the first in its timeline */
    const hg_kv_layer *kv; /* this layer's cache, or NULL */
} hg_span;
typedef struct hg_attention {
    size_t n_heads, n_kv_heads, d_head;
    float scale;    /* of q k; usually 1 / sqrt(d_head) */
    float soft_cap; /* 0: none; else s = cap tanh(s / cap) */
    size_t window;  /* 0: all; else position p sees p - window + 1 .. p */
    /* [n_heads] a score beside the keys' own that has no value: a head that finds nothing to look
     * at looks there (Xiao et al. 2023, gpt-oss). NULL: none. */
    const float *sinks;
    const hg_span *spans;
    size_t n_spans;
} hg_attention;
/* Causal attention, grouped queries (Vaswani 2017, Ainslie 2023), streaming softmax (Milakov 2018,
 * Dao 2022: no T x T buffer). q [n][n_heads * d_head], k, v [n][n_kv_heads * d_head]. Spans with a
 * cache, and sinks, cannot be recorded. */
hg_tensor *hg_op_attention(hg_graph *g, hg_tensor *q, hg_tensor *k, hg_tensor *v,
                           const hg_attention *a);

/* y = fn(ctx, x), of x's shape, whose insides are not kept: the backward pass runs fn again. ctx
 * lives until then; parameters that fn uses get their gradients as ever. */
typedef hg_tensor *hg_again_fn(hg_graph *g, const void *ctx, hg_tensor *x);
hg_tensor *hg_op_again(hg_graph *g, hg_again_fn *fn, const void *ctx, hg_tensor *x);

typedef enum hg_act {
    HG_ACT_SILU,
    HG_ACT_GELU_TANH,
    HG_ACT_GELU_ERF,
    HG_ACT_RELU2,
    /* gpt-oss; as a gate only, and not recorded: g sigmoid(1.702 g) (u + 1) with g of at most 7 and
     * u within +-7 */
    HG_ACT_SWIGLU_CLAMPED
} hg_act;
hg_tensor *hg_op_act(hg_graph *g, hg_tensor *x, hg_act act);
hg_tensor *hg_op_gate(hg_graph *g, hg_tensor *gate, hg_tensor *up, hg_act act); /* act(gate) * up */
hg_tensor *hg_op_soft_cap(hg_graph *g, hg_tensor *x, float cap);

/* Mean cross-entropy in nats of targets under softmax(x w^T) without ever storing all logits: rows
 * are worked off in chunks. targets[i] < 0: row i does not count. weights [n] or NULL (all 1): loss
 * = sum w_i l_i / sum w_i over counted rows. Gives a scalar; *n_counted (may be NULL) gets the
 * number of counted rows. With losses [n] not NULL, each row's own loss is put there (0 where not
 * counted). No counted row: loss 0, no gradient. soft_cap as above. */
hg_tensor *hg_op_linear_cross_entropy(hg_graph *g, hg_tensor *x, hg_tensor *w,
                                      const int32_t *targets, const float *weights, float soft_cap,
                                      float *losses, size_t *n_counted);
/* The same, summed: sum of w_i l_i over counted rows, with weights [n] of any sign or NULL (all 1).
 * Where a loss is a function of log-probabilities, w_i is its derivative by row i's surprise
 * (-log p), and the gradients are that loss's. */
hg_tensor *hg_op_linear_surprise(hg_graph *g, hg_tensor *x, hg_tensor *w, const int32_t *targets,
                                 const float *weights, float soft_cap, float *losses);

/* Mean over counted rows (weighted by `weights` where given) of (1 - share) cross-entropy + share
 * temperature^2 KL(p || q), with p the teacher's and q the student's softmax of logits over
 * temperature (Hinton et al. 2015), over the student's vocabulary; without ever storing all logits.
 * x, w: the student's states and head; teacher_x, teacher_w: the teacher's, whose head may be
 * packed only and may have rows behind the student's. A recorded pass makes its gradients at once:
 * loss_scale must be set. `o` and what it points at live until backward. */
typedef struct hg_distill {
    const int32_t *targets; /* [n]; below 0: the row does not count */
    const float *weights;   /* [n], 0 or more; NULL: 1 each */
    float temperature, share;
    float soft_cap, teacher_cap; /* 0: none */
    hg_compute teacher_compute;
    float *losses, *kls; /* [n] out: each row's cross-entropy and KL; 0 where not counted */
} hg_distill;
hg_tensor *hg_op_distill(hg_graph *g, hg_tensor *x, hg_tensor *w, const hg_tensor *teacher_x,
                         const hg_tensor *teacher_w, const hg_distill *o);
/* Bytes that it holds beside what hg_op_linear_cross_entropy does for the same rows: the teacher's
 * logits, and its states of the same rows. */
size_t hg_distill_room(size_t n_rows, size_t n_vocab, size_t teacher_d);

#endif
