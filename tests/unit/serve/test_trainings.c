/* Trainings as protocols ask for them: what is refused, whose they are, how they end, and what
 * comes of them. */
#include "fake.h"
#include "small.h"
#include "harness/test.h"
#include "base/file.h"
#include "serve/files/files.h"
#include "serve/jobs/trainings.h"
#include "serve/replicate/trainings.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static hg_server *server;
static hg_arena mem;
static hg_problem p;
static hg_err e;
static char file[HG_FILE_ID_ROOM];

static void keep_file(const char *owner, const char *text)
{
    const hg_file_ask ask = {
        .owner = owner, .id_prefix = "file-", .name = "a.jsonl", .purpose = "fine-tune"};

    CHECK_OK(hg_files_put(hg_server_files(server), &ask, (hg_bytes){text, strlen(text)}, file, &e),
             e);
}

static void begin_within(uint64_t memory)
{
    hg_server_options o;
    size_t n = 0;

    small_write("tiny", 1, NULL);
    hg_server_options_init(&o);
    o.port = 0;
    o.threads = 1;
    o.parallel = 1;
    o.data_dir = test_path("data");
    o.memory = memory;
    CHECK_OK(hg_server_new(&server, &o, &e), e);
    CHECK_OK(hg_server_offer(server, test_path("tiny"), NULL, NULL, &n, &e), e);
    CHECK_OK(hg_server_start(server, &e), e);
    hg_arena_init(&mem, 4096);
    keep_file("anna", "{\"prompt\": \"Hello\", \"completion\": \"Good day.\"}\n"
                      "{\"prompt\": \"Bye\", \"completion\": \"See you.\"}\n");
}

static void begin(void)
{
    begin_within(0);
}

static void end(void)
{
    hg_arena_free(&mem);
    hg_server_free(server);
}

static hg_training_ask plain(void)
{
    hg_training_ask ask = {.owner = "anna",
                           .face = "test",
                           .id_prefix = "",
                           .model = {"tiny", 4},
                           .training_file = file,
                           .note = "{\"a\":1}"};

    hg_training_wish_init(&ask.wish);
    ask.wish.n_epochs = 1;
    return ask;
}

static hg_training *get(const char *id)
{
    static hg_training one;

    if (!hg_trainings_get(hg_server_trainings(server), "anna", id, &mem, &one, &p))
        test_fail(__FILE__, __LINE__, "%s", p.msg);
    return &one;
}

static hg_training *wait_for_end(const char *id)
{
    const struct timespec nap = {0, 20 * 1000 * 1000};

    for (int i = 0; i < 6000; i++) {
        hg_training *one = get(id);
        if (hg_training_has_ended(one->state)) return one;
        (void)nanosleep(&nap, NULL);
    }
    test_fail(__FILE__, __LINE__, "it does not end");
    return NULL;
}

static void check_refused(const hg_training_ask *ask, int status, const char *param)
{
    char id[HG_TRAINING_ID_ROOM];

    CHECK(!hg_trainings_create(hg_server_trainings(server), ask, id, &p));
    CHECK_EQ(p.status, status);
    CHECK_STR(p.param, param);
}

TEST(a_training_ends_with_a_model_under_its_name)
{
    char id[HG_TRAINING_ID_ROOM];
    hg_training_ask ask;

    begin();
    ask = plain();
    ask.name = "anna/polite";
    CHECK(hg_trainings_create(hg_server_trainings(server), &ask, id, &p));
    CHECK_EQ(strlen(id), 26);
    hg_training *one = wait_for_end(id);
    if (one->state != HG_TRAINING_SUCCEEDED) test_fail(__FILE__, __LINE__, "%s", one->error);
    CHECK_STR(one->model, "anna/polite");
    CHECK_STR(one->note, "{\"a\":1}");
    CHECK(one->n_examples == 2 && one->step == one->n_steps && one->n_steps > 0);
    CHECK(one->need_bytes > 0 && one->n_threads == 1);
    const hg_backend *b = hg_server_take(server, (hg_bytes){"anna/polite", 11}, &p);
    CHECK(b != NULL);
    hg_backend_release(b);
    CHECK(!hg_trainings_delete_model(hg_server_trainings(server), "ben",
                                     (hg_bytes){"anna/polite", 11}, &p));
    CHECK_EQ(p.status, 403);
    CHECK(hg_trainings_delete_model(hg_server_trainings(server), "anna",
                                    (hg_bytes){"anna/polite", 11}, &p));
    CHECK(hg_server_find(server, (hg_bytes){"anna/polite", 11}) == NULL);
    end();
}

TEST(a_model_that_answers_is_not_deleted_under_its_feet)
{
    char id[HG_TRAINING_ID_ROOM];
    hg_training_ask ask;

    begin();
    ask = plain();
    ask.name = "busy";
    CHECK(hg_trainings_create(hg_server_trainings(server), &ask, id, &p));
    CHECK_EQ(wait_for_end(id)->state, HG_TRAINING_SUCCEEDED);
    const hg_backend *b = hg_server_take(server, (hg_bytes){"busy", 4}, &p);
    CHECK(
        !hg_trainings_delete_model(hg_server_trainings(server), "anna", (hg_bytes){"busy", 4}, &p));
    CHECK_EQ(p.status, 409);
    hg_backend_release(b);
    CHECK(
        hg_trainings_delete_model(hg_server_trainings(server), "anna", (hg_bytes){"busy", 4}, &p));
    end();
}

TEST(what_cannot_be_trained_is_refused_by_name)
{
    hg_training_ask ask;

    begin();
    ask = plain();
    ask.model = (hg_bytes){"none", 4};
    check_refused(&ask, 404, "model");
    ask = plain();
    ask.training_file = "file-none";
    check_refused(&ask, 404, "training_file");
    ask = plain();
    ask.owner = "ben";
    check_refused(&ask, 404, "training_file");
    ask = plain();
    ask.wish.n_epochs = -1;
    check_refused(&ask, 400, "n_epochs");
    ask = plain();
    ask.wish.lora_rank = 100000;
    check_refused(&ask, 400, "lora_rank");
    ask = plain();
    ask.wish.lora_targets = "q,x";
    check_refused(&ask, 400, "lora_targets");
    ask = plain();
    ask.name = "tiny";
    check_refused(&ask, 409, "name");
    end();
}

TEST(nobody_sees_or_stops_the_trainings_of_others)
{
    char id[HG_TRAINING_ID_ROOM];
    hg_training one;
    hg_training_ask ask;

    begin();
    ask = plain();
    ask.wish.n_epochs = 500;
    hg_trainings *t = hg_server_trainings(server);
    CHECK(hg_trainings_create(t, &ask, id, &p));
    CHECK(!hg_trainings_get(t, "ben", id, &mem, &one, &p));
    CHECK_EQ(p.status, 404);
    CHECK(!hg_trainings_cancel(t, "ben", id, &p));
    CHECK(hg_trainings_cancel(t, "anna", id, &p));
    CHECK_EQ(wait_for_end(id)->state, HG_TRAINING_CANCELED);
    CHECK(!hg_trainings_cancel(t, "anna", id, &p));
    CHECK_EQ(p.status, 400);
    end();
}

TEST(a_server_that_ends_amid_a_training_goes_on_with_it_later)
{
    char id[HG_TRAINING_ID_ROOM];
    hg_training_ask ask;
    const struct timespec nap = {0, 20 * 1000 * 1000};

    begin();
    ask = plain();
    ask.wish.n_epochs = 12;
    CHECK(hg_trainings_create(hg_server_trainings(server), &ask, id, &p));
    for (int i = 0; i < 3000 && get(id)->step == 0; i++) (void)nanosleep(&nap, NULL);
    end();
    begin();
    const hg_training *one = wait_for_end(id);
    CHECK_EQ(one->state, HG_TRAINING_SUCCEEDED);
    CHECK_EQ(one->step, one->n_steps);
    end();
}

/* Whom Replicate's trainings tell of their steps must be there until the last of them has stopped;
 * AddressSanitizer sees when it is not. */
TEST(a_server_that_ends_amid_a_training_frees_nobody_who_is_told_of_it)
{
    char id[HG_TRAINING_ID_ROOM];
    hg_training_ask ask;
    const struct timespec nap = {0, 5 * 1000 * 1000};

    for (int round = 0; round < 3; round++) {
        begin();
        ask = plain();
        ask.face = HG_REPLICATE_FACE;
        ask.note = "{\"webhook\":\"http://127.0.0.1:9/\",\"filter\":[\"start\",\"logs\"]}";
        ask.wish.n_epochs = 1000;
        CHECK(hg_trainings_create(hg_server_trainings(server), &ask, id, &p));
        for (int i = 0; i < 6000 && get(id)->step < 3; i++) (void)nanosleep(&nap, NULL);
        CHECK(get(id)->step >= 3 && get(id)->state == HG_TRAINING_RUNNING);
        end();
        begin();
        CHECK(hg_trainings_cancel(hg_server_trainings(server), "anna", id, &p));
        end();
    }
}

static int64_t number_of(const char *sql)
{
    hg_query q;
    hg_query_open(&q, hg_server_store(server), sql);
    const int64_t n = hg_query_row(&q) ? hg_column_int(&q, 0) : 0;
    CHECK_OK(hg_query_close(&q, &e), e);
    return n;
}

static void wait_for_number(const char *sql, int64_t n)
{
    const struct timespec nap = {0, 20 * 1000 * 1000};

    for (int i = 0; i < 3000 && number_of(sql) != n; i++) (void)nanosleep(&nap, NULL);
    CHECK_EQ(number_of(sql), n);
}

/* A store that does not take the last word stands for a kill before it. */
TEST(an_end_that_was_cut_off_is_made_whole_and_once)
{
    static const char files[] = "SELECT count(*) FROM files WHERE purpose = 'fine-tune-results'";
    char id[HG_TRAINING_ID_ROOM];
    hg_training_ask ask;

    begin();
    (void)number_of("CREATE TRIGGER no_end BEFORE UPDATE OF model ON trainings BEGIN SELECT "
                    "RAISE(ABORT, 'no'); END");
    ask = plain();
    ask.name = "anna/polite";
    CHECK(hg_trainings_create(hg_server_trainings(server), &ask, id, &p));
    wait_for_number(files, 1);
    const struct timespec nap = {0, 300 * 1000 * 1000};
    (void)nanosleep(&nap, NULL);
    CHECK_EQ(get(id)->state, HG_TRAINING_RUNNING);
    (void)number_of("DROP TRIGGER no_end");
    const hg_training *one = wait_for_end(id);
    if (one->state != HG_TRAINING_SUCCEEDED) test_fail(__FILE__, __LINE__, "%s", one->error);
    CHECK_STR(one->model, "anna/polite");
    CHECK_EQ(number_of(files), 1);
    CHECK_EQ(number_of("SELECT count(*) FROM trained_models"), 1);
    CHECK_EQ(number_of("SELECT count(*) FROM training_events WHERE message LIKE '%completed'"), 1);
    end();
}

TEST(a_training_for_whose_models_there_is_no_room_is_refused)
{
    char id[HG_TRAINING_ID_ROOM], name[32];
    hg_training_ask ask;
    hg_offer *o;

    begin();
    hg_models *ms = hg_server_models(server);
    for (int i = 0; hg_models_room(ms) > 5; i++) {
        (void)snprintf(name, sizeof name, "other-%d", i);
        CHECK_OK(hg_models_add(ms, name, &o, &e), e);
    }
    ask = plain();
    ask.wish.n_epochs = 1000;
    CHECK(hg_trainings_create(hg_server_trainings(server), &ask, id, &p));
    check_refused(&ask, 429, "");
    CHECK_HAS(p.msg, "a server offers 1024 models at the most");
    CHECK(hg_trainings_cancel(hg_server_trainings(server), "anna", id, &p));
    (void)wait_for_end(id);
    CHECK(hg_trainings_create(hg_server_trainings(server), &ask, id, &p));
    CHECK(hg_trainings_cancel(hg_server_trainings(server), "anna", id, &p));
    end();
}

TEST(owners_take_turns_and_keep_their_order)
{
    char first[HG_TRAINING_ID_ROOM], id[HG_TRAINING_ID_ROOM];
    hg_training_ask ask;

    begin();
    ask = plain();
    ask.wish.n_epochs = 1000;
    CHECK(hg_trainings_create(hg_server_trainings(server), &ask, first, &p));
    wait_for_number("SELECT state FROM trainings", HG_TRAINING_RUNNING);
    ask = plain();
    for (int i = 0; i < 2; i++)
        CHECK(hg_trainings_create(hg_server_trainings(server), &ask, id, &p));
    keep_file("ben", "{\"prompt\": \"Hello\", \"completion\": \"Good day.\"}\n");
    ask.owner = "ben";
    for (int i = 0; i < 2; i++)
        CHECK(hg_trainings_create(hg_server_trainings(server), &ask, id, &p));
    wait_for_number("SELECT count(*) FROM trainings WHERE state = 1", 4);
    CHECK(hg_trainings_cancel(hg_server_trainings(server), "anna", first, &p));
    wait_for_number("SELECT count(*) FROM trainings WHERE state = 4", 4);
    /* Of the five in the order in which they were asked for: when each was taken. */
    CHECK_EQ(number_of("SELECT CAST(group_concat(turn, '') AS INTEGER) FROM (SELECT turn FROM "
                       "trainings ORDER BY number)"),
             13524);
    end();
}

TEST(a_training_whose_begin_cannot_be_written_down_begins_later)
{
    char id[HG_TRAINING_ID_ROOM];
    hg_training_ask ask;
    const struct timespec nap = {0, 300 * 1000 * 1000};

    begin();
    (void)number_of("CREATE TRIGGER no_begin BEFORE UPDATE OF state ON trainings WHEN new.state = "
                    "2 BEGIN SELECT RAISE(ABORT, 'no'); END");
    ask = plain();
    CHECK(hg_trainings_create(hg_server_trainings(server), &ask, id, &p));
    wait_for_number("SELECT state FROM trainings", HG_TRAINING_QUEUED);
    (void)nanosleep(&nap, NULL);
    CHECK(hg_trainings_pause(hg_server_trainings(server), "anna", id, &p));
    CHECK_EQ(get(id)->state, HG_TRAINING_PAUSED); /* at once: it does not run */
    CHECK(hg_trainings_resume(hg_server_trainings(server), "anna", id, &p));
    (void)nanosleep(&nap, NULL);
    (void)number_of("DROP TRIGGER no_begin");
    CHECK_EQ(wait_for_end(id)->state, HG_TRAINING_SUCCEEDED);
    end();
}

TEST(a_check_that_cannot_be_written_down_does_not_hold_up_what_runs)
{
    char id[HG_TRAINING_ID_ROOM], other[HG_TRAINING_ID_ROOM];
    hg_training_ask ask;

    begin();
    ask = plain();
    ask.wish.n_epochs = 1000;
    CHECK(hg_trainings_create(hg_server_trainings(server), &ask, id, &p));
    wait_for_number("SELECT state FROM trainings", HG_TRAINING_RUNNING);
    (void)number_of("CREATE TRIGGER no_end BEFORE UPDATE OF state ON trainings WHEN old.state = 0 "
                    "BEGIN SELECT RAISE(ABORT, 'no'); END");
    CHECK(hg_trainings_create(hg_server_trainings(server), &ask, other, &p));
    wait_for_number("SELECT count(*) > 2 FROM training_events WHERE message LIKE 'Validating%'", 1);
    const uint64_t step = get(id)->step;
    const struct timespec nap = {0, 20 * 1000 * 1000};
    for (int i = 0; i < 500 && get(id)->step < step + 3; i++) (void)nanosleep(&nap, NULL);
    CHECK(get(id)->step >= step + 3);
    (void)number_of("DROP TRIGGER no_end");
    wait_for_number("SELECT state FROM trainings ORDER BY number DESC LIMIT 1", HG_TRAINING_QUEUED);
    CHECK(hg_trainings_cancel(hg_server_trainings(server), "anna", other, &p));
    CHECK(hg_trainings_cancel(hg_server_trainings(server), "anna", id, &p));
    end();
}

TEST(what_a_kill_left_of_a_training_goes_at_the_next_start)
{
    char id[HG_TRAINING_ID_ROOM], left[64], model[64];
    hg_training_ask ask;

    begin();
    ask = plain();
    ask.name = "anna/polite";
    CHECK(hg_trainings_create(hg_server_trainings(server), &ask, id, &p));
    CHECK_EQ(wait_for_end(id)->state, HG_TRAINING_SUCCEEDED);
    wait_for_number("SELECT sum(intent) FROM trainings", 0);
    (void)snprintf(left, sizeof left, "data/trainings/%s", id);
    (void)snprintf(model, sizeof model, "data/models/%s-99", id);
    CHECK(!hg_path_exists(test_path(left)));
    CHECK_OK(hg_mkdirs(test_path(left), &e), e);
    CHECK_OK(hg_mkdirs(test_path(model), &e), e);
    (void)number_of("UPDATE trainings SET intent = 3"); /* its watcher was not told */
    end();
    begin();
    wait_for_number("SELECT sum(intent) FROM trainings", 0);
    CHECK(!hg_path_exists(test_path(left)));
    CHECK(!hg_path_exists(test_path(model)));
    CHECK(hg_server_find(server, (hg_bytes){"anna/polite", 11}) != NULL);
    end();
}

/* ---- memory ---- */
#define WAITS \
    "message LIKE 'The job waits for memory: it needs % MB, and beside the models at work %'"
static const char n_waits[] = "SELECT count(*) FROM training_events WHERE " WAITS,
                  n_others_wait[] = "SELECT count(*) FROM training_events WHERE " WAITS
                                    " AND training <> (SELECT id FROM trainings ORDER BY number "
                                    "LIMIT 1)";

static hg_models_state look(void)
{
    hg_models_state state;

    hg_models_look(hg_server_models(server), &state);
    return state;
}

static void wait_for_reserved(void)
{
    const struct timespec nap = {0, 5 * 1000 * 1000};

    for (int i = 0; i < 6000 && look().reserved == 0; i++) (void)nanosleep(&nap, NULL);
    CHECK(look().reserved > 0);
}

static uint64_t need_of_a_training(void)
{
    char id[HG_TRAINING_ID_ROOM];
    hg_training_ask ask;

    begin();
    ask = plain();
    CHECK(hg_trainings_create(hg_server_trainings(server), &ask, id, &p));
    const uint64_t need = wait_for_end(id)->need_bytes;
    CHECK(need > 0);
    CHECK_EQ(look().reserved, 0);
    (void)number_of("DELETE FROM trainings");
    (void)number_of("DELETE FROM training_events");
    end();
    return need;
}

/* A server with room for the training alone, whose model is at work. */
static const hg_backend *begin_full(uint64_t need)
{
    begin_within(need + 1000);
    const hg_backend *m = hg_server_take(server, (hg_bytes){"tiny", 4}, &p);
    if (m == NULL) test_fail(__FILE__, __LINE__, "%s", p.msg);
    return m;
}

TEST(a_training_waits_for_models_at_work_and_goes_on_without_them)
{
    char id[HG_TRAINING_ID_ROOM], other[HG_TRAINING_ID_ROOM];
    hg_training_ask ask;
    const struct timespec nap = {0, 200 * 1000 * 1000};

    const hg_backend *m = begin_full(need_of_a_training());
    ask = plain();
    CHECK(hg_trainings_create(hg_server_trainings(server), &ask, id, &p));
    CHECK(hg_trainings_create(hg_server_trainings(server), &ask, other, &p));
    wait_for_number(n_waits, 1);
    (void)nanosleep(&nap, NULL);
    CHECK_EQ(number_of(n_waits), 1); /* said once */
    CHECK_EQ(look().reserved, 0);
    CHECK_EQ(look().n_unloads, 0);
    CHECK(hg_trainings_cancel(hg_server_trainings(server), "anna", id, &p));
    CHECK_EQ(wait_for_end(id)->state, HG_TRAINING_CANCELED);
    wait_for_number(n_others_wait, 1);
    hg_backend_release(m);
    CHECK_EQ(wait_for_end(other)->state, HG_TRAINING_SUCCEEDED);
    CHECK_EQ(look().reserved, 0);
    CHECK_EQ(number_of(n_waits), 2);
    end();
}

TEST(a_training_that_waits_for_memory_rests_and_goes_on)
{
    char id[HG_TRAINING_ID_ROOM];
    hg_training_ask ask;

    const hg_backend *m = begin_full(need_of_a_training());
    hg_trainings *t = hg_server_trainings(server);
    ask = plain();
    CHECK(hg_trainings_create(t, &ask, id, &p));
    wait_for_number(n_waits, 1);
    CHECK(hg_trainings_pause(t, "anna", id, &p));
    wait_for_number("SELECT state FROM trainings", HG_TRAINING_PAUSED);
    CHECK(hg_trainings_resume(t, "anna", id, &p));
    wait_for_number(n_waits, 2);
    CHECK_EQ(get(id)->state, HG_TRAINING_RUNNING);
    hg_backend_release(m);
    CHECK_EQ(wait_for_end(id)->state, HG_TRAINING_SUCCEEDED);
    CHECK_EQ(look().reserved, 0);
    end();
}

TEST(a_server_that_ends_while_a_training_waits_for_memory_leaves_it_to_the_next)
{
    char id[HG_TRAINING_ID_ROOM];
    hg_training_ask ask;

    const hg_backend *m = begin_full(need_of_a_training());
    ask = plain();
    CHECK(hg_trainings_create(hg_server_trainings(server), &ask, id, &p));
    wait_for_number(n_waits, 1);
    hg_backend_release(m); /* perhaps it begins; then it is stopped amid its steps */
    end();
    begin();
    CHECK_EQ(wait_for_end(id)->state, HG_TRAINING_SUCCEEDED);
    CHECK_EQ(get(id)->step, get(id)->n_steps);
    end();
}

TEST(a_training_that_stops_amid_its_steps_gives_its_memory_back)
{
    char id[HG_TRAINING_ID_ROOM], made[96], away[112];
    hg_training_ask ask;

    begin();
    hg_trainings *t = hg_server_trainings(server);
    ask = plain();
    ask.wish.n_epochs = 1000;
    CHECK(hg_trainings_create(t, &ask, id, &p));
    wait_for_reserved();
    CHECK_EQ(look().reserved, get(id)->need_bytes);
    CHECK(hg_trainings_pause(t, "anna", id, &p));
    wait_for_number("SELECT state FROM trainings", HG_TRAINING_PAUSED);
    CHECK_EQ(look().reserved, 0);
    CHECK(hg_trainings_resume(t, "anna", id, &p));
    wait_for_reserved();
    /* A file where its checkpoints would lie. */
    (void)snprintf(made, sizeof made, "%s/trainings/%s/run/checkpoints", "data", id);
    (void)snprintf(away, sizeof away, "%s-away", made);
    char *from = hg_strdup(test_path(made)), *to = hg_strdup(test_path(away));
    for (int i = 0; i < 2000 && hg_file_write(from, "x", 1, &e) != HG_OK; i++) {
        (void)hg_remove_tree(to, NULL);
        (void)rename(from, to);
    }
    hg_free(from);
    hg_free(to);
    const hg_training *one = wait_for_end(id);
    CHECK_EQ(one->state, HG_TRAINING_FAILED);
    CHECK_STR(one->error_code, "training_failed");
    CHECK_EQ(look().reserved, 0);
    end();
}

/* ---- told on the trainings' thread ---- */
typedef struct heard {
    uint64_t reserved; /* when it had ended */
} heard;

static hg_training_state state_of(const char *id)
{
    hg_training one;
    hg_arena own;
    hg_problem why;

    hg_arena_init(&own, 4096);
    const bool is_there = hg_trainings_get(hg_server_trainings(server), NULL, id, &own, &one, &why);
    hg_arena_free(&own);
    return is_there ? one.state : HG_TRAINING_CHECKING;
}

static void hear_the_end(void *ctx, const char *id)
{
    heard *h = ctx;

    if (hg_training_has_ended(state_of(id))) h->reserved = look().reserved;
}

TEST(a_training_holds_its_memory_until_its_models_are_kept_and_no_longer)
{
    char id[HG_TRAINING_ID_ROOM];
    hg_training_ask ask;
    heard h = {.reserved = 1};
    uint64_t when_kept = 0;
    const struct timespec nap = {0, 100 * 1000};

    begin();
    hg_trainings_watch(hg_server_trainings(server), hear_the_end, &h);
    ask = plain();
    ask.name = "anna/polite";
    CHECK(hg_trainings_create(hg_server_trainings(server), &ask, id, &p));
    for (int i = 0; i < 300000 && hg_server_find(server, (hg_bytes){"anna/polite", 11}) == NULL;
         i++)
        (void)nanosleep(&nap, NULL);
    when_kept = look().reserved; /* its rows are still to be written */
    CHECK_EQ(wait_for_end(id)->state, HG_TRAINING_SUCCEEDED);
    CHECK(when_kept > 0);
    end();
    CHECK_EQ(h.reserved, 0);
}

static char *ask_for(const char *path)
{
    char request[128];

    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    return raw_ask(server, request);
}

TEST(memory_of_models_and_of_trainings_is_told_apart)
{
    char id[HG_TRAINING_ID_ROOM], text[160];
    hg_training_ask ask;

    begin();
    const hg_backend *m = hg_server_take(server, (hg_bytes){"tiny", 4}, &p);
    CHECK(m != NULL);
    const unsigned long long models = look().used, limit = look().memory;
    ask = plain();
    ask.wish.n_epochs = 1000;
    CHECK(hg_trainings_create(hg_server_trainings(server), &ask, id, &p));
    wait_for_reserved();
    const unsigned long long trainings = get(id)->need_bytes;
    const char *a = ask_for("/metrics");
    (void)snprintf(text, sizeof text, "\nhiggins_models_bytes %llu\n", models);
    CHECK_HAS(a, text);
    (void)snprintf(text, sizeof text, "\nhiggins_trainings_bytes %llu\n", trainings);
    CHECK_HAS(a, text);
    (void)snprintf(text, sizeof text, "\nhiggins_models_limit_bytes %llu\n", limit);
    CHECK_HAS(a, text);
    (void)snprintf(text, sizeof text,
                   "\"models_bytes\":%llu,\"trainings_bytes\":%llu,\"models_limit\":%llu,", models,
                   trainings, limit);
    CHECK_HAS(ask_for("/app/state"), text);
    CHECK(hg_trainings_cancel(hg_server_trainings(server), "anna", id, &p));
    CHECK_EQ(wait_for_end(id)->state, HG_TRAINING_CANCELED);
    CHECK_HAS(ask_for("/app/state"), "\"trainings_bytes\":0,");
    hg_backend_release(m);
    end();
}

TEST(a_training_that_never_fits_says_how_much_it_needs)
{
    char id[HG_TRAINING_ID_ROOM];
    hg_training_ask ask = plain();

    begin_within(1000 * 1000);
    CHECK(hg_trainings_create(hg_server_trainings(server), &ask, id, &p));
    const hg_training *one = wait_for_end(id);
    CHECK_EQ(one->state, HG_TRAINING_FAILED);
    CHECK_STR(one->error_code, "not_enough_memory");
    CHECK_HAS(one->error, "models and trainings may take 1.0 MB (--memory)");
    end();
}
