/* Conversation files, and those of preferences and tasks: any bytes give what they hold or one
 * sentence; what is kept as JSON is JSON, and can be explained in words. */
#include "text/json.h"
#include "token/calls.h"
#include "train/chats.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void explain(const hg_chat *c)
{
    json_t *messages = NULL, *tools = NULL;
    hg_buf said = {0};
    hg_err e = {0};
    if (c->messages.n == 0) return;
    if (hg_json_parse(&messages, c->messages, c->messages.n, &e) != HG_OK) abort();
    if (c->tools.n > 0 && hg_json_parse(&tools, c->tools, c->tools.n, &e) != HG_OK) abort();
    if (hg_calls_explain(messages, tools, &said, &e) != HG_OK) abort();
    hg_buf_free(&said);
    json_decref(messages);
    json_decref(tools);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int form = HG_FORM_CHAT; form <= HG_FORM_TASK; form++) {
        hg_chats c = {.form = (hg_chat_form)form};
        hg_err e = {0};
        (void)hg_chats_parse(&c, (hg_bytes){(const char *)data, size}, "chats", &e);
        for (size_t i = 0; i < c.n; i++) explain(&c.chat[i]);
        hg_chats_free(&c);
    }
    return 0;
}
