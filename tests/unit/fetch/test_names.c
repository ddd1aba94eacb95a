/* Names of hosts are looked up within the time that a fetch has, whatever their server does. The
 * system's own resolver is taken the place of (by the linker's --wrap): a host "silent..." is
 * answered after a second, as by a server of names that is dead. */
#include "base/clock.h"
#include "fetch/fetch.h"
#include "harness/test.h"

#include <netdb.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *want,
                       struct addrinfo **out);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *want,
                       struct addrinfo **out);

static atomic_int n_answered;

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *want,
                       struct addrinfo **out)
{
    if (strncmp(host, "silent", 6) != 0) return __real_getaddrinfo(host, port, want, out);
    (void)usleep(1000000);
    const int r = __real_getaddrinfo("127.0.0.1", port, want, out);
    (void)atomic_fetch_add(&n_answered, 1);
    return r;
}

TEST(a_server_of_names_that_is_silent_takes_no_more_than_the_time_there_is)
{
    const hg_fetch f = {
        .url = "http://silent.test/", .allows_private = true, .seconds = 0.2, .max_body = 100};
    const double begun = hg_seconds();
    int status = 0;
    hg_err e;

    if (!hg_fetch_is_built()) test_skip("built without libcurl");
    CHECK_EQ(hg_fetch_run(&f, &status, NULL, &e), HG_E_IO);
    CHECK_STR(e.msg, "the host silent.test was not found within 0.2 s");
    CHECK(hg_seconds() - begun < 0.9);
    /* What comes too late harms nobody. */
    for (int i = 0; i < 500 && atomic_load(&n_answered) == 0; i++) (void)usleep(10000);
    CHECK_EQ(atomic_load(&n_answered), 1);
    (void)usleep(50000);
}

TEST(what_a_slow_name_resolves_to_is_judged_as_any)
{
    const hg_fetch f = {.url = "http://silent.test/", .seconds = 5, .max_body = 100};
    int status = 0;
    hg_err e;

    if (!hg_fetch_is_built()) test_skip("built without libcurl");
    CHECK_EQ(hg_fetch_run(&f, &status, NULL, &e), HG_E_ARG);
    CHECK_HAS(e.msg, "silent.test is an address of this machine or of a private network");
}
