/* Requests that the server makes of itself: handled as others are, answered to a callback, once. */
#include "fake.h"
#include "harness/test.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct heard {
    atomic_int n_done, n_parts;
    int status;
    char type[64], body[4096], parts[4096];
} heard;

static void on_part(void *ctx, hg_bytes part)
{
    heard *h = ctx;

    (void)strncat(h->parts, part.p, part.n);
    (void)atomic_fetch_add(&h->n_parts, 1);
}

static void on_done(void *ctx, int status, const char *type, hg_bytes body)
{
    heard *h = ctx;

    h->status = status;
    (void)snprintf(h->type, sizeof h->type, "%s", type != NULL ? type : "");
    (void)snprintf(h->body, sizeof h->body, "%.*s", (int)body.n, body.p);
    (void)atomic_fetch_add(&h->n_done, 1);
}

static bool reached(const atomic_int *n, int want)
{
    for (double until = hg_seconds() + 5; hg_seconds() < until; usleep(1000))
        if (atomic_load(n) >= want) return true;
    return false;
}

static hg_exchange *ask(hg_server *s, heard *h, const char *path, const char *json, bool in_parts)
{
    const hg_inside q = {.method = json != NULL ? "POST" : "GET",
                         .path = path,
                         .owner = "anna",
                         .body = {json != NULL ? json : "", json != NULL ? strlen(json) : 0},
                         .on_part = in_parts ? on_part : NULL,
                         .on_done = on_done,
                         .ctx = h};
    hg_exchange *x = NULL;
    hg_err e = {0};

    CHECK_OK(hg_server_ask(s, &q, &x, &e), e);
    return x;
}

#define CHAT "/v1/chat/completions"
#define SAY(text, more) \
    "{\"model\":\"parrot\",\"messages\":[{\"role\":\"user\",\"content\":\"" text "\"}]" more "}"

TEST(a_request_from_within_gets_what_a_client_gets)
{
    hg_server *s = fake_server(fake_new(), NULL);
    heard h = {0}, miss = {0}, health = {0};

    hg_exchange_release(ask(s, &h, CHAT, SAY("hello", ""), false));
    CHECK(reached(&h.n_done, 1));
    CHECK_EQ(h.status, 200);
    CHECK_STR(h.type, "application/json");
    CHECK(strstr(h.body, "\"content\":\"hello\"") != NULL);
    hg_exchange_release(ask(s, &miss, CHAT, "{\"model\":\"none\",\"messages\":[]}", false));
    CHECK(reached(&miss.n_done, 1));
    CHECK_EQ(miss.status, 400);
    hg_exchange_release(ask(s, &health, "/health", NULL, false));
    CHECK(reached(&health.n_done, 1));
    CHECK_STR(health.body, "{\"status\":\"ok\"}\n");
    hg_server_free(s);
}

TEST(a_stream_from_within_comes_in_parts_or_whole)
{
    hg_server *s = fake_server(fake_new(), NULL);
    heard parts = {0}, whole = {0};

    hg_exchange_release(ask(s, &parts, CHAT, SAY("abc", ",\"stream\":true"), true));
    hg_exchange_release(ask(s, &whole, CHAT, SAY("abc", ",\"stream\":true"), false));
    CHECK(reached(&parts.n_done, 1) && reached(&whole.n_done, 1));
    CHECK_EQ(parts.status, 200);
    CHECK(parts.n_parts >= 4);
    CHECK_STR(parts.body, "");
    CHECK(strstr(parts.parts, "data: [DONE]\n\n") != NULL);
    CHECK_EQ(whole.n_parts, 0);
    CHECK(strstr(whole.body, "data: [DONE]\n\n") != NULL);
    CHECK(strncmp(whole.type, "text/event-stream", 17) == 0);
    hg_server_free(s);
}

TEST(a_canceled_request_from_within_ends_once_and_stops_its_work)
{
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    heard h = {0};
    hg_exchange *x = ask(s, &h, CHAT, SAY("FOREVER", ",\"stream\":true"), true);

    CHECK(reached(&h.n_parts, 3));
    hg_exchange_cancel(x);
    hg_exchange_cancel(x);
    CHECK_EQ(h.n_done, 1);
    CHECK_EQ(h.status, 0);
    hg_exchange_release(x);
    for (int i = 0; i < 2000 && fake_running(f) > 0; i++) usleep(1000);
    CHECK_EQ(fake_running(f), 0);
    CHECK_EQ(fake_canceled(f), 1);
    CHECK_EQ(h.n_done, 1);
    hg_server_free(s);
}

TEST(a_server_that_stops_ends_what_it_asks_of_itself)
{
    hg_server *s = fake_server(fake_new(), NULL);
    heard h[20] = {0};

    for (int i = 0; i < 20; i++)
        hg_exchange_release(ask(s, &h[i], CHAT, SAY("FOREVER", ""), false));
    hg_server_free(s);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(h[i].n_done, 1);
        CHECK(h[i].status == 0 || h[i].status == 503);
    }
}

TEST(a_server_that_has_not_started_asks_nothing)
{
    hg_server_options o;
    hg_server *s = NULL;
    hg_err e = {0};
    const hg_inside q = {.method = "GET", .path = "/health", .owner = "a", .on_done = on_done};

    hg_server_options_init(&o);
    CHECK_OK(hg_server_new(&s, &o, &e), e);
    CHECK_EQ(hg_server_ask(s, &q, NULL, &e), HG_E_STATE);
    CHECK_STR(e.msg, "the server has not started");
    hg_server_free(s);
}
