/* Distillation. The rows are those of tuning on answers; each lot runs through the teacher without
 * a record and through the student, and the fused op compares them over the whole vocabulary. */
#include "train/distill.h"
#include "data/tokens.h"
#include <math.h>
#include <string.h>

static hg_distilling *mine(hg_objective *o)
{
    return (hg_distilling *)(void *)o;
}

static hg_status begin(hg_objective *o, hg_learner *s, uint64_t position, hg_step_result *out,
                       hg_err *e)
{
    hg_distilling *d = mine(o);
    const hg_objective text = hg_objective_text();
    d->ce = d->kl = 0;
    return text.begin(o, s, position, out, e);
}

static double weight(const hg_objective *o, const hg_learner *s, const hg_step_result *out)
{
    const hg_objective text = hg_objective_text();
    return text.weight(o, s, out);
}

static hg_tensor *teacher_states(const hg_distilling *d, hg_learner *s, hg_graph *g)
{
    hg_graph t;
    hg_graph_init(&t, s->rt, g->mem, d->teacher->compute, false);
    hg_tensor *x = hg_learner_states_of(s, &t, d->teacher);
    if (x == NULL) return hg_graph_fail(g, t.status, "teacher: %s", t.err.msg);
    return x;
}

static hg_tensor *loss(hg_objective *o, hg_learner *s, hg_graph *g)
{
    hg_distilling *d = mine(o);
    size_t n = s->rows.n_rows * s->rows.seq_len;
    hg_distill *how = HG_NEW(g->mem, hg_distill, 1);
    if (how == NULL) return hg_graph_fail(g, HG_E_NOMEM, "distill: no memory");
    *how = (hg_distill){.targets = s->rows.targets,
                        .weights = s->rows.is_weighted ? s->rows.weights : NULL,
                        .temperature = (float)d->r->distill_temperature,
                        .share = (float)d->r->teacher_share,
                        .soft_cap = s->model->c.soft_cap,
                        .teacher_cap = d->teacher->c.soft_cap,
                        .teacher_compute = d->teacher->compute,
                        .losses = d->losses,
                        .kls = d->kls};
    hg_tensor *said = teacher_states(d, s, g);
    if (said == NULL) return NULL;
    hg_tensor *l =
        hg_op_distill(g, hg_learner_states(s, g), s->model->head, said, d->teacher->head, how);
    for (size_t i = 0; i < n && l != NULL; i++) {
        const double w = s->rows.is_weighted ? (double)s->rows.weights[i] : 1;
        d->ce += w * (double)d->losses[i];
        d->kl += w * (double)d->kls[i];
    }
    return l;
}

static void tell(const hg_distilling *d, hg_step_result *out)
{
    const double n = out->weight;
    if (!(n > 0)) return;
    out->figure[out->n_figures++] = (hg_figure){"cross_entropy", d->ce / n};
    out->figure[out->n_figures++] = (hg_figure){"teacher_kl", d->kl / n};
}

static void end(hg_objective *o, hg_step_result *out)
{
    tell(mine(o), out);
}

static hg_status validate(hg_objective *o, hg_learner *s, uint64_t n_rows, hg_step_result *out,
                          hg_err *e)
{
    hg_distilling *d = mine(o);
    double sum = 0;
    d->ce = d->kl = 0;
    for (uint64_t at = 0; at < n_rows;) {
        hg_graph g;
        at += hg_learner_fill_held_out(s, at, n_rows);
        if (s->rows.n_targets == 0) continue;
        hg_learner_graph(s, &g, 0);
        const hg_tensor *l = loss(o, s, &g);
        HG_TRY(hg_graph_status(&g, e));
        sum += (double)*(const float *)l->data * s->rows.weight;
        out->n_targets += s->rows.n_targets;
        out->weight += s->rows.weight;
    }
    out->loss = out->weight > 0 ? sum / out->weight : (double)NAN;
    tell(d, out);
    return HG_OK;
}

static hg_status open_teacher(hg_distilling *d, uint64_t vocab_hash, hg_runtime *rt, hg_err *e)
{
    const hg_recipe *r = d->r;
    HG_TRY(hg_model_open(&d->teacher, r->teacher, HG_WEIGHTS_AS_STORED, rt, e));
    if (d->teacher->tokenizer == NULL || hg_tokens_vocab_hash(d->teacher->tokenizer) != vocab_hash)
        return hg_fail(e, HG_E_ARG, "the tokenizer of the teacher %s is not that of the base %s",
                       r->teacher, r->base);
    if (r->seq_len <= (int64_t)d->teacher->c.n_ctx) return HG_OK;
    return hg_fail(e, HG_E_ARG, "seq_len: %lld tokens, the teacher's context is %u",
                   (long long)r->seq_len, d->teacher->c.n_ctx);
}

hg_status hg_distilling_init(hg_distilling *d, const hg_recipe *r, uint64_t vocab_hash,
                             hg_runtime *rt, hg_arena *mem, hg_err *e)
{
    size_t n = 0;
    *d = (hg_distilling){.r = r};
    d->objective = (hg_objective){.name = "distillation",
                                  .guards = true,
                                  .begin = begin,
                                  .weight = weight,
                                  .loss = loss,
                                  .end = end,
                                  .validate = validate};
    if (!hg_mul((size_t)r->batch_size, (size_t)r->seq_len, &n))
        return hg_fail(e, HG_E_LIMIT, "a batch of more tokens than fit");
    d->losses = HG_NEW(mem, float, n);
    d->kls = HG_NEW(mem, float, n);
    if (d->losses == NULL || d->kls == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for a batch of %zu tokens", n);
    return open_teacher(d, vocab_hash, rt, e);
}

void hg_distilling_free(hg_distilling *d)
{
    hg_model_free(d->teacher);
    memset(d, 0, sizeof *d);
}
