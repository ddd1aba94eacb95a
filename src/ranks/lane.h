/* A thread that runs errands one after another, beside the thread that gives them to it: what keeps
 * a ring going while a pass computes. */
#ifndef HG_RANKS_LANE_H
#define HG_RANKS_LANE_H

#include <higgins/base.h>

typedef struct hg_lane hg_lane;
typedef hg_status hg_errand_fn(void *ctx, size_t i, hg_err *e);

/* HG_E_NOMEM. */
hg_status hg_lane_new(hg_lane **out, hg_err *e);
/* Ends when the errands that it has are done. NULL is fine. */
void hg_lane_free(hg_lane *l);
/* Has fn(ctx, i) run behind all errands given before; the number of errands given so far is its
 * ticket. Waits where HG_LANE_ROOM errands are not done yet. After one that failed the others are
 * not run. */
enum { HG_LANE_ROOM = 128 };
uint64_t hg_lane_give(hg_lane *l, hg_errand_fn *fn, void *ctx, size_t i);
/* Until the errand with that ticket is done. The first failure of any errand so far. */
hg_status hg_lane_wait(hg_lane *l, uint64_t ticket, hg_err *e);
/* Until all are done. */
hg_status hg_lane_wait_all(hg_lane *l, hg_err *e);

#endif
