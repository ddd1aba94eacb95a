/* higgins export: a model as one GGUF file, which llama.cpp and what is built on it open. */
#include "cli.h"
#include "plain_type.h"

#include <higgins/model.h>
#include <higgins/train.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

typedef struct export_values {
    const char *out, *type;
    int64_t step;
    bool merge;
} export_values;

static const cli_option options[] = {
    {"out", 'o', CLI_TEXT, "FILE.gguf",
     "the file to write; of a run, a name without .gguf is a Hugging Face folder",
     offsetof(export_values, out), 0, 0},
    {"step", 's', CLI_INT, "N", "the checkpoint of a run; the newest if left out",
     offsetof(export_values, step), 1, 1e15},
    {"merge", 0, CLI_FLAG, NULL,
     "of a run that trained an adapter: the whole model with what it adds, not the adapter",
     offsetof(export_values, merge), 0, 0},
    {"type", 0, CLI_TEXT, "TYPE",
     "f32, f16 or bf16 for the matrices; as they are stored if left out",
     offsetof(export_values, type), 0, 0},
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, 0}};

/* A training run: a folder with checkpoints. */
static bool is_run(const char *path)
{
    char folder[4200];
    struct stat st;
    return snprintf(folder, sizeof folder, "%s/checkpoints", path) < (int)sizeof folder &&
           stat(folder, &st) == 0 && S_ISDIR(st.st_mode);
}

static hg_status export_any(cli *c, const export_values *v, const char *from, hg_weights as,
                            hg_err *e)
{
    uint64_t step = 0;
    if (!is_run(from)) return hg_model_export_gguf(from, v->out, as, &c->watch, e);
    HG_TRY(hg_train_export(from, (uint64_t)v->step, v->out, as, v->merge, &c->watch, &step, e));
    hg_watch_log(&c->watch, HG_INFO, "the model at step %llu", (unsigned long long)step);
    return HG_OK;
}

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
    if ((v->step > 0 || v->merge) && !is_run(args[0]))
        return cli_misuse(c, "--%s is for the folder of a training run; %s is none",
                          v->merge ? "merge" : "step", args[0]);
    hg_status s = export_any(c, v, args[0], as, &e);
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
    "higgins export runs/a --step 400 -o at-400.gguf",
    "the model that a training run had at a checkpoint",
    "higgins export runs/lora -o adapter.gguf",
    "the adapter of a run, as llama.cpp reads it",
    "higgins export runs/lora --merge -o whole.gguf",
    "the base with the adapter added to its weights",
    NULL,
};

const cli_command cli_export = {
    .name = "export",
    .args = "MODEL|RUN",
    .summary = "write a model, or a checkpoint of a run, as GGUF",
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
