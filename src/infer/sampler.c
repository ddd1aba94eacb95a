/* Sampling: the last step of every generated token, from the model's logits to one id. The stages
 * run in the order that hg_sampling declares: penalties, top-k, temperature, top-p, min-p, draw.
 * Nothing sorts the vocabulary: top-k keeps a heap of k, min-p is one comparison each, and top-p
 * pops a heap until its share is reached. Ties go to the lowest id everywhere, so a text depends on
 * the logits and the seed alone. (Keskar et al. 2019, repetition; Fan et al. 2018, top-k; Holtzman
 * et al. 2020, top-p; Nguyen et al. 2024, min-p.) */
#include "infer/sampler.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { SAMPLING_STREAM = 0x5a };   /* keeps the draws apart from other uses of one seed */
static const float GREEDY = 1e-6f; /* temperatures below divide to infinity: the best one wins */

void hg_sampling_init(hg_sampling *s)
{
    *s = (hg_sampling){.repetition_penalty = 1.1f,
                       .repeat_window = 64,
                       .top_k = 40,
                       .temperature = 0.8f,
                       .top_p = 0.95f,
                       .min_p = 0.05f};
}

/* Written so that NaN fails. */
static hg_status check_range(const char *name, float v, float low, float high, hg_err *e)
{
    if (v >= low && v <= high) return HG_OK;
    return hg_fail(e, HG_E_ARG, "%s is %g; it must be from %g to %g", name, (double)v, (double)low,
                   (double)high);
}

hg_status hg_sampling_check(const hg_sampling *s, hg_err *e)
{
    HG_TRY(check_range("repetition penalty", s->repetition_penalty, 0.1f, 10.0f, e));
    HG_TRY(check_range("presence penalty", s->presence_penalty, -10.0f, 10.0f, e));
    HG_TRY(check_range("frequency penalty", s->frequency_penalty, -10.0f, 10.0f, e));
    HG_TRY(check_range("temperature", s->temperature, 0.0f, 100.0f, e));
    HG_TRY(check_range("top-p", s->top_p, 0.0f, 1.0f, e));
    return check_range("min-p", s->min_p, 0.0f, 1.0f, e);
}

hg_status hg_sampler_init(hg_sampler *s, size_t n_vocab, const hg_kernels *k, hg_err *e)
{
    *s = (hg_sampler){.n_vocab = n_vocab, .k = k};
    s->x = hg_alloc(n_vocab, sizeof *s->x);
    s->cand = hg_alloc(n_vocab, sizeof *s->cand);
    s->count = hg_alloc(n_vocab, sizeof *s->count);
    hg_sampling_init(&s->o);
    if (s->x != NULL && s->cand != NULL && s->count != NULL) return HG_OK;
    hg_sampler_free(s);
    return hg_fail(e, HG_E_NOMEM, "no room to sample from %zu tokens", n_vocab);
}

void hg_sampler_free(hg_sampler *s)
{
    hg_free(s->x);
    hg_free(s->cand);
    hg_free(s->count);
    *s = (hg_sampler){0};
}

void hg_sampler_begin(hg_sampler *s, const hg_sampling *o)
{
    s->o = *o;
    hg_rng_init(&s->rng, o->seed, SAMPLING_STREAM);
}

/* -infinity rules a token out and is fine; NaN and +infinity have no probability. */
static hg_status check_logits(const float *x, size_t n, hg_err *e)
{
    size_t n_bad = 0, i = 0;
    for (size_t j = 0; j < n; j++) n_bad += !(x[j] <= FLT_MAX);
    if (n_bad == 0) return HG_OK;
    while (x[i] <= FLT_MAX) i++;
    return hg_fail(e, HG_E_FORMAT,
                   "the model gives token %zu the score %s; its weights are damaged or overflow", i,
                   isnan(x[i]) ? "NaN" : "infinity");
}

/* Keskar et al. 2019: what was said lately becomes less likely, whatever the logit's sign. */
static void penalise_repetition(hg_sampler *s, const int32_t *past, size_t n)
{
    const float p = s->o.repetition_penalty;
    const size_t w = s->o.repeat_window < n ? s->o.repeat_window : n;
    if (p == 1.0f) return;
    for (size_t i = n - w; i < n; i++) {
        if (s->count[past[i]]++ != 0) continue;
        float *x = &s->x[past[i]];
        *x = *x > 0.0f ? *x / p : *x * p;
    }
    for (size_t i = n - w; i < n; i++) s->count[past[i]] = 0;
}

/* OpenAI's: a fixed price for having been said in the answer, and one for each time. */
static void penalise_answer(hg_sampler *s, const int32_t *past, size_t begin, size_t n)
{
    const float presence = s->o.presence_penalty, frequency = s->o.frequency_penalty;
    if (presence == 0.0f && frequency == 0.0f) return;
    for (size_t i = begin; i < n; i++) {
        float *x = &s->x[past[i]];
        if (s->count[past[i]]++ == 0) *x -= presence;
        *x -= frequency;
    }
    for (size_t i = begin; i < n; i++) s->count[past[i]] = 0;
}

static bool is_better(hg_candidate a, hg_candidate b)
{
    return a.x > b.x || (a.x == b.x && a.id < b.id);
}

/* Restores the heap below i: the worst on top (to keep the k best) or the best (to pop in order).
 */
static void sift(hg_candidate *h, size_t n, size_t i, bool best_on_top)
{
    const hg_candidate moving = h[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && is_better(h[child + 1], h[child]) == best_on_top) child++;
        if (is_better(moving, h[child]) == best_on_top) break;
        h[i] = h[child];
    }
    h[i] = moving;
}

static void heapify(hg_candidate *h, size_t n, bool best_on_top)
{
    for (size_t i = n / 2; i-- > 0;) sift(h, n, i, best_on_top);
}

/* The k best of all, in heap order. A later equal logit has the higher id and loses. */
static size_t keep_top_k(hg_candidate *h, const float *x, size_t n, size_t k)
{
    for (size_t i = 0; i < k; i++) h[i] = (hg_candidate){x[i], (int32_t)i};
    if (k == n) return n;
    heapify(h, k, false);
    for (size_t i = k; i < n; i++) {
        if (!(x[i] > h[0].x)) continue;
        h[0] = (hg_candidate){x[i], (int32_t)i};
        sift(h, k, 0, false);
    }
    return k;
}

/* Logits to weights exp((x - max) / temperature). The best one's is 1 exactly, whatever the
 * kernel's last bit, so that no cut loses it. Returns their sum. */
static float weigh(hg_sampler *s, size_t n, float max)
{
    const float t = 1.0f / s->o.temperature;
    for (size_t i = 0; i < n; i++) s->x[i] = (s->cand[i].x - max) * t;
    float sum = s->k->exp_sum_f32(s->x, s->x, 0.0f, n);
    for (size_t i = 0; i < n; i++) s->cand[i].x = s->cand[i].x == max ? 1.0f : s->x[i];
    return sum;
}

/* Both cuts keep a beginning of the descending order, so the cheap one may go first without
 * changing what both together keep: top-p's share is of `sum`, the weight before either cut. */
static size_t keep_min_p(hg_candidate *c, size_t n, float min_p)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (c[i].x > 0.0f && c[i].x >= min_p) c[kept++] = c[i];
    return kept;
}

/* Pops the best to the end of the array until they hold the share; returns how many, *c first. */
static size_t keep_top_p(hg_candidate **c, size_t n, float share)
{
    hg_candidate *h = *c;
    size_t left = n;
    double held = 0.0;
    heapify(h, n, true);
    do {
        const hg_candidate best = h[0];
        h[0] = h[--left];
        sift(h, left, 0, true);
        h[left] = best;
        held += (double)best.x;
    } while (left > 0 && held < (double)share);
    *c = h + left;
    return n - left;
}

static int32_t draw(hg_rng *rng, const hg_candidate *c, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) sum += (double)c[i].x;
    double r = hg_rng_unit(rng) * sum;
    for (size_t i = 0; i + 1 < n; i++) {
        r -= (double)c[i].x;
        if (r < 0.0) return c[i].id;
    }
    return c[n - 1].id;
}

static int32_t sample(hg_sampler *s, float max)
{
    const size_t n = s->n_vocab;
    const size_t k = s->o.top_k == 0 || s->o.top_k > n ? n : s->o.top_k;
    hg_candidate *c = s->cand;

    size_t kept = keep_top_k(c, s->x, n, k);
    float sum = weigh(s, kept, max);
    kept = keep_min_p(c, kept, s->o.min_p);
    if (s->o.top_p < 1.0f) kept = keep_top_p(&c, kept, s->o.top_p * sum);
    return draw(&s->rng, c, kept);
}

hg_status hg_sampler_next(hg_sampler *s, const float *logits, const int32_t *past, size_t n_past,
                          size_t n_prompt, int32_t *id, hg_err *e)
{
    HG_TRY(check_logits(logits, s->n_vocab, e));
    memcpy(s->x, logits, s->n_vocab * sizeof *s->x);
    penalise_repetition(s, past, n_past);
    penalise_answer(s, past, n_prompt, n_past);

    const float max = s->k->max_f32(s->x, s->n_vocab);
    if (!(max >= -FLT_MAX))
        return hg_fail(e, HG_E_FORMAT,
                       "the model rules out all %zu tokens; its weights are damaged", s->n_vocab);
    if (s->o.temperature >= GREEDY) {
        *id = sample(s, max);
        return HG_OK;
    }
    size_t best = 0;
    while (s->x[best] != max) best++;
    *id = (int32_t)best;
    return HG_OK;
}
