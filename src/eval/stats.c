/* How sure a figure is. A share of n rows gets Wilson's interval, which stays inside 0 and 1 and is
 * right for few rows too; a ratio of sums (nats over bytes) gets a bootstrap over documents, since
 * tokens of one document are not independent. */
#include "eval/metrics.h"
#include "base/rng.h"
#include <math.h>
#include <stdlib.h>

static const double Z95 = 1.959963984540054;

/* (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n) */
hg_interval hg_wilson(uint64_t right, uint64_t n)
{
    if (n == 0) return (hg_interval){0, 1};
    double p = (double)right / (double)n, z2n = Z95 * Z95 / (double)n;
    double middle = p + z2n / 2;
    double half = Z95 * sqrt(p * (1 - p) / (double)n + z2n / (4 * (double)n));
    hg_interval i = {(middle - half) / (1 + z2n), (middle + half) / (1 + z2n)};
    if (right == 0) i.low = 0; /* exactly, whatever the rounding */
    if (right == n) i.high = 1;
    return i;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The value below which a share of the sorted values lies, linear between neighbours. */
static double percentile(const double *sorted, size_t n, double share)
{
    double at = share * (double)(n - 1);
    size_t i = (size_t)at;
    if (i + 1 >= n) return sorted[n - 1];
    return sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]);
}

hg_status hg_bootstrap_ratio(const double *a, const double *b, size_t n, uint32_t rounds,
                             uint64_t seed, hg_interval *out, hg_err *e)
{
    enum { STREAM = 0xE7A1 };
    hg_rng rng;
    double *ratio = hg_alloc(rounds, sizeof *ratio);
    size_t kept = 0;
    if (ratio == NULL) return hg_fail(e, HG_E_NOMEM, "no room for %u rounds", rounds);
    hg_rng_init(&rng, seed, STREAM);
    for (uint32_t r = 0; r < rounds; r++) {
        double sum_a = 0, sum_b = 0;
        for (size_t i = 0; i < n; i++) {
            size_t k = (size_t)hg_rng_below(&rng, n);
            sum_a += a[k];
            sum_b += b[k];
        }
        if (sum_b > 0) ratio[kept++] = sum_a / sum_b;
    }
    *out = (hg_interval){NAN, NAN};
    if (kept > 0) {
        qsort(ratio, kept, sizeof *ratio, by_value);
        *out = (hg_interval){percentile(ratio, kept, 0.025), percentile(ratio, kept, 0.975)};
    }
    hg_free(ratio);
    return HG_OK;
}

hg_status hg_bootstrap_metric(hg_metric_fn *fn, const void *ctx, const void *other, size_t n,
                              uint32_t rounds, uint64_t seed, hg_interval *out, hg_err *e)
{
    enum { STREAM = 0xE7A2 };
    hg_rng rng;
    double *value = hg_alloc(rounds, sizeof *value);
    size_t *pick = hg_alloc(n, sizeof *pick);
    *out = (hg_interval){NAN, NAN};
    hg_rng_init(&rng, seed, STREAM);
    for (uint32_t r = 0; value != NULL && pick != NULL && n > 0 && r < rounds; r++) {
        for (size_t i = 0; i < n; i++) pick[i] = (size_t)hg_rng_below(&rng, n);
        value[r] = fn(ctx, pick, n) - (other != NULL ? fn(other, pick, n) : 0);
    }
    if (value != NULL && pick != NULL && n > 0 && rounds > 0) {
        qsort(value, rounds, sizeof *value, by_value);
        *out = (hg_interval){percentile(value, rounds, 0.025), percentile(value, rounds, 0.975)};
    }
    hg_status s = value != NULL && pick != NULL
                      ? HG_OK
                      : hg_fail(e, HG_E_NOMEM, "no room for %u rounds", rounds);
    hg_free(value);
    hg_free(pick);
    return s;
}
