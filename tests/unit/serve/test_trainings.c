/* Trainings as protocols ask for them: what is refused, whose they are, how they end, and what
 * comes of them. */
#include "trained.h"
#include "harness/test.h"
#include "base/file.h"
#include "serve/replicate/trainings.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static hg_problem p;
static hg_err e;

static void check_refused(const hg_training_ask *ask, int status, const char *param)
{
    char id[HG_TRAINING_ID_ROOM];

    CHECK(!hg_trainings_create(hg_server_trainings(trained_server), ask, id, &p));
    CHECK_EQ(p.status, status);
    CHECK_STR(p.param, param);
}

TEST(a_training_ends_with_a_model_under_its_name)
{
    char id[HG_TRAINING_ID_ROOM];
    hg_training_ask ask;

    trained_begin();
    ask = trained_ask();
    ask.name = "anna/polite";
    CHECK(hg_trainings_create(hg_server_trainings(trained_server), &ask, id, &p));
    CHECK_EQ(strlen(id), 26);
    hg_training *one = trained_wait(id);
    if (one->state != HG_TRAINING_SUCCEEDED) test_fail(__FILE__, __LINE__, "%s", one->error);
    CHECK_STR(one->model, "anna/polite");
    CHECK_STR(one->note, "{\"a\":1}");
    CHECK(one->n_examples == 2 && one->step == one->n_steps && one->n_steps > 0);
    CHECK(one->need_bytes > 0 && one->n_threads == 1);
    const hg_backend *b = hg_server_take(trained_server, (hg_bytes){"anna/polite", 11}, &p);
    CHECK(b != NULL);
    hg_backend_release(b);
    CHECK(!hg_trainings_delete_model(hg_server_trainings(trained_server), "ben",
                                     (hg_bytes){"anna/polite", 11}, &p));
    CHECK_EQ(p.status, 403);
    CHECK(hg_trainings_delete_model(hg_server_trainings(trained_server), "anna",
                                    (hg_bytes){"anna/polite", 11}, &p));
    CHECK(hg_server_find(trained_server, (hg_bytes){"anna/polite", 11}) == NULL);
    trained_end();
}

TEST(a_model_that_answers_is_not_deleted_under_its_feet)
{
    char id[HG_TRAINING_ID_ROOM];
    hg_training_ask ask;

    trained_begin();
    ask = trained_ask();
    ask.name = "busy";
    CHECK(hg_trainings_create(hg_server_trainings(trained_server), &ask, id, &p));
    CHECK_EQ(trained_wait(id)->state, HG_TRAINING_SUCCEEDED);
    const hg_backend *b = hg_server_take(trained_server, (hg_bytes){"busy", 4}, &p);
    CHECK(!hg_trainings_delete_model(hg_server_trainings(trained_server), "anna",
                                     (hg_bytes){"busy", 4}, &p));
    CHECK_EQ(p.status, 409);
    hg_backend_release(b);
    CHECK(hg_trainings_delete_model(hg_server_trainings(trained_server), "anna",
                                    (hg_bytes){"busy", 4}, &p));
    trained_end();
}

TEST(what_cannot_be_trained_is_refused_by_name)
{
    hg_training_ask ask;

    trained_begin();
    ask = trained_ask();
    ask.model = (hg_bytes){"none", 4};
    check_refused(&ask, 404, "model");
    ask = trained_ask();
    ask.training_file = "file-none";
    check_refused(&ask, 404, "training_file");
    ask = trained_ask();
    ask.owner = "ben";
    check_refused(&ask, 404, "training_file");
    ask = trained_ask();
    ask.wish.n_epochs = -1;
    check_refused(&ask, 400, "n_epochs");
    ask = trained_ask();
    ask.wish.lora_rank = 100000;
    check_refused(&ask, 400, "lora_rank");
    ask = trained_ask();
    ask.wish.lora_targets = "q,x";
    check_refused(&ask, 400, "lora_targets");
    ask = trained_ask();
    ask.name = "tiny";
    check_refused(&ask, 409, "name");
    trained_end();
}

TEST(nobody_sees_or_stops_the_trainings_of_others)
{
    char id[HG_TRAINING_ID_ROOM];
    hg_training one;
    hg_training_ask ask;

    trained_begin();
    ask = trained_ask();
    ask.wish.n_epochs = 500;
    hg_trainings *t = hg_server_trainings(trained_server);
    CHECK(hg_trainings_create(t, &ask, id, &p));
    CHECK(!hg_trainings_get(t, "ben", id, &trained_memory, &one, &p));
    CHECK_EQ(p.status, 404);
    CHECK(!hg_trainings_cancel(t, "ben", id, &p));
    CHECK(hg_trainings_cancel(t, "anna", id, &p));
    CHECK_EQ(trained_wait(id)->state, HG_TRAINING_CANCELED);
    CHECK(!hg_trainings_cancel(t, "anna", id, &p));
    CHECK_EQ(p.status, 400);
    trained_end();
}

TEST(a_server_that_ends_amid_a_training_goes_on_with_it_later)
{
    char id[HG_TRAINING_ID_ROOM];
    hg_training_ask ask;
    const struct timespec nap = {0, 20 * 1000 * 1000};

    trained_begin();
    ask = trained_ask();
    ask.wish.n_epochs = 12;
    CHECK(hg_trainings_create(hg_server_trainings(trained_server), &ask, id, &p));
    for (int i = 0; i < 3000 && trained_get(id)->step == 0; i++) (void)nanosleep(&nap, NULL);
    trained_end();
    trained_begin();
    const hg_training *one = trained_wait(id);
    CHECK_EQ(one->state, HG_TRAINING_SUCCEEDED);
    CHECK_EQ(one->step, one->n_steps);
    trained_end();
}

/* Whom Replicate's trainings tell of their steps must be there until the last of them has stopped;
 * AddressSanitizer sees when it is not. */
TEST(a_server_that_ends_amid_a_training_frees_nobody_who_is_told_of_it)
{
    char id[HG_TRAINING_ID_ROOM];
    hg_training_ask ask;
    const struct timespec nap = {0, 5 * 1000 * 1000};

    for (int round = 0; round < 3; round++) {
        trained_begin();
        ask = trained_ask();
        ask.face = HG_REPLICATE_FACE;
        ask.note = "{\"webhook\":\"http://127.0.0.1:9/\",\"filter\":[\"start\",\"logs\"]}";
        ask.wish.n_epochs = 1000;
        CHECK(hg_trainings_create(hg_server_trainings(trained_server), &ask, id, &p));
        for (int i = 0; i < 6000 && trained_get(id)->step < 3; i++) (void)nanosleep(&nap, NULL);
        CHECK(trained_get(id)->step >= 3 && trained_get(id)->state == HG_TRAINING_RUNNING);
        trained_end();
        trained_begin();
        CHECK(hg_trainings_cancel(hg_server_trainings(trained_server), "anna", id, &p));
        trained_end();
    }
}

/* A store that does not take the last word stands for a kill before it. */
TEST(an_end_that_was_cut_off_is_made_whole_and_once)
{
    static const char files[] = "SELECT count(*) FROM files WHERE purpose = 'fine-tune-results'";
    char id[HG_TRAINING_ID_ROOM];
    hg_training_ask ask;

    trained_begin();
    (void)trained_number("CREATE TRIGGER no_end BEFORE UPDATE OF model ON trainings BEGIN SELECT "
                         "RAISE(ABORT, 'no'); END");
    ask = trained_ask();
    ask.name = "anna/polite";
    CHECK(hg_trainings_create(hg_server_trainings(trained_server), &ask, id, &p));
    trained_wait_for(files, 1);
    (void)trained_number("CREATE TRIGGER no_twice BEFORE INSERT ON trained_models BEGIN SELECT "
                         "RAISE(ABORT, 'twice'); END");
    const struct timespec nap = {0, 300 * 1000 * 1000};
    (void)nanosleep(&nap, NULL);
    CHECK_EQ(trained_get(id)->state, HG_TRAINING_RUNNING);
    (void)trained_number("DROP TRIGGER no_end");
    const hg_training *one = trained_wait(id);
    if (one->state != HG_TRAINING_SUCCEEDED) test_fail(__FILE__, __LINE__, "%s", one->error);
    CHECK_STR(one->model, "anna/polite");
    CHECK_EQ(trained_number(files), 1);
    CHECK_EQ(trained_number("SELECT count(*) FROM trained_models"), 1);
    CHECK_EQ(trained_number("SELECT count(*) FROM training_events WHERE message LIKE '%completed'"),
             1);
    trained_end();
}

TEST(a_training_for_whose_models_there_is_no_room_is_refused)
{
    char id[HG_TRAINING_ID_ROOM], name[32];
    hg_training_ask ask;
    hg_offer *o;

    trained_begin();
    hg_models *ms = hg_server_models(trained_server);
    for (int i = 0; hg_models_room(ms) > 5; i++) {
        (void)snprintf(name, sizeof name, "other-%d", i);
        CHECK_OK(hg_models_add(ms, name, &o, &e), e);
    }
    ask = trained_ask();
    ask.wish.n_epochs = 1000;
    CHECK(hg_trainings_create(hg_server_trainings(trained_server), &ask, id, &p));
    check_refused(&ask, 429, "");
    CHECK_HAS(p.msg, "a server offers 1024 models at the most");
    CHECK(hg_trainings_cancel(hg_server_trainings(trained_server), "anna", id, &p));
    (void)trained_wait(id);
    CHECK(hg_trainings_create(hg_server_trainings(trained_server), &ask, id, &p));
    CHECK(hg_trainings_cancel(hg_server_trainings(trained_server), "anna", id, &p));
    trained_end();
}

TEST(owners_take_turns_and_keep_their_order)
{
    char first[HG_TRAINING_ID_ROOM], id[HG_TRAINING_ID_ROOM];
    hg_training_ask ask;

    trained_begin();
    ask = trained_ask();
    ask.wish.n_epochs = 1000;
    CHECK(hg_trainings_create(hg_server_trainings(trained_server), &ask, first, &p));
    trained_wait_for("SELECT state FROM trainings", HG_TRAINING_RUNNING);
    ask = trained_ask();
    for (int i = 0; i < 2; i++)
        CHECK(hg_trainings_create(hg_server_trainings(trained_server), &ask, id, &p));
    trained_keep_file("ben", "{\"prompt\": \"Hello\", \"completion\": \"Good day.\"}\n");
    ask.owner = "ben";
    for (int i = 0; i < 2; i++)
        CHECK(hg_trainings_create(hg_server_trainings(trained_server), &ask, id, &p));
    trained_wait_for("SELECT count(*) FROM trainings WHERE state = 1", 4);
    CHECK(hg_trainings_cancel(hg_server_trainings(trained_server), "anna", first, &p));
    trained_wait_for("SELECT count(*) FROM trainings WHERE state = 4", 4);
    /* Of the five in the order in which they were asked for: when each was taken. */
    CHECK_EQ(trained_number("SELECT CAST(group_concat(turn, '') AS INTEGER) FROM (SELECT turn FROM "
                            "trainings ORDER BY number)"),
             13524);
    trained_end();
}

TEST(a_training_whose_begin_cannot_be_written_down_begins_later)
{
    char id[HG_TRAINING_ID_ROOM];
    hg_training_ask ask;
    const struct timespec nap = {0, 300 * 1000 * 1000};

    trained_begin();
    (void)trained_number(
        "CREATE TRIGGER no_begin BEFORE UPDATE OF state ON trainings WHEN new.state = "
        "2 BEGIN SELECT RAISE(ABORT, 'no'); END");
    ask = trained_ask();
    CHECK(hg_trainings_create(hg_server_trainings(trained_server), &ask, id, &p));
    trained_wait_for("SELECT state FROM trainings", HG_TRAINING_QUEUED);
    (void)nanosleep(&nap, NULL);
    CHECK(hg_trainings_pause(hg_server_trainings(trained_server), "anna", id, &p));
    CHECK_EQ(trained_get(id)->state, HG_TRAINING_PAUSED); /* at once: it does not run */
    CHECK(hg_trainings_resume(hg_server_trainings(trained_server), "anna", id, &p));
    (void)nanosleep(&nap, NULL);
    (void)trained_number("DROP TRIGGER no_begin");
    CHECK_EQ(trained_wait(id)->state, HG_TRAINING_SUCCEEDED);
    trained_end();
}

TEST(a_check_that_cannot_be_written_down_does_not_hold_up_what_runs)
{
    char id[HG_TRAINING_ID_ROOM], other[HG_TRAINING_ID_ROOM];
    hg_training_ask ask;

    trained_begin();
    ask = trained_ask();
    ask.wish.n_epochs = 1000;
    CHECK(hg_trainings_create(hg_server_trainings(trained_server), &ask, id, &p));
    trained_wait_for("SELECT state FROM trainings", HG_TRAINING_RUNNING);
    (void)trained_number(
        "CREATE TRIGGER no_end BEFORE UPDATE OF state ON trainings WHEN old.state = 0 "
        "BEGIN SELECT RAISE(ABORT, 'no'); END");
    CHECK(hg_trainings_create(hg_server_trainings(trained_server), &ask, other, &p));
    trained_wait_for("SELECT count(*) > 2 FROM training_events WHERE message LIKE 'Validating%'",
                     1);
    const uint64_t step = trained_get(id)->step;
    const struct timespec nap = {0, 20 * 1000 * 1000};
    for (int i = 0; i < 500 && trained_get(id)->step < step + 3; i++) (void)nanosleep(&nap, NULL);
    CHECK(trained_get(id)->step >= step + 3);
    (void)trained_number("DROP TRIGGER no_end");
    trained_wait_for("SELECT state FROM trainings ORDER BY number DESC LIMIT 1",
                     HG_TRAINING_QUEUED);
    CHECK(hg_trainings_cancel(hg_server_trainings(trained_server), "anna", other, &p));
    CHECK(hg_trainings_cancel(hg_server_trainings(trained_server), "anna", id, &p));
    trained_end();
}

TEST(what_a_kill_left_of_a_training_goes_at_the_next_start)
{
    char id[HG_TRAINING_ID_ROOM], left[64], model[64];
    hg_training_ask ask;

    trained_begin();
    ask = trained_ask();
    ask.name = "anna/polite";
    CHECK(hg_trainings_create(hg_server_trainings(trained_server), &ask, id, &p));
    CHECK_EQ(trained_wait(id)->state, HG_TRAINING_SUCCEEDED);
    trained_wait_for("SELECT sum(intent) FROM trainings", 0);
    (void)snprintf(left, sizeof left, "data/trainings/%s", id);
    (void)snprintf(model, sizeof model, "data/models/%s-99", id);
    CHECK(!hg_path_exists(test_path(left)));
    CHECK_OK(hg_mkdirs(test_path(left), &e), e);
    CHECK_OK(hg_mkdirs(test_path(model), &e), e);
    (void)trained_number("UPDATE trainings SET intent = 3"); /* its watcher was not told */
    trained_end();
    trained_begin();
    trained_wait_for("SELECT sum(intent) FROM trainings", 0);
    CHECK(!hg_path_exists(test_path(left)));
    CHECK(!hg_path_exists(test_path(model)));
    CHECK(hg_server_find(trained_server, (hg_bytes){"anna/polite", 11}) != NULL);
    trained_end();
}

TEST(a_training_is_kept_with_its_first_event_or_not_at_all)
{
    char id[HG_TRAINING_ID_ROOM];
    hg_training_ask ask;

    trained_begin();
    (void)trained_number("CREATE TRIGGER no_event BEFORE INSERT ON training_events BEGIN SELECT "
                         "RAISE(ABORT, 'no'); END");
    ask = trained_ask();
    CHECK(!hg_trainings_create(hg_server_trainings(trained_server), &ask, id, &p));
    CHECK_EQ(p.status, 500);
    CHECK_EQ(trained_number("SELECT count(*) FROM trainings"), 0);
    (void)trained_number("DROP TRIGGER no_event");
    CHECK(hg_trainings_create(hg_server_trainings(trained_server), &ask, id, &p));
    CHECK_EQ(trained_wait(id)->state, HG_TRAINING_SUCCEEDED);
    CHECK_EQ(trained_number("SELECT message LIKE 'Created fine-tuning job: %' FROM training_events "
                            "ORDER BY number LIMIT 1"),
             1);
    trained_end();
}

TEST(two_open_trainings_do_not_make_a_model_of_one_name)
{
    char id[HG_TRAINING_ID_ROOM];
    hg_training_ask ask;

    trained_begin();
    ask = trained_ask();
    ask.name = "anna/polite";
    ask.wish.n_epochs = 1000;
    CHECK(hg_trainings_create(hg_server_trainings(trained_server), &ask, id, &p));
    check_refused(&ask, 409, "name");
    CHECK_STR(p.msg, "a training that is open will make a model anna/polite");
    CHECK(hg_trainings_cancel(hg_server_trainings(trained_server), "anna", id, &p));
    CHECK_EQ(trained_wait(id)->state, HG_TRAINING_CANCELED);
    CHECK(hg_trainings_create(hg_server_trainings(trained_server), &ask, id, &p));
    CHECK(hg_trainings_cancel(hg_server_trainings(trained_server), "anna", id, &p));
    trained_end();
}

/* ---- stopping, between threads ---- */
static hg_training_state state_of(const char *id)
{
    hg_training one;
    hg_arena own;
    hg_problem why;

    hg_arena_init(&own, 4096);
    const bool is_there =
        hg_trainings_get(hg_server_trainings(trained_server), NULL, id, &own, &one, &why);
    hg_arena_free(&own);
    return is_there ? one.state : HG_TRAINING_CHECKING;
}

static void cancel_at_rest(void *ctx, const char *id)
{
    bool *is_taken = ctx;
    hg_problem why;

    if (state_of(id) == HG_TRAINING_PAUSED)
        *is_taken = hg_trainings_cancel(hg_server_trainings(trained_server), "anna", id, &why);
}

TEST(one_that_is_just_being_told_to_rest_is_cancelled_all_the_same)
{
    char id[HG_TRAINING_ID_ROOM];
    hg_training_ask ask;
    bool is_taken = false;

    trained_begin();
    hg_trainings_watch(hg_server_trainings(trained_server), cancel_at_rest, &is_taken);
    ask = trained_ask();
    ask.wish.n_epochs = 1000;
    CHECK(hg_trainings_create(hg_server_trainings(trained_server), &ask, id, &p));
    trained_wait_for("SELECT state = 2 AND step > 0 FROM trainings", 1);
    CHECK(hg_trainings_pause(hg_server_trainings(trained_server), "anna", id, &p));
    CHECK_EQ(trained_wait(id)->state, HG_TRAINING_CANCELED);
    trained_end(); /* and with it the thread that cancels */
    CHECK(is_taken);
}

/* A store that takes no end keeps the training at its last step. */
TEST(one_that_is_being_cancelled_is_not_paused_instead)
{
    char id[HG_TRAINING_ID_ROOM];
    hg_training_ask ask;

    trained_begin();
    hg_trainings *t = hg_server_trainings(trained_server);
    ask = trained_ask();
    ask.wish.n_epochs = 1000;
    CHECK(hg_trainings_create(t, &ask, id, &p));
    trained_wait_for("SELECT state FROM trainings", HG_TRAINING_RUNNING);
    (void)trained_number("CREATE TRIGGER no_end BEFORE UPDATE OF state ON trainings WHEN "
                         "new.state > 2 BEGIN SELECT RAISE(ABORT, 'no'); END");
    CHECK(hg_trainings_cancel(t, "anna", id, &p));
    CHECK(!hg_trainings_pause(t, "anna", id, &p));
    CHECK_EQ(p.status, 400);
    CHECK_STR(p.msg, "the training is being cancelled");
    CHECK(trained_get(id)->is_stopping);
    (void)trained_number("DROP TRIGGER no_end");
    CHECK_EQ(trained_wait(id)->state, HG_TRAINING_CANCELED);
    trained_end();
}

/* Who sees a state may ask for the event at once. */
TEST(a_state_comes_with_the_event_that_tells_it_or_not_at_all)
{
    char id[HG_TRAINING_ID_ROOM];
    hg_training_ask ask;
    const struct timespec nap = {0, 500 * 1000 * 1000};

    trained_begin();
    hg_trainings *t = hg_server_trainings(trained_server);
    ask = trained_ask();
    ask.wish.n_epochs = 1000;
    CHECK(hg_trainings_create(t, &ask, id, &p));
    trained_wait_for("SELECT state = 2 AND step > 0 FROM trainings", 1);
    (void)trained_number("CREATE TRIGGER no_event BEFORE INSERT ON training_events WHEN "
                         "new.message LIKE 'The job %' BEGIN SELECT RAISE(ABORT, 'no'); END");
    CHECK(hg_trainings_pause(t, "anna", id, &p));
    (void)nanosleep(&nap, NULL);
    CHECK_EQ(trained_get(id)->state, HG_TRAINING_RUNNING);
    CHECK(trained_get(id)->is_stopping);
    (void)trained_number("DROP TRIGGER no_event");
    trained_wait_for("SELECT state FROM trainings", HG_TRAINING_PAUSED);
    CHECK_EQ(trained_number("SELECT count(*) FROM training_events WHERE message LIKE 'The job was "
                            "paused%'"),
             1);
    (void)trained_number("CREATE TRIGGER no_event BEFORE INSERT ON training_events BEGIN SELECT "
                         "RAISE(ABORT, 'no'); END");
    CHECK(!hg_trainings_resume(t, "anna", id, &p));
    CHECK(!hg_trainings_cancel(t, "anna", id, &p));
    CHECK_EQ(p.status, 500);
    CHECK_EQ(trained_get(id)->state, HG_TRAINING_PAUSED);
    (void)trained_number("DROP TRIGGER no_event");
    CHECK(hg_trainings_cancel(t, "anna", id, &p));
    trained_end();
}

TEST(a_stop_that_cannot_be_written_down_is_refused_and_changes_nothing)
{
    char id[HG_TRAINING_ID_ROOM], folder[96], query[80];
    hg_training_ask ask;

    trained_begin();
    hg_trainings *t = hg_server_trainings(trained_server);
    ask = trained_ask();
    ask.wish.n_epochs = 1000;
    CHECK(hg_trainings_create(t, &ask, id, &p));
    trained_wait_for("SELECT state = 2 AND step > 0 FROM trainings", 1);
    (void)trained_number("CREATE TRIGGER no_intent BEFORE UPDATE OF intent ON trainings BEGIN "
                         "SELECT RAISE(ABORT, 'no'); END");
    CHECK(!hg_trainings_pause(t, "anna", id, &p));
    CHECK_EQ(p.status, 500);
    const uint64_t step = trained_get(id)->step;
    (void)snprintf(query, sizeof query, "SELECT step > %llu FROM trainings",
                   (unsigned long long)step + 1);
    trained_wait_for(query, 1); /* it was not stopped either */
    (void)trained_number("DROP TRIGGER no_intent");
    CHECK(hg_trainings_pause(t, "anna", id, &p));
    trained_wait_for("SELECT state FROM trainings", HG_TRAINING_PAUSED);
    (void)trained_number("CREATE TRIGGER no_state BEFORE UPDATE OF state ON trainings BEGIN "
                         "SELECT RAISE(ABORT, 'no'); END");
    CHECK(!hg_trainings_resume(t, "anna", id, &p));
    CHECK_EQ(p.status, 500);
    CHECK(!hg_trainings_cancel(t, "anna", id, &p));
    CHECK_EQ(p.status, 500);
    CHECK_EQ(trained_get(id)->state, HG_TRAINING_PAUSED);
    (void)snprintf(folder, sizeof folder, "data/trainings/%s/run", id);
    CHECK(hg_path_exists(test_path(folder))); /* what it has learnt so far */
    (void)trained_number("DROP TRIGGER no_state");
    CHECK(hg_trainings_cancel(t, "anna", id, &p));
    CHECK_EQ(trained_get(id)->state, HG_TRAINING_CANCELED);
    trained_end();
}

TEST(replicates_clients_are_told_once_that_a_training_has_started)
{
    char id[HG_TRAINING_ID_ROOM], other[HG_TRAINING_ID_ROOM], query[160];
    hg_training_ask ask;

    trained_begin();
    (void)trained_number("CREATE TABLE told (body BLOB)");
    (void)trained_number("CREATE TRIGGER tell AFTER INSERT ON webhooks BEGIN INSERT INTO told "
                         "VALUES (new.body); END");
    ask = trained_ask();
    ask.face = HG_REPLICATE_FACE;
    ask.note = "{\"webhook\":\"http://127.0.0.1:9/\",\"filter\":[\"start\"]}";
    ask.wish.n_epochs = 1000;
    CHECK(hg_trainings_create(hg_server_trainings(trained_server), &ask, id, &p));
    trained_wait_for("SELECT count(*) FROM told", 1);
    /* The files of another are checked amid its steps. */
    CHECK(hg_trainings_create(hg_server_trainings(trained_server), &ask, other, &p));
    trained_wait_for("SELECT count(*) FROM trainings WHERE state = 1", 1);
    (void)snprintf(query, sizeof query, "SELECT step >= %llu FROM trainings WHERE id = '%s'",
                   (unsigned long long)trained_get(id)->step + 3, id);
    trained_wait_for(query, 1);
    CHECK_EQ(trained_number("SELECT count(*) FROM told"), 1);
    trained_end();
    trained_begin();
    (void)snprintf(query, sizeof query, "SELECT step >= %llu FROM trainings WHERE id = '%s'",
                   (unsigned long long)trained_get(id)->step + 3, id);
    trained_wait_for(query, 1);
    CHECK_EQ(trained_number("SELECT count(*) FROM told"), 1);
    CHECK(hg_trainings_cancel(hg_server_trainings(trained_server), "anna", other, &p));
    CHECK(hg_trainings_cancel(hg_server_trainings(trained_server), "anna", id, &p));
    trained_end();
}
