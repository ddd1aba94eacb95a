/* A tokenizer.json while it is read: what parse.c and pipeline.c share. */
#ifndef HG_TOKEN_DRAFT_H
#define HG_TOKEN_DRAFT_H

#include "token/token.h"
#include <jansson.h>
#include <string.h>

typedef struct hg_draft {
    hg_arena mem;
    hg_bytes *token;
    uint8_t *flags;
    double *score; /* of a list of tokens */
    size_t n;
    hg_split split[HG_MAX_SPLITS];
    hg_normal normal[HG_MAX_NORMALS];
    bool has_byte_level;
    hg_token_parts parts;
} hg_draft;

static inline hg_status hg_draft_full(hg_err *e)
{
    return hg_fail(e, HG_E_NOMEM, "no room to read the tokenizer");
}

/* ---- small questions to JSON ---- */

static inline const char *text_of(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key)); /* NULL when missing or no string */
}

static inline const char *type_of(const json_t *o)
{
    const char *type = text_of(o, "type");
    return type != NULL ? type : "without a type";
}

static inline bool is_type(const json_t *o, const char *type)
{
    return strcmp(type_of(o), type) == 0;
}

static inline bool flag_of(const json_t *o, const char *key, bool missing)
{
    const json_t *v = json_object_get(o, key);
    return json_is_boolean(v) ? json_boolean_value(v) : missing;
}

hg_status hg_draft_id(const json_t *v, const char *what, int32_t *id, hg_err *e);

/* pipeline.c: everything of the file but its vocabulary. */
hg_status hg_draft_pipeline(hg_draft *d, const json_t *root, hg_err *e);

#endif
