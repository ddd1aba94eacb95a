/* SentencePiece models from strangers: what is accepted encodes any bytes and is written as
 * tokenizer.json. */
#include "token/token.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hg_tokenizer *t = NULL, *again = NULL;
    hg_err e = {0};
    hg_ids ids = {0};
    hg_buf json = {0};
    const hg_bytes in = {(const char *)data, size};
    hg_status s = hg_tokenizer_parse_spm(&t, in, &e);
    if ((s == HG_OK) != (t != NULL)) abort();
    if (s != HG_OK) {
        if (e.msg[0] == '\0') abort();
        return 0;
    }
    const hg_bytes text = {in.p, size < 4096 ? size : 4096};
    if (hg_tokenizer_encode(t, text, true, &ids, &e) == HG_OK)
        for (size_t i = 0; i < ids.n; i++)
            if (ids.id[i] < 0 || (uint32_t)ids.id[i] >= hg_tokenizer_count(t)) abort();
    if (hg_tokenizer_write(t, &json, &e) == HG_OK)
        (void)hg_tokenizer_parse(&again, (hg_bytes){json.p, json.n}, &e);
    hg_buf_free(&json);
    hg_ids_free(&ids);
    hg_tokenizer_free(again);
    hg_tokenizer_free(t);
    return 0;
}
