/* Reading Anthropic's requests: each becomes OpenAI's form of the same, in which it is checked
 * further. Blocks of text are joined line by line, turns of one role in a row are one turn, and
 * what the assistant said last is the beginning of the answer. */
#include "serve/anthropic/anthropic.h"
#include "serve/json_read.h"

#include <stdio.h>
#include <string.h>

typedef struct reader {
    json_t *out, *messages; /* OpenAI's body and its messages */
    const json_t *called;   /* the calls of the assistant's turn before, or NULL */
    hg_problem *p;
} reader;

/* "messages.3.role: what". */
static bool bad(reader *r, size_t i, const char *what)
{
    return hg_refuse(r->p, 400, NULL, NULL, "messages.%zu%s", i, what);
}

/* ---- text ---- */
static void add_line(hg_buf *b, const json_t *text)
{
    if (b->n > 0) hg_buf_putc(b, '\n');
    hg_buf_put(b, json_string_value(text), json_string_length(text));
}

/* A string, or an array of blocks of text; NULL: it is something else. */
static json_t *text_of(const json_t *v)
{
    hg_buf b = {0};

    if (json_is_string(v)) return json_deep_copy(v);
    if (!json_is_array(v)) return NULL;
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *block = json_array_get(v, i), *text = json_object_get(block, "text");
        if (!hg_tree_is(json_object_get(block, "type"), "text") || !json_is_string(text)) {
            hg_buf_free(&b);
            return NULL;
        }
        add_line(&b, text);
    }
    return hg_tree_text(&b);
}

/* ---- messages ---- */
static json_t *last_turn(const reader *r)
{
    const size_t n = json_array_size(r->messages);

    return n > 0 ? json_array_get(r->messages, n - 1) : NULL;
}

/* What is said and called once more by the same role; takes both. */
static void lengthen(json_t *turn, json_t *text, json_t *calls)
{
    const json_t *said = json_object_get(turn, "content");
    json_t *called = json_object_get(turn, "tool_calls");
    hg_buf b = {0};

    if (json_string_length(said) > 0) add_line(&b, said);
    if (json_string_length(text) > 0) add_line(&b, text);
    hg_tree_set(turn, "content", hg_tree_text(&b));
    json_decref(text);
    if (called == NULL) {
        hg_tree_set(turn, "tool_calls", calls);
        return;
    }
    (void)json_array_extend(called, calls);
    json_decref(calls);
}

/* Appends a turn, or lengthens the last one when it is of the same role. */
static void add_turn(reader *r, const char *role, json_t *text, json_t *calls)
{
    json_t *last = last_turn(r);

    if (hg_tree_is(json_object_get(last, "role"), role)) {
        lengthen(last, text, calls);
        return;
    }
    json_t *turn = json_object();
    hg_tree_set(turn, "role", json_string(role));
    hg_tree_set(turn, "content", text);
    hg_tree_set(turn, "tool_calls", calls);
    (void)json_array_append_new(r->messages, turn);
}

static bool add_call(reader *r, size_t i, const json_t *block, json_t **calls)
{
    const json_t *id = json_object_get(block, "id"), *name = json_object_get(block, "name");
    const json_t *input = json_object_get(block, "input");
    hg_buf b = {0};
    hg_err e;

    if (!json_is_string(id) || !json_is_string(name) || !json_is_object(input))
        return bad(r, i, ".content: a tool_use block has an id, a name and an input object");
    if (*calls == NULL) *calls = json_array();
    (void)hg_json_put_tree(&b, input, &e);
    json_t *call = json_object(), *f = json_object();
    hg_tree_set(call, "id", json_deep_copy(id));
    hg_tree_set(call, "type", json_string("function"));
    hg_tree_set(f, "name", json_deep_copy(name));
    hg_tree_set(f, "arguments", hg_tree_text(&b));
    hg_tree_set(call, "function", f);
    (void)json_array_append_new(*calls, call);
    return true;
}

static bool was_called(const reader *r, const json_t *id)
{
    for (size_t k = 0; json_is_string(id) && k < json_array_size(r->called); k++) {
        if (json_equal(json_object_get(json_array_get(r->called, k), "id"), id)) return true;
    }
    return false;
}

/* Results stand before the words of their turn. */
static bool add_result(reader *r, size_t i, const json_t *block)
{
    const json_t *id = json_object_get(block, "tool_use_id"),
                 *content = hg_tree_get(block, "content");
    json_t *turn = json_object();
    json_t *text = content == NULL ? json_string("") : text_of(content);

    hg_tree_set(turn, "role", json_string("tool"));
    if (json_is_string(id)) hg_tree_set(turn, "tool_call_id", json_deep_copy(id));
    hg_tree_set(turn, "content", text);
    const size_t is_behind = hg_tree_is(json_object_get(last_turn(r), "role"), "user") ? 1 : 0;
    (void)json_array_insert_new(r->messages, json_array_size(r->messages) - is_behind, turn);
    if (text == NULL)
        return bad(r, i, ".content: what a tool_result holds must be a string or blocks of text");
    return was_called(r, id) ||
           bad(r, i, ".content: a tool_result must answer a tool_use of the turn before it");
}

static bool add_block(reader *r, size_t i, const json_t *block, bool is_user, hg_buf *text,
                      json_t **calls)
{
    const json_t *type = json_object_get(block, "type"), *said = json_object_get(block, "text");

    if (hg_tree_is(type, "text")) {
        if (!json_is_string(said)) return bad(r, i, ".content: a text block has no text");
        add_line(text, said);
        return true;
    }
    if (hg_tree_is(type, "tool_use") && !is_user) return add_call(r, i, block, calls);
    if (hg_tree_is(type, "tool_result") && is_user) return add_result(r, i, block);
    /* What it thought of earlier turns the model does without. */
    if (!is_user && (hg_tree_is(type, "thinking") || hg_tree_is(type, "redacted_thinking")))
        return true;
    return bad(r, i,
               hg_tree_is(type, "image") || hg_tree_is(type, "document")
                   ? ".content: this server reads no images and no documents"
                   : ".content: blocks are of type text, tool_use (assistant) or tool_result "
                     "(user)");
}

static bool add_blocks(reader *r, size_t i, const json_t *blocks, const char *role)
{
    const size_t before = json_array_size(r->messages);
    const bool is_user = strcmp(role, "user") == 0;
    hg_buf text = {0};
    json_t *calls = NULL;
    bool ok = json_array_size(blocks) > 0 || bad(r, i, ".content: at least one block is required");

    for (size_t k = 0; ok && k < json_array_size(blocks); k++)
        ok = add_block(r, i, json_array_get(blocks, k), is_user, &text, &calls);
    if (!ok) {
        json_decref(calls);
        hg_buf_free(&text);
        return false;
    }
    /* Results of tools were appended already; words of the same turn come behind them. */
    if (text.n > 0 || calls != NULL || json_array_size(r->messages) == before)
        add_turn(r, role, hg_tree_text(&text), calls);
    else
        hg_buf_free(&text);
    return true;
}

static bool add_message(reader *r, size_t i, const json_t *m, bool is_new)
{
    const json_t *role = json_object_get(m, "role"), *content = hg_tree_get(m, "content");
    const bool is_system = is_new && hg_tree_is(role, "system");
    json_t *text;

    if (!json_is_object(m)) return bad(r, i, ": Input should be an object");
    if (!hg_tree_is(role, "user") && !hg_tree_is(role, "assistant") && !is_system)
        return bad(r, i, ".role: Input should be 'user' or 'assistant'");
    if (content == NULL) return bad(r, i, ".content: Field required");
    if (json_is_string(content) && json_string_length(content) == 0)
        return bad(r, i, ".content: text must not be empty");
    if (json_is_array(content) && !is_system)
        return add_blocks(r, i, content, json_string_value(role));
    text = text_of(content);
    if (text == NULL) return bad(r, i, ".content: Input should be a string or an array of blocks");
    add_turn(r, json_string_value(role), text, NULL);
    return true;
}

static bool add_messages(reader *r, const json_t *in, bool is_new)
{
    const json_t *list = hg_tree_get(in, "messages"), *system = hg_tree_get(in, "system");

    if (list == NULL) return hg_refuse(r->p, 400, NULL, NULL, "messages: Field required");
    if (!json_is_array(list) || json_array_size(list) == 0)
        return hg_refuse(r->p, 400, NULL, NULL, "messages: at least one message is required");
    if (json_array_size(list) > HG_SERVE_MAX_MESSAGES)
        return hg_refuse(r->p, 400, NULL, NULL, "messages: at most %d", HG_SERVE_MAX_MESSAGES);
    if (system != NULL) {
        json_t *text = text_of(system);
        if (text == NULL)
            return hg_refuse(r->p, 400, NULL, NULL,
                             "system: Input should be a string or an array of text blocks");
        add_turn(r, "system", text, NULL);
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *m = json_array_get(list, i);
        if (!add_message(r, i, m, is_new)) return false;
        if (!hg_tree_is(json_object_get(m, "role"), "user"))
            r->called = json_object_get(last_turn(r), "tool_calls");
    }
    return true;
}

/* ---- tools ---- */
static bool add_tools(reader *r, const json_t *in)
{
    const json_t *list = hg_tree_get(in, "tools");

    if (list == NULL || (json_is_array(list) && json_array_size(list) == 0)) return true;
    if (!json_is_array(list)) return hg_refuse(r->p, 400, NULL, NULL, "tools: must be an array");
    json_t *tools = json_array();
    hg_tree_set(r->out, "tools", tools);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *t = json_array_get(list, i), *type = hg_tree_get(t, "type");
        const json_t *schema = json_object_get(t, "input_schema");
        if (type != NULL && !hg_tree_is(type, "custom"))
            return hg_refuse(r->p, 400, NULL, NULL,
                             "tools.%zu.type: this server has no tools of its own", i);
        if (!json_is_object(schema))
            return hg_refuse(r->p, 400, NULL, NULL, "tools.%zu.input_schema: Field required", i);
        json_t *f = json_object(), *tool = json_object();
        hg_tree_set(f, "name", json_deep_copy(json_object_get(t, "name")));
        hg_tree_set(f, "description", json_deep_copy(hg_tree_get(t, "description")));
        hg_tree_set(f, "parameters", json_deep_copy(schema));
        hg_tree_set(f, "strict", json_deep_copy(hg_tree_get(t, "strict")));
        hg_tree_set(tool, "type", json_string("function"));
        hg_tree_set(tool, "function", f);
        (void)json_array_append_new(tools, tool);
    }
    return true;
}

static bool add_choice(reader *r, const json_t *in)
{
    const json_t *choice = hg_tree_get(in, "tool_choice"), *type = json_object_get(choice, "type");

    if (choice == NULL) return true;
    if (hg_tree_is(type, "auto") || hg_tree_is(type, "none")) {
        hg_tree_set(r->out, "tool_choice", json_deep_copy(type));
    } else if (hg_tree_is(type, "any")) {
        hg_tree_set(r->out, "tool_choice", json_string("required"));
    } else if (hg_tree_is(type, "tool") && json_is_string(json_object_get(choice, "name"))) {
        json_t *f = json_object(), *one = json_object();
        hg_tree_set(f, "name", json_deep_copy(json_object_get(choice, "name")));
        hg_tree_set(one, "type", json_string("function"));
        hg_tree_set(one, "function", f);
        hg_tree_set(r->out, "tool_choice", one);
    } else {
        return hg_refuse(r->p, 400, NULL, NULL,
                         "tool_choice.type: Input should be 'auto', 'any', 'none' or 'tool' with "
                         "a name");
    }
    return true;
}

/* ---- the rest ---- */
static bool add_sampling(reader *r, const json_t *in, bool is_new)
{
    static const char *const keys[] = {"temperature", "top_p", "top_k"};

    for (size_t i = 0; i < 3; i++) {
        const json_t *v = hg_tree_get(in, keys[i]);
        if (v == NULL) continue;
        if (is_new)
            return hg_refuse(r->p, 400, NULL, NULL,
                             "%s: this version of the API does not take it; version 2023-06-01 "
                             "does",
                             keys[i]);
        if (i < 2 &&
            (!json_is_number(v) || !(json_number_value(v) >= 0 && json_number_value(v) <= 1)))
            return hg_refuse(r->p, 400, NULL, NULL, "%s: Input should be from 0 to 1", keys[i]);
        hg_tree_copy(r->out, keys[i], in, keys[i]);
    }
    return true;
}

static bool add_length(reader *r, const json_t *in, bool is_count)
{
    const json_t *v = hg_tree_get(in, "max_tokens");
    json_int_t n = json_integer_value(v);

    if (v == NULL)
        return is_count || hg_refuse(r->p, 400, NULL, NULL, "max_tokens: Field required");
    if (!json_is_integer(v) || n < 1)
        return hg_refuse(r->p, 400, NULL, NULL,
                         "max_tokens: Input should be a whole number of 1 or more");
    /* Clients ask for what the great models can; a context ends earlier. */
    hg_tree_set(r->out, "max_tokens", json_integer(n < HG_MAX_CTX ? n : HG_MAX_CTX));
    return true;
}

static bool add_form(reader *r, const json_t *in)
{
    const json_t *format = hg_tree_get(hg_tree_get(in, "output_config"), "format");

    if (format == NULL) format = hg_tree_get(in, "output_format");
    if (format == NULL) return true;
    if (!hg_tree_is(json_object_get(format, "type"), "json_schema") ||
        json_object_get(format, "schema") == NULL)
        return hg_refuse(r->p, 400, NULL, NULL,
                         "output_config.format: must be of type json_schema, with a schema");
    json_t *form = json_object(), *schema = json_object();
    hg_tree_set(schema, "schema", json_deep_copy(json_object_get(format, "schema")));
    hg_tree_set(form, "type", json_string("json_schema"));
    hg_tree_set(form, "json_schema", schema);
    hg_tree_set(r->out, "response_format", form);
    return true;
}

static bool add_rest(reader *r, const json_t *in, bool is_count, bool is_new)
{
    if (!json_is_string(hg_tree_get(in, "model")))
        return hg_refuse(r->p, 400, NULL, NULL, "model: Field required");
    if (hg_tree_is(json_object_get(hg_tree_get(in, "thinking"), "type"), "enabled"))
        return hg_refuse(r->p, 400, NULL, NULL, "thinking: the models here do not think aloud");
    if (hg_tree_get(in, "stop_sequences") != NULL &&
        !json_is_array(hg_tree_get(in, "stop_sequences")))
        return hg_refuse(r->p, 400, NULL, NULL, "stop_sequences: Input should be an array");
    hg_tree_copy(r->out, "model", in, "model");
    hg_tree_copy(r->out, "stream", in, "stream");
    hg_tree_copy(r->out, "stop", in, "stop_sequences");
    return add_length(r, in, is_count) && add_sampling(r, in, is_new) && add_form(r, in) &&
           add_tools(r, in) && add_choice(r, in);
}

/* What the assistant said last is taken out of the conversation and goes before the answer. */
static bool take_prefill(hg_openai_call *c, reader *r, hg_arena *mem)
{
    const size_t n = json_array_size(r->messages);
    const json_t *last = json_array_get(r->messages, n - 1);
    const json_t *text = json_object_get(last, "content");

    if (!hg_tree_is(json_object_get(last, "role"), "assistant") || !json_is_string(text))
        return true;
    if (n == 1 || json_object_get(last, "tool_calls") != NULL)
        return hg_refuse(r->p, 400, NULL, NULL, "messages: the last one must be of the user");
    c->prefill.n = json_string_length(text);
    c->prefill.p = hg_arena_strndup(mem, json_string_value(text), c->prefill.n);
    if (c->prefill.p == NULL) return hg_refuse(r->p, 500, NULL, NULL, "no room for the messages");
    (void)json_array_remove(r->messages, n - 1);
    return true;
}

bool hg_anthropic_parse(hg_openai_call *c, hg_bytes body, bool is_count, bool is_new, hg_arena *mem,
                        hg_problem *p)
{
    json_t *in = NULL;
    reader r = {.out = json_object(), .messages = json_array(), .p = p};
    hg_openai_call begun = {0};

    memset(c, 0, sizeof *c);
    hg_tree_set(r.out, "messages", r.messages);
    bool ok = hg_body_parse(&in, body, p);
    if (ok && !json_is_object(in))
        ok = hg_refuse(p, 400, NULL, NULL, "the body must be a JSON object");
    ok = ok && add_messages(&r, in, is_new) && add_rest(&r, in, is_count, is_new) &&
         take_prefill(&begun, &r, mem);
    json_decref(in);
    if (!ok) {
        json_decref(r.out);
        return false;
    }
    ok = hg_openai_read(c, true, r.out, mem, p);
    c->prefill = begun.prefill;
    return ok;
}
