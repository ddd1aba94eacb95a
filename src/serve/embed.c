/* Embeddings: a text's vector is the mean of what the model makes of its tokens. The desk reads the
 * texts and turns them into tokens; the model's queue makes the vectors (embedder.c), and what
 * waits for them lives in the exchange's memory and holds the exchange. */
#include "serve/embed.h"
#include "base/clock.h"
#include "serve/openai/openai.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

/* A text alone, or an array of token ids alone. */
static bool is_single(const json_t *input)
{
    return json_is_string(input) || json_is_integer(json_array_get(input, 0));
}

static const json_t *text_at(const json_t *input, size_t i)
{
    return is_single(input) ? input : json_array_get(input, i);
}

static bool check_texts(const json_t *input, const char *param, hg_problem *p)
{
    const size_t n = is_single(input) ? 1 : json_array_size(input);

    if (n == 0 || n > HG_EMBED_MAX_TEXTS)
        return hg_refuse(p, 400, "invalid_value", param, "%s must be 1 to %d texts", param,
                         HG_EMBED_MAX_TEXTS);
    for (size_t i = 0; i < n; i++) {
        const json_t *t = text_at(input, i);
        if (json_string_length(t) == 0 && json_array_size(t) == 0)
            return hg_refuse(p, 400, "invalid_value", param,
                             "%s: text %zu must be a string or token ids, and not empty", param,
                             i + 1);
    }
    return true;
}

static void shorten(float *v, size_t d)
{
    double sum = 0;

    for (size_t i = 0; i < d; i++) sum += (double)v[i] * (double)v[i];
    const float scale = sum > 0 ? (float)(1 / sqrt(sum)) : 0;
    for (size_t i = 0; i < d; i++) v[i] *= scale;
}

/* ---- what waits for its vectors ---- */
typedef struct waiting {
    hg_exchange *x;
    const hg_backend *m;
    const hg_protocol *protocol;
    const char *param;
    void (*tell)(hg_exchange *x, const hg_vectors *v);
    hg_vectors v;
    hg_ids *texts; /* [v.n] */
    hg_embed_job job;
    pthread_mutex_t lock; /* guards what follows */
    bool has_ended, is_gone;
} waiting;

static bool refuse_for(hg_problem *p, hg_status s, const char *param, const char *why)
{
    switch (s) {
    case HG_E_STATE:
    case HG_E_CANCELED:
    case HG_E_NOMEM:
        return hg_refuse(p, 503, "server_overloaded", NULL, "%s", why);
    case HG_E_LIMIT:
        return hg_refuse(p, 400, "context_length_exceeded", param, "%s", why);
    case HG_E_ARG:
        return hg_refuse(p, 400, NULL, param, "%s", why);
    default:
        return hg_refuse(p, 500, NULL, param, "%s", why);
    }
}

static bool read_text(waiting *w, const json_t *t, hg_ids *ids, hg_problem *p)
{
    hg_err e = {0};

    if (json_is_array(t)) return hg_openai_read_ids(ids, t, w->m, w->param, p);
    const hg_bytes text = {json_string_value(t), json_string_length(t)};
    const hg_status s = w->m->encode_whole(w->m->ctx, text, ids, &e);
    return s == HG_OK || refuse_for(p, s, w->param, e.msg);
}

static bool read_texts(waiting *w, const json_t *input, hg_problem *p)
{
    w->texts = hg_alloc(w->v.n, sizeof *w->texts);
    if (w->texts == NULL) return hg_refuse(p, 503, NULL, NULL, "no room for the texts");
    for (size_t i = 0; i < w->v.n; i++) {
        if (!read_text(w, text_at(input, i), &w->texts[i], p)) return false;
        w->v.n_tokens += w->texts[i].n;
    }
    return true;
}

/* Keeps the first d of each vector. */
static void cut(hg_vectors *v, size_t d_whole)
{
    for (size_t i = 0; v->d < d_whole && i < v->n; i++) {
        memmove(v->v + i * v->d, v->v + i * d_whole, v->d * sizeof *v->v);
        shorten(v->v + i * v->d, v->d);
    }
}

/* The waiting itself stays as long as its exchange: a late on_gone finds its lock. */
static void drop(waiting *w)
{
    for (size_t i = 0; w->texts != NULL && i < w->v.n; i++) hg_ids_free(&w->texts[i]);
    hg_free(w->texts);
    hg_free(w->job.out);
    hg_backend_release(w->m);
}

/* For who writes down what happened: the texts that were read, of one who has left, too. */
static void note(const waiting *w)
{
    size_t n = 0;

    for (size_t i = 0; i < w->job.n_done; i++) n += w->texts[i].n;
    hg_exchange_note(w->x, w->m->id, n, 0);
}

static void on_end(void *ctx, hg_status s, const char *why)
{
    waiting *w = ctx;
    hg_exchange *x = w->x;
    hg_problem p;

    note(w);
    (void)pthread_mutex_lock(&w->lock);
    w->has_ended = true;
    const bool is_gone = w->is_gone;
    (void)pthread_mutex_unlock(&w->lock);
    if (s == HG_OK) {
        w->v.v = w->job.out;
        cut(&w->v, w->m->d_embed);
        if (!is_gone) w->tell(x, &w->v);
    } else if (!is_gone) {
        (void)refuse_for(&p, s, w->param, s == HG_E_CANCELED ? "the server is shutting down" : why);
        hg_answer_problem(x, w->protocol, &p);
    }
    drop(w);
    hg_exchange_release(x);
}

static void on_gone(void *ctx)
{
    waiting *w = ctx;

    (void)pthread_mutex_lock(&w->lock);
    const bool is_open = !w->has_ended;
    const hg_backend *m = w->m;
    w->is_gone = true;
    if (is_open) hg_backend_hold(m); /* the job may end meanwhile, and the model with it */
    (void)pthread_mutex_unlock(&w->lock);
    if (!is_open) return;
    m->cancel_embed(m->ctx, &w->job);
    hg_backend_release(m);
}

static bool submit(waiting *w, hg_exchange *x, hg_problem *p)
{
    hg_err e = {0};

    w->job = (hg_embed_job){.texts = w->texts,
                            .n = w->v.n,
                            .owner = hg_owner_key(hg_exchange_owner(x)),
                            .on_end = on_end,
                            .ctx = w};
    hg_exchange_hold(x);
    const hg_status s = w->m->embed(w->m->ctx, &w->job, &e);
    if (s != HG_OK) {
        hg_exchange_release(x);
        return refuse_for(p, s, w->param, e.msg);
    }
    hg_exchange_set_watch(x, &(hg_exchange_watch){.on_gone = on_gone, .ctx = w});
    return true;
}

static bool embed_with(waiting *w, const hg_embed_wish *wish, hg_problem *p)
{
    const hg_backend *m = w->m;
    const json_t *input = wish->input;

    if (m->embed == NULL)
        return hg_refuse(p, 400, "unsupported_parameter", "model", "%s makes no embeddings", m->id);
    if (wish->dimensions < 0 || wish->dimensions > (int64_t)m->d_embed)
        return hg_refuse(p, 400, "invalid_value", "dimensions",
                         "dimensions must be from 1 to the model's %u", m->d_embed);
    hg_exchange_note(w->x, m->id, 0, 0);
    memcpy(w->v.model, m->id, sizeof w->v.model);
    w->v.n = is_single(input) ? 1 : json_array_size(input);
    w->v.d = wish->dimensions > 0 ? (size_t)wish->dimensions : m->d_embed;
    return read_texts(w, input, p) && submit(w, w->x, p);
}

bool hg_embed(hg_server *s, hg_exchange *x, const hg_embed_wish *wish, hg_problem *p)
{
    if (!check_texts(wish->input, wish->param, p)) return false;
    waiting *w = HG_NEW(hg_exchange_memory(x), waiting, 1);
    if (w == NULL) return hg_refuse(p, 503, NULL, NULL, "no room for the request");
    w->x = x;
    w->protocol = wish->protocol;
    w->param = wish->param;
    w->tell = wish->tell;
    w->v.began = hg_seconds();
    w->v.choice = wish->choice;
    (void)pthread_mutex_init(&w->lock, NULL);
    w->m = hg_server_take_for(s, hg_exchange_owner(x), wish->model, p);
    if (w->m == NULL) return false;
    const bool ok = embed_with(w, wish, p);
    if (!ok) drop(w);
    return ok;
}

void hg_put_vector(hg_json_out *o, const char *key, const hg_vectors *v, size_t i)
{
    hg_json_begin(o, key, '[');
    for (size_t k = 0; k < v->d; k++) hg_json_number(o, NULL, (double)v->v[i * v->d + k]);
    hg_json_end(o);
}
