/* Quantised products in plain C: the definition that the vector files are tested against. */
#include "kernels/qgemm.h"
#include "kernels/scalar.h"
#include "kernels/tables.h"

#include <float.h>
#include <math.h>

enum { MR = 4 };

/* ---- activations ---- */

/* Blocks whose largest value is below this count as zero: its inverse would overflow. */
static const float TINY = 1e-30f;

static float largest(const float *x)
{
    float max = 0;
    bool is_finite = true;
    for (size_t i = 0; i < HG_BLOCK; i++) {
        float a = fabsf(x[i]);
        is_finite &= a <= FLT_MAX;
        max = a > max ? a : max;
    }
    return is_finite ? max : NAN;
}

static void pack_a(void *dst, const float *x, size_t ldx, size_t rows, size_t k, hg_type t)
{
    const hg_qform *f = &hg_qforms[t];
    size_t n_fields = hg_q_fields(f), granules = n_fields - 1;
    char *block = dst;
    for (size_t b = 0; b < k; b += HG_BLOCK, block += rows * (4 * n_fields + HG_BLOCK))
        for (size_t r = 0; r < rows; r++) {
            const float *v = x + r * ldx + b;
            float *field = (float *)(void *)block + r;
            int8_t *q = (int8_t *)block + rows * 4 * n_fields + r * 4;
            float max = largest(v), d = max >= TINY || isnan(max) ? max / 127 : 0;
            float inverse = max >= TINY ? 127 / max : 0;
            int32_t sum[2] = {0, 0};
            for (size_t i = 0; i < HG_BLOCK; i++) {
                int32_t n = inverse > 0 ? (int32_t)lrintf(v[i] * inverse) : 0;
                q[i / 4 * rows * 4 + i % 4] = (int8_t)n;
                sum[i / f->granule] += n;
            }
            field[0] = d;
            for (size_t g = 0; g < granules; g++) {
                int32_t start = -(int32_t)f->offset * sum[g];
                float of_min = d * (float)sum[g];
                if (f->has_min)
                    field[(1 + g) * rows] = of_min;
                else
                    memcpy(&field[(1 + g) * rows], &start, sizeof start);
            }
        }
}

/* ---- weights ---- */

static float half_at(const unsigned char *scales, size_t row, size_t c)
{
    hg_f16 h;
    memcpy(&h, scales + (row * HG_Q_NR + c) * sizeof h, sizeof h);
    return f16_to_float(h);
}

static uint32_t dword_at(const unsigned char *p, size_t row, size_t c)
{
    uint32_t u;
    memcpy(&u, p + (row * HG_Q_NR + c) * sizeof u, sizeof u);
    return u;
}

/* The two 6-bit numbers of block b, behind `halves` rows of f16. */
static void six_bits(const unsigned char *scales, size_t halves, size_t b, size_t c,
                     uint32_t out[2])
{
    const unsigned char *w = scales + halves * HG_Q_NR * sizeof(hg_f16);
    uint32_t high = dword_at(w, 2, c) >> (2 * b);
    out[0] = (dword_at(w, 0, c) >> (4 * b) & 15) | (high & 3) << 4;
    out[1] = (dword_at(w, 1, c) >> (4 * b) & 15) | (high >> 16 & 3) << 4;
}

static unsigned byte_at(const unsigned char *scales, size_t halves, size_t row, size_t c)
{
    return scales[halves * HG_Q_NR * sizeof(hg_f16) + row * HG_Q_NR + c];
}

/* s and m of granule g of block b. */
static void scale_of(hg_type t, const unsigned char *scales, size_t b, size_t g, size_t c, float *s,
                     float *m)
{
    float d = t == HG_MXFP4 ? 0 : half_at(scales, 0, c);
    uint32_t six[2];
    *m = 0;
    *s = d;
    switch (t) {
    case HG_Q4_1:
    case HG_Q5_1:
        *m = half_at(scales, 1, c);
        break;
    case HG_Q4_K:
    case HG_Q5_K:
        six_bits(scales, 2, b, c, six);
        *s = d * (float)six[0];
        *m = -half_at(scales, 1, c) * (float)six[1];
        break;
    case HG_Q2_K: {
        unsigned both = byte_at(scales, 2, 2 * b + g, c);
        *s = d * (float)(both & 15);
        *m = -half_at(scales, 1, c) * (float)(both >> 4);
        break;
    }
    case HG_Q3_K:
        six_bits(scales, 1, b, c, six);
        *s = d * (float)((int)six[g] - 32);
        break;
    case HG_Q6_K:
        *s = d * (float)(int8_t)byte_at(scales, 1, 2 * b + g, c);
        break;
    case HG_IQ4_XS:
        *s = d * (float)(int8_t)byte_at(scales, 1, b, c);
        break;
    case HG_MXFP4: { /* 2^(e - 128); the table has twice the values */
        unsigned e = byte_at(scales, 0, 0, c);
        *s = float_of(e < 2 ? 0x00200000u << e : (e - 1) << 23);
        break;
    }
    default:
        break;
    }
}

static uint32_t codes_at(hg_type t, const unsigned char *planes, size_t b, size_t q, size_t c)
{
    const hg_qform *f = &hg_qforms[t];
    const uint8_t *table = hg_q_table(t);
    uint32_t low = dword_at(planes, hg_q_low_vec(t, b, q), c) >> hg_q_low_bit(t, b, q);
    uint32_t u = low & 0x01010101u * ((1u << f->low) - 1);
    if (f->high > 0) {
        uint32_t high = dword_at(planes, f->n_low + hg_q_high_vec(t, b, q), c);
        u |= (high >> hg_q_high_bit(t, b, q) & 0x01010101u * ((1u << f->high) - 1)) << f->low;
    }
    if (table == NULL) return u;
    return (uint32_t)table[u & 15] | (uint32_t)table[u >> 8 & 15] << 8 |
           (uint32_t)table[u >> 16 & 15] << 16 | (uint32_t)table[u >> 24] << 24;
}

static void widen_block(char *out, hg_type t, const unsigned char *step, size_t b)
{
    const hg_qform *f = &hg_qforms[t];
    size_t granules = HG_BLOCK / f->granule;
    float *s = (float *)(void *)(out + HG_BLOCK * HG_Q_NR), *m = s + granules * HG_Q_NR;
    for (size_t q = 0; q < 8; q++)
        for (size_t c = 0; c < HG_Q_NR; c++) {
            uint32_t u = codes_at(t, step + f->scale_bytes, b, q, c);
            memcpy(out + (q * HG_Q_NR + c) * 4, &u, 4);
        }
    for (size_t g = 0; g < granules; g++)
        for (size_t c = 0; c < HG_Q_NR; c++) {
            float min;
            scale_of(t, step, b, g, c, &s[g * HG_Q_NR + c], &min);
            if (f->has_min) m[g * HG_Q_NR + c] = min;
        }
}

static void widen(void *dst, const void *panel, size_t k, hg_type t)
{
    const hg_qform *f = &hg_qforms[t];
    const unsigned char *step = panel;
    char *out = dst;
    for (size_t s = 0; s < k; s += f->step, step += hg_q_step_bytes(t))
        for (size_t b = 0; b < f->step / HG_BLOCK; b++, out += hg_q_wide_block(f))
            widen_block(out, t, step, b);
}

/* ---- the product ---- */

/* The integer sum over a granule of one row and column, from `start` on. */
static int32_t dot(const char *u, const char *q, size_t rows, size_t quads, int32_t start)
{
    for (size_t j = 0; j < quads; j++, u += 4 * HG_Q_NR, q += 4 * rows)
        for (size_t i = 0; i < 4; i++) start += (int32_t)(uint8_t)u[i] * (int8_t)q[i];
    return start;
}

static void tile(float *c, size_t ldc, const void *a, const void *wide, size_t k, size_t rows,
                 size_t cols, hg_type t, bool first, const void *next)
{
    (void)next;
    const hg_qform *f = &hg_qforms[t];
    size_t n_fields = hg_q_fields(f), granules = n_fields - 1, quads = f->granule / 4u;
    const char *pa = a, *pb = wide;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; first && j < cols; j++) c[i * ldc + j] = 0;
    for (size_t b = 0; b < k; b += HG_BLOCK) {
        const float *field = (const float *)(const void *)pa;
        const float *s = (const float *)(const void *)(pb + HG_BLOCK * HG_Q_NR);
        const float *m = s + granules * HG_Q_NR;
        for (size_t g = 0; g < granules; g++)
            for (size_t i = 0; i < rows; i++)
                for (size_t j = 0; j < cols; j++) {
                    const char *u = pb + (g * quads * HG_Q_NR + j) * 4;
                    const char *q = pa + rows * 4 * n_fields + (g * quads * rows + i) * 4;
                    float *y = &c[i * ldc + j], second = field[(1 + g) * rows + i];
                    int32_t start = f->has_min ? 0 : (int32_t)bits_of(second);
                    float sum = (float)dot(u, q, rows, quads, start);
                    *y += sum * (s[g * HG_Q_NR + j] * field[i]);
                    if (f->has_min) *y += second * m[g * HG_Q_NR + j];
                }
        pa += rows * (4 * n_fields + HG_BLOCK);
        pb += hg_q_wide_block(f);
    }
}

void hg_qgemm_c(hg_kernels *k)
{
    k->qgemm = (hg_qgemm_kernel){MR, 0, pack_a, widen, 0, tile, NULL};
}
