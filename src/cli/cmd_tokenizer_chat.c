/* higgins tokenizer chat: how a conversation becomes tokens, and on which of them a model learns.
 */
#include "cli.h"

#include <higgins/tokenizer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct values {
    const char *tokenizer;
    bool open, template_only;
} values;

static void init(void *at)
{
    values *v = at;
    v->tokenizer = "tokenizer.json";
}

static const cli_option options[] = {
    {"tokenizer", 'k', CLI_TEXT, "FILE", "the tokenizer.json", offsetof(values, tokenizer), 0, 0},
    {"open", 0, CLI_FLAG, NULL, "end where the assistant is to answer", offsetof(values, open), 0,
     0},
    {"template", 0, CLI_FLAG, NULL, "print the template of Higgins's own models (Jinja) and stop",
     offsetof(values, template_only), 0, 0},
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, 0}};

/* "role=text"; the role is cut off in place. */
static int read_messages(cli *c, int n, char **args, hg_message *m)
{
    for (int i = 0; i < n; i++) {
        char *eq = strchr(args[i], '=');
        if (eq == NULL)
            return cli_misuse(c, "\"%.60s\" is no message; write role=text, such as user=Hello",
                              args[i]);
        *eq = '\0';
        m[i] = (hg_message){args[i], {eq + 1, strlen(eq + 1)}};
    }
    return 0;
}

static void print_text(const hg_tokenizer *t, const hg_ids *ids, const hg_mask *mask)
{
    size_t n = 0;
    for (size_t i = 0; i < ids->n; i++) {
        hg_bytes s = hg_tokenizer_piece(t, ids->id[i], true);
        n += mask->on[i];
        printf("%7d  %s  ", (int)ids->id[i], mask->on[i] ? "learned" : "       ");
        cli_print_json_string(s.p, s.n);
        printf("\n");
    }
    printf("%zu tokens, %zu of them learned\n", ids->n, n);
}

static void print_json(const hg_tokenizer *t, const hg_ids *ids, const hg_mask *mask, char *room)
{
    size_t n = 0;
    printf("{\"ids\": [");
    for (size_t i = 0; i < ids->n; i++) printf("%s%d", i > 0 ? ", " : "", (int)ids->id[i]);
    printf("], \"learned\": [");
    for (size_t i = 0; i < ids->n; i++) printf("%s%u", i > 0 ? ", " : "", (unsigned)mask->on[i]);
    for (size_t i = 0; i < ids->n; i++) {
        hg_bytes s = hg_tokenizer_piece(t, ids->id[i], true);
        memcpy(room + n, s.p, s.n);
        n += s.n;
    }
    printf("], \"text\": ");
    cli_print_json_string(room, n);
    printf("}\n");
}

static int show(cli *c, const hg_tokenizer *t, const hg_ids *ids, const hg_mask *mask)
{
    if (!c->json) {
        print_text(t, ids, mask);
        return 0;
    }
    size_t n = 1;
    for (size_t i = 0; i < ids->n; i++) n += hg_tokenizer_piece(t, ids->id[i], true).n;
    char *room = malloc(n);
    if (room == NULL) return cli_misuse(c, "no memory");
    print_json(t, ids, mask, room);
    free(room);
    return 0;
}

static int run(cli *c, void *at, int n_args, char **args)
{
    const values *v = at;
    const char *template = hg_chat_template_default();
    if (v->template_only) {
        if (c->json)
            cli_print_json_string(template, strlen(template));
        else
            (void)fputs(template, stdout);
        printf("\n");
        return 0;
    }
    if (n_args == 0) return cli_misuse(c, "which messages? write role=text, such as user=Hello");
    hg_message *m = calloc((size_t)n_args, sizeof *m);
    hg_tokenizer *t = NULL;
    hg_ids ids = {0};
    hg_mask mask = {0};
    hg_err e;
    if (m == NULL) return cli_misuse(c, "no memory");
    int code = read_messages(c, n_args, args, m);
    if (code == 0) {
        if (hg_tokenizer_open(&t, v->tokenizer, &e) != HG_OK ||
            hg_chat_render(t, NULL, m, (size_t)n_args, v->open, &ids, &mask, &e) != HG_OK)
            code = cli_fail(c, &e);
        else
            code = show(c, t, &ids, &mask);
    }
    hg_mask_free(&mask);
    hg_ids_free(&ids);
    hg_tokenizer_free(t);
    free(m);
    return code;
}

static const char *const examples[] = {
    "higgins tokenizer chat 'user=How are you?' 'assistant=Fine.'",
    "shows the tokens of a conversation and which of them a model learns from",
    "higgins tokenizer chat --template", "prints the template that Higgins's models carry", NULL};

const cli_command cli_tokenizer_chat = {
    .name = "tokenizer chat",
    .args = "ROLE=TEXT...",
    .summary = "show a conversation as tokens",
    .text =
        "A chat model reads special tokens that say who speaks. What is learned in fine-tuning\n"
        "is what the assistant says and the token that ends it. Special tokens written by a\n"
        "person stay text.",
    .examples = examples,
    .options = options,
    .values_size = sizeof(values),
    .init = init,
    .min_args = 0,
    .max_args = -1,
    .run = run};
