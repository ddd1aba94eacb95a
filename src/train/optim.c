/* AdamW (Loshchilov and Hutter 2019) with clipping by the norm of the whole gradient, and
 * learning-rate schedules. The parameters are cut into chunks of fixed size that threads take; each
 * chunk's sum of squares has its own place and the places are added in order, so neither norm nor
 * update depends on the number of threads. Matrices decay, vectors (norms, biases) do not: pulling
 * a norm's weight to zero shrinks the layer, it does not regularise it. */
#include "train/optim.h"
#include <math.h>
#include <string.h>

enum { CHUNK = 1 << 16 };

void hg_schedule_init(hg_schedule *s, const hg_recipe *r, uint64_t total)
{
    *s = (hg_schedule){
        .kind = (hg_decay)r->schedule, .lr = r->lr, .min_lr = r->lr * r->min_lr, .total = total};
    s->warmup = (uint64_t)ceil(r->warmup * (double)total);
    s->decay = (uint64_t)ceil(r->decay * (double)total);
}

/* From 1 at the first step behind `from` to 0 at the last step. */
static double left(uint64_t step, uint64_t from, uint64_t total)
{
    if (total <= from + 1 || step + 1 >= total) return step + 1 >= total ? 0.0 : 1.0;
    return (double)(total - 1 - step) / (double)(total - 1 - from);
}

double hg_schedule_at(const hg_schedule *s, uint64_t step)
{
    const double pi = 3.14159265358979323846;
    double span = s->lr - s->min_lr;
    if (step < s->warmup) return s->lr * (double)(step + 1) / (double)s->warmup;
    switch (s->kind) {
    case HG_DECAY_COSINE:
        return s->min_lr + span * 0.5 * (1.0 - cos(pi * left(step, s->warmup, s->total)));
    case HG_DECAY_LINEAR:
        return s->min_lr + span * left(step, s->warmup, s->total);
    case HG_DECAY_WSD: {
        uint64_t from = s->total > s->decay ? s->total - s->decay : 0;
        if (from < s->warmup) from = s->warmup;
        return step < from ? s->lr : s->min_lr + span * left(step, from, s->total);
    }
    case HG_DECAY_CONSTANT:
        break;
    }
    return s->lr;
}

static size_t count_chunks(hg_tensor *const *param, size_t n_params, size_t *n_moments)
{
    size_t n = 0;
    *n_moments = 0;
    for (size_t p = 0; p < n_params; p++) {
        size_t count = hg_tensor_count(param[p]);
        n += (count + CHUNK - 1) / CHUNK;
        *n_moments += count;
    }
    return n;
}

static void cut_chunks(hg_optim *o, hg_tensor *const *param, size_t n_params)
{
    size_t c = 0, moment = 0;
    for (size_t p = 0; p < n_params; p++) {
        size_t count = hg_tensor_count(param[p]);
        for (size_t at = 0; at < count; at += CHUNK) {
            size_t n = count - at < CHUNK ? count - at : CHUNK;
            o->chunks[c++] = (hg_optim_chunk){param[p], at, n, moment, param[p]->n_dims >= 2};
            moment += n;
        }
    }
}

hg_status hg_optim_init(hg_optim *o, hg_runtime *rt, hg_tensor *const *param, size_t n_params,
                        const hg_recipe *r, hg_arena *mem, hg_err *e)
{
    memset(o, 0, sizeof *o);
    o->rt = rt;
    o->n_chunks = count_chunks(param, n_params, &o->n_moments);
    o->chunks = HG_NEW(mem, hg_optim_chunk, o->n_chunks);
    o->part = HG_NEW(mem, double, o->n_chunks);
    o->m = HG_NEW(mem, float, o->n_moments);
    o->v = HG_NEW(mem, float, o->n_moments);
    if (o->chunks == NULL || o->part == NULL || o->m == NULL || o->v == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for the optimiser's state of %zu parameters",
                       o->n_moments);
    o->base = (hg_adamw){.beta1 = (float)r->beta1, .beta2 = (float)r->beta2, .eps = (float)r->eps};
    o->weight_decay = r->weight_decay;
    o->clip = r->clip;
    cut_chunks(o, param, n_params);
    return HG_OK;
}

static void norm_task(void *ctx, size_t begin, size_t end, int thread)
{
    hg_optim *o = ctx;
    (void)thread;
    for (size_t c = begin; c < end; c++) {
        const float *g = o->chunks[c].param->grad + o->chunks[c].at;
        double sum = 0;
        for (size_t i = 0; i < o->chunks[c].n; i += 1024) {
            size_t n = o->chunks[c].n - i < 1024 ? o->chunks[c].n - i : 1024;
            sum += (double)o->rt->k.dot_f32(g + i, g + i, n);
        }
        o->part[c] = sum;
    }
}

double hg_optim_grad_norm(hg_optim *o)
{
    double sum = 0;
    hg_pool_run(o->rt->pool, o->n_chunks, 1, norm_task, o);
    for (size_t c = 0; c < o->n_chunks; c++) sum += o->part[c];
    return sqrt(sum);
}

static void step_task(void *ctx, size_t begin, size_t end, int thread)
{
    hg_optim *o = ctx;
    (void)thread;
    for (size_t c = begin; c < end; c++) {
        const hg_optim_chunk *k = &o->chunks[c];
        hg_adamw a = o->base;
        float *g = k->param->grad + k->at;
        a.weight_decay = k->is_matrix ? (float)o->weight_decay : 0.0f;
        o->rt->k.adamw_f32((float *)k->param->data + k->at, o->m + k->moment, o->v + k->moment, g,
                           &a, k->n);
        memset(g, 0, k->n * sizeof *g);
    }
}

void hg_optim_step(hg_optim *o, double lr, double grad_norm)
{
    double t = (double)++o->updates;
    o->base.lr = (float)lr;
    o->base.correction1 = (float)(1.0 - pow((double)o->base.beta1, t));
    o->base.correction2 = (float)(1.0 - pow((double)o->base.beta2, t));
    o->base.grad_scale = o->clip > 0 && grad_norm > o->clip ? (float)(o->clip / grad_norm) : 1.0f;
    hg_pool_run(o->rt->pool, o->n_chunks, 1, step_task, o);
}

static void zero_task(void *ctx, size_t begin, size_t end, int thread)
{
    hg_optim *o = ctx;
    (void)thread;
    for (size_t c = begin; c < end; c++)
        memset(o->chunks[c].param->grad + o->chunks[c].at, 0, o->chunks[c].n * sizeof(float));
}

void hg_optim_zero_grad(hg_optim *o)
{
    hg_pool_run(o->rt->pool, o->n_chunks, 1, zero_task, o);
}
