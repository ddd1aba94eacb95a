/* The usual mixes of quantised types. A mix has one type for most matrices and more bits for the
 * few that are small and matter most: the values' projection, the second matrix of the feed-forward
 * part, the output head. The names and choices are those of llama.cpp, so that a q4_k_m of here is
 * what people know by that name. */
#include "model/mix.h"
#include "kernels/blocks.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum kind { KIND_V = 1, KIND_QKV, KIND_OUT, KIND_DOWN } kind;

/* Layers that a rule is for. */
typedef enum where {
    EVERYWHERE,
    FIRST_TWO,
    FIRST_FOUR,
    FIRST_EIGHTH,
    FIRST_SIXTEENTH,
    ENDS_AND_THIRDS, /* the first and last eighth, and every third between */
    WHERE_SHARED     /* where four query heads or more share a key */
} where;

typedef struct rule {
    kind kind; /* 0: the list's end */
    where where;
    hg_type type;
} rule;

enum { MAX_RULES = 6 };

struct hg_mix {
    const char *name;
    uint32_t file_type; /* llama.cpp's number */
    hg_type base;
    rule rule[MAX_RULES]; /* the first that fits */
};

static const hg_mix mixes[] = {
    {"q4_0", 2, HG_Q4_0, {{0}}},
    {"q4_1", 3, HG_Q4_1, {{0}}},
    {"q5_0", 8, HG_Q5_0, {{0}}},
    {"q5_1", 9, HG_Q5_1, {{0}}},
    {"q8_0", 7, HG_Q8_0, {{0}}},
    {"q2_k",
     10,
     HG_Q2_K,
     {{KIND_V, WHERE_SHARED, HG_Q4_K},
      {KIND_V, EVERYWHERE, HG_Q3_K},
      {KIND_DOWN, EVERYWHERE, HG_Q3_K},
      {KIND_OUT, EVERYWHERE, HG_Q3_K}}},
    {"q2_k_s", 21, HG_Q2_K, {{KIND_V, WHERE_SHARED, HG_Q4_K}, {KIND_DOWN, FIRST_EIGHTH, HG_Q4_K}}},
    {"q3_k_s", 11, HG_Q3_K, {{0}}},
    {"q3_k_m",
     12,
     HG_Q3_K,
     {{KIND_V, FIRST_TWO, HG_Q5_K},
      {KIND_V, EVERYWHERE, HG_Q4_K},
      {KIND_QKV, EVERYWHERE, HG_Q4_K},
      {KIND_DOWN, FIRST_SIXTEENTH, HG_Q5_K},
      {KIND_DOWN, EVERYWHERE, HG_Q4_K},
      {KIND_OUT, EVERYWHERE, HG_Q4_K}}},
    {"q3_k_l",
     13,
     HG_Q3_K,
     {{KIND_V, EVERYWHERE, HG_Q5_K},
      {KIND_QKV, EVERYWHERE, HG_Q4_K},
      {KIND_DOWN, EVERYWHERE, HG_Q5_K},
      {KIND_OUT, EVERYWHERE, HG_Q5_K}}},
    {"q4_k_s", 14, HG_Q4_K, {{KIND_V, FIRST_FOUR, HG_Q5_K}, {KIND_DOWN, FIRST_EIGHTH, HG_Q5_K}}},
    {"q4_k_m",
     15,
     HG_Q4_K,
     {{KIND_V, ENDS_AND_THIRDS, HG_Q6_K},
      {KIND_QKV, EVERYWHERE, HG_Q5_K},
      {KIND_DOWN, ENDS_AND_THIRDS, HG_Q6_K}}},
    {"q5_k_s", 16, HG_Q5_K, {{0}}},
    {"q5_k_m",
     17,
     HG_Q5_K,
     {{KIND_V, ENDS_AND_THIRDS, HG_Q6_K},
      {KIND_QKV, EVERYWHERE, HG_Q6_K},
      {KIND_DOWN, ENDS_AND_THIRDS, HG_Q6_K}}},
    {"q6_k", 18, HG_Q6_K, {{0}}},
    {"mxfp4", 38, HG_MXFP4, {{0}}},
    {"mxfp4_moe", 38, HG_Q8_0, {{0}}}, /* experts mxfp4 */
};
enum { N_MIXES = sizeof mixes / sizeof mixes[0] };

const hg_mix *hg_mix_find(const char *name)
{
    for (size_t i = 0; i < N_MIXES; i++)
        if (strcmp(mixes[i].name, name) == 0) return &mixes[i];
    return NULL;
}

void hg_mix_names(char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < N_MIXES && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%s",
                              i == 0             ? ""
                              : i + 1 == N_MIXES ? " and "
                                                 : ", ",
                              mixes[i].name);
}

static bool ends_in(const char *name, const char *end)
{
    size_t n = strlen(name), k = strlen(end);
    return n >= k && strcmp(name + n - k, end) == 0;
}

/* The matrices whose rounding a model stands. Norms, biases, learned positions and what sends
 * tokens to experts are small and stay. */
static bool is_fitted(const hg_item *it)
{
    static const char *const kept[] = {"_norm.weight", "ffn_gate_inp.weight",
                                       "position_embd.weight", "token_types.weight",
                                       "rope_freqs.weight"};
    if (it->n_dims < 2 || it->from == HG_N_TYPES || it->from == HG_I32) return false;
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        if (ends_in(it->name, kept[i])) return false;
    return ends_in(it->name, ".weight");
}

static kind kind_of(const char *name)
{
    if (ends_in(name, ".attn_v.weight")) return KIND_V;
    if (ends_in(name, ".attn_qkv.weight")) return KIND_QKV;
    if (ends_in(name, ".attn_output.weight")) return KIND_OUT;
    if (ends_in(name, ".ffn_down.weight") || ends_in(name, ".ffn_down_exps.weight"))
        return KIND_DOWN;
    return 0;
}

static bool is_at(where w, uint64_t layer, const hg_shape_facts *f)
{
    uint64_t n = f->n_layers;
    switch (w) {
    case FIRST_TWO:
        return layer < 2;
    case FIRST_FOUR:
        return layer < 4;
    case FIRST_EIGHTH:
        return layer < n / 8;
    case FIRST_SIXTEENTH:
        return layer < n / 16;
    case ENDS_AND_THIRDS:
        return layer < n / 8 || layer >= 7 * n / 8 || (layer - n / 8) % 3 == 2;
    case WHERE_SHARED:
        return f->n_kv_heads > 0 && f->n_heads / f->n_kv_heads >= 4;
    default:
        return true;
    }
}

/* Of eight experts the attention is a small part of the model: it gets eight bits (values, keys)
 * and five. */
static hg_type with_experts(const hg_item *it, hg_type t, const hg_mix *m)
{
    if (ends_in(it->name, ".attn_v.weight") || ends_in(it->name, ".attn_k.weight")) return HG_Q8_0;
    bool is_low = m->base == HG_Q2_K || m->base == HG_Q3_K || m->base == HG_Q4_K;
    return is_low && ends_in(it->name, ".attn_output.weight") ? HG_Q5_K : t;
}

static hg_type type_in(const hg_mix *m, const hg_item *it, const hg_shape_facts *f)
{
    bool is_fp4 = m->file_type == 38;
    if (ends_in(it->name, "_exps.weight") && is_fp4) return HG_MXFP4;
    bool is_head = strcmp(it->name, "output.weight") == 0;
    bool is_embed = strcmp(it->name, "token_embd.weight") == 0;
    if (is_fp4 && (is_head || is_embed)) return HG_Q8_0;
    if (is_head || (is_embed && f->is_tied))
        return m->base == HG_Q8_0 || it->cols % HG_SUPER != 0 ? HG_Q8_0 : HG_Q6_K;
    hg_type t = m->base;
    kind k = kind_of(it->name);
    uint64_t layer = strncmp(it->name, "blk.", 4) == 0 ? strtoull(it->name + 4, NULL, 10) : 0;
    for (size_t i = 0; k != 0 && i < MAX_RULES && m->rule[i].kind != 0; i++)
        if (m->rule[i].kind == k && is_at(m->rule[i].where, layer, f)) {
            t = m->rule[i].type;
            break;
        }
    return f->n_experts == 8 && !is_fp4 ? with_experts(it, t, m) : t;
}

/* Super-blocks need rows of a multiple of 256, blocks of 32. */
static hg_type that_fits(hg_type t, size_t cols)
{
    if (cols % hg_type_block(t) == 0) return t;
    if (cols % HG_BLOCK != 0) return HG_F16;
    switch (t) {
    case HG_Q4_K:
        return HG_Q5_0;
    case HG_Q5_K:
        return HG_Q5_1;
    case HG_Q6_K:
        return HG_Q8_0;
    default:
        return HG_Q4_0;
    }
}

/* Tensors that got another type for the same reason: one line for all of them. */
typedef struct refit {
    const char *first;
    size_t cols, n;
    hg_type want, to;
} refit;
enum { MAX_REFITS = 32 };

static void note_refit(refit r[MAX_REFITS], const hg_item *it, hg_type want)
{
    size_t i = 0;
    while (i < MAX_REFITS - 1 && r[i].n > 0 &&
           !(r[i].cols == it->cols && r[i].want == want && r[i].to == it->to))
        i++;
    if (r[i].n == 0) r[i] = (refit){it->name, it->cols, 0, want, it->to};
    r[i].n++;
}

static void tell_refits(const refit r[MAX_REFITS], const hg_watch *w)
{
    for (size_t i = 0; i < MAX_REFITS && r[i].n > 0; i++) {
        char more[32] = "";
        if (r[i].n > 1) (void)snprintf(more, sizeof more, " and %zu more", r[i].n - 1);
        hg_watch_log(w, HG_WARN, "%s%s: rows of %zu are no multiple of %zu: %s instead of %s",
                     r[i].first, more, r[i].cols, hg_type_block(r[i].want), hg_type_name(r[i].to),
                     hg_type_name(r[i].want));
    }
}

void hg_mix_apply(const hg_mix *m, hg_out *o, bool pure, const hg_watch *w)
{
    refit refits[MAX_REFITS] = {0};
    o->file_type = m->file_type;
    for (size_t i = 0; i < o->n; i++) {
        hg_item *it = &o->item[i];
        if (it->from == HG_N_TYPES || it->from == HG_I32) continue;
        it->to = HG_F32;
        if (!is_fitted(it)) continue;
        hg_type want = pure ? m->base : type_in(m, it, &o->facts);
        it->to = that_fits(want, it->cols);
        if (it->to != want) note_refit(refits, it, want);
    }
    tell_refits(refits, w);
}
