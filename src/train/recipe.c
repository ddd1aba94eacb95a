/* Recipes: the options of a run. Each key is one row of the table below, with its type, default,
 * range and help; everything else (YAML, --set, the printed documentation, the comparison on
 * --resume) walks that table. A typing error must not train for an hour with the wrong learning
 * rate, so unknown keys are refused, with the nearest known one. */
#include "train/recipe.h"
#include "base/file.h"
#include "text/json.h"
#include "text/yaml.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum kind { TEXT, LIST, INT, COUNT, REAL, BOOL, CHOICE } kind;

enum { TRAIN = 1, TUNE = 2, BOTH = 3, FREE = 4, RECIPE_LIMIT = 1 << 20, LIST_LIMIT = 4096 };

typedef struct key {
    const char *name;
    kind kind;
    int flags; /* the stages that know it; FREE: a resumed run may change it */
    size_t offset;
    const char *value, *tune_value; /* defaults; the second NULL: the same */
    double min, max;
    const char *choices; /* "cosine|wsd|..." */
    const char *also;    /* other people's names for it, for suggestions */
    const char *help;
} key;

#define AT(member) offsetof(hg_recipe, member)

static const key keys[] = {
    {"corpus", LIST, TRAIN, AT(corpus), "", NULL, 0, 0, NULL, "dataset|text|source",
     "folders or files of text to learn from, as `higgins collect` writes them"},
    {"weights", LIST, TRAIN, AT(weights), "", NULL, 0, 0, NULL, "mixture|proportions|weight",
     "a number for each corpus: its share of what is read; nothing: as much as each has"},
    {"tokenizer", TEXT, TRAIN, AT(tokenizer), "", NULL, 0, 0, NULL, "vocabulary|vocab",
     "tokenizer.json; nothing: the one beside the corpus"},
    {"tokens", TEXT, TRAIN | FREE, AT(tokens), "", NULL, 0, 0, NULL, "shards",
     "where the token shard lies or is made; nothing: in the run folder"},
    {"base", TEXT, TUNE, AT(base), "", NULL, 0, 0, NULL, "model", "the model folder to start from"},
    {"data", LIST, TUNE, AT(data), "", NULL, 0, 0, NULL, "dataset|conversations",
     "conversations: JSON lines or a JSON array (messages, Alpaca, ShareGPT)"},
    {"out", TEXT, BOTH | FREE, AT(out), "", NULL, 0, 0, NULL, "output|output_dir|folder",
     "the run folder: checkpoints, log.jsonl, report.html, model"},
    {"arch", TEXT, TRAIN, AT(arch), "llama", NULL, 0, 0, NULL, "architecture|model_type",
     "row of the architecture table"},
    {"auto", BOOL, TRAIN, AT(automatic), "false", NULL, 0, 0, NULL, "dial|scale",
     "choose what the recipe leaves open from depth: row length, vocabulary, tokens, batch, "
     "learning rate (docs/training.md has the rules)"},
    {"depth", INT, TRAIN, AT(depth), "6", NULL, 1, 512, NULL, "n_layers|layers|num_hidden_layers",
     "layers; the other sizes follow from it"},
    {"params", COUNT, TRAIN, AT(params), "0", NULL, 0, 1e13, NULL, "n_params|size|parameters",
     "wanted parameters (10M); chooses depth; 0: as depth says"},
    {"d_model", INT, TRAIN, AT(d_model), "0", NULL, 0, 65536, NULL, "hidden_size|dim|n_embd|width",
     "width; 0: 64 times depth"},
    {"n_heads", INT, TRAIN, AT(n_heads), "0", NULL, 0, 1024, NULL,
     "heads|num_attention_heads|n_head", "query heads; 0: one for each 64 of d_model"},
    {"n_kv_heads", INT, TRAIN, AT(n_kv_heads), "0", NULL, 0, 1024, NULL, "num_key_value_heads",
     "key and value heads; 0: n_heads"},
    {"d_ff", INT, TRAIN, AT(d_ff), "0", NULL, 0, 1 << 20, NULL, "intermediate_size|hidden_dim",
     "width of the feed-forward layer; 0: 8/3 d_model where gated, else 4 d_model"},
    {"seq_len", INT, BOTH, AT(seq_len), "256", "0", 0, 1 << 20, NULL,
     "context|n_ctx|block_size|max_seq_length|context_length",
     "tokens of a row; when tuning 0: the model's context, at most 1024"},
    {"tie_embeddings", BOOL, TRAIN, AT(tie_embeddings), "true", NULL, 0, 0, NULL,
     "tie_word_embeddings|tied", "one matrix for embedding and head"},
    {"rope_theta", REAL, TRAIN, AT(rope_theta), "10000", NULL, 1, 1e9, NULL, NULL,
     "base of the rotary positions"},
    {"norm_eps", REAL, TRAIN, AT(norm_eps), "1e-5", NULL, 1e-12, 1e-2, NULL, "rms_norm_eps",
     "epsilon of the norms"},
    {"batch_size", INT, BOTH, AT(batch_size), "16", "8", 1, 65536, NULL,
     "batch|per_device_train_batch_size", "rows of a batch"},
    {"micro_batch", INT, BOTH, AT(micro_batch), "0", NULL, 0, 65536, NULL, "micro_batch_size",
     "rows of a batch worked on at a time: fewer take less memory; 0: some 2048 tokens, 512 where "
     "the model is wider than 512"},
    {"recompute", BOOL, BOTH, AT(recompute), "false", NULL, 0, 0, NULL,
     "gradient_checkpointing|checkpointing",
     "run each block again in the backward pass instead of keeping its insides: a fifth slower, "
     "for long rows and deep models"},
    {"accumulation", INT, BOTH, AT(accumulation), "1", NULL, 1, 65536, NULL,
     "grad_accum|gradient_accumulation_steps", "batches that make one step"},
    {"steps", COUNT, BOTH, AT(steps), "0", NULL, 0, 1e12, NULL, "max_steps|iterations|max_iters",
     "steps; 0: as epochs or max_minutes say"},
    {"epochs", REAL, BOTH, AT(epochs), "1", "3", 1e-6, 1e6, NULL, "num_train_epochs",
     "passes over the data where steps is 0"},
    {"max_minutes", REAL, BOTH, AT(max_minutes), "0", NULL, 0, 1e7, NULL,
     "minutes|time|budget|time_limit",
     "time budget: the schedule is fitted to the measured speed; 0: none"},
    {"schedule", CHOICE, BOTH, AT(schedule), "cosine", NULL, 0, 0, "cosine|wsd|linear|constant",
     "lr_scheduler_type|scheduler|lr_schedule", "course of the learning rate after the warm-up"},
    {"lr", REAL, BOTH, AT(lr), "2e-3", "2e-4", 1e-12, 10, NULL, "learning_rate|max_lr|rate",
     "highest learning rate"},
    {"warmup", REAL, BOTH, AT(warmup), "0.05", NULL, 0, 1, NULL,
     "warmup_ratio|warmup_steps|warm_up", "share of the steps in which the rate rises to lr"},
    {"min_lr", REAL, BOTH, AT(min_lr), "0.1", NULL, 0, 1, NULL, "min_lr_ratio|final_lr",
     "learning rate of the last step, as a share of lr"},
    {"decay", REAL, BOTH, AT(decay), "0.2", NULL, 0, 1, NULL, "decay_ratio|cooldown",
     "share of the steps in which wsd falls"},
    {"optimizer", CHOICE, BOTH, AT(optimizer), "adamw", NULL, 0, 0, "adamw|muon", "optim",
     "muon: for the matrices within blocks, adamw for the rest"},
    {"momentum", REAL, BOTH, AT(momentum), "0.95", NULL, 0, 0.99999, NULL, "muon_momentum",
     "Muon's"},
    {"beta1", REAL, BOTH, AT(beta1), "0.9", NULL, 0, 0.99999, NULL, "adam_beta1",
     "AdamW's first moment"},
    {"beta2", REAL, BOTH, AT(beta2), "0.95", "0.99", 0, 0.9999999, NULL, "adam_beta2",
     "AdamW's second moment"},
    {"eps", REAL, BOTH, AT(eps), "1e-8", NULL, 1e-20, 1, NULL, "epsilon|adam_epsilon",
     "AdamW's epsilon"},
    {"weight_decay", REAL, BOTH, AT(weight_decay), "0.1", "0.01", 0, 10, NULL, "wd",
     "decay of matrices, times the rate"},
    {"table_decay", REAL, BOTH, AT(table_decay), "-1", NULL, -1, 10, NULL, "embedding_decay",
     "decay of embedding, head and learned positions; below 0: as weight_decay"},
    {"vector_decay", REAL, BOTH, AT(vector_decay), "0", NULL, 0, 10, NULL, "norm_decay|bias_decay",
     "decay of norms and biases"},
    {"clip", REAL, BOTH, AT(clip), "1", NULL, 0, 1e6, NULL, "grad_clip|max_grad_norm",
     "largest norm of the whole gradient; 0: none"},
    {"ema", REAL, BOTH, AT(ema), "0", NULL, 0, 0.999999, NULL, "ema_decay|weight_average",
     "share of a running average of the weights that a step leaves; validation, samples and the "
     "finished model have the average; 0: none"},
    {"on_spike", CHOICE, BOTH, AT(on_spike), "skip", NULL, 0, 0, "none|skip|rewind", "spike_guard",
     "what becomes of a step whose loss jumps: nothing, no update, or back to the last "
     "checkpoint's weights and past these rows"},
    {"spike", REAL, BOTH, AT(spike), "8", NULL, 1, 1e6, NULL, "spike_factor|spike_threshold",
     "standard deviations above the smoothed loss that make a jump"},
    {"precision", CHOICE, BOTH, AT(precision), "auto", NULL, 0, 0, "auto|bf16|f32", "dtype|compute",
     "of matrix products; auto: bf16 where the processor has it"},
    {"val_share", REAL, BOTH, AT(val_share), "0.01", "0.05", 0, 0.5, NULL,
     "val_split|validation_split", "share of the documents held out"},
    {"val_every", INT, BOTH, AT(val_every), "0", NULL, 0, 1e9, NULL,
     "eval_steps|eval_interval|eval_every",
     "steps between validations; 0: up to 20 in a run, at most 5% of its time"},
    {"val_rows", INT, BOTH, AT(val_rows), "32", NULL, 1, 1e6, NULL, "eval_iters",
     "held-out rows looked at, always the same"},
    {"sample_every", INT, BOTH, AT(sample_every), "0", NULL, 0, 1e9, NULL, "sample_steps",
     "steps between samples; 0: 5 in a run"},
    {"sample_prompts", LIST, BOTH, AT(sample_prompts), "Once upon a time", "Hello! Who are you?", 0,
     0, NULL, "prompts|prompt", "what the model is given to go on with"},
    {"sample_tokens", INT, BOTH, AT(sample_tokens), "48", NULL, 0, 4096, NULL, NULL,
     "length of a sample; 0: no samples"},
    {"sample_temperature", REAL, BOTH, AT(sample_temperature), "0.8", NULL, 0, 10, NULL,
     "temperature", "of samples; 0: greedy"},
    {"checkpoint_every", INT, BOTH | FREE, AT(checkpoint_every), "0", NULL, 0, 1e9, NULL,
     "save_steps|save_every", "steps between checkpoints; 0: as checkpoint_minutes says"},
    {"checkpoint_minutes", REAL, BOTH | FREE, AT(checkpoint_minutes), "5", NULL, 0, 1e6, NULL, NULL,
     "minutes between checkpoints; 0: none but the last"},
    {"keep", INT, BOTH | FREE, AT(keep), "2", NULL, 1, 1000, NULL, "save_total_limit",
     "newest checkpoints that are kept"},
    {"keep_every", INT, BOTH | FREE, AT(keep_every), "0", NULL, 0, 1e9, NULL, "milestones",
     "checkpoints of steps that this divides stay for ever; 0: none does"},
    {"save_type", CHOICE, BOTH | FREE, AT(save_type), "bf16", NULL, 0, 0, "bf16|f16|f32",
     "save_dtype", "of the weights in the finished model"},
    {"tensorboard", BOOL, BOTH | FREE, AT(tensorboard), "false", NULL, 0, 0, NULL, "report_to",
     "write TensorBoard event files into the run folder too"},
    {"seed", COUNT, BOTH, AT(seed), "0", NULL, 0, 9e15, NULL, "random_seed",
     "of first weights, order and samples"},
};
enum { N_KEYS = sizeof keys / sizeof *keys };
_Static_assert(N_KEYS <= 64, "hg_recipe.given has one bit a key");

static int stage_flag(hg_stage stage)
{
    return stage == HG_STAGE_TUNE ? TUNE : TRAIN;
}

/* ---- values ---- */

/* Where a value came from, for its errors: "recipe.yaml:7" or "--set". */
typedef struct place {
    const char *name;
    size_t line;
} place;

static hg_status refuse(const place *p, const key *k, const char *value, const char *want,
                        hg_err *e)
{
    if (p->line == 0)
        return hg_fail(e, HG_E_ARG, "%s: %s is \"%.80s\"; %s", p->name, k->name, value, want);
    return hg_fail(e, HG_E_ARG, "%s, line %zu: %s is \"%.80s\"; %s", p->name, p->line, k->name,
                   value, want);
}

/* A number with an optional factor: 10k, 1.5M, 2B. False when anything else follows. */
static bool parse_number(const char *text, bool with_factor, double *out)
{
    char *end = NULL;
    if (*text == '\0') return false;
    double v = strtod(text, &end);
    if (end == text || !isfinite(v)) return false;
    if (with_factor && *end != '\0') {
        static const char letters[] = "kKmMbBgG";
        static const double factors[] = {1e3, 1e3, 1e6, 1e6, 1e9, 1e9, 1e9, 1e9};
        const char *at = strchr(letters, *end);
        if (at == NULL) return false;
        v *= factors[at - letters];
        end++;
    }
    *out = v;
    return *end == '\0';
}

static hg_status set_number(hg_recipe *r, const key *k, const char *value, const place *p,
                            hg_err *e)
{
    char want[128];
    double v = 0;
    bool whole = k->kind != REAL;
    bool ok = parse_number(value, k->kind == COUNT, &v) && v >= k->min && v <= k->max;
    if (ok && whole) ok = floor(v) == v;
    if (!ok) {
        (void)snprintf(want, sizeof want, "a%s number from %g to %g is meant",
                       whole ? " whole" : "", k->min, k->max);
        return refuse(p, k, value, want, e);
    }
    if (whole)
        *(int64_t *)(void *)((char *)r + k->offset) = (int64_t)v;
    else
        *(double *)(void *)((char *)r + k->offset) = v;
    return HG_OK;
}

static hg_status set_bool(hg_recipe *r, const key *k, const char *value, const place *p, hg_err *e)
{
    static const char *const yes[] = {"true", "yes", "on", "1"}, *const no[] = {"false", "no",
                                                                                "off", "0"};
    bool *at = (bool *)((char *)r + k->offset);
    for (size_t i = 0; i < 4; i++) {
        if (strcmp(value, yes[i]) == 0) return *at = true, HG_OK;
        if (strcmp(value, no[i]) == 0) return *at = false, HG_OK;
    }
    return refuse(p, k, value, "true or false is meant", e);
}

/* Name number i of "a|b|c", or n 0 behind the last. */
static hg_bytes choice(const char *choices, size_t i)
{
    while (i > 0 && choices != NULL) {
        choices = strchr(choices, '|');
        if (choices != NULL) choices++;
        i--;
    }
    if (choices == NULL) return (hg_bytes){"", 0};
    return (hg_bytes){choices, strcspn(choices, "|")};
}

static hg_status set_choice(hg_recipe *r, const key *k, const char *value, const place *p,
                            hg_err *e)
{
    char want[128];
    for (size_t i = 0; choice(k->choices, i).n > 0; i++) {
        hg_bytes c = choice(k->choices, i);
        if (c.n == strlen(value) && memcmp(c.p, value, c.n) == 0) {
            *(int64_t *)(void *)((char *)r + k->offset) = (int64_t)i;
            return HG_OK;
        }
    }
    (void)snprintf(want, sizeof want, "one of %s is meant", k->choices);
    return refuse(p, k, value, want, e);
}

static hg_status set_text(hg_recipe *r, const key *k, const char *value, hg_err *e)
{
    char *copy = hg_arena_strndup(&r->mem, value, strlen(value));
    if (copy == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the recipe");
    *(const char **)(void *)((char *)r + k->offset) = copy;
    return HG_OK;
}

static hg_status set_list(hg_recipe *r, const key *k, const char *const *items, size_t n, hg_err *e)
{
    hg_text_list *list = (hg_text_list *)(void *)((char *)r + k->offset);
    const char **copy = HG_NEW(&r->mem, const char *, n + 1);
    if (copy == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the recipe");
    for (size_t i = 0; i < n; i++) {
        copy[i] = hg_arena_strndup(&r->mem, items[i], strlen(items[i]));
        if (copy[i] == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the recipe");
    }
    *list = (hg_text_list){copy, n};
    return HG_OK;
}

/* One value of one key; a list key takes any number of values, the others exactly one. */
static hg_status set_key(hg_recipe *r, const key *k, const char *const *values, size_t n,
                         const place *p, hg_err *e)
{
    if (k->kind == LIST) return set_list(r, k, values, n, e);
    if (n != 1) return refuse(p, k, "a list", "one value is meant", e);
    switch (k->kind) {
    case TEXT:
        return set_text(r, k, values[0], e);
    case BOOL:
        return set_bool(r, k, values[0], p, e);
    case CHOICE:
        return set_choice(r, k, values[0], p, e);
    default:
        return set_number(r, k, values[0], p, e);
    }
}

static hg_status set_default(hg_recipe *r, const key *k, hg_err *e)
{
    const place p = {"default", 0};
    const char *v = r->stage == HG_STAGE_TUNE && k->tune_value != NULL ? k->tune_value : k->value;
    return set_key(r, k, &v, k->kind == LIST && *v == '\0' ? 0 : 1, &p, e);
}

hg_status hg_recipe_init(hg_recipe *r, hg_stage stage, hg_err *e)
{
    memset(r, 0, sizeof *r);
    r->stage = stage;
    hg_arena_init(&r->mem, 16384);
    for (size_t i = 0; i < N_KEYS; i++) HG_TRY(set_default(r, &keys[i], e));
    return HG_OK;
}

void hg_recipe_free(hg_recipe *r)
{
    hg_arena_free(&r->mem);
}

/* ---- finding keys, and the nearest one ---- */

/* Levenshtein's distance; names over 63 characters are as far as it gets. */
static size_t distance(const char *a, size_t na, const char *b, size_t nb)
{
    size_t row[64];
    if (na > 63 || nb > 63) return SIZE_MAX;
    for (size_t j = 0; j <= nb; j++) row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[nb];
}

/* The distance of `name` to a key: to its own name, or to one that other programs use for it. */
static size_t key_distance(const key *k, const char *name)
{
    size_t n = strlen(name);
    size_t best = distance(name, n, k->name, strlen(k->name));
    for (size_t i = 0; k->also != NULL && choice(k->also, i).n > 0; i++) {
        hg_bytes c = choice(k->also, i);
        size_t d = distance(name, n, c.p, c.n);
        if (d < best) best = d;
    }
    return best;
}

static const key *nearest(int stage, const char *name)
{
    const key *best = NULL;
    size_t least = strlen(name) / 3 + 1;
    for (size_t i = 0; i < N_KEYS; i++) {
        if ((keys[i].flags & stage) == 0) continue;
        size_t d = key_distance(&keys[i], name);
        if (d < least || (d == least && best == NULL)) best = &keys[i], least = d;
    }
    return best;
}

static hg_status unknown_key(const hg_recipe *r, const char *name, const place *p, hg_err *e)
{
    char where[256];
    const key *near = nearest(stage_flag(r->stage), name);
    if (p->line > 0)
        (void)snprintf(where, sizeof where, "%s, line %zu", p->name, p->line);
    else
        (void)snprintf(where, sizeof where, "%s", p->name);
    if (near == NULL)
        return hg_fail(e, HG_E_ARG,
                       "%s: there is no key \"%.64s\"; `higgins %s --keys` lists them all", where,
                       name, r->stage == HG_STAGE_TUNE ? "tune" : "train");
    return hg_fail(e, HG_E_ARG, "%s: there is no key \"%.64s\"; did you mean \"%s\"?", where, name,
                   near->name);
}

static hg_status set_named(hg_recipe *r, const char *name, const char *const *values, size_t n,
                           const place *p, hg_err *e)
{
    for (size_t i = 0; i < N_KEYS; i++) {
        if (strcmp(keys[i].name, name) != 0 || (keys[i].flags & stage_flag(r->stage)) == 0)
            continue;
        r->given |= (uint64_t)1 << i;
        return set_key(r, &keys[i], values, n, p, e);
    }
    return unknown_key(r, name, p, e);
}

bool hg_recipe_given(const hg_recipe *r, const char *name)
{
    for (size_t i = 0; i < N_KEYS; i++)
        if (strcmp(keys[i].name, name) == 0) return (r->given >> i & 1) != 0;
    return false;
}

/* ---- YAML and --set ---- */

/* The texts of a member: a scalar is one, a list has as many as it has items. */
static hg_status member_values(hg_recipe *r, const hg_yaml *m, const place *p, const char ***out,
                               size_t *n, hg_err *e)
{
    const hg_yaml *item = m->kind == HG_YAML_LIST ? m->first : m;
    size_t count = m->kind == HG_YAML_LIST ? m->n : 1;
    if (count > LIST_LIMIT)
        return hg_fail(e, HG_E_LIMIT, "%s, line %zu: %s has %zu items; at most %d", p->name,
                       p->line, m->key, count, LIST_LIMIT);
    *out = HG_NEW(&r->mem, const char *, count + 1);
    if (*out == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the recipe");
    *n = 0;
    for (size_t i = 0; i < count && item != NULL; i++, item = item->next) {
        if (item->kind != HG_YAML_SCALAR)
            return hg_fail(e, HG_E_ARG, "%s, line %d: %s must be a value or a list of values",
                           p->name, item->line, m->key);
        (*out)[(*n)++] = item->text;
    }
    return HG_OK;
}

static hg_status set_member(hg_recipe *r, const hg_yaml *m, const char *name, hg_err *e)
{
    const place p = {name, (size_t)m->line};
    const char **values = NULL;
    size_t n = 0;
    HG_TRY(member_values(r, m, &p, &values, &n, e));
    return set_named(r, m->key, values, n, &p, e);
}

hg_status hg_recipe_parse(hg_recipe *r, hg_bytes yaml, const char *name, hg_err *e)
{
    hg_yaml *root = NULL;
    HG_TRY(hg_yaml_parse(&root, &r->mem, name, yaml, e));
    if (root->kind != HG_YAML_MAP)
        return hg_fail(e, HG_E_FORMAT,
                       "%s: a recipe is a map of keys to values, such as `depth: 6`", name);
    for (const hg_yaml *m = root->first; m != NULL; m = m->next) HG_TRY(set_member(r, m, name, e));
    return HG_OK;
}

hg_status hg_recipe_load(hg_recipe *r, const char *path, hg_err *e)
{
    hg_buf text = {0};
    hg_status s = hg_file_read(&text, path, RECIPE_LIMIT, e);
    if (s == HG_OK) s = hg_recipe_parse(r, (hg_bytes){text.p, text.n}, path, e);
    hg_buf_free(&text);
    return s;
}

hg_status hg_recipe_set(hg_recipe *r, const char *assignment, hg_err *e)
{
    static const place p = {"--set", 0};
    const char *equal = strchr(assignment, '=');
    if (equal == NULL || equal == assignment)
        return hg_fail(e, HG_E_ARG, "--set: \"%.80s\"; key=value is meant, such as lr=1e-3",
                       assignment);
    char *name = hg_arena_strndup(&r->mem, assignment, (size_t)(equal - assignment));
    const char **values = HG_NEW(&r->mem, const char *, strlen(equal) + 1);
    size_t n = 0;
    if (name == NULL || values == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the recipe");
    for (const key *k = keys; k < keys + N_KEYS; k++) {
        if (k->kind != LIST || strcmp(k->name, name) != 0) continue;
        for (const char *at = equal + 1; *at != '\0'; at += *at == ',') {
            size_t len = strcspn(at, ",");
            values[n] = hg_arena_strndup(&r->mem, at, len);
            if (values[n++] == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the recipe");
            at += len;
        }
        return set_named(r, name, values, n, &p, e);
    }
    values[0] = equal + 1;
    return set_named(r, name, values, 1, &p, e);
}

hg_status hg_recipe_check(const hg_recipe *r, bool needs_out, hg_err *e)
{
    const char *command = r->stage == HG_STAGE_TUNE ? "tune" : "train";
    if (needs_out && *r->out == '\0')
        return hg_fail(e, HG_E_ARG,
                       "%s: nothing says where the run goes; give -o FOLDER or the key \"out\"",
                       command);
    if (r->stage == HG_STAGE_TRAIN && r->corpus.n == 0)
        return hg_fail(e, HG_E_ARG,
                       "train: nothing says what to learn from; give the key \"corpus\"");
    if (r->stage == HG_STAGE_TUNE && r->data.n == 0)
        return hg_fail(e, HG_E_ARG, "tune: no conversations; give --data FILE or the key \"data\"");
    if (r->stage == HG_STAGE_TUNE && *r->base == '\0')
        return hg_fail(e, HG_E_ARG,
                       "tune: no model to start from; give its folder or the key \"base\"");
    if (r->warmup + (r->schedule == HG_DECAY_WSD ? r->decay : 0) > 1)
        return hg_fail(
            e, HG_E_ARG,
            "%s: warmup and decay are shares of the steps; together they must not exceed 1",
            command);
    if (r->max_minutes > 0 && r->steps > 0)
        return hg_fail(e, HG_E_ARG,
                       "%s: both steps and max_minutes are given; one of them decides the length",
                       command);
    return HG_OK;
}

hg_status hg_recipe_make(hg_recipe *r, hg_stage stage, const hg_train_options *o, hg_err *e)
{
    HG_TRY(hg_recipe_init(r, stage, e));
    if (o->recipe != NULL) HG_TRY(hg_recipe_load(r, o->recipe, e));
    for (size_t i = 0; i < o->n_set; i++) HG_TRY(hg_recipe_set(r, o->set[i], e));
    return HG_OK;
}

/* ---- as text ---- */

static void put_value(const hg_recipe *r, const key *k, hg_buf *b)
{
    const char *at = (const char *)r + k->offset;
    const hg_text_list *list = (const hg_text_list *)(const void *)at;
    switch (k->kind) {
    case TEXT:
        hg_buf_puts(b, *(const char *const *)(const void *)at);
        break;
    case LIST:
        for (size_t i = 0; i < list->n; i++)
            hg_buf_printf(b, "%s%s", i > 0 ? ", " : "", list->item[i]);
        break;
    case REAL:
        hg_json_put_number(b, *(const double *)(const void *)at);
        break;
    case BOOL:
        hg_buf_puts(b, *(const bool *)at ? "true" : "false");
        break;
    case CHOICE: {
        hg_bytes c = choice(k->choices, (size_t) * (const int64_t *)(const void *)at);
        hg_buf_put(b, c.p, c.n);
        break;
    }
    default:
        hg_buf_printf(b, "%lld", (long long)*(const int64_t *)(const void *)at);
    }
}

hg_status hg_recipe_text(const hg_recipe *r, bool fixed_only, hg_buf *out, hg_err *e)
{
    for (size_t i = 0; i < N_KEYS; i++) {
        if ((keys[i].flags & stage_flag(r->stage)) == 0) continue;
        if (fixed_only && (keys[i].flags & FREE) != 0) continue;
        hg_buf_printf(out, "%s: ", keys[i].name);
        put_value(r, &keys[i], out);
        hg_buf_putc(out, '\n');
    }
    return hg_buf_status(out, e);
}

static hg_bytes take_line(const char **text)
{
    hg_bytes line = {*text, strcspn(*text, "\n")};
    *text += line.n + ((*text)[line.n] == '\n');
    return line;
}

hg_status hg_recipe_compare(const char *checkpoint, const char *now, hg_err *e)
{
    while (*checkpoint != '\0' || *now != '\0') {
        hg_bytes a = take_line(&checkpoint), b = take_line(&now);
        if (a.n == b.n && memcmp(a.p, b.p, a.n) == 0) continue;
        return hg_fail(e, HG_E_STATE,
                       "the checkpoint was made with \"%.*s\", the recipe now says \"%.*s\"; put "
                       "it back, or begin a "
                       "new run with another out",
                       (int)(a.n < 160 ? a.n : 160), a.p, (int)(b.n < 160 ? b.n : 160), b.p);
    }
    return HG_OK;
}

static const char *type_name(const key *k)
{
    static const char *const names[] = {"text",   "list",       "integer", "count",
                                        "number", "true/false", "choice"};
    return names[k->kind];
}

bool hg_train_get_key(hg_stage stage, size_t i, hg_train_key *out)
{
    for (const key *k = keys; k < keys + N_KEYS; k++) {
        if ((k->flags & stage_flag(stage)) == 0 || i-- > 0) continue;
        *out = (hg_train_key){
            .name = k->name,
            .type = type_name(k),
            .value = stage == HG_STAGE_TUNE && k->tune_value != NULL ? k->tune_value : k->value,
            .range = k->choices != NULL ? k->choices : "",
            .help = k->help,
            .min = k->min,
            .max = k->max};
        return true;
    }
    return false;
}
