/* How much of the machine's matrix-product rate a training step reaches, on a model of the size
 * that one trains on such a machine: 6 layers, width 384, vocabulary 8192, 32 rows of 256 tokens,
 * llama, tied head, BF16 products where the processor has them. A step is what `higgins train`
 * does: rows filled, forward, backward, norm of the gradient, AdamW.
 *
 * FLOP of a token: 6 N + 12 L C T, where N are all parameters (the tied embedding is the head's
 * matrix and so counts once), L layers, C the width of the heads, T the row. The product rate is
 * measured between the steps, in the same run: on a shared machine only their ratio means
 * something. With /usr/bin/python3 and torch, bench/peer_train.py runs the same shape beside it.
 * Options, in this order: layers 6, width 384, vocabulary 8192, rows 32, tokens of a row 256,
 * steps 6, rows worked on at a time 0 (chosen), 1 for the peer. */
#include "base/clock.h"
#include "base/rng.h"
#include "train/learner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The trainer knows what a step needs; here blocks that waste less than one for each activation. */
enum { MAX_STEPS = 64, STEP_BLOCK = 64 << 20 };

typedef struct shape {
    size_t n_layers, d, n_vocab, n_rows, t, n_steps, micro;
} shape;

/* Random ids: what a step costs does not depend on them. */
typedef struct noise {
    hg_source source;
    uint32_t n_vocab;
} noise;

static void noise_row(const hg_source *s, bool held_out, uint64_t i, int32_t *ids, int32_t *targets,
                      uint8_t *begins)
{
    const noise *n = (const noise *)(const void *)s;
    hg_rng r;
    (void)held_out;
    hg_rng_init(&r, i, 0);
    for (size_t t = 0; t < s->seq_len; t++) {
        ids[t] = (int32_t)hg_rng_below(&r, n->n_vocab);
        targets[t] = (int32_t)hg_rng_below(&r, n->n_vocab);
        begins[t] = t == 0;
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, size_t n)
{
    qsort(x, n, sizeof *x, by_value);
    return n % 2 == 1 ? x[n / 2] : 0.5 * (x[n / 2 - 1] + x[n / 2]);
}

static hg_model_config config(const shape *s)
{
    uint32_t d = (uint32_t)s->d, heads = d >= 64 ? d / 64 : 1;
    hg_model_config c = {.arch = "llama",
                         .n_layers = (uint32_t)s->n_layers,
                         .d_model = d,
                         .n_heads = heads,
                         .n_kv_heads = heads,
                         .d_head = d / heads,
                         .d_ff = (d * 8 / 3 + 63) / 64 * 64,
                         .n_vocab = (uint32_t)s->n_vocab,
                         .n_ctx = (uint32_t)s->t,
                         .norm_eps = 1e-5f,
                         .rope_theta = 1e4f,
                         .tie_embeddings = true,
                         .bos_id = -1,
                         .eos_id = -1,
                         .pad_id = -1};
    return c;
}

typedef struct figures {
    double step_s, gflops, rate, share, tokens_per_s, peak_gb, params;
} figures;

/* Steps, with the rate of products measured before and after each; shares and times are medians. */
static hg_status run_steps(hg_learner *l, const shape *s, figures *f, hg_err *e)
{
    double seconds[MAX_STEPS], rates[MAX_STEPS], shares[MAX_STEPS];
    double tokens = (double)(s->n_rows * s->t), flop = tokens * hg_flops_a_token(l->model, s->t);
    hg_machine_rates r;
    hg_step_result out;
    HG_TRY(hg_learner_step(l, 0, 1e-3, &out, e)); /* takes the memory */
    f->peak_gb = (double)hg_peak_rss() / 1e9;
    for (size_t i = 0; i < s->n_steps; i++) {
        HG_TRY(hg_machine_measure(l->rt, 0.6, &r, e));
        double start = hg_seconds();
        HG_TRY(hg_learner_step(l, (i + 1) * s->n_rows, 1e-3, &out, e));
        seconds[i] = hg_seconds() - start;
        rates[i] = l->compute == HG_COMPUTE_BF16 ? r.bf16_gflops : r.f32_gflops;
        shares[i] = flop / seconds[i] / 1e9 / rates[i];
        fprintf(stderr, "step %zu: %.3f s, %.0f of %.0f GFLOP/s, loss %.3f\n", i + 1, seconds[i],
                flop / seconds[i] / 1e9, rates[i], out.loss);
    }
    f->step_s = median(seconds, s->n_steps);
    f->rate = median(rates, s->n_steps);
    f->share = median(shares, s->n_steps);
    f->gflops = flop / f->step_s / 1e9;
    f->tokens_per_s = tokens / f->step_s;
    return HG_OK;
}

static hg_status measure(const shape *s, hg_runtime *rt, figures *f, hg_err *e)
{
    noise n = {.source = {.seq_len = s->t, .n_rows = 1 << 20, .row = noise_row},
               .n_vocab = (uint32_t)s->n_vocab};
    hg_model_config c = config(s);
    hg_model *m = NULL;
    hg_learner l;
    hg_recipe r;
    hg_arena mem;
    hg_arena_init(&mem, 0);
    memset(&l, 0, sizeof l);
    hg_status status = hg_recipe_init(&r, HG_STAGE_TRAIN, e);
    r.batch_size = (int64_t)s->n_rows;
    r.micro_batch = (int64_t)s->micro;
    if (status == HG_OK) status = hg_model_new(&m, &c, 1, e);
    if (status == HG_OK)
        status = hg_learner_init(&l, m, rt, hg_precision_compute(HG_PRECISION_AUTO, rt), &n.source,
                                 &r, STEP_BLOCK, &mem, e);
    if (status == HG_OK) status = run_steps(&l, s, f, e);
    if (status == HG_OK) f->params = (double)hg_model_count(m);
    hg_learner_free(&l);
    hg_model_free(m);
    hg_recipe_free(&r);
    hg_arena_free(&mem);
    return status;
}

/* The peer's tokens a second on the same shape, or 0 where it cannot be had. */
static double peer(const shape *s)
{
    char command[4096], path[2048], line[128] = "";
    double v = 0;
    (void)snprintf(path, sizeof path, "%s", __FILE__);
    char *slash = strrchr(path, '/');
    if (slash == NULL) return 0;
    *slash = '\0';
    (void)snprintf(command, sizeof command,
                   "/usr/bin/python3 '%s/peer_train.py' %zu %zu %zu %zu %zu 2>/dev/null", path,
                   s->n_layers, s->d, s->n_vocab, s->n_rows, s->t);
    FILE *p = popen(command, "r");
    if (p == NULL) return 0;
    if (fgets(line, sizeof line, p) != NULL) v = strtod(line, NULL);
    (void)pclose(p);
    return v;
}

static void print(const figures *f, double torch)
{
    printf("%-28s %12s %12s %12s %8s %8s\n", "", "ours", "peer", "limit", "ratio", "goal");
    printf("%-28s %12.0f %12s %12.0f %8.3f %8.3f\n", "GFLOP/s of products", f->gflops, "-", f->rate,
           f->share, 0.333);
    if (torch > 0)
        printf("%-28s %12.0f %12.0f %12s %8.3f %8s\n", "tokens/s (torch 1.13 BF16)",
               f->tokens_per_s, torch, "-", f->tokens_per_s / torch, "1");
    else
        printf("%-28s %12.0f\n", "tokens/s", f->tokens_per_s);
    printf("%-28s %12.2f\n%-28s %12.1f\n", "peak memory, GB", f->peak_gb, "parameters, M",
           f->params / 1e6);
    printf("{\"bench\": \"train\", \"results\": [{\"name\": \"share of the product rate\", "
           "\"unit\": \"GFLOP/s\", "
           "\"ours\": %.1f, \"peer\": null, \"limit\": %.1f, \"ratio\": %.4f, \"goal\": 0.333}, "
           "{\"name\": \"speed\", \"unit\": \"tokens/s\", \"ours\": %.0f, \"peer\": ",
           f->gflops, f->rate, f->share, f->tokens_per_s);
    if (torch > 0)
        printf("%.0f, \"limit\": null, \"ratio\": %.4f, \"goal\": 1}, ", torch,
               f->tokens_per_s / torch);
    else
        printf("null, \"limit\": null, \"ratio\": null, \"goal\": null}, ");
    printf("{\"name\": \"peak memory\", \"unit\": \"GB\", \"ours\": %.3f, \"peer\": null, "
           "\"limit\": null, "
           "\"ratio\": null, \"goal\": null}]}\n",
           f->peak_gb);
}

static size_t option(int argc, char **argv, int i, size_t otherwise)
{
    size_t v = i < argc ? (size_t)strtoull(argv[i], NULL, 10) : otherwise;
    return v > 0 ? v : otherwise;
}

int main(int argc, char **argv)
{
    shape s = {option(argc, argv, 1, 6),  option(argc, argv, 2, 384), option(argc, argv, 3, 8192),
               option(argc, argv, 4, 32), option(argc, argv, 5, 256), option(argc, argv, 6, 6),
               option(argc, argv, 7, 0)};
    hg_err e = {0};
    hg_runtime *rt = NULL;
    figures f = {0};
    if (s.n_steps > MAX_STEPS) s.n_steps = MAX_STEPS;
    hg_status status = hg_runtime_new(&rt, 0, HG_N_ISA, &e);
    if (status == HG_OK) status = measure(&s, rt, &f, &e);
    hg_runtime_free(rt);
    if (status != HG_OK) {
        fprintf(stderr, "bench_train: %s\n", e.msg);
        return 1;
    }
    print(&f, argc <= 8 || *argv[8] != '0' ? peer(&s) : 0);
    return 0;
}
