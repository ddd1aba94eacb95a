/* See small.h. */
#include "small.h"
#include "harness/adapters.h"
#include "harness/test.h"
#include "base/file.h"

#include <stdio.h>
#include <string.h>

static hg_tokenizer *make_tokenizer(void)
{
    const char *text = test_path("text.txt"), *to = test_path("small.tokenizer.json");
    const char *sources[] = {text};
    hg_tokenizer_options o;
    hg_tokenizer *t = NULL;
    hg_err e = {0};
    char many[2000];

    for (size_t i = 0; i < sizeof many; i++) many[i] = "the cat sat on the mat. "[i % 24];
    CHECK_OK(hg_file_write(text, many, sizeof many, &e), e);
    hg_tokenizer_options_init(&o);
    o.n_vocab = 300;
    CHECK_OK(hg_tokenizer_train(sources, 1, &o, to, NULL, NULL, &e), e);
    CHECK_OK(hg_tokenizer_open(&t, to, &e), e);
    return t;
}

void small_write(const char *name, uint64_t seed, const char *peft)
{
    hg_tokenizer *t = make_tokenizer();
    hg_model_config c = {.arch = "llama",
                         .n_layers = 2,
                         .d_model = 64,
                         .n_heads = 4,
                         .n_kv_heads = 2,
                         .d_ff = 128,
                         .n_ctx = 512,
                         .tie_embeddings = true,
                         .pad_id = -1};
    char above[4096];
    hg_model *m = NULL;
    hg_err e = {0};

    (void)snprintf(above, sizeof above, "%s", test_path(name));
    *strrchr(above, '/') = '\0';
    CHECK_OK(hg_mkdirs(above, &e), e);
    c.n_vocab = hg_tokenizer_count(t);
    c.bos_id = hg_tokenizer_special(t, "<|endoftext|>");
    c.eos_id = hg_chat_end_id(t);
    CHECK_OK(hg_model_new(&m, &c, seed, &e), e);
    hg_model_set_tokenizer(m, t);
    CHECK_OK(hg_model_set_chat_template(m, hg_chat_template_default(), &e), e);
    CHECK_OK(hg_model_save(m, test_path(name), HG_WEIGHTS_F32, NULL, &e), e);
    if (peft != NULL)
        adapter_write_peft(test_path(peft), m, seed + 1, ", \"base_model_name_or_path\": \"a\"");
    hg_model_free(m);
}
