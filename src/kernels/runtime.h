/* What every computing call is handed: threads and kernels. */
#ifndef HG_KERNELS_RUNTIME_H
#define HG_KERNELS_RUNTIME_H

#include "base/mem.h"
#include "base/pool.h"
#include "kernels/kernels.h"

/* A piece of memory that only grows; what lay in it is lost when it does. */
typedef struct hg_scratch {
    void *p;
    size_t size;
    hg_arena mem;
} hg_scratch;

struct hg_runtime {
    hg_pool *pool;
    hg_kernels k;
    int n_threads;
    /* Scratch of the matrix product, one piece a thread and one shared; grown on first use, kept.
     * Owned by tensor/matmul.c's calls, freed with the runtime. */
    hg_scratch *scratch; /* [n_threads] */
    hg_scratch shared;
};

/* At least n bytes, 64-byte aligned, for thread t (or shared, t < 0), not zeroed; NULL when there
 * is no room. */
void *hg_runtime_scratch(hg_runtime *rt, int t, size_t n);

#endif
