/* JSON as expressions: any value, any string, literals, and strings with bounds, patterns and
 * formats. */
#include "grammar/schema.h"

#include <string.h>

static const hg_range all_chars[] = {{0, HG_MAX_CHAR}};

static hg_x *quoted(hg_build *b, hg_x *inner)
{
    hg_x *quote = hg_x_text(b, "\"");
    return hg_x_seq3(b, quote, inner, quote);
}

hg_x *hg_json_any_string(hg_build *b)
{
    return quoted(b, hg_x_repeat(b, hg_json_chars(b, all_chars, 1), 0, HG_X_FOREVER));
}

hg_x *hg_json_literal(hg_schema *s, const json_t *value)
{
    hg_buf text = {0};
    hg_x *x = NULL;
    if (hg_json_put_tree(&text, value, s->e) == HG_OK && !text.failed)
        x = hg_x_bytes(s->b, text.p, text.n);
    else
        s->b->failed = true;
    hg_buf_free(&text);
    return x;
}

/* [, items or members, ] with the spaces that may be there. */
static hg_x *enclosed(const hg_schema *s, const char *open, hg_x *item, const char *close)
{
    hg_build *b = s->b;
    hg_x *comma = hg_x_seq2(b, hg_x_text(b, ","), s->space);
    hg_x *more = hg_x_repeat(b, hg_x_seq2(b, comma, item), 0, HG_X_FOREVER);
    hg_x *some = hg_x_seq3(b, item, more, s->space);
    hg_x *inner = hg_x_repeat(b, some, 0, 1);
    return hg_x_seq3(b, hg_x_seq2(b, hg_x_text(b, open), s->space), inner, hg_x_text(b, close));
}

hg_status hg_json_rules(hg_schema *s)
{
    static const hg_range blank[] = {{'\t', '\t'}, {' ', ' '}};
    static const char number[] = HG_JSON_NUMBER;
    hg_build *b = s->b;
    hg_x *line = hg_x_seq2(b, hg_x_text(b, "\n"), hg_x_repeat(b, hg_x_set(b, blank, 2), 0, 20));
    s->space = hg_x_repeat(b, hg_x_alt2(b, hg_x_text(b, " "), line), 0, 1);
    s->any = hg_rule_new(b, "value", 5);
    s->any_object = hg_rule_new(b, "object", 6);
    const uint32_t string = hg_rule_new(b, "string", 6), array = hg_rule_new(b, "array", 5);
    HG_TRY(hg_build_check(b, s->e));
    hg_x *any = hg_x_rule(b, s->any), *name = hg_x_rule(b, string);
    hg_x *colon = hg_x_seq2(b, hg_x_text(b, ":"), s->space);
    hg_x *digits = hg_regex_read(b, (hg_bytes){number, sizeof number - 1}, false, true, s->e);
    hg_x *const kinds[] = {
        hg_x_rule(b, s->any_object), hg_x_rule(b, array), name, digits, hg_x_text(b, "true"),
        hg_x_text(b, "false"),       hg_x_text(b, "null")};
    hg_rule_set(b, string, hg_json_any_string(b));
    hg_rule_set(b, array, enclosed(s, "[", any, "]"));
    hg_rule_set(b, s->any_object, enclosed(s, "{", hg_x_seq3(b, name, colon, any), "}"));
    hg_rule_set(b, s->any, hg_x_alt(b, kinds, sizeof kinds / sizeof kinds[0]));
    return hg_build_check(b, s->e);
}

bool hg_schema_count(hg_schema *s, const json_t *schema, const char *key, uint32_t missing,
                     uint32_t *out, const hg_schema_path *at)
{
    const json_t *v = json_object_get(schema, key);
    *out = missing;
    if (v == NULL) return true;
    const double d = json_number_value(v);
    if (!json_is_number(v) || d < 0 || d > HG_MAX_REPEAT || d != (double)(uint32_t)d) {
        (void)hg_schema_fail(s, at, HG_E_FORMAT, "\"%s\" must be a whole number from 0 to %d", key,
                             HG_MAX_REPEAT);
        return false;
    }
    *out = (uint32_t)d;
    return true;
}

/* ---- formats, as RFC 3339, 4122, 5321, 1123 and 3986 have them, without their rarest forms ----
 */
#define DATE                                                                                     \
    "[0-9]{4}-(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|[0-9]{4}-(0[469]|11)-(0[1-9]|[12][0-9]|" \
    "30)|[0-9]{4}-02-(0[1-9]|1[0-9]|2[0-8])"
#define TIME                                                                                       \
    "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9]" \
    ")"
#define LABEL "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
#define BYTE "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
#define IPV4 BYTE "(\\." BYTE "){3}"
#define HEX "[0-9A-Fa-f]"
#define WORD HEX "{1,4}"
#define IPV6                                                                                     \
    "(" WORD ":){7}" WORD "|(" WORD ":){1,7}:|(" WORD ":){1,6}:" WORD "|(" WORD ":){1,5}(:" WORD \
    "){1,2}|(" WORD ":){1,4}(:" WORD "){1,3}|(" WORD ":){1,3}(:" WORD "){1,4}|(" WORD            \
    ":){1,2}(:" WORD "){1,5}|" WORD ":(:" WORD "){1,6}|:((:" WORD "){1,7}|:)"
#define URI_CHAR "([A-Za-z0-9._~:/?#@!$&'()*+,;=-]|%" HEX HEX ")"
static const struct {
    const char *name, *pattern;
} formats[] = {
    {"date", DATE},
    {"time", TIME},
    {"date-time", "(" DATE ")T" TIME},
    {"duration", "P([0-9]+W|[0-9]+Y([0-9]+M([0-9]+D)?)?|[0-9]+M([0-9]+D)?|[0-9]+D|([0-9]+Y)?([0-9]+"
                 "M)?([0-9]+D)?T([0-9]+H([0-9]+M([0-9]+S)?)?|[0-9]+M([0-9]+S)?|[0-9]+S))"},
    {"email", "[A-Za-z0-9_+-]+(\\.[A-Za-z0-9_+-]+)*@" LABEL "(\\." LABEL ")+"},
    {"hostname", LABEL "(\\." LABEL ")*"},
    {"ipv4", IPV4},
    {"ipv6", IPV6},
    {"uuid", HEX "{8}-" HEX "{4}-" HEX "{4}-" HEX "{4}-" HEX "{12}"},
    {"uri", "[A-Za-z][A-Za-z0-9+.-]*:" URI_CHAR "+"},
    {"json-pointer", "(/([^/~]|~[01])*)*"},
};

static hg_x *format_of(hg_schema *s, const json_t *name, const hg_schema_path *at)
{
    const char *text = json_string_value(name);
    for (size_t i = 0; text != NULL && i < sizeof formats / sizeof formats[0]; i++)
        if (strcmp(formats[i].name, text) == 0)
            return hg_regex_read(s->b, (hg_bytes){formats[i].pattern, strlen(formats[i].pattern)},
                                 true, true, s->e);
    return hg_schema_fail(s, at, HG_E_UNSUPPORTED,
                          "the format \"%.40s\" is not held; date, time, date-time, duration, "
                          "email, hostname, ipv4, ipv6, uuid, uri and json-pointer are",
                          text == NULL ? json_is_array(name) ? "(several)" : "" : text);
}

static hg_x *pattern_of(hg_schema *s, const json_t *pattern, const hg_schema_path *at)
{
    hg_err why = {0};
    if (!json_is_string(pattern))
        return hg_schema_fail(s, at, HG_E_FORMAT, "\"pattern\" must be a string");
    const hg_bytes text = {json_string_value(pattern), json_string_length(pattern)};
    hg_x *x = hg_regex_read(s->b, text, true, false, &why);
    if (x == NULL) return hg_schema_fail(s, at, why.status, "pattern: %s", why.msg);
    return x;
}

/* x and y; NULL stands for no demand. */
static hg_x *also(hg_schema *s, hg_x *x, hg_x *y)
{
    return x == NULL ? y : hg_x_and(s->b, x, y);
}

hg_x *hg_schema_string(hg_schema *s, json_t *schema, const hg_schema_path *at)
{
    uint32_t min, max;
    hg_x *x = NULL, *one;
    json_t *patterns = json_object_get(schema, "pattern");
    json_t *format = json_object_get(schema, "format");
    if (!hg_schema_count(s, schema, "minLength", 0, &min, at) ||
        !hg_schema_count(s, schema, "maxLength", HG_X_FOREVER, &max, at))
        return NULL;
    if (max < min) return hg_x_never(s->b);
    for (size_t i = 0; patterns != NULL; i++) { /* merging makes a list of several */
        const bool list = json_is_array(patterns);
        const json_t *p = list ? json_array_get(patterns, i) : patterns;
        if (p == NULL) break;
        if ((one = pattern_of(s, p, at)) == NULL) return NULL;
        if ((x = also(s, x, one)) == NULL) return NULL;
        if (!list) break;
    }
    if (format != NULL) {
        if ((one = format_of(s, format, at)) == NULL) return NULL;
        if ((x = also(s, x, one)) == NULL) return NULL;
    }
    if (x == NULL || min > 0 || max != HG_X_FOREVER) {
        one = hg_x_repeat(s->b, hg_json_chars(s->b, all_chars, 1), min, max);
        if (one == NULL) return NULL;
        x = also(s, x, one);
    }
    return x == NULL ? NULL : quoted(s->b, x);
}
