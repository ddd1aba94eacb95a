/* Conversations to tune on: read, rendered with the model's template, packed into rows. */
#ifndef HG_TRAIN_CHATS_H
#define HG_TRAIN_CHATS_H

#include <higgins/tokenizer.h>
#include "base/mem.h"
#include "train/source.h"

enum { HG_MAX_TURNS = 4096 };

typedef struct hg_chat {
    hg_message *message;
    size_t n;
    size_t line; /* in its file; of a JSON array: the number of the element */
    const char *file;
} hg_chat;

typedef struct hg_chats {
    hg_chat *chat;
    size_t n, cap;
    hg_arena mem;
} hg_chats;

/* Reads JSON lines or one JSON array, each object in one of three forms:
 *   {"messages": [{"role", "content"}...]}, {"conversations": [{"from", "value"}...]} (ShareGPT),
 *   {"instruction", "input"?, "output"} (Alpaca; "system" too).
 * Appends to `c`. Errors name file and line. */
hg_status hg_chats_parse(hg_chats *c, hg_bytes text, const char *name, hg_err *e);
hg_status hg_chats_load(hg_chats *c, const char *path, hg_err *e);
void hg_chats_free(hg_chats *c);

#endif
