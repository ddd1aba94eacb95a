/* Matrix products: panels and tiles of every instruction set against double precision, and the
 * promises of tensor/matmul.h, which are bitwise. */
#include "data.h"
#include "kernels/scalar.h"
#include "kernels/tables.h"
#include "tensor/matmul.h"

#include <math.h>
#include <string.h>

/* A stored matrix of rows x cols and how it is read. */
typedef struct stored {
    hg_matrix m;
    void *data;
} stored;

/* With `by_rows`, rows are contiguous and `gap` elements apart from each other; else columns. */
static stored store(size_t rows, size_t cols, hg_type type, bool by_rows, size_t gap, hg_rng *r)
{
    size_t stride = (by_rows ? cols : rows) + gap, runs = by_rows ? rows : cols;
    size_t n = runs == 0 ? 0 : (runs - 1) * stride + stride - gap;
    float *x = random_floats(n, 1.0, r);
    stored s = {.data = typed_copy(x, n, type)};
    s.m = (hg_matrix){s.data, type, by_rows ? stride : 1, by_rows ? 1 : stride};
    hg_free(x);
    return s;
}

/* What a product rounds its operands to. */
typedef struct kinds {
    hg_type a, b;
} kinds;

static kinds kinds_of(hg_compute c)
{
    return c == HG_COMPUTE_BF16 ? (kinds){HG_BF16, HG_BF16} : (kinds){HG_F32, HG_F32};
}

static double at(const hg_matrix *m, hg_type kind, size_t row, size_t col)
{
    size_t i = row * m->row_stride + col * m->col_stride;
    float x = typed_at(m->base, m->type, i);
    if (kind == HG_F16) return (double)f16_to_float(f16_of(x));
    return (double)rounded(kind == HG_BF16 ? HG_COMPUTE_BF16 : HG_COMPUTE_F32, x);
}

typedef struct sum {
    double value, magnitude;
} sum;

static sum exact(const hg_matrix *a, const hg_matrix *b, kinds as, size_t i, size_t j, size_t k)
{
    sum s = {0, 0};
    for (size_t l = 0; l < k; l++) {
        double p = at(a, as.a, i, l) * at(b, as.b, l, j);
        s.value += p;
        s.magnitude += fabs(p);
    }
    return s;
}

/* k sums and one more for each k block and for the old c, each off by at most half an ulp of what
 * has been summed so far; products that fall below the normal range may be lost. */
static double bound(sum s, size_t k, double c)
{
    double n = (double)(k + k / HG_GEMM_KC + 2);
    return 1.01 * n * U32 * (s.magnitude + fabs(c)) + (double)k * 0x1p-120;
}

/* ---- one tile ---- */

typedef struct shape {
    size_t rows, cols, kc;
    hg_type type_a, type_b;
    bool a_by_rows, b_by_rows;
} shape;

enum { ROW0 = 2, COL0 = 3, K0 = 4, GUARD = 64 };

static void *guarded(size_t bytes)
{
    unsigned char *p = hg_alloc(1, bytes + GUARD);
    CHECK(p != NULL);
    memset(p, 0xa5, bytes + GUARD);
    return p;
}

static void check_guard(const void *p, size_t bytes)
{
    for (size_t i = 0; i < GUARD; i++) CHECK_EQ(((const unsigned char *)p)[bytes + i], 0xa5);
}

static void check_tile(const hg_gemm_kernel *g, kinds as, shape s, hg_rng *r)
{
    stored a = store(ROW0 + s.rows, K0 + s.kc, s.type_a, s.a_by_rows, 1, r);
    stored b = store(K0 + s.kc, COL0 + s.cols, s.type_b, s.b_by_rows, 2, r);
    size_t depth = (s.kc + g->k_step - 1) / g->k_step * g->k_step, ldc = s.cols + 3;
    size_t height = (s.rows + g->m_step - 1) / g->m_step * g->m_step;
    size_t a_bytes = depth * height * g->a_size, b_bytes = depth * g->nr * g->b_size;
    void *pa = guarded(a_bytes), *pb = guarded(b_bytes);
    float *c = random_floats(s.rows * ldc, 1.0, r), *old = random_floats(s.rows * ldc, 1.0, r);
    g->pack_a(pa, &a.m, ROW0, s.rows, K0, s.kc);
    g->pack_b(pb, &b.m, COL0, s.cols, K0, s.kc);
    check_guard(pa, a_bytes);
    check_guard(pb, b_bytes);
    hg_matrix from_a = a.m, from_b = b.m;
    size_t size_a = hg_type_size(s.type_a), size_b = hg_type_size(s.type_b);
    from_a.base = (char *)a.data + (ROW0 * a.m.row_stride + K0 * a.m.col_stride) * size_a;
    from_b.base = (char *)b.data + (K0 * b.m.row_stride + COL0 * b.m.col_stride) * size_b;
    hg_gemm_enter(g);
    for (int pass = 0; pass < 2; pass++) { /* overwrite, then add */
        memcpy(old, c, s.rows * ldc * sizeof *c);
        g->tile(c, ldc, pa, pb, s.kc, s.rows, s.cols, pass == 0);
        for (size_t i = 0; i < s.rows; i++)
            for (size_t j = 0; j < ldc; j++) {
                double before = pass == 0 ? 0 : (double)old[i * ldc + j];
                if (j >= s.cols) {
                    CHECK(c[i * ldc + j] == old[i * ldc + j]);
                    continue;
                }
                sum e = exact(&from_a, &from_b, as, i, j, s.kc);
                CHECK_NEAR(c[i * ldc + j], e.value + before, bound(e, s.kc, before));
            }
    }
    hg_gemm_leave(g);
    hg_free(a.data);
    hg_free(b.data);
    hg_free(pa);
    hg_free(pb);
    hg_free(c);
    hg_free(old);
}

typedef const hg_gemm_kernel *kernel_fn(const hg_kernels *k);

static void check_kernel(const hg_gemm_kernel *g, kinds as, hg_rng *r)
{
    static const size_t depth[] = {1, 2, 3, 15, 16, 17, 31, 32, 33, 63, 66, 129, 511, 512};
    static const hg_type types[] = {HG_F32, HG_F16, HG_BF16};
    CHECK(g->mr <= HG_GEMM_MAX_MR && g->nr <= HG_GEMM_MAX_NR);
    for (size_t rows = 1; rows <= g->mr; rows++)
        for (size_t d = 0; d < sizeof depth / sizeof depth[0]; d++)
            for (unsigned how = 0; how < 4; how++) {
                shape s = {.rows = rows, .kc = depth[d]};
                s.cols = how == 0 ? g->nr : 1 + (size_t)hg_rng_below(r, g->nr);
                s.type_a = types[hg_rng_below(r, 3)];
                s.type_b = types[hg_rng_below(r, 3)];
                s.a_by_rows = how & 1;
                s.b_by_rows = how & 2;
                check_tile(g, as, s, r);
            }
    for (size_t cols = 1; cols <= g->nr; cols++)
        check_tile(g, as, (shape){2, cols, 37, HG_F32, HG_F32, true, false}, r);
}

static void check_tiles(kernel_fn *kernel, kinds as)
{
    hg_rng r;
    hg_rng_init(&r, 1, 0);
    hg_kernels k;
    EACH_ISA(k)
    check_kernel(kernel(&k), as, &r);
}

static const hg_gemm_kernel *float32_kernel(const hg_kernels *k)
{
    return &k->gemm[HG_COMPUTE_F32];
}

static const hg_gemm_kernel *bfloat16_kernel(const hg_kernels *k)
{
    return &k->gemm[HG_COMPUTE_BF16];
}

static const hg_gemm_kernel *bfloat16_weights_kernel(const hg_kernels *k)
{
    return &k->gemm_bf16;
}

static const hg_gemm_kernel *float16_kernel(const hg_kernels *k)
{
    return &k->gemm_f16;
}

TEST(a_float32_tile_is_within_its_bound_on_every_instruction_set)
{
    check_tiles(float32_kernel, kinds_of(HG_COMPUTE_F32));
}

TEST(a_bfloat16_tile_is_within_its_bound_on_every_instruction_set)
{
    check_tiles(bfloat16_kernel, kinds_of(HG_COMPUTE_BF16));
}

TEST(a_tile_of_bfloat16_weights_is_within_its_bound_on_every_instruction_set)
{
    check_tiles(bfloat16_weights_kernel, kinds_of(HG_COMPUTE_BF16));
}

#if defined(__x86_64__)
/* The table holds one of the two, as the processor's maker has it. */
TEST(bfloat16_tiles_of_pairs_and_of_floats_are_within_their_bound)
{
    hg_rng r;
    hg_kernels k;
    hg_rng_init(&r, 2, 0);
    if (hg_isa_detect() != HG_ISA_AVX512 && hg_isa_detect() != HG_ISA_AMX)
        return; /* as EACH_ISA passes over what is not here */
    hg_kernels_init(&k, HG_ISA_AVX512);
    hg_gemm_avx512(&k);
    CHECK_EQ(k.gemm[HG_COMPUTE_BF16].k_step, 2);
    check_kernel(&k.gemm[HG_COMPUTE_BF16], kinds_of(HG_COMPUTE_BF16), &r);
    hg_gemm_avx512_floats(&k);
    CHECK_EQ(k.gemm[HG_COMPUTE_BF16].k_step, 1);
    check_kernel(&k.gemm[HG_COMPUTE_BF16], kinds_of(HG_COMPUTE_BF16), &r);
    check_kernel(&k.gemm_bf16, kinds_of(HG_COMPUTE_BF16), &r);
}
#endif

TEST(a_tile_of_float16_weights_is_within_its_bound_on_every_instruction_set)
{
    check_tiles(float16_kernel, (kinds){HG_F32, HG_F16});
}

/* A of bf16 with rows `lda` apart, at the start of a line. */
static void check_rows(const hg_gemm_kernel *g, size_t rows, size_t cols, size_t kc, hg_rng *r)
{
    const size_t lda = kc + 32, ldc = cols + 1;
    hg_arena mem;
    hg_arena_init(&mem, 0);
    hg_bf16 *a = HG_NEW(&mem, hg_bf16, rows * lda);
    stored b = store(kc, cols, HG_F32, true, 0, r);
    char *pa = hg_arena_raw(&mem, rows * kc, 2), *pb = hg_arena_raw(&mem, g->nr * kc, 2);
    float *c = HG_NEW(&mem, float, rows *ldc), *by_rows = HG_NEW(&mem, float, rows *ldc);
    CHECK(a != NULL && pa != NULL && pb != NULL && c != NULL && by_rows != NULL);
    for (size_t i = 0; i < rows * lda; i++) a[i] = bf16_of((float)hg_rng_unit(r) - 0.5f);
    const hg_matrix m = {a, HG_BF16, lda, 1};
    g->pack_a(pa, &m, 0, rows, 0, kc);
    g->pack_b(pb, &b.m, 0, cols, 0, kc);
    hg_gemm_enter(g);
    for (int pass = 0; pass < 2; pass++) { /* overwrite, then add */
        g->tile(c, ldc, pa, pb, kc, rows, cols, pass == 0);
        g->tile_rows(by_rows, ldc, a, lda, pb, kc, rows, cols, pass == 0);
        CHECK(memcmp(c, by_rows, rows * ldc * sizeof *c) == 0);
    }
    hg_gemm_leave(g);
    hg_free(b.data);
    hg_arena_free(&mem);
}

TEST(rows_as_they_lie_give_the_bits_of_their_panels)
{
    hg_rng r;
    hg_kernels k;
    hg_rng_init(&r, 6, 0);
    EACH_ISA(k)
    {
        const hg_gemm_kernel *g = &k.gemm[HG_COMPUTE_BF16];
        for (size_t rows = g->m_step; g->tile_rows != NULL && rows <= g->mr; rows += g->m_step)
            for (size_t kc = g->k_step; kc <= HG_GEMM_KC; kc += 3 * g->k_step)
                for (size_t cols = 1; cols <= g->nr; cols += cols < 30 ? 7 : 1)
                    check_rows(g, rows, cols, kc, &r);
    }
}

/* ---- whole products ---- */

static hg_runtime *runtime(int threads, int isa)
{
    hg_err e = {0};
    hg_runtime *rt = NULL;
    CHECK_OK(hg_runtime_new(&rt, threads, (hg_isa)isa, &e), e);
    return rt;
}

static void check_product(hg_runtime *rt, hg_compute compute, size_t m, size_t n, size_t k,
                          bool add, hg_rng *r)
{
    hg_err e = {0};
    stored a = store(m, k, HG_F32, hg_rng_below(r, 2), 1, r);
    stored b = store(k, n, HG_F32, hg_rng_below(r, 2), 0, r);
    size_t ldc = n + 1;
    float *c = random_floats(m * ldc, 1, r), *here = hg_alloc(m * ldc, sizeof *c);
    float *old = hg_alloc(m * ldc, sizeof *c);
    CHECK(here != NULL && old != NULL);
    memcpy(old, c, m * ldc * sizeof *c);
    memcpy(here, c, m * ldc * sizeof *c);
    CHECK_OK(hg_matmul(rt, compute, c, ldc, &a.m, &b.m, m, n, k, add, &e), e);
    CHECK_OK(hg_matmul_here(rt, 0, compute, here, ldc, &a.m, &b.m, m, n, k, add), e);
    CHECK(memcmp(c, here, m * ldc * sizeof *c) == 0);
    for (size_t i = 0; i < m; i++) {
        CHECK(c[i * ldc + n] == old[i * ldc + n]);
        for (size_t j = 0; j < n; j++) {
            double before = add ? (double)old[i * ldc + j] : 0;
            sum s = exact(&a.m, &b.m, kinds_of(compute), i, j, k);
            CHECK_NEAR(c[i * ldc + j], s.value + before, bound(s, k, before));
        }
    }
    hg_free(a.data);
    hg_free(b.data);
    hg_free(c);
    hg_free(here);
    hg_free(old);
}

TEST(a_product_of_any_shape_is_within_its_bound)
{
    static const size_t shapes[][3] = {{1, 1, 1},    {1, 33, 7},    {4, 100, 513}, {5, 65, 1025},
                                       {17, 31, 64}, {170, 67, 63}, {29, 300, 70}, {400, 9, 600}};
    hg_rng r;
    hg_rng_init(&r, 2, 0);
    for (int isa = HG_ISA_C; isa <= (int)hg_isa_detect(); isa++) {
        hg_runtime *rt = runtime(2, isa);
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
            for (int how = 0; how < 4; how++)
                check_product(rt, (hg_compute)(how & 1), shapes[s][0], shapes[s][1], shapes[s][2],
                              how >= 2, &r);
        hg_runtime_free(rt);
    }
}

#if defined(__x86_64__)
/* What the processor has to save of this thread, as far as XGETBV tells. */
static unsigned states_in_use(void)
{
    unsigned lo = 0, hi = 0;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(1));
    return lo;
}

TEST(a_product_leaves_no_tiles_for_the_system_to_save)
{
    enum { TILES = 0x60000 };
    hg_rng r;
    hg_rng_init(&r, 4, 0);
    if (hg_isa_detect() != HG_ISA_AMX) return; /* as EACH_ISA passes over what is not here */
    hg_runtime *rt = runtime(1, HG_ISA_AMX);
    const hg_gemm_kernel *g = &rt->k.gemm[HG_COMPUTE_BF16];
    hg_gemm_enter(g);
    CHECK(states_in_use() & TILES);
    hg_gemm_leave(g);
    check_product(rt, HG_COMPUTE_BF16, 70, 40, 600, false, &r); /* many rows, and in one thread */
    CHECK(!(states_in_use() & TILES));
    check_product(rt, HG_COMPUTE_BF16, 1, 40, 600, false, &r);
    CHECK(!(states_in_use() & TILES));
    hg_runtime_free(rt);
}
#endif

TEST(a_of_bfloat16_gives_the_bits_of_its_float32_values_packed_or_not)
{
    enum { ROWS = 208, COLS = 70, DEPTH = 1120 };
    static const size_t rows[] = {1, 2, 15, 16, 17, ROWS};
    hg_rng r;
    hg_err e = {0};
    hg_arena mem;
    hg_rng_init(&r, 7, 0);
    hg_arena_init(&mem, 0);
    float *wide = HG_NEW(&mem, float, ROWS *DEPTH), *b = HG_NEW(&mem, float, COLS *DEPTH);
    float *y = HG_NEW(&mem, float, ROWS *COLS), *z = HG_NEW(&mem, float, ROWS *COLS);
    hg_bf16 *half = HG_NEW(&mem, hg_bf16, ROWS * DEPTH + 1);
    CHECK(wide != NULL && b != NULL && y != NULL && z != NULL && half != NULL);
    fill_random(wide, (size_t)ROWS * DEPTH, 1, &r);
    fill_random(b, (size_t)COLS * DEPTH, 1, &r);
    const hg_matrix of_b = {b, HG_F32, 1, DEPTH};
    for (int isa = HG_ISA_C; isa <= (int)hg_isa_detect(); isa++)
        for (size_t shift = 0; shift < 2; shift++) { /* at a line's start, and not */
            hg_runtime *rt = runtime(2, isa);
            for (size_t i = 0; i < (size_t)ROWS * DEPTH; i++) half[i + shift] = bf16_of(wide[i]);
            const hg_matrix f32 = {wide, HG_F32, DEPTH, 1},
                            bf16 = {half + shift, HG_BF16, DEPTH, 1};
            for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                const size_t m = rows[i];
                CHECK_OK(
                    hg_matmul(rt, HG_COMPUTE_BF16, y, COLS, &f32, &of_b, m, COLS, DEPTH, false, &e),
                    e);
                CHECK_OK(hg_matmul(rt, HG_COMPUTE_BF16, z, COLS, &bf16, &of_b, m, COLS, DEPTH,
                                   false, &e),
                         e);
                CHECK(memcmp(y, z, m * COLS * sizeof *y) == 0);
                CHECK_OK(hg_matmul_here(rt, 1, HG_COMPUTE_BF16, z, COLS, &bf16, &of_b, m, COLS,
                                        DEPTH, false),
                         e);
                CHECK(memcmp(y, z, m * COLS * sizeof *y) == 0);
            }
            hg_runtime_free(rt);
        }
    hg_arena_free(&mem);
}

/* A product and another that is added to it, and one after the other. */
static void check_and(hg_runtime *rt, hg_compute compute, size_t m, size_t rank, bool is_packed,
                      hg_rng *r)
{
    enum { N = 133, K = 600 };
    hg_err e = {0};
    hg_arena mem;
    hg_arena_init(&mem, 0);
    stored a = store(m, K, hg_rng_below(r, 2) ? HG_BF16 : HG_F32, true, 0, r);
    stored b = store(K, N, HG_F32, false, 0, r);
    stored low = store(m, rank, HG_F32, true, 0, r), up = store(rank, N, HG_F32, true, 0, r);
    void *pb = hg_arena_raw(&mem, hg_matmul_b_size(rt, compute, N, K), 1);
    void *pu = hg_arena_raw(&mem, hg_matmul_b_size(rt, compute, N, rank), 1);
    float *c = random_floats(m * N, 1, r), *d = hg_alloc(m * N, sizeof *d);
    CHECK(pb != NULL && pu != NULL && d != NULL);
    memcpy(d, c, m * N * sizeof *c);
    hg_matmul_pack_b(rt, compute, pb, &b.m, N, K);
    hg_matmul_pack_b(rt, compute, pu, &up.m, N, rank);
    const hg_more more = {&low.m, pu, rank};
    const bool add = hg_rng_below(r, 2);
    CHECK_OK(hg_matmul_and(rt, compute, c, N, &a.m, &b.m, is_packed ? pb : NULL, &more, m, N, K,
                           add, &e),
             e);
    CHECK_OK(hg_matmul(rt, compute, d, N, &a.m, &b.m, m, N, K, add, &e), e);
    CHECK_OK(hg_matmul(rt, compute, d, N, &low.m, &up.m, m, N, rank, true, &e), e);
    CHECK(memcmp(c, d, m * N * sizeof *c) == 0);
    hg_free(a.data);
    hg_free(b.data);
    hg_free(low.data);
    hg_free(up.data);
    hg_free(c);
    hg_free(d);
    hg_arena_free(&mem);
}

TEST(what_is_added_to_a_product_gives_the_bits_of_one_after_the_other)
{
    static const size_t rows[] = {1, 3, 16, 130, 544}, ranks[] = {1, 16, 40, 513};
    hg_rng r;
    hg_rng_init(&r, 8, 0);
    for (int isa = HG_ISA_C; isa <= (int)hg_isa_detect(); isa++) {
        hg_runtime *rt = runtime(2, isa);
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
            for (size_t k = 0; k < sizeof ranks / sizeof ranks[0]; k++) {
                if (rows[i] > 500 && ranks[k] != 16) continue;
                check_and(rt, (hg_compute)(k & 1), rows[i], ranks[k], i & 1, &r);
            }
        hg_runtime_free(rt);
    }
}

/* B packed whole beforehand, and packed by hg_matmul, which does it a slice at a time. */
static void check_large(hg_runtime *rt, hg_compute compute, size_t m, size_t n, size_t k, hg_rng *r)
{
    hg_err e = {0};
    stored a = store(m, k, HG_F32, hg_rng_below(r, 2), 0, r);
    stored b = store(k, n, HG_BF16, hg_rng_below(r, 2), 0, r);
    stored low = store(m, 8, HG_F32, true, 0, r), up = store(8, n, HG_F32, false, 0, r);
    float *c = random_floats(m * n, 1, r), *d = hg_alloc(m * n, sizeof *d);
    hg_arena mem;
    hg_arena_init(&mem, 0);
    void *pb = hg_arena_raw(&mem, hg_matmul_b_size(rt, compute, n, k), 1);
    void *pu = hg_arena_raw(&mem, hg_matmul_b_size(rt, compute, n, 8), 1);
    CHECK(pb != NULL && pu != NULL && d != NULL);
    CHECK(hg_matmul_b_room(rt, compute, n, k) <= 16 << 20);
    CHECK(hg_matmul_b_room(rt, compute, n, k) < hg_matmul_b_size(rt, compute, n, k));
    memcpy(d, c, m * n * sizeof *c);
    hg_matmul_pack_b(rt, compute, pb, &b.m, n, k);
    hg_matmul_pack_b(rt, compute, pu, &up.m, n, 8);
    const hg_more more = {&low.m, pu, 8};
    CHECK_OK(hg_matmul_by(rt, compute, c, n, &a.m, pb, m, n, k, true, &e), e);
    CHECK_OK(hg_matmul(rt, compute, d, n, &a.m, &b.m, m, n, k, true, &e), e);
    CHECK(memcmp(c, d, m * n * sizeof *c) == 0);
    CHECK_OK(hg_matmul_and(rt, compute, c, n, &a.m, NULL, pb, &more, m, n, k, false, &e), e);
    CHECK_OK(hg_matmul_and(rt, compute, d, n, &a.m, &b.m, NULL, &more, m, n, k, false, &e), e);
    CHECK(memcmp(c, d, m * n * sizeof *c) == 0);
    hg_free(a.data);
    hg_free(b.data);
    hg_free(low.data);
    hg_free(up.data);
    hg_free(c);
    hg_free(d);
    hg_arena_free(&mem);
}

TEST(a_large_b_is_packed_in_slices_and_gives_the_bits_of_one_packed_whole)
{
    hg_rng r;
    hg_rng_init(&r, 9, 0);
    for (int isa = HG_ISA_C; isa <= (int)hg_isa_detect(); isa++) {
        hg_runtime *rt = runtime(2, isa);
        for (int c = 0; c < HG_N_COMPUTE; c++) {
            const size_t wide = c == HG_COMPUTE_F32 ? 7301 : 14501; /* 17 MB packed */
            check_large(rt, (hg_compute)c, 3, wide, 600, &r);
            check_large(rt, (hg_compute)c, 2, 600, wide, &r);
        }
        check_large(rt, HG_COMPUTE_F32, 40, 7301, 600, &r);
        hg_runtime_free(rt);
    }
}

TEST(an_empty_sum_is_zero_or_leaves_the_output)
{
    hg_err e = {0};
    hg_runtime *rt = runtime(1, HG_N_ISA);
    float c[2] = {3, 4};
    hg_matrix none = {c, HG_F32, 1, 1};
    CHECK_OK(hg_matmul(rt, HG_COMPUTE_F32, c, 1, &none, &none, 2, 1, 0, true, &e), e);
    CHECK(c[0] == 3 && c[1] == 4);
    CHECK_OK(hg_matmul(rt, HG_COMPUTE_F32, c, 1, &none, &none, 2, 1, 0, false, &e), e);
    CHECK(c[0] == 0 && c[1] == 0);
    hg_runtime_free(rt);
}

enum { M = 401, N = 133, K = 1100 };

/* The product on `rt`, packed beforehand or not, of the first m rows of x. */
static void linear(hg_runtime *rt, hg_compute compute, float *y, const float *x, const float *w,
                   size_t m, bool is_packed)
{
    hg_err e = {0};
    hg_matrix a = {x, HG_F32, K, 1}, weight = {w, HG_F32, K, 1}, b = {w, HG_F32, 1, K};
    if (!is_packed) {
        CHECK_OK(hg_matmul(rt, compute, y, N, &a, &b, m, N, K, false, &e), e);
        return;
    }
    hg_arena mem;
    hg_arena_init(&mem, 0);
    hg_type type = compute == HG_COMPUTE_BF16 ? HG_BF16 : HG_F32;
    void *packed = hg_arena_raw(&mem, hg_packed_size(rt, type, N, K), 1);
    CHECK(packed != NULL);
    hg_pack_weight(rt, type, packed, &weight, N, K);
    CHECK_OK(hg_matmul_packed(rt, type, y, x, packed, m, N, K, &e), e);
    hg_arena_free(&mem);
}

typedef void each_fn(hg_runtime *rt, hg_compute compute, const float *x, const float *w,
                     const float *y);

/* Calls `fn` for each set and family with the whole product y that one thread computes. */
static void each_whole_product(each_fn *fn)
{
    hg_rng r;
    hg_rng_init(&r, 3, 0);
    float *x = random_floats((size_t)M * K, 1, &r), *w = random_floats((size_t)N * K, 1, &r);
    float *y = random_floats((size_t)M * N, 1, &r);
    for (int isa = HG_ISA_C; isa <= (int)hg_isa_detect(); isa++)
        for (int c = 0; c < HG_N_COMPUTE; c++) {
            hg_runtime *rt = runtime(1, isa);
            linear(rt, (hg_compute)c, y, x, w, M, false);
            fn(rt, (hg_compute)c, x, w, y);
            hg_runtime_free(rt);
        }
    hg_free(x);
    hg_free(w);
    hg_free(y);
}

static void check_batches(hg_runtime *rt, hg_compute compute, const float *x, const float *w,
                          const float *y)
{
    static const size_t batch[] = {1, 2, 3, 4, 5, 13, 14, 15, 16, 17, 29, 169, 400};
    float *part = hg_alloc((size_t)M * N, sizeof *part);
    CHECK(part != NULL);
    for (size_t b = 0; b < sizeof batch / sizeof batch[0]; b++) {
        linear(rt, compute, part, x, w, batch[b], b & 1);
        CHECK(memcmp(part, y, batch[b] * N * sizeof *y) == 0);
    }
    for (size_t row = 0; row < 40; row++) { /* alone, wherever it stood */
        linear(rt, compute, part, x + row * K, w, 1, false);
        CHECK(memcmp(part, y + row * N, N * sizeof *y) == 0);
    }
    hg_free(part);
}

TEST(a_row_is_the_same_bits_in_every_batch)
{
    each_whole_product(check_batches);
}

static void check_packed(hg_runtime *rt, hg_compute compute, const float *x, const float *w,
                         const float *y)
{
    float *again = hg_alloc((size_t)M * N, sizeof *again);
    CHECK(again != NULL);
    linear(rt, compute, again, x, w, M, true);
    CHECK(memcmp(again, y, (size_t)M * N * sizeof *y) == 0);
    hg_free(again);
}

TEST(a_packed_weight_gives_the_same_bits)
{
    each_whole_product(check_packed);
}

static void check_threads(hg_runtime *one, hg_compute compute, const float *x, const float *w,
                          const float *y)
{
    float *again = hg_alloc((size_t)M * N, sizeof *again);
    CHECK(again != NULL);
    for (int threads = 2; threads <= 4; threads++) {
        hg_runtime *rt = runtime(threads, (int)hg_runtime_isa(one));
        for (int is_packed = 0; is_packed < 2; is_packed++) {
            memset(again, 0xff, (size_t)M * N * sizeof *again);
            linear(rt, compute, again, x, w, M, is_packed);
            CHECK(memcmp(again, y, (size_t)M * N * sizeof *y) == 0);
        }
        hg_runtime_free(rt);
    }
    hg_free(again);
}

TEST(any_number_of_threads_gives_the_same_bits)
{
    each_whole_product(check_threads);
}

/* The product with w packed as `type`. */
static void packed_product(hg_runtime *rt, hg_type type, float *y, const float *x,
                           const hg_matrix *w, size_t m)
{
    hg_err e = {0};
    hg_arena mem;
    hg_arena_init(&mem, 0);
    void *packed = hg_arena_raw(&mem, hg_packed_size(rt, type, N, K), 1);
    CHECK(packed != NULL);
    hg_pack_weight(rt, type, packed, w, N, K);
    CHECK_OK(hg_matmul_packed(rt, type, y, x, packed, m, N, K, &e), e);
    hg_arena_free(&mem);
}

TEST(a_float16_weight_takes_its_own_bytes_and_gives_the_bits_of_its_float32_values)
{
    static const size_t rows[] = {1, 2, 4, 5, 17, 60, 401};
    hg_rng r;
    hg_rng_init(&r, 5, 0);
    float *x = random_floats((size_t)M * K, 1, &r), *wide = random_floats((size_t)N * K, 1, &r);
    float *y = hg_alloc((size_t)M * N, sizeof *y), *z = hg_alloc((size_t)M * N, sizeof *z);
    hg_f16 *half = typed_copy(wide, (size_t)N * K, HG_F16);
    CHECK(y != NULL && z != NULL);
    for (size_t i = 0; i < (size_t)N * K; i++) wide[i] = f16_to_float(half[i]);
    hg_matrix w16 = {half, HG_F16, K, 1}, w32 = {wide, HG_F32, K, 1};
    for (int isa = HG_ISA_C; isa <= (int)hg_isa_detect(); isa++) {
        hg_runtime *rt = runtime(2, isa);
        CHECK_EQ(2 * hg_packed_size(rt, HG_F16, N, K), hg_packed_size(rt, HG_F32, N, K));
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            packed_product(rt, HG_F16, y, x, &w16, rows[i]);
            packed_product(rt, HG_F32, z, x, &w32, rows[i]);
            CHECK(memcmp(y, z, rows[i] * N * sizeof *y) == 0);
        }
        hg_runtime_free(rt);
    }
    hg_free(x);
    hg_free(wide);
    hg_free(half);
    hg_free(y);
    hg_free(z);
}
