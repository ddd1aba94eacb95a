/* See json_read.h. */
#include "serve/json_read.h"

#include <string.h>

bool hg_tree_is(const json_t *v, const char *word)
{
    return json_is_string(v) && strcmp(json_string_value(v), word) == 0;
}

const json_t *hg_tree_get(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);

    return json_is_null(v) ? NULL : v;
}

void hg_tree_set(json_t *o, const char *key, json_t *v)
{
    if (v != NULL) (void)json_object_set_new(o, key, v);
}

void hg_tree_copy(json_t *to, const char *as, const json_t *from, const char *key)
{
    hg_tree_set(to, as, json_deep_copy(hg_tree_get(from, key)));
}

json_t *hg_tree_text(hg_buf *b)
{
    json_t *v = b->failed ? NULL : json_stringn(b->n > 0 ? b->p : "", b->n);

    hg_buf_free(b);
    return v;
}
