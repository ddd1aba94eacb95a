/* Saved sessions: any bytes give a timeline whose ids are the model's, or one sentence. The hash is
 * not looked at, so that what lies behind it is reached. */
#include "infer/cache.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One model for all inputs: two layers, the first with a window, two key heads, a vocabulary of 40.
 */
static const hg_model *model(void)
{
    static hg_model *m;
    const hg_model_config c = {.arch = "gemma2",
                               .n_layers = 2,
                               .d_model = 16,
                               .n_heads = 2,
                               .n_kv_heads = 2,
                               .d_ff = 16,
                               .n_vocab = 40,
                               .n_ctx = 1024,
                               .window = 50,
                               .bos_id = -1,
                               .eos_id = -1,
                               .pad_id = -1};
    hg_err e;
    if (m == NULL && hg_model_new(&m, &c, 1, &e) != HG_OK) abort();
    return m;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hg_cache c = {0};
    hg_ids ids = {0};
    hg_err e = {0};
    if (hg_cache_new(&c, model(), 1024, 16, HG_F32, &e) != HG_OK) abort();
    const hg_status s =
        hg_cache_parse(&c, model(), (hg_bytes){(const char *)data, size}, false, &ids, &e);
    if (s != HG_OK && (e.msg[0] == '\0' || c.n != 0)) abort();
    for (size_t i = 0; s == HG_OK && i < c.n; i++)
        if (c.ids[i] < 0 || c.ids[i] >= 40 || c.ids[i] != ids.id[i]) abort();
    hg_ids_free(&ids);
    hg_cache_free(&c);
    return 0;
}
