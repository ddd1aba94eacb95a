/* What a model's files hold, told without loading them: any GGUF (a model, a vocabulary, an
 * adapter; in one file or several), a safetensors file, a Hugging Face folder, PEFT's folder. */
#ifndef HIGGINS_INSPECT_H
#define HIGGINS_INSPECT_H

#include <higgins/model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hg_file_info {
    const char *name; /* without its folder */
    uint64_t n_bytes;
    size_t n_tensors;
} hg_file_info;

/* One key: of a GGUF's metadata, of config.json and its neighbours ("rope_scaling.factor"), of a
 * safetensors header's __metadata__. */
typedef struct hg_key_info {
    const char *file;  /* where it stands, without the folder */
    const char *key;   /* made visible, as all texts here */
    const char *type;  /* "u32", "string", "array of f32" ...; of JSON "number", "string", "list" */
    const char *value; /* shortened: a long text and a list end in "..." */
    uint64_t n;        /* items of a list, bytes of a string; else 1 */
    bool is_number;    /* value is a JSON number, true or false */
} hg_key_info;

/* What a tensor is for, by its name. */
typedef enum hg_tensor_use {
    HG_USE_EMBEDDING,
    HG_USE_ATTENTION,
    HG_USE_FEED_FORWARD,
    HG_USE_EXPERTS,
    HG_USE_NORM,
    HG_USE_HEAD,
    HG_USE_OTHER,
    HG_N_USES
} hg_tensor_use;
HG_API const char *hg_tensor_use_name(hg_tensor_use u);

/* What reading a tensor's values showed. */
typedef struct hg_values_info {
    bool is_read; /* false: not asked for, or a type that holds no such values */
    uint64_t n_nan, n_infinite, first_bad; /* the last: the place of the first of them */
    float min, max;                        /* of the finite ones */
    double mean, rms;
} hg_values_info;

typedef struct hg_tensor_info {
    const char *name, *type; /* "f32", "bf16", "q4_0" ... */
    int n_dims;
    uint64_t dim[4]; /* the last is contiguous */
    uint64_t n_values, n_bytes;
    size_t file;     /* of hg_model_info.file */
    uint64_t offset; /* of its first byte in that file */
    int layer;       /* -1: of none */
    hg_tensor_use use;
    hg_values_info values;
} hg_tensor_info;

/* Tensors that differ in their layer's (or expert's) number alone. */
typedef struct hg_tensor_group {
    const char *name; /* "blk.#.attn_q.weight" */
    size_t n, first;  /* tensors, and one of them */
    uint64_t n_bytes; /* of all */
} hg_tensor_group;

typedef struct hg_type_info {
    const char *type;
    size_t n_tensors;
    uint64_t n_values, n_bytes;
} hg_type_info;

typedef struct hg_layer_info {
    int layer; /* -1: what belongs to none */
    size_t n_tensors;
    uint64_t n_bytes, use[HG_N_USES]; /* the last: bytes of each use */
} hg_layer_info;

typedef struct hg_token_info {
    int32_t id;
    const char *text; /* a space is a dot, a line end an arrow, broken bytes are <FF> */
} hg_token_info;
typedef struct hg_token_sample {
    const char *kind; /* "special", "added", "first", "longest", "random" */
    uint32_t n_all;   /* tokens of that kind; of "longest" and "random": all plain ones */
    const hg_token_info *token;
    size_t n;
} hg_token_sample;

enum { HG_N_TOKEN_SAMPLES = 5 };

typedef struct hg_model_info {
    const char *name;    /* of the file or folder, without the folders above */
    const char *kind;    /* "model", "vocabulary", "adapter", "tensors" */
    const char *format;  /* "safetensors" or "gguf" */
    const char *arch;    /* what the files call the architecture, or NULL */
    bool is_known;       /* it maps to the row config.arch, and Higgins can run it */
    const char *problem; /* why not, in one sentence, or NULL */
    hg_model_config config;
    const char *tokenizer;     /* "byte-level BPE" ..., or NULL */
    const char *no_tokenizer;  /* why there is none, in one sentence, where the files have one */
    const char *chat_template; /* as the files carry it, or NULL */
    uint32_t n_tokens, n_byte_tokens, n_unused_tokens;
    hg_token_sample sample[HG_N_TOKEN_SAMPLES];
    uint64_t n_params, n_bytes;
    size_t n_files, n_keys, n_tensors, n_groups, n_types, n_layers;
    const hg_file_info *file;
    const hg_key_info *key;
    const hg_tensor_info *tensor; /* in the order of their names, layers as numbers */
    const hg_tensor_group *group; /* in that order */
    const hg_type_info *type;     /* the one with the most bytes first */
    const hg_layer_info *layer;   /* what belongs to none first */
    size_t n_bad;                 /* tensors with values that are no finite numbers */
} hg_model_info;

/* `check` reads every tensor. Files that are cut off, or whose tensors overlap or do not fit their
 * place, are refused in one sentence: HG_E_MISSING, HG_E_IO, HG_E_FORMAT, HG_E_LIMIT. An
 * architecture or a tokenizer that Higgins cannot use is no failure: see `problem`. */
HG_API hg_status hg_model_inspect(hg_model_info **out, const char *path, bool check,
                                  const hg_watch *w, hg_err *e);
HG_API void hg_model_info_free(hg_model_info *info);
/* HG_E_FORMAT when `info` has bad tensors, in a sentence that names file, tensor and value. */
HG_API hg_status hg_model_info_verdict(const hg_model_info *info, hg_err *e);
/* The same as one self-contained HTML page, written whole or not at all. */
HG_API hg_status hg_model_info_page(const hg_model_info *info, const char *path, hg_err *e);

#ifdef __cplusplus
}
#endif
#endif
