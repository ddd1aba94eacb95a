/* A run's log.jsonl, read while it is written: steps become events, and in the end a table. */
#ifndef HG_SERVE_JOBS_RUN_LOG_H
#define HG_SERVE_JOBS_RUN_LOG_H

#include "serve/jobs/trainings.h"

typedef struct hg_run_log {
    char path[4300];
    int64_t at; /* bytes read */
} hg_run_log;
void hg_run_log_init(hg_run_log *l, const char *run);
/* Reads the whole lines that are new, keeps them as events and what they say of the training in
 * *one and its row. Returns how many steps it found. */
size_t hg_run_log_read(hg_run_log *l, hg_trainings *t, hg_training *one);
/* A checkpoint of a step that has become a model. */
hg_status hg_run_log_keep_checkpoint(hg_trainings *t, const hg_training *one, uint64_t step,
                                     const char *model, hg_err *e);
/* All steps as a file of the owner (CSV), which becomes the training's result. */
hg_status hg_run_log_keep_file(hg_trainings *t, const hg_training *one, hg_err *e);

#endif
