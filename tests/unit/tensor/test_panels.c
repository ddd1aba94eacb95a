/* Weights that a step keeps packed: the bits of products that pack for themselves. */
#include "harness/lab.h"
#include "harness/test.h"
#include "tensor/panels.h"

#include <string.h>

enum { N = 37, IN = 70, OUT = 45 };

typedef struct passes {
    float y[N * OUT], dx[N * IN], dw[OUT * IN], loss;
} passes;

/* y = x W^T and back, and the loss with W as head, with the panels of `s` or without. */
static void run(lab *l, hg_compute c, hg_panel_set *s, hg_tensor *x, hg_tensor *w, passes *out)
{
    hg_err e = {0};
    int32_t targets[N];
    for (int i = 0; i < N; i++) targets[i] = i % OUT;
    memset(w->grad, 0, sizeof out->dw);
    lab_begin(l, c, true);
    l->g.panels = s;
    x->grad = NULL;
    x->grad_buf = NULL;
    hg_tensor *y = hg_op_linear(&l->g, x, w, NULL);
    hg_tensor *loss =
        hg_op_add(&l->g, lab_sum(&l->g, y, NULL),
                  hg_op_linear_cross_entropy(&l->g, x, w, targets, NULL, 0, NULL, NULL));
    CHECK_OK(hg_graph_status(&l->g, &e), e);
    memcpy(out->y, y->data, sizeof out->y);
    out->loss = *(const float *)loss->data;
    CHECK_OK(hg_graph_backward(&l->g, loss, 1.0f, &e), e);
    memcpy(out->dx, x->grad, sizeof out->dx);
    memcpy(out->dw, w->grad, sizeof out->dw);
}

TEST(kept_panels_give_the_bits_of_packing_anew)
{
    lab l;
    hg_err e = {0};
    hg_panel_set s;
    lab_open(&l, 2);
    hg_tensor *x = lab_tensor(&l, N, IN, false), *w = lab_tensor(&l, OUT, IN, true);
    passes *anew = HG_NEW(&l.keep, passes, 1), *kept = HG_NEW(&l.keep, passes, 1);
    for (int c = 0; c < HG_N_COMPUTE; c++) {
        CHECK_OK(hg_panels_init(&s, l.rt, (hg_compute)c, &w, 1, &l.keep, &e), e);
        run(&l, (hg_compute)c, NULL, x, w, anew);
        for (int lot = 0; lot < 2; lot++) { /* packs, then finds */
            memset(kept, 0xff, sizeof *kept);
            run(&l, (hg_compute)c, &s, x, w, kept);
            CHECK(memcmp(kept, anew, sizeof *kept) == 0);
        }
    }
    lab_close(&l);
}

TEST(panels_that_are_forgotten_are_packed_again)
{
    lab l;
    hg_err e = {0};
    hg_panel_set s;
    lab_open(&l, 1);
    hg_tensor *x = lab_tensor(&l, N, IN, false), *w = lab_tensor(&l, OUT, IN, true);
    passes *before = HG_NEW(&l.keep, passes, 1), *after = HG_NEW(&l.keep, passes, 1);
    CHECK_OK(hg_panels_init(&s, l.rt, HG_COMPUTE_BF16, &w, 1, &l.keep, &e), e);
    run(&l, HG_COMPUTE_BF16, &s, x, w, before);
    ((float *)w->data)[0] += 1.0f;
    hg_panels_forget(&s);
    run(&l, HG_COMPUTE_BF16, &s, x, w, after);
    run(&l, HG_COMPUTE_BF16, NULL, x, w, before);
    CHECK(memcmp(after, before, sizeof *after) == 0);
    ((float *)w->data)[0] += 1.0f; /* and not before */
    run(&l, HG_COMPUTE_BF16, &s, x, w, after);
    CHECK(memcmp(after->y, before->y, sizeof after->y) == 0);
    lab_close(&l);
}

static hg_tensor *twice(hg_graph *g, const void *ctx, hg_tensor *x)
{
    hg_tensor *w = *(hg_tensor *const *)ctx;
    return hg_op_linear(g, hg_op_linear(g, x, w, NULL), w, NULL);
}

TEST(what_is_run_again_packs_a_weight_once_for_all_lots)
{
    lab l;
    hg_err e = {0};
    hg_panel_set s;
    lab_open(&l, 1);
    hg_tensor *x = lab_tensor(&l, N, IN, false), *w = lab_tensor(&l, IN, IN, true);
    CHECK_OK(hg_panels_init(&s, l.rt, HG_COMPUTE_BF16, &w, 1, &l.keep, &e), e);
    for (int lot = 0; lot < 2; lot++) {
        lab_begin(&l, HG_COMPUTE_BF16, true);
        l.g.panels = &s;
        x->grad = NULL;
        x->grad_buf = NULL;
        hg_tensor *loss = lab_sum(&l.g, hg_op_again(&l.g, twice, &w, x), NULL);
        CHECK_OK(hg_graph_backward(&l.g, loss, 1.0f, &e), e);
        CHECK(s.of[0].has_forward && s.of[0].has_back);
    }
    lab_close(&l);
}

TEST(frozen_panels_are_never_forgotten)
{
    lab l;
    hg_err e = {0};
    hg_panel_set s;
    lab_open(&l, 1);
    hg_tensor *x = lab_tensor(&l, N, IN, false), *w = lab_tensor(&l, OUT, IN, true);
    passes *room = HG_NEW(&l.keep, passes, 1);
    CHECK_OK(hg_panels_init(&s, l.rt, HG_COMPUTE_BF16, &w, 1, &l.keep, &e), e);
    s.are_frozen = true;
    run(&l, HG_COMPUTE_BF16, &s, x, w, room);
    hg_panels_forget(&s);
    CHECK(s.of[0].has_forward && s.of[0].has_back);
    lab_close(&l);
}
