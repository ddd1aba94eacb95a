/* Large bodies: who may send them, where they go, what is left of them; and answers from files. */
#include "fake.h"
#include "harness/test.h"
#include "base/file.h"
#include "http/http.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MIB = 1 << 20 };

typedef struct place {
    hg_http *http;
    bool is_trusting;
    const char *file; /* of GET */
} place;

static size_t limit_of(void *ctx, hg_bytes method, hg_bytes target)
{
    (void)ctx;
    const bool is_large = method.n == 4 && target.n == 6 && memcmp(target.p, "/large", 6) == 0;
    return is_large ? 8 * MIB : MIB / 4;
}

static bool trusts(void *ctx, hg_exchange *x)
{
    const char *who = hg_exchange_header(x, "X-Who");

    if (who != NULL) hg_exchange_set_owner(x, who);
    return ((const place *)ctx)->is_trusting;
}

/* Says how many bytes came and their sum, so that what was spilled is proven to be what was sent.
 */
static void handle(void *ctx, hg_exchange *x)
{
    const place *p = ctx;
    const hg_bytes body = hg_exchange_body(x);
    unsigned sum = 0;
    char text[64];

    if (strcmp(hg_exchange_method(x), "GET") == 0) {
        hg_exchange_reply_file(x, 200, "text/plain", open(p->file, O_RDONLY | O_CLOEXEC), 2, 5);
        return;
    }
    for (size_t i = 0; i < body.n; i++) sum = sum * 31 + (unsigned char)body.p[i];
    (void)snprintf(text, sizeof text, "%zu %u", body.n, sum);
    hg_exchange_reply(x, 200, "text/plain", (hg_bytes){text, strlen(text)});
}

static void explain(void *ctx, hg_buf *body, int status, const char *why)
{
    (void)ctx;
    hg_buf_printf(body, "%d %s", status, why);
}

static void begin(place *p, void (*change)(hg_http_options *o))
{
    hg_http_options o;
    hg_err e = {0};

    hg_http_options_init(&o);
    CHECK_OK(hg_mkdirs(test_path("spill"), &e), e);
    o.max_body = MIB / 4;
    o.max_memory = 64 * 1024;
    o.spill = test_path("spill");
    o.max_body_of = limit_of;
    o.trusts = trusts;
    o.handle = handle;
    o.explain = explain;
    o.ctx = p;
    p->is_trusting = true;
    if (change != NULL) change(&o);
    CHECK_OK(hg_http_start(&p->http, &o, &e), e);
}

static void end(place *p)
{
    hg_http_stop(p->http);
    hg_http_free(p->http);
}

static int reach(const place *p)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    a.sin_port = htons(hg_http_port(p->http));
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
    return fd;
}

static char *bytes_of(size_t n, unsigned *sum)
{
    char *b = malloc(n);

    *sum = 0;
    for (size_t i = 0; i < n; i++) {
        b[i] = (char)(i * 7 + i / 251);
        *sum = *sum * 31 + (unsigned char)b[i];
    }
    return b;
}

static char *post(const place *p, const char *path, const char *bytes, size_t n)
{
    char head[256];
    int fd = reach(p);

    (void)snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
                   path, n);
    raw_send(fd, head, strlen(head));
    raw_send(fd, bytes, n);
    char *answer = raw_read(fd, 10);
    (void)close(fd);
    return answer;
}

static size_t n_spilled(void)
{
    char command[4096];
    unsigned long n = 0;

    (void)snprintf(command, sizeof command, "ls -A %s | wc -l", test_path("spill"));
    FILE *f = popen(command, "r");
    char line[32] = "";
    if (f != NULL && fgets(line, sizeof line, f) != NULL) n = strtoul(line, NULL, 10);
    if (f != NULL) (void)pclose(f);
    return n;
}

TEST(a_large_body_arrives_byte_for_byte)
{
    place p = {0};
    unsigned sum;
    char said[64];

    begin(&p, NULL);
    for (size_t n = 1000; n <= 5 * MIB; n = n * 17 + 3) {
        char *b = bytes_of(n, &sum);
        char *answer = post(&p, "/large", b, n);
        (void)snprintf(said, sizeof said, "%zu %u", n, sum);
        CHECK_EQ(raw_status(answer), 200);
        CHECK_STR(raw_body(answer), said);
        free(b);
    }
    CHECK_EQ(n_spilled(), 0);
    end(&p);
}

TEST(each_path_has_its_own_limit)
{
    place p = {0};
    unsigned sum;
    char *b = bytes_of(9 * MIB, &sum);

    begin(&p, NULL);
    char *answer = post(&p, "/small", b, MIB);
    CHECK_EQ(raw_status(answer), 413);
    CHECK_HAS(answer, "the body of the request is longer than 262144 bytes");
    answer = post(&p, "/large", b, 9 * MIB);
    CHECK_EQ(raw_status(answer), 413);
    CHECK_HAS(answer, "the body of the request is longer than 8388608 bytes");
    CHECK_EQ(raw_status(post(&p, "/large", b, 8 * MIB)), 200);
    end(&p);
    free(b);
}

TEST(a_chunked_body_over_the_limit_is_refused)
{
    place p = {0};
    unsigned sum;
    char *b = bytes_of(MIB, &sum), head[128];
    static const char start[] =
        "POST /large HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";

    begin(&p, NULL);
    int fd = reach(&p);
    raw_send(fd, start, sizeof start - 1);
    for (int i = 0; i < 9; i++) {
        (void)snprintf(head, sizeof head, "%x\r\n", (unsigned)MIB);
        raw_send(fd, head, strlen(head));
        raw_send(fd, b, MIB);
        raw_send(fd, "\r\n", 2);
    }
    raw_send(fd, "0\r\n\r\n", 5);
    char *answer = raw_read(fd, 10);
    (void)close(fd);
    if (answer[0] != '\0') CHECK_EQ(raw_status(answer), 413);
    CHECK_EQ(n_spilled(), 0);
    end(&p);
    free(b);
}

/* Whoever is not let in cannot fill the disk: his request is handled without its body. */
TEST(who_is_not_trusted_sends_in_vain)
{
    place p = {0};
    unsigned sum;
    char *b = bytes_of(MIB / 2, &sum);

    begin(&p, NULL);
    p.is_trusting = false;
    char *answer = post(&p, "/large", b, MIB / 2);
    CHECK_EQ(raw_status(answer), 200);
    CHECK_STR(raw_body(answer), "0 0");
    end(&p);
    free(b);
}

TEST(strangers_take_no_place_on_any_path)
{
    place p = {0};
    unsigned sum;
    char *b = bytes_of(MIB / 4, &sum);

    begin(&p, NULL);
    p.is_trusting = false;
    char *answer = post(&p, "/small", b, MIB / 4);
    CHECK_EQ(raw_status(answer), 200);
    CHECK_STR(raw_body(answer), "0 0");
    answer = post(&p, "/small", b, 1000); /* what is not spilled needs no trust */
    CHECK(strncmp(raw_body(answer), "1000 ", 5) == 0);
    end(&p);
    free(b);
}

static void two_spills(hg_http_options *o)
{
    o->max_spills = 2;
}

/* Sends the first `part` bytes of a large body; its socket. */
static int begin_post(const place *p, const char *who, const char *bytes, size_t n, size_t part)
{
    char head[256];
    int fd = reach(p);

    (void)snprintf(head, sizeof head,
                   "POST /large HTTP/1.1\r\nHost: x\r\nX-Who: %s\r\nContent-Length: %zu\r\n\r\n",
                   who, n);
    raw_send(fd, head, strlen(head));
    raw_send(fd, bytes, part);
    return fd;
}

static int post_as(const place *p, const char *who, const char *bytes, size_t n)
{
    int fd = begin_post(p, who, bytes, n, n);
    const int status = raw_status(raw_read(fd, 10));

    (void)close(fd);
    return status;
}

/* A place is free a moment after its answer. */
static bool comes_to(const place *p, const char *who, const char *bytes, int status)
{
    bool is_so = false;

    for (int i = 0; i < 100 && !is_so; i++) {
        is_so = post_as(p, who, bytes, MIB) == status;
        if (!is_so) (void)usleep(20 * 1000);
    }
    return is_so;
}

TEST(one_owner_leaves_half_of_the_places_to_others)
{
    place p = {0};
    unsigned sum;
    char *b = bytes_of(MIB, &sum);

    begin(&p, two_spills);
    const int held = begin_post(&p, "ann", b, MIB, MIB / 2);
    CHECK(comes_to(&p, "ann", b, 503));
    (void)usleep(200 * 1000);
    CHECK_EQ(post_as(&p, "ann", b, MIB), 503);
    CHECK(comes_to(&p, "bob", b, 200));
    raw_send(held, b + MIB / 2, MIB / 2);
    CHECK_EQ(raw_status(raw_read(held, 10)), 200);
    (void)close(held);
    CHECK(comes_to(&p, "ann", b, 200));
    end(&p);
    free(b);
}

static void no_spills(hg_http_options *o)
{
    o->max_spills = 0;
}

TEST(too_many_large_bodies_at_a_time_are_put_off)
{
    place p = {0};
    unsigned sum;
    char *b = bytes_of(MIB, &sum);

    begin(&p, no_spills);
    char *answer = post(&p, "/large", b, MIB);
    CHECK_EQ(raw_status(answer), 503);
    CHECK_HAS(answer, "too many large bodies are being sent; try again");
    CHECK_EQ(raw_status(post(&p, "/large", b, 1000)), 200);
    end(&p);
    free(b);
}

static void impatient(hg_http_options *o)
{
    o->body_s = 1;
}

TEST(a_large_body_may_take_long_while_it_comes)
{
    place p = {0};
    unsigned sum;
    char *b = bytes_of(MIB, &sum), head[128];

    begin(&p, impatient);
    int fd = reach(&p);
    (void)snprintf(head, sizeof head,
                   "POST /large HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", MIB);
    raw_send(fd, head, strlen(head));
    for (size_t i = 0; i < 8; i++) {
        raw_send(fd, b + i * MIB / 8, MIB / 8);
        (void)usleep(300 * 1000);
    }
    CHECK_EQ(raw_status(raw_read(fd, 10)), 200);
    (void)close(fd);
    fd = reach(&p);
    raw_send(fd, head, strlen(head));
    raw_send(fd, b, 100 * 1024);
    CHECK_EQ(raw_status(raw_read(fd, 10)), 408);
    (void)close(fd);
    end(&p);
    free(b);
}

/* A limit on the size of files stands for a full disk: the write fails in its middle. */
TEST(a_full_disk_is_told_and_keeps_nothing)
{
    place p = {0};
    unsigned sum;
    char *b = bytes_of(4 * MIB, &sum);
    const struct rlimit small = {MIB, RLIM_INFINITY}, large = {RLIM_INFINITY, RLIM_INFINITY};

    begin(&p, NULL);
    (void)signal(SIGXFSZ, SIG_IGN);
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    char *answer = post(&p, "/large", b, 4 * MIB);
    CHECK_EQ(raw_status(answer), 507);
    CHECK_HAS(answer, "the disk of the server is full; nothing was kept");
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &large), 0);
    CHECK_EQ(raw_status(post(&p, "/large", b, 4 * MIB)), 200);
    CHECK_EQ(n_spilled(), 0);
    end(&p);
    free(b);
}

TEST(an_answer_may_be_a_part_of_a_file)
{
    place p = {0};
    hg_err e = {0};

    CHECK_OK(hg_file_write(test_path("some"), "0123456789", 10, &e), e);
    p.file = test_path("some");
    begin(&p, NULL);
    int fd = reach(&p);
    raw_send(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
    char *answer = raw_read(fd, 10);
    (void)close(fd);
    CHECK_EQ(raw_status(answer), 200);
    CHECK_HAS(answer, "Content-Length: 5\r\n");
    CHECK_STR(raw_body(answer), "23456");
    end(&p);
}
