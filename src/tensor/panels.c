/* The panels of a step's weights, and the products with them. */
#include "tensor/panels.h"
#include "kernels/quant.h"
#include "tensor/matmul.h"

static hg_matrix form_of(const hg_tensor *w, bool is_back)
{
    const size_t n_in = w->dim[1];
    return is_back ? (hg_matrix){w->data, w->type, n_in, 1}
                   : (hg_matrix){w->data, w->type, 1, n_in};
}

static size_t form_size(const hg_runtime *rt, hg_compute compute, const hg_tensor *w, bool is_back)
{
    const size_t n_out = w->dim[0], n_in = w->dim[1];
    return is_back ? hg_matmul_b_size(rt, compute, n_in, n_out)
                   : hg_matmul_b_size(rt, compute, n_out, n_in);
}

size_t hg_panels_size(const hg_runtime *rt, hg_compute compute, const hg_tensor *w)
{
    return form_size(rt, compute, w, false) + form_size(rt, compute, w, true);
}

hg_status hg_panels_init(hg_panel_set *s, const hg_runtime *rt, hg_compute compute,
                         hg_tensor *const *w, size_t n, hg_arena *mem, hg_err *e)
{
    *s = (hg_panel_set){.of = HG_NEW(mem, hg_kept_panels, n), .n = n};
    if (s->of == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the panels of %zu weights", n);
    for (size_t i = 0; i < n; i++) {
        hg_kept_panels *p = &s->of[i];
        p->w = w[i];
        p->forward = hg_arena_raw(mem, form_size(rt, compute, w[i], false), 1);
        p->back = hg_arena_raw(mem, form_size(rt, compute, w[i], true), 1);
        if (p->forward == NULL || p->back == NULL)
            return hg_fail(e, HG_E_NOMEM, "no room for the panels of a weight of %zu x %zu",
                           w[i]->dim[0], w[i]->dim[1]);
    }
    return HG_OK;
}

void hg_panels_forget(hg_panel_set *s)
{
    if (s->are_frozen) return;
    for (size_t i = 0; i < s->n; i++) s->of[i].has_forward = s->of[i].has_back = false;
}

static hg_kept_panels *find(hg_panel_set *s, const hg_tensor *w)
{
    for (size_t i = 0; s != NULL && i < s->n; i++)
        if (s->of[i].w == w) return &s->of[i];
    return NULL;
}

/* The form that a product wants, packed; NULL when it is not kept. */
static const void *kept(hg_graph *g, const hg_tensor *w, bool is_back)
{
    hg_kept_panels *p = find(g->panels, w);
    if (p == NULL) return NULL;
    void *panels = is_back ? p->back : p->forward;
    bool *has = is_back ? &p->has_back : &p->has_forward;
    const hg_matrix b = form_of(w, is_back);
    if (!*has) hg_matmul_pack_b(g->rt, g->compute, panels, &b, w->dim[is_back], w->dim[!is_back]);
    *has = true;
    return panels;
}

/* ---- weights in blocks ---- */

/* Rows of such a weight are made floats a slice at a time, so that no more than HG_SLICE_BYTES of
 * them ever exist. */
typedef struct slice {
    const hg_tensor *w;
    size_t row;
    float *out; /* [rows][n_in] */
} slice;

static void slice_rows(void *ctx, size_t begin, size_t end, int thread)
{
    const slice *s = ctx;
    const size_t n_in = s->w->dim[1], bytes = hg_type_bytes(s->w->type, n_in);
    (void)thread;
    for (size_t r = begin; r < end; r++)
        hg_blocks_to_f32(s->out + r * n_in, (const char *)s->w->data + (s->row + r) * bytes,
                         s->w->type, n_in);
}

/* Forward a slice gives some columns of c; back it is some of the products that c sums up. */
static hg_status by_slice(hg_graph *g, float *c, const hg_matrix *a, const slice *s, size_t rows,
                          bool is_back, size_t m, bool add)
{
    const size_t n_out = s->w->dim[0], n_in = s->w->dim[1];
    hg_matrix b = {s->out, HG_F32, n_in, 1}, some = *a;
    if (!is_back) {
        b = (hg_matrix){s->out, HG_F32, 1, n_in};
        return hg_matmul(g->rt, g->compute, c + s->row, n_out, a, &b, m, rows, n_in, add, &g->err);
    }
    some.base = (const char *)a->base + s->row * a->col_stride * hg_type_size(a->type);
    return hg_matmul(g->rt, g->compute, c, n_in, &some, &b, m, n_in, rows, add || s->row > 0,
                     &g->err);
}

static hg_status by_blocks(hg_graph *g, float *c, const hg_matrix *a, const hg_tensor *w,
                           bool is_back, size_t m, bool add)
{
    const size_t n_out = w->dim[0], n_in = w->dim[1];
    size_t most = HG_SLICE_BYTES / sizeof(float) / n_in, rows;
    if (most < 1) most = 1;
    if (most > n_out) most = n_out;
    const hg_arena_mark here = hg_arena_here(g->mem);
    slice s = {.w = w, .out = HG_NEW_RAW(g->mem, float, most *n_in)};
    hg_status status = HG_OK;
    if (s.out == NULL)
        return hg_fail(&g->err, HG_E_NOMEM, "no room for %zu rows of a weight", most);
    for (; s.row < n_out && status == HG_OK; s.row += rows) {
        rows = n_out - s.row < most ? n_out - s.row : most;
        hg_pool_run(g->rt->pool, rows, 1, slice_rows, &s);
        status = by_slice(g, c, a, &s, rows, is_back, m, add);
    }
    hg_arena_rewind(g->mem, here);
    return status;
}

hg_status hg_matmul_weight(hg_graph *g, float *c, const hg_matrix *a, const hg_tensor *w,
                           bool is_back, const hg_more *more, size_t m, bool add)
{
    const size_t n = w->dim[is_back], k = w->dim[!is_back];
    if (hg_type_is_block(w->type)) {
        HG_TRY(by_blocks(g, c, a, w, is_back, m, add));
        return more == NULL ? HG_OK
                            : hg_matmul_by(g->rt, g->compute, c, n, more->a, more->packed_b, m, n,
                                           more->k, true, &g->err);
    }
    const hg_matrix b = form_of(w, is_back);
    return hg_matmul_and(g->rt, g->compute, c, n, a, &b, kept(g, w, is_back), more, m, n, k, add,
                         &g->err);
}
