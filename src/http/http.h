/* HTTP for the server, one request a connection: a door that judges heads, libmicrohttpd for bodies
 * and replies, desks (threads) that run the handler, and exchanges that any thread may answer. */
#ifndef HG_HTTP_HTTP_H
#define HG_HTTP_HTTP_H

#include "base/mem.h"

typedef struct hg_http hg_http;
typedef struct hg_exchange hg_exchange;

typedef struct hg_http_options {
    const char *host;         /* a numeric address or a name that resolves to one */
    uint16_t port;            /* 0: any free one */
    uint32_t max_connections; /* more are answered 503 */
    size_t max_body;          /* more is answered 413 */
    /* How long a body may be for this target, judged by the head alone; NULL or
     * 0: max_body.
     * What is over max_body, and what is to be spilled, is taken only from whom `trusts` lets send
     * so much, which is asked once, when the headers are there; of others it is read to be
     * forgotten, and their request is handled without a body, so that they hear why. It may set the
     * exchange's owner. Both on the door's thread. */
    size_t (*max_body_of)(void *ctx, hg_bytes method, hg_bytes target);
    bool (*trusts)(void *ctx, hg_exchange *x);
    /* Bodies that outgrow max_memory go to a file without a name in the folder `spill` and are
     * mapped; NULL: all are kept in memory. At most max_spills at a time, half of them of one owner
     * (whose request has none is not counted); more are answered 503, a full disk 507. */
    const char *spill;
    size_t max_memory;
    uint32_t max_spills;
    double head_s, body_s; /* time for a head and for a body: 408. Where more than max_body is
                              allowed, for each 64 KiB of it */
    double stall_s;        /* a client that leaves a stream unread so long is dropped */
    size_t max_unread;     /* and one that leaves so many bytes unread */
    int n_desks;
    /* Called on a desk once the whole request is there. It must see to it that a reply or a stream
     * comes, now or later, from any thread. */
    void (*handle)(void *ctx, hg_exchange *x);
    /* The same for one that hg_exchange_requeue has brought back; NULL: handle. */
    void (*again)(void *ctx, hg_exchange *x);
    /* Once when an exchange that was let in is over, on the door's thread; NULL: nobody asks. */
    void (*done)(void *ctx, const hg_exchange *x);
    /* Writes the body (JSON) of a refusal that the door makes by itself. */
    void (*explain)(void *ctx, hg_buf *body, int status, const char *why);
    void *ctx;
} hg_http_options;
/* 127.0.0.1, 0, 512 connections, 8 MiB, NULL, NULL, NULL, 1 MiB, 16, 10 s, 30 s, 30 s, 1 MiB, 2
 * desks. */
void hg_http_options_init(hg_http_options *o);

/* Listens when it returns. Strings of `o` need not live on. */
hg_status hg_http_start(hg_http **out, const hg_http_options *o, hg_err *e);
uint16_t hg_http_port(const hg_http *h);
/* From now on nobody new is let in; what is open goes on. */
void hg_http_quiesce(hg_http *h);
/* Requests that have been let in and are not answered to the end. */
uint32_t hg_http_count(hg_http *h);
/* Drops what is still open (their on_gone is called) and ends all threads of h. */
void hg_http_stop(hg_http *h);
/* After stop, and after everybody has released their exchanges. NULL is fine. */
void hg_http_free(hg_http *h);

/* ---- requests from within ---- */
/* A request that no connection brought. The handler answers it on a desk as any other; whom it is
 * for is known already. All of it is copied. */
typedef struct hg_inside {
    const char *method, *path, *owner;
    const char *const *fields; /* headers: name, value, name, value ..., NULL; or NULL */
    hg_bytes body;
    /* The bytes of a stream as they come; NULL: on_done gets them all. */
    void (*on_part)(void *ctx, hg_bytes part);
    /* Once, from any thread, without a lock: the answer, or status 0 when it was canceled or the
     * server stops. */
    void (*on_done)(void *ctx, int status, const char *type, hg_bytes body);
    void *ctx;
} hg_inside;
/* *out (may be NULL) is held for the caller. It may be done before this returns. HG_E_STATE: the
 * server stops; then nothing is called. */
hg_status hg_http_ask(hg_http *h, const hg_inside *q, hg_exchange **out, hg_err *e);
/* As if its client had gone; nothing when it is done. For requests from within. */
void hg_exchange_cancel(hg_exchange *x);
bool hg_exchange_is_inside(const hg_exchange *x);

/* ---- one exchange ---- */
/* The request; all of it lives as long as the exchange. */
const char *hg_exchange_method(const hg_exchange *x);
const char *hg_exchange_path(const hg_exchange *x); /* raw: %2F stays, no query */
const char *hg_exchange_id(const hg_exchange *x);   /* of x-request-id */
hg_bytes hg_exchange_body(const hg_exchange *x);
/* The value of a header (any case), or NULL. */
const char *hg_exchange_header(const hg_exchange *x, const char *name);
/* The value of an argument of the query, as it was sent, or NULL; 16 are read. */
const char *hg_exchange_query(const hg_exchange *x, const char *name);
/* The i-th argument as it was sent; false behind the last. */
bool hg_exchange_argument(const hg_exchange *x, size_t i, const char **name, const char **value);
/* Whose token let it in; "" before the guard has said. */
const char *hg_exchange_owner(const hg_exchange *x);
void hg_exchange_set_owner(hg_exchange *x, const char *owner); /* copied */
/* For who writes down what happened: the model that answers and its tokens. */
void hg_exchange_note(hg_exchange *x, const char *model, size_t n_prompt, size_t n_completion);
/* Why it was refused: the problem's code, which not every protocol's body tells. NULL: none. */
void hg_exchange_note_code(hg_exchange *x, const char *code);
typedef struct hg_exchange_facts {
    const char *model; /* "" */
    const char *code;  /* "": none was noted */
    size_t n_prompt, n_completion;
    int status; /* of the answer; 0: there was none */
    double seconds;
    bool is_cut_off; /* the client was gone before the answer's end */
} hg_exchange_facts;
void hg_exchange_tell(const hg_exchange *x, hg_exchange_facts *out);
/* Memory that ends with the exchange. Used by one thread at a time: the handler's until it returns.
 */
hg_arena *hg_exchange_memory(hg_exchange *x);

/* Whoever answers later than in the handler holds the exchange until then. */
void hg_exchange_hold(hg_exchange *x);
void hg_exchange_release(hg_exchange *x);

/* For what waits for something long without a desk: whatever the handler goes on to answer is not
 * told, nor its headers. Then, when it has returned and from any thread, x, which the caller holds,
 * is handed to a desk once more. */
void hg_exchange_withhold(hg_exchange *x);
void hg_exchange_requeue(hg_exchange *x);

/* on_gone: once, when the client is gone before the answer's end (possibly at once, in the calling
 * thread). on_tick: about each second while nothing has been answered. Called without any lock; the
 * exchange is held meanwhile. */
typedef struct hg_exchange_watch {
    void (*on_gone)(void *ctx);
    void (*on_tick)(void *ctx, double age_s);
    void *ctx;
} hg_exchange_watch;
void hg_exchange_set_watch(hg_exchange *x, const hg_exchange_watch *w);

/* Another header of the reply, before the reply. */
void hg_exchange_add_header(hg_exchange *x, const char *name, const char *value);
/* The whole answer; bytes are copied. The first of reply and stream counts, later ones do nothing.
 */
void hg_exchange_reply(hg_exchange *x, int status, const char *type, hg_bytes body);
/* Bytes that live as long as the program (a page in the binary) are not copied. */
void hg_exchange_reply_static(hg_exchange *x, int status, const char *type, hg_bytes body);
/* n bytes of an open file from `offset` on; `fd` belongs to the exchange from now on. */
void hg_exchange_reply_file(hg_exchange *x, int status, const char *type, int fd, uint64_t offset,
                            uint64_t n);
/* What a stream's bytes are: server-sent events, lines of JSON, or one JSON text. While nothing
 * comes, a comment or a space keeps it alive. */
typedef enum hg_stream_kind { HG_STREAM_EVENTS, HG_STREAM_LINES, HG_STREAM_JSON } hg_stream_kind;
/* A stream: begin, put, put, end. False when the client is gone, was too slow
 * or has been answered already: then nothing more need be put. */
bool hg_exchange_stream(hg_exchange *x, hg_stream_kind kind);
bool hg_exchange_put(hg_exchange *x, hg_bytes event);
/* Lets so many bytes more be unread: for what is put at once. */
void hg_exchange_allow(hg_exchange *x, size_t n);
void hg_exchange_end(hg_exchange *x);

const char *hg_http_reason(int status); /* "Not Found" */

#endif
