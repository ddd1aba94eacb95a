/* Gradients of the fused head and cross-entropy, alone and at the end of a small block. */
#include "harness/lab.h"
#include "harness/test.h"

#include <math.h>
#include <string.h>

typedef struct args {
    hg_tensor *x, *w;
    const int32_t *targets;
    const float *weights;
    float cap, promise;
} args;

static hg_tensor *build(lab *l, void *ctx)
{
    args *a = ctx;
    /* lab_sum multiplies the loss with a coefficient, which no promise can be about */
    return hg_op_linear_cross_entropy(&l->g, a->x, a->w, a->targets, a->weights, a->cap, NULL,
                                      NULL);
}

static const int32_t TARGETS[] = {3, 0, 10, 10, 5, 1, 7}, MASKED[] = {3, -1, 10, -1, -100, 1, 7};
static const float WEIGHTS[] = {1, 0.5f, 2, 0, 1, 0.25f, 3};

TEST(cross_entropy_gradient_with_weights_ignored_rows_and_a_cap)
{
    for (int i = 0; i < 8; i++) {
        lab l;
        lab_open(&l, 2);
        args a = {.x = lab_input(&l, 7, 5, false), .w = lab_input(&l, 11, 5, true)};
        a.targets = i & 1 ? MASKED : TARGETS;
        a.weights = i & 2 ? WEIGHTS : NULL;
        a.cap = i & 4 ? 1.2f : 0;
        lab_compare(&l, build, &a, 0.03f, 1e-4);
        lab_close(&l);
    }
}

static hg_tensor *build_sum(lab *l, void *ctx)
{
    args *a = ctx;
    return hg_op_linear_surprise(&l->g, a->x, a->w, a->targets, a->weights, a->cap, NULL);
}

static const float SIGNED[] = {1, -0.5f, 2, 0, -1, 0.25f, -3};

TEST(summed_surprise_has_the_gradient_of_weights_of_any_sign)
{
    for (int i = 0; i < 8; i++) {
        lab l;
        lab_open(&l, 2);
        args a = {.x = lab_input(&l, 7, 5, false), .w = lab_input(&l, 11, 5, true)};
        a.targets = i & 1 ? MASKED : TARGETS;
        a.weights = i & 2 ? SIGNED : NULL;
        a.cap = i & 4 ? 1.2f : 0;
        lab_compare(&l, build_sum, &a, 0.03f, 2e-4);
        lab_close(&l);
    }
}

TEST(summed_surprise_is_the_weighted_sum_of_the_rows_own)
{
    lab l;
    float losses[7];
    double sum = 0;
    lab_open(&l, 2);
    args a = {lab_tensor(&l, 7, 5, false), lab_tensor(&l, 11, 5, true), MASKED, SIGNED, 0, 0};
    hg_tensor *out = hg_op_linear_surprise(&l.g, a.x, a.w, a.targets, a.weights, a.cap, losses);
    for (size_t i = 0; i < 7; i++) sum += (double)(SIGNED[i] * losses[i]);
    CHECK_NEAR(*(float *)out->data, sum, 1e-6);
    CHECK(losses[0] > 0 && losses[1] == 0);
    lab_close(&l);
}

TEST(summed_surprise_refuses_a_weight_that_is_no_number)
{
    static const float wrong[] = {1, 1, NAN, 1, 1, 1, 1};
    lab l;
    lab_open(&l, 1);
    args a = {lab_tensor(&l, 7, 5, false), lab_tensor(&l, 11, 5, true), TARGETS, wrong, 0, 0};
    CHECK(build_sum(&l, &a) == NULL);
    CHECK_STR(l.g.err.msg, "cross_entropy: weight 2 is nan; a finite one is needed");
    lab_close(&l);
}

/* dx and dW of one pass with a scale of 0.5 */
static void gradients(lab *l, args *a, hg_compute compute, float *dx, float *dw)
{
    hg_err e = {0};
    memset(a->w->grad, 0, hg_tensor_count(a->w) * sizeof(float));
    a->x->grad = NULL;
    a->x->grad_buf = NULL;
    lab_begin(l, compute, true);
    l->g.loss_scale = a->promise;
    hg_tensor *loss = build(l, a);
    CHECK_OK(hg_graph_backward(&l->g, loss, 0.5f, &e), e);
    memcpy(dx, a->x->grad, hg_tensor_count(a->x) * sizeof(float));
    memcpy(dw, a->w->grad, hg_tensor_count(a->w) * sizeof(float));
}

TEST(a_promised_loss_scale_changes_no_bit_of_the_gradients)
{
    for (int compute = 0; compute < HG_N_COMPUTE; compute++) {
        lab l;
        lab_open(&l, 2);
        enum { N = 1300, D = 24, V = 50 };
        args a = {.x = lab_tensor(&l, N, D, false), .w = lab_tensor(&l, V, D, true)};
        int32_t *targets = HG_NEW(&l.keep, int32_t, N);
        for (int32_t i = 0; i < N; i++) targets[i] = i % 7 == 0 ? -1 : i * 31 % V;
        a.targets = targets;
        float *g[4];
        for (int i = 0; i < 4; i++) g[i] = HG_NEW(&l.keep, float, N *D);
        gradients(&l, &a, (hg_compute)compute, g[0], g[1]);
        a.promise = 0.5f;
        gradients(&l, &a, (hg_compute)compute, g[2], g[3]);
        CHECK(memcmp(g[0], g[2], N * D * sizeof(float)) == 0);
        CHECK(memcmp(g[1], g[3], V * D * sizeof(float)) == 0);
        double size = 0;
        for (int i = 0; i < V * D; i++) size += fabs((double)g[1][i]);
        CHECK(size > 0.01);
        lab_close(&l);
    }
}

TEST(a_broken_promise_of_the_loss_scale_is_told)
{
    lab l;
    hg_err e = {0};
    lab_open(&l, 1);
    args a = {lab_tensor(&l, 7, 5, false), lab_tensor(&l, 11, 5, true), TARGETS, NULL, 0, 0};
    l.g.loss_scale = 2;
    CHECK_EQ(hg_graph_backward(&l.g, build(&l, &a), 1, &e), HG_E_STATE);
    CHECK_STR(e.msg, "cross_entropy: backward comes with a scale of 1, but loss_scale promised 2");
    lab_close(&l);
}

TEST(a_frozen_head_or_a_frozen_state_gets_no_gradient)
{
    for (int i = 0; i < 4; i++) {
        lab l;
        hg_err e = {0};
        lab_open(&l, 2);
        args a = {lab_tensor(&l, 7, 5, false), lab_tensor(&l, 11, 5, true), TARGETS, NULL, 0, 0};
        if (i & 1) a.w->grad = NULL;
        if (i & 2) a.x->needs_grad = false;
        l.g.loss_scale = 1;
        CHECK_OK(hg_graph_backward(&l.g, build(&l, &a), 1, &e), e);
        CHECK((a.x->grad != NULL) == !(i & 2));
        CHECK((a.w->grad != NULL) == !(i & 1));
        lab_close(&l);
    }
}

TEST(rows_that_do_not_count_change_nothing)
{
    lab l;
    hg_err e = {0};
    size_t n_counted = 1;
    static const int32_t none[] = {-1, -1, -1, -1, -1, -1, -1};
    lab_open(&l, 2);
    args a = {lab_tensor(&l, 7, 5, false), lab_tensor(&l, 11, 5, true), none, NULL, 0, 0};
    hg_tensor *loss = hg_op_linear_cross_entropy(&l.g, a.x, a.w, none, NULL, 0, NULL, &n_counted);
    CHECK_OK(hg_graph_backward(&l.g, loss, 1, &e), e);
    CHECK_EQ(n_counted, 0);
    CHECK_NEAR(*(float *)loss->data, 0, 0);
    for (size_t i = 0; i < 55; i++) CHECK_NEAR(a.w->grad[i], 0, 0);
    lab_close(&l);
}

/* ---- distillation ---- */

typedef struct taught {
    hg_tensor *x, *w, *tx, *tw;
    hg_distill o;
    float losses[7], kls[7];
    hg_compute compute;
} taught;

static void taught_new(lab *l, taught *t, float temperature, float share, float cap)
{
    *t = (taught){.x = lab_tensor(l, 7, 5, false), .w = lab_tensor(l, 11, 5, true)};
    t->tx = lab_tensor(l, 7, 6, false);
    t->tw = lab_tensor(l, 12, 6, true);
    t->o = (hg_distill){.targets = MASKED,
                        .temperature = temperature,
                        .share = share,
                        .soft_cap = cap,
                        .losses = t->losses,
                        .kls = t->kls,
                        .teacher_compute = HG_COMPUTE_F32};
}

/* The loss by its definition, in double. */
static double taught_loss(const taught *t)
{
    double sum = 0, weight = 0, T = (double)t->o.temperature, a = (double)t->o.share;
    const float *x = t->x->data, *w = t->w->data, *tx = t->tx->data, *tw = t->tw->data;
    for (int r = 0; r < 7; r++) {
        double z[11], u[11], Z = 0, S = 0, U = 0, kl = 0;
        const double by = t->o.weights != NULL ? (double)t->o.weights[r] : 1;
        if (MASKED[r] < 0) continue;
        weight += by;
        for (int v = 0; v < 11; v++) {
            z[v] = u[v] = 0;
            for (int k = 0; k < 5; k++) z[v] += (double)x[r * 5 + k] * (double)w[v * 5 + k];
            for (int k = 0; k < 6; k++) u[v] += (double)tx[r * 6 + k] * (double)tw[v * 6 + k];
            if (t->o.soft_cap > 0)
                z[v] = (double)t->o.soft_cap * tanh(z[v] / (double)t->o.soft_cap);
            Z += exp(z[v]);
            S += exp(z[v] / T);
            U += exp(u[v] / T);
        }
        for (int v = 0; v < 11; v++)
            kl += exp(u[v] / T) / U * (u[v] / T - log(U) - z[v] / T + log(S));
        sum += by * ((1 - a) * (log(Z) - z[MASKED[r]]) + a * T * T * kl);
    }
    return sum / weight;
}

static double taught_run(lab *l, taught *t, bool record)
{
    hg_err e = {0};
    lab_begin(l, HG_COMPUTE_F32, record);
    l->g.loss_scale = record ? 1.0f : 0.0f;
    hg_tensor *loss = hg_op_distill(&l->g, t->x, t->w, t->tx, t->tw, &t->o);
    CHECK(loss != NULL);
    double value = (double)*(float *)loss->data;
    if (record) CHECK_OK(hg_graph_backward(&l->g, loss, 1, &e), e);
    return value;
}

static void taught_check(taught *t, hg_tensor *of, const float *grad)
{
    float *x = of->data;
    for (size_t i = 0; i < hg_tensor_count(of); i++) {
        const float was = x[i];
        double v[2];
        for (int s = 0; s < 2; s++) {
            x[i] = was + (s ? 1e-3f : -1e-3f);
            v[s] = taught_loss(t);
        }
        x[i] = was;
        CHECK_NEAR(grad[i], (v[1] - v[0]) / 2e-3, 2e-4);
    }
}

TEST(distillation_has_the_loss_and_the_gradient_of_its_definition)
{
    static const float how[][3] = {{1, 0.5f, 0}, {2, 1, 0}, {3, 0.25f, 1.2f}, {1, 0, 0}};
    for (size_t i = 0; i < 4; i++) {
        lab l;
        taught t;
        lab_open(&l, 2);
        taught_new(&l, &t, how[i][0], how[i][1], how[i][2]);
        CHECK_NEAR(taught_run(&l, &t, false), taught_loss(&t), 1e-5);
        CHECK_NEAR(taught_run(&l, &t, true), taught_loss(&t), 1e-5);
        taught_check(&t, t.x, t.x->grad);
        taught_check(&t, t.w, t.w->grad);
        lab_close(&l);
    }
}

TEST(distillation_weighs_rows_where_it_is_given_weights)
{
    static const float weights[7] = {1, 0.5f, 0.25f, 1, 0, 0.75f, 0.1f};
    lab l;
    taught t;
    lab_open(&l, 2);
    taught_new(&l, &t, 2, 0.5f, 0);
    const double plain = taught_loss(&t);
    t.o.weights = weights;
    CHECK(fabs(plain - taught_loss(&t)) > 1e-3);
    CHECK_NEAR(taught_run(&l, &t, true), taught_loss(&t), 1e-5);
    taught_check(&t, t.x, t.x->grad);
    taught_check(&t, t.w, t.w->grad);
    lab_close(&l);
}

TEST(distillation_refuses_heads_that_do_not_fit)
{
    lab l;
    taught t;
    lab_open(&l, 1);
    taught_new(&l, &t, 1, 0.5f, 0);
    CHECK(hg_op_distill(&l.g, t.x, t.w, t.tx, t.w, &t.o) == NULL);
    CHECK_STR(l.g.err.msg,
              "distill: states and heads of student and teacher do not fit each other");
    lab_close(&l);
}

/* ---- a whole small block ---- */

enum { ROWS = 9, D = 8, FF = 12, VOCAB = 13 };

typedef struct block {
    hg_tensor *embed, *norm1, *q, *k, *v, *o, *norm2, *gate, *up, *down, *norm3;
    int32_t ids[ROWS], pos[ROWS], targets[ROWS];
    hg_attention att;
    hg_span spans[2];
    hg_rope rope;
    float inv_freq[2];
} block;

static void block_new(lab *l, block *b)
{
    *b = (block){.embed = lab_tensor(l, VOCAB, D, true),
                 .norm1 = lab_tensor(l, 0, D, true),
                 .q = lab_tensor(l, D, D, true),
                 .k = lab_tensor(l, D / 2, D, true),
                 .v = lab_tensor(l, D / 2, D, true),
                 .o = lab_tensor(l, D, D, true),
                 .norm2 = lab_tensor(l, 0, D, true),
                 .gate = lab_tensor(l, FF, D, true),
                 .up = lab_tensor(l, FF, D, true),
                 .down = lab_tensor(l, D, FF, true),
                 .norm3 = lab_tensor(l, 0, D, true),
                 .spans = {{.row = 0, .n = 4}, {.row = 4, .n = 5}},
                 .inv_freq = {1, 0.1f}};
    for (int32_t i = 0; i < ROWS; i++) {
        b->ids[i] = i * 5 % VOCAB;
        b->pos[i] = i < 4 ? i : i - 4;
        b->targets[i] = i == 3 ? -1 : (i + 1) * 5 % VOCAB;
    }
    b->att = (hg_attention){2, 1, 4, 0.5f, 0, 0, NULL, b->spans, 2};
    b->rope = (hg_rope){.d_head = 4, .d_rot = 4, .inv_freq = b->inv_freq, .scale = 1};
}

/* The tied head is the embedding: its gradient has two sources. */
static hg_tensor *build_block(lab *l, void *ctx)
{
    block *b = ctx;
    hg_graph *g = &l->g;
    hg_tensor *x = hg_op_embed(g, b->embed, b->ids, ROWS);
    hg_tensor *h = hg_op_rms_norm(g, x, b->norm1, 1e-3f);
    hg_tensor *q = hg_op_rope(g, hg_op_linear(g, h, b->q, NULL), b->pos, &b->rope);
    hg_tensor *k = hg_op_rope(g, hg_op_linear(g, h, b->k, NULL), b->pos, &b->rope);
    hg_tensor *v = hg_op_linear(g, h, b->v, NULL);
    h = hg_op_attention(g, q, k, v, &b->att);
    x = hg_op_add(g, x, hg_op_linear(g, h, b->o, NULL));
    h = hg_op_rms_norm(g, x, b->norm2, 1e-3f);
    h = hg_op_gate(g, hg_op_linear(g, h, b->gate, NULL), hg_op_linear(g, h, b->up, NULL),
                   HG_ACT_SILU);
    x = hg_op_add(g, x, hg_op_linear(g, h, b->down, NULL));
    x = hg_op_rms_norm(g, x, b->norm3, 1e-3f);
    return hg_op_linear_cross_entropy(g, x, b->embed, b->targets, NULL, 0, NULL, NULL);
}

static void use_inputs(lab *l, hg_tensor *const *t, size_t n)
{
    l->n_inputs = n;
    for (size_t i = 0; i < n; i++) l->input[i] = t[i];
}

TEST(the_gradients_of_a_whole_block)
{
    lab l;
    block b;
    lab_open(&l, 2);
    block_new(&l, &b);
    use_inputs(&l, (hg_tensor *[]){b.embed, b.norm1, b.q, b.k, b.v, b.o}, 6);
    lab_compare(&l, build_block, &b, 0.01f, 3e-4);
    use_inputs(&l, (hg_tensor *[]){b.norm2, b.gate, b.up, b.down, b.norm3}, 5);
    lab_compare(&l, build_block, &b, 0.01f, 3e-4);
    lab_close(&l);
}

TEST(two_backward_passes_add_up_in_the_parameters)
{
    lab l;
    hg_err e = {0};
    block b;
    float once[VOCAB * D];
    lab_open(&l, 2);
    block_new(&l, &b);
    CHECK_OK(hg_graph_backward(&l.g, build_block(&l, &b), 1, &e), e);
    memcpy(once, b.embed->grad, sizeof once);
    lab_begin(&l, HG_COMPUTE_F32, true);
    CHECK_OK(hg_graph_backward(&l.g, build_block(&l, &b), 0.5f, &e), e);
    for (size_t i = 0; i < VOCAB * D; i++)
        CHECK_NEAR(b.embed->grad[i], 1.5f * once[i], 1e-6 * (1 + fabs((double)once[i])));
    lab_close(&l);
}

TEST(a_frozen_base_lets_gradients_through_and_takes_none)
{
    lab l;
    hg_err e = {0};
    block b, free;
    lab_open(&l, 2);
    block_new(&l, &free);
    l.seed = 1;
    block_new(&l, &b);
    hg_tensor *frozen[] = {b.q, b.k, b.v, b.o, b.norm2, b.gate, b.up, b.down, b.norm3};
    for (size_t i = 0; i < 9; i++) frozen[i]->grad = NULL;
    CHECK_OK(hg_graph_backward(&l.g, build_block(&l, &free), 1, &e), e);
    lab_begin(&l, HG_COMPUTE_F32, true);
    CHECK_OK(hg_graph_backward(&l.g, build_block(&l, &b), 1, &e), e);
    for (size_t i = 0; i < 9; i++) CHECK(frozen[i]->grad == NULL);
    CHECK(memcmp(b.norm1->grad, free.norm1->grad, D * sizeof(float)) == 0);
    CHECK(memcmp(b.embed->grad, free.embed->grad, VOCAB * D * sizeof(float)) == 0);
    lab_close(&l);
}
