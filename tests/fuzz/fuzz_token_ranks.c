/* Rank files, and pairs of vocabulary and merges (with a NUL between), from strangers. */
#include "token/token.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(hg_status s, hg_tokenizer *t, const hg_err *e, hg_bytes in)
{
    hg_ids ids = {0};
    hg_err why = {0};
    if ((s == HG_OK) != (t != NULL)) abort();
    if (s != HG_OK && e->msg[0] == '\0') abort();
    const hg_bytes text = {in.p, in.n < 2048 ? in.n : 2048};
    if (t != NULL && hg_tokenizer_encode(t, text, true, &ids, &why) == HG_OK)
        for (size_t i = 0; i < ids.n; i++)
            if (ids.id[i] < 0 || (uint32_t)ids.id[i] >= hg_tokenizer_count(t)) abort();
    hg_ids_free(&ids);
    hg_tokenizer_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hg_tokenizer *t = NULL;
    hg_err e = {0};
    const hg_bytes in = {(const char *)data, size};
    hg_status s = hg_tokenizer_parse_ranks(&t, in, "gpt2", &e);
    check(s, t, &e, in);
    const char *nul = size > 0 ? memchr(in.p, '\0', size) : NULL;
    if (nul == NULL) return 0;
    const size_t n = (size_t)(nul - in.p);
    e = (hg_err){0};
    s = hg_tokenizer_parse_pair(&t, (hg_bytes){in.p, n}, (hg_bytes){nul + 1, size - n - 1}, &e);
    check(s, t, &e, in);
    return 0;
}
