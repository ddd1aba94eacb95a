/* Who may come in: tokens, their scopes and rates, one server a folder. */
#include "fake.h"
#include "harness/test.h"
#include "serve/data.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static hg_server *guarded(fake *f, const char *dir)
{
    hg_server_options o;
    hg_server *s = NULL;
    hg_err e = {0};

    hg_server_options_init(&o);
    o.port = 0;
    o.asks_token = true;
    o.data_dir = dir;
    CHECK_OK(hg_server_new(&s, &o, &e), e);
    fake_add(f, s, "parrot", 256);
    CHECK_OK(hg_server_start(s, &e), e);
    return s;
}

static char *get_with(const hg_server *s, const char *path, const char *header)
{
    char request[512];

    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", path,
                   header);
    return raw_ask(s, request);
}

static char *get(const hg_server *s, const char *path, const char *scheme, const char *token)
{
    char header[256];

    (void)snprintf(header, sizeof header, "%s%s\r\n", scheme, token);
    return get_with(s, path, token != NULL && token[0] != '\0' ? header : "");
}

TEST(the_first_start_makes_a_token_and_later_ones_none)
{
    static const char *const ways[] = {"Authorization: Bearer ", "Authorization: Token ",
                                       "x-api-key: ", "x-goog-api-key: "};
    const char *dir = test_path("data");
    char secret[HG_TOKEN_ROOM], again[HG_TOKEN_ROOM] = "x";
    struct stat st;
    hg_err e = {0};
    hg_server *s = guarded(fake_new(), dir);

    CHECK_OK(hg_server_first_token(s, secret, &e), e);
    CHECK_EQ(strlen(secret), 43);
    CHECK(strncmp(secret, "hg_", 3) == 0);
    for (size_t i = 0; i < 4; i++) CHECK_EQ(raw_status(get(s, "/v1/models", ways[i], secret)), 200);
    CHECK_OK(hg_server_first_token(s, again, &e), e);
    CHECK_STR(again, "");
    hg_server_free(s);
    s = guarded(fake_new(), dir);
    CHECK_OK(hg_server_first_token(s, again, &e), e);
    CHECK_STR(again, "");
    CHECK_EQ(raw_status(get(s, "/v1/models", ways[0], secret)), 200);
    hg_server_free(s);
    CHECK_EQ(stat(dir, &st), 0);
    CHECK_EQ(st.st_mode & 0777, 0700);
}

TEST(nothing_but_health_and_the_page_is_there_without_a_token)
{
    static const char *const open_paths[] = {"/health", "/ready", "/"};
    static const char *const closed[] = {"/v1/models", "/api/tags", "/nothing", "/v1beta/models",
                                         "/metrics"};
    hg_server *s = guarded(fake_new(), NULL);
    char *a;

    for (size_t i = 0; i < 3; i++) CHECK_EQ(raw_status(get(s, open_paths[i], "", "")), 200);
    for (size_t i = 0; i < 5; i++) {
        a = get(s, closed[i], "", "");
        CHECK_EQ(raw_status(a), 401);
        CHECK_HAS(a, "this server asks for a token: Authorization: Bearer TOKEN (higgins token add "
                     "NAME makes one)");
    }
    a = get(s, "/v1/models", "Authorization: Bearer ", "hg_wrong");
    CHECK_EQ(raw_status(a), 401);
    CHECK_HAS(a, "the token is not one of this server's");
    hg_server_free(s);
}

TEST(tokens_come_and_go_while_the_server_runs)
{
    const char *dir = test_path("data");
    char secret[HG_TOKEN_ROOM];
    hg_err e = {0};
    hg_server *s = guarded(fake_new(), dir);

    CHECK_OK(hg_tokens_add(dir, "anna", HG_MAY_RUN, 0, secret, &e), e);
    CHECK_EQ(raw_status(get(s, "/v1/models", "Authorization: Bearer ", secret)), 200);
    CHECK_OK(hg_tokens_revoke(dir, "anna", &e), e);
    CHECK_EQ(raw_status(get(s, "/v1/models", "Authorization: Bearer ", secret)), 401);
    hg_server_free(s);
}

TEST(a_token_without_the_scope_is_refused)
{
    const char *dir = test_path("data");
    char secret[HG_TOKEN_ROOM];
    hg_err e = {0};
    hg_server *s = guarded(fake_new(), dir);

    CHECK_OK(hg_tokens_add(dir, "figures", HG_MAY_METRICS, 0, secret, &e), e);
    char *a = get(s, "/v1/models", "Authorization: Bearer ", secret);
    CHECK_EQ(raw_status(a), 403);
    CHECK_HAS(a, "the token figures may not do this; it needs the scope run");
    a = get(s, "/metrics", "Authorization: Bearer ", secret);
    CHECK_EQ(raw_status(a), 200);
    CHECK_HAS(a, "text/plain; version=0.0.4");
    CHECK_HAS(a, "# TYPE higgins_open_requests gauge\nhiggins_open_requests 1\n");
    CHECK_OK(hg_tokens_add(dir, "anna", HG_MAY_RUN, 0, secret, &e), e);
    a = get(s, "/metrics", "Authorization: Bearer ", secret);
    CHECK_EQ(raw_status(a), 403);
    CHECK_HAS(a, "the token anna may not do this; it needs the scope metrics");
    hg_server_free(s);
}

/* Two a minute, ten others a minute. */
TEST(a_token_over_its_rate_waits)
{
    const char *dir = test_path("data");
    char secret[HG_TOKEN_ROOM];
    hg_err e = {0};
    hg_server *s = guarded(fake_new(), dir);
    char *a = NULL;

    CHECK_OK(hg_tokens_add(dir, "slow", HG_MAY_RUN, 2, secret, &e), e);
    for (int i = 0; i < 10; i++) {
        a = get(s, "/v1/models", "Authorization: Bearer ", secret);
        CHECK_EQ(raw_status(a), 200);
    }
    CHECK_HAS(a, "ratelimit-remaining: 0");
    a = get(s, "/v1/models", "Authorization: Bearer ", secret);
    CHECK_EQ(raw_status(a), 429);
    CHECK_HAS(a, "Request was throttled. Your rate limit resets in ~");
    CHECK_HAS(a, "Retry-After: 6");
    CHECK_HAS(a, "\"type\":\"rate_limit_error\"");
    hg_server_free(s);
}

TEST(the_store_has_digests_alone)
{
    const char *dir = test_path("data");
    char secret[HG_TOKEN_ROOM], path[4096];
    static char bytes[1 << 20];
    hg_err e = {0};

    CHECK_OK(hg_tokens_add(dir, "anna", HG_MAY_RUN, 0, secret, &e), e);
    (void)snprintf(path, sizeof path, "%s/higgins.db", dir);
    FILE *f = fopen(path, "rb");
    CHECK(f != NULL);
    const size_t n = fread(bytes, 1, sizeof bytes, f);
    CHECK_EQ(fclose(f), 0);
    CHECK(n > 0 && memmem(bytes, n, "anna", 4) != NULL);
    CHECK(memmem(bytes, n, secret + 3, 20) == NULL);
}

static void count_tokens(void *ctx, const hg_token_card *t)
{
    ++*(int *)ctx;
    CHECK_STR(t->name, "anna");
    CHECK_EQ(t->rate, 5);
    CHECK_EQ(t->used, 0);
}

TEST(tokens_are_listed_and_wrong_names_refused)
{
    const char *dir = test_path("data");
    char secret[HG_TOKEN_ROOM];
    hg_err e = {0};
    int n = 0;

    CHECK_OK(hg_tokens_add(dir, "anna", HG_MAY_RUN, 5, secret, &e), e);
    CHECK_OK(hg_tokens_list(dir, count_tokens, &n, &e), e);
    CHECK_EQ(n, 1);
    CHECK_EQ(hg_tokens_add(dir, "anna", HG_MAY_RUN, 5, secret, &e), HG_E_STATE);
    CHECK_STR(e.msg, "there is a token anna; revoke it, or take another name");
    CHECK_STR(secret, "");
    CHECK_EQ(hg_tokens_add(dir, "an na", HG_MAY_RUN, 5, secret, &e), HG_E_ARG);
    CHECK_STR(e.msg, "\"an na\" cannot name a token; use 1 to 63 letters, digits and - . _");
    CHECK_EQ(hg_tokens_revoke(dir, "otto", &e), HG_E_MISSING);
    CHECK_STR(e.msg, "there is no token otto; higgins token list shows them");
}

TEST(a_folder_has_one_server)
{
    const char *dir = test_path("data");
    hg_server_options o;
    hg_server *s = guarded(fake_new(), dir), *other = NULL;
    hg_err e = {0};

    hg_server_options_init(&o);
    o.data_dir = dir;
    CHECK_EQ(hg_server_new(&other, &o, &e), HG_E_STATE);
    CHECK_HAS(e.msg, "another server uses ");
    CHECK_HAS(e.msg, "give this one a folder of its own (--data)");
    CHECK(other == NULL);
    hg_server_free(s);
    CHECK_OK(hg_server_new(&other, &o, &e), e);
    hg_server_free(other);
}
