/* What a model of text takes, as Replicate describes it: one table, from which come the schema that
 * clients and forms read, and the check of what they send. */
#ifndef HG_SERVE_REPLICATE_INPUT_H
#define HG_SERVE_REPLICATE_INPUT_H

#include "serve/server.h"

/* The input of one prediction, read. Texts live in the JSON. */
typedef struct hg_input {
    hg_bytes prompt, system_prompt;
    hg_bytes prompt_template; /* n 0: the model's own */
    uint32_t max_tokens, min_tokens;
    hg_sampling sampling;
    hg_bytes stop_sequences; /* with commas between */
} hg_input;

/* Fills *out from an object; a key that is left out or null has its default, one that nobody knows
 * is ignored. False and *p (422), with a line for each thing that is wrong. */
bool hg_input_read(hg_input *out, const json_t *input, hg_problem *p);
/* The stop strings of `text`, each copied into `mem`; at most HG_MAX_STOP. */
size_t hg_input_stops(hg_bytes text, const char *out[HG_MAX_STOP], hg_arena *mem);
/* The OpenAPI document of a version, as the member `key`. */
void hg_input_put_schema(hg_json_out *o, const char *key);

#endif
