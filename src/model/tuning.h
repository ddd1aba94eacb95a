/* An adapter in the making (LoRA, Hu et al. 2021): while it is there, the model's weights stay and
 * A and B of its matrices are what is trained. Matrices that a file stores as one (phi3's qkv_proj)
 * share A, so that the adapter opens elsewhere. */
#ifndef HG_MODEL_TUNING_H
#define HG_MODEL_TUNING_H

#include "model/model.h"
#include "tensor/lora.h"

typedef struct hg_adapter_tuning {
    hg_lora_tuning lora;
    hg_tensor **param; /* A and B of each stored matrix, in file order; float32 with gradients */
    size_t n_params;
    size_t rank;
    double alpha;
    unsigned beside; /* targets that are trained because they are stored with others; a bit each */
    hg_tensor *tensors;
} hg_adapter_tuning;

/* Which matrices: "all", or a list of attention's q k v o and the mlp's gate up down. */
typedef struct hg_adapter_options {
    size_t rank;
    double alpha, dropout;
    const char *const *target; /* [n_targets] */
    size_t n_targets;
    uint64_t seed;
} hg_adapter_options;
/* Gives the frozen model an adapter that adds nothing yet (A is uniform within 1 / sqrt(n_in), B
 * zero). It lives in the model's memory. HG_E_ARG: an unknown target, or one that this model has
 * no matrix for; HG_E_UNSUPPORTED: experts. */
hg_status hg_model_tune(hg_model *m, const hg_adapter_options *o, hg_err *e);

/* "k, v": targets that were not asked for and are trained all the same, because the model's files
 * hold them in one matrix with some that were (gpt2's c_attn); "" for none. */
enum { HG_TARGETS_SIZE = 64 };
void hg_tuning_beside(const hg_model *m, char text[HG_TARGETS_SIZE]);

/* What is trained of a model: its adapter's matrices, or all of its parameters. */
hg_tensor *const *hg_model_trainables(const hg_model *m, size_t *n);

/* Writes the adapter as PEFT's folder, whole or not at all, or as a GGUF adapter, in float32.
 * `base` is what the adapter says it belongs to. */
hg_status hg_tuning_save(const hg_model *m, const char *dir, const char *base, hg_err *e);
hg_status hg_tuning_save_gguf(const hg_model *m, const char *path, hg_err *e);
/* Adds what the adapter adds to the weights and takes it off. */
void hg_tuning_merge(hg_model *m);

#endif
