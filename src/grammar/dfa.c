/* The subset construction: a deterministic state is the set of states that the nondeterministic
 * automaton could be in. Calls of the same rule from one set become one call. Intersections and
 * differences are products of two such automata. */
#include "grammar/nfa.h"

#include <stdlib.h>
#include <string.h>

typedef struct set {
    const uint32_t *at; /* sorted */
    uint32_t n;
} set;

typedef struct subset {
    const nfa *a;
    hg_grammar *g;
    hg_arena mem;
    uint32_t first; /* the number of the first set in g */
    set *sets;
    size_t n_sets, sets_cap;
    uint32_t *table; /* open addressing: set + 1, or 0 */
    size_t mask;
    uint32_t *mark; /* [n nfa states] the round in which it was added */
    uint32_t round;
    uint32_t *todo; /* [n nfa states] */
    uint32_t *found;
    size_t n_found;
    uint32_t accept;
} subset;

static hg_status no_room(hg_err *e)
{
    return hg_fail(e, HG_E_NOMEM, "no room for the grammar's automaton");
}

static void begin(subset *s)
{
    s->round++;
    s->n_found = 0;
}

/* Adds a state and what it reaches without a byte. */
static void add(subset *s, uint32_t state)
{
    size_t n = 0;
    if (s->mark[state] == s->round) return;
    s->mark[state] = s->round;
    s->todo[n++] = state;
    while (n > 0) {
        const uint32_t q = s->todo[--n];
        s->found[s->n_found++] = q;
        for (uint32_t i = s->a->states[q].first; i != HG_NO_STATE; i = s->a->edges[i].next) {
            const nfa_edge *x = &s->a->edges[i];
            if (x->kind != NFA_EMPTY || s->mark[x->to] == s->round) continue;
            s->mark[x->to] = s->round;
            s->todo[n++] = x->to;
        }
    }
}

static int by_number(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static hg_status table_grow(subset *s, hg_err *e)
{
    const size_t n = s->table == NULL ? 1024 : 2 * (s->mask + 1);
    uint32_t *t = hg_alloc(n, sizeof *t);
    if (t == NULL) return no_room(e);
    hg_free(s->table);
    s->table = t;
    s->mask = n - 1;
    for (size_t i = 0; i < s->n_sets; i++) {
        size_t at = hg_hash64(s->sets[i].at, s->sets[i].n * sizeof(uint32_t), 0) & s->mask;
        while (t[at] != 0) at = (at + 1) & s->mask;
        t[at] = (uint32_t)i + 1;
    }
    return HG_OK;
}

/* The number of the set found, new or known; *out is a state of g. */
static hg_status intern(subset *s, uint32_t *out, hg_err *e)
{
    s->g->work += s->n_found + 1;
    if (s->g->work > HG_MAX_GRAMMAR_WORK)
        return hg_fail(e, HG_E_LIMIT,
                       "the grammar takes too long to prepare; it has too many members that may be "
                       "left out, or alternatives that begin alike");
    qsort(s->found, s->n_found, sizeof *s->found, by_number);
    if (2 * (s->n_sets + 1) > s->mask) HG_TRY(table_grow(s, e));
    const size_t size = s->n_found * sizeof *s->found;
    size_t at = hg_hash64(s->found, size, 0) & s->mask;
    for (; s->table[at] != 0; at = (at + 1) & s->mask) {
        const set *known = &s->sets[s->table[at] - 1];
        if (known->n == s->n_found && memcmp(known->at, s->found, size) == 0) {
            *out = s->first + s->table[at] - 1;
            return HG_OK;
        }
    }
    hg_grammar *g = s->g;
    if (g->n_states >= HG_MAX_GRAMMAR_STATES)
        return hg_fail(e, HG_E_LIMIT, "the grammar needs over %d states; make it simpler",
                       HG_MAX_GRAMMAR_STATES);
    HG_TRY(hg_grow(&s->sets, &s->sets_cap, s->n_sets, sizeof *s->sets, e));
    HG_TRY(hg_grow(&g->states, &g->states_cap, g->n_states, sizeof *g->states, e));
    uint32_t *copy = HG_NEW_RAW(&s->mem, uint32_t, s->n_found + 1);
    if (copy == NULL) return no_room(e);
    memcpy(copy, s->found, size);
    s->sets[s->n_sets] = (set){copy, (uint32_t)s->n_found};
    s->table[at] = (uint32_t)++s->n_sets;
    *out = (uint32_t)g->n_states++;
    g->states[*out] = (hg_state){.alike = *out, .distance = HG_FAR};
    return HG_OK;
}

static hg_status put_edge(hg_grammar *g, uint32_t state, uint8_t lo, uint8_t hi, uint32_t to,
                          hg_err *e)
{
    hg_state *q = &g->states[state];
    if (q->n_edges > 0) {
        hg_edge *last = &g->edges[g->n_edges - 1];
        if (last->to == to && last->hi + 1 == lo) {
            last->hi = hi;
            return HG_OK;
        }
    }
    HG_TRY(hg_grow(&g->edges, &g->edges_cap, g->n_edges, sizeof *g->edges, e));
    g->edges[g->n_edges++] = (hg_edge){to, lo, hi};
    q->n_edges++;
    return HG_OK;
}

/* All edges of one kind that leave the set's states. */
static hg_status gather(const nfa *a, set from, nfa_kind kind, nfa_edge **out, size_t *cap,
                        size_t *n, hg_err *e)
{
    *n = 0;
    for (uint32_t k = 0; k < from.n; k++)
        for (uint32_t i = a->states[from.at[k]].first; i != HG_NO_STATE; i = a->edges[i].next) {
            if (a->edges[i].kind != kind) continue;
            HG_TRY(hg_grow(out, cap, *n, sizeof **out, e));
            (*out)[(*n)++] = a->edges[i];
        }
    return HG_OK;
}

static hg_status bytes(subset *s, uint32_t state, const nfa_edge *x, size_t n, hg_err *e)
{
    bool cut[257] = {false};
    for (size_t i = 0; i < n; i++) cut[x[i].lo] = cut[x[i].hi + 1] = true;
    s->g->states[state].edge = (uint32_t)s->g->n_edges;
    for (unsigned lo = 0, hi; lo < 256; lo = hi) {
        uint32_t to;
        for (hi = lo + 1; hi < 256 && !cut[hi]; hi++) {
        }
        begin(s);
        for (size_t i = 0; i < n; i++)
            if (x[i].lo <= lo && lo <= x[i].hi) add(s, x[i].to);
        if (s->n_found == 0) continue;
        HG_TRY(intern(s, &to, e));
        HG_TRY(put_edge(s->g, state, (uint8_t)lo, (uint8_t)(hi - 1), to, e));
    }
    return HG_OK;
}

static int by_rule(const void *a, const void *b)
{
    const nfa_edge *x = a, *y = b;
    return x->rule < y->rule ? -1 : x->rule > y->rule;
}

static hg_status calls(subset *s, uint32_t state, nfa_edge *x, size_t n, hg_err *e)
{
    hg_grammar *g = s->g;
    g->states[state].call = (uint32_t)g->n_calls;
    if (n > 1) qsort(x, n, sizeof *x, by_rule);
    for (size_t i = 0, j; i < n; i = j) {
        uint32_t to;
        begin(s);
        for (j = i; j < n && x[j].rule == x[i].rule; j++) add(s, x[j].to);
        HG_TRY(intern(s, &to, e));
        HG_TRY(hg_grow(&g->calls, &g->calls_cap, g->n_calls, sizeof *g->calls, e));
        g->calls[g->n_calls++] = (hg_call){x[i].rule, to};
        g->states[state].n_calls++;
    }
    return HG_OK;
}

static hg_status expand_all(subset *s, hg_err *e)
{
    nfa_edge *x = NULL;
    size_t cap = 0, n;
    hg_status st = HG_OK;
    for (size_t k = 0; k < s->n_sets && st == HG_OK; k++) {
        const uint32_t state = s->first + (uint32_t)k;
        const set from = s->sets[k];
        for (uint32_t i = 0; i < from.n; i++)
            if (from.at[i] == s->accept) s->g->states[state].accept = true;
        st = gather(s->a, from, NFA_BYTE, &x, &cap, &n, e);
        if (st == HG_OK) st = bytes(s, state, x, n, e);
        if (st == HG_OK) st = gather(s->a, from, NFA_CALL, &x, &cap, &n, e);
        if (st == HG_OK) st = calls(s, state, x, n, e);
    }
    hg_free(x);
    return st;
}

/* Sets that are the same but for alike states of a chain are alike: the first such set stands for
 * the others. */
static hg_status find_alike(subset *s, hg_err *e)
{
    const size_t n_sets = s->n_sets;
    size_t mask = 1;
    while (mask < 2 * n_sets) mask *= 2;
    hg_hash128 *key = hg_alloc(n_sets, sizeof *key);
    uint32_t *table = hg_alloc(mask--, sizeof *table);
    const bool room = key != NULL && table != NULL;
    for (size_t k = 0; room && k < n_sets; k++) {
        begin(s);
        for (uint32_t i = 0; i < s->sets[k].n; i++) {
            const uint32_t q = s->a->states[s->sets[k].at[i]].alike;
            if (s->mark[q] == s->round) continue;
            s->mark[q] = s->round;
            s->found[s->n_found++] = q;
        }
        qsort(s->found, s->n_found, sizeof *s->found, by_number);
        key[k] = hg_hash(s->found, s->n_found * sizeof *s->found);
        size_t at = key[k].lo & mask;
        while (table[at] != 0 &&
               (key[table[at] - 1].lo != key[k].lo || key[table[at] - 1].hi != key[k].hi))
            at = (at + 1) & mask;
        if (table[at] == 0) table[at] = (uint32_t)k + 1;
        s->g->states[s->first + k].alike = s->first + table[at] - 1;
    }
    hg_free(key);
    hg_free(table);
    return room ? HG_OK : no_room(e);
}

hg_status nfa_determinise(const nfa *a, uint32_t start, uint32_t accept, hg_grammar *g,
                          uint32_t *first, hg_err *e)
{
    subset s = {.a = a, .g = g, .first = (uint32_t)g->n_states, .accept = accept};
    hg_status st = HG_OK;
    hg_arena_init(&s.mem, 1 << 16);
    s.mark = hg_alloc(a->n_states, sizeof *s.mark);
    s.todo = hg_alloc(a->n_states, sizeof *s.todo);
    s.found = hg_alloc(a->n_states, sizeof *s.found);
    if (s.mark == NULL || s.todo == NULL || s.found == NULL) st = no_room(e);
    if (st == HG_OK) {
        begin(&s);
        add(&s, start);
        st = intern(&s, first, e);
    }
    if (st == HG_OK) st = expand_all(&s, e);
    if (st == HG_OK && a->has_alike) st = find_alike(&s, e);
    hg_free(s.mark);
    hg_free(s.todo);
    hg_free(s.found);
    hg_free(s.table);
    hg_free(s.sets);
    hg_arena_free(&s.mem);
    return st;
}

/* ---- products ---- */
void hg_grammar_drop(hg_grammar *g)
{
    hg_free(g->states);
    hg_free(g->edges);
    hg_free(g->calls);
    hg_free(g->order);
    *g = (hg_grammar){0};
}

hg_status hg_flat_build(hg_grammar *g, hg_build *b, const hg_x *x, uint32_t *first, hg_err *e)
{
    nfa a;
    *g = (hg_grammar){0};
    nfa_init(&a, b, true);
    const uint32_t start = nfa_new(&a), accept = nfa_new(&a);
    hg_status s = a.failed ? no_room(e) : nfa_emit(&a, x, start, accept, e);
    if (s == HG_OK) s = nfa_determinise(&a, start, accept, g, first, e);
    nfa_free(&a);
    if (s != HG_OK) hg_grammar_drop(g);
    return s;
}

typedef struct pair {
    uint32_t x, y; /* y may be HG_NO_STATE: the second matches nothing more */
    uint32_t state;
} pair;

typedef struct product {
    nfa *a;
    const hg_grammar *x, *y;
    bool minus;
    pair *pairs;
    size_t n, cap;
    uint32_t *table;
    size_t mask;
} product;

static size_t pair_hash(pair p)
{
    const uint64_t both = (uint64_t)p.x << 32 | p.y;
    return (size_t)((both * 0x9E3779B97F4A7C15u) >> 20);
}

static hg_status pair_state(product *p, uint32_t x, uint32_t y, uint32_t *state, hg_err *e)
{
    pair key = {x, y, 0};
    if (2 * (p->n + 1) > p->mask) {
        const size_t n = p->table == NULL ? 256 : 2 * (p->mask + 1);
        uint32_t *t = hg_alloc(n, sizeof *t);
        if (t == NULL) return no_room(e);
        hg_free(p->table);
        p->table = t;
        p->mask = n - 1;
        for (size_t i = 0; i < p->n; i++) {
            size_t at = pair_hash(p->pairs[i]) & p->mask;
            while (t[at] != 0) at = (at + 1) & p->mask;
            t[at] = (uint32_t)i + 1;
        }
    }
    size_t at = pair_hash(key) & p->mask;
    for (; p->table[at] != 0; at = (at + 1) & p->mask) {
        const pair *known = &p->pairs[p->table[at] - 1];
        if (known->x != x || known->y != y) continue;
        *state = known->state;
        return HG_OK;
    }
    HG_TRY(hg_grow(&p->pairs, &p->cap, p->n, sizeof *p->pairs, e));
    key.state = *state = nfa_new(p->a);
    if (p->a->failed)
        return hg_fail(e, HG_E_LIMIT, "the grammar needs over %d states; make it simpler",
                       HG_MAX_GRAMMAR_STATES);
    p->pairs[p->n] = key;
    p->table[at] = (uint32_t)++p->n;
    return HG_OK;
}

static hg_status pair_expand(product *p, pair from, uint32_t to, hg_err *e)
{
    const hg_state *x = &p->x->states[from.x];
    const hg_state *y = from.y == HG_NO_STATE ? NULL : &p->y->states[from.y];
    const bool in_y = y != NULL && y->accept;
    if (x->accept && in_y != p->minus) nfa_join(p->a, from.state, to);
    for (uint32_t i = 0; i < x->n_edges; i++) {
        const hg_edge *edge = &p->x->edges[x->edge + i];
        for (unsigned lo = edge->lo, hi; lo <= edge->hi; lo = hi + 1) {
            /* As far as y goes to one state. */
            const uint32_t next = y == NULL ? HG_NO_STATE : hg_state_next(p->y, y, (uint8_t)lo);
            uint32_t state;
            for (hi = lo; hi < edge->hi; hi++)
                if (y != NULL && hg_state_next(p->y, y, (uint8_t)(hi + 1)) != next) break;
            if (next == HG_NO_STATE && !p->minus) continue;
            HG_TRY(pair_state(p, edge->to, next, &state, e));
            nfa_byte(p->a, from.state, state, (uint8_t)lo, (uint8_t)hi);
        }
    }
    return HG_OK;
}

hg_status nfa_product(nfa *a, const hg_x *both, uint32_t from, uint32_t to, hg_err *e)
{
    hg_grammar x = {0}, y = {0};
    uint32_t x0 = 0, y0 = 0, state;
    product p = {.a = a, .x = &x, .y = &y, .minus = both->kind == HG_X_MINUS};
    hg_status s = hg_flat_build(&x, a->b, both->u.kids[0], &x0, e);
    if (s == HG_OK) s = hg_flat_build(&y, a->b, both->u.kids[1], &y0, e);
    if (s == HG_OK) s = pair_state(&p, x0, y0, &state, e);
    if (s == HG_OK) nfa_join(a, from, state);
    for (size_t i = 0; i < p.n && s == HG_OK; i++) s = pair_expand(&p, p.pairs[i], to, e);
    if (s == HG_OK && a->failed) s = no_room(e);
    hg_free(p.pairs);
    hg_free(p.table);
    hg_grammar_drop(&x);
    hg_grammar_drop(&y);
    return s;
}
