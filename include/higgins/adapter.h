/* LoRA adapters: what a tuning learnt, as small additions to a model's weights. A model stays as it
 * is and may serve many of them at once. */
#ifndef HIGGINS_ADAPTER_H
#define HIGGINS_ADAPTER_H

#include <higgins/model.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    HG_MAX_ADAPTERS = 8, /* of one session or request */
    HG_MAX_ADAPTER_RANK = 4096
};

typedef struct hg_adapter hg_adapter;
/* Reads PEFT's folder (adapter_config.json, adapter_model.safetensors) or a GGUF adapter and puts
 * it into the kernels' own layout for `rt`, the runtime of the model, which must outlive it. It
 * never changes and may be shared by threads. HG_E_MISSING, HG_E_IO, HG_E_LIMIT; HG_E_FORMAT (also
 * one that was made for another model); HG_E_UNSUPPORTED: DoRA, changed biases or embeddings, whole
 * modules beside the additions. */
HG_API hg_status hg_adapter_open(hg_adapter **out, const char *path, const hg_model *m,
                                 hg_runtime *rt, hg_err *e);
/* No session and no request may use it any more. */
HG_API void hg_adapter_free(hg_adapter *a);
HG_API uint64_t hg_adapter_bytes(const hg_adapter *a);  /* in memory */
HG_API size_t hg_adapter_matrices(const hg_adapter *a); /* weights that it adds to */

/* y = x W^T + scale * alpha / rank * (x A^T) B^T, summed over the adapters in use. */
typedef struct hg_adapter_use {
    const hg_adapter *adapter;
    float scale; /* 1: as it was trained */
} hg_adapter_use;

#ifdef __cplusplus
}
#endif
#endif
