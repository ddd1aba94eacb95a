/* Tasks: plain files of pairs become conversations to tune on, and questions to ask a model. The
 * same words are put to it before, in and after tuning. */
#ifndef HG_TRAIN_PRESET_H
#define HG_TRAIN_PRESET_H

#include <higgins/model.h>
#include <higgins/train.h>
#include "train/chats.h"
#include "train/recipe.h"

enum { HG_PRESET_LABELS = 64, HG_PRESET_ANSWERS = 64 };

typedef struct hg_preset_row {
    hg_bytes context, input; /* context: of questions, or empty */
    hg_bytes *answer;        /* [n] all of them right; the first is learnt */
    size_t n;
    size_t label; /* of sentiment: which of the data's labels the answer is */
    bool is_held_out;
    size_t line;
    const char *file;
} hg_preset_row;

typedef struct hg_preset_data {
    hg_preset kind;
    hg_preset_row *row;
    size_t n, cap;
    hg_chats chats;                   /* of kind chat, in place of rows */
    hg_bytes label[HG_PRESET_LABELS]; /* of sentiment, sorted */
    size_t n_labels;
    const char *instruction; /* "" or NULL: the task's own */
    hg_arena mem;
} hg_preset_data;

void hg_preset_data_init(hg_preset_data *d, hg_preset kind, const char *instruction);
void hg_preset_data_free(hg_preset_data *d);

/* ---- preset_data.c ---- */
/* Appends a file: .tsv, .jsonl (objects), else comma-separated, or what its first line looks like;
 * of kind chat conversations. `columns` [n_columns]: names or numbers, or none. What was found out
 * is told to the watch. HG_E_FORMAT names file and line. */
hg_status hg_preset_load(hg_preset_data *d, const char *path, const char *const *columns,
                         size_t n_columns, bool is_held_out, const hg_watch *w, hg_err *e);
/* The same from memory; `name` says what it is. */
hg_status hg_preset_parse_text(hg_preset_data *d, hg_bytes text, const char *name,
                               const char *const *columns, size_t n_columns, bool is_held_out,
                               const hg_watch *w, hg_err *e);

/* ---- preset.c ---- */
/* Holds out a share of the rows, by a hash of what they say, so that equal rows are on one side
 * whatever else the file holds; one row at the least, never all. */
void hg_preset_split(hg_preset_data *d, double share);
/* Of sentiment: finds the labels. HG_E_ARG: fewer than two, or more than HG_PRESET_LABELS. */
hg_status hg_preset_find_labels(hg_preset_data *d, hg_err *e);
/* All that the recipe's task reads: data, held-out part, labels. */
hg_status hg_preset_read(hg_preset_data *d, const hg_recipe *r, const hg_watch *w, hg_err *e);
/* What the user says of this row, with `input` for the row's own input or context (whichever is
 * the long text) when it had to be cut. */
hg_status hg_preset_prompt(const hg_preset_data *d, const hg_preset_row *row, hg_bytes text,
                           hg_buf *out, hg_err *e);
/* The row's text that may be cut: a question's context where it has one, else the input. */
hg_bytes hg_preset_text(const hg_preset_row *row);
/* Conversations of all rows, on their sides; of kind chat those that were read, which `d` gives
 * away. */
hg_status hg_preset_chats(hg_preset_data *d, hg_chats *out, hg_err *e);
/* For models without a chat template: the prompt's lines, "Answer:", and the answer. */
const char *hg_preset_template(void);

#endif
