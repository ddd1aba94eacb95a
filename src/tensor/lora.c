/* Low-rank additions: two thin products behind a wide one. Rank 16 on a width of 2048 adds 1.6% to
 * the arithmetic, so the thin ones are ordinary products over each range of rows; what matters is
 * that a range's rows go through them alone. */
#include "tensor/lora.h"
#include "tensor/matmul.h"
#include "tensor/ops.h"
#include "tensor/ops_impl.h"
#include "tensor/thin.h"

#include <string.h>

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

/* ---- an adapter in the making ---- */

/* Panels of B for what is added to a product; they live until its end. */
static const hg_more *pack_more(hg_graph *g, hg_tuned *u, const float *low, hg_matrix b, size_t n)
{
    const size_t rank = u->a->dim[0];
    void *panels = hg_arena_raw(g->mem, hg_matmul_b_size(g->rt, g->compute, n, rank), 1);
    if (panels == NULL) {
        (void)hg_graph_fail(g, HG_E_NOMEM, "no room for the panels of an adapter");
        return NULL;
    }
    hg_matmul_pack_b(g->rt, g->compute, panels, &b, n, rank);
    u->low = (hg_matrix){low, HG_F32, hg_thin_width(rank), 1};
    u->more = (hg_more){&u->low, panels, rank};
    return &u->more;
}

static float *thin_rows(hg_graph *g, size_t n, size_t rank)
{
    float *p = HG_NEW(g->mem, float, n *hg_thin_width(rank));
    if (p == NULL) (void)hg_graph_fail(g, HG_E_NOMEM, "no room for %zu rows of an adapter", n);
    return p;
}

hg_tuned *hg_lora_tuned(hg_graph *g, hg_tensor *x, const hg_tensor *w)
{
    const hg_lora_tuning *t = g->tuning;
    if (t == NULL || w < t->w || w >= t->w + t->n || t->a[w - t->w] == NULL) return NULL;
    const size_t i = (size_t)(w - t->w), n = hg_tensor_rows(x), n_in = hg_tensor_cols(x);
    hg_tuned *u = HG_NEW(g->mem, hg_tuned, 1);
    if (u == NULL) {
        (void)hg_graph_fail(g, HG_E_NOMEM, "no room for what an adapter keeps");
        return NULL;
    }
    *u = (hg_tuned){.in = x, .a = t->a[i], .b = t->b[i], .scale = t->scale};
    if (t->dropout > 0 && g->drops)
        u->in = hg_op_dropout(g, x, t->dropout, t->seed + i, t->first_row);
    const size_t rank = u->a->dim[0], width = hg_thin_width(rank);
    u->thin = thin_rows(g, n, rank);
    if (g->status != HG_OK) return NULL;
    const hg_matrix in = {u->in->data, u->in->type, n_in, 1}, a = {u->a->data, HG_F32, 1, n_in};
    g->status =
        hg_matmul(g->rt, g->compute, u->thin, width, &in, &a, n, rank, n_in, false, &g->err);
    g->rt->k.scale_f32(u->thin, u->scale, u->thin, n * width);
    return u;
}

const hg_more *hg_tuned_forward(hg_graph *g, hg_tuned *u)
{
    if (u == NULL || g->status != HG_OK) return NULL;
    const size_t rank = u->a->dim[0];
    return pack_more(g, u, u->thin, (hg_matrix){u->b->data, HG_F32, 1, rank}, u->b->dim[0]);
}

void hg_tuned_open(hg_graph *g, hg_tuned *u, const hg_tensor *x)
{
    if (u != NULL && u->in != x) u->d_in = hg_grad_open(g, u->in, &u->is_first);
}

/* B with as many columns as thin matrices have. */
static const float *wide_b(hg_graph *g, const hg_tuned *u)
{
    const size_t rank = u->a->dim[0], width = hg_thin_width(rank), n_out = u->b->dim[0];
    if (rank == width) return u->b->data;
    float *b = thin_rows(g, n_out, rank);
    for (size_t i = 0; b != NULL && i < n_out; i++)
        memcpy(b + i * width, (const float *)u->b->data + i * rank, rank * sizeof *b);
    return b;
}

const hg_more *hg_tuned_back(hg_graph *g, hg_tuned *u, const hg_tensor *x, const float *dy)
{
    if (u == NULL || g->status != HG_OK) return NULL;
    const size_t rank = u->a->dim[0], width = hg_thin_width(rank), n = hg_tensor_rows(x);
    const size_t n_out = u->b->dim[0], n_in = u->a->dim[1];
    const float *b = wide_b(g, u);
    float *d = thin_rows(g, n, rank); /* of in A^T */
    if (b == NULL || d == NULL) return NULL;
    hg_thin_rows(g->rt, d, dy, b, n, n_out, width);
    g->rt->k.scale_f32(d, u->scale, d, n * width);
    hg_thin_add(g->rt, &(hg_thin_sum){u->b->grad, false, dy, HG_F32, u->thin, n, n_out, rank});
    hg_thin_add(g->rt,
                &(hg_thin_sum){u->a->grad, true, u->in->data, u->in->type, d, n, n_in, rank});
    const hg_matrix a = {u->a->data, HG_F32, n_in, 1};
    if (u->in == x) return hg_wants_grad(x) ? pack_more(g, u, d, a, n_in) : NULL;
    const hg_matrix low = {d, HG_F32, width, 1};
    if (u->d_in != NULL)
        g->status = hg_matmul(g->rt, g->compute, u->d_in, n_in, &low, &a, n, n_in, rank,
                              !u->is_first, &g->err);
    return NULL;
}
