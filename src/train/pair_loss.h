/* Losses of preferences as functions of the answers' log-probabilities. */
#ifndef HG_TRAIN_PAIR_LOSS_H
#define HG_TRAIN_PAIR_LOSS_H

#include "train/recipe.h"

typedef struct hg_pair_options {
    hg_method method;
    double beta, smoothing;   /* DPO: share of pairs whose label is taken to be wrong */
    double orpo;              /* weight of ORPO's odds ratio */
    double kto_good, kto_bad; /* KTO's lambdas */
} hg_pair_options;

/* What is known of one pair: index 0 is the chosen answer (of KTO the answer itself), 1 the
 * rejected one (of KTO nothing). */
typedef struct hg_pair {
    double logp[2]; /* of the answer's tokens, summed; nats */
    double ref[2];  /* by the reference */
    double n[2];    /* tokens; ORPO looks at the mean */
    bool is_good;   /* KTO's label */
} hg_pair;

typedef struct hg_pair_loss {
    double loss;
    double by[2];     /* derivative by logp */
    double reward[2]; /* DPO: beta log(p / ref); ORPO: its weight times the mean log p */
    double margin;    /* between the rewards; KTO: between the answer's and beta z, signed by the
                         label */
} hg_pair_loss;

/* z: of KTO, the distance from the reference (>= 0); else not looked at.
 *   DPO (Rafailov 2023):  -(1 - s) log sigma(b h) - s log sigma(-b h), h the difference of log
 *                         p/ref; hinge (Zhao 2023): max(0, 1 - b h); IPO (Azar 2023): (h - 1/2b)^2
 *   ORPO (Hong 2024):     -mean log p(chosen) - w log sigma(log odds(chosen) / odds(rejected))
 *   KTO (Ethayarajh 2024): l (1 - sigma(+-b (log p/ref - z))) */
hg_pair_loss hg_pair_loss_of(const hg_pair_options *o, const hg_pair *p, double z);

/* One token of an answer with an advantage (Shao et al. 2024, without the outer mean):
 * -(min(q A, clip(q) A) - kl (e^d - d - 1)), q = p / p_old within 1 +- clip, d = log p_ref / p. */
typedef struct hg_token_loss {
    double loss, by; /* by: the derivative by logp */
    double kl;       /* e^d - d - 1 */
    bool is_clipped; /* no gradient comes from the advantage */
} hg_token_loss;
hg_token_loss hg_token_loss_of(double advantage, double logp, double old, double ref, double clip,
                               double kl);

#endif
