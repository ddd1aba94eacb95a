/* higgins quantize: a model's weights in blocks of a few bits. */
#include "cli.h"

#include <higgins/quantize.h>
#include <stdio.h>
#include <string.h>

typedef struct quantize_values {
    const char *out, *type, *importance;
    bool pure, again;
} quantize_values;

static const cli_option options[] = {
    {"out", 'o', CLI_TEXT, "FILE.gguf", "the file to write", offsetof(quantize_values, out), 0, 0},
    {"type", 0, CLI_TEXT, "TYPE", "how many bits, and where", offsetof(quantize_values, type), 0,
     0},
    {"importance", 0, CLI_TEXT, "FILE",
     "what higgins importance (or llama-imatrix) measured: errors go where they matter least",
     offsetof(quantize_values, importance), 0, 0},
    {"pure", 0, CLI_FLAG, NULL, "one type for every matrix, the embedding and the head too",
     offsetof(quantize_values, pure), 0, 0},
    {"again", 0, CLI_FLAG, NULL, "take weights that are quantised already; loses more",
     offsetof(quantize_values, again), 0, 0},
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, 0}};

static void init(void *values)
{
    quantize_values *v = values;
    v->type = "q4_k_m";
}

static void print_json(const quantize_values *v, const hg_quantize_report *r)
{
    printf("{\"out\": ");
    cli_print_json_string(v->out, strlen(v->out));
    printf(", \"type\": \"%s\", \"parameters\": %llu, \"bytes_before\": %llu, \"bytes_after\": "
           "%llu, \"bits_per_weight\": %.3f, \"tensors\": %zu, \"quantized\": %zu, \"weighted\": "
           "%zu}\n",
           v->type, (unsigned long long)r->n_params, (unsigned long long)r->bytes_before,
           (unsigned long long)r->bytes_after, 8.0 * (double)r->bytes_after / (double)r->n_params,
           r->n_tensors, r->n_quantized, r->n_weighted);
}

static int run(cli *c, void *values, int n_args, char **args)
{
    const quantize_values *v = values;
    const hg_quantize_options o = {
        .type = v->type, .pure = v->pure, .again = v->again, .importance = v->importance};
    hg_quantize_report r;
    hg_runtime *rt = NULL;
    hg_err e = {0};
    char before[32], after[32];
    (void)n_args;
    if (v->out == NULL) return cli_misuse(c, "where to? give -o FILE.gguf");
    if (cli_runtime(c, &rt, &e) != HG_OK) return cli_fail(c, &e);
    hg_status s = hg_model_quantize(args[0], v->out, &o, &r, rt, &c->watch, &e);
    cli_progress_end(c);
    if (s != HG_OK) return cli_fail(c, &e);
    if (c->json) {
        print_json(v, &r);
        return 0;
    }
    printf("%s: %zu of %zu tensors quantised, %s instead of %s, %.2f bits a weight\n", v->out,
           r.n_quantized, r.n_tensors, cli_bytes(after, (double)r.bytes_after),
           cli_bytes(before, (double)r.bytes_before),
           8.0 * (double)r.bytes_after / (double)r.n_params);
    return 0;
}

static const char *const examples[] = {
    "higgins quantize model -o model-q4.gguf",
    "about a quarter of the size of half precision, a little less sharp",
    "higgins quantize model.gguf -o model-q8.gguf --type q8_0",
    "half the size, hardly to be told from the original",
    "higgins quantize model -o model-q3.gguf --type q3_k_m --importance model.imatrix.gguf",
    "few bits, spent where a text says they matter",
    NULL,
};

const cli_command cli_quantize = {
    .name = "quantize",
    .args = "MODEL",
    .summary = "make a model smaller",
    .text = "Writes a model folder or a GGUF in float32, float16 or bfloat16 as one GGUF whose "
            "matrices are in\nblocks of few bits, as llama.cpp and others read them too. Norms and "
            "biases stay float32; the\noutput head gets more bits than the rest.\n\nTypes, by the "
            "bits a weight takes in most matrices: q2_k_s and q2_k (2.6), q3_k_s, q3_k_m,\nq3_k_l "
            "(3.4), mxfp4 (4.25; mxfp4_moe: the experts alone), q4_0, q4_k_s, q4_k_m (4.5), q4_1 "
            "(5),\nq5_0, q5_k_s, q5_k_m (5.5), q5_1 (6), q6_k (6.6), q8_0 (8.5). Rows that are no "
            "multiple of 256 get\na type in blocks of 32 instead, and are named.",
    .examples = examples,
    .options = options,
    .values_size = sizeof(quantize_values),
    .init = init,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
