/* A conversation as the values that a template sees, by the names that transformers gives them.
 * What people, tools and models say is marked, so that it can be told from the template's own text
 * to the last byte; each answer of the assistant has a mark of its own. Roles become part of
 * special tokens in some templates and are therefore words. */
#include "base/clock.h"
#include "text/json.h"
#include "token/chat.h"
#include <string.h>

static hg_status read_json(json_t **out, hg_bytes text, const char *what, bool is_list, hg_err *e)
{
    hg_err inner = {0};
    if (text.n == 0) return HG_OK;
    hg_status s = hg_json_parse(out, text, HG_MAX_CHAT_JSON, &inner);
    if (s != HG_OK) return hg_fail(e, s, "%s: %s", what, inner.msg);
    if (is_list ? json_is_array(*out) : json_is_object(*out)) return HG_OK;
    return hg_fail(e, HG_E_FORMAT, "%s are %s; %s is right", what, hg_json_type_name(*out),
                   is_list ? "a JSON array" : "a JSON object");
}

static hg_bytes role_of(const chat_values *v, size_t i)
{
    if (v->messages == NULL)
        return (hg_bytes){v->in->m[i].role,
                          v->in->m[i].role != NULL ? strlen(v->in->m[i].role) : 0};
    const json_t *role = json_object_get(json_array_get(v->messages, i), "role");
    return (hg_bytes){json_string_value(role), json_string_length(role)};
}

static hg_status check_role(hg_bytes role, size_t turn, hg_err *e)
{
    bool is_word = role.n > 0 && role.n <= 32;
    for (size_t i = 0; is_word && i < role.n; i++) {
        char c = role.p[i];
        is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_' || c == '-';
    }
    if (is_word) return HG_OK;
    return hg_fail(e, HG_E_ARG,
                   "message %zu: role \"%.*s\"; a role is one word, such as system, user or "
                   "assistant",
                   turn, (int)(role.n < 40 ? role.n : 40), role.p != NULL ? role.p : "");
}

hg_status hg_chat_values_read(chat_values *v, const hg_chat_input *in, hg_err *e)
{
    *v = (chat_values){.in = in, .n = in->n};
    HG_TRY(read_json(&v->messages, in->messages, "the messages", true, e));
    HG_TRY(read_json(&v->tools, in->tools, "the tools", true, e));
    HG_TRY(read_json(&v->values, in->values, "the template's values", false, e));
    if (v->messages != NULL) v->n = json_array_size(v->messages);
    for (size_t i = 0; i < v->n; i++) HG_TRY(check_role(role_of(v, i), i + 1, e));
    return HG_OK;
}

void hg_chat_values_free(chat_values *v)
{
    json_decref(v->messages);
    json_decref(v->tools);
    json_decref(v->values);
}

bool hg_chat_is_answer(const chat_values *v, size_t i)
{
    hg_bytes role = role_of(v, i);
    return role.n == 9 && memcmp(role.p, "assistant", 9) == 0;
}

uint8_t hg_chat_mark(size_t ordinal)
{
    return (uint8_t)(JV_DATA + 1 + ordinal % (JV_SOURCE - JV_DATA));
}

/* ---- messages ---- */
/* Content in parts, for a template that knows text alone: the parts' text as one. */
static jv joined_parts(jrun *r, const json_t *parts, uint8_t mark)
{
    hg_buf b = {0};
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *text = json_object_get(json_array_get(parts, i), "text");
        if (json_is_string(text)) hg_buf_put(&b, json_string_value(text), json_string_length(text));
    }
    jv v = hg_jv_string(r, (hg_bytes){b.p, b.n}, mark);
    hg_buf_free(&b);
    return v;
}

/* Arguments come as JSON in text, from OpenAI's clients; templates expect the object. */
static jv arguments(jrun *r, const json_t *v, uint8_t mark)
{
    json_t *parsed = NULL;
    hg_err inner;
    hg_bytes text = {json_string_value(v), json_string_length(v)};
    bool is_object = json_is_string(v) &&
                     hg_json_parse(&parsed, text, HG_MAX_CHAT_JSON, &inner) == HG_OK &&
                     json_is_object(parsed);
    jv out = hg_jv_from_json(r, is_object ? parsed : v, mark);
    json_decref(parsed);
    return out;
}

/* An object whose member `key` is made by `make`; its keys are names, not somebody's words. */
static jv object_but(jrun *r, const json_t *o, const char *key, uint8_t mark,
                     jv (*make)(jrun *r, const json_t *v, uint8_t mark))
{
    if (!json_is_object(o)) return hg_jv_from_json(r, o, mark);
    jv d = hg_jv_dict(r, json_object_size(o));
    void *at = (void *)(uintptr_t)o; /* jansson's iterators take it unqualified, and only read */
    for (void *it = json_object_iter(at); it != NULL; it = json_object_iter_next(at, it)) {
        const char *name = json_object_iter_key(it);
        const json_t *v = json_object_iter_value(it);
        hg_jv_put_text(r, d, name,
                       strcmp(name, key) == 0 ? make(r, v, mark) : hg_jv_from_json(r, v, mark));
    }
    return d;
}

static jv function_of(jrun *r, const json_t *v, uint8_t mark)
{
    return object_but(r, v, "arguments", mark, arguments);
}

static jv tool_calls(jrun *r, const json_t *calls, uint8_t mark)
{
    if (!json_is_array(calls)) return hg_jv_from_json(r, calls, mark);
    jv l = hg_jv_list(r, json_array_size(calls));
    for (size_t i = 0; i < json_array_size(calls); i++)
        hg_jv_push(r, l, object_but(r, json_array_get(calls, i), "function", mark, function_of));
    return l;
}

static jv member(const hg_chat_format *f, jrun *r, const char *name, const json_t *v, uint8_t mark)
{
    if (strcmp(name, "role") == 0)
        return hg_jv_string(r, (hg_bytes){json_string_value(v), json_string_length(v)}, JV_TRUSTED);
    if (strcmp(name, "tool_calls") == 0) return tool_calls(r, v, mark);
    if (strcmp(name, "content") == 0 && json_is_array(v) && !f->takes_parts)
        return joined_parts(r, v, mark);
    return hg_jv_from_json(r, v, mark);
}

static jv message(const hg_chat_format *f, jrun *r, const chat_values *v, size_t i, uint8_t mark)
{
    if (v->messages == NULL) {
        jv d = hg_jv_dict(r, 2);
        hg_jv_put_text(r, d, "role", hg_jv_string(r, role_of(v, i), JV_TRUSTED));
        hg_jv_put_text(r, d, "content", hg_jv_string(r, v->in->m[i].content, mark));
        return d;
    }
    json_t *o = json_array_get(v->messages, i);
    jv d = hg_jv_dict(r, json_object_size(o) + 1);
    for (void *it = json_object_iter(o); it != NULL; it = json_object_iter_next(o, it)) {
        const char *name = json_object_iter_key(it);
        hg_jv_put_text(r, d, name, member(f, r, name, json_object_iter_value(it), mark));
    }
    return d;
}

static jv messages(const hg_chat_format *f, jrun *r, const chat_values *v, size_t n)
{
    jv l = hg_jv_list(r, n);
    size_t answers = 0;
    for (size_t i = 0; i < n; i++) {
        uint8_t mark = hg_chat_is_answer(v, i) ? hg_chat_mark(answers++) : JV_DATA;
        hg_jv_push(r, l, message(f, r, v, i, mark));
    }
    return l;
}

/* ---- all of it ---- */
static void give_token(const hg_chat_format *f, jrun *r, const char *name, int32_t id)
{
    hg_bytes text = id >= 0 ? hg_tokenizer_piece(f->t, id, true) : (hg_bytes){"", 0};
    hg_jinja_set(r, name, hg_jv_string(r, text, JV_TRUSTED));
}

static void give(const hg_chat_format *f, jrun *r, const chat_values *v, size_t n, bool open)
{
    const char *name;
    json_t *value;
    json_object_foreach(v->values, name, value)
        hg_jinja_set(r, name, hg_jv_from_json(r, value, JV_DATA));
    give_token(f, r, "bos_token", f->bos);
    give_token(f, r, "eos_token", f->eos);
    hg_jinja_set(r, "messages", messages(f, r, v, n));
    hg_jinja_set(r, "tools",
                 v->tools != NULL ? hg_jv_from_json(r, v->tools, JV_DATA) : hg_jv_none());
    hg_jinja_set(r, "documents", hg_jv_none());
    hg_jinja_set(r, "add_generation_prompt", hg_jv_bool(open));
    hg_jinja_set_time(r, v->in->time != 0 ? v->in->time : hg_unix_time());
}

hg_status hg_chat_text(const hg_chat_format *f, jrun *r, const chat_values *v, size_t n, bool open,
                       hg_jinja_text *out, hg_err *e)
{
    hg_err inner = {0};
    give(f, r, v, n, open);
    hg_status s = hg_jinja_render(r, out, &inner);
    return s == HG_OK ? HG_OK : hg_fail(e, s, "chat template, %s", inner.msg);
}
