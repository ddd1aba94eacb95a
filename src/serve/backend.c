/* A model with weights as a backend: its tokenizer, its chat template and an engine of its own. */
#include "serve/server.h"
#include "base/clock.h"
#include "text/json.h"

#include <stdio.h>
#include <string.h>

typedef struct weights {
    const hg_model *model;
    const hg_tokenizer *tokenizer;
    const char *chat_template; /* the options', or the model's */
    hg_chat_format *format;    /* NULL: the model cannot chat, and says why when it is asked to */
    hg_engine *engine;
    hg_forms *forms;
    hg_call_style call_style;
} weights;

static hg_status encode(void *ctx, hg_bytes text, hg_ids *out, hg_err *e)
{
    const weights *w = ctx;
    int32_t bos = hg_model_get_config(w->model)->bos_id;

    if (bos >= 0) HG_TRY(hg_ids_push(out, bos, e));
    return hg_tokenizer_encode(w->tokenizer, text, false, out, e);
}

static hg_status append(void *ctx, hg_bytes text, hg_ids *out, hg_err *e)
{
    return hg_tokenizer_encode(((weights *)ctx)->tokenizer, text, false, out, e);
}

static hg_status render(void *ctx, const hg_message *m, size_t n, hg_ids *out, hg_err *e)
{
    const weights *w = ctx;
    const hg_chat_input in = {.m = m, .n = n, .open_answer = true};

    if (w->format == NULL)
        return hg_chat_render(w->tokenizer, w->chat_template, m, n, true, out, NULL, e);
    return hg_chat_format_ids(w->format, &in, out, NULL, e);
}

static hg_status render_tools(const weights *w, const json_t *messages, const json_t *tools,
                              hg_ids *out, hg_err *e)
{
    hg_buf said = {0}, offered = {0};
    hg_status s = HG_OK;

    if (w->call_style == HG_CALLS_EXPLAINED) {
        s = hg_calls_explain(messages, tools, &said, e);
    } else {
        s = hg_json_put_tree(&said, messages, e);
        if (s == HG_OK && tools != NULL) s = hg_json_put_tree(&offered, tools, e);
    }
    const hg_chat_input in = {
        .messages = {said.p, said.n}, .tools = {offered.p, offered.n}, .open_answer = true};
    if (s == HG_OK) s = hg_chat_format_ids(w->format, &in, out, NULL, e);
    hg_buf_free(&said);
    hg_buf_free(&offered);
    return s;
}

static hg_status converse(void *ctx, const json_t *messages, const json_t *tools, bool must_call,
                          hg_ids *out, hg_err *e)
{
    const weights *w = ctx;
    const char *opening = hg_calls_opening(w->call_style);

    if (w->format == NULL)
        return hg_fail(e, HG_E_MISSING,
                       "the model was not tuned to converse: it has no chat "
                       "template");
    HG_TRY(render_tools(w, messages, tools, out, e));
    if (!must_call || opening[0] == '\0') return HG_OK;
    return hg_tokenizer_encode(w->tokenizer, (hg_bytes){opening, strlen(opening)}, true, out, e);
}

/* What a call begins with in the midst of an answer: white space behind it is the model's. */
static const char *call_mark(hg_call_style s)
{
    return s == HG_CALLS_TAGGED || s == HG_CALLS_EXPLAINED ? "<tool_call>" : hg_calls_opening(s);
}

static hg_status submit(void *ctx, const hg_request *r, hg_job *out, hg_err *e)
{
    return hg_engine_submit(((weights *)ctx)->engine, r, out, e);
}

static hg_status form(void *ctx, hg_form_kind kind, hg_bytes schema, hg_form **out, hg_err *e)
{
    return hg_forms_get(((weights *)ctx)->forms, kind, schema, out, e);
}

static hg_bytes piece(void *ctx, int32_t id)
{
    return hg_tokenizer_piece(((weights *)ctx)->tokenizer, id, true);
}

static void cancel(void *ctx, hg_job job)
{
    hg_engine_cancel(((weights *)ctx)->engine, job);
}

static void free_weights(void *ctx)
{
    weights *w = ctx;

    hg_engine_free(w->engine);
    hg_forms_free(w->forms);
    hg_chat_format_free(w->format);
    hg_free(w);
}

static hg_status make_engine(weights *w, const hg_server_options *o, hg_runtime *rt,
                             uint32_t *n_ctx, hg_err *e)
{
    hg_engine_options eo;
    uint32_t limit = hg_model_get_config(w->model)->n_ctx;

    hg_engine_options_init(&eo);
    *n_ctx = o->n_ctx > 0 ? o->n_ctx : hg_context_fit(w->model, HG_CACHE_AUTO, o->parallel);
    if (*n_ctx == 0) *n_ctx = limit; /* the engine says what is missing */
    if (*n_ctx > limit)
        return hg_fail(e, HG_E_ARG, "a context of %u tokens; the model has been made for %u",
                       *n_ctx, limit);
    eo.n_ctx = *n_ctx;
    eo.max_sessions = o->parallel;
    eo.max_queue = o->max_queue;
    eo.chat_template = w->chat_template;
    return hg_engine_new(&w->engine, w->model, rt, &eo, e);
}

hg_status hg_server_add_model(hg_server *s, const char *id, const hg_model *m, hg_runtime *rt,
                              hg_err *e)
{
    hg_backend b = {.created = hg_unix_time(),
                    .encode = encode,
                    .render = render,
                    .converse = converse,
                    .append = append,
                    .submit = submit,
                    .form = form,
                    .piece = piece,
                    .cancel = cancel,
                    .free = free_weights};

    if (strlen(id) >= sizeof b.id)
        return hg_fail(e, HG_E_ARG, "a model's name has at most %zu characters", sizeof b.id - 1);
    if (hg_model_tokenizer(m) == NULL)
        return hg_fail(e, HG_E_MISSING, "%s has no tokenizer, so it cannot read text", id);
    weights *w = hg_alloc(1, sizeof *w);
    if (w == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the model's engine");
    w->model = m;
    w->tokenizer = hg_model_tokenizer(m);
    hg_err why;
    const hg_server_options *o = hg_server_get_options(s);
    const bool is_given = o->chat_template != NULL;
    w->chat_template = is_given ? o->chat_template : hg_model_chat_template(m);
    w->call_style = hg_calls_style(w->chat_template);
    hg_status r = hg_chat_format_new(&w->format, w->tokenizer, w->chat_template, &why);
    if (r != HG_OK && (is_given || r == HG_E_NOMEM))
        r = hg_fail(e, r, "%s", why.msg);
    else
        r = hg_forms_new(&w->forms, m, call_mark(w->call_style), e);
    if (r == HG_OK) r = make_engine(w, o, rt, &b.n_ctx, e);
    if (r != HG_OK) {
        free_weights(w);
        return r;
    }
    memcpy(b.id, id, strlen(id) + 1);
    b.n_vocab = hg_model_get_config(m)->n_vocab;
    b.call_style = w->call_style;
    b.ctx = w;
    return hg_server_add_backend(s, &b, e);
}
