/* getaddrinfo has no limit but what /etc/resolv.conf says, with servers that are dead perhaps a
 * minute, and cannot be interrupted. So a thread calls it, and whoever waits leaves it behind when
 * the time is over; whichever of the two lets go last frees what they share. */
#include "fetch/names.h"
#include "base/clock.h"

#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

typedef struct lookup {
    pthread_mutex_t lock; /* guards what follows the names */
    pthread_cond_t ended;
    char *host, *port;
    struct addrinfo *found;
    bool is_done, is_left; /* left: nobody waits */
} lookup;

static void free_lookup(lookup *l)
{
    if (l->found != NULL) freeaddrinfo(l->found);
    (void)pthread_cond_destroy(&l->ended);
    (void)pthread_mutex_destroy(&l->lock);
    hg_free(l->host);
    hg_free(l->port);
    hg_free(l);
}

static lookup *new_lookup(const char *host, const char *port)
{
    pthread_condattr_t by;
    lookup *l = hg_alloc(1, sizeof *l);

    if (l == NULL) return NULL;
    (void)pthread_mutex_init(&l->lock, NULL);
    (void)pthread_condattr_init(&by);
    (void)pthread_condattr_setclock(&by, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&l->ended, &by);
    (void)pthread_condattr_destroy(&by);
    l->host = hg_strdup(host);
    l->port = hg_strdup(port);
    if (l->host != NULL && l->port != NULL) return l;
    free_lookup(l);
    return NULL;
}

static void *run(void *ctx)
{
    const struct addrinfo want = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    lookup *l = ctx;

    if (getaddrinfo(l->host, l->port, &want, &found) != 0) found = NULL;
    (void)pthread_mutex_lock(&l->lock);
    l->found = found;
    l->is_done = true;
    const bool is_left = l->is_left;
    (void)pthread_cond_signal(&l->ended);
    (void)pthread_mutex_unlock(&l->lock);
    if (is_left) free_lookup(l);
    return NULL;
}

static bool start(lookup *l)
{
    pthread_attr_t alone;
    pthread_t t;

    if (pthread_attr_init(&alone) != 0) return false;
    (void)pthread_attr_setdetachstate(&alone, PTHREAD_CREATE_DETACHED);
    const bool ok = pthread_create(&t, &alone, run, l) == 0;
    (void)pthread_attr_destroy(&alone);
    return ok;
}

static struct timespec in(double seconds)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)seconds;
    until.tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return until;
}

/* False: the time was over; *l is the thread's then. A wait that is told to be over too early
 * (where the clock is somebody's toy) begins anew. */
static bool await(lookup *l, double seconds)
{
    const struct timespec until = in(seconds);
    const double end = hg_seconds() + seconds;

    (void)pthread_mutex_lock(&l->lock);
    while (!l->is_done && hg_seconds() < end)
        (void)pthread_cond_timedwait(&l->ended, &l->lock, &until);
    const bool is_done = l->is_done;
    l->is_left = !is_done;
    (void)pthread_mutex_unlock(&l->lock);
    return is_done;
}

hg_status hg_name_look_up(struct addrinfo **out, const char *host, const char *port, double seconds,
                          hg_err *e)
{
    lookup *l = new_lookup(host, port);

    *out = NULL;
    if (l == NULL) return hg_fail(e, HG_E_NOMEM, "no room to look up the host %.200s", host);
    if (!start(l)) {
        free_lookup(l);
        return hg_fail(e, HG_E_NOMEM, "no room for a thread to look up the host %.200s", host);
    }
    if (!await(l, seconds))
        return hg_fail(e, HG_E_IO, "the host %.200s was not found within %g s", host, seconds);
    *out = l->found;
    l->found = NULL;
    free_lookup(l);
    return *out != NULL ? HG_OK : hg_fail(e, HG_E_MISSING, "the host %.200s is not known", host);
}
