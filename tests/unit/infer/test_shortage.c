/* An engine for which memory is short, for a while. A length that no memory holds stands for the
 * shortage; it is set while the engine's thread sleeps or waits for a listener. */
#include "harness/test.h"
#include "infer/engine.h"
#include "base/clock.h"
#include "tiny.h"

#include <semaphore.h>
#include <string.h>
#include <unistd.h>

enum { ANSWER = 30, PROMPT = 20 };
static const size_t TOO_LONG = (size_t)1 << 40;
static hg_err e;
static const hg_logit_bias no_end[2] = {{TINY_END, -100.0f}, {TINY_END + 2, -100.0f}};

typedef struct asked {
    int32_t ids[PROMPT];
    hg_job job;
    bool is_held; /* waits behind its first words until go_on */
    int n_calls;
    hg_finish finish;
    hg_usage usage;
    char error[512];
    sem_t started, go_on, ended;
} asked;

static void on_text(void *ctx, hg_bytes text, hg_finish finish, const hg_usage *usage,
                    const char *error)
{
    asked *a = ctx;
    (void)text;
    if (++a->n_calls == 1 && a->is_held) {
        (void)sem_post(&a->started);
        (void)sem_wait(&a->go_on);
    }
    if (finish == HG_FINISH_NONE) return;
    a->finish = finish;
    a->usage = *usage;
    (void)strncpy(a->error, error, sizeof a->error - 1);
    (void)sem_post(&a->ended);
}

static void ask_for(hg_engine *en, asked *a, uint64_t seed, bool is_held, unsigned speculate,
                    uint32_t max_tokens)
{
    *a = (asked){.is_held = is_held};
    (void)sem_init(&a->started, 0, 0);
    (void)sem_init(&a->go_on, 0, 0);
    (void)sem_init(&a->ended, 0, 0);
    tiny_prompt(a->ids, PROMPT, seed);
    hg_request r = {.prompt = a->ids,
                    .n_prompt = PROMPT,
                    .max_tokens = max_tokens,
                    .speculate = speculate,
                    .on_text = on_text,
                    .ctx = a};
    hg_sampling_init(&r.sampling);
    r.sampling.bias = no_end;
    r.sampling.n_bias = 2;
    CHECK_OK(hg_engine_submit(en, &r, &a->job, &e), e);
}

static void ask(hg_engine *en, asked *a, uint64_t seed, bool is_held)
{
    ask_for(en, a, seed, is_held, 0, ANSWER);
}

static hg_engine *open_engine(const tiny *t, uint32_t sessions, uint32_t queue)
{
    hg_engine_options o;
    hg_engine *en = NULL;
    hg_engine_options_init(&o);
    o.max_sessions = sessions;
    o.max_queue = queue;
    o.draft = t->m;
    CHECK_OK(hg_engine_new(&en, t->m, t->rt, &o, &e), e);
    return en;
}

static void wait_for_end(asked *a)
{
    (void)sem_wait(&a->ended);
    CHECK_EQ(a->finish, HG_FINISH_LENGTH);
    CHECK_EQ(a->usage.completion_tokens, ANSWER);
}

static void let_go(asked *a)
{
    (void)sem_post(&a->go_on);
    wait_for_end(a);
}

/* Until two run at a time. */
static bool two_run(hg_engine *en)
{
    const double until = hg_seconds() + 10;
    hg_engine_state state = {0};
    while (state.n_running < 2 && hg_seconds() < until) {
        hg_engine_look(en, &state);
        (void)usleep(1000);
    }
    return state.n_running == 2;
}

TEST(where_no_slot_can_be_made_the_reason_is_told_and_passes)
{
    static asked a;
    tiny t = tiny_open(HG_WEIGHTS_BF16, 1);
    hg_engine *en = open_engine(&t, 2, 4);
    const size_t n_ctx = en->n_ctx;
    en->n_ctx = TOO_LONG;
    ask(en, &a, 1, false);
    (void)sem_wait(&a.ended);
    CHECK_EQ(a.finish, HG_FINISH_ERROR);
    CHECK_EQ(a.usage.status, HG_E_NOMEM);
    CHECK(a.error[0] != '\0');
    en->n_ctx = n_ctx;
    ask(en, &a, 1, false);
    wait_for_end(&a);
    hg_engine_free(en);
    tiny_end(&t);
}

TEST(a_slot_that_memory_had_no_room_for_is_made_later)
{
    static asked a, b, c, d;
    tiny t = tiny_open(HG_WEIGHTS_BF16, 1);
    hg_engine *en = open_engine(&t, 2, 4);
    const size_t n_ctx = en->n_ctx;
    ask(en, &a, 1, true);
    (void)sem_wait(&a.started);
    en->n_ctx = TOO_LONG;
    ask(en, &b, 2, false); /* finds no room beside a, and waits for its slot */
    let_go(&a);
    wait_for_end(&b);
    en->n_ctx = n_ctx;
    (void)usleep(1100 * 1000); /* memory is asked for again when a moment has passed */
    ask(en, &c, 3, true);
    (void)sem_wait(&c.started);
    ask(en, &d, 4, true);
    (void)sem_post(&c.go_on);
    (void)sem_wait(&d.started);
    CHECK(two_run(en) || c.finish != HG_FINISH_NONE);
    CHECK_EQ(en->slots[1].cache.n_ctx, n_ctx);
    let_go(&d);
    wait_for_end(&c);
    hg_engine_free(en);
    tiny_end(&t);
}

TEST(slots_that_memory_has_no_room_for_are_not_counted_on)
{
    static asked a, b, c;
    tiny t = tiny_open(HG_WEIGHTS_BF16, 1);
    hg_engine *en = open_engine(&t, 8, 1);
    const size_t n_ctx = en->n_ctx;
    ask(en, &a, 1, false);
    wait_for_end(&a);
    en->n_ctx = TOO_LONG;
    ask(en, &a, 1, true);
    (void)sem_wait(&a.started);
    ask(en, &b, 2, true);
    (void)sem_post(&a.go_on);
    (void)sem_wait(&b.started); /* so it was seen that memory is short */
    ask(en, &c, 3, false);
    hg_request more = {.prompt = c.ids, .n_prompt = PROMPT, .max_tokens = 1};
    hg_sampling_init(&more.sampling);
    hg_job job;
    CHECK_EQ(hg_engine_submit(en, &more, &job, &e), HG_E_STATE);
    CHECK_STR(e.msg, "1 requests run and 1 wait already; try again later");
    wait_for_end(&a);
    let_go(&b);
    wait_for_end(&c);
    en->n_ctx = n_ctx;
    hg_engine_free(en);
    tiny_end(&t);
}

TEST(a_draft_model_without_room_stops_nobody)
{
    static asked a, b, c, d;
    tiny t = tiny_open(HG_WEIGHTS_BF16, 1);
    hg_engine *en = open_engine(&t, 3, 4);
    ask(en, &a, 1, true);
    (void)sem_wait(&a.started);
    ask_for(en, &b, 2, false, 0, 1);
    ask(en, &c, 3, true); /* in the slot above b's, which is soon free */
    (void)sem_post(&a.go_on);
    (void)sem_wait(&c.started);
    en->drafter.n_ctx = SIZE_MAX / 2; /* its bytes cannot be counted: no system is asked for them */
    ask_for(en, &d, 4, false, HG_SPECULATE_DRAFT, ANSWER);
    (void)sem_post(&c.go_on);
    wait_for_end(&a);
    (void)sem_wait(&b.ended);
    wait_for_end(&c);
    wait_for_end(&d);
    CHECK_EQ(d.usage.drafted_tokens, 0);
    hg_engine_free(en);
    tiny_end(&t);
}
