/* The door of the server. It listens, waits for the head of each request without taking it out of
 * the socket (MSG_PEEK), judges it, and hands the socket with the unread bytes to libmicrohttpd;
 * what is refused never gets there and is answered here, in one reply. A connection carries one
 * request, so nothing can hide behind it. The door keeps watching the sockets it has handed on:
 * libmicrohttpd does not look at a connection that is suspended, and an answer that nobody waits
 * for must stop at once. One thread, one epoll; edge-triggered, because peeked bytes stay readable.
 */
#include "base/clock.h"
#include "base/file.h"
#include "http/head.h"
#include "http/http_internal.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_FD = 8192, LINGER_S = 2, TICK_MS = 500, LISTEN_BACKLOG = 256 };

typedef enum place {
    PLACE_FREE,
    PLACE_HEAD,   /* the head is on its way */
    PLACE_INSIDE, /* libmicrohttpd has it */
    PLACE_LEAVING /* refused: what the client still sends is read, so that it can read our answer */
} place;

typedef struct visitor {
    place place;
    bool hung_up;
    double since;
    hg_exchange *x; /* held */
    struct sockaddr_storage from;
    socklen_t from_size;
} visitor;

struct door {
    hg_http *http;
    hg_http_options o;
    int listener, poll, wake;
    int http_fd; /* libmicrohttpd's own epoll */
    uint16_t port;
    pthread_t thread;
    bool has_thread;
    atomic_bool closing, quiet;
    atomic_bool is_woken; /* a wake waits to be read: another one would say nothing new */
    pthread_mutex_t lock; /* guards the visitors */
    visitor *v;           /* [MAX_FD], by socket */
    uint32_t n_visitors;
};

void door_write_refusal(int fd, const hg_http_options *o, int status, const char *why)
{
    hg_buf body = {0}, all = {0};

    o->explain(o->ctx, &body, status, why);
    hg_buf_printf(&all,
                  "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                  "Connection: close\r\nX-Content-Type-Options: nosniff\r\n%s\r\n",
                  status, hg_http_reason(status), body.n,
                  status == 503 ? "Retry-After: 1\r\n" : "");
    if (body.n > 0) hg_buf_put(&all, body.p, body.n);
    if (!all.failed) (void)send(fd, all.p, all.n, MSG_NOSIGNAL | MSG_DONTWAIT);
    hg_buf_free(&body);
    hg_buf_free(&all);
}

/* The three that follow are called with the lock held, on the door's thread. */
static void close_visitor(door *d, int fd)
{
    d->v[fd].place = PLACE_FREE;
    d->n_visitors--;
    (void)epoll_ctl(d->poll, EPOLL_CTL_DEL, fd, NULL);
    (void)close(fd);
}

static void drain(door *d, int fd)
{
    char bin[4096];
    ssize_t n;

    do n = recv(fd, bin, sizeof bin, MSG_DONTWAIT);
    while (n > 0);
    if (n == 0 || (errno != EAGAIN && errno != EINTR)) close_visitor(d, fd);
}

static void refuse(door *d, int fd, int status, const char *why)
{
    door_write_refusal(fd, &d->o, status, why);
    (void)shutdown(fd, SHUT_WR);
    d->v[fd].place = PLACE_LEAVING;
    d->v[fd].since = hg_seconds();
    drain(d, fd);
}

static size_t limit_of(const door *d, const hg_head *h)
{
    const char *query = memchr(h->target.p, '?', h->target.n);
    const size_t n = query != NULL ? (size_t)(query - h->target.p) : h->target.n;

    const size_t most = d->o.max_body_of != NULL
                            ? d->o.max_body_of(d->o.ctx, h->method, (hg_bytes){h->target.p, n})
                            : 0;
    return most > 0 ? most : d->o.max_body;
}

/* Returns true when the socket is to be handed on. */
static bool judge(door *d, int fd)
{
    char head[HG_HEAD_MAX + 1];
    hg_head h;
    hg_err e = {0};
    size_t most = 0;
    ssize_t n = recv(fd, head, sizeof head, MSG_PEEK | MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (n <= 0) {
        close_visitor(d, fd);
        return false;
    }
    int status = hg_head_check((hg_bytes){head, (size_t)n}, &h, &e);
    if (status == 0 && d->v[fd].hung_up) {
        refuse(d, fd, 400, "the request ended within its head");
    } else if (status != 0 && status != 200) {
        refuse(d, fd, status, e.msg);
    } else if (status == 200 && h.length > (most = limit_of(d, &h))) {
        (void)hg_fail(&e, HG_E_LIMIT, "the body of the request is longer than %zu bytes", most);
        refuse(d, fd, 413, e.msg);
    } else if (status == 200 && d->quiet) {
        refuse(d, fd, 503, "the server is shutting down");
    } else {
        return status == 200;
    }
    return false;
}

static void hand_on(door *d, int fd)
{
    struct epoll_event ev = {.events = EPOLLRDHUP | EPOLLET, .data.fd = fd};
    struct sockaddr_storage from = d->v[fd].from;
    socklen_t size = d->v[fd].from_size;

    d->v[fd].place = PLACE_INSIDE;
    d->v[fd].hung_up = false;
    (void)epoll_ctl(d->poll, EPOLL_CTL_MOD, fd, &ev);
    /* libmicrohttpd may call door_forget at once, which takes the lock. */
    (void)pthread_mutex_unlock(&d->lock);
    bool ok = http_adopt(d->http, fd, &from, size);
    (void)pthread_mutex_lock(&d->lock);
    if (ok || d->v[fd].place != PLACE_INSIDE) return;
    d->v[fd].place = PLACE_FREE; /* the socket is closed already */
    d->n_visitors--;
}

static void welcome(door *d, int fd, const struct sockaddr_storage *from, socklen_t from_size)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.fd = fd};
    int one = 1;

    (void)pthread_mutex_lock(&d->lock);
    if (fd >= MAX_FD || d->n_visitors >= d->o.max_connections + 64 ||
        epoll_ctl(d->poll, EPOLL_CTL_ADD, fd, &ev) != 0) {
        (void)close(fd);
    } else {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        d->v[fd] = (visitor){PLACE_HEAD, false, hg_seconds(), NULL, *from, from_size};
        d->n_visitors++;
        if (d->n_visitors > d->o.max_connections)
            refuse(d, fd, 503, "too many connections are open; try again");
    }
    (void)pthread_mutex_unlock(&d->lock);
}

static void let_in(door *d)
{
    for (;;) {
        struct sockaddr_storage from;
        socklen_t size = sizeof from;
        int fd =
            accept4(d->listener, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            welcome(d, fd, &from, size);
            continue;
        }
        /* No descriptors left: the queue stays readable, so wait a little instead of spinning. */
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) (void)poll(NULL, 0, 20);
        if (errno != EINTR && errno != ECONNABORTED) return;
    }
}

static void look_at(door *d, int fd, uint32_t events)
{
    hg_exchange *lost = NULL;

    (void)pthread_mutex_lock(&d->lock);
    visitor *v = &d->v[fd];
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) v->hung_up = true;
    if (v->place == PLACE_HEAD) {
        if (judge(d, fd)) hand_on(d, fd);
    } else if (v->place == PLACE_LEAVING) {
        drain(d, fd);
    } else if (v->place == PLACE_INSIDE && v->hung_up && v->x != NULL) {
        lost = v->x;
        hg_exchange_hold(lost);
    }
    (void)pthread_mutex_unlock(&d->lock);
    if (lost != NULL) {
        exchange_lost(lost);
        hg_exchange_release(lost);
    }
}

static void tick_one(door *d, int fd, double now)
{
    hg_exchange *x = NULL;

    (void)pthread_mutex_lock(&d->lock);
    visitor *v = &d->v[fd];
    if (v->place == PLACE_HEAD && now - v->since > d->o.head_s)
        refuse(d, fd, 408, "the head of the request did not arrive in time");
    else if (v->place == PLACE_LEAVING && now - v->since > LINGER_S)
        close_visitor(d, fd);
    else if (v->place == PLACE_INSIDE && v->x != NULL)
        hg_exchange_hold(x = v->x);
    (void)pthread_mutex_unlock(&d->lock);
    if (x != NULL) {
        exchange_tick(x, &d->o);
        hg_exchange_release(x);
    }
}

static void *run_door(void *ctx)
{
    door *d = ctx;
    struct epoll_event ev[64];
    double ticked = hg_seconds();
    uint64_t n_wakes;

    while (!atomic_load(&d->closing)) {
        int n = epoll_wait(d->poll, ev, 64, http_patience_ms(d->http, TICK_MS));
        for (int i = 0; i < n; i++) {
            int fd = ev[i].data.fd;
            if (fd == d->listener)
                let_in(d);
            else if (fd == d->wake) {
                (void)!read(d->wake, &n_wakes, sizeof n_wakes);
                atomic_store(&d->is_woken, false); /* before the work: what comes now is seen to */
            } else if (fd != d->http_fd)
                look_at(d, fd, ev[i].events);
        }
        http_work(d->http);
        double now = hg_seconds();
        if (now - ticked < TICK_MS / 1000.0) continue;
        ticked = now;
        for (int fd = 0; fd < MAX_FD; fd++) tick_one(d, fd, now);
    }
    return NULL;
}

static hg_status listen_at(door *d, const char *host, uint16_t port, hg_err *e)
{
    struct addrinfo want = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    struct sockaddr_storage got;
    socklen_t got_size = sizeof got;
    char service[8];
    int one = 1;

    (void)snprintf(service, sizeof service, "%u", (unsigned)port);
    int r = getaddrinfo(host, service, &want, &list);
    if (r != 0)
        return hg_fail(e, HG_E_ARG,
                       "cannot listen on %s: %s; --host must be an address of this "
                       "machine",
                       host, gai_strerror(r));
    d->listener = socket(list->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool ok = d->listener >= 0 &&
              setsockopt(d->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
              bind(d->listener, list->ai_addr, list->ai_addrlen) == 0 &&
              listen(d->listener, LISTEN_BACKLOG) == 0 &&
              getsockname(d->listener, (struct sockaddr *)&got, &got_size) == 0;
    freeaddrinfo(list);
    if (!ok)
        return hg_fail(e, HG_E_IO, "cannot listen on %s, port %u: %s; --port 0 takes any free port",
                       host, (unsigned)port, hg_os_error());
    d->port = ntohs(got.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&got)->sin6_port
                                              : ((struct sockaddr_in *)&got)->sin_port);
    return HG_OK;
}

static hg_status watch_own(door *d, hg_err *e)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = -1};

    d->poll = epoll_create1(EPOLL_CLOEXEC);
    d->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    bool ok = d->poll >= 0 && d->wake >= 0;
    ev.data.fd = d->wake;
    ok = ok && epoll_ctl(d->poll, EPOLL_CTL_ADD, d->wake, &ev) == 0;
    ev.data.fd = d->http_fd;
    ok = ok && epoll_ctl(d->poll, EPOLL_CTL_ADD, d->http_fd, &ev) == 0;
    ev.data.fd = d->listener;
    ok = ok && epoll_ctl(d->poll, EPOLL_CTL_ADD, d->listener, &ev) == 0;
    return ok ? HG_OK : hg_fail(e, HG_E_IO, "cannot watch sockets: %s", hg_os_error());
}

hg_status door_open(door **out, hg_http *h, const hg_http_options *o, hg_err *e)
{
    door *d = hg_alloc(1, sizeof *d);

    *out = NULL;
    if (d == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the server's door");
    d->http = h;
    d->o = *o;
    d->http_fd = http_poll_fd(h);
    d->listener = d->poll = d->wake = -1;
    (void)pthread_mutex_init(&d->lock, NULL);
    d->v = hg_alloc(MAX_FD, sizeof *d->v);
    hg_status s = d->v != NULL ? HG_OK : hg_fail(e, HG_E_NOMEM, "no room for the server's door");
    if (s == HG_OK) s = listen_at(d, o->host, o->port, e);
    if (s == HG_OK) s = watch_own(d, e);
    if (s == HG_OK) {
        *out = d; /* the thread may let somebody in before we return */
        d->has_thread = pthread_create(&d->thread, NULL, run_door, d) == 0;
        if (!d->has_thread) s = hg_fail(e, HG_E_NOMEM, "no room for the server's thread");
    }
    if (s != HG_OK) {
        *out = NULL;
        door_free(d);
    }
    return s;
}

uint16_t door_port(const door *d)
{
    return d->port;
}

void door_quiesce(door *d)
{
    if (atomic_exchange(&d->quiet, true)) return;
    (void)epoll_ctl(d->poll, EPOLL_CTL_DEL, d->listener, NULL);
    (void)shutdown(d->listener, SHUT_RDWR); /* new callers are refused by the system */
}

bool door_bind(door *d, int fd, hg_exchange *x)
{
    if (fd < 0 || fd >= MAX_FD) return false;
    (void)pthread_mutex_lock(&d->lock);
    hg_exchange *old = d->v[fd].x;
    bool hung_up = d->v[fd].hung_up;
    if (x != NULL) hg_exchange_hold(x);
    d->v[fd].x = x;
    (void)pthread_mutex_unlock(&d->lock);
    hg_exchange_release(old);
    return hung_up;
}

void door_forget(door *d, int fd)
{
    if (fd < 0 || fd >= MAX_FD) return;
    (void)pthread_mutex_lock(&d->lock);
    hg_exchange *old = d->v[fd].x;
    d->v[fd].x = NULL;
    if (d->v[fd].place == PLACE_INSIDE) {
        d->v[fd].place = PLACE_FREE;
        d->n_visitors--;
        (void)epoll_ctl(d->poll, EPOLL_CTL_DEL, fd, NULL);
    }
    (void)pthread_mutex_unlock(&d->lock);
    hg_exchange_release(old);
}

void door_drop_all(door *d)
{
    for (int fd = 0; fd < MAX_FD; fd++) {
        (void)pthread_mutex_lock(&d->lock);
        hg_exchange *x = d->v[fd].x;
        if (x != NULL) hg_exchange_hold(x);
        if (d->v[fd].place == PLACE_INSIDE) (void)shutdown(fd, SHUT_RDWR);
        (void)pthread_mutex_unlock(&d->lock);
        if (x == NULL) continue;
        exchange_lost(x);
        hg_exchange_release(x);
    }
}

void door_wake(door *d)
{
    uint64_t one = 1;

    if (!atomic_exchange(&d->is_woken, true)) (void)!write(d->wake, &one, sizeof one);
}

void door_stop(door *d)
{
    door_quiesce(d);
    atomic_store(&d->closing, true);
    if (!d->has_thread) return;
    d->has_thread = false;
    door_wake(d);
    (void)pthread_join(d->thread, NULL);
}

void door_free(door *d)
{
    if (d == NULL) return;
    for (int fd = 0; d->v != NULL && fd < MAX_FD; fd++) {
        if (d->v[fd].place == PLACE_HEAD || d->v[fd].place == PLACE_LEAVING) close_visitor(d, fd);
    }
    if (d->listener >= 0) (void)close(d->listener);
    if (d->poll >= 0) (void)close(d->poll);
    if (d->wake >= 0) (void)close(d->wake);
    hg_free(d->v);
    (void)pthread_mutex_destroy(&d->lock);
    hg_free(d);
}
