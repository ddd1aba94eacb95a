/* Bodies of Gemini's requests: what is accepted is within its ranges, what is refused says why. */
#include "serve/gemini/gemini.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hg_arena mem;

    hg_arena_init(&mem, 16 * 1024);
    for (int is_count = 0; is_count < 2; is_count++) {
        hg_openai_call c;
        hg_problem p;
        bool ok = hg_gemini_parse(&c, (hg_bytes){(const char *)data, size}, (hg_bytes){"m", 1},
                                  is_count != 0, false, &mem, &p);
        if (!ok && (p.status < 400 || p.msg[0] == 0)) abort();
        if (ok && (c.n < 1 || c.n > 8 || c.n_messages == 0 || c.n_stop > 5)) abort();
        if (ok && hg_sampling_check(&c.sampling, NULL) != HG_OK) abort();
        hg_openai_call_free(&c);
    }
    hg_arena_free(&mem);
    return 0;
}
