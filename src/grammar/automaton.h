/* The automaton of a grammar: one deterministic part a rule, over bytes, whose states may also call
 * other rules. What a text may go on with is a set of states, each with the calls that it is inside
 * of; stacks.h walks it. */
#ifndef HG_GRAMMAR_AUTOMATON_H
#define HG_GRAMMAR_AUTOMATON_H

#include "base/hash.h"
#include "grammar/expr.h"

#define HG_NO_STATE UINT32_MAX
#define HG_FAR UINT32_MAX

typedef struct hg_edge {
    uint32_t to;
    uint8_t lo, hi;
} hg_edge;

typedef struct hg_call {
    uint32_t start, to; /* the called rule's first state, and where it goes on afterwards */
} hg_call;

/* Which step leads to the end over the fewest bytes. */
typedef enum hg_way { HG_WAY_NONE, HG_WAY_HERE, HG_WAY_EDGE, HG_WAY_CALL } hg_way;

typedef struct hg_state {
    uint32_t edge, call; /* the first ones; edges are sorted and apart */
    uint16_t n_edges, n_calls;
    bool accept; /* the rule may end here */
    bool is_end; /* and cannot go on */
    uint8_t way;
    uint32_t way_at;   /* the edge or call of the way */
    uint32_t distance; /* bytes to the rule's end at the least; HG_FAR: never */
    uint32_t alike;    /* a state that no token tells from this one (perhaps itself) */
} hg_state;

struct hg_grammar {
    atomic_uint refs;
    hg_hash128 id; /* of what it was made from */
    uint64_t work; /* members of sets that were looked at so far */
    hg_state *states;
    size_t n_states, states_cap;
    hg_edge *edges;
    size_t n_edges, edges_cap;
    hg_call *calls;
    size_t n_calls, calls_cap;
    uint32_t
        *order; /* [n_states] so that the way of each goes over earlier ones; far ones left out */
    size_t n_order;
    uint32_t root;
};

/* Builds the automaton; `root` is a rule of b. HG_E_FORMAT when no text matches, HG_E_LIMIT over
 * HG_MAX_GRAMMAR_STATES. `id` names what the grammar was made from. */
hg_status hg_grammar_build(hg_grammar **out, hg_build *b, uint32_t root, hg_hash128 id, hg_err *e);
/* Whether no text matches (both) x and y, which use no rules. */
hg_status hg_x_is_never(hg_build *b, const hg_x *x, bool *never, hg_err *e);

/* The state behind byte c, or HG_NO_STATE. */
static inline uint32_t hg_state_next(const hg_grammar *g, const hg_state *s, uint8_t c)
{
    uint32_t n = s->n_edges;
    if (n == 0) return HG_NO_STATE; /* a grammar of empty texts has no edges at all */
    const hg_edge *e = g->edges + s->edge;
    while (n > 8) {
        const uint32_t half = n / 2;
        if (e[half].lo <= c) e += half;
        n -= half;
    }
    for (; n > 0; n--, e++)
        if (c <= e->hi) return c >= e->lo ? e->to : HG_NO_STATE;
    return HG_NO_STATE;
}

#endif
