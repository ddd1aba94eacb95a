/* Free text with calls of tools in it that keep to their schemas. Outside of a call anything may
 * come. Behind the opening of a call a grammar holds what follows, until it is whole; then the text
 * is free again, and another call may open. Where calls have no opening, an answer that begins with
 * a brace is one. */
#include "base/mem.h"
#include "infer/constraint.h"
#include "model/model.h"

#include <string.h>

enum { MAX_OPENING = 32 };

typedef enum mode {
    FREE,  /* looking for an opening */
    START, /* before the first character that counts, where calls have no opening */
    OPEN,  /* behind an opening: one token of white space, then the call */
    HELD,  /* within a call */
    PAST   /* nothing opens any more */
} mode;

/* After 0, 1, 2 ... tokens. */
typedef struct state {
    mode mode;
    bool is_fed,
        is_spaced; /* the token went into the matcher; white space came behind the opening */
    uint8_t n_tail;
    char tail[MAX_OPENING]; /* the text's end, while it is free */
    size_t n_calls;
} state;

/* Sets of tokens: of white space alone, and that begin with a brace. */
typedef struct sets {
    uint32_t *space, *brace; /* [words] */
    size_t words;
} sets;

typedef struct calls {
    hg_constraint base;
    const hg_tokenizer *tok;
    hg_masks *m;
    char opening[MAX_OPENING + 1];
    size_t n_opening;
    sets *sets; /* the first one's; copies share them */
    bool owns_sets;
    state *states;
    size_t n_states, states_cap;
    hg_matcher **matchers; /* [n_matchers] of each call; the last is the current one */
    size_t n_matchers, matchers_cap;
} calls;

static calls *of(const hg_constraint *c)
{
    union {
        const hg_constraint *in;
        hg_constraint *out;
    } same = {c};
    return (calls *)(void *)same.out;
}

static state *now(const calls *c)
{
    return &c->states[c->n_states - 1];
}

static hg_matcher *matcher(const calls *c)
{
    return c->matchers[c->n_matchers - 1];
}

/* ---- making ---- */
static void drop(hg_constraint *base)
{
    calls *c = of(base);
    for (size_t i = 0; i < c->n_matchers; i++) hg_matcher_free(c->matchers[i]);
    if (c->owns_sets && c->sets != NULL) {
        hg_free(c->sets->space);
        hg_free(c->sets->brace);
        hg_free(c->sets);
    }
    hg_free(c->matchers);
    hg_free(c->states);
    hg_free(c);
}

static hg_status no_room(hg_err *e)
{
    return hg_fail(e, HG_E_NOMEM, "no room for a constraint");
}

static hg_status push_matcher(calls *c, hg_matcher *t, hg_err *e)
{
    const hg_status s =
        hg_grow(&c->matchers, &c->matchers_cap, c->n_matchers, sizeof *c->matchers, e);
    if (s == HG_OK)
        c->matchers[c->n_matchers++] = t;
    else
        hg_matcher_free(t);
    return s;
}

static hg_status push_state(calls *c, const state *next, hg_err *e)
{
    HG_TRY(hg_grow(&c->states, &c->states_cap, c->n_states, sizeof *c->states, e));
    c->states[c->n_states++] = *next;
    return HG_OK;
}

static bool is_space(hg_bytes piece)
{
    for (size_t i = 0; i < piece.n; i++)
        if (memchr(" \t\r\n", piece.p[i], 4) == NULL) return false;
    return piece.n > 0;
}

static hg_status make_sets(calls *c, uint32_t n_vocab, hg_err *e)
{
    const size_t words = hg_mask_words(n_vocab);
    sets *s = c->sets = hg_alloc(1, sizeof *s);
    if (s == NULL) return no_room(e);
    c->owns_sets = true;
    *s = (sets){hg_alloc(words, sizeof *s->space), hg_alloc(words, sizeof *s->brace), words};
    if (s->space == NULL || s->brace == NULL) return no_room(e);
    for (uint32_t id = 0; id < n_vocab; id++) {
        const hg_bytes piece = hg_tokenizer_piece(c->tok, (int32_t)id, false);
        if (is_space(piece) && piece.n <= 2) s->space[id / 32] |= 1u << id % 32;
        if (piece.n > 0 && piece.p[0] == '{') s->brace[id / 32] |= 1u << id % 32;
    }
    return HG_OK;
}

static hg_constraint *copy(const hg_constraint *base, hg_err *e)
{
    const calls *from = of(base);
    calls *c = hg_alloc(1, sizeof *c);
    hg_status s = c != NULL ? HG_OK : no_room(e);
    if (c == NULL) return NULL;
    *c = *from;
    c->owns_sets = false;
    c->states = NULL;
    c->matchers = NULL;
    c->n_states = c->states_cap = c->n_matchers = c->matchers_cap = 0;
    for (size_t i = 0; s == HG_OK && i < from->n_states; i++)
        s = push_state(c, &from->states[i], e);
    for (size_t i = 0; s == HG_OK && i < from->n_matchers; i++) {
        hg_matcher *t = NULL;
        s = hg_matcher_clone(&t, from->matchers[i], e);
        if (s == HG_OK) s = push_matcher(c, t, e);
    }
    if (s == HG_OK) return &c->base;
    drop(&c->base);
    return NULL;
}

/* ---- masks ---- */
static hg_status mask(hg_constraint *base, size_t n_left, uint32_t *bits, hg_err *e)
{
    const calls *c = of(base);
    const state *s = now(c);
    const sets *known = c->sets;
    if (s->mode == FREE || s->mode == PAST) {
        memset(bits, 0xff, known->words * sizeof *bits);
        return HG_OK;
    }
    HG_TRY(hg_matcher_mask(matcher(c), n_left, bits, e));
    for (size_t i = 0; i < known->words; i++) {
        if (s->mode == START) bits[i] |= ~known->brace[i];
        if (s->mode == OPEN && !s->is_spaced) bits[i] |= known->space[i];
    }
    return HG_OK;
}

/* ---- tokens ---- */

/* Looks for the opening in what is remembered and the new piece; behind it may stand white space.
 */
static bool opens(const calls *c, state *s, hg_bytes piece)
{
    char text[2 * MAX_OPENING];
    const size_t keep = c->n_opening - 1;
    for (size_t at = 0; at < piece.n;) { /* a long piece in parts */
        const size_t n = piece.n - at < MAX_OPENING ? piece.n - at : MAX_OPENING;
        const size_t all = s->n_tail + n;
        memcpy(text, s->tail, s->n_tail);
        memcpy(text + s->n_tail, piece.p + at, n);
        at += n;
        const char *found = memmem(text, all, c->opening, c->n_opening);
        s->n_tail = (uint8_t)(all < keep ? all : keep);
        memcpy(s->tail, text + all - s->n_tail, s->n_tail);
        if (found == NULL) continue;
        const size_t end = (size_t)(found - text) + c->n_opening;
        s->is_spaced = end < all;
        return at == piece.n && (end == all || is_space((hg_bytes){text + end, all - end}));
    }
    return false;
}

static hg_status begin_call(calls *c, state *s, hg_err *e)
{
    hg_matcher *t;
    HG_TRY(hg_matcher_new(&t, c->m, e));
    HG_TRY(push_matcher(c, t, e));
    s->mode = OPEN;
    s->n_calls = c->n_matchers;
    return HG_OK;
}

static hg_status feed(calls *c, state *s, int32_t id, hg_err *e)
{
    HG_TRY(hg_matcher_accept(matcher(c), id, e));
    s->is_fed = true;
    s->mode = HELD;
    if (!hg_matcher_is_done(matcher(c))) return HG_OK;
    s->mode = c->n_opening > 0 ? FREE : PAST;
    s->n_tail = 0;
    return HG_OK;
}

static hg_status accept(hg_constraint *base, int32_t id, hg_err *e)
{
    calls *c = of(base);
    state s = *now(c);
    const hg_bytes piece = hg_tokenizer_piece(c->tok, id, true);
    hg_status status = HG_OK;
    s.is_fed = false;
    if (s.mode == HELD || (s.mode == OPEN && (s.is_spaced || !is_space(piece)))) {
        status = feed(c, &s, id, e);
    } else if (s.mode == OPEN) {
        s.is_spaced = true;
    } else if (s.mode == START && piece.n > 0 && piece.p[0] == '{') {
        status = feed(c, &s, id, e);
    } else if (s.mode == START) {
        if (!is_space(piece)) s.mode = PAST;
    } else if (s.mode == FREE && opens(c, &s, piece)) {
        status = begin_call(c, &s, e);
    }
    return status == HG_OK ? push_state(c, &s, e) : status;
}

static void rollback(hg_constraint *base, size_t n)
{
    calls *c = of(base);
    for (; n > 0 && c->n_states > 1; n--) {
        if (now(c)->is_fed) hg_matcher_rollback(matcher(c), 1);
        c->n_states--;
        while (c->n_matchers > now(c)->n_calls) hg_matcher_free(c->matchers[--c->n_matchers]);
    }
}

static bool is_done(const hg_constraint *base)
{
    (void)base;
    return false;
}

static const hg_constraint_kind kind = {copy, drop, mask, accept, rollback, is_done};

hg_status hg_constraint_calls(hg_constraint **out, hg_masks *m, const hg_model *model,
                              const char *opening, hg_err *e)
{
    *out = NULL;
    if (model->tokenizer == NULL)
        return hg_fail(e, HG_E_MISSING, "the model has no tokenizer; calls need its tokens");
    if (strlen(opening) > MAX_OPENING)
        return hg_fail(e, HG_E_ARG, "an opening of %zu bytes; at most %d", strlen(opening),
                       MAX_OPENING);
    calls *c = hg_alloc(1, sizeof *c);
    if (c == NULL) return no_room(e);
    c->base.kind = &kind;
    c->tok = model->tokenizer;
    c->m = m;
    c->n_opening = strlen(opening);
    memcpy(c->opening, opening, c->n_opening + 1);
    state first = {.mode = c->n_opening > 0 ? FREE : START};
    hg_status s = make_sets(c, model->c.n_vocab, e);
    if (s == HG_OK && c->n_opening == 0) {
        s = begin_call(c, &first, e);
        first.mode = START;
    }
    if (s == HG_OK) s = push_state(c, &first, e);
    if (s != HG_OK)
        drop(&c->base);
    else
        *out = &c->base;
    return s;
}
