/* A model: what its architecture row and config.json say, its parameters, its tokenizer. */
#ifndef HG_MODEL_H
#define HG_MODEL_H

#include <higgins/model.h>
#include "tensor/ops.h"

/* ---- the architecture table (arch.c) ---- */
typedef enum hg_norm { HG_NORM_RMS, HG_NORM_LAYER } hg_norm;
typedef enum hg_positions { HG_POS_ROPE, HG_POS_LEARNED } hg_positions;

/* Every parameter that the transformer can have; HG_P_ATTN_NORM to HG_P_DOWN_B once a layer. */
typedef enum hg_role {
    HG_P_EMBED,
    HG_P_POS,
    HG_P_ATTN_NORM,
    HG_P_ATTN_NORM_B,
    HG_P_Q,
    HG_P_K,
    HG_P_V,
    HG_P_Q_B,
    HG_P_K_B,
    HG_P_V_B,
    HG_P_Q_NORM,
    HG_P_K_NORM,
    HG_P_O,
    HG_P_O_B,
    HG_P_MLP_NORM,
    HG_P_MLP_NORM_B,
    HG_P_GATE,
    HG_P_UP,
    HG_P_UP_B,
    HG_P_DOWN,
    HG_P_DOWN_B,
    HG_P_FINAL_NORM,
    HG_P_FINAL_NORM_B,
    HG_P_HEAD,
    HG_N_ROLES
} hg_role;

/* How a parameter is called in safetensors and in GGUF; '#' stands for the layer. Neighbours with
 * the same name lie behind each other in one stored tensor (gpt2's c_attn holds q, k and v). */
typedef struct hg_name {
    hg_role role;
    const char *hf, *gguf;
    bool hf_transposed; /* [n_in][n_out] in safetensors: GPT-2's Conv1D */
} hg_name;

/* What config.json calls its members; NULL where the architecture has none. */
typedef struct hg_config_keys {
    const char *n_layers, *d_model, *n_heads, *n_kv_heads, *d_head, *d_ff, *n_ctx, *norm_eps, *act;
    uint32_t usual_d_ff; /* in widths, where the file leaves d_ff out; 0: it must not */
} hg_config_keys;

/* One row: the switches of the one transformer, and how the row calls itself in other people's
 * files. */
typedef struct hg_arch {
    const char *name;     /* "llama", "gpt2", ... : hg_model_config.arch */
    const char *hf_type;  /* config.json's model_type */
    const char *hf_class; /* config.json's architectures[0] */
    const char *gguf;     /* GGUF's general.architecture; several rows may share one */
    hg_norm norm;
    hg_positions positions;
    hg_act act;
    bool is_gated; /* gate and up, or one matrix up */
    bool qkv_bias, out_bias, mlp_bias;
    bool qk_norm;
    bool tied_by_default;
    bool gguf_interleaved; /* GGUF files hold the rows of q and k for interleaved rotary pairs */
    const hg_name *names;  /* in file order; ends with a NULL hf */
    const hg_config_keys *keys;
} hg_arch;
const hg_arch *hg_arch_find(const char *name_or_hf_type);     /* NULL when unknown */
const hg_arch *hg_arch_find_gguf(const char *gguf, size_t n); /* the first row of that name */
/* HG_E_UNSUPPORTED with the names that are known. */
hg_status hg_arch_unknown(const char *name, size_t n, hg_err *e);

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
    const hg_arch *arch; /* the row of this model: the table's, with what config.json switches */
    hg_tensor *embed, *pos_embed; /* [n_vocab][d_model], [n_ctx][d_model] or NULL */
    hg_layer *layer;              /* [n_layers] */
    hg_tensor *final_norm, *final_norm_b;
    hg_tensor *head;   /* == embed when tied */
    hg_tensor **param; /* all of them, each once, in file order */
    size_t n_params;
    hg_rope rope;
    float *rope_freq;               /* [d_head / 2] radians a position; scaling is in it */
    float *rope_factors;            /* [d_head / 2] what a GGUF divides frequencies by, or NULL */
    hg_compute compute;             /* family that the matrices are packed for: the graph's */
    struct hg_tokenizer *tokenizer; /* owned; NULL for a model without one */
    char *chat_template;            /* as the files carry it, or NULL */
    hg_arena mem;
    hg_arena
        packed; /* the matrices in the kernels' layout: one block, so that 2 MiB pages are full */
    hg_tensor *tensors;     /* [n_params]: what param[] points at */
    hg_kernels k;           /* for conversions, where there is no runtime */
    uint64_t n_bytes;       /* of weights in memory */
    struct hg_files *files; /* the mapped files that the weights are as stored in, or NULL */
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
 * nothing else. Without a tape the memory of a block is given back when the block is done.
 * Shown to hooks, in this order: "embed"; for each layer "blk.attn_norm", "blk.q", "blk.k"
 * (turned), "blk.v", "blk.heads" (what attention mixed), "blk.attn_out", "blk.attn_resid",
 * "blk.mlp_norm", "blk.mlp_up" (and "blk.mlp_gate"), "blk.mlp_hidden", "blk.mlp_out", "blk.out";
 * "final_norm"; "logits". */
hg_tensor *hg_model_forward(hg_graph *g, const hg_model *m, const hg_batch *b);
/* Final states to logits [n][n_vocab]. */
hg_tensor *hg_model_logits(hg_graph *g, const hg_model *m, hg_tensor *x);

/* For training: float32 parameters with gradients (allocated, zero) and random first values: normal
 * with std 0.02, output projections scaled by 1/sqrt(2 n_layers); norms are 1, biases 0. Members of
 * `c` that are 0 get the usual value (n_kv_heads: n_heads; d_head: d_model / n_heads; norm_eps
 * 1e-5; rope_theta 10000). HG_E_ARG, HG_E_LIMIT, HG_E_UNSUPPORTED, HG_E_NOMEM. */
hg_status hg_model_new(hg_model **out, const hg_model_config *c, uint64_t seed, hg_err *e);
/* How many parameters such a model has, tied ones once. */
hg_status hg_model_config_count(const hg_model_config *c, uint64_t *n_params, hg_err *e);
/* Loads the folder or GGUF with float32 parameters that can be trained. */
hg_status hg_model_open_trainable(hg_model **out, const char *path, hg_err *e);
/* Opens without a runtime: weights stay in the files and cannot be computed with. For export. */
hg_status hg_model_open_stored(hg_model **out, const char *path, hg_err *e);
/* Row `r` of a parameter as float32, from memory or from the files. */
void hg_model_row(const hg_model *m, const hg_tensor *param, size_t r, float *out);
/* Hands the tokenizer over to the model. */
void hg_model_set_tokenizer(hg_model *m, struct hg_tokenizer *t);
/* Copies the template (NULL: none), which hg_model_save then writes. */
hg_status hg_model_set_chat_template(hg_model *m, const char *text, hg_err *e);
/* To be known by what follows training: -1 leaves an id out. */
void hg_model_set_ids(hg_model *m, int32_t bos, int32_t eos, int32_t pad);

#endif
