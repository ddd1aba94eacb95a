/* Time, processor time and energy of this process. */
#ifndef HG_BASE_CLOCK_H
#define HG_BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

double hg_seconds(void);     /* monotonic */
double hg_cpu_seconds(void); /* of all threads of the process */
int64_t hg_unix_time(void);  /* seconds of the day's clock, which may be set at any time */
int64_t hg_unix_ms(void);
void hg_iso_time(int64_t unix_time, char out[32]); /* 2026-01-31T12:00:00Z */

/* The day's clock for who deletes what is old. A step back is followed at once. A step forward of
 * up to a day is not believed until the next start: nobody can tell whether the clock was right
 * before or is right now, and what is deleted cannot be had again. Zeroed it begins with the first
 * call; one thread at a time. */
typedef struct hg_patient_clock {
    int64_t unix_ms; /* as it was told last; 0: not yet */
    double at_s;     /* by a clock that nobody sets and that goes on while the machine sleeps */
} hg_patient_clock;
int64_t hg_patient_ms(hg_patient_clock *c);
/* The same with what the two clocks say. */
int64_t hg_patient_step(hg_patient_clock *c, int64_t unix_ms, double at_s);
uint64_t hg_rss(void);      /* bytes in memory now; 0: the system does not say */
uint64_t hg_rss_own(void);  /* those of them that are no file's */
uint64_t hg_peak_rss(void); /* the most of them since the start or the last reset */
/* Lets the peak of the whole process begin anew with what is in memory now. False where the system
 * has no way to: the peak then stays that since the start. */
bool hg_peak_rss_reset(void);

/* Energy since the meter was started. Where the kernel shows RAPL counters they are read (the whole
 * package); elsewhere it is an estimate: HG_WATTS_PER_CORE for each second of processor time, and
 * is named so. */
#define HG_WATTS_PER_CORE 5.0
typedef struct hg_joules {
    double start_cpu_s, start_rapl_j, wrap_j;
    double last_rapl_j, sum_rapl_j;
    int is_measured;
} hg_joules;
void hg_joules_start(hg_joules *j);
double hg_joules_read(hg_joules *j);
const char *hg_joules_source(const hg_joules *j); /* "rapl", or "estimate: 5 W a busy core" */

#endif
