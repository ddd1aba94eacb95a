/* The token shards that a pre-training run learns from. */
#ifndef HG_TRAIN_CORPORA_H
#define HG_TRAIN_CORPORA_H

#include "train/mixture.h"
#include "train/recipe.h"
#include "train/windows.h"

/* One shard of all corpora, or with weights one for each. */
typedef struct hg_corpora {
    hg_tokens *tokens;   /* [n] */
    hg_windows *windows; /* [n] */
    size_t n;
    hg_mixture mixture;
    const hg_source *source;
} hg_corpora;

/* Opens the shards, made anew where corpus or vocabulary have changed. Free in any case. */
hg_status hg_corpora_open(hg_corpora *c, const hg_recipe *r, const hg_tokenizer *t, hg_arena *mem,
                          const hg_watch *w, hg_err *e);
/* Cuts them into rows of the recipe's seq_len: c->source. */
hg_status hg_corpora_cut(hg_corpora *c, const hg_recipe *r, hg_arena *mem, hg_err *e);
void hg_corpora_close(hg_corpora *c);

#endif
