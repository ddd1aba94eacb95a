/* Sampling: each stage's contract at its edges, and the distribution that all together draw from.
 */
#include "base/rng.h"
#include "harness/test.h"
#include "infer/sampler.h"

#include <math.h>
#include <string.h>

static hg_kernels kernels;

typedef struct desk {
    hg_sampler s;
    hg_choices c;
} desk;

static void open_sampler(desk *d, size_t n_vocab)
{
    hg_err e;
    hg_kernels_init(&kernels, hg_isa_detect());
    CHECK_OK(hg_choices_init(&d->c, n_vocab, &kernels, &e), e);
}

/* Nothing but a softmax: the tests switch on what they are about. */
static hg_sampling plain(uint64_t seed)
{
    hg_sampling o;
    hg_sampling_init(&o);
    o.repetition_penalty = 1.0f;
    o.top_k = 0;
    o.temperature = 1.0f;
    o.top_p = 1.0f;
    o.min_p = 0.0f;
    o.seed = seed;
    return o;
}

static int32_t next(desk *s, const float *logits)
{
    hg_err e;
    int32_t id = -1;
    CHECK_OK(hg_sampler_next(&s->s, &s->c, logits, NULL, 0, 0, &id, &e), e);
    return id;
}

/* How often each of n ids comes in `draws`. */
static void count_draws(const hg_sampling *o, const float *logits, size_t n, size_t draws,
                        size_t *count)
{
    desk s;
    open_sampler(&s, n);
    hg_sampler_begin(&s.s, o, NULL);
    memset(count, 0, n * sizeof *count);
    for (size_t i = 0; i < draws; i++) {
        const int32_t id = next(&s, logits);
        CHECK(id >= 0 && (size_t)id < n);
        count[id]++;
    }
    hg_choices_free(&s.c);
}

/* Pearson's statistic over the ids with an expected count; the others must not come at all. */
static double chi_square(const size_t *count, const double *p, size_t n, size_t draws)
{
    double x2 = 0.0;
    for (size_t i = 0; i < n; i++) {
        const double expected = p[i] * (double)draws, d = (double)count[i] - expected;
        if (expected > 0.0)
            x2 += d * d / expected;
        else
            CHECK_EQ(count[i], 0);
    }
    return x2;
}

static void softmax(double *p, const float *logits, size_t n, double t)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) sum += p[i] = exp((double)logits[i] / t);
    for (size_t i = 0; i < n; i++) p[i] /= sum;
}

/* p over the ids in `keep` (a bit each), renormalised. */
static void keep_only(double *p, unsigned keep)
{
    double sum = 0.0;
    for (unsigned i = 0; i < 8; i++) sum += (keep >> i & 1) != 0 ? p[i] : 0.0;
    for (unsigned i = 0; i < 8; i++) p[i] = (keep >> i & 1) != 0 ? p[i] / sum : 0.0;
}

static const float EIGHT[8] = {1.0f, 0.5f, -1.0f, 2.0f, 0.0f, 1.5f, -0.5f, 0.25f};
enum { DRAWS = 40000, ALL = 0xff, BEST_3 = 1 << 3 | 1 << 5 | 1 << 0, BEST_4 = BEST_3 | 1 << 1 };

/* Draws from EIGHT as `o` says and compares with the softmax at `t` over the ids in `keep`. */
static void check_draws(const hg_sampling *o, double t, unsigned keep, double bound)
{
    size_t count[8];
    double p[8];
    softmax(p, EIGHT, 8, t);
    keep_only(p, keep);
    count_draws(o, EIGHT, 8, DRAWS, count);
    const double x2 = chi_square(count, p, 8, DRAWS);
    CHECK_NEAR(x2, 0.0, bound);
}

/* Chance goes beyond these bounds once in 1000 seeds, with 7, 3 and 2 degrees of freedom. The seeds
 * are fixed, so the cases never flicker. */
static const double X2_7 = 24.3, X2_3 = 16.3, X2_2 = 13.8;

TEST(plain_sampling_draws_from_the_softmax)
{
    const hg_sampling o = plain(11);
    check_draws(&o, 1.0, ALL, X2_7);
}

TEST(temperature_divides_the_logits)
{
    hg_sampling o = plain(12);
    o.temperature = 2.5f;
    check_draws(&o, 2.5, ALL, X2_7);
}

TEST(top_k_keeps_the_k_best_and_their_proportions)
{
    hg_sampling o = plain(13);
    o.top_k = 4;
    check_draws(&o, 1.0, BEST_4, X2_3);
}

TEST(top_p_keeps_the_fewest_that_hold_the_share)
{
    hg_sampling o = plain(14);
    o.top_p = 0.7f; /* the two best hold .60, the three best .74 */
    check_draws(&o, 1.0, BEST_3, X2_2);
}

TEST(min_p_drops_what_is_far_below_the_best)
{
    hg_sampling o = plain(15);
    o.min_p = 0.3f; /* the best have 1, .61, .37, .22 of the best one's */
    check_draws(&o, 1.0, BEST_3, X2_2);
}

TEST(stages_work_in_the_declared_order)
{
    const float logits[4] = {logf(0.4f), logf(0.3f), logf(0.2f), logf(0.1f)};
    size_t count[4];
    hg_sampling o = plain(16);
    o.top_k = 3; /* first: of what it leaves the shares are .444 .333 .222 */
    o.top_p = 0.76f;
    count_draws(&o, logits, 4, 4000, count);
    CHECK(count[0] > 0 && count[1] > 0);
    CHECK_EQ(count[2] + count[3], 0);
    o.top_p = 0.8f;
    count_draws(&o, logits, 4, 4000, count);
    CHECK(count[2] > 0);
    CHECK_EQ(count[3], 0);
    o.top_p = 0.7f; /* before min-p: .444 is not enough, though it is .57 of what min-p leaves */
    o.min_p = 0.6f;
    count_draws(&o, logits, 4, 4000, count);
    CHECK(count[1] > 0);
    CHECK_EQ(count[2] + count[3], 0);
}

TEST(top_p_of_0_and_top_k_of_1_and_min_p_of_1_take_the_best)
{
    desk s;
    open_sampler(&s, 8);
    for (int stage = 0; stage < 3; stage++) {
        hg_sampling o = plain(17);
        if (stage == 0) o.top_p = 0.0f;
        if (stage == 1) o.top_k = 1;
        if (stage == 2) o.min_p = 1.0f;
        hg_sampler_begin(&s.s, &o, NULL);
        for (int i = 0; i < 200; i++) CHECK_EQ(next(&s, EIGHT), 3);
    }
    hg_choices_free(&s.c);
}

TEST(greedy_takes_the_lowest_id_of_equals)
{
    const float logits[6] = {-1.0f, 3.0f, 0.0f, 3.0f, 3.0f, 2.0f};
    desk s;
    hg_sampling o = plain(18);
    o.temperature = 0.0f;
    open_sampler(&s, 6);
    hg_sampler_begin(&s.s, &o, NULL);
    CHECK_EQ(next(&s, logits), 1);
    o.temperature = 1e-9f; /* would divide to infinity */
    hg_sampler_begin(&s.s, &o, NULL);
    CHECK_EQ(next(&s, logits), 1);
    hg_choices_free(&s.c);
}

TEST(top_k_prefers_the_lower_of_equal_ids)
{
    float logits[100];
    size_t count[100];
    hg_sampling o = plain(19);
    for (size_t i = 0; i < 100; i++) logits[i] = 1.0f;
    o.top_k = 3;
    count_draws(&o, logits, 100, 600, count);
    CHECK_EQ(count[0] + count[1] + count[2], 600);
    CHECK(count[0] > 0 && count[1] > 0 && count[2] > 0);
}

TEST(tokens_ruled_out_are_never_drawn)
{
    const float logits[5] = {-INFINITY, 0.0f, -INFINITY, 1.0f, -INFINITY};
    size_t count[5];
    hg_sampling o = plain(20);
    count_draws(&o, logits, 5, 2000, count);
    CHECK_EQ(count[1] + count[3], 2000);
    o.top_k = 4; /* more than there are */
    o.top_p = 0.9999f;
    count_draws(&o, logits, 5, 2000, count);
    CHECK_EQ(count[1] + count[3], 2000);
}

TEST(logits_without_a_probability_give_a_sentence)
{
    float logits[5] = {0.0f, 1.0f, NAN, 2.0f, 0.0f};
    desk s;
    hg_err e;
    int32_t id;
    const hg_sampling o = plain(21);
    open_sampler(&s, 5);
    hg_sampler_begin(&s.s, &o, NULL);
    CHECK_EQ(hg_sampler_next(&s.s, &s.c, logits, NULL, 0, 0, &id, &e), HG_E_FORMAT);
    CHECK_STR(e.msg, "the model gives token 2 the score NaN; its weights are damaged or overflow");
    logits[2] = INFINITY;
    CHECK_EQ(hg_sampler_next(&s.s, &s.c, logits, NULL, 0, 0, &id, &e), HG_E_FORMAT);
    CHECK_HAS(e.msg, "token 2 the score infinity");
    for (int i = 0; i < 5; i++) logits[i] = -INFINITY;
    CHECK_EQ(hg_sampler_next(&s.s, &s.c, logits, NULL, 0, 0, &id, &e), HG_E_FORMAT);
    CHECK_STR(e.msg, "the model rules out all 5 tokens; its weights are damaged");
    hg_choices_free(&s.c);
}

TEST(repetition_penalty_works_on_either_sign_within_its_window)
{
    const float logits[4] = {2.0f, 1.5f, -1.0f, -1.5f};
    const int32_t past[4] = {1, 0, 0, 2};
    desk s;
    hg_err e;
    int32_t id;
    hg_sampling o = plain(22);
    o.temperature = 0.0f;
    o.repetition_penalty = 2.0f;
    o.repeat_window = 3; /* 1 lies before it */
    open_sampler(&s, 4);
    hg_sampler_begin(&s.s, &o, NULL);
    CHECK_OK(hg_sampler_next(&s.s, &s.c, logits, past, 4, 4, &id, &e), e);
    CHECK_EQ(id, 1);
    CHECK_NEAR(s.c.x[0], 1.0, 0); /* once, though it was said twice */
    CHECK_NEAR(s.c.x[1], 1.5, 0);
    CHECK_NEAR(s.c.x[2], -2.0, 0);
    CHECK_NEAR(s.c.x[3], -1.5, 0);
    hg_choices_free(&s.c);
}

TEST(presence_and_frequency_look_at_the_answer_alone)
{
    const float logits[3] = {2.0f, 2.0f, 2.0f};
    const int32_t past[6] = {0, 0, 0, 1, 1, 2};
    desk s;
    hg_err e;
    int32_t id;
    hg_sampling o = plain(23);
    o.temperature = 0.0f;
    o.presence_penalty = 0.5f;
    o.frequency_penalty = 0.25f;
    open_sampler(&s, 3);
    hg_sampler_begin(&s.s, &o, NULL);
    for (int again = 0; again < 2; again++) { /* nothing is left over from the call before */
        CHECK_OK(hg_sampler_next(&s.s, &s.c, logits, past, 6, 3, &id, &e), e);
        CHECK_EQ(id, 0);
        CHECK_NEAR(s.c.x[0], 2.0, 0);
        CHECK_NEAR(s.c.x[1], 1.0, 0);
        CHECK_NEAR(s.c.x[2], 1.25, 0);
    }
    hg_choices_free(&s.c);
}

TEST(one_seed_gives_one_text)
{
    desk a, b;
    float logits[64];
    bool differs = false;
    for (size_t i = 0; i < 64; i++) logits[i] = (float)(i * 37 % 64) / 16.0f;
    const hg_sampling o = plain(24), other = plain(25);
    open_sampler(&a, 64);
    open_sampler(&b, 64);
    hg_sampler_begin(&a.s, &o, NULL);
    hg_sampler_begin(&b.s, &o, NULL);
    for (int i = 0; i < 100; i++) CHECK_EQ(next(&a, logits), next(&b, logits));
    hg_sampler_begin(&b.s, &other, NULL);
    for (int i = 0; i < 100; i++) differs |= next(&a, logits) != next(&b, logits);
    CHECK(differs);
    hg_choices_free(&a.c);
    hg_choices_free(&b.c);
}

TEST(a_large_vocabulary_keeps_top_k_exact)
{
    enum { N = 50000, K = 40 };
    static float logits[N];
    static size_t count[N];
    hg_rng r;
    hg_sampling o = plain(26);
    hg_rng_init(&r, 5, 0);
    for (size_t i = 0; i < N; i++) logits[i] = (float)hg_rng_normal(&r);
    o.top_k = K;
    o.temperature = 100.0f; /* all of the kept come about equally often */
    count_draws(&o, logits, N, 2000, count);
    for (size_t i = 0; i < N; i++) {
        size_t better = 0;
        for (size_t j = 0; count[i] > 0 && j < N; j++)
            better += logits[j] > logits[i] || (logits[j] >= logits[i] && j < i);
        CHECK(better < K);
    }
}

TEST(sampling_that_makes_no_sense_is_refused)
{
    hg_sampling o = plain(0);
    hg_err e;
    CHECK_EQ(hg_sampling_check(&o, &e), HG_OK);
    o.temperature = -0.1f;
    CHECK_EQ(hg_sampling_check(&o, &e), HG_E_ARG);
    CHECK_STR(e.msg, "temperature is -0.1; it must be from 0 to 100");
    o = plain(0);
    o.top_p = NAN;
    CHECK_EQ(hg_sampling_check(&o, &e), HG_E_ARG);
    CHECK_HAS(e.msg, "top-p");
    o = plain(0);
    o.repetition_penalty = 0.0f;
    CHECK_EQ(hg_sampling_check(&o, &e), HG_E_ARG);
    CHECK_HAS(e.msg, "repetition penalty is 0; it must be from 0.1 to 10");
}

TEST(sampling_defaults_are_as_the_header_says)
{
    hg_sampling o;
    hg_sampling_init(&o);
    CHECK_NEAR(o.repetition_penalty, 1.1f, 0);
    CHECK_EQ(o.repeat_window, 64);
    CHECK_EQ(o.top_k, 40);
    CHECK_NEAR(o.temperature, 0.8f, 0);
    CHECK_NEAR(o.top_p, 0.95f, 0);
    CHECK_NEAR(o.min_p, 0.05f, 0);
    CHECK_EQ(o.seed, 0);
}
