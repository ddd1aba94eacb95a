/* higgins inspect --json: everything that is known, for a program. */
#include "cli.h"
#include "cmd_inspect.h"

#include <stdio.h>
#include <string.h>

static void print_string(const char *v)
{
    if (v == NULL)
        printf("null");
    else
        cli_print_json_string(v, strlen(v));
}

static void print_member(const char *key, const char *v)
{
    printf(", \"%s\": ", key);
    print_string(v);
}

static void print_config(const hg_model_config *c)
{
    static const char *const ropes[] = {"plain", "linear", "llama3", "factors", "yarn", "long"};
    printf("{\"arch\": \"%s\", \"n_layers\": %u, \"d_model\": %u, \"n_heads\": %u, "
           "\"n_kv_heads\": %u, \"d_head\": %u, \"d_ff\": %u, \"n_experts\": %u, "
           "\"n_experts_used\": %u, \"n_vocab\": %u, \"n_ctx\": %u, "
           "\"window\": %u, \"norm_eps\": %.7g, \"rope_theta\": %.7g, \"rope_scaling\": \"%s\", "
           "\"tie_embeddings\": %s, \"bos_id\": %d, \"eos_id\": %d, \"pad_id\": %d}",
           c->arch, c->n_layers, c->d_model, c->n_heads, c->n_kv_heads, c->d_head, c->d_ff,
           c->n_experts, c->n_experts_used, c->n_vocab, c->n_ctx, c->window, (double)c->norm_eps,
           (double)c->rope_theta, ropes[c->rope_scaling.kind], c->tie_embeddings ? "true" : "false",
           (int)c->bos_id, (int)c->eos_id, (int)c->pad_id);
}

static void print_keys(const hg_model_info *info)
{
    printf(",\n\"metadata\": [");
    for (size_t i = 0; i < info->n_keys; i++) {
        const hg_key_info *k = &info->key[i];
        printf("%s\n  {\"file\": ", i == 0 ? "" : ",");
        print_string(k->file);
        print_member("key", k->key);
        print_member("type", k->type);
        printf(", \"n\": %llu, \"value\": ", (unsigned long long)k->n);
        if (k->is_number)
            printf("%s", k->value);
        else
            print_string(k->value);
        printf("}");
    }
    printf("]");
}

static void print_values(const hg_values_info *v)
{
    if (!v->is_read) return;
    printf(", \"nan\": %llu, \"infinite\": %llu, \"min\": %.7g, \"max\": %.7g, \"mean\": %.7g, "
           "\"rms\": %.7g",
           (unsigned long long)v->n_nan, (unsigned long long)v->n_infinite, (double)v->min,
           (double)v->max, v->mean, v->rms);
}

static void print_tensors(const hg_model_info *info)
{
    printf(",\n\"tensors\": [");
    for (size_t i = 0; i < info->n_tensors; i++) {
        const hg_tensor_info *t = &info->tensor[i];
        printf("%s\n  {\"name\": ", i == 0 ? "" : ",");
        print_string(t->name);
        printf(", \"type\": \"%s\", \"shape\": [", t->type);
        for (int d = 0; d < t->n_dims; d++)
            printf("%s%llu", d == 0 ? "" : ", ", (unsigned long long)t->dim[d]);
        printf("], \"n_bytes\": %llu, \"file\": %zu, \"offset\": %llu, \"use\": \"%s\"",
               (unsigned long long)t->n_bytes, t->file, (unsigned long long)t->offset,
               hg_tensor_use_name(t->use));
        if (t->layer >= 0) printf(", \"layer\": %d", t->layer);
        print_values(&t->values);
        printf("}");
    }
    printf("]");
}

static void print_sums(const hg_model_info *info)
{
    printf(",\n\"types\": [");
    for (size_t i = 0; i < info->n_types; i++)
        printf("%s{\"type\": \"%s\", \"n_tensors\": %zu, \"n_bytes\": %llu}", i == 0 ? "" : ", ",
               info->type[i].type, info->type[i].n_tensors,
               (unsigned long long)info->type[i].n_bytes);
    printf("],\n\"layers\": [");
    for (size_t i = 0; i < info->n_layers; i++) {
        const hg_layer_info *l = &info->layer[i];
        printf("%s\n  {\"layer\": ", i == 0 ? "" : ",");
        printf(l->layer < 0 ? "null" : "%d", l->layer);
        printf(", \"n_tensors\": %zu, \"n_bytes\": %llu", l->n_tensors,
               (unsigned long long)l->n_bytes);
        for (int u = 0; u < HG_N_USES; u++)
            if (l->use[u] > 0)
                printf(", \"%s\": %llu", hg_tensor_use_name((hg_tensor_use)u),
                       (unsigned long long)l->use[u]);
        printf("}");
    }
    printf("]");
}

static void print_files(const hg_model_info *info)
{
    printf(",\n\"files\": [");
    for (size_t i = 0; i < info->n_files; i++) {
        printf("%s{\"name\": ", i == 0 ? "" : ", ");
        print_string(info->file[i].name);
        printf(", \"n_bytes\": %llu, \"n_tensors\": %zu}",
               (unsigned long long)info->file[i].n_bytes, info->file[i].n_tensors);
    }
    printf("]");
}

static void print_samples(const hg_model_info *info)
{
    if (info->tokenizer == NULL) return;
    printf(",\n\"samples\": {");
    for (size_t i = 0; i < HG_N_TOKEN_SAMPLES; i++) {
        const hg_token_sample *s = &info->sample[i];
        printf("%s\n  \"%s\": {\"n\": %u, \"tokens\": [", i == 0 ? "" : ",", s->kind, s->n_all);
        for (size_t k = 0; k < s->n; k++) {
            printf("%s{\"id\": %d, \"text\": ", k == 0 ? "" : ", ", (int)s->token[k].id);
            print_string(s->token[k].text);
            printf("}");
        }
        printf("]}");
    }
    printf("}");
}

void inspect_print_json(const hg_model_info *info)
{
    printf("{\"name\": ");
    print_string(info->name);
    print_member("kind", info->kind);
    print_member("format", info->format);
    print_member("arch", info->arch);
    print_member("problem", info->problem);
    printf(",\n\"config\": ");
    if (info->is_known)
        print_config(&info->config);
    else
        printf("null");
    printf(",\n\"n_params\": %llu, \"n_bytes\": %llu", (unsigned long long)info->n_params,
           (unsigned long long)info->n_bytes);
    print_files(info);
    printf(",\n\"tokenizer\": ");
    print_string(info->tokenizer);
    print_member("no_tokenizer", info->no_tokenizer);
    printf(", \"n_tokens\": %u, \"n_byte_tokens\": %u, \"n_unused_tokens\": %u", info->n_tokens,
           info->n_byte_tokens, info->n_unused_tokens);
    print_samples(info);
    print_member("chat_template", info->chat_template);
    print_keys(info);
    print_sums(info);
    print_tensors(info);
    printf("}\n");
}
