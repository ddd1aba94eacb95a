/* All predictions of a server: those that are open, in memory; all, in the store. Threads of their
 * own start them, keep them, and see to deadlines, webhooks and retention. */
#ifndef HG_SERVE_REPLICATE_PREDICTIONS_H
#define HG_SERVE_REPLICATE_PREDICTIONS_H

#include "serve/data.h"
#include "serve/replicate/prediction.h"
#include "serve/webhooks.h"

enum {
    HG_MAX_OPEN_PREDICTIONS = 1024, /* more are refused: 429 */
    HG_MAX_PREDICTION_INPUT = 1 << 20
};

extern const char hg_replicate_tables[], hg_replicate_order[], hg_replicate_letters[],
    hg_replicate_inodes[]; /* the migrations of this folder's tables */
typedef struct hg_predictions hg_predictions;
/* Takes up what the server left when it ended: what had not begun begins, what ran has failed. All
 * must outlive it. `retention_s`: how long input and output of those made through the API are kept
 * after their end; 0: for ever. */
hg_status hg_predictions_new(hg_predictions **out, hg_server *s, hg_data *d, hg_webhooks *w,
                             double retention_s, hg_err *e);
/* Starts its threads, once the server has its models. */
hg_status hg_predictions_start(hg_predictions *all, hg_err *e);
/* Ends what is open: what runs is canceled and kept as failed, what has not begun is kept for the
 * next start. The engines are still there. */
void hg_predictions_stop(hg_predictions *all);
void hg_predictions_free(hg_predictions *all); /* NULL is fine */

/* Puts a prediction that is filled in into the store and the queue. False and *p: there are too
 * many, or it cannot be kept. */
bool hg_predictions_add(hg_predictions *all, hg_prediction *one, hg_problem *p);
/* The owner's prediction, held for the caller: an open one, or one out of the store. NULL: there is
 * none. With owner NULL `id` is a stream's secret. */
hg_prediction *hg_predictions_find(hg_predictions *all, const char *owner, const char *id);
void hg_predictions_cancel(hg_predictions *all, hg_prediction *one);
/* False: it has not ended. */
bool hg_predictions_delete(hg_predictions *all, hg_prediction *one);
/* Answers x with the prediction when it ends, and with one that has not begun after wait_s. */
void hg_predictions_wait(hg_predictions *all, hg_prediction *one, hg_exchange *x, double wait_s);
/* The owner's, newest first, as the member "results" of a page: the newest that are older than one,
 * or those that come right before one. Predictions are numbered in the order of their making; times
 * are unix milliseconds. *beside: where the pages on both sides are, 0: there is none. */
typedef struct hg_prediction_range {
    int64_t created_after, created_before; /* 0: any */
    int64_t older_than, newer_than;        /* numbers; one at the most; 0: from the newest */
    const char *model;                     /* NULL: any */
} hg_prediction_range;
typedef struct hg_prediction_places {
    int64_t older_than, newer_than;
} hg_prediction_places;
enum { HG_PAGE = 100 };
void hg_predictions_put_page(hg_predictions *all, hg_json_out *o, const char *owner,
                             const hg_prediction_range *range, hg_prediction_places *beside);
int64_t hg_predictions_count(hg_predictions *all, const char *model); /* ever made */
uint32_t hg_predictions_open(hg_predictions *all);

/* Answers with the prediction as JSON; `waited`: one that has not ended is told as one that has not
 * begun. */
void hg_prediction_answer(hg_exchange *x, int status, hg_prediction *p, bool waited);

/* Removes what has been kept long enough; the keeper does it now and then. */
void hg_predictions_sweep(hg_predictions *all);
/* Gives room that is free in the store back to the disk, and settles it; the keeper does that, too.
 */
void hg_predictions_tend(hg_predictions *all);

/* For prediction.c and run.c. */
void hg_predictions_lock(hg_predictions *all);
void hg_predictions_unlock(hg_predictions *all);
/* It has changed: the keeper is to look at it soon. Any thread, with or without its lock. */
void hg_predictions_wake(hg_predictions *all);
hg_server *hg_predictions_server(const hg_predictions *all);
/* Its webhook hears that it has begun, once. With its lock held. */
void hg_predictions_tell_start(hg_predictions *all, hg_prediction *p);

/* run.c: from the input to an answer that runs, in the calling thread's time, which may wait for
 * the model to be loaded. HG_E_STATE: the engine's queue is full, or there is no room for its model
 * just now: try again; else it runs or has ended. */
hg_status hg_prediction_run(hg_prediction *p);

#endif
