/* Is this text worth learning from? Figures of a cleaned document, and the rules they must pass. */
#ifndef HG_DATA_QUALITY_H
#define HG_DATA_QUALITY_H

#include "base/mem.h"
#include "text/script.h"
#include <higgins/collect.h>

typedef enum hg_rule {
    HG_RULE_BROKEN,
    HG_RULE_LETTERS,
    HG_RULE_SYMBOLS,
    HG_RULE_SHORT_WORDS,
    HG_RULE_LONG_WORDS,
    HG_RULE_BULLETS,
    HG_RULE_ELLIPSES,
    HG_RULE_LINES,
    HG_RULE_LINE_CHARS,
    HG_RULE_PARAGRAPHS,
    HG_RULE_PARAGRAPH_CHARS,
    HG_RULE_TOP_2,
    HG_RULE_TOP_3,
    HG_RULE_TOP_4,
    HG_RULE_GRAMS_5,
    HG_RULE_GRAMS_10,
    HG_N_RULES
} hg_rule;

typedef struct hg_figures {
    size_t n_chars, n_words, n_lines;
    uint64_t script[HG_N_SCRIPTS]; /* characters of each */
    double rule[HG_N_RULES];
} hg_figures;

/* Scratch that is reused from document to document. Starts as {0}. */
typedef struct hg_quality {
    struct hg_gram *table;
    size_t table_cap;
    uint64_t *word;   /* hash of each word */
    uint32_t *length; /* its bytes and the space behind it */
    size_t word_cap, length_cap;
    uint32_t stamp; /* entries of the table that bear another one are empty */
} hg_quality;
void hg_quality_free(hg_quality *q);

/* Measures a clean text (hg_text_clean). */
hg_status hg_quality_measure(hg_quality *q, hg_bytes text, hg_figures *out, hg_err *e);
/* The first rule broken, or HG_N_RULES. `kept` bit i: rule i does not drop. */
hg_rule hg_quality_judge(const hg_figures *f, uint32_t kept);
/* The rule of that name, or HG_N_RULES. */
hg_rule hg_rule_find(const char *name);

#endif
