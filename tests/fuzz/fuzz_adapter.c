/* Adapters: a GGUF's bytes bound to a model, and PEFT's configuration. Each gives an adapter whose
 * numbers are finite, or one sentence. */
#include "model/adapter.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One model for all inputs: one layer, a vocabulary of 40. */
static const hg_model *model(hg_runtime **rt)
{
    static hg_model *m;
    static hg_runtime *one;
    const hg_model_config c = {.arch = "llama",
                               .n_layers = 1,
                               .d_model = 16,
                               .n_heads = 2,
                               .n_kv_heads = 2,
                               .d_ff = 16,
                               .n_vocab = 40,
                               .n_ctx = 64,
                               .bos_id = -1,
                               .eos_id = -1,
                               .pad_id = -1};
    hg_err e;
    if (m == NULL && hg_model_new(&m, &c, 1, &e) != HG_OK) abort();
    if (one == NULL && hg_runtime_new(&one, 1, HG_ISA_C, &e) != HG_OK) abort();
    *rt = one;
    return m;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const hg_bytes in = {(const char *)data, size};
    hg_runtime *rt;
    const hg_model *m = model(&rt);
    hg_adapter *a;
    hg_peft_config c;
    hg_err e = {0};
    if (size > 0 && data[0] == '{') {
        const hg_status s = hg_peft_config_parse(&c, in, &e);
        if (s == HG_OK ? !(c.rank >= 1 && c.alpha > 0) : e.msg[0] == '\0') abort();
        return 0;
    }
    const hg_status s = hg_adapter_parse_gguf(&a, in, m, rt, &e);
    if (s == HG_OK ? a == NULL || a->n_matrices == 0 : a != NULL || e.msg[0] == '\0') abort();
    for (size_t i = 0; s == HG_OK && i < a->lora.n; i++)
        if (!isfinite(a->lora.pair[i].scale)) abort();
    hg_adapter_free(a);
    return 0;
}
