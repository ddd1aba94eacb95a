/* One page over the whole life of a model: what the stages left in a folder, told in order. */
#ifndef HIGGINS_REPORT_H
#define HIGGINS_REPORT_H

#include <higgins/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Reads what is there in `folder` (all of it optional, but something must be) and writes one
 * self-contained HTML page to `path`, whole or not at all:
 *
 *  - corpus/card.json: documents in, dropped and why
 *  - tokenizer-stats.json: what `tokenizer train --json` printed
 *  - base/log.jsonl, chat/log.jsonl: training and fine-tuning; base.json, chat.json: what `train`
 *    and `tune --json` printed
 *  - samples/NAME-before.json, NAME-after.json: what `generate --json` printed for one prompt
 * before and after tuning; NAME.txt: what was asked
 *  - eval-base.json, eval-chat.json: what `eval --json` printed
 *
 * HG_E_MISSING: nothing of a life is there. HG_E_FORMAT: a file is there and is malformed. */
HG_API hg_status hg_report_write(const char *folder, const char *path, hg_err *e);

/* ---- several runs beside each other ---- */

typedef struct hg_runs hg_runs;

/* What a run has come to. Figures that it did not leave are NaN or 0. */
typedef struct hg_run_figures {
    const char *name; /* its folder; lives as long as the hg_runs */
    bool is_finished;
    uint64_t params, steps, total_steps;
    double tokens, loss, val_loss, val_bits_per_byte; /* loss: smoothed */
    double seconds, joules, tokens_per_s;
} hg_run_figures;

/* Reads log.jsonl and run.json of each folder; a folder without them stands for those of its own
 * folders that have them, by name. The newest figures count: of a run that goes on, the log's.
 * HG_E_MISSING: no run in a folder. HG_E_FORMAT: a log or run.json is malformed. HG_E_LIMIT: more
 * than HG_MAX_RUNS. */
enum { HG_MAX_RUNS = 64 };
HG_API hg_status hg_runs_open(hg_runs **out, const char *const *folder, size_t n, hg_err *e);
HG_API size_t hg_runs_count(const hg_runs *r);
HG_API void hg_runs_get(const hg_runs *r, size_t i, hg_run_figures *out);
/* 1 to 9 and a to z: what stands for run i in the plot. */
HG_API char hg_runs_sign(size_t i);
/* The smoothed losses over tokens as text of about `columns` x `rows`, each run in its own sign.
 * Belongs to r until the next call; NULL when there is nothing to draw. */
HG_API const char *hg_runs_plot(hg_runs *r, size_t columns, size_t rows);
/* Table and curves as one self-contained HTML page, whole or not at all. */
HG_API hg_status hg_runs_write(const hg_runs *r, const char *path, hg_err *e);
HG_API void hg_runs_free(hg_runs *r);

#ifdef __cplusplus
}
#endif
#endif
