/* log.jsonl: what happened, one JSON object a line, each beginning with {"step": N. */
#ifndef HG_TRAIN_RUNLOG_H
#define HG_TRAIN_RUNLOG_H

#include "base/file.h"
#include "text/json.h"

typedef struct hg_runlog {
    FILE *file;
    hg_buf line;
    hg_json_out out;
    char path[1100];
} hg_runlog;

/* A log that was never opened takes its lines and drops them. */
/* Opens the log to be added to, with the lines of steps up to `step` kept: a resumed run writes the
 * later ones anew. A last line that a kill tore is dropped. */
hg_status hg_runlog_open(hg_runlog *l, const char *path, uint64_t step, bool keep, hg_err *e);
void hg_runlog_close(hg_runlog *l);
/* begin, members by hg_json_*(&l->out, ...), end: the line is in the file. */
void hg_runlog_begin(hg_runlog *l, uint64_t step);
hg_status hg_runlog_end(hg_runlog *l, hg_err *e);

#endif
