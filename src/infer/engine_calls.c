/* The engine's door: what any thread may call. Requests are checked and copied here and put in the
 * queue; the engine's own thread takes them from there. */
#include "infer/engine.h"
#include "base/clock.h"

#include <string.h>
#include <time.h>

static hg_status check_bias(const hg_engine *en, const hg_sampling *o, hg_err *e)
{
    for (size_t i = 0; i < o->n_bias; i++)
        if ((uint32_t)o->bias[i].id >= en->m->c.n_vocab)
            return hg_fail(e, HG_E_ARG, "a bias of token %d; the vocabulary has %u", o->bias[i].id,
                           en->m->c.n_vocab);
    return HG_OK;
}

static hg_status check_request(const hg_engine *en, const hg_request *r, hg_err *e)
{
    HG_TRY(hg_sampling_check(&r->sampling, e));
    HG_TRY(check_bias(en, &r->sampling, e));
    HG_TRY(hg_adapters_check(en->m, r->adapters, r->n_adapters, e));
    if (r->n_prompt == 0)
        return hg_fail(e, HG_E_ARG, "the prompt is empty; give at least one token");
    if (r->n_prompt >= en->n_ctx)
        return hg_fail(e, HG_E_LIMIT,
                       "the prompt has %zu tokens and the context holds %zu with the answer; "
                       "shorten it",
                       r->n_prompt, en->n_ctx);
    if (r->shifts && r->n_keep > en->n_ctx / 2)
        return hg_fail(e, HG_E_ARG,
                       "%u tokens are to be kept of a context of %zu; at most half of it can be",
                       r->n_keep, en->n_ctx);
    if (r->n_top > HG_MAX_TOP)
        return hg_fail(e, HG_E_ARG, "the %u likeliest tokens were asked for; at most %d are told",
                       r->n_top, HG_MAX_TOP);
    if ((r->speculate & HG_SPECULATE_DRAFT) != 0 && en->drafter.m == NULL)
        return hg_fail(e, HG_E_MISSING, "drafts are asked for and there is no draft model");
    return hg_check_ids(en->m, r->prompt, r->n_prompt, e);
}

static hg_status copy_sampling(hg_work *w, hg_err *e)
{
    hg_sampling *o = &w->r.sampling;
    hg_logit_bias *bias = HG_NEW_RAW(&w->mem, hg_logit_bias, o->n_bias + 1);
    const char **breakers = HG_NEW_RAW(&w->mem, const char *, o->n_dry_breakers + 1);
    bool ok = bias != NULL && breakers != NULL;
    for (size_t i = 0; ok && i < o->n_bias; i++) bias[i] = o->bias[i];
    for (size_t i = 0; ok && i < o->n_dry_breakers; i++) {
        const char *s = o->dry_breakers[i];
        breakers[i] = hg_arena_strndup(&w->mem, s, strlen(s));
        ok = breakers[i] != NULL;
    }
    if (!ok) return hg_fail(e, HG_E_NOMEM, "no room for a request");
    o->bias = bias;
    o->dry_breakers = breakers;
    return HG_OK;
}

static hg_status copy_adapters(hg_work *w, hg_err *e)
{
    hg_adapter_use *use = HG_NEW_RAW(&w->mem, hg_adapter_use, w->r.n_adapters + 1);
    if (use == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a request");
    for (size_t i = 0; i < w->r.n_adapters; i++) use[i] = w->r.adapters[i];
    w->r.adapters = use;
    w->adapters = hg_adapters_key(use, w->r.n_adapters);
    return HG_OK;
}

static hg_status copy_prompt(hg_work *w, size_t n_ctx, hg_err *e)
{
    w->n_given = w->r.n_prompt;
    w->prompt = HG_NEW_RAW(&w->mem, int32_t, w->r.shifts ? n_ctx : w->r.n_prompt);
    if (w->prompt == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for a prompt of %zu tokens", w->r.n_prompt);
    memcpy(w->prompt, w->r.prompt, w->r.n_prompt * sizeof *w->prompt);
    w->r.prompt = w->prompt;
    return HG_OK;
}

static hg_status work_new(hg_work **out, const hg_engine *en, const hg_request *r, hg_err *e)
{
    const size_t room = en->n_ctx - r->n_prompt;
    hg_work *w = hg_alloc(1, sizeof *w);
    *out = NULL;
    if (w == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a request");
    w->r = *r;
    const uint32_t most = r->shifts ? UINT32_MAX : (uint32_t)room;
    if (w->r.max_tokens == 0 || w->r.max_tokens > most) w->r.max_tokens = most;
    hg_arena_init(&w->mem, 4096);
    hg_status s = copy_prompt(w, en->n_ctx, e);
    if (s == HG_OK) s = copy_sampling(w, e);
    if (s == HG_OK) s = copy_adapters(w, e);
    if (s == HG_OK && r->constraint != NULL) {
        w->constraint = r->constraint->kind->clone(r->constraint, e);
        s = w->constraint != NULL ? HG_OK : HG_E_NOMEM;
    }
    if (s == HG_OK) s = hg_stops_copy(&w->stops, r->stop, r->n_stop, e);
    if (s != HG_OK) {
        hg_work_free(w);
        return s;
    }
    w->submitted_s = hg_seconds();
    *out = w;
    return HG_OK;
}

/* Of several owners each has a request in each turn, so that one who asks for much waits behind
 * himself and not others behind him (fair queueing, Nagle 1987). *waits: whether the owner has
 * others in the queue. The lock is held. */
static uint64_t turn_of(const hg_engine *en, const hg_work *w, bool *waits)
{
    uint64_t turn = en->turn;
    *waits = false;
    for (size_t i = 0; i < en->o.max_sessions; i++) {
        const hg_work *v = en->running[i];
        if (v != NULL && v->r.owner == w->r.owner && v->turn + 1 > turn) turn = v->turn + 1;
    }
    for (const hg_work *v = en->first; v != NULL; v = v->next) {
        if (v->r.owner != w->r.owner) continue;
        *waits = true;
        if (v->turn + 1 > turn) turn = v->turn + 1;
    }
    return turn;
}

/* Behind all whose turn is not later. */
static void put_in_queue(hg_engine *en, hg_work *w)
{
    hg_work *before = NULL;
    for (hg_work *v = en->first; v != NULL && v->turn <= w->turn; v = v->next) before = v;
    w->next = before == NULL ? en->first : before->next;
    if (before == NULL)
        en->first = w;
    else
        before->next = w;
    if (w->next == NULL) en->last = w;
}

/* Work that free slots will take at once does not wait. The lock is held. */
static uint32_t free_slots(const hg_engine *en)
{
    const uint32_t n = hg_seconds() < en->short_until ? en->n_made : en->o.max_sessions;
    return n > en->state.n_running ? n - en->state.n_running : 0;
}

/* Puts it into the queue unless that is full. Who has nothing in a full queue finds a few places
 * kept. */
static hg_status enqueue(hg_engine *en, hg_work *w, hg_job *out, hg_err *e)
{
    hg_status s = HG_OK;
    bool waits = false;
    pthread_mutex_lock(&en->lock);
    const uint32_t at_once = free_slots(en);
    w->turn = turn_of(en, w, &waits);
    const uint32_t kept = waits || en->first == NULL ? 0 : en->o.max_queue / 4 + 1;
    if (en->closing) {
        s = hg_fail(e, HG_E_STATE, "the engine is closing");
    } else if (en->state.n_waiting >= at_once + en->o.max_queue + kept) {
        s = hg_fail(e, HG_E_STATE, "%u requests run and %u wait already; try again later",
                    en->state.n_running, en->state.n_waiting);
    } else {
        w->id = ++en->last_job;
        *out = w->id;
        put_in_queue(en, w);
        en->state.n_waiting++;
        pthread_cond_signal(&en->wake);
    }
    pthread_mutex_unlock(&en->lock);
    return s;
}

static hg_status submit(hg_engine *en, const hg_request *r, hg_waiter *waiter, hg_job *out,
                        hg_err *e)
{
    hg_work *w;
    *out = 0;
    HG_TRY(check_request(en, r, e));
    HG_TRY(work_new(&w, en, r, e));
    w->waiter = waiter;
    const hg_status s = enqueue(en, w, out, e);
    if (s != HG_OK) hg_work_free(w);
    return s;
}

hg_status hg_engine_submit(hg_engine *en, const hg_request *r, hg_job *out, hg_err *e)
{
    return submit(en, r, NULL, out, e);
}

void hg_engine_cancel(hg_engine *en, hg_job job)
{
    pthread_mutex_lock(&en->lock);
    for (hg_work *w = en->first; w != NULL; w = w->next)
        if (w->id == job) atomic_store(&w->canceled, true);
    for (size_t i = 0; i < en->o.max_sessions; i++)
        if (en->running[i] != NULL && en->running[i]->id == job)
            atomic_store(&en->running[i]->canceled, true);
    pthread_mutex_unlock(&en->lock);
}

void hg_engine_look(hg_engine *en, hg_engine_state *out)
{
    pthread_mutex_lock(&en->lock);
    *out = en->state;
    pthread_mutex_unlock(&en->lock);
}

/* ---- timelines as files ---- */

/* Takes the lock; while it is held and nothing runs or waits, the engine's thread sleeps and its
 * slots are the caller's. */
static hg_status lock_idle(hg_engine *en, hg_err *e)
{
    pthread_mutex_lock(&en->lock);
    if (en->state.n_running == 0 && en->state.n_waiting == 0) return HG_OK;
    pthread_mutex_unlock(&en->lock);
    return hg_fail(e, HG_E_STATE, "requests are running; wait until they have ended");
}

hg_status hg_engine_save(hg_engine *en, const char *path, hg_err *e)
{
    const hg_slot *last = NULL;
    HG_TRY(lock_idle(en, e));
    for (size_t i = 0; i < en->n_slots; i++)
        if (en->slots[i].cache.n > 0 && (last == NULL || en->slots[i].used_at > last->used_at))
            last = &en->slots[i];
    const hg_status s =
        last != NULL ? hg_cache_save(&last->cache, en->m, &last->ahead[0], last->is_ahead, path, e)
                     : hg_fail(e, HG_E_STATE, "there is no timeline to save yet");
    pthread_mutex_unlock(&en->lock);
    return s;
}

hg_status hg_engine_load(hg_engine *en, const char *path, const hg_adapter_use *use, size_t n_use,
                         hg_ids *ids, hg_err *e)
{
    HG_TRY(hg_adapters_check(en->m, use, n_use, e));
    HG_TRY(lock_idle(en, e));
    hg_slot *slot = &en->slots[0];
    for (size_t i = 1; i < en->n_slots; i++)
        if (en->slots[i].used_at < slot->used_at) slot = &en->slots[i];
    hg_status s = hg_engine_make_slot(en, slot, false, e);
    slot->cache.adapters = hg_adapters_key(use, n_use);
    if (s == HG_OK) s = hg_cache_load(&slot->cache, en->m, path, ids, e);
    slot->is_ahead = false;
    if (s == HG_OK) slot->used_at = ++en->clock;
    pthread_mutex_unlock(&en->lock);
    return s;
}

static void waiter_init(hg_waiter *w)
{
    pthread_condattr_t a;
    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->ended, &a);
    pthread_condattr_destroy(&a);
}

/* A signal handler can set a flag and nothing more, so the waiting thread looks at it. */
static bool wait_a_moment(hg_waiter *w)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 10 * 1000 * 1000;
    if (until.tv_nsec >= 1000 * 1000 * 1000) {
        until.tv_nsec -= 1000 * 1000 * 1000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&w->lock);
    if (!w->done) pthread_cond_timedwait(&w->ended, &w->lock, &until);
    const bool done = w->done;
    pthread_mutex_unlock(&w->lock);
    return done;
}

hg_status hg_engine_run(hg_engine *en, const hg_request *r, const atomic_bool *stop,
                        hg_finish *finish, hg_usage *usage, hg_err *e)
{
    hg_waiter waiter = {0};
    hg_job job;
    bool asked = false;
    if (finish != NULL) *finish = HG_FINISH_ERROR;
    if (usage != NULL) *usage = (hg_usage){0};
    waiter_init(&waiter);
    hg_status s = submit(en, r, &waiter, &job, e);
    for (bool done = s != HG_OK; !done; done = wait_a_moment(&waiter))
        if (!asked && stop != NULL && atomic_load(stop)) {
            hg_engine_cancel(en, job);
            asked = true;
        }
    if (s == HG_OK) {
        if (finish != NULL) *finish = waiter.finish;
        if (usage != NULL) *usage = waiter.usage;
        if (waiter.finish == HG_FINISH_ERROR)
            s = hg_fail(e, waiter.err.status, "%s", waiter.err.msg);
    }
    pthread_cond_destroy(&waiter.ended);
    pthread_mutex_destroy(&waiter.lock);
    return s;
}
