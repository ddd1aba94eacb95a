/* The loop. A run is steps from `state.step` to `state.total_steps`; everything that decides what a
 * step does is in the state, the recipe and the data, and the state is in every checkpoint, so a
 * run may end and go on anywhere. */
#include "train/trainer.h"
#include "model/tuning.h"
#include "train/optim_shards.h"
#include <math.h>
#include <string.h>

enum { VALS_A_RUN = 20, SAMPLES_A_RUN = 5, VAL_PERCENT = 5 };

double hg_trainer_seconds(const hg_trainer *t)
{
    return t->part_seconds + (hg_seconds() - t->part_started);
}

double hg_trainer_joules(hg_trainer *t)
{
    double n = t->joules.is_measured ? hg_ranks_n_local(t->ranks) : 1; /* they see one meter */
    return t->part_joules + t->other_joules + hg_joules_read(&t->joules) / n;
}

/* ---- beginning, or going on ---- */

static hg_status refuse_other_data(const hg_run_state *c, const hg_run_state *now, const char *path,
                                   hg_err *e)
{
    const char *what = NULL;
    if (c->data_hash != now->data_hash)
        what = "other data (the corpus or the conversations have changed)";
    if (c->vocab_hash != now->vocab_hash) what = "another tokenizer";
    if (c->base_hash != now->base_hash) what = "another base model";
    if (what == NULL) return HG_OK;
    return hg_fail(e, HG_E_STATE,
                   "%s was made with %s; put it back, or begin a new run with another out", path,
                   what);
}

static hg_status restore(hg_trainer *t, const char *path, hg_err *e)
{
    hg_checkpoint c;
    HG_TRY(hg_checkpoint_open(&c, path, e));
    char *recipe = hg_arena_strndup(&t->mem, c.recipe.p, c.recipe.n);
    hg_status s = recipe == NULL ? hg_fail(e, HG_E_NOMEM, "no room for %s", path)
                                 : hg_recipe_compare(recipe, t->fixed.p, e);
    if (s == HG_OK) s = refuse_other_data(&c.state, &t->state, path, e);
    if (s == HG_OK) s = hg_checkpoint_restore(&c, &t->learner.optim, path, e);
    if (s == HG_OK) t->state = c.state;
    hg_checkpoint_close(&c);
    return s;
}

/* All ranks must go on from one state. Where they do not, their run folders are different ones. */
static hg_status same_everywhere(hg_trainer *t, bool found, hg_err *e)
{
    const hg_run_state *s = &t->state;
    uint64_t mine[6] = {found, s->step, s->position, s->data_hash, s->vocab_hash, s->base_hash};
    uint64_t first[6];
    memcpy(first, mine, sizeof first);
    HG_TRY(hg_ranks_share(t->ranks, first, sizeof first, e));
    if (memcmp(first, mine, sizeof first) == 0) return HG_OK;
    return hg_fail(e, HG_E_STATE,
                   "rank %d begins at step %llu with data %016llx, rank 0 at step %llu with "
                   "%016llx; out and data must lie where all ranks see the same files",
                   hg_ranks_me(t->ranks), (unsigned long long)s->step,
                   (unsigned long long)s->data_hash, (unsigned long long)first[1],
                   (unsigned long long)first[3]);
}

static hg_status open_logs(hg_trainer *t, bool found, hg_err *e)
{
    char path[1100];
    const hg_recipe *r = t->job->recipe;
    if (hg_ranks_me(t->ranks) != 0) return HG_OK;
    if (r->tensorboard)
        HG_TRY(hg_events_open(&t->events, r->out, (double)hg_unix_time(), t->state.step, e));
    (void)snprintf(path, sizeof path, "%s/log.jsonl", r->out);
    return hg_runlog_open(&t->log, path, t->state.step, found, e);
}

static hg_status begin_or_resume(hg_trainer *t, hg_err *e)
{
    char path[1100];
    const hg_run_job *j = t->job;
    bool found = hg_checkpoint_newest(t->folder, path);
    if (found && !j->resume)
        return hg_fail(
            e, HG_E_STATE,
            "%s already holds a run (%s); go on with it by --resume, or choose another out",
            j->recipe->out, hg_path_base(path));
    t->state = (hg_run_state){.data_hash = j->source->hash,
                              .vocab_hash = j->vocab_hash,
                              .base_hash = j->base_hash,
                              .val_loss = (double)NAN};
    if (found) HG_TRY(restore(t, path, e));
    HG_TRY(same_everywhere(t, found, e));
    t->part_seconds = t->state.seconds;
    t->part_joules = t->state.joules;
    t->last_checkpoint_step = found ? t->state.step : UINT64_MAX;
    if (found)
        hg_watch_log(j->watch, HG_INFO, "going on from step %llu of %llu",
                     (unsigned long long)t->state.step, (unsigned long long)t->state.total_steps);
    return open_logs(t, found, e);
}

static hg_status trainer_init(hg_trainer *t, const hg_run_job *job, hg_err *e)
{
    memset(t, 0, sizeof *t);
    t->job = job;
    t->ranks = job->recipe->ranks;
    t->part_started = t->last_checkpoint = job->started;
    hg_arena_init(&t->mem, 0);
    hg_joules_start(&t->joules);
    if (strlen(job->recipe->out) > 1000)
        return hg_fail(e, HG_E_ARG, "out: a path of more than 1000 bytes");
    (void)snprintf(t->folder, sizeof t->folder, "%s/checkpoints", job->recipe->out);
    HG_TRY(hg_mkdirs(t->folder, e));
    HG_TRY(hg_recipe_text(job->recipe, true, &t->fixed, e));
    HG_TRY(hg_learner_init(&t->learner, job->model, job->rt, job->compute, job->source, job->recipe,
                           (size_t)job->plan->activations, &t->mem, e));
    if (job->objective != NULL) t->learner.objective = job->objective;
    hg_objective *o = t->learner.objective;
    if (o->prepare != NULL) HG_TRY(o->prepare(o, &t->learner, job->recipe->out, job->watch, e));
    HG_TRY(begin_or_resume(t, e));
    t->flops_a_token = hg_flops_a_token(job->model, job->source->seq_len);
    t->rate = hg_product_rate(job->rt, job->compute, &t->learner.step);
    if (t->state.total_steps == 0) HG_TRY(hg_trainer_plan_steps(t, e));
    hg_schedule_init(&t->schedule, job->recipe, t->state.total_steps);
    return HG_OK;
}

static void trainer_free(hg_trainer *t)
{
    hg_runlog_close(&t->log);
    hg_events_close(&t->events);
    hg_learner_free(&t->learner);
    hg_buf_free(&t->fixed);
    hg_arena_free(&t->mem);
}

/* ---- what happens between steps ---- */

static hg_status checkpoint(hg_trainer *t, hg_err *e)
{
    t->state.updates = t->learner.optim.updates;
    t->state.seconds = hg_trainer_seconds(t);
    t->state.joules = hg_trainer_joules(t);
    HG_TRY(hg_checkpoint_write(
        t->folder, &t->state, (hg_bytes){t->fixed.p, t->fixed.n}, &t->learner.optim,
        (hg_retention){(uint64_t)t->job->recipe->keep, (uint64_t)t->job->recipe->keep_every}, e));
    t->last_checkpoint = hg_seconds();
    t->last_checkpoint_step = t->state.step;
    return HG_OK;
}

static bool checkpoint_is_due(const hg_trainer *t)
{
    const hg_recipe *r = t->job->recipe;
    if (r->checkpoint_every > 0 && t->state.step % (uint64_t)r->checkpoint_every == 0) return true;
    return r->checkpoint_minutes > 0 &&
           hg_seconds() - t->last_checkpoint > r->checkpoint_minutes * 60;
}

/* What the objective tells beside the loss: into the log's line, and to TensorBoard. */
static void log_figures(hg_trainer *t, const hg_step_result *r, const char *prefix)
{
    char key[64];
    for (size_t i = 0; i < r->n_figures; i++) {
        (void)snprintf(key, sizeof key, "%s%s", prefix, r->figure[i].name);
        hg_json_number(&t->log.out, key, r->figure[i].value);
    }
}

static hg_status put_figures(hg_trainer *t, const hg_step_result *r, const char *group, hg_err *e)
{
    hg_scalar scalar[HG_MAX_FIGURES];
    char tag[HG_MAX_FIGURES][64];
    for (size_t i = 0; i < r->n_figures; i++) {
        (void)snprintf(tag[i], sizeof tag[i], "%s/%s", group, r->figure[i].name);
        scalar[i] = (hg_scalar){tag[i], (float)r->figure[i].value};
    }
    if (r->n_figures == 0) return HG_OK;
    return hg_events_put(&t->events, (double)hg_unix_time(), t->state.step, scalar, r->n_figures,
                         e);
}

static hg_status validate(hg_trainer *t, hg_err *e)
{
    if (t->job->source->n_val_rows == 0) return HG_OK;
    /* The average, where there is one, is what will be kept. */
    hg_step_result r;
    HG_TRY(hg_optim_swap(&t->learner.optim, e));
    HG_TRY(hg_learner_validate(&t->learner, (uint64_t)t->job->recipe->val_rows, &r, e));
    HG_TRY(hg_optim_swap(&t->learner.optim, e));
    t->state.val_loss = r.loss;
    hg_runlog_begin(&t->log, t->state.step);
    hg_json_number(&t->log.out, "val_loss", t->state.val_loss);
    log_figures(t, &r, "val_");
    hg_json_number(&t->log.out, "time", hg_trainer_seconds(t));
    hg_watch_log(t->job->watch, HG_INFO, "step %llu: held-out loss %.4f",
                 (unsigned long long)t->state.step, t->state.val_loss);
    const hg_scalar loss = {"loss/held out", (float)t->state.val_loss};
    HG_TRY(hg_events_put(&t->events, (double)hg_unix_time(), t->state.step, &loss, 1, e));
    HG_TRY(put_figures(t, &r, "held out", e));
    return hg_runlog_end(&t->log, e);
}

/* Steps between two of something: as the recipe says, or `times` in a run, but no closer than
 * `least`. */
static uint64_t interval(const hg_trainer *t, int64_t every, uint64_t times, uint64_t least)
{
    uint64_t n = every > 0 ? (uint64_t)every : t->state.total_steps / times;
    if (every == 0 && n < least) n = least;
    return n > 0 ? n : 1;
}

/* A forward pass costs a third of a step; validation may cost VAL_PERCENT of the run where the
 * recipe leaves it open. */
static uint64_t val_interval(const hg_trainer *t)
{
    uint64_t rows = (uint64_t)t->job->recipe->val_rows, held = t->job->source->n_val_rows;
    uint64_t a_step = (uint64_t)t->learner.batch_size * t->learner.accumulation;
    uint64_t least = (rows < held ? rows : held) * 100 / (3 * VAL_PERCENT * a_step);
    return interval(t, t->job->recipe->val_every, VALS_A_RUN, least);
}

/* The last step is the finish's business. */
static bool is_due(const hg_trainer *t, uint64_t every)
{
    return t->state.step % every == 0 && t->state.step < t->state.total_steps;
}

/* Ranks that were asked to end have no time: a launcher kills half a minute later, and who waits
 * for rank 0 while it samples takes it for lost. Validation and samples are left out then. */
static hg_status between_steps(hg_trainer *t, hg_err *e)
{
    const hg_recipe *r = t->job->recipe;
    const bool hurries = t->is_stop && hg_ranks_n(t->ranks) > 1;
    if (!hurries && is_due(t, val_interval(t))) HG_TRY(validate(t, e));
    if (!hurries && is_due(t, interval(t, r->sample_every, SAMPLES_A_RUN, 1)))
        HG_TRY(hg_trainer_sample(t, e));
    HG_TRY(hg_trainer_refit(t, e));
    if (t->is_due) HG_TRY(checkpoint(t, e));
    return HG_OK;
}

/* ---- a step ---- */

static hg_status log_step(hg_trainer *t, const hg_step_result *r, double seconds, hg_err *e)
{
    hg_json_out *o = &t->log.out;
    hg_runlog_begin(&t->log, t->state.step);
    hg_json_number(o, "loss", r->loss);
    hg_json_number(o, "lr", r->lr);
    hg_json_number(o, "grad_norm", r->grad_norm);
    hg_json_int(o, "tokens", (int64_t)t->state.tokens);
    hg_json_number(o, "tokens_per_s", (double)r->n_tokens / seconds);
    hg_json_number(o, "joules", hg_trainer_joules(t));
    hg_json_number(o, "time", hg_trainer_seconds(t));
    log_figures(t, r, "");
    if (t->learner.optim.shards != NULL) {
        hg_json_number(o, "ring_s", t->learner.optim.shards->last_ring_seconds);
        hg_json_number(o, "ring_wait_s", t->learner.optim.shards->last_wait_seconds);
    }
    if (r->is_skipped) hg_json_bool(o, "skipped", true);
    if (r->is_spike) hg_json_bool(o, "spike", true);
    const hg_scalar scalars[] = {{"loss/training", (float)r->loss},
                                 {"loss/smoothed", (float)hg_smooth_loss(&t->state)},
                                 {"learning rate", (float)r->lr},
                                 {"gradient norm", (float)r->grad_norm},
                                 {"tokens a second", (float)((double)r->n_tokens / seconds)},
                                 {"joules", (float)hg_trainer_joules(t)}};
    HG_TRY(hg_events_put(&t->events, (double)hg_unix_time(), t->state.step, scalars,
                         sizeof scalars / sizeof *scalars, e));
    HG_TRY(put_figures(t, r, "training", e));
    return hg_runlog_end(&t->log, e);
}

static void show_progress(hg_trainer *t, const hg_step_result *r)
{
    char note[160];
    double tokens_per_s = (double)r->n_tokens / t->step_seconds;
    (void)snprintf(note, sizeof note,
                   "loss %.3f (%.3f), lr %.1e, norm %.2f, %.0f tokens/s, %.0f%% of peak, %.0f J",
                   r->loss, hg_smooth_loss(&t->state), r->lr, r->grad_norm, tokens_per_s,
                   t->rate > 0 ? 100 * tokens_per_s * t->flops_a_token / t->rate : 0,
                   hg_trainer_joules(t));
    const hg_progress p = {.stage = "training",
                           .unit = "steps",
                           .note = note,
                           .done = (double)t->state.step,
                           .total = (double)t->state.total_steps};
    hg_watch_progress(t->job->watch, &p);
}

static hg_status one_step(hg_trainer *t, hg_err *e)
{
    hg_run_state *s = &t->state;
    hg_step_result r;
    double start = hg_seconds();
    t->learner.loss_limit = hg_trainer_loss_limit(t);
    HG_TRY(hg_learner_step(&t->learner, s->position, hg_schedule_at(&t->schedule, s->step), &r, e));
    double seconds = hg_seconds() - start;
    t->step_seconds = seconds > 1e-9 ? seconds : 1e-9;
    s->step++;
    s->position += (uint64_t)t->learner.accumulation * t->learner.batch_size;
    s->tokens += r.n_tokens;
    if (r.is_skipped)
        HG_TRY(hg_trainer_guard(t, &r, e));
    else
        hg_trainer_note_loss(t, r.loss);
    HG_TRY(log_step(t, &r, t->step_seconds, e));
    show_progress(t, &r);
    return HG_OK;
}

/* What all ranks must do alike although clocks and signals differ: each asks for an early end,
 * rank 0's clock counts. */
static hg_status agree(hg_trainer *t, hg_err *e)
{
    bool first = hg_ranks_me(t->ranks) == 0;
    t->other_joules = 0;
    double own = hg_trainer_joules(t) - t->part_joules;
    double x[] = {hg_watch_stopped(t->job->watch), own, first && checkpoint_is_due(t),
                  first ? hg_trainer_seconds(t) : 0};
    HG_TRY(hg_ranks_sum(t->ranks, x, sizeof x / sizeof *x, e));
    t->is_stop = x[0] > 0;
    t->other_joules = x[1] - own;
    t->is_due = x[2] > 0;
    t->now = x[3];
    return HG_OK;
}

/* ---- the end ---- */

static void fill_result(hg_trainer *t, hg_train_result *r)
{
    const hg_run_state *s = &t->state;
    const double ln2 = 0.69314718055994531;
    double bytes = t->job->source->val_bytes_a_token, seconds = hg_trainer_seconds(t);
    r->steps = s->step;
    r->total_steps = s->total_steps;
    r->tokens = s->tokens;
    r->skipped_steps = s->skipped;
    r->loss = hg_smooth_loss(s);
    r->val_loss = s->val_loss;
    r->val_bits_per_byte = bytes > 0 ? s->val_loss / ln2 / bytes : (double)NAN;
    r->seconds = seconds;
    r->joules = hg_trainer_joules(t);
    r->tokens_per_s = seconds > 0 ? (double)s->tokens / seconds : 0;
    r->flops_share = t->rate > 0 ? r->tokens_per_s * t->flops_a_token / t->rate : 0;
    const uint64_t peak = hg_peak_rss(), before = t->job->plan->before;
    r->peak_bytes = peak > before ? peak - before : 0;
    (void)snprintf(r->joules_source, sizeof r->joules_source, "%s", hg_joules_source(&t->joules));
}

static hg_weights save_type(const hg_recipe *r)
{
    if (r->save_type == HG_SAVE_F32) return HG_WEIGHTS_F32;
    return r->save_type == HG_SAVE_F16 ? HG_WEIGHTS_F16 : HG_WEIGHTS_BF16;
}

/* Where the model will be, or the adapter. */
static void name_product(const hg_trainer *t, hg_train_result *r)
{
    (void)snprintf(r->model, sizeof r->model, "%.1000s/%s", t->job->recipe->out,
                   t->job->model->tuning != NULL ? "adapter" : "model");
}

static hg_status save_model(hg_trainer *t, hg_train_result *r, hg_err *e)
{
    const hg_model *m = t->job->model;
    char card[512];
    (void)snprintf(
        card, sizeof card,
        "# %s\n\n%s with Higgins %s: %llu steps, %llu tokens, held-out loss %.4f nats a token.\n",
        hg_path_base(t->job->recipe->out),
        t->job->recipe->stage == HG_STAGE_TUNE ? "Fine-tuned" : "Pre-trained", HG_VERSION,
        (unsigned long long)t->state.step, (unsigned long long)t->state.tokens, t->state.val_loss);
    name_product(t, r);
    HG_TRY(hg_optim_swap(&t->learner.optim, e));
    HG_TRY(hg_optim_complete(&t->learner.optim, e));
    if (hg_ranks_me(t->ranks) == 0 && m->tuning != NULL)
        HG_TRY(hg_tuning_save(m, r->model, t->job->recipe->base, e));
    else if (hg_ranks_me(t->ranks) == 0)
        HG_TRY(hg_model_save(m, r->model, save_type(t->job->recipe), card, e));
    return hg_optim_swap(&t->learner.optim, e);
}

static hg_status finish(hg_trainer *t, hg_train_result *r, hg_err *e)
{
    HG_TRY(validate(t, e));
    if (t->last_checkpoint_step != t->state.step) HG_TRY(checkpoint(t, e));
    HG_TRY(hg_trainer_sample(t, e));
    HG_TRY(save_model(t, r, e));
    r->is_finished = true;
    fill_result(t, r);
    return hg_ranks_me(t->ranks) == 0 ? hg_trainer_report(t, r, e) : HG_OK;
}

static hg_status stop_early(hg_trainer *t, hg_train_result *r, hg_err *e)
{
    if (t->last_checkpoint_step != t->state.step) HG_TRY(checkpoint(t, e));
    fill_result(t, r);
    if (hg_ranks_me(t->ranks) == 0) HG_TRY(hg_trainer_report(t, r, e));
    return hg_fail(e, HG_E_CANCELED,
                   "stopped after step %llu of %llu, with a checkpoint; go on with --resume",
                   (unsigned long long)t->state.step, (unsigned long long)t->state.total_steps);
}

/* A finished run that is run again with --resume: nothing to do. */
static hg_status is_done(const hg_trainer *t, hg_train_result *r, bool *done, hg_err *e)
{
    name_product(t, r);
    *done = t->state.step == t->state.total_steps && hg_path_is_dir(r->model);
    if (!*done) r->model[0] = '\0';
    return hg_ranks_share(t->ranks, done, sizeof *done, e);
}

static hg_status loop(hg_trainer *t, hg_train_result *r, hg_err *e)
{
    bool done = false;
    HG_TRY(is_done(t, r, &done, e));
    if (done) {
        hg_watch_log(t->job->watch, HG_INFO, "%s is already finished; nothing to do",
                     t->job->recipe->out);
        r->is_finished = true;
        t->part_started = hg_seconds();
        fill_result(t, r);
        return HG_OK;
    }
    while (t->state.step < t->state.total_steps) {
        HG_TRY(one_step(t, e));
        HG_TRY(agree(t, e));
        /* What is due at this step comes first: a resumed run is past it. */
        HG_TRY(between_steps(t, e));
        if (t->is_stop) return stop_early(t, r, e);
    }
    return finish(t, r, e);
}

void hg_result_plan(hg_train_result *result, const hg_recipe *r, const hg_memory_plan *p,
                    const hg_source *s)
{
    *result = (hg_train_result){.params = p->n_params,
                                .plan_seconds = (double)NAN,
                                .batch_tokens = (double)r->batch_size * (double)r->accumulation *
                                                (double)s->seq_len,
                                .lr = r->lr,
                                .total_steps = (uint64_t)r->steps,
                                .need_bytes = p->total,
                                .train_rows = s->n_rows,
                                .val_rows = s->n_val_rows,
                                .loss = (double)NAN,
                                .val_loss = (double)NAN,
                                .val_bits_per_byte = (double)NAN};
    (void)snprintf(result->out, sizeof result->out, "%s", r->out);
}

hg_status hg_trainer_run(const hg_run_job *job, hg_train_result *result, hg_err *e)
{
    hg_trainer t;
    hg_status s = trainer_init(&t, job, e);
    /* Reading the data and a checkpoint took memory for a while that training does not. */
    (void)hg_peak_rss_reset();
    if (s == HG_OK) s = loop(&t, result, e);
    trainer_free(&t);
    return s;
}
