/* Matrix products with AMX: the bf16 family. A register holds 16 rows of 64 bytes; one instruction
 * multiplies 16 rows by 32 k of A with 32 k by 16 columns of B and adds to 16 x 16 floats. Four of
 * the eight registers are sums, two of A and two of B meet in them, so that each tile that is read
 * is used twice: 32 x 32 outputs a call.
 *
 * The registers' shape is a state of the thread (enter, leave) and always the whole one; rows and k
 * beyond the matrix are zeros in the panels, and an edge of C goes through a buffer. So a row is
 * summed alike in every tile: from c on, 32 k after 32 k, within these the even and the odd ones
 * apart. Subnormal numbers count as zero, as in vdpbf16ps. Reference: Intel SDM vol. 1, 18, and
 * vol. 2C, TDPBF16PS. */
#include "kernels/tables.h"
#include "kernels/x86/pack_avx512.h"

#include <string.h>

enum {
    MR = 32,
    NR = 32,
    TILE = 16, /* rows of a register */
    STEP = 32, /* k of a register of A */
    LINE = 64, /* bytes of a register's row */
    AHEAD =
        8192, /* bytes of B that a product of few rows, which waits for memory, asks for early */
    N_REGISTERS = 8
};

/* What ldtilecfg reads. */
typedef struct tile_config {
    uint8_t palette, start_row, none[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

static void enter(void)
{
    tile_config c = {.palette = 1};
    for (int i = 0; i < N_REGISTERS; i++) {
        c.row_bytes[i] = LINE;
        c.rows[i] = TILE;
    }
    _tile_loadconfig(&c);
}

static void leave(void)
{
    _tile_release();
}

/* gcc's tile loads do not tell it that they read memory. */
static inline void written(void)
{
    __asm__ volatile("" ::: "memory");
}

/* Asks for three rows of C to write, at each step three others: to be stored at the end, or, where
 * what is there was read at the beginning, those of the tile below. */
static inline void ask_for_c(const float *c, size_t ldc, size_t step)
{
    for (size_t i = 3 * step; i < 3 * step + 3 && i < MR; i++) {
        _mm_prefetch((const char *)(c + i * ldc), _MM_HINT_ET0);
        _mm_prefetch((const char *)(c + i * ldc + TILE), _MM_HINT_ET0);
    }
}

/* How rows of A lie: in panels, or as a matrix of bf16 has them. Bytes. */
typedef struct rows_of_a {
    size_t stride; /* from a row to the next */
    size_t step;   /* from 32 k to the next */
} rows_of_a;

/* c[32][32] (+)= a[32][32 steps] b[steps][16][32][2]. The panel of B stays in the L1 cache while
 * those of A pass by, which are read as what is not needed again: with common loads a fifth slower.
 */
static inline void high(float *c, size_t ldc, const char *a, rows_of_a lie, const char *b,
                        size_t steps, bool first)
{
    const size_t stride = ldc * sizeof *c;
    float *low = c + TILE * ldc;
    const char *low_a = a + TILE * lie.stride;
    const float *soon = first ? c : c + MR * ldc;
    if (first) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    } else {
        _tile_loadd(0, c, stride);
        _tile_loadd(1, c + TILE, stride);
        _tile_loadd(2, low, stride);
        _tile_loadd(3, low + TILE, stride);
    }
    for (size_t s = 0; s < steps; s++, a += lie.step, low_a += lie.step, b += TILE * 2 * LINE) {
        _tile_stream_loadd(4, a, lie.stride);
        _tile_loadd(6, b, 2 * LINE);
        _tile_loadd(7, b + LINE, 2 * LINE);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_stream_loadd(5, low_a, lie.stride);
        ask_for_c(soon, ldc, s);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, c, stride);
    _tile_stored(1, c + TILE, stride);
    _tile_stored(2, low, stride);
    _tile_stored(3, low + TILE, stride);
}

/* The same of 16 rows. */
static inline void flat(float *c, size_t ldc, const char *a, rows_of_a lie, const char *b,
                        size_t steps, bool first)
{
    const size_t stride = ldc * sizeof *c;
    if (first) {
        _tile_zero(0);
        _tile_zero(1);
    } else {
        _tile_loadd(0, c, stride);
        _tile_loadd(1, c + TILE, stride);
    }
    for (size_t s = 0; s < steps; s++, a += lie.step, b += TILE * 2 * LINE) {
        for (size_t i = 0; i < 2 * TILE; i++) _mm_prefetch(b + AHEAD + i * LINE, _MM_HINT_T0);
        _tile_loadd(4, a, lie.stride);
        _tile_loadd(6, b, 2 * LINE);
        _tile_loadd(7, b + LINE, 2 * LINE);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
    }
    _tile_stored(0, c, stride);
    _tile_stored(1, c + TILE, stride);
}

static void product(float *c, size_t ldc, const void *a, rows_of_a lie, const void *b, size_t kc,
                    size_t rows, bool first)
{
    const size_t steps = (kc + STEP - 1) / STEP;
    written();
    if (rows > TILE)
        high(c, ldc, a, lie, b, steps, first);
    else
        flat(c, ldc, a, lie, b, steps, first);
    written();
}

static void copy(float *to, size_t ld_to, const float *from, size_t ld_from, size_t rows,
                 size_t cols)
{
    const __mmask16 left = lanes_mask(cols), right = lanes_mask(cols > 16 ? cols - 16 : 0);
    for (size_t i = 0; i < rows; i++, to += ld_to, from += ld_from) {
        _mm512_mask_storeu_ps(to, left, _mm512_maskz_loadu_ps(left, from));
        _mm512_mask_storeu_ps(to + 16, right, _mm512_maskz_loadu_ps(right, from + 16));
    }
}

/* An edge of C, through a buffer. */
static __attribute__((noinline)) void edge(float *c, size_t ldc, const void *a, rows_of_a lie,
                                           const void *b, size_t kc, size_t rows, size_t cols,
                                           bool first)
{
    _Alignas(LINE) float whole[MR * NR];
    if (!first) {
        memset(whole, 0, sizeof whole);
        copy(whole, NR, c, ldc, rows, cols);
    }
    product(whole, NR, a, lie, b, kc, rows, first);
    copy(c, ldc, whole, NR, rows, cols);
}

static void any_tile(float *c, size_t ldc, const void *a, rows_of_a lie, const void *b, size_t kc,
                     size_t rows, size_t cols, bool first)
{
    if (cols == NR && rows % TILE == 0)
        product(c, ldc, a, lie, b, kc, rows, first);
    else
        edge(c, ldc, a, lie, b, kc, rows, cols, first);
}

static void tile_bf16(float *c, size_t ldc, const void *a, const void *b, size_t kc, size_t rows,
                      size_t cols, bool first)
{
    const rows_of_a panel = {LINE, rows > TILE ? MR * LINE : TILE * LINE};
    any_tile(c, ldc, a, panel, b, kc, rows, cols, first);
}

static void tile_rows(float *c, size_t ldc, const hg_bf16 *a, size_t lda, const void *b, size_t kc,
                      size_t rows, size_t cols, bool first)
{
    const rows_of_a matrix = {lda * sizeof *a, LINE};
    any_tile(c, ldc, a, matrix, b, kc, rows, cols, first);
}

/* ---- packing ---- */

/* 16 rows and 32 k of A into one tile; `n` rows and `left` k exist. */
static inline __attribute__((always_inline)) void
pack_tile(__m512i *dst, const hg_matrix *m, hg_type type, lanes l, size_t n, size_t left)
{
    __m512i r[TILE];
    if (l.k_stride == 1) { /* a row is near, and is stored as it is read */
        for (size_t i = 0; i < TILE; i++)
            _mm512_storeu_si512(dst + i, i < n ? run16(m->base, type, l.at + i * l.lane_stride,
                                                       left, CELL_BF16_PAIR)
                                               : _mm512_setzero_si512());
        return;
    }
#pragma GCC unroll 16
    for (size_t i = 0; i < TILE; i++)
        r[i] = 2 * i < left ? step16(m->base, type, l.at + 2 * i * l.k_stride, l.k_stride,
                                     left - 2 * i, lanes_mask(n), CELL_BF16_PAIR)
                            : _mm512_setzero_si512();
    transpose16(r);
#pragma GCC unroll 16
    for (size_t i = 0; i < TILE; i++) _mm512_storeu_si512(dst + i, r[i]);
}

static inline __attribute__((always_inline)) void pack_tiles(char *dst, const hg_matrix *m,
                                                             hg_type type, lanes l, size_t kc)
{
    const size_t height = (l.n + TILE - 1) / TILE * TILE;
    for (size_t s = 0; s < kc; s += STEP)
        for (size_t g = 0; g < height; g += TILE) {
            lanes of = l;
            of.at += g * l.lane_stride + s * l.k_stride;
            pack_tile((__m512i *)(void *)(dst + (s / STEP * height + g) * LINE), m, type, of,
                      l.n - g, kc - s);
        }
}

static void pack_a(void *dst, const hg_matrix *a, size_t row, size_t rows, size_t k0, size_t kc)
{
    const lanes l = rows_of(a, row, rows, k0);
    if (a->type == HG_F32)
        pack_tiles(dst, a, HG_F32, l, kc);
    else if (a->type == HG_F16)
        pack_tiles(dst, a, HG_F16, l, kc);
    else
        pack_tiles(dst, a, HG_BF16, l, kc);
}

static void pack_b(void *dst, const hg_matrix *b, size_t col, size_t cols, size_t k0, size_t kc)
{
    const size_t there = (kc + 1) / 2 * 2, depth = (kc + STEP - 1) / STEP * STEP;
    pack_lanes(dst, b, cols_of(b, col, cols, k0, NR), kc, CELL_BF16_PAIR);
    memset((hg_bf16 *)dst + there * NR, 0, (depth - there) * NR * sizeof(hg_bf16));
}

void hg_gemm_amx(hg_kernels *k)
{
    k->gemm[HG_COMPUTE_BF16] = (hg_gemm_kernel){MR,     NR,     TILE,      STEP,  2,     2,
                                                pack_a, pack_b, tile_bf16, enter, leave, tile_rows};
    k->gemm_bf16 = k->gemm[HG_COMPUTE_BF16];
}
