/* What the readers of requests share: they look into trees of JSON and make others of them, where a
 * member that is null is one that is absent. */
#ifndef HG_SERVE_JSON_READ_H
#define HG_SERVE_JSON_READ_H

#include "text/json.h"

/* Whether it is a string of these letters. */
bool hg_tree_is(const json_t *v, const char *word);
/* NULL: absent, or null. */
const json_t *hg_tree_get(const json_t *o, const char *key);
/* Takes `v`; NULL stays absent. */
void hg_tree_set(json_t *o, const char *key, json_t *v);
/* A copy of a member, under another name; what is absent stays absent. */
void hg_tree_copy(json_t *to, const char *as, const json_t *from, const char *key);
/* What was written, as a string; the buffer is empty then. NULL: there was no room. */
json_t *hg_tree_text(hg_buf *b);

#endif
