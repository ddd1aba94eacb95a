/* Which addresses strangers may have us call, and what of a URL is refused before anything is. */
#include "fetch/fetch.h"
#include "harness/test.h"

#include <arpa/inet.h>
#include <string.h>

static bool is_public(const char *text)
{
    unsigned char a[16];
    const int family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
    CHECK_EQ(inet_pton(family, text, a), 1);
    return hg_address_is_public(family, a);
}

TEST(addresses_of_the_internet_are_public)
{
    static const char *const yes[] = {
        "1.1.1.1",      "8.8.8.8",      "100.63.255.255", "100.128.0.1",      "172.15.0.1",
        "172.32.0.1",   "192.0.1.1",    "198.17.255.255", "198.20.0.1",       "223.255.255.255",
        "2606:4700::1", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
        if (!is_public(yes[i])) test_fail(__FILE__, __LINE__, "%s", yes[i]);
}

TEST(addresses_of_this_machine_and_of_private_networks_are_not)
{
    static const char *const no[] = {"0.0.0.0",
                                     "10.0.0.1",
                                     "100.64.0.1",
                                     "127.0.0.1",
                                     "127.255.255.254",
                                     "169.254.169.254",
                                     "172.16.0.1",
                                     "172.31.255.255",
                                     "192.0.0.8",
                                     "192.0.2.1",
                                     "192.168.1.1",
                                     "198.18.0.1",
                                     "198.51.100.1",
                                     "203.0.113.9",
                                     "224.0.0.1",
                                     "240.0.0.1",
                                     "255.255.255.255",
                                     "::",
                                     "::1",
                                     "::7f00:1",
                                     "fe80::1",
                                     "fc00::1",
                                     "fd12::1",
                                     "ff02::1",
                                     "::ffff:127.0.0.1",
                                     "::ffff:10.0.0.1",
                                     "64:ff9b::7f00:1",
                                     "2002:7f00:1::1",
                                     "2001:db8::1",
                                     "2001::1",
                                     "3fff::1"};
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        if (is_public(no[i])) test_fail(__FILE__, __LINE__, "%s", no[i]);
    CHECK(!hg_address_is_public(AF_UNIX, "xxxxxxxxxxxxxxxx"));
}

TEST(urls_that_are_none_or_lead_inside_are_refused)
{
    static const struct {
        const char *url, *says;
    } bad[] = {{"", "is no URL"},
               {"nothing", "is no URL"},
               {"ftp://1.1.1.1/", "only http and https"},
               {"file:///etc/passwd", "is no URL"},
               {"gopher://1.1.1.1/", "only http and https"},
               {"http://user:secret@1.1.1.1/", "with a user"},
               {"http://127.0.0.1/", "private network"},
               {"http://2130706433/", "private network"},
               {"http://0x7f.1/", "private network"},
               {"http://0177.0.0.1/", "private network"},
               {"http://[::1]/", "private network"},
               {"http://[::ffff:10.0.0.1]/", "private network"},
               {"http://localhost:8080/", "private network"},
               {"http://LocalHost./", "private network"},
               {"http://a.localhost/", "private network"}};
    hg_err e;
    if (!hg_fetch_is_built()) test_skip("built without libcurl");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_EQ(hg_fetch_check(bad[i].url, false, &e), HG_E_ARG);
        CHECK_HAS(e.msg, bad[i].says);
    }
    CHECK_OK(hg_fetch_check("https://1.1.1.1:8443/a?b#c", false, &e), e);
    CHECK_OK(hg_fetch_check("http://127.0.0.1:9/", true, &e), e);
    CHECK_OK(hg_fetch_check("http://notlocalhost/", false, &e), e);
}

/* Whoever checks a URL does not wait for others' servers of names. */
TEST(a_name_is_judged_when_it_is_fetched_and_not_before)
{
    hg_fetch f = {.url = "http://no.such.host.invalid/", .seconds = 2, .max_body = 100};
    int status = 0;
    hg_err e;
    if (!hg_fetch_is_built()) test_skip("built without libcurl");
    CHECK_OK(hg_fetch_check(f.url, false, &e), e);
    CHECK_EQ(hg_fetch_run(&f, &status, NULL, &e), HG_E_MISSING);
    CHECK_STR(e.msg, "the host no.such.host.invalid is not known");
    f.url = "http://localhost:1/";
    CHECK_EQ(hg_fetch_run(&f, &status, NULL, &e), HG_E_ARG);
    CHECK_HAS(e.msg, "private network");
}

TEST(who_does_not_answer_is_told_of)
{
    int status = 0;
    hg_err e;
    const hg_fetch f = {
        .url = "http://127.0.0.1:1/", .allows_private = true, .seconds = 2, .max_body = 100};
    if (!hg_fetch_is_built()) test_skip("built without libcurl");
    CHECK_EQ(hg_fetch_run(&f, &status, NULL, &e), HG_E_IO);
    CHECK_HAS(e.msg, "http://127.0.0.1:1/: ");
}
