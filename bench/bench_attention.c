/* Attention against its limits. Decoding a token reads the cache once, so its limit is the memory's
 * read bandwidth: reading the same caches plainly and attending over them take turns, and enough
 * layers of cache are walked over that none is found in the CPU's caches. Reading a prompt is
 * matrix products, so its limit is what the kernels' own products reach on this machine. The shape
 * is that of Llama 3.2 1B: 32 heads of 64 on 8 key heads. An argument names the one type to
 * measure.
 */
#include "bench.h"
#include "kernels/measure.h"
#include "tensor/ops.h"

#include <higgins/infer.h>
#include <string.h>

enum { HEADS = 32, KV_HEADS = 8, D = 64, CHUNK = 512, REPEATS = 7, MAX_LAYERS = 512 };
static const size_t POOL_BYTES = 384u << 20; /* of cache to walk over */
static const double GOAL_DECODE = 1 / 1.2, GOAL_PREFILL = 0.6;

typedef struct work {
    hg_runtime *rt;
    hg_arena mem, step;
    hg_kv_shape shape;
    hg_kv_layer layer[MAX_LAYERS];
    size_t n_layers, n_ctx, rows;
    hg_tensor q, k, v;
    float *sum; /* keeps the reads from being dropped */
} work;

static hg_tensor rows_of(hg_arena *mem, size_t rows, size_t cols)
{
    hg_tensor t = {.type = HG_F32, .n_dims = 2, .dim = {rows, cols}};
    float *x = HG_NEW(mem, float, rows *cols);
    for (size_t i = 0; x != NULL && i < rows * cols; i++)
        x[i] = (float)((i * 2654435761u >> 8) % 2001) / 1000.0f - 1.0f;
    t.data = x;
    return t;
}

static void attend(work *w, const hg_kv_layer *kv, size_t pos, size_t n)
{
    hg_graph g;
    hg_span span = {.n = n, .pos0 = pos, .kv = kv};
    const hg_attention a = {.n_heads = HEADS,
                            .n_kv_heads = KV_HEADS,
                            .d_head = D,
                            .scale = 0.125f,
                            .spans = &span,
                            .n_spans = 1};
    hg_tensor q = w->q, k = w->k, v = w->v;
    q.dim[0] = k.dim[0] = v.dim[0] = n;
    hg_arena_reset(&w->step);
    hg_graph_init(&g, w->rt, &w->step, HG_COMPUTE_F32, false);
    (void)hg_op_attention(&g, &q, &k, &v, &a);
    if (g.status != HG_OK) {
        fprintf(stderr, "bench_attention: %s\n", g.err.msg);
        exit(1);
    }
}

static void decode(void *ctx)
{
    work *w = ctx;
    for (size_t i = 0; i < w->n_layers; i++) attend(w, &w->layer[i], w->n_ctx - 1, 1);
}

static void prefill(void *ctx)
{
    work *w = ctx;
    attend(w, &w->layer[0], w->n_ctx - w->rows, w->rows);
}

enum { READ_CHUNK = 1 << 16 };

static void read_some(void *ctx, size_t begin, size_t end, int thread)
{
    work *w = ctx;
    const float *p = w->layer[0].tiles;
    (void)thread;
    w->sum[begin / READ_CHUNK] = w->rt->k.sum_f32(p + begin, end - begin);
}

static size_t pool_floats(const work *w)
{
    return w->n_layers * w->layer[0].n_tiles * w->shape.tile_bytes / sizeof(float);
}

static void read_all(void *ctx)
{
    work *w = ctx;
    hg_pool_run(w->rt->pool, pool_floats(w), READ_CHUNK, read_some, w);
}

/* Caches of n_ctx positions (whole tiles), all filled. */
static bool make(work *w, hg_type type, size_t n_ctx, size_t layers, size_t rows)
{
    hg_arena_reset(&w->mem);
    w->n_ctx = n_ctx;
    w->rows = rows;
    (void)hg_kv_shape_of(&w->shape, type, KV_HEADS, D);
    const size_t tiles = n_ctx / HG_KV_TILE, bytes = tiles * w->shape.tile_bytes;
    w->n_layers = layers > 0 ? layers : POOL_BYTES / bytes;
    if (w->n_layers > MAX_LAYERS) w->n_layers = MAX_LAYERS;
    if (w->n_layers < 2 && layers == 0) w->n_layers = 2;
    const size_t most = rows > CHUNK ? rows : CHUNK;
    w->q = rows_of(&w->mem, most, (size_t)HEADS * D);
    w->k = rows_of(&w->mem, most, (size_t)KV_HEADS * D);
    w->v = rows_of(&w->mem, most, (size_t)KV_HEADS * D);
    char *all = hg_arena_raw(&w->mem, w->n_layers, bytes);
    w->sum = HG_NEW(&w->mem, float, w->n_layers *bytes / sizeof(float) / READ_CHUNK + 1);
    if (w->q.data == NULL || w->k.data == NULL || w->v.data == NULL || all == NULL ||
        w->sum == NULL)
        return false;
    for (size_t i = 0; i < w->n_layers; i++) {
        w->layer[i] = (hg_kv_layer){.type = type, .n_tiles = tiles, .tiles = all + i * bytes};
        for (size_t p = 0; p < n_ctx; p++) {
            hg_kv_enter(&w->shape, &w->layer[i], p, 1);
            if (i == 0)
                hg_kv_put(&w->rt->k, &w->shape, &w->layer[i], p,
                          (float *)w->k.data + p % CHUNK * KV_HEADS * D,
                          (float *)w->v.data + p % CHUNK * KV_HEADS * D);
        }
        if (i > 0) memcpy(w->layer[i].tiles, w->layer[0].tiles, bytes);
    }
    return true;
}

static void bench_decode(bench *b, work *w, hg_type type, size_t n_ctx)
{
    static char names[BENCH_MAX_ROWS][48];
    bench_fn *const fn[] = {decode, read_all};
    double seconds[2];
    if (!make(w, type, n_ctx, 0, 1)) return;
    bench_time(fn, w, 2, REPEATS, seconds);
    const double bytes = (double)pool_floats(w) * sizeof(float) / 1e9;
    (void)snprintf(names[b->n], sizeof names[0], "decode %zuk %s", n_ctx / 1024,
                   hg_type_name(type));
    bench_add(b, (bench_row){names[b->n], "GB/s", bytes / seconds[0], NAN, bytes / seconds[1],
                             GOAL_DECODE});
}

static void bench_prefill(bench *b, work *w, hg_type type, size_t n_ctx, double limit)
{
    static char names[BENCH_MAX_ROWS][48];
    bench_fn *const fn[] = {prefill};
    double seconds;
    if (!make(w, type, n_ctx, 1, CHUNK)) return;
    bench_time(fn, w, 1, REPEATS, &seconds);
    const double keys = (double)n_ctx - CHUNK / 2.0;
    (void)snprintf(names[b->n], sizeof names[0], "prefill 512 rows at %zuk %s", n_ctx / 1024,
                   hg_type_name(type));
    if (n_ctx < 1024)
        (void)snprintf(names[b->n], sizeof names[0], "prefill 512 rows %s", hg_type_name(type));
    bench_add(b, (bench_row){names[b->n], "GFLOP/s", 4 * keys * CHUNK * HEADS * D / seconds / 1e9,
                             NAN, limit, GOAL_PREFILL});
}

int main(int argc, char **argv)
{
    static const hg_type types[] = {HG_BF16, HG_F16, HG_Q8_0, HG_F32};
    static const size_t lengths[] = {1024, 8192, 32768}, prompts[] = {512, 8192};
    static work w;
    static bench b = {.name = "attention"};
    hg_machine_rates rates;
    hg_err e = {0};
    if (hg_runtime_new(&w.rt, 0, HG_N_ISA, &e) != HG_OK ||
        hg_machine_measure(w.rt, 2.0, &rates, &e) != HG_OK) {
        fprintf(stderr, "bench_attention: %s\n", e.msg);
        return 1;
    }
    hg_arena_init(&w.mem, 0);
    hg_arena_init(&w.step, 0);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        if (argc > 1 && strcmp(argv[1], hg_type_name(types[t])) != 0) continue;
        for (size_t n = 0; n < 3; n++) bench_decode(&b, &w, types[t], lengths[n]);
        for (size_t n = 0; n < 2; n++)
            bench_prefill(&b, &w, types[t], prompts[n],
                          types[t] == HG_BF16 ? rates.bf16_gflops : rates.f32_gflops);
    }
    bench_end(&b);
    hg_arena_free(&w.mem);
    hg_arena_free(&w.step);
    hg_runtime_free(w.rt);
    return 0;
}
