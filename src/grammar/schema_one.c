/* oneOf: a text must fit one alternative and no other. The grammar is the union of all, so it is
 * exact where no text that one alternative writes fits another. That is shown from what the two
 * ask for: types, written values, members that one must have and the other must not, members that
 * both know, bounds and patterns. Texts are those that this grammar writes (an object that names
 * members has no others), fitting is what JSON Schema says (an object may have any). Where an
 * object fits another alternative only because of a member that it need not have, it goes without.
 * What cannot be shown is refused. */
#include "grammar/schema.h"

#include <math.h>
#include <string.h>

enum { DEEPEST = 8, MOST_WORK = 20000 };

typedef struct proof {
    hg_schema *s;
    const hg_schema_path *at;
    unsigned depth, work;
} proof;

static bool apart(proof *p, json_t *a, json_t *b);

/* ---- one value ---- */
static bool same_value(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return !(json_number_value(a) < json_number_value(b)) &&
               !(json_number_value(a) > json_number_value(b));
    return json_equal(a, b) != 0;
}

static bool is_in(const json_t *values, const json_t *v)
{
    for (size_t i = 0; i < json_array_size(values); i++)
        if (same_value(json_array_get(values, i), v)) return true;
    return false;
}

/* A bound of a schema for numbers, or `none`. */
static double bound(const json_t *schema, const char *key, const char *strict, double none)
{
    const json_t *v = json_object_get(schema, key), *w = json_object_get(schema, strict);
    if (json_is_number(v)) return json_number_value(v);
    return json_is_number(w) ? json_number_value(w) : none;
}

static double least(const json_t *schema)
{
    return bound(schema, "minimum", "exclusiveMinimum", -INFINITY);
}

static double most(const json_t *schema)
{
    return bound(schema, "maximum", "exclusiveMaximum", INFINITY);
}

static bool requires(const json_t *schema, const char *key)
{
    const json_t *list = json_object_get(schema, "required");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *r = json_string_value(json_array_get(list, i));
        if (r != NULL && strcmp(r, key) == 0) return true;
    }
    return false;
}

/* The strings of a schema as this grammar writes them; NULL: failed. What "format" means to others
 * is not known, so that it is left out of what texts must fit. */
static hg_x *strings(proof *p, json_t *schema, bool writes)
{
    const json_t *values = json_object_get(schema, "enum");
    hg_x **list = HG_NEW(&p->s->b->mem, hg_x *, json_array_size(values) + 1);
    size_t n = 0;
    if (list == NULL) {
        p->s->b->failed = true;
        return NULL;
    }
    if (values == NULL) {
        json_t *plain = writes ? schema : hg_schema_without(p->s, schema, "format", p->at);
        return plain == NULL ? NULL : hg_schema_string(p->s, plain, p->at);
    }
    for (size_t i = 0; i < json_array_size(values); i++) {
        const json_t *v = json_array_get(values, i);
        if (json_is_string(v)) list[n++] = hg_json_literal(p->s, v);
    }
    return hg_x_alt(p->s->b, list, n);
}

/* Strings are written in one way, so that a text fits both where both grammars write it. */
static bool strings_apart(proof *p, json_t *a, json_t *b)
{
    bool never = false;
    hg_x *x = strings(p, a, true), *y = x == NULL ? NULL : strings(p, b, false);
    hg_x *both = y == NULL ? NULL : hg_x_and(p->s->b, x, y);
    return both != NULL && hg_x_is_never(p->s->b, both, &never, NULL) == HG_OK && never;
}

/* Whether the value, of a type that b allows, does not fit b for what stands in it. */
static bool value_apart(proof *p, json_t *v, json_t *b)
{
    const json_t *values = json_object_get(b, "enum");
    json_t *properties = json_object_get(b, "properties"), *schema;
    const char *key;
    if (values != NULL && !is_in(values, v)) return true;
    if (json_is_string(v)) {
        json_t *one = json_pack("{s:[O]}", "enum", v);
        const bool yes = one != NULL && strings_apart(p, one, b);
        json_decref(one);
        return yes;
    }
    if (json_is_number(v)) return json_number_value(v) < least(b) || json_number_value(v) > most(b);
    if (!json_is_object(v)) return false;
    const json_t *required = json_object_get(b, "required");
    for (size_t i = 0; i < json_array_size(required); i++) {
        key = json_string_value(json_array_get(required, i));
        if (key != NULL && json_object_get(v, key) == NULL) return true;
    }
    json_object_foreach(properties, key, schema)
    {
        json_t *inner = json_object_get(v, key);
        json_t *one = inner == NULL ? NULL : json_pack("{s:[O]}", "enum", inner);
        const bool yes = one != NULL && apart(p, one, schema);
        json_decref(one);
        if (yes) return true;
    }
    return false;
}

/* ---- one type ---- */

/* Objects of a have the members that it names and no others. */
static bool is_closed(const json_t *a)
{
    const json_t *more = json_object_get(a, "additionalProperties");
    return more != NULL ? json_is_false(more) : json_object_get(a, "properties") != NULL;
}

/* Whether every object of a lacks a member that b requires. */
static bool lacks_required(const json_t *a, const json_t *b)
{
    const json_t *required = json_object_get(b, "required");
    const json_t *own = json_object_get(a, "properties");
    for (size_t i = 0; is_closed(a) && i < json_array_size(required); i++) {
        const char *r = json_string_value(json_array_get(required, i));
        if (r != NULL && json_object_get(own, r) == NULL && !requires(a, r)) return true;
    }
    return false;
}

/* Whether every object of a has a member that b forbids. */
static bool has_forbidden(const json_t *a, const json_t *b)
{
    const json_t *required = json_object_get(a, "required");
    if (!json_is_false(json_object_get(b, "additionalProperties"))) return false;
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *r = json_string_value(json_array_get(required, i));
        if (r != NULL && json_object_get(json_object_get(b, "properties"), r) == NULL) return true;
    }
    return false;
}

static bool objects_apart(proof *p, json_t *a, json_t *b)
{
    json_t *properties = json_object_get(b, "properties"), *theirs;
    const char *key;
    if (lacks_required(a, b) || has_forbidden(a, b)) return true;
    json_object_foreach(properties, key, theirs)
    {
        json_t *own = json_object_get(json_object_get(a, "properties"), key);
        /* An object without it does not fit either, or there is none. */
        if (own != NULL && (requires(a, key) || requires(b, key)) && apart(p, own, theirs))
            return true;
    }
    return false;
}

static double count(const json_t *schema, const char *key, double none)
{
    const json_t *v = json_object_get(schema, key);
    return json_is_number(v) ? json_number_value(v) : none;
}

/* Whether no number of the list is within a's bounds. */
static bool all_outside(const json_t *a, const json_t *values)
{
    for (size_t i = 0; i < json_array_size(values); i++) {
        const json_t *v = json_array_get(values, i);
        const double x = json_is_number(v) ? json_number_value(v) : INFINITY;
        if (json_is_number(v) && x >= least(a) && x <= most(a)) return false;
    }
    return true;
}

static bool type_apart(proof *p, json_t *a, json_t *b, unsigned type)
{
    const json_t *values = json_object_get(b, "enum");
    const bool is_number = (type & (HG_SCHEMA_NUMBER | HG_SCHEMA_INTEGER)) != 0;
    if (type == HG_SCHEMA_STRING) return strings_apart(p, a, b);
    if (values != NULL) return is_number && all_outside(a, values);
    if (type == HG_SCHEMA_OBJECT) return objects_apart(p, a, b);
    if (type == HG_SCHEMA_ARRAY)
        return count(a, "minItems", 0) > count(b, "maxItems", INFINITY) ||
               count(a, "maxItems", INFINITY) < count(b, "minItems", 0);
    return is_number && (most(a) < least(b) || least(a) > most(b));
}

/* ---- two schemas ---- */
static unsigned widened(unsigned types)
{
    return (types & HG_SCHEMA_NUMBER) != 0 ? types | HG_SCHEMA_INTEGER : types;
}

/* The types of the texts that a writes, and of those that fit b. */
static unsigned written(proof *p, json_t *a)
{
    const json_t *values = json_object_get(a, "enum");
    const unsigned types = hg_schema_types(p->s, a, p->at);
    unsigned of = 0;
    if (values == NULL) return types == 0 ? HG_SCHEMA_ANY : widened(types);
    for (size_t i = 0; i < json_array_size(values); i++)
        of |= hg_schema_type_of(json_array_get(values, i));
    return types == 0 ? of : of & widened(types);
}

static unsigned fitting(proof *p, json_t *b)
{
    return json_object_get(b, "type") == NULL ? HG_SCHEMA_ANY : written(p, b);
}

static bool values_apart(proof *p, json_t *a, json_t *b, unsigned common)
{
    json_t *values = json_object_get(a, "enum");
    for (size_t i = 0; i < json_array_size(values); i++) {
        json_t *v = json_array_get(values, i);
        if ((hg_schema_type_of(v) & common) != 0 && !value_apart(p, v, b)) return false;
    }
    return true;
}

/* Of an alternative: with what stands beside the alternatives. */
static json_t *part_of(proof *p, json_t *base, json_t *one)
{
    json_t *flat = hg_schema_flatten(p->s, one, p->at);
    return flat == NULL ? NULL : hg_schema_both(p->s, base, flat, p->at);
}

/* Whether all alternatives of `flat` under the key are apart from the other; -1: it has none. */
static int each_apart(proof *p, json_t *flat, json_t *other, bool flat_writes)
{
    const char *key = json_object_get(flat, "anyOf") != NULL ? "anyOf" : "oneOf";
    json_t *list = json_object_get(flat, key);
    if (list == NULL) return -1;
    json_t *base = hg_schema_without(p->s, flat, key, p->at);
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *part = base == NULL ? NULL : part_of(p, base, json_array_get(list, i));
        if (part == NULL || !(flat_writes ? apart(p, part, other) : apart(p, other, part)))
            return 0;
    }
    return 1;
}

static bool flat_apart(proof *p, json_t *a, json_t *b)
{
    if (json_is_false(a) || json_is_false(b)) return true;
    if (json_is_true(a) || json_is_true(b)) return false;
    int each = each_apart(p, a, b, true);
    if (each >= 0) return each == 1;
    each = each_apart(p, b, a, false);
    if (each >= 0) return each == 1;
    const unsigned common = written(p, a) & fitting(p, b);
    if (json_object_get(a, "enum") != NULL) return values_apart(p, a, b, common);
    for (unsigned t = 1; t <= HG_SCHEMA_NULL; t <<= 1)
        if ((common & t) != 0 && !type_apart(p, a, b, t)) return false;
    return true;
}

/* Whether it is shown that no text of a fits b. */
static bool apart(proof *p, json_t *a, json_t *b)
{
    if (p->s->failed || p->depth >= DEEPEST || ++p->work > MOST_WORK) return false;
    p->depth++;
    json_t *x = hg_schema_flatten(p->s, a, p->at), *y = NULL;
    if (x != NULL) y = hg_schema_flatten(p->s, b, p->at);
    const bool yes = y != NULL && flat_apart(p, x, y) && !p->s->failed;
    p->depth--;
    return yes;
}

/* a without a member that b requires and a need not have, if it then is apart from b; or NULL. */
static json_t *narrowed(proof *p, json_t *a, json_t *b)
{
    const json_t *required = json_object_get(b, "required");
    if (!json_is_object(a) || !json_is_object(b) || !is_closed(a)) return NULL;
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *r = json_string_value(json_array_get(required, i));
        json_t *own = json_object_get(a, "properties");
        if (r == NULL || json_object_get(own, r) == NULL || requires(a, r)) continue;
        json_t *fewer = json_copy(own);
        (void)json_object_del(fewer, r);
        json_t *out = hg_schema_without(p->s, a, "properties", p->at);
        if (out != NULL && json_object_set_new(out, "properties", fewer) != 0)
            p->s->b->failed = true;
        return out != NULL && apart(p, out, b) ? out : NULL;
    }
    return NULL;
}

/* Shows that no text of *a fits b, or makes *a such; false: neither. What was made for it goes. */
static bool part_from(hg_schema *s, json_t **a, json_t *b, const hg_schema_path *at)
{
    proof p = {.s = s, .at = at};
    const size_t n_owned = json_array_size(s->owned), n_merged = s->n_merged;
    bool yes = apart(&p, *a, b);
    json_t *less = yes || s->failed ? NULL : json_incref(narrowed(&p, *a, b));
    while (json_array_size(s->owned) > n_owned)
        (void)json_array_remove(s->owned, json_array_size(s->owned) - 1);
    s->n_merged = n_merged;
    if (less == NULL) return yes;
    *a = less;
    yes = json_array_append_new(s->owned, less) == 0;
    if (!yes) s->b->failed = true;
    return yes;
}

bool hg_schema_part(hg_schema *s, json_t **narrow, json_t *const *part, size_t n,
                    const hg_schema_path *at)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++) {
            if (i == k || part_from(s, &narrow[i], part[k], at)) continue;
            if (!s->failed && !s->b->failed)
                (void)hg_schema_fail(s, at, HG_E_UNSUPPORTED,
                                     "a text may fit alternatives %zu and %zu of \"oneOf\" both; "
                                     "give them types, constants or required members that differ, "
                                     "or write \"anyOf\"",
                                     i < k ? i : k, i < k ? k : i);
            return false;
        }
    return true;
}
