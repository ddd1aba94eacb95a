/* Many clients of a server at once, from one thread: each asks for a stream of events by POST over
 * a connection of its own, and what counts is when its pieces come. Any server that speaks OpenAI's
 * completions can be loaded. */
#ifndef HG_BENCH_LOAD_H
#define HG_BENCH_LOAD_H

#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LOAD_MAX = 1024, LOAD_ROOM = 1 << 16 };

/* One request, and how it went. Seconds are counted from its start. */
typedef struct load_client {
    int fd;                               /* -1: not open (any more) */
    double started, first, last, longest; /* longest: between two events, or before the first */
    uint32_t events;
    bool ok;       /* 200, and its end came */
    char tail[16]; /* of what was read, for marks that lie across two reads */
    char head[64];
    size_t n_head;
} load_client;

static inline int load_connect(int port)
{
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    if (fd >= 0 && connect(fd, (const struct sockaddr *)(const void *)&to, sizeof to) != 0) {
        (void)close(fd);
        return -1;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    return fd;
}

/* Sends the request; the answer is read by load_wait. */
static inline void load_begin(load_client *c, int port, const char *key, const char *body)
{
    static char request[LOAD_ROOM];
    const int n = snprintf(request, sizeof request,
                           "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                           "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
                           "Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
                           port, key, strlen(body), body);
    memset(c, 0, sizeof *c);
    c->started = hg_seconds();
    c->fd = load_connect(port);
    if (c->fd < 0) return;
    for (int at = 0; at < n;) {
        const ssize_t k = write(c->fd, request + at, (size_t)(n - at));
        if (k <= 0) {
            (void)close(c->fd);
            c->fd = -1;
            return;
        }
        at += (int)k;
    }
}

static inline void load_event(load_client *c)
{
    const double now = hg_seconds() - c->started, gap = now - c->last;
    if (c->events++ == 0) c->first = now;
    if (gap > c->longest) c->longest = gap;
    c->last = now;
}

/* Counts "data:" lines; the end is "[DONE]". */
static inline void load_take(load_client *c, const char *p, size_t n)
{
    char room[LOAD_ROOM + sizeof c->tail];
    const size_t before = strlen(c->tail);
    memcpy(room, c->tail, before);
    memcpy(room + before, p, n);
    n += before;
    if (c->n_head < sizeof c->head - 1 && before == 0) {
        c->n_head = n < sizeof c->head - 1 ? n : sizeof c->head - 1;
        memcpy(c->head, room, c->n_head);
    }
    size_t at = 0;
    for (; at + 6 <= n; at++) {
        if (memcmp(room + at, "[DONE]", 6) == 0) c->ok = strncmp(c->head + 8, " 200", 4) == 0;
        if (memcmp(room + at, "\ndata: ", 6) == 0 && !c->ok) load_event(c);
    }
    const size_t keep = n - at;
    memcpy(c->tail, room + at, keep);
    c->tail[keep] = '\0';
}

static inline void load_read(load_client *c)
{
    static char room[LOAD_ROOM];
    const ssize_t n = read(c->fd, room, sizeof room);
    if (n > 0) {
        load_take(c, room, (size_t)n);
        return;
    }
    if (n < 0 && errno == EINTR) return;
    (void)close(c->fd);
    c->fd = -1;
}

/* Reads until every answer has ended, or `most_s` seconds are over. */
static inline void load_wait(load_client *c, size_t n, double most_s)
{
    static struct pollfd p[LOAD_MAX];
    static size_t of[LOAD_MAX];
    const double end = hg_seconds() + most_s;
    while (hg_seconds() < end) {
        size_t open = 0;
        for (size_t i = 0; i < n; i++)
            if (c[i].fd >= 0) p[open] = (struct pollfd){c[i].fd, POLLIN, 0}, of[open++] = i;
        if (open == 0 || poll(p, open, 1000) < 0) return;
        for (size_t i = 0; i < open; i++)
            if (p[i].revents != 0) load_read(&c[of[i]]);
    }
    for (size_t i = 0; i < n; i++)
        if (c[i].fd >= 0) (void)close(c[i].fd), c[i].fd = -1;
}

#endif
