/* The queue of texts that are to become vectors: turns, limits, clients that leave. */
#include "small.h"
#include "harness/test.h"
#include "serve/embedder.h"

#include <pthread.h>
#include <string.h>

enum { LONG = 400, MANY = 60 };

typedef struct place {
    hg_runtime *rt;
    hg_model *m;
    hg_embedder *em;
    hg_ids text[MANY]; /* all the same */
    pthread_mutex_t lock;
    pthread_cond_t ended;
    int n_ended;
} place;

typedef struct asked {
    place *p;
    hg_embed_job job;
    int rank; /* 1: ended first; 0: not yet */
    hg_status s;
    size_t n_done; /* of `other`, at this one's end */
    const struct asked *other;
} asked;

static void begin(place *p, uint32_t max_queue)
{
    hg_err e = {0};

    memset(p, 0, sizeof *p);
    small_write("m/a", 1, NULL);
    CHECK_OK(hg_runtime_new(&p->rt, 1, HG_N_ISA, &e), e);
    CHECK_OK(hg_model_open(&p->m, test_path("m/a"), HG_WEIGHTS_AS_STORED, p->rt, &e), e);
    CHECK_OK(hg_embedder_new(&p->em, p->m, p->rt, 512, max_queue, &e), e);
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_cond_init(&p->ended, NULL);
    for (int i = 0; i < MANY; i++)
        for (int k = 0; k < LONG; k++) CHECK_OK(hg_ids_push(&p->text[i], 3 + k % 200, &e), e);
}

static void end(place *p)
{
    hg_embedder_free(p->em);
    for (int i = 0; i < MANY; i++) hg_ids_free(&p->text[i]);
    hg_model_free(p->m);
    hg_runtime_free(p->rt);
}

static void on_end(void *ctx, hg_status s, const char *why)
{
    asked *a = ctx;

    (void)why;
    (void)pthread_mutex_lock(&a->p->lock);
    a->rank = ++a->p->n_ended;
    a->s = s;
    if (a->other != NULL) a->n_done = a->other->job.n_done; /* one thread makes all vectors */
    (void)pthread_cond_broadcast(&a->p->ended);
    (void)pthread_mutex_unlock(&a->p->lock);
}

static hg_status ask(place *p, asked *a, size_t n, uint64_t owner, hg_err *e)
{
    *a = (asked){.p = p, .other = a->other};
    a->job = (hg_embed_job){.texts = p->text, .n = n, .owner = owner, .on_end = on_end, .ctx = a};
    return hg_embedder_submit(p->em, &a->job, e);
}

static void wait_for(asked *a)
{
    (void)pthread_mutex_lock(&a->p->lock);
    while (a->rank == 0) (void)pthread_cond_wait(&a->p->ended, &a->p->lock);
    (void)pthread_mutex_unlock(&a->p->lock);
}

TEST(vectors_are_those_of_a_session_that_is_alone)
{
    place p;
    asked a = {0};
    hg_session *s = NULL;
    hg_err e = {0};
    float alone[64];

    begin(&p, 4);
    CHECK_EQ(hg_model_get_config(p.m)->d_model, 64);
    CHECK_OK(ask(&p, &a, 3, 1, &e), e);
    wait_for(&a);
    CHECK_EQ(a.s, HG_OK);
    CHECK_OK(hg_session_new(&s, p.m, p.rt, NULL, &e), e);
    CHECK_OK(hg_session_embed(s, p.text[0].id, LONG, HG_POOL_MEAN, true, alone, &e), e);
    for (int i = 0; i < 3; i++) CHECK(memcmp(a.job.out + (size_t)i * 64, alone, sizeof alone) == 0);
    hg_session_free(s);
    hg_free(a.job.out);
    end(&p);
}

TEST(owners_of_texts_take_turns)
{
    place p;
    asked first = {0}, second = {0}, other = {.other = &first};
    hg_err e = {0};

    begin(&p, 4);
    CHECK_OK(ask(&p, &first, MANY, 1, &e), e);
    CHECK_OK(ask(&p, &second, MANY, 1, &e), e);
    CHECK_OK(ask(&p, &other, 2, 2, &e), e);
    wait_for(&first);
    wait_for(&second);
    CHECK_EQ(other.rank, 1);
    CHECK(other.n_done < MANY / 2);
    CHECK_EQ(first.rank, 2);
    CHECK_EQ(second.s, HG_OK);
    hg_free(first.job.out);
    hg_free(second.job.out);
    hg_free(other.job.out);
    end(&p);
}

TEST(texts_of_who_has_left_are_not_worked_off)
{
    place p;
    asked runs = {0}, waits = {0};
    hg_err e = {0};

    begin(&p, 4);
    CHECK_OK(ask(&p, &runs, MANY, 1, &e), e);
    CHECK_OK(ask(&p, &waits, MANY, 1, &e), e);
    hg_embedder_cancel(p.em, &waits.job);
    CHECK_EQ(waits.s, HG_E_CANCELED); /* at once */
    CHECK(waits.job.out == NULL);
    hg_embedder_cancel(p.em, &runs.job);
    wait_for(&runs);
    CHECK_EQ(runs.s, HG_E_CANCELED);
    CHECK(runs.job.n_done < MANY / 2);
    hg_embedder_cancel(p.em, &runs.job); /* has ended: nothing */
    CHECK_EQ(p.n_ended, 2);
    hg_free(runs.job.out);
    end(&p);
}

TEST(a_full_queue_of_texts_is_told)
{
    place p;
    asked a[4] = {0}, other[3] = {0};
    hg_err e = {0};

    begin(&p, 2);
    for (int i = 0; i < 3; i++) CHECK_OK(ask(&p, &a[i], MANY, 1, &e), e);
    CHECK_EQ(ask(&p, &a[3], 1, 1, &e), HG_E_STATE);
    CHECK_STR(e.msg, "3 requests for embeddings are open already; try again later");
    hg_embedder_state st;
    hg_embedder_look(p.em, &st);
    CHECK_EQ(st.n_running + st.n_waiting, 3);
    CHECK(st.n_waiting >= 2);
    CHECK_EQ(st.n_refused, 1);
    CHECK_EQ(st.n_done, 0);
    CHECK_OK(ask(&p, &other[0], MANY, 2, &e), e); /* of its own it has none */
    CHECK_EQ(ask(&p, &other[1], MANY, 2, &e), HG_E_STATE);
    CHECK_EQ(ask(&p, &other[2], MANY, 3, &e), HG_E_STATE);
    hg_embedder_cancel(p.em, &a[2].job);
    CHECK_OK(ask(&p, &other[2], MANY, 3, &e), e);
    end(&p); /* ends what is open */
    CHECK_EQ(a[0].s, HG_E_CANCELED);
    CHECK_EQ(a[1].s, HG_E_CANCELED);
    CHECK_EQ(other[0].s, HG_E_CANCELED);
    CHECK_EQ(other[2].s, HG_E_CANCELED);
    CHECK_EQ(p.n_ended, 5);
    for (int i = 0; i < 3; i++) hg_free(a[i].job.out);
    for (int i = 0; i < 3; i++) hg_free(other[i].job.out);
}

TEST(a_text_that_is_too_long_is_refused_before_anything_runs)
{
    place p;
    asked a = {0};
    hg_err e = {0};

    begin(&p, 2);
    for (int k = LONG; k < 512; k++) CHECK_OK(hg_ids_push(&p.text[1], 5, &e), e);
    CHECK_EQ(ask(&p, &a, 2, 1, &e), HG_E_LIMIT);
    CHECK_STR(e.msg, "the text has 512 tokens; the model's context is 512");
    CHECK_EQ(a.rank, 0);
    end(&p);
}
