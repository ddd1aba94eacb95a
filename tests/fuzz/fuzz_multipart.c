/* A form from anybody: the first line is the value of Content-Type, the rest the body. Each part
 * that is found must lie within the body. */
#include "http/multipart.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    static hg_part part[HG_MULTIPART_MAX_PARTS];
    const unsigned char *eol = memchr(data, '\n', n);
    char type[512];
    size_t k = 0, n_parts = 0;
    hg_err e;

    if (eol == NULL || (size_t)(eol - data) >= sizeof type) return 0;
    k = (size_t)(eol - data);
    memcpy(type, data, k);
    type[k] = '\0';
    const hg_bytes body = {(const char *)eol + 1, n - k - 1};
    if (hg_multipart_parse(body, type, part, &n_parts, &e) != HG_OK) return 0;
    for (size_t i = 0; i < n_parts; i++) {
        if (part[i].body.p < body.p || part[i].body.p + part[i].body.n > body.p + body.n) abort();
        if (memchr(part[i].name, 0, sizeof part[i].name) == NULL || part[i].name[0] == 0) abort();
    }
    return 0;
}
