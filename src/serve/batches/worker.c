/* The thread that works batches off. Each line is a request from within, in the name of its owner;
 * half as many run at a time as the server answers at once, and none begins while a request of a
 * client waits. Owners share the room, and so do the batches of each: who has the fewest lines
 * running, or had the last one longest ago, gets the next. */
#include "serve/batches/batches_impl.h"
#include "base/clock.h"
#include "serve/models.h"
#include "serve/openai/kept.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static const double PAUSE_S = 1, MAX_PAUSE_S = 10, EXPIRE_EACH_S = 60, FILL_EACH_S = 0.02;

/* ---- lines that run ---- */
static void on_done(void *ctx, int status, const char *type, hg_bytes body)
{
    slot *t = ctx;
    hg_batches *b = t->all;

    (void)type;
    (void)pthread_mutex_lock(&b->lock);
    t->status = status;
    hg_buf_put(&t->body, body.p, body.n);
    t->is_done = true;
    b->has_news = true;
    (void)pthread_cond_signal(&b->news);
    (void)pthread_mutex_unlock(&b->lock);
}

static bool is_done(hg_batches *b, const slot *t)
{
    (void)pthread_mutex_lock(&b->lock);
    const bool done = t->line != 0 && t->is_done;
    (void)pthread_mutex_unlock(&b->lock);
    return done;
}

/* Its model had no room: others go on meanwhile. */
static void pause(hg_batches *b, int64_t batch, double seconds)
{
    size_t at = 0;

    for (size_t i = 0; i < MAX_PAUSED; i++) {
        if (b->paused[i].batch == batch) at = i;
        if (b->paused[i].batch == batch) break;
        if (b->paused[i].until < b->paused[at].until) at = i;
    }
    b->paused[at].batch = batch;
    b->paused[at].until = hg_seconds() + seconds;
}

static bool is_paused(const hg_batches *b, int64_t batch)
{
    const double now = hg_seconds();

    for (size_t i = 0; i < MAX_PAUSED; i++)
        if (b->paused[i].batch == batch) return b->paused[i].until > now;
    return false;
}

/* Too many wait, or the model cannot be had just now; one that never fits is an answer. */
static bool is_busy(const slot *t)
{
    hg_exchange_facts f;

    if (t->status == 429 || t->status == 529) return true;
    if (t->status != 503) return false;
    hg_exchange_tell(t->x, &f);
    return strcmp(f.code, "no_memory") != 0;
}

/* A line that was cut off or refused for want of room is not done. */
static hg_status keep_result(hg_batches *b, const slot *t, hg_err *e)
{
    if (is_busy(t)) pause(b, t->batch, PAUSE_S);
    if (t->status == 0 || is_busy(t) || t->body.failed)
        return rows_put_back(b->store, t->batch, t->line, t->when_cut, e);
    /* Results are lines: a body's own end of line would end them too early. */
    hg_bytes body = {t->body.n > 0 ? t->body.p : "", t->body.n};
    while (body.n > 0 && body.p[body.n - 1] == '\n') body.n--;
    return rows_finish_line(b->store, t->batch, t->line, t->status, hg_exchange_id(t->x), body, e);
}

/* What is done is kept; where the store fails (its disk is full) the line is done again. */
static void collect(hg_batches *b)
{
    for (size_t i = 0; i < b->n_slots; i++) {
        slot *t = &b->slots[i];
        hg_err e;
        if (!is_done(b, t)) continue;
        if (keep_result(b, t, &e) != HG_OK) {
            b->pause_until = hg_seconds() + PAUSE_S;
            if (rows_put_back(b->store, t->batch, t->line, HG_LINE_WAITING, &e) != HG_OK) continue;
        }
        hg_exchange_release(t->x);
        hg_buf_free(&t->body);
        *t = (slot){.all = b};
    }
}

static size_t count_running(const hg_batches *b, int64_t batch)
{
    size_t n = 0;

    for (size_t i = 0; i < b->n_slots; i++)
        n += b->slots[i].line != 0 && b->slots[i].batch == batch;
    return n;
}

static void cut(hg_batches *b, int64_t batch, hg_line_state when_cut)
{
    for (size_t i = 0; i < b->n_slots; i++) {
        slot *t = &b->slots[i];
        if (t->x == NULL || (batch != 0 && t->batch != batch)) continue;
        t->when_cut = when_cut;
        hg_exchange_cancel(t->x);
    }
}

/* It waits again, once the store has taken that down. */
static void give_back(hg_batches *b, slot *t)
{
    (void)pthread_mutex_lock(&b->lock);
    t->is_done = true;
    b->has_news = true;
    (void)pthread_mutex_unlock(&b->lock);
}

static bool start_line(hg_batches *b, const hg_batch *batch, slot *t, bool *has_any)
{
    const char *fields[] = {"Content-Type", "application/json",
                            batch->version[0] != '\0' ? "anthropic-version" : NULL, batch->version,
                            NULL};
    hg_buf body = {0};
    int64_t line = 0;
    hg_err e;

    *has_any = rows_take(b->store, batch->n, &line, &body, &e) == HG_OK && line != 0;
    bool ok = *has_any && !body.failed;
    if (*has_any) {
        t->batch = batch->n;
        t->line = line;
        t->owner = hg_owner_key(batch->owner);
        t->when_cut = HG_LINE_WAITING;
    }
    if (ok) {
        const hg_inside q = {.method = "POST",
                             .path = batch->endpoint,
                             .owner = batch->owner,
                             .fields = fields,
                             .body = {body.p, body.n},
                             .on_done = on_done,
                             .ctx = t};
        ok = hg_server_ask(b->server, &q, &t->x, &e) == HG_OK;
    }
    if (*has_any && !ok) give_back(b, t);
    hg_buf_free(&body);
    return ok;
}

/* ---- room ---- */
static void add_waiting(void *ctx, const char *id, const hg_engine_state *st)
{
    uint32_t *n = ctx;

    (void)id;
    *n += st->n_waiting;
}

static bool clients_wait(hg_batches *b)
{
    uint32_t n = 0;

    hg_models_each(hg_server_models(b->server), add_waiting, &n);
    return n > 0;
}

static slot *free_slot(hg_batches *b)
{
    for (size_t i = 0; i < b->n_slots; i++)
        if (b->slots[i].line == 0) return &b->slots[i];
    return NULL;
}

static size_t count_of_owner(const hg_batches *b, uint64_t owner)
{
    size_t n = 0;

    for (size_t i = 0; i < b->n_slots; i++)
        n += b->slots[i].line != 0 && b->slots[i].owner == owner;
    return n;
}

/* How far from its turn a batch is, the most telling first: lines that run, of its owner and its
 * own, and when the two had their last turn. */
typedef struct standing {
    uint64_t by[4];
} standing;

static standing standing_of(const hg_batches *b, size_t i)
{
    const int64_t n = b->open[i].n;

    return (standing){{count_of_owner(b, b->owner[i]), hg_turns_last(&b->owners, b->owner[i]),
                       count_running(b, n), hg_turns_last(&b->batches, (uint64_t)n)}};
}

static bool is_before(const standing *a, const standing *b)
{
    for (size_t i = 0; i < 4; i++)
        if (a->by[i] != b->by[i]) return a->by[i] < b->by[i];
    return false;
}

static bool may_have_more(hg_batches *b, size_t i)
{
    const hg_batch *one = &b->open[i];

    return !b->is_empty[i] && strcmp(one->status, "in_progress") == 0 && !is_paused(b, one->n) &&
           one->expires > hg_patient_ms(&b->clock) / 1000;
}

/* Whose turn it is; n_open: none's. */
static size_t choose(const hg_batches *b, const bool *may)
{
    size_t best = b->n_open;
    standing least = {{0}};

    for (size_t i = 0; i < b->n_open; i++) {
        if (!may[i] || b->is_empty[i]) continue;
        const standing s = standing_of(b, i);
        if (best != b->n_open && !is_before(&s, &least)) continue;
        best = i;
        least = s;
    }
    return best;
}

static bool some_are_paused(const hg_batches *b)
{
    for (size_t i = 0; i < b->n_open; i++)
        if (is_paused(b, b->open[i].n)) return true;
    return false;
}

/* True when lines wait for room. */
static bool fill(hg_batches *b)
{
    bool may[MAX_OPEN];
    size_t i;

    b->filled_s = hg_seconds();
    if (free_slot(b) == NULL) return true;
    for (i = 0; i < b->n_open; i++) may[i] = may_have_more(b, i);
    while (free_slot(b) != NULL && (i = choose(b, may)) != b->n_open) {
        bool has_any;
        if (hg_seconds() < b->pause_until || clients_wait(b)) return true;
        if (start_line(b, &b->open[i], free_slot(b), &has_any)) {
            hg_turns_take(&b->owners, b->owner[i]);
            hg_turns_take(&b->batches, (uint64_t)b->open[i].n);
            continue;
        }
        if (has_any) return true;
        b->is_empty[i] = true;
    }
    return free_slot(b) == NULL || some_are_paused(b);
}

hg_status batch_go_on(hg_batches *b, hg_err *e)
{
    hg_store_let_others();
    (void)pthread_mutex_lock(&b->lock);
    const bool closing = b->closing;
    (void)pthread_mutex_unlock(&b->lock);
    if (closing) return hg_fail(e, HG_E_CANCELED, "the server stops");
    if (hg_seconds() - b->filled_s < FILL_EACH_S) return HG_OK;
    collect(b);
    (void)fill(b);
    return HG_OK;
}

/* ---- batches ---- */
hg_status batch_drop_lines(hg_batches *b, int64_t batch, hg_err *e)
{
    for (bool has_more = true; has_more;) {
        HG_TRY(rows_drop_lot(b->store, batch, &has_more, e));
        HG_TRY(batch_go_on(b, e));
    }
    return HG_OK;
}

static hg_status give_up(hg_batches *b, int64_t batch, hg_line_state state, hg_err *e)
{
    bool has_any;
    int64_t from = 0;

    HG_TRY(rows_has_waiting(b->store, batch, &has_any, e));
    if (!has_any) return HG_OK;
    do {
        HG_TRY(rows_give_up_lot(b->store, batch, &from, state, e));
        HG_TRY(batch_go_on(b, e));
    } while (from != 0);
    return HG_OK;
}

static hg_status end_early(hg_batches *b, const hg_batch *batch, hg_line_state state,
                           const char *outcome, hg_err *e)
{
    bool has_waiting;

    cut(b, batch->n, state);
    HG_TRY(give_up(b, batch->n, state, e));
    if (count_running(b, batch->n) > 0) return HG_OK;
    /* One that ran until now and could not be kept waits again, in a lot that is done already. */
    HG_TRY(rows_has_waiting(b->store, batch->n, &has_waiting, e));
    return has_waiting ? HG_OK : rows_finalize(b->store, batch->n, outcome, e);
}

static hg_status look_at(hg_batches *b, const hg_batch *batch, hg_err *e)
{
    const int64_t now = hg_patient_ms(&b->clock) / 1000;
    const bool is_canceled = strcmp(batch->status, "cancelling") == 0;
    bool has_waiting;

    if (is_canceled && batch->outcome[0] != '\0') return batch_finalize(b, batch, true, e);
    if (is_canceled) return end_early(b, batch, HG_LINE_CANCELED, "cancelled", e);
    if (strcmp(batch->status, "finalizing") == 0)
        return batch_finalize(b, batch, now - batch->finalizing >= HG_BATCH_WINDOW_S, e);
    if (batch->expires <= now) return end_early(b, batch, HG_LINE_EXPIRED, "expired", e);
    if (strcmp(batch->status, "validating") == 0) return batch_validate(b, batch, e);
    if (count_running(b, batch->n) > 0) return HG_OK;
    HG_TRY(rows_has_waiting(b->store, batch->n, &has_waiting, e));
    return has_waiting ? HG_OK : rows_finalize(b->store, batch->n, "completed", e);
}

static bool has_steps(const hg_batch *batch)
{
    return strcmp(batch->status, "in_progress") != 0;
}

/* What could not be done (the disk is full) is tried again, less often the longer it lasts; what is
 * to be canceled waits for nothing. True: the batch is to be looked at again soon. */
static bool take_step(hg_batches *b, const hg_batch *batch)
{
    const bool is_canceled = strcmp(batch->status, "cancelling") == 0;
    hg_err e;

    if (has_steps(batch) && !is_canceled && is_paused(b, batch->n)) return false;
    if (look_at(b, batch, &e) == HG_OK) return has_steps(batch);
    const int64_t since = batch->finalizing > 0 ? batch->finalizing : batch->created;
    const double wait = PAUSE_S + (double)(hg_patient_ms(&b->clock) / 1000 - since) / 8;
    pause(b, batch->n, wait < PAUSE_S ? PAUSE_S : wait < MAX_PAUSE_S ? wait : MAX_PAUSE_S);
    return false;
}

static hg_status clean(hg_batches *b, hg_err *e)
{
    int64_t n;

    if (b->expired_s == 0 || hg_seconds() - b->expired_s > EXPIRE_EACH_S) {
        b->expired_s = hg_seconds();
        HG_TRY(rows_expire(b->store, hg_patient_ms(&b->clock) / 1000, e));
        hg_keeper_expire(hg_server_keeper(b->server));
        for (;;) {
            HG_TRY(rows_with_left_lines(b->store, &n, e));
            if (n == 0) break;
            HG_TRY(batch_drop_lines(b, n, e));
        }
    }
    for (;;) {
        HG_TRY(rows_gone(b->store, &n, e));
        if (n == 0) return HG_OK;
        HG_TRY(batch_drop_lines(b, n, e));
        HG_TRY(rows_remove(b->store, n, e));
    }
}

/* Where there are more than one turn looks at, turns go round. */
static hg_status look(hg_batches *b, hg_arena *mem, hg_err *e)
{
    b->n_open = 0;
    b->open = HG_NEW(mem, hg_batch, MAX_OPEN);
    if (b->open == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the batches");
    HG_TRY(rows_open(b->store, b->from, b->open, MAX_OPEN, &b->n_open, mem, e));
    b->from = b->n_open == MAX_OPEN ? b->open[MAX_OPEN - 1].n : 0;
    for (size_t i = 0; i < b->n_open; i++) {
        b->is_empty[i] = false;
        b->owner[i] = hg_owner_key(b->open[i].owner);
    }
    return HG_OK;
}

/* One turn; how long the next may wait at most. */
static double turn(hg_batches *b)
{
    const bool was_behind = b->from != 0;
    hg_arena mem;
    double patience = 1;
    hg_err e;

    hg_arena_init(&mem, 64 * 1024);
    collect(b);
    if (look(b, &mem, &e) == HG_OK) {
        for (size_t i = 0; i < b->n_open; i++)
            if (take_step(b, &b->open[i])) patience = 0.02;
        if (fill(b) && patience > 0.05) patience = 0.05;
        for (size_t i = 0; i < b->n_open && patience > 0.1; i++)
            if (count_running(b, b->open[i].n) == 0) patience = 0.1;
        if ((was_behind || b->from != 0) && patience > 0.1) patience = 0.1;
    }
    (void)clean(b, &e);
    b->n_open = 0;
    b->open = NULL;
    hg_arena_free(&mem);
    return patience;
}

/* False: the server stops. */
static bool wait_for_news(hg_batches *b, double patience)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    const long long ns = until.tv_nsec + (long long)(patience * 1e9);
    until.tv_sec += (time_t)(ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    (void)pthread_mutex_lock(&b->lock);
    while (!b->has_news && !b->closing)
        if (pthread_cond_timedwait(&b->news, &b->lock, &until) != 0) break;
    b->has_news = false;
    const bool goes_on = !b->closing;
    (void)pthread_mutex_unlock(&b->lock);
    return goes_on;
}

static void *run(void *ctx)
{
    hg_batches *b = ctx;

    while (wait_for_news(b, turn(b))) continue;
    return NULL;
}

/* ---- life ---- */
hg_status hg_batches_new(hg_batches **out, hg_server *s, hg_err *e)
{
    hg_batches *b = hg_alloc(1, sizeof *b);
    const uint32_t parallel = hg_server_get_options(s)->parallel;
    pthread_condattr_t monotonic;

    *out = b;
    if (b == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the server");
    b->server = s;
    b->store = hg_server_store(s);
    b->n_slots = parallel < 2 ? 1 : parallel / 2 < MAX_SLOTS ? parallel / 2 : MAX_SLOTS;
    for (size_t i = 0; i < b->n_slots; i++) b->slots[i].all = b;
    (void)pthread_mutex_init(&b->lock, NULL);
    /* Of a clock that nobody sets. */
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&b->news, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    return rows_recover(b->store, e);
}

hg_status hg_batches_start(hg_batches *b, hg_err *e)
{
    b->has_thread = pthread_create(&b->thread, NULL, run, b) == 0;
    return b->has_thread ? HG_OK : hg_fail(e, HG_E_NOMEM, "no room for the server's threads");
}

void hg_batches_stop(hg_batches *b)
{
    if (b == NULL || !b->has_thread) return;
    (void)pthread_mutex_lock(&b->lock);
    b->closing = true;
    (void)pthread_cond_signal(&b->news);
    (void)pthread_mutex_unlock(&b->lock);
    (void)pthread_join(b->thread, NULL);
    b->has_thread = false;
    cut(b, 0, HG_LINE_WAITING);
}

void hg_batches_free(hg_batches *b)
{
    if (b == NULL) return;
    collect(b);
    for (size_t i = 0; i < b->n_slots; i++) {
        hg_exchange_release(b->slots[i].x);
        hg_buf_free(&b->slots[i].body);
    }
    (void)pthread_cond_destroy(&b->news);
    (void)pthread_mutex_destroy(&b->lock);
    hg_free(b);
}
