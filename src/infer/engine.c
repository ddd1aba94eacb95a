/* The engine: where a model meets its users. Requests wait in a queue; each step is one batch over
 * all running ones: for each that answers its last token and guesses of the next ones, and a
 * bounded piece of the prompts of those that still read, so that nobody's answer stalls behind
 * another's long prompt (Yu et al. 2022, Orca: iteration-level scheduling; Agrawal et al. 2024,
 * Sarathi: chunked prefill). One thread owns all of it but the queue; the lock guards the queue and
 * the list of running work only, and is never held while the model runs or a caller's function
 * does. */
#include "infer/engine.h"
#include "base/clock.h"

#include <math.h>
#include <signal.h>

void hg_engine_options_init(hg_engine_options *o)
{
    *o = (hg_engine_options){.max_sessions = 8, .max_queue = 64, .prefill_chunk = 256};
}

/* ---- the end of a request ---- */
void hg_work_free(hg_work *w)
{
    if (w->constraint != NULL) w->constraint->kind->free(w->constraint);
    hg_stops_free(&w->stops);
    hg_arena_free(&w->mem);
    hg_free(w);
}

/* The last word to the caller, and to a thread that waits. `w` is in no list any more. */
static void work_end(hg_work *w, hg_finish finish, const hg_err *why)
{
    const char *sentence = finish == HG_FINISH_ERROR ? why->msg : "";
    hg_waiter *waiter = w->waiter;
    /* Whoever hears of the end may free what the constraint was made from. */
    hg_constraint_free(w->constraint);
    w->constraint = NULL;
    if (finish == HG_FINISH_ERROR) w->usage.status = why->status;
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
    hg_work_free(w);
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
    hg_slot_release(s);
    s->used_at = ++en->clock;

    pthread_mutex_lock(&en->lock);
    en->running[s - en->slots] = NULL;
    en->state.n_running--;
    en->state.n_done++;
    pthread_mutex_unlock(&en->lock);
    work_end(w, finish, why);
}

/* ---- one step: guessing ---- */
enum { GUESS_ROWS = 32 }; /* guesses in a step: beyond about so many, a row costs what it saves */

/* Fills s->ahead of every slot that answers. How far is guessed may depend on the company, because
 * guesses never show in an answer. */
static void guess(hg_engine *en)
{
    size_t n_answering = 0;
    for (size_t i = 0; i < en->n_slots; i++)
        n_answering += en->slots[i].work != NULL && !hg_slot_reads(&en->slots[i]);
    hg_drafter_begin(&en->drafter);
    for (size_t i = 0; i < en->n_slots; i++) {
        hg_slot *s = &en->slots[i];
        if (s->work == NULL) continue;
        const unsigned how = s->work->r.speculate;
        size_t most = 0;
        s->n_ahead = hg_slot_reads(s) ? 0 : 1;
        s->looked_up = false;
        if (s->n_ahead > 0) {
            most = GUESS_ROWS / n_answering;
            if (most > hg_slot_guess_room(s)) most = hg_slot_guess_room(s);
            if (most > HG_MAX_GUESS) most = HG_MAX_GUESS;
        }
        if (most > 0 && (how & HG_SPECULATE_LOOKUP) != 0) hg_slot_look_up(s, most);
        if (!s->looked_up && (how & HG_SPECULATE_DRAFT) != 0) {
            const size_t worth = hg_guess_length(&s->rate_draft);
            if (worth == 0) hg_guess_learn(&s->rate_draft, 0, 0);
            hg_drafter_add(&en->drafter, s, most < worth ? most : worth);
        }
    }
    if (en->drafter.n > 0) hg_drafter_run(&en->drafter);
}

/* ---- one step: what goes into the batch ---- */

/* The running slots, the oldest request first. */
static size_t by_age(hg_engine *en)
{
    size_t n = 0;
    for (size_t i = 0; i < en->n_slots; i++) {
        hg_slot *s = &en->slots[i];
        size_t at = n;
        if (s->work == NULL) continue;
        for (; at > 0 && en->active[at - 1]->work->id > s->work->id; at--)
            en->active[at] = en->active[at - 1];
        en->active[at] = s;
        n++;
    }
    return n;
}

static size_t left_to_read(const hg_slot *s)
{
    return s->work->r.n_prompt - s->n_fed;
}

/* Who reads in this step. */
typedef struct readers {
    size_t n;      /* of the active slots, so many */
    size_t n_read; /* of which so many read */
    size_t least;  /* who of them has the least left; n: nobody reads */
} readers;

static readers count_readers(const hg_engine *en, size_t n)
{
    readers r = {.n = n, .least = n};
    for (size_t i = 0; i < n; i++) {
        if (!hg_slot_reads(en->active[i])) continue;
        r.n_read++;
        if (r.least == n || left_to_read(en->active[i]) < left_to_read(en->active[r.least]))
            r.least = i;
    }
    return r;
}

/* Three quarters of a step's budget belong to who has the least left to read, so that its first
 * token does not wait until long prompts are read; the others share the rest. */
static size_t fair_share(const hg_engine *en, const readers *r, size_t i)
{
    const size_t rest = en->o.prefill_chunk / 4;
    if (r->n_read == 1) return en->o.prefill_chunk;
    return i == r->least ? en->o.prefill_chunk - rest : rest / (r->n_read - 1);
}

/* How much of the budget the i-th slot may read: what the younger ones do not need of their shares,
 * so that the oldest is served first. */
static size_t reading_share(const hg_engine *en, const readers *r, size_t i, size_t budget)
{
    size_t others = 0;
    for (size_t j = i + 1; j < r->n; j++) {
        const size_t left = left_to_read(en->active[j]), share = fair_share(en, r, j);
        if (hg_slot_reads(en->active[j])) others += left < share ? left : share;
    }
    const size_t rest = budget > others ? budget - others : 0, share = fair_share(en, r, i);
    const size_t own = rest > share ? rest : share;
    return own < budget ? own : budget;
}

/* Every running slot's part of the next batch. */
static size_t plan(hg_engine *en)
{
    size_t budget = en->o.prefill_chunk, n_lanes = 0;
    const size_t n = by_age(en);
    const readers r = count_readers(en, n);
    for (size_t i = 0; i < n; i++) {
        hg_slot *s = en->active[i];
        hg_lane *lane = &en->lanes[n_lanes];
        const bool reads = hg_slot_reads(s);
        size_t share = reads ? reading_share(en, &r, i, budget) : 0;
        s->logits = NULL;
        if (s->work->r.echo && share > en->echo_rows) share = en->echo_rows;
        if (!hg_slot_lane(s, share, lane)) continue;
        if (reads) budget -= lane->n;
        if (reads && s->work->r.echo) lane->want = HG_WANT_ALL;
        en->active[n_lanes++] = s;
    }
    return n_lanes;
}

/* ---- one step: what came out ---- */
typedef struct echo_task {
    hg_engine *en;
    const float *logits; /* [rows][n_vocab] */
    const int32_t *next; /* [rows] what came behind each */
    size_t n_top;
} echo_task;

static void echo_some(void *ctx, size_t begin, size_t end, int thread)
{
    const echo_task *t = ctx;
    hg_choices *room = &t->en->rooms[thread];
    for (size_t r = begin; r < end; r++) {
        hg_logprobs *out = &t->en->echo[r];
        const float *x = t->logits + r * room->n_vocab;
        /* Logits that are no numbers end the request when it draws, with a sentence. */
        if (hg_choices_load(room, x, NULL) != HG_OK) {
            *out = (hg_logprobs){.logprob = NAN};
            continue;
        }
        const double log_z = hg_logprobs_top(room, t->n_top, out);
        out->logprob = (float)((double)x[t->next[r]] - log_z);
    }
}

static void report(const hg_engine *en, hg_slot *s, int32_t id, const hg_logprobs *l,
                   bool of_prompt)
{
    const hg_request *r = &s->work->r;
    const hg_token_report t = {.id = id,
                               .text = hg_tokenizer_piece(en->m->tokenizer, id, false),
                               .of_prompt = of_prompt,
                               .has_past = l != NULL,
                               .logprob = l != NULL ? l->logprob : 0.0f,
                               .n_top = l != NULL ? l->n_top : 0,
                               .top = l != NULL ? l->top : NULL};
    if (r->on_token != NULL) r->on_token(r->ctx, &t);
}

/* Tells the prompt's tokens that this lane's rows were the past of. */
static void echo(hg_engine *en, hg_slot *s, const hg_lane *lane)
{
    const hg_request *r = &s->work->r;
    const int32_t *next = s->work->prompt + s->n_fed + 1;
    size_t n = lane->n;
    if (r->on_token == NULL) return;
    if (s->n_fed + n == r->n_prompt) n--; /* behind the last row comes the answer */
    echo_task t = {en, lane->logits, next, r->n_top};
    hg_pool_run(en->rt->pool, n, 1, echo_some, &t);
    if (s->n_fed == 0) report(en, s, s->work->prompt[0], NULL, true);
    for (size_t i = 0; i < n; i++) report(en, s, next[i], &en->echo[i], true);
}

static bool is_canceled(const hg_work *w)
{
    return atomic_load(&w->canceled) || (w->r.cancel != NULL && atomic_load(w->r.cancel));
}

/* Why the answer ends behind the i-th token that was drawn, if it does. */
static hg_finish finish_behind(const hg_slot *s, size_t i)
{
    const hg_work *w = s->work;
    if (is_canceled(w)) return HG_FINISH_CANCELED;
    if (s->detok.stopped || (s->is_done && i + 1 == s->n_drawn)) return HG_FINISH_STOP;
    return w->usage.completion_tokens == w->r.max_tokens ? HG_FINISH_LENGTH : HG_FINISH_NONE;
}

/* Takes the i-th drawn token into the answer; true when the request ends with it. */
static bool take(hg_engine *en, hg_slot *s, size_t i)
{
    hg_work *w = s->work;
    const int32_t id = s->drawn[i];
    hg_bytes text;
    hg_err why = {0};
    hg_finish finish = HG_FINISH_STOP;
    if (!hg_slot_ends(s, id)) {
        s->ahead[0] = id;
        s->is_ahead = true;
        w->usage.completion_tokens++;
        w->usage.decode_s = hg_seconds() - w->answering_s;
        report(en, s, id, &s->told[i], false);
        if ((w->r.speculate & HG_SPECULATE_LOOKUP) != 0) hg_lookup_put(&s->lookup, id);
        const hg_bytes piece = hg_tokenizer_piece(en->m->tokenizer, id, false);
        if (hg_detok_put(&s->detok, piece, &text, &why) == HG_OK) {
            show(w, text);
            finish = finish_behind(s, i);
        } else {
            finish = HG_FINISH_ERROR;
        }
    } else {
        w->usage.has_end = true;
        w->usage.end_id = id;
    }
    if (finish == HG_FINISH_NONE) return false;
    hg_slot_keep(s, i + 1);
    slot_end(en, s, finish, &why);
    return true;
}

/* Takes what the slot drew; ends the request where it ends. */
static void accept(hg_engine *en, hg_slot *s)
{
    hg_work *w = s->work;
    s->is_ahead = false; /* this step has run it */
    if (w->answering_s <= 0.0) {
        w->answering_s = hg_seconds();
        w->usage.prefill_s = w->answering_s - w->started_s;
    }
    for (size_t i = 0; i < s->n_drawn; i++)
        if (take(en, s, i)) return;
    if (s->status != HG_OK) slot_end(en, s, HG_FINISH_ERROR, &s->err);
}

static void draw_some(void *ctx, size_t begin, size_t end, int thread)
{
    hg_engine *en = ctx;
    for (size_t i = begin; i < end; i++) hg_slot_draw(en->drawing[i], &en->rooms[thread]);
}

/* Before anybody is told, so that who hears of an end finds it counted. */
static void count(hg_engine *en, size_t n_lanes, size_t n_drawing, size_t n_read)
{
    pthread_mutex_lock(&en->lock);
    hg_engine_state *t = &en->state;
    t->n_steps++;
    t->n_prompt_tokens += n_read;
    for (size_t i = 0; i < n_lanes; i++) t->n_rows += en->lanes[i].n;
    for (size_t i = 0; i < n_drawing; i++) {
        const hg_slot *s = en->drawing[i];
        const size_t n = s->n_drawn;
        t->n_completion_tokens += n - (n > 0 && hg_slot_ends(s, s->drawn[n - 1]));
        t->n_drafted += s->n_logits - 1;
        t->n_accepted += n > 0 ? n - 1 : 0;
    }
    pthread_mutex_unlock(&en->lock);
}

/* The logits that the slot draws from, if it has come so far. */
static float *lane_result(hg_engine *en, hg_slot *s, const hg_lane *lane)
{
    if (!hg_slot_reads(s)) return lane->logits;
    if (lane->want == HG_WANT_ALL) echo(en, s, lane);
    s->n_fed += lane->n;
    if (hg_slot_reads(s)) return NULL;
    return lane->want == HG_WANT_ALL ? lane->logits + (lane->n - 1) * en->m->c.n_vocab
                                     : lane->logits;
}

static void step(hg_engine *en)
{
    hg_err why = {0};
    size_t n_drawing = 0, n_read = 0;
    for (size_t i = 0; i < en->n_slots; i++)
        if (hg_slot_is_full(&en->slots[i])) hg_slot_shift(&en->slots[i]);
    guess(en);
    const size_t n = plan(en);
    if (hg_stepper_run(&en->step, en->lanes, n, &why) != HG_OK) {
        for (size_t i = 0; i < n; i++) slot_end(en, en->active[i], HG_FINISH_ERROR, &why);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        hg_slot *s = en->active[i];
        if (hg_slot_reads(s)) n_read += en->lanes[i].n;
        s->logits = lane_result(en, s, &en->lanes[i]);
        if (s->logits != NULL) en->drawing[n_drawing++] = s;
    }
    hg_pool_run(en->rt->pool, n_drawing, 1, draw_some, en);
    count(en, n, n_drawing, n_read);
    for (size_t i = 0; i < n_drawing; i++) accept(en, en->drawing[i]);
}

/* ---- the thread ---- */
enum { WORTH_WAITING = 32 }; /* tokens of a prompt that another request is about to have read */

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

/* Whether a prompt that is being read right now begins as w's does, and further than what any cache
 * shares with it: then w waits and copies it, and several answers to one prompt read it once. */
static bool is_being_read(const hg_engine *en, const hg_work *w, size_t shared)
{
    for (size_t i = 0; i < en->n_slots; i++) {
        const hg_slot *s = &en->slots[i];
        if (s->work == NULL || !hg_slot_reads(s) || w->r.echo) continue;
        if (s->cache.adapters != w->adapters || s->owner != w->r.owner) continue;
        size_t n = 0, most = s->work->r.n_prompt;
        if (most > w->r.n_prompt - 1) most = w->r.n_prompt - 1;
        while (n < most && s->work->prompt[n] == w->prompt[n]) n++;
        if (n > s->cache.n && n >= shared + WORTH_WAITING) return true;
    }
    return false;
}

/* The first work of the queue behind `after` (NULL: at all). Only this thread takes work from the
 * queue, so it stays there. */
static hg_work *next_waiting(hg_engine *en, const hg_work *after)
{
    pthread_mutex_lock(&en->lock);
    hg_work *w = after == NULL ? en->first : after->next;
    pthread_mutex_unlock(&en->lock);
    return w;
}

/* Takes w out of the queue; the lock is held. */
static void unlink_work(hg_engine *en, const hg_work *w)
{
    hg_work *before = NULL;
    for (hg_work *v = en->first; v != w; v = v->next) before = v;
    if (before == NULL)
        en->first = w->next;
    else
        before->next = w->next;
    if (en->last == w) en->last = before;
    en->state.n_waiting--;
}

/* Moves waiting work to the running list. */
static void move_to(hg_engine *en, hg_work *w, size_t slot)
{
    pthread_mutex_lock(&en->lock);
    unlink_work(en, w);
    en->state.n_running++;
    en->running[slot] = w;
    if (w->turn > en->turn) en->turn = w->turn;
    pthread_mutex_unlock(&en->lock);
}

hg_status hg_engine_make_slot(hg_engine *en, hg_slot *s, bool drafts, hg_err *e)
{
    uint64_t beside = hg_slots_untouched(en->slots, en->o.max_sessions);
    s->tok = en->m->tokenizer;
    s->ends = &en->ends;
    if (s->cache.n_ctx == 0) {
        if (drafts) beside += hg_drafter_slot_bytes(&en->drafter);
        HG_TRY(hg_cache_fits(en->m, en->n_ctx, en->slot_rows, en->cache_type, beside, e));
        HG_TRY(hg_cache_new(&s->cache, en->m, en->n_ctx, en->slot_rows, en->cache_type, e));
    }
    return drafts ? hg_drafter_slot(&en->drafter, s, e) : HG_OK;
}

enum { SHORT_S = 1 }; /* before memory that was short is asked for again */

/* Behind the making of a slot. */
static void note_room(hg_engine *en, bool is_short)
{
    uint32_t n = 0;
    for (size_t i = 0; i < en->n_slots; i++) n += en->slots[i].cache.n_ctx > 0;
    pthread_mutex_lock(&en->lock);
    en->n_made = n;
    en->short_until = is_short ? hg_seconds() + SHORT_S : 0.0;
    pthread_mutex_unlock(&en->lock);
}

/* What w needs of its slot. Where memory has no room for a draft model's cache the answer comes
 * without guesses: it is the same. */
static hg_status make_room(hg_engine *en, hg_slot *s, hg_work *w, hg_err *e)
{
    const bool drafts = (w->r.speculate & HG_SPECULATE_DRAFT) != 0, is_new = s->cache.n_ctx == 0;
    hg_status status = hg_engine_make_slot(en, s, drafts, e);
    if (status != HG_OK && drafts) {
        w->r.speculate &= ~(unsigned)HG_SPECULATE_DRAFT;
        status = hg_engine_make_slot(en, s, false, e);
    }
    if (is_new) note_room(en, status != HG_OK);
    return status;
}

/* Gives w its slot; false when all are taken. Where memory ends before max_sessions does, the
 * engine goes on with the slots it has, and tries again when a moment has passed. */
static bool admit_one(hg_engine *en, hg_work *w, bool *waits)
{
    hg_err why = {0};
    const hg_slot *source;
    size_t shared;
    hg_slot *s;
    bool made_only = en->n_made > 0 && hg_seconds() < en->short_until;
    *waits = false;
    while ((s = hg_slots_choose(en->slots, en->n_slots, made_only, w, &source, &shared)) != NULL) {
        *waits = is_being_read(en, w, shared);
        if (*waits) return true;
        hg_status status = make_room(en, s, w, &why);
        if (status != HG_OK && en->n_made > 0) {
            made_only = true;
            continue;
        }
        move_to(en, w, (size_t)(s - en->slots));
        if (status == HG_OK) status = hg_slot_begin(s, w, source, shared, &why);
        if (status == HG_OK) return true;
        s->work = w;
        slot_end(en, s, HG_FINISH_ERROR, &why);
        return true;
    }
    return false;
}

/* Gives waiting work its slots, in the order of the queue. */
static void admit(hg_engine *en)
{
    hg_work *passed = NULL, *w; /* the last one that waits for a prompt to be read */
    bool waits;
    while ((w = next_waiting(en, passed)) != NULL) {
        if (!admit_one(en, w, &waits)) return;
        if (waits) passed = w;
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
    hg_drafter_free(&en->drafter);
    hg_free(en->echo);
    hg_free(en->slots);
    hg_free(en->running);
    hg_free(en->lanes);
    hg_free(en->active);
    hg_free(en->drawing);
    for (int i = 0; en->rooms != NULL && i < en->n_threads; i++) hg_choices_free(&en->rooms[i]);
    hg_free(en->rooms);
    hg_free(en);
}

static const size_t ECHO_FLOATS = 4u << 20; /* of a prompt's logits at a time */

static size_t step_rows(const hg_engine_options *o)
{
    return o->max_sessions + o->prefill_chunk + GUESS_ROWS;
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
    en->echo_rows = ECHO_FLOATS / en->m->c.n_vocab + 1;
    if (en->echo_rows > en->o.prefill_chunk) en->echo_rows = en->o.prefill_chunk;
    en->echo = hg_alloc(en->echo_rows, sizeof *en->echo);
    if (en->echo == NULL) return hg_fail(e, HG_E_NOMEM, "no room for an engine");
    if (en->o.draft != NULL)
        HG_TRY(hg_drafter_init(&en->drafter, en->o.draft, en->m, en->rt, n, en->n_ctx,
                               en->o.prefill_chunk, e));
    return hg_stepper_init(&en->step, en->m, en->rt, step_rows(&en->o), n, e);
}

/* One session at the least must fit; how many do is seen as they come. */
static hg_status check_memory(const hg_engine *en, hg_err *e)
{
    const hg_engine_options *o = &en->o;
    uint64_t beside = hg_stepper_bytes(en->m, step_rows(o), o->max_sessions);
    if (o->draft != NULL) beside += hg_drafter_bytes(&en->drafter, o->max_sessions);
    return hg_cache_fits(en->m, en->n_ctx, en->slot_rows, en->cache_type, beside, e);
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

/* The model's ends, and that of a template that is used instead of its own. A template that is
 * broken ends no turn, and whoever renders with it is told why. */
static void find_ends(hg_ends *ends, const hg_model *m, const char *chat_template)
{
    hg_chat_format *f = NULL;
    hg_err e;
    ends->n = hg_model_ends(m, ends->id);
    if (chat_template == NULL) return;
    if (hg_chat_format_new(&f, hg_model_tokenizer(m), chat_template, &e) != HG_OK) return;
    ends->id[ends->n++] = hg_chat_format_end(f);
    hg_chat_format_free(f);
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
    en->slot_rows = o->prefill_chunk > 1 + HG_MAX_GUESS ? o->prefill_chunk : 1 + HG_MAX_GUESS;
    find_ends(&en->ends, m, o->chat_template);
    hg_status s = engine_rooms(en, e);
    if (s == HG_OK) s = check_memory(en, e);
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
