/* Conversation files: the three forms that people have (messages, ShareGPT, Alpaca), as JSON lines
 * or as one array. A mistake in a training file must be found by its author, so a malformed line
 * ends the reading with its number; what is well formed but teaches nothing is packed.c's to
 * report. */
#include "base/file.h"
#include "train/chats_inner.h"
#include <string.h>

#define FILE_LIMIT ((size_t)4 << 30)

typedef hg_chat_reader reader;

hg_status hg_chat_fail(const hg_chat_reader *r, const char *what, hg_err *e)
{
    return hg_fail(e, HG_E_FORMAT, "%s, %s %zu: %s", r->name, r->in_array ? "element" : "line",
                   r->line, what);
}

hg_status hg_chat_copy(const hg_chat_reader *r, hg_bytes text, hg_bytes *out, hg_err *e)
{
    char *p = hg_arena_strndup(&r->c->mem, text.p, text.n);
    if (p == NULL) return hg_fail(e, HG_E_NOMEM, "no room for %s", r->name);
    *out = (hg_bytes){p, text.n};
    return HG_OK;
}

const char *hg_chat_role(hg_bytes name)
{
    static const char *const names[][2] = {{"system", "system"},       {"user", "user"},
                                           {"assistant", "assistant"}, {"tool", "tool"},
                                           {"human", "user"},          {"gpt", "assistant"},
                                           {"bot", "assistant"},       {"model", "assistant"},
                                           {"chatgpt", "assistant"},   {"developer", "system"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i][0]) == name.n && memcmp(names[i][0], name.p, name.n) == 0)
            return names[i][1];
    return NULL;
}

static hg_status add_message(const reader *r, hg_chat *chat, const char *role, hg_bytes text,
                             hg_err *e)
{
    chat->message[chat->n].role = role;
    return hg_chat_copy(r, text, &chat->message[chat->n++].content, e);
}

static hg_status read_turn(const reader *r, hg_message *m, size_t number, const json_t *turn,
                           const char *role_key, const char *text_key, hg_err *e)
{
    char what[160];
    hg_bytes name = {0}, text = {0};
    hg_err inner = {0};
    if (hg_json_get_text(turn, role_key, &name, &inner) != HG_OK ||
        hg_json_get_text(turn, text_key, &text, &inner) != HG_OK) {
        (void)snprintf(what, sizeof what, "turn %zu needs \"%s\" and \"%s\", both text", number,
                       role_key, text_key);
        return hg_chat_fail(r, what, e);
    }
    m->role = hg_chat_role(name);
    if (m->role == NULL || strcmp(m->role, "tool") == 0) {
        (void)snprintf(what, sizeof what,
                       "turn %zu has the role \"%.*s\"; system, user or assistant is meant", number,
                       (int)(name.n < 40 ? name.n : 40), name.p);
        return hg_chat_fail(r, what, e);
    }
    return hg_chat_copy(r, text, &m->content, e);
}

hg_status hg_chat_turns(const hg_chat_reader *r, hg_message *m, size_t *n, size_t room,
                        const json_t *turns, const char *role_key, const char *text_key, hg_err *e)
{
    size_t k = json_array_size(turns);
    if (!json_is_array(turns) || k == 0)
        return hg_chat_fail(r, "the conversation is not a list of turns", e);
    if (k > room - *n) return hg_chat_fail(r, "a conversation of more than 4096 turns", e);
    for (size_t i = 0; i < k; i++, (*n)++)
        HG_TRY(read_turn(r, &m[*n], *n + 1, json_array_get(turns, i), role_key, text_key, e));
    return HG_OK;
}

static hg_status read_turns(const reader *r, hg_chat *chat, const json_t *turns,
                            const char *role_key, const char *text_key, hg_err *e)
{
    size_t n = json_array_size(turns);
    HG_TRY(hg_chat_read_weights(r, chat, turns, role_key, e));
    chat->message = HG_NEW(&r->c->mem, hg_message, (n < HG_MAX_TURNS ? n : HG_MAX_TURNS) + 1);
    if (chat->message == NULL) return hg_fail(e, HG_E_NOMEM, "no room for %s", r->name);
    return hg_chat_turns(r, chat->message, &chat->n, HG_MAX_TURNS, turns, role_key, text_key, e);
}

static hg_status read_messages(const reader *r, hg_chat *chat, const json_t *obj,
                               const json_t *turns, hg_err *e)
{
    const size_t n = json_array_size(turns);
    if (n == 0 || n > HG_MAX_TURNS || !hg_chat_is_full(obj, turns))
        return read_turns(r, chat, turns, "role", "content", e);
    HG_TRY(hg_chat_read_weights(r, chat, turns, "role", e));
    return hg_chat_read_full(r, chat, obj, turns, e);
}

/* Alpaca: the input, where there is one, stands below the instruction. */
static hg_status read_alpaca(const reader *r, hg_chat *chat, const json_t *obj, hg_err *e)
{
    hg_bytes system = {0}, instruction = {0}, input = {0}, output = {0};
    hg_err inner = {0};
    if (hg_json_get_text(obj, "instruction", &instruction, &inner) != HG_OK ||
        hg_json_get_text(obj, "output", &output, &inner) != HG_OK ||
        hg_json_opt_text(obj, "input", &input, &inner) != HG_OK ||
        hg_json_opt_text(obj, "system", &system, &inner) != HG_OK)
        return hg_chat_fail(
            r,
            "\"instruction\" and \"output\" must be text (\"input\" and \"system\" too, "
            "where given)",
            e);
    chat->message = HG_NEW(&r->c->mem, hg_message, 3);
    char *user =
        chat->message == NULL
            ? NULL
            : hg_arena_printf(&r->c->mem, "%.*s%s%.*s", (int)instruction.n, instruction.p,
                              input.n > 0 ? "\n\n" : "", (int)input.n, input.n > 0 ? input.p : "");
    if (user == NULL) return hg_fail(e, HG_E_NOMEM, "no room for %s", r->name);
    if (system.n > 0) HG_TRY(add_message(r, chat, "system", system, e));
    chat->message[chat->n++] = (hg_message){"user", {user, strlen(user)}};
    return add_message(r, chat, "assistant", output, e);
}

static hg_status read_object(const reader *r, const json_t *obj, hg_err *e)
{
    hg_chat *chat = NULL;
    const json_t *turns = NULL;
    HG_TRY(hg_grow(&r->c->chat, &r->c->cap, r->c->n, sizeof *r->c->chat, e));
    chat = &r->c->chat[r->c->n];
    *chat = (hg_chat){.line = r->line, .file = r->name};
    if (!json_is_object(obj)) return hg_chat_fail(r, "not a JSON object", e);
    if (r->c->form != HG_FORM_CHAT)
        HG_TRY(hg_pair_read(r, chat, obj, e));
    else if ((turns = json_object_get(obj, "messages")) != NULL)
        HG_TRY(read_messages(r, chat, obj, turns, e));
    else if ((turns = json_object_get(obj, "conversations")) != NULL)
        HG_TRY(read_turns(r, chat, turns, "from", "value", e));
    else if (json_object_get(obj, "instruction") != NULL)
        HG_TRY(read_alpaca(r, chat, obj, e));
    else
        return hg_chat_fail(
            r,
            "none of \"messages\", \"conversations\" (ShareGPT) and \"instruction\" "
            "(Alpaca) is there",
            e);
    r->c->n++;
    return HG_OK;
}

static bool is_blank(hg_bytes line)
{
    for (size_t i = 0; i < line.n; i++)
        if (line.p[i] != ' ' && line.p[i] != '\t' && line.p[i] != '\r') return false;
    return true;
}

static hg_status read_lines(reader *r, hg_bytes text, hg_err *e)
{
    const char *p = text.p, *end = text.p + text.n;
    while (p < end) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        hg_bytes line = {p, (size_t)((eol != NULL ? eol : end) - p)};
        json_t *obj = NULL;
        hg_err inner = {0};
        p += line.n + 1;
        r->line++;
        if (is_blank(line)) continue;
        hg_status s = hg_json_parse(&obj, line, HG_CHAT_LINE, &inner);
        if (s != HG_OK) return hg_chat_fail(r, inner.msg, e);
        s = read_object(r, obj, e);
        json_decref(obj);
        HG_TRY(s);
    }
    return HG_OK;
}

static hg_status read_array(reader *r, hg_bytes text, hg_err *e)
{
    json_t *all = NULL;
    hg_err inner = {0};
    hg_status s = hg_json_parse(&all, text, FILE_LIMIT, &inner);
    if (s != HG_OK) return hg_fail(e, s, "%s: %s", r->name, inner.msg);
    r->in_array = true;
    for (size_t i = 0; s == HG_OK && i < json_array_size(all); i++) {
        r->line = i + 1;
        s = read_object(r, json_array_get(all, i), e);
    }
    json_decref(all);
    return s;
}

hg_status hg_chats_parse(hg_chats *c, hg_bytes text, const char *name, hg_err *e)
{
    size_t at = 0;
    if (c->mem.block_size == 0) hg_arena_init(&c->mem, 0);
    reader r = {.c = c, .name = hg_arena_strndup(&c->mem, name, strlen(name))};
    if (r.name == NULL) return hg_fail(e, HG_E_NOMEM, "no room for %s", name);
    if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0) text.p += 3, text.n -= 3;
    while (at < text.n && strchr(" \t\r\n", text.p[at]) != NULL && text.p[at] != '\0') at++;
    if (at < text.n && text.p[at] == '[') return read_array(&r, text, e);
    return read_lines(&r, text, e);
}

hg_status hg_chats_load(hg_chats *c, const char *path, hg_err *e)
{
    hg_map map = {0};
    HG_TRY(hg_map_open(&map, path, e));
    hg_status s = hg_chats_parse(c, (hg_bytes){(const char *)map.p, map.n}, path, e);
    hg_map_close(&map);
    return s;
}

void hg_chats_free(hg_chats *c)
{
    hg_arena_free(&c->mem);
    hg_free(c->chat);
    memset(c, 0, sizeof *c);
}
