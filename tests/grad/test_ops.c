/* Gradients of the element-wise and row-wise ops against finite differences. */
#include "harness/lab.h"
#include "harness/test.h"

#include <math.h>

typedef struct args {
    hg_tensor *x, *w, *b;
    const int32_t *ids;
    size_t n;
    int kind;
    hg_rope rope;
} args;

static void compare(lab *l, lab_build *build, args *a, float h)
{
    lab_compare(l, build, a, h, 2e-4);
    lab_close(l);
}

static hg_tensor *build_embed(lab *l, void *ctx)
{
    args *a = ctx;
    return hg_op_embed(&l->g, a->x, a->ids, a->n);
}

TEST(embedding_gradient_adds_up_repeated_ids)
{
    lab l;
    const int32_t ids[] = {3, 0, 3, 18, 3, 1, 18};
    lab_open(&l, 2);
    args a = {.x = lab_input(&l, 19, 5, true), .ids = ids, .n = 7};
    compare(&l, build_embed, &a, 0.03f);
}

static hg_tensor *build_rows(lab *l, void *ctx)
{
    args *a = ctx;
    return hg_op_rows(&l->g, a->x, a->ids, a->n);
}

TEST(gathered_rows_gradient)
{
    lab l;
    const int32_t rows[] = {4, 2, 4};
    lab_open(&l, 2);
    args a = {.x = lab_input(&l, 6, 3, false), .ids = rows, .n = 3};
    compare(&l, build_rows, &a, 0.03f);
}

/* kinds: a + b, x + x, and sums whose gradient buffers are shared while one of them is written */
static hg_tensor *build_add(lab *l, void *ctx)
{
    args *a = ctx;
    hg_graph *g = &l->g;
    if (a->kind == 0) return hg_op_add(g, a->x, a->w);
    if (a->kind == 1) return hg_op_add(g, a->x, a->x);
    hg_tensor *u = hg_op_scale(g, a->x, 0.5f), *v = hg_op_soft_cap(g, u, 1.5f);
    hg_tensor *s = hg_op_add(g, u, v);
    return hg_op_add(g, s, hg_op_scale(g, hg_op_add(g, s, a->w), -2.0f));
}

TEST(sums_gradient)
{
    for (int kind = 0; kind < 3; kind++) {
        lab l;
        lab_open(&l, 2);
        args a = {.x = lab_input(&l, 4, 7, false), .kind = kind};
        a.w = kind == 1 ? NULL : lab_input(&l, 4, 7, false);
        compare(&l, build_add, &a, 0.03f);
    }
}

static hg_tensor *build_scale(lab *l, void *ctx)
{
    args *a = ctx;
    hg_tensor *y = hg_op_scale(&l->g, a->x, -1.75f);
    return a->kind == 0 ? y : hg_op_add(&l->g, y, a->x); /* x has two users */
}

TEST(scaling_gradient)
{
    for (int kind = 0; kind < 2; kind++) {
        lab l;
        lab_open(&l, 2);
        args a = {.x = lab_input(&l, 3, 5, false), .kind = kind};
        compare(&l, build_scale, &a, 0.03f);
    }
}

static hg_tensor *build_rms(lab *l, void *ctx)
{
    args *a = ctx;
    hg_tensor *y = hg_op_rms_norm(&l->g, a->x, a->w, 1e-3f);
    return a->kind == 0 ? y : hg_op_add(&l->g, a->x, y);
}

TEST(rms_norm_gradient_of_rows_and_of_heads)
{
    for (int kind = 0; kind < 2; kind++) {
        lab l;
        lab_open(&l, 2);
        args a = {.x = lab_input(&l, 19, 21, false), .w = lab_input(&l, 0, 21, true), .kind = kind};
        compare(&l, build_rms, &a, 0.02f);
        lab_open(&l, 2);
        a = (args){.x = lab_input(&l, 5, 21, false), .w = lab_input(&l, 0, 7, true), .kind = kind};
        compare(&l, build_rms, &a, 0.02f);
    }
}

static hg_tensor *build_layer(lab *l, void *ctx)
{
    args *a = ctx;
    hg_tensor *y = hg_op_layer_norm(&l->g, a->x, a->w, a->b, 1e-3f);
    return a->kind == 0 ? y : hg_op_add(&l->g, a->x, y);
}

TEST(layer_norm_gradient_with_and_without_bias)
{
    for (int kind = 0; kind < 2; kind++) {
        lab l;
        lab_open(&l, 2);
        args a = {.x = lab_input(&l, 18, 19, false), .w = lab_input(&l, 0, 19, true), .kind = kind};
        a.b = kind == 0 ? lab_input(&l, 0, 19, true) : NULL;
        compare(&l, build_layer, &a, 0.02f);
    }
}

static hg_tensor *build_linear(lab *l, void *ctx)
{
    args *a = ctx;
    hg_tensor *y = hg_op_linear(&l->g, a->x, a->w, a->b);
    return a->kind == 0 ? y : hg_op_add(&l->g, hg_op_linear(&l->g, a->x, a->w, NULL), y);
}

TEST(linear_gradient_with_and_without_bias_and_used_twice)
{
    for (int kind = 0; kind < 2; kind++)
        for (int bias = 0; bias < 2; bias++) {
            lab l;
            lab_open(&l, 2);
            args a = {.x = lab_input(&l, 21, 9, false), .w = lab_input(&l, 13, 9, true)};
            a.b = bias ? lab_input(&l, 0, 13, true) : NULL;
            a.kind = kind;
            compare(&l, build_linear, &a, 0.03f);
        }
}

static hg_tensor *build_rope(lab *l, void *ctx)
{
    args *a = ctx;
    hg_tensor *y = hg_op_rope(&l->g, a->x, a->ids, &a->rope);
    return a->kind == 0 ? y : hg_op_add(&l->g, a->x, y);
}

TEST(rotary_gradient_of_both_layouts_and_of_partial_heads)
{
    static const float inv_freq[] = {1.0f, 0.3f, 0.01f};
    static const int32_t dense[] = {0, 1, 2, 0, 1}, sparse[] = {7, 1000, 3, 12, 0};
    for (int kind = 0; kind < 2; kind++)
        for (int i = 0; i < 4; i++) {
            lab l;
            lab_open(&l, 2);
            args a = {.x = lab_input(&l, 5, 16, false), .ids = i & 1 ? dense : sparse};
            a.rope = (hg_rope){8, 6, (i & 2) != 0, inv_freq, 1.1f, NULL, NULL};
            a.kind = kind;
            compare(&l, build_rope, &a, 0.03f);
        }
}

static hg_tensor *build_act(lab *l, void *ctx)
{
    args *a = ctx;
    hg_act act = (hg_act)(a->kind % 4);
    hg_tensor *y = a->w != NULL ? hg_op_gate(&l->g, a->x, a->w, act) : hg_op_act(&l->g, a->x, act);
    return a->kind < 4 ? y : hg_op_add(&l->g, a->x, y);
}

/* Squared ReLU has no second derivative at 0, where differences are of no use. */
static void keep_off_zero(hg_tensor *t)
{
    float *x = t->data;
    for (size_t i = 0; i < hg_tensor_count(t); i++)
        if (fabsf(x[i]) < 0.1f) x[i] = x[i] < 0 ? -0.2f : 0.2f;
}

TEST(every_activation_and_gate_gradient)
{
    for (int kind = 0; kind < 8; kind++)
        for (int gated = 0; gated < 2; gated++) {
            lab l;
            lab_open(&l, 2);
            args a = {.x = lab_input(&l, 3, 23, false), .kind = kind};
            a.w = gated ? lab_input(&l, 3, 23, false) : NULL;
            for (size_t i = 0; i < 69; i++) ((float *)a.x->data)[i] *= 3;
            keep_off_zero(a.x);
            compare(&l, build_act, &a, 0.02f);
        }
}

static hg_tensor *build_cap(lab *l, void *ctx)
{
    args *a = ctx;
    hg_tensor *y = hg_op_soft_cap(&l->g, hg_op_scale(&l->g, a->x, 2.0f), 1.3f);
    return a->kind == 0 ? y : hg_op_add(&l->g, a->x, y);
}

TEST(soft_cap_gradient)
{
    for (int kind = 0; kind < 2; kind++) {
        lab l;
        lab_open(&l, 2);
        args a = {.x = lab_input(&l, 5, 9, false), .kind = kind};
        compare(&l, build_cap, &a, 0.02f);
    }
}
