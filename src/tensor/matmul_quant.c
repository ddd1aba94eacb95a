/* Products with quantised weights over the thread pool. Activations are quantised first, all of
 * them; then threads take panels of weights. With few rows a panel is multiplied as it lies, so
 * that decoding reads the bytes of the file and no more; with more rows its codes are spread to
 * bytes once and meet all rows. Both give the same bits. */
#include "tensor/matmul_quant.h"
#include "kernels/qgemm.h"

enum {
    CHUNKS = 8,          /* pieces of work a thread */
    SERIAL_A = 16 * 1024 /* so many activations are quantised by the caller alone */
};

typedef struct product {
    hg_runtime *rt;
    const hg_qgemm_kernel *g;
    hg_type type;
    float *y;
    const float *x;
    const char *packed;
    char *a;
    size_t m, n, k;
    size_t height; /* rows of a panel of A */
    size_t slice;  /* k of it; A lies slice by slice */
} product;

static size_t ceil_div(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* ---- packing ---- */

typedef struct packing {
    const hg_matrix *w;
    char *dst;
    size_t n, k;
} packing;

static void pack_panels(void *ctx, size_t begin, size_t end, int thread)
{
    const packing *p = ctx;
    size_t row_bytes = hg_type_bytes(p->w->type, p->w->row_stride);
    (void)thread;
    for (size_t j = begin; j < end; j++) {
        const char *rows = (const char *)p->w->base + j * HG_Q_NR * row_bytes;
        hg_q_pack_panel(p->dst + j * hg_q_panel_size(p->w->type, p->k), p->w->type, rows, row_bytes,
                        min_size(HG_Q_NR, p->n - j * HG_Q_NR), p->k);
    }
}

size_t hg_quant_packed_size(hg_type type, size_t n_out, size_t n_in)
{
    return ceil_div(n_out, HG_Q_NR) * hg_q_panel_size(type, n_in);
}

void hg_quant_pack(hg_runtime *rt, void *dst, const hg_matrix *w, size_t n_out, size_t n_in)
{
    packing p = {w, dst, n_out, n_in};
    hg_pool_run(rt->pool, ceil_div(n_out, HG_Q_NR), 1, pack_panels, &p);
}

/* ---- the product ---- */

/* The panel of rows [row, ..) and of the slice that begins at k0. */
static char *a_panel(const product *p, size_t row, size_t k0, size_t kc)
{
    return p->a + hg_q_a_size(p->type, p->m, k0) + hg_q_a_size(p->type, row, kc);
}

static void pack_a(void *ctx, size_t begin, size_t end, int thread)
{
    const product *p = ctx;
    (void)thread;
    for (size_t i = begin; i < end; i++) {
        size_t row = i * p->height, rows = min_size(p->height, p->m - row);
        for (size_t k0 = 0; k0 < p->k; k0 += p->slice) {
            size_t kc = min_size(p->slice, p->k - k0);
            p->g->pack_a(a_panel(p, row, k0, kc), p->x + row * p->k + k0, p->k, rows, kc, p->type);
        }
    }
}

static void run_packed(void *ctx, size_t begin, size_t end, int thread)
{
    const product *p = ctx;
    size_t panel_bytes = hg_q_panel_size(p->type, p->k);
    (void)thread;
    for (size_t j = begin; j < end; j++)
        p->g->few_tile(p->y + j * HG_Q_NR, p->n, p->a, p->packed + j * panel_bytes, p->k, p->m,
                       min_size(HG_Q_NR, p->n - j * HG_Q_NR), p->type);
}

/* A slice of panel j: spread once, then multiplied by all rows. The first of them asks for the
 * slice that comes next. */
static void run_slice(const product *p, size_t j, size_t k0, void *wide)
{
    size_t kc = min_size(p->slice, p->k - k0), cols = min_size(HG_Q_NR, p->n - j * HG_Q_NR);
    const char *at = p->packed + j * hg_q_panel_size(p->type, p->k) + hg_q_panel_size(p->type, k0);
    const char *next = at + hg_q_panel_size(p->type, kc);
    p->g->widen(wide, at, kc, p->type);
    for (size_t row = 0; row < p->m; row += p->height)
        p->g->tile(p->y + row * p->n + j * HG_Q_NR, p->n, a_panel(p, row, k0, kc), wide, kc,
                   min_size(p->height, p->m - row), cols, p->type, k0 == 0, row == 0 ? next : NULL);
}

static void run_wide(void *ctx, size_t begin, size_t end, int thread)
{
    const product *p = ctx;
    for (size_t j = begin; j < end; j++)
        for (size_t k0 = 0; k0 < p->k; k0 += p->slice)
            run_slice(p, j, k0, p->rt->scratch[thread].p);
}

static bool make_room(product *p)
{
    p->a = hg_runtime_scratch(p->rt, -1, hg_q_a_size(p->type, p->m, p->k));
    if (p->m <= p->g->few) return p->a != NULL;
    for (int t = 0; t < p->rt->n_threads; t++)
        if (hg_runtime_scratch(p->rt, t, hg_q_wide_size(p->type, p->slice)) == NULL) return false;
    return p->a != NULL;
}

hg_status hg_quant_matmul(hg_runtime *rt, hg_type type, float *y, const float *x,
                          const void *packed, size_t m, size_t n_out, size_t n_in, hg_err *e)
{
    product p = {.rt = rt, .g = &rt->k.qgemm, .type = type, .y = y, .x = x, .packed = packed};
    p.m = m;
    p.n = n_out;
    p.k = n_in;
    p.height = ceil_div(m, ceil_div(m, p.g->mr));
    p.slice = m <= p.g->few || p.g->slice == 0 ? n_in : min_size(p.g->slice, n_in);
    if (!make_room(&p))
        return hg_fail(e, HG_E_NOMEM, "no memory to quantise %zu rows of %zu", m, n_in);
    hg_pool_run(m * n_in <= SERIAL_A ? NULL : rt->pool, ceil_div(m, p.height), 1, pack_a, &p);
    size_t panels = ceil_div(n_out, HG_Q_NR), grain = panels / ((size_t)rt->n_threads * CHUNKS);
    hg_pool_run(rt->pool, panels, grain > 0 ? grain : 1, m <= p.g->few ? run_packed : run_wide, &p);
    return HG_OK;
}
