/* What the benches of training train: models of given shapes with random weights, on noise. */
#ifndef HG_BENCH_SHAPES_H
#define HG_BENCH_SHAPES_H

#include "base/rng.h"
#include "train/learner.h"

#include <stdio.h>
#include <string.h>

typedef struct shape {
    const char *name, *arch;
    size_t n_layers, d, n_vocab, n_rows, t;
    double goal; /* share of the product rate */
} shape;

static const shape bench_shapes[] = {{"14m", "llama", 6, 384, 8192, 32, 256, 0.8},
                                     {"gpt2-4x256", "gpt2", 12, 768, 50257, 4, 256, 0.73},
                                     {"gpt2-16x256", "gpt2", 12, 768, 50257, 16, 256, 0.79}};

/* NULL: there is none of that name. */
static inline const shape *shape_named(const char *name)
{
    for (size_t k = 0; k < sizeof bench_shapes / sizeof *bench_shapes; k++)
        if (strcmp(bench_shapes[k].name, name) == 0) return &bench_shapes[k];
    return NULL;
}

/* Random ids: what a step costs does not depend on them. */
typedef struct noise {
    hg_source source;
    uint32_t n_vocab;
} noise;

static inline void noise_row(const hg_source *s, bool held_out, uint64_t i, int32_t *ids,
                             int32_t *targets, uint8_t *begins)
{
    const noise *n = (const noise *)(const void *)s;
    hg_rng r;
    (void)held_out;
    hg_rng_init(&r, i, 0);
    for (size_t t = 0; t < s->seq_len; t++) {
        ids[t] = (int32_t)hg_rng_below(&r, n->n_vocab);
        targets[t] = (int32_t)hg_rng_below(&r, n->n_vocab);
        begins[t] = t == 0;
    }
}

static inline noise noise_of(const shape *s)
{
    return (noise){
        .source = {.seq_len = s->t, .n_rows = 1 << 20, .n_val_rows = s->n_rows, .row = noise_row},
        .n_vocab = (uint32_t)s->n_vocab};
}

static inline hg_model_config shape_config(const shape *s)
{
    const uint32_t d = (uint32_t)s->d, heads = d / 64;
    const bool is_gpt2 = strcmp(s->arch, "gpt2") == 0;
    hg_model_config c = {.n_layers = (uint32_t)s->n_layers,
                         .d_model = d,
                         .n_heads = heads,
                         .n_kv_heads = heads,
                         .d_head = 64,
                         .d_ff = is_gpt2 ? 4 * d : (d * 8 / 3 + 63) / 64 * 64,
                         .n_vocab = (uint32_t)s->n_vocab,
                         .n_ctx = (uint32_t)s->t,
                         .norm_eps = 1e-5f,
                         .rope_theta = 1e4f,
                         .tie_embeddings = true,
                         .bos_id = -1,
                         .eos_id = -1,
                         .pad_id = -1};
    (void)snprintf(c.arch, sizeof c.arch, "%s", s->arch);
    return c;
}

#endif
