/* An adapter in the making: which matrices get one, and their first values. The model's own forward
 * pass adds it (transformer.c hands it to the graph), so that training, validation, samples and
 * every objective see the same model. */
#include "model/tuning.h"
#include "base/rng.h"
#include "model/inner.h"
#include <math.h>
#include <string.h>

typedef struct target {
    const char *name;
    hg_role role;
} target;
static const target targets[] = {{"q", HG_P_Q},      {"k", HG_P_K},       {"v", HG_P_V},
                                 {"o", HG_P_O},      {"gate", HG_P_GATE}, {"up", HG_P_UP},
                                 {"down", HG_P_DOWN}};
enum { N_TARGETS = sizeof targets / sizeof *targets };

/* Bit i: targets[i]. */
static hg_status read_targets(const hg_model *m, const hg_adapter_options *o, unsigned *mask,
                              hg_err *e)
{
    *mask = 0;
    if (o->n_targets == 0)
        return hg_fail(e, HG_E_ARG,
                       "lora_targets: an empty list trains nothing; all, or some of q, k, v, o, "
                       "gate, up and down are meant");
    for (size_t k = 0; k < o->n_targets; k++) {
        size_t i = 0;
        if (strcmp(o->target[k], "all") == 0) *mask = (1u << N_TARGETS) - 1;
        if (*mask == (1u << N_TARGETS) - 1) return HG_OK;
        while (i < N_TARGETS && strcmp(o->target[k], targets[i].name) != 0) i++;
        if (i == N_TARGETS)
            return hg_fail(e, HG_E_ARG,
                           "lora_targets: \"%.40s\" is none; all, or some of q, k, v, o, gate, up "
                           "and down are",
                           o->target[k]);
        if (hg_model_at(m, targets[i].role, 0, 0) == NULL)
            return hg_fail(e, HG_E_ARG, "lora_targets: a model of %s has no matrix %s",
                           m->arch->name, targets[i].name);
        *mask |= 1u << i;
    }
    return HG_OK;
}

static bool is_target(const hg_model *m, const hg_tensor *t, unsigned mask)
{
    for (size_t l = 0; l < m->c.n_layers; l++)
        for (size_t i = 0; i < N_TARGETS; i++)
            if ((mask >> i & 1) != 0 && hg_model_at(m, targets[i].role, l, 0) == t) return true;
    return false;
}

static bool has_target(const hg_model *m, const hg_stored *st, unsigned mask)
{
    for (size_t i = 0; i < st->n_parts; i++)
        if (is_target(m, st->part[i].t, mask)) return true;
    return false;
}

/* Targets that are not in the mask and lie in that stored matrix. */
static unsigned beside(const hg_model *m, const hg_stored *st, unsigned mask)
{
    unsigned all = 0;
    for (size_t p = 0; p < st->n_parts; p++)
        for (unsigned i = 0; i < N_TARGETS; i++)
            if (is_target(m, st->part[p].t, 1u << i)) all |= 1u << i;
    return all & ~mask;
}

static hg_tensor *new_matrix(hg_adapter_tuning *u, hg_arena *mem, const char *name, size_t rows,
                             size_t cols)
{
    hg_tensor *t = &u->tensors[u->n_params];
    *t = (hg_tensor){.name = name, .type = HG_F32, .n_dims = 2, .dim = {rows, cols}};
    t->is_param = t->needs_grad = true;
    t->data = HG_NEW(mem, float, rows *cols);
    t->grad = HG_NEW(mem, float, rows *cols);
    if (t->data == NULL || t->grad == NULL) return NULL;
    u->param[u->n_params++] = t;
    return t;
}

/* A for the stored matrix, B for each of its parts. */
static hg_status add_matrix(hg_model *m, const hg_stored *st, const hg_adapter_options *o, size_t i,
                            hg_err *e)
{
    hg_adapter_tuning *u = m->tuning;
    hg_rng r;
    hg_tensor *a = new_matrix(u, &m->mem, st->part[0].t->name, o->rank, st->cols);
    if (a == NULL) return hg_fail(e, HG_E_NOMEM, "no room for an adapter of rank %zu", o->rank);
    hg_rng_init(&r, o->seed, 0x6c6f7261 + i); /* "lora" */
    const double width = 1.0 / sqrt((double)st->cols);
    for (size_t k = 0; k < o->rank * st->cols; k++)
        ((float *)a->data)[k] = (float)((2 * hg_rng_unit(&r) - 1) * width);
    for (size_t p = 0; p < st->n_parts; p++) {
        const hg_tensor *w = st->part[p].t;
        hg_tensor *b = new_matrix(u, &m->mem, w->name, w->dim[0], o->rank);
        if (b == NULL) return hg_fail(e, HG_E_NOMEM, "no room for an adapter of rank %zu", o->rank);
        u->lora.a[w - u->lora.w] = a;
        u->lora.b[w - u->lora.w] = b;
    }
    return HG_OK;
}

static hg_status fill(hg_model *m, const hg_adapter_options *o, unsigned mask, hg_err *e)
{
    hg_stored *list = NULL;
    size_t n = 0;
    HG_TRY(hg_stored_list(m, HG_FORMAT_SAFETENSORS, &list, &n, e));
    hg_status s = HG_OK;
    for (size_t i = 0; i < n && s == HG_OK; i++) {
        if (list[i].cols == 0 || !has_target(m, &list[i], mask)) continue;
        m->tuning->beside |= beside(m, &list[i], mask);
        s = add_matrix(m, &list[i], o, i, e);
    }
    hg_free(list);
    return s;
}

hg_status hg_model_tune(hg_model *m, const hg_adapter_options *o, hg_err *e)
{
    unsigned mask;
    if (m->arch->has_experts)
        return hg_fail(e, HG_E_UNSUPPORTED, "adapters for models with experts are not trained");
    if (o->rank < 1) return hg_fail(e, HG_E_ARG, "lora_rank: at least 1 is needed");
    HG_TRY(read_targets(m, o, &mask, e));
    hg_adapter_tuning *u = HG_NEW(&m->mem, hg_adapter_tuning, 1);
    if (u == NULL) return hg_fail(e, HG_E_NOMEM, "no room for an adapter");
    u->rank = o->rank;
    u->alpha = o->alpha;
    u->lora = (hg_lora_tuning){.w = m->tensors,
                               .a = HG_NEW(&m->mem, hg_tensor *, m->n_params),
                               .b = HG_NEW(&m->mem, hg_tensor *, m->n_params),
                               .n = m->n_params,
                               .scale = (float)(o->alpha / (double)o->rank),
                               .dropout = (float)o->dropout};
    u->param = HG_NEW(&m->mem, hg_tensor *, 2 * m->n_params);
    u->tensors = HG_NEW(&m->mem, hg_tensor, 2 * m->n_params);
    if (u->lora.a == NULL || u->lora.b == NULL || u->param == NULL || u->tensors == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for an adapter");
    m->tuning = u;
    return fill(m, o, mask, e);
}

void hg_tuning_beside(const hg_model *m, char text[HG_TARGETS_SIZE])
{
    const unsigned mask = m->tuning != NULL ? m->tuning->beside : 0;
    size_t n = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < N_TARGETS; i++)
        if ((mask >> i & 1) != 0)
            n += (size_t)snprintf(text + n, HG_TARGETS_SIZE - n, "%s%s", n > 0 ? ", " : "",
                                  targets[i].name);
}

hg_tensor *const *hg_model_trainables(const hg_model *m, size_t *n)
{
    *n = m->tuning != NULL ? m->tuning->n_params : m->n_params;
    return m->tuning != NULL ? m->tuning->param : m->param;
}

/* W += scale B A, row by row. */
static void merge(const hg_model *m, hg_tensor *w, const hg_tensor *a, const hg_tensor *b)
{
    const size_t rank = a->dim[0], n_in = a->dim[1];
    for (size_t r = 0; r < w->dim[0]; r++)
        for (size_t k = 0; k < rank; k++)
            m->k.axpy_f32((float *)w->data + r * n_in,
                          m->tuning->lora.scale * ((const float *)b->data)[r * rank + k],
                          (const float *)a->data + k * n_in, n_in);
}

void hg_tuning_merge(hg_model *m)
{
    const hg_lora_tuning *l = &m->tuning->lora;
    for (size_t i = 0; i < l->n; i++)
        if (l->a[i] != NULL) merge(m, &m->tensors[i], l->a[i], l->b[i]);
    m->tuning = NULL;
}
