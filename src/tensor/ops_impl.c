/* What the ops share: checks that fail with the op's name and the shapes it saw, and sums over rows
 * that are the same on any number of threads. */
#include "tensor/ops_impl.h"

#include <stdio.h>
#include <string.h>

const char *hg_shape_text(const hg_tensor *t, char out[HG_SHAPE_TEXT])
{
    size_t n = 0;
    out[0] = '\0';
    for (int i = 0; i < t->n_dims && n < HG_SHAPE_TEXT; i++) {
        int k = snprintf(out + n, HG_SHAPE_TEXT - n, "[%zu]", t->dim[i]);
        if (k < 0) break;
        n += (size_t)k;
    }
    return out;
}

static bool check_values(hg_graph *g, const char *op, const char *input, const hg_tensor *t,
                         bool may_be_blocks)
{
    if (g->status != HG_OK) return false;
    if (t == NULL) {
        (void)hg_graph_fail(g, HG_E_ARG, "%s: %s is missing", op, input);
        return false;
    }
    bool is_block = hg_type_is_block(t->type) && (may_be_blocks || t->packed != NULL);
    if (t->type != HG_F32 && t->type != HG_F16 && t->type != HG_BF16 && !is_block) {
        (void)hg_graph_fail(g, HG_E_ARG, "%s: %s is %s; f32, f16 or bf16 is needed", op, input,
                            hg_type_name(t->type));
        return false;
    }
    if (t->data == NULL && t->packed == NULL) {
        (void)hg_graph_fail(g, HG_E_ARG, "%s: %s has no values", op, input);
        return false;
    }
    return true;
}

bool hg_op_check_weight(hg_graph *g, const char *op, const char *input, const hg_tensor *t)
{
    return check_values(g, op, input, t, true);
}

bool hg_op_check(hg_graph *g, const char *op, const char *input, const hg_tensor *t)
{
    if (!check_values(g, op, input, t, false)) return false;
    if (t->type == HG_F32 && t->data != NULL) return true;
    (void)hg_graph_fail(g, HG_E_ARG, "%s: %s is %s%s; f32 is needed", op, input,
                        t->data == NULL ? "packed " : "", hg_type_name(t->type));
    return false;
}

bool hg_op_check_vector(hg_graph *g, const char *op, const char *input, const hg_tensor *t,
                        size_t n)
{
    char shape[HG_SHAPE_TEXT];
    if (!hg_op_check(g, op, input, t)) return false;
    if (t->n_dims == 1 && t->dim[0] == n) return true;
    (void)hg_graph_fail(g, HG_E_ARG, "%s: %s is %s; [%zu] is needed", op, input,
                        hg_shape_text(t, shape), n);
    return false;
}

hg_tensor *hg_op_like(hg_graph *g, const hg_tensor *x)
{
    return hg_graph_tensor(g, hg_tensor_rows(x), hg_tensor_cols(x));
}

size_t hg_op_grain(size_t bytes)
{
    size_t n = ((size_t)256 << 10) / (bytes > 0 ? bytes : 1);
    return n > 0 ? n : 1;
}

typedef struct sum_job {
    const hg_kernels *k;
    float *dst;
    const float *x;
    size_t n, d;
    float *part;
} sum_job;

static void add_parts_chunk(void *ctx, size_t begin, size_t end, int thread)
{
    const sum_job *j = ctx;
    (void)thread;
    for (size_t p = 0; p < HG_SUM_PARTS; p++)
        j->k->add_f32(j->dst + begin, j->dst + begin, j->x + p * j->d + begin, end - begin);
}

void hg_op_add_parts(hg_graph *g, float *dst, const float *part, size_t d, bool is_first)
{
    if (is_first) memset(dst, 0, d * sizeof *dst);
    sum_job j = {.k = &g->rt->k, .dst = dst, .x = part, .d = d};
    hg_pool_run(g->rt->pool, d, 4096, add_parts_chunk, &j);
}

static void column_sums_part(void *ctx, size_t begin, size_t end, int thread)
{
    const sum_job *j = ctx;
    (void)thread;
    size_t per = (j->n + HG_SUM_PARTS - 1) / HG_SUM_PARTS;
    for (size_t p = begin; p < end; p++) {
        float *sum = j->part + p * j->d;
        memset(sum, 0, j->d * sizeof *sum);
        for (size_t t = p * per; t < j->n && t < (p + 1) * per; t++)
            j->k->add_f32(sum, sum, j->x + t * j->d, j->d);
    }
}

void hg_op_add_column_sums(hg_graph *g, float *dst, const float *x, size_t n, size_t d,
                           bool is_first)
{
    hg_arena_mark here = hg_arena_here(g->mem);
    float *part = HG_NEW_RAW(g->mem, float, HG_SUM_PARTS *d);
    if (part == NULL) {
        (void)hg_graph_fail(g, HG_E_NOMEM, "no memory to add up %zu columns", d);
        return;
    }
    sum_job j = {.k = &g->rt->k, .x = x, .n = n, .d = d, .part = part};
    hg_pool_run(g->rt->pool, HG_SUM_PARTS, 1, column_sums_part, &j);
    hg_op_add_parts(g, dst, part, d, is_first);
    hg_arena_rewind(g->mem, here);
}
