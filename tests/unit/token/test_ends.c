/* The special tokens that end an answer, family by family. */
#include "tiny.h"

#include <stdio.h>
#include <string.h>

enum { MOST = 8 };

/* A family's special tokens: those that end an answer, then others. */
typedef struct family {
    const char *ends[MOST], *others[MOST];
} family;

static const family families[] = {
    {{"<|end_of_text|>", "<|eot_id|>", "<|eom_id|>"}, {"<|begin_of_text|>", "<|start_header_id|>"}},
    {{"<eos>", "<end_of_turn>"}, {"<bos>", "<start_of_turn>", "<pad>"}},
    {{"<|return|>", "<|call|>", "<|endoftext|>"},
     {"<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>"}},
    {{"<|endoftext|>", "<|im_end|>"}, {"<|im_start|>", "<|fim_prefix|>"}},
    {{"<|end|>", "<|endoftext|>"}, {"<|user|>", "<|assistant|>"}},
    {{"</s>"}, {"<s>", "[INST]", "[/INST]"}},
};

static hg_tokenizer *tokenizer_of(const family *f)
{
    char more[4096] = "\"added_tokens\": [";
    int id = 256;
    for (int list = 0; list < 2; list++)
        for (const char *const *s = list == 0 ? f->ends : f->others; *s != NULL; s++) {
            const size_t n = strlen(more);
            (void)snprintf(more + n, sizeof more - n,
                           "%s{\"id\": %d, \"content\": \"%s\", \"special\": true}",
                           id > 256 ? ", " : "", id, *s);
            id++;
        }
    strcat(more, "],");
    return tiny("", "", NULL, more);
}

TEST(each_familys_ends_are_known_and_nothing_else)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        int32_t ids[HG_MAX_ENDS];
        bool seen[MOST] = {false};
        size_t n_ends = 0;
        hg_tokenizer *t = tokenizer_of(&families[i]);
        while (families[i].ends[n_ends] != NULL) n_ends++;
        CHECK_EQ(hg_chat_end_ids(t, ids), n_ends);
        for (size_t k = 0; k < n_ends; k++) {
            const int32_t at = ids[k] - 256; /* the ends were given the first numbers */
            CHECK(at >= 0 && (size_t)at < n_ends && !seen[at]);
            seen[at] = true;
        }
        hg_tokenizer_free(t);
    }
}

TEST(a_token_that_is_not_special_ends_nothing)
{
    int32_t ids[HG_MAX_ENDS];
    hg_tokenizer *t = tiny("", "", NULL,
                           "\"added_tokens\": [{\"id\": 256, \"content\": \"<|im_end|>\", "
                           "\"special\": false}],");
    CHECK_EQ(hg_chat_end_ids(t, ids), 0);
    hg_tokenizer_free(t);
}
