/* Files of preferences (two answers, or one with a label) and of tasks, in the forms that data sets
 * have them. A list that begins with what the assistant says goes on from the prompt; one that
 * begins otherwise is a whole conversation, and the prompt beside it is not looked at. */
#include "base/hash.h"
#include "train/chats_inner.h"
#include <string.h>

typedef struct list {
    hg_message *m;
    size_t n;
} list;

static hg_status begin_list(const hg_chat_reader *r, list *l, const json_t *a, const json_t *b,
                            hg_err *e)
{
    size_t n = json_array_size(a) + json_array_size(b) + 2;
    if (n > HG_MAX_TURNS) return hg_chat_fail(r, "a conversation of more than 4096 turns", e);
    *l = (list){.m = HG_NEW(&r->c->mem, hg_message, n)};
    return l->m != NULL ? HG_OK : hg_fail(e, HG_E_NOMEM, "no room for %s", r->name);
}

/* A text is one message of `role`. */
static hg_status append(const hg_chat_reader *r, list *l, const json_t *v, const char *role,
                        hg_err *e)
{
    for (size_t i = 0; json_is_array(v) && i < json_array_size(v); i++)
        if (json_object_get(json_array_get(v, i), "weight") != NULL)
            return hg_chat_fail(r, "a turn has a weight; only conversations have weights", e);
    if (!json_is_string(v))
        return hg_chat_turns(r, l->m, &l->n, HG_MAX_TURNS, v, "role", "content", e);
    l->m[l->n].role = role;
    const hg_bytes text = {json_string_value(v), json_string_length(v)};
    return hg_chat_copy(r, text, &l->m[l->n++].content, e);
}

static const json_t *prompt_of(const json_t *obj)
{
    const json_t *p = json_object_get(obj, "prompt");
    return p != NULL ? p : json_object_get(obj, "messages");
}

static bool is_text_or_list(const json_t *v)
{
    return json_is_string(v) || (json_is_array(v) && json_array_size(v) > 0);
}

static bool goes_on(const json_t *answer)
{
    const json_t *role = json_object_get(json_array_get(answer, 0), "role");
    return json_is_string(answer) ||
           (json_is_string(role) && strcmp(json_string_value(role), "assistant") == 0);
}

/* Prompt and answer as one list; *n_prompt: messages before the answer, or all but the last of a
 * whole conversation. */
static hg_status read_side(const hg_chat_reader *r, const json_t *prompt, const json_t *answer,
                           list *out, size_t *n_prompt, hg_err *e)
{
    HG_TRY(begin_list(r, out, prompt, answer, e));
    if (goes_on(answer)) {
        if (!is_text_or_list(prompt))
            return hg_chat_fail(r, "an answer needs \"prompt\" or \"messages\" before it", e);
        HG_TRY(append(r, out, prompt, "user", e));
        *n_prompt = out->n;
        return append(r, out, answer, "assistant", e);
    }
    HG_TRY(append(r, out, answer, "assistant", e));
    *n_prompt = out->n - 1;
    return HG_OK;
}

static bool is_same(const hg_message *a, const hg_message *b)
{
    return strcmp(a->role, b->role) == 0 && a->content.n == b->content.n &&
           memcmp(a->content.p, b->content.p, a->content.n) == 0;
}

/* What both sides begin with is given; the messages from the first that differs on are not. */
static hg_status read_pair(const hg_chat_reader *r, hg_chat *chat, const json_t *obj, hg_err *e)
{
    const json_t *prompt = prompt_of(obj), *good = json_object_get(obj, "chosen"),
                 *bad = json_object_get(obj, "rejected");
    list a, b;
    size_t n_a = 0, n_b = 0, n = 0;
    if (!is_text_or_list(good) || !is_text_or_list(bad))
        return hg_chat_fail(r, "\"chosen\" and \"rejected\" must be text or lists of turns", e);
    HG_TRY(read_side(r, prompt, good, &a, &n_a, e));
    HG_TRY(read_side(r, prompt, bad, &b, &n_b, e));
    size_t most = n_a < n_b ? n_a : n_b;
    while (n < most && is_same(&a.m[n], &b.m[n])) n++;
    *chat = (hg_chat){.message = a.m,
                      .n = a.n,
                      .other = b.m,
                      .n_other = b.n,
                      .n_prompt = n,
                      .line = chat->line,
                      .file = chat->file};
    return HG_OK;
}

static hg_status read_label(const hg_chat_reader *r, hg_chat *chat, const json_t *obj, hg_err *e)
{
    const json_t *answer = json_object_get(obj, "completion"),
                 *label = json_object_get(obj, "label");
    list l;
    if (!is_text_or_list(answer))
        return hg_chat_fail(r, "\"completion\" must be text or a list of turns", e);
    if (!json_is_boolean(label)) return hg_chat_fail(r, "\"label\" must be true or false", e);
    HG_TRY(read_side(r, prompt_of(obj), answer, &l, &chat->n_prompt, e));
    chat->message = l.m;
    chat->n = l.n;
    chat->is_good = json_is_true(label);
    return HG_OK;
}

static hg_status read_task(const hg_chat_reader *r, hg_chat *chat, const json_t *obj, hg_err *e)
{
    const json_t *prompt = prompt_of(obj), *answer = json_object_get(obj, "answer");
    list l;
    if (!is_text_or_list(prompt))
        return hg_chat_fail(r, "\"prompt\" must be text, or \"messages\" a list of turns", e);
    HG_TRY(begin_list(r, &l, prompt, NULL, e));
    HG_TRY(append(r, &l, prompt, "user", e));
    chat->message = l.m;
    chat->n = chat->n_prompt = l.n;
    if (answer == NULL || json_is_string(answer)) {
        const hg_bytes text = {answer != NULL ? json_string_value(answer) : "",
                               json_string_length(answer)};
        return hg_chat_copy(r, text, &chat->answer, e);
    }
    if (!json_is_number(answer)) return hg_chat_fail(r, "\"answer\" must be text or a number", e);
    char *p = hg_arena_printf(&r->c->mem, "%.17g", json_number_value(answer));
    if (p == NULL) return hg_fail(e, HG_E_NOMEM, "no room for %s", r->name);
    chat->answer = (hg_bytes){p, strlen(p)};
    return HG_OK;
}

hg_status hg_pair_read(const hg_chat_reader *r, hg_chat *chat, const json_t *obj, hg_err *e)
{
    if (json_object_get(obj, "tools") != NULL)
        return hg_chat_fail(r, "\"tools\" are learnt from conversations only", e);
    if (r->c->form == HG_FORM_PAIR) return read_pair(r, chat, obj, e);
    return r->c->form == HG_FORM_LABEL ? read_label(r, chat, obj, e) : read_task(r, chat, obj, e);
}

size_t hg_chat_given(const hg_chat *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n_prompt; i++) n += strcmp(c->message[i].role, "assistant") == 0;
    return n;
}

uint64_t hg_chats_hash(const hg_chats *c)
{
    uint64_t h = c->n;
    for (size_t i = 0; i < c->n; i++) {
        const hg_chat *t = &c->chat[i];
        for (size_t k = 0; k < t->n; k++) {
            h = hg_hash64(t->message[k].role, strlen(t->message[k].role), h);
            h = hg_hash64(t->message[k].content.p, t->message[k].content.n, h);
        }
        h = hg_hash64(t->answer.p, t->answer.n, h);
    }
    return h;
}
