/* The trainer: one loop for pre-training and tuning, with its log, validation, samples, checkpoints
 * and report. */
#ifndef HG_TRAIN_TRAINER_H
#define HG_TRAIN_TRAINER_H

#include "base/clock.h"
#include "train/checkpoint.h"
#include "train/events.h"
#include "train/memory.h"
#include "train/runlog.h"
#include "train/learner.h"

/* What a run is made of. All of it is borrowed. */
typedef struct hg_run_job {
    const hg_recipe *recipe;
    hg_model *model; /* with tokenizer and chat template; the weights are trained in place */
    const hg_source *source;
    hg_objective *objective; /* NULL: mean cross-entropy */
    hg_runtime *rt;
    const hg_watch *watch;
    const hg_memory_plan *plan;
    hg_compute compute;
    uint64_t vocab_hash, base_hash; /* base_hash: of the weights started from; 0 for random ones */
    double started;                 /* hg_seconds() when the command began */
    bool resume;
} hg_run_job;

typedef struct hg_trainer {
    const hg_run_job *job;
    hg_learner learner;
    hg_run_state state;
    hg_ranks *ranks; /* NULL: alone. Only rank 0 has a log, samples and a report */
    hg_schedule schedule;
    hg_runlog log;
    hg_events events; /* without a file when the recipe wants none */
    hg_joules joules;
    hg_buf fixed; /* the recipe's keys that must not change */
    hg_arena mem;
    char folder[1100]; /* of checkpoints */
    double part_started, part_seconds,
        part_joules; /* this process' part, and what earlier parts took */
    double last_checkpoint, step_seconds;
    double other_joules;  /* of the other ranks, as of the last step */
    double now;           /* rank 0's hg_trainer_seconds, as of the last step */
    bool is_due, is_stop; /* what all ranks do after the step: a checkpoint, an early end */
    uint64_t last_checkpoint_step;
    double flops_a_token, rate;
} hg_trainer;

/* What is known before the start. */
void hg_result_plan(hg_train_result *result, const hg_recipe *r, const hg_memory_plan *p,
                    const hg_source *s);
/* Runs the job to its end (model and report written) or to a stop. */
hg_status hg_trainer_run(const hg_run_job *job, hg_train_result *result, hg_err *e);

/* ---- its parts ---- */
/* total_steps from the recipe; with max_minutes from the measured speed. */
hg_status hg_trainer_plan_steps(hg_trainer *t, hg_err *e);
/* With max_minutes: fits total_steps anew when the run is to end too late or too early. */
hg_status hg_trainer_refit(hg_trainer *t, hg_err *e);
double hg_trainer_seconds(const hg_trainer *t); /* of the whole run so far */
double hg_trainer_joules(hg_trainer *t);
/* The smoothed loss; NaN before the first step. */
double hg_smooth_loss(const hg_run_state *s);
void hg_trainer_note_loss(hg_trainer *t, double loss);
/* The loss beyond which the next step is a spike; INFINITY while none can be told. */
double hg_trainer_loss_limit(const hg_trainer *t);
/* What becomes of a step that was skipped: a sentence, a way back, or the end of the run. */
hg_status hg_trainer_guard(hg_trainer *t, const hg_step_result *r, hg_err *e);
/* Continues each prompt and writes it to the log and the watch. */
hg_status hg_trainer_sample(hg_trainer *t, hg_err *e);
/* run.json and report.html, from the state and log.jsonl. */
hg_status hg_trainer_report(hg_trainer *t, const hg_train_result *result, hg_err *e);

#endif
