/* Files: mapped for reading, written whole or not at all. */
#ifndef HG_BASE_FILE_H
#define HG_BASE_FILE_H

#include "base/mem.h"
#include <stdio.h>

/* errno as a sentence part, in a buffer of the calling thread. */
const char *hg_os_error(void);
/* What a write or a sync that has failed is to be told as: HG_E_FULL where errno says that there is
 * no room, else HG_E_IO. */
hg_status hg_os_status(void);

/* A read-only mapping. An empty file maps to p = "" and n = 0. */
typedef struct hg_map {
    const unsigned char *p;
    size_t n;
} hg_map;
hg_status hg_map_open(hg_map *out, const char *path, hg_err *e);
void hg_map_close(hg_map *m);
/* Gives the memory behind n bytes of a mapping back; they are read from the file again when they
 * are needed again. */
void hg_map_release(const void *p, size_t n);

/* Reads a whole regular file of at most `limit` bytes, NUL-terminated (the NUL is not counted in
 * out->n). HG_E_MISSING when there is none. */
hg_status hg_file_read(hg_buf *out, const char *path, size_t limit, hg_err *e);

/* A file being written beside its place under a temporary name in the same folder; commit syncs the
 * file, renames it over `path` and syncs the folder. Until then, and after a kill at any moment,
 * the old file stands. */
typedef struct hg_writer hg_writer;
hg_status hg_writer_open(hg_writer **out, const char *path, hg_err *e);
hg_status hg_writer_put(hg_writer *w, const void *p, size_t n, hg_err *e);
hg_status hg_writer_seek(hg_writer *w, uint64_t offset, hg_err *e); /* to fill in a header */
FILE *hg_writer_file(hg_writer *w);
/* Frees w in any case. */
hg_status hg_writer_commit(hg_writer *w, hg_err *e);
void hg_writer_abort(hg_writer *w); /* NULL is fine; removes the temporary file */

hg_status hg_file_write(const char *path, const void *p, size_t n,
                        hg_err *e); /* open, put, commit */

/* A folder being made beside its place: files are written into hg_dir_path(), commit syncs them all
 * and puts the folder at `path` in one rename (an old folder there is exchanged atomically and then
 * removed). Left-overs of killed runs (`path`.tmp-*) are removed by the next open. */
typedef struct hg_dir hg_dir;
hg_status hg_dir_open(hg_dir **out, const char *path, hg_err *e);
const char *hg_dir_path(const hg_dir *d);
hg_status hg_dir_commit(hg_dir *d, hg_err *e); /* frees d in any case */
void hg_dir_abort(hg_dir *d);

bool hg_path_is_dir(const char *path);
bool hg_path_exists(const char *path);
hg_status hg_mkdirs(const char *path, hg_err *e);
hg_status hg_remove_tree(const char *path,
                         hg_err *e); /* no error when it is not there; never follows a link */
/* "a/b" from "a" and "b" (one slash); the caller frees; NULL when there is no room. */
char *hg_path_join(const char *a, const char *b);
const char *hg_path_base(const char *path);              /* behind the last slash */
bool hg_path_ends(const char *path, const char *suffix); /* ASCII case ignored */

/* The regular files below `path` (or `path` itself), in byte order of their paths; links to folders
 * are not followed, names that begin with a dot are passed over. `fn` gets each; a failure of fn
 * ends the walk and is returned. */
typedef hg_status hg_walk_fn(void *ctx, const char *path, uint64_t size, int64_t mtime, hg_err *e);
hg_status hg_walk(const char *path, hg_walk_fn *fn, void *ctx, hg_err *e);

#endif
