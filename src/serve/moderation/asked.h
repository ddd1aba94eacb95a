/* A model that is asked for the scores of texts. */
#ifndef HG_SERVE_MODERATION_ASKED_H
#define HG_SERVE_MODERATION_ASKED_H

#include "serve/moderation/moderation.h"
#include "serve/server.h"

/* Writes {"flagged", "categories", "category_scores", ...} of one text. */
void hg_moderation_put(hg_json_out *o, const double score[HG_N_HARMS]);
/* The head of the answer, up to the array of results. */
void hg_moderation_begin(hg_json_out *o, const char *model);
/* Asks `model` for each text, an array of strings, and answers x in the end; false and *p. */
bool hg_moderation_ask(hg_server *s, hg_exchange *x, const char *model, const json_t *texts,
                       hg_problem *p);

#endif
