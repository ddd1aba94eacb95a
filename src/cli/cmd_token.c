/* higgins token: who may use the server. */
#include "cli.h"

#include <higgins/serve.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct values {
    const char *data, *scopes;
    int64_t rate;
} values;

hg_status cli_data_folder(const char *given, char *out, size_t size, hg_err *e)
{
    const char *home = getenv("XDG_DATA_HOME");
    const char *below = "higgins";

    if (home == NULL || home[0] != '/') {
        home = getenv("HOME");
        below = ".local/share/higgins";
    }
    if (given == NULL && (home == NULL || home[0] != '/'))
        return hg_fail(e, HG_E_MISSING, "no HOME says where to keep data; --data DIR does");
    const int n = given != NULL ? snprintf(out, size, "%s", given)
                                : snprintf(out, size, "%s/%s", home, below);
    return n > 0 && (size_t)n < size ? HG_OK
                                     : hg_fail(e, HG_E_LIMIT, "the data folder's path is too long");
}

static void init(void *at)
{
    values *v = at;

    v->scopes = "run";
    v->rate = HG_DEFAULT_RATE;
}

static bool read_scopes(const char *text, unsigned *out)
{
    *out = 0;
    if (strcmp(text, "all") == 0) *out = HG_MAY_ALL;
    for (const char *at = text; *out != HG_MAY_ALL && *at != '\0';) {
        const size_t n = strcspn(at, ",");
        unsigned scope = 0, found = 0;
        const char *word;
        for (size_t i = 0; (word = hg_scope_word(i, &scope)) != NULL; i++)
            if (strlen(word) == n && memcmp(word, at, n) == 0) found = scope;
        if (found == 0) return false;
        *out |= found;
        at += n + (at[n] == ',');
    }
    return *out != 0;
}

static int add(cli *c, void *at, int n_args, char **args)
{
    const values *v = at;
    char folder[4096], secret[HG_TOKEN_ROOM];
    unsigned scopes;
    hg_err e = {0};

    (void)n_args;
    if (!read_scopes(v->scopes, &scopes))
        return cli_misuse(c, "--scopes %s: run, metrics, or all", v->scopes);
    if (cli_data_folder(v->data, folder, sizeof folder, &e) != HG_OK ||
        hg_tokens_add(folder, args[0], scopes, (uint32_t)v->rate, secret, &e) != HG_OK)
        return cli_fail(c, &e);
    if (c->json)
        printf("{\"name\": \"%s\", \"token\": \"%s\"}\n", args[0], secret);
    else
        printf("%s\n", secret);
    if (!c->json && !c->quiet)
        fprintf(stderr, "It is shown this once and kept as a digest; %s.\n",
                "programs give it as their key (Authorization: Bearer)");
    return 0;
}

typedef struct listing {
    const cli *c;
    size_t n;
} listing;

static const char *day(int64_t t, char out[32])
{
    const time_t at = (time_t)t;
    struct tm tm;

    if (t == 0 || gmtime_r(&at, &tm) == NULL || strftime(out, 32, "%Y-%m-%d", &tm) == 0)
        return "never";
    return out;
}

static void scope_words(unsigned scopes, char *out, size_t size)
{
    unsigned scope;
    const char *word;

    out[0] = '\0';
    for (size_t i = 0; (word = hg_scope_word(i, &scope)) != NULL; i++) {
        const size_t n = strlen(out);
        if ((scopes & scope) != 0)
            (void)snprintf(out + n, size - n, "%s%s", n > 0 ? "," : "", word);
    }
}

static void show(void *ctx, const hg_token_card *t)
{
    listing *l = ctx;
    char scopes[64], a[32], b[32];

    scope_words(t->scopes, scopes, sizeof scopes);
    if (l->c->json)
        printf(
            "%s{\"name\": \"%s\", \"scopes\": \"%s\", \"rate\": %u, \"created\": %lld, \"used\": "
            "%lld}",
            l->n > 0 ? ", " : "", t->name, scopes, t->rate, (long long)t->created,
            (long long)t->used);
    else if (l->n == 0)
        printf("%-24s %-26s %7s  %-10s  %s\n", "name", "scopes", "a min.", "made", "used");
    if (!l->c->json)
        printf("%-24s %-26s %7u  %-10s  %s\n", t->name, scopes, t->rate, day(t->created, a),
               day(t->used, b));
    l->n++;
}

static int list(cli *c, void *at, int n_args, char **args)
{
    const values *v = at;
    listing l = {.c = c};
    char folder[4096];
    hg_err e = {0};

    (void)n_args;
    (void)args;
    if (cli_data_folder(v->data, folder, sizeof folder, &e) != HG_OK) return cli_fail(c, &e);
    if (c->json) printf("[");
    const hg_status s = hg_tokens_list(folder, show, &l, &e);
    if (c->json) printf("]\n");
    if (s == HG_OK && l.n == 0 && !c->json && !c->quiet)
        fprintf(stderr, "There are no tokens; higgins token add NAME makes one.\n");
    return s == HG_OK ? 0 : cli_fail(c, &e);
}

static int revoke(cli *c, void *at, int n_args, char **args)
{
    const values *v = at;
    char folder[4096];
    hg_err e = {0};

    (void)n_args;
    if (cli_data_folder(v->data, folder, sizeof folder, &e) != HG_OK ||
        hg_tokens_revoke(folder, args[0], &e) != HG_OK)
        return cli_fail(c, &e);
    return 0;
}

#define DATA                                                                                 \
    {                                                                                        \
        "data", 0, CLI_TEXT, "DIR", "the server's data folder; else ~/.local/share/higgins", \
            offsetof(values, data), 0, 0                                                     \
    }
static const cli_option add_options[] = {
    DATA,
    {"scopes", 0, CLI_TEXT, "LIST", "what it allows: run (ask models), metrics, or all",
     offsetof(values, scopes), 0, 0},
    {"rate", 0, CLI_INT, "N",
     "creating requests a minute, five times as many others; 0 is any number",
     offsetof(values, rate), 0, 1e6},
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, 0}};
static const cli_option other_options[] = {DATA, {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, 0}};

static const char *const add_examples[] = {"higgins token add anna", "a token that may ask models",
                                           "higgins token add prometheus --scopes metrics --rate 0",
                                           "one for the server's figures", NULL};
static const char *const list_examples[] = {"higgins token list",
                                            "names, scopes and when each was last used", NULL};
static const char *const revoke_examples[] = {"higgins token revoke anna",
                                              "ends it at once, in a running server too", NULL};

const cli_command cli_token_add = {
    .name = "token add",
    .args = "NAME",
    .summary = "let somebody use the server",
    .text =
        "Makes a token for higgins serve and prints it. It is kept as its SHA-256 alone, so that "
        "it cannot be shown again. A server that runs takes it at once.",
    .examples = add_examples,
    .options = add_options,
    .values_size = sizeof(values),
    .init = init,
    .min_args = 1,
    .max_args = 1,
    .run = add,
};
const cli_command cli_token_list = {
    .name = "token list",
    .args = "",
    .summary = "show who may use the server",
    .text = "Lists the tokens of higgins serve by name; what they are, nobody can tell any more.",
    .examples = list_examples,
    .options = other_options,
    .values_size = sizeof(values),
    .init = init,
    .min_args = 0,
    .max_args = 0,
    .run = list,
};
const cli_command cli_token_revoke = {
    .name = "token revoke",
    .args = "NAME",
    .summary = "end a token",
    .text = "Removes a token of higgins serve; requests with it are refused from then on.",
    .examples = revoke_examples,
    .options = other_options,
    .values_size = sizeof(values),
    .init = init,
    .min_args = 1,
    .max_args = 1,
    .run = revoke,
};
