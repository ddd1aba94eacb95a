/* Forms that answers are held to, made once: what compiles a schema for one request serves the next
 * that asks for the same. A form is shared by the answers that are held to it. */
#ifndef HG_SERVE_FORMS_H
#define HG_SERVE_FORMS_H

#include <higgins/infer.h>

enum { HG_FORMS_KEPT = 16 }; /* that nobody uses, for who asks next */

typedef enum hg_form_kind {
    HG_FORM_OBJECT,
    HG_FORM_SCHEMA,
    HG_FORM_CALLS /* any text; behind an opening of calls, the schema */
} hg_form_kind;

typedef struct hg_forms hg_forms; /* of one model; threads may share it */
typedef struct hg_form hg_form;

/* `opening` as hg_constraint_calls takes it, for HG_FORM_CALLS; it must live as long. */
hg_status hg_forms_new(hg_forms **out, const hg_model *m, const char *opening, hg_err *e);
void hg_forms_free(hg_forms *f); /* once every form is released */
/* The form of a JSON schema, or of any JSON object (`schema` is empty). Released by the caller.
 * HG_E_FORMAT, HG_E_UNSUPPORTED, HG_E_LIMIT: what is wrong with the schema, with its place. */
hg_status hg_forms_get(hg_forms *f, hg_form_kind kind, hg_bytes schema, hg_form **out, hg_err *e);
void hg_form_release(hg_form *form); /* NULL is fine */
/* At its beginning; lives as long as the form. */
const hg_constraint *hg_form_constraint(const hg_form *form);

#endif
