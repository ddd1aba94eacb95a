/* The pre-tokenisers that GGUF files name instead of stating (tokenizer.ggml.pre). A row has
 * several names when models share a rule; a name may be there twice when the rule is spelled in two
 * ways by the files it comes from: the first is what the name stands for. The rules are those of
 * each model's tokenizer.json. */
#include "token/words.h"
#include <string.h>

#define GPT2 HG_PATTERN_GPT2
#define DIGIT "\\p{N}"
#define DIGITS3 "\\p{N}{1,3}"
#define LLAMA3 HG_PATTERN_CL100K(HG_SHORT_I, DIGITS3)
#define LLAMA3_AA HG_PATTERN_CL100K(HG_SHORT_AA, DIGITS3)
#define QWEN2 HG_PATTERN_CL100K(HG_SHORT_I, DIGIT)
#define O200K HG_PATTERN_O200K(HG_SHORT_I "?", DIGITS3)
#define BLOOM " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{FF0C}\\x{3001}\\x{964}\\x{6D4}\\x{60C})]+"
#define IDEOGRAPHS "[\\x{4E00}-\\x{9FA5}\\x{800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+"
#define KANA_HAN "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+"
#define DEEPSEEK3(lines)                                                                 \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?" \
    "[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+" lines "|\\s+(?!\\S)|\\s+"
/* Words of Kimi's hold no Chinese characters, which come first. */
#define NO_HAN(letters) "(?:(?!\\p{Han})" letters ")"
#define KIMI                                                              \
    "[\\p{Han}]+|[^\\r\\n\\p{L}\\p{N}]?" NO_HAN(HG_UPPER) "*" NO_HAN(     \
        HG_LOWER) "+" HG_SHORT_I                                          \
                  "?|[^\\r\\n\\p{L}\\p{N}]?" NO_HAN(HG_UPPER) "+" NO_HAN( \
                      HG_LOWER) "*" HG_SHORT_I "?|" DIGITS3               \
                                "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
/* Letters of scripts that have case, as the first DeepSeek lists them. */
#define CASED                                                                              \
    "-\\x{293}\\x{295}-\\x{2AF}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37B}-\\x{37D}\\x{37F}" \
    "\\x{386}\\x{388}-\\x{38A}\\x{38C}\\x{38E}-\\x{3A1}\\x{3A3}-\\x{3F5}\\x{3F7}-\\x{481}" \
    "\\x{48A}-\\x{52F}\\x{531}-\\x{556}\\x{10A0}-\\x{10C5}\\x{13A0}-\\x{13F5}\\x{13F8}-"   \
    "\\x{13FD}\\x{1C90}-\\x{1CBA}\\x{1CBD}-\\x{1CBF}\\x{1D00}-\\x{1D2B}\\x{1D6B}-"         \
    "\\x{1D77}\\x{1D79}-\\x{1D9A}\\x{1E00}-\\x{1F15}\\x{1F18}-\\x{1F1D}\\x{1F20}-"         \
    "\\x{1F45}\\x{1F48}-\\x{1F4D}\\x{1F50}-\\x{1F57}\\x{1F59}\\x{1F5B}\\x{1F5D}\\x{1F5F}-" \
    "\\x{1F7D}\\x{1F80}-\\x{1FB4}\\x{1FB6}-\\x{1FBC}\\x{1FBE}\\x{1FC2}-\\x{1FC4}\\x{1FC6}" \
    "-\\x{1FCC}\\x{1FD0}-\\x{1FD3}\\x{1FD6}-\\x{1FDB}\\x{1FE0}-\\x{1FEC}\\x{1FF2}-"        \
    "\\x{1FF4}\\x{1FF6}-\\x{1FFC}\\x{2102}\\x{2107}\\x{210A}-\\x{2113}\\x{2115}\\x{2119}-" \
    "\\x{211D}\\x{2124}\\x{2126}\\x{2128}\\x{212A}-\\x{212D}\\x{212F}-\\x{2134}\\x{2139}"  \
    "\\x{213C}-\\x{213F}\\x{2145}-\\x{2149}\\x{214E}\\x{2183}\\x{2184}\\x{2C00}-\\x{2C7B}" \
    "\\x{2C7E}-\\x{2CE4}\\x{2CEB}-\\x{2CEE}\\x{2CF2}\\x{2CF3}\\x{A640}-\\x{A66D}\\x{A680}" \
    "-\\x{A69B}\\x{A722}-\\x{A76F}\\x{A771}-\\x{A787}\\x{A78B}-\\x{A78E}\\x{AB70}-"        \
    "\\x{ABBF}\\x{FB00}-\\x{FB06}\\x{FB13}-\\x{FB17}\\x{FF21}-\\x{FF3A}\\x{FF41}-"         \
    "\\x{FF5A}\\x{10400}-\\x{1044F}\\x{104B0}-\\x{104D3}\\x{104D8}-\\x{104FB}\\x{10C80}-"  \
    "\\x{10CB2}\\x{10CC0}-\\x{10CF2}\\x{118A0}-\\x{118DF}\\x{1E900}-\\x{1E943}"

typedef struct row {
    const char *names; /* a space between */
    bool ignore_merges;
    size_t n;
    hg_split split[6];
} row;

static const row rows[] = {
    {"gpt-2 mpt olmo phi-2 jais trillion granite-docling jina-es jina-de jina-v1-en jina-v2-es "
     "jina-v2-de jina-v2-code roberta-bpe gigachat a.x-4.0 mellum modern-bert exaone4",
     false,
     1,
     {{.pattern = GPT2}}},
    {"llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
     true,
     1,
     {{.pattern = LLAMA3}}},
    {"llama-bpe", true, 1, {{.pattern = LLAMA3_AA}}},
    {"dbrx smaug-bpe glm4 chatglm-bpe", false, 1, {{.pattern = LLAMA3}}},
    {"chatglm-bpe", false, 1, {{.pattern = LLAMA3_AA}}},
    {"dbrx", false, 1, {{.pattern = HG_PATTERN_CL100K(HG_SHORT_TIKTOKEN, DIGITS3)}}},
    {"qwen2 deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2",
     false,
     1,
     {{.pattern = QWEN2}}},
    {"qwen2", false, 1, {{.pattern = HG_PATTERN_CL100K(HG_SHORT_AA, "\\p{N}")}}},
    {"qwen35", false, 1, {{.pattern = HG_PATTERN_QWEN35}}},
    {"gpt-4o llama4 kanana2 talkie minimax-m2", false, 1, {{.pattern = O200K}}},
    {"gpt-4o", false, 1, {{.pattern = HG_PATTERN_O200K(HG_SHORT_TIKTOKEN "?", DIGITS3)}}},
    {"granite-embed-multi-97m", true, 1, {{.pattern = O200K}}},
    {"tekken", true, 1, {{.pattern = HG_PATTERN_O200K("", "\\p{N}")}}},
    {"starcoder refact command-r smollm codeshell exaone minerva-7b mellum2",
     false,
     2,
     {{.pattern = DIGIT}, {.pattern = GPT2}}},
    {"falcon",
     false,
     3,
     {{.pattern = "[\\p{P}\\$\\+<=>\\^~\\|`]+"},
      {.pattern = GPT2},
      {.pattern = "[0-9][0-9][0-9]"}}},
    {"deepseek-llm",
     false,
     6,
     {{.pattern = "[\\r\\n]"},
      {.pattern = "\\s?[" CASED "]+"},
      {.pattern =
           "\\s?[!-/"
           ":-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}\\x{3000}-\\x{3002}]+"},
      {.pattern = "\\s+$"},
      {.pattern = IDEOGRAPHS},
      {.pattern = "\\p{N}+"}}},
    {"deepseek-coder",
     false,
     5,
     {{.pattern = "[\\r\\n]"},
      {.pattern = "\\s?\\p{L}+"},
      {.pattern = "\\s?\\p{P}+"},
      {.pattern = IDEOGRAPHS},
      {.pattern = DIGIT}}},
    {"deepseek-v3 hunyuan-dense joyai-llm hy_v4",
     false,
     3,
     {{.pattern = DIGITS3},
      {.pattern = KANA_HAN},
      {.pattern = DEEPSEEK3("[\\r\\n]*|\\s*[\\r\\n]+")}}},
    {"spark2_5",
     false,
     4,
     {{.pattern = DIGITS3},
      {.pattern = KANA_HAN},
      {.pattern = DEEPSEEK3("|[\\r\\n]")},
      {.pattern = DIGIT}}},
    {"poro-chat bloom gpt3-finnish", false, 1, {{.pattern = BLOOM}}},
    {"viking", false, 2, {{.pattern = BLOOM}, {.pattern = DIGIT}}},
    {"tiny_aya cohere2moe",
     false,
     2,
     {{.pattern = "\\d{1,3}(?=(?:\\d{3})*\\b)"}, {.pattern = O200K}}},
    {"superbpe", false, 2, {{.pattern = "\\p{N}+"}, {.pattern = "(?=(\\d{3})+(?!\\d))"}}},
    {"jais-2",
     false,
     1,
     {{.pattern = HG_SHORT_I "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" DIGITS3 "| "
                             "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s{512}(?!\\S)|\\s{256}("
                             "?!\\S)|\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)|\\s{16}(?!\\S)|"
                             "\\s{8}(?!\\S)|\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s{1}"}}},
    {"bailingmoe bailingmoe2 llada-moe",
     false,
     1,
     {{.pattern = "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| "
                  "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"}}},
    {"seed-coder",
     false,
     1,
     {{.pattern = HG_SHORT_I "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| "
                             "?[^\\s\\p{L}\\p{N}\\r\\n]+|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}}},
    {"exaone-moe",
     false,
     1,
     {{.pattern = HG_SHORT_I "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}| "
                             "?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"}}},
    {"minicpm5",
     true,
     2,
     {{.pattern = DIGITS3}, {.pattern = HG_PATTERN_CL100K(HG_SHORT_I, "\\p{N}+")}}},
    {"laguna", false, 2, {{.pattern = "[^\\n]+|[\\n]+"}, {.pattern = QWEN2}}},
    {"ufakzeka",
     false,
     1,
     {{.pattern = "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
                  "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}}},
    {"chameleon",
     false,
     6,
     {{.pattern = "<sentinel:[0-9]+>"},
      {.pattern = "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z"},
      {.pattern = "([\\t\\n]|    |  )"},
      {.pattern = DIGIT},
      {.pattern = "[\\p{P}!-/:-@\\[-`{-~]"},
      {.pattern = GPT2}}},
    {"kimi-k2", false, 1, {{.pattern = KIMI}}},
    {"default",
     false,
     4,
     {{.pattern = "[\\p{P}\\$\\+<=>\\^~\\|]+"},
      {.pattern = GPT2},
      {.pattern = "\\p{N}+"},
      {.pattern = "[0-9][0-9][0-9]"}}},
};

const char hg_pattern_gpt2[] = GPT2;

/* True when `name` is the word at p, which ends with a space or the string. */
static bool is_word(const char *p, const char *name)
{
    size_t n = strlen(name);
    return strncmp(p, name, n) == 0 && (p[n] == ' ' || p[n] == '\0');
}

static bool has_name(const row *r, const char *name)
{
    const char *p = r->names;
    while (p != NULL && !is_word(p, name)) {
        p = strchr(p, ' ');
        if (p != NULL) p++;
    }
    return p != NULL && name[0] != '\0';
}

const hg_split *hg_splits_find(const char *pre, size_t *n, bool *ignore_merges)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!has_name(&rows[i], pre)) continue;
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
        if (split[k].is_literal || split[k].keep > HG_KEEP_MATCHES ||
            split[k].keep == HG_KEEP_GAPS || strcmp(split[k].pattern, r->split[k].pattern) != 0)
            return false;
    return true;
}

size_t hg_splits_name(const hg_split *split, size_t n, bool ignore_merges, char *out, size_t cap)
{
    const row *found = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!same(&rows[i], split, n)) continue;
        if (found == NULL ||
            (found->ignore_merges != ignore_merges && rows[i].ignore_merges == ignore_merges))
            found = &rows[i];
    }
    if (found == NULL) return 0;
    size_t len = strcspn(found->names, " ");
    if (len >= cap) return 0;
    memcpy(out, found->names, len);
    out[len] = '\0';
    return len;
}
