/* A model: what its architecture row and config.json say, its parameters, its tokenizer. */
#ifndef HG_MODEL_H
#define HG_MODEL_H

#include <higgins/model.h>
#include "tensor/ops.h"

/* ---- the architecture table (arch.c) ---- */
typedef enum hg_norm { HG_NORM_RMS, HG_NORM_LAYER } hg_norm;
/* Whether a block norms what goes into attention and mlp, what comes out of them, or both. */
typedef enum hg_norm_place { HG_NORM_BEFORE, HG_NORM_AFTER, HG_NORM_AROUND } hg_norm_place;
/* Queries and keys: as they are, each head normed, or all heads of a row as one. */
typedef enum hg_qk_norm { HG_QK_PLAIN, HG_QK_HEADS, HG_QK_ROWS } hg_qk_norm;
typedef enum hg_positions { HG_POS_ROPE, HG_POS_LEARNED } hg_positions;

/* Every parameter that the transformer can have: HG_P_ATTN_NORM to HG_P_EXPERT_DOWN_B once a layer,
 * HG_P_EXPERT_GATE to HG_P_EXPERT_DOWN_B once an expert of a layer. */
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
    HG_P_SINKS,
    HG_P_O,
    HG_P_O_B,
    HG_P_ATTN_POST_NORM,
    HG_P_MLP_NORM,
    HG_P_MLP_NORM_B,
    HG_P_GATE,
    HG_P_GATE_B,
    HG_P_UP,
    HG_P_UP_B,
    HG_P_DOWN,
    HG_P_DOWN_B,
    HG_P_MLP_POST_NORM,
    HG_P_ROUTER,
    HG_P_ROUTER_B,
    HG_P_EXPERT_GATE,
    HG_P_EXPERT_GATE_B,
    HG_P_EXPERT_UP,
    HG_P_EXPERT_UP_B,
    HG_P_EXPERT_DOWN,
    HG_P_EXPERT_DOWN_B,
    HG_P_FINAL_NORM,
    HG_P_FINAL_NORM_B,
    HG_P_HEAD,
    HG_N_ROLES
} hg_role;

/* How safetensors lay a parameter out: [n_out][n_in]; [n_in][n_out] (GPT-2's Conv1D); each head's
 * rows of one parameter and then of the next that shares the tensor (GPT-NeoX); a row of one and
 * then of the next (gpt-oss). GGUF has all plain, those that share a tensor behind each other. */
typedef enum hg_layout {
    HG_LAYOUT_PLAIN,
    HG_LAYOUT_TRANSPOSED,
    HG_LAYOUT_BY_HEAD,
    HG_LAYOUT_BY_ROW,
    HG_LAYOUT_BY_ROW_TRANSPOSED
} hg_layout;

/* How a parameter is called in safetensors and in GGUF; '#' stands for the layer, '@' for the
 * expert. Neighbours with the same name share a stored tensor (gpt2's c_attn holds q, k and v), and
 * so do the experts where the name has no '@'. */
typedef struct hg_name {
    hg_role role;
    const char *hf, *gguf;
    hg_layout hf_layout;
} hg_name;
/* The lists of names.c; each ends with a NULL hf. */
extern const hg_name hg_names_llama[], hg_names_gemma[], hg_names_phi3[], hg_names_gpt2[],
    hg_names_neox[], hg_names_mixtral[], hg_names_qwen3moe[], hg_names_gptoss[];

/* What config.json calls its members; NULL where the architecture has none. */
typedef struct hg_config_keys {
    const char *n_layers, *d_model, *n_heads, *n_kv_heads, *d_head, *d_ff, *n_ctx, *norm_eps, *act;
    const char *rope_theta, *rope_theta_local, *rotary_share;    /* the last: of a head's values */
    const char *window, *attn_scalar, *attn_soft_cap, *soft_cap; /* scores / sqrt(attn_scalar) */
    const char *n_experts, *norm_experts, *parallel;
    uint32_t usual_d_ff; /* in widths, where the file leaves d_ff out; 0: it must not */
    float usual_rotary_share;
    const hg_model_config *usual; /* what a file that leaves a member out means, or NULL */
} hg_config_keys;

/* One row: the switches of the one transformer, and how the row calls itself in other people's
 * files. */
typedef struct hg_arch {
    const char *name;     /* "llama", "gpt2", ... : hg_model_config.arch */
    const char *hf_type;  /* config.json's model_type */
    const char *hf_class; /* config.json's architectures[0] */
    const char *gguf;     /* GGUF's general.architecture; several rows may share one */
    hg_norm norm;
    hg_norm_place norm_place;
    bool norm_from_one; /* safetensors hold the weights of norms less 1 */
    bool is_parallel;   /* attention and mlp read the same input */
    hg_positions positions;
    hg_act act;
    bool is_gated; /* gate and up, or one matrix up */
    bool qkv_bias, out_bias, mlp_bias, router_bias;
    hg_qk_norm qk_norm;
    bool has_sinks, has_experts;
    bool scales_embed; /* embeddings times sqrt(d_model) */
    bool tied_by_default;
    uint8_t global_every;  /* layers n, 2n, ... (from 1) of a model with a window have none */
    uint8_t no_rope_every; /* and such layers are not told positions */
    bool gguf_interleaved; /* GGUF files hold the rows of q and k for interleaved rotary pairs */
    const hg_name *names;  /* in file order; ends with a NULL hf */
    const hg_config_keys *keys;
} hg_arch;
const hg_arch *hg_arch_find(const char *name_or_hf_type); /* NULL when unknown */
const hg_arch *hg_arch_at(size_t i);                      /* row i; NULL behind the last */
/* The first row of that name with, or without, experts. */
const hg_arch *hg_arch_find_gguf(const char *gguf, size_t n, bool has_experts);
/* HG_E_UNSUPPORTED with the names that are known. */
hg_status hg_arch_unknown(const char *name, size_t n, hg_err *e);

static inline bool hg_layers_have(const hg_layer_set *s, size_t layer)
{
    return (s->bits[layer / 64] >> layer % 64 & 1) != 0;
}
static inline void hg_layers_put(hg_layer_set *s, size_t layer, bool is_in)
{
    uint64_t bit = (uint64_t)1 << layer % 64;
    s->bits[layer / 64] = is_in ? s->bits[layer / 64] | bit : s->bits[layer / 64] & ~bit;
}
static inline bool hg_layers_are_none(const hg_layer_set *s)
{
    uint64_t all = 0;
    for (size_t i = 0; i < HG_MAX_LAYERS / 64; i++) all |= s->bits[i];
    return all == 0;
}
/* Every n-th layer (n, 2n, ... counted from 1); none when n is 0. */
void hg_layers_every(hg_layer_set *s, size_t n, size_t n_layers);

/* ---- parameters ---- */
/* act(gate) * up, then down; or down of act(up). NULL where the row has none. */
typedef struct hg_mlp {
    hg_tensor *gate, *gate_b, *up, *up_b, *down, *down_b;
} hg_mlp;

typedef struct hg_layer {
    hg_tensor *attn_norm, *attn_norm_b;
    hg_tensor *q, *k, *v, *o, *q_b, *k_b, *v_b, *o_b;
    hg_tensor *q_norm, *k_norm, *sinks;
    hg_tensor *attn_post_norm;
    hg_tensor *mlp_norm, *mlp_norm_b;
    hg_mlp mlp;
    hg_tensor *router, *router_b;
    hg_mlp *expert; /* [n_experts] */
    hg_tensor *mlp_post_norm;
    uint32_t window; /* 0: all */
    int rope;        /* which of the model's; -1: not turned */
} hg_layer;          /* NULL where the row has none */

/* The model's rotary frequencies: of most layers, and of those with a window. */
enum { HG_ROPE_GLOBAL, HG_ROPE_LOCAL, HG_N_ROPES };

struct hg_model {
    hg_model_config c;
    const hg_arch *arch; /* the row of this model: the table's, with what config.json switches */
    hg_tensor *embed, *pos_embed; /* [n_vocab][d_model], [n_ctx][d_model] or NULL */
    hg_layer *layer;              /* [n_layers] */
    hg_tensor *final_norm, *final_norm_b;
    hg_tensor *head;   /* == embed when tied */
    hg_tensor **param; /* all of them, each once, in file order */
    size_t n_params;
    hg_rope rope[HG_N_ROPES];
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
    struct hg_adapter_tuning
        *tuning; /* an adapter that is trained in place of the weights, or NULL */
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
    /* [n_spans] of a model with HG_ROPE_LONG: whether the span's timeline may grow beyond
     * original_n_ctx. NULL: where the span itself is longer. */
    const bool *is_long;
} hg_batch;

/* Embedding, blocks, final norm: [n_out][d_model]. Everything that runs a model calls this and
 * nothing else. Without a tape the memory of a block is given back when the block is done.
 * Shown to hooks, in this order: "embed"; for each layer "blk.attn_norm", "blk.q", "blk.k"
 * (turned), "blk.v", "blk.heads" (what attention mixed), "blk.attn_out", "blk.attn_resid",
 * "blk.mlp_norm", "blk.mlp_up" (and "blk.mlp_gate"), "blk.mlp_hidden", "blk.mlp_out", "blk.out";
 * "final_norm"; "logits". Norms that a row does not have are not shown, and the insides of experts
 * are not: "blk.router" (logits) and "blk.mlp_out" are. */
hg_tensor *hg_model_forward(hg_graph *g, const hg_model *m, const hg_batch *b);
/* Final states to logits [n][n_vocab]. */
hg_tensor *hg_model_logits(hg_graph *g, const hg_model *m, hg_tensor *x);

/* For training: float32 parameters with gradients (allocated, zero) and random first values: normal
 * with std 0.02, output projections scaled by 1/sqrt(2 n_layers); norms are 1, biases 0. Members of
 * `c` that are 0 get the usual value (n_kv_heads: n_heads; d_head: d_model / n_heads; norm_eps
 * 1e-5; rope_theta 10000; soft caps, windows and the layers without them as the family has them).
 * HG_E_ARG, HG_E_LIMIT, HG_E_UNSUPPORTED, HG_E_NOMEM. */
hg_status hg_model_new(hg_model **out, const hg_model_config *c, uint64_t seed, hg_err *e);
/* How many parameters such a model has, tied ones once; the second of a checked configuration. */
hg_status hg_model_config_count(const hg_model_config *c, uint64_t *n_params, hg_err *e);
uint64_t hg_arch_count(const hg_arch *a, const hg_model_config *c);
/* Loads the folder or GGUF with float32 parameters that can be trained. */
hg_status hg_model_open_trainable(hg_model **out, const char *path, hg_err *e);
/* The same without gradients: for what stays as it is while an adapter is trained. `as_stored`: in
 * the files' own types, quantised ones too, which products take (tensor/panels.h) and nothing may
 * write to; else in float32, to be merged with. */
hg_status hg_model_open_frozen(hg_model **out, const char *path, bool as_stored, hg_err *e);
/* Opens without a runtime: weights stay in the files and cannot be computed with. For export. */
hg_status hg_model_open_stored(hg_model **out, const char *path, hg_err *e);
/* Values [begin, end) of a parameter, or its row `r`, as float32, from memory or from the files. */
void hg_model_values(const hg_model *m, const hg_tensor *param, size_t begin, size_t end,
                     float *out);
void hg_model_row(const hg_model *m, const hg_tensor *param, size_t r, float *out);
/* Hands the tokenizer over to the model. */
void hg_model_set_tokenizer(hg_model *m, struct hg_tokenizer *t);
/* Copies the template (NULL: none), which hg_model_save then writes. */
hg_status hg_model_set_chat_template(hg_model *m, const char *text, hg_err *e);
/* To be known by what follows training: -1 leaves an id out. */
void hg_model_set_ids(hg_model *m, int32_t bos, int32_t eos, int32_t pad);

#endif
