/* Texts as vectors, the same for every protocol. */
#ifndef HG_SERVE_EMBED_H
#define HG_SERVE_EMBED_H

#include "serve/server.h"

enum { HG_EMBED_MAX_TEXTS = 2048 };

typedef struct hg_vectors {
    char model[128];
    float *v; /* [n][d], each of length 1 */
    size_t n, d, n_tokens;
} hg_vectors;

/* Reads `input`, a text or token ids, or an array of them, none of them empty. `dimensions` 0: as
 * many as the model has; fewer are the first ones, made of length 1 again. Free *out in either
 * case. False and *p, which names the field `param`. */
bool hg_embed(hg_server *s, hg_bytes model, const json_t *input, int64_t dimensions,
              const char *param, hg_vectors *out, hg_problem *p);
void hg_vectors_free(hg_vectors *v);
/* The i-th, as an array of numbers under `key`. */
void hg_put_vector(hg_json_out *o, const char *key, const hg_vectors *v, size_t i);

/* The routes. */
void hg_openai_embeddings(hg_server *s, hg_exchange *x, hg_bytes rest);
void hg_ollama_embed(hg_server *s, hg_exchange *x, hg_bytes rest);
bool hg_gemini_embed(hg_server *s, hg_exchange *x, hg_bytes model, bool is_batch, hg_problem *p);

#endif
