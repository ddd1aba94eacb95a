/* A file's SHA-256 is kept with its size and the time of its last change, by which it is known
 * again. A single file's version is its digest, as sha256sum tells it; a folder's is the digest of
 * the names and digests of the files in it that say what the model does. */
#include "serve/versions.h"
#include "base/file.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_FILES = 512 };

struct hg_versions {
    hg_store *store;
    pthread_mutex_t lock; /* one reads files at a time: the disk is what is waited for */
};

typedef struct part {
    char *path;
    char sha256[65];
} part;

typedef struct parts {
    part list[MAX_FILES];
    size_t n;
} parts;

/* ---- one file ---- */
static bool known(hg_versions *v, const char *path, const struct stat *st, char out[65])
{
    bool found = false;
    hg_query q;

    hg_query_open(&q, v->store,
                  "SELECT sha256 FROM digests WHERE path = ? AND size = ? AND changed = ?");
    hg_query_text(&q, 1, path);
    hg_query_int(&q, 2, st->st_size);
    hg_query_int(&q, 3, (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec);
    if (hg_query_row(&q)) {
        const char *hex = hg_column_text(&q, 0);
        found = hex != NULL && strlen(hex) == 64;
        if (found) memcpy(out, hex, 65);
    }
    (void)hg_query_close(&q, NULL);
    return found;
}

static void remember(hg_versions *v, const char *path, const struct stat *st, const char hex[65])
{
    hg_query q;

    hg_query_open(
        &q, v->store,
        "INSERT OR REPLACE INTO digests (path, size, changed, sha256) VALUES (?, ?, ?, ?)");
    hg_query_text(&q, 1, path);
    hg_query_int(&q, 2, st->st_size);
    hg_query_int(&q, 3, (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec);
    hg_query_text(&q, 4, hex);
    (void)hg_query_close(&q, NULL);
}

static hg_status digest(hg_versions *v, const char *path, char out[65], hg_err *e)
{
    unsigned char sum[crypto_hash_sha256_BYTES];
    struct stat st;
    hg_map map = {0};

    if (stat(path, &st) != 0) return hg_fail(e, HG_E_IO, "cannot read %s: %s", path, hg_os_error());
    if (known(v, path, &st, out)) return HG_OK;
    HG_TRY(hg_map_open(&map, path, e));
    (void)crypto_hash_sha256(sum, map.p, map.n);
    hg_map_close(&map);
    (void)sodium_bin2hex(out, 65, sum, sizeof sum);
    remember(v, path, &st, out);
    return HG_OK;
}

/* ---- a folder ---- */
static bool matters(const char *name)
{
    static const char *const ends[] = {".safetensors", ".json",  ".gguf",
                                       ".model",       ".jinja", ".txt"};

    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (hg_path_ends(name, ends[i])) return true;
    return false;
}

static hg_status take(void *ctx, const char *path, uint64_t size, int64_t mtime, hg_err *e)
{
    parts *ps = ctx;

    (void)size;
    (void)mtime;
    if (!matters(path)) return HG_OK;
    if (ps->n == MAX_FILES) return hg_fail(e, HG_E_LIMIT, "more than %d files", MAX_FILES);
    ps->list[ps->n].path = hg_strdup(path);
    if (ps->list[ps->n].path == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a path");
    ps->n++;
    return HG_OK;
}

static void sum_up(const parts *ps, size_t n_folder, char out[65])
{
    unsigned char sum[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_state state;

    (void)crypto_hash_sha256_init(&state);
    for (size_t i = 0; i < ps->n; i++) {
        const char *name = ps->list[i].path + n_folder;
        (void)crypto_hash_sha256_update(&state, (const unsigned char *)name, strlen(name) + 1);
        (void)crypto_hash_sha256_update(&state, (const unsigned char *)ps->list[i].sha256, 65);
    }
    (void)crypto_hash_sha256_final(&state, sum);
    (void)sodium_bin2hex(out, 65, sum, sizeof sum);
}

static hg_status of_folder(hg_versions *v, const char *path, char out[65], hg_err *e)
{
    parts *ps = hg_alloc(1, sizeof *ps);
    hg_status s = ps != NULL ? HG_OK : hg_fail(e, HG_E_NOMEM, "no room for a list of files");

    if (s == HG_OK) s = hg_walk(path, take, ps, e);
    for (size_t i = 0; s == HG_OK && i < ps->n; i++)
        s = digest(v, ps->list[i].path, ps->list[i].sha256, e);
    if (s == HG_OK) sum_up(ps, strlen(path), out);
    for (size_t i = 0; ps != NULL && i < ps->n; i++) hg_free(ps->list[i].path);
    hg_free(ps);
    return s;
}

/* What has no files: its name and the program that speaks for it. */
static void of_backend(const hg_offer *o, char out[65])
{
    unsigned char sum[crypto_hash_sha256_BYTES];
    char text[192];
    (void)snprintf(text, sizeof text, "%s of Higgins " HG_VERSION, o->card.id);

    (void)crypto_hash_sha256(sum, (const unsigned char *)text, strlen(text));
    (void)sodium_bin2hex(out, 65, sum, sizeof sum);
}

hg_status hg_version_of(hg_versions *v, const hg_offer *o, char out[65], hg_err *e)
{
    hg_status s = HG_OK;

    if (o->target != NULL) o = o->target;
    if (o->path == NULL) {
        of_backend(o, out);
        return HG_OK;
    }
    (void)pthread_mutex_lock(&v->lock);
    s = hg_path_is_dir(o->path) ? of_folder(v, o->path, out, e) : digest(v, o->path, out, e);
    (void)pthread_mutex_unlock(&v->lock);
    return s;
}

hg_status hg_versions_new(hg_versions **out, hg_data *d, hg_err *e)
{
    hg_versions *v = hg_alloc(1, sizeof *v);

    *out = v;
    if (v == NULL) return hg_fail(e, HG_E_NOMEM, "no room for versions");
    v->store = hg_data_store(d);
    (void)pthread_mutex_init(&v->lock, NULL);
    return HG_OK;
}

void hg_versions_free(hg_versions *v)
{
    if (v == NULL) return;
    (void)pthread_mutex_destroy(&v->lock);
    hg_free(v);
}
