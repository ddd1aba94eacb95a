/* Recipes: the options of a run. Everything here (YAML, --set, the printed documentation, the
 * comparison on --resume) walks the table of recipe_keys.c. A typing error must not train for an
 * hour with the wrong learning rate, so unknown keys are refused, with the nearest known one. */
#include "train/recipe_keys.h"
#include "base/file.h"
#include "text/json.h"
#include "text/yaml.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RECIPE_LIMIT = 1 << 20, LIST_LIMIT = 4096 };

static int stage_flag(hg_stage stage)
{
    return stage == HG_STAGE_TUNE ? HG_KEY_TUNE : HG_KEY_TRAIN;
}

/* ---- values ---- */

/* Where a value came from, for its errors: "recipe.yaml:7" or "--set". */
typedef struct place {
    const char *name;
    size_t line;
} place;

static hg_status refuse(const place *p, const hg_recipe_key *k, const char *value, const char *want,
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

static hg_status set_number(hg_recipe *r, const hg_recipe_key *k, const char *value, const place *p,
                            hg_err *e)
{
    char want[128];
    double v = 0;
    bool whole = k->kind != HG_KEY_REAL;
    bool ok = parse_number(value, k->kind == HG_KEY_COUNT, &v) && v >= k->min && v <= k->max;
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

static hg_status set_bool(hg_recipe *r, const hg_recipe_key *k, const char *value, const place *p,
                          hg_err *e)
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

static hg_status set_choice(hg_recipe *r, const hg_recipe_key *k, const char *value, const place *p,
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

static hg_status set_text(hg_recipe *r, const hg_recipe_key *k, const char *value, hg_err *e)
{
    char *copy = hg_arena_strndup(&r->mem, value, strlen(value));
    if (copy == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the recipe");
    *(const char **)(void *)((char *)r + k->offset) = copy;
    return HG_OK;
}

static hg_status set_list(hg_recipe *r, const hg_recipe_key *k, const char *const *items, size_t n,
                          hg_err *e)
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
static hg_status set_key(hg_recipe *r, const hg_recipe_key *k, const char *const *values, size_t n,
                         const place *p, hg_err *e)
{
    if (k->kind == HG_KEY_LIST) return set_list(r, k, values, n, e);
    if (n != 1) return refuse(p, k, "a list", "one value is meant", e);
    switch (k->kind) {
    case HG_KEY_TEXT:
        return set_text(r, k, values[0], e);
    case HG_KEY_BOOL:
        return set_bool(r, k, values[0], p, e);
    case HG_KEY_CHOICE:
        return set_choice(r, k, values[0], p, e);
    default:
        return set_number(r, k, values[0], p, e);
    }
}

static hg_status set_default(hg_recipe *r, const hg_recipe_key *k, hg_err *e)
{
    const place p = {"default", 0};
    const char *v = r->stage == HG_STAGE_TUNE && k->tune_value != NULL ? k->tune_value : k->value;
    return set_key(r, k, &v, k->kind == HG_KEY_LIST && *v == '\0' ? 0 : 1, &p, e);
}

hg_status hg_recipe_init(hg_recipe *r, hg_stage stage, hg_err *e)
{
    memset(r, 0, sizeof *r);
    r->stage = stage;
    hg_arena_init(&r->mem, 16384);
    for (size_t i = 0; i < HG_N_RECIPE_KEYS; i++) HG_TRY(set_default(r, &hg_recipe_keys[i], e));
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
static size_t key_distance(const hg_recipe_key *k, const char *name)
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

static const hg_recipe_key *nearest(int stage, const char *name)
{
    const hg_recipe_key *best = NULL;
    size_t least = strlen(name) / 3 + 1;
    for (size_t i = 0; i < HG_N_RECIPE_KEYS; i++) {
        if ((hg_recipe_keys[i].flags & stage) == 0) continue;
        size_t d = key_distance(&hg_recipe_keys[i], name);
        if (d < least || (d == least && best == NULL)) best = &hg_recipe_keys[i], least = d;
    }
    return best;
}

static hg_status unknown_key(const hg_recipe *r, const char *name, const place *p, hg_err *e)
{
    char where[256];
    const hg_recipe_key *near = nearest(stage_flag(r->stage), name);
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
    for (size_t i = 0; i < HG_N_RECIPE_KEYS; i++) {
        if (strcmp(hg_recipe_keys[i].name, name) != 0 ||
            (hg_recipe_keys[i].flags & stage_flag(r->stage)) == 0)
            continue;
        r->given[i / 64] |= (uint64_t)1 << i % 64;
        return set_key(r, &hg_recipe_keys[i], values, n, p, e);
    }
    return unknown_key(r, name, p, e);
}

bool hg_recipe_given(const hg_recipe *r, const char *name)
{
    for (size_t i = 0; i < HG_N_RECIPE_KEYS; i++)
        if (strcmp(hg_recipe_keys[i].name, name) == 0) return (r->given[i / 64] >> i % 64 & 1) != 0;
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
    for (const hg_recipe_key *k = hg_recipe_keys; k < hg_recipe_keys + HG_N_RECIPE_KEYS; k++) {
        if (k->kind != HG_KEY_LIST || strcmp(k->name, name) != 0) continue;
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
    if (r->automatic && r->params > 0 && !(hg_recipe_given(r, "seq_len") && *r->tokenizer != '\0'))
        return hg_fail(e, HG_E_ARG,
                       "train: with auto, row length and vocabulary follow from depth; give depth "
                       "instead of params, or seq_len and tokenizer too");
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

static hg_status set_whole_list(hg_recipe *r, const hg_train_list *l, hg_err *e)
{
    const place p = {l->key, 0};
    return set_named(r, l->key, l->item, l->n, &p, e);
}

/* "runs/a/" is "runs/a": what is made there is named after its last part. */
static hg_status trim_out(hg_recipe *r, hg_err *e)
{
    size_t n = strlen(r->out);
    if (n < 2 || r->out[n - 1] != '/') return HG_OK;
    while (n > 1 && r->out[n - 1] == '/') n--;
    r->out = hg_arena_strndup(&r->mem, r->out, n);
    return r->out != NULL ? HG_OK : hg_fail(e, HG_E_NOMEM, "no room for the recipe");
}

hg_status hg_recipe_make(hg_recipe *r, hg_stage stage, const hg_train_options *o, hg_err *e)
{
    HG_TRY(hg_recipe_init(r, stage, e));
    r->ranks = o->ranks;
    if (o->recipe != NULL) HG_TRY(hg_recipe_load(r, o->recipe, e));
    for (size_t i = 0; i < o->n_lists; i++) HG_TRY(set_whole_list(r, &o->lists[i], e));
    for (size_t i = 0; i < o->n_set; i++) HG_TRY(hg_recipe_set(r, o->set[i], e));
    if (o->lora && r->lora_rank == 0) r->lora_rank = HG_LORA_RANK;
    return trim_out(r, e);
}

/* ---- as text ---- */

/* JSON's texts are YAML's too. */
static void put_text(hg_buf *b, const char *text)
{
    hg_json_put_string(b, (hg_bytes){text, strlen(text)});
}

static void put_value(const hg_recipe *r, const hg_recipe_key *k, hg_buf *b)
{
    const char *at = (const char *)r + k->offset;
    const hg_text_list *list = (const hg_text_list *)(const void *)at;
    switch (k->kind) {
    case HG_KEY_TEXT:
        put_text(b, *(const char *const *)(const void *)at);
        break;
    case HG_KEY_LIST:
        hg_buf_putc(b, '[');
        for (size_t i = 0; i < list->n; i++) {
            hg_buf_puts(b, i > 0 ? ", " : "");
            put_text(b, list->item[i]);
        }
        hg_buf_putc(b, ']');
        break;
    case HG_KEY_REAL:
        hg_json_put_number(b, *(const double *)(const void *)at);
        break;
    case HG_KEY_BOOL:
        hg_buf_puts(b, *(const bool *)at ? "true" : "false");
        break;
    case HG_KEY_CHOICE: {
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
    for (size_t i = 0; i < HG_N_RECIPE_KEYS; i++) {
        if ((hg_recipe_keys[i].flags & stage_flag(r->stage)) == 0) continue;
        if (fixed_only && (hg_recipe_keys[i].flags & HG_KEY_FREE) != 0) continue;
        hg_buf_printf(out, "%s: ", hg_recipe_keys[i].name);
        put_value(r, &hg_recipe_keys[i], out);
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

static const char *type_name(const hg_recipe_key *k)
{
    static const char *const names[] = {"text",   "list",       "integer", "count",
                                        "number", "true/false", "choice"};
    return names[k->kind];
}

bool hg_train_get_key(hg_stage stage, size_t i, hg_train_key *out)
{
    for (const hg_recipe_key *k = hg_recipe_keys; k < hg_recipe_keys + HG_N_RECIPE_KEYS; k++) {
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
