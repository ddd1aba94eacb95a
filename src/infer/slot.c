/* Slots: where the engine keeps timelines after their request is done. Most prompts begin with a
 * text that was just seen (the conversation so far, a common system prompt), so a new request looks
 * for the cache that shares most of it: the same conversation goes on in place, another one gets a
 * copy of the shared beginning. Cached rows are bit for bit what running the tokens again would
 * give, so reuse never shows in an answer. */
#include "infer/slot.h"
#include "base/clock.h"

hg_status hg_slot_new(hg_slot *s, const hg_model *m, size_t n_ctx, hg_type type, hg_err *e)
{
    if (s->cache.n_ctx != 0) return HG_OK;
    s->tok = m->tokenizer;
    return hg_cache_new(&s->cache, m, n_ctx, type, e);
}

void hg_slot_free(hg_slot *s)
{
    hg_cache_free(&s->cache);
    hg_detok_free(&s->detok);
}

enum {
    SAME_TIMELINE = 64
}; /* tokens that a timeline may end differently and still be gone on with */

/* The free slot whose cache is missed least: an empty one, else the one used longest ago. */
static hg_slot *oldest_free(hg_slot *slots, size_t n, const hg_slot *spare)
{
    hg_slot *best = NULL;
    for (size_t i = 0; i < n; i++) {
        hg_slot *s = &slots[i];
        if (s->work != NULL || s == spare) continue;
        if (best == NULL || s->used_at < best->used_at) best = s;
    }
    return best;
}

/* In place when the prompt goes on where that timeline ends, or nearly: an answer's last words are
 * often split into other tokens when they come back inside a prompt. */
static bool goes_on(const hg_slot *source, size_t shared)
{
    return source->work == NULL && source->cache.n - shared <= SAME_TIMELINE;
}

hg_slot *hg_slots_choose(hg_slot *slots, size_t n_slots, const hg_work *w, const hg_slot **source,
                         size_t *shared)
{
    hg_slot *from = NULL, *to;
    *shared = 0;
    for (size_t i = 0; i < n_slots; i++) {
        const size_t n = hg_cache_shared(&slots[i].cache, w->prompt, w->r.n_prompt - 1);
        if (n < *shared || n == 0) continue;
        if (n == *shared && !goes_on(&slots[i], n)) continue;
        *shared = n;
        from = &slots[i];
    }
    *source = from;
    if (from != NULL && goes_on(from, *shared)) return from;
    to = oldest_free(slots, n_slots, from);
    return to == NULL && from != NULL && from->work == NULL ? from : to;
}

void hg_slot_begin(hg_slot *s, hg_work *w, const hg_slot *source, size_t shared)
{
    if (source != NULL && source != s) hg_cache_copy(&s->cache, &source->cache, shared);
    hg_cache_rewind(&s->cache, shared);
    s->work = w;
    s->n_fed = shared;
    s->is_ahead = false;
    s->logits = NULL;
    hg_sampler_begin(&s->sampler, &w->r.sampling, s->tok);
    hg_detok_begin(&s->detok, &w->stops);
    w->started_s = hg_seconds();
    w->usage.queue_s = w->started_s - w->submitted_s;
    w->usage.prompt_tokens = (uint32_t)w->r.n_prompt;
    w->usage.cached_tokens = (uint32_t)shared;
}

bool hg_slot_lane(hg_slot *s, size_t budget, hg_lane *lane)
{
    const size_t left = s->work->r.n_prompt - s->n_fed;
    *lane = (hg_lane){.cache = &s->cache, .ids = &s->token, .n = 1, .want = HG_WANT_LAST};
    if (left == 0) return true;
    if (budget == 0) return false;
    lane->ids = s->work->prompt + s->n_fed;
    lane->n = left < budget ? left : budget;
    lane->want = lane->n == left ? HG_WANT_LAST : HG_WANT_NONE;
    return true;
}

void hg_slot_draw(hg_slot *s, hg_choices *room)
{
    s->drawn = hg_sampler_next(&s->sampler, room, s->logits, s->cache.ids, s->cache.n,
                               s->work->r.n_prompt, &s->chosen, &s->err);
}
