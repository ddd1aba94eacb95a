/* What a model's files hold as one page for a browser: figures, where the bytes are, the tensors,
 * the metadata, the chat template, the vocabulary. Everything from the files passes the page's
 * escaper. */
#include "base/file.h"
#include "model/inspect.h"
#include "text/page.h"
#include <stdio.h>
#include <string.h>

enum { MAX_ROWS = 2000 };

typedef struct page {
    hg_buf b;
    const hg_model_info *info;
    hg_arena mem;
} page;

/* ---- figures ---- */

static void tiles(page *p)
{
    const hg_model_info *info = p->info;
    const hg_model_config *c = &info->config;
    char params[32], bytes[32], bits[32], layers[32], ctx[32], tokens[32], files[64];
    uint64_t n_values = 0;
    for (size_t i = 0; i < info->n_types; i++) n_values += info->type[i].n_values;
    (void)snprintf(bits, sizeof bits, "%.2f",
                   n_values > 0 ? 8.0 * (double)info->n_bytes / (double)n_values : 0);
    (void)snprintf(layers, sizeof layers, "%u", c->n_layers);
    (void)snprintf(files, sizeof files, "in %zu tensors, %zu file%s", info->n_tensors,
                   info->n_files, info->n_files == 1 ? "" : "s");
    hg_page_tile tile[6];
    size_t n = 0;
    if (info->n_tensors > 0) {
        tile[n++] = (hg_page_tile){hg_page_count(params, (double)info->n_params), "parameters",
                                   info->is_known ? "shared ones once" : NULL};
        tile[n++] =
            (hg_page_tile){hg_page_bytes(bytes, (double)info->n_bytes), "of weights", files};
        tile[n++] = (hg_page_tile){bits, "bits a weight", NULL};
    }
    if (info->is_known) {
        tile[n++] = (hg_page_tile){layers, "layers", NULL};
        tile[n++] = (hg_page_tile){hg_page_count(ctx, c->n_ctx), "tokens of context", NULL};
    }
    if (info->tokenizer != NULL)
        tile[n++] = (hg_page_tile){hg_page_count(tokens, info->n_tokens),
                                   "tokens in the vocabulary", info->tokenizer};
    hg_page_tiles(&p->b, tile, n);
}

static void verdict(page *p)
{
    const hg_model_info *info = p->info;
    hg_err e = {0};
    if (info->problem != NULL) hg_page_note(&p->b, "Higgins cannot run this: %s", info->problem);
    if (info->no_tokenizer != NULL)
        hg_page_note(&p->b, "Its tokenizer cannot be used: %s", info->no_tokenizer);
    if (hg_model_info_verdict(info, &e) != HG_OK) hg_page_note(&p->b, "%s", e.msg);
}

/* A formatted value that lives as long as the page's memory; NULL when there is no room. */
#define VALUE(...) hg_arena_printf(&p->mem, __VA_ARGS__)

static void shape(page *p)
{
    const hg_model_info *info = p->info;
    const hg_model_config *c = &info->config;
    hg_page_pair pair[16];
    size_t n = 0;
    if (info->arch != NULL) pair[n++] = (hg_page_pair){"the files say", info->arch};
    if (info->is_known) {
        pair[n++] = (hg_page_pair){"architecture", c->arch};
        pair[n++] = (hg_page_pair){"width", VALUE("%u", c->d_model)};
        pair[n++] = (hg_page_pair){
            "attention",
            VALUE("%u heads of %u, %u for keys and values%s", c->n_heads, c->d_head, c->n_kv_heads,
                  c->window > 0 ? VALUE("; a window of %u tokens", c->window) : "")};
        pair[n++] = (hg_page_pair){
            "feed-forward", c->n_experts > 0 ? VALUE("%u experts of %u, %u for a token",
                                                     c->n_experts, c->d_ff, c->n_experts_used)
                                             : VALUE("%u", c->d_ff)};
        pair[n++] = (hg_page_pair){"embedding and head", c->tie_embeddings ? "shared" : "apart"};
    }
    pair[n++] = (hg_page_pair){"chat template", info->chat_template != NULL ? "yes" : "none"};
    for (size_t i = 0; i < info->n_files && n < 15; i++)
        pair[n++] = (hg_page_pair){i == 0 ? "files" : "",
                                   VALUE("%s, %llu bytes, %zu tensors", info->file[i].name,
                                         (unsigned long long)info->file[i].n_bytes,
                                         info->file[i].n_tensors)};
    if (n == 15 && info->n_files > 0)
        pair[n++] = (hg_page_pair){"", VALUE("%zu files in all", info->n_files)};
    hg_page_pairs(&p->b, pair, n);
}

/* ---- where the bytes are ---- */

static void types(page *p)
{
    const hg_model_info *info = p->info;
    size_t n = info->n_types;
    const char **label = HG_NEW(&p->mem, const char *, n),
               **shown = HG_NEW(&p->mem, const char *, n);
    double *value = HG_NEW(&p->mem, double, n);
    if (label == NULL || shown == NULL || value == NULL) {
        p->b.failed = true;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const hg_type_info *t = &info->type[i];
        char bytes[32];
        label[i] = VALUE("%s, %zu tensor%s", t->type, t->n_tensors, t->n_tensors == 1 ? "" : "s");
        value[i] = (double)t->n_bytes;
        shown[i] =
            VALUE("%s, %.1f %%", hg_page_bytes(bytes, (double)t->n_bytes),
                  info->n_bytes > 0 ? 100.0 * (double)t->n_bytes / (double)info->n_bytes : 0);
    }
    hg_page_ranks(&p->b, "by type", label, value, shown, n);
}

static void uses(page *p)
{
    const hg_model_info *info = p->info;
    const char *label[HG_N_USES], *shown[HG_N_USES];
    double value[HG_N_USES];
    size_t n = 0;
    for (int u = 0; u < HG_N_USES; u++) {
        double sum = 0;
        char bytes[32];
        for (size_t i = 0; i < info->n_layers; i++) sum += (double)info->layer[i].use[u];
        if (!(sum > 0)) continue;
        label[n] = hg_tensor_use_name((hg_tensor_use)u);
        shown[n] =
            VALUE("%s, %.1f %%", hg_page_bytes(bytes, sum), 100 * sum / (double)info->n_bytes);
        value[n++] = sum;
    }
    hg_page_ranks(&p->b, "by use", label, value, shown, n);
}

static void layers(page *p)
{
    const hg_model_info *info = p->info;
    size_t n = info->n_layers;
    if (n < 2) return;
    const char *part[HG_N_USES];
    const char **label = HG_NEW(&p->mem, const char *, n);
    double *value = HG_NEW(&p->mem, double, n *HG_N_USES);
    if (label == NULL || value == NULL) {
        p->b.failed = true;
        return;
    }
    for (int u = 0; u < HG_N_USES; u++) part[u] = hg_tensor_use_name((hg_tensor_use)u);
    for (size_t i = 0; i < n; i++) {
        const hg_layer_info *l = &info->layer[i];
        label[i] = l->layer < 0 ? "outside" : VALUE("%d", l->layer);
        if (label[i] == NULL) label[i] = "";
        for (size_t u = 0; u < HG_N_USES; u++) value[i * HG_N_USES + u] = (double)l->use[u];
    }
    hg_page_stacks_chart(&p->b, &(hg_page_stacks){.title = "by layer",
                                                  .x_name = "layer",
                                                  .y_name = "bytes",
                                                  .label = label,
                                                  .part = part,
                                                  .value = value,
                                                  .n = n,
                                                  .n_parts = HG_N_USES});
}

/* ---- tensors ---- */

static const char *dims(page *p, const hg_tensor_info *t)
{
    const char *s = t->n_dims == 0 ? "one value" : VALUE("%llu", (unsigned long long)t->dim[0]);
    for (int d = 1; d < t->n_dims && s != NULL; d++)
        s = VALUE("%s \xC3\x97 %llu", s, (unsigned long long)t->dim[d]);
    return s;
}

static const char *share(page *p, uint64_t bytes)
{
    return VALUE("%.2f %%",
                 p->info->n_bytes > 0 ? 100.0 * (double)bytes / (double)p->info->n_bytes : 0);
}

static void groups(page *p)
{
    static const hg_page_column column[] = {{"name, # for a number", false},
                                            {"tensors", true},
                                            {"type", false},
                                            {"shape", true},
                                            {"all", true},
                                            {"share", true}};
    hg_page_table_begin(&p->b, NULL, column, 6);
    for (size_t i = 0; i < p->info->n_groups && i < MAX_ROWS; i++) {
        const hg_tensor_group *g = &p->info->group[i];
        const hg_tensor_info *t = &p->info->tensor[g->first];
        char bytes[32];
        const char *const cell[] = {g->name,
                                    VALUE("%zu", g->n),
                                    t->type,
                                    dims(p, t),
                                    hg_page_bytes(bytes, (double)g->n_bytes),
                                    share(p, g->n_bytes)};
        hg_page_row(&p->b, column, cell, 6);
    }
    hg_page_table_end(&p->b);
}

static const char *range(page *p, const hg_values_info *v)
{
    if (!v->is_read) return "";
    if (v->n_nan + v->n_infinite > 0)
        return VALUE("%llu NaN, %llu infinite", (unsigned long long)v->n_nan,
                     (unsigned long long)v->n_infinite);
    return VALUE("%.3g to %.3g, rms %.3g", (double)v->min, (double)v->max, v->rms);
}

static void all_tensors(page *p)
{
    static const hg_page_column column[] = {{"name", false}, {"type", false},  {"shape", true},
                                            {"bytes", true}, {"share", true},  {"offset", true},
                                            {"file", false}, {"values", false}};
    const hg_model_info *info = p->info;
    bool is_checked = false;
    for (size_t i = 0; i < info->n_tensors; i++) is_checked |= info->tensor[i].values.is_read;
    /* The file's column falls away when there is one file, the values' when none was read. */
    const size_t n = is_checked ? 8 : info->n_files > 1 ? 7 : 6;
    hg_page_fold_begin(&p->b, VALUE("every tensor (%zu)", info->n_tensors), false);
    hg_page_table_begin(&p->b, NULL, column, n);
    for (size_t i = 0; i < info->n_tensors && i < MAX_ROWS; i++) {
        const hg_tensor_info *t = &info->tensor[i];
        const char *const cell[] = {t->name,
                                    t->type,
                                    dims(p, t),
                                    VALUE("%llu", (unsigned long long)t->n_bytes),
                                    share(p, t->n_bytes),
                                    VALUE("%llu", (unsigned long long)t->offset),
                                    info->file[t->file].name,
                                    range(p, &t->values)};
        hg_page_row(&p->b, column, cell, n);
    }
    hg_page_table_end(&p->b);
    if (info->n_tensors > MAX_ROWS)
        hg_page_text(&p->b, "The first %d are shown; higgins inspect --json lists all.", MAX_ROWS);
    hg_page_fold_end(&p->b);
}

/* ---- metadata, template, vocabulary ---- */

static void keys(page *p)
{
    static const hg_page_column column[] = {{"key", false}, {"type", false}, {"value", false}};
    const hg_model_info *info = p->info;
    for (size_t i = 0, shown = 0; i < info->n_keys && shown < MAX_ROWS;) {
        const char *file = info->key[i].file;
        hg_page_table_begin(&p->b, file, column, 3);
        for (; i < info->n_keys && strcmp(info->key[i].file, file) == 0; i++, shown++) {
            const hg_key_info *k = &info->key[i];
            bool counts = strncmp(k->type, "array", 5) == 0 || strcmp(k->type, "list") == 0 ||
                          strcmp(k->type, "object") == 0;
            const char *const cell[] = {k->key,
                                        counts
                                            ? VALUE("%s, %llu item%s", k->type,
                                                    (unsigned long long)k->n, k->n == 1 ? "" : "s")
                                            : k->type,
                                        k->value};
            hg_page_row(&p->b, column, cell, 3);
        }
        hg_page_table_end(&p->b);
    }
}

static void chips(page *p, const hg_token_sample *s)
{
    hg_page_chip *chip = HG_NEW(&p->mem, hg_page_chip, s->n);
    if (s->n == 0) return;
    if (chip == NULL) {
        p->b.failed = true;
        return;
    }
    for (size_t i = 0; i < s->n; i++)
        chip[i] = (hg_page_chip){s->token[i].text, VALUE("%d", (int)s->token[i].id)};
    hg_page_subheading(&p->b, s->n_all > s->n ? VALUE("%s: %zu of %u", s->kind, s->n, s->n_all)
                                              : VALUE("%s: %zu", s->kind, s->n));
    hg_page_chips(&p->b, chip, s->n);
}

static void vocabulary(page *p)
{
    const hg_model_info *info = p->info;
    if (info->tokenizer == NULL) return;
    hg_page_heading(&p->b, "Vocabulary");
    hg_page_text(
        &p->b,
        "%s of %u tokens: %u special, %u added, %u single bytes, %u plain, %u without a "
        "text. A space is shown as \xC2\xB7, a line end as \xE2\x86\xB5, a byte that is no "
        "whole character in hexadecimal; the small number is the token's id.",
        info->tokenizer, info->n_tokens, info->sample[0].n_all, info->sample[1].n_all,
        info->n_byte_tokens, info->sample[2].n_all, info->n_unused_tokens);
    for (size_t i = 0; i < HG_N_TOKEN_SAMPLES; i++) chips(p, &info->sample[i]);
}

static void write_page(page *p)
{
    const hg_model_info *info = p->info;
    hg_page_begin(&p->b, info->name,
                  VALUE("a %s in %s format",
                        strcmp(info->kind, "tensors") == 0 ? "set of tensors" : info->kind,
                        info->format));
    tiles(p);
    verdict(p);
    shape(p);
    if (info->n_tensors > 0) {
        hg_page_heading(&p->b, "Where the bytes are");
        types(p);
        uses(p);
        layers(p);
        hg_page_heading(&p->b, "Tensors");
        groups(p);
        all_tensors(p);
    }
    if (info->chat_template != NULL) {
        hg_page_heading(&p->b, "Chat template");
        hg_page_jinja(&p->b, (hg_bytes){info->chat_template, strlen(info->chat_template)});
    }
    vocabulary(p);
    if (info->n_keys > 0) {
        hg_page_heading(&p->b, "Metadata");
        keys(p);
    }
    hg_page_end(&p->b, "Made by Higgins " HG_VERSION);
}

hg_status hg_model_info_page(const hg_model_info *info, const char *path, hg_err *e)
{
    page p = {.info = info};
    hg_arena_init(&p.mem, (size_t)1 << 16);
    write_page(&p);
    hg_status s = hg_buf_status(&p.b, e);
    if (s == HG_OK) s = hg_file_write(path, p.b.p, p.b.n, e);
    hg_buf_free(&p.b);
    hg_arena_free(&p.mem);
    return s;
}
