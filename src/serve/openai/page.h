/* Lists as OpenAI's clients page through them: {"object": "list", "data", "first_id", "last_id",
 * "has_more"}, asked for by after, limit and order. */
#ifndef HG_SERVE_OPENAI_PAGE_H
#define HG_SERVE_OPENAI_PAGE_H

#include "serve/server.h"

typedef struct hg_page {
    const char *after; /* in the exchange's memory; NULL: from the first */
    uint32_t limit;
    bool is_newest_first;
    /* what was put */
    hg_json_out out;
    hg_buf buf;
    uint32_t n;
    bool has_more;
    char first[64], last[64];
} hg_page;
/* Reads the query; `newest` is the order that counts when none is asked for. False and *p. */
bool hg_page_read(hg_page *p, const hg_exchange *x, uint32_t limit, bool newest, hg_problem *why);
/* False: the page is full already, and there is more. `json` has the member "id". */
bool hg_page_put(hg_page *p, const char *id, hg_bytes json);
/* The same for one whose id is in it. */
bool hg_page_put_body(hg_page *p, hg_bytes json);
/* Answers with the list. */
void hg_page_reply(hg_page *p, hg_exchange *x, const hg_protocol *protocol);
void hg_page_free(hg_page *p); /* where it is not replied */

#endif
