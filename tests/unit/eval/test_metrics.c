/* Metrics against values worked out by hand from their definitions; the arithmetic stands beside
 * each. */
#include "eval/metrics.h"
#include "harness/test.h"
#include <math.h>
#include <string.h>

static hg_bytes bytes(const char *s)
{
    return (hg_bytes){s, strlen(s)};
}

static double bleu(const char *said, const char *a, const char *b)
{
    hg_bleu c;
    hg_err e = {0};
    const hg_bytes right[2] = {bytes(a), bytes(b != NULL ? b : "")};
    CHECK_OK(hg_bleu_count(&c, bytes(said), right, b != NULL ? 2 : 1, &e), e);
    return hg_bleu_score(&c);
}

TEST(the_tokenizer_13a_cuts_as_mteval_does)
{
    static const char *const cases[][2] = {
        {"Hello, world!", "Hello , world !"},
        {"It costs 1,234.5 (or less).", "It costs 1,234.5 ( or less ) ."},
        {"the 1990-2000 well-known o'clock", "the 1990 - 2000 well-known o'clock"},
        {"5. and .5", "5 . and . 5"}, /* a point between a space and a digit is cut off before it */
        {"a &amp; b &quot;c&quot; &lt;d&gt;", "a & b \" c \" < d >"},
        {"cut-\nting\nhere  ", "cutting here"},
        {"\xC3\xA4,\xC3\xB6", "\xC3\xA4 , \xC3\xB6"},
        {"a.,b", "a . , b"},
        {"", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hg_buf b = {0};
        hg_bleu_words(&b, bytes(cases[i][0]));
        CHECK_STR(b.n > 0 ? b.p : "", cases[i][1]);
        hg_buf_free(&b);
    }
}

TEST(bleu_is_that_of_its_definition)
{
    /* 6 words alike: 6/6, 5/5, 4/4, 3/3. */
    CHECK_NEAR(bleu("the cat sat on the mat", "the cat sat on the mat", NULL), 100, 1e-9);
    /* "the cat the cat on the mat" against "the cat sat on the mat": words: the 2 of 3 (2 there),
     * cat 1 of 2, on 1, mat 1: 5/7; pairs: the cat 1 of 2, on the, the mat: 3/6; threes: on the
     * mat: 1/5; fours: none of 4, smoothed to 1/(2 4); 7 words against 6: no penalty. */
    CHECK_NEAR(bleu("the cat the cat on the mat", "the cat sat on the mat", NULL),
               100 * pow(5.0 / 7 * (3.0 / 6) * (1.0 / 5) * (1.0 / 8), 0.25), 1e-9);
    /* Brevity: 4 words of 6: exp(1 - 6/4). */
    CHECK_NEAR(bleu("the cat sat on", "the cat sat on the mat", NULL), 100 * exp(1 - 6.0 / 4),
               1e-9);
    /* Threes and fours have no match: 1/(2 2), then 1/(4 1). Words 3/4 (a, b, d), pairs 1/3. */
    CHECK_NEAR(bleu("a b x d", "a b c d", NULL),
               100 * pow(3.0 / 4 * (1.0 / 3) * (1.0 / 4) * (1.0 / 4), 0.25), 1e-9);
    CHECK_NEAR(bleu("x y z w", "a b c d", NULL), 0, 1e-12); /* no word is right: no smoothing */
    CHECK_NEAR(bleu("a b c", "a b c", NULL), 0, 1e-12);     /* no four words: sacrebleu says 0 */
    CHECK_NEAR(bleu("", "a b c d", NULL), 0, 1e-12);
    /* Two references: each n-gram as often as the one that has it most; the closer length, 4. */
    CHECK_NEAR(bleu("a b c d", "a b x x x x", "y y c d"),
               100 * pow(4.0 / 4 * (2.0 / 3) * (1.0 / 4) * (1.0 / 4), 0.25), 1e-9);
}

TEST(bleu_of_a_corpus_is_of_the_sums_and_not_the_mean)
{
    hg_bleu a, b;
    hg_err e = {0};
    const hg_bytes one = bytes("a b c d"), two = bytes("a b c d e f");
    CHECK_OK(hg_bleu_count(&a, bytes("a b c d"), &one, 1, &e), e);
    CHECK_OK(hg_bleu_count(&b, bytes("a b x d e f"), &two, 1, &e), e);
    for (size_t i = 0; i < 4; i++) {
        a.match[i] += b.match[i];
        a.total[i] += b.total[i];
    }
    a.said += b.said;
    a.right += b.right;
    /* 4 + 5 of 10; 3 + 3 of 8 (a b, d e, e f); 2 + 1 of 6 (d e f); 1 + 0 of 4. */
    CHECK_NEAR(hg_bleu_score(&a), 100 * pow(9.0 / 10 * (6.0 / 8) * (3.0 / 6) * (1.0 / 4), 0.25),
               1e-9);
}

static double chrf(const char *said, const char *a, const char *b)
{
    hg_chrf c;
    hg_err e = {0};
    const hg_bytes right[2] = {bytes(a), bytes(b != NULL ? b : "")};
    CHECK_OK(hg_chrf_count(&c, bytes(said), right, b != NULL ? 2 : 1, &e), e);
    return hg_chrf_score(&c);
}

TEST(chrf_is_that_of_its_definition)
{
    CHECK_NEAR(chrf("a cat", "acat", NULL), 100, 1e-9); /* white space is left out */
    /* "abcd" against "abce": 1: 3/4; 2: 2/3; 3: 1/2; 4: 0/1; 5 and 6 are in neither. P = R. */
    CHECK_NEAR(chrf("abcd", "abce", NULL), 100 * (3.0 / 4 + 2.0 / 3 + 1.0 / 2 + 0) / 4, 1e-9);
    /* "ab" against "abcd": orders 1 and 2 are in both: P = (2/2 + 1/1) / 2 = 1,
     * R = (2/4 + 1/3) / 2 = 5/12; F2 = 5 P R / (4 P + R). */
    CHECK_NEAR(chrf("ab", "abcd", NULL), 100 * 5 * (5.0 / 12) / (4 + 5.0 / 12), 1e-9);
    CHECK_NEAR(chrf("xyz", "abc", NULL), 0, 1e-12);
    CHECK_NEAR(chrf("", "abc", NULL), 0, 1e-12);
    /* Characters, not bytes: 1: 1/2, 2: 0/1. */
    CHECK_NEAR(chrf("\xC3\xA4\xC3\xB6", "\xC3\xA4\xC3\xBC", NULL), 100 * 0.25, 1e-9);
    CHECK_NEAR(chrf("abcd", "wxyz", "abcd"), 100, 1e-9); /* the better reference */
}

TEST(rouge_is_that_of_its_definition)
{
    hg_rouge r;
    hg_err e = {0};
    hg_bytes right = bytes("police killed the gunman");
    /* Lin's example: "police kill the gunman": 3 of 4 words; of the pairs "the gunman", 1 of 3; the
     * longest common subsequence police - the - gunman, 3. "the gunman kill police": 3 words, 1
     * pair, a subsequence of 2. */
    CHECK_OK(hg_rouge_score(&r, bytes("Police kill the gunman."), &right, 1, &e), e);
    CHECK_NEAR(r.one, 0.75, 1e-12);
    CHECK_NEAR(r.two, 1.0 / 3, 1e-12);
    CHECK_NEAR(r.l, 0.75, 1e-12);
    CHECK_OK(hg_rouge_score(&r, bytes("the gunman kill police"), &right, 1, &e), e);
    CHECK_NEAR(r.one, 0.75, 1e-12);
    CHECK_NEAR(r.two, 1.0 / 3, 1e-12);
    CHECK_NEAR(r.l, 0.5, 1e-12);
    /* Precision 2/2, recall 2/4: F1 = 2/3. */
    CHECK_OK(hg_rouge_score(&r, bytes("the gunman"), &right, 1, &e), e);
    CHECK_NEAR(r.one, 2.0 / 3, 1e-12);
    CHECK_OK(hg_rouge_score(&r, bytes(""), &right, 1, &e), e);
    CHECK_NEAR(r.one + r.two + r.l, 0, 1e-12);
    const hg_bytes two[] = {bytes("x y"), bytes("\xC3\x84 B")};
    CHECK_OK(hg_rouge_score(&r, bytes("\xC3\xA4 b"), two, 2, &e), e);
    CHECK_NEAR(r.one + r.two + r.l, 3, 1e-12);
}

TEST(squad_normalises_as_its_script_does)
{
    static const char *const cases[][2] = {
        {"The Eiffel-Tower!", "eiffeltower"},
        {" A  cat and an apple, the end ", "cat and apple end"},
        {"theatre another a", "theatre another"},
        {"\xC3\x84pfel \xE2\x80\x93 the", "\xC3\xA4pfel \xE2\x80\x93"},
        {"", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hg_buf b = {0};
        hg_squad_normal(&b, bytes(cases[i][0]));
        CHECK_STR(b.n > 0 ? b.p : "", cases[i][1]);
        hg_buf_free(&b);
    }
}

TEST(squad_takes_the_best_of_several_answers)
{
    hg_squad s;
    hg_err e = {0};
    const hg_bytes right[] = {bytes("in Paris, France"), bytes("the Paris")};
    CHECK_OK(hg_squad_score(&s, bytes("Paris."), right, 2, &e), e);
    CHECK(s.is_exact);
    CHECK_NEAR(s.f1, 1, 1e-12);
    /* "paris city" and "in paris france": 1 common, 2 + 3 words: 2/5; against "paris": 2/3. */
    CHECK_OK(hg_squad_score(&s, bytes("Paris city"), right, 1, &e), e);
    CHECK(!s.is_exact);
    CHECK_NEAR(s.f1, 0.4, 1e-12);
    CHECK_OK(hg_squad_score(&s, bytes("Paris city"), right, 2, &e), e);
    CHECK_NEAR(s.f1, 2.0 / 3, 1e-12);
    CHECK_OK(hg_squad_score(&s, bytes("the"), right, 2, &e), e);
    CHECK(!s.is_exact);
    CHECK_NEAR(s.f1, 0, 1e-12);
}

TEST(macro_f1_is_the_mean_over_the_classes_that_occur)
{
    /* right by said: a: 3 right, 1 taken for b; b: 1 for a, 1 right; c nowhere.
     * F1(a) = 6/(4 + 4), F1(b) = 2/(2 + 2). */
    const uint64_t cell[9] = {3, 1, 0, 1, 1, 0, 0, 0, 0};
    CHECK_NEAR(hg_class_f1(cell, 3, 0), 0.75, 1e-12);
    CHECK_NEAR(hg_class_f1(cell, 3, 1), 0.5, 1e-12);
    CHECK_NEAR(hg_macro_f1(cell, 3), 0.625, 1e-12);
}

static double mean(const void *ctx, const size_t *pick, size_t n)
{
    const double *v = ctx;
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += v[pick[i]];
    return sum / (double)n;
}

TEST(the_bootstrap_of_a_metric_pairs_the_rows)
{
    enum { N = 400 };
    double a[N], b[N];
    hg_interval i;
    hg_err e = {0};
    for (size_t k = 0; k < N; k++) {
        a[k] = (double)(k % 2);
        b[k] = a[k] + 0.25;
    }
    CHECK_OK(hg_bootstrap_metric(mean, a, NULL, N, 1000, 1, &i, &e), e);
    /* 0.5 +- 1.96 sqrt(0.25 / 400) = 0.451 to 0.549 */
    CHECK_NEAR(i.low, 0.451, 0.01);
    CHECK_NEAR(i.high, 0.549, 0.01);
    CHECK_OK(hg_bootstrap_metric(mean, b, a, N, 1000, 1, &i, &e), e);
    CHECK_NEAR(i.low, 0.25, 1e-9); /* the same rows on both sides: nothing but the difference */
    CHECK_NEAR(i.high, 0.25, 1e-9);
}
