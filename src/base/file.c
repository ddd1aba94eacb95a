/* Files: mapping, reading whole, and writing whole or not at all. A new file is written under a
 * temporary name in the folder it belongs to, synced, renamed over its place, and the folder is
 * synced: after a kill at any moment either the old file or the new one is there. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

const char *hg_os_error(void)
{
    return strerror(errno); /* glibc's is per thread since 2.32 */
}

hg_status hg_os_status(void)
{
    return errno == ENOSPC || errno == EDQUOT ? HG_E_FULL : HG_E_IO;
}

hg_status hg_map_open(hg_map *out, const char *path, hg_err *e)
{
    *out = (hg_map){(const unsigned char *)"", 0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return hg_fail(e, errno == ENOENT ? HG_E_MISSING : HG_E_IO, "cannot read %s: %s", path,
                       hg_os_error());
    struct stat st;
    hg_status s = HG_OK;
    if (fstat(fd, &st) != 0)
        s = hg_fail(e, HG_E_IO, "cannot read %s: %s", path, hg_os_error());
    else if (!S_ISREG(st.st_mode))
        s = hg_fail(e, HG_E_IO, "%s is not a regular file", path);
    if (s == HG_OK && st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            s = hg_fail(e, HG_E_IO, "cannot map %s: %s", path, hg_os_error());
        else
            *out = (hg_map){p, (size_t)st.st_size};
    }
    (void)close(fd);
    return s;
}

void hg_map_release(const void *p, size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = ((uintptr_t)p + page - 1) / page * page,
              end = ((uintptr_t)p + n) / page * page;
    if (begin < end) (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
}

void hg_map_close(hg_map *m)
{
    if (m->n > 0) (void)munmap((void *)(uintptr_t)m->p, m->n);
    *m = (hg_map){(const unsigned char *)"", 0};
}

hg_status hg_file_read(hg_buf *out, const char *path, size_t limit, hg_err *e)
{
    FILE *f = fopen(path, "rbe");
    if (f == NULL)
        return hg_fail(e, errno == ENOENT ? HG_E_MISSING : HG_E_IO, "cannot read %s: %s", path,
                       hg_os_error());
    hg_status s = HG_OK;
    hg_buf_put(out, "", 0);
    for (;;) {
        char *room = hg_buf_room(out, 65536);
        if (room == NULL) {
            s = hg_buf_status(out, e);
            break;
        }
        size_t n = fread(room, 1, 65536, f);
        out->n += n;
        out->p[out->n] = '\0';
        if (out->n > limit) {
            s = hg_fail(e, HG_E_LIMIT, "%s has more than the %zu bytes allowed", path, limit);
            break;
        }
        if (n == 0) {
            if (ferror(f)) s = hg_fail(e, HG_E_IO, "cannot read %s: %s", path, hg_os_error());
            break;
        }
    }
    (void)fclose(f);
    return s;
}

/* ---- one file ---- */

struct hg_writer {
    FILE *f;
    char *path, *tmp;
};

/* Makes a rename in `path`'s folder last. Some file systems cannot sync a folder: not an error. */
static void sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash == NULL ? hg_strdup(".")
                              : hg_strndup(path, slash == path ? 1 : (size_t)(slash - path));
    int fd = dir == NULL ? -1 : open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        (void)close(fd);
    }
    hg_free(dir);
}

static void writer_free(hg_writer *w)
{
    if (w == NULL) return;
    hg_free(w->path);
    hg_free(w->tmp);
    hg_free(w);
}

hg_status hg_writer_open(hg_writer **out, const char *path, hg_err *e)
{
    *out = NULL;
    hg_writer *w = hg_alloc(1, sizeof *w);
    hg_buf tmp = {0};
    hg_buf_printf(&tmp, "%s.tmp-%ld-XXXXXX", path, (long)getpid());
    if (w != NULL) {
        w->path = hg_strdup(path);
        w->tmp = tmp.failed ? NULL : tmp.p;
    }
    if (w == NULL || w->path == NULL || w->tmp == NULL) {
        if (w == NULL || w->tmp == NULL) hg_buf_free(&tmp);
        writer_free(w);
        return hg_fail(e, HG_E_NOMEM, "no memory to write %s", path);
    }
    int fd = mkostemp(w->tmp, O_CLOEXEC);
    if (fd >= 0) {
        mode_t mask = umask(0);
        (void)umask(mask);
        (void)fchmod(fd, 0666 & ~mask);
        w->f = fdopen(fd, "wb");
    }
    if (w->f == NULL) {
        hg_status s = hg_fail(e, hg_os_status(), "cannot write %s: %s", path, hg_os_error());
        if (fd >= 0) {
            (void)close(fd);
            (void)unlink(w->tmp);
        }
        writer_free(w);
        return s;
    }
    *out = w;
    return HG_OK;
}

hg_status hg_writer_put(hg_writer *w, const void *p, size_t n, hg_err *e)
{
    if (n > 0 && fwrite(p, 1, n, w->f) != n)
        return hg_fail(e, hg_os_status(), "cannot write %s: %s", w->path, hg_os_error());
    return HG_OK;
}

hg_status hg_writer_seek(hg_writer *w, uint64_t offset, hg_err *e)
{
    if (fseeko(w->f, (off_t)offset, SEEK_SET) != 0)
        return hg_fail(e, hg_os_status(), "cannot write %s: %s", w->path, hg_os_error());
    return HG_OK;
}

FILE *hg_writer_file(hg_writer *w)
{
    return w->f;
}

hg_status hg_writer_commit(hg_writer *w, hg_err *e)
{
    hg_status s = HG_OK;
    bool is_bad = fflush(w->f) != 0 || ferror(w->f) || fsync(fileno(w->f)) != 0;
    if (is_bad) s = hg_fail(e, hg_os_status(), "cannot write %s: %s", w->path, hg_os_error());
    if (fclose(w->f) != 0 && s == HG_OK)
        s = hg_fail(e, hg_os_status(), "cannot write %s: %s", w->path, hg_os_error());
    if (s == HG_OK && rename(w->tmp, w->path) != 0)
        s = hg_fail(e, hg_os_status(), "cannot put %s in its place: %s", w->path, hg_os_error());
    if (s == HG_OK)
        sync_folder(w->path);
    else
        (void)unlink(w->tmp);
    writer_free(w);
    return s;
}

void hg_writer_abort(hg_writer *w)
{
    if (w == NULL) return;
    (void)fclose(w->f);
    (void)unlink(w->tmp);
    writer_free(w);
}

hg_status hg_file_write(const char *path, const void *p, size_t n, hg_err *e)
{
    hg_writer *w = NULL;
    HG_TRY(hg_writer_open(&w, path, e));
    hg_status s = hg_writer_put(w, p, n, e);
    if (s == HG_OK) return hg_writer_commit(w, e);
    hg_writer_abort(w);
    return s;
}
