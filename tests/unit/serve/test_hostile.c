/* Hostile and broken requests over real sockets: each ends in one clean error, and the server
 * lives. */
#include "fake.h"
#include "harness/test.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void check_alive(const hg_server *s)
{
    CHECK_EQ(raw_status(raw_ask(s, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")), 200);
}

/* One whole reply with a JSON error, and no second one behind it. */
static void check_one_error(const char *answer, int status)
{
    if (raw_status(answer) != status)
        test_fail(__FILE__, __LINE__, "not %d: %.200s", status, answer);
    CHECK(strstr(answer, "\nHTTP/1.1 ") == NULL);
    CHECK_HAS(answer, "Content-Type: application/json");
    CHECK_HAS(answer, "Connection: close");
    CHECK_HAS(raw_body(answer), "{\"error\":{\"message\":\"");
    CHECK_HAS(raw_body(answer), "\"type\":\"");
    CHECK_HAS(raw_body(answer), "\"param\":");
    CHECK_HAS(raw_body(answer), "\"code\":");
}

#define HEAD "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"

TEST(ambiguous_requests_get_one_error_each)
{
    static const char *const requests[] = {
        HEAD "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /health "
             "HTTP/1.1\r\n\r\n",
        HEAD "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        HEAD "X-A: b\r\n folded\r\nContent-Length: 0\r\n\r\n",
        HEAD "Content-Length : 0\r\n\r\n",
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n",
        "GET / HTTP/1.1\nHost: localhost\n\n",
        "GET /v1/models\r\n\r\n",
        "\x16\x03\x01\x02garbage\r\n\r\n",
        "hello there\r\n\r\n"};
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);

    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        check_one_error(raw_ask(s, requests[i]), 400);
        check_alive(s);
    }
    check_one_error(raw_ask(s, HEAD "Transfer-Encoding: gzip\r\n\r\n"), 501);
    check_one_error(raw_ask(s, "GET / HTTP/3.0\r\nHost: localhost\r\n\r\n"), 505);
    hg_server_free(s);
}

TEST(what_is_sent_behind_a_request_is_never_answered)
{
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    char *a = raw_ask(s, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
                         "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");

    CHECK_EQ(raw_status(a), 200);
    CHECK(strstr(a + 1, "HTTP/1.1 ") == NULL);
    hg_server_free(s);
}

TEST(a_nul_in_a_header_is_refused)
{
    static const char request[] = HEAD "X-A: a\0b\r\nContent-Length: 0\r\n\r\n";
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    int fd = raw_connect(s);

    raw_send(fd, request, sizeof request - 1);
    check_one_error(raw_read(fd, 5), 400);
    (void)close(fd);
    hg_server_free(s);
}

TEST(heads_without_end_are_refused)
{
    static char big[2 << 20];
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    size_t n = strlen(HEAD);

    memcpy(big, HEAD "X-A: ", n + 5);
    memset(big + n + 5, 'a', sizeof big - n - 5);
    int fd = raw_connect(s);
    raw_send(fd, big, sizeof big);
    check_one_error(raw_read(fd, 5), 431);
    (void)close(fd);

    for (size_t at = n; at + 6 < sizeof big; at += 6) memcpy(big + at, "a: b\r\n", 6);
    fd = raw_connect(s);
    raw_send(fd, big, 20000 * 6);
    check_one_error(raw_read(fd, 5), 431);
    (void)close(fd);

    memcpy(big, "GET /", 5);
    memset(big + 5, 'a', 100000);
    fd = raw_connect(s);
    raw_send(fd, big, 100000);
    check_one_error(raw_read(fd, 5), 414);
    (void)close(fd);
    check_alive(s);
    hg_server_free(s);
}

TEST(bodies_over_the_limit_are_refused_by_length_and_by_chunk)
{
    static char chunk[65536];
    fake *f = fake_new();
    hg_http_options o;
    hg_http_options_init(&o);
    o.max_body = 100000;
    hg_server *s = fake_server(f, &o);

    check_one_error(raw_ask(s, HEAD "Content-Length: 100001\r\n\r\n{"), 413);
    memset(chunk, ' ', sizeof chunk);
    int fd = raw_connect(s);
    raw_send(fd, HEAD "Transfer-Encoding: chunked\r\n\r\n", strlen(HEAD) + 30);
    for (int i = 0; i < 3; i++) {
        raw_send(fd, "10000\r\n", 7);
        raw_send(fd, chunk, sizeof chunk);
        raw_send(fd, "\r\n", 2);
    }
    raw_send(fd, "0\r\n\r\n", 5);
    check_one_error(raw_read(fd, 5), 413);
    (void)close(fd);

    /* One that never ends is cut off. */
    fd = raw_connect(s);
    raw_send(fd, HEAD "Transfer-Encoding: chunked\r\n\r\n", strlen(HEAD) + 30);
    for (int i = 0; i < 40; i++) {
        raw_send(fd, "10000\r\n", 7);
        raw_send(fd, chunk, sizeof chunk);
        raw_send(fd, "\r\n", 2);
    }
    double t = hg_seconds();
    (void)raw_read(fd, 5);
    CHECK(hg_seconds() - t < 4);
    (void)close(fd);
    check_alive(s);
    hg_server_free(s);
}

TEST(a_chunked_body_is_read)
{
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    char *a =
        raw_ask(s, HEAD "Transfer-Encoding: chunked\r\n\r\n"
                        "12\r\n{\"model\":\"parrot\",\r\ne\r\n\"prompt\":\"ab\"}\r\n0\r\n\r\n");

    CHECK_HAS(a, "\"text\":\"ab\"");
    hg_server_free(s);
}

TEST(slow_heads_and_slow_bodies_time_out)
{
    fake *f = fake_new();
    hg_http_options o;
    hg_http_options_init(&o);
    o.head_s = 0.6;
    o.body_s = 0.6;
    hg_server *s = fake_server(f, &o);
    int fd = raw_connect(s);

    for (int i = 0; i < 12; i++) {
        raw_send(fd, &HEAD[i], 1);
        usleep(100000);
    }
    check_one_error(raw_read(fd, 3), 408);
    (void)close(fd);

    fd = raw_connect(s);
    raw_send(fd, HEAD "Content-Length: 100\r\n\r\n", strlen(HEAD) + 23);
    for (int i = 0; i < 14; i++) {
        raw_send(fd, " ", 1);
        usleep(100000);
    }
    check_one_error(raw_read(fd, 3), 408);
    (void)close(fd);
    check_alive(s);
    hg_server_free(s);
}

TEST(requests_that_break_off_leave_nothing_behind)
{
    static const char *const parts[] = {"",
                                        "P",
                                        "POST /v1",
                                        HEAD,
                                        HEAD "Content-Length: 100\r\n\r\n{\"mo",
                                        HEAD "Transfer-Encoding: chunked\r\n\r\nff\r\n{"};
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);

    for (int i = 0; i < 120; i++) {
        int fd = raw_connect(s);
        const char *part = parts[i % 6];
        raw_send(fd, part, strlen(part));
        if (i % 2 == 0)
            (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0},
                             sizeof(struct linger));
        (void)close(fd);
    }
    check_alive(s);
    CHECK_EQ(hg_server_drain(s, 3, NULL), 0);
    hg_server_free(s);
}

TEST(a_broken_chunk_gets_one_answer)
{
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    char *a = raw_ask(s, HEAD "Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n");

    CHECK_EQ(raw_status(a), 400);
    CHECK(strstr(a + 1, "HTTP/1.1 ") == NULL);
    check_alive(s);
    hg_server_free(s);
}

TEST(more_connections_than_allowed_are_told_to_come_back)
{
    fake *f = fake_new();
    hg_http_options o;
    hg_http_options_init(&o);
    o.max_connections = 4;
    hg_server *s = fake_server(f, &o);
    int fd[4];

    for (int i = 0; i < 4; i++) fd[i] = raw_connect(s);
    char *a = raw_ask(s, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    check_one_error(a, 503);
    CHECK_HAS(a, "Retry-After: 1");
    for (int i = 0; i < 4; i++) (void)close(fd[i]);
    usleep(100000);
    check_alive(s);
    hg_server_free(s);
}
