/* Where a grammar meets the sampler: a matcher in the form of a constraint. */
#include "base/mem.h"
#include "infer/constraint.h"
#include "model/model.h"

typedef struct held {
    hg_constraint base;
    hg_matcher *t;
} held;

static hg_matcher *matcher(const hg_constraint *c)
{
    return ((const held *)(const void *)c)->t;
}

static const hg_constraint_kind kind;

/* Takes the matcher, also when there is no room. */
static hg_constraint *wrap(hg_matcher *t, hg_err *e)
{
    held *h = hg_alloc(1, sizeof *h);
    if (h == NULL) {
        (void)hg_fail(e, HG_E_NOMEM, "no room for a constraint");
        hg_matcher_free(t);
        return NULL;
    }
    *h = (held){{&kind}, t};
    return &h->base;
}

static hg_constraint *copy(const hg_constraint *c, hg_err *e)
{
    hg_matcher *t;
    return hg_matcher_clone(&t, matcher(c), e) == HG_OK ? wrap(t, e) : NULL;
}

static void drop(hg_constraint *c)
{
    hg_matcher_free(matcher(c));
    hg_free(c);
}

static hg_status mask(hg_constraint *c, size_t n_left, uint32_t *bits, hg_err *e)
{
    return hg_matcher_mask(matcher(c), n_left, bits, e);
}

static hg_status accept(hg_constraint *c, int32_t id, hg_err *e)
{
    return hg_matcher_accept(matcher(c), id, e);
}

static void rollback(hg_constraint *c, size_t n)
{
    hg_matcher_rollback(matcher(c), n);
}

static bool is_done(const hg_constraint *c)
{
    return hg_matcher_is_done(matcher(c));
}

static const hg_constraint_kind kind = {copy, drop, mask, accept, rollback, is_done};

hg_status hg_constraint_new(hg_constraint **out, hg_masks *m, hg_err *e)
{
    hg_matcher *t;
    *out = NULL;
    HG_TRY(hg_matcher_new(&t, m, e));
    *out = wrap(t, e);
    return *out == NULL ? HG_E_NOMEM : HG_OK;
}

void hg_constraint_free(hg_constraint *c)
{
    if (c != NULL) c->kind->free(c);
}

hg_status hg_model_vocab(hg_vocab **out, const hg_model *m, hg_err *e)
{
    *out = NULL;
    if (m->tokenizer == NULL)
        return hg_fail(e, HG_E_MISSING, "the model has no tokenizer; a grammar needs its tokens");
    int32_t ends[HG_MAX_ENDS];
    const size_t n = hg_model_ends(m, ends);
    return hg_vocab_new(out, m->tokenizer, m->c.n_vocab, ends, n, e);
}
