/* The rings and the small messages over 1 to 5 ranks, which are threads of this process. */
#include "base/rng.h"
#include "harness/hub.h"
#include "harness/test.h"
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_N = 5, PIECES = 37 };

typedef struct world {
    int n;
    hg_hub *hub;
    hg_wire wire;
    double patience_s, hasty_s;
    const atomic_bool *stop; /* with it, haste */
    atomic_int n_ended;
    void (*run)(struct world *w, hg_ranks *r);
    float *x[MAX_N];    /* what each rank puts in, and gets */
    float *from[MAX_N]; /* as it was */
    hg_piece piece[MAX_N][PIECES];
    size_t border[MAX_N + 1], n_floats;
    hg_status status[MAX_N];
    hg_err err[MAX_N];
    double sum[MAX_N];
} world;

typedef struct task {
    world *w;
    int rank;
} task;

static void *rank_main(void *ctx)
{
    task *t = ctx;
    hg_ranks_options o;
    hg_ranks *r = NULL;
    hg_ranks_options_init(&o);
    if (t->w->patience_s > 0) o.patience_s = t->w->patience_s;
    o.stop = t->w->stop;
    o.hasty_s = t->w->hasty_s > 0 ? t->w->hasty_s : 0.05;
    const hg_transport tr = hg_hub_transport(t->w->hub, t->rank);
    t->w->status[t->rank] = hg_ranks_new(&r, &tr, &o, &t->w->err[t->rank]);
    if (r != NULL) t->w->run(t->w, r);
    hg_ranks_close(r);
    return NULL;
}

static void run_all(world *w)
{
    hg_err e = {0};
    pthread_t thread[MAX_N];
    task task_[MAX_N];
    CHECK_OK(hg_hub_new(&w->hub, w->n, &e), e);
    for (int i = 0; i < w->n; i++) {
        task_[i] = (task){w, i};
        CHECK_EQ(pthread_create(&thread[i], NULL, rank_main, &task_[i]), 0);
    }
    for (int i = 0; i < w->n; i++) (void)pthread_join(thread[i], NULL);
    hg_hub_free(w->hub);
}

/* Pieces of 1, 2, ... floats and some full ones, dealt unevenly: rank 1 of 3 and more has none. */
static void fill(world *w)
{
    size_t n[PIECES];
    w->n_floats = 0;
    for (size_t k = 0; k < PIECES; k++) {
        n[k] = k % 9 == 4 ? HG_PIECE : k * 7 + 1;
        w->n_floats += n[k];
    }
    for (int i = 0; i <= w->n; i++) w->border[i] = PIECES * (size_t)i / (size_t)w->n;
    if (w->n >= 3) w->border[2] = w->border[1];
    for (int i = 0; i < w->n; i++) {
        hg_rng rng;
        size_t at = 0;
        hg_rng_init(&rng, 5, (uint64_t)i);
        w->x[i] = malloc(w->n_floats * sizeof(float));
        w->from[i] = malloc(w->n_floats * sizeof(float));
        CHECK(w->x[i] != NULL && w->from[i] != NULL);
        for (size_t k = 0; k < w->n_floats; k++)
            w->from[i][k] = w->x[i][k] = (float)hg_rng_unit(&rng) - 0.5f;
        for (size_t k = 0; k < PIECES; k++) {
            w->piece[i][k] = (hg_piece){w->x[i] + at, n[k]};
            at += n[k];
        }
    }
}

static void empty(world *w)
{
    for (int i = 0; i < w->n; i++) {
        free(w->x[i]);
        free(w->from[i]);
    }
}

static void check_ok(const world *w)
{
    for (int i = 0; i < w->n; i++) CHECK_OK(w->status[i], w->err[i]);
}

static void reduce_and_gather(world *w, hg_ranks *r)
{
    int me = hg_ranks_me(r);
    hg_err *e = &w->err[me];
    w->status[me] = hg_ranks_reduce(r, w->piece[me], w->border, w->wire, e);
    if (w->status[me] == HG_OK)
        w->status[me] = hg_ranks_gather(r, w->piece[me], w->border, w->wire, e);
}

/* Each sum is off by a rounding of every partial sum at the most, and all ranks have the same bits.
 */
static void check_sums(const world *w, double rounding)
{
    for (size_t k = 0; k < w->n_floats; k++) {
        double sum = 0, size = 0;
        for (int i = 0; i < w->n; i++) {
            sum += (double)w->from[i][k];
            size += fabs((double)w->from[i][k]);
        }
        CHECK_NEAR(w->x[0][k], sum, w->n * rounding * size);
    }
    for (int i = 1; i < w->n; i++)
        CHECK_EQ(memcmp(w->x[0], w->x[i], w->n_floats * sizeof(float)), 0);
}

TEST(ranks_reduce_and_gather_give_every_rank_the_sum)
{
    for (int n = 1; n <= MAX_N; n++) {
        world w = {.n = n, .run = reduce_and_gather};
        fill(&w);
        run_all(&w);
        check_ok(&w);
        check_sums(&w, 0x1p-24);
        empty(&w);
    }
}

TEST(ranks_bfloat16_on_the_wire_rounds_each_partial_sum_once)
{
    for (int n = 1; n <= MAX_N; n++) {
        world w = {.n = n, .wire = HG_WIRE_BF16, .run = reduce_and_gather};
        fill(&w);
        run_all(&w);
        check_ok(&w);
        check_sums(&w, 0x1p-8);
        empty(&w);
    }
}

/* Rank i's part is summed in the order i+1, i+2, ... i. */
TEST(ranks_reduce_adds_in_an_order_that_follows_from_their_number)
{
    world w = {.n = 4, .run = reduce_and_gather};
    fill(&w);
    run_all(&w);
    check_ok(&w);
    for (int i = 0; i < 4; i++)
        for (size_t k = w.border[i]; k < w.border[i + 1]; k++) {
            size_t at = (size_t)(w.piece[0][k].p - w.x[0]);
            float sum = w.from[(i + 1) % 4][at];
            for (int j = 2; j <= 4; j++) sum = w.from[(i + j) % 4][at] + sum;
            CHECK(memcmp(&sum, &w.x[0][at], sizeof sum) == 0);
        }
    empty(&w);
}

static void sum_and_share(world *w, hg_ranks *r)
{
    int me = hg_ranks_me(r);
    hg_err *e = &w->err[me];
    double x[2] = {me + 1, 0.1 * me}, first = me;
    w->status[me] = hg_ranks_sum(r, x, 2, e);
    if (w->status[me] == HG_OK) w->status[me] = hg_ranks_share(r, &first, sizeof first, e);
    w->sum[me] = x[0] + first; /* rank 0's is 0 */
}

TEST(ranks_sum_and_share_give_the_same_everywhere)
{
    for (int n = 1; n <= MAX_N; n++) {
        world w = {.n = n, .run = sum_and_share};
        run_all(&w);
        check_ok(&w);
        for (int i = 0; i < n; i++) CHECK_NEAR(w.sum[i], n * (n + 1) / 2, 0);
    }
}

TEST(ranks_alone_need_no_messages)
{
    double x = 3;
    hg_err e = {0};
    CHECK_EQ(hg_ranks_me(NULL), 0);
    CHECK_EQ(hg_ranks_n(NULL), 1);
    CHECK_EQ(hg_ranks_n_local(NULL), 1);
    CHECK_OK(hg_ranks_sum(NULL, &x, 1, &e), e);
    CHECK_OK(hg_ranks_reduce(NULL, NULL, NULL, HG_WIRE_F32, &e), e);
    CHECK_OK(hg_ranks_gather(NULL, NULL, NULL, HG_WIRE_F32, &e), e);
    CHECK_NEAR(x, 3, 0);
}

static void only_rank_1_waits(world *w, hg_ranks *r)
{
    double x = 0;
    int me = hg_ranks_me(r);
    if (me == 1) w->status[1] = hg_ranks_sum(r, &x, 1, &w->err[1]);
}

TEST(ranks_do_not_wait_for_ever)
{
    world w = {.n = 2, .patience_s = 0.05, .run = only_rank_1_waits};
    run_all(&w);
    CHECK_EQ(w.status[1], HG_E_IO);
    CHECK_STR(w.err[1].msg,
              "rank 1: rank 0 is lost (no sign of life from it); all ranks end, go on from "
              "the last checkpoint with --resume");
}

TEST(ranks_that_were_asked_to_end_wait_less)
{
    static atomic_bool stop;
    world w = {.n = 2, .stop = &stop, .run = only_rank_1_waits};
    atomic_store(&stop, true);
    run_all(&w);
    CHECK_EQ(w.status[1], HG_E_IO);
    CHECK_HAS(w.err[1].msg, "rank 1: rank 0 is lost (no sign of life from it)");
}

static void rank_0_computes(world *w, hg_ranks *r)
{
    const struct timespec long_while = {.tv_sec = 2};
    int me = hg_ranks_me(r);
    double x = 1;
    if (me == 0) (void)nanosleep(&long_while, NULL);
    w->status[me] = hg_ranks_sum(r, &x, 1, &w->err[me]);
    w->sum[me] = x;
}

TEST(a_rank_that_computes_for_long_is_not_lost)
{
    static atomic_bool stop; /* asked to end: an even shorter patience */
    for (int is_asked = 0; is_asked < 2; is_asked++) {
        world w = {.n = 3, .patience_s = 1, .hasty_s = 1, .stop = &stop, .run = rank_0_computes};
        atomic_store(&stop, is_asked == 1);
        run_all(&w);
        check_ok(&w);
        for (int i = 0; i < 3; i++) CHECK_NEAR(w.sum[i], 3, 0);
    }
}

/* Rank 1 hangs, as a stopped process does, until the others have ended. */
static void rank_1_hangs(world *w, hg_ranks *r)
{
    int me = hg_ranks_me(r);
    double x = 1;
    if (me == 1) {
        hg_hub_mute(w->hub, 1);
        while (atomic_load(&w->n_ended) < w->n - 1) (void)sched_yield();
        return;
    }
    w->status[me] = hg_ranks_sum(r, &x, 1, &w->err[me]);
    if (w->status[me] != HG_OK) hg_ranks_abort(r);
    (void)atomic_fetch_add(&w->n_ended, 1);
}

TEST(a_rank_that_shows_no_life_is_told_of_by_the_one_that_watches_it)
{
    world w = {.n = 3, .patience_s = 0.5, .hasty_s = 0.5, .run = rank_1_hangs};
    run_all(&w);
    CHECK_EQ(w.status[2], HG_E_IO);
    CHECK_STR(w.err[2].msg, "rank 2: rank 1 is lost (no sign of life from it); all ranks end, go "
                            "on from the last checkpoint with --resume");
    CHECK_EQ(w.status[0], HG_E_IO);
    CHECK_HAS(w.err[0].msg, "(it has ended)");
}

static void rank_0_ends(world *w, hg_ranks *r)
{
    int me = hg_ranks_me(r);
    if (me == 0)
        hg_ranks_abort(r);
    else
        w->status[me] = hg_ranks_wait_for_all(r, &w->err[me]);
}

TEST(ranks_end_together)
{
    world w = {.n = 3, .run = rank_0_ends};
    run_all(&w);
    for (int i = 1; i < 3; i++) {
        CHECK_EQ(w.status[i], HG_E_IO);
        CHECK_HAS(w.err[i].msg, "rank 0 is lost (it has ended)");
    }
}

TEST(ranks_refuse_another_number_than_the_launcher_started)
{
    hg_err e = {0};
    hg_hub *hub = NULL;
    hg_ranks *r = NULL;
    hg_ranks_options o;
    hg_ranks_options_init(&o);
    o.n_expected = 2;
    CHECK_OK(hg_hub_new(&hub, 1, &e), e);
    const hg_transport t = hg_hub_transport(hub, 0);
    CHECK_EQ(hg_ranks_new(&r, &t, &o, &e), HG_E_STATE);
    CHECK_HAS(e.msg, "the launcher started 2 tasks, threads sees 1: each would train alone");
    CHECK(r == NULL);
    hg_hub_free(hub);
}

TEST(ranks_name_the_plug_in_that_cannot_be_loaded)
{
    hg_err e = {0};
    hg_ranks *r = NULL;
    hg_ranks_options o;
    hg_ranks_options_init(&o);
    o.plugin = "/nowhere/higgins-mpi.so";
    CHECK_EQ(hg_ranks_open(&r, &o, &e), HG_E_MISSING);
    CHECK_HAS(e.msg, "cannot load /nowhere/higgins-mpi.so");
    o.plugin = "libm.so.6";
    CHECK_EQ(hg_ranks_open(&r, &o, &e), HG_E_STATE);
    CHECK_STR(e.msg, "libm.so.6: not a plug-in of Higgins");
}

TEST(ranks_wire_rounds_to_nearest_even_and_keeps_what_is_not_finite)
{
    const float x[] = {1.0f, 1.00390625f, 1.01171875f, -3.0f, INFINITY, NAN, 0.0f};
    unsigned short half[7];
    float y[7];
    hg_wire_pack(half, x, 7);
    hg_wire_unpack(y, half, 7);
    CHECK_NEAR(y[0], 1.0, 0);
    CHECK_NEAR(y[1], 1.0, 0);      /* half way between 1 and 1 + 2^-7: to even */
    CHECK_NEAR(y[2], 1.015625, 0); /* half way above an odd one */
    CHECK_NEAR(y[3], -3.0, 0);
    CHECK(isinf(y[4]) && isnan(y[5]));
    CHECK_NEAR(y[6], 0.0, 0);
}
