/* Mail: any message ends in text or in a sentence. */
#include "data/mail.h"
#include "data/mime.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hg_mail m;
    hg_err e = {0};

    hg_mail_init(&m);
    hg_status s = hg_mail_read(&m, (hg_bytes){(const char *)data, size}, &e);
    if (s != HG_OK && (s != HG_E_LIMIT || e.msg[0] == '\0')) abort();
    if (m.id.n > 250 || m.date < -1) abort();
    (void)hg_mail_date((hg_bytes){(const char *)data, size});
    hg_mail_free(&m);
    return 0;
}
