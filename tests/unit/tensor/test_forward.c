/* The forward pass of each op against the formula in double precision. */
#include "harness/lab.h"
#include "harness/test.h"
#include "tensor/matmul.h"

#include "tensor/ops_experts.h"

#include <math.h>
#include <string.h>

static const float *values(const hg_tensor *t)
{
    return t->data;
}

/* Half-precision copies of a table, for ops that read them. */
static hg_tensor *as_type(lab *l, const hg_tensor *t, hg_type type)
{
    hg_tensor *c = HG_NEW(&l->keep, hg_tensor, 1);
    size_t n = hg_tensor_count(t);
    *c = *t;
    c->type = type;
    c->grad = NULL;
    c->needs_grad = false;
    c->data = HG_NEW(&l->keep, float, n);
    if (type == HG_BF16) l->rt->k.f32_to_bf16(c->data, t->data, n);
    if (type == HG_F16) l->rt->k.f32_to_f16(c->data, t->data, n);
    if (type == HG_F32) memcpy(c->data, t->data, n * sizeof(float));
    return c;
}

TEST(embed_copies_rows_of_any_float_type)
{
    lab l;
    const int32_t ids[] = {6, 0, 6, 2};
    const double bound[] = {0, 0x1p-11, 0x1p-8};
    lab_open(&l, 2);
    hg_tensor *table = lab_tensor(&l, 7, 19, true);
    for (hg_type type = HG_F32; type <= HG_BF16; type++) {
        hg_tensor *y = hg_op_embed(&l.g, as_type(&l, table, type), ids, 4);
        CHECK(y != NULL);
        for (size_t i = 0; i < 4 * 19; i++)
            CHECK_NEAR(values(y)[i], values(table)[(size_t)ids[i / 19] * 19 + i % 19], bound[type]);
    }
    lab_close(&l);
}

TEST(rms_norm_is_the_paper_s)
{
    lab l;
    lab_open(&l, 2);
    hg_tensor *x = lab_tensor(&l, 9, 30, false), *w = lab_tensor(&l, 0, 15, true);
    hg_tensor *y = hg_op_rms_norm(&l.g, x, w, 1e-5f);
    for (size_t t = 0; t < 18; t++) {
        double sum = 0;
        for (size_t i = 0; i < 15; i++) sum += pow((double)values(x)[t * 15 + i], 2);
        for (size_t i = 0; i < 15; i++)
            CHECK_NEAR(values(y)[t * 15 + i],
                       (double)values(x)[t * 15 + i] / sqrt(sum / 15 + 1e-5) * (double)values(w)[i],
                       1e-6);
    }
    lab_close(&l);
}

TEST(layer_norm_is_the_paper_s_even_far_from_zero)
{
    lab l;
    lab_open(&l, 2);
    hg_tensor *x = lab_tensor(&l, 4, 33, false), *w = lab_tensor(&l, 0, 33, true);
    hg_tensor *b = lab_tensor(&l, 0, 33, true);
    for (size_t i = 0; i < 4 * 33; i++) ((float *)x->data)[i] += 100;
    hg_tensor *y = hg_op_layer_norm(&l.g, x, w, b, 1e-5f);
    for (size_t t = 0; t < 4; t++) {
        double mean = 0, var = 0;
        for (size_t i = 0; i < 33; i++) mean += (double)values(x)[t * 33 + i] / 33;
        for (size_t i = 0; i < 33; i++) var += pow((double)values(x)[t * 33 + i] - mean, 2) / 33;
        for (size_t i = 0; i < 33; i++)
            CHECK_NEAR(values(y)[t * 33 + i],
                       ((double)values(x)[t * 33 + i] - mean) / sqrt(var + 1e-5) *
                               (double)values(w)[i] +
                           (double)values(b)[i],
                       1e-4); /* 100 has an ulp of 8e-6 */
    }
    lab_close(&l);
}

TEST(linear_is_the_same_from_every_type_and_packed)
{
    lab l;
    lab_open(&l, 2);
    enum { N = 37, IN = 45, OUT = 29 };
    const double bound[] = {1e-5, 2e-2, 1e-1}; /* sqrt(45) times the type's rounding, and room */
    hg_tensor *x = lab_tensor(&l, N, IN, false), *b = lab_tensor(&l, 0, OUT, true);
    hg_tensor *w = lab_tensor(&l, OUT, IN, true);
    for (int compute = 0; compute < HG_N_COMPUTE; compute++)
        for (hg_type type = HG_F32; type <= HG_BF16; type++) {
            lab_begin(&l, (hg_compute)compute, false);
            hg_tensor *v = as_type(&l, w, type), packed = *v;
            hg_matrix m = {v->data, type, IN, 1};
            packed.type = compute == HG_COMPUTE_BF16 ? HG_BF16 : HG_F32;
            size_t size = hg_packed_size(l.rt, packed.type, OUT, IN);
            packed.packed = hg_arena_raw(&l.keep, size, 1);
            packed.data = NULL;
            hg_pack_weight(l.rt, packed.type, packed.packed, &m, OUT, IN);
            hg_tensor *y = hg_op_linear(&l.g, x, v, b);
            hg_tensor *z = hg_op_linear(&l.g, x, &packed, b);
            CHECK(y != NULL && z != NULL);
            double limit = compute == HG_COMPUTE_BF16 ? 1e-1 : bound[type];
            for (size_t t = 0; t < N; t++)
                for (size_t o = 0; o < OUT; o++) {
                    double sum = (double)values(b)[o];
                    for (size_t i = 0; i < IN; i++)
                        sum += (double)values(x)[t * IN + i] * (double)values(w)[o * IN + i];
                    CHECK_NEAR(values(y)[t * OUT + o], sum, limit);
                    CHECK_NEAR(values(z)[t * OUT + o], values(y)[t * OUT + o], 1e-5);
                }
        }
    lab_close(&l);
}

TEST(rope_turns_pairs_by_position_and_leaves_the_rest)
{
    static const float inv_freq[] = {1.0f, 0.25f, 0.01f};
    const int32_t pos[] = {0, 5, 900};
    for (int interleaved = 0; interleaved < 2; interleaved++) {
        lab l;
        lab_open(&l, 2);
        hg_rope r = {8, 6, interleaved, inv_freq, 1.5f, NULL, NULL};
        hg_tensor *x = lab_tensor(&l, 3, 16, false), *y = hg_op_rope(&l.g, x, pos, &r);
        for (size_t t = 0; t < 3; t++)
            for (size_t h = 0; h < 2; h++)
                for (size_t i = 0; i < 3; i++) {
                    size_t at = t * 16 + h * 8;
                    size_t i0 = at + (interleaved ? 2 * i : i),
                           i1 = at + (interleaved ? 2 * i + 1 : i + 3);
                    double angle = (double)((float)pos[t] * inv_freq[i]);
                    double a = (double)values(x)[i0], b = (double)values(x)[i1];
                    CHECK_NEAR(values(y)[i0], 1.5 * (a * cos(angle) - b * sin(angle)), 2e-6);
                    CHECK_NEAR(values(y)[i1], 1.5 * (a * sin(angle) + b * cos(angle)), 2e-6);
                    CHECK_NEAR(values(y)[at + 6], values(x)[at + 6], 0);
                    CHECK_NEAR(values(y)[at + 7], values(x)[at + 7], 0);
                }
        lab_close(&l);
    }
}

TEST(rope_sees_that_positions_changed_behind_the_same_address)
{
    static const float inv_freq[] = {1.0f};
    int32_t pos[] = {1, 2};
    lab l;
    lab_open(&l, 1);
    hg_rope r = {2, 2, false, inv_freq, 1, NULL, NULL};
    hg_tensor *x = lab_tensor(&l, 2, 2, false);
    CHECK(hg_op_rope(&l.g, x, pos, &r) != NULL);
    pos[0] = 0;
    hg_tensor *y = hg_op_rope(&l.g, x, pos, &r);
    CHECK_NEAR(values(y)[0], values(x)[0], 0);
    CHECK_NEAR(values(y)[1], values(x)[1], 0);
    lab_close(&l);
}

static double act(hg_act a, double x)
{
    switch (a) {
    case HG_ACT_SILU:
        return x / (1 + exp(-x));
    case HG_ACT_GELU_TANH:
        return 0.5 * x * (1 + tanh(sqrt(2 / 3.14159265358979) * (x + 0.044715 * x * x * x)));
    case HG_ACT_GELU_ERF:
        return 0.5 * x * (1 + erf(x / sqrt(2)));
    case HG_ACT_RELU2:
        return x > 0 ? x * x : 0;
    case HG_ACT_SWIGLU_CLAMPED:
        break;
    }
    return NAN;
}

TEST(activations_and_gates_are_their_formulas)
{
    lab l;
    lab_open(&l, 2);
    enum { N = 3, D = 1501 }; /* over a piece, and odd */
    hg_tensor *x = lab_tensor(&l, N, D, false), *u = lab_tensor(&l, N, D, false);
    for (size_t i = 0; i < N * D; i++) ((float *)x->data)[i] *= 12;
    for (hg_act a = HG_ACT_SILU; a <= HG_ACT_RELU2; a++) {
        hg_tensor *y = hg_op_act(&l.g, x, a), *z = hg_op_gate(&l.g, x, u, a);
        for (size_t i = 0; i < N * D; i++) {
            double want = act(a, (double)values(x)[i]);
            CHECK_NEAR(values(y)[i], want, 2e-6 * (1 + fabs(want)));
            CHECK_NEAR(values(z)[i], want * (double)values(u)[i], 2e-6 * (1 + fabs(want)));
        }
    }
    lab_close(&l);
}

TEST(the_clamped_gate_is_its_formula_and_refuses_to_be_trained)
{
    lab l;
    hg_err e = {0};
    lab_open(&l, 2);
    hg_tensor *x = lab_tensor(&l, 2, 1501, false), *u = lab_tensor(&l, 2, 1501, false);
    for (size_t i = 0; i < 3002; i++) {
        ((float *)x->data)[i] *= 12;
        ((float *)u->data)[i] *= 12;
    }
    lab_begin(&l, HG_COMPUTE_F32, false);
    hg_tensor *y = hg_op_gate(&l.g, x, u, HG_ACT_SWIGLU_CLAMPED);
    for (size_t i = 0; i < 3002; i++) {
        double g = fmin((double)values(x)[i], 7), v = fmax(fmin((double)values(u)[i], 7), -7);
        double want = g / (1 + exp(-1.702 * g)) * (v + 1);
        CHECK_NEAR(values(y)[i], want, 2e-6 * (1 + fabs(want)));
    }
    lab_begin(&l, HG_COMPUTE_F32, true);
    CHECK(hg_op_gate(&l.g, x, u, HG_ACT_SWIGLU_CLAMPED) == NULL);
    CHECK_EQ(hg_graph_status(&l.g, &e), HG_E_UNSUPPORTED);
    CHECK_HAS(e.msg, "the clamped gate needs two inputs and cannot be trained");
    lab_close(&l);
}

/* ---- experts ---- */

static void check_choice(const hg_choice *c, const double *s, size_t n, bool among_chosen)
{
    size_t seen = 0;
    for (size_t e = 0; e < c->n_experts; e++)
        for (size_t i = c->first[e]; i < c->first[e + 1]; i++, seen++) {
            const double *row = s + (size_t)c->rows[i] * c->n_experts;
            double sum = 0;
            size_t n_better = 0;
            CHECK(i == c->first[e] || c->rows[i] > c->rows[i - 1]);
            for (size_t k = 0; k < c->n_experts; k++) {
                size_t above = 0; /* of k: it is chosen when fewer than n_used are */
                for (size_t j = 0; j < c->n_experts; j++)
                    above += row[j] > row[k] || (!(row[j] < row[k]) && j < k);
                if (above < c->n_used || !among_chosen) sum += exp(row[k] - row[e]);
                if (k == e) n_better = above;
            }
            CHECK(n_better < c->n_used);
            CHECK_NEAR(c->weights[i], 1 / sum, 1e-6);
        }
    CHECK_EQ(seen, n * c->n_used);
}

TEST(a_router_gives_each_row_to_its_best_experts)
{
    lab l;
    enum { N = 33, E = 7 };
    double s[N * E];
    lab_open(&l, 2);
    hg_tensor *x = lab_tensor(&l, N, E, false);
    float *v = x->data;
    for (size_t i = 0; i < N * E; i++) v[i] = floorf(v[i] * 4); /* with equals */
    for (size_t i = 0; i < N * E; i++) s[i] = (double)v[i];
    for (size_t used = 1; used <= E; used++)
        for (int among = 0; among < 2; among++) {
            lab_begin(&l, HG_COMPUTE_F32, false);
            const hg_choice *c = hg_op_choose(&l.g, x, used, among != 0);
            CHECK(c != NULL);
            if (c != NULL) check_choice(c, s, N, among != 0);
        }
    lab_close(&l);
}

TEST(a_router_chooses_somebody_even_among_nans)
{
    lab l;
    lab_open(&l, 1);
    hg_tensor *x = lab_tensor(&l, 1, 4, false);
    for (size_t i = 0; i < 4; i++) ((float *)x->data)[i] = NAN;
    lab_begin(&l, HG_COMPUTE_F32, false);
    const hg_choice *c = hg_op_choose(&l.g, x, 2, true);
    CHECK(c != NULL && c->first[1] == 1 && c->first[2] == 2 && c->first[4] == 2);
    lab_close(&l);
}

TEST(what_experts_answer_is_added_by_weight)
{
    lab l;
    hg_err e = {0};
    lab_open(&l, 2);
    hg_tensor *scores = lab_tensor(&l, 9, 3, false), *x = lab_tensor(&l, 9, 5, false);
    lab_begin(&l, HG_COMPUTE_F32, false);
    const hg_choice *c = hg_op_choose(&l.g, scores, 2, true);
    hg_tensor *y = hg_op_zeros(&l.g, x);
    for (size_t i = 0; i < 3; i++) {
        size_t n = c->first[i + 1] - c->first[i];
        if (n > 0) hg_op_add_weighted(&l.g, y, hg_op_rows(&l.g, x, c->rows + c->first[i], n), c, i);
    }
    /* Each row comes back whole: its weights sum to 1. */
    for (size_t i = 0; i < 45; i++) CHECK_NEAR(values(y)[i], values(x)[i], 1e-6);
    hg_op_add_weighted(&l.g, y, lab_tensor(&l, 10, 5, false), c, 0);
    CHECK_EQ(hg_graph_status(&l.g, &e), HG_E_ARG);
    CHECK_HAS(e.msg, "add_weighted: x is [10][5]");
    lab_begin(&l, HG_COMPUTE_F32, true);
    CHECK(hg_op_choose(&l.g, lab_tensor(&l, 9, 3, true), 2, true) == NULL);
    CHECK_EQ(hg_graph_status(&l.g, &e), HG_E_UNSUPPORTED);
    CHECK_HAS(e.msg, "a model with experts cannot be trained");
    lab_close(&l);
}

TEST(a_soft_cap_is_a_scaled_tanh_and_never_leaves_its_bounds)
{
    lab l;
    lab_open(&l, 2);
    hg_tensor *x = lab_tensor(&l, 2, 999, false);
    for (size_t i = 0; i < 1998; i++) ((float *)x->data)[i] *= i % 3 == 0 ? 1e6f : 100.0f;
    hg_tensor *y = hg_op_soft_cap(&l.g, x, 30);
    for (size_t i = 0; i < 1998; i++)
        CHECK_NEAR(values(y)[i], 30 * tanh((double)values(x)[i] / 30), 1e-5);
    lab_close(&l);
}

/* ---- the loss ---- */

TEST(cross_entropy_is_the_weighted_mean_over_counted_rows)
{
    lab l;
    enum { N = 1201, D = 20, V = 37 }; /* more than one chunk */
    int32_t targets[N];
    float weights[N], losses[N];
    lab_open(&l, 2);
    hg_tensor *x = lab_tensor(&l, N, D, false), *w = lab_tensor(&l, V, D, true);
    lab_fill(&l, weights, N);
    for (int32_t i = 0; i < N; i++) {
        targets[i] = i % 5 == 2 ? -100 : i * 7 % V;
        weights[i] = fabsf(weights[i]);
    }
    for (int cap = 0; cap < 2; cap++) {
        size_t n_counted = 0, n = 0;
        double sum = 0, weight = 0;
        hg_tensor *loss = hg_op_linear_cross_entropy(&l.g, x, w, targets, weights,
                                                     cap ? 2.0f : 0.0f, losses, &n_counted);
        for (size_t t = 0; t < N; t++) {
            double all = 0, own = 0;
            for (size_t v = 0; v < V; v++) {
                double s = 0;
                for (size_t i = 0; i < D; i++)
                    s += (double)values(x)[t * D + i] * (double)values(w)[v * D + i];
                if (cap) s = 2 * tanh(s / 2);
                all += exp(s);
                if ((int32_t)v == targets[t]) own = s;
            }
            double want = targets[t] < 0 ? 0 : log(all) - own;
            CHECK_NEAR(losses[t], want, 1e-5);
            if (targets[t] < 0) continue;
            n++;
            sum += want * (double)weights[t];
            weight += (double)weights[t];
        }
        CHECK_EQ(n_counted, n);
        CHECK_NEAR(values(loss)[0], sum / weight, 1e-5);
    }
    lab_close(&l);
}
