/* higgins doctor: what this machine can do, measured, and what that means for the models that one
 * may train or talk to on it. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

typedef struct values {
    double seconds;
} values;

static void init(void *at)
{
    ((values *)at)->seconds = 3;
}

static const cli_option options[] = {
    {"seconds", 's', CLI_FLOAT, "S", "measure for about so long", offsetof(values, seconds), 0.1,
     600},
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, 0},
};

static const char *const examples[] = {
    "higgins doctor",
    "what the machine has, what it was measured to do, what size of model fits",
    "higgins doctor --seconds 30",
    "the same, measured longer, on a machine with busy neighbours",
    "higgins doctor --json",
    "for a program to read",
    NULL,
};

/* A weight in memory for answering, and what training holds for each parameter: the float32 weight,
 * its gradient and AdamW's two averages. */
static const double BF16_BYTES = 2, F32_BYTES = 4, TRAIN_BYTES = 16;
/* The part of free memory that weights may take: caches, activations and the rest need room too. */
static const double USABLE = 0.8;
/* FLOP for a parameter and token: 2 forward, 4 backward (Kaplan et al. 2020). */
static const double TRAIN_FLOP = 6;
/* What a whole training step keeps of the rate of matrix products alone. */
static const double STEP_SHARE = 0.5;

static const double answer_sizes[] = {124e6, 1.2e9, 7e9, 13e9, 70e9};
static const double train_sizes[] = {10e6, 124e6, 1.2e9};
enum {
    N_ANSWER = sizeof answer_sizes / sizeof answer_sizes[0],
    N_TRAIN = sizeof train_sizes / sizeof train_sizes[0],
};

typedef struct report {
    hg_machine_info m;
    hg_machine_rates r;
    hg_isa isa;
    int threads;
} report;

static bool fits(const report *p, double bytes)
{
    return bytes <= USABLE * (double)p->m.memory_free;
}

/* Each token of an answer reads every weight once. */
static double answer_rate(const report *p, double params, double weight_bytes)
{
    return p->r.read_gbs * 1e9 / (params * weight_bytes);
}

static double train_rate(const report *p, double params)
{
    return STEP_SHARE * p->r.bf16_gflops * 1e9 / (TRAIN_FLOP * params);
}

static double largest(const report *p, double bytes_each)
{
    return USABLE * (double)p->m.memory_free / bytes_each;
}

/* ---- JSON ---- */

static void json_answers(const report *p)
{
    printf(", \"answering\": {\"largest_bf16_params\": %.0f, \"largest_f32_params\": %.0f, "
           "\"sizes\": [",
           largest(p, BF16_BYTES), largest(p, F32_BYTES));
    for (int i = 0; i < N_ANSWER; i++) {
        double n = answer_sizes[i];
        printf("%s{\"params\": %.0f, \"bf16_bytes\": %.0f, \"fits\": %s, "
               "\"tokens_per_second_at_most\": %.4g}",
               i > 0 ? ", " : "", n, n * BF16_BYTES, fits(p, n * BF16_BYTES) ? "true" : "false",
               answer_rate(p, n, BF16_BYTES));
    }
    printf("]}");
}

static void json_training(const report *p)
{
    printf(", \"training\": {\"bytes_per_param\": %.0f, \"largest_params\": %.0f, \"sizes\": [",
           TRAIN_BYTES, largest(p, TRAIN_BYTES));
    for (int i = 0; i < N_TRAIN; i++) {
        double n = train_sizes[i];
        printf("%s{\"params\": %.0f, \"bytes\": %.0f, \"fits\": %s, \"tokens_per_second\": %.4g}",
               i > 0 ? ", " : "", n, n * TRAIN_BYTES, fits(p, n * TRAIN_BYTES) ? "true" : "false",
               train_rate(p, n));
    }
    printf("]}");
}

static void print_json(const report *p)
{
    const hg_machine_info *m = &p->m;
    printf("{\"cpu\": ");
    cli_print_json_string(m->cpu, strlen(m->cpu));
    printf(", \"cores\": %d, \"threads\": %d, \"isa\": \"%s\", \"isa_of_machine\": \"%s\", "
           "\"memory\": %llu, \"memory_free\": %llu, \"joules_source\": ",
           m->n_cores, p->threads, hg_isa_name(p->isa), hg_isa_name(m->isa),
           (unsigned long long)m->memory, (unsigned long long)m->memory_free);
    cli_print_json_string(m->joules_source, strlen(m->joules_source));
    printf(", \"read_gbs\": %.4g, \"f32_gflops\": %.4g, \"bf16_gflops\": %.4g, "
           "\"int8_gops\": %.4g",
           p->r.read_gbs, p->r.f32_gflops, p->r.bf16_gflops, p->r.int8_gops);
    json_answers(p);
    json_training(p);
    printf("}\n");
}

/* ---- words ---- */

static void tell_machine(const report *p)
{
    char a[32], b[32];
    const hg_machine_info *m = &p->m;
    printf("processor         %s\n", m->cpu);
    printf("cores             %d for this program, %d thread%s in use\n", m->n_cores, p->threads,
           p->threads == 1 ? "" : "s");
    printf("instruction set   %s%s\n", hg_isa_name(p->isa),
           p->isa == HG_ISA_C ? " (plain C: slow, no vectors)" : "");
    printf("memory            %s, %s of it free\n", cli_bytes(a, (double)m->memory),
           cli_bytes(b, (double)m->memory_free));
    printf("energy            %s\n", m->joules_source);
    printf("\nmeasured just now\n");
    printf("  reading memory           %7.1f GB/s     sets the speed of answering\n",
           p->r.read_gbs);
    printf("  matrix products, float32 %7.0f GFLOP/s\n", p->r.f32_gflops);
    printf("  matrix products, bfloat16%7.0f GFLOP/s  sets the speed of training\n",
           p->r.bf16_gflops);
    printf("  products of bytes        %7.0f GOP/s    bounds reading with quantised weights\n",
           p->r.int8_gops);
}

static void tell_answers(const report *p)
{
    char a[32], b[32];
    printf("\ntalking to a model (16-bit weights; every token of an answer reads all of them)\n");
    printf("  parameters     memory   tokens/s at most\n");
    for (int i = 0; i < N_ANSWER; i++) {
        double n = answer_sizes[i], bytes = n * BF16_BYTES;
        printf("  %10s %10s", cli_count(a, n), cli_bytes(b, bytes));
        if (fits(p, bytes))
            printf("   %16.1f\n", answer_rate(p, n, BF16_BYTES));
        else
            printf("   does not fit\n");
    }
    printf("  largest that fits: %s parameters in 16 bits, %s in 32\n",
           cli_count(a, largest(p, BF16_BYTES)), cli_count(b, largest(p, F32_BYTES)));
}

/* Training may take longer than anybody thinks of in hours. */
static const char *long_time(char buf[32], double seconds)
{
    double days = seconds / 86400;
    if (days < 2) return cli_duration(buf, seconds);
    if (days < 730)
        (void)snprintf(buf, 32, "%.0f days", days);
    else
        (void)snprintf(buf, 32, "%.0f years", days / 365.25);
    return buf;
}

static void tell_training(const report *p)
{
    char a[32], b[32], t[32];
    printf("\ntraining a model (weights, gradients and the optimiser: 16 bytes a parameter, and "
           "activations)\n");
    printf("  parameters     memory   tokens/s, about   20 tokens a parameter take\n");
    for (int i = 0; i < N_TRAIN; i++) {
        double n = train_sizes[i], bytes = n * TRAIN_BYTES, rate = train_rate(p, n);
        printf("  %10s %10s", cli_count(a, n), cli_bytes(b, bytes));
        if (fits(p, bytes))
            printf("   %15.0f   %s\n", rate, long_time(t, 20 * n / rate));
        else
            printf("   does not fit\n");
    }
}

static int run(cli *c, void *at, int n_args, char **args)
{
    const values *v = at;
    report p = {0};
    hg_runtime *rt = NULL;
    hg_err e;
    (void)n_args;
    (void)args;
    if (cli_runtime(c, &rt, &e) != HG_OK) return cli_fail(c, &e);
    hg_machine_describe(&p.m);
    if (hg_machine_measure(rt, v->seconds, &p.r, &e) != HG_OK) return cli_fail(c, &e);
    p.isa = hg_runtime_isa(rt);
    p.threads = hg_runtime_threads(rt);
    if (c->json) {
        print_json(&p);
        return 0;
    }
    tell_machine(&p);
    tell_answers(&p);
    tell_training(&p);
    return 0;
}

const cli_command cli_doctor = {
    .name = "doctor",
    .args = "",
    .summary = "measure this machine and say what size of model fits",
    .text = "Looks at the processor, the cores and the memory that this program may use (also in a "
            "container), measures how fast memory is read and matrices are multiplied, and says "
            "what that means: which models fit, how fast they can answer, how long training "
            "takes. Needs 256 MiB of free memory.",
    .examples = examples,
    .options = options,
    .values_size = sizeof(values),
    .init = init,
    .run = run,
};
