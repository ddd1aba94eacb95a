/* Files: what is kept, for whom, how long, and that it is gone afterwards. */
#include "harness/test.h"
#include "base/clock.h"
#include "serve/files/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static hg_data *data;
static hg_files *files;
static hg_arena mem;
static hg_err e;

static void begin(void)
{
    CHECK(sodium_init() >= 0);
    CHECK_OK(hg_data_open(&data, test_path("data"), true, &e), e);
    CHECK_OK(hg_files_new(&files, data, &e), e);
    hg_arena_init(&mem, 4096);
}

static void end(void)
{
    hg_arena_free(&mem);
    hg_files_free(files);
    hg_data_close(data);
}

static char *put_until(const char *owner, const char *name, const char *text, int64_t expires)
{
    static char id[8][HG_FILE_ID_ROOM];
    static size_t n;
    const hg_file_ask ask = {
        .owner = owner, .id_prefix = "file-", .name = name, .purpose = "batch", .expires = expires};
    char *to = id[n++ % 8];

    CHECK_OK(hg_files_put(files, &ask, (hg_bytes){text, strlen(text)}, to, &e), e);
    return to;
}

static char *put(const char *owner, const char *name, const char *text)
{
    return put_until(owner, name, text, 0);
}

/* Files in the folder. */
static size_t n_kept(void)
{
    DIR *d = opendir(test_path("data/files"));
    size_t n = 0;

    CHECK(d != NULL);
    for (struct dirent *one; (one = readdir(d)) != NULL;) n += one->d_name[0] != '.';
    (void)closedir(d);
    return n;
}

static void check_text(const char *owner, const char *id, const char *text)
{
    hg_map map;

    CHECK_OK(hg_files_map(files, owner, id, &map, &e), e);
    CHECK_EQ(map.n, strlen(text));
    CHECK(memcmp(map.p, text, map.n) == 0);
    if (map.n > 0) hg_map_close(&map);
}

TEST(a_file_is_given_back_as_it_came_also_after_a_restart)
{
    hg_file f;

    begin();
    const char *id = put("anna", "a/b\\c.jsonl", "{}\n");
    CHECK(strncmp(id, "file-", 5) == 0 && strlen(id) == 29);
    CHECK_OK(hg_files_get(files, "anna", id, &mem, &f, &e), e);
    CHECK_STR(f.name, "c.jsonl");
    CHECK_STR(f.metadata, "{}");
    CHECK_EQ(f.n_bytes, 3);
    CHECK_STR(f.sha256, "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356");
    check_text("anna", id, "{}\n");
    end();
    begin();
    check_text("anna", id, "{}\n");
    end();
}

TEST(nobody_sees_the_files_of_others)
{
    hg_file f;
    hg_err other = {0}, none = {0};

    begin();
    const char *id = put("anna", "a", "secret");
    CHECK_EQ(hg_files_get(files, "ben", id, &mem, &f, &other), HG_E_MISSING);
    CHECK_EQ(hg_files_delete(files, "ben", id, &e), HG_E_MISSING);
    CHECK_OK(hg_files_delete(files, "anna", id, &e), e);
    CHECK_EQ(hg_files_get(files, "ben", id, &mem, &f, &none), HG_E_MISSING);
    CHECK_STR(other.msg, none.msg);
    end();
}

TEST(same_bytes_are_kept_once_and_go_with_the_last_file)
{
    begin();
    const char *a = put("anna", "a", "same"), *b = put("ben", "b", "same");
    (void)put("ben", "c", "other");
    CHECK_EQ(n_kept(), 2);
    CHECK_OK(hg_files_delete(files, "anna", a, &e), e);
    CHECK_EQ(n_kept(), 2);
    check_text("ben", b, "same");
    CHECK_OK(hg_files_delete(files, "ben", b, &e), e);
    CHECK_EQ(n_kept(), 1);
    CHECK_EQ(hg_files_delete(files, "ben", b, &e), HG_E_MISSING);
    end();
}

TEST(an_expired_file_is_not_shown_and_then_deleted)
{
    hg_file f;

    begin();
    const char *id = put_until("anna", "a", "old", hg_unix_time() - 1);
    (void)put_until("anna", "b", "new", hg_unix_time() + 100);
    CHECK_EQ(hg_files_get(files, "anna", id, &mem, &f, &e), HG_E_MISSING);
    CHECK(hg_files_expire(files) <= 1); /* the thread that does it by itself may have been first */
    CHECK_EQ(n_kept(), 1);
    CHECK_EQ(hg_files_expire(files), 0);
    end();
}

typedef struct names {
    char all[64];
    size_t left;
} names;

static bool add_name(void *ctx, const hg_file *f)
{
    names *n = ctx;

    (void)snprintf(n->all + strlen(n->all), sizeof n->all - strlen(n->all), "%s", f->name);
    return --n->left > 0;
}

static const char *list(hg_files_query q, size_t limit)
{
    static names n;

    n = (names){"", limit};
    CHECK_OK(hg_files_list(files, &q, &mem, add_name, &n, &e), e);
    return n.all;
}

TEST(lists_have_an_order_a_beginning_and_a_purpose)
{
    begin();
    (void)put("anna", "a", "1");
    const char *b = put("anna", "b", "2");
    (void)put("ben", "x", "3");
    (void)put("anna", "c", "4");
    CHECK_STR(list((hg_files_query){.owner = "anna"}, 9), "cba");
    CHECK_STR(list((hg_files_query){.owner = "anna"}, 2), "cb");
    CHECK_STR(list((hg_files_query){.owner = "anna", .after = b}, 9), "a");
    CHECK_STR(list((hg_files_query){.owner = "anna", .after = b, .is_oldest_first = true}, 9), "c");
    CHECK_STR(list((hg_files_query){.owner = "anna", .purpose = "vision"}, 9), "");
    const hg_files_query bad = {.owner = "ben", .after = b};
    names n = {"", 9};
    CHECK_EQ(hg_files_list(files, &bad, &mem, add_name, &n, &e), HG_E_MISSING);
    end();
}

TEST(a_signature_is_for_one_file_one_owner_and_a_time)
{
    char s[HG_FILE_SIGNATURE_ROOM];
    const int64_t later = hg_unix_time() + 60;

    begin();
    hg_files_sign(files, "anna", "file-a", later, s);
    const hg_bytes given = {s, strlen(s)};
    CHECK(hg_files_is_signed(files, "anna", "file-a", later, given));
    CHECK(!hg_files_is_signed(files, "ben", "file-a", later, given));
    CHECK(!hg_files_is_signed(files, "anna", "file-b", later, given));
    CHECK(!hg_files_is_signed(files, "anna", "file-a", later + 1, given));
    CHECK(!hg_files_is_signed(files, "anna", "file-a", later, (hg_bytes){s, given.n - 1}));
    hg_files_sign(files, "anna", "file-a", 5, s);
    CHECK(!hg_files_is_signed(files, "anna", "file-a", 5, given));
    end();
}

/* A limit on the size of files stands for a full disk. */
TEST(a_full_disk_keeps_nothing_half)
{
    const struct rlimit small = {1 << 20, RLIM_INFINITY}, large = {RLIM_INFINITY, RLIM_INFINITY};
    const hg_file_ask ask = {
        .owner = "anna", .id_prefix = "file-", .name = "a", .purpose = "batch"};
    char id[HG_FILE_ID_ROOM], *b = calloc(1, 3 << 20);
    names n = {"", 9};

    begin();
    (void)signal(SIGXFSZ, SIG_IGN);
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    CHECK_EQ(hg_files_put(files, &ask, (hg_bytes){b, 3 << 20}, id, &e), HG_E_IO);
    CHECK_HAS(e.msg, "the file was not kept: ");
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &large), 0);
    CHECK_EQ(n_kept(), 0);
    CHECK_OK(hg_files_list(files, &(hg_files_query){.owner = "anna"}, &mem, add_name, &n, &e), e);
    CHECK_STR(n.all, "");
    free(b);
    end();
}

TEST(a_file_that_comes_in_parts_is_one_file_or_none)
{
    const hg_file_ask ask = {
        .owner = "anna", .id_prefix = "file-", .name = "a", .purpose = "batch"};
    char id[HG_FILE_ID_ROOM], text[16] = "";
    hg_file_draft *d;
    uint64_t n = 0;
    int fd = -1;

    begin();
    const char *whole = put("ben", "a", "one two");
    for (int i = 0; i < 3; i++) {
        CHECK_OK(hg_files_begin(&d, files, i < 2 ? "anna" : NULL, &e), e);
        CHECK_OK(hg_files_add(d, (hg_bytes){"one ", 4}, &e), e);
        CHECK_OK(hg_files_add(d, (hg_bytes){"two", 3}, &e), e);
        CHECK_EQ(n_kept(), 2);
        if (i == 0) hg_files_drop(d);
        if (i == 1) CHECK_OK(hg_files_keep(d, &ask, id, &e), e);
        if (i == 2) CHECK_OK(hg_files_take(d, &fd, &n, &e), e);
        CHECK_EQ(n_kept(), 1); /* the same bytes are kept once */
    }
    check_text("anna", id, "one two");
    check_text("ben", whole, "one two");
    CHECK_EQ(n, 7);
    CHECK_EQ(pread(fd, text, sizeof text, 0), 7);
    CHECK_STR(text, "one two");
    (void)close(fd);
    end();
}

TEST(what_a_kill_left_half_is_swept)
{
    char name[65], path[4096];

    begin();
    const char *id = put("anna", "a", "whole");
    end();
    memset(name, 'a', 64);
    name[64] = '\0';
    (void)snprintf(path, sizeof path, "%s/%s", test_path("data/files"), name);
    CHECK_OK(hg_file_write(path, "orphan", 6, &e), e);
    CHECK_OK(hg_file_write(test_path("data/files/tmp-12345678"), "half", 4, &e), e);
    begin();
    CHECK_EQ(n_kept(), 1);
    check_text("anna", id, "whole");
    end();
}

/* Whoever could write into the folder could else let us read and answer with any file. */
TEST(links_are_not_followed)
{
    char path[4096];
    hg_file f;
    hg_map map;

    begin();
    const char *id = put("anna", "a", "mine");
    CHECK_OK(hg_files_get(files, "anna", id, &mem, &f, &e), e);
    (void)snprintf(path, sizeof path, "%s/%s", test_path("data/files"), f.sha256);
    CHECK_EQ(unlink(path), 0);
    CHECK_EQ(symlink("/etc/passwd", path), 0);
    CHECK_EQ(hg_files_map(files, "anna", id, &map, &e), HG_E_IO);
    end();
}

TEST(a_data_folder_that_keeps_nothing_leaves_nothing)
{
    char folder[64];

    CHECK(sodium_init() >= 0);
    CHECK_OK(hg_data_open(&data, NULL, true, &e), e);
    CHECK_OK(hg_files_new(&files, data, &e), e);
    (void)snprintf(folder, sizeof folder, "%s", hg_data_folder(data));
    CHECK(hg_path_is_dir(folder));
    (void)put("anna", "a", "b");
    hg_files_free(files);
    hg_data_close(data);
    CHECK(!hg_path_exists(folder));
}
