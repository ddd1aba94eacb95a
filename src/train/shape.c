/* The shape of a new model. One number, depth, is enough: width is 64 times depth, heads are 64
 * wide, the feed-forward layer is 8/3 as wide where it is gated, so that gated and plain layers
 * cost the same (Shazeer 2020). `params` looks for the depth that comes nearest. Every size can be
 * set for itself. */
#include "train/shape.h"
#include <stdio.h>
#include <string.h>

enum { WIDTH_A_LAYER = 64, D_HEAD = 64, MAX_DEPTH = 128 };

static uint32_t or_default(int64_t given, uint64_t otherwise)
{
    return given > 0 ? (uint32_t)given : (uint32_t)otherwise;
}

static void sizes_of_depth(const hg_recipe *r, const hg_arch *a, uint32_t depth, hg_model_config *c)
{
    c->n_layers = depth;
    c->d_model = or_default(r->d_model, (uint64_t)depth * WIDTH_A_LAYER);
    uint64_t heads = c->d_model >= D_HEAD ? c->d_model / D_HEAD : 1;
    while (c->d_model % heads != 0) heads--;
    c->n_heads = or_default(r->n_heads, heads);
    c->n_kv_heads = or_default(r->n_kv_heads, c->n_heads);
    c->d_head = c->n_heads > 0 ? c->d_model / c->n_heads : 0;
    uint64_t ff = a->is_gated ? (uint64_t)c->d_model * 8 / 3 : (uint64_t)c->d_model * 4;
    c->d_ff = or_default(r->d_ff, (ff + 63) / 64 * 64);
}

static hg_status nearest_depth(const hg_recipe *r, const hg_arch *a, hg_model_config *c, hg_err *e)
{
    uint64_t want = (uint64_t)r->params, best = UINT64_MAX;
    uint32_t depth = 1;
    for (uint32_t d = 1; d <= MAX_DEPTH; d++) {
        sizes_of_depth(r, a, d, c);
        uint64_t n = hg_arch_count(a, c), off = n > want ? n - want : want - n;
        if (off < best) best = off, depth = d;
    }
    sizes_of_depth(r, a, depth, c);
    if (best <= want / 2) return HG_OK;
    return hg_fail(e, HG_E_ARG,
                   "params: the nearest to %llu is %llu with a vocabulary of %u; set depth and "
                   "d_model, or use a smaller "
                   "tokenizer",
                   (unsigned long long)want, (unsigned long long)hg_arch_count(a, c), c->n_vocab);
}

hg_status hg_recipe_shape(const hg_recipe *r, uint32_t n_vocab, hg_model_config *out, hg_err *e)
{
    const hg_arch *a = hg_arch_find(r->arch);
    memset(out, 0, sizeof *out);
    if (a == NULL)
        return hg_fail(e, HG_E_ARG,
                       "arch: there is no architecture \"%.32s\"; \"llama\" is the usual one",
                       r->arch);
    (void)snprintf(out->arch, sizeof out->arch, "%s", a->name);
    out->n_vocab = n_vocab;
    out->n_ctx = (uint32_t)r->seq_len;
    out->norm_eps = (float)r->norm_eps;
    out->rope_theta = (float)r->rope_theta;
    out->tie_embeddings = r->tie_embeddings;
    out->bos_id = out->eos_id = out->pad_id = -1;
    if (r->seq_len < 2) return hg_fail(e, HG_E_ARG, "seq_len: at least 2 tokens make a row");
    if (r->params > 0)
        HG_TRY(nearest_depth(r, a, out, e));
    else
        sizes_of_depth(r, a, (uint32_t)r->depth, out);
    if (out->d_model % out->n_heads != 0 || out->d_head % 2 != 0)
        return hg_fail(
            e, HG_E_ARG,
            "n_heads: %u heads cannot share a d_model of %u; it must be an even multiple",
            out->n_heads, out->d_model);
    if (out->n_heads % out->n_kv_heads != 0)
        return hg_fail(e, HG_E_ARG, "n_kv_heads: %u must divide the %u heads", out->n_kv_heads,
                       out->n_heads);
    return HG_OK;
}
