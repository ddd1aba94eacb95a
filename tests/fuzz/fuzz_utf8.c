/* Cleaning: valid out whatever goes in, and clean text stays as it is. */
#include "text/charset.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"UTF-8", "WINDOWS-1252", "UTF-16LE", "ISO-2022-JP",
                                        "EUC-KR"};
    hg_bytes in = {(const char *)data, size};
    hg_buf once = {0}, twice = {0};
    hg_err e;

    if (hg_text_clean(&once, in, &e) != HG_OK) abort();
    if (hg_utf8_valid((hg_bytes){once.p, once.n}) != once.n) abort();
    if (hg_text_clean(&twice, (hg_bytes){once.p, once.n}, &e) != HG_OK) abort();
    if (once.n != twice.n || (once.n > 0 && memcmp(once.p, twice.p, once.n) != 0)) abort();
    if (hg_utf8_valid(in) + hg_utf8_cut(in) > size) abort();
    if (size > 0) {
        const char *name =
            hg_charset_find((hg_bytes){names[data[0] % 5], strlen(names[data[0] % 5])});
        hg_buf_clear(&once);
        if (name != NULL && hg_charset_convert(name, in, &once, &e) != HG_OK && e.msg[0] == '\0')
            abort();
    }
    hg_buf_free(&once);
    hg_buf_free(&twice);
    return 0;
}
