#include "eval/eval.h"
#include "harness/test.h"

#include <math.h>
#include <string.h>

static hg_err e;

/* Values of R's binom::binom.wilson and of the formula worked out by hand. */
TEST(wilsons_interval_is_the_published_one)
{
    hg_interval i = hg_wilson(8, 10);
    CHECK_NEAR(i.low, 0.4901625, 1e-6);
    CHECK_NEAR(i.high, 0.9433178, 1e-6);
    i = hg_wilson(0, 10);
    CHECK(i.low == 0);
    CHECK_NEAR(i.high, 0.2775328, 1e-6);
    i = hg_wilson(10, 10);
    CHECK(i.high == 1);
    CHECK_NEAR(i.low, 0.7224672, 1e-6);
    i = hg_wilson(0, 0);
    CHECK(i.low == 0 && i.high == 1);
}

TEST(the_bootstrap_of_equal_units_has_no_width)
{
    const double a[] = {2, 4, 6}, b[] = {1, 2, 3};
    hg_interval i;
    CHECK_OK(hg_bootstrap_ratio(a, b, 3, 200, 1, &i, &e), e);
    CHECK_NEAR(i.low, 2, 1e-12);
    CHECK_NEAR(i.high, 2, 1e-12);
}

/* The mean of 400 values 0 and 1 in equal parts has a standard error of 0.5 / 20. */
TEST(the_bootstrap_has_the_width_of_the_normal_law_and_follows_its_seed)
{
    enum { N = 400 };
    double a[N], b[N];
    hg_interval i, again, other;
    for (int k = 0; k < N; k++) {
        a[k] = k % 2;
        b[k] = 1;
    }
    CHECK_OK(hg_bootstrap_ratio(a, b, N, 4000, 7, &i, &e), e);
    CHECK_NEAR(i.low, 0.5 - 1.96 * 0.025, 0.004);
    CHECK_NEAR(i.high, 0.5 + 1.96 * 0.025, 0.004);
    CHECK_OK(hg_bootstrap_ratio(a, b, N, 4000, 7, &again, &e), e);
    CHECK(again.low == i.low && again.high == i.high);
    CHECK_OK(hg_bootstrap_ratio(a, b, N, 4000, 8, &other, &e), e);
    CHECK(other.low != i.low || other.high != i.high);
}

/* ---- rows ---- */

static hg_arena mem;

static hg_row row(const char *line)
{
    hg_row r;
    CHECK_OK(hg_row_parse(&r, (hg_bytes){line, strlen(line)}, &mem, &e), e);
    return r;
}

static void refuse(const char *line, const char *words)
{
    hg_row r;
    CHECK_EQ(hg_row_parse(&r, (hg_bytes){line, strlen(line)}, &mem, &e), HG_E_FORMAT);
    CHECK_HAS(e.msg, words);
}

TEST(rows_of_the_common_sets_are_known_by_their_members)
{
    hg_row r = row("{\"sentence_good\": \"a b\", \"sentence_bad\": \"b a\", \"linguistics_term\": "
                   "\"order\"}");
    CHECK(r.kind == HG_ROW_PAIR && r.n == 2 && r.gold == 0 && r.part.n == 5);
    r = row("{\"ctx\": \"A man\", \"endings\": [\"sits\", \"runs\", \"is\"], \"label\": \"2\"}");
    CHECK(r.kind == HG_ROW_CHOICE && r.n == 3 && r.gold == 2 && r.prompt.n == 5);
    r = row("{\"question\": \"Which?\", \"choices\": [\"x\", \"y\"], \"answer\": \"B\"}");
    CHECK(r.kind == HG_ROW_CHOICE && r.gold == 1 && r.is_question);
    r = row("{\"prompt\": \"p\", \"choices\": [\"no\", \"yes\"], \"answer\": \"yes\"}");
    CHECK(r.kind == HG_ROW_CHOICE && r.gold == 1 && !r.is_question);
    r = row("{\"context_options\": [\"a\", \"b\"], \"continuation\": \"c\", \"gold\": 1}");
    CHECK(r.kind == HG_ROW_FRAME && r.gold == 1);
    r = row("{\"context\": \"a\", \"continuation\": \"c\"}");
    CHECK(r.kind == HG_ROW_NEXT);
    r = row("{\"context\": \"a\", \"answer\": 18}");
    CHECK(r.kind == HG_ROW_ANSWER && r.n == 1 && r.text[0].n == 2);
    r = row("{\"question\": \"a\", \"answer\": [\"x\", \"y\"]}");
    CHECK(r.kind == HG_ROW_ANSWER && r.n == 2);
    hg_arena_free(&mem);
}

TEST(malformed_rows_are_refused_in_a_sentence)
{
    refuse("[]", "a row is an array; it must be an object");
    refuse("{}", "a row of no known form");
    refuse("{\"sentence_good\": \"a\"}", "\"sentence_bad\" is nothing; it must be text");
    refuse("{\"query\": \"a\", \"choices\": [\"x\"], \"gold\": 0}", "a list of 2 to 32 texts");
    refuse("{\"query\": \"a\", \"choices\": [\"x\", \"y\"], \"gold\": 2}",
           "\"gold\" must say which of the 2 choices is right");
    refuse("{\"query\": \"a\", \"choices\": [\"x\", \"\"], \"gold\": 0}", "a choice is empty");
    refuse("{\"prompt\": \"a\", \"answer\": \"...\"}", "no letter and no digit");
    hg_arena_free(&mem);
}

TEST(a_set_names_file_and_line_and_keeps_to_one_kind)
{
    static const char lines[] = "{\"prompt\": \"a\", \"answer\": \"b\"}\n\n{\"prompt\": 3}\n";
    static const char mixed[] = "{\"prompt\": \"a\", \"answer\": \"b\"}\n"
                                "{\"context\": \"a\", \"continuation\": \"b\"}\n";
    hg_set *s = hg_alloc(1, sizeof *s);
    CHECK_EQ(hg_set_read(s, (hg_bytes){lines, sizeof lines - 1}, "x.jsonl", &e), HG_E_FORMAT);
    CHECK_STR(e.msg, "x.jsonl:3: \"prompt\" is a whole number; it must be text");
    CHECK_EQ(s->n, 1);
    s->n = 0;
    CHECK_EQ(hg_set_read(s, (hg_bytes){mixed, sizeof mixed - 1}, "x.jsonl", &e), HG_E_FORMAT);
    CHECK_STR(e.msg, "x.jsonl:2: a row of next words among rows of answers; a set has rows of one "
                     "kind");
    hg_set_free(s);
}

TEST(a_sample_is_chosen_by_its_seed_and_keeps_the_order)
{
    hg_set *s[2];
    for (int k = 0; k < 2; k++) {
        s[k] = hg_alloc(1, sizeof *s[k]);
        for (int i = 0; i < 100; i++) {
            hg_buf b = {0};
            hg_buf_printf(&b, "{\"prompt\": \"%03d\", \"answer\": \"x\"}", i);
            CHECK_OK(hg_set_read(s[k], (hg_bytes){b.p, b.n}, "x", &e), e);
            hg_buf_free(&b);
        }
        CHECK_OK(hg_set_sample(s[k], 0, 10, 3, &e), e);
        CHECK_EQ(s[k]->n, 10);
        CHECK_EQ(s[k]->n_there, 100);
    }
    for (size_t i = 0; i < 10; i++) {
        CHECK(memcmp(s[0]->row[i].prompt.p, s[1]->row[i].prompt.p, 3) == 0);
        if (i > 0) CHECK(memcmp(s[0]->row[i - 1].prompt.p, s[0]->row[i].prompt.p, 3) < 0);
    }
    hg_set_free(s[0]);
    hg_set_free(s[1]);
}

static bool match(const char *said, const char *answer)
{
    bool yes;
    CHECK_OK(hg_answer_matches((hg_bytes){said, strlen(said)}, (hg_bytes){answer, strlen(answer)},
                               &yes, &e),
             e);
    return yes;
}

TEST(answers_match_by_their_words)
{
    CHECK(match(" Paris.", "paris"));
    CHECK(match("\"Paris\", of course", "Paris"));
    CHECK(match("  new \t york ", "New York"));
    CHECK(match("\xC3\x84"
                "rger",
                "\xC3\xA4rger"));
    CHECK(match("-734", "-734"));
    CHECK(match("18.", "18"));
    CHECK(!match("Parisian", "Paris"));
    CHECK(!match("in Paris", "Paris"));
    CHECK(!match("18.5", "18"));
    CHECK(!match("734", "-734"));
    CHECK(!match("180", "18"));
    CHECK(!match("", "x"));
}
