/* higgins tokenizer train, encode, decode: the vocabulary of a model, made and shown. */
#include "cli.h"

#include <errno.h>
#include <higgins/tokenizer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- train ---- */

typedef struct train_values {
    int64_t vocab;
    const char *out;
    cli_list special;
    double max_mb;
} train_values;

static void train_init(void *values)
{
    train_values *v = values;
    v->vocab = 8192;
    v->out = "tokenizer.json";
    v->max_mb = 1024;
}

static const cli_option train_options[] = {
    {"vocab", 'n', CLI_INT, "N", "tokens in all: special ones, 256 bytes, merges",
     offsetof(train_values, vocab), 258, 1 << 20},
    {"out", 'o', CLI_TEXT, "FILE", "the tokenizer.json to write", offsetof(train_values, out), 0,
     0},
    {"special", 's', CLI_LIST, "TOKEN",
     "a special token, in place of <|endoftext|> <|im_start|> <|im_end|> <|pad|>",
     offsetof(train_values, special), 0, 0},
    {"max-mb", 0, CLI_FLOAT, "N", "look at this much text, taken evenly, where there is more",
     offsetof(train_values, max_mb), 0.001, 1e6},
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, 0}};

static void print_stats(const cli *c, const train_values *v, const hg_tokenizer_stats *s)
{
    char a[32], b[32], n[32];
    if (c->json) {
        printf("{\"out\": ");
        cli_print_json_string(v->out, strlen(v->out));
        printf(", \"vocab\": %u, \"merges\": %u, \"documents\": %llu, \"bytes\": %llu, "
               "\"words\": %llu, \"unique_words\": %llu, \"bytes_per_token\": %.4f, "
               "\"seconds\": %.3f, \"joules\": %.2f, \"peak_bytes\": %llu}\n",
               s->n_vocab, s->n_merges, (unsigned long long)s->n_documents,
               (unsigned long long)s->n_bytes, (unsigned long long)s->n_words,
               (unsigned long long)s->n_unique_words, s->bytes_per_token, s->seconds, s->joules,
               (unsigned long long)s->peak_bytes);
        return;
    }
    printf("%s: %u tokens (%u merges), %.2f bytes a token\n", v->out, s->n_vocab, s->n_merges,
           s->bytes_per_token);
    printf("looked at %s in %s documents, %s distinct words\n", cli_bytes(a, (double)s->n_bytes),
           cli_count(b, (double)s->n_documents), cli_count(n, (double)s->n_unique_words));
    if (s->n_vocab < v->vocab)
        printf("the text has no more pairs that occur twice: %u tokens instead of %lld\n",
               s->n_vocab, (long long)v->vocab);
}

static int run_train(cli *c, void *values, int n_args, char **args)
{
    train_values *v = values;
    hg_tokenizer_options o;
    hg_tokenizer_stats stats;
    hg_err e;
    hg_tokenizer_options_init(&o);
    o.n_vocab = (uint32_t)v->vocab;
    o.max_bytes = (uint64_t)(v->max_mb * 1e6);
    if (v->special.n > 0) {
        o.special = v->special.item;
        o.n_special = v->special.n;
    }
    const char **sources = malloc((size_t)n_args * sizeof *sources);
    if (sources == NULL) return cli_misuse(c, "no memory");
    for (int i = 0; i < n_args; i++) sources[i] = args[i];
    hg_status s = hg_tokenizer_train(sources, (size_t)n_args, &o, v->out, &c->watch, &stats, &e);
    free(sources);
    cli_progress_end(c);
    if (s != HG_OK) return cli_fail(c, &e);
    print_stats(c, v, &stats);
    return 0;
}

static const char *const train_examples[] = {
    "higgins tokenizer train corpus/ --vocab 8192 -o tokenizer.json",
    "learns 8192 tokens from the corpus that `higgins collect` made",
    "higgins tokenizer train notes/ book.txt --vocab 4096 --json",
    "learns from text files and prints what it found as JSON", NULL};

const cli_command cli_tokenizer_train = {
    .name = "tokenizer train",
    .args = "SOURCE...",
    .summary = "learn a vocabulary from text",
    .text =
        "Byte-level BPE: every text can be written with the 256 bytes; pairs of neighbours that\n"
        "occur most often become tokens of their own, again and again, until the vocabulary is\n"
        "full. SOURCE is a corpus folder, a text file or a folder of them. The file that is\n"
        "written opens in Hugging Face's tokenizers and gives the same ids there.",
    .examples = train_examples,
    .options = train_options,
    .values_size = sizeof(train_values),
    .init = train_init,
    .min_args = 1,
    .max_args = -1,
    .run = run_train};

/* ---- what encode and decode share ---- */

typedef struct code_values {
    const char *tokenizer;
    bool special, ids, steps;
} code_values;

static void code_init(void *values)
{
    code_values *v = values;
    v->tokenizer = "tokenizer.json";
}

enum { MAX_INPUT = 1 << 30 };

static int no_memory(cli *c)
{
    hg_err e;
    (void)hg_fail(&e, HG_E_NOMEM, "no memory for the input");
    return cli_fail(c, &e);
}

/* A file, or stdin for "-", whole and with a NUL behind it. */
static int read_input(cli *c, const char *path, char **out, size_t *n)
{
    size_t cap = 1 << 16;
    hg_err e;
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *f = is_stdin ? stdin : fopen(path, "rb");
    *out = NULL;
    *n = 0;
    if (f == NULL) {
        (void)hg_fail(&e, HG_E_IO, "cannot read %s: %s", path, strerror(errno));
        return cli_fail(c, &e);
    }
    int code = 0;
    for (size_t got = 1; got > 0 && code == 0;) {
        char *grown = *out == NULL || *n + 1 >= cap ? realloc(*out, cap *= 2) : *out;
        if (grown == NULL || cap > MAX_INPUT) {
            code = no_memory(c);
            break;
        }
        *out = grown;
        got = fread(*out + *n, 1, cap - *n - 1, f);
        *n += got;
        (*out)[*n] = '\0';
    }
    if (code == 0 && ferror(f)) {
        (void)hg_fail(&e, HG_E_IO, "cannot read %s: %s", path, strerror(errno));
        code = cli_fail(c, &e);
    }
    if (!is_stdin) (void)fclose(f);
    return code;
}

/* Text that a terminal cannot spoil: spaces and line ends made visible, other bytes in hex. */
static void print_visible(hg_bytes s)
{
    for (size_t i = 0; i < s.n;) {
        size_t len = cli_utf8_length(s.p + i, s.n - i);
        unsigned char ch = (unsigned char)s.p[i];
        bool is_c1 = len == 2 && ch == 0xC2 && (unsigned char)s.p[i + 1] < 0xA0;
        if (ch == ' ')
            (void)fputs("\xC2\xB7", stdout); /* a middle dot */
        else if (ch == '\n')
            (void)fputs("\xE2\x86\xB5", stdout); /* an arrow that turns back */
        else if (ch == '\t')
            (void)fputs("\xE2\x87\xA5", stdout);
        else if (len == 0 || ch < 0x20 || ch == 0x7F || is_c1)
            printf("<%02X>", ch);
        else
            (void)fwrite(s.p + i, 1, len, stdout);
        i += len > 0 && !is_c1 ? len : 1;
    }
}

static bool is_whole_utf8(hg_bytes s)
{
    size_t i = 0, len;
    while (i < s.n && (len = cli_utf8_length(s.p + i, s.n - i)) > 0) i += len;
    return i == s.n;
}

/* {"id": 5, "text": "x"}, with the bytes when they are no whole characters. */
static void print_token_json(const hg_tokenizer *t, int32_t id)
{
    hg_bytes s = hg_tokenizer_piece(t, id, true);
    printf("{\"id\": %d, \"text\": ", (int)id);
    cli_print_json_string(s.p, s.n);
    if (!is_whole_utf8(s)) {
        printf(", \"bytes\": [");
        for (size_t i = 0; i < s.n; i++)
            printf("%s%u", i > 0 ? ", " : "", (unsigned)(unsigned char)s.p[i]);
        printf("]");
    }
    if (hg_tokenizer_is_special(t, id)) printf(", \"special\": true");
    printf("}");
}

/* ---- encode ---- */

static const cli_option encode_options[] = {
    {"tokenizer", 'k', CLI_TEXT, "FILE",
     "a tokenizer (.json, .model, .tiktoken, GGUF) or a model's folder",
     offsetof(code_values, tokenizer), 0, 0},
    {"special", 's', CLI_FLAG, NULL, "read special tokens such as <|im_end|> as what they are",
     offsetof(code_values, special), 0, 0},
    {"ids", 'i', CLI_FLAG, NULL, "print the ids and nothing else", offsetof(code_values, ids), 0,
     0},
    {"steps", 0, CLI_FLAG, NULL, "show every word and every merge", offsetof(code_values, steps), 0,
     0},
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, 0}};

typedef struct listing {
    const hg_tokenizer *t;
    const code_values *v;
    bool json;
    hg_ids all;
    size_t n_merges, n_words; /* merges of the word at hand */
} listing;

static void step_json(listing *l, const hg_token_step *s)
{
    if (s->kind == HG_STEP_MERGE) {
        if (l->n_merges == 0) printf("%s{\"merges\": [", l->n_words > 0 ? ",\n " : "\n ");
        printf("%s{\"rank\": %u, \"left\": %d, \"right\": %d, \"made\": %d}",
               l->n_merges > 0 ? ", " : "", s->rank, (int)s->left, (int)s->right, (int)s->made);
        return;
    }
    if (l->n_merges > 0)
        printf("], \"word\": ");
    else
        printf("%s{\"%s\": ", l->n_words > 0 ? ",\n " : "\n ",
               s->kind == HG_STEP_ADDED ? "added" : "word");
    cli_print_json_string(s->text.p, s->text.n);
    printf(", \"tokens\": [");
    for (size_t i = 0; i < s->n_ids; i++) printf("%s%d", i > 0 ? ", " : "", (int)s->ids[i]);
    printf("]}");
}

static void step_text(listing *l, const hg_token_step *s)
{
    if (s->kind == HG_STEP_MERGE) {
        printf("    ");
        print_visible(hg_tokenizer_piece(l->t, s->left, true));
        printf(" + ");
        print_visible(hg_tokenizer_piece(l->t, s->right, true));
        printf(" -> ");
        print_visible(hg_tokenizer_piece(l->t, s->made, true));
        printf("   (merge %u)\n", s->rank);
        return;
    }
    printf("%s ", s->kind == HG_STEP_ADDED ? "added" : "word ");
    print_visible(s->text);
    printf("  =");
    for (size_t i = 0; i < s->n_ids; i++) {
        printf(" %d:", (int)s->ids[i]);
        print_visible(hg_tokenizer_piece(l->t, s->ids[i], true));
    }
    printf("\n");
}

static hg_status on_step(void *ctx, const hg_token_step *s, hg_err *e)
{
    listing *l = ctx;
    if (l->v->steps && !l->v->ids) {
        if (l->json)
            step_json(l, s);
        else
            step_text(l, s);
    }
    if (s->kind == HG_STEP_MERGE) {
        l->n_merges++;
        return HG_OK;
    }
    l->n_merges = 0;
    l->n_words++;
    for (size_t i = 0; i < s->n_ids; i++) HG_TRY(hg_ids_push(&l->all, s->ids[i], e));
    return HG_OK;
}

/* The text itself, each token on its own background: where a word is cut is seen at once. */
static void print_coloured(const listing *l)
{
    static const int background[] = {24, 58, 53, 22, 94, 60};
    for (size_t i = 0; i < l->all.n; i++) {
        hg_bytes s = hg_tokenizer_piece(l->t, l->all.id[i], true);
        printf("\033[97;48;5;%dm", background[i % 6]);
        print_visible(s);
        printf("\033[0m");
        if (s.n > 0 && s.p[s.n - 1] == '\n') printf("\n");
    }
    printf("\n\n");
}

static void print_listing(const listing *l, size_t n_bytes)
{
    const char *no_colour = getenv("NO_COLOR");
    if (l->v->ids) {
        for (size_t i = 0; i < l->all.n; i++) printf("%s%d", i > 0 ? " " : "", (int)l->all.id[i]);
        printf("\n");
        return;
    }
    if (cli_stdout_is_terminal() && (no_colour == NULL || no_colour[0] == '\0')) print_coloured(l);
    for (size_t i = 0; !l->v->steps && i < l->all.n; i++) {
        printf("%7d  ", (int)l->all.id[i]);
        print_visible(hg_tokenizer_piece(l->t, l->all.id[i], true));
        printf("\n");
    }
    printf("%zu tokens for %zu bytes", l->all.n, n_bytes);
    if (l->all.n > 0) printf(", %.2f bytes a token", (double)n_bytes / (double)l->all.n);
    printf("\n");
}

static void print_listing_json(const listing *l, size_t n_bytes)
{
    printf("%s\"bytes\": %zu, \"n\": %zu, \"ids\": [", l->v->steps && !l->v->ids ? "],\n" : "{",
           n_bytes, l->all.n);
    for (size_t i = 0; i < l->all.n; i++) printf("%s%d", i > 0 ? ", " : "", (int)l->all.id[i]);
    printf("]");
    if (!l->v->ids) {
        printf(",\n\"tokens\": [");
        for (size_t i = 0; i < l->all.n; i++) {
            printf(i > 0 ? ",\n " : "\n ");
            print_token_json(l->t, l->all.id[i]);
        }
        printf("]");
    }
    printf("}\n");
}

static int run_encode(cli *c, void *values, int n_args, char **args)
{
    (void)n_args;
    code_values *v = values;
    hg_tokenizer *t = NULL;
    hg_err e;
    char *text = NULL;
    size_t n = 0;
    int code = read_input(c, args[0], &text, &n);
    if (code != 0) goto done;
    if (hg_tokenizer_open(&t, v->tokenizer, &e) != HG_OK) {
        code = cli_fail(c, &e);
        goto done;
    }
    listing l = {.t = t, .v = v, .json = c->json};
    if (c->json && v->steps && !v->ids) printf("{\"words\": [");
    if (hg_tokenizer_trace(t, (hg_bytes){text, n}, v->special, on_step, &l, &e) != HG_OK)
        code = cli_fail(c, &e);
    else if (c->json)
        print_listing_json(&l, n);
    else
        print_listing(&l, n);
    hg_ids_free(&l.all);
done:
    hg_tokenizer_free(t);
    free(text);
    return code;
}

static const char *const encode_examples[] = {
    "echo 'Hello, world' | higgins tokenizer encode -",
    "shows the tokens of a line with the tokenizer.json of this folder",
    "higgins tokenizer encode story.txt -k runs/first/model --steps",
    "shows how each word is put together, merge by merge",
    "higgins tokenizer encode story.txt -k tokenizer.model --ids",
    "by SentencePiece's file of Llama 2; cl100k_base.tiktoken or model.gguf do as well",
    "higgins tokenizer encode story.txt --ids | higgins tokenizer decode -",
    "there and back again",
    NULL};

const cli_command cli_tokenizer_encode = {
    .name = "tokenizer encode",
    .args = "FILE|-",
    .summary = "show a text as tokens",
    .text =
        "Prints each token with its id; on a terminal also the text itself with every token on\n"
        "its own colour. A space is shown as a dot, a line end as an arrow, bytes that are no\n"
        "whole character in hexadecimal. What looks like a special token stays text unless\n"
        "--special is given.",
    .examples = encode_examples,
    .options = encode_options,
    .values_size = sizeof(code_values),
    .init = code_init,
    .min_args = 1,
    .max_args = 1,
    .run = run_encode};

/* ---- decode ---- */

static const cli_option decode_options[] = {
    {"tokenizer", 'k', CLI_TEXT, "FILE",
     "a tokenizer (.json, .model, .tiktoken, GGUF) or a model's folder",
     offsetof(code_values, tokenizer), 0, 0},
    {"special", 's', CLI_FLAG, NULL, "print special tokens too", offsetof(code_values, special), 0,
     0},
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, 0}};

/* Ids between spaces, commas or brackets; or the JSON that encode prints, whose "ids" are taken. */
static hg_status read_ids(const hg_tokenizer *t, const char *text, hg_ids *ids, hg_err *e)
{
    const char *json = text[strspn(text, " \t\r\n")] == '{' ? strstr(text, "\"ids\": [") : NULL;
    const char *p = json != NULL ? json + strlen("\"ids\": ") : text;
    for (;;) {
        p += strspn(p, " \t\r\n,[");
        if (*p == '\0' || *p == ']') return HG_OK;
        size_t digits = strspn(p, "0123456789");
        if (digits == 0)
            return hg_fail(e, HG_E_FORMAT, "\"%.*s\" is no token id; ids are whole numbers",
                           (int)strcspn(p, " \t\r\n,[]") < 40 ? (int)strcspn(p, " \t\r\n,[]") : 40,
                           p);
        unsigned long id = digits < 10 ? strtoul(p, NULL, 10) : UINT32_MAX;
        if (id >= hg_tokenizer_count(t))
            return hg_fail(e, HG_E_LIMIT, "there is no token %.*s; the vocabulary ends at %u",
                           (int)(digits < 40 ? digits : 40), p, hg_tokenizer_count(t) - 1);
        HG_TRY(hg_ids_push(ids, (int32_t)id, e));
        p += digits;
    }
}

/* The bytes of id i of a whole text; a space that stands for its beginning is not shown. */
static hg_bytes piece_of(const hg_tokenizer *t, const code_values *v, const hg_ids *ids, size_t i,
                         bool *is_first)
{
    hg_bytes s = hg_tokenizer_piece(t, ids->id[i], v->special);
    if (s.n == 0) return s;
    if (*is_first && hg_tokenizer_drops_space(t) && s.p[0] == ' ') s = (hg_bytes){s.p + 1, s.n - 1};
    *is_first = false;
    return s;
}

/* The pieces of JSON come one after the other; a character may be spread over several. */
static int print_decoded_json(cli *c, const hg_tokenizer *t, const code_values *v,
                              const hg_ids *ids)
{
    size_t n = 0;
    bool is_first = true;
    for (size_t i = 0; i < ids->n; i++) n += hg_tokenizer_piece(t, ids->id[i], v->special).n;
    char *text = malloc(n + 1);
    if (text == NULL) return no_memory(c);
    n = 0;
    for (size_t i = 0; i < ids->n; i++) {
        hg_bytes s = piece_of(t, v, ids, i, &is_first);
        if (s.n > 0) memcpy(text + n, s.p, s.n);
        n += s.n;
    }
    printf("{\"n\": %zu, \"bytes\": %zu, \"text\": ", ids->n, n);
    cli_print_json_string(text, n);
    printf(",\n\"tokens\": [");
    for (size_t i = 0; i < ids->n; i++) {
        printf(i > 0 ? ",\n " : "\n ");
        print_token_json(t, ids->id[i]);
    }
    printf("]}\n");
    free(text);
    return 0;
}

static int run_decode(cli *c, void *values, int n_args, char **args)
{
    (void)n_args;
    code_values *v = values;
    hg_tokenizer *t = NULL;
    hg_ids ids = {0};
    hg_err e;
    char *text = NULL;
    size_t n = 0;
    int code = read_input(c, args[0], &text, &n);
    if (code != 0) goto done;
    if (hg_tokenizer_open(&t, v->tokenizer, &e) != HG_OK || read_ids(t, text, &ids, &e) != HG_OK) {
        code = cli_fail(c, &e);
    } else if (c->json) {
        code = print_decoded_json(c, t, v, &ids);
    } else {
        bool is_first = true;
        for (size_t i = 0; i < ids.n; i++) {
            hg_bytes s = piece_of(t, v, &ids, i, &is_first);
            (void)fwrite(s.p, 1, s.n, stdout);
        }
    }
done:
    hg_ids_free(&ids);
    hg_tokenizer_free(t);
    free(text);
    return code;
}

static const char *const decode_examples[] = {
    "echo '15496 11 995' | higgins tokenizer decode - -k gpt2/tokenizer.json",
    "prints the text of three tokens", NULL};

const cli_command cli_tokenizer_decode = {
    .name = "tokenizer decode",
    .args = "FILE|-",
    .summary = "turn token ids back into text",
    .text =
        "Reads ids between spaces, commas or brackets, or what `tokenizer encode --json` printed,\n"
        "and writes their bytes as they are.",
    .examples = decode_examples,
    .options = decode_options,
    .values_size = sizeof(code_values),
    .init = code_init,
    .min_args = 1,
    .max_args = 1,
    .run = run_decode};
