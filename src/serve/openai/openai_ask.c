/* From a request that was read to an answer that runs: every protocol reads its requests into an
 * hg_openai_call, so that prompts, room, forms and tools are seen to in this one place. */
#include "serve/openai/openai.h"
#include "serve/tools.h"

typedef struct prompts {
    hg_ids *list; /* [HG_SERVE_MAX_CHOICES] */
    size_t n;
} prompts;

static void free_prompts(prompts *ps)
{
    for (size_t i = 0; i < ps->n; i++) hg_ids_free(&ps->list[i]);
    ps->n = 0;
}

static bool of_status(hg_problem *p, hg_status s, const char *param, const hg_err *e)
{
    return hg_refuse(p, s == HG_E_NOMEM || s == HG_E_IO ? 500 : 400,
                     s == HG_E_LIMIT ? "context_length_exceeded" : NULL, param, "%s", e->msg);
}

bool hg_openai_read_ids(hg_ids *ids, const json_t *v, const hg_backend *m, const char *param,
                        hg_problem *p)
{
    hg_err e = {0};

    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *id = json_array_get(v, i);
        json_int_t x = json_integer_value(id);
        if (!json_is_integer(id) || x < 0 || x >= (json_int_t)m->n_vocab)
            return hg_refuse(p, 400, "invalid_value", param,
                             "%s: token ids are whole numbers from 0 to %u", param, m->n_vocab - 1);
        hg_status s = hg_ids_push(ids, (int32_t)x, &e);
        if (s != HG_OK) return of_status(p, s, param, &e);
    }
    return true;
}

/* One prompt: a string or an array of ids. */
static bool add_prompt(prompts *ps, const json_t *v, const hg_backend *m, hg_problem *p)
{
    hg_err e = {0};
    hg_ids *ids = &ps->list[ps->n++];

    if (json_is_array(v)) return hg_openai_read_ids(ids, v, m, "prompt", p);
    if (!json_is_string(v))
        return hg_refuse(p, 400, "invalid_value", "prompt",
                         "prompt must be a string, or an array of strings or ids");
    hg_bytes text = {json_string_value(v), json_string_length(v)};
    hg_status s = m->encode(m->ctx, text, ids, &e);
    return s == HG_OK || of_status(p, s, "prompt", &e);
}

static bool read_prompts(prompts *ps, const hg_openai_call *c, const hg_backend *m, hg_problem *p)
{
    const json_t *first = json_array_get(c->prompt, 0);
    size_t n = json_array_size(c->prompt);

    if (!json_is_array(c->prompt) || json_is_integer(first)) return add_prompt(ps, c->prompt, m, p);
    if (n == 0 || n > HG_SERVE_MAX_CHOICES)
        return hg_refuse(p, 400, "invalid_value", "prompt", "prompt takes 1 to %d texts",
                         HG_SERVE_MAX_CHOICES);
    for (size_t i = 0; i < n; i++) {
        if (!add_prompt(ps, json_array_get(c->prompt, i), m, p)) return false;
    }
    return true;
}

static bool read_messages(prompts *ps, const hg_openai_call *c, const hg_backend *m, hg_problem *p)
{
    hg_err e = {0};
    hg_ids *ids = &ps->list[ps->n++];
    hg_status s;

    if (c->talk != NULL && m->converse == NULL)
        return hg_refuse(p, 400, "unsupported_parameter", "tools", "tools: %s cannot call any",
                         m->id);
    s = c->talk != NULL ? m->converse(m->ctx, c->talk, c->tools, c->must_call, ids, &e)
                        : m->render(m->ctx, c->messages, c->n_messages, ids, &e);
    if (s == HG_OK && c->prefill.n > 0) {
        if (m->append == NULL)
            return hg_refuse(p, 400, "invalid_value", "messages",
                             "messages: %s cannot go on with what the assistant began", m->id);
        s = m->append(m->ctx, c->prefill, ids, &e);
    }
    return s == HG_OK || of_status(p, s, "messages", &e);
}

/* An answer needs room for one token at the least. */
static bool check_room(const prompts *ps, const hg_openai_call *c, const hg_backend *m,
                       hg_problem *p)
{
    const char *param = c->is_chat ? "messages" : "prompt";

    for (size_t i = 0; i < ps->n; i++) {
        if (ps->list[i].n >= m->n_ctx)
            return hg_refuse(p, 400, "context_length_exceeded", param,
                             "the %s have %zu tokens; the model's context is %u tokens, and the "
                             "answer needs some of them",
                             param, ps->list[i].n, m->n_ctx);
        if (ps->list[i].n == 0)
            return hg_refuse(p, 400, "invalid_value", param, "%s is empty; give at least one token",
                             param);
    }
    if (ps->n * c->n > HG_SERVE_MAX_CHOICES)
        return hg_refuse(p, 400, "invalid_value", "n", "n times the prompts is at most %d",
                         HG_SERVE_MAX_CHOICES);
    return true;
}

/* What the answer is held to, if to anything. */
static bool read_form(hg_form **form, const hg_openai_call *c, const hg_backend *m, hg_problem *p)
{
    hg_err e = {0};

    *form = NULL;
    if (c->tells_tokens && m->piece == NULL)
        return hg_refuse(p, 400, "unsupported_parameter", "logprobs",
                         "logprobs: %s tells no probabilities", m->id);
    if (c->tools != NULL) return hg_tools_form(m, c->tools, c->only, c->must_call, form, p);
    if (!c->has_form) return true;
    if (m->form == NULL)
        return hg_refuse(p, 400, "unsupported_parameter", "response_format",
                         "response_format: answers of %s cannot be held to a form", m->id);
    const hg_status s = m->form(m->ctx, c->form, c->schema, form, &e);
    return s == HG_OK || hg_refuse(p, s == HG_E_NOMEM ? 500 : 400, "invalid_value",
                                   "response_format", "response_format: %s", e.msg);
}

static bool read_input(prompts *ps, const hg_openai_call *c, const hg_backend *m, hg_arena *mem,
                       hg_problem *p)
{
    ps->list = HG_NEW(mem, hg_ids, HG_SERVE_MAX_CHOICES);
    if (ps->list == NULL) return hg_refuse(p, 500, NULL, NULL, "no room for the request");
    return c->is_chat ? read_messages(ps, c, m, p) : read_prompts(ps, c, m, p);
}

/* All that is refused before an answer runs. */
static bool read_all(prompts *ps, hg_form **form, hg_exchange *x, const hg_openai_call *c,
                     const hg_backend *m, hg_problem *p)
{
    return read_input(ps, c, m, hg_exchange_memory(x), p) && check_room(ps, c, m, p) &&
           read_form(form, c, m, p);
}

static bool start(hg_exchange *x, const hg_openai_call *c, const hg_backend *m, const hg_asker *by,
                  prompts *ps, hg_problem *p)
{
    hg_form *form;

    if (!read_all(ps, &form, x, c, m, p)) return false;
    const hg_question q = {.model = m,
                           .prompts = ps->list,
                           .n_prompts = ps->n,
                           .n = c->n,
                           .max_tokens = c->max_tokens,
                           .sampling = c->sampling,
                           .stop = c->stop,
                           .n_stop = c->n_stop,
                           .tools = c->tools,
                           .must_call = c->must_call,
                           .form = form,
                           .tells_tokens = c->tells_tokens,
                           .n_top = c->n_top,
                           .stream = c->stream,
                           .keeps_text = c->store};
    hg_answer_start(x, &q, by->teller, by->id_prefix, by->note);
    return true;
}

bool hg_openai_ask(hg_server *s, hg_exchange *x, const hg_openai_call *c, const hg_asker *by,
                   hg_problem *p)
{
    const hg_backend *m = hg_server_take_for(s, hg_exchange_owner(x), c->model, p);
    prompts ps = {0};

    if (m == NULL) return false;
    const bool ok = start(x, c, m, by, &ps, p);
    if (!ok) hg_backend_release(m);
    free_prompts(&ps);
    return ok;
}

bool hg_openai_check(hg_server *s, hg_exchange *x, const hg_openai_call *c, hg_problem *p)
{
    const hg_backend *m = hg_server_take_for(s, hg_exchange_owner(x), c->model, p);
    prompts ps = {0};
    hg_form *form = NULL;

    if (m == NULL) return false;
    const bool ok = read_all(&ps, &form, x, c, m, p);
    if (ok) hg_form_release(form);
    hg_backend_release(m);
    free_prompts(&ps);
    return ok;
}

bool hg_openai_count(hg_server *s, hg_exchange *x, const hg_openai_call *c, size_t *n,
                     hg_problem *p)
{
    const hg_backend *m = hg_server_take_for(s, hg_exchange_owner(x), c->model, p);
    prompts ps = {0};

    if (m == NULL) return false;
    const bool ok = read_input(&ps, c, m, hg_exchange_memory(x), p);
    *n = 0;
    for (size_t i = 0; i < ps.n; i++) *n += ps.list[i].n;
    hg_backend_release(m);
    free_prompts(&ps);
    return ok;
}
