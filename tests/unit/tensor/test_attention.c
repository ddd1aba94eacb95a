/* Attention's forward pass against double precision, with and without a cache. */
#include "harness/lab.h"
#include "harness/test.h"

#include <math.h>
#include <string.h>

typedef struct problem {
    size_t n, n_heads, n_kv, d, window;
    float scale, cap;
    const float *sinks; /* [n_heads] or NULL */
    float *q, *k, *v;   /* one timeline of n positions */
    double *want;       /* [n][n_heads * d] */
} problem;

static double score(const problem *p, size_t i, size_t j, size_t h)
{
    double s = 0;
    size_t kv = h / (p->n_heads / p->n_kv);
    for (size_t c = 0; c < p->d; c++)
        s += (double)p->q[(i * p->n_heads + h) * p->d + c] *
             (double)p->k[(j * p->n_kv + kv) * p->d + c];
    s *= (double)p->scale;
    return p->cap > 0 ? (double)p->cap * tanh(s / (double)p->cap) : s;
}

static void solve(problem *p)
{
    for (size_t i = 0; i < p->n; i++)
        for (size_t h = 0; h < p->n_heads; h++) {
            size_t kv = h / (p->n_heads / p->n_kv);
            double sum = 0, *y = p->want + (i * p->n_heads + h) * p->d;
            for (size_t j = 0; j <= i; j++) {
                if (p->window > 0 && j + p->window <= i) continue;
                double e = exp(score(p, i, j, h));
                sum += e;
                for (size_t c = 0; c < p->d; c++)
                    y[c] += e * (double)p->v[(j * p->n_kv + kv) * p->d + c];
            }
            if (p->sinks != NULL) sum += exp((double)p->sinks[h]);
            for (size_t c = 0; c < p->d; c++) y[c] /= sum;
        }
}

static void problem_new(lab *l, problem *p)
{
    size_t dq = p->n_heads * p->d, dkv = p->n_kv * p->d;
    p->q = HG_NEW(&l->keep, float, p->n *dq);
    p->k = HG_NEW(&l->keep, float, p->n *dkv);
    p->v = HG_NEW(&l->keep, float, p->n *dkv);
    p->want = HG_NEW(&l->keep, double, p->n *dq);
    lab_fill(l, p->q, p->n * dq);
    lab_fill(l, p->k, p->n * dkv);
    lab_fill(l, p->v, p->n * dkv);
    solve(p);
}

static hg_tensor view(float *x, size_t rows, size_t cols)
{
    return (hg_tensor){.type = HG_F32, .n_dims = 2, .dim = {rows, cols}, .data = x};
}

static hg_attention attention_of(const problem *p, const hg_span *spans, size_t n)
{
    return (hg_attention){p->n_heads, p->n_kv,  p->d,  p->scale, p->cap,
                          p->window,  p->sinks, spans, n};
}

/* Rows [from, from + n) as one pass. */
static hg_tensor *run(lab *l, const problem *p, size_t from, size_t n, const hg_kv_layer *kv)
{
    hg_err e = {0};
    hg_span span = {.row = 0, .n = n, .pos0 = kv != NULL ? from : 0, .kv = kv};
    hg_attention a = attention_of(p, &span, 1);
    size_t dq = p->n_heads * p->d, dkv = p->n_kv * p->d;
    hg_tensor q = view(p->q + from * dq, n, dq), k = view(p->k + from * dkv, n, dkv),
              v = view(p->v + from * dkv, n, dkv);
    hg_tensor *y = hg_op_attention(&l->g, &q, &k, &v, &a);
    CHECK_OK(hg_graph_status(&l->g, &e), e);
    return y;
}

static void check_rows(const problem *p, const hg_tensor *y, size_t from, double bound)
{
    for (size_t i = 0; i < hg_tensor_count(y); i++)
        CHECK_NEAR(((float *)y->data)[i], p->want[from * p->n_heads * p->d + i], bound);
}

static const float SINKS[] = {0.5f, -2.0f, 3.0f, 1.0f};
static const problem PROBLEMS[] = {
    {.n = 1, .n_heads = 2, .n_kv = 1, .d = 5, .scale = 0.5f},
    {.n = 4, .n_heads = 2, .n_kv = 2, .d = 7, .scale = 2},
    {.n = 65, .n_heads = 3, .n_kv = 1, .d = 16, .scale = 1},
    {.n = 70, .n_heads = 60, .n_kv = 1, .d = 32, .scale = 0.5f},
    {.n = 300, .n_heads = 4, .n_kv = 2, .d = 9, .scale = 3, .cap = 2, .sinks = SINKS},
    {.n = 300, .n_heads = 2, .n_kv = 1, .d = 64, .scale = 0.5f, .window = 130, .sinks = SINKS},
    {.n = 700, .n_heads = 2, .n_kv = 1, .d = 8, .scale = 2, .window = 100},
    {.n = 600, .n_heads = 2, .n_kv = 2, .d = 8, .scale = 2, .window = 3, .cap = 1},
    {.n = 1100, .n_heads = 1, .n_kv = 1, .d = 4, .scale = 4},
};
enum { N_PROBLEMS = sizeof PROBLEMS / sizeof *PROBLEMS };

TEST(attention_without_a_cache_is_the_formula)
{
    for (size_t i = 0; i < N_PROBLEMS; i++) {
        lab l;
        problem p = PROBLEMS[i];
        lab_open(&l, 2);
        problem_new(&l, &p);
        check_rows(&p, run(&l, &p, 0, p.n, NULL), 0, 2e-6 * (1 + (double)p.scale));
        lab_begin(&l, HG_COMPUTE_BF16, false);
        check_rows(&p, run(&l, &p, 0, p.n, NULL), 0, 0.05 * (double)(p.scale > 1 ? p.scale : 1));
        lab_close(&l);
    }
}

/* A cache of `n_tiles` tiles of 128 positions; tiles NULL when the type cannot hold the heads. */
static hg_kv_layer cache_of(lab *l, const problem *p, hg_type type, size_t n_tiles)
{
    hg_kv_shape shape;
    hg_kv_layer kv = {.type = type, .n_tiles = n_tiles};
    if (hg_kv_shape_of(&shape, type, p->n_kv, p->d))
        kv.tiles = hg_arena_raw(&l->keep, n_tiles, shape.tile_bytes);
    /* What was never stored must not be seen. */
    if (kv.tiles != NULL) memset(kv.tiles, 0xff, n_tiles * shape.tile_bytes);
    return kv;
}

static const hg_type TYPES[] = {HG_F32, HG_F16, HG_BF16, HG_Q8_0};
static const double TYPE_BOUND[] = {2e-6, 1e-3, 2e-2, 1e-2}; /* of each type's rounding */
enum { N_TYPES = 4 };

/* All of a problem in chunks, into out [n][n_heads * d]. */
static void run_chunks(lab *l, const problem *p, size_t chunk, const hg_kv_layer *kv, float *out)
{
    const size_t dq = p->n_heads * p->d;
    for (size_t from = 0; from < p->n; from += chunk) {
        const size_t n = p->n - from < chunk ? p->n - from : chunk;
        lab_begin(l, HG_COMPUTE_F32, false);
        memcpy(out + from * dq, run(l, p, from, n, kv)->data, n * dq * sizeof *out);
    }
}

TEST_SECONDS(attention_with_a_cache_gives_the_same_bits_in_one_go_in_chunks_and_token_by_token, 120)
{
    static const size_t chunks[] = {5000, 190, 17, 3, 1};
    for (size_t i = 0; i < N_PROBLEMS; i++)
        for (size_t t = 0; t < N_TYPES; t++) {
            lab l;
            problem p = PROBLEMS[i];
            lab_open(&l, 2);
            problem_new(&l, &p);
            const size_t count = p.n * p.n_heads * p.d;
            float *whole = HG_NEW(&l.keep, float, count), *parts = HG_NEW(&l.keep, float, count);
            for (size_t c = 0; c < sizeof chunks / sizeof *chunks; c++) {
                hg_kv_layer kv = cache_of(&l, &p, TYPES[t], (p.n + 127) / 128);
                if (kv.tiles == NULL) break;
                run_chunks(&l, &p, chunks[c], &kv, c == 0 ? whole : parts);
                if (c > 0) CHECK(memcmp(whole, parts, count * sizeof *whole) == 0);
            }
            hg_tensor y = view(whole, p.n, p.n_heads * p.d);
            if (TYPES[t] != HG_Q8_0 || p.d % 32 == 0)
                check_rows(&p, &y, 0, TYPE_BOUND[t] * (1 + (double)p.scale));
            lab_close(&l);
        }
}

TEST(the_bits_do_not_depend_on_the_number_of_threads)
{
    const problem problems[] = {{.n = 1100, .n_heads = 4, .n_kv = 1, .d = 32, .scale = 0.5f},
                                {.n = 700, .n_heads = 2, .n_kv = 2, .d = 16, .scale = 1}};
    for (size_t i = 0; i < 2; i++) {
        float *out[3];
        lab l[3];
        size_t bytes = 0;
        for (int t = 0; t < 3; t++) {
            problem p = problems[i];
            lab_open(&l[t], 1 + 3 * t);
            problem_new(&l[t], &p);
            bytes = p.n * p.n_heads * p.d * sizeof(float);
            out[t] = hg_arena_raw(&l[t].keep, bytes, 1);
            hg_kv_layer kv = cache_of(&l[t], &p, HG_BF16, 9);
            run_chunks(&l[t], &p, t == 1 ? 5000 : 64, &kv, out[t]);
        }
        for (int t = 1; t < 3; t++) CHECK(memcmp(out[0], out[t], bytes) == 0);
        for (int t = 0; t < 3; t++) lab_close(&l[t]);
    }
}

/* A window needs no more tiles than it and a step's rows reach over. */
TEST(a_ring_of_tiles_serves_a_window)
{
    for (size_t t = 0; t < N_TYPES; t++) {
        lab l;
        problem p = {.n = 1100, .n_heads = 4, .n_kv = 2, .d = 32, .scale = 0.5f, .window = 150};
        lab_open(&l, 2);
        problem_new(&l, &p);
        const size_t count = p.n * p.n_heads * p.d;
        float *line = HG_NEW(&l.keep, float, count), *ring = HG_NEW(&l.keep, float, count);
        hg_kv_layer kv = cache_of(&l, &p, TYPES[t], 9);
        run_chunks(&l, &p, 90, &kv, line);
        kv = cache_of(&l, &p, TYPES[t], 3); /* 150 + 90 positions lie in three tiles or fewer */
        run_chunks(&l, &p, 90, &kv, ring);
        CHECK(memcmp(line, ring, count * sizeof *line) == 0);
        lab_close(&l);
    }
}

TEST(spans_of_a_batch_do_not_see_each_other)
{
    lab l;
    problem p[3] = {{.n = 70, .n_heads = 4, .n_kv = 2, .d = 6, .scale = 1},
                    {.n = 1, .n_heads = 4, .n_kv = 2, .d = 6, .scale = 1},
                    {.n = 9, .n_heads = 4, .n_kv = 2, .d = 6, .scale = 1}};
    enum { N = 80, DQ = 24, DKV = 12 };
    lab_open(&l, 2);
    hg_tensor *q = lab_tensor(&l, N, DQ, false), *k = lab_tensor(&l, N, DKV, false);
    hg_tensor *v = lab_tensor(&l, N, DKV, false);
    hg_span spans[3];
    size_t row = 0;
    for (size_t i = 0; i < 3; i++) {
        problem_new(&l, &p[i]);
        spans[i] = (hg_span){.row = row, .n = p[i].n};
        memcpy((float *)q->data + row * DQ, p[i].q, p[i].n * DQ * sizeof(float));
        memcpy((float *)k->data + row * DKV, p[i].k, p[i].n * DKV * sizeof(float));
        memcpy((float *)v->data + row * DKV, p[i].v, p[i].n * DKV * sizeof(float));
        row += p[i].n;
    }
    hg_attention a = attention_of(&p[0], spans, 3);
    for (int record = 0; record < 2; record++) {
        lab_begin(&l, HG_COMPUTE_F32, record);
        hg_tensor *y = hg_op_attention(&l.g, q, k, v, &a);
        CHECK(y != NULL);
        for (size_t i = 0; i < 3; i++) {
            hg_tensor part = view((float *)y->data + spans[i].row * DQ, spans[i].n, DQ);
            check_rows(&p[i], &part, 0, 4e-6);
        }
    }
    lab_close(&l);
}
