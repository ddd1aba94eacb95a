/* The graph: sticky errors and their words, the record, hooks, and results that no number of
 * threads changes. */
#include "harness/lab.h"
#include "harness/test.h"

#include <string.h>

/* ---- errors ---- */

static void check_failure(lab *l, hg_tensor *y, hg_status status, const char *words)
{
    hg_err e = {0};
    CHECK(y == NULL);
    CHECK_EQ(hg_graph_status(&l->g, &e), status);
    CHECK_STR(e.msg, words);
    lab_begin(l, HG_COMPUTE_F32, true);
}

TEST(wrong_shapes_are_told_with_the_op_and_both_shapes)
{
    lab l;
    lab_open(&l, 1);
    hg_tensor *x = lab_tensor(&l, 3, 4, false), *z = lab_tensor(&l, 3, 5, false);
    hg_tensor *w = lab_tensor(&l, 6, 5, true), *b = lab_tensor(&l, 0, 7, true);
    check_failure(&l, hg_op_add(&l.g, x, z), HG_E_ARG,
                  "add: a is [3][4] and b is [3][5]; the same shape is needed");
    check_failure(&l, hg_op_gate(&l.g, x, z, HG_ACT_SILU), HG_E_ARG,
                  "gate: gate is [3][4] and up is [3][5]; the same shape is needed");
    check_failure(&l, hg_op_linear(&l.g, x, w, NULL), HG_E_ARG,
                  "linear: x is [3][4] and w is [6][5]; w must be [n_out][4]");
    check_failure(&l, hg_op_linear(&l.g, z, w, b), HG_E_ARG, "linear: b is [7]; [6] is needed");
    check_failure(&l, hg_op_rms_norm(&l.g, x, b, 0), HG_E_ARG,
                  "rms_norm: x is [3][4]; its rows must be whole runs of w's 7 values");
    check_failure(&l, hg_op_linear_cross_entropy(&l.g, x, w, NULL, NULL, 0, NULL, NULL), HG_E_ARG,
                  "cross_entropy: x is [3][4] and w is [6][5]; w must be [n_vocab][4]");
    hg_rope r = {.d_head = 3};
    check_failure(&l, hg_op_rope(&l.g, x, NULL, &r), HG_E_ARG,
                  "rope: x is [3][4]; its rows must be whole heads of 3");
    r = (hg_rope){.d_head = 4, .d_rot = 3};
    check_failure(&l, hg_op_rope(&l.g, x, NULL, &r), HG_E_ARG,
                  "rope: 3 values of each head turn; an even number up to 4 can");
    lab_close(&l);
}

TEST(indexes_out_of_range_are_told)
{
    lab l;
    const int32_t ids[] = {0, 2, 3, -1}, targets[] = {1, 5, -1};
    lab_open(&l, 1);
    hg_tensor *x = lab_tensor(&l, 3, 4, false), *w = lab_tensor(&l, 5, 4, true);
    check_failure(&l, hg_op_embed(&l.g, x, ids, 4), HG_E_ARG,
                  "embed: index 2 is 3; 0 to 2 allowed");
    check_failure(&l, hg_op_rows(&l.g, x, ids + 3, 1), HG_E_ARG,
                  "rows: index 0 is -1; 0 to 2 allowed");
    check_failure(&l, hg_op_linear_cross_entropy(&l.g, x, w, targets, NULL, 0, NULL, NULL),
                  HG_E_ARG, "cross_entropy: target 1 is 5; below 5 allowed");
    const float weights[] = {1, 1, -2};
    const int32_t good[] = {1, 4, 0};
    check_failure(&l, hg_op_linear_cross_entropy(&l.g, x, w, good, weights, 0, NULL, NULL),
                  HG_E_ARG, "cross_entropy: weight 2 is -2; 0 or more is needed");
    lab_close(&l);
}

TEST(attention_tells_what_does_not_fit)
{
    lab l;
    lab_open(&l, 1);
    hg_tensor *q = lab_tensor(&l, 6, 8, false), *k = lab_tensor(&l, 6, 4, false);
    hg_tensor *v = lab_tensor(&l, 6, 4, false);
    hg_kv_layer kv = {0};
    hg_span spans[] = {{.row = 0, .n = 2}, {.row = 2, .n = 3}, {.row = 5, .n = 1, .kv = &kv}};
    hg_attention a = {2, 1, 4, 1, 0, 0, NULL, spans, 2};
    check_failure(&l, hg_op_attention(&l.g, q, k, v, &a), HG_E_ARG,
                  "attention: the spans end at row 5 of 6");
    a.sinks = (const float[]){1, 2};
    check_failure(&l, hg_op_attention(&l.g, q, k, v, &a), HG_E_UNSUPPORTED,
                  "attention: sinks cannot be trained");
    a.sinks = NULL;
    a.n_spans = 3;
    check_failure(&l, hg_op_attention(&l.g, q, k, v, &a), HG_E_ARG,
                  "attention: span 2 has a cache, which cannot be recorded");
    spans[1].row = 3;
    check_failure(
        &l, hg_op_attention(&l.g, q, k, v, &a), HG_E_ARG,
        "attention: span 1 holds 3 rows from 3; the spans must follow each other from row "
        "0 to 6 and none be empty");
    a.n_kv_heads = 2;
    check_failure(&l, hg_op_attention(&l.g, q, k, v, &a), HG_E_ARG,
                  "attention: q is [6][8], k [6][4], v [6][4]; [6][8], [6][8] and the same are "
                  "needed");
    a.n_heads = 3;
    check_failure(&l, hg_op_attention(&l.g, q, k, v, &a), HG_E_ARG,
                  "attention: 3 heads of 4 values on 2 key heads; the heads must be a multiple of "
                  "the key heads");
    lab_close(&l);
}

TEST(inputs_that_are_missing_or_of_another_type_are_told)
{
    lab l;
    lab_open(&l, 1);
    hg_tensor *x = lab_tensor(&l, 3, 4, false), ids = *x, packed = *x;
    ids.type = HG_I32;
    packed.data = NULL;
    packed.packed = x->data;
    check_failure(&l, hg_op_scale(&l.g, NULL, 2), HG_E_ARG, "scale: x is missing");
    check_failure(&l, hg_op_scale(&l.g, &ids, 2), HG_E_ARG,
                  "scale: x is i32; f32, f16 or bf16 is needed");
    ids.type = HG_BF16;
    check_failure(&l, hg_op_add(&l.g, x, &ids), HG_E_ARG, "add: b is bf16; f32 is needed");
    check_failure(&l, hg_op_soft_cap(&l.g, x, 0), HG_E_ARG,
                  "soft_cap: the cap is 0; it must be above 0");
    check_failure(&l, hg_op_embed(&l.g, &packed, NULL, 0), HG_E_ARG,
                  "embed: the table is held only packed; its rows are needed as well");
    check_failure(&l, hg_op_linear(&l.g, x, &packed, NULL), HG_E_STATE,
                  "linear: w is held only packed; a backward pass needs its rows");
    lab_close(&l);
}

TEST(an_activation_without_room_fails_the_graph_for_good)
{
    lab l;
    hg_err e = {0};
    lab_open(&l, 1);
    hg_tensor *x = lab_tensor(&l, 3, 4, false);
    CHECK(hg_graph_tensor(&l.g, (size_t)1 << 40, (size_t)1 << 30) == NULL);
    CHECK(hg_op_scale(&l.g, x, 2) == NULL);
    CHECK(hg_op_add(&l.g, NULL, NULL) == NULL); /* later failures do not cover the first */
    CHECK_EQ(hg_graph_backward(&l.g, NULL, 1, &e), HG_E_NOMEM);
    CHECK_STR(e.msg, "no memory for an activation of 1099511627776 x 1073741824 values");
    lab_close(&l);
}

/* ---- the record ---- */

TEST(backward_needs_a_record_and_a_single_value_and_uses_it_up)
{
    lab l;
    hg_err e = {0};
    lab_open(&l, 1);
    hg_tensor *x = lab_tensor(&l, 3, 4, false);
    hg_tensor *y = hg_op_scale(&l.g, x, 2), *loss = lab_sum(&l.g, y, NULL);
    CHECK_EQ(hg_graph_backward(&l.g, y, 1, &e), HG_E_ARG);
    CHECK_STR(e.msg, "backward starts at a single value; this loss has 12");
    CHECK_OK(hg_graph_backward(&l.g, loss, 1, &e), e);
    CHECK_EQ(hg_graph_backward(&l.g, loss, 1, &e), HG_E_STATE);
    CHECK_STR(e.msg, "the record is used up; run the forward pass again");
    lab_begin(&l, HG_COMPUTE_F32, false);
    loss = lab_sum(&l.g, x, NULL);
    CHECK_EQ(hg_graph_backward(&l.g, loss, 1, &e), HG_E_STATE);
    CHECK_STR(e.msg, "this graph has no record; begin it with record on");
    lab_close(&l);
}

TEST(nothing_is_recorded_where_nothing_wants_a_gradient)
{
    lab l;
    hg_err e = {0};
    lab_open(&l, 1);
    hg_tensor *x = lab_tensor(&l, 3, 4, false), *w = lab_tensor(&l, 5, 4, true);
    x->needs_grad = false;
    w->grad = NULL;
    hg_tensor *loss = lab_sum(&l.g, hg_op_linear(&l.g, x, w, NULL), NULL);
    CHECK(l.g.last == NULL);
    CHECK_OK(hg_graph_backward(&l.g, loss, 1, &e), e);
    CHECK(x->grad == NULL);
    lab_close(&l);
}

static void double_it(void *ctx, const char *name, int layer, hg_tensor *t)
{
    *(int *)ctx = layer;
    if (strcmp(name, "mlp_out") == 0)
        for (size_t i = 0; i < hg_tensor_count(t); i++) ((float *)t->data)[i] *= 2;
}

TEST(a_hook_sees_and_changes_what_it_is_shown)
{
    lab l;
    int layer = -1;
    hg_hooks hooks = {.show = double_it, .ctx = &layer};
    lab_open(&l, 1);
    hg_tensor *x = lab_tensor(&l, 1, 2, false);
    float was = *(float *)x->data;
    hg_graph_show(&l.g, "mlp_out", 3, x); /* no hooks: nothing happens */
    CHECK_NEAR(*(float *)x->data, was, 0);
    l.g.hooks = &hooks;
    hg_graph_show(&l.g, "mlp_out", 3, x);
    CHECK_EQ(layer, 3);
    CHECK_NEAR(*(float *)x->data, 2 * was, 0);
    lab_close(&l);
}

/* ---- threads ---- */

enum { N = 700, D = 48, FF = 100, VOCAB = 301, N_PARAMS = 11 };

typedef struct outcome {
    float loss;
    float *grad[N_PARAMS];
    hg_tensor *param[N_PARAMS];
} outcome;

static hg_tensor *small_model(lab *l, hg_tensor **p, const int32_t *ids, const int32_t *pos,
                              const hg_attention *a)
{
    static const float inv_freq[] = {1, 0.5f, 0.2f, 0.1f, 0.05f, 0.02f};
    hg_rope r = {12, 12, false, inv_freq, 1, NULL, NULL};
    hg_graph *g = &l->g;
    hg_tensor *x = hg_op_embed(g, p[0], ids, N), *h = hg_op_rms_norm(g, x, p[1], 1e-5f);
    hg_tensor *q = hg_op_rope(g, hg_op_linear(g, h, p[2], NULL), pos, &r);
    hg_tensor *k = hg_op_rope(g, hg_op_linear(g, h, p[3], NULL), pos, &r);
    h = hg_op_attention(g, q, k, hg_op_linear(g, h, p[4], p[10]), a);
    x = hg_op_add(g, x, hg_op_linear(g, h, p[5], NULL));
    h = hg_op_layer_norm(g, x, p[6], NULL, 1e-5f);
    h = hg_op_gate(g, hg_op_linear(g, h, p[7], NULL), hg_op_linear(g, h, p[8], NULL), HG_ACT_SILU);
    x = hg_op_add(g, x, hg_op_linear(g, h, p[9], NULL));
    return hg_op_linear_cross_entropy(g, x, p[0], ids, NULL, 0, NULL, NULL);
}

static void train_once(lab *l, outcome *o, int n_threads, hg_compute compute)
{
    static const size_t shape[N_PARAMS][2] = {{VOCAB, D}, {0, D},  {D, D}, {24, D},
                                              {24, D},    {D, D},  {0, D}, {FF, D},
                                              {FF, D},    {D, FF}, {0, 24}};
    hg_err e = {0};
    int32_t ids[N], pos[N];
    hg_span spans[] = {{.row = 0, .n = 600}, {.row = 600, .n = 3}, {.row = 603, .n = 97}};
    hg_attention a = {4, 2, 12, 0.3f, 0, 0, NULL, spans, 3};
    lab_open(l, n_threads);
    for (size_t i = 0; i < N_PARAMS; i++) {
        o->param[i] = lab_tensor(l, shape[i][0], shape[i][1], true);
        o->grad[i] = o->param[i]->grad;
        /* of a size that a model in training has: scores and logits of a few units */
        for (size_t j = 0; j < hg_tensor_count(o->param[i]); j++)
            ((float *)o->param[i]->data)[j] *= 0.3f;
    }
    for (int32_t i = 0; i < N; i++) {
        ids[i] = i * 17 % VOCAB;
        pos[i] = i < 600 ? i : i % 97;
    }
    lab_begin(l, compute, true);
    hg_tensor *loss = small_model(l, o->param, ids, pos, &a);
    CHECK_OK(hg_graph_backward(&l->g, loss, 1, &e), e);
    o->loss = *(float *)loss->data;
}

TEST(one_two_and_three_threads_give_the_same_bits)
{
    for (int compute = 0; compute < HG_N_COMPUTE; compute++) {
        lab one, many;
        outcome a, b;
        train_once(&one, &a, 1, (hg_compute)compute);
        for (int n_threads = 2; n_threads <= 3; n_threads++) {
            train_once(&many, &b, n_threads, (hg_compute)compute);
            CHECK(memcmp(&a.loss, &b.loss, sizeof a.loss) == 0);
            for (size_t i = 0; i < N_PARAMS; i++)
                if (memcmp(a.grad[i], b.grad[i], hg_tensor_count(a.param[i]) * sizeof(float)) != 0)
                    test_fail(__FILE__, __LINE__, "gradient %zu differs on %d threads", i,
                              n_threads);
            lab_close(&many);
        }
        lab_close(&one);
    }
}

TEST(bf16_products_stay_near_float32)
{
    lab f, h;
    outcome a, b;
    train_once(&f, &a, 2, HG_COMPUTE_F32);
    train_once(&h, &b, 2, HG_COMPUTE_BF16);
    CHECK_NEAR(b.loss, a.loss, 0.02f * a.loss);
    for (size_t i = 0; i < N_PARAMS; i++) {
        double diff = 0, size = 0;
        for (size_t j = 0; j < hg_tensor_count(a.param[i]); j++) {
            double d = (double)b.grad[i][j] - (double)a.grad[i][j];
            diff += d * d;
            size += (double)a.grad[i][j] * (double)a.grad[i][j];
        }
        CHECK(size > 0);
        if (!(diff < 0.05 * 0.05 * size))
            test_fail(__FILE__, __LINE__, "gradient %zu is off by %.3g of %.3g", i, diff, size);
    }
    lab_close(&f);
    lab_close(&h);
}

TEST(a_second_step_takes_no_more_memory_than_the_first)
{
    lab l;
    outcome o;
    train_once(&l, &o, 2, HG_COMPUTE_BF16);
    size_t used = l.step.used;
    hg_err e = {0};
    int32_t ids[N] = {0}, pos[N] = {0};
    hg_span span = {.row = 0, .n = N};
    hg_attention a = {4, 2, 12, 0.3f, 0, 0, NULL, &span, 1};
    for (int i = 0; i < 3; i++) {
        lab_begin(&l, HG_COMPUTE_BF16, true);
        CHECK_OK(hg_graph_backward(&l.g, small_model(&l, o.param, ids, pos, &a), 1, &e), e);
    }
    CHECK(l.step.used <= used + 4096);
    lab_close(&l);
}

/* ---- keeping less ---- */

typedef struct half {
    hg_tensor *norm, *w;
} half;

static hg_tensor *half_block(hg_graph *g, const void *ctx, hg_tensor *x)
{
    const half *p = ctx;
    hg_tensor *h = hg_op_rms_norm(g, x, p->norm, 1e-5f);
    hg_tensor *y = hg_op_linear(g, h, p->w, NULL);
    return hg_op_add(g, x, y);
}

TEST(what_is_run_again_gives_the_same_gradients)
{
    lab l;
    hg_err e = {0};
    float grad[2][3 * 4], wgrad[2][16];
    lab_open(&l, 1);
    hg_tensor *x = lab_tensor(&l, 3, 4, false), *w = lab_tensor(&l, 4, 4, true),
              *norm = lab_tensor(&l, 0, 4, true), *head = lab_tensor(&l, 5, 4, true);
    const int32_t targets[] = {1, 4, 0};
    const half p = {norm, w};
    for (int again = 0; again < 2; again++) {
        lab_begin(&l, HG_COMPUTE_F32, true);
        x->needs_grad = true;
        x->grad = NULL;
        x->grad_buf = NULL;
        memset(w->grad, 0, sizeof wgrad[0]);
        hg_tensor *y = again ? hg_op_again(&l.g, half_block, &p, x) : half_block(&l.g, &p, x);
        hg_tensor *loss = hg_op_linear_cross_entropy(&l.g, y, head, targets, NULL, 0, NULL, NULL);
        CHECK_OK(hg_graph_backward(&l.g, loss, 1, &e), e);
        memcpy(grad[again], x->grad, sizeof grad[0]);
        memcpy(wgrad[again], w->grad, sizeof wgrad[0]);
    }
    CHECK_EQ(memcmp(grad[0], grad[1], sizeof grad[0]), 0);
    CHECK_EQ(memcmp(wgrad[0], wgrad[1], sizeof wgrad[0]), 0);
    lab_close(&l);
}

TEST(dropped_and_rounded_values_give_their_place_to_the_next)
{
    lab l;
    lab_open(&l, 1);
    hg_tensor *x = lab_tensor(&l, 3, 4, false), *w = lab_tensor(&l, 4, 4, true);
    lab_begin(&l, HG_COMPUTE_BF16, true);
    hg_tensor *a = hg_op_linear(&l.g, x, w, NULL), *b = hg_op_linear(&l.g, x, w, NULL);
    const void *place_a = a->data, *place_b = b->data;
    hg_graph_drop(&l.g, a);
    CHECK(a->data == NULL);
    CHECK(hg_op_linear(&l.g, x, w, NULL)->data == place_a);
    hg_graph_round(&l.g, b);
    CHECK_EQ(b->type, HG_BF16);
    CHECK(b->data != place_b);
    CHECK(hg_op_linear(&l.g, x, w, NULL)->data == place_b);
    /* Without a record everything stays. */
    lab_begin(&l, HG_COMPUTE_BF16, false);
    a = hg_op_linear(&l.g, x, w, NULL);
    hg_graph_round(&l.g, a);
    hg_graph_drop(&l.g, a);
    CHECK(a->data != NULL && a->type == HG_F32);
    lab_close(&l);
}
