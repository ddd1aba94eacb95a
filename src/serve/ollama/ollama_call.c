/* Reading Ollama's requests: each becomes OpenAI's form of the same, in which it is checked
 * further. */
#include "serve/ollama/ollama.h"
#include "serve/json_read.h"

#include <stdio.h>
#include <string.h>

typedef struct reader {
    const json_t *in;
    json_t *out; /* OpenAI's body */
    hg_problem *p;
} reader;

static bool bad(reader *r, const char *what)
{
    return hg_refuse(r->p, 400, NULL, NULL, "%s", what);
}

hg_bytes hg_ollama_name(hg_bytes name)
{
    static const char latest[] = ":latest";
    const size_t n = sizeof latest - 1;

    if (name.n > n && memcmp(name.p + name.n - n, latest, n) == 0) name.n -= n;
    return name;
}

static bool add_model(reader *r)
{
    const json_t *v = hg_tree_get(r->in, "model");

    if (v == NULL) v = hg_tree_get(r->in, "name");
    if (!json_is_string(v)) return bad(r, "model is required");
    const hg_bytes name = hg_ollama_name((hg_bytes){json_string_value(v), json_string_length(v)});
    hg_tree_set(r->out, "model", json_stringn(name.p, name.n));
    return true;
}

static bool add_options(reader *r)
{
    static const char *const same[] = {"temperature",
                                       "top_k",
                                       "top_p",
                                       "min_p",
                                       "typical_p",
                                       "seed",
                                       "stop",
                                       "repeat_penalty",
                                       "presence_penalty",
                                       "frequency_penalty"};
    const json_t *o = hg_tree_get(r->in, "options"), *n = hg_tree_get(o, "num_predict");
    const json_int_t want = json_integer_value(n);

    if (o != NULL && !json_is_object(o)) return bad(r, "options must be an object");
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
        hg_tree_copy(r->out, same[i], o, same[i]);
    if (n != NULL && !json_is_integer(n)) return bad(r, "num_predict must be a whole number");
    /* Below nought: as long as it likes; so it is where nothing is said. */
    if (want > 0)
        hg_tree_set(r->out, "max_tokens", json_integer(want < HG_MAX_CTX ? want : HG_MAX_CTX));
    return true;
}

static bool add_form(reader *r)
{
    const json_t *format = hg_tree_get(r->in, "format");
    const bool is_word = json_is_string(format);
    json_t *form, *holder;

    if (format == NULL || (is_word && json_string_length(format) == 0)) return true;
    if ((is_word && strcmp(json_string_value(format), "json") != 0) ||
        (!is_word && !json_is_object(format)))
        return bad(r, "format must be \"json\" or a JSON schema");
    form = json_object();
    hg_tree_set(form, "type", json_string(is_word ? "json_object" : "json_schema"));
    if (!is_word) {
        holder = json_object();
        hg_tree_set(holder, "schema", json_deep_copy(format));
        hg_tree_set(form, "json_schema", holder);
    }
    hg_tree_set(r->out, "response_format", form);
    return true;
}

/* ---- messages ---- */
/* Arguments are an object here and a text there. */
static json_t *convert_call(const json_t *call, size_t i)
{
    const json_t *f = json_object_get(call, "function");
    json_t *to = json_object(), *out = json_object();
    hg_buf text = {0};
    char id[32];
    hg_err e;

    const json_t *arguments = hg_tree_get(f, "arguments");
    if (arguments != NULL)
        (void)hg_json_put_tree(&text, arguments, &e);
    else
        hg_buf_puts(&text, "{}");
    (void)snprintf(id, sizeof id, "call_%zu", i);
    hg_tree_set(to, "name", json_deep_copy(json_object_get(f, "name")));
    hg_tree_set(to, "arguments", json_stringn(text.n > 0 ? text.p : "", text.n));
    hg_tree_set(out, "id", json_string(id));
    hg_tree_set(out, "type", json_string("function"));
    hg_tree_set(out, "function", to);
    hg_buf_free(&text);
    return out;
}

static bool add_message(reader *r, const json_t *m, json_t *messages)
{
    const json_t *calls = hg_tree_get(m, "tool_calls"), *name = hg_tree_get(m, "tool_name");
    const json_t *content = hg_tree_get(m, "content");
    json_t *turn;

    if (!json_is_object(m)) return bad(r, "messages must be objects");
    if (json_array_size(hg_tree_get(m, "images")) > 0)
        return bad(r, "this model cannot read images");
    turn = json_object();
    hg_tree_set(turn, "role", json_deep_copy(json_object_get(m, "role")));
    hg_tree_set(turn, "content", content != NULL ? json_deep_copy(content) : json_string(""));
    hg_tree_set(turn, "name", name != NULL ? json_deep_copy(name) : NULL);
    if (json_array_size(calls) > 0) {
        json_t *list = json_array();
        for (size_t i = 0; i < json_array_size(calls); i++)
            (void)json_array_append_new(list, convert_call(json_array_get(calls, i), i));
        hg_tree_set(turn, "tool_calls", list);
    }
    (void)json_array_append_new(messages, turn);
    return true;
}

static bool add_chat(reader *r, bool *only_load)
{
    const json_t *list = hg_tree_get(r->in, "messages");
    json_t *messages;

    *only_load = list == NULL || (json_is_array(list) && json_array_size(list) == 0);
    if (*only_load) return true;
    if (!json_is_array(list)) return bad(r, "messages must be an array");
    messages = json_array();
    hg_tree_set(r->out, "messages", messages);
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!add_message(r, json_array_get(list, i), messages)) return false;
    }
    hg_tree_copy(r->out, "tools", r->in, "tools");
    return true;
}

static void add_said(json_t *messages, const char *role, const json_t *text)
{
    json_t *turn = json_object();

    hg_tree_set(turn, "role", json_string(role));
    hg_tree_set(turn, "content", json_deep_copy(text));
    (void)json_array_append_new(messages, turn);
}

static bool add_prompt(reader *r, bool *is_chat, bool *only_load)
{
    const json_t *prompt = hg_tree_get(r->in, "prompt"), *system = hg_tree_get(r->in, "system");
    const char *const refused[] = {"suffix", "images", "template", "context"};

    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        const json_t *v = hg_tree_get(r->in, refused[i]);
        if (json_string_length(v) > 0 || json_array_size(v) > 0)
            return hg_refuse(r->p, 400, NULL, NULL, "%s: this server cannot do that", refused[i]);
    }
    *is_chat = !json_is_true(hg_tree_get(r->in, "raw"));
    *only_load = prompt == NULL || (json_is_string(prompt) && json_string_length(prompt) == 0);
    if (*only_load) return true;
    if (!json_is_string(prompt)) return bad(r, "prompt must be a string");
    if (!*is_chat) {
        hg_tree_set(r->out, "prompt", json_deep_copy(prompt));
        return true;
    }
    json_t *messages = json_array();
    hg_tree_set(r->out, "messages", messages);
    if (json_string_length(system) > 0) add_said(messages, "system", system);
    add_said(messages, "user", prompt);
    return true;
}

/* OpenAI's chats have the same members; its completions, which raw prompts become, have a count. */
static bool add_logprobs(reader *r, bool is_chat)
{
    const json_t *flag = hg_tree_get(r->in, "logprobs"), *top = hg_tree_get(r->in, "top_logprobs");

    if (is_chat) {
        hg_tree_copy(r->out, "logprobs", r->in, "logprobs");
        hg_tree_copy(r->out, "top_logprobs", r->in, "top_logprobs");
        return true;
    }
    if (flag != NULL && !json_is_boolean(flag)) return bad(r, "logprobs must be true or false");
    if (top != NULL && !json_is_integer(top)) return bad(r, "top_logprobs must be a whole number");
    if (!json_is_true(flag))
        return json_integer_value(top) == 0 ||
               bad(r, "top_logprobs has a meaning only with logprobs: true");
    hg_tree_set(r->out, "logprobs", json_integer(json_integer_value(top)));
    return true;
}

static bool read_all(reader *r, bool is_generate, bool *is_chat, bool *only_load)
{
    const json_t *stream = hg_tree_get(r->in, "stream");

    if (!json_is_object(r->in)) return bad(r, "the body must be a JSON object");
    if (json_is_true(hg_tree_get(r->in, "think"))) return bad(r, "think: the models here do not");
    hg_tree_set(r->out, "stream", stream != NULL ? json_deep_copy(stream) : json_true());
    return add_model(r) && add_options(r) && add_form(r) &&
           (is_generate ? add_prompt(r, is_chat, only_load) : add_chat(r, only_load)) &&
           add_logprobs(r, *is_chat);
}

bool hg_ollama_parse(hg_openai_call *c, hg_bytes body, bool is_generate, bool *only_load,
                     hg_arena *mem, hg_problem *p)
{
    json_t *in = NULL;
    bool is_chat = true;

    memset(c, 0, sizeof *c);
    *only_load = false;
    if (!hg_body_parse(&in, body, p)) return false;
    reader r = {in, json_object(), p};
    const bool ok = read_all(&r, is_generate, &is_chat, only_load);
    json_decref(in);
    if (!ok) {
        json_decref(r.out);
        return false;
    }
    if (!*only_load) {
        const bool is_bounded = json_object_get(r.out, "max_tokens") != NULL;
        if (!hg_openai_read(c, is_chat, r.out, mem, p)) return false;
        if (!is_bounded) c->max_tokens = 0; /* OpenAI's completions end early by default */
        return true;
    }
    const json_t *model = json_object_get(r.out, "model");
    c->body = r.out;
    c->model = (hg_bytes){json_string_value(model), json_string_length(model)};
    return true;
}
