/* The memory of trainings: waited for, held, given back, and told. */
#include "fake.h"
#include "trained.h"
#include "harness/test.h"
#include "base/file.h"

#include <stdio.h>
#include <time.h>

static hg_problem p;
static hg_err e;

#define WAITS \
    "message LIKE 'The job waits for memory: it needs % MB, and beside the models at work %'"
static const char n_waits[] = "SELECT count(*) FROM training_events WHERE " WAITS,
                  n_others_wait[] = "SELECT count(*) FROM training_events WHERE " WAITS
                                    " AND training <> (SELECT id FROM trainings ORDER BY number "
                                    "LIMIT 1)";

static hg_models_state look(void)
{
    hg_models_state state;

    hg_models_look(hg_server_models(trained_server), &state);
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

    trained_begin();
    ask = trained_ask();
    CHECK(hg_trainings_create(hg_server_trainings(trained_server), &ask, id, &p));
    const uint64_t need = trained_wait(id)->need_bytes;
    CHECK(need > 0);
    CHECK_EQ(look().reserved, 0);
    (void)trained_number("DELETE FROM trainings");
    (void)trained_number("DELETE FROM training_events");
    trained_end();
    return need;
}

/* A server with room for the training alone, whose model is at work. */
static const hg_backend *begin_full(uint64_t need)
{
    trained_begin_within(need + 1000);
    const hg_backend *m = hg_server_take(trained_server, (hg_bytes){"tiny", 4}, &p);
    if (m == NULL) test_fail(__FILE__, __LINE__, "%s", p.msg);
    return m;
}

TEST(a_training_waits_for_models_at_work_and_goes_on_without_them)
{
    char id[HG_TRAINING_ID_ROOM], other[HG_TRAINING_ID_ROOM];
    hg_training_ask ask;
    const struct timespec nap = {0, 200 * 1000 * 1000};

    const hg_backend *m = begin_full(need_of_a_training());
    ask = trained_ask();
    CHECK(hg_trainings_create(hg_server_trainings(trained_server), &ask, id, &p));
    CHECK(hg_trainings_create(hg_server_trainings(trained_server), &ask, other, &p));
    trained_wait_for(n_waits, 1);
    (void)nanosleep(&nap, NULL);
    CHECK_EQ(trained_number(n_waits), 1); /* said once */
    CHECK_EQ(look().reserved, 0);
    CHECK_EQ(look().n_unloads, 0);
    CHECK(hg_trainings_cancel(hg_server_trainings(trained_server), "anna", id, &p));
    CHECK_EQ(trained_wait(id)->state, HG_TRAINING_CANCELED);
    trained_wait_for(n_others_wait, 1);
    hg_backend_release(m);
    CHECK_EQ(trained_wait(other)->state, HG_TRAINING_SUCCEEDED);
    CHECK_EQ(look().reserved, 0);
    CHECK_EQ(trained_number(n_waits), 2);
    trained_end();
}

TEST(a_training_that_waits_for_memory_rests_and_goes_on)
{
    char id[HG_TRAINING_ID_ROOM];
    hg_training_ask ask;

    const hg_backend *m = begin_full(need_of_a_training());
    hg_trainings *t = hg_server_trainings(trained_server);
    ask = trained_ask();
    CHECK(hg_trainings_create(t, &ask, id, &p));
    trained_wait_for(n_waits, 1);
    CHECK(hg_trainings_pause(t, "anna", id, &p));
    trained_wait_for("SELECT state FROM trainings", HG_TRAINING_PAUSED);
    CHECK(hg_trainings_resume(t, "anna", id, &p));
    trained_wait_for(n_waits, 2);
    CHECK_EQ(trained_get(id)->state, HG_TRAINING_RUNNING);
    hg_backend_release(m);
    CHECK_EQ(trained_wait(id)->state, HG_TRAINING_SUCCEEDED);
    CHECK_EQ(look().reserved, 0);
    trained_end();
}

TEST(a_server_that_ends_while_a_training_waits_for_memory_leaves_it_to_the_next)
{
    char id[HG_TRAINING_ID_ROOM];
    hg_training_ask ask;

    const hg_backend *m = begin_full(need_of_a_training());
    ask = trained_ask();
    CHECK(hg_trainings_create(hg_server_trainings(trained_server), &ask, id, &p));
    trained_wait_for(n_waits, 1);
    hg_backend_release(m); /* perhaps it begins; then it is stopped amid its steps */
    trained_end();
    trained_begin();
    CHECK_EQ(trained_wait(id)->state, HG_TRAINING_SUCCEEDED);
    CHECK_EQ(trained_get(id)->step, trained_get(id)->n_steps);
    trained_end();
}

TEST(a_training_that_stops_amid_its_steps_gives_its_memory_back)
{
    char id[HG_TRAINING_ID_ROOM], made[96], away[112];
    hg_training_ask ask;

    trained_begin();
    hg_trainings *t = hg_server_trainings(trained_server);
    ask = trained_ask();
    ask.wish.n_epochs = 1000;
    CHECK(hg_trainings_create(t, &ask, id, &p));
    wait_for_reserved();
    CHECK_EQ(look().reserved, trained_get(id)->need_bytes);
    CHECK(hg_trainings_pause(t, "anna", id, &p));
    trained_wait_for("SELECT state FROM trainings", HG_TRAINING_PAUSED);
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
    const hg_training *one = trained_wait(id);
    CHECK_EQ(one->state, HG_TRAINING_FAILED);
    CHECK_STR(one->error_code, "training_failed");
    CHECK_EQ(look().reserved, 0);
    trained_end();
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
    const bool is_there =
        hg_trainings_get(hg_server_trainings(trained_server), NULL, id, &own, &one, &why);
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

    trained_begin();
    hg_trainings_watch(hg_server_trainings(trained_server), hear_the_end, &h);
    ask = trained_ask();
    ask.name = "anna/polite";
    CHECK(hg_trainings_create(hg_server_trainings(trained_server), &ask, id, &p));
    for (int i = 0;
         i < 300000 && hg_server_find(trained_server, (hg_bytes){"anna/polite", 11}) == NULL; i++)
        (void)nanosleep(&nap, NULL);
    when_kept = look().reserved; /* its rows are still to be written */
    CHECK_EQ(trained_wait(id)->state, HG_TRAINING_SUCCEEDED);
    CHECK(when_kept > 0);
    trained_end();
    CHECK_EQ(h.reserved, 0);
}

static char *ask_for(const char *path)
{
    char request[128];

    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    return raw_ask(trained_server, request);
}

TEST(memory_of_models_and_of_trainings_is_told_apart)
{
    char id[HG_TRAINING_ID_ROOM], text[160];
    hg_training_ask ask;

    trained_begin();
    const hg_backend *m = hg_server_take(trained_server, (hg_bytes){"tiny", 4}, &p);
    CHECK(m != NULL);
    const unsigned long long models = look().used, limit = look().memory;
    ask = trained_ask();
    ask.wish.n_epochs = 1000;
    CHECK(hg_trainings_create(hg_server_trainings(trained_server), &ask, id, &p));
    wait_for_reserved();
    const unsigned long long trainings = trained_get(id)->need_bytes;
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
    CHECK(hg_trainings_cancel(hg_server_trainings(trained_server), "anna", id, &p));
    CHECK_EQ(trained_wait(id)->state, HG_TRAINING_CANCELED);
    CHECK_HAS(ask_for("/app/state"), "\"trainings_bytes\":0,");
    hg_backend_release(m);
    trained_end();
}

TEST(a_training_that_never_fits_says_how_much_it_needs)
{
    char id[HG_TRAINING_ID_ROOM];
    hg_training_ask ask = trained_ask();

    trained_begin_within(1000 * 1000);
    CHECK(hg_trainings_create(hg_server_trainings(trained_server), &ask, id, &p));
    const hg_training *one = trained_wait(id);
    CHECK_EQ(one->state, HG_TRAINING_FAILED);
    CHECK_STR(one->error_code, "not_enough_memory");
    CHECK_HAS(one->error, "models and trainings may take 1.0 MB (--memory)");
    trained_end();
}
