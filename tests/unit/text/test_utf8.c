#include "harness/test.h"
#include "text/charset.h"
#include "text/script.h"
#include "text/utf8.h"
#include <string.h>

static hg_bytes bytes(const char *s)
{
    return (hg_bytes){s, strlen(s)};
}

static void check_clean(const char *in, const char *want)
{
    hg_buf out = {0}, again = {0};
    hg_err e;
    CHECK_OK(hg_text_clean(&out, bytes(in), &e), e);
    CHECK_STR(out.n > 0 ? out.p : "", want);
    CHECK_OK(hg_text_clean(&again, (hg_bytes){out.p, out.n}, &e), e);
    CHECK_STR(again.n > 0 ? again.p : "", want);
    hg_buf_free(&out);
    hg_buf_free(&again);
}

TEST(every_code_point_survives_encoding_and_decoding)
{
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        char b[4];
        uint32_t back;
        if (c >= 0xD800 && c <= 0xDFFF) continue;
        size_t n = hg_utf8_encode(c, b);
        CHECK_EQ(hg_utf8_step(b, b + n, &back), n);
        CHECK_EQ(back, c);
        if (n > 1) CHECK_EQ(hg_utf8_cut((hg_bytes){b, n - 1}), n - 1);
        CHECK_EQ(hg_utf8_cut((hg_bytes){b, n}), 0);
    }
}

TEST(malformed_bytes_are_seen_one_by_one)
{
    static const char *const bad[] = {
        "\x80",         "\xc0\x80", "\xc1\xbf",         "\xe0\x80\x80",
        "\xed\xa0\x80", "\xff",     "\xf4\x90\x80\x80", "\xf8\x88\x80\x80",
        "\xc3",         "\xe2\x82", "\xf0\x9f\x98",     "\xc3("};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint32_t c;
        CHECK_EQ(hg_utf8_step(bad[i], bad[i] + strlen(bad[i]), &c), 1);
        CHECK_EQ(c, HG_UTF8_BAD);
        CHECK_EQ(hg_utf8_valid(bytes(bad[i])), 0);
    }
    CHECK_EQ(hg_utf8_valid(bytes("abc\xc3\xa9 \xff")), 6);
}

TEST(cleaning_composes_and_drops_what_carries_no_meaning)
{
    check_clean("", "");
    check_clean(" \n\n \t\n", "");
    check_clean("e\xcc\x81tude", "\xc3\xa9tude"); /* NFC */
    check_clean("so\xc2\xad"
                "ft hy\xc2\xad"
                "phen",
                "soft hyphen");              /* soft hyphens */
    check_clean("\xef\xbb\xbfmark", "mark"); /* byte order mark */
    check_clean("a\xe2\x80\x8b"
                "b\xe2\x80\x8e"
                "c",
                "abc"); /* zero width, direction */
    check_clean("o\xef\xac\x83"
                "ce of\xef\xac\x81"
                "re",
                "office offire"); /* ligatures */
    check_clean("a\xc2\xa0"
                "b",
                "a b"); /* no-break space */
    check_clean("a\r\nb\rc\xe2\x80\xa8"
                "d\f"
                "e",
                "a\nb\nc\nd\ne");                 /* line ends */
    check_clean("a  \t\n\n\n\n b \n", "a\n\n b"); /* spaces, empty lines */
    check_clean("a\x01\x1b[0m\x7f"
                "b\tc",
                "a[0mb\tc"); /* controls */
    check_clean("a\xff"
                "b",
                "a\xef\xbf\xbd"
                "b"); /* broken bytes */
    check_clean(
        "\xe0\xa4\x95\xe0\xa5\x8d\xe2\x80\x8d\xe0\xa4\xb7", /* a joiner that means something */
        "\xe0\xa4\x95\xe0\xa5\x8d\xe2\x80\x8d\xe0\xa4\xb7");
    check_clean("\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab", "\xed\x95\x9c"); /* Hangul jamo */
}

TEST(letters_and_spaces_are_unicodes)
{
    CHECK(hg_utf8_is_letter('a') && hg_utf8_is_letter(0xE9) && hg_utf8_is_letter(0x4E00));
    CHECK(!hg_utf8_is_letter('1') && !hg_utf8_is_letter('{') && !hg_utf8_is_letter(HG_UTF8_BAD));
    CHECK(hg_utf8_is_space(' ') && hg_utf8_is_space(0x3000) && !hg_utf8_is_space('x'));
    CHECK_EQ(hg_utf8_count(bytes("a\xc3\xa9\xff")), 3);
}

TEST(scripts_are_told_apart)
{
    CHECK_EQ(hg_script_of('q'), HG_SCRIPT_LATIN);
    CHECK_EQ(hg_script_of('7'), HG_SCRIPT_COMMON);
    CHECK_EQ(hg_script_of(0x436), HG_SCRIPT_CYRILLIC);
    CHECK_EQ(hg_script_of(0x5D0), HG_SCRIPT_HEBREW);
    CHECK_EQ(hg_script_of(0x3042), HG_SCRIPT_KANA);
    CHECK_EQ(hg_script_of(0x6F22), HG_SCRIPT_HAN);
    CHECK_EQ(hg_script_of(0xD55C), HG_SCRIPT_HANGUL);
    CHECK_EQ(hg_script_of(0x10FFFF), HG_SCRIPT_COMMON);
    CHECK_STR(hg_script_name(HG_SCRIPT_HAN), "Han");
    CHECK(!hg_script_has_spaces(HG_SCRIPT_THAI) && hg_script_has_spaces(HG_SCRIPT_HANGUL));
}

static void check_charset(const char *label, const char *in, size_t n, const char *want)
{
    hg_buf out = {0};
    hg_err e;
    const char *name = hg_charset_find(bytes(label));
    CHECK(name != NULL);
    CHECK_OK(hg_charset_convert(name, (hg_bytes){in, n}, &out, &e), e);
    CHECK_STR(out.p, want);
    hg_buf_free(&out);
    /* The same byte by byte: characters that come in pieces are put together. */
    hg_charset *c = NULL;
    CHECK_OK(hg_charset_open(&c, name, &e), e);
    for (size_t i = 0; i < n; i++)
        CHECK_OK(hg_charset_put(c, (hg_bytes){in + i, 1}, i + 1 == n, &out, &e), e);
    CHECK_STR(out.p, want);
    hg_charset_free(c);
    hg_buf_free(&out);
}

TEST(old_encodings_become_utf8)
{
    check_charset("ISO-8859-1", "caf\xe9 \x80", 6, "caf\xc3\xa9 \xe2\x82\xac");
    check_charset("koi8-r", "\xf0\xd2\xc9", 3, "\xd0\x9f\xd1\x80\xd0\xb8");
    check_charset("Shift_JIS", "\x93\xfa\x96\x7b", 4, "\xe6\x97\xa5\xe6\x9c\xac");
    check_charset("utf-16le", "h\0i\0", 4, "hi");
    check_charset("latin1", "\x81", 1, "\xef\xbf\xbd");
    check_charset("euc-kr", "\xff!", 2, "\xef\xbf\xbd!");
    CHECK(hg_charset_find(bytes("UTF-8//TRANSLIT")) == NULL);
    CHECK(hg_charset_find(bytes("../../evil")) == NULL);
}

static const char *guess(const char *s, bool is_html)
{
    size_t skip;
    return hg_charset_guess(bytes(s), is_html, &skip);
}

TEST(a_documents_encoding_is_what_it_says_or_what_its_bytes_are)
{
    size_t skip;
    CHECK_STR(guess("plain", false), "UTF-8");
    CHECK_STR(guess("caf\xc3\xa9", false), "UTF-8");
    CHECK_STR(guess("cut off \xc3", false), "UTF-8");
    CHECK_STR(guess("caf\xe9 noir", false), "WINDOWS-1252");
    CHECK_STR(guess("<meta charset=koi8-r>", true), "KOI8-R");
    CHECK_STR(guess("<meta content='text/html; charset=\"EUC-JP\"'>", true), "EUC-JP");
    CHECK_STR(guess("<?xml version='1.0' encoding='ISO-8859-2'?><html>", true), "ISO-8859-2");
    CHECK_STR(guess("<meta charset=utf-16>", true), "UTF-8");
    CHECK_STR(guess("<meta charset=klingon>", true), "UTF-8");
    CHECK_STR(hg_charset_guess((hg_bytes){"\xfe\xff\0h", 4}, false, &skip), "UTF-16BE");
    CHECK_EQ(skip, 2);
    CHECK_STR(hg_charset_guess((hg_bytes){"\xef\xbb\xbfh", 4}, false, &skip), "UTF-8");
    CHECK_EQ(skip, 3);
}

TEST(text_is_made_visible)
{
    static const char in[] = "a b\n\t\x1B[0m\xC2\x9B\xE2\x80\xAE\xE2\x80\xA8\xFF\xE4\xB8\x80";
    hg_buf b = {0};
    hg_text_visible(&b, (hg_bytes){in, sizeof in - 1}, true);
    CHECK_STR(b.p, "a\xC2\xB7"
                   "b\xE2\x86\xB5\xE2\x87\xA5<1B>[0m<U+009B><U+202E><U+2028><FF>\xE4\xB8\x80");
    hg_buf_clear(&b);
    hg_text_visible(&b, (hg_bytes){"a b", 3}, false);
    CHECK_STR(b.p, "a b");
    hg_buf_free(&b);
}
