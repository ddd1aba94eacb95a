/* Ranks as threads of one process: what the rings and training over several ranks are tested with,
 * under the sanitizers and without MPI. Message i from a to b is copied by b, under the hub's lock,
 * once both sides have begun it. */
#include "harness/hub.h"
#include "base/mem.h"
#include <pthread.h>
#include <stdint.h>
#include <string.h>

enum { QUEUE = 64, CHANNELS = 3, WORD = 4 };

typedef struct pair { /* from one rank to another */
    uint64_t sent, taken, wanted;
    char word[QUEUE][WORD]; /* beats are copied at once: who sent them may leave before they come */
    const void *p[QUEUE];
    size_t n[QUEUE];
} pair;

typedef struct seat {
    hg_hub *hub;
    int rank;
    bool is_mute;
    bool is_receive[HG_N_SLOTS];
    pair *of[HG_N_SLOTS];
    uint64_t number[HG_N_SLOTS];
    void *to[HG_N_SLOTS];
    size_t n[HG_N_SLOTS];
} seat;

struct hg_hub {
    pthread_mutex_t lock;
    int n;
    bool is_broken;
    pair *pairs; /* [CHANNELS][n][n] */
    seat *seats;
};

static pair *pair_of(hg_hub *h, int slot, int from, int to)
{
    int channel = (slot >= HG_SMALL_SLOTS) + (slot >= HG_BEAT_SLOTS);
    return &h->pairs[(channel * h->n + from) * h->n + to];
}

static const char *hub_send(void *ctx, int slot, const void *p, size_t n, int to)
{
    seat *s = ctx;
    pair *q = pair_of(s->hub, slot, s->rank, to);
    (void)pthread_mutex_lock(&s->hub->lock);
    s->is_receive[slot] = false;
    s->of[slot] = q;
    s->number[slot] = q->sent;
    q->p[q->sent % QUEUE] = p;
    q->n[q->sent % QUEUE] = n;
    if (slot >= HG_BEAT_SLOTS && n == WORD)
        q->p[q->sent % QUEUE] = memcpy(q->word[q->sent % QUEUE], p, WORD);
    if (slot < HG_BEAT_SLOTS || !s->is_mute) q->sent++;
    (void)pthread_mutex_unlock(&s->hub->lock);
    return NULL;
}

static const char *hub_receive(void *ctx, int slot, void *p, size_t n, int from)
{
    seat *s = ctx;
    pair *q = pair_of(s->hub, slot, from, s->rank);
    (void)pthread_mutex_lock(&s->hub->lock);
    s->is_receive[slot] = true;
    s->of[slot] = q;
    s->number[slot] = q->wanted++;
    s->to[slot] = p;
    s->n[slot] = n;
    (void)pthread_mutex_unlock(&s->hub->lock);
    return NULL;
}

static const char *take(seat *s, int slot, bool *done)
{
    pair *q = s->of[slot];
    uint64_t i = s->number[slot];
    *done = q->taken == i && q->sent > i;
    if (!*done) return NULL;
    if (q->n[i % QUEUE] != s->n[slot]) return "a message of another length";
    memcpy(s->to[slot], q->p[i % QUEUE], s->n[slot]);
    q->taken++;
    return NULL;
}

static const char *hub_test(void *ctx, int slot, bool *done)
{
    seat *s = ctx;
    const char *wrong = NULL;
    (void)pthread_mutex_lock(&s->hub->lock);
    if (s->hub->is_broken)
        wrong = "it has ended";
    else if (s->is_receive[slot])
        wrong = take(s, slot, done);
    else
        *done = s->of[slot]->taken > s->number[slot];
    (void)pthread_mutex_unlock(&s->hub->lock);
    return wrong;
}

static void hub_abort(void *ctx)
{
    seat *s = ctx;
    (void)pthread_mutex_lock(&s->hub->lock);
    s->hub->is_broken = true;
    (void)pthread_mutex_unlock(&s->hub->lock);
}

static void hub_close(void *ctx)
{
    (void)ctx;
}

hg_status hg_hub_new(hg_hub **out, int n, hg_err *e)
{
    hg_hub *h = hg_alloc(1, sizeof *h);
    *out = NULL;
    if (h == NULL) return hg_fail(e, HG_E_NOMEM, "no room for %d ranks", n);
    (void)pthread_mutex_init(&h->lock, NULL);
    h->n = n;
    h->pairs = hg_alloc(CHANNELS * (size_t)n * (size_t)n, sizeof *h->pairs);
    h->seats = hg_alloc((size_t)n, sizeof *h->seats);
    if (h->pairs == NULL || h->seats == NULL) {
        hg_hub_free(h);
        return hg_fail(e, HG_E_NOMEM, "no room for %d ranks", n);
    }
    for (int i = 0; i < n; i++) h->seats[i] = (seat){.hub = h, .rank = i};
    *out = h;
    return HG_OK;
}

void hg_hub_free(hg_hub *h)
{
    if (h == NULL) return;
    (void)pthread_mutex_destroy(&h->lock);
    hg_free(h->pairs);
    hg_free(h->seats);
    hg_free(h);
}

void hg_hub_mute(hg_hub *h, int rank)
{
    (void)pthread_mutex_lock(&h->lock);
    h->seats[rank].is_mute = true;
    (void)pthread_mutex_unlock(&h->lock);
}

hg_transport hg_hub_transport(hg_hub *h, int rank)
{
    return (hg_transport){.ctx = &h->seats[rank],
                          .version = HG_TRANSPORT_VERSION,
                          .rank = rank,
                          .n = h->n,
                          .n_local = h->n,
                          .name = "threads",
                          .send = hub_send,
                          .receive = hub_receive,
                          .test = hub_test,
                          .abort = hub_abort,
                          .close = hub_close};
}
