/* What the files of attention share: the op (ops_attention.c), the forward pass over tiles of keys
 * and values (attention_tiles.c) and the backward pass (attention_back.c). */
#ifndef HG_TENSOR_ATTENTION_H
#define HG_TENSOR_ATTENTION_H

#include "tensor/matmul.h"
#include "tensor/ops_gate.h"

#include <math.h>

enum {
    HG_ATT_Q = 64,  /* backward: query rows of a block */
    HG_ATT_K = 256, /* backward: keys of a block */
};

typedef struct hg_att {
    hg_runtime *rt;
    const hg_kernels *k;
    hg_compute compute;
    hg_attention a;
    size_t group;     /* query heads that share a key head */
    size_t d_q, d_kv; /* values of a row: n_heads * d_head, n_kv_heads * d_head */
    const float *q, *key, *value;
    float *y;
    float *lse;     /* [n][n_heads] log sum exp of each row's scores; NULL when not recorded */
    float *scratch; /* [n_threads][scratch_floats] */
    size_t scratch_floats;
    atomic_bool no_room; /* a product in a task found no memory */
} hg_att;

/* The first key that position `pos` sees; the last is pos itself. */
static inline size_t hg_att_first(const hg_att *c, size_t pos)
{
    return c->a.window > 0 && pos + 1 > c->a.window ? pos + 1 - c->a.window : 0;
}

static inline float *hg_att_scratch(const hg_att *c, int thread)
{
    return c->scratch + (size_t)thread * c->scratch_floats;
}

/* The forward pass of the spans [first, first + n), whose caches are layers[0..n) and hold their
 * rows already. */
void hg_att_forward(hg_graph *g, hg_att *c, size_t first, size_t n, const hg_kv_layer *layers);
/* The recorded step's backward; s->saved is an hg_att_saved. */
void hg_att_back(hg_graph *g, hg_step *s);

typedef struct hg_att_saved {
    hg_attention a; /* the spans are the caller's until backward is done */
    float *lse;
} hg_att_saved;

#endif
