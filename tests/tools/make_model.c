/* make_model FOLDER [SEED]: writes a small model with random weights, a tokenizer trained on the
 * text below and the chat template, for tests that need a model and not what it says. */
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char text[] =
    "Once upon a time there was a little mouse who lived in the kitchen of an old house. Every "
    "evening, when the people had gone to bed, she came out and looked for crumbs. One day she "
    "found a letter under the table. It was a letter from her cousin in the country, who asked "
    "her to come and stay for the summer. So the mouse packed her small bag and went away over "
    "the fields, and the sun was warm, and the wind was kind, and she sang all the way.\n"
    "Question: what is the capital of France? Answer: Paris. 1 2 3 4 5 6 7 8 9 10.\n";

static hg_status make_tokenizer(const char *folder, hg_tokenizer **t, hg_err *e)
{
    char from[4096], to[4096];
    hg_tokenizer_options o;
    const char *sources[] = {from};

    (void)snprintf(from, sizeof from, "%s.txt", folder);
    (void)snprintf(to, sizeof to, "%s.tokenizer.json", folder);
    FILE *f = fopen(from, "w");
    if (f == NULL) return hg_fail(e, HG_E_IO, "cannot write %s", from);
    for (int i = 0; i < 20; i++) (void)fputs(text, f);
    if (fclose(f) != 0) return hg_fail(e, HG_E_IO, "cannot write %s", from);
    hg_tokenizer_options_init(&o);
    o.n_vocab = 384;
    hg_status s = hg_tokenizer_train(sources, 1, &o, to, NULL, NULL, e);
    if (s == HG_OK) s = hg_tokenizer_open(t, to, e);
    (void)remove(from);
    (void)remove(to);
    return s;
}

static hg_status make(const char *folder, uint64_t seed, hg_err *e)
{
    hg_model_config c = {.arch = "llama",
                         .n_layers = 2,
                         .d_model = 64,
                         .n_heads = 4,
                         .n_kv_heads = 2,
                         .d_ff = 128,
                         .n_ctx = 1024,
                         .tie_embeddings = true,
                         .pad_id = -1};
    hg_tokenizer *t = NULL;
    hg_model *m = NULL;

    HG_TRY(make_tokenizer(folder, &t, e));
    c.n_vocab = hg_tokenizer_count(t);
    c.bos_id = hg_tokenizer_special(t, "<|endoftext|>");
    c.eos_id = hg_chat_end_id(t);
    hg_status s = hg_model_new(&m, &c, seed, e);
    if (s != HG_OK) {
        hg_tokenizer_free(t);
        return s;
    }
    hg_model_set_tokenizer(m, t);
    s = hg_model_set_chat_template(m, hg_chat_template_default(), e);
    if (s == HG_OK) s = hg_model_save(m, folder, HG_WEIGHTS_F32, NULL, e);
    hg_model_free(m);
    return s;
}

int main(int argc, char **argv)
{
    hg_err e = {0};

    if (argc < 2) {
        (void)fprintf(stderr, "make_model FOLDER [SEED]\n");
        return 2;
    }
    if (make(argv[1], argc > 2 ? strtoull(argv[2], NULL, 10) : 1, &e) == HG_OK) return 0;
    (void)fprintf(stderr, "make_model: %s\n", e.msg);
    return 1;
}
