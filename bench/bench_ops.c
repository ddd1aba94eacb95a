/* A whole training step, forward and backward, made of the ops alone: no model, no optimiser. Shows
 * what share of the machine's matrix product rate the ops let through. Options, in this order, with
 * their defaults: layers 6, d_model 384, heads 6, d_ff 1024, vocabulary 8192, spans 32, rows of a
 * span 256, steps 5. */
#include "base/clock.h"
#include "base/rng.h"
#include "tensor/matmul.h"
#include "tensor/ops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct shape {
    size_t n_layers, d, n_heads, d_ff, n_vocab, n_spans, t, n_steps;
} shape;

typedef struct layer {
    hg_tensor *norm1, *q, *k, *v, *o, *norm2, *gate, *up, *down;
} layer;

typedef struct net {
    shape s;
    hg_runtime *rt;
    hg_arena keep, step;
    hg_tensor *embed, *norm, *head;
    layer *l;
    size_t n_weights; /* of matrices that are multiplied with */
    int32_t *ids, *targets, *pos;
    hg_span *spans;
    float *inv_freq;
} net;

static void fail(const char *what)
{
    (void)fprintf(stderr, "bench_ops: %s\n", what);
    exit(1);
}

static hg_tensor *param(net *n, hg_rng *r, size_t rows, size_t cols)
{
    hg_tensor *t = HG_NEW(&n->keep, hg_tensor, 1);
    size_t count = (rows > 0 ? rows : 1) * cols;
    float *data = HG_NEW(&n->keep, float, count), *grad = HG_NEW(&n->keep, float, count);
    if (t == NULL || data == NULL || grad == NULL) fail("no memory for the parameters");
    *t = (hg_tensor){.n_dims = rows > 0 ? 2 : 1, .data = data, .grad = grad, .is_param = true};
    t->dim[0] = rows > 0 ? rows : cols;
    t->dim[1] = rows > 0 ? cols : 0;
    for (size_t i = 0; i < count; i++) data[i] = rows > 0 ? 0.04f * (float)hg_rng_normal(r) : 1.0f;
    if (rows > 0) n->n_weights += count;
    return t;
}

static void net_new(net *n)
{
    const shape *s = &n->s;
    size_t rows = s->n_spans * s->t, half = s->d / s->n_heads / 2;
    hg_rng r;
    hg_rng_init(&r, 1, 0);
    n->embed = param(n, &r, s->n_vocab, s->d);
    n->n_weights = 0; /* the embedding only picks rows */
    n->norm = param(n, &r, 0, s->d);
    n->head = param(n, &r, s->n_vocab, s->d);
    n->l = HG_NEW(&n->keep, layer, s->n_layers);
    for (size_t i = 0; i < s->n_layers; i++)
        n->l[i] = (layer){
            param(n, &r, 0, s->d),       param(n, &r, s->d, s->d),    param(n, &r, s->d, s->d),
            param(n, &r, s->d, s->d),    param(n, &r, s->d, s->d),    param(n, &r, 0, s->d),
            param(n, &r, s->d_ff, s->d), param(n, &r, s->d_ff, s->d), param(n, &r, s->d, s->d_ff)};
    n->ids = HG_NEW(&n->keep, int32_t, rows);
    n->targets = HG_NEW(&n->keep, int32_t, rows);
    n->pos = HG_NEW(&n->keep, int32_t, rows);
    n->spans = HG_NEW(&n->keep, hg_span, s->n_spans);
    n->inv_freq = HG_NEW(&n->keep, float, half);
    for (size_t i = 0; i < rows; i++) {
        n->ids[i] = (int32_t)hg_rng_below(&r, s->n_vocab);
        n->targets[i] = (int32_t)hg_rng_below(&r, s->n_vocab);
        n->pos[i] = (int32_t)(i % s->t);
    }
    for (size_t i = 0; i < s->n_spans; i++) n->spans[i] = (hg_span){.row = i * s->t, .n = s->t};
    for (size_t i = 0; i < half; i++) n->inv_freq[i] = powf(10000.0f, -(float)i / (float)half);
}

static hg_tensor *forward(net *n, hg_graph *g)
{
    const shape *s = &n->s;
    size_t d_head = s->d / s->n_heads;
    hg_rope rope = {.d_head = d_head, .d_rot = d_head, .inv_freq = n->inv_freq, .scale = 1};
    hg_attention a = {.n_heads = s->n_heads,
                      .n_kv_heads = s->n_heads,
                      .d_head = d_head,
                      .scale = 1 / sqrtf((float)d_head),
                      .spans = n->spans,
                      .n_spans = s->n_spans};
    hg_tensor *x = hg_op_embed(g, n->embed, n->ids, s->n_spans * s->t);
    for (size_t i = 0; i < s->n_layers; i++) {
        const layer *l = &n->l[i];
        hg_tensor *h = hg_op_rms_norm(g, x, l->norm1, 1e-5f);
        hg_tensor *q = hg_op_rope(g, hg_op_linear(g, h, l->q, NULL), n->pos, &rope);
        hg_tensor *k = hg_op_rope(g, hg_op_linear(g, h, l->k, NULL), n->pos, &rope);
        h = hg_op_attention(g, q, k, hg_op_linear(g, h, l->v, NULL), &a);
        x = hg_op_add(g, x, hg_op_linear(g, h, l->o, NULL));
        h = hg_op_rms_norm(g, x, l->norm2, 1e-5f);
        h = hg_op_gate(g, hg_op_linear(g, h, l->gate, NULL), hg_op_linear(g, h, l->up, NULL),
                       HG_ACT_SILU);
        x = hg_op_add(g, x, hg_op_linear(g, h, l->down, NULL));
    }
    x = hg_op_rms_norm(g, x, n->norm, 1e-5f);
    return hg_op_linear_cross_entropy(g, x, n->head, n->targets, NULL, 0, NULL, NULL);
}

/* Seconds of one step; *forward_s gets the forward pass's part. */
static double step(net *n, double *forward_s)
{
    hg_graph g;
    hg_err e;
    hg_arena_reset(&n->step);
    hg_graph_init(&g, n->rt, &n->step, HG_COMPUTE_BF16, true);
    g.loss_scale = 1;
    double t0 = hg_seconds();
    hg_tensor *loss = forward(n, &g);
    *forward_s = hg_seconds() - t0;
    if (hg_graph_backward(&g, loss, 1, &e) != HG_OK) fail(e.msg);
    return hg_seconds() - t0;
}

/* The rate of a product that suits the machine, measured beside the step. */
static double product_gflops(net *n)
{
    enum { SIDE = 2048 };
    hg_err e;
    float *x = HG_NEW_RAW(&n->step, float, SIDE *SIDE * 3);
    if (x == NULL) fail("no memory for the product");
    for (size_t i = 0; i < (size_t)SIDE * SIDE * 2; i++) x[i] = 1;
    hg_matrix a = {x, HG_F32, SIDE, 1}, b = {x + (size_t)SIDE * SIDE, HG_F32, SIDE, 1};
    double best = 1e9;
    for (int i = 0; i < 3; i++) {
        double t0 = hg_seconds();
        if (hg_matmul(n->rt, HG_COMPUTE_BF16, x + (size_t)SIDE * SIDE * 2, SIDE, &a, &b, SIDE, SIDE,
                      SIDE, false, &e) != HG_OK)
            fail(e.msg);
        best = fmin(best, hg_seconds() - t0);
    }
    return 2e-9 * SIDE * SIDE * SIDE / best;
}

int main(int argc, char **argv)
{
    static net n = {.s = {6, 384, 6, 1024, 8192, 32, 256, 5}};
    size_t *field[] = {&n.s.n_layers, &n.s.d,       &n.s.n_heads, &n.s.d_ff,
                       &n.s.n_vocab,  &n.s.n_spans, &n.s.t,       &n.s.n_steps};
    hg_err e;
    for (int i = 1; i < argc && i <= 8; i++) *field[i - 1] = strtoul(argv[i], NULL, 10);
    if (hg_runtime_new(&n.rt, 0, HG_N_ISA, &e) != HG_OK) fail(e.msg);
    hg_arena_init(&n.keep, 0);
    hg_arena_init(&n.step, 0);
    net_new(&n);
    double best = 1e9, best_forward = 0, forward_s = 0;
    (void)step(&n, &forward_s);
    size_t used = n.step.peak;
    for (size_t i = 0; i < n.s.n_steps; i++) {
        double s = step(&n, &forward_s);
        if (s < best) best_forward = forward_s;
        best = fmin(best, s);
    }
    hg_arena_reset(&n.step);
    double peak = product_gflops(&n), rows = (double)(n.s.n_spans * n.s.t);
    double flop = rows * (6.0 * (double)n.n_weights +
                          12.0 * (double)n.s.n_layers * (double)n.s.d * (double)n.s.t);
    double rate = flop * 1e-9 / best;
    printf("weights in products  %.1f M, activations %.2f GB\n", (double)n.n_weights * 1e-6,
           (double)used * 1e-9);
    printf("step                 %.3f s (forward %.3f), %.0f tokens/s\n", best, best_forward,
           rows / best);
    printf("rate                 %.0f of %.0f GFLOP/s\n", rate, peak);
    printf("{\"bench\": \"ops\", \"results\": [{\"name\": \"training step from ops\", \"unit\": "
           "\"GFLOP/s\", \"ours\": %.1f, \"peer\": null, \"limit\": %.1f, \"ratio\": %.3f, "
           "\"goal\": 0.6}]}\n",
           rate, peak, rate / peak);
    hg_arena_free(&n.keep);
    hg_arena_free(&n.step);
    hg_runtime_free(n.rt);
    return 0;
}
