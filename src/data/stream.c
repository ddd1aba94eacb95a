/* Files as streams of bytes. Everything that collects or reads documents stands on this: a file of
 * any size, compressed or not, passes through two fixed buffers, so that memory does not depend on
 * the size of what is read. */
#include "data/stream.h"
#include "base/file.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

enum { IN_SIZE = 128 << 10, LINE_CHUNK = 64 << 10, WINDOW_LOG = 27 };

typedef enum packing { PLAIN, GZIP, ZSTD } packing;

struct hg_stream {
    int fd;
    char *path;
    packing how;
    unsigned char *in; /* [IN_SIZE] */
    size_t at, end;
    bool at_eof;   /* of the file */
    bool in_frame; /* a compressed member has begun and not ended */
    uint64_t taken;
    hg_buf head; /* peeked at and not yet read again from head_at */
    size_t head_at;
    z_stream z;
    ZSTD_DCtx *zstd;
};

static hg_status fill(hg_stream *s, hg_err *e)
{
    while (s->at == s->end && !s->at_eof) {
        ssize_t n = read(s->fd, s->in, IN_SIZE);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return hg_fail(e, HG_E_IO, "cannot read %s: %s", s->path, hg_os_error());
        s->at_eof = n == 0;
        s->at = 0;
        s->end = (size_t)n;
        s->taken += (uint64_t)n;
    }
    return HG_OK;
}

static bool starts_gzip(const hg_stream *s)
{
    return s->end - s->at >= 2 && s->in[s->at] == 0x1F && s->in[s->at + 1] == 0x8B;
}

static hg_status start(hg_stream *s, hg_err *e)
{
    static const unsigned char zstd_magic[4] = {0x28, 0xB5, 0x2F, 0xFD};
    HG_TRY(fill(s, e));
    if (starts_gzip(s)) {
        if (inflateInit2(&s->z, 15 + 16) != Z_OK)
            return hg_fail(e, HG_E_NOMEM, "no room to read %s", s->path);
        s->how = GZIP;
    } else if (s->end >= 4 && memcmp(s->in, zstd_magic, 4) == 0) {
        s->zstd = ZSTD_createDCtx();
        if (s->zstd == NULL) return hg_fail(e, HG_E_NOMEM, "no room to read %s", s->path);
        (void)ZSTD_DCtx_setParameter(s->zstd, ZSTD_d_windowLogMax, WINDOW_LOG);
        s->how = ZSTD;
    }
    s->in_frame = s->how != PLAIN;
    return HG_OK;
}

hg_status hg_stream_open(hg_stream **out, const char *path, hg_err *e)
{
    *out = NULL;
    hg_stream *s = hg_alloc(1, sizeof *s);
    if (s == NULL) return hg_fail(e, HG_E_NOMEM, "no room to read %s", path);
    s->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0) {
        hg_status why = hg_fail(e, errno == ENOENT ? HG_E_MISSING : HG_E_IO, "cannot read %s: %s",
                                path, hg_os_error());
        hg_free(s);
        return why;
    }
    s->path = hg_strdup(path);
    s->in = hg_alloc(IN_SIZE, 1);
    hg_status status = s->path == NULL || s->in == NULL
                           ? hg_fail(e, HG_E_NOMEM, "no room to read %s", path)
                           : start(s, e);
    if (status != HG_OK) {
        hg_stream_close(s);
        return status;
    }
    *out = s;
    return HG_OK;
}

void hg_stream_close(hg_stream *s)
{
    if (s == NULL) return;
    if (s->how == GZIP) (void)inflateEnd(&s->z);
    (void)ZSTD_freeDCtx(s->zstd);
    (void)close(s->fd);
    hg_buf_free(&s->head);
    hg_free(s->in);
    hg_free(s->path);
    hg_free(s);
}

static hg_status damaged(const hg_stream *s, const char *what, hg_err *e)
{
    return hg_fail(e, HG_E_FORMAT, "%s: damaged %s data near byte %llu: %s", s->path,
                   s->how == GZIP ? "gzip" : "zstd",
                   (unsigned long long)(s->taken - (s->end - s->at)), what);
}

/* A gzip file may be several members one after another; what follows the last one and is none
 * (padding) is passed over, as gzip itself does. */
static hg_status read_gzip(hg_stream *s, char *p, size_t n, size_t *got, hg_err *e)
{
    s->z.next_out = (unsigned char *)p;
    s->z.avail_out = n > 1u << 30 ? 1u << 30 : (unsigned)n;
    unsigned room = s->z.avail_out;
    while (s->z.avail_out == room) {
        HG_TRY(fill(s, e));
        if (!s->in_frame) {
            if (s->at == s->end || !starts_gzip(s)) return HG_OK;
            if (inflateReset(&s->z) != Z_OK) return damaged(s, "cannot go on", e);
            s->in_frame = true;
        }
        if (s->at == s->end) return damaged(s, "the file ends too early", e);
        s->z.next_in = s->in + s->at;
        s->z.avail_in = (unsigned)(s->end - s->at);
        int r = inflate(&s->z, Z_NO_FLUSH);
        s->at = s->end - s->z.avail_in;
        if (r == Z_STREAM_END)
            s->in_frame = false;
        else if (r == Z_MEM_ERROR)
            return hg_fail(e, HG_E_NOMEM, "no room to read %s", s->path);
        else if (r != Z_OK && r != Z_BUF_ERROR)
            return damaged(s, s->z.msg != NULL ? s->z.msg : "not gzip", e);
        *got = room - s->z.avail_out;
    }
    return HG_OK;
}

static hg_status read_zstd(hg_stream *s, char *p, size_t n, size_t *got, hg_err *e)
{
    ZSTD_outBuffer out = {p, n, 0};
    while (out.pos == 0) {
        HG_TRY(fill(s, e));
        bool no_more = s->at == s->end;
        if (no_more && !s->in_frame) return HG_OK;
        ZSTD_inBuffer in = {s->in, s->end, s->at};
        size_t r = ZSTD_decompressStream(s->zstd, &out, &in);
        s->at = in.pos;
        if (ZSTD_isError(r)) return damaged(s, ZSTD_getErrorName(r), e);
        s->in_frame = r != 0;
        if (no_more && out.pos == 0 && r != 0) return damaged(s, "the file ends too early", e);
    }
    *got = out.pos;
    return HG_OK;
}

static hg_status unpack(hg_stream *s, char *p, size_t n, size_t *got, hg_err *e)
{
    *got = 0;
    if (s->how == GZIP) return read_gzip(s, p, n, got, e);
    if (s->how == ZSTD) return read_zstd(s, p, n, got, e);
    HG_TRY(fill(s, e));
    size_t there = s->end - s->at;
    *got = there < n ? there : n;
    memcpy(p, s->in + s->at, *got);
    s->at += *got;
    return HG_OK;
}

hg_status hg_stream_read(hg_stream *s, char *p, size_t n, size_t *got, hg_err *e)
{
    *got = 0;
    if (n == 0) return HG_OK;
    size_t left = s->head.n - s->head_at;
    if (left == 0) {
        hg_buf_free(&s->head);
        s->head_at = 0;
        return unpack(s, p, n, got, e);
    }
    *got = left < n ? left : n;
    memcpy(p, s->head.p + s->head_at, *got);
    s->head_at += *got;
    return HG_OK;
}

hg_status hg_stream_peek(hg_stream *s, size_t n, hg_bytes *head, hg_err *e)
{
    for (size_t got = 1; got > 0 && s->head.n < n; s->head.n += got) {
        char *room = hg_buf_room(&s->head, n - s->head.n);
        if (room == NULL) return hg_buf_status(&s->head, e);
        hg_status st = unpack(s, room, n - s->head.n, &got, e);
        /* Damage behind what was read is met again by the read that comes to it. */
        if (st != HG_OK && s->head.n == 0) return st;
        if (st != HG_OK) break;
    }
    *head = (hg_bytes){s->head.n > 0 ? s->head.p : "", s->head.n};
    return HG_OK;
}

uint64_t hg_stream_done(const hg_stream *s)
{
    return s->taken - (s->end - s->at);
}

/* ---- lines ---- */

hg_status hg_lines_init(hg_lines *l, hg_stream *s, hg_err *e)
{
    *l = (hg_lines){.stream = s, .chunk = hg_alloc(LINE_CHUNK, 1)};
    return l->chunk != NULL ? HG_OK : hg_fail(e, HG_E_NOMEM, "no room to read lines");
}

void hg_lines_free(hg_lines *l)
{
    hg_free(l->chunk);
    hg_buf_free(&l->line);
    *l = (hg_lines){0};
}

hg_status hg_lines_next(hg_lines *l, size_t limit, hg_bytes *line, bool *has, hg_err *e)
{
    bool any = false, too_long = false;
    hg_buf_clear(&l->line);
    *has = false;
    for (bool found = false; !found && !l->ended;) {
        if (l->at == l->end) {
            l->at = l->end = 0;
            HG_TRY(hg_stream_read(l->stream, l->chunk, LINE_CHUNK, &l->end, e));
            l->ended = l->end == 0;
            continue;
        }
        const char *p = l->chunk + l->at, *nl = memchr(p, '\n', l->end - l->at);
        size_t n = nl != NULL ? (size_t)(nl - p) : l->end - l->at;
        found = nl != NULL;
        any = true;
        l->at += n + found;
        too_long = too_long || n > limit - l->line.n;
        if (!too_long) hg_buf_put(&l->line, p, n);
    }
    if (!any) return HG_OK;
    l->number++;
    HG_TRY(hg_buf_status(&l->line, e));
    if (too_long)
        return hg_fail(e, HG_E_LIMIT, "line %llu is longer than %zu bytes",
                       (unsigned long long)l->number, limit);
    if (l->line.n > 0 && l->line.p[l->line.n - 1] == '\r') l->line.p[--l->line.n] = '\0';
    *line = (hg_bytes){l->line.p, l->line.n};
    *has = true;
    return HG_OK;
}
