/* Batches: many requests given at once, worked off behind those that somebody waits for. What each
 * line has got is kept when it is there, so that a kill costs no more than the lines that were
 * being answered. OpenAI's (lines of a file) and Anthropic's (an array) are the same here. Any
 * thread may call. */
#ifndef HG_SERVE_BATCHES_H
#define HG_SERVE_BATCHES_H

#include "serve/server.h"
#include "store/store.h"

enum {
    HG_BATCH_ID_ROOM = 48,
    HG_BATCH_MAX_LINES = 50000,
    HG_BATCH_MAX_OPEN = 100, /* of an owner, not ended */
    HG_BATCH_MAX_ERRORS = 20,
    HG_BATCH_DAYS = 30, /* that one which has ended is kept, and its files */
    HG_BATCH_WINDOW_S = 24 * 60 * 60
};

typedef enum hg_batch_vendor { HG_BATCH_OPENAI, HG_BATCH_ANTHROPIC } hg_batch_vendor;
/* What a line has come to. */
typedef enum hg_line_state {
    HG_LINE_WAITING,
    HG_LINE_RUNNING,
    HG_LINE_DONE,
    HG_LINE_FAILED,
    HG_LINE_CANCELED,
    HG_LINE_EXPIRED
} hg_line_state;

typedef struct hg_batch {
    int64_t n; /* rises with each */
    char id[HG_BATCH_ID_ROOM], owner[64];
    hg_batch_vendor vendor;
    char endpoint[64]; /* the path of its requests */
    char version[16];  /* anthropic-version, or "" */
    /* validating, in_progress, cancelling, finalizing; completed, cancelled, expired, failed */
    char status[16];
    char outcome[16]; /* what the status will be behind finalizing */
    char input_file[HG_BATCH_ID_ROOM], output_file[HG_BATCH_ID_ROOM], error_file[HG_BATCH_ID_ROOM];
    hg_bytes metadata, errors;                                      /* JSON; of errors n 0: none */
    int64_t created, began, expires, finalizing, ended, cancelling; /* unix time; 0: not yet */
    int64_t n_lines, n_done, n_failed;
} hg_batch;

typedef struct hg_batches hg_batches;
extern const char hg_batch_tables[]; /* the migration that makes them */
hg_status hg_batches_new(hg_batches **out, hg_server *s, hg_err *e);
/* Begins to work, once the server answers requests. */
hg_status hg_batches_start(hg_batches *b, hg_err *e);
/* Ends the work, before the server's HTTP is stopped: what is not finished goes on at the next
 * start. */
void hg_batches_stop(hg_batches *b);
void hg_batches_free(hg_batches *b); /* after HTTP; NULL is fine */

/* ---- for the protocols ---- */
/* A line of a request, its texts in JSON or as they came. */
typedef struct hg_batch_line {
    hg_bytes custom_id, body;
} hg_batch_line;
/* Makes one: of OpenAI with its file, whose lines are read in the background; of Anthropic with
 * lines[0, n). False and *p. */
bool hg_batches_create(hg_batches *b, const hg_batch *what, const hg_batch_line *lines, size_t n,
                       char id[HG_BATCH_ID_ROOM], hg_problem *p);
/* Its texts in `mem`; 404. */
bool hg_batches_get(hg_batches *b, const char *owner, hg_batch_vendor vendor, const char *id,
                    hg_arena *mem, hg_batch *out, hg_problem *p);
/* Behind `from` (NULL: from the first), newest first, or (is_back) what is before it there, nearest
 * first, until fn returns false. */
typedef bool hg_batch_fn(void *ctx, const hg_batch *batch);
bool hg_batches_list(hg_batches *b, const char *owner, hg_batch_vendor vendor, const char *from,
                     bool is_back, hg_arena *mem, hg_batch_fn *fn, void *ctx, hg_problem *p);
/* Ends it soon; one that is finalizing, and has to wait for room, ends without its results. One
 * that has ended stays as it is. 404. */
bool hg_batches_cancel(hg_batches *b, const char *owner, hg_batch_vendor vendor, const char *id,
                       hg_problem *p);
/* It is there no more; its lines go soon. 409: it has not ended. */
bool hg_batches_delete(hg_batches *b, const char *owner, hg_batch_vendor vendor, const char *id,
                       hg_problem *p);
/* Lines in their order. */
typedef struct hg_line_result {
    int64_t line; /* from 1 */
    hg_bytes custom_id;
    hg_line_state state;
    int status; /* of HTTP */
    const char *request_id;
    hg_bytes body; /* of the answer */
} hg_line_result;
typedef void hg_line_fn(void *ctx, const hg_line_result *r);
/* Behind some lines, of a megabyte or one that is larger; nobody waits for the store then. NULL is
 * fine. */
typedef hg_status hg_lot_fn(void *ctx, hg_err *e);
bool hg_batches_results(hg_batches *b, int64_t batch, hg_line_fn *fn, hg_lot_fn *lot, void *ctx,
                        hg_problem *p);
/* How many of its lines are in that state. */
bool hg_batches_count(hg_batches *b, int64_t batch, hg_line_state state, int64_t *n, hg_problem *p);

/* Reads a line of OpenAI's input: {"custom_id", "method", "url", "body"}; *tree is what the texts
 * of *out lie in (json_decref), the body's text is in `text`. False and *p. */
bool hg_batch_line_read(hg_batch_line *out, json_t **tree, hg_buf *text, hg_bytes line,
                        const char *endpoint, hg_problem *p);

extern const hg_protocol hg_openai_batches, hg_anthropic_batches;

#endif
