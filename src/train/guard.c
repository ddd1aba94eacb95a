/* Steps that would harm a run: those whose loss or gradient is not finite, and those whose loss
 * jumps, which damaged rows or a rate too high bring about (Chowdhery et al. 2022 skipped some
 * hundred batches around each). The smoothed loss and its spread say what a jump is. Such a step
 * changes nothing; on request the weights of the last checkpoint come back as well, for it may be
 * they that are damaged, and the run goes on with the rows behind. Several in a row are no jump but
 * the new state of things, and are learnt from. What is decided follows from the run's state and
 * checkpoints alone. */
#include "train/trainer.h"
#include <math.h>

enum { MAX_SKIPPED_IN_A_ROW = 10, MAX_SPIKES_IN_A_ROW = 3, FIRST_LOSSES = 20 };

#define STAYS 0.95 /* of the smoothed values, each step */
#define LEAST_SPREAD \
    0.02 /* of the loss: a run that barely moves has no jumps of a hair's breadth */

double hg_smooth_loss(const hg_run_state *s)
{
    return s->smooth_weight > 0 ? s->smooth_loss / s->smooth_weight : (double)NAN;
}

void hg_trainer_note_loss(hg_trainer *t, double loss)
{
    hg_run_state *s = &t->state;
    s->skipped_in_a_row = s->spikes_in_a_row = 0;
    s->smooth_loss = STAYS * s->smooth_loss + (1 - STAYS) * loss;
    s->smooth_square = STAYS * s->smooth_square + (1 - STAYS) * loss * loss;
    s->smooth_weight = STAYS * s->smooth_weight + (1 - STAYS);
}

double hg_trainer_loss_limit(const hg_trainer *t)
{
    const hg_run_state *s = &t->state;
    const hg_recipe *r = t->job->recipe;
    bool too_early = t->learner.optim.updates < FIRST_LOSSES || !(s->smooth_weight > 0);
    bool unguarded = t->job->objective != NULL && !t->job->objective->guards;
    if (unguarded || r->on_spike == HG_SPIKE_NONE || too_early ||
        s->spikes_in_a_row >= MAX_SPIKES_IN_A_ROW)
        return (double)INFINITY;
    double mean = hg_smooth_loss(s), square = s->smooth_square / s->smooth_weight;
    double spread = sqrt(fmax(square - mean * mean, 0));
    return mean + r->spike * fmax(spread, LEAST_SPREAD * fabs(mean));
}

static hg_status rewind_weights(hg_trainer *t, uint64_t *to, hg_err *e)
{
    char path[1100];
    hg_checkpoint c;
    if (!hg_checkpoint_newest(t->folder, path)) return HG_OK;
    HG_TRY(hg_checkpoint_open(&c, path, e));
    hg_status s = hg_checkpoint_restore(&c, &t->learner.optim, path, e);
    if (s == HG_OK) {
        *to = c.state.step;
        t->state.smooth_loss = c.state.smooth_loss;
        t->state.smooth_square = c.state.smooth_square;
        t->state.smooth_weight = c.state.smooth_weight;
        t->state.rewinds++;
    }
    hg_checkpoint_close(&c);
    return s;
}

/* *to: the step whose weights are back, or 0. */
static hg_status rewind_if_asked(hg_trainer *t, uint64_t *to, hg_err *e)
{
    *to = 0;
    return t->job->recipe->on_spike == HG_SPIKE_REWIND ? rewind_weights(t, to, e) : HG_OK;
}

static hg_status guard_spike(hg_trainer *t, const hg_step_result *r, hg_err *e)
{
    uint64_t to = 0;
    t->state.spikes++;
    t->state.spikes_in_a_row++;
    double mean = hg_smooth_loss(&t->state);
    HG_TRY(rewind_if_asked(t, &to, e));
    if (to > 0)
        hg_watch_log(t->job->watch, HG_WARN,
                     "step %llu: loss %.3f where %.3f is usual; back to the weights of step %llu, "
                     "and on behind these rows",
                     (unsigned long long)t->state.step, r->loss, mean, (unsigned long long)to);
    else
        hg_watch_log(t->job->watch, HG_WARN,
                     "step %llu: loss %.3f where %.3f is usual; the step is skipped",
                     (unsigned long long)t->state.step, r->loss, mean);
    return HG_OK;
}

hg_status hg_trainer_guard(hg_trainer *t, const hg_step_result *r, hg_err *e)
{
    uint64_t to = 0;
    t->state.skipped++;
    if (r->is_spike) return guard_spike(t, r, e);
    t->state.skipped_in_a_row++;
    HG_TRY(rewind_if_asked(t, &to, e));
    if (to > 0)
        hg_watch_log(t->job->watch, HG_WARN,
                     "step %llu: loss %g, gradient norm %g; back to the weights of step %llu, and "
                     "on behind these rows",
                     (unsigned long long)t->state.step, r->loss, r->grad_norm,
                     (unsigned long long)to);
    else
        hg_watch_log(t->job->watch, HG_WARN,
                     "step %llu: loss %g, gradient norm %g; the step is skipped",
                     (unsigned long long)t->state.step, r->loss, r->grad_norm);
    if (t->state.skipped_in_a_row < MAX_SKIPPED_IN_A_ROW) return HG_OK;
    return hg_fail(e, HG_E_STATE,
                   "%d steps in a row gave no finite loss or gradient (last: step %llu); begin "
                   "anew from an older "
                   "checkpoint with a lower lr",
                   MAX_SKIPPED_IN_A_ROW, (unsigned long long)t->state.step);
}
