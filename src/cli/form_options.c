/* What an answer must look like: from options to a constraint. */
#include "form_options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MASK_BYTES = 256 << 20 }; /* masks that are kept */

/* Masks are made ahead while the model opens and reads. */
static const double WARM_SECONDS = 10.0;

/* A whole file, which the caller frees. */
static hg_status read_file(const char *path, char **text, size_t *n, hg_err *e)
{
    char part[65536];
    size_t got;
    FILE *f = fopen(path, "rb");
    if (f == NULL) return hg_fail(e, HG_E_IO, "%s: cannot be read: %s", path, strerror(errno));
    FILE *to = open_memstream(text, n);
    if (to != NULL)
        while ((got = fread(part, 1, sizeof part, f)) > 0 && *n <= HG_MAX_GRAMMAR_BYTES)
            if (fwrite(part, 1, got, to) != got || fflush(to) != 0) break;
    const bool failed = ferror(f) != 0;
    (void)fclose(f);
    if (to == NULL || fclose(to) != 0) return hg_fail(e, HG_E_NOMEM, "no room for %s", path);
    return failed ? hg_fail(e, HG_E_IO, "%s: cannot be read to its end", path) : HG_OK;
}

static hg_status from_file(hg_grammar **g, const char *path, bool is_schema, hg_err *e)
{
    char *text = NULL;
    size_t n = 0;
    hg_err why = {0};
    hg_status s = read_file(path, &text, &n, e);
    if (s == HG_OK) {
        const hg_bytes in = {text, n};
        s = is_schema ? hg_grammar_from_json_schema(g, in, &why)
                      : hg_grammar_from_gbnf(g, in, &why);
        if (s != HG_OK) (void)hg_fail(e, s, "%s: %s", path, why.msg);
    }
    free(text);
    return s;
}

static hg_status read_form(const cli_form *f, hg_grammar **g, hg_err *e)
{
    hg_err why = {0};
    if (f->grammar != NULL) return from_file(g, f->grammar, false, e);
    if (f->schema != NULL) return from_file(g, f->schema, true, e);
    if (f->json_object) return hg_grammar_json(g, true, e);
    const hg_status s = hg_grammar_from_regex(g, (hg_bytes){f->regex, strlen(f->regex)}, &why);
    return s == HG_OK ? s : hg_fail(e, s, "--regex: %s", why.msg);
}

hg_status cli_form_open(cli_form *f, const hg_model *m, hg_err *e)
{
    const int n = (f->grammar != NULL) + (f->schema != NULL) + (f->regex != NULL) + f->json_object;
    hg_grammar *g = NULL;
    if (n == 0) return HG_OK;
    if (m == NULL)
        return hg_fail(e, HG_E_ARG, "ELIZA says what its script says and cannot be held to a form");
    if (n > 1)
        return hg_fail(e, HG_E_ARG,
                       "--grammar, --json-schema, --regex and --json-object exclude each other");
    HG_TRY(read_form(f, &g, e));
    hg_status s = hg_model_vocab(&f->vocab, m, e);
    if (s == HG_OK) s = hg_masks_new(&f->masks, g, f->vocab, MASK_BYTES, e);
    if (s == HG_OK) hg_masks_warm_begin(f->masks, WARM_SECONDS);
    if (s == HG_OK) s = hg_constraint_new(&f->constraint, f->masks, e);
    hg_grammar_free(g);
    return s;
}

void cli_form_close(cli_form *f)
{
    hg_constraint_free(f->constraint);
    hg_masks_free(f->masks);
    hg_vocab_free(f->vocab);
    f->constraint = NULL;
    f->masks = NULL;
    f->vocab = NULL;
}
