/* safetensors headers: whatever is accepted lies inside the bytes, and so do MXFP4's two halves. */
#include "model/inner.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hg_store s;
    hg_err e = {0};
    hg_store_init(&s);
    hg_status st = hg_safetensors_parse(&s, data, size, "x", &e);
    if (st == HG_OK) st = hg_store_sort(&s, "x", &e);
    if (st != HG_OK && e.msg[0] == '\0') abort();
    for (size_t i = 0; st == HG_OK && i < s.n; i++) {
        const hg_entry *en = &s.entry[i];
        if (en->p < data || en->n_bytes > (size_t)(data + size - en->p)) abort();
        if (hg_store_find(&s, en->name) != en) abort();
    }
    if (st == HG_OK) st = hg_mxfp4_join(&s, "x", &e);
    if (st != HG_OK && e.msg[0] == '\0') abort();
    for (size_t i = 0; st == HG_OK && i < s.n; i++) {
        const hg_entry *en = &s.entry[i];
        if (en->scales == NULL) continue;
        size_t n_blocks = (size_t)en->n_bytes / 16;
        if (en->scales < data || n_blocks > (size_t)(data + size - en->scales)) abort();
    }
    hg_store_free(&s);
    return 0;
}
