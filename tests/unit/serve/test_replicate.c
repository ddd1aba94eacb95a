/* Predictions below the routes: what streams are told, what the store gives back, what a restart
 * makes of what was left. */
#include "base/file.h"
#include "fake.h"
#include "fetch/fetch.h"
#include "harness/test.h"
#include "serve/replicate/input.h"
#include "serve/replicate/replicate.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

TEST(webhooks_are_signed_as_the_specification_says)
{
    char out[HG_WEBHOOK_SIGNATURE_ROOM];
    const hg_bytes body = {"{\"test\": 2432232314}", 20};
    CHECK(hg_webhook_sign(out, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                          "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body));
    CHECK_STR(out, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    CHECK(!hg_webhook_sign(out, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "m", 1, body));
    CHECK(!hg_webhook_sign(out, "whsec_!", "m", 1, body));
}

TEST(stop_sequences_are_cut_at_commas)
{
    const char *out[HG_MAX_STOP];
    hg_arena mem;
    hg_arena_init(&mem, 0);
    CHECK_EQ(hg_input_stops((hg_bytes){"", 0}, out, &mem), 0);
    CHECK_EQ(hg_input_stops((hg_bytes){",a,,b c,\n", 9}, out, &mem), 3);
    CHECK_STR(out[0], "a");
    CHECK_STR(out[1], "b c");
    CHECK_STR(out[2], "\n");
    CHECK_EQ(hg_input_stops((hg_bytes){"1,2,3,4,5,6,7,8,9,a,b,c,d,e,f,g,h", 33}, out, &mem),
             HG_MAX_STOP);
    hg_arena_free(&mem);
}

static void add(hg_prediction *p, const char *text)
{
    hg_prediction_say(p, (hg_bytes){text, strlen(text)});
}

TEST(no_piece_of_output_looks_like_something_to_fetch)
{
    hg_prediction *p = hg_prediction_new(NULL);
    hg_buf b = {0};
    add(p, "https://a");
    add(p, "data:,x");
    add(p, "see https:");
    add(p, "");
    hg_prediction_put_events(&b, p);
    CHECK_STR(b.p, "[[\"o\",\"h\"],[\"o\",\"ttps://a\"],[\"o\",\"d\"],[\"o\",\"ata:,x\"],"
                   "[\"o\",\"see https:\"]]");
    hg_prediction *q = hg_prediction_new(NULL);
    hg_buf again = {0};
    CHECK(hg_prediction_read_events(q, b.p));
    hg_prediction_put_events(&again, q);
    CHECK_STR(again.p, b.p);
    CHECK(!hg_prediction_read_events(q, "[["));
    hg_buf_free(&b);
    hg_buf_free(&again);
    hg_prediction_release(p);
    hg_prediction_release(q);
}

static hg_server *server_on(fake *f, const char *dir)
{
    hg_server_options o;
    hg_server *s;
    hg_err e = {0};
    hg_server_options_init(&o);
    o.port = 0;
    o.data_dir = dir;
    CHECK_OK(hg_server_new(&s, &o, &e), e);
    fake_add(f, s, "parrot", 256);
    return s;
}

static char *ask(const hg_server *s, const char *method, const char *path, const char *more)
{
    char text[1024];
    (void)snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", method, path,
                   more);
    return raw_ask(s, text);
}

static void id_of(const char *answer, char id[27])
{
    const char *at = strstr(answer, "{\"id\":\"");
    (void)snprintf(id, 27, "%.26s", at != NULL ? at + 7 : "");
    CHECK_EQ(strlen(id), 26);
}

static char *wait_for(const hg_server *s, const char *id, const char *status)
{
    char path[64], want[64], *a = NULL;
    (void)snprintf(path, sizeof path, "/v1/predictions/%s", id);
    (void)snprintf(want, sizeof want, "\"status\":\"%s\"", status);
    for (int i = 0; i < 400; i++) {
        a = ask(s, "GET", path, "");
        if (strstr(a, want) != NULL) return a;
        usleep(10000);
    }
    test_fail(__FILE__, __LINE__, "never %s: %s", status, a);
    return a;
}

TEST(what_had_not_begun_is_done_after_a_restart)
{
    char id[27], dir[512];
    hg_err e = {0};
    fake *f = fake_new();
    (void)snprintf(dir, sizeof dir, "%s", test_path("data"));
    hg_server *s = server_on(f, dir);
    CHECK_OK(hg_server_start(s, &e), e);
    /* The engine has no room for it, again and again. */
    char *a =
        raw_post(s, "/v1/models/local/parrot/predictions", "{\"input\":{\"prompt\":\"REFUSE\"}}");
    CHECK_EQ(raw_status(a), 201);
    id_of(a, id);
    hg_server_free(s);
    f = fake_new();
    s = server_on(f, dir);
    CHECK_OK(hg_server_start(s, &e), e);
    usleep(100000);
    char path[80];
    (void)snprintf(path, sizeof path, "/v1/predictions/%s/cancel", id);
    (void)ask(s, "POST", path, "Content-Length: 0\r\n");
    a = wait_for(s, id, "canceled");
    CHECK_HAS(a, "\"started_at\":null");
    hg_server_free(s);
}

TEST(what_ran_at_the_end_has_failed_and_says_why)
{
    char id[27], dir[512];
    hg_err e = {0};
    fake *f = fake_new();
    (void)snprintf(dir, sizeof dir, "%s", test_path("data"));
    hg_server *s = server_on(f, dir);
    CHECK_OK(hg_server_start(s, &e), e);
    char *a =
        raw_post(s, "/v1/models/local/parrot/predictions", "{\"input\":{\"prompt\":\"FOREVER\"}}");
    id_of(a, id);
    (void)wait_for(s, id, "processing");
    hg_server_free(s);
    f = fake_new();
    s = server_on(f, dir);
    CHECK_OK(hg_server_start(s, &e), e);
    a = wait_for(s, id, "failed");
    CHECK_HAS(a, "\"error\":\"the server was ended while the prediction ran\"");
    hg_server_free(s);
}

TEST(a_deadline_cancels_what_runs_and_aborts_what_has_not_begun)
{
    char id[27];
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    static const char *const prompt[] = {"FOREVER", "REFUSE"}, *const end[] = {"canceled",
                                                                               "aborted"};
    for (int i = 0; i < 2; i++) {
        char body[80], more[160];
        (void)snprintf(body, sizeof body, "{\"input\":{\"prompt\":\"%s\"}}", prompt[i]);
        (void)snprintf(more, sizeof more, "Cancel-After: 1s\r\nContent-Length: %zu\r\n\r\n%s",
                       strlen(body), body);
        char *a = ask(s, "POST", "/v1/models/local/parrot/predictions", more);
        CHECK_EQ(raw_status(a), 201);
        CHECK_HAS(a, "\"deadline\":\"2");
        id_of(a, id);
        (void)wait_for(s, id, end[i]);
    }
    hg_server_free(s);
}

TEST(an_error_of_the_model_is_an_error_of_the_prediction)
{
    char id[27];
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    char *a =
        raw_post(s, "/v1/models/local/parrot/predictions", "{\"input\":{\"prompt\":\"BREAK\"}}");
    id_of(a, id);
    a = wait_for(s, id, "failed");
    const char *stream = strstr(a, "/v1/streams/");
    char path[80];
    (void)snprintf(path, sizeof path, "%.64s", stream);
    a = ask(s, "GET", path, "");
    CHECK_HAS(a, "event: error\nid: ");
    CHECK_HAS(a, "event: done\nid: ");
    CHECK_HAS(a, "data: {\"reason\": \"error\"}");
    hg_server_free(s);
}

TEST(what_is_old_is_removed_and_says_so)
{
    hg_server_options o;
    hg_server *s;
    hg_err e = {0};
    fake *f = fake_new();
    char id[27];
    hg_server_options_init(&o);
    o.port = 0;
    o.retention_s = 1e-3;
    CHECK_OK(hg_server_new(&s, &o, &e), e);
    fake_add(f, s, "parrot", 256);
    CHECK_OK(hg_server_start(s, &e), e);
    char *a =
        raw_post(s, "/v1/models/local/parrot/predictions", "{\"input\":{\"prompt\":\"hello\"}}");
    id_of(a, id);
    a = wait_for(s, id, "succeeded");
    for (int i = 0; i < 200 && strstr(a, "\"data_removed\":true") == NULL; i++) {
        hg_predictions_sweep(hg_server_replicate(s)->predictions);
        usleep(10000);
        a = wait_for(s, id, "succeeded");
    }
    CHECK_HAS(a, "\"data_removed\":true");
    CHECK_HAS(a, "\"input\":{}");
    CHECK_HAS(a, "\"output\":null");
    hg_server_free(s);
}

/* What would be due in an hour is sent at once: the clock has been set back meanwhile. */
TEST(a_clock_that_is_set_back_holds_up_no_webhook)
{
    hg_err e = {0};
    hg_data *d;
    hg_webhooks *w;
    hg_query q;
    bool is_left = true;
    if (!hg_fetch_is_built()) test_skip("built without libcurl");
    CHECK_OK(hg_data_open(&d, NULL, true, &e), e);
    CHECK_OK(hg_webhooks_new(&w, d, true, &e), e);
    CHECK_OK(hg_webhooks_start(w, &e), e);
    hg_query_open(&q, hg_data_store(d),
                  "INSERT INTO webhooks (id, url, body, retries, tries, due) VALUES ('m', "
                  "'http://127.0.0.1:1/', x'7b7d', 0, 0, ?)");
    hg_query_int(&q, 1, hg_unix_ms() + 3600 * 1000);
    CHECK_OK(hg_query_close(&q, &e), e);
    for (int i = 0; i < 300 && is_left; i++) { /* tried once, in vain, and forgotten */
        usleep(10000);
        hg_query_open(&q, hg_data_store(d), "SELECT 1 FROM webhooks");
        is_left = hg_query_row(&q);
        CHECK_OK(hg_query_close(&q, &e), e);
    }
    CHECK(!is_left);
    hg_webhooks_free(w);
    hg_data_close(d);
}

static void run_sql(hg_server *s, const char *sql)
{
    hg_err e = {0};
    hg_query q;
    hg_query_open(&q, hg_server_store(s), sql);
    CHECK_OK(hg_query_close(&q, &e), e);
}

static int64_t count_webhooks(hg_server *s)
{
    hg_query q;
    hg_query_open(&q, hg_server_store(s), "SELECT count(*) FROM webhooks");
    const int64_t n = hg_query_row(&q) ? hg_column_int(&q, 0) : -1;
    (void)hg_query_close(&q, NULL);
    return n;
}

/* A store that takes no ends stands for a kill before one is kept. */
TEST(an_end_that_is_not_kept_is_told_to_nobody)
{
    char id[27], path[64];
    hg_server_options o;
    hg_server *s;
    hg_err e = {0};
    fake *f = fake_new();
    if (!hg_fetch_is_built()) test_skip("built without libcurl");
    hg_server_options_init(&o);
    o.port = 0;
    o.allows_private_urls = true;
    CHECK_OK(hg_server_new(&s, &o, &e), e);
    fake_add(f, s, "parrot", 256);
    run_sql(s, "CREATE TRIGGER no_end BEFORE UPDATE ON predictions WHEN NEW.completed > 0 BEGIN "
               "SELECT RAISE(ABORT, 'no'); END");
    CHECK_OK(hg_server_start(s, &e), e);
    id_of(raw_post(s, "/v1/models/local/parrot/predictions",
                   "{\"input\":{\"prompt\":\"Hello\"},\"webhook\":\"http://127.0.0.1:1/\"}"),
          id);
    usleep(400 * 1000);
    (void)snprintf(path, sizeof path, "/v1/predictions/%s", id);
    const char *a = ask(s, "GET", path, "");
    CHECK_HAS(a, "\"status\":\"processing\"");
    CHECK_HAS(a, "\"completed_at\":null");
    CHECK_HAS(ask(s, "GET", "/v1/predictions", ""), "\"status\":\"processing\"");
    run_sql(s, "DELETE FROM webhooks WHERE body NOT LIKE '%succeeded%'");
    CHECK_EQ(count_webhooks(s), 0);
    run_sql(s, "DROP TRIGGER no_end");
    (void)wait_for(s, id, "succeeded");
    CHECK_EQ(count_webhooks(s), 1);
    hg_server_free(s);
}
