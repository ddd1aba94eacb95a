/* OpenAI's form of tools: what a request says of them, and calls in answers. */
#include "serve/openai/openai.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

/* ---- requests ---- */
static bool bad_tools(hg_problem *p, const char *param, const char *why)
{
    return hg_refuse(p, 400, "invalid_value", param, "%s %s", param, why);
}

static bool parse_choice(hg_openai_call *c, const json_t *v, hg_problem *p)
{
    const char *word = json_string_value(v);
    const json_t *name = json_object_get(json_object_get(v, "function"), "name");

    if (v == NULL || json_is_null(v) || (word != NULL && strcmp(word, "auto") == 0)) return true;
    if (word != NULL && strcmp(word, "none") == 0) {
        c->tools = NULL;
        return true;
    }
    c->must_call = true;
    if (word != NULL && strcmp(word, "required") == 0) return true;
    if (!json_is_string(name))
        return bad_tools(p, "tool_choice", "must be none, auto, required or name a function");
    const hg_bytes text = {json_string_value(name), json_string_length(name)};
    if (hg_calls_find(c->tools, text) == NULL)
        return bad_tools(p, "tool_choice", "names a function that is not among the tools");
    c->only = text.p;
    return true;
}

static bool parse_offer(hg_openai_call *c, hg_problem *p)
{
    json_t *tools = json_object_get(c->body, "tools");
    const json_t *choice = json_object_get(c->body, "tool_choice");
    hg_err e = {0};

    if (json_array_size(tools) == 0 &&
        (tools == NULL || json_is_null(tools) || json_is_array(tools))) {
        const char *word = json_string_value(choice);
        return choice == NULL || json_is_null(choice) ||
               (word != NULL && strcmp(word, "required") != 0) ||
               bad_tools(p, "tool_choice", "has a meaning only with tools");
    }
    if (hg_calls_check(tools, &e) != HG_OK)
        return hg_refuse(p, 400, "invalid_value", "tools", "tools: %s", e.msg);
    c->tools = tools;
    return parse_choice(c, choice, p);
}

static bool has_calls(const json_t *message)
{
    const char *role = json_string_value(json_object_get(message, "role"));

    return json_array_size(json_object_get(message, "tool_calls")) > 0 ||
           (role != NULL && strcmp(role, "tool") == 0);
}

static bool check_calls(const json_t *message, hg_problem *p)
{
    const json_t *calls = json_object_get(message, "tool_calls");

    for (size_t i = 0; i < json_array_size(calls); i++) {
        const json_t *f = json_object_get(json_array_get(calls, i), "function");
        if (!json_is_string(json_object_get(f, "name")))
            return bad_tools(p, "messages", "have a call that names no function");
    }
    return true;
}

/* A copy in which developers are the system, which templates know. */
static json_t *talk_of(json_t *messages)
{
    json_t *out = json_array(), *m;
    size_t i;
    json_array_foreach(messages, i, m)
    {
        json_t *one = json_copy(m);
        const char *role = json_string_value(json_object_get(m, "role"));
        if (role != NULL && strcmp(role, "developer") == 0)
            (void)json_object_set_new(one, "role", json_string("system"));
        (void)json_array_append_new(out, one);
    }
    return out;
}

bool hg_openai_parse_tools(hg_openai_call *c, hg_problem *p)
{
    json_t *messages = json_object_get(c->body, "messages"), *m;
    bool needed;
    size_t i;

    if (!parse_offer(c, p)) return false;
    needed = c->tools != NULL;
    json_array_foreach(messages, i, m)
    {
        needed = needed || has_calls(m);
        if (!check_calls(m, p)) return false;
    }
    if (c->tools != NULL && c->has_form)
        return bad_tools(p, "response_format", "and tools exclude each other");
    if (!needed) return true;
    c->talk = talk_of(messages);
    return c->talk != NULL || hg_refuse(p, 500, NULL, NULL, "no room for the messages");
}

/* ---- answers ---- */
void hg_put_call_id(hg_json_out *o, const char *key, const char *prefix)
{
    unsigned char r[12];
    char id[16 + 2 * sizeof r + 1];
    const int n = snprintf(id, 16, "%s", prefix);

    randombytes_buf(r, sizeof r);
    (void)sodium_bin2hex(id + n, sizeof id - (size_t)n, r, sizeof r);
    hg_json_text(o, key, id);
}

static void put_id(hg_json_out *o)
{
    hg_put_call_id(o, "id", "call_");
    hg_json_text(o, "type", "function");
}

static void put_arguments(hg_json_out *o, const json_t *call)
{
    hg_buf text = {0};
    hg_err e;

    (void)hg_json_put_tree(&text, json_object_get(call, "arguments"), &e);
    hg_json_bytes(o, "arguments", (hg_bytes){text.n > 0 ? text.p : "", text.n});
    hg_buf_free(&text);
}

void hg_openai_put_calls(hg_json_out *o, const json_t *calls)
{
    hg_json_begin(o, "tool_calls", '[');
    for (size_t i = 0; i < json_array_size(calls); i++) {
        const json_t *call = json_array_get(calls, i);
        hg_json_begin(o, NULL, '{');
        put_id(o);
        hg_json_begin(o, "function", '{');
        hg_json_text(o, "name", json_string_value(json_object_get(call, "name")));
        put_arguments(o, call);
        hg_json_end(o);
        hg_json_end(o);
    }
    hg_json_end(o);
}

void hg_openai_put_call_delta(hg_json_out *o, const json_t *calls, size_t i, bool rest)
{
    const json_t *call = json_array_get(calls, i);

    hg_json_begin(o, "tool_calls", '[');
    hg_json_begin(o, NULL, '{');
    hg_json_int(o, "index", (int64_t)i);
    if (!rest) put_id(o);
    hg_json_begin(o, "function", '{');
    if (rest) {
        put_arguments(o, call);
    } else {
        hg_json_text(o, "name", json_string_value(json_object_get(call, "name")));
        hg_json_text(o, "arguments", "");
    }
    hg_json_end(o);
    hg_json_end(o);
    hg_json_end(o);
}
