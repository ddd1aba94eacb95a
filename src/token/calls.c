/* Calls of tools in and out of text. What a model writes is read with patience: a call counts when
 * it is JSON with the name of one of the tools, whatever stands around it. */
#include "token/calls.h"
#include "text/json.h"

#include <string.h>

static const char TAG[] = "<tool_call>";
static const char MISTRAL[] = "[TOOL_CALLS]";

hg_call_style hg_calls_style(const char *t)
{
    if (t == NULL || strstr(t, "tools") == NULL) return HG_CALLS_EXPLAINED;
    if (strstr(t, MISTRAL) != NULL) return HG_CALLS_MISTRAL;
    if (strstr(t, TAG) != NULL) return HG_CALLS_TAGGED;
    if (strstr(t, "<|python_tag|>") != NULL || strstr(t, "\"parameters\"") != NULL)
        return HG_CALLS_LLAMA;
    return HG_CALLS_EXPLAINED;
}

const char *hg_calls_opening(hg_call_style s)
{
    return s == HG_CALLS_LLAMA ? "" : s == HG_CALLS_MISTRAL ? MISTRAL : "<tool_call>\n";
}

/* ---- the tools ---- */
static const json_t *function_of(const json_t *tool)
{
    const json_t *f = json_object_get(tool, "function");
    return f != NULL ? f : tool;
}

static bool is_name(const char *s)
{
    const size_t n = strlen(s);
    return n > 0 && n <= HG_MAX_TOOL_NAME &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == n;
}

hg_status hg_calls_check(const json_t *tools, hg_err *e)
{
    if (!json_is_array(tools) || json_array_size(tools) > HG_MAX_TOOLS)
        return hg_fail(e, HG_E_ARG, "they must be an array of at most %d", HG_MAX_TOOLS);
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *f = function_of(json_array_get(tools, i));
        const char *name = json_string_value(json_object_get(f, "name"));
        const json_t *parameters = json_object_get(f, "parameters");
        if (name == NULL || !is_name(name))
            return hg_fail(e, HG_E_ARG,
                           "tool %zu needs a function with a name of 1 to %d letters, digits, _ - "
                           "and .",
                           i, HG_MAX_TOOL_NAME);
        if (parameters != NULL && !json_is_object(parameters))
            return hg_fail(e, HG_E_ARG, "the parameters of %s must be a JSON schema", name);
    }
    return HG_OK;
}

const json_t *hg_calls_find(const json_t *tools, hg_bytes name)
{
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *f = function_of(json_array_get(tools, i)), *n = json_object_get(f, "name");
        if (json_string_length(n) == name.n && memcmp(json_string_value(n), name.p, name.n) == 0)
            return f;
    }
    return NULL;
}

/* ---- the schema ---- */

/* References of a tool's parameters mean their own root, which here lies in $defs. */
static void move_references(json_t *v, const char *name)
{
    json_t *item;
    const char *key;
    size_t i;
    json_array_foreach(v, i, item) move_references(item, name);
    if (!json_is_object(v)) return;
    const char *ref = json_string_value(json_object_get(v, "$ref"));
    if (ref != NULL && ref[0] == '#')
        (void)json_object_set_new(v, "$ref", json_sprintf("#/$defs/%s%s", name, ref + 1));
    json_object_foreach(v, key, item) move_references(item, name);
}

static json_t *one_call(hg_call_style s, const char *name)
{
    const char *key = s == HG_CALLS_LLAMA ? "parameters" : "arguments";
    return json_pack("{s:s, s:{s:{s:s}, s:{s:o}}, s:[s, s]}", "type", "object", "properties",
                     "name", "const", name, key, "$ref", json_sprintf("#/$defs/%s", name),
                     "required", "name", key);
}

static json_t *parameters_of(const json_t *f, bool is_loose)
{
    const json_t *p = json_object_get(f, "parameters");
    json_t *out = p == NULL || is_loose ? json_object() : json_deep_copy(p);
    if (out != NULL && json_object_get(out, "type") == NULL && json_object_get(out, "$ref") == NULL)
        (void)json_object_set_new(out, "type", json_string("object"));
    move_references(out, json_string_value(json_object_get(f, "name")));
    return out;
}

hg_status hg_calls_schema(hg_call_style s, const json_t *tools, const char *only,
                          const bool *is_loose, hg_buf *out, hg_err *e)
{
    json_t *defs = json_object(), *calls = json_array(), *root;
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *f = function_of(json_array_get(tools, i));
        const char *name = json_string_value(json_object_get(f, "name"));
        if (only != NULL && strcmp(only, name) != 0) continue;
        (void)json_object_set_new(defs, name, parameters_of(f, is_loose[i]));
        (void)json_array_append_new(calls, one_call(s, name));
    }
    if (s == HG_CALLS_MISTRAL)
        root = json_pack("{s:s, s:i, s:{s:o}, s:o}", "type", "array", "minItems", 1, "items",
                         "anyOf", calls, "$defs", defs);
    else
        root = json_pack("{s:o, s:o}", "anyOf", calls, "$defs", defs);
    const hg_status st = root != NULL ? hg_json_put_tree(out, root, e)
                                      : hg_fail(e, HG_E_NOMEM, "no room for the tools");
    json_decref(root);
    return st;
}

/* ---- in words ---- */
static void put_tools(hg_buf *b, const json_t *tools)
{
    hg_err e;
    hg_buf_puts(b, "You may call these functions:\n");
    for (size_t i = 0; i < json_array_size(tools); i++) {
        (void)hg_json_put_tree(b, function_of(json_array_get(tools, i)), &e);
        hg_buf_putc(b, '\n');
    }
    hg_buf_puts(b, "To call one, answer with its name and arguments as JSON within tags:\n"
                   "<tool_call>\n{\"name\": \"...\", \"arguments\": {...}}\n</tool_call>");
}

static void put_content(hg_buf *b, const json_t *content)
{
    if (json_is_string(content))
        hg_buf_put(b, json_string_value(content), json_string_length(content));
    for (size_t i = 0; json_is_array(content) && i < json_array_size(content); i++) {
        const json_t *text = json_object_get(json_array_get(content, i), "text");
        if (json_is_string(text)) hg_buf_put(b, json_string_value(text), json_string_length(text));
    }
}

/* Arguments are text that holds JSON, from OpenAI's clients, or JSON. */
static void put_call(hg_buf *b, const json_t *call)
{
    const json_t *f = function_of(call), *arguments = json_object_get(f, "arguments");
    hg_err e;
    hg_buf_puts(b, "<tool_call>\n{\"name\": ");
    (void)hg_json_put_tree(b, json_object_get(f, "name"), &e);
    hg_buf_puts(b, ", \"arguments\": ");
    if (json_is_string(arguments))
        hg_buf_put(b, json_string_value(arguments), json_string_length(arguments));
    else if (arguments != NULL)
        (void)hg_json_put_tree(b, arguments, &e);
    else
        hg_buf_puts(b, "{}");
    hg_buf_puts(b, "}\n</tool_call>");
}

static void put_message(hg_json_out *o, const char *role, const hg_buf *content)
{
    hg_json_begin(o, NULL, '{');
    hg_json_text(o, "role", role);
    hg_json_bytes(o, "content", (hg_bytes){content->n > 0 ? content->p : "", content->n});
    hg_json_end(o);
}

static void explain_message(hg_json_out *o, const json_t *m)
{
    const char *role = json_string_value(json_object_get(m, "role"));
    const json_t *calls = json_object_get(m, "tool_calls");
    const bool is_result = role != NULL && strcmp(role, "tool") == 0;
    hg_buf b = {0};
    if (is_result) hg_buf_puts(&b, "<tool_response>\n");
    put_content(&b, json_object_get(m, "content"));
    if (is_result) hg_buf_puts(&b, "\n</tool_response>");
    for (size_t i = 0; i < json_array_size(calls); i++) {
        if (b.n > 0) hg_buf_putc(&b, '\n');
        put_call(&b, json_array_get(calls, i));
    }
    put_message(o, is_result ? "user" : role, &b);
    hg_buf_free(&b);
}

hg_status hg_calls_explain(const json_t *messages, const json_t *tools, hg_buf *out, hg_err *e)
{
    const json_t *first = json_array_get(messages, 0);
    const char *role = json_string_value(json_object_get(first, "role"));
    const bool has_system = role != NULL && strcmp(role, "system") == 0;
    hg_json_out o;
    hg_buf b = {0};
    hg_json_out_init(&o, out, 0);
    hg_json_begin(&o, NULL, '[');
    if (has_system) put_content(&b, json_object_get(first, "content"));
    if (json_array_size(tools) > 0) {
        if (b.n > 0) hg_buf_puts(&b, "\n\n");
        put_tools(&b, tools);
    }
    if (b.n > 0) put_message(&o, "system", &b);
    hg_buf_free(&b);
    for (size_t i = has_system; i < json_array_size(messages); i++)
        explain_message(&o, json_array_get(messages, i));
    hg_json_end(&o);
    return hg_buf_status(out, e);
}

/* ---- reading ---- */
static size_t skip_space(hg_bytes t, size_t i)
{
    while (i < t.n && strchr(" \t\r\n", t.p[i]) != NULL && t.p[i] != '\0') i++;
    return i;
}

/* The end of the JSON value (an object or an array) that begins at i; 0 when it does not end. */
static size_t value_end(hg_bytes t, size_t i)
{
    size_t depth = 0;
    bool in_string = false;
    for (; i < t.n; i++) {
        const char c = t.p[i];
        if (in_string) {
            if (c == '\\') i++;
            if (c == '"') in_string = false;
            continue;
        }
        if (c == '"') in_string = true;
        if (c == '{' || c == '[') depth++;
        if ((c == '}' || c == ']') && --depth == 0) return i + 1;
        if (depth == 0) return 0;
    }
    return 0;
}

static bool take_call(json_t *calls, const json_t *tools, const json_t *v)
{
    const json_t *f = json_object_get(v, "function"); /* some write the whole envelope */
    const json_t *at = json_is_object(f) ? f : v, *name = json_object_get(at, "name");
    json_t *arguments = json_object_get(at, "arguments");
    if (arguments == NULL) arguments = json_object_get(at, "parameters");
    if (!json_is_string(name)) return false;
    const hg_bytes text = {json_string_value(name), json_string_length(name)};
    if (hg_calls_find(tools, text) == NULL) return false;
    json_t *none = arguments == NULL ? json_object() : NULL;
    const int failed =
        json_array_append_new(calls, json_pack("{s:s, s:O}", "name", text.p, "arguments",
                                               arguments != NULL ? arguments : none));
    json_decref(none);
    return failed == 0;
}

/* Takes one value at i, an object or an array of them; its end, or 0 when it is no call. */
static size_t take_value(json_t *calls, const json_t *tools, hg_bytes t, size_t i)
{
    json_t *v = NULL;
    hg_err why;
    const size_t end = i < t.n && (t.p[i] == '{' || t.p[i] == '[') ? value_end(t, i) : 0;
    const size_t n = json_array_size(calls);
    if (end == 0 || hg_json_parse(&v, (hg_bytes){t.p + i, end - i}, t.n, &why) != HG_OK) return 0;
    if (json_is_object(v)) (void)take_call(calls, tools, v);
    for (size_t k = 0; k < json_array_size(v); k++)
        (void)take_call(calls, tools, json_array_get(v, k));
    json_decref(v);
    return json_array_size(calls) > n ? end : 0;
}

static size_t find(hg_bytes t, size_t from, const char *s)
{
    const char *at = from < t.n ? memmem(t.p + from, t.n - from, s, strlen(s)) : NULL;
    return at != NULL ? (size_t)(at - t.p) : t.n;
}

static size_t read_tagged(json_t *calls, const json_t *tools, bool opened, hg_bytes t)
{
    size_t words = opened ? 0 : t.n, at = opened ? 0 : find(t, 0, TAG);
    bool is_tag = !opened;
    while (at < t.n) {
        const size_t inside = skip_space(t, at + (is_tag ? strlen(TAG) : 0));
        const size_t end = take_value(calls, tools, t, inside);
        if (end > 0 && at < words) words = at;
        at = find(t, end > 0 ? end : inside, TAG);
        is_tag = true;
    }
    return words;
}

hg_status hg_calls_read(hg_call_style s, const json_t *tools, bool opened, hg_bytes t,
                        json_t **calls, size_t *n_words, hg_err *e)
{
    *calls = json_array();
    *n_words = t.n;
    if (*calls == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the calls");
    if (s == HG_CALLS_TAGGED || s == HG_CALLS_EXPLAINED)
        *n_words = read_tagged(*calls, tools, opened, t);
    if (json_array_size(*calls) > 0) return HG_OK;
    /* The whole answer, perhaps behind a mark of its family. */
    size_t at = skip_space(t, 0);
    if (t.n - at >= strlen(MISTRAL) && memcmp(t.p + at, MISTRAL, strlen(MISTRAL)) == 0)
        at = skip_space(t, at + strlen(MISTRAL));
    if (take_value(*calls, tools, t, at) > 0) *n_words = 0;
    return HG_OK;
}

size_t hg_calls_words(hg_call_style s, bool opened, hg_bytes t)
{
    const size_t first = skip_space(t, 0);
    if (opened || first == t.n || t.p[first] == '{' || t.p[first] == '[') return 0;
    if (s != HG_CALLS_TAGGED && s != HG_CALLS_EXPLAINED) return t.n;
    size_t n = find(t, 0, TAG);
    /* The beginning of a tag, perhaps. */
    for (size_t k = strlen(TAG) - 1; n == t.n && k > 0; k--)
        if (k <= t.n && memcmp(t.p + t.n - k, TAG, k) == 0) n = t.n - k;
    return n;
}
