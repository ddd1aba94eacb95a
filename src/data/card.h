/* The data card: what a corpus holds, where it came from, what was left out and why. */
#ifndef HG_DATA_CARD_H
#define HG_DATA_CARD_H

#include "data/shards.h"
#include "data/tally.h"

#define HG_CARD_FORMAT "higgins-corpus-1"

typedef struct hg_card {
    hg_tally *tally; /* its names are sorted by the first of the calls below */
    const hg_shard *shards;
    size_t n_shards;
    const hg_collect_options *options;
    const char *options_key; /* hg_card_options_key */
    const char *joules_source;
    char made[32]; /* time */
} hg_card;

/* Sources and options as one line of JSON: two corpora with the same line were made alike. */
void hg_card_options_key(hg_buf *b, const char *const *sources, size_t n,
                         const hg_collect_options *o);
void hg_card_json(hg_buf *b, const hg_card *c);
void hg_card_html(hg_buf *b, const hg_card *c);

#endif
