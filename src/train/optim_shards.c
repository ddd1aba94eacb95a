/* Each rank owns some chunks, alike many parameters each: it alone has their moments, average and,
 * when the wire rounds, their exact weights, and it alone updates them (ZeRO-1, Rajbhandari et al.
 * 2020). A step is: gradients are summed over the ranks, each sum to its owner; owners update;
 * weights come back to all. What a rank computes with is the same on all of them, bit for bit.
 *
 * Both rings run beside the passes, a bucket of neighbouring stages at a time: sums from the last
 * stage to the first, as the backward pass gets there, weights from the first to the last, as the
 * forward pass needs them. The order of errands is the same on all ranks and in every step. */
#include "train/optim_shards.h"
#include "base/clock.h"
#include <math.h>
#include <string.h>

float *hg_optim_weights(const hg_optim *o, const hg_optim_chunk *k)
{
    return o->master != NULL ? o->master + k->own_m : (float *)k->param->data + k->at;
}

float *hg_optim_m(const hg_optim *o, const hg_optim_chunk *k)
{
    return o->m + k->own_m;
}

float *hg_optim_v(const hg_optim *o, const hg_optim_chunk *k)
{
    return o->v + k->own_v;
}

float *hg_optim_average(const hg_optim *o, const hg_optim_chunk *k)
{
    return o->average + k->own_m;
}

/* ---- who owns what ---- */

/* Whoever has least gets the next chunk, so that every stage is shared by all; Muon works on whole
 * matrices. */
static void deal(hg_optim *o)
{
    size_t has[HG_MAX_RANKS] = {0};
    int n = hg_ranks_n(o->ranks), owner = 0;
    for (size_t c = 0; c < o->n_chunks; c++) {
        hg_optim_chunk *k = &o->chunks[c];
        bool goes_on = k->second == SIZE_MAX && k->at > 0;
        for (int i = 0; i < n && !goes_on; i++)
            if (i == 0 || has[i] < has[owner]) owner = i;
        k->owner = owner;
        has[owner] += k->n;
    }
}

static void count_own(hg_optim *o)
{
    int me = hg_ranks_me(o->ranks);
    for (size_t c = 0; c < o->n_chunks; c++) {
        hg_optim_chunk *k = &o->chunks[c];
        if (k->owner != me) continue;
        o->own[o->n_own++] = c;
        k->own_m = o->n_own_moments;
        k->own_v = o->n_own_seconds;
        o->n_own_moments += k->n;
        if (k->second != SIZE_MAX) o->n_own_seconds += k->n;
    }
}

/* ---- buckets ---- */

static size_t size_of(const hg_optim *o, int stage)
{
    size_t n = 0;
    for (size_t c = 0; c < o->n_chunks; c++)
        if (o->chunks[c].stage == stage) n += o->chunks[c].n;
    return n;
}

static void make_buckets(const hg_optim *o, hg_shards *s)
{
    size_t filled = 0;
    s->n_buckets = 1;
    for (int stage = -1; stage <= s->last_stage; stage++) {
        if (filled * HG_MAX_BUCKETS >= o->n_moments && s->n_buckets < HG_MAX_BUCKETS) {
            s->n_buckets++;
            filled = 0;
        }
        s->bucket_of[stage + 1] = (int)s->n_buckets - 1;
        filled += size_of(o, stage);
    }
}

/* border[r + 2] counts rank r's, and becomes where rank r + 1 begins; placing a rank's pieces moves
 * border[r + 1] from its beginning to its end. */
static void lay_out_pieces(const hg_optim *o, hg_shards *s)
{
    size_t at = 0, n = (size_t)hg_ranks_n(o->ranks);
    for (size_t c = 0; c < o->n_chunks; c++)
        s->bucket[s->bucket_of[o->chunks[c].stage + 1]].border[o->chunks[c].owner + 2]++;
    for (size_t b = 0; b < s->n_buckets; b++) {
        size_t *border = s->bucket[b].border;
        border[0] = border[1] = at;
        for (size_t r = 0; r < n; r++) border[r + 2] += border[r + 1];
        at = border[n + 1];
    }
    for (size_t c = 0; c < o->n_chunks; c++) {
        const hg_optim_chunk *k = &o->chunks[c];
        size_t to = s->bucket[s->bucket_of[k->stage + 1]].border[k->owner + 1]++;
        s->weight[to] = (hg_piece){(float *)k->param->data + k->at, k->n};
        s->grad[to] = (hg_piece){k->param->grad + k->at, k->n};
    }
}

static hg_status begin_stage(void *ctx, int stage, bool *tell, hg_err *e);
static void end_stage(void *ctx, int stage);

static hg_status new_shards(hg_optim *o, hg_arena *mem, hg_err *e)
{
    const size_t n_ranks = (size_t)hg_ranks_n(o->ranks);
    hg_shards *s = HG_NEW(mem, hg_shards, 1);
    bool ok = s != NULL;
    for (size_t c = 0; c < o->n_chunks && ok; c++)
        if (o->chunks[c].stage > s->last_stage) s->last_stage = o->chunks[c].stage;
    if (ok) {
        s->weight = HG_NEW(mem, hg_piece, o->n_chunks);
        s->grad = HG_NEW(mem, hg_piece, o->n_chunks);
        s->bucket_of = HG_NEW(mem, int, (size_t)s->last_stage + 2);
        ok = s->weight != NULL && s->grad != NULL && s->bucket_of != NULL;
    }
    for (size_t b = 0; b < HG_MAX_BUCKETS && ok; b++) {
        s->bucket[b].border = HG_NEW(mem, size_t, n_ranks + 2);
        ok = s->bucket[b].border != NULL;
    }
    if (!ok) return hg_fail(e, HG_E_NOMEM, "no room for what the ranks share");
    make_buckets(o, s);
    lay_out_pieces(o, s);
    s->n_left = s->n_buckets;
    s->stages = (hg_stages){begin_stage, end_stage, o};
    HG_TRY(hg_lane_new(&s->lane, e));
    o->shards = s;
    return HG_OK;
}

hg_status hg_optim_share_out(hg_optim *o, hg_arena *mem, hg_err *e)
{
    o->own = HG_NEW(mem, size_t, o->n_chunks);
    if (o->own == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the optimiser's chunks");
    deal(o);
    count_own(o);
    return o->ranks != NULL ? new_shards(o, mem, e) : HG_OK;
}

void hg_optim_free(hg_optim *o)
{
    if (o->shards != NULL) hg_lane_free(o->shards->lane);
    o->shards = NULL;
}

/* ---- errands ---- */

static hg_status reduce_bucket(void *ctx, size_t b, hg_err *e)
{
    hg_optim *o = ctx;
    hg_shards *s = o->shards;
    double start = hg_seconds();
    HG_TRY(hg_ranks_reduce(o->ranks, s->grad, s->bucket[b].border, o->wire, e));
    s->ring_seconds += hg_seconds() - start;
    return HG_OK;
}

static hg_status gather_bucket(void *ctx, size_t b, hg_err *e)
{
    hg_optim *o = ctx;
    hg_shards *s = o->shards;
    double start = hg_seconds();
    HG_TRY(hg_ranks_gather(o->ranks, s->weight, s->bucket[b].border, s->gather_wire, e));
    s->ring_seconds += hg_seconds() - start;
    return HG_OK;
}

static hg_status wait(hg_shards *s, uint64_t ticket, hg_err *e)
{
    double start = hg_seconds();
    hg_status status = hg_lane_wait(s->lane, ticket, e);
    s->wait_seconds += hg_seconds() - start;
    return status;
}

hg_status hg_optim_wait(hg_optim *o, hg_err *e)
{
    return o->shards != NULL ? hg_lane_wait_all(o->shards->lane, e) : HG_OK;
}

/* ---- beside the passes ---- */

static hg_bucket *bucket_of(hg_shards *s, int stage)
{
    return &s->bucket[s->bucket_of[(stage < s->last_stage ? stage : s->last_stage) + 1]];
}

static hg_status begin_stage(void *ctx, int stage, bool *tell, hg_err *e)
{
    hg_optim *o = ctx;
    hg_bucket *b = bucket_of(o->shards, stage);
    *tell = o->shards->is_last_lot && stage >= 0;
    if (*tell) b->n_open++;
    return wait(o->shards, b->ticket, e);
}

/* The first bucket has the embeddings, whose gradients the very end of the pass adds to. */
static void begin_sums(hg_optim *o)
{
    hg_shards *s = o->shards;
    while (s->n_left > 1 && s->bucket[s->n_left - 1].n_open == 0) {
        s->n_left--;
        (void)hg_lane_give(s->lane, reduce_bucket, o, s->n_left);
    }
}

static void end_stage(void *ctx, int stage)
{
    hg_optim *o = ctx;
    hg_bucket *b = bucket_of(o->shards, stage);
    b->n_open--;
    if (b->n_open == 0) begin_sums(o);
}

void hg_optim_attend(hg_optim *o, hg_graph *g, bool is_last_lot)
{
    if (o->shards == NULL) return;
    o->shards->is_last_lot = is_last_lot;
    g->stages = &o->shards->stages;
}

/* ---- a step ---- */

static hg_status reduce(hg_optim *o, hg_err *e)
{
    hg_shards *s = o->shards;
    for (; s->n_left > 0; s->n_left--) (void)hg_lane_give(s->lane, reduce_bucket, o, s->n_left - 1);
    for (size_t b = 0; b < s->n_buckets; b++) s->bucket[b].n_open = 0;
    s->n_left = s->n_buckets;
    double start = hg_seconds();
    HG_TRY(hg_optim_wait(o, e));
    s->last_wait_seconds = s->wait_seconds + (hg_seconds() - start);
    s->last_ring_seconds = s->ring_seconds;
    s->ring_seconds = s->wait_seconds = 0;
    return HG_OK;
}

hg_status hg_optim_reduce(hg_optim *o, double *norm, hg_err *e)
{
    if (o->shards != NULL) HG_TRY(reduce(o, e));
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
    for (size_t i = begin; i < end; i++) {
        const hg_optim_chunk *k = &o->chunks[o->own[i]];
        memcpy((float *)k->param->data + k->at, hg_optim_weights(o, k), k->n * sizeof(float));
    }
}

static void spread(hg_optim *o, hg_wire wire)
{
    hg_shards *s = o->shards;
    if (s == NULL) return;
    if (o->master != NULL) hg_pool_run(o->rt->pool, o->n_own, 1, master_task, o);
    s->gather_wire = wire;
    for (size_t b = 0; b < s->n_buckets; b++)
        s->bucket[b].ticket = hg_lane_give(s->lane, gather_bucket, o, b);
}

void hg_optim_spread(hg_optim *o)
{
    spread(o, o->wire);
}

hg_status hg_optim_complete(hg_optim *o, hg_err *e)
{
    HG_TRY(hg_optim_wait(o, e));
    if (o->master != NULL) spread(o, HG_WIRE_F32);
    return hg_optim_wait(o, e);
}

void hg_optim_settle(hg_optim *o)
{
    unsigned short half[256];
    if (o->master == NULL) return;
    for (size_t c = 0; c < o->n_chunks; c++) {
        const hg_optim_chunk *k = &o->chunks[c];
        float *w = (float *)k->param->data + k->at;
        if (k->owner == hg_ranks_me(o->ranks))
            memcpy(hg_optim_weights(o, k), w, k->n * sizeof(float));
        for (size_t at = 0; at < k->n; at += 256) {
            size_t n = k->n - at < 256 ? k->n - at : 256;
            hg_wire_pack(half, w + at, n);
            hg_wire_unpack(w + at, half, n);
        }
    }
}
