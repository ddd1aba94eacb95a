/* Signs of life. Who waits for another rank cannot tell by its silence whether it is lost or has
 * much to do: a sample, a checkpoint and a long step take as long as they take. So a thread of each
 * rank beats: every second or so it sends a word to the next rank of the ring, whatever else its
 * process computes, and counts how many of its own beats ago the rank before it was heard. It
 * counts beats and not seconds, so that a process that was itself stopped takes nobody else for
 * lost. Each rank is watched by one other, so that one rank tells of a loss. */
#include "base/clock.h"
#include "ranks/ranks_impl.h"
#include <errno.h>
#include <time.h>

enum {
    BEAT = 1,
    LEAVES,
    BEATS_A_PATIENCE = 20,
    NAP_NS = 1000000,
};

int hg_beats_watched(const hg_ranks *r)
{
    return (r->t.rank + r->t.n - 1) % r->t.n;
}

double hg_beats_silence(const hg_ranks *r)
{
    return (double)atomic_load(&r->beats.silent) * r->beats.every_s;
}

/* What goes wrong with a message here is silence; whoever waits hears of it himself. */
static bool is_done(hg_ranks *r, int slot)
{
    hg_err e;
    bool done = false;
    if (hg_ranks_test(r, slot, hg_beats_watched(r), &done, &e) != HG_OK) r->beats.is_broken = true;
    return done;
}

static void speak(hg_ranks *r, uint32_t word)
{
    hg_beats *b = &r->beats;
    hg_err e;
    if (b->is_sending && !is_done(r, BEAT_SEND)) return; /* who does not listen needs no more */
    b->out = word;
    b->is_sending = hg_ranks_begin_send(r, BEAT_SEND, &b->out, sizeof b->out,
                                        (r->t.rank + 1) % r->t.n, &e) == HG_OK;
}

/* All words that have come meanwhile. One that leaves is silent from then on. */
static void listen(hg_ranks *r)
{
    hg_beats *b = &r->beats;
    hg_err e;
    while (!b->has_left) {
        if (!b->is_receiving)
            b->is_receiving = hg_ranks_begin_receive(r, BEAT_RECEIVE, &b->in, sizeof b->in,
                                                     hg_beats_watched(r), &e) == HG_OK;
        if (!b->is_receiving || !is_done(r, BEAT_RECEIVE)) return;
        b->is_receiving = false;
        b->has_left = b->in == LEAVES;
        if (!b->has_left) atomic_store(&b->silent, 0);
    }
}

static void beat(hg_ranks *r, uint32_t word)
{
    speak(r, word);
    listen(r);
    (void)atomic_fetch_add(&r->beats.silent, 1);
}

/* False when it is time to close. */
static bool wait_for_next(hg_beats *b)
{
    struct timespec until;
    const double at = hg_seconds() + b->every_s;
    until.tv_sec = (time_t)at;
    until.tv_nsec = (long)((at - (double)until.tv_sec) * 1e9);
    (void)pthread_mutex_lock(&b->lock);
    while (!b->is_closing && pthread_cond_timedwait(&b->changed, &b->lock, &until) != ETIMEDOUT) {
    }
    const bool goes_on = !b->is_closing;
    (void)pthread_mutex_unlock(&b->lock);
    return goes_on;
}

static void *run(void *ctx)
{
    hg_ranks *r = ctx;
    do beat(r, BEAT);
    while (wait_for_next(&r->beats));
    return NULL;
}

hg_status hg_beats_begin(hg_ranks *r, hg_err *e)
{
    hg_beats *b = &r->beats;
    pthread_condattr_t by;
    if (r->t.n < 2) return HG_OK;
    b->every_s = (r->hasty_s < r->patience_s ? r->hasty_s : r->patience_s) / BEATS_A_PATIENCE;
    (void)pthread_mutex_init(&b->lock, NULL);
    (void)pthread_condattr_init(&by);
    (void)pthread_condattr_setclock(&by, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&b->changed, &by);
    (void)pthread_condattr_destroy(&by);
    b->has_thread = pthread_create(&b->thread, NULL, run, r) == 0;
    if (b->has_thread) return HG_OK;
    (void)pthread_cond_destroy(&b->changed);
    (void)pthread_mutex_destroy(&b->lock);
    return hg_fail(e, HG_E_NOMEM, "no room for a thread");
}

void hg_beats_end(hg_ranks *r)
{
    const struct timespec nap = {.tv_nsec = NAP_NS};
    hg_beats *b = &r->beats;
    if (!b->has_thread) return;
    (void)pthread_mutex_lock(&b->lock);
    b->is_closing = true;
    (void)pthread_cond_broadcast(&b->changed);
    (void)pthread_mutex_unlock(&b->lock);
    (void)pthread_join(b->thread, NULL);
    bool is_told = false;
    double start = hg_seconds();
    while ((!is_told || !b->has_left) && !b->is_broken && hg_seconds() - start < r->hasty_s) {
        atomic_store(&b->silent, 1);
        if (!is_told && (!b->is_sending || is_done(r, BEAT_SEND))) {
            b->is_sending = false;
            speak(r, LEAVES);
            is_told = true;
        }
        listen(r);
        if (atomic_load(&b->silent) == 0) start = hg_seconds();
        (void)nanosleep(&nap, NULL);
    }
    (void)pthread_cond_destroy(&b->changed);
    (void)pthread_mutex_destroy(&b->lock);
}
