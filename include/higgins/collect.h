/* From documents to a corpus: files and folders are read, their text cleaned, judged and freed of
 * duplicates, and written as compressed JSON lines with a data card. */
#ifndef HIGGINS_COLLECT_H
#define HIGGINS_COLLECT_H

#include <higgins/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hg_collect_options {
    const char *text_field;     /* of JSON lines; NULL: text, content or body */
    const char *licence;        /* for documents that state none; NULL: not known */
    uint32_t min_chars;         /* shorter documents are dropped; default 200 */
    uint32_t shard_mb;          /* compressed size of a shard, MB; default 64, 1 to 4096 */
    const char *const *include; /* file name patterns (fnmatch); none: all */
    size_t n_include;
    const char *const *exclude; /* file name or path patterns that are passed over */
    size_t n_exclude;
    const char *const *keep; /* names of rules that do not drop (hg_collect_rule) */
    size_t n_keep;
    bool force; /* replace a corpus that was made with other options */
} hg_collect_options;
HG_API void hg_collect_options_init(hg_collect_options *o);

/* The rules of quality, in the order they are tried. A document is dropped by the first it breaks.
 * False behind the last one. */
typedef struct hg_collect_rule {
    const char *name; /* "repeated_lines" */
    const char *what; /* the measured figure in words */
    double limit;
    bool is_least; /* the figure must reach the limit; else it must not exceed it */
} hg_collect_rule;
HG_API bool hg_collect_get_rule(size_t i, hg_collect_rule *out);

typedef struct hg_collect_stats {
    uint64_t n_files;      /* looked at */
    uint64_t n_files_read; /* that held documents */
    uint64_t n_documents;  /* kept */
    uint64_t n_dropped;    /* documents and files */
    uint64_t n_chars, n_text_bytes;
    uint64_t n_bytes_read; /* as they lie on disk */
    uint64_t n_bytes_written;
    uint64_t n_duplicates;
    uint32_t n_shards;
    double seconds, joules;
} hg_collect_stats;

/* Reads `sources` in their order and writes the folder `path` whole or not at all: shards
 * shard-00000.jsonl.zst ..., card.json, card.html. A folder that is there is replaced only when it
 * is a corpus made from the same sources with the same options, or with `force`; anything else is
 * HG_E_STATE. Files that cannot be used are dropped with a reason, not failed on. Memory does not
 * grow with the input but for the index of duplicates: at most 48 bytes a document that is not
 * near-empty. */
HG_API hg_status hg_collect(const char *const *sources, size_t n_sources,
                            const hg_collect_options *o, const char *path, const hg_watch *w,
                            hg_collect_stats *stats, hg_err *e);

#ifdef __cplusplus
}
#endif
#endif
