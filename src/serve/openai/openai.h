/* A request of OpenAI's completions and chat completions, checked. It is the form into which the
 * other protocols bring their requests, too. */
#ifndef HG_SERVE_OPENAI_H
#define HG_SERVE_OPENAI_H

#include "serve/answer.h"
#include "text/json.h"

enum { HG_OPENAI_MAX_STOP = 4 }; /* in its own requests; HG_MAX_STOP in others */

typedef struct hg_openai_call {
    json_t *body; /* what the texts below point into */
    hg_bytes model;
    bool is_chat, stream, include_usage, has_seed;
    bool store;             /* a chat's answer is kept */
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
    const char *stop[HG_MAX_STOP];
    size_t n_stop;
    hg_bytes prefill;     /* what the answer is to go on with; it lives in the body */
    hg_message *messages; /* chat; in `mem` */
    size_t n_messages;
    const json_t
        *prompt; /* else: a string, or an array of strings, or of ids, or of arrays of ids */
} hg_openai_call;

/* The JSON of a body, the caller's until json_decref; or false and *p. */
bool hg_body_parse(json_t **out, hg_bytes body, hg_problem *p);
/* Reads and checks everything that can be checked without a model. What Higgins cannot do is
 * refused by name, null is absent, keys that nobody knows are ignored. On failure false and *p.
 * Free the call in either case. */
bool hg_openai_parse(hg_openai_call *c, bool is_chat, hg_bytes body, hg_arena *mem, hg_problem *p);
/* The same from a body that was read, which *c has from now on. */
bool hg_openai_read(hg_openai_call *c, bool is_chat, json_t *body, hg_arena *mem, hg_problem *p);
void hg_openai_call_free(hg_openai_call *c);

/* The member "metadata" (NULL: none): at most 16 short strings. False and *p. */
bool hg_openai_metadata(const json_t *body, const json_t **out, hg_problem *p);

/* Who tells the answer, and what he remembers meanwhile (in the exchange's memory). */
typedef struct hg_asker {
    const hg_teller *teller;
    const char *id_prefix;
    void *note;
} hg_asker;
/* Starts the answer. False and *p: refused, and nothing was started. */
bool hg_openai_ask(hg_server *s, hg_exchange *x, const hg_openai_call *c, const hg_asker *by,
                   hg_problem *p);
/* Whether it would be refused: what is asked later is told so now. */
bool hg_openai_check(hg_server *s, hg_exchange *x, const hg_openai_call *c, hg_problem *p);
/* Tokens of what would be asked. */
bool hg_openai_count(hg_server *s, hg_exchange *x, const hg_openai_call *c, size_t *n,
                     hg_problem *p);

/* Appends an array of token ids. False and *p, which names the field `param`. */
bool hg_openai_read_ids(hg_ids *ids, const json_t *v, const hg_backend *m, const char *param,
                        hg_problem *p);
/* Reads tools and tool_choice, and the messages where calls are among them, into c. */
bool hg_openai_parse_tools(hg_openai_call *c, hg_problem *p);
/* A new name for a call; the prefix has at most 15 bytes. */
void hg_put_call_id(hg_json_out *o, const char *key, const char *prefix);
/* Writes calls [{"name", "arguments"}] as the member "tool_calls" of a message. */
void hg_openai_put_calls(hg_json_out *o, const json_t *calls);
/* Writes the i-th call as the member of a delta: its name and id, or (rest) its arguments. */
void hg_openai_put_call_delta(hg_json_out *o, const json_t *calls, size_t i, bool rest);

/* Takes what is told of a token into the choice's rooms; writes what was taken since the last time,
 * as the member "logprobs". */
void hg_openai_take_token(hg_answer *a, hg_choice *c, bool is_chat, const hg_token_report *t);
void hg_openai_put_logprobs(hg_json_out *o, bool is_chat, hg_choice *c);
/* The same for who tells the list of a chat's tokens alone, under a key of his own. */
void hg_openai_put_tokens(hg_json_out *o, const char *key, hg_choice *c);

#endif
