/* Rows picked by index: the token embedding (the first step of a forward pass), learned positions,
 * and the choice of the rows whose final state is wanted.
 *
 * Backward scatters: the gradient of row i goes to row ids[i]. Rows may repeat, so the target rows
 * are dealt to a fixed number of parts and each part adds its own in order of i. */
#include "kernels/quant.h"
#include "tensor/ops_impl.h"

#include <string.h>

typedef struct pick_job {
    const hg_kernels *k;
    float *dst;
    const void *src;
    hg_type type; /* of src */
    const int32_t *ids;
    size_t n, d;
} pick_job;

static void pick_chunk(void *ctx, size_t begin, size_t end, int thread)
{
    const pick_job *j = ctx;
    (void)thread;
    for (size_t i = begin; i < end; i++) {
        const char *row = (const char *)j->src + (size_t)j->ids[i] * hg_type_bytes(j->type, j->d);
        float *to = j->dst + i * j->d;
        if (j->type == HG_BF16)
            j->k->bf16_to_f32(to, (const hg_bf16 *)(const void *)row, j->d);
        else if (j->type == HG_F16)
            j->k->f16_to_f32(to, (const hg_f16 *)(const void *)row, j->d);
        else if (hg_type_is_block(j->type))
            hg_blocks_to_f32(to, row, j->type, j->d);
        else
            memcpy(to, row, j->d * sizeof *to);
    }
}

static void scatter_part(void *ctx, size_t begin, size_t end, int thread)
{
    const pick_job *j = ctx;
    (void)thread;
    for (size_t p = begin; p < end; p++)
        for (size_t i = 0; i < j->n; i++) {
            size_t id = (size_t)j->ids[i];
            if (id % HG_SUM_PARTS != p) continue;
            float *to = j->dst + id * j->d;
            j->k->add_f32(to, to, (const float *)j->src + i * j->d, j->d);
        }
}

static void pick_back(hg_graph *g, hg_step *s)
{
    hg_tensor *table = s->in[0];
    bool is_first = false;
    float *d = hg_grad_open(g, table, &is_first);
    if (d == NULL) return;
    if (is_first) memset(d, 0, hg_tensor_count(table) * sizeof *d);
    pick_job j = {.k = &g->rt->k,
                  .dst = d,
                  .src = s->out->grad,
                  .ids = s->saved,
                  .n = hg_tensor_rows(s->out),
                  .d = hg_tensor_cols(table)};
    hg_pool_run(g->rt->pool, HG_SUM_PARTS, 1, scatter_part, &j);
}

static hg_tensor *pick(hg_graph *g, const char *op, hg_tensor *x, int32_t *ids, size_t n)
{
    size_t rows = hg_tensor_rows(x), d = hg_tensor_cols(x);
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || (size_t)ids[i] >= rows)
            return hg_graph_fail(g, HG_E_ARG, "%s: index %zu is %d; 0 to %zu allowed", op, i,
                                 (int)ids[i], rows - 1);
    hg_tensor *y = hg_graph_tensor(g, n, d);
    if (y == NULL) return NULL;
    pick_job j = {&g->rt->k, y->data, x->data, x->type, ids, n, d};
    hg_pool_run(g->rt->pool, n, hg_op_grain(2 * d * sizeof(float)), pick_chunk, &j);
    if (hg_op_recorded(g, x, NULL, NULL) &&
        hg_op_record(g, pick_back, (hg_tensor *[3]){x}, y, ids) == NULL)
        return NULL;
    return y;
}

/* The step's `saved` is not const; the ids are only read. */
static int32_t *index_array(const int32_t *ids)
{
    return (int32_t *)(uintptr_t)ids;
}

hg_tensor *hg_op_embed(hg_graph *g, hg_tensor *table, const int32_t *ids, size_t n)
{
    if (!hg_op_check_weight(g, "embed", "table", table)) return NULL;
    if (table->data == NULL)
        return hg_graph_fail(g, HG_E_ARG,
                             "embed: the table is held only packed; its rows are "
                             "needed as well");
    return pick(g, "embed", table, index_array(ids), n);
}

hg_tensor *hg_op_rows(hg_graph *g, hg_tensor *x, const int32_t *rows, size_t n)
{
    if (!hg_op_check(g, "rows", "x", x)) return NULL;
    return pick(g, "rows", x, index_array(rows), n);
}
