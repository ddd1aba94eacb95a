/* For whoever keeps the server running: whether it lives, whether it would answer at once, and
 * figures in the text form of Prometheus (its exposition format 0.0.4). Counters begin anew when a
 * model is loaded again. */
#include "serve/models.h"

#include <string.h>

static void send_health(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    static const char ok[] = "{\"status\":\"ok\"}\n";

    (void)s;
    (void)rest;
    hg_exchange_reply_static(x, 200, "application/json", (hg_bytes){ok, sizeof ok - 1});
}

static void send_ready(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    static const char ready[] = "{\"status\":\"ready\"}\n",
                      loading[] = "{\"status\":\"loading\"}\n";
    hg_models_state state;

    (void)rest;
    hg_models_look(hg_server_models(s), &state);
    if (!state.is_loading) {
        hg_exchange_reply_static(x, 200, "application/json", (hg_bytes){ready, sizeof ready - 1});
        return;
    }
    hg_exchange_add_header(x, "Retry-After", "1");
    hg_exchange_reply_static(x, 503, "application/json", (hg_bytes){loading, sizeof loading - 1});
}

/* ---- figures ---- */
static void put_head(hg_buf *b, const char *name, const char *type, const char *help)
{
    hg_buf_printf(b, "# HELP higgins_%s %s\n# TYPE higgins_%s %s\n", name, help, name, type);
}

static void put_one(hg_buf *b, const char *name, const char *type, const char *help, uint64_t v)
{
    put_head(b, name, type, help);
    hg_buf_printf(b, "higgins_%s %llu\n", name, (unsigned long long)v);
}

typedef struct figure {
    const char *name, *type, *help;
} figure;

enum { N_FIGURES = 6, N_EMBED_FIGURES = 5 };
static const figure figures[N_FIGURES] = {
    {"running", "gauge", "Answers that are being made."},
    {"waiting", "gauge", "Requests in the queue."},
    {"answers_total", "counter", "Answers that have ended."},
    {"prompt_tokens_total", "counter", "Tokens of prompts that were read, without reused ones."},
    {"completion_tokens_total", "counter", "Tokens of answers."},
    {"steps_total", "counter", "Passes of the model."},
};
static const figure embed_figures[N_EMBED_FIGURES] = {
    {"embeddings_running", "gauge", "Requests for embeddings that are worked on."},
    {"embeddings_waiting", "gauge", "Requests for embeddings in the queue."},
    {"embeddings_total", "counter", "Requests for embeddings that have ended."},
    {"embeddings_refused_total", "counter", "Requests for embeddings that found the queue full."},
    {"embeddings_tokens_total", "counter", "Tokens of texts that became vectors."},
};

typedef struct telling {
    hg_buf *b;
    size_t i; /* of the figures */
} telling;

static void put_figure(void *ctx, const char *id, const hg_engine_state *st)
{
    const telling *t = ctx;
    const uint64_t v[N_FIGURES] = {st->n_running,       st->n_waiting,           st->n_done,
                                   st->n_prompt_tokens, st->n_completion_tokens, st->n_steps};

    hg_buf_printf(t->b, "higgins_%s{model=\"%s\"} %llu\n", figures[t->i].name, id,
                  (unsigned long long)v[t->i]);
}

static void put_embed_figure(void *ctx, const char *id, const hg_embedder_state *st)
{
    const telling *t = ctx;
    const uint64_t v[N_EMBED_FIGURES] = {st->n_running, st->n_waiting, st->n_done, st->n_refused,
                                         st->n_tokens};

    hg_buf_printf(t->b, "higgins_%s{model=\"%s\"} %llu\n", embed_figures[t->i].name, id,
                  (unsigned long long)v[t->i]);
}

static void put_models(hg_buf *b, hg_models *ms)
{
    for (size_t i = 0; i < N_FIGURES; i++) {
        telling t = {b, i};
        put_head(b, figures[i].name, figures[i].type, figures[i].help);
        hg_models_each(ms, put_figure, &t);
    }
    for (size_t i = 0; i < N_EMBED_FIGURES; i++) {
        telling t = {b, i};
        put_head(b, embed_figures[i].name, embed_figures[i].type, embed_figures[i].help);
        hg_models_each_embedder(ms, put_embed_figure, &t);
    }
}

static void send_metrics(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_buf b = {0};
    hg_models_state m;

    (void)rest;
    hg_models_look(hg_server_models(s), &m);
    put_one(&b, "open_requests", "gauge", "Requests that are open.", hg_server_open_requests(s));
    put_one(&b, "models_loaded", "gauge", "Models in memory.", m.n_loaded);
    put_one(&b, "models_bytes", "gauge", "Memory that models take.", m.used - m.reserved);
    put_one(&b, "trainings_bytes", "gauge", "Memory that trainings take.", m.reserved);
    put_one(&b, "models_limit_bytes", "gauge", "Memory that models and trainings may take.",
            m.memory);
    put_one(&b, "model_loads_total", "counter", "Models that were loaded.", m.n_loads);
    put_one(&b, "model_unloads_total", "counter", "Models that had to go.", m.n_unloads);
    put_models(&b, hg_server_models(s));
    if (hg_buf_status(&b, NULL) == HG_OK)
        hg_exchange_reply(x, 200, "text/plain; version=0.0.4; charset=utf-8", (hg_bytes){b.p, b.n});
    else
        hg_exchange_reply(x, 500, NULL, (hg_bytes){"", 0});
    hg_buf_free(&b);
}

static void explain(hg_buf *out, const hg_problem *p)
{
    hg_openai.explain(out, p);
}

static const hg_route routes[] = {{"GET", "/health", send_health, HG_ANYBODY},
                                  {"GET", "/ready", send_ready, HG_ANYBODY},
                                  {"GET", "/metrics", send_metrics, HG_NEEDS_METRICS},
                                  {NULL, NULL, NULL, HG_NEEDS_RUN}};
const hg_protocol hg_upkeep = {.routes = routes, .explain = explain};
