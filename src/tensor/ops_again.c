/* A part of a model that is run again in the backward pass instead of being kept: a third more
 * arithmetic for the memory of all its insides (Chen et al. 2016, gradient checkpointing). The
 * forward pass runs it in a graph without a record and keeps its result alone; backward runs it in
 * a graph of its own with a record, on the same input, and that record back from the result's
 * gradient. The same ops run on the same values, so the gradients have the same bits. */
#include "tensor/ops_impl.h"

#include <string.h>

typedef struct again {
    hg_again_fn *fn;
    const void *ctx;
    /* The graph's of the forward pass, who may have other ones by the time of the backward pass. */
    const struct hg_lora_tuning *tuning;
    bool drops;
} again;

/* A graph for the insides, over the same arena; what it keeps ends with the arena's mark. */
static hg_graph inside(const hg_graph *g, const again *a, bool record)
{
    hg_graph in;
    hg_graph_init(&in, g->rt, g->mem, g->compute, record);
    in.rope = g->rope;
    in.tuning = a->tuning;
    in.drops = a->drops;
    in.panels = g->panels; /* of a step's passes, both of them */
    return in;
}

static void again_back(hg_graph *g, hg_step *s)
{
    const again *a = s->saved;
    hg_tensor leaf = *s->in[0];
    bool is_first = false;
    float *dx = hg_grad_open(g, s->in[0], &is_first);
    if (g->status != HG_OK) return;
    if (is_first) memset(dx, 0, hg_tensor_count(&leaf) * sizeof *dx);
    leaf.grad = dx;
    leaf.grad_buf = NULL;
    leaf.needs_grad = dx != NULL;
    hg_arena_mark here = hg_arena_here(g->mem);
    hg_graph in = inside(g, a, true);
    hg_tensor *y = a->fn(&in, a->ctx, &leaf);
    if (y != NULL) hg_graph_run_back(&in, y, s->out->grad);
    if (in.status != HG_OK) (void)hg_graph_fail(g, in.status, "%s", in.err.msg);
    hg_arena_rewind(g->mem, here);
}

hg_tensor *hg_op_again(hg_graph *g, hg_again_fn *fn, const void *ctx, hg_tensor *x)
{
    if (!hg_op_check(g, "again", "x", x)) return NULL;
    hg_tensor *out = hg_op_like(g, x);
    again *saved = HG_NEW(g->mem, again, 1);
    if (out == NULL || saved == NULL)
        return hg_graph_fail(g, HG_E_NOMEM, "no memory for what is run again");
    *saved = (again){fn, ctx, g->tuning, g->drops};
    hg_arena_mark here = hg_arena_here(g->mem);
    hg_graph in = inside(g, saved, false);
    in.hooks = g->hooks;
    const hg_tensor *y = fn(&in, ctx, x);
    if (y != NULL && hg_tensor_count(y) == hg_tensor_count(x))
        memcpy(out->data, y->data, hg_tensor_count(y) * sizeof(float));
    else if (in.status == HG_OK)
        in.status = hg_fail(&in.err, HG_E_ARG, "again: the result must have the shape of x");
    hg_arena_rewind(g->mem, here);
    if (in.status != HG_OK) return hg_graph_fail(g, in.status, "%s", in.err.msg);
    if (!g->record) return out;
    return hg_op_record(g, again_back, (hg_tensor *[3]){x}, out, saved) != NULL ? out : NULL;
}
