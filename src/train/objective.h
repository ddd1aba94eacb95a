/* What a step makes smaller: the seam between the learner, which runs lots of rows forward and
 * back, and the losses, which need not be a mean over tokens. A loss of whole sequences
 * (preferences, rewards) looks at all rows of the step without a record first and finds its
 * derivative by each token's surprise; the lots then go forward and back with those derivatives as
 * weights (hg_op_linear_surprise), so that no logits are ever kept. */
#ifndef HG_TRAIN_OBJECTIVE_H
#define HG_TRAIN_OBJECTIVE_H

#include "tensor/ops.h"

struct hg_learner;
struct hg_step_result;

/* Something to log beside the loss. The name lives for ever. */
typedef struct hg_figure {
    const char *name;
    double value;
} hg_figure;
enum { HG_MAX_FIGURES = 12 };

/* An objective with a state begins with one of these. */
typedef struct hg_objective hg_objective;
struct hg_objective {
    const char *name;
    bool guards;    /* a jump of its loss is a sign of damage; else no step is skipped for one */
    bool is_shared; /* begin and validate look at this rank's rows and sum over the ranks */
    size_t rounds;  /* updates of a step, each with a begin of its own; 0: one */
    size_t round;   /* which of them it is; the learner counts */
    /* Before the first step of a run or of its next part, with the weights as the run began;
     * `folder` is the run's. NULL: nothing. */
    hg_status (*prepare)(hg_objective *o, struct hg_learner *s, const char *folder,
                         const hg_watch *w, hg_err *e);
    /* Before the lots of the rows at `position`: the step's targets, what weights need. */
    hg_status (*begin)(hg_objective *o, struct hg_learner *s, uint64_t position,
                       struct hg_step_result *out, hg_err *e);
    /* What the loss of s->rows counts in the step's; 0: the rows teach nothing. */
    double (*weight)(const hg_objective *o, const struct hg_learner *s,
                     const struct hg_step_result *out);
    /* A scalar of the graph, whose gradient times weight is added. The graph's loss_scale is set.
     */
    hg_tensor *(*loss)(hg_objective *o, struct hg_learner *s, hg_graph *g);
    /* After the lots: out->loss holds the weighted sum of their losses. */
    void (*end)(hg_objective *o, struct hg_step_result *out);
    /* Loss and figures of the first n_rows held-out rows; NaN when there is nothing to count. */
    hg_status (*validate)(hg_objective *o, struct hg_learner *s, uint64_t n_rows,
                          struct hg_step_result *out, hg_err *e);
};

/* Mean cross-entropy of the counted tokens. */
hg_objective hg_objective_text(void);

#endif
