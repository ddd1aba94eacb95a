/* Following a grammar byte by byte. Each step works off a list of places; a call puts the called
 * rule's beginning on it, a rule's end puts the places it returns to. What a call could return at
 * once was already stepped over when the grammar was built, so a frame's returns are complete
 * before anything returns to them. */
#include "grammar/stacks.h"

#include <string.h>

hg_status hg_stacks_init(hg_stacks *s, const hg_grammar *g, const uint32_t *distance, hg_err *e)
{
    *s = (hg_stacks){.g = g, .distance = distance};
    s->seen_mask = 255;
    s->seen = hg_alloc(s->seen_mask + 1, sizeof *s->seen);
    s->stamp = hg_alloc(s->seen_mask + 1, sizeof *s->stamp);
    if (s->seen == NULL || s->stamp == NULL ||
        hg_grow(&s->frames, &s->frames_cap, 0, sizeof *s->frames, NULL) != HG_OK) {
        hg_stacks_free(s);
        return hg_fail(e, HG_E_NOMEM, "no room to follow a grammar");
    }
    s->frames[0] = (hg_frame){HG_NO_STATE, HG_NO_STATE, 0};
    s->n_frames = 1;
    return HG_OK;
}

void hg_stacks_free(hg_stacks *s)
{
    hg_free(s->frames);
    hg_free(s->returns);
    hg_free(s->out.at);
    hg_free(s->work);
    hg_free(s->seen);
    hg_free(s->stamp);
    *s = (hg_stacks){0};
}

void hg_stacks_cut(hg_stacks *s, size_t n_frames, size_t n_returns)
{
    s->n_frames = n_frames;
    s->n_returns = n_returns;
}

/* ---- what was seen in this step ---- */
static void new_round(hg_stacks *s)
{
    s->n_seen = 0;
    if (++s->round == 0) {
        memset(s->stamp, 0, (s->seen_mask + 1) * sizeof *s->stamp);
        s->round = 1;
    }
}

static size_t slot(uint64_t key, size_t mask)
{
    return (size_t)((key * 0x9E3779B97F4A7C15u) >> 29) & mask;
}

static void widen(hg_stacks *s)
{
    const size_t mask = 2 * s->seen_mask + 1;
    uint64_t *seen = hg_alloc(mask + 1, sizeof *seen);
    uint32_t *stamp = hg_alloc(mask + 1, sizeof *stamp);
    if (seen == NULL || stamp == NULL) {
        hg_free(seen);
        hg_free(stamp);
        s->failed = true;
        return;
    }
    for (size_t i = 0; i <= s->seen_mask; i++) {
        if (s->stamp[i] != s->round) continue;
        size_t at = slot(s->seen[i], mask);
        while (stamp[at] == s->round) at = (at + 1) & mask;
        seen[at] = s->seen[i];
        stamp[at] = s->round;
    }
    hg_free(s->seen);
    hg_free(s->stamp);
    s->seen = seen;
    s->stamp = stamp;
    s->seen_mask = mask;
}

enum { SEEN_WORK, SEEN_OUT };

/* False when it was there already. */
static bool see(hg_stacks *s, hg_item it, unsigned list)
{
    const uint64_t key = (uint64_t)it.state << 32 | (uint64_t)it.frame << 1 | list;
    if (2 * s->n_seen > s->seen_mask) widen(s);
    if (s->failed) return false;
    size_t at = slot(key, s->seen_mask);
    for (; s->stamp[at] == s->round; at = (at + 1) & s->seen_mask)
        if (s->seen[at] == key) return false;
    s->seen[at] = key;
    s->stamp[at] = s->round;
    s->n_seen++;
    return true;
}

static void put(hg_stacks *s, hg_items *list, hg_item it)
{
    if (list->n >= list->cap &&
        hg_grow(&list->at, &list->cap, list->n, sizeof *list->at, NULL) != HG_OK) {
        s->failed = true;
        return;
    }
    list->at[list->n++] = it;
}

static void put_work(hg_stacks *s, hg_item it)
{
    if (!see(s, it, SEEN_WORK)) return;
    if (s->n_work >= s->work_cap &&
        hg_grow(&s->work, &s->work_cap, s->n_work, sizeof *s->work, NULL) != HG_OK) {
        s->failed = true;
        return;
    }
    s->work[s->n_work++] = it;
}

static void put_out(hg_stacks *s, hg_item it)
{
    if (see(s, it, SEEN_OUT)) put(s, &s->out, it);
}

/* ---- frames ---- */
static void add_return(hg_stacks *s, uint32_t frame, uint32_t to, uint32_t behind)
{
    hg_frame *f = &s->frames[frame];
    for (uint32_t i = f->first; i != HG_NO_STATE; i = s->returns[i].next)
        if (s->returns[i].to == to && s->returns[i].frame == behind) return;
    if (s->n_returns >= s->returns_cap &&
        hg_grow(&s->returns, &s->returns_cap, s->n_returns, sizeof *s->returns, NULL) != HG_OK) {
        s->failed = true;
        return;
    }
    s->returns[s->n_returns] = (hg_return){to, behind, f->first};
    f->first = (uint32_t)s->n_returns++;
}

/* The frame of a rule called at this place; HG_NO_STATE when memory ended. */
static uint32_t frame_of(hg_stacks *s, uint32_t start, size_t first, bool *is_new)
{
    *is_new = false;
    for (size_t i = first; i < s->n_frames; i++)
        if (s->frames[i].start == start) return (uint32_t)i;
    if (s->n_frames >= HG_MAX_FRAMES ||
        hg_grow(&s->frames, &s->frames_cap, s->n_frames, sizeof *s->frames, NULL) != HG_OK) {
        s->failed = true;
        return HG_NO_STATE;
    }
    s->frames[s->n_frames] = (hg_frame){start, HG_NO_STATE, HG_DISTANCE_FAR};
    *is_new = true;
    return (uint32_t)s->n_frames++;
}

/* A call that is the last thing its rule does returns to where the rule itself returns: a list that
 * is written as item, then list, does not pile up frames. */
static void call(hg_stacks *s, hg_item from, const hg_call *c, size_t first)
{
    bool is_new;
    const uint32_t f = frame_of(s, c->start, first, &is_new);
    if (f == HG_NO_STATE) return;
    if (s->g->states[c->to].is_end && from.frame != 0 && from.frame < first) {
        for (uint32_t i = s->frames[from.frame].first; i != HG_NO_STATE && !s->failed;
             i = s->returns[i].next)
            add_return(s, f, s->returns[i].to, s->returns[i].frame);
    } else {
        add_return(s, f, c->to, from.frame);
    }
    if (is_new) put_work(s, (hg_item){c->start, f});
}

static void work_off(hg_stacks *s, uint8_t c)
{
    const hg_grammar *g = s->g;
    const size_t first = s->n_frames;
    while (s->n_work > 0 && !s->failed) {
        const hg_item it = s->work[--s->n_work];
        const hg_state *q = &g->states[it.state];
        const uint32_t to = hg_state_next(g, q, c);
        if (to != HG_NO_STATE) put_out(s, (hg_item){to, it.frame});
        for (uint32_t i = 0; i < q->n_calls && !s->failed; i++)
            call(s, it, &g->calls[q->call + i], first);
        if (!q->accept || it.frame >= first) continue; /* a new frame cannot be left yet */
        for (uint32_t i = s->frames[it.frame].first; i != HG_NO_STATE; i = s->returns[i].next)
            put_work(s, (hg_item){s->returns[i].to, s->returns[i].frame});
    }
}

/* Items that are at their rule's end and cannot go on in it return at once, so that equal places
 * look equal. */
static void return_ended(hg_stacks *s)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->out.n && !s->failed; i++) {
        const hg_item it = s->out.at[i];
        if (!s->g->states[it.state].is_end || it.frame == 0) {
            s->out.at[kept++] = it;
            continue;
        }
        for (uint32_t k = s->frames[it.frame].first; k != HG_NO_STATE; k = s->returns[k].next)
            put_out(s, (hg_item){s->returns[k].to, s->returns[k].frame});
    }
    s->out.n = kept;
}

/* New frames may return to each other (left recursion), hence the rounds. */
static void measure(hg_stacks *s, size_t first)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t f = first; f < s->n_frames; f++)
            for (uint32_t i = s->frames[f].first; i != HG_NO_STATE; i = s->returns[i].next) {
                const hg_return *r = &s->returns[i];
                const uint32_t d =
                    hg_distance_sum(s->distance[r->to], s->frames[r->frame].distance);
                if (d >= s->frames[f].distance) continue;
                s->frames[f].distance = d;
                changed = true;
            }
    }
}

void hg_stacks_step(hg_stacks *s, const hg_item *in, size_t n, uint8_t c)
{
    const size_t first = s->n_frames;
    s->out.n = 0;
    if (s->failed) return;
    new_round(s);
    s->n_work = 0;
    for (size_t i = 0; i < n; i++) put_work(s, in[i]);
    work_off(s, c);
    return_ended(s);
    if (s->distance != NULL && s->n_frames > first) measure(s, first);
    if (s->failed) s->out.n = 0;
}

bool hg_stacks_may_end(hg_stacks *s, const hg_item *in, size_t n)
{
    bool end = false;
    new_round(s);
    s->n_work = 0;
    for (size_t i = 0; i < n; i++)
        if (s->g->states[in[i].state].accept) put_work(s, in[i]);
    while (s->n_work > 0 && !end && !s->failed) {
        const hg_item it = s->work[--s->n_work];
        if (!s->g->states[it.state].accept) continue;
        if (it.frame == 0) end = true;
        for (uint32_t i = s->frames[it.frame].first; i != HG_NO_STATE; i = s->returns[i].next)
            put_work(s, (hg_item){s->returns[i].to, s->returns[i].frame});
    }
    s->n_work = 0;
    return end;
}

void hg_stacks_bytes(hg_stacks *s, const hg_item *in, size_t n, bool can[256])
{
    const hg_grammar *g = s->g;
    memset(can, 0, 256 * sizeof *can);
    new_round(s);
    s->n_work = 0;
    for (size_t i = 0; i < n; i++) put_work(s, in[i]);
    while (s->n_work > 0 && !s->failed) {
        const hg_item it = s->work[--s->n_work];
        const hg_state *q = &g->states[it.state];
        for (uint32_t i = 0; i < q->n_edges; i++)
            for (unsigned c = g->edges[q->edge + i].lo; c <= g->edges[q->edge + i].hi; c++)
                can[c] = true;
        /* A called rule's beginning never ends here, so whose frame it is does not matter. */
        for (uint32_t i = 0; i < q->n_calls; i++)
            put_work(s, (hg_item){g->calls[q->call + i].start, 0});
        if (!q->accept) continue;
        for (uint32_t i = s->frames[it.frame].first; i != HG_NO_STATE; i = s->returns[i].next)
            put_work(s, (hg_item){s->returns[i].to, s->returns[i].frame});
    }
}

uint32_t hg_stacks_distance(const hg_stacks *s, const hg_item *in, size_t n)
{
    uint32_t best = HG_DISTANCE_FAR;
    for (size_t i = 0; i < n; i++) {
        const uint32_t d =
            hg_distance_sum(s->distance[in[i].state], s->frames[in[i].frame].distance);
        if (d < best) best = d;
    }
    return best;
}
