/* higgins train: pre-training from a recipe. */
#include "cmd_train.h"
#include "launch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct values {
    const char *out, *tokenizer, *base, *mpi;
    int64_t depth;
    cli_list set;
    bool resume, plan, keys;
} values;

static const cli_option options[] = {
    {"depth", 'd', CLI_INT, "N", "layers; with it all that is not given follows from it",
     offsetof(values, depth), 1, 512},
    {"base", 'b', CLI_TEXT, "MODEL",
     "go on from this model (a folder or a GGUF) instead of random weights", offsetof(values, base),
     0, 0},
    {"tokenizer", 'k', CLI_TEXT, "FILE", "tokenizer.json; overrides the recipe's",
     offsetof(values, tokenizer), 0, 0},
    {"out", 'o', CLI_TEXT, "DIR", "the run folder; overrides the recipe's \"out\"",
     offsetof(values, out), 0, 0},
    {"set", 's', CLI_LIST, "KEY=VALUE", "overrides a key of the recipe", offsetof(values, set), 0,
     0},
    {"resume", 'r', CLI_FLAG, NULL, "go on from the newest checkpoint", offsetof(values, resume), 0,
     0},
    CLI_MPI_OPTION(offsetof(values, mpi)),
    {"plan", 0, CLI_FLAG, NULL, "say what the run would need and stop", offsetof(values, plan), 0,
     0},
    {"keys", 0, CLI_FLAG, NULL, "list the keys of recipes", offsetof(values, keys), 0, 0},
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, 0}};

static const char *const examples[] = {
    "higgins train corpus/ --depth 6",
    "chooses all the rest from the depth and says what it chose",
    "higgins train corpus/ --depth 6 --plan",
    "says how long it will take and what memory it needs",
    "higgins train corpus/ --base model/ -o runs/further",
    "goes on training a model on more text",
    "higgins train recipe.yaml",
    "trains as the recipe says",
    "higgins train recipe.yaml --resume",
    "goes on with a run that was stopped",
    "higgins train recipe.yaml --set lr=1e-3 --set max_minutes=10 -o runs/b",
    "the same recipe with other values",
    "higgins train --keys",
    "what a recipe may say",
    NULL};

void cli_train_print_keys(hg_stage stage)
{
    hg_train_key k;
    char range[64];
    printf("%-20s %-10s %-20s %-28s %s\n", "key", "type", "default", "range", "meaning");
    for (size_t i = 0; hg_train_get_key(stage, i, &k); i++) {
        (void)snprintf(range, sizeof range, "%s", k.range);
        if (k.min < k.max) (void)snprintf(range, sizeof range, "%g to %g", k.min, k.max);
        printf("%-20s %-10s %-20s %-28s %s\n", k.name, k.type, k.value[0] != '\0' ? k.value : "-",
               range, k.help);
    }
}

static void print_number(const char *name, double v)
{
    if (isfinite(v))
        printf(", \"%s\": %.9g", name, v);
    else
        printf(", \"%s\": null", name);
}

static void print_string(const char *name, const char *v)
{
    printf(", \"%s\": ", name);
    cli_print_json_string(v, strlen(v));
}

static void print_json(const hg_train_result *r, const hg_task_report *task)
{
    printf("{\"finished\": %s", r->is_finished ? "true" : "false");
    print_string("out", r->out);
    print_string("model", r->model);
    printf(", \"params\": %llu, \"steps\": %llu, \"total_steps\": %llu, \"tokens\": %llu",
           (unsigned long long)r->params, (unsigned long long)r->steps,
           (unsigned long long)r->total_steps, (unsigned long long)r->tokens);
    printf(", \"train_rows\": %llu, \"val_rows\": %llu, \"skipped_steps\": %llu",
           (unsigned long long)r->train_rows, (unsigned long long)r->val_rows,
           (unsigned long long)r->skipped_steps);
    printf(", \"need_bytes\": %llu, \"peak_bytes\": %llu", (unsigned long long)r->need_bytes,
           (unsigned long long)r->peak_bytes);
    print_number("plan_seconds", r->plan_seconds);
    print_number("batch_tokens", r->batch_tokens);
    print_number("lr", r->lr);
    print_number("loss", r->loss);
    print_number("val_loss", r->val_loss);
    print_number("val_bits_per_byte", r->val_bits_per_byte);
    print_number("seconds", r->seconds);
    print_number("tokens_per_s", r->tokens_per_s);
    print_number("flops_share", r->flops_share);
    print_number("joules", r->joules);
    print_string("joules_source", r->joules_source);
    if (task != NULL) {
        const hg_bytes json = hg_task_json(task);
        printf(", \"task\": %.*s", (int)json.n, json.p);
    }
    printf("}\n");
}

void cli_train_print(const cli *c, const hg_train_result *r, const hg_task_report *task)
{
    char a[32], b[32], d[32], m[32];
    if (c->json) {
        print_json(r, task);
        return;
    }
    if (!r->is_finished) {
        printf("%s parameters, %llu rows to learn from, %s of memory",
               cli_count(a, (double)r->params), (unsigned long long)r->train_rows,
               cli_bytes(b, (double)r->need_bytes));
        if (isfinite(r->plan_seconds)) printf(", about %s", cli_duration(d, r->plan_seconds));
        printf("\n");
        return;
    }
    printf("%s: %s parameters, %llu steps, %s tokens in %s (%.0f tokens/s, %.0f J by %s, %s of "
           "memory)\n",
           r->model, cli_count(a, (double)r->params), (unsigned long long)r->steps,
           cli_count(b, (double)r->tokens), cli_duration(d, r->seconds), r->tokens_per_s, r->joules,
           r->joules_source, cli_bytes(m, (double)r->peak_bytes));
    printf("loss %.4f", r->loss);
    if (isfinite(r->val_loss)) printf(", held out %.4f nats a token", r->val_loss);
    if (isfinite(r->val_bits_per_byte)) printf(", %.4f bits a byte", r->val_bits_per_byte);
    printf("; curves and samples: %s/report.html\n", r->out);
    if (task == NULL) return;
    const hg_bytes text = hg_task_text(task);
    printf("\n%.*s", (int)text.n, text.p);
}

char *cli_train_set(cli_sets *s, const char *key, const char *value)
{
    size_t n = strlen(key) + strlen(value) + 2;
    char *text = s->n < CLI_MAX_SETS ? malloc(n) : NULL;
    if (text == NULL) return NULL;
    (void)snprintf(text, n, "%s=%s", key, value);
    s->own[s->n_own++] = text;
    s->item[s->n++] = text;
    return text;
}

bool cli_train_sets(cli_sets *s, const cli_list *set, const char *out)
{
    for (size_t i = 0; i < set->n; i++) {
        if (s->n == CLI_MAX_SETS) return false;
        s->item[s->n++] = set->item[i];
    }
    return out == NULL || cli_train_set(s, "out", out) != NULL;
}

void cli_train_files(cli_sets *s, const char *key, const char *const *item, size_t n)
{
    if (n > 0) s->list[s->n_lists++] = (hg_train_list){key, item, n};
}

void cli_train_give(const cli_sets *s, hg_train_options *o)
{
    o->lists = s->list;
    o->n_lists = s->n_lists;
    o->set = s->item;
    o->n_set = s->n;
}

void cli_train_free(cli_sets *s)
{
    for (size_t i = 0; i < s->n_own; i++) free(s->own[i]);
}

int cli_train_go(cli *c, cli_sets *sets, hg_train_options *o, hg_stage stage)
{
    hg_err e = {0};
    hg_runtime *rt = NULL;
    hg_train_result result;
    hg_task_report *task = NULL;
    cli_train_give(sets, o);
    hg_status s = cli_ranks_open(c, sets->mpi, &o->ranks, &e);
    if (s == HG_OK) s = cli_runtime(c, &rt, &e);
    if (s == HG_OK)
        s = stage == HG_STAGE_TUNE ? hg_task_tune(&task, &result, o, rt, &c->watch, &e)
                                   : hg_train_run(o, rt, &c->watch, &result, &e);
    cli_train_free(sets);
    int code = s == HG_OK ? 0 : cli_ranks_fail(c, o->ranks, &e);
    cli_progress_end(c);
    if (s == HG_OK && hg_ranks_me(o->ranks) == 0) cli_train_print(c, &result, task);
    hg_task_free(task);
    hg_ranks_close(o->ranks);
    return code;
}

static bool is_recipe(const char *path)
{
    size_t n = strlen(path);
    return (n > 5 && strcmp(path + n - 5, ".yaml") == 0) ||
           (n > 4 && strcmp(path + n - 4, ".yml") == 0);
}

static bool set_all(cli_sets *sets, const values *v, bool has_corpora)
{
    char depth[32], out[64];
    (void)snprintf(depth, sizeof depth, "%lld", (long long)v->depth);
    (void)snprintf(out, sizeof out, "runs/depth-%s", v->depth > 0 ? depth : "6");
    bool dial = v->depth > 0 || has_corpora, ok = true;
    if (dial) ok = ok && cli_train_set(sets, "auto", "true") != NULL;
    if (v->depth > 0) ok = ok && cli_train_set(sets, "depth", depth) != NULL;
    if (v->base != NULL) ok = ok && cli_train_set(sets, "base", v->base) != NULL;
    if (v->tokenizer != NULL) ok = ok && cli_train_set(sets, "tokenizer", v->tokenizer) != NULL;
    /* A recipe has its own folder; a dial or a base alone gets one that is named after it. */
    if (v->base != NULL && v->depth == 0) (void)snprintf(out, sizeof out, "runs/further");
    if (has_corpora && v->out == NULL) ok = ok && cli_train_set(sets, "out", out) != NULL;
    return ok && cli_train_sets(sets, &v->set, v->out);
}

static int run(cli *c, void *values_, int n_args, char **args)
{
    const values *v = values_;
    cli_sets sets = {.mpi = v->mpi};
    hg_train_options o;
    hg_train_options_init(&o);
    if (v->keys) {
        cli_train_print_keys(HG_STAGE_TRAIN);
        return 0;
    }
    if (n_args == 0 && v->set.n == 0)
        return cli_misuse(c, "train needs RECIPE.yaml, or CORPUS... and --depth N, or keys by "
                             "--set; see higgins train --keys");
    bool has_recipe = n_args > 0 && is_recipe(args[0]);
    const size_t n_corpora = (size_t)(n_args - has_recipe);
    o.recipe = has_recipe ? args[0] : NULL;
    o.resume = v->resume;
    o.plan_only = v->plan;
    cli_train_files(&sets, "corpus", (const char *const *)args + has_recipe, n_corpora);
    if (!set_all(&sets, v, n_corpora > 0)) {
        cli_train_free(&sets);
        return cli_misuse(c, "train: more than %d values by --set", CLI_MAX_SETS);
    }
    return cli_train_go(c, &sets, &o, HG_STAGE_TRAIN);
}

const cli_command cli_train = {
    .name = "train",
    .args = "[RECIPE.yaml] [CORPUS...]",
    .summary = "pre-train a model on a corpus",
    .text =
        "Trains a new model from random weights (or goes on from --base) on the recipe's corpus "
        "and writes into the run\n"
        "folder: checkpoints, "
        "log.jsonl with one object a step, report.html with the curves and samples, and at the "
        "end the model as a\n"
        "Hugging Face folder. Given a corpus and a depth alone, it chooses width, vocabulary, "
        "tokens to read, batch and\n"
        "learning rate by scaling rules and says them. Ctrl-C ends the step and writes a "
        "checkpoint; --resume goes on "
        "bit for bit.",
    .examples = examples,
    .options = options,
    .values_size = sizeof(values),
    .min_args = 0,
    .max_args = 64,
    .run = run,
};
