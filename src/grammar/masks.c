/* Making masks: one walk over the tree of tokens, following the grammar from byte to byte, so that
 * what many tokens begin with is followed once and a dead end leaves out all that begins with it.
 */
#include "grammar/masks.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS = 64 };

static hg_status no_room(hg_err *e)
{
    return hg_fail(e, HG_E_NOMEM, "no room for the masks of a grammar");
}

/* ---- scratch ---- */
static hg_status scratch_ready(hg_mask_scratch *w, const hg_masks *m, hg_err *e)
{
    if (w->ready) return HG_OK;
    HG_TRY(hg_stacks_init(&w->stacks, m->g, m->distance, e));
    w->hit = hg_alloc((m->v->n_tokens + 31) / 32 + 1, sizeof *w->hit);
    w->gains = hg_alloc((size_t)m->v->n_tokens + 1, sizeof *w->gains);
    w->rows = hg_alloc((size_t)ROWS * 256, sizeof *w->rows);
    w->row_of = hg_alloc(ROWS, sizeof *w->row_of);
    w->ready = true; /* free takes what there is */
    if (w->hit == NULL || w->gains == NULL || w->rows == NULL || w->row_of == NULL) {
        hg_mask_scratch_free(w);
        return no_room(e);
    }
    for (size_t i = 0; i < ROWS; i++) w->row_of[i] = HG_NO_STATE;
    return HG_OK;
}

void hg_mask_scratch_free(hg_mask_scratch *w)
{
    if (!w->ready) return;
    hg_stacks_free(&w->stacks);
    hg_free(w->items.at);
    hg_free(w->hit);
    hg_free(w->gains);
    hg_free(w->rows);
    hg_free(w->row_of);
    hg_free(w->pops);
    *w = (hg_mask_scratch){0};
}

/* The steps of one state, spread out: most of a walk is in a few states. */
static const uint32_t *row(hg_mask_scratch *w, const hg_grammar *g, uint32_t state)
{
    uint32_t *r = w->rows + (size_t)(state % ROWS) * 256;
    if (w->row_of[state % ROWS] == state) return r;
    const hg_state *q = &g->states[state];
    for (unsigned c = 0; c < 256; c++) r[c] = HG_NO_STATE;
    for (uint32_t i = 0; i < q->n_edges; i++)
        for (unsigned c = g->edges[q->edge + i].lo; c <= g->edges[q->edge + i].hi; c++)
            r[c] = g->edges[q->edge + i].to;
    w->row_of[state % ROWS] = state;
    return r;
}

/* ---- the walk ---- */
typedef struct level {
    size_t first, n; /* of scratch->items */
    size_t n_frames, n_returns;
} level;

typedef struct walk {
    const hg_masks *m;
    hg_mask_scratch *w;
    hg_stacks *stacks;
    bool below; /* frame 0 hides what is below; else it is where the text ends */
    int64_t base;
    level levels[HG_MAX_PIECE + 2];
    const uint32_t *in; /* [n_in] where `state` comes in, in the tree's order */
    uint32_t n_in, at, state;
    uint32_t n_hit;
    bool failed;
} walk;

static void take_tokens(walk *k, uint32_t node, const level *at)
{
    const hg_vocab *v = k->m->v;
    const uint32_t first = v->nodes[node].token, end = v->nodes[node + 1].token;
    if (first == end) return;
    const uint32_t d = hg_stacks_distance(k->stacks, k->w->items.at + at->first, at->n);
    const int32_t gain = (int32_t)((int64_t)d - k->base);
    for (uint32_t t = first; t < end; t++) {
        uint32_t *word = &k->w->hit[t / 32];
        const uint32_t bit = 1u << t % 32;
        if ((*word & bit) == 0) {
            *word |= bit;
            k->n_hit++;
            k->w->gains[t] = gain;
        } else if (gain < k->w->gains[t]) {
            k->w->gains[t] = gain;
        }
    }
}

/* Whether the rule may have ended: what follows in this subtree depends on what is below. */
static void take_pop(walk *k, uint32_t node, const level *at)
{
    hg_mask_scratch *w = k->w;
    if (!k->below || k->m->v->nodes[node].skip == node + 1) return;
    bool accept = false;
    for (size_t i = 0; i < at->n; i++)
        accept |= k->m->g->states[w->items.at[at->first + i].state].accept;
    if (!accept || !hg_stacks_may_end(k->stacks, w->items.at + at->first, at->n)) return;
    if (w->n_pops >= w->pops_cap &&
        hg_grow(&w->pops, &w->pops_cap, w->n_pops, sizeof *w->pops, NULL) != HG_OK) {
        k->failed = true;
        return;
    }
    w->pops[w->n_pops++] = node;
}

static bool push(walk *k, hg_item it, size_t at)
{
    hg_items *list = &k->w->items;
    if (at >= list->cap && hg_grow(&list->at, &list->cap, at, sizeof *list->at, NULL) != HG_OK) {
        k->failed = true;
        return false;
    }
    list->at[at] = it;
    return true;
}

/* From one level to the next by a byte; false when nothing is left. */
static bool step(walk *k, const level *from, level *to, uint8_t c)
{
    const hg_item *in = k->w->items.at + from->first;
    hg_stacks *s = k->stacks;
    *to = (level){from->first + from->n, 0, from->n_frames, from->n_returns};
    hg_stacks_cut(s, from->n_frames, from->n_returns);
    if (from->n == 0) return false;
    if (from->n == 1 && s->g->states[in->state].n_calls == 0 &&
        (!s->g->states[in->state].accept || in->frame == 0)) {
        const hg_item next = {row(k->w, s->g, in->state)[c], in->frame};
        if (next.state == HG_NO_STATE) return false;
        if (!s->g->states[next.state].is_end || next.frame == 0) {
            to->n = 1;
            return push(k, next, to->first);
        }
    }
    hg_stacks_step(s, in, from->n, c);
    if (s->failed) k->failed = true;
    for (size_t i = 0; i < s->out.n; i++)
        if (!push(k, s->out.at[i], to->first + i)) return false;
    to->n = s->out.n;
    to->n_frames = s->n_frames;
    to->n_returns = s->n_returns;
    return to->n > 0;
}

static void come_in(walk *k, uint32_t node, level *at)
{
    k->at++;
    for (size_t i = 0; i < at->n; i++) {
        const hg_item it = k->w->items.at[at->first + i];
        if (it.state == k->state && it.frame == 0) return;
    }
    if (push(k, (hg_item){k->state, 0}, at->first + at->n)) at->n++;
    take_pop(k, node, at);
}

static void walk_below(walk *k, uint32_t top);

/* Begins below where nothing else goes on; `from` says what room is taken. */
static void walk_in(walk *k, const level *from)
{
    const uint32_t node = k->in[k->at];
    level *at = &k->levels[k->m->v->nodes[node].depth];
    *at = (level){from->first, 0, from->n_frames, from->n_returns};
    come_in(k, node, at);
    walk_below(k, node);
}

/* All tokens below a node of the tree, whose items are on its level. */
static void walk_below(walk *k, uint32_t top)
{
    const hg_trie_node *nodes = k->m->v->nodes;
    for (uint32_t i = top + 1; i < nodes[top].skip && !k->failed;) {
        level *at = &k->levels[nodes[i].depth];
        const bool comes = k->at < k->n_in && k->in[k->at] == i;
        if (step(k, at - 1, at, nodes[i].byte)) take_tokens(k, i, at);
        if (comes)
            come_in(k, i, at);
        else if (at->n > 0)
            take_pop(k, i, at);
        if (at->n > 0) {
            i++;
            continue;
        }
        const level dead = *at;
        while (k->at < k->n_in && k->in[k->at] < nodes[i].skip && !k->failed) walk_in(k, &dead);
        i = nodes[i].skip;
    }
}

/* ---- keeping ---- */

/* The first token at or behind t that was hit, or n_tokens. */
static uint32_t next_hit(const walk *k, uint32_t t)
{
    const uint32_t n = k->m->v->n_tokens;
    if (t >= n) return n;
    uint32_t word = k->w->hit[t / 32] >> t % 32;
    if (word != 0) return t + (uint32_t)__builtin_ctz(word);
    for (uint32_t i = t / 32 + 1; i < (n + 31) / 32; i++)
        if (k->w->hit[i] != 0) return 32 * i + (uint32_t)__builtin_ctz(k->w->hit[i]);
    return n;
}

static int32_t commonest(const walk *k)
{
    enum { SPAN = 256 };
    uint32_t count[SPAN] = {0};
    int32_t best = 0;
    for (uint32_t t = next_hit(k, 0); t < k->m->v->n_tokens; t = next_hit(k, t + 1)) {
        const int32_t g = k->w->gains[t] + SPAN / 2;
        if (g >= 0 && g < SPAN) count[g]++;
    }
    for (int32_t g = 0; g < SPAN; g++)
        if (count[g] > count[best]) best = g;
    return best - SPAN / 2;
}

static bool node_rooms(hg_mask_node *n, const walk *k, bool few, uint32_t n_others)
{
    const hg_mask_scratch *w = k->w;
    if (few)
        n->ids = hg_alloc(k->n_hit, sizeof *n->ids);
    else
        n->bits = hg_alloc(k->m->words, sizeof *n->bits);
    n->pops = hg_alloc(w->n_pops, sizeof *n->pops);
    n->others = hg_alloc(n_others, sizeof *n->others);
    n->bytes = sizeof *n + (few ? k->n_hit : k->m->words) * 4 + w->n_pops * sizeof *n->pops +
               n_others * sizeof *n->others;
    return (n->ids != NULL || n->bits != NULL) && n->pops != NULL && n->others != NULL;
}

static hg_status node_new(hg_mask_node **out, walk *k, uint32_t state, hg_err *e)
{
    const hg_vocab *v = k->m->v;
    const bool few = (uint64_t)k->n_hit * 32 < v->n_vocab;
    const int32_t gain = commonest(k);
    uint32_t n_others = 0;
    for (uint32_t t = next_hit(k, 0); t < v->n_tokens; t = next_hit(k, t + 1))
        n_others += k->w->gains[t] != gain;
    hg_mask_node *n = hg_alloc(1, sizeof *n);
    if (n == NULL || !node_rooms(n, k, few, n_others)) {
        hg_mask_drop(n);
        return no_room(e);
    }
    n->state = state;
    n->gain = gain;
    n->least = INT32_MAX;
    n->most = INT32_MIN;
    for (uint32_t t = next_hit(k, 0); t < v->n_tokens; t = next_hit(k, t + 1)) {
        const int32_t id = v->tokens[t], g = k->w->gains[t];
        if (few)
            n->ids[n->n_ids++] = id;
        else
            n->bits[id / 32] |= 1u << id % 32;
        if (g != gain) n->others[n->n_others++] = (hg_gain){id, g};
        if (g < n->least) n->least = g;
        if (g > n->most) n->most = g;
    }
    if (k->w->n_pops > 0) memcpy(n->pops, k->w->pops, k->w->n_pops * sizeof *n->pops);
    n->n_pops = (uint32_t)k->w->n_pops;
    *out = n;
    return HG_OK;
}

void hg_mask_drop(hg_mask_node *n)
{
    if (n == NULL) return;
    hg_free(n->bits);
    hg_free(n->ids);
    hg_free(n->pops);
    hg_free(n->others);
    hg_free(n);
}

static void walk_begin(walk *k, hg_masks *m, hg_mask_scratch *w, hg_stacks *stacks)
{
    *k = (walk){.m = m, .w = w, .stacks = stacks};
    memset(w->hit, 0, ((m->v->n_tokens + 31) / 32) * sizeof *w->hit);
    w->n_pops = 0;
}

static hg_status make(hg_masks *m, hg_mask_scratch *w, const hg_mask_node *parent, uint32_t state,
                      hg_mask_node **out, hg_err *e)
{
    static const uint32_t whole = 0;
    walk *k = hg_alloc(1, sizeof *k);
    HG_TRY(scratch_ready(w, m, e));
    if (k == NULL) return no_room(e);
    walk_begin(k, m, w, &w->stacks);
    k->below = true;
    k->base = m->distance[state];
    k->state = state;
    k->in = parent == NULL ? &whole : parent->pops;
    k->n_in = parent == NULL ? 1 : parent->n_pops;
    hg_stacks_cut(k->stacks, 1, 0);
    while (k->at < k->n_in && !k->failed) walk_in(k, &(level){0, 0, 1, 0});
    const hg_status s = k->failed ? no_room(e) : node_new(out, k, state, e);
    hg_free(k);
    return s;
}

hg_status hg_masks_direct(hg_masks *m, hg_mask_scratch *w, hg_stacks *stacks, const hg_item *in,
                          size_t n, hg_mask_node **out, hg_err *e)
{
    walk *k = hg_alloc(1, sizeof *k);
    const size_t n_frames = stacks->n_frames, n_returns = stacks->n_returns;
    HG_TRY(scratch_ready(w, m, e));
    if (k == NULL) return no_room(e);
    walk_begin(k, m, w, stacks);
    k->levels[0] = (level){0, n, n_frames, n_returns};
    for (size_t i = 0; i < n && push(k, in[i], i); i++) {
    }
    if (!k->failed) walk_below(k, 0);
    hg_stacks_cut(stacks, n_frames, n_returns);
    const hg_status s = k->failed ? no_room(e) : node_new(out, k, HG_NO_STATE, e);
    hg_free(k);
    return s;
}

/* ---- looking up ---- */
static hg_mask_node *find(hg_mask_node *_Atomic *list, uint32_t state)
{
    hg_mask_node *n = atomic_load_explicit(list, memory_order_acquire);
    while (n != NULL && n->state != state) n = atomic_load_explicit(&n->next, memory_order_acquire);
    return n;
}

/* Puts n first, unless another thread was faster; gives the one that is there. */
static hg_mask_node *publish(hg_mask_node *_Atomic *list, hg_mask_node *n)
{
    hg_mask_node *head = atomic_load_explicit(list, memory_order_acquire);
    do {
        hg_mask_node *other = find(list, n->state);
        if (other != NULL) {
            hg_mask_drop(n);
            return other;
        }
        atomic_store_explicit(&n->next, head, memory_order_relaxed);
    } while (!atomic_compare_exchange_weak_explicit(list, &head, n, memory_order_acq_rel,
                                                    memory_order_acquire));
    return n;
}

hg_status hg_masks_get(hg_masks *m, hg_mask_scratch *w, hg_mask_node *parent, uint32_t state,
                       hg_mask_node **out, hg_err *e)
{
    state = m->g->states[state].alike;
    hg_mask_node *_Atomic *list = parent == NULL ? &m->roots[state] : &parent->child;
    *out = find(list, state);
    if (*out != NULL) return HG_OK;
    HG_TRY(make(m, w, parent, state, out, e));
    const size_t size = (*out)->bytes;
    if ((parent != NULL && !parent->kept) || atomic_load(&m->bytes) + size > m->max_bytes)
        return HG_OK;
    atomic_fetch_add(&m->bytes, size);
    (*out)->kept = true;
    hg_mask_node *there = publish(list, *out);
    if (there != *out) atomic_fetch_sub(&m->bytes, size);
    *out = there;
    return HG_OK;
}

static void drop_list(hg_mask_node *n)
{
    while (n != NULL) {
        hg_mask_node *next = atomic_load(&n->next);
        drop_list(atomic_load(&n->child));
        hg_mask_drop(n);
        n = next;
    }
}

/* ---- distances in tokens ---- */

/* The fewest tokens that spell the bytes of the shortest way, as far as it goes without a call. */
static uint32_t spell(const hg_masks *m, uint32_t state)
{
    const hg_grammar *g = m->g;
    uint32_t node = 0, best = HG_DISTANCE_FAR;
    while (g->states[state].way == HG_WAY_EDGE) {
        const hg_edge *x = &g->edges[g->states[state].way_at];
        uint32_t next = 0;
        for (unsigned c = x->lo; c <= x->hi && next == 0; c++)
            next = hg_vocab_child(m->v, node, (uint8_t)c);
        if (next == 0) break;
        node = next;
        state = x->to;
        if (m->v->nodes[node].token == m->v->nodes[node + 1].token) continue;
        const uint32_t d = hg_distance_sum(1, m->distance[state]);
        if (d < best) best = d;
    }
    return best;
}

void hg_masks_measure(hg_masks *m)
{
    const hg_grammar *g = m->g;
    for (size_t i = 0; i < g->n_states; i++) m->distance[i] = HG_DISTANCE_FAR;
    for (size_t i = 0; i < g->n_order; i++) {
        const uint32_t q = g->order[i];
        if (g->states[q].way == HG_WAY_HERE) {
            m->distance[q] = 0;
        } else if (g->states[q].way == HG_WAY_CALL) {
            const hg_call *c = &g->calls[g->states[q].way_at];
            m->distance[q] = hg_distance_sum(m->distance[c->start], m->distance[c->to]);
        } else {
            m->distance[q] = spell(m, q);
        }
    }
}

hg_status hg_masks_new(hg_masks **out, const hg_grammar *g, const hg_vocab *v, size_t max_bytes,
                       hg_err *e)
{
    *out = NULL;
    hg_masks *m = hg_alloc(1, sizeof *m);
    if (m == NULL) return no_room(e);
    m->g = hg_grammar_share(g);
    m->v = v;
    m->max_bytes = max_bytes;
    m->words = ((size_t)v->n_vocab + 31) / 32;
    m->distance = hg_alloc(g->n_states, sizeof *m->distance);
    m->roots = hg_alloc(g->n_states, sizeof *m->roots);
    if (m->distance == NULL || m->roots == NULL) {
        hg_masks_free(m);
        return no_room(e);
    }
    hg_masks_measure(m);
    *out = m;
    return HG_OK;
}

void hg_masks_free(hg_masks *m)
{
    if (m == NULL) return;
    hg_masks_warm_end(m);
    for (size_t i = 0; m->roots != NULL && i < m->g->n_states; i++)
        drop_list(atomic_load(&m->roots[i]));
    hg_free(m->roots);
    hg_free(m->distance);
    hg_grammar_free(m->g);
    hg_free(m);
}

size_t hg_masks_bytes(const hg_masks *m)
{
    return atomic_load(&m->bytes);
}
