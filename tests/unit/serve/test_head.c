/* The framing check, form by form. */
#include "harness/test.h"
#include "http/head.h"

#include <string.h>

static hg_head h;
static hg_err e;

static int check(const char *text)
{
    e.msg[0] = 0;
    return hg_head_check((hg_bytes){text, strlen(text)}, &h, &e);
}

#define GET "GET / HTTP/1.1\r\nHost: x\r\n"

TEST(a_plain_head_is_taken_apart)
{
    static const char text[] = "POST /v1/a%2Fb?c=d HTTP/1.1\r\nHost: localhost:80\r\n"
                               "Content-Length:  12 \r\nX-A: \t b\r\n\r\nbody";

    CHECK_EQ(check(text), 200);
    CHECK_EQ(h.n, sizeof text - 1 - 4);
    CHECK_EQ(h.method.n, 4);
    CHECK(memcmp(h.target.p, "/v1/a%2Fb?c=d", h.target.n) == 0);
    CHECK(h.has_length && h.length == 12 && !h.chunked && h.n_fields == 3);
    CHECK_EQ(h.host.n, 12);
}

TEST(every_beginning_of_a_good_head_waits_for_more)
{
    static const char text[] = GET "Transfer-Encoding: chunked\r\n\r\n";

    for (size_t n = 0; n < sizeof text - 1; n++)
        CHECK_EQ(hg_head_check((hg_bytes){text, n}, &h, &e), 0);
    CHECK_EQ(check(text), 200);
    CHECK(h.chunked);
}

TEST(forms_that_can_smuggle_are_refused_and_named)
{
    static const struct {
        const char *text, *why;
        int status;
    } cases[] = {
        {GET "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "exclude each other", 400},
        {GET "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", "exclude each other", 400},
        {GET "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", "given twice", 400},
        {GET "Content-Length: 1, 1\r\n\r\n", "decimal number", 400},
        {GET "Content-Length: +1\r\n\r\n", "decimal number", 400},
        {GET "Content-Length: -1\r\n\r\n", "decimal number", 400},
        {GET "Content-Length: 0x10\r\n\r\n", "decimal number", 400},
        {GET "Content-Length:\r\n\r\n", "decimal number", 400},
        {GET "Content-Length: 9999999999999999999\r\n\r\n", "at most 18 digits", 400},
        {GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "given twice",
         400},
        {GET "Transfer-Encoding: gzip, chunked\r\n\r\n", "chunked", 501},
        {GET "Transfer-Encoding: xchunked\r\n\r\n", "chunked", 501},
        {GET "Transfer-Encoding : chunked\r\n\r\n", "not a token", 400},
        {GET "Transfer-Encoding:\vchunked\r\n\r\n", "control characters", 400},
        {GET " folded: x\r\n\r\n", "folded", 400},
        {GET "\tfolded\r\n\r\n", "folded", 400},
        {GET "no colon\r\n\r\n", "no colon", 400},
        {GET ": x\r\n\r\n", "not a token", 400},
        {"GET / HTTP/1.1\nHost: x\r\n\r\n", "CR LF", 400},
        {"GET / HTTP/1.1\r\nHost: x\n\r\n", "CR LF", 400},
        {GET "X: a\rb\r\n\r\n", "control characters", 400},
        {GET "Host: y\r\n\r\n", "Host is given twice", 400},
        {"GET / HTTP/1.1\r\n\r\n", "must name its Host", 400},
        {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "not a host name", 400},
        {"GET / HTTP/1.1\r\nHost:\r\n\r\n", "Host is empty", 400},
        {"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", "request line", 400},
        {"GET / HTTP/1.1 \r\nHost: x\r\n\r\n", "request line", 400},
        {"GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n", "begin with a slash", 400},
        {"GET * HTTP/1.1\r\nHost: x\r\n\r\n", "begin with a slash", 400},
        {"GET /\x80 HTTP/1.1\r\nHost: x\r\n\r\n", "percent-encoded", 400},
        {"G@T / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP method", 400},
        {"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", "request line", 400},
        {"GET / HTTP/2.0\r\nHost: x\r\n\r\n", "HTTP/1.1", 505},
        {"GET / HTTP/1.1x\r\nHost: x\r\n\r\n", "request line", 400},
        {"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.0", 400},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int status = check(cases[i].text);
        if (status != cases[i].status)
            test_fail(__FILE__, __LINE__, "%d instead of %d (%s) for %s", status, cases[i].status,
                      e.msg, cases[i].text);
        CHECK_HAS(e.msg, cases[i].why);
    }
}

TEST(http_1_0_needs_no_host_and_options_may_ask_for_all)
{
    CHECK_EQ(check("GET / HTTP/1.0\r\n\r\n"), 200);
    CHECK_EQ(check("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
    CHECK_EQ(check("QUERY /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
}

TEST(a_nul_is_refused_at_once_wherever_it_stands)
{
    static const char text[] = GET "X: abc";

    for (size_t i = 0; i < sizeof text - 1; i++) {
        char copy[sizeof text];
        memcpy(copy, text, sizeof text);
        copy[i] = 0;
        CHECK(hg_head_check((hg_bytes){copy, sizeof text - 1}, &h, &e) >= 400);
    }
}

TEST(sizes_are_bounded)
{
    static char big[HG_HEAD_MAX + 100];
    size_t n = strlen(GET);

    memcpy(big, GET "X: ", n + 3);
    memset(big + n + 3, 'a', sizeof big - n - 3);
    CHECK_EQ(hg_head_check((hg_bytes){big, sizeof big}, &h, &e), 431);
    CHECK_HAS(e.msg, "longer than 16384 bytes");
    memcpy(big, "GET /", 5);
    memset(big + 5, 'a', sizeof big - 5);
    CHECK_EQ(hg_head_check((hg_bytes){big, 9000}, &h, &e), 414);
    memcpy(big, GET, n);
    for (int i = 0; i < 101; i++, n += 6) memcpy(big + n, "a: b\r\n", 6);
    CHECK_EQ(hg_head_check((hg_bytes){big, n}, &h, &e), 431);
    CHECK_HAS(e.msg, "100 header lines");
}
