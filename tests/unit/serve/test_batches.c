/* Batches in the store and by the worker, against a model without weights. */
#include "fake.h"
#include "harness/test.h"
#include "base/clock.h"
#include "serve/batches/batches.h"
#include "serve/files/files.h"

#include <stdio.h>
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

    CHECK(hg_batches_results(hg_server_batches(s), n, count, &t, &p));
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
