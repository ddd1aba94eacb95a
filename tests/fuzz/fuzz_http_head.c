/* The framing check: whatever comes, its verdict does not change with the pieces in which it comes,
 * and what it accepts holds what it promises. */
#include "http/head.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hg_head whole, part;
    hg_err e;
    int verdict = hg_head_check((hg_bytes){(const char *)data, size}, &whole, &e);

    if (verdict == 200) {
        if (whole.n > size || whole.n > HG_HEAD_MAX || whole.target.n == 0) abort();
        if (whole.has_length && whole.chunked) abort();
        if (memcmp(data + whole.n - 4, "\r\n\r\n", 4) != 0) abort();
        if (memchr(data, 0, whole.n) != NULL) abort();
    }
    /* A head that is refused in part is refused whole; one that is accepted was not refused before.
     */
    for (size_t n = 0; n < size && n < 600; n++) {
        int early = hg_head_check((hg_bytes){(const char *)data, n}, &part, &e);
        if (early == 200 && (verdict != 200 || part.n != whole.n)) abort();
        if (early >= 400 && verdict < 400) abort();
    }
    return 0;
}
