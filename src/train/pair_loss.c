/* See pair_loss.h. */
#include "train/pair_loss.h"
#include <math.h>

static double sigmoid(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

static double log_sigmoid(double x)
{
    return x >= 0 ? -log1p(exp(-x)) : x - log1p(exp(x));
}

static hg_pair_loss with_reference(const hg_pair_options *o, const hg_pair *p)
{
    double b = o->beta, s = o->smoothing, by = 0;
    double h = p->logp[0] - p->ref[0] - (p->logp[1] - p->ref[1]);
    hg_pair_loss l = {.margin = b * h};
    for (int i = 0; i < 2; i++) l.reward[i] = b * (p->logp[i] - p->ref[i]);
    if (o->method == HG_METHOD_IPO) {
        double off = h - 1 / (2 * b);
        l.loss = off * off;
        by = 2 * off;
    } else if (o->method == HG_METHOD_HINGE) {
        l.loss = fmax(0, 1 - b * h);
        by = l.loss > 0 ? -b : 0;
    } else {
        l.loss = -(1 - s) * log_sigmoid(b * h) - s * log_sigmoid(-b * h);
        by = -b * ((1 - s) * sigmoid(-b * h) - s * sigmoid(b * h));
    }
    l.by[0] = by;
    l.by[1] = -by;
    return l;
}

/* log(p / (1 - p)) of p = exp(x), x a mean log-probability; *by its derivative by x. */
static double log_odds(double x, double *by)
{
    double rest = fmax(-expm1(x), 1e-12); /* 1 - p; 0 where an answer is certain */
    *by = 1 / rest;
    return x - log(rest);
}

static hg_pair_loss odds_ratio(const hg_pair_options *o, const hg_pair *p)
{
    double by[2], mean[2], odds[2];
    for (int i = 0; i < 2; i++) {
        mean[i] = p->logp[i] / p->n[i];
        odds[i] = log_odds(mean[i], &by[i]);
    }
    double d = odds[0] - odds[1], slope = -o->orpo * sigmoid(-d);
    return (hg_pair_loss){.loss = -mean[0] - o->orpo * log_sigmoid(d),
                          .by = {(-1 + slope * by[0]) / p->n[0], -slope * by[1] / p->n[1]},
                          .reward = {o->orpo * mean[0], o->orpo * mean[1]},
                          .margin = o->orpo * (mean[0] - mean[1])};
}

static hg_pair_loss labelled(const hg_pair_options *o, const hg_pair *p, double z)
{
    double r = p->logp[0] - p->ref[0], sign = p->is_good ? 1 : -1;
    double weight = p->is_good ? o->kto_good : o->kto_bad;
    double v = sigmoid(sign * o->beta * (r - z));
    return (hg_pair_loss){.loss = weight * (1 - v),
                          .by = {-weight * v * (1 - v) * sign * o->beta, 0},
                          .reward = {o->beta * r, 0},
                          .margin = sign * o->beta * (r - z)};
}

hg_pair_loss hg_pair_loss_of(const hg_pair_options *o, const hg_pair *p, double z)
{
    if (o->method == HG_METHOD_KTO) return labelled(o, p, z);
    return o->method == HG_METHOD_ORPO ? odds_ratio(o, p) : with_reference(o, p);
}

hg_token_loss hg_token_loss_of(double advantage, double logp, double old, double ref, double clip,
                               double kl)
{
    double q = exp(logp - old), d = ref - logp;
    double cut = fmin(fmax(q, 1 - clip), 1 + clip);
    hg_token_loss l = {.kl = expm1(d) - d, .is_clipped = cut * advantage < q * advantage};
    l.loss = -(l.is_clipped ? cut : q) * advantage + kl * l.kl;
    l.by = (l.is_clipped ? 0 : -q * advantage) - kl * expm1(d);
    return l;
}
