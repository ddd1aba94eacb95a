/* JSON schemas on their way to expressions: what the parts of the reader share. A value is written
 * in one way where JSON leaves a choice: characters stand for themselves where they may. */
#ifndef HG_GRAMMAR_SCHEMA_H
#define HG_GRAMMAR_SCHEMA_H

#include "grammar/scan.h"
#include "text/json.h"

enum { HG_MAX_SCHEMAS = 8192 }; /* read from one text, merged ones included */

/* Where a schema is, for sentences: linked from the inside out. */
typedef struct hg_schema_path {
    const struct hg_schema_path *up;
    const char *key; /* NULL: the index, or at the top the text of a reference */
    size_t index;
} hg_schema_path;

typedef struct hg_schema_rule {
    const json_t *schema;
    uint32_t rule;
} hg_schema_rule;

typedef struct hg_schema {
    hg_build *b;
    json_t *root;  /* the whole text */
    json_t *owned; /* schemas that were merged; they live as long as the rules */
    hg_schema_rule *known;
    size_t n_known, known_cap;
    hg_x *space; /* what may stand between the parts of a value */
    uint32_t any, any_object;
    unsigned depth;
    size_t n_merged;
    bool failed; /* the sentence is written */
    hg_err *e;
} hg_schema;

/* Writes "#/properties/a: ..." and gives NULL. */
hg_x *hg_schema_fail(hg_schema *s, const hg_schema_path *at, hg_status status, const char *fmt, ...)
    HG_PRINTF(4, 5);

/* The schema with $ref and allOf worked in: true, false or an object that has neither. NULL:
 * failed. Borrowed. */
json_t *hg_schema_flatten(hg_schema *s, json_t *schema, const hg_schema_path *at);
/* What both ask for, flat. */
json_t *hg_schema_both(hg_schema *s, json_t *a, json_t *b, const hg_schema_path *at);
/* Without one keyword. */
json_t *hg_schema_without(hg_schema *s, json_t *schema, const char *key, const hg_schema_path *at);
/* What a $ref names. */
json_t *hg_schema_find(hg_schema *s, const json_t *ref, const hg_schema_path *at);

/* Numbers without bounds: not longer than what parsers can hold. */
#define HG_JSON_INTEGER "-?(0|[1-9][0-9]{0,17})"
#define HG_JSON_NUMBER HG_JSON_INTEGER "(\\.[0-9]+)?([eE][+-]?[0-9]{1,2})?"

/* Types, or'ed. */
enum {
    HG_SCHEMA_OBJECT = 1,
    HG_SCHEMA_ARRAY = 2,
    HG_SCHEMA_STRING = 4,
    HG_SCHEMA_NUMBER = 8,
    HG_SCHEMA_INTEGER = 16,
    HG_SCHEMA_BOOLEAN = 32,
    HG_SCHEMA_NULL = 64,
    HG_SCHEMA_ANY = 127
};
/* What a flat schema allows; 0: it says nothing of types, or (with "type") nothing is allowed. */
unsigned hg_schema_types(hg_schema *s, json_t *schema, const hg_schema_path *at);
unsigned hg_schema_type_of(const json_t *value); /* those that it may be called */
/* Makes of the flat alternatives part[n], in narrow (which begins as they do), such that no text of
 * one fits another of part; where need be one is smaller. False: failed, or it cannot be shown. */
bool hg_schema_part(hg_schema *s, json_t **narrow, json_t *const *part, size_t n,
                    const hg_schema_path *at);

/* Values. */
hg_x *hg_schema_number(hg_schema *s, json_t *schema, bool whole, const hg_schema_path *at);
hg_x *hg_schema_string(hg_schema *s, json_t *schema, const hg_schema_path *at);
hg_x *hg_json_literal(hg_schema *s, const json_t *value);
hg_x *hg_json_any_string(hg_build *b);
hg_status hg_json_rules(hg_schema *s); /* space, any and any_object */
/* A count of a keyword, or `missing`. */
bool hg_schema_count(hg_schema *s, const json_t *schema, const char *key, uint32_t missing,
                     uint32_t *out, const hg_schema_path *at);

#endif
