/* A model with weights as a backend: its tokenizer, its chat template and an engine of its own. */
#include "serve/server.h"
#include "base/clock.h"
#include "text/json.h"

#include <stdio.h>
#include <string.h>

typedef struct weights {
    hg_model *model;
    hg_runtime *runtime;
    const hg_tokenizer *tokenizer;
    const char *chat_template; /* the options', or the model's */
    hg_chat_format *format;    /* NULL: the model cannot chat, and says why when it is asked to */
    hg_engine *engine;
    hg_forms *forms;
    hg_call_style call_style;
    hg_embedder *embedder;
    uint32_t n_ctx;
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

static void look(void *ctx, hg_engine_state *out)
{
    hg_engine_look(((weights *)ctx)->engine, out);
}

/* ---- embeddings ---- */
static hg_status embed(void *ctx, hg_embed_job *job, hg_err *e)
{
    return hg_embedder_submit(((weights *)ctx)->embedder, job, e);
}

static void cancel_embed(void *ctx, hg_embed_job *job)
{
    hg_embedder_cancel(((weights *)ctx)->embedder, job);
}

static void look_embed(void *ctx, hg_embedder_state *out)
{
    hg_embedder_look(((weights *)ctx)->embedder, out);
}

static hg_status encode_whole(void *ctx, hg_bytes text, hg_ids *out, hg_err *e)
{
    const weights *w = ctx;
    const int32_t eos = hg_tokenizer_eos(w->tokenizer);

    HG_TRY(encode(ctx, text, out, e));
    return eos >= 0 ? hg_ids_push(out, eos, e) : HG_OK;
}

/* ---- life ---- */
static void free_weights(void *ctx)
{
    weights *w = ctx;

    hg_engine_free(w->engine);
    hg_embedder_free(w->embedder);
    hg_forms_free(w->forms);
    hg_chat_format_free(w->format);
    hg_model_free(w->model);
    hg_runtime_free(w->runtime);
    hg_free(w);
}

static hg_status make_engine(weights *w, const hg_server_options *o, hg_err *e)
{
    hg_engine_options eo;
    uint32_t limit = hg_model_get_config(w->model)->n_ctx;

    if (w->n_ctx > limit)
        return hg_fail(e, HG_E_ARG, "a context of %u tokens; the model has been made for %u",
                       w->n_ctx, limit);
    hg_engine_options_init(&eo);
    eo.n_ctx = w->n_ctx;
    eo.max_sessions = o->parallel;
    eo.max_queue = o->max_queue;
    eo.chat_template = w->chat_template;
    return hg_engine_new(&w->engine, w->model, w->runtime, &eo, e);
}

static hg_status make_chat(weights *w, const hg_server_options *o, hg_err *e)
{
    hg_err why = {0};
    const bool is_given = o->chat_template != NULL;

    w->chat_template = is_given ? o->chat_template : hg_model_chat_template(w->model);
    w->call_style = hg_calls_style(w->chat_template);
    const hg_status s = hg_chat_format_new(&w->format, w->tokenizer, w->chat_template, &why);
    if (s != HG_OK && (is_given || s == HG_E_NOMEM)) return hg_fail(e, s, "%s", why.msg);
    return hg_forms_new(&w->forms, w->model, call_mark(w->call_style), e);
}

static uint32_t default_context(const hg_model *m, const hg_server_options *o)
{
    const uint32_t fit = hg_context_fit(m, HG_CACHE_AUTO, o->parallel);

    return fit > 0 ? fit : hg_model_get_config(m)->n_ctx; /* the engine says what is missing */
}

/* Fills in *b and w from what w->model and w->runtime say. */
static hg_status set_up(hg_backend *b, weights *w, const hg_server_options *o, uint32_t n_ctx,
                        hg_err *e)
{
    const hg_model_config *c = hg_model_get_config(w->model);

    w->tokenizer = hg_model_tokenizer(w->model);
    w->n_ctx = n_ctx;
    HG_TRY(make_chat(w, o, e));
    HG_TRY(make_engine(w, o, e));
    HG_TRY(hg_embedder_new(&w->embedder, w->model, w->runtime, n_ctx, o->max_queue, e));
    *b = (hg_backend){.created = hg_unix_time(),
                      .n_ctx = n_ctx,
                      .n_vocab = c->n_vocab,
                      .has_template = w->chat_template != NULL,
                      .encode = encode,
                      .render = render,
                      .converse = converse,
                      .call_style = w->call_style,
                      .append = append,
                      .submit = submit,
                      .form = form,
                      .encode_whole = encode_whole,
                      .embed = embed,
                      .cancel_embed = cancel_embed,
                      .look_embed = look_embed,
                      .d_embed = c->d_model,
                      .piece = piece,
                      .cancel = cancel,
                      .look = look,
                      .free = free_weights,
                      .ctx = w};
    return HG_OK;
}

/* ---- loaded on demand ---- */
/* Of all conversations, and of the session for embeddings. */
static uint64_t cache_bytes(const hg_model *m, const hg_server_options *o, uint32_t n_ctx)
{
    const hg_session_options so = {.n_ctx = n_ctx};

    return hg_session_bytes(m, &so) * ((uint64_t)o->parallel + 1);
}

/* The context that memory holds, and no more of it than leaves weights and caches within `room`,
 * but for short ones: then fewer conversations run at a time. */
static uint32_t fit_context(const hg_model *m, const hg_server_options *o, uint64_t room)
{
    enum { USEFUL = 8192 };
    uint32_t n_ctx = o->n_ctx > 0 ? o->n_ctx : default_context(m, o);

    while (o->n_ctx == 0 && n_ctx > USEFUL && hg_model_bytes(m) + cache_bytes(m, o, n_ctx) > room)
        n_ctx /= 2;
    return n_ctx;
}

static hg_status open_own(weights *w, const char *path, const hg_server_options *o, hg_err *e)
{
    HG_TRY(hg_runtime_new(&w->runtime, o->threads, o->isa, e));
    HG_TRY(hg_model_open(&w->model, path, HG_WEIGHTS_AS_STORED, w->runtime, e));
    if (hg_model_tokenizer(w->model) == NULL)
        return hg_fail(e, HG_E_MISSING, "%s has no tokenizer, so it cannot read text", path);
    return HG_OK;
}

hg_status hg_backend_open(hg_backend *b, uint64_t *taken, const char *path,
                          const hg_server_options *o, uint64_t room, hg_err *e)
{
    weights *w = hg_alloc(1, sizeof *w);

    if (w == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the model's engine");
    hg_status s = open_own(w, path, o, e);
    if (s == HG_OK) s = set_up(b, w, o, fit_context(w->model, o, room), e);
    if (s != HG_OK) {
        free_weights(w);
        return s;
    }
    const uint64_t own = hg_model_bytes(w->model);
    const uint64_t all = own + cache_bytes(w->model, o, w->n_ctx);
    *taken = all > room && own < room ? room : all;
    return HG_OK;
}

hg_status hg_backend_adapt(hg_backend *b, uint64_t *taken, const hg_backend *base, const char *path,
                           hg_err *e)
{
    const weights *w = base->ctx;
    hg_adapter *a = NULL;

    HG_TRY(hg_adapter_open(&a, path, w->model, w->runtime, e));
    *b = *base;
    b->use = (hg_adapter_use){.adapter = a, .scale = 1};
    b->embed = NULL;
    b->look_embed = NULL;
    b->encode_whole = NULL;
    *taken = hg_adapter_bytes(a);
    return HG_OK;
}

void hg_backend_unadapt(hg_backend *b)
{
    hg_adapter_free((hg_adapter *)(uintptr_t)b->use.adapter);
}
