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

/* Which page of a list is asked for: the `limit` that follow id, or (is_back) that are before it,
 * both in the order of the list; "": from the first. */
enum { HG_ANTHROPIC_MOST = 1000 };
typedef struct hg_anthropic_page {
    size_t limit;
    char id[256];
    bool is_back;
} hg_anthropic_page;
bool hg_anthropic_page_read(hg_anthropic_page *out, const hg_exchange *x, hg_problem *p);
/* What is said behind the page's data: has_more in the direction that was asked for, and the ids of
 * its first and last (NULL: it is empty). */
void hg_anthropic_page_end(hg_json_out *o, bool has_more, const char *first, const char *last);

#endif
