/* The parser of options: --name value, --name=value, -n value, -nvalue, flags, and `--` before what
 * only looks like an option. */
#include "frame.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const cli_option cli_global_options[] = {
    {"threads", 't', CLI_INT, "N", "threads to use; 0 is one for each core",
     offsetof(cli_global, threads), 0, 256},
    {"isa", 0, CLI_TEXT, "SET", "use no more than this instruction set: c, avx2, avx512, amx, neon",
     offsetof(cli_global, isa), 0, 0},
    {"json", 0, CLI_FLAG, NULL, "print one JSON document for programs to read",
     offsetof(cli_global, json), 0, 0},
    {"quiet", 'q', CLI_FLAG, NULL, "no progress, no notes", offsetof(cli_global, quiet), 0, 0},
    {"verbose", 'v', CLI_FLAG, NULL, "say more", offsetof(cli_global, verbose), 0, 0},
    {"help", 'h', CLI_FLAG, NULL, "show this help", offsetof(cli_global, help), 0, 0},
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, 0},
};

static void *slot(void *values, const cli_option *o)
{
    return (char *)values + o->offset;
}

static int set_number(cli *c, const cli_option *o, const char *text, void *at)
{
    char *end = NULL;
    errno = 0;
    double d = 0;
    long long i = 0;
    if (o->kind == CLI_INT) {
        i = strtoll(text, &end, 10);
        d = (double)i;
    } else {
        d = strtod(text, &end);
    }
    bool is_bad = end == text || *end != '\0' || errno == ERANGE || !isfinite(d);
    bool has_range = o->min != 0 || o->max != 0;
    if (is_bad)
        return cli_misuse(c, "--%s: \"%s\" is not %s", o->name, text,
                          o->kind == CLI_INT ? "a whole number" : "a number");
    if (has_range && (d < o->min || d > o->max))
        return cli_misuse(c, "--%s: %s is out of range; %g to %g allowed", o->name, text, o->min,
                          o->max);
    if (o->kind == CLI_INT)
        *(int64_t *)at = i;
    else
        *(double *)at = d;
    return 0;
}

static int set_value(cli *c, const cli_option *o, const char *text, void *values)
{
    void *at = slot(values, o);
    switch (o->kind) {
    case CLI_FLAG:
        *(bool *)at = true;
        return 0;
    case CLI_TEXT:
        *(const char **)at = text;
        return 0;
    case CLI_INT:
    case CLI_FLOAT:
        return set_number(c, o, text, at);
    case CLI_LIST: {
        cli_list *l = at;
        const char **grown = realloc(l->item, (l->n + 1) * sizeof *grown);
        if (grown == NULL) return cli_misuse(c, "--%s: no memory", o->name);
        l->item = grown;
        l->item[l->n++] = text;
        return 0;
    }
    }
    return 2;
}

void cli_free_lists(const cli_command *c, void *values)
{
    for (const cli_option *o = c->options; o != NULL && o->name != NULL; o++)
        if (o->kind == CLI_LIST) free(((cli_list *)slot(values, o))->item);
}

static const cli_option *find_long(const cli_option *table, const char *name, size_t n)
{
    for (; table != NULL && table->name != NULL; table++)
        if (strlen(table->name) == n && strncmp(table->name, name, n) == 0) return table;
    return NULL;
}

static const cli_option *find_letter(const cli_option *table, char letter)
{
    for (; table != NULL && table->name != NULL; table++)
        if (table->letter == letter) return table;
    return NULL;
}

/* Letters in common, in order, over the longer length: enough to guess what a typing slip meant. */
static double likeness(const char *a, size_t n, const char *b)
{
    size_t m = strlen(b), same = 0, j = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = j; k < m; k++)
            if (a[i] == b[k]) {
                same++;
                j = k + 1;
                break;
            }
    return (double)same / (double)(n > m ? n : m);
}

static int unknown(cli *c, const char *name, size_t n)
{
    const char *best = NULL;
    double best_score = 0.6;
    const cli_option *tables[] = {c->command->options, cli_global_options};
    for (int t = 0; t < 2; t++)
        for (const cli_option *o = tables[t]; o != NULL && o->name != NULL; o++)
            if (likeness(name, n, o->name) > best_score) {
                best_score = likeness(name, n, o->name);
                best = o->name;
            }
    if (best != NULL)
        return cli_misuse(c, "no option --%.*s; did you mean --%s?", (int)n, name, best);
    return cli_misuse(c, "no option --%.*s; see higgins %s --help", (int)n, name, c->command->name);
}

typedef struct parse {
    cli *c;
    int argc, at;
    char **argv;
    void *values;
    cli_global *global;
} parse;

/* Gives option `o` its value: `inline_value`, or the next word. */
static int take(parse *p, const cli_option *o, bool is_global, const char *inline_value)
{
    void *values = is_global ? (void *)p->global : p->values;
    if (o->kind == CLI_FLAG) {
        if (inline_value != NULL) return cli_misuse(p->c, "--%s takes no value", o->name);
        return set_value(p->c, o, "", values);
    }
    if (inline_value == NULL) {
        if (p->at + 1 >= p->argc)
            return cli_misuse(p->c, "--%s needs a value: --%s %s", o->name, o->name, o->value);
        inline_value = p->argv[++p->at];
    }
    return set_value(p->c, o, inline_value, values);
}

static int take_long(parse *p, const char *word)
{
    const char *eq = strchr(word, '=');
    size_t n = eq == NULL ? strlen(word) : (size_t)(eq - word);
    const cli_option *o = find_long(p->c->command->options, word, n);
    bool is_global = o == NULL;
    if (o == NULL) o = find_long(cli_global_options, word, n);
    if (o == NULL) return unknown(p->c, word, n);
    return take(p, o, is_global, eq == NULL ? NULL : eq + 1);
}

static int take_letters(parse *p, const char *word)
{
    for (; *word != '\0'; word++) {
        const cli_option *o = find_letter(p->c->command->options, *word);
        bool is_global = o == NULL;
        if (o == NULL) o = find_letter(cli_global_options, *word);
        if (o == NULL)
            return cli_misuse(p->c, "no option -%c; see higgins %s --help", *word,
                              p->c->command->name);
        bool is_flag = o->kind == CLI_FLAG;
        int bad = take(p, o, is_global, is_flag || word[1] == '\0' ? NULL : word + 1);
        if (bad != 0 || !is_flag) return bad;
    }
    return 0;
}

int cli_parse(cli *c, int argc, char **argv, void *values, cli_global *g, int *n_args, char **args)
{
    parse p = {.c = c, .argc = argc, .argv = argv, .values = values, .global = g};
    bool only_args = false;
    *n_args = 0;
    for (; p.at < argc; p.at++) {
        char *word = argv[p.at];
        int bad = 0;
        if (only_args || word[0] != '-' || word[1] == '\0')
            args[(*n_args)++] = word;
        else if (strcmp(word, "--") == 0)
            only_args = true;
        else if (word[1] == '-')
            bad = take_long(&p, word + 2);
        else
            bad = take_letters(&p, word + 1);
        if (bad != 0) return bad;
    }
    return 0;
}
