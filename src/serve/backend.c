/* A model with weights as a backend: its tokenizer, its chat template and an engine of its own. */
#include "serve/server.h"
#include "base/clock.h"

#include <stdio.h>
#include <string.h>

typedef struct weights {
    const hg_model *model;
    const hg_tokenizer *tokenizer;
    hg_engine *engine;
} weights;

static hg_status encode(void *ctx, hg_bytes text, hg_ids *out, hg_err *e)
{
    const weights *w = ctx;
    int32_t bos = hg_model_get_config(w->model)->bos_id;

    if (bos >= 0) HG_TRY(hg_ids_push(out, bos, e));
    return hg_tokenizer_encode(w->tokenizer, text, false, out, e);
}

static hg_status render(void *ctx, const hg_message *m, size_t n, hg_ids *out, hg_err *e)
{
    const weights *w = ctx;

    return hg_chat_render(w->tokenizer, hg_model_chat_template(w->model), m, n, true, out, NULL, e);
}

static hg_status submit(void *ctx, const hg_request *r, hg_job *out, hg_err *e)
{
    return hg_engine_submit(((weights *)ctx)->engine, r, out, e);
}

static void cancel(void *ctx, hg_job job)
{
    hg_engine_cancel(((weights *)ctx)->engine, job);
}

static void free_weights(void *ctx)
{
    weights *w = ctx;

    hg_engine_free(w->engine);
    hg_free(w);
}

static hg_status make_engine(weights *w, const hg_server_options *o, hg_runtime *rt,
                             uint32_t *n_ctx, hg_err *e)
{
    hg_engine_options eo;
    uint32_t limit = hg_model_get_config(w->model)->n_ctx;

    hg_engine_options_init(&eo);
    *n_ctx = o->n_ctx == 0 ? limit : o->n_ctx;
    if (*n_ctx > limit)
        return hg_fail(e, HG_E_ARG, "a context of %u tokens; the model has been made for %u",
                       *n_ctx, limit);
    eo.n_ctx = *n_ctx;
    eo.max_sessions = o->parallel;
    eo.max_queue = o->max_queue;
    return hg_engine_new(&w->engine, w->model, rt, &eo, e);
}

hg_status hg_server_add_model(hg_server *s, const char *id, const hg_model *m, hg_runtime *rt,
                              hg_err *e)
{
    hg_backend b = {.created = hg_unix_time(),
                    .encode = encode,
                    .render = render,
                    .submit = submit,
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
    hg_status r = make_engine(w, hg_server_get_options(s), rt, &b.n_ctx, e);
    if (r != HG_OK) {
        hg_free(w);
        return r;
    }
    memcpy(b.id, id, strlen(id) + 1);
    b.n_vocab = hg_model_get_config(m)->n_vocab;
    b.ctx = w;
    return hg_server_add_backend(s, &b, e);
}
