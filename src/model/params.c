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

typedef enum dim { D_NONE, D_VOCAB, D_CTX, D_MODEL, D_Q, D_KV, D_HEAD, D_FF } dim;
typedef enum first { ONES, ZEROS, NORMAL, NORMAL_SMALL } first;

typedef struct role_row {
    const char *name; /* '#' stands for the layer */
    size_t offset;    /* in hg_layer when the name has a layer, else in hg_model */
    dim rows, cols;   /* cols D_NONE: a vector */
    first first;
} role_row;

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
    [HG_P_Q_NORM] = {"blk.#.q_norm", IN_LAYER(q_norm), D_HEAD, D_NONE, ONES},
    [HG_P_K_NORM] = {"blk.#.k_norm", IN_LAYER(k_norm), D_HEAD, D_NONE, ONES},
    [HG_P_O] = {"blk.#.o", IN_LAYER(o), D_MODEL, D_Q, NORMAL_SMALL},
    [HG_P_O_B] = {"blk.#.o_b", IN_LAYER(o_b), D_MODEL, D_NONE, ZEROS},
    [HG_P_MLP_NORM] = {"blk.#.mlp_norm", IN_LAYER(mlp_norm), D_MODEL, D_NONE, ONES},
    [HG_P_MLP_NORM_B] = {"blk.#.mlp_norm_b", IN_LAYER(mlp_norm_b), D_MODEL, D_NONE, ZEROS},
    [HG_P_GATE] = {"blk.#.gate", IN_LAYER(gate), D_FF, D_MODEL, NORMAL},
    [HG_P_UP] = {"blk.#.up", IN_LAYER(up), D_FF, D_MODEL, NORMAL},
    [HG_P_UP_B] = {"blk.#.up_b", IN_LAYER(up_b), D_FF, D_NONE, ZEROS},
    [HG_P_DOWN] = {"blk.#.down", IN_LAYER(down), D_MODEL, D_FF, NORMAL_SMALL},
    [HG_P_DOWN_B] = {"blk.#.down_b", IN_LAYER(down_b), D_MODEL, D_NONE, ZEROS},
    [HG_P_FINAL_NORM] = {"final_norm", IN_MODEL(final_norm), D_MODEL, D_NONE, ONES},
    [HG_P_FINAL_NORM_B] = {"final_norm_b", IN_MODEL(final_norm_b), D_MODEL, D_NONE, ZEROS},
    [HG_P_HEAD] = {"head", IN_MODEL(head), D_VOCAB, D_MODEL, NORMAL},
};

/* One parameter of a model: its role and layer. */
typedef struct place {
    hg_role role;
    size_t layer;
} place;

bool hg_role_is_per_layer(hg_role s)
{
    return s >= HG_P_ATTN_NORM && s <= HG_P_DOWN_B;
}

hg_tensor *hg_model_at(const hg_model *m, hg_role s, size_t layer)
{
    const char *base = hg_role_is_per_layer(s) ? (const char *)&m->layer[layer] : (const char *)m;
    return *(hg_tensor *const *)(const void *)(base + roles[s].offset);
}

static void set_at(hg_model *m, const place *at, hg_tensor *t)
{
    char *base = hg_role_is_per_layer(at->role) ? (char *)&m->layer[at->layer] : (char *)m;
    *(hg_tensor **)(void *)(base + roles[at->role].offset) = t;
}

/* Whether an architecture has the role at all. */
static bool has_role(const hg_arch *a, const hg_model_config *c, hg_role s)
{
    switch (s) {
    case HG_P_POS:
        return a->positions == HG_POS_LEARNED;
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
        return a->qk_norm;
    case HG_P_O_B:
        return a->out_bias;
    case HG_P_GATE:
        return a->is_gated;
    case HG_P_UP_B:
    case HG_P_DOWN_B:
        return a->mlp_bias;
    case HG_P_HEAD:
        return !c->tie_embeddings;
    default:
        return true;
    }
}

static size_t dim_of(const hg_model_config *c, dim d)
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
    case D_HEAD:
        return c->d_head;
    case D_FF:
        return c->d_ff;
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

hg_status hg_config_check(hg_model_config *c, const hg_arch *row, hg_err *e)
{
    if (c->n_kv_heads == 0) c->n_kv_heads = c->n_heads;
    if (c->d_head == 0 && c->n_heads > 0) {
        if (c->d_model % c->n_heads != 0)
            return hg_fail(e, HG_E_ARG, "d_model of %u cannot be shared by %u heads", c->d_model,
                           c->n_heads);
        c->d_head = c->d_model / c->n_heads;
    }
    if (c->norm_eps == 0.0f) c->norm_eps = 1e-5f;
    if (c->rope_theta == 0.0f) c->rope_theta = 10000.0f;
    HG_TRY(check_range("n_layers", c->n_layers, HG_MAX_LAYERS, e));
    HG_TRY(check_range("d_model", c->d_model, HG_MAX_D_MODEL, e));
    HG_TRY(check_range("n_heads", c->n_heads, HG_MAX_HEADS, e));
    HG_TRY(check_range("n_kv_heads", c->n_kv_heads, HG_MAX_HEADS, e));
    HG_TRY(check_range("d_head", c->d_head, HG_MAX_D_MODEL, e));
    HG_TRY(check_range("d_ff", c->d_ff, HG_MAX_D_MODEL * 8, e));
    HG_TRY(check_range("n_vocab", c->n_vocab, HG_MAX_VOCAB, e));
    HG_TRY(check_range("n_ctx", c->n_ctx, HG_MAX_CTX, e));
    if (c->n_heads % c->n_kv_heads != 0)
        return hg_fail(e, HG_E_ARG, "%u heads cannot share %u key/value heads; a divisor is needed",
                       c->n_heads, c->n_kv_heads);
    if (row->positions == HG_POS_ROPE && c->d_head % 2 != 0)
        return hg_fail(e, HG_E_ARG, "heads of %u values; rotary positions need an even number",
                       c->d_head);
    if (!(c->norm_eps > 0.0f && c->norm_eps < 1.0f) || !(c->rope_theta > 0.0f) ||
        !isfinite(c->rope_theta))
        return hg_fail(e, HG_E_ARG, "norm_eps of %g, rope_theta of %g; both must be above 0",
                       (double)c->norm_eps, (double)c->rope_theta);
    int32_t *id[] = {&c->bos_id, &c->eos_id, &c->pad_id};
    for (size_t i = 0; i < 3; i++)
        if (*id[i] < 0 || (uint32_t)*id[i] >= c->n_vocab) *id[i] = -1;
    return HG_OK;
}

/* All of them in the order of a forward pass, into `out` unless it is NULL. Returns how many. */
static size_t list_places(const hg_arch *a, const hg_model_config *c, place *out)
{
    size_t n = 0;
    for (hg_role s = 0; s < HG_N_ROLES;) {
        hg_role end = s + 1;
        while (hg_role_is_per_layer(s) && hg_role_is_per_layer(end)) end++;
        size_t times = hg_role_is_per_layer(s) ? c->n_layers : 1;
        for (size_t layer = 0; layer < times; layer++)
            for (hg_role t = s; t < end; t++) {
                if (!has_role(a, c, t)) continue;
                if (out != NULL) out[n] = (place){t, layer};
                n++;
            }
        s = end;
    }
    return n;
}

void hg_name_at(char out[HG_MAX_NAME], const char *pattern, size_t layer)
{
    const char *mark = strchr(pattern, '#');
    if (mark == NULL)
        (void)snprintf(out, HG_MAX_NAME, "%s", pattern);
    else
        (void)snprintf(out, HG_MAX_NAME, "%.*s%zu%s", (int)(mark - pattern), pattern, layer,
                       mark + 1);
}

static hg_status make_tensors(hg_model *m, hg_err *e)
{
    m->n_params = list_places(m->arch, &m->c, NULL);
    place *places = HG_NEW(&m->mem, place, m->n_params);
    m->layer = HG_NEW(&m->mem, hg_layer, m->c.n_layers);
    m->tensors = HG_NEW(&m->mem, hg_tensor, m->n_params);
    m->param = HG_NEW(&m->mem, hg_tensor *, m->n_params);
    if (places == NULL || m->layer == NULL || m->tensors == NULL || m->param == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for the list of %zu parameters", m->n_params);
    (void)list_places(m->arch, &m->c, places);
    for (size_t i = 0; i < m->n_params; i++) {
        const role_row *s = &roles[places[i].role];
        char name[HG_MAX_NAME];
        hg_name_at(name, s->name, places[i].layer);
        hg_tensor *t = m->param[i] = &m->tensors[i];
        t->name = hg_arena_strndup(&m->mem, name, strlen(name));
        if (t->name == NULL) return hg_fail(e, HG_E_NOMEM, "no room for names");
        t->type = HG_F32;
        t->is_param = true;
        t->n_dims = s->cols == D_NONE ? 1 : 2;
        t->dim[0] = dim_of(&m->c, s->rows);
        if (t->n_dims == 2) t->dim[1] = dim_of(&m->c, s->cols);
        set_at(m, &places[i], t);
    }
    if (m->head == NULL) m->head = m->embed;
    return HG_OK;
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
    m->rope_freq = HG_NEW(&m->mem, float, checked.d_head / 2 + 1);
    if (own == NULL || m->rope_freq == NULL) {
        s = hg_fail(e, HG_E_NOMEM, "no room for a model");
    } else {
        *own = *row;
        m->arch = own;
        (void)snprintf(m->c.arch, sizeof m->c.arch, "%s", row->name);
        s = make_tensors(m, e);
        if (s == HG_OK) hg_rope_fill(m);
    }
    if (s != HG_OK)
        hg_model_free(m);
    else
        *out = m;
    return s;
}

hg_status hg_model_make_trainable(hg_model *m, hg_err *e)
{
    for (size_t i = 0; i < m->n_params; i++) {
        hg_tensor *t = m->param[i];
        size_t n = hg_tensor_count(t);
        t->type = HG_F32;
        t->needs_grad = true;
        t->data = HG_NEW(&m->mem, float, n);
        t->grad = HG_NEW(&m->mem, float, n);
        if (t->data == NULL || t->grad == NULL)
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

hg_status hg_model_new(hg_model **out, const hg_model_config *c, uint64_t seed, hg_err *e)
{
    *out = NULL;
    const hg_arch *row = hg_arch_find(c->arch);
    if (row == NULL) return hg_arch_unknown(c->arch, strlen(c->arch), e);
    hg_model *m = NULL;
    HG_TRY(hg_model_make(&m, c, row, e));
    hg_status s = hg_model_make_trainable(m, e);
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
    hg_model *m = NULL;
    const hg_arch *row = hg_arch_find(c->arch);
    *n_params = 0;
    if (row == NULL) return hg_arch_unknown(c->arch, strlen(c->arch), e);
    HG_TRY(hg_model_make(&m, c, row, e));
    *n_params = hg_model_count(m);
    hg_model_free(m);
    return HG_OK;
}
