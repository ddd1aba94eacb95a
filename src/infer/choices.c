/* The set of what may come next. Nothing here sorts a vocabulary: logits are looked at in blocks
 * whose best is remembered, so that the k best are found by looking into some k blocks; a share of
 * the probability is found by spreading the weights over buckets and going on in the one where the
 * share is reached. Both are exact, and both are linear. */
#include "infer/choices.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { BUCKETS = 512, FEW = 64 };

/* exp of less is 0: such a token is never drawn. */
static const float NEVER = 87.0f;

static size_t n_blocks(const hg_choices *c)
{
    return (c->n_vocab + HG_CHOICE_BLOCK - 1) / HG_CHOICE_BLOCK;
}

hg_status hg_choices_init(hg_choices *c, size_t n_vocab, const hg_kernels *k, hg_err *e)
{
    *c = (hg_choices){.n_vocab = n_vocab, .k = k};
    c->own = hg_alloc(n_vocab, sizeof *c->own);
    c->some = hg_alloc(n_vocab, sizeof *c->some);
    c->w = hg_alloc(n_vocab, sizeof *c->w);
    c->id = hg_alloc(n_vocab, sizeof *c->id);
    c->heap = hg_alloc(n_vocab, sizeof *c->heap);
    c->keep = hg_alloc(n_vocab, sizeof *c->keep);
    c->count = hg_alloc(n_vocab, sizeof *c->count);
    c->block = hg_alloc(n_blocks(c), sizeof *c->block);
    c->bits = hg_alloc(n_vocab / 32 + 1, sizeof *c->bits);
    if (c->own != NULL && c->some != NULL && c->w != NULL && c->id != NULL && c->heap != NULL &&
        c->keep != NULL && c->count != NULL && c->block != NULL && c->bits != NULL)
        return HG_OK;
    hg_choices_free(c);
    return hg_fail(e, HG_E_NOMEM, "no room to sample from %zu tokens", n_vocab);
}

void hg_choices_free(hg_choices *c)
{
    hg_free(c->own);
    hg_free(c->some);
    hg_free(c->w);
    hg_free(c->id);
    hg_free(c->heap);
    hg_free(c->keep);
    hg_free(c->count);
    hg_free(c->block);
    hg_free(c->bits);
    hg_free(c->match);
    *c = (hg_choices){0};
}

static hg_status refuse(const hg_choices *c, hg_err *e)
{
    size_t i = 0;
    while (c->x[i] <= FLT_MAX) i++;
    return hg_fail(e, HG_E_FORMAT,
                   "the model gives token %zu the score %s; its weights are damaged or overflow", i,
                   isnan(c->x[i]) ? "NaN" : "infinity");
}

/* -infinity rules a token out and is fine; NaN and +infinity have no probability. */
hg_status hg_choices_take(hg_choices *c, float *logits, hg_err *e)
{
    c->x = c->logit = logits;
    c->all = true;
    c->n = c->n_vocab;
    c->blocks_hold = c->k->block_max_f32(c->block, c->x, HG_CHOICE_BLOCK, c->n);
    return c->blocks_hold ? HG_OK : refuse(c, e);
}

hg_status hg_choices_load(hg_choices *c, const float *logits, hg_err *e)
{
    memcpy(c->own, logits, c->n_vocab * sizeof *logits);
    return hg_choices_take(c, c->own, e);
}

/* Finds the best of the block again. */
static void look_into(hg_choices *c, size_t block)
{
    const size_t at = block * HG_CHOICE_BLOCK, left = c->n_vocab - at;
    c->block[block] = c->k->max_f32(c->x + at, left < HG_CHOICE_BLOCK ? left : HG_CHOICE_BLOCK);
}

/* ---- some logits change ---- */
void hg_choices_open(hg_choices *c)
{
    for (size_t i = 0; !c->all && i < c->n; i++) c->x[c->id[i]] = c->logit[i];
}

void hg_choices_set(hg_choices *c, int32_t id, float logit)
{
    const size_t block = (size_t)id / HG_CHOICE_BLOCK;
    const float was = c->x[id];
    c->x[id] = logit;
    if (!c->all || !c->blocks_hold) return;
    if (logit >= c->block[block])
        c->block[block] = logit;
    else if (was >= c->block[block])
        look_into(c, block);
}

void hg_choices_close(hg_choices *c)
{
    for (size_t i = 0; !c->all && i < c->n; i++) c->logit[i] = c->x[c->id[i]];
}

static void find_blocks(hg_choices *c)
{
    if (!c->blocks_hold) (void)c->k->block_max_f32(c->block, c->x, HG_CHOICE_BLOCK, c->n_vocab);
    c->blocks_hold = true;
}

float hg_choices_max(hg_choices *c)
{
    if (!c->all) return c->k->max_f32(c->logit, c->n);
    find_blocks(c);
    return c->k->max_f32(c->block, n_blocks(c));
}

void hg_choices_weigh(hg_choices *c)
{
    c->sum = (double)c->k->exp_sum_f32(c->w, c->logit, hg_choices_max(c), c->n);
}

/* ---- narrowing ---- */

/* From all ids to those from `least` on. */
static void gather(hg_choices *c, float least)
{
    size_t n = 0;
    find_blocks(c);
    for (size_t b = 0; b < n_blocks(c); b++) {
        const size_t at = b * HG_CHOICE_BLOCK, left = c->n_vocab - at;
        if (c->block[b] < least) continue;
        for (size_t i = at; i < at + (left < HG_CHOICE_BLOCK ? left : HG_CHOICE_BLOCK); i++) {
            if (!(c->x[i] >= least)) continue;
            c->id[n] = (int32_t)i;
            c->some[n++] = c->x[i];
        }
    }
    c->all = false;
    c->n = n;
    c->logit = c->some;
}

/* Takes all ids that are not in the mask out where they stand. */
static void rule_out(hg_choices *c, const uint32_t *bits)
{
    find_blocks(c);
    for (size_t word = 0; word < (c->n_vocab + 31) / 32; word++) {
        const size_t left = c->n_vocab - 32 * word;
        uint32_t out = ~bits[word];
        if (left < 32) out &= (1u << left) - 1;
        if (out == 0) continue;
        for (; out != 0; out &= out - 1) c->x[32 * word + (size_t)__builtin_ctz(out)] = -INFINITY;
        look_into(c, 32 * word / HG_CHOICE_BLOCK);
    }
}

static void gather_marked(hg_choices *c, const uint32_t *bits)
{
    size_t n = 0;
    for (size_t word = 0; word < (c->n_vocab + 31) / 32; word++) {
        const size_t left = c->n_vocab - 32 * word;
        uint32_t in = bits[word];
        if (left < 32) in &= (1u << left) - 1;
        for (; in != 0; in &= in - 1) {
            const size_t id = 32 * word + (size_t)__builtin_ctz(in);
            c->id[n] = (int32_t)id;
            c->some[n++] = c->x[id];
        }
    }
    c->all = false;
    c->n = n;
    c->logit = c->some;
}

void hg_cut_unmarked(hg_choices *c, const uint32_t *bits)
{
    size_t n = 0;
    for (size_t word = 0; word < c->n_vocab / 32; word++)
        n += (size_t)__builtin_popcount(bits[word]);
    if (n > c->n_vocab / 2)
        rule_out(c, bits);
    else
        gather_marked(c, bits);
}

void hg_cut_below(hg_choices *c, float least)
{
    size_t n = 0;
    if (c->all) {
        gather(c, least);
        return;
    }
    for (size_t i = 0; i < c->n; i++) {
        if (!(c->logit[i] >= least)) continue;
        c->id[n] = c->id[i];
        c->logit[n++] = c->logit[i];
    }
    c->n = n;
}

/* Keeps what is marked; the set is not all any more. */
static void keep_marked(hg_choices *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++) {
        if (c->keep[i] == 0) continue;
        c->id[n] = c->id[i];
        c->logit[n++] = c->logit[i];
    }
    c->n = n;
}

static bool is_better(hg_ranked a, hg_ranked b)
{
    return a.key > b.key || (a.key == b.key && a.at < b.at);
}

/* Restores the heap below i: the worst on top (to keep the k best) or the best (to pop in order).
 */
static void sift(hg_ranked *h, size_t n, size_t i, bool best_on_top)
{
    const hg_ranked moving = h[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && is_better(h[child + 1], h[child]) == best_on_top) child++;
        if (is_better(moving, h[child]) == best_on_top) break;
        h[i] = h[child];
    }
    h[i] = moving;
}

static void heapify(hg_ranked *h, size_t n, bool best_on_top)
{
    for (size_t i = n / 2; i-- > 0;) sift(h, n, i, best_on_top);
}

/* The k best of key[n] in heap order, the worst first. A later equal has the higher place and
 * loses. */
static void heap_best(hg_ranked *h, const float *key, size_t n, size_t k)
{
    for (size_t i = 0; i < k; i++) h[i] = (hg_ranked){key[i], (int32_t)i};
    heapify(h, k, false);
    for (size_t i = k; i < n; i++) {
        if (!(key[i] > h[0].key)) continue;
        h[0] = (hg_ranked){key[i], (int32_t)i};
        sift(h, k, 0, false);
    }
}

/* Leaves all of the k best, and few others: the k-th best of the blocks' best ones has k logits at
 * or above it. */
static void gather_about(hg_choices *c, size_t k)
{
    find_blocks(c);
    if (k > n_blocks(c) / 2) {
        gather(c, -FLT_MAX);
        return;
    }
    heap_best(c->heap, c->block, n_blocks(c), k);
    gather(c, c->heap[0].key);
}

void hg_cut_top_k(hg_choices *c, size_t k)
{
    if (k == 0 || k >= c->n) return;
    if (c->all) gather_about(c, k);
    if (k >= c->n) return;
    heap_best(c->heap, c->logit, c->n, k);
    memset(c->keep, 0, c->n);
    for (size_t i = 0; i < k; i++) c->keep[c->heap[i].at] = 1;
    keep_marked(c);
}

void hg_choices_rank(hg_choices *c, size_t n, int32_t *at)
{
    const float *key = c->logit;
    if (c->all && n <= n_blocks(c) / 2) {
        /* As gather_about, into the ranking's own room: the set stays as it is. */
        size_t m = 0;
        find_blocks(c);
        heap_best(c->heap, c->block, n_blocks(c), n);
        const float least = c->heap[0].key;
        for (size_t b = 0; b < n_blocks(c); b++) {
            const size_t from = b * HG_CHOICE_BLOCK, left = c->n_vocab - from;
            const size_t to = from + (left < HG_CHOICE_BLOCK ? left : HG_CHOICE_BLOCK);
            for (size_t i = from; c->block[b] >= least && i < to; i++)
                if (c->x[i] >= least) c->heap[m++] = (hg_ranked){c->x[i], (int32_t)i};
        }
        heapify(c->heap, m, true);
        for (size_t i = 0; i < n; i++) {
            at[i] = c->heap[0].at;
            c->heap[0] = c->heap[--m];
            sift(c->heap, m, 0, true);
        }
        return;
    }
    heap_best(c->heap, key, c->n, n);
    for (size_t left = n; left > 0;) {
        at[left - 1] = c->heap[0].at;
        c->heap[0] = c->heap[--left];
        sift(c->heap, left, 0, false);
    }
}

/* ---- a share of the weight ---- */
typedef struct spread {
    float high, scale; /* bucket of a key: (high - key) * scale */
    double mass[BUCKETS];
} spread;

static size_t bucket_of(const spread *s, float key)
{
    const float b = (s->high - key) * s->scale;
    return b < BUCKETS - 1 ? (size_t)b : BUCKETS - 1;
}

/* Spreads the weights of h[0..m) over buckets from the best key to the worst; false when all keys
 * are equal. */
static bool spread_out(spread *s, const hg_choices *c, const hg_ranked *h, size_t m)
{
    float high = h[0].key, low = h[0].key;
    for (size_t i = 1; i < m; i++) {
        high = h[i].key > high ? h[i].key : high;
        low = h[i].key < low ? h[i].key : low;
    }
    const float scale = (BUCKETS - 1) / (high - low);
    if (!(high > low) || !(scale <= FLT_MAX)) return false;
    *s = (spread){.high = high, .scale = scale};
    for (size_t i = 0; i < m; i++) s->mass[bucket_of(s, h[i].key)] += (double)c->w[h[i].at];
    return true;
}

/* One round: marks what lies in better buckets than the one where `share` is reached, and leaves in
 * h what lies in it. *held is the weight of what is marked. */
static size_t narrow(const spread *s, hg_choices *c, size_t m, double share, double *held)
{
    size_t n = 0, b = 0;
    while (b < BUCKETS - 1 && *held + s->mass[b] < share) *held += s->mass[b++];
    for (size_t i = 0; i < m; i++) {
        const hg_ranked r = c->heap[i];
        const size_t at = bucket_of(s, r.key);
        if (at < b) c->keep[r.at] = 1;
        if (at == b) c->heap[n++] = r;
    }
    return n;
}

/* Keeps the fewest of heap[0..m), the best keys first, whose weights reach `share`; one at the
 * least. */
static void keep_share(hg_choices *c, size_t m, double share)
{
    spread s;
    double held = 0.0;
    hg_ranked *h = c->heap;
    bool sorted = false;
    memset(c->keep, 0, c->n);
    while (m > FEW && !sorted) {
        sorted = !spread_out(&s, c, h, m); /* equals lie in the order of ids already */
        if (!sorted) m = narrow(&s, c, m, share, &held);
    }
    if (!sorted) heapify(h, m, true);
    for (size_t i = 0; m > 0; i++) {
        const hg_ranked best = sorted ? h[i] : h[0];
        c->keep[best.at] = 1;
        held += (double)c->w[best.at];
        m--;
        if (held >= share) break;
        if (sorted) continue;
        h[0] = h[m];
        sift(h, m, 0, true);
    }
    keep_marked(c);
}

/* Ranks the set by key, without what is never drawn. */
static size_t rank_by_logit(hg_choices *c)
{
    size_t m = 0;
    for (size_t i = 0; i < c->n; i++)
        if (c->w[i] > 0.0f) c->heap[m++] = (hg_ranked){c->logit[i], (int32_t)i};
    return m;
}

void hg_cut_top_p(hg_choices *c, float share)
{
    hg_choices_weigh(c);
    const double sum = c->sum;
    if (c->all) {
        /* What weighs less than the (1 - share) / n-th part cannot be needed: all of it together
         * weighs less than what may be left out. */
        const double least = (1.0 - (double)share) * sum / (double)c->n;
        float from = hg_choices_max(c) + (float)log(least < 1.0 ? least : 1.0) - 1e-3f;
        if (!(from > hg_choices_max(c) - NEVER)) from = hg_choices_max(c) - NEVER;
        gather(c, from);
        hg_choices_weigh(c);
    }
    keep_share(c, rank_by_logit(c), (double)share * sum);
}

/* The nearest to the expected surprise H: -log p = log Z - x, with x below the best logit. */
void hg_cut_typical(hg_choices *c, float share)
{
    const float max = hg_choices_max(c);
    double h = 0.0;
    hg_cut_below(c, max - NEVER);
    hg_choices_weigh(c);
    const double log_z = log(c->sum);
    for (size_t i = 0; i < c->n; i++)
        h += (double)c->w[i] / c->sum * (log_z - (double)(c->logit[i] - max));
    for (size_t i = 0; i < c->n; i++) {
        const double surprise = log_z - (double)(c->logit[i] - max);
        c->heap[i] = (hg_ranked){-(float)fabs(surprise - h), (int32_t)i};
    }
    keep_share(c, c->n, (double)share * c->sum);
}

void hg_cut_xtc(hg_choices *c, float share)
{
    const float max = hg_choices_max(c);
    size_t n_above = 0, least = 0;
    hg_cut_below(c, max - NEVER);
    hg_choices_weigh(c);
    for (size_t i = 0; i < c->n; i++) {
        c->keep[i] = 1;
        if (!((double)c->w[i] >= (double)share * c->sum)) continue;
        c->keep[i] = 0;
        if (n_above++ == 0 || c->logit[i] <= c->logit[least]) least = i;
    }
    if (n_above == 0) return;
    c->keep[least] = 1;
    keep_marked(c);
}

void hg_cut_best(hg_choices *c)
{
    hg_cut_below(c, hg_choices_max(c));
    c->n = 1;
}
