/* Versions, which follow from files: large ones are read aside, and known again. */
#include "fake.h"
#include "small.h"
#include "harness/test.h"
#include "base/clock.h"
#include "base/file.h"
#include "serve/replicate/replicate.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* "a", whose folder has a file of so many zeros that take no room, and "bird", which has no files.
 */
static hg_server *server_with(off_t n)
{
    hg_server_options o;
    hg_server *s = NULL;
    hg_err e = {0};
    size_t n_found = 0;

    small_write("a", 1, NULL);
    const int fd = open(test_path("a/notes.txt"), O_WRONLY | O_CREAT, 0600);
    CHECK(fd >= 0 && ftruncate(fd, n) == 0);
    (void)close(fd);
    hg_server_options_init(&o);
    o.port = 0;
    o.threads = 1;
    o.parallel = 1;
    CHECK_OK(hg_server_new(&s, &o, &e), e);
    CHECK_OK(hg_server_offer(s, test_path("a"), NULL, NULL, &n_found, &e), e);
    fake_add(fake_new(), s, "bird", 256);
    return s;
}

/* All requests are worked on by one thread. */
static void start(hg_server *s)
{
    hg_http_options http;
    hg_err e = {0};

    hg_http_options_init(&http);
    http.n_desks = 1;
    CHECK_OK(hg_server_start_with(s, &http, &e), e);
}

static int begin(const hg_server *s)
{
    static const char request[] =
        "POST /v1/models/local/a/predictions HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
        "44\r\n\r\n{\"input\":{\"prompt\":\"hello\",\"max_tokens\":1} }";
    const int fd = raw_connect(s);

    raw_send(fd, request, sizeof request - 1);
    return fd;
}

static bool is_answered(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 0) > 0;
}

static const char *version_in(const char *answer)
{
    const char *at = strstr(answer, "\"version\":\"");

    CHECK(at != NULL && strspn(at + 11, "0123456789abcdef") == 64);
    return at != NULL ? at + 11 : "";
}

static const char *ask(const hg_server *s, const char *path)
{
    char request[128];

    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    return raw_ask(s, request);
}

TEST(others_are_answered_while_large_files_are_read)
{
    hg_server *s = server_with((off_t)512 << 20);

    start(s);
    const int first = begin(s), second = begin(s);
    usleep(20 * 1000);
    CHECK_EQ(raw_status(ask(s, "/health")), 200);
    CHECK_EQ(raw_status(raw_post(s, "/v1/models/local/bird/predictions",
                                 "{\"input\":{\"prompt\":\"hello\"}}")),
             201);
    CHECK(!is_answered(first) && !is_answered(second));
    const char *a = raw_read(first, 60), *b = raw_read(second, 60);
    CHECK_EQ(raw_status(a), 201);
    CHECK_EQ(raw_status(b), 201);
    CHECK(strncmp(version_in(a), version_in(b), 64) == 0);
    const double began = hg_seconds();
    a = ask(s, "/v1/models/local/a");
    CHECK(strstr(a, "\"latest_version\":{\"id\":\"") != NULL);
    CHECK(hg_seconds() - began < 1); /* it is known from now on */
    (void)close(first);
    (void)close(second);
    hg_server_free(s);
}

TEST(a_model_that_cannot_be_read_is_not_waited_for)
{
    hg_server *s = server_with(10);
    hg_err e = {0};

    start(s);
    CHECK_OK(hg_remove_tree(test_path("a"), &e), e);
    CHECK_HAS(ask(s, "/v1/models/local/a"), "\"latest_version\":null");
    const int fd = begin(s);
    CHECK_EQ(raw_status(raw_read(fd, 20)), 500);
    (void)close(fd);
    hg_server_free(s);
}

TEST(a_server_that_ends_reads_no_large_file_to_its_end)
{
    hg_server *s = server_with((off_t)64 << 30);

    start(s);
    const int fd = begin(s);
    usleep(100 * 1000);
    const double began = hg_seconds();
    hg_server_free(s);
    CHECK(hg_seconds() - began < 10);
    CHECK_STR(raw_read(fd, 5), "");
    (void)close(fd);
}

static void write_at(const char *path, const char *text, const struct timespec times[2])
{
    hg_err e = {0};

    CHECK_OK(hg_file_write(path, text, strlen(text), &e), e);
    CHECK_EQ(utimensat(AT_FDCWD, path, times, 0), 0);
}

TEST(a_file_in_the_place_of_another_is_another)
{
    const struct timespec times[2] = {{1000, 0}, {1000, 0}};
    hg_server *s = server_with(10);
    hg_versions *v = hg_server_replicate(s)->versions;
    const hg_offer *o = hg_models_find(hg_server_models(s), (hg_bytes){"a", 1});
    char one[65], two[65], again[65];
    hg_err e = {0};

    CHECK_EQ(hg_version_known(v, o, one), HG_E_STATE);
    write_at(test_path("a/notes.txt"), "one", times);
    CHECK_OK(hg_version_of(v, NULL, o, one, &e), e);
    CHECK_EQ(hg_version_known(v, o, again), HG_OK);
    CHECK_STR(again, one);
    write_at(test_path("two.txt"), "two", times);
    CHECK_EQ(rename(test_path("two.txt"), test_path("a/notes.txt")), 0);
    CHECK_EQ(hg_version_known(v, o, again), HG_E_STATE);
    CHECK_OK(hg_version_of(v, NULL, o, two, &e), e);
    CHECK(strcmp(one, two) != 0);
    hg_server_free(s);
}

TEST(what_was_read_is_known_though_it_cannot_be_kept)
{
    hg_server *s = server_with(10);
    hg_versions *v = hg_server_replicate(s)->versions;
    const hg_offer *o = hg_models_find(hg_server_models(s), (hg_bytes){"a", 1});
    char one[65], again[65];
    hg_query q;
    hg_err e = {0};

    hg_query_open(&q, hg_server_store(s),
                  "CREATE TRIGGER full BEFORE INSERT ON digests BEGIN SELECT RAISE(ABORT, 'full'); "
                  "END");
    CHECK_OK(hg_query_close(&q, &e), e);
    CHECK_OK(hg_version_of(v, NULL, o, one, &e), e);
    CHECK_EQ(hg_version_known(v, o, again), HG_OK);
    CHECK_STR(again, one);
    hg_server_free(s);
}
