/* Answers that are kept: responses (unless a request says store: false) and chat completions that
 * ask for it, each for its owner alone, for so many days; and those that are made in the
 * background, which nobody waits for at a connection. Any thread may call. */
#ifndef HG_SERVE_KEPT_H
#define HG_SERVE_KEPT_H

#include "serve/server.h"
#include "store/store.h"

enum {
    HG_KEPT_ID_ROOM = 48,
    HG_KEPT_DAYS = 30,
    HG_KEPT_MAX = 10000,   /* of an owner and kind */
    HG_KEPT_MIB = 1024,    /* of an owner */
    HG_KEPT_LEAST_MIB = 64 /* what the largest request takes fits in */
};

typedef struct hg_keeper hg_keeper;
extern const char hg_kept_tables[], hg_kept_sizes[]; /* the migrations that make them */
/* Belongs to the server `s`, whose store is there. Answers that the last server did not finish fail
 * and say why. */
hg_status hg_keeper_new(hg_keeper **out, hg_server *s, hg_err *e);
void hg_keeper_free(hg_keeper *k); /* once the server's HTTP is stopped; NULL is fine */
/* How long what is kept from now on stays, and how much of an owner. Before the server starts. */
void hg_keeper_set_days(hg_keeper *k, uint32_t days);
void hg_keeper_set_bytes(hg_keeper *k, uint64_t max_bytes);

/* ---- what is kept ---- */
typedef enum hg_kept_kind { HG_KEPT_RESPONSE, HG_KEPT_CHAT } hg_kept_kind;
typedef struct hg_kept_card {
    const char *id, *owner, *model, *status;
    hg_kept_kind kind;
    bool is_background;
    int64_t number, created; /* the number rises with each */
    hg_bytes body;           /* as it is told, in JSON */
    hg_bytes input;          /* what was asked: an array in JSON */
    hg_bytes talk;           /* of a response: the conversation with the answer, in chat's form */
    hg_bytes events;         /* of one in the background: what its stream said; n 0: not yet */
} hg_kept_card;
/* Keeps it; the owner's oldest that have ended make room. HG_E_LIMIT: there is none, since what is
 * being made takes it. One in the background whose status is not "queued" is there already and gets
 * the new status, model, body, talk and events, unless it was deleted. */
hg_status hg_keeper_put(hg_keeper *k, const hg_kept_card *c, hg_err *e);
/* In `mem`. False and *p: 404. */
bool hg_keeper_get(hg_keeper *k, const char *owner, hg_kept_kind kind, const char *id,
                   hg_arena *mem, hg_kept_card *out, hg_problem *p);
bool hg_keeper_delete(hg_keeper *k, const char *owner, hg_kept_kind kind, const char *id,
                      hg_problem *p);
/* Changes the body alone. */
bool hg_keeper_set_body(hg_keeper *k, const char *owner, const char *id, hg_bytes body,
                        hg_problem *p);
/* Bodies of an owner behind `after` (NULL: from the first) in the order of their making or newest
 * first, until fn returns false; the store is free meanwhile. 404: there is no `after`. */
typedef bool hg_kept_fn(void *ctx, hg_bytes body);
bool hg_keeper_list(hg_keeper *k, const char *owner, hg_kept_kind kind, const char *after,
                    bool is_newest_first, hg_kept_fn *fn, void *ctx, hg_problem *p);
/* Deletes what has had its days; the worker of batches does so each minute. */
void hg_keeper_expire(hg_keeper *k);

/* ---- in the background (background.c) ---- */
/* The header of a request from within that tells which response it is to make. */
#define HG_BACKGROUND_FIELD "x-higgins-response"
struct hg_backlog;
hg_status hg_backlog_new(struct hg_backlog **out, hg_keeper *k, hg_server *s, hg_err *e);
void hg_backlog_free(struct hg_backlog *r);
struct hg_backlog *hg_keeper_backlog(const hg_keeper *k);
/* Keeps the response as queued and begins to make it: `body` is the request, `queued` the card of
 * the response, whose events are what was told so far. With `x` its events go there, too, and it
 * is answered by them. False and *p. */
bool hg_background_start(hg_keeper *k, const hg_kept_card *queued, hg_bytes body, hg_exchange *x,
                         hg_problem *p);
/* Whether it is being made now; then *is_begun says whether it has begun. */
bool hg_background_runs(hg_keeper *k, const char *owner, const char *id, bool *is_begun);
/* Answers x with its events behind number `after` (-1: all), and goes on with them as they come.
 * False: it is not being made. */
bool hg_background_follow(hg_keeper *k, const char *owner, const char *id, int64_t after,
                          hg_exchange *x);
/* Ends it as canceled, unless it ends meanwhile by itself, and returns when its end is kept. False:
 * it is not being made. */
bool hg_background_cancel(hg_keeper *k, const char *owner, const char *id);
/* What the stream of one that has ended says behind number `after`. Where a kill came between its
 * events and its end, the end is there all the same. */
void hg_events_replay(hg_buf *out, const hg_kept_card *c, int64_t after);
/* The events behind number `after`. */
hg_bytes hg_events_behind(hg_bytes events, int64_t after);
/* A body with another status and, where given, an error, appended to `out`. */
hg_status hg_kept_restate(hg_buf *out, hg_bytes body, const char *status, const char *code,
                          const char *message, hg_err *e);

#endif
