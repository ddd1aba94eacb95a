/* One prediction: what was asked, how far it is, what has been said. The parts that change are
 * events (pieces of output, lines of logs), a status and an end; streams and those who wait hear of
 * them as they come. */
#ifndef HG_SERVE_REPLICATE_PREDICTION_H
#define HG_SERVE_REPLICATE_PREDICTION_H

#include "base/clock.h"
#include "serve/server.h"

#include <pthread.h>

typedef enum hg_prediction_status {
    HG_STARTING,
    HG_PROCESSING,
    HG_SUCCEEDED, /* this and what follows: it has ended */
    HG_FAILED,
    HG_CANCELED,
    HG_ABORTED, /* its deadline came before it began */
    HG_N_STATUS
} hg_prediction_status;
const char *hg_prediction_word(hg_prediction_status s); /* "starting" */
bool hg_prediction_parse_status(const char *word, hg_prediction_status *out);

/* What webhooks are told of. */
enum { HG_ON_START = 1, HG_ON_OUTPUT = 2, HG_ON_LOGS = 4, HG_ON_COMPLETED = 8, HG_ON_ALL = 15 };
extern const char *const hg_webhook_events[5]; /* the words of the bits; ends with NULL */

typedef struct hg_prediction_event {
    char kind; /* 'o' output, 'l' logs */
    size_t at, n;
} hg_prediction_event;

struct hg_predictions;
typedef struct hg_listener hg_listener;
typedef struct hg_prediction {
    /* Of those that are open, and of those in the queue; their table's lock guards them. */
    struct hg_prediction *next, *next_queued;
    bool is_given; /* to a starter, and the engine behind it */
    struct hg_predictions *all;
    atomic_uint n_holders;
    /* What it was made with; it does not change. */
    char id[27], secret[53], owner[64], model[132], version[65];
    uint64_t owner_key; /* of owner */
    char backend[128];  /* the model that answers, as the server knows it */
    const char *source;
    char *input, *base, *deployment, *webhook; /* JSON; "http://host"; the last two may be NULL */
    unsigned webhook_events;
    int64_t created, deadline; /* unix milliseconds; deadline 0: none */
    double deadline_s;         /* monotonic; with a deadline */
    double created_s;          /* monotonic */
    atomic_bool cancel;        /* asks the engine to end */

    pthread_mutex_t lock; /* guards what follows */
    hg_prediction_status status;
    int64_t started, completed; /* unix milliseconds; 0: not yet */
    double started_s;           /* monotonic */
    hg_buf text;                /* of all events */
    hg_prediction_event *event;
    size_t n_events, cap_events;
    char *error;
    char *metrics; /* JSON, or NULL */
    bool is_removed;
    bool is_cut_off;              /* the server ends */
    const hg_backend *running_on; /* held while it runs */
    hg_listener *listeners;
    /* the keeper's */
    atomic_bool is_saved;
    size_t n_saved, n_told; /* events */
    double saved_s, told_s;
    bool start_is_told;
} hg_prediction;

/* Empty, held by the caller; NULL: no room. */
hg_prediction *hg_prediction_new(struct hg_predictions *all);
void hg_prediction_hold(hg_prediction *p);
void hg_prediction_release(hg_prediction *p); /* NULL is fine */

/* With the lock held. */
static inline bool hg_prediction_has_ended(const hg_prediction *p)
{
    return p->status >= HG_SUCCEEDED;
}
/* Whether clients may hear of its end: not before it is kept, since a kill would take it back. */
static inline bool hg_prediction_is_over(const hg_prediction *p)
{
    return hg_prediction_has_ended(p) && atomic_load(&p->is_saved);
}
void hg_prediction_add(hg_prediction *p, char kind, hg_bytes text);
/* Output as clients can take it: none of its pieces begins as a link or a data URI does, which they
 * would fetch. */
void hg_prediction_say(hg_prediction *p, hg_bytes text);
/* Unix milliseconds, but never before what has happened to it already: the day's clock may have
 * been set back. */
int64_t hg_prediction_now(const hg_prediction *p);
/* It has ended so; `error` may be NULL. */
void hg_prediction_end(hg_prediction *p, hg_prediction_status status, const char *error);
/* Its end is kept: listeners are told and let go. */
void hg_prediction_tell_end(hg_prediction *p);
/* As if it had not begun, but for its seed. Without the lock. */
void hg_prediction_take_back(hg_prediction *p);
/* As clients see it. `waiting`: as one that has not begun, which is how those who waited in vain
 * are told to ask again. */
void hg_prediction_put(hg_json_out *o, const char *key, const hg_prediction *p, bool waiting);
/* Its events as a JSON array, and back. */
void hg_prediction_put_events(hg_buf *b, const hg_prediction *p);
bool hg_prediction_read_events(hg_prediction *p, const char *json);

/* Whoever reads the stream: all events behind `from`, then what comes, until the end. Without the
 * lock. */
void hg_prediction_listen(hg_prediction *p, hg_exchange *x, size_t from);

/* Of unix milliseconds: "2026-01-31T12:00:00.123Z". */
void hg_iso_ms(int64_t ms, char out[40]);

#endif
