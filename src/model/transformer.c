/* The one transformer: a decoder-only model from token ids to final states.
 *
 * Training, tuning, generation, scoring and looking inside all call hg_model_forward. What differs
 * between families of models is read from the architecture's row; what differs between uses is in
 * the graph (a tape, hooks) and in the batch (a cache). Pre-norm residual blocks as in GPT-2
 * (Radford et al. 2019), with the parts that Llama brought together (Touvron et al. 2023):
 *
 *     x = x + attention(norm(x))
 *     x = x + mlp(norm(x))                                      x [n][d_model] */
#include "model/model.h"
#include <math.h>
#include <string.h>

/* Shows t to the hooks and hands it on. */
static hg_tensor *shown(hg_graph *g, const char *name, int layer, hg_tensor *t)
{
    if (t != NULL) hg_graph_show(g, name, layer, t);
    return t;
}

static hg_tensor *norm(hg_graph *g, const hg_model *m, hg_tensor *x, hg_tensor *w, hg_tensor *b)
{
    return m->arch->norm == HG_NORM_RMS ? hg_op_rms_norm(g, x, w, m->c.norm_eps)
                                        : hg_op_layer_norm(g, x, w, b, m->c.norm_eps);
}

/* The batch's spans with this layer's caches, for attention to keep. NULL when there is no room. */
static const hg_span *spans_of_layer(hg_graph *g, const hg_batch *b, size_t layer)
{
    hg_span *spans = HG_NEW_RAW(g->mem, hg_span, b->n_spans);
    if (spans == NULL) {
        (void)hg_graph_fail(g, HG_E_NOMEM, "no room for %zu spans", b->n_spans);
        return NULL;
    }
    for (size_t i = 0; i < b->n_spans; i++) {
        spans[i] = b->spans[i];
        spans[i].kv = b->kv == NULL ? NULL : &b->kv[layer * b->n_spans + i];
    }
    return spans;
}

static hg_tensor *attention(hg_graph *g, const hg_model *m, const hg_batch *b, int layer,
                            hg_tensor *x)
{
    const hg_layer *l = &m->layer[layer];
    hg_tensor *q = hg_op_linear(g, x, l->q, l->q_b); /* [n][n_heads * d_head] */
    hg_tensor *k = hg_op_linear(g, x, l->k, l->k_b); /* [n][n_kv_heads * d_head] */
    hg_tensor *v = shown(g, "blk.v", layer, hg_op_linear(g, x, l->v, l->v_b));
    if (l->q_norm != NULL) q = hg_op_rms_norm(g, q, l->q_norm, m->c.norm_eps);
    if (l->k_norm != NULL) k = hg_op_rms_norm(g, k, l->k_norm, m->c.norm_eps);
    if (m->arch->positions == HG_POS_ROPE) {
        q = hg_op_rope(g, q, b->pos, &m->rope);
        k = hg_op_rope(g, k, b->pos, &m->rope);
    }
    q = shown(g, "blk.q", layer, q);
    k = shown(g, "blk.k", layer, k);

    hg_attention *a = HG_NEW(g->mem, hg_attention, 1);
    const hg_span *spans = spans_of_layer(g, b, (size_t)layer);
    if (a == NULL || spans == NULL)
        return hg_graph_fail(g, HG_E_NOMEM, "no room for attention of layer %d", layer);
    *a = (hg_attention){.n_heads = m->c.n_heads,
                        .n_kv_heads = m->c.n_kv_heads,
                        .d_head = m->c.d_head,
                        .scale = 1.0f / sqrtf((float)m->c.d_head),
                        .window = m->c.window,
                        .spans = spans,
                        .n_spans = b->n_spans};
    hg_tensor *heads = shown(g, "blk.heads", layer, hg_op_attention(g, q, k, v, a));
    return shown(g, "blk.attn_out", layer, hg_op_linear(g, heads, l->o, l->o_b));
}

static hg_tensor *mlp(hg_graph *g, const hg_model *m, int layer, hg_tensor *x)
{
    const hg_layer *l = &m->layer[layer];
    hg_tensor *up = shown(g, "blk.mlp_up", layer, hg_op_linear(g, x, l->up, l->up_b));
    hg_tensor *hidden;
    if (m->arch->is_gated) {
        hg_tensor *gate = shown(g, "blk.mlp_gate", layer, hg_op_linear(g, x, l->gate, NULL));
        hidden = hg_op_gate(g, gate, up, m->arch->act);
    } else {
        hidden = hg_op_act(g, up, m->arch->act);
    }
    hidden = shown(g, "blk.mlp_hidden", layer, hidden);
    return shown(g, "blk.mlp_out", layer, hg_op_linear(g, hidden, l->down, l->down_b));
}

static hg_tensor *block(hg_graph *g, const hg_model *m, const hg_batch *b, int layer, hg_tensor *x)
{
    const hg_layer *l = &m->layer[layer];
    hg_tensor *h = norm(g, m, x, l->attn_norm, l->attn_norm_b);
    x = hg_op_add(g, x, attention(g, m, b, layer, shown(g, "blk.attn_norm", layer, h)));
    x = shown(g, "blk.attn_resid", layer, x);
    h = norm(g, m, x, l->mlp_norm, l->mlp_norm_b);
    x = hg_op_add(g, x, mlp(g, m, layer, shown(g, "blk.mlp_norm", layer, h)));
    return shown(g, "blk.out", layer, x);
}

hg_tensor *hg_model_forward(hg_graph *g, const hg_model *m, const hg_batch *b)
{
    hg_tensor *x = hg_op_embed(g, m->embed, b->ids, b->n);
    if (m->pos_embed != NULL) x = hg_op_add(g, x, hg_op_embed(g, m->pos_embed, b->pos, b->n));
    x = shown(g, "embed", -1, x);

    for (int layer = 0; layer < (int)m->c.n_layers; layer++) {
        hg_arena_mark before = hg_arena_here(g->mem);
        hg_tensor *y = block(g, m, b, layer, x);
        if (y == NULL) return NULL;
        if (g->record) {
            x = y;
        } else {
            /* Nothing will ask for the block's insides again: a long prompt needs one block's
             * memory, not all layers'. */
            memcpy(x->data, y->data, hg_tensor_count(x) * sizeof(float));
            hg_arena_rewind(g->mem, before);
        }
    }

    if (b->out_rows != NULL) x = hg_op_rows(g, x, b->out_rows, b->n_out);
    return shown(g, "final_norm", -1, norm(g, m, x, m->final_norm, m->final_norm_b));
}

hg_tensor *hg_model_logits(hg_graph *g, const hg_model *m, hg_tensor *x)
{
    return shown(g, "logits", -1, hg_op_linear(g, x, m->head, NULL));
}
