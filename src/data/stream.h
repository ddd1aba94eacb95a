/* Bytes of a file, plain or compressed (gzip, zstd), from front to back in constant memory. */
#ifndef HG_DATA_STREAM_H
#define HG_DATA_STREAM_H

#include "base/mem.h"

typedef struct hg_stream hg_stream;

/* What is compressed is seen by its first bytes, not by its name. HG_E_MISSING, HG_E_IO. */
hg_status hg_stream_open(hg_stream **out, const char *path, hg_err *e);
void hg_stream_close(hg_stream *s);
/* At most n bytes; *got 0 only at the end. HG_E_FORMAT: the compressed data is damaged or cut off;
 * what came before it was given. */
hg_status hg_stream_read(hg_stream *s, char *p, size_t n, size_t *got, hg_err *e);
/* Looks at the first bytes (at most n; fewer only when there are no more) without taking them: the
 * reads that follow give them again. Once, before the first read. Lives until then. */
hg_status hg_stream_peek(hg_stream *s, size_t n, hg_bytes *head, hg_err *e);
uint64_t hg_stream_done(const hg_stream *s); /* bytes of the file taken in so far */

/* ---- line by line ---- */
typedef struct hg_lines {
    hg_stream *stream; /* not owned */
    char *chunk;
    size_t at, end;
    hg_buf line;
    uint64_t number; /* of the line last given, from 1 */
    bool ended;
} hg_lines;
hg_status hg_lines_init(hg_lines *l, hg_stream *s, hg_err *e);
void hg_lines_free(hg_lines *l);
/* The next line without its end; lives until the next call. Of a line longer than `limit` the rest
 * is passed over and HG_E_LIMIT returned: the next call gives the line behind it. */
hg_status hg_lines_next(hg_lines *l, size_t limit, hg_bytes *line, bool *has, hg_err *e);

#endif
