/* See files.h. Everything is reached from one open folder by names that are made here (a digest in
 * hexadecimal, or "tmp-" and random digits), without following links. A row is written after its
 * bytes are on the disk and goes before them, so that after a kill there may be bytes without a
 * row, which the next start removes, and never a row without bytes. */
#include "serve/files/files.h"
#include "serve/ids.h"
#include "base/clock.h"
#include "base/hash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 1 << 20, EXPIRE_S = 60, LAST_N = 24 };

struct hg_files {
    hg_store *store;
    int dir;
    unsigned char key[crypto_auth_hmacsha256_KEYBYTES];
    pthread_mutex_t lock;   /* rows and bytes change together */
    hg_patient_clock clock; /* for what expires; with the lock */
    pthread_cond_t ending;
    bool is_ending, has_thread;
    pthread_t thread;
};

static hg_status no_file(hg_err *e, const char *id)
{
    return hg_fail(e, HG_E_MISSING, "there is no file %.60s", id);
}

/* ---- bytes ---- */
struct hg_file_draft {
    hg_files *files;
    int fd;
    char name[32]; /* temporary */
    hg_sha256 hash;
    uint64_t n, most;
};

static hg_status not_kept(hg_err *e)
{
    return hg_fail(e, hg_os_status(), "the file was not kept: %s", hg_os_error());
}

static hg_status write_part(hg_file_draft *d, hg_bytes part, hg_err *e)
{
    for (size_t at = 0; at < part.n;) {
        const size_t left = part.n - at, want = left < PIECE ? left : PIECE;
        const ssize_t k = write(d->fd, part.p + at, want);
        if (k < 0 && errno == EINTR) continue;
        if (k == 0) errno = ENOSPC;
        if (k <= 0) return not_kept(e);
        hg_sha256_put(&d->hash, part.p + at, (size_t)k);
        d->n += (uint64_t)k;
        at += (size_t)k;
    }
    return HG_OK;
}

/* With the lock. */
static void drop_bytes(hg_files *f, const char *sha256)
{
    hg_query q;

    hg_query_open(&q, f->store, "SELECT 1 FROM files WHERE sha256 = ? LIMIT 1");
    hg_query_text(&q, 1, sha256);
    const bool is_used = hg_query_row(&q);
    if (hg_query_close(&q, NULL) == HG_OK && !is_used) (void)unlinkat(f->dir, sha256, 0);
}

/* ---- keeping ---- */
static hg_status check_room(hg_files *f, const char *owner, size_t n, hg_err *e)
{
    hg_query q;
    int64_t count = 0, total = 0;

    hg_query_open(&q, f->store, "SELECT count(*), total(n_bytes) FROM files WHERE owner = ?");
    hg_query_text(&q, 1, owner);
    if (hg_query_row(&q)) {
        count = hg_column_int(&q, 0);
        total = hg_column_int(&q, 1);
    }
    HG_TRY(hg_query_close(&q, e));
    if (count >= HG_FILES_MAX_COUNT)
        return hg_fail(e, HG_E_LIMIT, "%d files are kept already; delete some first",
                       (int)HG_FILES_MAX_COUNT);
    if ((uint64_t)total + n > HG_FILES_MAX_TOTAL)
        return hg_fail(e, HG_E_LIMIT, "your files would take more than %.0f GB; delete some first",
                       (double)HG_FILES_MAX_TOTAL / 1e9);
    return HG_OK;
}

static hg_status insert(hg_files *f, const hg_file_ask *ask, const char *id, const char *sha256,
                        size_t n, hg_err *e)
{
    hg_query q;
    const char *name = ask->name != NULL ? hg_path_base(ask->name) : "";
    const char *slash = strrchr(name, '\\'); /* folders of other systems */
    char text[256];

    (void)snprintf(text, sizeof text, "%.255s", slash != NULL ? slash + 1 : name);
    hg_query_open(&q, f->store,
                  "INSERT INTO files (id, owner, name, type, purpose, metadata, sha256, n_bytes, "
                  "created, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    hg_query_text(&q, 1, id);
    hg_query_text(&q, 2, ask->owner);
    hg_query_text(&q, 3, text[0] != '\0' ? text : "file");
    hg_query_text(
        &q, 4, ask->type != NULL && ask->type[0] != '\0' ? ask->type : "application/octet-stream");
    hg_query_text(&q, 5, ask->purpose);
    hg_query_text(&q, 6, ask->metadata != NULL ? ask->metadata : "{}");
    hg_query_text(&q, 7, sha256);
    hg_query_int(&q, 8, (int64_t)n);
    hg_query_int(&q, 9, hg_unix_time());
    hg_query_int(&q, 10, ask->expires);
    return hg_query_close(&q, e);
}

/* With the lock; the bytes are on the disk under a temporary name. */
static hg_status adopt(hg_files *f, const hg_file_ask *ask, const char *id, const char *temporary,
                       const char *sha256, size_t n, hg_err *e)
{
    HG_TRY(check_room(f, ask->owner, n, e));
    if (renameat(f->dir, temporary, f->dir, sha256) != 0 || fsync(f->dir) != 0) return not_kept(e);
    const hg_status s = insert(f, ask, id, sha256, n, e);
    if (s != HG_OK) drop_bytes(f, sha256);
    return s;
}

hg_status hg_files_begin(hg_file_draft **out, hg_files *f, const char *owner, hg_err *e)
{
    *out = NULL;
    if (owner != NULL) HG_TRY(check_room(f, owner, 0, e));
    hg_file_draft *d = hg_alloc(1, sizeof *d);
    if (d == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a file");
    d->files = f;
    d->most = owner != NULL ? HG_FILES_MAX_BYTES : UINT64_MAX;
    hg_sha256_init(&d->hash);
    (void)snprintf(d->name, sizeof d->name, "tmp-%08x%08x", randombytes_random(),
                   randombytes_random());
    d->fd = openat(f->dir, d->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (d->fd < 0) {
        hg_free(d);
        return not_kept(e);
    }
    *out = d;
    return HG_OK;
}

hg_status hg_files_add(hg_file_draft *d, hg_bytes part, hg_err *e)
{
    if (part.n > d->most - d->n)
        return hg_fail(e, HG_E_LIMIT, "a file has at most %d MiB", HG_FILES_MAX_BYTES >> 20);
    return write_part(d, part, e);
}

void hg_files_drop(hg_file_draft *d)
{
    if (d == NULL) return;
    if (d->fd >= 0) (void)close(d->fd);
    (void)unlinkat(d->files->dir, d->name, 0); /* not there where it was kept */
    hg_free(d);
}

static hg_status sync_draft(hg_file_draft *d, hg_err *e)
{
    const bool ok = fsync(d->fd) == 0;
    const hg_status s = ok ? HG_OK : not_kept(e);
    const bool is_closed = close(d->fd) == 0;

    d->fd = -1;
    return s != HG_OK || is_closed ? s : not_kept(e);
}

hg_status hg_files_keep(hg_file_draft *d, const hg_file_ask *ask, char id[HG_FILE_ID_ROOM],
                        hg_err *e)
{
    hg_files *f = d->files;
    char sha256[65];
    hg_status s = sync_draft(d, e);

    hg_sha256_end(&d->hash, sha256);
    if (s == HG_OK) {
        hg_id_make(id, HG_FILE_ID_ROOM, ask->id_prefix, LAST_N);
        (void)pthread_mutex_lock(&f->lock);
        s = adopt(f, ask, id, d->name, sha256, (size_t)d->n, e);
        (void)pthread_mutex_unlock(&f->lock);
    }
    hg_files_drop(d);
    if (s != HG_OK) id[0] = '\0';
    return s;
}

hg_status hg_files_take(hg_file_draft *d, int *fd, uint64_t *n, hg_err *e)
{
    *n = d->n;
    *fd = fcntl(d->fd, F_DUPFD_CLOEXEC, 0);
    const hg_status s =
        *fd >= 0 ? HG_OK : hg_fail(e, HG_E_IO, "the file cannot be read: %s", hg_os_error());
    hg_files_drop(d);
    return s;
}

hg_status hg_files_put(hg_files *f, const hg_file_ask *ask, hg_bytes body, char id[HG_FILE_ID_ROOM],
                       hg_err *e)
{
    hg_file_draft *d;

    if (body.n > HG_FILES_MAX_BYTES)
        return hg_fail(e, HG_E_LIMIT, "a file has at most %d MiB", HG_FILES_MAX_BYTES >> 20);
    HG_TRY(check_room(f, ask->owner, body.n, e));
    HG_TRY(hg_files_begin(&d, f, ask->owner, e));
    const hg_status s = hg_files_add(d, body, e);
    if (s == HG_OK) return hg_files_keep(d, ask, id, e);
    hg_files_drop(d);
    return s;
}

/* ---- finding ---- */
#define COLUMNS \
    "id, owner, name, type, purpose, sha256, metadata, n_bytes, created, expires, number"

static void take_text(const hg_query *q, int i, char *out, size_t size)
{
    const char *text = hg_column_text(q, i);

    (void)snprintf(out, size, "%s", text != NULL ? text : "");
}

static bool read_row(const hg_query *q, hg_arena *mem, hg_file *out)
{
    const char *metadata = hg_column_text(q, 6);

    memset(out, 0, sizeof *out);
    take_text(q, 0, out->id, sizeof out->id);
    take_text(q, 1, out->owner, sizeof out->owner);
    take_text(q, 2, out->name, sizeof out->name);
    take_text(q, 3, out->type, sizeof out->type);
    take_text(q, 4, out->purpose, sizeof out->purpose);
    take_text(q, 5, out->sha256, sizeof out->sha256);
    if (metadata == NULL) metadata = "{}";
    out->metadata = hg_arena_strndup(mem, metadata, strlen(metadata));
    out->n_bytes = (uint64_t)hg_column_int(q, 7);
    out->created = hg_column_int(q, 8);
    out->expires = hg_column_int(q, 9);
    out->number = hg_column_int(q, 10);
    return out->metadata != NULL;
}

hg_status hg_files_get(hg_files *f, const char *owner, const char *id, hg_arena *mem, hg_file *out,
                       hg_err *e)
{
    hg_query q;
    bool is_there, has_room = true;

    hg_query_open(&q, f->store,
                  "SELECT " COLUMNS
                  " FROM files WHERE id = ? AND owner = ? AND (expires = 0 OR expires > ?)");
    hg_query_text(&q, 1, id);
    hg_query_text(&q, 2, owner);
    hg_query_int(&q, 3, hg_unix_time());
    is_there = hg_query_row(&q);
    if (is_there) has_room = read_row(&q, mem, out);
    HG_TRY(hg_query_close(&q, e));
    if (!has_room) return hg_fail(e, HG_E_NOMEM, "no room for a file's card");
    return is_there ? HG_OK : no_file(e, id);
}

static hg_status number_of(hg_files *f, const char *owner, const char *id, int64_t *out, hg_err *e)
{
    hg_arena mem;
    hg_file file;

    hg_arena_init(&mem, 4096);
    const hg_status s = hg_files_get(f, owner, id, &mem, &file, e);
    if (s == HG_OK) *out = file.number;
    hg_arena_free(&mem);
    return s;
}

hg_status hg_files_list(hg_files *f, const hg_files_query *by, hg_arena *mem, hg_file_fn *fn,
                        void *ctx, hg_err *e)
{
    static const char up[] =
        "SELECT " COLUMNS " FROM files WHERE owner = ?1 AND number > ?2 AND (?3 IS NULL OR "
        "purpose = ?3) AND (expires = 0 OR expires > ?4) ORDER BY number",
                      down[] =
                          "SELECT " COLUMNS
                          " FROM files WHERE owner = ?1 AND number < ?2 AND (?3 IS NULL OR purpose "
                          "= ?3) AND (expires = 0 OR expires > ?4) ORDER BY number DESC";
    int64_t from = by->is_oldest_first ? 0 : INT64_MAX;
    bool goes_on = true, has_room = true;
    hg_file file;
    hg_query q;

    if (by->after != NULL) HG_TRY(number_of(f, by->owner, by->after, &from, e));
    hg_query_open(&q, f->store, by->is_oldest_first ? up : down);
    hg_query_text(&q, 1, by->owner);
    hg_query_int(&q, 2, from);
    hg_query_text(&q, 3, by->purpose);
    hg_query_int(&q, 4, hg_unix_time());
    while (goes_on && has_room && hg_query_row(&q)) {
        has_room = read_row(&q, mem, &file);
        goes_on = has_room && fn(ctx, &file);
    }
    HG_TRY(hg_query_close(&q, e));
    return has_room ? HG_OK : hg_fail(e, HG_E_NOMEM, "no room for a list of files");
}

hg_status hg_files_open(hg_files *f, const char *owner, const char *id, int *fd, uint64_t *n,
                        hg_err *e)
{
    hg_arena mem;
    hg_file file;

    *fd = -1;
    hg_arena_init(&mem, 4096);
    (void)pthread_mutex_lock(&f->lock); /* the bytes must not go in between */
    hg_status s = hg_files_get(f, owner, id, &mem, &file, e);
    if (s == HG_OK) *fd = openat(f->dir, file.sha256, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (s == HG_OK && *fd < 0)
        s = hg_fail(e, HG_E_IO, "the bytes of %.60s cannot be read: %s", id, hg_os_error());
    if (s == HG_OK) *n = file.n_bytes;
    (void)pthread_mutex_unlock(&f->lock);
    hg_arena_free(&mem);
    return s;
}

hg_status hg_files_map(hg_files *f, const char *owner, const char *id, hg_map *out, hg_err *e)
{
    uint64_t n = 0;
    int fd = -1;

    *out = (hg_map){(const unsigned char *)"", 0};
    HG_TRY(hg_files_open(f, owner, id, &fd, &n, e));
    void *p = n > 0 ? mmap(NULL, (size_t)n, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    const hg_status s = p == MAP_FAILED
                            ? hg_fail(e, HG_E_IO, "%.60s cannot be read: %s", id, hg_os_error())
                            : HG_OK;
    (void)close(fd);
    if (s == HG_OK && n > 0) *out = (hg_map){p, (size_t)n};
    return s;
}

/* ---- deleting ---- */
static hg_status delete_row(hg_files *f, const hg_file *file, hg_err *e)
{
    hg_query q;

    hg_query_open(&q, f->store, "DELETE FROM files WHERE number = ?");
    hg_query_int(&q, 1, file->number);
    HG_TRY(hg_query_close(&q, e));
    drop_bytes(f, file->sha256);
    return HG_OK;
}

hg_status hg_files_delete(hg_files *f, const char *owner, const char *id, hg_err *e)
{
    hg_arena mem;
    hg_file file;

    hg_arena_init(&mem, 4096);
    (void)pthread_mutex_lock(&f->lock);
    hg_status s = hg_files_get(f, owner, id, &mem, &file, e);
    if (s == HG_OK) s = delete_row(f, &file, e);
    (void)pthread_mutex_unlock(&f->lock);
    hg_arena_free(&mem);
    return s;
}

static bool find_made(hg_files *f, const hg_file_ask *ask, hg_file *out)
{
    hg_query q;

    memset(out, 0, sizeof *out);
    hg_query_open(&q, f->store,
                  "SELECT number, sha256 FROM files WHERE owner = ? AND purpose = ? AND metadata = "
                  "? LIMIT 1");
    hg_query_text(&q, 1, ask->owner);
    hg_query_text(&q, 2, ask->purpose);
    hg_query_text(&q, 3, ask->metadata);
    const bool is_there = hg_query_row(&q);
    if (is_there) {
        out->number = hg_column_int(&q, 0);
        take_text(&q, 1, out->sha256, sizeof out->sha256);
    }
    return hg_query_close(&q, NULL) == HG_OK && is_there;
}

hg_status hg_files_delete_made(hg_files *f, const hg_file_ask *like, hg_err *e)
{
    hg_status s = HG_OK;
    hg_file file;

    (void)pthread_mutex_lock(&f->lock);
    while (s == HG_OK && find_made(f, like, &file)) s = delete_row(f, &file, e);
    (void)pthread_mutex_unlock(&f->lock);
    return s;
}

static bool find_expired(hg_files *f, hg_file *out)
{
    hg_query q;

    memset(out, 0, sizeof *out);
    hg_query_open(&q, f->store,
                  "SELECT number, sha256 FROM files WHERE expires <> 0 AND expires <= ? LIMIT 1");
    hg_query_int(&q, 1, hg_patient_ms(&f->clock) / 1000);
    const bool is_there = hg_query_row(&q);
    if (is_there) {
        out->number = hg_column_int(&q, 0);
        take_text(&q, 1, out->sha256, sizeof out->sha256);
    }
    return hg_query_close(&q, NULL) == HG_OK && is_there;
}

static size_t expire_locked(hg_files *f)
{
    size_t n = 0;
    hg_file file;

    while (find_expired(f, &file) && delete_row(f, &file, NULL) == HG_OK) n++;
    return n;
}

size_t hg_files_expire(hg_files *f)
{
    (void)pthread_mutex_lock(&f->lock);
    const size_t n = expire_locked(f);
    (void)pthread_mutex_unlock(&f->lock);
    return n;
}

static void *run(void *ctx)
{
    hg_files *f = ctx;
    struct timespec until;

    (void)pthread_mutex_lock(&f->lock);
    while (!f->is_ending) {
        (void)expire_locked(f);
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += EXPIRE_S;
        (void)pthread_cond_timedwait(&f->ending, &f->lock, &until);
    }
    (void)pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* ---- signatures ---- */
void hg_files_sign(const hg_files *f, const char *owner, const char *id, int64_t expiry,
                   char out[HG_FILE_SIGNATURE_ROOM])
{
    unsigned char mac[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256_state h;
    char text[192];
    (void)snprintf(text, sizeof text, "%.63s %.47s %lld", owner, id, (long long)expiry);

    (void)crypto_auth_hmacsha256_init(&h, f->key, sizeof f->key);
    (void)crypto_auth_hmacsha256_update(&h, (const unsigned char *)text, strlen(text));
    (void)crypto_auth_hmacsha256_final(&h, mac);
    (void)sodium_bin2base64(out, HG_FILE_SIGNATURE_ROOM, mac, sizeof mac,
                            sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

bool hg_files_is_signed(const hg_files *f, const char *owner, const char *id, int64_t expiry,
                        hg_bytes signature)
{
    char right[HG_FILE_SIGNATURE_ROOM];

    hg_files_sign(f, owner, id, expiry, right);
    return signature.n == strlen(right) && sodium_memcmp(right, signature.p, signature.n) == 0 &&
           expiry > hg_unix_time();
}

/* ---- life ---- */
static hg_status read_key(hg_files *f, hg_err *e)
{
    hg_query q;
    bool is_there = false;

    hg_query_open(&q, f->store, "SELECT value FROM file_key");
    if (hg_query_row(&q)) {
        const hg_bytes b = hg_column_bytes(&q, 0);
        is_there = b.n == sizeof f->key;
        if (is_there) memcpy(f->key, b.p, sizeof f->key);
    }
    HG_TRY(hg_query_close(&q, e));
    if (is_there) return HG_OK;
    crypto_auth_hmacsha256_keygen(f->key);
    hg_query_open(&q, f->store, "INSERT OR REPLACE INTO file_key (one, value) VALUES (1, ?)");
    hg_query_blob(&q, 1, (hg_bytes){(const char *)f->key, sizeof f->key});
    return hg_query_close(&q, e);
}

static bool is_digest(const char *name)
{
    return strlen(name) == 64 && strspn(name, "0123456789abcdef") == 64;
}

/* What a kill has left: files without a name of their own, and bytes without a row. */
static void sweep(hg_files *f)
{
    const int fd = dup(f->dir);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

    if (d == NULL) {
        if (fd >= 0) (void)close(fd);
        return;
    }
    for (struct dirent *one; (one = readdir(d)) != NULL;) {
        if (strncmp(one->d_name, "tmp-", 4) == 0) (void)unlinkat(f->dir, one->d_name, 0);
        if (is_digest(one->d_name)) drop_bytes(f, one->d_name);
    }
    (void)closedir(d);
}

static hg_status open_folder(hg_files *f, hg_data *d, hg_err *e)
{
    char *path = hg_path_join(hg_data_folder(d), "files");

    if (path == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a path");
    (void)mkdir(path, 0700);
    f->dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    const hg_status s =
        f->dir >= 0 ? HG_OK : hg_fail(e, HG_E_IO, "cannot open %s: %s", path, hg_os_error());
    hg_free(path);
    return s;
}

hg_status hg_files_new(hg_files **out, hg_data *d, hg_err *e)
{
    pthread_condattr_t by;
    hg_files *f = hg_alloc(1, sizeof *f);

    *out = NULL;
    if (f == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the files");
    f->store = hg_data_store(d);
    f->dir = -1;
    (void)pthread_mutex_init(&f->lock, NULL);
    (void)pthread_condattr_init(&by);
    (void)pthread_condattr_setclock(&by, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&f->ending, &by);
    (void)pthread_condattr_destroy(&by);
    hg_status s = open_folder(f, d, e);
    if (s == HG_OK) s = read_key(f, e);
    if (s == HG_OK) {
        sweep(f);
        f->has_thread = pthread_create(&f->thread, NULL, run, f) == 0;
        if (!f->has_thread) s = hg_fail(e, HG_E_NOMEM, "no room for the files' thread");
    }
    if (s != HG_OK)
        hg_files_free(f);
    else
        *out = f;
    return s;
}

void hg_files_free(hg_files *f)
{
    if (f == NULL) return;
    (void)pthread_mutex_lock(&f->lock);
    f->is_ending = true;
    (void)pthread_cond_broadcast(&f->ending);
    (void)pthread_mutex_unlock(&f->lock);
    if (f->has_thread) (void)pthread_join(f->thread, NULL);
    if (f->dir >= 0) (void)close(f->dir);
    sodium_memzero(f->key, sizeof f->key);
    (void)pthread_cond_destroy(&f->ending);
    (void)pthread_mutex_destroy(&f->lock);
    hg_free(f);
}
