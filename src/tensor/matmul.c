/* Matrix products over the thread pool. One engine serves training, prefill and decoding: B is
 * packed once (a weight: when the model is loaded), the output is cut into blocks that threads
 * take, and each block walks k in steps of HG_GEMM_KC with its rows of A packed beside it. Cutting
 * only ever decides who computes an element, never the order of its sum, so that no result depends
 * on threads or on the number of rows. Reference for the blocking: Goto and van de Geijn 2008. */
#include "tensor/matmul.h"
#include "tensor/matmul_quant.h"

enum {
    ROW_PANELS = 12,      /* A panels in a block of rows: with KC they stay in the L2 cache */
    KC_SLICE = 64,        /* k rows packed at a time when k is the far stride: they stay in cache */
    SMALL_A = 512 * 1024, /* an A of few rows and so many bytes goes past each panel of B */
    LARGE_B = 1 << 20,    /* a B that does not stay in the L2 cache beside A */
    CHUNKS = 8,           /* pieces of work a thread, so that a busy core does not hold up all */
    TILED_CHUNKS = 4,     /* the same of AMX's, which each ask for their rows and columns again */
    FEW_PANELS = 4,       /* A panels in a block of theirs, at the least */
    MOST_B = 16 << 20,    /* bytes of B that are packed for one product, at the most */
};

typedef struct product {
    const hg_gemm_kernel *g;
    float *c;
    size_t ldc;
    const hg_matrix *a;
    const char *packed_a; /* whole, or NULL */
    bool is_direct;       /* A's rows are multiplied as they lie */
    const char *packed_b;
    size_t m, n, k;
    bool add;
    const hg_more *more; /* NULL: nothing */
    hg_runtime *rt;
    char *room;              /* for a wholly packed A, or NULL */
    size_t rows, panels;     /* of a block of the output */
    size_t n_down, n_across; /* blocks */
    size_t n_high;           /* panels of a block's rows */
} product;

/* Products whose rows of A are the same, worked off together: blocks or panels of B of all of them
 * in one row. */
typedef struct launch {
    product p[HG_MAX_PRODUCTS];
    size_t n, first[HG_MAX_PRODUCTS + 1]; /* blocks or panels of B that lie before the i-th's */
} launch;

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t ceil_div(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

static size_t padded_k(const hg_gemm_kernel *g, size_t k)
{
    return ceil_div(k, g->k_step) * g->k_step;
}

static size_t n_panels(const hg_gemm_kernel *g, size_t n)
{
    return ceil_div(n, g->nr);
}

/* Rows as panels hold them. */
static size_t padded_m(const hg_gemm_kernel *g, size_t rows)
{
    return ceil_div(rows, g->m_step) * g->m_step;
}

/* Panels of rows are cut alike high: 16 rows are 8 + 8, not 14 + 2. */
static size_t panel_height(const hg_gemm_kernel *g, size_t rows)
{
    return padded_m(g, ceil_div(rows, ceil_div(rows, g->mr)));
}

/* Packs rows [row, row + rows) of A and k in [k0, k0 + kc) as panels behind each other. */
static void pack_rows(const hg_gemm_kernel *g, char *dst, const hg_matrix *a, size_t row,
                      size_t rows, size_t k0, size_t kc)
{
    size_t height = panel_height(g, rows), depth = padded_k(g, kc);
    size_t slice = a->col_stride == 1 ? kc : KC_SLICE;
    for (size_t s = 0; s < kc; s += slice)
        for (size_t r = 0; r < rows; r += height) {
            size_t h = min_size(height, rows - r);
            char *panel = dst + (r * depth + s * padded_m(g, h)) * g->a_size;
            g->pack_a(panel, a, row + r, h, k0 + s, min_size(slice, kc - s));
        }
}

/* Whether a kernel takes A's rows as they lie: whole tiles of bf16, in whole lines. */
static bool takes_rows(const hg_gemm_kernel *g, const hg_matrix *a, size_t m, size_t k)
{
    enum { LINE = 64 };
    return g->tile_rows != NULL && a->type == HG_BF16 && a->col_stride == 1 && m % g->m_step == 0 &&
           k % g->k_step == 0 && a->row_stride * sizeof(hg_bf16) % LINE == 0 &&
           (uintptr_t)a->base % LINE == 0;
}

/* Adds what p->more says to a tile, its rows of A packed at `pa`. */
static void tile_more(const product *p, const char *pa, float *c, size_t r, size_t j, size_t rows,
                      size_t cols)
{
    const hg_gemm_kernel *g = p->g;
    const size_t depth = padded_k(g, p->more->k);
    g->tile(c, p->ldc, pa + r * depth * g->a_size,
            (const char *)p->more->packed_b + j * depth * g->nr * g->b_size, p->more->k, rows, cols,
            false);
}

/* One k block of one block of the output: A's rows are packed at `pa`, or lie where they lie.
 * `more`: NULL, or behind the last k block the rows of what is added. */
static void tiles(const product *p, const char *pa, const char *more, size_t row, size_t rows,
                  size_t first_panel, size_t end_panel, size_t k0, size_t kc)
{
    const hg_gemm_kernel *g = p->g;
    size_t height = panel_height(g, rows), depth = padded_k(g, kc), all = padded_k(g, p->k);
    bool first = k0 == 0 && !p->add;
    for (size_t j = first_panel; j < end_panel; j++) {
        const char *pb = p->packed_b + (j * all + k0) * g->nr * g->b_size;
        size_t col = j * g->nr;
        for (size_t r = 0; r < rows; r += height) {
            float *c = p->c + (row + r) * p->ldc + col;
            const size_t high = min_size(height, rows - r), wide = min_size(g->nr, p->n - col);
            if (p->is_direct)
                g->tile_rows(c, p->ldc,
                             (const hg_bf16 *)p->a->base + (row + r) * p->a->row_stride + k0,
                             p->a->row_stride, pb, kc, high, wide, first);
            else
                g->tile(c, p->ldc, pa + r * depth * g->a_size, pb, kc, high, wide, first);
            if (more != NULL) tile_more(p, more, c, r, j, high, wide);
        }
    }
}

/* ---- few rows: A is packed once, and threads share the panels of B ---- */

/* Where k block k0 of a wholly packed A begins: blocks lie behind each other. */
static size_t block_offset(const product *p, size_t k0)
{
    return k0 * padded_m(p->g, p->m) * p->g->a_size;
}

/* Item i is one panel of one block of rows, in one k block. */
static void pack_a_part(void *ctx, size_t begin, size_t end, int thread)
{
    const product *p = ctx;
    const hg_gemm_kernel *g = p->g;
    (void)thread;
    for (size_t i = begin; i < end; i++) {
        size_t block = i / p->n_high, row = block % p->n_down * p->rows;
        size_t rows = min_size(p->rows, p->m - row), height = panel_height(g, rows);
        size_t k0 = block / p->n_down * HG_GEMM_KC, kc = min_size(HG_GEMM_KC, p->k - k0);
        size_t r = i % p->n_high * height;
        if (r >= rows) continue;
        pack_rows(g, p->room + block_offset(p, k0) + (row + r) * padded_k(g, kc) * g->a_size, p->a,
                  row + r, min_size(height, rows - r), k0, kc);
    }
}

/* All of A, once for all blocks. What one thread packs before others are awake it packs alone. */
static void pack_a(product *p)
{
    enum { ALONE = 32 * 1024 };
    const size_t items = p->n_down * p->n_high * ceil_div(p->k, HG_GEMM_KC);
    const bool is_small = p->m * p->k * p->g->a_size <= ALONE;
    hg_pool_run(p->rt->pool, items, is_small ? items : 1, pack_a_part, p);
}

static size_t product_at(const launch *l, size_t item)
{
    size_t i = 0;
    while (item >= l->first[i + 1]) i++;
    return i;
}

static void run_panels(void *ctx, size_t begin, size_t end, int thread)
{
    const launch *l = ctx;
    (void)thread;
    hg_gemm_enter(l->p[0].g);
    /* Each panel of B is read once, from its first byte to its last. */
    for (size_t at = begin; at < end; at++) {
        const size_t i = product_at(l, at), j = at - l->first[i];
        const product *p = &l->p[i];
        for (size_t k0 = 0; k0 < p->k; k0 += HG_GEMM_KC)
            tiles(p, p->packed_a + block_offset(p, k0), NULL, 0, p->m, j, j + 1, k0,
                  min_size(HG_GEMM_KC, p->k - k0));
    }
    hg_gemm_leave(l->p[0].g);
}

static void run_few_rows(launch *l)
{
    product *p = &l->p[0];
    const hg_runtime *rt = p->rt;
    pack_a(p);
    for (size_t i = 0; i < l->n; i++) {
        l->p[i].packed_a = p->room;
        l->first[i + 1] = l->first[i] + n_panels(l->p[i].g, l->p[i].n);
    }
    size_t panels = l->first[l->n], grain = panels / ((size_t)rt->n_threads * CHUNKS);
    hg_pool_run(rt->pool, panels, grain > 0 ? grain : 1, run_panels, l);
}

/* ---- many rows: the output is cut into blocks ---- */

static size_t rows_scratch(const hg_gemm_kernel *g)
{
    return ROW_PANELS * g->mr * HG_GEMM_KC * g->a_size;
}

static size_t more_scratch(const product *p)
{
    const hg_gemm_kernel *g = p->g;
    return p->more != NULL ? ROW_PANELS * g->mr * padded_k(g, p->more->k) * g->a_size : 0;
}

/* `pa` is room for a block's rows of A, unless A is packed already. */
static void run_block(const product *p, size_t block, char *pa)
{
    size_t row = block / p->n_across * p->rows, j = block % p->n_across * p->panels;
    size_t rows = min_size(p->rows, p->m - row);
    size_t end = min_size(j + p->panels, n_panels(p->g, p->n));
    char *more = p->more != NULL ? pa + rows_scratch(p->g) : NULL;
    if (more != NULL) pack_rows(p->g, more, p->more->a, row, rows, 0, p->more->k);
    for (size_t k0 = 0; k0 < p->k; k0 += HG_GEMM_KC) {
        size_t kc = min_size(HG_GEMM_KC, p->k - k0);
        const char *a = pa;
        if (p->is_direct)
            a = NULL;
        else if (p->packed_a != NULL)
            a = p->packed_a + block_offset(p, k0) + row * padded_k(p->g, kc) * p->g->a_size;
        else
            pack_rows(p->g, pa, p->a, row, rows, k0, kc);
        tiles(p, a, k0 + kc == p->k ? more : NULL, row, rows, j, end, k0, kc);
    }
}

static void run_blocks(void *ctx, size_t begin, size_t end, int thread)
{
    const launch *l = ctx;
    hg_gemm_enter(l->p[0].g);
    for (size_t b = begin; b < end; b++) {
        const size_t i = product_at(l, b);
        run_block(&l->p[i], b - l->first[i], l->p[i].rt->scratch[thread].p);
    }
    hg_gemm_leave(l->p[0].g);
}

/* Rows of a block, at the most: so that its panels of A stay in the L2 cache. Where a product of
 * tiles takes no time to speak of, fewer, so that there are several blocks a thread; but not where
 * every block of rows has to fetch B again from beyond that cache. */
static size_t rows_of_block(const product *p, size_t n_threads)
{
    const hg_gemm_kernel *g = p->g;
    const size_t most = ROW_PANELS * g->mr, least = FEW_PANELS * g->mr;
    if (g->m_step == 1 || p->n * p->k * g->b_size > LARGE_B) return most;
    const size_t fair = ceil_div(p->m, TILED_CHUNKS * n_threads);
    return fair < least ? least : min_size(fair, most);
}

/* Cuts the output so that every thread finds several blocks: by rows, which alone would do when
 * there are many; by columns too when there are few. */
static void cut(product *p, size_t n_threads)
{
    const hg_gemm_kernel *g = p->g;
    const size_t chunks = g->m_step == 1 ? CHUNKS : TILED_CHUNKS;
    size_t down = ceil_div(p->m, rows_of_block(p, n_threads));
    p->rows = ceil_div(ceil_div(p->m, down), g->mr) * g->mr;
    p->n_down = ceil_div(p->m, p->rows);
    p->n_high = ceil_div(p->rows, panel_height(g, min_size(p->rows, p->m)));
    size_t panels = n_panels(g, p->n), want = n_threads > 1 ? chunks * n_threads : 1;
    size_t across = min_size(ceil_div(want, p->n_down), ceil_div(panels, 2));
    p->panels = ceil_div(panels, across);
    p->n_across = ceil_div(panels, p->panels);
}

/* With one block across, each thread packs its own rows of A and finds them in its cache; with more
 * it would be done again for each, so it is done once for all. */
static hg_status run_many_rows(launch *l, hg_err *e)
{
    product *p = &l->p[0];
    hg_runtime *rt = p->rt;
    for (int t = 0; t < rt->n_threads; t++)
        if (hg_runtime_scratch(rt, t, rows_scratch(p->g) + more_scratch(p)) == NULL)
            return hg_fail(e, HG_E_NOMEM, "no memory for a matrix product's scratch");
    if (p->room != NULL) pack_a(p);
    for (size_t i = 0; i < l->n; i++) {
        l->p[i].packed_a = p->room;
        l->first[i + 1] = l->first[i] + l->p[i].n_down * l->p[i].n_across;
    }
    hg_pool_run(rt->pool, l->first[l->n], 1, run_blocks, l);
    return HG_OK;
}

/* ---- packing B ---- */

typedef struct packing {
    const hg_gemm_kernel *g;
    const hg_matrix *b;
    char *dst;
    size_t n, k;
} packing;

/* k in [k0, k0 + kc) of panels [j0, j1); kc is any multiple of the kernel's k step. */
static void pack_panels(const packing *p, size_t j0, size_t j1, size_t k0, size_t kc)
{
    const hg_gemm_kernel *g = p->g;
    size_t all = padded_k(g, p->k);
    for (size_t j = j0; j < j1; j++)
        for (size_t s = k0; s < k0 + kc; s += HG_GEMM_KC)
            g->pack_b(p->dst + (j * all + s) * g->nr * g->b_size, p->b, j * g->nr,
                      min_size(g->nr, p->n - j * g->nr), s, min_size(HG_GEMM_KC, k0 + kc - s));
}

static void pack_by_panels(void *ctx, size_t begin, size_t end, int thread)
{
    const packing *p = ctx;
    (void)thread;
    pack_panels(p, begin, end, 0, p->k);
}

/* Rows of B are contiguous: a few of them at a time stay in cache while all panels take theirs. */
static void pack_by_slices(void *ctx, size_t begin, size_t end, int thread)
{
    const packing *p = ctx;
    (void)thread;
    for (size_t s = begin; s < end; s++)
        pack_panels(p, 0, n_panels(p->g, p->n), s * KC_SLICE,
                    min_size(KC_SLICE, p->k - s * KC_SLICE));
}

static void pack_all(hg_pool *pool, packing *p)
{
    if (p->b->col_stride == 1 && p->b->row_stride != 1)
        hg_pool_run(pool, ceil_div(p->k, KC_SLICE), 1, pack_by_slices, p);
    else
        hg_pool_run(pool, n_panels(p->g, p->n), 2, pack_by_panels, p);
}

size_t hg_matmul_b_size(const hg_runtime *rt, hg_compute compute, size_t n, size_t k)
{
    const hg_gemm_kernel *g = &rt->k.gemm[compute];
    return n_panels(g, n) * g->nr * padded_k(g, k) * g->b_size;
}

/* A larger B is packed and multiplied a slice at a time: the longer of its sides is cut. */
static bool is_sliced(const hg_runtime *rt, hg_compute compute, size_t n, size_t k)
{
    return hg_matmul_b_size(rt, compute, n, k) > MOST_B;
}

/* Columns of a slice, or rows where there are more of those: whole panels, or whole k blocks, so
 * that every sum keeps its order. */
static size_t slice_length(const hg_gemm_kernel *g, size_t n, size_t k)
{
    const size_t step = n > k ? g->nr : HG_GEMM_KC;
    const size_t each = (n > k ? padded_k(g, k) : n_panels(g, n) * g->nr) * g->b_size;
    const size_t steps = MOST_B / each / step;
    return step * (steps > 0 ? steps : 1);
}

size_t hg_matmul_b_room(const hg_runtime *rt, hg_compute compute, size_t n, size_t k)
{
    if (!is_sliced(rt, compute, n, k)) return hg_matmul_b_size(rt, compute, n, k);
    const size_t length = slice_length(&rt->k.gemm[compute], n, k);
    return n > k ? hg_matmul_b_size(rt, compute, min_size(length, n), k)
                 : hg_matmul_b_size(rt, compute, n, min_size(length, k));
}

/* ---- the products ---- */

static void clear(float *c, size_t ldc, size_t m, size_t n)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) c[i * ldc + j] = 0;
}

/* Rows that all go past each panel of B, which is read once. */
static bool has_few_rows(const product *p)
{
    const hg_gemm_kernel *g = p->g;
    size_t bytes = padded_m(g, p->m) * padded_k(g, p->k) * g->a_size;
    if (p->is_direct) return false;
    return p->m <= 4 || (p->m <= ROW_PANELS * g->mr && bytes <= SMALL_A);
}

/* Bytes of a wholly packed A, or 0 when it is better packed block by block. */
static size_t room_for_a(const launch *l)
{
    const product *p = &l->p[0];
    bool whole = !p->is_direct && (has_few_rows(p) || l->n > 1 || p->n_across > 1);
    return whole ? padded_m(p->g, p->m) * padded_k(p->g, p->k) * p->g->a_size : 0;
}

static hg_status run(launch *l, hg_err *e)
{
    if (!has_few_rows(&l->p[0])) return run_many_rows(l, e);
    run_few_rows(l);
    return HG_OK;
}

/* With B packed already, or NULL: in the shared scratch, before A. *is_added: whether `more`, which
 * may be NULL, was added while a block of the output was in the cache. */
static hg_status multiply_whole(hg_runtime *rt, hg_compute compute, float *c, size_t ldc,
                                const hg_matrix *a, const hg_matrix *b, const void *packed_b,
                                const hg_more *more, size_t m, size_t n, size_t k, bool add,
                                bool *is_added, hg_err *e)
{
    const hg_gemm_kernel *g = &rt->k.gemm[compute];
    launch l = {.n = 1};
    product *p = &l.p[0];
    *p = (product){.g = g, .c = c, .ldc = ldc, .a = a, .m = m, .n = n, .k = k, .add = add};
    p->rt = rt;
    p->is_direct = takes_rows(g, a, m, k);
    cut(p, (size_t)rt->n_threads);
    size_t b_bytes = packed_b != NULL ? 0 : ceil_div(hg_matmul_b_size(rt, compute, n, k), 64) * 64;
    size_t a_bytes = room_for_a(&l);
    char *shared = a_bytes + b_bytes > 0 ? hg_runtime_scratch(rt, -1, b_bytes + a_bytes) : NULL;
    if (shared == NULL && a_bytes + b_bytes > 0)
        return hg_fail(e, HG_E_NOMEM, "no memory to pack a matrix of %zu x %zu", k, n);
    p->packed_b = packed_b;
    if (packed_b == NULL) {
        packing pack = {g, b, shared, n, k};
        pack_all(rt->pool, &pack);
        p->packed_b = shared;
    }
    p->room = a_bytes > 0 ? shared + b_bytes : NULL;
    *is_added = more != NULL && more->k <= HG_GEMM_KC && !has_few_rows(p);
    if (*is_added) p->more = more;
    return run(&l, e);
}

/* From row i and column j on. */
static hg_matrix part_of(const hg_matrix *x, size_t i, size_t j)
{
    hg_matrix y = *x;
    y.base =
        (const char *)x->base + (i * x->row_stride + j * x->col_stride) * hg_type_size(x->type);
    return y;
}

static hg_status multiply_slices(hg_runtime *rt, hg_compute compute, float *c, size_t ldc,
                                 const hg_matrix *a, const hg_matrix *b, size_t m, size_t n,
                                 size_t k, bool add, hg_err *e)
{
    const size_t length = slice_length(&rt->k.gemm[compute], n, k), all = n > k ? n : k;
    bool is_added;
    for (size_t at = 0; at < all; at += length) {
        const size_t some = min_size(length, all - at);
        const hg_matrix a_part = part_of(a, 0, n > k ? 0 : at);
        const hg_matrix b_part = n > k ? part_of(b, 0, at) : part_of(b, at, 0);
        HG_TRY(n > k ? multiply_whole(rt, compute, c + at, ldc, a, &b_part, NULL, NULL, m, some, k,
                                      add, &is_added, e)
                     : multiply_whole(rt, compute, c, ldc, &a_part, &b_part, NULL, NULL, m, n, some,
                                      add || at > 0, &is_added, e));
    }
    return HG_OK;
}

static hg_status multiply(hg_runtime *rt, hg_compute compute, float *c, size_t ldc,
                          const hg_matrix *a, const hg_matrix *b, const void *packed_b,
                          const hg_more *more, size_t m, size_t n, size_t k, bool add, hg_err *e)
{
    bool is_added = false;
    if (m == 0 || n == 0 || (k == 0 && add)) return HG_OK;
    if (k == 0)
        clear(c, ldc, m, n);
    else if (packed_b == NULL && is_sliced(rt, compute, n, k))
        HG_TRY(multiply_slices(rt, compute, c, ldc, a, b, m, n, k, add, e));
    else
        HG_TRY(
            multiply_whole(rt, compute, c, ldc, a, b, packed_b, more, m, n, k, add, &is_added, e));
    if (more == NULL || is_added) return HG_OK;
    return multiply(rt, compute, c, ldc, more->a, NULL, more->packed_b, NULL, m, n, more->k, true,
                    e);
}

hg_status hg_matmul(hg_runtime *rt, hg_compute compute, float *c, size_t ldc, const hg_matrix *a,
                    const hg_matrix *b, size_t m, size_t n, size_t k, bool add, hg_err *e)
{
    return multiply(rt, compute, c, ldc, a, b, NULL, NULL, m, n, k, add, e);
}

void hg_matmul_pack_b(hg_runtime *rt, hg_compute compute, void *dst, const hg_matrix *b, size_t n,
                      size_t k)
{
    packing pack = {&rt->k.gemm[compute], b, dst, n, k};
    pack_all(rt->pool, &pack);
}

hg_status hg_matmul_by(hg_runtime *rt, hg_compute compute, float *c, size_t ldc, const hg_matrix *a,
                       const void *packed_b, size_t m, size_t n, size_t k, bool add, hg_err *e)
{
    return multiply(rt, compute, c, ldc, a, NULL, packed_b, NULL, m, n, k, add, e);
}

hg_status hg_matmul_and(hg_runtime *rt, hg_compute compute, float *c, size_t ldc,
                        const hg_matrix *a, const hg_matrix *b, const void *packed_b,
                        const hg_more *more, size_t m, size_t n, size_t k, bool add, hg_err *e)
{
    return multiply(rt, compute, c, ldc, a, b, packed_b, more, m, n, k, add, e);
}

const hg_gemm_kernel *hg_weight_kernel(const hg_runtime *rt, hg_type type)
{
    if (type == HG_F16) return &rt->k.gemm_f16;
    return type == HG_BF16 ? &rt->k.gemm_bf16 : &rt->k.gemm[HG_COMPUTE_F32];
}

/* Products with plain weights that pack A alike. */
static hg_status run_plain(hg_runtime *rt, const hg_product *of, size_t n, const float *x, size_t m,
                           size_t k, hg_err *e)
{
    const hg_matrix a = {x, HG_F32, k, 1};
    launch l = {.n = n};
    for (size_t i = 0; i < n; i++) {
        product *p = &l.p[i];
        *p = (product){.g = hg_weight_kernel(rt, of[i].type), .a = &a, .m = m, .k = k, .rt = rt};
        p->c = of[i].y;
        p->ldc = p->n = of[i].n_out;
        p->packed_b = of[i].packed;
        cut(p, (size_t)rt->n_threads);
    }
    size_t a_bytes = room_for_a(&l);
    l.p[0].room = a_bytes > 0 ? hg_runtime_scratch(rt, -1, a_bytes) : NULL;
    if (a_bytes > 0 && l.p[0].room == NULL)
        return hg_fail(e, HG_E_NOMEM, "no memory to pack %zu rows of %zu", m, k);
    return run(&l, e);
}

/* How the activations that meet a type are packed. */
static int way_of(hg_type t)
{
    return hg_type_is_block(t) ? 2 : t == HG_BF16 ? 1 : 0;
}

hg_status hg_matmul_packed_all(hg_runtime *rt, const hg_product *of, size_t n, const float *x,
                               size_t m, size_t n_in, hg_err *e)
{
    for (int way = 0; way < 3; way++) {
        hg_product alike[HG_MAX_PRODUCTS];
        size_t n_alike = 0;
        for (size_t i = 0; i < n; i++) {
            if (n_in == 0) clear(of[i].y, of[i].n_out, m, of[i].n_out);
            if (way_of(of[i].type) == way && of[i].n_out > 0) alike[n_alike++] = of[i];
        }
        if (n_alike == 0 || m == 0 || n_in == 0) continue;
        HG_TRY(way == 2 ? hg_quant_matmul(rt, alike, n_alike, x, m, n_in, e)
                        : run_plain(rt, alike, n_alike, x, m, n_in, e));
    }
    return HG_OK;
}

hg_status hg_matmul_packed(hg_runtime *rt, hg_type type, float *y, const float *x,
                           const void *packed, size_t m, size_t n_out, size_t n_in, hg_err *e)
{
    const hg_product one = {type, packed, y, n_out};
    return hg_matmul_packed_all(rt, &one, 1, x, m, n_in, e);
}

hg_status hg_matmul_here(hg_runtime *rt, int t, hg_compute compute, float *c, size_t ldc,
                         const hg_matrix *a, const hg_matrix *b, size_t m, size_t n, size_t k,
                         bool add)
{
    const hg_gemm_kernel *g = &rt->k.gemm[compute];
    if (m == 0 || n == 0 || (k == 0 && add)) return HG_OK;
    if (k == 0) {
        clear(c, ldc, m, n);
        return HG_OK;
    }
    size_t b_bytes = ceil_div(hg_matmul_b_size(rt, compute, n, k), 64) * 64;
    char *mine = hg_runtime_scratch(rt, t, b_bytes + rows_scratch(g));
    if (mine == NULL) return HG_E_NOMEM;
    packing pack = {g, b, mine, n, k};
    pack_all(NULL, &pack);
    product p = {.g = g, .c = c, .ldc = ldc, .a = a, .m = m, .n = n, .k = k, .add = add, .rt = rt};
    p.packed_b = mine;
    p.is_direct = takes_rows(g, a, m, k);
    cut(&p, 1);
    hg_gemm_enter(g);
    for (size_t i = 0; i < p.n_down * p.n_across; i++) run_block(&p, i, mine + b_bytes);
    hg_gemm_leave(g);
    return HG_OK;
}
