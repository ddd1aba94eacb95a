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
    HG_MAX_CTX = 1 << 22
};

typedef struct hg_model hg_model;

typedef struct hg_model_config {
    char arch[32]; /* "llama", "gpt2" */
    uint32_t n_layers, d_model, n_heads, n_kv_heads, d_head, d_ff, n_vocab, n_ctx;
    float norm_eps, rope_theta;
    bool tie_embeddings;
    int32_t bos_id, eos_id, pad_id; /* -1: none */
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
HG_API uint64_t hg_model_count(const hg_model *m);            /* parameters, tied ones once */
HG_API uint64_t hg_model_bytes(const hg_model *m);            /* of weights in memory */

/* Writes the whole folder atomically: config.json, generation_config.json, model.safetensors,
 * tokenizer.json, tokenizer_config.json with the chat template. `card` (Markdown for README.md) may
 * be NULL. */
HG_API hg_status hg_model_save(const hg_model *m, const char *dir, hg_weights as, const char *card,
                               hg_err *e);
/* Folder or GGUF to one GGUF file. */
HG_API hg_status hg_model_export_gguf(const char *from, const char *to, hg_weights as,
                                      const hg_watch *w, hg_err *e);

#ifdef __cplusplus
}
#endif
#endif
