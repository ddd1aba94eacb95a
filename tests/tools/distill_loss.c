/* Distillation's loss and gradients, for scripts that compare them with another implementation.
 *
 *   distill_loss ROWS VOCAB D TEACHER_VOCAB TEACHER_D T SHARE CAP TEACHER_CAP < in > out
 *
 * In, float32: the student's states [ROWS][D] and head [VOCAB][D], the teacher's states
 * [ROWS][TEACHER_D] and head [TEACHER_VOCAB][TEACHER_D], the weights [ROWS]; then int32: the
 * targets [ROWS]. Out, float32: the loss, each row's cross-entropy and KL, and the gradients of
 * the student's states and head. */
#include "tensor/ops.h"
#include <stdio.h>
#include <stdlib.h>

enum { MAX_DIM = 4096 };

static size_t dim(const char *text)
{
    const unsigned long n = strtoul(text, NULL, 10);
    if (n < 1 || n > MAX_DIM) exit(2);
    return n;
}

static void *take(hg_arena *mem, size_t n)
{
    float *p = HG_NEW(mem, float, n);
    if (p == NULL || fread(p, sizeof *p, n, stdin) != n) exit(1);
    return p;
}

static void put(const float *p, size_t n)
{
    if (fwrite(p, sizeof *p, n, stdout) != n) exit(1);
}

static hg_tensor matrix(hg_arena *mem, size_t rows, size_t cols, bool is_param)
{
    hg_tensor t = {.type = HG_F32, .n_dims = 2, .dim = {rows, cols}};
    t.data = take(mem, rows * cols);
    if (is_param) t.grad = HG_NEW(mem, float, rows *cols);
    t.needs_grad = t.is_param = is_param;
    return t;
}

int main(int argc, char **argv)
{
    hg_err e = {0};
    hg_arena mem;
    hg_runtime *rt = NULL;
    hg_graph g;
    if (argc != 10) return 2;
    const size_t n = dim(argv[1]), v = dim(argv[2]), d = dim(argv[3]);
    const size_t tv = dim(argv[4]), td = dim(argv[5]);
    hg_arena_init(&mem, 0);
    if (hg_runtime_new(&rt, 2, HG_N_ISA, &e) != HG_OK) return 1;
    hg_tensor x = matrix(&mem, n, d, true), w = matrix(&mem, v, d, true);
    hg_tensor tx = matrix(&mem, n, td, false), tw = matrix(&mem, tv, td, false);
    hg_distill how = {.temperature = strtof(argv[6], NULL),
                      .share = strtof(argv[7], NULL),
                      .soft_cap = strtof(argv[8], NULL),
                      .teacher_cap = strtof(argv[9], NULL),
                      .teacher_compute = HG_COMPUTE_F32,
                      .losses = HG_NEW(&mem, float, n),
                      .kls = HG_NEW(&mem, float, n)};
    how.weights = take(&mem, n);
    how.targets = take(&mem, n);
    hg_graph_init(&g, rt, &mem, HG_COMPUTE_F32, true);
    g.loss_scale = 1;
    hg_tensor *loss = hg_op_distill(&g, &x, &w, &tx, &tw, &how);
    if (loss == NULL || hg_graph_backward(&g, loss, 1, &e) != HG_OK) {
        (void)fprintf(stderr, "%s%s\n", g.err.msg, e.msg);
        return 1;
    }
    put(loss->data, 1);
    put(how.losses, n);
    put(how.kls, n);
    put(x.grad, n * d);
    put(w.grad, v * d);
    hg_arena_free(&mem);
    hg_runtime_free(rt);
    return 0;
}
