/* One number at a time: the conversions between float32 and the two 16-bit formats, as the plain C
 * kernels and the tails of others need them. */
#ifndef HG_KERNELS_SCALAR_H
#define HG_KERNELS_SCALAR_H

#include "kernels/kernels.h"

#include <string.h>

static inline uint32_t bits_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float float_of(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static inline float bf16_to_float(hg_bf16 h)
{
    return float_of((uint32_t)h << 16);
}

/* Nearest even: adding 0x7fff and the last kept bit carries exactly when it must. A NaN would carry
 * into infinity or beyond, so it keeps its upper half and is made quiet. */
static inline hg_bf16 bf16_of(float x)
{
    uint32_t u = bits_of(x);
    uint32_t rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
    uint32_t quiet = (u >> 16) | 0x40;
    return (hg_bf16)((u & 0x7fffffff) > 0x7f800000 ? quiet : rounded);
}

/* 2^-24 times the integer is exact for subnormals; normals are re-biased by 112. */
static inline float f16_to_float(hg_f16 h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exp = (h >> 10) & 0x1f, frac = h & 0x3ff;
    if (exp == 0x1f) return float_of(sign | 0x7f800000 | frac << 13 | (frac != 0 ? 0x400000u : 0));
    if (exp != 0) return float_of(sign | (exp + 112) << 23 | frac << 13);
    return float_of(sign | bits_of((float)frac * 0x1p-24f));
}

static inline hg_f16 f16_of(float x)
{
    uint32_t u = bits_of(x), mag = u & 0x7fffffff;
    uint32_t sign = (u >> 16) & 0x8000;
    if (mag > 0x7f800000) return (hg_f16)(sign | 0x7e00 | ((mag >> 13) & 0x3ff));
    if (mag >= 0x477ff000) return (hg_f16)(sign | 0x7c00); /* 65520 and more rounds to infinity */
    if (mag < 0x38800000) { /* below 2^-14: the adder rounds to a multiple of 2^-24 for us */
        float shifted = float_of(mag) + 0.5f;
        return (hg_f16)(sign | (bits_of(shifted) - 0x3f000000));
    }
    uint32_t rounded = mag + 0xfff + ((mag >> 13) & 1) - (112u << 23);
    return (hg_f16)(sign | rounded >> 13);
}

#endif
