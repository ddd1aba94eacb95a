/* Blocks of quantised weights to float32: the definition of what each type means, in plain C whose
 * inner loops a compiler turns into vectors. Products and sums are written in the order of ggml's
 * reference, so that a file means the same bits in both. */
#include "kernels/quant.h"
#include "kernels/scalar.h"

const int8_t hg_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                  1,    13,   25,  38,  53,  69,  89,  113};
const int8_t hg_fp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* ---- blocks of 32 ---- */

static void from_q4_0(float *y, const hg_block_q4_0 *x)
{
    float d = f16_to_float(x->d);
    for (int i = 0; i < 16; i++) {
        y[i] = (float)((x->q[i] & 15) - 8) * d;
        y[i + 16] = (float)((x->q[i] >> 4) - 8) * d;
    }
}

static void from_q4_1(float *y, const hg_block_q4_1 *x)
{
    float d = f16_to_float(x->d), m = f16_to_float(x->m);
    for (int i = 0; i < 16; i++) {
        y[i] = (float)(x->q[i] & 15) * d + m;
        y[i + 16] = (float)(x->q[i] >> 4) * d + m;
    }
}

/* Five-bit q of a q5 block. */
static void join_q5(uint8_t q[32], const uint8_t low[16], const uint8_t high[4])
{
    uint32_t bits;
    memcpy(&bits, high, sizeof bits);
    for (int i = 0; i < 16; i++) {
        q[i] = (uint8_t)((low[i] & 15) | (bits >> i & 1) << 4);
        q[i + 16] = (uint8_t)(low[i] >> 4 | (bits >> (i + 16) & 1) << 4);
    }
}

static void from_q5_0(float *y, const hg_block_q5_0 *x)
{
    uint8_t q[32];
    float d = f16_to_float(x->d);
    join_q5(q, x->q, x->high);
    for (int i = 0; i < 32; i++) y[i] = (float)(q[i] - 16) * d;
}

static void from_q5_1(float *y, const hg_block_q5_1 *x)
{
    uint8_t q[32];
    float d = f16_to_float(x->d), m = f16_to_float(x->m);
    join_q5(q, x->q, x->high);
    for (int i = 0; i < 32; i++) y[i] = (float)q[i] * d + m;
}

static void from_q8_0(float *y, const hg_block_q8_0 *x)
{
    float d = f16_to_float(x->d);
    for (int i = 0; i < 32; i++) y[i] = (float)x->q[i] * d;
}

static void from_table(float *y, const uint8_t q[16], const int8_t value[16], float d)
{
    for (int i = 0; i < 16; i++) {
        y[i] = d * (float)value[q[i] & 15];
        y[i + 16] = d * (float)value[q[i] >> 4];
    }
}

static void from_iq4_nl(float *y, const hg_block_iq4_nl *x)
{
    from_table(y, x->q, hg_iq4_values, f16_to_float(x->d));
}

/* 2^(e - 128), the table being doubled; a subnormal for e of 0 and 1. */
static void from_mxfp4(float *y, const hg_block_mxfp4 *x)
{
    uint32_t bits = x->e < 2 ? 0x00200000u << x->e : (uint32_t)(x->e - 1) << 23;
    from_table(y, x->q, hg_fp4_values, float_of(bits));
}

/* ---- super-blocks of 256 ---- */

static void from_q2_k(float *y, const hg_block_q2_k *x)
{
    float d = f16_to_float(x->d), dmin = f16_to_float(x->dmin);
    for (int run = 0; run < 16; run++) {
        const uint8_t *q = x->q + run / 8 * 32 + run % 2 * 16;
        float scale = d * (float)(x->scales[run] & 15), min = dmin * (float)(x->scales[run] >> 4);
        int shift = run % 8 / 2 * 2;
        for (int i = 0; i < 16; i++) y[16 * run + i] = scale * (float)(q[i] >> shift & 3) - min;
    }
}

void hg_q3_k_scales(const uint8_t scales[12], int8_t sc[16])
{
    for (int run = 0; run < 16; run++) {
        int low = run < 8 ? scales[run] & 15 : scales[run - 8] >> 4;
        int high = scales[8 + run % 4] >> (run / 4 * 2) & 3;
        sc[run] = (int8_t)((low | high << 4) - 32);
    }
}

static void from_q3_k(float *y, const hg_block_q3_k *x)
{
    int8_t sc[16];
    float d = f16_to_float(x->d);
    hg_q3_k_scales(x->scales, sc);
    for (int run = 0; run < 16; run++) {
        const uint8_t *q = x->q + run / 8 * 32 + run % 2 * 16, *high = x->high + run % 2 * 16;
        float scale = d * (float)sc[run];
        int shift = run % 8 / 2 * 2, bit = run / 2;
        for (int i = 0; i < 16; i++)
            y[16 * run + i] = scale * (float)((q[i] >> shift & 3) + (high[i] >> bit & 1) * 4 - 4);
    }
}

void hg_k4_scales(const uint8_t scales[12], uint8_t sc[8], uint8_t mn[8])
{
    for (int run = 0; run < 4; run++) {
        sc[run] = scales[run] & 63;
        mn[run] = scales[run + 4] & 63;
        sc[run + 4] = (uint8_t)((scales[run + 8] & 15) | scales[run] >> 6 << 4);
        mn[run + 4] = (uint8_t)(scales[run + 8] >> 4 | scales[run + 4] >> 6 << 4);
    }
}

static void from_q4_k(float *y, const hg_block_q4_k *x)
{
    uint8_t sc[8], mn[8];
    float d = f16_to_float(x->d), dmin = f16_to_float(x->dmin);
    hg_k4_scales(x->scales, sc, mn);
    for (int run = 0; run < 8; run++) {
        const uint8_t *q = x->q + run / 2 * 32;
        float scale = d * (float)sc[run], min = dmin * (float)mn[run];
        int shift = run % 2 * 4;
        for (int i = 0; i < 32; i++) y[32 * run + i] = scale * (float)(q[i] >> shift & 15) - min;
    }
}

static void from_q5_k(float *y, const hg_block_q5_k *x)
{
    uint8_t sc[8], mn[8];
    float d = f16_to_float(x->d), dmin = f16_to_float(x->dmin);
    hg_k4_scales(x->scales, sc, mn);
    for (int run = 0; run < 8; run++) {
        const uint8_t *q = x->q + run / 2 * 32;
        float scale = d * (float)sc[run], min = dmin * (float)mn[run];
        int shift = run % 2 * 4;
        for (int i = 0; i < 32; i++)
            y[32 * run + i] =
                scale * (float)((q[i] >> shift & 15) + (x->high[i] >> run & 1) * 16) - min;
    }
}

static void from_q6_k(float *y, const hg_block_q6_k *x)
{
    float d = f16_to_float(x->d);
    for (int run = 0; run < 16; run++) {
        int half = run / 8, at = run % 8; /* of 16 elements */
        const uint8_t *low = x->low + 64 * half + at % 4 * 16;
        const uint8_t *high = x->high + 32 * half + at % 2 * 16;
        float scale = d * (float)x->scales[run];
        int low_shift = at / 4 * 4, high_shift = at / 2 * 2;
        for (int i = 0; i < 16; i++)
            y[16 * run + i] =
                scale * (float)((low[i] >> low_shift & 15) + (high[i] >> high_shift & 3) * 16 - 32);
    }
}

static void from_iq4_xs(float *y, const hg_block_iq4_xs *x)
{
    float d = f16_to_float(x->d);
    for (int run = 0; run < 8; run++) {
        int low = x->low[run / 2] >> (run % 2 * 4) & 15, high = x->high >> (2 * run) & 3;
        from_table(y + 32 * run, x->q + 16 * run, hg_iq4_values,
                   d * (float)((low | high << 4) - 32));
    }
}

/* One loop a type over its blocks, so that the call above can be inlined. */
#define FOR_BLOCKS(type) \
    for (size_t i = 0; i < n_blocks; i++) from_##type(y + i * block, (const hg_block_##type *)x + i)

void hg_blocks_to_f32(float *y, const void *x, hg_type t, size_t n)
{
    size_t block = hg_type_block(t), n_blocks = n / block;
    switch (t) {
    case HG_Q4_0:
        FOR_BLOCKS(q4_0);
        break;
    case HG_Q4_1:
        FOR_BLOCKS(q4_1);
        break;
    case HG_Q5_0:
        FOR_BLOCKS(q5_0);
        break;
    case HG_Q5_1:
        FOR_BLOCKS(q5_1);
        break;
    case HG_Q8_0:
        FOR_BLOCKS(q8_0);
        break;
    case HG_Q2_K:
        FOR_BLOCKS(q2_k);
        break;
    case HG_Q3_K:
        FOR_BLOCKS(q3_k);
        break;
    case HG_Q4_K:
        FOR_BLOCKS(q4_k);
        break;
    case HG_Q5_K:
        FOR_BLOCKS(q5_k);
        break;
    case HG_Q6_K:
        FOR_BLOCKS(q6_k);
        break;
    case HG_IQ4_NL:
        FOR_BLOCKS(iq4_nl);
        break;
    case HG_IQ4_XS:
        FOR_BLOCKS(iq4_xs);
        break;
    case HG_MXFP4:
        FOR_BLOCKS(mxfp4);
        break;
    default:
        break;
    }
}
