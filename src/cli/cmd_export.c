/* higgins export: a model as one GGUF file, which llama.cpp and what is built on it open. */
#include "cli.h"
#include "plain_type.h"

#include <higgins/model.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

typedef struct export_values {
    const char *out, *type;
} export_values;

static const cli_option options[] = {
    {"out", 'o', CLI_TEXT, "FILE.gguf", "the file to write", offsetof(export_values, out), 0, 0},
    {"type", 't', CLI_TEXT, "TYPE",
     "f32, f16 or bf16 for the matrices; as they are stored if left out",
     offsetof(export_values, type), 0, 0},
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, 0}};

static int run(cli *c, void *values, int n_args, char **args)
{
    const export_values *v = values;
    hg_weights as;
    hg_err e = {0};
    struct stat st;
    char size[32];
    (void)n_args;
    if (v->out == NULL) return cli_misuse(c, "where to? give -o FILE.gguf");
    if (!cli_plain_type(v->type, &as))
        return cli_misuse(c, "--type %s is not known; f32, f16 and bf16 are", v->type);
    hg_status s = hg_model_export_gguf(args[0], v->out, as, &c->watch, &e);
    cli_progress_end(c);
    if (s != HG_OK) return cli_fail(c, &e);
    double bytes = stat(v->out, &st) == 0 ? (double)st.st_size : 0;
    if (c->json) {
        printf("{\"out\": ");
        cli_print_json_string(v->out, strlen(v->out));
        printf(", \"bytes\": %.0f}\n", bytes);
    } else {
        printf("%s: %s\n", v->out, cli_bytes(size, bytes));
    }
    return 0;
}

static const char *const examples[] = {
    "higgins export model -o model.gguf",
    "writes the folder's model with its tokenizer and chat template as a GGUF file",
    "higgins export model -o model-f16.gguf --type f16",
    "the same with the matrices in half precision",
    NULL,
};

const cli_command cli_export = {
    .name = "export",
    .args = "MODEL",
    .summary = "write a model as GGUF",
    .text =
        "Writes a model folder (or a GGUF) as one GGUF file of version 3 that llama.cpp, Ollama, "
        "LM Studio\nand others open. Norms, biases and learned positions are float32 in it. The "
        "file appears whole or not\nat all.",
    .examples = examples,
    .options = options,
    .values_size = sizeof(export_values),
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
