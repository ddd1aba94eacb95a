/* What the files of attention share: the forward pass in blocks (ops_attention.c), the forward pass
 * of a few rows against a long cache (attention_rows.c) and the backward pass (attention_back.c).
 */
#ifndef HG_TENSOR_ATTENTION_H
#define HG_TENSOR_ATTENTION_H

#include "tensor/matmul.h"
#include "tensor/ops_gate.h"

#include <math.h>

enum {
    HG_ATT_Q = 64,    /* query rows of a block */
    HG_ATT_K = 256,   /* keys of a block */
    HG_ATT_FEW = 4,   /* spans of at most so many rows go row by row (decoding) */
    HG_ATT_PART = 512 /* keys that a task of attention_rows.c works off */
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

/* The keys and values that a span's rows look at, of one key head. */
typedef struct hg_att_keys {
    const void *k, *v;
    hg_type type;
    size_t stride; /* elements from one position to the next */
    size_t offset; /* position of the span's first row */
} hg_att_keys;
hg_att_keys hg_att_keys_of(const hg_att *c, const hg_span *s, size_t kv_head);

/* The first key that position `pos` sees; the last is pos itself. */
static inline size_t hg_att_first(const hg_att *c, size_t pos)
{
    return c->a.window > 0 && pos + 1 > c->a.window ? pos + 1 - c->a.window : 0;
}

/* What the head's sink adds to a sum of exponentials of scores less `max`. */
static inline float hg_att_sink(const hg_att *c, size_t head, float max)
{
    return c->a.sinks == NULL ? 0.0f : expf(c->a.sinks[head] - max);
}

static inline float *hg_att_scratch(const hg_att *c, int thread)
{
    return c->scratch + (size_t)thread * c->scratch_floats;
}

/* c (+)= a b in a task; notes a lack of memory. */
void hg_att_product(hg_att *c, int thread, float *to, size_t ldc, hg_matrix a, hg_matrix b,
                    size_t m, size_t n, size_t k, bool add);
/* to[m][d_head] = scale * rows of one head, row stride ld. */
void hg_att_scale_rows(const hg_att *c, float *to, const float *from, size_t ld, size_t m);

/* Spans of at most HG_ATT_FEW rows that have a cache or are not recorded. */
void hg_att_few_rows(hg_graph *g, hg_att *c);
/* The recorded step's backward; s->saved is an hg_att_saved. */
void hg_att_back(hg_graph *g, hg_step *s);

typedef struct hg_att_saved {
    hg_attention a; /* the spans are the caller's until backward is done */
    float *lse;
} hg_att_saved;

#endif
