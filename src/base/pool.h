/* The thread pool: one per process, made by the caller and handed down. Work is cut into chunks
 * that idle threads take; workers spin some microseconds, then sleep, so that a neighbour is not
 * starved. */
#ifndef HG_BASE_POOL_H
#define HG_BASE_POOL_H

#include <higgins/base.h>

typedef struct hg_pool hg_pool;

/* n_threads counts the caller, who works too; 0: one for each core this process may use. */
hg_status hg_pool_new(hg_pool **out, int n_threads, hg_err *e);
void hg_pool_free(hg_pool *p);
int hg_pool_threads(const hg_pool *p);
int hg_cores(void);

/* [begin, end) of the items; `thread` is 0 .. n_threads-1, for per-thread scratch. Which thread
 * gets which chunk is not fixed: a result must not depend on it. */
typedef void hg_pool_fn(void *ctx, size_t begin, size_t end, int thread);

/* Runs fn over [0, n) in chunks of `grain` (the last may be shorter) and returns when all are done.
 * Not reentrant: fn must not call it. With p NULL everything runs in the caller. Chunk borders
 * depend on n and grain only. */
void hg_pool_run(hg_pool *p, size_t n, size_t grain, hg_pool_fn *fn, void *ctx);

#endif
