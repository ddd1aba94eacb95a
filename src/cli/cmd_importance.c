/* higgins importance: which columns of a model's matrices matter, measured on a text. */
#include "cli.h"

#include <higgins/quantize.h>
#include <stdio.h>
#include <string.h>

typedef struct importance_values {
    const char *out, *text;
    int64_t n_ctx, max_tokens;
} importance_values;

static const cli_option options[] = {
    {"text", 0, CLI_TEXT, "FILE", "the text to measure on, such as the model will meet",
     offsetof(importance_values, text), 0, 0},
    {"out", 'o', CLI_TEXT, "FILE.gguf", "the file to write", offsetof(importance_values, out), 0,
     0},
    {"context", 0, CLI_INT, "TOKENS", "tokens that are read together",
     offsetof(importance_values, n_ctx), 2, 1 << 20},
    {"max-tokens", 0, CLI_INT, "N", "stop behind as many tokens; 0: read all",
     offsetof(importance_values, max_tokens), 0, 1e12},
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, 0}};

static void init(void *values)
{
    importance_values *v = values;
    hg_importance_options o;
    hg_importance_options_init(&o);
    v->n_ctx = o.n_ctx;
}

static int run(cli *c, void *values, int n_args, char **args)
{
    const importance_values *v = values;
    const hg_importance_options o = {.n_ctx = (uint32_t)v->n_ctx,
                                     .max_tokens = (uint64_t)v->max_tokens};
    hg_importance_report r;
    hg_runtime *rt = NULL;
    hg_err e = {0};
    (void)n_args;
    if (v->text == NULL) return cli_misuse(c, "on what text? give --text FILE");
    if (v->out == NULL) return cli_misuse(c, "where to? give -o FILE.gguf");
    if (cli_runtime(c, &rt, &e) != HG_OK) return cli_fail(c, &e);
    hg_status s = hg_importance_measure(args[0], v->text, v->out, &o, &r, rt, &c->watch, &e);
    cli_progress_end(c);
    if (s != HG_OK) return cli_fail(c, &e);
    if (c->json) {
        printf("{\"out\": ");
        cli_print_json_string(v->out, strlen(v->out));
        printf(", \"tokens\": %llu, \"chunks\": %llu, \"tensors\": %zu}\n",
               (unsigned long long)r.n_tokens, (unsigned long long)r.n_chunks, r.n_tensors);
    } else {
        printf("%s: %zu matrices measured on %llu tokens\n", v->out, r.n_tensors,
               (unsigned long long)r.n_tokens);
    }
    return 0;
}

static const char *const examples[] = {
    "higgins importance model --text calibration.txt -o model.imatrix.gguf",
    "measures, for higgins quantize --importance",
    "higgins importance model --text wiki.txt -o model.imatrix.gguf --max-tokens 100000",
    "the same on the first 100000 tokens of a long text",
    NULL,
};

const cli_command cli_importance = {
    .name = "importance",
    .args = "MODEL",
    .summary = "measure which weights matter",
    .text = "Runs the model over a text and writes how large what meets each column of its "
            "matrices is. higgins\nquantize then rounds the columns that meet much with more care. "
            "The file is the GGUF that\nllama.cpp's imatrix tool writes; each program reads the "
            "other's. Some ten thousand tokens of text\nlike the model's later work are enough.",
    .examples = examples,
    .options = options,
    .values_size = sizeof(importance_values),
    .init = init,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
