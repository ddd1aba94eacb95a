/* The objective of pre-training and of tuning on answers: mean cross-entropy. Each lot counts by
 * its share of the step's targets, so that the result is the mean over all of them whatever way
 * the rows are cut. */
#include "train/objective.h"
#include "train/learner.h"
#include <math.h>

/* Targets of the whole step, counted ahead: rows are cheap to fill, and the weights need the total.
 */
static hg_status begin(hg_objective *o, hg_learner *s, uint64_t position, hg_step_result *out,
                       hg_err *e)
{
    (void)o, (void)e;
    for (size_t at = 0; at < hg_learner_rows(s);) {
        at += hg_learner_fill(s, position, at);
        out->n_targets += s->rows.n_targets;
    }
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
    double sum = 0;
    for (uint64_t at = 0; at < n_rows;) {
        hg_graph g;
        at += hg_learner_fill_held_out(s, at, n_rows);
        if (s->rows.n_targets == 0) continue;
        hg_learner_graph(s, &g, 0);
        const hg_tensor *l = loss(o, s, &g);
        HG_TRY(hg_graph_status(&g, e));
        sum += (double)*(const float *)l->data * (double)s->rows.n_targets;
        out->n_targets += s->rows.n_targets;
    }
    out->loss = out->n_targets > 0 ? sum / (double)out->n_targets : (double)NAN;
    return HG_OK;
}

hg_objective hg_objective_text(void)
{
    return (hg_objective){.name = "cross-entropy",
                          .guards = true,
                          .begin = begin,
                          .weight = weight,
                          .loss = loss,
                          .end = end,
                          .validate = validate};
}
