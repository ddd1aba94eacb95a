/* The clock of who deletes what is old. */
#include "base/clock.h"
#include "harness/test.h"

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
