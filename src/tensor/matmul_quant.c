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

/* One weight, and the activations as its type wants them. */
typedef struct product {
    hg_product of;
    char *a;
    size_t first; /* panel, of those of all weights in a row */
} product;

typedef struct launch {
    hg_runtime *rt;
    const hg_qgemm_kernel *g;
    const float *x;
    size_t m, k;
    size_t height; /* rows of a panel of A */
    size_t slice;  /* k of it; A lies slice by slice */
    product p[HG_MAX_PRODUCTS];
    size_t n, n_panels;
} launch;

static size_t ceil_div(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* ---- activations ---- */

/* The panel of rows [row, ..) and of the slice that begins at k0. */
static char *a_panel(const launch *l, const product *p, size_t row, size_t k0, size_t kc)
{
    const hg_type t = p->of.type;
    return p->a + hg_q_a_size(t, l->m, k0) + hg_q_a_size(t, row, kc);
}

static bool same_fields(hg_type a, hg_type b)
{
    const hg_qform *f = &hg_qforms[a], *g = &hg_qforms[b];
    return f->granule == g->granule && f->has_min == g->has_min &&
           (f->has_min || f->offset == g->offset);
}

/* The first product whose activations are those of the i-th. */
static size_t owner_of(const launch *l, size_t i)
{
    size_t o = 0;
    while (!same_fields(l->p[o].of.type, l->p[i].of.type)) o++;
    return o;
}

/* Items are the panels of A for each weight that owns one. */
static void pack_a(void *ctx, size_t begin, size_t end, int thread)
{
    const launch *l = ctx;
    const size_t panels = ceil_div(l->m, l->height);
    (void)thread;
    for (size_t i = begin; i < end; i++) {
        const product *p = &l->p[i / panels];
        size_t row = i % panels * l->height, rows = min_size(l->height, l->m - row);
        if (owner_of(l, i / panels) != i / panels) continue;
        for (size_t k0 = 0; k0 < l->k; k0 += l->slice) {
            size_t kc = min_size(l->slice, l->k - k0);
            l->g->pack_a(a_panel(l, p, row, k0, kc), l->x + row * l->k + k0, l->k, rows, kc,
                         p->of.type);
        }
    }
}

/* ---- the products ---- */

/* Panel *j of all, and then of the product that it returns. */
static const product *panel_of(const launch *l, size_t *j)
{
    size_t i = l->n - 1;
    while (*j < l->p[i].first) i--;
    *j -= l->p[i].first;
    return &l->p[i];
}

static void run_packed(void *ctx, size_t begin, size_t end, int thread)
{
    const launch *l = ctx;
    (void)thread;
    for (size_t at = begin; at < end; at++) {
        size_t j = at;
        const product *p = panel_of(l, &j);
        const hg_product *of = &p->of;
        const char *panel = (const char *)of->packed + j * hg_q_panel_size(of->type, l->k);
        l->g->few_tile(of->y + j * HG_Q_NR, of->n_out, p->a, panel, l->k, l->m,
                       min_size(HG_Q_NR, of->n_out - j * HG_Q_NR), of->type);
    }
}

/* A slice of panel j: spread once, then multiplied by all rows. The first of them asks for the
 * slice that comes next. */
static void run_slice(const launch *l, const product *p, size_t j, size_t k0, void *wide)
{
    const hg_type t = p->of.type;
    const size_t n = p->of.n_out;
    size_t kc = min_size(l->slice, l->k - k0), cols = min_size(HG_Q_NR, n - j * HG_Q_NR);
    const char *at = (const char *)p->of.packed + j * hg_q_panel_size(t, l->k);
    at += hg_q_panel_size(t, k0);
    const char *next = at + hg_q_panel_size(t, kc);
    l->g->widen(wide, at, kc, t);
    for (size_t row = 0; row < l->m; row += l->height)
        l->g->tile(p->of.y + row * n + j * HG_Q_NR, n, a_panel(l, p, row, k0, kc), wide, kc,
                   min_size(l->height, l->m - row), cols, t, k0 == 0, row == 0 ? next : NULL);
}

static void run_wide(void *ctx, size_t begin, size_t end, int thread)
{
    const launch *l = ctx;
    for (size_t at = begin; at < end; at++) {
        size_t j = at;
        const product *p = panel_of(l, &j);
        for (size_t k0 = 0; k0 < l->k; k0 += l->slice)
            run_slice(l, p, j, k0, l->rt->scratch[thread].p);
    }
}

/* Room for the activations, in each of the ways that the weights want them, and for wide panels. */
static bool make_room(launch *l)
{
    size_t at[HG_MAX_PRODUCTS], a_bytes = 0, wide = 0;
    for (size_t i = 0; i < l->n; i++) {
        const hg_type t = l->p[i].of.type;
        const size_t o = owner_of(l, i);
        at[i] = o < i ? at[o] : a_bytes;
        if (o == i) a_bytes += ceil_div(hg_q_a_size(t, l->m, l->k), 64) * 64;
        if (hg_q_wide_size(t, l->slice) > wide) wide = hg_q_wide_size(t, l->slice);
    }
    char *a = hg_runtime_scratch(l->rt, -1, a_bytes);
    for (size_t i = 0; a != NULL && i < l->n; i++) l->p[i].a = a + at[i];
    if (l->m <= l->g->few) return a != NULL;
    for (int t = 0; t < l->rt->n_threads; t++)
        if (hg_runtime_scratch(l->rt, t, wide) == NULL) return false;
    return a != NULL;
}

hg_status hg_quant_matmul(hg_runtime *rt, const hg_product *of, size_t n, const float *x, size_t m,
                          size_t n_in, hg_err *e)
{
    launch l = {.rt = rt, .g = &rt->k.qgemm, .x = x, .m = m, .k = n_in, .n = n};
    l.height = ceil_div(m, ceil_div(m, l.g->mr));
    l.slice = m <= l.g->few || l.g->slice == 0 ? n_in : min_size(l.g->slice, n_in);
    for (size_t i = 0; i < n; i++) {
        l.p[i] = (product){.of = of[i], .first = l.n_panels};
        l.n_panels += ceil_div(of[i].n_out, HG_Q_NR);
    }
    if (!make_room(&l))
        return hg_fail(e, HG_E_NOMEM, "no memory to quantise %zu rows of %zu", m, n_in);
    hg_pool_run(m * n_in <= SERIAL_A ? NULL : rt->pool, n * ceil_div(m, l.height), 1, pack_a, &l);
    size_t grain = l.n_panels / ((size_t)rt->n_threads * CHUNKS);
    hg_pool_run(rt->pool, l.n_panels, grain > 0 ? grain : 1, m <= l.g->few ? run_packed : run_wide,
                &l);
    return HG_OK;
}
