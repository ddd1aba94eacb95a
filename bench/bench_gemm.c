/* Matrix products in the shapes of training (forward Y = X W^T, input gradient dX = dY W, weight
 * gradient dW += dY^T X) and of decoding one token, against oneDNN where it is installed, else
 * OpenBLAS (float32 only). Ours begins with float32 matrices and packs them in the measured time;
 * oneDNN's bf16 product is given matrices that are bf16 already. The limit of a product is the rate
 * of our tile in the caches, that of decoding is reading the same bytes. */
#include "bench.h"

#include "base/rng.h"
#include "tensor/matmul.h"

#include <dlfcn.h>
#include <string.h>

enum { REPEATS = 9 };

/* ---- peers ---- */

typedef int dnnl_sgemm_fn(char trans_a, char trans_b, int64_t m, int64_t n, int64_t k, float alpha,
                          const float *a, int64_t lda, const float *b, int64_t ldb, float beta,
                          float *c, int64_t ldc);
typedef int dnnl_bf16_fn(char trans_a, char trans_b, int64_t m, int64_t n, int64_t k, float alpha,
                         const hg_bf16 *a, int64_t lda, const hg_bf16 *b, int64_t ldb, float beta,
                         float *c, int64_t ldc);
typedef void cblas_sgemm_fn(int order, int trans_a, int trans_b, int m, int n, int k, float alpha,
                            const float *a, int lda, const float *b, int ldb, float beta, float *c,
                            int ldc);

typedef struct peers {
    dnnl_sgemm_fn *f32;
    dnnl_bf16_fn *bf16;
    cblas_sgemm_fn *blas;
} peers;

static void *open_first(const char *const *names)
{
    void *lib = NULL;
    for (; lib == NULL && *names != NULL; names++) lib = dlopen(*names, RTLD_NOW | RTLD_LOCAL);
    return lib;
}

/* An object pointer is no function pointer to the language, but is one to POSIX. */
static void find(void *lib, const char *name, void *fn)
{
    void *p = lib == NULL ? NULL : dlsym(lib, name);
    memcpy(fn, &p, sizeof p);
}

static peers find_peers(void)
{
    static const char *const dnnl[] = {"libdnnl.so.3", "libdnnl.so.2", NULL};
    static const char *const blas[] = {"libopenblas.so.0", NULL};
    peers p = {0};
    void *lib = open_first(dnnl);
    find(lib, "dnnl_sgemm", &p.f32);
    find(lib, "dnnl_gemm_bf16bf16f32", &p.bf16);
    find(p.f32 == NULL ? open_first(blas) : NULL, "cblas_sgemm", &p.blas);
    return p;
}

/* ---- one product ---- */

typedef struct product {
    hg_runtime *rt;
    peers p;
    hg_compute compute;
    size_t m, n, k;
    bool add, a_is_turned, b_is_turned; /* turned: stored with the other index near */
    float *a, *b, *c;
    hg_bf16 *half_a, *half_b;
    bool failed;
} product;

static void ours(void *ctx)
{
    product *p = ctx;
    hg_matrix a = {p->a, HG_F32, p->a_is_turned ? 1 : p->k, p->a_is_turned ? p->m : 1};
    hg_matrix b = {p->b, HG_F32, p->b_is_turned ? 1 : p->n, p->b_is_turned ? p->k : 1};
    p->failed |= hg_matmul(p->rt, p->compute, p->c, p->n, &a, &b, p->m, p->n, p->k, p->add, NULL);
}

static void theirs(void *ctx)
{
    product *p = ctx;
    char ta = p->a_is_turned ? 'T' : 'N', tb = p->b_is_turned ? 'T' : 'N';
    int64_t m = (int64_t)p->m, n = (int64_t)p->n, k = (int64_t)p->k;
    int64_t lda = p->a_is_turned ? m : k, ldb = p->b_is_turned ? k : n;
    float beta = p->add ? 1.0f : 0.0f;
    if (p->compute == HG_COMPUTE_BF16)
        p->failed |= p->p.bf16(ta, tb, m, n, k, 1, p->half_a, lda, p->half_b, ldb, beta, p->c, n);
    else if (p->p.f32 != NULL)
        p->failed |= p->p.f32(ta, tb, m, n, k, 1, p->a, lda, p->b, ldb, beta, p->c, n);
    else /* 101: row-major, 111 and 112: as it is and transposed */
        p->p.blas(101, p->a_is_turned ? 112 : 111, p->b_is_turned ? 112 : 111, (int)m, (int)n,
                  (int)k, 1, p->a, (int)lda, p->b, (int)ldb, beta, p->c, (int)n);
}

static float *random_matrix(hg_arena *mem, size_t n, hg_rng *r)
{
    float *x = HG_NEW_RAW(mem, float, n);
    for (size_t i = 0; x != NULL && i < n; i++) x[i] = (float)hg_rng_unit(r) - 0.5f;
    return x;
}

static hg_bf16 *narrowed(const hg_runtime *rt, hg_arena *mem, const float *x, size_t n)
{
    hg_bf16 *y = HG_NEW_RAW(mem, hg_bf16, n);
    if (x != NULL && y != NULL) rt->k.f32_to_bf16(y, x, n);
    return y;
}

/* Fills the matrices of p's shape and times both families. False when there is no memory. */
static bool time_product(bench *out, product *p, const char *const name[HG_N_COMPUTE],
                         const hg_machine_rates *limit)
{
    hg_arena mem;
    hg_rng r;
    hg_arena_init(&mem, 0);
    hg_rng_init(&r, 1, 0);
    p->a = random_matrix(&mem, p->m * p->k, &r);
    p->b = random_matrix(&mem, p->k * p->n, &r);
    p->c = random_matrix(&mem, p->m * p->n, &r);
    p->half_a = narrowed(p->rt, &mem, p->a, p->m * p->k);
    p->half_b = narrowed(p->rt, &mem, p->b, p->k * p->n);
    bool ok =
        p->a != NULL && p->b != NULL && p->c != NULL && p->half_a != NULL && p->half_b != NULL;
    for (int c = HG_N_COMPUTE - 1; ok && c >= 0; c--) {
        p->compute = (hg_compute)c;
        bool is_bf16 = c == HG_COMPUTE_BF16;
        bool has_peer = is_bf16 ? p->p.bf16 != NULL : p->p.f32 != NULL || p->p.blas != NULL;
        bench_fn *fn[2] = {ours, has_peer ? theirs : NULL};
        double s[2], gflop = 2e-9 * (double)p->m * (double)p->n * (double)p->k;
        bench_time(fn, p, 2, REPEATS, s);
        bench_add(out, (bench_row){name[c], "GFLOP/s", gflop / s[0], gflop / s[1],
                                   is_bf16 ? limit->bf16_gflops : limit->f32_gflops,
                                   has_peer ? 0.9 : 0.8});
    }
    hg_arena_free(&mem);
    return ok && !p->failed;
}

/* ---- decoding one token: a product with one row ---- */

typedef struct decoding {
    hg_runtime *rt;
    float *x, *y, *sums;
    char *packed;
    size_t n_out, n_in, bytes;
    bool failed;
} decoding;

static void decode(void *ctx)
{
    decoding *d = ctx;
    d->failed |= hg_matmul_packed(d->rt, HG_BF16, d->y, d->x, d->packed, 1, d->n_out, d->n_in,
                                  NULL) != HG_OK;
}

static void read_some(void *ctx, size_t begin, size_t end, int thread)
{
    const decoding *d = ctx;
    const void *at = d->packed + begin;
    d->sums[thread] += d->rt->k.sum_f32(at, (end - begin) / sizeof(float));
}

static void read_all(void *ctx)
{
    decoding *d = ctx;
    hg_pool_run(d->rt->pool, d->bytes, (size_t)1 << 20, read_some, d);
}

static bool time_decoding(bench *out, hg_runtime *rt)
{
    decoding d = {.rt = rt, .n_out = 32768, .n_in = 4096};
    hg_arena mem;
    hg_rng r;
    double s[2];
    hg_arena_init(&mem, 0);
    hg_rng_init(&r, 2, 0);
    d.bytes = hg_packed_size(rt, HG_BF16, d.n_out, d.n_in);
    d.packed = hg_arena_alloc(&mem, d.bytes, 1);
    d.x = random_matrix(&mem, d.n_in, &r);
    d.y = random_matrix(&mem, d.n_out, &r);
    d.sums = HG_NEW(&mem, float, (size_t)rt->n_threads);
    bool ok = d.packed != NULL && d.x != NULL && d.y != NULL && d.sums != NULL;
    if (ok) {
        bench_fn *fn[2] = {decode, read_all};
        double gb = (double)d.bytes * 1e-9;
        bench_time(fn, &d, 2, 4 * REPEATS, s);
        bench_add(out, (bench_row){"1 x 32768 x 4096 packed bf16", "GB/s", gb / s[0], (double)NAN,
                                   gb / s[1], 0.85});
    }
    hg_arena_free(&mem);
    return ok && !d.failed;
}

/* ---- the shapes ---- */

typedef struct shape {
    size_t n_tok, n_out, n_in;
} shape;

static const shape shapes[] = {
    {2048, 2048, 2048}, {8192, 384, 384},   {8192, 1024, 384},
    {8192, 384, 1024},  {8192, 1024, 1024}, {8192, 1536, 1536},
};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0], N_LAYOUTS = 3 };

static product product_of(const shape *s, int layout)
{
    switch (layout) {
    case 0: /* Y = X W^T */
        return (product){.m = s->n_tok, .n = s->n_out, .k = s->n_in, .b_is_turned = true};
    case 1: /* dX = dY W */
        return (product){.m = s->n_tok, .n = s->n_in, .k = s->n_out};
    default: /* dW += dY^T X */
        return (product){
            .m = s->n_out, .n = s->n_in, .k = s->n_tok, .add = true, .a_is_turned = true};
    }
}

int main(void)
{
    static const char *const layout[N_LAYOUTS] = {"forward", "dX", "dW"};
    static char names[N_SHAPES][N_LAYOUTS][HG_N_COMPUTE][40];
    static bench out = {.name = "gemm"};
    hg_err e = {0};
    hg_runtime *rt = NULL;
    hg_machine_rates limit;
    peers p = find_peers();
    bool ok = hg_runtime_new(&rt, 0, HG_N_ISA, &e) == HG_OK &&
              hg_machine_measure(rt, 3, &limit, &e) == HG_OK;
    if (ok)
        printf("%d threads, %s; peer: %s\n", rt->n_threads, hg_isa_name(rt->k.isa),
               p.f32 != NULL    ? "oneDNN"
               : p.blas != NULL ? "OpenBLAS"
                                : "none is installed");
    for (int s = 0; ok && s < N_SHAPES; s++)
        for (int l = 0; ok && l < N_LAYOUTS; l++) {
            product one = product_of(&shapes[s], l);
            const char *name[HG_N_COMPUTE];
            for (int c = 0; c < HG_N_COMPUTE; c++) {
                (void)snprintf(names[s][l][c], sizeof names[s][l][c], "%zu x %zu x %zu %s %s",
                               shapes[s].n_tok, shapes[s].n_out, shapes[s].n_in, layout[l],
                               c == HG_COMPUTE_BF16 ? "bf16" : "f32");
                name[c] = names[s][l][c];
            }
            one.rt = rt;
            one.p = p;
            ok = time_product(&out, &one, name, &limit);
        }
    if (ok) ok = time_decoding(&out, rt);
    if (ok)
        bench_end(&out);
    else
        fprintf(stderr, "bench_gemm: %s\n", e.msg[0] != '\0' ? e.msg : "no memory");
    hg_runtime_free(rt);
    return ok ? 0 : 1;
}
