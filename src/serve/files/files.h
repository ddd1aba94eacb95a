/* Files that people give the server and get from it. Bytes are kept once, under their SHA-256, in
 * the folder "files" of the data folder; rows of the store say whose they are and what for. Who
 * asks for a file of somebody else hears the same as for one that is not there. Deleting the last
 * row of some bytes deletes the bytes. Any thread may call. */
#ifndef HG_SERVE_FILES_FILES_H
#define HG_SERVE_FILES_FILES_H

#include "base/file.h"
#include "serve/data.h"

enum {
    HG_FILES_MAX_BYTES = 512 * 1024 * 1024, /* of one */
    HG_FILES_MAX_COUNT = 10000,             /* of an owner */
    HG_FILES_MAX_METADATA = 16 * 1024,
    HG_FILES_MAX_DAYS = 30, /* until one expires that is to expire */
    HG_FILE_ID_ROOM = 48
};
#define HG_FILES_MAX_TOTAL ((uint64_t)16 << 30) /* bytes of an owner's files */

typedef struct hg_file {
    char id[HG_FILE_ID_ROOM], owner[64], name[256], type[128], purpose[32], sha256[65];
    char *metadata; /* JSON, "{}" where none was given; in the memory that get and list are given */
    uint64_t n_bytes;
    int64_t created, expires; /* unix time; expires 0: never */
    int64_t number;           /* rises with each file */
} hg_file;

/* What is to be kept. Strings that are too long are cut; folders before a name are left out. */
typedef struct hg_file_ask {
    const char *owner, *id_prefix; /* "file-" */
    const char *name, *type, *purpose;
    const char *metadata; /* JSON object, or NULL */
    int64_t expires;
} hg_file_ask;

typedef struct hg_files hg_files;
/* Removes what a kill has left half, and begins to delete what expires. `d` must outlive it. */
hg_status hg_files_new(hg_files **out, hg_data *d, hg_err *e);
void hg_files_free(hg_files *f); /* NULL is fine */

/* Whole and synced, or not at all. HG_E_LIMIT: too large, too many, too much in all; HG_E_FULL,
 * HG_E_IO: the disk is full (or fails), as e->msg says. */
hg_status hg_files_put(hg_files *f, const hg_file_ask *ask, hg_bytes body, char id[HG_FILE_ID_ROOM],
                       hg_err *e);
/* The same for what comes in parts: begin, add, add, and then keep or take it, which free the draft
 * in any case, as drop does. One thread at a time. */
typedef struct hg_file_draft hg_file_draft;
/* HG_E_LIMIT: the owner has too many files already. NULL: it will not be kept, and has no limit. */
hg_status hg_files_begin(hg_file_draft **out, hg_files *f, const char *owner, hg_err *e);
hg_status hg_files_add(hg_file_draft *d, hg_bytes part, hg_err *e);
hg_status hg_files_keep(hg_file_draft *d, const hg_file_ask *ask, char id[HG_FILE_ID_ROOM],
                        hg_err *e);
/* For who wants to read what was added and keep nothing: *fd is the caller's, the file has no name
 * and ends with it. */
hg_status hg_files_take(hg_file_draft *d, int *fd, uint64_t *n, hg_err *e);
void hg_files_drop(hg_file_draft *d); /* NULL is fine */
/* HG_E_MISSING: there is none for this owner. */
hg_status hg_files_get(hg_files *f, const char *owner, const char *id, hg_arena *mem, hg_file *out,
                       hg_err *e);
hg_status hg_files_delete(hg_files *f, const char *owner, const char *id, hg_err *e);
/* Deletes those with the owner, purpose and metadata of `like`: what the server had made itself
 * when a kill kept it from writing down that it had. */
hg_status hg_files_delete_made(hg_files *f, const hg_file_ask *like, hg_err *e);
/* Opens the bytes for reading: *fd is the caller's. */
hg_status hg_files_open(hg_files *f, const char *owner, const char *id, int *fd, uint64_t *n,
                        hg_err *e);
/* The same, mapped, until hg_map_close. */
hg_status hg_files_map(hg_files *f, const char *owner, const char *id, hg_map *out, hg_err *e);

/* Those of an owner in the order of their making, or newest first; behind the one named `after`
 * (NULL: from the first); of a purpose (NULL: any). `fn` ends it by false. HG_E_MISSING: there is
 * no `after`. */
typedef struct hg_files_query {
    const char *owner, *after, *purpose;
    bool is_oldest_first;
} hg_files_query;
typedef bool hg_file_fn(void *ctx, const hg_file *file);
hg_status hg_files_list(hg_files *f, const hg_files_query *q, hg_arena *mem, hg_file_fn *fn,
                        void *ctx, hg_err *e);
/* Deletes what has expired; how many. It happens by itself each minute, too. */
size_t hg_files_expire(hg_files *f);

/* A signature with which whoever has it may read one file until `expiry` (unix time), without a
 * token; URL-safe. */
enum { HG_FILE_SIGNATURE_ROOM = 48 };
void hg_files_sign(const hg_files *f, const char *owner, const char *id, int64_t expiry,
                   char out[HG_FILE_SIGNATURE_ROOM]);
/* In constant time, and not yet expired. */
bool hg_files_is_signed(const hg_files *f, const char *owner, const char *id, int64_t expiry,
                        hg_bytes signature);

#endif
