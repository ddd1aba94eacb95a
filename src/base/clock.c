/* Clocks, peak memory, and energy from the kernel's RAPL counters (powercap) or, without them, an
 * estimate from processor time that says so. */
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

double hg_seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double hg_cpu_seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int64_t hg_unix_time(void)
{
    return hg_unix_ms() / 1000;
}

int64_t hg_unix_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t hg_patient_step(hg_patient_clock *c, int64_t unix_ms, double at_s)
{
    static const int64_t DAY_MS = 24 * 60 * 60 * 1000;
    const int64_t most = c->unix_ms + (int64_t)((at_s - c->at_s) * 1000);
    const bool is_step = c->unix_ms != 0 && unix_ms > most && unix_ms <= most + DAY_MS;

    c->unix_ms = is_step ? most : unix_ms;
    c->at_s = at_s;
    return c->unix_ms;
}

int64_t hg_patient_ms(hg_patient_clock *c)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_BOOTTIME, &t);
    return hg_patient_step(c, hg_unix_ms(), (double)t.tv_sec + 1e-9 * (double)t.tv_nsec);
}

void hg_iso_time(int64_t unix_time, char out[32])
{
    time_t t = (time_t)unix_time;
    struct tm tm = {0};
    if (gmtime_r(&t, &tm) == NULL || strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        (void)snprintf(out, 32, "1970-01-01T00:00:00Z");
}

/* Pages in memory, and those of them that are of files; 0 where the system does not say. */
static void resident_pages(uint64_t *all, uint64_t *of_files)
{
    char text[96] = "";
    FILE *f = fopen("/proc/self/statm", "r");

    *all = *of_files = 0;
    if (f == NULL) return;
    char *at = fgets(text, sizeof text, f) != NULL ? strchr(text, ' ') : NULL;
    (void)fclose(f);
    if (at == NULL) return;
    *all = strtoull(at, &at, 10);
    *of_files = strtoull(at, NULL, 10);
}

uint64_t hg_rss(void)
{
    uint64_t all, of_files;

    resident_pages(&all, &of_files);
    return all * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t hg_rss_own(void)
{
    uint64_t all, of_files;

    resident_pages(&all, &of_files);
    return all > of_files ? (all - of_files) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

/* The kernel's high-water mark of this program; 0 where it tells none. */
static uint64_t high_water(void)
{
    static const char key[] = "VmHWM:";
    char line[128];
    uint64_t kib = 0;
    FILE *f = fopen("/proc/self/status", "r");

    if (f == NULL) return 0;
    while (kib == 0 && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, key, sizeof key - 1) == 0)
            kib = strtoull(line + sizeof key - 1, NULL, 10);
    (void)fclose(f);
    return kib * 1024;
}

/* getrusage has the mark too, but it never falls, and begins with that of the program that this one
 * was started by. */
uint64_t hg_peak_rss(void)
{
    struct rusage u;
    const uint64_t peak = high_water();

    if (peak > 0) return peak;
    return getrusage(RUSAGE_SELF, &u) == 0 ? (uint64_t)u.ru_maxrss * 1024 : 0;
}

bool hg_peak_rss_reset(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");

    if (f == NULL) return false;
    const bool is_put = fputs("5", f) >= 0;
    return fclose(f) == 0 && is_put;
}

/* Microjoules of one powercap zone's file, as joules; negative when it cannot be read. */
static double powercap(int zone, const char *what)
{
    char path[96];
    (void)snprintf(path, sizeof path, "/sys/class/powercap/intel-rapl:%d/%s", zone, what);
    FILE *f = fopen(path, "r");
    if (f == NULL) return -1;
    char line[32] = "";
    double uj = -1;
    if (fgets(line, sizeof line, f) != NULL) {
        uj = 0;
        for (const char *p = line; *p >= '0' && *p <= '9'; p++) uj = uj * 10 + (*p - '0');
    }
    (void)fclose(f);
    return uj < 0 ? -1 : uj * 1e-6;
}

/* Sum over the packages. */
static double rapl(const char *what)
{
    double sum = -1;
    for (int zone = 0; zone < 16; zone++) {
        double j = powercap(zone, what);
        if (j < 0) break;
        sum = sum < 0 ? j : sum + j;
    }
    return sum;
}

void hg_joules_start(hg_joules *j)
{
    *j = (hg_joules){.start_cpu_s = hg_cpu_seconds()};
    j->start_rapl_j = j->last_rapl_j = rapl("energy_uj");
    j->wrap_j = rapl("max_energy_range_uj");
    j->is_measured = j->start_rapl_j >= 0 && j->wrap_j > 0;
}

double hg_joules_read(hg_joules *j)
{
    if (!j->is_measured) return (hg_cpu_seconds() - j->start_cpu_s) * HG_WATTS_PER_CORE;
    double now = rapl("energy_uj");
    if (now >= 0) {
        double step = now - j->last_rapl_j;
        j->sum_rapl_j += step >= 0 ? step : step + j->wrap_j;
        j->last_rapl_j = now;
    }
    return j->sum_rapl_j;
}

const char *hg_joules_source(const hg_joules *j)
{
    return j->is_measured ? "rapl" : "estimate: 5 W a busy core";
}
