/* How long a run is: the recipe's steps or epochs, or a time budget. A budget is turned into steps
 * before the first one, by timing the first batch, so that the learning rate knows the end from the
 * start; an eighth of the run later the end is compared with the clock, and moved when a busy
 * neighbour has changed the speed. The number is in the state, and so in every checkpoint. */
#include "train/trainer.h"
#include <math.h>

/* Kept for validation, samples, checkpoints and saving. */
#define RESERVE 0.06
enum { LOOKS = 8 };

/* Seconds of a step: the second of two runs of the first batch; the first one takes the memory. The
 * sums over the ranks belong to it: they run beside the passes, and one that was begun must end
 * before gradients are zero again. */
static hg_status time_step(hg_trainer *t, double *seconds, hg_err *e)
{
    hg_step_result r;
    for (int i = 0; i < 2; i++) {
        double start = hg_seconds();
        HG_TRY(hg_learner_gradients(&t->learner, 0, &r, e));
        HG_TRY(hg_optim_reduce(&t->learner.optim, &r.grad_norm, e));
        hg_optim_zero_grad(&t->learner.optim);
        *seconds = hg_seconds() - start;
    }
    return HG_OK;
}

static uint64_t steps_in(double seconds, double step_seconds)
{
    double n = floor(seconds / step_seconds);
    return n < 1 ? 1 : (uint64_t)n;
}

hg_status hg_trainer_plan_steps(hg_trainer *t, hg_err *e)
{
    const hg_recipe *r = t->job->recipe;
    double rows = (double)t->learner.accumulation * (double)t->learner.batch_size, step_seconds = 0;
    if (r->steps > 0) {
        t->state.total_steps = (uint64_t)r->steps;
    } else if (r->max_minutes > 0) {
        HG_TRY(time_step(t, &step_seconds, e));
        double time[] = {step_seconds, hg_trainer_seconds(t)};
        HG_TRY(hg_ranks_share(t->ranks, time, sizeof time, e));
        step_seconds = time[0];
        double left = r->max_minutes * 60 * (1 - RESERVE) - time[1];
        t->state.total_steps = steps_in(left, step_seconds);
        hg_watch_log(t->job->watch, HG_INFO,
                     "a step takes %.2f s: %llu steps fit into %g minutes (%.2f epochs)",
                     step_seconds, (unsigned long long)t->state.total_steps, r->max_minutes,
                     (double)t->state.total_steps * rows / (double)t->job->source->n_rows);
    } else {
        t->state.total_steps = (uint64_t)ceil((double)t->job->source->n_rows * r->epochs / rows);
    }
    return HG_OK;
}

hg_status hg_trainer_refit(hg_trainer *t, hg_err *e)
{
    const hg_recipe *r = t->job->recipe;
    hg_run_state *s = &t->state;
    uint64_t every = s->total_steps / LOOKS;
    if (r->max_minutes <= 0 || every == 0 || s->step % every != 0 || s->step >= s->total_steps)
        return HG_OK;

    double used = t->now, a_step = used / (double)s->step;
    double left = r->max_minutes * 60 * (1 - RESERVE / 3) - used;
    uint64_t total = s->step + steps_in(left, a_step);
    if (fabs((double)total - (double)s->total_steps) < 0.05 * (double)s->total_steps) return HG_OK;
    hg_watch_log(t->job->watch, HG_INFO, "the speed has changed: %llu steps instead of %llu",
                 (unsigned long long)total, (unsigned long long)s->total_steps);
    s->total_steps = total;
    hg_schedule_init(&t->schedule, r, total);
    hg_runlog_begin(&t->log, s->step);
    hg_json_int(&t->log.out, "total_steps", (int64_t)total);
    return hg_runlog_end(&t->log, e);
}
