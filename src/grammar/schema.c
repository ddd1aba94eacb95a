/* A JSON schema as a grammar of the texts that it describes: each schema is a rule, so that schemas
 * may refer to themselves. Members come in the order in which the schema names them, and additional
 * ones behind them. Where a schema leaves out what may be there, the smaller reading is taken: an
 * object that names members has no others unless additionalProperties says so. */
#include "grammar/schema.h"

#include <string.h>

enum { MAX_COUNTED = 1 << 18 }; /* members of an object times the counts kept of them */

static hg_x *schema_rule(hg_schema *s, json_t *schema, const hg_schema_path *at);

/* ---- objects ---- */
static hg_x *member(hg_schema *s, hg_x *name, hg_x *value)
{
    hg_x *colon = hg_x_seq2(s->b, hg_x_text(s->b, ":"), s->space);
    return hg_x_seq3(s->b, name, colon, value);
}

static hg_x *named_member(hg_schema *s, const char *key, json_t *schema, const hg_schema_path *at)
{
    json_t *name = json_string(key);
    const hg_schema_path in = {at, "properties", 0}, here = {&in, key, 0};
    if (name == NULL) {
        s->b->failed = true;
        return NULL;
    }
    hg_x *text = hg_json_literal(s, name), *value = schema_rule(s, schema, &here);
    json_decref(name);
    return value == NULL ? NULL : member(s, text, value);
}

static bool is_required(const json_t *required, const char *key)
{
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *r = json_string_value(json_array_get(required, i));
        if (r != NULL && strcmp(r, key) == 0) return true;
    }
    return false;
}

/* The names that additional members may have: any but those that are described. */
static hg_x *free_name(hg_schema *s, json_t *properties, const json_t *required)
{
    const size_t n_required = json_array_size(required);
    hg_x **list = HG_NEW(&s->b->mem, hg_x *, json_object_size(properties) + n_required + 1);
    hg_x *any = hg_json_any_string(s->b);
    const char *key;
    json_t *v;
    size_t n = 0;
    if (list == NULL) {
        s->b->failed = true;
        return NULL;
    }
    json_object_foreach(properties, key, v)
    {
        json_t *name = json_string(key);
        if (name != NULL) list[n++] = hg_json_literal(s, name);
        json_decref(name);
    }
    for (size_t i = 0; i < n_required; i++)
        list[n++] = hg_json_literal(s, json_array_get(required, i));
    hg_x *x = hg_x_minus(s->b, any, hg_x_alt(s->b, list, n));
    const uint32_t rule = hg_rule_new(s->b, "name", 4);
    hg_rule_set(s->b, rule, x);
    return hg_x_rule(s->b, rule);
}

/* Fills el with the members that are named or required; false: failed. */
static bool members(hg_schema *s, json_t *schema, json_t *more, hg_x_element *el, size_t *n,
                    const hg_schema_path *at)
{
    json_t *properties = json_object_get(schema, "properties"), *v;
    const json_t *required = json_object_get(schema, "required");
    const char *key;
    *n = 0;
    json_object_foreach(properties, key, v)
    {
        hg_x *x = named_member(s, key, v, at);
        if (x == NULL) return false;
        if (x->kind == HG_X_NEVER && !is_required(required, key)) continue;
        el[(*n)++] = (hg_x_element){x, is_required(required, key), 1};
    }
    for (size_t i = 0; i < json_array_size(required); i++) {
        key = json_string_value(json_array_get(required, i));
        if (key == NULL)
            return hg_schema_fail(s, at, HG_E_FORMAT, "\"required\" must hold strings") != NULL;
        if (json_object_get(properties, key) != NULL) continue;
        hg_x *x = named_member(s, key, more, at);
        if (x == NULL) return false;
        el[(*n)++] = (hg_x_element){x, 1, 1};
    }
    return true;
}

static hg_x *object_of(hg_schema *s, json_t *schema, const hg_schema_path *at)
{
    hg_build *b = s->b;
    json_t *properties = json_object_get(schema, "properties");
    const json_t *required = json_object_get(schema, "required");
    json_t *more = json_object_get(schema, "additionalProperties");
    const bool open = more != NULL ? !json_is_false(more) : properties == NULL;
    const hg_schema_path in = {at, "additionalProperties", 0};
    json_t *yes = json_true();
    uint32_t min, max;
    size_t n = 0;
    if (!hg_schema_count(s, schema, "minProperties", 0, &min, at) ||
        !hg_schema_count(s, schema, "maxProperties", HG_X_FOREVER, &max, at))
        return NULL;
    if (more == NULL) more = yes;
    hg_x_element *el =
        HG_NEW(&b->mem, hg_x_element, json_object_size(properties) + json_array_size(required) + 1);
    if (el == NULL) {
        b->failed = true;
        return NULL;
    }
    if (!members(s, schema, more, el, &n, at)) return NULL;
    if (open) {
        hg_x *value = schema_rule(s, more, &in);
        if (value == NULL) return NULL;
        el[n++] =
            (hg_x_element){member(s, free_name(s, properties, required), value), 0, HG_X_FOREVER};
    }
    const uint32_t most = open || max < n ? max : HG_X_FOREVER; /* what counts at all */
    if (!open && min > n) return hg_x_never(b);
    if ((uint64_t)(n + 1) * ((uint64_t)(most == HG_X_FOREVER ? min : most) + 1) > MAX_COUNTED)
        return hg_schema_fail(s, at, HG_E_LIMIT,
                              "minProperties or maxProperties is too large to be counted");
    hg_x *comma = hg_x_seq2(b, hg_x_text(b, ","), s->space);
    hg_x *some = hg_x_list(b, el, n, comma, min > 0 ? min : 1, most);
    hg_x *inner = max == 0 ? hg_x_never(b) : hg_x_seq2(b, some, s->space);
    bool none = min == 0;
    for (size_t i = 0; i < n; i++) none = none && el[i].min == 0;
    if (none) inner = hg_x_repeat(b, inner, 0, 1);
    return hg_x_seq3(b, hg_x_seq2(b, hg_x_text(b, "{"), s->space), inner, hg_x_text(b, "}"));
}

/* ---- arrays ---- */

/* Items from number i on, each behind a comma but the first. */
static hg_x *items_from(hg_schema *s, json_t *prefix, hg_x *more, size_t n, uint32_t min,
                        uint32_t max, const hg_schema_path *at)
{
    hg_build *b = s->b;
    hg_x *comma = hg_x_seq2(b, hg_x_text(b, ","), s->space), *x = NULL;
    const uint32_t count = (uint32_t)n;
    if (max > count) {
        const uint32_t left = max == HG_X_FOREVER ? max : max - count;
        const uint32_t need = min > count ? min - count : 0;
        if (n > 0) {
            x = hg_x_repeat(b, hg_x_seq2(b, comma, more), need, left);
        } else { /* the first has no comma */
            hg_x *rest = hg_x_repeat(b, hg_x_seq2(b, comma, more), need > 1 ? need - 1 : 0,
                                     left == HG_X_FOREVER ? left : left - 1);
            x = hg_x_repeat(b, hg_x_seq2(b, more, rest), need > 0 ? 1 : 0, 1);
        }
    } else {
        x = hg_x_empty(b);
    }
    for (size_t i = n; i-- > 0;) {
        const hg_schema_path in = {at, "prefixItems", 0}, here = {&in, NULL, i};
        if (i >= max) continue;
        hg_x *item = schema_rule(s, json_array_get(prefix, i), &here);
        if (item == NULL) return NULL;
        x = i == 0 ? hg_x_seq2(b, item, x) : hg_x_seq3(b, comma, item, x);
        if (i >= min) x = hg_x_repeat(b, x, 0, 1);
    }
    return x;
}

static hg_x *array_of(hg_schema *s, json_t *schema, const hg_schema_path *at)
{
    hg_build *b = s->b;
    json_t *items = json_object_get(schema, "items");
    json_t *prefix = json_object_get(schema, "prefixItems");
    const hg_schema_path in = {at, "items", 0};
    const size_t n = json_array_size(prefix);
    uint32_t min, max;
    if (!hg_schema_count(s, schema, "minItems", 0, &min, at) ||
        !hg_schema_count(s, schema, "maxItems", HG_X_FOREVER, &max, at))
        return NULL;
    if (json_is_false(items) || (items == NULL && n > 0)) /* the smaller reading */
        max = max < n ? max : (uint32_t)n;
    if (min > max) return hg_x_never(b);
    hg_x *more = hg_x_never(b);
    if (max > n) more = items == NULL ? hg_x_rule(b, s->any) : schema_rule(s, items, &in);
    if (more == NULL) return NULL;
    hg_x *inner = items_from(s, prefix, more, n, min, max, at);
    return hg_x_seq3(b, hg_x_seq2(b, hg_x_text(b, "["), s->space), inner,
                     hg_x_seq2(b, s->space, hg_x_text(b, "]")));
}

/* ---- types ---- */

/* Values that are written out, those that fit the type. */
static hg_x *values_of(hg_schema *s, json_t *schema, const json_t *values, unsigned allowed,
                       const hg_schema_path *at)
{
    static const char *const more[] = {
        "minimum",       "maximum",      "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
        "minLength",     "maxLength",    "pattern",          "format",           "properties",
        "required",      "items",        "prefixItems",      "minItems",         "maxItems",
        "minProperties", "maxProperties"};
    const bool typed = json_object_get(schema, "type") != NULL;
    hg_x **list = HG_NEW(&s->b->mem, hg_x *, json_array_size(values) + 1);
    size_t n = 0;
    if (list == NULL) {
        s->b->failed = true;
        return NULL;
    }
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++)
        if (json_object_get(schema, more[i]) != NULL)
            return hg_schema_fail(s, at, HG_E_UNSUPPORTED,
                                  "\"%s\" beside \"enum\" or \"const\" is not held; leave out the "
                                  "values that it forbids",
                                  more[i]);
    for (size_t i = 0; i < json_array_size(values); i++) {
        const json_t *v = json_array_get(values, i);
        if (typed && (hg_schema_type_of(v) & allowed) == 0) continue;
        list[n++] = hg_json_literal(s, v);
    }
    return hg_x_alt(s->b, list, n);
}

static hg_x *typed(hg_schema *s, json_t *schema, unsigned type, const hg_schema_path *at)
{
    hg_build *b = s->b;
    switch (type) {
    case HG_SCHEMA_OBJECT:
        return object_of(s, schema, at);
    case HG_SCHEMA_ARRAY:
        return array_of(s, schema, at);
    case HG_SCHEMA_STRING:
        return hg_schema_string(s, schema, at);
    case HG_SCHEMA_NUMBER:
    case HG_SCHEMA_INTEGER:
        return hg_schema_number(s, schema, type == HG_SCHEMA_INTEGER, at);
    case HG_SCHEMA_BOOLEAN:
        return hg_x_alt2(b, hg_x_text(b, "true"), hg_x_text(b, "false"));
    default:
        return hg_x_text(b, "null");
    }
}

static hg_x *compile(hg_schema *s, json_t *flat, const hg_schema_path *at);

/* An alternative with what stands beside them all. */
static json_t *part_of(hg_schema *s, json_t *base, json_t *one, const hg_schema_path *at)
{
    json_t *part = hg_schema_flatten(s, one, at);
    if (part == NULL || json_object_size(base) == 0) return part;
    return hg_schema_both(s, base, part, at);
}

/* One of the alternatives: an unchanged one has a rule of its own. */
static hg_x *way_of(hg_schema *s, json_t *list, size_t i, json_t *base, json_t *part,
                    const hg_schema_path *at)
{
    if (part == NULL && json_object_size(base) == 0)
        return schema_rule(s, json_array_get(list, i), at);
    if (part == NULL) part = part_of(s, base, json_array_get(list, i), at);
    return part == NULL ? NULL : compile(s, part, at);
}

/* Fills narrow[n] with the alternatives that oneOf makes smaller; false: failed. */
static bool keep_apart(hg_schema *s, json_t *list, json_t *base, json_t **narrow,
                       const hg_schema_path *at)
{
    const size_t n = json_array_size(list);
    json_t **part = HG_NEW(&s->b->mem, json_t *, n + 1);
    if (part == NULL) return false;
    for (size_t i = 0; i < n; i++) {
        narrow[i] = part[i] = part_of(s, base, json_array_get(list, i), at);
        if (part[i] == NULL) return false;
    }
    if (!hg_schema_part(s, narrow, part, n, at)) return false;
    for (size_t i = 0; i < n; i++)
        if (narrow[i] == part[i]) narrow[i] = NULL;
    return true;
}

/* Each alternative with what stands beside them. */
static hg_x *either(hg_schema *s, json_t *flat, const char *key, const hg_schema_path *at)
{
    json_t *list = json_object_get(flat, key);
    json_t *base = hg_schema_without(s, flat, key, at);
    const size_t n = json_array_size(list);
    json_t **narrow = HG_NEW(&s->b->mem, json_t *, n + 1);
    hg_x **ways = HG_NEW(&s->b->mem, hg_x *, n + 1);
    if (narrow == NULL || ways == NULL) s->b->failed = true;
    if (base == NULL || narrow == NULL || ways == NULL) return NULL;
    if (strcmp(key, "oneOf") == 0 && !keep_apart(s, list, base, narrow, at)) return NULL;
    for (size_t i = 0; i < n; i++) {
        const hg_schema_path in = {at, key, 0}, here = {&in, NULL, i};
        ways[i] = way_of(s, list, i, base, narrow[i], &here);
        if (ways[i] == NULL) return NULL;
    }
    return hg_x_alt(s->b, ways, n);
}

static hg_x *compile(hg_schema *s, json_t *flat, const hg_schema_path *at)
{
    if (json_is_true(flat)) return hg_x_rule(s->b, s->any);
    if (json_is_false(flat)) return hg_x_never(s->b);
    if (json_object_get(flat, "anyOf") != NULL) return either(s, flat, "anyOf", at);
    if (json_object_get(flat, "oneOf") != NULL) return either(s, flat, "oneOf", at);
    const json_t *values = json_object_get(flat, "enum");
    const unsigned allowed = hg_schema_types(s, flat, at);
    if (s->failed) return NULL;
    if (values != NULL) return values_of(s, flat, values, allowed, at);
    if (allowed == 0)
        return json_object_get(flat, "type") == NULL ? hg_x_rule(s->b, s->any) : hg_x_never(s->b);
    hg_x *x = hg_x_never(s->b);
    for (unsigned t = HG_SCHEMA_OBJECT; t <= HG_SCHEMA_NULL; t <<= 1) {
        if ((allowed & t) == 0 || (t == HG_SCHEMA_INTEGER && (allowed & HG_SCHEMA_NUMBER) != 0))
            continue;
        hg_x *one = typed(s, flat, t, at);
        if (one == NULL) return NULL;
        x = hg_x_alt2(s->b, x, one);
    }
    return x;
}

/* Whether $ref stands alone, so that its target's own rule serves. */
static json_t *lone_reference(json_t *schema)
{
    static const char *const notes[] = {"title",    "description", "$comment", "default",
                                        "examples", "deprecated",  "readOnly", "writeOnly",
                                        "$defs",    "definitions", "$schema",  "$id"};
    size_t n = 1;
    json_t *ref = json_object_get(schema, "$ref");
    if (ref == NULL) return NULL;
    for (size_t i = 0; i < sizeof notes / sizeof notes[0]; i++)
        n += json_object_get(schema, notes[i]) != NULL;
    return json_object_size(schema) == n ? ref : NULL;
}

/* The rule of a schema, made when it is first asked for. */
static hg_x *schema_rule(hg_schema *s, json_t *schema, const hg_schema_path *at)
{
    const hg_schema_path there = {NULL, json_string_value(json_object_get(schema, "$ref")), 0};
    for (size_t hops = 0; lone_reference(schema) != NULL; hops++) {
        if (hops > HG_GRAMMAR_DEPTH)
            return hg_schema_fail(s, at, HG_E_FORMAT, "a $ref that leads back to itself");
        schema = hg_schema_find(s, lone_reference(schema), at);
        if (schema == NULL) return NULL;
        at = &there;
    }
    if (json_is_true(schema)) return hg_x_rule(s->b, s->any);
    if (json_is_false(schema)) return hg_x_never(s->b);
    for (size_t i = 0; i < s->n_known; i++)
        if (s->known[i].schema == schema) return hg_x_rule(s->b, s->known[i].rule);
    if (s->n_known >= HG_MAX_SCHEMAS || s->depth >= HG_GRAMMAR_DEPTH)
        return hg_schema_fail(s, at, HG_E_LIMIT, "too many schemas, or too many in each other");
    const uint32_t rule = hg_rule_new(s->b, "schema", 6);
    if (s->b->failed ||
        hg_grow(&s->known, &s->known_cap, s->n_known, sizeof *s->known, NULL) != HG_OK) {
        s->b->failed = true;
        return NULL;
    }
    s->known[s->n_known++] = (hg_schema_rule){schema, rule};
    s->depth++;
    json_t *flat = hg_schema_flatten(s, schema, at);
    hg_x *x = flat == NULL ? NULL : compile(s, flat, at);
    s->depth--;
    if (x == NULL) return NULL;
    hg_rule_set(s->b, rule, x);
    return x->kind == HG_X_NEVER ? x : hg_x_rule(s->b, rule);
}

static hg_status build(hg_grammar **out, hg_schema *s, bool object, hg_hash128 id, hg_err *e)
{
    const hg_schema_path top = {NULL, "#", 0};
    HG_TRY(hg_json_rules(s));
    hg_x *x = s->root != NULL ? schema_rule(s, s->root, &top)
              : object        ? hg_x_rule(s->b, s->any_object)
                              : hg_x_rule(s->b, s->any);
    if (x == NULL && s->failed) return s->e->status;
    HG_TRY(hg_build_check(s->b, e));
    if (x == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the schema");
    const uint32_t root = hg_rule_new(s->b, "root", 4);
    HG_TRY(hg_build_check(s->b, e));
    hg_rule_set(s->b, root, x);
    return hg_grammar_build(out, s->b, root, id, e);
}

static hg_status compile_text(hg_grammar **out, json_t *root, bool object, hg_hash128 id, hg_err *e)
{
    hg_build b;
    hg_err why = {.status = HG_E_NOMEM};
    hg_build_init(&b);
    hg_schema s = {.b = &b, .root = root, .owned = json_array(), .e = &why};
    hg_status st = s.owned == NULL ? hg_fail(&why, HG_E_NOMEM, "no room for the schema")
                                   : build(out, &s, object, id, &why);
    if (st != HG_OK) st = hg_fail(e, st, "%s", why.msg);
    json_decref(s.owned);
    hg_free(s.known);
    hg_build_free(&b);
    return st;
}

hg_status hg_grammar_from_json_schema(hg_grammar **out, hg_bytes schema, hg_err *e)
{
    json_t *root;
    *out = NULL;
    HG_TRY(hg_json_parse(&root, schema, HG_MAX_GRAMMAR_BYTES, e));
    const hg_status s = compile_text(out, root, false, hg_grammar_id("schema", schema), e);
    json_decref(root);
    return s;
}

hg_status hg_grammar_json(hg_grammar **out, bool object, hg_err *e)
{
    *out = NULL;
    return compile_text(out, NULL, object, hg_grammar_id("json", (hg_bytes){object ? "o" : "v", 1}),
                        e);
}
