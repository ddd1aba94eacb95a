/* higgins runs: training runs in a table and one plot. */
#include "cli.h"

#include <higgins/report.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct values {
    const char *page;
} values;

static void print_number(const char *name, double v)
{
    if (isfinite(v))
        printf(", \"%s\": %.9g", name, v);
    else
        printf(", \"%s\": null", name);
}

static void print_json(const hg_runs *r)
{
    printf("[");
    for (size_t i = 0; i < hg_runs_count(r); i++) {
        hg_run_figures f;
        hg_runs_get(r, i, &f);
        printf("%s{\"run\": ", i > 0 ? ", " : "");
        cli_print_json_string(f.name, strlen(f.name));
        printf(", \"finished\": %s, \"params\": %llu, \"steps\": %llu, \"total_steps\": %llu",
               f.is_finished ? "true" : "false", (unsigned long long)f.params,
               (unsigned long long)f.steps, (unsigned long long)f.total_steps);
        print_number("tokens", f.tokens);
        print_number("loss", f.loss);
        print_number("val_loss", f.val_loss);
        print_number("val_bits_per_byte", f.val_bits_per_byte);
        print_number("tokens_per_s", f.tokens_per_s);
        print_number("seconds", f.seconds);
        print_number("joules", f.joules);
        printf("}");
    }
    printf("]\n");
}

static const char *decimal(char out[32], double v)
{
    (void)snprintf(out, 32, "%.4f", v);
    return isfinite(v) ? out : "-";
}

static void print_table(const hg_runs *r)
{
    int width = 3;
    hg_run_figures f;
    for (size_t i = 0; i < hg_runs_count(r); i++) {
        hg_runs_get(r, i, &f);
        if ((int)strlen(f.name) > width) width = (int)strlen(f.name);
    }
    printf("   %-*s %9s %9s %9s %8s %8s %8s %9s %10s\n", width, "run", "params", "steps", "tokens",
           "loss", "held out", "bits/B", "tokens/s", "time");
    for (size_t i = 0; i < hg_runs_count(r); i++) {
        char a[32], b[32], c[32], d[32], h[32], t[32];
        hg_runs_get(r, i, &f);
        printf("%c  %-*s %9s %8llu%s %9s %8s %8s %8s %9.0f %10s\n", hg_runs_sign(i), width, f.name,
               cli_count(a, (double)f.params), (unsigned long long)f.steps,
               f.is_finished ? " " : "+", cli_count(b, f.tokens), decimal(c, f.loss),
               decimal(d, f.val_loss), decimal(h, f.val_bits_per_byte), f.tokens_per_s,
               cli_duration(t, f.seconds));
    }
}

static int run(cli *c, void *v, int n_args, char **args)
{
    const values *o = v;
    hg_runs *r = NULL;
    hg_err e = {0};
    hg_status s = hg_runs_open(&r, (const char *const *)args, (size_t)n_args, &e);
    if (s == HG_OK && o->page != NULL) s = hg_runs_write(r, o->page, &e);
    if (s != HG_OK) {
        hg_runs_free(r);
        return cli_fail(c, &e);
    }
    if (c->json) {
        print_json(r);
    } else {
        const char *plot = hg_runs_plot(r, 78, 16);
        print_table(r);
        if (plot != NULL) printf("\n%s", plot);
        if (o->page != NULL) printf("%s\n", o->page);
    }
    hg_runs_free(r);
    return 0;
}

static const cli_option options[] = {
    {"page", 'p', CLI_TEXT, "FILE",
     "writes table and curves, held-out losses among them, as an HTML page too",
     offsetof(values, page), 0, 0},
    {0},
};
static const char *const examples[] = {
    "higgins runs runs/",
    "every run in that folder: a row each, and their losses over tokens in one plot",
    "higgins runs runs/a runs/b --page compare.html",
    "two runs, and a page to keep",
    NULL,
};
const cli_command cli_runs = {
    .name = "runs",
    .args = "FOLDER...",
    .summary = "compare training runs in a table and one plot",
    .text = "Reads log.jsonl and run.json of run folders (or of all run folders within a folder) "
            "and prints a row for each and\n"
            "one plot of their smoothed losses over tokens, each drawn with the sign of its row. A "
            "+ behind the steps marks a run\n"
            "that is not finished.",
    .examples = examples,
    .options = options,
    .values_size = sizeof(values),
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
