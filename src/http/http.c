/* The middle of the HTTP server: libmicrohttpd reads bodies and writes replies on the door's
 * thread; whole requests go through a queue to the desks, whose threads run the handler, so that
 * parsing and tokenising a long prompt holds up nobody's stream. A connection is suspended while it
 * waits.
 */
#include "http/http_internal.h"
#include "base/clock.h"
#include "base/hash.h"

#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum {
    MAX_DESKS = 8,
    IDLE_S = 75,
    CONNECTION_MEMORY = 40 * 1024,
    PROGRESS = 64 * 1024, /* of a large body, that must come within body_s */
    IGNORED = -1          /* as a refusal: the body is read to be forgotten, the handler refuses */
};

typedef struct spill_place {
    bool is_taken;
    uint64_t owner; /* 0: none */
} spill_place;

struct hg_http {
    hg_http_options o;
    struct MHD_Daemon *daemon;
    door *door;
    atomic_uint n_open; /* exchanges that libmicrohttpd carries */
    char *spill;        /* folder, or NULL */
    pthread_t desk[MAX_DESKS];
    int n_desks;
    pthread_mutex_t lock; /* guards the queue, and the places */
    spill_place *places;  /* [o.max_spills] */
    pthread_cond_t more;
    hg_exchange *first, *last;
    hg_exchange *inside; /* requests from within that are not done, each held */
    bool closing;
    atomic_bool stopping; /* nothing may be suspended any more */
};

const char *hg_http_reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 202:
        return "Accepted";
    case 204:
        return "No Content";
    case 304:
        return "Not Modified";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 409:
        return "Conflict";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 422:
        return "Unprocessable Content";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    case 505:
        return "HTTP Version Not Supported";
    case 507:
        return "Insufficient Storage";
    default:
        return "Error";
    }
}

void hg_http_options_init(hg_http_options *o)
{
    memset(o, 0, sizeof *o);
    o->host = "127.0.0.1";
    o->max_connections = 512;
    o->max_body = (size_t)8 << 20;
    o->max_memory = (size_t)1 << 20;
    o->max_spills = 16;
    o->head_s = 10;
    o->body_s = 30;
    o->stall_s = 30;
    o->max_unread = (size_t)1 << 20;
    o->n_desks = 2;
}

/* ---- desks ---- */
/* With the lock held. */
static void queue_up(hg_http *h, hg_exchange *x)
{
    hg_exchange_hold(x);
    x->next = NULL;
    if (h->last != NULL)
        h->last->next = x;
    else
        h->first = x;
    h->last = x;
    (void)pthread_cond_signal(&h->more);
}

static void enqueue(hg_http *h, hg_exchange *x)
{
    (void)pthread_mutex_lock(&h->lock);
    queue_up(h, x);
    (void)pthread_mutex_unlock(&h->lock);
}

void hg_exchange_requeue(hg_exchange *x)
{
    (void)pthread_mutex_lock(&x->lock);
    x->is_withheld = false;
    (void)pthread_mutex_unlock(&x->lock);
    x->is_again = true;
    enqueue(x->http, x);
}

bool http_enter_inside(hg_http *h, hg_exchange *x)
{
    (void)pthread_mutex_lock(&h->lock);
    const bool ok = !atomic_load(&h->stopping);
    if (ok) {
        hg_exchange_hold(x);
        x->sibling = h->inside;
        x->place = &h->inside;
        if (x->sibling != NULL) x->sibling->place = &x->sibling;
        h->inside = x;
        queue_up(h, x);
    }
    (void)pthread_mutex_unlock(&h->lock);
    return ok;
}

void http_leave_inside(hg_http *h, hg_exchange *x)
{
    (void)pthread_mutex_lock(&h->lock);
    *x->place = x->sibling;
    if (x->sibling != NULL) x->sibling->place = x->place;
    (void)pthread_mutex_unlock(&h->lock);
    hg_exchange_release(x);
}

/* Nothing is entered any more. An exchange leaves only behind its on_done, perhaps on another
 * thread: all have left when this returns. */
static void drop_inside(hg_http *h)
{
    const struct timespec nap = {0, 1000 * 1000};

    for (bool is_empty = false; !is_empty;) {
        (void)pthread_mutex_lock(&h->lock);
        hg_exchange *x = h->inside;
        is_empty = x == NULL;
        if (x != NULL) hg_exchange_hold(x);
        (void)pthread_mutex_unlock(&h->lock);
        if (x == NULL) continue;
        hg_exchange_cancel(x);
        hg_exchange_release(x);
        (void)nanosleep(&nap, NULL);
    }
}

static hg_exchange *dequeue(hg_http *h)
{
    (void)pthread_mutex_lock(&h->lock);
    while (h->first == NULL && !h->closing) (void)pthread_cond_wait(&h->more, &h->lock);
    hg_exchange *x = h->first;
    if (x != NULL) h->first = x->next;
    if (h->first == NULL) h->last = NULL;
    (void)pthread_mutex_unlock(&h->lock);
    return x;
}

static void *run_desk(void *ctx)
{
    hg_http *h = ctx;

    for (hg_exchange *x; (x = dequeue(h)) != NULL;) {
        (x->is_again && h->o.again != NULL ? h->o.again : h->o.handle)(h->o.ctx, x);
        hg_exchange_release(x);
    }
    return NULL;
}

/* ---- libmicrohttpd's callbacks, all on the door's thread ---- */
/* One of the places for spilled bodies; a single owner has half of them at the most. */
static bool take_place(hg_http *h, const hg_exchange *x, size_t *place)
{
    const uint64_t owner = x->owner[0] != '\0' ? hg_hash64(x->owner, strlen(x->owner), 0) : 0;
    const size_t n = h->o.max_spills;
    size_t at = n, n_own = 0;

    (void)pthread_mutex_lock(&h->lock);
    for (size_t i = 0; i < n; i++) {
        if (!h->places[i].is_taken)
            at = i;
        else
            n_own += owner != 0 && h->places[i].owner == owner;
    }
    const bool ok = at < n && n_own < (n + 1) / 2;
    if (ok) h->places[at] = (spill_place){true, owner};
    (void)pthread_mutex_unlock(&h->lock);
    *place = at;
    return ok;
}

void http_spill_closed(hg_http *h, size_t place)
{
    (void)pthread_mutex_lock(&h->lock);
    h->places[place].is_taken = false;
    (void)pthread_mutex_unlock(&h->lock);
}

static void close_spill(hg_http *h, hg_exchange *x)
{
    const size_t place = x->spill.place;

    if (!x->spill.is_open) return;
    spill_close(&x->spill);
    http_spill_closed(h, place);
}

/* Nothing half is kept of a body that went wrong. */
static void spoil(hg_http *h, hg_exchange *x, int status)
{
    x->refusal = status;
    close_spill(h, x);
    hg_buf_free(&x->body);
}

/* Whether he may send so much. */
static bool is_trusted(const hg_http *h, hg_exchange *x)
{
    if (!x->is_trusted) x->is_trusted = h->o.trusts == NULL || h->o.trusts(h->o.ctx, x);
    return x->is_trusted;
}

static void begin_spill(hg_http *h, hg_exchange *x)
{
    size_t place;

    if (!is_trusted(h, x)) {
        spoil(h, x, IGNORED);
    } else if (!take_place(h, x, &place)) {
        spoil(h, x, 503);
    } else if (spill_open(&x->spill, h->spill) != HG_OK) {
        http_spill_closed(h, place);
        spoil(h, x, 507);
    } else {
        x->spill.place = place;
        if (spill_put(&x->spill, x->body.p, x->body.n) != HG_OK) spoil(h, x, 507);
        hg_buf_free(&x->body);
    }
}

static void keep_bytes(hg_http *h, hg_exchange *x, const char *data, size_t n)
{
    if (!x->spill.is_open && h->spill != NULL && x->body.n + n > h->o.max_memory) begin_spill(h, x);
    if (x->refusal != 0) return;
    if (!x->spill.is_open)
        hg_buf_put(&x->body, data, n);
    else if (spill_put(&x->spill, data, n) != HG_OK)
        spoil(h, x, 507);
}

static enum MHD_Result take_body(hg_http *h, hg_exchange *x, const char *data, size_t *n)
{
    x->n_body += *n;
    if (x->refusal == 0 && x->n_body > x->max_body) spoil(h, x, 413);
    if (x->refusal == 0) keep_bytes(h, x, data, *n);
    if (x->refusal != 0) {
        /* The answer can only be read when the client has said all it wants to say; whoever goes on
         * and on is cut off. */
        const bool may_go_on = x->refusal == 503 || x->refusal == 507;
        x->n_swallowed += *n;
        if (x->n_swallowed > (may_go_on ? x->max_body : 4 * h->o.max_body)) return MHD_NO;
    }
    *n = 0;
    if (x->is_large && x->n_body - x->told >= PROGRESS) {
        (void)pthread_mutex_lock(&x->lock);
        x->told = x->n_body;
        x->moved = hg_seconds();
        (void)pthread_mutex_unlock(&x->lock);
    }
    return x->body.failed ? MHD_NO : MHD_YES;
}

static void refuse_body(hg_http *h, hg_exchange *x)
{
    const char *why = x->refusal == 507 ? "the disk of the server is full; nothing was kept"
                      : x->refusal == 503
                          ? "too many large bodies are being sent; try again"
                          : "the body of the request is longer than the server reads";
    hg_buf b = {0};

    h->o.explain(h->o.ctx, &b, x->refusal, why);
    hg_exchange_reply(x, x->refusal, "application/json", (hg_bytes){b.p, b.n});
    hg_buf_free(&b);
}

/* What this request may send. */
static void set_limit(hg_http *h, hg_exchange *x)
{
    const hg_bytes method = {x->method, strlen(x->method)}, path = {x->path, strlen(x->path)};
    const size_t most = h->o.max_body_of != NULL ? h->o.max_body_of(h->o.ctx, method, path) : 0;

    x->max_body = most > 0 ? most : h->o.max_body;
    if (most <= h->o.max_body) return;
    x->is_large = true;
    if (!is_trusted(h, x)) x->refusal = IGNORED;
}

/* The whole request is there: suspended first, queued second, for the desk may answer at once. */
static enum MHD_Result dispatch(hg_http *h, hg_exchange *x)
{
    (void)pthread_mutex_lock(&x->lock);
    x->phase = PHASE_WORKING;
    x->suspended = true;
    MHD_suspend_connection(x->connection);
    (void)pthread_mutex_unlock(&x->lock);
    if (x->spill.is_open && spill_map(&x->spill) != HG_OK) spoil(h, x, 507);
    if (x->refusal > 0)
        refuse_body(h, x);
    else
        enqueue(h, x);
    if (door_bind(h->door, x->fd, x)) exchange_lost(x);
    return MHD_YES;
}

static enum MHD_Result send_answer(hg_exchange *x)
{
    struct MHD_Response *r = exchange_response(x);

    if (r == NULL) return MHD_NO;
    enum MHD_Result ok = MHD_queue_response(x->connection, (unsigned)x->status, r);
    MHD_destroy_response(r);
    return ok;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *n, void **con_ctx)
{
    hg_http *h = ctx;
    hg_exchange *x = *con_ctx;

    (void)version;
    if (atomic_load(&h->stopping)) return MHD_NO;
    if (x == NULL) {
        x = exchange_new(h, h->o.max_unread, c, method, url);
        if (x == NULL) return MHD_NO;
        *con_ctx = x;
        (void)atomic_fetch_add(&h->n_open, 1);
        set_limit(h, x);
        return door_bind(h->door, x->fd, x) ? MHD_NO : MHD_YES;
    }
    if (*n > 0) return take_body(h, x, data, n);

    (void)pthread_mutex_lock(&x->lock);
    phase now = x->phase;
    bool gone = x->gone;
    (void)pthread_mutex_unlock(&x->lock);
    if (gone) return MHD_NO;
    if (now == PHASE_READING) return dispatch(h, x);
    return now == PHASE_WORKING ? MHD_YES : send_answer(x);
}

static void on_completed(void *ctx, struct MHD_Connection *c, void **con_ctx,
                         enum MHD_RequestTerminationCode how)
{
    hg_http *h = ctx;
    hg_exchange *x = *con_ctx;

    (void)c;
    if (x == NULL) return;
    *con_ctx = NULL;
    (void)pthread_mutex_lock(&x->lock);
    x->connection = NULL;
    (void)pthread_mutex_unlock(&x->lock);
    (void)door_bind(h->door, x->fd, NULL);
    if (how != MHD_REQUEST_TERMINATED_COMPLETED_OK) exchange_lost(x);
    if (h->o.done != NULL) h->o.done(h->o.ctx, x);
    (void)atomic_fetch_sub(&h->n_open, 1);
    hg_exchange_release(x);
}

static void on_connection(void *ctx, struct MHD_Connection *c, void **socket_ctx,
                          enum MHD_ConnectionNotificationCode what)
{
    hg_http *h = ctx;

    (void)socket_ctx;
    if (what == MHD_CONNECTION_NOTIFY_CLOSED)
        door_forget(h->door,
                    MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd);
}

/* Paths are routed as they were sent: a%2Fb is one segment, a/b are two. */
static size_t keep_raw(void *ctx, struct MHD_Connection *c, char *s)
{
    (void)ctx;
    (void)c;
    return strlen(s);
}

static void say_nothing(void *ctx, const char *fmt, va_list args)
{
    (void)ctx;
    (void)fmt;
    (void)args;
}

bool http_adopt(hg_http *h, int fd, const void *addr, size_t addr_size)
{
    return MHD_add_connection(h->daemon, fd, addr, (socklen_t)addr_size) == MHD_YES;
}

int http_poll_fd(const hg_http *h)
{
    return MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
}

int http_patience_ms(hg_http *h, int at_most)
{
    MHD_UNSIGNED_LONG_LONG ms = 0;

    if (MHD_get_timeout(h->daemon, &ms) != MHD_YES || ms > (unsigned)at_most) return at_most;
    return (int)ms;
}

void http_work(hg_http *h)
{
    (void)MHD_run(h->daemon);
}

void http_wake(hg_http *h)
{
    door_wake(h->door);
}

/* ---- life ---- */
/* Without a thread of its own: libmicrohttpd 0.9.75 waits on when it has just got an exact multiple
 * of 128 events, as it may when many clients come at once; MHD_run never waits. */
static hg_status start_daemon(hg_http *h, hg_err *e)
{
    h->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG, 0,
        NULL, NULL, on_request, h, MHD_OPTION_EXTERNAL_LOGGER, say_nothing, NULL,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_UNESCAPE_CALLBACK, keep_raw, NULL,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, h, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
        h, MHD_OPTION_CONNECTION_LIMIT, h->o.max_connections + 64, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_END);
    return h->daemon != NULL ? HG_OK : hg_fail(e, HG_E_NOMEM, "the HTTP server cannot be started");
}

static hg_status start_desks(hg_http *h, hg_err *e)
{
    int want = h->o.n_desks < 1 ? 1 : h->o.n_desks > MAX_DESKS ? MAX_DESKS : h->o.n_desks;

    for (; h->n_desks < want; h->n_desks++) {
        if (pthread_create(&h->desk[h->n_desks], NULL, run_desk, h) != 0)
            return hg_fail(e, HG_E_NOMEM, "no room for the server's threads");
    }
    return HG_OK;
}

hg_status hg_http_start(hg_http **out, const hg_http_options *o, hg_err *e)
{
    hg_http *h = hg_alloc(1, sizeof *h);

    *out = NULL;
    if (h == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the HTTP server");
    h->o = *o;
    if (o->spill != NULL && (h->spill = hg_strdup(o->spill)) == NULL) {
        hg_free(h);
        return hg_fail(e, HG_E_NOMEM, "no room for the HTTP server");
    }
    if ((h->places = hg_alloc(o->max_spills + 1, sizeof *h->places)) == NULL) {
        hg_free(h->spill);
        hg_free(h);
        return hg_fail(e, HG_E_NOMEM, "no room for the HTTP server");
    }
    (void)pthread_mutex_init(&h->lock, NULL);
    (void)pthread_cond_init(&h->more, NULL);
    hg_status s = start_desks(h, e);
    if (s == HG_OK) s = start_daemon(h, e);
    if (s == HG_OK) s = door_open(&h->door, h, o, e);
    if (s != HG_OK) {
        hg_http_stop(h);
        hg_http_free(h);
        return s;
    }
    h->o.host = h->o.spill = NULL;
    *out = h;
    return HG_OK;
}

uint16_t hg_http_port(const hg_http *h)
{
    return door_port(h->door);
}

void hg_http_quiesce(hg_http *h)
{
    door_quiesce(h->door);
}

uint32_t hg_http_count(hg_http *h)
{
    return atomic_load(&h->n_open);
}

/* libmicrohttpd must not be stopped while a connection is suspended. The door's thread has ended,
 * so it has its turns here. */
static void drop_all(hg_http *h)
{
    struct timespec nap = {0, 5 * 1000 * 1000};

    while (h->door != NULL && atomic_load(&h->n_open) > 0) {
        door_drop_all(h->door);
        http_work(h);
        (void)nanosleep(&nap, NULL);
    }
}

void hg_http_stop(hg_http *h)
{
    (void)pthread_mutex_lock(&h->lock);
    atomic_store(&h->stopping, true);
    (void)pthread_mutex_unlock(&h->lock);
    if (h->door != NULL) door_stop(h->door);
    drop_all(h);
    drop_inside(h);
    (void)pthread_mutex_lock(&h->lock);
    h->closing = true;
    (void)pthread_cond_broadcast(&h->more);
    (void)pthread_mutex_unlock(&h->lock);
    for (; h->n_desks > 0; h->n_desks--) (void)pthread_join(h->desk[h->n_desks - 1], NULL);
    if (h->daemon != NULL) MHD_stop_daemon(h->daemon);
    h->daemon = NULL;
    door_free(h->door);
    h->door = NULL;
}

void hg_http_free(hg_http *h)
{
    if (h == NULL) return;
    (void)pthread_cond_destroy(&h->more);
    (void)pthread_mutex_destroy(&h->lock);
    hg_free(h->places);
    hg_free(h->spill);
    hg_free(h);
}
