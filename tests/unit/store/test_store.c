/* The store: what is written is there after opening again; migrations; broken rules and files. */
#include "harness/test.h"
#include "base/file.h"
#include "store/store.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const steps[] = {
    "CREATE TABLE things (name TEXT PRIMARY KEY, n INTEGER, x REAL, b BLOB) STRICT;",
    "ALTER TABLE things ADD COLUMN note TEXT; CREATE INDEX by_n ON things (n);"};

static hg_store *open_store(const char *path, size_t n_steps)
{
    hg_store *s = NULL;
    hg_err e = {0};

    CHECK_OK(hg_store_open(&s, path, steps, n_steps, &e), e);
    return s;
}

static hg_status put(hg_store *s, const char *name, int64_t n, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, s, "INSERT INTO things (name, n, b) VALUES (?, ?, ?)");
    hg_query_text(&q, 1, name);
    hg_query_int(&q, 2, n);
    hg_query_blob(&q, 3, (hg_bytes){"a\0b", 3});
    return hg_query_close(&q, e);
}

static int64_t count(hg_store *s)
{
    hg_query q;
    hg_err e = {0};

    hg_query_open(&q, s, "SELECT count(*) FROM things");
    CHECK(hg_query_row(&q));
    const int64_t n = hg_column_int(&q, 0);
    CHECK_OK(hg_query_close(&q, &e), e);
    return n;
}

TEST(a_full_store_is_told_apart_from_one_that_fails)
{
    hg_store *s = open_store(test_path("a.db"), 1);
    hg_err e = {0};
    hg_query q;

    hg_query_open(&q, s, "PRAGMA max_page_count = 1"); /* as many as it has */
    CHECK_OK(hg_query_close(&q, &e), e);
    hg_query_open(&q, s, "INSERT INTO things (name, b) VALUES ('large', zeroblob(100000))");
    CHECK_EQ(hg_query_close(&q, &e), HG_E_FULL);
    CHECK_STR(e.msg, "the store: database or disk is full");
    CHECK_EQ(count(s), 0);
    hg_store_close(s);
}

TEST(what_was_written_is_there_again)
{
    hg_store *s = open_store(test_path("a.db"), 1);
    struct stat st;
    hg_query q;
    hg_err e = {0};

    CHECK_OK(put(s, "one", 1, &e), e);
    CHECK_OK(put(s, "none", 0, &e), e);
    hg_store_close(s);
    s = open_store(test_path("a.db"), 2); /* the second migration runs now */
    hg_query_open(&q, s, "SELECT name, n, b, note FROM things ORDER BY n");
    CHECK(hg_query_row(&q));
    CHECK_STR(hg_column_text(&q, 0), "none");
    CHECK(hg_query_row(&q));
    CHECK_EQ(hg_column_int(&q, 1), 1);
    CHECK_EQ(hg_column_bytes(&q, 2).n, 3);
    CHECK(hg_column_text(&q, 3) == NULL);
    CHECK(!hg_query_row(&q));
    CHECK_OK(hg_query_close(&q, &e), e);
    hg_store_close(s);
    CHECK_EQ(stat(test_path("a.db"), &st), 0);
    CHECK_EQ(st.st_mode & 0777, 0600);
}

TEST(values_never_become_sql)
{
    hg_store *s = open_store(NULL, 2);
    hg_err e = {0};

    CHECK_OK(put(s, "'); DROP TABLE things; --", 1, &e), e);
    CHECK_EQ(count(s), 1);
    hg_store_close(s);
}

TEST(a_broken_rule_is_told_apart)
{
    hg_store *s = open_store(NULL, 2);
    hg_query q;
    hg_err e = {0};

    CHECK_OK(put(s, "one", 1, &e), e);
    CHECK_EQ(put(s, "one", 2, &e), HG_E_STATE);
    CHECK_HAS(e.msg, "UNIQUE constraint failed: things.name");
    hg_query_open(&q, s, "INSERT INTO things (name, n) VALUES ('x', 'no number')");
    CHECK_EQ(hg_query_close(&q, &e), HG_E_STATE); /* strict tables */
    hg_query_open(&q, s, "SELECT x FROM nowhere");
    CHECK_EQ(hg_query_close(&q, &e), HG_E_IO);
    CHECK_HAS(e.msg, "no such table: nowhere");
    CHECK_EQ(count(s), 1);
    hg_store_close(s);
}

TEST(a_transaction_is_whole_or_not_at_all)
{
    hg_store *s = open_store(NULL, 2);
    hg_err e = {0};

    CHECK_OK(hg_store_begin(s, &e), e);
    CHECK_OK(put(s, "one", 1, &e), e);
    CHECK_EQ(hg_store_end(s, hg_fail(&e, HG_E_ARG, "changed my mind"), &e), HG_E_ARG);
    CHECK_EQ(count(s), 0);
    CHECK_OK(hg_store_begin(s, &e), e);
    CHECK_OK(put(s, "one", 1, &e), e);
    CHECK_OK(hg_store_end(s, HG_OK, &e), e);
    CHECK_EQ(count(s), 1);
    CHECK_EQ(hg_store_changes(s), 1);
    hg_store_close(s);
}

TEST(a_store_of_the_future_or_none_is_refused)
{
    hg_store *s = open_store(test_path("new.db"), 2);
    hg_err e = {0};

    hg_store_close(s);
    CHECK_EQ(hg_store_open(&s, test_path("new.db"), steps, 1, &e), HG_E_STATE);
    CHECK_STR(e.msg, "the store is of version 2, made by a newer Higgins; this one knows 1");
    CHECK(s == NULL);
    char junk[4096];
    memset(junk, 'j', sizeof junk);
    CHECK_OK(hg_file_write(test_path("junk.db"), junk, sizeof junk, &e), e);
    CHECK_EQ(hg_store_open(&s, test_path("junk.db"), steps, 2, &e), HG_E_IO);
    CHECK_HAS(e.msg, "junk.db: file is not a database");
    CHECK_EQ(hg_store_open(&s, "/nowhere/x.db", steps, 2, &e), HG_E_IO);
    CHECK_HAS(e.msg, "/nowhere/x.db: unable to open database file");
}

/* A process is killed in the midst of writing; what it had finished is there. */
TEST(a_kill_leaves_the_store_whole)
{
    const char *path = test_path("killed.db");
    int pipes[2];
    hg_err e = {0};
    char ready = 0;

    CHECK_EQ(pipe(pipes), 0);
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        hg_store *s = open_store(path, 2);
        (void)put(s, "first", 1, &e);
        (void)hg_store_begin(s, &e);
        for (int i = 0;; i++) {
            char name[32];
            (void)snprintf(name, sizeof name, "%d", i);
            (void)put(s, name, i, &e);
            if (i == 100 && write(pipes[1], "x", 1) != 1) _exit(1);
        }
    }
    CHECK_EQ(read(pipes[0], &ready, 1), 1);
    CHECK_EQ(kill(child, SIGKILL), 0);
    CHECK_EQ(waitpid(child, NULL, 0), child);
    hg_store *s = open_store(path, 2);
    CHECK_EQ(count(s), 1);
    hg_store_close(s);
}

TEST(another_process_shows_by_its_changes)
{
    hg_store *a = open_store(test_path("two.db"), 2), *b = open_store(test_path("two.db"), 2);
    hg_err e = {0};
    const int64_t before = hg_store_foreign_changes(a);

    CHECK_OK(put(a, "mine", 1, &e), e);
    CHECK_EQ(hg_store_foreign_changes(a), before);
    CHECK_OK(put(b, "theirs", 1, &e), e);
    CHECK(hg_store_foreign_changes(a) != before);
    hg_store_close(a);
    hg_store_close(b);
}

static void *put_many(void *ctx)
{
    static atomic_int next;
    char name[32];

    for (int i = 0; i < 50; i++) {
        (void)snprintf(name, sizeof name, "%d", atomic_fetch_add(&next, 1));
        if (put(ctx, name, 1, NULL) != HG_OK) return ctx;
    }
    return NULL;
}

TEST(threads_take_turns)
{
    hg_store *s = open_store(test_path("many.db"), 2);
    pthread_t t[4];
    void *bad = NULL;

    for (int i = 0; i < 4; i++) CHECK_EQ(pthread_create(&t[i], NULL, put_many, s), 0);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(pthread_join(t[i], &bad), 0);
        CHECK(bad == NULL);
    }
    CHECK_EQ(count(s), 200);
    hg_store_close(s);
}

static int64_t file_size(const char *path)
{
    struct stat st;

    CHECK_EQ(stat(path, &st), 0);
    return st.st_size;
}

/* 16 MiB of rows. */
static void fill(hg_store *s)
{
    char *large = hg_alloc(1 << 20, 1);
    hg_query q;
    hg_err e = {0};

    memset(large, 'L', 1 << 20);
    for (int i = 0; i < 16; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "large %d", i);
        hg_query_open(&q, s, "INSERT INTO things (name, n, b) VALUES (?, 1, ?)");
        hg_query_text(&q, 1, name);
        hg_query_blob(&q, 2, (hg_bytes){large, 1 << 20});
        CHECK_OK(hg_query_close(&q, &e), e);
    }
    hg_free(large);
}

static void drop_large(hg_store *s)
{
    hg_query q;
    hg_err e = {0};

    hg_query_open(&q, s, "DELETE FROM things WHERE name LIKE 'large%'");
    CHECK_OK(hg_query_close(&q, &e), e);
}

/* Pieces until nothing is left to give back. */
static int shrink(hg_store *s)
{
    hg_err e = {0};
    int n = 1;

    while (hg_store_shrink(s)) n++;
    CHECK_OK(hg_store_settle(s, &e), e);
    return n;
}

TEST(what_was_deleted_gives_its_room_back_to_the_disk)
{
    const char *path = test_path("a.db");
    hg_store *s = open_store(path, 2);
    hg_err e = {0};

    fill(s);
    CHECK_OK(put(s, "stays", 7, &e), e);
    CHECK_OK(hg_store_settle(s, &e), e);
    CHECK(file_size(path) > 16 << 20);
    drop_large(s);
    CHECK_OK(hg_store_settle(s, &e), e);
    CHECK(file_size(path) > 16 << 20);
    CHECK(shrink(s) >= 13);
    CHECK(file_size(path) < 3 << 20);
    CHECK(file_size(path) >= 1 << 20); /* room for what comes next */
    CHECK_EQ(count(s), 1);
    CHECK(!hg_store_shrink(s));
    hg_store_close(s);
}

/* A file as it was made before stores could shrink. */
static void make_old(const char *path)
{
    sqlite3 *db = NULL;

    CHECK_EQ(sqlite3_open(path, &db), SQLITE_OK);
    CHECK_EQ(sqlite3_exec(db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL), SQLITE_OK);
    CHECK_EQ(sqlite3_exec(db, steps[0], NULL, NULL, NULL), SQLITE_OK);
    CHECK_EQ(sqlite3_exec(db, "PRAGMA user_version = 1", NULL, NULL, NULL), SQLITE_OK);
    CHECK_EQ(sqlite3_close(db), SQLITE_OK);
}

TEST(an_old_store_is_written_anew_once_and_shrinks_from_then_on)
{
    const char *path = test_path("old.db");
    hg_err e = {0};

    make_old(path);
    hg_store *s = open_store(path, 2);
    fill(s);
    CHECK_OK(put(s, "stays", 7, &e), e);
    drop_large(s);
    CHECK(shrink(s) == 1);
    CHECK(file_size(path) > 16 << 20); /* it cannot */
    CHECK_OK(hg_store_repack(s, path, &e), e);
    CHECK(file_size(path) < 3 << 20);
    fill(s);
    drop_large(s);
    CHECK(shrink(s) >= 13);
    CHECK(file_size(path) < 3 << 20);
    CHECK_EQ(count(s), 1);
    hg_store_close(s);
    s = open_store(path, 2);
    CHECK_OK(hg_store_repack(s, path, &e), e);
    CHECK_EQ(count(s), 1);
    hg_store_close(s);
}

/* An open statement stands for whatever is in the way. */
TEST(a_store_that_cannot_be_written_anew_says_so_and_works_on)
{
    const char *path = test_path("old.db");
    hg_store *s;
    hg_query q;
    hg_err e = {0};

    make_old(path);
    s = open_store(path, 2);
    CHECK_OK(put(s, "one", 1, &e), e);
    hg_query_open(&q, s, "SELECT name FROM things");
    CHECK(hg_query_row(&q));
    CHECK_EQ(hg_store_repack(s, path, &e), HG_E_IO);
    CHECK_HAS(e.msg, "cannot VACUUM");
    CHECK_OK(hg_query_close(&q, NULL), e);
    CHECK_EQ(hg_store_repack(s, "/nowhere/old.db", &e), HG_E_IO);
    CHECK_STR(e.msg, "/nowhere/old.db: No such file or directory");
    CHECK_OK(put(s, "two", 2, &e), e);
    CHECK_EQ(count(s), 2);
    hg_store_close(s);
}

static bool has_log(const char *path, const char *text)
{
    char all[1 << 16] = "";
    FILE *f = fopen(path, "rb");
    const size_t n = f != NULL ? fread(all, 1, sizeof all, f) : 0;

    if (f != NULL) (void)fclose(f);
    return memmem(all, n, text, strlen(text)) != NULL;
}

TEST(what_was_deleted_is_not_in_the_settled_log)
{
    const char *path = test_path("a.db"), *log = test_path("a.db-wal");
    hg_store *s = open_store(path, 2);
    hg_query q;
    hg_err e = {0};

    CHECK_OK(put(s, "canary", 1, &e), e);
    CHECK_OK(put(s, "harbour", 2, &e), e);
    CHECK(has_log(log, "canary") && !hg_store_has_deleted(s));
    hg_query_open(&q, s, "DELETE FROM things WHERE name = 'nobody'");
    CHECK_OK(hg_query_close(&q, &e), e);
    CHECK(!hg_store_has_deleted(s));
    hg_query_open(&q, s, "DELETE FROM things WHERE n = 1 RETURNING name");
    CHECK(hg_query_row(&q));
    CHECK_OK(hg_query_close(&q, &e), e);
    CHECK(hg_store_has_deleted(s) && has_log(log, "canary"));

    hg_store *other = open_store(path, 2); /* who reads is not disturbed, and waited for later */
    hg_query_open(&q, other, "SELECT name FROM things");
    CHECK(hg_query_row(&q));
    CHECK_OK(hg_store_settle(s, &e), e);
    CHECK(hg_store_has_deleted(s));
    CHECK_OK(hg_query_close(&q, &e), e);

    CHECK_OK(hg_store_settle(s, &e), e);
    CHECK(!hg_store_has_deleted(s));
    CHECK(!has_log(log, "canary") && !has_log(path, "canary"));
    CHECK(has_log(path, "harbour"));
    hg_store_close(other);
    hg_store_close(s);
}

/* A limit on the size of files stands for a full disk. */
TEST(what_was_not_written_is_told_though_its_row_was_read)
{
    const char *path = test_path("a.db");
    hg_store *s = open_store(path, 1);
    struct rlimit limit = {0, RLIM_INFINITY};
    struct stat wal;
    char name[4096];
    hg_query q;
    hg_err e = {0};

    CHECK_OK(put(s, "a", 1, &e), e);
    (void)snprintf(name, sizeof name, "%s-wal", path);
    CHECK_EQ(stat(name, &wal), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    limit.rlim_cur = (rlim_t)wal.st_size;
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    hg_query_open(&q, s, "UPDATE things SET n = n + 1 RETURNING n");
    CHECK(hg_query_row(&q));
    CHECK_EQ(hg_column_int(&q, 0), 2);
    CHECK_EQ(hg_query_close(&q, &e), HG_E_IO);
    limit.rlim_cur = RLIM_INFINITY;
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    hg_query_open(&q, s, "SELECT n FROM things");
    CHECK(hg_query_row(&q));
    CHECK_EQ(hg_column_int(&q, 0), 1);
    CHECK_OK(hg_query_close(&q, &e), e);
    hg_store_close(s);
}
