/* Weights into the kernels' own layout, once, when a model is loaded: threads take panel after
 * panel. Where a file orders rows in another way or holds another type, the rows of a panel are
 * first put in order in the thread's own scratch, so that this too is done by all threads, in
 * cache, and no second copy of the matrix exists. */
#include "kernels/qgemm.h"
#include "tensor/matmul.h"

/* Rows of a weight in a panel, and its size. */
typedef struct panels {
    size_t nr, bytes;
} panels;

typedef struct packing {
    hg_runtime *rt;
    hg_type type;
    char *dst;
    size_t n, k; /* rows of the weight, and values in a row */
    panels of;
    const hg_matrix *w; /* NULL: rows come from `rows` */
    hg_rows_fn *rows;
    const void *ctx;
} packing;

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static panels panels_of(const hg_runtime *rt, hg_type type, size_t n_in)
{
    if (hg_type_is_block(type)) return (panels){HG_Q_NR, hg_q_panel_size(type, n_in)};
    const hg_gemm_kernel *g = hg_weight_kernel(rt, type);
    const size_t depth = (n_in + g->k_step - 1) / g->k_step * g->k_step;
    return (panels){g->nr, g->nr * depth * g->b_size};
}

size_t hg_packed_size(const hg_runtime *rt, hg_type type, size_t n_out, size_t n_in)
{
    const panels p = panels_of(rt, type, n_in);
    return (n_out + p.nr - 1) / p.nr * p.bytes;
}

/* Panel j, whose rows are those of w from `row` on. */
static void pack_panel(const packing *p, size_t j, const hg_matrix *w, size_t row)
{
    const size_t rows = min_size(p->of.nr, p->n - j * p->of.nr);
    char *dst = p->dst + j * p->of.bytes;
    if (hg_type_is_block(p->type)) {
        const size_t row_bytes = hg_type_bytes(w->type, w->row_stride);
        hg_q_pack_panel(dst, p->type, (const char *)w->base + row * row_bytes, row_bytes, rows,
                        p->k);
        return;
    }
    const hg_gemm_kernel *g = hg_weight_kernel(p->rt, p->type);
    const hg_matrix b = {w->base, w->type, w->col_stride, w->row_stride}; /* B = W^T */
    for (size_t k0 = 0; k0 < p->k; k0 += HG_GEMM_KC)
        g->pack_b(dst + k0 * g->nr * g->b_size, &b, row, rows, k0, min_size(HG_GEMM_KC, p->k - k0));
}

static void pack_some(void *ctx, size_t begin, size_t end, int thread)
{
    const packing *p = ctx;
    for (size_t j = begin; j < end; j++) {
        if (p->rows == NULL) {
            pack_panel(p, j, p->w, j * p->of.nr);
            continue;
        }
        void *own = p->rt->scratch[thread].p;
        p->rows(p->ctx, j * p->of.nr, min_size(p->of.nr, p->n - j * p->of.nr), own);
        pack_panel(p, j, &(hg_matrix){own, p->type, p->k, 1}, 0);
    }
}

static void pack_all(packing *p)
{
    hg_pool_run(p->rt->pool, (p->n + p->of.nr - 1) / p->of.nr, 1, pack_some, p);
}

void hg_pack_weight(hg_runtime *rt, hg_type type, void *dst, const hg_matrix *w, size_t n_out,
                    size_t n_in)
{
    packing p = {.rt = rt, .type = type, .dst = dst, .n = n_out, .k = n_in, .w = w};
    p.of = panels_of(rt, type, n_in);
    pack_all(&p);
}

hg_status hg_pack_rows(hg_runtime *rt, hg_type type, void *dst, hg_rows_fn *rows, const void *ctx,
                       size_t n_out, size_t n_in, hg_err *e)
{
    packing p = {.rt = rt, .type = type, .dst = dst, .n = n_out, .k = n_in};
    p.of = panels_of(rt, type, n_in);
    p.rows = rows;
    p.ctx = ctx;
    for (int t = 0; t < rt->n_threads; t++)
        if (hg_runtime_scratch(rt, t, p.of.nr * hg_type_bytes(type, n_in)) == NULL)
            return hg_fail(e, HG_E_NOMEM, "no memory to pack rows of %zu", n_in);
    pack_all(&p);
    return HG_OK;
}
