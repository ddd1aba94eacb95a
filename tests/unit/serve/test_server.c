/* The server against a model without weights: routes, forms, errors, streams, disconnects, the end.
 */
#include "fake.h"
#include "harness/test.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <dirent.h>
#include <unistd.h>

#define CHAT "/v1/chat/completions"
#define ASK(text, more) \
    "{\"model\":\"parrot\",\"messages\":[{\"role\":\"user\",\"content\":\"" text "\"}]" more "}"

static bool wait_until_idle(fake *f, double seconds)
{
    for (double until = hg_seconds() + seconds; hg_seconds() < until; usleep(1000)) {
        if (fake_running(f) == 0) return true;
    }
    return false;
}

static int count(const char *text, const char *part)
{
    int n = 0;

    for (const char *p = text; (p = strstr(p, part)) != NULL; p += strlen(part)) n++;
    return n;
}

TEST(models_are_listed_and_found_by_their_encoded_name)
{
    fake *f = fake_new();
    hg_server_options o;
    hg_server *s = NULL;
    hg_err e = {0};

    hg_server_options_init(&o);
    o.port = 0;
    CHECK_OK(hg_server_new(&s, &o, &e), e);
    fake_add(f, s, "owner/bird", 256);
    CHECK_OK(hg_server_start(s, &e), e);
    char *a = raw_ask(s, "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK_EQ(raw_status(a), 200);
    CHECK_HAS(a, "\"object\":\"list\",\"data\":[{\"id\":\"owner/bird\",\"object\":\"model\"");
    CHECK_HAS(a, "X-Request-Id: req_");
    a = raw_ask(s, "GET /v1/models/owner%2Fbird HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK_HAS(raw_body(a), "{\"id\":\"owner/bird\",\"object\":\"model\"");
    a = raw_ask(s, "GET /v1/models/nobody HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK_EQ(raw_status(a), 404);
    CHECK_HAS(a, "\"code\":\"model_not_found\"");
    hg_server_free(s);
}

TEST(a_chat_is_answered_whole)
{
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    char *a = raw_post(s, CHAT, ASK("hello", ""));

    CHECK_EQ(raw_status(a), 200);
    CHECK_HAS(a, "\"object\":\"chat.completion\"");
    CHECK_HAS(a, "\"message\":{\"role\":\"assistant\",\"content\":\"hello\",\"refusal\":null,");
    CHECK_HAS(a, "\"finish_reason\":\"stop\"");
    CHECK_HAS(a, "\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":5,\"total_tokens\":10,");
    hg_server_free(s);
}

TEST(a_stream_has_its_role_first_one_finish_and_a_done)
{
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    char *a = raw_post(s, CHAT,
                       ASK("abc", ",\"stream\":true,\"stream_options\":{\"include_usage\":true}"));

    CHECK_EQ(raw_status(a), 200);
    CHECK_HAS(a, "Content-Type: text/event-stream");
    CHECK_EQ(count(a, "\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}"), 1);
    CHECK(strstr(a, "\"role\":\"assistant\"") < strstr(a, "\"content\":\"a\""));
    CHECK_EQ(count(a, "\"delta\":{}"), 1);
    CHECK_EQ(count(a, "\"finish_reason\":\"stop\""), 1);
    CHECK_EQ(count(a, "\"usage\":null"), 5);
    CHECK_HAS(a, "\"choices\":[],\"usage\":{\"prompt_tokens\":3,");
    CHECK_EQ(count(a, "data: [DONE]\n\n"), 1);
    hg_server_free(s);
}

TEST(without_include_usage_no_chunk_speaks_of_usage)
{
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    char *a = raw_post(s, CHAT, ASK("abc", ",\"stream\":true,\"stream_options\":null"));

    CHECK(strstr(a, "usage") == NULL);
    CHECK_HAS(a, "data: [DONE]");
    hg_server_free(s);
}

TEST(several_choices_are_answered_and_counted_once_for_the_prompt)
{
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    char *a = raw_post(s, CHAT, ASK("ab", ",\"n\":3"));

    CHECK_EQ(count(a, "\"content\":\"ab\""), 3);
    CHECK_HAS(a, "\"index\":2");
    CHECK_HAS(a, "\"prompt_tokens\":2,\"completion_tokens\":6,");
    a = raw_post(s, "/v1/completions",
                 "{\"model\":\"parrot\",\"prompt\":[\"one\",\"two\"],\"n\":2}");
    CHECK_EQ(count(a, "\"text\":\"one\""), 2);
    CHECK_HAS(a, "{\"index\":2,\"text\":\"two\"");
    CHECK_HAS(a, "\"prompt_tokens\":6,\"completion_tokens\":12,");
    hg_server_free(s);
}

TEST(completions_take_ids_and_lists_of_ids)
{
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    char *a = raw_post(s, "/v1/completions", "{\"model\":\"parrot\",\"prompt\":[104,105]}");

    CHECK_HAS(a, "\"object\":\"text_completion\"");
    CHECK_HAS(a, "\"text\":\"hi\"");
    a = raw_post(s, "/v1/completions",
                 "{\"model\":\"parrot\",\"prompt\":[[104],[105]],\"stream\":true}");
    CHECK_EQ(count(a, "\"finish_reason\":\"stop\""), 2);
    a = raw_post(s, "/v1/completions", "{\"model\":\"parrot\",\"prompt\":[256]}");
    CHECK_EQ(raw_status(a), 400);
    CHECK_HAS(a, "token ids are whole numbers from 0 to 255");
    hg_server_free(s);
}

TEST(stop_and_max_tokens_end_an_answer_with_their_reasons)
{
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    char *a = raw_post(s, CHAT, ASK("hello", ",\"max_completion_tokens\":2"));

    CHECK_HAS(a, "\"content\":\"he\"");
    CHECK_HAS(a, "\"finish_reason\":\"length\"");
    a = raw_post(s, CHAT, ASK("hello", ",\"stop\":[\"l\"]"));
    CHECK_HAS(a, "\"content\":\"he\"");
    CHECK_HAS(a, "\"finish_reason\":\"stop\"");
    hg_server_free(s);
}

TEST(every_sampling_parameter_reaches_the_engine)
{
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    char *a = raw_post(s, CHAT,
                       ASK("x", ",\"temperature\":0.25,\"top_p\":0.5,\"top_k\":7,\"min_p\":0.125,"
                                "\"presence_penalty\":1,\"frequency_penalty\":-1,"
                                "\"repeat_penalty\":1.5,\"seed\":-1,\"typical_p\":0.75,"
                                "\"xtc_probability\":0.5,\"xtc_threshold\":0.25,"
                                "\"dry_multiplier\":0.5,\"dry_base\":2,\"dry_allowed_length\":3,"
                                "\"logit_bias\":{\"65\":5,\"66\":-100}"));
    hg_sampling g = fake_last_sampling(f);

    CHECK_EQ(raw_status(a), 200);
    CHECK_NEAR(g.temperature, 0.25, 0);
    CHECK_NEAR(g.top_p, 0.5, 0);
    CHECK_EQ(g.top_k, 7);
    CHECK_NEAR(g.min_p, 0.125, 0);
    CHECK_NEAR(g.presence_penalty, 1, 0);
    CHECK_NEAR(g.frequency_penalty, -1, 0);
    CHECK_NEAR(g.repetition_penalty, 1.5, 0);
    CHECK(g.seed == UINT64_MAX);
    CHECK_NEAR(g.typical_p, 0.75, 0);
    CHECK_NEAR(g.xtc_chance, 0.5, 0);
    CHECK_NEAR(g.xtc_share, 0.25, 0);
    CHECK_NEAR(g.dry_multiplier, 0.5, 0);
    CHECK_NEAR(g.dry_base, 2, 0);
    CHECK_EQ(g.dry_length, 3);
    CHECK_EQ(g.n_bias, 2);
    a = raw_post(s, CHAT, ASK("x", ",\"temperature\":0"));
    g = fake_last_sampling(f);
    CHECK_NEAR(g.repetition_penalty, 1, 0);
    hg_server_free(s);
}

TEST(wrong_values_are_refused_by_name)
{
    static const struct {
        const char *more, *param, *code;
    } cases[] = {{",\"temperature\":2.5", "temperature", "invalid_value"},
                 {",\"temperature\":\"hot\"", "temperature", "invalid_value"},
                 {",\"top_p\":-1", "top_p", "invalid_value"},
                 {",\"n\":0", "n", "invalid_value"},
                 {",\"n\":33", "n", "invalid_value"},
                 {",\"n\":9223372036854775807", "n", "invalid_value"},
                 {",\"max_tokens\":-1", "max_tokens", "invalid_value"},
                 {",\"max_tokens\":1.5", "max_tokens", "invalid_value"},
                 {",\"presence_penalty\":3", "presence_penalty", "invalid_value"},
                 {",\"stop\":[\"a\",\"b\",\"c\",\"d\",\"e\"]", "stop", NULL},
                 {",\"stop\":\"\"", "stop", NULL},
                 {",\"seed\":1.5", "seed", NULL},
                 {",\"stream\":1", "stream", NULL},
                 {",\"tools\":[{}]", "tools", "invalid_value"},
                 {",\"tools\":[{\"function\":{\"name\":\"f\"}}]", "tools", "unsupported_parameter"},
                 {",\"response_format\":{\"type\":\"json_object\"}", "response_format",
                  "unsupported_parameter"},
                 {",\"logprobs\":true", "logprobs", "unsupported_parameter"},
                 {",\"logit_bias\":{\"the\":5}", "logit_bias", NULL},
                 {",\"logit_bias\":{\"1\":101}", "logit_bias", NULL},
                 {",\"logit_bias\":[1]", "logit_bias", NULL}};
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char body[512], want[128];
        (void)snprintf(
            body, sizeof body,
            "{\"model\":\"parrot\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]%s}",
            cases[i].more);
        char *a = raw_post(s, CHAT, body);
        if (raw_status(a) != 400) test_fail(__FILE__, __LINE__, "%s: %s", cases[i].more, a);
        (void)snprintf(want, sizeof want, "\"type\":\"invalid_request_error\",\"param\":\"%s\"",
                       cases[i].param);
        CHECK_HAS(a, want);
        (void)snprintf(want, sizeof want, cases[i].code ? "\"code\":\"%s\"" : "\"code\":null%s",
                       cases[i].code ? cases[i].code : "");
        CHECK_HAS(a, want);
    }
    hg_server_free(s);
}

TEST(parameters_that_ask_for_nothing_are_accepted)
{
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    char *a = raw_post(
        s, CHAT,
        ASK("x", ",\"tools\":[],\"logprobs\":false,\"response_format\":{\"type\":\"text\"},"
                 "\"temperature\":null,\"logit_bias\":null,\"tool_choice\":\"auto\","
                 "\"modalities\":[\"text\"],\"some_new_key\":1"));
    CHECK_EQ(raw_status(a), 200);
    hg_server_free(s);
}

TEST(messages_are_checked_one_by_one)
{
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    char *a = raw_post(s, CHAT, "{\"model\":\"parrot\",\"messages\":[]}");

    CHECK_HAS(a, "\"param\":\"messages\"");
    a = raw_post(s, CHAT,
                 "{\"model\":\"parrot\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"},"
                 "{\"role\":\"king\",\"content\":\"x\"}]}");
    CHECK_HAS(a, "\"param\":\"messages[1].role\"");
    CHECK_HAS(a, "must be system, developer, user, assistant or tool");
    a = raw_post(s, CHAT,
                 "{\"model\":\"parrot\",\"messages\":[{\"role\":\"user\",\"content\":["
                 "{\"type\":\"image_url\",\"image_url\":{\"url\":\"http://x\"}}]}]}");
    CHECK_HAS(a, "\"param\":\"messages[0].content\"");
    a = raw_post(s, CHAT,
                 "{\"model\":\"parrot\",\"messages\":[{\"role\":\"developer\",\"content\":["
                 "{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]}]}");
    CHECK_HAS(a, "\"content\":\"ab\"");
    hg_server_free(s);
}

TEST(a_prompt_over_the_context_is_refused_with_its_length)
{
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    char body[1024], text[301];

    memset(text, 'a', 300);
    text[300] = 0;
    (void)snprintf(body, sizeof body,
                   "{\"model\":\"parrot\",\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]}",
                   text);
    char *a = raw_post(s, CHAT, body);
    CHECK_EQ(raw_status(a), 400);
    CHECK_HAS(a, "\"code\":\"context_length_exceeded\"");
    CHECK_HAS(a, "the messages have 300 tokens; the model's context is 256 tokens");
    hg_server_free(s);
}

TEST(broken_json_and_unknown_models_are_told_apart)
{
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);

    CHECK_HAS(raw_post(s, CHAT, "{\"model\":"), "\"code\":\"invalid_json\"");
    CHECK_HAS(raw_post(s, CHAT, "[]"), "the body must be a JSON object");
    CHECK_HAS(raw_post(s, CHAT, ""), "\"code\":\"invalid_json\"");
    CHECK_HAS(raw_post(s, CHAT, "{}"), "\"param\":\"model\"");
    char *a = raw_post(s, CHAT,
                       "{\"model\":\"gpt\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
    CHECK_EQ(raw_status(a), 404);
    CHECK_HAS(a, "there is no model \\\"gpt\\\"; this server has parrot");
    hg_server_free(s);
}

TEST(an_error_before_the_first_token_is_a_status_and_after_it_an_event)
{
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    char *a = raw_post(s, CHAT, ASK("FAIL", ",\"stream\":true"));

    CHECK_EQ(raw_status(a), 500);
    CHECK_HAS(a, "\"type\":\"server_error\"");
    a = raw_post(s, CHAT, ASK("BREAK", ",\"stream\":true"));
    CHECK_EQ(raw_status(a), 200);
    CHECK_HAS(a, "data: {\"error\":{\"message\":\"the fake model broke\"");
    CHECK(strstr(a, "[DONE]") == NULL);
    a = raw_post(s, CHAT, ASK("REFUSE", ""));
    CHECK_EQ(raw_status(a), 503);
    CHECK_HAS(a, "Retry-After: 1");
    a = raw_post(s, CHAT, ASK("STARVE", "")); /* memory may be there later */
    CHECK_EQ(raw_status(a), 503);
    CHECK_HAS(a, "Retry-After: 1");
    hg_server_free(s);
}

TEST(a_client_that_leaves_cancels_its_work_within_a_tenth_of_a_second)
{
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    static const char *const more[] = {",\"stream\":true", ""};

    for (int i = 0; i < 2; i++) {
        char request[512];
        char body[256];
        (void)snprintf(
            body, sizeof body,
            "{\"model\":\"parrot\",\"messages\":[{\"role\":\"user\",\"content\":\"FOREVER\"}]%s}",
            more[i]);
        (void)snprintf(request, sizeof request,
                       "POST " CHAT " HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s",
                       strlen(body), body);
        int fd = raw_connect(s);
        raw_send(fd, request, strlen(request));
        for (int k = 0; k < 2000 && fake_running(f) == 0; k++) usleep(1000);
        CHECK_EQ(fake_running(f), 1);
        double left = hg_seconds();
        (void)close(fd);
        CHECK(wait_until_idle(f, 2));
        CHECK(hg_seconds() - left < 0.1 * (getenv("ASAN_OPTIONS") != NULL ? 10 : 1));
        CHECK_EQ(fake_canceled(f), i + 1);
    }
    hg_server_free(s);
}

TEST(a_client_that_does_not_read_is_dropped_before_it_fills_the_memory)
{
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    int fd = raw_connect(s), small = 4096;
    static const char body[] = ASK("FLOOD", ",\"stream\":true");
    char request[512];

    fake_set_delay(f, 50);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    (void)snprintf(request, sizeof request,
                   "POST " CHAT " HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s",
                   strlen(body), body);
    raw_send(fd, request, strlen(request));
    usleep(200000);
    CHECK(wait_until_idle(f, 20));
    CHECK_EQ(fake_canceled(f), 1);
    (void)close(fd);
    hg_server_free(s);
}

TEST(two_streams_at_once_never_mix)
{
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    int fd[8];

    for (int i = 0; i < 8; i++) {
        char body[256], request[512], text[65];
        memset(text, 'a' + i, 64);
        text[64] = 0;
        (void)snprintf(body, sizeof body,
                       "{\"model\":\"parrot\",\"prompt\":\"%s\",\"max_tokens\":64,\"stream\":true}",
                       text);
        (void)snprintf(
            request, sizeof request,
            "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s",
            strlen(body), body);
        fd[i] = raw_connect(s);
        raw_send(fd[i], request, strlen(request));
    }
    for (int i = 0; i < 8; i++) {
        char *a = raw_read(fd[i], 10), want[16];
        for (int k = 0; k < 8; k++) {
            (void)snprintf(want, sizeof want, "\"text\":\"%c\"", 'a' + k);
            CHECK_EQ(count(a, want), k == i ? 64 : 0);
        }
        (void)close(fd[i]);
    }
    hg_server_free(s);
}

/* 256 heads at once once met a wait of the HTTP library that nothing ended. */
TEST(a_crowd_that_comes_at_once_is_answered_at_once)
{
    static const char body[] = "{\"model\":\"parrot\",\"prompt\":\"crowd\",\"stream\":true}";
    static int fd[256];
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    char request[512];

    (void)snprintf(
        request, sizeof request,
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s",
        strlen(body), body);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 256; i++) fd[i] = raw_connect(s);
        double t = hg_seconds();
        for (int i = 0; i < 256; i++) raw_send(fd[i], request, strlen(request));
        for (int i = 0; i < 256; i++) {
            CHECK_HAS(raw_read(fd[i], 10), "data: [DONE]");
            (void)close(fd[i]);
        }
        CHECK(hg_seconds() - t < 10);
    }
    hg_server_free(s);
}

TEST(methods_and_paths_that_are_not_there_are_named)
{
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    char *a = raw_ask(s, "GET /v1/completions HTTP/1.1\r\nHost: localhost\r\n\r\n");

    CHECK_EQ(raw_status(a), 405);
    CHECK_HAS(a, "Allow: POST, OPTIONS");
    a = raw_ask(s, "GET /v1/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK_EQ(raw_status(a), 404);
    CHECK_HAS(a, "nothing is at /v1/nothing");
    a = raw_ask(s, "OPTIONS /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK_EQ(raw_status(a), 204);
    CHECK_HAS(a, "Allow: GET, HEAD, QUERY, POST, OPTIONS");
    a = raw_ask(s, "HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK_EQ(raw_status(a), 200);
    CHECK_STR(raw_body(a), "");
    a = raw_ask(s, "GET /health?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK_STR(raw_body(a), "{\"status\":\"ok\"}\n");
    hg_server_free(s);
}

/* Every route of the protocol, asked for under one of its mounts. */
static void walk_mounted(const hg_server *s, const hg_protocol *protocol, const char *mount, int n)
{
    char text[300];

    for (const hg_route *r = protocol->routes; r->method != NULL; r++) {
        const bool takes_rest = r->path[strlen(r->path) - 1] == '/';
        (void)snprintf(text, sizeof text, "OPTIONS /%.*s%s%s HTTP/1.1\r\nHost: localhost\r\n\r\n",
                       n, mount, r->path, takes_rest ? "x" : "");
        char *a = raw_ask(s, text);
        if (raw_status(a) != 204 || strstr(strstr(a, "Allow: "), r->method) == NULL)
            test_fail(__FILE__, __LINE__, "%s %.*s%s: %s", r->method, n, mount, r->path, a);
    }
}

TEST(every_route_of_a_mounted_protocol_is_there_under_its_mount)
{
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    const hg_protocol *protocol;
    size_t n_mounted = 0, n_alone = 0;

    for (size_t i = 0; (protocol = hg_server_protocol(i)) != NULL; i++) {
        n_alone += protocol->mounts == NULL;
        for (const char *at = protocol->mounts; at != NULL && *at != '\0'; n_mounted++) {
            const int n = (int)strcspn(at, " ");
            walk_mounted(s, protocol, at, n);
            at += n + (at[n] == ' ');
        }
    }
    CHECK(n_mounted >= 12);
    CHECK_EQ(n_alone, 4); /* Ollama's, the page, what the page asks for, the upkeep */
    char *a = raw_post(s, "/openai/v1/moderations", "{\"input\":\"Good morning\"}");
    CHECK_EQ(raw_status(a), 200);
    a = raw_post(s, "/anthropic/v1/moderations", "{\"input\":\"Good morning\"}");
    CHECK_EQ(raw_status(a), 404);
    hg_server_free(s);
}

TEST(foreign_hosts_and_origins_are_refused_on_loopback)
{
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);

    CHECK_EQ(raw_status(raw_ask(s, "GET /v1/models HTTP/1.1\r\nHost: evil.example\r\n\r\n")), 403);
    CHECK_EQ(raw_status(raw_ask(s, "GET / HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n\r\n")), 403);
    CHECK_EQ(raw_status(raw_ask(s, "GET /health HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n")), 200);
    CHECK_EQ(raw_status(raw_ask(s, "GET /health HTTP/1.1\r\nHost: [::1]:80\r\n\r\n")), 200);
    CHECK_EQ(raw_status(raw_ask(s, "GET /v1/models HTTP/1.1\r\nHost: localhost:9\r\n"
                                   "Origin: http://evil.example\r\n\r\n")),
             403);
    CHECK_EQ(raw_status(raw_ask(s, "GET /v1/models HTTP/1.1\r\nHost: localhost:9\r\n"
                                   "Origin: http://localhost:9\r\n\r\n")),
             200);
    hg_server_free(s);
}

TEST(a_key_is_asked_for_by_all_but_the_page_and_health)
{
    fake *f = fake_new();
    hg_server_options o;
    hg_server *s = NULL;
    hg_err e = {0};

    hg_server_options_init(&o);
    o.port = 0;
    o.api_key = "sesame";
    CHECK_OK(hg_server_new(&s, &o, &e), e);
    fake_add(f, s, "parrot", 256);
    CHECK_OK(hg_server_start(s, &e), e);
    CHECK_EQ(raw_status(raw_ask(s, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")), 200);
    CHECK_EQ(raw_status(raw_ask(s, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")), 200);
    char *a = raw_ask(s, "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK_EQ(raw_status(a), 401);
    CHECK_HAS(a, "\"code\":\"invalid_api_key\"");
    CHECK_EQ(raw_status(raw_ask(s, "GET /v1/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")), 401);
    CHECK_EQ(raw_status(raw_ask(s, "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n"
                                   "Authorization: Bearer sesam\r\n\r\n")),
             401);
    CHECK_EQ(raw_status(raw_ask(s, "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n"
                                   "Authorization: Bearer sesame\r\n\r\n")),
             200);
    hg_server_free(s);
}

TEST(a_drain_finishes_what_is_open_and_lets_nobody_in)
{
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    static const char body[] = "{\"model\":\"parrot\",\"prompt\":\"a long enough text to be still "
                               "going on when the end comes\",\"max_tokens\":64,\"stream\":true}";
    char request[512];
    int fd = raw_connect(s);

    fake_set_delay(f, 5000);
    (void)snprintf(
        request, sizeof request,
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s",
        strlen(body), body);
    raw_send(fd, request, strlen(request));
    for (int k = 0; k < 2000 && fake_running(f) == 0; k++) usleep(1000);
    CHECK_EQ(hg_server_drain(s, 10, NULL), 0);
    CHECK_HAS(raw_read(fd, 5), "data: [DONE]");
    (void)close(fd);
    hg_server_free(s);
}

TEST(a_drain_gives_up_after_its_grace_and_free_ends_the_rest)
{
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    static const char body[] = ASK("FOREVER", ",\"stream\":true");
    char request[512];
    int fd = raw_connect(s);

    (void)snprintf(request, sizeof request,
                   "POST " CHAT " HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s",
                   strlen(body), body);
    raw_send(fd, request, strlen(request));
    for (int k = 0; k < 2000 && fake_running(f) == 0; k++) usleep(1000);
    double t = hg_seconds();
    CHECK_EQ(hg_server_drain(s, 0.2, NULL), 1);
    CHECK(hg_seconds() - t < 2);
    hg_server_free(s);
    (void)close(fd);
}

static int count_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;

    while (readdir(d) != NULL) n++;
    (void)closedir(d);
    return n;
}

TEST(descriptors_stay_the_same_over_many_requests)
{
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    int before = 0;

    fake_set_delay(f, 20);
    for (int i = 0; i < 600; i++) {
        if (i == 20) before = count_fds();
        char *a = i % 3 == 0   ? raw_post(s, CHAT, ASK("hi", ",\"stream\":true"))
                  : i % 3 == 1 ? raw_post(s, CHAT, ASK("hi", ""))
                               : raw_ask(s, "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n");
        CHECK_EQ(raw_status(a), 200);
    }
    usleep(100000);
    CHECK(count_fds() <= before + 2);
    hg_server_free(s);
}
