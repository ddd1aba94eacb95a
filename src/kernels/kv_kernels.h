/* Attention's kernels, once for every set of vector instructions (kernels/kv.h says what they are).
 * The file that includes this has included vector_kernels.h, which tells of the vector of floats,
 * and has defined
 *   KV_ROWS, KV_HEIGHTS(X)  rows of a call: with two sums each they fill most registers
 *   v_fetch                 asks for a line of memory
 *   pairs, v_load_pairs, v_set_pair, v_dot_pairs   WIDTH pairs of bf16; sum + a b of both halves
 *   ints, i_zero, i_float   WIDTH int32, and as floats
 *   words, w_load, w_set, w_dot   WIDTH pairs of int16, from int8; of one pair; sum + a b of both
 *   w_store                 the first n of WIDTH floats, rounded, as int16
 *
 * Type and height are constants of inlined functions: a row is summed alike in every height.
 *
 * Q8_0 is multiplied in whole numbers: a query's blocks, and a row's weights times the scales of
 * the values of a tile, are rounded to 15 bits and a sign, 250 times finer than what is cached. A
 * register then holds twice as many of them as of floats, and nothing is converted. */
#ifndef HG_KERNELS_KV_KERNELS_H
#define HG_KERNELS_KV_KERNELS_H

#include <string.h>

enum { KV_GROUP = 2 * WIDTH /* keys or columns at a time */ };
_Static_assert(HG_KV_PANEL % KV_GROUP == 0, "a panel is made of whole groups");

/* Bytes of `n` neighbours in a panel: elements, or pairs of them. */
INLINE size_t kv_bytes(size_t n, const hg_kv_kind kind)
{
    return kind == HG_KV_F16 || kind == HG_KV_Q8_0 ? 2 * n : 4 * n;
}

INLINE vec kv_load(const void *p, size_t n, const hg_kv_kind kind)
{
    return kind == HG_KV_F16 ? v_load_f16(p, n) : v_load(p, n);
}

/* What is being read, `size` bytes at `start`, and what comes behind it. Panels are walked over
 * twice where a register is narrow, so that lines are not wanted in order; they are fetched in it:
 * memory is fastest that way. */
typedef struct kv_stream {
    const char *start, *next;
    size_t size, at; /* bytes that were fetched of both */
} kv_stream;

INLINE kv_stream kv_stream_of(const void *start, size_t size, const void *next)
{
    return (kv_stream){start, next, size, HG_KV_AHEAD};
}

/* As many bytes as are being read now. */
INLINE void kv_ahead(kv_stream *s, const size_t bytes, const size_t rows)
{
    if (rows > HG_KV_STREAM) return;
    for (size_t end = s->at + bytes; s->at < end; s->at += bytes < 64 ? bytes : 64)
        if (bytes >= 64 || s->at % 64 == 0)
            v_fetch(s->at < s->size ? s->start + s->at : s->next + (s->at - s->size));
}

/* ---- s = q k^T ---- */

INLINE void scores_rows(float *s, const void *q, const void *k, size_t d, size_t keys,
                        const void *next, const size_t rows, const hg_kv_kind kind)
{
    const size_t steps = kind == HG_KV_BF16 ? (d + 1) / 2 : d, step = kv_bytes(HG_KV_PANEL, kind);
    kv_stream stream = kv_stream_of(k, HG_KV_TILE / HG_KV_PANEL * steps * step, next);
    for (size_t j = 0; j < keys; j += KV_GROUP) {
        const char *x0 = (const char *)k + j / HG_KV_PANEL * steps * step;
        vec lo[KV_ROWS], hi[KV_ROWS];
        x0 += kv_bytes(j % HG_KV_PANEL, kind);
        KV_EACH(r, rows) lo[r] = hi[r] = v_set(0);
        for (size_t i = 0; i < steps; i++, x0 += step) {
            const char *x1 = x0 + kv_bytes(WIDTH, kind);
            kv_ahead(&stream, kv_bytes(KV_GROUP, kind), rows);
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
            const vec k0 = kv_load(x0, WIDTH, kind), k1 = kv_load(x1, WIDTH, kind);
            KV_EACH(r, rows)
            {
                const vec a = v_set(((const float *)q)[i * rows + r]);
                lo[r] = v_fma(a, k0, lo[r]);
                hi[r] = v_fma(a, k1, hi[r]);
            }
        }
        KV_EACH(r, rows)
        {
            v_store(s + r * HG_KV_PART + j, lo[r], WIDTH);
            v_store(s + r * HG_KV_PART + j + WIDTH, hi[r], WIDTH);
        }
    }
}

/* One block of 32 elements of KV_GROUP keys, which lie at x. */
INLINE void scores_block(vec lo[], vec hi[], const float *q, const char *x, size_t in,
                         kv_stream *stream, const size_t rows)
{
    const hg_f16 *scale = (const hg_f16 *)(const void *)x + in;
    const vec s0 = v_load_f16(scale, WIDTH), s1 = v_load_f16(scale + WIDTH, WIDTH);
    const char *at = x + HG_KV_PANEL * sizeof *scale + 2 * in;
    ints a0[KV_ROWS], a1[KV_ROWS];
    if (in == 0) kv_ahead(stream, HG_KV_PANEL * sizeof *scale, rows);
    KV_EACH(r, rows) a0[r] = a1[r] = i_zero();
    for (size_t i = 0; i < HG_KV_PANEL / 2; i++, at += 2 * HG_KV_PANEL) {
        const words k0 = w_load(at), k1 = w_load(at + 2 * WIDTH);
        kv_ahead(stream, 2 * KV_GROUP, rows);
        KV_EACH(r, rows)
        {
            const words a = w_set(q + rows + i * rows + r);
            a0[r] = w_dot(a0[r], a, k0);
            a1[r] = w_dot(a1[r], a, k1);
        }
    }
    KV_EACH(r, rows)
    {
        const vec of_row = v_set(q[r]);
        lo[r] = v_fma(i_float(a0[r]), v_mul(s0, of_row), lo[r]);
        hi[r] = v_fma(i_float(a1[r]), v_mul(s1, of_row), hi[r]);
    }
}

INLINE void scores_words(float *s, const float *q, const void *k, size_t d, size_t keys,
                         const void *next, const size_t rows)
{
    const size_t block = HG_KV_PANEL * (HG_KV_PANEL + sizeof(hg_f16));
    const size_t panel = d / HG_KV_PANEL * block, cells = rows * (1 + HG_KV_PANEL / 2);
    kv_stream stream = kv_stream_of(k, HG_KV_TILE / HG_KV_PANEL * panel, next);
    for (size_t j = 0; j < keys; j += KV_GROUP) {
        const char *x = (const char *)k + j / HG_KV_PANEL * panel;
        vec lo[KV_ROWS], hi[KV_ROWS];
        KV_EACH(r, rows) lo[r] = hi[r] = v_set(0);
        for (size_t b = 0; b < d / HG_KV_PANEL; b++, x += block)
            scores_block(lo, hi, q + b * cells, x, j % HG_KV_PANEL, &stream, rows);
        KV_EACH(r, rows)
        {
            v_store(s + r * HG_KV_PART + j, lo[r], WIDTH);
            v_store(s + r * HG_KV_PART + j + WIDTH, hi[r], WIDTH);
        }
    }
}

/* ---- weights ---- */

INLINE float weigh(void *p, const float *s, size_t n, size_t from, size_t to, float *max,
                   const char *next, size_t fetch, const bool to_bf16)
{
    const size_t size = to_bf16 ? sizeof(hg_bf16) : sizeof(float),
                 n_steps = (to - from) / WIDTH + 1;
    const size_t lines = (fetch / 64 + n_steps - 1) / n_steps; /* of a step */
    const vec top = v_set(*max = max_f32(s + from, to - from));
    vec sum = v_set(0);
    memset(p, 0, from * size);
    for (size_t i = from, at = 0; i < to; i += WIDTH) {
        for (size_t l = 0; l < lines && at < fetch; l++, at += 64) v_fetch(next + at);
        const vec x = v_sub(v_load(s + i, to - i), top);
        const vec w = v_first(v_zero_below(v_exp(x), x, v_set(-87.0f)), to - i);
        if (to_bf16)
            v_store_bf16((hg_bf16 *)p + i, w, to - i);
        else
            v_store((float *)p + i, w, to - i);
        sum = v_add(sum, w);
    }
    memset((char *)p + to * size, 0, (n - to) * size);
    return v_sum(sum);
}

static float weigh_f32(void *p, const float *s, size_t n, size_t from, size_t to, float *max,
                       const void *next, size_t fetch)
{
    return weigh(p, s, n, from, to, max, next, fetch, false);
}

static float weigh_bf16(void *p, const float *s, size_t n, size_t from, size_t to, float *max,
                        const void *next, size_t fetch)
{
    return weigh(p, s, n, from, to, max, next, fetch, true);
}

/* ---- o += p v ---- */

INLINE size_t kv_values_bytes(size_t d, const hg_kv_kind kind)
{
    if (kind == HG_KV_Q8_0) return HG_KV_TILE * (d + d / HG_KV_PANEL * sizeof(hg_f16));
    return HG_KV_TILE * d * (kind == HG_KV_F32 ? sizeof(float) : sizeof(hg_f16));
}

/* Columns [c, c + w) of a panel of `width`, whose numbers begin at v; `w` is at most KV_GROUP. */
INLINE void values_group(float *o, const void *p, const void *v, size_t d, size_t keys,
                         kv_stream *stream, const size_t width, const size_t w, const size_t rows,
                         const hg_kv_kind kind)
{
    const size_t left = w > WIDTH ? w - WIDTH : 0, step = kv_bytes(width, kind);
    const size_t steps = kind == HG_KV_BF16 ? (keys + 1) / 2 : keys;
    const char *x0 = v;
    vec lo[KV_ROWS], hi[KV_ROWS];
    KV_EACH(r, rows)
    {
        lo[r] = v_load(o + r * d, w);
        hi[r] = left > 0 ? v_load(o + r * d + WIDTH, left) : v_set(0);
    }
    for (size_t j = 0; j < steps; j++, x0 += step) {
        const char *x1 = x0 + kv_bytes(WIDTH, kind);
        kv_ahead(stream, kv_bytes(KV_GROUP, kind), rows);
        if (kind == HG_KV_BF16) {
            const pairs v0 = v_load_pairs(x0, w), v1 = v_load_pairs(left > 0 ? x1 : x0, left);
            KV_EACH(r, rows)
            {
                const pairs a = v_set_pair((const int *)p + r * (HG_KV_PART / 2) + j);
                lo[r] = v_dot_pairs(lo[r], a, v0);
                hi[r] = v_dot_pairs(hi[r], a, v1);
            }
            continue;
        }
        const vec v0 = kv_load(x0, w, kind), v1 = left > 0 ? kv_load(x1, left, kind) : v_set(0);
        KV_EACH(r, rows)
        {
            const vec a = v_set(((const float *)p)[r * HG_KV_PART + j]);
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
    kv_stream stream = kv_stream_of(v, kv_values_bytes(d, kind), next);
    const char *panel = v;
    for (size_t c = 0; c < d; c += HG_KV_PANEL) {
        const size_t width = d - c < HG_KV_PANEL ? d - c : HG_KV_PANEL;
        for (size_t in = 0; in < width; in += KV_GROUP) {
            const char *x0 = panel + kv_bytes(in, kind);
            if (width == HG_KV_PANEL)
                values_group(o + c + in, p, x0, d, keys, &stream, HG_KV_PANEL, KV_GROUP, rows,
                             kind);
            else
                values_group(o + c + in, p, x0, d, keys, &stream, width,
                             width - in < KV_GROUP ? width - in : KV_GROUP, rows, kind);
        }
        panel += (kind == HG_KV_BF16 ? HG_KV_TILE / 2 : HG_KV_TILE) * kv_bytes(width, kind);
    }
}

/* Weights times the scales of a panel's values as int16, zero behind the last key; what they are to
 * be multiplied with is returned. */
INLINE float kv_words_of(int16_t w[HG_KV_TILE], const float *p, const float *scale, size_t keys)
{
    vec most = v_set(0);
    float x[HG_KV_TILE];
    for (size_t j = 0; j < keys; j += WIDTH) {
        const vec y = v_mul(v_load(p + j, keys - j), v_load(scale + j, WIDTH));
        v_store(x + j, y, WIDTH);
        most = v_max(y, most); /* one that is no number stays */
    }
    const float top = v_largest(most);
    const vec inverse = v_set(top > 0 ? 32767.0f / top : 0.0f);
    for (size_t j = 0; j < keys; j += WIDTH)
        w_store(w + j, v_mul(v_load(x + j, WIDTH), inverse), WIDTH);
    return top / 32767.0f;
}

INLINE void values_words(float *o, const float *p, const void *v, size_t d, size_t keys,
                         const void *next, const size_t rows)
{
    const size_t size = kv_values_bytes(d, HG_KV_Q8_0);
    kv_stream stream = kv_stream_of(v, size, next);
    const char *panel = v;
    for (size_t c = 0; c < d; c += HG_KV_PANEL, panel += size / (d / HG_KV_PANEL)) {
        float scale[HG_KV_TILE], of_row[KV_ROWS];
        int16_t w[KV_ROWS][HG_KV_TILE];
        for (size_t j = 0; j < HG_KV_TILE; j += WIDTH)
            v_store(scale + j, v_load_f16((const hg_f16 *)(const void *)panel + j, WIDTH), WIDTH);
        kv_ahead(&stream, HG_KV_TILE * sizeof(hg_f16), rows);
        for (size_t r = 0; r < rows; r++)
            of_row[r] = kv_words_of(w[r], p + r * HG_KV_PART, scale, keys);
        for (size_t in = 0; in < HG_KV_PANEL; in += KV_GROUP) {
            const char *at = panel + HG_KV_TILE * sizeof(hg_f16) + 2 * in;
            ints a0[KV_ROWS], a1[KV_ROWS];
            KV_EACH(r, rows) a0[r] = a1[r] = i_zero();
            for (size_t j = 0; j < keys; j += 2, at += 2 * HG_KV_PANEL) {
                const words v0 = w_load(at), v1 = w_load(at + 2 * WIDTH);
                kv_ahead(&stream, 2 * KV_GROUP, rows);
                KV_EACH(r, rows)
                {
                    const words a = w_set(&w[r][j]);
                    a0[r] = w_dot(a0[r], a, v0);
                    a1[r] = w_dot(a1[r], a, v1);
                }
            }
            float *to = o + c + in;
            KV_EACH(r, rows)
            {
                const vec s = v_set(of_row[r]);
                v_store(to + r * d, v_fma(i_float(a0[r]), s, v_load(to + r * d, WIDTH)), WIDTH);
                v_store(to + r * d + WIDTH,
                        v_fma(i_float(a1[r]), s, v_load(to + r * d + WIDTH, WIDTH)), WIDTH);
            }
        }
    }
}

/* ---- the table's functions ---- */

#define SCORES_CASE(n, kind)                                  \
    case n:                                                   \
        if ((kind) == HG_KV_Q8_0)                             \
            scores_words(s, q, k, d, keys, next, (n));        \
        else                                                  \
            scores_rows(s, q, k, d, keys, next, (n), (kind)); \
        break;
#define VALUES_CASE(n, kind)                                  \
    case n:                                                   \
        if ((kind) == HG_KV_Q8_0)                             \
            values_words(o, p, v, d, keys, next, (n));        \
        else                                                  \
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
    k->kv[HG_KV_F32] = (hg_kv_kernel){KV_ROWS, HG_KV_FLOATS, scores_f32, weigh_f32, values_f32};
    k->kv[HG_KV_F16] = (hg_kv_kernel){KV_ROWS, HG_KV_FLOATS, scores_f16, weigh_f32, values_f16};
    k->kv[HG_KV_BF16] = (hg_kv_kernel){KV_ROWS, HG_KV_PAIRS, scores_bf16, weigh_bf16, values_bf16};
    k->kv[HG_KV_Q8_0] = (hg_kv_kernel){KV_ROWS, HG_KV_WORDS, scores_q8_0, weigh_f32, values_q8_0};
}

#endif
