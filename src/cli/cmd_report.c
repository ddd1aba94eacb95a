/* higgins report: one page over a model's life. */
#include "cli.h"

#include <higgins/report.h>

#include <stdio.h>
#include <string.h>

typedef struct values {
    const char *output;
} values;

static int run(cli *c, void *v, int n_args, char **args)
{
    (void)n_args;
    values *o = v;
    hg_err e = {0};
    char path[4096];
    if (o->output == NULL &&
        snprintf(path, sizeof path, "%s/report.html", args[0]) >= (int)sizeof path)
        return cli_misuse(c, "%s: the path is too long", args[0]);
    const char *to = o->output != NULL ? o->output : path;
    if (hg_report_write(args[0], to, &e) != HG_OK) return cli_fail(c, &e);
    if (c->json) {
        printf("{\"report\": ");
        cli_print_json_string(to, strlen(to));
        printf("}\n");
    } else {
        printf("%s\n", to);
    }
    return 0;
}

static const cli_option options[] = {
    {"out", 'o', CLI_TEXT, "FILE", "the page; default FOLDER/report.html", offsetof(values, output),
     0, 0},
    {0},
};
static const char *const examples[] = {
    "higgins report runs/first-model",
    "one page over corpus, vocabulary, training, tuning, samples and evaluation in that folder",
    NULL,
};
const cli_command cli_report = {
    .name = "report",
    .args = "FOLDER",
    .summary = "write one page that tells a model's life",
    .text = "Reads what the other commands left in a folder (corpus/card.json, base/log.jsonl, "
            "chat/log.jsonl, eval-chat.json ...) and writes one HTML file that needs nothing else. "
            "recipes/first-model/run.sh makes such a folder.",
    .examples = examples,
    .options = options,
    .values_size = sizeof(values),
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
