/* What the files about several runs share. */
#ifndef HG_REPORT_RUNS_H
#define HG_REPORT_RUNS_H

#include <higgins/report.h>
#include "report/curve.h"

typedef struct hg_run_read {
    hg_run_figures f;
    hg_curve curve;
    double *x, *smooth; /* [curve.loss.n] tokens, and the smoothed loss */
    double *val_x;      /* [curve.val_loss.n] tokens */
    double *val_minute; /* [curve.val_by_time.n] */
} hg_run_read;

struct hg_runs {
    hg_run_read *run;
    size_t n;
    hg_buf plot;
    hg_arena mem;
};

#endif
