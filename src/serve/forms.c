/* A list of forms, the one used last in front, under one lock. What nobody uses any more is kept
 * until others take its place. Compiling is done with the lock held: who asks for the same at the
 * same time waits for it and has it. */
#include "serve/forms.h"
#include "base/mem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { MASK_BYTES = 64 << 20 }; /* of a form */

static const double WARM_SECONDS = 10.0;

struct hg_form {
    hg_form *next;
    atomic_uint n_users;
    hg_form_kind kind;
    char *schema;
    size_t n;
    hg_masks *masks;
    hg_constraint *constraint;
};

struct hg_forms {
    pthread_mutex_t lock;
    const hg_model *m;
    const char *opening;
    hg_vocab *vocab; /* made when it is first asked for */
    hg_form *first;
};

hg_status hg_forms_new(hg_forms **out, const hg_model *m, const char *opening, hg_err *e)
{
    hg_forms *f = hg_alloc(1, sizeof *f);
    *out = f;
    if (f == NULL) return hg_fail(e, HG_E_NOMEM, "no room for forms of answers");
    f->m = m;
    f->opening = opening;
    (void)pthread_mutex_init(&f->lock, NULL);
    return HG_OK;
}

static void drop(hg_form *form)
{
    hg_constraint_free(form->constraint);
    hg_masks_free(form->masks);
    hg_free(form->schema);
    hg_free(form);
}

void hg_forms_free(hg_forms *f)
{
    if (f == NULL) return;
    for (hg_form *form = f->first, *next; form != NULL; form = next) {
        next = form->next;
        drop(form);
    }
    hg_vocab_free(f->vocab);
    (void)pthread_mutex_destroy(&f->lock);
    hg_free(f);
}

static hg_status compile(hg_forms *f, hg_form *form, hg_err *e)
{
    hg_grammar *g = NULL;
    const hg_bytes schema = {form->schema, form->n};
    if (f->vocab == NULL) HG_TRY(hg_model_vocab(&f->vocab, f->m, e));
    HG_TRY(form->kind == HG_FORM_OBJECT ? hg_grammar_json(&g, true, e)
                                        : hg_grammar_from_json_schema(&g, schema, e));
    hg_status s = hg_masks_new(&form->masks, g, f->vocab, MASK_BYTES, e);
    if (s == HG_OK) hg_masks_warm_begin(form->masks, WARM_SECONDS);
    if (s == HG_OK && form->kind == HG_FORM_CALLS)
        s = hg_constraint_calls(&form->constraint, form->masks, f->m, f->opening, e);
    else if (s == HG_OK)
        s = hg_constraint_new(&form->constraint, form->masks, e);
    hg_grammar_free(g);
    return s;
}

static hg_status make(hg_forms *f, hg_form_kind kind, hg_bytes schema, hg_form **out, hg_err *e)
{
    hg_form *form = hg_alloc(1, sizeof *form);
    if (form == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a form");
    form->kind = kind;
    form->n = schema.n;
    form->schema = hg_strndup(schema.n > 0 ? schema.p : "", schema.n);
    hg_status s =
        form->schema != NULL ? compile(f, form, e) : hg_fail(e, HG_E_NOMEM, "no room for a form");
    if (s == HG_OK)
        *out = form;
    else
        drop(form);
    return s;
}

/* Takes it out of the list; NULL: not there. */
static hg_form *take(hg_forms *f, hg_form_kind kind, hg_bytes schema)
{
    for (hg_form **at = &f->first; *at != NULL; at = &(*at)->next) {
        hg_form *form = *at;
        if (form->kind != kind || form->n != schema.n ||
            (schema.n > 0 && memcmp(form->schema, schema.p, schema.n) != 0))
            continue;
        *at = form->next;
        return form;
    }
    return NULL;
}

/* Gives up what was used longest ago and is not in use, beyond what is kept. */
static void shrink(hg_forms *f)
{
    size_t n = 0;
    for (hg_form **at = &f->first; *at != NULL;) {
        hg_form *form = *at;
        if (++n <= HG_FORMS_KEPT || atomic_load(&form->n_users) > 0) {
            at = &form->next;
            continue;
        }
        *at = form->next;
        drop(form);
    }
}

hg_status hg_forms_get(hg_forms *f, hg_form_kind kind, hg_bytes schema, hg_form **out, hg_err *e)
{
    hg_status s = HG_OK;
    (void)pthread_mutex_lock(&f->lock);
    hg_form *form = take(f, kind, schema);
    if (form == NULL) s = make(f, kind, schema, &form, e);
    if (s == HG_OK) {
        atomic_fetch_add(&form->n_users, 1);
        form->next = f->first;
        f->first = form;
        shrink(f);
    }
    (void)pthread_mutex_unlock(&f->lock);
    *out = s == HG_OK ? form : NULL;
    return s;
}

/* On an engine's thread, perhaps, which must not wait for who compiles. */
void hg_form_release(hg_form *form)
{
    if (form != NULL) atomic_fetch_sub(&form->n_users, 1);
}

const hg_constraint *hg_form_constraint(const hg_form *form)
{
    return form->constraint;
}
