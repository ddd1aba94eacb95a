/* OpenAI's fine-tuning: a request to make a job, checked; and the routes over the trainings. */
#ifndef HG_SERVE_OPENAI_FINE_TUNING_H
#define HG_SERVE_OPENAI_FINE_TUNING_H

#include "serve/jobs/trainings.h"
#include "serve/server.h"

extern const hg_protocol hg_fine_tuning;
#define HG_FINE_TUNING_FACE "openai"

/* Reads a body into *ask; texts lie in `body` or `mem`, which must outlive it. False and *p: what
 * is missing, malformed or out of range, by its name. */
bool hg_fine_tuning_read(hg_training_ask *ask, const json_t *body, hg_arena *mem, hg_problem *p);

#endif
