/* What a GGUF's metadata says of the model, and the same written. Names and meanings follow
 * llama.cpp, so that its tools open what is exported here. The tokenizer is in gguf_tokenizer.c. */
#include "model/gguf_meta.h"
#include "model/inner.h"
#include <stdio.h>
#include <string.h>

/* ---- reading ---- */

typedef struct keys {
    const hg_gguf *g;
    char arch[32], key[128];
} keys;

/* "llama.block_count" from "block_count". */
static const char *key_of(keys *k, const char *name)
{
    (void)snprintf(k->key, sizeof k->key, "%s.%s", k->arch, name);
    return k->key;
}

static hg_status get_count(keys *k, const char *name, uint32_t fallback, uint32_t max,
                           uint32_t *out, hg_err *e)
{
    uint64_t v = fallback;
    HG_TRY(hg_gguf_uint(k->g, key_of(k, name), max, &v, e));
    if (v == 0) return hg_fail(e, HG_E_FORMAT, "%s is missing", k->key);
    *out = (uint32_t)v;
    return HG_OK;
}

hg_status hg_gguf_id(const hg_gguf *g, const char *key, int32_t *out, hg_err *e)
{
    uint64_t v = UINT32_MAX;
    HG_TRY(hg_gguf_uint(g, key, UINT32_MAX, &v, e));
    *out = v < HG_MAX_VOCAB ? (int32_t)v : -1;
    return HG_OK;
}

static hg_status get_sizes(keys *k, const hg_store *s, hg_model_config *c, hg_err *e)
{
    HG_TRY(get_count(k, "block_count", 0, HG_MAX_LAYERS, &c->n_layers, e));
    HG_TRY(get_count(k, "embedding_length", 0, HG_MAX_D_MODEL, &c->d_model, e));
    HG_TRY(get_count(k, "attention.head_count", 0, HG_MAX_HEADS, &c->n_heads, e));
    HG_TRY(get_count(k, "attention.head_count_kv", c->n_heads, HG_MAX_HEADS, &c->n_kv_heads, e));
    HG_TRY(get_count(k, "feed_forward_length", 0, 8 * HG_MAX_D_MODEL, &c->d_ff, e));
    HG_TRY(get_count(k, "context_length", 0, HG_MAX_CTX, &c->n_ctx, e));
    if (c->d_model < c->n_heads)
        return hg_fail(e, HG_E_FORMAT, "%u heads of a model of %u values", c->n_heads, c->d_model);
    uint32_t d_value = 0, d_rot = 0;
    HG_TRY(get_count(k, "attention.key_length", c->d_model / c->n_heads, HG_MAX_D_MODEL, &c->d_head,
                     e));
    HG_TRY(get_count(k, "attention.value_length", c->d_head, HG_MAX_D_MODEL, &d_value, e));
    HG_TRY(get_count(k, "rope.dimension_count", c->d_head, HG_MAX_D_MODEL, &d_rot, e));
    if (d_value != c->d_head || d_rot != c->d_head)
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "heads of %u, values of %u, %u of them turned; Higgins needs all equal",
                       c->d_head, d_value, d_rot);
    const hg_entry *embed = hg_store_find(s, "token_embd.weight");
    if (embed == NULL || embed->n_dims != 2 || embed->dim[0] > HG_MAX_VOCAB)
        return hg_fail(e, HG_E_FORMAT, "no usable tensor token_embd.weight");
    c->n_vocab = (uint32_t)embed->dim[0];
    return HG_OK;
}

static hg_status get_rope(keys *k, hg_model_config *c, hg_err *e)
{
    double theta = 10000.0, factor = 1.0;
    hg_bytes kind = {"none", 4};
    HG_TRY(hg_gguf_float(k->g, key_of(k, "rope.freq_base"), &theta, e));
    HG_TRY(hg_gguf_text(k->g, key_of(k, "rope.scaling.type"), &kind, e));
    HG_TRY(hg_gguf_float(k->g, key_of(k, "rope.scaling.factor"), &factor, e));
    c->rope_theta = (float)theta;
    if (kind.n == 4 && memcmp(kind.p, "none", 4) == 0) return HG_OK;
    if (kind.n != 6 || memcmp(kind.p, "linear", 6) != 0 || !(factor >= 1e-6 && factor <= 1e6))
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "rotary scaling \"%.*s\" by %g is not known; none and linear are",
                       (int)(kind.n < 32 ? kind.n : 32), kind.p, factor);
    c->rope_scaling = (hg_rope_scaling){.kind = HG_ROPE_LINEAR, .factor = (float)factor};
    return HG_OK;
}

/* A factor for each frequency is a tensor of its own. */
static hg_status find_factors(const hg_store *s, hg_model_config *c, hg_err *e)
{
    const hg_entry *en = hg_store_find(s, "rope_freqs.weight");
    if (en == NULL) return HG_OK;
    if (en->type != HG_F32 || en->n_dims != 1 || en->dim[0] != c->d_head / 2 ||
        c->rope_scaling.kind != HG_ROPE_PLAIN)
        return hg_fail(e, HG_E_FORMAT, "rope_freqs.weight is no list of %u float32", c->d_head / 2);
    c->rope_scaling.kind = HG_ROPE_FACTORS;
    return HG_OK;
}

hg_status hg_gguf_config(const hg_gguf *g, const hg_store *s, hg_model_config *c, hg_arch *row,
                         hg_err *e)
{
    keys k = {.g = g};
    hg_bytes name = {"", 0};
    memset(c, 0, sizeof *c);
    HG_TRY(hg_gguf_text(g, "general.architecture", &name, e));
    const hg_arch *known = hg_arch_find_gguf(name.p, name.n);
    if (known == NULL) return hg_arch_unknown(name.p, name.n, e);
    *row = *known;
    (void)snprintf(c->arch, sizeof c->arch, "%s", known->name);
    (void)snprintf(k.arch, sizeof k.arch, "%s", known->gguf);
    HG_TRY(get_sizes(&k, s, c, e));
    double eps = 1e-5;
    HG_TRY(hg_gguf_float(g,
                         key_of(&k, known->norm == HG_NORM_RMS ? "attention.layer_norm_rms_epsilon"
                                                               : "attention.layer_norm_epsilon"),
                         &eps, e));
    c->norm_eps = (float)eps;
    HG_TRY(get_rope(&k, c, e));
    HG_TRY(find_factors(s, c, e));
    c->tie_embeddings = hg_store_find(s, "output.weight") == NULL;
    if (hg_store_find(s, "blk.0.attn_q.bias") != NULL) row->qkv_bias = true;
    if (hg_store_find(s, "blk.0.attn_output.bias") != NULL) row->out_bias = true;
    HG_TRY(hg_gguf_id(g, "tokenizer.ggml.bos_token_id", &c->bos_id, e));
    HG_TRY(hg_gguf_id(g, "tokenizer.ggml.eos_token_id", &c->eos_id, e));
    HG_TRY(hg_gguf_id(g, "tokenizer.ggml.padding_token_id", &c->pad_id, e));
    return hg_config_check(c, row, e);
}

/* ---- writing ---- */

static void put_model(hg_meta *m, const hg_model *model, uint32_t file_type)
{
    const hg_model_config *c = &model->c;
    hg_meta_text(m, "general.architecture", m->arch);
    hg_meta_text(m, "general.name", "Higgins");
    hg_meta_u32(m, "general.file_type", file_type);
    hg_meta_u32(m, "#.block_count", c->n_layers);
    /* Programs that read GGUF know no window of Mistral's: within it nothing differs. */
    hg_meta_u32(m, "#.context_length",
                c->window > 0 && c->window < c->n_ctx ? c->window : c->n_ctx);
    hg_meta_u32(m, "#.embedding_length", c->d_model);
    hg_meta_u32(m, "#.feed_forward_length", c->d_ff);
    hg_meta_u32(m, "#.attention.head_count", c->n_heads);
    hg_meta_u32(m, "#.attention.head_count_kv", c->n_kv_heads);
    hg_meta_u32(m, "#.attention.key_length", c->d_head);
    hg_meta_u32(m, "#.attention.value_length", c->d_head);
    hg_meta_u32(m, "#.vocab_size", c->n_vocab);
    hg_meta_f32(m,
                model->arch->norm == HG_NORM_RMS ? "#.attention.layer_norm_rms_epsilon"
                                                 : "#.attention.layer_norm_epsilon",
                c->norm_eps);
    if (model->arch->positions != HG_POS_ROPE) return;
    hg_meta_u32(m, "#.rope.dimension_count", c->d_head);
    hg_meta_f32(m, "#.rope.freq_base", c->rope_theta);
    if (c->rope_scaling.kind == HG_ROPE_LINEAR) {
        hg_meta_text(m, "#.rope.scaling.type", "linear");
        hg_meta_f32(m, "#.rope.scaling.factor", c->rope_scaling.factor);
    }
}

hg_status hg_gguf_put_metadata(hg_buf *b, uint64_t *n_kv, const hg_model *m, uint32_t file_type,
                               hg_err *e)
{
    hg_meta out = {.b = b, .arch = m->arch->gguf};
    put_model(&out, m, file_type);
    HG_TRY(hg_gguf_put_tokenizer(&out, m, e));
    *n_kv = out.n_kv;
    return hg_buf_status(b, e);
}
