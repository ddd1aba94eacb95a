/* Muon (Jordan et al. 2024), for the matrices within a model's blocks:
 *
 *   M = mu M + G                     momentum; U = G + mu M is Nesterov's look ahead
 *   X = U / |U|, five times:  A = X X^T,  X = a X + (b A + c A A) X
 *   W = W - lr (0.2 sqrt(max(rows, cols)) X + decay W)
 *
 * The factor before X gives updates as large as AdamW's, so that one learning rate and one decay
 * serve both (Liu et al. 2025). All its cost is products over the thread pool, in the family that
 * the run computes in; the shorter side is the one whose square is formed. */
#include "train/muon.h"
#include "tensor/matmul.h"
#include <math.h>
#include <string.h>

enum { STEPS = 5, GRAIN = 1 << 15 };

typedef struct job {
    float *y, *m, *g;
    const float *x;
    float a, b;
} job;

size_t hg_muon_room(size_t rows, size_t cols)
{
    size_t s = rows < cols ? rows : cols;
    return 2 * rows * cols + 2 * s * s; /* X, and what a step makes of it */
}

/* y = a y + b x */
static void mix_task(void *ctx, size_t begin, size_t end, int thread)
{
    const job *j = ctx;
    (void)thread;
    for (size_t i = begin; i < end; i++) j->y[i] = j->a * j->y[i] + j->b * j->x[i];
}

static void mix(hg_runtime *rt, float *y, float a, const float *x, float b, size_t n)
{
    job j = {.y = y, .x = x, .a = a, .b = b};
    hg_pool_run(rt->pool, n, GRAIN, mix_task, &j);
}

static double norm(const hg_runtime *rt, const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i += 1024)
        sum += (double)rt->k.dot_f32(x + i, x + i, n - i < 1024 ? n - i : 1024);
    return sqrt(sum);
}

hg_status hg_muon_orthogonalise(hg_runtime *rt, hg_compute compute, float *x, size_t rows,
                                size_t cols, float *room, hg_err *e)
{
    const float a = 3.4445f, b = -4.7750f, c = 2.0315f; /* Jordan's: steep at zero */
    bool is_wide = rows <= cols;
    size_t n = rows * cols, s = is_wide ? rows : cols;
    float *t = room, *square = t + n, *fourth = square + s * s;
    hg_matrix x_m = {x, HG_F32, cols, 1}, x_t = {x, HG_F32, 1, cols};
    hg_matrix sq = {square, HG_F32, s, 1}, poly = {fourth, HG_F32, s, 1};

    mix(rt, x, (float)(1 / (norm(rt, x, n) + 1e-7)), x, 0, n);
    for (int i = 0; i < STEPS; i++) {
        HG_TRY(hg_matmul(rt, compute, square, s, is_wide ? &x_m : &x_t, is_wide ? &x_t : &x_m, s, s,
                         is_wide ? cols : rows, false, e));
        HG_TRY(hg_matmul(rt, compute, fourth, s, &sq, &sq, s, s, s, false, e));
        mix(rt, fourth, c, square, b, s * s);
        if (is_wide)
            HG_TRY(hg_matmul(rt, compute, t, cols, &poly, &x_m, rows, cols, s, false, e));
        else
            HG_TRY(hg_matmul(rt, compute, t, cols, &x_m, &poly, rows, cols, s, false, e));
        mix(rt, x, a, t, 1, n);
    }
    return HG_OK;
}

/* m = mu m + s g; y = s g + mu m; g = 0 */
static void momentum_task(void *ctx, size_t begin, size_t end, int thread)
{
    const job *j = ctx;
    (void)thread;
    for (size_t i = begin; i < end; i++) {
        float g = j->b * j->g[i];
        j->m[i] = j->a * j->m[i] + g;
        j->y[i] = g + j->a * j->m[i];
        j->g[i] = 0;
    }
}

hg_status hg_muon_update(hg_runtime *rt, const hg_muon *o, float *w, float *m, float *g,
                         size_t rows, size_t cols, float *room, hg_err *e)
{
    size_t n = rows * cols;
    float *x = room;
    job j = {.y = x, .m = m, .g = g, .a = (float)o->momentum, .b = o->grad_scale};
    hg_pool_run(rt->pool, n, GRAIN, momentum_task, &j);
    HG_TRY(hg_muon_orthogonalise(rt, o->compute, x, rows, cols, room + n, e));
    double size = 0.2 * sqrt((double)(rows > cols ? rows : cols));
    mix(rt, w, (float)(1 - o->lr * o->weight_decay), x, (float)(-o->lr * size), n);
    return HG_OK;
}
