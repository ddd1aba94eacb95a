/* Anthropic's requests, brought into OpenAI's form. */
#ifndef HG_SERVE_ANTHROPIC_H
#define HG_SERVE_ANTHROPIC_H

#include "serve/openai/openai.h"

/* Reads and checks a body of /v1/messages, or (is_count) of its count of tokens, where max_tokens
 * may be missing. is_new: the API of 2026-10-21, which knows no temperature, top_p and top_k, and
 * lets the system speak among the messages. Refusals name the field as Anthropic does
 * ("messages.0.role: ..."). Free the call in either case. */
bool hg_anthropic_parse(hg_openai_call *c, hg_bytes body, bool is_count, bool is_new, hg_arena *mem,
                        hg_problem *p);

#endif
