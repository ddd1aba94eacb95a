/* A session: one text and the model's memory of it. It is what evaluation scores with and the
 * simplest way to run a model; the engine is the same step over many timelines. Long inputs are
 * worked off in chunks so that activations stay bounded, and after its first step a session that
 * decodes takes no more memory. */
#include "infer/session.h"
#include "kernels/measure.h"

#include <math.h>
#include <string.h>

static const size_t SCORE_FLOATS = 8u << 20; /* of logits at a time when scoring */

hg_status hg_session_new(hg_session **out, const hg_model *m, hg_runtime *rt,
                         const hg_session_options *o, hg_err *e)
{
    const hg_session_options none = {0};
    size_t n_ctx = 0;
    hg_type type;
    hg_status s;
    *out = NULL;
    if (o == NULL) o = &none;
    HG_TRY(hg_cache_context(m, o->n_ctx, &n_ctx, e));
    HG_TRY(hg_cache_choose(m, o->cache, &type, e));
    const size_t rows = hg_stepper_rows(m);
    HG_TRY(hg_cache_fits(m, n_ctx, rows, type, hg_stepper_bytes(m, rows, 1), e));
    hg_session *n = hg_alloc(1, sizeof *n);
    if (n == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a session");
    n->m = m;
    n->chunk = rows;
    n->score_chunk = SCORE_FLOATS / m->c.n_vocab;
    if (n->score_chunk > n->chunk) n->score_chunk = n->chunk;
    if (n->score_chunk < 8) n->score_chunk = 8;
    s = hg_cache_new(&n->cache, m, n_ctx, n->chunk, type, e);
    if (s == HG_OK) s = hg_stepper_init(&n->step, m, rt, n->chunk, 1, e);
    if (s != HG_OK) {
        hg_session_free(n);
        return s;
    }
    *out = n;
    return HG_OK;
}

void hg_session_free(hg_session *s)
{
    if (s == NULL) return;
    hg_stepper_free(&s->step);
    hg_cache_free(&s->cache);
    hg_free(s);
}

uint32_t hg_context_fit(const hg_model *m, hg_cache_type cache, uint32_t sessions)
{
    enum { USEFUL = 8192 };
    const size_t useful = m->c.n_ctx < USEFUL ? m->c.n_ctx : USEFUL;
    const uint64_t memory = hg_memory_free() / 4 * 3;
    const size_t rows = hg_stepper_rows(m);
    hg_type type;
    size_t n = 0;
    if (hg_cache_choose(m, cache, &type, NULL) != HG_OK) return m->c.n_ctx; /* told when made */
    for (size_t many = sessions; many > 0 && n < useful; many /= 2)
        n = hg_cache_room(m, memory, many, rows, type, hg_stepper_bytes(m, rows, many));
    return (uint32_t)n;
}

uint64_t hg_session_bytes(const hg_model *m, const hg_session_options *o)
{
    const hg_session_options none = {0};
    size_t n_ctx = 0;
    hg_type type;
    if (o == NULL) o = &none;
    if (hg_cache_context(m, o->n_ctx, &n_ctx, NULL) != HG_OK) return UINT64_MAX;
    if (hg_cache_choose(m, o->cache, &type, NULL) != HG_OK) return UINT64_MAX;
    const size_t rows = hg_stepper_rows(m);
    const uint64_t cache = hg_cache_bytes(m, n_ctx, rows, type);
    const uint64_t step = hg_stepper_bytes(m, rows, 1);
    return cache > UINT64_MAX - step ? UINT64_MAX : cache + step;
}

size_t hg_session_length(const hg_session *s)
{
    return s->cache.n + s->n_owed;
}

/* What a ring has given up is read again with the next ids, so that a rewind cannot fail. */
void hg_session_rewind(hg_session *s, size_t length)
{
    if (length >= hg_session_length(s)) return;
    s->n_owed = length - hg_cache_rewind(&s->cache, length);
    s->logits = NULL;
}

/* Keys hold what their tokens saw, so that no shift of positions makes up for a past that is gone:
 * they are made anew. */
hg_status hg_session_shift(hg_session *s, size_t n_keep, hg_err *e)
{
    const size_t n = hg_session_length(s);
    if (n_keep >= n)
        return hg_fail(e, HG_E_ARG,
                       "the session holds %zu tokens and is to keep the first %zu; nothing is left "
                       "to drop",
                       n, n_keep);
    const size_t drop = (n - n_keep + 1) / 2, rest = n - n_keep - drop;
    hg_session_rewind(s, n_keep);
    memmove(s->cache.ids + n_keep, s->cache.ids + n_keep + drop, rest * sizeof *s->cache.ids);
    s->n_owed += rest;
    return HG_OK;
}

hg_lane hg_session_lane(hg_session *s, const int32_t *ids, size_t n, hg_want want)
{
    return (hg_lane){.cache = &s->cache,
                     .ids = ids,
                     .n = n,
                     .want = want,
                     .adapters = s->adapters,
                     .n_adapters = s->n_adapters};
}

hg_status hg_session_set_adapters(hg_session *s, const hg_adapter_use *use, size_t n, hg_err *e)
{
    HG_TRY(hg_adapters_check(s->m, use, n, e));
    const uint64_t key = hg_adapters_key(use, n);
    if (key != s->cache.adapters) hg_session_rewind(s, 0);
    s->cache.adapters = key;
    s->n_adapters = n;
    for (size_t i = 0; i < n; i++) s->adapters[i] = use[i];
    return HG_OK;
}

/* One chunk. The logits of the last row stay with the session when any are wanted. */
static hg_status run(hg_session *s, const int32_t *ids, size_t n, hg_want want, float **all,
                     hg_err *e)
{
    hg_lane lane = hg_session_lane(s, ids, n, want);
    s->logits = NULL; /* the step's arena begins anew */
    HG_TRY(hg_stepper_run(&s->step, &lane, 1, e));
    if (all != NULL) *all = lane.logits;
    if (want == HG_WANT_LAST) s->logits = lane.logits;
    if (want == HG_WANT_ALL) s->logits = lane.logits + (n - 1) * s->m->c.n_vocab;
    return HG_OK;
}

hg_status hg_session_repay(hg_session *s, hg_err *e)
{
    while (s->n_owed > 0) {
        const size_t rows = s->n_owed < s->chunk ? s->n_owed : s->chunk;
        HG_TRY(run(s, s->cache.ids + s->cache.n, rows, HG_WANT_NONE, NULL, e));
        s->n_owed -= rows;
    }
    return HG_OK;
}

/* After a rewind, or a feed that wanted none, the last token is run once more for its logits. */
static hg_status need_logits(hg_session *s, hg_err *e)
{
    if (s->logits != NULL || s->cache.n == 0) return HG_OK;
    const int32_t last = s->cache.ids[s->cache.n - 1];
    hg_session_rewind(s, s->cache.n - 1);
    hg_status status = hg_session_repay(s, e);
    if (status == HG_OK) status = run(s, &last, 1, HG_WANT_LAST, NULL, e);
    if (status != HG_OK) s->n_owed++;
    return status;
}

hg_status hg_session_check(const hg_session *s, const int32_t *ids, size_t n, hg_err *e)
{
    const size_t held = hg_session_length(s);
    HG_TRY(hg_check_ids(s->m, ids, n, e));
    if (n <= s->cache.n_ctx - held) return HG_OK;
    return hg_fail(e, HG_E_LIMIT,
                   "the context is full: it holds %zu of %zu tokens and %zu more were fed; rewind "
                   "it or start a new session",
                   held, s->cache.n_ctx, n);
}

hg_status hg_session_feed(hg_session *s, const int32_t *ids, size_t n, const float **logits,
                          hg_err *e)
{
    if (logits != NULL) *logits = NULL;
    HG_TRY(hg_session_check(s, ids, n, e));
    HG_TRY(hg_session_repay(s, e));
    const size_t before = s->cache.n;
    for (size_t i = 0, rows; i < n; i += rows) {
        rows = n - i < s->chunk ? n - i : s->chunk;
        const bool last = i + rows == n && logits != NULL;
        const hg_status status = run(s, ids + i, rows, last ? HG_WANT_LAST : HG_WANT_NONE, NULL, e);
        if (status != HG_OK) {
            hg_session_rewind(s, before);
            return status;
        }
    }
    if (logits == NULL) return HG_OK;
    HG_TRY(need_logits(s, e));
    *logits = s->logits;
    return HG_OK;
}

/* ---- files ---- */

hg_status hg_session_save(hg_session *s, const char *path, hg_err *e)
{
    HG_TRY(hg_session_repay(s, e));
    return hg_cache_save(&s->cache, s->m, NULL, 0, path, e);
}

hg_status hg_session_load(hg_session *s, const char *path, hg_err *e)
{
    s->logits = NULL;
    s->n_owed = 0;
    return hg_cache_load(&s->cache, s->m, path, NULL, e);
}

const int32_t *hg_session_ids(const hg_session *s)
{
    return s->cache.ids;
}

/* ---- scoring ---- */
typedef struct score_task {
    const hg_kernels *k;
    float *logits; /* [n][n_vocab]; spoilt */
    const int32_t *ids;
    double *logprob;
    size_t n_vocab;
} score_task;

/* log softmax at one id, row by row: x[id] - max - log(sum of exp(x - max)). */
static void score_rows(void *ctx, size_t begin, size_t end, int thread)
{
    const score_task *t = ctx;
    (void)thread;
    for (size_t i = begin; i < end; i++) {
        float *x = t->logits + i * t->n_vocab;
        const float at = x[t->ids[i]], max = t->k->max_f32(x, t->n_vocab);
        const float sum = t->k->exp_sum_f32(x, x, max, t->n_vocab);
        t->logprob[i] = (double)at - (double)max - log((double)sum);
    }
}

/* One chunk: its first id by the logits the session holds, the others by the rows before them. */
static hg_status score_chunk(hg_session *s, const int32_t *ids, size_t n, double *logprob,
                             hg_err *e)
{
    score_task t = {
        .k = &s->step.rt->k, .ids = ids, .logprob = logprob, .n_vocab = s->m->c.n_vocab};
    float *all = NULL;
    HG_TRY(need_logits(s, e));
    logprob[0] = 0.0;
    t.logits = s->logits;
    if (t.logits != NULL) score_rows(&t, 0, 1, 0);
    HG_TRY(run(s, ids, n, HG_WANT_ALL, &all, e));
    t = (score_task){t.k, all, ids + 1, logprob + 1, t.n_vocab};
    hg_pool_run(s->step.rt->pool, n - 1, 1, score_rows, &t);
    return HG_OK;
}

hg_status hg_session_score(hg_session *s, const int32_t *ids, size_t n, double *logprob, hg_err *e)
{
    HG_TRY(hg_session_check(s, ids, n, e));
    HG_TRY(hg_session_repay(s, e));
    const size_t before = s->cache.n;
    for (size_t i = 0, rows; i < n; i += rows) {
        rows = n - i < s->score_chunk ? n - i : s->score_chunk;
        const hg_status status = score_chunk(s, ids + i, rows, logprob + i, e);
        if (status == HG_OK) continue;
        hg_session_rewind(s, before);
        s->logits = NULL;
        return status;
    }
    return HG_OK;
}
