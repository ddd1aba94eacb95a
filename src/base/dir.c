/* Folders: walked in a fixed order, removed, and written whole or not at all by one rename. */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_DEPTH = 64 };

char *hg_path_join(const char *a, const char *b)
{
    size_t n = strlen(a);
    while (n > 1 && a[n - 1] == '/') n--;
    while (*b == '/') b++;
    hg_buf out = {0};
    hg_buf_put(&out, a, n);
    if (n > 0 && a[n - 1] != '/') hg_buf_putc(&out, '/');
    hg_buf_puts(&out, b);
    if (out.failed) hg_buf_free(&out);
    return out.p;
}

const char *hg_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

bool hg_path_ends(const char *path, const char *suffix)
{
    size_t n = strlen(path), m = strlen(suffix);
    return n >= m && strcasecmp(path + n - m, suffix) == 0;
}

bool hg_path_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool hg_path_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

hg_status hg_mkdirs(const char *path, hg_err *e)
{
    char *p = hg_strdup(path);
    if (p == NULL) return hg_fail(e, HG_E_NOMEM, "no memory to make %s", path);
    hg_status s = HG_OK;
    for (char *at = p + 1; s == HG_OK; at++) {
        if (*at != '/' && *at != '\0') continue;
        char was = *at;
        *at = '\0';
        if (mkdir(p, 0777) != 0 && !hg_path_is_dir(p))
            s = hg_fail(e, hg_os_status(), "cannot make folder %s: %s", p, hg_os_error());
        *at = was;
        if (was == '\0') break;
    }
    hg_free(p);
    return s;
}

/* ---- walking ---- */

static int by_name(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

typedef struct names {
    char **item;
    size_t n, cap;
} names;

static void names_free(names *v)
{
    for (size_t i = 0; i < v->n; i++) hg_free(v->item[i]);
    hg_free(v->item);
}

static hg_status list(names *out, const char *path, bool with_hidden, hg_err *e)
{
    *out = (names){0};
    DIR *d = opendir(path);
    if (d == NULL) return hg_fail(e, HG_E_IO, "cannot read folder %s: %s", path, hg_os_error());
    hg_status s = HG_OK;
    for (struct dirent *de = readdir(d); de != NULL && s == HG_OK; de = readdir(d)) {
        const char *n = de->d_name;
        if (strcmp(n, ".") == 0 || strcmp(n, "..") == 0 || (n[0] == '.' && !with_hidden)) continue;
        s = hg_grow(&out->item, &out->cap, out->n, sizeof *out->item, e);
        if (s != HG_OK) break;
        char *copy = hg_strdup(n);
        if (copy == NULL)
            s = hg_fail(e, HG_E_NOMEM, "no memory to list %s", path);
        else
            out->item[out->n++] = copy;
    }
    (void)closedir(d);
    if (s == HG_OK && out->n > 0) qsort(out->item, out->n, sizeof *out->item, by_name);
    if (s != HG_OK) {
        names_free(out);
        *out = (names){0};
    }
    return s;
}

static hg_status walk(const char *path, int depth, hg_walk_fn *fn, void *ctx, hg_err *e)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        /* A dangling link inside a tree is nobody's fault; a named source that is not there is. */
        if (depth > 0) return HG_OK;
        return hg_fail(e, errno == ENOENT ? HG_E_MISSING : HG_E_IO, "cannot read %s: %s", path,
                       hg_os_error());
    }
    if (S_ISREG(st.st_mode)) return fn(ctx, path, (uint64_t)st.st_size, (int64_t)st.st_mtime, e);
    if (!S_ISDIR(st.st_mode)) return HG_OK;
    struct stat link;
    if (depth > 0 && lstat(path, &link) == 0 && S_ISLNK(link.st_mode)) return HG_OK;
    if (depth >= MAX_DEPTH)
        return hg_fail(e, HG_E_LIMIT, "%s lies more than %d folders deep", path, MAX_DEPTH);
    names v;
    hg_status s = list(&v, path, false, e);
    if (s == HG_E_IO && depth > 0 && errno == EACCES) return HG_OK;
    for (size_t i = 0; i < v.n && s == HG_OK; i++) {
        char *sub = hg_path_join(path, v.item[i]);
        s = sub == NULL ? hg_fail(e, HG_E_NOMEM, "no memory to walk %s", path)
                        : walk(sub, depth + 1, fn, ctx, e);
        hg_free(sub);
    }
    names_free(&v);
    return s;
}

hg_status hg_walk(const char *path, hg_walk_fn *fn, void *ctx, hg_err *e)
{
    return walk(path, 0, fn, ctx, e);
}

static hg_status remove_tree(const char *path, int depth, hg_err *e)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return errno == ENOENT ? HG_OK
                               : hg_fail(e, HG_E_IO, "cannot remove %s: %s", path, hg_os_error());
    if (!S_ISDIR(st.st_mode)) {
        if (unlink(path) == 0 || errno == ENOENT) return HG_OK;
        return hg_fail(e, HG_E_IO, "cannot remove %s: %s", path, hg_os_error());
    }
    if (depth >= MAX_DEPTH)
        return hg_fail(e, HG_E_LIMIT, "%s lies more than %d folders deep", path, MAX_DEPTH);
    names v;
    HG_TRY(list(&v, path, true, e));
    hg_status s = HG_OK;
    for (size_t i = 0; i < v.n && s == HG_OK; i++) {
        char *sub = hg_path_join(path, v.item[i]);
        s = sub == NULL ? hg_fail(e, HG_E_NOMEM, "no memory to remove %s", path)
                        : remove_tree(sub, depth + 1, e);
        hg_free(sub);
    }
    names_free(&v);
    if (s == HG_OK && rmdir(path) != 0 && errno != ENOENT)
        s = hg_fail(e, HG_E_IO, "cannot remove %s: %s", path, hg_os_error());
    return s;
}

hg_status hg_remove_tree(const char *path, hg_err *e)
{
    return remove_tree(path, 0, e);
}

/* ---- a folder, whole or not at all ---- */

struct hg_dir {
    char *path, *tmp;
};

static void dir_free(hg_dir *d)
{
    if (d == NULL) return;
    hg_free(d->path);
    hg_free(d->tmp);
    hg_free(d);
}

/* What killed runs left beside `path`: "<name>.tmp-<pid>", where no such process lives any more. */
static void sweep(const char *path)
{
    const char *base = hg_path_base(path);
    char *parent = base == path ? hg_strdup(".") : hg_strndup(path, (size_t)(base - path));
    names v;
    if (parent == NULL || list(&v, parent, true, NULL) != HG_OK) {
        hg_free(parent);
        return;
    }
    size_t n = strlen(base);
    for (size_t i = 0; i < v.n; i++) {
        const char *item = v.item[i];
        if (strncmp(item, base, n) != 0 || strncmp(item + n, ".tmp-", 5) != 0) continue;
        long pid = strtol(item + n + 5, NULL, 10);
        if (pid <= 0 || (pid != (long)getpid() && (kill((pid_t)pid, 0) == 0 || errno == EPERM)))
            continue;
        char *left = hg_path_join(parent, item);
        if (left != NULL) (void)hg_remove_tree(left, NULL);
        hg_free(left);
    }
    names_free(&v);
    hg_free(parent);
}

hg_status hg_dir_open(hg_dir **out, const char *path, hg_err *e)
{
    *out = NULL;
    hg_dir *d = hg_alloc(1, sizeof *d);
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    hg_buf tmp = {0};
    if (d != NULL) d->path = hg_strndup(path, n);
    hg_buf_put(&tmp, path, n);
    hg_buf_printf(&tmp, ".tmp-%ld", (long)getpid());
    if (d == NULL || d->path == NULL || tmp.failed) {
        hg_buf_free(&tmp);
        dir_free(d);
        return hg_fail(e, HG_E_NOMEM, "no memory to make %s", path);
    }
    d->tmp = tmp.p;
    sweep(d->path);
    const char *base = hg_path_base(d->path);
    hg_status s = HG_OK;
    if (base != d->path) {
        char *parent = hg_strndup(d->path, (size_t)(base - d->path));
        s = parent == NULL ? hg_fail(e, HG_E_NOMEM, "no memory to make %s", path)
                           : hg_mkdirs(parent, e);
        hg_free(parent);
    }
    if (s == HG_OK && mkdir(d->tmp, 0777) != 0)
        s = hg_fail(e, hg_os_status(), "cannot make folder %s: %s", d->tmp, hg_os_error());
    if (s != HG_OK) {
        dir_free(d);
        return s;
    }
    *out = d;
    return HG_OK;
}

const char *hg_dir_path(const hg_dir *d)
{
    return d->tmp;
}

static hg_status sync_path(const char *path, hg_err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return hg_fail(e, hg_os_status(), "cannot sync %s: %s", path, hg_os_error());
    /* EINVAL: a file system that has nothing to sync. */
    hg_status s = fsync(fd) == 0 || errno == EINVAL
                      ? HG_OK
                      : hg_fail(e, hg_os_status(), "cannot sync %s: %s", path, hg_os_error());
    (void)close(fd);
    return s;
}

static hg_status sync_file(void *ctx, const char *path, uint64_t size, int64_t mtime, hg_err *e)
{
    (void)ctx;
    (void)size;
    (void)mtime;
    return sync_path(path, e);
}

/* Puts the new folder in place. An old one is exchanged in one step, so that there is no moment
 * without a folder. */
static hg_status put_in_place(hg_dir *d, hg_err *e)
{
    if (renameat2(AT_FDCWD, d->tmp, AT_FDCWD, d->path, RENAME_NOREPLACE) == 0) return HG_OK;
    if (errno == EEXIST && renameat2(AT_FDCWD, d->tmp, AT_FDCWD, d->path, RENAME_EXCHANGE) == 0)
        return hg_remove_tree(d->tmp, e);
    /* A file system without these flags: an empty place can still be taken in one step. */
    if (errno == EINVAL && rename(d->tmp, d->path) == 0) return HG_OK;
    return hg_fail(e, hg_os_status(), "cannot put %s in its place: %s", d->path, hg_os_error());
}

hg_status hg_dir_commit(hg_dir *d, hg_err *e)
{
    hg_status s = hg_walk(d->tmp, sync_file, NULL, e);
    if (s == HG_OK) s = sync_path(d->tmp, e);
    if (s == HG_OK) s = put_in_place(d, e);
    if (s != HG_OK) {
        hg_dir_abort(d);
        return s;
    }
    const char *base = hg_path_base(d->path);
    char *parent = base == d->path ? hg_strdup(".") : hg_strndup(d->path, (size_t)(base - d->path));
    if (parent != NULL) (void)sync_path(parent, NULL);
    hg_free(parent);
    dir_free(d);
    return HG_OK;
}

void hg_dir_abort(hg_dir *d)
{
    if (d == NULL) return;
    (void)hg_remove_tree(d->tmp, NULL);
    dir_free(d);
}
