/* Schemas that hold together (allOf, what stands beside a $ref or an anyOf) become one schema
 * before anything is made of them: each keyword knows how two of its values are both kept. */
#include "grammar/schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void put_path(hg_buf *out, const hg_schema_path *at)
{
    if (at == NULL) return;
    if (at->up == NULL) {
        hg_buf_puts(out, at->key);
        return;
    }
    put_path(out, at->up);
    if (at->key == NULL) {
        hg_buf_printf(out, "/%zu", at->index);
        return;
    }
    hg_buf_putc(out, '/');
    for (const char *c = at->key; *c != '\0'; c++)
        if (*c == '~' || *c == '/')
            hg_buf_puts(out, *c == '~' ? "~0" : "~1");
        else
            hg_buf_putc(out, *c);
}

hg_x *hg_schema_fail(hg_schema *s, const hg_schema_path *at, hg_status status, const char *fmt, ...)
{
    hg_buf text = {0};
    char what[320];
    va_list args;
    if (s->failed) return NULL;
    s->failed = true;
    va_start(args, fmt);
    (void)vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    put_path(&text, at);
    (void)hg_fail(s->e, status, "%.160s: %s", text.p == NULL ? "#" : text.p, what);
    hg_buf_free(&text);
    return NULL;
}

static json_t *refuse(hg_schema *s, const hg_schema_path *at, hg_status status, const char *what)
{
    (void)hg_schema_fail(s, at, status, "%s", what);
    return NULL;
}

/* Keeps a new schema as long as the rules; NULL when there is no room. */
static json_t *keep(hg_schema *s, json_t *made)
{
    if (++s->n_merged > HG_MAX_SCHEMAS) {
        json_decref(made);
        return refuse(s, NULL, HG_E_LIMIT, "too many schemas come of merging");
    }
    if (made == NULL || json_array_append_new(s->owned, made) != 0) {
        s->b->failed = true;
        return NULL;
    }
    return made;
}

json_t *hg_schema_without(hg_schema *s, json_t *schema, const char *key, const hg_schema_path *at)
{
    (void)at;
    json_t *copy = keep(s, json_copy(schema));
    if (copy != NULL) (void)json_object_del(copy, key);
    return copy;
}

/* ---- references ---- */
/* One step of a pointer, its ~0, ~1 and %XX read. */
static size_t unescape(const char *p, size_t n, char *out)
{
    size_t made = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned v = 0;
        if (p[i] == '~' && i + 1 < n && (p[i + 1] == '0' || p[i + 1] == '1')) {
            out[made++] = p[++i] == '0' ? '~' : '/';
        } else if (p[i] == '%' && i + 2 < n) {
            for (size_t k = 1; k <= 2; k++) {
                const char c = p[i + k];
                v = v << 4 | ((unsigned)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10) & 15);
            }
            out[made++] = (char)v;
            i += 2;
        } else {
            out[made++] = p[i];
        }
    }
    return made;
}

static json_t *step(json_t *at, const char *key, size_t n)
{
    if (json_is_object(at)) return json_object_getn(at, key, n);
    size_t i = 0;
    if (!json_is_array(at) || n == 0 || n > 9) return NULL;
    for (size_t k = 0; k < n; k++) {
        if (key[k] < '0' || key[k] > '9') return NULL;
        i = i * 10 + (size_t)(key[k] - '0');
    }
    return json_array_get(at, i);
}

json_t *hg_schema_find(hg_schema *s, const json_t *ref, const hg_schema_path *at)
{
    char key[256];
    const char *p = json_string_value(ref);
    if (p == NULL) return refuse(s, at, HG_E_FORMAT, "\"$ref\" must be a string");
    if (p[0] != '#' || (p[1] != '\0' && p[1] != '/'))
        return refuse(s, at, HG_E_UNSUPPORTED,
                      "a $ref that leaves the text is not followed; \"#\" and \"#/...\" are");
    json_t *found = s->root;
    for (p++; *p == '/' && found != NULL;) {
        const size_t n = strcspn(++p, "/");
        found = n < sizeof key ? step(found, key, unescape(p, n, key)) : NULL;
        p += n;
    }
    if (found != NULL) return found;
    (void)hg_schema_fail(s, at, HG_E_FORMAT, "\"$ref\": nothing is at \"%.80s\"",
                         json_string_value(ref));
    return NULL;
}

/* ---- one keyword of two schemas; a new reference or NULL ---- */
typedef enum rule { LEAST, MOST, TYPES, VALUES, ITEMS, TEXTS, EITHER, SAME } rule;
static const struct {
    const char *key;
    rule how;
} rules[] = {
    {"minimum", MOST},
    {"exclusiveMinimum", MOST},
    {"minLength", MOST},
    {"minItems", MOST},
    {"minProperties", MOST},
    {"maximum", LEAST},
    {"exclusiveMaximum", LEAST},
    {"maxLength", LEAST},
    {"maxItems", LEAST},
    {"maxProperties", LEAST},
    {"type", TYPES},
    {"enum", VALUES},
    {"required", ITEMS},
    {"pattern", TEXTS},
    {"format", SAME},
    {"multipleOf", SAME},
    {"anyOf", EITHER},
    {"oneOf", EITHER},
};

static json_t *pair(json_t *a, json_t *b)
{
    if (a == NULL || b == NULL) return json_incref(a != NULL ? a : b);
    return json_pack("{s:[O,O]}", "allOf", a, b);
}

static bool has_type(const json_t *types, const char *name)
{
    if (json_is_string(types)) return strcmp(json_string_value(types), name) == 0;
    for (size_t i = 0; i < json_array_size(types); i++) {
        const char *t = json_string_value(json_array_get(types, i));
        if (t != NULL && strcmp(t, name) == 0) return true;
    }
    return false;
}

static json_t *both_types(const json_t *a, const json_t *b)
{
    static const char *const names[] = {"object",  "array",   "string", "number",
                                        "integer", "boolean", "null"};
    json_t *out = json_array();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const bool whole = strcmp(names[i], "integer") == 0;
        const bool x = has_type(a, names[i]) || (whole && has_type(a, "number"));
        const bool y = has_type(b, names[i]) || (whole && has_type(b, "number"));
        const bool twice = whole && has_type(a, "number") && has_type(b, "number");
        if (x && y && !twice) (void)json_array_append_new(out, json_string(names[i]));
    }
    return out;
}

/* Elements of a that are in b (`in`), or a and what b has more. */
static json_t *elements(json_t *a, json_t *b, bool in)
{
    json_t *out = in ? json_array() : json_copy(a), *v;
    size_t i, k;
    json_array_foreach(in ? a : b, i, v)
    {
        json_t *other = in ? b : a;
        bool found = false;
        for (k = 0; k < json_array_size(other) && !found; k++)
            found = json_equal(v, json_array_get(other, k)) != 0;
        if (found == in) (void)json_array_append(out, v);
    }
    return out;
}

static json_t *alternatives(json_t *a, json_t *b)
{
    json_t *out = json_array();
    for (size_t i = 0; i < json_array_size(a); i++)
        for (size_t k = 0; k < json_array_size(b) && json_array_size(out) < HG_MAX_SCHEMAS; k++)
            (void)json_array_append_new(out, pair(json_array_get(a, i), json_array_get(b, k)));
    return out;
}

static json_t *texts(json_t *a, json_t *b)
{
    json_t *out = json_is_array(a) ? json_copy(a) : json_pack("[O]", a);
    if (json_is_array(b))
        (void)json_array_extend(out, b);
    else
        (void)json_array_append(out, b);
    return out;
}

static json_t *keyword(hg_schema *s, size_t r, json_t *a, json_t *b, const hg_schema_path *at)
{
    const bool less = json_number_value(a) < json_number_value(b);
    switch (rules[r].how) {
    case LEAST:
        return json_incref(less ? a : b);
    case MOST:
        return json_incref(less ? b : a);
    case TYPES:
        return both_types(a, b);
    case VALUES:
        return elements(a, b, true);
    case ITEMS:
        return elements(a, b, false);
    case TEXTS:
        return texts(a, b);
    case EITHER:
        return alternatives(a, b);
    case SAME:
        break;
    }
    if (json_equal(a, b)) return json_incref(a);
    (void)hg_schema_fail(s, at, HG_E_UNSUPPORTED, "two demands on \"%s\" are not combined",
                         rules[r].key);
    return NULL;
}

/* Members that only one schema names meet what the other says of additional ones. */
static json_t *both_properties(json_t *a, json_t *b)
{
    json_t *out = json_object(), *x = json_object_get(a, "properties"), *v;
    json_t *y = json_object_get(b, "properties");
    const char *key;
    json_object_foreach(x, key, v)
    {
        json_t *other = json_object_get(y, key);
        if (other == NULL) other = json_object_get(b, "additionalProperties");
        (void)json_object_set_new(out, key, pair(v, other));
    }
    json_object_foreach(y, key, v) if (json_object_get(out, key) == NULL)(void)
        json_object_set_new(out, key, pair(v, json_object_get(a, "additionalProperties")));
    return out;
}

static json_t *both_prefixes(json_t *a, json_t *b)
{
    json_t *x = json_object_get(a, "prefixItems"), *y = json_object_get(b, "prefixItems");
    json_t *out = json_array();
    for (size_t i = 0; i < json_array_size(x) || i < json_array_size(y); i++) {
        json_t *v = json_array_get(x, i), *w = json_array_get(y, i);
        if (v == NULL) v = json_object_get(a, "items");
        if (w == NULL) w = json_object_get(b, "items");
        (void)json_array_append_new(out, pair(v, w));
    }
    return out;
}

static void set_if(json_t *out, const char *key, json_t *v)
{
    if (v != NULL) (void)json_object_set_new(out, key, v);
}

/* A const is an enum of one, so that there is one of the two. */
static void const_to_enum(json_t *schema)
{
    json_t *v = json_object_get(schema, "const"), *known = json_object_get(schema, "enum");
    if (v == NULL) return;
    json_t *one = json_pack("[O]", v);
    json_t *left = known == NULL ? json_incref(one) : elements(one, known, true);
    (void)json_object_del(schema, "const");
    set_if(schema, "enum", left);
    json_decref(one);
}

json_t *hg_schema_both(hg_schema *s, json_t *a, json_t *b, const hg_schema_path *at)
{
    if (!json_is_object(a)) return json_is_false(a) ? a : b;
    if (!json_is_object(b)) return json_is_false(b) ? b : a;
    json_t *out = keep(s, json_copy(a));
    if (out == NULL) return NULL;
    (void)json_object_update_missing(out, b);
    for (size_t r = 0; r < sizeof rules / sizeof rules[0]; r++) {
        json_t *x = json_object_get(a, rules[r].key), *y = json_object_get(b, rules[r].key);
        if (x == NULL || y == NULL) continue;
        json_t *v = keyword(s, r, x, y, at);
        if (v == NULL) return NULL;
        (void)json_object_set_new(out, rules[r].key, v);
    }
    if (json_object_get(out, "properties") != NULL)
        set_if(out, "properties", both_properties(a, b));
    if (json_object_get(out, "prefixItems") != NULL)
        set_if(out, "prefixItems", both_prefixes(a, b));
    static const char *const deep[] = {"additionalProperties", "items"};
    for (size_t i = 0; i < 2; i++) {
        json_t *v = pair(json_object_get(a, deep[i]), json_object_get(b, deep[i]));
        set_if(out, deep[i], v);
    }
    return out;
}

/* ---- flat ---- */
static bool check_keywords(hg_schema *s, json_t *schema, const hg_schema_path *at)
{
    static const char *const refused[] = {"not",
                                          "if",
                                          "then",
                                          "else",
                                          "dependencies",
                                          "contains",
                                          "minContains",
                                          "maxContains",
                                          "propertyNames",
                                          "$dynamicRef",
                                          "$recursiveRef",
                                          "patternProperties",
                                          "dependentRequired",
                                          "dependentSchemas",
                                          "unevaluatedItems",
                                          "unevaluatedProperties"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (json_object_get(schema, refused[i]) != NULL)
            return hg_schema_fail(s, at, HG_E_UNSUPPORTED,
                                  "\"%s\" is not held; write what may come instead",
                                  refused[i]) != NULL;
    if (json_is_true(json_object_get(schema, "uniqueItems")))
        return hg_schema_fail(s, at, HG_E_UNSUPPORTED,
                              "\"uniqueItems\" is not held; a grammar does not remember items") !=
               NULL;
    return true;
}

/* What the keywords must be for merging; their readers check the rest. */
static bool check_shapes(hg_schema *s, json_t *schema, const hg_schema_path *at)
{
    static const char *const arrays[] = {"enum",  "required", "anyOf",
                                         "oneOf", "allOf",    "prefixItems"};
    const json_t *properties = json_object_get(schema, "properties");
    for (size_t i = 0; i < 6; i++) {
        const json_t *v = json_object_get(schema, arrays[i]);
        if (v != NULL && !json_is_array(v))
            return hg_schema_fail(s, at, HG_E_FORMAT, "\"%s\" must be an array", arrays[i]) != NULL;
    }
    if (properties != NULL && !json_is_object(properties))
        return hg_schema_fail(s, at, HG_E_FORMAT, "\"properties\" must be an object") != NULL;
    return true;
}

/* Older drafts have tuples in "items" and what follows them in "additionalItems". */
static void renew(json_t *schema)
{
    json_t *items = json_object_get(schema, "items"), *more;
    if (!json_is_array(items)) return;
    (void)json_object_set(schema, "prefixItems", items);
    (void)json_object_del(schema, "items");
    more = json_object_get(schema, "additionalItems");
    if (more != NULL) (void)json_object_set(schema, "items", more);
}

static json_t *flatten(hg_schema *s, json_t *schema, const hg_schema_path *at)
{
    if (json_is_boolean(schema)) return schema;
    if (!json_is_object(schema))
        return refuse(s, at, HG_E_FORMAT, "a schema must be an object, true or false");
    if (!check_keywords(s, schema, at) || !check_shapes(s, schema, at)) return NULL;
    json_t *ref = json_object_get(schema, "$ref"), *all = json_object_get(schema, "allOf");
    json_t *out = keep(s, json_copy(schema));
    if (out == NULL) return NULL;
    (void)json_object_del(out, "$ref");
    (void)json_object_del(out, "allOf");
    const_to_enum(out);
    renew(out);
    if (ref != NULL) {
        json_t *target = hg_schema_find(s, ref, at);
        const hg_schema_path there = {NULL, json_string_value(ref), 0};
        target = target == NULL ? NULL : hg_schema_flatten(s, target, &there);
        out = target == NULL ? NULL : hg_schema_both(s, target, out, at);
    }
    for (size_t i = 0; out != NULL && i < json_array_size(all); i++) {
        const hg_schema_path in = {at, "allOf", 0}, part = {&in, NULL, i};
        json_t *one = hg_schema_flatten(s, json_array_get(all, i), &part);
        out = one == NULL ? NULL : hg_schema_both(s, out, one, at);
    }
    return out;
}

json_t *hg_schema_flatten(hg_schema *s, json_t *schema, const hg_schema_path *at)
{
    if (++s->depth > HG_GRAMMAR_DEPTH)
        return refuse(s, at, HG_E_LIMIT, "schemas refer to each other without an end");
    json_t *out = flatten(s, schema, at);
    s->depth--;
    return out;
}
