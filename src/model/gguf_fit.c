/* Values to blocks, some rows at a time: the rows of a piece are dealt to the threads, and the
 * blocks written when all are made. */
#include "model/gguf_out.h"
#include "kernels/quant.h"
#include <math.h>
#include <stdatomic.h>

enum { PIECE = 1 << 20 }; /* values */

typedef struct fit_job {
    const hg_out *o;
    const hg_item *it;
    const hg_fitting *f;
    size_t row0, rows_of_weight, row_bytes;
    float *row; /* [threads][cols] */
    unsigned char *blocks;
    atomic_size_t bad; /* the first row with a value that is no number, + 1 */
} fit_job;

static bool all_finite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

static void fit_rows(void *ctx, size_t begin, size_t end, int thread)
{
    fit_job *j = ctx;
    size_t cols = j->it->cols;
    float *x = j->row + (size_t)thread * cols;
    for (size_t i = begin; i < end; i++) {
        size_t r = j->row0 + i;
        const float *w = j->f->weight;
        if (w != NULL) w += r / j->rows_of_weight * cols;
        hg_item_row(j->o, j->it, r, x);
        if (!all_finite(x, cols)) {
            size_t none = 0;
            (void)atomic_compare_exchange_strong(&j->bad, &none, r + 1);
            continue;
        }
        hg_f32_to_blocks(j->blocks + i * j->row_bytes, x, w, j->it->to, cols);
    }
}

static hg_status fit_all(hg_writer *w, fit_job *j, size_t piece, hg_err *e)
{
    const hg_item *it = j->it;
    for (size_t r = 0; r < it->rows; r += piece) {
        size_t n = it->rows - r < piece ? it->rows - r : piece;
        j->row0 = r;
        hg_pool_run(j->f->pool, n, 1, fit_rows, j);
        size_t bad = atomic_load(&j->bad);
        if (bad > 0)
            return hg_fail(e, HG_E_FORMAT,
                           "%s: tensor %s has a value in row %zu that is no number; what is "
                           "quantised must be finite",
                           j->o->path, it->name, bad - 1);
        HG_TRY(hg_writer_put(w, j->blocks, n * j->row_bytes, e));
    }
    return HG_OK;
}

hg_status hg_item_fit(hg_writer *w, const hg_out *o, const hg_item *it, const hg_fitting *f,
                      hg_err *e)
{
    fit_job j = {.o = o, .it = it, .f = f};
    size_t threads = f->pool == NULL ? 1 : (size_t)hg_pool_threads(f->pool);
    size_t piece = it->cols < PIECE ? PIECE / it->cols : 1, n = 0;
    if (piece > it->rows) piece = it->rows;
    j.row_bytes = hg_type_bytes(it->to, it->cols);
    j.rows_of_weight = f->n_weights > 1 ? it->rows / f->n_weights : it->rows;
    if (hg_mul(threads, it->cols, &n)) j.row = hg_alloc(n, sizeof *j.row);
    j.blocks = hg_alloc(piece, j.row_bytes);
    hg_status s = j.row == NULL || j.blocks == NULL
                      ? hg_fail(e, HG_E_NOMEM, "no room to quantise %s", it->name)
                      : fit_all(w, &j, piece, e);
    hg_free(j.row);
    hg_free(j.blocks);
    return s;
}
