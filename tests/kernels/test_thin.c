/* Thin products against double precision, on every instruction set, and their bits on any number of
 * threads. */
#include "data.h"
#include "kernels/scalar.h"
#include "tensor/thin.h"

#include <math.h>
#include <string.h>

/* y += x b for a matrix x that lies by rows or by columns, behind `ldy` - HG_THIN others. */
static void check_kernel(const hg_kernels *k, size_t n, size_t depth, bool is_down, hg_rng *r)
{
    enum { LDB = HG_THIN + 3, LDY = HG_THIN + 5 };
    float *x = random_floats(n * depth, 1, r), *b = random_floats(depth * LDB, 1, r);
    float *y = random_floats(n * LDY, 1, r), *old = typed_copy(y, n * LDY, HG_F32);
    const hg_thin t = {b, LDB, depth, is_down ? 1 : depth, is_down ? n : 1, LDY};
    k->thin_f32(y, x, &t, n);
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < LDY; c++) {
            double sum = (double)old[i * LDY + c], magnitude = fabs(sum);
            for (size_t d = 0; d < depth && c < HG_THIN; d++) {
                const double p =
                    (double)x[i * t.row_stride + d * t.k_stride] * (double)b[d * LDB + c];
                sum += p;
                magnitude += fabs(p);
            }
            if (c < HG_THIN)
                CHECK_NEAR(y[i * LDY + c], sum, (double)(2 * depth + 2) * U32 * magnitude);
            else
                CHECK(y[i * LDY + c] == old[i * LDY + c]);
        }
    hg_free(x);
    hg_free(b);
    hg_free(y);
    hg_free(old);
}

TEST(a_thin_product_is_within_its_bound_on_every_instruction_set)
{
    static const size_t depths[] = {0, 1, 2, 31, 200};
    hg_rng r;
    hg_rng_init(&r, 20, 0);
    hg_kernels k;
    EACH_ISA(k)
    for (size_t n = 0; n < 40; n++)
        for (size_t d = 0; d < sizeof depths / sizeof depths[0]; d++)
            for (int down = 0; down < 2; down++) check_kernel(&k, n, depths[d], down, &r);
}

/* ---- over the pool ---- */

typedef struct sums {
    size_t n, m, rank, width;
    float *x, *b;
    hg_bf16 *half;
} sums;

static sums sums_of(size_t n, size_t m, size_t rank, hg_rng *r)
{
    sums s = {n, m, rank, hg_thin_width(rank), random_floats(n * m, 1, r), NULL, NULL};
    s.b = random_floats(n * s.width, 1, r);
    s.half = typed_copy(s.x, n * m, HG_BF16);
    for (size_t i = 0; i < n * m; i++) s.x[i] = bf16_to_float(s.half[i]);
    return s;
}

static void sums_free(sums *s)
{
    hg_free(s->x);
    hg_free(s->b);
    hg_free(s->half);
}

static float *added(const sums *s, int threads, bool across, hg_type type, const float *to)
{
    hg_err e = {0};
    hg_runtime *rt = NULL;
    CHECK_OK(hg_runtime_new(&rt, threads, HG_N_ISA, &e), e);
    float *c = typed_copy(to, s->m * s->rank, HG_F32);
    const void *x = type == HG_F32 ? (const void *)s->x : s->half;
    hg_thin_add(rt, &(hg_thin_sum){c, across, x, type, s->b, s->n, s->m, s->rank});
    hg_runtime_free(rt);
    return c;
}

static void check_sums(const sums *s, bool across, hg_rng *r)
{
    float *to = random_floats(s->m * s->rank, 1, r);
    float *one = added(s, 1, across, HG_F32, to), *three = added(s, 3, across, HG_F32, to);
    float *half = added(s, 2, across, HG_BF16, to);
    CHECK(memcmp(one, three, s->m * s->rank * sizeof *one) == 0);
    CHECK(memcmp(one, half, s->m * s->rank * sizeof *one) == 0);
    for (size_t i = 0; i < s->m; i++)
        for (size_t k = 0; k < s->rank; k++) {
            const size_t at = across ? k * s->m + i : i * s->rank + k;
            double sum = (double)to[at], magnitude = fabs(sum);
            for (size_t t = 0; t < s->n; t++) {
                const double p = (double)s->x[t * s->m + i] * (double)s->b[t * s->width + k];
                sum += p;
                magnitude += fabs(p);
            }
            CHECK_NEAR(one[at], sum, (double)(2 * s->n + 3) * U32 * magnitude);
        }
    hg_free(to);
    hg_free(one);
    hg_free(three);
    hg_free(half);
}

TEST(sums_over_rows_are_the_same_bits_from_any_thread_and_from_16_bits)
{
    static const size_t shapes[][3] = {{1, 1, 1}, {3, 70, 4}, {65, 64, 16}, {130, 200, 24}};
    hg_rng r;
    hg_rng_init(&r, 21, 0);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int across = 0; across < 2; across++) {
            sums s = sums_of(shapes[i][0], shapes[i][1], shapes[i][2], &r);
            check_sums(&s, across, &r);
            sums_free(&s);
        }
}

TEST(rows_times_a_thin_matrix_are_within_their_bound)
{
    enum { N = 150, K = 77, WIDTH = 2 * HG_THIN };
    hg_rng r;
    hg_err e = {0};
    hg_runtime *rt = NULL;
    hg_rng_init(&r, 22, 0);
    CHECK_OK(hg_runtime_new(&rt, 2, HG_N_ISA, &e), e);
    float *x = random_floats(N * K, 1, &r), *b = random_floats(K * WIDTH, 1, &r);
    float *y = random_floats(N * WIDTH, 1, &r);
    hg_thin_rows(rt, y, x, b, N, K, WIDTH);
    for (size_t i = 0; i < N; i++)
        for (size_t c = 0; c < WIDTH; c++) {
            double sum = 0, magnitude = 0;
            for (size_t k = 0; k < K; k++) {
                sum += (double)x[i * K + k] * (double)b[k * WIDTH + c];
                magnitude += fabs((double)x[i * K + k] * (double)b[k * WIDTH + c]);
            }
            CHECK_NEAR(y[i * WIDTH + c], sum, (double)(2 * K + 2) * U32 * magnitude);
        }
    hg_free(x);
    hg_free(b);
    hg_free(y);
    hg_runtime_free(rt);
}
