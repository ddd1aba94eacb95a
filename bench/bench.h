/* The frame of the benches: ours and a peer take turns, so that a busy neighbour disturbs both, the
 * medians count, a table is printed for people and one JSON object as the last line for programs.
 */
#ifndef HG_BENCH_H
#define HG_BENCH_H

#include "base/clock.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { BENCH_MAX_ROWS = 64, BENCH_MAX_REPEATS = 64 };

/* Rates, of which more is better; NAN: there is none. */
typedef struct bench_row {
    const char *name, *unit;
    double ours, peer, limit;
    double goal; /* what ours / peer (or ours / limit where there is no peer) should reach */
} bench_row;

typedef struct bench {
    const char *name;
    bench_row row[BENCH_MAX_ROWS];
    size_t n;
} bench;

static inline int bench_by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static inline double bench_median(double *v, size_t n)
{
    qsort(v, n, sizeof *v, bench_by_value);
    return n % 2 == 1 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

typedef void bench_fn(void *ctx);

/* Median seconds of each of n functions; they take turns, `repeats` times after one turn that does
 * not count. A NULL function takes NAN. */
static inline void bench_time(bench_fn *const *fn, void *ctx, size_t n, size_t repeats,
                              double *seconds)
{
    double took[8][BENCH_MAX_REPEATS];
    for (size_t r = 0; r <= repeats; r++)
        for (size_t i = 0; i < n; i++) {
            double start = hg_seconds();
            if (fn[i] != NULL) fn[i](ctx);
            if (r > 0) took[i][r - 1] = hg_seconds() - start;
        }
    for (size_t i = 0; i < n; i++)
        seconds[i] = fn[i] == NULL ? (double)NAN : bench_median(took[i], repeats);
}

static inline double bench_ratio(const bench_row *r)
{
    return r->ours / (isnan(r->peer) ? r->limit : r->peer);
}

static inline void bench_cell(double v, const char *format)
{
    if (isnan(v))
        printf(" %9s", "-");
    else
        printf(format, v);
}

/* Adds a row and prints its line of the table. */
static inline void bench_add(bench *b, bench_row r)
{
    if (b->n == BENCH_MAX_ROWS) return;
    if (b->n == 0)
        printf("%-34s %-8s %9s %9s %9s %9s %9s\n", "name", "unit", "ours", "peer", "limit", "ratio",
               "goal");
    printf("%-34s %-8s", r.name, r.unit);
    bench_cell(r.ours, " %9.1f");
    bench_cell(r.peer, " %9.1f");
    bench_cell(r.limit, " %9.1f");
    bench_cell(bench_ratio(&r), " %9.3f");
    bench_cell(r.goal, " %9.2f");
    printf("\n");
    (void)fflush(stdout);
    b->row[b->n++] = r;
}

static inline void bench_json(const char *key, double v)
{
    if (isfinite(v))
        printf(", \"%s\": %.4g", key, v);
    else
        printf(", \"%s\": null", key);
}

static inline void bench_end(const bench *b)
{
    printf("{\"bench\": \"%s\", \"results\": [", b->name);
    for (size_t i = 0; i < b->n; i++) {
        const bench_row *r = &b->row[i];
        printf("%s{\"name\": \"%s\", \"unit\": \"%s\"", i > 0 ? ", " : "", r->name, r->unit);
        bench_json("ours", r->ours);
        bench_json("peer", r->peer);
        bench_json("limit", r->limit);
        bench_json("ratio", bench_ratio(r));
        bench_json("goal", r->goal);
        printf("}");
    }
    printf("]}\n");
}

#endif
