/* The one transformer: a decoder-only model from token ids to final states.
 *
 * Training, tuning, generation, scoring and looking inside all call hg_model_forward. What differs
 * between families of models is read from the architecture's row and from each layer; what differs
 * between uses is in the graph (a tape, hooks) and in the batch (a cache). Residual blocks as in
 * GPT-2 (Radford et al. 2019), with the parts that Llama brought together (Touvron et al. 2023):
 *
 *     x = x + attention(norm(x))
 *     x = x + mlp(norm(x))                                      x [n][d_model]
 *
 * A row may norm what comes out of the two as well, or only that, and may hand both the same x. */
#include "model/model.h"
#include "model/tuning.h"
#include "tensor/ops_experts.h"
#include <math.h>
#include <string.h>

/* Shows t to the hooks and hands it on. */
static hg_tensor *shown(hg_graph *g, const char *name, int layer, hg_tensor *t)
{
    if (t != NULL) hg_graph_show(g, name, layer, t);
    return t;
}

/* norm(x), or x where the row has no norm of that name. */
static hg_tensor *norm(hg_graph *g, const hg_model *m, const char *name, int layer, hg_tensor *x,
                       hg_tensor *w, hg_tensor *b)
{
    if (w == NULL) return x;
    return shown(g, name, layer,
                 m->arch->norm == HG_NORM_RMS ? hg_op_rms_norm(g, x, w, m->c.norm_eps)
                                              : hg_op_layer_norm(g, x, w, b, m->c.norm_eps));
}

/* Which rows belong to timelines beyond the context that rotary scaling begins from; NULL: none. */
static const bool *long_rows(hg_graph *g, const hg_model *m, const hg_batch *b)
{
    bool *is_long = HG_NEW(g->mem, bool, b->n), any = false;
    for (size_t i = 0; i < b->n_spans && is_long != NULL; i++) {
        const hg_span *s = &b->spans[i];
        bool v = b->is_long != NULL ? b->is_long[i] : s->n > m->c.rope_scaling.original_n_ctx;
        for (size_t r = 0; r < s->n; r++) is_long[s->row + r] = v;
        any = any || v;
    }
    if (is_long == NULL) (void)hg_graph_fail(g, HG_E_NOMEM, "no room for %zu rows", b->n);
    return any ? is_long : NULL;
}

/* The model's rotations as this batch turns by them, their angles computed once for all layers. */
static const hg_rope *ropes_of(hg_graph *g, const hg_model *m, const hg_batch *b)
{
    hg_rope *r = HG_NEW(g->mem, hg_rope, HG_N_ROPES);
    if (r == NULL) {
        (void)hg_graph_fail(g, HG_E_NOMEM, "no room for rotary positions");
        return NULL;
    }
    for (int i = 0; i < HG_N_ROPES; i++) {
        bool is_used = false;
        for (size_t l = 0; l < m->c.n_layers; l++) is_used = is_used || m->layer[l].rope == i;
        r[i] = m->rope[i];
        if (is_used && r[i].long_freq != NULL) r[i].is_long = long_rows(g, m, b);
        if (is_used && !hg_rope_prepare(g, b->pos, b->n, &r[i])) return NULL;
    }
    return r;
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

/* Turned by their positions; backward turns back without what was there before. */
static hg_tensor *turned(hg_graph *g, hg_tensor *x, const hg_batch *b, const hg_rope *r)
{
    hg_tensor *y = hg_op_rope(g, x, b->pos, r);
    hg_graph_drop(g, x);
    return y;
}

static hg_tensor *attention(hg_graph *g, const hg_model *m, const hg_batch *b, const hg_rope *ropes,
                            int layer, hg_tensor *x)
{
    const hg_layer *l = &m->layer[layer];
    const hg_linear maps[] = {{l->q, l->q_b}, {l->k, l->k_b}, {l->v, l->v_b}};
    hg_tensor *qkv[3];
    if (!hg_op_linears(g, x, maps, qkv, 3)) return NULL;
    hg_tensor *q = qkv[0]; /* [n][n_heads * d_head] */
    hg_tensor *k = qkv[1]; /* [n][n_kv_heads * d_head] */
    hg_tensor *v = shown(g, "blk.v", layer, qkv[2]);
    if (l->q_norm != NULL) q = hg_op_rms_norm(g, q, l->q_norm, m->c.norm_eps);
    if (l->k_norm != NULL) k = hg_op_rms_norm(g, k, l->k_norm, m->c.norm_eps);
    if (l->rope >= 0) {
        q = turned(g, q, b, &ropes[l->rope]);
        k = turned(g, k, b, &ropes[l->rope]);
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
                        .scale = m->c.attn_scale > 0.0f ? m->c.attn_scale
                                                        : 1.0f / sqrtf((float)m->c.d_head),
                        .soft_cap = m->c.attn_soft_cap,
                        .window = l->window,
                        .spans = spans,
                        .n_spans = b->n_spans,
                        .sinks = l->sinks != NULL ? l->sinks->data : NULL};
    hg_tensor *heads = shown(g, "blk.heads", layer, hg_op_attention(g, q, k, v, a));
    hg_tensor *const kept[] = {q, k, v, heads};
    for (size_t i = 0; i < 4; i++) hg_graph_round(g, kept[i]);
    return shown(g, "blk.attn_out", layer, hg_op_linear(g, heads, l->o, l->o_b));
}

static hg_tensor *mlp(hg_graph *g, const hg_model *m, const hg_mlp *p, int layer, hg_tensor *x)
{
    const hg_linear maps[] = {{p->up, p->up_b}, {p->gate, p->gate_b}};
    hg_tensor *both[2] = {NULL, NULL}, *hidden;
    if (!hg_op_linears(g, x, maps, both, p->gate != NULL ? 2 : 1)) return NULL;
    hg_tensor *up = shown(g, "blk.mlp_up", layer, both[0]), *gate = both[1];
    if (p->gate != NULL) {
        hidden = hg_op_gate(g, shown(g, "blk.mlp_gate", layer, gate), up, m->arch->act);
    } else {
        hidden = hg_op_act(g, up, m->arch->act);
    }
    hidden = shown(g, "blk.mlp_hidden", layer, hidden);
    hg_graph_round(g, gate);
    hg_graph_round(g, up);
    hg_graph_round(g, hidden);
    return hg_op_linear(g, hidden, p->down, p->down_b);
}

/* A mixture of experts (Shazeer et al. 2017): a router gives each row to a few of many mlps, and
 * what they answer is added up by the router's weights. */
static hg_tensor *experts(hg_graph *g, const hg_model *m, int layer, hg_tensor *x)
{
    const hg_layer *l = &m->layer[layer];
    const hg_hooks *hooks = g->hooks;
    hg_tensor *scores = shown(g, "blk.router", layer, hg_op_linear(g, x, l->router, l->router_b));
    const hg_choice *c = hg_op_choose(g, scores, m->c.n_experts_used, !m->c.raw_expert_weights);
    hg_tensor *y = hg_op_zeros(g, x);
    if (c == NULL || y == NULL) return NULL;
    g->hooks = NULL; /* the insides of a layer are shown once */
    for (size_t i = 0; i < c->n_experts && g->status == HG_OK; i++) {
        hg_arena_mark before = hg_arena_here(g->mem);
        size_t first = c->first[i], n = c->first[i + 1] - first;
        if (n == 0) continue;
        hg_tensor *mine = hg_op_rows(g, x, c->rows + first, n);
        hg_op_add_weighted(g, y, mlp(g, m, &l->expert[i], layer, mine), c, i);
        hg_arena_rewind(g->mem, before);
    }
    g->hooks = hooks;
    return g->status == HG_OK ? y : NULL;
}

static hg_tensor *block(hg_graph *g, const hg_model *m, const hg_batch *b, const hg_rope *ropes,
                        int layer, hg_tensor *x)
{
    const hg_layer *l = &m->layer[layer];
    hg_tensor *h = norm(g, m, "blk.attn_norm", layer, x, l->attn_norm, l->attn_norm_b);
    if (h != x) hg_graph_round(g, h);
    h = attention(g, m, b, ropes, layer, h);
    h = norm(g, m, "blk.attn_post_norm", layer, h, l->attn_post_norm, NULL);
    hg_tensor *y = shown(g, "blk.attn_resid", layer, hg_op_add(g, x, h));
    hg_graph_drop(g, h);

    hg_tensor *in = m->arch->is_parallel ? x : y;
    h = norm(g, m, "blk.mlp_norm", layer, in, l->mlp_norm, l->mlp_norm_b);
    if (h != in && l->expert == NULL) hg_graph_round(g, h);
    h = l->expert != NULL ? experts(g, m, layer, h) : mlp(g, m, &l->mlp, layer, h);
    h = shown(g, "blk.mlp_out", layer, h);
    h = norm(g, m, "blk.mlp_post_norm", layer, h, l->mlp_post_norm, NULL);
    hg_tensor *out = shown(g, "blk.out", layer, hg_op_add(g, y, h));
    hg_graph_drop(g, h);
    return out;
}

/* What a block is run again with. */
typedef struct block_call {
    const hg_model *m;
    hg_batch b;
    const hg_rope *ropes;
    int layer;
} block_call;

static hg_tensor *run_block(hg_graph *g, const void *ctx, hg_tensor *x)
{
    const block_call *c = ctx;
    return block(g, c->m, &c->b, c->ropes, c->layer, x);
}

/* A block that is recorded: with its insides, or to be run again. */
static hg_tensor *kept_block(hg_graph *g, const hg_model *m, const hg_batch *b,
                             const hg_rope *ropes, int layer, hg_tensor *x)
{
    if (!g->again) return block(g, m, b, ropes, layer, x);
    block_call *c = HG_NEW(g->mem, block_call, 1);
    if (c == NULL) return hg_graph_fail(g, HG_E_NOMEM, "no room for a block");
    *c = (block_call){m, *b, ropes, layer};
    return hg_op_again(g, run_block, c, x);
}

static hg_tensor *forward(hg_graph *g, const hg_model *m, const hg_batch *b)
{
    hg_graph_stage(g, -1);
    hg_tensor *x = hg_op_embed(g, m->embed, b->ids, b->n);
    if (m->pos_embed != NULL) x = hg_op_add(g, x, hg_op_embed(g, m->pos_embed, b->pos, b->n));
    if (m->arch->scales_embed) x = hg_op_scale(g, x, sqrtf((float)m->c.d_model));
    x = shown(g, "embed", -1, x);
    const hg_rope *ropes = ropes_of(g, m, b);
    if (x == NULL || ropes == NULL) return NULL;

    for (int layer = 0; layer < (int)m->c.n_layers; layer++) {
        hg_arena_mark before = hg_arena_here(g->mem);
        struct hg_rope_table *angles = g->rope;
        hg_graph_stage(g, layer);
        hg_tensor *y =
            g->record ? kept_block(g, m, b, ropes, layer, x) : block(g, m, b, ropes, layer, x);
        if (y == NULL) return NULL;
        if (g->record) {
            x = y;
        } else {
            /* Nothing will ask for the block's insides again: a long prompt needs one block's
             * memory, not all layers'. */
            memcpy(x->data, y->data, hg_tensor_count(x) * sizeof(float));
            hg_arena_rewind(g->mem, before);
            g->rope = angles;
        }
    }

    hg_graph_stage(g, (int)m->c.n_layers);
    if (b->out_rows != NULL) x = hg_op_rows(g, x, b->out_rows, b->n_out);
    return norm(g, m, "final_norm", -1, x, m->final_norm, m->final_norm_b);
}

hg_tensor *hg_model_forward(hg_graph *g, const hg_model *m, const hg_batch *b)
{
    g->tuning = m->tuning != NULL ? &m->tuning->lora : NULL;
    g->drops = g->record;
    hg_tensor *x = forward(g, m, b);
    g->tuning = NULL;
    return x;
}

hg_tensor *hg_model_logits(hg_graph *g, const hg_model *m, hg_tensor *x)
{
    hg_tensor *y = hg_op_linear(g, x, m->head, NULL);
    if (m->c.soft_cap > 0.0f) y = hg_op_soft_cap(g, y, m->c.soft_cap);
    return shown(g, "logits", -1, y);
}
