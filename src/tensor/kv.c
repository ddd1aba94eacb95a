/* Rows of keys and values in and out of tiles. A row is spread over a tile so that the kernels read
 * memory in order; spreading costs once a token, reading is done for every later one. */
#include "tensor/kv.h"
#include "kernels/scalar.h"

#include <math.h>

enum { W = HG_KV_PANEL, T = HG_KV_TILE };

static bool kind_of(hg_type type, hg_kv_kind *out)
{
    switch (type) {
    case HG_F32:
        *out = HG_KV_F32;
        return true;
    case HG_F16:
        *out = HG_KV_F16;
        return true;
    case HG_BF16:
        *out = HG_KV_BF16;
        return true;
    case HG_Q8_0:
        *out = HG_KV_Q8_0;
        return true;
    default:
        return false;
    }
}

bool hg_kv_shape_of(hg_kv_shape *s, hg_type type, size_t n_heads, size_t d)
{
    *s = (hg_kv_shape){.n_heads = n_heads, .d = d};
    if (!kind_of(type, &s->kind)) return false;
    if (s->kind == HG_KV_Q8_0 && d % W != 0) return false;
    const size_t even = d + (s->kind == HG_KV_BF16 ? d % 2 : 0);
    if (s->kind == HG_KV_Q8_0)
        s->k_bytes = s->v_bytes = T * (d / W) * (W + sizeof(hg_f16));
    else {
        s->k_bytes = T * even * hg_type_size(type);
        s->v_bytes = T * d * hg_type_size(type);
    }
    s->tile_bytes = n_heads * (s->k_bytes + s->v_bytes);
    return true;
}

void hg_kv_enter(const hg_kv_shape *s, const hg_kv_layer *kv, size_t pos, size_t n)
{
    for (size_t t = (pos + T - 1) / T; t * T < pos + n; t++)
        memset(hg_kv_keys(s, kv, t, 0), 0, s->tile_bytes);
}

/* ---- blocks of 32 int8 and a scale ---- */

/* x = scale q, q = x / scale to the nearest. Adding 1.5 2^23 rounds as the adder does. */
static hg_f16 quantise(int8_t q[W], const float *x)
{
    float most = 0, bad = 0; /* NaN once an element is no finite number: so is the scale then */
    for (size_t i = 0; i < W; i++) {
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
        bad += x[i] * 0.0f;
    }
    const hg_f16 scale = f16_of(most / 127.0f + bad);
    const float s = f16_to_float(scale), inverse = s > 0 ? 1.0f / s : 0.0f;
    for (size_t i = 0; i < W; i++) {
        const float scaled = x[i] * inverse;
        const float held = scaled > 127.0f ? 127.0f : scaled > -127.0f ? scaled : -127.0f;
        q[i] = (int8_t)((int32_t)bits_of(held + 0x1.8p23f) - (int32_t)bits_of(0x1.8p23f));
    }
    return scale;
}

/* Where element i of a block lies whose pairs lie in runs of W: keys' elements beside other lanes,
 * columns beside other positions. */
static size_t pair_at(size_t pair, size_t lane, size_t half)
{
    return pair * 2 * W + 2 * lane + half;
}

static void put_key_blocks(char *panel, size_t lane, const float *x, size_t d)
{
    for (size_t b = 0; b < d; b += W, panel += W * (W + sizeof(hg_f16))) {
        int8_t q[W];
        ((hg_f16 *)(void *)panel)[lane] = quantise(q, x + b);
        char *to = panel + W * sizeof(hg_f16);
        for (size_t i = 0; i < W; i++) to[pair_at(i / 2, lane, i % 2)] = (char)q[i];
    }
}

static void get_key_blocks(const char *panel, size_t lane, float *x, size_t d)
{
    for (size_t b = 0; b < d; b += W, panel += W * (W + sizeof(hg_f16))) {
        const float scale = f16_to_float(((const hg_f16 *)(const void *)panel)[lane]);
        const int8_t *from = (const int8_t *)panel + W * sizeof(hg_f16);
        for (size_t i = 0; i < W; i++) x[b + i] = (float)from[pair_at(i / 2, lane, i % 2)] * scale;
    }
}

/* A value panel: scales [128], then the blocks. */
static void put_value_block(char *panel, size_t at, const float *x)
{
    int8_t q[W];
    ((hg_f16 *)(void *)panel)[at] = quantise(q, x);
    char *to = panel + T * sizeof(hg_f16);
    for (size_t i = 0; i < W; i++) to[pair_at(at / 2, i, at % 2)] = (char)q[i];
}

static void get_value_block(const char *panel, size_t at, float *x)
{
    const float scale = f16_to_float(((const hg_f16 *)(const void *)panel)[at]);
    const int8_t *from = (const int8_t *)panel + T * sizeof(hg_f16);
    for (size_t i = 0; i < W; i++) x[i] = (float)from[pair_at(at / 2, i, at % 2)] * scale;
}

/* ---- where an element is ---- */

/* Of a panel of keys, in elements; pairs of bf16 lie side by side. */
static size_t key_at(const hg_kv_shape *s, size_t lane, size_t i)
{
    return s->kind == HG_KV_BF16 ? i / 2 * 2 * W + 2 * lane + i % 2 : i * W + lane;
}

/* Of a tile's values, column c of the position `at`. */
static size_t value_at(const hg_kv_shape *s, size_t at, size_t c)
{
    const size_t panel = c / W * W, left = s->d - panel, w = left < W ? left : W;
    if (s->kind == HG_KV_BF16) return panel * T + at / 2 * 2 * w + 2 * (c - panel) + at % 2;
    return panel * T + at * w + (c - panel);
}

/* ---- rows ---- */

static void put_halves(const hg_kernels *k, const hg_kv_shape *s, hg_f16 *keys, hg_f16 *values,
                       size_t at, const float *key, const float *value)
{
    hg_f16 x[W];
    for (size_t c = 0; c < s->d; c += W) {
        const size_t n = s->d - c < W ? s->d - c : W;
        (s->kind == HG_KV_BF16 ? k->f32_to_bf16 : k->f32_to_f16)(x, key + c, n);
        for (size_t i = 0; i < n; i++) keys[key_at(s, at % W, c + i)] = x[i];
        (s->kind == HG_KV_BF16 ? k->f32_to_bf16 : k->f32_to_f16)(x, value + c, n);
        for (size_t i = 0; i < n; i++) values[value_at(s, at, c + i)] = x[i];
    }
}

static void get_halves(const hg_kernels *k, const hg_kv_shape *s, const hg_f16 *keys,
                       const hg_f16 *values, size_t at, float *key, float *value)
{
    hg_f16 x[W];
    for (size_t c = 0; c < s->d; c += W) {
        const size_t n = s->d - c < W ? s->d - c : W;
        for (size_t i = 0; i < n; i++) x[i] = keys[key_at(s, at % W, c + i)];
        (s->kind == HG_KV_BF16 ? k->bf16_to_f32 : k->f16_to_f32)(key + c, x, n);
        for (size_t i = 0; i < n; i++) x[i] = values[value_at(s, at, c + i)];
        (s->kind == HG_KV_BF16 ? k->bf16_to_f32 : k->f16_to_f32)(value + c, x, n);
    }
}

static char *panel_of(const hg_kv_shape *s, char *keys, size_t at)
{
    return keys + at / W * (s->k_bytes / (T / W));
}

void hg_kv_put(const hg_kernels *k, const hg_kv_shape *s, const hg_kv_layer *kv, size_t pos,
               const float *key, const float *value)
{
    const size_t at = pos % T;
    for (size_t h = 0; h < s->n_heads; h++, key += s->d, value += s->d) {
        char *panel = panel_of(s, hg_kv_keys(s, kv, pos / T, h), at);
        char *values = hg_kv_values(s, kv, pos / T, h);
        if (s->kind == HG_KV_Q8_0) {
            put_key_blocks(panel, at % W, key, s->d);
            for (size_t c = 0; c < s->d; c += W, values += T * (W + sizeof(hg_f16)))
                put_value_block(values, at, value + c);
        } else if (s->kind == HG_KV_F32) {
            for (size_t i = 0; i < s->d; i++)
                ((float *)(void *)panel)[key_at(s, at % W, i)] = key[i];
            for (size_t i = 0; i < s->d; i++)
                ((float *)(void *)values)[value_at(s, at, i)] = value[i];
        } else {
            put_halves(k, s, (hg_f16 *)(void *)panel, (hg_f16 *)(void *)values, at, key, value);
        }
    }
}

void hg_kv_get(const hg_kernels *k, const hg_kv_shape *s, const hg_kv_layer *kv, size_t pos,
               float *key, float *value)
{
    const size_t at = pos % T;
    for (size_t h = 0; h < s->n_heads; h++, key += s->d, value += s->d) {
        char *panel = panel_of(s, hg_kv_keys(s, kv, pos / T, h), at);
        const char *values = hg_kv_values(s, kv, pos / T, h);
        if (s->kind == HG_KV_Q8_0) {
            get_key_blocks(panel, at % W, key, s->d);
            for (size_t c = 0; c < s->d; c += W, values += T * (W + sizeof(hg_f16)))
                get_value_block(values, at, value + c);
        } else if (s->kind == HG_KV_F32) {
            for (size_t i = 0; i < s->d; i++)
                key[i] = ((const float *)(const void *)panel)[key_at(s, at % W, i)];
            for (size_t i = 0; i < s->d; i++)
                value[i] = ((const float *)(const void *)values)[value_at(s, at, i)];
        } else {
            get_halves(k, s, (const hg_f16 *)(const void *)panel,
                       (const hg_f16 *)(const void *)values, at, key, value);
        }
    }
}

/* ---- queries ---- */

/* x = scale q in 16 bits, as quantise does it in 8. */
static float quantise_words(int16_t q[W], const float *x)
{
    float most = 0, bad = 0;
    for (size_t i = 0; i < W; i++) {
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
        bad += x[i] * 0.0f;
    }
    const float inverse = most > 0 ? 32767.0f / most : 0.0f;
    for (size_t i = 0; i < W; i++) {
        const float scaled = x[i] * inverse;
        const float held = scaled > 32767.0f ? 32767.0f : scaled > -32767.0f ? scaled : -32767.0f;
        q[i] = (int16_t)((int32_t)bits_of(held + 0x1.8p23f) - (int32_t)bits_of(0x1.8p23f));
    }
    return most / 32767.0f + bad;
}

static void pack_words(float *to, const float *x, size_t d, size_t rows, size_t r)
{
    for (size_t b = 0; b < d; b += W, to += rows * (1 + W / 2)) {
        int16_t q[W];
        to[r] = quantise_words(q, x + b);
        for (size_t i = 0; i < W / 2; i++) memcpy(&to[rows + i * rows + r], q + 2 * i, 4);
    }
}

static void pack_pairs(float *to, const float *x, size_t d, size_t rows, size_t r)
{
    for (size_t i = 0; i < d; i += 2) {
        const hg_bf16 pair[2] = {bf16_of(x[i]), i + 1 < d ? bf16_of(x[i + 1]) : 0};
        memcpy(&to[i / 2 * rows + r], pair, sizeof pair);
    }
}

void hg_kv_pack(hg_kv_form form, float *to, const float *x, size_t d, size_t rows, size_t r)
{
    if (form == HG_KV_WORDS)
        pack_words(to, x, d, rows, r);
    else if (form == HG_KV_PAIRS)
        pack_pairs(to, x, d, rows, r);
    else
        for (size_t i = 0; i < d; i++) to[i * rows + r] = x[i];
}
