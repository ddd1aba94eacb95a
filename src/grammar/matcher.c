/* A matcher: one answer on its way through a grammar. After each token it remembers where it may
 * be, so that taking tokens back is forgetting. A mask is put together from the kept ones of all
 * places that the text may be in; with few tokens left it is narrowed to those from which the end
 * can still be reached, by the distance that is kept beside each token. */
#include "grammar/masks.h"

#include <string.h>

typedef struct place {
    size_t first, n; /* of items */
    size_t n_frames, n_returns;
    bool ended; /* an end came */
} place;

/* One part of a mask: its tokens are base + gain tokens from the end. */
typedef struct part {
    hg_mask_node *node;
    uint32_t frame;
    bool owned; /* the node goes with the part */
    int64_t base;
} part;

struct hg_matcher {
    hg_masks *m;
    hg_stacks stacks;
    hg_items items;
    place *places; /* [n_places] after 0, 1, 2 ... tokens */
    size_t n_places, places_cap;
    hg_mask_scratch scratch;
    part *parts;
    size_t n_parts, parts_cap;
    uint32_t *spare; /* [words] */
};

/* Beyond so many parts a mask is made in one walk; a grammar for which that happens again and again
 * (its rules return in circles) is no longer taken apart. */
enum { MANY_PARTS = 64, MANY_TIMES = 4 };

static hg_status no_room(hg_err *e)
{
    return hg_fail(e, HG_E_NOMEM, "no room to hold an answer to its grammar");
}

static const place *here(const hg_matcher *t)
{
    return &t->places[t->n_places - 1];
}

static const hg_item *items_of(const hg_matcher *t, const place *p)
{
    return t->items.at + p->first;
}

/* Remembers the items as the next place. */
static hg_status add_place(hg_matcher *t, const hg_item *in, size_t n, bool ended, hg_err *e)
{
    const size_t first = t->items.n;
    for (size_t i = 0; i < n; i++) {
        HG_TRY(hg_grow(&t->items.at, &t->items.cap, first + i, sizeof *t->items.at, e));
        t->items.at[first + i] = in[i];
    }
    HG_TRY(hg_grow(&t->places, &t->places_cap, t->n_places, sizeof *t->places, e));
    t->items.n = first + n;
    t->places[t->n_places++] = (place){first, n, t->stacks.n_frames, t->stacks.n_returns, ended};
    return HG_OK;
}

hg_status hg_matcher_new(hg_matcher **out, hg_masks *m, hg_err *e)
{
    *out = NULL;
    hg_matcher *t = hg_alloc(1, sizeof *t);
    if (t == NULL) return no_room(e);
    t->m = m;
    const hg_item first = {m->g->root, 0};
    hg_status s = hg_stacks_init(&t->stacks, m->g, m->distance, e);
    if (s == HG_OK) s = add_place(t, &first, 1, false, e);
    t->spare = hg_alloc(m->words, sizeof *t->spare);
    if (s == HG_OK && t->spare == NULL) s = no_room(e);
    if (s != HG_OK) {
        hg_matcher_free(t);
        return s;
    }
    *out = t;
    return HG_OK;
}

void hg_matcher_free(hg_matcher *t)
{
    if (t == NULL) return;
    hg_stacks_free(&t->stacks);
    hg_mask_scratch_free(&t->scratch);
    hg_free(t->items.at);
    hg_free(t->places);
    hg_free(t->parts);
    hg_free(t->spare);
    hg_free(t);
}

static void *copy_of(const void *p, size_t n, size_t cap, size_t size)
{
    void *to = hg_alloc(cap, size);
    if (to != NULL && n > 0) memcpy(to, p, n * size);
    return to;
}

hg_status hg_matcher_clone(hg_matcher **out, const hg_matcher *t, hg_err *e)
{
    hg_matcher *c;
    HG_TRY(hg_matcher_new(&c, t->m, e));
    hg_free(c->stacks.frames);
    hg_free(c->items.at);
    hg_free(c->places);
    hg_stacks *to = &c->stacks;
    const hg_stacks *from = &t->stacks;
    to->frames = copy_of(from->frames, from->n_frames, from->frames_cap, sizeof *to->frames);
    to->returns = copy_of(from->returns, from->n_returns, from->returns_cap, sizeof *to->returns);
    c->items.at = copy_of(t->items.at, t->items.n, t->items.cap, sizeof *c->items.at);
    c->places = copy_of(t->places, t->n_places, t->places_cap, sizeof *c->places);
    to->n_frames = from->n_frames;
    to->frames_cap = from->frames_cap;
    to->n_returns = from->n_returns;
    to->returns_cap = from->returns_cap;
    c->items.n = t->items.n;
    c->items.cap = t->items.cap;
    c->n_places = t->n_places;
    c->places_cap = t->places_cap;
    if (to->frames == NULL || to->returns == NULL || c->items.at == NULL || c->places == NULL) {
        hg_matcher_free(c);
        *out = NULL;
        return no_room(e);
    }
    *out = c;
    return HG_OK;
}

/* ---- masks ---- */
static const int64_t PASSED = INT64_MAX / 4; /* a part that is only a way to others */

static hg_status add_part(hg_matcher *t, hg_mask_node *node, uint32_t frame, int64_t base,
                          bool *is_new, hg_err *e)
{
    *is_new = false;
    for (size_t i = 0; i < t->n_parts; i++) {
        part *p = &t->parts[i];
        if (p->node != node || p->frame != frame) continue;
        if (base < p->base) p->base = base;
        return HG_OK;
    }
    *is_new = true;
    const hg_status s = hg_grow(&t->parts, &t->parts_cap, t->n_parts, sizeof *t->parts, e);
    if (s == HG_OK)
        t->parts[t->n_parts++] = (part){node, frame, !node->kept && base < PASSED, base};
    return s;
}

/* The masks of what follows once the rule of `node` has returned from frame. */
static hg_status add_returns(hg_matcher *t, hg_mask_node *node, uint32_t frame, hg_err *e)
{
    const hg_stacks *s = &t->stacks;
    if (node->n_pops == 0) return HG_OK;
    for (uint32_t i = s->frames[frame].first; i != HG_NO_STATE && t->n_parts <= MANY_PARTS;
         i = s->returns[i].next) {
        const hg_return r = s->returns[i];
        hg_mask_node *then;
        bool is_new;
        if (s->g->states[r.to].is_end) {
            HG_TRY(add_part(t, node, r.frame, PASSED, &is_new, e));
            if (is_new) HG_TRY(add_returns(t, node, r.frame, e));
            continue;
        }
        HG_TRY(hg_masks_get(t->m, &t->scratch, node, r.to, &then, e));
        const int64_t base = (int64_t)t->m->distance[r.to] + s->frames[r.frame].distance;
        const hg_status st = add_part(t, then, r.frame, base, &is_new, e);
        if (st != HG_OK && !then->kept) hg_mask_drop(then);
        HG_TRY(st);
        if (is_new) HG_TRY(add_returns(t, then, r.frame, e));
    }
    return HG_OK;
}

static void drop_parts(hg_matcher *t)
{
    for (size_t i = 0; i < t->n_parts; i++)
        if (t->parts[i].owned) hg_mask_drop(t->parts[i].node);
    t->n_parts = 0;
}

/* Fills parts with everything that may come next. */
static hg_status find_parts(hg_matcher *t, const place *p, hg_err *e)
{
    hg_mask_node *node;
    bool is_new;
    drop_parts(t);
    const bool apart = atomic_load(&t->m->n_tangled) < MANY_TIMES;
    for (size_t i = 0; apart && i < p->n && t->n_parts <= MANY_PARTS; i++) {
        const hg_item it = items_of(t, p)[i];
        HG_TRY(hg_masks_get(t->m, &t->scratch, NULL, it.state, &node, e));
        const int64_t base =
            (int64_t)t->m->distance[it.state] + t->stacks.frames[it.frame].distance;
        const hg_status s = add_part(t, node, it.frame, base, &is_new, e);
        if (s != HG_OK && !node->kept) hg_mask_drop(node);
        HG_TRY(s);
        if (is_new) HG_TRY(add_returns(t, node, it.frame, e));
    }
    if (apart && t->n_parts <= MANY_PARTS) return HG_OK;
    if (apart) atomic_fetch_add(&t->m->n_tangled, 1);
    drop_parts(t);
    HG_TRY(hg_masks_direct(t->m, &t->scratch, &t->stacks, items_of(t, p), p->n, &node, e));
    return add_part(t, node, 0, 0, &is_new, e);
}

static void add_all(const hg_mask_node *n, uint32_t *bits, size_t words)
{
    if (n->bits != NULL)
        for (size_t i = 0; i < words; i++) bits[i] |= n->bits[i];
    for (uint32_t i = 0; i < n->n_ids; i++) bits[n->ids[i] / 32] |= 1u << n->ids[i] % 32;
}

/* Those that are no more than `room` tokens further from the end than the part itself. */
static void add_within(hg_matcher *t, const hg_mask_node *n, int64_t room, uint32_t *bits)
{
    const size_t words = t->m->words;
    if (n->least > n->most || n->least > room) return;
    if (n->most <= room) {
        add_all(n, bits, words);
        return;
    }
    if (n->gain <= room) {
        memset(t->spare, 0, words * sizeof *t->spare);
        add_all(n, t->spare, words);
        for (uint32_t i = 0; i < n->n_others; i++) {
            const int32_t id = n->others[i].id;
            if (n->others[i].gain > room) t->spare[id / 32] &= ~(1u << id % 32);
        }
        for (size_t i = 0; i < words; i++) bits[i] |= t->spare[i];
        return;
    }
    for (uint32_t i = 0; i < n->n_others; i++) {
        const int32_t id = n->others[i].id;
        if (n->others[i].gain <= room) bits[id / 32] |= 1u << id % 32;
    }
}

hg_status hg_matcher_mask(hg_matcher *t, size_t n_left, uint32_t *bits, hg_err *e)
{
    const place *p = here(t);
    const bool may_end = hg_matcher_may_end(t);
    int64_t least = INT64_MAX, reach = INT64_MAX / 2;
    memset(bits, 0, t->m->words * sizeof *bits);
    if (p->ended) return hg_fail(e, HG_E_STATE, "the answer has ended");
    const hg_status s = find_parts(t, p, e);
    if (s != HG_OK) {
        drop_parts(t);
        return s;
    }
    for (size_t i = 0; i < t->n_parts; i++) {
        const part *x = &t->parts[i];
        if (x->node->least > x->node->most || x->base >= PASSED) continue;
        if (x->base + x->node->least < least) least = x->base + x->node->least;
    }
    if (n_left > 0 && n_left < INT32_MAX) reach = (int64_t)n_left - 1;
    if (reach < least && !may_end) reach = least;
    for (size_t i = 0; i < t->n_parts; i++)
        if (t->parts[i].base < PASSED)
            add_within(t, t->parts[i].node, reach - t->parts[i].base, bits);
    drop_parts(t);
    const hg_vocab *v = t->m->v;
    for (size_t i = 0; may_end && i < v->n_ends; i++)
        bits[v->ends[i] / 32] |= 1u << v->ends[i] % 32;
    if (least == INT64_MAX && !may_end)
        return hg_fail(e, HG_E_STATE,
                       "no token of the vocabulary can go on with the grammar from here");
    return HG_OK;
}

/* ---- tokens ---- */

/* Frames that only bytes in the middle of the token knew are forgotten. */
static void cut_unused(hg_matcher *t, const place *before, const size_t (*marks)[2], size_t n)
{
    const hg_stacks *s = &t->stacks;
    uint32_t last = 0;
    for (size_t i = 0; i < s->out.n; i++)
        if (s->out.at[i].frame > last) last = s->out.at[i].frame;
    if (last < before->n_frames) {
        hg_stacks_cut(&t->stacks, before->n_frames, before->n_returns);
        return;
    }
    for (size_t i = 0; i < n; i++)
        if (marks[i][0] > last) {
            hg_stacks_cut(&t->stacks, marks[i][0], marks[i][1]);
            return;
        }
}

hg_status hg_matcher_accept(hg_matcher *t, int32_t id, hg_err *e)
{
    const place p = *here(t);
    const hg_vocab *v = t->m->v;
    hg_stacks *s = &t->stacks;
    size_t marks[HG_MAX_PIECE][2], n = p.n;
    hg_items held = {0};
    hg_status status = HG_OK;
    if (!p.ended && hg_vocab_is_end(v, id) && hg_matcher_may_end(t))
        return add_place(t, NULL, 0, true, e);
    const hg_bytes piece =
        p.ended || id < 0 || (uint32_t)id >= v->n_vocab ? (hg_bytes){0} : v->pieces[id];
    const hg_item *in = items_of(t, &p);
    for (size_t i = 0; i < piece.n && n > 0; i++) {
        hg_stacks_step(s, in, n, (uint8_t)piece.p[i]);
        marks[i][0] = s->n_frames;
        marks[i][1] = s->n_returns;
        n = s->out.n;
        if (i + 1 == piece.n) break;
        /* The step's output becomes the input of the next, which needs its own room for output. */
        const hg_items swap = held;
        held = s->out;
        s->out = swap;
        in = held.at;
    }
    if (s->failed) {
        s->failed = false;
        status = no_room(e);
    } else if (piece.n == 0 || n == 0) {
        status = hg_fail(e, HG_E_STATE, "token %d does not fit the grammar here", id);
    } else {
        cut_unused(t, &p, (const size_t(*)[2])marks, piece.n);
        status = add_place(t, s->out.at, s->out.n, false, e);
    }
    if (status != HG_OK) hg_stacks_cut(s, p.n_frames, p.n_returns);
    hg_free(held.at);
    return status;
}

void hg_matcher_rollback(hg_matcher *t, size_t n)
{
    if (n >= t->n_places) n = t->n_places - 1;
    t->n_places -= n;
    const place *p = here(t);
    t->items.n = p->first + p->n;
    hg_stacks_cut(&t->stacks, p->n_frames, p->n_returns);
}

/* ---- looking ahead ---- */

/* Walking needs a list for its work; what a matcher means does not change. */
static hg_stacks *working(const hg_matcher *t)
{
    union {
        const hg_matcher *in;
        hg_matcher *out;
    } same = {t};
    return &same.out->stacks;
}

bool hg_matcher_may_end(const hg_matcher *t)
{
    const place *p = here(t);
    return !p->ended && hg_stacks_may_end(working(t), items_of(t, p), p->n);
}

bool hg_matcher_is_done(const hg_matcher *t)
{
    bool can[256];
    const place *p = here(t);
    if (p->ended) return true;
    if (!hg_matcher_may_end(t)) return false;
    hg_stacks_bytes(working(t), items_of(t, p), p->n, can);
    return memchr(can, true, sizeof can) == NULL;
}

uint32_t hg_matcher_distance(const hg_matcher *t)
{
    const place *p = here(t);
    return p->ended ? 0 : hg_stacks_distance(&t->stacks, items_of(t, p), p->n);
}

size_t hg_matcher_forced(hg_matcher *t, char *out, size_t cap)
{
    hg_stacks *s = &t->stacks;
    const place *p = here(t);
    const hg_item *in = items_of(t, p);
    hg_items held = {0};
    size_t n = p->n, made = 0;
    bool can[256];
    while (made < cap && !p->ended && !hg_stacks_may_end(s, in, n)) {
        hg_stacks_bytes(s, in, n, can);
        const bool *one = memchr(can, true, sizeof can);
        if (one == NULL || memchr(one + 1, true, (size_t)(can + sizeof can - one - 1)) != NULL)
            break;
        const uint8_t c = (uint8_t)(one - can);
        hg_stacks_step(s, in, n, c);
        if (s->failed || s->out.n == 0) break;
        out[made++] = (char)c;
        const hg_items swap = held;
        held = s->out;
        s->out = swap;
        in = held.at;
        n = held.n;
    }
    s->failed = false;
    hg_free(held.at);
    hg_stacks_cut(s, p->n_frames, p->n_returns);
    return made;
}

/* ---- whole texts ---- */
hg_status hg_grammar_accepts(const hg_grammar *g, hg_bytes text, bool *yes, hg_err *e)
{
    hg_stacks s;
    hg_items held = {0};
    hg_item first = {g->root, 0};
    const hg_item *in = &first;
    size_t n = 1;
    *yes = false;
    HG_TRY(hg_stacks_init(&s, g, NULL, e));
    for (size_t i = 0; i < text.n && n > 0; i++) {
        hg_stacks_step(&s, in, n, (uint8_t)text.p[i]);
        const hg_items swap = held;
        held = s.out;
        s.out = swap;
        in = held.at;
        n = held.n;
    }
    if (n > 0) *yes = hg_stacks_may_end(&s, in, n);
    const bool failed = s.failed;
    hg_free(held.at);
    hg_stacks_free(&s);
    return failed ? no_room(e) : HG_OK;
}
