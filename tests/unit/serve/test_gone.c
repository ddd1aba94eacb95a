/* What a client deletes is soon nowhere in the data folder, while the server runs. */
#include "fake.h"
#include "harness/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CANARY "zq7canary"

static hg_server *begin(void)
{
    hg_server_options o;
    hg_server *s;
    hg_err e = {0};

    hg_server_options_init(&o);
    o.port = 0;
    o.data_dir = test_path("data");
    CHECK_OK(hg_server_new(&s, &o, &e), e);
    fake_add(fake_new(), s, "parrot", 256);
    CHECK_OK(hg_server_start(s, &e), e);
    return s;
}

static bool is_on_disk(const char *text)
{
    char command[5000];

    (void)snprintf(command, sizeof command, "grep -rqaF %s '%s'", text, test_path("data"));
    return system(command) == 0;
}

static bool waits_until(bool is, const char *text, int ms)
{
    for (int i = 0; i < ms / 20 && is_on_disk(text) != is; i++) usleep(20000);
    return is_on_disk(text) == is;
}

static void ask(const hg_server *s, const char *method, const char *path, const char *body,
                int status)
{
    char text[2000];

    (void)snprintf(text, sizeof text,
                   "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s", method,
                   path, strlen(body), body);
    const char *a = raw_ask(s, text);
    if (raw_status(a) != status) test_fail(__FILE__, __LINE__, "%s %s: %s", method, path, a);
}

/* "/v1/things/" and the id of what was made there. */
static void make(const hg_server *s, const char *path, const char *under, const char *body,
                 char out[200])
{
    const char *a = raw_post(s, path, body), *id = strstr(a, "{\"id\":\"");

    if (id == NULL) test_fail(__FILE__, __LINE__, "%s: %s", path, a);
    id += 7;
    (void)snprintf(out, 200, "%s/%.*s", under, (int)strcspn(id, "\""), id);
}

TEST(what_is_deleted_is_soon_nowhere_in_the_data_folder)
{
    char chat[200], response[200], prediction[200];
    const char *talk = "{\"title\":\"A\",\"messages\":[{\"id\":\"a\",\"role\":\"user\","
                       "\"content\":\"" CANARY " talks\"}]}";
    hg_server *s = begin();

    ask(s, "PUT", "/app/conversations/t1", talk, 204);
    ask(s, "PUT", "/app/conversations/t2",
        "{\"title\":\"B\",\"messages\":[{\"id\":\"a\",\"role\":\"user\",\"content\":"
        "\"harbour\"}]}",
        204);
    make(s, "/v1/chat/completions", "/v1/chat/completions",
         "{\"model\":\"parrot\",\"store\":true,\"messages\":[{\"role\":\"user\",\"content\":"
         "\"" CANARY " chats\"}]}",
         chat);
    make(s, "/v1/responses", "/v1/responses",
         "{\"model\":\"parrot\",\"input\":\"" CANARY " responds\"}", response);
    make(s, "/v1/models/local/parrot/predictions", "/v1/predictions",
         "{\"input\":{\"prompt\":\"" CANARY " predicts\"}}", prediction);
    CHECK(waits_until(true, "'" CANARY " predicts'", 5000));
    CHECK(is_on_disk("'" CANARY " talks'") && is_on_disk("'" CANARY " chats'") &&
          is_on_disk("'" CANARY " responds'"));
    for (int i = 0; i < 200; i++) {
        char text[300];
        (void)snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", prediction);
        if (strstr(raw_ask(s, text), "\"succeeded\"") != NULL) break;
        usleep(20000);
    }
    ask(s, "DELETE", "/app/conversations/t1", "", 204);
    ask(s, "DELETE", chat, "", 200);
    ask(s, "DELETE", response, "", 200);
    ask(s, "DELETE", prediction, "", 204);
    CHECK(waits_until(false, CANARY, 15000));
    CHECK(is_on_disk("harbour"));
    hg_server_free(s);
}
