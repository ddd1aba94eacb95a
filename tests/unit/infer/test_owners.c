/* Owners of requests: what was read for one is nothing to another, and where requests wait they
 * take turns. */
#include "harness/test.h"
#include "tiny.h"

#include <semaphore.h>
#include <string.h>

enum { A = 1, B = 2, C = 3, MAX_ENDED = 32 };
static hg_err e;

static hg_engine *open_engine(const tiny *t, uint32_t sessions, uint32_t queue)
{
    hg_engine_options o;
    hg_engine *en = NULL;
    hg_engine_options_init(&o);
    o.max_sessions = sessions;
    o.max_queue = queue;
    CHECK_OK(hg_engine_new(&en, t->m, t->rt, &o, &e), e);
    return en;
}

static uint32_t cached_for(hg_engine *en, uint64_t owner, const int32_t *ids, size_t n)
{
    hg_usage usage = {0};
    hg_request r = {.prompt = ids, .n_prompt = n, .max_tokens = 1, .owner = owner};
    hg_sampling_init(&r.sampling);
    CHECK_OK(hg_engine_run(en, &r, NULL, NULL, &usage, &e), e);
    return usage.cached_tokens;
}

TEST(what_was_read_for_one_owner_is_not_known_to_another)
{
    int32_t ids[100];
    tiny t = tiny_open(HG_WEIGHTS_BF16, 1);
    hg_engine *en = open_engine(&t, 2, 4);
    tiny_prompt(ids, 100, 3);
    CHECK_EQ(cached_for(en, A, ids, 100), 0);
    CHECK_EQ(cached_for(en, A, ids, 100), 99);
    CHECK_EQ(cached_for(en, B, ids, 100), 0);
    CHECK_EQ(cached_for(en, B, ids, 100), 99);
    CHECK_EQ(cached_for(en, A, ids, 100), 99); /* and still has its own */
    CHECK_EQ(cached_for(en, C, ids, 100), 0);  /* in a place that was another's */
    CHECK_EQ(cached_for(en, 0, ids, 100), 0);
    hg_engine_free(en);
    tiny_end(&t);
}

/* ---- turns ---- */
typedef struct record {
    sem_t started, go_on, ended;
    uint64_t owner[MAX_ENDED]; /* of those that ended, in their order */
    int n;
    bool is_first;
} record;

typedef struct caller {
    record *rec;
    uint64_t owner;
} caller;

/* One runs at a time, so that the order of the ends is the order of the beginnings. */
static void on_text(void *ctx, hg_bytes text, hg_finish finish, const hg_usage *usage,
                    const char *error)
{
    const caller *c = ctx;
    record *rec = c->rec;
    (void)text;
    (void)usage;
    (void)error;
    if (rec->is_first) {
        rec->is_first = false;
        (void)sem_post(&rec->started);
        (void)sem_wait(&rec->go_on);
    }
    if (finish == HG_FINISH_NONE) return;
    rec->owner[rec->n++] = c->owner;
    (void)sem_post(&rec->ended);
}

static hg_status ask(hg_engine *en, caller *c)
{
    static const int32_t ids[] = {'a', 'b', 'c'};
    hg_job job;
    hg_request r = {.prompt = ids,
                    .n_prompt = 3,
                    .max_tokens = 2,
                    .owner = c->owner,
                    .on_text = on_text,
                    .ctx = c};
    hg_sampling_init(&r.sampling);
    return hg_engine_submit(en, &r, &job, &e);
}

static void record_begin(record *rec)
{
    *rec = (record){.is_first = true};
    (void)sem_init(&rec->started, 0, 0);
    (void)sem_init(&rec->go_on, 0, 0);
    (void)sem_init(&rec->ended, 0, 0);
}

TEST(owners_take_turns_however_much_one_of_them_asks)
{
    record rec;
    tiny t = tiny_open(HG_WEIGHTS_BF16, 1);
    hg_engine *en = open_engine(&t, 1, 16);
    record_begin(&rec);
    caller a = {&rec, A}, b = {&rec, B}, c = {&rec, C};
    CHECK_OK(ask(en, &a), e);
    (void)sem_wait(&rec.started);
    for (int i = 0; i < 6; i++) CHECK_OK(ask(en, &a), e);
    for (int i = 0; i < 2; i++) CHECK_OK(ask(en, &b), e);
    CHECK_OK(ask(en, &c), e);
    (void)sem_post(&rec.go_on);
    for (int i = 0; i < 10; i++) (void)sem_wait(&rec.ended);
    hg_engine_free(en);
    /* A's first runs; B and C come with A's second turn at the latest, and B's second before A's
     * fourth. */
    int at_b = 0, at_c = 0, second_b = 0;
    for (int i = 0; i < 10; i++) {
        if (rec.owner[i] == B && at_b > 0) second_b = i;
        if (rec.owner[i] == B && at_b == 0) at_b = i;
        if (rec.owner[i] == C) at_c = i;
    }
    CHECK(at_b <= 2);
    CHECK(at_c <= 3);
    CHECK(second_b <= 5);
    tiny_end(&t);
}

TEST(requests_of_one_owner_keep_their_order)
{
    record rec;
    tiny t = tiny_open(HG_WEIGHTS_BF16, 1);
    hg_engine *en = open_engine(&t, 1, 16);
    record_begin(&rec);
    caller all[8];
    for (uint64_t i = 0; i < 8; i++) all[i] = (caller){&rec, A};
    CHECK_OK(ask(en, &all[0]), e);
    (void)sem_wait(&rec.started);
    for (uint64_t i = 1; i < 8; i++) CHECK_OK(ask(en, &all[i]), e);
    for (uint64_t i = 0; i < 8; i++) all[i].owner = i; /* who it is, for the record */
    (void)sem_post(&rec.go_on);
    for (int i = 0; i < 8; i++) (void)sem_wait(&rec.ended);
    hg_engine_free(en);
    for (uint64_t i = 0; i < 8; i++) CHECK_EQ(rec.owner[i], i);
    tiny_end(&t);
}

TEST(a_queue_that_one_has_filled_has_places_for_others)
{
    record rec;
    tiny t = tiny_open(HG_WEIGHTS_BF16, 1);
    hg_engine *en = open_engine(&t, 1, 4);
    record_begin(&rec);
    caller a = {&rec, A}, b = {&rec, B}, c = {&rec, C};
    CHECK_OK(ask(en, &a), e);
    (void)sem_wait(&rec.started);
    for (int i = 0; i < 4; i++) CHECK_OK(ask(en, &a), e);
    CHECK_EQ(ask(en, &a), HG_E_STATE);
    CHECK_OK(ask(en, &b), e);
    CHECK_EQ(ask(en, &b), HG_E_STATE); /* one each */
    CHECK_OK(ask(en, &c), e);
    caller d = {&rec, 4};
    CHECK_EQ(ask(en, &d), HG_E_STATE);
    (void)sem_post(&rec.go_on);
    for (int i = 0; i < 7; i++) (void)sem_wait(&rec.ended);
    hg_engine_free(en);
    tiny_end(&t);
}
