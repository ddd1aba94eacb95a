/* Tasks with plain files: translation, summaries, labels, questions, conversations. A model is
 * asked the held-out rows, and what it says is measured; tuned on the others, it is asked again. */
#ifndef HIGGINS_TASK_H
#define HIGGINS_TASK_H

#include <higgins/infer.h>
#include <higgins/train.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hg_task_options {
    hg_preset kind;
    const char *data;           /* a file (docs/tasks.md) */
    const char *const *columns; /* [n_columns]; 0: found by their usual names */
    size_t n_columns;
    const char *instruction; /* words before the input; NULL: the task's own */
    uint32_t rows;           /* asked at the most, chosen by the seed; 0: all */
    uint32_t answer_tokens;  /* of an answer at the most */
    uint32_t n_ctx;          /* tokens seen at once; 0: the model's context, 4096 at most */
    uint32_t rounds;         /* of the bootstrap */
    uint64_t seed;
    const char *model; /* how the model is called in the report */
} hg_task_options;
HG_API void hg_task_options_init(hg_task_options *o); /* all rows, 128 tokens, 1000 rounds */

typedef struct hg_task_value {
    double value, low, high; /* the interval holds 95% */
} hg_task_value;
typedef struct hg_task_figure {
    const char *metric, *note;
    bool is_share;               /* of 1, shown in percent */
    bool is_cost;                /* less is better */
    hg_task_value before, after, /* of a model that was not tuned: `after` alone, the others NaN */
        change;                  /* after - before, on the same rows */
} hg_task_figure;

typedef struct hg_task_report hg_task_report;
/* Asks the model every row of the file. HG_E_FORMAT names file and line; HG_E_STATE: no tokenizer.
 */
HG_API hg_status hg_task_eval(hg_task_report **out, const hg_model *m, hg_runtime *rt,
                              const hg_task_options *o, const hg_watch *w, hg_err *e);
/* hg_tune_run; where the recipe has a task, the base is asked the held-out rows before it and the
 * finished model behind it, and task.json and a part of report.html are written into the run
 * folder. *out is NULL without a task, or with plan_only. */
HG_API hg_status hg_task_tune(hg_task_report **out, hg_train_result *result,
                              const hg_train_options *o, hg_runtime *rt, const hg_watch *w,
                              hg_err *e);
HG_API void hg_task_free(hg_task_report *r);
HG_API size_t hg_task_count(const hg_task_report *r);
HG_API const hg_task_figure *hg_task_get(const hg_task_report *r, size_t i);
/* The report as a table for a terminal, and as JSON; as long as the report lives. */
HG_API hg_bytes hg_task_text(const hg_task_report *r);
HG_API hg_bytes hg_task_json(const hg_task_report *r);
HG_API hg_status hg_task_write_json(const hg_task_report *r, const char *path, hg_err *e);
HG_API hg_status hg_task_write_html(const hg_task_report *r, const char *path, hg_err *e);

#ifdef __cplusplus
}
#endif
#endif
