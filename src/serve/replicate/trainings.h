/* Replicate's trainings over the server's: what is asked for, and how it is told. */
#ifndef HG_SERVE_REPLICATE_TRAININGS_H
#define HG_SERVE_REPLICATE_TRAININGS_H

#include "serve/jobs/trainings.h"
#include "serve/replicate/replicate.h"

#define HG_REPLICATE_FACE "replicate"

/* Reads "input" into *ask (its texts live in `mem`): numbers, and the files that train_data and
 * eval_data name, which are fetched into the owner's files where they are links or data URIs. False
 * and *p (422), with a line for what is wrong. */
bool hg_replicate_read_training(hg_training_ask *ask, hg_server *s, hg_exchange *x,
                                const json_t *input, hg_arena *mem, hg_problem *p);
/* Deletes again what that had made files of. */
void hg_replicate_drop_data(const hg_training_ask *ask, hg_server *s, const hg_exchange *x,
                            const json_t *input);
/* Lets webhooks hear of trainings; before they start. */
void hg_replicate_watch_trainings(hg_server *s);

#endif
