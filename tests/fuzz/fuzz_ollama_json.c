/* Bodies of Ollama's requests: what is accepted is within its ranges, what is refused says why. */
#include "serve/ollama/ollama.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hg_arena mem;

    hg_arena_init(&mem, 16 * 1024);
    for (int is_generate = 0; is_generate < 2; is_generate++) {
        hg_openai_call c;
        hg_problem p;
        bool only_load;
        bool ok = hg_ollama_parse(&c, (hg_bytes){(const char *)data, size}, is_generate != 0,
                                  &only_load, &mem, &p);
        if (!ok && (p.status < 400 || p.msg[0] == 0)) abort();
        if (ok && c.model.p == NULL) abort();
        if (ok && !only_load && (c.n != 1 || (c.is_chat && c.n_messages == 0))) abort();
        if (ok && !only_load && hg_sampling_check(&c.sampling, NULL) != HG_OK) abort();
        hg_openai_call_free(&c);
    }
    hg_arena_free(&mem);
    return 0;
}
