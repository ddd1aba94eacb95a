/* Mixtures of sources: shares, order, what repeats and what waits for the next epoch. */
#include "fixture.h"
#include "train/mixture.h"
#include <math.h>
#include <string.h>

/* Rows that say which part they are of (first id) and their number (second). */
typedef struct numbered {
    hg_source source;
    int32_t part;
} numbered;

static void numbered_row(const hg_source *s, bool held_out, uint64_t i, int32_t *ids,
                         int32_t *targets, uint8_t *begins)
{
    const numbered *n = (const numbered *)(const void *)s;
    for (size_t t = 0; t < s->seq_len; t++) {
        ids[t] = held_out ? 99 : 0;
        targets[t] = 1;
        begins[t] = t == 0;
    }
    ids[0] = n->part;
    ids[1] = (int32_t)i;
}

enum { LEN = 4, MAX_SEEN = 4096 };

typedef struct mixed {
    numbered part[2];
    const hg_source *list[2];
    hg_mixture m;
    hg_arena mem;
    int n_seen[2][MAX_SEEN]; /* [part][row] */
    int n_of[2];
} mixed;

static hg_status mixed_open(mixed *x, uint64_t rows0, uint64_t rows1, double w0, double w1,
                            hg_err *e)
{
    const uint64_t rows[] = {rows0, rows1};
    const double weight[] = {w0, w1};
    memset(x, 0, sizeof *x);
    hg_arena_init(&x->mem, 0);
    for (int k = 0; k < 2; k++) {
        x->part[k] = (numbered){
            {.seq_len = LEN, .n_rows = rows[k], .n_val_rows = 3, .row = numbered_row}, k};
        x->list[k] = &x->part[k].source;
    }
    return hg_mixture_init(&x->m, x->list, weight, 2, &x->mem, e);
}

static void mixed_see(mixed *x, uint64_t from, uint64_t to)
{
    hg_rows r;
    hg_err e = {0};
    memset(x->n_seen, 0, sizeof x->n_seen);
    memset(x->n_of, 0, sizeof x->n_of);
    CHECK_OK(hg_rows_init(&r, 1, LEN, &x->mem, &e), e);
    for (uint64_t p = from; p < to; p++) {
        hg_rows_fill(&r, &x->m.source, false, 5, p, 1);
        x->n_seen[r.ids[0]][r.ids[1]]++;
        x->n_of[r.ids[0]]++;
    }
}

TEST(an_epoch_has_the_shares_that_were_asked_for)
{
    mixed x;
    hg_err e = {0};
    CHECK_OK(mixed_open(&x, 100, 300, 1, 1, &e), e);
    CHECK_EQ(x.m.source.n_rows, 400);
    mixed_see(&x, 0, 400);
    CHECK_EQ(x.n_of[0], 200);
    for (int i = 0; i < 100; i++) CHECK_EQ(x.n_seen[0][i], 2); /* repeated */
    for (int i = 0; i < 300; i++) CHECK_EQ(x.n_seen[1][i], i < 200);
    /* The second epoch goes on with the rest of the larger part. */
    mixed_see(&x, 400, 800);
    for (int i = 0; i < 300; i++) CHECK_EQ(x.n_seen[1][i], i >= 200 || i < 100);
    /* Shuffled: neither part comes first. */
    mixed_see(&x, 0, 40);
    CHECK(x.n_of[0] > 5 && x.n_of[1] > 5);
    hg_arena_free(&x.mem);
}

TEST(held_out_rows_come_from_all_parts_in_turn)
{
    mixed x;
    hg_rows r;
    hg_err e = {0};
    CHECK_OK(mixed_open(&x, 10, 10, 3, 1, &e), e);
    CHECK_EQ(x.m.source.n_val_rows, 6);
    CHECK_OK(hg_rows_init(&r, 6, LEN, &x.mem, &e), e);
    hg_rows_fill(&r, &x.m.source, true, 5, 0, 6);
    for (size_t i = 0; i < 6; i++) {
        CHECK_EQ(r.ids[i * LEN], (int32_t)(i % 2));
        CHECK_EQ(r.ids[i * LEN + 1], (int32_t)(i / 2));
        CHECK_EQ(r.ids[i * LEN + 2], 99);
    }
    hg_arena_free(&x.mem);
}

TEST(mixtures_that_make_no_sense_are_refused)
{
    mixed x;
    hg_err e = {0};
    CHECK_EQ(mixed_open(&x, 10, 0, 1, 1, &e), HG_E_ARG);
    CHECK_STR(e.msg, "part 2 of the mixture has no rows of 4 tokens");
    hg_arena_free(&x.mem);
    CHECK_EQ(mixed_open(&x, 10, 10, 0, 0, &e), HG_E_ARG);
    CHECK_STR(e.msg, "no weight of the mixture is above 0");
    hg_arena_free(&x.mem);
    CHECK_EQ(mixed_open(&x, 10, 10, 1, -1, &e), HG_E_ARG);
    CHECK_STR(e.msg, "weight 2 of the mixture is -1; 0 or more is needed");
    hg_arena_free(&x.mem);
}
