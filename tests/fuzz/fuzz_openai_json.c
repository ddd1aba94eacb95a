/* Bodies of OpenAI's requests: what is accepted is within its ranges, what is refused says why. */
#include "serve/openai/openai.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hg_arena mem;

    hg_arena_init(&mem, 16 * 1024);
    for (int is_chat = 0; is_chat < 2; is_chat++) {
        hg_openai_call c;
        hg_problem p;
        bool ok = hg_openai_parse(&c, is_chat, (hg_bytes){(const char *)data, size}, &mem, &p);
        if (!ok && (p.status < 400 || p.msg[0] == 0)) abort();
        if (ok && (c.n < 1 || c.n > HG_SERVE_MAX_CHOICES || c.n_stop > HG_MAX_STOP)) abort();
        if (ok && hg_sampling_check(&c.sampling, NULL) != HG_OK) abort();
        if (ok && is_chat && c.n_messages == 0) abort();
        hg_openai_call_free(&c);
    }
    hg_arena_free(&mem);
    return 0;
}
