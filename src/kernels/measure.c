/* What the machine can do at most: reading memory, and multiplying matrices that stay in each
 * core's cache. Speeds of training and of answering are told as shares of these. Each figure is the
 * median of several rounds, because a neighbour on the same host disturbs some of them. */
#include "base/clock.h"
#include "kernels/measure.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_ROUNDS = 64, PANELS = 8 };

static const size_t READ_BYTES = (size_t)256 << 20, READ_GRAIN = (size_t)1 << 20;

/* One round of work on all threads; `work` is what it does, in the unit of the rate. */
typedef struct task {
    hg_runtime *rt;
    hg_pool_fn *fn;
    size_t n, grain;
    double work;
    const float *data;          /* reading */
    const hg_gemm_kernel *gemm; /* products: panels of A and B, and C, in each thread's scratch */
    float *sums;                /* [n_threads], so that no work is in vain */
} task;

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Work a second: the median over rounds that take about `seconds` together. */
static double rate_of(task *t, double seconds)
{
    double rate[MAX_ROUNDS], start = hg_seconds();
    size_t n = 0;
    hg_pool_run(t->rt->pool, t->n, t->grain, t->fn, t); /* warms caches and wakes threads */
    do {
        double begin = hg_seconds();
        hg_pool_run(t->rt->pool, t->n, t->grain, t->fn, t);
        double took = hg_seconds() - begin;
        rate[n++] = t->work / (took > 1e-9 ? took : 1e-9);
    } while (n < MAX_ROUNDS && (n < 3 || hg_seconds() - start < seconds));
    qsort(rate, n, sizeof rate[0], by_value);
    return rate[n / 2];
}

static void read_chunk(void *ctx, size_t begin, size_t end, int thread)
{
    const task *t = ctx;
    t->sums[thread] += t->rt->k.sum_f32(t->data + begin, end - begin);
}

/* The task with room for every thread's sum, which the caller frees. */
static hg_status task_init(task *t, hg_runtime *rt, hg_err *e)
{
    *t = (task){.rt = rt, .sums = hg_alloc((size_t)rt->n_threads, sizeof *t->sums)};
    return t->sums != NULL ? HG_OK : hg_fail(e, HG_E_NOMEM, "no memory to measure the machine");
}

hg_status hg_measure_read(hg_runtime *rt, double seconds, double *gbs, hg_err *e)
{
    hg_arena mem;
    task t;
    HG_TRY(task_init(&t, rt, e));
    hg_arena_init(&mem, 0);
    t.data = hg_arena_alloc(&mem, READ_BYTES, 1);
    if (t.data != NULL) {
        t.fn = read_chunk;
        t.n = READ_BYTES / sizeof(float);
        t.grain = READ_GRAIN / sizeof(float);
        t.work = (double)READ_BYTES * 1e-9;
        *gbs = rate_of(&t, seconds);
    }
    hg_free(t.sums);
    hg_status s =
        t.data != NULL ? HG_OK : hg_fail(e, HG_E_NOMEM, "measuring needs 256 MiB of free memory");
    hg_arena_free(&mem);
    return s;
}

static size_t scratch_size(const hg_gemm_kernel *g)
{
    return (g->mr * g->a_size + g->nr * g->b_size) * PANELS * HG_GEMM_KC +
           g->mr * g->nr * sizeof(float);
}

static void multiply(void *ctx, size_t begin, size_t end, int thread)
{
    const task *t = ctx;
    const hg_gemm_kernel *g = t->gemm;
    size_t a_size = g->mr * HG_GEMM_KC * g->a_size, b_size = g->nr * HG_GEMM_KC * g->b_size;
    char *a = t->rt->scratch[thread].p, *b = a + PANELS * a_size;
    float *c = (float *)(b + PANELS * b_size);
    hg_gemm_enter(g);
    for (size_t i = begin; i < end; i++)
        for (size_t j = 0; j < PANELS; j++)
            for (size_t r = 0; r < PANELS; r++)
                g->tile(c, g->nr, a + r * a_size, b + j * b_size, HG_GEMM_KC, g->mr, g->nr, true);
    hg_gemm_leave(g);
    t->sums[thread] += c[0];
}

static hg_status make_panels(hg_runtime *rt, const hg_gemm_kernel *g, hg_err *e)
{
    for (int i = 0; i < rt->n_threads; i++) {
        void *p = hg_runtime_scratch(rt, i, scratch_size(g));
        if (p == NULL) return hg_fail(e, HG_E_NOMEM, "no memory to measure matrix products");
        memset(p, 0, scratch_size(g));
    }
    return HG_OK;
}

enum { SPINS = 16, SPIN_ROUNDS = 4096 };

static void spin(void *ctx, size_t begin, size_t end, int thread)
{
    const task *t = ctx;
    for (size_t i = begin; i < end; i++) t->sums[thread] += (float)t->rt->k.peak_i8(SPIN_ROUNDS);
}

static hg_status measure_i8(hg_runtime *rt, double seconds, double *gops, hg_err *e)
{
    task t;
    HG_TRY(task_init(&t, rt, e));
    t.fn = spin;
    t.n = SPINS * (size_t)rt->n_threads;
    t.grain = 1;
    t.work = 2e-9 * (double)t.n * SPIN_ROUNDS * HG_PEAK_I8;
    *gops = rate_of(&t, seconds);
    hg_free(t.sums);
    return HG_OK;
}

hg_status hg_measure_product(hg_runtime *rt, hg_type type, double seconds, double *gflops,
                             hg_err *e)
{
    const hg_gemm_kernel *g = &rt->k.gemm[type == HG_BF16 ? HG_COMPUTE_BF16 : HG_COMPUTE_F32];
    task t;
    if (hg_type_is_block(type)) return measure_i8(rt, seconds, gflops, e);
    HG_TRY(make_panels(rt, g, e));
    HG_TRY(task_init(&t, rt, e));
    t.gemm = g;
    t.fn = multiply;
    t.n = 16 * (size_t)rt->n_threads;
    t.grain = 1;
    t.work = 2e-9 * (double)(t.n * PANELS * PANELS * g->mr * g->nr * HG_GEMM_KC);
    *gflops = rate_of(&t, seconds);
    hg_free(t.sums);
    return HG_OK;
}

hg_status hg_machine_measure(hg_runtime *rt, double seconds, hg_machine_rates *out, hg_err *e)
{
    *out = (hg_machine_rates){0};
    HG_TRY(hg_measure_read(rt, seconds / 4, &out->read_gbs, e));
    HG_TRY(hg_measure_product(rt, HG_F32, seconds / 4, &out->f32_gflops, e));
    HG_TRY(hg_measure_product(rt, HG_BF16, seconds / 4, &out->bf16_gflops, e));
    return hg_measure_product(rt, HG_Q8_0, seconds / 4, &out->int8_gops, e);
}
