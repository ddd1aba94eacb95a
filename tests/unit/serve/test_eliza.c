/* ELIZA behind the server: the same protocol, and no state between requests. */
#include "fake.h"
#include "harness/test.h"

#include <stdio.h>
#include <string.h>

#define CHAT "/v1/chat/completions"

static hg_server *serve_small(void)
{
    const char *path = test_path("small.script");
    static const char script[] =
        "(HELLO) (NONE ((0) (GO ON))) (LOOP (=LOOP)) (MY = YOUR ((0 YOUR 0) (WHY YOUR 3)))"
        "(MEMORY MY (0 YOUR 0 = A 3) (0 YOUR 0 = B 3) (0 YOUR 0 = C 3) (0 YOUR 0 = D 3))";
    char name[4096];
    hg_server_options o;
    hg_server *s = NULL;
    hg_err e = {0};
    FILE *f = fopen(path, "w");
    CHECK(f != NULL && fputs(script, f) >= 0);
    CHECK_EQ(fclose(f), 0);
    (void)snprintf(name, sizeof name, "eliza:%s", path);
    hg_server_options_init(&o);
    o.port = 0;
    CHECK_OK(hg_server_new(&s, &o, &e), e);
    CHECK_OK(hg_server_add_eliza(s, "small", name, true, &e), e);
    CHECK_OK(hg_server_add_eliza(s, "weizenbaum/eliza", "eliza", false, &e), e);
    CHECK_EQ(hg_server_add_eliza(s, "other", "eliza:/nowhere/x", true, &e), HG_E_MISSING);
    CHECK_OK(hg_server_start(s, &e), e);
    return s;
}

TEST(eliza_is_a_model_among_others)
{
    hg_server *s = serve_small();
    char *a = raw_ask(s, "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK_HAS(a, "\"data\":[{\"id\":\"small\",\"object\":\"model\"");
    CHECK(strstr(a, "weizenbaum") == NULL);
    a = raw_ask(s, "GET /v1/models/weizenbaum/eliza HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK_HAS(raw_body(a), "{\"id\":\"weizenbaum/eliza\",\"object\":\"model\"");
    a = raw_post(s, CHAT,
                 "{\"model\":\"small\",\"n\":2,\"messages\":[{\"role\":\"user\",\"content\":\"my "
                 "hat\"}]}");
    CHECK_EQ(raw_status(a), 200);
    CHECK_HAS(a, "\"index\":1,\"message\":{\"role\":\"assistant\",\"content\":\"WHY YOUR HAT\"");
    CHECK_HAS(a, "\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":6,\"total_tokens\":8,");
    a = raw_post(s, "/v1/completions", "{\"model\":\"small\",\"prompt\":[[109,121,32,97],\"hm\"]}");
    CHECK_HAS(a, "\"text\":\"WHY YOUR A\"");
    CHECK_HAS(a, "\"text\":\"GO ON\"");
    hg_server_free(s);
}

TEST(eliza_remembers_what_the_messages_say_and_nothing_else)
{
    hg_server *s = serve_small();
    for (int i = 0; i < 2; i++) {
        char *a = raw_post(
            s, CHAT,
            "{\"model\":\"small\",\"messages\":[{\"role\":\"user\",\"content\":\"my hat\"},"
            "{\"role\":\"assistant\",\"content\":\"WHY\"},{\"role\":\"user\",\"content\":\"hm\"},"
            "{\"role\":\"user\",\"content\":\"hm\"}]}");
        CHECK_HAS(a, "\"content\":\"A HAT\"");
    }
    hg_server_free(s);
}

TEST(eliza_streams_word_by_word)
{
    hg_server *s = serve_small();
    char *a = raw_post(s, CHAT,
                       "{\"model\":\"small\",\"stream\":true,\"messages\":[{\"role\":\"user\","
                       "\"content\":\"my hat\"}]}");
    CHECK_HAS(a, "\"delta\":{\"content\":\"WHY\"}");
    CHECK_HAS(a, "\"delta\":{\"content\":\" HAT\"}");
    CHECK_HAS(a, "\"finish_reason\":\"stop\"");
    CHECK_HAS(a, "data: [DONE]");
    hg_server_free(s);
}

TEST(eliza_answers_a_script_that_never_ends_with_an_error)
{
    hg_server *s = serve_small();
    char *a = raw_post(
        s, CHAT, "{\"model\":\"small\",\"messages\":[{\"role\":\"user\",\"content\":\"loop\"}]}");
    CHECK_EQ(raw_status(a), 500);
    CHECK_HAS(a, "the script does not end");
    hg_server_free(s);
}
