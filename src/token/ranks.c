/* The two plain forms of byte-level BPE: tiktoken's rank files, a line of base64 and a number for
 * each token, and GPT-2's vocab.json with its merges.txt. In a rank file there are no merges: any
 * two neighbours whose bytes are a token merge, the lowest rank first, which is BPE by score with
 * the rank for a score. The pattern and the special tokens are not in it either; they belong to the
 * file's name, or to the number of its ranks. */
#include "token/lift.h"
#include "token/words.h"
#include <string.h>

typedef struct special {
    const char *text;
    uint32_t id; /* 0: the one behind the last */
} special;

typedef struct encoding {
    const char *name; /* the file's, without what follows the first dot */
    size_t n_ranks;   /* by which it is known when renamed; 0: by name only */
    const char *pattern;
    special special[8];
} encoding;

#define DIGIT "\\p{N}"
#define DIGITS3 "\\p{N}{1,3}"
static const encoding encodings[] = {
    {"o200k_base",
     199998,
     HG_PATTERN_O200K(HG_SHORT_I "?", DIGITS3),
     {{"<|endoftext|>", 199999}, {"<|endofprompt|>", 200018}}},
    {"cl100k_base",
     100256,
     HG_PATTERN_CL100K(HG_SHORT_I, DIGITS3),
     {{"<|endoftext|>", 100257},
      {"<|fim_prefix|>", 100258},
      {"<|fim_middle|>", 100259},
      {"<|fim_suffix|>", 100260},
      {"<|endofprompt|>", 100276}}},
    {"gpt2", 50256, HG_PATTERN_GPT2, {{"<|endoftext|>", 50256}}},
    {"r50k_base", 0, HG_PATTERN_GPT2, {{"<|endoftext|>", 50256}}},
    {"p50k_base", 50280, HG_PATTERN_GPT2, {{"<|endoftext|>", 50256}}},
    {"qwen",
     151643,
     HG_PATTERN_CL100K(HG_SHORT_I, DIGIT),
     {{"<|endoftext|>", 0}, {"<|im_start|>", 0}, {"<|im_end|>", 0}}},
    /* Llama 3 calls it tokenizer.model. */
    {"llama3",
     128000,
     HG_PATTERN_CL100K(HG_SHORT_I, DIGITS3),
     {{"<|begin_of_text|>", 128000},
      {"<|end_of_text|>", 128001},
      {"<|start_header_id|>", 128006},
      {"<|end_header_id|>", 128007},
      {"<|eom_id|>", 128008},
      {"<|eot_id|>", 128009},
      {"<|python_tag|>", 128010}}},
};

static const encoding *find_encoding(const char *name, size_t n_ranks)
{
    const char *base = strrchr(name, '/');
    base = base != NULL ? base + 1 : name;
    for (size_t i = 0; i < sizeof encodings / sizeof encodings[0]; i++)
        if (strlen(encodings[i].name) == strcspn(base, ".") &&
            strncmp(encodings[i].name, base, strcspn(base, ".")) == 0)
            return &encodings[i];
    for (size_t i = 0; i < sizeof encodings / sizeof encodings[0]; i++)
        if (encodings[i].n_ranks == n_ranks) return &encodings[i];
    return NULL;
}

/* ---- rank files ---- */

typedef struct ranks {
    hg_arena mem;
    hg_bytes *token; /* by rank, in GPT-2's byte form */
    uint8_t *flags;
    double *score;
    size_t n, cap;
    hg_token_parts parts;
    hg_split split;
} ranks;

static hg_status bad_line(size_t line, hg_err *e)
{
    return hg_fail(e, HG_E_FORMAT, "line %zu is not a token in base64, a space and its rank", line);
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Base64 (RFC 4648) of n characters into `out`; false when it is none. */
bool hg_from_base64(const char *s, size_t n, char *out, size_t *n_out)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;
    *n_out = 0;
    for (size_t pad = 0; n > 0 && s[n - 1] == '=' && pad < 2; pad++) n--;
    for (size_t i = 0; i < n; i++) {
        int digit = base64_digit(s[i]);
        if (digit < 0) return false;
        bits = bits << 6 | (uint32_t)digit;
        n_bits += 6;
        if (n_bits < 8) continue;
        n_bits -= 8;
        out[(*n_out)++] = (char)(unsigned char)(bits >> n_bits);
    }
    return true;
}

/* One line, `s` without its end: its token goes to its rank. */
static hg_status read_line(ranks *r, hg_bytes s, size_t line, hg_buf *b, hg_err *e)
{
    char bytes[HG_MAX_TOKEN_BYTES];
    const char *gap = memchr(s.p, ' ', s.n);
    size_t n_text = gap != NULL ? (size_t)(gap - s.p) : 0, n = 0;
    uint64_t rank = 0;
    if (n_text == 0 || n_text + 1 == s.n || n_text > HG_MAX_TOKEN_BYTES) return bad_line(line, e);
    for (size_t i = n_text + 1; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return bad_line(line, e);
        rank = 10 * rank + (uint64_t)(s.p[i] - '0');
        if (rank >= HG_MAX_TOKENS)
            return hg_fail(e, HG_E_LIMIT, "line %zu: rank %llu; at most %d allowed", line,
                           (unsigned long long)rank, HG_MAX_TOKENS - 1);
    }
    if (!hg_from_base64(s.p, n_text, bytes, &n) || n == 0) return bad_line(line, e);
    hg_buf_clear(b);
    hg_token_show(b, bytes, n);
    HG_TRY(hg_buf_status(b, e));
    size_t had = r->cap;
    HG_TRY(hg_grow(&r->token, &r->cap, (size_t)rank, sizeof *r->token, e));
    if (r->cap > had) memset(r->token + had, 0, (r->cap - had) * sizeof *r->token);
    if (r->token[rank].n > 0)
        return hg_fail(e, HG_E_FORMAT, "line %zu: rank %llu is there twice", line,
                       (unsigned long long)rank);
    char *copy = HG_NEW_RAW(&r->mem, char, b->n);
    if (copy == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the ranks");
    memcpy(copy, b->p, b->n);
    r->token[rank] = (hg_bytes){copy, b->n};
    if (rank >= r->n) r->n = (size_t)rank + 1;
    return HG_OK;
}

static hg_status read_lines(ranks *r, hg_bytes file, hg_err *e)
{
    hg_buf b = {0};
    hg_status status = HG_OK;
    size_t line = 0;
    for (size_t at = 0; at < file.n && status == HG_OK;) {
        const char *end = memchr(file.p + at, '\n', file.n - at);
        size_t n = end != NULL ? (size_t)(end - file.p) - at : file.n - at, len = n;
        line++;
        if (len > 0 && file.p[at + len - 1] == '\r') len--;
        if (len > 0) status = read_line(r, (hg_bytes){file.p + at, len}, line, &b, e);
        at += n + 1;
    }
    hg_buf_free(&b);
    HG_TRY(status);
    if (r->n == 0) return hg_fail(e, HG_E_FORMAT, "a rank file without ranks");
    if (r->n / 4 > line + 256)
        return hg_fail(e, HG_E_FORMAT, "ranks up to %zu in %zu lines", r->n - 1, line);
    return HG_OK;
}

/* The special tokens of a known encoding, at their ids. */
static hg_status add_special(ranks *r, const special *s, size_t n, hg_err *e)
{
    size_t total = r->n;
    for (size_t i = 0; i < n && s[i].text != NULL; i++) {
        size_t id = s[i].id != 0 ? s[i].id : total;
        if (id >= total) total = id + 1;
    }
    hg_bytes *token = HG_NEW(&r->mem, hg_bytes, total);
    r->flags = HG_NEW(&r->mem, uint8_t, total);
    r->score = HG_NEW(&r->mem, double, total);
    if (token == NULL || r->flags == NULL || r->score == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for the ranks");
    memcpy(token, r->token, r->n * sizeof *token);
    size_t next = r->n;
    for (size_t i = 0; i < n && s[i].text != NULL; i++) {
        size_t id = s[i].id != 0 ? s[i].id : next;
        if (id >= next) next = id + 1;
        if (token[id].n > 0) continue; /* a file that counts otherwise */
        token[id] = (hg_bytes){s[i].text, strlen(s[i].text)};
        r->flags[id] = HG_TOKEN_ADDED | HG_TOKEN_SPECIAL;
    }
    for (size_t i = 0; i < total; i++) r->score[i] = -(double)i;
    r->parts.token = token;
    r->parts.flags = r->flags;
    r->parts.score = r->score;
    r->parts.n = total;
    return HG_OK;
}

static hg_status describe(ranks *r, const char *name, hg_err *e)
{
    hg_token_parts_init(&r->parts);
    const encoding *found = find_encoding(name, r->n);
    if (found == NULL)
        return hg_fail(
            e, HG_E_UNSUPPORTED,
            "a rank file with %zu ranks says not how text is split, and Higgins knows no "
            "encoding of that name or size; it knows gpt2, p50k_base, cl100k_base, "
            "o200k_base, qwen and Llama 3's",
            r->n);
    HG_TRY(add_special(r, found->special, sizeof found->special / sizeof found->special[0], e));
    r->split = (hg_split){.pattern = found->pattern};
    r->parts.model = HG_TOKEN_SCORES;
    r->parts.ignore_merges = true; /* a word that is a token is looked up before anything else */
    r->parts.split = &r->split;
    r->parts.n_splits = 1;
    if (strcmp(found->name, "llama3") == 0) r->parts.bos = 128000;
    return HG_OK;
}

hg_status hg_tokenizer_parse_ranks(hg_tokenizer **out, hg_bytes file, const char *name, hg_err *e)
{
    ranks r = {0};
    *out = NULL;
    if (file.n > HG_MAX_TOKEN_FILE)
        return hg_fail(e, HG_E_LIMIT, "a rank file of %zu bytes; at most %d allowed", file.n,
                       HG_MAX_TOKEN_FILE);
    hg_arena_init(&r.mem, 0);
    hg_status status = read_lines(&r, file, e);
    if (status == HG_OK) status = describe(&r, name, e);
    if (status == HG_OK) status = hg_tokenizer_from_parts(out, &r.parts, e);
    hg_free(r.token);
    hg_arena_free(&r.mem);
    return status;
}

/* ---- vocab.json and merges.txt ---- */

/* The same as JSON: the reader of tokenizer.json does the rest. */
static hg_status merges_as_json(hg_buf *out, hg_bytes merges, hg_err *e)
{
    bool first = true;
    for (size_t at = 0, line = 1; at < merges.n; line++) {
        const char *end = memchr(merges.p + at, '\n', merges.n - at);
        size_t n = end != NULL ? (size_t)(end - merges.p) - at : merges.n - at, len = n;
        const char *p = merges.p + at;
        at += n + 1;
        if (len > 0 && p[len - 1] == '\r') len--;
        if (len == 0 || (line == 1 && len >= 8 && memcmp(p, "#version", 8) == 0)) continue;
        const char *gap = memchr(p, ' ', len);
        if (gap == NULL || gap == p || gap == p + len - 1 ||
            memchr(gap + 1, ' ', len - 1 - (size_t)(gap - p)) != NULL)
            return hg_fail(e, HG_E_FORMAT,
                           "merges: line %zu is not two tokens with a space between", line);
        hg_buf_puts(out, first ? "\"" : ",\"");
        for (size_t i = 0; i < len; i++) {
            if ((unsigned char)p[i] < 0x20)
                hg_buf_printf(out, "\\u%04x", (unsigned)(unsigned char)p[i]);
            else if (p[i] == '"' || p[i] == '\\')
                hg_buf_printf(out, "\\%c", p[i]);
            else
                hg_buf_putc(out, p[i]);
        }
        hg_buf_putc(out, '"');
        first = false;
    }
    return HG_OK;
}

hg_status hg_tokenizer_parse_pair(hg_tokenizer **out, hg_bytes vocab, hg_bytes merges, hg_err *e)
{
    static const char end_of_text[] = "\"<|endoftext|>\"";
    hg_buf json = {0};
    *out = NULL;
    if (vocab.n > HG_MAX_TOKEN_FILE / 4 || merges.n > HG_MAX_TOKEN_FILE / 4)
        return hg_fail(e, HG_E_LIMIT,
                       "a vocabulary of %zu and merges of %zu bytes; at most %d allowed", vocab.n,
                       merges.n, HG_MAX_TOKEN_FILE / 4);
    /* The one special token of GPT-2's is a plain entry of its vocabulary. */
    const char *at =
        vocab.n > 0 ? memmem(vocab.p, vocab.n, end_of_text, strlen(end_of_text)) : NULL;
    size_t i = at != NULL ? (size_t)(at - vocab.p) + strlen(end_of_text) : vocab.n;
    while (i < vocab.n && (vocab.p[i] == ':' || vocab.p[i] == ' ')) i++;
    size_t digits = 0;
    while (i + digits < vocab.n && vocab.p[i + digits] >= '0' && vocab.p[i + digits] <= '9')
        digits++;
    hg_buf_puts(&json, "{\"added_tokens\": [");
    if (digits > 0 && digits < 8)
        hg_buf_printf(&json, "{\"id\": %.*s, \"content\": %s, \"special\": true}", (int)digits,
                      vocab.p + i, end_of_text);
    hg_buf_puts(&json,
                "], \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false},"
                " \"model\": {\"type\": \"BPE\", \"vocab\": ");
    hg_buf_put(&json, vocab.p, vocab.n);
    hg_buf_puts(&json, ", \"merges\": [");
    hg_status status = merges_as_json(&json, merges, e);
    hg_buf_puts(&json, "]}}");
    if (status == HG_OK) status = hg_buf_status(&json, e);
    if (status == HG_OK) status = hg_tokenizer_parse(out, (hg_bytes){json.p, json.n}, e);
    hg_buf_free(&json);
    return status;
}
