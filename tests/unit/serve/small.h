/* Models with random weights in folders, for the tests of what finds and loads them. */
#ifndef HG_TESTS_SMALL_H
#define HG_TESTS_SMALL_H

#include "model/model.h"

/* Writes a model of some 100 thousand parameters, with a tokenizer of bytes, to the folder `name`
 * of this case (folders above are made). With `peft` its adapter is written there, too. */
void small_write(const char *name, uint64_t seed, const char *peft);

#endif
