/* Conversation files, and those of preferences and tasks: any bytes give what they hold or one
 * sentence. */
#include "train/chats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int form = HG_FORM_CHAT; form <= HG_FORM_TASK; form++) {
        hg_chats c = {.form = (hg_chat_form)form};
        hg_err e = {0};
        if (hg_chats_parse(&c, (hg_bytes){(const char *)data, size}, "chats", &e) == HG_OK &&
            form == HG_FORM_LABEL)
            (void)hg_chats_mismatch(&c, 1, &e);
        hg_chats_free(&c);
    }
    return 0;
}
