/* Texts as vectors, the same for every protocol. */
#ifndef HG_SERVE_EMBED_H
#define HG_SERVE_EMBED_H

#include "serve/server.h"

enum { HG_EMBED_MAX_TEXTS = 2048 };

typedef struct hg_vectors {
    char model[128];
    float *v; /* [n][d], each of length 1 */
    size_t n, d, n_tokens;
    double began;    /* monotonic: when they were asked for */
    unsigned choice; /* the wish's */
} hg_vectors;

typedef struct hg_embed_wish {
    hg_bytes model;
    const json_t *input; /* a text or token ids, or an array of them, none of them empty */
    int64_t dimensions;  /* 0: as many as the model has; fewer are the first ones, made of length 1
                            again */
    const char *param;   /* the field that is named where the input is refused */
    bool takes_one;      /* the input must be a text that is not empty */
    const hg_protocol *protocol;
    /* Writes the answer, on another thread. */
    void (*tell)(hg_exchange *x, const hg_vectors *v);
    unsigned choice; /* of tell's own */
} hg_embed_wish;
/* Reads the wish, and leaves the rest to the model's queue, whence the answer comes, unless the
 * client goes before. False and *p: it is refused. */
bool hg_embed(hg_server *s, hg_exchange *x, const hg_embed_wish *w, hg_problem *p);
/* The i-th, as an array of numbers under `key`. */
void hg_put_vector(hg_json_out *o, const char *key, const hg_vectors *v, size_t i);

/* The routes. */
void hg_openai_embeddings(hg_server *s, hg_exchange *x, hg_bytes rest);
void hg_ollama_embed(hg_server *s, hg_exchange *x, hg_bytes rest);
void hg_ollama_embed_one(hg_server *s, hg_exchange *x, hg_bytes rest);
bool hg_gemini_embed(hg_server *s, hg_exchange *x, hg_bytes model, bool is_batch, hg_problem *p);

#endif
