/* Guessing with a draft model (Leviathan et al. 2023; Chen et al. 2023). It runs beside the model
 * on the same timelines, all slots in one batch, a token a round. Its sampler is a copy of the
 * answer's own at the same place, so its draws race with the same numbers (see sampler.c): where it
 * thinks like the model, it draws what the model will draw, whatever the temperature. It stops
 * where it no longer believes in what it guessed. */
#include "infer/draft.h"

#include <math.h>
#include <string.h>

static const double HOPE = 0.25; /* guesses less likely to be reached than this are not made */

/* ---- the same tokenizer? ---- */
static hg_status check_tokenizers(const hg_model *draft, const hg_model *m, hg_err *e)
{
    const hg_tokenizer *a = m->tokenizer, *b = draft->tokenizer;
    if (b == NULL)
        return hg_fail(e, HG_E_ARG,
                       "the draft model has no tokenizer; take one that shares the "
                       "model's");
    const uint32_t n = hg_tokenizer_count(a), n_draft = hg_tokenizer_count(b);
    if (n != n_draft)
        return hg_fail(e, HG_E_ARG,
                       "the draft model knows %u tokens and the model %u; take one of the same "
                       "family, with the same tokenizer",
                       n_draft, n);
    for (int32_t i = 0; i < (int32_t)n; i++) {
        const hg_bytes p = hg_tokenizer_piece(a, i, true), q = hg_tokenizer_piece(b, i, true);
        if (p.n == q.n && (p.n == 0 || memcmp(p.p, q.p, p.n) == 0)) continue;
        return hg_fail(
            e, HG_E_ARG,
            "token %d is \"%.*s\" to the draft model and \"%.*s\" to the model; take one "
            "of the same family, with the same tokenizer",
            i, (int)(q.n < 40 ? q.n : 40), q.p, (int)(p.n < 40 ? p.n : 40), p.p);
    }
    return HG_OK;
}

/* ---- making and ending ---- */
static hg_status make_rooms(hg_drafter *d, size_t n_slots, size_t n_vocab, hg_err *e)
{
    d->n_threads = hg_pool_threads(d->rt->pool);
    d->rooms = hg_alloc((size_t)d->n_threads, sizeof *d->rooms);
    d->slots = hg_alloc(n_slots, sizeof *d->slots);
    d->all = hg_alloc(n_slots, sizeof *d->all);
    d->lanes = hg_alloc(n_slots, sizeof *d->lanes);
    d->samplers = hg_alloc(n_slots, sizeof *d->samplers);
    d->most = hg_alloc(n_slots, sizeof *d->most);
    d->hope = hg_alloc(n_slots, sizeof *d->hope);
    d->ids = hg_alloc(d->max_rows, sizeof *d->ids);
    if (d->rooms == NULL || d->slots == NULL || d->all == NULL || d->lanes == NULL ||
        d->samplers == NULL || d->most == NULL || d->hope == NULL || d->ids == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for a draft model beside %zu sessions", n_slots);
    /* A constraint's mask is as wide as the model's vocabulary, which may be padded further. */
    const size_t widest = n_vocab > d->m->c.n_vocab ? n_vocab : d->m->c.n_vocab;
    for (int i = 0; i < d->n_threads; i++) {
        HG_TRY(hg_choices_init(&d->rooms[i], widest, &d->rt->k, e));
        d->rooms[i].n_vocab = d->m->c.n_vocab;
    }
    return hg_stepper_init(&d->step, d->m, d->rt, d->max_rows, n_slots, e);
}

hg_status hg_drafter_init(hg_drafter *d, const hg_model *draft, const hg_model *m, hg_runtime *rt,
                          size_t n_slots, size_t n_ctx, size_t max_rows, hg_err *e)
{
    HG_TRY(check_tokenizers(draft, m, e));
    *d =
        (hg_drafter){.m = draft, .rt = rt, .max_rows = max_rows + n_slots, .n_vocab = m->c.n_vocab};
    if (draft->c.n_vocab < d->n_vocab) d->n_vocab = draft->c.n_vocab;
    d->n_ctx = n_ctx < draft->c.n_ctx ? n_ctx : draft->c.n_ctx;
    hg_status s = hg_cache_choose(draft, HG_CACHE_AUTO, &d->cache_type, e);
    if (s == HG_OK) s = make_rooms(d, n_slots, m->c.n_vocab, e);
    if (s != HG_OK) hg_drafter_free(d);
    return s;
}

void hg_drafter_free(hg_drafter *d)
{
    hg_stepper_free(&d->step);
    for (int i = 0; d->rooms != NULL && i < d->n_threads; i++) hg_choices_free(&d->rooms[i]);
    hg_free(d->rooms);
    hg_free(d->slots);
    hg_free(d->all);
    hg_free(d->lanes);
    hg_free(d->samplers);
    hg_free(d->most);
    hg_free(d->hope);
    hg_free(d->ids);
    *d = (hg_drafter){0};
}

uint64_t hg_drafter_slot_bytes(const hg_drafter *d)
{
    return hg_cache_bytes(d->m, d->n_ctx, d->max_rows, d->cache_type);
}

uint64_t hg_drafter_bytes(const hg_drafter *d, size_t n_slots)
{
    return hg_drafter_slot_bytes(d) + hg_stepper_bytes(d->m, d->max_rows, n_slots);
}

hg_status hg_drafter_slot(const hg_drafter *d, hg_slot *s, hg_err *e)
{
    if (s->draft.n_ctx != 0) return HG_OK;
    return hg_cache_new(&s->draft, d->m, d->n_ctx, d->max_rows, d->cache_type, e);
}

/* ---- a step ---- */
void hg_drafter_begin(hg_drafter *d)
{
    d->n = 0;
}

void hg_drafter_add(hg_drafter *d, hg_slot *s, size_t most)
{
    d->slots[d->n] = s;
    d->most[d->n] = most;
    d->hope[d->n] = 1.0;
    d->samplers[d->n++] = s->sampler;
}

/* The i-th token of the slot's timeline, with the one that is chosen and not yet run behind it. */
static int32_t timeline_at(const hg_slot *s, size_t i)
{
    return i < s->cache.n ? s->cache.ids[i] : s->ahead[i - s->cache.n];
}

/* Lays what the draft model has not read of one timeline, `room` tokens at the most; false when
 * there is nothing it could read. It guesses only once it has read all. */
static bool lay(hg_drafter *d, size_t which, size_t *n_rows, hg_lane *lane)
{
    hg_slot *s = d->slots[which];
    const size_t end = s->cache.n + s->n_ahead, from = s->draft.n;
    /* Of a prompt that comes again the draft's cache may hold more than the model has read. */
    size_t n = from < end ? end - from : 0;
    if (n > d->max_rows - *n_rows) n = d->max_rows - *n_rows;
    if (n == 0 || from + n > s->draft.n_ctx) return false;
    int32_t *ids = d->ids + *n_rows;
    for (size_t i = 0; i < n; i++) {
        ids[i] = timeline_at(s, from + i);
        if ((size_t)ids[i] >= d->n_vocab) return false; /* a token that only the model knows */
    }
    const bool guesses = d->most[which] > 0 && from + n == end;
    *lane = (hg_lane){
        .cache = &s->draft, .ids = ids, .n = n, .want = guesses ? HG_WANT_LAST : HG_WANT_NONE};
    *n_rows += n;
    return true;
}

/* One guess; false when it is not worth checking. */
static bool guess(hg_drafter *d, size_t which, hg_choices *room)
{
    hg_slot *s = d->slots[which];
    hg_sampler *sampler = &d->samplers[which];
    const float *logits = d->lanes[which].logits;
    const hg_past past = {s->draft.ids, s->draft.n, s->work->n_given, s->tok};
    const size_t left = s->work->r.max_tokens - s->work->usage.completion_tokens;
    hg_logprobs none;
    if (hg_choices_load(room, logits, NULL) != HG_OK) return false;
    const double log_z = hg_logprobs_top(room, 0, &none);
    if (hg_sampler_cut(sampler, room, &past, left - (s->n_ahead - 1), NULL) != HG_OK) return false;
    const int32_t id = hg_sampler_draw(sampler, room);
    /* It counts half what the draft model says of the token, half how its guesses went lately. */
    d->hope[which] *= 0.5 * (exp((double)logits[id] - log_z) + hg_guess_share(&s->rate_draft));
    if (d->hope[which] < HOPE || (size_t)id >= d->n_vocab || hg_slot_ends(s, id)) return false;
    if (s->constraint != NULL && s->constraint->kind->accept(s->constraint, id, NULL) != HG_OK)
        return false;
    s->ahead[s->n_ahead++] = id;
    return s->n_ahead <= d->most[which];
}

/* Slots that are done get no lane in the next round. */
static void guess_some(void *ctx, size_t begin, size_t end, int thread)
{
    hg_drafter *d = ctx;
    for (size_t i = begin; i < end; i++)
        if (d->lanes[i].logits == NULL || !guess(d, i, &d->rooms[thread])) d->most[i] = 0;
}

/* Keeps the slots that have a lane, with it; true when any is left. */
static bool lay_round(hg_drafter *d, bool is_first)
{
    size_t n = 0, n_rows = 0;
    for (size_t i = 0; i < d->n; i++) {
        if ((!is_first && d->most[i] == 0) || !lay(d, i, &n_rows, &d->lanes[n])) continue;
        d->slots[n] = d->slots[i];
        d->most[n] = d->most[i];
        d->hope[n] = d->hope[i];
        d->samplers[n++] = d->samplers[i];
    }
    d->n = n;
    return n > 0;
}

/* Constraints have followed the guesses; the model may say otherwise. */
static void take_back(hg_slot *const *slots, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (slots[i]->constraint != NULL && slots[i]->n_ahead > 1)
            slots[i]->constraint->kind->rollback(slots[i]->constraint, slots[i]->n_ahead - 1);
}

void hg_drafter_run(hg_drafter *d)
{
    const size_t n = d->n;
    memcpy(d->all, d->slots, n * sizeof(hg_slot *));
    for (bool is_first = true; lay_round(d, is_first); is_first = false) {
        if (hg_stepper_run(&d->step, d->lanes, d->n, NULL) != HG_OK) break;
        hg_pool_run(d->rt->pool, d->n, 1, guess_some, d);
    }
    take_back(d->all, n);
}
