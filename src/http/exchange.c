/* One request and its answer. A desk, the engine's thread or the door may answer; the door's
 * thread sends. Between them stands one lock and one buffer: while the buffer is empty the
 * connection is suspended (costs nothing), and whoever puts bytes resumes it. A client that does
 * not read lets the buffer grow to a limit and is then dropped, so that no answer can fill the
 * memory and no engine waits for a socket. */
#include "http/http_internal.h"
#include "base/clock.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PING_S = 15 };

static enum MHD_Result copy_field(void *ctx, enum MHD_ValueKind kind, const char *name,
                                  const char *value)
{
    hg_exchange *x = ctx;

    (void)kind;
    if (x->n_fields >= MAX_FIELDS) return MHD_NO;
    header *f = &x->fields[x->n_fields];
    f->name = hg_arena_strndup(&x->mem, name, strlen(name));
    f->value = hg_arena_strndup(&x->mem, value != NULL ? value : "", value ? strlen(value) : 0);
    if (f->name == NULL || f->value == NULL) return MHD_NO;
    x->n_fields++;
    return MHD_YES;
}

static enum MHD_Result copy_argument(void *ctx, enum MHD_ValueKind kind, const char *name,
                                     const char *value)
{
    hg_exchange *x = ctx;

    (void)kind;
    if (x->n_arguments >= MAX_ARGUMENTS) return MHD_NO;
    header *f = &x->arguments[x->n_arguments];
    f->name = hg_arena_strndup(&x->mem, name, strlen(name));
    f->value = hg_arena_strndup(&x->mem, value != NULL ? value : "", value ? strlen(value) : 0);
    if (f->name == NULL || f->value == NULL) return MHD_NO;
    x->n_arguments++;
    return MHD_YES;
}

static void make_id(char out[32])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char r[12];

    randombytes_buf(r, sizeof r);
    memcpy(out, "req_", 4);
    for (size_t i = 0; i < sizeof r; i++) {
        out[4 + 2 * i] = hex[r[i] >> 4];
        out[5 + 2 * i] = hex[r[i] & 15];
    }
    out[4 + 2 * sizeof r] = 0;
}

hg_exchange *exchange_blank(hg_http *h, size_t max_unread, const char *method, const char *path)
{
    hg_exchange *x = hg_alloc(1, sizeof *x);

    if (x == NULL) return NULL;
    hg_arena_init(&x->mem, 16 * 1024);
    (void)pthread_mutex_init(&x->lock, NULL);
    atomic_init(&x->n_holders, 1);
    x->http = h;
    x->max_unread = max_unread;
    x->fd = x->file = x->spill.fd = -1;
    x->started = x->moved = x->wrote = hg_seconds();
    make_id(x->id);
    x->method = hg_arena_strndup(&x->mem, method, strlen(method));
    x->path = hg_arena_strndup(&x->mem, path, strlen(path));
    x->fields = HG_NEW(&x->mem, header, MAX_FIELDS);
    if (x->method != NULL && x->path != NULL && x->fields != NULL) return x;
    hg_exchange_release(x);
    return NULL;
}

hg_exchange *exchange_new(hg_http *h, size_t max_unread, struct MHD_Connection *c,
                          const char *method, const char *path)
{
    hg_exchange *x = exchange_blank(h, max_unread, method, path);

    if (x == NULL) return NULL;
    x->connection = c;
    x->fd = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    (void)MHD_get_connection_values(c, MHD_HEADER_KIND, copy_field, x);
    (void)MHD_get_connection_values(c, MHD_GET_ARGUMENT_KIND, copy_argument, x);
    return x;
}

void hg_exchange_hold(hg_exchange *x)
{
    (void)atomic_fetch_add_explicit(&x->n_holders, 1, memory_order_relaxed);
}

void hg_exchange_release(hg_exchange *x)
{
    if (x == NULL || atomic_fetch_sub_explicit(&x->n_holders, 1, memory_order_acq_rel) != 1) return;
    hg_buf_free(&x->body);
    if (x->spill.is_open) {
        const size_t place = x->spill.place;
        spill_close(&x->spill);
        http_spill_closed(x->http, place);
    }
    if (x->file >= 0) (void)close(x->file);
    hg_buf_free(&x->out);
    hg_arena_free(&x->mem);
    (void)pthread_mutex_destroy(&x->lock);
    hg_free(x);
}

const char *hg_exchange_method(const hg_exchange *x)
{
    return x->method;
}

const char *hg_exchange_path(const hg_exchange *x)
{
    return x->path;
}

const char *hg_exchange_id(const hg_exchange *x)
{
    return x->id;
}

const char *hg_exchange_owner(const hg_exchange *x)
{
    return x->owner;
}

void hg_exchange_set_owner(hg_exchange *x, const char *owner)
{
    (void)snprintf(x->owner, sizeof x->owner, "%s", owner);
}

void hg_exchange_note(hg_exchange *x, const char *model, size_t n_prompt, size_t n_completion)
{
    (void)pthread_mutex_lock(&x->lock);
    (void)snprintf(x->model, sizeof x->model, "%s", model);
    x->n_prompt = n_prompt;
    x->n_completion = n_completion;
    (void)pthread_mutex_unlock(&x->lock);
}

void hg_exchange_note_code(hg_exchange *x, const char *code)
{
    (void)pthread_mutex_lock(&x->lock);
    (void)snprintf(x->code, sizeof x->code, "%s", code != NULL ? code : "");
    (void)pthread_mutex_unlock(&x->lock);
}

void hg_exchange_tell(const hg_exchange *x, hg_exchange_facts *out)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&x->lock;

    (void)pthread_mutex_lock(lock);
    *out = (hg_exchange_facts){.model = x->model,
                               .code = x->code,
                               .n_prompt = x->n_prompt,
                               .n_completion = x->n_completion,
                               .status = x->phase > PHASE_WORKING ? x->status : 0,
                               .seconds = hg_seconds() - x->started,
                               .is_cut_off = x->gone && !x->ended};
    (void)pthread_mutex_unlock(lock);
}

hg_bytes hg_exchange_body(const hg_exchange *x)
{
    if (x->spill.map != NULL) return (hg_bytes){x->spill.map, x->spill.n};
    return (hg_bytes){x->body.n > 0 ? x->body.p : "", x->body.n};
}

hg_arena *hg_exchange_memory(hg_exchange *x)
{
    return &x->mem;
}

const char *hg_exchange_header(const hg_exchange *x, const char *name)
{
    for (size_t i = 0; i < x->n_fields; i++) {
        if (strcasecmp(x->fields[i].name, name) == 0) return x->fields[i].value;
    }
    return NULL;
}

const char *hg_exchange_query(const hg_exchange *x, const char *name)
{
    for (size_t i = 0; i < x->n_arguments; i++) {
        if (strcmp(x->arguments[i].name, name) == 0) return x->arguments[i].value;
    }
    return NULL;
}

bool hg_exchange_argument(const hg_exchange *x, size_t i, const char **name, const char **value)
{
    if (i >= x->n_arguments) return false;
    *name = x->arguments[i].name;
    *value = x->arguments[i].value;
    return true;
}

/* With the lock held. */
static void wake(hg_exchange *x)
{
    if (!x->suspended || x->connection == NULL) return;
    x->suspended = false;
    MHD_resume_connection(x->connection);
    http_wake(x->http);
}

/* With the lock held: the socket lives while libmicrohttpd carries the connection. The door and
 * libmicrohttpd both see the end. */
static void drop(hg_exchange *x)
{
    if (x->connection != NULL) (void)shutdown(x->fd, SHUT_RDWR);
}

void hg_exchange_set_watch(hg_exchange *x, const hg_exchange_watch *w)
{
    (void)pthread_mutex_lock(&x->lock);
    bool gone = x->gone;
    x->watch = *w;
    if (gone) x->watch.on_gone = NULL;
    (void)pthread_mutex_unlock(&x->lock);
    if (gone && w->on_gone != NULL) w->on_gone(w->ctx);
}

void hg_exchange_add_header(hg_exchange *x, const char *name, const char *value)
{
    (void)pthread_mutex_lock(&x->lock);
    char *copy = x->is_withheld ? NULL : hg_arena_strndup(&x->mem, value, strlen(value));
    if (copy != NULL && x->n_extra < MAX_REPLY_HEADERS)
        x->extra[x->n_extra++] = (header){name, copy};
    (void)pthread_mutex_unlock(&x->lock);
}

void hg_exchange_withhold(hg_exchange *x)
{
    (void)pthread_mutex_lock(&x->lock);
    x->is_withheld = true;
    (void)pthread_mutex_unlock(&x->lock);
}

static void reply(hg_exchange *x, int status, const char *type, hg_bytes body, bool is_static)
{
    (void)pthread_mutex_lock(&x->lock);
    const bool is_withheld = x->is_withheld;
    if (x->phase <= PHASE_WORKING && !is_withheld) {
        x->phase = PHASE_REPLY;
        x->status = status;
        x->type = type;
        if (is_static)
            x->fixed = body;
        else
            hg_buf_put(&x->out, body.p, body.n);
        x->ended = true;
        wake(x);
    }
    (void)pthread_mutex_unlock(&x->lock);
    if (!is_withheld) inside_settle(x);
}

void hg_exchange_reply(hg_exchange *x, int status, const char *type, hg_bytes body)
{
    reply(x, status, type, body, false);
}

void hg_exchange_reply_static(hg_exchange *x, int status, const char *type, hg_bytes body)
{
    reply(x, status, type, body, true);
}

void hg_exchange_reply_file(hg_exchange *x, int status, const char *type, int fd, uint64_t offset,
                            uint64_t n)
{
    (void)pthread_mutex_lock(&x->lock);
    const bool is_withheld = x->is_withheld;
    const bool is_first = x->phase <= PHASE_WORKING && !is_withheld;
    if (is_first) {
        x->phase = PHASE_REPLY;
        x->status = status;
        x->type = type;
        x->file = fd;
        x->file_at = offset;
        x->file_n = n;
        x->ended = true;
        wake(x);
    }
    (void)pthread_mutex_unlock(&x->lock);
    if (!is_first) (void)close(fd);
    if (!is_withheld) inside_settle(x);
}

bool hg_exchange_stream(hg_exchange *x, hg_stream_kind kind)
{
    static const char *const types[] = {"text/event-stream; charset=utf-8", "application/x-ndjson",
                                        "application/json"};

    (void)pthread_mutex_lock(&x->lock);
    bool ok = x->phase <= PHASE_WORKING && !x->gone && !x->is_withheld;
    if (ok) {
        x->phase = PHASE_STREAM;
        x->status = 200;
        x->type = types[kind];
        x->stream_kind = kind;
        x->moved = x->wrote = hg_seconds();
        wake(x);
    }
    (void)pthread_mutex_unlock(&x->lock);
    return ok;
}

/* What was sent is cut off now and then, so that the buffer holds what is unread and little more.
 */
static void append(hg_exchange *x, hg_bytes event)
{
    if (x->out_at > 64 * 1024) {
        memmove(x->out.p, x->out.p + x->out_at, x->out.n - x->out_at);
        x->out.n -= x->out_at;
        x->out_at = 0;
    }
    hg_buf_put(&x->out, event.p, event.n);
}

bool hg_exchange_put(hg_exchange *x, hg_bytes event)
{
    (void)pthread_mutex_lock(&x->lock);
    bool ok = x->phase == PHASE_STREAM && !x->gone && !x->ended && !x->out.failed;
    const bool is_told = ok && x->inside.on_part != NULL;
    if (ok && !is_told) {
        /* The clock of a stalled client starts when there is something to read. */
        x->wrote = hg_seconds();
        if (x->out.n == 0) x->moved = x->wrote;
        append(x, event);
        if (x->out.n - x->out_at > x->max_unread) {
            x->out.failed = true;
            drop(x);
            ok = false;
        }
        wake(x);
    }
    (void)pthread_mutex_unlock(&x->lock);
    if (is_told) x->inside.on_part(x->inside.ctx, event);
    return ok;
}

void hg_exchange_allow(hg_exchange *x, size_t n)
{
    (void)pthread_mutex_lock(&x->lock);
    x->max_unread += n;
    (void)pthread_mutex_unlock(&x->lock);
}

void hg_exchange_end(hg_exchange *x)
{
    (void)pthread_mutex_lock(&x->lock);
    x->ended = true;
    wake(x);
    (void)pthread_mutex_unlock(&x->lock);
    inside_settle(x);
}

void exchange_lost(hg_exchange *x)
{
    (void)pthread_mutex_lock(&x->lock);
    hg_exchange_watch w = x->watch;
    bool first = !x->gone && !x->ended;
    x->gone = true;
    x->watch.on_gone = NULL;
    /* libmicrohttpd waits for the rest of a body and may miss that none will come. */
    if (x->phase == PHASE_READING) drop(x);
    wake(x);
    (void)pthread_mutex_unlock(&x->lock);
    if (first && w.on_gone != NULL) w.on_gone(w.ctx);
    inside_settle(x);
}

/* A body that does not come (the client is told: nothing else has been written to it yet), or a
 * stream that is not read. */
static void end_overdue(hg_exchange *x, const hg_http_options *o, double now)
{
    if (x->connection == NULL || x->gone) return;
    const double since = x->is_large ? x->moved : x->started;
    if (x->phase == PHASE_READING && now - since > o->body_s) {
        door_write_refusal(x->fd, o, 408, "the body of the request did not arrive in time");
        drop(x);
    }
    if (x->phase == PHASE_STREAM && x->out.n > x->out_at && now - x->moved > o->stall_s) drop(x);
}

void exchange_tick(hg_exchange *x, const hg_http_options *o)
{
    double now = hg_seconds();

    (void)pthread_mutex_lock(&x->lock);
    hg_exchange_watch w = x->watch;
    bool waiting = x->phase == PHASE_WORKING && !x->gone;
    end_overdue(x, o, now);
    if (x->phase == PHASE_STREAM && !x->ended && !x->gone && now - x->wrote > PING_S) {
        if (x->out.n == 0) x->moved = now;
        append(x, x->stream_kind == HG_STREAM_EVENTS ? (hg_bytes){": ping\n\n", 8}
                                                     : (hg_bytes){" ", 1});
        x->wrote = now;
        wake(x);
    }
    (void)pthread_mutex_unlock(&x->lock);
    if (waiting && w.on_tick != NULL) w.on_tick(w.ctx, now - x->started);
}

/* libmicrohttpd asks for the next bytes of a stream. */
static ssize_t read_stream(void *ctx, uint64_t pos, char *buf, size_t max)
{
    hg_exchange *x = ctx;
    ssize_t got = 0;

    (void)pos;
    (void)pthread_mutex_lock(&x->lock);
    size_t n = x->out.n - x->out_at;
    if (x->gone || x->out.failed) {
        got = MHD_CONTENT_READER_END_WITH_ERROR;
    } else if (n > 0) {
        if (n > max) n = max;
        memcpy(buf, x->out.p + x->out_at, n);
        x->out_at += n;
        x->moved = hg_seconds();
        if (x->out_at == x->out.n) {
            hg_buf_clear(&x->out);
            x->out_at = 0;
        }
        got = (ssize_t)n;
    } else if (x->ended) {
        got = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        x->suspended = true;
        MHD_suspend_connection(x->connection);
    }
    (void)pthread_mutex_unlock(&x->lock);
    return got;
}

/* libmicrohttpd closes the descriptor with the response. */
static struct MHD_Response *response_from_file(hg_exchange *x)
{
    struct MHD_Response *r =
        MHD_create_response_from_fd_at_offset64(x->file_n, x->file, x->file_at);

    if (r != NULL) x->file = -1;
    return r;
}

/* Called without the lock, on the door's thread, when nothing else writes any more but a
 * stream's bytes. */
struct MHD_Response *exchange_response(hg_exchange *x)
{
    struct MHD_Response *r;

    if (x->phase == PHASE_STREAM)
        r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 8192, read_stream, x, NULL);
    else if (x->file >= 0 && x->file_n > 0)
        r = response_from_file(x);
    else if (x->fixed.p != NULL)
        r = MHD_create_response_from_buffer(x->fixed.n, (void *)(uintptr_t)x->fixed.p,
                                            MHD_RESPMEM_PERSISTENT);
    else
        r = MHD_create_response_from_buffer(x->out.n, x->out.n > 0 ? x->out.p : (char *)x->id,
                                            MHD_RESPMEM_PERSISTENT);
    if (r == NULL) return NULL;
    if (x->type != NULL) (void)MHD_add_response_header(r, "Content-Type", x->type);
    (void)MHD_add_response_header(r, "Connection", "close");
    (void)MHD_add_response_header(r, "X-Request-Id", x->id);
    (void)MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    if (x->phase == PHASE_STREAM) {
        (void)MHD_add_response_header(r, "Cache-Control", "no-store");
        (void)MHD_add_response_header(r, "X-Accel-Buffering", "no");
    }
    for (size_t i = 0; i < x->n_extra; i++)
        (void)MHD_add_response_header(r, x->extra[i].name, x->extra[i].value);
    return r;
}
