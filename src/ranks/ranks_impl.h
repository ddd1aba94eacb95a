/* What the files of this module share. */
#ifndef HG_RANKS_RANKS_IMPL_H
#define HG_RANKS_RANKS_IMPL_H

#include "ranks/ranks.h"

enum { WINDOW = HG_N_SLOTS / 2 }; /* messages in flight each way; slots: sends first */

struct hg_ranks {
    hg_transport t;
    double patience_s, hasty_s;
    const atomic_bool *stop;
    void *room;         /* the plug-in's */
    float *out[WINDOW]; /* [HG_PIECE] each */
    float *in[WINDOW];
};

hg_status hg_ranks_begin_send(hg_ranks *r, int slot, const void *p, size_t n, int to, hg_err *e);
hg_status hg_ranks_begin_receive(hg_ranks *r, int slot, void *p, size_t n, int from, hg_err *e);
hg_status hg_ranks_finish(hg_ranks *r, int slot, int peer, hg_err *e);

#endif
