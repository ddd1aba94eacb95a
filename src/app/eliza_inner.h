/* What the files of ELIZA share: a script as tables, and the words that rules work on. Every word
 * of a script is a symbol with a number; an input's words are looked up once, so that matching
 * compares numbers. */
#ifndef HG_APP_ELIZA_INNER_H
#define HG_APP_ELIZA_INNER_H

#include "base/mem.h"
#include <higgins/eliza.h>

/* Symbols that mean something to the reader; they are interned first, in this order. */
enum {
    SYM_EQUALS,
    SYM_START,
    SYM_MEMORY,
    SYM_NONE,
    SYM_DLIST,
    SYM_PRE,
    SYM_NEWKEY,
    SYM_COMMA, /* these three end a clause: BUT is in the program of 1965, not in the paper */
    SYM_STOP,
    SYM_BUT,
    N_SYMS
};
enum { N_MEMORY_FORMS = 4 };

typedef struct eliza_symbol {
    uint32_t at, n; /* in script->text */
    int32_t rule;   /* of the keyword, or -1 */
    int32_t tag;    /* of this name, or -1 */
} eliza_symbol;

typedef enum eliza_item_kind {
    ITEM_NUMBER, /* pattern: a run of n words (0: any length); reassembly: component n */
    ITEM_WORD,   /* the symbol n */
    ITEM_ONE_OF, /* (*A B): the list n of symbols */
    ITEM_TAGGED, /* (/A B): the list n of tags */
    ITEM_NEVER   /* (A B) without star or slash: fits nothing */
} eliza_item_kind;
typedef struct eliza_item {
    uint32_t kind, n;
} eliza_item;

typedef struct eliza_range {
    uint32_t first, n; /* in one of the script's tables */
} eliza_range;

typedef enum eliza_action { ACT_SAY, ACT_NEWKEY, ACT_LINK, ACT_PRE } eliza_action;
typedef struct eliza_reassembly {
    eliza_action action;
    eliza_range items; /* of SAY and PRE */
    uint32_t link;     /* symbol, of LINK and PRE */
} eliza_reassembly;

typedef struct eliza_decomposition {
    eliza_range pattern;      /* items */
    eliza_range reassemblies; /* at least one */
} eliza_decomposition;

typedef struct eliza_rule {
    uint32_t keyword;
    int32_t substitute; /* symbol, or -1 */
    int32_t link;       /* symbol of (=REF), or -1 */
    uint32_t rank;
    eliza_range decompositions;
    eliza_range source; /* bytes of the script */
} eliza_rule;

typedef struct eliza_tag {
    uint32_t name;     /* symbol */
    eliza_range words; /* in tag_words, sorted */
} eliza_tag;

struct hg_eliza_script {
    hg_buf source, text; /* as given; the symbols' letters */
    eliza_symbol *symbol;
    eliza_item *item;
    eliza_range *list; /* in list_id */
    uint32_t *list_id; /* symbols, or numbers of tags */
    eliza_reassembly *reassembly;
    eliza_decomposition *decomposition;
    eliza_rule *rule;
    eliza_tag *tag;
    uint32_t *tag_word;
    uint32_t *slot; /* symbols by hash; symbol + 1, 0: free */
    size_t n_symbols, n_items, n_lists, n_list_ids, n_reassemblies, n_decompositions, n_rules,
        n_tags, n_tag_words, n_slots;
    size_t cap_symbols, cap_items, cap_lists, cap_list_ids, cap_reassemblies, cap_decompositions,
        cap_rules, cap_tags, cap_tag_words;
    int32_t none;   /* rule, or -1 */
    int32_t memory; /* symbol of its keyword, or -1 */
    eliza_range memory_source;
    eliza_decomposition memory_form[N_MEMORY_FORMS];
    eliza_range opening; /* items */
    hg_buf opening_text;
    uint32_t longest; /* items of the longest pattern */
};

/* A word of an input: its letters, and its symbol or -1 when the script does not have it. */
typedef struct eliza_word {
    const char *p;
    uint32_t n;
    int32_t id;
} eliza_word;

/* ---- eliza_words.c ---- */
/* Appends `in` in upper case with the punctuation of 1966: curly quotes, ?, !, : and dashes become
 * what a card punch had. Of an input, control characters and wide spaces become spaces too. */
void eliza_upper(hg_buf *out, hg_bytes in, bool is_input);
/* The symbol of these letters, or -1. */
int32_t eliza_find_symbol(const hg_eliza_script *s, const char *p, size_t n);
hg_status eliza_add_symbol(hg_eliza_script *s, const char *p, size_t n, uint32_t *out, hg_err *e);
hg_bytes eliza_symbol_text(const hg_eliza_script *s, uint32_t symbol);
/* Upper-cases into `letters` and splits at spaces, commas and full stops. *words grows as needed.
 * HG_E_LIMIT over HG_ELIZA_MAX_WORDS. */
hg_status eliza_split(const hg_eliza_script *s, hg_bytes in, hg_buf *letters, eliza_word **words,
                      size_t *cap, size_t *n, hg_err *e);
/* The last six letters of a word as a machine word of 36 bits, and SLIP's hash of such a word. */
uint64_t eliza_last_chunk(const char *p, size_t n);
uint32_t eliza_hash(uint64_t datum, unsigned bits);

/* ---- eliza_match.c ---- */
/* Whether all n words fit the pattern; part [pattern.n] gets what each item took. *left counts down
 * with each word looked at; at 0 nothing fits any more. */
bool eliza_match(const hg_eliza_script *s, eliza_range pattern, const eliza_word *w, size_t n,
                 bool six_letters, eliza_range *part, uint64_t *left);
/* Items as a script writes them: "0 YOU (*WANT NEED) 0". */
void eliza_put_items(hg_buf *b, const hg_eliza_script *s, eliza_range items);

/* ---- eliza_trace.c ---- */
typedef struct eliza_trace {
    bool is_on;
    hg_arena mem;
    hg_buf scratch;
    hg_eliza_event *event; /* [HG_ELIZA_MAX_EVENTS + 2] */
    size_t n, n_cut, n_bytes;
} eliza_trace;
void eliza_trace_begin(eliza_trace *t);
/* Adds an event whose texts are copied, and returns it to be filled in, or NULL when nothing is
 * traced or the trace is full. */
hg_eliza_event *eliza_trace_add(eliza_trace *t, hg_eliza_kind kind, hg_bytes text, hg_bytes other);
/* Gives the event n parts, empty ones. */
hg_bytes *eliza_trace_parts(eliza_trace *t, hg_eliza_event *ev, size_t n);
hg_bytes eliza_trace_copy(eliza_trace *t, hg_bytes text);
/* Words joined by spaces, from `first`; lives until the next call. */
hg_bytes eliza_trace_words(eliza_trace *t, const eliza_word *w, size_t n);
hg_bytes eliza_trace_items(eliza_trace *t, const hg_eliza_script *s, eliza_range items);
void eliza_trace_free(eliza_trace *t);

/* Words with one space between. */
void eliza_put_words(hg_buf *b, const eliza_word *w, size_t n, bool commas_apart);

#endif
