/* Slots: where the engine keeps timelines after their request is done. Most prompts begin with a
 * text that was just seen (the conversation so far, a common system prompt), so a new request looks
 * for the cache that shares most of it: the same conversation goes on in place, another one gets a
 * copy of the shared beginning. Cached rows are bit for bit what running the tokens again would
 * give, so reuse never shows in an answer. A beginning that a ring of tiles no longer reaches is
 * read again. */
#include "infer/slot.h"
#include "base/clock.h"

#include <string.h>

uint64_t hg_slots_untouched(const hg_slot *slots, size_t n_slots)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n_slots; i++)
        sum += hg_cache_untouched(&slots[i].cache) + hg_cache_untouched(&slots[i].draft);
    return sum;
}

void hg_slot_free(hg_slot *s)
{
    hg_cache_free(&s->cache);
    hg_cache_free(&s->draft);
    hg_lookup_free(&s->lookup);
    hg_detok_free(&s->detok);
}

/* Tokens that a timeline may end differently and still be gone on with. */
enum { SAME_TIMELINE = HG_CACHE_SPARE };
_Static_assert((int)HG_MAX_GUESS < (int)HG_CACHE_SPARE, "guesses can be taken back");

/* The free slot whose cache is missed least: an empty one, else the one used longest ago. */
static hg_slot *oldest_free(hg_slot *slots, size_t n, bool made_only, const hg_slot *spare)
{
    hg_slot *best = NULL;
    for (size_t i = 0; i < n; i++) {
        hg_slot *s = &slots[i];
        if (s->work != NULL || s == spare || (made_only && s->cache.n_ctx == 0)) continue;
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

hg_slot *hg_slots_choose(hg_slot *slots, size_t n_slots, bool made_only, const hg_work *w,
                         const hg_slot **source, size_t *shared)
{
    hg_slot *from = NULL, *to;
    *shared = 0;
    for (size_t i = 0; i < n_slots && !w->r.echo; i++) {
        if (slots[i].cache.adapters != w->adapters || slots[i].owner != w->r.owner) continue;
        const hg_cache *c = &slots[i].cache;
        const size_t n = hg_cache_reach(c, hg_cache_shared(c, w->prompt, w->r.n_prompt - 1));
        if (n < *shared || n == 0) continue;
        if (n == *shared && !goes_on(&slots[i], n)) continue;
        *shared = n;
        from = &slots[i];
    }
    *source = from;
    if (from != NULL && goes_on(from, *shared)) return from;
    to = oldest_free(slots, n_slots, made_only, from);
    return to == NULL && from != NULL && from->work == NULL ? from : to;
}

static hg_status begin_lookup(hg_slot *s, const hg_work *w, hg_err *e)
{
    if ((w->r.speculate & HG_SPECULATE_LOOKUP) == 0) return HG_OK;
    HG_TRY(hg_lookup_begin(&s->lookup, s->cache.n_ctx, e));
    for (size_t i = 0; i < w->r.n_prompt; i++) hg_lookup_put(&s->lookup, w->prompt[i]);
    return HG_OK;
}

/* What only some requests need. */
static hg_status begin_extras(hg_slot *s, hg_work *w, hg_err *e)
{
    HG_TRY(begin_lookup(s, w, e));
    s->constraint = w->constraint;
    w->constraint = NULL;
    return HG_OK;
}

hg_status hg_slot_begin(hg_slot *s, hg_work *w, const hg_slot *source, size_t shared, hg_err *e)
{
    HG_TRY(begin_extras(s, w, e));
    if (source != NULL && source != s) hg_cache_copy(&s->cache, &source->cache, shared);
    (void)hg_cache_rewind(&s->cache, shared);
    s->cache.adapters = w->adapters;
    if (s->owner != w->r.owner) (void)hg_cache_rewind(&s->draft, 0);
    s->owner = w->r.owner;
    (void)hg_cache_rewind(&s->draft, hg_cache_shared(&s->draft, w->prompt, w->r.n_prompt));
    s->work = w;
    s->n_fed = shared;
    s->n_ahead = 0;
    s->is_ahead = s->is_done = false;
    s->logits = NULL;
    hg_guess_begin(&s->rate_lookup);
    hg_guess_begin(&s->rate_draft);
    hg_sampler_begin(&s->sampler, &w->r.sampling, s->tok);
    s->sampler.constraint = s->constraint;
    if (s->constraint == NULL) {
        s->sampler.ends = s->ends->id;
        s->sampler.n_ends = s->ends->n;
        s->sampler.n_least = w->r.min_tokens;
    }
    hg_detok_begin(&s->detok, &w->stops);
    w->started_s = hg_seconds();
    w->usage.queue_s = w->started_s - w->submitted_s;
    w->usage.prompt_tokens = (uint32_t)w->r.n_prompt;
    w->usage.cached_tokens = (uint32_t)shared;
    return HG_OK;
}

void hg_slot_shift(hg_slot *s)
{
    hg_work *w = s->work;
    const size_t n = s->cache.n, keep = w->r.n_keep;
    const size_t drop = (n - keep + 1) / 2, rest = n - keep - drop;
    memcpy(w->prompt, s->cache.ids, keep * sizeof *w->prompt);
    memcpy(w->prompt + keep, s->cache.ids + keep + drop, rest * sizeof *w->prompt);
    w->prompt[keep + rest] = s->ahead[0];
    w->r.n_prompt = keep + rest + 1;
    w->r.echo = false; /* it was told */
    if (w->n_given > keep) w->n_given = w->n_given > keep + drop ? w->n_given - drop : keep;
    s->n_fed = hg_cache_rewind(&s->cache, keep);
    (void)hg_cache_rewind(&s->draft, hg_cache_shared(&s->draft, w->prompt, w->r.n_prompt));
    (void)begin_lookup(s, w, NULL); /* its room is there */
    s->n_ahead = 0;
    s->is_ahead = false;
}

void hg_slot_release(hg_slot *s)
{
    if (s->constraint != NULL) s->constraint->kind->free(s->constraint);
    s->constraint = NULL;
    s->work = NULL;
}

size_t hg_slot_guess_room(const hg_slot *s)
{
    /* One token more is drawn behind the last guess. */
    const size_t answer = s->work->r.max_tokens - s->work->usage.completion_tokens - 1;
    const size_t context = s->cache.n_ctx - s->cache.n - 1;
    return answer < context ? answer : context;
}

void hg_slot_look_up(hg_slot *s, size_t most)
{
    const size_t worth = hg_guess_length(&s->rate_lookup);
    if (most > worth) most = worth;
    s->n_ahead += hg_lookup_guess(&s->lookup, most, s->ahead + s->n_ahead);
    s->looked_up = s->n_ahead > 1;
    if (!s->looked_up) hg_guess_learn(&s->rate_lookup, 0, 0);
}

bool hg_slot_lane(hg_slot *s, size_t budget, hg_lane *lane)
{
    const size_t left = s->work->r.n_prompt - s->n_fed;
    *lane = (hg_lane){.cache = &s->cache,
                      .ids = s->ahead,
                      .n = s->n_ahead,
                      .want = HG_WANT_ALL,
                      .adapters = s->work->r.adapters,
                      .n_adapters = s->work->r.n_adapters};
    s->n_logits = s->n_ahead;
    if (left == 0) return true;
    if (budget == 0) return false;
    lane->ids = s->work->prompt + s->n_fed;
    lane->n = left < budget ? left : budget;
    lane->want = lane->n == left ? HG_WANT_LAST : HG_WANT_NONE;
    s->n_logits = 1;
    return true;
}

/* ---- drawing ---- */

/* The token behind row r of the step's logits. */
static hg_status draw_one(hg_slot *s, size_t r, hg_choices *room, int32_t *id)
{
    const hg_work *w = s->work;
    float *logits = s->logits + r * room->n_vocab;
    const hg_past past = {s->cache.ids, s->n_before + r + 1, w->n_given, s->tok};
    const size_t left = w->r.max_tokens - w->usage.completion_tokens - r;
    double log_z = 0.0;
    /* Nobody reads the logits again, unless their probabilities are told. */
    HG_TRY(w->r.on_token != NULL ? hg_choices_load(room, logits, &s->err)
                                 : hg_choices_take(room, logits, &s->err));
    if (w->r.on_token != NULL) log_z = hg_logprobs_top(room, w->r.n_top, &s->told[r]);
    HG_TRY(hg_sampler_cut(&s->sampler, room, &past, left, &s->err));
    *id = hg_sampler_draw(&s->sampler, room);
    s->told[r].logprob = (float)((double)logits[*id] - log_z);
    if (s->constraint == NULL || hg_slot_ends(s, *id)) return HG_OK;
    HG_TRY(s->constraint->kind->accept(s->constraint, *id, &s->err));
    s->is_done = s->constraint->kind->is_done(s->constraint);
    return HG_OK;
}

static void learn(hg_slot *s)
{
    const size_t n = s->n_logits - 1, hits = s->n_drawn > 0 ? s->n_drawn - 1 : 0;
    if (n == 0) return;
    hg_guess_learn(s->looked_up ? &s->rate_lookup : &s->rate_draft, n, hits);
    s->work->usage.drafted_tokens += (uint32_t)n;
    s->work->usage.accepted_tokens += (uint32_t)hits;
}

void hg_slot_draw(hg_slot *s, hg_choices *room)
{
    bool more = true;
    s->n_before = s->cache.n - s->n_logits;
    s->n_drawn = 0;
    for (size_t r = 0; more && r < s->n_logits; r++) {
        int32_t id = 0;
        s->status = draw_one(s, r, room, &id);
        if (s->status != HG_OK) break;
        s->drawn[s->n_drawn++] = id;
        more = !s->is_done && !hg_slot_ends(s, id) && r + 1 < s->n_logits && id == s->ahead[r + 1];
    }
    learn(s);
    hg_slot_keep(s, s->n_drawn);
}

void hg_slot_keep(hg_slot *s, size_t n)
{
    (void)hg_cache_rewind(&s->cache, s->n_before + (n > 0 ? n : 1));
    if (s->draft.n > s->cache.n) (void)hg_cache_rewind(&s->draft, s->cache.n);
}
