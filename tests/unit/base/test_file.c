#include "base/file.h"
#include "base/hash.h"
#include "harness/test.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *text_of(const char *path)
{
    static hg_buf b;
    hg_err e = {0};
    hg_buf_clear(&b);
    CHECK_OK(hg_file_read(&b, path, 1 << 20, &e), e);
    return b.p;
}

TEST(a_full_disk_is_told_apart_from_one_that_fails)
{
    FILE *f = fopen("/dev/full", "w");
    CHECK(f != NULL && fputs("x", f) >= 0);
    CHECK(fflush(f) != 0);
    CHECK_EQ(hg_os_status(), HG_E_FULL);
    (void)fclose(f);
    errno = EIO;
    CHECK_EQ(hg_os_status(), HG_E_IO);
}

TEST(a_file_is_written_whole_or_not_at_all)
{
    hg_err e = {0};
    const char *path = test_path("a.txt");
    CHECK_OK(hg_file_write(path, "old", 3, &e), e);
    hg_writer *w = NULL;
    CHECK_OK(hg_writer_open(&w, path, &e), e);
    CHECK_OK(hg_writer_put(w, "new and longer", 14, &e), e);
    CHECK_STR(text_of(path), "old");
    hg_writer_abort(w);
    CHECK_STR(text_of(path), "old");
    CHECK_OK(hg_writer_open(&w, path, &e), e);
    CHECK_OK(hg_writer_put(w, "0000 new", 8, &e), e);
    CHECK_OK(hg_writer_seek(w, 0, &e), e);
    CHECK_OK(hg_writer_put(w, "head", 4, &e), e);
    CHECK_OK(hg_writer_commit(w, &e), e);
    CHECK_STR(text_of(path), "head new");
}

TEST(missing_and_oversized_files_are_told)
{
    hg_err e = {0};
    hg_buf b = {0};
    CHECK_EQ(hg_file_read(&b, "/nonexistent/x", 10, &e), HG_E_MISSING);
    CHECK_STR(e.msg, "cannot read /nonexistent/x: No such file or directory");
    CHECK_OK(hg_file_write(test_path("big"), "0123456789", 10, &e), e);
    CHECK_EQ(hg_file_read(&b, test_path("big"), 9, &e), HG_E_LIMIT);
    CHECK_HAS(e.msg, "has more than the 9 bytes allowed");
    hg_buf_free(&b);
    hg_map m;
    CHECK_EQ(hg_map_open(&m, test_folder(), &e), HG_E_IO);
    CHECK_HAS(e.msg, "is not a regular file");
    CHECK_EQ(hg_file_write("/nonexistent/x", "", 0, &e), HG_E_IO);
}

TEST(an_empty_file_maps_to_nothing)
{
    hg_err e = {0};
    hg_map m;
    CHECK_OK(hg_file_write(test_path("empty"), "", 0, &e), e);
    CHECK_OK(hg_map_open(&m, test_path("empty"), &e), e);
    CHECK_EQ(m.n, 0);
    hg_map_close(&m);
}

static void put_file(const char *dir, const char *name, const char *text)
{
    hg_err e = {0};
    char *p = hg_path_join(dir, name);
    CHECK_OK(hg_file_write(p, text, strlen(text), &e), e);
    hg_free(p);
}

static void make_dir(const char *path, const char *text)
{
    hg_err e = {0};
    hg_dir *d = NULL;
    CHECK_OK(hg_dir_open(&d, path, &e), e);
    put_file(hg_dir_path(d), "one", text);
    put_file(hg_dir_path(d), "two", text);
    CHECK_OK(hg_dir_commit(d, &e), e);
}

TEST(a_folder_replaces_another_in_one_step)
{
    const char *path = test_path("deep/er/folder");
    make_dir(path, "first");
    CHECK_STR(text_of(test_path("deep/er/folder/two")), "first");
    make_dir(path, "second");
    CHECK_STR(text_of(test_path("deep/er/folder/one")), "second");
    hg_err e = {0};
    hg_dir *d = NULL;
    CHECK_OK(hg_dir_open(&d, path, &e), e);
    put_file(hg_dir_path(d), "one", "third");
    hg_dir_abort(d);
    CHECK_STR(text_of(test_path("deep/er/folder/one")), "second");
}

/* A child replaces the folder again and again and is killed at a random moment; whatever is there
 * must be whole. */
TEST(a_folder_is_whole_after_a_kill_at_any_moment)
{
    const char *path = test_path("folder");
    make_dir(path, "0");
    for (int round = 0; round < 25; round++) {
        pid_t pid = fork();
        if (pid == 0) {
            for (int i = 1; i < 1000; i++) {
                char text[32];
                (void)snprintf(text, sizeof text, "%d", i);
                make_dir(path, text);
            }
            _exit(0);
        }
        usleep((useconds_t)(1000 + 1700 * round));
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        char one[32];
        (void)snprintf(one, sizeof one, "%s", text_of(test_path("folder/one")));
        CHECK_STR(text_of(test_path("folder/two")), one);
    }
    make_dir(path, "end"); /* sweeps what the killed ones left */
    int left = 0;
    CHECK_EQ(system("exit 0"), 0);
    char cmd[512];
    (void)snprintf(cmd, sizeof cmd, "test -z \"$(ls -d %s.tmp-* 2>/dev/null)\"", path);
    left = system(cmd);
    CHECK_EQ(left, 0);
}

static hg_status note(void *ctx, const char *path, uint64_t size, int64_t mtime, hg_err *e)
{
    (void)e;
    CHECK(mtime > 0);
    hg_buf_printf(ctx, "%s:%llu ", hg_path_base(path), (unsigned long long)size);
    return HG_OK;
}

TEST(a_walk_is_in_order_and_follows_no_folder_links)
{
    hg_err e = {0};
    CHECK_OK(hg_mkdirs(test_path("w/b"), &e), e);
    put_file(test_path("w"), "z", "12");
    put_file(test_path("w"), "a", "1");
    put_file(test_path("w/b"), "c", "");
    put_file(test_path("w"), ".hidden", "x");
    CHECK_EQ(symlink("..", test_path("w/loop")), 0);
    hg_buf seen = {0};
    CHECK_OK(hg_walk(test_path("w"), note, &seen, &e), e);
    CHECK_STR(seen.p, "a:1 c:0 z:2 ");
    hg_buf_free(&seen);
    CHECK_EQ(hg_walk(test_path("nowhere"), note, &seen, &e), HG_E_MISSING);
    CHECK_OK(hg_remove_tree(test_path("w"), &e), e);
    CHECK(!hg_path_exists(test_path("w")));
    CHECK(hg_path_exists(test_folder()));
}

TEST(paths_join_and_end)
{
    char *p = hg_path_join("a//", "/b");
    CHECK_STR(p, "a/b");
    hg_free(p);
    p = hg_path_join("/", "b");
    CHECK_STR(p, "/b");
    hg_free(p);
    CHECK(hg_path_ends("x/Y.HTML", ".html"));
    CHECK(!hg_path_ends("l", ".html"));
    CHECK_STR(hg_path_base("a/b/c"), "c");
}

TEST(sha256_is_the_standards)
{
    char hex[65];
    hg_sha256_hex("abc", 3, hex);
    CHECK_STR(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    hg_sha256 h;
    hg_sha256_init(&h);
    hg_sha256_put(&h, "a", 1);
    hg_sha256_put(&h, "bc", 2);
    hg_sha256_end(&h, hex);
    CHECK_STR(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
