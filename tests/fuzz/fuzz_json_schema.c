/* JSON schemas from strangers: a grammar or one sentence; what is read walks over its own text. */
#include <higgins/grammar.h>

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hg_grammar *g = NULL;
    hg_err e = {0};
    bool yes;
    const hg_bytes in = {(const char *)data, size};
    if (size > 2048) return 0;
    const hg_status s = hg_grammar_from_json_schema(&g, in, &e);
    if ((s == HG_OK) != (g != NULL)) abort();
    if (s != HG_OK) {
        if (e.msg[0] == '\0') abort();
        return 0;
    }
    if (hg_grammar_accepts(g, in, &yes, &e) != HG_OK) abort();
    hg_grammar_free(g);
    return 0;
}
