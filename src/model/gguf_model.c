/* What a GGUF's metadata says of the model, and the same written. Names and meanings follow
 * llama.cpp, so that its tools open what is exported here. The tokenizer is in gguf_tokenizer.c. */
#include "model/gguf_meta.h"
#include "model/inner.h"
#include <math.h>
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

/* The ends of a turn and of a call, which a GGUF names beside that of a text. */
static hg_status get_ends(const hg_gguf *g, hg_model_config *c, hg_err *e)
{
    static const char *const names[] = {"tokenizer.ggml.eot_token_id",
                                        "tokenizer.ggml.eom_token_id"};
    for (size_t i = 0; i < 2; i++) {
        int32_t id = -1;
        if (hg_gguf_find(g, names[i]) != NULL) HG_TRY(hg_gguf_id(g, names[i], &id, e));
        hg_config_add_end(c, id);
    }
    return HG_OK;
}

/* A number that may be missing, as a float. */
static hg_status get_number(keys *k, const char *name, float *out, hg_err *e)
{
    double v = (double)*out;
    HG_TRY(hg_gguf_float(k->g, key_of(k, name), &v, e));
    *out = (float)v;
    return HG_OK;
}

static hg_status get_heads(keys *k, hg_model_config *c, hg_err *e)
{
    uint32_t d_value = 0;
    HG_TRY(get_count(k, "attention.head_count", 0, HG_MAX_HEADS, &c->n_heads, e));
    HG_TRY(get_count(k, "attention.head_count_kv", c->n_heads, HG_MAX_HEADS, &c->n_kv_heads, e));
    if (c->d_model < c->n_heads)
        return hg_fail(e, HG_E_FORMAT, "%u heads of a model of %u values", c->n_heads, c->d_model);
    HG_TRY(get_count(k, "attention.key_length", c->d_model / c->n_heads, HG_MAX_D_MODEL, &c->d_head,
                     e));
    HG_TRY(get_count(k, "attention.value_length", c->d_head, HG_MAX_D_MODEL, &d_value, e));
    if (d_value != c->d_head)
        return hg_fail(e, HG_E_UNSUPPORTED, "keys of %u and values of %u; Higgins needs both alike",
                       c->d_head, d_value);
    return get_count(k, "rope.dimension_count", c->d_head, HG_MAX_D_MODEL, &c->d_rot, e);
}

static hg_status get_experts(keys *k, const hg_arch *row, hg_model_config *c, hg_err *e)
{
    bool sums_to_one = true;
    if (!row->has_experts)
        return get_count(k, "feed_forward_length", 0, 8 * HG_MAX_D_MODEL, &c->d_ff, e);
    HG_TRY(get_count(k, "expert_count", 0, HG_MAX_EXPERTS, &c->n_experts, e));
    HG_TRY(get_count(k, "expert_used_count", 0, HG_MAX_EXPERTS, &c->n_experts_used, e));
    HG_TRY(hg_gguf_bool(k->g, key_of(k, "expert_weights_norm"), &sums_to_one, e));
    c->raw_expert_weights = !sums_to_one;
    uint64_t d_ff = 0; /* Mixtral's files have no size of experts apart */
    HG_TRY(
        hg_gguf_uint(k->g, key_of(k, "expert_feed_forward_length"), 8 * HG_MAX_D_MODEL, &d_ff, e));
    c->d_ff = (uint32_t)d_ff;
    return d_ff > 0 ? HG_OK
                    : get_count(k, "feed_forward_length", 0, 8 * HG_MAX_D_MODEL, &c->d_ff, e);
}

static hg_status get_sizes(keys *k, const hg_store *s, const hg_arch *row, hg_model_config *c,
                           hg_err *e)
{
    HG_TRY(get_count(k, "block_count", 0, HG_MAX_LAYERS, &c->n_layers, e));
    HG_TRY(get_count(k, "embedding_length", 0, HG_MAX_D_MODEL, &c->d_model, e));
    HG_TRY(get_count(k, "context_length", 0, HG_MAX_CTX, &c->n_ctx, e));
    HG_TRY(get_heads(k, c, e));
    HG_TRY(get_experts(k, row, c, e));
    const hg_entry *embed = hg_store_find(s, "token_embd.weight");
    if (embed == NULL || embed->n_dims != 2 || embed->dim[0] > HG_MAX_VOCAB)
        return hg_fail(e, HG_E_FORMAT, "no usable tensor token_embd.weight");
    c->n_vocab = (uint32_t)embed->dim[0];
    return HG_OK;
}

/* Which layers have no window: every n-th, or as a list of booleans says of each whether it has. */
static hg_status get_window(keys *k, const hg_arch *row, hg_model_config *c, hg_err *e)
{
    uint64_t window = c->window, every = row->global_every;
    if (row->keys->window == NULL || row->gguf_interleaved) return HG_OK; /* Mistral's has none */
    HG_TRY(hg_gguf_uint(k->g, key_of(k, "attention.sliding_window"), HG_MAX_CTX, &window, e));
    c->window = (uint32_t)window;
    const hg_gguf_kv *kv = hg_gguf_find(k->g, key_of(k, "attention.sliding_window_pattern"));
    if (kv != NULL && kv->type == GGUF_ARRAY) {
        if (kv->item != GGUF_BOOL || kv->n < c->n_layers)
            return hg_fail(e, HG_E_FORMAT, "%s is no list of %u booleans", k->key, c->n_layers);
        for (size_t i = 0; i < c->n_layers; i++) hg_layers_put(&c->no_window, i, kv->p[i] == 0);
        return HG_OK;
    }
    HG_TRY(hg_gguf_uint(k->g, k->key, HG_MAX_LAYERS, &every, e));
    hg_layers_every(&c->no_window, (size_t)every, c->n_layers);
    return HG_OK;
}

/* What files of Gemma leave to who reads them: the largest models scale scores by the width of
 * their heads' share of the model, the others by the heads' own. */
static float usual_scale(const hg_arch *row, const hg_model_config *c)
{
    const bool is_27b = (strcmp(row->name, "gemma2") == 0 && c->n_layers == 46) ||
                        (strcmp(row->name, "gemma3") == 0 && c->n_layers == 62);
    return is_27b ? 1.0f / sqrtf((float)(c->d_model / c->n_heads)) : 0.0f;
}

static hg_status get_attention(keys *k, const hg_arch *row, hg_model_config *c, hg_err *e)
{
    const hg_model_config *usual = row->keys->usual;
    if (usual != NULL) {
        c->window = strcmp(row->name, "gemma2") == 0 ? usual->window : 0;
        c->attn_soft_cap = usual->attn_soft_cap;
        c->soft_cap = usual->soft_cap;
    }
    c->attn_scale = usual_scale(row, c);
    HG_TRY(get_number(k, "attention.scale", &c->attn_scale, e));
    HG_TRY(get_number(k, "attn_logit_softcapping", &c->attn_soft_cap, e));
    HG_TRY(get_number(k, "final_logit_softcapping", &c->soft_cap, e));
    HG_TRY(get_window(k, row, c, e));
    hg_layers_every(&c->no_rope, row->no_rope_every, c->n_layers);
    return HG_OK;
}

/* Factors of the rotary frequencies, which are tensors of their own. */
static hg_status get_factors(const hg_store *s, const char *name, const hg_model_config *c,
                             float *to, bool *is_there, hg_err *e)
{
    const hg_entry *en = hg_store_find(s, name);
    const uint32_t n = c->d_rot / 2;
    *is_there = en != NULL;
    if (en == NULL) return HG_OK;
    if (en->type != HG_F32 || en->n_dims != 1 || en->dim[0] != n || n > HG_MAX_ROPE_PAIRS)
        return hg_fail(e, HG_E_FORMAT, "%s is no list of %u float32", name, n);
    memcpy(to, en->p, n * sizeof *to);
    return HG_OK;
}

static bool is_kind(hg_bytes kind, const char *name)
{
    return kind.n == strlen(name) && memcmp(kind.p, name, kind.n) == 0;
}

static hg_status get_scaling(keys *k, const hg_arch *row, hg_model_config *c, hg_err *e)
{
    hg_rope_scaling *r = &c->rope_scaling;
    hg_bytes kind = {"none", 4};
    uint64_t first_ctx = c->n_ctx;
    float attention = 1.0f;
    r->factor = 1.0f;
    r->beta_fast = 32.0f;
    r->beta_slow = 1.0f;
    HG_TRY(hg_gguf_text(k->g, key_of(k, "rope.scaling.type"), &kind, e));
    HG_TRY(get_number(k, "rope.scaling.factor", &r->factor, e));
    HG_TRY(hg_gguf_uint(k->g, key_of(k, "rope.scaling.original_context_length"), HG_MAX_CTX,
                        &first_ctx, e));
    HG_TRY(get_number(k, "rope.scaling.yarn_beta_fast", &r->beta_fast, e));
    HG_TRY(get_number(k, "rope.scaling.yarn_beta_slow", &r->beta_slow, e));
    HG_TRY(get_number(k, "rope.scaling.attn_factor", &attention, e));
    r->original_n_ctx = (uint32_t)first_ctx;
    if (is_kind(kind, "none") || is_kind(kind, "longrope")) {
        r->kind = HG_ROPE_PLAIN; /* unless there are factors */
        if (attention > 0.0f && attention != 1.0f) r->attention_factor = attention;
        return HG_OK;
    }
    if (is_kind(kind, "linear")) {
        r->kind = HG_ROPE_LINEAR;
    } else if (is_kind(kind, "yarn")) {
        r->kind = HG_ROPE_YARN;
        r->blends_exactly = row->has_sinks; /* gpt-oss, which no key says */
        if (attention != 1.0f) r->attention_factor = attention * (float)hg_rope_usual_attention(c);
    } else {
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "rotary scaling \"%.*s\" is not known; none, linear, yarn and longrope are",
                       (int)(kind.n < 32 ? kind.n : 32), kind.p);
    }
    return HG_OK;
}

/* Takes factors that are what Llama 3's formula gives for that formula: config.json can say it. */
static void find_llama3(hg_model_config *c)
{
    const hg_rope_scaling had = c->rope_scaling;
    const size_t n = c->d_rot / 2;
    c->rope_scaling = (hg_rope_scaling){.kind = HG_ROPE_LLAMA3,
                                        .factor = had.short_factor[n - 1],
                                        .low_freq_factor = 1.0f,
                                        .high_freq_factor = 4.0f,
                                        .original_n_ctx = 8192};
    for (size_t i = 0; i < n; i++) {
        double plain = hg_rope_plain(c, (double)c->rope_theta, i);
        double f = plain / hg_rope_scaled(c, i, false);
        if (fabs(f - (double)had.short_factor[i]) <= 1e-5 * f) continue;
        c->rope_scaling = had;
        return;
    }
}

static hg_status get_rope(keys *k, const hg_store *s, const hg_arch *row, hg_model_config *c,
                          hg_err *e)
{
    hg_rope_scaling *r = &c->rope_scaling;
    bool is_there = false, has_long = false;
    c->rope_theta = 10000.0f;
    HG_TRY(get_number(k, "rope.freq_base", &c->rope_theta, e));
    if (row->keys->rope_theta_local != NULL) c->rope_theta_local = 10000.0f;
    if (row->keys->rope_theta_local != NULL)
        HG_TRY(get_number(k, "rope.freq_base_swa", &c->rope_theta_local, e));
    HG_TRY(get_scaling(k, row, c, e));
    HG_TRY(get_factors(s, "rope_freqs.weight", c, r->short_factor, &is_there, e));
    if (is_there && r->kind != HG_ROPE_PLAIN)
        return hg_fail(e, HG_E_FORMAT, "rope_freqs.weight is there, and another scaling as well");
    if (is_there) {
        r->kind = HG_ROPE_FACTORS;
        if (c->d_rot >= 2) find_llama3(c);
    }
    HG_TRY(get_factors(s, "rope_factors_short.weight", c, r->short_factor, &is_there, e));
    HG_TRY(get_factors(s, "rope_factors_long.weight", c, r->long_factor, &has_long, e));
    if (is_there != has_long)
        return hg_fail(e, HG_E_FORMAT, "rotary factors for short or for long texts are missing");
    if (is_there) r->kind = HG_ROPE_LONG;
    return HG_OK;
}

/* The row's switches that a file may set otherwise. */
static hg_status get_switches(keys *k, const hg_store *s, hg_arch *row, hg_err *e)
{
    if (hg_store_find(s, "blk.0.attn_q.bias") != NULL) row->qkv_bias = true;
    if (hg_store_find(s, "blk.0.attn_output.bias") != NULL) row->out_bias = true;
    if (hg_store_find(s, "blk.0.ffn_up.bias") != NULL) row->mlp_bias = true;
    if (row->keys->parallel == NULL) return HG_OK;
    return hg_gguf_bool(k->g, key_of(k, "use_parallel_residual"), &row->is_parallel, e);
}

hg_status hg_gguf_config(const hg_gguf *g, const hg_store *s, hg_model_config *c, hg_arch *row,
                         hg_err *e)
{
    keys k = {.g = g};
    hg_bytes name = {"", 0};
    uint64_t n_experts = 0;
    memset(c, 0, sizeof *c);
    HG_TRY(hg_gguf_text(g, "general.architecture", &name, e));
    (void)snprintf(k.arch, sizeof k.arch, "%.*s", (int)(name.n < 31 ? name.n : 31), name.p);
    HG_TRY(hg_gguf_uint(g, key_of(&k, "expert_count"), HG_MAX_EXPERTS, &n_experts, e));
    const hg_arch *known = hg_arch_find_gguf(name.p, name.n, n_experts > 0);
    if (known == NULL) return hg_arch_unknown(name.p, name.n, e);
    *row = *known;
    (void)snprintf(c->arch, sizeof c->arch, "%s", known->name);
    c->norm_eps = 1e-5f;
    HG_TRY(get_sizes(&k, s, row, c, e));
    HG_TRY(get_number(&k,
                      row->norm == HG_NORM_RMS ? "attention.layer_norm_rms_epsilon"
                                               : "attention.layer_norm_epsilon",
                      &c->norm_eps, e));
    HG_TRY(get_attention(&k, row, c, e));
    if (row->positions == HG_POS_ROPE) HG_TRY(get_rope(&k, s, row, c, e));
    HG_TRY(get_switches(&k, s, row, e));
    c->tie_embeddings = hg_store_find(s, "output.weight") == NULL;
    HG_TRY(hg_gguf_id(g, "tokenizer.ggml.bos_token_id", &c->bos_id, e));
    HG_TRY(hg_gguf_id(g, "tokenizer.ggml.eos_token_id", &c->eos_id, e));
    HG_TRY(hg_gguf_id(g, "tokenizer.ggml.padding_token_id", &c->pad_id, e));
    HG_TRY(get_ends(g, c, e));
    return hg_config_check(c, row, e);
}

/* ---- writing ---- */

static void put_attention(hg_meta *m, const hg_model *model)
{
    const hg_model_config *c = &model->c;
    hg_meta_u32(m, "#.attention.head_count", c->n_heads);
    hg_meta_u32(m, "#.attention.head_count_kv", c->n_kv_heads);
    hg_meta_u32(m, "#.attention.key_length", c->d_head);
    hg_meta_u32(m, "#.attention.value_length", c->d_head);
    hg_meta_f32(m,
                model->arch->norm == HG_NORM_RMS ? "#.attention.layer_norm_rms_epsilon"
                                                 : "#.attention.layer_norm_epsilon",
                c->norm_eps);
    if (c->attn_scale > 0.0f) hg_meta_f32(m, "#.attention.scale", c->attn_scale);
    if (c->attn_soft_cap > 0.0f) hg_meta_f32(m, "#.attn_logit_softcapping", c->attn_soft_cap);
    if (c->soft_cap > 0.0f) hg_meta_f32(m, "#.final_logit_softcapping", c->soft_cap);
    if (c->window == 0 || model->arch->gguf_interleaved) return;
    hg_meta_u32(m, "#.attention.sliding_window", c->window);
    hg_meta_array(m, "#.attention.sliding_window_pattern", GGUF_BOOL, c->n_layers);
    for (size_t i = 0; i < c->n_layers; i++)
        hg_meta_put(m->b, !hg_layers_have(&c->no_window, i), 1);
}

static void put_experts(hg_meta *m, const hg_model_config *c)
{
    if (c->n_experts == 0) return;
    hg_meta_u32(m, "#.expert_count", c->n_experts);
    hg_meta_u32(m, "#.expert_used_count", c->n_experts_used);
    hg_meta_u32(m, "#.expert_feed_forward_length", c->d_ff);
    if (c->raw_expert_weights) hg_meta_bool(m, "#.expert_weights_norm", false);
}

static void put_rope(hg_meta *m, const hg_model_config *c)
{
    const hg_rope_scaling *r = &c->rope_scaling;
    const double usual = hg_rope_usual_attention(c);
    hg_meta_u32(m, "#.rope.dimension_count", c->d_rot);
    hg_meta_f32(m, "#.rope.freq_base", c->rope_theta);
    if (c->rope_theta_local > 0.0f) hg_meta_f32(m, "#.rope.freq_base_swa", c->rope_theta_local);
    if (r->kind == HG_ROPE_LINEAR) {
        hg_meta_text(m, "#.rope.scaling.type", "linear");
        hg_meta_f32(m, "#.rope.scaling.factor", r->factor);
    } else if (r->kind == HG_ROPE_YARN) {
        hg_meta_text(m, "#.rope.scaling.type", "yarn");
        hg_meta_f32(m, "#.rope.scaling.factor", r->factor);
        hg_meta_u32(m, "#.rope.scaling.original_context_length", r->original_n_ctx);
        hg_meta_f32(m, "#.rope.scaling.yarn_beta_fast", r->beta_fast);
        hg_meta_f32(m, "#.rope.scaling.yarn_beta_slow", r->beta_slow);
        if (r->attention_factor > 0.0f)
            hg_meta_f32(m, "#.rope.scaling.attn_factor",
                        (float)((double)r->attention_factor / usual));
    } else if (r->kind == HG_ROPE_LONG) {
        hg_meta_u32(m, "#.rope.scaling.original_context_length", r->original_n_ctx);
        hg_meta_f32(m, "#.rope.scaling.attn_factor",
                    r->attention_factor > 0.0f ? r->attention_factor : (float)usual);
    }
}

static void put_model(hg_meta *m, const hg_model *model, uint32_t file_type)
{
    const hg_model_config *c = &model->c;
    const bool is_cut = model->arch->gguf_interleaved && c->window > 0 && c->window < c->n_ctx;
    hg_meta_text(m, "general.architecture", m->arch);
    hg_meta_text(m, "general.name", "Higgins");
    hg_meta_u32(m, "general.file_type", file_type);
    hg_meta_u32(m, "#.block_count", c->n_layers);
    /* Programs that read GGUF know no window of Mistral's: within it nothing differs. */
    hg_meta_u32(m, "#.context_length", is_cut ? c->window : c->n_ctx);
    hg_meta_u32(m, "#.embedding_length", c->d_model);
    hg_meta_u32(m, "#.feed_forward_length", c->d_ff);
    hg_meta_u32(m, "#.vocab_size", c->n_vocab);
    put_attention(m, model);
    put_experts(m, c);
    if (model->arch->keys->parallel != NULL)
        hg_meta_bool(m, "#.use_parallel_residual", model->arch->is_parallel);
    if (model->arch->positions == HG_POS_ROPE) put_rope(m, c);
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
