/* The parser of forms, part by part. */
#include "harness/test.h"
#include "http/multipart.h"

#include <stdio.h>
#include <string.h>

static hg_part part[HG_MULTIPART_MAX_PARTS];
static size_t n;
static hg_err e;

static hg_status parse_as(const char *type, const char *text, size_t size)
{
    e.msg[0] = '\0';
    return hg_multipart_parse((hg_bytes){text, size}, type, part, &n, &e);
}

static hg_status parse(const char *text)
{
    return parse_as("multipart/form-data; boundary=XX", text, strlen(text));
}

#define FIELD(name, value) \
    "--XX\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" value "\r\n"

TEST(fields_and_files_are_taken_apart)
{
    CHECK_OK(
        parse(FIELD("purpose", "fine-tune") "--XX\r\nContent-Type: "
                                            "application/jsonl\r\ncontent-disposition: form-data; "
                                            "name=file; filename=\"a \\\"b\\\" "
                                            "%22c%22.jsonl\"\r\n\r\n{}\r\n\r\n--XX--\r\n"),
        e);
    CHECK_EQ(n, 2);
    CHECK_STR(part[0].name, "purpose");
    CHECK(!part[0].has_filename && part[0].body.n == 9);
    CHECK_STR(part[1].filename, "a \"b\" \"c\".jsonl");
    CHECK_STR(part[1].type, "application/jsonl");
    CHECK(part[1].body.n == 4 && memcmp(part[1].body.p, "{}\r\n", 4) == 0);
}

TEST(bytes_of_any_kind_come_through)
{
    static const char text[] = "--XX\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\n"
                               "\0\r\n--X\r\n-XX\xff\r\n--XX--";

    CHECK_OK(parse_as("multipart/form-data; charset=x; boundary=\"XX\"", text, sizeof text - 1), e);
    CHECK_EQ(n, 1);
    CHECK_EQ(part[0].body.n, 12);
    CHECK(memcmp(part[0].body.p, "\0\r\n--X\r\n-XX\xff", 12) == 0);
}

TEST(empty_parts_and_empty_forms_are_forms)
{
    CHECK_OK(parse(FIELD("a", "") FIELD("b", "") "--XX--"), e);
    CHECK(n == 2 && part[0].body.n == 0 && part[1].body.n == 0);
    CHECK_OK(parse("--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n--XX--"), e);
    CHECK(n == 1 && part[0].body.n == 0);
    CHECK_OK(parse("before\r\n--XX--\r\nbehind"), e);
    CHECK_EQ(n, 0);
}

static void check_bad(const char *text, const char *words)
{
    const hg_status s = parse(text);

    if (s != HG_E_FORMAT) test_fail(__FILE__, __LINE__, "not refused: %s", text);
    CHECK_HAS(e.msg, words);
}

TEST(malformed_forms_are_refused_with_the_part)
{
    check_bad("", "the form has no boundary in it");
    check_bad("--XY--", "the form has no boundary in it");
    check_bad("--XX\nContent-Disposition: form-data; name=a\n\nb\n--XX--",
              "part 1 of the form: its boundary does not end in CR LF");
    check_bad(FIELD("a", "b"), "part 1 of the form: no boundary ends it");
    check_bad(FIELD("a", "b") "--XX\r\n\r\nb\r\n--XX--",
              "part 2 of the form: it has no Content-Disposition");
    check_bad("--XX\r\nContent-Disposition: form-data\r\n\r\nb\r\n--XX--", "it has no name");
    check_bad("--XX\r\nContent-Disposition: attachment; name=a\r\n\r\nb\r\n--XX--",
              "its Content-Disposition is not form-data");
    check_bad("--XX\r\nContent-Disposition: form-data; name=\"a\r\n\r\nb\r\n--XX--", "malformed");
    check_bad("--XX\r\nContent-Disposition: form-data; name=a; name=b\r\n\r\nb\r\n--XX--", "twice");
    check_bad("--XX\r\nContent-Disposition: form-data; name=\"a%0d%0ab\"\r\n\r\nb\r\n--XX--",
              "its name holds a control character");
    check_bad("--XX\r\nContent-Disposition: form-data; name=a\r\n folded\r\n\r\nb\r\n--XX--",
              "a header line is malformed");
    check_bad("--XX\r\nContent-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: "
              "base64\r\n\r\nb\r\n--XX--",
              "Content-Transfer-Encoding is not used with forms");
}

TEST(a_form_needs_a_type_with_one_boundary)
{
    CHECK_EQ(parse_as(NULL, "--XX--", 6), HG_E_FORMAT);
    CHECK_HAS(e.msg, "the body must be multipart/form-data; its type is not told");
    CHECK_EQ(parse_as("application/json", "--XX--", 6), HG_E_FORMAT);
    CHECK_HAS(e.msg, "its type is application/json");
    CHECK_EQ(parse_as("multipart/form-data", "--XX--", 6), HG_E_FORMAT);
    CHECK_HAS(e.msg, "must name one boundary of 1 to 70 characters");
    CHECK_EQ(parse_as("multipart/form-data; boundary=a; boundary=b", "--a--", 5), HG_E_FORMAT);
    CHECK_EQ(parse_as("multipart/form-data; boundary=\"\"", "----", 4), HG_E_FORMAT);
}

TEST(parts_and_their_heads_are_bounded)
{
    static char text[1 << 16];
    size_t k = 0;

    for (int i = 0; i <= HG_MULTIPART_MAX_PARTS; i++)
        k += (size_t)snprintf(text + k, sizeof text - k, FIELD("a", "b"));
    (void)snprintf(text + k, sizeof text - k, "--XX--");
    CHECK_EQ(parse(text), HG_E_LIMIT);
    CHECK_STR(e.msg, "the form has more than 64 parts");
    k = (size_t)snprintf(text, sizeof text, "--XX\r\nX: ");
    memset(text + k, 'x', 5000);
    (void)snprintf(text + k + 5000, 100, "\r\n\r\nb\r\n--XX--");
    CHECK_EQ(parse(text), HG_E_LIMIT);
    CHECK_STR(e.msg, "part 1 of the form: its header lines do not end within 4096 bytes");
}
