/* Answers that are kept: for their owner, for their time, so many; and their events. */
#include "fake.h"
#include "harness/test.h"
#include "serve/turns.h"
#include "serve/openai/kept.h"
#include "serve/replicate/replicate.h"

#include <pthread.h>
#include <stdio.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static hg_bytes text(const char *s)
{
    return (hg_bytes){s, strlen(s)};
}

static void put(hg_keeper *k, const char *owner, const char *id)
{
    char body[64];
    hg_err e = {0};

    (void)snprintf(body, sizeof body, "{\"id\":\"%s\"}", id);
    const hg_kept_card c = {.id = id,
                            .owner = owner,
                            .model = "m",
                            .status = "completed",
                            .kind = HG_KEPT_RESPONSE,
                            .created = 5,
                            .body = text(body),
                            .input = text("[]"),
                            .talk = text("[1]")};
    CHECK_OK(hg_keeper_put(k, &c, &e), e);
}

/* 200, or what it is refused with. */
static int get(hg_keeper *k, const char *owner, const char *id)
{
    hg_kept_card c;
    hg_problem p;
    hg_arena mem;

    hg_arena_init(&mem, 4096);
    const bool ok = hg_keeper_get(k, owner, HG_KEPT_RESPONSE, id, &mem, &c, &p);
    if (ok) CHECK(c.talk.n == 3 && memcmp(c.talk.p, "[1]", 3) == 0 && c.created == 5);
    hg_arena_free(&mem);
    return ok ? 200 : p.status;
}

static int64_t count_kept(hg_server *s)
{
    hg_query q;
    hg_err e = {0};

    hg_query_open(&q, hg_server_store(s), "SELECT count(*) FROM kept");
    CHECK(hg_query_row(&q));
    const int64_t n = hg_column_int(&q, 0);
    CHECK_OK(hg_query_close(&q, &e), e);
    return n;
}

TEST(a_kept_answer_is_there_for_its_owner_alone)
{
    hg_server *s = fake_server(fake_new(), NULL);
    hg_keeper *k = hg_server_keeper(s);
    hg_problem p;

    put(k, "anna", "resp_1");
    CHECK_EQ(get(k, "anna", "resp_1"), 200);
    CHECK_EQ(get(k, "bert", "resp_1"), 404);
    CHECK(!hg_keeper_delete(k, "bert", HG_KEPT_RESPONSE, "resp_1", &p));
    CHECK_STR(p.msg, "no response \"resp_1\" is kept");
    CHECK(!hg_keeper_delete(k, "anna", HG_KEPT_CHAT, "resp_1", &p));
    CHECK(hg_keeper_delete(k, "anna", HG_KEPT_RESPONSE, "resp_1", &p));
    CHECK_EQ(get(k, "anna", "resp_1"), 404);
    hg_server_free(s);
}

TEST(a_kept_answer_has_its_days)
{
    hg_server *s = fake_server(fake_new(), NULL);
    hg_keeper *k = hg_server_keeper(s);

    put(k, "anna", "resp_1");
    hg_keeper_set_days(k, 0);
    put(k, "anna", "resp_2");
    CHECK_EQ(get(k, "anna", "resp_1"), 200);
    CHECK_EQ(get(k, "anna", "resp_2"), 404);
    hg_keeper_expire(k);
    CHECK_EQ(count_kept(s), 1);
    hg_server_free(s);
}

TEST(the_oldest_of_an_owner_make_room)
{
    hg_server *s = fake_server(fake_new(), NULL);
    hg_keeper *k = hg_server_keeper(s);
    char id[32];

    put(k, "bert", "resp_b");
    for (int i = 0; i < HG_KEPT_MAX + 2; i++) {
        (void)snprintf(id, sizeof id, "resp_%d", i);
        put(k, "anna", id);
    }
    CHECK_EQ(get(k, "anna", "resp_0"), 404);
    CHECK_EQ(get(k, "anna", "resp_1"), 404);
    CHECK_EQ(get(k, "anna", "resp_2"), 200);
    CHECK_EQ(get(k, "bert", "resp_b"), 200);
    hg_server_free(s);
}

/* Of so many bytes, as status says; HG_OK or the refusal. */
static hg_status put_large(hg_keeper *k, const char *owner, const char *id, const char *status,
                           size_t n, hg_err *e)
{
    char *body = hg_alloc(n, 1);

    memset(body, 'x', n);
    const hg_kept_card c = {.id = id,
                            .owner = owner,
                            .model = "m",
                            .status = status,
                            .kind = HG_KEPT_RESPONSE,
                            .is_background = true,
                            .created = 5,
                            .body = {body, n},
                            .talk = text("[1]")};
    const hg_status s = hg_keeper_put(k, &c, e);
    hg_free(body);
    return s;
}

static void finish_large(hg_keeper *k, const char *owner, const char *id, size_t n)
{
    hg_err e = {0};

    CHECK_OK(put_large(k, owner, id, "queued", 1, &e), e);
    CHECK_OK(put_large(k, owner, id, "completed", n, &e), e);
}

TEST(the_oldest_that_have_ended_make_room_for_bytes)
{
    hg_server *s = fake_server(fake_new(), NULL);
    hg_keeper *k = hg_server_keeper(s);
    hg_problem p;
    hg_err e = {0};

    hg_keeper_set_bytes(k, 1 << 20);
    finish_large(k, "bert", "resp_b", 500000);
    CHECK_OK(put_large(k, "anna", "resp_0", "queued", 200000, &e), e);
    finish_large(k, "anna", "resp_1", 300000);
    finish_large(k, "anna", "resp_2", 300000);
    finish_large(k, "anna", "resp_3", 100000);
    CHECK_EQ(get(k, "anna", "resp_1"), 200);
    finish_large(k, "anna", "resp_4", 300000);
    CHECK_EQ(get(k, "anna", "resp_0"), 200); /* has not ended */
    CHECK_EQ(get(k, "anna", "resp_1"), 404);
    CHECK_EQ(get(k, "anna", "resp_2"), 200);
    CHECK_EQ(get(k, "bert", "resp_b"), 200);
    /* What was deleted takes no room. */
    CHECK(hg_keeper_delete(k, "anna", HG_KEPT_RESPONSE, "resp_2", &p));
    finish_large(k, "anna", "resp_5", 300000);
    CHECK_EQ(get(k, "anna", "resp_3"), 200);
    /* Nor does what is refused, for it would not fit beside what is being made. */
    CHECK_EQ(put_large(k, "anna", "resp_6", "queued", 900000, &e), HG_E_LIMIT);
    CHECK_HAS(e.msg, "the 1 MiB that are kept for one owner");
    CHECK_EQ(get(k, "anna", "resp_6"), 404);
    CHECK_EQ(get(k, "anna", "resp_3"), 200);
    hg_server_free(s);
}

static int count_large(hg_keeper *k, int n)
{
    char id[32];
    int there = 0;

    for (int i = 0; i < n; i++) {
        (void)snprintf(id, sizeof id, "resp_%d", i);
        there += get(k, "anna", id) == 200;
    }
    return there;
}

TEST(what_a_lowered_limit_is_over_goes_by_and_by)
{
    enum { MANY = 50 };
    hg_server *s = fake_server(fake_new(), NULL);
    hg_keeper *k = hg_server_keeper(s);
    char id[32];

    for (int i = 0; i < MANY; i++) {
        (void)snprintf(id, sizeof id, "resp_%d", i);
        finish_large(k, "anna", id, 100000);
    }
    hg_keeper_set_bytes(k, 1 << 20);
    CHECK_EQ(count_large(k, MANY), MANY);
    finish_large(k, "anna", "resp_next", 10000); /* put twice: as queued, and when it has ended */
    CHECK_EQ(count_large(k, MANY), MANY - 32);
    finish_large(k, "anna", "resp_large", 600000);
    CHECK_EQ(get(k, "anna", "resp_large"), 200);
    CHECK(count_large(k, MANY) <= 4);
    hg_server_free(s);
}

static int64_t store_size(void)
{
    struct stat st;

    CHECK_EQ(stat(test_path("data/higgins.db"), &st), 0);
    return st.st_size;
}

TEST(the_disk_has_the_room_of_what_was_deleted_again)
{
    hg_server_options o;
    hg_server *s = NULL;
    hg_problem p;
    hg_err e = {0};
    char id[32];

    hg_server_options_init(&o);
    o.port = 0;
    o.data_dir = test_path("data");
    CHECK_OK(hg_server_new(&s, &o, &e), e);
    fake_add(fake_new(), s, "parrot", 256);
    CHECK_OK(hg_server_start_with(s, NULL, &e), e);
    hg_keeper *k = hg_server_keeper(s);
    hg_predictions *all = hg_server_replicate(s)->predictions;
    for (int i = 0; i < 8; i++) {
        (void)snprintf(id, sizeof id, "resp_%d", i);
        finish_large(k, "anna", id, 1 << 20);
    }
    hg_predictions_tend(all);
    CHECK_OK(hg_store_settle(hg_server_store(s), &e), e);
    CHECK(store_size() > 8 << 20);
    for (int i = 0; i < 8; i++) {
        (void)snprintf(id, sizeof id, "resp_%d", i);
        CHECK(hg_keeper_delete(k, "anna", HG_KEPT_RESPONSE, id, &p));
    }
    hg_predictions_tend(all);
    CHECK(store_size() < 4 << 20);
    hg_server_free(s);
}

typedef struct listing {
    hg_server *s;
    atomic_bool has_counted;
    int n;
    char bodies[256];
} listing;

static void *count_beside(void *ctx)
{
    listing *l = ctx;

    (void)count_kept(l->s);
    atomic_store(&l->has_counted, true);
    return NULL;
}

/* Another asks the store while the first body is looked at. */
static bool on_body(void *ctx, hg_bytes body)
{
    listing *l = ctx;
    pthread_t t;

    (void)snprintf(l->bodies + strlen(l->bodies), sizeof l->bodies - strlen(l->bodies), "%.*s",
                   (int)body.n, body.p);
    if (l->n++ == 0) {
        CHECK_EQ(pthread_create(&t, NULL, count_beside, l), 0);
        CHECK_EQ(pthread_detach(t), 0);
        for (int i = 0; i < 5000 && !atomic_load(&l->has_counted); i++) usleep(1000);
        CHECK(atomic_load(&l->has_counted));
    }
    return l->n < 3;
}

TEST(a_list_keeps_the_store_from_nobody)
{
    hg_server *s = fake_server(fake_new(), NULL);
    hg_keeper *k = hg_server_keeper(s);
    listing up = {.s = s}, down = {.s = s};
    hg_problem p;

    put(k, "anna", "a");
    put(k, "bert", "b");
    for (int i = 0; i < 4; i++) put(k, "anna", (const char *[]){"c", "d", "e", "f"}[i]);
    CHECK(hg_keeper_list(k, "anna", HG_KEPT_RESPONSE, "a", false, on_body, &up, &p));
    CHECK_STR(up.bodies, "{\"id\":\"c\"}{\"id\":\"d\"}{\"id\":\"e\"}");
    CHECK(hg_keeper_list(k, "anna", HG_KEPT_RESPONSE, "d", true, on_body, &down, &p));
    CHECK_STR(down.bodies, "{\"id\":\"c\"}{\"id\":\"a\"}");
    CHECK(!hg_keeper_list(k, "anna", HG_KEPT_RESPONSE, "b", true, on_body, &down, &p));
    CHECK_EQ(p.status, 404);
    hg_server_free(s);
}

TEST(events_are_counted_and_comments_are_not)
{
    const hg_bytes all = text("event: a\ndata: 0\n\n: ping\n\nevent: b\ndata: event: x\n\n"
                              "event: c\ndata: 2\n\n");

    CHECK_EQ(hg_events_behind(all, -1).n, all.n);
    CHECK(strncmp(hg_events_behind(all, 0).p, "event: b", 8) == 0);
    CHECK(strncmp(hg_events_behind(all, 1).p, "event: c", 8) == 0);
    CHECK_EQ(hg_events_behind(all, 2).n, 0);
    CHECK_EQ(hg_events_behind((hg_bytes){"", 0}, -1).n, 0);
}

#define LATER(text) "{\"model\":\"parrot\",\"input\":\"" text "\",\"background\":true}"

static const char *id_of(const char *answer, char out[64])
{
    const char *at = strstr(answer, "\"id\":\"resp_");

    CHECK(at != NULL);
    (void)snprintf(out, 64, "%.37s", at != NULL ? at + 6 : "");
    return out;
}

static char *on(hg_server *s, const char *method, const char *id, const char *tail)
{
    char request[1024];

    (void)snprintf(request, sizeof request,
                   "%s /v1/responses/%s%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", method, id, tail,
                   method[0] == 'P' ? "Content-Length: 0\r\n" : "");
    return raw_ask(s, request);
}

TEST(what_waits_in_the_background_is_canceled_before_it_begins_and_while_it_runs)
{
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    char id[8][64];

    for (int i = 0; i < 8; i++) (void)id_of(raw_post(s, "/v1/responses", LATER("FOREVER")), id[i]);
    for (int i = 7; i >= 0; i--) {
        const char *a = on(s, "POST", id[i], "/cancel");
        CHECK_EQ(raw_status(a), 200);
        CHECK(strstr(a, "\"status\":\"cancelled\"") != NULL);
    }
    CHECK(strstr(on(s, "GET", id[0], ""), "\"status\":\"cancelled\"") != NULL);
    hg_server_free(s);
}

TEST(what_does_not_fit_the_context_is_refused_before_it_is_kept)
{
    hg_server *s = fake_server(fake_new(), NULL);
    char body[1024], word[300];

    memset(word, 'x', sizeof word);
    (void)snprintf(body, sizeof body,
                   "{\"model\":\"parrot\",\"input\":\"%.299s\",\"background\":true}", word);
    const char *a = raw_post(s, "/v1/responses", body);
    CHECK_EQ(raw_status(a), 400);
    CHECK_HAS(a, "\"code\":\"context_length_exceeded\"");
    CHECK_HAS(a, "\"param\":\"input\"");
    CHECK_EQ(count_kept(s), 0);
    hg_server_free(s);
}

TEST(a_failure_in_the_background_is_told_by_the_response)
{
    hg_server *s = fake_server(fake_new(), NULL);
    const char *a = raw_post(s, "/v1/responses", LATER("FAIL"));
    char id[64];

    CHECK_EQ(raw_status(a), 200);
    (void)id_of(a, id);
    for (int i = 0; i < 500 && strstr(a, "\"status\":\"failed\"") == NULL; i++) {
        usleep(10000);
        a = on(s, "GET", id, "");
    }
    CHECK_HAS(a, "the fake model broke");
    a = on(s, "GET", id, "?stream=true");
    CHECK_HAS(a, "event: response.queued\n");
    CHECK_HAS(a, "event: response.failed\n");
    hg_server_free(s);
}

/* ---- what ends while it is asked for ---- */
bool __real_hg_background_runs(hg_keeper *k, const char *owner, const char *id, bool *is_begun);
bool __wrap_hg_background_runs(hg_keeper *k, const char *owner, const char *id, bool *is_begun);
bool __real_hg_background_cancel(hg_keeper *k, const char *owner, const char *id);
bool __wrap_hg_background_cancel(hg_keeper *k, const char *owner, const char *id);
hg_status __real_hg_keeper_put(hg_keeper *k, const hg_kept_card *c, hg_err *e);
hg_status __wrap_hg_keeper_put(hg_keeper *k, const hg_kept_card *c, hg_err *e);

/* Between two who cancel one response the store is slow. */
hg_status __wrap_hg_keeper_put(hg_keeper *k, const hg_kept_card *c, hg_err *e)
{
    if (strcmp(c->status, "cancelled") == 0) usleep(20000);
    return __real_hg_keeper_put(k, c, e);
}

static atomic_bool ends_first; /* before anybody hears whether it runs, which he asks once he has
                                  read it */

static void let_it_end(hg_keeper *k, const char *owner, const char *id)
{
    bool is_begun;

    for (int i = 0; i < 5000 && atomic_load(&ends_first); i++) {
        if (!__real_hg_background_runs(k, owner, id, &is_begun)) return;
        usleep(1000);
    }
}

bool __wrap_hg_background_runs(hg_keeper *k, const char *owner, const char *id, bool *is_begun)
{
    let_it_end(k, owner, id);
    return __real_hg_background_runs(k, owner, id, is_begun);
}

bool __wrap_hg_background_cancel(hg_keeper *k, const char *owner, const char *id)
{
    let_it_end(k, owner, id);
    return __real_hg_background_cancel(k, owner, id);
}

TEST(a_response_that_ends_while_it_is_asked_for_is_told_as_it_ended)
{
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    char id[64];

    fake_set_delay(f, 50000);
    atomic_store(&ends_first, true);
    (void)id_of(raw_post(s, "/v1/responses", LATER("hello")), id);
    CHECK_HAS(on(s, "GET", id, ""), "\"status\":\"completed\"");
    (void)id_of(raw_post(s, "/v1/responses", LATER("hello")), id);
    CHECK_HAS(on(s, "POST", id, "/cancel"), "\"status\":\"completed\"");
    atomic_store(&ends_first, false);
    hg_server_free(s);
}

typedef struct canceler {
    hg_server *s;
    const char *id;
    bool ok;
} canceler;

static void *cancel(void *ctx)
{
    canceler *c = ctx;

    c->ok = strstr(on(c->s, "POST", c->id, "/cancel"), "\"status\":\"cancelled\"") != NULL;
    return NULL;
}

TEST(all_who_cancel_a_response_at_once_hear_of_its_end)
{
    hg_server *s = fake_server(fake_new(), NULL);
    char id[6][64];

    for (int i = 0; i < 6; i++) (void)id_of(raw_post(s, "/v1/responses", LATER("FOREVER")), id[i]);
    for (int i = 5; i >= 0; i--) {
        canceler c[4];
        pthread_t t[4];
        for (int k = 0; k < 4; k++) {
            c[k] = (canceler){s, id[i], false};
            CHECK_EQ(pthread_create(&t[k], NULL, cancel, &c[k]), 0);
        }
        for (int k = 0; k < 4; k++) (void)pthread_join(t[k], NULL);
        for (int k = 0; k < 4; k++) CHECK(c[k].ok);
    }
    hg_server_free(s);
}

/* ---- owners ---- */
typedef struct heard {
    atomic_bool is_done;
    char body[4096];
} heard;

static void on_heard(void *ctx, int status, const char *type, hg_bytes body)
{
    heard *h = ctx;

    (void)status;
    (void)type;
    (void)snprintf(h->body, sizeof h->body, "%.*s", (int)body.n, body.p);
    atomic_store(&h->is_done, true);
}

/* What the owner's request is answered. */
static void ask_as(hg_server *s, const char *owner, const char *method, const char *path,
                   const char *body, heard *h)
{
    const char *fields[] = {"Content-Type", "application/json", NULL};
    const hg_inside q = {.method = method,
                         .path = path,
                         .owner = owner,
                         .fields = fields,
                         .body = {body, strlen(body)},
                         .on_done = on_heard,
                         .ctx = h};
    hg_exchange *x = NULL;
    hg_err e = {0};

    memset(h, 0, sizeof *h);
    CHECK_OK(hg_server_ask(s, &q, &x, &e), e);
    for (int i = 0; i < 5000 && !atomic_load(&h->is_done); i++) usleep(1000);
    CHECK(atomic_load(&h->is_done));
    hg_exchange_release(x);
}

static bool is_begun(hg_server *s, const char *owner, const char *id)
{
    char path[128];
    heard h;

    (void)snprintf(path, sizeof path, "/v1/responses/%s", id);
    ask_as(s, owner, "GET", path, "", &h);
    return strstr(h.body, "\"status\":\"in_progress\"") != NULL;
}

TEST(owners_take_turns_in_the_background)
{
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    const uint32_t parallel = hg_server_get_options(s)->parallel;
    char first[64], his[64], path[128];
    heard h;

    for (uint32_t i = 0; i < 2 * parallel; i++) {
        ask_as(s, "anna", "POST", "/v1/responses", LATER("FOREVER"), &h);
        if (i == 0) (void)id_of(h.body, first);
    }
    ask_as(s, "bert", "POST", "/v1/responses", LATER("FOREVER"), &h);
    (void)id_of(h.body, his);
    CHECK(!is_begun(s, "bert", his));
    (void)snprintf(path, sizeof path, "/v1/responses/%s/cancel", first);
    ask_as(s, "anna", "POST", path, "", &h);
    for (int i = 0; i < 500 && !is_begun(s, "bert", his); i++) usleep(10000);
    CHECK(is_begun(s, "bert", his));
    hg_server_free(s);
}

/* ---- how many ---- */
typedef struct start {
    hg_keeper *keeper;
    int i;
    bool is_taken;
    hg_problem p;
    pthread_t thread;
} start;

static void *start_one(void *ctx)
{
    start *t = ctx;
    char id[32];
    const hg_kept_card queued = {.id = id,
                                 .owner = "anna",
                                 .model = "parrot",
                                 .status = "queued",
                                 .is_background = true,
                                 .created = 5,
                                 .body = text("{}"),
                                 .input = text("[]"),
                                 .talk = text("[]")};

    (void)snprintf(id, sizeof id, "resp_%d", t->i);
    t->is_taken = hg_background_start(t->keeper, &queued, text(LATER("FOREVER")), NULL, &t->p);
    return NULL;
}

TEST(an_owner_has_so_many_in_the_background_however_they_come)
{
    enum { MOST = 192, AT_ONCE = 4 };
    hg_server *s = fake_server(fake_new(), NULL);
    start t[MOST + AT_ONCE] = {0};
    int n = 0;
    hg_err e = {0};

    for (int i = 0; i < MOST + AT_ONCE; i++) t[i] = (start){.keeper = hg_server_keeper(s), .i = i};
    for (int i = 0; i < MOST - 1; i++) {
        (void)start_one(&t[i]);
        CHECK(t[i].is_taken);
    }
    /* All are counted before one is kept. */
    CHECK_OK(hg_store_begin(hg_server_store(s), &e), e);
    for (int i = MOST - 1; i < MOST + AT_ONCE; i++)
        CHECK(pthread_create(&t[i].thread, NULL, start_one, &t[i]) == 0);
    usleep(300000);
    CHECK_OK(hg_store_end(hg_server_store(s), HG_OK, &e), e);
    for (int i = MOST - 1; i < MOST + AT_ONCE; i++) {
        CHECK(pthread_join(t[i].thread, NULL) == 0);
        n += t[i].is_taken;
        if (!t[i].is_taken)
            CHECK_STR(t[i].p.msg, "192 of your responses are being made in the background; wait "
                                  "for one, or cancel it");
    }
    CHECK_EQ(n, 1);
    hg_server_free(s);
}

TEST(whoever_had_a_turn_longest_ago_is_next)
{
    static hg_turns t;

    CHECK_EQ(hg_turns_last(&t, 7), 0);
    hg_turns_take(&t, 7);
    hg_turns_take(&t, 8);
    CHECK(hg_turns_last(&t, 7) > 0 && hg_turns_last(&t, 7) < hg_turns_last(&t, 8));
    hg_turns_take(&t, 7);
    CHECK(hg_turns_last(&t, 7) > hg_turns_last(&t, 8));
    for (uint64_t k = 100; k < 100 + HG_TURNS; k++) hg_turns_take(&t, k);
    CHECK_EQ(hg_turns_last(&t, 8), 0);
    CHECK(hg_turns_last(&t, 100) > 0);
}

TEST(of_many_that_always_wait_each_has_its_turn)
{
    enum { MANY = 100 };
    static hg_turns t;
    unsigned had[MANY] = {0};

    for (int turn = 0; turn < 10 * MANY; turn++) {
        uint64_t next = 0;
        for (uint64_t k = 1; k < MANY; k++)
            if (hg_turns_last(&t, k) < hg_turns_last(&t, next)) next = k;
        hg_turns_take(&t, next);
        had[next]++;
    }
    for (int k = 0; k < MANY; k++) CHECK_EQ(had[k], 10);
}

TEST(a_stop_fails_what_is_made_in_the_background)
{
    const char *dir = test_path("data");
    hg_server_options o;
    hg_server *s = NULL;
    hg_err e = {0};
    char id[8][64];
    int n_stopped = 0, n_restarted = 0;

    hg_server_options_init(&o);
    o.port = 0;
    o.data_dir = dir;
    for (int round = 0; round < 2; round++) {
        CHECK_OK(hg_server_new(&s, &o, &e), e);
        fake_add(fake_new(), s, "parrot", 256);
        CHECK_OK(hg_server_start_with(s, NULL, &e), e);
        for (int i = 0; i < 8; i++) {
            if (round == 0) {
                (void)id_of(raw_post(s, "/v1/responses", LATER("FOREVER")), id[i]);
                continue;
            }
            const char *a = on(s, "GET", id[i], "");
            CHECK(strstr(a, "\"status\":\"failed\"") != NULL);
            n_stopped += strstr(a, "was stopped before") != NULL;
            n_restarted += strstr(a, "was restarted before") != NULL;
        }
        hg_server_free(s);
    }
    CHECK_EQ(n_stopped + n_restarted, 8);
    CHECK(n_stopped > 0 && n_restarted > 0);
}
