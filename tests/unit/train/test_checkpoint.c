/* Checkpoint files: rotation, and what damage is told. */
#include "fixture.h"
#include <stdio.h>
#include <string.h>

enum { N = 6 };
static float w[N] = {1, 2, 3, 4, 5, 6}, g[N];
static hg_tensor matrix = {.n_dims = 2, .dim = {3, 2}, .data = w, .grad = g};
static hg_tensor *const params[] = {&matrix};
static const char recipe[] = "lr: 1\n";

static void optim_open(hg_optim *o, hg_arena *mem)
{
    hg_recipe r;
    hg_err e = {0};
    hg_arena_init(mem, 0);
    CHECK_OK(hg_recipe_init(&r, HG_STAGE_TRAIN, &e), e);
    CHECK_OK(hg_optim_init(o, NULL, params, 1, NULL, HG_COMPUTE_F32, &r, mem, &e), e);
    hg_recipe_free(&r);
}

static void write_kept(const hg_optim *o, uint64_t step, hg_retention keep)
{
    hg_err e = {0};
    const hg_run_state s = {.step = step, .total_steps = 9, .data_hash = 77};
    CHECK_OK(
        hg_checkpoint_write(test_path("c"), &s, (hg_bytes){recipe, sizeof recipe - 1}, o, keep, &e),
        e);
}

static void write_step(const hg_optim *o, uint64_t step, size_t keep)
{
    write_kept(o, step, (hg_retention){.newest = keep});
}

TEST(a_checkpoint_gives_back_weights_moments_and_state)
{
    hg_optim o;
    hg_arena mem;
    hg_err e = {0};
    hg_checkpoint c;
    char path[1100];
    optim_open(&o, &mem);
    o.m[2] = 0.5f;
    o.v[5] = 0.25f;
    write_step(&o, 3, 2);
    memset(w, 0, sizeof w);
    memset(o.m, 0, N * sizeof(float));
    memset(o.v, 0, N * sizeof(float));
    CHECK(hg_checkpoint_newest(test_path("c"), path));
    CHECK_OK(hg_checkpoint_open(&c, path, &e), e);
    CHECK_OK(hg_checkpoint_restore(&c, &o, path, &e), e);
    CHECK_EQ(c.state.data_hash, 77);
    CHECK_EQ(c.recipe.n, sizeof recipe - 1);
    CHECK_NEAR(w[4], 5, 0);
    CHECK_NEAR(o.m[2], 0.5, 0);
    CHECK_NEAR(o.v[5], 0.25, 0);
    hg_checkpoint_close(&c);
    hg_arena_free(&mem);
}

TEST(only_the_newest_are_kept)
{
    hg_optim o;
    hg_arena mem;
    char path[1100];
    optim_open(&o, &mem);
    for (uint64_t step = 1; step <= 12; step++) write_step(&o, step, 2);
    CHECK(hg_checkpoint_newest(test_path("c"), path));
    CHECK_STR(hg_path_base(path), "step-000000012.hgc");
    CHECK(hg_path_exists(test_path("c/step-000000011.hgc")));
    CHECK(!hg_path_exists(test_path("c/step-000000010.hgc")));
    hg_arena_free(&mem);
}

TEST(milestones_stay_beside_the_newest)
{
    hg_optim o;
    hg_arena mem;
    optim_open(&o, &mem);
    for (uint64_t step = 1; step <= 11; step++)
        write_kept(&o, step, (hg_retention){.newest = 2, .every = 5});
    for (uint64_t step = 1; step <= 11; step++) { /* 10 is of both kinds */
        char name[64];
        (void)snprintf(name, sizeof name, "c/step-%09llu.hgc", (unsigned long long)step);
        CHECK_EQ(hg_path_exists(test_path(name)), step % 5 == 0 || step == 11);
    }
    hg_arena_free(&mem);
}

TEST(what_a_killed_write_left_is_removed_by_the_next)
{
    hg_optim o;
    hg_arena mem;
    hg_err e = {0};
    optim_open(&o, &mem);
    write_step(&o, 1, 2);
    CHECK_OK(hg_file_write(test_path("c/step-000000002.hgc.tmp-7-abcdef"), "x", 1, &e), e);
    write_step(&o, 3, 2);
    CHECK(!hg_path_exists(test_path("c/step-000000002.hgc.tmp-7-abcdef")));
    CHECK(hg_path_exists(test_path("c/step-000000001.hgc")));
    hg_arena_free(&mem);
}

TEST(damage_is_told_in_one_sentence)
{
    hg_optim o;
    hg_arena mem;
    hg_err e = {0};
    hg_checkpoint c;
    hg_buf b = {0};
    optim_open(&o, &mem);
    write_step(&o, 1, 2);
    CHECK_OK(hg_file_read(&b, test_path("c/step-000000001.hgc"), 1 << 20, &e), e);
    unsigned char *p = (unsigned char *)b.p;
    CHECK_EQ(hg_checkpoint_parse(&c, p, b.n - 4, "x", &e), HG_E_FORMAT);
    CHECK_HAS(e.msg, "it is cut off or damaged");
    CHECK_EQ(hg_checkpoint_parse(&c, p, 100, "x", &e), HG_E_FORMAT);
    CHECK_STR(e.msg, "x: not a checkpoint of Higgins");
    p[b.n - 3] ^= 1;
    CHECK_OK(hg_file_write(test_path("bad"), b.p, b.n, &e), e);
    CHECK_EQ(hg_checkpoint_open(&c, test_path("bad"), &e), HG_E_FORMAT);
    CHECK_HAS(e.msg, "its checksum is wrong; remove it to go on from the one before");
    memset(p + 16, 0xff, 8);
    CHECK_EQ(hg_checkpoint_parse(&c, p, b.n, "x", &e), HG_E_FORMAT);
    hg_buf_free(&b);
    hg_arena_free(&mem);
}
