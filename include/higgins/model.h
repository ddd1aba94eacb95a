/* Models as files: Hugging Face folders (config.json, model.safetensors, tokenizer.json) and GGUF
 * v3. A model never changes once opened and may be shared by threads. */
#ifndef HIGGINS_MODEL_H
#define HIGGINS_MODEL_H

#include <higgins/machine.h>
#include <higgins/tokenizer.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Limits on what a file may claim; over them HG_E_LIMIT. */
enum {
    HG_MAX_LAYERS = 512,
    HG_MAX_D_MODEL = 65536,
    HG_MAX_HEADS = 1024,
    HG_MAX_VOCAB = 1 << 20,
    HG_MAX_CTX = 1 << 22,
    HG_MAX_EXPERTS = 512,
    HG_MAX_ROPE_PAIRS = 256 /* that a file may give factors of their own */
};

typedef struct hg_model hg_model;

/* How rotary frequencies are stretched for contexts longer than the first training's. */
typedef enum hg_rope_kind {
    HG_ROPE_PLAIN,
    HG_ROPE_LINEAR,  /* all by `factor` */
    HG_ROPE_LLAMA3,  /* long waves by `factor`, short ones not, those between smoothly */
    HG_ROPE_FACTORS, /* each by its own of `short_factor`: a GGUF's rope_freqs */
    HG_ROPE_YARN,    /* as llama3 with another blend, and larger scores (Peng et al. 2023) */
    HG_ROPE_LONG     /* each by its own: `short_factor` in a timeline that cannot grow beyond
                        original_n_ctx, else `long_factor` (Ding et al. 2024, Phi-3) */
} hg_rope_kind;

typedef struct hg_rope_scaling {
    hg_rope_kind kind;
    float factor, low_freq_factor, high_freq_factor;
    uint32_t original_n_ctx;
    float beta_fast, beta_slow; /* yarn: turns within original_n_ctx between which it blends */
    bool blends_exactly;        /* yarn: the ends of the blend are not rounded to whole pairs */
    float attention_factor;     /* yarn, long: of queries and keys each; 0: what follows from
                                   the contexts' lengths */
    float short_factor[HG_MAX_ROPE_PAIRS], long_factor[HG_MAX_ROPE_PAIRS];
} hg_rope_scaling;

/* Some of a model's layers. */
typedef struct hg_layer_set {
    uint64_t bits[HG_MAX_LAYERS / 64];
} hg_layer_set;

/* A member that is 0 has the usual meaning. */
typedef struct hg_model_config {
    char arch[32]; /* a row of the architecture table: "llama", "gemma3", "gpt-oss" ... */
    uint32_t n_layers, d_model, n_heads, n_kv_heads, d_head, n_vocab, n_ctx;
    uint32_t d_ff;                      /* of each expert, where there are experts */
    uint32_t n_experts, n_experts_used; /* in a layer, and by a token */
    bool raw_expert_weights; /* the chosen experts' shares do not sum to 1: those of the others are
                                lost */
    float norm_eps, rope_theta;
    float rope_theta_local; /* of layers with a window, which are then not scaled; 0: as others */
    uint32_t d_rot;         /* values of a head that turn; 0: all */
    hg_rope_scaling rope_scaling;
    float attn_scale;              /* of scores; 0: 1 / sqrt(d_head) */
    float attn_soft_cap, soft_cap; /* of scores, of logits; 0: none */
    uint32_t window;               /* positions a token attends to; 0: all */
    hg_layer_set no_window;        /* layers that attend to all even so */
    hg_layer_set no_rope;          /* layers that are not told positions */
    bool tie_embeddings;
    int32_t bos_id, eos_id, pad_id; /* -1: none */
    int32_t end_id[HG_MAX_ENDS];    /* [n_ends] what else the files say ends an answer */
    uint32_t n_ends;
} hg_model_config;

typedef enum hg_weights {
    HG_WEIGHTS_AS_STORED,
    HG_WEIGHTS_F32,
    HG_WEIGHTS_F16,
    HG_WEIGHTS_BF16
} hg_weights;

/* Opens a folder or a .gguf file for inference; matrices are put once into the kernels' own layout.
 * `rt` must be the runtime it will run on. HG_E_MISSING, HG_E_IO, HG_E_FORMAT, HG_E_LIMIT,
 * HG_E_UNSUPPORTED (an architecture or type that Higgins does not know). */
HG_API hg_status hg_model_open(hg_model **out, const char *path, hg_weights as, hg_runtime *rt,
                               hg_err *e);
HG_API void hg_model_free(hg_model *m);
HG_API const hg_model_config *hg_model_get_config(const hg_model *m);
HG_API const hg_tokenizer *
hg_model_tokenizer(const hg_model *m);                        /* NULL when the files carry none */
HG_API const char *hg_model_chat_template(const hg_model *m); /* NULL when there is none */
/* All tokens that end an answer: those that the files name, the one that the chat template ends a
 * turn with, and those known by name (hg_chat_end_ids). Returns how many, each once. */
HG_API size_t hg_model_ends(const hg_model *m, int32_t ids[HG_MAX_ENDS]);
HG_API uint64_t hg_model_count(const hg_model *m); /* parameters, tied ones once */
HG_API uint64_t hg_model_bytes(const hg_model *m); /* of weights in memory */

/* Writes the whole folder atomically: config.json, generation_config.json, model.safetensors,
 * tokenizer.json, tokenizer_config.json with the chat template. `card` (Markdown for README.md) may
 * be NULL. */
HG_API hg_status hg_model_save(const hg_model *m, const char *dir, hg_weights as, const char *card,
                               hg_err *e);

/* Folder or GGUF to one GGUF file. Vectors and learned positions are float32 in it. */
HG_API hg_status hg_model_export_gguf(const char *from, const char *to, hg_weights as,
                                      const hg_watch *w, hg_err *e);
/* A GGUF to a Hugging Face folder, as hg_model_save writes it; quantised weights become float32, or
 * what `as` says. HG_E_UNSUPPORTED when config.json has no words for it. */
HG_API hg_status hg_model_import(const char *from, const char *to, hg_weights as, hg_err *e);

#ifdef __cplusplus
}
#endif
#endif
