/* Data that trainings name by links: a slow sender keeps no desk. */
#include "fake.h"
#include "small.h"
#include "harness/test.h"
#include "fetch/fetch.h"
#include "serve/replicate/replicate.h"
#include "base/clock.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static hg_server *server;
static int sender; /* listens */
static unsigned port;

/* "local/a" and a model for what comes of it; all requests are worked on by one thread. */
static void begin(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    hg_http_options http;
    hg_server_options o;
    hg_err e = {0};
    size_t n_found = 0;

    if (!hg_fetch_is_built()) test_skip("built without libcurl");
    sender = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(sender, (struct sockaddr *)&at, n) == 0 && listen(sender, 8) == 0);
    CHECK(getsockname(sender, (struct sockaddr *)&at, &n) == 0);
    port = ntohs(at.sin_port);
    small_write("a", 1, NULL);
    hg_server_options_init(&o);
    o.port = 0;
    o.threads = 1;
    o.parallel = 1;
    o.data_dir = test_path("data");
    o.allows_private_urls = true;
    hg_http_options_init(&http);
    http.n_desks = 1;
    CHECK_OK(hg_server_new(&server, &o, &e), e);
    CHECK_OK(hg_server_offer(server, test_path("a"), NULL, NULL, &n_found, &e), e);
    CHECK_OK(hg_server_start_with(server, &http, &e), e);
    CHECK_EQ(raw_status(raw_post(server, "/v1/models",
                                 "{\"owner\":\"me\",\"name\":\"b\",\"visibility\":\"private\","
                                 "\"hardware\":\"cpu\"}")),
             201);
}

/* Asks for a training on what the sender sends. */
static int ask(const char *more)
{
    static const char get[] = "GET /v1/models/local/a HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const char *version = strstr(raw_ask(server, get), "\"latest_version\":{\"id\":\"");
    char body[300], request[700];

    CHECK(version != NULL);
    (void)snprintf(
        body, sizeof body,
        "{\"destination\":\"me/b\",\"input\":{\"train_data\":\"http://127.0.0.1:%u/x\"%s}}", port,
        more);
    (void)snprintf(request, sizeof request,
                   "POST /v1/models/local/a/versions/%.64s/trainings HTTP/1.1\r\nHost: "
                   "localhost\r\nContent-Length: %zu\r\n\r\n%s",
                   version + 24, strlen(body), body);
    const int fd = raw_connect(server);
    raw_send(fd, request, strlen(request));
    return fd;
}

static int take(void)
{
    struct pollfd p = {.fd = sender, .events = POLLIN};

    CHECK(poll(&p, 1, 20000) == 1);
    return accept(sender, NULL, NULL);
}

static void send_data(int fd)
{
    static const char data[] = "HTTP/1.1 200 OK\r\nContent-Length: 37\r\n\r\n"
                               "{\"prompt\": \"Hi\", \"completion\": \"Ho\"}\n";

    raw_send(fd, data, sizeof data - 1);
    (void)close(fd);
}

static int health(void)
{
    return raw_status(raw_ask(server, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"));
}

TEST(others_are_answered_while_a_trainings_data_is_fetched)
{
    begin();
    const int first = ask(""), to_first = take();
    const int second = ask(",\"lora_rank\":4"), to_second = take();
    CHECK_EQ(health(), 200);
    send_data(to_second);
    CHECK_EQ(raw_status(raw_read(second, 20)), 201);
    const int third = ask(""), to_third = take();
    const char *refused = raw_read(ask(""), 20);
    CHECK_EQ(raw_status(refused), 503);
    CHECK_HAS(refused, "other data is being fetched already; try again, or upload it as a file");
    (void)close(to_third);
    refused = raw_read(third, 20);
    CHECK_EQ(raw_status(refused), 422);
    CHECK_HAS(refused, "- input.train_data: http://127.0.0.1");
    send_data(to_first);
    CHECK_EQ(raw_status(raw_read(first, 20)), 201);
    hg_server_free(server);
}

TEST(a_server_that_ends_waits_for_no_slow_sender)
{
    begin();
    const int fd = ask(""), to = take();
    const double began = hg_seconds();

    hg_server_free(server);
    CHECK(hg_seconds() - began < 20);
    (void)close(to);
    (void)close(fd);
}
