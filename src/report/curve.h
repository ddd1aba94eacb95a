/* What a training run's log.jsonl holds, as columns to plot. */
#ifndef HG_REPORT_CURVE_H
#define HG_REPORT_CURVE_H

#include "base/mem.h"

typedef struct hg_column {
    double *x, *y; /* step and value */
    size_t n, cap_x, cap_y;
} hg_column;

typedef struct hg_sample {
    double step;
    char *prompt, *text;
} hg_sample;

typedef struct hg_curve {
    hg_column loss, val_loss, lr, rate; /* rate: tokens/s */
    hg_column val_by_time;              /* val_loss again, over the run's seconds */
    hg_sample *sample;
    size_t n_samples, cap_samples;
    double seconds, joules, tokens; /* of the last step */
} hg_curve;

/* Starts from {0}; the caller frees it in any case. A last line that a kill cut short is passed
 * over; any other malformed line is HG_E_FORMAT with its number. */
hg_status hg_curve_read(hg_curve *out, const char *path, hg_err *e);
void hg_curve_free(hg_curve *c);

#endif
