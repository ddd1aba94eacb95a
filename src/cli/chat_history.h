/* A conversation as it grows: what was said, by whom. */
#ifndef CLI_CHAT_HISTORY_H
#define CLI_CHAT_HISTORY_H

#include <higgins/tokenizer.h>

typedef struct chat_history {
    hg_message *m; /* contents are owned and NUL-terminated */
    size_t n, cap;
} chat_history;

/* Copies `text`; false when there is no room. */
bool chat_history_add(chat_history *h, const char *role, const char *text);
/* Forgets what was said last. */
void chat_history_drop(chat_history *h, size_t n_keep);
/* Forgets the oldest question and its answers, but never the last message; false: nothing to. */
bool chat_history_drop_oldest(chat_history *h);
void chat_history_free(chat_history *h);
/* The system's message, put first; NULL or "" removes it. */
bool chat_history_set_system(chat_history *h, const char *text);
const char *chat_history_system(const chat_history *h); /* NULL: none */
bool chat_history_ends_with(const chat_history *h, const char *role);
/* Appends {"messages": [...]} as one line: the form that higgins tune reads. */
hg_status chat_history_save(const chat_history *h, const char *path, hg_err *e);

#endif
