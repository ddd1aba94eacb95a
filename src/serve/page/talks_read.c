/* Reads a conversation's JSON, which comes from a browser or from a file that somebody was given:
 * nothing in it is trusted but what is checked here. */
#include "serve/page/talks.h"
#include "serve/json_read.h"

#include <stdio.h>
#include <string.h>

static bool is_text(const json_t *v, size_t limit)
{
    return json_is_string(v) && json_string_length(v) <= limit &&
           strlen(json_string_value(v)) == json_string_length(v);
}

bool hg_talk_id_ok(hg_bytes id)
{
    if (id.n == 0 || id.n > HG_TALK_MAX_ID) return false;
    for (size_t i = 0; i < id.n; i++) {
        const char c = id.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_'))
            return false;
    }
    return true;
}

static bool take_id(const json_t *v, const char *param, const char **out, hg_problem *p)
{
    if (json_is_string(v) && hg_talk_id_ok((hg_bytes){json_string_value(v), json_string_length(v)}))
        *out = json_string_value(v);
    else
        return hg_refuse(p, 422, "invalid_id", param,
                         "%s: 1 to %d letters, digits, - and _ are an id", param, HG_TALK_MAX_ID);
    return true;
}

static bool take_text(const json_t *v, const char *param, size_t limit, const char **out,
                      hg_problem *p)
{
    if (!is_text(v, limit))
        return hg_refuse(p, 422, "invalid_text", param,
                         "%s: must be a string of at most %zu bytes, without NUL", param, limit);
    *out = json_string_value(v);
    return true;
}

/* An object, as text again. */
static bool take_object(const json_t *v, const char *param, hg_arena *mem, const char **out,
                        hg_problem *p)
{
    hg_buf b = {0};
    bool ok = json_is_object(v) && hg_json_put_tree(&b, v, NULL) == HG_OK;

    if (ok && b.n <= HG_TALK_MAX_NOTES) *out = hg_arena_strndup(mem, b.p, b.n);
    ok = ok && *out != NULL;
    hg_buf_free(&b);
    return ok || hg_refuse(p, 422, "invalid_object", param,
                           "%s: must be an object of at most %d bytes", param, HG_TALK_MAX_NOTES);
}

static bool take_time(const json_t *obj, const char *param, int64_t *out, hg_problem *p)
{
    hg_err e;

    if (hg_json_opt_int(obj, "created", 0, INT64_C(1) << 40, out, &e) == HG_OK) return true;
    return hg_refuse(p, 422, "invalid_time", param, "%s: must be seconds since 1970", param);
}

static const char *named(char out[64], size_t i, const char *key)
{
    (void)snprintf(out, 64, "messages[%zu].%s", i, key);
    return out;
}

static bool take_role(const json_t *v, const char *param, const char **out, hg_problem *p)
{
    const char *s = json_string_value(v);

    if (s == NULL ||
        (strcmp(s, "user") != 0 && strcmp(s, "assistant") != 0 && strcmp(s, "tool") != 0))
        return hg_refuse(p, 422, "invalid_role", param, "%s: must be user, assistant or tool",
                         param);
    *out = s;
    return true;
}

static bool read_message(hg_talk_message *m, const json_t *v, size_t i, hg_arena *mem,
                         hg_problem *p)
{
    const json_t *parent = hg_tree_get(v, "parent"), *notes = hg_tree_get(v, "notes");
    char name[64];

    m->notes = "{}";
    return take_id(json_object_get(v, "id"), named(name, i, "id"), &m->id, p) &&
           (parent == NULL || take_id(parent, named(name, i, "parent"), &m->parent, p)) &&
           take_role(json_object_get(v, "role"), named(name, i, "role"), &m->role, p) &&
           take_text(json_object_get(v, "content"), named(name, i, "content"), HG_TALK_MAX_CONTENT,
                     &m->content, p) &&
           (notes == NULL || take_object(notes, named(name, i, "notes"), mem, &m->notes, p)) &&
           take_time(v, named(name, i, "created"), &m->created, p);
}

static bool read_messages(hg_talk *t, const json_t *list, hg_arena *mem, hg_problem *p)
{
    const size_t n = json_array_size(list);

    if (!json_is_array(list) || n > HG_TALK_MAX_MESSAGES)
        return hg_refuse(p, 422, "invalid_messages", "messages",
                         "messages: must be an array of at most %d", HG_TALK_MAX_MESSAGES);
    t->messages = HG_NEW(mem, hg_talk_message, n + 1);
    if (t->messages == NULL) return hg_refuse(p, 500, NULL, NULL, "no room for the messages");
    for (size_t i = 0; i < n; i++)
        if (!read_message(&t->messages[i], json_array_get(list, i), i, mem, p)) return false;
    t->n_messages = n;
    return true;
}

bool hg_talk_read(hg_talk *out, hg_bytes body, hg_arena *mem, hg_problem *p)
{
    hg_err e;

    memset(out, 0, sizeof *out);
    if (hg_json_parse(&out->tree, body, HG_SERVE_MAX_BODY, &e) != HG_OK)
        return hg_refuse(p, 400, "invalid_json", NULL, "the body is not JSON: %s", e.msg);
    const json_t *o = out->tree;
    if (!json_is_object(o))
        return hg_refuse(p, 400, "invalid_json", NULL, "the body must be an object");
    const json_t *title = hg_tree_get(o, "title"), *at = hg_tree_get(o, "at"),
                 *settings = hg_tree_get(o, "settings"), *messages = hg_tree_get(o, "messages");
    return (title == NULL || take_text(title, "title", HG_TALK_MAX_TITLE, &out->title, p)) &&
           (at == NULL || take_id(at, "at", &out->at, p)) &&
           (settings == NULL || take_object(settings, "settings", mem, &out->settings, p)) &&
           take_time(o, "created", &out->created, p) &&
           (messages == NULL || read_messages(out, messages, mem, p));
}

void hg_talk_free(hg_talk *t)
{
    json_decref(t->tree);
    t->tree = NULL;
}
