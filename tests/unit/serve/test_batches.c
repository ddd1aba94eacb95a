/* Batches in the store and by the worker, against a model without weights. */
#include "fake.h"
#include "harness/test.h"
#include "base/clock.h"
#include "base/file.h"
#include "serve/batches/batches.h"
#include "serve/files/files.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static hg_batch_line line_of(const char *id, const char *body)
{
    return (hg_batch_line){{id, strlen(id)}, {body, strlen(body)}};
}

#define CHAT(text) \
    "{\"model\":\"parrot\",\"messages\":[{\"role\":\"user\",\"content\":\"" text "\"}]}"

/* One whose lines are given at once, with so many seconds to go. */
static void make(hg_server *s, const char *id, const hg_batch_line *lines, size_t n, int seconds)
{
    hg_batch b = {.vendor = HG_BATCH_ANTHROPIC,
                  .endpoint = "/v1/chat/completions",
                  .status = "in_progress",
                  .metadata = {"null", 4},
                  .created = hg_unix_time(),
                  .n_lines = (int64_t)n};
    char got[HG_BATCH_ID_ROOM];
    hg_problem p = {0};

    b.expires = b.created + seconds;
    (void)snprintf(b.id, sizeof b.id, "%s", id);
    (void)snprintf(b.owner, sizeof b.owner, "anna");
    CHECK(hg_batches_create(hg_server_batches(s), &b, lines, n, got, &p));
    CHECK_STR(p.msg, "");
    CHECK_STR(got, id);
}

static hg_batch get(hg_server *s, const char *id)
{
    hg_batch b = {0};
    hg_problem p;
    hg_arena mem;

    hg_arena_init(&mem, 4096);
    CHECK(hg_batches_get(hg_server_batches(s), "anna", HG_BATCH_ANTHROPIC, id, &mem, &b, &p));
    hg_arena_free(&mem);
    return b;
}

static hg_batch ended(hg_server *s, const char *id)
{
    for (double until = hg_seconds() + 20; hg_seconds() < until; usleep(5000))
        if (get(s, id).ended > 0) break;
    return get(s, id);
}

typedef struct tally {
    int n[6];
    char first[512];
} tally;

static void count(void *ctx, const hg_line_result *r)
{
    tally *t = ctx;

    t->n[r->state]++;
    if (t->first[0] == 0)
        (void)snprintf(t->first, sizeof t->first, "%.*s", (int)r->body.n, r->body.p);
}

static tally results(hg_server *s, int64_t n)
{
    tally t = {0};
    hg_problem p;

    CHECK(hg_batches_results(hg_server_batches(s), n, count, NULL, &t, &p));
    return t;
}

TEST(lines_are_answered_in_the_background)
{
    hg_server *s = fake_server(fake_new(), NULL);
    const hg_batch_line lines[] = {line_of("a", CHAT("hello")), line_of("b", CHAT("FAIL")),
                                   line_of("c", "{}")};

    make(s, "msgbatch_1", lines, 3, 3600);
    const hg_batch b = ended(s, "msgbatch_1");
    CHECK_STR(b.status, "completed");
    CHECK_EQ(b.n_done, 1);
    CHECK_EQ(b.n_failed, 2);
    CHECK(strstr(results(s, b.n).first, "\"content\":\"hello\"") != NULL);
    hg_server_free(s);
}

TEST(a_batch_out_of_time_expires_and_ends_what_runs)
{
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    const hg_batch_line lines[] = {line_of("a", CHAT("hello")), line_of("b", CHAT("FOREVER")),
                                   line_of("c", CHAT("FOREVER")), line_of("d", CHAT("FOREVER"))};

    make(s, "msgbatch_1", lines, 4, 2);
    const hg_batch b = ended(s, "msgbatch_1");
    CHECK_STR(b.status, "expired");
    const tally t = results(s, b.n);
    CHECK_EQ(t.n[HG_LINE_DONE], 1);
    CHECK_EQ(t.n[HG_LINE_EXPIRED], 3);
    for (int i = 0; i < 2000 && fake_running(f) > 0; i++) usleep(1000);
    CHECK_EQ(fake_running(f), 0);
    hg_server_free(s);
}

TEST(batches_share_the_room)
{
    hg_server *s = fake_server(fake_new(), NULL);
    hg_batch_line lines[40];
    char ids[40][16];

    for (int i = 0; i < 40; i++) {
        (void)snprintf(ids[i], sizeof ids[i], "n%d", i);
        lines[i] = line_of(ids[i], CHAT("a text that takes some time"));
    }
    make(s, "msgbatch_1", lines, 40, 3600);
    make(s, "msgbatch_2", lines, 4, 3600);
    CHECK_STR(ended(s, "msgbatch_2").status, "completed");
    CHECK(get(s, "msgbatch_1").n_done < 40);
    CHECK_STR(ended(s, "msgbatch_1").status, "completed");
    hg_server_free(s);
}

TEST(what_a_stop_cuts_off_is_done_by_the_next_server)
{
    hg_server_options o;
    hg_server *s = NULL;
    hg_err e = {0};
    const hg_batch_line lines[] = {line_of("a", CHAT("hello")), line_of("b", CHAT("FOREVER")),
                                   line_of("c", CHAT("FOREVER"))};
    hg_problem p;

    hg_server_options_init(&o);
    o.port = 0;
    o.data_dir = test_path("data");
    for (int round = 0; round < 2; round++) {
        fake *f = fake_new();
        CHECK_OK(hg_server_new(&s, &o, &e), e);
        fake_add(f, s, "parrot", 256);
        CHECK_OK(hg_server_start_with(s, NULL, &e), e);
        if (round == 0) make(s, "msgbatch_1", lines, 3, 3600);
        for (int i = 0; i < 5000 && (fake_running(f) < 2 || get(s, "msgbatch_1").n_done < 1); i++)
            usleep(1000);
        CHECK_EQ(fake_running(f), 2);
        CHECK_EQ(get(s, "msgbatch_1").n_done, 1);
        if (round == 1) {
            CHECK(hg_batches_cancel(hg_server_batches(s), "anna", HG_BATCH_ANTHROPIC, "msgbatch_1",
                                    &p));
            CHECK_STR(ended(s, "msgbatch_1").status, "cancelled");
            CHECK_EQ(results(s, get(s, "msgbatch_1").n).n[HG_LINE_CANCELED], 2);
        }
        hg_server_free(s);
    }
}

/* ---- the store, as a kill or many owners would leave it ---- */
static void change(hg_server *s, const char *sql)
{
    hg_query q;
    hg_err e = {0};

    hg_query_open(&q, hg_server_store(s), sql);
    CHECK_OK(hg_query_close(&q, &e), e);
}

static int64_t number(hg_server *s, const char *sql)
{
    hg_query q;
    hg_err e = {0};

    hg_query_open(&q, hg_server_store(s), sql);
    const int64_t n = hg_query_row(&q) ? hg_column_int(&q, 0) : -1;
    CHECK_OK(hg_query_close(&q, &e), e);
    return n;
}

static hg_server *server_on(fake *f, const char *dir)
{
    hg_server_options o;
    hg_server *s = NULL;
    hg_err e = {0};

    hg_server_options_init(&o);
    o.port = 0;
    o.data_dir = dir;
    CHECK_OK(hg_server_new(&s, &o, &e), e);
    fake_add(f, s, "parrot", 256);
    CHECK_OK(hg_server_start_with(s, NULL, &e), e);
    return s;
}

TEST(what_is_half_made_or_half_deleted_is_there_for_nobody_and_goes)
{
    const char *dir = test_path("data");
    const hg_batch_line lines[] = {line_of("a", CHAT("hello")), line_of("b", "{}")};
    hg_problem p;
    hg_server *s = server_on(fake_new(), dir);

    for (int i = 0; i < 3; i++) {
        char id[32];
        (void)snprintf(id, sizeof id, "msgbatch_%d", i);
        make(s, id, lines, 2, 3600);
        CHECK_STR(ended(s, id).status, "completed");
    }
    hg_batches_stop(hg_server_batches(s)); /* as if it were killed just before it removes them */
    CHECK(hg_batches_delete(hg_server_batches(s), "anna", HG_BATCH_ANTHROPIC, "msgbatch_0", &p));
    CHECK(!hg_batches_delete(hg_server_batches(s), "anna", HG_BATCH_ANTHROPIC, "msgbatch_0", &p));
    CHECK_EQ(p.status, 404);
    change(s, "DELETE FROM batch_lines WHERE batch = 1 AND line = 1");
    change(s, "UPDATE batches SET status = 'making', ended = 0 WHERE n = 2");
    CHECK(!hg_batches_cancel(hg_server_batches(s), "anna", HG_BATCH_ANTHROPIC, "msgbatch_1", &p));
    CHECK_EQ(p.status, 404);
    hg_server_free(s);
    s = server_on(fake_new(), dir);
    for (int i = 0; i < 5000 && number(s, "SELECT count(*) FROM batches") > 1; i++) usleep(1000);
    CHECK_EQ(number(s, "SELECT n FROM batches"), 3);
    CHECK_EQ(number(s, "SELECT count(*) FROM batch_lines"), 2);
    hg_server_free(s);
}

typedef struct watching {
    hg_server *server;
    atomic_bool is_over;
    int n_half, n_shown; /* how often it was half there, and shown so */
} watching;

static void *watch(void *ctx)
{
    watching *w = ctx;
    hg_batch b;
    hg_problem p;
    hg_arena mem;

    hg_arena_init(&mem, 4096);
    while (!atomic_load(&w->is_over)) {
        const bool is_there = hg_batches_get(hg_server_batches(w->server), "anna",
                                             HG_BATCH_ANTHROPIC, "msgbatch_1", &mem, &b, &p);
        const int64_t n = number(w->server, "SELECT count(*) FROM batch_lines");
        w->n_half += n > 0 && n < 3000;
        w->n_shown += is_there && n < 3000;
        usleep(100);
    }
    hg_arena_free(&mem);
    return NULL;
}

TEST(a_batch_is_made_in_lots_between_which_others_have_the_store)
{
    enum { N = 3000 };
    hg_server *s = fake_server(fake_new(), NULL);
    watching w = {.server = s};
    hg_batch_line *lines = calloc(N, sizeof *lines);
    char(*ids)[16] = calloc(N, sizeof *ids);
    pthread_t thread;

    for (int i = 0; i < N; i++) {
        (void)snprintf(ids[i], sizeof ids[i], "n%d", i);
        lines[i] = line_of(ids[i], CHAT("FOREVER"));
    }
    CHECK(pthread_create(&thread, NULL, watch, &w) == 0);
    make(s, "msgbatch_1", lines, N, 3600);
    usleep(20000);
    atomic_store(&w.is_over, true);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(w.n_half > 0);
    CHECK_EQ(w.n_shown, 0);
    CHECK_STR(get(s, "msgbatch_1").status, "in_progress");
    hg_server_free(s);
    free(lines);
    free(ids);
}

typedef struct making {
    hg_server *server;
    int i;
    bool is_made;
    hg_problem p;
    pthread_t thread;
} making;

static void *make_one(void *ctx)
{
    making *m = ctx;
    hg_batch b = {.vendor = HG_BATCH_OPENAI,
                  .owner = "anna",
                  .endpoint = "/v1/chat/completions",
                  .status = "in_progress",
                  .metadata = {"null", 4},
                  .created = hg_unix_time(),
                  .expires = hg_unix_time() + 3600};
    const hg_batch_line line = line_of("a", CHAT("FOREVER"));
    char id[HG_BATCH_ID_ROOM];

    (void)snprintf(b.id, sizeof b.id, "batch_%d", m->i);
    m->is_made = hg_batches_create(hg_server_batches(m->server), &b, &line, 1, id, &m->p);
    return NULL;
}

TEST(an_owner_has_so_many_open_batches_however_they_come)
{
    enum { AT_ONCE = 8 };
    hg_server *s = fake_server(fake_new(), NULL);
    making m[HG_BATCH_MAX_OPEN + AT_ONCE] = {0};
    hg_err e = {0};
    int n = 0;

    for (int i = 0; i < HG_BATCH_MAX_OPEN + AT_ONCE; i++) m[i] = (making){.server = s, .i = i};
    for (int i = 0; i < HG_BATCH_MAX_OPEN - 1; i++) {
        (void)make_one(&m[i]);
        CHECK(m[i].is_made);
    }
    CHECK_OK(hg_store_begin(hg_server_store(s), &e), e); /* so that all ask at once */
    for (int i = HG_BATCH_MAX_OPEN - 1; i < HG_BATCH_MAX_OPEN + AT_ONCE; i++)
        CHECK(pthread_create(&m[i].thread, NULL, make_one, &m[i]) == 0);
    usleep(200000);
    CHECK_OK(hg_store_end(hg_server_store(s), HG_OK, &e), e);
    for (int i = HG_BATCH_MAX_OPEN - 1; i < HG_BATCH_MAX_OPEN + AT_ONCE; i++) {
        CHECK(pthread_join(m[i].thread, NULL) == 0);
        n += m[i].is_made;
        if (!m[i].is_made) CHECK_HAS(m[i].p.msg, "100 batches are not finished yet");
    }
    CHECK_EQ(n, 1);
    hg_server_free(s);
}

TEST(a_batch_whose_model_has_no_room_waits_for_itself_alone)
{
    fake *f = fake_new();
    hg_server *s = fake_server(f, NULL);
    const hg_batch_line busy[] = {line_of("a", CHAT("REFUSE"))},
                        starved[] = {line_of("a", CHAT("STARVE"))},
                        good[] = {line_of("a", CHAT("hello")), line_of("b", CHAT("hello"))};
    hg_problem p;
    char id[32];

    for (int i = 0; i < 20; i++) {
        (void)snprintf(id, sizeof id, "msgbatch_%d", i);
        make(s, id, busy, 1, 3600);
    }
    make(s, "msgbatch_s", starved, 1, 3600);
    make(s, "msgbatch_g", good, 2, 3600);
    const double began = hg_seconds();
    CHECK_EQ(ended(s, "msgbatch_g").n_done, 2);
    CHECK_EQ(get(s, "msgbatch_s").n_failed, 0);
    usleep(1500000);
    CHECK_STR(get(s, "msgbatch_0").status, "in_progress");
    CHECK_STR(get(s, "msgbatch_s").status, "in_progress");
    CHECK(fake_refused(f) > 20); /* each is tried again, once a second */
    CHECK((double)fake_refused(f) <= 20 * (hg_seconds() - began + 1));
    CHECK(hg_batches_cancel(hg_server_batches(s), "anna", HG_BATCH_ANTHROPIC, "msgbatch_0", &p));
    CHECK_STR(ended(s, "msgbatch_0").status, "cancelled");
    hg_server_free(s);
}

/* More batches are open than one turn looks at. */
TEST(the_newest_batch_of_many_is_worked_on)
{
    hg_server *s = fake_server(fake_new(), NULL);
    const hg_batch_line line = line_of("a", CHAT("hello"));

    change(s,
           "INSERT INTO batches (id, owner, vendor, endpoint, version, status, outcome, "
           "input_file, output_file, error_file, metadata, errors, created, began, expires, "
           "finalizing, ended, cancelling, n_lines, n_done, n_failed) WITH RECURSIVE c (i) AS "
           "(SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 1500) SELECT 'x' || i, 'bert' || "
           "(i % 20), 1, '/v1/chat/completions', '', 'in_progress', '', '', '', '', x'', x'', 1, "
           "1, unixepoch() + 3600, 0, 0, 0, 2, 0, 0 FROM c");
    change(s, "INSERT INTO batch_lines SELECT n, i, CAST(i AS BLOB), CAST('{\"model\":"
              "\"parrot\",\"messages\":[{\"role\":\"user\",\"content\":\"REFUSE\"}]}' AS BLOB), "
              "0, 0, '', x'' FROM batches, (SELECT 1 AS i UNION ALL SELECT 2)");
    make(s, "msgbatch_1", &line, 1, 3600);
    CHECK_STR(ended(s, "msgbatch_1").status, "completed");
    hg_server_free(s);
}

/* ---- OpenAI's ---- */
static hg_batch openai(hg_server *s, const char *id)
{
    static char errors[2048];
    hg_batch b = {0};
    hg_problem p;
    hg_arena mem;

    hg_arena_init(&mem, 4096);
    CHECK(hg_batches_get(hg_server_batches(s), "anna", HG_BATCH_OPENAI, id, &mem, &b, &p));
    (void)snprintf(errors, sizeof errors, "%.*s", (int)b.errors.n, b.errors.p);
    b.errors.p = errors;
    hg_arena_free(&mem);
    return b;
}

static hg_batch openai_is(hg_server *s, const char *id, const char *status)
{
    for (double until = hg_seconds() + 20; hg_seconds() < until; usleep(5000))
        if (strcmp(openai(s, id).status, status) == 0) break;
    CHECK_STR(openai(s, id).status, status);
    return openai(s, id);
}

static void begin_openai(hg_server *s, const char *id, const char *status, const char *input,
                         const hg_batch_line *lines, size_t n)
{
    hg_batch b = {.vendor = HG_BATCH_OPENAI,
                  .owner = "anna",
                  .endpoint = "/v1/chat/completions",
                  .metadata = {"null", 4},
                  .created = hg_unix_time(),
                  .expires = hg_unix_time() + 3600,
                  .n_lines = (int64_t)n};
    char got[HG_BATCH_ID_ROOM];
    hg_problem p;

    (void)snprintf(b.id, sizeof b.id, "%s", id);
    (void)snprintf(b.status, sizeof b.status, "%s", status);
    (void)snprintf(b.input_file, sizeof b.input_file, "%s", input);
    CHECK(hg_batches_create(hg_server_batches(s), &b, lines, n, got, &p));
}

/* The folder of files is gone: nothing can be kept. */
TEST(results_that_cannot_be_kept_end_a_batch_when_it_is_canceled_or_after_a_day)
{
    const hg_batch_line line = line_of("a", CHAT("hello"));
    hg_server *s = server_on(fake_new(), test_path("data"));
    hg_problem p;

    CHECK_EQ(rmdir(test_path("data/files")), 0);
    begin_openai(s, "batch_1", "in_progress", "", &line, 1);
    begin_openai(s, "batch_2", "in_progress", "", &line, 1);
    (void)openai_is(s, "batch_1", "finalizing");
    (void)openai_is(s, "batch_2", "finalizing");
    usleep(1500000);
    CHECK_STR(openai(s, "batch_1").status, "finalizing");
    CHECK(hg_batches_cancel(hg_server_batches(s), "anna", HG_BATCH_OPENAI, "batch_1", &p));
    hg_batch b = openai_is(s, "batch_1", "cancelled");
    CHECK_HAS(b.errors.p, "\"code\":\"output_not_kept\"");
    CHECK(b.cancelling >= b.finalizing && b.ended >= b.cancelling);
    CHECK_STR(openai(s, "batch_2").status, "finalizing");
    change(s, "UPDATE batches SET finalizing = finalizing - 86400 WHERE id = 'batch_2'");
    b = openai_is(s, "batch_2", "failed");
    CHECK_HAS(b.errors.p, "the results cannot be kept: ");
    for (int i = 0; i < 2000 && number(s, "SELECT count(*) FROM batch_lines") > 0; i++)
        usleep(1000);
    CHECK_EQ(number(s, "SELECT count(*) FROM batch_lines"), 0);
    hg_server_free(s);
}

static void write_input(hg_server *s, size_t n, char id[HG_FILE_ID_ROOM])
{
    hg_buf b = {0};
    hg_err e = {0};
    const hg_file_ask ask = {
        .owner = "anna", .id_prefix = "file-", .name = "in.jsonl", .purpose = "batch"};

    for (size_t i = 0; i < n; i++)
        hg_buf_printf(&b,
                      "{\"custom_id\":\"n%zu\",\"method\":\"POST\",\"url\":\"/v1/chat/"
                      "completions\",\"body\":%s}\n",
                      i, CHAT("FOREVER"));
    CHECK_OK(hg_files_put(hg_server_files(s), &ask, (hg_bytes){b.p, b.n}, id, &e), e);
    hg_buf_free(&b);
}

TEST(a_long_input_holds_up_neither_other_batches_nor_a_stop)
{
    const char *dir = test_path("data");
    hg_server *s = server_on(fake_new(), dir);
    char input[HG_FILE_ID_ROOM], ids[200][16];
    hg_batch_line lines[200];

    for (int i = 0; i < 200; i++) {
        (void)snprintf(ids[i], sizeof ids[i], "n%d", i);
        lines[i] = line_of(ids[i], CHAT("a text that takes some time"));
    }
    write_input(s, 40000, input);
    make(s, "msgbatch_1", lines, 200, 3600);
    for (int i = 0; i < 5000 && get(s, "msgbatch_1").n_done == 0; i++) usleep(1000);
    begin_openai(s, "batch_1", "validating", input, NULL, 0);
    for (int i = 0; i < 5000 && number(s, "SELECT max(line) FROM batch_lines") < 1000; i++)
        usleep(1000);
    const int64_t before = get(s, "msgbatch_1").n_done;
    CHECK_STR(openai(s, "batch_1").status, "validating");
    for (int i = 0; i < 5000 && get(s, "msgbatch_1").n_done < before + 3; i++) usleep(1000);
    CHECK(get(s, "msgbatch_1").n_done >= before + 3);
    CHECK_STR(openai(s, "batch_1").status, "validating");
    hg_server_free(s);
    s = server_on(fake_new(), dir);
    CHECK_STR(openai(s, "batch_1").status, "validating");
    (void)openai_is(s, "batch_1", "in_progress");
    CHECK_EQ(openai(s, "batch_1").n_lines, 40000);
    hg_server_free(s);
}

/* A kill came between the results and the word that they are there. */
TEST(results_of_an_end_that_was_cut_off_are_there_once)
{
    hg_server *s = fake_server(fake_new(), NULL);
    const hg_batch_line lines[] = {line_of("a", CHAT("hello")), line_of("b", "{}")};
    const hg_file_ask left = {.owner = "anna",
                              .id_prefix = "file-",
                              .name = "batch_1_output.jsonl",
                              .purpose = "batch_output",
                              .metadata = "{\"batch\":\"batch_1\"}"};
    hg_batch b = {.vendor = HG_BATCH_OPENAI,
                  .id = "batch_1",
                  .owner = "anna",
                  .endpoint = "/v1/chat/completions",
                  .status = "in_progress",
                  .metadata = {"null", 4},
                  .created = hg_unix_time(),
                  .expires = hg_unix_time() + 3600,
                  .n_lines = 2};
    char id[HG_FILE_ID_ROOM], got[HG_BATCH_ID_ROOM];
    hg_problem p = {0};
    hg_err e = {0};
    hg_query q;

    CHECK_OK(hg_files_put(hg_server_files(s), &left, (hg_bytes){"old", 3}, id, &e), e);
    CHECK(hg_batches_create(hg_server_batches(s), &b, lines, 2, got, &p));
    for (double until = hg_seconds() + 20; hg_seconds() < until && b.ended == 0; usleep(5000)) {
        hg_arena mem;
        hg_arena_init(&mem, 4096);
        CHECK(
            hg_batches_get(hg_server_batches(s), "anna", HG_BATCH_OPENAI, "batch_1", &mem, &b, &p));
        hg_arena_free(&mem);
    }
    CHECK_STR(b.status, "completed");
    hg_query_open(&q, hg_server_store(s), "SELECT count(*), sum(id = ?) FROM files");
    hg_query_text(&q, 1, id);
    CHECK(hg_query_row(&q));
    CHECK_EQ(hg_column_int(&q, 0), 2); /* answers, refusals */
    CHECK_EQ(hg_column_int(&q, 1), 0);
    CHECK_OK(hg_query_close(&q, &e), e);
    hg_server_free(s);
}

TEST(a_line_says_what_is_wrong_with_it)
{
    static const char *const bad[][2] = {
        {"", "the line is no JSON"},
        {"[]", "the line must be an object"},
        {"{\"custom_id\":7}", "custom_id must be a string of 1 to 512 bytes"},
        {"{\"custom_id\":\"a\"}", "method must be POST"},
        {"{\"custom_id\":\"a\",\"method\":\"POST\"}", "url must be the endpoint of the batch"},
        {"{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"/v1/x\"}", "body must be an object"},
        {"{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"/v1/"
         "x\",\"body\":{\"background\":true}}",
         "body.background must be false"}};
    hg_batch_line l;
    hg_problem p;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *tree = NULL;
        hg_buf text = {0};
        CHECK(!hg_batch_line_read(&l, &tree, &text, (hg_bytes){bad[i][0], strlen(bad[i][0])},
                                  "/v1/x", &p));
        CHECK(strstr(p.msg, bad[i][1]) != NULL);
        json_decref(tree);
        hg_buf_free(&text);
    }
}
