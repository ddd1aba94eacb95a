/* The texts of one model that are to become vectors: a queue beside its engine, and one thread that
 * works it off text by text. Owners take turns by the tokens that were read for them, so that who
 * asks for much waits behind himself. */
#ifndef HG_SERVE_EMBEDDER_H
#define HG_SERVE_EMBEDDER_H

#include <higgins/infer.h>

typedef struct hg_embedder hg_embedder;

/* What one request asks for. It must stay where it is until on_end. */
typedef struct hg_embed_job hg_embed_job;
struct hg_embed_job {
    const hg_ids *texts; /* [n], none of them empty */
    size_t n;
    uint64_t owner;
    /* Once, from any thread and without a lock; the job is in nobody's hand any more.
     * HG_E_CANCELED: by hg_embedder_cancel, or the model goes. */
    void (*on_end)(void *ctx, hg_status s, const char *why);
    void *ctx;
    float *out; /* [n][d_model], made when its turn has come; the caller's to free, in any case */
    /* the embedder's own */
    hg_embed_job *next;
    size_t n_done;
    uint64_t n_read; /* tokens, for its owner, as turns are counted */
    atomic_bool stop;
};

/* `m` must outlive it. At most max_queue jobs wait. Thread and session are made with the first. */
hg_status hg_embedder_new(hg_embedder **out, const hg_model *m, const hg_runtime *rt,
                          uint32_t n_ctx, uint32_t max_queue, hg_err *e);
/* HG_E_STATE: the queue is full; who has nothing in it finds a few places kept. HG_E_LIMIT: a text
 * is longer than the context. on_end is called when this returns HG_OK only. */
hg_status hg_embedder_submit(hg_embedder *em, hg_embed_job *job, hg_err *e);
/* Ends it before its next text, or the next chunk of a long one; nothing when it has ended. */
void hg_embedder_cancel(hg_embedder *em, hg_embed_job *job);
typedef struct hg_embedder_state {
    uint32_t n_running, n_waiting;        /* requests */
    uint64_t n_done, n_refused, n_tokens; /* requests that have ended, that found no room; tokens
                                            that were read */
} hg_embedder_state;
void hg_embedder_look(hg_embedder *em, hg_embedder_state *out);
/* Ends all that is open, as canceled. NULL is fine. */
void hg_embedder_free(hg_embedder *em);

#endif
