/* What the files of this folder share: rows, and the work on them. */
#ifndef HG_SERVE_BATCHES_IMPL_H
#define HG_SERVE_BATCHES_IMPL_H

#include "base/clock.h"
#include "serve/batches/batches.h"
#include "serve/turns.h"

#include <pthread.h>

enum {
    MAX_SLOTS = 16,
    MAX_OPEN = 1024,  /* batches that one turn looks at; the next turn looks at the next */
    MAX_PAUSED = 256, /* and one for each more has to do without */
    /* What is read, written or deleted at once: everybody waits for the store meanwhile. */
    LOT_LINES = 256,
    LOT_BYTES = 1 << 20
};

/* A line that is being answered. */
typedef struct slot {
    hg_batches *all;
    hg_exchange *x;         /* held; NULL: it could not be asked */
    int64_t batch, line;    /* line 0: the slot is free */
    uint64_t owner;         /* by hg_owner_key */
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
    } paused[MAX_PAUSED]; /* whose models had no room, or whose step has failed */
    /* those that this turn looks at, in the order of their making */
    hg_batch *open; /* [n_open] */
    size_t n_open;
    bool is_empty[MAX_OPEN];  /* no line of it waits */
    uint64_t owner[MAX_OPEN]; /* of each, by hg_owner_key */
    int64_t from;             /* the next turn looks at those behind this one */
    double filled_s;          /* when lines were begun, monotonic */
    hg_turns owners, batches;
    double expired_s; /* when what is old was looked for, monotonic */
    hg_patient_clock clock;
};

/* ---- rows (rows.c) ---- */
bool batch_store_failed(hg_problem *p, const hg_err *e);
/* Lines that were being answered wait again; what was half made is gone. */
hg_status rows_recover(hg_store *s, hg_err *e);
/* Those that have not ended behind number `after`, in the order of their making, at most n, in
 * `mem`; without metadata and errors. */
hg_status rows_open(hg_store *s, int64_t after, hg_batch *out, size_t n, size_t *n_out,
                    hg_arena *mem, hg_err *e);
hg_status rows_begin(hg_store *s, int64_t batch, int64_t n_lines, hg_err *e);
hg_status rows_fail(hg_store *s, int64_t batch, hg_bytes errors, hg_err *e);
hg_status rows_finalize(hg_store *s, int64_t batch, const char *outcome, hg_err *e);
hg_status rows_end(hg_store *s, const hg_batch *b, const char *output, const char *errors,
                   hg_err *e);
/* Those that ended long before are gone. */
hg_status rows_expire(hg_store *s, int64_t now, hg_err *e);
/* The first that is gone, or whose lines a kill has left behind its files; *n 0: none is. */
hg_status rows_gone(hg_store *s, int64_t *n, hg_err *e);
hg_status rows_with_left_lines(hg_store *s, int64_t *n, hg_err *e);
/* Its lines are no more. */
hg_status rows_remove(hg_store *s, int64_t batch, hg_err *e);

/* ---- lines (lines.c) ---- */
/* HG_E_STATE: the custom_id is there already. */
hg_status rows_add_line(hg_store *s, int64_t batch, int64_t line, const hg_batch_line *l,
                        hg_err *e);
hg_status rows_drop_lot(hg_store *s, int64_t batch, bool *has_more, hg_err *e);
/* The next line that waits, which is running now; *line 0: none does. Texts in the buffers. */
hg_status rows_take(hg_store *s, int64_t batch, int64_t *line, hg_buf *body, hg_err *e);
hg_status rows_put_back(hg_store *s, int64_t batch, int64_t line, hg_line_state state, hg_err *e);
hg_status rows_finish_line(hg_store *s, int64_t batch, int64_t line, int status,
                           const char *request_id, hg_bytes body, hg_err *e);
/* Those of a lot that wait are in that state. *from is where it begins, and then where the next
 * does; 0: there is none. */
hg_status rows_give_up_lot(hg_store *s, int64_t batch, int64_t *from, hg_line_state state,
                           hg_err *e);
hg_status rows_has_waiting(hg_store *s, int64_t batch, bool *out, hg_err *e);
hg_status rows_count(hg_store *s, int64_t batch, hg_line_state state, int64_t *n, hg_err *e);
hg_status rows_each(hg_store *s, int64_t batch, hg_line_fn *fn, hg_lot_fn *lot, void *ctx,
                    hg_err *e);

/* ---- the worker (worker.c) ---- */
/* Between two lots of a long step: others have the store, lines that are done are kept and the next
 * begin. HG_E_CANCELED: the server stops. */
hg_status batch_go_on(hg_batches *b, hg_err *e);
hg_status batch_drop_lines(hg_batches *b, int64_t batch, hg_err *e);

/* ---- steps (steps.c) ---- */
/* Reads the input of a batch that is validating: it begins, or fails. */
hg_status batch_validate(hg_batches *b, const hg_batch *batch, hg_err *e);
/* Writes what a batch that is finalizing has come to. What cannot be kept is tried again until
 * `is_last`, and then the batch ends without it. */
hg_status batch_finalize(hg_batches *b, const hg_batch *batch, bool is_last, hg_err *e);

#endif
