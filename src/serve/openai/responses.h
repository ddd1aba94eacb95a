/* Requests of OpenAI's Responses API, brought into the form of its chat completions. */
#ifndef HG_SERVE_RESPONSES_H
#define HG_SERVE_RESPONSES_H

#include "serve/openai/openai.h"

typedef struct hg_responses_call {
    hg_openai_call chat; /* what is asked; its texts live in it */
    json_t *body;        /* the request as it came */
    json_t *messages;    /* the conversation without instructions, in chat's form */
    bool store, is_background;
    hg_bytes previous; /* previous_response_id, in the body; n 0: none */
} hg_responses_call;

/* Reads a body; what it says of the conversation before it is in c->previous. Free c in either
 * case. */
bool hg_responses_read(hg_responses_call *c, hg_bytes body, hg_problem *p);
/* Checks the rest and makes c->chat, with the messages `before` (NULL: none) in front of its own.
 * Refusals name the field as the Responses API does ("input[2].content"). */
bool hg_responses_parse(hg_responses_call *c, const json_t *before, hg_arena *mem, hg_problem *p);
/* What chat completions have refused, by the name that the field has here. */
void hg_responses_rename(hg_problem *p);
void hg_responses_call_free(hg_responses_call *c);

#endif
