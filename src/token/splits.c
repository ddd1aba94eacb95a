/* The pre-tokenisers that GGUF files name instead of stating (tokenizer.ggml.pre). A row may be
 * there twice under one name when the same rule is spelled in two ways by the files it comes from;
 * the first is what a name stands for. */
#include "token/words.h"
#include <string.h>

#define GPT2 HG_PATTERN_GPT2
#define DIGITS3 "\\p{N}{1,3}"

typedef struct row {
    const char *name;
    bool ignore_merges;
    size_t n;
    hg_split split[5];
} row;

static const row rows[] = {
    {"gpt-2", false, 1, {{GPT2, false, HG_KEEP_ALL}}},
    {"mpt", false, 1, {{GPT2, false, HG_KEEP_ALL}}},
    {"olmo", false, 1, {{GPT2, false, HG_KEEP_ALL}}},
    {"phi-2", false, 1, {{GPT2, false, HG_KEEP_ALL}}},
    {"llama-bpe", true, 1, {{HG_PATTERN_CL100K(HG_SHORT_I, "\\p{N}{1,3}"), false, HG_KEEP_ALL}}},
    {"llama-bpe", true, 1, {{HG_PATTERN_CL100K(HG_SHORT_AA, "\\p{N}{1,3}"), false, HG_KEEP_ALL}}},
    {"llama3", true, 1, {{HG_PATTERN_CL100K(HG_SHORT_I, "\\p{N}{1,3}"), false, HG_KEEP_ALL}}},
    {"qwen2", false, 1, {{HG_PATTERN_CL100K(HG_SHORT_I, "\\p{N}"), false, HG_KEEP_ALL}}},
    {"qwen2", false, 1, {{HG_PATTERN_CL100K(HG_SHORT_AA, "\\p{N}"), false, HG_KEEP_ALL}}},
    {"deepseek-r1-qwen", false, 1, {{HG_PATTERN_CL100K(HG_SHORT_I, "\\p{N}"), false, HG_KEEP_ALL}}},
    {"stablelm2", false, 1, {{HG_PATTERN_CL100K(HG_SHORT_I, "\\p{N}"), false, HG_KEEP_ALL}}},
    {"gpt-4o", false, 1, {{HG_PATTERN_O200K(HG_SHORT_I "?", DIGITS3), false, HG_KEEP_ALL}}},
    {"starcoder", false, 2, {{"\\p{N}", false, HG_KEEP_ALL}, {GPT2, false, HG_KEEP_ALL}}},
    {"refact", false, 2, {{"\\p{N}", false, HG_KEEP_ALL}, {GPT2, false, HG_KEEP_ALL}}},
    {"command-r", false, 2, {{"\\p{N}", false, HG_KEEP_ALL}, {GPT2, false, HG_KEEP_ALL}}},
    {"smollm", false, 2, {{"\\p{N}", false, HG_KEEP_ALL}, {GPT2, false, HG_KEEP_ALL}}},
    {"falcon",
     false,
     3,
     {{"[\\p{P}\\$\\+<=>\\^~\\|`]+", false, HG_KEEP_ALL},
      {GPT2, false, HG_KEEP_ALL},
      {"[0-9][0-9][0-9]", false, HG_KEEP_ALL}}},
    {"deepseek-coder",
     false,
     5,
     {{"[\\r\\n]", false, HG_KEEP_ALL},
      {"\\s?\\p{L}+", false, HG_KEEP_ALL},
      {"\\s?\\p{P}+", false, HG_KEEP_ALL},
      {"[\\x{4E00}-\\x{9FA5}\\x{0800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+", false, HG_KEEP_ALL},
      {"\\p{N}", false, HG_KEEP_ALL}}},
    {"deepseek-v3",
     false,
     3,
     {{"\\p{N}{1,3}", false, HG_KEEP_ALL},
      {"[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+", false, HG_KEEP_ALL},
      {"[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?"
       "[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
       false, HG_KEEP_ALL}}},
    /* What a file without a name is read with. */
    {"default",
     false,
     4,
     {{"[\\p{P}\\$\\+<=>\\^~\\|]+", false, HG_KEEP_ALL},
      {GPT2, false, HG_KEEP_ALL},
      {"\\p{N}+", false, HG_KEEP_ALL},
      {"[0-9][0-9][0-9]", false, HG_KEEP_ALL}}},
};

const char hg_pattern_gpt2[] = GPT2;

const hg_split *hg_splits_find(const char *pre, size_t *n, bool *ignore_merges)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].name, pre) != 0) continue;
        *n = rows[i].n;
        *ignore_merges = rows[i].ignore_merges;
        return rows[i].split;
    }
    return NULL;
}

static bool same(const row *r, const hg_split *split, size_t n)
{
    if (r->n != n) return false;
    for (size_t k = 0; k < n; k++)
        if (split[k].is_literal || split[k].keep == HG_KEEP_GAPS ||
            strcmp(split[k].pattern, r->split[k].pattern) != 0)
            return false;
    return true;
}

const char *hg_splits_name(const hg_split *split, size_t n)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (same(&rows[i], split, n)) return rows[i].name;
    return NULL;
}
