/* Sums and scalings of activations: the residual stream of a block. Their backward mostly passes
 * the gradient's buffer on instead of copying it (see hg_grad_pass). */
#include "tensor/ops_impl.h"

#include <string.h>

typedef struct basic_job {
    const hg_kernels *k;
    float *y;
    const float *a, *b;
    float s;
} basic_job;

static void add_chunk(void *ctx, size_t begin, size_t end, int thread)
{
    const basic_job *j = ctx;
    (void)thread;
    j->k->add_f32(j->y + begin, j->a + begin, j->b + begin, end - begin);
}

static void scale_chunk(void *ctx, size_t begin, size_t end, int thread)
{
    const basic_job *j = ctx;
    (void)thread;
    j->k->scale_f32(j->y + begin, j->s, j->a + begin, end - begin);
}

static void axpy_chunk(void *ctx, size_t begin, size_t end, int thread)
{
    const basic_job *j = ctx;
    (void)thread;
    j->k->axpy_f32(j->y + begin, j->s, j->a + begin, end - begin);
}

static void add_back(hg_graph *g, hg_step *s)
{
    hg_grad_pass(g, s->out, s->in[0]);
    hg_grad_pass(g, s->out, s->in[1]);
}

hg_tensor *hg_op_add(hg_graph *g, hg_tensor *a, hg_tensor *b)
{
    char sa[HG_SHAPE_TEXT], sb[HG_SHAPE_TEXT];
    if (!hg_op_check(g, "add", "a", a) || !hg_op_check(g, "add", "b", b)) return NULL;
    if (hg_tensor_rows(a) != hg_tensor_rows(b) || hg_tensor_cols(a) != hg_tensor_cols(b))
        return hg_graph_fail(g, HG_E_ARG, "add: a is %s and b is %s; the same shape is needed",
                             hg_shape_text(a, sa), hg_shape_text(b, sb));
    hg_tensor *y = hg_op_like(g, a);
    if (y == NULL) return NULL;
    basic_job j = {.k = &g->rt->k, .y = y->data, .a = a->data, .b = b->data};
    hg_pool_run(g->rt->pool, hg_tensor_count(a), hg_op_grain(3 * sizeof(float)), add_chunk, &j);
    if (hg_op_recorded(g, a, b, NULL) &&
        hg_op_record(g, add_back, (hg_tensor *[3]){a, b}, y, NULL) == NULL)
        return NULL;
    return y;
}

static void scale_back(hg_graph *g, hg_step *s)
{
    bool is_first = false;
    float *dx = hg_grad_take(g, s->out, s->in[0], &is_first);
    if (dx == NULL) return;
    basic_job j = {&g->rt->k, dx, s->out->grad, NULL, *(const float *)s->saved};
    hg_pool_run(g->rt->pool, hg_tensor_count(s->out), hg_op_grain(2 * sizeof(float)),
                is_first ? scale_chunk : axpy_chunk, &j);
}

hg_tensor *hg_op_scale(hg_graph *g, hg_tensor *x, float s)
{
    if (!hg_op_check(g, "scale", "x", x)) return NULL;
    hg_tensor *y = hg_op_like(g, x);
    if (y == NULL) return NULL;
    basic_job j = {&g->rt->k, y->data, x->data, NULL, s};
    hg_pool_run(g->rt->pool, hg_tensor_count(x), hg_op_grain(2 * sizeof(float)), scale_chunk, &j);
    if (!hg_op_recorded(g, x, NULL, NULL)) return y;
    float *saved = HG_NEW(g->mem, float, 1);
    if (saved == NULL) return hg_graph_fail(g, HG_E_NOMEM, "no memory to record a scaling");
    *saved = s;
    return hg_op_record(g, scale_back, (hg_tensor *[3]){x}, y, saved) != NULL ? y : NULL;
}
