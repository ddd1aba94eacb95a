/* Steps of an optimiser on one matrix, for scripts that compare them with another implementation.
 *
 *   optim_steps ROWS COLS STEPS LR KEY=VALUE... < floats > floats
 *
 * Reads W [ROWS][COLS] and a gradient for each step, writes W after the last. The keys are a
 * recipe's. */
#include "train/learner.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct matrix {
    hg_tensor t;
    size_t n, n_steps;
    double lr;
} matrix;

static hg_status steps(matrix *m, hg_optim *o, hg_err *e)
{
    for (size_t i = 0; i < m->n_steps; i++) {
        if (fread(m->t.grad, sizeof(float), m->n, stdin) != m->n)
            return hg_fail(e, HG_E_IO, "the gradient of step %zu is missing", i + 1);
        HG_TRY(hg_optim_step(o, m->lr, hg_optim_grad_norm(o), e));
    }
    if (fwrite(m->t.data, sizeof(float), m->n, stdout) != m->n)
        return hg_fail(e, HG_E_IO, "cannot write");
    return HG_OK;
}

static hg_status run(char **set, int n_set, matrix *m, hg_runtime *rt, hg_arena *mem, hg_err *e)
{
    hg_recipe r;
    hg_optim o;
    hg_tensor *const params[] = {&m->t};
    const hg_optim_kind group = {HG_GROUP_MATRIX, 0};
    hg_status s = hg_recipe_init(&r, HG_STAGE_TRAIN, e);
    for (int i = 0; i < n_set && s == HG_OK; i++) s = hg_recipe_set(&r, set[i], e);
    if (s == HG_OK)
        s = hg_optim_init(&o, rt, params, 1, &group, hg_precision_compute(r.precision, rt), &r, mem,
                          e);
    if (s == HG_OK) s = steps(m, &o, e);
    hg_recipe_free(&r);
    return s;
}

int main(int argc, char **argv)
{
    hg_err e = {0};
    hg_runtime *rt = NULL;
    hg_arena mem;
    matrix m = {.t = {.type = HG_F32, .n_dims = 2, .is_param = true}};
    if (argc < 5) {
        (void)fprintf(stderr, "optim_steps ROWS COLS STEPS LR KEY=VALUE...\n");
        return 2;
    }
    m.t.dim[0] = strtoull(argv[1], NULL, 10);
    m.t.dim[1] = strtoull(argv[2], NULL, 10);
    m.n_steps = strtoull(argv[3], NULL, 10);
    m.lr = strtod(argv[4], NULL);
    m.n = m.t.dim[0] * m.t.dim[1];
    hg_arena_init(&mem, 0);
    m.t.data = HG_NEW(&mem, float, m.n);
    m.t.grad = HG_NEW(&mem, float, m.n);
    hg_status s = hg_runtime_new(&rt, 2, HG_N_ISA, &e);
    if (s == HG_OK &&
        (m.t.data == NULL || m.t.grad == NULL || fread(m.t.data, sizeof(float), m.n, stdin) != m.n))
        s = hg_fail(&e, HG_E_IO, "the matrix is missing");
    if (s == HG_OK) s = run(argv + 5, argc - 5, &m, rt, &mem, &e);
    if (s != HG_OK) (void)fprintf(stderr, "optim_steps: %s\n", e.msg);
    hg_arena_free(&mem);
    hg_runtime_free(rt);
    return s == HG_OK ? 0 : 1;
}
