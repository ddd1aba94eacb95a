/* Conversation files: any bytes give conversations or one sentence. */
#include "train/chats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hg_chats c = {0};
    hg_err e = {0};
    (void)hg_chats_parse(&c, (hg_bytes){(const char *)data, size}, "chats", &e);
    hg_chats_free(&c);
    return 0;
}
