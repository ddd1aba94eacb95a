/* Writing a corpus: JSON lines into zstd files of about the same size. */
#ifndef HG_DATA_SHARDS_H
#define HG_DATA_SHARDS_H

#include "base/mem.h"

typedef struct hg_shard {
    char name[32]; /* "shard-00000.jsonl.zst" */
    char sha256[65];
    uint64_t bytes, n_documents;
} hg_shard;

typedef struct hg_shards hg_shards;
/* Files go into `folder`; a shard is closed once it has `limit` compressed bytes. */
hg_status hg_shards_open(hg_shards **out, const char *folder, uint64_t limit, hg_err *e);
/* One line, with its newline. */
hg_status hg_shards_put(hg_shards *s, hg_bytes line, hg_err *e);
/* Closes the last one; then the list is complete. */
hg_status hg_shards_finish(hg_shards *s, hg_err *e);
const hg_shard *hg_shards_list(const hg_shards *s, size_t *n);
void hg_shards_free(hg_shards *s);

#endif
