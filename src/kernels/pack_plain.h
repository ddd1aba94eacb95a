/* Packing panels in plain C, from every type and stride; for the sets that have nothing better. */
#ifndef HG_KERNELS_PACK_PLAIN_H
#define HG_KERNELS_PACK_PLAIN_H

#include "kernels/lanes.h"
#include "kernels/scalar.h"

/* out[i] = element i * stride behind `at`, as float. */
static inline void load(float *out, const hg_matrix *m, size_t at, size_t stride, size_t n)
{
    switch (m->type) {
    case HG_F32: {
        const float *p = (const float *)m->base + at;
        for (size_t i = 0; i < n; i++) out[i] = p[i * stride];
        break;
    }
    case HG_F16: {
        const hg_f16 *p = (const hg_f16 *)m->base + at;
        for (size_t i = 0; i < n; i++) out[i] = f16_to_float(p[i * stride]);
        break;
    }
    default: {
        const hg_bf16 *p = (const hg_bf16 *)m->base + at;
        for (size_t i = 0; i < n; i++) out[i] = bf16_to_float(p[i * stride]);
        break;
    }
    }
}

static inline void pack_f32(float *dst, const hg_matrix *m, lanes l, size_t kc)
{
    float run[HG_GEMM_KC];
    for (size_t i = 0; i < l.width; i++) {
        if (i < l.n)
            load(run, m, l.at + i * l.lane_stride, l.k_stride, kc);
        else
            memset(run, 0, sizeof run);
        for (size_t k = 0; k < kc; k++) dst[k * l.width + i] = run[k];
    }
}

static inline void pack_bf16(hg_bf16 *dst, const hg_matrix *m, lanes l, size_t kc)
{
    float run[HG_GEMM_KC + 1];
    size_t even = (kc + 1) & ~(size_t)1;
    for (size_t i = 0; i < l.width; i++) {
        memset(run, 0, sizeof run);
        if (i < l.n) load(run, m, l.at + i * l.lane_stride, l.k_stride, kc);
        for (size_t k = 0; k < even; k++)
            dst[(k & ~(size_t)1) * l.width + 2 * i + (k & 1)] = bf16_of(run[k]);
    }
}

static inline void pack_f16(hg_f16 *dst, const hg_matrix *m, lanes l, size_t kc)
{
    float run[HG_GEMM_KC] = {0};
    for (size_t i = 0; i < l.width; i++) {
        size_t at = l.at + i * l.lane_stride;
        if (i < l.n && m->type == HG_F16) {
            const hg_f16 *p = (const hg_f16 *)m->base + at;
            for (size_t k = 0; k < kc; k++) dst[k * l.width + i] = p[k * l.k_stride];
            continue;
        }
        if (i < l.n)
            load(run, m, at, l.k_stride, kc);
        else
            memset(run, 0, sizeof run);
        for (size_t k = 0; k < kc; k++) dst[k * l.width + i] = f16_of(run[k]);
    }
}

#endif
