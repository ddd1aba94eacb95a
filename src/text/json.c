/* JSON in: the door over jansson. Everything Higgins reads in JSON (corpora, tokenizers, model
 * configurations, requests) passes here, so that limits and the wording of errors are the same
 * everywhere. Nesting is counted before the parser runs: its recursion then has a known bound. */
#include "text/json.h"
#include "base/file.h"
#include <float.h>
#include <math.h>
#include <string.h>

/* Where a byte lies, as people count. */
static void find_line(hg_bytes in, size_t at, size_t *line, size_t *column)
{
    *line = 1;
    *column = 1;
    for (size_t i = 0; i < at && i < in.n; i++) {
        if (in.p[i] == '\n') {
            ++*line;
            *column = 1;
        } else if ((in.p[i] & 0xC0) != 0x80) {
            ++*column;
        }
    }
}

static hg_status check_depth(hg_bytes in, hg_err *e)
{
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > HG_JSON_MAX_DEPTH) {
                size_t line, column;
                find_line(in, i, &line, &column);
                return hg_fail(e, HG_E_LIMIT, "line %zu, column %zu: JSON nested more than %d deep",
                               line, column, HG_JSON_MAX_DEPTH);
            }
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
    return HG_OK;
}

hg_status hg_json_parse(json_t **out, hg_bytes in, size_t limit, hg_err *e)
{
    *out = NULL;
    if (in.n > limit)
        return hg_fail(e, HG_E_LIMIT, "JSON of %zu bytes; at most %zu allowed", in.n, limit);
    HG_TRY(check_depth(in, e));
    const size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL;
    json_error_t why;
    json_t *v = json_loadb(in.n > 0 ? in.p : "", in.n, flags, &why);
    if (v == NULL && json_error_code(&why) == json_error_numeric_overflow)
        v = json_loadb(in.p, in.n, flags | JSON_DECODE_INT_AS_REAL, &why);
    if (v == NULL && json_error_code(&why) == json_error_out_of_memory)
        return hg_fail(e, HG_E_NOMEM, "no room for JSON of %zu bytes", in.n);
    if (v == NULL) {
        size_t line, column;
        find_line(in, why.position > 0 ? (size_t)why.position - 1 : 0, &line, &column);
        return hg_fail(e, HG_E_FORMAT, "line %zu, column %zu: not JSON: %s", line, column,
                       why.text);
    }
    *out = v;
    return HG_OK;
}

hg_status hg_json_read(json_t **out, const char *path, size_t limit, hg_err *e)
{
    hg_buf bytes = {0};
    hg_err why;
    *out = NULL;
    hg_status s = hg_file_read(&bytes, path, limit, e);
    if (s == HG_OK) {
        s = hg_json_parse(out, (hg_bytes){bytes.p, bytes.n}, limit, &why);
        if (s != HG_OK) s = hg_fail(e, s, "%s: %s", path, why.msg);
    }
    hg_buf_free(&bytes);
    return s;
}

const char *hg_json_type_name(const json_t *v)
{
    if (v == NULL) return "nothing";
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "a whole number";
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "true or false";
    case JSON_NULL:
        return "null";
    }
    return "nothing";
}

static json_t *member(const json_t *obj, const char *key)
{
    return json_is_object(obj) ? json_object_get(obj, key) : NULL;
}

static hg_status wrong_type(const json_t *v, const char *key, const char *wanted, hg_err *e)
{
    if (v == NULL)
        return hg_fail(e, HG_E_FORMAT, "\"%s\" is missing; it should be %s", key, wanted);
    return hg_fail(e, HG_E_FORMAT, "\"%s\" is %s; it should be %s", key, hg_json_type_name(v),
                   wanted);
}

/* The optional forms are the required ones behind this question. */
static bool is_absent(const json_t *obj, const char *key)
{
    const json_t *v = member(obj, key);
    return v == NULL || json_is_null(v);
}

hg_status hg_json_get(const json_t *obj, const char *key, json_t **out, hg_err *e)
{
    *out = member(obj, key);
    return *out != NULL ? HG_OK : hg_fail(e, HG_E_FORMAT, "\"%s\" is missing", key);
}

hg_status hg_json_get_object(const json_t *obj, const char *key, json_t **out, hg_err *e)
{
    json_t *v = member(obj, key);
    if (!json_is_object(v)) return wrong_type(v, key, "an object", e);
    *out = v;
    return HG_OK;
}

hg_status hg_json_get_array(const json_t *obj, const char *key, json_t **out, hg_err *e)
{
    json_t *v = member(obj, key);
    if (!json_is_array(v)) return wrong_type(v, key, "an array", e);
    *out = v;
    return HG_OK;
}

hg_status hg_json_get_text(const json_t *obj, const char *key, hg_bytes *out, hg_err *e)
{
    const json_t *v = member(obj, key);
    if (!json_is_string(v)) return wrong_type(v, key, "a string", e);
    *out = (hg_bytes){json_string_value(v), json_string_length(v)};
    return HG_OK;
}

hg_status hg_json_get_int(const json_t *obj, const char *key, int64_t min, int64_t max,
                          int64_t *out, hg_err *e)
{
    const json_t *v = member(obj, key);
    double real = json_is_real(v) ? json_real_value(v) : 0.5;
    /* 3.0 is a whole number to the programs that write configurations. */
    bool whole = json_is_integer(v) || (real == floor(real) && fabs(real) < 9e15);
    if (!whole) return wrong_type(v, key, "a whole number", e);
    int64_t n = json_is_integer(v) ? (int64_t)json_integer_value(v) : (int64_t)real;
    if (n < min || n > max)
        return hg_fail(e, HG_E_FORMAT, "\"%s\" is %lld; %lld to %lld allowed", key, (long long)n,
                       (long long)min, (long long)max);
    *out = n;
    return HG_OK;
}

hg_status hg_json_get_number(const json_t *obj, const char *key, double min, double max,
                             double *out, hg_err *e)
{
    const json_t *v = member(obj, key);
    if (!json_is_number(v)) return wrong_type(v, key, "a number", e);
    double n = json_number_value(v);
    if (!(n >= min && n <= max))
        return hg_fail(e, HG_E_FORMAT, "\"%s\" is %g; %g to %g allowed", key, n, min, max);
    *out = n;
    return HG_OK;
}

hg_status hg_json_get_bool(const json_t *obj, const char *key, bool *out, hg_err *e)
{
    const json_t *v = member(obj, key);
    if (!json_is_boolean(v)) return wrong_type(v, key, "true or false", e);
    *out = json_is_true(v);
    return HG_OK;
}

hg_status hg_json_opt_object(const json_t *obj, const char *key, json_t **out, hg_err *e)
{
    return is_absent(obj, key) ? HG_OK : hg_json_get_object(obj, key, out, e);
}

hg_status hg_json_opt_array(const json_t *obj, const char *key, json_t **out, hg_err *e)
{
    return is_absent(obj, key) ? HG_OK : hg_json_get_array(obj, key, out, e);
}

hg_status hg_json_opt_text(const json_t *obj, const char *key, hg_bytes *out, hg_err *e)
{
    return is_absent(obj, key) ? HG_OK : hg_json_get_text(obj, key, out, e);
}

hg_status hg_json_opt_int(const json_t *obj, const char *key, int64_t min, int64_t max,
                          int64_t *out, hg_err *e)
{
    return is_absent(obj, key) ? HG_OK : hg_json_get_int(obj, key, min, max, out, e);
}

hg_status hg_json_opt_number(const json_t *obj, const char *key, double min, double max,
                             double *out, hg_err *e)
{
    return is_absent(obj, key) ? HG_OK : hg_json_get_number(obj, key, min, max, out, e);
}

hg_status hg_json_opt_bool(const json_t *obj, const char *key, bool *out, hg_err *e)
{
    return is_absent(obj, key) ? HG_OK : hg_json_get_bool(obj, key, out, e);
}
