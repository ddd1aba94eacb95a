/* The engine: where a model meets its users. Requests wait in a queue; each step is one batch over
 * all running ones, one token for each that answers and a bounded piece of the prompts of those
 * that still read, so that nobody's answer stalls behind another's long prompt (Yu et al. 2022,
 * Orca: iteration-level scheduling; Agrawal et al. 2024, Sarathi: chunked prefill). One thread owns
 * all of it but the queue; the lock guards the queue and the list of running work only, and is
 * never held while the model runs or a caller's function does. */
#include "infer/slot.h"
#include "base/clock.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

struct hg_waiter {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool done;
    hg_finish finish;
    hg_usage usage;
    hg_err err;
};

struct hg_engine {
    const hg_model *m;
    hg_runtime *rt;
    hg_engine_options o;
    size_t n_ctx;
    hg_type cache_type;
    int32_t end_id[2]; /* of text, and of a turn */
    pthread_t thread;

    pthread_mutex_t lock; /* guards what follows, up to the engine thread's own */
    pthread_cond_t wake;
    hg_work *first, *last; /* the queue */
    hg_work **running;     /* [n_slots]: slots[i].work, for cancel */
    hg_engine_state state;
    hg_job last_job;
    bool closing;

    /* The engine thread's own. */
    hg_stepper step;
    hg_slot *slots; /* [n_slots] */
    size_t n_slots;
    hg_lane *lanes;   /* [n_slots] of this step */
    hg_slot **active; /* whose lanes they are */
    hg_slot **drawing;
    hg_choices *rooms; /* [n_threads] to sample in */
    int n_threads;
    uint64_t clock;
};

void hg_engine_options_init(hg_engine_options *o)
{
    *o = (hg_engine_options){.max_sessions = 8, .max_queue = 64, .prefill_chunk = 256};
}

/* ---- the end of a request ---- */
static void work_free(hg_work *w)
{
    hg_stops_free(&w->stops);
    hg_arena_free(&w->mem);
    hg_free(w);
}

/* The last word to the caller, and to a thread that waits. `w` is in no list any more. */
static void work_end(hg_work *w, hg_finish finish, const hg_err *why)
{
    const char *sentence = finish == HG_FINISH_ERROR ? why->msg : "";
    hg_waiter *waiter = w->waiter;
    if (w->r.on_text != NULL)
        w->r.on_text(w->r.ctx, (hg_bytes){"", 0}, finish, &w->usage, sentence);
    if (waiter != NULL) {
        pthread_mutex_lock(&waiter->lock);
        waiter->done = true;
        waiter->finish = finish;
        waiter->usage = w->usage;
        if (finish == HG_FINISH_ERROR) waiter->err = *why;
        pthread_cond_signal(&waiter->ended);
        pthread_mutex_unlock(&waiter->lock);
    }
    work_free(w);
}

static void show(hg_work *w, hg_bytes text)
{
    if (text.n > 0 && w->r.on_text != NULL)
        w->r.on_text(w->r.ctx, text, HG_FINISH_NONE, &w->usage, "");
}

/* Frees the slot, keeps its cache, and tells the caller. */
static void slot_end(hg_engine *en, hg_slot *s, hg_finish finish, const hg_err *why)
{
    hg_work *w = s->work;
    const double now = hg_seconds();
    hg_bytes rest;
    if (w->answering_s > 0.0)
        w->usage.decode_s = now - w->answering_s;
    else
        w->usage.prefill_s = now - w->started_s;
    if (hg_detok_end(&s->detok, &rest, NULL) == HG_OK) show(w, rest);
    s->work = NULL;
    s->used_at = ++en->clock;

    pthread_mutex_lock(&en->lock);
    en->running[s - en->slots] = NULL;
    en->state.n_running--;
    en->state.n_done++;
    pthread_mutex_unlock(&en->lock);
    work_end(w, finish, why);
}

/* ---- one step ---- */

/* Takes the chosen token into the answer; ends the request where it ends. */
static void accept(hg_engine *en, hg_slot *s)
{
    hg_work *w = s->work;
    hg_bytes text;
    hg_err why = {0};
    s->is_ahead = false; /* this step has run it */
    if (w->answering_s <= 0.0) {
        w->answering_s = hg_seconds();
        w->usage.prefill_s = w->answering_s - w->started_s;
    }
    if (s->drawn != HG_OK) {
        slot_end(en, s, HG_FINISH_ERROR, &s->err);
        return;
    }
    if (s->chosen == en->end_id[0] || s->chosen == en->end_id[1]) {
        slot_end(en, s, HG_FINISH_STOP, NULL);
        return;
    }
    s->token = s->chosen;
    s->is_ahead = true;
    w->usage.completion_tokens++;
    w->usage.decode_s = hg_seconds() - w->answering_s;
    const hg_bytes piece = hg_tokenizer_piece(hg_model_tokenizer(en->m), s->token, false);
    if (hg_detok_put(&s->detok, piece, &text, &why) != HG_OK) {
        slot_end(en, s, HG_FINISH_ERROR, &why);
        return;
    }
    show(w, text);
    if (s->detok.stopped)
        slot_end(en, s, HG_FINISH_STOP, NULL);
    else if (w->usage.completion_tokens == w->r.max_tokens)
        slot_end(en, s, HG_FINISH_LENGTH, NULL);
}

/* Every running slot's part of the next batch, the oldest request's prompt first. */
static size_t plan(hg_engine *en)
{
    size_t n = 0, budget = en->o.prefill_chunk;
    for (size_t i = 0; i < en->n_slots; i++) {
        hg_slot *s = &en->slots[i];
        size_t at = n;
        if (s->work == NULL) continue;
        for (; at > 0 && en->active[at - 1]->work->id > s->work->id; at--)
            en->active[at] = en->active[at - 1];
        en->active[at] = s;
        n++;
    }
    size_t n_lanes = 0;
    for (size_t i = 0; i < n; i++) {
        hg_slot *s = en->active[i];
        hg_lane *lane = &en->lanes[n_lanes];
        s->logits = NULL;
        if (!hg_slot_lane(s, budget, lane)) continue;
        if (s->n_fed < s->work->r.n_prompt) budget -= lane->n < budget ? lane->n : budget;
        en->active[n_lanes++] = s;
    }
    return n_lanes;
}

static void draw_some(void *ctx, size_t begin, size_t end, int thread)
{
    hg_engine *en = ctx;
    for (size_t i = begin; i < end; i++) hg_slot_draw(en->drawing[i], &en->rooms[thread]);
}

static void count_tokens(hg_engine *en, size_t n_prompt, size_t n_drawn)
{
    pthread_mutex_lock(&en->lock);
    en->state.n_prompt_tokens += n_prompt;
    en->state.n_completion_tokens += n_drawn;
    pthread_mutex_unlock(&en->lock);
}

static void step(hg_engine *en)
{
    hg_err why = {0};
    size_t n_drawing = 0, n_read = 0;
    const size_t n = plan(en);
    if (hg_stepper_run(&en->step, en->lanes, n, &why) != HG_OK) {
        for (size_t i = 0; i < n; i++) slot_end(en, en->active[i], HG_FINISH_ERROR, &why);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        hg_slot *s = en->active[i];
        if (s->n_fed < s->work->r.n_prompt) {
            s->n_fed += en->lanes[i].n;
            n_read += en->lanes[i].n;
        }
        s->logits = en->lanes[i].logits;
        if (s->logits != NULL) en->drawing[n_drawing++] = s;
    }
    hg_pool_run(en->rt->pool, n_drawing, 1, draw_some, en);
    count_tokens(en, n_read, n_drawing);
    for (size_t i = 0; i < n_drawing; i++) accept(en, en->drawing[i]);
}

/* ---- the thread ---- */
static bool is_canceled(const hg_work *w)
{
    return atomic_load(&w->canceled) || (w->r.cancel != NULL && atomic_load(w->r.cancel));
}

static void end_canceled(hg_engine *en)
{
    for (size_t i = 0; i < en->n_slots; i++) {
        hg_slot *s = &en->slots[i];
        if (s->work != NULL && is_canceled(s->work)) slot_end(en, s, HG_FINISH_CANCELED, NULL);
    }
}

/* Unlinks the first work of the queue that was cancelled (all are once the engine closes). */
static hg_work *take_canceled(hg_engine *en)
{
    hg_work *before = NULL, *w;
    pthread_mutex_lock(&en->lock);
    for (w = en->first; w != NULL; before = w, w = w->next)
        if (en->closing || is_canceled(w)) break;
    if (w != NULL) {
        if (before == NULL)
            en->first = w->next;
        else
            before->next = w->next;
        if (en->last == w) en->last = before;
        en->state.n_waiting--;
        en->state.n_done++;
    }
    pthread_mutex_unlock(&en->lock);
    return w;
}

static hg_work *first_waiting(hg_engine *en)
{
    pthread_mutex_lock(&en->lock);
    hg_work *w = en->first;
    pthread_mutex_unlock(&en->lock);
    return w; /* only this thread takes work from the queue, so it stays there */
}

/* Moves the queue's first work to the running list. */
static void move_first(hg_engine *en, size_t slot)
{
    pthread_mutex_lock(&en->lock);
    hg_work *w = en->first;
    en->first = w->next;
    if (en->first == NULL) en->last = NULL;
    en->state.n_waiting--;
    en->state.n_running++;
    en->running[slot] = w;
    pthread_mutex_unlock(&en->lock);
}

/* Gives waiting work its slots. Where memory ends before max_sessions does, the engine goes on with
 * the slots it has. */
static void admit(hg_engine *en)
{
    const hg_slot *source;
    hg_work *w;
    size_t shared;
    while ((w = first_waiting(en)) != NULL) {
        hg_err why = {0};
        hg_slot *s = hg_slots_choose(en->slots, en->n_slots, w, &source, &shared);
        if (s == NULL) return;
        const bool ok = hg_slot_new(s, en->m, en->n_ctx, en->cache_type, &why) == HG_OK;
        if (!ok && s != en->slots) {
            en->n_slots = (size_t)(s - en->slots);
            continue;
        }
        move_first(en, (size_t)(s - en->slots));
        if (ok) {
            hg_slot_begin(s, w, source, shared);
        } else {
            s->work = w;
            slot_end(en, s, HG_FINISH_ERROR, &why);
        }
    }
}

static bool is_running(const hg_engine *en)
{
    for (size_t i = 0; i < en->n_slots; i++)
        if (en->slots[i].work != NULL) return true;
    return false;
}

/* Sleeps while there is nothing to do; false when the engine closes. */
static bool wait_for_work(hg_engine *en)
{
    const bool busy = is_running(en);
    pthread_mutex_lock(&en->lock);
    while (!busy && en->first == NULL && !en->closing) pthread_cond_wait(&en->wake, &en->lock);
    const bool go_on = !en->closing;
    pthread_mutex_unlock(&en->lock);
    return go_on;
}

static void *engine_main(void *p)
{
    hg_engine *en = p;
    hg_work *w;
    sigset_t all;
    /* Signals are for the program's own threads, which know what to do with them. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, NULL);
    while (wait_for_work(en)) {
        end_canceled(en);
        while ((w = take_canceled(en)) != NULL) work_end(w, HG_FINISH_CANCELED, NULL);
        admit(en);
        if (is_running(en)) step(en);
    }
    for (size_t i = 0; i < en->n_slots; i++)
        if (en->slots[i].work != NULL) slot_end(en, &en->slots[i], HG_FINISH_CANCELED, NULL);
    while ((w = take_canceled(en)) != NULL) work_end(w, HG_FINISH_CANCELED, NULL);
    return NULL;
}

/* ---- making and ending ---- */
static void engine_drop(hg_engine *en)
{
    for (size_t i = 0; en->slots != NULL && i < en->o.max_sessions; i++)
        hg_slot_free(&en->slots[i]);
    hg_stepper_free(&en->step);
    hg_free(en->slots);
    hg_free(en->running);
    hg_free(en->lanes);
    hg_free(en->active);
    hg_free(en->drawing);
    for (int i = 0; en->rooms != NULL && i < en->n_threads; i++) hg_choices_free(&en->rooms[i]);
    hg_free(en->rooms);
    hg_free(en);
}

static hg_status engine_rooms(hg_engine *en, hg_err *e)
{
    const size_t n = en->o.max_sessions;
    en->n_slots = n;
    en->slots = hg_alloc(n, sizeof *en->slots);
    en->running = hg_alloc(n, sizeof *en->running);
    en->lanes = hg_alloc(n, sizeof *en->lanes);
    en->active = hg_alloc(n, sizeof *en->active);
    en->drawing = hg_alloc(n, sizeof *en->drawing);
    en->n_threads = hg_pool_threads(en->rt->pool);
    en->rooms = hg_alloc((size_t)en->n_threads, sizeof *en->rooms);
    if (en->slots == NULL || en->running == NULL || en->lanes == NULL || en->active == NULL ||
        en->drawing == NULL || en->rooms == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for an engine of %zu sessions", n);
    for (int i = 0; i < en->n_threads; i++)
        HG_TRY(hg_choices_init(&en->rooms[i], en->m->c.n_vocab, &en->rt->k, e));
    return hg_stepper_init(&en->step, en->m, en->rt, n + en->o.prefill_chunk, n, e);
}

static hg_status check_options(const hg_model *m, const hg_engine_options *o, hg_err *e)
{
    if (hg_model_tokenizer(m) == NULL)
        return hg_fail(e, HG_E_MISSING,
                       "the model has no tokenizer; put its tokenizer.json beside the weights");
    if (o->max_sessions < 1 || o->max_sessions > HG_MAX_SESSIONS)
        return hg_fail(e, HG_E_ARG, "%u sessions; 1 to %d allowed", o->max_sessions,
                       HG_MAX_SESSIONS);
    if (o->prefill_chunk < 1 || o->prefill_chunk > HG_MAX_PREFILL_CHUNK)
        return hg_fail(e, HG_E_ARG, "a prefill chunk of %u tokens; 1 to %d allowed",
                       o->prefill_chunk, HG_MAX_PREFILL_CHUNK);
    return HG_OK;
}

/* The token that ends a turn. A template that is broken ends no turn, and whoever renders with it
 * is told why. */
static int32_t turn_end(const hg_model *m, const char *chat_template)
{
    const hg_tokenizer *t = hg_model_tokenizer(m);
    hg_chat_format *f = NULL;
    hg_err e;
    if (chat_template == NULL) chat_template = hg_model_chat_template(m);
    if (t == NULL) return -1;
    if (chat_template == NULL) return hg_chat_end_id(t);
    if (hg_chat_format_new(&f, t, chat_template, &e) != HG_OK) return hg_chat_end_id(t);
    int32_t id = hg_chat_format_end(f);
    hg_chat_format_free(f);
    return id;
}

hg_status hg_engine_new(hg_engine **out, const hg_model *m, hg_runtime *rt,
                        const hg_engine_options *o, hg_err *e)
{
    hg_engine_options defaults;
    size_t n_ctx = 0;
    hg_type type;
    *out = NULL;
    hg_engine_options_init(&defaults);
    if (o == NULL) o = &defaults;
    HG_TRY(check_options(m, o, e));
    HG_TRY(hg_cache_context(m, o->n_ctx, &n_ctx, e));
    HG_TRY(hg_cache_choose(m, o->cache, &type, e));
    hg_engine *en = hg_alloc(1, sizeof *en);
    if (en == NULL) return hg_fail(e, HG_E_NOMEM, "no room for an engine");
    en->m = m;
    en->rt = rt;
    en->o = *o;
    en->o.chat_template = NULL;
    en->n_ctx = n_ctx;
    en->cache_type = type;
    en->end_id[0] = m->c.eos_id;
    en->end_id[1] = turn_end(m, o->chat_template);
    const hg_status s = engine_rooms(en, e);
    if (s != HG_OK) {
        engine_drop(en);
        return s;
    }
    pthread_mutex_init(&en->lock, NULL);
    pthread_cond_init(&en->wake, NULL);
    if (pthread_create(&en->thread, NULL, engine_main, en) != 0) {
        engine_drop(en);
        return hg_fail(e, HG_E_NOMEM, "the system gives no thread to the engine");
    }
    *out = en;
    return HG_OK;
}

void hg_engine_free(hg_engine *en)
{
    if (en == NULL) return;
    pthread_mutex_lock(&en->lock);
    en->closing = true;
    pthread_cond_signal(&en->wake);
    pthread_mutex_unlock(&en->lock);
    pthread_join(en->thread, NULL);
    pthread_cond_destroy(&en->wake);
    pthread_mutex_destroy(&en->lock);
    engine_drop(en);
}

/* ---- what other threads call ---- */
static hg_status check_bias(const hg_engine *en, const hg_sampling *o, hg_err *e)
{
    for (size_t i = 0; i < o->n_bias; i++)
        if ((uint32_t)o->bias[i].id >= en->m->c.n_vocab)
            return hg_fail(e, HG_E_ARG, "a bias of token %d; the vocabulary has %u", o->bias[i].id,
                           en->m->c.n_vocab);
    return HG_OK;
}

static hg_status check_request(const hg_engine *en, const hg_request *r, hg_err *e)
{
    HG_TRY(hg_sampling_check(&r->sampling, e));
    HG_TRY(check_bias(en, &r->sampling, e));
    if (r->n_prompt == 0)
        return hg_fail(e, HG_E_ARG, "the prompt is empty; give at least one token");
    if (r->n_prompt >= en->n_ctx)
        return hg_fail(e, HG_E_LIMIT,
                       "the prompt has %zu tokens and the context holds %zu with the answer; "
                       "shorten it",
                       r->n_prompt, en->n_ctx);
    return hg_check_ids(en->m, r->prompt, r->n_prompt, e);
}

static hg_status copy_sampling(hg_work *w, hg_err *e)
{
    hg_sampling *o = &w->r.sampling;
    hg_logit_bias *bias = HG_NEW_RAW(&w->mem, hg_logit_bias, o->n_bias + 1);
    const char **breakers = HG_NEW_RAW(&w->mem, const char *, o->n_dry_breakers + 1);
    bool ok = bias != NULL && breakers != NULL;
    for (size_t i = 0; ok && i < o->n_bias; i++) bias[i] = o->bias[i];
    for (size_t i = 0; ok && i < o->n_dry_breakers; i++) {
        const char *s = o->dry_breakers[i];
        breakers[i] = hg_arena_strndup(&w->mem, s, strlen(s));
        ok = breakers[i] != NULL;
    }
    if (!ok) return hg_fail(e, HG_E_NOMEM, "no room for a request");
    o->bias = bias;
    o->dry_breakers = breakers;
    return HG_OK;
}

static hg_status copy_prompt(hg_work *w, hg_err *e)
{
    w->prompt = HG_NEW_RAW(&w->mem, int32_t, w->r.n_prompt);
    if (w->prompt == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for a prompt of %zu tokens", w->r.n_prompt);
    memcpy(w->prompt, w->r.prompt, w->r.n_prompt * sizeof *w->prompt);
    w->r.prompt = w->prompt;
    return HG_OK;
}

static hg_status work_new(hg_work **out, const hg_engine *en, const hg_request *r, hg_err *e)
{
    const size_t room = en->n_ctx - r->n_prompt;
    hg_work *w = hg_alloc(1, sizeof *w);
    *out = NULL;
    if (w == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a request");
    w->r = *r;
    if (w->r.max_tokens == 0 || w->r.max_tokens > room) w->r.max_tokens = (uint32_t)room;
    hg_arena_init(&w->mem, 4096);
    hg_status s = copy_prompt(w, e);
    if (s == HG_OK) s = copy_sampling(w, e);
    if (s == HG_OK) s = hg_stops_copy(&w->stops, r->stop, r->n_stop, e);
    if (s != HG_OK) {
        work_free(w);
        return s;
    }
    w->submitted_s = hg_seconds();
    *out = w;
    return HG_OK;
}

/* Appends to the queue unless it is full. */
static hg_status enqueue(hg_engine *en, hg_work *w, hg_job *out, hg_err *e)
{
    hg_status s = HG_OK;
    pthread_mutex_lock(&en->lock);
    /* Work that a free slot will take at once does not wait. */
    const uint32_t at_once = en->o.max_sessions - en->state.n_running;
    if (en->closing) {
        s = hg_fail(e, HG_E_STATE, "the engine is closing");
    } else if (en->state.n_waiting >= at_once + en->o.max_queue) {
        s = hg_fail(e, HG_E_STATE, "%u requests run and %u wait already; try again later",
                    en->state.n_running, en->state.n_waiting);
    } else {
        w->id = ++en->last_job;
        *out = w->id;
        if (en->last == NULL)
            en->first = w;
        else
            en->last->next = w;
        en->last = w;
        en->state.n_waiting++;
        pthread_cond_signal(&en->wake);
    }
    pthread_mutex_unlock(&en->lock);
    return s;
}

static hg_status submit(hg_engine *en, const hg_request *r, hg_waiter *waiter, hg_job *out,
                        hg_err *e)
{
    hg_work *w;
    *out = 0;
    HG_TRY(check_request(en, r, e));
    HG_TRY(work_new(&w, en, r, e));
    w->waiter = waiter;
    const hg_status s = enqueue(en, w, out, e);
    if (s != HG_OK) work_free(w);
    return s;
}

hg_status hg_engine_submit(hg_engine *en, const hg_request *r, hg_job *out, hg_err *e)
{
    return submit(en, r, NULL, out, e);
}

void hg_engine_cancel(hg_engine *en, hg_job job)
{
    pthread_mutex_lock(&en->lock);
    for (hg_work *w = en->first; w != NULL; w = w->next)
        if (w->id == job) atomic_store(&w->canceled, true);
    for (size_t i = 0; i < en->o.max_sessions; i++)
        if (en->running[i] != NULL && en->running[i]->id == job)
            atomic_store(&en->running[i]->canceled, true);
    pthread_mutex_unlock(&en->lock);
}

void hg_engine_look(hg_engine *en, hg_engine_state *out)
{
    pthread_mutex_lock(&en->lock);
    *out = en->state;
    pthread_mutex_unlock(&en->lock);
}

/* ---- timelines as files ---- */

/* Takes the lock; while it is held and nothing runs or waits, the engine's thread sleeps and its
 * slots are the caller's. */
static hg_status lock_idle(hg_engine *en, hg_err *e)
{
    pthread_mutex_lock(&en->lock);
    if (en->state.n_running == 0 && en->state.n_waiting == 0) return HG_OK;
    pthread_mutex_unlock(&en->lock);
    return hg_fail(e, HG_E_STATE, "requests are running; wait until they have ended");
}

hg_status hg_engine_save(hg_engine *en, const char *path, hg_err *e)
{
    const hg_slot *last = NULL;
    HG_TRY(lock_idle(en, e));
    for (size_t i = 0; i < en->n_slots; i++)
        if (en->slots[i].cache.n > 0 && (last == NULL || en->slots[i].used_at > last->used_at))
            last = &en->slots[i];
    const hg_status s =
        last != NULL ? hg_cache_save(&last->cache, en->m, &last->token, last->is_ahead, path, e)
                     : hg_fail(e, HG_E_STATE, "there is no timeline to save yet");
    pthread_mutex_unlock(&en->lock);
    return s;
}

hg_status hg_engine_load(hg_engine *en, const char *path, hg_ids *ids, hg_err *e)
{
    HG_TRY(lock_idle(en, e));
    hg_slot *slot = &en->slots[0];
    for (size_t i = 1; i < en->n_slots; i++)
        if (en->slots[i].used_at < slot->used_at) slot = &en->slots[i];
    hg_status s = hg_slot_new(slot, en->m, en->n_ctx, en->cache_type, e);
    if (s == HG_OK) s = hg_cache_load(&slot->cache, en->m, path, ids, e);
    slot->is_ahead = false;
    if (s == HG_OK) slot->used_at = ++en->clock;
    pthread_mutex_unlock(&en->lock);
    return s;
}

static void waiter_init(hg_waiter *w)
{
    pthread_condattr_t a;
    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->ended, &a);
    pthread_condattr_destroy(&a);
}

/* A signal handler can set a flag and nothing more, so the waiting thread looks at it. */
static bool wait_a_moment(hg_waiter *w)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 10 * 1000 * 1000;
    if (until.tv_nsec >= 1000 * 1000 * 1000) {
        until.tv_nsec -= 1000 * 1000 * 1000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&w->lock);
    if (!w->done) pthread_cond_timedwait(&w->ended, &w->lock, &until);
    const bool done = w->done;
    pthread_mutex_unlock(&w->lock);
    return done;
}

hg_status hg_engine_run(hg_engine *en, const hg_request *r, const atomic_bool *stop,
                        hg_finish *finish, hg_usage *usage, hg_err *e)
{
    hg_waiter waiter = {0};
    hg_job job;
    bool asked = false;
    if (finish != NULL) *finish = HG_FINISH_ERROR;
    if (usage != NULL) *usage = (hg_usage){0};
    waiter_init(&waiter);
    hg_status s = submit(en, r, &waiter, &job, e);
    for (bool done = s != HG_OK; !done; done = wait_a_moment(&waiter))
        if (!asked && stop != NULL && atomic_load(stop)) {
            hg_engine_cancel(en, job);
            asked = true;
        }
    if (s == HG_OK) {
        if (finish != NULL) *finish = waiter.finish;
        if (usage != NULL) *usage = waiter.usage;
        if (waiter.finish == HG_FINISH_ERROR)
            s = hg_fail(e, waiter.err.status, "%s", waiter.err.msg);
    }
    pthread_cond_destroy(&waiter.ended);
    pthread_mutex_destroy(&waiter.lock);
    return s;
}
