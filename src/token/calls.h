/* Calls of tools, as families of models write them: how the answer that calls begins, what JSON
 * follows, and how calls are read back out of an answer. All that is known of these forms is here;
 * protocols see names and arguments. */
#ifndef HG_TOKEN_CALLS_H
#define HG_TOKEN_CALLS_H

#include <higgins/tokenizer.h>
#include "base/mem.h"

struct json_t;

typedef enum hg_call_style {
    HG_CALLS_TAGGED,   /* <tool_call>\n{"name": ..., "arguments": {...}}\n</tool_call>, several:
                          Hermes,   Qwen, SmolLM */
    HG_CALLS_LLAMA,    /* the whole answer is {"name": ..., "parameters": {...}}: Llama 3 */
    HG_CALLS_MISTRAL,  /* [TOOL_CALLS][{"name": ..., "arguments": {...}}, ...] */
    HG_CALLS_EXPLAINED /* as TAGGED; the template knows no tools, so that the system message
                          explains them */
} hg_call_style;

enum { HG_MAX_TOOLS = 128, HG_MAX_TOOL_NAME = 64 };

/* By the words of a chat template; NULL: ChatML. */
hg_call_style hg_calls_style(const char *chat_template);
/* What comes before the JSON of the first call, special tokens and all; "" when nothing does. */
const char *hg_calls_opening(hg_call_style s);

/* OpenAI's list of tools ({"type": "function", "function": {"name", "parameters" ...}}): HG_E_ARG
 * names what is wrong with it. */
hg_status hg_calls_check(const struct json_t *tools, hg_err *e);
/* The function of a checked list by its name, or NULL. */
const struct json_t *hg_calls_find(const struct json_t *tools, hg_bytes name);
/* The JSON schema of what follows the opening: a call of `only`, or (NULL) of any of the tools.
 * Parameters for which is_loose[i] are any object. */
hg_status hg_calls_schema(hg_call_style s, const struct json_t *tools, const char *only,
                          const bool *is_loose, hg_buf *out, hg_err *e);
/* For HG_CALLS_EXPLAINED: the conversation (an array of messages) in words that any template knows:
 * tools in the system message, calls and what came of them as text. */
hg_status hg_calls_explain(const struct json_t *messages, const struct json_t *tools, hg_buf *out,
                           hg_err *e);

/* Reads the calls in a whole answer; `opened`: the opening was given and is not in it. *calls is a
 * new array of {"name", "arguments"}, empty when the answer calls none of the tools; the answer's
 * own words are its first *n_words bytes. */
hg_status hg_calls_read(hg_call_style s, const struct json_t *tools, bool opened, hg_bytes answer,
                        struct json_t **calls, size_t *n_words, hg_err *e);
/* Of an answer so far: bytes that are surely words and no part of a call. */
size_t hg_calls_words(hg_call_style s, bool opened, hg_bytes answer);

#endif
