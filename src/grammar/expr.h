/* What the front ends (GBNF, regular expressions, JSON schemas) make and the automaton is built
 * from: expressions over bytes and characters, and rules that name them. Expressions are immutable,
 * may be shared, and live in the builder's arena. When memory ends a constructor gives NULL, and
 * whatever is made of a NULL is NULL, so that a front end checks once. */
#ifndef HG_GRAMMAR_EXPR_H
#define HG_GRAMMAR_EXPR_H

#include <higgins/grammar.h>
#include "base/mem.h"

#define HG_X_FOREVER UINT32_MAX

typedef struct hg_range {
    uint32_t lo, hi; /* characters, both included */
} hg_range;

typedef enum hg_x_kind {
    HG_X_NEVER, /* matches nothing, not even the empty text */
    HG_X_EMPTY,
    HG_X_BYTES,
    HG_X_SET, /* one character of a set, in UTF-8 */
    HG_X_SEQ,
    HG_X_ALT,
    HG_X_REPEAT,
    HG_X_RULE,
    HG_X_LIST,  /* elements in their order with a separator between those that are there */
    HG_X_AND,   /* what both match; neither may use rules */
    HG_X_MINUS, /* what the first matches and the second does not; neither may use rules */
    HG_X_MODULO /* decimal digits of a multiple of min */
} hg_x_kind;

typedef struct hg_x hg_x;
struct hg_x {
    hg_x_kind kind;
    uint32_t n;        /* bytes, ranges or kids */
    uint32_t min, max; /* of a repeat; of a list, how many elements in all */
    uint32_t rule;     /* of HG_X_RULE; of others, the rule made for them + 1 */
    uint32_t weight;   /* about how many states it takes */
    uint32_t depth;    /* of what is below, 0 for none: passes over it recurse */
    bool has_rules;    /* somewhere below */
    union {
        const char *bytes;
        const hg_range *ranges; /* sorted, apart */
        hg_x **kids;
        struct hg_x_element *elements;
    } u;
    hg_x *separator; /* of a list */
};

/* An element of a list comes min to max times; each time counts for the list's own bounds. */
typedef struct hg_x_element {
    hg_x *x;
    uint32_t min, max; /* 0 or 1, and 1 or HG_X_FOREVER */
} hg_x_element;

typedef struct hg_rule {
    const char *name;
    hg_x *x;             /* NULL: used and not yet defined */
    size_t line, column; /* where it was first seen */
    bool nullable;       /* matches the empty text; found when the grammar is built */
    uint32_t start;      /* its first state */
} hg_rule;

typedef struct hg_build {
    hg_arena mem;
    hg_rule *rules;
    size_t n_rules, rules_cap;
    size_t n_nodes;
    bool failed;      /* memory or HG_MAX_NODES ended */
    bool is_too_deep; /* and that is why: HG_MAX_X_DEPTH */
} hg_build;

enum {
    HG_MAX_NODES = 1 << 20,
    HG_MAX_RULES = 1 << 16,
    HG_GRAMMAR_DEPTH = 128,
    HG_MAX_X_DEPTH = 2048
};

void hg_build_init(hg_build *b);
void hg_build_free(hg_build *b);
/* HG_E_LIMIT or HG_E_NOMEM when something was NULL. */
hg_status hg_build_check(const hg_build *b, hg_err *e);

hg_x *hg_x_never(hg_build *b);
hg_x *hg_x_empty(hg_build *b);
hg_x *hg_x_bytes(hg_build *b, const char *p, size_t n); /* copied */
hg_x *hg_x_text(hg_build *b, const char *s);
/* Any ranges in any order; surrogates and what is over U+10FFFF are left out. */
hg_x *hg_x_set(hg_build *b, const hg_range *ranges, size_t n);
hg_x *hg_x_seq(hg_build *b, hg_x *const *kids, size_t n);
hg_x *hg_x_alt(hg_build *b, hg_x *const *kids, size_t n);
hg_x *hg_x_seq2(hg_build *b, hg_x *first, hg_x *second);
hg_x *hg_x_seq3(hg_build *b, hg_x *first, hg_x *second, hg_x *third);
hg_x *hg_x_alt2(hg_build *b, hg_x *first, hg_x *second);
hg_x *hg_x_repeat(hg_build *b, hg_x *x, uint32_t min, uint32_t max);
hg_x *hg_x_rule(hg_build *b, uint32_t rule);
hg_x *hg_x_list(hg_build *b, const hg_x_element *elements, size_t n, hg_x *separator, uint32_t min,
                uint32_t max);
hg_x *hg_x_and(hg_build *b, hg_x *first, hg_x *second);
hg_x *hg_x_minus(hg_build *b, hg_x *first, hg_x *second);
hg_x *hg_x_modulo(hg_build *b, uint32_t divisor);

/* A rule to be defined by hg_rule_set; HG_MAX_RULES and failed when there is no room. */
uint32_t hg_rule_new(hg_build *b, const char *name, size_t n);
void hg_rule_set(hg_build *b, uint32_t rule, hg_x *x);

/* ---- sets of characters ---- */
enum { HG_MAX_CHAR = 0x10FFFF };
/* Sorts and joins in place; returns how many are left. */
size_t hg_ranges_join(hg_range *r, size_t n);
/* Everything else, into out of room for n + 1; r is joined. */
size_t hg_ranges_invert(const hg_range *r, size_t n, hg_range *out);

/* Calls fn with the sequences of byte ranges that spell lo to hi in UTF-8 (none a surrogate). */
typedef void hg_utf8_fn(void *ctx, const uint8_t (*range)[2], size_t n);
void hg_utf8_ranges(uint32_t lo, uint32_t hi, hg_utf8_fn *fn, void *ctx);

#endif
