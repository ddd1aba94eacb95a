/* The page's files, as they come from the binary. */
#include "fake.h"
#include "harness/test.h"

#include <stdio.h>
#include <string.h>

TEST(the_page_is_sent_compressed_or_plain_and_not_twice)
{
    hg_server *s = fake_server(fake_new(), NULL);
    const char *a = raw_ask(s, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");

    CHECK_EQ(raw_status(a), 200);
    if (strstr(a, "ETag: ") == NULL) { /* built without its page, as a sentence says */
        CHECK(strstr(raw_body(a), "without its page") != NULL);
        hg_server_free(s);
        return;
    }
    CHECK(strstr(a, "Content-Security-Policy: default-src 'self'; img-src 'self' data:; "
                    "object-src 'none'; base-uri 'none'") != NULL);
    CHECK(strstr(a, "X-Content-Type-Options: nosniff") != NULL);
    CHECK(strstr(a, "unsafe") == NULL);
    CHECK(strstr(raw_body(a), "<div id=\"app\">") != NULL);
    char tag[64] = "", request[256], asset[128] = "";
    (void)sscanf(strstr(a, "ETag: "), "ETag: %60s", tag);
    (void)snprintf(request, sizeof request,
                   "GET /chat/x HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: %s\r\n\r\n", tag);
    CHECK_EQ(raw_status(raw_ask(s, request)), 304);
    (void)sscanf(strstr(raw_body(a), "src=\"/assets/"), "src=\"%120[^\"]", asset);
    (void)snprintf(request, sizeof request,
                   "GET %s HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n", asset);
    a = raw_ask(s, request);
    CHECK(strstr(a, "Content-Encoding: gzip") != NULL);
    CHECK(strstr(a, "immutable") != NULL);
    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", asset);
    a = raw_ask(s, request);
    CHECK(strstr(a, "Content-Encoding") == NULL);
    CHECK(strstr(raw_body(a), "import") != NULL);
    a = raw_ask(s, "GET /assets/none.js HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK_EQ(raw_status(a), 404);
    hg_server_free(s);
}
