/* Thompson's construction. What is repeated many times and is not small becomes a rule of its own,
 * called by a chain of states, so that a string of up to 10,000 characters costs 10,000 states and
 * not ten times as many; and the states of a chain that are further from both its borders than the
 * longest token is long are marked as alike, so that one mask serves them all. */
#include "grammar/nfa.h"

#include <string.h>

enum {
    SMALL_RULE = 8, /* rules of this weight without calls are written out where they are used */
    MANY = 16,      /* repetitions from which on a body is called */
    SMALL_BODY = 2,
    FAR = HG_MAX_PIECE + 1 /* repetitions that no token runs through */
};

void nfa_init(nfa *a, hg_build *b, bool flat)
{
    *a = (nfa){.b = b, .flat = flat, .max_states = 2 * (size_t)HG_MAX_GRAMMAR_STATES};
}

void nfa_free(nfa *a)
{
    hg_free(a->states);
    hg_free(a->edges);
    *a = (nfa){0};
}

uint32_t nfa_new(nfa *a)
{
    if (a->n_states >= a->max_states ||
        hg_grow(&a->states, &a->states_cap, a->n_states, sizeof *a->states, NULL) != HG_OK) {
        a->failed = true;
        return 0;
    }
    a->states[a->n_states] = (nfa_state){HG_NO_STATE, (uint32_t)a->n_states};
    return (uint32_t)a->n_states++;
}

static void edge(nfa *a, uint32_t from, nfa_edge x)
{
    if (a->failed ||
        hg_grow(&a->edges, &a->edges_cap, a->n_edges, sizeof *a->edges, NULL) != HG_OK) {
        a->failed = true;
        return;
    }
    x.next = a->states[from].first;
    a->edges[a->n_edges] = x;
    a->states[from].first = (uint32_t)a->n_edges++;
}

void nfa_join(nfa *a, uint32_t from, uint32_t to)
{
    edge(a, from, (nfa_edge){.to = to, .kind = NFA_EMPTY});
}

void nfa_byte(nfa *a, uint32_t from, uint32_t to, uint8_t lo, uint8_t hi)
{
    edge(a, from, (nfa_edge){.to = to, .kind = NFA_BYTE, .lo = lo, .hi = hi});
}

/* ---- which expressions match the empty text ---- */
static bool list_is_nullable(const hg_x *x)
{
    if (x->min > 0) return false;
    for (uint32_t i = 0; i < x->n; i++)
        if (x->u.elements[i].min > 0) return false;
    return true;
}

bool hg_x_is_nullable(const hg_build *b, const hg_x *x)
{
    switch (x->kind) {
    case HG_X_EMPTY:
        return true;
    case HG_X_SEQ:
    case HG_X_AND:
        for (uint32_t i = 0; i < x->n; i++)
            if (!hg_x_is_nullable(b, x->u.kids[i])) return false;
        return true;
    case HG_X_ALT:
        for (uint32_t i = 0; i < x->n; i++)
            if (hg_x_is_nullable(b, x->u.kids[i])) return true;
        return false;
    case HG_X_REPEAT:
        return x->min == 0 || hg_x_is_nullable(b, x->u.kids[0]);
    case HG_X_RULE:
        return b->rules[x->rule].nullable;
    case HG_X_LIST: /* an element that is there counts, even when it is empty itself */
        return list_is_nullable(x);
    case HG_X_MINUS:
        return hg_x_is_nullable(b, x->u.kids[0]) && !hg_x_is_nullable(b, x->u.kids[1]);
    default:
        return false;
    }
}

/* ---- one kind after the other ---- */
static hg_status limit(const nfa *a, hg_err *e)
{
    if (a->n_states >= a->max_states)
        return hg_fail(e, HG_E_LIMIT,
                       "the grammar needs over %d states; repeat less, or use rules for what is "
                       "written several times",
                       HG_MAX_GRAMMAR_STATES);
    return hg_fail(e, HG_E_NOMEM, "no room for the grammar");
}

typedef struct spelling {
    nfa *a;
    uint32_t from, to;
} spelling;

static void spell(void *ctx, const uint8_t (*range)[2], size_t n)
{
    const spelling *s = ctx;
    uint32_t at = s->from;
    for (size_t i = 0; i < n; i++) {
        const uint32_t next = i + 1 == n ? s->to : nfa_new(s->a);
        nfa_byte(s->a, at, next, range[i][0], range[i][1]);
        at = next;
    }
}

static void emit_bytes(nfa *a, const hg_x *x, uint32_t from, uint32_t to)
{
    for (uint32_t i = 0; i < x->n; i++) {
        const uint32_t next = i + 1 == x->n ? to : nfa_new(a);
        const uint8_t c = (uint8_t)x->u.bytes[i];
        nfa_byte(a, from, next, c, c);
        from = next;
    }
}

static void emit_call(nfa *a, uint32_t rule, uint32_t from, uint32_t to)
{
    edge(a, from, (nfa_edge){.to = to, .rule = rule, .kind = NFA_CALL});
    if (a->b->rules[rule].nullable) nfa_join(a, from, to);
}

static hg_status emit_rule(nfa *a, const hg_x *x, uint32_t from, uint32_t to, hg_err *e)
{
    const hg_rule *r = &a->b->rules[x->rule];
    if (a->flat)
        return hg_fail(e, HG_E_UNSUPPORTED, "%s: a rule where only characters can be compared",
                       r->name);
    if (!r->x->has_rules && r->x->weight <= SMALL_RULE) return nfa_emit(a, r->x, from, to, e);
    emit_call(a, x->rule, from, to);
    return HG_OK;
}

/* Emits x, as a call when it is heavy. */
static hg_status emit_part(nfa *a, hg_x *x, uint32_t from, uint32_t to, hg_err *e)
{
    if (a->flat || x->weight <= SMALL_BODY || x->kind == HG_X_RULE)
        return nfa_emit(a, x, from, to, e);
    if (x->rule == 0) {
        const uint32_t rule = hg_rule_new(a->b, "part", 4);
        HG_TRY(hg_build_check(a->b, e));
        hg_rule_set(a->b, rule, x);
        a->b->rules[rule].nullable = hg_x_is_nullable(a->b, x);
        x->rule = rule + 1;
    }
    emit_call(a, x->rule - 1, from, to);
    return HG_OK;
}

/* The state of a chain that stands for state k of min to max repetitions. */
static uint32_t alike(const hg_x *x, uint32_t k)
{
    const bool before = k < x->min && x->min - k >= FAR;
    const bool free = k >= x->min;
    const bool open = x->max == HG_X_FOREVER || x->max - k >= FAR;
    if (before && open) return 0;
    if (free && open) return x->min;
    return k;
}

static hg_status emit_repeat(nfa *a, const hg_x *x, uint32_t from, uint32_t to, hg_err *e)
{
    hg_x *body = x->u.kids[0];
    const uint32_t times = x->max == HG_X_FOREVER ? x->min : x->max;
    const bool called = times > MANY, marked = !hg_x_is_nullable(a->b, body);
    /* Before the least count, alike states are as far apart from the end as the body is long, which
     * holds in tokens too only where no token runs over two bodies: where they are called. */
    const bool apart = called && !a->flat && body->weight > SMALL_BODY;
    uint32_t at = nfa_new(a), chain[2] = {at, at}; /* the states 0 and min */
    nfa_join(a, from, at);
    for (uint32_t k = 0;; k++) {
        if (k == x->min) chain[1] = at;
        const uint32_t as = alike(x, k);
        if (marked && as != k && (as == x->min || apart)) {
            a->states[at].alike = chain[as == x->min];
            a->has_alike = true;
        }
        if (k >= x->min) nfa_join(a, at, to);
        if (k == times || a->failed) break;
        const uint32_t next = nfa_new(a);
        HG_TRY(called ? emit_part(a, body, at, next, e) : nfa_emit(a, body, at, next, e));
        at = next;
    }
    if (x->max == HG_X_FOREVER) {
        const uint32_t back = nfa_new(a);
        HG_TRY(called ? emit_part(a, body, at, back, e) : nfa_emit(a, body, at, back, e));
        nfa_join(a, back, at);
    }
    return a->failed ? limit(a, e) : HG_OK;
}

/* Lists. `none` is where nothing was written yet, some[c] where c elements were (as far as the
 * list counts); an element's body begins at begin[c], behind a separator or without one. */
typedef struct list_row {
    uint32_t none;
    uint32_t *some; /* [top + 1]; 0: not there yet */
} list_row;

static uint32_t need(nfa *a, uint32_t *state)
{
    if (*state == 0) *state = nfa_new(a);
    return *state;
}

static hg_status list_element(nfa *a, const hg_x *x, const hg_x_element *el, const list_row *row,
                              list_row *next, uint32_t *begin, uint32_t top, hg_err *e)
{
    const bool counts = top > 0;
    for (uint32_t c = 0; c <= top; c++) {
        if (c == 0 && x->max > 0) nfa_join(a, row->none, need(a, &begin[0]));
        if (row->some[c] != 0 && (x->max == HG_X_FOREVER || c < top)) {
            HG_TRY(nfa_emit(a, x->separator, row->some[c], need(a, &begin[c]), e));
        }
        if (begin[c] != 0) {
            const uint32_t behind = nfa_new(a), then = c < top ? c + 1 : c;
            HG_TRY(counts ? emit_part(a, el->x, begin[c], behind, e)
                          : nfa_emit(a, el->x, begin[c], behind, e));
            nfa_join(a, behind, need(a, &next->some[then]));
            if (el->max == HG_X_FOREVER && (x->max == HG_X_FOREVER || then < top))
                HG_TRY(nfa_emit(a, x->separator, behind, need(a, &begin[then]), e));
        }
        if (el->min == 0 && row->some[c] != 0) nfa_join(a, row->some[c], need(a, &next->some[c]));
    }
    if (el->min == 0) nfa_join(a, row->none, next->none);
    return a->failed ? limit(a, e) : HG_OK;
}

static hg_status emit_list(nfa *a, const hg_x *x, uint32_t from, uint32_t to, hg_err *e)
{
    const uint32_t top = x->max == HG_X_FOREVER ? x->min : x->max;
    hg_arena mem;
    hg_status s = HG_OK;
    if (top > HG_MAX_GRAMMAR_STATES) return limit(a, e);
    hg_arena_init(&mem, 0);
    list_row row = {nfa_new(a), HG_NEW(&mem, uint32_t, (size_t)top + 1)};
    nfa_join(a, from, row.none);
    for (uint32_t i = 0; i < x->n && s == HG_OK; i++) {
        list_row next = {nfa_new(a), HG_NEW(&mem, uint32_t, (size_t)top + 1)};
        uint32_t *begin = HG_NEW(&mem, uint32_t, (size_t)top + 1);
        if (row.some == NULL || next.some == NULL || begin == NULL)
            s = hg_fail(e, HG_E_NOMEM, "no room for the grammar");
        else
            s = list_element(a, x, &x->u.elements[i], &row, &next, begin, top, e);
        row = next;
    }
    if (s == HG_OK) {
        if (x->min == 0) nfa_join(a, row.none, to);
        for (uint32_t c = 0; c <= top && row.some != NULL; c++)
            if (row.some[c] != 0 && c >= x->min) nfa_join(a, row.some[c], to);
    }
    hg_arena_free(&mem);
    return s;
}

/* Decimal digits by their remainder. */
static void emit_modulo(nfa *a, const hg_x *x, uint32_t from, uint32_t to)
{
    const uint32_t m = x->min;
    const uint32_t first = nfa_new(a);
    for (uint32_t r = 1; r < m; r++) (void)nfa_new(a);
    if (a->failed) return;
    for (uint32_t d = 0; d < 10; d++) {
        const uint8_t c = (uint8_t)('0' + d);
        nfa_byte(a, from, first + d % m, c, c);
        for (uint32_t r = 0; r < m; r++) nfa_byte(a, first + r, first + (10 * r + d) % m, c, c);
    }
    nfa_join(a, first, to);
}

hg_status nfa_emit(nfa *a, const hg_x *x, uint32_t from, uint32_t to, hg_err *e)
{
    switch (x->kind) {
    case HG_X_NEVER:
        break;
    case HG_X_EMPTY:
        nfa_join(a, from, to);
        break;
    case HG_X_BYTES:
        emit_bytes(a, x, from, to);
        break;
    case HG_X_SET:
        for (uint32_t i = 0; i < x->n; i++)
            hg_utf8_ranges(x->u.ranges[i].lo, x->u.ranges[i].hi, spell, &(spelling){a, from, to});
        break;
    case HG_X_SEQ:
        for (uint32_t i = 0; i < x->n; i++) {
            const uint32_t next = i + 1 == x->n ? to : nfa_new(a);
            HG_TRY(nfa_emit(a, x->u.kids[i], from, next, e));
            from = next;
        }
        break;
    case HG_X_ALT:
        for (uint32_t i = 0; i < x->n; i++) HG_TRY(nfa_emit(a, x->u.kids[i], from, to, e));
        break;
    case HG_X_REPEAT:
        return emit_repeat(a, x, from, to, e);
    case HG_X_RULE:
        return emit_rule(a, x, from, to, e);
    case HG_X_LIST:
        return emit_list(a, x, from, to, e);
    case HG_X_MODULO:
        emit_modulo(a, x, from, to);
        break;
    case HG_X_AND:
    case HG_X_MINUS:
        return nfa_product(a, x, from, to, e);
    }
    return a->failed ? limit(a, e) : HG_OK;
}
