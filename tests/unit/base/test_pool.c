#include "base/pool.h"
#include "base/clock.h"
#include "harness/test.h"

#include <math.h>
#include <string.h>

typedef struct job {
    double parts[64];
    unsigned char hits[100000];
    atomic_int threads_seen;
} job;

static void mark(void *ctx, size_t begin, size_t end, int thread)
{
    job *j = ctx;
    atomic_fetch_or(&j->threads_seen, 1 << thread);
    for (size_t i = begin; i < end; i++) j->hits[i]++;
}

TEST(every_item_is_worked_once)
{
    hg_err e = {0};
    static job j;
    for (int n_threads = 1; n_threads <= 5; n_threads++) {
        hg_pool *p = NULL;
        CHECK_OK(hg_pool_new(&p, n_threads, &e), e);
        CHECK_EQ(hg_pool_threads(p), n_threads);
        for (size_t n = 0; n < 100000; n = n * 7 + 1) {
            memset(j.hits, 0, sizeof j.hits);
            hg_pool_run(p, n, 1 + n / 50, mark, &j);
            for (size_t i = 0; i < sizeof j.hits; i++) CHECK_EQ(j.hits[i], i < n);
        }
        hg_pool_free(p);
    }
}

static void add_up(void *ctx, size_t begin, size_t end, int thread)
{
    (void)thread;
    job *j = ctx;
    double sum = 0;
    for (size_t i = begin; i < end; i++) sum += sin((double)i);
    j->parts[begin / 100] = sum;
}

TEST(sums_by_chunk_do_not_depend_on_the_number_of_threads)
{
    hg_err e = {0};
    static job first, j;
    hg_pool_run(NULL, 5050, 100, add_up, &first);
    for (int n_threads = 1; n_threads <= 4; n_threads++) {
        hg_pool *p = NULL;
        CHECK_OK(hg_pool_new(&p, n_threads, &e), e);
        hg_pool_run(p, 5050, 100, add_up, &j);
        CHECK(memcmp(first.parts, j.parts, sizeof j.parts) == 0);
        hg_pool_free(p);
    }
}

static void nothing(void *ctx, size_t begin, size_t end, int thread)
{
    (void)end;
    (void)thread;
    atomic_fetch_add((atomic_int *)ctx, begin == 0 ? 1 : 0);
}

TEST(many_short_jobs_follow_each_other)
{
    hg_err e = {0};
    hg_pool *p = NULL;
    atomic_int n = 0;
    CHECK_OK(hg_pool_new(&p, 3, &e), e);
    for (int i = 0; i < 20000; i++) hg_pool_run(p, 8, 1, nothing, &n);
    CHECK_EQ(n, 20000);
    hg_pool_free(p);
}

TEST(a_silly_number_of_threads_is_refused)
{
    hg_err e = {0};
    hg_pool *p = NULL;
    CHECK_EQ(hg_pool_new(&p, -1, &e), HG_E_ARG);
    CHECK_STR(e.msg, "-1 threads; 0 (one for each core) to 256 allowed");
    CHECK(p == NULL);
    hg_pool_free(NULL);
}

TEST(a_meter_of_joules_only_rises)
{
    hg_joules m;
    hg_joules_start(&m);
    double before = hg_joules_read(&m);
    volatile double x = 0;
    for (int i = 0; i < 3000000; i++) x += i;
    double after = hg_joules_read(&m);
    CHECK(x > 0);
    CHECK(after >= before && before >= 0);
    if (!m.is_measured) CHECK(after > 0);
    CHECK(hg_joules_source(&m)[0] != '\0');
}
