#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "harness/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TEST(sizes_that_overflow_give_no_memory)
{
    CHECK(hg_alloc(SIZE_MAX / 2, 3) == NULL);
    hg_arena a;
    hg_arena_init(&a, 0);
    CHECK(hg_arena_alloc(&a, SIZE_MAX, 2) == NULL);
    CHECK(hg_arena_alloc(&a, SIZE_MAX - 8, 1) == NULL);
    hg_arena_free(&a);
    size_t out = 0;
    CHECK(!hg_mul(SIZE_MAX, 2, &out));
    CHECK(hg_mul(3, 4, &out) && out == 12);
    CHECK(!hg_add(SIZE_MAX, 1, &out));
}

TEST(an_arena_hands_out_aligned_zeroed_memory)
{
    hg_arena a;
    hg_arena_init(&a, 4096);
    for (size_t n = 1; n < 20000; n = n * 3 + 1) {
        unsigned char *p = hg_arena_alloc(&a, n, 1);
        CHECK(p != NULL && (uintptr_t)p % 64 == 0);
        for (size_t i = 0; i < n; i++) CHECK(p[i] == 0);
        memset(p, 0xAB, n);
    }
    hg_arena_free(&a);
}

TEST(a_reset_arena_gives_the_same_memory_again)
{
    hg_arena a;
    hg_arena_init(&a, 4096);
    void *first = hg_arena_raw(&a, 100, 1);
    for (int i = 0; i < 50; i++) CHECK(hg_arena_raw(&a, 3000, 1) != NULL);
    size_t peak = a.peak;
    hg_arena_reset(&a);
    CHECK(a.used == 0);
    CHECK(hg_arena_raw(&a, 100, 1) == first);
    for (int i = 0; i < 50; i++) CHECK(hg_arena_raw(&a, 3000, 1) != NULL);
    CHECK_EQ(a.peak, peak);
    hg_arena_free(&a);
}

TEST(an_arena_knows_what_its_blocks_take)
{
    enum { BIG = 3 << 20 };
    hg_arena a;
    hg_arena_init(&a, 4096);
    CHECK_EQ(hg_arena_held(&a), 0);
    CHECK(hg_arena_raw(&a, 100, 1) != NULL);
    const size_t little = hg_arena_held(&a);
    CHECK(little >= 100 && little <= 8192);
    CHECK(hg_arena_raw(&a, BIG, 1) != NULL);
    CHECK_EQ(hg_arena_held(&a), little + hg_arena_block_bytes(BIG));
    CHECK(hg_arena_block_bytes(BIG) >= BIG && hg_arena_block_bytes(BIG) <= BIG + (2 << 20));
    CHECK_EQ(hg_arena_block_bytes(SIZE_MAX - 8), SIZE_MAX);
    hg_arena_free(&a);
}

TEST(a_heap_gives_what_was_freed_back)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    test_skip("a sanitizer's heap keeps what was freed");
#endif
    enum { N = 16, SIZE = 8 << 20 };
    hg_arena a;
    hg_arena_init(&a, 0);
    for (int i = 0; i < N; i++) memset(hg_arena_raw(&a, SIZE, 1), 1, SIZE);
    char *last = hg_alloc(1, 1000); /* what is freed is not the heap's end */
    const uint64_t held = hg_rss();
    hg_arena_free(&a);
    hg_heap_trim();
    CHECK(hg_rss() + (uint64_t)N * SIZE / 2 < held);
    hg_free(last);
}

TEST(an_arena_rewinds_to_a_mark)
{
    hg_arena a;
    hg_arena_init(&a, 4096);
    char *keep = hg_arena_strndup(&a, "kept", 4);
    hg_arena_mark m = hg_arena_here(&a);
    void *p = hg_arena_raw(&a, 10, 1);
    for (int i = 0; i < 10; i++) CHECK(hg_arena_raw(&a, 4000, 1) != NULL);
    hg_arena_rewind(&a, m);
    CHECK(hg_arena_raw(&a, 10, 1) == p);
    CHECK_STR(keep, "kept");
    hg_arena_free(&a);
}

TEST(a_buffer_grows_and_stays_terminated)
{
    hg_buf b = {0};
    for (int i = 0; i < 1000; i++) hg_buf_printf(&b, "%d,", i);
    CHECK_EQ(b.n, strlen(b.p));
    CHECK(strncmp(b.p, "0,1,2,", 6) == 0);
    hg_buf_clear(&b);
    CHECK_STR(b.p, "");
    CHECK(hg_buf_room(&b, SIZE_MAX) == NULL);
    hg_buf_puts(&b, "after a failure nothing is put");
    CHECK_EQ(b.n, 0);
    hg_err e = {0};
    CHECK_EQ(hg_buf_status(&b, &e), HG_E_NOMEM);
    hg_buf_free(&b);
}

TEST(an_array_grows_and_keeps_its_items)
{
    int *v = NULL;
    size_t cap = 0;
    hg_err e = {0};
    for (int i = 0; i < 1000; i++) {
        CHECK_OK(hg_grow(&v, &cap, (size_t)i, sizeof *v, &e), e);
        v[i] = i;
    }
    for (int i = 0; i < 1000; i++) CHECK_EQ(v[i], i);
    hg_free(v);
}

TEST(a_long_error_is_cut_at_a_whole_character)
{
    char text[2000] = "";
    for (int i = 0; i < 600; i++) memcpy(text + 3 * i, "\xE2\x82\xAC", 4); /* euro signs */
    hg_err e = {0};
    CHECK_EQ(hg_fail(&e, HG_E_FORMAT, "x%s", text), HG_E_FORMAT);
    size_t n = strlen(e.msg);
    CHECK_EQ((n - 1) % 3, 0);
    CHECK(n > 500);
    hg_fail(&e, HG_E_IO, "two\nlines");
    CHECK_STR(e.msg, "two lines");
    hg_fail(&e, HG_E_IO, "file: %s", e.msg);
    CHECK_STR(e.msg, "file: two lines");
    CHECK_EQ(hg_fail(NULL, HG_E_IO, "nobody listens"), HG_E_IO);
}

TEST(random_numbers_are_the_published_ones)
{
    /* xoshiro256** from the state 1, 2, 3, 4: the first values of its authors' reference. */
    hg_rng r = {{1, 2, 3, 4}};
    static const uint64_t want[] = {11520u, 0u, 1509978240u, 1215971899390074240u};
    for (int i = 0; i < 4; i++) CHECK(hg_rng_u64(&r) == want[i]);
}

TEST(random_numbers_have_their_distributions)
{
    hg_rng r;
    hg_rng_init(&r, 7, 1);
    double sum = 0, sq = 0, sum_n = 0, sq_n = 0;
    int count[7] = {0};
    const int n = 70000;
    for (int i = 0; i < n; i++) {
        double u = hg_rng_unit(&r), z = hg_rng_normal(&r);
        CHECK(u >= 0 && u < 1);
        sum += u;
        sq += u * u;
        sum_n += z;
        sq_n += z * z;
        count[hg_rng_below(&r, 7)]++;
    }
    CHECK_NEAR(sum / n, 0.5, 0.006);
    CHECK_NEAR(sq / n, 1.0 / 3, 0.006);
    CHECK_NEAR(sum_n / n, 0, 0.02);
    CHECK_NEAR(sq_n / n, 1, 0.03);
    for (int i = 0; i < 7; i++) CHECK_NEAR(count[i], n / 7, 500);
}

static size_t resident(void)
{
    unsigned long all = 0, here = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    CHECK(f != NULL && fscanf(f, "%lu %lu", &all, &here) == 2);
    if (f != NULL) (void)fclose(f);
    return (size_t)here * (size_t)sysconf(_SC_PAGESIZE);
}

TEST(blocks_a_little_larger_than_large_pages_hold_little_more_than_was_asked_for)
{
#if defined(__SANITIZE_THREAD__)
    test_skip("a sanitizer's own memory is counted too");
#endif
    enum { N = 40, BYTES = (2 << 20) + (256 << 10) };
    hg_arena a;
    hg_arena_init(&a, 0);
    const size_t before = resident();
    for (int i = 0; i < N; i++) CHECK(hg_arena_alloc(&a, BYTES, 1) != NULL);
    const size_t held = resident() - before;
    CHECK(held > (size_t)N * BYTES * 9 / 10);
    CHECK(held < (size_t)N * (3 << 20)); /* room for what a sanitizer holds beside */
    hg_arena_free(&a);
}

TEST(a_permutation_takes_every_value_once)
{
    static const uint64_t sizes[] = {1, 2, 3, 10, 255, 256, 257, 4000};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        uint64_t n = sizes[k], fixed = 0;
        bool *seen = calloc(n, 1);
        CHECK(seen != NULL);
        for (uint64_t i = 0; i < n; i++) {
            uint64_t j = hg_permute(i, n, 42);
            CHECK(j < n && !seen[j]);
            seen[j] = true;
            fixed += j == i;
        }
        free(seen);
        if (n >= 255) CHECK(fixed < 12);
    }
}
