/* The server as its owner sees it: options, models, start, drain, end; and the routing that every
 * request passes, on the raw path, protocol by protocol, behind the guard. */
#include "serve/batches/batches.h"
#include "serve/config.h"
#include "serve/data.h"
#include "serve/files/files_call.h"
#include "serve/guard.h"
#include "serve/jobs/trainings.h"
#include "serve/models.h"
#include "serve/replicate/made.h"
#include "serve/replicate/trainings.h"
#include "serve/openai/kept.h"
#include "base/clock.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct hg_server {
    hg_server_options o;
    char *host, *hosts, *chat_template;
    hg_data *data;
    hg_guard *guard;
    hg_models *models;
    hg_files *files;
    hg_replicate_state replicate;
    hg_keeper *keeper;
    hg_trainings *trainings;
    hg_batches *batches;
    char moderator[128];
    hg_http *http;
    char url[128];
    pthread_mutex_t lock; /* guards the meter */
    hg_joules joules;
    double started;
};

static const hg_protocol *const protocols[] = {
    &hg_openai, &hg_responses,   &hg_kept,        &hg_anthropic,      &hg_gemini,
    &hg_ollama, &hg_file_routes, &hg_fine_tuning, &hg_upkeep,         &hg_app,
    &hg_pages,  &hg_replicate,   &hg_moderations, &hg_openai_batches, &hg_anthropic_batches};
enum {
    N_PROTOCOLS = sizeof protocols / sizeof protocols[0],
    N_DESKS = 8 /* some may wait for models that are loaded */
};

const hg_protocol *hg_server_protocol(size_t i)
{
    return i < N_PROTOCOLS ? protocols[i] : NULL;
}

/* ---- models ---- */
const hg_card *hg_server_find(const hg_server *s, hg_bytes id)
{
    const hg_offer *o = hg_models_find(s->models, id);

    return o != NULL ? &o->card : NULL;
}

const hg_backend *hg_server_take(hg_server *s, hg_bytes id, hg_problem *p)
{
    hg_offer *o = hg_models_find(s->models, id);

    if (o != NULL) return hg_models_take(s->models, o, p);
    (void)hg_no_model(p, s, id);
    return NULL;
}

bool hg_server_lets(const hg_server *s, const char *owner, const hg_offer *o)
{
    const char *id = o->target != NULL ? o->target->card.id : o->card.id;
    const char *slash = strchr(id, '/'), *colon = slash != NULL ? strchr(slash, ':') : NULL;
    char name[132];

    if (colon == NULL) return true; /* nothing that was trained for a made name */
    (void)snprintf(name, sizeof name, "%.*s", (int)(colon - id), id);
    return hg_made_is_open(hg_data_store(s->data), name, owner);
}

const hg_backend *hg_server_take_for(hg_server *s, const char *owner, hg_bytes id, hg_problem *p)
{
    hg_offer *o = hg_models_find(s->models, id);

    if (o != NULL && hg_server_lets(s, owner, o)) return hg_models_take(s->models, o, p);
    (void)hg_no_model(p, s, id);
    return NULL;
}

const hg_server_options *hg_server_get_options(const hg_server *s)
{
    return &s->o;
}

size_t hg_server_count(const hg_server *s)
{
    return hg_models_count(s->models);
}

const hg_card *hg_server_model(const hg_server *s, size_t i)
{
    return &hg_models_get(s->models, i)->card;
}

hg_models *hg_server_models(const hg_server *s)
{
    return s->models;
}

hg_store *hg_server_store(const hg_server *s)
{
    return hg_data_store(s->data);
}

const char *hg_server_moderator(const hg_server *s)
{
    return s->moderator[0] != '\0' ? s->moderator : NULL;
}

void hg_server_set_moderator(hg_server *s, const char *id)
{
    (void)snprintf(s->moderator, sizeof s->moderator, "%s", id);
}

hg_batches *hg_server_batches(const hg_server *s)
{
    return s->batches;
}

hg_keeper *hg_server_keeper(const hg_server *s)
{
    return s->keeper;
}

hg_status hg_server_ask(hg_server *s, const hg_inside *q, hg_exchange **out, hg_err *e)
{
    if (out != NULL) *out = NULL;
    if (s->http == NULL) return hg_fail(e, HG_E_STATE, "the server has not started");
    return hg_http_ask(s->http, q, out, e);
}

void hg_server_get_costs(hg_server *s, hg_server_costs *out)
{
    (void)pthread_mutex_lock(&s->lock);
    out->joules = hg_joules_read(&s->joules);
    out->joules_source = hg_joules_source(&s->joules);
    (void)pthread_mutex_unlock(&s->lock);
    out->up_s = hg_seconds() - s->started;
    out->cpu_s = hg_cpu_seconds();
    out->rss = hg_rss();
}

hg_files *hg_server_files(const hg_server *s)
{
    return s->files;
}

hg_trainings *hg_server_trainings(const hg_server *s)
{
    return s->trainings;
}

bool hg_server_admit(hg_server *s, hg_exchange *x, hg_who who, hg_problem *p)
{
    return hg_exchange_is_inside(x) || hg_guard_guest(s->guard, x, who, p);
}

hg_replicate_state *hg_server_replicate(const hg_server *s)
{
    return (hg_replicate_state *)(uintptr_t)&s->replicate;
}

uint32_t hg_server_open_requests(const hg_server *s)
{
    return hg_http_count(s->http);
}

hg_status hg_server_add_backend(hg_server *s, const hg_backend *b, hg_err *e)
{
    if (s->http == NULL) return hg_models_add_backend(s->models, b, e);
    if (b->free != NULL) b->free(b->ctx);
    return hg_fail(e, HG_E_STATE, "%s: models are added before the server starts", b->id);
}

hg_status hg_server_offer(hg_server *s, const char *path, const char *name, const hg_watch *w,
                          size_t *n, hg_err *e)
{
    return hg_models_discover(s->models, path, name, w, n, e);
}

hg_status hg_server_configure(hg_server *s, const char *path, const hg_watch *w, hg_err *e)
{
    const char *note = hg_data_note(s->data);

    if (note != NULL) hg_watch_log(w, HG_WARN, "%s", note);
    hg_models_bind_adapters(s->models, w);
    return path != NULL ? hg_config_read(s, path, e) : HG_OK;
}

hg_status hg_server_preload(hg_server *s, const char *id, hg_err *e)
{
    hg_problem p;
    const hg_backend *b = hg_server_take(s, (hg_bytes){id, strlen(id)}, &p);

    if (b == NULL) return hg_fail(e, HG_E_STATE, "%s", p.msg);
    hg_backend_release(b);
    return HG_OK;
}

const char *hg_server_model_id(const hg_server *s, size_t i)
{
    return i < hg_models_count(s->models) ? hg_models_get(s->models, i)->card.id : NULL;
}

uint64_t hg_server_memory(const hg_server *s)
{
    hg_models_state state;

    hg_models_look(s->models, &state);
    return state.memory;
}

/* ---- routing ---- */
typedef struct match {
    const hg_protocol *protocol;
    const hg_route *route;
    hg_bytes rest;
    char allow[128]; /* the methods of the path, when the method is not one of them */
} match;

static bool path_fits(const hg_route *r, const char *path, hg_bytes *rest)
{
    size_t n = strlen(r->path);
    bool takes_rest = n > 1 && r->path[n - 1] == '/';

    if (strncmp(path, r->path, n) != 0) return false;
    *rest = (hg_bytes){path + n, strlen(path + n)};
    return takes_rest ? rest->n > 0 : rest->n == 0;
}

static void allow(match *m, const char *method)
{
    size_t n = strlen(m->allow);

    (void)snprintf(m->allow + n, sizeof m->allow - n, "%s%s%s", n > 0 ? ", " : "", method,
                   strcmp(method, "GET") == 0 ? ", HEAD" : "");
}

static bool claims(const hg_protocol *protocol, const hg_exchange *x)
{
    return protocol->claims != NULL && protocol->claims(x);
}

/* A HEAD is a GET whose body is not sent. Of protocols that share a path the one whose client asks
 * has it, or else the first. */
/* The length of "/openai" at the beginning of a path; 0: it begins with no mount's name. */
static size_t mount_of(const char *path)
{
    static const char *const names[] = {"/openai/", "/anthropic/", "/gemini/", "/replicate/"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strncmp(path, names[i], strlen(names[i])) == 0) return strlen(names[i]) - 1;
    return 0;
}

static bool is_mounted(const hg_protocol *protocol, hg_bytes name)
{
    const char *at = protocol->mounts;

    while (at != NULL && *at != '\0') {
        const size_t n = strcspn(at, " ");
        if (n == name.n && memcmp(at, name.p, n) == 0) return true;
        at += n + (at[n] == ' ');
    }
    return false;
}

static void find_route(match *m, const hg_exchange *x)
{
    const char *method = hg_exchange_method(x), *whole = hg_exchange_path(x);
    const size_t n_mount = mount_of(whole);
    const hg_bytes mount = {whole + 1, n_mount > 0 ? n_mount - 1 : 0};
    const char *path = whole + n_mount;
    const char *as = strcmp(method, "HEAD") == 0 ? "GET" : method;
    hg_bytes rest;

    memset(m, 0, sizeof *m);
    for (size_t i = 0; i < N_PROTOCOLS; i++) {
        const bool is_client = claims(protocols[i], x);
        if (n_mount > 0 && !is_mounted(protocols[i], mount)) continue;
        for (const hg_route *r = protocols[i]->routes; r->method != NULL; r++) {
            if (!path_fits(r, path, &rest)) continue;
            if (strstr(m->allow, r->method) == NULL) allow(m, r->method);
            if (m->protocol == NULL) m->protocol = protocols[i];
            if ((m->route == NULL || is_client) && strcmp(r->method, as) == 0) {
                m->protocol = protocols[i];
                m->route = r;
                m->rest = rest;
            }
        }
        if (m->route == NULL && is_client) m->protocol = protocols[i];
    }
    if (m->protocol == NULL) m->protocol = &hg_openai;
    if (m->allow[0] != 0) (void)snprintf(m->allow + strlen(m->allow), 16, ", OPTIONS");
}

static void answer_options(hg_exchange *x, const match *m)
{
    hg_exchange_add_header(x, "Allow", m->allow[0] != 0 ? m->allow : "GET, HEAD, POST, OPTIONS");
    hg_exchange_reply(x, 204, NULL, (hg_bytes){"", 0});
}

static void run(hg_server *s, hg_exchange *x, const match *m)
{
    m->route->run(s, x, m->rest);
    hg_versions_after(s->replicate.versions, x);
    hg_fetching_after(s->replicate.fetching, x);
}

static void handle(void *ctx, hg_exchange *x)
{
    hg_server *s = ctx;
    const char *method = hg_exchange_method(x), *path = hg_exchange_path(x);
    hg_problem p;
    match m;

    find_route(&m, x);
    if (m.protocol->id_header != NULL)
        hg_exchange_add_header(x, m.protocol->id_header, hg_exchange_id(x));
    /* Who asks from within was let in when he asked for the work. */
    const bool is_guest = !hg_exchange_is_inside(x);
    bool ok = !is_guest || hg_guard_place(s->guard, x, &p);
    if (ok && strcmp(method, "OPTIONS") == 0 && (m.allow[0] != 0 || strcmp(path, "*") == 0)) {
        answer_options(x, &m);
        return;
    }
    if (ok && is_guest)
        ok = hg_guard_guest(s->guard, x, m.route != NULL ? m.route->who : HG_NEEDS_RUN, &p);
    if (ok && m.route == NULL && m.allow[0] != 0) {
        hg_exchange_add_header(x, "Allow", m.allow);
        ok = hg_refuse(&p, 405, "method_not_allowed", NULL,
                       "%.30s %.200s: the methods of this path are %s", method, path, m.allow);
    } else if (ok && m.route == NULL) {
        ok = hg_refuse(&p, 404, "not_found", NULL,
                       "nothing is at %.200s; the API begins at /v1, the page is /", path);
    }
    if (ok)
        run(s, x, &m);
    else
        hg_answer_problem(x, m.protocol, &p);
}

/* It was let in before. */
static void handle_again(void *ctx, hg_exchange *x)
{
    match m;

    find_route(&m, x);
    run(ctx, x, &m);
}

static size_t max_body_of(void *ctx, hg_bytes method, hg_bytes path)
{
    (void)ctx;
    return hg_files_max_body(method, path);
}

static bool trusts(void *ctx, hg_exchange *x)
{
    return hg_guard_trusts(((hg_server *)ctx)->guard, x);
}

/* The secret in a stream's link is as good as a token. */
static const char *told_path(const hg_exchange *x)
{
    static const char streams[] = "/v1/streams/";
    const char *path = hg_exchange_path(x);

    return strncmp(path, streams, sizeof streams - 1) == 0 ? streams : path;
}

static void done(void *ctx, const hg_exchange *x)
{
    const hg_server *s = ctx;
    hg_exchange_facts f;

    hg_exchange_tell(x, &f);
    const hg_request_record r = {.id = hg_exchange_id(x),
                                 .owner = hg_exchange_owner(x),
                                 .method = hg_exchange_method(x),
                                 .path = told_path(x),
                                 .model = f.model,
                                 .status = f.status,
                                 .is_cut_off = f.is_cut_off,
                                 .seconds = f.seconds,
                                 .n_prompt_tokens = f.n_prompt,
                                 .n_completion_tokens = f.n_completion,
                                 .body =
                                     s->o.tells_bodies ? hg_exchange_body(x) : (hg_bytes){"", 0}};
    s->o.on_request(s->o.on_request_ctx, &r);
}

static void explain(void *ctx, hg_buf *body, int status, const char *why)
{
    hg_problem p;

    (void)ctx;
    (void)hg_refuse(&p, status, NULL, NULL, "%s", why);
    hg_openai.explain(body, &p);
}

/* ---- life ---- */
void hg_server_options_init(hg_server_options *o)
{
    memset(o, 0, sizeof *o);
    o->host = "127.0.0.1";
    o->port = 8080;
    o->parallel = 4;
    o->max_queue = 64;
    o->retention_s = 3600;
    o->isa = HG_N_ISA;
}

static hg_status set_up(hg_server *s, const hg_server_options *o, hg_err *e)
{
    s->o = *o;
    s->host = hg_strdup(o->host);
    if (o->chat_template != NULL) s->chat_template = hg_strdup(o->chat_template);
    if (s->host == NULL || (s->chat_template == NULL && o->chat_template != NULL))
        return hg_fail(e, HG_E_NOMEM, "no room for the server");
    if (o->hosts != NULL && (s->hosts = hg_strdup(o->hosts)) == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for the server");
    s->o.host = s->host;
    s->o.hosts = s->hosts;
    s->o.chat_template = s->chat_template;
    HG_TRY(hg_data_open(&s->data, o->data_dir, true, e));
    HG_TRY(hg_guard_new(&s->guard, &s->o, s->data, e));
    s->o.api_key = s->o.data_dir = NULL;
    HG_TRY(hg_files_new(&s->files, s->data, e));
    HG_TRY(hg_keeper_new(&s->keeper, s, e));
    HG_TRY(hg_batches_new(&s->batches, s, e));
    HG_TRY(hg_models_new(&s->models, &s->o, e));
    HG_TRY(hg_trainings_new(&s->trainings, s->data, s->files, s->models, &s->o, e));
    hg_replicate_state *r = &s->replicate;
    r->store = hg_data_store(s->data);
    HG_TRY(hg_versions_new(&r->versions, s->data, e));
    HG_TRY(hg_fetching_new(&r->fetching, e));
    HG_TRY(hg_webhooks_new(&r->webhooks, s->data, o->allows_private_urls, e));
    return hg_predictions_new(&r->predictions, s, s->data, r->webhooks, o->retention_s, e);
}

hg_status hg_server_new(hg_server **out, const hg_server_options *o, hg_err *e)
{
    *out = NULL;
    if (sodium_init() < 0) return hg_fail(e, HG_E_IO, "the system gives no random numbers");
    if (o->api_key != NULL && o->api_key[0] == 0)
        return hg_fail(e, HG_E_ARG, "the API key is empty; give one, or leave the option out");
    hg_server *s = hg_alloc(1, sizeof *s);
    if (s == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the server");
    (void)pthread_mutex_init(&s->lock, NULL);
    hg_joules_start(&s->joules);
    s->started = hg_seconds();
    const hg_status r = set_up(s, o, e);
    if (r != HG_OK) {
        hg_server_free(s);
        return r;
    }
    *out = s;
    return HG_OK;
}

hg_status hg_server_first_token(hg_server *s, char secret[HG_TOKEN_ROOM], hg_err *e)
{
    hg_query q;
    bool is_there;

    secret[0] = '\0';
    hg_query_open(&q, hg_data_store(s->data), "SELECT 1 FROM tokens");
    is_there = hg_query_row(&q);
    HG_TRY(hg_query_close(&q, e));
    if (is_there) return HG_OK;
    HG_TRY(hg_token_add(s->data, "first", HG_MAY_ALL, 0, secret, e));
    hg_guard_reread(s->guard);
    return HG_OK;
}

hg_status hg_server_start_with(hg_server *s, const hg_http_options *http, hg_err *e)
{
    hg_http_options o;

    if (hg_models_count(s->models) == 0)
        return hg_fail(e, HG_E_STATE, "the server has no model; add one before it starts");
    if (http != NULL)
        o = *http;
    else {
        hg_http_options_init(&o);
        o.n_desks = N_DESKS;
    }
    o.host = s->host;
    o.port = s->o.port;
    o.max_body = o.max_body < HG_SERVE_MAX_BODY ? o.max_body : HG_SERVE_MAX_BODY;
    o.max_body_of = max_body_of;
    o.trusts = trusts;
    o.spill = hg_data_folder(s->data);
    o.handle = handle;
    o.again = handle_again;
    o.done = s->o.on_request != NULL ? done : NULL;
    o.explain = explain;
    o.ctx = s;
    HG_TRY(hg_webhooks_start(s->replicate.webhooks, e));
    HG_TRY(hg_predictions_start(s->replicate.predictions, e));
    hg_replicate_watch_trainings(s);
    HG_TRY(hg_trainings_start(s->trainings, e));
    HG_TRY(hg_http_start(&s->http, &o, e));
    bool is_v6 = strchr(s->host, ':') != NULL;
    (void)snprintf(s->url, sizeof s->url, "http://%s%.80s%s:%u", is_v6 ? "[" : "", s->host,
                   is_v6 ? "]" : "", (unsigned)hg_http_port(s->http));
    return hg_batches_start(s->batches, e);
}

hg_status hg_server_start(hg_server *s, hg_err *e)
{
    return hg_server_start_with(s, NULL, e);
}

const char *hg_server_url(const hg_server *s)
{
    return s->url;
}

uint32_t hg_server_drain(hg_server *s, double grace_s, const atomic_bool *hurry)
{
    struct timespec nap = {0, 20 * 1000 * 1000};
    double until = hg_seconds() + grace_s;

    if (s->http == NULL) return 0;
    hg_http_quiesce(s->http);
    while (hg_http_count(s->http) > 0 && hg_seconds() < until &&
           !(hurry != NULL && atomic_load(hurry)))
        (void)nanosleep(&nap, NULL);
    return hg_http_count(s->http);
}

void hg_server_free(hg_server *s)
{
    if (s == NULL) return;
    if (s->models != NULL) hg_models_close(s->models);
    hg_predictions_stop(s->replicate.predictions);
    hg_webhooks_stop(s->replicate.webhooks);
    hg_batches_stop(s->batches);
    hg_versions_stop(s->replicate.versions);
    hg_fetching_stop(s->replicate.fetching);
    if (s->http != NULL) hg_http_stop(s->http);
    hg_trainings_stop(s->trainings); /* its thread tells what is freed next */
    hg_batches_free(s->batches);
    hg_predictions_free(s->replicate.predictions);
    hg_webhooks_free(s->replicate.webhooks);
    hg_versions_free(s->replicate.versions);
    hg_fetching_free(s->replicate.fetching);
    hg_free(s->replicate.teller);
    hg_trainings_free(s->trainings);
    hg_models_free(s->models);
    hg_http_free(s->http);
    hg_keeper_free(s->keeper);
    hg_files_free(s->files);
    hg_guard_free(s->guard);
    hg_data_close(s->data);
    hg_free(s->host);
    hg_free(s->hosts);
    hg_free(s->chat_template);
    (void)pthread_mutex_destroy(&s->lock);
    hg_free(s);
}
