/* One thread, one lock, a ring of errands. */
#include "ranks/lane.h"
#include "base/mem.h"
#include <pthread.h>

typedef struct errand {
    hg_errand_fn *fn;
    void *ctx;
    size_t i;
} errand;

struct hg_lane {
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    errand queue[HG_LANE_ROOM];
    uint64_t n_given, n_done;
    bool is_closing;
    hg_status status; /* of the first that failed */
    hg_err err;
};

/* With the lock held, which is let go while the errand runs. */
static void run_next(hg_lane *l)
{
    const errand it = l->queue[l->n_done % HG_LANE_ROOM];
    hg_err e = {0};
    bool runs = l->status == HG_OK;
    (void)pthread_mutex_unlock(&l->lock);
    hg_status s = runs ? it.fn(it.ctx, it.i, &e) : HG_OK;
    (void)pthread_mutex_lock(&l->lock);
    if (s != HG_OK) {
        l->status = s;
        l->err = e;
    }
    l->n_done++;
    (void)pthread_cond_broadcast(&l->changed);
}

static void *run(void *ctx)
{
    hg_lane *l = ctx;
    (void)pthread_mutex_lock(&l->lock);
    while (l->n_done < l->n_given || !l->is_closing) {
        if (l->n_done < l->n_given)
            run_next(l);
        else
            (void)pthread_cond_wait(&l->changed, &l->lock);
    }
    (void)pthread_mutex_unlock(&l->lock);
    return NULL;
}

hg_status hg_lane_new(hg_lane **out, hg_err *e)
{
    hg_lane *l = hg_alloc(1, sizeof *l);
    *out = NULL;
    if (l == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a thread");
    (void)pthread_mutex_init(&l->lock, NULL);
    (void)pthread_cond_init(&l->changed, NULL);
    if (pthread_create(&l->thread, NULL, run, l) != 0) {
        (void)pthread_cond_destroy(&l->changed);
        (void)pthread_mutex_destroy(&l->lock);
        hg_free(l);
        return hg_fail(e, HG_E_NOMEM, "no room for a thread");
    }
    *out = l;
    return HG_OK;
}

void hg_lane_free(hg_lane *l)
{
    if (l == NULL) return;
    (void)pthread_mutex_lock(&l->lock);
    l->is_closing = true;
    (void)pthread_cond_broadcast(&l->changed);
    (void)pthread_mutex_unlock(&l->lock);
    (void)pthread_join(l->thread, NULL);
    (void)pthread_cond_destroy(&l->changed);
    (void)pthread_mutex_destroy(&l->lock);
    hg_free(l);
}

uint64_t hg_lane_give(hg_lane *l, hg_errand_fn *fn, void *ctx, size_t i)
{
    (void)pthread_mutex_lock(&l->lock);
    while (l->n_given - l->n_done >= HG_LANE_ROOM) (void)pthread_cond_wait(&l->changed, &l->lock);
    l->queue[l->n_given % HG_LANE_ROOM] = (errand){fn, ctx, i};
    uint64_t ticket = ++l->n_given;
    (void)pthread_cond_broadcast(&l->changed);
    (void)pthread_mutex_unlock(&l->lock);
    return ticket;
}

hg_status hg_lane_wait(hg_lane *l, uint64_t ticket, hg_err *e)
{
    (void)pthread_mutex_lock(&l->lock);
    while (l->n_done < ticket) (void)pthread_cond_wait(&l->changed, &l->lock);
    hg_status s = l->status == HG_OK ? HG_OK : hg_fail(e, l->status, "%s", l->err.msg);
    (void)pthread_mutex_unlock(&l->lock);
    return s;
}

hg_status hg_lane_wait_all(hg_lane *l, hg_err *e)
{
    (void)pthread_mutex_lock(&l->lock);
    uint64_t last = l->n_given;
    (void)pthread_mutex_unlock(&l->lock);
    return hg_lane_wait(l, last, e);
}
