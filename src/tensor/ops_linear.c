/* The linear map y = x W^T + b: nearly all of a model's arithmetic.
 *
 *   forward   y  = x W^T        [n][n_in] [n_in][n_out]
 *   backward  dx = dy W         [n][n_out] [n_out][n_in]
 *             dW += dy^T x      [n_out][n] [n][n_in]
 * A weight that is held packed (inference) is used as it is; otherwise the product packs the
 * row-major weight as it goes, transposed or not by the strides it is told. */
#include "tensor/lora.h"
#include "tensor/matmul.h"
#include "tensor/ops_impl.h"
#include "tensor/panels.h"

typedef struct bias_job {
    const hg_kernels *k;
    float *y;
    const float *b;
    size_t d;
} bias_job;

static void bias_chunk(void *ctx, size_t begin, size_t end, int thread)
{
    const bias_job *j = ctx;
    (void)thread;
    for (size_t t = begin; t < end; t++)
        j->k->add_f32(j->y + t * j->d, j->y + t * j->d, j->b, j->d);
}

static void product(hg_graph *g, float *c, size_t ldc, hg_matrix a, hg_matrix b, size_t m, size_t n,
                    size_t k, bool add)
{
    hg_status s = hg_matmul(g->rt, g->compute, c, ldc, &a, &b, m, n, k, add, &g->err);
    if (s != HG_OK) g->status = s;
}

static void by_weight(hg_graph *g, float *c, const hg_matrix *a, const hg_tensor *w, bool is_back,
                      const hg_more *more, size_t m, bool add)
{
    hg_status s = hg_matmul_weight(g, c, a, w, is_back, more, m, add);
    if (s != HG_OK) g->status = s;
}

static void linear_back(hg_graph *g, hg_step *s)
{
    hg_tensor *x = s->in[0], *w = s->in[1], *b = s->in[2];
    size_t n = hg_tensor_rows(x), n_in = hg_tensor_cols(x), n_out = w->dim[0];
    const float *dy = s->out->grad;
    const hg_matrix rows = {dy, HG_F32, n_out, 1};
    bool is_first = false;
    float *dx = hg_grad_open(g, x, &is_first);
    hg_tuned_open(g, s->saved, x);
    const hg_arena_mark here = hg_arena_here(g->mem);
    const hg_more *more = hg_tuned_back(g, s->saved, x, dy);
    if (dx != NULL) by_weight(g, dx, &rows, w, true, more, n, !is_first);
    hg_arena_rewind(g->mem, here);
    float *dw = hg_grad_open(g, w, &is_first);
    if (dw != NULL)
        product(g, dw, n_in, (hg_matrix){dy, HG_F32, 1, n_out},
                (hg_matrix){x->data, x->type, n_in, 1}, n_out, n_in, n, !is_first);
    float *db = hg_grad_open(g, b, &is_first);
    if (db != NULL) hg_op_add_column_sums(g, db, dy, n, n_out, is_first);
}

static bool linear_check(hg_graph *g, const hg_tensor *x, const hg_tensor *w, const hg_tensor *b)
{
    char sx[HG_SHAPE_TEXT], sw[HG_SHAPE_TEXT];
    bool is_rounded = g->record && x != NULL && x->type == HG_BF16 && x->data != NULL;
    if (!is_rounded && !hg_op_check(g, "linear", "x", x)) return false;
    if (!hg_op_check_weight(g, "linear", "w", w)) return false;
    if (w->n_dims != 2 || w->dim[1] != hg_tensor_cols(x)) {
        (void)hg_graph_fail(g, HG_E_ARG, "linear: x is %s and w is %s; w must be [n_out][%zu]",
                            hg_shape_text(x, sx), hg_shape_text(w, sw), hg_tensor_cols(x));
        return false;
    }
    if (b != NULL && !hg_op_check_vector(g, "linear", "b", b, w->dim[0])) return false;
    if (w->data != NULL || !g->record || !(is_rounded || hg_wants_grad(x) || hg_wants_grad(w)))
        return true;
    (void)hg_graph_fail(g, HG_E_STATE,
                        "linear: w is held only packed; a backward pass needs its rows");
    return false;
}

/* What comes behind the product: adapters, bias, the record. */
static hg_tensor *finish(hg_graph *g, hg_tensor *x, hg_tensor *w, hg_tensor *b, hg_tensor *y,
                         hg_tuned *u)
{
    const size_t n = hg_tensor_rows(x), n_out = w->dim[0];
    if (g->lora != NULL && !g->record) hg_lora_add(g, y, x, w);
    if (b != NULL) {
        bias_job j = {&g->rt->k, y->data, b->data, n_out};
        hg_pool_run(g->rt->pool, n, hg_op_grain(n_out * sizeof(float)), bias_chunk, &j);
    }
    if ((hg_op_recorded(g, x, w, b) || (u != NULL && g->record)) &&
        hg_op_record(g, linear_back, (hg_tensor *[3]){x, w, b}, y, u) == NULL)
        return NULL;
    return g->status == HG_OK ? y : NULL;
}

static hg_tensor *begin(hg_graph *g, hg_tensor *x, hg_tensor *w, hg_tensor *b)
{
    if (!linear_check(g, x, w, b)) return NULL;
    if (g->hooks != NULL && g->hooks->input != NULL) g->hooks->input(g->hooks->ctx, w, x);
    return hg_graph_tensor(g, hg_tensor_rows(x), w->dim[0]);
}

/* y = x W^T, and what a tuning adds to it. */
static void multiply(hg_graph *g, hg_tensor *x, const hg_tensor *w, hg_tensor *y, hg_tuned *u)
{
    const size_t n = hg_tensor_rows(x), n_in = hg_tensor_cols(x), n_out = w->dim[0];
    const hg_matrix rows = {x->data, x->type, n_in, 1};
    const hg_arena_mark here = hg_arena_here(g->mem);
    const hg_more *more = hg_tuned_forward(g, u);
    if (g->status != HG_OK) return;
    if (w->packed == NULL || x->type != HG_F32) {
        by_weight(g, y->data, &rows, w, false, more, n, false);
    } else {
        g->status =
            hg_matmul_packed(g->rt, w->type, y->data, x->data, w->packed, n, n_out, n_in, &g->err);
        if (g->status == HG_OK && more != NULL)
            g->status = hg_matmul_by(g->rt, g->compute, y->data, n_out, more->a, more->packed_b, n,
                                     n_out, more->k, true, &g->err);
    }
    hg_arena_rewind(g->mem, here);
}

hg_tensor *hg_op_linear(hg_graph *g, hg_tensor *x, hg_tensor *w, hg_tensor *b)
{
    hg_tensor *y = begin(g, x, w, b);
    if (y == NULL) return NULL;
    hg_tuned *u = hg_lora_tuned(g, x, w);
    multiply(g, x, w, y, u);
    return finish(g, x, w, b, y, u);
}

bool hg_op_linears(hg_graph *g, hg_tensor *x, const hg_linear *of, hg_tensor **y, size_t n)
{
    hg_product p[HG_MAX_PRODUCTS];
    bool all_packed = n <= HG_MAX_PRODUCTS && x != NULL && x->type == HG_F32;
    for (size_t i = 0; i < n; i++) all_packed = all_packed && of[i].w->packed != NULL;
    all_packed = all_packed && g->tuning == NULL;
    if (!all_packed) {
        for (size_t i = 0; i < n; i++) y[i] = hg_op_linear(g, x, of[i].w, of[i].b);
        return g->status == HG_OK;
    }
    for (size_t i = 0; i < n; i++) {
        const hg_tensor *w = of[i].w;
        y[i] = begin(g, x, of[i].w, of[i].b);
        if (y[i] == NULL) return false;
        p[i] = (hg_product){w->type, w->packed, y[i]->data, w->dim[0]};
    }
    hg_status s =
        hg_matmul_packed_all(g->rt, p, n, x->data, hg_tensor_rows(x), hg_tensor_cols(x), &g->err);
    if (s != HG_OK) g->status = s;
    for (size_t i = 0; i < n && g->status == HG_OK; i++)
        y[i] = finish(g, x, of[i].w, of[i].b, y[i], NULL);
    return g->status == HG_OK;
}
