/* Token shards: a corpus as ids, in one file that is mapped and never read whole. */
#ifndef HG_DATA_TOKENS_H
#define HG_DATA_TOKENS_H

#include <higgins/tokenizer.h>
#include "base/file.h"

/* Little-endian. Header of 128 bytes, ids (16 bits where the vocabulary has at most 65536 tokens,
 * else 32), padding to 8, document starts u64 [n_docs + 1] (in ids), document hashes u64 [n_docs]
 * (of their key). Every document ends with the end-of-text id. */
enum { HG_TOKENS_VERSION = 1, HG_TOKENS_HEADER = 128 };

typedef struct hg_tokens {
    uint32_t n_vocab, id_bytes;
    uint64_t n_tokens, n_docs, n_bytes; /* n_bytes: of the text */
    uint64_t vocab_hash, corpus_hash, content_hash;
    const unsigned char *ids;
    const unsigned char *starts, *hashes; /* unaligned-safe: read with the calls below */
    hg_map map;
} hg_tokens;

/* Maps a shard; every claim of the header is checked against the file's size. HG_E_MISSING,
 * HG_E_FORMAT. */
hg_status hg_tokens_open(hg_tokens *out, const char *path, hg_err *e);
/* The same over bytes that stay the caller's; `name` is what errors call them. */
hg_status hg_tokens_parse(hg_tokens *out, const unsigned char *p, size_t n, const char *name,
                          hg_err *e);
void hg_tokens_close(hg_tokens *t);
uint64_t hg_tokens_start(const hg_tokens *t, uint64_t doc); /* doc 0 .. n_docs */
uint64_t hg_tokens_hash(const hg_tokens *t, uint64_t doc);
/* Ids [at, at + n) into `out`; an id over the vocabulary (a damaged file) is given as 0. */
void hg_tokens_read(const hg_tokens *t, uint64_t at, size_t n, int32_t *out);

/* Fingerprint of a vocabulary: the bytes of all its pieces, in order. */
uint64_t hg_tokens_vocab_hash(const hg_tokenizer *t);
/* A shard in the making: written whole or not at all. */
typedef struct hg_tokens_writer hg_tokens_writer;
hg_status hg_tokens_create(hg_tokens_writer **out, const char *path, const hg_tokenizer *t,
                           uint64_t corpus_hash, hg_err *e);
/* `key` is what decides on which side of a split the document falls: parts of one have the same. */
hg_status hg_tokens_put(hg_tokens_writer *w, hg_bytes text, hg_bytes key, hg_err *e);
hg_status hg_tokens_commit(hg_tokens_writer *w, hg_err *e); /* frees w in any case */
void hg_tokens_abort(hg_tokens_writer *w);

#endif
