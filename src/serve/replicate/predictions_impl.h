/* What predictions.c, queue.c and kept.c share. */
#ifndef HG_SERVE_REPLICATE_PREDICTIONS_IMPL_H
#define HG_SERVE_REPLICATE_PREDICTIONS_IMPL_H

#include "serve/replicate/predictions.h"

enum { N_STARTERS = 2, MOST_FULL = 16 };

typedef struct waiter waiter;
struct waiter {
    waiter *next;
    hg_prediction *p; /* held */
    hg_exchange *x;   /* held */
    double until;     /* monotonic */
};

struct hg_predictions {
    hg_server *server;
    hg_store *store;
    struct hg_webhooks *webhooks;
    double retention_s;
    hg_patient_clock clock; /* the keeper's: for what is removed */
    bool is_stopped;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t more;
    hg_prediction *open; /* each held */
    size_t n_open;
    hg_prediction *queue, *queue_end; /* each held; what was canceled stays until its turn */
    size_t n_queued;
    const hg_prediction *in_hand[N_STARTERS]; /* of the starters; NULL: none */
    struct {
        char backend[128];
        double until;  /* monotonic */
    } full[MOST_FULL]; /* models that had no room just now */
    waiter *waiters;
    bool is_stopping;

    pthread_mutex_t wake_lock;
    pthread_cond_t wake;
    atomic_bool is_woken, keeper_ends;
    pthread_t starter[N_STARTERS], keeper;
    bool has_starter[N_STARTERS], has_keeper;
};

/* ---- queue.c ---- */
/* At its end, or `first` again: what had been taken and found no room. */
void hg_predictions_enqueue(hg_predictions *all, hg_prediction *p, bool first);
/* Waits for the next, which is the caller's to release. NULL: the server ends. */
hg_prediction *hg_predictions_dequeue(hg_predictions *all);
/* Whoever took it is done with it, and has enqueued it again if that was to be. Until then none of
 * the same owner and model is next, since that one might find the room that this one has not. */
void hg_predictions_put_down(hg_predictions *all, const hg_prediction *p);
/* The model has no room: for a moment none of its predictions is next. */
void hg_predictions_note_full(hg_predictions *all, const char *backend);
void hg_predictions_empty_queue(hg_predictions *all); /* no thread takes from it any more */

/* ---- kept.c ---- */
hg_status hg_prediction_insert(hg_predictions *all, const hg_prediction *p, hg_err *e);
/* Status, events, end. With its lock held. */
hg_status hg_prediction_update(hg_predictions *all, const hg_prediction *p, hg_err *e);
/* As hg_predictions_find, out of the store. */
hg_prediction *hg_prediction_load(hg_predictions *all, const char *owner, const char *id);
/* One that had not ended when the server did, oldest first, behind the one of that number (0: the
 * first), which gets its own; NULL behind the last. `status`: HG_STARTING or HG_PROCESSING. */
hg_prediction *hg_prediction_load_open(hg_predictions *all, hg_prediction_status status,
                                       int64_t *number);

#endif
