/* The panels of a step's weights, and the products with them. */
#include "tensor/panels.h"
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

hg_status hg_matmul_weight(hg_graph *g, float *c, const hg_matrix *a, const hg_tensor *w,
                           bool is_back, size_t m, bool add)
{
    const size_t n = w->dim[is_back], k = w->dim[!is_back];
    const hg_matrix b = form_of(w, is_back);
    const void *panels = kept(g, w, is_back);
    if (panels != NULL)
        return hg_matmul_by(g->rt, g->compute, c, n, a, panels, m, n, k, add, &g->err);
    return hg_matmul(g->rt, g->compute, c, n, a, &b, m, n, k, add, &g->err);
}
