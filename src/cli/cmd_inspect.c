/* higgins inspect: what is in a model's files. */
#include "cli.h"

#include <higgins/model.h>
#include <stdio.h>
#include <string.h>

typedef struct inspect_values {
    bool tensors;
} inspect_values;

static const cli_option options[] = {
    {"tensors", 0, CLI_FLAG, NULL, "list every tensor", offsetof(inspect_values, tensors), 0, 0},
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, 0}};

/* "4096 x 1024" */
static void shape_of(const hg_tensor_info *t, const char *between, char *out, size_t size)
{
    size_t n = 0;
    out[0] = '\0';
    for (int d = 0; d < t->n_dims && n < size; d++) {
        int k = snprintf(out + n, size - n, "%s%llu", d == 0 ? "" : between,
                         (unsigned long long)t->dim[d]);
        if (k > 0) n += (size_t)k;
    }
}

static void print_tensors(const hg_model_info *info)
{
    for (size_t i = 0; i < info->n_tensors; i++) {
        char shape[96], bytes[32];
        shape_of(&info->tensor[i], " x ", shape, sizeof shape);
        printf("%-52s %-6s %16s %10s\n", info->tensor[i].name, info->tensor[i].type, shape,
               cli_bytes(bytes, (double)info->tensor[i].n_bytes));
    }
}

static void print_text(const hg_model_info *info, bool tensors)
{
    const hg_model_config *c = &info->config;
    char a[32], b[32];
    printf("architecture   %s, from %s\n", c->arch, info->format);
    printf("parameters     %s in %zu tensors, %s\n", cli_count(a, (double)info->n_params),
           info->n_tensors, cli_bytes(b, (double)info->n_bytes));
    printf("layers         %u of width %u, feed-forward %u\n", c->n_layers, c->d_model, c->d_ff);
    printf("attention      %u heads of %u, %u for keys and values\n", c->n_heads, c->d_head,
           c->n_kv_heads);
    printf("context        %u tokens", c->n_ctx);
    if (c->window > 0) printf(", each sees %u", c->window);
    printf("\nvocabulary     %u, embedding and head %s\n", c->n_vocab,
           c->tie_embeddings ? "shared" : "apart");
    if (info->tokenizer != NULL)
        printf("tokenizer      %s, %u tokens\n", info->tokenizer, info->n_tokens);
    else
        printf("tokenizer      none\n");
    printf("chat template  %s\n", info->chat_template != NULL ? "yes" : "none");
    if (tensors) print_tensors(info);
}

static void print_string(const char *key, const char *v)
{
    printf(", \"%s\": ", key);
    if (v == NULL)
        printf("null");
    else
        cli_print_json_string(v, strlen(v));
}

static void print_json_config(const hg_model_config *c)
{
    static const char *const ropes[] = {"plain", "linear", "llama3", "factors"};
    printf("\"arch\": \"%s\", \"n_layers\": %u, \"d_model\": %u, \"n_heads\": %u, "
           "\"n_kv_heads\": %u, \"d_head\": %u, \"d_ff\": %u, \"n_vocab\": %u, \"n_ctx\": %u, "
           "\"window\": %u, \"norm_eps\": %.7g, \"rope_theta\": %.7g, \"rope_scaling\": \"%s\", "
           "\"tie_embeddings\": %s, \"bos_id\": %d, \"eos_id\": %d, \"pad_id\": %d",
           c->arch, c->n_layers, c->d_model, c->n_heads, c->n_kv_heads, c->d_head, c->d_ff,
           c->n_vocab, c->n_ctx, c->window, (double)c->norm_eps, (double)c->rope_theta,
           ropes[c->rope_scaling.kind], c->tie_embeddings ? "true" : "false", (int)c->bos_id,
           (int)c->eos_id, (int)c->pad_id);
}

static void print_json(const hg_model_info *info)
{
    printf("{\"config\": {");
    print_json_config(&info->config);
    printf("}, \"n_params\": %llu, \"n_bytes\": %llu", (unsigned long long)info->n_params,
           (unsigned long long)info->n_bytes);
    print_string("format", info->format);
    print_string("tokenizer", info->tokenizer);
    printf(", \"n_tokens\": %u", info->n_tokens);
    print_string("chat_template", info->chat_template);
    printf(", \"tensors\": [");
    for (size_t i = 0; i < info->n_tensors; i++) {
        const hg_tensor_info *t = &info->tensor[i];
        char shape[96];
        shape_of(t, ", ", shape, sizeof shape);
        printf("%s{\"name\": ", i == 0 ? "" : ", ");
        cli_print_json_string(t->name, strlen(t->name));
        printf(", \"type\": \"%s\", \"shape\": [%s], \"n_bytes\": %llu}", t->type, shape,
               (unsigned long long)t->n_bytes);
    }
    printf("]}\n");
}

static int run(cli *c, void *values, int n_args, char **args)
{
    const inspect_values *v = values;
    hg_model_info *info = NULL;
    hg_err e = {0};
    (void)n_args;
    if (hg_model_inspect(&info, args[0], &e) != HG_OK) return cli_fail(c, &e);
    if (c->json)
        print_json(info);
    else
        print_text(info, v->tensors);
    hg_model_info_free(info);
    return 0;
}

static const char *const examples[] = {
    "higgins inspect model",
    "tells the architecture, the sizes and the tokenizer of a model folder",
    "higgins inspect model.gguf --tensors",
    "lists every tensor with its type, shape and size as well",
    NULL,
};

const cli_command cli_inspect = {
    .name = "inspect",
    .args = "MODEL",
    .summary = "show what a model's files hold",
    .text =
        "Reads the header of a model (a folder with config.json, or a GGUF file) and tells what "
        "is in it,\nwithout loading the weights.",
    .examples = examples,
    .options = options,
    .values_size = sizeof(inspect_values),
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
