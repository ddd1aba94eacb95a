/* Errands on a lane: in order, one at a time, and none behind a failure. */
#include "harness/test.h"
#include "ranks/lane.h"
#include <stdatomic.h>
#include <time.h>

typedef struct diary {
    size_t at[3 * HG_LANE_ROOM];
    atomic_size_t n;
    size_t fails_at;
} diary;

static hg_status note(void *ctx, size_t i, hg_err *e)
{
    diary *d = ctx;
    if (i == d->fails_at) return hg_fail(e, HG_E_IO, "errand %zu came to nothing", i);
    d->at[atomic_fetch_add(&d->n, 1)] = i;
    return HG_OK;
}

static hg_status nap(void *ctx, size_t i, hg_err *e)
{
    const struct timespec t = {.tv_nsec = 20 * 1000 * 1000};
    (void)nanosleep(&t, NULL);
    return note(ctx, i, e);
}

TEST(errands_are_run_in_order_also_more_than_there_is_room_for)
{
    hg_err e = {0};
    hg_lane *l;
    diary d = {.fails_at = SIZE_MAX};
    CHECK_OK(hg_lane_new(&l, &e), e);
    for (size_t i = 0; i < 3 * HG_LANE_ROOM; i++) CHECK_EQ(hg_lane_give(l, note, &d, i), i + 1);
    CHECK_OK(hg_lane_wait_all(l, &e), e);
    CHECK_EQ(atomic_load(&d.n), 3 * HG_LANE_ROOM);
    for (size_t i = 0; i < 3 * HG_LANE_ROOM; i++) CHECK_EQ(d.at[i], i);
    hg_lane_free(l);
}

TEST(a_ticket_waits_for_its_errand_alone)
{
    hg_err e = {0};
    hg_lane *l;
    diary d = {.fails_at = SIZE_MAX};
    CHECK_OK(hg_lane_new(&l, &e), e);
    uint64_t first = hg_lane_give(l, nap, &d, 0);
    for (size_t i = 1; i < 4; i++) (void)hg_lane_give(l, nap, &d, i);
    CHECK_OK(hg_lane_wait(l, first, &e), e);
    CHECK(atomic_load(&d.n) >= 1 && atomic_load(&d.n) < 4);
    hg_lane_free(l); /* ends when the others are done */
    CHECK_EQ(atomic_load(&d.n), 4);
}

TEST(behind_an_errand_that_failed_none_is_run_and_its_words_are_told)
{
    hg_err e = {0};
    hg_lane *l;
    diary d = {.fails_at = 2};
    CHECK_OK(hg_lane_new(&l, &e), e);
    for (size_t i = 0; i < 5; i++) (void)hg_lane_give(l, note, &d, i);
    CHECK_EQ(hg_lane_wait_all(l, &e), HG_E_IO);
    CHECK_STR(e.msg, "errand 2 came to nothing");
    CHECK_EQ(atomic_load(&d.n), 2);
    hg_lane_free(l);
}
