/* The queue of predictions: owners take turns, each in the order in which it asked, and a model
 * that has no room just now holds up none but its own. */
#include "base/clock.h"
#include "serve/replicate/predictions_impl.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static const double FULL_S = 0.02; /* until a model without room is asked again */

void hg_predictions_enqueue(hg_predictions *all, hg_prediction *p, bool first)
{
    hg_prediction_hold(p);
    hg_predictions_lock(all);
    p->is_given = false;
    p->next_queued = first ? all->queue : NULL;
    if (all->queue == NULL || !first)
        *(all->queue == NULL ? &all->queue : &all->queue_end->next_queued) = p;
    if (first) all->queue = p;
    if (p->next_queued == NULL) all->queue_end = p;
    all->n_queued++;
    (void)pthread_cond_signal(&all->more);
    hg_predictions_unlock(all);
}

void hg_predictions_note_full(hg_predictions *all, const char *backend)
{
    const double until = hg_seconds() + FULL_S;
    size_t at = 0;

    hg_predictions_lock(all);
    for (size_t i = 0; i < MOST_FULL; i++)
        if (all->full[i].until < all->full[at].until) at = i;
    (void)snprintf(all->full[at].backend, sizeof all->full[at].backend, "%s", backend);
    all->full[at].until = until;
    hg_predictions_unlock(all);
}

static bool is_full(const hg_predictions *all, const char *backend, double now)
{
    for (size_t i = 0; i < MOST_FULL; i++)
        if (all->full[i].until > now && strcmp(all->full[i].backend, backend) == 0) return true;
    return false;
}

static size_t count_given(const hg_predictions *all, uint64_t owner)
{
    size_t n = 0;

    for (const hg_prediction *p = all->open; p != NULL; p = p->next)
        n += p->is_given && p->owner_key == owner;
    return n;
}

static bool is_behind_another(const hg_predictions *all, const hg_prediction *p)
{
    for (int i = 0; i < N_STARTERS; i++) {
        const hg_prediction *one = all->in_hand[i];
        if (one != NULL && one->owner_key == p->owner_key && strcmp(one->backend, p->backend) == 0)
            return true;
    }
    return false;
}

/* Where the next stands in the queue: of the owner who has the fewest under way, the first that has
 * room. NULL: none has. */
static hg_prediction **choose_locked(hg_predictions *all)
{
    const double now = hg_seconds();
    hg_prediction **best = NULL;
    size_t least = SIZE_MAX;

    for (hg_prediction **at = &all->queue; *at != NULL && least > 0; at = &(*at)->next_queued) {
        if (best != NULL && (*best)->owner_key == (*at)->owner_key) continue;
        if (is_full(all, (*at)->backend, now) || is_behind_another(all, *at)) continue;
        const size_t n = count_given(all, (*at)->owner_key);
        if (n >= least) continue;
        least = n;
        best = at;
    }
    return best;
}

static hg_prediction *take_queued_locked(hg_predictions *all, hg_prediction **at)
{
    hg_prediction *p = *at, *before = NULL;

    for (hg_prediction *q = all->queue; q != p; q = q->next_queued) before = q;
    *at = p->next_queued;
    if (all->queue_end == p) all->queue_end = before;
    p->next_queued = NULL;
    p->is_given = true;
    all->n_queued--;
    return p;
}

static void pick_up_locked(hg_predictions *all, const hg_prediction *p)
{
    int i = 0;

    while (all->in_hand[i] != NULL) i++; /* a starter has one at a time */
    all->in_hand[i] = p;
}

void hg_predictions_put_down(hg_predictions *all, const hg_prediction *p)
{
    hg_predictions_lock(all);
    for (int i = 0; i < N_STARTERS; i++)
        if (all->in_hand[i] == p) all->in_hand[i] = NULL;
    (void)pthread_cond_signal(&all->more);
    hg_predictions_unlock(all);
}

static void wait_for_room_locked(hg_predictions *all)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(FULL_S * 1e9);
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_cond_timedwait(&all->more, &all->lock, &until);
}

hg_prediction *hg_predictions_dequeue(hg_predictions *all)
{
    hg_prediction *p = NULL;

    hg_predictions_lock(all);
    while (p == NULL && !all->is_stopping) {
        hg_prediction **at = choose_locked(all);
        if (at != NULL)
            p = take_queued_locked(all, at);
        else if (all->queue != NULL)
            wait_for_room_locked(all);
        else
            (void)pthread_cond_wait(&all->more, &all->lock);
    }
    if (p != NULL) pick_up_locked(all, p);
    hg_predictions_unlock(all);
    return p;
}

void hg_predictions_empty_queue(hg_predictions *all)
{
    while (all->queue != NULL) hg_prediction_release(take_queued_locked(all, &all->queue));
}
