/* Conversations to tune on: read, rendered with the model's template, packed into rows. */
#ifndef HG_TRAIN_CHATS_H
#define HG_TRAIN_CHATS_H

#include <higgins/tokenizer.h>
#include "base/mem.h"
#include "train/source.h"

enum { HG_MAX_TURNS = 4096 };

/* What a line holds: a conversation; one with two answers, the better first; one with an answer and
 * a label; a task with the answer that is right. */
typedef enum hg_chat_form { HG_FORM_CHAT, HG_FORM_PAIR, HG_FORM_LABEL, HG_FORM_TASK } hg_chat_form;

typedef struct hg_chat {
    hg_message *message; /* of a pair: with the chosen answer */
    size_t n;
    hg_message *other; /* of a pair: with the rejected answer */
    size_t n_other;
    size_t n_prompt;          /* messages that are given, not learnt from; 0 of a conversation */
    hg_bytes messages, tools; /* of a conversation with more than roles and texts: as JSON, in place
                                 of `message`; no tools: empty */
    bool uses_tools;          /* it has tools, calls or what came of them */
    float *weight;            /* [n_answers] of what the assistant says; NULL: 1 each */
    size_t n_answers;
    bool is_held;    /* out: it is validated on, never learnt from */
    bool is_good;    /* the label */
    hg_bytes answer; /* of a task: what is right; its `message` is the prompt alone */
    size_t line;     /* in its file; of a JSON array: the number of the element */
    const char *file;
} hg_chat;

typedef struct hg_chats {
    hg_chat *chat;
    size_t n, cap;
    hg_chat_form form; /* set before reading */
    hg_arena mem;
} hg_chats;

/* Reads JSON lines or one JSON array, each object in one of three forms:
 *   {"messages": [{"role", "content"}...]}, {"conversations": [{"from", "value"}...]} (ShareGPT),
 *   {"instruction", "input"?, "output"} (Alpaca; "system" too).
 * Messages may have all that OpenAI's have, but images and sound: "tools" beside them, "tool_calls"
 * of the assistant, the roles "tool" and "developer", content in parts. What the assistant says may
 * have a "weight" from 0 to 1.
 * As c->form says, other objects instead; a text stands for one message of the user or of the
 * assistant, a list is one of {"role", "content"}:
 *   {"prompt" or "messages", "chosen", "rejected"}; without a prompt both are whole conversations,
 *   {"prompt" or "messages", "completion", "label": true or false},
 *   {"prompt" or "messages", "answer"?: text or number}.
 * Appends to `c`. Errors name file and line. */
hg_status hg_chats_parse(hg_chats *c, hg_bytes text, const char *name, hg_err *e);
hg_status hg_chats_load(hg_chats *c, const char *path, hg_err *e);
void hg_chats_free(hg_chats *c);
/* Of everything that was read. */
uint64_t hg_chats_hash(const hg_chats *c);
/* Answers that message [0, n_prompt) holds: what a mask leaves out. */
size_t hg_chat_given(const hg_chat *c);

#endif
