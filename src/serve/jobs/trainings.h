/* Trainings of the server: asked for by a protocol, kept in the store, worked off one at a time on
 * a thread of low priority, in the order in which they came, but one of each owner in turn. A
 * training that a stop of any kind ends in its middle (a kill, too) goes on from its last
 * checkpoint when a server opens the folder again. What comes of one is a model that is offered at
 * once. Any thread may call. */
#ifndef HG_SERVE_JOBS_TRAININGS_H
#define HG_SERVE_JOBS_TRAININGS_H

#include "serve/data.h"
#include "serve/files/files.h"
#include "serve/models.h"

enum {
    HG_TRAININGS_MAX_OPEN = 64, /* of one owner, that have not ended */
    HG_TRAINING_ID_ROOM = 48,
    HG_TRAINING_MAX_NOTE = 64 * 1024 /* bytes */
};

typedef enum hg_training_state {
    HG_TRAINING_CHECKING, /* its files are still to be read through */
    HG_TRAINING_QUEUED,
    HG_TRAINING_RUNNING,
    HG_TRAINING_PAUSED,
    HG_TRAINING_SUCCEEDED,
    HG_TRAINING_FAILED,
    HG_TRAINING_CANCELED
} hg_training_state;
bool hg_training_has_ended(hg_training_state s);

typedef enum hg_training_method { HG_TRAINING_SUPERVISED, HG_TRAINING_DPO } hg_training_method;

/* What is wished for; 0 is "auto" where nothing else stands here. */
typedef struct hg_training_wish {
    hg_training_method method;
    double n_epochs;          /* passes over the data: 3 */
    int64_t n_steps;          /* instead of n_epochs */
    int64_t batch_size;       /* rows of a step: a 500th of the examples, 1 to 16 */
    double lr;                /* 2e-4, of preferences 2e-5 */
    double lr_multiplier;     /* of the learning rate, given or not: 1 */
    double warmup;            /* share of the steps; below 0: the trainer's own */
    double beta;              /* of preferences: 0.1 */
    int64_t lora_rank;        /* 16; below 0: all weights are trained */
    double lora_alpha;        /* 32 */
    double lora_dropout;      /* 0 */
    const char *lora_targets; /* "q,v" of recipes; NULL: all */
    double val_share;         /* of the examples, held out; 0: none */
    int64_t seed;
} hg_training_wish;
void hg_training_wish_init(hg_training_wish *w); /* all auto, seed 0 */

typedef struct hg_training_ask {
    const char *owner;
    const char *face;            /* the protocol that asks, a word: each lists its own */
    const char *id_prefix;       /* "ftjob-"; "" */
    hg_bytes model;              /* the base, as the server offers it */
    const char *training_file;   /* ids of files of the owner */
    const char *validation_file; /* NULL: none */
    const char *suffix;          /* of the model's name, or NULL: "ft:base:owner:suffix:id" */
    const char *name;            /* the model's whole name instead, or NULL */
    const char *note;            /* JSON that the protocol keeps with it, or NULL */
    hg_training_wish wish;
} hg_training_ask;

/* A training as it stands. `wish` has what was made of "auto" once the files are checked. */
typedef struct hg_training {
    char id[HG_TRAINING_ID_ROOM], owner[64], face[16], base[128];
    char training_file[48], validation_file[48]; /* "": none */
    char suffix[65], targets[64];
    char name[128];       /* the model is to have, where the protocol gave one; "": it follows */
    char model[128];      /* what came of it; "" before */
    char result_file[48]; /* a file of its figures, step by step (CSV); "" before */
    hg_training_state state;
    bool is_stopping;                   /* cancel or pause comes with the end of this step */
    int64_t created, started, finished; /* unix time; 0: not yet */
    hg_training_wish wish;
    uint64_t step, n_steps, n_tokens, n_examples; /* n_tokens: learnt from, of all steps */
    double loss, lr, tokens_per_s, eta_s;         /* of the last step; NaN before the first */
    uint64_t need_bytes;                          /* of memory, said before the start */
    int n_threads;
    char error_code[48], error_param[48], error[512]; /* of a failed one, else "" */
    char *note; /* "" where there is none; from the memory that get and list are given */
} hg_training;

typedef enum hg_training_event_kind { HG_EVENT_MESSAGE, HG_EVENT_METRICS } hg_training_event_kind;
typedef struct hg_training_event {
    char id[48];
    int64_t number; /* rises */
    int64_t created;
    hg_training_event_kind kind;
    const char *level;   /* "info", "warn", "error" */
    const char *message; /* one sentence */
    const char *data;    /* metrics: JSON {"step", "total_steps", "train_loss", ...}; else NULL */
} hg_training_event;

typedef struct hg_training_checkpoint {
    char id[48], model[128];
    int64_t number, created;
    uint64_t step;
    const char *metrics; /* JSON {"step", "train_loss", "valid_loss"?} */
} hg_training_checkpoint;

typedef struct hg_trainings hg_trainings;
/* All of what is given must outlive it. */
hg_status hg_trainings_new(hg_trainings **out, hg_data *d, hg_files *files, hg_models *models,
                           const hg_server_options *o, hg_err *e);
/* Offers the models of earlier trainings and begins to work. Once, before the server listens. */
hg_status hg_trainings_start(hg_trainings *t, hg_err *e);
/* Ends the thread; a running training writes a checkpoint and goes on with the next server. */
void hg_trainings_stop(hg_trainings *t);
void hg_trainings_free(hg_trainings *t); /* stopped; NULL is fine */
/* Called without a lock, on the trainings' thread or the caller's, whenever one has begun, made a
 * step or ended. NULL: nobody is. Before the start. */
typedef void hg_training_changed(void *ctx, const char *id);
void hg_trainings_watch(hg_trainings *t, hg_training_changed *fn, void *ctx);

/* Keeps and queues it. False and *p: there is no such model or file, it cannot be trained, a number
 * is out of range (param: "n_epochs" and so on), too many are open, or models are offered. */
bool hg_trainings_create(hg_trainings *t, const hg_training_ask *ask, char id[HG_TRAINING_ID_ROOM],
                         hg_problem *p);
/* `owner` NULL: whoever's. What is missing and what is another's are one: false and *p, 404. */
bool hg_trainings_get(hg_trainings *t, const char *owner, const char *id, hg_arena *mem,
                      hg_training *out, hg_problem *p);
/* Newest first, those made before the one named `after` (NULL: all). `fn` ends it by false. False
 * and *p: there is no `after`. */
typedef bool hg_training_fn(void *ctx, const hg_training *one);
bool hg_trainings_list(hg_trainings *t, const char *owner, const char *face, const char *after,
                       hg_arena *mem, hg_training_fn *fn, void *ctx, hg_problem *p);
/* One that runs ends with the step that it is at; until then it says is_stopping. Cancelling what
 * has ended is refused (400), as is pausing what does not run or wait or is being cancelled, and
 * resuming what is not paused. What cannot be written down is refused too (500), and nothing has
 * changed. */
bool hg_trainings_cancel(hg_trainings *t, const char *owner, const char *id, hg_problem *p);
bool hg_trainings_pause(hg_trainings *t, const char *owner, const char *id, hg_problem *p);
bool hg_trainings_resume(hg_trainings *t, const char *owner, const char *id, hg_problem *p);
/* Newest first, those before number `before` (0: all); `fn` ends it by false. */
typedef bool hg_training_event_fn(void *ctx, const hg_training_event *ev);
hg_status hg_trainings_events(hg_trainings *t, const char *id, int64_t before,
                              hg_training_event_fn *fn, void *ctx, hg_err *e);
/* The number of an event's id within a training; 0: there is none. */
int64_t hg_trainings_event_number(hg_trainings *t, const char *id, const char *event);
typedef bool hg_training_checkpoint_fn(void *ctx, const hg_training_checkpoint *c);
hg_status hg_trainings_checkpoints(hg_trainings *t, const char *id, hg_training_checkpoint_fn *fn,
                                   void *ctx, hg_err *e);

/* Deletes a model that came of a training of `owner`, for good. False and *p: 404, 403 for models
 * that came otherwise, 409 while it answers. */
bool hg_trainings_delete_model(hg_trainings *t, const char *owner, hg_bytes id, hg_problem *p);

#endif
