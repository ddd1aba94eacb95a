/* Products with quantised weights, type by type, in a layer's shape: one row as in decoding, a few
 * as with several sessions, many as in reading a prompt. Sixteen matrices take turns so that none
 * stays in a cache. The limit of one row is reading the same bytes; that of many is multiplying
 * int8 alone from registers. Arguments: threads (0: all), the instruction set (at most "avx512"),
 * then types (all without any). */
#include "bench.h"

#include "base/rng.h"
#include "kernels/blocks.h"
#include "kernels/measure.h"
#include "tensor/matmul.h"

#include <string.h>

enum { N_OUT = 8192, N_IN = 2048, N_MATRICES = 16, MAX_M = 512, REPEATS = 7 };

typedef struct run {
    hg_runtime *rt;
    hg_type type;
    char *packed;
    size_t bytes; /* of one matrix */
    float *x, *y, *sums;
    size_t m, n_matrices;
    bool failed;
} run;

static void multiply(void *ctx)
{
    run *r = ctx;
    for (size_t i = 0; i < r->n_matrices; i++)
        r->failed |= hg_matmul_packed(r->rt, r->type, r->y, r->x, r->packed + i * r->bytes, r->m,
                                      N_OUT, N_IN, NULL) != HG_OK;
}

static void read_some(void *ctx, size_t begin, size_t end, int thread)
{
    const run *r = ctx;
    const void *at = r->packed + begin;
    r->sums[thread] += r->rt->k.sum_f32(at, (end - begin) / sizeof(float));
}

static void read_all(void *ctx)
{
    run *r = ctx;
    hg_pool_run(r->rt->pool, r->bytes * N_MATRICES, (size_t)1 << 20, read_some, r);
}

/* Random bytes that are a usual number as a float16 or bfloat16 scale, too: subnormal ones cost. */
static void *random_blocks(size_t bytes, hg_rng *r)
{
    unsigned char *p = hg_alloc(1, bytes);
    for (size_t i = 0; p != NULL && i < bytes; i++)
        p[i] = (unsigned char)(0x28 + hg_rng_below(r, 8));
    return p;
}

static bool prepare(run *r, hg_arena *mem)
{
    hg_rng rng;
    hg_rng_init(&rng, 1, 0);
    r->bytes = hg_packed_size(r->rt, r->type, N_OUT, N_IN);
    r->packed = hg_arena_raw(mem, r->bytes, N_MATRICES);
    r->x = HG_NEW_RAW(mem, float, (size_t)MAX_M *N_IN);
    r->y = HG_NEW_RAW(mem, float, (size_t)MAX_M *N_OUT);
    r->sums = HG_NEW(mem, float, (size_t)r->rt->n_threads);
    void *blocks = random_blocks(hg_type_bytes(r->type, (size_t)N_OUT * N_IN), &rng);
    if (r->packed == NULL || r->x == NULL || r->y == NULL || r->sums == NULL || blocks == NULL)
        return false;
    for (size_t i = 0; i < (size_t)MAX_M * N_IN; i++) r->x[i] = (float)hg_rng_unit(&rng) - 0.5f;
    hg_matrix w = {blocks, r->type, N_IN, 1};
    double start = hg_seconds();
    for (size_t i = 0; i < N_MATRICES; i++)
        hg_pack_weight(r->rt, r->type, r->packed + i * r->bytes, &w, N_OUT, N_IN);
    printf("%s: packed at %.2f GB/s\n", hg_type_name(r->type),
           1e-9 * N_MATRICES * (double)r->bytes / (hg_seconds() - start));
    hg_free(blocks);
    return true;
}

static void time_type(bench *out, run *r, char names[4][40])
{
    static const size_t rows[] = {1, 8, 32, 512};
    double gop = 2e-9 * N_OUT * N_IN, limit = (double)NAN, s[2];
    (void)hg_measure_product(r->rt, r->type, 0.2, &limit, NULL);
    for (size_t i = 0; i < 4; i++) {
        bench_fn *fn[2] = {multiply, i == 0 ? read_all : NULL};
        r->m = rows[i];
        r->n_matrices = i < 3 ? N_MATRICES : 2;
        bench_time(fn, r, i == 0 ? 2 : 1, REPEATS, s);
        double gb = 1e-9 * (double)(r->bytes * N_MATRICES), many = (double)(r->m * r->n_matrices);
        (void)snprintf(names[i], 40, "%s, %zu rows", hg_type_name(r->type), r->m);
        if (i == 0)
            bench_add(out, (bench_row){names[i], "GB/s", gb / s[0], (double)NAN, gb / s[1], 0.95});
        else
            bench_add(out, (bench_row){names[i], "GOP/s", gop * many / s[0], (double)NAN, limit,
                                       i == 3 ? 0.6 : (double)NAN});
    }
}

int main(int argc, char **argv)
{
    static const hg_type types[] = {HG_Q8_0,  HG_Q4_0,   HG_Q4_K,   HG_Q6_K, HG_Q5_K,
                                    HG_Q4_1,  HG_Q5_0,   HG_Q5_1,   HG_Q2_K, HG_Q3_K,
                                    HG_MXFP4, HG_IQ4_NL, HG_IQ4_XS, HG_BF16, HG_F16};
    static char names[HG_N_TYPES][4][40];
    static bench out = {.name = "quant"};
    hg_err e = {0};
    hg_runtime *rt = NULL;
    hg_isa cap = HG_N_ISA;
    int n_threads = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0;
    bool ok = argc < 3 || hg_isa_parse(argv[2], &cap);
    if (!ok) (void)hg_fail(&e, HG_E_ARG, "%s is no instruction set", argv[2]);
    ok = ok && hg_runtime_new(&rt, n_threads, cap, &e) == HG_OK;
    for (size_t t = 0; ok && t < sizeof types / sizeof types[0]; t++) {
        bool wanted = argc < 4;
        for (int i = 3; i < argc; i++) wanted |= strcmp(argv[i], hg_type_name(types[t])) == 0;
        if (!wanted) continue;
        run r = {.rt = rt, .type = types[t]};
        hg_arena mem;
        hg_arena_init(&mem, 0);
        ok = prepare(&r, &mem);
        if (ok) time_type(&out, &r, names[t]);
        ok = ok && !r.failed;
        hg_arena_free(&mem);
    }
    if (ok)
        bench_end(&out);
    else
        fprintf(stderr, "bench_quant: %s\n", e.msg[0] != '\0' ? e.msg : "no memory");
    hg_runtime_free(rt);
    return ok ? 0 : 1;
}
