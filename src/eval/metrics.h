/* Metrics of what a model says against what is right. Each row leaves counts; a figure is made of
 * the counts of any choice of rows, so that the bootstrap can draw them anew. */
#ifndef HG_EVAL_METRICS_H
#define HG_EVAL_METRICS_H

#include "eval/eval.h"

/* ---- bleu.c: sacrebleu's corpus BLEU (Papineni et al. 2002, Post 2018), of its signature
 * nrefs:N|case:mixed|eff:no|tok:13a|smooth:exp ---- */
typedef struct hg_bleu {
    double match[4], total[4], said, right; /* n-grams; words, of the closest reference */
} hg_bleu;
hg_status hg_bleu_count(hg_bleu *out, hg_bytes said, const hg_bytes *right, size_t n, hg_err *e);
double hg_bleu_score(const hg_bleu *sum); /* 0 to 100 */
/* The tokenizer 13a: words with single spaces between. */
void hg_bleu_words(hg_buf *out, hg_bytes text);

/* ---- chrf.c: sacrebleu's chrF2 (Popovic 2015), of its signature
 * nrefs:N|case:mixed|eff:yes|nc:6|nw:0|space:no ---- */
enum { HG_CHRF_ORDER = 6 };
typedef struct hg_chrf {
    double match[HG_CHRF_ORDER], said[HG_CHRF_ORDER], right[HG_CHRF_ORDER];
} hg_chrf;
hg_status hg_chrf_count(hg_chrf *out, hg_bytes said, const hg_bytes *right, size_t n, hg_err *e);
double hg_chrf_score(const hg_chrf *sum); /* 0 to 100 */

/* ---- rouge.c: ROUGE-1, -2 and -L as F1 (Lin 2004), 0 to 1, of the best reference for each; words
 * are runs of letters and digits in small letters, not stemmed, and L looks at the text as one
 * sentence ---- */
typedef struct hg_rouge {
    double one, two, l;
} hg_rouge;
hg_status hg_rouge_score(hg_rouge *out, hg_bytes said, const hg_bytes *right, size_t n, hg_err *e);

/* ---- squad.c: SQuAD's exact match and F1 of words (Rajpurkar et al. 2016), of the best answer
 * for each; small letters, without ASCII punctuation, a, an and the ---- */
typedef struct hg_squad {
    bool is_exact;
    double f1;
} hg_squad;
hg_status hg_squad_score(hg_squad *out, hg_bytes said, const hg_bytes *right, size_t n, hg_err *e);
void hg_squad_normal(hg_buf *out, hg_bytes text);

/* ---- labels.c: classes ---- */
enum { HG_MAX_LABELS = 64 };
/* The mean of each class's F1, over classes that are right or were said; cell[n][n], right by said.
 */
double hg_macro_f1(const uint64_t *cell, size_t n);
/* Of one class: 0 where there is none. */
double hg_class_f1(const uint64_t *cell, size_t n, size_t label);

/* ---- stats.c ---- */
/* A figure of the rows pick[0, n), some of them more than once. */
typedef double hg_metric_fn(const void *ctx, const size_t *pick, size_t n);
/* 95% by the bootstrap over n rows. With `other` (of the same rows) of the difference to it. */
hg_status hg_bootstrap_metric(hg_metric_fn *fn, const void *ctx, const void *other, size_t n,
                              uint32_t rounds, uint64_t seed, hg_interval *out, hg_err *e);

#endif
