/* The types of a schema's values. A schema that does not say means those that its keywords are
 * about. */
#include "grammar/schema.h"

#include <string.h>

static const struct {
    const char *name;
    unsigned type;
} types[] = {{"object", HG_SCHEMA_OBJECT},   {"array", HG_SCHEMA_ARRAY},
             {"string", HG_SCHEMA_STRING},   {"number", HG_SCHEMA_NUMBER},
             {"integer", HG_SCHEMA_INTEGER}, {"boolean", HG_SCHEMA_BOOLEAN},
             {"null", HG_SCHEMA_NULL}};

static unsigned type_named(const json_t *name)
{
    const char *text = json_string_value(name);
    for (size_t i = 0; text != NULL && i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].name, text) == 0) return types[i].type;
    return 0;
}

unsigned hg_schema_types(hg_schema *s, json_t *schema, const hg_schema_path *at)
{
    static const struct {
        const char *key;
        unsigned type;
    } about[] = {{"properties", HG_SCHEMA_OBJECT},
                 {"required", HG_SCHEMA_OBJECT},
                 {"minProperties", HG_SCHEMA_OBJECT},
                 {"maxProperties", HG_SCHEMA_OBJECT},
                 {"items", HG_SCHEMA_ARRAY},
                 {"prefixItems", HG_SCHEMA_ARRAY},
                 {"minItems", HG_SCHEMA_ARRAY},
                 {"maxItems", HG_SCHEMA_ARRAY},
                 {"minLength", HG_SCHEMA_STRING},
                 {"maxLength", HG_SCHEMA_STRING},
                 {"pattern", HG_SCHEMA_STRING},
                 {"format", HG_SCHEMA_STRING},
                 {"minimum", HG_SCHEMA_NUMBER},
                 {"maximum", HG_SCHEMA_NUMBER},
                 {"exclusiveMinimum", HG_SCHEMA_NUMBER},
                 {"multipleOf", HG_SCHEMA_NUMBER},
                 {"exclusiveMaximum", HG_SCHEMA_NUMBER},
                 {"additionalProperties", HG_SCHEMA_OBJECT}};
    const json_t *type = json_object_get(schema, "type");
    unsigned found = 0;
    if (type == NULL) {
        for (size_t i = 0; i < sizeof about / sizeof about[0]; i++)
            if (json_object_get(schema, about[i].key) != NULL) found |= about[i].type;
        return found;
    }
    if (json_is_string(type)) found = type_named(type);
    for (size_t i = 0; i < json_array_size(type); i++) {
        const unsigned one = type_named(json_array_get(type, i));
        found |= one;
        if (one == 0) found = 1u << 31;
    }
    if ((found & 1u << 31) != 0 || (found == 0 && !json_is_array(type)))
        (void)hg_schema_fail(s, at, HG_E_FORMAT,
                             "\"type\" must be object, array, string, number, integer, boolean, "
                             "null or an array of these");
    return found;
}

unsigned hg_schema_type_of(const json_t *v)
{
    const unsigned of[] = {HG_SCHEMA_OBJECT,  HG_SCHEMA_ARRAY,
                           HG_SCHEMA_STRING,  HG_SCHEMA_NUMBER | HG_SCHEMA_INTEGER,
                           HG_SCHEMA_NUMBER,  HG_SCHEMA_BOOLEAN,
                           HG_SCHEMA_BOOLEAN, HG_SCHEMA_NULL};
    return of[json_typeof(v)];
}
