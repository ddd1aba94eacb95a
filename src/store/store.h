/* The door to SQLite: one database, one connection, one statement at a time. Whoever opens a query
 * has the store alone until he closes it, so that there is one writer and nobody waits longer than
 * for a statement. All SQL is fixed text with parameters; values never become part of it. */
#ifndef HG_STORE_STORE_H
#define HG_STORE_STORE_H

#include "base/mem.h"

typedef struct hg_store hg_store;

/* Opens or makes the database at `path` (NULL: in memory) and brings it to version n: migration i
 * leads from version i to i + 1, each whole or not at all. The file is for the owner alone.
 * HG_E_IO: cannot be read or written, or is no database; HG_E_STATE: it is of a newer version. */
hg_status hg_store_open(hg_store **out, const char *path, const char *const *migrations, size_t n,
                        hg_err *e);
void hg_store_close(hg_store *s); /* NULL is fine */
/* Changes when another process has written to the database. */
int64_t hg_store_foreign_changes(hg_store *s);

/* One statement. Errors are sticky: a bind that fails shows in the next step.
 *
 *   hg_query q;
 *   hg_query_open(&q, s, "SELECT name FROM tokens WHERE rate > ?");
 *   hg_query_int(&q, 1, 5);
 *   while (hg_query_row(&q)) use(hg_column_text(&q, 0));
 *   return hg_query_close(&q, e);
 */
typedef struct hg_query {
    hg_store *store;
    void *statement;
    int result; /* SQLite's */
} hg_query;
/* Waits until the store is free. `sql` is a literal: it is prepared once and kept. */
void hg_query_open(hg_query *q, hg_store *s, const char *sql);
/* Parameters count from 1. Bytes are copied. */
void hg_query_text(hg_query *q, int i, const char *v); /* NULL: null */
void hg_query_blob(hg_query *q, int i, hg_bytes v);
void hg_query_int(hg_query *q, int i, int64_t v);
/* True while there is a row. Columns count from 0 and live until the next call. */
bool hg_query_row(hg_query *q);
hg_bytes hg_column_bytes(const hg_query *q, int i);   /* null: n 0 and p "" */
const char *hg_column_text(const hg_query *q, int i); /* null: NULL */
int64_t hg_column_int(const hg_query *q, int i);
/* Runs what was not stepped, frees the store for others. HG_E_STATE: the row is there already, or
 * another rule of a table was broken; HG_E_FULL, HG_E_IO, with SQLite's words. */
hg_status hg_query_close(hg_query *q, hg_err *e);
/* Rows that the last statement changed. */
int64_t hg_store_changes(hg_store *s);

/* Whether rows were deleted that the log may still have. Waits for nobody. */
bool hg_store_has_deleted(hg_store *s);
/* Writes the log into the database and empties it, so that what was deleted is gone from the disk.
 * Not amid a transaction. While another process reads nothing happens, and has_deleted stays. */
hg_status hg_store_settle(hg_store *s, hg_err *e);

/* ---- the size of its file ---- */
/* Lets the file of a store shrink that was made before stores could: it is written anew, once,
 * which takes seconds for a gigabyte and, meanwhile, twice its room on the disk (in its own folder
 * and in that of temporary files). Nothing to do: HG_OK at once. For who has the store alone.
 * HG_E_IO says why the file stays as it is, which harms nothing. */
hg_status hg_store_repack(hg_store *s, const char *path, hg_err *e);
/* Gives a MiB of the file's free room back to the disk, where it has more than one to spare. True:
 * there is more. The file itself is shorter once the log has been written into it (has_deleted,
 * settle). Not amid a transaction. */
bool hg_store_shrink(hg_store *s);
/* A short sleep between pieces of long work: a lock is not fair, and who takes it again at once
 * leaves it to nobody. */
void hg_store_let_others(void);

/* All statements of this thread until the end as one, whole or not at all; others wait. */
hg_status hg_store_begin(hg_store *s, hg_err *e);
/* `s` is what came of it: other than HG_OK takes all back, and is returned. */
hg_status hg_store_end(hg_store *s, hg_status so_far, hg_err *e);

#endif
