/* The engine: many requests at once, each with the answer it would get alone. */
#include "base/mem.h"
#include "harness/test.h"
#include "model/model.h"
#include "tiny.h"

#include <math.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <unistd.h>

/* What a request's listener heard. */
typedef struct heard {
    hg_buf text;
    int n_calls, n_ends;
    hg_finish finish;
    hg_usage usage;
    char error[512];
    int cancel_after; /* calls; 0: never */
    atomic_bool cancel;
    sem_t *started, *go_on; /* posted at the first call; waited for behind it */
    sem_t ended;
} heard;

static void on_text(void *ctx, hg_bytes text, hg_finish finish, const hg_usage *usage,
                    const char *error)
{
    heard *h = ctx;
    hg_buf_put(&h->text, text.p, text.n);
    if (++h->n_calls == 1 && h->started != NULL) {
        (void)sem_post(h->started);
        (void)sem_wait(h->go_on);
    }
    if (h->n_calls == h->cancel_after) atomic_store(&h->cancel, true);
    if (finish == HG_FINISH_NONE) return;
    h->n_ends++;
    h->finish = finish;
    h->usage = *usage;
    strncpy(h->error, error, sizeof h->error - 1);
    (void)sem_post(&h->ended);
}

static heard *heard_new(void)
{
    heard *h = hg_alloc(1, sizeof *h);
    CHECK(h != NULL);
    (void)sem_init(&h->ended, 0, 0);
    hg_buf_puts(&h->text, "");
    return h;
}

static void heard_free(heard *h)
{
    (void)sem_destroy(&h->ended);
    hg_buf_free(&h->text);
    hg_free(h);
}

static hg_request request(const int32_t *ids, size_t n, uint32_t max_tokens, heard *h)
{
    hg_request r = {.prompt = ids,
                    .n_prompt = n,
                    .max_tokens = max_tokens,
                    .on_text = on_text,
                    .ctx = h,
                    .cancel = &h->cancel};
    hg_sampling_init(&r.sampling);
    return r;
}

static hg_engine *open_engine(const tiny *t, uint32_t sessions, uint32_t queue, uint32_t chunk)
{
    hg_engine_options o;
    hg_engine *en = NULL;
    hg_err e;
    hg_engine_options_init(&o);
    o.max_sessions = sessions;
    o.max_queue = queue;
    o.prefill_chunk = chunk;
    CHECK_OK(hg_engine_new(&en, t->m, t->rt, &o, &e), e);
    return en;
}

/* ---- the same alone and together ---- */
enum { MANY = 8, ANSWER = 40 };

static hg_request one_of_many(size_t i, int32_t *ids, heard *h)
{
    const size_t n = 5 + 23 * i; /* some within a step's prompt chunk, some far beyond */
    tiny_prompt(ids, n, 100 + i);
    hg_request r = request(ids, n, ANSWER, h);
    r.sampling.seed = i;
    if (i % 2 == 0) r.sampling.temperature = 0.0f;
    return r;
}

static void check_same_answers(hg_weights as)
{
    int32_t ids[256];
    heard *alone[MANY], *together[MANY];
    hg_err e;
    hg_job job;
    tiny t = tiny_open(as, 2);
    for (size_t i = 0; i < MANY; i++) {
        hg_engine *en = open_engine(&t, 1, 4, 256);
        alone[i] = heard_new();
        const hg_request r = one_of_many(i, ids, alone[i]);
        CHECK_OK(hg_engine_run(en, &r, NULL, NULL, NULL, &e), e);
        hg_engine_free(en);
    }
    hg_engine *en = open_engine(&t, MANY, 8, 16);
    for (size_t i = 0; i < MANY; i++) {
        together[i] = heard_new();
        const hg_request r = one_of_many(i, ids, together[i]);
        CHECK_OK(hg_engine_submit(en, &r, &job, &e), e);
    }
    for (size_t i = 0; i < MANY; i++) (void)sem_wait(&together[i]->ended);
    hg_engine_free(en);
    for (size_t i = 0; i < MANY; i++) {
        CHECK(alone[i]->usage.completion_tokens > 0);
        CHECK_EQ(together[i]->usage.completion_tokens, alone[i]->usage.completion_tokens);
        CHECK_EQ(together[i]->finish, alone[i]->finish);
        CHECK_STR(together[i]->text.p, alone[i]->text.p);
        for (size_t j = 0; j < i; j++) /* and they are not all one text */
            CHECK(strcmp(alone[i]->text.p, alone[j]->text.p) != 0);
    }
    for (size_t i = 0; i < MANY; i++) {
        heard_free(alone[i]);
        heard_free(together[i]);
    }
    tiny_end(&t);
}

TEST(eight_together_answer_as_each_alone_in_float32)
{
    check_same_answers(HG_WEIGHTS_F32);
}

TEST(eight_together_answer_as_each_alone_in_bfloat16)
{
    check_same_answers(HG_WEIGHTS_BF16);
}

/* ---- what one request can be ---- */
TEST(an_answer_ends_at_its_limit_and_counts_its_tokens)
{
    int32_t ids[30];
    hg_finish finish;
    hg_usage usage;
    hg_err e;
    tiny t = tiny_open(HG_WEIGHTS_BF16, 1);
    hg_engine *en = open_engine(&t, 2, 4, 256);
    heard *h = heard_new();
    tiny_prompt(ids, 30, 1);
    const hg_request r = request(ids, 30, 7, h);
    CHECK_OK(hg_engine_run(en, &r, NULL, &finish, &usage, &e), e);
    CHECK_EQ(finish, HG_FINISH_LENGTH);
    CHECK_EQ(usage.prompt_tokens, 30);
    CHECK_EQ(usage.completion_tokens, 7);
    CHECK_EQ(usage.cached_tokens, 0);
    CHECK_EQ(h->n_ends, 1);
    CHECK_EQ(h->finish, HG_FINISH_LENGTH);
    CHECK_STR(h->error, "");
    hg_engine_state state;
    hg_engine_look(en, &state);
    CHECK_EQ(state.n_running + state.n_waiting, 0);
    CHECK_EQ(state.n_done, 1);
    CHECK_EQ(state.n_prompt_tokens, 30);
    CHECK_EQ(state.n_completion_tokens, 7);
    hg_engine_free(en);
    heard_free(h);
    tiny_end(&t);
}

TEST(an_answer_without_a_limit_fills_the_context)
{
    int32_t ids[500];
    hg_finish finish;
    hg_usage usage;
    hg_err e;
    tiny t = tiny_open(HG_WEIGHTS_BF16, 1);
    hg_engine *en = open_engine(&t, 1, 4, 256);
    heard *h = heard_new();
    tiny_prompt(ids, 500, 2);
    hg_request r = request(ids, 500, 0, h);
    r.sampling.seed = 3;
    CHECK_OK(hg_engine_run(en, &r, NULL, &finish, &usage, &e), e);
    if (finish == HG_FINISH_LENGTH) CHECK_EQ(usage.completion_tokens, TINY_CTX - 500);
    CHECK(finish == HG_FINISH_LENGTH || finish == HG_FINISH_STOP);
    hg_engine_free(en);
    heard_free(h);
    tiny_end(&t);
}

/* The likeliest token is made the model's end token: it ends the answer, neither shown nor counted.
 */
TEST(the_end_token_ends_an_answer)
{
    const int32_t ids[3] = {1, 2, 3};
    const float *logits;
    int32_t best = 0;
    hg_session *session;
    hg_finish finish;
    hg_usage usage;
    hg_err e;
    tiny t = {.m = tiny_model(true)};
    CHECK_OK(hg_runtime_new(&t.rt, 1, HG_N_ISA, &e), e);
    CHECK_OK(hg_session_new(&session, t.m, t.rt, NULL, &e), e);
    CHECK_OK(hg_session_feed(session, ids, 3, &logits, &e), e);
    for (int32_t v = 1; v < TINY_VOCAB; v++)
        if (logits[v] > logits[best]) best = v;
    hg_session_free(session);

    t.m->c.eos_id = best;
    hg_engine *en = open_engine(&t, 1, 1, 8);
    heard *h = heard_new();
    hg_request r = request(ids, 3, 20, h);
    r.sampling.temperature = 0.0f;
    r.sampling.repetition_penalty = 1.0f;
    CHECK_OK(hg_engine_run(en, &r, NULL, &finish, &usage, &e), e);
    CHECK_EQ(finish, HG_FINISH_STOP);
    CHECK_EQ(usage.completion_tokens, 0);
    CHECK_STR(h->text.p, "");
    hg_engine_free(en);
    heard_free(h);
    tiny_end(&t);
}

TEST(a_stop_string_ends_an_answer_before_it)
{
    int32_t ids[12];
    hg_finish finish;
    hg_err e;
    tiny t = tiny_open(HG_WEIGHTS_BF16, 1);
    hg_engine *en = open_engine(&t, 1, 4, 256);
    heard *whole = heard_new(), *cut = heard_new();
    tiny_prompt(ids, 12, 3);
    hg_request r = request(ids, 12, 60, whole);
    r.sampling.seed = 5;
    CHECK_OK(hg_engine_run(en, &r, NULL, &finish, NULL, &e), e);
    /* Any ASCII letter of the text behind its first bytes. */
    char stop[2] = "";
    for (size_t i = 8; i < whole->text.n && stop[0] == '\0'; i++)
        if (whole->text.p[i] > ' ' && whole->text.p[i] < 0x7f) stop[0] = whole->text.p[i];
    CHECK(stop[0] != '\0');
    const char *stops[1] = {stop};
    r.stop = stops;
    r.n_stop = 1;
    r.ctx = cut;
    CHECK_OK(hg_engine_run(en, &r, NULL, &finish, NULL, &e), e);
    CHECK_EQ(finish, HG_FINISH_STOP);
    CHECK_EQ(cut->text.n, (size_t)(strchr(whole->text.p, stop[0]) - whole->text.p));
    CHECK(memcmp(cut->text.p, whole->text.p, cut->text.n) == 0);
    hg_engine_free(en);
    heard_free(whole);
    heard_free(cut);
    tiny_end(&t);
}

TEST(requests_that_cannot_be_are_refused_at_once)
{
    int32_t ids[TINY_CTX] = {0};
    const int32_t outside[1] = {TINY_VOCAB};
    hg_job job;
    hg_err e;
    tiny t = tiny_open(HG_WEIGHTS_BF16, 1);
    hg_engine *en = open_engine(&t, 1, 4, 256);
    heard *h = heard_new();
    hg_request r = request(ids, 0, 1, h);
    CHECK_EQ(hg_engine_submit(en, &r, &job, &e), HG_E_ARG);
    CHECK_STR(e.msg, "the prompt is empty; give at least one token");
    r = request(ids, TINY_CTX, 1, h);
    CHECK_EQ(hg_engine_submit(en, &r, &job, &e), HG_E_LIMIT);
    CHECK_STR(e.msg, "the prompt has 512 tokens and the context holds 512 with the answer; shorten "
                     "it");
    r = request(outside, 1, 1, h);
    CHECK_EQ(hg_engine_submit(en, &r, &job, &e), HG_E_ARG);
    r = request(ids, 1, 1, h);
    r.sampling.top_p = 2.0f;
    CHECK_EQ(hg_engine_submit(en, &r, &job, &e), HG_E_ARG);
    CHECK_STR(e.msg, "top-p is 2; it must be from 0 to 1");
    hg_engine_free(en);
    CHECK_EQ(h->n_calls, 0);
    heard_free(h);
    tiny_end(&t);
}

TEST(engines_that_cannot_be_are_refused)
{
    hg_engine_options o;
    hg_engine *en;
    hg_err e;
    tiny t = {.m = tiny_model(false)};
    CHECK_OK(hg_runtime_new(&t.rt, 1, HG_N_ISA, &e), e);
    CHECK_EQ(hg_engine_new(&en, t.m, t.rt, NULL, &e), HG_E_MISSING);
    CHECK_STR(e.msg, "the model has no tokenizer; put its tokenizer.json beside the weights");
    hg_model_set_tokenizer(t.m, tiny_tokenizer());
    hg_engine_options_init(&o);
    o.max_sessions = 0;
    CHECK_EQ(hg_engine_new(&en, t.m, t.rt, &o, &e), HG_E_ARG);
    CHECK(en == NULL);
    hg_engine_options_init(&o);
    o.n_ctx = TINY_CTX + 1;
    CHECK_EQ(hg_engine_new(&en, t.m, t.rt, &o, &e), HG_E_LIMIT);
    tiny_end(&t);
}

TEST(weights_that_are_not_numbers_end_in_a_sentence)
{
    const int32_t ids[3] = {1, 2, 3};
    hg_finish finish;
    hg_err e;
    tiny t = {.m = tiny_model(true)};
    float *w = t.m->final_norm->data;
    CHECK_OK(hg_runtime_new(&t.rt, 1, HG_N_ISA, &e), e);
    w[5] = NAN;
    hg_engine *en = open_engine(&t, 1, 1, 8);
    heard *h = heard_new();
    const hg_request r = request(ids, 3, 10, h);
    CHECK_EQ(hg_engine_run(en, &r, NULL, &finish, NULL, &e), HG_E_FORMAT);
    CHECK_HAS(e.msg, "the score NaN; its weights are damaged or overflow");
    CHECK_EQ(finish, HG_FINISH_ERROR);
    CHECK_EQ(h->n_ends, 1);
    CHECK_STR(h->error, e.msg);
    w[5] = 1.0f; /* the engine lives on */
    CHECK_OK(hg_engine_run(en, &r, NULL, &finish, NULL, &e), e);
    hg_engine_free(en);
    heard_free(h);
    tiny_end(&t);
}

/* ---- reuse of what was read ---- */
TEST(a_prompt_that_goes_on_with_a_conversation_reuses_its_cache)
{
    int32_t ids[200];
    hg_usage usage;
    hg_err e;
    tiny t = tiny_open(HG_WEIGHTS_BF16, 2);
    heard *warm = heard_new(), *cold = heard_new();
    hg_engine *en = open_engine(&t, 2, 4, 64);
    tiny_prompt(ids, 200, 4);
    hg_request r = request(ids, 100, 1, warm);
    CHECK_OK(hg_engine_run(en, &r, NULL, NULL, &usage, &e), e);
    CHECK_EQ(usage.cached_tokens, 0);
    hg_buf_clear(&warm->text);
    r = request(ids, 200, 30, warm);
    CHECK_OK(hg_engine_run(en, &r, NULL, NULL, &usage, &e), e);
    CHECK_EQ(usage.cached_tokens, 100);
    hg_buf_clear(&warm->text);
    CHECK_OK(hg_engine_run(en, &r, NULL, NULL, &usage, &e), e); /* asked again */
    CHECK_EQ(usage.cached_tokens, 199);
    hg_engine_free(en);

    en = open_engine(&t, 1, 4, 64);
    r.ctx = cold;
    CHECK_OK(hg_engine_run(en, &r, NULL, NULL, &usage, &e), e);
    CHECK_EQ(usage.cached_tokens, 0);
    CHECK_STR(warm->text.p, cold->text.p);
    hg_engine_free(en);
    heard_free(warm);
    heard_free(cold);
    tiny_end(&t);
}

/* Two conversations with one beginning: the second copies it, and both go on from their own. */
TEST(a_shared_beginning_is_copied_and_both_timelines_stay)
{
    int32_t a[300], b[300];
    hg_usage usage;
    hg_err e;
    tiny t = tiny_open(HG_WEIGHTS_BF16, 1);
    hg_engine *en = open_engine(&t, 2, 4, 64);
    heard *h = heard_new();
    tiny_prompt(a, 300, 5);
    tiny_prompt(b, 300, 6);
    memcpy(b, a, 100 * sizeof *a);
    hg_request r = request(a, 200, 1, h);
    CHECK_OK(hg_engine_run(en, &r, NULL, NULL, &usage, &e), e);
    r = request(b, 200, 1, h);
    CHECK_OK(hg_engine_run(en, &r, NULL, NULL, &usage, &e), e);
    CHECK_EQ(usage.cached_tokens, 100);
    r = request(a, 300, 1, h);
    CHECK_OK(hg_engine_run(en, &r, NULL, NULL, &usage, &e), e);
    CHECK_EQ(usage.cached_tokens, 200);
    r = request(b, 300, 1, h);
    CHECK_OK(hg_engine_run(en, &r, NULL, NULL, &usage, &e), e);
    CHECK_EQ(usage.cached_tokens, 200);
    hg_engine_free(en);
    heard_free(h);
    tiny_end(&t);
}

/* ---- stopping and waiting ---- */
TEST(a_cancelled_answer_ends_within_one_token)
{
    int32_t ids[10];
    hg_finish finish;
    hg_usage usage;
    hg_err e;
    tiny t = tiny_open(HG_WEIGHTS_BF16, 1);
    hg_engine *en = open_engine(&t, 1, 4, 256);
    heard *h = heard_new();
    tiny_prompt(ids, 10, 7);
    h->cancel_after = 3;
    hg_request r = request(ids, 10, 0, h);
    r.sampling.seed = 2;
    CHECK_OK(hg_engine_run(en, &r, NULL, &finish, &usage, &e), e);
    CHECK_EQ(finish, HG_FINISH_CANCELED);
    CHECK_EQ(h->n_ends, 1);
    CHECK(h->n_calls <= 5); /* three, what was held back, and the last word */
    hg_engine_free(en);
    heard_free(h);
    tiny_end(&t);
}

static void *stop_soon(void *p)
{
    (void)usleep(30000);
    atomic_store((atomic_bool *)p, true);
    return NULL;
}

TEST(a_flag_stops_the_one_who_waits)
{
    int32_t ids[10];
    atomic_bool stop = false;
    hg_finish finish = HG_FINISH_NONE;
    hg_err e;
    pthread_t other;
    tiny t = tiny_open(HG_WEIGHTS_BF16, 1);
    hg_engine *en = open_engine(&t, 1, 4, 256);
    heard *h = heard_new();
    tiny_prompt(ids, 10, 8);
    CHECK_EQ(pthread_create(&other, NULL, stop_soon, &stop), 0);
    const hg_request r = request(ids, 10, 0, h);
    /* However quick the answers are, one of them meets the flag. */
    while (finish != HG_FINISH_CANCELED)
        CHECK_OK(hg_engine_run(en, &r, &stop, &finish, NULL, &e), e);
    (void)pthread_join(other, NULL);
    hg_engine_free(en);
    heard_free(h);
    tiny_end(&t);
}

/* Answers that end at their limit only. */
static const hg_logit_bias no_end[2] = {{TINY_END, -100.0f}, {TINY_END + 2, -100.0f}};

/* One request runs (and its listener waits), one is in the queue: a third has no place. */
TEST(a_full_queue_refuses_and_a_waiting_request_can_be_cancelled)
{
    int32_t ids[10];
    sem_t started, go_on;
    hg_job first, second, third;
    hg_engine_state state;
    hg_err e;
    tiny t = tiny_open(HG_WEIGHTS_BF16, 1);
    hg_engine *en = open_engine(&t, 1, 1, 256);
    heard *a = heard_new(), *b = heard_new(), *c = heard_new();
    tiny_prompt(ids, 10, 9);
    (void)sem_init(&started, 0, 0);
    (void)sem_init(&go_on, 0, 0);
    a->started = &started;
    a->go_on = &go_on;
    hg_request r = request(ids, 10, 30, a);
    r.sampling.bias = no_end;
    r.sampling.n_bias = 2;
    CHECK_OK(hg_engine_submit(en, &r, &first, &e), e);
    (void)sem_wait(&started);
    r.ctx = b;
    r.cancel = NULL;
    CHECK_OK(hg_engine_submit(en, &r, &second, &e), e);
    CHECK(second != first);
    r.ctx = c;
    CHECK_EQ(hg_engine_submit(en, &r, &third, &e), HG_E_STATE);
    CHECK_STR(e.msg, "1 requests run and 1 wait already; try again later");
    hg_engine_look(en, &state);
    CHECK_EQ(state.n_running, 1);
    CHECK_EQ(state.n_waiting, 1);
    hg_engine_cancel(en, second);
    hg_engine_cancel(en, 999); /* nobody */
    (void)sem_post(&go_on);
    (void)sem_wait(&b->ended);
    (void)sem_wait(&a->ended);
    CHECK_EQ(b->finish, HG_FINISH_CANCELED);
    CHECK_EQ(b->usage.completion_tokens, 0);
    CHECK_EQ(a->finish, HG_FINISH_LENGTH);
    hg_engine_free(en);
    heard_free(a);
    heard_free(b);
    heard_free(c);
    tiny_end(&t);
}

TEST(freeing_an_engine_ends_what_runs_and_what_waits)
{
    int32_t ids[10];
    heard *h[4];
    hg_job job;
    hg_err e;
    tiny t = tiny_open(HG_WEIGHTS_BF16, 2);
    hg_engine *en = open_engine(&t, 2, 4, 256);
    for (size_t i = 0; i < 4; i++) {
        h[i] = heard_new();
        tiny_prompt(ids, 10, 30 + i);
        hg_request r = request(ids, 10, 0, h[i]);
        r.sampling.seed = i;
        CHECK_OK(hg_engine_submit(en, &r, &job, &e), e);
    }
    hg_engine_free(en);
    for (size_t i = 0; i < 4; i++) {
        CHECK_EQ(h[i]->n_ends, 1);
        heard_free(h[i]);
    }
    hg_engine_free(NULL);
    tiny_end(&t);
}

/* ---- many callers ---- */
typedef struct caller {
    hg_engine *en;
    uint64_t seed;
    int n_bad;
} caller;

static void *call_often(void *p)
{
    caller *c = p;
    for (uint64_t i = 0; i < 6; i++) {
        int32_t ids[60];
        hg_finish finish;
        hg_err e;
        heard *h = heard_new();
        tiny_prompt(ids, 60, c->seed % 2); /* half of the callers share a prompt */
        hg_request r = request(ids, 20 + 6 * i, 12, h);
        r.sampling.seed = c->seed * 100 + i;
        if (i % 3 == 2) h->cancel_after = 2;
        if (hg_engine_run(c->en, &r, NULL, &finish, NULL, &e) != HG_OK || h->n_ends != 1)
            c->n_bad++;
        heard_free(h);
    }
    return NULL;
}

TEST(callers_on_many_threads_all_get_their_answers)
{
    enum { CALLERS = 6 };
    caller c[CALLERS];
    pthread_t thread[CALLERS];
    hg_engine_state state;
    tiny t = tiny_open(HG_WEIGHTS_BF16, 2);
    hg_engine *en = open_engine(&t, 3, 16, 32);
    for (size_t i = 0; i < CALLERS; i++) {
        c[i] = (caller){en, i, 0};
        CHECK_EQ(pthread_create(&thread[i], NULL, call_often, &c[i]), 0);
    }
    for (size_t i = 0; i < CALLERS; i++) {
        (void)pthread_join(thread[i], NULL);
        CHECK_EQ(c[i].n_bad, 0);
    }
    hg_engine_look(en, &state);
    CHECK_EQ(state.n_done, 6 * CALLERS);
    CHECK_EQ(state.n_running + state.n_waiting, 0);
    hg_engine_free(en);
    tiny_end(&t);
}
