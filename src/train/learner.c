/* One step of training. A step's rows are worked off a few at a time: each lot runs forward with a
 * tape and backward, and adds its gradients with the weight that the objective gives it. Lots of a
 * few thousand tokens keep the activations small and near the last cache, and are long enough for
 * the products. The activations live in an arena that is reset for each lot: after the first, a
 * step takes no memory. */
#include "train/learner.h"
#include "base/clock.h"
#include "base/hash.h"
#include "model/tuning.h"
#include "tensor/matmul.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t MOST_PANELS = (uint64_t)256 << 20;

hg_compute hg_precision_compute(int64_t precision, const hg_runtime *rt)
{
    if (precision == HG_PRECISION_F32) return HG_COMPUTE_F32;
    if (precision == HG_PRECISION_BF16) return HG_COMPUTE_BF16;
    const hg_isa isa = hg_runtime_isa(rt);
    return isa == HG_ISA_AVX512 || isa == HG_ISA_AMX ? HG_COMPUTE_BF16 : HG_COMPUTE_F32;
}

size_t hg_micro_rows(const hg_recipe *r, size_t seq_len, size_t d_model, const hg_runtime *rt,
                     hg_compute compute)
{
    const bool is_tiled = rt->k.gemm[compute].m_step > 1;
    size_t batch = (size_t)r->batch_size;
    size_t most = is_tiled ? HG_MICRO_TILED : HG_MICRO_TOKENS;
    if (d_model > HG_MICRO_WIDTH) most = HG_MICRO_WIDE;
    most /= seq_len;
    if (r->micro_batch > 0) most = (size_t)r->micro_batch;
    if (most < 1) most = 1;
    if (most >= batch) return batch;
    size_t parts = (batch + most - 1) / most;
    return (batch + parts - 1) / parts; /* alike large */
}

/* The number between dots in a block's names is its layer. */
static int stage_of(const hg_model *m, const hg_tensor *p)
{
    if (p == m->embed || p == m->pos_embed) return -1;
    const char *at = p->name != NULL ? strchr(p->name, '.') : NULL;
    for (; at != NULL; at = strchr(at + 1, '.')) {
        char *end;
        long layer = strtol(at + 1, &end, 10);
        if (end > at + 1 && *end == '.' && layer >= 0 && layer < (long)m->c.n_layers)
            return (int)layer;
    }
    return (int)m->c.n_layers;
}

static hg_optim_kind *kinds_of(const hg_model *m, hg_tensor *const *param, size_t n, hg_arena *mem)
{
    hg_optim_kind *k = HG_NEW(mem, hg_optim_kind, n);
    for (size_t i = 0; i < n && k != NULL; i++) {
        const hg_tensor *p = param[i];
        k[i].group = p->n_dims >= 2 ? HG_GROUP_MATRIX : HG_GROUP_VECTOR;
        if (p == m->embed || p == m->head || p == m->pos_embed) k[i].group = HG_GROUP_TABLE;
        k[i].stage = stage_of(m, p);
    }
    return k;
}

uint64_t hg_panel_bytes(const hg_runtime *rt, hg_compute compute, uint64_t n_params, size_t n_lots)
{
    const size_t size = rt->k.gemm[compute].b_size;
    const uint64_t bytes = 2 * size * n_params;
    return size == sizeof(hg_bf16) && n_lots > 1 && bytes <= MOST_PANELS ? bytes : 0;
}

/* The matrices that lots multiply with: of two dimensions, and not looked up only. */
static hg_status keep_panels(hg_learner *s, hg_arena *mem, hg_err *e)
{
    const hg_model *m = s->model;
    const size_t n_lots = (s->end - s->first + s->micro - 1) / s->micro;
    hg_tensor **w = HG_NEW(mem, hg_tensor *, m->n_params);
    size_t n = 0;
    if (w == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the list of weights");
    if (hg_panel_bytes(s->rt, s->compute, hg_model_count(m), n_lots) == 0) return HG_OK;
    for (size_t i = 0; i < m->n_params; i++) {
        hg_tensor *p = m->param[i];
        const bool is_table = p == m->pos_embed || (p == m->embed && p != m->head);
        if (p->n_dims == 2 && !hg_type_is_block(p->type) && !is_table && p->data != NULL &&
            p->packed == NULL)
            w[n++] = p;
    }
    HG_TRY(hg_panels_init(&s->panels, s->rt, s->compute, w, n, mem, e));
    s->panels.are_frozen = m->tuning != NULL;
    return HG_OK;
}

hg_status hg_learner_init(hg_learner *s, hg_model *model, hg_runtime *rt, hg_compute compute,
                          const hg_source *source, const hg_recipe *r, size_t step_bytes,
                          hg_arena *mem, hg_err *e)
{
    memset(s, 0, sizeof *s);
    s->rt = rt;
    s->model = model;
    s->compute = compute;
    s->source = source;
    s->text = hg_objective_text();
    s->objective = &s->text;
    s->seed = (uint64_t)r->seed;
    s->again = r->recompute;
    s->batch_size = (size_t)r->batch_size * (source->rows_a_unit > 0 ? source->rows_a_unit : 1);
    s->accumulation = (size_t)r->accumulation;
    s->ranks = r->ranks;
    size_t all = hg_learner_rows(s), n = (size_t)hg_ranks_n(s->ranks);
    s->first = all * (size_t)hg_ranks_me(s->ranks) / n;
    s->end = all * ((size_t)hg_ranks_me(s->ranks) + 1) / n;
    hg_arena_init(&s->step, step_bytes);
    s->micro = hg_micro_rows(r, source->seq_len, model->c.d_model, rt, compute);
    HG_TRY(hg_rows_init(&s->rows, s->micro, source->seq_len, mem, e));
    s->loss_limit = (double)INFINITY;
    hg_tensor *const *param = hg_model_trainables(model, &n);
    hg_optim_kind *kinds = kinds_of(model, param, n, mem);
    if (kinds == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the list of parameters");
    HG_TRY(keep_panels(s, mem, e));
    return hg_optim_init(&s->optim, rt, param, n, kinds, compute, r, mem, e);
}

void hg_learner_free(hg_learner *s)
{
    hg_optim_free(&s->optim);
    hg_arena_free(&s->step);
}

/* ---- lots ---- */

size_t hg_learner_rows(const hg_learner *s)
{
    return s->accumulation * s->batch_size;
}

size_t hg_learner_fill(hg_learner *s, uint64_t position, size_t at)
{
    size_t n = s->end - at < s->micro ? s->end - at : s->micro;
    if (s->model->tuning != NULL) { /* the same for a row in whatever lot and rank it is */
        s->model->tuning->lora.seed = hg_hash64("dropout", 7, s->seed);
        s->model->tuning->lora.first_row = (position + at) * s->source->seq_len;
    }
    hg_rows_fill(&s->rows, s->source, false, s->seed, position + at, n);
    return n;
}

size_t hg_learner_fill_held_out(hg_learner *s, uint64_t at, uint64_t n_rows)
{
    size_t n = n_rows - at < s->micro ? (size_t)(n_rows - at) : s->micro;
    hg_rows_fill(&s->rows, s->source, true, s->seed, at, n);
    return n;
}

void hg_learner_graph(hg_learner *s, hg_graph *g, double weight)
{
    bool learns = weight > 0;
    hg_arena_reset(&s->step);
    hg_graph_init(g, s->rt, &s->step, s->compute, learns);
    g->loss_scale = learns ? (float)weight : 0;
    g->again = s->again;
    hg_optim_attend(&s->optim, g, learns && s->is_last_lot);
    g->panels = learns ? &s->panels : NULL;
}

hg_tensor *hg_learner_states(hg_learner *s, hg_graph *g)
{
    return hg_learner_states_of(s, g, s->model);
}

hg_tensor *hg_learner_states_of(hg_learner *s, hg_graph *g, const hg_model *m)
{
    const hg_rows *r = &s->rows;
    hg_batch b = {.n = r->n_rows * r->seq_len,
                  .ids = r->ids,
                  .pos = r->pos,
                  .spans = r->spans,
                  .n_spans = r->n_spans};
    return hg_model_forward(g, m, &b);
}

hg_status hg_learner_look(hg_learner *s, const hg_model *m, float *surprises, hg_err *e)
{
    hg_graph g;
    hg_learner_graph(s, &g, 0);
    hg_tensor *x = hg_learner_states_of(s, &g, m);
    (void)hg_op_linear_surprise(&g, x, m->head, s->rows.targets, NULL, m->c.soft_cap, surprises);
    return hg_graph_status(&g, e);
}

hg_status hg_learner_look_at_base(hg_learner *s, const hg_model *reference, float *surprises,
                                  hg_err *e)
{
    if (reference != NULL) return hg_learner_look(s, reference, surprises, e);
    struct hg_adapter_tuning *adapter = s->model->tuning;
    s->model->tuning = NULL;
    const hg_status status = hg_learner_look(s, s->model, surprises, e);
    s->model->tuning = adapter;
    return status;
}

/* ---- a step ---- */

static hg_status run_lot(hg_learner *s, double weight, hg_step_result *out, hg_err *e)
{
    hg_graph g;
    hg_learner_graph(s, &g, weight);
    hg_tensor *l = s->objective->loss(s->objective, s, &g);
    HG_TRY(hg_graph_status(&g, e));
    out->loss += weight * (double)*(const float *)l->data;
    return hg_graph_backward(&g, l, (float)weight, e);
}

hg_status hg_learner_gradients(hg_learner *s, uint64_t position, hg_step_result *out, hg_err *e)
{
    hg_objective *o = s->objective;
    *out = (hg_step_result){.n_tokens = (uint64_t)hg_learner_rows(s) * s->source->seq_len};
    if (s->ranks != NULL && !o->is_shared)
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "%s is learnt by one process; launch it without mpirun or srun", o->name);
    hg_panels_forget(&s->panels);
    HG_TRY(o->begin(o, s, position, out, e));
    for (size_t at = s->first; at < s->end;) {
        at += hg_learner_fill(s, position, at);
        s->is_last_lot = at >= s->end;
        double weight = o->weight(o, s, out);
        if (weight > 0) HG_TRY(run_lot(s, weight, out, e));
    }
    HG_TRY(hg_ranks_sum(s->ranks, &out->loss, 1, e));
    o->end(o, out);
    return HG_OK;
}

static hg_status update(hg_learner *s, uint64_t position, double lr, hg_step_result *out, hg_err *e)
{
    HG_TRY(hg_learner_gradients(s, position, out, e));
    out->lr = lr;
    HG_TRY(hg_optim_reduce(&s->optim, &out->grad_norm, e));
    out->is_spike = isfinite(out->loss) && out->loss > s->loss_limit;
    out->is_skipped = out->is_spike || !isfinite(out->loss) || !isfinite(out->grad_norm);
    if (!out->is_skipped) return hg_optim_step(&s->optim, lr, out->grad_norm, e);
    hg_optim_zero_grad(&s->optim);
    return HG_OK;
}

hg_status hg_learner_step(hg_learner *s, uint64_t position, double lr, hg_step_result *out,
                          hg_err *e)
{
    hg_objective *o = s->objective;
    hg_status status = HG_OK;
    for (o->round = 0; status == HG_OK;) {
        status = update(s, position, lr, out, e);
        if (out->is_skipped || ++o->round >= o->rounds) break;
    }
    o->round = 0;
    return status;
}

hg_status hg_learner_validate(hg_learner *s, uint64_t n_rows, hg_step_result *out, hg_err *e)
{
    *out = (hg_step_result){.loss = 0};
    if (n_rows > s->source->n_val_rows) n_rows = s->source->n_val_rows;
    return s->objective->validate(s->objective, s, n_rows, out, e);
}

double hg_flops_a_token(const hg_model *m, size_t seq_len)
{
    double n = 0;
    for (size_t p = 0; p < m->n_params; p++) n += (double)hg_tensor_count(m->param[p]);
    if (m->head != m->embed) n -= (double)hg_tensor_count(m->embed);
    if (m->pos_embed != NULL) n -= (double)hg_tensor_count(m->pos_embed);
    return 6 * n + 12.0 * m->c.n_layers * m->c.n_heads * m->c.d_head * (double)seq_len;
}

double hg_product_rate(hg_runtime *rt, hg_compute compute, hg_arena *mem)
{
    enum { N = 512 };
    hg_arena_mark here = hg_arena_here(mem);
    float *x = HG_NEW(mem, float, (size_t)3 * N * N);
    double best = 0, start = hg_seconds();
    if (x == NULL) return 0;
    hg_matrix a = {x, HG_F32, N, 1}, b = {x + (size_t)N * N, HG_F32, N, 1};
    while (hg_seconds() - start < 0.2) {
        double t = hg_seconds();
        if (hg_matmul(rt, compute, x + (size_t)2 * N * N, N, &a, &b, N, N, N, false, NULL) != HG_OK)
            break;
        double rate = 2.0 * N * N * N / (hg_seconds() - t);
        if (rate > best) best = rate;
    }
    hg_arena_rewind(mem, here);
    return best;
}
