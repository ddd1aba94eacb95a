/* What the files of this module share. */
#ifndef HG_RANKS_RANKS_IMPL_H
#define HG_RANKS_RANKS_IMPL_H

#include "ranks/ranks.h"
#include <pthread.h>

enum {
    WINDOW = HG_SMALL_SLOTS / 2, /* messages of a ring in flight each way; slots: sends first */
    SMALL_SEND = HG_SMALL_SLOTS,
    SMALL_RECEIVE
};

struct hg_ranks {
    hg_transport t;
    pthread_mutex_t lock; /* guards t: a ring may go on beside small messages */
    double patience_s, hasty_s;
    const atomic_bool *stop;
    void *room;         /* the plug-in's */
    float *out[WINDOW]; /* [HG_PIECE] each */
    float *in[WINDOW];
};

hg_status hg_ranks_begin_send(hg_ranks *r, int slot, const void *p, size_t n, int to, hg_err *e);
hg_status hg_ranks_begin_receive(hg_ranks *r, int slot, void *p, size_t n, int from, hg_err *e);
/* Waits until the slot's message is done. */
hg_status hg_ranks_finish(hg_ranks *r, int slot, int peer, hg_err *e);

#endif
