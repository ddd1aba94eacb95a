/* Reading documents back: from a corpus folder that `higgins collect` made, or straight from files
 * (text, Markdown, HTML, JSON lines, mail; plain, gzip or zstd) and folders of them. What trains
 * tokenizers, packs tokens or evaluates reads its text here, one document at a time, in an order
 * that is always the same (shards in theirs; files in byte order of their paths). */
#ifndef HG_DATA_CORPUS_H
#define HG_DATA_CORPUS_H

#include "base/mem.h"

/* From raw files a long text comes in parts of at most this many bytes, cut between paragraphs;
 * from a corpus, documents come as they were stored (one line of a shard has at most 16 MiB). */
enum { HG_PART_BYTES = 1 << 20 };

/* A document. Everything belongs to the reader and lives until its next call; what is not known is
 * empty (n 0). */
typedef struct hg_doc {
    hg_bytes text;   /* valid UTF-8 */
    hg_bytes id;     /* stable; from a corpus: 32 hexadecimal digits */
    hg_bytes source; /* path or address */
    hg_bytes title, licence, date, lang;
    uint32_t part; /* of a long document, from 1; 0: whole */
} hg_doc;

typedef struct hg_corpus hg_corpus;

/* paths: corpus folders, folders, files; mixed. HG_E_MISSING when one does not exist. */
hg_status hg_corpus_open(hg_corpus **out, const char *const *paths, size_t n, hg_err *e);
/* *has is false behind the last document. A malformed record is HG_E_FORMAT with file and line. */
hg_status hg_corpus_next(hg_corpus *c, hg_doc *doc, bool *has, hg_err *e);
/* From the first document again. */
hg_status hg_corpus_rewind(hg_corpus *c, hg_err *e);
void hg_corpus_close(hg_corpus *c); /* NULL is fine */

/* Bytes as they lie on disk, for progress. */
uint64_t hg_corpus_bytes_total(const hg_corpus *c);
uint64_t hg_corpus_bytes_done(const hg_corpus *c);
/* What the cards of the corpus folders say; 0 when a path is no corpus folder. */
uint64_t hg_corpus_documents(const hg_corpus *c);
uint64_t hg_corpus_text_bytes(const hg_corpus *c);
/* A fingerprint (64 hexadecimal digits) of what will be read: the shards' hashes where a card has
 * them, else names and sizes. */
void hg_corpus_fingerprint(const hg_corpus *c, char out[65]);

#endif
