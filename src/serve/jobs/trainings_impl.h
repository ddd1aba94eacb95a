/* What the trainings' files share, and nobody else. */
#ifndef HG_SERVE_JOBS_TRAININGS_IMPL_H
#define HG_SERVE_JOBS_TRAININGS_IMPL_H

#include "serve/jobs/trainings.h"
#include "text/json.h"

#include <pthread.h>

/* Models that are kept of a training: at the ends of its last passes. */
enum { HG_TRAINING_MODELS = 3 };

/* INTENT_TELL: it has ended, its watcher is still to be told and its folder to go. */
typedef enum intent { INTENT_NONE, INTENT_CANCEL, INTENT_PAUSE, INTENT_TELL } intent;

struct hg_trainings {
    hg_store *store;
    hg_files *files;
    hg_models *models;
    const hg_server_options *o;
    char *folder; /* of the data: trainings/ID/ while one is open, models/ID/ for what came of it */
    pthread_t thread;
    bool has_thread;
    hg_training_changed *changed;
    void *changed_ctx;
    pthread_mutex_t lock; /* guards states, and what follows */
    pthread_cond_t more;
    bool is_ending;
    char running[HG_TRAINING_ID_ROOM]; /* "": none */
    atomic_bool stop;                  /* of the one that runs */
};

/* ---- rows (rows.c) ---- */
hg_status hg_training_insert(hg_trainings *t, const hg_training_ask *ask, const char *id,
                             hg_err *e);
/* The first that is to be checked, else the one that was running, else the next of the queue; of
 * each the first of the owner who was served longest ago. False: there is none. */
bool hg_training_next(hg_trainings *t, char id[HG_TRAINING_ID_ROOM], hg_training_state *state);
bool hg_training_read(hg_trainings *t, const char *owner, const char *id, hg_arena *mem,
                      hg_training *out);
/* Whether one that has not ended is to make a model of that name. */
bool hg_training_name_is_open(hg_trainings *t, const char *name);
/* NULL: of all. */
int64_t hg_training_count_open(hg_trainings *t, const char *owner);
hg_status hg_training_set_state(hg_trainings *t, const char *id, hg_training_state s, hg_err *e);
/* With the event that tells it, as one. */
hg_status hg_training_set_told(hg_trainings *t, const char *id, hg_training_state s,
                               const char *level, const char *message, hg_err *e);
intent hg_training_intent(hg_trainings *t, const char *id);
hg_status hg_training_set_intent(hg_trainings *t, const char *id, intent i, hg_err *e);
/* The wish made whole, and how many examples there are. */
hg_status hg_training_set_wish(hg_trainings *t, const char *id, const hg_training_wish *w,
                               uint64_t n_examples, hg_err *e);
hg_status hg_training_set_plan(hg_trainings *t, const char *id, uint64_t n_steps,
                               uint64_t need_bytes, int n_threads, hg_err *e);
hg_status hg_training_set_step(hg_trainings *t, const hg_training *now, hg_err *e);
/* One that has ended and was not wound up; false: there is none. */
bool hg_training_next_ended(hg_trainings *t, char id[HG_TRAINING_ID_ROOM]);
hg_status hg_training_set_failed(hg_trainings *t, const char *id, const char *code,
                                 const char *param, const char *why, hg_err *e);
/* Its end, with the events that tell it, as one. */
hg_status hg_training_set_done(hg_trainings *t, const char *id, const char *model, hg_err *e);
hg_status hg_training_set_result(hg_trainings *t, const char *id, const char *file, hg_err *e);
void hg_training_say(hg_trainings *t, const char *id, const char *level, const char *fmt, ...)
    HG_PRINTF(4, 5);
/* What a step gave; a step that is there already stays. */
hg_status hg_training_put_metrics(hg_trainings *t, const char *id, uint64_t step,
                                  const char *message, const char *data, hg_err *e);
/* Adds members to what a step gave. */
hg_status hg_training_add_metrics(hg_trainings *t, const char *id, uint64_t step, json_t *more,
                                  hg_err *e);
/* What a step gave, as JSON; NULL: nothing. json_decref it. */
json_t *hg_training_metrics(hg_trainings *t, const char *id, uint64_t step);
hg_status hg_training_put_checkpoint(hg_trainings *t, const char *id, uint64_t step,
                                     const char *model, const char *metrics, hg_err *e);

/* ---- what comes of trainings (made.c) ---- */
/* "ft:base:owner:suffix:id", for a step of it ":ckpt-step-N" behind. */
void hg_made_name(const hg_training *one, uint64_t step, char out[128]);
/* Whether the model of that step is in its place and has its row. */
bool hg_made_is_kept(hg_trainings *t, const hg_training *one, uint64_t step);
/* Moves the folder `from` to its place, keeps its row and offers it. One that is kept already stays
 * as it is: others may be using it. */
hg_status hg_made_keep(hg_trainings *t, const hg_training *one, const char *from, uint64_t step,
                       const char *name, bool is_adapter, hg_err *e);
void hg_made_offer_all(hg_trainings *t);
/* Removes folders that a kill has left: of models without a row, of trainings that have ended. */
void hg_made_sweep(hg_trainings *t);

/* ---- running (run.c) ---- */
/* trainings/ID, made when it is not there; freed by the caller; NULL and e. */
char *hg_training_folder(hg_trainings *t, const char *id, hg_err *e);
void hg_training_remove_folder(hg_trainings *t, const char *id);
/* Of one that has ended: its folder goes, the watcher is told; after a kill in between, again.
 * False: that it was done could not be kept. */
bool hg_training_wind_up(hg_trainings *t, const char *id);
/* Ends it, and says why without the server's folders. */
void hg_training_fail(hg_trainings *t, const hg_training *one, const char *code, const char *param,
                      const char *why);
/* To its end, or to a stop. */
void hg_training_work(hg_trainings *t, const char *id);
void hg_training_tell(hg_trainings *t, const char *id); /* to the watcher; without the lock */

/* ---- checking (check.c) ---- */
/* Reads its files through and makes its wish whole. */
void hg_training_check(hg_trainings *t, const char *id);

#endif
