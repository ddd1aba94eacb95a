/* Responses that are made in the background: a request from within makes each, its stream is
 * gathered here, and whoever wants to read along gets what was said so far and then what comes.
 * As many run at a time as the server works on requests at a time; the others wait here, so that
 * they take no place in the queue of those who wait at a connection. */
#include "serve/openai/kept.h"
#include "serve/turns.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { MAX_RUNS = 256, MAX_OWN = MAX_RUNS / 4 * 3 /* of one owner */, MAX_FOLLOWERS = 16 };

typedef struct run {
    struct hg_backlog *all;
    char id[HG_KEPT_ID_ROOM], owner[64];
    hg_buf body;        /* of the request */
    hg_buf events;      /* of its stream, so far */
    hg_exchange *inner; /* held; NULL: it waits */
    bool is_kept;       /* before that it takes a place and no more */
    bool has_begun, is_canceled;
    hg_exchange *follower[MAX_FOLLOWERS]; /* held */
    size_t n_followers;
    struct run *next;
} run;

struct hg_backlog {
    hg_keeper *keeper;
    hg_server *server;
    pthread_mutex_t lock; /* guards the list and what is in it */
    pthread_cond_t left;  /* one has left the list */
    run *first;           /* in the order of their coming */
    size_t n, n_active;
    hg_turns turns;
};

/* ---- with the lock held ---- */
static run **find(struct hg_backlog *r, const char *owner, const char *id)
{
    run **at = &r->first;

    while (*at != NULL && (strcmp((*at)->id, id) != 0 || strcmp((*at)->owner, owner) != 0))
        at = &(*at)->next;
    return at;
}

static void tell_followers(run *one, hg_bytes part)
{
    for (size_t i = 0; i < one->n_followers;) {
        if (hg_exchange_put(one->follower[i], part)) {
            i++;
            continue;
        }
        hg_exchange_release(one->follower[i]);
        one->follower[i] = one->follower[--one->n_followers];
    }
}

static void add_event(run *one, hg_bytes part)
{
    hg_buf_put(&one->events, part.p, part.n);
    tell_followers(one, part);
}

static void follow(run *one, hg_exchange *x, int64_t after)
{
    const hg_bytes past = hg_events_behind((hg_bytes){one->events.p, one->events.n}, after);

    if (!hg_exchange_stream(x, HG_STREAM_EVENTS)) return;
    hg_exchange_allow(x, past.n);
    (void)hg_exchange_put(x, past);
    if (one->n_followers == MAX_FOLLOWERS) { /* whoever comes too late reads on later */
        hg_exchange_end(x);
        return;
    }
    hg_exchange_hold(x);
    one->follower[one->n_followers++] = x;
}

static void on_part(void *ctx, hg_bytes part);
static void on_done(void *ctx, int status, const char *type, hg_bytes body);

static size_t count_of(const struct hg_backlog *r, const char *owner)
{
    size_t n = 0;

    for (const run *one = r->first; one != NULL; one = one->next)
        n += strcmp(one->owner, owner) == 0;
    return n;
}

/* The first that waits of the owner whose turn is longest ago; NULL: none waits. */
static run *next_of(const struct hg_backlog *r)
{
    run *best = NULL;
    uint64_t least = 0;

    for (run *one = r->first; one != NULL; one = one->next) {
        if (!one->is_kept || one->inner != NULL || one->is_canceled) continue;
        if (best != NULL && strcmp(best->owner, one->owner) == 0) continue;
        const uint64_t at = hg_turns_last(&r->turns, hg_owner_key(one->owner));
        if (best != NULL && at >= least) continue;
        best = one;
        least = at;
    }
    return best;
}

/* Begins what waits, as far as there is room: owners take turns. */
static void begin_more(struct hg_backlog *r)
{
    const uint32_t most = hg_server_get_options(r->server)->parallel;
    run *one;

    while (r->n_active < (most > 0 ? most : 1) && (one = next_of(r)) != NULL) {
        const char *fields[] = {HG_BACKGROUND_FIELD, one->id, NULL};
        const hg_inside q = {.method = "POST",
                             .path = "/v1/responses",
                             .owner = one->owner,
                             .fields = fields,
                             .body = {one->body.p, one->body.n},
                             .on_part = on_part,
                             .on_done = on_done,
                             .ctx = one};
        hg_err e;
        if (hg_server_ask(r->server, &q, &one->inner, &e) != HG_OK) return;
        r->n_active++;
        hg_turns_take(&r->turns, hg_owner_key(one->owner));
    }
}

/* ---- the end of one ---- */
static void free_run(run *one)
{
    for (size_t i = 0; i < one->n_followers; i++) {
        hg_exchange_end(one->follower[i]);
        hg_exchange_release(one->follower[i]);
    }
    hg_exchange_release(one->inner);
    hg_buf_free(&one->body);
    hg_buf_free(&one->events);
    hg_free(one);
}

/* What a refusal says: the members of its error. */
static void read_refusal(hg_bytes body, char code[64], char message[512])
{
    json_t *v = NULL;
    hg_err e;

    if (hg_json_parse(&v, body, body.n, &e) == HG_OK) {
        const json_t *error = json_object_get(v, "error");
        const char *c = json_string_value(json_object_get(error, "code"));
        const char *m = json_string_value(json_object_get(error, "message"));
        if (c != NULL) (void)snprintf(code, 64, "%s", c);
        if (m != NULL) (void)snprintf(message, 512, "%s", m);
    }
    json_decref(v);
}

static int64_t count_events(hg_bytes events)
{
    int64_t n = events.n > 0;

    while ((events = hg_events_behind(events, 0)).n > 0) n++;
    return n;
}

static void put_end_event(hg_buf *b, const char *status, int64_t number, hg_bytes body)
{
    hg_buf_printf(b,
                  "event: response.%s\ndata: {\"type\":\"response.%s\",\"sequence_number\":%lld,"
                  "\"response\":",
                  status, status, (long long)number);
    hg_buf_put(b, body.p, body.n);
    hg_buf_puts(b, "}\n\n");
}

static void put_failed_event(run *one, hg_bytes body)
{
    hg_buf b = {0};

    put_end_event(&b, "failed", count_events((hg_bytes){one->events.p, one->events.n}), body);
    if (!b.failed) add_event(one, (hg_bytes){b.p, b.n});
    hg_buf_free(&b);
}

/* The card of one whose answer did not come to its end. */
static bool restate(run *one, hg_kept_card *c, int status, hg_bytes reply, hg_buf *body)
{
    char code[64] = "server_error", why[512] = "the answer could not be kept";
    hg_err e;

    if (status == 0) (void)snprintf(why, sizeof why, "the server was stopped before the end");
    if (status >= 400) read_refusal(reply, code, why);
    c->status = one->is_canceled ? "cancelled" : "failed";
    if (hg_kept_restate(body, c->body, c->status, code, one->is_canceled ? NULL : why, &e) != HG_OK)
        return false;
    c->body = (hg_bytes){body->p, body->n};
    if (!one->is_canceled) put_failed_event(one, c->body);
    return true;
}

/* Writes how it ended; what was deleted meanwhile stays so. */
static void keep_end(run *one, int status, hg_bytes reply)
{
    struct hg_backlog *r = one->all;
    hg_kept_card c;
    hg_buf body = {0};
    hg_problem p;
    hg_arena mem;
    hg_err e;

    hg_arena_init(&mem, 16 * 1024);
    if (hg_keeper_get(r->keeper, one->owner, HG_KEPT_RESPONSE, one->id, &mem, &c, &p)) {
        const bool is_open = strcmp(c.status, "queued") == 0;
        bool ok = true;
        (void)pthread_mutex_lock(&r->lock);
        if (is_open) ok = restate(one, &c, status, reply, &body);
        c.events = (hg_bytes){one->events.p, one->events.n};
        (void)pthread_mutex_unlock(&r->lock);
        /* Where this fails, too, the next start of the server says so. */
        if (ok) (void)hg_keeper_put(r->keeper, &c, &e);
    }
    hg_buf_free(&body);
    hg_arena_free(&mem);
}

/* With the lock held. */
static void give_up_place(struct hg_backlog *r, const run *one)
{
    run **at = find(r, one->owner, one->id);

    if (*at == one) *at = one->next;
    r->n--;
    (void)pthread_cond_broadcast(&r->left);
}

static void end(run *one, int status, hg_bytes reply)
{
    struct hg_backlog *r = one->all;

    keep_end(one, status, reply);
    (void)pthread_mutex_lock(&r->lock);
    give_up_place(r, one);
    if (one->inner != NULL) r->n_active--;
    begin_more(r);
    (void)pthread_mutex_unlock(&r->lock);
    free_run(one);
}

/* ---- what the request from within says ---- */
static void on_part(void *ctx, hg_bytes part)
{
    run *one = ctx;

    (void)pthread_mutex_lock(&one->all->lock);
    one->has_begun = true;
    add_event(one, part);
    (void)pthread_mutex_unlock(&one->all->lock);
}

static void on_done(void *ctx, int status, const char *type, hg_bytes body)
{
    (void)type;
    end(ctx, status, body);
}

/* ---- for who asks ---- */
static run *make(struct hg_backlog *r, const hg_kept_card *queued, hg_bytes body)
{
    run *one = hg_alloc(1, sizeof *one);

    if (one == NULL) return NULL;
    one->all = r;
    (void)snprintf(one->id, sizeof one->id, "%s", queued->id);
    (void)snprintf(one->owner, sizeof one->owner, "%s", queued->owner);
    hg_buf_put(&one->body, body.p, body.n);
    hg_buf_put(&one->events, queued->events.p, queued->events.n);
    if (!one->body.failed && !one->events.failed) return one;
    free_run(one);
    return NULL;
}

/* At the end of the list, so that whoever comes meanwhile counts it, too. */
static bool take_place(struct hg_backlog *r, run *one, hg_problem *p)
{
    run **at = &r->first;

    (void)pthread_mutex_lock(&r->lock);
    const bool is_full = r->n >= MAX_RUNS, has_all = count_of(r, one->owner) >= MAX_OWN;
    if (!is_full && !has_all) {
        while (*at != NULL) at = &(*at)->next;
        *at = one;
        r->n++;
    }
    (void)pthread_mutex_unlock(&r->lock);
    if (has_all)
        return hg_refuse(p, 429, "rate_limit_exceeded", NULL,
                         "%d of your responses are being made in the background; wait for one, or "
                         "cancel it",
                         MAX_OWN);
    return !is_full ||
           hg_refuse(p, 429, "rate_limit_exceeded", NULL,
                     "%d responses are being made in the background; try again", MAX_RUNS);
}

bool hg_background_start(hg_keeper *k, const hg_kept_card *queued, hg_bytes body, hg_exchange *x,
                         hg_problem *p)
{
    struct hg_backlog *r = hg_keeper_backlog(k);
    run *one = make(r, queued, body);
    hg_err e;

    if (one == NULL) return hg_refuse(p, 500, NULL, NULL, "no room for the request");
    if (!take_place(r, one, p)) {
        free_run(one);
        return false;
    }
    const hg_status s = hg_keeper_put(k, queued, &e);
    (void)pthread_mutex_lock(&r->lock);
    one->is_kept = s == HG_OK;
    if (s == HG_OK && x != NULL) follow(one, x, -1);
    if (s == HG_OK)
        begin_more(r);
    else
        give_up_place(r, one);
    (void)pthread_mutex_unlock(&r->lock);
    if (s == HG_OK) return true;
    free_run(one);
    return s == HG_E_LIMIT ? hg_refuse(p, 429, "rate_limit_exceeded", NULL, "%s", e.msg)
                           : hg_refuse(p, 500, "store", NULL, "%s", e.msg);
}

bool hg_background_runs(hg_keeper *k, const char *owner, const char *id, bool *is_begun)
{
    struct hg_backlog *r = hg_keeper_backlog(k);

    (void)pthread_mutex_lock(&r->lock);
    const run *one = *find(r, owner, id);
    if (one != NULL) *is_begun = one->has_begun;
    (void)pthread_mutex_unlock(&r->lock);
    return one != NULL;
}

bool hg_background_follow(hg_keeper *k, const char *owner, const char *id, int64_t after,
                          hg_exchange *x)
{
    struct hg_backlog *r = hg_keeper_backlog(k);

    (void)pthread_mutex_lock(&r->lock);
    run *one = *find(r, owner, id);
    if (one != NULL) follow(one, x, after);
    (void)pthread_mutex_unlock(&r->lock);
    return one != NULL;
}

/* It stays in the list until its end is kept, so that whoever cancels it beside others, or while it
 * ends by itself, can wait for that: no more than the store has to be waited for. */
bool hg_background_cancel(hg_keeper *k, const char *owner, const char *id)
{
    struct hg_backlog *r = hg_keeper_backlog(k);
    hg_exchange *inner = NULL;

    (void)pthread_mutex_lock(&r->lock);
    run *one = *find(r, owner, id);
    const bool runs = one != NULL, is_first = runs && !one->is_canceled;
    if (runs) one->is_canceled = true;
    if (runs && one->inner != NULL) hg_exchange_hold(inner = one->inner);
    (void)pthread_mutex_unlock(&r->lock);
    if (inner != NULL) {
        hg_exchange_cancel(inner); /* its on_done ends it, before this returns or beside it */
        hg_exchange_release(inner);
    } else if (is_first) {
        end(one, 0, (hg_bytes){"", 0}); /* it has not begun and never will */
    }
    (void)pthread_mutex_lock(&r->lock);
    while (runs && *find(r, owner, id) != NULL) (void)pthread_cond_wait(&r->left, &r->lock);
    (void)pthread_mutex_unlock(&r->lock);
    return runs;
}

hg_bytes hg_events_behind(hg_bytes events, int64_t after)
{
    const char *at = events.p, *end_of = events.p + events.n;
    int64_t i = -1;

    while (at < end_of) {
        const size_t left = (size_t)(end_of - at);
        if (left > 7 && memcmp(at, "event: ", 7) == 0 && ++i > after) return (hg_bytes){at, left};
        const char *next = memmem(at, left, "\n\n", 2);
        at = next != NULL ? next + 2 : end_of;
    }
    return (hg_bytes){"", 0};
}

void hg_events_replay(hg_buf *out, const hg_kept_card *c, int64_t after)
{
    const hg_bytes rest = hg_events_behind(c->events, after);
    const int64_t n = count_events(c->events);
    char line[64];

    hg_buf_put(out, rest.p, rest.n);
    (void)snprintf(line, sizeof line, "event: response.%.32s\n", c->status);
    /* The protocol has no event for what was cancelled. */
    const bool has_event = strcmp(c->status, "completed") == 0 ||
                           strcmp(c->status, "incomplete") == 0 || strcmp(c->status, "failed") == 0;
    if (!has_event || memmem(c->events.p, c->events.n, line, strlen(line)) != NULL) return;
    put_end_event(out, c->status, n > after ? n : after + 1, c->body);
}

/* ---- life ---- */
hg_status hg_backlog_new(struct hg_backlog **out, hg_keeper *k, hg_server *s, hg_err *e)
{
    struct hg_backlog *r = hg_alloc(1, sizeof *r);

    *out = r;
    if (r == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the server");
    r->keeper = k;
    r->server = s;
    (void)pthread_mutex_init(&r->lock, NULL);
    (void)pthread_cond_init(&r->left, NULL);
    return HG_OK;
}

/* Only what has never begun is left; it stays as queued, and the next server fails it. */
void hg_backlog_free(struct hg_backlog *r)
{
    if (r == NULL) return;
    while (r->first != NULL) {
        run *one = r->first;
        r->first = one->next;
        free_run(one);
    }
    (void)pthread_cond_destroy(&r->left);
    (void)pthread_mutex_destroy(&r->lock);
    hg_free(r);
}
