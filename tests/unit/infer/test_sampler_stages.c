/* Each stage of sampling, and all of them in any order, against a slow reference: the same tokens
 * are left and they have the same probabilities. */
#include "base/rng.h"
#include "harness/test.h"
#include "infer/sampler.h"
#include "slow_sampler.h"
#include "tiny.h"

#include <math.h>
#include <string.h>

static hg_kernels kernels;

/* Logits as models give them: a few stand out of a broad rest. */
static void make_logits(float *x, size_t n, uint64_t seed)
{
    hg_rng r;
    hg_rng_init(&r, seed, 3);
    const double width = 0.5 + 3.0 * hg_rng_unit(&r);
    for (size_t i = 0; i < n; i++) x[i] = (float)(width * hg_rng_normal(&r));
    for (size_t i = 0; i < 3; i++) x[hg_rng_below(&r, n)] += (float)(8.0 * hg_rng_unit(&r));
}

static hg_sampling neutral(void)
{
    hg_sampling o;
    hg_sampling_init(&o);
    o.repetition_penalty = 1.0f;
    o.top_k = 0;
    o.top_p = 1.0f;
    o.min_p = 0.0f;
    o.temperature = 1.0f;
    return o;
}

typedef struct lookback {
    const int32_t *ids;
    size_t n, n_prompt;
    const bool *breaks;
    const hg_tokenizer *tok;
} lookback;

static void check_same(const hg_sampling *o, const float *logits, size_t n, const lookback *l)
{
    hg_choices c;
    hg_sampler s;
    hg_err e;
    const hg_past past = {l->ids, l->n, l->n_prompt, l->tok};
    hg_kernels_init(&kernels, hg_isa_detect());
    CHECK_OK(hg_choices_init(&c, n, &kernels, &e), e);
    CHECK_OK(hg_sampling_check(o, &e), e);
    hg_sampler_begin(&s, o, l->tok);
    slow_set slow = slow_sample(o, logits, n, l->ids, l->n, l->n_prompt, l->breaks, s.mu);
    CHECK_OK(hg_choices_load(&c, logits, &e), e);
    CHECK_OK(hg_sampler_cut(&s, &c, &past, SIZE_MAX, &e), e);

    size_t n_found = 0;
    double *p = hg_alloc(n, sizeof *p);
    CHECK(p != NULL);
    for (size_t i = 0; i < c.n; i++) {
        p[hg_choice_id(&c, i)] = (double)c.w[i] / c.sum;
        n_found += c.w[i] > 0.0f;
    }
    for (size_t i = 0; i < slow.n; i++) {
        const double ours = p[slow.c[i].id], right = slow.c[i].p;
        if (right > 1e-30 && !(ours > 0.0))
            test_fail(__FILE__, __LINE__, "token %d of probability %g is missing", slow.c[i].id,
                      right);
        CHECK_NEAR(ours, right, 2e-5 * right + 1e-30);
    }
    CHECK(n_found <= slow.n);
    for (size_t i = 0; i < n; i++) CHECK_EQ(c.count[i], 0);
    hg_free(p);
    slow_free(&slow);
    hg_choices_free(&c);
}

/* One stage alone on vocabularies of several sizes. */
static void check_stage(void set(hg_sampling *o, hg_rng *r))
{
    static const size_t sizes[] = {2, 7, 64, 65, 1000, 5003};
    static float x[5003];
    const lookback nothing = {0};
    hg_rng r;
    hg_rng_init(&r, 77, 0);
    for (uint64_t seed = 0; seed < 60; seed++) {
        hg_sampling o = neutral();
        set(&o, &r);
        const size_t n = sizes[seed % 6];
        make_logits(x, n, seed);
        check_same(&o, x, n, &nothing);
    }
}

static void set_top_k(hg_sampling *o, hg_rng *r)
{
    o->top_k = 1 + (uint32_t)hg_rng_below(r, 100);
}
TEST(top_k_leaves_what_the_reference_leaves)
{
    check_stage(set_top_k);
}

static void set_top_p(hg_sampling *o, hg_rng *r)
{
    o->top_p = (float)hg_rng_unit(r);
}
TEST(top_p_leaves_what_the_reference_leaves)
{
    check_stage(set_top_p);
}

static void set_typical(hg_sampling *o, hg_rng *r)
{
    o->typical_p = (float)hg_rng_unit(r);
}
TEST(typical_leaves_what_the_reference_leaves)
{
    check_stage(set_typical);
}

static void set_min_p(hg_sampling *o, hg_rng *r)
{
    o->min_p = (float)(0.5 * hg_rng_unit(r));
}
TEST(min_p_leaves_what_the_reference_leaves)
{
    check_stage(set_min_p);
}

static void set_xtc(hg_sampling *o, hg_rng *r)
{
    o->xtc_chance = 1.0f;
    o->xtc_share = (float)(0.3 * hg_rng_unit(r));
}
TEST(xtc_leaves_what_the_reference_leaves)
{
    check_stage(set_xtc);
}

static void set_mirostat(hg_sampling *o, hg_rng *r)
{
    o->mirostat_tau = (float)(0.1 + 4.0 * hg_rng_unit(r));
    o->top_k = 1; /* mirostat cuts in its place */
}
TEST(mirostat_leaves_what_the_reference_leaves)
{
    check_stage(set_mirostat);
}

static void set_temperature(hg_sampling *o, hg_rng *r)
{
    o->temperature = (float)(0.05 + 3.0 * hg_rng_unit(r));
}
TEST(temperature_gives_what_the_reference_gives)
{
    check_stage(set_temperature);
}

/* ---- what looks back ---- */
static hg_sampling random_penalties(hg_rng *r)
{
    hg_sampling o = neutral();
    o.repetition_penalty = (float)(0.5 + hg_rng_unit(r));
    o.repeat_window = (uint32_t)hg_rng_below(r, 90);
    o.presence_penalty = (float)(2.0 * hg_rng_unit(r) - 1.0);
    o.frequency_penalty = (float)(hg_rng_unit(r) - 0.5);
    o.dry_multiplier = (float)hg_rng_unit(r);
    o.dry_base = (float)(1.0 + hg_rng_unit(r));
    o.dry_length = (uint32_t)hg_rng_below(r, 4);
    o.dry_window = (uint32_t)hg_rng_below(r, 3) * 40;
    return o;
}

enum { LETTERS = 6, PAST = 80 }; /* few letters make many repetitions */

TEST(penalties_and_dry_give_what_the_reference_gives)
{
    hg_rng r;
    int32_t past[PAST];
    float x[50];
    hg_rng_init(&r, 5, 0);
    for (uint64_t seed = 0; seed < 300; seed++) {
        const hg_sampling o = random_penalties(&r);
        const size_t n = hg_rng_below(&r, PAST + 1);
        for (size_t i = 0; i < n; i++) past[i] = (int32_t)hg_rng_below(&r, 2 + seed % LETTERS);
        make_logits(x, 50, seed);
        const lookback l = {past, n, hg_rng_below(&r, n + 1), NULL, NULL};
        check_same(&o, x, 50, &l);
    }
}

/* The tokens are bytes here, so a breaker of several bytes ends in the token of its last one. */
TEST(dry_does_not_reach_over_a_breaker)
{
    static const char *const breakers[2] = {"b", "ac"};
    static float x[TINY_VOCAB];
    hg_tokenizer *tok = tiny_tokenizer();
    hg_rng r;
    int32_t past[PAST];
    bool breaks[PAST];
    hg_rng_init(&r, 6, 0);
    for (uint64_t seed = 0; seed < 300; seed++) {
        hg_sampling o = random_penalties(&r);
        o.dry_breakers = breakers;
        o.n_dry_breakers = 2;
        const int32_t letters[4] = {'a', 'c', 'd', 'b'};
        const size_t n = hg_rng_below(&r, PAST + 1);
        for (size_t i = 0; i < n; i++) {
            past[i] = letters[hg_rng_below(&r, hg_rng_below(&r, 4) == 0 ? 4 : 3)];
            breaks[i] = past[i] == 'b' || (past[i] == 'c' && i > 0 && past[i - 1] == 'a');
        }
        make_logits(x, TINY_VOCAB, seed);
        x['b'] =
            -INFINITY; /* a breaker itself is never made less likely: not the reference's rule */
        const lookback l = {past, n, hg_rng_below(&r, n + 1), breaks, tok};
        check_same(&o, x, TINY_VOCAB, &l);
    }
    hg_tokenizer_free(tok);
}

TEST(dry_leaves_breakers_alone)
{
    static float x[TINY_VOCAB];
    const int32_t past[7] = {'x', 'y', '\n', 'q', 'x', 'y', 0};
    hg_tokenizer *tok = tiny_tokenizer();
    const hg_past p = {past, 6, 0, tok};
    hg_choices c;
    hg_err e;
    hg_sampling o = neutral();
    o.dry_multiplier = 1.0f;
    hg_kernels_init(&kernels, hg_isa_detect());
    CHECK_OK(hg_choices_init(&c, TINY_VOCAB, &kernels, &e), e);
    CHECK_OK(hg_choices_load(&c, x, &e), e);
    CHECK_OK(hg_penalise_dry(&c, &o, &p, &e), e);
    CHECK_NEAR(c.x['\n'], 0.0, 0); /* it would go on "xy" */
    o.n_dry_breakers = 0;
    CHECK_OK(hg_penalise_dry(&c, &o, &p, &e), e);
    CHECK_NEAR(c.x['\n'], -1.0, 0);
    hg_choices_free(&c);
    hg_tokenizer_free(tok);
}

/* ---- all together ---- */
static void shuffle_order(hg_sampling *o, hg_rng *r)
{
    for (size_t i = HG_SAMPLE_STAGES - 2; i > 0; i--) {
        const size_t j = hg_rng_below(r, i + 1);
        const uint8_t t = o->order[i];
        o->order[i] = o->order[j];
        o->order[j] = t;
    }
    if (hg_rng_below(r, 4) == 0) o->order[hg_rng_below(r, HG_SAMPLE_STAGES)] = HG_SAMPLE_END;
}

TEST(all_stages_in_any_order_leave_what_the_reference_leaves)
{
    static float x[3000];
    hg_rng r;
    int32_t past[PAST];
    hg_rng_init(&r, 9, 0);
    for (uint64_t seed = 0; seed < 400; seed++) {
        const size_t n = seed % 2 == 0 ? 3000 : 40;
        hg_sampling o = random_penalties(&r);
        const hg_logit_bias bias[2] = {{3, (float)(4.0 * hg_rng_unit(&r))}, {8, -100.0f}};
        o.bias = bias;
        o.n_bias = 2;
        o.top_k = (uint32_t)hg_rng_below(&r, 60);
        o.typical_p = (float)(0.5 + 0.6 * hg_rng_unit(&r));
        if (o.typical_p > 1.0f) o.typical_p = 1.0f;
        o.top_p = (float)(0.5 + 0.5 * hg_rng_unit(&r));
        o.min_p = (float)(0.1 * hg_rng_unit(&r));
        o.xtc_chance = hg_rng_below(&r, 2) == 0 ? 0.0f : 1.0f;
        o.temperature = (float)(0.3 + 2.0 * hg_rng_unit(&r));
        shuffle_order(&o, &r);
        for (size_t i = 0; i < PAST; i++) past[i] = (int32_t)hg_rng_below(&r, 9);
        make_logits(x, n, 1000 + seed);
        const lookback l = {past, PAST, 30, NULL, NULL};
        check_same(&o, x, n, &l);
    }
}

TEST(a_flat_vocabulary_is_cut_exactly)
{
    static float x[70000];
    const lookback nothing = {0};
    hg_sampling o = neutral();
    make_logits(x, 70000, 4);
    o.top_p = 0.97f;
    check_same(&o, x, 70000, &nothing);
    o.top_p = 1.0f;
    o.typical_p = 0.9f;
    check_same(&o, x, 70000, &nothing);
    for (size_t i = 0; i < 70000; i++) x[i] = 1.0f; /* and all equal: the first ids are kept */
    o.typical_p = 1.0f;
    o.top_p = 0.2501f;
    check_same(&o, x, 7000, &nothing);
}

TEST(mirostat_steers_towards_its_surprise)
{
    static float x[2000];
    hg_choices c;
    hg_sampler s;
    hg_err e;
    double sum = 0.0;
    hg_sampling o = neutral();
    o.mirostat_tau = 3.0f;
    hg_kernels_init(&kernels, hg_isa_detect());
    CHECK_OK(hg_choices_init(&c, 2000, &kernels, &e), e);
    hg_sampler_begin(&s, &o, NULL);
    for (uint64_t i = 0; i < 2000; i++) {
        int32_t id;
        make_logits(x, 2000, i);
        CHECK_OK(hg_sampler_next(&s, &c, x, NULL, 0, 0, &id, &e), e);
        size_t at = 0;
        while (hg_choice_id(&c, at) != id) at++;
        sum -= log2((double)c.w[at] / c.sum);
    }
    CHECK_NEAR(sum / 2000.0, 3.0, 0.1);
    hg_choices_free(&c);
}

TEST(the_order_is_set_by_names)
{
    hg_sampling o;
    hg_err e;
    hg_sampling_init(&o);
    CHECK_OK(hg_sampling_set_order(&o, "temperature,top-p;min-p", &e), e);
    CHECK_EQ(o.order[0], HG_SAMPLE_TEMPERATURE);
    CHECK_EQ(o.order[1], HG_SAMPLE_TOP_P);
    CHECK_EQ(o.order[2], HG_SAMPLE_MIN_P);
    CHECK_EQ(o.order[3], HG_SAMPLE_END);
    CHECK_EQ(hg_sampling_check(&o, &e), HG_OK);
    CHECK_EQ(hg_sampling_set_order(&o, "top-p,best", &e), HG_E_ARG);
    CHECK_STR(e.msg, "\"best\" is no sampler; penalties, dry, top-k, typical, top-p, min-p, xtc "
                     "and temperature are");
    CHECK_EQ(hg_sampling_set_order(&o, "dry,top-k,dry", &e), HG_E_ARG);
    CHECK_STR(e.msg, "the sampler dry comes twice; once is enough");
    CHECK_EQ(o.order[0], HG_SAMPLE_TEMPERATURE);
    o.order[1] = HG_SAMPLE_TEMPERATURE;
    CHECK_EQ(hg_sampling_check(&o, &e), HG_E_ARG);
}

TEST(biases_and_breakers_that_make_no_sense_are_refused)
{
    const hg_logit_bias bias[1] = {{5, NAN}};
    static const char *const empty[1] = {""};
    hg_err e;
    hg_sampling o = neutral();
    o.bias = bias;
    o.n_bias = 1;
    CHECK_EQ(hg_sampling_check(&o, &e), HG_E_ARG);
    CHECK_STR(e.msg, "the bias of token 5 is nan; tokens are not negative and a bias is from -100 "
                     "to 100");
    o = neutral();
    o.dry_breakers = empty;
    o.n_dry_breakers = 1;
    CHECK_EQ(hg_sampling_check(&o, &e), HG_E_ARG);
    CHECK_STR(e.msg, "DRY breaker 1 must have 1 to 40 bytes");
    o = neutral();
    o.xtc_chance = 1.5f;
    CHECK_EQ(hg_sampling_check(&o, &e), HG_E_ARG);
    CHECK_HAS(e.msg, "XTC chance is 1.5; it must be from 0 to 1");
}
