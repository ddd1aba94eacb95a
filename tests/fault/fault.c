#include "fault.h"
#include "harness/test.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

/* Allocations still to succeed; negative: all do. One failure a run, so that what is allocated
 * while cleaning up works. */
static atomic_long budget = -1;
static atomic_bool failed;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
int __real_posix_memalign(void **p, size_t align, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
int __wrap_posix_memalign(void **p, size_t align, size_t n);

static bool fails_now(void)
{
    if (atomic_load(&budget) < 0) return false;
    if (atomic_fetch_sub(&budget, 1) > 0) return false;
    atomic_store(&failed, true);
    atomic_store(&budget, -1);
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t n)
{
    return fails_now() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails_now() ? NULL : __real_realloc(p, n);
}

int __wrap_posix_memalign(void **p, size_t align, size_t n)
{
    return fails_now() ? ENOMEM : __real_posix_memalign(p, align, n);
}

long fault_run(fault_scenario *scenario, void *ctx, long step)
{
    for (long at = 0, tried = 0;; at += step, tried++) {
        hg_err e = {0};
        atomic_store(&failed, false);
        atomic_store(&budget, at);
        hg_status s = scenario(ctx, &e);
        atomic_store(&budget, -1);
        if (!atomic_load(&failed)) {
            if (s != HG_OK)
                test_fail(__FILE__, __LINE__, "without a failure the scenario ends with: %s",
                          e.msg);
            return tried;
        }
        if (s != HG_OK && e.msg[0] == '\0')
            test_fail(__FILE__, __LINE__, "allocation %ld failed without a sentence", at);
    }
}
