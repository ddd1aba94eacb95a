/* Bodies of Anthropic's requests: what is accepted is within its ranges, what is refused says why.
 */
#include "serve/anthropic/anthropic.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hg_arena mem;

    hg_arena_init(&mem, 16 * 1024);
    for (int i = 0; i < 4; i++) {
        hg_openai_call c;
        hg_problem p;
        const bool is_count = (i & 1) != 0;
        bool ok = hg_anthropic_parse(&c, (hg_bytes){(const char *)data, size}, is_count,
                                     (i & 2) != 0, &mem, &p);
        if (!ok && (p.status < 400 || p.msg[0] == 0)) abort();
        if (ok && (c.n != 1 || c.n_messages == 0 || c.n_stop > HG_MAX_STOP)) abort();
        if (ok && !is_count && c.max_tokens < 1) abort();
        if (ok && hg_sampling_check(&c.sampling, NULL) != HG_OK) abort();
        hg_openai_call_free(&c);
    }
    hg_arena_free(&mem);
    return 0;
}
