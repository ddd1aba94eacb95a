/* The objective of pre-training and of tuning on answers: mean cross-entropy, weighted where the
 * source says so. Each lot counts by its share of the step's weight of targets, so that the result
 * is the mean over all of them whatever way the rows are cut. */
#include "train/objective.h"
#include "train/learner.h"
#include <math.h>

/* Targets of the whole step, each rank its own rows', counted ahead: rows are cheap to fill, and
 * the weights need the total. */
static hg_status begin(hg_objective *o, hg_learner *s, uint64_t position, hg_step_result *out,
                       hg_err *e)
{
    double n[2] = {0, 0}; /* targets, and their weight */
    (void)o;
    for (size_t at = s->first; at < s->end;) {
        at += hg_learner_fill(s, position, at);
        n[0] += (double)s->rows.n_targets;
        n[1] += s->rows.weight;
    }
    HG_TRY(hg_ranks_sum(s->ranks, n, 2, e));
    out->n_targets = (uint64_t)n[0];
    out->weight = n[1];
    return HG_OK;
}

static double weight(const hg_objective *o, const hg_learner *s, const hg_step_result *out)
{
    (void)o;
    return out->weight > 0 ? s->rows.weight / out->weight : 0;
}

static hg_tensor *loss(hg_objective *o, hg_learner *s, hg_graph *g)
{
    (void)o;
    return hg_op_linear_cross_entropy(g, hg_learner_states(s, g), s->model->head, s->rows.targets,
                                      s->rows.is_weighted ? s->rows.weights : NULL,
                                      s->model->c.soft_cap, NULL, NULL);
}

static void end(hg_objective *o, hg_step_result *out)
{
    (void)o, (void)out;
}

static hg_status validate(hg_objective *o, hg_learner *s, uint64_t n_rows, hg_step_result *out,
                          hg_err *e)
{
    double sum[3] = {0, 0, 0}; /* of losses, of weights, and of targets */
    uint64_t n = (uint64_t)hg_ranks_n(s->ranks), me = (uint64_t)hg_ranks_me(s->ranks);
    for (uint64_t at = n_rows * me / n, last = n_rows * (me + 1) / n; at < last;) {
        hg_graph g;
        at += hg_learner_fill_held_out(s, at, last);
        if (s->rows.n_targets == 0) continue;
        hg_learner_graph(s, &g, 0);
        const hg_tensor *l = loss(o, s, &g);
        HG_TRY(hg_graph_status(&g, e));
        sum[0] += (double)*(const float *)l->data * s->rows.weight;
        sum[1] += s->rows.weight;
        sum[2] += (double)s->rows.n_targets;
    }
    HG_TRY(hg_ranks_sum(s->ranks, sum, 3, e));
    out->n_targets = (uint64_t)sum[2];
    out->weight = sum[1];
    out->loss = sum[1] > 0 ? sum[0] / sum[1] : (double)NAN;
    return HG_OK;
}

hg_objective hg_objective_text(void)
{
    return (hg_objective){.name = "cross-entropy",
                          .guards = true,
                          .is_shared = true,
                          .begin = begin,
                          .weight = weight,
                          .loss = loss,
                          .end = end,
                          .validate = validate};
}
