/* See trained.h. */
#include "trained.h"
#include "small.h"
#include "harness/test.h"
#include "base/file.h"

#include <string.h>
#include <time.h>

hg_server *trained_server;
hg_arena trained_memory;
static hg_problem p;
static hg_err e;
char trained_file[HG_FILE_ID_ROOM];

void trained_keep_file(const char *owner, const char *text)
{
    const hg_file_ask ask = {
        .owner = owner, .id_prefix = "file-", .name = "a.jsonl", .purpose = "fine-tune"};

    CHECK_OK(hg_files_put(hg_server_files(trained_server), &ask, (hg_bytes){text, strlen(text)},
                          trained_file, &e),
             e);
}

void trained_begin_within(uint64_t memory)
{
    hg_server_options o;
    size_t n = 0;

    if (!hg_path_exists(test_path("tiny"))) small_write("tiny", 1, NULL);
    hg_server_options_init(&o);
    o.port = 0;
    o.threads = 1;
    o.parallel = 1;
    o.data_dir = test_path("data");
    o.memory = memory;
    CHECK_OK(hg_server_new(&trained_server, &o, &e), e);
    CHECK_OK(hg_server_offer(trained_server, test_path("tiny"), NULL, NULL, &n, &e), e);
    CHECK_OK(hg_server_start(trained_server, &e), e);
    hg_arena_init(&trained_memory, 4096);
    trained_keep_file("anna", "{\"prompt\": \"Hello\", \"completion\": \"Good day.\"}\n"
                              "{\"prompt\": \"Bye\", \"completion\": \"See you.\"}\n");
}

void trained_begin(void)
{
    trained_begin_within(0);
}

void trained_end(void)
{
    hg_arena_free(&trained_memory);
    hg_server_free(trained_server);
}

hg_training_ask trained_ask(void)
{
    hg_training_ask ask = {.owner = "anna",
                           .face = "test",
                           .id_prefix = "",
                           .model = {"tiny", 4},
                           .training_file = trained_file,
                           .note = "{\"a\":1}"};

    hg_training_wish_init(&ask.wish);
    ask.wish.n_epochs = 1;
    return ask;
}

hg_training *trained_get(const char *id)
{
    static hg_training one;

    if (!hg_trainings_get(hg_server_trainings(trained_server), "anna", id, &trained_memory, &one,
                          &p))
        test_fail(__FILE__, __LINE__, "%s", p.msg);
    return &one;
}

hg_training *trained_wait(const char *id)
{
    const struct timespec nap = {0, 20 * 1000 * 1000};

    for (int i = 0; i < 6000; i++) {
        hg_training *one = trained_get(id);
        if (hg_training_has_ended(one->state)) return one;
        (void)nanosleep(&nap, NULL);
    }
    test_fail(__FILE__, __LINE__, "it does not end");
    return NULL;
}

int64_t trained_number(const char *sql)
{
    hg_query q;
    hg_query_open(&q, hg_server_store(trained_server), sql);
    const int64_t n = hg_query_row(&q) ? hg_column_int(&q, 0) : 0;
    CHECK_OK(hg_query_close(&q, &e), e);
    return n;
}

void trained_wait_for(const char *sql, int64_t n)
{
    const struct timespec nap = {0, 20 * 1000 * 1000};

    /* As long as a case may last under ThreadSanitizer. */
    for (int i = 0; i < 12000 && trained_number(sql) != n; i++) (void)nanosleep(&nap, NULL);
    CHECK_EQ(trained_number(sql), n);
}
