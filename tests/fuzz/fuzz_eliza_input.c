/* Inputs of any bytes, a line each, to our own scripts: every one is answered. The first byte
 * chooses the language. */
#include <higgins/eliza.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hg_eliza_script *s = NULL;
    hg_eliza *el = NULL;
    hg_eliza_options o;
    hg_bytes reply;
    hg_err e;
    if (size == 0 || size > 16384) return 0;
    hg_eliza_options_init(&o);
    o.trace = data[0] % 4 > 1;
    if (hg_eliza_script_open(&s, data[0] % 2 == 0 ? "eliza" : "eliza:fr", &e) != HG_OK) abort();
    if (hg_eliza_new(&el, s, &o, &e) != HG_OK) abort();
    const char *p = (const char *)data + 1, *end = (const char *)data + size;
    while (p <= end) {
        const char *line = p, *nl = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
        p = nl != NULL ? nl + 1 : end + 1;
        const size_t n = (size_t)((nl != NULL ? nl : end) - line);
        if (hg_eliza_reply(el, (hg_bytes){line, n}, &reply, &e) != HG_OK || reply.n == 0) abort();
    }
    hg_eliza_free(el);
    hg_eliza_script_free(s);
    return 0;
}
