/* Reading Gemini's requests: each becomes OpenAI's form of the same, in which it is checked
 * further. Its schemas, a dialect of OpenAPI with types in capitals and counts as strings, become
 * JSON Schema. */
#include "serve/gemini/gemini.h"
#include "serve/json_read.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
    json_t *out, *messages; /* OpenAI's body and its messages */
    size_t n_calls;
    hg_problem *p;
} reader;

static bool bad(reader *r, const char *what)
{
    return hg_refuse(r->p, 400, NULL, NULL, "%s", what);
}

/* By the name in camelCase, or else in snake_case; null is absent. */
static const json_t *member(const json_t *o, const char *key)
{
    char snake[64];
    size_t n = 0;
    const json_t *v = json_object_get(o, key);

    if (v != NULL) return json_is_null(v) ? NULL : v;
    for (const char *s = key; *s != '\0' && n + 3 < sizeof snake; s++) {
        if (isupper((unsigned char)*s) != 0) snake[n++] = '_';
        snake[n++] = (char)tolower((unsigned char)*s);
    }
    snake[n] = '\0';
    v = json_object_get(o, snake);
    return json_is_null(v) ? NULL : v;
}

static json_t *json_text_of(const json_t *v)
{
    hg_buf b = {0};
    hg_err e;

    (void)hg_json_put_tree(&b, v, &e);
    return hg_tree_text(&b);
}

/* ---- schemas ---- */
static json_t *convert(const json_t *in, int depth);

static json_t *convert_list(const json_t *in, int depth)
{
    json_t *out = json_array();

    for (size_t i = 0; i < json_array_size(in); i++)
        (void)json_array_append_new(out, convert(json_array_get(in, i), depth));
    return out;
}

/* In the order that propertyOrdering asks for, then as they come. */
static json_t *convert_properties(json_t *in, const json_t *order, int depth)
{
    json_t *out = json_object(), *v;
    const char *key;

    for (size_t i = 0; i < json_array_size(order); i++) {
        key = json_string_value(json_array_get(order, i));
        v = key != NULL ? json_object_get(in, key) : NULL;
        if (v != NULL) hg_tree_set(out, key, convert(v, depth));
    }
    json_object_foreach(in, key, v)
    {
        if (json_object_get(out, key) == NULL) hg_tree_set(out, key, convert(v, depth));
    }
    return out;
}

static json_t *convert_type(const json_t *type, bool is_nullable)
{
    char word[16];
    size_t n = 0;

    for (const char *s = json_string_value(type); *s != '\0' && n + 1 < sizeof word; s++)
        word[n++] = (char)tolower((unsigned char)*s);
    word[n] = '\0';
    json_t *name = json_string(word);
    if (!is_nullable) return name;
    json_t *both = json_array();
    (void)json_array_append_new(both, name);
    (void)json_array_append_new(both, json_string("null"));
    return both;
}

/* "3" where JSON Schema says 3. */
static json_t *convert_count(const json_t *v)
{
    char *end = NULL;

    if (!json_is_string(v)) return json_deep_copy(v);
    const long long n = strtoll(json_string_value(v), &end, 10);
    return *end == '\0' && end != json_string_value(v) ? json_integer(n) : json_deep_copy(v);
}

static bool is_among(const char *key, const char *const *list)
{
    while (*list != NULL && strcmp(*list, key) != 0) list++;
    return *list != NULL;
}

static void convert_member(json_t *out, const char *key, json_t *v, const json_t *whole, int depth)
{
    static const char *const counts[] = {"minItems",      "maxItems",      "minLength", "maxLength",
                                         "minProperties", "maxProperties", NULL};
    static const char *const lists[] = {"anyOf", "oneOf", "allOf", "prefixItems", NULL};
    /* They say how a value is kept, or are words for people. */
    static const char *const dropped[] = {"nullable", "propertyOrdering", "property_ordering",
                                          "example",  "default",          NULL};

    if (is_among(key, dropped)) return;
    if (strcmp(key, "type") == 0 && json_is_string(v) && !hg_tree_is(v, "TYPE_UNSPECIFIED"))
        hg_tree_set(out, key, convert_type(v, json_is_true(json_object_get(whole, "nullable"))));
    else if (strcmp(key, "format") == 0)
        ; /* of numbers: int32, double; and enum */
    else if (is_among(key, counts))
        hg_tree_set(out, key, convert_count(v));
    else if (is_among(key, lists) && json_is_array(v))
        hg_tree_set(out, key, convert_list(v, depth));
    else if (strcmp(key, "items") == 0)
        hg_tree_set(out, key, convert(v, depth));
    else if (strcmp(key, "properties") == 0 && json_is_object(v))
        hg_tree_set(out, key, convert_properties(v, member(whole, "propertyOrdering"), depth));
    else
        hg_tree_set(out, key, json_deep_copy(v));
}

static json_t *convert(const json_t *in, int depth)
{
    json_t *out, *v;
    const char *key;

    if (!json_is_object(in) || depth >= HG_JSON_MAX_DEPTH) return json_deep_copy(in);
    out = json_object();
    json_object_foreach((json_t *)(uintptr_t)in, key, v)
    {
        convert_member(out, key, v, in, depth + 1);
    }
    /* An enum of a value that may be null names null too. */
    json_t *names = json_object_get(out, "enum");
    if (json_is_array(names) && json_is_true(json_object_get(in, "nullable")))
        (void)json_array_append_new(names, json_null());
    return out;
}

/* ---- contents ---- */
static void add_turn(reader *r, const char *role, json_t *text, json_t *calls)
{
    json_t *turn = json_object();

    hg_tree_set(turn, "role", json_string(role));
    hg_tree_set(turn, "content", text);
    hg_tree_set(turn, "tool_calls", calls);
    (void)json_array_append_new(r->messages, turn);
}

static bool add_call(reader *r, const json_t *call, json_t **calls)
{
    const json_t *name = json_object_get(call, "name"), *args = member(call, "args");
    json_t *f = json_object(), *one = json_object(), *none = json_object();
    char id[32];

    if (*calls == NULL) *calls = json_array();
    (void)snprintf(id, sizeof id, "call_%zu", r->n_calls++);
    hg_tree_set(f, "name", json_deep_copy(name));
    hg_tree_set(f, "arguments", json_text_of(args != NULL ? args : none));
    json_decref(none);
    hg_tree_set(one, "id", json_string(id));
    hg_tree_set(one, "type", json_string("function"));
    hg_tree_set(one, "function", f);
    (void)json_array_append_new(*calls, one);
    return json_is_string(name) || bad(r, "contents: a functionCall has no name");
}

static bool add_response(reader *r, const json_t *response)
{
    const json_t *name = json_object_get(response, "name"), *said = member(response, "response");
    json_t *turn = json_object();

    hg_tree_set(turn, "role", json_string("tool"));
    hg_tree_set(turn, "name", json_deep_copy(name));
    hg_tree_set(turn, "content", said != NULL ? json_text_of(said) : json_string(""));
    (void)json_array_append_new(r->messages, turn);
    return json_is_string(name) || bad(r, "contents: a functionResponse has no name");
}

static bool add_part(reader *r, const json_t *part, hg_buf *text, json_t **calls)
{
    const json_t *said = json_object_get(part, "text"), *call = member(part, "functionCall");
    const json_t *response = member(part, "functionResponse");

    if (call != NULL) return add_call(r, call, calls);
    if (response != NULL) return add_response(r, response);
    if (!json_is_string(said))
        return bad(r, "contents: parts hold text, functionCall or functionResponse; this server "
                      "reads no pictures, sound or files");
    if (!json_is_true(member(part, "thought")))
        hg_buf_put(text, json_string_value(said), json_string_length(said));
    return true;
}

static bool add_content(reader *r, const json_t *content, const char *role)
{
    const json_t *parts = json_is_string(content) ? NULL : json_object_get(content, "parts");
    const size_t before = json_array_size(r->messages);
    hg_buf text = {0};
    json_t *calls = NULL;
    bool ok = true;

    if (json_is_string(content)) {
        add_turn(r, role, json_deep_copy(content), NULL);
        return true;
    }
    if (json_is_object(parts)) ok = add_part(r, parts, &text, &calls);
    if (!json_is_object(parts) && json_array_size(parts) == 0)
        return bad(r, "contents: parts must not be empty");
    for (size_t i = 0; ok && i < json_array_size(parts); i++)
        ok = add_part(r, json_array_get(parts, i), &text, &calls);
    if (ok && (text.n > 0 || calls != NULL || json_array_size(r->messages) == before)) {
        add_turn(r, role, hg_tree_text(&text), calls);
        return true;
    }
    hg_buf_free(&text);
    json_decref(calls);
    return ok;
}

static bool add_contents(reader *r, const json_t *in)
{
    const json_t *list = member(in, "contents"), *system = member(in, "systemInstruction");

    if (!json_is_array(list) || json_array_size(list) == 0)
        return bad(r, "contents: must not be empty");
    if (json_array_size(list) > HG_SERVE_MAX_MESSAGES) return bad(r, "contents: too many");
    if (system != NULL && !add_content(r, system, "system")) return false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *content = json_array_get(list, i), *role = member(content, "role");
        const bool is_model = hg_tree_is(role, "model");
        if (role != NULL && !is_model && !hg_tree_is(role, "user") && !hg_tree_is(role, "function"))
            return bad(r, "contents: a role is user, model or function");
        if (!add_content(r, content, is_model ? "assistant" : "user")) return false;
    }
    return true;
}

/* ---- generationConfig ---- */
static bool check_number(reader *r, const char *key, const json_t *v, double min, double max)
{
    const double x = json_number_value(v);

    return (json_is_number(v) && x >= min && x <= max) ||
           hg_refuse(r->p, 400, NULL, NULL, "generationConfig.%s: must be a number from %g to %g",
                     key, min, max);
}

static bool add_numbers(reader *r, const json_t *g)
{
    static const struct {
        const char *key, *to;
        double min, max;
    } table[] = {{"temperature", "temperature", 0, 2},
                 {"topP", "top_p", 0, 1},
                 {"topK", "top_k", 1, HG_MAX_VOCAB},
                 {"candidateCount", "n", 1, 8},
                 {"maxOutputTokens", "max_tokens", 1, 1e9},
                 {"seed", "seed", -2147483648.0, 2147483647.0},
                 {"presencePenalty", "presence_penalty", -2, 2},
                 {"frequencyPenalty", "frequency_penalty", -2, 2}};

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const json_t *v = member(g, table[i].key);
        if (v == NULL) continue;
        if (!check_number(r, table[i].key, v, table[i].min, table[i].max)) return false;
        const bool is_count = i >= 2 && i <= 5;
        if (!is_count) {
            hg_tree_set(r->out, table[i].to, json_deep_copy(v));
            continue;
        }
        const json_int_t n = (json_int_t)json_number_value(v);
        hg_tree_set(r->out, table[i].to, json_integer(i == 4 && n > HG_MAX_CTX ? HG_MAX_CTX : n));
    }
    return true;
}

static void put_form(reader *r, json_t *schema)
{
    json_t *form = json_object();

    hg_tree_set(form, "type", json_string(schema != NULL ? "json_schema" : "json_object"));
    if (schema != NULL) {
        json_t *holder = json_object();
        hg_tree_set(holder, "schema", schema);
        hg_tree_set(form, "json_schema", holder);
    }
    hg_tree_set(r->out, "response_format", form);
}

static bool add_form(reader *r, const json_t *g)
{
    const json_t *type = member(g, "responseMimeType"), *schema = member(g, "responseSchema");
    const json_t *plain = member(g, "responseJsonSchema");

    if (schema != NULL && plain != NULL)
        return bad(r, "generationConfig: responseSchema and responseJsonSchema exclude each other");
    if (type == NULL || hg_tree_is(type, "text/plain"))
        return (schema == NULL && plain == NULL) ||
               bad(r, "generationConfig.responseMimeType: a schema needs application/json");
    if (!hg_tree_is(type, "application/json"))
        return bad(r, "generationConfig.responseMimeType: text/plain or application/json");
    put_form(r, schema != NULL ? convert(schema, 0) : json_deep_copy(plain));
    return true;
}

static bool add_config(reader *r, const json_t *in)
{
    const json_t *g = member(in, "generationConfig");
    const json_t *stop = member(g, "stopSequences"), *logprobs = member(g, "responseLogprobs");

    if (g == NULL) return true;
    if (!json_is_object(g)) return bad(r, "generationConfig: must be an object");
    if (json_is_true(logprobs))
        return bad(r, "generationConfig.responseLogprobs: not told here; OpenAI's logprobs are");
    if (stop != NULL && (!json_is_array(stop) || json_array_size(stop) > 5))
        return bad(r, "generationConfig.stopSequences: at most 5 strings");
    hg_tree_set(r->out, "stop", json_deep_copy(stop));
    return add_numbers(r, g) && add_form(r, g);
}

/* ---- tools ---- */
static bool is_allowed(const json_t *names, const json_t *name)
{
    for (size_t i = 0; i < json_array_size(names); i++) {
        if (json_equal(json_array_get(names, i), name)) return true;
    }
    return json_array_size(names) == 0;
}

static void add_function(json_t *tools, const json_t *d, const json_t *allowed)
{
    const json_t *schema = member(d, "parameters"), *plain = member(d, "parametersJsonSchema");
    json_t *f, *tool;

    if (!is_allowed(allowed, json_object_get(d, "name"))) return;
    f = json_object();
    tool = json_object();
    hg_tree_set(f, "name", json_deep_copy(json_object_get(d, "name")));
    hg_tree_set(f, "description", json_deep_copy(member(d, "description")));
    hg_tree_set(f, "parameters", schema != NULL ? convert(schema, 0) : json_deep_copy(plain));
    hg_tree_set(tool, "type", json_string("function"));
    hg_tree_set(tool, "function", f);
    (void)json_array_append_new(tools, tool);
}

static bool add_tools(reader *r, const json_t *in)
{
    const json_t *list = member(in, "tools");
    const json_t *how = member(member(in, "toolConfig"), "functionCallingConfig");
    const json_t *mode = member(how, "mode"), *allowed = member(how, "allowedFunctionNames");
    json_t *tools;

    if (json_array_size(list) == 0) return true;
    tools = json_array();
    hg_tree_set(r->out, "tools", tools);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *f = member(json_array_get(list, i), "functionDeclarations");
        if (!json_is_array(f))
            return bad(r, "tools: functionDeclarations are what this server can call");
        for (size_t k = 0; k < json_array_size(f); k++)
            add_function(tools, json_array_get(f, k), allowed);
    }
    if (hg_tree_is(mode, "ANY"))
        hg_tree_set(r->out, "tool_choice", json_string("required"));
    else if (hg_tree_is(mode, "NONE"))
        hg_tree_set(r->out, "tool_choice", json_string("none"));
    return true;
}

bool hg_gemini_parse(hg_openai_call *c, hg_bytes body, hg_bytes model, bool is_count,
                     bool is_stream, hg_arena *mem, hg_problem *p)
{
    json_t *in = NULL;
    reader r = {.out = json_object(), .messages = json_array(), .p = p};

    memset(c, 0, sizeof *c);
    hg_tree_set(r.out, "messages", r.messages);
    bool ok = hg_body_parse(&in, body, p);
    const json_t *inner = ok && is_count ? member(in, "generateContentRequest") : NULL;
    const json_t *whole = inner != NULL ? inner : in;
    if (ok && !json_is_object(whole)) ok = bad(&r, "the body must be a JSON object");
    ok = ok && add_contents(&r, whole) && add_config(&r, whole) && add_tools(&r, whole);
    if (ok && member(whole, "cachedContent") != NULL)
        ok = bad(&r, "cachedContent: this server keeps none");
    hg_tree_set(r.out, "model", json_stringn(model.p, model.n));
    hg_tree_set(r.out, "stream", json_boolean(is_stream));
    json_decref(in);
    if (ok) return hg_openai_read(c, true, r.out, mem, p);
    json_decref(r.out);
    return false;
}
