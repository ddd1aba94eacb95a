/* What the files of a task's evaluation share: asking a model, figures, the report. */
#ifndef HG_EVAL_PRESET_H
#define HG_EVAL_PRESET_H

#include <higgins/task.h>
#include "eval/metrics.h"
#include "train/packed.h"
#include "train/preset.h"

/* ---- preset_ask.c ---- */
/* Who is asked and how. */
typedef struct hg_subject {
    const hg_model *m;
    hg_runtime *rt;
    const hg_adapter_use *use; /* an adapter, or NULL */
    const hg_watch *w;
    const char *stage;     /* for the progress */
    uint32_t n_ctx, limit; /* limit: tokens of an answer */
    /* Filled in by hg_preset_ask: */
    const char *chat_template; /* the model's, or ours; NULL: ChatML */
    hg_chat_look look;
} hg_subject;

/* What became of the rows asked; [n], in their order. What a kind does not have is NULL. */
typedef struct hg_answers {
    size_t n;
    const hg_preset_data *data;
    const size_t *row; /* of data (of kind chat: of its chats), borrowed */
    hg_bytes *said;
    size_t *label; /* chosen */
    hg_bleu *bleu;
    hg_chrf *chrf;
    hg_rouge *rouge;
    hg_squad *squad;
    double *nats, *tokens; /* of what the assistant says */
    uint64_t n_cut;        /* rows whose text did not fit */
    double seconds, joules;
    const char *joules_source, *form; /* form: how prompts are written, in words */
    hg_arena mem;
} hg_answers;
hg_status hg_preset_ask(hg_answers *out, const hg_preset_data *d, const size_t *row, size_t n,
                        const hg_subject *who, hg_err *e);
void hg_answers_free(hg_answers *a);
/* ---- preset_generate.c ---- */
/* The engine's greedy answers, cut to a->said. */
hg_status hg_preset_generate(hg_answers *a, hg_subject *who, hg_err *e);
/* The row's prompt, its text cut from the end until it takes at most `room` tokens; *text gets what
 * is left of it. */
hg_status hg_preset_prompt_ids(const hg_subject *who, const hg_preset_data *d,
                               const hg_preset_row *row, size_t room, hg_ids *ids, hg_bytes *text,
                               bool *is_cut, hg_err *e);

/* ---- preset_figures.c ---- */
enum { HG_MAX_TASK_FIGURES = 4 };
/* Figures of one model (before NULL) or of two on the same rows; returns how many. */
hg_status hg_preset_figures(hg_task_figure *out, size_t *n, const hg_answers *before,
                            const hg_answers *after, uint32_t rounds, uint64_t seed, hg_err *e);
/* cell[right][chosen]; `cell` has n_labels^2. */
void hg_preset_table(const hg_answers *a, uint64_t *cell);
/* The share of the commonest label. */
double hg_preset_commonest(const hg_answers *a);

/* ---- preset_out.c ---- */
struct hg_task_report {
    hg_task_figure figure[HG_MAX_TASK_FIGURES];
    size_t n_figures;
    const char *model, *data, *held_out, *instruction; /* in mem */
    hg_preset kind;
    uint32_t limit;
    uint64_t seed;
    size_t n_learnt;
    hg_buf json, text, html; /* html: a section of a page */
    hg_arena mem;
};
/* Writes json, text and html from the figures and the answers. */
hg_status hg_preset_report(hg_task_report *r, const hg_answers *before, const hg_answers *after,
                           hg_err *e);

#endif
