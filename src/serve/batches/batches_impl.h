/* What the files of this folder share: rows, and the work on them. */
#ifndef HG_SERVE_BATCHES_IMPL_H
#define HG_SERVE_BATCHES_IMPL_H

#include "base/clock.h"
#include "serve/batches/batches.h"
#include "serve/turns.h"

#include <pthread.h>

enum { MAX_SLOTS = 16 };

/* A line that is being answered. */
typedef struct slot {
    hg_batches *all;
    hg_exchange *x; /* held; NULL: the slot is free */
    int64_t batch, line;
    hg_line_state when_cut; /* what the line is when it is cut off */
    /* under the lock */
    bool is_done;
    int status;
    hg_buf body;
} slot;

struct hg_batches {
    hg_server *server;
    hg_store *store;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; /* guards what follows and the slots' ends */
    pthread_cond_t news;
    bool closing, has_news;
    /* the worker's own */
    slot slots[MAX_SLOTS];
    size_t n_slots;
    double pause_until;
    struct {
        int64_t batch;
        double until;
    } paused[MAX_SLOTS]; /* whose models had no room */
    hg_turns owners, batches;
    double expired_s; /* when what is old was looked for, monotonic */
    hg_patient_clock clock;
};

/* ---- rows (rows.c) ---- */
bool batch_store_failed(hg_problem *p, const hg_err *e);
/* Lines that were being answered wait again. */
hg_status rows_recover(hg_store *s, hg_err *e);
/* Those that have not ended, in the order of their making, at most n, in `mem`. */
hg_status rows_open(hg_store *s, hg_batch *out, size_t n, size_t *n_out, hg_arena *mem, hg_err *e);
/* HG_E_STATE: the custom_id is there already. */
hg_status rows_add_line(hg_store *s, int64_t batch, int64_t line, const hg_batch_line *l,
                        hg_err *e);
/* Some at a time, between which others have the store; so does rows_each. */
hg_status rows_drop_lines(hg_store *s, int64_t batch, hg_err *e);
hg_status rows_begin(hg_store *s, int64_t batch, int64_t n_lines, hg_err *e);
hg_status rows_fail(hg_store *s, int64_t batch, hg_bytes errors, hg_err *e);
/* The next line that waits, which is running now; *line 0: none does. Texts in the buffers. */
hg_status rows_take(hg_store *s, int64_t batch, int64_t *line, hg_buf *body, hg_err *e);
hg_status rows_put_back(hg_store *s, int64_t batch, int64_t line, hg_line_state state, hg_err *e);
hg_status rows_finish_line(hg_store *s, int64_t batch, int64_t line, int status,
                           const char *request_id, hg_bytes body, hg_err *e);
/* All that wait are in that state. */
hg_status rows_give_up(hg_store *s, int64_t batch, hg_line_state state, hg_err *e);
hg_status rows_count(hg_store *s, int64_t batch, hg_line_state state, int64_t *n, hg_err *e);
hg_status rows_finalize(hg_store *s, int64_t batch, const char *outcome, hg_err *e);
hg_status rows_end(hg_store *s, const hg_batch *b, const char *output, const char *errors,
                   hg_err *e);
hg_status rows_expire(hg_store *s, int64_t now, hg_err *e); /* those that ended long before */
hg_status rows_each(hg_store *s, int64_t batch, hg_line_fn *fn, void *ctx, hg_err *e);

/* ---- steps (steps.c) ---- */
/* Reads the input of a batch that is validating: it begins, or fails. */
hg_status batch_validate(hg_batches *b, const hg_batch *batch, hg_err *e);
/* Writes what a batch that is finalizing has come to. */
hg_status batch_finalize(hg_batches *b, const hg_batch *batch, hg_err *e);

#endif
