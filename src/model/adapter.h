/* Adapters inside the library. */
#ifndef HG_MODEL_ADAPTER_H
#define HG_MODEL_ADAPTER_H

#include <higgins/adapter.h>
#include "model/model.h"
#include "tensor/lora.h"

struct hg_adapter {
    hg_lora lora;
    const hg_model *m;
    size_t n_matrices;
    hg_arena mem;
};

/* HG_E_ARG unless there are HG_MAX_ADAPTERS at the most, all of this model, with finite scales. */
hg_status hg_adapters_check(const hg_model *m, const hg_adapter_use *use, size_t n, hg_err *e);
/* A number for this list, the same for the same content and scales; 0 for an empty one. What was
 * computed under one key must not be gone on with under another. */
uint64_t hg_adapters_key(const hg_adapter_use *use, size_t n);

/* The two doors without files, for a fuzzer: a GGUF's bytes, and adapter_config.json. */
hg_status hg_adapter_parse_gguf(hg_adapter **out, hg_bytes file, const hg_model *m, hg_runtime *rt,
                                hg_err *e);
typedef struct hg_peft_config {
    double rank, alpha;
    bool is_rs; /* scaled by alpha / sqrt(rank) (Kalajdzievski 2023) */
} hg_peft_config;
hg_status hg_peft_config_parse(hg_peft_config *c, hg_bytes json, hg_err *e);

#endif
