/* From rules to the automaton: what matches the empty text is found first (so that calls of it can
 * be stepped over), then each rule is built, then the shortest way to each rule's end, which also
 * shows what can never end and is taken out. */
#include "grammar/nfa.h"

#include <stdlib.h>

/* ---- the empty text ---- */
static void find_nullable(hg_build *b)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t r = b->n_rules; r-- > 0;) {
            hg_rule *rule = &b->rules[r];
            if (rule->nullable || !hg_x_is_nullable(b, rule->x)) continue;
            rule->nullable = changed = true;
        }
    }
}

static hg_status build_rule(hg_grammar *g, hg_build *b, size_t r, hg_err *e)
{
    nfa a;
    nfa_init(&a, b, false);
    const uint32_t start = nfa_new(&a), accept = nfa_new(&a);
    hg_status s = a.failed ? hg_fail(e, HG_E_NOMEM, "no room for the grammar")
                           : nfa_emit(&a, b->rules[r].x, start, accept, e);
    uint32_t first = 0;
    if (s == HG_OK) s = nfa_determinise(&a, start, accept, g, &first, e);
    b->rules[r].start = first;
    nfa_free(&a);
    return s;
}

/* ---- the shortest way (Knuth 1977, by rounds: the graphs are nearly in order) ---- */
static uint32_t sum(uint32_t a, uint32_t b)
{
    return a == HG_FAR || b == HG_FAR || a + b < a ? HG_FAR : a + b;
}

static bool shorten(hg_grammar *g, hg_state *q)
{
    const uint32_t before = q->distance;
    if (q->accept && before != 0) {
        q->distance = 0;
        q->way = HG_WAY_HERE;
    }
    for (uint32_t i = 0; i < q->n_edges; i++) {
        const uint32_t d = sum(1, g->states[g->edges[q->edge + i].to].distance);
        if (d >= q->distance) continue;
        q->distance = d;
        q->way = HG_WAY_EDGE;
        q->way_at = q->edge + i;
    }
    for (uint32_t i = 0; i < q->n_calls; i++) {
        const hg_call *c = &g->calls[q->call + i];
        const uint32_t d = sum(g->states[c->start].distance, g->states[c->to].distance);
        if (d >= q->distance) continue;
        q->distance = d;
        q->way = HG_WAY_CALL;
        q->way_at = q->call + i;
    }
    return q->distance != before;
}

static int by_turn(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* `turn` remembers in which step a state got its distance: it went over earlier ones. */
static hg_status find_ways(hg_grammar *g, hg_err *e)
{
    const size_t n = g->n_states;
    uint64_t step = 0;
    uint64_t *turn = hg_alloc(n, sizeof *turn);
    g->order = hg_alloc(n, sizeof *g->order);
    if (turn == NULL || g->order == NULL) {
        hg_free(turn);
        return hg_fail(e, HG_E_NOMEM, "no room for the grammar");
    }
    for (bool changed = true, down = true; changed; down = !down) {
        changed = false;
        for (size_t i = 0; i < n; i++) {
            const size_t q = down ? n - 1 - i : i;
            if (!shorten(g, &g->states[q])) continue;
            turn[q] = ++step;
            changed = true;
        }
    }
    uint64_t *keyed = hg_alloc(n, sizeof *keyed);
    if (keyed == NULL || step >= (1ull << 44)) {
        hg_free(turn);
        hg_free(keyed);
        return hg_fail(e, HG_E_NOMEM, "no room for the grammar");
    }
    for (size_t q = 0; q < n; q++)
        if (turn[q] != 0) keyed[g->n_order++] = turn[q] << 20 | q;
    qsort(keyed, g->n_order, sizeof *keyed, by_turn);
    for (size_t i = 0; i < g->n_order; i++) g->order[i] = (uint32_t)(keyed[i] & 0xFFFFF);
    hg_free(turn);
    hg_free(keyed);
    return HG_OK;
}

/* Takes out edges and calls that lead to no end. */
static void prune(hg_grammar *g)
{
    for (size_t i = 0; i < g->n_states; i++) {
        hg_state *q = &g->states[i];
        uint32_t kept = 0;
        for (uint32_t k = 0; k < q->n_edges; k++) {
            const hg_edge x = g->edges[q->edge + k];
            if (g->states[x.to].distance == HG_FAR) continue;
            if (q->way == HG_WAY_EDGE && q->way_at == q->edge + k) q->way_at = q->edge + kept;
            g->edges[q->edge + kept++] = x;
        }
        q->n_edges = (uint16_t)kept;
        kept = 0;
        for (uint32_t k = 0; k < q->n_calls; k++) {
            const hg_call x = g->calls[q->call + k];
            if (g->states[x.start].distance == HG_FAR || g->states[x.to].distance == HG_FAR)
                continue;
            if (q->way == HG_WAY_CALL && q->way_at == q->call + k) q->way_at = q->call + kept;
            g->calls[q->call + kept++] = x;
        }
        q->n_calls = (uint16_t)kept;
        q->is_end = q->accept && q->n_edges == 0 && q->n_calls == 0;
    }
}

hg_status hg_grammar_build(hg_grammar **out, hg_build *b, uint32_t root, hg_hash128 id, hg_err *e)
{
    *out = NULL;
    HG_TRY(hg_build_check(b, e));
    hg_grammar *g = hg_alloc(1, sizeof *g);
    if (g == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the grammar");
    hg_status s = HG_OK;
    find_nullable(b);
    /* Building may add rules for what is repeated. */
    for (size_t r = 0; r < b->n_rules && s == HG_OK; r++) s = build_rule(g, b, r, e);
    if (s == HG_OK) s = hg_build_check(b, e);
    for (size_t i = 0; i < g->n_calls && s == HG_OK; i++)
        g->calls[i].start = b->rules[g->calls[i].start].start;
    if (s == HG_OK) s = find_ways(g, e);
    if (s == HG_OK && g->states[b->rules[root].start].distance == HG_FAR)
        s = hg_fail(e, HG_E_FORMAT,
                    "no text matches the grammar: every way through it goes on "
                    "forever or asks for what cannot be");
    if (s != HG_OK) {
        hg_grammar_drop(g);
        hg_free(g);
        return s;
    }
    prune(g);
    atomic_init(&g->refs, 1);
    g->id = id;
    g->root = b->rules[root].start;
    *out = g;
    return HG_OK;
}

hg_status hg_x_is_never(hg_build *b, const hg_x *x, bool *never, hg_err *e)
{
    hg_grammar g;
    uint32_t first;
    HG_TRY(hg_flat_build(&g, b, x, &first, e));
    const hg_status s = find_ways(&g, e);
    if (s == HG_OK) *never = g.states[first].distance == HG_FAR;
    hg_grammar_drop(&g);
    return s;
}

hg_grammar *hg_grammar_share(const hg_grammar *g)
{
    union {
        const hg_grammar *in;
        hg_grammar *out;
    } same = {g}; /* only the count of owners changes */
    if (g != NULL) atomic_fetch_add(&same.out->refs, 1);
    return same.out;
}

void hg_grammar_free(hg_grammar *g)
{
    if (g == NULL || atomic_fetch_sub(&g->refs, 1) > 1) return;
    hg_grammar_drop(g);
    hg_free(g);
}

size_t hg_grammar_states(const hg_grammar *g)
{
    return g->n_states;
}
