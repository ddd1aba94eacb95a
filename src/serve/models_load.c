/* Into memory and out of it. One model is loaded at a time, outside the lock, so that whoever asks
 * for one that is there already does not wait; who waits for room keeps no other from loading what
 * has room. Unloading takes what nobody holds, the one used
 * longest ago first. */
#include "serve/models_internal.h"
#include "base/clock.h"

#include <errno.h>
#include <string.h>
#include <time.h>

enum { MAX_WAITING = 6 }; /* fewer than there are desks: others still answer */
static const double BUSY_PATIENCE_S = 30;

void hg_offer_unload(hg_offer *o)
{
    hg_backend *b = o->loaded;

    if (b == NULL) return;
    o->loaded = NULL;
    o->taken = 0;
    if (o->is_adapter)
        hg_backend_unadapt(b);
    else if (b->free != NULL)
        b->free(b->ctx);
    hg_free(b);
    if (o->base != NULL) (void)atomic_fetch_sub(&o->base->n_users, 1);
}

/* With the lock; other threads may have changed anything meanwhile. */
static void wait_a_little(hg_models *ms)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 50 * 1000 * 1000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    (void)pthread_cond_timedwait(&ms->changed, &ms->lock, &until);
}

static hg_offer *least_used(const hg_models *ms)
{
    hg_offer *least = NULL;

    for (size_t i = 0; i < hg_models_count(ms); i++) {
        hg_offer *o = ms->offer[i];
        if (o->path == NULL || o->loaded == NULL || atomic_load(&o->n_users) > 0) continue;
        if (least == NULL || o->last_used < least->last_used) least = o;
    }
    return least;
}

/* What could be unloaded at once: what nobody holds, and what only such adapters stand on. */
static uint64_t idle_bytes(const hg_models *ms)
{
    const size_t n = hg_models_count(ms);
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++) {
        const hg_offer *o = ms->offer[i];
        if (o->path == NULL || o->loaded == NULL) continue;
        unsigned n_idle = 0;
        for (size_t k = 0; k < n; k++) {
            const hg_offer *on = ms->offer[k];
            n_idle += on->base == o && on->loaded != NULL && atomic_load(&on->n_users) == 0;
        }
        if (atomic_load(&o->n_users) == n_idle) sum += o->taken;
    }
    return sum;
}

/* Out of the table first, so that nobody finds it while it is freed without the lock; what it takes
 * is counted until that is done, or two would put their own into the same room. */
void hg_models_let_go(hg_models *ms, hg_offer *o)
{
    hg_offer gone = {.loaded = o->loaded, .is_adapter = o->is_adapter, .base = o->base};
    const uint64_t n = o->taken;

    ms->leaving += n;
    o->loaded = NULL;
    o->taken = 0;
    (void)pthread_mutex_unlock(&ms->lock);
    hg_offer_unload(&gone);
    (void)pthread_mutex_lock(&ms->lock);
    ms->leaving -= n;
    ms->used -= n;
    (void)pthread_cond_broadcast(&ms->changed);
}

static void unload(hg_models *ms, hg_offer *o)
{
    ms->n_unloads++;
    hg_models_let_go(ms, o);
}

/* Whether n bytes fit, now or once what is already on its way out, or could be, has gone. Nothing
 * is unloaded that would not make room enough. */
typedef enum fit { FITS, FITS_SOON, FITS_IF_UNLOADED, NO_FIT } fit;
static fit fit_of(const hg_models *ms, uint64_t n)
{
    if (ms->used + n <= ms->memory) return FITS;
    if (ms->used - ms->leaving + n <= ms->memory) return FITS_SOON;
    if (ms->used - ms->leaving - idle_bytes(ms) + n <= ms->memory) return FITS_IF_UNLOADED;
    return NO_FIT;
}

/* What could never be, and what a training leaves no room for: it may last for hours. */
static bool may_fit(const hg_models *ms, const hg_offer *o, hg_problem *p)
{
    if (o->n_bytes > ms->memory)
        return hg_refuse(p, 503, "no_memory", "model",
                         "%s needs %.0f MB; models may take %.0f MB (--memory)", o->card.id,
                         (double)o->n_bytes / 1e6, (double)ms->memory / 1e6);
    if (o->n_bytes > ms->memory - ms->reserved)
        return hg_refuse(p, 503, "server_overloaded", "model",
                         "%s needs %.1f MB; beside the training that runs models may take %.1f MB; "
                         "try again when it has ended",
                         o->card.id, (double)o->n_bytes / 1e6,
                         (double)(ms->memory - ms->reserved) / 1e6);
    return true;
}

hg_reserve hg_models_reserve(hg_models *ms, uint64_t n, uint64_t *left)
{
    hg_reserve r = HG_RESERVE_SOON;
    hg_offer *victim;

    (void)pthread_mutex_lock(&ms->lock);
    const uint64_t at_work = ms->used - ms->leaving - idle_bytes(ms);
    *left = at_work < ms->memory ? ms->memory - at_work : 0;
    if (n > ms->memory) {
        r = HG_RESERVE_NEVER;
    } else if (n > *left) {
        r = HG_RESERVE_LATER;
    } else {
        /* Who loads has looked at the room that there is. */
        while (!ms->loading && fit_of(ms, n) == FITS_IF_UNLOADED &&
               (victim = least_used(ms)) != NULL)
            unload(ms, victim);
        if (!ms->loading && fit_of(ms, n) == FITS) {
            ms->used += n;
            ms->reserved += n;
            r = HG_RESERVED;
        }
    }
    (void)pthread_mutex_unlock(&ms->lock);
    return r;
}

void hg_models_give_back(hg_models *ms, uint64_t n)
{
    (void)pthread_mutex_lock(&ms->lock);
    ms->used -= n;
    ms->reserved -= n;
    (void)pthread_cond_broadcast(&ms->changed);
    (void)pthread_mutex_unlock(&ms->lock);
}

/* Without the lock. */
static hg_backend *open_offer(hg_models *ms, const hg_offer *o, uint64_t room, uint64_t *taken,
                              hg_err *e)
{
    hg_backend *b = hg_alloc(1, sizeof *b);
    hg_status s = HG_OK;

    if (b == NULL) s = hg_fail(e, HG_E_NOMEM, "no room for a model");
    if (s == HG_OK && o->is_adapter)
        s = hg_backend_adapt(b, taken, o->base->loaded, o->path, e);
    else if (s == HG_OK)
        s = hg_backend_open(b, taken, o->path, ms->o, room, e);
    if (s != HG_OK) {
        hg_free(b);
        return NULL;
    }
    memcpy(b->id, o->card.id, sizeof b->id);
    b->created = o->card.created;
    return b;
}

/* It counts as used while the lock is given up for it: one that were deleted meanwhile would stay
 * in memory, and nobody would find it there; and a base makes no room for its adapter. */
static void hold(hg_offer *o)
{
    (void)atomic_fetch_add(&o->n_users, 1);
    if (o->base != NULL) (void)atomic_fetch_add(&o->base->n_users, 1);
}

static void let_go_of(hg_offer *o)
{
    if (o->base != NULL) (void)atomic_fetch_sub(&o->base->n_users, 1);
    (void)atomic_fetch_sub(&o->n_users, 1);
}

/* With the lock, room, and nobody else loading; an adapter's base is in memory, and held by it from
 * here on. */
static bool load(hg_models *ms, hg_offer *o, hg_problem *p)
{
    const uint64_t room = ms->memory - ms->used;
    hg_err e = {0};
    uint64_t taken = 0;

    ms->loading = true;
    hold(o);
    (void)pthread_mutex_unlock(&ms->lock);
    hg_backend *b = open_offer(ms, o, room, &taken, &e);
    (void)pthread_mutex_lock(&ms->lock);
    if (b != NULL) {
        b->n_users = &o->n_users;
        o->loaded = b;
        o->taken = taken;
        ms->used += taken;
        ms->n_loads++;
        (void)atomic_fetch_sub(&o->n_users, 1);
    } else {
        let_go_of(o);
    }
    ms->loading = false;
    (void)pthread_cond_broadcast(&ms->changed);
    return b != NULL || hg_refuse(p, e.status == HG_E_NOMEM ? 503 : 500, "model_not_loaded",
                                  "model", "%s cannot be loaded: %s", o->card.id, e.msg);
}

static bool wait_for_others(hg_models *ms, const hg_offer *o, hg_problem *p)
{
    if (ms->n_waiting >= MAX_WAITING || ms->closing)
        return hg_refuse(p, 503, "server_overloaded", "model",
                         "%s is not in memory and others wait for models already; try again",
                         o->card.id);
    ms->n_waiting++;
    wait_a_little(ms);
    ms->n_waiting--;
    return true;
}

/* A step towards room for o. Other loads that have room go on meanwhile, so that whatever was true
 * before has to be looked at again. *until: 0 at first. */
static bool seek_room(hg_models *ms, hg_offer *o, double *until, hg_problem *p)
{
    hg_offer *victim = fit_of(ms, o->n_bytes) == FITS_IF_UNLOADED ? least_used(ms) : NULL;

    if (*until == 0) *until = hg_seconds() + BUSY_PATIENCE_S;
    if (victim != NULL) {
        unload(ms, victim);
        return true;
    }
    if (ms->closing || hg_seconds() > *until)
        return hg_refuse(p, 503, "server_overloaded", "model",
                         "no room for %s: the models in memory are all at work; try again",
                         o->card.id);
    return wait_for_others(ms, o, p);
}

/* A step towards o in memory. */
static bool step(hg_models *ms, hg_offer *o, double *until, hg_problem *p)
{
    if (!may_fit(ms, o, p)) return false;
    if (ms->loading) return wait_for_others(ms, o, p);
    if (fit_of(ms, o->n_bytes) == FITS) return load(ms, o, p);
    hold(o);
    const bool ok = seek_room(ms, o, until, p);
    let_go_of(o);
    return ok;
}

const hg_backend *hg_models_take(hg_models *ms, hg_offer *o, hg_problem *p)
{
    double until = 0;
    bool ok = true;

    if (o->target != NULL) o = o->target;
    (void)pthread_mutex_lock(&ms->lock);
    while (ok && o->loaded == NULL) {
        if (o->path == NULL || atomic_load(&o->is_gone))
            ok =
                hg_refuse(p, 404, "model_not_found", "model", "%s has no weights here", o->card.id);
        else
            ok = step(ms, o->base != NULL && o->base->loaded == NULL ? o->base : o, &until, p);
    }
    const hg_backend *b = ok ? o->loaded : NULL;
    if (ok) {
        o->last_used = hg_seconds();
        hg_backend_hold(b);
    }
    (void)pthread_mutex_unlock(&ms->lock);
    return b;
}
