/* The table of what is offered. Offers are added at the start and by trainings while the server
 * runs; threads look them up without a lock. So one that is deleted is never freed before the end:
 * it is marked, and steps aside when another needs its place. */
#include "serve/models_internal.h"
#include "base/clock.h"

#include <higgins/machine.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

static const double LAST_ANSWER_S = 10;

hg_status hg_models_new(hg_models **out, const hg_server_options *o, hg_err *e)
{
    hg_machine_info machine;
    pthread_condattr_t by;
    hg_models *ms = hg_alloc(1, sizeof *ms);

    *out = NULL;
    if (ms == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the table of models");
    (void)pthread_mutex_init(&ms->lock, NULL);
    (void)pthread_condattr_init(&by);
    (void)pthread_condattr_setclock(&by, CLOCK_MONOTONIC); /* the day's clock may be set back */
    (void)pthread_cond_init(&ms->changed, &by);
    (void)pthread_condattr_destroy(&by);
    ms->o = o;
    hg_machine_describe(&machine);
    ms->memory = o->memory > 0 ? o->memory : machine.memory_free / 5 * 4;
    *out = ms;
    return HG_OK;
}

void hg_models_close(hg_models *ms)
{
    (void)pthread_mutex_lock(&ms->lock);
    ms->closing = true;
    (void)pthread_cond_broadcast(&ms->changed);
    (void)pthread_mutex_unlock(&ms->lock);
}

static void free_offer(hg_offer *o)
{
    if (o == NULL) return;
    hg_free(o->path);
    hg_free(o->about);
    hg_free(o->base_name);
    hg_free(o);
}

/* An answer's end is told by the engine of the base, which may still be at it when the client has
 * long read all: the adapter must outlive that. */
static void wait_for_last(const hg_offer *o)
{
    const struct timespec nap = {0, 1000 * 1000};
    const double until = hg_seconds() + LAST_ANSWER_S;

    while (atomic_load(&o->n_users) > 0 && hg_seconds() < until) (void)nanosleep(&nap, NULL);
}

void hg_models_free(hg_models *ms)
{
    if (ms == NULL) return;
    const size_t n = hg_models_count(ms);
    for (size_t i = 0; i < n; i++) /* adapters before what they stand on */
        if (ms->offer[i]->is_adapter) {
            wait_for_last(ms->offer[i]);
            hg_offer_unload(ms->offer[i]);
        }
    for (size_t i = 0; i < n; i++) hg_offer_unload(ms->offer[i]);
    for (size_t i = 0; i < n; i++) free_offer(ms->offer[i]);
    for (hg_offer *o = ms->gone, *next; o != NULL; o = next) {
        next = o->gone;
        free_offer(o);
    }
    (void)pthread_cond_destroy(&ms->changed);
    (void)pthread_mutex_destroy(&ms->lock);
    hg_free(ms);
}

size_t hg_models_count(const hg_models *ms)
{
    return atomic_load(&ms->n_offers);
}

hg_offer *hg_models_get(const hg_models *ms, size_t i)
{
    return ms->offer[i];
}

static hg_offer *find_exact(const hg_models *ms, hg_bytes id)
{
    const size_t n = hg_models_count(ms);

    for (size_t i = 0; i < n; i++) {
        hg_offer *o = ms->offer[i];
        const char *name = o->card.id;
        if (strlen(name) == id.n && memcmp(name, id.p, id.n) == 0 && !atomic_load(&o->is_gone))
            return o;
    }
    return NULL;
}

hg_offer *hg_models_find(const hg_models *ms, hg_bytes id)
{
    const size_t n = strlen(HG_DEFAULT_OWNER "/");
    hg_offer *o = find_exact(ms, id);

    if (o == NULL && id.n > n && memcmp(id.p, HG_DEFAULT_OWNER "/", n) == 0)
        o = find_exact(ms, (hg_bytes){id.p + n, id.n - n});
    return o;
}

static hg_status check_id(const hg_models *ms, const char *id, hg_err *e)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/:";
    const size_t n = strlen(id), room = sizeof((hg_card *)NULL)->id;

    if (n == 0 || n >= room || strspn(id, allowed) != n || id[0] == '/')
        return hg_fail(e, HG_E_ARG,
                       "\"%.100s\" cannot name a model; use 1 to %zu letters, digits and - . _ / :",
                       id, room - 1);
    if (hg_models_find(ms, (hg_bytes){id, n}) != NULL)
        return hg_fail(e, HG_E_STATE, "two models are named %s; give one another name", id);
    return HG_OK;
}

/* With the lock: the place of one that is gone, or behind the last. */
static size_t free_place(const hg_models *ms)
{
    const size_t n = hg_models_count(ms);

    for (size_t i = 0; i < n; i++)
        if (atomic_load(&ms->offer[i]->is_gone)) return i;
    return n;
}

/* With the lock: into the table, as it is. */
static hg_status enter(hg_models *ms, hg_offer *o, hg_err *e)
{
    const size_t at = free_place(ms), n = hg_models_count(ms);

    HG_TRY(check_id(ms, o->card.id, e));
    if (at == HG_SERVE_MAX_MODELS)
        return hg_fail(e, HG_E_LIMIT, "more than %d models; serve fewer", HG_SERVE_MAX_MODELS);
    if (at < n) {
        hg_offer *gone = ms->offer[at];
        gone->gone = ms->gone;
        ms->gone = gone;
    }
    atomic_store(&ms->offer[at], o);
    if (at == n) atomic_store(&ms->n_offers, n + 1);
    return HG_OK;
}

size_t hg_models_room(hg_models *ms)
{
    size_t n_used = 0;

    (void)pthread_mutex_lock(&ms->lock);
    for (size_t i = 0; i < hg_models_count(ms); i++) n_used += !atomic_load(&ms->offer[i]->is_gone);
    (void)pthread_mutex_unlock(&ms->lock);
    return HG_SERVE_MAX_MODELS - n_used;
}

static hg_offer *new_offer(const char *id)
{
    hg_offer *o = hg_alloc(1, sizeof *o);

    if (o == NULL) return NULL;
    (void)snprintf(o->card.id, sizeof o->card.id, "%s", id);
    o->card.created = hg_unix_time();
    o->card.description = "";
    return o;
}

static hg_status add_locked(hg_models *ms, const char *id, hg_offer **out, hg_err *e)
{
    HG_TRY(check_id(ms, id, e));
    hg_offer *o = new_offer(id);
    if (o == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a model's card");
    const hg_status s = enter(ms, o, e);
    if (s == HG_OK)
        *out = o;
    else
        hg_free(o);
    return s;
}

hg_status hg_models_add(hg_models *ms, const char *id, hg_offer **out, hg_err *e)
{
    (void)pthread_mutex_lock(&ms->lock);
    const hg_status s = add_locked(ms, id, out, e);
    (void)pthread_mutex_unlock(&ms->lock);
    return s;
}

hg_status hg_models_add_backend(hg_models *ms, const hg_backend *b, hg_err *e)
{
    hg_offer *o = NULL;
    hg_backend *copy = hg_alloc(1, sizeof *copy);
    hg_status s = copy != NULL ? hg_models_add(ms, b->id, &o, e)
                               : hg_fail(e, HG_E_NOMEM, "no room for a model");

    if (s != HG_OK) {
        if (b->free != NULL) b->free(b->ctx);
        hg_free(copy);
        return s;
    }
    *copy = *b;
    copy->n_users = &o->n_users;
    o->card.created = b->created;
    o->card.n_ctx = b->n_ctx;
    o->card.n_vocab = b->n_vocab;
    o->card.is_unlisted = b->is_unlisted;
    o->card.can_call = b->converse != NULL;
    o->card.can_embed = b->embed != NULL;
    o->card.tells_tokens = b->piece != NULL;
    o->loaded = copy;
    return HG_OK;
}

hg_status hg_models_publish(hg_models *ms, const char *path, const char *id, hg_offer *base,
                            hg_err *e)
{
    hg_offer *o = new_offer(id);
    hg_status s = o != NULL ? hg_offer_describe(o, path, e)
                            : hg_fail(e, HG_E_NOMEM, "no room for a model's card");

    if (s == HG_OK && o->is_adapter != (base != NULL))
        s = hg_fail(e, HG_E_FORMAT, "%s is %s adapter", path, o->is_adapter ? "an" : "no");
    if (s == HG_OK && base != NULL) hg_offer_stand_on(o, base);
    (void)pthread_mutex_lock(&ms->lock);
    if (s == HG_OK) s = enter(ms, o, e);
    (void)pthread_mutex_unlock(&ms->lock);
    if (s != HG_OK) free_offer(o);
    return s;
}

static bool is_stood_on(const hg_models *ms, const hg_offer *o)
{
    for (size_t i = 0; i < hg_models_count(ms); i++) {
        const hg_offer *other = ms->offer[i];
        if (!atomic_load(&other->is_gone) && (other->base == o || other->target == o)) return true;
    }
    return false;
}

hg_status hg_models_remove(hg_models *ms, hg_offer *o, hg_err *e)
{
    hg_status s = HG_OK;

    (void)pthread_mutex_lock(&ms->lock);
    if (is_stood_on(ms, o))
        s = hg_fail(e, HG_E_STATE, "other models stand on %s; delete them first", o->card.id);
    else if (atomic_load(&o->n_users) > 0)
        s = hg_fail(e, HG_E_STATE, "%s is at work; try again", o->card.id);
    if (s == HG_OK) {
        atomic_store(&o->is_gone, true);
        o->card.is_unlisted = true;
        hg_models_let_go(ms, o);
    }
    (void)pthread_mutex_unlock(&ms->lock);
    return s;
}

hg_status hg_models_alias(hg_models *ms, const char *id, const char *target, hg_err *e)
{
    hg_offer *o = NULL, *to = hg_models_find(ms, (hg_bytes){target, strlen(target)});

    if (to == NULL)
        return hg_fail(e, HG_E_MISSING, "%s is to be another name of %s, which is not here", id,
                       target);
    HG_TRY(hg_models_add(ms, id, &o, e));
    const int64_t created = o->card.created;
    o->card = to->card;
    o->card.created = created;
    o->card.is_unlisted = false;
    (void)snprintf(o->card.id, sizeof o->card.id, "%s", id);
    o->target = to->target != NULL ? to->target : to;
    return HG_OK;
}

void hg_models_look(hg_models *ms, hg_models_state *out)
{
    (void)pthread_mutex_lock(&ms->lock);
    *out = (hg_models_state){.memory = ms->memory,
                             .used = ms->used,
                             .n_loads = ms->n_loads,
                             .reserved = ms->reserved,
                             .n_unloads = ms->n_unloads,
                             .is_loading = ms->loading};
    for (size_t i = 0; i < hg_models_count(ms); i++)
        out->n_loaded += ms->offer[i]->path != NULL && ms->offer[i]->loaded != NULL;
    (void)pthread_mutex_unlock(&ms->lock);
}

void hg_models_each(hg_models *ms, hg_models_fn *fn, void *ctx)
{
    (void)pthread_mutex_lock(&ms->lock);
    for (size_t i = 0; i < hg_models_count(ms); i++) {
        const hg_offer *o = ms->offer[i];
        hg_engine_state state;
        if (o->loaded == NULL || o->is_adapter || o->loaded->look == NULL) continue;
        o->loaded->look(o->loaded->ctx, &state);
        fn(ctx, o->card.id, &state);
    }
    (void)pthread_mutex_unlock(&ms->lock);
}

void hg_models_each_embedder(hg_models *ms, hg_embedders_fn *fn, void *ctx)
{
    (void)pthread_mutex_lock(&ms->lock);
    for (size_t i = 0; i < hg_models_count(ms); i++) {
        const hg_offer *o = ms->offer[i];
        hg_embedder_state state;
        if (o->loaded == NULL || o->loaded->look_embed == NULL) continue;
        o->loaded->look_embed(o->loaded->ctx, &state);
        fn(ctx, o->card.id, &state);
    }
    (void)pthread_mutex_unlock(&ms->lock);
}

bool hg_models_is_loaded(hg_models *ms, hg_offer *o)
{
    (void)pthread_mutex_lock(&ms->lock);
    const bool is = (o->target != NULL ? o->target : o)->loaded != NULL;
    (void)pthread_mutex_unlock(&ms->lock);
    return is;
}

void hg_backend_hold(const hg_backend *b)
{
    (void)atomic_fetch_add(b->n_users, 1);
}

void hg_backend_release(const hg_backend *b)
{
    if (b != NULL) (void)atomic_fetch_sub(b->n_users, 1);
}
