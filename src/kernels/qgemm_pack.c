/* Packing quantised weights: the blocks of a file become panels (qgemm.h) once, when a model is
 * loaded. The codes keep their width and their places within a dword, so that the bulk of the work
 * is to deal the dwords of 32 rows to lanes; only the scales are put together anew. */
#include "kernels/qgemm.h"
#include "kernels/quant.h"

#include <string.h>

/* One column of one step: its scales and its planes, each dword [HG_Q_NR] apart. */
typedef struct column {
    unsigned char *scales; /* of the whole step */
    uint32_t *planes;      /* this column's first dword */
    size_t c;
} column;

static uint32_t dword(const void *p)
{
    uint32_t u;
    memcpy(&u, p, sizeof u);
    return u;
}

static void put_half(column *o, size_t row, hg_f16 v)
{
    memcpy(o->scales + (row * HG_Q_NR + o->c) * sizeof v, &v, sizeof v);
}

static void put_plane(column *o, size_t vec, const void *from, size_t dwords, uint32_t flip)
{
    for (size_t i = 0; i < dwords; i++)
        o->planes[(vec + i) * HG_Q_NR] = dword((const char *)from + 4 * i) ^ flip;
}

/* Bit 4 q + i of a block's fifth bits goes to bit q of byte i. */
static uint32_t spread_bits(uint32_t bits)
{
    uint32_t out = 0;
    for (unsigned q = 0; q < 8; q++, bits >>= 4)
        out |= ((bits & 1) | (bits & 2) << 7 | (bits & 4) << 14 | (bits & 8) << 21) << q;
    return out;
}

/* Two times eight 6-bit numbers in three dwords, behind `halves` rows of f16. */
static void put_six_bits(column *o, size_t halves, const uint8_t a[8], const uint8_t b[8])
{
    uint32_t w[3] = {0, 0, 0};
    for (unsigned i = 0; i < 8; i++) {
        w[0] |= (uint32_t)(a[i] & 15) << (4 * i);
        w[1] |= (uint32_t)(b[i] & 15) << (4 * i);
        w[2] |= (uint32_t)(a[i] >> 4) << (2 * i) | (uint32_t)(b[i] >> 4) << (16 + 2 * i);
    }
    unsigned char *at = o->scales + halves * HG_Q_NR * sizeof(hg_f16) + o->c * 4;
    for (size_t i = 0; i < 3; i++) memcpy(at + i * HG_Q_NR * 4, &w[i], 4);
}

static void put_bytes(column *o, size_t halves, const void *from, size_t n)
{
    unsigned char *at = o->scales + halves * HG_Q_NR * sizeof(hg_f16) + o->c;
    for (size_t i = 0; i < n; i++) at[i * HG_Q_NR] = ((const unsigned char *)from)[i];
}

static void put_k4_scales(column *o, hg_f16 d, hg_f16 dmin, const uint8_t scales[12])
{
    uint8_t sc[8], mn[8];
    hg_k4_scales(scales, sc, mn);
    put_half(o, 0, d);
    put_half(o, 1, dmin);
    put_six_bits(o, 2, sc, mn);
}

static void put_q3_scales(column *o, const hg_block_q3_k *x)
{
    int8_t sc[16];
    uint8_t even[8], odd[8];
    hg_q3_k_scales(x->scales, sc);
    for (size_t i = 0; i < 8; i++) {
        even[i] = (uint8_t)(sc[2 * i] + 32);
        odd[i] = (uint8_t)(sc[2 * i + 1] + 32);
    }
    put_half(o, 0, x->d);
    put_six_bits(o, 1, even, odd);
}

static void put_iq4_xs_scales(column *o, const hg_block_iq4_xs *x)
{
    int8_t sc[8];
    for (unsigned i = 0; i < 8; i++) {
        unsigned low = x->low[i / 2] >> (4 * (i % 2)) & 15, high = x->high >> (2 * i) & 3;
        sc[i] = (int8_t)((int)(low | high << 4) - 32);
    }
    put_half(o, 0, x->d);
    put_bytes(o, 1, sc, sizeof sc);
}

static void pack_small(column *o, hg_type t, const void *block)
{
    switch (t) {
    case HG_Q4_0: {
        const hg_block_q4_0 *x = block;
        put_half(o, 0, x->d);
        put_plane(o, 0, x->q, 4, 0);
        break;
    }
    case HG_Q4_1: {
        const hg_block_q4_1 *x = block;
        put_half(o, 0, x->d);
        put_half(o, 1, x->m);
        put_plane(o, 0, x->q, 4, 0);
        break;
    }
    case HG_Q5_0: {
        const hg_block_q5_0 *x = block;
        put_half(o, 0, x->d);
        put_plane(o, 0, x->q, 4, 0);
        o->planes[4 * HG_Q_NR] = spread_bits(dword(x->high));
        break;
    }
    case HG_Q5_1: {
        const hg_block_q5_1 *x = block;
        put_half(o, 0, x->d);
        put_half(o, 1, x->m);
        put_plane(o, 0, x->q, 4, 0);
        o->planes[4 * HG_Q_NR] = spread_bits(dword(x->high));
        break;
    }
    case HG_Q8_0: {
        const hg_block_q8_0 *x = block;
        put_half(o, 0, x->d);
        put_plane(o, 0, x->q, 8, 0x80808080u); /* adds the offset of 128 */
        break;
    }
    case HG_IQ4_NL: {
        const hg_block_iq4_nl *x = block;
        put_half(o, 0, x->d);
        put_plane(o, 0, x->q, 4, 0);
        break;
    }
    default: {
        const hg_block_mxfp4 *x = block;
        put_bytes(o, 0, &x->e, 1);
        put_plane(o, 0, x->q, 4, 0);
        break;
    }
    }
}

static void pack_super(column *o, hg_type t, const void *block)
{
    switch (t) {
    case HG_Q2_K: {
        const hg_block_q2_k *x = block;
        put_half(o, 0, x->d);
        put_half(o, 1, x->dmin);
        put_bytes(o, 2, x->scales, 16);
        put_plane(o, 0, x->q, 16, 0);
        break;
    }
    case HG_Q3_K: {
        const hg_block_q3_k *x = block;
        put_q3_scales(o, x);
        put_plane(o, 0, x->q, 16, 0);
        put_plane(o, 16, x->high, 8, 0);
        break;
    }
    case HG_Q4_K: {
        const hg_block_q4_k *x = block;
        put_k4_scales(o, x->d, x->dmin, x->scales);
        put_plane(o, 0, x->q, 32, 0);
        break;
    }
    case HG_Q5_K: {
        const hg_block_q5_k *x = block;
        put_k4_scales(o, x->d, x->dmin, x->scales);
        put_plane(o, 0, x->q, 32, 0);
        put_plane(o, 32, x->high, 8, 0);
        break;
    }
    case HG_Q6_K: {
        const hg_block_q6_k *x = block;
        put_half(o, 0, x->d);
        put_bytes(o, 1, x->scales, 16);
        put_plane(o, 0, x->low, 32, 0);
        put_plane(o, 32, x->high, 16, 0);
        break;
    }
    default: {
        const hg_block_iq4_xs *x = block;
        put_iq4_xs_scales(o, x);
        put_plane(o, 0, x->q, 32, 0);
        break;
    }
    }
}

void hg_q_pack_panel(void *dst, hg_type t, const void *rows, size_t row_bytes, size_t cols,
                     size_t k)
{
    const hg_qform *f = &hg_qforms[t];
    size_t block_bytes = hg_type_block_size(t), step_bytes = hg_q_step_bytes(t);
    unsigned char *step = dst;
    if (cols < HG_Q_NR) memset(dst, 0, hg_q_panel_size(t, k));
    for (size_t s = 0; s < k / f->step; s++, step += step_bytes)
        for (size_t c = 0; c < cols; c++) {
            const char *block = (const char *)rows + c * row_bytes + s * block_bytes;
            void *planes = step + f->scale_bytes + c * 4;
            column o = {step, planes, c};
            if (f->step == HG_SUPER)
                pack_super(&o, t, block);
            else
                pack_small(&o, t, block);
        }
}
