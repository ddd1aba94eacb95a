/* higgins bench: how fast a model reads and answers on this machine, beside what the machine can do
 * at most. */
#include "cli.h"

#include <higgins/speed.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_POINTS = 8 };

typedef struct values {
    int64_t prompt, decode, repeats, ctx;
    const char *depths, *sessions;
} values;

static void init(void *at)
{
    hg_speed_options o;
    values *v = at;
    hg_speed_options_init(&o);
    v->prompt = o.prompt;
    v->decode = o.decode;
    v->repeats = o.repeats;
    v->depths = "0";
    v->sessions = "8";
}

static const cli_option options[] = {
    {"prompt", 'p', CLI_INT, "N", "tokens of the prompt that is read; 0: none",
     offsetof(values, prompt), 0, 1 << 20},
    {"decode", 'n', CLI_INT, "N", "tokens that are answered; 0: none", offsetof(values, decode), 0,
     1 << 20},
    {"depth", 'd', CLI_TEXT, "N,N", "answer behind so many tokens", offsetof(values, depths), 0, 0},
    {"sessions", 's', CLI_TEXT, "N,N", "so many answer at once; 0: none",
     offsetof(values, sessions), 0, 0},
    {"repeat", 'r', CLI_INT, "N", "runs of each, of which the median is shown",
     offsetof(values, repeats), 1, 101},
    {"context", 'c', CLI_INT, "N", "room for so many tokens; 0: as many as needed",
     offsetof(values, ctx), 0, 1 << 22},
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, 0},
};

/* "0,8192" as numbers; false when it is none. */
static bool parse_points(const char *text, uint32_t *out, size_t *n)
{
    *n = 0;
    for (const char *p = text;; p++) {
        char *end;
        const unsigned long v = strtoul(p, &end, 10);
        if (end == p || p[0] == '-' || v > 1u << 22 || *n == MAX_POINTS) return false;
        out[(*n)++] = (uint32_t)v;
        if (*end == '\0') return true;
        if (*end != ',') return false;
        p = end;
    }
}

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void name_row(char out[64], const hg_speed_job *j)
{
    if (j->kind == HG_SPEED_PREFILL)
        (void)snprintf(out, 64, "read a prompt of %u", j->n);
    else if (j->kind == HG_SPEED_BATCH)
        (void)snprintf(out, 64, "answer %u at once, %u each", j->sessions, j->n);
    else if (j->past > 0)
        (void)snprintf(out, 64, "answer %u behind %u", j->n, j->past);
    else
        (void)snprintf(out, 64, "answer %u", j->n);
}

static const char *unit_of(const hg_speed_row *r)
{
    return r->is_bound_by_reads ? "GB/s" : "GOP/s";
}

static void print_json(const hg_model *m, hg_runtime *rt, const hg_speed_report *r, double opened)
{
    static const char *const kinds[] = {"prefill", "decode", "batch"};
    printf("{\"arch\": \"%s\", \"parameters\": %llu, \"weights_bytes\": %llu, \"threads\": %d, "
           "\"isa\": \"%s\", \"open_seconds\": %.4f, \"rows\": [",
           hg_model_get_config(m)->arch, (unsigned long long)hg_model_count(m),
           (unsigned long long)hg_model_bytes(m), hg_runtime_threads(rt),
           hg_isa_name(hg_runtime_isa(rt)), opened);
    for (size_t i = 0; i < r->n; i++) {
        const hg_speed_row *w = &r->row[i];
        printf("%s{\"kind\": \"%s\", \"tokens\": %u, \"past\": %u, \"sessions\": %u, "
               "\"tokens_per_second\": %.4g, \"joules_per_token\": %.4g, \"rate\": %.4g, "
               "\"limit\": %.4g, \"unit\": \"%s\", \"share\": %.4f}",
               i > 0 ? ", " : "", kinds[w->job.kind], w->job.n, w->job.past, w->job.sessions,
               w->tokens_s, w->joules, w->rate, w->limit, unit_of(w), w->share);
    }
    printf("]}\n");
}

static void print_table(const hg_model *m, hg_runtime *rt, const hg_speed_report *r, double opened)
{
    char a[32], b[32], name[64];
    printf("%s, %s parameters, %s of weights, opened in %.0f ms; %d threads, %s\n\n",
           hg_model_get_config(m)->arch, cli_count(a, (double)hg_model_count(m)),
           cli_bytes(b, (double)hg_model_bytes(m)), 1000 * opened, hg_runtime_threads(rt),
           hg_isa_name(hg_runtime_isa(rt)));
    printf("%-30s %10s %10s  %-26s %7s\n", "", "tokens/s", "J/token", "reached, of the machine's",
           "share");
    for (size_t i = 0; i < r->n; i++) {
        const hg_speed_row *w = &r->row[i];
        char reached[64];
        name_row(name, &w->job);
        (void)snprintf(reached, sizeof reached, "%.1f of %.1f %s", w->rate, w->limit, unit_of(w));
        printf("%-30s %10.1f %10.3f  %-26s %6.0f%%\n", name, w->tokens_s, w->joules, reached,
               100 * w->share);
    }
}

static int run(cli *c, void *at, int n_args, char **args)
{
    const values *v = at;
    uint32_t depths[MAX_POINTS], sessions[MAX_POINTS];
    hg_runtime *rt = NULL;
    hg_model *m = NULL;
    hg_speed_options o;
    hg_speed_report r;
    hg_err e;
    (void)n_args;
    hg_speed_options_init(&o);
    o.prompt = (uint32_t)v->prompt;
    o.decode = (uint32_t)v->decode;
    o.repeats = (uint32_t)v->repeats;
    o.session.n_ctx = (uint32_t)v->ctx;
    o.depths = depths;
    o.sessions = sessions;
    if (!parse_points(v->depths, depths, &o.n_depths))
        return cli_misuse(c, "--depth %s: numbers with commas between, %d at the most", v->depths,
                          MAX_POINTS);
    if (!parse_points(v->sessions, sessions, &o.n_sessions))
        return cli_misuse(c, "--sessions %s: numbers with commas between, %d at the most",
                          v->sessions, MAX_POINTS);
    if (o.n_sessions == 1 && sessions[0] == 0) o.n_sessions = 0;
    hg_status s = cli_runtime(c, &rt, &e);
    const double start = now();
    double opened = 0;
    if (s == HG_OK) s = hg_model_open(&m, args[0], HG_WEIGHTS_AS_STORED, rt, &e);
    if (s == HG_OK) opened = now() - start;
    if (s == HG_OK && hg_model_tokenizer(m) == NULL) o.n_sessions = 0;
    if (s == HG_OK) s = hg_speed_run(&r, m, rt, &o, &c->watch, &e);
    cli_progress_end(c);
    int code = 0;
    if (s != HG_OK)
        code = cli_fail(c, &e);
    else if (c->json)
        print_json(m, rt, &r, opened);
    else
        print_table(m, rt, &r, opened);
    hg_model_free(m);
    return code;
}

static const char *const examples[] = {
    "higgins bench model.gguf",
    "reading a prompt, answering alone and answering eight at once, each beside the machine's "
    "limit",
    "higgins bench model.gguf --depth 0,8192,32768 --sessions 1,8,32",
    "also answering behind long texts, and more sessions at once",
    "higgins bench model.gguf --threads 1 --json",
    "one thread, for a program to read",
    NULL,
};

const cli_command cli_bench = {
    .name = "bench",
    .args = "MODEL",
    .summary = "how fast a model runs, and how fast the machine would let it",
    .text = "MODEL is a model's folder or a GGUF file. Reading a prompt is bound by the rate of\n"
            "matrix products, answering by the rate at which weights and cache are read from\n"
            "memory. Both rates are measured between the runs, for they change on a machine with\n"
            "neighbours; the share is what of them the model reached. Joules are of the whole\n"
            "processor where it counts them, and an estimate elsewhere (see higgins doctor).",
    .examples = examples,
    .options = options,
    .values_size = sizeof(values),
    .init = init,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
