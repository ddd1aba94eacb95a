/* See fetching.h: a thread for each link, of which there are few at a time, and fewer of one owner,
 * so that whoever names a slow sender keeps neither a desk nor the places of others. */
#include "serve/replicate/fetching.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

enum { MOST = 4, MOST_OF_ONE = 2 };

typedef struct fetched {
    struct fetched *next;
    hg_fetching *of;
    hg_exchange *x; /* held */
    hg_fetch ask;
    char *url;
    pthread_t thread;
    bool is_new;   /* its request was told to wait in this run of its handler */
    bool is_aside; /* and that has returned */
    bool is_done;  /* then the rest is there, and the thread takes no lock any more */
    hg_status s;
    int status;
    hg_buf body;
    hg_err why;
} fetched;

struct hg_fetching {
    pthread_mutex_t lock; /* guards what follows, and all of `fetched` but what is fetched */
    fetched *first;
    atomic_bool is_closing; /* ends what is being fetched */
};

/* ---- the lock is held ---- */
static fetched *find(const hg_fetching *f, const hg_exchange *x, const char *url)
{
    fetched *one = f->first;

    while (one != NULL && (one->x != x || strcmp(one->url, url) != 0)) one = one->next;
    return one;
}

static bool has_place(const hg_fetching *f, const hg_exchange *x)
{
    unsigned n = 0, n_own = 0;

    for (const fetched *one = f->first; one != NULL; one = one->next) {
        n += !one->is_done;
        n_own += !one->is_done && strcmp(hg_exchange_owner(one->x), hg_exchange_owner(x)) == 0;
    }
    return n < MOST && n_own < MOST_OF_ONE && !atomic_load(&f->is_closing);
}

static void drop(fetched **at)
{
    fetched *one = *at;

    *at = one->next;
    (void)pthread_join(one->thread, NULL);
    hg_exchange_release(one->x);
    hg_buf_free(&one->body);
    hg_free(one->url);
    hg_free(one);
}

/* ---- a thread for each ---- */
static void *fetch(void *ctx)
{
    fetched *one = ctx;
    hg_fetching *f = one->of;
    sigset_t all;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, NULL);
    one->s = hg_fetch_run(&one->ask, &one->status, &one->body, &one->why);
    (void)pthread_mutex_lock(&f->lock);
    one->is_done = true;
    if (one->is_aside && !atomic_load(&f->is_closing)) hg_exchange_requeue(one->x);
    (void)pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* With the lock. */
static hg_status begin(hg_fetching *f, hg_exchange *x, const hg_fetch *ask, hg_err *e)
{
    fetched *one = has_place(f, x) ? hg_alloc(1, sizeof *one) : NULL;

    if (one == NULL)
        return hg_fail(e, HG_E_NOMEM,
                       "other data is being fetched already; try again, or upload it as a file");
    *one = (fetched){.next = f->first, .of = f, .x = x, .ask = *ask, .is_new = true};
    one->url = hg_strdup(ask->url);
    one->ask.url = one->url;
    one->ask.stop = &f->is_closing;
    if (one->url == NULL || pthread_create(&one->thread, NULL, fetch, one) != 0) {
        hg_free(one->url);
        hg_free(one);
        return hg_fail(e, HG_E_NOMEM, "no room to fetch data; try again");
    }
    hg_exchange_hold(x);
    f->first = one;
    hg_exchange_withhold(x);
    return hg_fail(e, HG_E_STATE, "the data is being fetched");
}

/* ---- desks ---- */
hg_status hg_fetching_get(hg_fetching *f, hg_exchange *x, const hg_fetch *ask, int *status,
                          hg_bytes *body, hg_err *e)
{
    (void)pthread_mutex_lock(&f->lock);
    const fetched *one = find(f, x, ask->url);
    hg_status s = one != NULL ? one->s : begin(f, x, ask, e);
    (void)pthread_mutex_unlock(&f->lock);
    if (one == NULL) return s;
    *status = one->status;
    *body = (hg_bytes){one->body.n > 0 ? one->body.p : "", one->body.n};
    return s == HG_OK ? s : hg_fail(e, s, "%s", one->why.msg);
}

void hg_fetching_after(hg_fetching *f, hg_exchange *x)
{
    bool waits = false;

    (void)pthread_mutex_lock(&f->lock);
    for (fetched *one = f->first; one != NULL; one = one->next) {
        if (one->x != x || !one->is_new) continue;
        waits = true;
        one->is_new = false;
        one->is_aside = true;
        if (one->is_done) hg_exchange_requeue(x); /* it came meanwhile */
    }
    for (fetched **at = &f->first; *at != NULL && !waits;)
        if ((*at)->x == x)
            drop(at);
        else
            at = &(*at)->next;
    (void)pthread_mutex_unlock(&f->lock);
}

/* ---- life ---- */
hg_status hg_fetching_new(hg_fetching **out, hg_err *e)
{
    hg_fetching *f = hg_alloc(1, sizeof *f);

    *out = f;
    if (f == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the server");
    (void)pthread_mutex_init(&f->lock, NULL);
    return HG_OK;
}

void hg_fetching_stop(hg_fetching *f)
{
    if (f == NULL) return;
    (void)pthread_mutex_lock(&f->lock);
    atomic_store(&f->is_closing, true);
    (void)pthread_mutex_unlock(&f->lock);
}

/* No desk is left. */
void hg_fetching_free(hg_fetching *f)
{
    if (f == NULL) return;
    while (f->first != NULL) drop(&f->first);
    (void)pthread_mutex_destroy(&f->lock);
    hg_free(f);
}
