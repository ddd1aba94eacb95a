/* Each rank owns a row of chunks, alike many parameters each: it alone has their moments, average
 * and, when the wire rounds, their exact weights, and it alone updates them (ZeRO-1, Rajbhandari et
 * al. 2020). A step is: gradients are summed over the ranks, each sum to its owner; owners update;
 * weights come back to all. What a rank computes with is the same on all of them, bit for bit. */
#include "train/optim_shards.h"
#include "base/clock.h"
#include <math.h>
#include <string.h>

float *hg_optim_weights(const hg_optim *o, const hg_optim_chunk *k)
{
    if (o->master != NULL) return o->master + (k->moment - o->own_moment);
    return (float *)k->param->data + k->at;
}

float *hg_optim_m(const hg_optim *o, const hg_optim_chunk *k)
{
    return o->m + (k->moment - o->own_moment);
}

float *hg_optim_v(const hg_optim *o, const hg_optim_chunk *k)
{
    return o->v + (k->second - o->own_second);
}

float *hg_optim_average(const hg_optim *o, const hg_optim_chunk *k)
{
    return o->average + (k->moment - o->own_moment);
}

/* ---- who owns what ---- */

/* Muon works on whole matrices: a border within one moves behind it. */
static void set_borders(hg_optim *o)
{
    size_t n = (size_t)hg_ranks_n(o->ranks), c = 0;
    for (size_t i = 1; i < n; i++) {
        size_t from = o->n_moments / n * i + o->n_moments % n * i / n;
        while (c < o->n_chunks && o->chunks[c].moment < from) c++;
        while (c < o->n_chunks && o->chunks[c].second == SIZE_MAX && o->chunks[c].at > 0) c++;
        o->border[i] = c;
    }
    o->border[n] = o->n_chunks;
}

static void count_own(hg_optim *o)
{
    bool has_second = false;
    for (size_t c = o->own; c < o->own_end; c++) {
        const hg_optim_chunk *k = &o->chunks[c];
        if (c == o->own) o->own_moment = k->moment;
        o->n_own_moments += k->n;
        if (k->second == SIZE_MAX) continue;
        if (!has_second) o->own_second = k->second;
        has_second = true;
        o->n_own_seconds += k->n;
    }
}

bool hg_optim_share_out(hg_optim *o, hg_arena *mem)
{
    size_t n = (size_t)hg_ranks_n(o->ranks), me = (size_t)hg_ranks_me(o->ranks);
    o->border = HG_NEW(mem, size_t, n + 1);
    if (o->border == NULL) return false;
    set_borders(o);
    o->own = o->border[me];
    o->own_end = o->border[me + 1];
    count_own(o);
    if (o->ranks == NULL) return true;
    o->weight = HG_NEW(mem, hg_piece, o->n_chunks);
    o->grad = HG_NEW(mem, hg_piece, o->n_chunks);
    if (o->weight == NULL || o->grad == NULL) return false;
    for (size_t c = 0; c < o->n_chunks; c++) {
        const hg_optim_chunk *k = &o->chunks[c];
        o->weight[c] = (hg_piece){(float *)k->param->data + k->at, k->n};
        o->grad[c] = (hg_piece){k->param->grad + k->at, k->n};
    }
    return true;
}

/* ---- between the ranks ---- */

hg_status hg_optim_reduce(hg_optim *o, double *norm, hg_err *e)
{
    double start = hg_seconds();
    HG_TRY(hg_ranks_reduce(o->ranks, o->grad, o->border, o->wire, e));
    o->ring_seconds = hg_seconds() - start;
    double own = hg_optim_grad_norm(o), square = own * own;
    if (o->ranks == NULL) {
        *norm = own;
        return HG_OK;
    }
    HG_TRY(hg_ranks_sum(o->ranks, &square, 1, e));
    *norm = sqrt(square);
    return HG_OK;
}

static void master_task(void *ctx, size_t begin, size_t end, int thread)
{
    const hg_optim *o = ctx;
    (void)thread;
    for (size_t c = o->own + begin; c < o->own + end; c++) {
        const hg_optim_chunk *k = &o->chunks[c];
        memcpy(o->weight[c].p, hg_optim_weights(o, k), k->n * sizeof(float));
    }
}

static hg_status spread(hg_optim *o, hg_wire wire, hg_err *e)
{
    if (o->master != NULL) hg_pool_run(o->rt->pool, o->own_end - o->own, 1, master_task, o);
    return hg_ranks_gather(o->ranks, o->weight, o->border, wire, e);
}

hg_status hg_optim_spread(hg_optim *o, hg_err *e)
{
    double start = hg_seconds();
    HG_TRY(spread(o, o->wire, e));
    o->ring_seconds += hg_seconds() - start;
    return HG_OK;
}

hg_status hg_optim_complete(hg_optim *o, hg_err *e)
{
    return o->master == NULL ? HG_OK : spread(o, HG_WIRE_F32, e);
}

void hg_optim_settle(hg_optim *o)
{
    unsigned short half[256];
    if (o->master == NULL) return;
    for (size_t c = 0; c < o->n_chunks; c++) {
        const hg_piece *w = &o->weight[c];
        if (c >= o->own && c < o->own_end)
            memcpy(hg_optim_weights(o, &o->chunks[c]), w->p, w->n * sizeof(float));
        for (size_t at = 0; at < w->n; at += 256) {
            size_t n = w->n - at < 256 ? w->n - at : 256;
            hg_wire_pack(half, w->p + at, n);
            hg_wire_unpack(w->p + at, half, n);
        }
    }
}
