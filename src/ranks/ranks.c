/* Ranks and their small messages. Sums of a few numbers go over rank 0, which adds them in order:
 * a step has a few of them, and their price is latency, not bytes. A rank that computes is waited
 * for as long as it takes; one that gives no sign of life (beats.c) within the patience is lost,
 * which the rank that watches it says, and the program ends all ranks. */
#include "base/mem.h"
#include "ranks/ranks_impl.h"
#include <dlfcn.h>
#include <sched.h>
#include <string.h>
#include <time.h>

enum {
    SPINS = 4096, /* tests before the processor is offered to others */
    NAP_NS = 20000
};

void hg_ranks_options_init(hg_ranks_options *o)
{
    /* A machine that swaps or a link that fails over may be silent for minutes. Slurm kills half a
     * minute after it asked for an end: time enough to say why. */
    *o = (hg_ranks_options){.patience_s = 300, .hasty_s = 20};
}

int hg_ranks_me(const hg_ranks *r)
{
    return r != NULL ? r->t.rank : 0;
}

int hg_ranks_n(const hg_ranks *r)
{
    return r != NULL ? r->t.n : 1;
}

int hg_ranks_n_local(const hg_ranks *r)
{
    return r != NULL ? r->t.n_local : 1;
}

const char *hg_ranks_name(const hg_ranks *r)
{
    return r != NULL ? r->t.name : "";
}

const hg_watch *hg_ranks_watch(const hg_ranks *r, const hg_watch *w, hg_watch *room)
{
    if (hg_ranks_me(r) == 0) return w;
    *room = (hg_watch){.stop = w != NULL ? w->stop : NULL};
    return room;
}

/* ---- joining and leaving ---- */

static hg_status check_size(const hg_transport *t, const hg_ranks_options *o, hg_err *e)
{
    if (o->n_expected > 0 && o->n_expected != t->n)
        return hg_fail(e, HG_E_STATE,
                       "the launcher started %d tasks, %s sees %d: each would train alone; launch "
                       "with the mpirun of %s, or srun --mpi=pmix for Open MPI and --mpi=pmi2 for "
                       "MPICH",
                       o->n_expected, t->name, t->n, t->name);
    if (t->n < 1 || t->n > HG_MAX_RANKS)
        return hg_fail(e, HG_E_STATE, "%d ranks; 1 to %d allowed", t->n, HG_MAX_RANKS);
    return HG_OK;
}

hg_status hg_ranks_new(hg_ranks **out, const hg_transport *t, const hg_ranks_options *o, hg_err *e)
{
    hg_ranks *r = hg_alloc(1, sizeof *r);
    hg_status s = HG_OK;
    *out = NULL;
    if (r == NULL) {
        t->close(t->ctx);
        return hg_fail(e, HG_E_NOMEM, "no room for a rank");
    }
    r->t = *t;
    (void)pthread_mutex_init(&r->lock, NULL);
    r->patience_s = o->patience_s;
    r->hasty_s = o->hasty_s;
    r->stop = o->stop;
    for (int i = 0; i < WINDOW && s == HG_OK; i++) {
        r->out[i] = hg_alloc(HG_PIECE, sizeof(float));
        r->in[i] = hg_alloc(HG_PIECE, sizeof(float));
        if (r->out[i] == NULL || r->in[i] == NULL)
            s = hg_fail(e, HG_E_NOMEM, "no room for the messages of a rank");
    }
    if (s == HG_OK) s = check_size(t, o, e);
    if (s == HG_OK) s = hg_beats_begin(r, e);
    if (s == HG_OK)
        *out = r;
    else
        hg_ranks_close(r);
    return s;
}

static hg_status load(void *plugin, const char *path, hg_transport *t, void *room, hg_err *e)
{
    hg_transport_open_fn *open_ = NULL;
    void *symbol = dlsym(plugin, HG_TRANSPORT_SYMBOL);
    memset(t, 0, sizeof *t);
    memcpy(&open_, &symbol, sizeof open_); /* C has no cast from data to functions */
    const char *wrong = open_ == NULL ? "not a plug-in of Higgins" : open_(t, room);
    if (wrong != NULL) return hg_fail(e, HG_E_STATE, "%s: %s", path, wrong);
    if (t->version == HG_TRANSPORT_VERSION) return HG_OK;
    return hg_fail(e, HG_E_STATE, "%s: a plug-in of version %d; this program takes %d", path,
                   t->version, HG_TRANSPORT_VERSION);
}

hg_status hg_ranks_open(hg_ranks **out, const hg_ranks_options *o, hg_err *e)
{
    hg_transport t;
    *out = NULL;
    /* Open MPI opens parts of itself that look its symbols up globally. */
    void *plugin = dlopen(o->plugin, RTLD_NOW | RTLD_GLOBAL);
    if (plugin == NULL)
        return hg_fail(e, HG_E_MISSING,
                       "cannot load %s (%s); build with that MPI installed, or launch one process "
                       "alone",
                       o->plugin, dlerror());
    void *room = hg_alloc(1, HG_TRANSPORT_ROOM);
    hg_status s = room == NULL ? hg_fail(e, HG_E_NOMEM, "no room for a rank") : HG_OK;
    if (s == HG_OK) s = load(plugin, o->plugin, &t, room, e);
    if (s == HG_OK) s = hg_ranks_new(out, &t, o, e);
    if (s == HG_OK)
        (*out)->room = room;
    else
        hg_free(room);
    return s; /* a library that has been MPI once is never unloaded */
}

void hg_ranks_close(hg_ranks *r)
{
    if (r == NULL) return;
    hg_beats_end(r);
    r->t.close(r->t.ctx);
    (void)pthread_mutex_destroy(&r->lock);
    for (int i = 0; i < WINDOW; i++) {
        hg_free(r->out[i]);
        hg_free(r->in[i]);
    }
    hg_free(r->room);
    hg_free(r);
}

void hg_ranks_before_telling(const hg_ranks *r)
{
    const struct timespec second = {.tv_sec = 1};
    if (hg_ranks_me(r) != 0) (void)nanosleep(&second, NULL);
}

void hg_ranks_abort(hg_ranks *r)
{
    if (r == NULL) return;
    (void)pthread_mutex_lock(&r->lock); /* the beats' thread is in no call then */
    r->t.abort(r->t.ctx);
    (void)pthread_mutex_unlock(&r->lock);
}

/* ---- messages ---- */

static hg_status failed(const hg_ranks *r, int peer, const char *what, hg_err *e)
{
    return hg_fail(e, HG_E_IO,
                   "rank %d: rank %d is lost (%s); all ranks end, go on from the last checkpoint "
                   "with --resume",
                   r->t.rank, peer, what);
}

hg_status hg_ranks_begin_send(hg_ranks *r, int slot, const void *p, size_t n, int to, hg_err *e)
{
    (void)pthread_mutex_lock(&r->lock);
    const char *wrong = r->t.send(r->t.ctx, slot, p, n, to);
    hg_status s = wrong == NULL ? HG_OK : failed(r, to, wrong, e);
    (void)pthread_mutex_unlock(&r->lock);
    return s;
}

hg_status hg_ranks_begin_receive(hg_ranks *r, int slot, void *p, size_t n, int from, hg_err *e)
{
    (void)pthread_mutex_lock(&r->lock);
    const char *wrong = r->t.receive(r->t.ctx, slot, p, n, from);
    hg_status s = wrong == NULL ? HG_OK : failed(r, from, wrong, e);
    (void)pthread_mutex_unlock(&r->lock);
    return s;
}

hg_status hg_ranks_test(hg_ranks *r, int slot, int peer, bool *done, hg_err *e)
{
    *done = false;
    (void)pthread_mutex_lock(&r->lock);
    const char *wrong = r->t.test(r->t.ctx, slot, done);
    hg_status s = wrong == NULL ? HG_OK : failed(r, peer, wrong, e);
    (void)pthread_mutex_unlock(&r->lock);
    return s;
}

/* A ring that waits long leaves the processor to the passes beside it. */
static void pause_for(int slot)
{
    const struct timespec nap = {.tv_nsec = NAP_NS};
    if (slot < HG_SMALL_SLOTS)
        (void)nanosleep(&nap, NULL);
    else
        (void)sched_yield();
}

hg_status hg_ranks_finish(hg_ranks *r, int slot, int peer, hg_err *e)
{
    for (uint64_t spin = 0;; spin++) {
        bool done = false;
        HG_TRY(hg_ranks_test(r, slot, peer, &done, e));
        if (done) return HG_OK;
        if (spin < SPINS) continue;
        const bool is_asked = r->stop != NULL && atomic_load(r->stop);
        if (hg_beats_silence(r) > (is_asked ? r->hasty_s : r->patience_s))
            return failed(r, hg_beats_watched(r), "no sign of life from it", e);
        pause_for(slot);
    }
}

hg_status hg_ranks_send(hg_ranks *r, const void *p, size_t n, int to, hg_err *e)
{
    HG_TRY(hg_ranks_begin_send(r, SMALL_SEND, p, n, to, e));
    return hg_ranks_finish(r, SMALL_SEND, to, e);
}

hg_status hg_ranks_receive(hg_ranks *r, void *p, size_t n, int from, hg_err *e)
{
    HG_TRY(hg_ranks_begin_receive(r, SMALL_RECEIVE, p, n, from, e));
    return hg_ranks_finish(r, SMALL_RECEIVE, from, e);
}

hg_status hg_ranks_share(hg_ranks *r, void *p, size_t n, hg_err *e)
{
    if (r == NULL) return HG_OK;
    if (r->t.rank > 0) return hg_ranks_receive(r, p, n, 0, e);
    for (int to = 1; to < r->t.n; to++) HG_TRY(hg_ranks_send(r, p, n, to, e));
    return HG_OK;
}

hg_status hg_ranks_sum(hg_ranks *r, double *x, size_t n, hg_err *e)
{
    double room[16];
    if (r == NULL) return HG_OK;
    if (n > sizeof room / sizeof *room) return hg_fail(e, HG_E_LIMIT, "a sum of %zu numbers", n);
    if (r->t.rank > 0) HG_TRY(hg_ranks_send(r, x, n * sizeof *x, 0, e));
    for (int from = 1; r->t.rank == 0 && from < r->t.n; from++) {
        HG_TRY(hg_ranks_receive(r, room, n * sizeof *x, from, e));
        for (size_t i = 0; i < n; i++) x[i] += room[i];
    }
    return hg_ranks_share(r, x, n * sizeof *x, e);
}

hg_status hg_ranks_wait_for_all(hg_ranks *r, hg_err *e)
{
    double nothing = 0;
    return hg_ranks_sum(r, &nothing, 1, e);
}
