/* A body that has outgrown memory: a file without a name, so that nothing is left of it after a
 * kill at any moment, mapped once it is whole. The system writes it out and drops its pages as it
 * needs them; what is mapped costs no memory of our own. */
#include "http/http_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Where a file system knows no O_TMPFILE, a name that is gone at once. */
static int open_named(const char *folder)
{
    char path[4096];

    if (snprintf(path, sizeof path, "%s/upload-XXXXXX", folder) >= (int)sizeof path) return -1;
    const int fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0) (void)unlink(path);
    return fd;
}

hg_status spill_open(spilled *s, const char *folder)
{
    s->fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (s->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
        s->fd = open_named(folder);
    s->is_open = s->fd >= 0;
    return s->is_open ? HG_OK : HG_E_IO;
}

hg_status spill_put(spilled *s, const void *p, size_t n)
{
    const char *at = p;

    while (n > 0) {
        const ssize_t k = write(s->fd, at, n);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return HG_E_IO;
        at += k;
        n -= (size_t)k;
        s->n += (size_t)k;
    }
    return HG_OK;
}

hg_status spill_map(spilled *s)
{
    void *p = mmap(NULL, s->n, PROT_READ, MAP_PRIVATE, s->fd, 0);

    if (p == MAP_FAILED) return HG_E_IO;
    (void)madvise(p, s->n, MADV_SEQUENTIAL);
    s->map = p;
    return HG_OK;
}

void spill_close(spilled *s)
{
    if (s->map != NULL) (void)munmap(s->map, s->n);
    if (s->is_open) (void)close(s->fd);
    *s = (spilled){.fd = -1};
}
