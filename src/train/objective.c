/* The objective of pre-training and of tuning on answers: mean cross-entropy. Each lot counts by
 * its share of the step's targets, so that the result is the mean over all of them whatever way
 * the rows are cut. */
#include "train/objective.h"
#include "train/learner.h"
#include <math.h>

/* Targets of the whole step, each rank its own rows', counted ahead: rows are cheap to fill, and
 * the weights need the total. */
static hg_status begin(hg_objective *o, hg_learner *s, uint64_t position, hg_step_result *out,
                       hg_err *e)
{
    double n = 0;
    (void)o;
    for (size_t at = s->first; at < s->end;) {
        at += hg_learner_fill(s, position, at);
        n += (double)s->rows.n_targets;
    }
    HG_TRY(hg_ranks_sum(s->ranks, &n, 1, e));
    out->n_targets = (uint64_t)n;
    return HG_OK;
}

static double weight(const hg_objective *o, const hg_learner *s, const hg_step_result *out)
{
    (void)o;
    return out->n_targets > 0 ? (double)s->rows.n_targets / (double)out->n_targets : 0;
}

static hg_tensor *loss(hg_objective *o, hg_learner *s, hg_graph *g)
{
    (void)o;
    return hg_op_linear_cross_entropy(g, hg_learner_states(s, g), s->model->head, s->rows.targets,
                                      NULL, s->model->c.soft_cap, NULL, NULL);
}

static void end(hg_objective *o, hg_step_result *out)
{
    (void)o, (void)out;
}

static hg_status validate(hg_objective *o, hg_learner *s, uint64_t n_rows, hg_step_result *out,
                          hg_err *e)
{
    double sum[2] = {0, 0}; /* of losses, and of targets */
    uint64_t n = (uint64_t)hg_ranks_n(s->ranks), me = (uint64_t)hg_ranks_me(s->ranks);
    for (uint64_t at = n_rows * me / n, last = n_rows * (me + 1) / n; at < last;) {
        hg_graph g;
        at += hg_learner_fill_held_out(s, at, last);
        if (s->rows.n_targets == 0) continue;
        hg_learner_graph(s, &g, 0);
        const hg_tensor *l = loss(o, s, &g);
        HG_TRY(hg_graph_status(&g, e));
        sum[0] += (double)*(const float *)l->data * (double)s->rows.n_targets;
        sum[1] += (double)s->rows.n_targets;
    }
    HG_TRY(hg_ranks_sum(s->ranks, sum, 2, e));
    out->n_targets = (uint64_t)sum[1];
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
