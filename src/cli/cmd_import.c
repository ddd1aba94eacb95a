/* higgins import: a GGUF as a Hugging Face folder, to be tuned, or opened by transformers. */
#include "cli.h"
#include "plain_type.h"

#include <higgins/model.h>
#include <stdio.h>
#include <string.h>

typedef struct import_values {
    const char *out, *type;
} import_values;

static const cli_option options[] = {
    {"out", 'o', CLI_TEXT, "DIR", "the folder to write", offsetof(import_values, out), 0, 0},
    {"type", 0, CLI_TEXT, "TYPE",
     "f32, f16 or bf16 for all weights; as they are stored if left out, quantised ones as f32",
     offsetof(import_values, type), 0, 0},
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, 0}};

static int run(cli *c, void *values, int n_args, char **args)
{
    const import_values *v = values;
    hg_weights as;
    hg_err e = {0};
    (void)n_args;
    if (v->out == NULL) return cli_misuse(c, "where to? give -o DIR");
    if (!cli_plain_type(v->type, &as))
        return cli_misuse(c, "--type %s is not known; f32, f16 and bf16 are", v->type);
    if (hg_model_import(args[0], v->out, as, &e) != HG_OK) return cli_fail(c, &e);
    if (c->json) {
        printf("{\"out\": ");
        cli_print_json_string(v->out, strlen(v->out));
        printf("}\n");
    } else {
        printf("%s: written\n", v->out);
    }
    return 0;
}

static const char *const examples[] = {
    "higgins import model.gguf -o model",
    "writes the GGUF's model, tokenizer and chat template as a Hugging Face folder",
    "higgins import model-q4.gguf -o model --type bf16",
    "quantised weights become bfloat16, half the size of float32",
    NULL,
};

const cli_command cli_import = {
    .name = "import",
    .args = "MODEL.gguf",
    .summary = "write a GGUF as a model folder",
    .text = "Writes a GGUF, or the first file of a set of them, as a Hugging Face folder: "
            "config.json,\nmodel.safetensors, tokenizer.json, the chat template and what belongs "
            "to them. The folder can be\ntuned, and opens in transformers. It appears whole or "
            "not at all.",
    .examples = examples,
    .options = options,
    .values_size = sizeof(import_values),
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
