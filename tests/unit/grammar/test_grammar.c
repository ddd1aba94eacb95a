/* Grammars by the texts they accept, masks by trying every token. */
#include "grammar/masks.h"
#include "harness/test.h"

#include "base/rng.h"
#include <string.h>

static hg_err e;

static hg_bytes text(const char *s)
{
    return (hg_bytes){s, strlen(s)};
}

static hg_grammar *gbnf(const char *s)
{
    hg_grammar *g = NULL;
    CHECK_OK(hg_grammar_from_gbnf(&g, text(s), &e), e);
    return g;
}

static hg_grammar *regex(const char *s)
{
    hg_grammar *g = NULL;
    CHECK_OK(hg_grammar_from_regex(&g, text(s), &e), e);
    return g;
}

static bool accepts(const hg_grammar *g, const char *s)
{
    bool yes = false;
    CHECK_OK(hg_grammar_accepts(g, text(s), &yes, &e), e);
    return yes;
}

/* `yes` and `no` are texts, each ended by a NUL; an empty one ends the list. */
static void check(hg_grammar *g, const char *yes, const char *no)
{
    for (; *yes != '\0'; yes += strlen(yes) + 1)
        if (!accepts(g, yes)) CHECK_STR(yes, "accepted");
    for (; *no != '\0'; no += strlen(no) + 1)
        if (accepts(g, no)) CHECK_STR(no, "refused");
    hg_grammar_free(g);
}

TEST(gbnf_rules_groups_classes_and_repetitions)
{
    check(gbnf("root ::= \"yes\" | \"no\" # c\n"), "yes\0no\0", "y\0yess\0yesno\0");
    check(gbnf("root ::= (\"- \" item)+\nitem ::= [^\\n]+ \"\\n\"\n"), "- a\n\0- a\n- \u00e4b\n\0",
          "- \n\0a\n\0- a\0");
    check(gbnf("root ::= [a-c]{2,3} x?\nx ::= \"x\" |\n \"y\""), "ab\0abcx\0aay\0",
          "a\0abcc\0abxx\0");
    check(gbnf("root ::= . [\\u00e4-\\u00e6\\-] \"\\x41\""), "z\u00e4A\0\u20ac-A\0",
          "z\u00e3A\0-A\0");
}

TEST(gbnf_may_recurse_on_either_side)
{
    check(gbnf("root ::= e\ne ::= e \"+\" t | t\nt ::= \"(\" e \")\" | [0-9]+"),
          "1\0"
          "1+2\0"
          "(1+2)+33\0((1))\0",
          "1+\0(1\0+1\0"
          "1)\0");
    check(gbnf("root ::= a\na ::= \"x\" a \"y\" | \"x\" a \"z\" | \"m\""), "m\0xxmzy\0",
          "xm\0mz\0xmyy\0");
    check(gbnf("root ::= s\ns ::= s s | \"a\" | b\nb ::= \"\" | b \"b\""),
          "a\0"
          "aab\0"
          "bbab\0",
          "c\0ac\0");
    check(gbnf("root ::= i \"\\n\" root | i\ni ::= [a-z]+"), "a\0a\nb\nc\0", "a\n\0\n\0");
}

TEST(a_mistake_in_a_grammar_is_told_with_its_place)
{
    hg_grammar *g;
    CHECK_EQ(hg_grammar_from_gbnf(&g, text("root ::= \"a\"\nb ::= c\n"), &e), HG_E_FORMAT);
    CHECK_STR(e.msg, "line 2, column 7: the rule \"c\" is used and never defined");
    CHECK_EQ(hg_grammar_from_gbnf(&g, text("root ::= (\"a\""), &e), HG_E_FORMAT);
    CHECK_STR(e.msg, "line 1, column 14: a group is not closed; ) expected");
    CHECK_EQ(hg_grammar_from_gbnf(&g, text("x ::= \"a\""), &e), HG_E_FORMAT);
    CHECK_STR(e.msg, "no rule \"root\"; a grammar begins with it");
    CHECK_EQ(hg_grammar_from_gbnf(&g, text("root ::= \"a\" root"), &e), HG_E_FORMAT);
    CHECK_EQ(hg_grammar_from_regex(&g, text("a(?=b)"), &e), HG_E_UNSUPPORTED);
    CHECK_STR(e.msg, "line 1, column 5: looking ahead or behind cannot be held");
    CHECK(g == NULL);
}

TEST(regular_expressions_match_the_whole_text)
{
    check(regex("^(\\([0-9]{3}\\))?[0-9]{3}-[0-9]{4}$"), "555-1212\0(888)555-1212\0",
          "(888)\0"
          "5551212\0");
    check(regex("a|b+c"), "a\0bbc\0", "ac\0b\0");
    check(regex("[^a-c\\d]\\w\\.\\u00e9"), "xy.\u00e9\0", "ay.\u00e9\0xy,\u00e9\0");
    check(regex("(?<y>\\d{4})-(?:0[1-9]|1[0-2])"), "2024-12\0", "2024-13\0");
    check(regex("x{0,1000}"), "x\0xxxx\0", "y\0");
}

/* ---- masks ---- */
enum { N_TOKENS = 400, END = 0 };

/* A vocabulary of all bytes and random short strings over an alphabet. */
static hg_vocab *vocabulary(const char *alphabet, char (*store)[16])
{
    static hg_bytes pieces[N_TOKENS];
    hg_rng rng;
    hg_vocab *v = NULL;
    const int32_t end = END;
    hg_rng_init(&rng, 7, 1);
    pieces[0] = (hg_bytes){0};
    for (uint32_t i = 1; i < N_TOKENS; i++) {
        size_t n = 1;
        if (i <= 256) {
            store[i][0] = (char)(i - 1);
        } else {
            n = 2 + (size_t)(hg_rng_unit(&rng) * 6);
            for (size_t k = 0; k < n; k++)
                store[i][k] = alphabet[(size_t)(hg_rng_unit(&rng) * (double)strlen(alphabet))];
        }
        pieces[i] = (hg_bytes){store[i], n};
    }
    CHECK_OK(hg_vocab_from_pieces(&v, pieces, N_TOKENS, &end, 1, &e), e);
    return v;
}

/* Random walks: at each step the mask is what trying every token gives; each token that a limit
 * leaves can be brought to an end in time. */
static void walk_beside(hg_grammar *g, const char *alphabet, size_t max_bytes, bool warms)
{
    static char store[N_TOKENS][16];
    hg_vocab *v = vocabulary(alphabet, store);
    hg_masks *m = NULL;
    hg_rng rng;
    hg_rng_init(&rng, 3, 2);
    CHECK_OK(hg_masks_new(&m, g, v, max_bytes, &e), e);
    if (warms) hg_masks_warm_begin(m, 10.0);
    for (int round = 0; round < 6; round++) {
        hg_matcher *t = NULL, *copy = NULL;
        uint32_t bits[(N_TOKENS + 31) / 32], again[(N_TOKENS + 31) / 32];
        CHECK_OK(hg_matcher_new(&t, m, &e), e);
        size_t left = 40;
        CHECK(hg_matcher_distance(t) <= left);
        for (; left > 0 && !hg_matcher_is_done(t); left--) {
            int32_t allowed[N_TOKENS];
            size_t n = 0;
            CHECK_OK(hg_matcher_mask(t, 0, bits, &e), e);
            for (int32_t id = 0; id < N_TOKENS; id++) {
                const bool fits = hg_matcher_accept(t, id, &e) == HG_OK;
                CHECK_EQ(fits, (bits[id / 32] >> id % 32 & 1) != 0);
                if (fits) hg_matcher_rollback(t, 1);
            }
            CHECK_OK(hg_matcher_clone(&copy, t, &e), e);
            CHECK_OK(hg_matcher_mask(copy, 0, again, &e), e);
            CHECK(memcmp(bits, again, sizeof bits) == 0);
            hg_matcher_free(copy);
            CHECK_OK(hg_matcher_mask(t, left, bits, &e), e);
            for (int32_t id = 1; id < N_TOKENS; id++)
                if ((bits[id / 32] >> id % 32 & 1) != 0) allowed[n++] = id;
            if (n == 0) break; /* only the end */
            const int32_t id = allowed[(size_t)(hg_rng_unit(&rng) * (double)n)];
            CHECK_OK(hg_matcher_accept(t, id, &e), e);
            CHECK(hg_matcher_distance(t) <= left - 1);
        }
        CHECK(hg_matcher_may_end(t));
        hg_matcher_free(t);
    }
    hg_masks_free(m);
    hg_vocab_free(v);
    hg_grammar_free(g);
}

static const char json[] = "root ::= v\nv ::= o | a | s | n | \"true\"\n"
                           "o ::= \"{\" (s \":\" v (\",\" s \":\" v)*)? \"}\"\n"
                           "a ::= \"[\" (v (\",\" v)*)? \"]\"\n"
                           "s ::= \"\\\"\" ([^\"\\\\] | \"\\\\\" [nt\"])* \"\\\"\"\nn ::= [0-9]+\n";

static void walk(hg_grammar *g, const char *alphabet, size_t max_bytes)
{
    walk_beside(g, alphabet, max_bytes, false);
}

TEST(a_mask_is_what_trying_every_token_gives)
{
    walk(gbnf(json), "{}[]\":,1ae", 1 << 24);
    walk(gbnf("root ::= e\ne ::= e \"+\" t | t\nt ::= \"(\" e \")\" | [0-9]{1,3}"), "()+12",
         1 << 24);
    walk(gbnf("root ::= s\ns ::= s s | \"a\" | \"b\" s \"c\" | \"\""), "abc", 1 << 24);
    walk(regex("([a-c]{2}|\u00e9){3,20}x?"), "abcx\xC3\xA9", 1 << 24);
}

TEST(masks_that_are_not_kept_are_the_same)
{
    walk(gbnf(json), "{}[]\":,1ae", 0);
}

TEST(masks_that_another_thread_makes_ahead_are_the_same)
{
    walk_beside(regex("(ab|c){300,600}x|y"), "abcx", 1 << 24, true);
    walk_beside(regex("(ab|c){300,600}x|y"), "abcx", 2000, true);
    walk_beside(gbnf("root ::= \"(\" root* \")\" | [a-c]+"), "abc()", 1 << 24, true);
}

TEST(long_repetitions_share_masks)
{
    walk(regex("(ab|c){300,600}x|y"), "abcx", 1 << 24);
    walk(regex("(ab|\u00e9){0,900}x"), "abcx", 1 << 24);
}

TEST(what_must_come_is_told)
{
    static char store[N_TOKENS][16];
    char out[32];
    hg_grammar *g = gbnf("root ::= \"{name:\" [a-z]+ \"}\"");
    hg_vocab *v = vocabulary("ab", store);
    hg_masks *m;
    hg_matcher *t;
    CHECK_OK(hg_masks_new(&m, g, v, 1 << 20, &e), e);
    CHECK_OK(hg_masks_warm(m, 10, &e), e);
    CHECK_OK(hg_matcher_new(&t, m, &e), e);
    CHECK_EQ(hg_matcher_forced(t, out, sizeof out), 6);
    CHECK(memcmp(out, "{name:", 6) == 0);
    CHECK_EQ(hg_matcher_accept(t, 1 + 'x', &e), HG_E_STATE);
    CHECK_OK(hg_matcher_accept(t, 1 + '{', &e), e);
    CHECK_EQ(hg_matcher_forced(t, out, 2), 2);
    hg_matcher_free(t);
    hg_masks_free(m);
    hg_vocab_free(v);
    hg_grammar_free(g);
}
