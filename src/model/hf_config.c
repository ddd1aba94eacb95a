/* config.json: what a Hugging Face folder says about its model. The row of the architecture knows
 * what the members are called; what cannot be computed here is refused, never passed over, because
 * a model that is computed a little differently talks nonsense without saying so. */
#include "model/inner.h"
#include "text/json.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    hg_act act;
} acts[] = {
    {"silu", HG_ACT_SILU},          {"swish", HG_ACT_SILU},
    {"gelu_new", HG_ACT_GELU_TANH}, {"gelu_pytorch_tanh", HG_ACT_GELU_TANH},
    {"gelu", HG_ACT_GELU_ERF},      {"relu2", HG_ACT_RELU2},
};
enum { N_ACTS = sizeof acts / sizeof acts[0] };

/* A count; the member may be missing when `fallback` is above 0. */
static hg_status get_count(const json_t *o, const char *key, uint32_t fallback, uint32_t max,
                           uint32_t *out, hg_err *e)
{
    int64_t v = fallback;
    if (key != NULL && fallback > 0) HG_TRY(hg_json_opt_int(o, key, 1, INT64_MAX, &v, e));
    if (key != NULL && fallback == 0) HG_TRY(hg_json_get_int(o, key, 1, INT64_MAX, &v, e));
    if (v > max)
        return hg_fail(e, HG_E_LIMIT, "%s of %lld; %u is the most", key, (long long)v, max);
    *out = (uint32_t)v;
    return HG_OK;
}

static uint32_t or_usual(uint32_t usual, uint32_t otherwise)
{
    return usual > 0 ? usual : otherwise;
}

/* c begins as what the family's files mean by leaving members out. */
static hg_status get_sizes(hg_model_config *c, const hg_config_keys *k, const json_t *o, hg_err *e)
{
    HG_TRY(get_count(o, k->n_layers, 0, HG_MAX_LAYERS, &c->n_layers, e));
    HG_TRY(get_count(o, k->d_model, 0, HG_MAX_D_MODEL, &c->d_model, e));
    HG_TRY(get_count(o, k->n_heads, c->n_heads, HG_MAX_HEADS, &c->n_heads, e));
    HG_TRY(get_count(o, k->n_kv_heads, or_usual(c->n_kv_heads, c->n_heads), HG_MAX_HEADS,
                     &c->n_kv_heads, e));
    if (c->d_model < c->n_heads)
        return hg_fail(e, HG_E_FORMAT, "%u heads of a model of %u values", c->n_heads, c->d_model);
    HG_TRY(get_count(o, k->d_head, or_usual(c->d_head, c->d_model / c->n_heads), HG_MAX_D_MODEL,
                     &c->d_head, e));
    /* GPT-2 leaves it out, or says null, and means four times the width. */
    HG_TRY(get_count(o, k->d_ff, k->usual_d_ff * c->d_model, 8 * HG_MAX_D_MODEL, &c->d_ff, e));
    HG_TRY(get_count(o, k->n_ctx, or_usual(c->n_ctx, 2048), HG_MAX_CTX, &c->n_ctx, e));
    return get_count(o, "vocab_size", c->n_vocab, HG_MAX_VOCAB, &c->n_vocab, e);
}

static hg_status get_experts(hg_model_config *c, const hg_arch *row, const json_t *o, hg_err *e)
{
    const hg_config_keys *k = row->keys;
    bool normed = true;
    if (!row->has_experts) return HG_OK;
    HG_TRY(get_count(o, k->n_experts, 0, HG_MAX_EXPERTS, &c->n_experts, e));
    HG_TRY(get_count(o, "num_experts_per_tok", 0, HG_MAX_EXPERTS, &c->n_experts_used, e));
    if (k->norm_experts != NULL) {
        normed = false; /* what Qwen3-MoE's files mean by leaving it out */
        HG_TRY(hg_json_opt_bool(o, k->norm_experts, &normed, e));
    }
    c->raw_expert_weights = !normed;
    return HG_OK;
}

/* eos_token_id may be a list; its first is the one that ends a text. */
static hg_status get_id(const json_t *o, const char *key, int32_t *out, hg_err *e)
{
    const json_t *v = json_object_get(o, key);
    if (json_is_array(v)) v = json_array_get(v, 0);
    *out = -1;
    if (v == NULL || json_is_null(v)) return HG_OK;
    if (!json_is_integer(v)) return hg_fail(e, HG_E_FORMAT, "%s is no number", key);
    json_int_t id = json_integer_value(v);
    if (id >= 0 && id < HG_MAX_VOCAB) *out = (int32_t)id;
    return HG_OK;
}

static bool is_text(hg_bytes b, const char *s)
{
    return strlen(s) == b.n && memcmp(b.p, s, b.n) == 0;
}

/* A number above 0. */
static hg_status get_float(const json_t *o, const char *key, float *out, hg_err *e)
{
    double v = 0;
    HG_TRY(hg_json_get_number(o, key, 1e-9, 1e12, &v, e));
    *out = (float)v;
    return HG_OK;
}

/* The same; the member may be missing, or null for 0: none. */
static hg_status opt_float(const json_t *o, const char *key, float *out, hg_err *e)
{
    double v = (double)*out;
    if (key == NULL) return HG_OK;
    if (json_is_null(json_object_get(o, key))) {
        *out = 0;
        return HG_OK;
    }
    HG_TRY(hg_json_opt_number(o, key, 1e-9, 1e12, &v, e));
    *out = (float)v;
    return HG_OK;
}

/* ---- rotary scaling ---- */

static hg_status get_linear(hg_model_config *c, const json_t *config, const json_t *o, hg_err *e)
{
    (void)config;
    return get_float(o, "factor", &c->rope_scaling.factor, e);
}

static hg_status get_llama3(hg_model_config *c, const json_t *config, const json_t *o, hg_err *e)
{
    hg_rope_scaling *r = &c->rope_scaling;
    (void)config;
    HG_TRY(get_float(o, "factor", &r->factor, e));
    HG_TRY(get_float(o, "low_freq_factor", &r->low_freq_factor, e));
    HG_TRY(get_float(o, "high_freq_factor", &r->high_freq_factor, e));
    return get_count(o, "original_max_position_embeddings", 0, HG_MAX_CTX, &r->original_n_ctx, e);
}

/* The first context: of the scaling, of the model (Phi-3), or all of it. */
static hg_status get_original(hg_model_config *c, const json_t *config, const json_t *o, hg_err *e)
{
    const char *key = "original_max_position_embeddings";
    uint32_t *out = &c->rope_scaling.original_n_ctx;
    HG_TRY(get_count(config, key, c->n_ctx, HG_MAX_CTX, out, e));
    return get_count(o, key, *out, HG_MAX_CTX, out, e);
}

static hg_status get_yarn(hg_model_config *c, const json_t *config, const json_t *o, hg_err *e)
{
    hg_rope_scaling *r = &c->rope_scaling;
    float mscale = 0, mscale_all = 0;
    bool rounds = true;
    r->beta_fast = 32;
    r->beta_slow = 1;
    HG_TRY(get_float(o, "factor", &r->factor, e));
    HG_TRY(get_original(c, config, o, e));
    HG_TRY(opt_float(o, "beta_fast", &r->beta_fast, e));
    HG_TRY(opt_float(o, "beta_slow", &r->beta_slow, e));
    HG_TRY(opt_float(o, "attention_factor", &r->attention_factor, e));
    HG_TRY(opt_float(o, "mscale", &mscale, e));
    HG_TRY(opt_float(o, "mscale_all_dim", &mscale_all, e));
    HG_TRY(hg_json_opt_bool(o, "truncate", &rounds, e));
    r->blends_exactly = !rounds;
    if (r->attention_factor > 0.0f || !(mscale > 0.0f && mscale_all > 0.0f) || r->factor <= 1.0f)
        return HG_OK;
    double grown = 0.1 * log((double)r->factor);
    r->attention_factor =
        (float)((grown * (double)mscale + 1.0) / (grown * (double)mscale_all + 1.0));
    return HG_OK;
}

static hg_status get_factors(const json_t *o, const char *key, size_t n, float *out, hg_err *e)
{
    const json_t *list = json_object_get(o, key);
    if (!json_is_array(list) || json_array_size(list) != n || n > HG_MAX_ROPE_PAIRS)
        return hg_fail(e, HG_E_FORMAT,
                       "%s has %zu numbers; the %zu rotary frequencies need one each, %d at most",
                       key, json_array_size(list), n, HG_MAX_ROPE_PAIRS);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        if (!json_is_number(v)) return hg_fail(e, HG_E_FORMAT, "%s %zu is no number", key, i);
        out[i] = (float)json_number_value(v);
    }
    return HG_OK;
}

static hg_status get_longrope(hg_model_config *c, const json_t *config, const json_t *o, hg_err *e)
{
    hg_rope_scaling *r = &c->rope_scaling;
    HG_TRY(get_original(c, config, o, e));
    HG_TRY(opt_float(o, "attention_factor", &r->attention_factor, e));
    HG_TRY(get_factors(o, "short_factor", c->d_rot / 2, r->short_factor, e));
    return get_factors(o, "long_factor", c->d_rot / 2, r->long_factor, e);
}

static const struct {
    const char *name;
    hg_rope_kind kind;
    hg_status (*get)(hg_model_config *c, const json_t *config, const json_t *o, hg_err *e);
} scalings[] = {
    {"linear", HG_ROPE_LINEAR, get_linear}, {"llama3", HG_ROPE_LLAMA3, get_llama3},
    {"yarn", HG_ROPE_YARN, get_yarn},       {"longrope", HG_ROPE_LONG, get_longrope},
    {"su", HG_ROPE_LONG, get_longrope},
};

static hg_status get_scaling(hg_model_config *c, const json_t *config, const json_t *o, hg_err *e)
{
    hg_bytes kind = {"default", 7};
    HG_TRY(hg_json_opt_text(o, "type", &kind, e));
    HG_TRY(hg_json_opt_text(o, "rope_type", &kind, e));
    if (is_text(kind, "default")) return HG_OK;
    for (size_t i = 0; i < sizeof scalings / sizeof scalings[0]; i++)
        if (is_text(kind, scalings[i].name)) {
            c->rope_scaling.kind = scalings[i].kind;
            return scalings[i].get(c, config, o, e);
        }
    return hg_fail(e, HG_E_UNSUPPORTED,
                   "rotary scaling \"%.*s\" is not known; default, linear, llama3, yarn and "
                   "longrope are",
                   (int)(kind.n < 32 ? kind.n : 32), kind.p);
}

static hg_status get_rotary_share(hg_model_config *c, const hg_config_keys *k, const json_t *config,
                                  const json_t *o, hg_err *e)
{
    double share = (double)k->usual_rotary_share;
    c->d_rot = c->d_head;
    if (k->rotary_share == NULL) return HG_OK;
    HG_TRY(hg_json_opt_number(config, k->rotary_share, 1e-3, 1.0, &share, e));
    if (o != NULL) HG_TRY(hg_json_opt_number(o, "partial_rotary_factor", 1e-3, 1.0, &share, e));
    c->d_rot = (uint32_t)(share * c->d_head);
    return c->d_rot > 1 ? HG_OK
                        : hg_fail(e, HG_E_FORMAT, "%s of %g of a head's %u values is none",
                                  k->rotary_share, share, c->d_head);
}

static hg_status get_theta(const json_t *o, const char *key, float *theta, hg_err *e)
{
    double v = *theta > 0.0f ? (double)*theta : 10000.0;
    HG_TRY(hg_json_opt_number(o, key, 1e-3, 1e12, &v, e));
    *theta = (float)v;
    return HG_OK;
}

/* rope_scaling, or the rope_parameters of newer files, which hold theta as well and may be apart
 * for layers with a window and without. */
static hg_status get_rope(hg_model_config *c, const hg_config_keys *k, const json_t *config,
                          hg_err *e)
{
    json_t *o = NULL, *local = NULL, *all = NULL;
    HG_TRY(hg_json_opt_object(config, "rope_scaling", &o, e));
    if (o == NULL) HG_TRY(hg_json_opt_object(config, "rope_parameters", &o, e));
    if (o != NULL) HG_TRY(hg_json_opt_object(o, "sliding_attention", &local, e));
    if (o != NULL) HG_TRY(hg_json_opt_object(o, "full_attention", &all, e));
    if (all != NULL) o = all;
    HG_TRY(get_theta(config, k->rope_theta, &c->rope_theta, e));
    HG_TRY(get_theta(config, "rope_theta", &c->rope_theta, e)); /* as newer files call it */
    if (k->rope_theta_local != NULL)
        HG_TRY(get_theta(config, k->rope_theta_local, &c->rope_theta_local, e));
    if (local != NULL && k->rope_theta_local != NULL)
        HG_TRY(get_theta(local, "rope_theta", &c->rope_theta_local, e));
    HG_TRY(get_rotary_share(c, k, config, o, e));
    if (o == NULL) return HG_OK;
    HG_TRY(get_theta(o, "rope_theta", &c->rope_theta, e));
    return get_scaling(c, config, o, e);
}

static hg_status get_act(hg_arch *row, const json_t *o, hg_err *e)
{
    hg_bytes act = {NULL, 0};
    if (row->keys->act == NULL) return HG_OK;
    HG_TRY(hg_json_opt_text(o, row->keys->act, &act, e));
    if (act.p == NULL) return HG_OK;
    for (size_t i = 0; i < N_ACTS; i++)
        if (is_text(act, acts[i].name)) {
            row->act = acts[i].act;
            return HG_OK;
        }
    return hg_fail(e, HG_E_UNSUPPORTED,
                   "%s \"%.*s\" is not known; silu, gelu, gelu_new and relu2 are", row->keys->act,
                   (int)(act.n < 32 ? act.n : 32), act.p);
}

/* layer_types: which layers see all in spite of the window. */
static hg_status get_layer_types(hg_model_config *c, const json_t *o, hg_err *e)
{
    const json_t *list = json_object_get(o, "layer_types");
    if (list == NULL || json_is_null(list)) return HG_OK;
    if (json_array_size(list) != c->n_layers)
        return hg_fail(e, HG_E_FORMAT, "layer_types has %zu entries; the %u layers need one each",
                       json_array_size(list), c->n_layers);
    for (size_t i = 0; i < c->n_layers; i++) {
        const char *type = json_string_value(json_array_get(list, i));
        bool is_full = type != NULL && strcmp(type, "full_attention") == 0;
        if (!is_full && (type == NULL || strcmp(type, "sliding_attention") != 0))
            return hg_fail(e, HG_E_UNSUPPORTED,
                           "layer_types %zu is neither full_attention nor sliding_attention", i);
        hg_layers_put(&c->no_window, i, is_full);
    }
    return HG_OK;
}

/* Gemma's window is there in most layers, Mistral's and Phi-3's in all, Qwen's from
 * max_window_layers on and only where use_sliding_window says so. */
static hg_status get_window(hg_model_config *c, const hg_arch *row, const json_t *o, hg_err *e)
{
    int64_t window = c->window, first = 0;
    uint32_t every = row->global_every;
    const char *key = row->keys->window;
    bool used = false;
    HG_TRY(hg_json_opt_bool(o, "use_sliding_window", &used, e));
    if (used && key == NULL) {
        key = "sliding_window";
        HG_TRY(hg_json_opt_int(o, "max_window_layers", 0, HG_MAX_LAYERS, &first, e));
    }
    if (key == NULL) return HG_OK;
    if (json_is_null(json_object_get(o, key))) window = 0;
    HG_TRY(hg_json_opt_int(o, key, 0, HG_MAX_CTX, &window, e));
    c->window = window < c->n_ctx ? (uint32_t)window : 0;
    if (every > 0) HG_TRY(get_count(o, "sliding_window_pattern", every, HG_MAX_LAYERS, &every, e));
    hg_layers_every(&c->no_window, every, c->n_layers);
    for (size_t i = 0; i < (size_t)first && i < c->n_layers; i++)
        hg_layers_put(&c->no_window, i, true);
    return get_layer_types(c, o, e);
}

/* no_rope_layers: 0 for each layer that is not told positions. */
static hg_status get_no_rope(hg_model_config *c, const hg_arch *row, const json_t *o, hg_err *e)
{
    const json_t *list = json_object_get(o, "no_rope_layers");
    uint32_t every = row->no_rope_every;
    if (every == 0) return HG_OK;
    HG_TRY(get_count(o, "no_rope_layer_interval", every, HG_MAX_LAYERS, &every, e));
    hg_layers_every(&c->no_rope, every, c->n_layers);
    if (list == NULL || json_is_null(list)) return HG_OK;
    if (json_array_size(list) != c->n_layers)
        return hg_fail(e, HG_E_FORMAT,
                       "no_rope_layers has %zu entries; the %u layers need one each",
                       json_array_size(list), c->n_layers);
    for (size_t i = 0; i < c->n_layers; i++) {
        const json_t *v = json_array_get(list, i);
        if (!json_is_integer(v))
            return hg_fail(e, HG_E_FORMAT, "no_rope_layers %zu is no number", i);
        hg_layers_put(&c->no_rope, i, json_integer_value(v) == 0);
    }
    return HG_OK;
}

/* Scores' scale and the soft caps. */
static hg_status get_scores(hg_model_config *c, const hg_config_keys *k, const json_t *o, hg_err *e)
{
    float scalar = c->attn_scale > 0.0f ? 1.0f / (c->attn_scale * c->attn_scale) : 0.0f;
    HG_TRY(opt_float(o, k->attn_scalar, &scalar, e));
    c->attn_scale = scalar > 0.0f ? 1.0f / sqrtf(scalar) : 0.0f;
    if (scalar > 0.0f && scalar == (float)c->d_head) c->attn_scale = 0.0f; /* the usual one */
    HG_TRY(opt_float(o, k->attn_soft_cap, &c->attn_soft_cap, e));
    return opt_float(o, k->soft_cap, &c->soft_cap, e);
}

/* Members that change what is computed and that only some models of a family switch. */
static hg_status get_switches(hg_arch *row, const json_t *o, hg_err *e)
{
    static const struct {
        const char *key;
        bool usual;
    } fixed[] = {{"scale_attn_weights", true},
                 {"scale_attn_by_inverse_layer_idx", false},
                 {"add_cross_attention", false},
                 {"use_bidirectional_attention", false}};
    bool bias = row->qkv_bias && row->out_bias, mlp_bias = row->mlp_bias;
    const char *parallel = row->keys->parallel;
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        bool v = fixed[i].usual;
        HG_TRY(hg_json_opt_bool(o, fixed[i].key, &v, e));
        if (v != fixed[i].usual)
            return hg_fail(e, HG_E_UNSUPPORTED, "%s of %s is not supported", fixed[i].key,
                           v ? "true" : "false");
    }
    HG_TRY(hg_json_opt_bool(o, "attention_bias", &bias, e));
    HG_TRY(hg_json_opt_bool(o, "mlp_bias", &mlp_bias, e));
    if (parallel != NULL) HG_TRY(hg_json_opt_bool(o, parallel, &row->is_parallel, e));
    if (bias || row->out_bias) row->qkv_bias = row->out_bias = bias;
    row->mlp_bias = mlp_bias;
    return get_act(row, o, e);
}

/* Members of a mixture of experts that Higgins takes one value of. */
static hg_status check_experts(const hg_arch *row, const json_t *o, hg_err *e)
{
    int64_t step = 1;
    double limit = 7.0;
    if (!row->has_experts) return HG_OK;
    HG_TRY(hg_json_opt_int(o, "decoder_sparse_step", 0, INT64_MAX, &step, e));
    HG_TRY(hg_json_opt_number(o, "swiglu_limit", 0, 1e12, &limit, e));
    if (step != 1 || json_array_size(json_object_get(o, "mlp_only_layers")) > 0)
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "layers without experts among those with are not "
                       "supported (decoder_sparse_step, mlp_only_layers)");
    if (limit < 7.0 || limit > 7.0)
        return hg_fail(e, HG_E_UNSUPPORTED, "swiglu_limit of %g is not supported; 7 is", limit);
    return HG_OK;
}

static hg_status read_row(hg_model_config *c, hg_arch *row, const json_t *o, hg_err *e)
{
    const hg_config_keys *k = row->keys;
    if (k->usual != NULL) *c = *k->usual;
    (void)snprintf(c->arch, sizeof c->arch, "%s", row->name);
    HG_TRY(get_sizes(c, k, o, e));
    HG_TRY(get_experts(c, row, o, e));
    double eps = row->norm == HG_NORM_RMS ? 1e-6 : 1e-5;
    HG_TRY(hg_json_opt_number(o, k->norm_eps, 1e-20, 1.0, &eps, e));
    c->norm_eps = (float)eps;
    if (row->positions == HG_POS_ROPE) HG_TRY(get_rope(c, k, o, e));
    HG_TRY(get_scores(c, k, o, e));
    HG_TRY(get_switches(row, o, e));
    HG_TRY(check_experts(row, o, e));
    HG_TRY(get_no_rope(c, row, o, e));
    return get_window(c, row, o, e);
}

/* What a model that also sees says of the whole counts where its text_config is silent. */
static hg_status get_whole(hg_model_config *c, const hg_arch *row, const json_t *whole,
                           const json_t *text, hg_err *e)
{
    c->tie_embeddings = row->tied_by_default;
    HG_TRY(hg_json_opt_bool(whole, "tie_word_embeddings", &c->tie_embeddings, e));
    HG_TRY(hg_json_opt_bool(text, "tie_word_embeddings", &c->tie_embeddings, e));
    const json_t *ids = json_object_get(text, "eos_token_id") != NULL ? text : whole;
    HG_TRY(get_id(ids, "bos_token_id", &c->bos_id, e));
    HG_TRY(get_id(ids, "eos_token_id", &c->eos_id, e));
    hg_config_add_ends(c, ids);
    return get_id(ids, "pad_token_id", &c->pad_id, e);
}

/* Weights that other programs have quantised: gpt-oss's own blocks are read. */
static hg_status check_quantized(const json_t *o, hg_err *e)
{
    json_t *q = NULL;
    hg_bytes method = {"mxfp4", 5};
    HG_TRY(hg_json_opt_object(o, "quantization_config", &q, e));
    if (q == NULL) return HG_OK;
    HG_TRY(hg_json_opt_text(q, "quant_method", &method, e));
    if (method.n == 5 && memcmp(method.p, "mxfp4", 5) == 0) return HG_OK;
    return hg_fail(e, HG_E_UNSUPPORTED,
                   "quant_method \"%.*s\" is not known, mxfp4 is; take weights that are not "
                   "quantised, or a GGUF",
                   (int)(method.n < 32 ? method.n : 32), method.p);
}

static hg_status read_config(hg_model_config *c, hg_arch *row, const json_t *o, hg_err *e)
{
    hg_bytes type;
    char name[32];
    json_t *text = NULL;
    if (!json_is_object(o)) return hg_fail(e, HG_E_FORMAT, "it is no JSON object");
    HG_TRY(hg_json_opt_object(o, "text_config", &text, e));
    HG_TRY(hg_json_get_text(text != NULL ? text : o, "model_type", &type, e));
    (void)snprintf(name, sizeof name, "%.*s", (int)(type.n < sizeof name ? type.n : 0), type.p);
    const hg_arch *known = hg_arch_find(name);
    if (known == NULL) return hg_arch_unknown(type.p, type.n, e);
    HG_TRY(check_quantized(o, e));
    *row = *known;
    HG_TRY(read_row(c, row, text != NULL ? text : o, e));
    return get_whole(c, row, o, text != NULL ? text : o, e);
}

hg_status hg_config_parse(hg_model_config *c, hg_arch *row, hg_bytes json, hg_err *e)
{
    json_t *o = NULL;
    memset(c, 0, sizeof *c);
    HG_TRY(hg_json_parse(&o, json, HG_MAX_CONFIG, e));
    hg_status s = read_config(c, row, o, e);
    if (s == HG_OK) s = hg_config_check(c, row, e);
    json_decref(o);
    return s;
}

/* ---- writing ---- */

static void put_int(hg_json_out *o, const char *key, uint32_t v)
{
    if (key != NULL) hg_json_int(o, key, (int64_t)v);
}

static void put_id(hg_json_out *o, const char *key, int32_t id)
{
    if (id < 0)
        hg_json_null(o, key);
    else
        hg_json_int(o, key, id);
}

/* A float as a person would have written it: 1e-05 and not 9.99999974737875e-06, 10000.0 and not
 * 1e+04. */
static void put_float(hg_json_out *o, const char *key, float v)
{
    char text[32];
    bool is_whole = v >= 1.0f && v < 1e9f && (float)(int64_t)v == v;
    for (int digits = 1; digits <= 9; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, (double)v);
        if (strtof(text, NULL) == v) break;
    }
    if (is_whole) (void)snprintf(text, sizeof text, "%lld.0", (long long)v);
    hg_json_raw(o, key, (hg_bytes){text, strlen(text)});
}

static void opt_put_float(hg_json_out *o, const char *key, float v)
{
    if (key == NULL) return;
    if (v > 0.0f)
        put_float(o, key, v);
    else
        hg_json_null(o, key);
}

static void put_factors(hg_json_out *o, const char *key, const float *f, size_t n)
{
    hg_json_begin(o, key, '[');
    for (size_t i = 0; i < n; i++) put_float(o, NULL, f[i]);
    hg_json_end(o);
}

static void put_scaling(hg_json_out *o, const hg_model_config *c)
{
    const hg_rope_scaling *r = &c->rope_scaling;
    size_t n = c->d_rot / 2;
    bool is_long = r->kind == HG_ROPE_LONG;
    const char *kind = r->kind == HG_ROPE_LINEAR   ? "linear"
                       : r->kind == HG_ROPE_LLAMA3 ? "llama3"
                       : r->kind == HG_ROPE_YARN   ? "yarn"
                                                   : "longrope";
    hg_json_text(o, "rope_type", kind);
    /* Factors that are the same in every timeline are longrope with one list. */
    if (is_long || r->kind == HG_ROPE_FACTORS) {
        float attention = is_long ? r->attention_factor : 1.0f;
        if (attention > 0.0f) put_float(o, "attention_factor", attention);
        put_factors(o, "short_factor", r->short_factor, n);
        put_factors(o, "long_factor", is_long ? r->long_factor : r->short_factor, n);
        hg_json_int(o, "original_max_position_embeddings", is_long ? r->original_n_ctx : c->n_ctx);
        return;
    }
    put_float(o, "factor", r->factor);
    if (r->kind == HG_ROPE_LINEAR) return;
    hg_json_int(o, "original_max_position_embeddings", r->original_n_ctx);
    if (r->kind == HG_ROPE_LLAMA3) {
        put_float(o, "low_freq_factor", r->low_freq_factor);
        put_float(o, "high_freq_factor", r->high_freq_factor);
        return;
    }
    put_float(o, "beta_fast", r->beta_fast);
    put_float(o, "beta_slow", r->beta_slow);
    if (r->attention_factor > 0.0f) put_float(o, "attention_factor", r->attention_factor);
    hg_json_bool(o, "truncate", !r->blends_exactly);
}

static void put_rope(hg_json_out *o, const hg_model_config *c, const hg_config_keys *k)
{
    bool is_long = c->rope_scaling.kind == HG_ROPE_LONG;
    put_float(o, k->rope_theta, c->rope_theta);
    if (k->rope_theta_local != NULL && c->rope_theta_local > 0.0f)
        put_float(o, k->rope_theta_local, c->rope_theta_local);
    if (k->rotary_share != NULL)
        hg_json_number(o, k->rotary_share, (double)c->d_rot / (double)c->d_head);
    if (is_long) /* where transformers looks for it */
        hg_json_int(o, "original_max_position_embeddings", c->rope_scaling.original_n_ctx);
    if (c->rope_scaling.kind == HG_ROPE_PLAIN) {
        hg_json_null(o, "rope_scaling");
        return;
    }
    hg_json_begin(o, "rope_scaling", '{');
    put_scaling(o, c);
    hg_json_end(o);
}

static void put_window(hg_json_out *o, const hg_model *m)
{
    const hg_model_config *c = &m->c;
    const char *key = m->arch->keys->window;
    if (key == NULL && c->window > 0) {
        hg_json_bool(o, "use_sliding_window", true);
        key = "sliding_window";
    }
    if (key == NULL) return;
    if (c->window > 0)
        hg_json_int(o, key, c->window);
    else
        hg_json_null(o, key);
    if (c->window == 0 || (m->arch->global_every == 0 && hg_layers_are_none(&c->no_window))) return;
    hg_json_begin(o, "layer_types", '[');
    for (size_t i = 0; i < c->n_layers; i++)
        hg_json_text(o, NULL,
                     hg_layers_have(&c->no_window, i) ? "full_attention" : "sliding_attention");
    hg_json_end(o);
}

static void put_switches(hg_json_out *o, const hg_model *m)
{
    const hg_model_config *c = &m->c;
    const hg_config_keys *k = m->arch->keys;
    if (m->arch->positions == HG_POS_ROPE) {
        hg_json_bool(o, "attention_bias", m->arch->qkv_bias && m->arch->out_bias);
        hg_json_bool(o, "mlp_bias", m->arch->mlp_bias);
    }
    if (k->parallel != NULL) hg_json_bool(o, k->parallel, m->arch->is_parallel);
    if (k->attn_scalar != NULL)
        put_float(o, k->attn_scalar,
                  c->attn_scale > 0.0f ? 1.0f / (c->attn_scale * c->attn_scale) : (float)c->d_head);
    opt_put_float(o, k->attn_soft_cap, c->attn_soft_cap);
    opt_put_float(o, k->soft_cap, c->soft_cap);
    if (m->arch->no_rope_every > 0) {
        hg_json_begin(o, "no_rope_layers", '[');
        for (size_t i = 0; i < c->n_layers; i++)
            hg_json_int(o, NULL, !hg_layers_have(&c->no_rope, i));
        hg_json_end(o);
    }
    if (!m->arch->has_experts) return;
    hg_json_int(o, k->n_experts, c->n_experts);
    hg_json_int(o, "num_experts_per_tok", c->n_experts_used);
    if (k->norm_experts != NULL) hg_json_bool(o, k->norm_experts, !c->raw_expert_weights);
}

static const char *act_name(const hg_arch *a)
{
    for (size_t i = 0; i < N_ACTS; i++)
        if (acts[i].act == a->act) return acts[i].name;
    return acts[0].name;
}

static const char *torch_type(const hg_model *m, hg_weights as)
{
    switch (hg_type_plain(hg_param_type(m, m->embed), as)) {
    case HG_F16:
        return "float16";
    case HG_BF16:
        return "bfloat16";
    default:
        return "float32";
    }
}

hg_status hg_config_write(hg_buf *out, const hg_model *m, hg_weights as, hg_err *e)
{
    const hg_model_config *c = &m->c;
    const hg_config_keys *k = m->arch->keys;
    hg_json_out o;
    hg_json_out_init(&o, out, 2);
    hg_json_begin(&o, NULL, '{');
    hg_json_begin(&o, "architectures", '[');
    hg_json_text(&o, NULL, m->arch->hf_class);
    hg_json_end(&o);
    hg_json_text(&o, "model_type", m->arch->hf_type);
    put_int(&o, k->n_layers, c->n_layers);
    put_int(&o, k->d_model, c->d_model);
    put_int(&o, k->n_heads, c->n_heads);
    put_int(&o, k->n_kv_heads, c->n_kv_heads);
    put_int(&o, k->d_head, c->d_head);
    put_int(&o, k->d_ff, c->d_ff);
    put_int(&o, k->n_ctx, c->n_ctx);
    hg_json_int(&o, "vocab_size", c->n_vocab);
    put_float(&o, k->norm_eps, c->norm_eps);
    if (k->act != NULL) hg_json_text(&o, k->act, act_name(m->arch));
    if (m->arch->positions == HG_POS_ROPE) put_rope(&o, c, k);
    put_switches(&o, m);
    put_window(&o, m);
    hg_json_bool(&o, "tie_word_embeddings", c->tie_embeddings);
    put_id(&o, "bos_token_id", c->bos_id);
    put_id(&o, "eos_token_id", c->eos_id);
    put_id(&o, "pad_token_id", c->pad_id);
    hg_json_number(&o, "initializer_range", 0.02);
    hg_json_text(&o, "torch_dtype", torch_type(m, as));
    hg_json_bool(&o, "use_cache", true);
    hg_json_end(&o);
    hg_buf_putc(out, '\n');
    return hg_buf_status(out, e);
}
