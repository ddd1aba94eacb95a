/* What the key `method` chooses: the form of the data and the objective. */
#ifndef HG_TRAIN_METHOD_H
#define HG_TRAIN_METHOD_H

#include "train/distill.h"
#include "train/grpo.h"
#include "train/preferences.h"
#include "train/trainer.h"

typedef struct hg_tuning {
    hg_preferences preferences;
    hg_grpo grpo;
    hg_distilling distilling;
    hg_model *reference; /* NULL: none is needed, or the model without its adapter is it */
} hg_tuning;

/* Defaults that follow from the method where the recipe leaves them open; HG_E_ARG for keys that do
 * not go together. */
hg_status hg_method_defaults(hg_recipe *r, hg_err *e);
/* A model without a chat template gets the task's, where the recipe's task has one of its own. */
hg_status hg_method_template(hg_model *m, const hg_recipe *r, hg_err *e);
hg_chat_form hg_method_form(const hg_recipe *r);
/* Reads the recipe's data into c; of a task, what it makes of them. */
hg_status hg_method_load(const hg_recipe *r, hg_chats *c, const hg_watch *w, hg_err *e);
/* Opens the teacher where the method has one, so that its memory can be planned; else nothing.
 * `vocab_hash` is the student's. */
hg_status hg_method_teacher(hg_tuning *t, const hg_recipe *r, uint64_t vocab_hash, hg_runtime *rt,
                            hg_arena *mem, hg_err *e);
/* Opens the base a second time, as its files store it, where the method asks it while the model
 * learns and no adapter is tuned; else nothing. */
hg_status hg_method_reference(hg_tuning *t, const hg_recipe *r, hg_err *e);
/* Sets job->objective, when the method has one of its own, from what the job holds already, after
 * hg_method_teacher and hg_method_reference. */
hg_status hg_method_init(hg_tuning *t, hg_run_job *job, const hg_packed *data, hg_arena *mem,
                         hg_err *e);
void hg_method_free(hg_tuning *t);

#endif
