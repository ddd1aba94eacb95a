/* An adapter of the tests' model, written by hand in both formats, and the weights it should make.
 */
#ifndef TESTS_INFER_ADAPTERS_H
#define TESTS_INFER_ADAPTERS_H

#include "model/model.h"

enum { ADAPTER_RANK = 5 };
static const double ADAPTER_ALPHA = 8.0;

/* On q, k and down of every layer, with values that depend on `seed`. `members` is put into the
 * configuration behind r and lora_alpha: ", \"use_rslora\": true" or "". */
void adapter_write_peft(const char *dir, const hg_model *m, uint64_t seed, const char *members);
void adapter_write_gguf(const char *path, const hg_model *m, uint64_t seed);
/* W += scale B A, in the weights of a model that was made in memory. */
void adapter_merge(hg_model *m, uint64_t seed, double scale);

#endif
