/* Where a chat's messages come from: the terminal with editing and history, or lines of stdin. */
#ifndef CLI_CHAT_INPUT_H
#define CLI_CHAT_INPUT_H

#include <higgins/base.h>

typedef struct chat_input chat_input;

typedef enum chat_read {
    CHAT_LINE,              /* *text holds a message; the caller frees it */
    CHAT_INTERRUPTED,       /* Ctrl-C: what was typed is dropped */
    CHAT_INTERRUPTED_EMPTY, /* Ctrl-C where nothing was typed */
    CHAT_END,               /* Ctrl-D, or the end of stdin */
    CHAT_FAILED             /* no room */
} chat_read;

/* NULL when there is no room. */
chat_input *chat_input_open(bool is_terminal);
void chat_input_close(chat_input *in);
/* One message: a line, and further ones while they end in a backslash. */
chat_read chat_input_read(chat_input *in, char **text);

#endif
