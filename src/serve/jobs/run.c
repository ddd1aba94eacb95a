/* One training, from its checked files to its model, through the same call that `higgins tune`
 * makes. What is told of it on the way is read from the run's own log, which a resumed run writes
 * on exactly where the last checkpoint left it. */
#include "serve/jobs/run_log.h"
#include "serve/jobs/trainings_impl.h"
#include "base/clock.h"
#include "base/file.h"

#include <higgins/train.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum { LEAST_REST_S = 2, LONGEST_REST_S = 10 }; /* before a full disk is tried again */

char *hg_training_folder(hg_trainings *t, const char *id, hg_err *e)
{
    char path[4096];

    (void)snprintf(path, sizeof path, "%s/trainings/%s", t->folder, id);
    if (hg_mkdirs(path, e) != HG_OK) return NULL;
    char *copy = hg_strdup(path);
    if (copy == NULL) (void)hg_fail(e, HG_E_NOMEM, "no room for a path");
    return copy;
}

void hg_training_remove_folder(hg_trainings *t, const char *id)
{
    char path[4096];

    (void)snprintf(path, sizeof path, "%s/trainings/%s", t->folder, id);
    (void)hg_remove_tree(path, NULL);
}

void hg_training_tell(hg_trainings *t, const char *id)
{
    if (t->changed != NULL) t->changed(t->changed_ctx, id);
}

bool hg_training_wind_up(hg_trainings *t, const char *id)
{
    bool ok = true;

    hg_training_remove_folder(t, id);
    hg_training_tell(t, id);
    (void)pthread_mutex_lock(&t->lock);
    if (hg_training_intent(t, id) == INTENT_TELL)
        ok = hg_training_set_intent(t, id, INTENT_NONE, NULL) == HG_OK;
    (void)pthread_mutex_unlock(&t->lock);
    return ok;
}

/* The server's own folders are nobody's business. */
static void hide(char *text, const char *folder)
{
    const size_t n = strlen(folder);

    for (char *at; (at = strstr(text, folder)) != NULL;) {
        const size_t skip = at[n] == '/' ? n + 1 : n;
        memmove(at, at + skip, strlen(at + skip) + 1);
    }
}

void hg_training_fail(hg_trainings *t, const hg_training *one, const char *code, const char *param,
                      const char *why)
{
    char text[512];

    (void)snprintf(text, sizeof text, "%s", why);
    hide(text, t->folder);
    hide(text, "trainings/");
    hide(text, one->id);
    if (text[0] == '/') memmove(text, text + 1, strlen(text));
    hg_training_remove_folder(t, one->id); /* first: it makes room for the rest on a full disk */
    (void)pthread_mutex_lock(&t->lock);
    (void)hg_training_set_failed(t, one->id, code, param, text, NULL);
    (void)pthread_mutex_unlock(&t->lock);
    (void)hg_training_wind_up(t, one->id);
}

/* ---- the recipe ---- */
static void put_line(hg_buf *b, const char *key, const char *text)
{
    hg_buf_printf(b, "%s: ", key);
    hg_json_put_string(b, (hg_bytes){text, strlen(text)}); /* JSON's texts are YAML's too */
    hg_buf_putc(b, '\n');
}

static void put_number(hg_buf *b, const char *key, double v)
{
    hg_buf_printf(b, "%s: ", key);
    hg_json_put_number(b, v);
    hg_buf_putc(b, '\n');
}

static void put_file(hg_buf *b, const char *key, const char *folder, const char *name)
{
    char path[4200];

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    hg_buf_printf(b, "%s: [", key);
    hg_json_put_string(b, (hg_bytes){path, strlen(path)});
    hg_buf_puts(b, "]\n");
}

static void put_length(hg_buf *b, const hg_training_wish *w)
{
    if (w->n_steps > 0)
        put_number(b, "steps", (double)w->n_steps);
    else
        put_number(b, "epochs", w->n_epochs);
}

/* `every`: steps between the checkpoints that become models; 0: not known yet. */
static void put_recipe(hg_buf *b, const hg_training *one, const char *base, const char *folder,
                       uint64_t every)
{
    const hg_training_wish *w = &one->wish;
    char out[4200];

    (void)snprintf(out, sizeof out, "%s/run", folder);
    put_line(b, "base", base);
    put_line(b, "out", out);
    put_file(b, "data", folder, "train.jsonl");
    if (one->validation_file[0] != '\0') put_file(b, "val_data", folder, "valid.jsonl");
    put_line(b, "method", w->method == HG_TRAINING_DPO ? "dpo" : "sft");
    put_length(b, w);
    put_number(b, "batch_size", (double)w->batch_size);
    put_number(b, "lr", w->lr * w->lr_multiplier);
    if (w->warmup >= 0) put_number(b, "warmup", w->warmup);
    if (w->method == HG_TRAINING_DPO) put_number(b, "beta", w->beta);
    if (w->lora_rank > 0) {
        put_number(b, "lora_rank", (double)w->lora_rank);
        put_number(b, "lora_alpha", w->lora_alpha);
        put_number(b, "lora_dropout", w->lora_dropout);
        if (w->lora_targets != NULL) hg_buf_printf(b, "lora_targets: [%s]\n", w->lora_targets);
    }
    put_number(b, "val_share", w->val_share);
    put_number(b, "seed", (double)w->seed);
    hg_buf_puts(b, "sample_tokens: 0\ncheckpoint_minutes: 1\nkeep: 2\n");
    if (every > 0)
        hg_buf_printf(b, "checkpoint_every: %llu\nkeep_every: %llu\n", (unsigned long long)every,
                      (unsigned long long)every);
}

/* ---- a run ---- */
typedef struct work {
    hg_trainings *t;
    hg_training *one;
    char *base, *folder; /* folder: trainings/ID */
    char recipe[4200], run[4200];
    hg_runtime *rt;
    uint64_t every, reserved; /* reserved: bytes of the models' budget */
    bool is_full;             /* the disk was, at that step, and it was told */
    uint64_t full_at;
    hg_run_log log;
    hg_train_result result;
} work;

static hg_status write_recipe(work *k, uint64_t every, hg_err *e)
{
    hg_buf b = {0};

    put_recipe(&b, k->one, k->base, k->folder, every);
    hg_status s = hg_buf_status(&b, e);
    if (s == HG_OK) s = hg_file_write(k->recipe, b.p, b.n, e);
    hg_buf_free(&b);
    return s;
}

static hg_status tune(work *k, bool plan_only, const hg_watch *w, hg_err *e)
{
    hg_train_options o;

    hg_train_options_init(&o);
    o.recipe = k->recipe;
    o.resume = true;
    o.plan_only = plan_only;
    return hg_tune_run(&o, k->rt, w, &k->result, e);
}

/* The name under which an offer is found leads to its files, wherever the server is started. */
static hg_status find_base(work *k, hg_err *e)
{
    const hg_training *one = k->one;
    const hg_offer *o = hg_models_find(k->t->models, (hg_bytes){one->base, strlen(one->base)});
    char path[4096];

    if (o != NULL && o->target != NULL) o = o->target;
    if (o == NULL || o->path == NULL)
        return hg_fail(e, HG_E_MISSING, "the model %s is not offered any more", one->base);
    if (realpath(o->path, path) == NULL)
        return hg_fail(e, HG_E_IO, "the files of %s cannot be read: %s", one->base, hg_os_error());
    k->base = hg_strdup(path);
    return k->base != NULL ? HG_OK : hg_fail(e, HG_E_NOMEM, "no room for a path");
}

/* Steps in a pass over the data, of which each ends with a checkpoint. */
static uint64_t steps_a_pass(const work *k)
{
    const uint64_t batch = (uint64_t)k->one->wish.batch_size, rows = k->result.train_rows;
    const uint64_t n = (rows + batch - 1) / batch;

    return n > 0 ? n : 1;
}

/* Says before the start what it takes; a machine with too little memory is told so here. */
static hg_status plan(work *k, hg_err *e)
{
    hg_training *one = k->one;

    HG_TRY(write_recipe(k, 0, e));
    HG_TRY(tune(k, true, NULL, e));
    k->every = steps_a_pass(k);
    HG_TRY(write_recipe(k, k->every, e));
    const double passes = one->wish.n_epochs;
    one->need_bytes = k->result.need_bytes;
    one->n_threads = hg_runtime_threads(k->rt);
    if (k->result.total_steps > 0)
        one->n_steps = k->result.total_steps;
    else
        one->n_steps =
            (uint64_t)ceil(passes * (double)k->result.train_rows / (double)one->wish.batch_size);
    return hg_training_set_plan(k->t, one->id, one->n_steps, one->need_bytes, one->n_threads, e);
}

/* Of the checkpoints at the ends of passes the last three are enough. */
static void forget_old(const work *k)
{
    char path[4300];

    if (k->one->step % k->every != 0 || k->one->step <= HG_TRAINING_MODELS * k->every) return;
    (void)snprintf(path, sizeof path, "%s/checkpoints/step-%09llu.hgc", k->run,
                   (unsigned long long)(k->one->step - HG_TRAINING_MODELS * k->every));
    (void)unlink(path);
}

/* Files of trainings that have come meanwhile are read through between steps, so that what is wrong
 * with them is told soon. One that comes again could not be written down (a full disk): it waits
 * for the next step. */
static void check_others(hg_trainings *t)
{
    char id[HG_TRAINING_ID_ROOM], last[HG_TRAINING_ID_ROOM] = "";
    hg_training_state state;

    while (hg_training_next(t, id, &state) && state == HG_TRAINING_CHECKING &&
           strcmp(id, last) != 0) {
        hg_training_check(t, id);
        memcpy(last, id, sizeof last);
    }
}

static void on_progress(void *ctx, const hg_progress *p)
{
    work *k = ctx;

    if (strcmp(p->stage, "training") != 0) return;
    if (p->total > 0) k->one->n_steps = (uint64_t)p->total;
    if (hg_run_log_read(&k->log, k->t, k->one) == 0) return;
    forget_old(k);
    hg_training_tell(k->t, k->one->id);
    check_others(k->t);
}

static void on_log(void *ctx, hg_level level, const char *line)
{
    const work *k = ctx;
    char text[512];

    if (level < HG_WARN) return;
    (void)snprintf(text, sizeof text, "%s", line);
    hide(text, k->folder);
    hg_training_say(k->t, k->one->id, "warn", "%s", text);
}

/* ---- the end ---- */
/* The models at the ends of the last passes but the very last, from their checkpoints. */
static hg_status keep_checkpoints(work *k, hg_err *e)
{
    const hg_training *one = k->one;
    char path[4300], to[4300], name[128];
    uint64_t at = 0;

    for (uint64_t step = k->every; step < one->n_steps; step += k->every) {
        (void)snprintf(path, sizeof path, "%s/checkpoints/step-%09llu.hgc", k->run,
                       (unsigned long long)step);
        if (one->n_steps - step > (HG_TRAINING_MODELS - 1) * k->every || !hg_path_exists(path))
            continue;
        (void)snprintf(to, sizeof to, "%s/at-step", k->folder);
        if (!hg_made_is_kept(k->t, one, step)) {
            HG_TRY(hg_remove_tree(to, e));
            HG_TRY(hg_train_export(k->run, step, to, HG_WEIGHTS_AS_STORED, false, NULL, &at, e));
        }
        hg_made_name(one, step, name);
        HG_TRY(hg_made_keep(k->t, one, to, step, name, one->wish.lora_rank > 0, e));
        HG_TRY(hg_run_log_keep_checkpoint(k->t, one, step, name, e));
    }
    return HG_OK;
}

static hg_status keep_all(work *k, char name[128], hg_err *e)
{
    const hg_training *one = k->one;

    HG_TRY(keep_checkpoints(k, e));
    hg_made_name(one, 0, name);
    HG_TRY(
        hg_made_keep(k->t, one, k->result.model, one->n_steps, name, one->wish.lora_rank > 0, e));
    return hg_run_log_keep_checkpoint(k->t, one, one->n_steps, name, e);
}

/* The log is read once more from its beginning: what could not be written down of it on the way (a
 * full disk) is now. */
static hg_status keep_outcome(work *k, char name[128], hg_err *e)
{
    hg_run_log_init(&k->log, k->run);
    (void)hg_run_log_read(&k->log, k->t, k->one);
    HG_TRY(keep_all(k, name, e));
    return hg_run_log_keep_file(k->t, k->one, e);
}

/* Where it cannot be written down (a full disk) it is tried again, with the folder. */
static void succeed(const work *k, const char *name)
{
    const char *id = k->one->id;

    (void)pthread_mutex_lock(&k->t->lock);
    const hg_status s = hg_training_set_done(k->t, id, name, NULL);
    (void)pthread_mutex_unlock(&k->t->lock);
    if (s == HG_OK) (void)hg_training_wind_up(k->t, id);
}

/* With the lock. Where it cannot be written down (a full disk) it still runs: its thread takes it
 * up again, from its last checkpoint, when the store takes that. */
static void come_to_rest(const work *k, intent i)
{
    const bool is_cancel = i == INTENT_CANCEL;
    char text[64];

    (void)snprintf(text, sizeof text, "The job was %s at step %llu",
                   is_cancel ? "cancelled" : "paused", (unsigned long long)k->one->step);
    (void)hg_training_set_told(k->t, k->one->id,
                               is_cancel ? HG_TRAINING_CANCELED : HG_TRAINING_PAUSED, "info", text,
                               NULL);
}

/* Stopped: to be cancelled, to rest, or (the server ends) to go on when one starts. */
static void stopped(work *k)
{
    const char *id = k->one->id;

    (void)hg_run_log_read(&k->log, k->t, k->one);
    (void)pthread_mutex_lock(&k->t->lock);
    const intent i = hg_training_intent(k->t, id);
    if (i != INTENT_NONE) come_to_rest(k, i);
    (void)pthread_mutex_unlock(&k->t->lock);
    if (i == INTENT_CANCEL)
        (void)hg_training_wind_up(k->t, id);
    else
        hg_training_tell(k->t, id);
}

static void say_start(const work *k, bool goes_on)
{
    const hg_training *one = k->one;

    if (goes_on)
        hg_training_say(k->t, one->id, "info", "The job goes on from its last checkpoint");
    else
        hg_training_say(k->t, one->id, "info",
                        "The job has started: %llu steps, on %d thread%s, in %.0f MB of memory",
                        (unsigned long long)one->n_steps, one->n_threads,
                        one->n_threads == 1 ? "" : "s", (double)one->need_bytes / 1e6);
}

/* Once for all attempts, but for the run's log, which goes back to the last checkpoint. */
static hg_status set_up(work *k, hg_err *e)
{
    const hg_server_options *o = k->t->o;
    hg_machine_info machine;

    hg_machine_describe(&machine);
    const int half = machine.n_cores / 2 > 0 ? machine.n_cores / 2 : 1;
    if (k->base == NULL) HG_TRY(find_base(k, e));
    if (k->folder == NULL) k->folder = hg_training_folder(k->t, k->one->id, e);
    if (k->folder == NULL) return e->status;
    (void)snprintf(k->recipe, sizeof k->recipe, "%s/recipe.yaml", k->folder);
    (void)snprintf(k->run, sizeof k->run, "%s/run", k->folder);
    hg_run_log_init(&k->log, k->run);
    return k->rt != NULL ? HG_OK
                         : hg_runtime_new(&k->rt, o->threads > 0 ? o->threads : half, o->isa, e);
}

/* ---- memory ---- */
static void say_waiting(const work *k, uint64_t left)
{
    hg_training_say(k->t, k->one->id, "info",
                    "The job waits for memory: it needs %.0f MB, and beside the models at work "
                    "%.0f MB are free",
                    (double)k->one->need_bytes / 1e6, (double)left / 1e6);
}

/* What the plan says, out of what models may take. It waits until those at work are not, or
 * somebody ends it; files of others are looked at meanwhile. */
static hg_status reserve(work *k, hg_err *e)
{
    const struct timespec nap = {.tv_nsec = 50 * 1000 * 1000};
    const uint64_t need = k->one->need_bytes;
    hg_models_state state;
    uint64_t left;
    hg_reserve r;

    for (bool is_said = false;;) {
        r = hg_models_reserve(k->t->models, need, &left);
        if (r == HG_RESERVED || r == HG_RESERVE_NEVER) break;
        if (r == HG_RESERVE_LATER && !is_said) {
            say_waiting(k, left);
            is_said = true;
        }
        if (atomic_load(&k->t->stop)) return HG_E_CANCELED;
        check_others(k->t);
        (void)nanosleep(&nap, NULL);
    }
    k->reserved = r == HG_RESERVED ? need : 0;
    if (r == HG_RESERVED) return HG_OK;
    hg_models_look(k->t->models, &state);
    return hg_fail(e, HG_E_LIMIT,
                   "the training needs %.1f MB of memory; models and trainings may take %.1f MB "
                   "(--memory)",
                   (double)need / 1e6, (double)state.memory / 1e6);
}

/* Before it is told how it ended: who hears that may ask for a model in the same breath. */
static void give_back(work *k)
{
    hg_models_give_back(k->t->models, k->reserved);
    k->reserved = 0;
}

static hg_status tune_within(work *k, hg_err *e)
{
    const hg_watch w = {.progress = on_progress, .log = on_log, .stop = &k->t->stop, .ctx = k};
    const bool goes_on = k->one->step > 0;

    HG_TRY(reserve(k, e));
    say_start(k, goes_on);
    hg_training_tell(k->t, k->one->id);
    return tune(k, false, &w, e);
}

/* ---- room on the disk ---- */
/* Bytes that are free; UINT64_MAX: the system does not say. */
static uint64_t disk_room(const work *k)
{
    struct statvfs disk;

    if (statvfs(k->t->folder, &disk) != 0) return UINT64_MAX;
    return (uint64_t)disk.f_bavail * disk.f_frsize;
}

/* The run rests where its last checkpoint is. It is tried again when somebody has made room, or as
 * much is free as the run holds in memory, which no file of it exceeds; and now and then, since of
 * a quota the disk tells nothing. HG_E_CANCELED: somebody ends it, or the server. */
static hg_status wait_for_room(work *k)
{
    const struct timespec nap = {.tv_nsec = 100 * 1000 * 1000};
    const uint64_t had = disk_room(k), need = k->one->need_bytes;
    const double began = hg_seconds();

    if (!k->is_full || k->full_at != k->one->step)
        hg_training_say(k->t, k->one->id, "warn",
                        "The disk is full at step %llu: the job rests, and goes on by itself from "
                        "its last checkpoint when there is room",
                        (unsigned long long)k->one->step);
    k->is_full = true;
    k->full_at = k->one->step;
    hg_training_tell(k->t, k->one->id);
    while (!atomic_load(&k->t->stop)) {
        const double waited = hg_seconds() - began;
        const uint64_t has = disk_room(k);
        if (waited > LEAST_REST_S && ((had < need && has >= need) || has / 2 > had)) return HG_OK;
        if (waited > LONGEST_REST_S) return HG_OK;
        (void)nanosleep(&nap, NULL);
    }
    return HG_E_CANCELED;
}

/* A failure that could not be written down (the disk was full) has left nothing to go on with. */
static bool has_examples(const work *k)
{
    char path[4300];

    (void)snprintf(path, sizeof path, "%s/trainings/%s/train.jsonl", k->t->folder, k->one->id);
    return access(path, R_OK) == 0;
}

/* *code: of the failure. */
static hg_status attempt(work *k, char name[128], const char **code, hg_err *e)
{
    hg_status s = set_up(k, e);

    *code = "training_failed";
    if (s == HG_OK) s = plan(k, e);
    if (s == HG_OK) s = tune_within(k, e);
    if (s == HG_E_LIMIT) *code = "not_enough_memory";
    HG_TRY(s);
    *code = "model_not_kept";
    return keep_outcome(k, name, e);
}

static void work_on(work *k)
{
    const char *code;
    char name[128];
    hg_err e = {0};
    hg_status s, room = HG_OK;

    if (!has_examples(k)) {
        (void)hg_training_set_state(k->t, k->one->id, HG_TRAINING_CHECKING, NULL);
        return;
    }
    do {
        s = attempt(k, name, &code, &e);
        give_back(k);
        if (s == HG_E_FULL) room = wait_for_room(k);
    } while (s == HG_E_FULL && room == HG_OK);
    if (s == HG_OK)
        succeed(k, name);
    else if (s == HG_E_CANCELED || s == HG_E_FULL)
        stopped(k);
    else
        hg_training_fail(k->t, k->one, code, NULL, e.msg);
}

void hg_training_work(hg_trainings *t, const char *id)
{
    hg_training one;
    hg_arena mem;
    work k = {.t = t, .one = &one};

    hg_arena_init(&mem, 4096);
    if (hg_training_read(t, NULL, id, &mem, &one)) work_on(&k);
    hg_runtime_free(k.rt);
    hg_free(k.base);
    hg_free(k.folder);
    hg_arena_free(&mem);
}
