/* The tests' model. */
#include "tiny.h"
#include "base/mem.h"
#include "base/rng.h"
#include "harness/test.h"
#include "model/model.h"

#include <stdio.h>
#include <string.h>

/* A byte as byte-level BPE writes it (GPT-2's map): printable ones stand for themselves, the others
 * take U+0100 and up in their order. */
static void put_byte(hg_buf *b, int byte)
{
    int n_before = 0;
    for (int i = 0; i <= byte; i++) {
        const bool plain = (i >= 33 && i <= 126) || (i >= 161 && i <= 172) || i >= 174;
        if (i < byte)
            n_before += !plain;
        else if (plain && (byte == '"' || byte == '\\'))
            hg_buf_printf(b, "\\%c", byte);
        else
            hg_buf_printf(b, "\\u%04x", plain ? byte : 256 + n_before);
    }
}

hg_tokenizer *tiny_tokenizer(void)
{
    static const char *const special[3] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
    hg_buf b = {0};
    hg_tokenizer *t = NULL;
    hg_err e;
    hg_buf_puts(&b, "{\"version\": \"1.0\", \"added_tokens\": [");
    for (int i = 0; i < 3; i++)
        hg_buf_printf(&b,
                      "%s{\"id\": %d, \"content\": \"%s\", \"single_word\": false, \"lstrip\": "
                      "false, \"rstrip\": false, \"normalized\": false, \"special\": true}",
                      i > 0 ? ", " : "", 256 + i, special[i]);
    hg_buf_puts(&b, "], \"normalizer\": null, \"pre_tokenizer\": {\"type\": \"ByteLevel\", "
                    "\"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": true}, "
                    "\"post_processor\": null, \"decoder\": {\"type\": \"ByteLevel\"}, \"model\": "
                    "{\"type\": \"BPE\", \"vocab\": {");
    for (int i = 0; i < 256; i++) {
        hg_buf_puts(&b, i > 0 ? ", \"" : "\"");
        put_byte(&b, i);
        hg_buf_printf(&b, "\": %d", i);
    }
    hg_buf_puts(&b, "}, \"merges\": []}}");
    CHECK_OK(hg_tokenizer_parse(&t, (hg_bytes){b.p, b.n}, &e), e);
    CHECK_EQ(hg_tokenizer_count(t), TINY_VOCAB);
    hg_buf_free(&b);
    return t;
}

static hg_model *model_of(const hg_model_config *c, bool speaks)
{
    hg_model *m = NULL;
    hg_err e;
    CHECK_OK(hg_model_new(&m, c, 7, &e), e);
    /* Fresh weights give nearly even odds; larger ones make texts that differ from each other. */
    for (size_t i = 0; i < m->n_params; i++) {
        float *w = m->param[i]->data;
        for (size_t j = 0; m->param[i]->n_dims > 1 && j < hg_tensor_count(m->param[i]); j++)
            w[j] *= 6.0f;
    }
    if (speaks) hg_model_set_tokenizer(m, tiny_tokenizer());
    return m;
}

static hg_model_config config_of(const char *arch, uint32_t n_ctx)
{
    hg_model_config c = {.n_layers = TINY_LAYERS,
                         .d_model = 64,
                         .n_heads = 4,
                         .n_kv_heads = 2,
                         .d_head = 32,
                         .d_ff = 96,
                         .n_vocab = TINY_VOCAB,
                         .n_ctx = n_ctx,
                         .norm_eps = 1e-5f,
                         .rope_theta = 10000.0f,
                         .tie_embeddings = true,
                         .bos_id = -1,
                         .eos_id = TINY_END,
                         .pad_id = -1};
    (void)snprintf(c.arch, sizeof c.arch, "%s", arch);
    return c;
}

hg_model *tiny_model(bool speaks)
{
    const hg_model_config c = config_of("llama", TINY_CTX);
    return model_of(&c, speaks);
}

static tiny open_saved(hg_model *m, hg_weights as, int n_threads)
{
    tiny t = {0};
    hg_err e;
    CHECK_OK(hg_model_save(m, test_path("tiny"), HG_WEIGHTS_F32, NULL, &e), e);
    hg_model_free(m);
    CHECK_OK(hg_runtime_new(&t.rt, n_threads, HG_N_ISA, &e), e);
    CHECK_OK(hg_model_open(&t.m, test_path("tiny"), as, t.rt, &e), e);
    return t;
}

tiny tiny_open(hg_weights as, int n_threads)
{
    return open_saved(tiny_model(true), as, n_threads);
}

tiny tiny_open_windows(hg_weights as, int n_threads)
{
    hg_model_config c = config_of("gemma2", TINY_LONG_CTX);
    c.window = TINY_WINDOW;
    return open_saved(model_of(&c, true), as, n_threads);
}

void tiny_end(tiny *t)
{
    hg_model_free(t->m);
    hg_runtime_free(t->rt);
}

void tiny_prompt(int32_t *ids, size_t n, uint64_t seed)
{
    hg_rng r;
    hg_rng_init(&r, seed, 1);
    for (size_t i = 0; i < n; i++) ids[i] = (int32_t)hg_rng_below(&r, 256);
}
