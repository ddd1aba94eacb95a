#include "harness/test.h"
#include "text/json.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static hg_bytes bytes(const char *s)
{
    return (hg_bytes){s, strlen(s)};
}

static void check_refused(const char *in, size_t limit, hg_status want, const char *sentence)
{
    json_t *v = NULL;
    hg_err e;
    CHECK_EQ(hg_json_parse(&v, bytes(in), limit, &e), want);
    CHECK_HAS(e.msg, sentence);
    CHECK(v == NULL);
}

TEST(malformed_json_is_refused_with_line_and_column)
{
    check_refused("", 100, HG_E_FORMAT, "line 1, column 1: not JSON");
    check_refused("{\"a\": 1,\n \"b\": }", 100, HG_E_FORMAT, "line 2, column 7: not JSON");
    check_refused("[1] 2", 100, HG_E_FORMAT, "line 1, column 5");
    check_refused("{\"a\":\"\xff\"}", 100, HG_E_FORMAT, "not JSON");
    check_refused("[1,2,3]", 5, HG_E_LIMIT, "JSON of 7 bytes; at most 5 allowed");
    check_refused("[1e999]", 100, HG_E_FORMAT, "not JSON");
}

TEST(nesting_has_a_limit_and_brackets_in_strings_do_not_count)
{
    char deep[200];
    memset(deep, '[', sizeof deep);
    deep[sizeof deep - 1] = '\0';
    check_refused(deep, 1000, HG_E_LIMIT, "line 1, column 129: JSON nested more than 128 deep");
    memset(deep + 1, '[', 190);
    deep[0] = deep[191] = '"';
    deep[192] = '\0';
    json_t *v = NULL;
    hg_err e;
    CHECK_OK(hg_json_parse(&v, bytes(deep), 1000, &e), e);
    json_decref(v);
}

TEST(members_are_checked_for_type_and_range)
{
    json_t *v = NULL;
    hg_err e;
    int64_t n = 7;
    double x = 0;
    bool b = false;
    hg_bytes s = {0};
    json_t *o = NULL;
    CHECK_OK(hg_json_parse(&v,
                           bytes("{\"n\":3.0,\"s\":\"a\\u0000b\",\"x\":0.5,\"b\":true,\"o\":{},"
                                 "\"z\":null,\"big\":123456789012345678901}"),
                           1000, &e),
             e);
    CHECK_OK(hg_json_get_int(v, "n", 0, 9, &n, &e), e);
    CHECK_EQ(n, 3);
    CHECK_EQ(hg_json_get_int(v, "n", 4, 9, &n, &e), HG_E_FORMAT);
    CHECK_STR(e.msg, "\"n\" is 3; 4 to 9 allowed");
    CHECK_EQ(hg_json_get_int(v, "x", 0, 9, &n, &e), HG_E_FORMAT);
    CHECK_STR(e.msg, "\"x\" is a number; it should be a whole number");
    CHECK_EQ(hg_json_get_int(v, "none", 0, 9, &n, &e), HG_E_FORMAT);
    CHECK_STR(e.msg, "\"none\" is missing; it should be a whole number");
    CHECK_OK(hg_json_get_text(v, "s", &s, &e), e);
    CHECK_EQ(s.n, 3);
    CHECK_OK(hg_json_get_number(v, "x", 0, 1, &x, &e), e);
    CHECK_NEAR(x, 0.5, 0);
    CHECK_OK(hg_json_get_bool(v, "b", &b, &e), e);
    CHECK(b);
    CHECK_OK(hg_json_get_object(v, "o", &o, &e), e);
    CHECK_EQ(hg_json_get_array(v, "o", &o, &e), HG_E_FORMAT);
    CHECK_STR(e.msg, "\"o\" is an object; it should be an array");
    n = 42;
    CHECK_OK(hg_json_opt_int(v, "z", 0, 9, &n, &e), e);
    CHECK_OK(hg_json_opt_int(v, "none", 0, 9, &n, &e), e);
    CHECK_EQ(n, 42);
    CHECK_EQ(hg_json_opt_text(v, "n", &s, &e), HG_E_FORMAT);
    CHECK_OK(hg_json_get_number(v, "big", 0, 1e30, &x, &e), e);
    CHECK_NEAR(x, 123456789012345678901.0, 1e5);
    CHECK_EQ(hg_json_get_text(NULL, "n", &s, &e), HG_E_FORMAT);
    json_decref(v);
}

TEST(whatever_bytes_come_in_valid_json_goes_out)
{
    for (int round = 0; round < 300; round++) {
        char in[64];
        hg_buf b = {0};
        json_t *v = NULL;
        hg_err e;
        for (size_t i = 0; i < sizeof in; i++)
            in[i] = (char)(unsigned char)((round * 7919 + (int)i * (round + 31)) >> (i % 3));
        hg_json_put_string(&b, (hg_bytes){in, sizeof in});
        CHECK_OK(hg_json_parse(&v, (hg_bytes){b.p, b.n}, 10000, &e), e);
        json_decref(v);
        hg_buf_free(&b);
    }
    hg_buf b = {0};
    hg_json_put_string(&b, (hg_bytes){"a\"\\\n\t\x01\x7f\xff\xc3\xa9", 10});
    CHECK_STR(b.p, "\"a\\\"\\\\\\n\\t\\u0001\\u007f\xef\xbf\xbd\xc3\xa9\"");
    hg_buf_free(&b);
}

TEST(numbers_read_back_as_the_same_double)
{
    static const double v[] = {
        0, 1, -1.5, 0.1, 1e300, 5e-324, 1.0 / 3, 123456789.123, 3.14159265358979};
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        hg_buf b = {0};
        hg_json_put_number(&b, v[i]);
        CHECK(strtod(b.p, NULL) == v[i]);
        hg_buf_free(&b);
    }
    hg_buf b = {0};
    hg_json_put_number(&b, 0.1);
    hg_json_put_number(&b, NAN);
    CHECK_STR(b.p, "0.1null");
    hg_buf_free(&b);
}

TEST(the_writer_sets_commas_and_indents)
{
    hg_buf b = {0};
    hg_json_out o;
    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_int(&o, "n", -3);
    hg_json_begin(&o, "list", '[');
    hg_json_text(&o, NULL, "x");
    hg_json_null(&o, NULL);
    hg_json_begin(&o, NULL, '{');
    hg_json_end(&o);
    hg_json_end(&o);
    hg_json_bool(&o, "ok", true);
    hg_json_raw(&o, "raw", bytes("[1]"));
    hg_json_number(&o, "x", 0.25);
    hg_json_end(&o);
    CHECK_STR(b.p, "{\"n\":-3,\"list\":[\"x\",null,{}],\"ok\":true,\"raw\":[1],\"x\":0.25}");
    hg_buf_clear(&b);
    hg_json_out_init(&o, &b, 2);
    hg_json_begin(&o, NULL, '{');
    hg_json_int(&o, "a", 1);
    hg_json_begin(&o, "b", '[');
    hg_json_end(&o);
    hg_json_end(&o);
    CHECK_STR(b.p, "{\n  \"a\": 1,\n  \"b\": []\n}");
    hg_buf_free(&b);
}
