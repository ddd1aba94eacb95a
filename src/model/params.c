/* A model's parameters: which there are, their shapes, their first values before training.
 *
 * One table says for each role of the transformer where the model keeps it, its shape in terms of
 * the configuration, and how it begins; everything that walks over parameters (loading, saving, the
 * optimiser) walks over what is made here. First values as in GPT-2 (Radford et al. 2019): normal
 * with deviation 0.02, those that write to the residual stream smaller by 1/sqrt(2 n_layers), so
 * that the stream's variance does not grow with depth. */
#include "model/inner.h"
#include "base/rng.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef enum dim {
    D_NONE,
    D_VOCAB,
    D_CTX,
    D_MODEL,
    D_Q,
    D_KV,
    D_Q_NORM,
    D_K_NORM,
    D_HEADS,
    D_FF,
    D_EXPERTS
} dim;
typedef enum first { ONES, ZEROS, NORMAL, NORMAL_SMALL } first;

typedef struct role_row {
    const char *name; /* '#' stands for the layer, '@' for the expert */
    size_t offset;    /* in hg_mlp, hg_layer or hg_model: what the name is of */
    dim rows, cols;   /* cols D_NONE: a vector */
    first first;
} role_row;

#define IN_EXPERT(member) offsetof(hg_mlp, member)
#define IN_LAYER(member) offsetof(hg_layer, member)
#define IN_MODEL(member) offsetof(hg_model, member)

static const role_row roles[HG_N_ROLES] = {
    [HG_P_EMBED] = {"embed", IN_MODEL(embed), D_VOCAB, D_MODEL, NORMAL},
    [HG_P_POS] = {"pos_embed", IN_MODEL(pos_embed), D_CTX, D_MODEL, NORMAL},
    [HG_P_ATTN_NORM] = {"blk.#.attn_norm", IN_LAYER(attn_norm), D_MODEL, D_NONE, ONES},
    [HG_P_ATTN_NORM_B] = {"blk.#.attn_norm_b", IN_LAYER(attn_norm_b), D_MODEL, D_NONE, ZEROS},
    [HG_P_Q] = {"blk.#.q", IN_LAYER(q), D_Q, D_MODEL, NORMAL},
    [HG_P_K] = {"blk.#.k", IN_LAYER(k), D_KV, D_MODEL, NORMAL},
    [HG_P_V] = {"blk.#.v", IN_LAYER(v), D_KV, D_MODEL, NORMAL},
    [HG_P_Q_B] = {"blk.#.q_b", IN_LAYER(q_b), D_Q, D_NONE, ZEROS},
    [HG_P_K_B] = {"blk.#.k_b", IN_LAYER(k_b), D_KV, D_NONE, ZEROS},
    [HG_P_V_B] = {"blk.#.v_b", IN_LAYER(v_b), D_KV, D_NONE, ZEROS},
    [HG_P_Q_NORM] = {"blk.#.q_norm", IN_LAYER(q_norm), D_Q_NORM, D_NONE, ONES},
    [HG_P_K_NORM] = {"blk.#.k_norm", IN_LAYER(k_norm), D_K_NORM, D_NONE, ONES},
    [HG_P_SINKS] = {"blk.#.sinks", IN_LAYER(sinks), D_HEADS, D_NONE, ZEROS},
    [HG_P_O] = {"blk.#.o", IN_LAYER(o), D_MODEL, D_Q, NORMAL_SMALL},
    [HG_P_O_B] = {"blk.#.o_b", IN_LAYER(o_b), D_MODEL, D_NONE, ZEROS},
    [HG_P_ATTN_POST_NORM] = {"blk.#.attn_post_norm", IN_LAYER(attn_post_norm), D_MODEL, D_NONE,
                             ONES},
    [HG_P_MLP_NORM] = {"blk.#.mlp_norm", IN_LAYER(mlp_norm), D_MODEL, D_NONE, ONES},
    [HG_P_MLP_NORM_B] = {"blk.#.mlp_norm_b", IN_LAYER(mlp_norm_b), D_MODEL, D_NONE, ZEROS},
    [HG_P_GATE] = {"blk.#.gate", IN_LAYER(mlp.gate), D_FF, D_MODEL, NORMAL},
    [HG_P_GATE_B] = {"blk.#.gate_b", IN_LAYER(mlp.gate_b), D_FF, D_NONE, ZEROS},
    [HG_P_UP] = {"blk.#.up", IN_LAYER(mlp.up), D_FF, D_MODEL, NORMAL},
    [HG_P_UP_B] = {"blk.#.up_b", IN_LAYER(mlp.up_b), D_FF, D_NONE, ZEROS},
    [HG_P_DOWN] = {"blk.#.down", IN_LAYER(mlp.down), D_MODEL, D_FF, NORMAL_SMALL},
    [HG_P_DOWN_B] = {"blk.#.down_b", IN_LAYER(mlp.down_b), D_MODEL, D_NONE, ZEROS},
    [HG_P_MLP_POST_NORM] = {"blk.#.mlp_post_norm", IN_LAYER(mlp_post_norm), D_MODEL, D_NONE, ONES},
    [HG_P_ROUTER] = {"blk.#.router", IN_LAYER(router), D_EXPERTS, D_MODEL, NORMAL},
    [HG_P_ROUTER_B] = {"blk.#.router_b", IN_LAYER(router_b), D_EXPERTS, D_NONE, ZEROS},
    [HG_P_EXPERT_GATE] = {"blk.#.@.gate", IN_EXPERT(gate), D_FF, D_MODEL, NORMAL},
    [HG_P_EXPERT_GATE_B] = {"blk.#.@.gate_b", IN_EXPERT(gate_b), D_FF, D_NONE, ZEROS},
    [HG_P_EXPERT_UP] = {"blk.#.@.up", IN_EXPERT(up), D_FF, D_MODEL, NORMAL},
    [HG_P_EXPERT_UP_B] = {"blk.#.@.up_b", IN_EXPERT(up_b), D_FF, D_NONE, ZEROS},
    [HG_P_EXPERT_DOWN] = {"blk.#.@.down", IN_EXPERT(down), D_MODEL, D_FF, NORMAL_SMALL},
    [HG_P_EXPERT_DOWN_B] = {"blk.#.@.down_b", IN_EXPERT(down_b), D_MODEL, D_NONE, ZEROS},
    [HG_P_FINAL_NORM] = {"final_norm", IN_MODEL(final_norm), D_MODEL, D_NONE, ONES},
    [HG_P_FINAL_NORM_B] = {"final_norm_b", IN_MODEL(final_norm_b), D_MODEL, D_NONE, ZEROS},
    [HG_P_HEAD] = {"head", IN_MODEL(head), D_VOCAB, D_MODEL, NORMAL},
};

/* One parameter of a model: its role, layer and expert. */
typedef struct place {
    hg_role role;
    size_t layer, expert;
} place;

bool hg_role_is_per_layer(hg_role s)
{
    return s >= HG_P_ATTN_NORM && s <= HG_P_EXPERT_DOWN_B;
}

bool hg_role_is_per_expert(hg_role s)
{
    return s >= HG_P_EXPERT_GATE && s <= HG_P_EXPERT_DOWN_B;
}

/* Where the model keeps a parameter. */
static const char *slot_of(const hg_model *m, hg_role s, size_t layer, size_t expert)
{
    const char *base = (const char *)m;
    if (hg_role_is_per_expert(s))
        base = (const char *)&m->layer[layer].expert[expert];
    else if (hg_role_is_per_layer(s))
        base = (const char *)&m->layer[layer];
    return base + roles[s].offset;
}

hg_tensor *hg_model_at(const hg_model *m, hg_role s, size_t layer, size_t expert)
{
    if (hg_role_is_per_expert(s) && expert >= m->c.n_experts) return NULL;
    return *(hg_tensor *const *)(const void *)slot_of(m, s, layer, expert);
}

static void set_at(hg_model *m, const place *at, hg_tensor *t)
{
    *(hg_tensor **)(uintptr_t)slot_of(m, at->role, at->layer, at->expert) = t;
}

/* Whether an architecture has the role at all. */
static bool has_role(const hg_arch *a, const hg_model_config *c, hg_role s)
{
    switch (s) {
    case HG_P_POS:
        return a->positions == HG_POS_LEARNED;
    case HG_P_ATTN_NORM:
    case HG_P_MLP_NORM:
        return a->norm_place != HG_NORM_AFTER;
    case HG_P_ATTN_POST_NORM:
    case HG_P_MLP_POST_NORM:
        return a->norm_place != HG_NORM_BEFORE;
    case HG_P_ATTN_NORM_B:
    case HG_P_MLP_NORM_B:
    case HG_P_FINAL_NORM_B:
        return a->norm == HG_NORM_LAYER;
    case HG_P_Q_B:
    case HG_P_K_B:
    case HG_P_V_B:
        return a->qkv_bias;
    case HG_P_Q_NORM:
    case HG_P_K_NORM:
        return a->qk_norm != HG_QK_PLAIN;
    case HG_P_SINKS:
        return a->has_sinks;
    case HG_P_O_B:
        return a->out_bias;
    case HG_P_GATE:
        return a->is_gated && !a->has_experts;
    case HG_P_GATE_B:
        return a->is_gated && a->mlp_bias && !a->has_experts;
    case HG_P_UP:
    case HG_P_DOWN:
        return !a->has_experts;
    case HG_P_UP_B:
    case HG_P_DOWN_B:
        return a->mlp_bias && !a->has_experts;
    case HG_P_ROUTER:
    case HG_P_EXPERT_GATE:
    case HG_P_EXPERT_UP:
    case HG_P_EXPERT_DOWN:
        return a->has_experts;
    case HG_P_ROUTER_B:
        return a->has_experts && a->router_bias;
    case HG_P_EXPERT_GATE_B:
    case HG_P_EXPERT_UP_B:
    case HG_P_EXPERT_DOWN_B:
        return a->has_experts && a->mlp_bias;
    case HG_P_HEAD:
        return !c->tie_embeddings;
    default:
        return true;
    }
}

static size_t dim_of(const hg_arch *a, const hg_model_config *c, dim d)
{
    switch (d) {
    case D_VOCAB:
        return c->n_vocab;
    case D_CTX:
        return c->n_ctx;
    case D_MODEL:
        return c->d_model;
    case D_Q:
        return (size_t)c->n_heads * c->d_head;
    case D_KV:
        return (size_t)c->n_kv_heads * c->d_head;
    case D_Q_NORM:
        return a->qk_norm == HG_QK_ROWS ? (size_t)c->n_heads * c->d_head : c->d_head;
    case D_K_NORM:
        return a->qk_norm == HG_QK_ROWS ? (size_t)c->n_kv_heads * c->d_head : c->d_head;
    case D_HEADS:
        return c->n_heads;
    case D_FF:
        return c->d_ff;
    case D_EXPERTS:
        return c->n_experts;
    case D_NONE:
        break;
    }
    return 1;
}

static hg_status check_range(const char *what, uint32_t v, uint32_t max, hg_err *e)
{
    if (v == 0) return hg_fail(e, HG_E_ARG, "a model with %s of 0; at least 1 is needed", what);
    if (v > max)
        return hg_fail(e, HG_E_LIMIT, "a model with %s of %u; %u is the most", what, v, max);
    return HG_OK;
}

/* From here to hg_config_check: what is checked of a configuration, a topic each. */
static hg_status check_heads(hg_model_config *c, const hg_arch *row, hg_err *e)
{
    if (c->n_kv_heads == 0) c->n_kv_heads = c->n_heads;
    if (c->d_head == 0 && c->n_heads > 0) {
        if (c->d_model % c->n_heads != 0)
            return hg_fail(e, HG_E_ARG, "d_model of %u cannot be shared by %u heads", c->d_model,
                           c->n_heads);
        c->d_head = c->d_model / c->n_heads;
    }
    if (c->d_rot == 0 || row->positions != HG_POS_ROPE) c->d_rot = c->d_head;
    HG_TRY(check_range("n_heads", c->n_heads, HG_MAX_HEADS, e));
    HG_TRY(check_range("n_kv_heads", c->n_kv_heads, HG_MAX_HEADS, e));
    HG_TRY(check_range("d_head", c->d_head, HG_MAX_D_MODEL, e));
    if (c->n_heads % c->n_kv_heads != 0)
        return hg_fail(e, HG_E_ARG, "%u heads cannot share %u key/value heads; a divisor is needed",
                       c->n_heads, c->n_kv_heads);
    if (row->keys->n_kv_heads == NULL && c->n_kv_heads != c->n_heads)
        return hg_fail(e, HG_E_ARG, "%u key/value heads for %u heads; a %s model has as many",
                       c->n_kv_heads, c->n_heads, row->name);
    if (row->positions == HG_POS_ROPE && c->d_rot % 2 != 0)
        return hg_fail(e, HG_E_ARG, "heads of %u values; rotary positions need an even number",
                       c->d_rot);
    if (c->d_rot > c->d_head)
        return hg_fail(e, HG_E_ARG, "%u of a head's %u values are to be turned; all is the most",
                       c->d_rot, c->d_head);
    return HG_OK;
}

static hg_status check_experts(const hg_model_config *c, const hg_arch *row, hg_err *e)
{
    if (!row->has_experts && c->n_experts + c->n_experts_used > 0)
        return hg_fail(e, HG_E_ARG, "%u experts; the %s architecture has none", c->n_experts,
                       row->name);
    if (!row->has_experts) return HG_OK;
    HG_TRY(check_range("n_experts", c->n_experts, HG_MAX_EXPERTS, e));
    if ((uint64_t)c->n_experts * c->n_layers > HG_MAX_ALL_EXPERTS)
        return hg_fail(e, HG_E_LIMIT, "%u layers of %u experts; %d experts in all are the most",
                       c->n_layers, c->n_experts, HG_MAX_ALL_EXPERTS);
    if (c->n_experts_used == 0 || c->n_experts_used > c->n_experts)
        return hg_fail(e, HG_E_ARG, "a token is to use %u of %u experts; 1 to %u can be used",
                       c->n_experts_used, c->n_experts, c->n_experts);
    return HG_OK;
}

static bool is_positive(float v)
{
    return v > 0.0f && isfinite(v);
}

static hg_status check_factors(const float *f, size_t n, hg_err *e)
{
    if (n > HG_MAX_ROPE_PAIRS)
        return hg_fail(e, HG_E_LIMIT, "factors of %zu rotary frequencies; %d are the most", n,
                       HG_MAX_ROPE_PAIRS);
    for (size_t i = 0; i < n; i++)
        if (!is_positive(f[i]))
            return hg_fail(e, HG_E_FORMAT, "rotary factor %zu is %g; it must be above 0", i,
                           (double)f[i]);
    return HG_OK;
}

static hg_status check_rope(const hg_model_config *c, hg_err *e)
{
    const hg_rope_scaling *r = &c->rope_scaling;
    bool by_factor =
        r->kind == HG_ROPE_LINEAR || r->kind == HG_ROPE_LLAMA3 || r->kind == HG_ROPE_YARN;
    bool by_context =
        r->kind == HG_ROPE_LLAMA3 || r->kind == HG_ROPE_YARN || r->kind == HG_ROPE_LONG;
    if (by_factor && !is_positive(r->factor))
        return hg_fail(e, HG_E_ARG, "rotary scaling by %g; the factor must be above 0",
                       (double)r->factor);
    if (by_context && (r->original_n_ctx == 0 || r->original_n_ctx > HG_MAX_CTX))
        return hg_fail(e, HG_E_ARG, "rotary scaling from a context of %u; 1 to %d are possible",
                       r->original_n_ctx, HG_MAX_CTX);
    if (r->kind == HG_ROPE_LLAMA3 &&
        (!is_positive(r->low_freq_factor) || !(r->high_freq_factor > r->low_freq_factor)))
        return hg_fail(e, HG_E_FORMAT, "high_freq_factor is not above low_freq_factor");
    if (r->kind == HG_ROPE_YARN &&
        (!is_positive(r->beta_fast) || !is_positive(r->beta_slow) || !(c->rope_theta > 1.0f)))
        return hg_fail(e, HG_E_ARG,
                       "yarn with beta_fast %g, beta_slow %g and rope_theta %g; the first two must "
                       "be above 0, the last above 1",
                       (double)r->beta_fast, (double)r->beta_slow, (double)c->rope_theta);
    if (!(r->attention_factor >= 0.0f) || !isfinite(r->attention_factor))
        return hg_fail(e, HG_E_ARG, "attention_factor of %g; it must be above 0",
                       (double)r->attention_factor);
    if (r->kind == HG_ROPE_FACTORS || r->kind == HG_ROPE_LONG)
        HG_TRY(check_factors(r->short_factor, c->d_rot / 2, e));
    return r->kind == HG_ROPE_LONG ? check_factors(r->long_factor, c->d_rot / 2, e) : HG_OK;
}

static hg_status check_numbers(hg_model_config *c, hg_err *e)
{
    if (c->norm_eps == 0.0f) c->norm_eps = 1e-5f;
    if (c->rope_theta == 0.0f) c->rope_theta = 10000.0f;
    if (!(c->norm_eps > 0.0f && c->norm_eps < 1.0f) || !is_positive(c->rope_theta))
        return hg_fail(e, HG_E_ARG, "norm_eps of %g, rope_theta of %g; both must be above 0",
                       (double)c->norm_eps, (double)c->rope_theta);
    const struct {
        const char *name;
        float v;
    } may_be_0[] = {{"rope_theta_local", c->rope_theta_local},
                    {"attn_scale", c->attn_scale},
                    {"attn_soft_cap", c->attn_soft_cap},
                    {"soft_cap", c->soft_cap}};
    for (size_t i = 0; i < sizeof may_be_0 / sizeof may_be_0[0]; i++)
        if (!(may_be_0[i].v >= 0.0f) || !isfinite(may_be_0[i].v))
            return hg_fail(e, HG_E_ARG, "%s of %g; it must be above 0", may_be_0[i].name,
                           (double)may_be_0[i].v);
    return HG_OK;
}

hg_status hg_config_check(hg_model_config *c, const hg_arch *row, hg_err *e)
{
    HG_TRY(check_heads(c, row, e));
    HG_TRY(check_numbers(c, e));
    HG_TRY(check_range("n_layers", c->n_layers, HG_MAX_LAYERS, e));
    HG_TRY(check_range("d_model", c->d_model, HG_MAX_D_MODEL, e));
    HG_TRY(check_range("d_ff", c->d_ff, HG_MAX_D_MODEL * 8, e));
    HG_TRY(check_range("n_vocab", c->n_vocab, HG_MAX_VOCAB, e));
    HG_TRY(check_range("n_ctx", c->n_ctx, HG_MAX_CTX, e));
    if (c->window > HG_MAX_CTX)
        return hg_fail(e, HG_E_LIMIT, "a window of %u; %d is the most", c->window, HG_MAX_CTX);
    HG_TRY(check_experts(c, row, e));
    if (row->positions == HG_POS_ROPE) HG_TRY(check_rope(c, e));
    int32_t *id[] = {&c->bos_id, &c->eos_id, &c->pad_id};
    for (size_t i = 0; i < 3; i++)
        if (*id[i] < 0 || (uint32_t)*id[i] >= c->n_vocab) *id[i] = -1;
    const uint32_t n_ends = c->n_ends;
    c->n_ends = 0;
    for (uint32_t i = 0; i < n_ends; i++) hg_config_add_end(c, c->end_id[i]);
    return HG_OK;
}

static size_t add_place(const hg_arch *a, const hg_model_config *c, place p, place *out, size_t n)
{
    if (!has_role(a, c, p.role)) return n;
    if (out != NULL) out[n] = p;
    return n + 1;
}

static size_t add_layer(const hg_arch *a, const hg_model_config *c, size_t layer, place *out,
                        size_t n)
{
    for (hg_role s = HG_P_ATTN_NORM; s < HG_P_EXPERT_GATE; s++)
        n = add_place(a, c, (place){s, layer, 0}, out, n);
    for (size_t expert = 0; expert < c->n_experts; expert++)
        for (hg_role s = HG_P_EXPERT_GATE; s <= HG_P_EXPERT_DOWN_B; s++)
            n = add_place(a, c, (place){s, layer, expert}, out, n);
    return n;
}

/* All of them in the order of a forward pass, into `out` unless it is NULL. Returns how many. */
static size_t list_places(const hg_arch *a, const hg_model_config *c, place *out)
{
    size_t n = 0;
    for (hg_role s = 0; s < HG_P_ATTN_NORM; s++) n = add_place(a, c, (place){s, 0, 0}, out, n);
    for (size_t layer = 0; layer < c->n_layers; layer++) n = add_layer(a, c, layer, out, n);
    for (hg_role s = HG_P_FINAL_NORM; s < HG_N_ROLES; s++)
        n = add_place(a, c, (place){s, 0, 0}, out, n);
    return n;
}

uint64_t hg_arch_count(const hg_arch *a, const hg_model_config *c)
{
    uint64_t n = 0;
    for (hg_role s = 0; s < HG_N_ROLES; s++) {
        uint64_t times = hg_role_is_per_layer(s) ? c->n_layers : 1;
        if (hg_role_is_per_expert(s)) times *= c->n_experts;
        if (has_role(a, c, s))
            n += times * dim_of(a, c, roles[s].rows) * dim_of(a, c, roles[s].cols);
    }
    return n;
}

/* `name` with a number for the mark. */
static void put_number(char name[HG_MAX_NAME], char mark, size_t number)
{
    char rest[HG_MAX_NAME];
    char *at = strchr(name, mark);
    if (at == NULL) return;
    (void)snprintf(rest, sizeof rest, "%s", at + 1);
    (void)snprintf(at, HG_MAX_NAME - (size_t)(at - name), "%zu%s", number, rest);
}

void hg_name_at(char out[HG_MAX_NAME], const char *pattern, size_t layer, size_t expert)
{
    (void)snprintf(out, HG_MAX_NAME, "%s", pattern);
    put_number(out, '#', layer);
    put_number(out, '@', expert);
}

static hg_status make_tensors(hg_model *m, hg_err *e)
{
    m->n_params = list_places(m->arch, &m->c, NULL);
    place *places = HG_NEW(&m->mem, place, m->n_params);
    m->layer = HG_NEW(&m->mem, hg_layer, m->c.n_layers);
    m->tensors = HG_NEW(&m->mem, hg_tensor, m->n_params);
    m->param = HG_NEW(&m->mem, hg_tensor *, m->n_params);
    hg_mlp *experts = HG_NEW(&m->mem, hg_mlp, (size_t)m->c.n_layers * m->c.n_experts);
    if (places == NULL || m->layer == NULL || m->tensors == NULL || m->param == NULL ||
        experts == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for the list of %zu parameters", m->n_params);
    for (size_t l = 0; l < m->c.n_layers && m->c.n_experts > 0; l++)
        m->layer[l].expert = experts + l * m->c.n_experts;
    (void)list_places(m->arch, &m->c, places);
    for (size_t i = 0; i < m->n_params; i++) {
        const role_row *s = &roles[places[i].role];
        char name[HG_MAX_NAME];
        hg_name_at(name, s->name, places[i].layer, places[i].expert);
        hg_tensor *t = m->param[i] = &m->tensors[i];
        t->name = hg_arena_strndup(&m->mem, name, strlen(name));
        if (t->name == NULL) return hg_fail(e, HG_E_NOMEM, "no room for names");
        t->type = HG_F32;
        t->is_param = true;
        t->n_dims = s->cols == D_NONE ? 1 : 2;
        t->dim[0] = dim_of(m->arch, &m->c, s->rows);
        if (t->n_dims == 2) t->dim[1] = dim_of(m->arch, &m->c, s->cols);
        set_at(m, &places[i], t);
    }
    if (m->head == NULL) m->head = m->embed;
    return HG_OK;
}

/* What each layer sees, and how it is told positions. */
static void set_layers(hg_model *m)
{
    const hg_model_config *c = &m->c;
    for (size_t i = 0; i < c->n_layers; i++) {
        hg_layer *l = &m->layer[i];
        l->window = hg_layers_have(&c->no_window, i) ? 0 : c->window;
        l->rope = l->window > 0 && c->rope_theta_local > 0.0f ? HG_ROPE_LOCAL : HG_ROPE_GLOBAL;
        if (m->arch->positions != HG_POS_ROPE || hg_layers_have(&c->no_rope, i)) l->rope = -1;
    }
}

hg_status hg_model_make(hg_model **out, const hg_model_config *c, const hg_arch *row, hg_err *e)
{
    *out = NULL;
    hg_model_config checked = *c;
    HG_TRY(hg_config_check(&checked, row, e));
    hg_model *m = hg_alloc(1, sizeof *m);
    if (m == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a model");
    hg_arena_init(&m->mem, 0);
    hg_kernels_init(&m->k, hg_isa_detect());
    m->c = checked;
    hg_status s = HG_OK;
    hg_arch *own = HG_NEW(&m->mem, hg_arch, 1);
    if (own == NULL || !hg_rope_fill(m)) {
        s = hg_fail(e, HG_E_NOMEM, "no room for a model");
    } else {
        *own = *row;
        m->arch = own;
        (void)snprintf(m->c.arch, sizeof m->c.arch, "%s", row->name);
        s = make_tensors(m, e);
        if (s == HG_OK) set_layers(m);
    }
    if (s != HG_OK)
        hg_model_free(m);
    else
        *out = m;
    return s;
}

hg_status hg_model_make_trainable(hg_model *m, bool is_frozen, hg_err *e)
{
    for (size_t i = 0; i < m->n_params; i++) {
        hg_tensor *t = m->param[i];
        size_t n = hg_tensor_count(t);
        t->type = HG_F32;
        t->needs_grad = !is_frozen;
        t->data = HG_NEW(&m->mem, float, n);
        if (!is_frozen) t->grad = HG_NEW(&m->mem, float, n);
        if (t->data == NULL || (!is_frozen && t->grad == NULL))
            return hg_fail(e, HG_E_NOMEM, "no room for %s: %zu values and their gradients", t->name,
                           n);
        m->n_bytes += n * sizeof(float);
    }
    return HG_OK;
}

/* Each parameter draws from a stream of its own: the same whatever else the model has. */
static void fill_first(const hg_model *m, const place *p, size_t i, uint64_t seed)
{
    const role_row *s = &roles[p->role];
    float *w = m->param[i]->data;
    size_t n = hg_tensor_count(m->param[i]);
    if (s->first == ZEROS) return;
    double std = 0.02;
    if (s->first == NORMAL_SMALL) std /= sqrt(2.0 * m->c.n_layers);
    hg_rng r;
    hg_rng_init(&r, seed, i);
    for (size_t j = 0; j < n; j++)
        w[j] = s->first == ONES ? 1.0f : (float)(std * hg_rng_normal(&r));
}

/* What a new model of the row has where the caller leaves it open. */
static hg_model_config filled(const hg_model_config *c, const hg_arch *row)
{
    hg_model_config f = *c;
    const hg_model_config *usual = row->keys->usual;
    if (usual != NULL) {
        if (f.window == 0) f.window = usual->window;
        if (f.attn_soft_cap == 0.0f) f.attn_soft_cap = usual->attn_soft_cap;
        if (f.soft_cap == 0.0f) f.soft_cap = usual->soft_cap;
        if (f.rope_theta_local == 0.0f) f.rope_theta_local = usual->rope_theta_local;
    }
    size_t n = f.n_layers < HG_MAX_LAYERS ? f.n_layers : HG_MAX_LAYERS;
    if (hg_layers_are_none(&f.no_window)) hg_layers_every(&f.no_window, row->global_every, n);
    if (hg_layers_are_none(&f.no_rope)) hg_layers_every(&f.no_rope, row->no_rope_every, n);
    return f;
}

hg_status hg_model_new(hg_model **out, const hg_model_config *c, uint64_t seed, hg_err *e)
{
    *out = NULL;
    const hg_arch *row = hg_arch_find(c->arch);
    if (row == NULL) return hg_arch_unknown(c->arch, strlen(c->arch), e);
    hg_model *m = NULL;
    const hg_model_config f = filled(c, row);
    HG_TRY(hg_model_make(&m, &f, row, e));
    hg_status s = hg_model_make_trainable(m, false, e);
    place *places = HG_NEW(&m->mem, place, m->n_params);
    if (s == HG_OK && places == NULL) s = hg_fail(e, HG_E_NOMEM, "no room for a model");
    if (s != HG_OK) {
        hg_model_free(m);
        return s;
    }
    (void)list_places(m->arch, &m->c, places);
    for (size_t i = 0; i < m->n_params; i++) fill_first(m, &places[i], i, seed);
    *out = m;
    return HG_OK;
}

hg_status hg_model_config_count(const hg_model_config *c, uint64_t *n_params, hg_err *e)
{
    const hg_arch *row = hg_arch_find(c->arch);
    *n_params = 0;
    if (row == NULL) return hg_arch_unknown(c->arch, strlen(c->arch), e);
    hg_model_config checked = *c;
    HG_TRY(hg_config_check(&checked, row, e));
    *n_params = hg_arch_count(row, &checked);
    return HG_OK;
}
