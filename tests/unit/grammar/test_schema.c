/* JSON schemas by the texts that they let through. */
#include "harness/test.h"

#include <higgins/grammar.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static hg_err e;

static hg_bytes text(const char *s)
{
    return (hg_bytes){s, strlen(s)};
}

static bool accepts(const hg_grammar *g, const char *s)
{
    bool yes = false;
    CHECK_OK(hg_grammar_accepts(g, text(s), &yes, &e), e);
    return yes;
}

/* `yes` and `no` are texts, each ended by a NUL; an empty one ends the list. */
static void check(const char *schema, const char *yes, const char *no)
{
    hg_grammar *g = NULL;
    CHECK_OK(hg_grammar_from_json_schema(&g, text(schema), &e), e);
    for (; g != NULL && *yes != '\0'; yes += strlen(yes) + 1)
        if (!accepts(g, yes)) CHECK_STR(yes, "accepted");
    for (; g != NULL && *no != '\0'; no += strlen(no) + 1)
        if (accepts(g, no)) CHECK_STR(no, "refused");
    hg_grammar_free(g);
}

static void refused(const char *schema, hg_status status, const char *sentence)
{
    hg_grammar *g;
    CHECK_EQ(hg_grammar_from_json_schema(&g, text(schema), &e), status);
    CHECK_STR(e.msg, sentence);
    CHECK(g == NULL);
}

TEST(any_json_is_json)
{
    hg_grammar *g = NULL;
    CHECK_OK(hg_grammar_json(&g, true, &e), e);
    CHECK(accepts(g, "{\"a\": [1, -2.5e+3, null, {\"b\": \"\\\"\u00e4\\n\"}],\n  \"c\":true}"));
    CHECK(accepts(g, "{}") && !accepts(g, "[]") && !accepts(g, "{\"a\":01}"));
    CHECK(!accepts(g, "{\"a\":1,}") && !accepts(g, "{'a':1}") && !accepts(g, "{\"a\":\"\n\"}"));
    hg_grammar_free(g);
    CHECK_OK(hg_grammar_json(&g, false, &e), e);
    CHECK(accepts(g, "[]") && accepts(g, "-0.5") && !accepts(g, "nul") && !accepts(g, ""));
    hg_grammar_free(g);
}

TEST(members_come_in_order_and_required_ones_always)
{
    check("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":"
          "\"boolean\"},\"c\":{\"type\":\"null\"}},\"required\":[\"b\"]}",
          "{\"b\":true}\0{\"a\": 1, \"b\": false}\0{\"b\":true,\"c\":null}\0"
          "{\"a\":-7,\"b\":true,\"c\":null}\0",
          "{}\0{\"a\":1}\0{\"b\":true,\"a\":1}\0{\"b\":true,\"d\":1}\0{\"a\":1.5,\"b\":true}\0");
    check("{\"properties\":{\"a\":{}},\"additionalProperties\":{\"type\":\"string\"}}",
          "{}\0{\"a\":1}\0{\"a\":[],\"b\":\"x\",\"ab\":\"\"}\0",
          "{\"b\":1}\0{\"b\":\"x\",\"a\":1}\0");
    check("{\"type\":\"object\",\"required\":[\"k\"],\"minProperties\":2,\"maxProperties\":3,"
          "\"additionalProperties\":{\"type\":\"integer\"}}",
          "{\"k\":1,\"b\":2}\0{\"k\":1,\"b\":2,\"c\":3}\0",
          "{\"k\":1}\0{\"b\":1,\"c\":2}\0{\"k\":1,\"b\":2,\"c\":3,\"d\":4}\0");
}

TEST(arrays_have_their_items_and_bounds)
{
    check("{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":1,\"maxItems\":3}",
          "[1]\0[1,2]\0[1, 2,\n3]\0", "[]\0[1,2,3,4]\0[\"a\"]\0[1,]\0");
    check("{\"type\":\"array\",\"prefixItems\":[{\"type\":\"string\"},{\"type\":\"integer\"}],"
          "\"items\":{\"type\":\"null\"},\"minItems\":1}",
          "[\"a\"]\0[\"a\",1]\0[\"a\",1,null,null]\0", "[]\0[1]\0[\"a\",null]\0[\"a\",1,2]\0");
    check("{\"prefixItems\":[{\"const\":1}],\"items\":false}", "[]\0[1]\0", "[2]\0[1,1]\0");
}

TEST(strings_have_lengths_patterns_and_formats)
{
    check("{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}", "\"ab\"\0\"\u00e4\u20ac\\n\"\0",
          "\"a\"\0\"abcd\"\0\"a\\\"\0");
    check("{\"type\":\"string\",\"pattern\":\"^[a-c]+\\\"?$\",\"maxLength\":3}",
          "\"ab\"\0\"ab\\\"\"\0", "\"abca\"\0\"d\"\0\"ab\"\"\0");
    check("{\"type\":\"string\",\"pattern\":\"b\"}", "\"abc\"\0\"b\"\0", "\"ac\"\0");
    check("{\"type\":\"string\",\"format\":\"date\"}", "\"2024-12-31\"\0",
          "\"2024-13-01\"\0\"2024-02-30\"\0\"2024-04-31\"\0");
    check("{\"type\":\"string\",\"format\":\"ipv4\"}", "\"127.0.0.255\"\0", "\"1.2.3.256\"\0");
    check("{\"type\":\"string\",\"format\":\"ipv6\"}", "\"::1\"\0\"fe80::1:2\"\0\"::\"\0",
          "\"1:2\"\0\":::\"\0");
    check("{\"type\":\"string\",\"format\":\"date-time\"}", "\"2024-01-31T23:59:59.5Z\"\0",
          "\"2024-01-31 23:59:59Z\"\0\"2024-01-31T24:00:00Z\"\0");
}

TEST(numbers_keep_to_their_bounds)
{
    char schema[160], value[32];
    static const int lo[] = {-120, -7, 0, 3, 10, 95}, hi[] = {-8, 0, 9, 10, 105, 1000};
    for (size_t i = 0; i < 6; i++)
        for (size_t k = 0; k < 6; k++) {
            hg_grammar *g = NULL;
            if (lo[i] >= hi[k]) continue;
            (void)snprintf(schema, sizeof schema,
                           "{\"type\":\"integer\",\"minimum\":%d,\"exclusiveMaximum\":%d}", lo[i],
                           hi[k]);
            CHECK_OK(hg_grammar_from_json_schema(&g, text(schema), &e), e);
            for (int v = -1001; g != NULL && v <= 1001; v += v > -130 && v < 110 ? 1 : 7) {
                (void)snprintf(value, sizeof value, "%d", v);
                CHECK_EQ(accepts(g, value), v >= lo[i] && v < hi[k]);
            }
            hg_grammar_free(g);
        }
    check("{\"type\":\"number\",\"minimum\":-1.25,\"exclusiveMaximum\":12.5}",
          "-1.25\0-1.2\0-1\0-0.5\0"
          "0\0"
          "1\0"
          "9.999\0"
          "12.49\0"
          "12\0"
          "12.4999\0-1.2500\0",
          "-1.26\0-2\0"
          "12.5\0"
          "12.50\0"
          "13\0"
          "100\0-1.251\0");
    check("{\"type\":\"number\",\"exclusiveMinimum\":0,\"maximum\":1}",
          "0.1\0"
          "1\0"
          "1.0\0"
          "0.001\0",
          "0\0"
          "0.0\0"
          "1.1\0-1\0"
          "2\0");
    check("{\"type\":\"integer\",\"multipleOf\":7,\"minimum\":1}",
          "7\0"
          "14\0"
          "700\0",
          "0\0"
          "1\0"
          "15\0-7\0");
    check("{\"type\":\"number\",\"multipleOf\":0.01}",
          "1\0"
          "-1.5\0"
          "1.25\0",
          "1.255\0");
}

TEST(schemas_are_combined)
{
    check(
        "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"integer\"}],\"minimum\":5,\"minLength\":1}",
        "\"a\"\0"
        "5\0",
        "\"\"\0"
        "4\0null\0");
    check("{\"allOf\":[{\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"]},"
          "{\"properties\":{\"a\":{\"minimum\":3},\"b\":true},\"required\":[\"b\"]}]}",
          "{\"a\":3,\"b\":[]}\0", "{\"a\":2,\"b\":1}\0{\"a\":3}\0");
    check("{\"enum\":[1,\"a\",null,[1,2]],\"type\":[\"string\",\"array\"]}", "\"a\"\0[1,2]\0",
          "1\0null\0");
    check("{\"const\":{\"a\":1}}", "{\"a\":1}\0", "{}\0");
    check("true",
          "{}\0"
          "1\0",
          "x\0");
}

TEST(one_of_lets_through_what_fits_one_alternative_alone)
{
    /* by type, by a constant, by an enumeration and a pattern */
    check("{\"oneOf\":[{\"type\":\"integer\"},{\"type\":[\"string\",\"null\"]}]}",
          "1\0\"a\"\0null\0", "true\0[]\0");
    check("{\"oneOf\":[{\"properties\":{\"k\":{\"const\":\"a\"},\"x\":{\"type\":\"integer\"}},"
          "\"required\":[\"k\"]},{\"properties\":{\"k\":{\"const\":\"b\"},\"x\":{\"type\":"
          "\"integer\"}},\"required\":[\"k\"]}]}",
          "{\"k\":\"a\"}\0{\"k\":\"b\",\"x\":1}\0", "{\"k\":\"c\"}\0{}\0");
    check("{\"oneOf\":[{\"enum\":[\"auto\",1]},{\"type\":\"string\",\"pattern\":\"^[0-9]+$\"},"
          "{\"type\":\"integer\",\"minimum\":2}]}",
          "\"auto\"\0\"12\"\0001\0002\0", "\"autos\"\0000\0");
    /* by what the other one lacks; references and alternatives within */
    check("{\"oneOf\":[{\"$ref\":\"#/$defs/s\"},{\"$ref\":\"#/$defs/c\"}],\"$defs\":{\"s\":{"
          "\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"]},\"c\":{"
          "\"properties\":{\"r\":{\"anyOf\":[{\"type\":\"integer\"},{\"$ref\":\"#\"}]}},"
          "\"required\":[\"r\"]}}}",
          "{\"a\":1}\0{\"r\":2}\0{\"r\":{\"a\":3}}\0", "{}\0{\"a\":1,\"r\":2}\0");
    /* made smaller: a and b together fit both */
    check("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":"
          "\"integer\"},\"c\":{\"type\":\"integer\"}},\"oneOf\":[{\"required\":[\"a\"]},{"
          "\"required\":[\"b\"]}]}",
          "{\"a\":1}\0{\"b\":1,\"c\":2}\0", "{\"a\":1,\"b\":1}\0{\"c\":1}\0{}\0");
}

TEST(alternatives_that_cannot_be_told_apart_are_refused)
{
    static const char words[] =
        "#: a text may fit alternatives 0 and 1 of \"oneOf\" both; give them types, constants or "
        "required members that differ, or write \"anyOf\"";
    static const char *const overlapping[] = {
        "{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"number\"}]}",
        "{\"oneOf\":[{\"type\":\"string\"},{\"minLength\":2}]}",
        /* a string keyword says nothing of numbers */
        "{\"oneOf\":[{\"type\":\"integer\"},{\"minLength\":2}]}",
        "{\"oneOf\":[{\"const\":1},{\"enum\":[2,1.0]}]}",
        /* what the second writes fits the first, which could be narrowed away from the second */
        "{\"oneOf\":[{\"properties\":{\"x\":true,\"y\":true},\"required\":[\"x\"],"
        "\"additionalProperties\":false},{\"properties\":{\"x\":true,\"y\":true},"
        "\"required\":[\"x\",\"y\"],\"additionalProperties\":false}]}",
        "{\"oneOf\":[{\"properties\":{\"a\":true},\"required\":[\"a\"]},{\"properties\":{\"b\":"
        "true}}]}",
        "{\"oneOf\":[{\"type\":\"string\",\"pattern\":\"^a+$\"},{\"type\":\"string\",\"pattern\":"
        "\"^a?$\"}]}",
    };
    for (size_t i = 0; i < sizeof overlapping / sizeof *overlapping; i++)
        refused(overlapping[i], HG_E_UNSUPPORTED, words);
    check("{\"oneOf\":[true,false]}", "1\0", "x\0");
}

TEST(schemas_refer_to_themselves)
{
    check("{\"$ref\":\"#/$defs/node\",\"$defs\":{\"node\":{\"properties\":{\"v\":{\"type\":"
          "\"integer\"},\"next\":{\"anyOf\":[{\"$ref\":\"#/$defs/node\"},{\"type\":\"null\"}]}},"
          "\"required\":[\"v\",\"next\"]}}}",
          "{\"v\":1,\"next\":null}\0{\"v\":1,\"next\":{\"v\":2,\"next\":null}}\0",
          "{\"v\":1}\0{\"v\":1,\"next\":{}}\0");
    check("{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}", "[]\0[[],[[]]]\0", "[1]\0");
}

TEST(what_cannot_be_held_is_refused_with_its_place)
{
    refused("{\"properties\":{\"a\":{\"not\":{}}}}", HG_E_UNSUPPORTED,
            "#/properties/a: \"not\" is not held; write what may come instead");
    refused("{\"items\":{\"type\":\"strin\"}}", HG_E_FORMAT,
            "#/items: \"type\" must be object, array, string, number, integer, boolean, null or an "
            "array of these");
    refused("{\"anyOf\":[{},{\"$ref\":\"#/x\"}]}", HG_E_FORMAT,
            "#/anyOf/1: \"$ref\": nothing is at \"#/x\"");
    refused("{\"type\":\"string\",\"pattern\":\"a(?=b)\"}", HG_E_UNSUPPORTED,
            "#: pattern: line 1, column 5: looking ahead or behind cannot be held");
    refused("{\"type\":\"string\",\"minLength\":-1}", HG_E_FORMAT,
            "#: \"minLength\" must be a whole number from 0 to 100000");
    refused("{\"type\":\"integer\",\"minimum\":5,\"maximum\":4}", HG_E_FORMAT,
            "no text matches the grammar: every way through it goes on forever or asks for what "
            "cannot be");
    refused("{\"$ref\":\"#\"}", HG_E_FORMAT, "#: a $ref that leads back to itself");
}

/* A list that was built by adding one alternative to those before was as deep as it was long, and
 * the passes over it ran out of stack. */
TEST(an_enumeration_may_be_long)
{
    enum { N = 50000 };
    hg_grammar *g = NULL;
    char *s = malloc(N * 9 + 64);
    CHECK(s != NULL);
    size_t at = (size_t)snprintf(s, 16, "{\"enum\":[");
    for (int i = 0; i < N; i++) at += (size_t)snprintf(s + at, 16, "%s\"%d\"", i > 0 ? "," : "", i);
    (void)snprintf(s + at, 4, "]}");
    CHECK_OK(hg_grammar_from_json_schema(&g, text(s), &e), e);
    CHECK(accepts(g, "\"49999\""));
    CHECK(!accepts(g, "\"50000\""));
    hg_grammar_free(g);
    free(s);
}

TEST(what_would_take_too_long_to_prepare_is_refused)
{
    enum { N = 3000 };
    hg_grammar *g = NULL;
    char *s = malloc(N * 32 + 64);
    CHECK(s != NULL);
    size_t at = (size_t)snprintf(s, 64, "{\"type\":\"object\",\"properties\":{");
    for (int i = 0; i < N; i++)
        at += (size_t)snprintf(s + at, 40, "%s\"k%d\":{\"type\":\"string\"}", i > 0 ? "," : "", i);
    (void)snprintf(s + at, 4, "}}");
    CHECK_EQ(hg_grammar_from_json_schema(&g, text(s), &e), HG_E_LIMIT);
    CHECK_HAS(e.msg, "takes too long to prepare");
    free(s);
}

TEST(a_grammar_that_is_too_deep_is_refused)
{
    enum { N = 30000 };
    hg_grammar *g = NULL;
    char *s = malloc(2 * N + 64);
    CHECK(s != NULL);
    memset(s, '(', N);
    s[N] = 'x';
    memset(s + N + 1, ')', N);
    s[2 * N + 1] = '\0';
    CHECK(hg_grammar_from_regex(&g, text(s), &e) != HG_OK);
    free(s);
}
