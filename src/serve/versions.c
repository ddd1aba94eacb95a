/* A file's SHA-256 is kept with its size, its inode and the time of its last change, by which it is
 * known again. A single file's version is its digest, as sha256sum tells it; a folder's is the
 * digest of the names and digests of the files in it that say what the model does. Large files take
 * minutes to read: requests do not wait for them on their desks, but aside, until the thread that
 * reads has what they need, and then begin again. */
#include "serve/versions.h"
#include "base/file.h"

#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_FILES = 512, MAX_NOTES = 1024 };
static const size_t PIECE = (size_t)16 << 20;

/* A file's digest that could not be kept: on a full disk, too, nothing large is read twice. */
typedef struct note {
    struct note *next;
    char *path;
    struct stat st;
    char sha256[65];
} note;

/* What became of a version that a request has needed. */
typedef struct answer {
    struct answer *next;
    const hg_offer *o;
    hg_status s;
    char hex[65];
    hg_err why;
} answer;

/* A request that has needed some that are not known. */
typedef struct asker {
    struct asker *next;
    hg_exchange *x;        /* held */
    const hg_offer *wants; /* NULL: nothing any more */
    answer *answers;       /* of the calls before */
    bool lacks;            /* its handler, which runs, was told that it must wait */
    bool is_aside;         /* and has returned */
} asker;

struct hg_versions {
    hg_store *store;
    pthread_mutex_t reading; /* one reads files at a time: the disk is what is waited for */
    pthread_mutex_t lock;    /* guards what follows */
    pthread_cond_t more;
    asker *first; /* in the order of their coming */
    note *notes;
    size_t n_notes;
    pthread_t thread;
    bool has_thread;
    atomic_bool closing;
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
static int64_t changed_at(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

static bool is_noted(hg_versions *v, const char *path, const struct stat *st, char out[65])
{
    (void)pthread_mutex_lock(&v->lock);
    const note *n = v->notes;
    while (n != NULL && (strcmp(n->path, path) != 0 || n->st.st_size != st->st_size ||
                         n->st.st_ino != st->st_ino || changed_at(&n->st) != changed_at(st)))
        n = n->next;
    if (n != NULL) memcpy(out, n->sha256, sizeof n->sha256);
    (void)pthread_mutex_unlock(&v->lock);
    return n != NULL;
}

static void write_note(hg_versions *v, const char *path, const struct stat *st, const char hex[65])
{
    note *n = hg_alloc(1, sizeof *n);
    char *copy = hg_strdup(path);

    (void)pthread_mutex_lock(&v->lock);
    if (n != NULL && copy != NULL && v->n_notes < MAX_NOTES) {
        *n = (note){.next = v->notes, .path = copy, .st = *st};
        memcpy(n->sha256, hex, sizeof n->sha256);
        v->notes = n;
        v->n_notes++;
        n = NULL;
        copy = NULL;
    }
    (void)pthread_mutex_unlock(&v->lock);
    hg_free(copy);
    hg_free(n);
}

static bool is_known(hg_versions *v, const char *path, const struct stat *st, char out[65])
{
    bool found = false;
    hg_query q;

    hg_query_open(&q, v->store,
                  "SELECT sha256 FROM digests WHERE path = ? AND size = ? AND changed = ? AND "
                  "inode = ?");
    hg_query_text(&q, 1, path);
    hg_query_int(&q, 2, st->st_size);
    hg_query_int(&q, 3, changed_at(st));
    hg_query_int(&q, 4, (int64_t)st->st_ino);
    if (hg_query_row(&q)) {
        const char *hex = hg_column_text(&q, 0);
        found = hex != NULL && strlen(hex) == 64;
        if (found) memcpy(out, hex, 65);
    }
    (void)hg_query_close(&q, NULL);
    return found || is_noted(v, path, st, out);
}

static void remember(hg_versions *v, const char *path, const struct stat *st, const char hex[65])
{
    hg_query q;

    hg_query_open(&q, v->store,
                  "INSERT OR REPLACE INTO digests (path, size, changed, inode, sha256) VALUES (?, "
                  "?, ?, ?, ?)");
    hg_query_text(&q, 1, path);
    hg_query_int(&q, 2, st->st_size);
    hg_query_int(&q, 3, changed_at(st));
    hg_query_int(&q, 4, (int64_t)st->st_ino);
    hg_query_text(&q, 5, hex);
    if (hg_query_close(&q, NULL) != HG_OK) write_note(v, path, st, hex);
}

static hg_status sum_file(const hg_versions *v, const char *path, char out[65], hg_err *e)
{
    unsigned char sum[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_state state;
    hg_map map = {0};

    HG_TRY(hg_map_open(&map, path, e));
    (void)crypto_hash_sha256_init(&state);
    for (size_t at = 0; at < map.n && !atomic_load(&v->closing); at += PIECE) {
        const size_t n = map.n - at < PIECE ? map.n - at : PIECE;
        (void)crypto_hash_sha256_update(&state, (const unsigned char *)map.p + at, n);
    }
    hg_map_close(&map);
    (void)crypto_hash_sha256_final(&state, sum);
    (void)sodium_bin2hex(out, 65, sum, sizeof sum);
    return !atomic_load(&v->closing) ? HG_OK
                                     : hg_fail(e, HG_E_CANCELED, "the server is shutting down");
}

static hg_status digest(hg_versions *v, const char *path, bool reads, char out[65], hg_err *e)
{
    struct stat st, then;

    if (stat(path, &st) != 0) return hg_fail(e, HG_E_IO, "cannot read %s: %s", path, hg_os_error());
    if (is_known(v, path, &st, out)) return HG_OK;
    if (!reads) return hg_fail(e, HG_E_STATE, "%s has not been read yet", path);
    HG_TRY(sum_file(v, path, out, e));
    /* What has changed meanwhile is read again the next time. */
    if (stat(path, &then) == 0 && then.st_size == st.st_size &&
        changed_at(&then) == changed_at(&st))
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

static hg_status of_folder(hg_versions *v, const char *path, bool reads, char out[65], hg_err *e)
{
    parts *ps = hg_alloc(1, sizeof *ps);
    hg_status s = ps != NULL ? HG_OK : hg_fail(e, HG_E_NOMEM, "no room for a list of files");

    if (s == HG_OK) s = hg_walk(path, take, ps, e);
    for (size_t i = 0; s == HG_OK && i < ps->n; i++)
        s = digest(v, ps->list[i].path, reads, ps->list[i].sha256, e);
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

static hg_status of_files(hg_versions *v, const hg_offer *o, bool reads, char out[65], hg_err *e)
{
    return hg_path_is_dir(o->path) ? of_folder(v, o->path, reads, out, e)
                                   : digest(v, o->path, reads, out, e);
}

static hg_status read_files(hg_versions *v, const hg_offer *o, char out[65], hg_err *e)
{
    (void)pthread_mutex_lock(&v->reading);
    const hg_status s = of_files(v, o, true, out, e);
    (void)pthread_mutex_unlock(&v->reading);
    return s;
}

hg_status hg_version_known(hg_versions *v, const hg_offer *o, char out[65])
{
    if (o->target != NULL) o = o->target;
    if (o->path != NULL) return of_files(v, o, false, out, NULL) == HG_OK ? HG_OK : HG_E_STATE;
    of_backend(o, out);
    return HG_OK;
}

/* ---- requests that wait; the lock is held ---- */
static asker **find(hg_versions *v, const hg_exchange *x)
{
    asker **at = &v->first;

    while (*at != NULL && (*at)->x != x) at = &(*at)->next;
    return at;
}

static asker *add(hg_versions *v, hg_exchange *x)
{
    asker **at = find(v, x);

    if (*at == NULL && (*at = hg_alloc(1, sizeof **at)) != NULL) {
        (*at)->x = x;
        hg_exchange_hold(x);
    }
    return *at;
}

static void drop(asker **at)
{
    asker *a = *at;

    *at = a->next;
    for (answer *one = a->answers, *next; one != NULL; one = next) {
        next = one->next;
        hg_free(one);
    }
    hg_exchange_release(a->x);
    hg_free(a);
}

static void call_again(asker *a)
{
    a->lacks = a->is_aside = false;
    hg_exchange_requeue(a->x);
}

static const answer *answer_of(const asker *a, const hg_offer *o)
{
    const answer *one = a != NULL ? a->answers : NULL;

    while (one != NULL && one->o != o) one = one->next;
    return one;
}

/* For all that want it. Whoever has no room for the answer asks for it once more. */
static void tell(hg_versions *v, const answer *told)
{
    for (asker *a = v->first; a != NULL; a = a->next) {
        if (a->wants != told->o) continue;
        answer *one = hg_alloc(1, sizeof *one);
        if (one != NULL) {
            *one = *told;
            one->next = a->answers;
            a->answers = one;
        }
        a->wants = NULL;
        if (a->is_aside) call_again(a);
    }
}

static void *read_on(void *ctx)
{
    hg_versions *v = ctx;
    sigset_t all;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, NULL);
    (void)pthread_mutex_lock(&v->lock);
    while (!atomic_load(&v->closing)) {
        const asker *a = v->first;
        while (a != NULL && a->wants == NULL) a = a->next;
        if (a == NULL) {
            (void)pthread_cond_wait(&v->more, &v->lock);
            continue;
        }
        answer one = {.o = a->wants};
        (void)pthread_mutex_unlock(&v->lock);
        one.s = read_files(v, one.o, one.hex, &one.why);
        (void)pthread_mutex_lock(&v->lock);
        if (!atomic_load(&v->closing)) tell(v, &one);
    }
    (void)pthread_mutex_unlock(&v->lock);
    return NULL;
}

/* One at a time: what else it needs it says when it is called again. */
static hg_status want(hg_versions *v, hg_exchange *x, const hg_offer *o, hg_err *e)
{
    asker *a = add(v, x);

    if (a == NULL || atomic_load(&v->closing))
        return hg_fail(e, HG_E_NOMEM, "no room to wait for the files of %s", o->card.id);
    if (!v->has_thread) v->has_thread = pthread_create(&v->thread, NULL, read_on, v) == 0;
    if (!v->has_thread) return hg_fail(e, HG_E_NOMEM, "no room for a thread that reads models");
    if (!a->lacks) a->wants = o;
    a->lacks = true;
    hg_exchange_withhold(x);
    (void)pthread_cond_signal(&v->more);
    return hg_fail(e, HG_E_STATE, "the files of %s are being read", o->card.id);
}

/* ---- any thread ---- */
hg_status hg_version_of(hg_versions *v, hg_exchange *x, const hg_offer *o, char out[65], hg_err *e)
{
    if (o->target != NULL) o = o->target;
    if (hg_version_known(v, o, out) == HG_OK) return HG_OK;
    if (x == NULL) return read_files(v, o, out, e);
    (void)pthread_mutex_lock(&v->lock);
    const answer *told = answer_of(*find(v, x), o);
    hg_status s = told != NULL ? told->s : want(v, x, o, e);
    if (told != NULL && s == HG_OK) memcpy(out, told->hex, sizeof told->hex);
    if (told != NULL && s != HG_OK) (void)hg_fail(e, s, "%s", told->why.msg);
    (void)pthread_mutex_unlock(&v->lock);
    return s;
}

void hg_versions_after(hg_versions *v, hg_exchange *x)
{
    (void)pthread_mutex_lock(&v->lock);
    asker **at = find(v, x), *a = *at;
    if (a != NULL && !a->lacks)
        drop(at);
    else if (a != NULL && a->wants == NULL)
        call_again(a); /* it was read meanwhile */
    else if (a != NULL)
        a->is_aside = true;
    (void)pthread_mutex_unlock(&v->lock);
}

/* ---- life ---- */
hg_status hg_versions_new(hg_versions **out, hg_data *d, hg_err *e)
{
    hg_versions *v = hg_alloc(1, sizeof *v);

    *out = v;
    if (v == NULL) return hg_fail(e, HG_E_NOMEM, "no room for versions");
    v->store = hg_data_store(d);
    (void)pthread_mutex_init(&v->reading, NULL);
    (void)pthread_mutex_init(&v->lock, NULL);
    (void)pthread_cond_init(&v->more, NULL);
    return HG_OK;
}

void hg_versions_stop(hg_versions *v)
{
    if (v == NULL) return;
    (void)pthread_mutex_lock(&v->lock);
    atomic_store(&v->closing, true);
    (void)pthread_cond_signal(&v->more);
    (void)pthread_mutex_unlock(&v->lock);
    if (v->has_thread) (void)pthread_join(v->thread, NULL);
    v->has_thread = false;
}

void hg_versions_free(hg_versions *v)
{
    if (v == NULL) return;
    hg_versions_stop(v);
    while (v->first != NULL) drop(&v->first);
    for (note *n = v->notes, *next; n != NULL; n = next) {
        next = n->next;
        hg_free(n->path);
        hg_free(n);
    }
    (void)pthread_cond_destroy(&v->more);
    (void)pthread_mutex_destroy(&v->lock);
    (void)pthread_mutex_destroy(&v->reading);
    hg_free(v);
}
