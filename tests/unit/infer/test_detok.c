/* Streaming text: no half characters, no beginning of a stop string, whatever the tokens' borders.
 */
#include "harness/test.h"
#include "infer/detok.h"

#include <string.h>

#define MARK "\xef\xbf\xbd" /* U+FFFD */

static void put(hg_detok *d, const char *piece, const char *shown)
{
    hg_err e;
    hg_bytes ready;
    CHECK_OK(hg_detok_put(d, (hg_bytes){piece, strlen(piece)}, &ready, &e), e);
    CHECK_EQ(ready.n, strlen(shown));
    CHECK(memcmp(ready.p, shown, ready.n) == 0);
}

static void end(hg_detok *d, const char *shown)
{
    hg_err e;
    hg_bytes ready;
    CHECK_OK(hg_detok_end(d, &ready, &e), e);
    CHECK_EQ(ready.n, strlen(shown));
    CHECK(memcmp(ready.p, shown, ready.n) == 0);
}

static void stops(hg_stops *s, const char *a, const char *b)
{
    const char *list[2] = {a, b};
    hg_err e;
    CHECK_OK(hg_stops_copy(s, list, b != NULL ? 2 : 1, &e), e);
}

TEST(half_a_character_waits_for_the_rest)
{
    hg_detok d = {0};
    hg_detok_begin(&d, NULL);
    put(&d, "a\xe2", "a");
    put(&d, "\x82", "");
    put(&d, "\xac-", "\xe2\x82\xac-");
    put(&d, "\xf0\x9f\x98", "");
    put(&d, "\x80", "\xf0\x9f\x98\x80");
    end(&d, "");
    hg_detok_free(&d);
}

TEST(broken_bytes_become_one_mark_for_each_broken_part)
{
    hg_detok d = {0};
    hg_detok_begin(&d, NULL);
    put(&d, "\xff", MARK);
    put(&d, "\x80z", MARK "z");
    put(&d, "\xe2\x82", "");
    put(&d, "x", MARK "x");                  /* one for the two bytes that began a character */
    put(&d, "\xc0\xaf", MARK MARK);          /* an overlong slash */
    put(&d, "\xed\xa0\x80", MARK MARK MARK); /* a surrogate */
    put(&d, "\xf4\x90", MARK MARK);          /* beyond U+10FFFF */
    put(&d, "\xf0\x9f\xf0\x9f\x98\x80", MARK "\xf0\x9f\x98\x80");
    end(&d, "");
    hg_detok_free(&d);
}

TEST(an_unfinished_character_ends_as_one_mark)
{
    hg_detok d = {0};
    hg_detok_begin(&d, NULL);
    put(&d, "ab\xf0\x9f\x98", "ab");
    end(&d, MARK);
    end(&d, "");
    hg_detok_free(&d);
}

TEST(a_stop_string_across_tokens_is_cut_off)
{
    hg_detok d = {0};
    hg_stops s;
    stops(&s, "\nUser:", NULL);
    hg_detok_begin(&d, &s);
    put(&d, "Yes.\n", "Yes.");
    put(&d, "Us", "");
    put(&d, "er", "");
    CHECK(!d.stopped);
    put(&d, ": more", "");
    CHECK(d.stopped);
    put(&d, "never shown", "");
    end(&d, "");
    hg_detok_free(&d);
    hg_stops_free(&s);
}

TEST(text_held_back_is_shown_when_it_turns_out_harmless)
{
    hg_detok d = {0};
    hg_stops s;
    stops(&s, "END", "aab");
    hg_detok_begin(&d, &s);
    put(&d, "xE", "x");
    put(&d, "N", "");
    put(&d, "Taa", "ENT");
    put(&d, "a", "a"); /* the last two may still begin aab */
    put(&d, "c", "aac");
    put(&d, "EN", "");
    end(&d, "EN");
    CHECK(!d.stopped);
    hg_detok_free(&d);
    hg_stops_free(&s);
}

TEST(the_first_of_several_stops_wins)
{
    hg_detok d = {0};
    hg_stops s;
    stops(&s, "world", "lo");
    hg_detok_begin(&d, &s);
    put(&d, "hello world", "hel");
    CHECK(d.stopped);
    hg_detok_free(&d);
    hg_stops_free(&s);
}

TEST(a_stop_of_several_bytes_a_character_never_splits_one)
{
    hg_detok d = {0};
    hg_stops s;
    stops(&s, "\xc3\xa9!", NULL); /* e acute, exclamation mark */
    hg_detok_begin(&d, &s);
    put(&d, "\xc3", "");
    put(&d, "\xa9", ""); /* may begin the stop */
    put(&d, "\xc3\xa8", "\xc3\xa9\xc3\xa8");
    put(&d, "\xc3\xa9", "");
    put(&d, "!", "");
    CHECK(d.stopped);
    hg_detok_free(&d);
    hg_stops_free(&s);
}

TEST(every_split_of_a_text_shows_the_same)
{
    static const char text[] = "na\xc3\xafve \xe2\x82\xac \xf0\x9f\x98\x80 \xff<|x <|end|> tail";
    static const char want[] = "na\xc3\xafve \xe2\x82\xac \xf0\x9f\x98\x80 " MARK "<|x ";
    const size_t n = sizeof text - 1;
    hg_detok d = {0};
    hg_stops s;
    hg_buf all = {0};
    hg_err e;
    hg_bytes ready;
    stops(&s, "<|end|>", NULL);
    for (size_t a = 0; a <= n; a++)
        for (size_t b = a; b <= n; b++) {
            const size_t border[4] = {0, a, b, n};
            hg_detok_begin(&d, &s);
            hg_buf_clear(&all);
            for (int i = 0; i < 3; i++) {
                const hg_bytes piece = {text + border[i], border[i + 1] - border[i]};
                CHECK_OK(hg_detok_put(&d, piece, &ready, &e), e);
                hg_buf_put(&all, ready.p, ready.n);
            }
            CHECK_OK(hg_detok_end(&d, &ready, &e), e);
            hg_buf_put(&all, ready.p, ready.n);
            CHECK_STR(all.p, want);
        }
    hg_buf_free(&all);
    hg_detok_free(&d);
    hg_stops_free(&s);
}

TEST(stop_strings_that_cannot_be_are_refused)
{
    const char *bad[3] = {"fine", "", "x"};
    const char *many[HG_MAX_STOP + 1];
    hg_stops s;
    hg_err e;
    CHECK_EQ(hg_stops_copy(&s, bad, 3, &e), HG_E_ARG);
    CHECK_STR(e.msg, "stop string 2 must be UTF-8 of 1 to 1024 bytes");
    bad[1] = "\xff";
    CHECK_EQ(hg_stops_copy(&s, bad, 3, &e), HG_E_ARG);
    for (size_t i = 0; i <= HG_MAX_STOP; i++) many[i] = "x";
    CHECK_EQ(hg_stops_copy(&s, many, HG_MAX_STOP + 1, &e), HG_E_ARG);
    CHECK_STR(e.msg, "17 stop strings; at most 16 allowed");
}
