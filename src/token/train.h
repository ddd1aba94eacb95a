/* Training a byte-level BPE tokenizer: text in, tokenizer out. */
#ifndef HG_TOKEN_TRAIN_H
#define HG_TOKEN_TRAIN_H

#include "token/token.h"

/* Strings by number, each once. */
typedef struct hg_string {
    uint64_t at; /* in bytes */
    uint32_t n;
    uint32_t hash; /* high half of the 64 bits; the low half finds the slot */
} hg_string;
typedef struct hg_strings {
    char *bytes;
    size_t n_bytes, bytes_cap;
    hg_string *item;
    size_t n, cap;
    uint32_t *slot; /* number + 1; 0: free */
    size_t mask;
} hg_strings;
/* The number of the string, which is new when it equals the n from before. */
hg_status hg_strings_put(hg_strings *s, const char *p, size_t n, uint32_t *out, hg_err *e);
hg_bytes hg_strings_get(const hg_strings *s, uint32_t i);
void hg_strings_free(hg_strings *s);

/* What merging works on: the distinct words and how often each was met. */
typedef struct hg_word_counts {
    hg_strings words;
    uint64_t *count; /* [words.n] */
    size_t count_cap;
} hg_word_counts;

/* A merge: two tokens (numbers: 0 to 255 are the bytes, then in the order of making). */
typedef struct hg_pair {
    uint32_t left, right;
} hg_pair;
typedef struct hg_merged {
    hg_strings tokens; /* the bytes of each token, in order */
    hg_pair *merge;
    size_t n_merges, merge_cap;
    uint64_t n_tokens; /* that the counted words come to */
} hg_merged;
/* Merges the most frequent pair again and again until there are n_tokens tokens, or no pair is left
 * that occurs twice. Of pairs that are equally frequent the one whose texts are greater in byte
 * order goes first, so that the result depends on nothing but the counts. */
hg_status hg_merge_words(hg_merged *out, const hg_word_counts *words, size_t n_tokens,
                         const hg_watch *w, hg_err *e);
void hg_merged_free(hg_merged *m);

typedef struct hg_trainer hg_trainer;
hg_status hg_trainer_new(hg_trainer **out, const hg_tokenizer_options *o, hg_err *e);
void hg_trainer_free(hg_trainer *tr);
hg_status hg_trainer_add(hg_trainer *tr, hg_bytes document, hg_err *e); /* UTF-8 */
hg_status hg_trainer_finish(hg_trainer *tr, hg_tokenizer **out, hg_tokenizer_stats *stats,
                            const hg_watch *w, hg_err *e);

#endif
