/* A model: what its architecture row and config.json say, its parameters, its tokenizer. */
#ifndef HG_MODEL_H
#define HG_MODEL_H

#include <higgins/model.h>
#include "tensor/ops.h"

/* ---- the architecture table (arch.c) ---- */
typedef enum hg_norm { HG_NORM_RMS, HG_NORM_LAYER } hg_norm;
typedef enum hg_positions { HG_POS_ROPE, HG_POS_LEARNED } hg_positions;

/* One row: the switches of the one transformer, and how the row calls itself in other people's
 * files. */
typedef struct hg_arch {
    const char *name;     /* "llama", "gpt2", ... : GGUF's general.architecture */
    const char *hf_type;  /* config.json's model_type */
    const char *hf_class; /* config.json's architectures[0] */
    hg_norm norm;
    hg_positions positions;
    hg_act act;
    bool is_gated; /* gate and up, or one matrix up */
    bool qkv_bias, out_bias, mlp_bias;
    bool qk_norm;
    bool tied_by_default;
    const struct hg_name_map *names; /* tensor names in safetensors and GGUF */
} hg_arch;
const hg_arch *hg_arch_find(const char *name_or_hf_type); /* NULL when unknown */

/* ---- parameters ---- */
typedef struct hg_layer {
    hg_tensor *attn_norm, *attn_norm_b;
    hg_tensor *q, *k, *v, *o, *q_b, *k_b, *v_b, *o_b;
    hg_tensor *q_norm, *k_norm;
    hg_tensor *mlp_norm, *mlp_norm_b;
    hg_tensor *gate, *up, *down, *up_b, *down_b;
} hg_layer; /* NULL where the row has none */

struct hg_model {
    hg_model_config c;
    const hg_arch *arch;
    hg_tensor *embed, *pos_embed; /* [n_vocab][d_model], [n_ctx][d_model] or NULL */
    hg_layer *layer;              /* [n_layers] */
    hg_tensor *final_norm, *final_norm_b;
    hg_tensor *head;   /* == embed when tied */
    hg_tensor **param; /* all of them, each once, in file order */
    size_t n_params;
    float *inv_freq;                /* [d_head / 2] */
    struct hg_tokenizer *tokenizer; /* owned; NULL for a model without one */
    char *chat_template;            /* as the files carry it, or NULL */
    hg_arena mem;
    /* what the weights are mapped from */
    void *files;
};

/* ---- the one transformer (transformer.c) ---- */
typedef struct hg_batch {
    size_t n;                 /* rows */
    const int32_t *ids, *pos; /* [n] */
    const hg_span *spans;     /* [n_spans]; .kv is ignored, see kv */
    size_t n_spans;
    /* Per layer and span: kv[layer * n_spans + span], or NULL when no span has a cache. */
    const hg_kv_layer *kv;
    const int32_t *out_rows; /* rows whose final state is wanted, or NULL: all */
    size_t n_out;
} hg_batch;

/* Embedding, blocks, final norm: [n_out][d_model]. Everything that runs a model calls this and
 * nothing else. */
hg_tensor *hg_model_forward(hg_graph *g, const hg_model *m, const hg_batch *b);
/* Final states to logits [n][n_vocab]. */
hg_tensor *hg_model_logits(hg_graph *g, const hg_model *m, hg_tensor *x);

/* For training: float32 parameters with gradients (allocated, zero) and random first values: normal
 * with std 0.02, output projections scaled by 1/sqrt(2 n_layers); norms are 1, biases 0. */
hg_status hg_model_new(hg_model **out, const hg_model_config *c, uint64_t seed, hg_err *e);
/* Loads the folder with float32 parameters that can be trained. */
hg_status hg_model_open_trainable(hg_model **out, const char *path, hg_err *e);
/* Hands the tokenizer over to the model. */
void hg_model_set_tokenizer(hg_model *m, struct hg_tokenizer *t);

#endif
