/* The clock of who deletes what is old; the peak of memory. */
#include "base/clock.h"
#include "harness/test.h"

#include <string.h>
#include <sys/mman.h>

static const int64_t HOUR_MS = 60 * 60 * 1000, NOW_MS = 1795000000000;

TEST(a_patient_clock_goes_with_the_day)
{
    hg_patient_clock c = {0};
    CHECK_EQ(hg_patient_step(&c, NOW_MS, 10), NOW_MS);
    CHECK_EQ(hg_patient_step(&c, NOW_MS + 5000, 15), NOW_MS + 5000);
    CHECK_EQ(hg_patient_step(&c, NOW_MS + HOUR_MS, 10 + 3600), NOW_MS + HOUR_MS);
}

TEST(a_patient_clock_does_not_believe_a_step_of_hours_forward)
{
    hg_patient_clock c = {0};
    (void)hg_patient_step(&c, NOW_MS, 10);
    CHECK_EQ(hg_patient_step(&c, NOW_MS + 5 * HOUR_MS, 11), NOW_MS + 1000);
    CHECK_EQ(hg_patient_step(&c, NOW_MS + 6 * HOUR_MS, 11 + 3600), NOW_MS + 1000 + HOUR_MS);
    /* Set right again it is what it was. */
    CHECK_EQ(hg_patient_step(&c, NOW_MS + 1000 + HOUR_MS, 11 + 3600), NOW_MS + 1000 + HOUR_MS);
}

/* What was made while the clock was behind is not old when it is set right. */
TEST(a_patient_clock_that_was_set_back_comes_forward_by_itself_alone)
{
    hg_patient_clock c = {0};
    (void)hg_patient_step(&c, NOW_MS, 10);
    CHECK_EQ(hg_patient_step(&c, NOW_MS - 3 * HOUR_MS, 11), NOW_MS - 3 * HOUR_MS);
    CHECK_EQ(hg_patient_step(&c, NOW_MS + 2000, 12), NOW_MS - 3 * HOUR_MS + 1000);
}

/* A machine that began without a clock has one now. */
TEST(a_patient_clock_believes_a_step_of_years)
{
    hg_patient_clock c = {0};
    (void)hg_patient_step(&c, 1000, 10);
    CHECK_EQ(hg_patient_step(&c, NOW_MS, 11), NOW_MS);
}

enum { SIZE = 64 << 20 };

static void touch_and_give_back(void)
{
    void *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    memset(p, 1, SIZE);
    CHECK_EQ(munmap(p, SIZE), 0);
}

TEST(a_peak_of_memory_begins_anew_when_asked)
{
#if defined(__SANITIZE_THREAD__)
    test_skip("a sanitizer's own memory is counted too");
#endif
    const uint64_t before = hg_rss();
    touch_and_give_back();
    const uint64_t peak = hg_peak_rss();
    CHECK(peak > before + SIZE / 10 * 9);
    if (!hg_peak_rss_reset()) test_skip("a peak never falls here");
    CHECK(hg_peak_rss() < peak - SIZE / 2);
    touch_and_give_back();
    CHECK(hg_peak_rss() > before + SIZE / 10 * 9);
}
