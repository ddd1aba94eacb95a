/* Words and n-grams of a text, counted: what BLEU, chrF and ROUGE are made of. */
#ifndef HG_EVAL_GRAMS_H
#define HG_EVAL_GRAMS_H

#include "base/mem.h"

typedef struct hg_words {
    hg_buf text;
    hg_bytes *v; /* [n], in text */
    size_t n, cap;
} hg_words;
/* Splits w->text, which the caller has filled, at white space. */
hg_status hg_words_split(hg_words *w, hg_err *e);
void hg_words_free(hg_words *w);
/* Appends the text in small letters with a space for whatever is no letter, digit or mark. */
void hg_words_plain(hg_buf *out, hg_bytes text);

/* N-grams as 64-bit hashes, sorted: equal ones stand beside each other. */
typedef struct hg_grams {
    uint64_t *v;
    size_t n;
} hg_grams;
hg_status hg_grams_words(hg_grams *out, const hg_words *w, size_t order, hg_err *e);
hg_status hg_grams_chars(hg_grams *out, hg_bytes text, size_t order, hg_err *e);
void hg_grams_free(hg_grams *g);
/* N-grams of `said` that are in a reference, each at most as often as in the one that has it most.
 */
size_t hg_grams_match(const hg_grams *said, const hg_grams *refs, size_t n_refs);

#endif
