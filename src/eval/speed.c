/* The speed of a model's three kinds of work, each told as a share of what binds it.
 *
 * Reading a prompt multiplies each weight with many rows: the machine's rate of products binds it.
 * Answering reads every weight for one token: the memory binds it. Answering many at once lies
 * between. What a job must read and compute at the least is counted from the model's shape, and the
 * machine's rates are measured between the runs of the job, because on a shared host they change
 * within minutes (Williams et al. 2009, the roofline model). */
#include <higgins/speed.h>
#include "base/clock.h"
#include "base/mem.h"
#include "kernels/measure.h"
#include "model/model.h"

#include <semaphore.h>
#include <math.h>
#include <stdlib.h>

enum { SHORT_PROMPT = 32, MAX_REPEATS = 101 };

struct hg_speed {
    const hg_model *m;
    hg_runtime *rt;
    hg_session_options o;
    hg_session *session;
    int32_t *ids; /* [n_ctx] a text that means nothing */
    uint32_t n_ctx;
};

hg_status hg_speed_new(hg_speed **out, const hg_model *m, hg_runtime *rt,
                       const hg_session_options *o, hg_err *e)
{
    *out = NULL;
    hg_speed *s = hg_alloc(1, sizeof *s);
    if (s == NULL) return hg_fail(e, HG_E_NOMEM, "no room to time a model");
    s->m = m;
    s->rt = rt;
    s->o = *o;
    s->n_ctx = o->n_ctx > 0 ? o->n_ctx : m->c.n_ctx;
    s->ids = hg_alloc(s->n_ctx, sizeof *s->ids);
    hg_status status = s->ids != NULL ? HG_OK : hg_fail(e, HG_E_NOMEM, "no room for a prompt");
    if (status == HG_OK) status = hg_session_new(&s->session, m, rt, o, e);
    if (status != HG_OK) {
        hg_speed_free(s);
        return status;
    }
    for (uint32_t i = 0; i < s->n_ctx; i++) s->ids[i] = (int32_t)((100 + 7 * i) % m->c.n_vocab);
    *out = s;
    return HG_OK;
}

void hg_speed_free(hg_speed *s)
{
    if (s == NULL) return;
    hg_session_free(s->session);
    hg_free(s->ids);
    hg_free(s);
}

/* ---- one job ---- */

static int32_t best_of(const float *x, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return (int32_t)best;
}

static hg_status time_prefill(hg_speed *s, const hg_speed_job *j, double *seconds, hg_err *e)
{
    const float *logits;
    const double start = hg_seconds();
    HG_TRY(hg_session_feed(s->session, s->ids, j->n, &logits, e));
    *seconds = hg_seconds() - start;
    return HG_OK;
}

/* Greedy, over all logits, as a user's answer would be. */
static hg_status time_decode(hg_speed *s, const hg_speed_job *j, double *seconds, hg_err *e)
{
    const float *logits;
    int32_t id = s->ids[0];
    if (j->past > 0) HG_TRY(hg_session_feed(s->session, s->ids, j->past, NULL, e));
    const double start = hg_seconds();
    for (uint32_t i = 0; i < j->n; i++) {
        HG_TRY(hg_session_feed(s->session, &id, 1, &logits, e));
        id = best_of(logits, s->m->c.n_vocab);
    }
    *seconds = hg_seconds() - start;
    return HG_OK;
}

/* What a request's callback leaves for the thread that waits. */
typedef struct answer {
    sem_t *ended;
    hg_usage usage;
} answer;

static void on_text(void *ctx, hg_bytes text, hg_finish finish, const hg_usage *usage,
                    const char *error)
{
    answer *a = ctx;
    (void)text;
    (void)error;
    if (finish == HG_FINISH_NONE) return;
    a->usage = *usage;
    (void)sem_post(a->ended);
}

static hg_status submit_all(hg_speed *s, hg_engine *en, const hg_speed_job *j, answer *answers,
                            hg_err *e)
{
    hg_job job;
    for (uint32_t i = 0; i < j->sessions; i++) {
        hg_request r = {.prompt = s->ids + i % (s->n_ctx - SHORT_PROMPT),
                        .n_prompt = SHORT_PROMPT,
                        .max_tokens = j->n + 1, /* the first comes with the prompt */
                        .on_text = on_text,
                        .ctx = &answers[i]};
        hg_sampling_init(&r.sampling);
        r.sampling.temperature = 0;
        r.sampling.repetition_penalty = 1;
        HG_TRY(hg_engine_submit(en, &r, &job, e));
    }
    return HG_OK;
}

/* All sessions decode together for as long as the slowest does. */
static hg_status time_batch(hg_speed *s, const hg_speed_job *j, double *seconds, hg_err *e)
{
    hg_engine_options o;
    hg_engine *en = NULL;
    sem_t ended;
    hg_engine_options_init(&o);
    o.max_sessions = o.max_queue = j->sessions;
    o.n_ctx = SHORT_PROMPT + j->n + 8;
    o.prefill_chunk = HG_MAX_PREFILL_CHUNK;
    answer *answers = hg_alloc(j->sessions, sizeof *answers);
    if (answers == NULL) return hg_fail(e, HG_E_NOMEM, "no room for %u sessions", j->sessions);
    (void)sem_init(&ended, 0, 0);
    for (uint32_t i = 0; i < j->sessions; i++) answers[i].ended = &ended;
    hg_status status = hg_engine_new(&en, s->m, s->rt, &o, e);
    if (status == HG_OK) status = submit_all(s, en, j, answers, e);
    for (uint32_t i = 0; status == HG_OK && i < j->sessions;)
        if (sem_wait(&ended) == 0) i++; /* else a signal came */
    hg_engine_free(en);
    (void)sem_destroy(&ended);
    *seconds = 0;
    for (uint32_t i = 0; status == HG_OK && i < j->sessions; i++) {
        if (answers[i].usage.decode_s > *seconds) *seconds = answers[i].usage.decode_s;
        if (answers[i].usage.completion_tokens != j->n + 1)
            status = hg_fail(e, HG_E_STATE,
                             "session %u ended after %u of %u tokens; the model chose to stop", i,
                             answers[i].usage.completion_tokens, j->n + 1);
    }
    hg_free(answers);
    return status;
}

static uint64_t context_of(const hg_speed_job *j)
{
    return j->kind == HG_SPEED_BATCH ? SHORT_PROMPT + (uint64_t)j->n : (uint64_t)j->past + j->n;
}

hg_status hg_speed_time(hg_speed *s, const hg_speed_job *j, double *seconds, hg_err *e)
{
    *seconds = 0;
    if (j->n == 0 || (j->kind == HG_SPEED_BATCH && j->sessions == 0))
        return hg_fail(e, HG_E_ARG, "nothing to time: a job needs tokens and sessions");
    if (context_of(j) > s->n_ctx)
        return hg_fail(e, HG_E_LIMIT, "the job needs %llu tokens of context; there are %u",
                       (unsigned long long)context_of(j), s->n_ctx);
    hg_session_rewind(s->session, 0);
    if (j->kind == HG_SPEED_PREFILL) return time_prefill(s, j, seconds, e);
    if (j->kind == HG_SPEED_DECODE) return time_decode(s, j, seconds, e);
    return time_batch(s, j, seconds, e);
}

/* ---- what a job needs at the least ---- */

/* Matrices that every token meets: all but tables that are only looked up in. */
static bool is_multiplied(const hg_model *m, const hg_tensor *t)
{
    return t->n_dims >= 2 && (t == m->head || (t != m->embed && t != m->pos_embed));
}

static double tokens_of(const hg_speed_job *j)
{
    return (double)j->n * (j->kind == HG_SPEED_BATCH ? j->sessions : 1);
}

/* Positions that a token of the job sees, on average. */
static double depth_of(const hg_speed_job *j)
{
    const double first = j->kind == HG_SPEED_PREFILL ? 0
                         : j->kind == HG_SPEED_BATCH ? SHORT_PROMPT
                                                     : j->past;
    return first + (j->n + 1.0) / 2;
}

static double cache_bytes(const hg_speed *s, double depth)
{
    hg_session_options o = s->o, none = s->o;
    o.n_ctx = (uint32_t)depth + 1;
    none.n_ctx = 1;
    return (double)hg_session_bytes(s->m, &o) - (double)hg_session_bytes(s->m, &none);
}

/* Values, or bytes, of the experts: a part of the model that a token uses little of. */
static double experts_of(const hg_model *m, bool in_bytes)
{
    double sum = 0;
    for (size_t l = 0; l < m->c.n_layers; l++)
        for (size_t i = 0; i < m->c.n_experts; i++) {
            const hg_mlp *x = &m->layer[l].expert[i];
            const hg_tensor *const of[] = {x->gate, x->up, x->down};
            for (size_t k = 0; k < sizeof of / sizeof of[0]; k++) {
                size_t n = hg_tensor_count(of[k]);
                sum += (double)(in_bytes ? hg_type_bytes(of[k]->type, n) : n);
            }
        }
    return sum;
}

/* The share of the experts that none of `rows` tokens chooses, if all are chosen alike. */
static double idle_share(const hg_model *m, double rows)
{
    if (m->c.n_experts == 0) return 0;
    return pow(1.0 - (double)m->c.n_experts_used / m->c.n_experts, rows);
}

double hg_speed_bytes(const hg_speed *s, const hg_speed_job *j)
{
    double weights = 0;
    for (size_t i = 0; i < s->m->n_params; i++) {
        const hg_tensor *t = s->m->param[i];
        if (is_multiplied(s->m, t)) weights += (double)hg_type_bytes(t->type, hg_tensor_count(t));
    }
    const double steps = j->kind == HG_SPEED_PREFILL ? 1 : j->n;
    weights -= experts_of(s->m, true) * idle_share(s->m, tokens_of(j) / steps);
    const double reads = j->kind == HG_SPEED_PREFILL ? 1 : tokens_of(j);
    return steps * weights + reads * cache_bytes(s, depth_of(j));
}

double hg_speed_flop(const hg_speed *s, const hg_speed_job *j)
{
    const hg_model_config *c = &s->m->c;
    double products = 0, head = 0;
    for (size_t i = 0; i < s->m->n_params; i++) {
        const hg_tensor *t = s->m->param[i];
        if (t == s->m->head)
            head = (double)hg_tensor_count(t);
        else if (is_multiplied(s->m, t))
            products += (double)hg_tensor_count(t);
    }
    products -= experts_of(s->m, false) * idle_share(s->m, 1);
    const double attention = 2.0 * c->n_layers * c->n_heads * c->d_head * depth_of(j);
    const double heads = j->kind == HG_SPEED_PREFILL ? 1 : tokens_of(j); /* logits wanted */
    return 2 * (tokens_of(j) * (products + attention) + heads * head);
}

/* ---- the report ---- */

void hg_speed_options_init(hg_speed_options *o)
{
    static const uint32_t depths[] = {0}, sessions[] = {8};
    *o = (hg_speed_options){.prompt = 512,
                            .decode = 64,
                            .repeats = 5,
                            .depths = depths,
                            .n_depths = 1,
                            .sessions = sessions,
                            .n_sessions = 1};
}

typedef struct samples {
    double seconds[MAX_REPEATS], joules[MAX_REPEATS], limit[MAX_REPEATS], share[MAX_REPEATS];
} samples;

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
    qsort(v, n, sizeof *v, by_value);
    return n % 2 == 1 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* The rate of products that the weights of this model are multiplied at. */
static hg_status product_limit(const hg_speed *s, double *gflops, hg_err *e)
{
    const hg_type t = s->m->layer[0].q->type;
    return hg_measure_product(s->rt, t, 0.1, gflops, e);
}

/* What binds the job is what would take longer at the machine's rates. */
static hg_status limit_of(const hg_speed *s, const hg_speed_job *j, bool *reads, double *limit,
                          hg_err *e)
{
    double gbs = 0, gflops = 0;
    HG_TRY(hg_measure_read(s->rt, 0.1, &gbs, e));
    HG_TRY(product_limit(s, &gflops, e));
    *reads = hg_speed_bytes(s, j) / gbs > hg_speed_flop(s, j) / gflops;
    *limit = *reads ? gbs : gflops;
    return HG_OK;
}

static hg_status sample(hg_speed *s, const hg_speed_job *j, bool reads, size_t i, samples *to,
                        hg_err *e)
{
    hg_joules meter;
    double before = 0, after = 0;
    bool ignored;
    HG_TRY(limit_of(s, j, &ignored, &before, e));
    hg_joules_start(&meter);
    HG_TRY(hg_speed_time(s, j, &to->seconds[i], e));
    to->joules[i] = hg_joules_read(&meter);
    HG_TRY(limit_of(s, j, &ignored, &after, e));
    to->limit[i] = (before + after) / 2;
    const double work = reads ? hg_speed_bytes(s, j) : hg_speed_flop(s, j);
    to->share[i] = work / to->seconds[i] * 1e-9 / to->limit[i];
    return HG_OK;
}

static hg_status time_row(hg_speed *s, const hg_speed_job *j, size_t repeats, hg_speed_row *row,
                          hg_err *e)
{
    samples v;
    double limit;
    *row = (hg_speed_row){.job = *j};
    HG_TRY(limit_of(s, j, &row->is_bound_by_reads, &limit, e));
    HG_TRY(hg_speed_time(s, j, &v.seconds[0], e)); /* pages and arenas are made */
    for (size_t i = 0; i < repeats; i++) HG_TRY(sample(s, j, row->is_bound_by_reads, i, &v, e));
    const double work = row->is_bound_by_reads ? hg_speed_bytes(s, j) : hg_speed_flop(s, j);
    const double seconds = median(v.seconds, repeats);
    row->tokens_s = tokens_of(j) / seconds;
    row->joules = median(v.joules, repeats) / tokens_of(j);
    row->rate = work / seconds * 1e-9;
    row->limit = median(v.limit, repeats);
    row->share = median(v.share, repeats);
    return HG_OK;
}

static size_t list_jobs(const hg_speed_options *o, hg_speed_job *jobs)
{
    size_t n = 0;
    if (o->prompt > 0) jobs[n++] = (hg_speed_job){HG_SPEED_PREFILL, o->prompt, 0, 1};
    for (size_t i = 0; i < o->n_depths && n < HG_SPEED_MAX_ROWS && o->decode > 0; i++)
        jobs[n++] = (hg_speed_job){HG_SPEED_DECODE, o->decode, o->depths[i], 1};
    for (size_t i = 0; i < o->n_sessions && n < HG_SPEED_MAX_ROWS && o->decode > 0; i++)
        jobs[n++] = (hg_speed_job){HG_SPEED_BATCH, o->decode, 0, o->sessions[i]};
    return n;
}

hg_status hg_speed_run(hg_speed_report *out, const hg_model *m, hg_runtime *rt,
                       const hg_speed_options *o, const hg_watch *w, hg_err *e)
{
    hg_speed_job jobs[HG_SPEED_MAX_ROWS];
    hg_session_options so = o->session;
    hg_speed *s = NULL;
    *out = (hg_speed_report){0};
    if (o->repeats == 0 || o->repeats > MAX_REPEATS)
        return hg_fail(e, HG_E_ARG, "%u repeats; 1 to %d allowed", o->repeats, MAX_REPEATS);
    const size_t n = list_jobs(o, jobs);
    for (size_t i = 0; i < n && o->session.n_ctx == 0; i++)
        if (context_of(&jobs[i]) > so.n_ctx) so.n_ctx = (uint32_t)context_of(&jobs[i]);
    HG_TRY(hg_speed_new(&s, m, rt, &so, e));
    hg_status status = HG_OK;
    for (size_t i = 0; i < n && status == HG_OK; i++) {
        hg_watch_progress(w, &(hg_progress){"timing", "jobs", NULL, (double)i, (double)n});
        if (hg_watch_stopped(w))
            status = hg_fail(e, HG_E_CANCELED, "stopped");
        else
            status = time_row(s, &jobs[i], o->repeats, &out->row[out->n], e);
        if (status == HG_OK) out->n++;
    }
    hg_speed_free(s);
    return status;
}
