/* Sampling: the last step of every generated token, from the model's logits to one id.
 *
 * A draw is a race: token i of weight w[i] arrives after E[i] / w[i], where E[i] is exponential,
 * and the first one wins; that is a draw from the weights exactly. E[i] is a hash of the seed, the
 * place in the answer and the id. So two distributions that are nearly the same nearly always draw
 * the same token at the same place, which is what makes a draft model's guesses come true, and
 * whether there were guesses never shows in a text (Daliri et al. 2024, "Coupling without
 * Communication and Drafter-Invariant Speculative Decoding"). Only the likeliest tokens race one by
 * one; the others share one runner of their joint weight, and the winner among them is found by
 * their weights.
 *
 * (Keskar et al. 2019, repetition; Fan et al. 2018, top-k; Meister et al. 2023, typical; Holtzman
 * et al. 2020, top-p; Nguyen et al. 2024, min-p; Basu et al. 2021, Mirostat.) */
#include "infer/sampler.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { RUNNERS = 64 };             /* that race one by one */
static const float GREEDY = 1e-6f; /* temperatures below divide to infinity: the best one wins */

/* Numbers that are drawn beside the runners': ids are not negative. */
enum { DRAW_XTC = -1, DRAW_REST = -2, DRAW_IN_REST = -3 };

void hg_sampler_begin(hg_sampler *s, const hg_sampling *o, const hg_tokenizer *tok)
{
    *s = (hg_sampler){.o = *o, .tok = tok, .mu = 2.0 * (double)o->mirostat_tau};
}

/* splitmix64's finaliser: every bit of the input moves every bit of the output. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* In (0, 1), for one thing at this place of the answer. */
static double unit(const hg_sampler *s, int32_t what)
{
    const uint64_t place = mix(mix(s->o.seed + 0x9E3779B97F4A7C15u) + s->n_drawn);
    const uint64_t h = mix(place + 0x9E3779B97F4A7C15u * (uint64_t)(int64_t)what);
    return ((double)(h >> 11) + 0.5) * 0x1p-53;
}

/* ---- what may come at all ---- */
static void add_bias(const hg_sampler *s, hg_choices *c)
{
    if (s->o.n_bias == 0) return;
    hg_choices_open(c);
    for (size_t i = 0; i < s->o.n_bias; i++) {
        const int32_t id = s->o.bias[i].id;
        if ((size_t)id < c->n_vocab) hg_choices_set(c, id, c->x[id] + s->o.bias[i].bias);
    }
    hg_choices_close(c);
}

static void forbid_ends(const hg_sampler *s, hg_choices *c)
{
    if (s->n_drawn >= s->n_least || s->n_ends == 0) return;
    hg_choices_open(c);
    for (size_t i = 0; i < s->n_ends; i++)
        if ((size_t)s->ends[i] < c->n_vocab) hg_choices_set(c, s->ends[i], -INFINITY);
    hg_choices_close(c);
}

static hg_status apply_mask(const hg_sampler *s, hg_choices *c, size_t n_left, hg_err *e)
{
    if (s->constraint == NULL) return HG_OK;
    HG_TRY(s->constraint->kind->mask(s->constraint, n_left, c->bits, e));
    hg_cut_unmarked(c, c->bits);
    return HG_OK;
}

/* ---- the stages ---- */
static void scale(hg_choices *c, float temperature)
{
    if (temperature == 1.0f) return;
    c->k->scale_f32(c->logit, 1.0f / temperature, c->logit, c->n);
    c->blocks_hold = false;
}

/* Basu et al. 2021, algorithm 2: what would surprise more than mu bits is cut. */
static void cut_surprise(hg_choices *c, double mu)
{
    const float max = hg_choices_max(c);
    hg_choices_weigh(c);
    const double least = (double)max + log(c->sum) - mu * 0.69314718055994531;
    hg_cut_below(c, least < (double)max ? (float)least : max);
}

static hg_status run_stage(const hg_sampler *s, hg_choices *c, hg_sample_stage stage,
                           const hg_past *past, hg_err *e)
{
    const hg_sampling *o = &s->o;
    const bool cuts = o->mirostat_tau == 0.0f;
    if (stage == HG_SAMPLE_PENALTIES) hg_penalise(c, o, past);
    if (stage == HG_SAMPLE_DRY) return hg_penalise_dry(c, o, past, e);
    if (stage == HG_SAMPLE_TEMPERATURE) {
        if (o->temperature < GREEDY)
            hg_cut_best(c);
        else
            scale(c, o->temperature);
    }
    if (!cuts || c->n == 1) return HG_OK;
    if (stage == HG_SAMPLE_TOP_K) hg_cut_top_k(c, o->top_k);
    if (stage == HG_SAMPLE_TYPICAL && o->typical_p < 1.0f) hg_cut_typical(c, o->typical_p);
    if (stage == HG_SAMPLE_TOP_P && o->top_p < 1.0f) hg_cut_top_p(c, o->top_p);
    if (stage == HG_SAMPLE_MIN_P && o->min_p > 0.0f)
        hg_cut_below(c, hg_choices_max(c) + logf(o->min_p));
    if (stage == HG_SAMPLE_XTC && o->xtc_chance > 0.0f && unit(s, DRAW_XTC) < (double)o->xtc_chance)
        hg_cut_xtc(c, o->xtc_share);
    return HG_OK;
}

/* Cuts that always keep the best one need not be made when the best one is all that is wanted. */
static bool is_greedy(const hg_sampling *o)
{
    const bool keeps_best =
        o->mirostat_tau > 0.0f || (o->typical_p == 1.0f && o->xtc_chance == 0.0f);
    return o->temperature < GREEDY && keeps_best &&
           memchr(o->order, HG_SAMPLE_TEMPERATURE, sizeof o->order) != NULL;
}

static hg_status check_choice(hg_choices *c, hg_err *e)
{
    if (c->n > 0 && hg_choices_max(c) >= -FLT_MAX) return HG_OK;
    return hg_fail(e, HG_E_FORMAT, "the model rules out all %zu tokens; its weights are damaged",
                   c->n_vocab);
}

hg_status hg_sampler_cut(const hg_sampler *s, hg_choices *c, const hg_past *past, size_t n_left,
                         hg_err *e)
{
    const bool greedy = is_greedy(&s->o);
    HG_TRY(check_choice(c, e));
    add_bias(s, c);
    forbid_ends(s, c);
    HG_TRY(apply_mask(s, c, n_left, e));
    HG_TRY(check_choice(c, e));
    for (size_t i = 0; s->o.order[i] != HG_SAMPLE_END; i++) {
        const hg_sample_stage stage = (hg_sample_stage)s->o.order[i];
        if (greedy && stage != HG_SAMPLE_PENALTIES && stage != HG_SAMPLE_DRY) continue;
        HG_TRY(run_stage(s, c, stage, past, e));
    }
    if (greedy) hg_cut_best(c);
    if (s->o.mirostat_tau > 0.0f && c->n > 1) cut_surprise(c, s->mu);
    hg_choices_weigh(c);
    return HG_OK;
}

/* ---- the draw ---- */
typedef struct race {
    double best; /* when the first arrives */
    size_t winner;
} race;

static void run(race *r, const hg_sampler *s, const hg_choices *c, size_t i)
{
    const double t = -log(unit(s, hg_choice_id(c, i))) / (double)c->w[i];
    if (!(t < r->best)) return;
    r->best = t;
    r->winner = i;
}

/* The place where the weights' running sum goes beyond the share u of it. */
static size_t pick(const hg_choices *c, double u)
{
    double sum = 0.0, block;
    size_t i = 0, last = 0;
    for (size_t j = 0; j < c->n; j++) sum += (double)c->w[j];
    for (sum *= u; i < c->n; i += HG_CHOICE_BLOCK, sum -= block) {
        const size_t left = c->n - i;
        block = (double)c->k->sum_f32(c->w + i, left < HG_CHOICE_BLOCK ? left : HG_CHOICE_BLOCK);
        if (sum < block) break;
    }
    for (; i < c->n; i++) {
        if (!(c->w[i] > 0.0f)) continue;
        last = i;
        sum -= (double)c->w[i];
        if (sum < 0.0) break;
    }
    return last;
}

/* The race of many: the RUNNERS best one by one, the rest as one. */
static size_t draw_many(const hg_sampler *s, hg_choices *c)
{
    int32_t at[RUNNERS];
    float w[RUNNERS];
    race r = {INFINITY, 0};
    hg_choices_rank(c, RUNNERS, at);
    for (size_t i = 0; i < RUNNERS; i++) run(&r, s, c, (size_t)at[i]);
    for (size_t i = 0; i < RUNNERS; i++) {
        w[i] = c->w[at[i]];
        c->w[at[i]] = 0.0f;
    }
    const double rest = (double)c->k->sum_f32(c->w, c->n);
    if (rest > 0.0 && -log(unit(s, DRAW_REST)) / rest < r.best)
        r.winner = pick(c, unit(s, DRAW_IN_REST));
    for (size_t i = 0; i < RUNNERS; i++) c->w[at[i]] = w[i];
    return r.winner;
}

int32_t hg_sampler_draw(hg_sampler *s, hg_choices *c)
{
    race r = {INFINITY, 0};
    if (c->n > RUNNERS)
        r.winner = draw_many(s, c);
    else
        for (size_t i = 0; c->n > 1 && i < c->n; i++) run(&r, s, c, i);
    if (s->o.mirostat_tau > 0.0f) {
        const double surprise = -log2((double)c->w[r.winner] / c->sum);
        s->mu -= (double)s->o.mirostat_eta * (surprise - (double)s->o.mirostat_tau);
    }
    s->n_drawn++;
    return hg_choice_id(c, r.winner);
}

hg_status hg_sampler_next(hg_sampler *s, hg_choices *c, const float *logits, const int32_t *past,
                          size_t n_past, size_t n_prompt, int32_t *id, hg_err *e)
{
    const hg_past p = {past, n_past, n_prompt, s->tok};
    HG_TRY(hg_choices_load(c, logits, e));
    HG_TRY(hg_sampler_cut(s, c, &p, SIZE_MAX, e));
    *id = hg_sampler_draw(s, c);
    return HG_OK;
}
