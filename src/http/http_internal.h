/* What http.c, door.c and exchange.c share, and nobody else. */
#ifndef HG_HTTP_HTTP_INTERNAL_H
#define HG_HTTP_HTTP_INTERNAL_H

#include "http/http.h"

#include <pthread.h>
#include <microhttpd.h>

/* ---- the door: accepts, judges heads, watches the sockets of those who wait ---- */
typedef struct door door;
hg_status door_open(door **out, hg_http *h, const hg_http_options *o, hg_err *e);
uint16_t door_port(const door *d);
void door_quiesce(door *d);
/* Ends the door's wait, from any thread. */
void door_wake(door *d);
void door_stop(door *d); /* ends its thread; the table of visitors lives until free */
void door_free(door *d);
/* The exchange that is carried on at this socket (NULL: none any more). True when the other side
 * has hung up already. */
bool door_bind(door *d, int fd, hg_exchange *x);
/* libmicrohttpd is about to close the socket. */
void door_forget(door *d, int fd);
/* Marks all exchanges at the door as lost. */
void door_drop_all(door *d);
/* A whole refusal, written to a socket that nothing else has been written to. */
void door_write_refusal(int fd, const hg_http_options *o, int status, const char *why);
/* Hands an accepted socket to libmicrohttpd, which owns it from now on. */
bool http_adopt(hg_http *h, int fd, const void *addr, size_t addr_size);
/* libmicrohttpd runs on the door's thread: what to wait for, how long at most, and its turn. */
int http_poll_fd(const hg_http *h);
int http_patience_ms(hg_http *h, int at_most);
void http_work(hg_http *h);
/* After a connection was resumed. libmicrohttpd's own signal is not enough: one that comes while it
 * has its turn is cleared before it is looked at. */
void http_wake(hg_http *h);
/* Queues an exchange from within, which is at home in the list of them until inside_settle. False:
 * the server stops. */
bool http_enter_inside(hg_http *h, hg_exchange *x);
void http_leave_inside(hg_http *h, hg_exchange *x);
/* A spilled body has ended with its exchange. */
void http_spill_closed(hg_http *h, size_t place);

/* ---- exchanges ---- */
typedef enum phase { PHASE_READING, PHASE_WORKING, PHASE_REPLY, PHASE_STREAM } phase;
typedef struct header {
    const char *name, *value;
} header;
enum { MAX_REPLY_HEADERS = 16, MAX_ARGUMENTS = 16, MAX_FIELDS = 128 };

/* ---- bodies ---- */
/* A file without a name. */
typedef struct spilled {
    bool is_open;
    int fd;
    size_t place; /* of the server's, while it is open */
    size_t n;
    void *map; /* [n], once the body is whole; NULL before */
} spilled;
hg_status spill_open(spilled *s, const char *folder);
hg_status spill_put(spilled *s, const void *p, size_t n);
hg_status spill_map(spilled *s);
void spill_close(spilled *s);

struct hg_exchange {
    hg_http *http; /* lives while libmicrohttpd carries the connection */
    atomic_uint n_holders;
    size_t max_unread;
    hg_arena mem;
    int fd;
    /* the request: written by the door's thread before the desk sees it */
    const char *method, *path;
    char id[32], owner[64], model[128], code[32];
    size_t n_prompt, n_completion; /* these four under the lock */
    header *fields;
    size_t n_fields;
    header arguments[MAX_ARGUMENTS]; /* of the query */
    size_t n_arguments;
    hg_buf body;
    size_t max_body;     /* for this request */
    bool is_large;       /* more than the usual is allowed */
    bool is_trusted;     /* and it is known that he may send so much */
    size_t n_swallowed;  /* bytes of a body over the limit, read to be forgotten */
    spilled spill;       /* the body, when it has outgrown memory */
    int refusal;         /* status of what went wrong with the body, or 0 */
    size_t n_body, told; /* bytes that have come, and had come when `moved` was set last */
    hg_exchange *next;   /* in the desks' queue */
    bool is_again;       /* and it was on a desk before */
    bool is_inside;      /* no connection has brought it */
    hg_inside inside;    /* whom its answer goes to */
    hg_exchange *sibling, **place; /* in the list of those, under the server's lock */

    pthread_mutex_t lock;              /* guards what follows */
    struct MHD_Connection *connection; /* NULL once libmicrohttpd is done with it */
    bool suspended;                    /* waits for us; resuming is the waker's duty */
    bool settled;                      /* on_done of an exchange from within was called */
    bool gone;                         /* nobody reads the answer any more */
    bool is_withheld;                  /* its handler is to be called again */
    phase phase;
    hg_stream_kind stream_kind;
    int status;
    const char *type;
    header extra[MAX_REPLY_HEADERS];
    size_t n_extra;
    hg_bytes fixed; /* a static body, when p is not NULL */
    int file;       /* or a file's part; -1: none */
    uint64_t file_at, file_n;
    hg_buf out; /* the body, or the part of a stream that is not sent */
    size_t out_at;
    bool ended;
    double started, moved, wrote; /* monotonic: arrival, last byte taken, last event put */
    hg_exchange_watch watch;
};

/* An exchange that has a name and nothing else; NULL: no room. */
hg_exchange *exchange_blank(hg_http *h, size_t max_unread, const char *method, const char *path);
hg_exchange *exchange_new(hg_http *h, size_t max_unread, struct MHD_Connection *c,
                          const char *method, const char *path);
/* The client is gone: wakes a waiting connection and tells the watch. */
void exchange_lost(hg_exchange *x);
/* After the answer's end, or its loss: tells it to whoever asked from within. Without the lock. */
void inside_settle(hg_exchange *x);
/* About once a second: time limits, keep-alive comments, the watch's tick. */
void exchange_tick(hg_exchange *x, const hg_http_options *o);
/* Ready to send: the response of libmicrohttpd for a reply or a stream. */
struct MHD_Response *exchange_response(hg_exchange *x);

#endif
