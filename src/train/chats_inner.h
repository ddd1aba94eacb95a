/* What chats.c (conversations) and pairs.c (preferences, tasks) share: reading one object. */
#ifndef HG_TRAIN_CHATS_INNER_H
#define HG_TRAIN_CHATS_INNER_H

#include "text/json.h"
#include "train/chats.h"

/* What is being read, for errors. */
typedef struct hg_chat_reader {
    hg_chats *c;
    const char *name;
    size_t line;
    bool in_array;
} hg_chat_reader;

enum { HG_CHAT_LINE = 16 << 20 }; /* bytes of a line */

hg_status hg_chat_fail(const hg_chat_reader *r, const char *what, hg_err *e);
hg_status hg_chat_copy(const hg_chat_reader *r, hg_bytes text, hg_bytes *out, hg_err *e);
/* The role that data sets give this name, or NULL. */
const char *hg_chat_role(hg_bytes name);
/* ---- chat_tools.c ---- */
/* The object or one of its turns has more than roles, texts and weights. */
bool hg_chat_is_full(const json_t *obj, const json_t *turns);
hg_status hg_chat_read_full(const hg_chat_reader *r, hg_chat *chat, const json_t *obj,
                            const json_t *turns, hg_err *e);
/* What "weight" says of the assistant's turns, into chat->weight; nothing where none has one. */
hg_status hg_chat_read_weights(const hg_chat_reader *r, hg_chat *chat, const json_t *turns,
                               const char *role_key, hg_err *e);

/* Appends the list's turns to m, which has room for `room` of them; *n counts. */
hg_status hg_chat_turns(const hg_chat_reader *r, hg_message *m, size_t *n, size_t room,
                        const json_t *turns, const char *role_key, const char *text_key, hg_err *e);
/* Fills in *chat as r->c->form says, which is none of conversations. */
hg_status hg_pair_read(const hg_chat_reader *r, hg_chat *chat, const json_t *obj, hg_err *e);

#endif
