/* The options of what an answer must look like, shared by generate and chat. */
#ifndef CLI_FORM_OPTIONS_H
#define CLI_FORM_OPTIONS_H

#include <higgins/infer.h>
#include "cli.h"

typedef struct cli_form {
    const char *grammar, *schema, *regex; /* files, but the last */
    bool json_object;
    hg_vocab *vocab;
    hg_masks *masks;
    hg_constraint *constraint; /* NULL: any answer */
} cli_form;

/* The rows of an option table whose values hold a cli_form as `member`. */
#define CLI_FORM_ROW(type, member, field) offsetof(type, member) + offsetof(cli_form, field)
#define CLI_FORM_OPTIONS(type, member)                                                      \
    {"grammar",                                                                             \
     0,                                                                                     \
     CLI_TEXT,                                                                              \
     "FILE",                                                                                \
     "hold the answer to a grammar in llama.cpp's GBNF",                                    \
     CLI_FORM_ROW(type, member, grammar),                                                   \
     0,                                                                                     \
     0},                                                                                    \
        {"json-schema",                                                                     \
         0,                                                                                 \
         CLI_TEXT,                                                                          \
         "FILE",                                                                            \
         "hold the answer to a JSON schema",                                                \
         CLI_FORM_ROW(type, member, schema),                                                \
         0,                                                                                 \
         0},                                                                                \
        {"regex",                                                                           \
         0,                                                                                 \
         CLI_TEXT,                                                                          \
         "PATTERN",                                                                         \
         "hold the answer to a regular expression",                                         \
         CLI_FORM_ROW(type, member, regex),                                                 \
         0,                                                                                 \
         0},                                                                                \
    {                                                                                       \
        "json-object", 0, CLI_FLAG, NULL, "hold the answer to one JSON object of any kind", \
            CLI_FORM_ROW(type, member, json_object), 0, 0                                   \
    }

/* Reads what was asked for and makes its constraint for m; HG_E_ARG when more than one was. */
hg_status cli_form_open(cli_form *f, const hg_model *m, hg_err *e);
void cli_form_close(cli_form *f);

#endif
