/* The engine's inside: what its thread and its callers share. */
#ifndef HG_INFER_ENGINE_H
#define HG_INFER_ENGINE_H

#include "infer/draft.h"

#include <pthread.h>

struct hg_waiter {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool done;
    hg_finish finish;
    hg_usage usage;
    hg_err err;
};

struct hg_engine {
    const hg_model *m;
    hg_runtime *rt;
    hg_engine_options o;
    size_t n_ctx;
    size_t slot_rows; /* that a step has of one slot at the most */
    hg_type cache_type;
    hg_ends ends;
    pthread_t thread;

    pthread_mutex_t lock; /* guards what follows, up to the engine thread's own */
    pthread_cond_t wake;
    hg_work *first, *last; /* the queue */
    uint64_t turn;         /* of the work that was taken last */
    hg_work **running;     /* [n_slots]: slots[i].work, for cancel */
    hg_engine_state state;
    hg_job last_job;
    bool closing;
    /* While memory is short (until then, monotonic) there are so many slots; written by the
     * engine's thread alone. */
    double short_until;
    uint32_t n_made;

    /* The engine thread's own. */
    hg_stepper step;
    hg_slot *slots; /* [n_slots] */
    size_t n_slots;
    hg_lane *lanes;   /* [n_slots] of this step */
    hg_slot **active; /* whose lanes they are */
    hg_slot **drawing;
    hg_choices *rooms; /* [n_threads] to sample in */
    int n_threads;
    hg_drafter drafter;
    size_t max_rows;   /* of a step */
    size_t echo_rows;  /* of a prompt that is told token by token, in one step */
    hg_logprobs *echo; /* [echo_rows] */
    uint64_t clock;
};

void hg_work_free(hg_work *w);
/* Makes the slot's room, for a draft model too when it `drafts`, unless it is there. HG_E_NOMEM,
 * with what would fit, when memory does not hold it beside what the other slots may still fill. */
hg_status hg_engine_make_slot(hg_engine *en, hg_slot *s, bool drafts, hg_err *e);

#endif
