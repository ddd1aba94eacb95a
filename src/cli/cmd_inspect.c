/* higgins inspect: what is in a model's files. */
#include "cli.h"
#include "cmd_inspect.h"

#include <stdio.h>
#include <string.h>

typedef struct inspect_values {
    bool tensors, check;
    const char *html;
} inspect_values;

static const cli_option options[] = {
    {"tensors", 0, CLI_FLAG, NULL, "list every tensor", offsetof(inspect_values, tensors), 0, 0},
    {"check", 0, CLI_FLAG, NULL, "read every tensor; NaN and infinite values are an error",
     offsetof(inspect_values, check), 0, 0},
    {"html", 0, CLI_TEXT, "FILE", "write it as a page for a browser too",
     offsetof(inspect_values, html), 0, 0},
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, 0}};

/* "4096 x 1024" */
static void shape_of(const hg_tensor_info *t, char *out, size_t size)
{
    size_t n = 0;
    out[0] = '\0';
    for (int d = 0; d < t->n_dims && n < size; d++) {
        int k = snprintf(out + n, size - n, "%s%llu", d == 0 ? "" : " x ",
                         (unsigned long long)t->dim[d]);
        if (k > 0) n += (size_t)k;
    }
}

static void print_model(const hg_model_info *info)
{
    const hg_model_config *c = &info->config;
    printf("layers         %u of width %u, feed-forward %u\n", c->n_layers, c->d_model, c->d_ff);
    if (c->n_experts > 0)
        printf("experts        %u in a layer, %u for a token\n", c->n_experts, c->n_experts_used);
    printf("attention      %u heads of %u, %u for keys and values\n", c->n_heads, c->d_head,
           c->n_kv_heads);
    printf("context        %u tokens", c->n_ctx);
    if (c->window > 0) printf(", each sees %u", c->window);
    printf("\nvocabulary     %u, embedding and head %s\n", c->n_vocab,
           c->tie_embeddings ? "shared" : "apart");
}

static void print_head(const hg_model_info *info)
{
    char a[32], b[32];
    printf("kind           %s\n", info->kind);
    if (info->is_known)
        printf("architecture   %s, from %s\n", info->config.arch, info->format);
    else if (info->arch != NULL)
        printf("architecture   \"%s\", from %s\n", info->arch, info->format);
    if (info->problem != NULL) printf("cannot be run  %s\n", info->problem);
    if (info->n_tensors > 0)
        printf("parameters     %s in %zu tensors, %s\n", cli_count(a, (double)info->n_params),
               info->n_tensors, cli_bytes(b, (double)info->n_bytes));
    if (info->is_known) print_model(info);
    if (info->tokenizer != NULL)
        printf("tokenizer      %s, %u tokens\n", info->tokenizer, info->n_tokens);
    else
        printf("tokenizer      none%s%s\n", info->no_tokenizer != NULL ? ": " : "",
               info->no_tokenizer != NULL ? info->no_tokenizer : "");
    printf("chat template  %s\n", info->chat_template != NULL ? "yes" : "none");
    for (size_t i = 0; i < info->n_files && info->n_files > 1; i++)
        printf("%-14s %s, %s, %zu tensors\n", i == 0 ? "files" : "", info->file[i].name,
               cli_bytes(a, (double)info->file[i].n_bytes), info->file[i].n_tensors);
}

static void print_keys(const hg_model_info *info)
{
    const char *file = NULL;
    for (size_t i = 0; i < info->n_keys; i++) {
        const hg_key_info *k = &info->key[i];
        if (file == NULL || strcmp(file, k->file) != 0) printf("\nmetadata of %s\n", k->file);
        file = k->file;
        printf("  %-44s %s", k->key, k->value);
        if (strncmp(k->type, "array", 5) == 0 || strcmp(k->type, "list") == 0)
            printf("  (%llu)", (unsigned long long)k->n);
        printf("\n");
    }
}

/* A bar of a quarter of a line. */
static void print_bar(double share)
{
    for (int i = 0; i < (int)(20 * share + 0.5); i++) (void)putchar('#');
}

static void print_sizes(const hg_model_info *info)
{
    char bytes[32];
    printf("\nsizes by type\n");
    for (size_t i = 0; i < info->n_types; i++) {
        const hg_type_info *t = &info->type[i];
        double share = info->n_bytes > 0 ? (double)t->n_bytes / (double)info->n_bytes : 0;
        printf("  %-8s %5zu tensors %10s %5.1f %% ", t->type, t->n_tensors,
               cli_bytes(bytes, (double)t->n_bytes), 100 * share);
        print_bar(share);
        printf("\n");
    }
}

static bool same_sizes(const hg_layer_info *a, const hg_layer_info *b)
{
    return a->layer >= 0 && b->layer >= 0 && memcmp(a->use, b->use, sizeof a->use) == 0;
}

/* Layers that follow each other and are alike stand in one line. */
static void print_layers(const hg_model_info *info)
{
    printf("\nsizes by layer\n");
    for (size_t i = 0, end; i < info->n_layers; i = end) {
        const hg_layer_info *l = &info->layer[i];
        char name[40], bytes[32];
        for (end = i + 1; end < info->n_layers && same_sizes(l, &info->layer[end]); end++) {
        }
        if (l->layer < 0)
            (void)snprintf(name, sizeof name, "outside");
        else if (end - i == 1)
            (void)snprintf(name, sizeof name, "%d", l->layer);
        else
            (void)snprintf(name, sizeof name, "%d to %d, each", l->layer,
                           info->layer[end - 1].layer);
        printf("  %-16s %10s ", name, cli_bytes(bytes, (double)l->n_bytes));
        for (int u = 0, n = 0; u < HG_N_USES; u++) {
            if (l->use[u] == 0) continue;
            printf("%s%s %s", n++ == 0 ? " " : ", ", hg_tensor_use_name((hg_tensor_use)u),
                   cli_bytes(bytes, (double)l->use[u]));
        }
        printf("\n");
    }
}

static void print_groups(const hg_model_info *info)
{
    printf("\ntensors (--tensors lists each)\n");
    for (size_t i = 0; i < info->n_groups; i++) {
        const hg_tensor_group *g = &info->group[i];
        const hg_tensor_info *t = &info->tensor[g->first];
        char shape[96], bytes[32];
        shape_of(t, shape, sizeof shape);
        printf("  %-44s %4zux %-6s %16s %10s\n", g->name, g->n, t->type, shape,
               cli_bytes(bytes, (double)g->n_bytes));
    }
}

static void print_tensors(const hg_model_info *info)
{
    printf("\ntensors: type, shape, size, share, file, offset\n");
    for (size_t i = 0; i < info->n_tensors; i++) {
        const hg_tensor_info *t = &info->tensor[i];
        char shape[96], bytes[32];
        shape_of(t, shape, sizeof shape);
        printf("  %-52s %-6s %16s %10s %5.1f %% %3zu %12llu\n", t->name, t->type, shape,
               cli_bytes(bytes, (double)t->n_bytes),
               info->n_bytes > 0 ? 100.0 * (double)t->n_bytes / (double)info->n_bytes : 0,
               t->file + 1, (unsigned long long)t->offset);
    }
}

static void print_samples(const hg_model_info *info)
{
    if (info->tokenizer == NULL) return;
    printf("\nvocabulary: %u special, %u added, %u single bytes, %u plain, %u without a text\n",
           info->sample[0].n_all, info->sample[1].n_all, info->n_byte_tokens, info->sample[2].n_all,
           info->n_unused_tokens);
    for (size_t i = 0; i < HG_N_TOKEN_SAMPLES; i++) {
        const hg_token_sample *s = &info->sample[i];
        if (s->n == 0) continue;
        printf("  %-8s", s->kind);
        for (size_t k = 0; k < s->n && k < 12; k++) printf(" %s", s->token[k].text);
        printf("%s\n", s->n > 12 ? " ..." : "");
    }
}

/* The template as it is, but for what a terminal would obey: controls and broken bytes. */
static void print_template(const char *text)
{
    if (text == NULL) return;
    printf("\nchat template\n  ");
    for (size_t n = strlen(text), i = 0, len; i<n; i += len> 0 ? len : 1) {
        unsigned char c = (unsigned char)text[i];
        len = cli_utf8_length(text + i, n - i);
        bool is_c1 = len == 2 && c == 0xC2 && (unsigned char)text[i + 1] < 0xA0;
        if (c == '\n')
            printf("\n  ");
        else if (len > 0 && !is_c1 && c >= 0x20 && c != 0x7F)
            (void)fwrite(text + i, 1, len, stdout);
    }
    printf("\n");
}

static void print_bad(const hg_model_info *info)
{
    size_t n_read = 0;
    for (size_t i = 0; i < info->n_tensors; i++) {
        const hg_tensor_info *t = &info->tensor[i];
        const hg_values_info *v = &t->values;
        n_read += v->is_read;
        if (v->n_nan + v->n_infinite > 0)
            printf("\nbad            %s: %s: %llu NaN, %llu infinite of %llu values",
                   info->file[t->file].name, t->name, (unsigned long long)v->n_nan,
                   (unsigned long long)v->n_infinite, (unsigned long long)t->n_values);
    }
    printf("\nchecked        %zu of %zu tensors, %zu bad\n", n_read, info->n_tensors, info->n_bad);
}

static void print_text(const hg_model_info *info, const inspect_values *v)
{
    print_head(info);
    print_keys(info);
    if (info->n_tensors > 0) {
        print_sizes(info);
        print_layers(info);
        if (v->tensors)
            print_tensors(info);
        else
            print_groups(info);
    }
    print_samples(info);
    print_template(info->chat_template);
    if (v->check) print_bad(info);
}

static int run(cli *c, void *values, int n_args, char **args)
{
    const inspect_values *v = values;
    hg_model_info *info = NULL;
    hg_err e = {0};
    int code = 0;
    (void)n_args;
    if (hg_model_inspect(&info, args[0], v->check, &c->watch, &e) != HG_OK) return cli_fail(c, &e);
    cli_progress_end(c);
    if (c->json)
        inspect_print_json(info);
    else
        print_text(info, v);
    if (v->html != NULL && hg_model_info_page(info, v->html, &e) != HG_OK) code = cli_fail(c, &e);
    if (code == 0 && hg_model_info_verdict(info, &e) != HG_OK) code = cli_fail(c, &e);
    hg_model_info_free(info);
    return code;
}

static const char *const examples[] = {
    "higgins inspect model",
    "tells what is in a model folder: architecture, metadata, sizes, tensors, vocabulary, template",
    "higgins inspect model.gguf --html model.html",
    "the same, and a page to look at",
    "higgins inspect model-00001-of-00003.gguf --check",
    "reads every tensor of all files and names those with values that are no numbers",
    NULL,
};

const cli_command cli_inspect = {
    .name = "inspect",
    .args = "MODEL",
    .summary = "show what a model's files hold",
    .text = "Reads any GGUF (a model, a vocabulary, an adapter; in one file or several), a\n"
            "safetensors file, a Hugging Face folder or PEFT's folder, and tells what is in it\n"
            "without loading the weights. Files that are cut off, or whose tensors overlap, are\n"
            "refused; a model that Higgins cannot run is told about, and why it cannot.",
    .examples = examples,
    .options = options,
    .values_size = sizeof(inspect_values),
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
