/* One conversation with ELIZA: from an input to a reply, as the paper describes it on its pages 37
 * to 41, and as the program of 1965 does it where the paper is silent (BUT ends a clause; which
 * memory form is used says a hash of the last word; LIMIT counts inputs from 1 to 4, and a memory
 * is recalled when it is 4). What a session remembers is LIMIT, the reply that each decomposition
 * gives next, and the memories that wait. Rules may rewrite the words and go on with another rule
 * without end, which makes scripts as strong as any program; steps and work are therefore bounded.
 */
#include "app/eliza_inner.h"

#include <string.h>

/* What the program says when no rule applies, by LIMIT. */
static const char *const stuck_message[] = {"PLEASE CONTINUE", "HMMM", "GO ON , PLEASE", "I SEE"};
enum { N_LIMITS = sizeof stuck_message / sizeof stuck_message[0] };

/* A growing list of symbols. */
typedef struct symbols {
    uint32_t *at;
    size_t n, cap, first; /* first: those before are used up */
} symbols;

struct hg_eliza {
    const hg_eliza_script *s;
    hg_eliza_options o;
    uint32_t limit;
    uint32_t *next;     /* [n_decompositions] which reassembly comes next */
    hg_bytes *memories; /* [HG_ELIZA_MAX_MEMORIES], a ring */
    size_t first_memory, n_memories;

    /* of the reply that is being made */
    hg_buf letters, reply;
    eliza_word *words, *made; /* the words now, and what a reassembly makes of them */
    size_t n_words, n_made, cap_words, cap_made;
    symbols tops, bottoms; /* the keystack: tops from its end, then bottoms from its beginning */
    eliza_range *part;     /* [longest] */
    uint64_t steps, left;  /* transformations made, work that may still be done */
    eliza_trace trace;
};

/* ---- life ---- */
void hg_eliza_options_init(hg_eliza_options *o)
{
    *o = (hg_eliza_options){.max_steps = 1000000, .max_work = UINT64_C(1) << 28};
}

hg_status hg_eliza_new(hg_eliza **out, const hg_eliza_script *s, const hg_eliza_options *o,
                       hg_err *e)
{
    hg_eliza *el = hg_alloc(1, sizeof *el);
    *out = NULL;
    if (el == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a conversation");
    el->s = s;
    el->limit = 1;
    hg_eliza_options_init(&el->o);
    if (o != NULL) el->o = *o;
    el->trace.is_on = el->o.trace;
    hg_arena_init(&el->trace.mem, 1 << 18);
    el->next = hg_alloc(s->n_decompositions + 1, sizeof *el->next);
    el->part = hg_alloc(s->longest + 1, sizeof *el->part);
    el->memories = hg_alloc(HG_ELIZA_MAX_MEMORIES, sizeof *el->memories);
    /* Never NULL, so that a sentence of no words has a place too. */
    el->cap_words = el->cap_made = 64;
    el->words = hg_alloc(el->cap_words, sizeof *el->words);
    el->made = hg_alloc(el->cap_made, sizeof *el->made);
    if (el->next == NULL || el->part == NULL || el->memories == NULL || el->words == NULL ||
        el->made == NULL) {
        hg_eliza_free(el);
        return hg_fail(e, HG_E_NOMEM, "no room for a conversation");
    }
    *out = el;
    return HG_OK;
}

void hg_eliza_free(hg_eliza *el)
{
    if (el == NULL) return;
    for (size_t i = 0; el->memories != NULL && i < HG_ELIZA_MAX_MEMORIES; i++)
        hg_free((void *)(uintptr_t)el->memories[i].p);
    hg_free(el->memories);
    hg_free(el->next);
    hg_free(el->part);
    hg_free(el->words);
    hg_free(el->made);
    hg_free(el->tops.at);
    hg_free(el->bottoms.at);
    hg_buf_free(&el->letters);
    hg_buf_free(&el->reply);
    eliza_trace_free(&el->trace);
    hg_free(el);
}

size_t hg_eliza_n_memories(const hg_eliza *el)
{
    return el->n_memories;
}

hg_bytes hg_eliza_memory(const hg_eliza *el, size_t i)
{
    return el->memories[(el->first_memory + i) % HG_ELIZA_MAX_MEMORIES];
}

const hg_eliza_event *hg_eliza_events(const hg_eliza *el, size_t *n)
{
    *n = el->trace.event != NULL ? el->trace.n : 0;
    return el->trace.event;
}

/* ---- the trace ---- */
static const hg_bytes nothing = {"", 0};

static hg_bytes symbol_text(const hg_eliza *el, uint32_t symbol)
{
    return eliza_symbol_text(el->s, symbol);
}

static hg_eliza_event *tell(hg_eliza *el, hg_eliza_kind kind, hg_bytes text, uint32_t n)
{
    if (!el->trace.is_on) return NULL;
    hg_eliza_event *ev = eliza_trace_add(&el->trace, kind, text, nothing);
    if (ev != NULL) ev->n = n;
    return ev;
}

static void tell_words(hg_eliza *el, hg_eliza_kind kind, size_t first, size_t n)
{
    if (el->trace.is_on)
        (void)tell(el, kind, eliza_trace_words(&el->trace, el->words + first, n), el->limit);
}

static void tell_queue(hg_eliza *el)
{
    hg_eliza_event *ev = tell(el, HG_ELIZA_QUEUE, nothing, (uint32_t)el->n_memories);
    hg_bytes *part = ev != NULL ? eliza_trace_parts(&el->trace, ev, el->n_memories) : NULL;
    for (size_t i = 0; part != NULL && i < el->n_memories; i++)
        part[i] = eliza_trace_copy(&el->trace, hg_eliza_memory(el, i));
}

static void tell_discard(hg_eliza *el, size_t first, size_t n, const eliza_word *at)
{
    if (!el->trace.is_on) return;
    (void)eliza_trace_add(&el->trace, HG_ELIZA_DISCARD,
                          eliza_trace_words(&el->trace, el->words + first, n),
                          (hg_bytes){at->p, at->n});
}

static void tell_stack(hg_eliza *el)
{
    const symbols *a = &el->tops, *b = &el->bottoms;
    if (!el->trace.is_on) return;
    hg_eliza_event *ev = eliza_trace_add(
        &el->trace, HG_ELIZA_STACK, eliza_trace_words(&el->trace, el->words, el->n_words), nothing);
    hg_bytes *part = ev != NULL ? eliza_trace_parts(&el->trace, ev, a->n + b->n) : NULL;
    for (size_t i = 0; part != NULL && i < a->n + b->n; i++)
        part[i] = symbol_text(el, i < a->n ? a->at[a->n - 1 - i] : b->at[i - a->n]);
}

static void tell_match(hg_eliza *el, const eliza_decomposition *d, uint32_t n, uint32_t of)
{
    if (!el->trace.is_on) return;
    hg_eliza_event *ev =
        tell(el, HG_ELIZA_MATCH, eliza_trace_items(&el->trace, el->s, d->pattern), n);
    hg_bytes *part = ev != NULL ? eliza_trace_parts(&el->trace, ev, d->pattern.n) : NULL;
    if (part == NULL) return;
    ev->of = of;
    for (uint32_t i = 0; i < d->pattern.n; i++)
        part[i] = eliza_trace_copy(
            &el->trace,
            eliza_trace_words(&el->trace, el->words + el->part[i].first, el->part[i].n));
}

static void tell_reassembly(hg_eliza *el, const eliza_reassembly *a, uint32_t n, uint32_t of)
{
    hg_eliza_event *ev = NULL;
    if (!el->trace.is_on) return;
    hg_buf *b = &el->trace.scratch;
    hg_buf_clear(b);
    if (a->action == ACT_LINK || a->action == ACT_PRE) {
        const hg_bytes to = symbol_text(el, a->link);
        if (a->action == ACT_PRE) {
            hg_buf_puts(b, "PRE (");
            eliza_put_items(b, el->s, a->items);
            hg_buf_puts(b, ") (");
        }
        hg_buf_printf(b, "=%.*s%s", (int)to.n, to.p, a->action == ACT_PRE ? ")" : "");
    } else {
        eliza_put_items(b, el->s, a->items);
    }
    ev = tell(el, HG_ELIZA_REASSEMBLE, b->n > 0 ? (hg_bytes){b->p, b->n} : nothing, n);
    if (ev != NULL) ev->of = of;
}

/* ---- the keystack ---- */
static hg_status push(symbols *to, uint32_t symbol, hg_err *e)
{
    HG_TRY(hg_grow(&to->at, &to->cap, to->n, sizeof *to->at, e));
    to->at[to->n++] = symbol;
    return HG_OK;
}

static bool is_stack_empty(const hg_eliza *el)
{
    return el->tops.n == 0 && el->bottoms.first == el->bottoms.n;
}

static uint32_t pop(hg_eliza *el)
{
    return el->tops.n > 0 ? el->tops.at[--el->tops.n] : el->bottoms.at[el->bottoms.first++];
}

/* ---- from words to keywords ---- */
static bool is_delimiter(const eliza_word *w)
{
    return w->id == SYM_COMMA || w->id == SYM_STOP || w->id == SYM_BUT;
}

/* A keyword that is higher than all before goes on top of the stack, the others to its bottom. */
static hg_status stack_keyword(hg_eliza *el, const eliza_rule *rule, uint32_t *top, hg_err *e)
{
    const bool is_top = rule->rank > *top;
    hg_eliza_event *ev = tell(el, HG_ELIZA_KEYWORD, symbol_text(el, rule->keyword), rule->rank);
    if (ev != NULL) ev->is_top = is_top;
    if (is_top) *top = rule->rank;
    return push(is_top ? &el->tops : &el->bottoms, rule->keyword, e);
}

static void substitute(hg_eliza *el, const eliza_rule *rule, eliza_word *w)
{
    if (rule->substitute < 0) return;
    const hg_bytes by = symbol_text(el, (uint32_t)rule->substitute);
    if (el->trace.is_on)
        (void)eliza_trace_add(&el->trace, HG_ELIZA_SUBSTITUTE, (hg_bytes){w->p, w->n}, by);
    *w = (eliza_word){by.p, (uint32_t)by.n, rule->substitute};
}

/* Keeps the first clause that has a keyword, or the last one. */
static hg_status scan(hg_eliza *el, hg_err *e)
{
    const hg_eliza_script *s = el->s;
    size_t first = 0, n = el->n_words;
    uint32_t top = 0;
    el->tops.n = el->bottoms.n = el->bottoms.first = 0;
    for (size_t i = 0; i < n; i++) {
        eliza_word *w = &el->words[i];
        if (is_delimiter(w) && is_stack_empty(el)) {
            tell_discard(el, first, i - first, w);
            first = i + 1;
        } else if (is_delimiter(w)) {
            tell_discard(el, i + 1, n - i - 1, w);
            n = i;
        } else if (w->id >= 0 && s->symbol[w->id].rule >= 0) {
            const eliza_rule *rule = &s->rule[s->symbol[w->id].rule];
            if (rule->decompositions.n > 0 || rule->link >= 0)
                HG_TRY(stack_keyword(el, rule, &top, e));
            substitute(el, rule, w);
        }
    }
    el->n_words = n - first;
    if (first > 0) memmove(el->words, el->words + first, el->n_words * sizeof *el->words);
    tell_stack(el);
    return HG_OK;
}

/* ---- putting sentences together ---- */
static hg_status add_words(hg_eliza *el, const eliza_word *w, size_t n, hg_err *e)
{
    if (n == 0) return HG_OK;
    if (n > HG_ELIZA_MAX_WORDS - el->n_made)
        return hg_fail(e, HG_E_LIMIT,
                       "the script makes a sentence of over %d words; its rules feed on themselves",
                       HG_ELIZA_MAX_WORDS);
    HG_TRY(hg_grow(&el->made, &el->cap_made, el->n_made + n, sizeof *el->made, e));
    memcpy(el->made + el->n_made, w, n * sizeof *w);
    el->n_made += n;
    el->left -= el->left < n ? el->left : n;
    return HG_OK;
}

/* Into el->made: words as they stand, numbers as the pieces of the last match. */
static hg_status assemble(hg_eliza *el, eliza_range items, hg_err *e)
{
    el->n_made = 0;
    for (uint32_t i = 0; i < items.n; i++) {
        const eliza_item *it = &el->s->item[items.first + i];
        if (it->kind == ITEM_NUMBER) {
            const eliza_range piece = el->part[it->n - 1];
            HG_TRY(add_words(el, el->words + piece.first, piece.n, e));
        } else {
            const hg_bytes t = symbol_text(el, it->n);
            const eliza_word w = {t.p, (uint32_t)t.n, (int32_t)it->n};
            HG_TRY(add_words(el, &w, 1, e));
        }
    }
    return HG_OK;
}

static void take_made(hg_eliza *el)
{
    eliza_word *w = el->words;
    const size_t cap = el->cap_words;
    el->words = el->made;
    el->n_words = el->n_made;
    el->cap_words = el->cap_made;
    el->made = w;
    el->cap_made = cap;
}

static bool matches(hg_eliza *el, const eliza_decomposition *d)
{
    return eliza_match(el->s, d->pattern, el->words, el->n_words, el->o.six_letters, el->part,
                       &el->left);
}

/* ---- memory ---- */
static hg_status keep_memory(hg_eliza *el, uint32_t form, const eliza_word *last, hg_err *e)
{
    hg_buf b = {0};
    if (el->n_memories == HG_ELIZA_MAX_MEMORIES) return HG_OK;
    eliza_put_words(&b, el->made, el->n_made, el->o.commas_apart);
    hg_buf_put(&b, "", 0);
    HG_TRY(hg_buf_status(&b, e));
    const size_t at = (el->first_memory + el->n_memories++) % HG_ELIZA_MAX_MEMORIES;
    el->memories[at] = (hg_bytes){b.p, b.n};
    if (!el->trace.is_on) return HG_OK;
    hg_eliza_event *ev = eliza_trace_add(&el->trace, HG_ELIZA_REMEMBER, el->memories[at],
                                         last != NULL ? (hg_bytes){last->p, last->n} : nothing);
    if (ev != NULL) ev->n = form + 1;
    return HG_OK;
}

/* At each turn of the memory keyword: the form that the last word's hash names, if it fits. */
static hg_status lay_down_memory(hg_eliza *el, hg_err *e)
{
    const eliza_word *last = el->n_words > 0 ? &el->words[el->n_words - 1] : NULL;
    const uint32_t form =
        eliza_hash(last != NULL ? eliza_last_chunk(last->p, last->n) : eliza_last_chunk("", 0), 2);
    const eliza_decomposition *d = &el->s->memory_form[form];
    if (!matches(el, d)) {
        if (el->trace.is_on)
            (void)tell(el, HG_ELIZA_NO_MEMORY, eliza_trace_items(&el->trace, el->s, d->pattern),
                       form + 1);
        return HG_OK;
    }
    HG_TRY(assemble(el, el->s->reassembly[d->reassemblies.first].items, e));
    return keep_memory(el, form, last, e);
}

static void recall(hg_eliza *el)
{
    hg_bytes *m = &el->memories[el->first_memory];
    hg_buf_put(&el->reply, m->p, m->n);
    (void)tell(el, HG_ELIZA_RECALL, *m, 0);
    hg_free((void *)(uintptr_t)m->p);
    *m = (hg_bytes){NULL, 0};
    el->first_memory = (el->first_memory + 1) % HG_ELIZA_MAX_MEMORIES;
    el->n_memories--;
}

/* ---- rules ---- */
typedef enum turn {
    TURN_DONE, /* the words are the reply */
    TURN_NEXT, /* go on with what is on the stack */
    TURN_NONE, /* the NONE rule's turn */
    TURN_STUCK /* nothing fits */
} turn;

/* The first decomposition of the rule that fits, and its next reassembly; NULL: none fits. */
static const eliza_reassembly *choose(hg_eliza *el, const eliza_rule *rule)
{
    const hg_eliza_script *s = el->s;
    for (uint32_t i = 0; i < rule->decompositions.n; i++) {
        const uint32_t at = rule->decompositions.first + i;
        const eliza_decomposition *d = &s->decomposition[at];
        if (!matches(el, d)) continue;
        const uint32_t k = el->next[at];
        const eliza_reassembly *a = &s->reassembly[d->reassemblies.first + k];
        el->next[at] = (k + 1) % d->reassemblies.n;
        tell_match(el, d, i + 1, rule->decompositions.n);
        tell_reassembly(el, a, k + 1, d->reassemblies.n);
        return a;
    }
    (void)tell(el, HG_ELIZA_NO_MATCH, symbol_text(el, rule->keyword), rule->decompositions.n);
    return NULL;
}

static hg_status go_on_with(hg_eliza *el, uint32_t keyword, turn *out, hg_err *e)
{
    *out = TURN_NEXT;
    return push(&el->tops, keyword, e);
}

static hg_status act(hg_eliza *el, const eliza_reassembly *a, turn *out, hg_err *e)
{
    switch (a->action) {
    case ACT_NEWKEY: {
        hg_eliza_event *ev = tell(el, HG_ELIZA_NEWKEY, nothing, 0);
        const bool is_last = is_stack_empty(el);
        if (ev != NULL) ev->is_top = is_last;
        *out = !is_last ? TURN_NEXT : el->o.stuck_newkey ? TURN_STUCK : TURN_NONE;
        return HG_OK;
    }
    case ACT_LINK:
        (void)tell(el, HG_ELIZA_LINK, symbol_text(el, a->link), 0);
        return go_on_with(el, a->link, out, e);
    case ACT_PRE:
        HG_TRY(assemble(el, a->items, e));
        take_made(el);
        if (el->trace.is_on)
            (void)eliza_trace_add(&el->trace, HG_ELIZA_PRE,
                                  eliza_trace_words(&el->trace, el->words, el->n_words),
                                  symbol_text(el, a->link));
        return go_on_with(el, a->link, out, e);
    case ACT_SAY:
        break;
    }
    HG_TRY(assemble(el, a->items, e));
    take_made(el);
    *out = TURN_DONE;
    return HG_OK;
}

static hg_status endless(const hg_eliza *el, uint32_t keyword, hg_err *e)
{
    const hg_bytes at = symbol_text(el, keyword);
    return hg_fail(e, HG_E_LIMIT,
                   "the script does not end: after %llu transformations it is still at the keyword "
                   "%.*s; its links or PRE rules go round in a circle for this input",
                   (unsigned long long)el->steps, at.n < 100 ? (int)at.n : 100, at.p);
}

/* The keyword on top of the stack tries its rule. */
static hg_status take_turn(hg_eliza *el, turn *out, hg_err *e)
{
    const uint32_t keyword = pop(el);
    const int32_t i = el->s->symbol[keyword].rule;
    *out = TURN_STUCK;
    (void)tell(el, HG_ELIZA_TRY, symbol_text(el, keyword), 0);
    if (el->steps == el->o.max_steps) return endless(el, keyword, e);
    if (i < 0) return HG_OK;
    el->steps++;
    const eliza_rule *rule = &el->s->rule[i];
    if ((int32_t)keyword == el->s->memory) HG_TRY(lay_down_memory(el, e));
    const eliza_reassembly *a = choose(el, rule);
    if (el->left == 0) return endless(el, keyword, e); /* nothing fits any more */
    if (a != NULL) return act(el, a, out, e);
    if (rule->link < 0) return HG_OK;
    (void)tell(el, HG_ELIZA_LINK, symbol_text(el, (uint32_t)rule->link), 0);
    return go_on_with(el, (uint32_t)rule->link, out, e);
}

/* The last resort. A NONE rule that does not say anything leaves the words as they are. */
static hg_status apply_none(hg_eliza *el, hg_err *e)
{
    (void)tell(el, HG_ELIZA_NONE, nothing, 0);
    const eliza_reassembly *a = choose(el, &el->s->rule[el->s->none]);
    if (a == NULL || a->action == ACT_NEWKEY || a->action == ACT_LINK) return HG_OK;
    HG_TRY(assemble(el, a->items, e));
    take_made(el);
    return HG_OK;
}

/* Fills el->reply. */
static hg_status answer(hg_eliza *el, hg_err *e)
{
    turn t = TURN_NONE;
    if (is_stack_empty(el) && el->limit == N_LIMITS && el->n_memories > 0) {
        recall(el);
        return HG_OK;
    }
    if (!is_stack_empty(el)) t = TURN_NEXT;
    while (t == TURN_NEXT) HG_TRY(take_turn(el, &t, e));
    if (t == TURN_STUCK && !el->o.none_for_stuck) {
        const char *says = stuck_message[el->limit - 1];
        (void)tell(el, HG_ELIZA_STUCK, (hg_bytes){says, strlen(says)}, el->limit);
        hg_buf_puts(&el->reply, says);
        return HG_OK;
    }
    if (t != TURN_DONE) HG_TRY(apply_none(el, e));
    eliza_put_words(&el->reply, el->words, el->n_words, el->o.commas_apart);
    return HG_OK;
}

static void forget_failed(hg_buf *b)
{
    if (b->failed) hg_buf_free(b);
    hg_buf_clear(b);
}

hg_status hg_eliza_reply(hg_eliza *el, hg_bytes input, hg_bytes *reply, hg_err *e)
{
    *reply = nothing;
    if (input.n > HG_ELIZA_MAX_INPUT)
        return hg_fail(e, HG_E_LIMIT, "an input of %zu bytes; %d are the most", input.n,
                       HG_ELIZA_MAX_INPUT);
    forget_failed(&el->letters);
    forget_failed(&el->reply);
    eliza_trace_begin(&el->trace);
    el->steps = 0;
    el->left = el->o.max_work;
    el->limit = el->limit % N_LIMITS + 1;
    HG_TRY(eliza_split(el->s, input, &el->letters, &el->words, &el->cap_words, &el->n_words, e));
    tell_words(el, HG_ELIZA_READ, 0, el->n_words);
    tell_queue(el);
    HG_TRY(scan(el, e));
    HG_TRY(answer(el, e));
    hg_buf_put(&el->reply, "", 0);
    HG_TRY(hg_buf_status(&el->reply, e));
    *reply = (hg_bytes){el->reply.p, el->reply.n};
    if (el->trace.n_cut > 0) (void)tell(el, HG_ELIZA_CUT, nothing, (uint32_t)el->trace.n_cut);
    (void)tell(el, HG_ELIZA_REPLY, *reply, el->limit);
    return HG_OK;
}
