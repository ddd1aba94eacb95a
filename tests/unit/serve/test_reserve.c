/* The budget of memory that models and trainings share: who has to go for whom, and that no byte is
 * given away twice. Models stand in for themselves here: what counts is what they say they take. */
#include "small.h"
#include "harness/test.h"
#include "base/clock.h"
#include "serve/models_internal.h"

#include <time.h>

enum { MEMORY = 10000 };

static hg_server *server;
static hg_models *ms;
static hg_problem p;
static hg_err e;
static uint64_t left;

static void begin_within(uint64_t memory)
{
    hg_server_options o;

    hg_server_options_init(&o);
    o.port = 0;
    o.memory = memory;
    o.threads = 1;
    o.parallel = 1;
    CHECK_OK(hg_server_new(&server, &o, &e), e);
    ms = hg_server_models(server);
}

static void begin(void)
{
    begin_within(MEMORY);
}

static hg_models_state look(void)
{
    hg_models_state state;

    hg_models_look(ms, &state);
    return state;
}

/* One that takes n bytes when it is loaded, and is not. */
static hg_offer *offer(const char *id, uint64_t n)
{
    hg_offer *o = NULL;

    CHECK_OK(hg_models_add(ms, id, &o, &e), e);
    o->path = hg_strdup("nowhere");
    o->n_bytes = n;
    return o;
}

/* The same in memory; `gone` is called when it is freed. */
static hg_offer *loaded(const char *id, uint64_t n, void (*gone)(void *))
{
    hg_offer *o = offer(id, n);

    o->loaded = hg_alloc(1, sizeof *o->loaded);
    o->loaded->n_users = &o->n_users;
    o->loaded->free = gone;
    o->taken = n;
    ms->used += n;
    return o;
}

TEST(a_reservation_unloads_only_where_that_makes_room_enough)
{
    begin();
    hg_offer *busy = loaded("busy", 4000, NULL), *idle = loaded("idle", 3000, NULL);
    (void)atomic_fetch_add(&busy->n_users, 1);
    CHECK_EQ(hg_models_reserve(ms, 6001, &left), HG_RESERVE_LATER);
    CHECK_EQ(left, 6000);
    CHECK(idle->loaded != NULL && look().n_unloads == 0);
    CHECK_EQ(hg_models_reserve(ms, 6000, &left), HG_RESERVED);
    CHECK(idle->loaded == NULL && look().n_unloads == 1);
    CHECK(look().used == MEMORY && look().reserved == 6000);
    hg_models_give_back(ms, 6000);
    CHECK(look().used == 4000 && look().reserved == 0);
    CHECK_EQ(hg_models_reserve(ms, MEMORY + 1, &left), HG_RESERVE_NEVER);
    hg_server_free(server);
}

/* A base in memory is held by its adapters there; where nobody uses those, all of them may go. */
TEST(what_only_idle_adapters_stand_on_makes_room)
{
    size_t n = 0;

    begin_within(20 * 1000 * 1000);
    small_write("m/a", 1, "m/tuned");
    CHECK_OK(hg_server_offer(server, test_path("m"), NULL, NULL, &n, &e), e);
    CHECK_OK(hg_server_configure(server, NULL, NULL, &e), e);
    const hg_backend *b = hg_server_take(server, (hg_bytes){"tuned", 5}, &p);
    CHECK(b != NULL && look().n_loaded == 2);
    CHECK_EQ(hg_models_reserve(ms, look().memory, &left), HG_RESERVE_LATER);
    CHECK_EQ(look().n_loaded, 2);
    hg_backend_release(b);
    CHECK_EQ(hg_models_reserve(ms, look().memory, &left), HG_RESERVED);
    CHECK_EQ(look().n_loaded, 0);
    hg_models_give_back(ms, look().memory);
    hg_server_free(server);
}

static struct {
    uint64_t used;
    hg_reserve reserve;
} while_freed;

static void look_while_freed(void *ctx)
{
    (void)ctx;
    while_freed.used = look().used;
    while_freed.reserve = hg_models_reserve(ms, 8000, &left);
}

TEST(what_is_being_freed_is_counted_until_it_is)
{
    begin();
    (void)loaded("one", 5000, look_while_freed);
    CHECK_EQ(hg_models_reserve(ms, 8000, &left), HG_RESERVED);
    CHECK_EQ(while_freed.used, 5000);
    CHECK_EQ(while_freed.reserve, HG_RESERVE_SOON);
    CHECK(look().used == 8000 && look().reserved == 8000);
    hg_models_give_back(ms, 8000);
    hg_offer *two = loaded("two", 5000, look_while_freed);
    CHECK_OK(hg_models_remove(ms, two, &e), e);
    CHECK_EQ(while_freed.used, 5000);
    CHECK_EQ(while_freed.reserve, HG_RESERVE_SOON);
    CHECK_EQ(look().used, 0);
    hg_server_free(server);
}

TEST(a_reservation_tells_a_load_on_its_way_from_models_at_work)
{
    begin();
    hg_offer *one = loaded("one", 5000, NULL);
    ms->loading = true;
    CHECK_EQ(hg_models_reserve(ms, 8000, &left), HG_RESERVE_SOON);
    CHECK_EQ(hg_models_reserve(ms, 1000, &left), HG_RESERVE_SOON);
    CHECK(one->loaded != NULL);
    (void)atomic_fetch_add(&one->n_users, 1);
    CHECK_EQ(hg_models_reserve(ms, 8000, &left), HG_RESERVE_LATER);
    CHECK_EQ(left, 5000);
    ms->loading = false;
    CHECK_EQ(hg_models_reserve(ms, 5000, &left), HG_RESERVED);
    hg_models_give_back(ms, 5000);
    hg_server_free(server);
}

TEST(a_load_unloads_only_what_makes_room_enough)
{
    begin();
    hg_offer *busy = loaded("busy", 6000, NULL), *idle = loaded("idle", 1000, NULL);
    (void)atomic_fetch_add(&busy->n_users, 1);
    hg_models_close(ms); /* waiting ends at once */
    CHECK(hg_models_take(ms, offer("big", 5000), &p) == NULL);
    CHECK_HAS(p.msg, "no room for big: the models in memory are all at work; try again");
    CHECK(idle->loaded != NULL && look().n_unloads == 0);
    hg_server_free(server);
}

TEST(a_load_that_finds_no_room_beside_a_training_is_refused_at_once)
{
    begin_within(10 * 1000 * 1000);
    CHECK_EQ(hg_models_reserve(ms, 7000 * 1000, &left), HG_RESERVED);
    hg_offer *idle = loaded("idle", 1000 * 1000, NULL);
    CHECK(hg_models_take(ms, offer("big", 3100 * 1000), &p) == NULL);
    CHECK_EQ(p.status, 503);
    CHECK_STR(p.code, "server_overloaded");
    CHECK_STR(p.msg, "big needs 3.1 MB; beside the training that runs models may take 3.0 MB; try "
                     "again when it has ended");
    CHECK(idle->loaded != NULL);
    CHECK(hg_models_take(ms, offer("huge", 11 * 1000 * 1000), &p) == NULL);
    CHECK_STR(p.code, "no_memory");
    hg_models_give_back(ms, 7000 * 1000);
    hg_server_free(server);
}

static void *take(void *ctx)
{
    hg_problem why; /* several take at once */

    return hg_models_take(ms, ctx, &why) != NULL ? ctx : NULL;
}

TEST(a_model_that_is_being_loaded_is_not_deleted)
{
    const struct timespec nap = {0, 5 * 1000 * 1000};
    pthread_t t;
    size_t n = 0;
    void *got = NULL;

    begin_within(20 * 1000 * 1000);
    small_write("a", 1, NULL);
    CHECK_OK(hg_server_offer(server, test_path("a"), NULL, NULL, &n, &e), e);
    hg_offer *a = hg_models_find(ms, (hg_bytes){"a", 1});
    hg_offer *busy = loaded("busy", look().memory, NULL);
    (void)atomic_fetch_add(&busy->n_users, 1);
    CHECK_EQ(pthread_create(&t, NULL, take, a), 0);
    for (int i = 0; i < 2000 && atomic_load(&a->n_users) == 0; i++) (void)nanosleep(&nap, NULL);
    CHECK_EQ(hg_models_remove(ms, a, &e), HG_E_STATE);
    CHECK_HAS(e.msg, "a is at work; try again");
    (void)atomic_fetch_sub(&busy->n_users, 1);
    CHECK_EQ(pthread_join(t, &got), 0);
    CHECK(got == a && a->loaded != NULL);
    hg_backend_release(a->loaded);
    CHECK_EQ(atomic_load(&a->n_users), 0);
    CHECK_OK(hg_models_remove(ms, a, &e), e);
    CHECK_EQ(look().used, 0);
    hg_server_free(server);
}

TEST(a_load_that_fits_passes_one_that_waits_for_room)
{
    const struct timespec nap = {0, 5 * 1000 * 1000};
    pthread_t t;
    size_t n = 0;
    void *got = NULL;

    begin_within(20 * 1000 * 1000);
    small_write("a", 1, NULL);
    small_write("b", 2, NULL);
    CHECK_OK(hg_server_offer(server, test_path("a"), NULL, NULL, &n, &e), e);
    CHECK_OK(hg_server_offer(server, test_path("b"), NULL, NULL, &n, &e), e);
    hg_offer *a = hg_models_find(ms, (hg_bytes){"a", 1}),
             *b = hg_models_find(ms, (hg_bytes){"b", 1});
    hg_offer *busy = loaded("busy", look().memory - b->n_bytes, NULL);
    (void)atomic_fetch_add(&busy->n_users, 1);
    a->n_bytes = 2 * b->n_bytes; /* does not fit */
    CHECK_EQ(pthread_create(&t, NULL, take, a), 0);
    for (int i = 0; i < 2000 && atomic_load(&a->n_users) == 0; i++) (void)nanosleep(&nap, NULL);
    const double begun = hg_seconds();
    const hg_backend *passed = hg_models_take(ms, b, &p);
    CHECK(passed != NULL);
    CHECK(hg_seconds() - begun < 10);
    CHECK(a->loaded == NULL);
    hg_backend_release(passed);
    (void)atomic_fetch_sub(&busy->n_users, 1);
    CHECK_EQ(pthread_join(t, &got), 0);
    CHECK(got == a && a->loaded != NULL);
    hg_backend_release(a->loaded);
    hg_server_free(server);
}

TEST(two_who_wait_for_one_model_get_it_loaded_once)
{
    const struct timespec nap = {0, 50 * 1000 * 1000};
    pthread_t t[2];
    size_t n = 0;
    void *got = NULL;

    begin_within(20 * 1000 * 1000);
    small_write("a", 1, NULL);
    CHECK_OK(hg_server_offer(server, test_path("a"), NULL, NULL, &n, &e), e);
    hg_offer *a = hg_models_find(ms, (hg_bytes){"a", 1});
    hg_offer *busy = loaded("busy", look().memory, NULL);
    (void)atomic_fetch_add(&busy->n_users, 1);
    for (int i = 0; i < 2; i++) CHECK_EQ(pthread_create(&t[i], NULL, take, a), 0);
    (void)nanosleep(&nap, NULL);
    (void)atomic_fetch_sub(&busy->n_users, 1);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(pthread_join(t[i], &got), 0);
        CHECK(got == a);
        hg_backend_release(a->loaded);
    }
    CHECK_EQ(look().n_loads, 1);
    CHECK_EQ(look().n_unloads, 1);
    CHECK_EQ(atomic_load(&a->n_users), 0);
    hg_server_free(server);
}
