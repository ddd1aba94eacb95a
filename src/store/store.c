/* SQLite behind one lock. Write-ahead logging, so that a kill at any moment leaves the database
 * whole; deleted rows are overwritten, in the log when it is emptied; pages that are free can be
 * given back to the disk (auto_vacuum); a damaged or hostile file can run no code of its own
 * (trusted_schema off, defensive). */
#include "store/store.h"
#include "base/file.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

enum { MAX_KEPT = 512, BUSY_MS = 5000, INCREMENTAL = 2 /* SQLite's number for auto_vacuum */ };
static const int64_t SPARE_PAGES = 256; /* that stay for what is written next */
static const int64_t PIECE_PAGES = 256;

typedef struct kept {
    const char *sql; /* the literal's address is its name */
    sqlite3_stmt *statement;
} kept;

struct hg_store {
    sqlite3 *db;
    pthread_mutex_t lock; /* recursive: a transaction holds it over its queries */
    kept kept[MAX_KEPT];
    size_t n_kept;
    atomic_bool has_deleted;
};

/* What maps its memory of the log onto the disk has no word of its own for a full one. */
static bool is_full(hg_store *s)
{
    const int code = sqlite3_errcode(s->db) & 0xff;

    return code == SQLITE_FULL || (code == SQLITE_IOERR && sqlite3_system_errno(s->db) == ENOSPC);
}

static hg_status told(hg_store *s, const char *path, hg_err *e)
{
    return hg_fail(e, is_full(s) ? HG_E_FULL : HG_E_IO, "%s: %s", path != NULL ? path : "the store",
                   sqlite3_errmsg(s->db));
}

static hg_status execute(hg_store *s, const char *sql, hg_err *e)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? HG_OK : told(s, NULL, e);
}

/* ---- opening ---- */
static int64_t number_of(hg_store *s, const char *sql)
{
    hg_query q;
    int64_t n = -1;

    hg_query_open(&q, s, sql);
    if (hg_query_row(&q)) n = hg_column_int(&q, 0);
    return hg_query_close(&q, NULL) == HG_OK ? n : -1;
}

static hg_status migrate(hg_store *s, const char *const *migrations, size_t n, hg_err *e)
{
    const int64_t version = number_of(s, "PRAGMA user_version");
    char text[48];

    if (version < 0) return told(s, NULL, e);
    if (version > (int64_t)n)
        return hg_fail(e, HG_E_STATE,
                       "the store is of version %lld, made by a newer Higgins; this one knows %zu",
                       (long long)version, n);
    for (size_t i = (size_t)version; i < n; i++) {
        HG_TRY(hg_store_begin(s, e));
        (void)snprintf(text, sizeof text, "PRAGMA user_version = %zu", i + 1);
        hg_status r = execute(s, migrations[i], e);
        if (r == HG_OK) r = execute(s, text, e);
        HG_TRY(hg_store_end(s, r, e));
    }
    return HG_OK;
}

static hg_status set_up(hg_store *s, const char *path, hg_err *e)
{
    static const char *const pragmas[] = {
        "PRAGMA journal_mode = WAL",   "PRAGMA synchronous = NORMAL", "PRAGMA foreign_keys = ON",
        "PRAGMA trusted_schema = OFF", "PRAGMA secure_delete = ON",   "PRAGMA temp_store = MEMORY"};

    (void)sqlite3_busy_timeout(s->db, BUSY_MS);
    (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL);
    (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, (int *)NULL);
    /* Before its first page, which is when a file takes it. */
    if (number_of(s, "PRAGMA page_count") == 0)
        (void)execute(s, "PRAGMA auto_vacuum = INCREMENTAL", NULL);
    for (size_t i = 0; i < sizeof pragmas / sizeof pragmas[0]; i++) {
        hg_err why;
        if (execute(s, pragmas[i], &why) != HG_OK) return told(s, path, e);
    }
    return HG_OK;
}

static hg_status open_file(hg_store *s, const char *path, hg_err *e)
{
    const int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
    const mode_t old = umask(077);
    const int r = sqlite3_open_v2(path != NULL ? path : ":memory:", &s->db, flags, NULL);

    (void)umask(old);
    if (s->db == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the store");
    if (r != SQLITE_OK) return told(s, path, e);
    HG_TRY(set_up(s, path, e));
    if (path != NULL) (void)chmod(path, 0600);
    return HG_OK;
}

hg_status hg_store_open(hg_store **out, const char *path, const char *const *migrations, size_t n,
                        hg_err *e)
{
    pthread_mutexattr_t recursive;
    hg_store *s = hg_alloc(1, sizeof *s);

    *out = NULL;
    if (s == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the store");
    (void)pthread_mutexattr_init(&recursive);
    (void)pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    (void)pthread_mutex_init(&s->lock, &recursive);
    (void)pthread_mutexattr_destroy(&recursive);
    hg_status r = open_file(s, path, e);
    if (r == HG_OK) r = migrate(s, migrations, n, e);
    if (r != HG_OK) {
        hg_store_close(s);
        return r;
    }
    *out = s;
    return HG_OK;
}

void hg_store_close(hg_store *s)
{
    if (s == NULL) return;
    for (size_t i = 0; i < s->n_kept; i++) (void)sqlite3_finalize(s->kept[i].statement);
    (void)sqlite3_close(s->db);
    (void)pthread_mutex_destroy(&s->lock);
    hg_free(s);
}

int64_t hg_store_foreign_changes(hg_store *s)
{
    return number_of(s, "PRAGMA data_version");
}

int64_t hg_store_changes(hg_store *s)
{
    (void)pthread_mutex_lock(&s->lock);
    const int64_t n = sqlite3_changes64(s->db);
    (void)pthread_mutex_unlock(&s->lock);
    return n;
}

/* ---- queries ---- */
static sqlite3_stmt *prepare(hg_store *s, const char *sql, int *result)
{
    sqlite3_stmt *statement = NULL;

    for (size_t i = 0; i < s->n_kept; i++)
        if (s->kept[i].sql == sql) return s->kept[i].statement;
    *result = sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL);
    if (*result == SQLITE_OK && s->n_kept == MAX_KEPT) {
        (void)sqlite3_finalize(s->kept[0].statement);
        s->kept[0] = s->kept[--s->n_kept];
    }
    if (*result == SQLITE_OK) s->kept[s->n_kept++] = (kept){sql, statement};
    return statement;
}

void hg_query_open(hg_query *q, hg_store *s, const char *sql)
{
    *q = (hg_query){.store = s, .result = SQLITE_OK};
    (void)pthread_mutex_lock(&s->lock);
    q->statement = prepare(s, sql, &q->result);
}

static void bound(hg_query *q, int result)
{
    if (q->result == SQLITE_OK) q->result = result;
}

void hg_query_text(hg_query *q, int i, const char *v)
{
    bound(q, sqlite3_bind_text(q->statement, i, v, -1, SQLITE_TRANSIENT));
}

void hg_query_blob(hg_query *q, int i, hg_bytes v)
{
    bound(q, sqlite3_bind_blob64(q->statement, i, v.n > 0 ? v.p : "", v.n, SQLITE_TRANSIENT));
}

void hg_query_int(hg_query *q, int i, int64_t v)
{
    bound(q, sqlite3_bind_int64(q->statement, i, v));
}

bool hg_query_row(hg_query *q)
{
    if (q->result == SQLITE_OK || q->result == SQLITE_ROW) q->result = sqlite3_step(q->statement);
    return q->result == SQLITE_ROW;
}

hg_bytes hg_column_bytes(const hg_query *q, int i)
{
    const void *p = sqlite3_column_blob(q->statement, i);
    const int n = sqlite3_column_bytes(q->statement, i);

    return (hg_bytes){p != NULL ? p : "", p != NULL ? (size_t)n : 0};
}

const char *hg_column_text(const hg_query *q, int i)
{
    return (const char *)sqlite3_column_text(q->statement, i);
}

int64_t hg_column_int(const hg_query *q, int i)
{
    return sqlite3_column_int64(q->statement, i);
}

/* One that returns what it deletes has deleted all before its first row. */
static bool has_deleted(const hg_query *q)
{
    if (q->result != SQLITE_DONE && q->result != SQLITE_ROW) return false;
    return strncmp(sqlite3_sql(q->statement), "DELETE", 6) == 0 &&
           (q->result == SQLITE_ROW || sqlite3_changes64(q->store->db) > 0);
}

hg_status hg_query_close(hg_query *q, hg_err *e)
{
    hg_status s = HG_OK;

    if (q->result == SQLITE_OK) (void)hg_query_row(q);
    if ((q->result & 0xff) == SQLITE_CONSTRAINT)
        s = hg_fail(e, HG_E_STATE, "the store: %s", sqlite3_errmsg(q->store->db));
    else if (q->result != SQLITE_ROW && q->result != SQLITE_DONE)
        s = told(q->store, NULL, e);
    if (has_deleted(q)) atomic_store(&q->store->has_deleted, true);
    if (q->statement != NULL) {
        /* One that was left at a row commits only now, which may fail. */
        if (sqlite3_reset(q->statement) != SQLITE_OK && s == HG_OK) s = told(q->store, NULL, e);
        (void)sqlite3_clear_bindings(q->statement);
    }
    (void)pthread_mutex_unlock(&q->store->lock);
    return s;
}

/* ---- the log ---- */
bool hg_store_has_deleted(hg_store *s)
{
    return atomic_load(&s->has_deleted);
}

/* Nobody of this process waits for other processes that read. */
hg_status hg_store_settle(hg_store *s, hg_err *e)
{
    hg_status status = HG_OK;

    (void)pthread_mutex_lock(&s->lock);
    (void)sqlite3_busy_timeout(s->db, 0);
    const int r = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    if (r == SQLITE_OK)
        atomic_store(&s->has_deleted, false);
    else if (r != SQLITE_BUSY)
        status = told(s, NULL, e);
    (void)sqlite3_busy_timeout(s->db, BUSY_MS);
    (void)pthread_mutex_unlock(&s->lock);
    return status;
}

/* ---- the size of its file ---- */
/* Twice the room of what is in the file: for the copy, and for the log out of which it is written
 * back. */
static hg_status check_room(hg_store *s, const char *path, hg_err *e)
{
    const int64_t page = number_of(s, "PRAGMA page_size");
    const int64_t n = number_of(s, "PRAGMA page_count") - number_of(s, "PRAGMA freelist_count");
    struct statvfs disk;

    if (statvfs(path, &disk) != 0) return hg_fail(e, HG_E_IO, "%s: %s", path, hg_os_error());
    const uint64_t need = 2 * (uint64_t)page * (uint64_t)n;
    const uint64_t has = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (has >= need) return HG_OK;
    return hg_fail(e, HG_E_IO,
                   "%s: its disk has %llu MiB; %llu are needed to write it anew, so that it can "
                   "shrink",
                   path, (unsigned long long)(has >> 20), (unsigned long long)(need >> 20) + 1);
}

/* What is copied may be larger than the memory. */
static hg_status write_anew(hg_store *s, hg_err *e)
{
    hg_status r = execute(s, "PRAGMA temp_store = FILE; PRAGMA auto_vacuum = INCREMENTAL", e);

    if (r == HG_OK) r = execute(s, "VACUUM", e);
    (void)execute(s, "PRAGMA temp_store = MEMORY", NULL);
    return r == HG_OK ? hg_store_settle(s, e) : r;
}

hg_status hg_store_repack(hg_store *s, const char *path, hg_err *e)
{
    (void)pthread_mutex_lock(&s->lock);
    const bool is_done = path == NULL || number_of(s, "PRAGMA auto_vacuum") == INCREMENTAL;
    hg_status r = is_done ? HG_OK : check_room(s, path, e);
    if (!is_done && r == HG_OK) r = write_anew(s, e);
    (void)pthread_mutex_unlock(&s->lock);
    return r;
}

/* Pages from the file's end move into free ones before them, and the end is cut off. */
bool hg_store_shrink(hg_store *s)
{
    bool has_more = false;

    (void)pthread_mutex_lock(&s->lock);
    (void)sqlite3_busy_timeout(s->db, 0);
    const int64_t before = number_of(s, "PRAGMA freelist_count");
    if (before >= SPARE_PAGES + PIECE_PAGES &&
        execute(s, "PRAGMA incremental_vacuum(256)", NULL) == HG_OK) {
        const int64_t after = number_of(s, "PRAGMA freelist_count");
        if (after < before) atomic_store(&s->has_deleted, true);
        has_more = after < before && after >= SPARE_PAGES + PIECE_PAGES;
    }
    (void)sqlite3_busy_timeout(s->db, BUSY_MS);
    (void)pthread_mutex_unlock(&s->lock);
    return has_more;
}

void hg_store_let_others(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 200 * 1000}, NULL);
}

/* ---- transactions ---- */
hg_status hg_store_begin(hg_store *s, hg_err *e)
{
    (void)pthread_mutex_lock(&s->lock);
    const hg_status r = execute(s, "BEGIN IMMEDIATE", e);
    if (r != HG_OK) (void)pthread_mutex_unlock(&s->lock);
    return r;
}

hg_status hg_store_end(hg_store *s, hg_status so_far, hg_err *e)
{
    hg_status r = so_far == HG_OK ? execute(s, "COMMIT", e) : so_far;

    if (r != HG_OK) (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    (void)pthread_mutex_unlock(&s->lock);
    return r;
}
