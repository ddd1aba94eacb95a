/* The answers of a step: all of them at once through the engine, which gives each the same bits
 * alone and in company; then their rewards and advantages, and their place in the step's rows. */
#include "base/hash.h"
#include "train/grpo.h"
#include <higgins/infer.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

enum { MAX_AT_ONCE = 64 };

typedef struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    size_t left;
} waiter;

typedef struct answer {
    hg_ids ids;
    hg_buf text;
    hg_finish finish;
    bool has_end;
    int32_t end_id; /* which of the tokens that end an answer was drawn */
    hg_err err;     /* of the engine, or of ids */
    waiter *w;
} answer;

static void on_token(void *ctx, const hg_token_report *t)
{
    answer *a = ctx;
    if (!t->of_prompt) (void)hg_ids_push(&a->ids, t->id, &a->err);
}

static void on_text(void *ctx, hg_bytes text, hg_finish finish, const hg_usage *u,
                    const char *error)
{
    answer *a = ctx;
    hg_buf_put(&a->text, text.p, text.n);
    if (finish == HG_FINISH_NONE) return;
    a->finish = finish;
    a->has_end = finish == HG_FINISH_STOP && u->has_end;
    a->end_id = u->end_id;
    if (finish == HG_FINISH_ERROR) (void)hg_fail(&a->err, HG_E_STATE, "%s", error);
    pthread_mutex_lock(&a->w->lock);
    a->w->left--;
    pthread_cond_signal(&a->w->ended);
    pthread_mutex_unlock(&a->w->lock);
}

/* Nothing but the temperature: an answer's probability must be what the model gives it. */
static hg_sampling sampling_of(const hg_grpo *g, uint64_t seed, uint64_t position, size_t i)
{
    const uint64_t of[] = {seed, position, i};
    hg_sampling s;
    hg_sampling_init(&s);
    s.repetition_penalty = 1;
    s.top_k = 0;
    s.top_p = 1;
    s.min_p = 0;
    s.temperature = (float)g->r->answer_temperature;
    s.seed = hg_hash64(of, sizeof of, 3);
    return s;
}

static hg_status submit(const hg_grpo *g, hg_engine *en, answer *a, const hg_rollout *o,
                        const hg_sampling *s, hg_err *e)
{
    hg_job job;
    const hg_task *t = &g->task[o->task];
    size_t room = g->source.seq_len - t->n - 1, most = (size_t)g->r->answer_tokens;
    const hg_request q = {.prompt = g->prompts.id + t->at,
                          .n_prompt = t->n,
                          .max_tokens = (uint32_t)(most < room ? most : room),
                          .sampling = *s,
                          .on_text = on_text,
                          .on_token = on_token,
                          .ctx = a};
    pthread_mutex_lock(&a->w->lock); /* counted first: it may end before submit is back */
    a->w->left++;
    pthread_mutex_unlock(&a->w->lock);
    return hg_engine_submit(en, &q, &job, e);
}

static hg_status check(const answer *a, hg_err *e)
{
    if (a->err.msg[0] != '\0') return hg_fail(e, HG_E_STATE, "an answer failed: %s", a->err.msg);
    if (a->finish == HG_FINISH_CANCELED) return hg_fail(e, HG_E_STATE, "an answer was cancelled");
    return hg_buf_status(&a->text, e);
}

size_t hg_grpo_at_once(const hg_grpo *g)
{
    return g->n < MAX_AT_ONCE ? g->n : MAX_AT_ONCE;
}

static hg_status run_engine(const hg_grpo *g, answer *a, uint64_t position, uint64_t seed,
                            hg_err *e)
{
    hg_engine *en = NULL;
    hg_engine_options o;
    waiter w = {.lock = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER};
    hg_engine_options_init(&o);
    o.max_sessions = (uint32_t)hg_grpo_at_once(g);
    o.max_queue = (uint32_t)g->n;
    o.n_ctx = (uint32_t)g->source.seq_len;
    o.cache = HG_CACHE_F32;
    HG_TRY(hg_engine_new(&en, g->model, g->rt, &o, e));
    hg_status s = HG_OK;
    for (size_t i = 0; s == HG_OK && i < g->n; i++) {
        const hg_sampling sampling = sampling_of(g, seed, position, i);
        a[i].w = &w;
        s = submit(g, en, &a[i], &g->rollout[i], &sampling, e);
    }
    pthread_mutex_lock(&w.lock);
    while (s == HG_OK && w.left > 0) pthread_cond_wait(&w.ended, &w.lock);
    pthread_mutex_unlock(&w.lock);
    hg_engine_free(en);
    for (size_t i = 0; s == HG_OK && i < g->n; i++) s = check(&a[i], e);
    return s;
}

/* ---- rewards ---- */

static hg_status reward(hg_grpo *g, hg_rollout *o, const answer *a, hg_err *e)
{
    hg_reward got;
    hg_answer ask = g->task[o->task].ask;
    ask.text = (hg_bytes){a->text.p != NULL ? a->text.p : "", a->text.n};
    HG_TRY(hg_reward_of(g->r, &ask, &got, e));
    if (got.failed && g->n_failed++ == 0)
        hg_watch_log(g->watch, HG_WARN, "%s; such answers count 0", got.why.msg);
    o->reward = got.value;
    return HG_OK;
}

/* Within each group: how far above its mean. */
static void advantages(hg_grpo *g)
{
    size_t k = (size_t)g->r->group_size;
    for (size_t at = 0; at < g->n; at += k) {
        double sum = 0, square = 0;
        for (size_t i = at; i < at + k; i++) sum += g->rollout[i].reward;
        double mean = sum / (double)k;
        for (size_t i = at; i < at + k; i++) {
            double d = g->rollout[i].reward - mean;
            square += d * d;
        }
        double by = g->r->scale_rewards ? sqrt(square / (double)k) + 1e-4 : 1;
        for (size_t i = at; i < at + k; i++)
            g->rollout[i].advantage = (g->rollout[i].reward - mean) / by;
    }
}

/* ---- rows ---- */

/* Prompt, answer and, where the model ended it, the token by which it did, behind each other in
 * rows; an answer is whole in one row. Rows that are left over teach nothing. */
static void lay(hg_grpo *g, const answer *a)
{
    size_t len = g->source.seq_len, row = 0, used = 0, all = g->n * len;
    memset(g->ids, 0, all * sizeof *g->ids);
    memset(g->targets, 0xff, all * sizeof *g->targets); /* -1 */
    memset(g->begins, 0, all);
    for (size_t i = 0; i < g->n; i++) {
        hg_rollout *o = &g->rollout[i];
        const hg_task *t = &g->task[o->task];
        const bool ended = a[i].has_end;
        o->n_prompt = t->n;
        o->n = t->n + a[i].ids.n + ended;
        if (used + o->n > len) row++, used = 0;
        o->at = row * len + used;
        memcpy(g->ids + o->at, g->prompts.id + t->at, t->n * sizeof *g->ids);
        if (a[i].ids.n > 0) memcpy(g->ids + o->at + t->n, a[i].ids.id, a[i].ids.n * sizeof *g->ids);
        if (ended) g->ids[o->at + o->n - 1] = a[i].end_id;
        for (size_t k = t->n; k < o->n; k++) g->targets[o->at + k - 1] = g->ids[o->at + k];
        g->begins[o->at] = 1;
        used += o->n;
        if (used < len) g->begins[row * len + used] = 1;
    }
}

hg_status hg_grpo_answer(hg_grpo *g, uint64_t position, uint64_t seed, hg_err *e)
{
    size_t k = (size_t)g->r->group_size;
    answer *a = hg_alloc(g->n, sizeof *a);
    if (a == NULL) return hg_fail(e, HG_E_NOMEM, "no room for %zu answers", g->n);
    for (size_t i = 0; i < g->n; i++)
        g->rollout[i] =
            (hg_rollout){.task = (size_t)hg_source_order(g->n_tasks, seed, position / k + i / k)};
    g->n_failed = 0;
    hg_status s = run_engine(g, a, position, seed, e);
    for (size_t i = 0; s == HG_OK && i < g->n; i++) s = reward(g, &g->rollout[i], &a[i], e);
    if (s == HG_OK) {
        advantages(g);
        lay(g, a);
        g->position = position;
    }
    for (size_t i = 0; i < g->n; i++) {
        hg_ids_free(&a[i].ids);
        hg_buf_free(&a[i].text);
    }
    hg_free(a);
    return s;
}
