/* Reading the Responses API's requests: items become messages, flat tools become chat's, and from
 * there on chat completions check them. Calls in a row are one turn of the assistant, as templates
 * want them. What a model here cannot do (pictures, tools that run at OpenAI) is refused by
 * name. */
#include "serve/openai/responses.h"
#include "serve/json_read.h"

#include <stdio.h>
#include <string.h>

typedef struct reader {
    json_t *out, *messages; /* chat's body, and what is said in it */
    hg_problem *p;
} reader;

static bool bad(reader *r, const char *param, const char *what)
{
    return hg_refuse(r->p, 400, "invalid_value", param, "%s %s", param, what);
}

static bool bad_item(reader *r, size_t i, const char *member, const char *what)
{
    char param[64];

    (void)snprintf(param, sizeof param, "input[%zu]%s%s", i, member[0] != 0 ? "." : "", member);
    return bad(r, param, what);
}

/* ---- items ---- */

/* A string, or parts of text joined; NULL: it holds something else. */
static json_t *text_of(const json_t *v)
{
    static const char *const kinds[] = {"input_text", "output_text", "text", "refusal"};
    hg_buf b = {0};
    bool ok = json_is_array(v);

    if (json_is_string(v)) return json_deep_copy(v);
    for (size_t i = 0; ok && i < json_array_size(v); i++) {
        const json_t *part = json_array_get(v, i), *type = json_object_get(part, "type");
        const json_t *text =
            json_object_get(part, hg_tree_is(type, "refusal") ? "refusal" : "text");
        bool known = false;
        for (size_t k = 0; k < 4; k++) known = known || hg_tree_is(type, kinds[k]);
        ok = known && json_is_string(text);
        if (ok) hg_buf_put(&b, json_string_value(text), json_string_length(text));
    }
    json_t *joined = ok && !b.failed ? json_stringn(b.n > 0 ? b.p : "", b.n) : NULL;
    hg_buf_free(&b);
    return joined;
}

static bool add_message(reader *r, size_t i, const json_t *item)
{
    static const char *const roles[] = {"user", "assistant", "system", "developer"};
    const json_t *role = json_object_get(item, "role");
    bool known = false;

    for (size_t k = 0; k < 4; k++) known = known || hg_tree_is(role, roles[k]);
    if (!known) return bad_item(r, i, "role", "must be user, assistant, system or developer");
    json_t *text = text_of(json_object_get(item, "content"));
    if (text == NULL)
        return bad_item(r, i, "content",
                        "must be a string or parts of text: this server cannot read pictures, "
                        "sound or files");
    json_t *turn = json_object();
    (void)json_object_set_new(turn, "role", json_deep_copy(role));
    (void)json_object_set_new(turn, "content", text);
    (void)json_array_append_new(r->messages, turn);
    return true;
}

/* The calls of the assistant's last turn, which the next call joins. */
static json_t *open_calls(reader *r)
{
    const size_t n = json_array_size(r->messages);
    json_t *last = n > 0 ? json_array_get(r->messages, n - 1) : NULL;

    if (hg_tree_is(json_object_get(last, "role"), "assistant")) {
        if (json_object_get(last, "tool_calls") == NULL)
            (void)json_object_set_new(last, "tool_calls", json_array());
        return json_object_get(last, "tool_calls");
    }
    json_t *turn = json_object();
    (void)json_object_set_new(turn, "role", json_string("assistant"));
    (void)json_object_set_new(turn, "content", json_null());
    (void)json_object_set_new(turn, "tool_calls", json_array());
    (void)json_array_append_new(r->messages, turn);
    return json_object_get(turn, "tool_calls");
}

static bool add_call(reader *r, size_t i, const json_t *item)
{
    const json_t *id = json_object_get(item, "call_id"), *name = json_object_get(item, "name");
    const json_t *arguments = json_object_get(item, "arguments");

    if (!json_is_string(id) || !json_is_string(name) || !json_is_string(arguments))
        return bad_item(r, i, "", "must have a call_id, a name and arguments, all strings");
    json_t *call = json_object(), *f = json_object();
    (void)json_object_set_new(f, "name", json_deep_copy(name));
    (void)json_object_set_new(f, "arguments", json_deep_copy(arguments));
    (void)json_object_set_new(call, "id", json_deep_copy(id));
    (void)json_object_set_new(call, "type", json_string("function"));
    (void)json_object_set_new(call, "function", f);
    (void)json_array_append_new(open_calls(r), call);
    return true;
}

static bool add_output(reader *r, size_t i, const json_t *item)
{
    const json_t *id = json_object_get(item, "call_id");

    if (!json_is_string(id)) return bad_item(r, i, "call_id", "must be the id of a call");
    json_t *text = text_of(json_object_get(item, "output"));
    if (text == NULL) return bad_item(r, i, "output", "must be a string or parts of text");
    json_t *turn = json_object();
    (void)json_object_set_new(turn, "role", json_string("tool"));
    (void)json_object_set_new(turn, "tool_call_id", json_deep_copy(id));
    (void)json_object_set_new(turn, "content", text);
    (void)json_array_append_new(r->messages, turn);
    return true;
}

static bool add_item(reader *r, size_t i, const json_t *item)
{
    const json_t *type = hg_tree_get(item, "type");

    if (!json_is_object(item)) return bad_item(r, i, "", "must be an object");
    if (type == NULL || hg_tree_is(type, "message")) return add_message(r, i, item);
    if (hg_tree_is(type, "function_call")) return add_call(r, i, item);
    if (hg_tree_is(type, "function_call_output")) return add_output(r, i, item);
    if (hg_tree_is(type, "reasoning")) return true; /* thoughts of before are not told again */
    return bad_item(r, i, "type",
                    "must be message, function_call, function_call_output or reasoning");
}

static bool add_input(reader *r, const json_t *input)
{
    if (json_is_string(input)) {
        json_t *turn = json_object();
        (void)json_object_set_new(turn, "role", json_string("user"));
        (void)json_object_set_new(turn, "content", json_deep_copy(input));
        (void)json_array_append_new(r->messages, turn);
        return true;
    }
    if (!json_is_array(input) || json_array_size(input) == 0)
        return bad(r, "input", "must be a string or an array of items");
    if (json_array_size(input) > HG_SERVE_MAX_MESSAGES)
        return bad(r, "input", "has more items than a conversation may have");
    for (size_t i = 0; i < json_array_size(input); i++)
        if (!add_item(r, i, json_array_get(input, i))) return false;
    return json_array_size(r->messages) > 0 || bad(r, "input", "says nothing to answer");
}

/* ---- tools and forms ---- */
static bool add_tools(reader *r, const json_t *body)
{
    static const char *const names[] = {"name", "description", "parameters", "strict"};
    const json_t *tools = hg_tree_get(body, "tools");

    if (tools == NULL || (json_is_array(tools) && json_array_size(tools) == 0)) return true;
    if (!json_is_array(tools)) return bad(r, "tools", "must be an array");
    json_t *out = json_array();
    (void)json_object_set_new(r->out, "tools", out);
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *tool = json_array_get(tools, i);
        json_t *f = json_object(), *one = json_object();
        (void)json_object_set_new(one, "type", json_string("function"));
        (void)json_object_set_new(one, "function", f);
        (void)json_array_append_new(out, one);
        if (!hg_tree_is(json_object_get(tool, "type"), "function"))
            return bad(r, "tools", "must be functions: no others run here");
        for (size_t k = 0; k < 4; k++)
            if (hg_tree_get(tool, names[k]) != NULL)
                (void)json_object_set_new(f, names[k], json_deep_copy(hg_tree_get(tool, names[k])));
    }
    return true;
}

static bool add_choice(reader *r, const json_t *body)
{
    const json_t *choice = hg_tree_get(body, "tool_choice");

    if (!json_is_object(choice)) {
        hg_tree_copy(r->out, "tool_choice", body, "tool_choice");
        return true;
    }
    const json_t *name = json_object_get(choice, "name");
    if (!hg_tree_is(json_object_get(choice, "type"), "function") || !json_is_string(name))
        return bad(r, "tool_choice", "must be none, auto, required or name a function");
    json_t *f = json_object(), *one = json_object();
    (void)json_object_set_new(f, "name", json_deep_copy(name));
    (void)json_object_set_new(one, "type", json_string("function"));
    (void)json_object_set_new(one, "function", f);
    (void)json_object_set_new(r->out, "tool_choice", one);
    return true;
}

static bool add_form(reader *r, const json_t *body)
{
    const json_t *format = hg_tree_get(hg_tree_get(body, "text"), "format");
    const json_t *type = json_object_get(format, "type");

    if (format == NULL || hg_tree_is(type, "text")) return true;
    json_t *form = json_object();
    (void)json_object_set_new(r->out, "response_format", form);
    if (!hg_tree_is(type, "json_object") && !hg_tree_is(type, "json_schema"))
        return bad(r, "text.format", "must be of type text, json_object or json_schema");
    (void)json_object_set_new(form, "type", json_deep_copy(type));
    if (hg_tree_is(type, "json_schema"))
        (void)json_object_set_new(form, "json_schema", json_deep_copy(format));
    return true;
}

/* ---- all of it ---- */
static bool check_body(reader *r, const json_t *body)
{
    const json_t *include = hg_tree_get(body, "include"),
                 *truncation = hg_tree_get(body, "truncation");

    if (hg_tree_get(body, "conversation") != NULL || hg_tree_get(body, "prompt") != NULL)
        return bad(r, hg_tree_get(body, "prompt") != NULL ? "prompt" : "conversation",
                   "is kept at OpenAI; give the input, or previous_response_id");
    if (truncation != NULL && !hg_tree_is(truncation, "disabled"))
        return bad(r, "truncation", "must be disabled: nothing is left out in silence");
    for (size_t i = 0; i < json_array_size(include); i++)
        if (hg_tree_is(json_array_get(include, i), "message.output_text.logprobs"))
            return bad(r, "include", "cannot have log-probabilities; chat completions tell them");
    return true;
}

void hg_responses_rename(hg_problem *p)
{
    static const char *const names[][2] = {{"messages", "input"},
                                           {"max_completion_tokens", "max_output_tokens"},
                                           {"response_format", "text.format"}};
    const char *tail;
    char param[64];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const size_t n = strlen(names[i][0]);
        if (strncmp(p->param, names[i][0], n) != 0) continue;
        tail = i == 0 ? "" : p->param + n;
        (void)snprintf(param, sizeof param, "%s%.40s", names[i][1], tail);
        memcpy(p->param, param, sizeof p->param);
        return;
    }
}

bool hg_responses_read(hg_responses_call *c, hg_bytes body, hg_problem *p)
{
    memset(c, 0, sizeof *c);
    if (!hg_body_parse(&c->body, body, p)) return false;
    if (!json_is_object(c->body))
        return hg_refuse(p, 400, "invalid_json", NULL, "the body must be a JSON object");
    const json_t *previous = hg_tree_get(c->body, "previous_response_id");
    const json_t *store = hg_tree_get(c->body, "store");
    if (previous != NULL && !json_is_string(previous))
        return hg_refuse(p, 400, "invalid_value", "previous_response_id",
                         "previous_response_id must be the id of a response");
    if (store != NULL && !json_is_boolean(store))
        return hg_refuse(p, 400, "invalid_value", "store", "store must be true or false");
    const json_t *background = hg_tree_get(c->body, "background"), *metadata;
    if (background != NULL && !json_is_boolean(background))
        return hg_refuse(p, 400, "invalid_value", "background", "background must be true or false");
    if (!hg_openai_metadata(c->body, &metadata, p)) return false;
    c->store = store == NULL || json_is_true(store);
    c->is_background = json_is_true(background);
    if (c->is_background && !c->store)
        return hg_refuse(p, 400, "invalid_value", "background",
                         "background needs store: true: what is made in the background is kept "
                         "until it is fetched");
    c->previous = (hg_bytes){json_string_value(previous), json_string_length(previous)};
    return true;
}

static bool make_chat(hg_responses_call *c, reader *r)
{
    static const char *const same[] = {"model", "temperature", "top_p", "stream",
                                       "top_k", "min_p",       "seed"};
    const json_t *instructions = hg_tree_get(c->body, "instructions");

    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        hg_tree_copy(r->out, same[i], c->body, same[i]);
    hg_tree_copy(r->out, "max_completion_tokens", c->body, "max_output_tokens");
    if (!check_body(r, c->body) || !add_input(r, hg_tree_get(c->body, "input")) ||
        !add_tools(r, c->body) || !add_choice(r, c->body) || !add_form(r, c->body))
        return false;
    c->messages = json_incref(r->messages);
    if (instructions == NULL) {
        (void)json_object_set(r->out, "messages", r->messages);
        return true;
    }
    if (!json_is_string(instructions)) return bad(r, "instructions", "must be a string");
    json_t *all = json_array(), *turn = json_object();
    (void)json_object_set_new(turn, "role", json_string("system"));
    (void)json_object_set_new(turn, "content", json_deep_copy(instructions));
    (void)json_array_append_new(all, turn);
    (void)json_array_extend(all, r->messages);
    (void)json_object_set_new(r->out, "messages", all);
    return true;
}

bool hg_responses_parse(hg_responses_call *c, const json_t *before, hg_arena *mem, hg_problem *p)
{
    reader r = {json_object(), before != NULL ? json_deep_copy(before) : json_array(), p};
    bool ok = r.out != NULL && r.messages != NULL ? make_chat(c, &r)
                                                  : hg_refuse(p, 500, NULL, NULL, "no room");

    json_decref(r.messages);
    if (!ok) {
        json_decref(r.out);
        return false;
    }
    return hg_openai_read(&c->chat, true, r.out, mem, p);
}

void hg_responses_call_free(hg_responses_call *c)
{
    hg_openai_call_free(&c->chat);
    json_decref(c->messages);
    json_decref(c->body);
    memset(c, 0, sizeof *c);
}
