/* higgins tokenizer chat: how a conversation becomes tokens, and on which of them a model learns.
 */
#include "cli.h"

#include <higgins/tokenizer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct values {
    const char *tokenizer, *chat_template, *messages, *tools, *args;
    bool open, template_only;
} values;

static void init(void *at)
{
    values *v = at;
    v->tokenizer = "tokenizer.json";
}

static const cli_option options[] = {
    {"tokenizer", 'k', CLI_TEXT, "FILE", "the tokenizer.json (or a GGUF, a tokenizer.model ...)",
     offsetof(values, tokenizer), 0, 0},
    {"chat-template", 0, CLI_TEXT, "FILE",
     "a template in Jinja; without it, that of Higgins's own models",
     offsetof(values, chat_template), 0, 0},
    {"messages", 0, CLI_TEXT, "FILE", "the messages as a JSON array instead of ROLE=TEXT",
     offsetof(values, messages), 0, 0},
    {"tools", 0, CLI_TEXT, "FILE", "tools the model may call, as a JSON array",
     offsetof(values, tools), 0, 0},
    {"args", 0, CLI_TEXT, "JSON", "further variables of the template, as a JSON object",
     offsetof(values, args), 0, 0},
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

/* On a terminal what is learned is green. */
static void print_text(const hg_tokenizer *t, const hg_ids *ids, const hg_mask *mask)
{
    const bool colour = cli_stdout_is_terminal();
    size_t n = 0;
    for (size_t i = 0; i < ids->n; i++) {
        hg_bytes s = hg_tokenizer_piece(t, ids->id[i], true);
        const bool on = mask->weight[i] > 0;
        n += on;
        printf("%s%7d  %s  ", colour && on ? "\033[32m" : "", (int)ids->id[i],
               on ? "learned" : "       ");
        cli_print_json_string(s.p, s.n);
        printf("%s\n", colour && on ? "\033[0m" : "");
    }
    printf("%zu tokens, %zu of them learned\n", ids->n, n);
}

static hg_status print_string(void *ctx, hg_bytes text, hg_err *e)
{
    (void)ctx;
    (void)e;
    cli_print_json_string(text.p, text.n);
    return HG_OK;
}

static hg_status print_json(const hg_chat_format *f, const hg_chat_input *in, const hg_ids *ids,
                            const hg_mask *mask, hg_err *e)
{
    printf("{\"ids\": [");
    for (size_t i = 0; i < ids->n; i++) printf("%s%d", i > 0 ? ", " : "", (int)ids->id[i]);
    printf("], \"learned\": [");
    for (size_t i = 0; i < ids->n; i++)
        printf("%s%u", i > 0 ? ", " : "", mask->weight[i] > 0 ? 1u : 0u);
    printf("], \"end\": %d, \"text\": ", (int)hg_chat_format_end(f));
    const hg_status s = hg_chat_format_text(f, in, print_string, NULL, e);
    printf("}\n");
    return s;
}

/* ---- files ---- */
typedef struct files {
    char *chat_template, *messages, *tools;
} files;

static void files_free(files *f)
{
    free(f->chat_template);
    free(f->messages);
    free(f->tools);
}

static hg_status read_files(files *f, const values *v, hg_err *e)
{
    HG_TRY(cli_read_text(v->chat_template, &f->chat_template, e));
    HG_TRY(cli_read_text(v->messages, &f->messages, e));
    return cli_read_text(v->tools, &f->tools, e);
}

static hg_bytes bytes_of(const char *text)
{
    return (hg_bytes){text, text != NULL ? strlen(text) : 0};
}

/* ---- all of it ---- */
static hg_status show(const cli *c, const values *v, const hg_message *m, size_t n, hg_err *e)
{
    hg_tokenizer *t = NULL;
    hg_chat_format *format = NULL;
    hg_ids ids = {0};
    hg_mask mask = {0};
    files text = {0};
    hg_status s = read_files(&text, v, e);
    if (s == HG_OK) s = hg_tokenizer_open(&t, v->tokenizer, e);
    if (s == HG_OK) s = hg_chat_format_new(&format, t, text.chat_template, e);
    const hg_chat_input in = {.m = m,
                              .n = n,
                              .messages = bytes_of(text.messages),
                              .tools = bytes_of(text.tools),
                              .values = bytes_of(v->args),
                              .open_answer = v->open};
    if (s == HG_OK) s = hg_chat_format_ids(format, &in, &ids, &mask, e);
    if (s == HG_OK && c->json) s = print_json(format, &in, &ids, &mask, e);
    if (s == HG_OK && !c->json) print_text(t, &ids, &mask);
    hg_mask_free(&mask);
    hg_ids_free(&ids);
    hg_chat_format_free(format);
    hg_tokenizer_free(t);
    files_free(&text);
    return s;
}

static int run(cli *c, void *at, int n_args, char **args)
{
    const values *v = at;
    const char *template = hg_chat_template_default();
    hg_err e;
    if (v->template_only) {
        if (c->json)
            cli_print_json_string(template, strlen(template));
        else
            (void)fputs(template, stdout);
        printf("\n");
        return 0;
    }
    if ((n_args == 0) == (v->messages == NULL))
        return cli_misuse(c, "which messages? write role=text, such as user=Hello, or --messages "
                             "with a file");
    hg_message *m = calloc((size_t)n_args + 1, sizeof *m);
    if (m == NULL) return cli_misuse(c, "no memory");
    int code = read_messages(c, n_args, args, m);
    if (code == 0 && show(c, v, m, (size_t)n_args, &e) != HG_OK) code = cli_fail(c, &e);
    free(m);
    return code;
}

static const char *const examples[] = {
    "higgins tokenizer chat 'user=How are you?' 'assistant=Fine.'",
    "shows the tokens of a conversation and which of them a model learns from",
    "higgins tokenizer chat -k qwen3.gguf --chat-template qwen3.jinja --tools tools.json "
    "--args '{\"enable_thinking\": false}' --open 'user=How warm is it in Bern?'",
    "the prompt of another model, with tools to call",
    "higgins tokenizer chat --template",
    "prints the template that Higgins's models carry",
    NULL};

const cli_command cli_tokenizer_chat = {
    .name = "tokenizer chat",
    .args = "[ROLE=TEXT...]",
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
