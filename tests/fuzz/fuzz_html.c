/* Web pages: whatever stands in them, the text that comes out cleans to valid UTF-8. */
#include "text/html.h"
#include "text/charset.h"
#include "text/utf8.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hg_bytes in = {(const char *)data, size};
    hg_html h;
    hg_buf wide = {0}, clean = {0};
    hg_err e;
    size_t skip = 0;

    hg_html_init(&h);
    if (hg_charset_convert(hg_charset_guess(in, true, &skip), in, &wide, &e) == HG_OK) {
        hg_status s = hg_html_read(&h, (hg_bytes){wide.p, wide.n}, &e);
        if (s != HG_OK && s != HG_E_LIMIT) abort();
        if (hg_text_clean(&clean, (hg_bytes){h.text.p, h.text.n}, &e) != HG_OK) abort();
        if (hg_utf8_valid((hg_bytes){clean.p, clean.n}) != clean.n) abort();
    }
    hg_buf_free(&wide);
    hg_buf_free(&clean);
    hg_html_free(&h);
    return 0;
}
