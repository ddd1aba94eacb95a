/* Attention's kernels, once for both x86 sets (kernels/kv.h says what they are). The file that
 * includes this has defined the vector of floats that vector_kernels.h asks for, and
 *   KV_ROWS, KV_HEIGHTS(X)  rows of a call: with two sums each they fill most registers
 *   v_load_i8               the first n of WIDTH int8 as floats
 *   pairs, v_load_pairs, v_set_pair, v_dot_pairs   WIDTH pairs of bf16; sum + a b of both halves
 *
 * Type and height are constants of inlined functions: a row is summed alike in every height. Up to
 * KV_STREAM rows memory is the limit, so those ask for the tile that comes next while they work on
 * this one. */
#ifndef HG_KERNELS_KV_KERNELS_H
#define HG_KERNELS_KV_KERNELS_H

enum {
    KV_STREAM = 8,
    KV_AHEAD = 8192,     /* bytes */
    KV_GROUP = 2 * WIDTH /* keys or columns at a time */
};
_Static_assert(HG_KV_PANEL % KV_GROUP == 0, "a panel is made of whole groups");

/* Bytes of `n` neighbours in a panel: elements, or pairs of bf16. */
INLINE size_t kv_bytes(size_t n, const hg_kv_kind kind)
{
    return kind == HG_KV_Q8_0 ? n : kind == HG_KV_F16 ? 2 * n : 4 * n;
}

INLINE vec kv_load(const void *p, size_t n, const hg_kv_kind kind)
{
    if (kind == HG_KV_F16) return v_load_f16(p, n);
    if (kind == HG_KV_Q8_0) return v_load_i8(p, n);
    return v_load(p, n);
}

/* Fetches what will be read KV_AHEAD bytes after `from`: of the `size` bytes at `start`, and behind
 * them of those at `next`. */
INLINE void kv_ahead(const void *next, const void *start, size_t size, const char *from,
                     size_t bytes, const size_t rows)
{
    const size_t at = (size_t)(from - (const char *)start) + KV_AHEAD;
    const char *p = at < size ? (const char *)start + at : (const char *)next + (at - size);
    if (rows > KV_STREAM) return;
    for (size_t i = 0; i < bytes; i += 64)
        if (bytes >= 64 || at % 64 == 0) _mm_prefetch(p + i, _MM_HINT_T0);
}

/* ---- s = q k^T ---- */

INLINE void scores_rows(float *s, const void *q, const void *k, size_t d, size_t keys,
                        const void *next, const size_t rows, const hg_kv_kind kind)
{
    const size_t steps = kind == HG_KV_BF16 ? (d + 1) / 2 : d, step = kv_bytes(HG_KV_PANEL, kind);
    const size_t scales = kind == HG_KV_Q8_0 ? HG_KV_PANEL * sizeof(hg_f16) : 0;
    const size_t panel = steps * step + d / HG_KV_PANEL * scales;
    const size_t size = HG_KV_TILE / HG_KV_PANEL * panel;
    for (size_t j = 0; j < keys; j += KV_GROUP) {
        const size_t in = j % HG_KV_PANEL;
        const char *x = (const char *)k + j / HG_KV_PANEL * panel;
        vec lo[KV_ROWS], hi[KV_ROWS], scale0 = v_set(0), scale1 = v_set(0);
        KV_EACH(r, rows) lo[r] = hi[r] = v_set(0);
        for (size_t i = 0; i < steps; i++, x += step) {
            if (kind == HG_KV_Q8_0 && i % HG_KV_PANEL == 0) {
                scale0 = v_load_f16((const hg_f16 *)(const void *)x + in, WIDTH);
                scale1 = v_load_f16((const hg_f16 *)(const void *)x + in + WIDTH, WIDTH);
                kv_ahead(next, k, size, x, scales, rows);
                x += scales;
            }
            const char *x0 = x + kv_bytes(in, kind), *x1 = x0 + kv_bytes(WIDTH, kind);
            kv_ahead(next, k, size, x0, kv_bytes(KV_GROUP, kind), rows);
            if (kind == HG_KV_BF16) {
                const pairs k0 = v_load_pairs(x0, WIDTH), k1 = v_load_pairs(x1, WIDTH);
                KV_EACH(r, rows)
                {
                    const pairs a = v_set_pair((const int *)q + i * rows + r);
                    lo[r] = v_dot_pairs(lo[r], a, k0);
                    hi[r] = v_dot_pairs(hi[r], a, k1);
                }
                continue;
            }
            vec k0 = kv_load(x0, WIDTH, kind), k1 = kv_load(x1, WIDTH, kind);
            if (kind == HG_KV_Q8_0) {
                k0 = v_mul(k0, scale0);
                k1 = v_mul(k1, scale1);
            }
            KV_EACH(r, rows)
            {
                const vec a = v_set(((const float *)q)[i * rows + r]);
                lo[r] = v_fma(a, k0, lo[r]);
                hi[r] = v_fma(a, k1, hi[r]);
            }
        }
        KV_EACH(r, rows)
        {
            v_store(s + r * HG_KV_TILE + j, lo[r], WIDTH);
            v_store(s + r * HG_KV_TILE + j + WIDTH, hi[r], WIDTH);
        }
    }
}

/* ---- o += p v ---- */

INLINE size_t kv_values_bytes(size_t d, const hg_kv_kind kind)
{
    if (kind == HG_KV_Q8_0) return HG_KV_TILE * (d + d / HG_KV_PANEL * sizeof(hg_f16));
    return HG_KV_TILE * d * (kind == HG_KV_F32 ? sizeof(float) : sizeof(hg_f16));
}

/* Columns [c, c + w) of a panel of `width`, whose numbers begin at v; `w` is at most KV_GROUP. */
INLINE void values_group(float *o, const void *p, const void *v, const float *scale, size_t d,
                         size_t keys, const void *next, const void *start, const size_t width,
                         const size_t w, const size_t rows, const hg_kv_kind kind)
{
    const size_t left = w > WIDTH ? w - WIDTH : 0, step = kv_bytes(width, kind);
    const size_t steps = kind == HG_KV_BF16 ? (keys + 1) / 2 : keys;
    const size_t size = kv_values_bytes(d, kind);
    const char *x0 = v;
    vec lo[KV_ROWS], hi[KV_ROWS];
    KV_EACH(r, rows)
    {
        lo[r] = v_load(o + r * d, w);
        hi[r] = left > 0 ? v_load(o + r * d + WIDTH, left) : v_set(0);
    }
    for (size_t j = 0; j < steps; j++, x0 += step) {
        const char *x1 = x0 + kv_bytes(WIDTH, kind);
        kv_ahead(next, start, size, x0, kv_bytes(KV_GROUP, kind), rows);
        if (kind == HG_KV_BF16) {
            const pairs v0 = v_load_pairs(x0, w), v1 = v_load_pairs(left > 0 ? x1 : x0, left);
            KV_EACH(r, rows)
            {
                const pairs a = v_set_pair((const int *)p + r * (HG_KV_TILE / 2) + j);
                lo[r] = v_dot_pairs(lo[r], a, v0);
                hi[r] = v_dot_pairs(hi[r], a, v1);
            }
            continue;
        }
        vec v0 = kv_load(x0, w, kind), v1 = left > 0 ? kv_load(x1, left, kind) : v_set(0);
        if (kind == HG_KV_Q8_0) {
            v0 = v_mul(v0, v_set(scale[j]));
            v1 = v_mul(v1, v_set(scale[j]));
        }
        KV_EACH(r, rows)
        {
            const vec a = v_set(((const float *)p)[r * HG_KV_TILE + j]);
            lo[r] = v_fma(a, v0, lo[r]);
            hi[r] = v_fma(a, v1, hi[r]);
        }
    }
    KV_EACH(r, rows)
    {
        v_store(o + r * d, lo[r], w);
        if (left > 0) v_store(o + r * d + WIDTH, hi[r], left);
    }
}

INLINE void values_rows(float *o, const void *p, const void *v, size_t d, size_t keys,
                        const void *next, const size_t rows, const hg_kv_kind kind)
{
    const size_t size = kv_values_bytes(d, kind);
    const char *panel = v;
    float scale[HG_KV_TILE];
    for (size_t c = 0; c < d; c += HG_KV_PANEL) {
        const size_t width = d - c < HG_KV_PANEL ? d - c : HG_KV_PANEL;
        const char *x = panel;
        if (kind == HG_KV_Q8_0) {
            for (size_t j = 0; j < HG_KV_TILE; j += WIDTH)
                v_store(scale + j, v_load_f16((const hg_f16 *)(const void *)panel + j, WIDTH),
                        WIDTH);
            kv_ahead(next, v, size, x, HG_KV_TILE * sizeof(hg_f16), rows);
            x += HG_KV_TILE * sizeof(hg_f16);
        }
        for (size_t in = 0; in < width; in += KV_GROUP) {
            const char *x0 = x + kv_bytes(in, kind);
            if (width == HG_KV_PANEL)
                values_group(o + c + in, p, x0, scale, d, keys, next, v, HG_KV_PANEL, KV_GROUP,
                             rows, kind);
            else
                values_group(o + c + in, p, x0, scale, d, keys, next, v, width,
                             width - in < KV_GROUP ? width - in : KV_GROUP, rows, kind);
        }
        panel = x + (kind == HG_KV_BF16 ? HG_KV_TILE / 2 : HG_KV_TILE) * kv_bytes(width, kind);
    }
}

/* ---- the table's functions ---- */

#define SCORES_CASE(n, kind)                              \
    case n:                                               \
        scores_rows(s, q, k, d, keys, next, (n), (kind)); \
        break;
#define VALUES_CASE(n, kind)                              \
    case n:                                               \
        values_rows(o, p, v, d, keys, next, (n), (kind)); \
        break;
#define DEFINE_KV(name, kind)                                                                \
    static void scores_##name(float *s, const void *q, const void *k, size_t d, size_t rows, \
                              size_t keys, const void *next)                                 \
    {                                                                                        \
        switch (rows) {                                                                      \
            KV_HEIGHTS(SCORES_CASE, kind)                                                    \
        default:                                                                             \
            break;                                                                           \
        }                                                                                    \
    }                                                                                        \
    static void values_##name(float *o, const void *p, const void *v, size_t d, size_t rows, \
                              size_t keys, const void *next)                                 \
    {                                                                                        \
        switch (rows) {                                                                      \
            KV_HEIGHTS(VALUES_CASE, kind)                                                    \
        default:                                                                             \
            break;                                                                           \
        }                                                                                    \
    }

DEFINE_KV(f32, HG_KV_F32)
DEFINE_KV(f16, HG_KV_F16)
DEFINE_KV(bf16, HG_KV_BF16)
DEFINE_KV(q8_0, HG_KV_Q8_0)

#undef DEFINE_KV
#undef SCORES_CASE
#undef VALUES_CASE

static void fill_kv_kernels(hg_kernels *k)
{
    k->kv[HG_KV_F32] = (hg_kv_kernel){KV_ROWS, scores_f32, values_f32};
    k->kv[HG_KV_F16] = (hg_kv_kernel){KV_ROWS, scores_f16, values_f16};
    k->kv[HG_KV_BF16] = (hg_kv_kernel){KV_ROWS, scores_bf16, values_bf16};
    k->kv[HG_KV_Q8_0] = (hg_kv_kernel){KV_ROWS, scores_q8_0, values_q8_0};
}

#endif
