/* Token shards: any bytes give a shard whose every token can be read, or one sentence. */
#include "data/tokens.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hg_tokens t;
    hg_err e = {0};
    int32_t id;
    if (hg_tokens_parse(&t, data, size, "shard", &e) != HG_OK) return 0;
    for (uint64_t d = 0; d < t.n_docs; d++) {
        (void)hg_tokens_hash(&t, d);
        for (uint64_t at = hg_tokens_start(&t, d); at < hg_tokens_start(&t, d + 1); at++)
            hg_tokens_read(&t, at, 1, &id);
    }
    return 0;
}
