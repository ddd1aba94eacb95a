/* Bodies of the Responses API: what is accepted is a conversation that chat completions take, what
 * is refused says why. */
#include "serve/openai/responses.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hg_responses_call c;
    hg_problem p;
    hg_arena mem;

    hg_arena_init(&mem, 16 * 1024);
    bool ok = hg_responses_read(&c, (hg_bytes){(const char *)data, size}, &p);
    if (ok) ok = hg_responses_parse(&c, NULL, &mem, &p);
    if (!ok && (p.status < 400 || p.msg[0] == 0)) abort();
    if (ok && (c.chat.n_messages == 0 || json_array_size(c.messages) == 0)) abort();
    hg_responses_call_free(&c);
    hg_arena_free(&mem);
    return 0;
}
