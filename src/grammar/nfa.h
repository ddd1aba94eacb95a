/* Between expressions and the automaton: Thompson's construction of one rule, and its subset
 * construction (Rabin & Scott 1959). Private to the building of grammars. */
#ifndef HG_GRAMMAR_NFA_H
#define HG_GRAMMAR_NFA_H

#include "grammar/automaton.h"

typedef enum nfa_kind { NFA_EMPTY, NFA_BYTE, NFA_CALL } nfa_kind;

typedef struct nfa_edge {
    uint32_t to, next; /* next of the same state; HG_NO_STATE ends */
    uint32_t rule;     /* of a call */
    uint8_t kind, lo, hi;
} nfa_edge;

typedef struct nfa_state {
    uint32_t first; /* edge */
    uint32_t alike; /* a state of a long repetition that no token tells from this one */
} nfa_state;

typedef struct nfa {
    hg_build *b;
    nfa_state *states;
    size_t n_states, states_cap;
    nfa_edge *edges;
    size_t n_edges, edges_cap;
    bool flat; /* no calls */
    bool has_alike;
    bool failed; /* no room */
    size_t max_states;
} nfa;

void nfa_init(nfa *a, hg_build *b, bool flat);
void nfa_free(nfa *a);
uint32_t nfa_new(nfa *a);
void nfa_join(nfa *a, uint32_t from, uint32_t to);
void nfa_byte(nfa *a, uint32_t from, uint32_t to, uint8_t lo, uint8_t hi);
/* Adds x between two states; adds no edge into `from` and none out of `to`. */
hg_status nfa_emit(nfa *a, const hg_x *x, uint32_t from, uint32_t to, hg_err *e);
bool hg_x_is_nullable(const hg_build *b, const hg_x *x);

/* Appends the deterministic form to g and gives its first state. Calls hold rules. */
hg_status nfa_determinise(const nfa *a, uint32_t start, uint32_t accept, hg_grammar *g,
                          uint32_t *first, hg_err *e);
/* An automaton of x alone, which uses no rules; to be emptied with hg_grammar_drop. */
hg_status hg_flat_build(hg_grammar *g, hg_build *b, const hg_x *x, uint32_t *first, hg_err *e);
void hg_grammar_drop(hg_grammar *g);
/* Adds the product of two such expressions: both (AND), or the first without the second (MINUS). */
hg_status nfa_product(nfa *a, const hg_x *x, uint32_t from, uint32_t to, hg_err *e);

#endif
