/* config.json: what a Hugging Face folder says about its model. The row of the architecture knows
 * what the members are called; what cannot be computed here is refused, never passed over, because
 * a model that is computed a little differently talks nonsense without saying so. */
#include "model/inner.h"
#include "text/json.h"
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

static hg_status get_sizes(hg_model_config *c, const hg_config_keys *k, const json_t *o, hg_err *e)
{
    HG_TRY(get_count(o, k->n_layers, 0, HG_MAX_LAYERS, &c->n_layers, e));
    HG_TRY(get_count(o, k->d_model, 0, HG_MAX_D_MODEL, &c->d_model, e));
    HG_TRY(get_count(o, k->n_heads, 0, HG_MAX_HEADS, &c->n_heads, e));
    HG_TRY(get_count(o, k->n_kv_heads, c->n_heads, HG_MAX_HEADS, &c->n_kv_heads, e));
    if (c->d_model < c->n_heads)
        return hg_fail(e, HG_E_FORMAT, "%u heads of a model of %u values", c->n_heads, c->d_model);
    HG_TRY(get_count(o, k->d_head, c->d_model / c->n_heads, HG_MAX_D_MODEL, &c->d_head, e));
    /* GPT-2 leaves it out, or says null, and means four times the width. */
    HG_TRY(get_count(o, k->d_ff, k->usual_d_ff * c->d_model, 8 * HG_MAX_D_MODEL, &c->d_ff, e));
    HG_TRY(get_count(o, k->n_ctx, 2048, HG_MAX_CTX, &c->n_ctx, e));
    return get_count(o, "vocab_size", 0, HG_MAX_VOCAB, &c->n_vocab, e);
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

static hg_status get_float(const json_t *o, const char *key, float *out, hg_err *e)
{
    double v = 0;
    HG_TRY(hg_json_get_number(o, key, 1e-9, 1e12, &v, e));
    *out = (float)v;
    return HG_OK;
}

/* rope_scaling, or the rope_parameters of newer files, which hold theta as well. */
static hg_status get_rope(hg_model_config *c, const json_t *config, hg_err *e)
{
    double theta = 10000.0;
    json_t *o = NULL;
    hg_bytes kind = {"default", 7};
    HG_TRY(hg_json_opt_number(config, "rope_theta", 1e-3, 1e12, &theta, e));
    HG_TRY(hg_json_opt_object(config, "rope_scaling", &o, e));
    if (o == NULL) HG_TRY(hg_json_opt_object(config, "rope_parameters", &o, e));
    if (o != NULL) {
        HG_TRY(hg_json_opt_number(o, "rope_theta", 1e-3, 1e12, &theta, e));
        HG_TRY(hg_json_opt_text(o, "type", &kind, e));
        HG_TRY(hg_json_opt_text(o, "rope_type", &kind, e));
    }
    c->rope_theta = (float)theta;
    hg_rope_scaling *r = &c->rope_scaling;
    if (is_text(kind, "default")) return HG_OK;
    if (is_text(kind, "linear")) {
        r->kind = HG_ROPE_LINEAR;
        return get_float(o, "factor", &r->factor, e);
    }
    if (!is_text(kind, "llama3"))
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "rotary scaling \"%.*s\" is not known; default, linear and llama3 are",
                       (int)(kind.n < 32 ? kind.n : 32), kind.p);
    r->kind = HG_ROPE_LLAMA3;
    HG_TRY(get_float(o, "factor", &r->factor, e));
    HG_TRY(get_float(o, "low_freq_factor", &r->low_freq_factor, e));
    HG_TRY(get_float(o, "high_freq_factor", &r->high_freq_factor, e));
    if (r->high_freq_factor <= r->low_freq_factor)
        return hg_fail(e, HG_E_FORMAT, "high_freq_factor is not above low_freq_factor");
    return get_count(o, "original_max_position_embeddings", 0, HG_MAX_CTX, &r->original_n_ctx, e);
}

static hg_status get_act(hg_arch *row, const json_t *o, hg_err *e)
{
    hg_bytes act = {NULL, 0};
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

static hg_status get_window(hg_model_config *c, const json_t *o, hg_err *e)
{
    int64_t window = 0;
    bool used = strcmp(c->arch, "mistral") == 0;
    if (used) {
        HG_TRY(hg_json_opt_int(o, "sliding_window", 0, HG_MAX_CTX, &window, e));
        c->window = window < c->n_ctx ? (uint32_t)window : 0;
        return HG_OK;
    }
    /* Qwen's windows hold in some layers only. */
    HG_TRY(hg_json_opt_bool(o, "use_sliding_window", &used, e));
    if (used)
        return hg_fail(e, HG_E_UNSUPPORTED, "use_sliding_window of %s is not supported", c->arch);
    return HG_OK;
}

/* Members that change what is computed and that only some models of a family switch. */
static hg_status get_switches(hg_arch *row, const json_t *o, hg_err *e)
{
    static const struct {
        const char *key;
        bool usual;
    } fixed[] = {{"scale_attn_weights", true},
                 {"scale_attn_by_inverse_layer_idx", false},
                 {"add_cross_attention", false}};
    bool bias = false, mlp_bias = false;
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        bool v = fixed[i].usual;
        HG_TRY(hg_json_opt_bool(o, fixed[i].key, &v, e));
        if (v != fixed[i].usual)
            return hg_fail(e, HG_E_UNSUPPORTED, "%s of %s is not supported", fixed[i].key,
                           v ? "true" : "false");
    }
    HG_TRY(hg_json_opt_bool(o, "attention_bias", &bias, e));
    HG_TRY(hg_json_opt_bool(o, "mlp_bias", &mlp_bias, e));
    if (bias) row->qkv_bias = row->out_bias = true;
    if (mlp_bias) return hg_fail(e, HG_E_UNSUPPORTED, "mlp_bias of true is not supported");
    return get_act(row, o, e);
}

static hg_status read_config(hg_model_config *c, hg_arch *row, const json_t *o, hg_err *e)
{
    hg_bytes type;
    char name[32];
    if (!json_is_object(o)) return hg_fail(e, HG_E_FORMAT, "it is no JSON object");
    HG_TRY(hg_json_get_text(o, "model_type", &type, e));
    (void)snprintf(name, sizeof name, "%.*s", (int)(type.n < sizeof name ? type.n : 0), type.p);
    const hg_arch *known = hg_arch_find(name);
    if (known == NULL) return hg_arch_unknown(type.p, type.n, e);
    *row = *known;
    (void)snprintf(c->arch, sizeof c->arch, "%s", known->name);
    HG_TRY(get_sizes(c, known->keys, o, e));
    double eps = known->norm == HG_NORM_RMS ? 1e-6 : 1e-5;
    HG_TRY(hg_json_opt_number(o, known->keys->norm_eps, 1e-20, 1.0, &eps, e));
    c->norm_eps = (float)eps;
    c->tie_embeddings = known->tied_by_default;
    HG_TRY(hg_json_opt_bool(o, "tie_word_embeddings", &c->tie_embeddings, e));
    HG_TRY(get_id(o, "bos_token_id", &c->bos_id, e));
    HG_TRY(get_id(o, "eos_token_id", &c->eos_id, e));
    HG_TRY(get_id(o, "pad_token_id", &c->pad_id, e));
    if (known->positions == HG_POS_ROPE) HG_TRY(get_rope(c, o, e));
    HG_TRY(get_switches(row, o, e));
    return get_window(c, o, e);
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

static void put_rope(hg_json_out *o, const hg_model_config *c)
{
    const hg_rope_scaling *r = &c->rope_scaling;
    put_float(o, "rope_theta", c->rope_theta);
    if (r->kind == HG_ROPE_PLAIN) {
        hg_json_null(o, "rope_scaling");
        return;
    }
    hg_json_begin(o, "rope_scaling", '{');
    hg_json_text(o, "rope_type", r->kind == HG_ROPE_LINEAR ? "linear" : "llama3");
    put_float(o, "factor", r->factor);
    if (r->kind == HG_ROPE_LLAMA3) {
        put_float(o, "low_freq_factor", r->low_freq_factor);
        put_float(o, "high_freq_factor", r->high_freq_factor);
        hg_json_int(o, "original_max_position_embeddings", r->original_n_ctx);
    }
    hg_json_end(o);
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
    if (c->rope_scaling.kind == HG_ROPE_FACTORS)
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "config.json cannot say a GGUF's own factors of rotary frequencies");
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
    hg_json_text(&o, k->act, act_name(m->arch));
    if (m->arch->positions == HG_POS_ROPE) {
        put_rope(&o, c);
        hg_json_bool(&o, "attention_bias", m->arch->qkv_bias && m->arch->out_bias);
        hg_json_bool(&o, "mlp_bias", false);
    }
    if (strcmp(m->arch->name, "mistral") == 0) {
        if (c->window > 0)
            hg_json_int(&o, "sliding_window", c->window);
        else
            hg_json_null(&o, "sliding_window");
    }
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
