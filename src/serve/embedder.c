/* How texts become vectors while others chat: each text is worked off in a session beside the
 * engine, so that no conversation loses its cache to it. Between two texts the thread looks whose
 * turn it is: that of the owner for whom the fewest tokens were read. Who comes anew begins where
 * the others are (fair queueing by virtual time, Goyal et al. 1996), so that nobody is made to wait
 * for what he had before. */
#include "serve/embedder.h"
#include "infer/session.h"

#include <pthread.h>
#include <signal.h>

struct hg_embedder {
    const hg_model *m;
    const hg_runtime *beside; /* the engine's, for threads and instructions */
    uint32_t n_ctx, max_queue;
    pthread_mutex_t lock; /* guards what follows, up to the thread's own */
    pthread_cond_t more;
    pthread_t thread;
    bool has_thread, closing;
    hg_embed_job *first; /* the oldest request first; the running one, too */
    const hg_embed_job *running;
    uint32_t n_jobs;
    uint64_t n_done, n_refused, n_tokens;
    /* the thread's own */
    hg_runtime *rt;
    hg_session *reader;
};

/* ---- the queue; the lock is held ---- */
static bool is_listed(const hg_embedder *em, const hg_embed_job *job)
{
    const hg_embed_job *j = em->first;

    while (j != NULL && j != job) j = j->next;
    return j != NULL;
}

static void unlink_job(hg_embedder *em, const hg_embed_job *job)
{
    hg_embed_job **at = &em->first;

    while (*at != job) at = &(*at)->next;
    *at = job->next;
    em->n_jobs--;
    em->n_done++;
}

/* Sets where it stands among the turns, and appends it. */
static void link_job(hg_embedder *em, hg_embed_job *job, const hg_embed_job *of_owner)
{
    hg_embed_job **at = &em->first;

    job->n_read = of_owner != NULL ? of_owner->n_read : em->first != NULL ? em->first->n_read : 0;
    for (; *at != NULL; at = &(*at)->next)
        if (of_owner == NULL && (*at)->n_read < job->n_read) job->n_read = (*at)->n_read;
    job->next = NULL;
    *at = job;
    em->n_jobs++;
}

static hg_embed_job *next_turn(const hg_embedder *em)
{
    hg_embed_job *best = em->first;

    for (hg_embed_job *j = best; j != NULL; j = j->next)
        if (j->n_read < best->n_read) best = j;
    return best;
}

static void count_read(hg_embedder *em, const hg_embed_job *job)
{
    const size_t n = job->texts[job->n_done].n;
    const uint64_t owner = job->owner;

    for (hg_embed_job *j = em->first; j != NULL; j = j->next)
        if (j->owner == owner) j->n_read += n;
}

/* ---- the thread ---- */
static hg_status make_reader(hg_embedder *em, hg_err *e)
{
    const hg_session_options so = {.n_ctx = em->n_ctx};

    if (em->reader != NULL) return HG_OK;
    if (em->rt == NULL)
        HG_TRY(
            hg_runtime_new(&em->rt, hg_runtime_threads(em->beside), hg_runtime_isa(em->beside), e));
    return hg_session_new(&em->reader, em->m, em->rt, &so, e);
}

static hg_status make_room(hg_embedder *em, hg_embed_job *job, hg_err *e)
{
    const size_t d = hg_model_get_config(em->m)->d_model;

    if (job->out == NULL) job->out = hg_alloc(job->n * d, sizeof *job->out);
    return job->out != NULL ? HG_OK : hg_fail(e, HG_E_NOMEM, "no room for the vectors");
}

static hg_status embed_next(hg_embedder *em, hg_embed_job *job, hg_err *e)
{
    const size_t d = hg_model_get_config(em->m)->d_model;
    const hg_ids *ids = &job->texts[job->n_done];

    if (atomic_load(&job->stop)) return hg_fail(e, HG_E_CANCELED, "the model is closing");
    HG_TRY(make_reader(em, e));
    HG_TRY(make_room(em, job, e));
    return hg_session_embed_until(em->reader, ids->id, ids->n, HG_POOL_MEAN, true, &job->stop,
                                  job->out + job->n_done * d, e);
}

/* One text of whose turn it is; the lock is held before and after. */
static void take_turn(hg_embedder *em)
{
    hg_embed_job *job = next_turn(em);
    hg_err e = {0};

    em->running = job;
    (void)pthread_mutex_unlock(&em->lock);
    const hg_status s = embed_next(em, job, &e);
    (void)pthread_mutex_lock(&em->lock);
    em->running = NULL;
    count_read(em, job);
    if (s == HG_OK) em->n_tokens += job->texts[job->n_done].n;
    if (s == HG_OK && ++job->n_done < job->n) return;
    unlink_job(em, job);
    (void)pthread_mutex_unlock(&em->lock);
    job->on_end(job->ctx, s, e.msg);
    (void)pthread_mutex_lock(&em->lock);
}

static void *work_off(void *p)
{
    hg_embedder *em = p;
    sigset_t all;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, NULL);
    (void)pthread_mutex_lock(&em->lock);
    while (em->first != NULL || !em->closing) {
        if (em->first != NULL)
            take_turn(em);
        else
            (void)pthread_cond_wait(&em->more, &em->lock);
    }
    (void)pthread_mutex_unlock(&em->lock);
    return NULL;
}

/* ---- any thread ---- */
static hg_status check_lengths(const hg_embedder *em, const hg_embed_job *job, hg_err *e)
{
    for (size_t i = 0; i < job->n; i++)
        if (job->texts[i].n >= em->n_ctx)
            return hg_fail(e, HG_E_LIMIT, "the text has %zu tokens; the model's context is %u",
                           job->texts[i].n, em->n_ctx);
    return HG_OK;
}

static hg_status enter(hg_embedder *em, hg_embed_job *job, hg_err *e)
{
    const hg_embed_job *own = em->first;

    while (own != NULL && own->owner != job->owner) own = own->next;
    const uint32_t kept = own != NULL || em->first == NULL ? 0 : em->max_queue / 4 + 1;
    if (em->closing) return hg_fail(e, HG_E_STATE, "the model is closing");
    if (em->n_jobs > em->max_queue + kept)
        return hg_fail(e, HG_E_STATE,
                       "%u requests for embeddings are open already; try again later", em->n_jobs);
    if (!em->has_thread && pthread_create(&em->thread, NULL, work_off, em) != 0)
        return hg_fail(e, HG_E_STATE, "the system gives no thread for embeddings; try again later");
    em->has_thread = true;
    link_job(em, job, own);
    (void)pthread_cond_signal(&em->more);
    return HG_OK;
}

hg_status hg_embedder_submit(hg_embedder *em, hg_embed_job *job, hg_err *e)
{
    HG_TRY(check_lengths(em, job, e));
    (void)pthread_mutex_lock(&em->lock);
    const hg_status s = enter(em, job, e);
    if (s != HG_OK) em->n_refused++;
    (void)pthread_mutex_unlock(&em->lock);
    return s;
}

void hg_embedder_look(hg_embedder *em, hg_embedder_state *out)
{
    (void)pthread_mutex_lock(&em->lock);
    const uint32_t n_running = em->running != NULL;
    *out = (hg_embedder_state){.n_running = n_running,
                               .n_waiting = em->n_jobs - n_running,
                               .n_done = em->n_done,
                               .n_refused = em->n_refused,
                               .n_tokens = em->n_tokens};
    (void)pthread_mutex_unlock(&em->lock);
}

void hg_embedder_cancel(hg_embedder *em, hg_embed_job *job)
{
    (void)pthread_mutex_lock(&em->lock);
    atomic_store(&job->stop, true);
    const bool waits = job != em->running && is_listed(em, job);
    if (waits) unlink_job(em, job);
    (void)pthread_mutex_unlock(&em->lock);
    if (waits) job->on_end(job->ctx, HG_E_CANCELED, "it was canceled");
}

/* ---- life ---- */
hg_status hg_embedder_new(hg_embedder **out, const hg_model *m, const hg_runtime *rt,
                          uint32_t n_ctx, uint32_t max_queue, hg_err *e)
{
    hg_embedder *em = hg_alloc(1, sizeof *em);

    *out = NULL;
    if (em == NULL) return hg_fail(e, HG_E_NOMEM, "no room for embeddings");
    em->m = m;
    em->beside = rt;
    em->n_ctx = n_ctx;
    em->max_queue = max_queue;
    (void)pthread_mutex_init(&em->lock, NULL);
    (void)pthread_cond_init(&em->more, NULL);
    *out = em;
    return HG_OK;
}

void hg_embedder_free(hg_embedder *em)
{
    if (em == NULL) return;
    (void)pthread_mutex_lock(&em->lock);
    em->closing = true;
    for (hg_embed_job *j = em->first; j != NULL; j = j->next) atomic_store(&j->stop, true);
    (void)pthread_cond_signal(&em->more);
    (void)pthread_mutex_unlock(&em->lock);
    if (em->has_thread) (void)pthread_join(em->thread, NULL);
    hg_session_free(em->reader);
    hg_runtime_free(em->rt);
    (void)pthread_cond_destroy(&em->more);
    (void)pthread_mutex_destroy(&em->lock);
    hg_free(em);
}
