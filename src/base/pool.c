/* The thread pool. A job is a range cut into chunks. Each thread, the caller too, has a home: an
 * equal part of the chunks, which it takes one by one; then it helps the others with theirs until
 * none is left. Jobs that go over the same rows one after the other so find, in each core's cache,
 * what the one before left there.
 *
 * A job is published by a generation number. Workers spin on it for some microseconds (a matrix
 * product follows the last one at once), then go on looking while they offer their core to others
 * (between two tokens somebody chooses the first), then sleep on a condition variable, so that a
 * machine shared with others is not burned. A worker joins the job that is open; when nothing is
 * left the caller closes it and waits for those who joined alone, so that a worker whose core is
 * taken by somebody else holds nobody up. */
#include "base/pool.h"
#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

enum { MAX_THREADS = 256 };
static const double SPIN_SECONDS = 20e-6, YIELD_SECONDS = 200e-6;

/* The ticket: the job's generation above, then whether it is open, then how many workers are in. */
enum { GENERATION_SHIFT = 32 };
static const unsigned long long OPEN = 1ull << 31, JOINED = (1ull << 31) - 1;

typedef struct worker {
    hg_pool *pool;
    int index;
    pthread_t thread;
} worker;

/* Chunks [next, end) that nobody has taken; far enough from each other to share no line. */
typedef struct part {
    atomic_size_t next;
    size_t end;
    char away[112];
} part;

struct hg_pool {
    int n_threads;
    worker *workers; /* [n_threads - 1] */
    int n_started;
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    atomic_ullong ticket;
    atomic_int n_asleep;
    atomic_bool quit, is_awaited; /* the caller sleeps until the last worker is out */
    /* the job; written before its ticket, which nobody has joined */
    hg_pool_fn *fn;
    void *ctx;
    size_t n, grain;
    part *parts; /* [n_threads] */
};

int hg_cores(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    /* A container's share of the processors (cgroup v2): "max 100000" or "150000 100000". */
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (f != NULL) {
        char line[64] = "";
        if (fgets(line, sizeof line, f) != NULL && line[0] >= '0' && line[0] <= '9') {
            double quota = 0, period = 0;
            const char *p = line;
            for (; *p >= '0' && *p <= '9'; p++) quota = quota * 10 + (*p - '0');
            while (*p == ' ') p++;
            for (; *p >= '0' && *p <= '9'; p++) period = period * 10 + (*p - '0');
            int share = period > 0 ? (int)((quota + period - 1) / period) : n;
            if (share >= 1 && share < n) n = share;
        }
        (void)fclose(f);
    }
    return n < 1 ? 1 : n;
}

static void take_chunks(hg_pool *p, int thread)
{
    for (int i = 0; i < p->n_threads; i++) {
        part *home = &p->parts[(thread + i) % p->n_threads];
        for (;;) {
            const size_t chunk = atomic_fetch_add(&home->next, 1);
            if (chunk >= home->end) break;
            const size_t begin = chunk * p->grain, left = p->n - begin;
            p->fn(p->ctx, begin, left < p->grain ? p->n : begin + p->grain, thread);
        }
    }
}

/* Deals the chunks out, alike many for each. */
static void deal(hg_pool *p)
{
    const size_t n = p->n / p->grain + (p->n % p->grain != 0), n_threads = (size_t)p->n_threads;
    const size_t each = n / n_threads, more = n % n_threads;
    size_t at = 0;
    for (size_t t = 0; t < n_threads; t++) {
        atomic_store(&p->parts[t].next, at);
        at += each + (t < more);
        p->parts[t].end = at;
    }
}

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static unsigned generation_of(unsigned long long ticket)
{
    return (unsigned)(ticket >> GENERATION_SHIFT);
}

/* Whether a job came while it was looked for, for `seconds`. */
static bool spin(hg_pool *p, unsigned seen, double seconds, bool yields)
{
    const double until = hg_seconds() + seconds;
    do {
        for (int i = 0; i < (yields ? 1 : 64); i++) {
            if (generation_of(atomic_load(&p->ticket)) != seen) return true;
            relax();
        }
        if (yields) (void)sched_yield();
    } while (hg_seconds() < until);
    return false;
}

/* Waits until the generation is no longer `seen`; returns the new one. */
static unsigned await_job(hg_pool *p, unsigned seen)
{
    if (!spin(p, seen, SPIN_SECONDS, false) && !spin(p, seen, YIELD_SECONDS, true)) {
        (void)pthread_mutex_lock(&p->lock);
        atomic_fetch_add(&p->n_asleep, 1);
        while (generation_of(atomic_load(&p->ticket)) == seen)
            (void)pthread_cond_wait(&p->wake, &p->lock);
        atomic_fetch_sub(&p->n_asleep, 1);
        (void)pthread_mutex_unlock(&p->lock);
    }
    return generation_of(atomic_load(&p->ticket));
}

/* False when the job is closed already. */
static bool join(hg_pool *p, unsigned generation)
{
    unsigned long long t = atomic_load(&p->ticket);
    while ((t & OPEN) != 0 && generation_of(t) == generation)
        if (atomic_compare_exchange_weak(&p->ticket, &t, t + 1)) return true;
    return false;
}

static void leave(hg_pool *p)
{
    const unsigned long long left = atomic_fetch_sub(&p->ticket, 1) - 1;
    if ((left & (OPEN | JOINED)) != 0 || !atomic_load(&p->is_awaited)) return;
    (void)pthread_mutex_lock(&p->lock);
    (void)pthread_cond_signal(&p->done);
    (void)pthread_mutex_unlock(&p->lock);
}

static void *work(void *arg)
{
    sigset_t all;
    /* Signals are for the program's own threads, which know what to do with them. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, NULL);
    worker *w = arg;
    hg_pool *p = w->pool;
    unsigned seen = 0;
    for (;;) {
        seen = await_job(p, seen);
        if (atomic_load(&p->quit)) return NULL;
        if (!join(p, seen)) continue;
        take_chunks(p, w->index);
        leave(p);
    }
}

/* Opens what was written as the next job, and wakes who sleeps. */
static void publish(hg_pool *p)
{
    const unsigned long long next = generation_of(atomic_load(&p->ticket)) + 1ull;
    atomic_store(&p->ticket, (next & 0xffffffffu) << GENERATION_SHIFT | OPEN);
    if (atomic_load(&p->n_asleep) == 0) return;
    (void)pthread_mutex_lock(&p->lock);
    (void)pthread_cond_broadcast(&p->wake);
    (void)pthread_mutex_unlock(&p->lock);
}

static bool is_empty(hg_pool *p)
{
    return (atomic_load(&p->ticket) & JOINED) == 0;
}

/* Closes the job and waits for the workers that are in it. */
static void await_workers(hg_pool *p)
{
    const double until = hg_seconds() + SPIN_SECONDS;
    atomic_fetch_and(&p->ticket, ~OPEN);
    do {
        for (int i = 0; i < 64; i++) {
            if (is_empty(p)) return;
            relax();
        }
    } while (hg_seconds() < until);
    (void)pthread_mutex_lock(&p->lock);
    atomic_store(&p->is_awaited, true);
    while (!is_empty(p)) (void)pthread_cond_wait(&p->done, &p->lock);
    atomic_store(&p->is_awaited, false);
    (void)pthread_mutex_unlock(&p->lock);
}

void hg_pool_run(hg_pool *p, size_t n, size_t grain, hg_pool_fn *fn, void *ctx)
{
    if (n == 0) return;
    if (grain == 0) grain = 1;
    if (p == NULL || p->n_started == 0 || n <= grain) {
        /* The same chunk borders as with many threads, so that a sum a chunk is the same sum. */
        for (size_t begin = 0; begin < n; begin += grain) {
            size_t end = n - begin < grain ? n : begin + grain;
            fn(ctx, begin, end, 0);
            if (end == n) break;
        }
        return;
    }
    p->fn = fn;
    p->ctx = ctx;
    p->n = n;
    p->grain = grain;
    deal(p);
    publish(p);
    take_chunks(p, 0);
    await_workers(p);
}

hg_status hg_pool_new(hg_pool **out, int n_threads, hg_err *e)
{
    *out = NULL;
    if (n_threads < 0 || n_threads > MAX_THREADS)
        return hg_fail(e, HG_E_ARG, "%d threads; 0 (one for each core) to %d allowed", n_threads,
                       MAX_THREADS);
    if (n_threads == 0) n_threads = hg_cores() < MAX_THREADS ? hg_cores() : MAX_THREADS;
    hg_pool *p = hg_alloc(1, sizeof *p);
    worker *ws = hg_alloc((size_t)n_threads, sizeof *ws);
    part *parts = hg_alloc((size_t)n_threads, sizeof *parts);
    if (p == NULL || ws == NULL || parts == NULL) {
        hg_free(p);
        hg_free(ws);
        hg_free(parts);
        return hg_fail(e, HG_E_NOMEM, "no memory for a pool of %d threads", n_threads);
    }
    p->n_threads = n_threads;
    p->workers = ws;
    p->parts = parts;
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_cond_init(&p->wake, NULL);
    (void)pthread_cond_init(&p->done, NULL);
    for (int i = 1; i < n_threads; i++) {
        ws[i - 1] = (worker){.pool = p, .index = i};
        int err = pthread_create(&ws[i - 1].thread, NULL, work, &ws[i - 1]);
        if (err != 0) {
            hg_pool_free(p);
            return hg_fail(e, HG_E_NOMEM, "cannot start thread %d of %d: %s", i + 1, n_threads,
                           strerror(err));
        }
        p->n_started++;
    }
    *out = p;
    return HG_OK;
}

void hg_pool_free(hg_pool *p)
{
    if (p == NULL) return;
    atomic_store(&p->quit, true);
    publish(p);
    for (int i = 0; i < p->n_started; i++) (void)pthread_join(p->workers[i].thread, NULL);
    (void)pthread_cond_destroy(&p->done);
    (void)pthread_cond_destroy(&p->wake);
    (void)pthread_mutex_destroy(&p->lock);
    hg_free(p->workers);
    hg_free(p->parts);
    hg_free(p);
}

int hg_pool_threads(const hg_pool *p)
{
    return p == NULL ? 1 : p->n_threads;
}
