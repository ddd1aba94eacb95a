/* The table of predictions and its threads. Starters take what has not begun, one after another,
 * and wait for models to be loaded; the keeper writes what has changed into the store (at the end,
 * and about each second while it runs), answers those who wait, and looks at the clock. A
 * prediction leaves the memory when it has ended and is kept. */
#include "serve/replicate/predictions.h"
#include "base/clock.h"
#include "serve/replicate/predictions_impl.h"
#include "serve/webhooks.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static const double KEEP_EVERY_S = 1, LOOK_EVERY_S = 0.1, SWEEP_EVERY_S = 20, SETTLE_EVERY_S = 10,
                    TELL_EVERY_S = 0.5;
enum { SHRINK_PIECES = 64 }; /* of a MiB, each time the store is settled */

void hg_predictions_lock(hg_predictions *all)
{
    (void)pthread_mutex_lock(&all->lock);
}

void hg_predictions_unlock(hg_predictions *all)
{
    (void)pthread_mutex_unlock(&all->lock);
}

hg_server *hg_predictions_server(const hg_predictions *all)
{
    return all->server;
}

void hg_predictions_wake(hg_predictions *all)
{
    if (atomic_exchange(&all->is_woken, true)) return;
    (void)pthread_mutex_lock(&all->wake_lock);
    (void)pthread_cond_signal(&all->wake);
    (void)pthread_mutex_unlock(&all->wake_lock);
}

/* ---- those that are open ---- */
static void link_locked(hg_predictions *all, hg_prediction *p)
{
    p->next = all->open;
    all->open = p;
    all->n_open++;
    hg_prediction_hold(p);
}

static void unlink_one(hg_predictions *all, hg_prediction *p)
{
    hg_predictions_lock(all);
    hg_prediction **at = &all->open;
    while (*at != NULL && *at != p) at = &(*at)->next;
    const bool is_there = *at == p;
    if (is_there) {
        *at = p->next;
        all->n_open--;
    }
    hg_predictions_unlock(all);
    if (is_there) hg_prediction_release(p);
}

/* All that are open, each held. NULL with *n 0: none, or no room. */
static hg_prediction **take_open(hg_predictions *all, size_t *n)
{
    hg_predictions_lock(all);
    hg_prediction **list = all->n_open > 0 ? hg_alloc(all->n_open, sizeof *list) : NULL;
    *n = 0;
    for (hg_prediction *p = all->open; p != NULL && list != NULL; p = p->next) {
        hg_prediction_hold(p);
        list[(*n)++] = p;
    }
    hg_predictions_unlock(all);
    return list;
}

uint32_t hg_predictions_open(hg_predictions *all)
{
    hg_predictions_lock(all);
    const size_t n = all->n_open;
    hg_predictions_unlock(all);
    return (uint32_t)n;
}

/* ---- starting ---- */
/* What finds no room stays the first of its owner's. */
static void *run_starter(void *ctx)
{
    hg_predictions *all = ctx;

    for (hg_prediction *p; (p = hg_predictions_dequeue(all)) != NULL;) {
        (void)pthread_mutex_lock(&p->lock);
        const bool waits = p->status == HG_STARTING;
        (void)pthread_mutex_unlock(&p->lock);
        if (waits && hg_prediction_run(p) == HG_E_STATE) {
            hg_predictions_note_full(all, p->backend);
            hg_predictions_enqueue(all, p, true);
        }
        hg_predictions_put_down(all, p);
        hg_prediction_release(p);
    }
    return NULL;
}

static hg_status add(hg_predictions *all, hg_prediction *p, hg_err *e)
{
    hg_predictions_lock(all);
    const bool is_full = all->n_open >= HG_MAX_OPEN_PREDICTIONS ||
                         all->n_queued >= HG_MAX_OPEN_PREDICTIONS || all->is_stopping;
    if (!is_full) link_locked(all, p);
    hg_predictions_unlock(all);
    if (is_full)
        return hg_fail(e, HG_E_LIMIT, "%d predictions are open; wait for some to end",
                       HG_MAX_OPEN_PREDICTIONS);
    const hg_status s = hg_prediction_insert(all, p, e);
    if (s != HG_OK)
        unlink_one(all, p);
    else
        hg_predictions_enqueue(all, p, false);
    return s;
}

bool hg_predictions_add(hg_predictions *all, hg_prediction *one, hg_problem *p)
{
    hg_err e = {0};
    const hg_status s = add(all, one, &e);

    return s == HG_OK || hg_refuse(p, s == HG_E_LIMIT ? 429 : 500, NULL, NULL, "%s", e.msg);
}

/* ---- what is kept of an end ---- */
/* With the lock held. Only the end is told again to who does not answer. */
static hg_status tell_webhook(hg_predictions *all, const hg_prediction *p, unsigned news, hg_err *e)
{
    hg_buf b = {0};
    hg_json_out o;

    if (p->webhook == NULL || (news & p->webhook_events) == 0) return HG_OK;
    hg_json_out_init(&o, &b, 0);
    hg_prediction_put(&o, NULL, p, false);
    const hg_bytes body = {b.p, b.n};
    const hg_status s = b.failed ? hg_fail(e, HG_E_NOMEM, "no room for what a webhook is told")
                                 : hg_webhooks_put(all->webhooks, p->owner, p->webhook, body,
                                                   news == HG_ON_COMPLETED, e);
    hg_buf_free(&b);
    return s;
}

void hg_predictions_tell_start(hg_predictions *all, hg_prediction *p)
{
    if (p->start_is_told) return;
    (void)tell_webhook(all, p, HG_ON_START, NULL);
    p->start_is_told = true;
    p->n_told = p->n_events;
    p->told_s = hg_seconds();
}

static hg_status write_end(hg_predictions *all, const hg_prediction *p, hg_err *e)
{
    HG_TRY(tell_webhook(all, p, HG_ON_COMPLETED, e));
    return hg_prediction_update(all, p, e);
}

/* The end and the webhook that tells it go into the store as one: a kill between them would have
 * told of an end that the next start does not know. With the lock held. */
static hg_status keep_end(hg_predictions *all, hg_prediction *p, hg_err *e)
{
    HG_TRY(hg_store_begin(all->store, e));
    atomic_store(&p->is_saved, true); /* as the webhook tells it */
    const hg_status s = hg_store_end(all->store, write_end(all, p, e), e);
    atomic_store(&p->is_saved, s == HG_OK);
    if (s == HG_OK) hg_prediction_tell_end(p);
    return s;
}

/* ---- finding, ending ---- */
static bool is_it(const hg_prediction *p, const char *owner, const char *id)
{
    return owner == NULL ? strcmp(p->secret, id) == 0
                         : strcmp(p->id, id) == 0 && strcmp(p->owner, owner) == 0;
}

hg_prediction *hg_predictions_find(hg_predictions *all, const char *owner, const char *id)
{
    hg_prediction *found = NULL;

    hg_predictions_lock(all);
    for (hg_prediction *p = all->open; p != NULL && found == NULL; p = p->next)
        if (is_it(p, owner, id)) found = p;
    if (found != NULL) hg_prediction_hold(found);
    hg_predictions_unlock(all);
    return found != NULL ? found : hg_prediction_load(all, owner, id);
}

static void cancel(hg_prediction *p, hg_prediction_status before_it_began)
{
    (void)pthread_mutex_lock(&p->lock);
    atomic_store(&p->cancel, true);
    if (p->status == HG_STARTING) hg_prediction_end(p, before_it_began, NULL);
    (void)pthread_mutex_unlock(&p->lock);
}

void hg_predictions_cancel(hg_predictions *all, hg_prediction *one)
{
    cancel(one, HG_CANCELED);
    (void)pthread_mutex_lock(&one->lock);
    if (hg_prediction_has_ended(one) && !hg_prediction_is_over(one)) (void)keep_end(all, one, NULL);
    (void)pthread_mutex_unlock(&one->lock);
    hg_predictions_wake(all);
}

void hg_predictions_wait(hg_predictions *all, hg_prediction *one, hg_exchange *x, double wait_s)
{
    waiter *w = hg_alloc(1, sizeof *w);

    if (w == NULL) {
        hg_prediction_answer(x, 201, one, true);
        return;
    }
    *w = (waiter){.p = one, .x = x, .until = hg_seconds() + wait_s};
    hg_prediction_hold(one);
    hg_exchange_hold(x);
    hg_predictions_lock(all);
    w->next = all->waiters;
    all->waiters = w;
    hg_predictions_unlock(all);
    hg_predictions_wake(all);
}

/* ---- the keeper ---- */
static void answer_waiters(hg_predictions *all, bool all_of_them)
{
    waiter *ready = NULL;
    const double now = hg_seconds();

    hg_predictions_lock(all);
    for (waiter **at = &all->waiters; *at != NULL;) {
        waiter *w = *at;
        if (!all_of_them && now < w->until && !w->p->is_saved) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        w->next = ready;
        ready = w;
    }
    hg_predictions_unlock(all);
    for (waiter *next; ready != NULL; ready = next) {
        next = ready->next;
        hg_prediction_answer(ready->x, 201, ready->p, true);
        hg_exchange_release(ready->x);
        hg_prediction_release(ready->p);
        hg_free(ready);
    }
}

static bool is_late(const hg_prediction *p, double now)
{
    return p->deadline != 0 && now > p->deadline_s;
}

/* What webhooks are told while it goes on. With the lock held. */
static unsigned news_of(hg_prediction *p, double now)
{
    unsigned what = 0;

    if (hg_prediction_has_ended(p) || p->n_events == p->n_told || now - p->told_s < TELL_EVERY_S)
        return what;
    for (size_t i = p->n_told; i < p->n_events; i++)
        what |= p->event[i].kind == 'o' ? HG_ON_OUTPUT : HG_ON_LOGS;
    p->n_told = p->n_events;
    p->told_s = now;
    return what;
}

static void keep_so_far(hg_predictions *all, hg_prediction *p, double now)
{
    if (p->n_events == p->n_saved || now - p->saved_s <= KEEP_EVERY_S) return;
    (void)hg_prediction_update(all, p, NULL);
    p->n_saved = p->n_events;
    p->saved_s = now;
}

static void keep(hg_predictions *all, hg_prediction *p)
{
    const double now = hg_seconds();

    if (is_late(p, now) && !atomic_load(&p->cancel)) cancel(p, HG_ABORTED);
    (void)pthread_mutex_lock(&p->lock);
    (void)tell_webhook(all, p, news_of(p, now), NULL);
    /* A full disk may have room later: what has ended stays in memory until it is kept. */
    if (hg_prediction_has_ended(p) && !hg_prediction_is_over(p))
        (void)keep_end(all, p, NULL);
    else if (!hg_prediction_has_ended(p))
        keep_so_far(all, p, now);
    const bool is_saved = p->is_saved;
    (void)pthread_mutex_unlock(&p->lock);
    if (is_saved) unlink_one(all, p);
}

static void wait_for_news(hg_predictions *all)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(LOOK_EVERY_S * 1e9);
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_mutex_lock(&all->wake_lock);
    int r = 0;
    while (!atomic_load(&all->is_woken) && r == 0)
        r = pthread_cond_timedwait(&all->wake, &all->wake_lock, &until);
    (void)pthread_mutex_unlock(&all->wake_lock);
    atomic_store(&all->is_woken, false);
}

static void keep_all(hg_predictions *all)
{
    size_t n;
    hg_prediction **list = take_open(all, &n);

    for (size_t i = 0; i < n; i++) {
        keep(all, list[i]);
        hg_prediction_release(list[i]);
    }
    hg_free(list);
    answer_waiters(all, false);
}

static bool is_time(double *last, double every_s)
{
    const double now = hg_seconds();

    if (now - *last < every_s) return false;
    *last = now;
    return true;
}

/* A piece at a time, so that nobody waits for the store longer than for a statement. */
void hg_predictions_tend(hg_predictions *all)
{
    for (int i = 0; i < SHRINK_PIECES && hg_store_shrink(all->store); i++) hg_store_let_others();
    if (hg_store_has_deleted(all->store)) (void)hg_store_settle(all->store, NULL);
}

static void *run_keeper(void *ctx)
{
    hg_predictions *all = ctx;
    double swept = 0, settled = 0;

    while (!atomic_load(&all->keeper_ends)) {
        wait_for_news(all);
        keep_all(all);
        if (is_time(&settled, SETTLE_EVERY_S)) hg_predictions_tend(all);
        if (is_time(&swept, SWEEP_EVERY_S)) hg_predictions_sweep(all);
    }
    return NULL;
}

/* ---- life ---- */
hg_status hg_predictions_new(hg_predictions **out, hg_server *s, hg_data *d, hg_webhooks *w,
                             double retention_s, hg_err *e)
{
    pthread_condattr_t by;
    hg_predictions *all = hg_alloc(1, sizeof *all);

    *out = NULL;
    if (all == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the table of predictions");
    all->server = s;
    all->store = hg_data_store(d);
    all->webhooks = w;
    all->retention_s = retention_s;
    (void)pthread_mutex_init(&all->lock, NULL);
    (void)pthread_mutex_init(&all->wake_lock, NULL);
    (void)pthread_condattr_init(&by);
    (void)pthread_condattr_setclock(&by, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&all->wake, &by);
    (void)pthread_cond_init(&all->more, &by);
    (void)pthread_condattr_destroy(&by);
    *out = all;
    return HG_OK;
}

static hg_status start_thread(pthread_t *t, bool *has, void *(*run)(void *), void *ctx, hg_err *e)
{
    *has = pthread_create(t, NULL, run, ctx) == 0;
    return *has ? HG_OK : hg_fail(e, HG_E_NOMEM, "no room for the threads of predictions");
}

/* ---- what had not ended when the server did ---- */
static void begin_again(hg_predictions *all, hg_prediction *p)
{
    hg_prediction_take_back(p);
    if (is_late(p, hg_seconds())) cancel(p, HG_ABORTED); /* nobody wants its answer any more */
    hg_predictions_lock(all);
    link_locked(all, p);
    hg_predictions_unlock(all);
    hg_predictions_enqueue(all, p, false);
}

static hg_status fail_cut_off(hg_predictions *all, hg_prediction *p, hg_err *e)
{
    (void)pthread_mutex_lock(&p->lock);
    hg_prediction_end(p, HG_FAILED, "the server was ended while the prediction ran");
    const hg_status s = keep_end(all, p, e);
    (void)pthread_mutex_unlock(&p->lock);
    return s;
}

static bool has_output(const hg_prediction *p)
{
    for (size_t i = 0; i < p->n_events; i++)
        if (p->event[i].kind == 'o') return true;
    return false;
}

/* What has said something has failed, for its answer cannot be gone on with; the rest begins again.
 */
static hg_status take_up(hg_predictions *all, hg_prediction_status was, hg_err *e)
{
    hg_status s = HG_OK;
    hg_prediction *p;

    for (int64_t n = 0; s == HG_OK && (p = hg_prediction_load_open(all, was, &n)) != NULL;) {
        if (has_output(p))
            s = fail_cut_off(all, p, e);
        else
            begin_again(all, p);
        hg_prediction_release(p);
    }
    return s;
}

hg_status hg_predictions_start(hg_predictions *all, hg_err *e)
{
    HG_TRY(take_up(all, HG_PROCESSING, e));
    HG_TRY(take_up(all, HG_STARTING, e));
    for (int i = 0; i < N_STARTERS; i++)
        HG_TRY(start_thread(&all->starter[i], &all->has_starter[i], run_starter, all, e));
    return start_thread(&all->keeper, &all->has_keeper, run_keeper, all, e);
}

static void stop_starters(hg_predictions *all)
{
    hg_predictions_lock(all);
    all->is_stopping = true;
    (void)pthread_cond_broadcast(&all->more);
    hg_predictions_unlock(all);
    for (int i = 0; i < N_STARTERS; i++)
        if (all->has_starter[i]) (void)pthread_join(all->starter[i], NULL);
    hg_predictions_empty_queue(all);
}

static bool some_run(hg_predictions *all)
{
    bool some = false;
    size_t n;
    hg_prediction **list = take_open(all, &n);

    for (size_t i = 0; i < n; i++) {
        (void)pthread_mutex_lock(&list[i]->lock);
        if (list[i]->status == HG_PROCESSING) {
            const hg_backend *m = list[i]->running_on;
            some = some || m != NULL;
            list[i]->is_cut_off = true;
            atomic_store(&list[i]->cancel, true);
        }
        (void)pthread_mutex_unlock(&list[i]->lock);
        hg_prediction_release(list[i]);
    }
    hg_free(list);
    return some;
}

void hg_predictions_stop(hg_predictions *all)
{
    const struct timespec nap = {.tv_nsec = 5 * 1000 * 1000};

    if (all == NULL || all->is_stopped) return;
    all->is_stopped = true;
    stop_starters(all);
    while (some_run(all)) (void)nanosleep(&nap, NULL);
    atomic_store(&all->keeper_ends, true);
    hg_predictions_wake(all);
    if (all->has_keeper) (void)pthread_join(all->keeper, NULL);
    if (all->has_keeper) keep_all(all);
    answer_waiters(all, true);
}

void hg_predictions_free(hg_predictions *all)
{
    if (all == NULL) return;
    hg_predictions_stop(all);
    for (hg_prediction *p = all->open, *next; p != NULL; p = next) {
        next = p->next;
        hg_prediction_release(p);
    }
    (void)pthread_cond_destroy(&all->wake);
    (void)pthread_mutex_destroy(&all->wake_lock);
    (void)pthread_cond_destroy(&all->more);
    (void)pthread_mutex_destroy(&all->lock);
    hg_free(all);
}
