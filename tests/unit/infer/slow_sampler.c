/* The samplers as their formulas read. */
#include "slow_sampler.h"
#include "base/mem.h"
#include "harness/test.h"

#include <math.h>
#include <stdlib.h>

static int by_logit(const void *a, const void *b)
{
    const slow_choice *l = a, *r = b;
    if (l->x > r->x || l->x < r->x) return l->x > r->x ? -1 : 1;
    return l->id < r->id ? -1 : 1;
}

/* Sorts and normalises. */
static void softmax(slow_set *s)
{
    double sum = 0.0;
    qsort(s->c, s->n, sizeof *s->c, by_logit);
    const double max = s->c[0].x;
    for (size_t i = 0; i < s->n; i++) sum += s->c[i].p = exp(s->c[i].x - max);
    for (size_t i = 0; i < s->n; i++) s->c[i].p /= sum;
}

static void penalties(slow_set *s, const hg_sampling *o, const int32_t *past, size_t n,
                      size_t n_prompt)
{
    for (size_t i = 0; i < s->n; i++) {
        slow_choice *c = &s->c[i];
        size_t lately = 0, answered = 0;
        for (size_t t = 0; t < n; t++) {
            lately += past[t] == c->id && t + o->repeat_window >= n;
            answered += past[t] == c->id && t >= n_prompt;
        }
        const double r = (double)o->repetition_penalty;
        if (lately > 0) c->x = c->x > 0.0 ? c->x / r : c->x * r;
        if (answered > 0) c->x -= (double)o->presence_penalty;
        c->x -= (double)o->frequency_penalty * (double)answered;
    }
}

/* For each token: the longest end of the text that stood before it anywhere earlier. */
static void dry(slow_set *s, const hg_sampling *o, const int32_t *past, size_t n,
                const bool *breaks)
{
    const size_t first = o->dry_window > 0 && o->dry_window < n ? n - o->dry_window : 0;
    if (o->dry_multiplier == 0.0f) return;
    for (size_t i = 0; i < s->n; i++) {
        size_t longest = 0;
        for (size_t t = first; t < n; t++) {
            size_t len = 0;
            if (past[t] != s->c[i].id) continue;
            while (len < t - first && past[t - 1 - len] == past[n - 1 - len] &&
                   !(breaks != NULL && breaks[n - 1 - len]))
                len++;
            if (len > longest) longest = len;
        }
        if (longest < o->dry_length || longest == 0) continue;
        s->c[i].x -=
            (double)o->dry_multiplier * pow((double)o->dry_base, (double)(longest - o->dry_length));
    }
}

/* Keeps the fewest of the (sorted) set that hold the share. */
static void first_share(slow_set *s, double share)
{
    double sum = 0.0;
    size_t n = 0;
    do sum += s->c[n++].p;
    while (n < s->n && sum < share);
    s->n = n;
}

static int by_key(const void *a, const void *b)
{
    /* x holds the distance from the expected surprise here. */
    const slow_choice *l = a, *r = b;
    if (l->x < r->x || l->x > r->x) return l->x < r->x ? -1 : 1;
    return l->id < r->id ? -1 : 1;
}

static void typical(slow_set *s, double share)
{
    double h = 0.0;
    slow_choice *c = s->c;
    softmax(s);
    for (size_t i = 0; i < s->n; i++) h -= c[i].p > 0.0 ? c[i].p * log(c[i].p) : 0.0;
    const double log_z = c[0].x - log(c[0].p);
    for (size_t i = 0; i < s->n; i++) c[i].x = fabs(log_z - c[i].x - h);
    qsort(c, s->n, sizeof *c, by_key);
    first_share(s, share);
    for (size_t i = 0; i < s->n; i++) c[i].x = log(c[i].p) + log_z;
}

static void xtc(slow_set *s, double share)
{
    size_t above = 0;
    softmax(s);
    while (above < s->n && s->c[above].p >= share) above++;
    if (above < 2) return;
    for (size_t i = above - 1; i < s->n; i++) s->c[i - (above - 1)] = s->c[i];
    s->n -= above - 1;
}

static void min_p(slow_set *s, double least)
{
    size_t n = 0;
    softmax(s);
    while (n < s->n && s->c[n].p >= least * s->c[0].p) n++;
    s->n = n;
}

static void surprise(slow_set *s, double mu)
{
    size_t n = 0;
    softmax(s);
    while (n < s->n && -log2(s->c[n].p) <= mu) n++;
    s->n = n == 0 ? 1 : n;
}

static void cut(slow_set *s, const hg_sampling *o, hg_sample_stage stage)
{
    if (stage == HG_SAMPLE_TOP_K && o->top_k > 0 && o->top_k < s->n) {
        softmax(s);
        s->n = o->top_k;
    }
    if (stage == HG_SAMPLE_TYPICAL && o->typical_p < 1.0f) typical(s, (double)o->typical_p);
    if (stage == HG_SAMPLE_TOP_P && o->top_p < 1.0f) {
        softmax(s);
        first_share(s, (double)o->top_p);
    }
    if (stage == HG_SAMPLE_MIN_P) min_p(s, (double)o->min_p);
    if (stage == HG_SAMPLE_XTC && o->xtc_chance > 0.0f) xtc(s, (double)o->xtc_share);
}

slow_set slow_sample(const hg_sampling *o, const float *logits, size_t n, const int32_t *past,
                     size_t n_past, size_t n_prompt, const bool *breaks, double mu)
{
    slow_set s = {n, malloc(n * sizeof *s.c)};
    CHECK(s.c != NULL);
    for (size_t i = 0; i < n; i++) s.c[i] = (slow_choice){(int32_t)i, (double)logits[i], 0.0};
    for (size_t b = 0; b < o->n_bias; b++) s.c[o->bias[b].id].x += (double)o->bias[b].bias;
    for (size_t i = 0; o->order[i] != HG_SAMPLE_END; i++) {
        const hg_sample_stage stage = (hg_sample_stage)o->order[i];
        if (stage == HG_SAMPLE_PENALTIES) penalties(&s, o, past, n_past, n_prompt);
        if (stage == HG_SAMPLE_DRY) dry(&s, o, past, n_past, breaks);
        if (stage == HG_SAMPLE_TEMPERATURE)
            for (size_t j = 0; j < s.n; j++) s.c[j].x /= (double)o->temperature;
        if (o->mirostat_tau == 0.0f) cut(&s, o, stage);
    }
    if (o->mirostat_tau > 0.0f) surprise(&s, mu);
    softmax(&s);
    return s;
}

void slow_free(slow_set *s)
{
    free(s->c);
    *s = (slow_set){0};
}
