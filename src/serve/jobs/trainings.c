/* See trainings.h: asking, stopping, and the thread that works off what was asked for. States
 * change under one lock; what a training is to do next (end, rest) is in the store too, so that a
 * kill between the wish and the deed loses neither. */
#include "serve/jobs/trainings_impl.h"
#include "serve/ids.h"
#include "base/file.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { NICE = 10, LAST_N = 26, RETRY_S = 5, MAX_NAME = 87 };

bool hg_training_has_ended(hg_training_state s)
{
    return s >= HG_TRAINING_SUCCEEDED;
}

void hg_training_wish_init(hg_training_wish *w)
{
    *w = (hg_training_wish){.method = HG_TRAINING_SUPERVISED, .warmup = -1};
}

/* ---- asking ---- */
static bool check_range(double v, double min, double max, const char *param, hg_problem *p)
{
    if (v >= min && v <= max) return true;
    return hg_refuse(p, 400, "invalid_value", param, "%s must be from %g to %g", param, min, max);
}

static bool check_wish(const hg_training_wish *w, hg_problem *p)
{
    return (w->n_epochs == 0 || check_range(w->n_epochs, 0.01, 1000, "n_epochs", p)) &&
           (w->n_steps == 0 || check_range((double)w->n_steps, 1, 1e9, "n_steps", p)) &&
           (w->batch_size == 0 || check_range((double)w->batch_size, 1, 256, "batch_size", p)) &&
           (w->lr == 0 || check_range(w->lr, 1e-9, 1, "learning_rate", p)) &&
           (w->lr_multiplier == 0 ||
            check_range(w->lr_multiplier, 1e-6, 1000, "learning_rate_multiplier", p)) &&
           (w->warmup < 0 || check_range(w->warmup, 0, 1, "warmup", p)) &&
           (w->beta == 0 || check_range(w->beta, 1e-6, 2, "beta", p)) &&
           (w->lora_rank <= 0 || check_range((double)w->lora_rank, 1, 1024, "lora_rank", p)) &&
           (w->lora_alpha == 0 || check_range(w->lora_alpha, 1e-3, 1e6, "lora_alpha", p)) &&
           check_range(w->lora_dropout, 0, 0.95, "lora_dropout", p) &&
           check_range(w->val_share, 0, 0.5, "val_share", p) &&
           check_range((double)w->seed, 0, 9e15, "seed", p);
}

static bool check_targets(const char *targets, hg_problem *p)
{
    static const char *const known[] = {"q", "k", "v", "o", "gate", "up", "down"};

    for (const char *at = targets; at != NULL && *at != '\0';) {
        const size_t n = strcspn(at, ",");
        bool ok = false;
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            ok = ok || (strlen(known[i]) == n && strncmp(known[i], at, n) == 0);
        if (!ok || strlen(targets) > 60)
            return hg_refuse(p, 400, "invalid_value", "lora_targets",
                             "lora_targets must be some of q, k, v, o, gate, up, down");
        at += n + (at[n] == ',');
    }
    return true;
}

static bool check_model(const hg_trainings *t, hg_bytes id, hg_problem *p)
{
    const hg_offer *o = hg_models_find(t->models, id);
    const int n = (int)(id.n < 100 ? id.n : 100);

    if (o == NULL)
        return hg_refuse(p, 404, "model_not_found", "model", "there is no model \"%.*s\"", n, id.p);
    if (o->target != NULL) o = o->target;
    if (o->path == NULL)
        return hg_refuse(p, 400, "model_not_available", "model",
                         "%.*s has no weights that could be trained", n, id.p);
    if (o->is_adapter)
        return hg_refuse(p, 400, "model_not_available", "model",
                         "%.*s is an adapter; train %s, on which it stands", n, id.p,
                         o->base != NULL ? o->base->card.id : "its base");
    return true;
}

static bool check_file(hg_trainings *t, const char *owner, const char *id, const char *param,
                       hg_problem *p)
{
    hg_arena mem;
    hg_file file;
    hg_err e = {0};

    hg_arena_init(&mem, 4096);
    const hg_status s = hg_files_get(t->files, owner, id, &mem, &file, &e);
    hg_arena_free(&mem);
    if (s == HG_OK) return true;
    return hg_refuse(p, s == HG_E_MISSING ? 404 : 500, "not_found", param, "%s", e.msg);
}

static bool check(hg_trainings *t, const hg_training_ask *a, hg_problem *p)
{
    const size_t n = a->suffix != NULL ? strlen(a->suffix) : 0;

    if (n > 64)
        return hg_refuse(p, 400, "invalid_value", "suffix",
                         "suffix may have 64 characters at most");
    if (a->name != NULL && strlen(a->name) > MAX_NAME)
        return hg_refuse(p, 400, "invalid_value", "name",
                         "the model's name may have %d characters at most", (int)MAX_NAME);
    if (a->note != NULL && strlen(a->note) > HG_TRAINING_MAX_NOTE)
        return hg_refuse(p, 400, "invalid_value", "metadata", "the metadata is too long");
    if (!check_model(t, a->model, p) || !check_wish(&a->wish, p) ||
        !check_targets(a->wish.lora_targets, p) ||
        !check_file(t, a->owner, a->training_file, "training_file", p))
        return false;
    if (a->validation_file != NULL &&
        !check_file(t, a->owner, a->validation_file, "validation_file", p))
        return false;
    if (a->name != NULL && hg_models_find(t->models, (hg_bytes){a->name, strlen(a->name)}) != NULL)
        return hg_refuse(p, 409, "already_exists", "name", "there is a model %.100s", a->name);
    return true;
}

/* With the lock. What comes of those that are open must find room, too, and names of their own. */
static bool check_open(hg_trainings *t, const hg_training_ask *a, hg_problem *p)
{
    const int64_t room = (int64_t)hg_models_room(t->models);

    if (a->name != NULL && hg_training_name_is_open(t, a->name))
        return hg_refuse(p, 409, "already_exists", "name",
                         "a training that is open will make a model %.100s", a->name);
    if (hg_training_count_open(t, a->owner) >= HG_TRAININGS_MAX_OPEN)
        return hg_refuse(p, 429, "rate_limit_exceeded", NULL,
                         "%d trainings are open already; wait for one, or cancel it",
                         (int)HG_TRAININGS_MAX_OPEN);
    if ((hg_training_count_open(t, NULL) + 1) * HG_TRAINING_MODELS > room)
        return hg_refuse(p, 429, "rate_limit_exceeded", NULL,
                         "a server offers %d models at the most, and there is no room for those "
                         "that would come of it; delete some",
                         (int)HG_SERVE_MAX_MODELS);
    return true;
}

bool hg_trainings_create(hg_trainings *t, const hg_training_ask *ask, char id[HG_TRAINING_ID_ROOM],
                         hg_problem *p)
{
    hg_err e = {0};

    if (!check(t, ask, p)) return false;
    hg_id_make(id, HG_TRAINING_ID_ROOM, ask->id_prefix, LAST_N);
    (void)pthread_mutex_lock(&t->lock);
    const bool has_room = check_open(t, ask, p);
    const hg_status s = has_room ? hg_training_insert(t, ask, id, &e) : HG_OK;
    (void)pthread_cond_broadcast(&t->more);
    (void)pthread_mutex_unlock(&t->lock);
    if (!has_room) return false;
    if (s != HG_OK) return hg_refuse(p, 500, NULL, NULL, "%s", e.msg);
    return true;
}

bool hg_trainings_get(hg_trainings *t, const char *owner, const char *id, hg_arena *mem,
                      hg_training *out, hg_problem *p)
{
    if (hg_training_read(t, owner, id, mem, out)) return true;
    return hg_refuse(p, 404, "not_found", "fine_tuning_job_id", "there is no training %.60s", id);
}

/* ---- stopping and going on ---- */
/* With the lock. */
static hg_status stop(hg_trainings *t, const char *id, intent i, hg_err *e)
{
    const bool is_cancel = i == INTENT_CANCEL;

    return hg_training_set_told(t, id, is_cancel ? HG_TRAINING_CANCELED : HG_TRAINING_PAUSED,
                                "info", is_cancel ? "The job was cancelled" : "The job was paused",
                                e);
}

/* With the lock: what runs or is checked learns it from its thread, the rest at once; so does one
 * that has just come to rest, though its thread is still telling so. */
static hg_status bring_to(hg_trainings *t, const hg_training *one, intent i, bool *at_once,
                          hg_err *e)
{
    const bool runs = one->state == HG_TRAINING_RUNNING && strcmp(t->running, one->id) == 0;

    *at_once = !runs && one->state != HG_TRAINING_CHECKING;
    if (*at_once) return stop(t, one->id, i, e);
    HG_TRY(hg_training_set_intent(t, one->id, i, e));
    if (runs) atomic_store(&t->stop, true);
    return HG_OK;
}

/* With the lock. */
static bool may_change(hg_trainings *t, const hg_training *one, intent i, hg_problem *p)
{
    const char *why = NULL;

    if (hg_training_has_ended(one->state))
        why = "the training has ended already";
    else if (i == INTENT_PAUSE && one->state == HG_TRAINING_PAUSED)
        why = "the training is paused already";
    else if (i == INTENT_PAUSE && hg_training_intent(t, one->id) == INTENT_CANCEL)
        why = "the training is being cancelled";
    return why == NULL || hg_refuse(p, 400, "invalid_state", NULL, "%s", why);
}

static bool change(hg_trainings *t, const char *owner, const char *id, intent i, hg_problem *p)
{
    hg_training one;
    hg_arena mem;
    hg_err e = {0};
    bool at_once = false;

    hg_arena_init(&mem, 4096);
    (void)pthread_mutex_lock(&t->lock);
    bool ok = hg_trainings_get(t, owner, id, &mem, &one, p) && may_change(t, &one, i, p);
    if (ok && bring_to(t, &one, i, &at_once, &e) != HG_OK)
        ok = hg_refuse(p, 500, NULL, NULL, "%s", e.msg);
    (void)pthread_mutex_unlock(&t->lock);
    at_once = at_once && ok;
    if (at_once && i == INTENT_CANCEL)
        (void)hg_training_wind_up(t, id);
    else if (at_once)
        hg_training_tell(t, id);
    hg_arena_free(&mem);
    return ok;
}

bool hg_trainings_cancel(hg_trainings *t, const char *owner, const char *id, hg_problem *p)
{
    return change(t, owner, id, INTENT_CANCEL, p);
}

bool hg_trainings_pause(hg_trainings *t, const char *owner, const char *id, hg_problem *p)
{
    return change(t, owner, id, INTENT_PAUSE, p);
}

bool hg_trainings_resume(hg_trainings *t, const char *owner, const char *id, hg_problem *p)
{
    hg_training one;
    hg_arena mem;
    hg_err e = {0};

    hg_arena_init(&mem, 4096);
    (void)pthread_mutex_lock(&t->lock);
    bool ok = hg_trainings_get(t, owner, id, &mem, &one, p);
    if (ok && one.state != HG_TRAINING_PAUSED)
        ok = hg_refuse(p, 400, "invalid_state", NULL, "the training is not paused");
    if (ok && hg_training_set_told(t, id, HG_TRAINING_QUEUED, "info", "The job waits to go on",
                                   &e) != HG_OK)
        ok = hg_refuse(p, 500, NULL, NULL, "%s", e.msg);
    (void)pthread_cond_broadcast(&t->more);
    (void)pthread_mutex_unlock(&t->lock);
    if (ok) hg_training_tell(t, id);
    hg_arena_free(&mem);
    return ok;
}

/* ---- the thread ---- */
/* With the lock. */
static hg_status set_begun(hg_trainings *t, const char *id, hg_training_state *state)
{
    const intent i = hg_training_intent(t, id);

    *state = i == INTENT_CANCEL  ? HG_TRAINING_CANCELED
             : i == INTENT_PAUSE ? HG_TRAINING_PAUSED
                                 : HG_TRAINING_RUNNING;
    return i == INTENT_NONE ? hg_training_set_state(t, id, *state, NULL) : stop(t, id, i, NULL);
}

/* With the lock: marks the next as running. One that a kill has kept from ending as it was told
 * ends now. False: there is none, or (*is_stuck) it cannot be written down that it has begun. */
static bool begin_next(hg_trainings *t, char id[HG_TRAINING_ID_ROOM], hg_training_state *state,
                       bool *is_stuck)
{
    *is_stuck = false;
    if (t->is_ending || !hg_training_next(t, id, state)) return false;
    if (*state == HG_TRAINING_CHECKING) return true;
    *is_stuck = set_begun(t, id, state) != HG_OK;
    if (*is_stuck || *state != HG_TRAINING_RUNNING) return !*is_stuck;
    atomic_store(&t->stop, false);
    (void)snprintf(t->running, sizeof t->running, "%s", id);
    return true;
}

/* Without the lock. */
static void do_next(hg_trainings *t, const char *id, hg_training_state state)
{
    if (state == HG_TRAINING_CHECKING) {
        hg_training_check(t, id);
    } else if (state == HG_TRAINING_CANCELED) {
        (void)hg_training_wind_up(t, id);
    } else if (state != HG_TRAINING_PAUSED) {
        hg_training_work(t, id);
    }
}

/* With the lock. What is still to be done after it was done could not be written down (a full
 * disk): trying again at once would only keep the machine busy. */
static void wait_for_more(hg_trainings *t, bool is_stuck)
{
    struct timespec until;

    if (t->is_ending) return;
    if (!is_stuck) {
        (void)pthread_cond_wait(&t->more, &t->lock);
        return;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += RETRY_S;
    (void)pthread_cond_timedwait(&t->more, &t->lock, &until);
}

static bool is_same(hg_trainings *t, const char *id, hg_training_state state)
{
    char next[HG_TRAINING_ID_ROOM];
    hg_training_state its;

    if (!hg_training_next(t, next, &its) || strcmp(next, id) != 0) return false;
    return its == state || its == HG_TRAINING_RUNNING;
}

/* Answers come first: whatever this thread and those that it starts compute gives way. */
static void *run(void *ctx)
{
    hg_trainings *t = ctx;
    char id[HG_TRAINING_ID_ROOM];
    hg_training_state state;
    bool is_stuck;

    (void)setpriority(PRIO_PROCESS, 0, NICE);
    while (hg_training_next_ended(t, id) && hg_training_wind_up(t, id)) continue;
    (void)pthread_mutex_lock(&t->lock);
    while (!t->is_ending) {
        if (!begin_next(t, id, &state, &is_stuck)) {
            wait_for_more(t, is_stuck);
            continue;
        }
        (void)pthread_mutex_unlock(&t->lock);
        do_next(t, id, state);
        (void)pthread_mutex_lock(&t->lock);
        t->running[0] = '\0';
        if (is_same(t, id, state)) wait_for_more(t, true);
    }
    (void)pthread_mutex_unlock(&t->lock);
    return NULL;
}

/* ---- life ---- */
hg_status hg_trainings_new(hg_trainings **out, hg_data *d, hg_files *files, hg_models *models,
                           const hg_server_options *o, hg_err *e)
{
    pthread_condattr_t by;
    hg_trainings *t = hg_alloc(1, sizeof *t);

    *out = NULL;
    if (t == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the trainings");
    t->store = hg_data_store(d);
    t->files = files;
    t->models = models;
    t->o = o;
    t->folder = hg_strdup(hg_data_folder(d));
    (void)pthread_mutex_init(&t->lock, NULL);
    (void)pthread_condattr_init(&by);
    (void)pthread_condattr_setclock(&by, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&t->more, &by);
    (void)pthread_condattr_destroy(&by);
    if (t->folder == NULL || strlen(t->folder) > 900) {
        const hg_status s =
            t->folder == NULL
                ? hg_fail(e, HG_E_NOMEM, "no room for the trainings")
                : hg_fail(e, HG_E_ARG, "the data folder's path is longer than 900 bytes");
        hg_trainings_free(t);
        return s;
    }
    *out = t;
    return HG_OK;
}

void hg_trainings_watch(hg_trainings *t, hg_training_changed *fn, void *ctx)
{
    t->changed = fn;
    t->changed_ctx = ctx;
}

hg_status hg_trainings_start(hg_trainings *t, hg_err *e)
{
    hg_made_sweep(t);
    hg_made_offer_all(t);
    t->has_thread = pthread_create(&t->thread, NULL, run, t) == 0;
    return t->has_thread ? HG_OK : hg_fail(e, HG_E_NOMEM, "no room for the trainings' thread");
}

void hg_trainings_stop(hg_trainings *t)
{
    if (t == NULL || !t->has_thread) return;
    (void)pthread_mutex_lock(&t->lock);
    t->is_ending = true;
    atomic_store(&t->stop, true);
    (void)pthread_cond_broadcast(&t->more);
    (void)pthread_mutex_unlock(&t->lock);
    (void)pthread_join(t->thread, NULL);
    t->has_thread = false;
}

void hg_trainings_free(hg_trainings *t)
{
    if (t == NULL) return;
    hg_free(t->folder);
    (void)pthread_cond_destroy(&t->more);
    (void)pthread_mutex_destroy(&t->lock);
    hg_free(t);
}
