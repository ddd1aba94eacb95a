/* AdamW (Loshchilov and Hutter 2019), or Muon (muon.c) for the matrices within blocks and AdamW for
 * the rest, with clipping by the norm of the whole gradient; a running average of the weights
 * (Polyak and Juditsky 1992); and learning-rate schedules. The parameters are cut into chunks of
 * fixed size that threads take; each chunk's sum of squares has its own place and the places are
 * added in order, so neither norm nor update depends on the number of threads. Matrices decay,
 * vectors (norms, biases) do not unless asked: pulling a norm's weight to zero shrinks the layer,
 * it does not regularise it. */
#include "train/optim_shards.h"
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

static hg_optim_kind kind_of(const hg_tensor *p, const hg_optim_kind *kinds, size_t i)
{
    if (kinds != NULL) return kinds[i];
    return (hg_optim_kind){.group = p->n_dims >= 2 ? HG_GROUP_MATRIX : HG_GROUP_VECTOR};
}

/* Counts chunks, moments and Muon's scratch. */
static void count(hg_optim *o, hg_tensor *const *param, size_t n_params, const hg_optim_kind *kinds,
                  bool has_muon, size_t *n_room)
{
    for (size_t p = 0; p < n_params; p++) {
        const hg_tensor *t = param[p];
        size_t n = hg_tensor_count(t);
        o->n_chunks += (n + CHUNK - 1) / CHUNK;
        o->n_moments += n;
        if (!has_muon || kind_of(t, kinds, p).group != HG_GROUP_MATRIX) {
            o->n_seconds += n;
            continue;
        }
        size_t room = n + hg_muon_room(hg_tensor_rows(t), hg_tensor_cols(t));
        if (room > *n_room) *n_room = room;
    }
}

static void cut_chunks(hg_optim *o, hg_tensor *const *param, size_t n_params,
                       const hg_optim_kind *kinds, bool has_muon)
{
    size_t c = 0, moment = 0, second = 0;
    for (size_t p = 0; p < n_params; p++) {
        size_t all = hg_tensor_count(param[p]);
        hg_optim_kind kind = kind_of(param[p], kinds, p);
        bool is_muon = has_muon && kind.group == HG_GROUP_MATRIX;
        for (size_t at = 0; at < all; at += CHUNK) {
            size_t n = all - at < CHUNK ? all - at : CHUNK;
            o->chunks[c++] = (hg_optim_chunk){.param = param[p],
                                              .at = at,
                                              .n = n,
                                              .moment = moment,
                                              .second = is_muon ? SIZE_MAX : second,
                                              .stage = kind.stage,
                                              .group = kind.group};
            moment += n;
            if (!is_muon) second += n;
        }
    }
}

static void begin_average(hg_optim *o)
{
    for (size_t i = 0; i < o->n_own; i++) {
        const hg_optim_chunk *k = &o->chunks[o->own[i]];
        memcpy(hg_optim_average(o, k), (const float *)k->param->data + k->at,
               k->n * sizeof *o->average);
    }
}

/* State of our own chunks. One float more than needed: a rank may own nothing, and no average is
 * told from an empty one by its pointer. */
static bool take_state(hg_optim *o, const hg_recipe *r, size_t n_room, hg_arena *mem)
{
    o->m = HG_NEW(mem, float, o->n_own_moments + 1);
    o->v = HG_NEW(mem, float, o->n_own_seconds + 1);
    o->room = HG_NEW_RAW(mem, float, n_room);
    if (r->ema > 0) o->average = HG_NEW_RAW(mem, float, o->n_own_moments + 1);
    if (o->ranks != NULL && o->wire == HG_WIRE_BF16)
        o->master = HG_NEW_RAW(mem, float, o->n_own_moments + 1);
    return o->m != NULL && o->v != NULL && o->room != NULL && (r->ema <= 0 || o->average != NULL) &&
           (o->ranks == NULL || o->wire == HG_WIRE_F32 || o->master != NULL);
}

hg_status hg_optim_init(hg_optim *o, hg_runtime *rt, hg_tensor *const *param, size_t n_params,
                        const hg_optim_kind *kinds, hg_compute compute, const hg_recipe *r,
                        hg_arena *mem, hg_err *e)
{
    bool has_muon = r->optimizer == HG_OPTIMIZER_MUON;
    size_t n_room = 0;
    memset(o, 0, sizeof *o);
    o->rt = rt;
    o->ranks = r->ranks;
    o->wire = (hg_wire)r->wire;
    count(o, param, n_params, kinds, has_muon, &n_room);
    o->chunks = HG_NEW(mem, hg_optim_chunk, o->n_chunks);
    o->part = HG_NEW(mem, double, o->n_chunks);
    if (o->chunks != NULL) cut_chunks(o, param, n_params, kinds, has_muon);
    if (o->chunks != NULL) HG_TRY(hg_optim_share_out(o, mem, e));
    if (o->chunks == NULL || o->part == NULL || !take_state(o, r, n_room, mem))
        return hg_fail(e, HG_E_NOMEM, "no room for the optimiser's state of %zu parameters",
                       o->n_moments);
    o->base = (hg_adamw){.beta1 = (float)r->beta1, .beta2 = (float)r->beta2, .eps = (float)r->eps};
    o->muon = (hg_muon){.momentum = r->momentum, .compute = compute};
    o->decay[HG_GROUP_VECTOR] = r->vector_decay;
    o->decay[HG_GROUP_TABLE] = r->table_decay < 0 ? r->weight_decay : r->table_decay;
    o->decay[HG_GROUP_MATRIX] = r->weight_decay;
    o->clip = r->clip;
    o->ema = r->ema;
    if (o->average != NULL) begin_average(o);
    hg_optim_settle(o);
    return HG_OK;
}

static void run_own(hg_optim *o, hg_pool_fn *task)
{
    hg_pool_run(o->rt->pool, o->n_own, 1, task, o);
}

static void norm_task(void *ctx, size_t begin, size_t end, int thread)
{
    hg_optim *o = ctx;
    (void)thread;
    for (size_t c = begin; c < end; c++) {
        const hg_optim_chunk *k = &o->chunks[o->own[c]];
        const float *g = k->param->grad + k->at;
        double sum = 0;
        for (size_t i = 0; i < k->n; i += 1024) {
            size_t n = k->n - i < 1024 ? k->n - i : 1024;
            sum += (double)o->rt->k.dot_f32(g + i, g + i, n);
        }
        o->part[c] = sum;
    }
}

double hg_optim_grad_norm(hg_optim *o)
{
    double sum = 0;
    run_own(o, norm_task);
    for (size_t c = 0; c < o->n_own; c++) sum += o->part[c];
    return sqrt(sum);
}

static void adamw_task(void *ctx, size_t begin, size_t end, int thread)
{
    hg_optim *o = ctx;
    (void)thread;
    for (size_t c = begin; c < end; c++) {
        const hg_optim_chunk *k = &o->chunks[o->own[c]];
        if (k->second == SIZE_MAX) continue;
        hg_adamw a = o->base;
        float *g = k->param->grad + k->at;
        a.weight_decay = (float)o->decay[k->group];
        o->rt->k.adamw_f32(hg_optim_weights(o, k), hg_optim_m(o, k), hg_optim_v(o, k), g, &a, k->n);
        memset(g, 0, k->n * sizeof *g);
    }
}

static hg_status muon_step(hg_optim *o, hg_err *e)
{
    for (size_t c = 0; c < o->n_own; c++) {
        const hg_optim_chunk *k = &o->chunks[o->own[c]];
        if (k->second != SIZE_MAX || k->at > 0) continue; /* its first chunk stands for all */
        HG_TRY(hg_muon_update(o->rt, &o->muon, hg_optim_weights(o, k), hg_optim_m(o, k),
                              k->param->grad, hg_tensor_rows(k->param), hg_tensor_cols(k->param),
                              o->room, e));
    }
    return HG_OK;
}

/* Early on the average forgets faster: it would else remember random weights for 1 / (1 - ema)
 * steps. */
static void average_task(void *ctx, size_t begin, size_t end, int thread)
{
    hg_optim *o = ctx;
    double t = (double)o->updates, early = (1 + t) / (10 + t);
    float stays = (float)(o->ema < early ? o->ema : early);
    (void)thread;
    for (size_t c = begin; c < end; c++) {
        const hg_optim_chunk *k = &o->chunks[o->own[c]];
        const float *w = hg_optim_weights(o, k);
        float *a = hg_optim_average(o, k);
        for (size_t i = 0; i < k->n; i++) a[i] = w[i] + stays * (a[i] - w[i]);
    }
}

hg_status hg_optim_step(hg_optim *o, double lr, double grad_norm, hg_err *e)
{
    double t = (double)++o->updates;
    o->base.lr = (float)lr;
    o->base.correction1 = (float)(1.0 - pow((double)o->base.beta1, t));
    o->base.correction2 = (float)(1.0 - pow((double)o->base.beta2, t));
    o->base.grad_scale = o->clip > 0 && grad_norm > o->clip ? (float)(o->clip / grad_norm) : 1.0f;
    o->muon.lr = lr;
    o->muon.weight_decay = o->decay[HG_GROUP_MATRIX];
    o->muon.grad_scale = o->base.grad_scale;
    run_own(o, adamw_task);
    HG_TRY(muon_step(o, e));
    if (o->average != NULL) run_own(o, average_task);
    if (o->ranks != NULL) hg_optim_zero_grad(o); /* what others own was summed in ours */
    hg_optim_spread(o);
    return HG_OK;
}

static void swap_task(void *ctx, size_t begin, size_t end, int thread)
{
    hg_optim *o = ctx;
    (void)thread;
    for (size_t c = begin; c < end; c++) {
        const hg_optim_chunk *k = &o->chunks[o->own[c]];
        float *w = hg_optim_weights(o, k), *a = hg_optim_average(o, k);
        for (size_t i = 0; i < k->n; i++) {
            float x = w[i];
            w[i] = a[i];
            a[i] = x;
        }
    }
}

hg_status hg_optim_swap(hg_optim *o, hg_err *e)
{
    HG_TRY(hg_optim_wait(o, e));
    if (o->average == NULL) return HG_OK;
    run_own(o, swap_task);
    hg_optim_spread(o);
    return hg_optim_wait(o, e);
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
