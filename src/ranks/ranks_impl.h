/* What the files of this module share. */
#ifndef HG_RANKS_RANKS_IMPL_H
#define HG_RANKS_RANKS_IMPL_H

#include "ranks/ranks.h"
#include <pthread.h>
#include <stdatomic.h>

enum {
    WINDOW = HG_SMALL_SLOTS / 2, /* messages of a ring in flight each way; slots: sends first */
    SMALL_SEND = HG_SMALL_SLOTS,
    SMALL_RECEIVE,
    BEAT_SEND = HG_BEAT_SLOTS,
    BEAT_RECEIVE
};

/* Signs of life (beats.c). */
typedef struct hg_beats {
    pthread_t thread;
    pthread_mutex_t lock; /* guards is_closing */
    pthread_cond_t changed;
    bool has_thread, is_closing;
    /* The thread's, and after it the closer's: */
    bool is_sending, is_receiving, has_left, is_broken;
    uint32_t out, in;
    double every_s;
    atomic_uint silent; /* beats of ours since the last of the rank before us */
} hg_beats;

struct hg_ranks {
    hg_transport t;
    pthread_mutex_t lock; /* guards t: a ring may go on beside small messages */
    double patience_s, hasty_s;
    const atomic_bool *stop;
    void *room;         /* the plug-in's */
    float *out[WINDOW]; /* [HG_PIECE] each */
    float *in[WINDOW];
    hg_beats beats;
};

hg_status hg_ranks_begin_send(hg_ranks *r, int slot, const void *p, size_t n, int to, hg_err *e);
hg_status hg_ranks_begin_receive(hg_ranks *r, int slot, void *p, size_t n, int from, hg_err *e);
hg_status hg_ranks_test(hg_ranks *r, int slot, int peer, bool *done, hg_err *e);
/* Waits until the slot's message is done. */
hg_status hg_ranks_finish(hg_ranks *r, int slot, int peer, hg_err *e);

/* ---- beats.c ---- */
/* Begins to beat and to listen, where there is more than one rank. HG_E_NOMEM. */
hg_status hg_beats_begin(hg_ranks *r, hg_err *e);
/* How long the rank before this one has given no sign of life. Any thread. */
double hg_beats_silence(const hg_ranks *r);
int hg_beats_watched(const hg_ranks *r);
/* Says that this rank leaves and waits until the one before does, or is silent for hasty_s. */
void hg_beats_end(hg_ranks *r);

#endif
