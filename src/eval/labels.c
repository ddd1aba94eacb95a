/* Classes: what a table of right and said labels comes to. */
#include "eval/metrics.h"

static void sums(const uint64_t *cell, size_t n, size_t label, double *right, double *said)
{
    *right = *said = 0;
    for (size_t i = 0; i < n; i++) {
        *right += (double)cell[label * n + i];
        *said += (double)cell[i * n + label];
    }
}

double hg_class_f1(const uint64_t *cell, size_t n, size_t label)
{
    double right, said;
    sums(cell, n, label, &right, &said);
    return right + said > 0 ? 2 * (double)cell[label * n + label] / (right + said) : 0;
}

double hg_macro_f1(const uint64_t *cell, size_t n)
{
    double sum = 0, classes = 0;
    for (size_t i = 0; i < n; i++) {
        double right, said;
        sums(cell, n, i, &right, &said);
        if (!(right + said > 0)) continue;
        sum += hg_class_f1(cell, n, i);
        classes++;
    }
    return classes > 0 ? sum / classes : 0;
}
