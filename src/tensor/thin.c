/* Thin products over the thread pool: rows are shared among threads, and for sums over rows columns
 * are, so that each sum is one thread's from its first row to its last. */
#include "tensor/thin.h"

#include <string.h>

enum { ROWS = 64, COLS = 64, SLAB = 64 };

typedef struct rows_job {
    const hg_kernels *k;
    float *y;
    const float *x, *b;
    size_t n, depth, width;
} rows_job;

static void some_rows(void *ctx, size_t begin, size_t end, int thread)
{
    const rows_job *j = ctx;
    (void)thread;
    for (size_t i = begin * ROWS; i < end * ROWS && i < j->n; i += ROWS) {
        const size_t rows = j->n - i < ROWS ? j->n - i : ROWS;
        memset(j->y + i * j->width, 0, rows * j->width * sizeof *j->y);
        for (size_t p = 0; p < j->width; p += HG_THIN) {
            const hg_thin t = {j->b + p, j->width, j->depth, j->depth, 1, j->width};
            j->k->thin_f32(j->y + i * j->width + p, j->x + i * j->depth, &t, rows);
        }
    }
}

void hg_thin_rows(hg_runtime *rt, float *y, const float *x, const float *b, size_t n, size_t k,
                  size_t width)
{
    rows_job j = {&rt->k, y, x, b, n, k, width};
    hg_pool_run(rt->pool, (n + ROWS - 1) / ROWS, 1, some_rows, &j);
}

typedef struct sum_job {
    const hg_kernels *k;
    const hg_thin_sum *s;
    size_t width;
} sum_job;

/* c[cols][HG_THIN] = columns [col, col + cols) of x, transposed, times columns from p on of b. */
static void sum_columns(const sum_job *j, float *c, size_t col, size_t cols, size_t p)
{
    const hg_thin_sum *s = j->s;
    float slab[SLAB * COLS];
    memset(c, 0, cols * HG_THIN * sizeof *c);
    hg_thin t = {s->b + p, j->width, s->n, 1, s->m, HG_THIN};
    if (s->type == HG_F32) {
        j->k->thin_f32(c, (const float *)s->x + col, &t, cols);
        return;
    }
    t.k_stride = COLS;
    for (size_t row = 0; row < s->n; row += SLAB) {
        t.k = s->n - row < SLAB ? s->n - row : SLAB;
        t.b = s->b + row * j->width + p;
        for (size_t i = 0; i < t.k; i++)
            j->k->bf16_to_f32(slab + i * COLS, (const hg_bf16 *)s->x + (row + i) * s->m + col,
                              cols);
        j->k->thin_f32(c, slab, &t, cols);
    }
}

static void some_columns(void *ctx, size_t begin, size_t end, int thread)
{
    const sum_job *j = ctx;
    const hg_thin_sum *s = j->s;
    float c[COLS * HG_THIN];
    (void)thread;
    for (size_t col = begin * COLS; col < end * COLS && col < s->m; col += COLS) {
        const size_t cols = s->m - col < COLS ? s->m - col : COLS;
        for (size_t p = 0; p < s->rank; p += HG_THIN) {
            const size_t wide = s->rank - p < HG_THIN ? s->rank - p : HG_THIN;
            sum_columns(j, c, col, cols, p);
            for (size_t i = 0; i < cols; i++)
                for (size_t r = 0; r < wide; r++)
                    s->to[s->across ? (p + r) * s->m + col + i : (col + i) * s->rank + p + r] +=
                        c[i * HG_THIN + r];
        }
    }
}

void hg_thin_add(hg_runtime *rt, const hg_thin_sum *s)
{
    sum_job j = {&rt->k, s, hg_thin_width(s->rank)};
    hg_pool_run(rt->pool, (s->m + COLS - 1) / COLS, 1, some_columns, &j);
}
