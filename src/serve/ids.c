/* See ids.h. */
#include "serve/ids.h"

#include <sodium.h>
#include <string.h>

void hg_id_make(char *out, size_t size, const char *prefix, size_t n)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    size_t at = 0;

    while (prefix[at] != '\0' && at + 1 < size) {
        out[at] = prefix[at];
        at++;
    }
    for (; n > 0 && at + 1 < size; n--) out[at++] = letters[randombytes_uniform(32)];
    out[at] = '\0';
}

const char *hg_id_split(hg_bytes rest, char *id, size_t size)
{
    const char *slash = memchr(rest.p, '/', rest.n);
    const size_t n = slash != NULL ? (size_t)(slash - rest.p) : rest.n;
    const bool fits = n < size;

    if (fits) memcpy(id, rest.p, n);
    id[fits ? n : 0] = '\0';
    return slash != NULL ? slash + 1 : "";
}
