/* A model small enough to run in a test: random weights, a tokenizer of single bytes. */
#ifndef TESTS_INFER_TINY_H
#define TESTS_INFER_TINY_H

#include <higgins/infer.h>

enum { TINY_VOCAB = 259, TINY_END = 256, TINY_CTX = 512, TINY_LAYERS = 3 };

/* A case's own runtime and models; freed when its process ends by tiny_end. */
typedef struct tiny {
    hg_runtime *rt;
    hg_model *m;
} tiny;

/* Opened from a folder as a user's model is, packed for `as` (float32 or bfloat16). */
tiny tiny_open(hg_weights as, int n_threads);
void tiny_end(tiny *t);
/* A model whose first and last layer look back through a window, the one between at everything. */
enum { TINY_WINDOW = 100, TINY_LONG_CTX = 2048 };
tiny tiny_open_windows(hg_weights as, int n_threads);
/* tiny_open's weights in memory, as training holds them; no tokenizer unless `speaks`. */
hg_model *tiny_model(bool speaks);
hg_tokenizer *tiny_tokenizer(void);

/* n ids of plain bytes that depend on `seed`. */
void tiny_prompt(int32_t *ids, size_t n, uint64_t seed);

#endif
