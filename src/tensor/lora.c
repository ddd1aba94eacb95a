/* Low-rank additions: two thin products behind a wide one. Rank 16 on a width of 2048 adds 1.6% to
 * the arithmetic, so the thin ones are ordinary products over each range of rows; what matters is
 * that a range's rows go through them alone. */
#include "tensor/lora.h"
#include "tensor/matmul.h"
#include "tensor/ops.h"
#include "tensor/ops_impl.h"

typedef struct add_job {
    const hg_kernels *k;
    float *y;
    const float *more; /* [n][d] */
    size_t d;
} add_job;

static void add_chunk(void *ctx, size_t begin, size_t end, int thread)
{
    const add_job *j = ctx;
    float *y = j->y + begin * j->d;
    (void)thread;
    j->k->add_f32(y, y, j->more + begin * j->d, (end - begin) * j->d);
}

/* y += scale (x A^T) B^T for n rows. */
static hg_status add_pair(hg_graph *g, float *y, const float *x, size_t n, const hg_tensor *w,
                          const hg_lora_pair *p, float scale)
{
    const size_t n_out = w->dim[0], n_in = w->dim[1];
    float *thin = HG_NEW_RAW(g->mem, float, n * p->rank); /* [n][rank] */
    float *wide = HG_NEW_RAW(g->mem, float, n *n_out);    /* [n][n_out] */
    if (thin == NULL || wide == NULL)
        return hg_fail(&g->err, HG_E_NOMEM, "no room for what an adapter adds to %zu rows", n);
    HG_TRY(hg_matmul_packed(g->rt, HG_F32, thin, x, p->a, n, p->rank, n_in, &g->err));
    g->rt->k.scale_f32(thin, scale * p->scale, thin, n * p->rank);
    HG_TRY(hg_matmul_packed(g->rt, HG_F32, wide, thin, p->b, n, n_out, p->rank, &g->err));
    add_job j = {&g->rt->k, y, wide, n_out};
    hg_pool_run(g->rt->pool, n, hg_op_grain(n_out * sizeof *y), add_chunk, &j);
    return HG_OK;
}

static hg_status add_range(hg_graph *g, const hg_lora_rows *r, hg_tensor *y, const hg_tensor *x,
                           const hg_tensor *w)
{
    const size_t n_in = hg_tensor_cols(x), n_out = w->dim[0], n = hg_tensor_rows(x);
    if (r->row > n || r->n > n - r->row)
        return hg_fail(&g->err, HG_E_STATE, "an adapter for rows %zu to %zu of %zu", r->row,
                       r->row + r->n, n);
    for (size_t i = 0; i < r->n_use; i++) {
        const hg_lora *l = r->use[i].lora;
        if (w < l->w || w >= l->w + l->n || l->pair[w - l->w].a == NULL) continue;
        HG_TRY(add_pair(g, (float *)y->data + r->row * n_out,
                        (const float *)x->data + r->row * n_in, r->n, w, &l->pair[w - l->w],
                        r->use[i].scale));
    }
    return HG_OK;
}

void hg_lora_add(hg_graph *g, hg_tensor *y, const hg_tensor *x, const hg_tensor *w)
{
    const hg_arena_mark before = hg_arena_here(g->mem);
    for (size_t i = 0; i < g->lora->n && g->status == HG_OK; i++)
        if (g->lora->rows[i].n > 0) g->status = add_range(g, &g->lora->rows[i], y, x, w);
    hg_arena_rewind(g->mem, before);
}

hg_tensor *hg_lora_tuned(hg_graph *g, hg_tensor *y, hg_tensor *x, const hg_tensor *w)
{
    const hg_lora_tuning *t = g->tuning;
    const size_t i = (size_t)(w - t->w);
    if (w < t->w || i >= t->n || t->a[i] == NULL) return y;
    g->tuning = NULL; /* the thin products are not tuned themselves */
    hg_tensor *in = t->dropout > 0 && g->drops ? hg_op_dropout(g, x, t->dropout, t->seed + i) : x;
    hg_tensor *thin = hg_op_scale(g, hg_op_linear(g, in, t->a[i], NULL), t->scale);
    hg_tensor *wide = hg_op_linear(g, thin, t->b[i], NULL);
    hg_tensor *sum = hg_op_add(g, y, wide);
    hg_graph_drop(g, wide);
    hg_graph_drop(g, y);
    g->tuning = t;
    return sum;
}
