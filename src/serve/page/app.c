/* What the page asks the server for beside the protocols: its conversations, and what the server is
 * doing. The page's own, it may change with it; programs take the protocols. */
#include "serve/models.h"
#include "serve/page/talks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void explain(hg_buf *out, const hg_problem *p)
{
    hg_openai.explain(out, p);
}

static void refuse(hg_exchange *x, const hg_problem *p)
{
    hg_answer_problem(x, &hg_app, p);
}

/* ---- conversations ---- */
/* The id in the path, NUL-terminated; refuses what cannot be one. */
static bool take_id(hg_exchange *x, hg_bytes rest, char out[HG_TALK_MAX_ID + 1])
{
    hg_problem p;

    if (hg_talk_id_ok(rest)) {
        memcpy(out, rest.p, rest.n);
        out[rest.n] = '\0';
        return true;
    }
    (void)hg_refuse(&p, 404, "not_found", NULL, "there is no such conversation");
    refuse(x, &p);
    return false;
}

static void send_conversation(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    char id[HG_TALK_MAX_ID + 1];
    hg_buf b = {0};
    hg_json_out o;
    hg_problem p;

    if (!take_id(x, rest, id)) return;
    hg_json_out_init(&o, &b, 0);
    if (hg_talk_get(hg_server_store(s), hg_exchange_owner(x), id, &o, &p)) {
        hg_reply_json(x, &hg_app, &b);
        return;
    }
    hg_buf_free(&b);
    refuse(x, &p);
}

static void take_conversation(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    char id[HG_TALK_MAX_ID + 1];
    hg_problem p;
    hg_talk t;

    if (!take_id(x, rest, id)) return;
    bool ok = hg_talk_read(&t, hg_exchange_body(x), hg_exchange_memory(x), &p) &&
              hg_talk_put(hg_server_store(s), hg_exchange_owner(x), id, &t, &p);
    hg_talk_free(&t);
    if (ok)
        hg_exchange_reply(x, 204, NULL, (hg_bytes){"", 0});
    else
        refuse(x, &p);
}

static void delete_conversation(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    char id[HG_TALK_MAX_ID + 1];
    hg_problem p;

    if (!take_id(x, rest, id)) return;
    if (hg_talk_delete(hg_server_store(s), hg_exchange_owner(x), id, &p))
        hg_exchange_reply(x, 204, NULL, (hg_bytes){"", 0});
    else
        refuse(x, &p);
}

/* A whole number of the query, which stays as it is when it is not asked for. */
static bool take_number(const hg_exchange *x, const char *name, int64_t max, int64_t *out,
                        hg_problem *p)
{
    const char *v = hg_exchange_query(x, name);
    char *end;

    if (v == NULL) return true;
    errno = 0;
    const long long n = strtoll(v, &end, 10);
    if (errno != 0 || end == v || *end != '\0' || n < 0 || n > max)
        return hg_refuse(p, 422, "invalid_value", name, "%s: must be a whole number from 0 to %lld",
                         name, (long long)max);
    *out = n;
    return true;
}

/* The "next" of a page before. */
static bool take_place(const hg_exchange *x, hg_talk_page *page, hg_problem *p)
{
    const char *v = hg_exchange_query(x, "after");
    char *end;

    if (v == NULL) return true;
    errno = 0;
    page->changed = strtoll(v, &end, 10);
    const bool has_dot = end != v && *end == '.';
    if (has_dot) page->n = strtoll(v = end + 1, &end, 10);
    return (has_dot && errno == 0 && end != v && *end == '\0' && page->n > 0) ||
           hg_refuse(p, 422, "invalid_value", "after",
                     "after: must be what an answer called \"next\"");
}

static void list_conversations(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    const char *raw = hg_exchange_query(x, "search");
    char words[512] = "";
    hg_talk_page page = {.search = words, .limit = 50};
    hg_buf b = {0};
    hg_json_out o;
    hg_problem p;

    (void)rest;
    if (raw != NULL)
        words[hg_path_decode((hg_bytes){raw, strlen(raw)}, words, sizeof words - 1).n] = '\0';
    hg_json_out_init(&o, &b, 0);
    if (take_place(x, &page, &p) && take_number(x, "limit", 200, &page.limit, &p) &&
        hg_talk_list(hg_server_store(s), hg_exchange_owner(x), &page, &o, &p)) {
        hg_reply_json(x, &hg_app, &b);
        return;
    }
    hg_buf_free(&b);
    refuse(x, &p);
}

/* ---- what the server is doing ---- */
static void put_engine(void *ctx, const char *id, const hg_engine_state *st)
{
    hg_json_out *o = ctx;

    hg_json_begin(o, NULL, '{');
    hg_json_text(o, "id", id);
    hg_json_int(o, "running", st->n_running);
    hg_json_int(o, "waiting", st->n_waiting);
    hg_json_int(o, "answers", (int64_t)st->n_done);
    hg_json_int(o, "prompt_tokens", (int64_t)st->n_prompt_tokens);
    hg_json_int(o, "completion_tokens", (int64_t)st->n_completion_tokens);
    hg_json_int(o, "steps", (int64_t)st->n_steps);
    hg_json_end(o);
}

static void put_offers(hg_json_out *o, hg_models *ms)
{
    hg_json_begin(o, "models", '[');
    for (size_t i = 0; i < hg_models_count(ms); i++) {
        hg_offer *m = hg_models_get(ms, i);
        hg_json_begin(o, NULL, '{');
        hg_json_text(o, "id", m->card.id);
        hg_json_text(o, "description", m->card.description);
        hg_json_int(o, "context", m->card.n_ctx);
        hg_json_int(o, "bytes", (int64_t)m->n_bytes);
        hg_json_bool(o, "loaded", m->target == NULL && hg_models_is_loaded(ms, m));
        if (m->target != NULL) hg_json_text(o, "target", m->target->card.id);
        if (m->base != NULL) hg_json_text(o, "base", m->base->card.id);
        hg_json_bool(o, "calls", m->card.can_call);
        hg_json_end(o);
    }
    hg_json_end(o);
}

static void put_costs(hg_json_out *o, hg_server *s)
{
    hg_server_costs c;

    hg_server_get_costs(s, &c);
    hg_json_number(o, "up_s", c.up_s);
    hg_json_number(o, "cpu_s", c.cpu_s);
    hg_json_number(o, "joules", c.joules);
    hg_json_text(o, "joules_source", c.joules_source);
    hg_json_int(o, "rss", (int64_t)c.rss);
}

static void send_state(hg_server *s, hg_exchange *x, hg_bytes rest)
{
    hg_models *ms = hg_server_models(s);
    hg_models_state m;
    hg_buf b = {0};
    hg_json_out o;

    (void)rest;
    hg_models_look(ms, &m);
    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_text(&o, "version", HG_VERSION);
    put_costs(&o, s);
    hg_json_int(&o, "open_requests", hg_server_open_requests(s));
    hg_json_int(&o, "parallel", hg_server_get_options(s)->parallel);
    hg_json_int(&o, "max_queue", hg_server_get_options(s)->max_queue);
    hg_json_int(&o, "models_bytes", (int64_t)(m.used - m.reserved));
    hg_json_int(&o, "trainings_bytes", (int64_t)m.reserved);
    hg_json_int(&o, "models_limit", (int64_t)m.memory);
    hg_json_bool(&o, "loading", m.is_loading);
    put_offers(&o, ms);
    hg_json_begin(&o, "engines", '[');
    hg_models_each(ms, put_engine, &o);
    hg_json_end(&o);
    hg_json_end(&o);
    hg_exchange_add_header(x, "Cache-Control", "no-store");
    hg_reply_json(x, &hg_app, &b);
}

static const hg_route routes[] = {
    {"GET", "/app/conversations", list_conversations, HG_NEEDS_RUN},
    {"GET", "/app/conversations/", send_conversation, HG_NEEDS_RUN},
    {"PUT", "/app/conversations/", take_conversation, HG_NEEDS_RUN},
    {"DELETE", "/app/conversations/", delete_conversation, HG_NEEDS_RUN},
    {"GET", "/app/state", send_state, HG_NEEDS_METRICS},
    {NULL, NULL, NULL, HG_NEEDS_RUN}};
const hg_protocol hg_app = {.routes = routes, .explain = explain};
