/* Conversations in all of OpenAI's form: tools, calls of them and what came of them, content in
 * parts, and what else a message has for a template to show. They are kept as JSON, in which the
 * template meets them, but for the weights. What is checked here would otherwise show as a broken
 * prompt: a template shows an unknown role or a call without a name in its own way, or not at all.
 */
#include "token/calls.h"
#include "train/chats_inner.h"
#include <string.h>

typedef struct full {
    const hg_chat_reader *r;
    const json_t *tools;
    json_t *out;  /* the messages */
    json_t *seen; /* an object: ids of calls so far */
    size_t turn;  /* from 1 */
    bool uses_tools;
} full;

static bool is_role(const json_t *turn, const char *role)
{
    const json_t *v = json_object_get(turn, "role");
    return json_is_string(v) && strcmp(json_string_value(v), role) == 0;
}

static bool is_there(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return v != NULL && !json_is_null(v);
}

/* A turn that is more than a role and a text. */
static bool is_full_turn(const json_t *turn)
{
    const char *key;
    const json_t *v;
    void *at = (void *)(uintptr_t)turn; /* jansson's iterators take it unqualified, and only read */
    if (is_role(turn, "tool") || is_role(turn, "developer") || is_role(turn, "function") ||
        json_is_array(json_object_get(turn, "content")))
        return true;
    for (void *it = json_object_iter(at); it != NULL; it = json_object_iter_next(at, it)) {
        key = json_object_iter_key(it);
        v = json_object_iter_value(it);
        if (strcmp(key, "role") != 0 && strcmp(key, "content") != 0 && strcmp(key, "weight") != 0 &&
            !json_is_null(v))
            return true;
    }
    return false;
}

bool hg_chat_is_full(const json_t *obj, const json_t *turns)
{
    if (is_there(obj, "tools")) return true;
    for (size_t i = 0; i < json_array_size(turns); i++)
        if (is_full_turn(json_array_get(turns, i))) return true;
    return false;
}

static hg_status fail(const full *f, const char *what, hg_err *e)
{
    char text[240];
    (void)snprintf(text, sizeof text, "turn %zu: %s", f->turn, what);
    return hg_chat_fail(f->r, text, e);
}

/* ---- one turn ---- */
static hg_status check_parts(const full *f, const json_t *parts, hg_err *e)
{
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *part = json_array_get(parts, i), *type = json_object_get(part, "type");
        if (!json_is_string(type) || strcmp(json_string_value(type), "text") != 0 ||
            !json_is_string(json_object_get(part, "text")))
            return fail(f,
                        "\"content\" has a part that is no text; {\"type\": \"text\", \"text\": "
                        "...} is right",
                        e);
    }
    return HG_OK;
}

static hg_status check_content(const full *f, const json_t *turn, hg_err *e)
{
    const json_t *content = json_object_get(turn, "content");
    if (json_is_string(content)) return HG_OK;
    if (json_is_array(content)) return check_parts(f, content, e);
    if (is_there(turn, "tool_calls") && !is_there(turn, "content")) return HG_OK;
    return fail(f, "needs \"content\", a text or parts of text", e);
}

/* Arguments are an object, or one as text, as OpenAI's clients send it. */
static hg_status check_arguments(const full *f, const json_t *v, hg_err *e)
{
    json_t *parsed = NULL;
    hg_err inner;
    bool is_object = json_is_object(v);
    if (json_is_string(v)) {
        const hg_bytes text = {json_string_value(v), json_string_length(v)};
        is_object =
            hg_json_parse(&parsed, text, HG_CHAT_LINE, &inner) == HG_OK && json_is_object(parsed);
        json_decref(parsed);
    }
    return is_object ? HG_OK : fail(f, "the \"arguments\" of a call are not a JSON object", e);
}

static hg_status check_call(full *f, const json_t *call, hg_err *e)
{
    const json_t *fn = json_object_get(call, "function"), *name = json_object_get(fn, "name"),
                 *id = json_object_get(call, "id"), *type = json_object_get(call, "type");
    char what[160];
    if (!json_is_string(name) || json_string_length(name) == 0)
        return fail(f, "a call needs \"function\" with a \"name\"", e);
    if (type != NULL && (!json_is_string(type) || strcmp(json_string_value(type), "function") != 0))
        return fail(f, "the \"type\" of a call is not \"function\"", e);
    const hg_bytes text = {json_string_value(name), json_string_length(name)};
    if (f->tools != NULL && hg_calls_find(f->tools, text) == NULL) {
        (void)snprintf(what, sizeof what, "calls \"%.60s\", which is none of the \"tools\"",
                       text.p);
        return fail(f, what, e);
    }
    if (id != NULL && !json_is_null(id)) {
        if (!json_is_string(id)) return fail(f, "the \"id\" of a call is not text", e);
        (void)json_object_set_new(f->seen, json_string_value(id), json_true());
    }
    return check_arguments(f, json_object_get(fn, "arguments"), e);
}

static hg_status check_calls(full *f, const json_t *turn, hg_err *e)
{
    const json_t *calls = json_object_get(turn, "tool_calls");
    if (!is_there(turn, "tool_calls")) return HG_OK;
    if (!is_role(turn, "assistant")) return fail(f, "only the assistant has \"tool_calls\"", e);
    if (!json_is_array(calls) || json_array_size(calls) == 0)
        return fail(f, "\"tool_calls\" is not a list of calls", e);
    f->uses_tools = true;
    for (size_t i = 0; i < json_array_size(calls); i++)
        HG_TRY(check_call(f, json_array_get(calls, i), e));
    return HG_OK;
}

/* An id, where both sides have them, must be that of a call before. */
static hg_status check_result(full *f, const json_t *turn, hg_err *e)
{
    const json_t *id = json_object_get(turn, "tool_call_id");
    char what[160];
    if (!is_role(turn, "tool")) return HG_OK;
    f->uses_tools = true;
    if (!is_there(turn, "tool_call_id")) return HG_OK;
    if (!json_is_string(id)) return fail(f, "\"tool_call_id\" is not text", e);
    if (json_object_size(f->seen) == 0 || json_object_get(f->seen, json_string_value(id)) != NULL)
        return HG_OK;
    (void)snprintf(what, sizeof what, "answers the call \"%.60s\", which no turn before has made",
                   json_string_value(id));
    return fail(f, what, e);
}

/* The turn as a template is to see it: without weight and nulls, under a role that it knows. */
static hg_status add_turn(full *f, json_t *turn, hg_err *e)
{
    const char *key;
    json_t *v, *to = json_object();
    const json_t *role = json_object_get(turn, "role");
    const hg_bytes name = {json_string_value(role), json_string_length(role)};
    json_object_foreach(turn, key, v) if (!json_is_null(v) && strcmp(key, "weight") != 0)(void)
        json_object_set(to, key, v);
    (void)json_object_set_new(to, "role", json_string(hg_chat_role(name)));
    if (json_object_get(to, "content") == NULL)
        (void)json_object_set_new(to, "content", json_null());
    if (json_array_append_new(f->out, to) == 0) return HG_OK;
    return hg_fail(e, HG_E_NOMEM, "no room for %s", f->r->name);
}

static hg_status read_turn(full *f, json_t *turn, hg_err *e)
{
    const json_t *role = json_object_get(turn, "role");
    const hg_bytes name = {json_string_value(role), json_string_length(role)};
    if (!json_is_object(turn) || !json_is_string(role)) return fail(f, "needs a \"role\"", e);
    if (is_role(turn, "function") || is_there(turn, "function_call"))
        return fail(f,
                    "\"function\" and \"function_call\" are OpenAI's form of old; \"tool\" and "
                    "\"tool_calls\" are right",
                    e);
    if (hg_chat_role(name) == NULL)
        return fail(f, "has no known \"role\"; system, user, assistant or tool is meant", e);
    HG_TRY(check_content(f, turn, e));
    HG_TRY(check_calls(f, turn, e));
    HG_TRY(check_result(f, turn, e));
    return add_turn(f, turn, e);
}

/* ---- the whole ---- */
static hg_status keep_tree(const hg_chat_reader *r, const json_t *v, hg_bytes *out, hg_err *e)
{
    hg_buf b = {0};
    hg_status s = hg_json_put_tree(&b, v, e);
    if (s == HG_OK) s = hg_chat_copy(r, (hg_bytes){b.p, b.n}, out, e);
    hg_buf_free(&b);
    return s;
}

static hg_status check_tools(const hg_chat_reader *r, const json_t *tools, hg_err *e)
{
    char what[240];
    hg_err inner = {0};
    if (tools == NULL || hg_calls_check(tools, &inner) == HG_OK) return HG_OK;
    (void)snprintf(what, sizeof what, "\"tools\": %.200s", inner.msg);
    return hg_chat_fail(r, what, e);
}

static hg_status read_all(full *f, hg_chat *chat, const json_t *turns, hg_err *e)
{
    HG_TRY(check_tools(f->r, f->tools, e));
    for (size_t i = 0; i < json_array_size(turns); i++) {
        f->turn = i + 1;
        HG_TRY(read_turn(f, json_array_get(turns, i), e));
    }
    chat->uses_tools = f->uses_tools || json_array_size(f->tools) > 0;
    if (json_array_size(f->tools) > 0) HG_TRY(keep_tree(f->r, f->tools, &chat->tools, e));
    return keep_tree(f->r, f->out, &chat->messages, e);
}

hg_status hg_chat_read_full(const hg_chat_reader *r, hg_chat *chat, const json_t *obj,
                            const json_t *turns, hg_err *e)
{
    full f = {.r = r,
              .tools = is_there(obj, "tools") ? json_object_get(obj, "tools") : NULL,
              .out = json_array(),
              .seen = json_object()};
    hg_status s =
        f.out != NULL && f.seen != NULL ? HG_OK : hg_fail(e, HG_E_NOMEM, "no room for %s", r->name);
    if (s == HG_OK) s = read_all(&f, chat, turns, e);
    json_decref(f.out);
    json_decref(f.seen);
    return s;
}

/* ---- weights ---- */
static hg_status read_weight(const hg_chat_reader *r, const json_t *turn, size_t number, float *out,
                             hg_err *e)
{
    const json_t *v = json_object_get(turn, "weight");
    char what[160];
    *out = 1;
    if (v == NULL || json_is_null(v)) return HG_OK;
    const double w = json_number_value(v);
    if (json_is_number(v) && w >= 0 && w <= 1) {
        *out = (float)w;
        return HG_OK;
    }
    if (json_is_number(v))
        (void)snprintf(what, sizeof what, "turn %zu has the weight %g; 0 to 1 is right", number, w);
    else
        (void)snprintf(what, sizeof what,
                       "the weight of turn %zu is %s; a number from 0 to 1 is right", number,
                       hg_json_type_name(v));
    return hg_chat_fail(r, what, e);
}

static bool is_answer(const json_t *turn, const char *role_key)
{
    const json_t *role = json_object_get(turn, role_key);
    const char *name = hg_chat_role((hg_bytes){json_string_value(role), json_string_length(role)});
    return name != NULL && strcmp(name, "assistant") == 0;
}

hg_status hg_chat_read_weights(const hg_chat_reader *r, hg_chat *chat, const json_t *turns,
                               const char *role_key, hg_err *e)
{
    size_t n = json_array_size(turns);
    bool any = false;
    for (size_t i = 0; i < n; i++) any = any || is_there(json_array_get(turns, i), "weight");
    if (!any) return HG_OK;
    chat->weight = HG_NEW(&r->c->mem, float, n);
    if (chat->weight == NULL) return hg_fail(e, HG_E_NOMEM, "no room for %s", r->name);
    for (size_t i = 0; i < n; i++) {
        const json_t *turn = json_array_get(turns, i);
        float w = 1;
        HG_TRY(read_weight(r, turn, i + 1, &w, e));
        if (is_answer(turn, role_key)) {
            chat->weight[chat->n_answers++] = w;
        } else if (is_there(turn, "weight")) {
            char what[120];
            (void)snprintf(what, sizeof what,
                           "turn %zu has a weight; only what the assistant says has one", i + 1);
            return hg_chat_fail(r, what, e);
        }
    }
    return HG_OK;
}
