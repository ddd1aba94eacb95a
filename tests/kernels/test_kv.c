/* Attention's kernels of every instruction set against double precision: every type, every number
 * of rows, heads of odd widths, every kind of tail. */
#include "data.h"
#include "tensor/kv.h"

#include <math.h>
#include <string.h>

enum { MAX_D = 128, MAX_ROWS = 16, T = HG_KV_TILE, PART = HG_KV_PART };

static const hg_type TYPES[HG_N_KV] = {HG_F32, HG_F16, HG_BF16, HG_Q8_0};

/* A tile of one head with `keys` positions, and the numbers in it as they were rounded. */
typedef struct tile {
    hg_kv_shape shape;
    hg_kv_layer layer;
    float k[T * MAX_D], v[T * MAX_D];
} tile;

static void tile_fill(tile *t, const hg_kernels *k, hg_type type, size_t d, size_t keys, hg_rng *r)
{
    float key[MAX_D], value[MAX_D];
    CHECK(hg_kv_shape_of(&t->shape, type, 1, d));
    t->layer = (hg_kv_layer){type, 1, hg_alloc(t->shape.tile_bytes, 1)};
    CHECK(t->layer.tiles != NULL);
    hg_kv_enter(&t->shape, &t->layer, 0, keys);
    for (size_t j = 0; j < keys; j++) {
        fill_random(key, d, 2.0, r);
        fill_random(value, d, 3.0, r);
        hg_kv_put(k, &t->shape, &t->layer, j, key, value);
        hg_kv_get(k, &t->shape, &t->layer, j, t->k + j * d, t->v + j * d);
        for (size_t i = 0; i < d; i++) {
            const double off = type == HG_F32 ? 0 : type == HG_F16 ? 1e-3 : 0.0125;
            CHECK_NEAR(t->k[j * d + i], key[i], off * 2);
            CHECK_NEAR(t->v[j * d + i], value[i], off * 3);
        }
    }
}

/* Rows x [rows][d] as the kernel wants them; x is rounded to what they hold then. */
static float *packed(const hg_kv_kernel *kernel, float *x, size_t d, size_t rows)
{
    float *q = hg_alloc(hg_kv_query_cells(kernel->form, d) * rows, sizeof *q);
    CHECK(q != NULL);
    for (size_t r = 0; r < rows; r++) hg_kv_pack(kernel->form, q, x + r * d, d, rows, r);
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < d; i++) {
            if (kernel->form == HG_KV_PAIRS) x[r * d + i] = rounded(HG_COMPUTE_BF16, x[r * d + i]);
            if (kernel->form == HG_KV_WORDS) {
                const float *block = q + i / 32 * rows * 17;
                int16_t pair[2];
                memcpy(pair, &block[rows + i % 32 / 2 * rows + r], sizeof pair);
                const float held = (float)pair[i % 2] * block[r];
                CHECK_NEAR(held, x[r * d + i], 0x1p-15);
                x[r * d + i] = held;
            }
        }
    return q;
}

static void check_scores(const hg_kernels *k, const tile *t, size_t d, size_t rows, size_t keys,
                         hg_rng *r)
{
    const hg_kv_kernel *kernel = &k->kv[t->shape.kind];
    float *x = random_floats(rows * d, 1.0, r);
    float *s = hg_alloc(rows * PART, sizeof *s), *one = hg_alloc(PART, sizeof *one);
    float *raw = typed_copy(x, rows * d, HG_F32);
    float *q = packed(kernel, x, d, rows);
    kernel->scores(s, q, t->layer.tiles, d, rows, keys, t->layer.tiles);
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < keys; j++) {
            double sum = 0, magnitude = 0;
            for (size_t c = 0; c < d; c++) {
                const double p = (double)x[i * d + c] * (double)t->k[j * d + c];
                sum += p;
                magnitude += fabs(p);
            }
            CHECK_NEAR(s[i * PART + j], sum, (double)(d + 2) * 2 * U32 * magnitude);
        }
    }
    /* Alone a row has the same bits. */
    for (size_t i = 0; i < rows; i++) {
        float *alone = packed(kernel, raw + i * d, d, 1);
        kernel->scores(one, alone, t->layer.tiles, d, 1, keys, t->layer.tiles);
        CHECK(memcmp(one, s + i * PART, keys * sizeof *one) == 0);
        hg_free(alone);
    }
    hg_free(x);
    hg_free(raw);
    hg_free(s);
    hg_free(one);
    hg_free(q);
}

/* What a row's rounding of weights to int16 may cost in a column, summed over the keys. */
static double words_bound(const tile *t, const float *p, size_t d, size_t keys, size_t c)
{
    double most = 0;
    for (size_t j = 0; j < keys; j++) {
        double largest = 0; /* of the block: 127 steps */
        for (size_t i = c / 32 * 32; i < c / 32 * 32 + 32; i++)
            largest = fmax(largest, fabs((double)t->v[j * d + i]));
        most = fmax(most, (double)p[j] * largest * 1.01);
    }
    return (double)keys * most / 65534;
}

static void check_values(const hg_kernels *k, const tile *t, size_t d, size_t rows, size_t keys,
                         hg_rng *r)
{
    const hg_kv_kernel *kernel = &k->kv[t->shape.kind];
    const bool pairs = kernel->form == HG_KV_PAIRS;
    float *p = random_floats(rows * PART, 1.0, r), *o = random_floats(rows * d, 1.0, r);
    float *old = typed_copy(o, rows * d, HG_F32), *one = typed_copy(o, rows * d, HG_F32);
    for (size_t i = 0; i < rows * PART; i++) p[i] = fabsf(p[i]);
    for (size_t i = 0; keys % 2 != 0 && i < rows; i++) p[i * PART + keys] = 0.0f;
    hg_bf16 *b = typed_copy(p, rows * PART, HG_BF16);
    for (size_t i = 0; pairs && i < rows * PART; i++) p[i] = rounded(HG_COMPUTE_BF16, p[i]);
    const void *weights = pairs ? (const void *)b : (const void *)p;
    kernel->values(o, weights, t->layer.tiles, d, rows, keys, t->layer.tiles);
    for (size_t i = 0; i < rows; i++) {
        for (size_t c = 0; c < d; c++) {
            double sum = (double)old[i * d + c], magnitude = fabs(sum), bound = 0;
            for (size_t j = 0; j < keys; j++) {
                const double x = (double)p[i * PART + j] * (double)t->v[j * d + c];
                sum += x;
                magnitude += fabs(x);
            }
            if (kernel->form == HG_KV_WORDS) bound = words_bound(t, p + i * PART, d, keys, c);
            CHECK_NEAR(o[i * d + c], sum, (double)(keys + 2) * 2 * U32 * magnitude + bound);
        }
        const void *mine = pairs ? (const void *)(b + i * PART) : (const void *)(p + i * PART);
        kernel->values(one + i * d, mine, t->layer.tiles, d, 1, keys, t->layer.tiles);
        CHECK(memcmp(one + i * d, o + i * d, d * sizeof *o) == 0);
    }
    hg_free(p);
    hg_free(o);
    hg_free(old);
    hg_free(one);
    hg_free(b);
}

TEST(scores_and_sums_of_values_hold_for_every_type_width_and_tail)
{
    static const size_t widths[] = {1, 5, 16, 31, 32, 48, 64, 80, 128};
    static const size_t lengths[] = {1, 2, 31, 33, 96, 127, 128};
    static tile t;
    hg_rng r;
    hg_kernels k;
    hg_rng_init(&r, 30, 0);
    EACH_ISA(k)
    for (size_t type = 0; type < HG_N_KV; type++)
        for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
            for (size_t n = 0; n < sizeof lengths / sizeof *lengths; n++) {
                const size_t d = widths[w], keys = lengths[n];
                if (TYPES[type] == HG_Q8_0 && d % 32 != 0) continue;
                const size_t most = k.kv[type].max_rows, rows = 1 + (w * 7 + n) % most;
                CHECK(most <= MAX_ROWS);
                tile_fill(&t, &k, TYPES[type], d, keys, &r);
                /* The values begin behind the keys: each kernel is shown a tile of its own. */
                check_scores(&k, &t, d, rows, keys, &r);
                char *tiles = t.layer.tiles;
                t.layer.tiles = tiles + t.shape.k_bytes;
                check_values(&k, &t, d, rows, keys, &r);
                hg_free(tiles);
            }
}

TEST(every_number_of_rows_gives_a_row_the_same_bits)
{
    static tile t;
    hg_rng r;
    hg_kernels k;
    hg_rng_init(&r, 31, 0);
    EACH_ISA(k)
    for (size_t type = 0; type < HG_N_KV; type++) {
        tile_fill(&t, &k, TYPES[type], 64, 100, &r);
        char *tiles = t.layer.tiles;
        for (size_t rows = 1; rows <= k.kv[type].max_rows; rows++) {
            t.layer.tiles = tiles;
            check_scores(&k, &t, 64, rows, 100, &r);
            t.layer.tiles = tiles + t.shape.k_bytes;
            check_values(&k, &t, 64, rows, 100, &r);
        }
        hg_free(tiles);
    }
}

TEST(weights_are_exponentials_of_what_is_seen_and_zero_elsewhere)
{
    static const size_t ends[][3] = {{2, 0, 1},     {2, 1, 2},       {64, 0, 64},     {128, 17, 99},
                                     {512, 0, 512}, {512, 511, 512}, {400, 130, 399}, {6, 2, 5}};
    static float s[PART], p[PART];
    static hg_bf16 b[PART];
    hg_rng r;
    hg_kernels k;
    hg_rng_init(&r, 32, 0);
    EACH_ISA(k)
    for (size_t type = 0; type < HG_N_KV; type++)
        for (size_t e = 0; e < sizeof ends / sizeof *ends; e++) {
            const size_t n = ends[e][0], from = ends[e][1], to = ends[e][2];
            const bool pairs = k.kv[type].form == HG_KV_PAIRS;
            double most = -INFINITY, sum = 0;
            float max = 0;
            fill_random(s, PART, 30.0, &r); /* what is not seen must not count */
            for (size_t i = from; i < to; i++) most = fmax(most, (double)s[i]);
            memset(p, 0xff, sizeof p);
            memset(b, 0xff, sizeof b);
            const float got = k.kv[type].weigh(pairs ? (void *)b : (void *)p, s, n, from, to, &max,
                                               (const char *)s, sizeof s);
            CHECK_NEAR(max, most, 0);
            for (size_t i = 0; i < n; i++) {
                const double want = i < from || i >= to ? 0 : exp((double)(s[i] - max));
                const float is = pairs ? typed_at(b, HG_BF16, i) : p[i];
                CHECK_NEAR(is, want, want * (pairs ? 0x1p-8 : 0x1p-20));
                sum += want;
            }
            CHECK_NEAR(got, sum, sum * 0x1p-18);
            if (pairs) continue;
            CHECK(isnan(n < PART ? p[n] : NAN)); /* nor is anything behind them touched */
            k.kv[type].weigh(s, s, n, from, to, &max, (const char *)s, 0);
            CHECK(memcmp(s, p, n * sizeof *s) == 0);
        }
}

TEST(a_number_that_is_none_stays_visible_in_q8_0)
{
    hg_kernels k;
    hg_kv_shape shape;
    float x[32] = {1, 2, INFINITY}, y[32] = {3}, key[32], value[32];
    hg_kernels_init(&k, HG_ISA_C);
    CHECK(hg_kv_shape_of(&shape, HG_Q8_0, 1, 32));
    hg_kv_layer kv = {HG_Q8_0, 1, hg_alloc(shape.tile_bytes, 1)};
    hg_kv_put(&k, &shape, &kv, 0, x, y);
    hg_kv_get(&k, &shape, &kv, 0, key, value);
    CHECK(isnan(key[0]));
    CHECK(value[0] > 2.99f && value[0] < 3.01f && value[1] == 0.0f);
    hg_free(kv.tiles);
}
