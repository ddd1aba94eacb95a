/* A request of OpenAI's completions and chat completions, checked. */
#ifndef HG_SERVE_OPENAI_H
#define HG_SERVE_OPENAI_H

#include "serve/answer.h"
#include "text/json.h"

enum { HG_OPENAI_MAX_STOP = 4 };

typedef struct hg_openai_call {
    json_t *body; /* what the texts below point into */
    hg_bytes model;
    bool is_chat, stream, include_usage, has_seed;
    uint32_t n, max_tokens; /* max_tokens 0: what the context leaves */
    hg_sampling sampling;
    bool tells_tokens; /* logprobs */
    uint32_t n_top;
    bool has_form; /* response_format; the schema is empty for any object */
    hg_form_kind form;
    hg_bytes schema;
    json_t *tools;    /* that may be called, in the body; NULL: none */
    bool must_call;   /* tool_choice */
    const char *only; /* the one that must be called, or NULL */
    json_t *talk;     /* the messages for hg_backend.converse, where tools are in it; or NULL */
    const char *stop[HG_OPENAI_MAX_STOP];
    size_t n_stop;
    hg_message *messages; /* chat; in `mem` */
    size_t n_messages;
    const json_t
        *prompt; /* else: a string, or an array of strings, or of ids, or of arrays of ids */
} hg_openai_call;

/* Reads and checks everything that can be checked without a model. What Higgins cannot do is
 * refused by name, null is absent, keys that nobody knows are ignored. On failure false and *p.
 * Free the call in either case. */
bool hg_openai_parse(hg_openai_call *c, bool is_chat, hg_bytes body, hg_arena *mem, hg_problem *p);
void hg_openai_call_free(hg_openai_call *c);

/* Reads tools and tool_choice, and the messages where calls are among them, into c. */
bool hg_openai_parse_tools(hg_openai_call *c, hg_problem *p);
/* Writes calls [{"name", "arguments"}] as the member "tool_calls" of a message. */
void hg_openai_put_calls(hg_json_out *o, const json_t *calls);
/* Writes the i-th call as the member of a delta: its name and id, or (rest) its arguments. */
void hg_openai_put_call_delta(hg_json_out *o, const json_t *calls, size_t i, bool rest);

/* Takes what is told of a token into the choice's rooms; writes what was taken since the last time,
 * as the member "logprobs". */
void hg_openai_take_token(hg_answer *a, hg_choice *c, bool is_chat, const hg_token_report *t);
void hg_openai_put_logprobs(hg_json_out *o, bool is_chat, hg_choice *c);

#endif
