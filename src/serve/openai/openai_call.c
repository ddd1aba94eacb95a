/* Reading OpenAI's requests. Every value has a type and a range, and the refusal names the
 * parameter; what a local server may be asked beyond OpenAI's own (top_k, min_p, dry_base ...) is
 * accepted under the names that llama.cpp's clients use. A parameter that would change the answer
 * and cannot be honoured is refused unless it says what happens anyway (n: 1, logprobs: false): a
 * silent "yes" would be a lie. */
#include "serve/openai/openai.h"
#include "serve/json_read.h"

#include <errno.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool bad(hg_problem *p, const char *param, const char *what)
{
    return hg_refuse(p, 400, NULL, param, "%s %s", param, what);
}

static bool opt_number(const json_t *o, const char *key, double min, double max, float *out,
                       hg_problem *p)
{
    const json_t *v = hg_tree_get(o, key);

    if (v == NULL) return true;
    double x = json_number_value(v);
    if (!json_is_number(v) || !isfinite(x) || x < min || x > max)
        return hg_refuse(p, 400, "invalid_value", key, "%s must be a number from %g to %g", key,
                         min, max);
    *out = (float)x;
    return true;
}

static bool opt_count(const json_t *o, const char *key, uint32_t min, uint32_t max, uint32_t *out,
                      hg_problem *p)
{
    const json_t *v = hg_tree_get(o, key);

    if (v == NULL) return true;
    json_int_t x = json_integer_value(v);
    if (!json_is_integer(v) || x < (json_int_t)min || x > (json_int_t)max)
        return hg_refuse(p, 400, "invalid_value", key, "%s must be a whole number from %u to %u",
                         key, min, max);
    *out = (uint32_t)x;
    return true;
}

static bool opt_flag(const json_t *o, const char *key, bool *out, hg_problem *p)
{
    const json_t *v = hg_tree_get(o, key);

    if (v == NULL) return true;
    if (!json_is_boolean(v)) return bad(p, key, "must be true or false");
    *out = json_is_true(v);
    return true;
}

/* ---- what cannot be honoured ---- */
/* null, false, 0, "", [] and {} ask for nothing. */
static bool is_nothing(const json_t *v)
{
    if (v == NULL || json_is_null(v) || json_is_false(v)) return true;
    if (json_is_number(v)) return !(json_number_value(v) != 0);
    if (json_is_string(v)) return json_string_length(v) == 0;
    return json_is_array(v) ? json_array_size(v) == 0
                            : json_is_object(v) && json_object_size(v) == 0;
}

static bool asks_for_tool(const json_t *v)
{
    return !is_nothing(v) && !hg_tree_is(v, "none") && !hg_tree_is(v, "auto");
}

static bool asks_for_sound(const json_t *v)
{
    return !is_nothing(v) && !(json_is_array(v) && json_array_size(v) == 1 &&
                               hg_tree_is(json_array_get(v, 0), "text"));
}

static bool asks_for_several(const json_t *v)
{
    return !is_nothing(v) && !(json_is_integer(v) && json_integer_value(v) == 1);
}

static bool asks(const json_t *v)
{
    return !is_nothing(v);
}

static bool check_unsupported(const json_t *o, hg_problem *p)
{
    static const struct {
        const char *key;
        bool (*asks)(const json_t *v);
        const char *what;
    } table[] = {{"functions", asks, "the old function calls (tools are what it can)"},
                 {"function_call", asks_for_tool, "function calls"},
                 {"modalities", asks_for_sound, "anything but text"},
                 {"audio", asks, "sound"},
                 {"prediction", asks, "predicted output"},
                 {"web_search_options", asks, "web search"},
                 {"best_of", asks_for_several, "a choice of the best of several answers; use n"},
                 {"echo", asks, "the prompt in the answer"},
                 {"suffix", asks, "text to be inserted before a suffix"},
                 {"ignore_eos", asks, "going on behind the end of a text"},
                 {"grammar", asks, "grammars"},
                 {"json_schema", asks, "schemas"},
                 {"mirostat", asks, "mirostat sampling"}};

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const json_t *v = hg_tree_get(o, table[i].key);
        if (v != NULL && table[i].asks(v))
            return hg_refuse(p, 400, "unsupported_parameter", table[i].key,
                             "%s: this server cannot do %s yet; leave the parameter out",
                             table[i].key, table[i].what);
    }
    return true;
}

/* ---- sampling ---- */
static bool parse_seed(hg_openai_call *c, hg_problem *p)
{
    const json_t *v = hg_tree_get(c->body, "seed");

    if (v == NULL) {
        randombytes_buf(&c->sampling.seed, sizeof c->sampling.seed);
        return true;
    }
    if (!json_is_integer(v)) return bad(p, "seed", "must be a whole number of at most 63 bits");
    c->sampling.seed = (uint64_t)json_integer_value(v);
    return true;
}

/* {"318": -5}: what is added to these tokens' logits. */
static bool parse_bias(hg_openai_call *c, hg_arena *mem, hg_problem *p)
{
    json_t *v = json_object_get(c->body, "logit_bias"), *value;
    const size_t n = json_object_size(v);
    const char *key;
    size_t i = 0;

    if (is_nothing(v)) return true;
    if (!json_is_object(v)) return bad(p, "logit_bias", "must be an object of ids and numbers");
    if (n > HG_MAX_BIAS) return bad(p, "logit_bias", "takes at most 1024 tokens");
    hg_logit_bias *bias = HG_NEW(mem, hg_logit_bias, n);
    if (bias == NULL) return hg_refuse(p, 500, NULL, NULL, "no room for the biases");
    json_object_foreach(v, key, value)
    {
        char *end = NULL;
        errno = 0;
        const long id = strtol(key, &end, 10);
        if (end == key || *end != '\0' || errno != 0 || id < 0 || id >= HG_MAX_VOCAB)
            return bad(p, "logit_bias", "must name tokens by their ids");
        if (!json_is_number(value) || !(fabs(json_number_value(value)) <= 100.0))
            return bad(p, "logit_bias", "must have numbers from -100 to 100");
        bias[i++] = (hg_logit_bias){(int32_t)id, (float)json_number_value(value)};
    }
    c->sampling.bias = bias;
    c->sampling.n_bias = n;
    return true;
}

/* The samplers that OpenAI does not have, under the names that llama.cpp's clients use. */
static bool parse_local(const json_t *o, hg_sampling *s, hg_problem *p)
{
    return opt_number(o, "typical_p", 0, 1, &s->typical_p, p) &&
           opt_number(o, "xtc_probability", 0, 1, &s->xtc_chance, p) &&
           opt_number(o, "xtc_threshold", 0, 1, &s->xtc_share, p) &&
           opt_number(o, "dry_multiplier", 0, 100, &s->dry_multiplier, p) &&
           opt_number(o, "dry_base", 1, 100, &s->dry_base, p) &&
           opt_count(o, "dry_allowed_length", 0, HG_MAX_CTX, &s->dry_length, p);
}

static bool parse_sampling(hg_openai_call *c, hg_arena *mem, hg_problem *p)
{
    const json_t *o = c->body;
    hg_sampling *s = &c->sampling;

    hg_sampling_init(s);
    /* A penalty that nobody asked for would make temperature 0 something else than greedy. */
    s->repetition_penalty = 1;
    return opt_number(o, "temperature", 0, 2, &s->temperature, p) &&
           opt_number(o, "top_p", 0, 1, &s->top_p, p) &&
           opt_number(o, "min_p", 0, 1, &s->min_p, p) &&
           opt_number(o, "presence_penalty", -2, 2, &s->presence_penalty, p) &&
           opt_number(o, "frequency_penalty", -2, 2, &s->frequency_penalty, p) &&
           opt_number(o, "repetition_penalty", 0.1, 2, &s->repetition_penalty, p) &&
           opt_number(o, "repeat_penalty", 0.1, 2, &s->repetition_penalty, p) &&
           opt_count(o, "top_k", 0, HG_MAX_VOCAB, &s->top_k, p) && parse_local(o, s, p) &&
           parse_bias(c, mem, p) && parse_seed(c, p);
}

static bool add_stop(hg_openai_call *c, const json_t *v, hg_problem *p)
{
    if (!json_is_string(v)) return bad(p, "stop", "must be a string or an array of strings");
    if (json_string_length(v) == 0 || json_string_length(v) > 1024 ||
        memchr(json_string_value(v), 0, json_string_length(v)) != NULL)
        return bad(p, "stop", "strings have 1 to 1024 bytes and no NUL");
    c->stop[c->n_stop++] = json_string_value(v);
    return true;
}

static bool parse_stop(hg_openai_call *c, hg_problem *p)
{
    const json_t *v = hg_tree_get(c->body, "stop");

    if (v == NULL) return true;
    if (!json_is_array(v)) return add_stop(c, v, p);
    if (json_array_size(v) > HG_MAX_STOP) return bad(p, "stop", "takes at most 16 strings");
    for (size_t i = 0; i < json_array_size(v); i++) {
        if (!add_stop(c, json_array_get(v, i), p)) return false;
    }
    return true;
}

/* ---- log-probabilities ---- */

/* In chats a flag and a count, in completions a count alone, where 0 means the chosen tokens. */
static bool parse_logprobs(hg_openai_call *c, hg_problem *p)
{
    const json_t *o = c->body, *v = hg_tree_get(o, "logprobs");

    if (!c->is_chat) {
        c->tells_tokens = v != NULL && !json_is_false(v);
        return !c->tells_tokens || opt_count(o, "logprobs", 0, HG_MAX_TOP, &c->n_top, p);
    }
    if (!opt_flag(o, "logprobs", &c->tells_tokens, p) ||
        !opt_count(o, "top_logprobs", 0, HG_MAX_TOP, &c->n_top, p))
        return false;
    return c->tells_tokens || c->n_top == 0 ||
           bad(p, "top_logprobs", "has a meaning only with logprobs: true");
}

/* ---- forms ---- */
static bool parse_schema(hg_openai_call *c, const json_t *o, hg_arena *mem, hg_problem *p)
{
    const json_t *schema = json_object_get(json_object_get(o, "json_schema"), "schema");
    hg_buf text = {0};
    hg_err e;

    if (!json_is_object(schema) && !json_is_boolean(schema))
        return hg_refuse(p, 400, "invalid_value", "response_format",
                         "response_format.json_schema.schema must be a JSON schema");
    if (hg_json_put_tree(&text, schema, &e) == HG_OK)
        c->schema = (hg_bytes){hg_arena_strndup(mem, text.p, text.n), text.n};
    hg_buf_free(&text);
    return c->schema.p != NULL || hg_refuse(p, 500, NULL, NULL, "no room for the schema");
}

static bool parse_form(hg_openai_call *c, hg_arena *mem, hg_problem *p)
{
    const json_t *o = hg_tree_get(c->body, "response_format");
    const json_t *type = json_object_get(o, "type");

    if (is_nothing(o) || hg_tree_is(type, "text")) return true;
    c->has_form = true;
    if (hg_tree_is(type, "json_object")) {
        c->form = HG_FORM_OBJECT;
        return true;
    }
    c->form = HG_FORM_SCHEMA;
    if (hg_tree_is(type, "json_schema")) return parse_schema(c, o, mem, p);
    return hg_refuse(p, 400, "invalid_value", "response_format",
                     "response_format.type must be text, json_object or json_schema");
}

/* ---- messages ---- */
static bool bad_message(hg_problem *p, size_t i, const char *what, const char *why)
{
    char param[64];

    (void)snprintf(param, sizeof param, "messages[%zu]%s%s", i, what[0] != 0 ? "." : "", what);
    return hg_refuse(p, 400, "invalid_value", param, "%s %s", param, why);
}

static bool join_parts(const json_t *parts, size_t i, hg_arena *mem, hg_bytes *out, hg_problem *p)
{
    size_t n = 0, at = 0;

    for (size_t k = 0; k < json_array_size(parts); k++) {
        const json_t *part = json_array_get(parts, k);
        if (!hg_tree_is(json_object_get(part, "type"), "text"))
            return bad_message(p, i, "content",
                               "may hold parts of type \"text\" only: this server "
                               "cannot read pictures, sound or files");
        if (!json_is_string(json_object_get(part, "text")))
            return bad_message(p, i, "content", "has a part without text");
        n += json_string_length(json_object_get(part, "text"));
    }
    char *all = HG_NEW_RAW(mem, char, n + 1);
    if (all == NULL) return hg_refuse(p, 500, NULL, NULL, "no room for the messages");
    for (size_t k = 0; k < json_array_size(parts); k++) {
        const json_t *text = json_object_get(json_array_get(parts, k), "text");
        memcpy(all + at, json_string_value(text), json_string_length(text));
        at += json_string_length(text);
    }
    *out = (hg_bytes){all, n};
    return true;
}

static bool parse_role(const json_t *v, size_t i, const char **role, hg_problem *p)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool"};

    if (!json_is_string(v)) return bad_message(p, i, "role", "must be a string");
    for (size_t k = 0; k < 4; k++) {
        if (hg_tree_is(v, roles[k])) *role = roles[k];
    }
    if (hg_tree_is(v, "developer")) *role = "system";
    return *role != NULL ||
           bad_message(p, i, "role", "must be system, developer, user, assistant or tool");
}

static bool parse_message(const json_t *v, size_t i, hg_arena *mem, hg_message *m, hg_problem *p)
{
    const json_t *content = hg_tree_get(v, "content");

    if (!json_is_object(v)) return bad_message(p, i, "", "must be an object");
    if (!parse_role(json_object_get(v, "role"), i, &m->role, p)) return false;
    if (!is_nothing(hg_tree_get(v, "function_call")))
        return bad_message(p, i, "function_call", "is the old form of tool_calls");
    const bool calls = !is_nothing(hg_tree_get(v, "tool_calls"));
    if (calls && (content == NULL || json_string_length(content) == 0)) return true;
    if (json_is_string(content)) {
        m->content = (hg_bytes){json_string_value(content), json_string_length(content)};
        return true;
    }
    if (json_is_array(content)) return join_parts(content, i, mem, &m->content, p);
    return bad_message(p, i, "content", "must be a string or an array of text parts");
}

static bool parse_messages(hg_openai_call *c, hg_arena *mem, hg_problem *p)
{
    const json_t *v = hg_tree_get(c->body, "messages");
    size_t n = json_array_size(v);

    if (!json_is_array(v) || n == 0)
        return hg_refuse(p, 400, v == NULL ? "missing_required_parameter" : "invalid_value",
                         "messages", "messages must be an array of at least one message");
    if (n > HG_SERVE_MAX_MESSAGES)
        return hg_refuse(p, 400, "invalid_value", "messages", "messages has over %d entries",
                         HG_SERVE_MAX_MESSAGES);
    c->messages = HG_NEW(mem, hg_message, n);
    if (c->messages == NULL) return hg_refuse(p, 500, NULL, NULL, "no room for the messages");
    for (size_t i = 0; i < n; i++) {
        if (!parse_message(json_array_get(v, i), i, mem, &c->messages[i], p)) return false;
    }
    c->n_messages = n;
    return true;
}

/* As vLLM has it: the assistant's last message is no turn of the past but the beginning of the
 * answer, which goes on with it. */
static bool take_beginning(hg_openai_call *c, hg_arena *mem, hg_problem *p)
{
    json_t *list = json_object_get(c->body, "messages");
    const size_t n = json_array_size(list);
    const json_t *last = json_array_get(list, n - 1), *text = json_object_get(last, "content");
    bool goes_on = false;

    if (!opt_flag(c->body, "continue_final_message", &goes_on, p)) return false;
    if (!goes_on) return true;
    if (n < 2 || !hg_tree_is(json_object_get(last, "role"), "assistant") || !json_is_string(text) ||
        !is_nothing(hg_tree_get(last, "tool_calls")))
        return bad(p, "continue_final_message",
                   "needs a last message of the assistant, a text without calls");
    c->prefill.n = json_string_length(text);
    c->prefill.p = hg_arena_strndup(mem, json_string_value(text), c->prefill.n);
    if (c->prefill.p == NULL) return hg_refuse(p, 500, NULL, NULL, "no room for the messages");
    (void)json_array_remove(list, n - 1);
    return true;
}

/* ---- all of it ---- */
static bool parse_stream(hg_openai_call *c, hg_problem *p)
{
    const json_t *o = hg_tree_get(c->body, "stream_options");

    if (!opt_flag(c->body, "stream", &c->stream, p)) return false;
    if (o == NULL) return true;
    if (!json_is_object(o)) return bad(p, "stream_options", "must be an object");
    if (!c->stream) return bad(p, "stream_options", "has a meaning only with stream: true");
    if (opt_flag(o, "include_usage", &c->include_usage, p)) return true;
    (void)snprintf(p->param, sizeof p->param, "stream_options.include_usage");
    return false;
}

bool hg_openai_metadata(const json_t *body, const json_t **out, hg_problem *p)
{
    json_t *v = json_object_get(body, "metadata"), *value;
    const char *key;

    *out = NULL;
    if (v == NULL || json_is_null(v)) return true;
    if (!json_is_object(v) || json_object_size(v) > 16)
        return bad(p, "metadata", "must be an object of at most 16 strings");
    json_object_foreach(v, key, value)
    {
        if (strlen(key) > 64 || !json_is_string(value) || json_string_length(value) > 512)
            return bad(p, "metadata", "has names of at most 64 bytes and strings of at most 512");
    }
    *out = v;
    return true;
}

static bool parse_store(hg_openai_call *c, hg_problem *p)
{
    const json_t *metadata;

    if (!opt_flag(c->body, "store", &c->store, p)) return false;
    if (c->store && !c->is_chat) return bad(p, "store", "is for chat completions and responses");
    return !c->is_chat || hg_openai_metadata(c->body, &metadata, p);
}

static bool parse_lengths(hg_openai_call *c, hg_problem *p)
{
    c->n = 1;
    /* The old completions end after 16 tokens when nobody says more. */
    c->max_tokens = c->is_chat ? 0 : 16;
    if (!opt_count(c->body, "n", 1, HG_SERVE_MAX_CHOICES, &c->n, p)) return false;
    if (!opt_count(c->body, "max_tokens", 1, HG_MAX_CTX, &c->max_tokens, p)) return false;
    return !c->is_chat ||
           opt_count(c->body, "max_completion_tokens", 1, HG_MAX_CTX, &c->max_tokens, p);
}

bool hg_openai_read(hg_openai_call *c, bool is_chat, json_t *body, hg_arena *mem, hg_problem *p)
{
    memset(c, 0, sizeof *c);
    c->is_chat = is_chat;
    c->body = body;
    if (!json_is_object(c->body))
        return hg_refuse(p, 400, "invalid_json", NULL, "the body must be a JSON object");
    const json_t *model = hg_tree_get(c->body, "model");
    if (!json_is_string(model))
        return hg_refuse(p, 400, "missing_required_parameter", "model",
                         "model must be the name of a model, as GET /v1/models lists them");
    c->model = (hg_bytes){json_string_value(model), json_string_length(model)};
    if (!check_unsupported(c->body, p) || !parse_sampling(c, mem, p) || !parse_stop(c, p) ||
        !parse_stream(c, p) || !parse_lengths(c, p) || !parse_logprobs(c, p) ||
        !parse_form(c, mem, p) || !parse_store(c, p))
        return false;
    if (is_chat)
        return take_beginning(c, mem, p) && parse_messages(c, mem, p) &&
               hg_openai_parse_tools(c, p);
    c->prompt = hg_tree_get(c->body, "prompt");
    return c->prompt != NULL || hg_refuse(p, 400, "missing_required_parameter", "prompt",
                                          "prompt must be a string, or an array of strings or ids");
}

bool hg_body_parse(json_t **out, hg_bytes body, hg_problem *p)
{
    hg_err e = {0};
    const hg_status s = hg_json_parse(out, body, HG_SERVE_MAX_BODY, &e);

    return s == HG_OK ||
           hg_refuse(p, s == HG_E_NOMEM ? 500 : 400, s == HG_E_NOMEM ? NULL : "invalid_json", NULL,
                     "the body is not JSON that this server reads: %s", e.msg);
}

bool hg_openai_parse(hg_openai_call *c, bool is_chat, hg_bytes body, hg_arena *mem, hg_problem *p)
{
    json_t *tree = NULL;

    memset(c, 0, sizeof *c);
    if (!hg_body_parse(&tree, body, p) || !hg_openai_read(c, is_chat, tree, mem, p)) return false;
    return c->n_stop <= HG_OPENAI_MAX_STOP || bad(p, "stop", "takes at most 4 strings");
}

void hg_openai_call_free(hg_openai_call *c)
{
    json_decref(c->talk);
    json_decref(c->body);
    c->talk = c->body = NULL;
}
