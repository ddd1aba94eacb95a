/* The well-known patterns of pre-tokenisers, and code that splits as they do. */
#ifndef HG_TOKEN_WORDS_H
#define HG_TOKEN_WORDS_H

#include "token/token.h"

#define HG_PATTERN_GPT2 \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/* The English short forms, in the three spellings that are about. */
#define HG_SHORT_I "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define HG_SHORT_AA "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
#define HG_SHORT_TIKTOKEN \
    "('s|'S|'t|'T|'re|'rE|'Re|'RE|'ve|'vE|'Ve|'VE|'m|'M|'ll|'lL|'Ll|'LL|'d|'D)"

#define HG_PATTERN_CL100K(short_form, digits)           \
    short_form "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits \
               "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define HG_PATTERN_QWEN35                                                                  \
    HG_SHORT_I "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+" \
               "[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define HG_UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define HG_LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define HG_PATTERN_O200K(suffix, digits)                                                         \
    "[^\\r\\n\\p{L}\\p{N}]?" HG_UPPER "*" HG_LOWER "+" suffix "|[^\\r\\n\\p{L}\\p{N}]?" HG_UPPER \
    "+" HG_LOWER "*" suffix "|" digits                                                           \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* The length of the word at p, 1 to n; n > 0, and p is UTF-8. */
typedef size_t hg_word_length(const unsigned char *p, size_t n);
/* NULL when the pattern has no code of its own. */
hg_word_length *hg_words_find(const char *pattern);

#endif
