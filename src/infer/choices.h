/* What may come next and how likely each is: the set that the stages of sampling narrow. */
#ifndef HG_INFER_CHOICES_H
#define HG_INFER_CHOICES_H

#include "base/mem.h"
#include "kernels/kernels.h"

enum { HG_CHOICE_BLOCK = 64 }; /* ids whose best logit is remembered together */

typedef struct hg_ranked {
    float key;
    int32_t at; /* its place in the set: lower ids first */
} hg_ranked;

/* One thread's room for a vocabulary, made once. The set is all ids until a cut leaves fewer; it
 * lies in the order of ids always, so that ties can go to the lowest. */
typedef struct hg_choices {
    const hg_kernels *k;
    size_t n_vocab;
    float *x;   /* [n_vocab] logits by id: the caller's, or... */
    float *own; /* ...a copy of them */
    bool all;   /* the set is all ids, and its logits are x */
    size_t n;
    int32_t *id;  /* [n] unless all */
    float *logit; /* [n]; x while all */
    float *w;     /* [n] weights exp(logit - max), and... */
    double sum;   /* ...their sum, once weighed */
    float *some;  /* [n_vocab] room for logits of fewer */
    float *block; /* best logit of each HG_CHOICE_BLOCK ids, while `blocks_hold` */
    bool blocks_hold;
    hg_ranked *heap; /* [n_vocab] */
    uint8_t *keep;   /* [n_vocab] */
    uint32_t *count; /* [n_vocab] zeros between calls; for the penalties */
    uint32_t *bits;  /* a constraint's mask */
    int32_t *match;  /* [match_cap] lengths of repetitions */
    size_t match_cap;
} hg_choices;

hg_status hg_choices_init(hg_choices *c, size_t n_vocab, const hg_kernels *k, hg_err *e);
void hg_choices_free(hg_choices *c);
/* All ids, with these logits [n_vocab], which stages may change where they lie. HG_E_FORMAT when
 * one is NaN or +infinity. */
hg_status hg_choices_take(hg_choices *c, float *logits, hg_err *e);
/* The same with a copy of them. */
hg_status hg_choices_load(hg_choices *c, const float *logits, hg_err *e);
static inline int32_t hg_choice_id(const hg_choices *c, size_t i)
{
    return c->all ? (int32_t)i : c->id[i];
}

/* For stages that change some logits by id, whatever the set is: open, look at c->x and set, close.
 */
void hg_choices_open(hg_choices *c);
void hg_choices_set(hg_choices *c, int32_t id, float logit);
void hg_choices_close(hg_choices *c);
float hg_choices_max(hg_choices *c); /* -INFINITY when nothing may come */
/* Weights and their sum; the best one's is 1, to the kernel's last bit. */
void hg_choices_weigh(hg_choices *c);

/* ---- cuts; each leaves one at the least ---- */
void hg_cut_below(hg_choices *c, float logit); /* keeps logits from this on */
/* Of all ids, those whose bit is set; may leave none, or as -infinity what is not. */
void hg_cut_unmarked(hg_choices *c, const uint32_t *bits);
void hg_cut_top_k(hg_choices *c, size_t k);
void hg_cut_top_p(hg_choices *c, float share);
void hg_cut_typical(hg_choices *c, float share);
void hg_cut_xtc(hg_choices *c, float share);
void hg_cut_best(hg_choices *c); /* the best alone, of equals the lowest id */
/* The n best of the whole set, the best first, into at[n] (n <= the set). */
void hg_choices_rank(hg_choices *c, size_t n, int32_t *at);

#endif
